"""The clips that `evaluate` scores: from a public dataset's name, or a folder of any kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.datasets import DATASETS, FOLDER, class_list, read_annotations
from zsar_lab.data.datasets.folders import list_class_folders
from zsar_lab.data.datasets.layout import match_videos
from zsar_lab.data.prepare import Source, open_prepared, prepare
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import fingerprint
from zsar_lab.workspace import Workspace


def clips_of(
    dataset: str | Path,
    videos: str | Path | None,
    annotations: str | Path | None,
    folder: Path,
    frames: FrameSettings | None,
) -> tuple[Catalog, Any, Path]:
    """The clips of a dataset, their frames, and the folder for what is made of them.

    Without settings of frames no video is opened, none need be there, and no frames are given.
    """
    path, known = Path(dataset), [name for name in DATASETS if name != FOLDER]
    is_public, got = str(dataset) in known, f"{videos} and {annotations}"
    if not is_public and (videos is not None or annotations is not None):
        said = f"videos and annotations are of {', '.join(known)}"
        raise ValueError(f"{said}, got the dataset {str(dataset)!r}")
    if is_public and (annotations is None or (frames and videos is None)):
        raise ValueError(f"{dataset} needs its folders: videos and annotations, got {got}")
    if not is_public and (path / "study.json").is_file():
        workspace = Workspace.open(path)
        catalog, store = workspace.test_catalog, workspace.frames if frames else None
    elif not is_public and (path / "catalog" / "catalog.json").is_file():
        made = open_prepared("dataset", path)
        catalog, store = made.catalog, made.frames
    elif frames is None:
        return _listed(str(dataset), videos, annotations), None, folder
    else:
        source = (
            Source(str(dataset), str(videos), str(annotations)) if is_public else Source(FOLDER, str(path))
        )
        key = fingerprint("clips to score", source.inputs, vars(frames), files_of(Path(source.videos)))
        place = folder / f"{path.resolve().name}-{key[:8]}"
        made = prepare(source, place, frames)
        return made.catalog, made.frames, place
    return catalog, store, folder / f"{path.resolve().name}-{store.fingerprint[:8]}" if store else folder


def _listed(dataset: str, videos: str | Path | None, annotations: str | Path | None) -> Catalog:
    """The clips that annotation files or class folders list."""
    if annotations is None:
        listed, classes = list_class_folders(Path(dataset))
        clips = listed[listed["status"] == ""].reset_index(drop=True)
        return Catalog(Path(dataset).resolve().name, Path(dataset), clips, classes)
    read = read_annotations(dataset, Path(annotations))
    classes = read.classes.merge(class_list(dataset), on="name", how="left").fillna("")
    clips = read.clips if videos is None else match_videos(read, Path(videos))
    clips = clips[clips["id"].isin(read.clips["id"][read.clips["reason"] == ""])]
    clips = clips if "path" in clips else clips.assign(path="")
    return Catalog(dataset, Path(videos or "."), clips.reset_index(drop=True), classes)


def files_of(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of every file below a folder: clips that changed are embedded anew."""
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*") if path.is_file()}
    return [(name, stats[name].st_size, stats[name].st_mtime_ns) for name in sorted(stats)]
