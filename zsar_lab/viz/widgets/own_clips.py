"""What the widget of own videos says of its clips: which are shown, captions, and what a change moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.infer.predictions import NO_PREDICTION, named
from zsar_lab.viz.clips import Caption

PERCENT = "{:.0f}\u00a0%"

ALL, UNSURE, SURE, MOVED, ACCEPTED, OPEN = "all", "unsure", "sure", "moved", "accepted", "not accepted"


def typed(table: pd.DataFrame) -> str:
    """Names and descriptions of a table of classes as lines to edit."""
    rows = zip(table["name"], (" ".join(text.split()) for text in table["description"]), strict=True)
    return "\n".join(f"{name}: {text}" if text else name for name, text in rows)


def filters(session: Any) -> tuple[dict[str, list[int]], dict[str, list[int]]]:
    """Rows of the session's table that could be read: by filter, and by predicted class ("" for any)."""
    read = session.table[session.table["prediction"] != NO_PREDICTION]
    rows, unsure = read.index.to_series(), read["unsure"].astype(bool)
    accepted = rows.isin(list(session.accepted))
    found = {ALL: rows >= 0, UNSURE: unsure, SURE: ~unsure, MOVED: rows.isin(session.changed)}
    found |= {ACCEPTED: accepted, OPEN: ~accepted}
    named = {"": rows >= 0} | {name: read["prediction"] == name for name in session.classifier.names}
    kinds, classes = (
        {key: read.index[chosen].tolist() for key, chosen in by.items()} for by in (found, named)
    )
    return kinds, {name: of_class for name, of_class in classes.items() if of_class or not name}


def caption(session: Any, number: int, was: Mapping[int, str], score: float | None = None) -> Caption:
    """Below a clip: prediction, confidence, second best, why unsure, name before, score, place in video."""
    window, accepted = session.table.loc[number], session.accepted.get(number)
    predicted = named(window["prediction"], 100 * window["confidence"], PERCENT)
    lines = [predicted] if accepted in (None, window["prediction"]) else [accepted, f"predicted: {predicted}"]
    lines += [f"then {named(name, 100 * share, PERCENT)}" for name, share in window["best"][1:2]]
    lines += [f"⚠ {window['why']}"] * bool(window["unsure"])
    lines += [f"trained on: {window['trained']}"] * (window["trained"] not in ("no", "unknown"))
    lines += [f"↻ was {was[number]}"] if number in was else []
    lines += [] if score is None else [f"score {score:+.3f}"]
    return Caption((*lines, place_of(session.table, number)), True if accepted else None)


def place_of(table: pd.DataFrame, number: int) -> str:
    """The file's name; of a video of several windows also which stretch of it."""
    window = table.loc[number]
    several = (table["path"] == window["path"]).sum() > 1
    stretch = f", {window['start_s']:.1f} to {window['end_s']:.1f} s" if several else ""
    return Path(window["path"]).name + stretch


def moved_sentence(session: Any, was: Mapping[int, str], n_forgotten: int = 0) -> str:
    """What the last change of classes did to the names."""
    classes = count(len(session.classifier.names), "class", "classes")
    if session.table is None:
        return f"{classes} are read; now read videos."
    predicted = session.table["prediction"]
    counts = Counter(f"{before} → {predicted[number]}" for number, before in was.items()).most_common()
    listed = "; ".join(f"{way} ({n})" for way, n in counts[:6]) + "; …" * (len(counts) > 6)
    moved = f"{len(was) or 'none'} of {count(len(filters(session)[0][ALL]), 'clip')} moved"
    forgotten = f" {count(n_forgotten, 'accepted name')} of classes that are gone: forgotten."
    return f"{classes}; {moved}{f': {listed}' if was else ''}.{forgotten if n_forgotten else ''}"


def count(number: int, one: str, several: str = "") -> str:
    """A number and a word in the form that fits it."""
    return f"{number} {one if number == 1 else several or one + 's'}"
