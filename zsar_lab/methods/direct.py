"""The trained model's own methods: direct, by the label head, and match, by the joint encoder's logit.

direct: s(v, c) = cos(v, t_c), t_c the embedding of class c's text by the trained label head. match: s(v, c)
is the logit of the cross-modal encoder for the clip's visual tokens with the label's tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from zsar_lab.methods.clips import ClipGroup, Fitted, SplitClips
from zsar_lab.methods.metrics import top_k_accuracy

if TYPE_CHECKING:
    from zsar_lab.embed.embeddings import ClipEmbeddings
    from zsar_lab.models.rest import ResT
    from zsar_lab.text.embeddings import ClassEmbeddings
    from zsar_lab.train.text_tail import TextInputs


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """What direct and match read: the model in evaluation mode on the CPU, its class texts, and all clips."""

    model: ResT
    texts: ClassEmbeddings
    clips: ClipEmbeddings

    def text(self, names: tuple[str, ...]) -> TextInputs:
        """The class texts of these classes as the model takes them."""
        from zsar_lab.train.text_tail import text_inputs

        return text_inputs(self.texts, names, self.model.config.n_label_tokens, "cpu")


def fit_direct(split: SplitClips, texts: ClassEmbeddings, _: dict[str, Fitted]) -> Fitted:
    """Nearest label embedding; there is nothing to choose."""
    trained, seen = split.trained, set(split.train.names)
    assert trained, "direct needs the trained model"

    @cache
    def labels(names: tuple[str, ...]) -> np.ndarray:
        return label_embeddings(trained.model, trained.text(names))

    def points(names: tuple[str, ...]) -> np.ndarray:
        groups = (tuple(name for name in names if (name in seen) == side) for side in (True, False))
        return np.concatenate([labels(group) for group in groups if group])

    def scores(group: ClipGroup) -> np.ndarray:
        return group.nearest(points(group.names))

    top1 = top_k_accuracy(scores(split.validation), split.validation.targets, 1)
    return Fitted("direct", texts.class_text.prompt, {}, top1, scores, points)


def fit_match(split: SplitClips, texts: ClassEmbeddings, _: dict[str, Fitted]) -> Fitted:
    """The joint encoder's logits, of a group once; there is nothing to choose."""
    trained = split.trained
    assert trained, "match needs the trained model"

    @cache
    def scores(group: ClipGroup) -> np.ndarray:
        tokens_NPD, rows = trained.clips.tokens_NPD, trained.clips.rows(group.ids)
        return match_scores(trained.model, tokens_NPD, rows, trained.text(group.names))

    top1 = top_k_accuracy(scores(split.validation), split.validation.targets, 1)
    return Fitted("match", texts.class_text.prompt, {}, top1, scores)


def label_embeddings(model: ResT, text: TextInputs) -> np.ndarray:
    """Semantic embeddings t of classes by the trained label head, float32 [C, D], unit rows."""
    import torch

    with torch.inference_mode():
        return model.encode_labels(*text).embedding_CD.numpy()


def match_scores(
    model: ResT, tokens_NPD: np.ndarray, rows: np.ndarray, text: TextInputs, batch_size: int = 64
) -> np.ndarray:
    """The joint encoder's logit of every clip of these rows with every candidate class text, float32 [B, C].

    The model is in evaluation mode, on the CPU; of tokens in a memory map `batch_size` clips are read at a
    time.
    """
    import torch

    with torch.inference_mode():
        labels = model.encode_labels(*text).tokens_CLD
        scores_BC = np.empty((len(rows), len(labels)), dtype=np.float32)
        for start in range(0, len(rows), batch_size):
            tokens = torch.from_numpy(tokens_NPD[rows[start : start + batch_size]]).float()
            logits = model.match(tokens.repeat_interleave(len(labels), 0), labels.repeat(len(tokens), 1, 1))
            scores_BC[start : start + batch_size] = logits.view(len(tokens), len(labels)).numpy()
    return scores_BC
