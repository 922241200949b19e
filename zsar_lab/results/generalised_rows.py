"""A method with seen and unseen classes as candidates over several splits: S, U and H before and after calibration, with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from zsar_lab.files import fingerprint
from zsar_lab.methods.metrics import truth_rank
from zsar_lab.protocols.protocol import Protocol, generalised
from zsar_lab.results.generalised import MICRO, GeneralisedScore, harmonic_mean
from zsar_lab.results.generalised_split import GeneralisedScores
from zsar_lab.results.statistics import N_RESAMPLES


@dataclass(frozen=True)
class GeneralisedRow:
    """One method over several splits, all classes of a split as candidates. Accuracies are fractions, 0..1, means over splits.

    Attributes:
        method, class_text: what was scored; every such method is inductive.
        average: of S and U: "micro" over clips, or "mean class".
        seen, unseen, harmonic: S, U and H = 2 S U / (S + U) of the scores as they are.
        calibrated_seen, calibrated_unseen, calibrated_harmonic: the same with a constant taken off the scores
            of seen classes.
        harmonic_ci95: class-bootstrap 95 % interval of the calibrated H, seen and unseen classes drawn apart.
        area: under the seen-unseen curve.
        harmonic_upper_bound: the best H on that curve, which looks at the labels of the test clips.
        constants: the two of each split.
        splits: calibrated H of each split.
        protocol: fingerprint of the splits' generalised protocols.
    """

    method: str
    class_text: str
    average: str
    seen: float
    unseen: float
    harmonic: float
    calibrated_seen: float
    calibrated_unseen: float
    calibrated_harmonic: float
    harmonic_ci95: tuple[float, float]
    area: float
    harmonic_upper_bound: float
    constants: tuple[tuple[float, float], ...]
    splits: tuple[float, ...]
    protocol: str


def generalised_row(protocols: Sequence[Protocol], scored: Sequence[GeneralisedScores]) -> GeneralisedRow:
    """Put one method's scores of several splits together.

    Args:
        protocols: the splits.
        scored: that method's scores of each, in the same order.

    Raises:
        ValueError: no split, or the scores are of different methods, texts or averages.
    """
    kinds = {(s.method, s.class_text, s.average) for s in scored}
    if len(kinds) != 1:
        raise ValueError(
            f"a row needs one method, class text and average scored in at least one split, got {sorted(kinds)}"
        )
    plain, calibrated, curves = (
        [s.plain for s in scored],
        [s.calibrated for s in scored],
        [s.curve for s in scored],
    )
    return GeneralisedRow(
        *kinds.pop(),
        *_means(plain),
        *_means(calibrated),
        harmonic_ci95=harmonic_interval(scored),
        area=float(np.mean([curve.area for curve in curves])),
        harmonic_upper_bound=float(np.mean([curve.harmonic_upper_bound for curve in curves])),
        constants=tuple(s.constants for s in scored),
        splits=tuple(score.harmonic for score in calibrated),
        protocol=fingerprint("splits", [generalised(protocol).hash for protocol in protocols]),
    )


def harmonic_interval(
    scored: Sequence[GeneralisedScores], seed: int = 0, n_resamples: int = N_RESAMPLES
) -> tuple[float, float]:
    """95 % interval of the calibrated H by resampling whole classes, the seen and the unseen ones apart (class-cluster bootstrap, percentiles).

    Each class comes with its clips of all splits; S and U of a resample are over the classes drawn, in the
    average of the scores, and H is theirs.

    Args:
        scored: one method's scores of each split.
        seed: of the resampling.
        n_resamples: how many bootstrap samples.

    Raises:
        ValueError: fewer than two seen or unseen classes with clips.
    """
    random = np.random.default_rng(seed)
    sides = [
        _resampled(_counts(scored, side), scored[0].average, random, n_resamples)
        for side in ("seen", "unseen")
    ]
    low, high = np.percentile(harmonic_mean(*sides), [2.5, 97.5])
    return float(low), float(high)


def _counts(scored: Sequence[GeneralisedScores], side: str) -> pd.DataFrame:
    """A row a class of a side: right clips, clips, and the sum over splits of its accuracies and their number."""
    parts = []
    for s in scored:
        clips = pd.DataFrame(
            {"name": np.array(s.names)[s.targets], "right": truth_rank(s.calibrated_BC, s.targets) == 1}
        )
        of_class = (
            clips[s.is_seen_C[s.targets] == (side == "seen")]
            .groupby("name")["right"]
            .agg(right="sum", clips="size", accuracies="mean")
        )
        parts.append(of_class.assign(splits=1))
    counts = pd.concat(parts).groupby("name").sum()
    if len(counts) < 2:
        raise ValueError(
            f"an interval over classes needs at least 2 {side} classes with clips, got {len(counts)}"
        )
    return counts


def _resampled(
    counts: pd.DataFrame, average: str, random: np.random.Generator, n_resamples: int
) -> np.ndarray:
    """S or U in each resample of the classes."""
    above, below = (
        (counts["right"], counts["clips"]) if average == MICRO else (counts["accuracies"], counts["splits"])
    )
    drawn = random.integers(len(counts), size=(n_resamples, len(counts)))
    return above.to_numpy(float)[drawn].sum(1) / below.to_numpy(float)[drawn].sum(1)


def _means(scores: Sequence[GeneralisedScore]) -> list[float]:
    return [
        float(np.mean([getattr(score, name) for score in scores])) for name in ("seen", "unseen", "harmonic")
    ]
