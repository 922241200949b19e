"""Transfer: prototypes of unseen classes composed from those of seen ones by the relatedness of their texts.

The paper's abstract states the prompt (semantic relatedness of seen and unseen classes composes unseen visual
prototypes); softmax, k nearest and temperature are our choice. Shapes: N clips, S seen, U unseen classes, D
width, F width of a class text's embedding.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from zsar_lab.methods.clips import ClipGroup, Fitted, SplitClips, text_of
from zsar_lab.methods.metrics import truth_rank
from zsar_lab.text.relatedness import CENTRED, KINDS, PLAIN, Relatedness, unit

if TYPE_CHECKING:
    from zsar_lab.models.rest import ResT
    from zsar_lab.text.embeddings import ClassEmbeddings

TAUS = (0.05, 0.1, 0.2, 0.3)
TO_BE_NEAR, TO_LEAVE_CENTRED = 1.0, 2.0  # standard errors, see choose_settings


@dataclass(frozen=True)
class TransferSettings:
    """k most related seen classes, temperature tau of the softmax over them, kind of relatedness."""

    k: int
    tau: float
    relatedness: str = CENTRED


def fit_transfer(split: SplitClips, texts: ClassEmbeddings, _: dict[str, Fitted]) -> Fitted:
    """Choose settings on the validation classes; seen candidates are at their own prototypes."""
    validation, seen = split.validation, {name: row for row, name in enumerate(split.train.names)}
    given = text_of(texts, validation.names), text_of(texts, split.train.names), split.seen_prototypes
    grid = settings_grid(len(seen))
    chosen, accuracies = choose_settings(validation.embedding_BD, validation.targets, *given, grid)

    def points(names: tuple[str, ...]) -> np.ndarray:
        return compose_prototypes(weights_of(split, texts, names, chosen), split.seen_prototypes)

    def scores(group: ClipGroup) -> np.ndarray:
        rows = [seen[name] for name in group.names if name in seen]
        others = tuple(name for name in group.names if name not in seen)
        parts = [split.seen_prototypes[rows]] if rows else []
        parts += [points(others)] if others else []
        return np.concatenate([group.nearest(part) for part in parts], axis=1)

    return Fitted("transfer", texts.class_text.prompt, asdict(chosen), accuracies[chosen], scores, points)


def weights_of(
    split: SplitClips, texts: ClassEmbeddings, names: tuple[str, ...], settings: TransferSettings
) -> np.ndarray:
    """Transfer weights of the classes `names` over the seen ones, rows sum to 1."""
    return weights_by_text(text_of(texts, names), text_of(texts, split.train.names), settings)


def classifier_weights(model: ResT) -> np.ndarray:
    """Seen visual prototypes p_s = normalise(w_s) of the trained cosine classifier, float64 [S, D].

    The other source beside `class_means`; rows are in the order of the training protocol's `seen`.
    """
    return unit(model.seen_weight_SD.detach().cpu().double().numpy())


def transfer_weights(relatedness_US: np.ndarray, settings: TransferSettings) -> np.ndarray:
    """a_us = softmax over the k most related seen classes of r_us / tau, else 0; rows sum to 1, [U, S].

    Raises:
        ValueError: k is not in 1..S, or tau is not positive.
    """
    n_seen = relatedness_US.shape[1]
    if not 1 <= settings.k <= n_seen:
        raise ValueError(f"k must be in 1..{n_seen} (the number of seen classes), got {settings.k}")
    if not settings.tau > 0:
        raise ValueError(f"tau must be above 0, got {settings.tau}")
    order = np.argsort(-relatedness_US, axis=1, kind="stable")[:, : settings.k]
    chosen = np.take_along_axis(relatedness_US, order, 1)
    exponent = np.exp((chosen - chosen.max(1, keepdims=True)) / settings.tau)
    weights = np.zeros_like(relatedness_US, dtype=float)
    np.put_along_axis(weights, order, exponent / exponent.sum(1, keepdims=True), 1)
    return weights


def weights_by_text(text_UF: np.ndarray, text_SF: np.ndarray, settings: TransferSettings) -> np.ndarray:
    """`transfer_weights` of the relatedness of these class texts, fitted on the seen ones, [U, S]."""
    related_US = Relatedness.fit(text_SF, settings.relatedness).between(text_UF, text_SF)
    return transfer_weights(related_US, settings)


def compose_prototypes(weights_US: np.ndarray, prototypes_SD: np.ndarray) -> np.ndarray:
    """Unseen visual prototypes p_u = normalise(sum_s a_us p_s), [U, D]."""
    return unit(weights_US @ prototypes_SD)


def settings_grid(n_seen: int) -> list[TransferSettings]:
    """The settings tried: each kind of relatedness; k in 1, 3, 5, 10, all; tau in TAUS.

    One seen class can be neither centred nor whitened, so there the kind is "plain" alone.
    """
    ks = sorted({k for k in (1, 3, 5, 10, n_seen) if k <= n_seen})
    kinds = KINDS if n_seen > 1 else (PLAIN,)
    return [TransferSettings(k, tau, kind) for kind in kinds for k in ks for tau in TAUS]


def choose_settings(
    embedding_ND: np.ndarray,
    targets: np.ndarray,
    text_VF: np.ndarray,
    text_SF: np.ndarray,
    prototypes_SD: np.ndarray,
    grid: Iterable[TransferSettings],
) -> tuple[TransferSettings, dict[TransferSettings, float]]:
    """Choose k, tau and the kind of relatedness on clips of validation classes, by standard errors.

    Few classes cannot tell neighbouring settings apart, and the best is often a lucky one. So the kind of
    relatedness is "centred" (the grid's first where that is missing) unless the best of others is more than
    two standard errors ahead of its best; with two rivals, one would be passed by luck in a quarter of cases.
    Within the kind, of all settings at most one standard error behind its best, the one with the most even
    weights (mean entropy) is taken; between kinds evenness does not compare. The standard error is that of
    the mean over classes of the difference of two settings, class by class.

    The clips are unit rows of V validation classes, to which `targets` point; prototypes are those of the
    seen classes.

    Returns:
        The setting chosen, and the validation top-1 (mean per class) of each setting, 0..1.

    Raises:
        ValueError: an empty grid, or as `truth_rank`, `transfer_weights` and `Relatedness`.

    Source: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3 (there over folds).
    """
    by_class: dict[TransferSettings, np.ndarray] = {}
    entropy: dict[TransferSettings, float] = {}
    related: dict[str, np.ndarray] = {}
    embedding_ND, clips_V = np.asarray(embedding_ND, dtype=float), np.bincount(targets)
    for settings in grid:
        kind = settings.relatedness
        if kind not in related:
            related[kind] = Relatedness.fit(text_SF, kind).between(text_VF, text_SF)
        weights = transfer_weights(related[kind], settings)
        right = truth_rank(embedding_ND @ compose_prototypes(weights, prototypes_SD).T, targets) == 1
        by_class[settings] = (np.bincount(targets, right) / np.maximum(clips_V, 1))[clips_V > 0]
        entropy[settings] = float(-(weights * np.log(np.maximum(weights, 1e-300))).sum(1).mean())
    if not by_class:
        raise ValueError("the grid must hold a setting to choose, got none")
    accuracy = {settings: float(right_V.mean()) for settings, right_V in by_class.items()}

    def is_near(one: TransferSettings, best: TransferSettings, standard_errors: float) -> bool:
        behind_V = by_class[best] - by_class[one]
        error = behind_V.std(ddof=1) / len(behind_V) ** 0.5 if len(behind_V) > 1 else 0
        return behind_V.mean() <= standard_errors * error

    of_kind = {kind: [one for one in accuracy if one.relatedness == kind] for kind in related}
    bests = {kind: max(of_kind[kind], key=accuracy.__getitem__) for kind in related}
    first = bests.get(CENTRED, next(iter(bests.values())))
    ahead = [one for one in bests.values() if not is_near(first, one, TO_LEAVE_CENTRED)]
    top = max(ahead, key=accuracy.__getitem__, default=first)
    near = [one for one in of_kind[top.relatedness] if is_near(one, top, TO_BE_NEAR)]
    return max(near, key=entropy.__getitem__), accuracy
