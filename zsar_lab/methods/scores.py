"""Methods: how clip embeddings become scores of candidate classes, [B, C], larger is nearer. All look at one clip at a time (inductive).

Shapes: B clips, C candidate classes, S seen classes, N training clips, P visual tokens, L label tokens, D
width of the shared space, F width of a class text's embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from zsar_lab.methods.query_bank import INDUCTIVE
from zsar_lab.methods.transfer import unit
from zsar_lab.models.rest import ResT
from zsar_lab.train.text_tail import TextInputs


@dataclass(frozen=True)
class MethodScores:
    """One method on the test clips of one split.

    Attributes:
        method: its name.
        class_text: prompt of the class texts it read.
        settings: what was chosen on validation classes.
        validation_top1: of those settings, on clips of the validation classes, 0..1.
        scores_BC: [test clips, unseen classes], larger is nearer.
        setting: "inductive" where one test clip is looked at at a time, "transductive" where the others tell
            too.
        temperature: of the softmax that turns scores into confidences, chosen on validation classes; None
            where it was not chosen.
    """

    method: str
    class_text: str
    settings: dict[str, Any]
    validation_top1: float
    scores_BC: np.ndarray
    setting: str = INDUCTIVE
    temperature: float | None = None


def nearest_scores(embedding_BD: np.ndarray, class_CD: np.ndarray) -> np.ndarray:
    """Cosine of each clip to a point of each class: label embeddings (direct method) or composed prototypes (transfer method)."""
    return unit(embedding_BD) @ unit(class_CD).T


@torch.inference_mode()
def label_embeddings(model: ResT, text: TextInputs) -> np.ndarray:
    """Semantic embeddings t of classes by the trained label head, float32 [C, D], unit rows."""
    return model.encode_labels(*text).embedding_CD.numpy()


@dataclass(frozen=True)
class RidgeMap:
    """A linear map from the visual to the sentence encoder's space, e = W' (v - v_mean) + t_mean."""

    weight_DF: np.ndarray
    visual_mean_D: np.ndarray
    text_mean_F: np.ndarray

    def scores(self, embedding_BD: np.ndarray, text_CF: np.ndarray, centred: bool) -> np.ndarray:
        """Cosine of mapped clips to class texts, [B, C]; with the seen texts' mean subtracted from both sides when `centred`."""
        offset = (embedding_BD - self.visual_mean_D) @ self.weight_DF
        if centred:
            return unit(offset) @ unit(text_CF - self.text_mean_F).T
        return unit(offset + self.text_mean_F) @ unit(text_CF).T


@dataclass(frozen=True, eq=False)
class RidgeSums:
    """What a ridge fit reads of the training clips, summed once for all texts and penalties.

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
        """Sum the clips up; `targets` are the clips' classes, 0..n_classes - 1."""
        visual_mean = embedding_ND.mean(0)
        centred_ND = embedding_ND - visual_mean
        sums_SD = np.stack([centred_ND[targets == s].sum(0, dtype=float) for s in range(n_classes)])
        return RidgeSums(visual_mean, centred_ND.T @ centred_ND, sums_SD, len(centred_ND))

    def fit(self, text_SF: np.ndarray, penalty: float) -> RidgeMap:
        """Ridge regression from training clips to the embedding of their class's text, W = (V'V + penalty N I)^-1 V'T on centred V and T.

        V'T is summed class by class, since all clips of a class have one text.

        Raises:
            ValueError: penalty is not positive.
        """
        if not penalty > 0:
            raise ValueError(f"the ridge penalty must be above 0, got {penalty}")
        text_mean = text_SF.mean(0)
        gram = self.gram_DD + penalty * self.n_clips * np.eye(len(self.gram_DD))
        return RidgeMap(
            np.linalg.solve(gram, self.class_sums_SD.T @ (text_SF - text_mean)), self.visual_mean_D, text_mean
        )


@torch.inference_mode()
def match_scores(
    model: ResT, tokens_NPD: np.ndarray, rows: np.ndarray, text: TextInputs, batch_size: int = 64
) -> np.ndarray:
    """Cross-modal score: the joint encoder's logit of every clip with every candidate class text, float32 [B, C].

    Args:
        model: in evaluation mode, on the CPU.
        tokens_NPD: visual tokens of all clips, a memory map or an array; `batch_size` clips are read at a
            time.
        rows: of the B clips to score.
        text: of the candidate classes.
        batch_size: clips.
    """
    labels = model.encode_labels(*text).tokens_CLD
    n_classes = len(labels)
    scores_BC = np.empty((len(rows), n_classes), dtype=np.float32)
    for start in range(0, len(rows), batch_size):
        tokens = torch.from_numpy(tokens_NPD[rows[start : start + batch_size]]).float()
        logits = model.match(tokens.repeat_interleave(n_classes, 0), labels.repeat(len(tokens), 1, 1))
        scores_BC[start : start + batch_size] = logits.view(len(tokens), n_classes).numpy()
    return scores_BC


def fused_scores(first_BC: np.ndarray, second_BC: np.ndarray, second_weight: float) -> np.ndarray:
    """z(first) + second_weight z(second), z over the candidate classes of one clip: subtract the mean, divide by the deviation."""

    def standard(scores: np.ndarray) -> np.ndarray:
        return (scores - scores.mean(1, keepdims=True)) / np.maximum(scores.std(1, keepdims=True), 1e-12)

    return standard(first_BC) + second_weight * standard(second_BC)


def reranked_scores(first_BC: np.ndarray, second_BC: np.ndarray, m: int) -> np.ndarray:
    """The m classes that a first method scores best, in the order of a second method; all others behind them, in the order of the first.

    Of classes that tie at the m-th place those that come first are taken; inside each part ties stay ties.

    Args:
        first_BC, second_BC: scores by the two methods, larger is nearer.
        m: how many classes are put in order anew, 1..C.

    Returns:
        float64 [B, C]: of the m classes second - min(second), at least 0; of the others first - max(first) -
            1, at most -1.

    Raises:
        ValueError: m is not in 1..C.
    """
    n_classes = first_BC.shape[1]
    if not 1 <= m <= n_classes:
        raise ValueError(f"m must be in 1..{n_classes} (the number of candidate classes), got {m}")
    top = np.argsort(-first_BC, axis=1, kind="stable")[:, :m]
    scores = first_BC.astype(float) - first_BC.max(1, keepdims=True) - 1
    np.put_along_axis(
        scores, top, np.take_along_axis(second_BC, top, 1).astype(float) - second_BC.min(1, keepdims=True), 1
    )
    return scores


def true_prototype_scores(embedding_BD: np.ndarray, targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Upper bound: cosine to the true prototypes of the test classes, each clip left out of its own class's prototype, [B, C].

    Not a zero-shot method: it looks at the labels of the test clips.

    Raises:
        ValueError: a class has fewer than two clips.
    """
    counts = np.bincount(targets, minlength=n_classes)
    if counts.min() < 2:
        raise ValueError(
            f"the upper bound needs 2 clips in every class, class number {int(counts.argmin())} has {int(counts.min())}; add videos"
        )
    sums = np.zeros((n_classes, embedding_BD.shape[1]))
    np.add.at(sums, targets, embedding_BD)
    scores = embedding_BD @ unit(sums).T
    own = unit(sums[targets] - embedding_BD)
    scores[np.arange(len(targets)), targets] = (embedding_BD * own).sum(1)
    return scores
