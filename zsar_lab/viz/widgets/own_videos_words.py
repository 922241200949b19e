"""A user's videos in words and html: which clips are shown, and what was predicted, read or moved.

A session is a `VideoSession`, which but for `about_html` has predictions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.infer.predictions import NO_PREDICTION, scored_sentences, sure_sentence
from zsar_lab.viz.clips import Caption, render

FILTERS = ALL, UNSURE, SURE, MOVED, ACCEPTED, OPEN = (
    "all",
    "unsure",
    "sure",
    "moved",
    "accepted",
    "not accepted",
)
ORDERS = BY_FILE, LEAST_SURE, MOST_SURE = ("by file and time", "least sure first", "most sure first")


def typed(table: pd.DataFrame) -> str:
    """Names and descriptions of a table of classes as lines to edit."""
    rows = zip(table["name"], (" ".join(text.split()) for text in table["description"]), strict=True)
    return "\n".join(f"{name}: {text}" if text else name for name, text in rows)


def rows_of(session: Any, key: str = ALL, order: str = BY_FILE) -> list[int]:
    """Rows of `session.table` that could be read, of a filter and in an order.

    Raises:
        ValueError: no such filter or order.
    """
    read = session.table[session.table["prediction"] != NO_PREDICTION]
    rows, unsure = read.index.to_series(), read["unsure"].astype(bool)
    accepted = rows.isin(list(session.accepted))
    moved = rows.isin(session.changed)
    chosen = dict(zip(FILTERS, (rows >= 0, unsure, ~unsure, moved, accepted, ~accepted)))
    if key.startswith("class "):
        chosen[key] = read["prediction"] == key.removeprefix("class ")
    if key not in chosen or order not in ORDERS:
        raise ValueError(f"clips are shown by one of {', '.join((*chosen, *ORDERS))}, got {key!r}, {order!r}")
    read = read[chosen[key]]
    if order != BY_FILE:
        read = read.sort_values("confidence", ascending=order == LEAST_SURE, kind="stable")
    return read.index.tolist()


def filters(session: Any) -> list[tuple[str, str]]:
    """Options of a list: each filter and each predicted class, with its number of clips."""
    named = session.table["prediction"].value_counts()
    classes = [name for name in session.classifier.names if name in named]
    return [(f"{key} ({len(rows_of(session, key))})", key) for key in FILTERS] + [
        (f"named {name} ({named[name]})", f"class {name}") for name in classes
    ]


def caption(session: Any, number: int, was: Mapping[int, str]) -> Caption:
    """Below a clip: prediction, confidence, second best, why unsure, name before, place in the video."""
    window, accepted = session.table.loc[number], session.accepted.get(number)
    predicted = f"{window['prediction']} {100 * window['confidence']:.0f}\u00a0%"
    lines = [predicted] if accepted in (None, window["prediction"]) else [accepted, f"predicted: {predicted}"]
    lines += [f"then {name} {100 * share:.0f}\u00a0%" for name, share in window["best"][1:2]]
    lines += [f"⚠ {window['why']}"] * bool(window["unsure"])
    lines += [f"↻ was {was[number]}"] if number in was else []
    return Caption((*lines, place_of(session.table, number)), True if accepted else None)


def place_of(table: pd.DataFrame, number: int) -> str:
    """The file's name; of a video of several windows also which stretch of it."""
    window = table.loc[number]
    several = (table["path"] == window["path"]).sum() > 1
    return Path(window["path"]).name + (
        f", {window['start_s']:.1f} to {window['end_s']:.1f} s" if several else ""
    )


def counted(session: Any, shown: Sequence[int], first: int, n_chosen: int) -> str:
    """One line: how many clips there are, how many sure and accepted; and which are shown."""
    read = session.table[session.table["prediction"] != NO_PREDICTION]
    n_unsure, n_unread = int(read["unsure"].sum()), len(session.table) - len(read)
    clips = f"{count(len(read), 'clip')} of {count(read['path'].nunique(), 'video')}"
    unread = f", {n_unread} not read" if n_unread else ""
    which = f"shown are {first} to {first + len(shown) - 1} of {n_chosen}" if shown else "none of these"
    sure = f"{len(read) - n_unsure} sure, {n_unsure} unsure, {len(session.accepted)} accepted"
    return f"{clips}, {sure}{unread}; {which}."


def moved_sentence(session: Any, was: Mapping[int, str], n_forgotten: int = 0) -> str:
    """What the last change of classes did to the names."""
    classes = count(len(session.classifier.names), "class", "classes")
    if session.table is None:
        return f"{classes} are read; now read videos."
    ways = [f"{before} → {session.table['prediction'][number]}" for number, before in was.items()]
    counts = pd.Series(ways, dtype=object).value_counts()
    listed = "; ".join(f"{way} ({count})" for way, count in counts.head(6).items()) + "; …" * (
        len(counts) > 6
    )
    clips = count(int((session.table["prediction"] != NO_PREDICTION).sum()), "clip")
    moved = f"{len(was)} of {clips} moved: {listed}." if was else f"none of {clips} moved."
    no_class = f" {count(n_forgotten, 'accepted name')} of classes that are gone: forgotten."
    return f"{classes}; {moved}{no_class if n_forgotten else ''}"


def about_html(session: Any) -> str:
    """Where the model comes from, how sure to be, and the score where labels are known."""
    model, classifier, table = session.model, session.classifier, session.table
    said = [f"{model.name}: {model.about}."]
    if classifier is not None:
        said.append(f"Named by {classifier.method}, class texts by {classifier.class_text.prompt}.")
        said.append(sure_sentence(classifier))
        said += [] if table is None else scored_sentences(table, classifier)
    return render("own_about.html", lines=said)


def count(number: int, one: str, several: str = "") -> str:
    """A number and a word in the form that fits it."""
    return f"{number} {one if number == 1 else several or one + 's'}"
