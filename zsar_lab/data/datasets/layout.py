"""Where the annotated videos of a dataset lie below a folder, found by name alone: no video is opened."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from math import nan
from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import (
    EXCLUDED,
    MISSING,
    NOT_LISTED,
    UNREADABLE,
    name_fault,
    shown,
)
from zsar_lab.data.datasets.annotations import Annotations, unused_id
from zsar_lab.names import same

FILE_COLUMNS = ["path", "folder", "of_class", "closeness", "stem", "suffix", "file_status", "file_reason"]
EXACT, SPELLED_DIFFERENTLY, OF_NO_CLASS = range(3)  # how closely the name of a folder says its class


def match_videos(annotations: Annotations, videos: Path) -> pd.DataFrame:
    """Find the video of each annotated clip by its file name, at any depth below a folder.

    A file belongs to a clip if its name without suffix is one of the clip's stems, its suffix is that of a
    video, and the nearest folder above it that is named after a class (compared by letters and digits,
    without case) is of the clip's class; a file below no such folder fits any class, unless clips of two
    classes share its stem. Of several files the one in the folder spelled as the class is taken, then the one
    with the dataset's usual suffix, then the first path.

    Returns:
        The rows of `annotations.clips` with path (relative, "" if there is no file) and status ("" for
        those to be opened), and one row for each file that is no clip's, sorted by id (unique).
    """
    videos, dataset = Path(videos), annotations.dataset
    if videos.is_file():
        raise NotADirectoryError(f"the videos must be given as a folder, but '{videos}' is a file")
    if not videos.is_dir():
        raise FileNotFoundError(f"there is no folder '{videos}'; give the folder above the class folders")
    found = _files(annotations.classes["name"].tolist(), videos)
    files = pd.DataFrame(found, columns=FILE_COLUMNS, dtype=object)  # for names that are not UTF-8
    named = annotations.clips[["id", "class", "stems", "reason"]].explode("stems").dropna(subset="stems")
    # before rows are chosen: `assign` to a table without rows gives it those of the column
    good = files.assign(unusual=files["suffix"] != dataset.suffix)[files["file_status"] == ""]
    pairs = named.merge(good, left_on="stems", right_on="stem")
    if pairs.empty:
        sought = "".join(f"{clip['class']}/{clip['stems']}" for _, clip in named[:1].iterrows())
        example = shown(next(iter([*good["path"][:1], *files["path"][:1]]), ""))
        there = f"{len(files)} files such as '{example}'" if len(files) else "no file at all"
        raise ValueError(
            f"'{videos}' must hold videos of {dataset.name} such as '{sought}{dataset.suffix}', got {there}"
        )
    if dataset.shares_videos:
        # clips of one video may be of several classes, and a folder can have the name of one only
        classes_of_stem = pd.MultiIndex.from_frame(named[["stems", "class"]])
        in_class = pd.MultiIndex.from_frame(pairs[["stems", "of_class"]]).isin(classes_of_stem)
        fits = in_class | (pairs["of_class"] == "")
    else:
        live = named[named["reason"] == ""].groupby("stems")["class"].nunique()
        alone = pairs["stems"].map(live).fillna(0) <= 1
        fits = (pairs["of_class"] == pairs["class"]) | ((pairs["of_class"] == "") & alone)
    chosen = pairs[fits].sort_values(["closeness", "unusual", "path"]).drop_duplicates("id")
    file_of = dict(zip(chosen["id"], chosen["path"], strict=True))

    table = annotations.clips.assign(
        path=[file_of.get(clip, "") for clip in annotations.clips["id"]], status=""
    )
    missing = (table["reason"] == "") & (table["path"] == "")
    table.loc[table["reason"] != "", "status"] = EXCLUDED
    table.loc[missing, "status"] = MISSING
    files_of_stem = {stem: rows for stem, rows in pairs.drop_duplicates("path").groupby("stem")}
    table.loc[missing, "reason"] = [
        _why_missing([files_of_stem[stem] for stem in stems if stem in files_of_stem], stems[0], videos)
        for stems in table["stems"][missing]
    ]
    others = list(
        _other_files(annotations, files[~files["path"].isin(chosen["path"])], named, file_of, videos)
    )
    table = pd.concat(
        [table, pd.DataFrame(others, columns=table.columns).astype(table.dtypes)], ignore_index=True
    )
    return table.sort_values("id", ignore_index=True)


def _why_missing(found: list[pd.DataFrame], stem: str, videos: Path) -> str:
    if not found:
        return f"no file {stem}.* in '{shown(str(videos))}'"
    files = pd.concat(found)
    if names := sorted(set(files["of_class"]) - {""}):
        return f"only found in the folder of class {' and '.join(names)}"
    return (
        f"'{files['path'].iloc[0]}' may be its file or that of a clip of another class; "
        "put it into the folder of its class"
    )


def _other_files(
    annotations: Annotations, files: pd.DataFrame, named: pd.DataFrame, file_of: dict[str, str], videos: Path
) -> Iterator[dict]:
    """A row for each file that no clip has been given."""
    taken, dataset = set(annotations.clips["id"]), annotations.dataset
    clips_of: dict[str, list[tuple[str, str]]] = {stem: [] for stem in files["stem"]}
    for clip, name, stem in zip(named["id"], named["class"], named["stems"], strict=True):
        if stem in clips_of:
            clips_of[stem].append((clip, name))
    top = shown(videos.absolute().name) or "/"
    for file in files.itertuples():
        clips = clips_of[file.stem]
        own = [clip for clip, name in clips if clip in file_of and file.of_class in ("", name)]
        folder = file.folder.rpartition("/")[2]
        if file.file_reason:
            reason = file.file_reason
        elif own:
            reason = f"a second file of clip '{own[0]}' beside '{file_of[own[0]]}'"
        elif clips and file.of_class:
            reason = (
                f"clip '{clips[0][0]}' has a file of this name, but this one lies in the folder of class "
            )
            reason += file.of_class
        elif clips:
            reason = f"clips of several classes have a file of this name, such as '{clips[0][0]}', "
            reason += "and its folder is of none of them"
        elif folder and not file.of_class and not dataset.shares_videos:
            reason = f"its folder '{folder}' is no class of {dataset.name}"
        else:
            reason = f"no annotation of {dataset.name} names it with a class"
        path = file_id = shown(file.path)
        if path in taken:
            file_id = unused_id(path, "file", taken)
        taken.add(file_id)
        row = {"id": file_id, "class": file.of_class or shown(folder) or top, "group": "", "splits": ""}
        row |= {"start_s": nan, "end_s": nan, "stems": [], "reason": reason, "path": path}
        yield row | {"status": file.file_status or NOT_LISTED}


def _files(class_names: list[str], videos: Path) -> Iterator[tuple]:
    """FILE_COLUMNS of every file below the folder, in an order that does not depend on the disk."""
    class_of = {"": ""}
    for name in class_names:  # "" for two classes that only signs tell apart
        class_of[same(name)] = "" if same(name) in class_of else name
    exact = set(class_names)
    for folder, entries in walk(videos):
        of_class, closeness = "", OF_NO_CLASS
        for part in reversed(folder.split("/")):  # the nearest folder that is named after a class
            of_class = part if part in exact else class_of.get(same(part), "")
            if of_class:
                closeness = EXACT if part in exact else SPELLED_DIFFERENTLY
                break
        for name, reason in entries:
            stem, dot, ending = name.rpartition(".")
            suffix = dot + ending.lower() if stem else ""
            status, fault = name_fault(name)
            if not (fault or reason) and shown(folder) != folder:
                fault = f"a folder name must be printable UTF-8, got '{shown(folder)}'; rename it"
            reason = fault or reason
            status = status or (UNREADABLE if reason else "")
            yield f"{folder}/{name}".lstrip("/"), folder, of_class, closeness, stem, suffix, status, reason


def walk(root: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each folder (relative, "" for root) with its files, as name and why one is not regular ("" if it is).

    Real folders come first, then those that links lead to; no folder is entered twice, and no folder above
    root is. Hidden (dot) files and folders are left out.
    """

    def identity(folder: Path) -> tuple[int, int]:
        found = os.stat(folder)
        return found.st_dev, found.st_ino

    entered = {identity(above) for above in root.resolve().parents}
    folders, linked = [""], deque[str]()
    while folders or linked:
        folder = folders.pop() if folders else linked.popleft()
        if identity(root / folder) in entered:
            continue
        entered.add(identity(root / folder))
        try:
            with os.scandir(root / folder) as entries:
                visible = sorted((entry.name, entry) for entry in entries if not entry.name.startswith("."))
        except PermissionError as error:
            raise PermissionError(f"'{root / folder}' must be readable ({error.strerror})") from error
        files: list[tuple[str, str]] = []
        inner: list[str] = []
        for name, entry in visible:
            path = f"{folder}/{name}" if folder else name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link that leads back to itself
                is_folder = is_file = False
            if is_folder:
                (linked if entry.is_symlink() else inner).append(path)
            else:
                no_file = (
                    "it is a link that leads to no file" if entry.is_symlink() else "it is no regular file"
                )
                files.append((name, "" if is_file else no_file))
        yield folder, files
        folders += reversed(inner)
