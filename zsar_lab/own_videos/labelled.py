"""Named clips as a catalog: to look at them, and to keep accepted names for the other notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.class_folders import LISTED_COLUMNS
from zsar_lab.data.prepare import Prepared, prepare_catalog
from zsar_lab.data.probing import complete_clips, probe_files
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits

NAME = "own videos"


def catalog_of(clips: pd.DataFrame, names: Sequence[str], classes: pd.DataFrame, limits: Limits = Limits()) -> Catalog:
    """A catalog of these clips, each of the class named for it; its root is "/", for the videos may lie anywhere.

    Args:
        clips: with the columns path, start_s and end_s (seconds), as `answers` gives them; a clip's id is its place in the table and its file's name.
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
    several = clips["path"].duplicated(keep=False).to_numpy()
    bounds = (np.where(several, clips[column], np.nan) for column in ("start_s", "end_s"))  # a video's only clip is the whole of it
    rows = zip(ids, paths, names, paths, [""] * len(clips), *bounds, [""] * len(clips), [""] * len(clips), strict=True)
    table = complete_clips(pd.DataFrame(rows, columns=LISTED_COLUMNS), probe_files(Path("/"), sorted(set(paths)), limits))
    kept = classes.drop(columns="text").sort_values("name", ignore_index=True)
    return Catalog(NAME, Path("/"), table, kept)


def save_labelled(catalog: Catalog, folder: str | Path, frames: FrameSettings, limits: Limits = Limits()) -> Prepared:
    """Keep a catalog of labelled clips as a prepared dataset, which `Study(prepared=folder)` and so every notebook takes.

    Leaves what `prepare` leaves (catalog, frames, catalog_report.csv, bad_clips.csv) and labels.csv with path, label, start_s and end_s of every clip.

    Args:
        catalog: from `catalog_of`; its videos stay where they are.
        folder: an empty one, or that of the same clips and labels.
        frames: a clip.
        limits: of the processes that decode.

    Raises:
        ValueError: the folder holds other clips or labels, or no clip can be decoded.
        PermissionError, OSError: it cannot be written to.
    """
    folder = Path(folder)
    prepared = prepare_catalog(catalog, folder, frames, limits)
    catalog.save(folder / "catalog")
    labels = catalog.usable.rename(columns={"class": "label"})[["path", "label", "start_s", "end_s"]]
    labels.assign(path="/" + labels["path"].str.removeprefix("/")).to_csv(folder / "labels.csv", index=False)
    return prepared
