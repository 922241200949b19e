"""Two methods together: transfer + match, the best classes of one in the order of match; the upper bound."""

from __future__ import annotations

from typing import Any

import numpy as np

from zsar_lab.methods.clips import ClipGroup, Fitted, SplitClips, class_sums, fit_best
from zsar_lab.text.relatedness import unit

CLIPS_AT_ONCE = 256
MATCH_WEIGHTS = (0.0, 0.25, 0.5, 1.0)  # 0: match is off
N_RERANKED = (1, 2, 3, 5, 10)  # 1: match is off


def fit_fused(split: SplitClips, _: Any, fits: dict[str, Fitted]) -> Fitted:
    """z(transfer) + weight z(match), the weight (0 is off) by top-1 on the validation classes."""
    first, match = fits["transfer"], fits["match"]

    def scores(group: ClipGroup, weight: float) -> np.ndarray:
        return fused_scores(first.scores(group), match.scores(group), weight)

    key = "match_weight"
    return fit_best(split, "transfer_match", first.prompt, scores, key, MATCH_WEIGHTS, first.settings)


def fit_reranked(split: SplitClips, _: Any, fits: dict[str, Fitted], base: str = "transfer") -> Fitted:
    """The m best classes of a method in the order of match, m (1 is off) by top-1 on validation classes."""
    first, match = fits[base], fits["match"]
    most = min(len(split.validation.names), len(split.test.names))

    def scores(group: ClipGroup, m: int) -> np.ndarray:
        return reranked_scores(first.scores(group), match.scores(group), m)

    grid = tuple(m for m in N_RERANKED if m <= most)
    return fit_best(split, f"{base}_reranked", first.prompt, scores, "m", grid, first.settings)


def fused_scores(first_BC: np.ndarray, second_BC: np.ndarray, second_weight: float) -> np.ndarray:
    """z(first) + second_weight z(second), z = (s - mean) / deviation over the candidates of one clip."""

    def standard(scores: np.ndarray) -> np.ndarray:
        return (scores - scores.mean(1, keepdims=True)) / np.maximum(scores.std(1, keepdims=True), 1e-12)

    return standard(first_BC) + second_weight * standard(second_BC)


def reranked_scores(first_BC: np.ndarray, second_BC: np.ndarray, m: int) -> np.ndarray:
    """The m best classes by a first method in a second's order, the others behind them in the first's.

    Of classes tied at the m-th place the first are taken; inside each part ties stay ties.

    Returns:
        float64 [B, C]: second - min(second) >= 0 of the m; of the others first - max(first) - 1 <= -1.

    Raises:
        ValueError: m is not in 1..C.
    """
    n_classes = first_BC.shape[1]
    if not 1 <= m <= n_classes:
        raise ValueError(f"m must be in 1..{n_classes} (candidate classes), got {m}")
    top = np.argsort(-first_BC, axis=1, kind="stable")[:, :m]
    scores = first_BC.astype(float) - first_BC.max(1, keepdims=True) - 1
    best = np.take_along_axis(second_BC, top, 1).astype(float) - second_BC.min(1, keepdims=True)
    np.put_along_axis(scores, top, best, 1)
    return scores


def true_prototype_scores(
    embedding_BD: np.ndarray, targets: np.ndarray, n_classes: int, sums_CD: np.ndarray | None = None
) -> np.ndarray:
    """Upper bound: cosine to the true prototypes, a clip left out of its own class's, [B, C].

    It is not zero-shot; ValueError for a class with fewer than two clips. Of some clips alone `sums_CD` are
    the `class_sums` of all.
    """
    if sums_CD is None:
        counts = np.bincount(targets, minlength=n_classes)
        if counts.min() < 2:
            got = f"number {counts.argmin()} has {counts.min()}"
            raise ValueError(f"the upper bound needs 2 clips of every class, {got}")
        sums_CD = class_sums(embedding_BD, targets, n_classes)
    scores = embedding_BD @ unit(sums_CD).T
    for start in range(0, len(targets), CLIPS_AT_ONCE):  # so many stay in the processor's cache
        rows = slice(start, start + CLIPS_AT_ONCE)
        own = unit(sums_CD[targets[rows]] - embedding_BD[rows])
        scores[np.arange(len(targets))[rows], targets[rows]] = (embedding_BD[rows] * own).sum(1)
    return scores
