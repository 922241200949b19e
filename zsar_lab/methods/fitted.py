"""The methods that need only clip embeddings and class texts: ridge raw and centred, and transfer.

What does not depend on the texts is computed once a split, so that another text is scored in a fraction of a
second. Shapes: N training clips, B clips to score, S seen classes, C candidate classes, D width of the shared
space, F width of a class text's embedding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.scores import RidgeSums, nearest_scores
from zsar_lab.methods.transfer import (
    TransferSettings,
    choose_settings,
    class_means,
    compose_prototypes,
    settings_grid,
    unit,
    weights_by_text,
)
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings

RIDGE, RIDGE_CENTRED, TRANSFER = "direct, ridge", "direct, ridge centred", "transfer"
TEXT_METHODS = (RIDGE, RIDGE_CENTRED, TRANSFER)
PENALTIES = (0.001, 0.01, 0.1)


@dataclass(frozen=True, eq=False)
class ClipGroup:
    """Clips of one group of classes: embeddings, and the index of each clip's class among `names`."""

    names: tuple[str, ...]
    ids: tuple[str, ...]
    embedding_BD: np.ndarray
    targets: np.ndarray

    @staticmethod
    def of(clips: ClipEmbeddings, ids: tuple[str, ...], names: tuple[str, ...]) -> ClipGroup:
        """These clips, all of the classes `names`; ValueError when one was not embedded."""
        rows = clips.rows(ids)
        position = {name: index for index, name in enumerate(names)}
        targets = np.array([position[clips.labels[row]] for row in rows], dtype=np.int64)
        return ClipGroup(names, ids, clips.embedding_ND[rows], targets)


@dataclass(frozen=True, eq=False)
class FittedMethod:
    """One method with the texts of one prompt, its settings chosen on clips of the validation classes.

    Attributes:
        method, class_text: one of TEXT_METHODS, and the prompt.
        settings: what was chosen.
        validation_top1: of those settings, 0..1.
        scores: from a group of clips to their scores of the group's classes, [B, C].
        points: from class names to their points among the clips, [C, D], whose cosines the scores are; None
            where the method has none.
    """

    method: str
    class_text: str
    settings: dict[str, Any]
    validation_top1: float
    scores: Callable[[ClipGroup], np.ndarray]
    points: Callable[[tuple[str, ...]], np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class TextMethods:
    """The clips of a split with what its methods need of them whatever the class texts are.

    Attributes:
        train, validation, test: clips of the seen, validation and unseen classes.
        seen_prototypes: [S, D], unit rows: the classes' means, unless `with_prototypes` gave others.
        ridge_sums: of the training clips.
    """

    train: ClipGroup
    validation: ClipGroup
    test: ClipGroup
    seen_prototypes: np.ndarray
    ridge_sums: RidgeSums

    @staticmethod
    def of(clips: ClipEmbeddings, protocol: Protocol) -> TextMethods:
        """Gather a split's clips.

        Raises:
            ValueError: a clip of the protocol was not embedded.
        """
        train = ClipGroup.of(clips, protocol.train_clips, protocol.seen)
        validation = ClipGroup.of(clips, protocol.validation_clips, protocol.validation)
        test = ClipGroup.of(clips, protocol.test_clips, protocol.unseen)
        n_seen = len(protocol.seen)
        prototypes = class_means(train.embedding_BD, train.targets, n_seen)
        return TextMethods(
            train, validation, test, prototypes, RidgeSums.of(train.embedding_BD, train.targets, n_seen)
        )

    def with_prototypes(self, prototypes_SD: np.ndarray) -> TextMethods:
        """The same clips with other seen prototypes, such as `classifier_weights`: transfer then composes these, with settings chosen for them.

        Args:
            prototypes_SD: a row a seen class, in the order of `protocol.seen`; of any length above 0.

        Raises:
            ValueError: another number or width of rows, or a row that is not finite or zero.
        """
        rows, wanted = np.asarray(prototypes_SD, dtype=float), self.seen_prototypes.shape
        if rows.shape != wanted:
            raise ValueError(
                f"seen prototypes must be {list(wanted)} (seen classes, width of the clips), got {list(rows.shape)}; take those of the split's"
                " checkpoint"
            )
        bad = [
            name
            for name, row in zip(self.train.names, rows, strict=True)
            if not (np.isfinite(row).all() and row.any())
        ]
        if bad:
            raise ValueError(
                f"a seen prototype must be finite and not zero, {len(bad)} are not (first {bad[0]!r}); look at the checkpoint"
            )
        return replace(self, seen_prototypes=unit(rows))

    def fit(self, texts: ClassEmbeddings, method: str) -> FittedMethod:
        """Choose a method's settings for these class texts on the validation classes.

        Raises:
            ValueError: no such method, or a seen or validation class has no text; an unseen one without text
                is refused when it is scored.
        """
        if method not in TEXT_METHODS:
            raise ValueError(
                f"a method that needs only class texts must be one of {'; '.join(TEXT_METHODS)}, got {method!r}"
            )
        return self._transfer(texts) if method == TRANSFER else self._ridge(texts, method)

    def weights(
        self, texts: ClassEmbeddings, names: tuple[str, ...], settings: TransferSettings
    ) -> np.ndarray:
        """Transfer weights of the classes `names` over the seen ones, rows sum to 1."""
        return weights_by_text(text_of(texts, names), text_of(texts, self.train.names), settings)

    def _transfer(self, texts: ClassEmbeddings) -> FittedMethod:
        validation, seen = self.validation, self.train.names
        text_VF, text_SF = text_of(texts, validation.names), text_of(texts, seen)
        grid = settings_grid(len(seen))
        chosen, accuracies = choose_settings(
            validation.embedding_BD, validation.targets, text_VF, text_SF, self.seen_prototypes, grid
        )

        def points(names: tuple[str, ...]) -> np.ndarray:
            return compose_prototypes(self.weights(texts, names, chosen), self.seen_prototypes)

        def scores(clips: ClipGroup) -> np.ndarray:
            return nearest_scores(clips.embedding_BD, points(clips.names))

        return FittedMethod(
            TRANSFER, texts.class_text.prompt, asdict(chosen), accuracies[chosen], scores, points
        )

    def _ridge(self, texts: ClassEmbeddings, method: str) -> FittedMethod:
        centred, text_SF = method == RIDGE_CENTRED, text_of(texts, self.train.names)
        maps = {penalty: self.ridge_sums.fit(text_SF, penalty) for penalty in PENALTIES}

        def scores(clips: ClipGroup, penalty: float) -> np.ndarray:
            return maps[penalty].scores(clips.embedding_BD, text_of(texts, clips.names), centred)

        accuracies = {
            p: top_k_accuracy(scores(self.validation, p), self.validation.targets, 1) for p in PENALTIES
        }
        best = max(PENALTIES, key=lambda p: accuracies[p])
        return FittedMethod(
            method,
            texts.class_text.prompt,
            {"penalty": best},
            accuracies[best],
            lambda clips: scores(clips, best),
        )


def text_of(texts: ClassEmbeddings, names: tuple[str, ...]) -> np.ndarray:
    """The embedded texts of these classes, float64 [C, F]; ValueError when one has none."""
    return texts.pooled_CF[texts.rows(names)].astype(float)
