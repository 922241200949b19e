"""The three losses of the reconstruction; each is a mean over the batch in nats, and each has a weight in training.

Shapes: B clips, S seen classes, N labels a clip in matching (one right, the rest hard negatives).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def classification_loss(seen_logits_BS: Tensor, target_B: Tensor, label_smoothing: float) -> Tensor:
    """Cross-entropy of the cosine classifier over seen classes, with label smoothing.

    -sum_s q_s log softmax(logits)_s with q = (1 - e) one-hot + e / S.
    """
    return cross_entropy(seen_logits_BS.float(), target_B, label_smoothing=label_smoothing)


def alignment_loss(
    embedding_BD: Tensor, label_SD: Tensor, target_B: Tensor, log_temperature: Tensor
) -> Tensor:
    """Contrast of each clip with all seen labels: cross-entropy of v . t_s / temperature; the temperature is learned, kept in 0.01..1."""
    temperature = log_temperature.exp().clamp(0.01, 1.0)
    return cross_entropy(embedding_BD @ label_SD.T / temperature, target_B)


def hard_labels(
    embedding_BD: Tensor, label_SD: Tensor, target_B: Tensor, n_labels: int, uniform_BS: Tensor
) -> Tensor:
    """The right label first, then `n_labels - 1` wrong ones drawn without repetition, nearer labels more often.

    Drawn with probability proportional to exp(v . t_s / 0.1) over the wrong classes (by the Gumbel top-k
    trick).

    Args:
        embedding_BD, label_SD: unit rows.
        target_B: the right class of each clip.
        n_labels: labels a clip.
        uniform_BS: random numbers in 0..1, the only source of randomness.

    Returns:
        int64 [B, n_labels].

    Raises:
        ValueError: more labels asked for than there are seen classes.
    """
    n_seen = len(label_SD)
    if not 2 <= n_labels <= n_seen:
        raise ValueError(f"n_labels must be in 2..{n_seen} (the number of seen classes), got {n_labels}")
    with torch.no_grad():
        scores = embedding_BD @ label_SD.T / 0.1
        noisy = scores - (-uniform_BS.clamp(1e-9, 1 - 1e-7).log()).log()
        noisy.scatter_(1, target_B[:, None], -torch.inf)
        wrong = noisy.topk(n_labels - 1, dim=1).indices
    return torch.cat([target_B[:, None], wrong], 1)


def matching_loss(logits_BN: Tensor) -> Tensor:
    """Cross-entropy over the labels of a clip, of which the first is right: -log softmax(logits)_0."""
    return cross_entropy(
        logits_BN.float(), torch.zeros(len(logits_BN), dtype=torch.long, device=logits_BN.device)
    )
