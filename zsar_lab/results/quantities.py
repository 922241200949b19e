"""accuracy, interval and compare of rows with label and prediction, by the functions of before."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from zsar_lab.results.statistics import (
    class_bootstrap,
    paired_difference,
    paired_p_value,
    smallest_detectable,
)


@dataclass(frozen=True)
class Comparison:
    """Two methods on the same clips."""

    difference: float
    low: float
    high: float
    p: float
    min_detectable: float


def _right(rows: pd.DataFrame) -> np.ndarray:
    return (rows["label"] == rows["prediction"]).to_numpy(float)


def accuracy(rows: pd.DataFrame, quantity: str = "top1") -> float:
    """Share of right clips, or the mean over classes of it."""
    right = pd.Series(_right(rows))
    return float(
        right.mean() if quantity == "top1" else right.groupby(rows["label"].to_numpy()).mean().mean()
    )


def interval(rows: pd.DataFrame, quantity: str = "top1") -> tuple[float, float]:
    """95 % interval."""
    return class_bootstrap(_right(rows), rows["label"].tolist())


def compare(a: pd.DataFrame, b: pd.DataFrame, quantity: str = "top1") -> Comparison:
    """The first less the second."""
    given = _right(a), _right(b), a["label"].tolist()
    difference, (low, high) = paired_difference(*given)
    by_class = pd.Series(given[0] - given[1]).groupby(given[2]).mean()
    detectable = smallest_detectable(float(by_class.std(ddof=1)), len(by_class))
    return Comparison(difference, low, high, paired_p_value(*given), detectable)
