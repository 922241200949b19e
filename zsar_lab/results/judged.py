"""What a score matrix says of each clip and of all, of one in memory or of blocks that are made in turn.

Shapes: B clips, C candidate classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from zsar_lab.methods.clips import ClipGroup
from zsar_lab.methods.metrics import check_scores, predicted_classes, truth_rank
from zsar_lab.results.calibration import confidence_and_loss

SCORES_A_BLOCK = 2**20
MOST_SCORES = 2**25  # of a matrix that is held whole, and saved: 256 MB


class Judged(NamedTuple):
    """What scores say: of each clip predicted (a column), rank, margin and confidence; N_1 and the loss.

    confidence_B is nan without a temperature, and so is the negative log-likelihood; N_1 of each candidate
    class as `k_occurrence`.
    """

    predicted_B: np.ndarray
    rank_B: np.ndarray
    margin_B: np.ndarray
    confidence_B: np.ndarray
    occurrence_C: np.ndarray
    log_loss: float


class Blocks(NamedTuple):
    """Scores of a group that are not held whole: they are made block by block."""

    scores: Callable[[ClipGroup], np.ndarray]
    group: ClipGroup

    def parts(self) -> Iterator[tuple[slice, np.ndarray]]:
        """The rows of each block, and their scores."""
        size = max(1, SCORES_A_BLOCK // len(self.group.names))
        for start in range(0, len(self.group.ids), size):
            rows = slice(start, start + size)
            yield rows, self.scores(self.group.part(rows))


def judge(
    scores_BC: np.ndarray, targets: np.ndarray, temperature: float | None, ties: str = "wrong"
) -> Judged:
    """Predicted class, rank of the truth, margin and confidence of each clip; N_1, and the mean loss.

    A tie with another class is wrong: the prediction is of the tied classes not the true one; or, with
    ties="first", the first.

    Raises:
        ValueError: as `truth_rank`, or the temperature is not above 0.
    """
    check_scores(scores_BC, targets)
    clips, predicted_B, rank_B = np.arange(len(targets)), scores_BC.argmax(1), np.ones(len(targets), np.int64)
    best_B, others_BC = scores_BC[clips, predicted_B], scores_BC.copy()
    occurrence_C = np.bincount(predicted_B, minlength=scores_BC.shape[1])
    others_BC[clips, predicted_B] = -np.inf
    second_B = others_BC.max(1)
    wrong, tied = np.flatnonzero((predicted_B != targets) | (second_B == best_B)), second_B == best_B
    rank_B[wrong] = truth_rank(scores_BC[wrong], targets[wrong], ties)
    predicted_B[tied] = predicted_classes(scores_BC[tied], targets[tied], ties)
    confidence_B, loss = np.full(len(targets), np.nan), np.nan
    if temperature is not None:
        confidence_B, loss = confidence_and_loss(scores_BC, predicted_B, targets, temperature)
    margin_B = (best_B - second_B).astype(float)
    return Judged(predicted_B, rank_B, margin_B, confidence_B, occurrence_C, loss)
