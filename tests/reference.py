"""Slow, plain versions of the numeric functions, written from their formulas with loops; the tests compare with these."""

from __future__ import annotations

import math

import numpy as np


def cosine(a, b) -> float:
    return sum(x * y for x, y in zip(a, b)) / (math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b)))


def softmax(values) -> list[float]:
    powers = [math.exp(value) for value in values]
    return [power / sum(powers) for power in powers]


def cross_entropy(logits, target: int, smoothing: float = 0.0) -> float:
    """-sum_s q_s log softmax(logits)_s with q = (1 - e) one-hot + e / S, of one clip."""
    wanted = [smoothing / len(logits) + (1 - smoothing) * (s == target) for s in range(len(logits))]
    return -sum(q * math.log(p) for q, p in zip(wanted, softmax(logits)))


def temporal_shift(features, n_frames: int):
    """[B*T, K, H, W]: channels of the first eighth come from the next frame, of the second from the last, else stay."""
    shifted = np.zeros_like(features)
    eighth = features.shape[1] // 8
    for row in range(len(features)):
        t = row % n_frames
        for channel in range(features.shape[1]):
            if channel < eighth:
                source = row + 1 if t < n_frames - 1 else None
            elif channel < 2 * eighth:
                source = row - 1 if t > 0 else None
            else:
                source = row
            if source is not None:
                shifted[row, channel] = features[source, channel]
    return shifted


def class_means(embeddings, targets, n_classes: int) -> np.ndarray:
    means = []
    for c in range(n_classes):
        total = sum(row for row, target in zip(embeddings, targets) if target == c)
        means.append(total / math.sqrt((total**2).sum()))
    return np.array(means)


def relatedness(text_UE, text_SE) -> np.ndarray:
    centre = sum(text_SE) / len(text_SE)
    return np.array([[cosine(u - centre, s - centre) for s in text_SE] for u in text_UE])


def transfer_weights(relatedness_US, k: int, tau: float) -> np.ndarray:
    weights = np.zeros(relatedness_US.shape)
    for u, row in enumerate(relatedness_US):
        nearest = sorted(range(len(row)), key=lambda s: -row[s])[:k]
        for s, weight in zip(nearest, softmax([row[s] / tau for s in nearest])):
            weights[u, s] = weight
    return weights


def true_prototype_scores(embeddings, targets, n_classes: int) -> np.ndarray:
    """Cosine of each clip to the mean of each class's other clips."""
    scores = np.zeros((len(embeddings), n_classes))
    for b, clip in enumerate(embeddings):
        for c in range(n_classes):
            others = [row for i, row in enumerate(embeddings) if targets[i] == c and i != b]
            scores[b, c] = cosine(clip, sum(others) / len(others))
    return scores


def truth_rank(scores, targets) -> list[int]:
    """1 + the number of other classes that score at least as high as the true one."""
    return [1 + sum(score >= row[t] for c, score in enumerate(row) if c != t) for row, t in zip(scores, targets)]


def k_occurrence(scores, k: int) -> list[int]:
    counts = [0] * len(scores[0])
    for row in scores:
        for c in sorted(range(len(row)), key=lambda c: -row[c])[:k]:
            counts[c] += 1
    return counts


def gini(counts) -> float:
    return sum(abs(a - b) for a in counts for b in counts) / (2 * len(counts) * sum(counts))
