"""Can a confidence be believed? Softmax confidences, their error by bins, and risk against coverage.

Shapes: B clips, C candidate classes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd

from zsar_lab.methods.metrics import truth_rank

EQUAL_WIDTH, EQUAL_MASS = "equal width", "equal mass"
BINNINGS = (EQUAL_WIDTH, EQUAL_MASS)
N_BINS = 15
WIDEST = 1e3  # a temperature is sought within this factor of the scores' spread, both ways


class RiskCoverage(NamedTuple):
    """Error among the clips that are predicted, as the least confident are left out. Shares, 0..1.

    Attributes:
        coverage: [B] share of clips predicted: 1/B, 2/B, ... 1.
        risk: [B] share of wrong ones among them.
        aurc: area under risk over coverage, the mean of risk over the B coverages.
        error_at_80: risk of the most confident 80 % (at least as many clips as that).
    """

    coverage: np.ndarray
    risk: np.ndarray
    aurc: float
    error_at_80: float


class Reliability(NamedTuple):
    """Confidence against accuracy, bin by bin.

    Attributes:
        table: a row a bin with clips: low, high (of the bin when of equal width, of its clips when of equal
            mass), clips, confidence (mean), accuracy, gap (confidence less accuracy: positive is too sure).
        error: expected calibration error, the mean over clips of the absolute gap of their bin, 0..1.
    """

    table: pd.DataFrame
    error: float


def confidences(scores_BC: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(scores / temperature) over the classes, [B, C]; rows sum to 1.

    Raises:
        ValueError: the temperature is not a positive finite number.
    """
    return np.exp(_log_softmax(scores_BC, temperature))


def confidence_and_loss(
    scores_BC: np.ndarray, predicted_B: np.ndarray, targets: np.ndarray, temperature: float
) -> tuple[np.ndarray, float]:
    """`confidences` of the predicted classes, [B], and `negative_log_likelihood`, from one softmax."""
    log_BC, clips = _log_softmax(scores_BC, temperature), np.arange(len(targets))
    return np.exp(log_BC[clips, predicted_B]), float(-log_BC[clips, targets].mean())


def negative_log_likelihood(scores_BC: np.ndarray, targets: np.ndarray, temperature: float) -> float:
    """Mean over clips of -log of the true class's confidence (natural logarithm, at least 0)."""
    return float(-_log_softmax(scores_BC, temperature)[np.arange(len(targets)), targets].mean())


def choose_temperature(scores_BC: np.ndarray, targets: np.ndarray) -> float:
    """The temperature of the smallest negative log-likelihood on validation clips.

    It has one minimum, which a bounded search finds within a factor of 1000 of the scores' spread (the
    standard deviation over the classes of a clip). A method that is right on every clip gets one at which
    nearly all confidences are 1, one worse than chance the upper end, where they are nearly 1 / C. It is
    above 0, in the unit of the scores, which are of clips of validation classes, never of test clips.

    Raises:
        ValueError: a score is not finite, the numbers of clips differ, there are no clips, or all scores of
            every clip are equal.
    """
    from scipy.optimize import minimize_scalar  # takes a second to import

    truth_rank(scores_BC, targets)  # checks clips and scores
    if not len(targets):
        raise ValueError("a temperature needs at least one clip, got none")
    spread = float(np.sqrt(np.var(scores_BC, axis=1, dtype=float).mean()))
    if spread <= np.finfo(float).tiny:
        raise ValueError("a temperature needs scores that differ between classes, got the same for all")

    def loss(log_ratio: float) -> float:
        return negative_log_likelihood(scores_BC, targets, spread * np.exp(log_ratio))

    found = minimize_scalar(
        loss, bounds=(-np.log(WIDEST), np.log(WIDEST)), method="bounded", options={"xatol": 1e-7}
    )
    return spread * float(np.exp(found.x))


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """The error among the most confident clips, for every number of them.

    Clips of one confidence have no order: each counts as wrong by the share of wrong ones among them. A
    confidence may be any finite figure, larger is surer; `right` says of each prediction whether it is.

    Raises:
        ValueError: no clip, other numbers of clips, or a confidence that is not finite.

    Source: Geifman and El-Yaniv, Selective Classification for Deep Neural Networks, 2017.
    """
    confidence, right = _checked(confidence, right)
    wrong, n = 1.0 - right, len(right)
    _, level = np.unique(-confidence, return_inverse=True)
    share_wrong = np.bincount(level, weights=wrong) / np.bincount(level)
    risk = share_wrong[np.sort(level)].cumsum() / np.arange(1, n + 1)
    kept = -(-8 * n // 10)
    return RiskCoverage(np.arange(1, n + 1) / n, risk, float(risk.mean()), float(risk[kept - 1]))


def reliability(
    confidence: np.ndarray, right: np.ndarray, binning: str = EQUAL_WIDTH, n_bins: int = N_BINS
) -> Reliability:
    """Expected calibration error and the table behind it.

    Bins of equal width cut 0..1 evenly, a confidence on a cut belongs to the bin below. Bins of equal mass
    hold B / n_bins clips each, except that clips of one confidence are never parted, so that the order of the
    clips does not matter.

    Args:
        confidence: [B] of each prediction, 0..1.
        right: [B] whether it is right.
        binning: "equal width" or "equal mass".
        n_bins: how many bins, at least 1.

    Raises:
        ValueError: no clip, other numbers of clips, a confidence outside 0..1, an unknown binning, or no bin.

    Source: Guo et al., On Calibration of Modern Neural Networks, 2017 (equal width); Nguyen and O'Connor,
    2015 (equal mass).
    """
    confidence, right = _checked(confidence, right)
    outside = confidence[(confidence < 0) | (confidence > 1 + 1e-9)]
    if outside.size:
        raise ValueError(f"a confidence must be in 0..1, got {outside[0]:g}")
    if binning not in BINNINGS or n_bins < 1:
        kinds = " or ".join(BINNINGS)
        raise ValueError(f"there must be at least 1 bin, of {kinds}, got {n_bins} of {binning!r}")
    if binning == EQUAL_WIDTH:
        bin_of = np.searchsorted(np.linspace(0, 1, n_bins + 1)[1:-1], confidence, side="left")
    else:
        bin_of = np.searchsorted(np.sort(confidence), confidence, side="left") * n_bins // len(confidence)
    order = np.argsort(bin_of, kind="stable")
    bins, starts, clips = np.unique(bin_of[order], return_index=True, return_counts=True)
    low, high = (end.reduceat(confidence[order], starts) for end in (np.minimum, np.maximum))
    if binning == EQUAL_WIDTH:
        low, high = bins / n_bins, (bins + 1) / n_bins
    table = pd.DataFrame({"low": low, "high": high, "clips": clips})
    for name, values in (("confidence", confidence), ("accuracy", right)):
        table[name] = np.add.reduceat(values[order], starts) / clips
    table["gap"] = table["confidence"] - table["accuracy"]
    error = float((table["gap"].abs() * table["clips"]).sum() / len(right))
    return Reliability(table, error)


def _checked(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    confidence, right = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    if len(confidence) != len(right) or not len(right):
        got = f"{len(confidence)} and {len(right)}"
        raise ValueError(f"confidences and predictions must be of the same clips, at least one, got {got}")
    if not np.isfinite(confidence).all():
        n_bad = int((~np.isfinite(confidence)).sum())
        raise ValueError(f"confidences must be finite, got {n_bad} that are not")
    return confidence, right


def _log_softmax(scores_BC: np.ndarray, temperature: float) -> np.ndarray:
    if not 0 < temperature < np.inf:
        raise ValueError(f"a temperature must be a finite number above 0, got {temperature:g}")
    scaled = (scores_BC - scores_BC.max(1, keepdims=True)).astype(float) / temperature
    return scaled - np.log(np.exp(scaled).sum(1, keepdims=True))
