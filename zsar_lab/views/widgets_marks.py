"""The part of the error widget that marks clips and scores a draw without the marked ones."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from zsar_lab.data.catalog import Catalog
from zsar_lab.views.clips import GREY, message_box
from zsar_lab.views.figures_style import labels_of
from zsar_lab.views.selections import marks_html
from zsar_lab.views.widgets import said_or_shown
from zsar_lab.zeroshot.evaluate import DrawResult
from zsar_lab.zeroshot.marks import KINDS, Mark, Marks, score_without


class MarkPanel:
    """Mark the clip that is chosen, or take its mark away; below, the score without marked clips, and all marks.

    Args:
        catalog: gives classes and labels.
        marks: where they are kept.
        on_change: called after a mark was saved or removed; it calls `show`.
    """

    def __init__(self, catalog: Catalog, marks: Marks, on_change: Callable[[], None]) -> None:
        self._labels, self._marks, self._on_change = labels_of(catalog), marks, on_change
        self._class_of = dict(zip(catalog.clips["id"], catalog.clips["class"]))
        self._clip: str | None = None
        self._draw, self._result, self._rule = "", None, ""
        style = {"description_width": "60px"}
        self._kind = ipywidgets.ToggleButtons(options=KINDS, description="mark as", style=style | {"button_width": "110px"})
        self._note = ipywidgets.Text(description="note", placeholder="why", style=style, layout={"width": "min(420px, 100%)"})
        self._mark = ipywidgets.Button(description="Mark", button_style="primary", tooltip="save this mark of the chosen clip")
        self._remove = ipywidgets.Button(description="Remove mark", tooltip="take the mark of the chosen clip away")
        self._left_out = [ipywidgets.Checkbox(value=True, description=kind, indent=False, layout={"width": "120px"}) for kind in KINDS]
        self._message, self._chosen, self._score, self._list = (ipywidgets.HTML(layout={"width": "98%"}) for _ in range(4))
        wrap = {"flex_flow": "row wrap"}
        row = ipywidgets.HBox([self._kind, self._note, self._mark, self._remove], layout=wrap)
        leave_out = ipywidgets.HBox([ipywidgets.Label("score without clips marked"), *self._left_out], layout=wrap)
        self.box = ipywidgets.VBox([self._chosen, row, self._message, leave_out, self._score, self._list])
        self.box.add_class("zsar-mark-panel")
        self._mark.on_click(lambda _: self._attempt(self._on_mark))
        self._remove.on_click(lambda _: self._attempt(self._on_remove))
        for box in self._left_out:
            box.observe(lambda _: self._attempt(self._show), "value")

    def kinds(self) -> dict[str, str]:
        """The kind of each marked clip; when the file cannot be read, that is said in the panel and there are none."""
        found: dict[str, str] = {}
        self._attempt(lambda: found.update(self._marks.kinds()))
        return found

    def show(self, draw: str, result: DrawResult, rule: str, clip: str | None) -> None:
        """Show the marks, the score of this draw and rule without them, and make ready to mark this clip (None: no clip is chosen)."""
        self._draw, self._result, self._rule = draw, result, rule
        self.choose(clip)
        self._attempt(self._show)

    def choose(self, clip: str | None) -> None:
        """Make ready to mark this clip, or none."""
        self._clip = clip
        self._mark.disabled = self._remove.disabled = clip is None
        text = "Choose a clip above to mark it." if clip is None else f"Mark {clip}:"
        self._chosen.value = message_box(text, "transparent")

    def _on_mark(self) -> None:
        clip = self._clip or ""
        self._marks.add(Mark(clip, self._class_of.get(clip, ""), self._draw, self._rule, self._kind.value, self._note.value))
        self._note.value = ""
        self._on_change()

    def _on_remove(self) -> None:
        self._marks.remove(self._clip or "")
        self._on_change()

    def _show(self) -> None:
        table = self._marks.table()
        kind_of = dict(zip(table["clip"], table["kind"], strict=True))
        kinds = [box.description for box in self._left_out if box.value]
        sentence = score_without(self._result, self._rule, kind_of, kinds).sentence()
        self._score.value = message_box(sentence, GREY)
        self._list.value = marks_html(table, self._labels, self._marks.path)

    def _attempt(self, action: Callable[[], None]) -> None:
        said_or_shown(action, self._message)
