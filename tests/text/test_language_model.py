"""zsar_lab.text.encoder: each kind of text side against transformers called plainly, pooling files, and models that cannot read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tiny_encoders import save_tiny, tiny_model

from zsar_lab.text.encoder import TextEncoder, load_language_model
from zsar_lab.text.encoder_files import find_encoder

KINDS = ("bert", "roberta", "mpnet", "clip", "clip text", "siglip", "xclip")
TEXTS = ["a person runs", "jumping in the cold water", "handstand"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    return {
        kind: save_tiny(tmp_path_factory.mktemp("models") / kind.replace(" ", "_"), kind)
        for kind in (*KINDS, "videomae", "t5")
    }


def plainly(kind: str, folder: Path, text: str) -> tuple[np.ndarray, np.ndarray]:
    """Embedding and last layer of one text, by transformers alone, without padding (but for siglip, which is trained with it)."""
    model, tokenizer = (
        tiny_model(kind).eval(),
        transformers.AutoTokenizer.from_pretrained(folder),
    )  # trained word pieces differ from run to run
    padding = {"padding": "max_length", "max_length": 24} if kind == "siglip" else {}
    inputs = tokenizer(text, return_tensors="pt", **padding)
    n_tokens = int(inputs["attention_mask"].sum())
    ids = {"input_ids": inputs["input_ids"]}
    with torch.inference_mode():
        if kind in ("clip", "siglip", "xclip"):
            out = model.get_text_features(**ids)
            pooled = out.pooler_output[0]
        elif kind == "clip text":
            out = model(**ids)
            pooled = out.text_embeds[0]
        else:
            out = model(**ids)
            pooled = sum(out.last_hidden_state[0]) / n_tokens
    return (pooled / pooled.norm()).numpy(), out.last_hidden_state[0, :n_tokens].numpy()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_equals_transformers_called_text_by_text(folders, kind):
    pooled_ND, words = TextEncoder(find_encoder(folders[kind])).encode(TEXTS)
    for row, text in enumerate(TEXTS):
        pooled, last = plainly(kind, folders[kind], text)
        np.testing.assert_allclose(pooled_ND[row], pooled, atol=1e-5)
        np.testing.assert_allclose(words[row], last, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "pooling", "width"),
    [
        ("bert", "mean over tokens", 32),
        ("clip", "joint space", 16),
        ("clip text", "projected", 16),
        ("siglip", "joint space", 32),
    ],
)
def test_pooling_width_and_the_most_tokens(folders, kind, pooling, width):
    model = load_language_model(find_encoder(folders[kind]))
    assert (model.pooling, model.most_tokens) == (pooling, 24)
    ids = torch.full((2, 24), 5)
    read = model(ids, torch.ones_like(ids))
    assert read.pooled_ND.shape == (2, width) and read.words_NLE.shape == (2, 24, 32)
    assert (read.pooled_ND.dtype, read.words_NLE.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(read.pooled_ND.norm(dim=1), torch.ones(2))


def with_pooling(folder: Path, target: Path, **modes: object) -> Path:
    copy = shutil.copytree(folder, target)
    (copy / "1_Pooling").mkdir()
    (copy / "1_Pooling" / "config.json").write_text(json.dumps(modes))
    return copy


@pytest.mark.parametrize(
    "modes",
    [
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False},
        {"pooling_mode": "cls", "word_embedding_dimension": 32},
    ],
)
def test_a_pooling_file_that_asks_for_the_first_token_is_followed(folders, tmp_path, modes):
    encoder = TextEncoder(find_encoder(with_pooling(folders["bert"], tmp_path / "model", **modes)))
    pooled_ND, words = encoder.encode(TEXTS)
    np.testing.assert_allclose(pooled_ND, [last[0] / np.linalg.norm(last[0]) for last in words], atol=1e-6)


def test_a_pooling_file_in_the_later_form_that_asks_for_the_mean(folders, tmp_path):
    model = load_language_model(
        find_encoder(with_pooling(folders["bert"], tmp_path / "model", pooling_mode="mean"))
    )
    assert model.pooling == "mean over tokens"


@pytest.mark.parametrize(
    ("modes", "asked"),
    [
        ({"pooling_mode_max_tokens": True}, "pooling_mode_max_tokens"),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True}, "cls_token, "),
        ({"pooling_mode_mean_tokens": False}, "nothing"),
    ],
)
def test_another_pooling_is_refused(folders, tmp_path, modes, asked):
    with pytest.raises(
        ValueError,
        match=f"must end in mean or first-token pooling, '.*' asks for .*{asked}.*; choose another encoder",
    ):
        load_language_model(find_encoder(with_pooling(folders["bert"], tmp_path / "model", **modes)))


def test_a_further_layer_that_is_not_applied_is_refused(folders, tmp_path):
    copy = shutil.copytree(folders["bert"], tmp_path / "model")
    types = [
        "sentence_transformers.models.Transformer",
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Dense",
    ]
    (copy / "modules.json").write_text(
        json.dumps([{"idx": i, "path": "", "type": kind} for i, kind in enumerate(types)])
    )
    with pytest.raises(ValueError, match="asks for Dense"):
        load_language_model(find_encoder(copy))


@pytest.mark.parametrize(
    ("kind", "why"), [("videomae", r"\(videomae\) has no text side"), ("t5", r"\(t5\) needs a decoder")]
)
def test_a_model_that_reads_no_text_by_itself_is_refused(folders, kind, why):
    with pytest.raises(
        ValueError, match=f"must read a text by itself, the model in '.*' {why}; give a sentence encoder"
    ):
        TextEncoder(find_encoder(folders[kind])).encode(TEXTS)


def test_weights_that_are_not_there_are_said_not_made_up(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(folders["bert"], tmp_path / "model")
    weights = load_file(copy / "model.safetensors")
    left = {key: value for key, value in weights.items() if "layer.1." not in key and "pooler" not in key}
    save_file(left, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError,
        match=r"must hold every weight of its model, '.*' lacks 16 \(.*layer.1.*\); fetch the model again",
    ):
        load_language_model(find_encoder(copy))


@pytest.mark.parametrize("damage", [b"", b"no safetensors at all"])
def test_damaged_weights_are_one_sentence(folders, tmp_path, damage):
    copy = shutil.copytree(folders["bert"], tmp_path / "model")
    (copy / "model.safetensors").write_bytes(damage)
    with pytest.raises(
        ValueError,
        match=r"must hold a model that transformers can load, '.*' does not \(.*\); fetch it again",
    ):
        load_language_model(find_encoder(copy))


@pytest.mark.parametrize("config", ["{}", '{"model_type": "no-such-type"}', "not json"])
def test_a_config_of_no_known_model_is_one_sentence(folders, tmp_path, config):
    copy = shutil.copytree(folders["bert"], tmp_path / "model")
    (copy / "config.json").write_text(config)
    with pytest.raises(
        ValueError,
        match=r"must hold a model that transformers can load, '.*' does not \(.*\); fetch it again",
    ):
        load_language_model(find_encoder(copy))


def test_a_missing_tokenizer_is_one_sentence(folders, tmp_path):
    copy = shutil.copytree(folders["bert"], tmp_path / "model")
    (copy / "tokenizer.json").unlink()
    with pytest.raises(
        ValueError,
        match=r"must hold its tokenizer \(tokenizer.json or vocab files\), '.*' has none; save it there",
    ):
        TextEncoder(find_encoder(copy)).encode(TEXTS)
