"""The widget of a user's own videos: read, name by classes that are typed, accept or correct names, save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import pandas as pd

from zsar_lab.infer.predictions import NO_PREDICTION, Paths, known_sentence, scored_sentences, sure_sentence
from zsar_lab.infer.search import search_windows
from zsar_lab.infer.session import VideoSession
from zsar_lab.text.class_lists import classes_of_lines
from zsar_lab.viz.clips import GREY, SCORE_IS, clip_grid, message_box, render
from zsar_lab.viz.figures.own_videos import timeline
from zsar_lab.viz.widgets import Panel, row, wide
from zsar_lab.viz.widgets.clip_grid import ClickedGrid
from zsar_lab.viz.widgets.figures import as_widget
from zsar_lab.viz.widgets.own_clips import ALL, caption, count, filters, moved_sentence, place_of, typed
from zsar_lab.viz.widgets.uploads import MOST_BYTES, Uploads

NO_CLIP = -1
METHODS = [("the model's usual one", ""), ("transfer", "transfer"), ("direct", "direct")]
ORDERS = BY_FILE, LEAST_SURE, MOST_SURE = "by file and time", "least sure first", "most sure first"
PER_PAGE = 24
MOST_PARTS = 8  # seen classes that a name is composed of


@dataclass(frozen=True)
class Shown:
    """Which clips are shown, and which one is chosen."""

    filter: str = ALL  # or UNSURE, SURE, MOVED, ACCEPTED, OPEN
    named: str = ""  # only those predicted as this class; "" for any
    order: str = BY_FILE  # one of ORDERS
    page: int = 0
    clip: int = NO_CLIP  # a row of the session's table
    name: str = ""  # the class that the clip may be given, and whose composition is shown
    query: str = ""  # that clips are ranked by; "" for none


class OwnVideos(Panel):
    """Read a folder or uploads; type classes; see each clip's prediction, how sure and why; correct; save.

    A text that is typed in `search` ranks the clips. Everything is also in `session`, which later cells can
    use. A refusal is shown in the box and changes nothing.

    Args:
        session: what it works on; videos and classes it has are shown at once.
        folder: first value of the field for a folder, a video, or a csv file with the columns path and label.
        classes: first lines of the field for classes, each "name" or "name: description"; "" for the
            session's.
        save_to: first value of the field for the folder where names are saved.

    Attributes:
        rows: rows of the session's table that are on the page.
    """

    def __init__(
        self,
        session: VideoSession,
        folder: str | Path = "",
        classes: str = "",
        save_to: str | Path = "",
    ) -> None:
        super().__init__("zsar-own-videos", Shown())
        self.session: Any = session
        self.rows: list[int] = []
        self._catalog: Any = None
        self._catalog_of: object = None
        self._was: dict[int, str] = {}  # the names of rows that moved, before they did
        self._warned_of: dict[int, str] = {}
        self._timeline_of: tuple[str, object] = ("", None)
        self._is_on_page = False
        if not classes and session.classifier is not None:
            classes = typed(session.classifier.classes)
        reading, naming = self._reading(str(folder)), self._naming(classes)
        self.chosen_clip = self._chosen_clip()
        self.table, self.saving = self._table(), self._saving(str(save_to))
        self.lay_out(reading, naming, self.table, self.saving)
        self.choose()
        self._is_on_page = True

    # the controls

    def _reading(self, folder: str) -> ipywidgets.VBox:
        self.uploads = Uploads(self._on_upload)
        self._refused: list[str] = []
        field = self.field("folder", "videos", folder, "560px", placeholder="a folder, video or csv file")
        read = self.button("read", "read", self._on_read, "read", primary=True)
        read_uploads = self.button("read_uploads", "read the uploads", self._on_read_uploads, "read")
        read_uploads.disabled = True
        said = f"or upload some, each up to {MOST_BYTES / 1e6:.0f} MB:"
        about = ipywidgets.HTML(message_box(said, "transparent"))
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
        composes, used = len(self.session.model.seen) > 0, self.session.classifier
        options = METHODS if composes else METHODS[::2]
        method = ipywidgets.Dropdown(options=options, description="method", **wide("260px"))
        method.value = "direct" if composes and used is not None and used.method == "direct" else ""
        self.controls["method"] = method
        name = self.button("name_them", "name them", self._on_name, "named", primary=True)
        layout = {"flex": "1 1 440px", "min_width": "0"}
        left = ipywidgets.VBox([area, row(name, method), self.page("named")], layout=layout)
        return row(left, self.page("about", flex="1 1 340px", margin="0 0 0 8px", width="auto"))

    def _table(self) -> ipywidgets.VBox:
        top = {"message": "table", "page": 0}
        above = row(
            self.dropdown("filter", "show", "220px", 40, **top),
            self.dropdown("named", "named", "260px", 50, **top),
            self.dropdown("order", "order", "230px", 45, **top, query=""),
            *self.page_buttons("table"),
            self.button("accept_sure", "accept all sure ones", self._on_sure, "table"),
        )
        self.grid = ClickedGrid()
        self.grid.observe(lambda _: self.attempt(self._on_click, "table"), "chosen")
        pages = self.page("counted"), self.page("table")
        search = row(self.search_field("table", page=0))
        return ipywidgets.VBox([above, search, *pages, self.chosen_clip, self.grid])

    def _chosen_clip(self) -> ipywidgets.VBox:
        naming = row(
            self.dropdown("name", "name", "380px", 50, message="clip"),
            self.button("accept", "accept this name", lambda: self._give(), "clip", primary=True),
            self.button("take_back", "take back", lambda: self._give(NO_PREDICTION), "clip"),
        )
        self.timeline = ipywidgets.VBox(layout={"min_width": "0"})
        box = ipywidgets.VBox([naming, self.page("clip"), self.timeline])
        box.add_class("zsar-own-clip")
        box.layout.display = "none"
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
        path = self._field("folder", "give a folder, a video or a csv file to read, or upload videos")
        self._read_these(Path(path).expanduser())

    def _field(self, name: str, wanted: str) -> str:
        if text := self.controls[name].value.strip():
            return text
        raise ValueError(f"{wanted}; the field is empty")

    def _on_read_uploads(self) -> None:
        self._read_these(self.uploads.files)
        self._refused.clear()
        self._on_upload("")

    def _read_these(self, paths: Paths) -> None:
        unsaved = dict(self.session.accepted.items() - self.session.saved.items())
        if unsaved and unsaved != self._warned_of:
            self._warned_of = unsaved
            names = count(len(unsaved), "accepted name")
            raise ValueError(f"{names} not saved; save, or press again to drop them")
        self.html["read"].value = message_box("Reading ...", GREY)
        self._working(lambda: self.session.read_videos(paths), "read", "read_uploads", "name_them")
        self._was, self._warned_of = {}, {}
        self.choose(page=0, clip=NO_CLIP)
        table, read = self.session.windows, self.session.windows["reason"] == ""
        of = f"{table.loc[read, 'path'].nunique()} of {count(table['path'].nunique(), 'video')} read."
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
        for failure in failures:
            raise failure
        return results[0]

    def _on_name(self) -> None:
        session, before, accepted = self.session, self.session.table, len(self.session.accepted)
        present, text = session.classifier, self.controls["classes"].value
        # lines that are untouched may say less than the classes they were made of
        untouched = present is not None and text.strip() == typed(present.classes).strip()
        classes = present.classes if untouched else classes_of_lines(text)
        session.use_classes(classes, self.controls["method"].value or None)
        self._was = {number: before["prediction"][number] for number in session.changed}
        self.choose(page=0, name="")
        moved = moved_sentence(session, self._was, accepted - len(session.accepted))
        self.html["named"].value = message_box(moved, GREY)

    def _on_click(self) -> None:
        if not self._quiet and self.grid.chosen < len(self.rows):
            self.choose(clip=NO_CLIP if self.grid.chosen < 0 else self.rows[self.grid.chosen], name="")

    def _on_sure(self) -> None:
        n_taken = self.session.accept()
        self.choose(name="")
        n_all = len(self.session.accepted)
        self.html["table"].value = message_box(f"{n_taken} names accepted; {n_all} in all.", GREY)

    def _give(self, name: str | None = None) -> None:
        """Accept a name (None: the chosen one) or take it back; where the clip leaves the page, go on."""
        clip, place = self.state.clip, self.rows.index(self.state.clip)
        self.session.correct(clip, self.state.name if name is None else name)
        self.choose(name="")
        if clip not in self.rows and self.rows:
            self.choose(clip=self.rows[min(place, len(self.rows) - 1)], name="")

    def _on_save(self) -> None:
        folder = Path(self._field("save_to", "give an empty or new folder to save in")).expanduser().resolve()
        self.html["saved"].value = message_box("Saving ...", GREY)
        prepared = self._working(lambda: self.session.save(folder), "save")
        usable, uploads = prepared.catalog.usable, str(self.uploads.folder.resolve())
        counts = {"clips": count(len(usable), "clip"), "bad": count(len(prepared.bad_clips), "clip")}
        counts["classes"] = count(usable["class"].nunique(), "class", "classes")
        uploaded = sum(("/" + path.removeprefix("/")).startswith(uploads) for path in usable["path"])
        about = counts | {"folder": str(folder), "uploaded": uploaded}
        self.html["saved"].value = render("own_saved.html", **about)

    # what is shown

    def show(self) -> None:
        """Draw what the session has: its model, what could not be read, a page of clips, the chosen clip."""
        session, classifier = self.session, self.session.classifier
        said = [f"{session.model.name}: {session.model.about}."]
        if classifier is not None:
            said.append(f"Named by {classifier.method}, class texts by {classifier.class_text.prompt}.")
            said += [known_sentence(classifier), sure_sentence(classifier)]
            said += [] if session.table is None else scored_sentences(session.table, classifier)
        self.html["about"].value = render("own_about.html", lines=said)
        table = pd.DataFrame({"prediction": []}) if session.table is None else session.table
        unread = table[table["prediction"] == NO_PREDICTION].to_dict("records")
        there = len(table) > len(unread)
        self.html["unread"].value = render("own_unread.html", rows=unread) if unread else ""
        self.table.layout.display = self.saving.layout.display = None if there else "none"
        if there:
            self._show_table()

    def _show_table(self) -> None:
        session, catalog = self.session, self._playing()
        rows_of, named = filters(session)
        self.offer("filter", [(f"{key} ({len(rows)})", key) for key, rows in rows_of.items()])
        self.offer("named", [(f"{key or 'any'} ({len(rows)})", key) for key, rows in named.items()])
        self.offer("order", ORDERS)
        of_class = set(named[self.state.named])
        chosen = [number for number in rows_of[self.state.filter] if number in of_class]
        if self.state.order != BY_FILE:
            confidence, ascending = session.table["confidence"][chosen], self.state.order == LEAST_SURE
            chosen = confidence.sort_values(ascending=ascending, kind="stable").index.tolist()
        score: dict[int, float] = {}
        if self.state.query:
            found = search_windows(self.state.query, session.model, session.windows, len(session.windows))
            score = dict(zip(found["row"], found["score"], strict=True))
            shown = set(chosen)
            chosen = [number for number in score if number in shown]
        place = self.turn(len(chosen), PER_PAGE)
        self.rows, first = chosen[place : place + PER_PAGE], place + 1
        videos = count(session.table["path"].nunique(), "video")
        said = f"{len(chosen)} of {count(len(rows_of[ALL]), 'clip')} of {videos}"
        said += f"; shown are {first} to {first + len(self.rows) - 1}." if chosen else "; none of these."
        said += f" Nearest to “{self.state.query}” first. {SCORE_IS}" if score else ""
        self.html["counted"].value = message_box(said, "transparent")
        captions = [caption(session, number, self._was, score.get(number)) for number in self.rows]
        ids = [self._id_of[number] for number in self.rows]
        grid = self._working(lambda: clip_grid(catalog, ids, captions))
        there = self.state.clip in self.rows
        why = self._show_clip() if there else ""
        self.chosen_clip.layout.display = None if there else "none"
        with self.quietly():
            self.grid.draw(grid, self.rows.index(self.state.clip) if there else -1, why)

    def _playing(self) -> Any:
        """The catalog that clips are played from, made once for the videos that were read."""
        session = self.session
        if self._catalog_of is not session.windows:
            self._catalog, self._catalog_of = self._working(session.catalog), session.windows
            self._id_of = dict(zip(filters(session)[0][ALL], self._catalog.clips["id"], strict=True))
        return self._catalog

    def _show_clip(self) -> str:
        """Offer the names of the chosen clip and show its timeline; returns its best classes as html."""
        session, clip = self.session, self.state.clip
        window, accepted = session.table.loc[clip], session.accepted.get(clip)
        if self.state.name not in session.classifier.names:
            self.state = replace(self.state, name=accepted or window["prediction"])
        self.offer("name", session.classifier.names)
        self.controls["take_back"].disabled = accepted is None
        self._show_timeline(window["path"])
        about = {"window": window, "place": place_of(session.table, clip), "accepted": accepted}
        return render("own_best.html", **about) + self._composed()

    def _composed(self) -> str:
        """Html: the seen classes that the name is composed of, where the method composes."""
        classifier, name, parts = self.session.classifier, self.state.name, []
        if classifier.transfer_weights_CS is not None:
            weight_S = classifier.transfer_weights_CS[classifier.names.index(name)]
            labels = self.session.model.seen["label"]
            parts = [(labels.iloc[s], weight_S[s]) for s in np.argsort(-weight_S) if weight_S[s] > 0]
        rest = {"n_rest": len(parts[MOST_PARTS:]), "rest": sum(weight for _, weight in parts[MOST_PARTS:])}
        about = {"name": name, "method": classifier.method, "parts": parts[:MOST_PARTS]}
        return render("own_composed.html", **about, **rest)

    def _show_timeline(self, path: str) -> None:
        """That of a video of several windows, drawn again when the video or the predictions are others."""
        table = self.session.table
        if path != self._timeline_of[0] or table is not self._timeline_of[1]:
            before, self._timeline_of = self.timeline.children, (path, table)
            several = ((table["path"] == path) & (table["prediction"] != NO_PREDICTION)).sum() > 1
            shown = [as_widget(timeline(table, path, self.session.model.about))] if several else []
            self.timeline.children = tuple(shown)
            for figure in before:
                figure.close()
