"""Metrics of scores [B, C] against the true class of each clip. Accuracies are fractions, 0..1."""

from __future__ import annotations

import numpy as np
import pandas as pd


def truth_rank(scores_BC: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank of the true class of each clip, int64 [B], 1 is best; of tied classes the true one counts as the worst.

    Raises:
        ValueError: a score is not finite, or the numbers of clips differ.
    """
    if len(scores_BC) != len(targets):
        raise ValueError(f"scores and targets must be of the same clips, got {len(scores_BC)} and {len(targets)}")
    if not np.isfinite(scores_BC).all():
        raise ValueError(f"scores must be finite, got {int((~np.isfinite(scores_BC)).sum())} that are not; look at the embeddings")
    own = scores_BC[np.arange(len(targets)), targets][:, None]
    return (scores_BC >= own).sum(1)


def top_k_accuracy(scores_BC: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Share of clips whose true class is among the k best."""
    return float((truth_rank(scores_BC, targets) <= k).mean())


def per_class_table(scores_BC: np.ndarray, targets: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    """One row a class: class, clips, correct, top1, taken_for (the most frequent wrong answer, "" if none), taken_for_clips.

    A clip whose true class ties with another is not correct, as in `truth_rank`.
    """
    confusion = confusion_matrix(scores_BC, targets, len(names))
    right = truth_rank(scores_BC, targets) == 1
    correct, clips = np.bincount(targets[right], minlength=len(names)), confusion.sum(1)
    wrong = confusion - np.diag(np.diag(confusion))
    rival = wrong.argmax(1)
    count = wrong[np.arange(len(names)), rival]
    taken_for = [names[r] if c else "" for r, c in zip(rival, count)]
    share = correct / np.maximum(clips, 1)
    return pd.DataFrame({"class": names, "clips": clips, "correct": correct, "top1": share, "taken_for": taken_for, "taken_for_clips": count})


def mean_class_accuracy(scores_BC: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes that have clips of the share of their clips that are right."""
    right = truth_rank(scores_BC, targets) == 1
    return float(np.mean([right[targets == c].mean() for c in np.unique(targets)]))


def confusion_matrix(scores_BC: np.ndarray, targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts, int64 [C, C]: row true class, column predicted class (the first of tied ones)."""
    counts = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(counts, (targets, scores_BC.argmax(1)), 1)
    return counts
