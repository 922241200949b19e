"""Gamma and the thresholds of "unsure" for a list of names, on clips that no weight was trained on.

Shapes: C candidate classes, D width of the shared space, K seen and validation classes, E held-out clips of
these, P patterns.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zsar_lab.results.calibration import RiskCoverage, confidences, risk_coverage
from zsar_lab.results.generalised import choose_gamma
from zsar_lab.text.relatedness import unit

FEWEST, NEAR_SHARE, USUAL_SHARE = 4, 0.9, 0.95
NEIGHBOURS, ONE_SIDED = 3, 0.95


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Clips that no weight was trained on, and patterns that are of no class: what names are calibrated on.

    Attributes:
        names: of the seen classes, then of the validation classes.
        n_seen: how many are seen ones.
        embedding_ED: unit rows, of clips of both.
        targets_E: index of each clip's class among the names.
        patterns_PD: unit rows, see `patterns_of`.
    """

    names: tuple[str, ...]
    n_seen: int
    embedding_ED: np.ndarray
    targets_E: np.ndarray
    patterns_PD: np.ndarray

    def new_clips(
        self, points_KD: np.ndarray, but: Collection[str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of clips of validation classes, `but` some: embeddings, cosine to the own class, and the class."""
        rows = [k >= self.n_seen and self.names[k] not in but for k in self.targets_E]
        clips_ED, class_E = unit(self.embedding_ED[rows].astype(float)), self.targets_E[rows]
        return clips_ED, (clips_ED * unit(points_KD.astype(float))[class_E]).sum(1), class_E

    def strangeness(self, embedding_ND: np.ndarray) -> np.ndarray:
        """Cosine to the nearest pattern less that to the third nearest held-out clip, [N]: like no clip."""
        return self._strangeness(embedding_ND, NEIGHBOURS)

    @cached_property
    def most_strange(self) -> float:
        """The strangeness that 95 % of the held-out clips do not exceed."""
        others = self._strangeness(self.embedding_ED, NEIGHBOURS + 1)  # without the clip itself
        return float(np.quantile(others, USUAL_SHARE))

    def _strangeness(self, embedding_ND: np.ndarray, neighbours: int) -> np.ndarray:
        clips_ND, nth = unit(embedding_ND.astype(float)), min(neighbours, len(self.embedding_ED))
        to_clips_NE = clips_ND @ unit(self.embedding_ED.astype(float)).T
        to_patterns_N = (clips_ND @ unit(self.patterns_PD.astype(float)).T).max(1)
        return to_patterns_N - np.partition(to_clips_NE, -nth, axis=1)[:, -nth]


@dataclass(frozen=True, eq=False)
class Thresholds:
    """What a prediction needs to be sure, chosen on held-out clips in the place of the user's."""

    min_score: float  # best cosine; below it the clip is perhaps of none of the classes
    most_strange: float  # above it too, see `HeldOut`
    min_confidence: tuple[float, float]  # of new and of trained names, see `lowest_confidence`
    min_precision: float  # share of right predictions asked for at that confidence or above, 0..1
    n_validation: int  # validation classes, which stood for new names
    coverage: float  # share of the candidates' clips that are sure, 0..1
    precision: float  # share of right predictions among those, 0..1; nan where there are none
    auroc: float  # how well the best score tells the candidates' clips from those of other classes
    withheld: float  # share of the other classes' clips that are perhaps of none of the classes, 0..1
    curve: RiskCoverage  # error on the candidates' clips, as the least confident ones are left out

    def sentence(self) -> str:
        """What the thresholds did on held-out clips."""
        sure, asked = "no confidence was high enough", f"({self.min_precision:.0%} right were asked for)"
        if self.coverage:
            sure = f"{self.coverage:.0%} of the predictions were sure and {self.precision:.0%} of these right"
        return (
            f"How sure to be: on held-out clips of the training's data in the place of yours, {sure} {asked};"
            f" of clips of other classes {self.withheld:.0%} were perhaps none of these (AUROC"
            f" {self.auroc:.2f}). {self.n_validation} validation classes stood for new names; no"
            " single name is promised that."
        )


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """Held-out clips in the place of a user's: scored against the candidates, their own class among them.

    A clip whose class is no candidate is turned to one, drawn at random: to a trained name for a seen class,
    to a new name for a validation class. With v the point of its class and c that of the name, the clip x
    becomes R x, R the rotation in the plane of v and c that takes v to c. So it lies about c as it did about
    v, among candidates as many and as near to one another as the user has ("jogging" beside "sprinting" is
    harder than beside "digging"). But x was drawn to what lies about v, trained classes above all: so the
    nearest trained and the nearest new rival of c score no less than a seen or validation class that is about
    as near to v. Clips of a side without candidates are left out.

    Attributes:
        rows: of the held-out clips that are used.
        scores_EC: cosines.
        targets_E: column of each clip's own class.
        weight_E: every candidate has the same weight, and every class among those that took its place.
        others_O: best cosine of each clip to the candidates, where its class is none of them.
    """

    rows: np.ndarray
    scores_EC: np.ndarray
    targets_E: np.ndarray
    weight_E: np.ndarray
    others_O: np.ndarray


def rehearse(
    held_out: HeldOut,
    points_KD: np.ndarray,
    weights_CD: np.ndarray,
    same: Sequence[str],
    is_trained_C: np.ndarray,
) -> Rehearsal:
    """Score the held-out clips.

    Args:
        held_out: the clips.
        points_KD: class weights of `held_out.names`.
        weights_CD: class weights of the candidates.
        same: the class of `held_out.names` that each candidate is, or "".
        is_trained_C: whether the model was trained on it.
    """
    rng, class_E, n_seen = np.random.default_rng(0), held_out.targets_E, held_out.n_seen
    clips_ED = unit(held_out.embedding_ED.astype(float))
    points_KD, weights_CD = unit(points_KD.astype(float)), unit(weights_CD)
    column_of = dict(zip(reversed(same), reversed(range(len(same)))))  # of several the first
    targets_E = np.array([column_of.get(name, -1) for name in held_out.names])[class_E]
    is_other_E, is_seen_E, weight_E = targets_E < 0, class_E < n_seen, 1 / np.bincount(class_E)[class_E]
    scores_EC, is_seen_K = clips_ED @ weights_CD.T, np.arange(len(points_KD)) < n_seen
    others_O = scores_EC[is_other_E].max(1)
    for side in (True, False):
        clips, candidates = is_seen_E == side, np.flatnonzero(is_trained_C == side)
        if len(candidates):
            rows = np.flatnonzero(is_other_E & clips)
            targets_E[rows] = rng.choice(candidates, len(rows))
            weight_E[clips] *= len(candidates) / max(weight_E[clips].sum(), 1e-12)
    used = np.flatnonzero(targets_E >= 0)
    rows = used[is_other_E[used]]
    given, own, column, every = clips_ED[rows], class_E[rows], targets_E[rows], np.arange(len(rows))
    scores_EC[rows] = turned(given, points_KD[own], weights_CD[column]) @ weights_CD.T
    for side in (True, False):
        near_EC = np.where(is_trained_C == side, weights_CD[column] @ weights_CD.T, -np.inf)
        near_EK = np.where(is_seen_K == side, points_KD[own] @ points_KD.T, np.inf)
        near_EC[every, column], near_EK[every, own] = -np.inf, np.inf
        nearest, near_E = near_EC.argmax(1), near_EC.max(1)
        stand_in = np.abs(near_EK - near_E[:, None]).argmin(1)
        there = np.isfinite(near_E) & np.isfinite(near_EK.min(1))
        drawn_E = np.where(there, (given * points_KD[stand_in]).sum(1), -np.inf)
        scores_EC[rows, nearest] = np.maximum(scores_EC[rows, nearest], drawn_E)
    return Rehearsal(used, scores_EC[used], targets_E[used], weight_E[used], others_O)


def turned(clips_ND: np.ndarray, from_ND: np.ndarray, to_ND: np.ndarray) -> np.ndarray:
    """R x of each clip x, R the rotation in the plane of unit vectors v and c that takes v to c.

    R x = x - (v + c) ((v + c) x) / (1 + v c) + 2 c (v x); where v is opposite to c, x is mirrored.
    """
    both_ND, along_N = from_ND + to_ND, (clips_ND * from_ND).sum(1)
    share_N = (clips_ND * both_ND).sum(1) / np.maximum(1 + (from_ND * to_ND).sum(1), 1e-9)
    return clips_ND - both_ND * share_N[:, None] + 2 * to_ND * along_N[:, None]


def calibrated(
    held_out: HeldOut,
    rehearsal: Rehearsal,
    is_trained_C: np.ndarray,
    temperature: float,
    min_precision: float = 0.8,
    allow_bias: bool = False,
) -> tuple[float, Thresholds | None]:
    """Choose gamma, and under it the thresholds of "unsure", for a list of candidates.

    gamma is 0 where all names are new, all trained, or bias is allowed. There are no thresholds with fewer
    than 4 validation classes, where any name is new.

    Raises:
        ValueError: min_precision is not in [0, 1).

    Source: Chao et al., ECCV 2016 (calibrated stacking); Geifman and El-Yaniv, 2017 (risk and coverage);
    Vaze et al., Open-Set Recognition, ICLR 2022 (maximum logit). There candidates are classes trained on.
    """
    if not 0 <= min_precision < 1:
        raise ValueError(f"min_precision must be in [0, 1), got {min_precision}")
    scores_EC, targets_E, weight_E = rehearsal.scores_EC, rehearsal.targets_E, rehearsal.weight_E
    n_validation, gamma = len(held_out.names) - held_out.n_seen, 0.0
    if n_validation and is_trained_C.any() and not is_trained_C.all() and not allow_bias:
        gamma = choose_gamma(scores_EC, targets_E, is_trained_C, "micro")
    if n_validation < FEWEST and not is_trained_C.all():
        return gamma, None
    balanced_EC = scores_EC - gamma * is_trained_C
    predicted_E, best_E = balanced_EC.argmax(1), scores_EC.max(1)
    confidence_E, right_E = confidences(balanced_EC, temperature).max(1), predicted_E == targets_E
    levels, class_E = [], held_out.targets_E[rehearsal.rows]
    for side in (False, True):
        rows = is_trained_C[predicted_E] == side
        given = confidence_E[rows], right_E[rows], weight_E[rows], class_E[rows]
        levels.append(lowest_confidence(*given, min_precision))
    min_score = float(np.quantile(best_E, 1 - NEAR_SHARE, method="lower"))
    usual_E = held_out.strangeness(held_out.embedding_ED)[rehearsal.rows] <= held_out.most_strange
    sure_E = (confidence_E >= np.take(levels, is_trained_C[predicted_E])) & (best_E >= min_score) & usual_E
    others, ranked = rehearsal.others_O, np.sort(best_E)
    below_O = [np.searchsorted(ranked, others, side) / len(ranked) for side in ("left", "right")]
    return gamma, Thresholds(
        min_score=min_score,
        most_strange=held_out.most_strange,
        min_confidence=(levels[0], levels[1]),
        min_precision=min_precision,
        n_validation=n_validation,
        coverage=float(np.average(sure_E, weights=weight_E)),
        precision=float(np.average(right_E[sure_E], weights=weight_E[sure_E])) if sure_E.any() else np.nan,
        auroc=1 - float(np.mean(below_O)) if len(others) else np.nan,
        withheld=float((others < min_score).mean()) if len(others) else np.nan,
        curve=risk_coverage(confidence_E, right_E),
    )


def lowest_confidence(
    confidence_E: np.ndarray, right_E: np.ndarray, weight_E: np.ndarray, class_E: np.ndarray, share: float
) -> float:
    """The lowest confidence at or above which that share of predictions is right for sure, or infinity.

    Clips of a class are alike, and with few classes a share is met by luck. So the lower end of a 95 %
    interval over classes must meet it, p - t_K-1 sqrt(K / (K - 1) sum_k (r_k - p n_k)^2) / sum_k n_k, n_k the
    weight of a class's clips at that confidence or above, r_k that of the right ones, p their ratio; and
    (sum_k n_k)^2 / sum_k n_k^2, the number of classes, be at least share / (1 - share), 4 for 80 %: with as
    many, all right, one more may be all wrong.
    """
    from scipy.special import stdtrit  # takes a moment to import

    if not len(confidence_E):
        return np.inf
    order = np.argsort(-confidence_E, kind="stable")
    _, of_class = np.unique(class_E[order], return_inverse=True)
    n_EK = np.cumsum(np.eye(of_class.max() + 1)[of_class] * weight_E[order, None], axis=0)
    r_EK = np.cumsum(np.diff(n_EK, axis=0, prepend=0) * right_E[order, None], axis=0)
    n_E, n_classes = n_EK.sum(1), n_EK.shape[1]
    t = stdtrit(max(n_classes - 1, 1), ONE_SIDED)
    p_E = r_EK.sum(1) / n_E
    spread_E = ((r_EK - p_E[:, None] * n_EK) ** 2).sum(1) * n_classes / max(n_classes - 1, 1)
    is_last = np.append(np.diff(confidence_E[order]) != 0, True)
    is_last &= n_E**2 * (1 - share) >= share * (n_EK**2).sum(1)
    enough = np.flatnonzero(is_last & (p_E - t * np.sqrt(spread_E) / n_E >= share))
    return float(confidence_E[order][enough[-1]]) if len(enough) else np.inf
