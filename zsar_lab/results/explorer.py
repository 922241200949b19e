"""What transfer would score under other settings, from embedded clips, fast enough to move a slider.

Shapes: B clips to score, N training clips, S seen, U unseen, V validation classes, C candidate classes (U or
V), D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.clips import SplitClips, text_of
from zsar_lab.methods.hubness_reduction import FITS, QueryBank, centred, choose_reduction
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
class GroupScore:
    """Figures of one group's clips, its classes alone being candidates.

    Attributes:
        top1: share of right clips, 0..1; a tie with the true class is wrong, as in `truth_rank`.
        mean_class: mean over the classes of that share.
        top1_C: that share of each class; 0 for a class without clips.
        occurrence_C: N_1, how many clips are predicted as each class, int64; ties go to the first class.
    """

    top1: float
    mean_class: float
    top1_C: np.ndarray
    occurrence_C: np.ndarray

    @staticmethod
    def of(scores_BC: np.ndarray, targets: np.ndarray) -> GroupScore:
        """Of scores, larger is nearer, and the true classes 0..C - 1; Raises as `truth_rank`."""
        right, n_classes = truth_rank(scores_BC, targets) == 1, scores_BC.shape[1]
        clips_C, right_C, occurrence_C = (
            np.bincount(rows, minlength=n_classes) for rows in (targets, targets[right], scores_BC.argmax(1))
        )
        share_C, mean = right_C / np.maximum(clips_C, 1), mean_over_classes(right, targets)
        return GroupScore(float(right.mean()), mean, share_C, occurrence_C)

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
    unseen: GroupScore
    validation: GroupScore
    unreduced: GroupScore
    prototypes_UD: np.ndarray
    weights_US: np.ndarray


class _Group(NamedTuple):
    """Transfer without a reduction on the clips of one group: weights, points and scores."""

    weights_CS: np.ndarray
    points_CD: np.ndarray
    scores_BC: np.ndarray


class Explorer:
    """Scores one split's clips under any settings of transfer; it holds what does not depend on them.

    Settings are chosen on validation classes: `chosen` gives what they chose. The figures of unseen classes
    are there to understand a choice by; one made by looking at them must not be reported.

    Without a reduction the scores are those of `SplitClips.fit(texts, "transfer")` with the settings asked
    for, with one those of `reduced_scores` with an inductive bank, whose k or beta stay where they were
    chosen while the settings move. Memory: 8 D bytes a clip, twice that for each clip that is scored.

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
        if not texts or CLASS_MEANS in (sources or {}):
            got = f"{len(texts)} texts, sources {', '.join(sources or {}) or 'none'}"
            raise ValueError(f"needs a class text, and sources not called {CLASS_MEANS!r}, got {got}")
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
        self._groups = {"unseen": split.test, "validation": split.validation}
        self._related = {}
        for prompt, text in texts.items():
            seen_SF = text_of(text, protocol.seen)
            for kind in KINDS:
                between = Relatedness.fit(seen_SF, kind).between
                for name, group in self._groups.items():
                    self._related[prompt, kind, name] = between(text_of(text, group.names), seen_SF)
        self._mean_D = split.train.embedding_BD.mean(0)
        self._unit = {name: unit(group.embedding_BD).astype(float) for name, group in self._groups.items()}
        self._centred = {
            name: unit(centred(group.embedding_BD, self._mean_D[None], self._mean_D)[0])
            for name, group in self._groups.items()
        }
        self._train, self._train_ND = split.train, unit(split.train.embedding_BD).astype(float)
        self._kept = lru_cache(N_KEPT)(self._score)
        self._alone = lru_cache(2)(self._score_alone)  # another reduction has the same scores
        self._banks = lru_cache(2)(self._score_train)
        self._reduction_settings = {key: self._choose_reductions(self.chosen(*key)) for key in self._chosen}

    def chosen(self, class_text: str, source: str = CLASS_MEANS) -> Choice:
        """What validation chose for this class text and these seen prototypes, without a reduction.

        Raises:
            ValueError: no such class text or source.
        """
        _check_among("the class text", class_text, self.class_texts)
        _check_among("the source of prototypes", source, self.sources)
        return Choice(self._chosen[class_text, source], class_text, source)

    @property
    def clips_C(self) -> np.ndarray:
        """Test clips of each unseen class, int64 [U]."""
        return np.bincount(self._groups["unseen"].targets, minlength=len(self.protocol.unseen))

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
        return self._reduced(choice, "unseen")

    def _check(self, choice: Choice) -> None:
        self.chosen(choice.class_text, choice.source)
        _check_among("relatedness", choice.transfer.relatedness, KINDS)
        _check_among("reduction", choice.reduction, REDUCTION_CHOICES)

    def _score(self, choice: Choice) -> Outcome:
        plain = replace(choice, reduction=NO_REDUCTION)
        unseen, validation = (
            GroupScore.of(self._reduced(choice, name), group.targets) for name, group in self._groups.items()
        )
        unreduced = unseen if choice == plain else self._kept(plain).unseen
        alone = self._alone(plain, "unseen")
        settings = self._settings(choice)
        return Outcome(choice, settings, unseen, validation, unreduced, alone.points_CD, alone.weights_CS)

    def _settings(self, choice: Choice) -> dict[str, Any]:
        return self._reduction_settings[choice.class_text, choice.source].get(choice.reduction, {})

    def _score_alone(self, choice: Choice, name: str) -> _Group:
        related = self._related[choice.class_text, choice.transfer.relatedness, name]
        weights_CS = transfer_weights(related, choice.transfer)
        points_CD = compose_prototypes(weights_CS, self._prototypes[choice.source])
        return _Group(weights_CS, points_CD, self._unit[name] @ unit(points_CD).T)

    def _score_train(self, choice: Choice, name: str) -> QueryBank:
        """The training clips' scores, those of a class side by side in memory, as reductions read them."""
        scores_NC = (unit(self._alone(choice, name).points_CD) @ self._train_ND.T).T
        scored, test = self._groups[name].ids, self._groups["unseen"].ids
        return QueryBank(scores_NC, self._train.ids, scored, test, inductive_only=True)

    def _choose_reductions(self, chosen: Choice) -> dict[str, dict[str, Any]]:
        """K or beta of each reduction by the validation classes, at the settings that they chose."""
        bank, alone = self._banks(chosen, "validation"), self._alone(chosen, "validation")
        most = min(*bank.scores_NC.shape, len(self.protocol.unseen))
        given = most, bank, alone.scores_BC, self._groups["validation"].targets
        return {name: choose_reduction(name, *given)[0] for name in FITS}

    def _reduced(self, choice: Choice, name: str) -> np.ndarray:
        """Scores of one group's clips."""
        plain = replace(choice, reduction=NO_REDUCTION)
        alone = self._alone(plain, name)
        if choice == plain:
            return alone.scores_BC
        if choice.reduction == "centring":
            nothing = np.zeros((0, len(self._mean_D)))
            return self._centred[name] @ unit(centred(nothing, alone.points_CD, self._mean_D)[1]).T
        return FITS[choice.reduction](self._banks(plain, name), **self._settings(choice))(alone.scores_BC)


def _check_among(what: str, got: str, allowed: Sequence[str]) -> None:
    if got not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {got!r}")


def places_on_map(points_UD: np.ndarray, shown_ND: np.ndarray, shown_xy: np.ndarray) -> np.ndarray:
    """About where points lie on a map, [U, 2]: the mean place of the five nearest clips by cosine.

    An approximation. UMAP lays a point near its neighbours, but not at their middle, and where these lie far
    apart the middle may be empty; its own transform of new points takes a minute to start.

    Args:
        points_UD: rows of any length above 0 in the shared space.
        shown_ND: the clips on the map, in the same space.
        shown_xy: their places, [N, 2].

    Raises:
        ValueError: other numbers of clips and places, or no clip.
    """
    if not len(shown_ND) or len(shown_ND) != len(shown_xy):
        raise ValueError(f"a map needs clips and as many places, got {len(shown_ND)} and {len(shown_xy)}")
    # numpy's own threads: torch's beside them would take several times as long
    cosine_UN, most = unit(points_UD) @ unit(shown_ND).T, min(N_NEAREST, len(shown_ND))
    nearest_UK = np.argpartition(-cosine_UN, most - 1, axis=1)[:, :most]
    return shown_xy[nearest_UK].mean(1)
