"""Which clips of a split are right under a convention: some of the clips, halves of the classes, other candidates, other test views.

Shapes: B test clips, C candidate classes, D width of the shared space.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.metrics import truth_rank
from zsar_lab.methods.scores import MethodScores, nearest_scores
from zsar_lab.protocols.splits import half_split
from zsar_lab.results.evaluate import SplitResult
from zsar_lab.results.many_splits import score_splits

FEWEST_TO_HALVE = 4


@dataclass(frozen=True, eq=False)
class Answers:
    """What one split's score is made of.

    Attributes:
        right: whether each clip is right, or the share of right clips of each class.
        classes: number of the class of each, the same for a class in all splits.
        n_candidates: how many classes a clip was scored against.
        n_clips: how many clips were scored.
    """

    right: np.ndarray
    classes: np.ndarray
    n_candidates: int
    n_clips: int

    @property
    def top1(self) -> float:
        """Mean of `right`, 0..1."""
        return float(self.right.mean())

    def by_class(self) -> Answers:
        """The share of right clips of each class that has clips, instead of the clips."""
        n = np.bincount(self.classes)
        shares = np.bincount(self.classes, weights=self.right)[n > 0] / n[n > 0]
        return Answers(shares, np.flatnonzero(n), self.n_candidates, self.n_clips)


@dataclass(frozen=True, eq=False)
class ScoredSplit:
    """A split with one method's scores.

    Attributes:
        result: of the split.
        clips: the embeddings it was scored from.
        scored: the method's scores of the test clips.
        numbers: of its unseen classes, the same for a class in all splits.
    """

    result: SplitResult
    clips: ClipEmbeddings
    scored: MethodScores
    numbers: np.ndarray

    def answers(self, scores_BC: np.ndarray | None = None, kept: np.ndarray | slice = slice(None)) -> Answers:
        """The answers of these scores (by default the method's own) on the kept clips; columns after those of the unseen classes are rivals only."""
        scores, targets = (
            (self.scored.scores_BC if scores_BC is None else scores_BC)[kept],
            self.result.targets[kept],
        )
        return Answers(truth_rank(scores, targets) == 1, self.numbers[targets], scores.shape[1], len(targets))

    def listed(self, name: str, ids: Collection[str]) -> Answers:
        """Only the clips of an official test list; ValueError when it has none of this split."""
        kept = np.array([clip in ids for clip in self.result.ids])
        if not kept.any():
            protocol = self.result.protocol.name
            raise ValueError(
                f"an official test list must hold clips of every split, {name!r} has none of {protocol!r}; give ids of this catalog"
            )
        return self.answers(kept=kept)

    def last_third(self) -> Answers:
        """Only the last third (at least one) of each class's clips in the order of their ids."""
        ids, targets = np.array(self.result.ids), self.result.targets
        of_classes = (np.flatnonzero(targets == c) for c in np.unique(targets))
        kept = [rows[np.argsort(ids[rows])][-max(1, len(rows) // 3) :] for rows in of_classes]
        return self.answers(kept=np.sort(np.concatenate(kept)))

    def halves(self, order: Sequence[str], n_seeds: int) -> list[Answers]:
        """Half of the unseen classes by each of the published seeds, counted in this order of their names; see `half_split`."""
        unseen = self.result.protocol.unseen
        columns = np.array([unseen.index(name) for name in order])
        splits = [columns[half_split(len(unseen), seed)] for seed in range(n_seeds)]
        scored = score_splits({self.scored.method: self.scored.scores_BC}, self.result.targets, splits)
        found = (scored.clips_of(self.scored.method, number) for number in range(n_seeds))
        return [
            Answers(right, self.numbers[targets], len(split), len(right))
            for (right, targets), split in zip(found, splits, strict=True)
        ]

    def among_all(self) -> Answers:
        """The clips by their nearest prototype among the composed ones of unseen and those of seen classes (generalised)."""
        prototypes = self.result.prototypes
        return self._nearest(self.clips, np.concatenate([prototypes["composed"], prototypes["seen"]]))

    def seen_by(self, name: str, clips: ClipEmbeddings) -> Answers:
        """The clips embedded under other views, by their nearest composed prototype.

        Raises:
            ValueError: they are of another checkpoint, or lack a clip.
        """
        own, other = self.result.fingerprints["checkpoint"], clips.about.get("checkpoint")
        if other != own:
            raise ValueError(
                f"other views must be embedded by the split's own checkpoint, {own}, {name!r} is of {other}; embed them with it"
            )
        return self._nearest(clips, self.result.prototypes["composed"])

    def _nearest(self, clips: ClipEmbeddings, prototypes_CD: np.ndarray) -> Answers:
        return self.answers(nearest_scores(clips.embedding_ND[clips.rows(self.result.ids)], prototypes_CD))
