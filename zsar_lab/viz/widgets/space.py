"""The map of the shared space to point at, click on and split around: what is selected plays below it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import numpy as np
import traitlets

from zsar_lab.data.catalog import Catalog
from zsar_lab.results.evaluate import TRANSFER, SplitResult
from zsar_lab.viz.clips import message_box
from zsar_lab.viz.figures.style import GREEN, GREY, PURPLE, VERMILLION, labels_of
from zsar_lab.viz.map_points import (
    COLOURINGS,
    Look,
    answers_on_map,
    colouring,
    middle_frame,
    opened,
    said_of_clips,
    select,
)
from zsar_lab.viz.projection import ALL, SEEN, SpaceMap, warning_of
from zsar_lab.viz.widgets import visibly
from zsar_lab.viz.widgets_large import LargeMap

MOST_ON_CANVAS = 50_000  # clips
MOST_WRITTEN = 40  # names beside prototypes
FITTED = {ALL: "all clips", SEEN: "seen classes"}
NO_CLASS = "—", ""  # as an option; of None the list would show nothing
STYLE = "<style>.zsar-space .widget-html-content{min-width:0}</style>"  # else wide clip grids would be cut, not wrapped
# each kind of prototype: where it is on a SpaceMap, whose it is, and how it is drawn
MARKS = (
    ("seen_text_xy", "seen", Look("texts of seen classes", GREY, "square-open", 7)),
    ("seen_xy", "seen", Look("seen prototypes", GREY, "diamond", 7)),
    ("unseen_text_xy", "unseen", Look("texts of unseen classes", PURPLE, "square", 8)),
    ("true_xy", "unseen", Look("true unseen prototypes", GREEN, "star", 14)),
    ("composed_xy", "unseen", Look("composed unseen prototypes", VERMILLION, "x", 10)),
)


class SpaceCanvas(anywidget.AnyWidget):
    """The state that space_canvas.js splits; what it tells arrives as messages.

    Attributes:
        xy: float32 [N, 2] of the clips, as bytes; look_of: uint16 [N], which of `looks` each has.
        looks: of clips, then of prototypes (these with "marks"), as `map_points.Look`.
        said: what stands beside each clip that is pointed at.
        marks: prototypes and texts: x, y, name, look, whether the name is written, and the clips that a click
            on it selects.
        lines: float32 [U, 4], from composed to true prototype, as bytes.
        selected: uint32, the clips ringed, as bytes.
        version: rises when all the others are set.
    """

    _esm = Path(__file__).with_name("space_canvas.js")
    xy = traitlets.Bytes().tag(sync=True)
    look_of = traitlets.Bytes().tag(sync=True)
    looks = traitlets.List().tag(sync=True)
    said = traitlets.List().tag(sync=True)
    marks = traitlets.List().tag(sync=True)
    lines = traitlets.Bytes().tag(sync=True)
    selected = traitlets.Bytes().tag(sync=True)
    version = traitlets.Int().tag(sync=True)


def space_explorer(
    space: SpaceMap | Sequence[SpaceMap], catalog: Catalog, result: SplitResult, method: str = TRANSFER
) -> ipywidgets.VBox:
    """Split a lasso around clips on the map, or click on one, on a prototype or choose a class; the clips selected play below.

    Pointing at a clip says its class, how the method answered it with which margin, and shows the frame in
    its middle. A click on a prototype selects the clips of its class. `box.selected_ids`, the ids of the
    clips last selected, can be read in a later cell. A failure is shown in the box, and raised.

    Args:
        space: a map of the split, of projection.shared_space_map; or several of the same clips, fitted on all
            and on seen ones, to change between. One of more than 50,000 clips is drawn by jupyter-scatter
            (zsar_lab[large]).
        catalog: of the clips.
        result: the split.
        method: the one chosen at first.

    Raises:
        ValueError: a map is of another split, two are of other clips or fitted alike, or there is no such
            method.
        ImportError: a map of more than 50,000 clips, and jupyter-scatter is not installed.
    """
    maps = [space] if isinstance(space, SpaceMap) else list(space)
    if not maps or len({one.fitted_on for one in maps}) < len(maps) or len({one.ids for one in maps}) > 1:
        fitted = ", ".join(f"{one.fitted_on!r} of {len(one.ids)}" for one in maps) or "none"
        raise ValueError(
            f"maps to change between must be of the same clips, each fitted in its own way, got {fitted}; make them with one max_clips and seed"
        )
    return _Explorer(maps, catalog, result, method).box


class _Explorer:
    """The widgets, and what is selected."""

    def __init__(self, maps: Sequence[SpaceMap], catalog: Catalog, result: SplitResult, method: str) -> None:
        space = maps[0]
        self._maps, self._space, self._catalog, self._result = (
            {one.fitted_on: one for one in maps},
            space,
            catalog,
            result,
        )
        self._answers = answers_on_map(space, result, method)
        self._rows: list[int] = []
        classes = [NO_CLASS, *_class_options(space, catalog)]
        style = {"description_width": "60px"}
        self._method = ipywidgets.Dropdown(
            options=[scored.method for scored in result.methods],
            value=method,
            description="method",
            style=style,
            layout={"width": "260px"},
        )
        colours = [(text, name) for name, text in COLOURINGS.items()]
        self._colour = ipywidgets.Dropdown(
            options=colours,
            description="colour by",
            style={"description_width": "70px"},
            layout={"width": "270px"},
        )
        self._class = ipywidgets.Dropdown(
            options=classes, description="class", style=style, layout={"width": "min(360px, 100%)"}
        )
        self._fitted = ipywidgets.Dropdown(
            options=[(FITTED[name], name) for name in self._maps],
            description="fitted on",
            style=style,
            layout={"width": "210px"},
        )
        self._about, self._drawing = ipywidgets.HTML(), ipywidgets.Box(layout={"display": "block"})
        self._message, self._clips = (
            ipywidgets.HTML(layout={"width": "98%"}),
            ipywidgets.HTML(layout={"width": "98%"}),
        )
        self._large: LargeMap | None = None
        self.canvas = None if len(space.ids) > MOST_ON_CANVAS else SpaceCanvas()
        self._show_map()
        if self.canvas is not None:
            self.canvas.on_msg(self._on_message)
        self._method.observe(lambda _: visibly(self._on_method, self._message), "value")
        self._colour.observe(lambda _: visibly(self._colour_points, self._message), "value")
        self._class.observe(self._on_class, "value")
        self._fitted.observe(lambda _: visibly(self._on_fitted, self._message), "value")
        switch = [self._fitted] if len(self._maps) > 1 else []
        choices = ipywidgets.HBox(
            [self._method, self._colour, self._class, *switch], layout={"flex_flow": "row wrap"}
        )
        shown = self.canvas if self.canvas is not None else self._drawing
        self.box = ipywidgets.VBox([choices, self._about, shown, self._message, self._clips])
        self.box.add_class("zsar-space")
        self._open([])

    # what happens

    def _on_message(self, _: Any, content: dict[str, Any], buffers: Sequence[Any]) -> None:
        if content["kind"] == "picture":
            return self._send_picture(content["clip"])
        try:
            self._open_visibly(np.frombuffer(buffers[0], np.uint32).tolist())
        finally:
            self.canvas.send({"kind": "opened", "number": content["number"]})

    def _open_visibly(self, rows: list[int]) -> None:
        self._choose_no_class()
        visibly(lambda: self._open(rows), self._message)

    def _on_class(self, change: dict[str, Any]) -> None:
        if change["new"]:
            visibly(lambda: self._open(self._rows_of(change["new"])), self._message)

    def _on_method(self) -> None:
        self._answers = answers_on_map(self._space, self._result, self._method.value)
        self._colour_points()
        self._open(self._rows)

    def _on_fitted(self) -> None:
        self._space = self._maps[self._fitted.value]
        self._show_map()
        self._open(self._rows)

    def _choose_no_class(self) -> None:
        """So that the class chosen before can be chosen again."""
        self._class.unobserve(self._on_class, "value")
        self._class.value = NO_CLASS[1]
        self._class.observe(self._on_class, "value")

    def _open(self, rows: list[int]) -> None:
        selection = select(self._space, self._catalog, self._answers, rows)
        self._rows, self.box.selected_ids = list(rows), selection.ids
        if self.canvas is not None:
            self.canvas.selected = np.array(rows, np.uint32).tobytes()
        self._clips.value = opened(self._space, self._catalog, self._answers, selection)

    def _send_picture(self, row: int) -> None:
        """The frame in the middle of a clip, or why there is none."""
        try:
            frame = middle_frame(self._catalog, self._space.ids[row])
        except (ValueError, OSError) as error:
            self.canvas.send({"kind": "picture", "clip": row, "text": f"no picture: {error}"})
            return
        size = {"height": frame.shape[0], "width": frame.shape[1]}
        self.canvas.send({"kind": "picture", "clip": row, **size}, [np.ascontiguousarray(frame).tobytes()])

    # what is shown

    def _show_map(self) -> None:
        self._about.value = STYLE + _about(self._space, self._catalog)
        if self.canvas is None:
            marks = [(look, getattr(self._space, kind)) for kind, _, look in MARKS]
            before, self._large = self._large, LargeMap(self._space.clips_xy, marks, self._open_visibly)
            self._drawing.children = (self._large.box,)
            if before is not None:
                before.close()
        self._colour_points()

    def _colour_points(self) -> None:
        looks, look_N = colouring(self._space, self._catalog, self._colour.value, self._answers)
        said = said_of_clips(self._space, self._catalog, self._answers)
        if self.canvas is None:
            self._large.show(looks, look_N, said)
            return
        space, canvas = self._space, self.canvas
        of_marks = [
            asdict(look) | {"marks": True, "ends": kind in ("true_xy", "composed_xy")}
            for kind, _, look in MARKS
        ]
        with canvas.hold_sync():
            canvas.xy, canvas.look_of = (
                space.clips_xy.astype(np.float32).tobytes(),
                look_N.astype(np.uint16).tobytes(),
            )
            canvas.looks, canvas.said = [asdict(look) for look in looks] + of_marks, said
            canvas.lines = np.hstack([space.composed_xy, space.true_xy]).astype(np.float32).tobytes()
            canvas.marks = self._marks(len(looks))
            canvas.version += 1

    def _marks(self, first_look: int) -> list[dict[str, Any]]:
        """Prototypes and texts; of each kind from left to right."""
        labels, written, found = labels_of(self._catalog), len(self._space.unseen) <= MOST_WRITTEN, []
        for number, (kind, group, _) in enumerate(MARKS):
            names, xy = getattr(self._space, group), getattr(self._space, kind)
            for i in np.argsort(xy[:, 0], kind="stable"):
                place = {
                    "x": float(xy[i, 0]),
                    "y": float(xy[i, 1]),
                    "look": first_look + number,
                    "clips": self._rows_of(names[i]),
                }
                found.append(place | {"name": labels[names[i]], "written": kind == "composed_xy" and written})
        return found

    def _rows_of(self, name: str) -> list[int]:
        return [row for row, of_class in enumerate(self._space.classes) if of_class == name]


def _class_options(space: SpaceMap, catalog: Catalog) -> list[tuple[str, str]]:
    """Label and name of each class on the map, by label; equal labels are made unlike."""
    labels = labels_of(catalog)
    times = Counter(labels.values())
    shown = [
        (labels[name] if times[labels[name]] == 1 else f"{labels[name]} [{name}]", name)
        for name in dict.fromkeys(space.classes)
    ]
    return sorted(shown, key=lambda pair: pair[0].casefold())


def _about(space: SpaceMap, catalog: Catalog) -> str:
    """Html: what is mapped, and a warning where the map cannot be trusted."""
    fitted = ", fitted on seen classes" if space.fitted_on == SEEN else ""
    trusted = (
        f"trustworthiness {space.trustworthiness:.2f}, {100 * space.kept.mean():.0f} % of the 10 nearest kept"
    )
    said = f"{space.about}, {catalog.name}{fitted}; {trusted}"
    warning = warning_of(space)
    return message_box(said, GREY) + (message_box(f"⚠ {warning}") if warning else "")
