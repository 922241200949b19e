"""How far a score can be trusted: accuracy, its interval, and paired comparisons, all over classes.

A zero-shot score speaks of classes that were not seen, so the classes are the sample: all clips of a class,
from all splits, are one cluster. With x_c the share of right clips of class c (or a difference of two such
shares) and weights w_c that sum to 1, every figure here is about the same estimate m = sum_c w_c x_c:

    top1        w_c = n_c / sum n    the share of clips
    mean_class  w_c = 1 / C          the mean over classes

`benchmarks/simulate_statistics.py` prints how often the intervals hold the truth and how often a difference
is claimed where there is none, for 5 to 101 classes with equal and up to 30 times different clip counts.
Where class accuracies come from beta distributions and the methods differ by symmetric per-class effects,
intervals hold the truth in 93-97 % of studies (once in 97.2 %: means of five classes, some of few clips), and
4-6 % of true zeros are claimed from ten classes on, at most 6 % below. Known limit, printed there too: where
three classes in four gain what the fourth loses, up to 13 % are claimed with few very unequal classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.shown import Shown

QUANTITIES = ("top1", "mean_class")
DIFFERENCES = ("difference", "difference_low", "difference_high", "p", "p_holm", "min_detectable")
LEVEL = 0.05  # of a claim, and of what a 95 % interval leaves out
POWER = 0.8
FEWEST_TO_FLIP = 8  # classes
EXACT_UP_TO = 14  # classes: 8,192 sign patterns
N_FLIPS = 10_000  # with more classes
BELL_OF_SCORES, BELL_OF_FEW_PAIRS = 2 / 3, 0.4  # see `standard_error`
TINY = np.nextafter(0, 1)


@dataclass(frozen=True, repr=False)
class Comparison(Shown):
    """Two methods on the same clips: the first less the second, as fractions.

    Attributes:
        difference: of the quantity compared.
        low, high: its 95 % interval, the differences that the test does not reject.
        p: of "no difference", two-sided, not adjusted.
        min_detectable: the smallest true difference that such a study claims with 80 % chance.
    """

    difference: float
    low: float
    high: float
    p: float
    min_detectable: float

    def _facts(self) -> dict[str, Any]:
        ends = f"[{100 * self.low:+.1f}, {100 * self.high:+.1f}]"
        return {
            "difference": f"{100 * self.difference:+.1f} points",
            "95 % interval": ends,
            "p": f"{self.p:.3g}",
        }


def accuracy(rows: pd.DataFrame, quantity: str = "top1") -> float:
    """The share of right clips (top1) or the mean over classes of that share (mean_class), 0..1.

    Args:
        rows: one a clip (label, prediction), of one or several splits, or `per_class` of them.
        quantity: "top1" or "mean_class".

    Raises:
        ValueError: as `per_class`, or no such quantity.
    """
    table = per_class(rows)
    if quantity == "top1":
        return float(table["right"].sum() / table["clips"].sum())
    return float(_weights(table, quantity) @ _shares(table))


def interval(rows: pd.DataFrame, quantity: str = "top1") -> tuple[float, float]:
    """95 % interval of `accuracy`, see `score_interval`; ValueError for fewer than two classes."""
    table = per_class(rows)
    return score_interval(_shares(table), _weights(table, quantity))


def compare(rows_a: pd.DataFrame, rows_b: pd.DataFrame, quantity: str = "top1") -> Comparison:
    """Compare two methods on the same clips, see `class_comparison`.

    Args:
        rows_a: of the first method, as for `accuracy`.
        rows_b: of the second; where both have columns split and clip, these must be the same.
        quantity: "top1" or "mean_class".

    Raises:
        ValueError: the clips are not the same, fewer than two classes, or as `accuracy`.
    """
    table_a, table_b = _same_clips(rows_a, rows_b)
    return class_comparison(_shares(table_a) - _shares(table_b), _weights(table_a, quantity))


def differences(
    pairs: Sequence[tuple[pd.DataFrame, pd.DataFrame] | None],
    groups: Sequence[Any] = (),
    quantity: str = "top1",
) -> pd.DataFrame:
    """Compare several pairs of methods, see `compare`; p is adjusted for all pairs of a group (`holm`).

    Args:
        pairs: rows of the first and of the second method; None for a row without numbers.
        groups: of each pair; all are one group when empty.
        quantity: "top1" or "mean_class".

    Returns:
        A row a pair: DIFFERENCES and claimed (p_holm <= 0.05).
    """
    found = [vars(compare(*pair, quantity)) if pair else {} for pair in pairs]
    names = {"low": "difference_low", "high": "difference_high"}
    table = pd.DataFrame(found).rename(columns=names).reindex(columns=list(DIFFERENCES)).astype(float)
    table["p_holm"] = np.nan
    for _, p in table["p"].groupby(pd.Series(list(groups) or [0] * len(pairs), dtype=object)):
        table.loc[p.dropna().index, "p_holm"] = holm(p.dropna())
    return table.assign(claimed=table["p_holm"] <= LEVEL)


def is_right(rows: pd.DataFrame) -> np.ndarray:
    """Which rows are right, bool [B]: rank == 1 where there are ranks (a tie is wrong), else by name."""
    if "label" not in rows or not {"rank", "prediction"} & set(rows):
        got = ", ".join(map(str, rows)) or "none"
        raise ValueError(f"rows need the columns label and prediction, got {got}")
    if "rank" in rows:
        return rows["rank"].to_numpy() == 1
    return rows["prediction"].to_numpy(object) == rows["label"].to_numpy(object)


def per_class(rows: pd.DataFrame) -> pd.DataFrame:
    """Right clips and clips of each class over all splits, sorted by label.

    Args:
        rows: one a clip: label, prediction (or rank). What this function returned is returned as it is.

    Returns:
        Columns right and clips (int64), indexed by label.

    Raises:
        ValueError: no rows, columns missing, or a row without a label.
    """
    if {"right", "clips"} <= set(rows):
        return rows[rows["clips"] > 0]
    right, n_unlabelled = is_right(rows), int(rows["label"].isna().sum())
    if not len(rows) or n_unlabelled:
        raise ValueError(f"rows must all have a label, got {len(rows)} rows, {n_unlabelled} without one")
    label_B, labels = pd.factorize(rows["label"].to_numpy(object), sort=True)
    counts = {"right": np.bincount(label_B[right], minlength=len(labels)), "clips": np.bincount(label_B)}
    return pd.DataFrame(counts, index=pd.Index(labels, name="label"))


def score_interval(share_C: np.ndarray, weights_C: np.ndarray) -> tuple[float, float]:
    """95 % interval of m = sum_c w_c x_c (x_c in 0..1): Wilson's, for clips that vary as these classes do.

    n = m (1 - m) / se^2 independent clips would give m the standard error se that the classes show; the
    interval is all p with (m - p)^2 <= t^2 p (1 - p) / n, t a quantile of Student's t with the degrees of
    freedom of `standard_error`. Where all classes score alike, each counts as one clip (n = C).

    Raises:
        ValueError: fewer than two classes.

    Source: Wilson, 1927; for clusters Dean and Pagano, Survey Methodology 41, 2015.
    """
    return wilson(float(weights_C @ share_C), *standard_error(share_C, weights_C), n_if_alike=len(share_C))


def harmonic_interval(
    rows_seen: pd.DataFrame, rows_unseen: pd.DataFrame, quantity: str = "top1"
) -> tuple[float, float]:
    """95 % interval of H = 2 S U / (S + U), S and U the `accuracy` of clips of seen and of unseen classes.

    The two sides have different classes, so se_H^2 = (H^2 / 2)^2 (se_S^2 / S^4 + se_U^2 / U^4), with degrees
    of freedom by Satterthwaite; then Wilson's interval as in `score_interval`. Where S or U is 0 the lower
    end is 0 and the upper one is the H of both upper ends.

    Raises:
        ValueError: as `interval`, for either side.
    """
    tables = [per_class(rows) for rows in (rows_seen, rows_unseen)]
    sides = [(_shares(table), _weights(table, quantity)) for table in tables]
    seen, unseen = (float(weights @ shares) for shares, weights in sides)
    if seen * unseen == 0:
        seen, unseen = (score_interval(*side)[1] for side in sides)
        return 0.0, 2 * seen * unseen / (seen + unseen)
    harmonic = 2 * seen * unseen / (seen + unseen)
    (se_seen, df_seen), (se_unseen, df_unseen) = (standard_error(*side) for side in sides)
    parts = [(harmonic**2 / 2 * se / score**2) ** 2 for se, score in ((se_seen, seen), (se_unseen, unseen))]
    in_df = parts[0] ** 2 / df_seen + parts[1] ** 2 / df_unseen
    df = round(sum(parts) ** 2 / in_df, 2) if in_df else min(df_seen, df_unseen)
    return wilson(harmonic, sum(parts) ** 0.5, max(1.0, df), min(map(len, tables)))


def wilson(mean: float, se: float, df: float, n_if_alike: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of this standard error; where that is 0, of `n_if_alike` clips."""
    n_clips = mean * (1 - mean) / se**2 if se > 0 and 0 < mean < 1 else n_if_alike
    spread = _t_quantile(1 - LEVEL / 2, df) ** 2 / n_clips
    centre, half = mean + spread / 2, (mean * (1 - mean) * spread + spread**2 / 4) ** 0.5
    return max(0.0, (centre - half) / (1 + spread)), min(1.0, (centre + half) / (1 + spread))


def class_comparison(difference_C: np.ndarray, weights_C: np.ndarray) -> Comparison:
    """Test sum_c w_c d_c against 0, and the interval of all differences that this test does not reject.

    From eight classes on by flipping signs: without a difference each class could have gone the other way, so
    p is the share of sign patterns with a larger |sum_c +-w_c d_c| than the one found, equal ones counting
    half (mid-p); all patterns up to 14 classes, else 10,000 of a fixed seed. With fewer classes, where sign
    patterns are few, by Student's t; p is at least 2^-C. Where no class differs, p is 1. The interval holds 0
    exactly where p > 0.05.

    Raises:
        ValueError: fewer than two classes.

    Source: Fisher, The Design of Experiments, 1935; mid-p: Lancaster, 1961. The ends of the interval are
    means over subsets of the classes, as the typical values of Hartigan, 1969.
    """
    few = len(difference_C) < FEWEST_TO_FLIP
    se, df = standard_error(difference_C, weights_C, BELL_OF_FEW_PAIRS if few else BELL_OF_SCORES)
    difference, detectable = float(weights_C @ difference_C), min_detectable(se, df)
    if not difference_C.any():
        return Comparison(0.0, 0.0, 0.0, 1.0, detectable)
    if few:
        from scipy.special import stdtr  # takes a moment to import

        half = _t_quantile(1 - LEVEL / 2, df) * se
        low, high = difference - half, difference + half
        p = float(2 * stdtr(df, -abs(difference) / se)) if se else 0.0
        p = max(p, 0.5 ** len(difference_C))
    else:
        p, low, high = _flip_signs(difference_C, weights_C)
    if p > LEVEL:
        low, high = min(low, 0.0), max(high, 0.0)
    else:  # many equal differences may put an end at 0
        low, high = (max(low, TINY), high) if difference > 0 else (low, min(high, -TINY))
    return Comparison(difference, low, high, p, detectable)


def _flip_signs(difference_C: np.ndarray, weights_C: np.ndarray) -> tuple[float, float, float]:
    """Mid-p of the sign patterns, and the ends of the differences that they do not reject."""
    kept_FC, difference = _sign_patterns(len(weights_C)), float(weights_C @ difference_C)
    kept_F, weight_F = (kept_FC @ np.stack([weights_C * difference_C, weights_C], 1)).T
    beyond_F = np.abs(2 * kept_F - difference) - abs(difference)
    tolerance = 1e-9 * float(weights_C @ np.abs(difference_C))
    p = float(np.mean(beyond_F > tolerance) + np.mean(np.abs(beyond_F) <= tolerance) / 2)
    # a pattern rejects all differences that do not lie between the means over its two sets of classes
    of_kept, of_flipped = kept_F[1:] / weight_F[1:], (difference - kept_F[1:]) / (1 - weight_F[1:])
    rank = int(np.floor(LEVEL * len(kept_F) - 0.5))
    low = np.partition(np.minimum(of_kept, of_flipped), rank)[rank]
    high = -np.partition(-np.maximum(of_kept, of_flipped), rank)[rank]
    return p, float(low), float(high)


def standard_error(
    x_C: np.ndarray, weights_C: np.ndarray, bell_share: float = BELL_OF_SCORES
) -> tuple[float, float]:
    """Standard error of m = sum_c w_c x_c over classes, and its degrees of freedom.

    se^2 = sum_c (w_c (x_c - m))^2 / (1 - w_c): with equal weights the variance of a mean. The degrees of
    freedom are C - 1 there. With others they are 1 / (b / B + (1 - b) / (C - 1)), B those of Bell and
    McCaffrey and b = `bell_share`: with 5 to 50 very unequal classes B alone covered up to 98 %, C - 1 alone
    down to 84 %.

    Raises:
        ValueError: fewer than two classes.

    Source: Bell and McCaffrey, Survey Methodology 28, 2002.
    """
    n_classes = len(x_C)
    if n_classes < 2:
        raise ValueError(f"an interval over classes needs at least 2 classes, got {n_classes}")
    scaled_C = weights_C / np.sqrt(1 - weights_C)
    covariance_CC = np.eye(n_classes) - weights_C[:, None] - weights_C + weights_C @ weights_C
    covariance_CC *= np.outer(scaled_C, scaled_C)
    bell = np.trace(covariance_CC) ** 2 / (covariance_CC**2).sum()
    df = 1 / (bell_share / bell + (1 - bell_share) / (n_classes - 1))
    se = np.sqrt(((scaled_C * (x_C - weights_C @ x_C)) ** 2).sum())
    return float(se), max(1.0, round(float(df), 2))


def holm(p_values: Sequence[float]) -> np.ndarray:
    """P values adjusted for several comparisons: claiming those <= 0.05 errs in at most 5 % of studies.

    Of m p values sorted upwards, adjusted_(i) = max over j <= i of min(1, (m - j + 1) p_(j)); in the order
    given. ValueError when one is not in 0..1.

    Source: Holm, A simple sequentially rejective multiple test procedure, 1979.
    """
    p = np.asarray(p_values, dtype=float)
    outside = p[~((p >= 0) & (p <= 1))]
    if outside.size:
        raise ValueError(f"a p value must be in 0..1, got {outside[0]:g}")
    order, adjusted = np.argsort(p, kind="stable"), np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(np.minimum(1.0, p[order] * np.arange(len(p), 0, -1)))
    return adjusted


def min_detectable(se: float, df: float) -> float:
    """The smallest true difference that is claimed with 80 % chance: (t_0.975 + t_0.8) se.

    3.4 points for 101 classes whose differences have a standard deviation of 12 points.

    Source: Cohen, Statistical Power Analysis, 1988, chapter 2.
    """
    return (_t_quantile(1 - LEVEL / 2, df) + _t_quantile(POWER, df)) * se


def _t_quantile(share: float, df: float) -> float:
    from scipy.special import stdtrit  # takes a moment to import

    return float(stdtrit(df, share))


def _shares(table: pd.DataFrame) -> np.ndarray:
    return (table["right"] / table["clips"]).to_numpy(float)


def _weights(table: pd.DataFrame, quantity: str) -> np.ndarray:
    if quantity not in QUANTITIES:
        raise ValueError(f"quantity must be one of {', '.join(QUANTITIES)}, got {quantity!r}")
    clips_C = table["clips"].to_numpy(float)
    return clips_C / clips_C.sum() if quantity == "top1" else np.full(len(clips_C), 1 / len(clips_C))


def _same_clips(rows_a: pd.DataFrame, rows_b: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both per class; ValueError unless they are of the same clips."""
    table_a, table_b = per_class(rows_a), per_class(rows_b)
    keys = [key for key in ("split", "clip", "label") if key in rows_a and key in rows_b]
    counts = [table_a.clips, table_b.clips]
    if keys:
        counts = [rows.value_counts(keys) for rows in (rows_a, rows_b)]
    more = counts[0].sub(counts[1], fill_value=0)
    if more.any():
        first, by = more[more != 0].index[0], int(more[more != 0].iloc[0])
        raise ValueError(f"two methods must have the same clips, of {first!r} the first has {by:+d}")
    return table_a, table_b.loc[table_a.index]


@lru_cache(8)
def _sign_patterns(n_classes: int) -> np.ndarray:
    """Which classes keep their sign, 1 or 0 [patterns, C]; all in the first, and the last class in each."""
    if n_classes <= EXACT_UP_TO:
        flipped = (np.arange(2 ** (n_classes - 1))[:, None] >> np.arange(n_classes)) & 1
    else:
        flipped = np.random.default_rng(0).integers(2, size=(N_FLIPS, n_classes))
        flipped[0], flipped[:, -1] = 0, 0
    return 1.0 - flipped
