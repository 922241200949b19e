"""zsar_lab.methods.metrics: by hand, by a plain loop and by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from sklearn import metrics as sklearn_metrics

from zsar_lab.methods.metrics import (
    mean_class_accuracy,
    mean_over_classes,
    predicted_classes,
    top_k_accuracy,
    truth_rank,
)

SCORES = np.array(
    [
        [0.9, 0.1, 0.0],  # right
        [0.2, 0.5, 0.3],  # of the first class, which ranks last
        [0.1, 0.6, 0.3],
        [0.1, 0.8, 0.2],  # right
        [0.7, 0.2, 0.6],  # of the third class, which ranks second
    ]
)
TARGETS = np.array([0, 0, 0, 1, 2])
RANDOM = np.random.default_rng(0)
MANY_SCORES, MANY_TARGETS = RANDOM.normal(size=(300, 7)), RANDOM.integers(0, 7, 300)


def test_by_hand():
    assert truth_rank(SCORES, TARGETS).tolist() == [1, 3, 3, 1, 2]
    assert predicted_classes(SCORES, TARGETS).tolist() == [0, 1, 1, 1, 0]
    assert [top_k_accuracy(SCORES, TARGETS, k) for k in (1, 2, 3)] == pytest.approx([2 / 5, 3 / 5, 1])
    assert mean_class_accuracy(SCORES, TARGETS) == pytest.approx((1 / 3 + 1 + 0) / 3)
    # class 1 of three has no clip; the others have 1 of 2 and 1 of 1
    assert mean_class_accuracy(np.eye(3), np.array([0, 0, 2])) == pytest.approx(0.75)


def test_ranks_equal_the_plain_loop_with_ties_too():
    assert truth_rank(MANY_SCORES, MANY_TARGETS).tolist() == reference.truth_rank(MANY_SCORES, MANY_TARGETS)
    coarse, targets = RANDOM.integers(0, 3, (200, 5)).astype(float), RANDOM.integers(0, 5, 200)
    assert truth_rank(coarse, targets).tolist() == reference.truth_rank(coarse, targets)
    predicted = predicted_classes(coarse, targets)
    np.testing.assert_array_equal(predicted == targets, truth_rank(coarse, targets) == 1)
    assert (coarse[np.arange(200), predicted] == coarse.max(1)).all()


def test_a_method_that_cannot_decide_is_not_right():
    constant, targets = np.zeros((6, 3)), np.array([0, 1, 2, 0, 1, 2])
    assert top_k_accuracy(constant, targets, 1) == top_k_accuracy(constant, targets, 2) == 0
    assert mean_class_accuracy(constant, targets) == 0
    tied = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 1.0]])
    assert predicted_classes(tied, np.array([0, 1, 2])).tolist() == [1, 1, 0]
    assert predicted_classes(np.ones((2, 1)), np.zeros(2, int)).tolist() == [0, 0]


def test_the_accuracies_are_scikit_learns():
    for k in (1, 2, 5):
        theirs = sklearn_metrics.top_k_accuracy_score(MANY_TARGETS, MANY_SCORES, k=k, labels=range(7))
        assert top_k_accuracy(MANY_SCORES, MANY_TARGETS, k) == pytest.approx(theirs)
    predicted = MANY_SCORES.argmax(1)
    theirs = pytest.approx(sklearn_metrics.balanced_accuracy_score(MANY_TARGETS, predicted))
    assert mean_class_accuracy(MANY_SCORES, MANY_TARGETS) == theirs
    assert mean_over_classes(predicted == MANY_TARGETS, MANY_TARGETS) == theirs


def test_asked_for_it_the_first_of_tied_classes_is_predicted():
    coarse, targets = RANDOM.integers(0, 3, (200, 5)).astype(float), RANDOM.integers(0, 5, 200)
    ranks, predicted = truth_rank(coarse, targets, "first"), predicted_classes(coarse, targets, "first")
    for scores, target, rank, found in zip(coarse.tolist(), targets, ranks, predicted, strict=True):
        order = sorted(range(5), key=lambda c: (-scores[c], c))  # noqa: B023
        assert found == order[0] == scores.index(max(scores)) and rank == 1 + order.index(target)
    usual = truth_rank(coarse, targets)
    assert (ranks <= usual).all() and (ranks == 1).sum() > (usual == 1).sum()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_or_of_other_clips_are_refused(bad):
    scores = SCORES.copy()
    scores[1, 2] = scores[4, 0] = bad
    for metric in (truth_rank, mean_class_accuracy, lambda *given: top_k_accuracy(*given, 1)):
        with pytest.raises(ValueError, match="finite, got 2"):
            metric(scores, TARGETS)
        with pytest.raises(ValueError, match="5 and 4"):
            metric(SCORES, TARGETS[:4])
