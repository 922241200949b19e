"""The official annotation files of Kinetics-400, 600 and 700: csv tables with a header."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from zsar_lab.data.catalog import shown
from zsar_lab.data.datasets.annotations import Row, video_id_fault
from zsar_lab.files import read_csv

COLUMNS = ("youtube_id", "time_start", "time_end")
SPLITS = {"train": "train", "val": "val", "validate": "val", "validation": "val", "test": "test"}


def read_kinetics(files: list[Path], unit: str) -> tuple[list[Row], dict[str, int]]:
    """Every clip of all tables with its class, its video on YouTube (the group) and its split.

    A table is read by its header (label, youtube_id, time_start, time_end, split; others are passed over).
    A table without a column split has the split in its file name; one without labels names no class.
    """
    rows: list[Row] = []
    first: dict[str, Row] = {}
    for path in files:
        for at, row in _read_table(path):
            earlier = first.setdefault(row.name, row) if row.class_name is not None and not row.fault else row
            if earlier is not row:
                reason = (
                    f"'{path.name}' line {at} lists it again ({row.splits}), "
                    f"but it is '{earlier.class_name}' ({earlier.splits}) already"
                )
                row = row._replace(reason=row.reason or reason)
            rows.append(row)
    return rows, {}


def _read_table(path: Path) -> Iterator[tuple[int, Row]]:
    header, lines = read_csv(path)
    columns = {column.lower(): column for column in header}
    if missing := [column for column in COLUMNS if column not in columns]:
        raise ValueError(f"'{path}' must have the column {missing[0]}, got '{shown(str(header))[:60]}'")
    file_split = None if "split" in columns else _split_of_name(path)
    for at, line in lines:
        cells = {lower: line[column] for lower, column in columns.items()}
        if (split := file_split or SPLITS.get(cells["split"].lower())) is None:
            raise ValueError(
                f"line {at} of '{path}' must have a split of {set(SPLITS)}, got {cells['split']!r}"
            )
        start, end = (_second(cells[column], at, path) for column in COLUMNS[1:])
        video_id = cells["youtube_id"]
        stem = f"{video_id}_{start:06d}_{end:06d}"
        reason = f"a clip must start at 0 s or later and end after its start, got {start} to {end} s"
        row = Row(cells.get("label") or None, stem, [stem], f"youtube:{shown(video_id)}", split)
        reason = "" if 0 <= start < end else reason
        yield at, row._replace(fault=video_id_fault(video_id, stem), reason=reason)


def _split_of_name(path: Path) -> str:
    found = {SPLITS[word] for word in re.findall(r"train|val|test", path.stem.lower())}
    if len(found) != 1:
        raise ValueError(f"'{path}' must have a column 'split', or one of train, val, test in its name")
    return found.pop()


def _second(text: str, at: int, path: Path) -> int:
    try:
        value = float(text)
        if value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise ValueError(f"times in line {at} of '{path}' must be whole seconds, got '{shown(text)}'")
