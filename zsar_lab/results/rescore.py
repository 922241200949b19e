"""A class text was edited: score the split again at once from the clips already embedded, and say which classes gained and lost.

Shapes: B clips, C candidate classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.methods.clips import SplitClips
from zsar_lab.methods.metrics import top_k_accuracy, truth_rank
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.evaluate import check_can_be_scored
from zsar_lab.results.statistics import paired_difference
from zsar_lab.results.summary import settings_as_text
from zsar_lab.text.embeddings import ClassEmbeddings

VALIDATION, UNSEEN = "validation", "unseen"
WARNINGS = {
    VALIDATION: "The settings were chosen on these same clips, so both figures flatter; with so few classes a wrong text may gain, too.",
    UNSEEN: "A text chosen by looking at unseen classes must not be reported.",
}


@dataclass(frozen=True, eq=False)
class TextScore:
    """One method with one set of class texts on the clips of the validation or the unseen classes.

    Attributes:
        method, prompt: what was scored.
        on: "validation" or "unseen".
        settings: what was chosen on the validation classes.
        scores_BC: larger is nearer; the candidates are the classes of `on` alone.
        targets: index of each clip's class in `names`.
        names: the candidate classes.
    """

    method: str
    prompt: str
    on: str
    settings: dict[str, Any]
    scores_BC: np.ndarray
    targets: np.ndarray
    names: tuple[str, ...]

    @property
    def scored(self) -> str:
        """What was scored, in words."""
        return f"Method {self.method} on {len(self.targets)} clips of {len(self.names)} {self.on} classes"

    @property
    def top1(self) -> float:
        """Share of clips named rightly, 0..1."""
        return top_k_accuracy(self.scores_BC, self.targets, 1)

    @property
    def correct(self) -> np.ndarray:
        """Which clips were named rightly, bool [B]."""
        return truth_rank(self.scores_BC, self.targets) == 1


@dataclass(frozen=True, eq=False)
class TextChange:
    """The same clips under the same method with class texts before and after an edit.

    Raises:
        ValueError: the scores are of two methods, or not of the same clips.
    """

    before: TextScore
    after: TextScore

    def __post_init__(self) -> None:
        first, second = self.before, self.after
        same = (first.method, first.on, first.names) == (second.method, second.on, second.names)
        if not same or not np.array_equal(first.targets, second.targets):
            got = " and ".join(
                f"{score.method} on {len(score.targets)} {score.on} clips" for score in (first, second)
            )
            raise ValueError(
                f"a change of texts must be of one method on the same clips, got {got}; use Rescorer.compare"
            )

    @cached_property
    def difference(self) -> tuple[float, tuple[float, float]]:
        """Top-1 after less before, with its class-bootstrap 95 % interval (fractions)."""
        classes = [self.before.names[target] for target in self.before.targets]
        return paired_difference(self.after.correct, self.before.correct, classes)

    def table(self) -> pd.DataFrame:
        """A row a class, the one that gained most first.

        Returns:
            Columns class, clips, before_%, after_%, change_points, gained_clips (wrong before, right after),
            lost_clips (the reverse).
        """
        before, after, targets, names = (
            self.before.correct,
            self.after.correct,
            self.before.targets,
            self.before.names,
        )
        clips, right_before, right_after, gained, lost = (
            np.bincount(targets[chosen], minlength=len(names))
            for chosen in (slice(None), before, after, after & ~before, before & ~after)
        )
        share = 100 / np.maximum(clips, 1)
        content = {
            "class": names,
            "clips": clips,
            "before_%": share * right_before,
            "after_%": share * right_after,
        }
        content |= {"change_points": share * (gained - lost), "gained_clips": gained, "lost_clips": lost}
        return pd.DataFrame(content).sort_values(
            "change_points", ascending=False, kind="stable", ignore_index=True
        )

    @property
    def gained(self) -> tuple[str, ...]:
        """Classes whose top-1 rose, the largest gain first."""
        table = self.table()
        return tuple(table["class"][table["change_points"] > 0])

    @property
    def lost(self) -> tuple[str, ...]:
        """Classes whose top-1 fell, the largest loss first."""
        table = self.table()[::-1]
        return tuple(table["class"][table["change_points"] < 0])

    def summary(self) -> str:
        """Score before and after, their difference with its interval, and what may be claimed."""
        difference, (low, high) = self.difference
        claim = (
            "the texts after score higher here"
            if low > 0
            else "the texts before score higher here"
            if high < 0
            else "no difference can be claimed"
        )
        return (
            f"{self.before.scored}: from {100 * self.before.top1:.1f} % to {100 * self.after.top1:.1f} %, {100 * difference:+.1f} points, 95 % interval"
            f" [{100 * low:+.1f}, {100 * high:+.1f}]: {claim}"
        )

    def settings(self) -> str:
        """The settings of both scores, chosen for each by itself."""
        before, after = (settings_as_text(score.settings) for score in (self.before, self.after))
        return f"settings {before}" if before == after else f"settings were {before} and are {after}"

    def sentence(self) -> str:
        """One line: the summary, the settings, which classes gained and lost by how many points, and what the figures are not good for."""
        change = self.table().set_index("class")["change_points"]
        gained, lost = (
            ", ".join(f"{name} {change[name]:+.1f}" for name in names) or "none"
            for names in (self.gained, self.lost)
        )
        return (
            f"{self.summary()}; {self.settings()}. Gained: {gained}; lost: {lost}. {WARNINGS[self.before.on]}"
        )


class Rescorer:
    """Scores any class texts on a split's embedded clips; made once a split, it holds what does not depend on the texts.

    Args:
        clips: the checkpoint's embeddings of the catalog.
        protocol: the split.

    Raises:
        ValueError: a clip of the protocol was not embedded, or the protocol cannot be scored, see
            `check_can_be_scored`.
    """

    def __init__(self, clips: ClipEmbeddings, protocol: Protocol) -> None:
        check_can_be_scored(protocol)
        self.protocol = protocol
        self._methods = SplitClips.of(clips, protocol)

    def score(self, texts: ClassEmbeddings, method: str = "transfer", on: str = VALIDATION) -> TextScore:
        """Score class texts by a method that needs nothing else of the model.

        On "unseen" the scores are those of `evaluate_split`. On "validation" the settings are chosen on the
        very clips scored, so the figure flatters: use it to compare texts, never as a result. Texts are
        edited by validation; by the time one looks at unseen classes to choose a text, they are not unseen.

        Args:
            texts: embedded class texts of the seen and validation classes, and of the unseen ones when they
                are scored.
            method: one of TEXT_METHODS, "transfer", "direct, ridge" or "direct, ridge centred".
            on: "validation" or "unseen": whose clips are scored, with these classes as candidates.

        Raises:
            ValueError: no such method or `on`, or a class has no text.
        """
        if on not in WARNINGS:
            raise ValueError(f"on must be 'validation' or 'unseen' (whose clips are scored), got {on!r}")
        if not isinstance(texts, ClassEmbeddings):
            raise ValueError(
                f"texts must be embedded class texts, got a {type(texts).__name__}; give workspace.embed(text)"
            )
        fitted = self._methods.fit(texts, method)
        group = self._methods.validation if on == VALIDATION else self._methods.test
        return TextScore(
            method, fitted.prompt, on, fitted.settings, fitted.scores(group), group.targets, group.names
        )

    def compare(
        self, before: ClassEmbeddings, after: ClassEmbeddings, method: str = "transfer", on: str = VALIDATION
    ) -> TextChange:
        """Score both texts on the same clips, each with settings of its own; Raises as `score`."""
        return TextChange(self.score(before, method, on), self.score(after, method, on))
