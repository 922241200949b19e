"""Opening every video once: what each file holds, or why it cannot be read, kept in a journal so that a killed scan goes on."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TextIO

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import CLIP_COLUMNS, EXCLUDED, OK, UNREADABLE
from zsar_lab.data.jobs import probe_clip
from zsar_lab.data.workers import Limits, run_tasks
from zsar_lab.files import make_folder
from zsar_lab.progress import progress

FLUSH_EVERY_S = 1.0
# Annotated ends are rounded, and files differ by a few frames from those that were annotated.
END_TOLERANCE_S = 0.5


def probe_files(
    root: Path, paths: Sequence[str], limits: Limits, journal: Path | None = None
) -> dict[str, dict | str]:
    """What each video holds, or the reason why it cannot be read.

    Args:
        root: the folder that paths are relative to.
        paths: of the videos; repeats are opened once.
        limits: workers, time and memory of each.
        journal: a file of json lines, one an opened video with its size and time of change. A video that
            stands there unchanged is not opened again, unless it took too long or ended its worker. None
            keeps nothing.

    Returns:
        For each path the fields of `VideoInfo` as a dict, or a sentence.
    """
    known = _read_journal(journal) if journal else {}
    found: dict[str, dict | str] = {}
    to_do, marks = [], []
    for path in dict.fromkeys(paths):
        mark = _mark(os.path.join(root, path))  # a Path for each would cost more than the rest of this loop
        if path in known and known[path][0] == mark:
            found[path] = known[path][1]
        else:
            to_do.append(path)
            marks.append(mark)
    tasks = ({"path": os.path.join(root, path)} for path in to_do)
    bar = progress(what="probing", unit="video", total=len(found) + len(to_do), done=len(found))
    with closing(run_tasks(probe_clip, tasks, len(to_do), limits)) as answers, bar, _Journal(journal) as kept:
        for answer in answers:
            path = to_do[answer.index]
            found[path] = answer.reason if answer.result is None else answer.result
            if not answer.ended:
                kept.write({"path": path, "mark": marks[answer.index], "found": found[path]})
            bar.update(1)
    return found


def complete_clips(table: pd.DataFrame, found: dict[str, dict | str]) -> pd.DataFrame:
    """The catalog's clips: the rows with status "" get what was found in their video, and their final status.

    A clip without bounds (NaN) is the whole video. One that starts after its video's end, or ends more than
    0.5 s after it, is excluded; an end less than that after it is moved to the end, and the remark says so.

    Args:
        table: id, path, class, group, splits, start_s, end_s, status and reason.
        found: of `probe_files`, for the paths of all rows with status "".

    Returns:
        The columns of CLIP_COLUMNS, sorted by id, numbered from 0.
    """
    to_do = (table["status"] == "").to_numpy()
    infos = [found[path] if asked else "" for path, asked in zip(table["path"], to_do, strict=True)]
    read = np.array([isinstance(info, dict) for info in infos], dtype=bool)
    clips = table.assign(remark="").reset_index(drop=True)
    for column, key in (
        ("frames", "n_frames"),
        ("fps", "fps"),
        ("width", "width"),
        ("height", "height"),
        ("variable_rate", "variable_rate"),
    ):
        clips[column] = [info[key] if isinstance(info, dict) else 0 for info in infos]
    clips = clips.astype({"frames": int, "fps": float, "width": int, "height": int, "variable_rate": bool})
    clips.loc[read, "status"] = OK
    clips.loc[to_do & ~read, "status"] = UNREADABLE
    clips.loc[to_do & ~read, "reason"] = [info for info, bad in zip(infos, to_do & ~read, strict=True) if bad]
    _set_bounds(clips, read)
    clips.loc[read & (clips["frames"] == 1), "remark"] = "it has one frame"
    return clips[CLIP_COLUMNS].sort_values("id", ignore_index=True)


def _set_bounds(clips: pd.DataFrame, read: np.ndarray) -> None:
    duration = np.where(read, clips["frames"] / clips["fps"].where(read, 1.0), 0.0)
    whole = clips["end_s"].isna().to_numpy()
    clips["start_s"] = clips["start_s"].fillna(0.0).astype(float)
    clips["end_s"] = np.where(whole, duration, clips["end_s"].fillna(0.0)).astype(float)
    late = read & ~whole & ((clips["start_s"] >= duration) | (clips["end_s"] > duration + END_TOLERANCE_S))
    clips.loc[late, "status"] = EXCLUDED
    clips.loc[late, "reason"] = [
        f"its annotated {start:g} to {end:g} s must lie in its video, which ends at {last:.2f} s"
        for start, end, last in zip(clips["start_s"][late], clips["end_s"][late], duration[late], strict=True)
    ]
    moved = read & ~whole & ~late & (clips["end_s"] > duration)
    clips.loc[moved, "remark"] = [
        f"its end was moved from {end:g} to {last:.2f} s, where the video ends"
        for end, last in zip(clips["end_s"][moved], duration[moved], strict=True)
    ]
    clips.loc[moved, "end_s"] = duration[moved]


def _mark(path: str) -> list[int]:
    """Size and time of change, which tell whether a file is still the one that was opened."""
    try:
        status = os.stat(path)
    except OSError:
        return [-1, 0]
    return [status.st_size, status.st_mtime_ns]


def _read_journal(path: Path) -> dict[str, tuple[list[int], dict | str]]:
    """What a journal says of each path; a line cut short by a kill is left out."""
    return {line["path"]: (line["mark"], line["found"]) for line in _lines(path)}


def _lines(path: Path) -> Iterator[dict]:
    if not path.is_file():
        return
    with open(path, encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue


class _Journal:
    """Appends json lines to a file, and hands them to the system at least once a second; does nothing without a path."""

    def __init__(self, path: Path | None) -> None:
        self.path, self.file, self.flushed = path, None, 0.0

    def __enter__(self) -> _Journal:
        if self.path:
            make_folder(self.path.parent)
            self.file: TextIO | None = open(self.path, "a", encoding="utf-8")
            self.file.write("\n")  # ends a line that a kill cut short
        return self

    def write(self, content: dict) -> None:
        if self.file:
            self.file.write(json.dumps(content) + "\n")
            if time.monotonic() - self.flushed > FLUSH_EVERY_S:
                self.file.flush()
                self.flushed = time.monotonic()

    def __exit__(self, *_: object) -> None:
        if self.file:
            self.file.close()
