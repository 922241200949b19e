"""zsar_lab.methods.metrics: by hand, by a plain loop and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from sklearn import metrics as sklearn_metrics

from zsar_lab.methods.metrics import (
    answers_of,
    confusion_matrix,
    confusion_of_answers,
    mean_class_accuracy,
    mean_over_classes,
    per_class_table,
    table_of_answers,
    top_k_accuracy,
    truth_rank,
)

NAMES = ("run", "jump", "swim")
SCORES = np.array(
    [
        [0.9, 0.1, 0.0],  # run, right
        [0.2, 0.5, 0.3],  # run, taken for jump; it ranks last
        [0.1, 0.6, 0.3],  # run, taken for jump
        [0.1, 0.8, 0.2],  # jump, right
        [0.7, 0.2, 0.6],  # swim, taken for run; it ranks second
    ]
)
TARGETS = np.array([0, 0, 0, 1, 2])
RANDOM = np.random.default_rng(0)
MANY_SCORES, MANY_TARGETS = RANDOM.normal(size=(300, 7)), RANDOM.integers(0, 7, 300)


def test_by_hand():
    assert truth_rank(SCORES, TARGETS).tolist() == [1, 3, 3, 1, 2]
    assert [top_k_accuracy(SCORES, TARGETS, k) for k in (1, 2, 3)] == pytest.approx([2 / 5, 3 / 5, 1])
    assert mean_class_accuracy(SCORES, TARGETS) == pytest.approx((1 / 3 + 1 + 0) / 3)
    assert confusion_matrix(SCORES, TARGETS, 3).tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]


def test_the_table_by_hand():
    table = per_class_table(SCORES, TARGETS, NAMES)
    assert table["class"].tolist() == list(NAMES)
    assert table["clips"].tolist() == [3, 1, 1]
    assert table["correct"].tolist() == [1, 1, 0]
    assert table["top1"].tolist() == pytest.approx([1 / 3, 1, 0])
    assert table["taken_for"].tolist() == ["jump", "", "run"]
    assert table["taken_for_clips"].tolist() == [2, 0, 1]


def test_the_table_keeps_a_class_without_clips():
    table = per_class_table(SCORES[:4], TARGETS[:4], NAMES)
    assert table.iloc[2].tolist() == ["swim", 0, 0, 0.0, "", 0]


def test_ranks_equal_the_plain_loop_with_ties_too():
    assert truth_rank(MANY_SCORES, MANY_TARGETS).tolist() == reference.truth_rank(MANY_SCORES, MANY_TARGETS)
    coarse = RANDOM.integers(0, 3, (200, 5)).astype(float)
    targets = RANDOM.integers(0, 5, 200)
    assert truth_rank(coarse, targets).tolist() == reference.truth_rank(coarse, targets)


def test_a_method_that_cannot_decide_is_not_right():
    constant = np.zeros((6, 3))
    targets = np.array([0, 1, 2, 0, 1, 2])
    assert top_k_accuracy(constant, targets, 1) == top_k_accuracy(constant, targets, 2) == 0
    assert mean_class_accuracy(constant, targets) == 0


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k_is_scikit_learns(k):
    theirs = sklearn_metrics.top_k_accuracy_score(MANY_TARGETS, MANY_SCORES, k=k, labels=range(7))
    assert top_k_accuracy(MANY_SCORES, MANY_TARGETS, k) == pytest.approx(theirs)


def test_the_others_are_scikit_learns():
    predicted = MANY_SCORES.argmax(1)
    assert top_k_accuracy(MANY_SCORES, MANY_TARGETS, 1) == pytest.approx(
        sklearn_metrics.accuracy_score(MANY_TARGETS, predicted)
    )
    balanced = sklearn_metrics.balanced_accuracy_score(MANY_TARGETS, predicted)
    assert mean_class_accuracy(MANY_SCORES, MANY_TARGETS) == pytest.approx(balanced)
    theirs = sklearn_metrics.confusion_matrix(MANY_TARGETS, predicted, labels=range(7))
    np.testing.assert_array_equal(confusion_matrix(MANY_SCORES, MANY_TARGETS, 7), theirs)
    recalls = sklearn_metrics.recall_score(MANY_TARGETS, predicted, average=None)
    np.testing.assert_allclose(per_class_table(MANY_SCORES, MANY_TARGETS, tuple("abcdefg"))["top1"], recalls)


def test_the_mean_over_classes_is_of_classes_with_clips():
    # class 1 of three has no clip; the others have 1 of 2 and 1 of 1
    scores = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    assert mean_class_accuracy(scores, np.array([0, 0, 2])) == pytest.approx(0.75)


def test_averages_differ_where_classes_differ_in_size():
    scores = np.eye(2)[[0] * 9 + [0]]
    targets = np.array([0] * 9 + [1])
    assert top_k_accuracy(scores, targets, 1) == pytest.approx(0.9)
    assert mean_class_accuracy(scores, targets) == pytest.approx(0.5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "metric", [truth_rank, mean_class_accuracy, lambda scores, targets: top_k_accuracy(scores, targets, 1)]
)
def test_scores_that_are_not_finite_are_refused(bad, metric):
    scores = SCORES.copy()
    scores[1, 2] = scores[4, 0] = bad
    with pytest.raises(ValueError, match="scores must be finite, got 2 that are not"):
        metric(scores, TARGETS)


def test_scores_of_other_clips_are_refused():
    with pytest.raises(ValueError, match="scores and targets must be of the same clips, got 5 and 4"):
        truth_rank(SCORES, TARGETS[:4])


# answers in the place of scores


def test_answers_give_what_their_scores_give():
    answers = MANY_SCORES.argmax(1)
    confusion = confusion_of_answers(answers, MANY_TARGETS, 7)
    np.testing.assert_array_equal(confusion, confusion_matrix(MANY_SCORES, MANY_TARGETS, 7))
    np.testing.assert_array_equal(
        confusion, sklearn_metrics.confusion_matrix(MANY_TARGETS, answers, labels=range(7))
    )
    assert table_of_answers(confusion, tuple("abcdefg")).equals(
        per_class_table(MANY_SCORES, MANY_TARGETS, tuple("abcdefg"))
    )
    right = answers == MANY_TARGETS
    assert mean_over_classes(right, MANY_TARGETS) == mean_class_accuracy(MANY_SCORES, MANY_TARGETS)
    assert mean_over_classes(right, MANY_TARGETS) == pytest.approx(
        sklearn_metrics.balanced_accuracy_score(MANY_TARGETS, answers)
    )


def test_answers_by_hand():
    confusion = confusion_of_answers(np.array([0, 1, 1, 1, 0]), TARGETS, 3)
    assert confusion.tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]] and confusion.dtype == np.int64
    assert table_of_answers(confusion, NAMES).equals(per_class_table(SCORES, TARGETS, NAMES))


def test_a_clip_in_a_tie_is_taken_for_the_other_class():
    tied, targets = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]]), np.array([0, 1, 2])
    assert answers_of(tied, targets).tolist() == [1, 1, 0]
    assert confusion_matrix(tied, targets, 3).tolist() == [[0, 1, 0], [0, 1, 0], [1, 0, 0]]
    assert per_class_table(tied, targets, ("a", "b", "c"))["correct"].tolist() == [0, 1, 0]
    assert answers_of(np.ones((2, 1)), np.zeros(2, int)).tolist() == [0, 0]


def test_answers_are_right_where_the_true_class_ranks_first():
    random = np.random.default_rng(3)
    scores, targets = random.choice([0.0, 0.5, 1.0], (300, 4)), random.integers(0, 4, 300)
    answers = answers_of(scores, targets)
    np.testing.assert_array_equal(answers == targets, truth_rank(scores, targets) == 1)
    assert (scores[np.arange(300), answers] == scores.max(1)).all()


def test_answers_of_other_clips_are_refused():
    with pytest.raises(ValueError, match="answers and targets must be of the same clips, got 5 and 4"):
        confusion_of_answers(np.zeros(5, int), np.zeros(4, int), 2)
