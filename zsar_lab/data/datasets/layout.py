"""Where the annotated videos of a dataset lie below a folder, found by name alone: no video is opened."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from math import nan
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from zsar_lab.data.catalog import (
    EXCLUDED,
    MISSING,
    NOT_A_VIDEO,
    NOT_LISTED,
    UNREADABLE,
    VIDEO_SUFFIXES,
    shown,
)
from zsar_lab.data.datasets.annotations import Annotations, unused_id

EXACT, SPELLED_DIFFERENTLY, OF_NO_CLASS = range(3)


class _File(NamedTuple):
    """A file below the folder of videos.

    Attributes:
        path, folder: relative to that folder.
        class_name: of the nearest folder above it that is named after a class; "" if none is.
        closeness: how closely that folder's name says so.
        status, reason: "" for a video; else why its name or kind rules it out.
    """

    path: str
    folder: str
    class_name: str
    closeness: int
    stem: str
    suffix: str
    status: str
    reason: str


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
    videos = Path(videos)
    if videos.is_file():
        raise NotADirectoryError(f"the videos must be given as a folder, but '{videos}' is a file")
    if not videos.is_dir():
        raise FileNotFoundError(f"there is no folder '{videos}'; give the folder above the class folders")
    files = list(_files(annotations.classes["name"].tolist(), videos))
    clips = annotations.clips.to_dict("records")
    clips_of: dict[str, list[dict]] = {}
    for clip in clips:
        clip["file"] = None
        for stem in clip["stems"]:
            clips_of.setdefault(stem, []).append(clip)
    files_of: dict[str, list[_File]] = {}
    for file in files:
        if not file.status and file.stem in clips_of:
            files_of.setdefault(file.stem, []).append(file)
    if not files_of:
        raise ValueError(_nothing_found(annotations, videos, files))
    _choose(annotations, clips_of, files_of)
    for clip in clips:
        file = clip["file"]
        if clip["reason"]:
            clip["status"] = EXCLUDED
        elif file is None:
            clip |= {"status": MISSING, "reason": _why_missing(clip["stems"], files_of, videos)}
        else:
            clip["status"] = ""
        clip["path"] = file.path if file else ""
    rows = [*clips, *_other_files(annotations, clips, files, clips_of, videos)]
    rows.sort(key=lambda row: row["id"])
    return pd.DataFrame(rows, columns=[*annotations.clips.columns, "path", "status"])


def _nothing_found(annotations: Annotations, videos: Path, files: list[_File]) -> str:
    dataset, clips = annotations.dataset, annotations.clips
    named = clips[clips["stems"].str.len() > 0]
    sought = "".join(f"{row['class']}/{row['stems'][0]}" for _, row in named[:1].iterrows())
    example = next((file.path for file in files if not file.status), files[0].path if files else "")
    there = f"{len(files)} files such as '{shown(example)}'" if files else "no file at all"
    return (
        f"'{videos}' must hold videos of {dataset.name}, such as '{sought}{dataset.suffix}', got {there}; "
        "give the folder above the class folders"
    )


def _choose(
    annotations: Annotations, clips_of: dict[str, list[dict]], files_of: dict[str, list[_File]]
) -> None:
    """Set the file of each clip that has one."""
    dataset = annotations.dataset

    def preference(file: _File) -> tuple[int, bool, str]:
        return file.closeness, file.suffix != dataset.suffix, file.path

    for stem, files in files_of.items():
        clips = clips_of[stem]
        names = {clip["class"] for clip in clips}
        live = {clip["class"] for clip in clips if not clip["reason"]}
        for clip in clips:
            # clips of one video may be of several classes, and a folder can have the name of one only
            own = names if dataset.shares_videos else {clip["class"]}
            any_class = dataset.shares_videos or len(live) <= 1
            fitting = [
                file for file in files if file.class_name in own or (any_class and not file.class_name)
            ]
            if fitting:
                clip["file"] = min(filter(None, [*fitting, clip["file"]]), key=preference)


def _why_missing(stems: list[str], files_of: dict[str, list[_File]], videos: Path) -> str:
    files = [file for stem in stems for file in files_of.get(stem, [])]
    if not files:
        return f"no file {stems[0]}.* in '{shown(str(videos))}'"
    names = sorted({file.class_name for file in files if file.class_name})
    if names:
        return f"only found in the folder of class {' and '.join(names)}"
    return (
        f"'{files[0].path}' may be its file or that of a clip of another class; "
        "put it into the folder of its class"
    )


def _other_files(
    annotations: Annotations,
    clips: list[dict],
    files: list[_File],
    clips_of: dict[str, list[dict]],
    videos: Path,
) -> Iterator[dict]:
    """A row for each file that no clip has been given."""
    used, taken = {clip["path"] for clip in clips}, {clip["id"] for clip in clips}
    top = shown(videos.absolute().name) or "/"
    for file in files:
        if file.path not in used:
            path = shown(file.path)
            file_id = unused_id(path, "file", taken) if path in taken else path
            taken.add(file_id)
            yield {
                "id": file_id,
                "class": file.class_name or shown(file.folder.rpartition("/")[2]) or top,
                "group": "",
                "splits": "",
                "start_s": nan,
                "end_s": nan,
                "stems": [],
                "reason": file.reason or _why_not_listed(file, annotations, clips_of.get(file.stem, [])),
                "path": path,
                "status": file.status or NOT_LISTED,
            }


def _why_not_listed(file: _File, annotations: Annotations, clips: list[dict]) -> str:
    """Why no clip has been given a file, from the clips that have its stem."""
    for clip in clips:
        if clip["file"] and file.class_name in ("", clip["class"]):
            return f"a second file of clip '{clip['id']}' beside '{clip['file'].path}'"
    if clips and file.class_name:
        return (
            f"clip '{clips[0]['id']}' has a file of this name, "
            f"but this one lies in the folder of class {file.class_name}"
        )
    if clips:
        return (
            f"clips of several classes have a file of this name, such as '{clips[0]['id']}', "
            "and its folder is of none of them"
        )
    dataset = annotations.dataset
    if file.folder and not file.class_name and not dataset.shares_videos:
        return f"its folder '{file.folder.rpartition('/')[2]}' is no class of {dataset.name}"
    return f"no annotation of {dataset.name} names it with a class"


def _files(class_names: list[str], videos: Path) -> Iterator[_File]:
    """Every file below the folder that is not hidden, in an order that does not depend on the disk."""
    class_of = {"": ""}
    for name in class_names:  # "" for two classes that only signs tell apart
        class_of[_letters(name)] = "" if _letters(name) in class_of else name
    exact = set(class_names)
    odd = "must be UTF-8 without control characters, got"
    for folder, entries in walk(videos):
        closeness, class_name = OF_NO_CLASS, ""
        for part in reversed(folder.split("/")):  # the nearest folder that is named after a class
            if part in exact:
                closeness, class_name = EXACT, part
            elif name := class_of.get(_letters(part), ""):
                closeness, class_name = SPELLED_DIFFERENTLY, name
            if class_name:
                break
        for name, reason in entries:
            stem, dot, ending = name.rpartition(".")
            suffix = dot + ending.lower() if stem else ""
            status = UNREADABLE
            if suffix not in VIDEO_SUFFIXES:
                status = NOT_A_VIDEO
                reason = (
                    f"'{shown(dot + ending)}' is not a video suffix" if suffix else "it has no video suffix"
                )
            elif shown(name) != name:
                reason = f"a file name {odd} '{shown(name)}'; rename it"
            elif not reason and shown(folder) != folder:
                reason = f"a folder name {odd} '{shown(folder)}'; rename it"
            elif not reason:
                status = ""
            path = f"{folder}/{name}" if folder else name
            yield _File(path, folder, class_name, closeness, stem, suffix, status, reason)


def _letters(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


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
            raise PermissionError(
                f"a folder of videos must be readable, got '{shown(str(root / folder))}' ({error.strerror})"
            ) from error
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
