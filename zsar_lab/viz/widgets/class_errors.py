"""The widget of class errors: from the accuracy of each class to playing clips, reasons, and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.tags import KINDS, Tags, score_without
from zsar_lab.viz import explanations
from zsar_lab.viz.clips import GREY, clip_grid, message_box, render
from zsar_lab.viz.figures import classes as figures
from zsar_lab.viz.figures.style import labels_of, redraw, unlike
from zsar_lab.viz.widgets import Panel, row, sides, wide
from zsar_lab.viz.widgets.clip_grid import ClickedGrid
from zsar_lab.viz.widgets.figures import as_widget, heading

PER_PAGE, CLIP_PX = 24, 92
ANY, WRONG, RIGHT, AS = "any", "wrong", "right", "as "  # predictions shown: all of them, or those as a class
EVERY_CLASS = ""


@dataclass(frozen=True)
class Chosen:
    """The split, method and unseen class, and which clips are shown: each filter leaves out more."""

    split: str
    method: str
    name: str = EVERY_CLASS
    prediction: str = ANY  # or "wrong", "right", "as NAME"
    margins: tuple[float, float] = (-np.inf, np.inf)  # the least and the largest shown
    order: str = explanations.MARGIN  # one of ORDERS
    page: int = 0
    clip: str = ""  # the id of one on the page


class ClassErrors(Panel):
    """Choose a split, a method and an unseen class; see its predictions, texts, prototypes and playing clips.

    A bar chooses a class, a cell a class and a prediction; class, prediction and margin filter together. A
    clip that is clicked grows, beside it its best classes and, with embeddings, the seen classes that drew it
    to the true and to the rival class.

    Args:
        catalog: of the clips.
        predictions: the splits by name, as workspace.predictions gives them.
        method: the one chosen at first.
        clips: the embeddings of the splits by name, as workspace.embeddings gives them; of a split without
            them no examples are shown.
        tags: where tags on clips are saved; None to tag none.

    Attributes:
        clips: rows of `explanations.clip_table` that are on the page.
        figures: the widgets "bars" and "confusion".

    Raises:
        ValueError: no split, or embeddings of another checkpoint than the split's.
        KeyError: the method was not scored.
    """

    def __init__(
        self,
        catalog: Catalog,
        predictions: Mapping[str, Predictions],
        method: str = "transfer",
        clips: Mapping[str, ClipEmbeddings] | None = None,
        tags: Tags | None = None,
    ) -> None:
        if not predictions:
            raise ValueError("predictions must be of at least one split, got none")
        for split in (clips or {}).keys() & predictions.keys():
            explanations.check_scored_on(predictions[split], (clips or {})[split])
        super().__init__("zsar-class-errors", Chosen(next(iter(predictions)), method))
        next(iter(predictions.values())).find(method)
        self._limits = (-np.inf, np.inf)
        self._catalog, self._predictions, self._embeddings = catalog, dict(predictions), dict(clips or {})
        self._labels = labels_of(catalog)
        self._tags: Any = tags
        self._class_of = dict(zip(catalog.clips["id"], catalog.clips["class"]))
        self._tables: dict[tuple[str, str], pd.DataFrame] = {}
        self._drawn: tuple[object, ...] = ()
        self.clips = pd.DataFrame()
        self.figures: dict[str, Any] = {}
        self._make()

    # the controls

    def _make(self) -> None:
        anew: dict[str, Any] = {"prediction": ANY, "page": 0}
        choices = row(
            self.dropdown("split", "split", "220px", **anew),
            self.dropdown("method", "method", "270px", **anew),
            self.dropdown("name", "class", "380px", **anew),
        )
        margins = ipywidgets.FloatRangeSlider(
            description="margin", step=0.01, readout_format=".2f", continuous_update=False, **wide("400px")
        )
        of_clips = row(
            self.dropdown("prediction", "prediction", "300px", 70, page=0),
            self.control("margins", margins, page=0),
            self.dropdown("order", "order", "300px", 50, page=0),
            *self.page_buttons(),
        )
        self.grid = ClickedGrid()
        self.grid.observe(lambda _: self.attempt(self._on_clip), "chosen")
        for name in ("message", "bars", "confusion", "texts", "shown"):
            self.page(name)
        tagging, tags = ([], []) if self._tags is None else self._tagging()
        self.offer("split", list(self._predictions))
        self.choose(name=self._table.index[0])
        chart = [part for name in ("bars", "confusion") for part in (self.html[name], self.figures[name])]
        clips = [of_clips, self.html["shown"], *tagging, self.grid]
        chart.append(self.html["texts"])
        self.lay_out(choices, self.html["message"], sides(chart, clips), *tags)

    def _tagging(self) -> tuple[list[ipywidgets.Widget], list[ipywidgets.Widget]]:
        """The controls for tagging a clip; and the score without tagged ones, with a list of all."""
        kind = self.controls["kind"] = ipywidgets.ToggleButtons(
            options=KINDS, style={"button_width": "100px"}
        )
        note = self.field("note", "note", "", "260px", 40, placeholder="why")
        tag = self.button("tag", "Tag", self._on_tag, "tag_message", primary=True)
        remove = self.button("remove_tag", "Remove tag", self._on_remove_tag, "tag_message")
        left_out = []
        for name in KINDS:
            box = ipywidgets.Checkbox(value=True, description=name, indent=False, layout={"width": "120px"})
            box.observe(lambda _: self.attempt(self._show_tags, "tag_message"), "value")
            self.controls[f"without {name}"] = box
            left_out.append(box)
        without = row(ipywidgets.Label("score without clips tagged"), *left_out)
        tagging = [self.page("tag_clip"), row(kind, note, tag, remove), self.page("tag_message")]
        return tagging, [without, self.page("score"), self.page("tags")]

    # what a user does

    def _on_bar(self, x: Any, _: Any) -> None:
        self._choose_clips(self.figures["bars"].layout.meta[int(x)], ANY)

    def _on_cell(self, x: Any, y: Any) -> None:
        cells = self.figures["confusion"]
        names = dict(zip(cells.data[0].x, cells.layout.meta))
        self._choose_clips(names[y], AS + names[x])

    def _choose_clips(self, name: str, prediction: str) -> None:
        """Show a class and those of its clips; all of them, and a sentence, where there are none."""
        self.choose(name=name, prediction=prediction, margins=self._limits, page=0, clip="")
        if self.state.prediction != prediction:
            wanted = self._labels[prediction.removeprefix(AS)]
            said = f"No clip of “{self._labels[name]}” was predicted as “{wanted}”; all its clips are shown."
            self.html["message"].value = message_box(said, GREY)

    def _on_clip(self) -> None:
        if not self._quiet and self.grid.chosen < len(self.clips):
            self.choose(clip="" if self.grid.chosen < 0 else self.clips["clip"].iloc[self.grid.chosen])

    def _on_tag(self) -> None:
        state, controls = self.state, self.controls
        about = state.clip, self._class_of.get(state.clip, ""), state.split, state.method
        self._tags.add(*about, controls["kind"].value, controls["note"].value)
        controls["note"].value = ""
        self.choose()

    def _on_remove_tag(self) -> None:
        self._tags.remove(self.state.clip)
        self.choose()

    # what is shown

    def show(self) -> None:
        """Draw the choice; figures of all classes only where split or method are others."""
        self._show_classes()
        state, predictions = self.state, self._of_split
        clips = explanations.clip_table(predictions, state.method, state.name)
        self._offer_clips(clips)
        self._show_grid(clips)
        with self.figures["confusion"].batch_update():
            figures.move_frame(self.figures["confusion"], self._catalog, state.name, self._named)
        texts = ""
        if state.name:
            rival = self._table.loc[state.name, "confused_with"]
            texts = explanations.texts_and_parts(self._catalog, predictions, state.name, rival)
        self.html["texts"].value = texts
        if self._tags is not None:
            self.attempt(self._show_tags, "tag_message")

    def _show_classes(self) -> None:
        """The list of classes, the worst first, and the figures one chooses a class by."""
        self.offer("method", explanations.method_options(self._of_split))
        catalog, table = self._catalog, self._table
        names, top1 = table.index.tolist(), table["top1"]
        shown = zip(unlike(self._labels, names), names)
        listed = [(f"{text} ({100 * top1[name]:.0f} %)", name) for text, name in shown]
        self.offer("name", [*listed, ("all classes", EVERY_CLASS)])
        given = self._of_split, self.state.method, catalog, self.state.name
        drawn = self.state.split, self.state.method
        if self._drawn != drawn:
            self._draw("bars", figures.per_class(*given), self._on_bar)
            confusion = figures.confusion(*given).update_traces(showscale=False)
            self._draw("confusion", confusion, self._on_cell)
            self._drawn = drawn
            self._offer_margins()
        with self.figures["bars"].batch_update():
            figures.choose_bar(self.figures["bars"], catalog, self.state.name)

    def _draw(self, name: str, figure: Any, click: Callable[[Any, Any], None]) -> None:
        self.html[name].value = heading(figure)
        if name in self.figures:
            redraw(self.figures[name], figure)
        else:
            self.figures[name] = as_widget(figure, lambda x, y: self.attempt(lambda: click(x, y)))

    def _offer_margins(self) -> None:
        """The slider from the least to the largest margin of all clips of the split and method."""
        margins = explanations.clip_table(self._of_split, self.state.method)["margin"]
        slider = self.controls["margins"]
        low, high = np.floor(100 * margins.min()) / 100, np.ceil(100 * margins.max()) / 100
        self._limits = (float(low), float(high))
        self.state = replace(self.state, margins=self._limits)
        with self.quietly(), slider.hold_trait_notifications():
            slider.min, slider.max, slider.value = low, high, self._limits

    def _offer_clips(self, clips: pd.DataFrame) -> None:
        """Which predictions can be shown, with their numbers, the most frequent first."""
        counts = clips["prediction"].value_counts()
        names = sorted(counts.index, key=lambda name: (-counts[name], name))
        kinds = {ANY: len(clips), WRONG: int((~clips["right"]).sum()), RIGHT: int(clips["right"].sum())}
        options = [(f"{kind} ({n_clips})", kind) for kind, n_clips in kinds.items() if n_clips or kind == ANY]
        for text, name in zip(unlike(self._labels, names), names):
            options.append((f"{text} ({counts[name]})", AS + name))
        self.offer("prediction", options)
        self.offer("order", explanations.orders(clips))

    def _show_grid(self, clips: pd.DataFrame) -> None:
        state, (low, high) = self.state, self.state.margins
        if state.prediction in (WRONG, RIGHT):
            clips = clips[clips["right"] == (state.prediction == RIGHT)]
        elif self._named:
            clips = clips[clips["prediction"] == self._named]
        n_of_prediction, clips = len(clips), clips[clips["margin"].between(low, high)]
        clips = explanations.in_order(clips, state.order)
        place = self.turn(len(clips), PER_PAGE)
        self.clips, first = clips[place : place + PER_PAGE], place + 1
        shown, kinds = self.clips["clip"].tolist(), {}
        if state.clip not in shown:
            self.state = state = replace(self.state, clip="")
        if self._tags is not None:
            self.attempt(lambda: kinds.update(self._tags.kinds()), "tag_message")
        labels = None if state.name else self._labels
        captions = explanations.captions_of(self.clips, self._labels, first, state.order, kinds, labels)
        why, given = "", (self._catalog, self._of_split, state.method, state.clip)
        if state.clip:
            why = explanations.clip_html(*given, self._embeddings.get(state.split), with_video=False)
        with self.quietly():
            grid = clip_grid(self._catalog, shown, captions, width_px=CLIP_PX)
            self.grid.draw(grid, shown.index(state.clip) if state.clip else -1, why)
        said = self._sentence(clips, first)
        if left_out := n_of_prediction - len(clips):
            said += f" {left_out} more have margins outside of {low:+.2f} to {high:+.2f}."
        self.html["shown"].value = message_box(said, "transparent")

    def _sentence(self, clips: pd.DataFrame, first: int) -> str:
        """Which of the clips are shown, and how many of them were predicted wrongly."""
        of = f"of “{self._labels[self.state.name]}”" if self.state.name else "of all classes"
        how = {WRONG: " predicted wrongly", RIGHT: " predicted rightly"}.get(self.state.prediction, "")
        if self._named:
            how = f" predicted as “{self._labels[self._named]}”"
        n_clips, n_wrong, last = len(clips), int((~clips["right"]).sum()), first + len(self.clips) - 1
        if not n_clips:
            return f"No clip {of}{how} is left."
        rest = f"; {n_wrong} predicted wrongly" if n_wrong else "; all predicted rightly"
        return f"Clips {first} to {last} of the {n_clips} {of}{how or rest}; click one to see why."

    def _show_tags(self) -> None:
        """The score without tagged clips, and all tags."""
        clip = self.state.clip
        self.controls["tag"].disabled = self.controls["remove_tag"].disabled = not clip
        choose = f"Tag {clip}:" if clip else "Click a clip below to tag it."
        self.html["tag_clip"].value = message_box(choose, "transparent")
        tags = self._tags
        kinds = [kind for kind in KINDS if self.controls[f"without {kind}"].value]
        score = score_without(self._of_split, self.state.method, tags.kinds(), kinds)
        self.html["score"].value = message_box(score.sentence(), GREY)
        latest = tags.table().sort_values("time", ascending=False, kind="stable")
        rows = latest.assign(**{"class": [self._labels.get(name, name) for name in latest["class"]]})
        self.html["tags"].value = render("tags.html", rows=rows.to_dict("records"), path=str(tags.path))

    # what is known

    @property
    def _of_split(self) -> Predictions:
        return self._predictions[self.state.split]

    @property
    def _named(self) -> str | None:
        """The class that the shown clips were predicted as, where one is chosen."""
        return self.state.prediction.removeprefix(AS) if self.state.prediction.startswith(AS) else None

    @property
    def _table(self) -> pd.DataFrame:
        """A row a class, see `class_table`; made once a split and method."""
        key = (self.state.split, self.state.method)
        if key not in self._tables:
            counts = figures.class_counts(self._of_split, self.state.method)
            self._tables[key] = figures.class_table(counts)
        return self._tables[key]
