"""The widget of class errors: from the accuracy of each class to playing clips, reasons, and tags."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ipywidgets
import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.embed.embeddings import ClipEmbeddings
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.tags import KINDS, Tags, score_without
from zsar_lab.viz import explanations
from zsar_lab.viz.clips import GREY, clip_grid, message_box, render
from zsar_lab.viz.figures import classes as figures
from zsar_lab.viz.figures.style import labels_of, redraw, unlike
from zsar_lab.viz.widgets import Panel, row
from zsar_lab.viz.widgets.figures import as_widget

PER_PAGE = 24
ANY, WRONG, AS = "any", "wrong", "as "  # which clips are shown: all, wrong ones, those predicted as a class
NO_CLIP = ("choose a clip", "")


@dataclass(frozen=True)
class Chosen:
    """The split, method and unseen class, and which of the class's clips are shown."""

    split: str
    method: str
    name: str = ""
    prediction: str = ANY  # or "wrong", or "as NAME"
    order: str = explanations.MARGIN  # one of ORDERS
    page: int = 0
    clip: str = ""  # the id of one on the page


class ClassErrors(Panel):
    """Choose a split, a method and an unseen class; see its predictions, texts, prototypes and playing clips.

    A bar chooses a class, a cell a class and a prediction. A chosen clip shows its best classes and, with
    embeddings, the seen classes that drew it to the true and to the rival class.

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
        self._catalog, self._predictions, self._embeddings = catalog, dict(predictions), dict(clips or {})
        self._labels = labels_of(catalog)
        self._tags: Any = tags
        self._class_of = dict(zip(catalog.clips["id"], catalog.clips["class"]))
        self._tables: dict[tuple[str, str], pd.DataFrame] = {}
        self._drawn: tuple[object, ...] = ()
        self.clips = pd.DataFrame()
        self.figures: dict[str, Any] = {}
        self._make()
        self.choose()

    # the controls

    def _make(self) -> None:
        anew: dict[str, Any] = {"prediction": ANY, "page": 0}
        choices = row(
            self.dropdown("split", "split", "220px", **anew),
            self.dropdown("method", "method", "270px", **anew),
            self.dropdown("name", "class", "380px", **anew),
        )
        of_clips = row(
            self.dropdown("prediction", "prediction", "400px", 80, page=0),
            self.dropdown("order", "order", "320px", page=0),
            *self.page_buttons(),
        )
        self.offer("split", list(self._predictions))
        self._show_classes()
        pages = {name: self.page(name) for name in ("message", "texts", "shown", "grid", "why")}
        parts = [choices, pages["message"], *self.figures.values(), pages["texts"], of_clips, pages["shown"]]
        parts += [pages["grid"], self.dropdown("clip", "clip", "520px"), pages["why"]]
        self.lay_out(*parts, *([] if self._tags is None else [self._tagging()]))

    def _tagging(self) -> ipywidgets.VBox:
        kind = self.controls["kind"] = ipywidgets.ToggleButtons(
            options=KINDS,
            description="tag as",
            style={"description_width": "60px", "button_width": "110px"},
        )
        note = self.field("note", "note", "", "420px", placeholder="why")
        tag = self.button("tag", "Tag", self._on_tag, "tag_message", primary=True)
        remove = self.button("remove_tag", "Remove tag", self._on_remove_tag, "tag_message")
        left_out = []
        for name in KINDS:
            box = ipywidgets.Checkbox(value=True, description=name, indent=False, layout={"width": "120px"})
            box.observe(lambda _: self.attempt(self._show_tags, "tag_message"), "value")
            self.controls[f"without {name}"] = box
            left_out.append(box)
        without = row(ipywidgets.Label("score without clips tagged"), *left_out)
        chosen, message = self.page("tag_clip"), self.page("tag_message")
        rows = [chosen, row(kind, note, tag, remove), message, without, self.page("score"), self.page("tags")]
        return ipywidgets.VBox(rows)

    # what a user does

    def _on_bar(self, x: Any, _: Any) -> None:
        self._choose_clips(self.figures["bars"].layout.meta[int(x)], ANY)

    def _on_cell(self, x: Any, y: Any) -> None:
        cells = self.figures["confusion"]
        names = dict(zip(cells.data[0].x, cells.layout.meta))
        self._choose_clips(names[y], AS + names[x])

    def _choose_clips(self, name: str, prediction: str) -> None:
        """Show a class and those of its clips; all of them, and a sentence, where there are none."""
        self.choose(name=name, prediction=prediction, page=0, clip="")
        if self.state.prediction != prediction:
            wanted = self._labels[prediction.removeprefix(AS)]
            said = f"No clip of “{self._labels[name]}” was predicted as “{wanted}”; all its clips are shown."
            self.html["message"].value = message_box(said, GREY)

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
        rival = self._table.loc[state.name, "confused_with"]
        self.html["texts"].value = explanations.texts_and_parts(self._catalog, predictions, state.name, rival)
        clip, given = self.state.clip, (predictions, state.method)
        embeddings = self._embeddings.get(state.split)
        why = explanations.clip_html(self._catalog, *given, clip, embeddings) if clip else ""
        self.html["why"].value = why
        if self._tags is not None:
            self.attempt(self._show_tags, "tag_message")

    def _show_classes(self) -> None:
        """The list of classes, the worst first, and the figures one chooses a class by."""
        self.offer("method", explanations.method_options(self._of_split))
        catalog, table = self._catalog, self._table
        names, top1 = table.index.tolist(), table["top1"]
        shown = zip(unlike(self._labels, names), names)
        self.offer("name", [(f"{text} ({100 * top1[name]:.0f} %)", name) for text, name in shown])
        given = self._of_split, self.state.method, catalog, self.state.name
        drawn = self.state.split, self.state.method
        if self._drawn != drawn:
            self._draw("bars", figures.per_class(*given), self._on_bar)
            self._draw("confusion", figures.confusion(*given), self._on_cell)
            self._drawn = drawn
        with self.figures["bars"].batch_update():
            figures.choose_bar(self.figures["bars"], catalog, self.state.name)

    def _draw(self, name: str, figure: Any, click: Callable[[Any, Any], None]) -> None:
        if name in self.figures:
            redraw(self.figures[name], figure)
        else:
            self.figures[name] = as_widget(figure, lambda x, y: self.attempt(lambda: click(x, y)))

    def _offer_clips(self, clips: pd.DataFrame) -> None:
        """Which clips can be shown, with their numbers, the most frequent prediction first."""
        counts = clips["prediction"].value_counts()
        names = sorted(counts.index, key=lambda name: (-counts[name], name))
        n_wrong = int((~clips["right"]).sum())
        options = [(f"any ({len(clips)})", ANY), *([(f"wrong ({n_wrong})", WRONG)] if n_wrong else [])]
        for text, name in zip(unlike(self._labels, names), names):
            options.append((f"{text} ({counts[name]})", AS + name))
        self.offer("prediction", options)
        self.offer("order", explanations.orders(clips))

    def _show_grid(self, clips: pd.DataFrame) -> None:
        state, labels = self.state, self._labels
        if state.prediction == WRONG:
            clips = clips[~clips["right"]]
        elif self._named:
            clips = clips[clips["prediction"] == self._named]
        clips = explanations.in_order(clips, state.order)
        place = self.turn(len(clips), PER_PAGE)
        self.clips, first = clips[place : place + PER_PAGE], place + 1
        shown, kinds = self.clips, {}
        if self._tags is not None:
            self.attempt(lambda: kinds.update(self._tags.kinds()), "tag_message")
        captions = explanations.captions_of(shown, labels, first, state.order, kinds)
        self.html["grid"].value = clip_grid(self._catalog, shown["clip"].tolist(), captions)
        self.html["shown"].value = message_box(self._sentence(clips, first), "transparent")
        listed = [
            (f"{number}. {clip}, predicted as {labels[name]}", clip)
            for number, (clip, name) in enumerate(zip(shown["clip"], shown["prediction"]), first)
        ]
        self.offer("clip", [NO_CLIP, *listed])

    def _sentence(self, clips: pd.DataFrame, first: int) -> str:
        """Which of the clips are shown, and how many of them were predicted wrongly."""
        label, how = self._labels[self.state.name], " predicted wrongly" * (self.state.prediction == WRONG)
        if self._named:
            how = f" predicted as “{self._labels[self._named]}”"
        n_clips, n_wrong, last = len(clips), int((~clips["right"]).sum()), first + len(self.clips) - 1
        if not n_clips:
            return f"No clip of “{label}”{how or ' was tested'}."
        rest = f"; {n_wrong} predicted wrongly" if n_wrong else "; all predicted rightly"
        return f"Clips {first} to {last} of the {n_clips} of “{label}”{how or rest}."

    def _show_tags(self) -> None:
        """The score without tagged clips, and all tags."""
        clip = self.state.clip
        self.controls["tag"].disabled = self.controls["remove_tag"].disabled = not clip
        choose = f"Tag {clip}:" if clip else "Choose a clip above to tag it."
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
