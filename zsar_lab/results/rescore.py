"""A class text was edited: score the split again from embedded clips, and see which classes gained or lost.

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
from zsar_lab.methods.metrics import truth_rank
from zsar_lab.methods.table import LABELS
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.evaluate import check_can_be_scored
from zsar_lab.results.statistics import Comparison, accuracy, compare
from zsar_lab.results.summary import settings_as_text
from zsar_lab.text.embeddings import ClassEmbeddings

VALIDATION, UNSEEN = "validation", "unseen"
WARNINGS = {
    VALIDATION: "The settings were chosen on these same clips, so both figures flatter; with so few classes a"
    " wrong text may gain, too.",
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

    @cached_property
    def rows(self) -> pd.DataFrame:
        """Label and rank of each clip."""
        label = np.array(self.names, dtype=object)[self.targets]
        return pd.DataFrame({"label": label, "rank": truth_rank(self.scores_BC, self.targets)})

    @property
    def top1(self) -> float:
        """Share of right clips, 0..1."""
        return accuracy(self.rows)

    @property
    def scored(self) -> str:
        """What was scored, in words."""
        classes = f"{len(self.names)} {self.on} classes"
        return f"Method {LABELS[self.method]} on {len(self.targets)} clips of {classes}"


@dataclass(frozen=True, eq=False)
class TextChange:
    """The same clips under the same method with class texts before and after an edit."""

    before: TextScore
    after: TextScore

    @cached_property
    def comparison(self) -> Comparison:
        """Top-1 after less before."""
        return compare(self.after.rows, self.before.rows)

    def table(self) -> pd.DataFrame:
        """A row a class, the one that gained most first.

        Returns:
            Columns class, clips, before_%, after_%, change_points, gained_clips (wrong before, right after),
            lost_clips (the reverse).
        """
        before, after = (one.rows["rank"] == 1 for one in (self.before, self.after))
        right = pd.DataFrame({"class": self.before.rows["label"], "before_%": before, "after_%": after})
        right = right.assign(gained_clips=after & ~before, lost_clips=before & ~after)
        grouped = right.groupby(pd.Categorical(right.pop("class"), self.before.names), observed=True)
        counts, shares = (
            grouped[["gained_clips", "lost_clips"]].sum(),
            grouped[["before_%", "after_%"]].mean(),
        )
        table = pd.concat([grouped.size().rename("clips"), 100.0 * shares], axis=1)
        table["change_points"] = 100 * (counts @ [1, -1]) / table["clips"]
        table = table.join(counts).rename_axis("class").reset_index().astype({"class": object})
        return table.sort_values("change_points", ascending=False, kind="stable", ignore_index=True)

    def summary(self) -> str:
        """Score before and after, their difference with its interval, and what may be claimed."""
        found, claim = self.comparison, "no difference can be claimed"
        if found.p <= 0.05:
            claim = f"the texts {'after' if found.difference > 0 else 'before'} score higher here"
        return (
            f"{self.before.scored}: from {100 * self.before.top1:.1f} % to {100 * self.after.top1:.1f} %,"
            f" {100 * found.difference:+.1f} points, 95 % interval"
            f" [{100 * found.low:+.1f}, {100 * found.high:+.1f}]: {claim}"
        )

    def settings(self) -> str:
        """The settings of both scores, chosen for each by itself."""
        before, after = (settings_as_text(score.settings) for score in (self.before, self.after))
        return f"settings {before}" if before == after else f"settings were {before} and are {after}"

    def sentence(self) -> str:
        """One line: the summary, the settings, which classes gained and lost, and what not to do with it."""
        change = self.table().set_index("class")["change_points"]
        gained, lost = (
            ", ".join(f"{name} {points:+.1f}" for name, points in of.items()) or "none"
            for of in (change[change > 0], change[change < 0][::-1])
        )
        return (
            f"{self.summary()}; {self.settings()}. Gained: {gained}; lost: {lost}. {WARNINGS[self.before.on]}"
        )


class Rescorer:
    """Scores any class texts on a split's embedded clips; it holds what does not depend on the texts.

    `clips` are the checkpoint's embeddings of the catalog. ValueError when a clip of the protocol was not
    embedded, or as `check_can_be_scored`.
    """

    def __init__(self, clips: ClipEmbeddings, protocol: Protocol) -> None:
        check_can_be_scored(protocol)
        self.protocol = protocol
        self._split = SplitClips.of(clips, protocol)

    def score(self, texts: ClassEmbeddings, method: str = "transfer", on: str = VALIDATION) -> TextScore:
        """Score class texts by a method that needs nothing else of the model.

        On "unseen" the scores are those of `evaluate_split`. On "validation" the settings are chosen on the
        very clips scored, so the figure flatters: use it to compare texts, never as a result. Edit texts by
        validation; unseen classes that a text was chosen by are not unseen any more.

        Args:
            texts: embedded class texts of the seen and validation classes, and of the unseen ones when they
                are scored.
            method: one of TEXT_METHODS.
            on: "validation" or "unseen": whose clips are scored, with these classes as candidates.

        Raises:
            ValueError: no such method or `on`, or a class has no text.
        """
        if on not in WARNINGS:
            raise ValueError(f"on must be 'validation' or 'unseen' (whose clips are scored), got {on!r}")
        fitted = self._split.fit(texts, method)
        group = self._split.validation if on == VALIDATION else self._split.test
        scores_BC = fitted.scores(group)
        return TextScore(method, fitted.prompt, on, fitted.settings, scores_BC, group.targets, group.names)

    def compare(
        self, before: ClassEmbeddings, after: ClassEmbeddings, method: str = "transfer", on: str = VALIDATION
    ) -> TextChange:
        """Score both texts on the same clips, each with settings of its own; Raises as `score`."""
        return TextChange(self.score(before, method, on), self.score(after, method, on))
