"""The widget of a user's own videos: read, name by classes that are typed, accept or correct names, save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ipywidgets
import pandas as pd

from zsar_lab.infer.predictions import NO_PREDICTION, Paths
from zsar_lab.infer.session import VideoSession
from zsar_lab.text.class_lists import Classes, classes_of_lines
from zsar_lab.viz.clips import GREY, Caption, clip_grid, message_box, render
from zsar_lab.viz.figures.own_videos import composed_of, timeline
from zsar_lab.viz.figures.style import redraw
from zsar_lab.viz.widgets import ClickedGrid, Panel, row, wide
from zsar_lab.viz.widgets import own_videos_words as words
from zsar_lab.viz.widgets.figures import FigureFitter, as_widget
from zsar_lab.viz.widgets.uploads import MOST_BYTES, Uploads

NO_CLIP = ("choose a clip, here or by a click on it", -1)
METHODS = [("the model's usual one", ""), ("transfer", "transfer"), ("direct", "direct")]


@dataclass(frozen=True)
class Shown:
    """Which clips are shown, and which one is chosen."""

    filter: str = words.ALL  # one of FILTERS, or "class NAME"
    order: str = words.BY_FILE  # one of ORDERS
    page: int = 0
    clip: int = -1  # a row of the session's table; -1 for none
    name: str = ""  # the class that the clip may be given, and whose composition is shown


class OwnVideos(Panel):
    """Read a folder or uploads; type classes; see each clip's prediction, how sure and why; correct; save.

    Everything is also in `session`, which later cells can use. A refusal is shown in the box and changes
    nothing.

    Args:
        session: what it works on; videos and classes it has are shown at once.
        folder: first value of the field for a folder, a video, or a csv file with the columns path and label.
        classes: first lines of the field for classes, each "name" or "name: description"; "" for the
            session's.
        save_to: first value of the field for the folder where names are saved.
        most: clips on a page, 1 or more.

    Attributes:
        rows: rows of the session's table that are on the page.

    Raises:
        ValueError: most is below 1.
    """

    def __init__(
        self,
        session: VideoSession,
        folder: str | Path = "",
        classes: str = "",
        save_to: str | Path = "",
        most: int = 24,
    ) -> None:
        if int(most) != most or most < 1:
            raise ValueError(f"most must be a whole number of clips of 1 or more, got {most}")
        super().__init__("zsar-own-videos", Shown())
        self.session: Any = session
        self.rows: list[int] = []
        self._most = int(most)
        self._catalog: Any = None
        self._catalog_of: object = None
        self._was: dict[int, str] = {}  # the names of rows that moved, before they did
        self._warned_of: dict[int, str] = {}
        self._timeline_of: tuple[str, object] = ("", None)
        self._composed: Any = None
        self._is_on_page = False
        if not classes and session.classifier is not None:
            classes = words.typed(session.classifier.classes)
        reading, naming = self._reading(str(folder)), self._naming(classes)
        self.table, self.saving = self._table(), self._saving(str(save_to))
        self.chosen_clip = self._chosen_clip()
        self.lay_out(reading, naming, self.table, self.chosen_clip, self.saving)
        self.choose()
        self._is_on_page = True

    # the controls

    def _reading(self, folder: str) -> ipywidgets.VBox:
        self.uploads = Uploads(self._on_upload)
        self._refused: list[str] = []
        hint = "a folder, a video, or a csv file"
        field = self.field("folder", "videos", folder, "560px", placeholder=hint)
        read = self.button("read", "read", self._on_read, "read", primary=True)
        read_uploads = self.button("read_uploads", "read the uploads", self._on_read_uploads, "read")
        read_uploads.disabled = True
        about = ipywidgets.HTML(
            message_box(f"or upload some, each up to {MOST_BYTES / 1e6:.0f} MB:", "transparent")
        )
        self.progress = ipywidgets.Output()
        rows = row(field, read), row(about, self.uploads.button, read_uploads)
        pages = self.page("uploaded"), self.progress, self.page("read"), self.page("unread")
        return ipywidgets.VBox([*rows, *pages])

    def _naming(self, classes: str) -> ipywidgets.HBox:
        n_lines = sum(1 + len(line) // 75 for line in classes.splitlines())
        area = self.controls["classes"] = ipywidgets.Textarea(
            classes,
            placeholder="a class a line:\nname\nname: description",
            rows=min(16, max(6, n_lines + 1)),
            layout={"width": "auto"},
        )
        composes = len(self.session.model.seen) > 0
        method = self.controls["method"] = ipywidgets.Dropdown(
            options=METHODS if composes else METHODS[::2], description="method", **wide("260px")
        )
        used = None if self.session.classifier is None else self.session.classifier.method
        method.value = used if used == "direct" and composes else ""
        name = self.button("name_them", "name them", self._on_name, "named", primary=True)
        left = ipywidgets.VBox(
            [area, row(name, method), self.page("named")], layout={"flex": "1 1 440px", "min_width": "0"}
        )
        return row(left, self.page("about", flex="1 1 340px", margin="0 0 0 8px", width="auto"))

    def _table(self) -> ipywidgets.VBox:
        top = {"message": "table", "page": 0}
        above = row(
            self.dropdown("filter", "show", "320px", 40, **top),
            self.dropdown("order", "order", "230px", 45, **top),
            *self.page_buttons("table"),
            self.button("accept_sure", "accept all sure ones", self._on_sure, "table"),
        )
        self.grid = ClickedGrid()
        self.grid.observe(lambda _: self.attempt(self._on_click, "table"), "chosen")
        clip = self.dropdown("clip", "clip", "620px", 40, message="table", name="")
        return ipywidgets.VBox([above, self.page("counted"), self.page("table"), self.grid, clip])

    def _chosen_clip(self) -> ipywidgets.VBox:
        naming = row(
            self.dropdown("name", "name", "380px", 50, message="clip"),
            self.button("accept", "accept this name", lambda: self._give(self.state.name), "clip"),
            self.button("take_back", "take back", lambda: self._give(NO_PREDICTION), "clip"),
        )
        self.controls["accept"].button_style = "primary"
        self.composed, self.timeline = (
            ipywidgets.VBox(layout={"min_width": "0", "flex": flex}) for flex in ("1 1 340px", "none")
        )
        video, best = self.page("video", width="auto"), self.page("best", flex="1 1 340px", width="auto")
        beside = row(video, best, self.composed, align_items="flex-start")
        box = ipywidgets.VBox([naming, self.page("clip"), beside, self.timeline, FigureFitter()])
        box.add_class("zsar-own-clip")
        return box

    def _saving(self, save_to: str) -> ipywidgets.VBox:
        field = self.field("save_to", "save in", save_to, "560px", placeholder="an empty folder")
        save = self.button("save", "save", self._on_save, "saved", primary=True)
        return ipywidgets.VBox([row(field, save), self.page("saved")])

    # what a user does

    def _on_upload(self, refused: str) -> None:
        files = self.uploads.files
        self.controls["read_uploads"].disabled = not files
        sizes = ", ".join(f"{path.name} ({path.stat().st_size / 1e6:.1f} MB)" for path in files)
        self._refused += [refused] if refused else []
        lines = ([f"uploaded: {sizes}"] if files else []) + self._refused
        self.html["uploaded"].value = "".join(message_box(line, GREY) for line in lines)

    def _on_read(self) -> None:
        path = self.controls["folder"].value.strip()
        if not path:
            raise ValueError(
                "give a folder, a video or a csv file to read, or upload videos; the field is empty"
            )
        self._read_these(Path(path).expanduser())

    def _on_read_uploads(self) -> None:
        self._read_these(self.uploads.files)
        self._refused.clear()
        self._on_upload("")

    def _read_these(self, paths: Paths) -> None:
        unsaved = dict(self.session.accepted.items() - self.session.saved.items())
        if unsaved and unsaved != self._warned_of:
            self._warned_of = unsaved
            names = "name is" if len(unsaved) == 1 else "names are"
            raise ValueError(f"{len(unsaved)} accepted {names} not saved; save, or press again to drop them")
        self.html["read"].value = message_box("Reading ...", GREY)
        self._working(lambda: self.session.read_videos(paths), "read", "read_uploads", "name_them")
        self._was, self._warned_of = {}, {}
        self.choose(page=0, clip=-1)
        table, read = self.session.windows, self.session.windows["reason"] == ""
        of = f"{table.loc[read, 'path'].nunique()} of {words.count(table['path'].nunique(), 'video')} read."
        next_step = "" if self.session.classifier else " Now type classes and press “name them”."
        self.html["read"].value = message_box(of + next_step, GREY)

    def _working(self, action: Callable[[], Any], *disabled: str) -> Any:
        """Do what takes long: its bars are in the box until it is done, and buttons cannot be pressed."""
        if not self._is_on_page:  # a notebook that is executed without widget state knows no Output
            return action()
        before = {name: self.controls[name].disabled for name in disabled}
        for name in disabled:
            self.controls[name].disabled = True
        results, failures = [], []
        self.progress.layout.display = None
        with self.progress:
            try:
                results.append(action())
            except BaseException as error:  # which Output would swallow
                failures.append(error)
            self.progress.clear_output()
        self.progress.layout.display = "none"  # a bar may reach the page after it was cleared
        for name, was in before.items():
            self.controls[name].disabled = was
        if failures:
            raise failures[0]
        return results[0]

    def _on_name(self) -> None:
        session, before, accepted = self.session, self.session.table, len(self.session.accepted)
        session.use_classes(self._given_classes(), self.controls["method"].value or None)
        self._was = {number: before["prediction"][number] for number in session.changed}
        self.choose(page=0, name="")
        moved = words.moved_sentence(session, self._was, accepted - len(session.accepted))
        self.html["named"].value = message_box(moved, GREY)

    def _given_classes(self) -> Classes:
        """What is typed; the present classes where their lines, which may say less, are untouched."""
        present, text = self.session.classifier, self.controls["classes"].value
        if present is not None and text.strip() == words.typed(present.classes).strip():
            return present.classes
        return classes_of_lines(text)

    def _on_click(self) -> None:
        if not self._quiet and 0 <= self.grid.chosen < len(self.rows):
            self.choose(clip=self.rows[self.grid.chosen], name="")

    def _on_sure(self) -> None:
        n_taken = self.session.accept()
        self.choose(name="")
        said = f"{n_taken} names accepted; {len(self.session.accepted)} in all."
        self.html["table"].value = message_box(said, GREY)

    def _give(self, name: str) -> None:
        """Accept a name or take it back; where the clip leaves the page, the next one is chosen."""
        clip, place = self.state.clip, self.rows.index(self.state.clip)
        self.session.correct(clip, name)
        self.choose(name="")
        if clip not in self.rows and self.rows:
            self.choose(clip=self.rows[min(place, len(self.rows) - 1)], name="")

    def _on_save(self) -> None:
        text = self.controls["save_to"].value.strip()
        if not text:
            raise ValueError("give an empty or new folder to save in; the field is empty")
        folder = Path(text).expanduser().resolve()
        self.html["saved"].value = message_box("Saving ...", GREY)
        prepared = self._working(lambda: self.session.save(folder), "save")
        usable, uploads = prepared.catalog.usable, str(self.uploads.folder.resolve())
        self.html["saved"].value = render(
            "own_saved.html",
            clips=words.count(len(usable), "clip"),
            classes=words.count(usable["class"].nunique(), "class", "classes"),
            folder=str(folder),
            bad=words.count(len(prepared.bad_clips), "clip") if len(prepared.bad_clips) else "",
            uploaded=sum(("/" + path.removeprefix("/")).startswith(uploads) for path in usable["path"]),
        )

    # what is shown

    def show(self) -> None:
        """Draw what the session has: its model, what could not be read, a page of clips, the chosen clip."""
        session = self.session
        self.html["about"].value = words.about_html(session)
        table = pd.DataFrame({"prediction": []}) if session.table is None else session.table
        unread = table[table["prediction"] == NO_PREDICTION].to_dict("records")
        there = len(table) > len(unread)
        self.html["unread"].value = render("own_unread.html", rows=unread) if unread else ""
        self.table.layout.display = self.saving.layout.display = None if there else "none"
        self.chosen_clip.layout.display = "none"
        if there:
            self._show_table()
        if there and self.state.clip != NO_CLIP[1]:
            self._show_clip()

    def _show_table(self) -> None:
        session, catalog = self.session, self._playing()
        self.offer("filter", words.filters(session))
        self.offer("order", words.ORDERS)
        chosen = words.rows_of(session, self.state.filter, self.state.order)
        place = self.turn(len(chosen), self._most)
        self.rows, first = chosen[place : place + self._most], place + 1
        self.html["counted"].value = message_box(
            words.counted(session, self.rows, first, len(chosen)), "transparent"
        )
        captions = [words.caption(session, number, self._was) for number in self.rows]
        ids = [self._id_of[number] for number in self.rows]
        grid = self._working(lambda: clip_grid(catalog, ids, captions))
        listed = [
            (f"{n}. {said.lines[0]}, {said.lines[-1]}", number)
            for n, (number, said) in enumerate(zip(self.rows, captions), first)
        ]
        self.offer("clip", [NO_CLIP, *listed])
        with self.quietly():
            self.grid.html = grid
            self.grid.chosen = self.rows.index(self.state.clip) if self.state.clip in self.rows else -1

    def _playing(self) -> Any:
        """The catalog that clips are played from, made once for the videos that were read."""
        session = self.session
        if self._catalog_of is not session.windows:
            self._catalog, self._catalog_of = self._working(session.catalog), session.windows
            self._id_of = dict(zip(words.rows_of(session), self._catalog.clips["id"], strict=True))
        return self._catalog

    def _show_clip(self) -> None:
        session, clip = self.session, self.state.clip
        window, accepted = session.table.loc[clip], session.accepted.get(clip)
        if self.state.name not in session.classifier.names:
            self.state = replace(self.state, name=accepted or window["prediction"])
        self.offer("name", session.classifier.names)
        self.chosen_clip.layout.display, self.controls["take_back"].disabled = None, accepted is None
        frame = Caption((), True if accepted else None)
        self.html["video"].value = clip_grid(self._catalog, [self._id_of[clip]], [frame], 1, 200)
        about = {"window": window, "place": words.place_of(session.table, clip), "accepted": accepted}
        self.html["best"].value = render("own_best.html", **about)
        self._show_composed()
        self._show_timeline(window["path"])

    def _show_composed(self) -> None:
        """The seen classes that the name is composed of, where the method composes."""
        classifier = self.session.classifier
        if classifier.transfer_weights_CS is None:
            said = f"By {classifier.method} a class is not composed of seen ones: it is compared by its text."
            self.composed.children = (ipywidgets.HTML(message_box(said, GREY)),)
            return
        figure = composed_of(classifier, self.session.model.seen, self.state.name)
        self._composed = self._composed or as_widget(figure)
        redraw(self._composed, figure)
        self.composed.children = (self._composed,)

    def _show_timeline(self, path: str) -> None:
        """That of a video of several windows, drawn again when the video or the predictions are others."""
        table = self.session.table
        if path == self._timeline_of[0] and table is self._timeline_of[1]:
            return
        before, self._timeline_of = self.timeline.children, (path, table)
        several = ((table["path"] == path) & (table["prediction"] != NO_PREDICTION)).sum() > 1
        shown = [as_widget(timeline(table, path, self.session.model.about))] if several else []
        self.timeline.children = tuple(shown)
        for figure in before:
            figure.close()
