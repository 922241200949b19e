"""A zero-shot classifier: class weights in the space of the clips, and which of its names were trained on.

Shapes: N windows, C candidate classes, D width of the shared space, S seen classes, F width of a class text's
embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.infer.calibrate import HeldOut, Thresholds
from zsar_lab.methods.clips import nearest_scores
from zsar_lab.names import same
from zsar_lab.results.prediction_sets import CoverageError, prediction_sets
from zsar_lab.shown import Shown
from zsar_lab.text.class_lists import normalised
from zsar_lab.text.prompts import ClassText
from zsar_lab.text.relatedness import unit

NONE_OF_THESE, BETWEEN, UNKNOWN = "perhaps none of these", "between classes", "unknown: no thresholds"
NO, NOT_KNOWN = "no", "unknown"  # in the place of a rule by which a name is one that was trained on


@dataclass(frozen=True, eq=False, repr=False)
class ZeroShotClassifier(Shown):
    """Class weights for any list of classes.

    Attributes:
        classes: as `read_classes` gives them.
        class_text: the exact texts that were read.
        method: how texts became class weights.
        weights_CD: unit rows in the space of the clips.
        temperature: of the softmax that turns balanced scores into confidences; None without confidences,
            where a public model has none, and no validation classes to choose one on.
        known: a row a class: trained, "exact", "normalised", "near", "no" or "unknown", and seen, the name of
            that trained class ("" where there is none), see `names_trained_on`.
        gamma: of calibrated stacking, off the cosines of the classes that were trained on.
        thresholds: of "unsure"; None where none could be chosen.
        held_out: clips that say what is strange; None where there are no thresholds.
        transfer_weights_CS: over the model's seen classes; None but for transfer.
        calibration: for prediction sets, of `HeldOut.new_clips`; None of a public model.
    """

    classes: pd.DataFrame
    class_text: ClassText
    method: str
    weights_CD: np.ndarray
    temperature: float | None
    known: pd.DataFrame
    gamma: float = 0.0
    thresholds: Thresholds | None = None
    held_out: HeldOut | None = None
    transfer_weights_CS: np.ndarray | None = None
    calibration: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None

    def _facts(self) -> dict[str, Any]:
        return {
            "names": ", ".join(self.names),
            "method": self.method,
            "prompt": self.class_text.prompt,
            "gamma": self.gamma,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """Of the candidate classes."""
        return tuple(self.classes["name"])

    @property
    def is_trained(self) -> np.ndarray:
        """Which classes the model was trained on, under whatever name, bool [C]."""
        return is_trained(self.known)

    def scores(self, embedding_ND: np.ndarray) -> np.ndarray:
        """Cosine of each clip to each class, float64 [N, C]."""
        return nearest_scores(embedding_ND.astype(float), self.weights_CD)

    def balanced(self, scores_NC: np.ndarray) -> np.ndarray:
        """Scores less gamma for the classes that were trained on, [N, C]."""
        return scores_NC - self.gamma * self.is_trained

    def sets(self, scores_NC: np.ndarray, coverage: float) -> np.ndarray:
        """Which classes each clip may be of, by `prediction_sets`, bool [N, C]."""
        if self.calibration is None:
            raise CoverageError("prediction sets need validation classes, a public model has none")
        clips_ED, own_E, class_E = self.calibration
        scores_EC = self.balanced(self.scores(clips_ED))
        return prediction_sets(self.balanced(scores_NC), scores_EC, own_E, class_E, coverage)

    def why_unsure(
        self, embedding_ND: np.ndarray, scores_NC: np.ndarray, confidence_NC: np.ndarray
    ) -> np.ndarray:
        """For each clip "" where its prediction is sure, else what it lacks; [N] texts."""
        if self.thresholds is None or self.held_out is None:
            return np.full(len(scores_NC), UNKNOWN, dtype=object)
        least_C = np.take(self.thresholds.min_confidence, self.is_trained)
        far_N = scores_NC.max(1) < self.thresholds.min_score
        far_N |= self.held_out.strangeness(embedding_ND) > self.thresholds.most_strange
        low_N = confidence_NC.max(1) < least_C[confidence_NC.argmax(1)]
        return np.select([far_N, low_N], [NONE_OF_THESE, BETWEEN], "").astype(object)


def names_trained_on(
    classes: pd.DataFrame, seen: pd.DataFrame, distance_CS: np.ndarray, near: float
) -> pd.DataFrame:
    """Which candidates a model was trained on: a row each, with name, trained and seen.

    trained is "exact" (a name or label that means the same, see `same`), "normalised" (of
    the same word stems), "near" (a text nearer than `near` to that of a seen class) or "no"; seen is the name
    of that trained class, or "".
    """
    rules, found = {"exact": same, "normalised": normalised}, []
    known = {
        (rule, key(text)): name
        for rule, key in rules.items()
        for column in ("label", "name")
        for text, name in zip(seen[column], seen["name"])
    }
    for texts, distance_S in zip(zip(classes["name"], classes["label"]), distance_CS):
        by_name = [
            (rule, known.get((rule, key(text))))
            for rule, key in rules.items()
            for text in dict.fromkeys(texts)
        ]
        nearest = ("near", seen["name"].iloc[distance_S.argmin()]) if distance_S.min() < near else (NO, "")
        found.append(next((one for one in by_name if one[1]), nearest))
    return pd.DataFrame(found, columns=["trained", "seen"]).assign(name=classes["name"].to_numpy())


def is_trained(known: pd.DataFrame) -> np.ndarray:
    """Which of the names are ones that the model was trained on, bool [C]."""
    return ~known["trained"].isin([NO, NOT_KNOWN]).to_numpy()


def distances(text_CF: np.ndarray, text_SF: np.ndarray) -> np.ndarray:
    """1 - cosine of the texts of classes, [C, S]."""
    return 1 - unit(text_CF.astype(float)) @ unit(text_SF.astype(float)).T
