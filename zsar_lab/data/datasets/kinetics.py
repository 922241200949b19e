"""The official annotation files of Kinetics-400, 600 and 700: csv tables with a header."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from zsar_lab.data.datasets.annotations import (
    AnnotatedClip,
    Annotations,
    annotation_files,
    annotations_of,
    family_of,
    path_fault,
    read_text,
    shown,
)

CLASS_COUNTS = {"kinetics400": 400, "kinetics600": 600, "kinetics700": 700}
NEEDED_COLUMNS = ("youtube_id", "time_start", "time_end")
SPLITS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


def read_kinetics(name: str, folder: Path) -> Annotations:
    """Read all csv tables of a Kinetics dataset: every clip with its class, its video on YouTube (the group) and its split.

    A table is read by its header (label, youtube_id, time_start, time_end, split; others are passed over).
    The split is that of the column "split"; only a table without it is given the split in its file name. A
    table without labels, and rows without one, are counted in `unlabelled`. A table named classes.csv is left
    alone: it describes classes.

    Args:
        name: "kinetics400", "kinetics600" or "kinetics700".
        folder: the folder of the tables, or a folder up to two levels above them; all tables found are read.

    Raises:
        FileNotFoundError: no such folder, or no csv table in it.
        NotADirectoryError: it is a file.
        ValueError: an unknown name, another dataset's folder, a file that is not UTF-8, a table without its
            header, a row that does not fit it, a time that is no whole number, a split that is unknown, or
            the number of classes of another Kinetics dataset.
    """
    if name not in CLASS_COUNTS:
        raise ValueError(
            f"a Kinetics dataset must be one of {tuple(CLASS_COUNTS)}, got {name!r}; give one of these names"
        )
    rows: list[AnnotatedClip] = []
    first: dict[str, AnnotatedClip] = {}
    unlabelled = 0
    for path in annotation_files(folder, "Kinetics"):
        for line_number, label, video_id, start, end, split in _read_table(path, Path(folder)):
            if not label:
                unlabelled += 1
                continue
            clip = _clip(label, video_id, start, end, split)
            earlier = first.setdefault(clip.stems[0], clip) if clip.stems else clip
            if earlier is not clip:
                reason = f"'{path.name}' line {line_number} lists it again ({split}), but it is '{earlier.class_name}' ({earlier.splits}) already"
                clip = clip._replace(reason=clip.reason or reason)
            rows.append(clip)
    class_names = {row.class_name for row in rows}
    _check_class_count(name, len(class_names), folder)
    return annotations_of(name, "clip", rows, class_names, unlabelled, source=Path(folder))


def _clip(label: str, video_id: str, start: int, end: int, split: str) -> AnnotatedClip:
    stem = f"{video_id}_{start:06d}_{end:06d}"
    reason = (
        ""
        if video_id and "/" not in video_id and "\\" not in video_id
        else f"a video id must name a file, got '{shown(video_id)}'"
    )
    reason = path_fault(stem) or reason
    stems = [] if reason else [stem]
    if not 0 <= start < end:
        reason = (
            reason or f"a clip must start at 0 s or later and end after its start, got {start} to {end} s"
        )
    return AnnotatedClip(
        f"{label}/{shown(stem)}", label, f"youtube:{shown(video_id)}", split, np.nan, np.nan, stems, reason
    )


def _read_table(path: Path, folder: Path) -> Iterator[tuple[int, str, str, int, int, str]]:
    """Line number, label ("" if none), video id, start and end (s) and split of each row."""
    reader = csv.reader(io.StringIO(read_text(path), newline=""), strict=True)
    try:
        header = [column.strip().lower() for column in next(reader, [])]
        _check_header(header, path, folder)
        at = {column: place for place, column in enumerate(header)}
        id_at, start_at, end_at = (at[column] for column in NEEDED_COLUMNS)
        label_at, split_at = at.get("label"), at.get("split")
        file_split = "" if split_at is not None else _split_of_name(path)
        for row in reader:
            if len(row) != len(header):
                if not "".join(row).strip():
                    continue
                raise ValueError(
                    f"line {reader.line_num} of '{path}' must have {len(header)} fields as its header, got {len(row)}; "
                    "put a label with a comma in double quotes"
                )
            where = (reader.line_num, path)
            label = "" if label_at is None else row[label_at].strip()
            split = file_split or _split(row[split_at].strip(), where)
            yield (
                reader.line_num,
                label,
                row[id_at].strip(),
                _second(row[start_at], where),
                _second(row[end_at], where),
                split,
            )
    except csv.Error as error:
        raise ValueError(
            f"'{path}' must be a whole csv table, but at line {reader.line_num}: {error}; get the file again"
        ) from error


def _check_header(header: list[str], path: Path, folder: Path) -> None:
    missing = [column for column in NEEDED_COLUMNS if column not in header]
    if missing:
        other = family_of(folder, but="Kinetics")
        hint = f" (the folder looks like the annotations of {other})" if other else ""
        got = shown(", ".join(header))[:100]
        raise ValueError(
            f"'{path}' must begin with a header that has {', '.join(NEEDED_COLUMNS)}, got '{got}'{hint}; "
            "add the header, or move a table that is none of Kinetics elsewhere"
        )


def _split(text: str, where: tuple[int, Path]) -> str:
    try:
        return SPLITS[text.lower()]
    except KeyError:
        raise ValueError(
            f"the split in line {where[0]} of '{where[1]}' must be one of {tuple(SPLITS)}, got '{shown(text)}'; correct it"
        ) from None


def _split_of_name(path: Path) -> str:
    found = {SPLITS[word] for word in re.findall(r"train|val|test", path.stem.lower())}
    if len(found) != 1:
        raise ValueError(
            f"'{path}' must have a column 'split' or one of train, val, test in its name, got neither or several; rename it"
        )
    return found.pop()


def _second(text: str, where: tuple[int, Path]) -> int:
    try:
        value = float(text)
        if value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(
        f"times in line {where[0]} of '{where[1]}' must be whole seconds, got '{shown(text)}'; correct it"
    )


def _check_class_count(name: str, n_classes: int, folder: Path) -> None:
    expected = CLASS_COUNTS[name]
    other = next((known for known, count in CLASS_COUNTS.items() if count == n_classes and known != name), "")
    if other:
        raise ValueError(
            f"the csv tables in '{folder}' must be those of {name}, got {n_classes} classes, the number of {other}; read it as that"
        )
    if n_classes > expected:
        raise ValueError(
            f"the csv tables in '{folder}' must name the {expected} classes of {name}, got {n_classes}; give the folder of {name} alone"
        )
