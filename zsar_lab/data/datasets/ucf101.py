"""The official annotation files of UCF101: classInd.txt and three train and test lists."""

from __future__ import annotations

import re
from dataclasses import replace
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

SOURCE_GROUP = re.compile(r".*_(g\d+)_c\d+")


def read_ucf101(folder: Path) -> Annotations:
    """Read ucfTrainTestlist: every clip with its class, source group and part ("train" or "test") in the splits 1, 2, 3.

    The class is the folder named in a list ("HandstandPushups/v_HandStandPushups_g01_c01.avi" is of
    HandstandPushups); the label number behind a path must agree with it. A clip that no list of a split names
    is "unused" there. The classes have the column official_id too, their number in classInd.txt: its order
    differs from that of the names.

    Args:
        folder: ucfTrainTestlist, or a folder up to two levels above it.

    Raises:
        FileNotFoundError: no such folder, or one of the seven files is missing.
        NotADirectoryError: it is a file.
        ValueError: another dataset's folder, a file that is not UTF-8, a line of another form, a class that
            classInd.txt does not have, or a label number that disagrees with it.
    """
    home = nearest_folder(annotation_files(folder, "UCF101"), "UCF101")
    numbers = _read_class_numbers(home / "classInd.txt")
    lists = SplitLists(group_of=_group)
    for split in (1, 2, 3):
        for part in ("train", "test"):
            path = home / f"{part}list0{split}.txt"
            for line_number, line in read_lines(path):
                where = f"'{path.name}' line {line_number}"
                class_name, path_text = _parse(
                    line, f"line {line_number} of '{path}'", numbers, needs_number=part == "train"
                )
                lists.add(class_name, path_text, split, part, where)
    read = annotations_of("ucf101", "clip", lists.rows(), numbers, unlabelled=0, source=home)
    return replace(read, classes=read.classes.assign(official_id=read.classes["name"].map(numbers)))


def _group(class_name: str, stem: str) -> str:
    found = SOURCE_GROUP.fullmatch(stem)
    return f"{class_name}/{found[1]}" if found else ""


def _read_class_numbers(path: Path) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for line_number, line in read_lines(path):
        found = re.fullmatch(r"([0-9]+)\s+(\S+)", line)
        if not found:
            raise ValueError(
                f"line {line_number} of '{path}' must be a number and a class name, got '{shown(line)}'; get the file again"
            )
        number, class_name = int(found[1]), found[2]
        if class_name in numbers or number in numbers.values():
            raise ValueError(
                f"'{path}' must name each class and number once, got '{shown(line)}' again in line {line_number}; delete a line"
            )
        numbers[class_name] = number
    return numbers


def _parse(line: str, where: str, numbers: dict[str, int], needs_number: bool) -> tuple[str, str]:
    """The class and the path that a line of a list names."""
    found = re.fullmatch(r"(.*\S)\s+([0-9]+)", line)
    path_text, number = (found[1], int(found[2])) if found else (line, None)
    if not has_video_suffix(path_text) or (number is None and needs_number):
        form = "'<class>/<video>.avi <number>'" if needs_number else "'<class>/<video>.avi'"
        raise ValueError(f"{where} must be {form}, got '{shown(line)}'; get the file again")
    class_name = path_text.split("/")[-2] if "/" in path_text else ""
    if class_name not in numbers:
        raise ValueError(
            f"{where} must name a class of classInd.txt, got '{shown(path_text)}'; correct the line or classInd.txt"
        )
    if number is not None and number != numbers[class_name]:
        raise ValueError(
            f"{where} must give {class_name} the number {numbers[class_name]} as classInd.txt does, got {number}; correct one of them"
        )
    return class_name, path_text
