"""zsar_lab.results.hubness: k-occurrence and its measures by hand, by a plain loop and by scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference

from zsar_lab.results.hubness import (
    hubness,
    hubness_interval,
    k_occurrence,
    occurrence_table,
)

MEASURES = ("skewness", "robin_hood", "gini", "antihubs", "hub_occurrence", "atkinson")
RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(60, 7)) + np.array([2, 0, 0, 0, 0, 0, -3])


def test_k_occurrence_by_hand_and_by_the_plain_loop():
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert k_occurrence(scores, 1).tolist() == [3, 0, 1]
    assert k_occurrence(scores, 2).tolist() == [3, 3, 2]
    assert k_occurrence(scores, 3).tolist() == [4, 4, 4]
    tied = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    assert k_occurrence(tied, 1).tolist() == [1, 1, 0]  # the first class counts
    for k in (1, 2, 5, 7):
        assert k_occurrence(SCORES, k).tolist() == reference.k_occurrence(SCORES.tolist(), k)


def test_the_measures_by_hand():
    # N = (6, 2, 0, 0): mean 2, deviations 4, 0, -2, -2
    measures = hubness(np.array([6, 2, 0, 0]), k=1)
    assert measures.k == 1
    assert measures.skewness == pytest.approx((64 - 8 - 8) / 4 / math.sqrt(24 / 4) ** 3)
    assert measures.robin_hood == pytest.approx(0.5 * (4 + 2 + 2) / 8)  # of all predictions half have to move
    # |Ni - Nj| over the 6 pairs: 4 6 6 2 2 0, each counted twice
    assert measures.gini == pytest.approx(2 * 20 / (2 * 4 * 8))
    assert measures.antihubs == 0.5
    assert measures.hub_occurrence == pytest.approx(6 / 8)  # only the first class has twice the mean or more
    assert measures.atkinson == pytest.approx(1 - ((math.sqrt(6) + math.sqrt(2)) / 4) ** 2 / 2)

    # a hub has twice the mean or more
    assert hubness(np.array([4, 2, 1, 1]), k=1).hub_occurrence == 0.5
    assert hubness(np.array([39, 21, 10, 10]), k=1).hub_occurrence == 0
    equal = hubness(np.full(5, 3), k=1)
    assert [getattr(equal, name) for name in MEASURES] == pytest.approx([0] * 6) and equal.atkinson >= 0


def test_the_measures_a_second_way():
    from scipy.stats import skew  # it takes a second to import, and every process collects this file

    for k in (1, 2, 5):
        counts = k_occurrence(SCORES, k)
        measures = hubness(counts, k)
        assert measures.skewness == pytest.approx(skew(counts))
        assert measures.gini == pytest.approx(reference.gini(counts.tolist()))
        assert measures.atkinson == pytest.approx(reference.atkinson(counts.tolist()))
        surplus = sum(count - counts.mean() for count in counts if count > counts.mean())
        assert measures.robin_hood == pytest.approx(surplus / counts.sum())


# class by class

TABLE_SCORES = np.array([[3.0, 2, 1, 0], [3, 2, 1, 0], [3, 1, 2, 0], [3, 2, 1, 0], [1, 2, 3, 0]])
TABLE_TARGETS = np.array([0, 0, 1, 1, 2])
NAMES = ("run", "jump", "swim", "fly")


def test_the_occurrence_table_by_hand():
    table = occurrence_table(TABLE_SCORES, TABLE_TARGETS, NAMES)  # N_1 = 4, 0, 1, 0 and mean 1.25
    assert table["class"].tolist() == ["run", "swim", "jump", "fly"]
    assert table["clips"].tolist() == [2, 1, 2, 0]
    assert table["occurrence"].tolist() == [4, 1, 0, 0]
    assert table["answers_per_clip"].tolist() == pytest.approx([2, 1, 0, math.nan], nan_ok=True)
    assert table["is_hub"].tolist() == [True, False, False, False]
    assert table["is_antihub"].tolist() == [False, False, True, True]
    assert table["top1"].tolist() == pytest.approx([1, 1, 0, math.nan], nan_ok=True)


# intervals


def test_the_interval_holds_the_measure_repeats_by_seed_and_is_nothing_without_hubs():
    counts = k_occurrence(SCORES, 2)
    found, measures = hubness_interval(counts, 2, seed=4), hubness(counts, 2)
    assert found == hubness_interval(counts, 2, seed=4) != hubness_interval(counts, 2, seed=5)
    assert all(low <= getattr(measures, name) <= high for name, (low, high) in found.items())
    # a method that is always right has no hubs, whatever classes are drawn
    assert all(interval == pytest.approx((0, 0)) for interval in hubness_interval(np.full(20, 9), 1).values())
    # some resamples hold nothing but classes that were never answered
    assert hubness_interval(np.array([5, 0, 0]), 1)["antihubs"] == (0, pytest.approx(2 / 3))


def test_the_interval_covers_the_truth_about_as_often_as_said():
    splits = [np.random.default_rng([3, n]).negative_binomial(3, 0.2, 101) for n in range(200)]
    measured = [hubness(counts, 1) for counts in splits]
    intervals = [hubness_interval(counts, 1, seed=n, n_resamples=200) for n, counts in enumerate(splits)]
    for name in ("robin_hood", "gini", "atkinson"):
        truth = np.mean([getattr(m, name) for m in measured])
        held = [low <= truth <= high for low, high in (interval[name] for interval in intervals)]
        assert 0.88 <= np.mean(held) <= 0.98


def test_the_interval_of_a_mean_over_splits():
    random = np.random.default_rng(4)
    first, second = random.poisson(8, 30), random.poisson(3, 12)
    found = hubness_interval([first, second], 1, n_resamples=400)
    assert set(found) == set(MEASURES)
    drawing = np.random.default_rng(0)  # all resamples of a split at once, one split after the other
    resampled = [
        [hubness(row, 1).gini for row in counts[drawing.integers(len(counts), size=(400, len(counts)))]]
        for counts in (first, second)
    ]
    assert found["gini"] == pytest.approx(tuple(np.percentile(np.mean(resampled, axis=0), [2.5, 97.5])))
    assert hubness_interval([first], 1) == hubness_interval(first, 1)
    width = {name: found[name][1] - found[name][0] for name in found}
    alone = hubness_interval(second, 1, n_resamples=400)
    assert width["gini"] < alone["gini"][1] - alone["gini"][0]


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (k_occurrence, (SCORES, 0), "k must be in 1..7 .* got 0"),
        (k_occurrence, (SCORES, 8), "k must be in 1..7 .* got 8"),
        (occurrence_table, (TABLE_SCORES, TABLE_TARGETS, NAMES[:3]), "got 3 names of 4 classes"),
        (occurrence_table, (TABLE_SCORES[:0], TABLE_TARGETS[:0], NAMES), "at least one clip, got none"),
        (
            occurrence_table,
            (TABLE_SCORES[:2], TABLE_TARGETS, NAMES),
            "must be of the same clips, got 2 and 5",
        ),
        (hubness_interval, (np.zeros(3), 1), "needs at least one clip, got none"),
        (hubness_interval, (np.ones(1), 1), "needs at least 2 classes, got 1"),
    ],
)
def test_what_has_no_hubness_is_refused(function, arguments, words):
    with pytest.raises(ValueError, match=words):
        function(*arguments)
