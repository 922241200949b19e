"""Metrics of scores [B, C], or of answers [B] (the class predicted for each clip), against the true classes. Accuracies are fractions, 0..1."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def truth_rank(scores_BC: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Rank of the true class of each clip, int64 [B], 1 is best; of tied classes the true one counts as the worst.

    Raises:
        ValueError: a score is not finite, or the numbers of clips differ.
    """
    if len(scores_BC) != len(targets):
        raise ValueError(
            f"scores and targets must be of the same clips, got {len(scores_BC)} and {len(targets)}"
        )
    if not np.isfinite(scores_BC).all():
        raise ValueError(
            f"scores must be finite, got {int((~np.isfinite(scores_BC)).sum())} that are not; look at the embeddings"
        )
    own = scores_BC[np.arange(len(targets)), targets][:, None]
    return (scores_BC >= own).sum(1)


def answers_of(scores_BC: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The class that each clip is taken for, int64 [B]: the one of the best score; of tied ones not the true one, as in `truth_rank`."""
    rows, others_BC = np.arange(len(targets)), scores_BC.astype(float)
    others_BC[rows, targets] = -np.inf
    return np.where(scores_BC[rows, targets] > others_BC.max(1), targets, others_BC.argmax(1))


def top_k_accuracy(scores_BC: np.ndarray, targets: np.ndarray, k: int) -> float:
    """Share of clips whose true class is among the k best."""
    return float((truth_rank(scores_BC, targets) <= k).mean())


def per_class_table(scores_BC: np.ndarray, targets: np.ndarray, names: tuple[str, ...]) -> pd.DataFrame:
    """One row a class, see `table_of_answers`; a clip whose true class ties with another is not correct, as in `truth_rank`."""
    return table_of_answers(confusion_matrix(scores_BC, targets, len(names)), names)


def table_of_answers(confusion_CC: np.ndarray, names: Sequence[str]) -> pd.DataFrame:
    """One row a class: class, clips, correct, top1, taken_for (the most frequent wrong answer, "" if none), taken_for_clips.

    Args:
        confusion_CC: counts, row true class, column answer.
        names: of the classes.

    Returns:
        Rows in the order of names; top1 of a class without clips is 0.
    """
    correct, clips = np.diag(confusion_CC), confusion_CC.sum(1)
    wrong = confusion_CC - np.diag(correct)
    rival = wrong.argmax(1)
    count = wrong[np.arange(len(names)), rival]
    taken_for = [names[r] if c else "" for r, c in zip(rival, count)]
    share = correct / np.maximum(clips, 1)
    return pd.DataFrame(
        {
            "class": names,
            "clips": clips,
            "correct": correct,
            "top1": share,
            "taken_for": taken_for,
            "taken_for_clips": count,
        }
    )


def mean_class_accuracy(scores_BC: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes that have clips of the share of their clips that are right."""
    return mean_over_classes(truth_rank(scores_BC, targets) == 1, targets)


def mean_over_classes(right: np.ndarray, targets: np.ndarray) -> float:
    """Mean over the classes that have clips of the share of their clips that are right.

    Args:
        right: [B] whether each clip is right.
        targets: [B] true class of each.
    """
    clips = np.bincount(targets)
    return float((np.bincount(targets, weights=right)[clips > 0] / clips[clips > 0]).mean())


def confusion_matrix(scores_BC: np.ndarray, targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts, int64 [C, C]: row true class, column predicted class, see `answers_of`."""
    return confusion_of_answers(answers_of(scores_BC, targets), targets, n_classes)


def confusion_of_answers(answers: np.ndarray, targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Counts, int64 [C, C]: row true class, column answer.

    Args:
        answers, targets: [B] predicted and true class of each clip, 0..C-1.

    Raises:
        ValueError: the numbers of clips differ.
    """
    if len(answers) != len(targets):
        raise ValueError(
            f"answers and targets must be of the same clips, got {len(answers)} and {len(targets)}"
        )
    return np.bincount(targets * n_classes + answers, minlength=n_classes**2).reshape(n_classes, n_classes)
