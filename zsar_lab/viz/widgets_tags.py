"""The part of the error widget that tags clips and scores a split without the tagged ones."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from zsar_lab.data.catalog import Catalog
from zsar_lab.results.evaluate import SplitResult
from zsar_lab.results.tags import KINDS, Tag, Tags, score_without
from zsar_lab.viz.clips import GREY, message_box
from zsar_lab.viz.figures.style import labels_of
from zsar_lab.viz.selections import tags_html
from zsar_lab.viz.widgets import said_or_shown


class TagPanel:
    """Tag the clip that is chosen, or take its tag away; below, the score without tagged clips, and all tags.

    Args:
        catalog: gives classes and labels.
        tags: where they are kept.
        on_change: called after a tag was saved or removed; it calls `show`.
    """

    def __init__(self, catalog: Catalog, tags: Tags, on_change: Callable[[], None]) -> None:
        self._labels, self._tags, self._on_change = labels_of(catalog), tags, on_change
        self._class_of = dict(zip(catalog.clips["id"], catalog.clips["class"]))
        self._clip: str | None = None
        self._split, self._result, self._method = "", None, ""
        style = {"description_width": "60px"}
        self._kind = ipywidgets.ToggleButtons(
            options=KINDS, description="tag as", style=style | {"button_width": "110px"}
        )
        self._note = ipywidgets.Text(
            description="note", placeholder="why", style=style, layout={"width": "min(420px, 100%)"}
        )
        self._tag = ipywidgets.Button(
            description="Tag", button_style="primary", tooltip="save this tag of the chosen clip"
        )
        self._remove = ipywidgets.Button(
            description="Remove tag", tooltip="take the tag of the chosen clip away"
        )
        self._left_out = [
            ipywidgets.Checkbox(value=True, description=kind, indent=False, layout={"width": "120px"})
            for kind in KINDS
        ]
        self._message, self._chosen, self._score, self._list = (
            ipywidgets.HTML(layout={"width": "98%"}) for _ in range(4)
        )
        wrap = {"flex_flow": "row wrap"}
        row = ipywidgets.HBox([self._kind, self._note, self._tag, self._remove], layout=wrap)
        leave_out = ipywidgets.HBox(
            [ipywidgets.Label("score without clips tagged"), *self._left_out], layout=wrap
        )
        self.box = ipywidgets.VBox([self._chosen, row, self._message, leave_out, self._score, self._list])
        self.box.add_class("zsar-tag-panel")
        self._tag.on_click(lambda _: self._attempt(self._on_tag))
        self._remove.on_click(lambda _: self._attempt(self._on_remove))
        for box in self._left_out:
            box.observe(lambda _: self._attempt(self._show), "value")

    def kinds(self) -> dict[str, str]:
        """The kind of each tagged clip; when the file cannot be read, that is said in the panel and there are none."""
        found: dict[str, str] = {}
        self._attempt(lambda: found.update(self._tags.kinds()))
        return found

    def show(self, split: str, result: SplitResult, method: str, clip: str | None) -> None:
        """Show the tags, the score of this split and method without them, and make ready to tag this clip (None: no clip is chosen)."""
        self._split, self._result, self._method = split, result, method
        self.choose(clip)
        self._attempt(self._show)

    def choose(self, clip: str | None) -> None:
        """Make ready to tag this clip, or none."""
        self._clip = clip
        self._tag.disabled = self._remove.disabled = clip is None
        text = "Choose a clip above to tag it." if clip is None else f"Tag {clip}:"
        self._chosen.value = message_box(text, "transparent")

    def _on_tag(self) -> None:
        clip = self._clip or ""
        self._tags.add(
            Tag(
                clip,
                self._class_of.get(clip, ""),
                self._split,
                self._method,
                self._kind.value,
                self._note.value,
            )
        )
        self._note.value = ""
        self._on_change()

    def _on_remove(self) -> None:
        self._tags.remove(self._clip or "")
        self._on_change()

    def _show(self) -> None:
        table = self._tags.table()
        kind_of = dict(zip(table["clip"], table["kind"], strict=True))
        kinds = [box.description for box in self._left_out if box.value]
        sentence = score_without(self._result, self._method, kind_of, kinds).sentence()
        self._score.value = message_box(sentence, GREY)
        self._list.value = tags_html(table, self._labels, self._tags.path)

    def _attempt(self, action: Callable[[], None]) -> None:
        said_or_shown(action, self._message)
