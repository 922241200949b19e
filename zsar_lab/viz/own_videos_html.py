"""A user's named videos in words and html: which of them are shown, what stands below each, the best classes of one, and what was saved."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.infer.answers import NO_NAME
from zsar_lab.infer.classifier import Candidates, NamingModel
from zsar_lab.infer.session import NamingSession
from zsar_lab.infer.written import scored_sentences, sure_sentence
from zsar_lab.viz.clips import TEXT, Caption
from zsar_lab.viz.figures.style import BLUE

ALL, UNSURE, SURE, MOVED, ACCEPTED, OPEN = "all", "unsure", "sure", "moved", "accepted", "not accepted"
LEAST_SURE, MOST_SURE, BY_FILE = "least sure first", "most sure first", "by file and time"
ORDERS = (BY_FILE, LEAST_SURE, MOST_SURE)
LEAST_CLASSES, LEAST_VIDEOS = (
    8,
    2,
)  # of the default random split, and of a class in it: one to train on and one to hold out
MOST_LISTED = 20


def typed(table: pd.DataFrame) -> str:
    """Names and descriptions of a table of classes, as lines to be edited; a name with a colon must then be written without."""
    rows = zip(table["name"], (" ".join(text.split()) for text in table["description"]), strict=True)
    return "\n".join(f"{name}: {text}" if text else name for name, text in rows)


def choices(session: NamingSession) -> list[tuple[str, str]]:
    """What can be shown of a session's clips, with how many there are of each, as options of a dropdown: "all", "unsure", ..., `class <name>`."""
    read = _read(session)
    counts = {key: len(rows_of(session, key)) for key in (ALL, UNSURE, SURE, MOVED, ACCEPTED, OPEN)}
    named = read["name"].value_counts()
    classes = [
        (f"named {name} ({named[name]})", f"class {name}")
        for name in session.candidates.names
        if name in named
    ]
    return [(f"{key} ({count})", key) for key, count in counts.items()] + classes


def rows_of(session: NamingSession, key: str = ALL, order: str = BY_FILE) -> list[int]:
    """The rows of `session.table` that are shown by a key of `choices`, in order; those that could not be read are never shown.

    Raises:
        ValueError: no such key or order.
    """
    read = _read(session)
    rows = read.index.to_series()
    unsure, accepted = read["unsure"].astype(bool), rows.isin(list(session.accepted))
    of_key = {
        ALL: rows >= 0,
        UNSURE: unsure,
        SURE: ~unsure,
        MOVED: rows.isin(session.moved),
        ACCEPTED: accepted,
        OPEN: ~accepted,
    }
    if key.startswith("class "):
        of_key[key] = read["name"] == key.removeprefix("class ")
    if key not in of_key or order not in ORDERS:
        raise ValueError(
            f"clips are shown by one of {', '.join(of_key)} and {', '.join(ORDERS)}, got {key!r} and {order!r}"
        )
    chosen = read[of_key[key]]
    if order != BY_FILE:
        chosen = chosen.sort_values("confidence", ascending=order == LEAST_SURE, kind="stable")
    return chosen.index.tolist()


def caption(session: NamingSession, row: int, was: Mapping[int, str]) -> Caption:
    """What stands below a clip: its name, confidence, second best, why it is unsure, what it was called before, and its place in a longer video.

    An accepted clip has a frame and ✓.

    Args:
        session: with answers.
        row: of its table, one that was read.
        was: the name that a row had before the last change of classes, of those that moved.
    """
    window, accepted = session.table.loc[row], session.accepted.get(row)
    answered = f"{window['name']} {100 * window['confidence']:.0f}\u00a0%"  # the sign stays with its number
    lines = [answered] if accepted in (None, window["name"]) else [accepted, f"answer: {answered}"]
    lines += [f"then {name} {100 * share:.0f}\u00a0%" for name, share in window["best"][1:2]]
    lines += [f"⚠ {window['why']}"] if window["unsure"] else []
    lines += [f"↻ was {was[row]}"] if row in was else []
    return Caption((*lines, place_of(session.table, row)), True if accepted else None)


def place_of(table: pd.DataFrame, row: int) -> str:
    """The file's name; of a video of several windows also the stretch of it."""
    window = table.loc[row]
    several = (table["path"] == window["path"]).sum() > 1
    return Path(window["path"]).name + (
        f", {window['start_s']:.1f} to {window['end_s']:.1f} s" if several else ""
    )


def counted(session: NamingSession, shown: Sequence[int], first: int, n_chosen: int) -> str:
    """One line: how many clips there are, how sure, how many accepted; and which are shown."""
    read, table = _read(session), session.table
    n_unsure, n_unread = int(read["unsure"].sum()), len(table) - len(read)
    parts = [
        f"{_n(len(read), 'clip')} of {_n(read['path'].nunique(), 'video')}",
        f"{len(read) - n_unsure} sure",
        f"{n_unsure} unsure",
    ]
    parts += [f"{len(session.accepted)} accepted", *([f"{n_unread} not read"] if n_unread else [])]
    shows = (
        f"shown are {first} to {first + len(shown) - 1} of {n_chosen}" if shown else "there are none of these"
    )
    return f"{', '.join(parts)}; {shows}."


def read_sentence(session: NamingSession) -> str:
    """How many videos were read, and what to do next where there are no classes yet."""
    table, read = session.read.table, session.read.read
    next_step = "" if session.candidates is not None else " Now type classes and press “name them”."
    return f"{table.loc[read, 'path'].nunique()} of {_n(table['path'].nunique(), 'video')} read.{next_step}"


def moved_sentence(session: NamingSession, was: Mapping[int, str], n_forgotten: int = 0) -> str:
    """What the last change of classes did to the names."""
    classes = _n(len(session.candidates.names), "class", "classes")
    if session.table is None:
        return f"{classes} are read; now read videos."
    n_read = len(_read(session))
    ways = pd.Series(
        [f"{before} → {session.table['name'][row]}" for row, before in was.items()], dtype=object
    ).value_counts()
    listed = "; ".join(f"{way} ({count})" for way, count in ways.head(6).items()) + (
        "; …" if len(ways) > 6 else ""
    )
    forgotten = (
        f" {_n(n_forgotten, 'accepted name')} that {'is' if n_forgotten == 1 else 'are'} no class any more: forgotten."
        if n_forgotten
        else ""
    )
    moved = (
        f"{len(was)} of {_n(n_read, 'clip')} moved: {listed}."
        if was
        else f"of {_n(n_read, 'clip')} none moved to another name."
    )
    return f"{classes}; {moved}{forgotten}"


def about_html(model: NamingModel, candidates: Candidates | None, table: pd.DataFrame | None) -> str:
    """Where the model comes from, how sure to be, and what its names are worth where labels are known."""
    said = [f"{model.name}: {model.about}."]
    if candidates is not None:
        said.append(f"Named by {candidates.method}, class texts by {candidates.class_text.prompt}.")
        said.append(sure_sentence(candidates))
        said += scored_sentences(table, candidates) if table is not None else []
    return f'<div class="zsar-about" style="line-height:1.4;{TEXT}">{"".join(f"<p>{html.escape(line)}</p>" for line in said)}</div>'


def unread_html(table: pd.DataFrame) -> str:
    """The videos, and parts of them, that could not be read, with their reasons; "" without any."""
    unread = table[table["name"] == NO_NAME]
    if unread.empty:
        return ""
    first = zip(unread["path"].head(MOST_LISTED), unread["why"])
    listed = "".join(
        f"<li>{html.escape(why if path in why else f'{path}: {why}')}</li>" for path, why in first
    )
    more = f"<li>and {len(unread) - MOST_LISTED} more</li>" if len(unread) > MOST_LISTED else ""
    head = f"<summary>{len(unread)} could not be read</summary>"
    style = f"font-size:13px;line-height:1.4;overflow-wrap:anywhere;{TEXT}"
    return f'<details class="zsar-unread" open style="{style}">{head}<ul>{listed}{more}</ul></details>'


def best_html(table: pd.DataFrame, row: int, accepted: str | None = None) -> str:
    """The best classes of a clip, each with its confidence as a bar; what is remarked about it, and its label where that is known.

    Args:
        table: of the session.
        row: of it, one that was read.
        accepted: its accepted name.
    """
    window, rows = table.loc[row], ""
    for name, share in window["best"]:
        mark = "✓ " if name == accepted else ""
        bar = f"<div style='background:{BLUE};width:{100 * share:.1f}%;min-width:1px;height:12px'></div>"
        cells = f"<td>{mark}{html.escape(name)}</td><td style='width:45%'>{bar}</td><td style='text-align:right'>{100 * share:.1f} %</td>"
        rows += f"<tr>{cells}</tr>"
    style = "width:100%;font-size:13px;line-height:1.5;overflow-wrap:anywhere"
    label = [f"label: {window['label']}"] if window["label"] else []
    unsure = [f"⚠ {window['why']}"] if window["unsure"] else []
    notes = "".join(
        f"<div>{html.escape(note)}</div>"
        for note in (place_of(table, row), *label, *unsure, window["remark"])
        if note
    )
    head = (
        f"confidence of the {len(window['best'])} best; nearness of the first (cosine) {window['score']:.2f}"
    )
    return f'<div class="zsar-best" style="font-size:13px;line-height:1.5;{TEXT}">{notes}<div>{head}</div><table style="{style}">{rows}</table></div>'


def saved_html(catalog: Catalog, folder: Path, n_bad: int = 0, n_uploaded: int = 0) -> str:
    """What was saved, how another notebook opens it, and what a training needs.

    Args:
        catalog: that was saved.
        folder: where.
        n_bad: clips of it that could not be decoded.
        n_uploaded: clips of videos that lie in a temporary folder.
    """
    usable, path = catalog.usable, str(folder)
    n_named = usable["class"].nunique()
    said = [
        f"{_n(len(usable), 'clip')} of {_n(n_named, 'class', 'classes')} are saved in '{folder}': catalog, frames and labels.csv."
    ]
    said += [f"{_n(n_bad, 'clip')} could not be decoded, see bad_clips.csv."] if n_bad else []
    said += (
        [
            f"{_n(n_uploaded, 'clip')} lie where uploads go: their frames are kept, the videos go with this widget."
        ]
        if n_uploaded
        else []
    )
    opens = f"Workspace('runs/own', Study(data=Data(prepared={path!r}), protocols=('random-0',), text=Text(prompt='label')))"
    loads = f"Catalog.load({str(folder / 'catalog')!r})"
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in said)
    code = [f"<div><code>{html.escape(line)}</code></div>" for line in (loads, opens)]
    either = "<p>To look at it, and as the other notebooks take it:</p>"
    box = f"border:1px solid #808080;padding:4px 8px;overflow-wrap:anywhere;line-height:1.4;{TEXT}"
    return f'<div class="zsar-message zsar-saved" style="{box}">{lines}{either}{"".join(code)}<p>{html.escape(training_sentence(catalog))}</p></div>'


def training_sentence(catalog: Catalog) -> str:
    """Whether the default random split can be made of a catalog, and trained on."""
    videos = catalog.usable.groupby("class")["path"].nunique()
    needs = f"a study needs {LEAST_CLASSES} classes or more with {LEAST_VIDEOS} videos or more each"
    few = sorted(videos.index[videos < LEAST_VIDEOS])
    if len(videos) >= LEAST_CLASSES and not few:
        return f"That is enough to train on as a trial ({needs}); for a model worth using take many more."
    lacks = [f"{_n(len(videos), 'class', 'classes')} are here"] if len(videos) < LEAST_CLASSES else []
    if few:
        more = f", and {len(few) - 1} more have too few" if len(few) > 1 else ""
        lacks.append(f"{few[0]!r} has {_n(int(videos[few[0]]), 'video')}{more}")
    return f"The second line will refuse it for now: {needs}, {'; '.join(lacks)}."


def _read(session: NamingSession) -> pd.DataFrame:
    return session.table[session.table["name"] != NO_NAME]


def _n(count: int, one: str, several: str = "") -> str:
    return f"{count} {one if count == 1 else several or one + 's'}"
