"""The widget that compares two methods or two models clip by clip: which of them is right where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets
import pandas as pd
from markupsafe import Markup

from zsar_lab.data.catalog import Catalog
from zsar_lab.results.predictions import Predictions
from zsar_lab.viz import explanations
from zsar_lab.viz.clips import Caption, clip_grid, message_box, render
from zsar_lab.viz.figures.style import labels_of, unlike
from zsar_lab.viz.widgets import Panel, row
from zsar_lab.viz.widgets.clip_grid import ClickedGrid

PER_PAGE = 24
ONLY_A, ONLY_B, BOTH, NEITHER = "only A right", "only B right", "both right", "both wrong"


@dataclass(frozen=True)
class Compared:
    """The two sides, each a name of the predictions and a method, and which clips are shown."""

    a: tuple[str, str]
    b: tuple[str, str]
    outcome: str = ONLY_A  # or ONLY_B, BOTH, NEITHER
    name: str = ""  # the true class; "" for all
    page: int = 0
    clip: str = ""  # the id of one on the page


class ClipComparison(Panel):
    """Choose two methods, of one model or of two; see the clips that both, one or neither predict rightly.

    Only clips that both predict are compared. A clip that is clicked grows, beside it the best classes of
    both.

    Args:
        catalog: of the clips.
        predictions: of a split, by the name of the model.
        a: the first side at first, a name of `predictions` and a method; the first one when None.
        b: the other side; the second one when None.

    Attributes:
        table: a row a compared clip, see `compared`.
        clips: the rows that are on the page.

    Raises:
        ValueError: no predictions.
        KeyError: a side that is not there, or a method that was not scored.
    """

    def __init__(
        self,
        catalog: Catalog,
        predictions: Mapping[str, Predictions],
        a: tuple[str, str] | None = None,
        b: tuple[str, str] | None = None,
    ) -> None:
        self._predictions, self._catalog, self._labels = dict(predictions), catalog, labels_of(catalog)
        self._sides = [
            (f"{name}: {label}" if len(predictions) > 1 else label, (name, method))
            for name, of_model in predictions.items()
            for label, method in explanations.method_options(of_model)
        ]
        if not self._sides:
            raise ValueError("predictions must be of at least one model, got none")
        first, *others = [side for _, side in self._sides]
        a, b = a or first, b or [*others, first][0]
        for name, method in (a, b):
            self._predictions[name].find(method)
        super().__init__("zsar-comparison", Compared(a, b))
        self.table = self.clips = pd.DataFrame()
        self.grid = ClickedGrid()
        self.grid.observe(lambda _: self.attempt(self._on_clip), "chosen")
        anew: dict[str, Any] = {"page": 0, "clip": ""}
        choices = row(
            self.dropdown("a", "A", "340px", 20, **anew),
            self.dropdown("b", "B", "340px", 20, **anew),
            self.dropdown("name", "class", "340px", **anew),
        )
        style = {"button_width": "170px"}
        outcome = self.control("outcome", ipywidgets.ToggleButtons(options=[ONLY_A], style=style), **anew)
        pages = self.page("message"), self.page("shown")
        self.lay_out(choices, row(outcome, *self.page_buttons()), *pages, self.grid)
        self.choose()

    def _on_clip(self) -> None:
        if not self._quiet and self.grid.chosen < len(self.clips):
            self.choose(clip="" if self.grid.chosen < 0 else self.clips["clip"].iloc[self.grid.chosen])

    def show(self) -> None:
        """Compare the two sides, and play the clips of the outcome and class."""
        self.offer("a", self._sides)
        self.offer("b", self._sides)
        sides = [(self._predictions[name], method) for name, method in (self.state.a, self.state.b)]
        tables = [explanations.clip_table(*side) for side in sides]
        self.table = compared(*tables)
        classes = sorted(set(self.table["label"]), key=lambda name: self._labels[name].casefold())
        self.offer("name", [("all classes", ""), *zip(unlike(self._labels, classes), classes)])
        of_class = self.table[self.table["label"].eq(self.state.name) | (self.state.name == "")]
        counts = of_class["outcome"].value_counts()
        outcomes = (ONLY_A, ONLY_B, BOTH, NEITHER)
        self.offer("outcome", [(f"{outcome} ({counts.get(outcome, 0)})", outcome) for outcome in outcomes])
        found = of_class[of_class["outcome"] == self.state.outcome]
        place = self.turn(len(found), PER_PAGE)
        self.clips = found[place : place + PER_PAGE]
        self.html["shown"].value = message_box(self._sentence(of_class, found, tables, place), "transparent")
        captions = [Caption(self._lines(clip)) for _, clip in self.clips.iterrows()]
        ids, clip = self.clips["clip"].tolist(), self.state.clip
        why = self._why(clip) if clip in ids else ""
        with self.quietly():
            grid = clip_grid(self._catalog, ids, captions)
            self.grid.draw(grid, ids.index(clip) if clip in ids else -1, why)

    def _why(self, clip: str) -> str:
        """Html: the best classes of a clip by both sides, beside each other."""
        found = Markup()
        for side, (name, method) in (("A", self.state.a), ("B", self.state.b)):
            best = explanations.candidates(self._predictions[name], method, clip)
            rows = best.assign(label=[self._labels[one] for one in best["name"]]).to_dict("records")
            title = f"{side}: {dict((key, text) for text, key in self._sides)[name, method]}"
            table = render("clip.html", video="", candidates=rows, columns=[], other_method="")
            found += Markup("<div style='flex:1 1 260px'><b>{}</b>{}</div>").format(title, table)
        return Markup("<div style='display:flex;flex-wrap:wrap;gap:24px'>{}</div>").format(found)

    def _lines(self, clip: pd.Series) -> tuple[str, ...]:
        """The caption: the true class, and for each side its prediction and margin."""
        lines = [self._labels[clip["label"]]]
        for side, end in (("A", "_a"), ("B", "_b")):
            named, sign = self._labels[clip[f"prediction{end}"]], "✓" if clip[f"right{end}"] else "✗"
            lines.append(f"{side} {sign} {named} {clip[f'margin{end}']:+.3f}")
        return tuple(lines)

    def _sentence(
        self, of_class: pd.DataFrame, found: pd.DataFrame, tables: list[pd.DataFrame], place: int
    ) -> str:
        """The top-1 of both sides on the clips that both predict, and which of them are shown."""
        shares = ", ".join(f"{side} {100 * of_class[f'right_{side.lower()}'].mean():.1f} %" for side in "AB")
        said = (
            f"On {len(of_class)} clips: {shares} right." if len(of_class) else "No clip is predicted by both."
        )
        if left_out := sum(len(table) - len(self.table) for table in tables):
            said += f" {left_out} clips that only one of them predicts are left out."
        if len(found):
            said += (
                f" Shown are {place + 1} to {place + len(self.clips)} of {len(found)}: {self.state.outcome}"
            )
            said += ", those with the most different margins first."
        return said


def compared(a: pd.DataFrame, b: pd.DataFrame) -> pd.DataFrame:
    """The clips that are in both of two `clip_table`s, those with the most different margins first.

    Returns:
        Columns clip, label, outcome, and of each side (_a, _b) prediction, right and margin.
    """
    columns = ["clip", "label", "prediction", "right", "margin"]
    table = a[columns].merge(b[columns], on=["clip", "label"], suffixes=("_a", "_b"))
    names = {(True, True): BOTH, (True, False): ONLY_A, (False, True): ONLY_B, (False, False): NEITHER}
    table["outcome"] = [names[pair] for pair in zip(table["right_a"], table["right_b"])]
    apart = (table["margin_a"] - table["margin_b"]).abs().sort_values(ascending=False, kind="stable")
    return table.loc[apart.index].reset_index(drop=True)
