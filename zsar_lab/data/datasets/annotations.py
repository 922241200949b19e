"""What official annotation files of a dataset name, as one table of clips: rules that all readers share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from zsar_lab.data.catalog import VIDEO_SUFFIXES, shown
from zsar_lab.names import refuse_same

LEVELS_DOWN = 2


class Row(NamedTuple):
    """A clip that annotation files name. Readers drop nothing: what rules a clip out is its fault or reason.

    Attributes:
        class_name: None where the files do not say; such clips are only counted.
        name: with the class it is the clip's id.
        stems: file names without suffix under which the video may lie.
        group: clips of one group are near-duplicates of each other; "" where the files do not say.
        splits: a word for each official list, "train", "test", "val" or "unused".
        start_s, end_s: seconds within the file; nan where the whole file is the clip.
        fault: why the name cannot be that of a video below the folder, which is then never looked for.
        reason: why the annotation itself rules the clip out.
    """

    class_name: str | None
    name: str
    stems: list[str]
    group: str = ""
    splits: str = ""
    start_s: float = nan
    end_s: float = nan
    fault: str = ""
    reason: str = ""


def _nothing(files: list[Path], unit: str) -> tuple[Iterable[Row], dict[str, int]]:
    return (), {}


@dataclass(frozen=True)
class Dataset:
    """An entry of the table DATASETS.

    Attributes:
        name: what users and catalogs call it.
        label: of it and of the datasets that share its form of files, as in Kinetics.
        read: from its annotation files (nearest first) and the unit of a clip to the rows, and the official
            number of each class where classes have one.
        files: what the whole name of an annotation file fits.
        example: which files a user must look for.
        suffix: that its videos usually have.
        sign: what a file of such a name must contain to be known as one of this dataset.
        units: what one clip can be.
        shares_videos: one file holds clips of several classes, so that class folders say little.
    """

    name: str
    label: str
    read: Callable[[list[Path], str], tuple[Iterable[Row], dict[str, int]]] = _nothing
    files: str = ""
    example: str = ""
    suffix: str = ".mp4"
    sign: bytes = b""
    units: tuple[str, ...] = ("clip",)
    shares_videos: bool = False


@dataclass(frozen=True, eq=False)
class Annotations:
    """Every clip that a dataset's annotation files name.

    Attributes:
        clips: sorted by id; id (unique), class, group, splits, start_s, end_s, stems, reason ("" if none).
        classes: sorted by name; name, and official_id where classes have a number.
        unlabelled: how many clips the files name without a class; they are not in `clips`.
    """

    dataset: Dataset
    clips: pd.DataFrame
    classes: pd.DataFrame
    unlabelled: int = 0


def table_of(
    dataset: Dataset, rows: Iterable[Row], numbers: dict[str, int], source: str | Path
) -> Annotations:
    """The rows as a table; an id that is there already gets " (listed again)", rows ruled out first."""
    rows = list(rows)
    labelled = [(row.class_name, row) for row in rows if row.class_name is not None]
    names = sorted({class_name for class_name, _ in labelled} | numbers.keys())
    for name in names:
        if not name or "/" in name or shown(name) != name:
            raise ValueError(f"a class name must be plain, without slash, got '{shown(name)}' in '{source}'")
    refuse_same(names)
    if not labelled:
        raise ValueError(f"the files of {dataset.name} must name a clip with its class, '{source}' has none")
    records: list[tuple] = [
        (f"{class_name}/{shown(row.name)}", class_name, row.group, row.splits, row.start_s, row.end_s)
        + ([] if row.fault else row.stems, row.fault or row.reason)
        for class_name, row in labelled
    ]
    columns = ["id", "class", "group", "splits", "start_s", "end_s", "stems", "reason"]
    records.sort(key=lambda record: (record[0], record[-1] != ""))
    taken: set[str] = set()
    for place, (clip_id, *others, reason) in enumerate(records):
        if clip_id in taken:
            clip_id = unused_id(clip_id, "listed again", taken)
            records[place] = (clip_id, *others, reason or "the annotation files list it twice")
        taken.add(clip_id)
    records.sort(key=lambda record: record[0])
    clips = pd.DataFrame(dict(zip(columns, map(list, zip(*records, strict=True)), strict=True)))
    classes = pd.DataFrame({"name": names}, dtype=str)
    if numbers:
        classes["official_id"] = classes["name"].map(numbers)
    return Annotations(dataset, clips, classes, len(rows) - len(labelled))


def unused_id(wanted: str, remark: str, taken: set[str]) -> str:
    """`wanted` with a remark behind it, "x (remark)", then "x (remark 2)" and so on: the first not taken."""
    candidate, number = f"{wanted} ({remark})", 1
    while candidate in taken:
        number += 1
        candidate = f"{wanted} ({remark} {number})"
    return candidate


def files_below(folder: Path, pattern: str) -> list[Path]:
    """Files whose whole name fits, up to two levels down: by depth, then by path; hidden ones left out."""
    found, level = [], [str(folder)]
    for depth in range(LEVELS_DOWN + 1):
        files, folders = [], []
        for name in level:
            with os.scandir(name) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if re.fullmatch(pattern, entry.name) and entry.is_file():
                        files.append(Path(entry.path))
                    elif depth < LEVELS_DOWN and entry.is_dir():
                        folders.append(entry.path)
        found += sorted(files)
        level = sorted(folders)
    return found


def video_stem(path_text: str) -> str:
    """The file name of a path without its video suffix; a name that ends otherwise is returned whole."""
    name = path_text.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in VIDEO_SUFFIXES else name


def path_fault(path_text: str) -> str:
    """Why a path in an annotation file cannot be that of a video below the dataset's folder; "" if it can."""
    if shown(path_text) != path_text:
        return f"a name must hold no control character, got '{shown(path_text)}'"
    if path_text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", path_text):
        return f"a path must be relative to the dataset's folder, got '{path_text}'"
    if ".." in path_text and ".." in re.split(r"[/\\]", path_text):
        return f"a path must stay below the dataset's folder, got '{path_text}'"
    return "" if video_stem(path_text) else f"a path must name a file, got '{path_text}'"


def video_id_fault(video_id: str, stem: str) -> str:
    """Why the id of a video on YouTube, or the stem made of it, cannot name a file; "" if it can."""
    fault = "" if video_id and not set("/\\") & set(video_id) else "a video id must name a file, got "
    return path_fault(stem) or (fault and f"{fault}'{shown(video_id)}'")
