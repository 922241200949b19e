"""Public models that see: tiny ones with random weights, saved and loaded as real ones are; their pixels against transformers' own preprocessing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import transformers
from small_training import NAMES, SIZE_PX, moving_stripes, stripes_protocol, stripes_store
from tiny_encoders import PUBLIC_KINDS as KINDS
from tiny_encoders import processor, save_public, save_tiny, tiny_model

from zsar_lab.embed import shards
from zsar_lab.embed.public_models import direct_scores, embed_with_public_model
from zsar_lab.methods.fitted import TRANSFER, TextMethods
from zsar_lab.models.public import Preprocessing, PublicTower, load_public_tower
from zsar_lab.text.embeddings import embed_class_text
from zsar_lab.text.encoder_files import find_encoder
from zsar_lab.text.prompts import ClassText

ENLARGED = "ignore:frames of 24 x 24 pixels are enlarged"


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


def noise(n_frames: int, height: int, width: int) -> np.ndarray:
    smooth = np.random.default_rng(0).integers(0, 256, (n_frames, height // 4, width // 4, 3), dtype=np.uint8)
    return smooth.repeat(4, 1).repeat(4, 2)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(24, 24), (36, 36), (64, 64), (40, 72), (72, 40)])
def test_pixels_are_those_of_the_models_own_preprocessing(kind, size, folders):
    frames = noise(3, *size)
    theirs = processor(kind)(list(frames), return_tensors="np")["pixel_values"].reshape(3, 3, 32, 32)
    ours = Preprocessing.of(folders[kind])(torch.from_numpy(frames)[None])[0].numpy()
    std = np.array(json.loads((folders[kind] / "preprocessor_config.json").read_text())["image_std"])[
        :, None, None
    ]
    difference = np.abs(ours - theirs) * std * 255  # in 0..255
    assert ours.shape == theirs.shape and difference.mean() < 0.35
    assert (
        difference.max() < 2.1 or size[0] != size[1]
    )  # frames of a store are square; of others PIL may do the height first


def test_settings_of_older_and_newer_folders_are_read(folder):
    says = json.loads((folder / "preprocessor_config.json").read_text())
    before = Preprocessing.of(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(says | {"size": 36, "crop_size": 32}))
    assert Preprocessing.of(folder) == before
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(
        json.dumps({"image_processor": says, "processor_class": "CLIPProcessor"})
    )
    assert Preprocessing.of(folder) == before


@pytest.mark.filterwarnings(ENLARGED)
@pytest.mark.parametrize("kind", KINDS)
def test_embeddings_are_those_of_the_model_called_by_hand(kind, folders, store, tmp_path):
    found = embed_with_public_model(find_encoder(folders[kind]), store, tmp_path, n_frames=6, device="cpu")
    model, chosen = (
        tiny_model(kind).eval(),
        [1, 4, 7, 10] if kind == "xclip" else [1, 3, 5, 7, 9, 11],
    )  # of 12
    frames = store.frames[:3][:, chosen]
    pixels = Preprocessing.of(folders[kind])(torch.from_numpy(frames))
    with torch.inference_mode():
        if kind == "xclip":
            wanted = model.get_video_features(pixel_values=pixels).pooler_output
        else:
            by_frame = [model.get_image_features(pixel_values=clip).pooler_output for clip in pixels]
            wanted = torch.stack([(each / each.norm(dim=1, keepdim=True)).mean(0) for each in by_frame])
    wanted = (wanted / wanted.norm(dim=1, keepdim=True)).numpy()
    np.testing.assert_allclose(found.embedding_ND[:3], wanted, atol=1e-3)
    assert found.ids == tuple(store.ids) and found.tokens_NPD.shape == (64, 0, wanted.shape[1])
    np.testing.assert_allclose(np.linalg.norm(found.embedding_ND, axis=1), 1, atol=1e-5)


def test_each_frame_counts_the_same_however_long_its_vector(folders):
    class OfFrames(torch.nn.Module):
        """Gives (v, 0) of a dark frame of value v, (0, v) of a light one."""

        def get_image_features(self, pixel_values):
            value = pixel_values.mean((1, 2, 3))
            return SimpleNamespace(
                pooler_output=torch.stack([value * (value < 128), value * (value >= 128)], 1)
            )

    as_stored = Preprocessing(None, False, "bilinear", None, 1.0, (0.0,) * 3, (1.0,) * 3)
    frames = torch.tensor([1, 200, 9, 9, 3, 250, 200, 255], dtype=torch.uint8)[
        None, :, None, None, None
    ].expand(-1, -1, 2, 2, 3)
    found = PublicTower(OfFrames(), "clip", 4, as_stored)(
        frames
    )  # 200, 9, 250 and 255: three light frames and a dark one
    torch.testing.assert_close(found, torch.tensor([[1.0, 3.0]]) / 10**0.5)


@pytest.mark.filterwarnings(ENLARGED)
@pytest.mark.parametrize("kind", KINDS)
def test_every_method_of_class_texts_scores_a_public_model(kind, folders, store, tmp_path):
    files, protocol = find_encoder(folders[kind]), stripes_protocol(store)
    clips = embed_with_public_model(files, store, tmp_path, device="cpu")
    texts = embed_class_text(
        ClassText("two lines", NAMES, tuple(f"a person {name}\n{name}" for name in NAMES)), files
    )
    scores = direct_scores(clips, protocol.test_clips, texts, protocol.unseen)
    clip, name = clips.rows(protocol.test_clips[3:4])[0], texts.rows(protocol.unseen[1:2])[0]
    lines = texts.pooled_CF[name].reshape(2, -1)
    text = lines[0] + lines[1]
    assert scores.shape == (len(protocol.test_clips), 2)
    assert scores[3, 1] == pytest.approx(
        float(clips.embedding_ND[clip] @ text / np.linalg.norm(text)), abs=1e-5
    )
    text_methods = TextMethods.of(clips, protocol)
    assert text_methods.fit(texts, TRANSFER).scores(text_methods.test).shape == scores.shape


def test_it_is_marked_as_not_rigorous_and_goes_on_in_shards(folders, store, tmp_path, monkeypatch):
    monkeypatch.setattr(shards, "CLIPS_A_BATCH", 8)
    files = find_encoder(folders["clip"])
    with pytest.warns(
        UserWarning,
        match="24 x 24 pixels are enlarged to the 36 x 36 that model reads, .*; prepare them with size_px 36",
    ) as said:
        made = embed_with_public_model(
            files, store, tmp_path, "400 million pairs from the web", device="cpu", shard_clips=8
        )
        again = embed_with_public_model(files, store, tmp_path, device="cpu")
    assert (
        len(said) == 2
        and (made.embedding_ND == again.embedding_ND).all()
        and made.fingerprint == again.fingerprint
    )
    about = {
        "model": "model",
        "text_encoder": files.revision,
        "trained_on": "400 million pairs from the web",
        "setting": "not rigorous",
    }
    assert made.about == again.about == about
    large = replace(
        store, frames=np.zeros((64, 12, 40, 40, 3), np.uint8) + 9, fingerprint="large frames"
    )  # not enlarged: no warning
    other = embed_with_public_model(files, large, tmp_path, n_frames=2, device="cpu")
    assert other.about["trained_on"] == "unknown data" and other.fingerprint != made.fingerprint


@pytest.mark.filterwarnings(ENLARGED)
def test_texts_of_another_model_are_refused(folders, store, tmp_path):
    clips = embed_with_public_model(find_encoder(folders["clip"]), store, tmp_path, device="cpu")
    texts = embed_class_text(ClassText("label", NAMES, NAMES), find_encoder(folders["xclip"]))
    with pytest.raises(
        ValueError,
        match=r"by one public model, got clips of model \(revision [0-9a-f]+\) and texts of revision [0-9a-f]+; embed",
    ):
        direct_scores(clips, clips.ids, texts, NAMES)
    with pytest.raises(ValueError, match="got clips of a model trained here and texts of"):
        direct_scores(replace(clips, about={"checkpoint": "x"}), clips.ids, texts, NAMES)


def test_an_image_tower_knows_nothing_of_order_and_xclip_does(folders):
    frames = torch.from_numpy(np.stack([moving_stripes(1, np.random.default_rng(0))]))
    with torch.inference_mode():
        for kind, same in (("clip", True), ("siglip", True), ("xclip", False)):
            tower = load_public_tower(folders[kind], n_frames=12)
            assert tower.n_frames == (4 if kind == "xclip" else 12) and frames.shape[2] == SIZE_PX
            assert torch.allclose(tower(frames), tower(frames.flip(1)), atol=1e-5) == same


def test_too_few_frames_are_refused(folders, store, tmp_path):
    for kind, n_stored, n_frames in (("clip", 12, 13), ("xclip", 3, 8)):
        few = replace(store, frames=store.frames[:, :n_stored])
        with pytest.raises(
            ValueError,
            match=f"as many frames as the model reads, {4 if kind == 'xclip' else 13}, the store has {n_stored}; prepare",
        ):
            embed_with_public_model(
                find_encoder(folders[kind]), few, tmp_path, n_frames=n_frames, device="cpu"
            )
    with pytest.raises(ValueError, match="n_frames must be 1 or more, got 0"):
        load_public_tower(folders["clip"], 0)


@pytest.mark.parametrize("kind", ["bert", "clip text", "videomae"])
def test_a_model_without_a_tower_that_sees_is_refused(kind, tmp_path):
    save_tiny(tmp_path / "model", kind)
    with pytest.raises(
        ValueError,
        match="image or video tower beside its text tower, of type clip, siglip, xclip, that in '.*model' is of type",
    ):
        load_public_tower(tmp_path / "model")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"image_mean": None},
            "folder must hold its preprocessor_config.json with image_mean, image_std and size, '.*' does not; save it there",
        ),
        (
            {"image_std": [1, 1]},
            "folder must hold its preprocessor_config.json with image_mean, image_std and size, '.*' does not; save it there",
        ),
        (
            {"resample": 0},
            r"must be resampled bilinear \(2\) or bicubic \(3\), '.*' asks for 0; choose another",
        ),
        (
            {"size": "large"},
            "size in a public model's preprocessor_config.json must be a number of pixels, got 'large'; fetch it again",
        ),
        (
            {"size": {"shortest_edge": 20}},
            r"crop_size must be at most size, .* asks for \(32, 32\) of \(20, 20\); fetch it again",
        ),
        (
            {"crop_size": 30},
            r"must give frames of the size it reads, 32 x 32 pixels, that in '.*' gives \(30, 30\); fetch",
        ),
        (
            {"do_resize": False, "do_center_crop": False},
            "32 x 32 pixels, that in '.*' gives any size; fetch its preprocessor_config.json again",
        ),
    ],
)
def test_wrong_preprocessing_is_refused(change, sentence, folder):
    path = folder / "preprocessor_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=sentence):
        load_public_tower(folder)


def test_a_folder_without_preprocessing_is_refused(folder):
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(
        ValueError,
        match="must hold its preprocessor_config.json .*; save it there with save_pretrained of its image processor",
    ):
        load_public_tower(folder)


def test_pickled_weights_are_never_read(folder):
    weights = folder / "model.safetensors"
    torch.save(tiny_model("clip").state_dict(), folder / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"has no \*.safetensors \(it holds"):
        find_encoder(folder)
    with pytest.raises(
        ValueError, match="config.json and weights as safetensors that transformers can load, '.*' does not"
    ):
        load_public_tower(folder)


def test_code_of_a_folder_is_never_run(folder):
    (folder / "evil.py").write_text("raise SystemExit('run')\n")
    path = folder / "config.json"
    says = json.loads(path.read_text())
    path.write_text(
        json.dumps(
            says
            | {
                "model_type": "unheard of",
                "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
            }
        )
    )
    with pytest.raises(ValueError, match="that transformers can load, '.*' does not"):
        load_public_tower(folder)


def test_missing_weights_are_refused(folder):
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if name != "visual_projection.weight"},
        folder / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(
        ValueError,
        match=r"must hold every weight, '.*' lacks 1 \(visual_projection.weight, ...\); fetch it again",
    ):
        load_public_tower(folder)
