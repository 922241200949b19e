"""Which reader reads the annotations of which dataset."""

from __future__ import annotations

from pathlib import Path

from zsar_lab.data.datasets.activitynet import read_activitynet
from zsar_lab.data.datasets.annotations import Annotations
from zsar_lab.data.datasets.hmdb51 import read_hmdb51
from zsar_lab.data.datasets.kinetics import read_kinetics
from zsar_lab.data.datasets.ucf101 import read_ucf101

READERS = {
    "ucf101": lambda folder, unit: read_ucf101(folder),
    "hmdb51": lambda folder, unit: read_hmdb51(folder),
    "kinetics400": lambda folder, unit: read_kinetics("kinetics400", folder),
    "kinetics600": lambda folder, unit: read_kinetics("kinetics600", folder),
    "kinetics700": lambda folder, unit: read_kinetics("kinetics700", folder),
    "activitynet": read_activitynet,
}
DATASETS = tuple(READERS)


def read_annotations(dataset: str, folder: Path, unit: str = "segment") -> Annotations:
    """Read the official annotation files of a dataset.

    Args:
        dataset: one of DATASETS.
        folder: the folder of its annotation files, or a folder up to two levels above them.
        unit: what one clip of ActivityNet is, "segment" or "video"; the other datasets have clips.

    Raises:
        ValueError: an unknown dataset, or what the reader finds wrong with the files.
        FileNotFoundError: no such folder, or an official file is missing.
        NotADirectoryError: the folder is a file.
    """
    if dataset not in DATASETS:
        raise ValueError(
            f"dataset must be one of {', '.join(DATASETS)}, got {dataset!r}; catalog other videos as a folder of class folders"
        )
    return READERS[dataset](Path(folder), unit)
