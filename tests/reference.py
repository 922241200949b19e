"""Slow, plain versions of the numeric functions, written from their formulas with loops; the tests compare with these."""

from __future__ import annotations

import itertools
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


def convolution3d(features, weight, stride, padding) -> np.ndarray:
    """[K, T, H, W] of one clip by a weight [K', K, t, h, w], without bias: at each place the sum of products over the window, zeros outside."""
    padded = np.pad(features, [(0, 0), *((p, p) for p in padding)])
    size = [(padded.shape[axis + 1] - weight.shape[axis + 2]) // stride[axis] + 1 for axis in range(3)]
    found = np.zeros((len(weight), *size))
    for t in range(size[0]):
        for h in range(size[1]):
            for w in range(size[2]):
                first = (t * stride[0], h * stride[1], w * stride[2])
                window = padded[:, *(slice(a, a + n) for a, n in zip(first, weight.shape[2:]))]
                for k in range(len(weight)):
                    found[k, t, h, w] = (window * weight[k]).sum()
    return found


def video_resnet(weights, frames, factorised: bool, n_stages: int, n_blocks: int) -> np.ndarray:
    """R3D or R(2+1)D in evaluation, one clip [T, 3, H, W] to [T', H', W', K]; `weights` by the names of VideoResNet's state."""

    def norm(x, name):
        mean, var, scale, shift = (weights[f"{name}.{part}"][:, None, None, None] for part in ("running_mean", "running_var", "weight", "bias"))
        return (x - mean) / np.sqrt(var + 1e-5) * scale + shift

    def relu(x):
        return np.where(x > 0, x, 0)

    def convolution(x, name, s):
        if not factorised:
            return convolution3d(x, weights[f"{name}.weight"], (s, s, s), (1, 1, 1))
        x = relu(norm(convolution3d(x, weights[f"{name}.0.weight"], (1, s, s), (0, 1, 1)), f"{name}.1"))
        return convolution3d(x, weights[f"{name}.3.weight"], (s, 1, 1), (1, 0, 0))

    x = frames.transpose(1, 0, 2, 3)
    if factorised:
        x = relu(norm(convolution3d(x, weights["stem.0.weight"], (1, 2, 2), (0, 3, 3)), "stem.1"))
        x = relu(norm(convolution3d(x, weights["stem.3.weight"], (1, 1, 1), (1, 0, 0)), "stem.4"))
    else:
        x = relu(norm(convolution3d(x, weights["stem.0.weight"], (1, 2, 2), (1, 3, 3)), "stem.1"))
    for number in range(n_stages * n_blocks):
        name, s = f"stages.{number}", 2 if number and number % n_blocks == 0 else 1
        branch = relu(norm(convolution(x, f"{name}.body.0", s), f"{name}.body.1"))
        branch = norm(convolution(branch, f"{name}.body.3", 1), f"{name}.body.4")
        if f"{name}.shortcut.0.weight" in weights:
            x = norm(convolution3d(x, weights[f"{name}.shortcut.0.weight"], (s, s, s), (0, 0, 0)), f"{name}.shortcut.1")
        x = relu(branch + x)
    return x.transpose(1, 2, 3, 0)


def class_means(embeddings, targets, n_classes: int) -> np.ndarray:
    means = []
    for c in range(n_classes):
        total = sum(row for row, target in zip(embeddings, targets) if target == c)
        means.append(total / math.sqrt((total**2).sum()))
    return np.array(means)


def relatedness(text_UE, text_SE) -> np.ndarray:
    centre = sum(text_SE) / len(text_SE)
    return np.array([[cosine(u - centre, s - centre) for s in text_SE] for u in text_UE])


def whitened_relatedness(text_UE, text_SE, shrinkage: float) -> np.ndarray:
    """Cosines after W = (C + l 1)^-1/2, with C and W as E x E matrices."""
    centre, width = sum(text_SE) / len(text_SE), len(text_SE[0])
    covariance = np.zeros((width, width))
    for s in text_SE:
        for a in range(width):
            for b in range(width):
                covariance[a, b] += (s - centre)[a] * (s - centre)[b] / len(text_SE)
    values, axes = np.linalg.eigh(covariance)
    above = [value for value in values if value > 1e-12 * max(values)]
    floor = shrinkage * sum(above) / len(above)
    whiten = sum(np.outer(axis, axis) / math.sqrt(max(value, 0) + floor) for value, axis in zip(values, axes.T))
    return np.array([[cosine((u - centre) @ whiten, (s - centre) @ whiten) for s in text_SE] for u in text_UE])


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


def atkinson(counts) -> float:
    """Of inequality aversion 0.5: 1 less the share of the mean that, dealt evenly, gives the same sum of square roots."""
    mean_root = sum(math.sqrt(count) for count in counts) / len(counts)
    return 1 - mean_root * mean_root / (sum(counts) / len(counts))


def seen_and_unseen(scores, targets, is_seen, constant: float, mean_class: bool) -> tuple[float, float]:
    """S and U: a clip is right when its class scores above all others, after the constant is taken off the seen ones."""
    right = {}
    for row, target in zip(scores, targets):
        moved = [score - constant if seen else score for score, seen in zip(row, is_seen)]
        is_right = all(moved[target] > score for c, score in enumerate(moved) if c != target)
        right.setdefault(target if mean_class else is_seen[target], []).append(is_right)
    sides = []
    for side in (True, False):
        shares = [sum(clips) / len(clips) for key, clips in right.items() if (is_seen[key] if mean_class else key) == side]
        sides.append(sum(shares) / len(shares))
    return sides[0], sides[1]


def seen_unseen_area(scores, targets, is_seen, mean_class: bool) -> float:
    """Share of pairs of a seen and an unseen clip, both the best of their own side, of which the seen one has the larger margin (ties count half)."""
    margins = {}
    for row, target in zip(scores, targets):
        best = {side: max(score for c, score in enumerate(row) if is_seen[c] == side) for side in (True, False)}
        rivals = [score for c, score in enumerate(row) if is_seen[c] == is_seen[target] and c != target]
        right = all(row[target] > score for score in rivals)
        key = (is_seen[target], target if mean_class else 0)
        margins.setdefault(key, []).append(best[True] - best[False] if right else None)

    def share(of_seen, of_unseen) -> float:
        pairs = [(a, b) for a in of_seen for b in of_unseen]
        return sum((a > b) + 0.5 * (a == b) for a, b in pairs if a is not None and b is not None) / len(pairs)

    shares = [share(a, b) for (side_a, _), a in margins.items() for (side_b, _), b in margins.items() if side_a and not side_b]
    return sum(shares) / len(shares)


def risks(confidence, right) -> list[float]:
    """Share of wrong ones among the 1, 2, ... most confident clips, the mean over all orders of the clips that keep the confidences falling."""
    n, found = len(right), []
    for order in itertools.permutations(range(n)):
        if all(confidence[a] >= confidence[b] for a, b in zip(order, order[1:])):
            found.append([sum(not right[clip] for clip in order[:kept]) / kept for kept in range(1, n + 1)])
    return [sum(column) / len(found) for column in zip(*found)]


def calibration_error(confidence, right, n_bins: int) -> float:
    """Equal width: sum over bins (low, high] of |sum of confidences - number of right clips| / clips; 0 belongs to the first bin."""
    total = 0.0
    for b in range(n_bins):
        inside = [i for i, value in enumerate(confidence) if b / n_bins < value <= (b + 1) / n_bins or (b == 0 and value == 0)]
        total += abs(sum(confidence[i] for i in inside) - sum(right[i] for i in inside))
    return total / len(confidence)


def paired_p_value(differences, drawn_classes) -> float:
    """Two-sided bootstrap p; `differences` holds each class's clips, `drawn_classes` the classes of each resample."""
    means = []
    for drawn in drawn_classes:
        clips = [value for name in drawn for value in differences[name]]
        means.append(sum(clips) / len(clips))
    below, above = sum(mean <= 0 for mean in means), sum(mean >= 0 for mean in means)
    return min(1.0, 2 * (1 + min(below, above)) / (len(means) + 1))


def holm(p_values) -> list[float]:
    """For each p: over all p' up to it, the largest p' times the number of p values that are not below p'."""
    adjusted = []
    for i, p in enumerate(p_values):
        before = [(q, j) for j, q in enumerate(p_values) if (q, j) <= (p, i)]
        adjusted.append(max(min(1.0, q * sum((r, n) >= (q, j) for n, r in enumerate(p_values))) for q, j in before))
    return adjusted


def text_change(before, after, targets, names) -> dict:
    """For each class: clips, how many right before and after, gained and lost; a clip is right when its class scores above all others."""
    counts = {name: {"clips": 0, "before": 0, "after": 0, "gained": 0, "lost": 0} for name in names}
    for was, now, target in zip(before, after, targets):
        row = counts[names[target]]
        right_was, right_now = (all(scores[target] > score for c, score in enumerate(scores) if c != target) for scores in (was, now))
        row["clips"] += 1
        row["before"] += right_was
        row["after"] += right_now
        row["gained"] += right_now and not right_was
        row["lost"] += right_was and not right_now
    return counts


def fit_ridge(embedding_ND, targets, text_SF, penalty: float) -> np.ndarray:
    """W = (V'V + penalty n I)^-1 V'T on centred V and T, T row by row."""
    text_NF = np.stack([text_SF[target] for target in targets])
    centred = embedding_ND - embedding_ND.mean(0)
    return np.linalg.inv(centred.T @ centred + penalty * len(centred) * np.eye(centred.shape[1])) @ centred.T @ (text_NF - text_SF.mean(0))


def swap_gains(text_CF, label_CF) -> np.ndarray:
    """(S_ij + S_ji - S_ii - S_jj) / s, with S the cosines of centred unit rows and s the deviation of those of different classes; 0 for i = j."""
    n = len(text_CF)
    rows = [[row / math.sqrt(sum(row**2)) for row in group] for group in (text_CF, label_CF)]
    texts, labels = ([row - sum(group) / n for row in group] for group in rows)
    near = [[cosine(text, label) for label in labels] for text in texts]
    others = [near[i][j] for i in range(n) for j in range(n) if i != j]
    mean = sum(others) / len(others)
    spread = math.sqrt(sum((value - mean) ** 2 for value in others) / len(others))
    return np.array([[(near[i][j] + near[j][i] - near[i][i] - near[j][j]) / spread for j in range(n)] for i in range(n)])


def csls(scores, bank, k: int) -> np.ndarray:
    """2 s(v, c) - mean of the clip's k best - mean of the class's k best over the bank."""

    def best(values):
        return sum(sorted(values, reverse=True)[:k]) / k

    return np.array([[2 * s - best(row) - best([other[c] for other in bank]) for c, s in enumerate(row)] for row in scores])


def globally_corrected(scores, bank) -> np.ndarray:
    """Minus the clip's rank among the bank for the class; of equal ranks the higher s is ahead, by less than a rank."""
    rank = [[1 + sum(other[c] > s for other in bank) for c, s in enumerate(row)] for row in scores]
    ahead_of = [[sum(lower < s for lower in row) / len(row) for s in row] for row in scores]
    return np.array(ahead_of) - np.array(rank)


def inverted_softmax(scores, bank, beta: float) -> np.ndarray:
    return np.array([[math.exp(beta * s) / sum(math.exp(beta * other[c]) for other in bank) for c, s in enumerate(row)] for row in scores])


def qb_norm(scores, bank, beta: float) -> np.ndarray:
    """s; for clips whose best class is first for some bank clip 1/beta log of the inverted softmax, moved so that the clip's mean stays."""
    activated = {max(range(len(row)), key=lambda c: row[c]) for row in bank}
    corrected = []
    for row in scores:
        if max(range(len(row)), key=lambda c: row[c]) in activated:
            logs = [math.log(share) / beta for share in inverted_softmax([row], bank, beta)[0]]
            row = [log + (sum(row) - sum(logs)) / len(row) for log in logs]
        corrected.append(row)
    return np.array(corrected)


def local_scaling(scores, bank, k: int) -> np.ndarray:
    """The distance 1 - exp(-d^2 / (sig_v sig_c)) with d the length of the difference of unit vectors of cosine s."""

    def kth(values):
        return sorted(math.sqrt(2 - 2 * s) for s in values)[k - 1]

    return np.array(
        [[1 - math.exp(-(2 - 2 * s) / (kth(row) * kth([other[c] for other in bank]))) for c, s in enumerate(row)] for row in scores]
    )


def mutual_proximity(scores, bank) -> np.ndarray:
    """P(X > d) P(Y > d) by counting, with d = 1 - s."""
    found = np.zeros((len(scores), len(scores[0])))
    for b, row in enumerate(scores):
        for c, s in enumerate(row):
            farther_classes = sum(1 - other > 1 - s for other in row)
            farther_clips = sum(1 - other[c] > 1 - s for other in bank)
            found[b, c] = farther_classes / len(row) * farther_clips / len(bank)
    return found
