"""Label propagation: clips to score hand what they are called to clips near them, until all agree.

F = (1 - ALPHA) sum_t ALPHA^t S^t Y: Y the softmax of scores / TEMPERATURE, S = D^-1/2 W D^-1/2, W the cosines
(0 where negative) of each clip with its K nearest, made symmetric by the larger, D its row sums. Then each
class's column is scaled towards B / C clips and rows again to 1, as Sinkhorn does: with `balance` 1 until
all classes catch equally many clips, with 0 not at all. All test clips are looked at: transductive.

Equally many clips a class is an assumption; where it is wrong, balance 1 costs what it gains where it holds,
see benchmarks/LOG.md. Shapes: B clips, C classes, D width.

Source: Zhou et al., Learning with Local and Global Consistency, NeurIPS 2003; Cuturi, Sinkhorn Distances,
NeurIPS 2013; the exponent is that of unbalanced transport, Chizat et al., Mathematics of Computation 2018.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zsar_lab.text.relatedness import unit

if TYPE_CHECKING:
    from scipy.sparse import sparray

K, ALPHA, TEMPERATURE = 10, 0.9, 0.05  # looked at on development splits, as were the balances
BALANCES = {"label_propagation": 0.5, "label_propagation_balanced": 1.0}
MOST_CLIPS = 5_000  # where it is scored beside others: each clip is held against each
N_STEPS, LEAST, TOLERANCE = 200, 1e-12, 1e-9


def propagated(scores_BC: np.ndarray, near_BB: sparray, balance: float = 1.0) -> np.ndarray:
    """Shares of the classes for each clip after propagation, float64 [B, C]; rows sum to 1.

    Args:
        scores_BC: cosines of the clips with the classes, by any method.
        near_BB: of the same clips, from `neighbours`.
        balance: 0..1, how far classes are drawn to equally many clips.

    Raises:
        ValueError: fewer than two clips or classes, scores that are not finite or not of these clips, or
            another balance.
    """
    scores_BC = np.asarray(scores_BC, dtype=float)
    if scores_BC.ndim != 2 or min(scores_BC.shape) < 2 or len(scores_BC) != near_BB.shape[0]:
        got = f"scores {scores_BC.shape} of {near_BB.shape[0]} clips"
        raise ValueError(f"label propagation needs 2 clips and 2 classes or more, got {got}")
    if not np.isfinite(scores_BC).all() or not 0 <= balance <= 1:
        raise ValueError(f"label propagation needs finite scores and a balance in 0..1, got {balance}")
    exponent = np.exp((scores_BC - scores_BC.max(1, keepdims=True)) / TEMPERATURE)
    share_BC = exponent / exponent.sum(1, keepdims=True)
    spread_BC, step_BC = share_BC, share_BC
    for _ in range(N_STEPS):
        step_BC = ALPHA * (near_BB @ step_BC)
        spread_BC = spread_BC + step_BC
        if step_BC.max() < TOLERANCE:
            break
    return _balanced(spread_BC, balance)


def neighbours(embedding_BD: np.ndarray) -> sparray:
    """S of the module's formula, [B, B], of clips' embeddings of any length above 0.

    Raises:
        ValueError: fewer than two clips.
    """
    from scipy.sparse import diags_array
    from sklearn.neighbors import kneighbors_graph

    if len(embedding_BD) < 2:
        raise ValueError(f"label propagation needs 2 clips or more, got {len(embedding_BD)}")
    rows_BD = unit(np.asarray(embedding_BD, dtype=float))
    graph = kneighbors_graph(rows_BD, min(K, len(rows_BD) - 1), mode="distance", metric="cosine")
    graph.data = np.maximum(1 - graph.data, LEAST)
    graph = graph.maximum(graph.T)
    scale = diags_array(np.asarray(graph.sum(1)).ravel() ** -0.5)
    return (scale @ graph @ scale).tocsr()


def _balanced(spread_BC: np.ndarray, balance: float) -> np.ndarray:
    """Columns scaled to (B / C) by this power, rows to 1, until nothing changes."""
    n_clips, n_classes = spread_BC.shape
    rows_BC = np.maximum(spread_BC, LEAST)
    rows_BC = rows_BC / rows_BC.sum(1, keepdims=True)
    scale_C = np.ones(n_classes)
    for _ in range(N_STEPS if balance else 0):
        caught_C = (rows_BC / (rows_BC @ scale_C)[:, None]).sum(0)
        before_C, scale_C = scale_C, (n_clips / n_classes / caught_C) ** balance
        if np.allclose(scale_C, before_C, rtol=1e-6):
            break
    share_BC = rows_BC * scale_C
    return share_BC / share_BC.sum(1, keepdims=True)
