"""Prediction sets that hold the right class as often as asked, for candidates that calibration never saw.

Shapes: B clips to predict, C candidate classes, E calibration clips, V classes of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from zsar_lab.results.predictions import Predictions

ROUNDING = 1e-9  # of sums of weights


class CoverageError(ValueError):
    """Too few calibration classes for the coverage asked for, or scores that cannot calibrate."""


def prediction_sets(
    scores_BC: np.ndarray,
    calibration_EC: np.ndarray,
    own_E: np.ndarray,
    class_E: np.ndarray,
    coverage: float = 0.9,
) -> np.ndarray:
    """For each clip the candidates that may be its class, the right one among them as often as asked.

    Candidate j is behind by a_j = max_{c != j} s_c - s_j. To judge j, each calibration clip is given the
    candidates of the test with its own class in the place of j: as many and the same rivals. The threshold of
    j is the quantile of their a_j at `coverage`; the clips of a class share the weight 1 / (V + 1), the rest
    of the weight is at infinity. The set holds every j whose a_j is not above its threshold; it may be empty.

    Guaranteed: of a clip whose class is drawn as the calibration classes were, and is as new to the model,
    the set holds the class with probability `coverage` or more, for any scores, V and C; with few classes
    more, by larger sets. Not guaranteed: the share for the classes at hand; any single class; classes that
    the model was trained on, videos of another kind; and not strictly, where settings of the scores were
    chosen on the calibration classes. docs/evaluation.md has simulated figures.

    Args:
        scores_BC: larger is nearer; that of a class depends on no other candidate.
        calibration_EC: of the calibration clips to the same candidates, which are none of their classes.
        own_E: of each calibration clip to its own class.
        class_E: that class, any labels.
        coverage: the share asked for, above 0 and below 1.

    Returns:
        bool [B, C]. CoverageError for fewer classes than coverage / (1 - coverage) (9 for 0.9, 4 for 0.8),
        fewer than 2 candidates, other shapes, or a score that is not finite.

    Source: Dunn, Wasserman, Ramdas, Distribution-free prediction sets for two-layer hierarchical models, 2023
    (the weights; the candidates swapped in are ours).
    """
    arrays = scores_BC, calibration_EC, own_E = [*map(np.asarray, (scores_BC, calibration_EC, own_E))]
    code_E, classes = pd.factorize(np.asarray(class_E))
    if not 0 < coverage < 1:
        raise CoverageError(f"a coverage must be above 0 and below 1, got {coverage:g}")
    needed = int(np.ceil(coverage / (1 - coverage) - ROUNDING))
    if len(classes) < needed:
        got = f"needs {needed} validation classes, got {len(classes)}"
        raise CoverageError(f"a coverage of {coverage:g} {got}")
    shapes, n_candidates = [of.shape for of in arrays], scores_BC.shape[-1]
    fit = shapes[1:] == [(len(code_E), n_candidates), code_E.shape] and n_candidates > 1
    if not fit or not all(np.isfinite(of).all() for of in arrays):
        raise CoverageError(f"scores must be finite, of the same 2 or more candidates, got {shapes}")
    behind_EC = _best_other(calibration_EC) - own_E[:, None]
    weight_E = 1 / ((len(classes) + 1) * np.bincount(code_E)[code_E])
    order_EC = np.argsort(behind_EC, axis=0)
    at_C = (np.cumsum(weight_E[order_EC], axis=0) >= coverage - ROUNDING).argmax(0)
    threshold_C = np.sort(behind_EC, axis=0)[at_C, np.arange(n_candidates)]
    return _best_other(scores_BC) - scores_BC <= threshold_C


def split_sets(split: Predictions, method: str, coverage: float) -> pd.DataFrame:
    """The sets of a split's test clips, a row each, see `Results.sets`."""
    scores_BC, targets, names = split.scores(method), split.targets(), np.array(split.names(), dtype=object)
    both_EK, own = split.calibration(method), split.targets("validation")
    own_E, rivals_EC = both_EK[np.arange(len(own)), own], both_EK[:, len(split.names("validation")) :]
    sets_BC = prediction_sets(scores_BC, rivals_EC, own_E, own, coverage)
    found = {"split": split.split, "clip": split.ids(), "label": names[targets]}
    found |= {"set": [names[row].tolist() for row in sets_BC], "size": sets_BC.sum(1)}
    return pd.DataFrame(found | {"covered": sets_BC[np.arange(len(targets)), targets]})


def _best_other(scores_NC: np.ndarray) -> np.ndarray:
    """The best score of the other candidates, [N, C]."""
    ordered_NC, best_N = np.partition(scores_NC, -2, axis=1), scores_NC.argmax(1)
    is_best_NC = best_N[:, None] == np.arange(scores_NC.shape[1])
    return np.where(is_best_NC, ordered_NC[:, -2:-1], ordered_NC[:, -1:])
