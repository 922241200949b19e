"""UCF101 and HMDB51: lists that say line by line which video is in which part of three official splits."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from zsar_lab.data.catalog import shown
from zsar_lab.data.datasets.annotations import Row, path_fault, video_stem
from zsar_lab.files import read_text

HMDB51_PARTS = {"0": "unused", "1": "train", "2": "test"}


def read_ucf101(files: list[Path], unit: str) -> tuple[list[Row], dict[str, int]]:
    """Every clip of ucfTrainTestlist with its class, source group and part in the splits 1, 2, 3.

    The class is the folder in a list ("HandstandPushups/v_HandStandPushups_g01_c01.avi"); the number behind a
    path must agree with classInd.txt, whose order differs from that of the names.
    """
    home = nearest_folder(files)
    numbers = _class_numbers(home / "classInd.txt")
    return rows_of_lists(_ucf101_mentions(home, numbers), _ucf101_group), numbers


def _ucf101_group(class_name: str, stem: str) -> str:
    found = re.fullmatch(r".*_(g\d+)_c\d+", stem)
    return f"{class_name}/{found[1]}" if found else ""


def _class_numbers(path: Path) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for at, line in read_lines(path):
        found = re.fullmatch(r"([0-9]+)\s+(\S+)", line)
        if not found:
            raise ValueError(f"line {at} of '{path}' must be a number and a class name, got '{shown(line)}'")
        if found[2] in numbers or int(found[1]) in numbers.values():
            raise ValueError(f"a class and its number must come once, got '{line}' in line {at} of '{path}'")
        numbers[found[2]] = int(found[1])
    return numbers


def _ucf101_mentions(home: Path, numbers: dict[str, int]) -> Iterator[tuple[str, str, int, str, str]]:
    for split in (1, 2, 3):
        for part in ("train", "test"):
            path = home / f"{part}list0{split}.txt"
            for at, line in read_lines(path):
                found = re.fullmatch(r"(.*\S)\s+([0-9]+)", line)
                path_text, number = (found[1], int(found[2])) if found else (line, None)
                where = f"line {at} of '{path}'"
                if not has_video_suffix(path_text) or (number is None and part == "train"):
                    form = "<class>/<video>.avi" + " <number>" * (part == "train")
                    raise ValueError(f"{where} must be '{form}', got '{shown(line)}'")
                class_name = path_text.split("/")[-2] if "/" in path_text else ""
                if class_name not in numbers:
                    raise ValueError(f"{where} must name a class of classInd.txt, got '{shown(path_text)}'")
                if number not in (None, numbers[class_name]):
                    raise ValueError(f"{where} must number {class_name} {numbers[class_name]}, got {number}")
                yield class_name, path_text, split, part, f"'{path.name}' line {at}"


def read_hmdb51(files: list[Path], unit: str) -> tuple[list[Row], dict[str, int]]:
    """Every clip of testTrainMulti_7030_splits with its class and part in the splits 1, 2, 3.

    The class is that of the file's name, `<class>_test_split<n>.txt`; the files do not name the source films.
    """
    home = nearest_folder(files)
    named = [path.stem.rpartition("_test_split")[::2] for path in files if path.parent == home]
    if other := [f"{name}_test_split{split}.txt" for name, split in named if split not in ("1", "2", "3")]:
        raise ValueError(f"a list of HMDB51 must be of split 1, 2 or 3, got '{home / other[0]}'")
    return rows_of_lists(_hmdb51_mentions(home, sorted({name for name, _ in named})), lambda *_: ""), {}


def _hmdb51_mentions(home: Path, class_names: list[str]) -> Iterator[tuple[str, str, int, str, str]]:
    for class_name in class_names:
        for split in (1, 2, 3):
            path = home / f"{class_name}_test_split{split}.txt"
            for at, line in read_lines(path):
                path_text, *value = line.rsplit(None, 1)
                if not value or value[0] not in HMDB51_PARTS or not has_video_suffix(path_text):
                    raise ValueError(
                        f"line {at} of {path} must be '<video>.avi <0|1|2>', got '{shown(line)}'"
                    )
                yield class_name, path_text, split, HMDB51_PARTS[value[0]], f"'{path.name}' line {at}"


def rows_of_lists(
    mentions: Iterable[tuple[str, str, int, str, str]], group_of: Callable[[str, str], str]
) -> list[Row]:
    """One row a clip in the order of first mention, then one, with a reason, for each mention too many.

    Args:
        mentions: class, path of the video, split (1..3), part ("train", "test", "unused"), where it says so.
        group_of: a clip's group, from its class and stem.
    """
    parts_of: dict[tuple[str, str], dict[int, str]] = {}
    first: dict[tuple[str, str], Row] = {}
    again = []
    for class_name, path_text, split, part, where in mentions:
        stem, fault = video_stem(path_text), path_fault(path_text)
        row = Row(class_name, stem, [stem], group_of(class_name, stem), fault=fault)
        key = class_name, path_text if fault else stem
        first.setdefault(key, row)
        parts = parts_of.setdefault(key, {})
        if split in parts:
            reason = f"{where} lists it again as {part}, but split {split} has it as {parts[split]} already"
            again.append(row._replace(splits=_in_splits({split: part}), reason=reason))
        else:
            parts[split] = part
    return [row._replace(splits=_in_splits(parts_of[key])) for key, row in first.items()] + again


def _in_splits(parts: dict[int, str]) -> str:
    return " ".join(parts.get(split, "unused") for split in (1, 2, 3))


def nearest_folder(files: list[Path]) -> Path:
    """The one folder that holds the first (nearest) of the files; ValueError if another one is as near."""
    folders = sorted({path.parent for path in files if len(path.parts) == len(files[0].parts)})
    if len(folders) > 1:
        raise ValueError(f"there must be one folder with the lists, got '{folders[0]}' and '{folders[1]}'")
    return folders[0]


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1; ValueError if there is none."""
    # not splitlines: that would break a line at a control character within a name
    lines = enumerate(re.split("\r\n|\r|\n", read_text(path)), start=1)
    found = [(number, line.strip(" \t")) for number, line in lines if line.strip(" \t")]
    if not found:
        raise ValueError(f"'{path}' must have a line for each clip, got an empty file; get it again")
    return found


def has_video_suffix(path_text: str) -> bool:
    """Whether a path ends in the suffix of a video."""
    return video_stem(path_text) != path_text.rpartition("/")[2]
