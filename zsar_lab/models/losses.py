"""The losses of the reconstruction: LOSSES, a table of functions; each gives a mean over the batch in nats.

Shapes: B clips, S seen classes, N labels a clip in matching (one right, the rest hard negatives), D width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from zsar_lab.models.rest import LabelCode, ResT, VideoCode


class LossInputs(NamedTuple):
    """What a loss is computed of."""

    model: ResT
    video: VideoCode  # of B clips
    labels: LabelCode  # of all S seen classes
    target_B: Tensor  # int64, the seen class of each clip
    uniform_BS: Tensor  # random numbers in 0..1, a loss's only source of randomness
    temperature: float  # of the cosine classifier
    label_smoothing: float  # of classification, 0..1
    n_match_labels: int  # labels a clip in matching


class Loss(NamedTuple):
    """A loss, which is a mean over the clips; its weight where a training does not say (0: off)."""

    compute: Callable[[LossInputs], Tensor]
    weight: float
    reads_text: bool  # whether it depends on class texts


def in_full_precision(device: torch.device) -> torch.autocast:
    """No bfloat16 inside the block: a cosine rounded to 3 digits over a temperature of 0.01 is off by 0.4."""
    return torch.autocast(device.type, enabled=False)


def classification(given: LossInputs) -> Tensor:
    """Cross-entropy of the cosine classifier over seen classes, with label smoothing.

    -sum_s q_s log softmax(logits)_s with q = (1 - e) one-hot + e / S.
    """
    with in_full_precision(given.target_B.device):
        logits_BS = given.model.seen_logits(given.video.embedding_BD, given.temperature)
        return cross_entropy(logits_BS.float(), given.target_B, label_smoothing=given.label_smoothing)


def alignment(given: LossInputs) -> Tensor:
    """Cross-entropy of v . t_s / temperature over all seen labels; the temperature is learned."""
    with in_full_precision(given.target_B.device):
        similarity_BS = given.video.embedding_BD @ given.labels.embedding_CD.T
        return cross_entropy(similarity_BS / given.model.log_temperature.exp(), given.target_B)


def matching(given: LossInputs) -> Tensor:
    """-log softmax(logits)_0 over the labels of a clip, the right one first, then hard negatives."""
    with in_full_precision(given.target_B.device):
        codes = given.video.embedding_BD, given.labels.embedding_CD, given.target_B
        chosen_BN = hard_labels(*codes, given.n_match_labels, given.uniform_BS)
    tokens = given.video.tokens_BPD.repeat_interleave(given.n_match_labels, 0)
    logits_BN = given.model.match(tokens, given.labels.tokens_CLD[chosen_BN.flatten()]).view(chosen_BN.shape)
    return cross_entropy(logits_BN.float(), torch.zeros_like(given.target_B))


def hard_labels(
    embedding_BD: Tensor, label_SD: Tensor, target_B: Tensor, n_labels: int, uniform_BS: Tensor
) -> Tensor:
    """The right label first, then `n_labels - 1` wrong ones, nearer labels more often; int64 [B, n_labels].

    Chosen without repetition, with probability proportional to exp(v . t_s / 0.1) over the wrong classes, by
    the Gumbel top-k trick of the random numbers in 0..1. Embeddings are unit rows.

    Raises:
        ValueError: more labels than seen classes, or fewer than 2.
    """
    n_seen = len(label_SD)
    if not 2 <= n_labels <= n_seen:
        raise ValueError(f"n_match_labels must be in 2..{n_seen} (seen classes), got {n_labels}")
    with torch.no_grad():
        scores = embedding_BD @ label_SD.T / 0.1
        noisy = scores - (-uniform_BS.clamp(1e-9, 1 - 1e-7).log()).log()
        noisy.scatter_(1, target_B[:, None], -torch.inf)
        wrong = noisy.topk(n_labels - 1, dim=1).indices
    return torch.cat([target_B[:, None], wrong], 1)


# A loss added here with weight 0 leaves earlier trainings as they are, to the last bit and in their
# fingerprints; it is switched on by loss_weights of the configuration.
LOSSES: dict[str, Loss] = {
    "classification": Loss(classification, 1.0, reads_text=False),
    "alignment": Loss(alignment, 1.0, reads_text=True),
    "matching": Loss(matching, 0.5, reads_text=True),
}
