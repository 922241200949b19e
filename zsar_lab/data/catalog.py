"""The catalog of a dataset: one row a clip, usable or not, one row a class; and how its videos are opened."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.data.video import READING_RULE, probe_clip
from zsar_lab.data.workers import Limits, run_tasks
from zsar_lab.files import fingerprint, make_folder, read_json, read_path, write_json, writing, written_path
from zsar_lab.progress import progress
from zsar_lab.shown import Shown

VIDEO_SUFFIXES = frozenset(
    ".mp4 .avi .mkv .webm .mov .m4v .mpg .mpeg .mts .m2ts .3gp .ogv .gif .flv .wmv "
    ".ts .vob .dv .asf .mxf .f4v .3g2 .m2v .mod .divx".split()
)
FACTS = {"frames": "n_frames"} | {name: name for name in ("fps", "width", "height", "variable_rate")}
CLIP_COLUMNS = [*"id path class group splits start_s end_s".split(), *FACTS, *"status reason remark".split()]
FINGERPRINTED_COLUMNS = ["id", "class", "start_s", "end_s", "frames", "status"]
OK, MISSING, UNREADABLE, EXCLUDED = "ok", "missing", "unreadable", "excluded"
NOT_LISTED, NOT_A_VIDEO = "not listed", "not a video"
STATUSES = (OK, MISSING, UNREADABLE, EXCLUDED, NOT_LISTED, NOT_A_VIDEO)
UNDECODABLE = "undecodable"  # a catalog's "ok" that its frame store could not decode
NO_CLASS = "(no class of the dataset)"
END_TOLERANCE_S = 0.5  # annotated ends are rounded, and files differ by a few frames from those annotated
FLUSH_EVERY_S = 1.0


@dataclass(frozen=True, eq=False, repr=False)
class Catalog(Shown):
    """The clips and classes of a dataset.

    Attributes:
        name: what the dataset is called in messages and figures.
        root: the folder that clip paths are relative to.
        clips: one row for every clip the annotations name and every other file found, sorted by id. path: ""
            if no file; group: clips of one source; splits: a word for each official list; start_s, end_s: of
            the clip; frames, fps, width, height, variable_rate: of its video (0 if not known); status: one of
            STATUSES; reason: why it is not ok; remark: what was done to a clip that is ok.
        classes: one row a class, sorted by name; and the columns of classes.csv or the shipped class list.
        notes: sentences on what the annotation files hold that is no row here, mostly none.
    """

    name: str
    root: Path
    clips: pd.DataFrame
    classes: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "usable clips": len(self.usable),
            "classes": len(self.classes),
            "left out": len(self.excluded),
        }

    @property
    def fingerprint(self) -> str:
        """The hash of class names, clip ids, classes, bounds, frames and status."""
        columns = [self.clips[column].tolist() for column in FINGERPRINTED_COLUMNS]
        return fingerprint("catalog 1", self.classes["name"].tolist(), *columns)

    @property
    def usable(self) -> pd.DataFrame:
        """The rows of `clips` with status "ok", numbered from 0."""
        return self.clips[self.clips["status"] == OK].reset_index(drop=True)

    @property
    def excluded(self) -> pd.DataFrame:
        """The other rows of `clips`, numbered from 0; the column reason says why they cannot be used."""
        return self.clips[self.clips["status"] != OK].reset_index(drop=True)

    @property
    def empty_classes(self) -> list[str]:
        """The names of the classes that have no usable clip."""
        return sorted(set(self.classes["name"]) - set(self.usable["class"]))

    def report(self) -> pd.DataFrame:
        """A row a class: clips of each status, seconds of usable video; files of no class come last."""
        names = self.classes["name"].tolist()
        usable = self.clips["status"] == OK
        rows = pd.DataFrame(
            {
                "class": self.clips["class"].where(self.clips["class"].isin(names), NO_CLASS),
                "status": self.clips["status"],
                "seconds": (self.clips["end_s"] - self.clips["start_s"]).where(usable, 0.0),
            }
        )
        counts = pd.crosstab(rows["class"], rows["status"]).reindex(columns=STATUSES, fill_value=0)
        table = counts.join(rows.groupby("class")["seconds"].sum())
        table = table.reindex(names + [NO_CLASS] * (NO_CLASS in table.index)).fillna(0)
        table = table.astype(dict.fromkeys(STATUSES, int)).rename_axis(index="class", columns=None)
        return table.rename(columns=lambda column: column.replace(" ", "_")).reset_index()

    def save(self, folder: Path) -> None:
        """Write clips.parquet, classes.parquet and catalog.json (name, root, fingerprint, notes)."""
        folder = Path(folder)
        for table, file_name in ((self.clips, "clips.parquet"), (self.classes, "classes.parquet")):
            with writing(folder / file_name) as temporary:
                table.to_parquet(temporary, index=False)
        about = {"name": self.name, "root": written_path(self.root, folder), "fingerprint": self.fingerprint}
        write_json(folder / "catalog.json", about | {"notes": list(self.notes)})

    @staticmethod
    def load(folder: Path) -> Catalog:
        """Read a catalog that `save` wrote; the videos themselves need not be there.

        Raises:
            FileNotFoundError, ValueError: a file is missing, damaged, or not the one that catalog.json names.
        """
        folder = Path(folder)
        about = read_json(folder / "catalog.json")
        try:
            clips, classes = (pd.read_parquet(folder / f"{name}.parquet") for name in ("clips", "classes"))
        except FileNotFoundError:
            raise
        except (ValueError, OSError) as error:
            raise ValueError(f"the tables in '{folder}' must be whole ({error})") from error
        if list(clips.columns) != CLIP_COLUMNS or "name" not in classes:
            raise ValueError(f"the clips in '{folder}' must have the columns {', '.join(CLIP_COLUMNS)}")
        catalog = Catalog(
            about["name"], read_path(about["root"], folder), clips, classes, tuple(about.get("notes", ()))
        )
        if catalog.fingerprint != about["fingerprint"]:
            raise ValueError(f"the tables in '{folder}' must have the fingerprint {about['fingerprint']}")
        return catalog


def join_catalogs(train: Catalog, test: Catalog) -> Catalog:
    """One catalog with the clips of both; paths become absolute.

    A class of both is there once, as the test catalog describes it (a protocol must then have removed it from
    training); a clip of both (the same id and source group) is there once, as the training catalog has it.

    Raises:
        ValueError: both are of the same videos, or an id is in both that is not known to be the same clip.
    """
    if (train.name, Path(train.root)) == (test.name, Path(test.root)):
        raise ValueError(f"training and test data must be two datasets, got {train.name} for both")
    clips = pd.concat([_with_whole_paths(train), _with_whole_paths(test)], ignore_index=True)
    clips = clips[~(clips.duplicated(["id", "group"]) & (clips["group"] != ""))]
    twice = clips["id"][clips["id"].duplicated()].tolist()
    if twice:
        raise ValueError(
            f"an id must be in one of joined catalogs, {len(twice)} are in both, first {twice[0]!r}"
        )
    classes = pd.concat([test.classes, train.classes], ignore_index=True).fillna("").drop_duplicates("name")
    return Catalog(
        name=f"{train.name} and {test.name}",
        root=Path("/"),
        clips=clips.sort_values("id", ignore_index=True),
        classes=classes.sort_values("name", ignore_index=True),
        notes=(*train.notes, *test.notes),
    )


def _with_whole_paths(catalog: Catalog) -> pd.DataFrame:
    """The clips with absolute paths; ids of files that are no clip get the catalog's name before them."""
    clips, root = catalog.clips, Path(catalog.root).absolute()
    of_no_clip = clips["status"].isin((NOT_LISTED, NOT_A_VIDEO))
    return clips.assign(
        path=[path and str(root / path) for path in clips["path"]],
        id=clips["id"].where(~of_no_clip, f"{catalog.name}: " + clips["id"]),
    )


def shown(text: str) -> str:
    """The text on one line: control characters, line breaks and bytes that are not UTF-8 become escapes."""
    if text.isprintable():
        return text
    return "".join(
        letter.encode("unicode_escape").decode("ascii")
        if letter < " "
        or "\x7f" <= letter < "\xa0"
        or letter in "\u2028\u2029"
        or "\ud800" <= letter < "\ue000"
        else letter
        for letter in text
    )


def name_fault(name: str) -> tuple[str, str]:
    """Status and reason of a file that is no video by its name, or whose name no table can hold; else ""."""
    suffix = os.path.splitext(name)[1]
    if suffix.lower() not in VIDEO_SUFFIXES:
        return NOT_A_VIDEO, f"'{shown(suffix)}' is not a video suffix" if suffix else "it has no video suffix"
    if shown(name) != name:
        return UNREADABLE, f"a file name must be printable UTF-8, got '{shown(name)}'; rename it"
    return "", ""


def probe_files(
    root: Path, paths: Iterable[str], limits: Limits, journal: Path | None = None
) -> dict[str, dict | str]:
    """What each video holds, or the reason why it cannot be read.

    Args:
        root: the folder that paths are relative to.
        paths: of the videos; repeats are opened once.
        limits: workers, time and memory of each.
        journal: a file of json lines, one an opened video. One in it that did not change is not opened
            again, unless it took too long or ended its worker.

    Returns:
        For each path the fields of `VideoInfo` as a dict, or a sentence.
    """
    known = _read_journal(journal) if journal else {}
    found: dict[str, dict | str] = {}
    to_do, states = [], []
    for path in dict.fromkeys(paths):
        state = _state(os.path.join(root, path))  # a Path for each would cost more than the rest of this loop
        if path in known and known[path][0] == state:
            found[path] = known[path][1]
        else:
            to_do.append(path)
            states.append(state)
    if journal:
        make_folder(journal.parent)
    tasks = ({"path": os.path.join(root, path)} for path in to_do)
    bar = progress(what="probing", unit="video", total=len(found) + len(to_do), done=len(found))
    opened = open(journal, "a", encoding="utf-8") if journal else nullcontext()
    with closing(run_tasks(probe_clip, tasks, len(to_do), limits)) as answers, bar, opened as file:
        flushed = 0.0
        if file:
            file.write("\n")  # ends a line that a kill cut short
        for answer in answers:
            path = to_do[answer.index]
            found[path] = answer.reason if answer.result is None else answer.result
            if file and not answer.ended:
                line = {"path": path, "mark": states[answer.index], "found": found[path]}
                file.write(json.dumps(line) + "\n")
                if time.monotonic() - flushed > FLUSH_EVERY_S:
                    file.flush()
                    flushed = time.monotonic()
            bar.update(1)
    return found


def _state(path: str) -> list[int]:
    """Size, time of change and reading rule, which tell whether what was found of a file still holds."""
    try:
        status = os.stat(path)
    except OSError:
        return [-1, 0, READING_RULE]
    return [status.st_size, status.st_mtime_ns, READING_RULE]


def _read_journal(path: Path) -> dict[str, tuple[list[int], dict | str]]:
    """What a journal says of each path; a line cut short by a kill is left out."""
    known: dict[str, Any] = {}
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
            known[line["path"]] = line["mark"], line["found"]
        except (json.JSONDecodeError, TypeError, KeyError):
            continue
    return known


def complete_clips(table: pd.DataFrame, found: dict[str, dict | str]) -> pd.DataFrame:
    """The catalog's clips: rows with status "" get what was found in their video, and their final status.

    A clip without bounds (nan) is the whole video. One that starts after its video's end, or ends more than
    0.5 s after it, is excluded; an end less than that after it is moved to the end, and the remark says so.

    Args:
        table: id, path, class, group, splits, start_s, end_s, status and reason.
        found: of `probe_files`, for the paths of all rows with status "".
    """
    to_do = (table["status"] == "").to_numpy()
    infos = [found[path] if asked else "" for path, asked in zip(table["path"], to_do, strict=True)]
    read = np.array([isinstance(info, dict) for info in infos], dtype=bool)
    clips = table.assign(remark="").reset_index(drop=True)
    for column, key in FACTS.items():
        clips[column] = [info[key] if isinstance(info, dict) else 0 for info in infos]
    clips = clips.astype({"frames": int, "fps": float, "width": int, "height": int, "variable_rate": bool})
    clips.loc[read, "status"] = OK
    clips.loc[to_do & ~read, "status"] = UNREADABLE
    clips.loc[to_do & ~read, "reason"] = [info for info, bad in zip(infos, to_do & ~read, strict=True) if bad]
    last = np.where(read, clips["frames"] / clips["fps"].where(read, 1.0), 0.0)
    whole = clips["end_s"].isna().to_numpy()
    start = clips["start_s"].fillna(0.0).astype(float)
    end = pd.Series(np.where(whole, last, clips["end_s"].fillna(0.0)).astype(float), index=clips.index)
    late = read & ~whole & ((start >= last) | (end > last + END_TOLERANCE_S))
    moved = read & ~whole & ~late & (end > last)
    clips.loc[late, "status"] = EXCLUDED
    for rows, column, text in (
        (late, "reason", "its annotated {0:g} to {1:g} s must lie in its video, which ends at {2:.2f} s"),
        (moved, "remark", "its end was moved from {1:g} to {2:.2f} s, where the video ends"),
    ):
        clips.loc[rows, column] = [
            text.format(*t) for t in zip(start[rows], end[rows], last[rows], strict=True)
        ]
    clips["start_s"], clips["end_s"] = start, end.where(~moved, last)
    clips.loc[read & (clips["frames"] == 1), "remark"] = "it has one frame"
    return clips[CLIP_COLUMNS].sort_values("id", ignore_index=True)
