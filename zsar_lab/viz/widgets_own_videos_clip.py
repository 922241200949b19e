"""The chosen clip of a user's named videos: its best classes, what a class is composed of, the timeline of a long video, and another name for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets

from zsar_lab.data.catalog import Catalog
from zsar_lab.infer.answers import NO_NAME
from zsar_lab.infer.session import NamingSession
from zsar_lab.viz.clips import GREY, Caption, clip_grid, message_box
from zsar_lab.viz.figures.own_videos import composed_of, timeline
from zsar_lab.viz.figures.style import redraw
from zsar_lab.viz.own_videos_html import best_html
from zsar_lab.viz.widgets import said_or_shown
from zsar_lab.viz.widgets_figures import FigureFitter, as_widget


class ClipPanel:
    """What is known of one clip, and the buttons that name it.

    Args:
        session: with the answers.
        changed: called when a name was accepted or taken back.

    Attributes:
        box: the widget; it shows nothing while no clip is chosen.
        row: of the session's table; None while no clip is chosen.
    """

    def __init__(self, session: NamingSession, changed: Callable[[], None]) -> None:
        self.row: int | None = None
        self._session, self._changed = session, changed
        self._listing, self._figure = False, None
        self._timeline_of: tuple[str, object] = "", None
        self._name = ipywidgets.Dropdown(
            description="name", style={"description_width": "50px"}, layout={"width": "min(380px, 100%)"}
        )
        self._accept = ipywidgets.Button(
            description="accept this name", button_style="primary", layout={"width": "150px"}
        )
        self._back = ipywidgets.Button(
            description="take back", tooltip="the name that was accepted", layout={"width": "110px"}
        )
        self._message, self._video, self._best = (ipywidgets.HTML() for _ in range(3))
        self._composed, self._long = (
            ipywidgets.VBox(layout={"min_width": "0", "flex": flex}) for flex in ("1 1 340px", "none")
        )
        wrap = {"flex_flow": "row wrap"}
        self._best.layout.flex = "1 1 340px"
        beside = ipywidgets.HBox(
            [self._video, self._best, self._composed], layout=wrap | {"align_items": "flex-start"}
        )
        naming = ipywidgets.HBox([self._name, self._accept, self._back], layout=wrap)
        self.box = ipywidgets.VBox(
            [naming, self._message, beside, self._long, FigureFitter()], layout={"display": "none"}
        )
        self.box.add_class("zsar-own-clip")
        self._name.observe(self._on_name, "value")
        self._accept.on_click(lambda _: self._give(self._name.value))
        self._back.on_click(lambda _: self._give(NO_NAME))

    def show(self, row: int | None, catalog: Catalog, clip: str) -> None:
        """Show a row of the session's table, the clip of that id in the catalog; None for none."""
        self.row, self.box.layout.display = row, "none" if row is None else None
        if row is None:
            return
        window, accepted = self._session.table.loc[row], self._session.accepted.get(row)
        self._listing = True
        try:
            self._name.options = list(self._session.candidates.names)
            self._name.value = accepted or window["name"]
        finally:
            self._listing = False
        self._message.value, self._back.disabled = "", accepted is None
        self._video.value = clip_grid(
            catalog, [clip], [Caption((), True if accepted else None)], columns=1, width_px=200
        )
        self._best.value = best_html(self._session.table, row, accepted)
        self._show_composed()
        self._show_timeline(window["path"])

    def _on_name(self, _: Any) -> None:
        if not self._listing:
            said_or_shown(self._show_composed, self._message)

    def _give(self, name: str) -> None:
        def given() -> None:
            self._session.correct(self.row, name)
            self._changed()

        said_or_shown(given, self._message)

    def _show_composed(self) -> None:
        """The seen classes that the chosen name is composed of, where the method composes."""
        candidates = self._session.candidates
        if candidates.weights_CS is None:
            said = message_box(
                f"By the method {candidates.method} a class is not composed of seen ones: it is compared by its text.",
                GREY,
            )
            self._composed.children = (ipywidgets.HTML(said),)
            return
        figure = composed_of(candidates, self._session.model.seen, self._name.value)
        if self._figure is None:
            self._figure = as_widget(figure)
        redraw(self._figure, figure)
        self._composed.children = (self._figure,)

    def _show_timeline(self, path: str) -> None:
        """That of a video of several windows; drawn anew when the video or the answers are others."""
        table = self._session.table
        if path == self._timeline_of[0] and table is self._timeline_of[1]:
            return
        before, self._timeline_of = self._long.children, (path, table)
        several = ((table["path"] == path) & (table["name"] != NO_NAME)).sum() > 1
        self._long.children = (
            (as_widget(timeline(table, path, self._session.model.about)),) if several else ()
        )
        for figure in before:
            figure.close()
