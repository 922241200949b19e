"""Named clips as a catalog: to look at them, and to keep accepted names for the other notebooks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import Catalog, complete_clips, probe_files
from zsar_lab.data.datasets.folders import LISTED_COLUMNS
from zsar_lab.data.prepare import Prepared, prepare_catalog
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits
from zsar_lab.files import fingerprint, make_folder, read_json, write_json

NAME = "own videos"
ABOUT = "labelled.json"  # what the frames are of


def catalog_of(
    clips: pd.DataFrame, names: Sequence[str], classes: pd.DataFrame, limits: Limits = Limits()
) -> Catalog:
    """A catalog of these clips, each of the class named for it; its root is "/", for the videos may lie anywhere.

    Args:
        clips: with the columns path, start_s and end_s (seconds; nan for the whole video), as `answers` gives
            them; a clip's id is its place in the table and its file's name, its group the video.
        names: a class for each clip.
        classes: from `read_classes`.
        limits: of the processes that open the files.

    Raises:
        ValueError: not one name a clip, a name that is none of the classes, or no clip.
    """
    if len(clips) != len(names) or not len(clips):
        raise ValueError(
            f"there must be one name a clip, and a clip, got {len(clips)} clips and {len(names)} names"
        )
    unknown = sorted(set(names) - set(classes["name"]))
    if unknown:
        raise ValueError(
            f"every name must be one of the {len(classes)} classes, got {unknown[0]!r}; add the class, or choose another name"
        )
    paths = [str(Path(path).resolve()) for path in clips["path"]]
    digits = len(str(len(clips) - 1))
    ids = [f"{number:0{digits}d} {Path(path).name}" for number, path in enumerate(paths)]
    empty, bounds = [""] * len(clips), (clips["start_s"].tolist(), clips["end_s"].tolist())
    rows = zip(ids, paths, names, paths, empty, *bounds, empty, empty, strict=True)
    table = complete_clips(
        pd.DataFrame(rows, columns=LISTED_COLUMNS), probe_files(Path("/"), sorted(set(paths)), limits)
    )
    kept = classes.drop(columns="text").sort_values("name", ignore_index=True)
    return Catalog(NAME, Path("/"), table, kept)


def save_labelled(
    catalog: Catalog, folder: str | Path, frames: FrameSettings, limits: Limits = Limits()
) -> Prepared:
    """Keep a catalog of labelled clips as a prepared dataset, which `Study(prepared=folder)` and so every notebook takes.

    Leaves what `prepare` leaves (catalog, frames, catalog_report.csv, bad_clips.csv) and labels.csv with
    path, label, start_s and end_s of each clip.

    Args:
        catalog: from `catalog_of`; its videos stay where they are.
        folder: an empty one, or that of the same clips and labels.
        frames: a clip.
        limits: of the processes that decode.

    Raises:
        ValueError: the folder holds other clips, labels or files, its videos have changed since, or no clip
            can be decoded.
        PermissionError, OSError: it cannot be written to.
    """
    folder, of_clips = Path(folder), _of_clips(catalog)
    there = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if there and not (folder / ABOUT).is_file():
        raise ValueError(f"names are saved in an empty folder, '{folder}' holds {there[0]!r}; choose another")
    if set(there) - {ABOUT} and read_json(folder / ABOUT) != {"clips": of_clips}:
        raise ValueError(
            f"names of the same clips alone may be saved again in one folder, '{folder}' holds other clips or labels; choose another"
        )
    write_json(make_folder(folder) / ABOUT, {"clips": of_clips})
    prepared = prepare_catalog(catalog, folder, frames, limits)
    catalog.save(folder / "catalog")
    labels = catalog.usable.rename(columns={"class": "label"})[["path", "label", "start_s", "end_s"]]
    labels.assign(path="/" + labels["path"].str.removeprefix("/")).to_csv(folder / "labels.csv", index=False)
    return prepared


def _of_clips(catalog: Catalog) -> str:
    """A fingerprint of the clips, their labels, and the files that they are in."""
    files = {
        path: (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else None
        for path in map(catalog.root.joinpath, catalog.clips["path"])
    }
    rows = catalog.clips[["id", "path", "class", "start_s", "end_s"]].to_numpy().tolist()
    return fingerprint("labelled clips", rows, [(str(path), mark) for path, mark in files.items()])
