"""How far a score can be trusted: intervals over classes, and comparisons on the same clips."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

N_RESAMPLES = 2000


def class_bootstrap(correct: np.ndarray, classes: Sequence[str], seed: int = 0, n_resamples: int = N_RESAMPLES) -> tuple[float, float]:
    """95 % interval of the mean of `correct` by resampling whole classes (class-cluster bootstrap, percentiles).

    Clips of a class are alike, and classes are the sample that a zero-shot score generalises over, so classes are drawn with
    repetition, each with all its clips from all draws; the statistic is the share of right clips among those drawn.

    Args:
        correct: [B] 0/1, or any figure a clip (for example the difference of two rules).
        classes: class name of each clip.
        seed: of the resampling.
        n_resamples: how many bootstrap samples.

    Returns:
        The 2.5 % and 97.5 % percentiles.

    Raises:
        ValueError: fewer than two classes.
    """
    names, group = np.unique(np.asarray(classes), return_inverse=True)
    if len(names) < 2:
        raise ValueError(f"an interval over classes needs at least 2 classes, got {len(names)}")
    sums = np.bincount(group, weights=np.asarray(correct, dtype=float))
    counts = np.bincount(group)
    chosen = np.random.default_rng(seed).integers(len(names), size=(n_resamples, len(names)))
    values = sums[chosen].sum(1) / counts[chosen].sum(1)
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def paired_difference(
    correct_a: np.ndarray, correct_b: np.ndarray, classes: Sequence[str], seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Difference of two rules on the same clips, mean(a - b), with its class-bootstrap 95 % interval."""
    difference = np.asarray(correct_a, dtype=float) - np.asarray(correct_b, dtype=float)
    return float(difference.mean()), class_bootstrap(difference, classes, seed)
