"""Kernel ridge regression from class texts to visual prototypes, the semantic-to-visual direction.

p_u = normalise(m + r_uS (R_SS + penalty I)^-1 (P_S - m)), R the whitened relatedness of class texts, P the
seen prototypes, m their mean. Where transfer's weights are a softmax, these may be negative: a class is also
placed away from those it does not resemble. Shapes: S seen, U other classes, D width, F width of a text.

Source: Shigeto et al., Ridge Regression, Hubness, and Zero-Shot Learning, ECML PKDD 2015 (regression from
labels to examples has fewer hubs than the other way; there linear and not whitened).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from zsar_lab.methods.clips import ClipGroup, Fitted, SplitClips, fit_best, nearest_scores, text_of
from zsar_lab.text.relatedness import PLAIN, WHITENED, Relatedness, unit

if TYPE_CHECKING:
    from zsar_lab.text.embeddings import ClassEmbeddings

KERNEL_PENALTIES = (0.1, 0.3, 1.0, 3.0)
USUAL = 0.3  # looked at on the unseen classes of development splits, see benchmarks/LOG.md
TO_TUNE = 25  # validation classes: fewer cannot tell penalties apart


def fit_kernel_ridge(split: SplitClips, texts: ClassEmbeddings, _: dict[str, Fitted]) -> Fitted:
    """Points composed of seen prototypes and, for classes that do not validate, of validation ones too.

    The penalty is USUAL; with TO_TUNE validation classes or more it is chosen on them, while they take no
    part. Seen candidates are at their own prototypes. For one seen class R is not whitened.
    """
    seen, validation = split.train, split.validation
    kind = WHITENED if len(seen.names) > 1 else PLAIN
    own = {name: row for row, name in enumerate(seen.names)}
    grid = KERNEL_PENALTIES if len(validation.names) >= TO_TUNE else (USUAL,)
    both_SF = text_of(texts, (*seen.names, *validation.names))
    prototypes_SD = np.concatenate([split.seen_prototypes, validation.class_means()])

    def points(names: tuple[str, ...], penalty: float) -> np.ndarray:
        n = len(both_SF) if set(names).isdisjoint(validation.names) else len(seen.names)
        return regressed(text_of(texts, names), both_SF[:n], prototypes_SD[:n], penalty, kind)

    def scores(group: ClipGroup, penalty: float) -> np.ndarray:
        others = tuple(name for name in group.names if name not in own)
        rows = [own[name] for name in group.names if name in own]
        composed = points(others, penalty) if others else np.zeros((0, split.seen_prototypes.shape[1]))
        return nearest_scores(group.embedding_BD, np.concatenate([split.seen_prototypes[rows], composed]))

    fitted = fit_best(split, "kernel_ridge", texts.class_text.prompt, scores, "kernel_penalty", grid)
    return replace(fitted, points=lambda names: points(names, fitted.settings["kernel_penalty"]))


def regressed(
    text_UF: np.ndarray, text_SF: np.ndarray, prototypes_SD: np.ndarray, penalty: float, kind: str = WHITENED
) -> np.ndarray:
    """Prototypes of the classes with these texts by those of others, float64 unit rows [U, D].

    Raises:
        ValueError: the penalty is not above 0, or as `Relatedness`.
    """
    if not penalty > 0:
        raise ValueError(f"the ridge penalty must be above 0, got {penalty}")
    related, mean_D = Relatedness.fit(text_SF, kind), prototypes_SD.mean(0)
    gram_SS = related.between(text_SF, text_SF) + penalty * np.eye(len(text_SF))
    weights_SD = np.linalg.solve(gram_SS, prototypes_SD - mean_D)
    return unit(mean_D + related.between(text_UF, text_SF) @ weights_SD)
