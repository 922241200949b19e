"""What transfer would score under other settings, from embedded clips, fast enough to move a slider.

Shapes: B clips to score, N training clips, S seen, U unseen, V validation classes, C candidate classes (U or
V), D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.clips import ClipGroup, SplitClips, text_of
from zsar_lab.methods.hubness_reduction import (
    FITS,
    QueryBank,
    Reduce,
    centred,
    choose_reduction,
)
from zsar_lab.methods.metrics import mean_over_classes, truth_rank
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, transfer_weights
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.evaluate import check_can_be_scored
from zsar_lab.results.hubness import Hubness, hubness
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.relatedness import KINDS, Relatedness, unit

CLASS_MEANS, NO_REDUCTION = "class means", "none"
REDUCTION_CHOICES = (NO_REDUCTION, "centring", *FITS)
N_NEAREST = 5  # clips whose places on a map make the place of a prototype
N_KEPT = 32  # outcomes, so that a setting looked at before is there at once
N_THREADS = 2
LARGE = 50_000  # products, from which on a second thread is worth its start


@dataclass(frozen=True)
class Choice:
    """Everything of transfer that can be chosen without training again.

    Attributes:
        transfer: k, tau and the kind of relatedness.
        class_text: one of the explorer's prompts.
        source: of the seen prototypes, one of the explorer's sources.
        reduction: of hubness, one of REDUCTION_CHOICES; its bank holds the training clips (inductive).
    """

    transfer: TransferSettings
    class_text: str
    source: str = CLASS_MEANS
    reduction: str = NO_REDUCTION


@dataclass(frozen=True, eq=False)
class Scored:
    """Figures of one group's clips, its classes alone being candidates.

    Attributes:
        top1: share of right clips, 0..1; a tie with the true class is wrong, as in `truth_rank`.
        mean_class: mean over the classes of that share.
        top1_C: that share of each class; 0 for a class without clips.
        occurrence_C: N_1, how many clips are predicted as each class, int64; ties go to the first class.
        clips_C: clips of each class, int64.
    """

    top1: float
    mean_class: float
    top1_C: np.ndarray
    occurrence_C: np.ndarray
    clips_C: np.ndarray

    @staticmethod
    def of(scores_BC: np.ndarray, targets: np.ndarray) -> Scored:
        """Of scores, larger is nearer, and the true classes 0..C - 1; Raises as `truth_rank`."""
        right, n_classes = truth_rank(scores_BC, targets) == 1, scores_BC.shape[1]
        clips_C, right_C, occurrence_C = (
            np.bincount(rows, minlength=n_classes) for rows in (targets, targets[right], scores_BC.argmax(1))
        )
        share_C, mean = right_C / np.maximum(clips_C, 1), mean_over_classes(right, targets)
        return Scored(float(right.mean()), mean, share_C, occurrence_C, clips_C)

    @cached_property
    def hubness(self) -> Hubness:
        """Measures of N_1."""
        return hubness(self.occurrence_C, 1)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a choice scores.

    Attributes:
        choice: that was asked.
        reduction_settings: k or beta of the reduction, as the validation classes chose it at the settings
            that they chose (see `Explorer.chosen`); it stays while k, tau and relatedness move.
        unseen, validation: figures of the test clips and of the validation clips, with the reduction.
        unreduced: figures of the test clips without it; `unseen` itself where there is none.
        prototypes_UD: composed prototypes of the unseen classes, float64 unit rows, before any reduction.
        weights_US: of the seen classes in them; rows sum to 1.
    """

    choice: Choice
    reduction_settings: dict[str, Any]
    unseen: Scored
    validation: Scored
    unreduced: Scored
    prototypes_UD: np.ndarray
    weights_US: np.ndarray


class Explorer:
    """Scores one split's clips under any settings of transfer; it holds what does not depend on them.

    Settings are chosen on validation classes: `chosen` gives what they chose. The figures of unseen classes
    are there to understand a choice by; one made by looking at them must not be reported.

    Without a reduction the scores are those of `SplitClips.fit(texts, "transfer")` with the settings asked
    for, with one those of `reduced_scores` with an inductive bank, whose k or beta stay where they were
    chosen while the settings move. Memory: 8 D bytes a training clip, twice that for each clip that is
    scored.

    Args:
        clips: the checkpoint's embeddings of the catalog.
        protocol: the split.
        texts: embedded class texts by prompt; the first is shown at first.
        sources: seen prototypes [S, D] by name beside the means of the classes' clips, such as
            {"classifier weights": classifier_weights(model)}; see `SplitClips.with_prototypes`.

    Raises:
        ValueError: no class text, a source of the name of the class means, a class without a text, the
            protocol cannot be scored (see `check_can_be_scored`), or as `SplitClips.of`,
            `SplitClips.with_prototypes` and `choose_settings`.
    """

    def __init__(
        self,
        clips: ClipEmbeddings,
        protocol: Protocol,
        texts: Mapping[str, ClassEmbeddings],
        sources: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        check_can_be_scored(protocol)
        if not texts:
            raise ValueError("texts must hold a class text at least ({prompt: class embeddings}), got none")
        if CLASS_MEANS in (sources or {}):
            raise ValueError(
                f"a source of prototypes must not be called {CLASS_MEANS!r}, which is always there"
            )
        split = SplitClips.of(clips, protocol)
        of_source = {CLASS_MEANS: split}
        of_source |= {name: split.with_prototypes(rows) for name, rows in (sources or {}).items()}
        self.clips, self.protocol = clips, protocol
        self.class_texts, self.sources = tuple(texts), tuple(of_source)
        self._prototypes = {name: of.seen_prototypes for name, of in of_source.items()}
        self._chosen = {
            (prompt, source): TransferSettings(**of.fit(text, "transfer").settings)
            for prompt, text in texts.items()
            for source, of in of_source.items()
        }
        self._related = {
            (prompt, kind): _related(text, split, kind) for prompt, text in texts.items() for kind in KINDS
        }
        train = split.train
        self._mean_D = train.embedding_BD.mean(0)
        self._unseen, self._validation = (
            _Clips.of(group, self._mean_D) for group in (split.test, split.validation)
        )
        self._train_ND = unit(train.embedding_BD).astype(float)
        scored = frozenset(split.test.ids + split.validation.ids)  # none of them may be in a bank
        self._bank_of = partial(
            QueryBank, ids=train.ids, scored_ids=scored, test_ids=frozenset(split.test.ids)
        )
        self._bank_of(np.zeros((len(train.ids), 1)), inductive_only=True)  # checked once
        self._kept = lru_cache(N_KEPT)(self._score)
        self._alone = lru_cache(1)(self._score_alone)  # another reduction has the same scores
        self._banks = lru_cache(1)(self._score_train)
        self._reduction_settings = {key: self._choose_reductions(self.chosen(*key)) for key in self._chosen}

    def chosen(self, class_text: str, source: str = CLASS_MEANS) -> Choice:
        """What validation chose for this class text and these seen prototypes, without a reduction.

        Raises:
            ValueError: no such class text or source.
        """
        self._check_names(class_text, source)
        return Choice(self._chosen[class_text, source], class_text, source)

    @property
    def clips_C(self) -> np.ndarray:
        """Test clips of each unseen class, int64 [U]."""
        return np.bincount(self._unseen.targets, minlength=len(self.protocol.unseen))

    def embeddings_of(self, ids: tuple[str, ...]) -> np.ndarray:
        """Clips in the shared space, float32 unit rows [ids, D]; ValueError when one was not embedded."""
        return self.clips.embedding_ND[self.clips.rows(ids)]

    def score(self, choice: Choice) -> Outcome:
        """The figures of a choice; those of the last choices are kept.

        Raises:
            ValueError: no such class text, source, relatedness or reduction, k or tau out of range, or as
                the reduction.
        """
        self._check(choice)
        return self._kept(choice)

    def scores(self, choice: Choice) -> np.ndarray:
        """Scores of the test clips for the unseen classes, float64 [B, U]; Raises as `score`."""
        self._check(choice)
        return self._reduced(choice)[2]

    def _score(self, choice: Choice) -> Outcome:
        alone = self._alone(replace(choice, reduction=NO_REDUCTION))
        settings, validation_BV, unseen_BU = self._reduced(choice)
        unreduced = Scored.of(alone.unseen_BU, self._unseen.targets)
        unseen = unreduced if choice.reduction == NO_REDUCTION else Scored.of(unseen_BU, self._unseen.targets)
        validation = Scored.of(validation_BV, self._validation.targets)
        return Outcome(choice, settings, unseen, validation, unreduced, alone.unseen_UD, alone.weights_US)

    def _score_alone(self, choice: Choice) -> _Alone:
        related = self._related[choice.class_text, choice.transfer.relatedness]
        weights = [transfer_weights(of_group, choice.transfer) for of_group in related]
        prototypes_SD = self._prototypes[choice.source]
        unseen_UD, validation_VD = (compose_prototypes(of_group, prototypes_SD) for of_group in weights)
        unseen_BU = _products(self._unseen.unit_BD, unit(unseen_UD))
        validation_BV = _products(self._validation.unit_BD, unit(validation_VD))
        return _Alone(weights[0], unseen_UD, validation_VD, unseen_BU, validation_BV)

    def _score_train(self, choice: Choice) -> tuple[QueryBank, QueryBank]:
        """The training clips' scores for the validation and for the unseen classes."""
        alone = self._alone(choice)
        return self._bank(alone.validation_VD), self._bank(alone.unseen_UD)

    def _bank(self, points_CD: np.ndarray) -> QueryBank:
        """The training clips' scores, those of a class side by side in memory, as reductions read them."""
        return self._bank_of(_products(unit(points_CD), self._train_ND).T)

    def _choose_reductions(self, chosen: Choice) -> dict[str, dict[str, Any]]:
        """K or beta of each reduction by the validation classes, at the settings that they chose."""
        alone = self._alone(chosen)
        bank = self._bank(alone.validation_VD)
        most = min(*bank.scores_NC.shape, len(self.protocol.unseen))
        given = most, bank, alone.validation_BV, self._validation.targets
        return {name: choose_reduction(name, *given)[0] for name in FITS}

    def _reduced(self, choice: Choice) -> tuple[dict[str, Any], np.ndarray, np.ndarray]:
        """Settings of the reduction, and the scores of validation and test clips."""
        plain = replace(choice, reduction=NO_REDUCTION)
        alone = self._alone(plain)
        if choice.reduction == NO_REDUCTION:
            return {}, alone.validation_BV, alone.unseen_BU
        if choice.reduction == "centring":
            nothing = np.zeros((0, len(self._mean_D)))
            validation_BV, unseen_BU = (
                _products(clips.centred_BD, unit(centred(nothing, points_CD, self._mean_D)[1]))
                for clips, points_CD in (
                    (self._validation, alone.validation_VD),
                    (self._unseen, alone.unseen_UD),
                )
            )
            return {}, validation_BV, unseen_BU
        validation_bank, unseen_bank = self._banks(plain)
        make = FITS[choice.reduction]
        settings = self._reduction_settings[choice.class_text, choice.source][choice.reduction]
        with ThreadPoolExecutor(N_THREADS) as threads:
            on_validation = threads.submit(lambda: make(validation_bank, **settings)(alone.validation_BV))
            fitted = make(unseen_bank, **settings)
            return settings, on_validation.result(), _apply_in_parts(fitted, alone.unseen_BU)

    def _check(self, choice: Choice) -> None:
        self._check_names(choice.class_text, choice.source)
        _check_among("relatedness", choice.transfer.relatedness, KINDS)
        _check_among("reduction", choice.reduction, REDUCTION_CHOICES)

    def _check_names(self, class_text: str, source: str) -> None:
        _check_among("the class text", class_text, self.class_texts)
        _check_among("the source of prototypes", source, self.sources)


def _check_among(what: str, got: str, allowed: Sequence[str]) -> None:
    if got not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {got!r}")


def places_on_map(
    points_UD: np.ndarray, shown_ND: np.ndarray, shown_xy: np.ndarray, n_nearest: int = N_NEAREST
) -> np.ndarray:
    """About where points lie on a map, [U, 2]: the mean place of the clips shown that are nearest by cosine.

    An approximation. UMAP lays a point near its neighbours, but not at their middle, and where these lie far
    apart the middle may be empty; its own transform of new points takes a minute to start.

    Args:
        points_UD: rows of any length above 0 in the shared space.
        shown_ND: the clips on the map, in the same space.
        shown_xy: their places, [N, 2].
        n_nearest: how many; all of them where fewer are shown.

    Raises:
        ValueError: other numbers of clips and places, no clip, or n_nearest below 1.
    """
    if not len(shown_ND) or len(shown_ND) != len(shown_xy):
        raise ValueError(
            f"a map must place each of 1 or more clips, got {len(shown_ND)} and {len(shown_xy)} places"
        )
    if n_nearest < 1:
        raise ValueError(f"n_nearest must be 1 or more (clips whose places are averaged), got {n_nearest}")
    # not nearest_neighbours: torch's threads beside those of numpy's products would take several times as
    # long
    cosine_UN, most = unit(points_UD) @ unit(shown_ND).T, min(n_nearest, len(shown_ND))
    nearest_UK = np.argpartition(-cosine_UN, most - 1, axis=1)[:, :most]
    return shown_xy[nearest_UK].mean(1)


@dataclass(frozen=True, eq=False)
class _Alone:
    """Transfer without a reduction: weights, points and scores."""

    weights_US: np.ndarray
    unseen_UD: np.ndarray
    validation_VD: np.ndarray
    unseen_BU: np.ndarray
    validation_BV: np.ndarray


@dataclass(frozen=True, eq=False)
class _Clips:
    """One group's clips ready to be compared with points: float64 unit rows, as they are and centred."""

    targets: np.ndarray
    unit_BD: np.ndarray
    centred_BD: np.ndarray

    @staticmethod
    def of(group: ClipGroup, mean_D: np.ndarray) -> _Clips:
        centred_BD, _ = centred(group.embedding_BD, mean_D[None], mean_D)
        return _Clips(group.targets, unit(group.embedding_BD).astype(float), unit(centred_BD))


def _related(text: ClassEmbeddings, split: SplitClips, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Relatedness of the unseen and of the validation classes to the seen ones, [U, S] and [V, S]."""
    text_SF = text_of(text, split.train.names)
    fitted = Relatedness.fit(text_SF, kind)
    unseen_UF, validation_VF = (text_of(text, group.names) for group in (split.test, split.validation))
    return fitted.between(unseen_UF, text_SF), fitted.between(validation_VF, text_SF)


def _products(left_XD: np.ndarray, right_YD: np.ndarray) -> np.ndarray:
    """Left @ right.T, [X, Y]; where large, two blocks of rows side by side: numpy may have one thread."""
    product_XY = np.empty((len(left_XD), len(right_YD)))
    n_blocks = N_THREADS if product_XY.size >= LARGE else 1
    blocks = (np.array_split(rows, n_blocks) for rows in (left_XD, product_XY))
    with ThreadPoolExecutor(n_blocks) as threads:
        list(threads.map(lambda block, out: np.matmul(block, right_YD.T, out=out), *blocks))
    return product_XY


def _apply_in_parts(reduction: Reduce, scores_BC: np.ndarray) -> np.ndarray:
    """The reduction of blocks of clips side by side, each of which needs only its own scores and the bank."""
    reduced_BC = np.empty(scores_BC.shape)

    def apply(block_BC: np.ndarray, out_BC: np.ndarray) -> None:
        out_BC[:] = reduction(block_BC)

    with ThreadPoolExecutor(N_THREADS) as threads:
        list(threads.map(apply, *(np.array_split(rows, N_THREADS) for rows in (scores_BC, reduced_BC))))
    return reduced_BC
