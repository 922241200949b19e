"""Two methods together: transfer + match, the best classes of one in the order of match; the upper bound."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from zsar_lab.methods.clips import ClipGroup, Fitted, SplitClips
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.text.relatedness import unit

MATCH_WEIGHTS = (0.25, 0.5, 1.0)
N_RERANKED = (2, 3, 5, 10)


def fit_fused(split: SplitClips, _: Any, fits: dict[str, Fitted], base: str = "transfer") -> Fitted:
    """z(base) + weight z(match), the weight by top-1 on the validation classes."""
    return _chosen(
        split, fits[base], fits["match"], f"{base}_match", fused_scores, "match_weight", MATCH_WEIGHTS
    )


def fit_reranked(split: SplitClips, _: Any, fits: dict[str, Fitted], base: str = "transfer") -> Fitted:
    """The m best classes of a method in the order of match, m by top-1 on the validation classes."""
    most = min(len(split.validation.names), len(split.test.names))
    grid = tuple(m for m in N_RERANKED if m <= most)
    return _chosen(split, fits[base], fits["match"], f"{base}_reranked", reranked_scores, "m", grid)


def _chosen(
    split: SplitClips,
    first: Fitted,
    second: Fitted,
    name: str,
    combine: Callable[[np.ndarray, np.ndarray, Any], np.ndarray],
    key: str,
    grid: tuple[Any, ...],
) -> Fitted:
    """Combine two methods with the value of the grid that is best on the validation classes."""

    def scores(group: ClipGroup, value: Any) -> np.ndarray:
        return combine(first.scores(group), second.scores(group), value)

    top1 = {
        value: top_k_accuracy(scores(split.validation, value), split.validation.targets, 1) for value in grid
    }
    best = max(grid, key=lambda value: top1[value])
    settings = first.settings | {key: best}
    return Fitted(name, first.prompt, settings, top1[best], lambda group: scores(group, best))


def fused_scores(first_BC: np.ndarray, second_BC: np.ndarray, second_weight: float) -> np.ndarray:
    """z(first) + second_weight z(second), z = (s - mean) / deviation over the candidates of one clip."""

    def standard(scores: np.ndarray) -> np.ndarray:
        return (scores - scores.mean(1, keepdims=True)) / np.maximum(scores.std(1, keepdims=True), 1e-12)

    return standard(first_BC) + second_weight * standard(second_BC)


def reranked_scores(first_BC: np.ndarray, second_BC: np.ndarray, m: int) -> np.ndarray:
    """The m classes that a first method scores best in a second's order; all others behind, in the first's.

    Of classes that tie at the m-th place those that come first are taken; inside each part ties stay ties.

    Returns:
        float64 [B, C]: of the m classes second - min(second), at least 0; of the others first - max(first) -
        1, at most -1.

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


def true_prototype_scores(embedding_BD: np.ndarray, targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Upper bound: cosine to the true prototypes, a clip left out of its own class's, [B, C]; not zero-shot.

    Raises:
        ValueError: a class has fewer than two clips.
    """
    counts = np.bincount(targets, minlength=n_classes)
    if counts.min() < 2:
        number = int(counts.argmin())
        raise ValueError(
            f"the upper bound needs 2 clips of every class, number {number} has {int(counts.min())}"
        )
    sums = np.zeros((n_classes, embedding_BD.shape[1]))
    np.add.at(sums, targets, embedding_BD)
    scores = embedding_BD @ unit(sums).T
    own = unit(sums[targets] - embedding_BD)
    scores[np.arange(len(targets)), targets] = (embedding_BD * own).sum(1)
    return scores
