"""Metrics of scores [B, C] against the true classes; accuracies are fractions, 0..1."""

from __future__ import annotations

import numpy as np


def truth_rank(scores_BC: np.ndarray, targets: np.ndarray, ties: str = "wrong") -> np.ndarray:
    """Rank of the true class of each clip, int64 [B], 1 is best; of tied classes the true one is the worst.

    With ties="first" tied classes rank in their order.

    Raises:
        ValueError: as `check_scores`.
    """
    check_scores(scores_BC, targets)
    own = scores_BC[np.arange(len(targets)), targets][:, None]
    if ties == "first":
        not_later_BC = np.arange(scores_BC.shape[1]) <= np.asarray(targets)[:, None]
        return ((scores_BC > own) | ((scores_BC == own) & not_later_BC)).sum(1)
    return (scores_BC >= own).sum(1)


def check_scores(scores_BC: np.ndarray, targets: np.ndarray) -> None:
    """ValueError where a score is not finite, or the numbers of clips differ."""
    if len(scores_BC) != len(targets):
        raise ValueError(
            f"scores and targets must be of the same clips, got {len(scores_BC)} and {len(targets)}"
        )
    if not np.isfinite(scores_BC).all():
        raise ValueError(f"scores must be finite, got {int((~np.isfinite(scores_BC)).sum())} that are not")


def predicted_classes(scores_BC: np.ndarray, targets: np.ndarray, ties: str = "wrong") -> np.ndarray:
    """The predicted class of each clip, int64 [B]: of the best score; of tied ones not the true one.

    With ties="first" the first of tied ones.
    """
    if ties == "first":
        return scores_BC.argmax(1)
    rows, others_BC = np.arange(len(targets)), scores_BC.astype(float)
    others_BC[rows, targets] = -np.inf
    return np.where(scores_BC[rows, targets] > others_BC.max(1), targets, others_BC.argmax(1))


def top_k_accuracy(scores_BC: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Share of clips whose true class is among the k best."""
    return float((truth_rank(scores_BC, targets) <= k).mean())


def mean_class_accuracy(scores_BC: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes that have clips of the share of their clips that are right."""
    return mean_over_classes(truth_rank(scores_BC, targets) == 1, targets)


def mean_over_classes(right: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes that have clips of the share of their clips that are `right` (bool [B])."""
    clips = np.bincount(targets)
    return float((np.bincount(targets, weights=right)[clips > 0] / clips[clips > 0]).mean())
