"""The widget of class errors: from the accuracy of each class to the clips that play, why they were named so, and tags on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets

from zsar_lab.data.catalog import Catalog
from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.results.evaluate import TRANSFER, SplitResult
from zsar_lab.results.tags import Tags
from zsar_lab.viz import explanations, explanations_clip
from zsar_lab.viz.clips import GREY, clip_grid, message_box
from zsar_lab.viz.figures import classes
from zsar_lab.viz.figures.scores import taken_for_bars
from zsar_lab.viz.figures.style import labels_of, redraw
from zsar_lab.viz.selections import (
    ANY,
    PER_PAGE,
    Answer,
    answer_options,
    class_options,
    in_words,
    page_of,
    pages,
)
from zsar_lab.viz.widgets import Quiet, visibly
from zsar_lab.viz.widgets_figures import FigureFitter, as_widget
from zsar_lab.viz.widgets_tags import TagPanel

NO_CLIP = ("choose a clip", "")
# JupyterLab gives widgets without a kernel this class; what stands on the page then no longer answers
STYLE = (
    "<style>.zsar-class-errors .widget-html-content{min-width:0}.zsar-without-kernel{display:none}"
    ".jupyter-widgets-disconnected .zsar-without-kernel{display:block}</style>"
)
RESTARTED = "The kernel was restarted or is gone, so these choices do nothing; run this cell again."


def class_errors(
    catalog: Catalog,
    results: Mapping[str, SplitResult],
    method: str = TRANSFER,
    clips: Mapping[str, ClipEmbeddings] | None = None,
    tags: Tags | None = None,
) -> ipywidgets.VBox:
    """Choose a split, a method and an unseen class, by its bar or by a cell; see what it was taken for, both class texts and prototypes, and its clips.

    A clip that is chosen shows its best classes and, where the embeddings are given, the seen classes that
    drew it to the true and to the rival class. A failure while showing is written into the box, and raised.

    Args:
        catalog: of the clips.
        results: the splits by name, as workspace.result gives them.
        method: the one chosen at first.
        clips: the embeddings of the splits by name, as workspace.embeddings gives them; of a split without
            them no examples are shown.
        tags: where tags on clips are kept; None to tag none.

    Raises:
        ValueError: no split, no such method, or embeddings of another checkpoint than the split's.
    """
    if not results:
        raise ValueError(
            "there must be at least one split to choose from, got none; give {split: workspace.result(split)}"
        )
    for split, embedded in (clips or {}).items():
        if split in results:
            explanations_clip.check_scored_on(results[split], embedded)
    next(iter(results.values())).method(method)  # says which methods there are
    return _ClassErrors(catalog, dict(results), method, dict(clips or {}), tags).box


class _ClassErrors:
    """The widgets and their state: what is chosen, and which page of its clips is shown."""

    def __init__(
        self,
        catalog: Catalog,
        results: dict[str, SplitResult],
        method: str,
        clips: dict[str, ClipEmbeddings],
        tags: Tags | None,
    ) -> None:
        self._catalog, self._results, self._clips, self._labels = catalog, results, clips, labels_of(catalog)
        self._tags = None if tags is None else TagPanel(catalog, tags, self._show_grid)
        self._quiet = Quiet()
        self._page = 0
        self._cells: list[str] = []
        self._verdicts: list[explanations.Verdict] = []
        self._make_choices(method)
        self._list_classes()
        self._make_figures()
        self._lay_out()
        self._observe()
        self._show_class()

    def _make_choices(self, method: str) -> None:
        style = {"description_width": "60px"}

        def dropdown(description: str, width: str, **more: Any) -> ipywidgets.Dropdown:
            return ipywidgets.Dropdown(
                description=description, style=style, layout={"width": f"min({width}, 100%)"}, **more
            )

        names = [scored.method for scored in next(iter(self._results.values())).methods]
        self._split = dropdown("split", "220px", options=list(self._results))
        self._method = dropdown("method", "270px", options=names, value=method)
        self._class = dropdown("class", "380px")
        self._by = ipywidgets.ToggleButtons(options=explanations.CLASS_ORDERS, style={"button_width": "90px"})
        self._answer, self._order, self._clip = (
            dropdown("answer", "380px"),
            dropdown("order", "320px"),
            dropdown("clip", "520px"),
        )
        self._back, self._on = (
            ipywidgets.Button(description=text, layout={"width": "110px"})
            for text in ("◀ earlier", "later ▶")
        )
        self._message, self._texts, self._said, self._grid, self._why = (
            ipywidgets.HTML(layout={"width": "98%"}) for _ in range(5)
        )

    def _make_figures(self) -> None:
        self._bars, self._confusion, self._taken = (
            as_widget(figure) for figure in (self._bars_figure(), self._cells_figure(), self._taken_figure())
        )
        self._bars.data[0].on_click(lambda _, points, __: self._click(points, self._on_bar))
        self._confusion.data[0].on_click(lambda _, points, __: self._click(points, self._on_cell))
        self._taken.data[0].on_click(lambda _, points, __: self._click(points, self._on_taken))

    def _lay_out(self) -> None:
        wrap = {"flex_flow": "row wrap"}
        by = ipywidgets.HBox([ipywidgets.Label("bars by", layout={"margin": "2px 8px"}), self._by])
        rows = [
            [self._split, self._method, self._class, by],
            [self._answer, self._order, self._back, self._on],
        ]
        above, of_clips = (ipywidgets.HBox(row, layout=wrap) for row in rows)
        marking = [] if self._tags is None else [self._tags.box]
        restarted = ipywidgets.HTML(f'{STYLE}<div class="zsar-without-kernel">{message_box(RESTARTED)}</div>')
        parts = [restarted, above, self._message, self._bars, self._confusion, self._taken, self._texts]
        self.box = ipywidgets.VBox(
            [*parts, of_clips, self._said, self._grid, self._clip, self._why, *marking, FigureFitter()]
        )
        self.box.add_class("zsar-class-errors")

    def _observe(self) -> None:
        def on(widget: ipywidgets.Widget, action: Callable[[], Any]) -> None:
            widget.observe(lambda _: None if self._quiet.now else visibly(action, self._message), "value")

        for widget in (self._split, self._method):
            on(widget, self._on_split)
        on(self._class, self._show_class)
        on(self._by, self._show_bars)
        for widget in (self._answer, self._order):
            on(widget, self._on_choice)
        on(self._clip, self._show_clip)
        self._back.on_click(lambda _: visibly(lambda: self._turn(-1), self._message))
        self._on.on_click(lambda _: visibly(lambda: self._turn(1), self._message))

    # what happens

    def _on_split(self) -> None:
        self._list_classes()
        self._show_class()

    def _on_choice(self) -> None:
        self._page = 0
        self._move_frame()
        self._show_grid()

    def _turn(self, by: int) -> None:
        self._page += by
        self._show_grid()

    def _click(self, points: Any, action: Callable[[Any, Any], None]) -> None:
        if points.xs:
            visibly(lambda: action(points.xs[0], points.ys[0]), self._message)

    def _on_bar(self, x: Any, _: Any) -> None:
        self._choose(self._bar_names[int(x)], ANY)

    def _on_taken(self, x: Any, _: Any) -> None:
        self._choose(self._class.value, Answer(name=list(self._counts())[int(x)]))

    def _on_cell(self, x: Any, y: Any) -> None:
        true, named = classes.clicked_cell(self._catalog, self._cells, x, y)
        self._choose(true, Answer(name=named))

    def _choose(self, name: str, answer: Answer) -> None:
        """Show a class and those of its clips with that answer; all its clips, and a sentence, where there are none."""
        with self._quiet():
            self._class.value = name
        self._read_class()
        found = answer in [value for _, value in self._answer.options]
        with self._quiet():
            self._answer.value = answer if found else ANY
        self._show_all()
        if not found:
            text = f"No clip of “{self._labels[name]}” was taken for “{self._labels[answer.name]}”; all its clips are shown."
            self._message.value = message_box(text, GREY)

    # what is shown

    def _list_classes(self) -> None:
        options = class_options(self._catalog, self._result, self._method.value)
        kept = self._class.value
        with self._quiet():
            self._class.options = options
            self._class.value = kept if kept in dict(options).values() else options[0][1]

    def _read_class(self) -> None:
        """Read the verdicts on the class, and offer what can be chosen of its clips."""
        self._verdicts, self._page = (
            explanations.verdicts(self._result, self._method.value, self._class.value),
            0,
        )
        order, orders = self._order.value, explanations.orders(self._verdicts)
        with self._quiet():
            self._answer.options = answer_options(self._verdicts, self._labels)
            self._answer.value = ANY
            self._order.options = orders
            self._order.value = order if order in orders else orders[0]

    def _show_class(self) -> None:
        self._read_class()
        self._show_all()

    def _show_all(self) -> None:
        self._texts.value = explanations.texts_and_parts(
            self._catalog, self._result, self._method.value, self._class.value
        )
        self._show_grid()
        self._show_figures()

    def _bars_figure(self) -> Any:
        by = self._by.value
        self._bar_names = explanations.classes_in_order(self._catalog, self._result, self._method.value, by)
        given = self._result, self._method.value, self._catalog, self._bar_names, self._class.value
        return classes.accuracy_bars(*given, with_family=by == "family")

    def _cells_figure(self) -> Any:
        unseen, self._drawn = self._result.protocol.unseen, (self._split.value, self._method.value)
        self._cells = [
            unseen[place] for place in explanations.confusion_order(self._result, self._method.value)
        ]
        return classes.confusion_by_cluster(
            self._result, self._method.value, self._catalog, self._cells, self._class.value
        )

    def _taken_figure(self) -> Any:
        about = f"method {self._method.value}, {self._result.protocol.name}, {self._catalog.name}; click a bar for its clips"
        return taken_for_bars(self._counts(), self._class.value, self._catalog, about)

    def _show_bars(self) -> None:
        redraw(self._bars, self._bars_figure())

    def _show_figures(self) -> None:
        """Draw the figures of all classes again only where draw or method are others, else show in them which class is chosen."""
        if (self._split.value, self._method.value) != self._drawn:
            self._show_bars()
            redraw(self._confusion, self._cells_figure())
        else:
            with self._bars.batch_update():
                classes.choose_bar(
                    self._bars, self._catalog, self._bar_names, self._class.value, self._by.value == "family"
                )
        self._move_frame()
        redraw(self._taken, self._taken_figure())

    def _move_frame(self) -> None:
        with self._confusion.batch_update():
            classes.move_frame(
                self._confusion, self._catalog, self._cells, self._class.value, self._answer.value.name
            )

    def _show_grid(self) -> None:
        answer = self._answer.value
        chosen = explanations.in_order(answer.of(self._verdicts), self._order.value)
        n_pages = pages(len(chosen))
        self._page = min(max(self._page, 0), n_pages - 1)
        shown, first = page_of(chosen, self._page), self._page * PER_PAGE + 1
        kind_of = self._tags.kinds() if self._tags else {}
        captions = [
            explanations.caption_of(
                verdict, self._labels, number, self._order.value, kind_of.get(verdict.clip_id, "")
            )
            for number, verdict in enumerate(shown, start=first)
        ]
        self._back.disabled, self._on.disabled = self._page == 0, self._page == n_pages - 1
        self._said.value = message_box(
            in_words(chosen, shown, first, self._labels[self._class.value], answer, self._labels),
            "transparent",
        )
        self._grid.value = clip_grid(self._catalog, [verdict.clip_id for verdict in shown], captions)
        named = [f"{verdict.clip_id}, taken for {self._labels[verdict.predicted]}" for verdict in shown]
        listed = [
            (f"{number}. {text}", verdict.clip_id)
            for number, (text, verdict) in enumerate(zip(named, shown), start=first)
        ]
        kept = self._clip.value
        with self._quiet():
            self._clip.options = [NO_CLIP, *listed]
            self._clip.value = kept if kept in [clip for _, clip in listed] else NO_CLIP[1]
        self._show_clip()

    def _show_clip(self) -> None:
        clip, split = self._clip.value, self._split.value
        given = self._catalog, self._result, self._method.value, clip, self._clips.get(split)
        self._why.value = explanations_clip.clip_html(*given) if clip else ""
        if self._tags:
            self._tags.show(split, self._result, self._method.value, clip or None)

    # what is known

    @property
    def _result(self) -> SplitResult:
        return self._results[self._split.value]

    def _counts(self) -> dict[str, int]:
        return explanations.taken_for(self._result, self._method.value, self._class.value)
