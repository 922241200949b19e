"""Public models: tiny ones, against transformers' own preprocessing and by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import stripes_store
from tiny_encoders import PUBLIC_KINDS as KINDS
from tiny_encoders import processor, save_public, save_tiny, tiny_model

from zsar_lab.embed import embeddings
from zsar_lab.embed.public_models import embed_with_public_model
from zsar_lab.models.public import Preprocessing, PublicTower, load_public_tower
from zsar_lab.text.encoder_files import find_encoder

SETTINGS = "preprocessor_config.json"
enlarged = pytest.mark.filterwarnings("ignore:frames of 24 x 24 pixels are enlarged")


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {kind: save_public(tmp_path_factory.mktemp(kind) / "model", kind) for kind in KINDS}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return stripes_store(tmp_path_factory.mktemp("store"))


@pytest.fixture
def folder(folders, tmp_path) -> Path:
    """A CLIP that a test may spoil."""
    for path in folders["clip"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(24, 24), (36, 36), (64, 64), (40, 72)])
def test_pixels_are_those_of_the_models_own_preprocessing(kind, size, folders):
    noise = np.random.default_rng(0).integers(0, 256, (3, size[0] // 4, size[1] // 4, 3), dtype=np.uint8)
    frames = noise.repeat(4, 1).repeat(4, 2)
    theirs = processor(kind)(list(frames), return_tensors="np")["pixel_values"].reshape(3, 3, 32, 32)
    ours = Preprocessing.of(folders[kind])(torch.from_numpy(frames)[None])[0].numpy()
    std = np.array(json.loads((folders[kind] / SETTINGS).read_text())["image_std"])[:, None, None]
    difference = np.abs(ours - theirs) * std * 255  # in 0..255
    assert ours.shape == theirs.shape and difference.mean() < 0.35
    # frames of a store are square; of others PIL may do the height first
    assert difference.max() < 2.1 or size[0] != size[1]


def test_settings_of_older_and_newer_folders_are_read(folder):
    says, before = json.loads((folder / SETTINGS).read_text()), Preprocessing.of(folder)
    (folder / SETTINGS).write_text(json.dumps(says | {"size": 36, "crop_size": 32}))
    assert Preprocessing.of(folder) == before
    (folder / SETTINGS).unlink()
    newer = {"image_processor": says, "processor_class": "CLIPProcessor"}
    (folder / "processor_config.json").write_text(json.dumps(newer))
    assert Preprocessing.of(folder) == before


@enlarged
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_and_scores_are_those_of_the_model_called_by_hand(kind, folders, store, tmp_path):
    files = find_encoder(folders[kind])
    found = embed_with_public_model(files, store, tmp_path, n_frames=6, device="cpu")
    model = tiny_model(kind).eval()
    chosen = [1, 4, 7, 10] if kind == "xclip" else [1, 3, 5, 7, 9, 11]  # of 12
    pixels = Preprocessing.of(folders[kind])(torch.from_numpy(store.frames[:3][:, chosen]))
    with torch.inference_mode():
        if kind == "xclip":
            wanted = model.get_video_features(pixel_values=pixels).pooler_output
        else:
            by_frame = [model.get_image_features(pixel_values=clip).pooler_output for clip in pixels]
            wanted = torch.stack([(each / each.norm(dim=1, keepdim=True)).mean(0) for each in by_frame])
    wanted = (wanted / wanted.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(found.embedding_ND[:3], wanted, atol=1e-3)
    assert found.ids == tuple(store.ids) and found.tokens_NPD.shape == (64, 0, wanted.shape[1])


def test_each_frame_counts_the_same_however_long_its_vector():
    class OfFrames(torch.nn.Module):
        """Gives (v, 0) of a dark frame of value v, (0, v) of a light one."""

        def get_image_features(self, pixel_values):
            value = pixel_values.mean((1, 2, 3))
            made = torch.stack([value * (value < 128), value * (value >= 128)], 1)
            return SimpleNamespace(pooler_output=made)

    as_stored = Preprocessing(None, False, "bilinear", None, 1.0, (0.0,) * 3, (1.0,) * 3)
    values = torch.tensor([1, 200, 9, 9, 3, 250, 200, 255], dtype=torch.uint8)
    frames = values[None, :, None, None, None].expand(-1, -1, 2, 2, 3)
    # 200, 9, 250 and 255: three light frames and a dark one
    found = PublicTower(OfFrames(), "clip", 4, as_stored)(frames)
    torch.testing.assert_close(found, torch.tensor([[1.0, 3.0]]) / 10**0.5)


def test_it_is_said_to_be_not_rigorous_and_goes_on_in_shards(folders, store, tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "CLIPS_A_BATCH", 8)
    files, options = find_encoder(folders["clip"]), {"device": "cpu", "shard_clips": 8}
    with pytest.warns(UserWarning, match="24 x 24 pixels are enlarged to 36 x 36"):
        made = embed_with_public_model(files, store, tmp_path, "400 million pairs", **options)
    with pytest.warns(UserWarning, match="enlarged"):
        again = embed_with_public_model(files, store, tmp_path, **options)
    assert made.fingerprint == again.fingerprint
    assert (made.embedding_ND == again.embedding_ND).all()
    about = {"model": "model", "text_encoder": files.revision, "setting": "not rigorous"}
    assert made.about == again.about == about | {"trained_on": "400 million pairs"}
    frames = np.zeros((64, 12, 40, 40, 3), np.uint8) + 9  # not enlarged: no warning
    large = replace(store, frames=frames, fingerprint="large frames")
    other = embed_with_public_model(files, large, tmp_path, n_frames=2, device="cpu")
    assert other.about["trained_on"] == "unknown data" and other.fingerprint != made.fingerprint


@enlarged
def test_what_does_not_fit_is_refused(folders, store, tmp_path):
    for kind, n_stored, n_frames, needed in (("clip", 12, 13, 13), ("xclip", 3, 8, 4)):
        few, given = replace(store, frames=store.frames[:, :n_stored]), find_encoder(folders[kind])
        with pytest.raises(ValueError, match=f"{needed} frames .* got {n_stored}"):
            embed_with_public_model(given, few, tmp_path, n_frames=n_frames, device="cpu")
    with pytest.raises(ValueError, match="n_frames .* got 0"):
        load_public_tower(folders["clip"], 0)
    for kind in ("bert", "clip text", "videomae"):
        save_tiny(tmp_path / kind, kind)
        with pytest.raises(ValueError, match="clip, siglip, xclip"):
            load_public_tower(tmp_path / kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (None, SETTINGS),
        ({"image_mean": None}, "image_mean"),
        ({"image_std": [1, 1]}, "image_std"),
        ({"resample": 0}, "asks for 0"),
        ({"size": "large"}, "got 'large'"),
        ({"size": {"shortest_edge": 20}}, r"\(20, 20\).* \(32, 32\)"),
        ({"crop_size": 30}, r"32 x 32 .*\(30, 30\)"),
        ({"do_resize": False, "do_center_crop": False}, "any size"),
    ],
)
def test_wrong_preprocessing_is_refused(change, message, folder):
    path = folder / SETTINGS
    if change is None:
        path.unlink()
    else:
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        load_public_tower(folder)


def test_pickles_code_and_missing_weights_are_refused(folder):
    path, weights = folder / "config.json", folder / "model.safetensors"
    says, whole = path.read_text(), load_file(weights)
    (folder / "evil.py").write_text("raise SystemExit('run')\n")
    evil = {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}, "model_type": "unheard of"}
    path.write_text(json.dumps(json.loads(says) | evil))
    with pytest.raises(ValueError, match="that transformers loads"):
        load_public_tower(folder)
    path.write_text(says)
    del whole["visual_projection.weight"]
    save_file(whole, weights, {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1: visual_projection.weight"):
        load_public_tower(folder)
    torch.save(tiny_model("clip").state_dict(), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ValueError, match="that transformers loads"):
        load_public_tower(folder)
