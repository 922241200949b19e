"""Many splits of one dataset at once: every clip is scored against every class once, a split picks from that.

That is right for a method whose score of a clip and a class reads no other candidate: direct, transfer with
given settings, ridge with a given penalty, the true prototypes, match; not for one that standardises over the
candidates (`fused_scores`) or takes something off that depends on them (CSLS).

Shapes: N clips, C classes, R splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from zsar_lab.progress import progress
from zsar_lab.results.hubness import hubness

CLIPS_A_BLOCK = 16_384
N_STEPS = 8  # looks for the nearest candidate in all splits at once; of half-class splits 1 in 256 is left


def score_splits(
    scores_NC: Mapping[str, np.ndarray], targets_N: np.ndarray, splits: Sequence[np.ndarray]
) -> pd.DataFrame:
    """Score many splits: the clips of the split's classes against the split's classes.

    The figures are those of `top_k_accuracy`, `mean_class_accuracy` and `hubness(k_occurrence(..., 1), 1)` on
    the split's rows and columns, its classes in rising order (that decides which of tied classes counts as
    the nearest).

    Args:
        scores_NC: for each method the scores of all clips against all classes, larger is nearer.
        targets_N: class of each clip, 0..C - 1.
        splits: the classes of each split, in any order.

    Returns:
        One row a method and split: method, split (number, from 0), n_classes, n_clips; top1, top5 and
        mean_class (mean over the split's classes of the share of their clips that are right), 0..1;
        n1_skewness, of how often each candidate is the nearest class.

    Raises:
        ValueError: no method or no split; a split of one class, with a class twice, outside 0..C - 1 or
            without clips; scores of another shape or not finite.
    """
    targets, tables = np.asarray(targets_N), []
    if not splits or not scores_NC:
        raise ValueError(f"splits and scores must be given, got {len(splits)} and {len(scores_NC)}")
    shape = len(targets), next(iter(scores_NC.values())).shape[1]
    for method, scores in scores_NC.items():
        if scores.shape != shape or not np.isfinite(scores).all():
            n_bad = np.count_nonzero(~np.isfinite(scores))
            got = f"those of {method!r} are {scores.shape}, {n_bad} not finite"
            raise ValueError(f"scores must be finite and of the same {shape} clips and classes, {got}")
    outside = targets[(targets < 0) | (targets >= shape[1])]
    if outside.size:
        raise ValueError(f"the class of a clip must be in 0..{shape[1] - 1}, got {outside[0]}")
    clips_C = np.bincount(targets, minlength=shape[1])
    member_CR = np.stack([_membership(split, number, clips_C) for number, split in enumerate(splits)], 1)
    long = len(targets) * len(scores_NC) > 1_000_000
    for method in progress([*scores_NC], what="scoring splits", unit="method", shown=long):
        figures = _figures(scores_NC[method], targets, member_CR, clips_C)
        tables.append(pd.DataFrame({"method": method, "split": np.arange(len(splits))} | figures))
    return pd.concat(tables, ignore_index=True)


def _membership(split: np.ndarray, number: int, clips_C: np.ndarray) -> np.ndarray:
    """Which classes are in a split, bool [C]."""
    classes, times = np.unique(np.asarray(split, dtype=np.int64), return_counts=True)
    if len(classes) < 2 or (times > 1).any():
        got = f"{len(split)}, {len(classes)} of them different"
        raise ValueError(f"a split must be of 2 classes or more, each once, split {number} has {got}")
    wrong = [c for c in classes.tolist() if not 0 <= c < len(clips_C) or not clips_C[c]]
    if wrong:
        allowed = f"in 0..{len(clips_C) - 1}, with clips"
        raise ValueError(f"classes of a split must be {allowed}, split {number} has {wrong[0]}")
    return np.isin(np.arange(len(clips_C)), classes)


def _figures(
    scores_NC: np.ndarray, targets_N: np.ndarray, member_CR: np.ndarray, clips_C: np.ndarray
) -> dict[str, np.ndarray]:
    """The figures of one method, [R] each.

    The rank of the truth is how many of the split's classes score at least what the true one scores: one
    product of that yes or no with the membership.
    """
    takes_part_NR, n_splits = member_CR[targets_N], member_CR.shape[1]
    rank_NR, nearest_NR = np.empty(takes_part_NR.shape, np.float32), np.empty(takes_part_NR.shape, np.int32)
    for start in range(0, len(targets_N), CLIPS_A_BLOCK):
        rows = slice(start, start + CLIPS_A_BLOCK)
        scores = np.ascontiguousarray(scores_NC[rows])
        own = np.take_along_axis(scores, targets_N[rows, None], 1)
        rank_NR[rows] = (scores >= own).astype(np.float32) @ member_CR.astype(np.float32)
        nearest_NR[rows] = _nearest(scores, member_CR, takes_part_NR[rows])
    right_NR, among_5_NR = (rank_NR == 1) & takes_part_NR, (rank_NR <= 5) & takes_part_NR
    of_class_CN = (np.arange(len(clips_C))[:, None] == targets_N).astype(np.float32)
    right_CR, n_clips = of_class_CN @ right_NR.astype(np.float32), takes_part_NR.sum(0)
    share_CR = np.divide(right_CR, clips_C[:, None], out=np.zeros(member_CR.shape), where=member_CR)
    row, split = np.nonzero(takes_part_NR)
    places = nearest_NR[row, split] * n_splits + split
    occurrence_CR = np.bincount(places, minlength=member_CR.size).reshape(member_CR.shape)
    skewness = [hubness(of[member], 1).skewness for of, member in zip(occurrence_CR.T, member_CR.T)]
    return {
        "n_classes": member_CR.sum(0),
        "n_clips": n_clips,
        "top1": right_NR.sum(0) / n_clips,
        "top5": among_5_NR.sum(0) / n_clips,
        "mean_class": share_CR.sum(0) / member_CR.sum(0),
        "n1_skewness": np.array(skewness),
    }


def _nearest(scores_NC: np.ndarray, member_CR: np.ndarray, wanted_NR: np.ndarray) -> np.ndarray:
    """The best class of each clip among each split's, int32 [N, R] where wanted, the first of tied ones.

    Each clip's best class settles the splits that hold it, then its second best does, and so on.
    """
    left, pending = scores_NC.copy(), wanted_NR.copy()
    nearest, clips = np.full(pending.shape, -1, dtype=np.int32), np.arange(len(left))
    for _ in range(N_STEPS):
        best = left.argmax(1)
        settled = member_CR.take(best, 0)
        settled &= pending
        np.copyto(nearest, best[:, None], where=settled, casting="same_kind")
        pending ^= settled
        left[clips, best] = -np.inf
    row, split = np.nonzero(pending)
    for start in range(0, len(row), CLIPS_A_BLOCK):
        rows, of_split = row[start : start + CLIPS_A_BLOCK], split[start : start + CLIPS_A_BLOCK]
        nearest[rows, of_split] = np.where(member_CR.T[of_split], scores_NC[rows], -np.inf).argmax(1)
    return nearest
