"""The datasets that can be read: one table, and from an entry of it to a catalog."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from zsar_lab.data.catalog import OK, UNREADABLE, Catalog, complete_clips, probe_files
from zsar_lab.data.datasets.activitynet import OFFICIAL_NAME, read_activitynet
from zsar_lab.data.datasets.annotations import LEVELS_DOWN, Annotations, Dataset, files_below, table_of
from zsar_lab.data.datasets.folders import LISTED_COLUMNS, list_class_folders
from zsar_lab.data.datasets.kinetics import read_kinetics
from zsar_lab.data.datasets.layout import match_videos
from zsar_lab.data.datasets.split_lists import read_hmdb51, read_ucf101
from zsar_lab.data.workers import Limits
from zsar_lab.files import shipped

FOLDER = "folder"  # any folder of class folders
_LISTS, _TEST_SPLITS = r"classInd\.txt|(train|test)list0[123]\.txt", r".+_test_split\d+\.txt"
_TABLES = r"(?!classes\.csv$).+\.csv", "csv files like train.csv", ".mp4", b"youtube_id"
DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(FOLDER, "class folders"),
        Dataset("ucf101", "UCF101", read_ucf101, _LISTS, "classInd.txt and trainlist01.txt", ".avi"),
        Dataset("hmdb51", "HMDB51", read_hmdb51, _TEST_SPLITS, "files like run_test_split1.txt", ".avi"),
        Dataset(
            "activitynet",
            "ActivityNet",
            read_activitynet,
            files=r".+\.json",
            example=OFFICIAL_NAME,
            sign=b'"database"',
            units=("segment", "video"),
            shares_videos=True,
        ),
        Dataset("kinetics400", "Kinetics", read_kinetics, *_TABLES),
        Dataset("kinetics600", "Kinetics", read_kinetics, *_TABLES),
        Dataset("kinetics700", "Kinetics", read_kinetics, *_TABLES),
    )
}
PUBLIC = tuple(name for name in DATASETS if name != FOLDER)  # those with annotation files and a class list


def list_datasets() -> pd.DataFrame:
    """The table of datasets: name, label, what their annotation files look like, and number of classes.

    >>> import zsar_lab as zl
    >>> print(zl.list_datasets().set_index("name").loc["ucf101", "classes"])
    101
    """
    rows = [
        (name, of.label, of.example, len(class_list(name)) if of.files else 0)
        for name, of in DATASETS.items()
    ]
    return pd.DataFrame(rows, columns=["name", "label", "annotations", "classes"])


def class_list(dataset: str) -> pd.DataFrame:
    """The classes of a public dataset, shipped with the package, sorted by name.

    Columns: name, the dataset's own; label, its readable form; description, one or two sentences of ours; and
    eight phrases of ours: posture, arms, hands, legs, travel, object, place, interaction (`TEXT_PARTS`).
    """
    if dataset not in PUBLIC:
        raise ValueError(f"a class list is shipped for {', '.join(PUBLIC)}, got {dataset!r}")
    table = pd.read_csv(classes_path(dataset), encoding="utf-8", dtype=str, keep_default_na=False)
    return table.drop(columns="dataset")


def classes_path(dataset: str) -> Path:
    """The shipped class table of a dataset."""
    return shipped(f"data/{dataset}/classes.csv")


def read_annotations(name: str, folder: Path, unit: str | None = None) -> Annotations:
    """Read the official annotation files of a dataset, from their folder or one up to two levels above.

    Raises:
        ValueError: an unknown dataset or unit, the files of another dataset, or what its reader finds wrong.
        FileNotFoundError, NotADirectoryError: there is no such folder, or an official file is missing.
    """
    if name not in PUBLIC:
        raise ValueError(f"dataset must be one of {', '.join(PUBLIC)}, got {name!r}")
    dataset, folder = DATASETS[name], Path(folder)
    unit = unit or dataset.units[0]
    if unit not in dataset.units:
        raise ValueError(f"a unit of {dataset.label} must be {' or '.join(dataset.units)}, got {unit!r}")
    if folder.is_file():
        raise NotADirectoryError(f"annotations must be given as a folder, but '{folder}' is a file")
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder '{folder}' with the annotation files of {dataset.label}")
    wanted = (
        f"'{folder}' must hold the annotation files of {dataset.label} ({dataset.example}), "
        f"at most {LEVELS_DOWN} levels down"
    )
    files = files_below(folder, dataset.files)
    if not files:
        others = (other for other in DATASETS.values() if other.files and other.label != dataset.label)
        for other in others:
            if any(other.sign in path.read_bytes() for path in files_below(folder, other.files)):
                raise ValueError(f"{wanted}, but it looks like the annotations of {other.label}")
        raise FileNotFoundError(f"{wanted}, but there are none")
    annotations = table_of(dataset, *dataset.read(files, unit), folder)
    n_classes = len(annotations.classes)
    relatives = {
        other.name: len(class_list(other.name)) for other in DATASETS.values() if other.label == dataset.label
    }
    like = next((other for other, count in relatives.items() if count == n_classes and other != name), "")
    if len(relatives) > 1 and (like or n_classes > relatives[name]):
        raise ValueError(
            f"the files in '{folder}' must name the {relatives[name]} classes of {name}, got {n_classes}"
            + f", the number of {like}" * bool(like)
        )
    return annotations


def catalog_dataset(
    name: str,
    videos: Path,
    annotations: Path | str = "",
    unit: str = "segment",
    limits: Limits = Limits(),
    journal: Path | None = None,
    called: str | None = None,
) -> Catalog:
    """Catalog every clip that a dataset's annotation files name, and every other file below its videos.

    Args:
        name: one of DATASETS.
        videos: the folder above the class folders.
        annotations: the folder of the official annotation files, or one up to two levels above them.
        unit: what one clip of ActivityNet is, "segment" (as annotated) or "video" (whole).
        limits: a video that needs more is listed as unreadable.
        journal: see `probe_files`.
        called: the name of a catalog of class folders; the folder's own when None.

    Raises:
        ValueError: annotations of another dataset or damaged ones, no video of the dataset, or none readable.
        FileNotFoundError, NotADirectoryError: a folder or an official file is not there.
    """
    videos = Path(videos).absolute()
    notes: tuple[str, ...] = ()
    if name == FOLDER:
        called = videos.name if called is None else called
        listed, classes = list_class_folders(videos)
    else:
        read = read_annotations(name, Path(annotations), unit if len(DATASETS[name].units) > 1 else None)
        called = f"{name}, {unit}s" if len(DATASETS[name].units) > 1 else name
        listed = match_videos(read, videos)[LISTED_COLUMNS]
        classes = read.classes.merge(class_list(name), on="name", how="left").fillna("")
        classes = classes.sort_values("name", ignore_index=True)
        notes = _notes(read, classes)
    clips = complete_clips(
        listed, probe_files(videos, listed["path"][listed["status"] == ""], limits, journal)
    )
    if not (clips["status"] == OK).any():
        reasons = [*clips["reason"][clips["status"] == UNREADABLE], *clips["reason"], "it is empty"]
        raise ValueError(f"of {len(clips)} files in '{videos}' no video is readable, the first: {reasons[0]}")
    return Catalog(name=called, root=videos, clips=clips, classes=classes, notes=notes)


def _notes(read: Annotations, classes: pd.DataFrame) -> tuple[str, ...]:
    name, n_shipped = read.dataset.name, len(class_list(read.dataset.name))
    unknown = classes["name"][classes["label"] == ""].tolist()
    unlabelled = (
        f"the annotation files of {name} name {read.unlabelled:,} clips without a class; "
        "they are not in the catalog"
    )
    fewer = f"the annotation files name {len(classes)} of the {n_shipped} classes of {name}"
    bare = f"{len(unknown)} classes of {name} have no shipped label and go by their names: "
    notes = {
        unlabelled: read.unlabelled,
        fewer: len(classes) < n_shipped,
        bare + ", ".join(unknown[:10]): unknown,
    }
    return tuple(note for note, is_so in notes.items() if is_so)
