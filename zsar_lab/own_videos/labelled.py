"""Named clips as a catalog: to look at them, and to keep accepted names for the other notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.class_folders import LISTED_COLUMNS
from zsar_lab.data.prepare import Prepared, prepare_catalog
from zsar_lab.data.probing import complete_clips, probe_files
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits

NAME = "own videos"
LEFT = ("catalog", "frames", "catalog_report.csv", "bad_clips.csv", "labels.csv")


def catalog_of(clips: pd.DataFrame, names: Sequence[str], classes: pd.DataFrame, limits: Limits = Limits()) -> Catalog:
    """A catalog of these clips, each of the class named for it; its root is "/", for the videos may lie anywhere.

    Args:
        clips: with the columns path, start_s and end_s (seconds; nan for the whole video), as `answers` gives them; a clip's id is its place in the
            table and its file's name, its group the video.
        names: a class for each clip.
        classes: from `read_classes`.
        limits: of the processes that open the files.

    Raises:
        ValueError: not one name a clip, a name that is none of the classes, or no clip.
    """
    if len(clips) != len(names) or not len(clips):
        raise ValueError(f"there must be one name a clip, and a clip, got {len(clips)} clips and {len(names)} names")
    unknown = sorted(set(names) - set(classes["name"]))
    if unknown:
        raise ValueError(f"every name must be one of the {len(classes)} classes, got {unknown[0]!r}; add the class, or choose another name")
    paths = [str(Path(path).resolve()) for path in clips["path"]]
    digits = len(str(len(clips) - 1))
    ids = [f"{number:0{digits}d} {Path(path).name}" for number, path in enumerate(paths)]
    empty, bounds = [""] * len(clips), (clips["start_s"].tolist(), clips["end_s"].tolist())
    rows = zip(ids, paths, names, paths, empty, *bounds, empty, empty, strict=True)
    table = complete_clips(pd.DataFrame(rows, columns=LISTED_COLUMNS), probe_files(Path("/"), sorted(set(paths)), limits))
    kept = classes.drop(columns="text").sort_values("name", ignore_index=True)
    return Catalog(NAME, Path("/"), table, kept)


def save_labelled(catalog: Catalog, folder: str | Path, frames: FrameSettings, limits: Limits = Limits()) -> Prepared:
    """Keep a catalog of labelled clips as a prepared dataset, which `Study(prepared=folder)` and so every notebook takes.

    Leaves what `prepare` leaves (catalog, frames, catalog_report.csv, bad_clips.csv) and labels.csv with path, label, start_s and end_s of each clip.

    Args:
        catalog: from `catalog_of`; its videos stay where they are.
        folder: an empty one, or that of the same clips and labels.
        frames: a clip.
        limits: of the processes that decode.

    Raises:
        ValueError: the folder holds other clips, labels or files, or no clip can be decoded.
        PermissionError, OSError: it cannot be written to.
    """
    folder = Path(folder)
    strangers = sorted(entry.name for entry in folder.iterdir() if entry.name not in LEFT) if folder.is_dir() else []
    if strangers and not (folder / "frames" / "store.json").is_file():
        raise ValueError(f"names are saved in an empty folder, '{folder}' holds {strangers[0]!r}; choose another")
    prepared = prepare_catalog(catalog, folder, frames, limits)
    catalog.save(folder / "catalog")
    labels = catalog.usable.rename(columns={"class": "label"})[["path", "label", "start_s", "end_s"]]
    labels.assign(path="/" + labels["path"].str.removeprefix("/")).to_csv(folder / "labels.csv", index=False)
    return prepared
