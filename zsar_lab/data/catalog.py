"""The catalog of a dataset: one row a clip, usable or not, and one row a class."""

from __future__ import annotations

import csv
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from zsar_lab.artefacts import fingerprint, read_json, write_json, writing
from zsar_lab.data.workers import probe_clip, run_tasks
from zsar_lab.progress import progress

VIDEO_SUFFIXES = frozenset(".mp4 .avi .mkv .webm .mov .m4v .mpg .mpeg .gif .flv .wmv".split())
CLIP_COLUMNS = ["id", "path", "class", "start_s", "end_s", "frames", "fps", "width", "height", "status", "reason"]
FINGERPRINTED_COLUMNS = ["id", "class", "start_s", "end_s", "frames", "status"]
OK, UNREADABLE, NOT_A_VIDEO = "ok", "unreadable", "not a video"


@dataclass(frozen=True, eq=False)
class Catalog:
    """The clips and classes of a dataset.

    Attributes:
        name: what the dataset is called in messages and figures.
        root: the folder that clip paths are relative to.
        clips: one row a file, sorted by id, with the columns id, path, class, start_s and end_s (seconds), frames, fps
            (1/s), width and height (pixels), status ("ok", "unreadable" or "not a video") and reason ("" when ok).
            Rows that are not ok hold zeros where numbers are not known.
        classes: one row a class, sorted by name; the column name, and those of classes.csv ("" where it says nothing).
    """

    name: str
    root: Path
    clips: pd.DataFrame
    classes: pd.DataFrame

    @property
    def fingerprint(self) -> str:
        """The hash of class names, clip ids, classes, start and end, frames and status; not of name, root or paths."""
        columns = [self.clips[column].tolist() for column in FINGERPRINTED_COLUMNS]
        return fingerprint("catalog 1", self.classes["name"].tolist(), *columns)

    @property
    def usable(self) -> pd.DataFrame:
        """The rows of `clips` with status "ok", numbered from 0."""
        return self.clips[self.clips["status"] == OK].reset_index(drop=True)

    @property
    def excluded(self) -> pd.DataFrame:
        """The rows of `clips` that cannot be used, numbered from 0; the column reason says why."""
        return self.clips[self.clips["status"] != OK].reset_index(drop=True)

    @property
    def empty_classes(self) -> list[str]:
        """The names of the classes that have no usable clip."""
        return sorted(set(self.classes["name"]) - set(self.usable["class"]))

    def report(self) -> pd.DataFrame:
        """One row a class: class, the counts ok, unreadable and not_a_video, and seconds of usable video."""
        rows = []
        for name in self.classes["name"]:
            clips = self.clips[self.clips["class"] == name]
            ok = clips[clips["status"] == OK]
            counts = {status: int((clips["status"] == status).sum()) for status in (UNREADABLE, NOT_A_VIDEO)}
            rows.append((name, len(ok), *counts.values(), float((ok["end_s"] - ok["start_s"]).sum())))
        return pd.DataFrame(rows, columns=["class", "ok", "unreadable", "not_a_video", "seconds"])

    def save(self, folder: Path) -> None:
        """Write clips.parquet, classes.parquet and catalog.json (name, root, fingerprint) into `folder`.

        Raises:
            PermissionError: the folder cannot be written to.
        """
        folder = Path(folder)
        for table, file_name in ((self.clips, "clips.parquet"), (self.classes, "classes.parquet")):
            with writing(folder / file_name) as temporary:
                table.to_parquet(temporary, index=False)
        write_json(folder / "catalog.json", {"name": self.name, "root": str(self.root), "fingerprint": self.fingerprint})

    @staticmethod
    def load(folder: Path) -> Catalog:
        """Read a catalog that `save` wrote; the videos themselves need not be there.

        Raises:
            FileNotFoundError: a file of the catalog is missing.
            ValueError: a file is damaged, or the tables are not those that catalog.json was written for.
        """
        folder = Path(folder)
        about = read_json(folder / "catalog.json")
        clips, classes = (_read_table(folder / name) for name in ("clips.parquet", "classes.parquet"))
        if list(clips.columns) != CLIP_COLUMNS or "name" not in classes:
            raise ValueError(
                f"'{folder}' must hold a catalog with the clip columns {CLIP_COLUMNS}, got {list(clips.columns)}; "
                "catalog the videos again"
            )
        catalog = Catalog(name=about["name"], root=Path(about["root"]), clips=clips, classes=classes)
        if catalog.fingerprint != about["fingerprint"]:
            raise ValueError(
                f"the tables in '{folder}' must have the fingerprint {about['fingerprint']} that catalog.json names, "
                f"got {catalog.fingerprint}; catalog the videos again"
            )
        return catalog


def catalog_folder(folder: Path, name: str | None = None, workers: int = 2, timeout_s: float = 60.0) -> Catalog:
    """Catalog a folder of class folders, `<class>/<video>`; each video is one clip from its first to its last frame.

    Every file in a class folder is listed: videos that can be read are "ok", files with a video suffix that cannot be
    read are "unreadable", other files and inner folders are "not a video"; hidden (dot) files are left out, and so are
    files beside the class folders. An id is "<class>/<file name without suffix>", with the suffix where two would be equal.

    An optional classes.csv (UTF-8; name, and any of label, description, ...) describes classes. A class named there
    without a folder is kept with zero clips; a folder not named there gets its name only.

    Args:
        folder: the folder of class folders.
        name: the catalog's name; the folder's own name when None.
        workers: processes that open videos at the same time, 1 or more; the result does not depend on it.
        timeout_s: a file that takes longer to open (seconds) is listed as unreadable.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: it is a file.
        ValueError: no class folder, one class only, no readable video at all, a class name that is not UTF-8, or a
            classes.csv that is no table, has no column name, or names a class twice or not at all.
    """
    folder = Path(folder).absolute()
    class_folders = _class_folders(folder)
    described = _read_classes_csv(folder / "classes.csv")
    classes = _classes(described, [entry.name for entry in class_folders])
    rows = [row for entry in class_folders for row in _list_files(entry)]
    _probe_rows(folder, [row for row in rows if not row["status"]], workers, timeout_s)
    rows.sort(key=lambda row: row["id"])
    clips = pd.DataFrame(rows, columns=CLIP_COLUMNS)
    if not (clips["status"] == OK).any():
        first = f"; the first reason: {rows[0]['reason']}" if rows else ""
        raise ValueError(
            f"'{folder}' must hold at least one readable video in a class folder, got "
            f"{len(rows)} files and none readable{first}"
        )
    return Catalog(name=folder.name if name is None else name, root=folder, clips=clips, classes=classes)


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'; catalog the videos again")
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise ValueError(f"'{path}' must be a whole parquet file, but {error}; catalog the videos again") from error


def _class_folders(folder: Path) -> list[Path]:
    if folder.is_file():
        raise NotADirectoryError(
            f"a dataset must be a folder of class folders, but '{folder}' is a file; "
            "give the folder above the class folders"
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder}'; give the folder that holds one folder a class")
    visible = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    found = sorted((entry for entry in visible if entry.is_dir()), key=lambda entry: entry.name)
    if not found:
        raise ValueError(
            f"'{folder}' must hold class folders (<class>/<video>), got none; "
            "put the videos of each class into a folder of that name"
        )
    if len(found) == 1:
        raise ValueError(
            f"zero-shot needs at least two classes, got 1 ('{_shown(found[0].name)}') in '{folder}'; "
            "add a folder for another class"
        )
    for entry in found:
        if _shown(entry.name) != entry.name:
            raise ValueError(f"a class folder's name must be UTF-8, got '{_shown(entry.name)}' in '{folder}'; rename it")
    return found


def _shown(file_name: str) -> str:
    """The name with bytes that are not UTF-8 written as escapes."""
    return file_name.encode("utf-8", "backslashreplace").decode("utf-8")


def _read_classes_csv(path: Path) -> pd.DataFrame:
    if not path.is_file():
        return pd.DataFrame({"name": []}, dtype=str)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file, strict=True) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"'{path}' must be a UTF-8 csv table, but {error}; save it again as UTF-8 csv") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(header):
            raise ValueError(
                f"each row of '{path}' must have {len(header)} fields as its header, got {len(row)} in row {number}; "
                f"put texts with a comma in double quotes"
            )
    table = pd.DataFrame(rows, columns=header, dtype=str)
    if "name" not in table.columns:
        raise ValueError(f"'{path}' must have a column 'name' with the names of the class folders, got the columns {list(table.columns)}")
    if (table["name"] == "").any():
        raise ValueError(f"each row of '{path}' must name a class, got an empty name in row {int((table['name'] == '').argmax()) + 1}")
    twice = table["name"][table["name"].duplicated()].tolist()
    if twice:
        raise ValueError(f"'{path}' must name each class once, got '{twice[0]}' more than once; delete a row")
    return table


def _classes(described: pd.DataFrame, folder_names: list[str]) -> pd.DataFrame:
    bare = [name for name in folder_names if name not in set(described["name"])]
    both = pd.concat([described, pd.DataFrame({"name": bare}, dtype=str)], ignore_index=True).fillna("")
    columns = ["name", *(column for column in described.columns if column != "name")]
    return both[columns].sort_values("name", ignore_index=True)


def _list_files(class_folder: Path) -> list[dict]:
    """A row for each entry of a class folder that is not hidden; status "" for those to be probed."""
    names = sorted(entry.name for entry in class_folder.iterdir() if not entry.name.startswith("."))
    stems = Counter(Path(name).stem for name in names if Path(name).suffix.lower() in VIDEO_SUFFIXES)
    rows = []
    for file_name in names:
        path, stem = Path(file_name), Path(file_name).stem
        status, reason = "", ""
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            status, reason = NOT_A_VIDEO, f"'{path.suffix}' is not a video suffix" if path.suffix else "it has no video suffix"
            if (class_folder / file_name).is_dir():
                reason = "it is a folder inside a class folder; videos lie directly in their class folder"
        elif _shown(file_name) != file_name:
            status, reason = UNREADABLE, f"a file name must be UTF-8, got '{_shown(file_name)}'; rename it"
        is_short = not status and stems[stem] == 1 and stem not in names
        clip_id = f"{class_folder.name}/{stem if is_short else _shown(file_name)}"
        numbers = {"start_s": 0.0, "end_s": 0.0, "frames": 0, "fps": 0.0, "width": 0, "height": 0}
        path_text = f"{class_folder.name}/{_shown(file_name)}"
        rows.append({"id": clip_id, "path": path_text, "class": class_folder.name, **numbers, "status": status, "reason": reason})
    return rows


def _probe_rows(folder: Path, rows: list[dict], workers: int, timeout_s: float) -> None:
    """Open each row's video and fill in what it holds, or why it cannot be read."""
    tasks = [{"path": str(folder / row["path"])} for row in rows]
    bar = progress(what="probing", unit="video", total=len(tasks))
    with closing(run_tasks(probe_clip, tasks, workers, timeout_s)) as answers, bar:
        for answer in answers:
            row, found = rows[answer.index], answer.result
            if found is None:
                row.update(status=UNREADABLE, reason=answer.reason)
            else:
                row.update(frames=found["n_frames"], fps=found["fps"], width=found["width"], height=found["height"])
                row.update(end_s=found["n_frames"] / found["fps"], status=OK)
            bar.update(1)
