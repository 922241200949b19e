"""One split with all its classes as candidates: held-out clips of seen classes and clips of unseen ones, under several methods.

Shapes: B clips, the seen ones first; C candidate classes, the seen ones first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.fitted import TRANSFER, ClipGroup, FittedMethod, TextMethods
from zsar_lab.methods.scores import MethodScores, nearest_scores
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.generalised import (
    MEAN_CLASS,
    MICRO,
    GeneralisedScore,
    SeenUnseenCurve,
    choose_constant,
    generalised_score,
    seen_unseen_curve,
)
from zsar_lab.results.predictions import halves

AVERAGE_OF = {
    "micro": MICRO,
    "mean_class": MEAN_CLASS,
}  # the average of a protocol, as generalised.py names it

ScoresOf = Callable[[ClipGroup], np.ndarray]


@dataclass(frozen=True, eq=False)
class GeneralisedScores:
    """One method on the held-out seen clips and the test clips of a split, with seen and unseen classes as candidates.

    Attributes:
        method, class_text, settings: what was scored; the settings are those of the method with unseen
            candidates alone.
        names: the candidates, S seen ones first.
        n_seen: S.
        scores_BC: larger is nearer, nothing taken off yet.
        targets: index of each clip's class in `names`.
        constants: two, to be taken off the seen classes' scores, each chosen with one half of the held-out
            seen clips.
        half_B: which of them each clip is scored with, 0 or 1; that of a seen clip was chosen with the other
            half.
        average: of the accuracies, "micro" or "mean class".
    """

    method: str
    class_text: str
    settings: dict[str, Any] = field(repr=False)
    names: tuple[str, ...] = field(repr=False)
    n_seen: int
    scores_BC: np.ndarray = field(repr=False)
    targets: np.ndarray = field(repr=False)
    constants: tuple[float, float]
    half_B: np.ndarray = field(repr=False)
    average: str

    @property
    def is_seen_C(self) -> np.ndarray:
        """Which candidates are seen classes."""
        return np.arange(len(self.names)) < self.n_seen

    @property
    def calibrated_BC(self) -> np.ndarray:
        """The scores with each clip's constant taken off the seen classes."""
        return np.where(
            self.is_seen_C, self.scores_BC - np.array(self.constants)[self.half_B][:, None], self.scores_BC
        )

    @property
    def plain(self) -> GeneralisedScore:
        """S, U and H with nothing taken off."""
        return generalised_score(self.scores_BC, self.targets, self.is_seen_C, 0.0, self.average)

    @property
    def calibrated(self) -> GeneralisedScore:
        """S, U and H with the constants taken off; its `constant` is 0, for they are in the scores already."""
        return generalised_score(self.calibrated_BC, self.targets, self.is_seen_C, 0.0, self.average)

    @property
    def curve(self) -> SeenUnseenCurve:
        """S against U at every constant, on the test clips."""
        return seen_unseen_curve(self.scores_BC, self.targets, self.is_seen_C, self.average)


def score_generalised(
    scores_of: ScoresOf, about: MethodScores, clips: ClipEmbeddings, protocol: Protocol
) -> GeneralisedScores:
    """Score a method with all classes of a split as candidates.

    A constant is chosen by H on held-out clips of seen classes, with clips of the validation classes in the
    place of unseen ones and those classes as candidates in theirs. The held-out seen clips are the ones that
    S is of, too. So they are cut in two: a constant is chosen with each half, and a clip is scored with the
    one chosen without it. Clips of unseen classes are cut alike; nothing is chosen on them.

    Args:
        scores_of: from clips of seen classes and others (`names`, the seen ones first) to their scores of
            these classes.
        about: the method with unseen candidates alone.
        clips: the checkpoint's embeddings of the catalog.
        protocol: the split; its `average` is that of S and U.

    Raises:
        ValueError: a clip was not embedded, or fewer than two seen clips are held out.
    """
    if len(protocol.seen_test_clips) < 2:
        raise ValueError(
            f"a generalised score needs 2 held-out clips of seen classes (one chooses the constant for the other), protocol {protocol.name!r} has"
            f" {len(protocol.seen_test_clips)}; make the protocol with a larger seen_test_share and train on it"
        )
    average = AVERAGE_OF[protocol.average]
    beside, tested = (
        ClipGroup.of(clips, protocol.seen_test_clips + ids, protocol.seen + names)
        for ids, names in (
            (protocol.validation_clips, protocol.validation),
            (protocol.test_clips, protocol.unseen),
        )
    )
    n_seen = len(protocol.seen)
    half_B = halves(tested.targets)
    of_seen = np.arange(len(beside.targets)) < len(protocol.seen_test_clips)
    half_of_seen = np.append(half_B[: of_seen.sum()], np.zeros((~of_seen).sum(), dtype=np.int64))
    scores_BC, is_seen_C = scores_of(beside), np.arange(len(beside.names)) < n_seen
    chosen = []
    for half in (0, 1):
        rows = ~of_seen | (half_of_seen != half)
        chosen.append(choose_constant(scores_BC[rows], beside.targets[rows], is_seen_C, average).constant)
    return GeneralisedScores(
        about.method,
        about.class_text,
        about.settings,
        tested.names,
        n_seen,
        scores_of(tested),
        tested.targets,
        tuple(chosen),
        half_B,
        average,
    )


def with_seen(fitted: FittedMethod, text_methods: TextMethods) -> ScoresOf:
    """A method that reads class texts, with seen classes among the candidates: those stand at the measured prototypes under transfer."""
    if fitted.method != TRANSFER:
        return fitted.scores
    n_seen = len(text_methods.train.names)

    def scores(group: ClipGroup) -> np.ndarray:
        others = ClipGroup(group.names[n_seen:], group.ids, group.embedding_BD, group.targets)
        return np.concatenate(
            [nearest_scores(group.embedding_BD, text_methods.seen_prototypes), fitted.scores(others)], axis=1
        )

    return scores
