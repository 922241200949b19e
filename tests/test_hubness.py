"""zsar_lab.zeroshot.hubness: k-occurrence and its measures by hand, by a plain loop, by scipy, and by properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference

from zsar_lab.zeroshot.hubness import hubness, k_occurrence

RANDOM = np.random.default_rng(0)
SCORES = RANDOM.normal(size=(60, 7)) + np.array([2, 0, 0, 0, 0, 0, -3])


def test_k_occurrence_by_hand():
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 1.0, 2.0], [3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert k_occurrence(scores, 1).tolist() == [3, 0, 1]
    assert k_occurrence(scores, 2).tolist() == [3, 3, 2]
    assert k_occurrence(scores, 3).tolist() == [4, 4, 4]


def test_ties_go_to_the_first_class():
    assert k_occurrence(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]]), 1).tolist() == [1, 1, 0]


@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_k_occurrence_equals_the_plain_loop(k):
    counts = k_occurrence(SCORES, k)
    assert counts.tolist() == reference.k_occurrence(SCORES.tolist(), k)
    assert counts.sum() == k * len(SCORES)


@pytest.mark.parametrize("k", [0, 8])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(ValueError, match=rf"k must be in 1..7 \(the number of classes\), got {k}"):
        k_occurrence(SCORES, k)


def test_the_measures_by_hand():
    # N = (6, 2, 0, 0): mean 2, deviations 4, 0, -2, -2
    measures = hubness(np.array([6, 2, 0, 0]), k=1)
    assert measures.k == 1
    assert measures.skewness == pytest.approx((64 - 8 - 8) / 4 / math.sqrt(24 / 4) ** 3)
    assert measures.robin_hood == pytest.approx(0.5 * (4 + 2 + 2) / 8)  # half of all answers would have to move
    # |Ni - Nj| over the 6 pairs: 4 6 6 2 2 0, each counted twice
    assert measures.gini == pytest.approx(2 * 20 / (2 * 4 * 8))
    assert measures.antihubs == 0.5
    assert measures.hub_occurrence == pytest.approx(6 / 8)  # only the first class has twice the mean or more


def test_the_measures_a_second_way():
    from scipy.stats import skew  # it takes a second to import, and every process collects this file

    for k in (1, 2, 5):
        counts = k_occurrence(SCORES, k)
        measures = hubness(counts, k)
        assert measures.skewness == pytest.approx(skew(counts))
        assert measures.gini == pytest.approx(reference.gini(counts.tolist()))
        surplus = sum(count - counts.mean() for count in counts if count > counts.mean())
        assert measures.robin_hood == pytest.approx(surplus / counts.sum())


def test_equal_occurrence_is_no_hubness():
    measures = hubness(np.full(5, 3), k=1)
    assert (measures.skewness, measures.robin_hood, measures.gini, measures.antihubs, measures.hub_occurrence) == (0, 0, 0, 0, 0)


def test_one_hub_takes_all():
    n_classes = 10
    measures = hubness(np.eye(n_classes)[0] * 50, k=1)
    assert measures.gini == pytest.approx(1 - 1 / n_classes) and measures.robin_hood == pytest.approx(1 - 1 / n_classes)
    assert measures.antihubs == pytest.approx(0.9) and measures.hub_occurrence == 1
    assert measures.skewness == pytest.approx((n_classes - 2) / math.sqrt(n_classes - 1))  # of a Bernoulli share of 1/n


def test_the_measures_do_not_depend_on_scale_or_order():
    counts = np.array([9, 4, 1, 0, 2, 2])
    measures = hubness(counts, 1)
    for other in (hubness(7 * counts, 1), hubness(counts[::-1], 1)):
        for name in ("skewness", "robin_hood", "gini", "antihubs", "hub_occurrence"):
            assert getattr(other, name) == pytest.approx(getattr(measures, name))


@pytest.mark.parametrize("nothing", [np.zeros(4), np.array([])])
def test_nothing_counted_is_refused(nothing):
    with pytest.raises(ValueError, match="hubness needs at least one clip, got none"):
        hubness(nothing, 1)
