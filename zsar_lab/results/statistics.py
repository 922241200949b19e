"""How far a score can be trusted: intervals over classes, and comparisons on the same clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

N_RESAMPLES = 2000
CLAIM_LEVEL = 0.05
ClassCounts = Mapping[str, Sequence[int]]  # by class: right clips, clips


@dataclass(frozen=True)
class PairedComparison:
    """Two methods on the same clips. Differences are fractions, the first less the second.

    Attributes:
        difference: of the shares of right clips.
        ci95: its class-bootstrap 95 % interval.
        p: of "no difference", see `paired_p_value`.
        detectable: the smallest true difference that is found in four of five such studies, see
            `smallest_detectable`; 0 where the two differ by as much in every class, which says nothing of
            other studies.
    """

    difference: float
    ci95: tuple[float, float]
    p: float
    detectable: float


def class_bootstrap(
    correct: np.ndarray, classes: Sequence[str], seed: int = 0, n_resamples: int = N_RESAMPLES
) -> tuple[float, float]:
    """95 % interval of the mean of `correct` by resampling whole classes (class-cluster bootstrap, percentiles).

    Clips of a class are alike, and classes are the sample that a zero-shot score generalises over, so classes
    are drawn with repetition, each with all its clips from all splits; the statistic is the share of right
    clips among those drawn.

    Args:
        correct: [B] 0/1, or any figure a clip (for example the difference of two methods).
        classes: class name of each clip.
        seed: of the resampling.
        n_resamples: how many bootstrap samples.

    Returns:
        The 2.5 % and 97.5 % percentiles.

    Raises:
        ValueError: fewer than two classes.
    """
    low, high = np.percentile(_resampled_means(correct, classes, seed, n_resamples), [2.5, 97.5])
    return float(low), float(high)


def paired_difference(
    correct_a: np.ndarray, correct_b: np.ndarray, classes: Sequence[str], seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Difference of two methods on the same clips, mean(a - b), with its class-bootstrap 95 % interval."""
    difference = np.asarray(correct_a, dtype=float) - np.asarray(correct_b, dtype=float)
    return float(difference.mean()), class_bootstrap(difference, classes, seed)


def paired_p_value(
    correct_a: np.ndarray,
    correct_b: np.ndarray,
    classes: Sequence[str],
    seed: int = 0,
    n_resamples: int = N_RESAMPLES,
) -> float:
    """Two-sided p value of "no difference" of two methods on the same clips, from the resamples that `paired_difference` reads.

    p = min(1, 2 (1 + min(#{d* <= 0}, #{d* >= 0})) / (n_resamples + 1)), d* the difference in a
    class-bootstrap resample. So it is never below 2 / (n_resamples + 1), 0.001 for 2000, and p <= 0.05 means
    that the 95 % interval leaves 0 out.

    With few classes it is too sure, as is the interval: of simulated true zeros 5-10 % have p <= 0.05 with 10
    to 50 classes (1-4 % have p <= 0.01), and 5-6 % with 101.

    Args:
        correct_a, correct_b: [B] 0/1 of the two methods, clip by clip.
        classes, seed, n_resamples: as for `class_bootstrap`.

    Raises:
        ValueError: fewer than two classes.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 15 (the level at which the
    percentile interval reaches 0); the 1 on both sides of the fraction keeps p above 0, as Davison and
    Hinkley, 1997, section 4.2.
    """
    difference = np.asarray(correct_a, dtype=float) - np.asarray(correct_b, dtype=float)
    return _p_value(_resampled_means(difference, classes, seed, n_resamples))


def compare_by_class(
    counts_a: Sequence[ClassCounts], counts_b: Sequence[ClassCounts], seed: int = 0
) -> PairedComparison:
    """Compare two methods by how many clips of each class they have right; interval and p are those of `paired_difference` and `paired_p_value`.

    A resample splits whole classes, so counts by class tell it as much as the clips do. With g_c the clips of
    class c that the first has right less those that the second has, n_c its clips, both over all splits, and
    d = sum g / sum n, the standard deviation that `detectable` reads is that of (g_c - d n_c) / mean(n) over
    the C classes (ddof 1): of the classes' differences, where all have as many clips.

    Args:
        counts_a, counts_b: for each split and class (right clips, clips); the same splits in the same order.
            Classes without clips are left out.
        seed: of the resampling.

    Raises:
        ValueError: the clips are not the same, or of fewer than two classes.

    Source: the standard error of a ratio over clusters, for example Cochran, Sampling Techniques, 1977,
    chapter 6.
    """
    clips, gained = Counter(), Counter()
    for of_a, of_b in zip(counts_a, counts_b, strict=True):
        n_a, n_b = ({name: n for name, (_, n) in counts.items() if n} for counts in (of_a, of_b))
        if n_a != n_b:
            name = min(name for name in n_a | n_b if n_a.get(name) != n_b.get(name))
            raise ValueError(
                f"two methods are compared on the same clips, of class {name!r} the first has {n_a.get(name, 0)} and the second {n_b.get(name, 0)};"
                " score both on the same split"
            )
        clips.update(n_a)
        gained.update({name: of_a[name][0] - of_b[name][0] for name in n_a})
    names = sorted(clips)
    clips_C, gained_C = (
        np.array([counts[name] for name in names], dtype=float) for counts in (clips, gained)
    )
    drawn = _resampled_ratios(gained_C, clips_C, seed, N_RESAMPLES)
    low, high = np.percentile(drawn, [2.5, 97.5])
    difference = float(gained_C.sum() / clips_C.sum())
    sd = float(((gained_C - difference * clips_C) / clips_C.mean()).std(ddof=1))
    return PairedComparison(
        difference, (float(low), float(high)), _p_value(drawn), smallest_detectable(sd, len(names))
    )


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P values adjusted for several comparisons, in the order given: claiming those at most 0.05 is wrong anywhere in at most 5 % of studies.

    Of m p values sorted upwards, adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)).

    Raises:
        ValueError: a p value is not in 0..1.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    p = np.asarray(p_values, dtype=float)
    outside = p[~((p >= 0) & (p <= 1))]
    if outside.size:
        raise ValueError(f"a p value must be in 0..1, got {outside[0]:g}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def smallest_detectable(
    per_class_difference_sd: float, n_classes: int, level: float = 0.05, power: float = 0.8
) -> float:
    """The smallest true difference of two methods that a paired comparison over classes finds with the chance `power`.

    (z_(1 - level/2) + z_power) sd / sqrt(C), z the standard normal quantile: 3.3 points with 101 classes and
    an sd of 12 points. With power 0.5 it is the difference that is found half the time, 2.3 points; a smaller
    one is missed more often than found.

    Args:
        per_class_difference_sd: standard deviation over the classes of the difference of their accuracies, at
            least 0.
        n_classes: how many classes are compared, at least 2.
        level: chance of a claim where there is no difference, two-sided, 0..1 (both excluded).
        power: chance of finding the difference, 0.5..1 (1 excluded).

    Returns:
        The difference, in the unit of the standard deviation.

    Raises:
        ValueError: an argument is out of its range.

    Source: the normal approximation of the paired test, for example Cohen, Statistical Power Analysis, 1988,
    chapter 2.
    """
    if not 0 <= per_class_difference_sd < float("inf"):
        raise ValueError(
            f"the standard deviation of the differences must be a number of at least 0, got {per_class_difference_sd:g}"
        )
    if n_classes < 2:
        raise ValueError(f"a comparison over classes needs at least 2 classes, got {n_classes}")
    if not 0 < level < 1:
        raise ValueError(f"the level must be between 0 and 1, such as 0.05, got {level:g}")
    if not 0.5 <= power < 1:
        raise ValueError(f"the power must be at least 0.5 and below 1, such as 0.8, got {power:g}")
    quantile = NormalDist().inv_cdf
    return (quantile(1 - level / 2) + quantile(power)) * per_class_difference_sd / n_classes**0.5


def _resampled_means(values: np.ndarray, classes: Sequence[str], seed: int, n_resamples: int) -> np.ndarray:
    """The mean of `values` in each resample of whole classes, [n_resamples]."""
    _, group = np.unique(np.asarray(classes), return_inverse=True)
    return _resampled_ratios(
        np.bincount(group, weights=np.asarray(values, dtype=float)), np.bincount(group), seed, n_resamples
    )


def _resampled_ratios(sums_C: np.ndarray, counts_C: np.ndarray, seed: int, n_resamples: int) -> np.ndarray:
    """Sum over count in each resample of whole classes, [n_resamples]."""
    if len(sums_C) < 2:
        raise ValueError(f"an interval over classes needs at least 2 classes, got {len(sums_C)}")
    chosen = np.random.default_rng(seed).integers(len(sums_C), size=(n_resamples, len(sums_C)))
    return sums_C[chosen].sum(1) / counts_C[chosen].sum(1)


def _p_value(drawn: np.ndarray) -> float:
    """Two-sided, of the differences in each resample."""
    fewer = min(int((drawn <= 0).sum()), int((drawn >= 0).sum()))
    return min(1.0, 2 * (1 + fewer) / (len(drawn) + 1))
