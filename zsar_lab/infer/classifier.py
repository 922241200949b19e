"""A zero-shot classifier: class weights in the space of the clips, and when its predictions are unsure.

Shapes: N windows, C candidate classes, D width of the shared space, S seen classes; B clips of V validation
classes, M of which are candidates at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from zsar_lab.methods.clips import nearest_scores
from zsar_lab.results.calibration import RiskCoverage, confidences, risk_coverage
from zsar_lab.text.prompts import ClassText

NONE_OF_THESE, BETWEEN = "perhaps none of these", "between classes"
N_SUBSETS, FEWEST, NEAR_SHARE = 40, 2, 0.9


@dataclass(frozen=True, eq=False)
class Thresholds:
    """What a prediction needs to be sure, chosen on validation classes."""

    min_score: float  # of the best class; below it the clip is perhaps of none of the classes
    min_confidence: float  # below it the clip lies between classes; infinite where none is right often enough
    min_precision: float  # share of right predictions asked for at that confidence or above, 0..1
    coverage: float  # share of the candidates' clips that have that confidence, 0..1
    n_candidates: int  # M
    auroc: float  # how well the best score tells the candidates' clips from those of other classes
    withheld: float  # share of the other classes' clips below min_score, 0..1
    curve: RiskCoverage  # error on the candidates' clips, as the least confident ones are left out

    @property
    def precision(self) -> float:
        """Share of right predictions among those with that confidence, 0..1; nan where there are none."""
        risk = float(np.interp(self.coverage, self.curve.coverage, self.curve.risk))
        return 1 - risk if self.coverage else float("nan")

    def sentence(self, n_classes: int = 0) -> str:
        """What the thresholds did on validation classes, and what that means for `n_classes` classes."""
        sure, asked = "no confidence was high enough", f"({self.min_precision:.0%} right were asked for)"
        if self.coverage:
            right = f"{self.precision:.0%} of the predictions of confidence {self.min_confidence:.2f} or more"
            sure = f"{right} were right, and {self.coverage:.0%} of all predictions had it"
        fewer = f" With {n_classes} classes fewer are right than with {self.n_candidates}."
        return (
            f"How sure to be: on validation classes, {self.n_candidates} candidates each, {sure} {asked};"
            f" {1 - NEAR_SHARE:.0%} of their own clips and {self.withheld:.0%} of other classes' had a best"
            f" score under {self.min_score:.2f} (AUROC {self.auroc:.2f}). These were of the training's"
            f" videos, not of yours.{fewer if n_classes > self.n_candidates else ''}"
        )


@dataclass(frozen=True, eq=False)
class ZeroShotClassifier:
    """Class weights for any list of classes."""

    classes: pd.DataFrame  # as `read_classes` gives them
    class_text: ClassText  # the exact texts that were read
    method: str  # how texts became class weights
    weights_CD: np.ndarray  # unit rows in the space of the clips; a clip's score is its cosine to them
    temperature: float  # of the softmax that turns scores into confidences
    thresholds: Thresholds | None  # of "unsure"; None where none could be chosen
    transfer_weights_CS: np.ndarray | None = None  # over the model's seen classes; None but for transfer

    @property
    def names(self) -> tuple[str, ...]:
        """Of the candidate classes."""
        return tuple(self.classes["name"])

    def scores(self, embedding_ND: np.ndarray) -> np.ndarray:
        """Cosine of each clip to each class, float64 [N, C]."""
        return nearest_scores(embedding_ND.astype(float), self.weights_CD)


def choose_thresholds(
    scores_BV: np.ndarray,
    targets_B: np.ndarray,
    temperature: float,
    n_classes: int,
    min_precision: float = 0.8,
) -> Thresholds | None:
    """Choose the thresholds on 40 random subsets of M = min(n_classes, V // 2) validation classes.

    min_score is the highest score that nine in ten of the candidates' clips reach; min_confidence the lowest
    at or above which the share of right predictions among them is at least `min_precision`, in [0, 1). There
    are none with fewer than 4 validation classes. On the demo's unseen classes (benchmarks/how_sure.py) the
    best score tells clips of none of five classes better than the confidence does (AUROC .68 to .75 against
    .60 to .65); of predictions called sure at 80 % only 64 to 78 % were right, since k, tau and the
    temperature were chosen on the same validation classes.

    Source: Vaze et al., Open-Set Recognition, ICLR 2022 (maximum logit); Geifman and El-Yaniv, 2017
    (risk-coverage). There thresholds come from classes trained on; here from classes that were not.
    """
    if not 0 <= min_precision < 1:
        raise ValueError(f"min_precision must be in [0, 1), got {min_precision}")
    if n_classes < FEWEST:
        raise ValueError(f"n_classes must be 2 or more, got {n_classes}")
    n_validation = scores_BV.shape[1]
    n_candidates = min(n_classes, n_validation // 2)
    if n_candidates < FEWEST:
        return None
    rng, parts = np.random.default_rng(0), []
    for _ in range(N_SUBSETS):
        candidates_M = rng.permutation(n_validation)[:n_candidates]
        scores_BM = scores_BV[:, candidates_M].astype(float)
        known_B = np.isin(targets_B, candidates_M)
        right_B = known_B & (candidates_M[scores_BM.argmax(1)] == targets_B)
        parts.append((scores_BM.max(1), confidences(scores_BM, temperature).max(1), known_B, right_B))
    best, confidence, known, right = (np.concatenate(part) for part in zip(*parts, strict=True))
    confidence, right = confidence[known], right[known]
    right_down_to = pd.Series(right).groupby(confidence).agg(["sum", "size"])[::-1].cumsum()
    enough = right_down_to.index[right_down_to["sum"] / right_down_to["size"] >= min_precision]
    min_confidence = float(min(enough, default=np.inf))
    min_score = float(np.quantile(best[known], 1 - NEAR_SHARE, method="lower"))
    from sklearn.metrics import roc_auc_score  # takes a second to import

    return Thresholds(
        min_score=min_score,
        min_confidence=min_confidence,
        min_precision=min_precision,
        coverage=float((confidence >= min_confidence).mean()),
        n_candidates=n_candidates,
        auroc=float(roc_auc_score(known, best)),
        withheld=float((best[~known] < min_score).mean()),
        curve=risk_coverage(confidence, right),
    )


def why_unsure(thresholds: Thresholds | None, best_N: np.ndarray, confidence_N: np.ndarray) -> list[str]:
    """For each clip "" where its prediction is sure, else what it lacks; "" for all without thresholds."""
    if thresholds is None:
        return [""] * len(best_N)
    far, low = best_N < thresholds.min_score, confidence_N < thresholds.min_confidence
    return np.select([far, low], [NONE_OF_THESE, BETWEEN], "").tolist()
