"""The catalog of a public dataset: its official annotation files held against the videos that are there."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import OK, UNREADABLE, Catalog
from zsar_lab.data.class_lists import class_list
from zsar_lab.data.datasets.annotations import Annotations
from zsar_lab.data.datasets.layout import find_videos
from zsar_lab.data.datasets.readers import read_annotations
from zsar_lab.data.probing import complete_clips, probe_files
from zsar_lab.data.workers import Limits


def catalog_dataset(
    dataset: str,
    videos: Path,
    annotations: Path,
    unit: str = "segment",
    limits: Limits = Limits(),
    journal: Path | None = None,
) -> Catalog:
    """Catalog a public dataset: every clip that its annotation files name, and every other file below its folder of videos.

    A clip is "ok", "missing" (no file), "unreadable" (the file cannot be opened) or "excluded" (a rule that
    its reason states); a video that no annotation names is "not listed". Damage inside a file shows when its
    frames are decoded.

    Args:
        dataset: one of `zsar_lab.data.datasets.readers.DATASETS`.
        videos: the folder above the class folders; see `find_videos`.
        annotations: the folder of the official annotation files, or one up to two levels above them.
        unit: what one clip of ActivityNet is, "segment" (as annotated) or "video" (whole); the other datasets
            have clips.
        limits: workers, and the time and memory that each may take; a video that needs more is listed as
            unreadable.
        journal: see `probe_files`; None keeps nothing.

    Raises:
        FileNotFoundError, NotADirectoryError: a folder or an official file is not there.
        ValueError: annotations of another dataset or damaged ones, no video of the dataset, or none that can
            be read.
    """
    read = read_annotations(dataset, annotations, unit)
    videos = Path(videos).absolute()
    found = find_videos(read, videos)
    clips = complete_clips(
        found, probe_files(videos, found["path"][found["status"] == ""].tolist(), limits, journal)
    )
    if not (clips["status"] == OK).any():
        reasons = [*clips["reason"][clips["status"] == UNREADABLE], *clips["reason"]]
        raise ValueError(
            f"'{videos}' must hold at least one readable video of {dataset}, got none; the first reason: {reasons[0]}"
        )
    name = f"{dataset}, {unit}s" if dataset == "activitynet" else dataset
    classes = _with_labels(dataset, read.classes)
    return Catalog(name=name, root=videos, clips=clips, classes=classes, notes=_notes(read, classes))


def _notes(read: Annotations, classes: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    if read.unlabelled:
        notes.append(
            f"the annotation files of {read.name} name {read.unlabelled:,} clips without a class; they are not in the catalog"
        )
    if len(classes) < len(class_list(read.name)):
        notes.append(
            f"the annotation files name {len(classes)} of the {len(class_list(read.name))} classes of {read.name}"
        )
    unknown = classes["name"][classes["label"] == ""].tolist()
    if unknown:
        notes.append(
            f"{len(unknown)} classes of {read.name} have no shipped label and go by their names: {', '.join(unknown[:10])}"
        )
    return tuple(notes)


def _with_labels(dataset: str, classes: pd.DataFrame) -> pd.DataFrame:
    """The classes with the readable labels that are shipped; "" where the list does not have a class."""
    return (
        classes.merge(class_list(dataset), on="name", how="left")
        .fillna("")
        .sort_values("name", ignore_index=True)
    )
