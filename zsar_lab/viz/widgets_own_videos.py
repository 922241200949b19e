"""The widget of one's own videos: read them, name them by classes that are typed, see how sure to be, accept or correct names, and save them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipywidgets

from zsar_lab.data.catalog import Catalog
from zsar_lab.infer.classify import Paths
from zsar_lab.infer.session import NamingSession
from zsar_lab.methods.fitted import TRANSFER
from zsar_lab.results.evaluate import DIRECT
from zsar_lab.text.class_lists import Classes, classes_of_lines
from zsar_lab.viz import own_videos_html as words
from zsar_lab.viz.clips import GREY, clip_grid, message_box
from zsar_lab.viz.selections import pages
from zsar_lab.viz.widgets import Quiet, said_or_shown, visibly
from zsar_lab.viz.widgets_errors import RESTARTED
from zsar_lab.viz.widgets_own_videos_clip import ClipPanel
from zsar_lab.viz.widgets_own_videos_grid import ClickedGrid
from zsar_lab.viz.widgets_own_videos_upload import MOST_BYTES, Uploads

NO_CLIP = ("choose a clip, here or by a click on it", -1)
USUAL_METHOD = ("the model's usual one", "")  # None is no value of a dropdown
STYLE = (
    "<style>.zsar-own-videos .widget-html-content{min-width:0}.zsar-own-videos p{margin:0 0 4px 0}.zsar-without-kernel{display:none}"
    ".jupyter-widgets-disconnected .zsar-without-kernel{display:block}</style>"
)


def own_videos(
    session: NamingSession,
    folder: str | Path = "",
    classes: str = "",
    save_to: str | Path = "",
    most: int = 24,
) -> ipywidgets.VBox:
    """Read a folder or uploaded videos; type classes; see each clip's name, how sure it is and why; accept or give other names; save them.

    Everything is also in `session`, which later cells can ask. What is refused is said in the box, and what
    was there stays.

    Args:
        session: what it does; what was read and named before is shown at once.
        folder: the first value of the field for a folder, a video, or a csv file with the columns path and
            label.
        classes: the first lines of the field for classes, each "name" or "name: description"; "" for those
            that the session is at.
        save_to: the first value of the field for the folder where names are saved.
        most: clips on a page, 1 or more.

    Raises:
        ValueError: most is below 1.
    """
    if int(most) != most or most < 1:
        raise ValueError(
            f"most must be a whole number of clips of 1 or more, got {most}; 24 is the usual one"
        )
    return _OwnVideos(session, str(folder), classes, str(save_to), int(most)).box


class _OwnVideos:
    """The widgets and their state: the page, the chosen clip, and which names moved."""

    def __init__(self, session: NamingSession, folder: str, classes: str, save_to: str, most: int) -> None:
        self._session, self._most = session, most
        self._uploads, self._refused = Uploads(self._on_upload), []
        self._panel = ClipPanel(session, self._on_given)
        self._catalog: Catalog | None = None
        self._catalog_of: object = None
        self._was: dict[int, str] = {}
        self._page, self._rows, self._quiet = 0, [], Quiet()
        self._warned_of: dict[int, str] = {}
        if not classes and session.candidates is not None:
            classes = words.typed(session.candidates.table)
        self._make_reading(folder)
        self._make_naming(classes)
        self._make_table()
        self._make_saving(save_to)
        restarted = ipywidgets.HTML(f'{STYLE}<div class="zsar-without-kernel">{message_box(RESTARTED)}</div>')
        self.box = ipywidgets.VBox(
            [restarted, self._reading, self._naming, self._table, self._panel.box, self._saving]
        )
        self.box.add_class("zsar-own-videos")
        self._is_on_page = False
        visibly(self._show_all, self._read_said)
        self._is_on_page = True

    # what stands there

    def _make_reading(self, folder: str) -> None:
        self._folder = ipywidgets.Text(
            value=folder,
            description="videos",
            placeholder="a folder, a video, or a csv file",
            style=_wide(60),
        )
        self._folder.layout = {"width": "min(560px, 100%)"}
        self._read = ipywidgets.Button(description="read", button_style="primary", layout={"width": "80px"})
        self._read_uploads = ipywidgets.Button(
            description="read the uploads", disabled=True, layout={"width": "150px"}
        )
        self._uploaded, self._read_said, self._unread = (
            ipywidgets.HTML(layout={"width": "98%"}) for _ in range(3)
        )
        self._progress = ipywidgets.Output()
        about = ipywidgets.HTML(
            message_box(f"or upload some, each up to {MOST_BYTES / 1e6:.0f} MB:", "transparent")
        )
        rows = _row(self._folder, self._read), _row(about, self._uploads.button, self._read_uploads)
        self._reading = ipywidgets.VBox(
            [*rows, self._uploaded, self._progress, self._read_said, self._unread]
        )
        self._read.on_click(lambda _: self._attempt(self._on_read, self._read_said))
        self._read_uploads.on_click(lambda _: self._attempt(self._on_read_uploads, self._read_said))

    def _make_naming(self, classes: str) -> None:
        lines, placeholder = (
            sum(1 + len(line) // 75 for line in classes.splitlines()),
            "a class a line:\nname\nname: description",
        )
        rows = min(16, max(6, lines + 1))
        self._classes = ipywidgets.Textarea(
            value=classes, placeholder=placeholder, rows=rows, layout={"width": "auto"}
        )
        composes = [("transfer", TRANSFER)] if len(self._session.model.seen) else []
        methods = [USUAL_METHOD, *composes, ("direct", DIRECT)]
        self._method = ipywidgets.Dropdown(
            options=methods, description="method", style=_wide(40), layout={"width": "260px"}
        )
        used = None if self._session.candidates is None else self._session.candidates.method
        self._method.value = used if used == DIRECT and composes else USUAL_METHOD[1]
        self._name = ipywidgets.Button(
            description="name them", button_style="primary", layout={"width": "120px"}
        )
        self._named_said, self._about = ipywidgets.HTML(), ipywidgets.HTML()
        typed = ipywidgets.VBox(
            [self._classes, _row(self._name, self._method), self._named_said],
            layout={"flex": "1 1 440px", "min_width": "0"},
        )
        self._about.layout = {"flex": "1 1 340px", "min_width": "0", "margin": "0 0 0 8px"}
        self._naming = _row(typed, self._about)
        self._name.on_click(lambda _: self._attempt(self._on_name, self._named_said))

    def _make_table(self) -> None:
        self._filter = ipywidgets.Dropdown(
            description="show", style=_wide(40), layout={"width": "min(320px, 100%)"}
        )
        self._order = ipywidgets.Dropdown(
            options=words.ORDERS, description="order", style=_wide(45), layout={"width": "min(230px, 100%)"}
        )
        self._back, self._on = (
            ipywidgets.Button(description=text, layout={"width": "100px"})
            for text in ("◀ earlier", "later ▶")
        )
        self._accept_sure = ipywidgets.Button(description="accept all sure ones", layout={"width": "170px"})
        self._counted, self._table_said = ipywidgets.HTML(), ipywidgets.HTML()
        self._grid = ClickedGrid()
        self._clip = ipywidgets.Dropdown(
            options=[NO_CLIP], description="clip", style=_wide(40), layout={"width": "min(620px, 100%)"}
        )
        above = _row(self._filter, self._order, self._back, self._on, self._accept_sure)
        self._table = ipywidgets.VBox([above, self._counted, self._table_said, self._grid, self._clip])
        for widget in (self._filter, self._order):
            widget.observe(
                lambda _: None if self._quiet.now else self._attempt(self._on_filter, self._table_said),
                "value",
            )
        self._clip.observe(
            lambda _: None if self._quiet.now else self._attempt(self._on_clip, self._table_said), "value"
        )
        self._grid.observe(
            lambda _: None if self._quiet.now else self._attempt(self._on_click, self._table_said), "chosen"
        )
        self._back.on_click(lambda _: self._attempt(lambda: self._turn(-1), self._table_said))
        self._on.on_click(lambda _: self._attempt(lambda: self._turn(1), self._table_said))
        self._accept_sure.on_click(lambda _: self._attempt(self._on_sure, self._table_said))

    def _make_saving(self, save_to: str) -> None:
        self._save_to = ipywidgets.Text(
            value=save_to, description="save in", placeholder="an empty folder", style=_wide(60)
        )
        self._save_to.layout = {"width": "min(560px, 100%)"}
        self._save = ipywidgets.Button(description="save", button_style="primary", layout={"width": "80px"})
        self._save_said = ipywidgets.HTML(layout={"width": "98%"})
        self._saving = ipywidgets.VBox([_row(self._save_to, self._save), self._save_said])
        self._save.on_click(lambda _: self._attempt(self._on_save, self._save_said))

    # what happens

    def _attempt(self, action: Callable[[], Any], message: ipywidgets.HTML) -> None:
        said_or_shown(action, message)

    def _on_upload(self, said: str) -> None:
        files = self._uploads.files
        self._read_uploads.disabled = not files
        sizes = ", ".join(f"{path.name} ({path.stat().st_size / 1e6:.1f} MB)" for path in files)
        self._refused += [said] if said else []
        lines = ([f"uploaded: {sizes}"] if files else []) + self._refused
        self._uploaded.value = "".join(message_box(line, GREY) for line in lines)

    def _on_read(self) -> None:
        path = self._folder.value.strip()
        if not path:
            raise ValueError(
                "there must be a folder, a video or a csv file to read, the field is empty; write its path, or upload videos"
            )
        self._read_these(Path(path).expanduser())

    def _on_read_uploads(self) -> None:
        self._read_these(self._uploads.files)
        self._refused.clear()
        self._on_upload("")

    def _read_these(self, paths: Paths) -> None:
        unsaved = dict(self._session.accepted.items() - self._session.saved.items())
        if unsaved and unsaved != self._warned_of:
            self._warned_of = unsaved
            are, them = ("name is", "it") if len(unsaved) == 1 else ("names are", "them")
            raise ValueError(
                f"other videos take the place of these, {len(unsaved)} accepted {are} not saved; save {them}, or press again to drop {them}"
            )
        buttons = self._read, self._read_uploads, self._name
        before = [button.disabled for button in buttons]
        for button in buttons:
            button.disabled = True
        self._read_said.value = message_box("Reading ...", GREY)
        try:
            self._with_progress(lambda: self._session.read_videos(paths))
        finally:
            for button, disabled in zip(buttons, before, strict=True):
                button.disabled = disabled
        self._was, self._warned_of, self._page = {}, {}, 0
        self._panel.show(None, None, "")
        self._show_all()
        self._read_said.value = message_box(words.read_sentence(self._session), GREY)

    def _with_progress(self, action: Callable[[], Any]) -> None:
        """The bars of an action stand in the box until it is done; what it raises is raised, which Output alone would swallow.

        While the box is made they stand in the cell's output: notebooks that are executed without widget
        state know no Output.
        """
        if not self._is_on_page:
            action()
            return
        failures: list[BaseException] = []
        self._progress.layout.display = None
        with self._progress:
            try:
                action()
            except BaseException as error:
                failures.append(error)
            self._progress.clear_output()
        self._progress.layout.display = "none"  # a bar may reach the page after it was cleared
        if failures:
            raise failures[0]

    def _on_name(self) -> None:
        session, before, accepted = self._session, self._session.table, len(self._session.accepted)
        session.name_by(self._given_classes(), self._method.value or None)
        self._was = {row: before["name"][row] for row in session.moved}
        self._page = 0
        self._show_all()
        self._named_said.value = message_box(
            words.moved_sentence(session, self._was, accepted - len(session.accepted)), GREY
        )

    def _given_classes(self) -> Classes:
        """What is typed; the classes that are named by now while their lines were not touched, for lines do not hold all that a table may say."""
        candidates = self._session.candidates
        if candidates is not None and self._classes.value.strip() == words.typed(candidates.table).strip():
            return candidates.table
        return classes_of_lines(self._classes.value)

    def _on_filter(self) -> None:
        self._page = 0
        self._show_table()

    def _turn(self, by: int) -> None:
        self._page += by
        self._show_table()

    def _on_clip(self) -> None:
        self._choose(None if self._clip.value == NO_CLIP[1] else self._clip.value)

    def _on_click(self) -> None:
        if 0 <= self._grid.chosen < len(self._rows):
            self._choose(self._rows[self._grid.chosen])

    def _on_sure(self) -> None:
        n_taken = self._session.accept()
        self._show_table()
        self._table_said.value = message_box(
            f"{n_taken} names accepted; {len(self._session.accepted)} in all.", GREY
        )

    def _on_given(self) -> None:
        """A name was accepted or taken back; where the clip is shown no more, that which takes its place is chosen."""
        row = self._panel.row
        place = self._rows.index(row) if row in self._rows else 0
        self._show_table()
        if row not in self._rows and self._rows:
            self._choose(self._rows[min(place, len(self._rows) - 1)])

    def _on_save(self) -> None:
        text = self._save_to.value.strip()
        if not text:
            raise ValueError(
                "there must be a folder to save in, the field is empty; write the path of an empty or new one"
            )
        folder = Path(text).expanduser().resolve()
        self._save.disabled, self._save_said.value = True, message_box("Saving ...", GREY)
        kept: list[Any] = []
        try:
            self._with_progress(lambda: kept.append(self._session.save(folder)))
        finally:
            self._save.disabled = False
        prepared = kept[0]
        uploads = sum(
            path.startswith(str(self._uploads.folder.resolve()))
            for path in "/" + prepared.catalog.usable["path"].str.removeprefix("/")
        )
        self._save_said.value = words.saved_html(prepared.catalog, folder, len(prepared.bad_clips), uploads)

    # what is shown

    def _show_all(self) -> None:
        session = self._session
        self._about.value = words.about_html(session.model, session.candidates, session.table)
        self._unread.value = "" if session.table is None else words.unread_html(session.table)
        there = bool(session.table is not None and len(words.rows_of(session)))
        self._table.layout.display = self._saving.layout.display = None if there else "none"
        if there:
            self._show_table()
        else:
            self._panel.show(None, None, "")

    def _show_table(self) -> None:
        session = self._session
        self._play()
        with self._quiet():
            key, options = self._filter.value, words.choices(session)
            self._filter.options = options
            self._filter.value = key if key in [value for _, value in options] else words.ALL
        chosen = words.rows_of(session, self._filter.value, self._order.value)
        n_pages = pages(len(chosen), self._most)
        self._page = min(max(self._page, 0), n_pages - 1)
        self._rows = chosen[self._page * self._most : (self._page + 1) * self._most]
        self._back.disabled, self._on.disabled = self._page == 0, self._page == n_pages - 1
        first = self._page * self._most + 1
        self._counted.value = message_box(
            words.counted(session, self._rows, first, len(chosen)), "transparent"
        )
        captions = [words.caption(session, row, self._was) for row in self._rows]
        grid: list[str] = []
        self._with_progress(
            lambda: grid.append(clip_grid(self._catalog, [self._id_of[row] for row in self._rows], captions))
        )
        listed = [
            (f"{n}. {caption.lines[0]}, {caption.lines[-1]}", row)
            for n, (row, caption) in enumerate(zip(self._rows, captions), first)
        ]
        with self._quiet():
            self._grid.html = grid[0]
            self._clip.options = [NO_CLIP, *listed]
        self._choose(self._panel.row if self._panel.row in self._rows else None)

    def _play(self) -> None:
        """The catalog that clips are played from, made once for the videos that were read."""
        session = self._session
        if self._catalog_of is not session.read:
            made: list[Catalog] = []
            self._with_progress(lambda: made.append(session.catalog()))
            self._catalog, self._catalog_of = made[0], session.read
            self._id_of = dict(zip(words.rows_of(session), self._catalog.clips["id"], strict=True))

    def _choose(self, row: int | None) -> None:
        with self._quiet():
            self._clip.value = NO_CLIP[1] if row is None else row
            self._grid.chosen = self._rows.index(row) if row is not None else -1
        self._panel.show(row, self._catalog, "" if row is None else self._id_of[row])


def _wide(pixels: int) -> dict[str, str]:
    return {"description_width": f"{pixels}px"}


def _row(*widgets: ipywidgets.Widget) -> ipywidgets.HBox:
    return ipywidgets.HBox(list(widgets), layout={"flex_flow": "row wrap"})
