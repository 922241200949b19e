"""The catalog of any folder of class folders, with an optional classes.csv."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import NOT_A_VIDEO, NOT_LISTED, OK, UNREADABLE, VIDEO_SUFFIXES, Catalog, shown
from zsar_lab.data.probing import complete_clips, probe_files
from zsar_lab.data.workers import Limits

LISTED_COLUMNS = ["id", "path", "class", "group", "splits", "start_s", "end_s", "status", "reason"]


def catalog_folder(
    folder: Path, name: str | None = None, limits: Limits = Limits(), journal: Path | None = None
) -> Catalog:
    """Catalog a folder of class folders, `<class>/<video>`; each video is one clip from its first to its last frame.

    Every file in a class folder is listed: videos that can be read are "ok", files with a video suffix that
    cannot be read are "unreadable", other files and inner folders are "not a video", and videos beside the
    class folders are "not listed"; hidden (dot) files are left out. An id is `<class>/<file name without
    suffix>`, with the suffix where two would be equal.

    An optional classes.csv (UTF-8; name, and any of label, description, ...) describes classes. A class named
    there without a folder is kept with zero clips; a folder not named there gets its name only.

    Args:
        folder: the folder of class folders.
        name: the catalog's name; the folder's own name when None.
        limits: workers, and the time and memory that each may take; a video that needs more is listed as
            unreadable.
        journal: see `probe_files`; None keeps nothing.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is a file.
        ValueError: no class folder, one class only, no readable video at all, a class name that is not UTF-8,
            or a classes.csv that is no table, has no column name, or names a class twice or not at all.
    """
    folder = Path(folder).absolute()
    class_folders = _class_folders(folder)
    described = _read_classes_csv(folder / "classes.csv")
    classes = _classes(described, [entry.name for entry in class_folders])
    rows = pd.DataFrame(
        [row for entry in class_folders for row in _list_files(entry)] + _beside(folder),
        columns=LISTED_COLUMNS,
    )
    clips = complete_clips(
        rows, probe_files(folder, rows["path"][rows["status"] == ""].tolist(), limits, journal)
    )
    if not (clips["status"] == OK).any():
        reasons = [*clips["reason"][clips["status"] == UNREADABLE], *clips["reason"]]
        first = f"; the first reason: {reasons[0]}" if reasons else ""
        raise ValueError(
            f"'{folder}' must hold at least one readable video in a class folder, got "
            f"{len(clips)} files and none readable{first}"
        )
    return Catalog(name=folder.name if name is None else name, root=folder, clips=clips, classes=classes)


def _class_folders(folder: Path) -> list[Path]:
    if folder.is_file():
        raise NotADirectoryError(
            f"a dataset must be a folder of class folders, but '{folder}' is a file; "
            "give the folder above the class folders"
        )
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder '{folder}'; give the folder that holds one folder a class"
        )
    visible = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    found = sorted((entry for entry in visible if entry.is_dir()), key=lambda entry: entry.name)
    if not found:
        raise ValueError(
            f"'{folder}' must hold class folders (<class>/<video>), got none; "
            "put the videos of each class into a folder of that name"
        )
    if len(found) == 1:
        raise ValueError(
            f"zero-shot needs at least two classes, got 1 ('{shown(found[0].name)}') in '{folder}'; "
            "add a folder for another class"
        )
    for entry in found:
        if shown(entry.name) != entry.name:
            raise ValueError(
                f"a class folder's name must be printable UTF-8, got '{shown(entry.name)}' in '{folder}'; rename it"
            )
    return found


def _read_classes_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame({"name": []}, dtype=str)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(
            f"'{path}' must be a UTF-8 csv table, but {error}; save it again as UTF-8 csv"
        ) from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"each row of '{path}' must have {len(header)} fields as its header, got {len(row)} in row {number}; "
                f"put texts with a comma in double quotes"
            )
    table = pd.DataFrame(rows, columns=header, dtype=str)
    if "name" not in table.columns:
        raise ValueError(
            f"'{path}' must have a column 'name' with the names of the class folders, got the columns {list(table.columns)}"
        )
    if (table["name"] == "").any():
        raise ValueError(
            f"each row of '{path}' must name a class, got an empty name in row {int((table['name'] == '').argmax()) + 1}"
        )
    twice = table["name"][table["name"].duplicated()].tolist()
    if twice:
        raise ValueError(f"'{path}' must name each class once, got '{twice[0]}' more than once; delete a row")
    return table


def _classes(described: pd.DataFrame, folder_names: list[str]) -> pd.DataFrame:
    bare = [name for name in folder_names if name not in set(described["name"])]
    both = pd.concat([described, pd.DataFrame({"name": bare}, dtype=str)], ignore_index=True).fillna("")
    columns = ["name", *(column for column in described.columns if column != "name")]
    return both[columns].sort_values("name", ignore_index=True)


def _list_files(class_folder: Path) -> list[tuple]:
    """A row for each entry of a class folder that is not hidden; status "" for those to be probed."""
    names = sorted(entry.name for entry in class_folder.iterdir() if not entry.name.startswith("."))
    stems = Counter(Path(name).stem for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES)
    rows = []
    for file_name in names:
        path, stem = Path(file_name), Path(file_name).stem
        status, reason = "", ""
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            status, reason = (
                NOT_A_VIDEO,
                f"'{path.suffix}' is not a video suffix" if path.suffix else "it has no video suffix",
            )
            if (class_folder / file_name).is_dir():
                reason = "it is a folder inside a class folder; videos lie directly in their class folder"
        elif shown(file_name) != file_name:
            status, reason = (
                UNREADABLE,
                f"a file name must be printable UTF-8, got '{shown(file_name)}'; rename it",
            )
        is_short = not status and stems[stem] == 1 and stem not in names
        clip_id = f"{class_folder.name}/{stem if is_short else shown(file_name)}"
        path_text = f"{class_folder.name}/{shown(file_name)}"
        rows.append((clip_id, path_text, class_folder.name, "", "", np.nan, np.nan, status, reason))
    return rows


def _beside(folder: Path) -> list[tuple]:
    """A row for each video that lies beside the class folders."""
    names = sorted(
        entry.name
        for entry in folder.iterdir()
        if not entry.is_dir() and entry.suffix.lower() in VIDEO_SUFFIXES
    )
    reason = "it lies beside the class folders, so its class is not known; move it into one"
    return [
        (shown(name), shown(name), "", "", "", np.nan, np.nan, NOT_LISTED, reason)
        for name in names
        if not name.startswith(".")
    ]
