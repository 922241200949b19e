"""Hubness: do a few classes catch most of the nearest-class answers?

N_k(j) is how many of n clips have class j among their k nearest; C classes; mu = k n / C.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Hubness:
    """Measures of one k-occurrence; see `hubness` for the formulas."""

    k: int
    skewness: float
    robin_hood: float
    gini: float
    antihubs: float
    hub_occurrence: float


def k_occurrence(scores_BC: np.ndarray, k: int) -> np.ndarray:
    """N_k: how many clips have each class among their k best, int64 [C]; ties go to the first class.

    Raises:
        ValueError: k is not in 1..C.
    """
    n_classes = scores_BC.shape[1]
    if not 1 <= k <= n_classes:
        raise ValueError(f"k must be in 1..{n_classes} (the number of classes), got {k}")
    nearest = np.argsort(-scores_BC, axis=1, kind="stable")[:, :k]
    return np.bincount(nearest.ravel(), minlength=n_classes)


def hubness(occurrence_C: np.ndarray, k: int) -> Hubness:
    """Measures of a k-occurrence N over C classes with mean mu.

    skewness = E[(N - mu)^3] / sigma^3 (0 when all are equal); robin_hood = 0.5 sum |N - mu| / sum N;
    gini = sum_ij |N_i - N_j| / (2 C sum N), by sorting; antihubs = share of classes with N = 0;
    hub_occurrence = share of all occurrences that fall on classes with N >= 2 mu.

    Source: the definitions collected in scikit-hubness (Feldbauer et al., JOSS 2020); the hub threshold here is 2 mu, not 2 k, which
    is the same only when there are as many clips as classes.

    Raises:
        ValueError: nothing was counted.
    """
    counts = np.asarray(occurrence_C, dtype=float)
    total, n_classes = counts.sum(), len(counts)
    if not total > 0:
        raise ValueError("hubness needs at least one clip, got none")
    mean, deviation = counts.mean(), counts.std()
    ordered = np.sort(counts)
    ranks = np.arange(1, n_classes + 1)
    return Hubness(
        k=k,
        skewness=float(((counts - mean) ** 3).mean() / deviation**3) if deviation > 0 else 0.0,
        robin_hood=float(0.5 * np.abs(counts - mean).sum() / total),
        gini=float(((2 * ranks - n_classes - 1) * ordered).sum() / (n_classes * total)),
        antihubs=float((counts == 0).mean()),
        hub_occurrence=float(counts[counts >= 2 * mean].sum() / total),
    )
