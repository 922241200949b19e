"""From downloaded folders to a catalog and a frame store in one folder that says what is there."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import OK, Catalog
from zsar_lab.data.datasets import DATASETS, FOLDER, catalog_dataset
from zsar_lab.data.frames import FrameStore, decoded_clips, make_frame_store
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import READING_RULE
from zsar_lab.data.workers import Limits
from zsar_lab.files import make_folder, read_json, write_json, writing


@dataclass(frozen=True)
class Source:
    """Where clips come from; ValueError if a field does not fit the dataset.

    Attributes:
        dataset: one of `zsar_lab.data.datasets.DATASETS`; "folder" is any folder of class folders.
        videos: the folder of the videos.
        annotations: the folder of the official annotation files; "" for "folder".
        unit: what one clip of ActivityNet is, "segment" or "video".
        name: what the catalog of a folder is called, by default as the folder.
    """

    dataset: str
    videos: str
    annotations: str = ""
    unit: str = "segment"
    name: str = ""

    def __post_init__(self) -> None:
        if self.dataset not in DATASETS:
            raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {self.dataset!r}")
        if (self.dataset == FOLDER) == bool(self.annotations):
            needs = (
                "has no annotation files" if self.annotations else "needs the folder of its annotation files"
            )
            raise ValueError(f"the dataset {self.dataset!r} {needs}, got annotations {self.annotations!r}")
        if self.unit not in ("segment", "video"):
            raise ValueError(f"unit must be 'segment' or 'video', got {self.unit!r}")

    @property
    def inputs(self) -> dict[str, str]:
        """What decides which clips are read, with whole paths."""
        videos, annotations = (path and str(Path(path).resolve()) for path in (self.videos, self.annotations))
        unit = self.unit if self.unit in DATASETS[self.dataset].units else ""
        return {"dataset": self.dataset, "videos": videos, "annotations": annotations, "unit": unit}


@dataclass(frozen=True, eq=False)
class Prepared:
    """What `prepare` leaves: the catalog, the frame store, and a row for all that cannot be used."""

    catalog: Catalog
    frames: FrameStore

    @property
    def bad_clips(self) -> pd.DataFrame:
        """Every clip or file without frames: id, path, class, status ("undecodable" too) and reason."""
        clips = decoded_clips(self.catalog, self.frames)
        columns = ["id", "path", "class", "status", "reason"]
        return clips.loc[clips["status"] != OK, columns].reset_index(drop=True)


def make_catalog(source: Source, folder: Path, limits: Limits = Limits()) -> Catalog:
    """The catalog of a source, saved in `<folder>/catalog`; opened when it is there; a killed scan goes on.

    A saved catalog is not compared with the folders again: to look at them anew, delete
    `<folder>/catalog/catalog.json` and `<folder>/frames`. Unchanged videos are not opened again.

    Raises:
        ValueError: the folder holds the catalog of another source, or as `catalog_dataset`.
        OSError: a folder or file is not there, or not to be written.
    """
    folder, inputs = Path(folder), source.inputs
    if folder.resolve().is_relative_to(inputs["videos"]):
        raise ValueError(f"the output folder must not be among the videos, '{folder}' is in {source.videos}")
    place, about, here = make_folder(folder) / "catalog", folder / "source.json", folder.resolve()
    if about.is_file():
        there = read_json(about)
        if not isinstance(there, dict) or there.keys() != inputs.keys():
            raise ValueError(f"'{about}' must name a source of this version, got {str(there)[:60]}")
        there["videos"] = str((here / there["videos"]).resolve())
        if different := [key for key, value in inputs.items() if there[key] != value]:
            key = different[0]
            raise ValueError(f"'{folder}' holds clips with {key} {there[key]!r}, got {inputs[key]!r}")
        if (place / "catalog.json").is_file():
            return Catalog.load(place)
    catalog = catalog_dataset(
        source.dataset,
        Path(source.videos),
        source.annotations,
        source.unit,
        limits,
        journal=place / "probed.jsonl",
        called=source.name or None,
    )
    catalog.save(place)
    if Path(inputs["videos"]).is_relative_to(here):  # such as the demo's: they move with the folder
        inputs["videos"] = os.path.relpath(inputs["videos"], here)
    write_json(about, inputs)
    return catalog


def prepare(
    source: Source, folder: Path, settings: FrameSettings = FrameSettings(), limits: Limits = Limits()
) -> Prepared:
    """Catalog a source and decode every usable clip once; run it again after a kill and it goes on.

    Leaves in the folder: catalog/, frames/ (the frame store), catalog_report.csv (counts by class),
    bad_clips.csv (every clip without frames, and why) and source.json. Memory: the workers stay below
    limits.workers * limits.memory_mb; this process holds about 3 kB a clip, and no pixels.
    """
    return prepare_catalog(make_catalog(source, folder, limits), folder, settings, limits)


def prepare_catalog(
    catalog: Catalog, folder: Path, settings: FrameSettings, limits: Limits = Limits()
) -> Prepared:
    """Decode a catalog's clips into `<folder>/frames` and leave both tables of `prepare`."""
    folder = Path(folder)
    prepared = Prepared(catalog, make_frame_store(catalog, folder / "frames", settings, limits))
    for table, name in ((catalog.report(), "catalog_report.csv"), (prepared.bad_clips, "bad_clips.csv")):
        with writing(folder / name) as temporary:
            table.to_csv(temporary, index=False)
    return prepared


def open_prepared(field: str, folder: str | Path) -> Prepared:
    """Open what `prepare` left in a folder; `field` is what a caller calls it.

    Raises:
        FileNotFoundError, ValueError: the folder holds no prepared dataset, or half of one.
    """
    folder = Path(folder)
    for name in ("catalog/catalog.json", "frames/store.json"):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{field} must be a folder of prepare's, '{folder}' holds no {name}")
    if not read_json(folder / "frames" / "store.json")["complete"]:
        raise ValueError(f"{field} must be finished, but prepare was interrupted in '{folder}'; run it again")
    return Prepared(Catalog.load(folder / "catalog"), FrameStore.open(folder / "frames"))


def summary(prepared: Prepared) -> str:
    """A few lines on what is there: how many clips of each status, and what the frames are."""
    catalog, frames, settings = prepared.catalog, prepared.frames, prepared.frames.settings
    counts = catalog.clips["status"].value_counts().to_dict()
    usable, n_empty = counts.pop(OK, 0), len(catalog.empty_classes)
    others = ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items())) or "nothing else"
    form = "raw" if settings.jpeg_quality is None else f"JPEG of quality {settings.jpeg_quality}"
    n_variable, n_remarks = catalog.usable["variable_rate"].sum(), (catalog.usable["remark"] != "").sum()
    lines = [
        f"{catalog.name}: {usable:,} usable clips of {len(catalog.classes) - n_empty} classes; {others}.",
        f"Frames: {len(frames):,} clips of {settings.n_frames} frames, "
        f"{settings.size_px} x {settings.size_px} pixels, {form}, {frames.frames.nbytes / 1e6:,.0f} MB; "
        f"{len(frames.excluded):,} clips could be opened but not decoded.",
    ]
    if n_variable or n_remarks:
        lines.append(
            f"{n_variable:,} clips have a variable frame rate and are read by their time stamps; "
            f"{n_remarks:,} have another remark."
        )
    if frames.reading[1] < READING_RULE:
        lines.append(
            "Its frames were read by an earlier rule, which miscounted some files; prepare them again."
        )
    lines += [f"Note: {note}." for note in catalog.notes]
    if n_empty:
        lines.append(f"{n_empty} classes have no usable clip: {', '.join(catalog.empty_classes)}.")
    return "\n".join(lines)
