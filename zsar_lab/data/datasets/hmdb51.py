"""The official annotation files of HMDB51: one file a class and split."""

from __future__ import annotations

import re
from pathlib import Path

from zsar_lab.data.datasets.annotations import (
    Annotations,
    SplitLists,
    annotation_files,
    annotations_of,
    has_video_suffix,
    nearest_folder,
    read_lines,
    shown,
)

LIST_NAME = re.compile(r"(.+)_test_split(\d+)\.txt")
PARTS = {"0": "unused", "1": "train", "2": "test"}


def read_hmdb51(folder: Path) -> Annotations:
    """Read testTrainMulti_7030_splits: every clip with its class and part ("train", "test", "unused") in the splits 1, 2, 3.

    The class is that of the file's name, `<class>_test_split<n>.txt`. The files do not say which clips come
    from one film, so the group is "".

    Args:
        folder: the folder of the lists, or a folder up to two levels above it.

    Raises:
        FileNotFoundError: no such folder, or a class lacks the list of a split.
        NotADirectoryError: it is a file.
        ValueError: another dataset's folder, a fourth split, a file that is not UTF-8, or a line of another
            form than `<video>.avi <0|1|2>`.
    """
    files = annotation_files(folder, "HMDB51")
    home = nearest_folder(files, "HMDB51")
    class_names = set()
    for path in files:
        class_name, split = LIST_NAME.fullmatch(path.name).groups()
        if path.parent == home:
            class_names.add(class_name)
            if split not in ("1", "2", "3"):
                raise ValueError(
                    f"a list of HMDB51 must be of split 1, 2 or 3, got split {split} in '{path}'; rename or remove it"
                )
    lists = SplitLists(group_of=lambda class_name, stem: "")
    for class_name in sorted(class_names):
        for split in (1, 2, 3):
            _read_list(home / f"{class_name}_test_split{split}.txt", class_name, split, lists)
    return annotations_of("hmdb51", "clip", lists.rows(), class_names, unlabelled=0, source=home)


def _read_list(path: Path, class_name: str, split: int, lists: SplitLists) -> None:
    for line_number, line in read_lines(path):
        path_text, *value = line.rsplit(None, 1)
        if not value or value[0] not in PARTS or not has_video_suffix(path_text):
            raise ValueError(
                f"line {line_number} of '{path}' must be '<video>.avi' and 0 (unused), 1 (train) or 2 (test), got '{shown(line)}'; "
                "get the file again"
            )
        lists.add(class_name, path_text, split, PARTS[value[0]], f"'{path.name}' line {line_number}")
