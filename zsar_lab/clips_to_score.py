"""The clips that `evaluate` scores: from a public dataset's name, or a folder of any kind."""

from __future__ import annotations

from pathlib import Path

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.datasets import DATASETS, FOLDER, class_list, read_annotations
from zsar_lab.data.datasets.folders import list_class_folders
from zsar_lab.data.datasets.layout import match_videos
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.prepare import Source, open_prepared, prepare
from zsar_lab.files import fingerprint
from zsar_lab.infer.model import VideoModel
from zsar_lab.workspace import Workspace


def listed_clips(dataset: str | Path, videos: str | Path | None, annotations: str | Path | None) -> Catalog:
    """The clips that a dataset lists; no video is opened, and none need be there."""
    path = Path(dataset)
    if _is_public(dataset, videos, annotations):
        if annotations is None:
            raise ValueError(f"{dataset} needs the folder of its annotation files, got annotations None")
        read = read_annotations(str(dataset), Path(annotations))
        classes = read.classes.merge(class_list(str(dataset)), on="name", how="left").fillna("")
        clips = read.clips if videos is None else match_videos(read, Path(videos))
        clips = clips[clips["id"].isin(read.clips["id"][read.clips["reason"] == ""])]
        clips = clips if "path" in clips else clips.assign(path="")
        return Catalog(str(dataset), Path(videos or "."), clips.reset_index(drop=True), classes)
    if (path / "study.json").is_file():
        return Workspace.open(path).test_catalog
    if (path / "catalog" / "catalog.json").is_file():
        return open_prepared("dataset", path).catalog
    listed, classes = list_class_folders(path)
    clips = listed[listed["status"] == ""].reset_index(drop=True)
    return Catalog(path.resolve().name, path, clips, classes)


def framed_clips(
    dataset: str | Path,
    videos: str | Path | None,
    annotations: str | Path | None,
    model: VideoModel,
    folder: Path,
) -> tuple[Catalog, FrameStore, Path]:
    """The clips of a dataset, their frames, and the folder for what is made of them."""
    path = Path(dataset)
    if _is_public(dataset, videos, annotations):
        if videos is None or annotations is None:
            raise ValueError(
                f"{dataset} needs its folders: videos and annotations, got {videos}, {annotations}"
            )
        source = Source(str(dataset), str(videos), str(annotations))
    elif (path / "study.json").is_file():
        workspace = Workspace.open(path)
        store = workspace.frames
        return workspace.test_catalog, store, folder / f"{path.resolve().name}-{store.fingerprint[:8]}"
    elif (path / "catalog" / "catalog.json").is_file():
        made = open_prepared("dataset", path)
        return made.catalog, made.frames, folder / f"{path.resolve().name}-{made.frames.fingerprint[:8]}"
    else:
        source = Source(FOLDER, str(path))
    key = fingerprint("clips to score", source.inputs, vars(model.frames), files_of(Path(source.videos)))
    place = folder / f"{path.resolve().name}-{key[:8]}"
    made = prepare(source, place, model.frames)
    return made.catalog, made.frames, place


def _is_public(dataset: str | Path, videos: str | Path | None, annotations: str | Path | None) -> bool:
    """Whether a public dataset is named; ValueError where another one has folders of such."""
    known = [name for name in DATASETS if name != FOLDER]
    if str(dataset) not in known and (videos is not None or annotations is not None):
        said = f"videos and annotations are of {', '.join(known)}"
        raise ValueError(f"{said}, got the dataset {str(dataset)!r}")
    return str(dataset) in known


def files_of(folder: Path) -> list[tuple[str, int, int]]:
    """Name, size and time of every file below a folder: clips that changed are embedded anew."""
    stats = {path.relative_to(folder).as_posix(): path.stat() for path in folder.rglob("*") if path.is_file()}
    return [(name, stats[name].st_size, stats[name].st_mtime_ns) for name in sorted(stats)]
