"""When to say "unsure": two thresholds chosen on validation classes, for as many candidates as the user has.

A clip can be of none of the classes given, which shows in the score of its best class; or lie between two of
them, which shows in the confidence. On the demo's unseen classes (benchmarks/how_sure.py) the best score
tells clips of none of five classes better than confidence does (AUROC .68 to .75 against .60 to .65), and
confident answers are right more often; but of answers called sure at 80 % 64 to 78 % were right there, since
k, tau and the temperature were chosen on the same validation classes.

Shapes: B clips of V validation classes, M of which are candidates in a split.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zsar_lab.results.calibration import RiskCoverage, confidences, risk_coverage

NONE_OF_THESE, BETWEEN = "perhaps none of these", "between classes"
N_SPLITS, LEAST_CANDIDATES, KEPT = 40, 2, 0.9


@dataclass(frozen=True, eq=False)
class Thresholds:
    """What an answer needs to be sure.

    Attributes:
        nearness: least score of the best class; below it the clip is perhaps of none of these.
        confidence: least confidence; below it the clip lies between classes. Above 1 where no confidence is
            right often enough.
        least_right: share of answers that were right on validation classes at that confidence or above, as
            asked for, 0..1.
        answered: share of the candidates' clips that have that confidence, 0..1.
        n_candidates: M, how many validation classes were candidates at a time.
        auroc: how well the best score tells clips of the candidates from clips of the other validation
            classes, 0.5..1.
        withheld: share of clips of the other classes that are not near enough, 0..1, where nine in ten of the
            candidates' own are.
        curve: error of the answers to clips of the candidates, as the least confident ones are left
            unanswered.
    """

    nearness: float
    confidence: float
    least_right: float
    answered: float
    n_candidates: int
    auroc: float
    withheld: float
    curve: RiskCoverage

    @property
    def right(self) -> float:
        """Share of the candidates' clips with that confidence that were right, 0..1; nan where there is none."""
        return (
            1 - float(np.interp(self.answered, self.curve.coverage, self.curve.risk))
            if self.answered
            else float("nan")
        )

    def sentence(self, n_classes: int = 0) -> str:
        """What the thresholds did on validation classes; where there are more classes to choose from, what that means for them."""
        share = f"{100 * self.least_right:.0f} %"
        sure = (
            f"{100 * self.right:.0f} % of the answers with a confidence of {self.confidence:.2f} or more were right ({share} were asked for), and"
            f" {100 * self.answered:.0f} % of all answers had it"
            if self.answered
            else f"no confidence was high enough for {share} of answers to be right"
        )
        more = (
            f" With {n_classes} classes to choose from, fewer answers are right than with {self.n_candidates}."
            if n_classes > self.n_candidates
            else ""
        )
        return (
            f"How sure to be: on validation classes, {self.n_candidates} candidates at a time, {sure}; a best score under {self.nearness:.2f} had"
            f" {100 * (1 - KEPT):.0f} % of the candidates' own clips and {100 * self.withheld:.0f} % of those of other classes (AUROC {self.auroc:.2f})."
            f" These were classes of the training's videos, not of yours.{more}"
        )


def choose_thresholds(
    scores_BV: np.ndarray,
    targets_B: np.ndarray,
    temperature: float,
    n_classes: int,
    least_right: float = 0.8,
    seed: int = 0,
) -> Thresholds | None:
    """Choose both thresholds on clips of validation classes, over 40 splits of M = min(n_classes, V // 2) of them as candidates.

    nearness: the highest score that nine in ten of the candidates' clips reach.
    confidence: the lowest at or above which, of the candidates' clips, the share named right is at least
    `least_right`.

    Args:
        scores_BV: of a method, larger is nearer.
        targets_B: the class of each clip, 0..V - 1.
        temperature: of the confidences.
        n_classes: how many classes the user gives, 2 or more.
        least_right: 0..1, below 1.
        seed: of the splits.

    Returns:
        The thresholds; None where there are fewer than 4 validation classes, of which two could be candidates
        and two others.

    Raises:
        ValueError: least_right is not in 0..1, or n_classes is below 2.

    Source: the best score as a sign of unknown classes is the "maximum logit" of Vaze et al., Open-Set
    Recognition, ICLR 2022; the risk-coverage curve is Geifman and El-Yaniv's, 2017. There thresholds come
    from classes trained on; ours from classes that were not.
    """
    if not 0 <= least_right < 1:
        raise ValueError(
            f"least_right must be a share in 0..1, below 1, got {least_right}; 0.8 is the usual one"
        )
    if n_classes < LEAST_CANDIDATES:
        raise ValueError(f"there must be 2 classes or more to choose from, got {n_classes}; add names")
    n_validation = scores_BV.shape[1]
    n_candidates = min(n_classes, n_validation // 2)
    if n_candidates < LEAST_CANDIDATES:
        return None
    rng = np.random.default_rng(seed)
    drawn = [
        _looked_at(scores_BV, targets_B, rng.permutation(n_validation)[:n_candidates], temperature)
        for _ in range(N_SPLITS)
    ]
    best_N, confidence_N, known_N, right_N = (np.concatenate(parts) for parts in zip(*drawn, strict=True))
    nearness = float(np.quantile(best_N[known_N], 1 - KEPT, method="lower"))
    own = confidence_N[known_N], right_N[known_N]
    least = _least_confidence(*own, least_right)
    withheld = float((best_N[~known_N] < nearness).mean())
    answered = float((own[0] >= least).mean())
    return Thresholds(
        nearness,
        least,
        least_right,
        answered,
        n_candidates,
        _auroc(best_N, known_N),
        withheld,
        risk_coverage(*own),
    )


def why_unsure(thresholds: Thresholds | None, best_B: np.ndarray, confidence_B: np.ndarray) -> list[str]:
    """For each clip "" where its answer is sure enough, else what it lacks; "" for all without thresholds."""
    if thresholds is None:
        return [""] * len(best_B)
    both = zip(best_B < thresholds.nearness, confidence_B < thresholds.confidence, strict=True)
    return [NONE_OF_THESE if far else BETWEEN if low else "" for far, low in both]


def _looked_at(
    scores_BV: np.ndarray, targets_B: np.ndarray, candidates_M: np.ndarray, temperature: float
) -> tuple[np.ndarray, ...]:
    """Best score and confidence of every clip with these candidates, whether its class is one of them, and whether it is named right."""
    scores_BM = scores_BV[:, candidates_M].astype(float)
    known = np.isin(targets_B, candidates_M)
    return (
        scores_BM.max(1),
        confidences(scores_BM, temperature).max(1),
        known,
        known & (candidates_M[scores_BM.argmax(1)] == targets_B),
    )


def _least_confidence(confidence_N: np.ndarray, right_N: np.ndarray, least_right: float) -> float:
    """The lowest confidence at or above which so many are right; infinity where there is none."""
    order = np.argsort(-confidence_N, kind="stable")
    share = np.cumsum(right_N[order]) / np.arange(1, len(order) + 1)
    last_of_level = np.append(np.diff(confidence_N[order]) != 0, True)
    enough = np.flatnonzero(last_of_level & (share >= least_right))
    return float(confidence_N[order][enough[-1]]) if len(enough) else float("inf")


def _auroc(best_N: np.ndarray, known_N: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score  # takes a second to import

    return float(roc_auc_score(known_N, best_N))
