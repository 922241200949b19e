"""The catalog of a dataset: one row a clip, usable or not, and one row a class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.files import fingerprint, read_json, read_path, write_json, writing, written_path

VIDEO_SUFFIXES = frozenset(
    ".mp4 .avi .mkv .webm .mov .m4v .mpg .mpeg .mts .m2ts .3gp .ogv .gif .flv .wmv".split()
)
CLIP_COLUMNS = [
    "id",
    "path",
    "class",
    "group",
    "splits",
    "start_s",
    "end_s",
    "frames",
    "fps",
    "width",
    "height",
    "variable_rate",
    "status",
    "reason",
    "remark",
]
FINGERPRINTED_COLUMNS = ["id", "class", "start_s", "end_s", "frames", "status"]
OK, MISSING, UNREADABLE, EXCLUDED, NOT_LISTED, NOT_A_VIDEO = (
    "ok",
    "missing",
    "unreadable",
    "excluded",
    "not listed",
    "not a video",
)
STATUSES = (OK, MISSING, UNREADABLE, EXCLUDED, NOT_LISTED, NOT_A_VIDEO)
UNDECODABLE = "undecodable"  # a catalog's "ok" that its frame store could not decode
NO_CLASS = "(no class of the dataset)"


@dataclass(frozen=True, eq=False)
class Catalog:
    """The clips and classes of a dataset.

    Attributes:
        name: what the dataset is called in messages and figures.
        root: the folder that clip paths are relative to.
        clips: one row for every clip that the annotations name and every other file that was found, sorted by
            id: id; path: relative to root, "" where there is no file; class; group: the source whose clips
            are near-duplicates of each other ("" where that is not known); splits: the official lists it is
            in, a word each ("train test train"; "" where there are none); start_s, end_s: of the clip in its
            video (seconds); frames, fps, width, height: of the video file (count, 1/s, pixels);
            variable_rate: its frames do not lie on an even grid, so they are chosen by their time stamps;
            status: "ok"; "missing" (named by the annotations, no file); "unreadable"; "excluded" (by a rule
            that reason
                states); "not listed" (a video that no annotation names); "not a video";
            reason: why it is not ok, "" when ok;
            remark: what was done to a clip that is ok, mostly "".
            Rows that are not ok hold zeros where numbers are not known.
        classes: one row a class, sorted by name; the column name, and those of classes.csv ("" where it says
            nothing).
        notes: sentences on what the annotation files hold that is no row here, mostly none.
    """

    name: str
    root: Path
    clips: pd.DataFrame
    classes: pd.DataFrame
    notes: tuple[str, ...] = ()

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
        """What is there, by class.

        Returns:
            One row a class: class, the number of clips of each status (ok, missing, unreadable, excluded,
            not_listed, not_a_video) and seconds of usable video. Files of no class stand in a last row. The
            counts sum to the rows of `clips`.
        """
        rows = self.clips[["class", "status"]].assign(
            seconds=(self.clips["end_s"] - self.clips["start_s"]).where(self.clips["status"] == OK, 0.0)
        )
        names = self.classes["name"].tolist()
        rows["class"] = rows["class"].where(rows["class"].isin(names), NO_CLASS)
        counts = pd.crosstab(rows["class"], rows["status"]).reindex(columns=STATUSES, fill_value=0)
        table = counts.join(rows.groupby("class")["seconds"].sum())
        order = names + [NO_CLASS] * (NO_CLASS in table.index)
        table = (
            table.reindex(order)
            .fillna(0)
            .astype(dict.fromkeys(STATUSES, int))
            .rename_axis(index="class", columns=None)
        )
        return table.rename(columns=lambda column: column.replace(" ", "_")).reset_index()

    def save(self, folder: Path) -> None:
        """Write clips.parquet, classes.parquet and catalog.json (name, root, fingerprint) into `folder`.

        Raises:
            PermissionError: the folder cannot be written to.
        """
        folder = Path(folder)
        for table, file_name in ((self.clips, "clips.parquet"), (self.classes, "classes.parquet")):
            with writing(folder / file_name) as temporary:
                table.to_parquet(temporary, index=False)
        about = {
            "name": self.name,
            "root": written_path(self.root, folder),
            "fingerprint": self.fingerprint,
            "notes": list(self.notes),
        }
        write_json(folder / "catalog.json", about)

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
        catalog = Catalog(
            name=about["name"],
            root=read_path(about["root"], folder),
            clips=clips,
            classes=classes,
            notes=tuple(about.get("notes", ())),
        )
        if catalog.fingerprint != about["fingerprint"]:
            raise ValueError(
                f"the tables in '{folder}' must have the fingerprint {about['fingerprint']} that catalog.json names, "
                f"got {catalog.fingerprint}; catalog the videos again"
            )
        return catalog


def join_catalogs(train: Catalog, test: Catalog) -> Catalog:
    """One catalog with the clips of both; paths become absolute.

    A class that both have stands once, as the test catalog describes it; a protocol must then have removed it
    from training. A clip that both have (the same id and the same source group, as of Kinetics-400 and
    Kinetics-600) stands once, as the training catalog has it.

    Raises:
        ValueError: both are of the same videos, or an id is in both that is not known to be the same clip.
    """
    if (train.name, Path(train.root)) == (test.name, Path(test.root)):
        raise ValueError(
            f"training and test data must be two datasets, got {train.name} in '{train.root}' for both; split a protocol within it instead"
        )
    clips = pd.concat([_with_whole_paths(train), _with_whole_paths(test)], ignore_index=True)
    same = clips.duplicated(["id", "group"]) & (clips["group"] != "")
    clips = clips[~same]
    twice = clips["id"][clips["id"].duplicated()].tolist()
    if twice:
        raise ValueError(
            f"a clip id must be in one of two catalogs that are joined, or be one clip of one source, {len(twice)} are in both "
            f"(first {twice[0]!r}); rename a class folder of one of them"
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
    """The clips with absolute paths; the ids of files that are no clip get the catalog's name, for both catalogs may have such a file."""
    paths = np.where(
        catalog.clips["path"] == "",
        "",
        [str(Path(catalog.root).absolute() / path) for path in catalog.clips["path"]],
    )
    of_no_clip = catalog.clips["status"].isin((NOT_LISTED, NOT_A_VIDEO))
    return catalog.clips.assign(
        path=paths, id=catalog.clips["id"].where(~of_no_clip, f"{catalog.name}: " + catalog.clips["id"])
    )


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'; catalog the videos again")
    try:
        return pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"'{path}' must be a whole parquet file, but {error}; catalog the videos again"
        ) from error


def shown(file_name: str) -> str:
    """The name with bytes that are not UTF-8, and control characters, written as escapes."""
    text = file_name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text
    )
