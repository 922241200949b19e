"""zsar_lab.results.statistics: intervals that cover what they promise, and comparisons on the same clips."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from zsar_lab.results.statistics import (
    N_RESAMPLES,
    class_bootstrap,
    compare_by_class,
    holm,
    paired_difference,
    paired_p_value,
    smallest_detectable,
)

RANDOM = np.random.default_rng(0)
CLASSES = [f"class {n // 8}" for n in range(40 * 8)]


def clips_of_classes(
    random: np.random.Generator, n_classes: int = 40, n_clips: int = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong clips of classes whose accuracies are drawn from beta(2, 3), of mean 0.4."""
    accuracy = random.beta(2, 3, n_classes)
    return (random.random((n_classes, n_clips)) < accuracy[:, None]).ravel().astype(float), np.repeat(
        np.arange(n_classes), n_clips
    )


def test_the_interval_covers_the_truth_as_often_as_it_says():
    n_simulations, covered = 200, 0
    for n in range(n_simulations):
        correct, classes = clips_of_classes(np.random.default_rng([7, n]))
        low, high = class_bootstrap(correct, classes, seed=n, n_resamples=400)
        covered += low <= 0.4 <= high
    assert 0.88 <= covered / n_simulations <= 0.99


def test_the_interval_is_that_of_a_plain_loop():
    correct, classes = clips_of_classes(RANDOM, n_classes=6, n_clips=5)
    correct, classes = correct[:-3], classes[:-3]  # the last class has fewer clips
    by_class = {name: correct[classes == name] for name in range(6)}
    random, means = np.random.default_rng(99), []
    for _ in range(4000):
        drawn = np.concatenate([by_class[name] for name in random.integers(0, 6, 6)])
        means.append(drawn.mean())
    found = class_bootstrap(correct, classes, seed=1, n_resamples=4000)
    # two independent bootstraps of 4000: their percentiles agree to within simulation noise
    np.testing.assert_allclose(found, np.percentile(means, [2.5, 97.5]), atol=0.035)


def test_the_interval_is_about_classes_not_clips():
    # copies of the same clips say nothing new about classes
    correct, classes = clips_of_classes(RANDOM)
    copied = class_bootstrap(np.repeat(correct, 20), np.repeat(classes, 20), seed=3)
    assert copied == pytest.approx(class_bootstrap(correct, classes, seed=3))
    # and clips that are alike within a class make it wider than clips mixed over all classes
    whole = np.repeat([0.0, 1.0], 160)
    (low, high), (low_mixed, high_mixed) = (
        class_bootstrap(whole, CLASSES),
        class_bootstrap(RANDOM.permutation(whole), CLASSES),
    )
    assert high - low > 2 * (high_mixed - low_mixed)


def test_the_interval_by_hand():
    # two classes, all right and all wrong: a resample is 0, 0.5 or 1 with chances 1/4, 1/2, 1/4
    assert class_bootstrap([1, 1, 0, 0], ["a", "a", "b", "b"]) == (0, 1)
    # every class alike: there is nothing to be unsure of
    assert class_bootstrap([1, 0, 1, 0, 0, 1], list("aabbcc")) == (0.5, 0.5)


def test_the_interval_repeats_by_seed_and_not_by_order_or_name():
    correct, classes = clips_of_classes(RANDOM)
    first = class_bootstrap(correct, classes, seed=5)
    np.random.seed(0)
    assert class_bootstrap(correct, classes, seed=5) == first
    assert class_bootstrap(correct, classes, seed=6) != first
    order = RANDOM.permutation(len(correct))
    assert class_bootstrap(correct[order], classes[order], seed=5) == first
    assert first[0] < correct.mean() < first[1]


@pytest.mark.parametrize(("correct", "classes"), [([1, 0], ["a", "a"]), ([], [])])
def test_an_interval_needs_two_classes(correct, classes):
    with pytest.raises(ValueError, match=f"needs at least 2 classes, got {len(set(classes))}"):
        class_bootstrap(np.array(correct), classes)


def test_the_difference_of_a_method_with_itself_is_exactly_zero():
    correct, classes = clips_of_classes(RANDOM)
    assert paired_difference(correct, correct, classes) == (0.0, (0.0, 0.0))


def test_a_planted_difference_is_found_though_single_intervals_overlap():
    correct, classes = clips_of_classes(RANDOM)
    better = correct.copy()
    wrong = np.flatnonzero(correct == 0)
    better[wrong[::8]] = 1  # every eighth wrong clip is set right, and none the other way
    planted = len(wrong[::8]) / len(correct)
    difference, (low, high) = paired_difference(better, correct, classes)
    assert difference == pytest.approx(planted)
    assert 0 < low < planted < high
    assert class_bootstrap(correct, classes)[1] > class_bootstrap(better, classes)[0]
    mirrored, (mirrored_low, mirrored_high) = paired_difference(correct, better, classes)
    assert (mirrored, mirrored_low, mirrored_high) == pytest.approx((-difference, -high, -low))


def test_no_difference_is_not_claimed_for_methods_alike():
    claimed = 0
    for n in range(100):
        random = np.random.default_rng([8, n])
        _, classes = clips_of_classes(random)
        a, b = (random.random(len(classes)) < 0.4 for _ in range(2))
        low, high = paired_difference(a, b, classes, seed=n)[1]
        claimed += low > 0 or high < 0
    assert claimed <= 14  # 5 of 100 are due; the binomial chance of more than 14 is below 0.1 %


# p values


def test_the_p_value_by_hand():
    # two classes, one all better and one all worse: a resample is -1, 0 or 1 with chances 1/4, 1/2, 1/4, so
    # nothing is below 0.05
    assert paired_p_value(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1]), list("aabb")) == 1
    # better in every class: no resample is at or below 0, and p is the smallest there is
    assert paired_p_value(np.ones(6), np.zeros(6), list("aabbcc")) == 2 / (N_RESAMPLES + 1)
    assert paired_p_value(np.ones(6), np.zeros(6), list("aabbcc"), n_resamples=99) == 0.02
    assert paired_p_value(np.ones(6), np.ones(6), list("aabbcc")) == 1


def test_the_p_value_is_that_of_a_plain_loop():
    a, classes = clips_of_classes(RANDOM, n_classes=7, n_clips=5)
    b = np.where(RANDOM.random(len(a)) < 0.25, 1 - a, a)
    a, b, classes = a[:-3], b[:-3], classes[:-3]  # the last class has fewer clips
    by_class = {name: (a - b)[classes == name] for name in range(7)}
    # the same resamples, drawn as the function draws them
    drawn = np.random.default_rng(4).integers(7, size=(500, 7))
    assert paired_p_value(a, b, classes, seed=4, n_resamples=500) == pytest.approx(
        reference.paired_p_value(by_class, drawn)
    )


def test_the_p_value_and_the_interval_agree_and_mirror():
    agreed = set()
    for n in range(150):
        random = np.random.default_rng([9, n])
        a, classes = clips_of_classes(random, n_classes=12, n_clips=4)
        b = np.where(random.random(len(a)) < 0.2, random.random(len(a)) < 0.1, a)
        p, (low, high) = paired_p_value(a, b, classes, seed=n), paired_difference(a, b, classes, seed=n)[1]
        assert p == paired_p_value(b, a, classes, seed=n) and 2 / (N_RESAMPLES + 1) <= p <= 1
        if p <= 0.05:
            assert low > 0 or high < 0
        elif p > 0.055:  # between the two, the percentile lies between two resamples
            assert low <= 0 <= high
        agreed.add(p <= 0.05)
    assert agreed == {True, False}


def test_true_zeros_have_a_small_p_about_as_often_as_said():
    def share(n_classes: int) -> float:
        found = []
        for n in range(400):
            difference = np.random.default_rng([n_classes, n]).normal(size=n_classes)
            found.append(
                paired_p_value(difference, np.zeros(n_classes), np.arange(n_classes), seed=n, n_resamples=400)
                <= 0.05
            )
        return float(np.mean(found))

    assert 0.02 <= share(101) <= 0.09  # 5 % are due
    assert 0.05 <= share(10) <= 0.16  # with so few classes it is too sure


# counts by class


def counts_of(right: np.ndarray, classes: np.ndarray) -> dict[str, tuple[int, int]]:
    """A plain loop: (right clips, clips) of each class."""
    counts: dict[str, tuple[int, int]] = {}
    for hit, name in zip(right, classes):
        before = counts.get(f"class {name}", (0, 0))
        counts[f"class {name}"] = before[0] + int(hit), before[1] + 1
    return counts


def uneven_splits(seed: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Three splits of some of 15 classes, of 1 to 9 clips each, under two methods."""
    random, splits = np.random.default_rng([15, seed]), []
    for _ in range(3):
        classes = np.repeat(names := random.choice(15, 8, replace=False), random.integers(1, 10, len(names)))
        a = random.random(len(classes)) < 0.5
        splits.append((a, np.where(random.random(len(classes)) < 0.3, ~a, a), classes))
    return splits


@pytest.mark.parametrize("seed", range(5))
def test_counts_by_class_give_the_interval_and_p_of_the_clips(seed):
    splits = uneven_splits(seed)
    found = compare_by_class(
        *([counts_of(split[method], split[2]) for split in splits] for method in (0, 1)), seed=seed
    )
    a, b, classes = (np.concatenate([split[part] for split in splits]) for part in range(3))
    names = [f"class {name}" for name in classes]
    assert (found.difference, found.ci95) == paired_difference(a, b, names, seed=seed)
    assert found.p == paired_p_value(a, b, names, seed=seed)


def test_the_order_of_splits_and_classes_and_empty_classes_change_nothing():
    splits = uneven_splits(9)
    a, b = ([counts_of(split[method], split[2]) for split in splits] for method in (0, 1))
    turned = [
        [dict(reversed(counts.items())) | {"empty": (0, 0)} for counts in reversed(method)]
        for method in (a, b)
    ]
    assert compare_by_class(*turned) == compare_by_class(a, b)
    there, back = compare_by_class(a, b), compare_by_class(b, a)
    assert (back.difference, back.p, back.detectable) == pytest.approx(
        (-there.difference, there.p, there.detectable)
    )


def test_the_detectable_difference_is_that_of_the_classes_differences():
    # all classes of 10 clips: differences 0.2, -0.1, 0.3, 0
    a, b = (
        {name: (right, 10) for name, right in zip("wxyz", rights)} for rights in ((6, 3, 9, 4), (4, 4, 6, 4))
    )
    sd = np.std([0.2, -0.1, 0.3, 0], ddof=1)
    assert compare_by_class([a], [b]).detectable == pytest.approx(smallest_detectable(sd, 4))
    # the same split over two splits
    halves = [{name: (counts[name][0] - 1, 6) for name in counts} for counts in (a, b)]
    rest = [{name: (1, 4) for name in counts} for counts in (a, b)]
    assert compare_by_class([halves[0], rest[0]], [halves[1], rest[1]]) == compare_by_class([a], [b])
    assert compare_by_class([a], [a]).detectable == 0 and compare_by_class([a], [a]).p == 1


def test_with_uneven_classes_it_is_that_of_the_spread_of_the_resamples():
    random = np.random.default_rng(16)
    clips = random.integers(5, 60, 80)
    right_a, right_b = (
        random.binomial(clips, random.beta(*shape, 80)) for shape in ((9, 2), (2, 9))
    )  # far apart, so that uneven clips matter
    found = compare_by_class(
        *(
            [{f"{c:02}": (int(r), int(n)) for c, (r, n) in enumerate(zip(right, clips))}]
            for right in (right_a, right_b)
        )
    )
    chosen = random.integers(80, size=(4000, 80))
    spread = ((right_a - right_b)[chosen].sum(1) / clips[chosen].sum(1)).std()
    assert found.detectable == pytest.approx(2.8016 * spread, rel=0.06)


def test_counts_of_other_clips_are_refused():
    a, other = {"x": (1, 2), "y": (0, 3)}, {"x": (1, 2), "y": (0, 4)}
    with pytest.raises(
        ValueError,
        match="on the same clips, of class 'y' the first has 3 and the second 4; score both on the same split",
    ):
        compare_by_class([a], [other])
    with pytest.raises(ValueError, match="of class 'z' the first has 0 and the second 1"):
        compare_by_class([a], [a | {"z": (1, 1)}])
    with pytest.raises(ValueError, match="needs at least 2 classes, got 1"):
        compare_by_class([{"x": (1, 2)}], [{"x": (0, 2)}])


# several comparisons


def test_holm_by_hand():
    # sorted 0.005, 0.01, 0.03, 0.04 times 4, 3, 2, 1: 0.02, 0.03, 0.06, 0.04, and the last may not fall below
    # the one before
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]).tolist() == [1, 1]
    assert holm([0.03]).tolist() == [0.03] and holm([]).tolist() == []


def test_holm_equals_the_plain_loop_whatever_the_ties():
    for n in range(200):
        random = np.random.default_rng(n)
        p = random.random(random.integers(1, 9)) ** 3
        p = np.round(p, 1) if n % 2 else p
        np.testing.assert_allclose(holm(p), reference.holm(p.tolist()))


def test_holm_is_above_the_raw_p_in_the_same_order_and_below_bonferroni():
    for n in range(50):
        p = np.random.default_rng(n).random(8) ** 4
        adjusted = holm(p)
        assert (adjusted >= p).all() and (adjusted <= np.minimum(1, 8 * p)).all() and adjusted.max() <= 1
        assert (np.diff(adjusted[np.argsort(p)]) >= 0).all() and adjusted.min() == pytest.approx(
            min(1, 8 * p.min())
        )
        order = np.random.default_rng(n).permutation(8)
        np.testing.assert_array_equal(holm(p[order]), adjusted[order])


def test_holm_claims_a_true_zero_in_at_most_one_study_of_twenty():
    claimed = [(holm(np.random.default_rng(n).random(6)) <= 0.05).any() for n in range(2000)]
    assert 0.03 <= np.mean(claimed) <= 0.065
    raw = [(np.random.default_rng(n).random(6) <= 0.05).any() for n in range(2000)]
    assert np.mean(raw) > 0.2


@pytest.mark.parametrize("wrong", [[-0.1], [0.2, 1.5], [float("nan")]])
def test_what_is_no_p_value_is_refused(wrong):
    with pytest.raises(ValueError, match=f"a p value must be in 0..1, got {wrong[-1]:g}"):
        holm(wrong)


# 101 classes, as in UCF101


def test_the_interval_of_101_classes_covers_the_truth():
    covered = []
    for n in range(600):
        correct, classes = clips_of_classes(np.random.default_rng([11, n]), n_classes=101, n_clips=5)
        low, high = class_bootstrap(correct, classes, seed=n, n_resamples=300)
        covered.append(low <= 0.4 <= high)
    assert 0.93 <= np.mean(covered) <= 0.97


def two_methods(random: np.random.Generator, gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two methods on the same clips of 101 classes; in each class the second is right about as often as the first, and `gain` more on average."""
    accuracy = 0.2 + 0.4 * random.random((101, 1))
    a, b = (
        random.random((101, 20)) < share
        for share in (accuracy, np.clip(accuracy + random.normal(gain, 0.05, (101, 1)), 0, 1))
    )
    return a.ravel(), b.ravel(), np.repeat(np.arange(101), 20)


def test_two_methods_alike_are_told_apart_in_one_case_of_twenty():
    claimed = []
    for n in range(400):
        a, b, classes = two_methods(np.random.default_rng([12, n]), gain=0.0)
        claimed.append(paired_p_value(a, b, classes, seed=n, n_resamples=300) <= 0.05)
    assert 0.03 <= np.mean(claimed) <= 0.08


def test_a_gain_of_five_points_over_101_classes_is_found():
    found = []
    for n in range(50):
        a, b, classes = two_methods(np.random.default_rng([13, n]), gain=0.05)
        (low, _), p = paired_difference(b, a, classes, seed=n)[1], paired_p_value(b, a, classes, seed=n)
        assert (low > 0) == (
            p <= 0.05
        ) or 0.04 < p < 0.055  # between two resamples the percentile is interpolated
        found.append(low > 0)
    # 20 clips a class leave an sd of about 16 points, with which 4.5 points are found in 80 % of cases
    assert np.mean(found) >= 0.8


def test_the_smallest_detectable_difference_by_hand():
    assert smallest_detectable(12, 101) == pytest.approx((1.959964 + 0.841621) * 12 / np.sqrt(101))
    assert f"{smallest_detectable(12, 101):.1f}" == "3.3"
    assert smallest_detectable(0.12, 101, power=0.5) == pytest.approx(1.959964 * 0.12 / np.sqrt(101))
    assert smallest_detectable(0, 101) == 0 and smallest_detectable(12, 404) == pytest.approx(
        smallest_detectable(12, 101) / 2
    )
    assert (
        smallest_detectable(12, 101, level=0.01)
        > smallest_detectable(12, 101)
        > smallest_detectable(12, 101, power=0.7)
    )


@pytest.mark.parametrize("power", [0.5, 0.8])
def test_the_smallest_detectable_difference_is_detected_as_often_as_said(power):
    gain = smallest_detectable(0.12, 101, power=power)
    found = []
    for n in range(400):
        difference = np.random.default_rng([14, n]).normal(gain, 0.12, 101)
        found.append(
            paired_p_value(difference, np.zeros(101), np.arange(101), seed=n, n_resamples=300) <= 0.05
        )
    assert np.mean(found) == pytest.approx(power, abs=0.06)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((-1, 101), "the standard deviation of the differences must be a number of at least 0, got -1"),
        ((float("nan"), 101), "at least 0, got nan"),
        ((12, 1), "needs at least 2 classes, got 1"),
        ((12, 101, 0), "the level must be between 0 and 1, such as 0.05, got 0"),
        ((12, 101, 0.05, 1), "the power must be at least 0.5 and below 1, such as 0.8, got 1"),
        ((12, 101, 0.05, 0.2), "got 0.2"),
    ],
)
def test_a_detectable_difference_of_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        smallest_detectable(*arguments)
