"""zsar_lab.results.generalised: S, U, H and their curve by hand, by plain loops, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from sklearn.metrics import auc

from zsar_lab.results.generalised import (
    AVERAGES,
    choose_gamma,
    harmonic_mean,
    seen_unseen_curve,
)

# classes a, b are seen, c, d unseen
IS_SEEN = np.array([True, True, False, False])
SCORES = np.array(
    [
        [0.9, 0.1, 0.3, 0.0],  # a: margin 0.6, right until 0.6 is taken off
        [0.5, 0.2, 0.4, 0.1],  # a: margin 0.1
        [0.8, 0.3, 0.1, 0.2],  # b, which is not even the best seen class
        [0.6, 0.1, 0.4, 0.2],  # c: margin 0.2, right from there on
        [0.1, 0.2, 0.5, 0.9],  # d: margin -0.7, right from there on
    ]
)
TARGETS = np.array([0, 0, 1, 2, 3])


def many(seed: int, coarse: bool = False, n: int = 40):
    random, is_seen = np.random.default_rng(seed), np.arange(5) < 3
    scores = random.normal(size=(n, 5)) + 0.8 * is_seen
    targets = np.concatenate([np.arange(5), random.integers(0, 5, n - 5)])
    scores[np.arange(n), targets] += 1
    return np.round(2 * scores) / 2 if coarse else scores, targets, is_seen


def score(scores, targets, is_seen, gamma=0.0, average="mean_class") -> tuple[float, float, float]:
    """S, U and H with gamma taken off the seen scores, by a plain loop."""
    s, u = reference.seen_and_unseen(scores, targets, is_seen, gamma, average == "mean_class")
    return s, u, float(harmonic_mean(s, u))


def test_the_harmonic_mean_by_hand_and_by_the_standard_library():
    from statistics import harmonic_mean as theirs

    assert harmonic_mean(0, 0) == 0 and harmonic_mean(0, 0.7) == 0
    for pair in ((0.2, 0.6), (1, 1), (0.3, 0.9)):
        assert harmonic_mean(*pair) == pytest.approx(theirs(pair))
    assert harmonic_mean(np.array([0.0, 0.5]), np.array([0.0, 1.0])) == pytest.approx([0, 2 / 3])


def test_the_curve_by_hand():
    curve = seen_unseen_curve(SCORES, TARGETS, IS_SEEN, average="micro")
    assert curve.breakpoints == pytest.approx([-0.7, 0.1, 0.2, 0.6])
    assert curve.seen == pytest.approx([2 / 3, 2 / 3, 1 / 3, 1 / 3, 0])
    assert curve.unseen == pytest.approx([0, 0.5, 0.5, 1, 1])
    assert curve.area == pytest.approx(0.5 * 2 / 3 + 0.5 * 1 / 3)
    assert curve.harmonic_upper_bound == pytest.approx(4 / 7)
    assert curve.gammas == pytest.approx([-np.inf, -0.3, 0.15, 0.4, np.inf])
    # a breakpoint of both sides, of margins that are equal to the last bit, is a slope
    scores, targets = np.array([[0.5, 0, 0.375, 0], [0.375, 0, 0.25, 0]]), np.array([0, 2])
    assert seen_unseen_curve(scores, targets, IS_SEEN).area == pytest.approx(0.5)
    # tied classes are not right at any gamma
    tied = np.array([[1.0, 1, 0, 0], [0, 0, 1.0, 1]])
    assert seen_unseen_curve(tied, targets, IS_SEEN).breakpoints.size == 0


@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("coarse", [False, True])
def test_score_and_curve_equal_the_plain_loops(average, coarse):
    for seed in range(6):
        scores, targets, is_seen = many(seed, coarse)
        curve = seen_unseen_curve(scores, targets, is_seen, average)
        assert curve.area == pytest.approx(auc(curve.unseen, curve.seen))
        for gamma, seen, unseen in zip(curve.gammas.clip(-1e3, 1e3), curve.seen, curve.unseen):
            assert score(scores, targets, is_seen, gamma, average)[:2] == pytest.approx((seen, unseen))


def test_gamma_by_hand():
    # H is 0.57 with nothing right lost between -0.7 and 0.1, and 0.5 between 0.2 and 0.6
    assert choose_gamma(SCORES, TARGETS, IS_SEEN, average="micro") == pytest.approx(-0.3)
    # of the equally good stretches -3..-1 and 1..2 the second is nearer to 0
    scores = np.array([[2.0, 0, 0, 0], [0, -1, 1, 0], [0, -1, 3, 0], [1.5, 0, 0.5, 0]])
    targets = np.array([0, 0, 2, 2])
    assert seen_unseen_curve(scores, targets, IS_SEEN).harmonic == pytest.approx([0, 2 / 3, 1 / 2, 2 / 3, 0])
    assert choose_gamma(scores, targets, IS_SEEN) == 1.5


def test_where_nothing_is_right_no_gamma_is_taken_off():
    wrong = np.array([[0.0, 1, 0, 0], [1, 0.0, 0, 0], [0, 0, 0.0, 1], [0, 0, 1, 0.0]])
    curve = seen_unseen_curve(wrong, np.arange(4), IS_SEEN)
    assert curve.breakpoints.size == curve.area == curve.harmonic_upper_bound == 0
    assert curve.seen.tolist() == curve.unseen.tolist() == curve.gammas.tolist() == [0]
    assert choose_gamma(wrong, np.arange(4), IS_SEEN) == 0


@pytest.mark.parametrize("function", [seen_unseen_curve, choose_gamma])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"is_seen_C": IS_SEEN[:3]}, "4 classes .*got 3"),
        ({"is_seen_C": np.ones(4, bool)}, "no unseen class"),
        ({"is_seen_C": np.zeros(4, bool)}, "no seen class"),
        ({"scores_BC": SCORES[:3], "targets": TARGETS[:3]}, "no unseen clip"),
        ({"targets": TARGETS[:3]}, "5 and 3"),
        ({"scores_BC": SCORES + np.inf}, "finite, got 20"),
        ({"average": "macro"}, "'macro'"),
    ],
)
def test_what_cannot_be_scored_is_refused(function, changes, words):
    with pytest.raises(ValueError, match=words):
        function(**({"scores_BC": SCORES, "targets": TARGETS, "is_seen_C": IS_SEEN} | changes))
