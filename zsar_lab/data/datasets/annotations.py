"""What the official annotation files of a dataset say, as one table, and the rules that all its readers share."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import VIDEO_SUFFIXES

ANNOTATION_COLUMNS = ["id", "class", "group", "splits", "start_s", "end_s", "stems", "reason"]
LEVELS_DOWN = 2
# by family: the names of the annotation files, and what a user is told to look for
FAMILIES = {
    "UCF101": (
        re.compile(r"classInd\.txt|(train|test)list0[123]\.txt"),
        "classInd.txt, trainlist01.txt and testlist01.txt",
    ),
    "HMDB51": (re.compile(r".+_test_split\d+\.txt"), "files like brush_hair_test_split1.txt"),
    "ActivityNet": (re.compile(r".+\.json"), "activity_net.v1-3.min.json"),
    "Kinetics": (re.compile(r"(?!classes\.csv$).+\.csv"), "csv files like train.csv"),
}
# what a file of that name must contain before it counts as a sign of the family
SIGNS = {"ActivityNet": b'"database"', "Kinetics": b"youtube_id"}


@dataclass(frozen=True, eq=False)
class Annotations:
    """Every clip that a dataset's official annotation files name.

    Attributes:
        name: "ucf101", "hmdb51", "kinetics400", "kinetics600", "kinetics700" or "activitynet".
        unit: what one row is: "clip", or for ActivityNet "segment" or "video".
        clips: one row a clip, sorted by id, nothing dropped. Columns: id (unique), class, group (clips of one
            group are near-duplicates of each other; "" where the files do not say), splits (the official
            membership, words with spaces between), start_s and end_s (seconds within the file; NaN where the
            whole file is the clip), stems (a list: the file names without suffix under which the video may
            lie), reason ("" or why the annotation itself rules the clip out).
        classes: one row a class, sorted; the column name, and for UCF101 official_id.
        unlabelled: how many clips (or ActivityNet videos) the files name without a class; they are not in
            `clips`.
    """

    name: str
    unit: str
    clips: pd.DataFrame
    classes: pd.DataFrame
    unlabelled: int = 0


class AnnotatedClip(NamedTuple):
    """One row of `Annotations.clips`, in the order of its columns."""

    id: str
    class_name: str
    group: str
    splits: str
    start_s: float
    end_s: float
    stems: list[str]
    reason: str


@dataclass
class SplitLists:
    """Collects which clip is train, test or unused in each of three official splits, line by line.

    Attributes:
        group_of: gives a clip's group from its class and stem.
    """

    group_of: Callable[[str, str], str]
    _parts: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    _faults: dict[tuple[str, str], str] = field(default_factory=dict)
    _again: list[AnnotatedClip] = field(default_factory=list)

    def add(self, class_name: str, path_text: str, split: int, part: str, where: str) -> None:
        """Note that `where` puts a video of a class into a part of a split (1..3); a second time becomes a row with a reason."""
        stem = video_stem(path_text)
        fault = path_fault(path_text)
        key = (class_name, path_text if fault else stem)
        parts = self._parts.setdefault(key, ["", "", ""])
        if not parts[split - 1]:
            parts[split - 1] = part
            self._faults[key] = fault
            return
        again = f"{where} lists it again as {part}, but split {split} has it as {parts[split - 1]} already"
        alone = [part if number == split else "" for number in (1, 2, 3)]
        self._again.append(self._clip(class_name, stem, alone, fault, again))

    def rows(self) -> list[AnnotatedClip]:
        """One row a clip, in the order of their first mention, then one for each mention too many."""
        rows = []
        for (class_name, path_or_stem), parts in self._parts.items():
            fault = self._faults[class_name, path_or_stem]
            rows.append(
                self._clip(class_name, video_stem(path_or_stem) if fault else path_or_stem, parts, fault)
            )
        return rows + self._again

    def _clip(
        self, class_name: str, stem: str, parts: list[str], fault: str, again: str = ""
    ) -> AnnotatedClip:
        splits = " ".join(part or "unused" for part in parts)
        stems, group = [] if fault else [stem], self.group_of(class_name, stem)
        return AnnotatedClip(
            f"{class_name}/{shown(stem)}", class_name, group, splits, np.nan, np.nan, stems, fault or again
        )


def annotations_of(
    name: str,
    unit: str,
    rows: Iterable[AnnotatedClip],
    class_names: Iterable[str],
    unlabelled: int,
    source: Path,
) -> Annotations:
    """Sort the rows by id, make their ids unique, and check the class names.

    Of rows with one id the first that nothing rules out keeps it; the others get " (listed again)" behind
    their id and, where they have none yet, that as their reason.

    Raises:
        ValueError: no row at all, or a class name that is empty or holds a control character or a slash.
    """
    names = sorted(set(class_names))
    for class_name in names:
        if not class_name or "/" in class_name or not is_plain(class_name):
            raise ValueError(
                f"a class name must be text without slash or control character, got '{shown(class_name)}' in '{source}'; rename it"
            )
    unique, taken = [], set()
    for row in sorted(rows, key=lambda row: (row.id, row.reason != "")):
        if row.id in taken:
            row = row._replace(
                id=unused_id(row.id, "listed again", taken),
                reason=row.reason or "the annotation files list it twice",
            )
        taken.add(row.id)
        unique.append(row)
    if not unique:
        raise ValueError(
            f"the annotation files of {name} must name at least one clip with its class, got none in '{source}'; get them again"
        )
    unique.sort(key=lambda row: row.id)
    clips = pd.DataFrame(dict(zip(ANNOTATION_COLUMNS, map(list, zip(*unique, strict=True)), strict=True)))
    return Annotations(name, unit, clips, pd.DataFrame({"name": names}, dtype=str), unlabelled)


def unused_id(wanted: str, remark: str, taken: set[str]) -> str:
    """`wanted` with a remark behind it, "x (remark)", then "x (remark 2)" and so on: the first that is not taken."""
    candidate, number = f"{wanted} ({remark})", 1
    while candidate in taken:
        number += 1
        candidate = f"{wanted} ({remark} {number})"
    return candidate


def annotation_files(folder: Path, family: str) -> list[Path]:
    """The annotation files of a family ("UCF101", ...) in a folder or up to two levels below, the nearest first.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it looks like an annotation file of a known
            dataset.
        NotADirectoryError: it is a file.
        ValueError: it holds the files of another dataset.
    """
    folder = Path(folder)
    if folder.is_file():
        raise NotADirectoryError(
            f"annotations must be given as a folder, but '{folder}' is a file; give the folder it lies in"
        )
    if not folder.is_dir():
        raise FileNotFoundError(
            f"there is no folder '{folder}'; give the folder that holds the annotation files of {family}"
        )
    pattern, examples = FAMILIES[family]
    found = files_below(folder, pattern)
    if found:
        return found
    rule = f"'{folder}' must hold the annotation files of {family} ({examples}), at most {LEVELS_DOWN} levels down"
    other = family_of(folder, but=family)
    if other:
        raise ValueError(
            f"{rule}, but it looks like the annotations of {other}; give the folder of {family} or read it as {other}"
        )
    raise FileNotFoundError(f"{rule}, but there are none; give the folder they were unpacked to")


def family_of(folder: Path, but: str) -> str:
    """The family that the files of a folder look like, leaving one out; "" when they look like none."""
    for family, (pattern, _) in FAMILIES.items():
        sign = SIGNS.get(family, b"")
        if family != but and any(sign in path.read_bytes() for path in files_below(folder, pattern)):
            return family
    return ""


def files_below(folder: Path, pattern: re.Pattern) -> list[Path]:
    """Files whose whole name fits the pattern, up to two levels down: by depth, then by path; hidden ones left out."""
    found, level = [], [str(folder)]
    for depth in range(LEVELS_DOWN + 1):
        files, folders = [], []
        for name in level:
            with os.scandir(name) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if pattern.fullmatch(entry.name) and entry.is_file():
                        files.append(Path(entry.path))
                    elif depth < LEVELS_DOWN and entry.is_dir():
                        folders.append(entry.path)
        found += sorted(files)
        level = sorted(folders)
    return found


def nearest_folder(files: list[Path], family: str) -> Path:
    """The one folder that holds the first (nearest) of the files.

    Raises:
        ValueError: another folder at the same depth holds some too.
    """
    depth = len(files[0].parts)
    folders = sorted({path.parent for path in files if len(path.parts) == depth})
    if len(folders) > 1:
        raise ValueError(
            f"there must be one folder with annotation files of {family}, got '{folders[0]}' and '{folders[1]}'; give one of them"
        )
    return folders[0]


def read_text(path: Path) -> str:
    """The text of an annotation file; a byte order mark is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file '{path}', which the official annotations have; unpack them again"
        )
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"'{path}' must be UTF-8 text, but byte {error.start} is not ({error.reason}); save it as UTF-8 or get it again"
        ) from error


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that are not blank, with their numbers from 1 on and without space at either end.

    Raises:
        FileNotFoundError, ValueError: as `read_text`; or no line at all.
    """
    # not splitlines: that would break a line at a control character within a name
    lines = [
        (number, line.strip(" \t"))
        for number, line in enumerate(re.split("\r\n|\r|\n", read_text(path)), start=1)
    ]
    lines = [(number, line) for number, line in lines if line]
    if not lines:
        raise ValueError(f"'{path}' must have a line for each clip, got an empty file; get it again")
    return lines


def video_stem(path_text: str) -> str:
    """The file name of a path without its video suffix; a name that ends otherwise is kept whole."""
    name = path_text.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in VIDEO_SUFFIXES else name


def has_video_suffix(path_text: str) -> bool:
    """Whether a path ends in the suffix of a video."""
    return video_stem(path_text) != path_text.rpartition("/")[2]


def path_fault(path_text: str) -> str:
    """Why a path (or a name) in an annotation file cannot be that of a video below the dataset's folder; "" if it can."""
    if not is_plain(path_text):
        return f"a name must hold no control character, got '{shown(path_text)}'"
    if path_text.startswith(("/", "\\")) or re.match(r"[A-Za-z]:[/\\]", path_text):
        return f"a path must be relative to the dataset's folder, got '{path_text}'"
    if ".." in path_text and ".." in re.split(r"[/\\]", path_text):
        return f"a path must stay below the dataset's folder, got '{path_text}'"
    return "" if video_stem(path_text) else f"a path must name a file, got '{path_text}'"


def is_plain(text: str) -> bool:
    """Whether a text is valid Unicode and holds no control character and no line break."""
    return text.isprintable() or shown(text) == text


def shown(text: str) -> str:
    """The text on one line: control characters, line breaks and bytes that are not UTF-8 are written as escapes."""
    if text.isprintable():
        return text
    return "".join(_escaped(character) if _is_odd(character) else character for character in text)


def _is_odd(character: str) -> bool:
    code = ord(character)
    return code < 0x20 or 0x7F <= code < 0xA0 or code in (0x2028, 0x2029) or 0xD800 <= code < 0xE000


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
