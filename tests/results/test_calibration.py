"""zsar_lab.results.calibration: by hand, by plain loops, by scikit-learn and scipy, and by properties."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import reference

from zsar_lab.results.calibration import (
    BINNINGS,
    choose_temperature,
    confidences,
    negative_log_likelihood,
    reliability,
    risk_coverage,
)

RANDOM = np.random.default_rng(0)
SCORES, TARGETS = RANDOM.normal(size=(200, 6)), RANDOM.integers(0, 6, 200)
SCORES[np.arange(200), TARGETS] += 0.8


# confidences and temperature


def test_confidences_by_hand_and_by_the_plain_loop():
    assert confidences(np.array([[0.0, math.log(3)]]), 1).tolist() == [pytest.approx([0.25, 0.75])]
    assert confidences(np.array([[0.0, math.log(3)]]), 0.5).tolist() == [pytest.approx([0.1, 0.9])]
    found = confidences(SCORES[:20], 0.3)
    for row, scores in zip(found, SCORES[:20]):
        assert row == pytest.approx(reference.softmax(scores / 0.3))
    assert found.sum(1) == pytest.approx(np.ones(20)) and (found.argmax(1) == SCORES[:20].argmax(1)).all()
    large = confidences(SCORES + 1e4, 1e-3)  # neither overflow nor a warning
    assert np.isfinite(large).all() and large.max() <= 1


def test_the_likelihood_equals_the_plain_loop_and_scikit_learns():
    from sklearn.metrics import log_loss

    by_loop = np.mean(
        [reference.cross_entropy(list(row / 0.7), target) for row, target in zip(SCORES, TARGETS)]
    )
    assert negative_log_likelihood(SCORES, TARGETS, 0.7) == pytest.approx(by_loop)
    assert by_loop == pytest.approx(log_loss(TARGETS, confidences(SCORES, 0.7), labels=range(6)))


def test_the_temperature_is_the_best_of_a_fine_grid():
    found = choose_temperature(SCORES, TARGETS)
    grid = np.geomspace(0.05, 20, 2000)
    losses = [negative_log_likelihood(SCORES, TARGETS, t) for t in grid]
    assert found == pytest.approx(grid[np.argmin(losses)], rel=0.01)
    assert negative_log_likelihood(SCORES, TARGETS, found) <= min(losses) + 1e-9
    for scores, confidence in ((np.eye(4), 1), (-np.eye(4), 0.25)):  # always right, and never
        sure = confidences(scores, choose_temperature(scores, np.arange(4))).max(1)
        assert sure == pytest.approx(np.full(4, confidence), abs=1e-3)


# risk and coverage


def test_risk_and_coverage_by_hand():
    curve = risk_coverage([0.5, 0.9, 0.7, 0.8, 0.6], [False, True, False, True, True])
    assert curve.coverage == pytest.approx([0.2, 0.4, 0.6, 0.8, 1])
    assert curve.risk == pytest.approx([0, 0, 1 / 3, 1 / 4, 2 / 5])
    assert (curve.aurc, curve.error_at_80) == pytest.approx(((1 / 3 + 1 / 4 + 2 / 5) / 5, 1 / 4))
    # of 6 clips 80 % are 4.8, so 5 are kept; of 10, 8; of 1, 1
    for n, kept in ((6, 5), (10, 8), (1, 1), (35, 28)):
        wrong = np.arange(n) == kept - 1  # the last one kept
        assert risk_coverage(-np.arange(n), ~wrong).error_at_80 == pytest.approx(1 / kept)


def test_risks_equal_the_mean_over_all_orders_of_tied_clips():
    for seed in range(12):
        random = np.random.default_rng(seed)
        confidence, right = random.integers(0, 3, 6), random.random(6) < 0.5
        assert risk_coverage(confidence, right).risk == pytest.approx(
            reference.risks(confidence.tolist(), right.tolist())
        )


# reliability


def test_reliability_by_hand():
    confidence, right = [0.1, 0.4, 0.6, 0.9, 1.0], [False, True, False, True, True]
    width, mass = (reliability(confidence, right, binning, 2) for binning in BINNINGS)
    wanted = {"low": [0, 0.5], "high": [0.5, 1], "clips": [2, 3], "confidence": [0.25, 2.5 / 3]}
    wanted |= {"accuracy": [0.5, 2 / 3], "gap": [-0.25, 0.5 / 3]}
    pd.testing.assert_frame_equal(width.table, pd.DataFrame(wanted), check_dtype=False)
    assert width.error == pytest.approx((0.5 + 0.5) / 5)
    shown = mass.table[["low", "high", "clips"]].to_dict("list")
    assert shown == {"low": [0.1, 0.9], "high": [0.6, 1], "clips": [3, 2]}
    assert mass.error == pytest.approx((abs(1.1 - 1) + abs(1.9 - 2)) / 5)
    on_cuts = reliability(
        [0.0, 0.25, 0.5, 0.75, 1.0], [True] * 5, n_bins=4
    ).table  # these are of the bin below
    assert on_cuts["clips"].tolist() == [2, 1, 1, 1]


@pytest.mark.parametrize("n_bins", [1, 4, 15])
def test_equal_width_equals_scikit_learns_and_equal_mass_even_pieces(n_bins):
    from sklearn.calibration import calibration_curve

    confidence, right = confidences(SCORES, 0.5).max(1), SCORES.argmax(1) == TARGETS
    found = reliability(confidence, right, n_bins=n_bins)
    accuracy, mean = calibration_curve(right, confidence, n_bins=n_bins)
    np.testing.assert_allclose(found.table[["accuracy", "confidence"]], np.stack([accuracy, mean], 1))
    assert found.error == pytest.approx(np.abs(accuracy - mean) @ found.table["clips"] / len(right))
    pieces, even = np.split(np.argsort(confidence), 8), reliability(confidence, right, "equal mass", 8)
    gaps = [abs(confidence[piece].mean() - right[piece].mean()) for piece in pieces]
    assert even.table["clips"].tolist() == [25] * 8 and even.error == pytest.approx(np.mean(gaps))


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        *((confidences, (SCORES, t), f"above 0, got {t:g}") for t in (0, -1, math.inf, math.nan)),
        (choose_temperature, (np.ones((3, 2)), np.zeros(3, int)), "got the same for all"),
        (choose_temperature, (np.ones((0, 2)), np.zeros(0, int)), "at least one clip, got none"),
        (choose_temperature, (np.full((3, 2), np.nan), np.zeros(3, int)), "finite, got 6"),
        (choose_temperature, (np.ones((3, 2)), np.zeros(2, int)), "got 3 and 2"),
        (reliability, ([0.5, 1.2], [1, 0]), "a confidence must be in 0..1, got 1.2"),
        (reliability, ([0.5, -0.1], [1, 0]), "got -0.1"),
        (reliability, ([0.5], [1, 0]), "must be of the same clips, at least one, got 1 and 2"),
        (reliability, ([], []), "at least one, got 0 and 0"),
        (reliability, ([np.nan], [1]), "confidences must be finite, got 1 that are not"),
        (
            reliability,
            ([0.5], [1], "equal"),
            "at least 1 bin, of equal width or equal mass, got 15 of 'equal'",
        ),
        (reliability, ([0.5], [1], "equal mass", 0), "got 0 of 'equal mass'"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(function, arguments, words):
    with pytest.raises(ValueError, match=words):
        function(*arguments)
