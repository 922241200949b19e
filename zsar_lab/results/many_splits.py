"""Many splits of one dataset at once: every clip is scored against every class once, a split picks from that.

That is right for a method whose score of a clip and a class reads no other candidate: direct, transfer with
given settings, ridge with a given penalty, the true prototypes, match. A method that standardises over the
candidates (`fused_scores`) or takes something off that depends on them (CSLS) has other scores in every
split; it is computed split by split, from its scores of the split's clips and classes alone.

Shapes: N clips, C classes, R splits, B clips and K classes of one split.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.methods.metrics import truth_rank
from zsar_lab.progress import progress
from zsar_lab.results.hubness import hubness

CLIPS_A_BLOCK = 16_384
N_STEPS = 8  # looks for the nearest candidate in all splits at once; of half-class splits 1 in 256 is left

RestrictedMethod = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class SplitScores:
    """Every method in every split.

    Attributes:
        table: one row a method and split: method, split (number, from 0), n_classes, n_clips; top1, top5 and
            mean_class (mean over the split's classes of the share of their clips that are right), 0..1;
            n1_skewness, of how often each candidate is the nearest class.
        targets_N: class of each clip.
        takes_part_NR: which clips are of the classes of each split, bool.
        right: for each method, which clips were right in each split, bool [N, R]; False where a clip takes no
            part.
    """

    table: pd.DataFrame
    targets_N: np.ndarray
    takes_part_NR: np.ndarray
    right: Mapping[str, np.ndarray]


def score_splits(
    scores_NC: Mapping[str, np.ndarray],
    targets_N: np.ndarray,
    splits: Sequence[np.ndarray],
    restricted: Mapping[str, RestrictedMethod] | None = None,
) -> SplitScores:
    """Score many splits: the clips of the split's classes against the split's classes.

    The figures are those of `top_k_accuracy`, `mean_class_accuracy` and `hubness(k_occurrence(..., 1), 1)` on
    the split's rows and columns, its classes in rising order (that decides which of tied classes counts as
    the nearest).

    Args:
        scores_NC: for each method the scores of all clips against all classes, larger is nearer. Only methods
            whose score of a clip and a class does not depend on which other classes are candidates.
        targets_N: class of each clip, 0..C - 1.
        splits: the classes of each split, in any order.
        restricted: the other methods; each is called once a split with the split's clips (rows, int64 [B])
            and classes (rising, int64 [K]) and returns their scores [B, K].

    Raises:
        ValueError: no method or no split; a split of one class, with a class twice, outside 0..C - 1 or
            without clips; scores of another shape or not finite.
    """
    restricted, targets = restricted or {}, np.asarray(targets_N)
    if not splits or not scores_NC:
        raise ValueError(
            f"splits and scores must be given, got {len(splits)} splits, {len(scores_NC)} methods"
        )
    both = sorted(scores_NC.keys() & restricted.keys())
    if both:
        raise ValueError(f"a method must have scores of all classes or split by split, {both[0]!r} has both")
    shape = next(iter(scores_NC.values())).shape
    for method, scores in scores_NC.items():
        if scores.ndim != 2 or scores.shape != shape or len(scores) != len(targets):
            want = f"[clips, classes] for the same {len(targets)} clips"
            raise ValueError(f"scores must be {want}, those of {method!r} are {scores.shape}")
        _check_finite(method, scores)
    outside = targets[(targets < 0) | (targets >= shape[1])]
    if outside.size:
        raise ValueError(f"the class of a clip must be in 0..{shape[1] - 1}, got {outside[0]}")
    clips_C = np.bincount(targets, minlength=shape[1])
    member_CR = np.stack([_membership(split, number, clips_C) for number, split in enumerate(splits)], 1)
    takes_part = member_CR[targets]
    cut = _Splits(member_CR, targets, takes_part, *np.nonzero(takes_part))
    right, tables = {}, []
    methods: list[tuple[str, Any, Any]] = [(method, _at_once, scores) for method, scores in scores_NC.items()]
    methods += [(method, _split_by_split, of) for method, of in restricted.items()]
    long = len(targets) * len(methods) > 1_000_000
    for method, rank_and_nearest, source in progress(
        methods, what="scoring splits", unit="method", shown=long
    ):
        rank, nearest = rank_and_nearest(method, source, cut)
        right[method], table = _figures(method, rank, nearest, cut)
        tables.append(table)
    return SplitScores(pd.concat(tables, ignore_index=True), targets, takes_part, right)


@dataclass(frozen=True, eq=False)
class _Splits:
    """Classes and clips of the splits, and each pair of a clip and a split that it takes part in."""

    member_CR: np.ndarray
    targets_N: np.ndarray
    takes_part_NR: np.ndarray
    row: np.ndarray
    split: np.ndarray


def _check_finite(method: str, scores: np.ndarray) -> None:
    if not np.isfinite(scores).all():
        count = int((~np.isfinite(scores)).sum())
        raise ValueError(f"scores must be finite, method {method!r} has {count} that are not")


def _membership(split: np.ndarray, number: int, clips_C: np.ndarray) -> np.ndarray:
    """Which classes are in a split, bool [C]."""
    n_classes = len(clips_C)
    classes, times = np.unique(np.asarray(split, dtype=np.int64), return_counts=True)
    if len(classes) < 2 or (times > 1).any():
        got = f"{len(split)}, {len(classes)} of them different"
        raise ValueError(f"a split must be of 2 classes or more, each once, split {number} has {got}")
    if classes[0] < 0 or classes[-1] >= n_classes:
        wrong = classes[0] if classes[0] < 0 else classes[-1]
        raise ValueError(f"classes of a split must be in 0..{n_classes - 1}, split {number} has {wrong}")
    empty = classes[clips_C[classes] == 0]
    if empty.size:
        raise ValueError(f"every class of a split needs a clip, class {empty[0]} of split {number} has none")
    return np.isin(np.arange(n_classes), classes)


def _at_once(method: str, scores_NC: np.ndarray, cut: _Splits) -> tuple[np.ndarray, np.ndarray]:
    """Rank of the truth and nearest candidate in every split, [N, R]; meaningless where a clip takes no part.

    The rank is how many of the split's classes score at least what the true one scores: one product of that
    yes or no with the membership.
    """
    rank = np.empty(cut.takes_part_NR.shape, dtype=np.float32)
    nearest = np.empty(rank.shape, dtype=np.int32)
    for start in range(0, len(rank), CLIPS_A_BLOCK):
        rows = slice(start, start + CLIPS_A_BLOCK)
        scores = np.ascontiguousarray(scores_NC[rows])
        own = np.take_along_axis(scores, cut.targets_N[rows, None], 1)
        rank[rows] = (scores >= own).astype(np.float32) @ cut.member_CR.astype(np.float32)
        nearest[rows] = _nearest(scores, cut.member_CR, cut.takes_part_NR[rows])
    return rank, nearest


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


def _split_by_split(method: str, scores_of: RestrictedMethod, cut: _Splits) -> tuple[np.ndarray, np.ndarray]:
    """As `_at_once`, from the scores that the method gives in each split."""
    rank = np.zeros(cut.takes_part_NR.shape, dtype=np.float32)
    nearest = np.full(rank.shape, -1, dtype=np.int32)
    for split, member in enumerate(cut.member_CR.T):
        rows, classes = np.flatnonzero(cut.takes_part_NR[:, split]), np.flatnonzero(member)
        scores = scores_of(rows, classes)
        if scores.shape != (len(rows), len(classes)):
            wanted = len(rows), len(classes)
            raise ValueError(
                f"{method!r} must give scores of a split's clips and classes, {wanted}, got {scores.shape}"
            )
        _check_finite(method, scores)
        rank[rows, split] = truth_rank(scores, np.searchsorted(classes, cut.targets_N[rows]))
        nearest[rows, split] = classes[scores.argmax(1)]
    return rank, nearest


def _figures(
    method: str, rank: np.ndarray, nearest: np.ndarray, cut: _Splits
) -> tuple[np.ndarray, pd.DataFrame]:
    """Which clips are right, bool [N, R], and the method's rows of the table."""
    member_CR, takes_part = cut.member_CR, cut.takes_part_NR
    n_classes, n_splits = member_CR.shape
    right, among_5 = (rank == 1) & takes_part, (rank <= 5) & takes_part
    right_CR = (np.arange(n_classes)[:, None] == cut.targets_N).astype(np.float32) @ right.astype(np.float32)
    clips_C = np.bincount(cut.targets_N, minlength=n_classes)
    share_CR = np.divide(right_CR, clips_C[:, None], out=np.zeros(member_CR.shape), where=member_CR)
    occurrence = np.bincount(
        nearest[cut.row, cut.split] * n_splits + cut.split, minlength=member_CR.size
    ).reshape(member_CR.shape)
    of_split, n_clips = member_CR.sum(0), takes_part.sum(0)
    content = {"method": method, "split": np.arange(n_splits), "n_classes": of_split, "n_clips": n_clips}
    content |= {
        "top1": right.sum(0) / n_clips,
        "top5": among_5.sum(0) / n_clips,
        "mean_class": share_CR.sum(0) / of_split,
    }
    skewness = [hubness(occurrence[member, split], 1).skewness for split, member in enumerate(member_CR.T)]
    return right, pd.DataFrame(content | {"n1_skewness": skewness})
