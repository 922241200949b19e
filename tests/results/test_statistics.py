"""zsar_lab.results.statistics: by hand, by plain loops, by scipy, and a small simulation."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from zsar_lab.results.statistics import (
    DIFFERENCES,
    accuracy,
    class_comparison,
    compare,
    differences,
    harmonic_interval,
    holm,
    interval,
    is_right,
    min_detectable,
    per_class,
    score_interval,
    standard_error,
    wilson,
)


def rows_of(text: str, **more: object) -> pd.DataFrame:
    """Rows "label+" for a right and "label-" for a wrong clip."""
    found = [(word[0], word[0] if word[1] == "+" else "?") for word in text.split()]
    return pd.DataFrame(found, columns=["label", "prediction"]).assign(**more)


def random_rows(n_classes: int, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    labels = np.repeat([f"class {n}" for n in range(n_classes)], random.integers(1, 9, n_classes))
    right = random.random(len(labels)) < 0.5
    clips = [f"clip {n}" for n in range(len(labels))]
    return pd.DataFrame({"clip": clips, "label": labels, "prediction": np.where(right, labels, "other")})


ROWS = rows_of("a+ a+ a+ a- b- b+ c-")


# accuracies


def test_accuracies_by_hand():
    assert accuracy(ROWS) == 4 / 7 and accuracy(ROWS, "mean_class") == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)
    assert per_class(ROWS).to_dict("list") == {"right": [3, 1, 0], "clips": [4, 2, 1]}
    assert accuracy(per_class(ROWS)) == accuracy(ROWS)
    both = pd.concat(
        [ROWS.assign(split="one"), rows_of("a- d+", split="two")]
    )  # a class of two splits is one
    assert per_class(both).loc["a"].tolist() == [3, 5] and len(per_class(both)) == 4
    assert accuracy(both, "mean_class") == pytest.approx((3 / 5 + 1 / 2 + 0 + 1) / 4)
    tied = pd.DataFrame({"label": ["a", "b"], "prediction": ["a", "b"], "rank": [1, 2]})  # a rank decides
    assert is_right(tied).tolist() == [True, False] and accuracy(tied) == 0.5
    assert accuracy(tied.astype({"label": "category"})) == 0.5


CLIPS = {"clip": [*"tuvwxyz"]}


@pytest.mark.parametrize(
    ("function", "given", "words"),
    [
        (accuracy, (pd.DataFrame({"label": ["a"]}),), "label and prediction, got label"),
        (accuracy, (pd.DataFrame({"prediction": ["a"]}),), "got prediction"),
        (accuracy, (ROWS[:0],), "got 0 rows"),
        (accuracy, (ROWS.assign(label=[*"aaaab", None, "c"]),), "1 without one"),
        (accuracy, (ROWS, "micro"), "top1, mean_class, got 'micro'"),
        (interval, (rows_of("a+ a-"),), "at least 2 classes, got 1"),
        (compare, (rows_of("a+ a-"), rows_of("a+ a-")), "at least 2 classes, got 1"),
        (compare, (ROWS.assign(**CLIPS), ROWS.assign(clip=[*"tuvwxy", "another"])), "'another'"),
        (compare, (ROWS, pd.concat([ROWS, rows_of("a+")])), "'a'"),
        (compare, (ROWS.assign(split="x", **CLIPS), ROWS.assign(split="y", **CLIPS)), "'x'"),
    ],
)
def test_rows_that_cannot_be_scored_or_compared_are_refused(function, given, words):
    with pytest.raises(ValueError, match=words):
        function(*given)


# intervals


def test_the_standard_error_by_plain_loops():
    x, weights = np.array([0.2, 0.9, 0.4, 0.5]), np.array([0.5, 0.2, 0.2, 0.1])
    mean = sum(w * one for w, one in zip(weights, x))
    variance = sum((w * (one - mean)) ** 2 / (1 - w) for w, one in zip(weights, x))
    # by the matrix of residuals: the estimate is x' A x, its degrees of freedom (tr A)^2 / tr A^2
    residuals = np.eye(4) - weights[None, :]
    form = residuals.T @ np.diag(weights**2 / (1 - weights)) @ residuals
    bell = np.trace(form) ** 2 / np.trace(form @ form)
    se, df = standard_error(x, weights)
    assert se == pytest.approx(variance**0.5) and df == round(3 / (2 / bell + 1 / 3), 2) < 3
    assert [standard_error(x, weights, share)[1] for share in (0.0, 1.0)] == [3, round(bell, 2)]
    se, df = standard_error(x, np.full(4, 1 / 4))  # with equal weights that of a mean
    assert (se, df) == (pytest.approx(x.std(ddof=1) / 2), 3)


def test_the_ends_of_an_interval_solve_its_equation_and_are_scipys_for_clips_alone():
    table = per_class(random_rows(12))
    share, weights = (table["right"] / table["clips"]).to_numpy(), np.full(12, 1 / 12)
    (se, df), mean = standard_error(share, weights), share.mean()
    n_clips = mean * (1 - mean) / se**2
    for end in interval(table, "mean_class"):
        spread = stats.t.ppf(0.975, df) ** 2 * end * (1 - end) / n_clips
        assert (mean - end) ** 2 == pytest.approx(spread, rel=1e-3)
    found = wilson(0.3, (0.3 * 0.7 / 50) ** 0.5, df=2000, n_if_alike=1)
    wanted = stats.binomtest(15, 50).proportion_ci(method="wilson")
    assert found == pytest.approx((wanted.low, wanted.high), abs=4e-4)
    for text, side in (("a+ b+ c+ d+ d+", 1), ("a- b- c- d-", 0)):  # within 0..1 and never empty
        low, high = interval(rows_of(text))
        assert (high if side else low) == side and high - low > 0.3
    low, high = interval(rows_of("a+ a- b+ b- c- c+ d- d+"))  # all alike: each class counts as a clip
    assert low < 0.2 and high > 0.8


def test_the_interval_is_about_classes_not_clips():
    rows = random_rows(20)
    assert interval(pd.concat([rows] * 20)) == pytest.approx(interval(rows))
    assert interval(rows.sample(frac=1, random_state=1)) == interval(rows)
    low, high = interval(rows)
    assert low < accuracy(rows) < high


# comparisons


def flipped_by_loop(difference: np.ndarray, weights: np.ndarray) -> float:
    """The mid-p of all sign patterns."""
    found, larger, equal = abs(weights @ difference), 0, 0
    for signs in itertools.product((1, -1), repeat=len(difference)):
        value = abs(sum(s * w * d for s, w, d in zip(signs, weights, difference)))
        larger, equal = larger + (value > found + 1e-9), equal + (abs(value - found) <= 1e-9)
    return (larger + equal / 2) / 2 ** len(difference)


@pytest.mark.parametrize("n_classes", [8, 11])
@pytest.mark.parametrize("equal", [True, False])
def test_the_p_value_is_that_of_all_sign_patterns(n_classes, equal):
    random = np.random.default_rng(n_classes)
    weights = np.full(n_classes, 1.0) if equal else random.uniform(1, 30, n_classes)
    weights, difference = weights / weights.sum(), random.integers(-3, 5, n_classes) / 8
    found = class_comparison(difference, weights)
    assert found.p == pytest.approx(flipped_by_loop(difference, weights))
    assert found.difference == pytest.approx(weights @ difference)


@pytest.mark.parametrize("n_classes", [5, 8, 12, 40])
def test_the_interval_holds_what_the_test_does_not_reject(n_classes):
    random = np.random.default_rng(n_classes)
    weights = random.uniform(1, 5, n_classes)
    weights, difference = weights / weights.sum(), random.normal(0.1, 0.3, n_classes)
    found = class_comparison(difference, weights)
    for end, inwards in ((found.low, 1), (found.high, -1)):
        assert class_comparison(difference - end - 1e-4 * inwards, weights).p > 0.05
        assert class_comparison(difference - end + 1e-4 * inwards, weights).p <= 0.05 + 1e-6
    back, turned = class_comparison(-difference, weights), (-found.difference, -found.high, -found.low)
    assert (back.difference, back.low, back.high) == pytest.approx(turned)
    assert back.p == found.p and class_comparison(difference, weights) == found


def test_few_classes_are_compared_by_students_t():
    difference = np.array([0.1, 0.3, -0.1, 0.2, 0.4])
    found, wanted = class_comparison(difference, np.full(5, 0.2)), stats.ttest_1samp(difference, 0)
    assert found.p == pytest.approx(wanted.pvalue, abs=1e-5)
    assert (found.low, found.high) == pytest.approx(tuple(wanted.confidence_interval()), rel=1e-4)
    alike = class_comparison(np.full(5, 0.1), np.full(5, 0.2))
    assert alike.p == 1 / 32 and alike.low == pytest.approx(0.1)  # never surer than all signs alike


def test_the_interval_holds_0_exactly_where_there_is_no_claim():
    random, same = np.random.default_rng(0), 0
    for n_classes in (3, 4, 7, 8, 10, 12):
        for _ in range(60):
            difference = random.integers(-1, 3, n_classes) / 10  # many are equal, or 0
            found = class_comparison(difference, np.full(n_classes, 1 / n_classes))
            assert (found.low <= 0 <= found.high) == (found.p > 0.05), difference
            same += found.p == 1
    assert same
    rows = random_rows(20)
    found = compare(rows, rows)
    assert (found.difference, found.low, found.high, found.p, found.min_detectable) == (0, 0, 0, 1, 0)


@pytest.mark.parametrize("quantity", ["top1", "mean_class"])
def test_a_difference_is_of_the_quantity_of_the_accuracies(quantity):
    a, b = random_rows(15), random_rows(15)
    b["prediction"] = np.where(np.arange(len(b)) % 3 == 0, b["label"], b["prediction"])
    found = compare(b, a.sample(frac=1, random_state=0), quantity)
    assert found.difference == pytest.approx(accuracy(b, quantity) - accuracy(a, quantity))
    assert 0 < found.low < found.difference < found.high and found.p < 0.05
    assert compare(per_class(b), per_class(a), quantity) == found


def test_the_smallest_detectable_difference_by_hand_and_simulated():
    se = 12 / 101**0.5
    assert f"{min_detectable(se, 100):.1f}" == "3.4" and min_detectable(0, 1) == 0
    assert min_detectable(1, 9) == pytest.approx(stats.t.ppf(0.975, 9) + stats.t.ppf(0.8, 9))
    random, weights = np.random.default_rng(0), np.full(101, 1 / 101)
    studies = random.normal(min_detectable(se, 100), 12, (300, 101))
    assert 0.73 <= np.mean([class_comparison(one, weights).p <= 0.05 for one in studies]) <= 0.87


def test_holm_by_hand_and_by_its_definition():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.6, 0.9]).tolist() == [1, 1] and holm([]).tolist() == []
    p = np.random.default_rng(0).random(20) ** 3
    adjusted, ordered = holm(p), np.sort(p)
    for one, found in zip(p, adjusted):
        steps = [(20 - j) * other for j, other in enumerate(ordered) if other <= one]
        assert found == pytest.approx(min(1, max(steps)))
    for wrong in (-0.1, 1.1, np.nan):
        with pytest.raises(ValueError, match=f"in 0..1, got {wrong:g}"):
            holm([0.5, wrong])


def test_differences_are_adjusted_within_their_group():
    rows = [random_rows(9)] * 2
    better = rows[1].assign(prediction=rows[1]["label"])
    found = differences([None, (better, rows[0]), (rows[0], better), (rows[0], rows[1])], [1, 1, 1, 2])
    assert found.loc[0, list(DIFFERENCES)].isna().all() and not found.loc[0, "claimed"]
    pair = compare(better, rows[0])
    assert found.loc[1, ["difference_low", "difference_high", "p"]].tolist() == [pair.low, pair.high, pair.p]
    assert found["p_holm"].tolist()[1:] == [2 * pair.p, 2 * pair.p, 1] and found["claimed"][1:3].all()


# simulated: a sample of benchmarks/simulate_statistics.py


@pytest.mark.parametrize(("n_classes", "unequal"), [(5, False), (5, True), (10, True), (24, False)])
def test_intervals_and_claims_are_right_as_often_as_they_say(n_classes, unequal):
    random, n_runs, held, claimed = np.random.default_rng(1), 600, 0, 0
    for _ in range(n_runs):
        clips = random.integers(10, 100, n_classes) if unequal else np.full(n_classes, 30)
        weights, a, b = clips / clips.sum(), *random.beta(1, 2, (2, n_classes))
        right_a, right_b = random.binomial(clips, a), random.binomial(clips, b)
        low, high = score_interval(right_a / clips, weights)
        held += low <= 1 / 3 <= high
        claimed += class_comparison((right_a - right_b) / clips, weights).p <= 0.05
    assert 0.92 <= held / n_runs <= 0.98 and 0.02 <= claimed / n_runs <= 0.075  # 4 standard errors around


def test_the_interval_of_h_holds_it_as_often_as_it_says():
    random, n_runs, held = np.random.default_rng(2), 400, 0
    for _ in range(n_runs):
        right = (random.binomial(30, random.beta(*shape, 12)) for shape in ((4, 2), (1, 3)))
        tables = [pd.DataFrame({"right": of_side, "clips": 30}) for of_side in right]
        low, high = harmonic_interval(*tables)
        held += low <= 2 * (2 / 3) * (1 / 4) / (2 / 3 + 1 / 4) <= high
    assert 0.91 <= held / n_runs <= 0.985


def test_the_interval_of_h_by_hand():
    rows = random_rows(9)
    h_low, h_high = harmonic_interval(rows, rows)  # S = U = H, with half the variance
    (low, high), shares = interval(rows), per_class(rows)
    assert low < h_low < accuracy(rows) < h_high < high and len(shares) == 9
    never = rows.assign(prediction="other")
    bottom, top = harmonic_interval(rows, never)
    unseen = interval(never)[1]
    assert bottom == 0 and top == pytest.approx(2 * high * unseen / (high + unseen))
    always = rows.assign(prediction=rows["label"])
    assert harmonic_interval(always, always)[1] == 1
