"""The clips of a split as methods read them, and what a method gives back.

Shapes: N training clips, B clips to score, S seen classes, C candidate classes, D width of the shared space,
F width of a class text's embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.text.relatedness import unit

if TYPE_CHECKING:
    from zsar_lab.embed.embeddings import ClipEmbeddings
    from zsar_lab.methods.direct import TrainedModel
    from zsar_lab.methods.ridge import RidgeSums
    from zsar_lab.protocols.protocol import Protocol
    from zsar_lab.text.embeddings import ClassEmbeddings

INDUCTIVE, TRANSDUCTIVE = "inductive", "transductive"  # one test clip is looked at at a time, or all


@dataclass(frozen=True, eq=False)
class ClipGroup:
    """Clips of one group of classes: embeddings, and the index of each clip's class among `names`."""

    names: tuple[str, ...]
    ids: tuple[str, ...]
    embedding_BD: np.ndarray
    targets: np.ndarray
    parts: tuple[ClipGroup, ...] = ()  # the groups that it joins, or the one whose clips it has

    @staticmethod
    def joined(*parts: ClipGroup) -> ClipGroup:
        """The clips of groups of different classes, one after another."""
        starts = np.cumsum([0] + [len(part.names) for part in parts])
        names, ids = (sum((getattr(part, of) for part in parts), ()) for of in ("names", "ids"))
        targets = np.concatenate([start + part.targets for start, part in zip(starts, parts)])
        return ClipGroup(names, ids, np.concatenate([part.embedding_BD for part in parts]), targets, parts)

    @staticmethod
    def of(clips: ClipEmbeddings, ids: tuple[str, ...], names: tuple[str, ...]) -> ClipGroup:
        """These clips, all of the classes `names`; ValueError when one was not embedded."""
        rows, labels = clips.rows(ids), clips.labels
        position = {name: index for index, name in enumerate(names)}
        targets = np.array([position[labels[row]] for row in rows.tolist()], dtype=np.int64)
        in_turn = len(rows) and (np.diff(rows) == 1).all()  # then nothing is copied, of a memory map either
        return ClipGroup(
            names, ids, clips.embedding_ND[slice(rows[0], rows[-1] + 1) if in_turn else rows], targets
        )

    def part(self, rows: slice) -> ClipGroup:
        """Some of its clips, float16 embeddings as float32."""
        embedding_BD = self.embedding_BD[rows]
        if embedding_BD.dtype == np.float16:
            embedding_BD = embedding_BD.astype(np.float32)
        return ClipGroup(self.names, self.ids[rows], embedding_BD, self.targets[rows])

    @cached_property
    def unit_BD(self) -> np.ndarray:
        """The embeddings as unit rows."""
        if len(self.parts) == 1:
            return self.parts[0].unit_BD
        if self.parts:
            return np.concatenate([part.unit_BD for part in self.parts])
        return unit(self.embedding_BD)

    def nearest(self, class_CD: np.ndarray) -> np.ndarray:
        """As `nearest_scores`."""
        return self.unit_BD @ unit(class_CD).T

    def class_means(self) -> np.ndarray:
        """Prototypes of its classes, see `class_means`; [C, D]."""
        return class_means(self.embedding_BD, self.targets, len(self.names))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method with the texts of one prompt, its settings chosen on clips of the validation classes.

    Attributes:
        method, prompt: names.
        settings: what was chosen.
        validation_top1: of those settings, 0..1.
        scores: from a group of clips to their scores of the group's classes, [B, C], larger is nearer; where
            seen classes are among them, they come first.
        points: from class names to their points among the clips, [C, D], whose cosines the scores are; None
            where the method has none.
    """

    method: str
    prompt: str
    settings: dict[str, Any]
    validation_top1: float
    scores: Callable[[ClipGroup], np.ndarray]
    points: Callable[[tuple[str, ...]], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class ClassPoints:
    """Points of classes among the clips, made by a model itself; they are scored as they are.

    Attributes:
        method, prompt: names.
        names: the classes.
        points_CD: a row a class, of any length above 0.
        temperature: of the softmax that turns cosines into confidences; None where the model has none.
    """

    method: str
    prompt: str
    names: tuple[str, ...]
    points_CD: np.ndarray
    temperature: float | None = None

    def fit(self, split: SplitClips) -> Fitted:
        """The cosines to the points; nothing is chosen, top-1 is nan without validation clips."""
        row_of = {name: row for row, name in enumerate(self.names)}

        def points(names: tuple[str, ...]) -> np.ndarray:
            return self.points_CD[[row_of[name] for name in names]]

        def scores(group: ClipGroup) -> np.ndarray:
            return group.nearest(points(group.names))

        top1, validation = np.nan, split.validation
        if validation.ids:
            top1 = top_k_accuracy(scores(validation), validation.targets, 1)
        return Fitted(self.method, self.prompt, {}, top1, scores, points)


@dataclass(frozen=True, eq=False)
class SplitClips:
    """The clips of a split, and what its methods need whatever the class texts are.

    Attributes:
        train, validation, test: clips of the seen, validation and unseen classes.
        seen_prototypes: [S, D], unit rows: the classes' means, unless `with_prototypes` gave others.
        trained: the trained model, which direct and match need; None where only the others are fitted.
    """

    train: ClipGroup
    validation: ClipGroup
    test: ClipGroup
    seen_prototypes: np.ndarray
    trained: TrainedModel | None = None

    @staticmethod
    def of(clips: ClipEmbeddings, protocol: Protocol, trained: TrainedModel | None = None) -> SplitClips:
        """Gather a split's clips; ValueError when one of them was not embedded."""
        train = ClipGroup.of(clips, protocol.train_clips, protocol.seen)
        validation = ClipGroup.of(clips, protocol.validation_clips, protocol.validation)
        test = ClipGroup.of(clips, protocol.test_clips, protocol.unseen)
        return SplitClips(train, validation, test, train.class_means(), trained)

    @cached_property
    def ridge_sums(self) -> RidgeSums:
        """Of the training clips."""
        from zsar_lab.methods.ridge import RidgeSums  # which imports this module

        return RidgeSums.of(self.train.embedding_BD, self.train.targets, len(self.train.names))

    @cached_property
    def ridge_maps(self) -> Callable[[ClassEmbeddings], Any]:
        """`fitted_maps` of class texts, once for ridge and ridge centred."""
        from zsar_lab.methods.ridge import fitted_maps  # which imports this module

        given = self.ridge_sums, self.train.names
        return lru_cache(2)(lambda texts: fitted_maps(*given, texts))

    def with_prototypes(self, prototypes_SD: np.ndarray) -> SplitClips:
        """The same clips with other seen prototypes, such as `classifier_weights`, which transfer composes.

        Raises:
            ValueError: not a row a seen class in the clips' width, or a row that is not finite or zero.
        """
        rows, expected = np.asarray(prototypes_SD, dtype=float), self.seen_prototypes.shape
        if rows.shape != expected:
            raise ValueError(
                f"seen prototypes must be {list(expected)} (classes, width), got {list(rows.shape)}"
            )
        bad = np.flatnonzero(~np.isfinite(rows).all(1) | ~rows.any(1))
        if len(bad):
            name = self.train.names[bad[0]]
            raise ValueError(f"a prototype must be finite and not zero, {len(bad)} are not, such as {name!r}")
        return replace(self, seen_prototypes=unit(rows))

    def fit(self, texts: ClassEmbeddings, method: str) -> Fitted:
        """Fit a method that needs only class texts; ValueError for another, or for a class without text."""
        from zsar_lab.methods.table import METHODS, TEXT_METHODS  # which imports this module

        if method not in TEXT_METHODS:
            raise ValueError(f"the method must be {', '.join(TEXT_METHODS)}, got {method!r}")
        return METHODS[method].fit(self, texts, {})


def fit_best(
    split: SplitClips,
    method: str,
    prompt: str,
    scores: Callable[[ClipGroup, Any], np.ndarray],
    key: str,
    grid: tuple[Any, ...],
    settings: dict[str, Any] | None = None,
) -> Fitted:
    """Score with the value of the grid that is best by top-1 on validation clips, the first of equals."""
    validation = split.validation
    top1 = {value: top_k_accuracy(scores(validation, value), validation.targets, 1) for value in grid}
    best = max(grid, key=lambda value: top1[value])
    chosen = (settings or {}) | {key: best}
    return Fitted(method, prompt, chosen, top1[best], lambda group: scores(group, best))


def text_of(texts: ClassEmbeddings, names: tuple[str, ...]) -> np.ndarray:
    """The embedded texts of these classes, float64 [C, F]; ValueError when one has none."""
    return texts.pooled_CF[texts.rows(names)].astype(float)


def nearest_scores(embedding_BD: np.ndarray, class_CD: np.ndarray) -> np.ndarray:
    """Cosine of each clip to a point of each class: a label embedding (direct) or prototype (transfer)."""
    return unit(embedding_BD) @ unit(class_CD).T


def class_means(embedding_ND: np.ndarray, targets: np.ndarray, n_classes: int) -> np.ndarray:
    """Visual prototypes p_s = normalise(mean of the class's clips), [S, D]; each class needs a clip."""
    counts = np.bincount(targets, minlength=n_classes)
    if not counts.all():
        raise ValueError(
            f"every class needs a clip for its prototype, class number {counts.argmin()} has none"
        )
    return unit(class_sums(embedding_ND, targets, n_classes) / counts[:, None])


def class_sums(embedding_ND: np.ndarray, targets: np.ndarray, n_classes: int) -> np.ndarray:
    """The sum of each class's rows, added one after another, float64 [C, D]."""
    sums_CD = np.zeros((n_classes, embedding_ND.shape[1]))
    order, ends = np.argsort(targets, kind="stable"), np.cumsum(np.bincount(targets, minlength=n_classes))
    for c, (start, end) in enumerate(zip([0, *ends.tolist()], ends.tolist())):
        sums_CD[c] = embedding_ND[order[start:end]].sum(0, dtype=float)
    return sums_CD
