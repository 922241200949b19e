"""Generalised zero-shot: seen and unseen classes as candidates, and a gamma off the seen scores as balance.

Shapes: B clips, C candidate classes, the seen ones first. S and U are the accuracy on clips of seen and of
unseen classes, fractions; H is their harmonic mean. A clip whose true class ties with another is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.methods.metrics import truth_rank
from zsar_lab.results.predictions import Predictions, Scored, halves
from zsar_lab.results.statistics import accuracy, harmonic_interval

AVERAGES = ("micro", "mean_class")  # S and U over clips, or over classes


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """S and U at every gamma: P stretches between neighbouring breakpoints, within which both stay the same.

    Attributes:
        breakpoints: the P - 1 gammas at which a clip turns right or wrong, upwards.
        seen, unseen: [P] S, falling to 0, and U, rising from 0.
        area: AUSUC, under S over U, by trapezoids.
    """

    breakpoints: np.ndarray
    seen: np.ndarray
    unseen: np.ndarray
    area: float

    @property
    def harmonic(self) -> np.ndarray:
        """H of every stretch, [P]."""
        return harmonic_mean(self.seen, self.unseen)

    @property
    def gammas(self) -> np.ndarray:
        """A gamma inside every stretch, [P]: the middle between two breakpoints; -inf and inf at the ends."""
        middle = self.breakpoints[:-1] + np.diff(self.breakpoints) / 2
        return np.concatenate([[-np.inf], middle, [np.inf]]) if len(self.breakpoints) else np.zeros(1)

    @property
    def harmonic_upper_bound(self) -> float:
        """The best H over the curve; on test clips it looks at their labels: a bound and no result."""
        return float(self.harmonic.max())


def harmonic_mean(seen: np.ndarray | float, unseen: np.ndarray | float) -> np.ndarray:
    """2 S U / (S + U), 0 where both are 0."""
    total = np.add(seen, unseen)
    return 2 * np.multiply(seen, unseen) / np.where(total > 0, total, 1)


def seen_unseen_curve(
    scores_BC: np.ndarray, targets: np.ndarray, is_seen_C: np.ndarray, average: str = "mean_class"
) -> SeenUnseenCurve:
    """S against U as gamma goes from minus infinity to infinity, exactly: no grid.

    A clip's margin is its best seen less its best unseen score. A clip whose class is the best of its side
    is right while gamma is below its margin (seen), or above it (unseen); so these margins are all the
    breakpoints. One shared by both sides becomes a slope, worth half the rectangle, as under a ROC curve.

    Args:
        scores_BC: of all candidate classes, larger is nearer.
        targets: true class of each clip, 0..C - 1.
        is_seen_C: which classes are seen ones.
        average: of S and U, "micro" over clips or "mean_class".

    Raises:
        ValueError: a score is not finite, the average is unknown, or a side has no class or no clip.

    Source: Chao et al., An Empirical Study and Analysis of Generalized Zero-Shot Learning, ECCV 2016.
    """
    is_seen_C, weight = _checked(scores_BC, targets, is_seen_C, average)
    of_seen = is_seen_C[targets]
    own = scores_BC[np.arange(len(targets)), targets][:, None]
    right = ((scores_BC >= own) & (is_seen_C == of_seen[:, None])).sum(1) == 1  # the best of its own side
    margin = scores_BC[:, is_seen_C].max(1) - scores_BC[:, ~is_seen_C].max(1)
    breakpoints, at = np.unique(margin[right], return_inverse=True)
    lost, gained = (
        np.bincount(at, weights=(weight * side)[right], minlength=len(breakpoints))
        for side in (of_seen, ~of_seen)
    )
    seen = np.append(lost[::-1].cumsum()[::-1], 0.0)
    unseen = np.insert(gained.cumsum(), 0, 0.0)
    area = float((np.diff(unseen) * (seen[1:] + seen[:-1]) / 2).sum())
    return SeenUnseenCurve(breakpoints, seen, unseen, area)


def choose_gamma(
    scores_BC: np.ndarray, targets: np.ndarray, is_seen_C: np.ndarray, average: str = "mean_class"
) -> float:
    """The gamma of the best H on validation clips, of equal stretches the one nearest to 0; 0 where H is 0.

    Args, Raises: as for `seen_unseen_curve`; the clips are held-out ones of seen classes, and of validation
    classes in the unseen ones' place, none of them a test clip.
    """
    curve = seen_unseen_curve(scores_BC, targets, is_seen_C, average)
    best = curve.harmonic_upper_bound
    if best == 0:
        return 0.0
    gammas = curve.gammas[curve.harmonic >= best * (1 - 1e-12)]
    return float(gammas[np.abs(gammas).argmin()])


def choose_gammas(
    scores_BC: np.ndarray,
    targets: np.ndarray,
    n_seen_clips: int,
    n_seen: int,
    test_targets: np.ndarray,
    average: str,
) -> tuple[float, float]:
    """The gammas of calibrated stacking for both halves of the held-out seen clips, chosen on the other half.

    `scores_BC` and `targets` are of the held-out seen clips (the first `n_seen_clips`), then of the clips of
    validation classes, with these classes as candidates, the first `n_seen` of them seen ones; `test_targets`
    are the classes of the clips scored, the held-out seen ones first.
    """
    half = halves(test_targets)[:n_seen_clips]
    is_seen_C, rest = np.arange(scores_BC.shape[1]) < n_seen, np.ones(len(targets) - n_seen_clips, dtype=bool)
    kept = (np.append(half != one, rest) for one in (0, 1))
    first, second = (choose_gamma(scores_BC[rows], targets[rows], is_seen_C, average) for rows in kept)
    return first, second


def generalised_figures(
    splits: Sequence[Predictions], one: Scored, seen: pd.DataFrame, unseen: pd.DataFrame
) -> dict[str, Any]:
    """S, U, H with its interval, AUSUC and the best H of one method with all classes as candidates.

    S and U are of the right clips `per_class` of either side, over all splits; AUSUC and the best H are means
    over splits, of the plain scores.
    """
    average = splits[0].protocol.average
    quantity = "mean_class" if average == "mean_class" else "top1"
    s, u = accuracy(seen, quantity), accuracy(unseen, quantity)
    low, high = harmonic_interval(seen, unseen, quantity)
    areas, bounds = zip(*(area_and_bound(split, one.method, one.prompt) for split in splits))
    figures = {"average": average, "seen": s, "unseen": u, "harmonic": float(harmonic_mean(s, u))}
    figures |= {"harmonic_low": low, "harmonic_high": high, "ausuc": float(np.mean(areas))}
    return figures | {"harmonic_upper_bound": float(np.mean(bounds))}


def area_and_bound(predictions: Predictions, method: str, prompt: str) -> tuple[float, float]:
    """AUSUC and the best H of `curve_of`, which is made once."""
    if (method, prompt) not in predictions.curves:
        curve = curve_of(predictions, method, prompt)
        predictions.curves[method, prompt] = curve.area, curve.harmonic_upper_bound
    return predictions.curves[method, prompt]


def curve_of(predictions: Predictions, method: str, prompt: str | None = None) -> SeenUnseenCurve:
    """S against U of one method at every gamma, on the test clips of a split."""
    scores_BC, targets = predictions.scores(method, prompt, candidates="all"), predictions.targets("all")
    is_seen_C = np.arange(scores_BC.shape[1]) < len(predictions.protocol.seen)
    return seen_unseen_curve(scores_BC, targets, is_seen_C, predictions.protocol.average)


def _checked(
    scores_BC: np.ndarray, targets: np.ndarray, is_seen_C: np.ndarray, average: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which classes are seen, as booleans, and the weight of each clip: those of a side sum to 1."""
    if average not in AVERAGES:
        raise ValueError(f"average must be one of {', '.join(AVERAGES)}, got {average!r}")
    is_seen_C = np.asarray(is_seen_C, dtype=bool)
    if is_seen_C.shape != scores_BC.shape[1:]:
        raise ValueError(
            f"is_seen_C must be of the {scores_BC.shape[1]} classes scored, got {is_seen_C.size}"
        )
    truth_rank(scores_BC, targets)  # checks clips and scores
    weight = np.zeros(len(targets))
    for side, name in ((is_seen_C, "seen"), (~is_seen_C, "unseen")):
        clips = np.bincount(targets, minlength=len(side)) * side
        if not clips.any():
            what = "clip" if side.any() else "class"
            raise ValueError(
                f"a generalised score needs seen and unseen classes with clips, got no {name} {what}"
            )
        each = 1 / clips.sum() if average == "micro" else 1 / (np.maximum(clips, 1) * np.count_nonzero(clips))
        weight += np.where(side, each, 0.0)[targets]
    return is_seen_C, weight
