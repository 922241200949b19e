"""Where the videos of a dataset lie below a folder, found by name alone: no video is opened."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import NOT_A_VIDEO, UNREADABLE, VIDEO_SUFFIXES
from zsar_lab.data.datasets.annotations import ANNOTATION_COLUMNS, Annotations, is_plain, shown, unused_id

FOUND_COLUMNS = [*ANNOTATION_COLUMNS, "path", "status"]
MISSING, EXCLUDED, NOT_LISTED = "missing", "excluded", "not listed"
USUAL_SUFFIX = {"ucf101": ".avi", "hmdb51": ".avi"}  # .mp4 for the others
EXACT, SPELLED_DIFFERENTLY, OF_NO_CLASS = range(3)


class _Place(NamedTuple):
    """A folder as a place for clips: its path, the class it belongs to ("" if none) and how closely its name says so."""

    folder: str
    class_name: str
    closeness: int


class _File(NamedTuple):
    """A file below the videos' folder; `fault` says why its name or kind rules it out, with the status that follows."""

    path: str
    place: _Place
    stem: str
    suffix: str
    status: str
    fault: str


def find_videos(annotations: Annotations, videos: Path) -> pd.DataFrame:
    """Find the video of each annotated clip by its file name, at any depth below a folder.

    A file belongs to a clip if its name without suffix is one of the clip's stems, its suffix is that of a
    video, and the nearest folder above it that is named after a class (compared by letters and digits,
    without case) is of the clip's class; a file below no such folder fits any class, unless clips of two
    classes share its stem. Of several files the one in the folder spelled as the class is taken, then the one
    with the dataset's usual suffix, then the first path. Links to folders are followed, each real folder
    once; hidden (dot) files and folders are left out.

    Args:
        annotations: what a reader read.
        videos: the folder of the videos.

    Returns:
        The rows of `annotations.clips`, and one row for each file that is no clip's, sorted by id (unique).
        Columns: those of `annotations.clips`, path (relative to `videos`, with "/"; "" when there is no file)
        and status: "" (found, not opened yet), "missing", "excluded" (the annotation rules it out), and for
        files of no clip "not listed", "not a video" or "unreadable" (no plain name, or no regular file). The
        column reason says why unless status is "".

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is a file.
        PermissionError: a folder in it cannot be listed.
        ValueError: it holds no file of the dataset.
    """
    videos = Path(videos)
    _check_folder(videos)
    files = list(_files(annotations, videos))
    clips = {column: annotations.clips[column].tolist() for column in ANNOTATION_COLUMNS}
    rows_of_stem: dict[str, list[int]] = {}
    for row, stems in enumerate(clips["stems"]):
        for stem in stems:
            rows_of_stem.setdefault(stem, []).append(row)
    files_of_stem: dict[str, list[_File]] = {}
    for file in files:
        if not file.status and file.stem in rows_of_stem:
            files_of_stem.setdefault(file.stem, []).append(file)
    if not files_of_stem:
        raise ValueError(_nothing_found(annotations, videos, files))
    chosen = _choose(annotations, clips, rows_of_stem, files_of_stem)
    table = _clip_columns(clips, chosen, files_of_stem, videos)
    _add_other_files(table, annotations, files, chosen, rows_of_stem, videos)
    order = sorted(range(len(table["id"])), key=table["id"].__getitem__)
    return pd.DataFrame(
        {column: [values[place] for place in order] for column, values in table.items()},
        columns=FOUND_COLUMNS,
    )


def _check_folder(videos: Path) -> None:
    if videos.is_file():
        raise NotADirectoryError(
            f"the videos must be given as a folder, but '{videos}' is a file; give the folder above the class folders"
        )
    if not videos.is_dir():
        raise FileNotFoundError(
            f"there is no folder '{videos}'; give the folder above the class folders of the videos"
        )


def _nothing_found(annotations: Annotations, videos: Path, files: list[_File]) -> str:
    sought = next(
        (
            f"{name}/{stems[0]}"
            for name, stems in zip(annotations.clips["class"], annotations.clips["stems"], strict=True)
            if stems
        ),
        "",
    )
    example = next((file.path for file in files if not file.status), files[0].path if files else "")
    there = f"{len(files)} files such as '{shown(example)}'" if files else "no file at all"
    suffix = USUAL_SUFFIX.get(annotations.name, ".mp4")
    return f"'{videos}' must hold videos of {annotations.name}, such as '{sought}{suffix}', got {there}; give the folder above the class folders"


def _choose(
    annotations: Annotations,
    clips: dict[str, list],
    rows_of_stem: dict[str, list[int]],
    files_of_stem: dict[str, list[_File]],
) -> list[_File | None]:
    """The file of each row of `annotations.clips`, None where there is none."""
    usual = USUAL_SUFFIX.get(annotations.name, ".mp4")
    is_activitynet = annotations.name == "activitynet"
    chosen: list[_File | None] = [None] * len(clips["id"])
    for stem, files in files_of_stem.items():
        rows = rows_of_stem[stem]
        names = {clips["class"][row] for row in rows}
        live = {clips["class"][row] for row in rows if not clips["reason"][row]}
        for row in rows:
            # segments of one video may be of several classes, and a folder can have the name of one of them
            # only
            own = names if is_activitynet else {clips["class"][row]}
            any_class = is_activitynet or len(live) <= 1
            fitting = [
                file
                for file in files
                if file.place.class_name in own or (any_class and not file.place.class_name)
            ]
            if fitting:
                best = min(fitting, key=lambda file: _preference(file, usual))
                earlier = chosen[row]
                chosen[row] = (
                    best if earlier is None else min(earlier, best, key=lambda file: _preference(file, usual))
                )
    return chosen


def _preference(file: _File, usual: str) -> tuple[int, bool, str]:
    return file.place.closeness, file.suffix != usual, file.path


def _clip_columns(
    clips: dict[str, list], chosen: list[_File | None], files_of_stem: dict[str, list[_File]], videos: Path
) -> dict[str, list]:
    table = {**clips, "reason": list(clips["reason"]), "path": [], "status": []}
    for row, file in enumerate(chosen):
        table["path"].append(file.path if file else "")
        if clips["reason"][row]:
            table["status"].append(EXCLUDED)
        elif file:
            table["status"].append("")
        else:
            table["status"].append(MISSING)
            table["reason"][row] = _why_missing(clips["stems"][row], files_of_stem, videos)
    return table


def _why_missing(stems: list[str], files_of_stem: dict[str, list[_File]], videos: Path) -> str:
    files = [file for stem in stems for file in files_of_stem.get(stem, [])]
    if not files:
        return f"no file {stems[0]}.* in '{shown(str(videos))}'"
    names = sorted({file.place.class_name for file in files if file.place.class_name})
    if names:
        return f"only found in the folder of class {' and '.join(names)}"
    return f"'{files[0].path}' may be its file or that of a clip of another class; put it into the folder of its class"


def _add_other_files(
    table: dict[str, list],
    annotations: Annotations,
    files: list[_File],
    chosen: list[_File | None],
    rows_of_stem: dict[str, list[int]],
    videos: Path,
) -> None:
    """Append a row for each file that no clip has been given."""
    used = {file.path for file in chosen if file}
    taken = set(table["id"])
    top = shown(videos.absolute().name) or "/"
    for file in files:
        if file.path in used:
            continue
        path = shown(file.path)
        file_id = unused_id(path, "file", taken) if path in taken else path
        taken.add(file_id)
        reason = file.fault or _why_not_listed(file, annotations, table, chosen, rows_of_stem)
        class_name = file.place.class_name or shown(file.place.folder.rpartition("/")[2]) or top
        row = (file_id, class_name, "", "", np.nan, np.nan, [], reason, path, file.status or NOT_LISTED)
        for column, value in zip(FOUND_COLUMNS, row, strict=True):
            table[column].append(value)


def _why_not_listed(
    file: _File,
    annotations: Annotations,
    table: dict[str, list],
    chosen: list[_File | None],
    rows_of_stem: dict[str, list[int]],
) -> str:
    rows = rows_of_stem.get(file.stem, [])
    for row in rows:
        if chosen[row] and file.place.class_name in ("", table["class"][row]):
            return f"a second file of clip '{table['id'][row]}' beside '{chosen[row].path}'"
    if rows and file.place.class_name:
        return f"clip '{table['id'][rows[0]]}' has a file of this name, but this one lies in the folder of class {file.place.class_name}"
    if rows:
        return f"clips of several classes have a file of this name, such as '{table['id'][rows[0]]}', and its folder is of none of them"
    folder = file.place.folder
    if (
        folder and not file.place.class_name and annotations.name != "activitynet"
    ):  # whose videos lie in one folder
        return f"its folder '{folder.rpartition('/')[2]}' is no class of {annotations.name}"
    return f"no annotation of {annotations.name} names it with a class"


def _files(annotations: Annotations, videos: Path) -> Iterator[_File]:
    """Every file below the folder that is not hidden, in an order that does not depend on the disk."""
    names = set(annotations.classes["name"])
    class_of_letters: dict[str, str] = {"": ""}
    for name in names:
        letters = _letters(name)
        class_of_letters[letters] = (
            "" if letters in class_of_letters else name
        )  # "": two classes that only signs tell apart
    for folder, entries in _walk(videos):
        place = _place(folder, names, class_of_letters)
        folder_fault = (
            ""
            if is_plain(folder)
            else f"a folder name must be UTF-8 without control characters, got '{shown(folder)}'; rename it"
        )
        for name, fault in entries:
            stem, dot, ending = name.rpartition(".")
            suffix = dot + ending.lower() if stem else ""
            path = f"{folder}/{name}" if folder else name
            status = UNREADABLE
            if suffix not in VIDEO_SUFFIXES:
                status, fault = (
                    NOT_A_VIDEO,
                    f"'{shown(dot + ending)}' is not a video suffix" if suffix else "it has no video suffix",
                )
            elif not is_plain(name):
                fault = (
                    f"a file name must be UTF-8 without control characters, got '{shown(name)}'; rename it"
                )
            elif not fault and not folder_fault:
                status = ""
            yield _File(path, place, stem, suffix, status, fault or folder_fault if status else "")


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


def _place(folder: str, names: set[str], class_of_letters: dict[str, str]) -> _Place:
    """The class of the nearest folder that is named after one, going up."""
    for part in reversed(folder.split("/")):
        if part in names:
            return _Place(folder, part, EXACT)
        name = class_of_letters.get(_letters(part), "")
        if name:
            return _Place(folder, name, SPELLED_DIFFERENTLY)
    return _Place(folder, "", OF_NO_CLASS)


def _walk(root: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each folder (relative, "" for root itself) with its files, as name and why the file is no regular one ("" if it is).

    Real folders come first, then those that links lead to; no folder is entered twice, and no folder above
    root is.
    """
    entered = {_identity(above) for above in root.resolve().parents}
    folders, linked = [""], deque()
    while folders or linked:
        folder = folders.pop() if folders else linked.popleft()
        identity = _identity(root / folder)
        if identity in entered:
            continue
        entered.add(identity)
        files, inner = [], []
        for entry in _entries(root / folder):
            if entry.name.startswith("."):
                continue
            if not _is_folder(entry):
                files.append((entry.name, _fault(entry)))
            elif entry.is_symlink():
                linked.append(f"{folder}/{entry.name}" if folder else entry.name)
            else:
                inner.append(f"{folder}/{entry.name}" if folder else entry.name)
        yield folder, files
        folders += reversed(inner)


def _identity(folder: Path) -> tuple[int, int]:
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def _entries(folder: Path) -> list[os.DirEntry]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except PermissionError as error:
        raise PermissionError(
            f"a folder of videos must be readable, got '{shown(str(folder))}' ({error.strerror}); change its rights"
        ) from error


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads back to itself
        return False


def _fault(entry: os.DirEntry) -> str:
    try:
        is_regular = entry.is_file()
    except OSError:
        is_regular = False
    if is_regular:
        return ""
    return "it is a link that leads to no file" if entry.is_symlink() else "it is no regular file"
