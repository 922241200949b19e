"""Ridge regression from the visual to the text space, W = (V'V + penalty N I)^-1 V'T on centred V and T.

s(v, c) = cos(W'(v - mean v) + mean t, t_c); centred, the seen texts' mean is subtracted from both sides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from zsar_lab.methods.clips import ClipGroup, Fitted, SplitClips, fit_best, text_of
from zsar_lab.text.relatedness import unit

if TYPE_CHECKING:
    from zsar_lab.text.embeddings import ClassEmbeddings

PENALTIES = (0.001, 0.01, 0.1)


@dataclass(frozen=True, eq=False)
class RidgeMap:
    """A fitted map W, and the means that were subtracted."""

    weight_DF: np.ndarray
    visual_mean_D: np.ndarray
    text_mean_F: np.ndarray

    def scores(self, embedding_BD: np.ndarray, text_CF: np.ndarray, centred: bool) -> np.ndarray:
        """Cosine of mapped clips to class texts, [B, C]."""
        offset = (embedding_BD - self.visual_mean_D) @ self.weight_DF
        if centred:
            return unit(offset) @ unit(text_CF - self.text_mean_F).T
        return unit(offset + self.text_mean_F) @ unit(text_CF).T


@dataclass(frozen=True, eq=False)
class RidgeSums:
    """What a fit reads of the training clips, summed once for all texts and penalties.

    Attributes:
        visual_mean_D: of the clips V.
        gram_DD: V'V on centred V.
        class_sums_SD: sum of the centred clips of each class; V'T is its transpose times the texts.
        n_clips: N.
    """

    visual_mean_D: np.ndarray
    gram_DD: np.ndarray
    class_sums_SD: np.ndarray
    n_clips: int

    @staticmethod
    def of(embedding_ND: np.ndarray, targets: np.ndarray, n_classes: int) -> RidgeSums:
        """Sum the clips up; `targets` are their classes, 0..n_classes - 1."""
        visual_mean = embedding_ND.mean(0)
        centred_ND = embedding_ND - visual_mean
        sums_SD = np.stack([centred_ND[targets == s].sum(0, dtype=float) for s in range(n_classes)])
        return RidgeSums(visual_mean, centred_ND.T @ centred_ND, sums_SD, len(centred_ND))

    def fit(self, text_SF: np.ndarray, penalty: float) -> RidgeMap:
        """The map to these class texts; ValueError unless the penalty is positive."""
        if not penalty > 0:
            raise ValueError(f"the ridge penalty must be above 0, got {penalty}")
        text_mean = text_SF.mean(0)
        gram = self.gram_DD + penalty * self.n_clips * np.eye(len(self.gram_DD))
        weight_DF = np.linalg.solve(gram, self.class_sums_SD.T @ (text_SF - text_mean))
        return RidgeMap(weight_DF, self.visual_mean_D, text_mean)


def fit_ridge(
    split: SplitClips, texts: ClassEmbeddings, _: dict[str, Fitted], centred: bool = False
) -> Fitted:
    """Choose the penalty by top-1 on the validation classes."""
    text_SF = text_of(texts, split.train.names)
    maps = {penalty: split.ridge_sums.fit(text_SF, penalty) for penalty in PENALTIES}

    def scores(group: ClipGroup, penalty: float) -> np.ndarray:
        return maps[penalty].scores(group.embedding_BD, text_of(texts, group.names), centred)

    name = "ridge_centred" if centred else "ridge"
    return fit_best(split, name, texts.class_text.prompt, scores, "penalty", PENALTIES)
