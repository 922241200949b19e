"""zsar_lab.zeroshot.statistics: intervals that cover what they promise, and comparisons on the same clips."""

from __future__ import annotations

import numpy as np
import pytest

from zsar_lab.zeroshot.statistics import class_bootstrap, paired_difference

RANDOM = np.random.default_rng(0)
CLASSES = [f"class {n // 8}" for n in range(40 * 8)]


def clips_of_classes(random: np.random.Generator, n_classes: int = 40, n_clips: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Right and wrong clips of classes whose accuracies are drawn from beta(2, 3), of mean 0.4."""
    accuracy = random.beta(2, 3, n_classes)
    return (random.random((n_classes, n_clips)) < accuracy[:, None]).ravel().astype(float), np.repeat(np.arange(n_classes), n_clips)


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
    (low, high), (low_mixed, high_mixed) = class_bootstrap(whole, CLASSES), class_bootstrap(RANDOM.permutation(whole), CLASSES)
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


def test_the_difference_of_a_rule_with_itself_is_exactly_zero():
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


def test_no_difference_is_not_claimed_for_rules_alike():
    claimed = 0
    for n in range(100):
        random = np.random.default_rng([8, n])
        _, classes = clips_of_classes(random)
        a, b = (random.random(len(classes)) < 0.4 for _ in range(2))
        low, high = paired_difference(a, b, classes, seed=n)[1]
        claimed += low > 0 or high < 0
    assert claimed <= 14  # 5 of 100 are due; the binomial chance of more than 14 is below 0.1 %
