"""The map of the shared space to point at, click on and draw around; selected clips play beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import pandas as pd
import traitlets

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.table import LABELS
from zsar_lab.results.predictions import Predictions
from zsar_lab.viz.clips import message_box
from zsar_lab.viz.explanations import clip_html, method_options
from zsar_lab.viz.figures import space as figures
from zsar_lab.viz.figures.picture import image
from zsar_lab.viz.figures.space import COLOURINGS, MOST_NAMES, Look
from zsar_lab.viz.figures.style import BLUE, GREY, ORANGE, labels_of, unlike
from zsar_lab.viz.projection import ALL, SEEN, SpaceMap, warning_of
from zsar_lab.viz.widgets import Panel, row, sides
from zsar_lab.viz.widgets.clip_grid import ClickedGrid

FITTED = {ALL: "all clips", SEEN: "seen classes"}
# each kind of prototype: where it is on a SpaceMap, whose it is, and how it is drawn
MARKS = (
    ("seen_text_xy", "seen", Look("texts of seen classes", GREY, "square-open", 7)),
    ("seen_xy", "seen", Look("seen prototypes", GREY, "diamond", 7)),
    ("unseen_text_xy", "unseen", Look("texts of unseen classes", BLUE, "square", 8)),
    ("true_xy", "unseen", Look("true unseen prototypes", ORANGE, "star", 14)),
    ("composed_xy", "unseen", Look("composed unseen prototypes", BLUE, "x", 10)),
)


class SpaceCanvas(anywidget.AnyWidget):
    """What space_canvas.js draws; it sets the rows that are selected.

    Attributes:
        xy: float32 [N, 2] of the clips, as bytes.
        look_of: uint16 [N], which of `looks` each clip has, as bytes.
        looks: of clips, then of prototypes (these with "marks"), as `Look`.
        texts: what is shown beside each clip that is pointed at.
        marks: prototypes and texts: x, y, name, look, whether the name is written, and the clips that a click
            on it selects.
        lines: float32 [U, 4], from composed to true prototype, as bytes.
        selected: uint32, the clips ringed, as bytes; set by both sides.
        version: rises when all the others are set.
    """

    _esm = Path(__file__).with_name("space_canvas.js")
    figure: Any = None  # a function that gives the same as a figure

    def picture(self) -> str:
        """A picture of it, see `zsar_lab.viz.widgets.static`."""
        return image(self.figure())

    xy = traitlets.Bytes().tag(sync=True)
    look_of = traitlets.Bytes().tag(sync=True)
    looks: Any = traitlets.List().tag(sync=True)
    texts: Any = traitlets.List().tag(sync=True)
    marks: Any = traitlets.List().tag(sync=True)
    lines = traitlets.Bytes().tag(sync=True)
    selected = traitlets.Bytes().tag(sync=True, from_json=lambda content, _: bytes(content))
    version = traitlets.Int().tag(sync=True)


@dataclass(frozen=True)
class Explored:
    """What is chosen: method, colouring, map (by what it was fitted on), class ("" for none), clips, text."""

    method: str
    colour_by: str = "group"
    fitted_on: str = ALL
    name: str = ""
    rows: tuple[int, ...] = ()
    query: str = ""  # a text searched for; "" for none


class SpaceExplorer(Panel):
    """Draw a lasso around clips, click on one or on a prototype, or choose a class; clips play beside it.

    Pointing at a clip, by mouse or arrow keys, shows its class, and its prediction with the margin. A clip
    that is clicked beside the map grows, with what it was predicted as and why. A text that is typed ranks
    the clips on the map.

    Args:
        space: a map of the split, of `shared_space_map`; or several of the same clips, fitted on all and on
            seen ones.
        catalog: of the clips.
        predictions: of the split.
        method: the one chosen at first.
        find: from a text to clips with their score, the nearest first, as `zl.search` gives all of them; None
            for no search.

    Attributes:
        selected_ids: the ids of the clips last selected.
        canvas: the drawing.

    Raises:
        ValueError: a map is of another split, or two are of other clips or fitted alike.
        KeyError: the method was not scored.
    """

    def __init__(
        self,
        space: SpaceMap | Sequence[SpaceMap],
        catalog: Catalog,
        predictions: Predictions,
        method: str = "transfer",
        find: Callable[[str], pd.DataFrame] | None = None,
    ) -> None:
        maps = [space] if isinstance(space, SpaceMap) else list(space)
        if not maps or len({one.fitted_on for one in maps}) < len(maps) or len({one.ids for one in maps}) > 1:
            fitted = ", ".join(f"{one.fitted_on!r} of {len(one.ids)}" for one in maps) or "none"
            raise ValueError(f"maps must be of the same clips, each fitted in another way, got {fitted}")
        super().__init__("zsar-space", Explored(method, fitted_on=maps[0].fitted_on))
        self._maps = {one.fitted_on: one for one in maps}
        self._catalog, self._predictions, self._find = catalog, predictions, cache(find) if find else None
        self._points = figures.points_on_map(maps[0], predictions, method)
        self.selected_ids: tuple[str, ...] = ()
        self.canvas = SpaceCanvas()
        self.canvas.observe(self._on_selected, "selected")
        self.canvas.figure = self._figure
        self.grid = ClickedGrid()
        self.grid.observe(lambda _: self.attempt(self._explain), "chosen")
        self._drawn: tuple[str, ...] = ()
        controls = [
            self.dropdown("method", "method", "260px"),
            self.dropdown("colour_by", "colour by", "270px", 70),
            self.dropdown("name", "class", "360px", query=""),
            self.dropdown("fitted_on", "fitted on", "210px"),
        ]
        pages = self.page("message"), self.page("about")
        search = [self.search_field("message", name="")] if find else []
        self.lay_out(
            row(*controls[: 3 + (len(maps) > 1)]),
            row(*search),
            *pages,
            sides([self.canvas], [self.page("clips"), self.grid]),
        )
        self.offer("method", method_options(predictions))
        self.offer("colour_by", [(text, name) for name, text in COLOURINGS.items()])
        classes = list(dict.fromkeys(maps[0].classes))
        options = sorted(zip(unlike(labels_of(catalog), classes), classes), key=lambda one: one[0].casefold())
        self.offer("name", [("—", ""), *options])
        self.offer("fitted_on", [(FITTED[name], name) for name in self._maps])
        self.choose()

    def show(self) -> None:
        """Draw what is mapped, its points where they are others, and the selected clips."""
        space, state = self._maps[self.state.fitted_on], self.state
        if state.name:
            self.state = state = replace(state, rows=self._rows_of(space, state.name))
        drawn = state.fitted_on, state.method, state.colour_by
        if self._drawn != drawn:
            self._points = figures.points_on_map(space, self._predictions, state.method)
            self._show_points(space)
            self._drawn = drawn
        fitted, warning = ", fitted on seen classes" * (space.fitted_on == SEEN), warning_of(space)
        kept = f"{100 * space.kept.mean():.0f} % of the 10 nearest kept"
        trust = f"trustworthiness {space.trustworthiness:.2f}, {kept}"
        about = message_box(f"{space.about}, {self._catalog.name}{fitted}; {trust}", GREY)
        self.html["about"].value = about + (message_box(f"⚠ {warning}") if warning else "")
        if state.query and self._find:
            found = figures.found_on_map(self._find(state.query), self._points)
            self.state = state = replace(self.state, rows=tuple(found.index))
            shown = figures.show_found(found, self._catalog, state.query, len(self._points))
        else:
            shown = figures.select(self._points, self._catalog, state.rows, LABELS[state.method])
        self.selected_ids, self.html["clips"].value, grid = shown
        with self.quietly():
            self.grid.draw(grid, -1)
        self._ring()

    def _figure(self) -> Any:
        state, catalog = self.state, self._catalog
        space, given = self._maps[state.fitted_on], {"predictions": self._predictions, "method": state.method}
        return figures.shared_space(space, catalog, state.colour_by, **given)

    def _explain(self) -> None:
        """Beside the clip that was clicked, what it was predicted as and why, where it was scored."""
        if self._quiet:
            return
        clip = self.selected_ids[self.grid.chosen] if self.grid.chosen >= 0 else ""
        given = self._catalog, self._predictions, self.state.method, clip
        scored = clip in self._predictions.ids()
        self.grid.why = clip_html(*given, with_video=False) if scored else ""

    def _show_points(self, space: SpaceMap) -> None:
        given = self.state.colour_by, self._points, LABELS[self.state.method]
        looks, look_N = figures.colouring(space, self._catalog, *given)
        canvas, texts = self.canvas, figures.hover_texts(self._points, labels_of(self._catalog))
        of_marks = [
            asdict(look) | {"marks": True, "ends": kind in ("true_xy", "composed_xy")}
            for kind, _, look in MARKS
        ]
        with canvas.hold_sync():
            canvas.xy = space.clips_xy.astype(np.float32).tobytes()
            canvas.look_of = look_N.astype(np.uint16).tobytes()
            canvas.looks, canvas.texts = [asdict(look) for look in looks] + of_marks, texts
            ends = [space.composed_xy, space.true_xy] if len(space.composed_xy) else [np.zeros((0, 4))]
            canvas.lines = np.hstack(ends).astype(np.float32).tobytes()
            canvas.marks = self._marks(space, len(looks))
            canvas.version += 1

    def _marks(self, space: SpaceMap, first_look: int) -> list[dict[str, Any]]:
        """Prototypes and texts; of each kind from left to right."""
        labels, written, found = labels_of(self._catalog), len(space.unseen) <= MOST_NAMES, []
        for look, (kind, group, _) in enumerate(MARKS, first_look):
            names, xy = getattr(space, group), getattr(space, kind)
            for i in np.argsort(xy[:, 0], kind="stable"):
                mark = {"x": float(xy[i, 0]), "y": float(xy[i, 1]), "look": look, "name": labels[names[i]]}
                mark["written"] = kind == "composed_xy" and written
                found.append(mark | {"clips": self._rows_of(space, names[i])})
        return found

    @staticmethod
    def _rows_of(space: SpaceMap, name: str) -> tuple[int, ...]:
        return tuple(number for number, of_class in enumerate(space.classes) if of_class == name)

    def _on_selected(self, change: Any) -> None:
        if not self._quiet:
            rows = tuple(np.frombuffer(change["new"], np.uint32).tolist())
            try:
                self.attempt(lambda: self.choose(rows=rows, name="", query=""))
            finally:  # after a failure the clips before are ringed again
                self._ring()

    def _ring(self) -> None:
        with self.quietly():
            self.canvas.selected = np.array(self.state.rows, np.uint32).tobytes()
