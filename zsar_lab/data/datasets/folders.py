"""Videos without official annotation files: class folders for a catalog, and a person's own files."""

from __future__ import annotations

import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.data.catalog import NOT_A_VIDEO, NOT_LISTED, VIDEO_SUFFIXES, name_fault, shown
from zsar_lab.files import read_csv, read_text
from zsar_lab.names import match_names

LISTED_COLUMNS = ["id", "path", "class", "group", "splits", "start_s", "end_s", "status", "reason"]
SUFFIXES = " ".join(sorted(VIDEO_SUFFIXES))
OF_VIDEO = "|".join(map(re.escape, sorted(VIDEO_SUFFIXES)))
LISTED = rf"(\S.*?(?:{OF_VIDEO}))(?:[\s,;]+(.+))?"  # a line "file" or "file label"


def list_class_folders(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What lies in a folder of class folders, `<class>/<video>`; hidden (dot) files and folders are left out.

    Every file in a class folder is listed, and videos beside the class folders. An id is `<class>/<file name
    without suffix>`, with the suffix where two would be equal. An optional classes.csv (name, and any of
    label, description, ...) describes classes; one that it names without a folder has zero clips. Its names
    are matched to the folders' by `match_names`, with a warning where one is written otherwise.

    Returns:
        One row a file, LISTED_COLUMNS, status "" for videos to be opened; and one row a class, by name.
    """
    if folder.is_file():
        raise NotADirectoryError(f"a dataset must be a folder of class folders, but '{folder}' is a file")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder}'; give the folder of the class folders")
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    class_folders = [entry for entry in entries if entry.is_dir()]
    if len(class_folders) < 2:
        raise ValueError(f"'{folder}' must hold two class folders at least, got {len(class_folders)}")
    odd = next((entry.name for entry in class_folders if shown(entry.name) != entry.name), None)
    if odd is not None:
        raise ValueError(f"a class folder's name must be printable UTF-8, got '{shown(odd)}' in '{folder}'")
    beside = "it lies beside the class folders, so its class is not known; move it into one"
    rows = [row for class_folder in class_folders for row in _files_in(class_folder)]
    for entry in entries:
        if entry.suffix.lower() in VIDEO_SUFFIXES and not entry.is_dir():
            rows.append((shown(entry.name), shown(entry.name), "", NOT_LISTED, beside))
    table = pd.DataFrame(rows, columns=["id", "path", "class", "status", "reason"])
    table = table.assign(group="", splits="", start_s=nan, end_s=nan)[LISTED_COLUMNS]
    return table, _classes(folder / "classes.csv", [entry.name for entry in class_folders])


def _classes(path: Path, folder_names: list[str]) -> pd.DataFrame:
    columns, lines = read_csv(path, ["name"]) if path.is_file() else (["name"], [])
    names = [cells["name"] for _, cells in lines]
    if "" in names:
        raise ValueError(f"each row of '{path}' must name a class, line {lines[names.index('')][0]} does not")
    found = match_names(names, folder_names)
    if found.said:
        warnings.warn(f"'{path}': names of folders {found.said}", stacklevel=4)
    names = [found.class_of.get(name, name) for name in names]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"'{path}' must name each class once, got '{twice[0]}' more than once")
    described = pd.DataFrame([cells for _, cells in lines], columns=columns, dtype=str).assign(name=names)
    bare = pd.DataFrame({"name": sorted(set(folder_names) - set(names))}, dtype=str)
    table = pd.concat([described, bare], ignore_index=True).fillna("")
    return table[["name", *(column for column in columns if column != "name")]].sort_values(
        "name", ignore_index=True
    )


def _files_in(class_folder: Path) -> Iterator[tuple[str, str, str, str, str]]:
    """Id, path, class, status and reason of each entry that is not hidden."""
    names = sorted(entry.name for entry in class_folder.iterdir() if not entry.name.startswith("."))
    stems = Counter(Path(name).stem for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES)
    for name in names:
        stem, (status, reason) = Path(name).stem, name_fault(name)
        if status == NOT_A_VIDEO and (class_folder / name).is_dir():
            reason = "it is a folder inside a class folder; videos lie directly in their class folder"
        is_short = not status and stems[stem] == 1 and stem not in names
        path = f"{class_folder.name}/{shown(name)}"
        yield f"{class_folder.name}/{stem}" if is_short else path, path, class_folder.name, status, reason


@dataclass(order=True)
class _Found:
    """A video of a person's own; `listed` where a csv file gave its label."""

    path: str
    label: str = ""
    reason: str = ""
    listed: bool = False


def find_videos(paths: Any) -> pd.DataFrame:
    """The videos that paths stand for; none is opened.

    A folder stands for the video files at any depth below it, sorted by path; hidden (dot) files and folders
    are left out, links are followed, each real folder once. A video one folder down
    (`<folder>/<class>/<video>`) gets that folder's name as its label. A csv file names one video a row in its
    column path, relative to its own folder, and may name labels in a column label; a txt file one a line,
    "file" or "file label", as lists of "file id" do. These labels go before the names of folders. A video
    that is named more than once stands once, where it is named first.

    Returns:
        One row a video: path (as given, or found below a folder as given), label ("" where not known), and
        reason: "", or why it cannot be used.

    Raises:
        FileNotFoundError: there is none of the files, or not the one folder.
        ValueError: nothing usable is found, or a csv file is no table of paths or gives a video two labels.
    """
    one = [paths] if isinstance(paths, (str, os.PathLike)) else paths
    given: list = list(one) if isinstance(one, Iterable) else [None]
    if not all(isinstance(path, (str, os.PathLike)) for path in given):
        raise ValueError(f"paths must be a video, a folder, a csv file or a list of them, got {paths!r}")
    if not given:
        raise ValueError("paths must name at least one video, folder or csv file, got none")
    rows: dict[str, _Found] = {}
    for row in (row for path in given for row in _videos_of(os.fspath(path))):
        first = rows.setdefault(os.path.abspath(row.path), row)
        if first.listed and row.listed and first.label and row.label and first.label != row.label:
            raise ValueError(f"'{shown(row.path)}' must have one label, got {first.label} and {row.label}")
        if row.label and (not first.label or row.listed > first.listed):
            first.label, first.listed = row.label, row.listed
    found = list(rows.values())
    if not any(not row.reason for row in found):
        if found and not any(os.path.exists(row.path) for row in found):
            more = f" (and {len(found) - 1} more)" * (len(found) > 1)
            raise FileNotFoundError(f"there is no file or folder '{shown(found[0].path)}'{more}")
        names = ", ".join(f"'{shown(os.fspath(path))}'" for path in given[:3]) + ", ..." * (len(given) > 3)
        why = f"; the first reason: '{shown(found[0].path)}': {found[0].reason}" if found else ""
        raise ValueError(f"at least one video ({SUFFIXES}) must be found in {names}, got none{why}")
    records = [(shown(row.path), row.label, row.reason) for row in found]
    return pd.DataFrame(records, columns=["path", "label", "reason"], dtype=object)


def _videos_of(path: str) -> Iterator[_Found]:
    if os.path.isdir(path):
        yield from _in_folder(path)
    elif path.lower().endswith(".csv") and os.path.isfile(path):
        for at, cells in read_csv(Path(path), ["path"])[1]:
            if not cells["path"]:
                raise ValueError(f"each row of '{path}' must name a video, line {at} does not")
            video = os.path.join(os.path.dirname(path), cells["path"])
            yield _Found(video, cells.get("label", ""), _fault(video), listed=True)
    elif path.lower().endswith(".txt") and os.path.isfile(path):
        listed = [re.fullmatch(LISTED, line.strip(), re.I) for line in read_text(Path(path)).splitlines()]
        for found in filter(None, listed):
            video = os.path.join(os.path.dirname(path), found[1])
            yield _Found(video, found[2] or "", _fault(video), listed=True)
        if not any(listed):
            yield _Found(path, "", _fault(path))
    else:
        yield _Found(path, "", _fault(path))


def _fault(path: str) -> str:
    """Why a path cannot be a video; "" if it may be one."""
    if not os.path.exists(path):
        return "it is a link that leads to no file" if os.path.islink(path) else "there is no such file"
    if os.path.isdir(path):
        return "it is a folder"
    suffix = os.path.splitext(path)[1]
    if suffix.lower() not in VIDEO_SUFFIXES:
        return f"its suffix '{suffix}' is not that of a video ({SUFFIXES})"
    return "" if shown(path) == path else "a path must be printable UTF-8; rename it"


def _in_folder(folder: str) -> Iterator[_Found]:
    """The videos below a folder, sorted; and a row for each folder that cannot be listed or has none."""
    rows: list[_Found] = []
    closed: list[OSError] = []
    seen = set()
    for place, folders, files in os.walk(folder, followlinks=True, onerror=closed.append):
        real = os.path.realpath(place)
        folders[:] = [] if real in seen else sorted(name for name in folders if not name.startswith("."))
        if real in seen:
            continue
        seen.add(real)
        below = os.path.relpath(place, folder)
        label = "" if below == os.curdir or os.path.dirname(below) else shown(below)
        for name in files:
            if os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES and not name.startswith("."):
                path = os.path.join(place, name)
                rows.append(_Found(path, label, _fault(path)))
    yield from sorted(rows)
    for error in closed:
        yield _Found(error.filename, "", f"the folder cannot be listed ({error.strerror})")
    if not rows and not closed:
        yield _Found(folder, "", f"no video ({SUFFIXES}) lies in the folder")
