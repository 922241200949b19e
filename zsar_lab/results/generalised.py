"""Generalised zero-shot: seen and unseen classes are candidates together, and a constant taken off the seen scores balances the two.

Shapes: B clips, C candidate classes, seen and unseen. Accuracies are fractions, 0..1. A clip whose true class
ties with another is wrong, as everywhere in metrics.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.methods.metrics import truth_rank
from zsar_lab.results.predictions import Predictions, Scored
from zsar_lab.results.statistics import accuracy, harmonic_interval

MEAN_CLASS, MICRO = "mean class", "micro"
AVERAGES = (MEAN_CLASS, MICRO)


@dataclass(frozen=True)
class GeneralisedScore:
    """Accuracy on both sides with all classes as candidates.

    Attributes:
        seen: S, on clips of seen classes.
        unseen: U, on clips of unseen classes.
        harmonic: H = 2 S U / (S + U), 0 when both are 0.
        constant: what was taken off the seen classes' scores.
        average: "mean class" (each class with clips counts the same) or "micro" (each clip does).
    """

    seen: float
    unseen: float
    harmonic: float
    constant: float
    average: str


@dataclass(frozen=True, eq=False)
class SeenUnseenCurve:
    """S and U at every constant: P stretches of constants between neighbouring breakpoints, within which both stay the same.

    Attributes:
        breakpoints: the P - 1 constants at which a clip turns right or wrong, upwards.
        seen, unseen: [P] S and U between them; from S at its largest and U = 0 to S = 0 and U at its largest.
        area: under S over U, by trapezoids.
        average: see `GeneralisedScore`.
    """

    breakpoints: np.ndarray
    seen: np.ndarray
    unseen: np.ndarray
    area: float
    average: str

    @property
    def harmonic(self) -> np.ndarray:
        """H of every stretch, [P]."""
        return harmonic_mean(self.seen, self.unseen)

    @property
    def constants(self) -> np.ndarray:
        """A constant inside every stretch, [P]: the middle between two breakpoints; minus infinity and infinity at the ends."""
        middle = self.breakpoints[:-1] + np.diff(self.breakpoints) / 2
        return np.concatenate([[-np.inf], middle, [np.inf]]) if len(self.breakpoints) else np.zeros(1)

    @property
    def harmonic_upper_bound(self) -> float:
        """The best H over the curve. On test clips it looks at their labels: an upper bound of what a chosen constant gives, not a result."""
        return float(self.harmonic.max())


@dataclass(frozen=True)
class ChosenConstant:
    """A constant chosen on validation clips.

    Attributes:
        constant: to be taken off the seen classes' scores.
        validation_harmonic: H on the validation clips at it.
        average: the accuracy it was chosen by.
    """

    constant: float
    validation_harmonic: float
    average: str


def harmonic_mean(seen: np.ndarray | float, unseen: np.ndarray | float) -> np.ndarray:
    """2 S U / (S + U), 0 where both are 0."""
    total = np.add(seen, unseen)
    return 2 * np.multiply(seen, unseen) / np.where(total > 0, total, 1)


def generalised_score(
    scores_BC: np.ndarray,
    targets: np.ndarray,
    is_seen_C: np.ndarray,
    constant: float = 0.0,
    average: str = MEAN_CLASS,
) -> GeneralisedScore:
    """S, U and H after the constant is taken off the seen classes' scores.

    Args:
        scores_BC: scores of all candidate classes, larger is nearer.
        targets: true class of each clip, 0..C-1.
        is_seen_C: which classes are seen ones.
        constant: 0 for none; from `choose_constant`, never from the test clips.
        average: "mean class", as generalised results are mostly given, or "micro".

    Raises:
        ValueError: a score or the constant is not finite, the average is unknown, or a side has no class or
            no clip.
    """
    if not np.isfinite(constant):
        raise ValueError(
            f"the constant must be a finite number, got {constant}; choose it with choose_constant"
        )
    is_seen_C, weight = _checked(scores_BC, targets, is_seen_C, average)
    right = truth_rank(np.where(is_seen_C, scores_BC - constant, scores_BC), targets) == 1
    of_seen = is_seen_C[targets]
    seen, unseen = (float(weight[side & right].sum()) for side in (of_seen, ~of_seen))
    return GeneralisedScore(seen, unseen, float(harmonic_mean(seen, unseen)), float(constant), average)


def seen_unseen_curve(
    scores_BC: np.ndarray, targets: np.ndarray, is_seen_C: np.ndarray, average: str = MEAN_CLASS
) -> SeenUnseenCurve:
    """The whole curve of S against U as the constant goes from minus infinity to infinity, exactly: no grid.

    A clip's margin is its best seen less its best unseen score. A clip of a seen class is right when its
    class is the best of the seen ones and the constant is below the margin; one of an unseen class when its
    class is the best of the unseen ones and the constant is above it. So the margins of clips right on their
    own side are all the breakpoints.

    The area is by trapezoids. Where all margins differ, S and U never change at the same breakpoint, the
    curve is made of level and upright steps, and its area is that of the steps. A breakpoint shared by clips
    of both sides becomes a slope, worth half the rectangle: the area is the share (weighted by the average)
    of pairs of a seen and an unseen clip, both right on their own side, that some constant gets right
    together, ties counting half, as in the area under a ROC curve.

    Args, Raises: as for `generalised_score`.

    Source: Chao et al., An Empirical Study and Analysis of Generalized Zero-Shot Learning, ECCV 2016
    (calibrated stacking, AUSUC).
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
    return SeenUnseenCurve(breakpoints, seen, unseen, area, average)


def choose_constant(
    scores_BC: np.ndarray, targets: np.ndarray, is_seen_C: np.ndarray, average: str = MEAN_CLASS
) -> ChosenConstant:
    """The constant of the best H on validation clips: held-out clips of seen classes, and clips of validation classes in the unseen ones' place.

    Of equally good stretches of constants the one whose middle is nearest to 0; 0 when H is 0 everywhere.

    Args, Raises: as for `generalised_score`; none of the clips may be a test clip, none of the classes an
    unseen one.
    """
    curve = seen_unseen_curve(scores_BC, targets, is_seen_C, average)
    best = curve.harmonic_upper_bound
    if best == 0:
        return ChosenConstant(0.0, 0.0, average)
    constants = curve.constants[curve.harmonic >= best * (1 - 1e-12)]
    return ChosenConstant(float(constants[np.abs(constants).argmin()]), best, average)


def _checked(
    scores_BC: np.ndarray, targets: np.ndarray, is_seen_C: np.ndarray, average: str
) -> tuple[np.ndarray, np.ndarray]:
    """Which classes are seen, as booleans, and the weight of each clip: those of a side sum to 1."""
    if average not in AVERAGES:
        raise ValueError(f"the average must be one of {', '.join(AVERAGES)}, got {average!r}")
    is_seen_C = np.asarray(is_seen_C, dtype=bool)
    if is_seen_C.shape != scores_BC.shape[1:]:
        raise ValueError(
            f"every scored class must be marked as seen or not, got {is_seen_C.size} marks and {scores_BC.shape[1]} classes"
        )
    truth_rank(scores_BC, targets)  # checks clips and scores
    weight = np.zeros(len(targets))
    for side, name in ((is_seen_C, "seen"), (~is_seen_C, "unseen")):
        clips = np.bincount(targets, minlength=len(side)) * side
        if not clips.any():
            what = "clip" if side.any() else "class"
            raise ValueError(
                f"a generalised score needs {name} and other classes, both with clips, got no {name} {what}"
            )
        each = 1 / clips.sum() if average == MICRO else 1 / (np.maximum(clips, 1) * np.count_nonzero(clips))
        weight += np.where(side, each, 0.0)[targets]
    return is_seen_C, weight


def generalised_figures(splits: Sequence[Predictions], one: Scored, rows: pd.DataFrame) -> dict[str, Any]:
    """S, U, H, AUSUC and the best H on the curve of one method with seen and unseen classes as candidates.

    S and U are over the clips (or classes, as the protocol's average says) of all splits. AUSUC and the best H are
    means over splits, of the scores with nothing taken off.

    Args:
        splits: the predictions.
        one: what was scored, with or without calibrated stacking.
        rows: its rows in all splits.
    """
    quantity = "mean_class" if splits[0].protocol.average == "mean_class" else "top1"
    sides = [rows[rows["role"] == role] for role in ("seen_test", "test")]
    s, u = (accuracy(side, quantity) for side in sides)
    low, high = harmonic_interval(*sides, quantity)
    curves = [curve_of(split, one.method, one.prompt) for split in splits]
    return {
        "average": splits[0].protocol.average,
        "seen": s,
        "unseen": u,
        "harmonic": float(harmonic_mean(s, u)),
        "harmonic_low": low,
        "harmonic_high": high,
        "ausuc": float(np.mean([curve.area for curve in curves])),
        "harmonic_upper_bound": float(np.mean([curve.harmonic_upper_bound for curve in curves])),
    }


def curve_of(predictions: Predictions, method: str, prompt: str | None = None) -> SeenUnseenCurve:
    """S against U of one method at every gamma, on the test clips of a split."""
    scores_BC, targets = predictions.scores(method, prompt, candidates="all"), predictions.targets("all")
    is_seen_C = np.arange(scores_BC.shape[1]) < len(predictions.protocol.seen)
    average = MEAN_CLASS if predictions.protocol.average == "mean_class" else MICRO
    return seen_unseen_curve(scores_BC, targets, is_seen_C, average)
