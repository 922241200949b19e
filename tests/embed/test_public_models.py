"""Public models: tiny ones, against transformers' own preprocessing and by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small_training import stripes_store
from tiny_encoders import PUBLIC_KINDS as KINDS
from tiny_encoders import processor, save_public, save_tiny, tiny_model

import zsar_lab as zl
from zsar_lab.embed import embeddings
from zsar_lab.embed.public_models import embed_with_public_model
from zsar_lab.models.public import MODELS, Preprocessing, PublicTower, checkpoints, load_public_tower, resize
from zsar_lab.text.encoder import load_language_model
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
    preprocessing = Preprocessing.of(folders[kind])
    ours = preprocessing(torch.from_numpy(frames)[None])[0].numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)  # no pixel is another one


@pytest.mark.parametrize("resampling", ["bilinear", "bicubic"])
def test_frames_are_resized_as_by_pil_to_the_last_bit(resampling):
    draw = np.random.default_rng(0)
    for height, width, *size in draw.integers(2, 90, (30, 4)).tolist():
        frame = draw.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255  # where rounding matters most
        rows = Image.fromarray(frame).resize((size[1], height), Image.Resampling[resampling.upper()])
        theirs = np.asarray(rows.resize((size[1], size[0]), Image.Resampling[resampling.upper()]))
        ours = resize(torch.from_numpy(frame).permute(2, 0, 1), tuple(size), resampling)
        assert (ours.permute(1, 2, 0).numpy() == theirs).all()


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
    model, ids = tiny_model(kind).eval(), torch.ones((1, 24), dtype=torch.int64)
    chosen = [1, 4, 7, 10] if MODELS[model.config.model_type].own_frames else [1, 3, 5, 7, 9, 11]  # of 12
    pixels = Preprocessing.of(folders[kind])(torch.from_numpy(store.frames[:3][:, chosen]))
    with torch.inference_mode():  # by the model's own comparison of videos or images with a text
        if kind == "xclip":
            out = model(pixel_values=pixels, input_ids=ids, attention_mask=torch.ones_like(ids))
            wanted = out.video_embeds
        elif kind == "videoprism":
            wanted = model(pixel_values_videos=pixels, input_ids=ids).video_embeds
        else:
            by_frame = [model(pixel_values=clip, input_ids=ids).image_embeds for clip in pixels]
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
    for kind in ("bert", "clip text", "videomae", "flava"):
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


def test_pickles_missing_and_unread_weights_are_refused(folder):
    weights = folder / "model.safetensors"
    whole = load_file(weights)
    save_file(
        whole | {"text_model.embeddings.position_ids": torch.arange(24)[None]}, weights, {"format": "pt"}
    )
    load_public_tower(folder)  # which transformers itself leaves out
    save_file(whole | {"adapter.weight": torch.zeros(2)}, weights, {"format": "pt"})
    with pytest.raises(ValueError, match="no others, .* has others, 1: adapter.weight"):
        load_public_tower(folder)
    del whole["visual_projection.weight"]
    save_file(whole, weights, {"format": "pt"})
    with pytest.raises(ValueError, match="lacks 1: visual_projection.weight"):
        load_public_tower(folder)
    torch.save(tiny_model("clip").state_dict(), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ValueError, match="that transformers loads"):
        load_public_tower(folder)


@pytest.mark.parametrize("file", ["config.json", "tokenizer_config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("model_type", ["clip", "unheard of"])
def test_code_of_a_folder_is_never_run(folder, file, model_type):
    (folder / "evil.py").write_text("raise SystemExit('run')\n")
    evil = {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}, "model_type": model_type}
    (folder / file).write_text(json.dumps(json.loads((folder / file).read_text()) | evil))
    for load in (load_public_tower, zl.load_model, lambda path: load_language_model(find_encoder(path))):
        with pytest.raises(ValueError, match=rf"not run, .*{file} \(auto_map\)"):
            load(folder)


@pytest.mark.parametrize("kind", ["siglip2", "videoprism"])
def test_weights_saved_in_half_precision_are_read_in_single(kind, tmp_path):
    save_public(tmp_path, kind)
    path = tmp_path / "model.safetensors"
    save_file({name: w.to(torch.bfloat16) for name, w in load_file(path).items()}, path, {"format": "pt"})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"dtype": "bfloat16"}))
    found = load_public_tower(tmp_path), load_language_model(find_encoder(tmp_path))
    assert {w.dtype for network in found for w in network.parameters()} == {torch.float32}


def test_a_temperature_is_the_models_own_or_none(folders):
    for kind, path in folders.items():
        tower, theirs = load_public_tower(path), None
        if kind == "tipsv2":
            theirs = pytest.approx(float(tower.network.config.temperature_init_value))
        elif kind != "videoprism":
            theirs = pytest.approx(1 / float(tower.network.logit_scale.exp()))
        assert tower.temperature == theirs
    tower = load_public_tower(folders["aimv2"])
    tower.network.logit_scale.data.fill_(9.0)  # which its own comparison limits to 100
    assert tower.temperature == pytest.approx(0.01)


def test_the_table_of_checkpoints_is_whole_and_listed():
    table, listed = checkpoints(), zl.list_models()
    assert table.index.is_unique and set(table["kind"]) == set(MODELS) and len(table) > 19
    assert table["revision"].map(len).isin([0, 40]).all() and table["source"].str.startswith("https://").all()
    assert (table[["licence", "training_sets", "frames"]] != "").all(axis=None)
    fixed = table["kind"].map(lambda kind: MODELS[kind].own_frames)
    assert table["frames"].str.isdigit().equals(fixed) and (table["frames"][~fixed] == "any").all()
    assert list(listed.index) == [*MODELS, *table.index] and listed.loc["xclip", "label"] == "X-CLIP"
    assert listed.loc["google/videoprism-lvt-base-f16r288", "label"] == "VideoPrism LvT"
