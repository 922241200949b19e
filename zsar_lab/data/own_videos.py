"""A person's own videos: files, folders and lists of files become one table of paths."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from zsar_lab.data.catalog import VIDEO_SUFFIXES, shown

SUFFIXES = " ".join(sorted(VIDEO_SUFFIXES))


class _Found(NamedTuple):
    """A row of the table; `listed` where a csv file gave its label."""

    path: str
    label: str
    reason: str
    listed: bool = False


def find_videos(paths: str | os.PathLike | Sequence[str | os.PathLike]) -> pd.DataFrame:
    """The videos that paths stand for; none is opened.

    A file is itself. A folder stands for the video files at any depth below it, sorted by path; hidden (dot)
    files and folders are left out, links are followed, each real folder once. A video one folder down
    (`<folder>/<class>/<video>`) gets that folder's name as its label. A csv file (UTF-8) names one video a
    row in its column path, relative to its own folder, and may name labels in a column label; these go before
    the names of folders. A video that is named more than once stands once, where it is named first.

    Args:
        paths: one path, or several.

    Returns:
        One row a video: path (as given, or found below a folder as given), label ("" where not known), and
            reason: "", or why it cannot
        be used: there is no such file, it is no video by its suffix, a folder without videos or that cannot
            be listed, or a name that is no text.

    Raises:
        FileNotFoundError: there is none of the files, or not the one folder.
        ValueError: nothing usable is found, or a csv file is no table of paths or gives a video two labels.
    """
    given = (
        [paths]
        if isinstance(paths, (str, os.PathLike))
        else list(paths)
        if isinstance(paths, Iterable)
        else None
    )
    if given is None or not all(isinstance(path, (str, os.PathLike)) for path in given):
        raise ValueError(
            f"paths must be a video, a folder, a csv file or a list of them, got {paths!r}; give paths as text"
        )
    if not given:
        raise ValueError("paths must name at least one video, folder or csv file, got none")
    rows: dict[str, _Found] = {}
    for row in (row for path in given for row in _rows_of(os.fspath(path))):
        key = os.path.abspath(row.path)
        rows[key] = _merged(rows[key], row) if key in rows else row
    table = pd.DataFrame(
        [(shown(row.path), row.label, row.reason) for row in rows.values()],
        columns=["path", "label", "reason"],
        dtype=object,
    )
    if not (table["reason"] == "").any():
        _refuse(given, list(rows.values()))
    return table


def _refuse(given: list, rows: list[_Found]) -> None:
    if not any(os.path.exists(row.path) for row in rows) and rows:
        more = f" (and {len(rows) - 1} more)" if len(rows) > 1 else ""
        raise FileNotFoundError(f"there is no file or folder '{shown(rows[0].path)}'{more}; check the path")
    names = ", ".join(f"'{shown(os.fspath(path))}'" for path in given[:3]) + (
        ", ..." if len(given) > 3 else ""
    )
    why = f"; the first reason: '{shown(rows[0].path)}': {rows[0].reason}" if rows else ""
    raise ValueError(f"at least one video ({SUFFIXES}) must be found in {names}, got none{why}")


def _merged(first: _Found, again: _Found) -> _Found:
    """One row for a video that is named twice: a label from a csv file goes before the name of a folder, and that before none."""
    if first.listed and again.listed and first.label != again.label and first.label and again.label:
        raise ValueError(
            f"'{shown(first.path)}' must have one label, got '{first.label}' and '{again.label}'; delete one of its rows"
        )
    better = again.label and (not first.label or (again.listed and not first.listed))
    return first._replace(label=again.label, listed=again.listed) if better else first


def _rows_of(path: str) -> Iterator[_Found]:
    if os.path.isdir(path):
        yield from _in_folder(path)
    elif path.lower().endswith(".csv") and os.path.isfile(path):
        yield from _in_csv(Path(path))
    else:
        yield _Found(path, "", _fault(path))


def _fault(path: str) -> str:
    """Why a path cannot be a video, in one sentence; "" if it may be one."""
    suffix = os.path.splitext(path)[1]
    if not os.path.exists(path):
        return "there is no such file"
    if os.path.isdir(path):
        return "it is a folder"
    if suffix.lower() not in VIDEO_SUFFIXES:
        return f"its suffix '{suffix}' is not that of a video ({SUFFIXES})"
    return _odd_name(path)


def _odd_name(path: str) -> str:
    return "" if shown(path) == path else "a path must be printable UTF-8; rename it"


def _in_folder(folder: str) -> Iterator[_Found]:
    """The videos below a folder, sorted; a row for the folder itself where there are none, and for each folder that cannot be listed."""
    rows, closed, seen = [], [], set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=closed.append):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real in seen:
            continue
        seen.add(real)
        below = os.path.relpath(place, folder)
        label = below if os.path.dirname(below) == "" and below != os.curdir else ""
        for name in files:
            if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES and not name.startswith("."):
                path = os.path.join(place, name)
                rows.append(
                    _Found(
                        path,
                        shown(label),
                        _odd_name(path)
                        or ("" if os.path.exists(path) else "it is a link that leads to no file"),
                    )
                )
    yield from sorted(rows)
    yield from (
        _Found(error.filename, "", f"the folder cannot be listed ({error.strerror})") for error in closed
    )
    if not rows and not closed:
        yield _Found(folder, "", f"no video ({SUFFIXES}) lies in the folder")


def _in_csv(path: Path) -> Iterator[_Found]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *lines = [line for line in csv.reader(file, strict=True) if line] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"'{path}' must be a UTF-8 csv table, but {error}; save it again as UTF-8 csv"
        ) from error
    if "path" not in header:
        raise ValueError(
            f"'{path}' must have a column 'path' with one video a row, got the columns {header}; name the column in its first line"
        )
    for number, line in enumerate(lines, start=1):
        if len(line) != len(header):
            raise ValueError(
                f"each row of '{path}' must have {len(header)} fields as its header, got {len(line)} in row {number}; put texts with a comma in "
                "double quotes"
            )
        row = dict(zip(header, line, strict=True))
        if not row["path"]:
            raise ValueError(
                f"each row of '{path}' must name a video, got an empty path in row {number}; fill it in or delete the row"
            )
        video = os.path.join(path.parent, row["path"])
        yield _Found(video, row.get("label", "").strip(), _fault(video), listed=True)
