"""Ridge regression from the visual to the text space, W = (V'V + penalty N I)^-1 V'T on centred V and T.

s(v, c) = cos(W'(v - mean v) + mean t, t_c), both means over clips; centred, the mean text of the seen classes
(each counts once) is subtracted from both sides.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from zsar_lab.methods.clips import ClipGroup, Fitted, SplitClips, class_sums, fit_best, text_of
from zsar_lab.text.relatedness import unit

if TYPE_CHECKING:
    from zsar_lab.text.embeddings import ClassEmbeddings

PENALTIES = (0.001, 0.01, 0.1)


@dataclass(frozen=True, eq=False)
class RidgeMap:
    """A fitted map W, the means over clips of both sides, and the centre of the seen texts."""

    weight_DF: np.ndarray
    visual_mean_D: np.ndarray
    text_mean_F: np.ndarray
    centre_F: np.ndarray

    def scores(self, embedding_BD: np.ndarray, text_CF: np.ndarray, centred: bool) -> np.ndarray:
        """Cosine of mapped clips to class texts, [B, C]."""
        return self.cosines(self.mapped(embedding_BD), text_CF, centred)

    def mapped(self, embedding_BD: np.ndarray) -> np.ndarray:
        """The clips among the texts, [B, F]."""
        return (embedding_BD - self.visual_mean_D) @ self.weight_DF + self.text_mean_F

    def cosines(self, mapped_BF: np.ndarray, text_CF: np.ndarray, centred: bool) -> np.ndarray:
        """`scores` of mapped clips."""
        centre_F = self.centre_F if centred else 0.0
        return unit(mapped_BF - centre_F) @ unit(text_CF - centre_F).T


@dataclass(frozen=True, eq=False)
class RidgeSums:
    """What a fit reads of the training clips, summed once for all texts and penalties.

    Attributes:
        visual_mean_D: of the clips V.
        gram_DD: V'V on centred V.
        class_sums_SD: sum of the centred clips of each class; V'T is its transpose times the texts.
        n_clips_S: of each class; N is their sum.
    """

    visual_mean_D: np.ndarray
    gram_DD: np.ndarray
    class_sums_SD: np.ndarray
    n_clips_S: np.ndarray

    @staticmethod
    def of(embedding_ND: np.ndarray, targets: np.ndarray, n_classes: int) -> RidgeSums:
        """Sum the clips up; `targets` are their classes, 0..n_classes - 1."""
        visual_mean = embedding_ND.mean(0)
        centred_ND = embedding_ND - visual_mean
        sums_SD = class_sums(centred_ND, targets, n_classes)
        counts_S = np.bincount(targets, minlength=n_classes)
        return RidgeSums(visual_mean, centred_ND.T @ centred_ND, sums_SD, counts_S)

    def fit(self, text_SF: np.ndarray, penalty: float) -> RidgeMap:
        """The map to these class texts; ValueError unless the penalty is positive."""
        if not penalty > 0:
            raise ValueError(f"the ridge penalty must be above 0, got {penalty}")
        n_clips, centre_F = self.n_clips_S.sum(), text_SF.mean(0)
        gram = self.gram_DD + penalty * n_clips * np.eye(len(self.gram_DD))
        # the clips are centred, so any centre of the texts gives the same weights
        weight_DF = np.linalg.solve(gram, self.class_sums_SD.T @ (text_SF - centre_F))
        return RidgeMap(weight_DF, self.visual_mean_D, self.n_clips_S @ text_SF / n_clips, centre_F)


def fitted_maps(
    sums: RidgeSums, seen: tuple[str, ...], texts: ClassEmbeddings
) -> tuple[dict[float, RidgeMap], Callable[[ClipGroup, float], np.ndarray]]:
    """The map of each penalty, and a group's clips under one, which are mapped once for both ridges."""
    text_SF = text_of(texts, seen)
    maps = {penalty: sums.fit(text_SF, penalty) for penalty in PENALTIES}
    return maps, lru_cache(8)(lambda group, penalty: maps[penalty].mapped(group.embedding_BD))


def fit_ridge(
    split: SplitClips, texts: ClassEmbeddings, _: dict[str, Fitted], centred: bool = False
) -> Fitted:
    """Choose the penalty by top-1 on the validation classes."""
    maps, mapped = split.ridge_maps(texts)

    def scores(group: ClipGroup, penalty: float) -> np.ndarray:
        parts = [mapped(part, penalty) for part in group.parts or (group,)]
        mapped_BF = np.concatenate(parts) if group.parts else parts[0]
        return maps[penalty].cosines(mapped_BF, text_of(texts, group.names), centred)

    name = "ridge_centred" if centred else "ridge"
    return fit_best(split, name, texts.class_text.prompt, scores, "penalty", PENALTIES)
