"""From downloaded folders to a catalog and a frame store in one folder that says what is there and what is not."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from zsar_lab.data.catalog import OK, Catalog
from zsar_lab.data.class_folders import catalog_folder
from zsar_lab.data.datasets.catalogs import catalog_dataset
from zsar_lab.data.datasets.readers import DATASETS
from zsar_lab.data.frames import FrameStore, decoded_clips, make_frame_store
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits
from zsar_lab.files import make_folder, read_json, write_json, writing

FOLDER = "folder"


@dataclass(frozen=True)
class Source:
    """Where clips come from.

    Attributes:
        dataset: "folder" for any folder of class folders, or one of
            `zsar_lab.data.datasets.readers.DATASETS`.
        videos: the folder of the videos.
        annotations: the folder of the official annotation files; "" for "folder".
        unit: what one clip of ActivityNet is, "segment" or "video".
        name: what the catalog of a folder is called, by default as the folder; a public dataset keeps its own
            name, which protocols go by.

    Raises:
        ValueError: an unknown dataset or unit, or annotations are missing or not wanted.
    """

    dataset: str
    videos: str
    annotations: str = ""
    unit: str = "segment"
    name: str = ""

    def __post_init__(self) -> None:
        if self.dataset not in (FOLDER, *DATASETS):
            raise ValueError(
                f"dataset must be one of {', '.join((FOLDER, *DATASETS))}, got {self.dataset!r}; 'folder' is any folder of class folders"
            )
        if (self.dataset == FOLDER) == bool(self.annotations):
            needs = (
                "has no annotation files"
                if self.dataset == FOLDER
                else "needs the folder of its official annotation files"
            )
            raise ValueError(
                f"the dataset {self.dataset!r} {needs}, got annotations {self.annotations!r}; see data/README.md"
            )
        if self.unit not in ("segment", "video"):
            raise ValueError(f"unit must be 'segment' or 'video', got {self.unit!r}")

    @property
    def inputs(self) -> dict[str, str]:
        """What decides which clips are read, with whole paths."""
        paths = {
            key: str(Path(value).resolve()) if value else ""
            for key, value in (("videos", self.videos), ("annotations", self.annotations))
        }
        return {"dataset": self.dataset, **paths, "unit": self.unit if self.dataset == "activitynet" else ""}


@dataclass(frozen=True, eq=False)
class Prepared:
    """What `prepare` leaves: the catalog, the frame store, and a row for every clip and file that cannot be used."""

    catalog: Catalog
    frames: FrameStore

    @property
    def bad_clips(self) -> pd.DataFrame:
        """Every clip or file that has no frames: id, path, class, status and reason; "undecodable" for those that open but do not decode."""
        clips = decoded_clips(self.catalog, self.frames)
        return clips.loc[clips["status"] != OK, ["id", "path", "class", "status", "reason"]].reset_index(
            drop=True
        )


def make_catalog(source: Source, folder: Path, limits: Limits = Limits()) -> Catalog:
    """The catalog of a source, kept in `<folder>/catalog`; opened when it is there, and a killed scan goes on.

    A kept catalog is not compared with the folders again: to look at them anew, delete
    `<folder>/catalog/catalog.json` and `<folder>/frames`. Videos that did not change are then not opened
    again, as the journal has them.

    Raises:
        ValueError: the folder holds the catalog of another source, or as `catalog_dataset` and
            `catalog_folder`.
        FileNotFoundError, NotADirectoryError, PermissionError: a folder or file is not there, or not to be
            written.
    """
    if Path(folder).resolve().is_relative_to(source.inputs["videos"]):
        raise ValueError(
            f"the output folder must not lie among the videos, '{folder}' lies in '{source.videos}'; choose another"
        )
    place, about = make_folder(Path(folder)) / "catalog", Path(folder) / "source.json"
    if about.is_file() and (kept := _inputs_in(about)) != source.inputs:
        if not isinstance(kept, dict) or kept.keys() != source.inputs.keys():
            raise ValueError(
                f"'{about}' must name a source of this version of the library, got {str(kept)[:60]}; choose another folder, or delete it"
            )
        key = next(key for key, value in source.inputs.items() if kept[key] != value)
        raise ValueError(
            f"'{folder}' holds clips with {key} {kept[key]!r}, got {source.inputs[key]!r}; choose another folder, or delete it"
        )
    if (place / "catalog.json").is_file() and about.is_file():
        return Catalog.load(place)
    journal, name = place / "probed.jsonl", source.name or None
    if source.dataset == FOLDER:
        catalog = catalog_folder(Path(source.videos), name, limits, journal)
    else:
        catalog = catalog_dataset(
            source.dataset, Path(source.videos), Path(source.annotations), source.unit, limits, journal
        )
    catalog.save(place)
    within = Path(source.inputs["videos"]).is_relative_to(
        about.parent.resolve()
    )  # such as the demo's: they move with the folder
    write_json(
        about,
        source.inputs
        | ({"videos": os.path.relpath(source.inputs["videos"], about.parent.resolve())} if within else {}),
    )
    return catalog


def _inputs_in(path: Path) -> Any:
    """What source.json says, with whole paths."""
    kept = read_json(path)
    whole = isinstance(kept, dict) and "dataset" in kept and "videos" in kept
    return kept | {"videos": str((path.parent / kept["videos"]).resolve())} if whole else kept


def prepare(
    source: Source, folder: Path, settings: FrameSettings = FrameSettings(), limits: Limits = Limits()
) -> Prepared:
    """Catalog a source and decode every usable clip once; run it again after a kill and it goes on.

    Leaves in the folder: catalog/ (tables in parquet, journal of opened videos), frames/ (the frame store),
    catalog_report.csv (counts by class), bad_clips.csv (every clip without frames, and why) and source.json.

    Memory: the workers stay below limits.workers * limits.memory_mb; this process holds the table of clips,
    about 3 kB a clip, and no pixels.

    Args:
        source: where the clips come from.
        folder: where all is kept; a workspace can be made of it later.
        settings: frames a clip, their rate and size, raw or JPEG.
        limits: workers, and the time and memory that each may take.

    Raises:
        ValueError, FileNotFoundError, NotADirectoryError, PermissionError: as `make_catalog` and
        `make_frame_store`. OSError: the disk has too little space.
    """
    return prepare_catalog(make_catalog(source, folder, limits), folder, settings, limits)


def prepare_catalog(
    catalog: Catalog, folder: Path, settings: FrameSettings, limits: Limits = Limits()
) -> Prepared:
    """Decode the clips of a catalog into `<folder>/frames` and leave both tables of `prepare`; Raises as `make_frame_store`."""
    folder = Path(folder)
    prepared = Prepared(catalog, make_frame_store(catalog, folder / "frames", settings, limits))
    for table, name in ((catalog.report(), "catalog_report.csv"), (prepared.bad_clips, "bad_clips.csv")):
        with writing(folder / name) as temporary:
            table.to_csv(temporary, index=False)
    return prepared


def open_prepared(field: str, folder: str | Path) -> Prepared:
    """Open what `prepare` left in a folder; `field` is what a caller calls it.

    Raises:
        FileNotFoundError: the folder holds no prepared dataset.
        ValueError: it holds half of one.
    """
    for name in ("catalog/catalog.json", "frames/store.json"):
        if not (Path(folder) / name).is_file():
            raise FileNotFoundError(
                f"{field} must be the folder of a prepared dataset, '{folder}' holds no {name}; run prepare with it as --out first"
            )
    if not read_json(Path(folder) / "frames" / "store.json")["complete"]:
        raise ValueError(
            f"{field} must be the folder of a prepared dataset, but prepare was interrupted in '{folder}'; run it again to go on"
        )
    return Prepared(Catalog.load(Path(folder) / "catalog"), FrameStore.open(Path(folder) / "frames"))


def summary(prepared: Prepared) -> str:
    """A few lines on what is there: how many clips of each status, and what the frames are."""
    catalog, frames = prepared.catalog, prepared.frames
    counts = {status: int(number) for status, number in catalog.clips["status"].value_counts().items()}
    usable = counts.pop(OK, 0)
    others = ", ".join(f"{number:,} {status}" for status, number in sorted(counts.items())) or "nothing else"
    kept = frames.settings
    form = "raw" if kept.jpeg_quality is None else f"JPEG of quality {kept.jpeg_quality}"
    lines = [
        f"{catalog.name}: {usable:,} usable clips of {len(catalog.classes) - len(catalog.empty_classes)} classes; {others}.",
        f"Frames: {len(frames):,} clips of {kept.n_frames} frames, {kept.size_px} x {kept.size_px} pixels, {form}, {frames.frames.nbytes / 1e6:,.0f} MB; "
        f"{len(frames.excluded):,} clips could be opened but not decoded.",
    ]
    n_variable, n_remarks = (
        int(catalog.usable["variable_rate"].sum()),
        int((catalog.usable["remark"] != "").sum()),
    )
    if n_variable or n_remarks:
        lines.append(
            f"{n_variable:,} clips have a variable frame rate and are read by their time stamps; {n_remarks:,} have another remark."
        )
    lines += [f"Note: {note}." for note in catalog.notes]
    if catalog.empty_classes:
        lines.append(
            f"{len(catalog.empty_classes)} classes have no usable clip: {', '.join(catalog.empty_classes)}."
        )
    return "\n".join(lines)
