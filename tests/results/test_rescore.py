"""zsar_lab.results.rescore: edited class texts scored again from embedded clips, and what changed."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scored_split import PROTOCOL
from two_splits import CLIPS_A_CLASS, HELD_OUT, MEANING, NAMES, UNSEEN, texts_of

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.ridge import RidgeSums
from zsar_lab.methods.table import TEXT_METHODS
from zsar_lab.results.rescore import Rescorer, TextChange, TextScore
from zsar_lab.results.statistics import compare

RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def rescorer(clips) -> Rescorer:
    return Rescorer(clips, PROTOCOL)


# scores


@pytest.mark.parametrize("method", TEXT_METHODS)
@pytest.mark.parametrize("prompt", ["good", "vague"])
def test_scores_are_those_of_the_evaluation(rescorer, predictions, good, vague, method, prompt):
    texts, wanted = {"good": good, "vague": vague}[prompt], predictions.find(method, prompt)
    found = rescorer.score(texts, method, "unseen")
    np.testing.assert_array_equal(found.scores_BC, predictions.scores(method, prompt))
    np.testing.assert_array_equal(found.targets, predictions.targets())
    assert (found.settings, found.prompt, found.names) == (wanted.settings, prompt, UNSEEN)
    found, n_classes = rescorer.score(texts, method), len(HELD_OUT)
    assert found.scores_BC.shape == (n_classes * CLIPS_A_CLASS, n_classes)
    assert (found.on, found.names, found.settings) == ("validation", HELD_OUT, wanted.settings)
    assert found.top1 == pytest.approx(wanted.validation_top1)  # which chose the settings


def test_the_training_clips_are_read_once_for_all_texts(rescorer, clips, good, vague, monkeypatch):
    monkeypatch.setattr(ClipEmbeddings, "rows", lambda *_: pytest.fail("the clips were gathered again"))
    monkeypatch.setattr(RidgeSums, "of", lambda *_: pytest.fail("the gram matrix was summed again"))
    for method in TEXT_METHODS:
        rescorer.compare(good, vague, method)


# changes


def score_of(predicted: str, names: str = "abc", on: str = "validation", **changes) -> TextScore:
    """Two clips of each class, and what each is predicted as; "?" is a tie of all classes."""
    scores = np.array([[1.0 if one in (name, "?") else 0.0 for name in names] for one in predicted])
    targets = np.repeat(np.arange(len(names)), 2)
    score = TextScore("transfer", "s", on, {"k": 3}, scores, targets, tuple(names))
    return dataclasses.replace(score, **changes)


def test_a_change_by_hand():
    # a: one clip gained; b: one gained and one lost; c: both lost, one of them to a tie
    change = TextChange(score_of("abbacc"), score_of("aaabb?"))
    assert change.table().to_dict("list") == {
        "class": ["a", "b", "c"],
        "clips": [2, 2, 2],
        "before_%": [50, 50, 100],
        "after_%": [100, 50, 0],
        "change_points": [50, 0, -100],
        "gained_clips": [1, 1, 0],
        "lost_clips": [0, 1, 2],
    }
    assert (change.before.top1, change.after.top1) == (4 / 6, 3 / 6)
    found = change.comparison
    assert found.difference == pytest.approx(-1 / 6) and found.low < found.difference < found.high
    assert found == compare(change.after.rows, change.before.rows)


def test_an_edit_of_one_unseen_text_moves_only_the_scores_of_that_class(rescorer, good):
    meaning, edited = MEANING.copy(), NAMES.index("new2")
    meaning[edited] = -meaning[edited]
    after = texts_of("edited", meaning)
    for method in TEXT_METHODS:
        change = rescorer.compare(good, after, method, "unseen")
        moved = np.abs(change.before.scores_BC - change.after.scores_BC).max(0) > 0
        assert moved.tolist() == [name == "new2" for name in UNSEEN], method
        assert change.table().set_index("class")["change_points"]["new2"] < 0
        assert rescorer.compare(good, after, method, "validation").comparison.difference == 0


def test_the_sentence_says_what_changed_and_warns_of_what_was_looked_at():
    sentence = TextChange(score_of("abbacc"), score_of("aabb??", settings={"k": 5})).sentence()
    assert "6 clips of 3 validation classes: from 66.7 % to 66.7 %, +0.0 points" in sentence
    assert "no difference can be claimed; settings were k 3 and are k 5" in sentence
    assert "Gained: a +50.0, b +50.0; lost: c -100.0." in sentence and "flatter" in sentence
    names, wrong = "abcdefghij", "bcdefghija"
    right, wrong = ("".join(2 * one for one in of) for of in (names, wrong))
    scores = score_of(wrong, names, on="unseen"), score_of(right, names, on="unseen")
    sentence = TextChange(*scores).sentence()
    assert "[+100.0, +100.0]: the texts after score higher here; settings k 3." in sentence
    assert sentence.endswith("must not be reported.") and "\n" not in sentence
    assert "the texts before score higher here" in TextChange(*scores[::-1]).sentence()


# mistakes


def test_what_is_not_there_is_refused(rescorer, clips, good):
    short, unseen = texts_of("short", MEANING[:-1], NAMES[:-1]), texts_of("short", MEANING[1:], NAMES[1:])
    unvalidated = dataclasses.replace(PROTOCOL, validation=(), validation_clips=())
    for call, words in (
        (lambda: rescorer.score(good, "match"), "got 'match'"),
        (lambda: rescorer.compare(good, good, on="test"), "got 'test'"),
        (lambda: Rescorer(dataclasses.replace(clips, ids=(*clips.ids[:-1], "other")), PROTOCOL), "1 clips"),
        (lambda: Rescorer(clips, unvalidated), "1 or more validation clips, got 0"),
    ):
        with pytest.raises(ValueError, match=words):
            call()
    for method in TEXT_METHODS:
        rescorer.score(short, method)  # that unseen class is not needed here
        with pytest.raises(ValueError, match="'new4'"):
            rescorer.score(short, method, "unseen")
        with pytest.raises(ValueError, match="'seen0'"):
            rescorer.score(unseen, method)
