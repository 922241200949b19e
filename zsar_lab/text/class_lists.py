"""The classes a user asks for, in any form; labels and word stems of names. The owner of snowballstemmer."""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from zsar_lab.files import read_csv, read_text
from zsar_lab.names import refuse_same

CLASS_COLUMNS = ("name", "label", "description", "text")
TEXT_PARTS = {  # of a text in parts, and what each says
    "posture": "the trunk and the body as a whole",
    "arms": "what the arms do",
    "hands": "the path of the hands and what they do, with speed or rhythm",
    "legs": "legs and feet",
    "travel": "how the person moves through the place",
    "object": "the things held or used and how they move, or: no object",
    "place": "where it is, or: any place",
    "interaction": "alone, with a partner, in a team, with an animal, and what the others do",
}
OTHER_COLUMNS = ("structure", "family", "dataset", *TEXT_PARTS)  # of the shipped tables
STOP_WORDS = frozenset("the a an of in on with to and or".split())
ID = "id"  # a number beside each name, by which lists of videos may give labels
Classes: TypeAlias = str | Path | Sequence[str] | Mapping[str, str] | pd.DataFrame


def read_classes(classes: Classes, fewest: int = 2) -> pd.DataFrame:
    """The classes that videos are to be named by.

    >>> import zsar_lab as zl
    >>> table = zl.read_classes({"GolfSwing": "A club swings over a lawn.", "walking": ""})
    >>> table["label"].tolist(), table["description"].tolist()
    (['golf swing', 'walking'], ['A club swings over a lawn.', ''])

    Args:
        classes: a list of names; a mapping from names to descriptions; a table with the column name and any
            of label, description, text, id; or a file: such a table as csv, or a text file with a class a
            line, "name" or "name: description". One line alone, or one name, is split at its commas.
        fewest: classes that there must be.

    Returns:
        A row a class in the order given: name, label (readable), description and text ("" where not given),
            and structure, parts and id where they are given. ValueError for fewer classes, names that are
            empty or nearly the same, other columns, or a file that is no such table.
    """
    if isinstance(classes, pd.DataFrame):
        return _checked(classes, "the table of classes", fewest)
    if isinstance(classes, Mapping):
        table = pd.DataFrame({"name": list(classes), "description": list(classes.values())})
        return _checked(table, "the mapping of classes", fewest)
    if isinstance(classes, (str, Path)):
        path = Path(classes)
        if path.suffix.lower() == ".txt":
            return classes_of_lines(read_text(path), f"'{path}'", fewest)
        if path.suffix.lower() == ".csv":
            columns, rows = read_csv(path, needed=("name",), pad=True)
            table = pd.DataFrame([cells for _, cells in rows], columns=columns, dtype=str)
            return _checked(table, f"'{path}'", fewest)
    elif isinstance(classes, Sequence) and all(isinstance(name, str) for name in classes):
        table = pd.DataFrame({"name": _split(list(classes))}, dtype=str)
        return _checked(table, "the list of classes", fewest)
    raise ValueError(f"classes must be a list of names, a table, or a .csv or .txt file, got {classes!r}")


def classes_of_lines(lines: str, where: str = "the list of classes", fewest: int = 2) -> pd.DataFrame:
    """As `read_classes`, of lines, each "name" or "name: description"; empty lines are left out."""
    parted = [line.partition(":")[::2] for line in _split([*filter(str.strip, lines.splitlines())])]
    return _checked(pd.DataFrame(parted, columns=["name", "description"], dtype=str), where, fewest)


def _split(lines: list[str]) -> list[str]:
    """One line that holds several names, as commas part them; others as they are."""
    if len(lines) != 1 or "," not in lines[0] or ":" in lines[0]:
        return lines
    names = [name for name in lines[0].split(",") if name.strip()]
    warnings.warn(f"one line with commas was read as {len(names)} names: {lines[0][:80]!r}", stacklevel=4)
    return names


def readable_label(name: str) -> str:
    """The readable form of a dataset's class name: lower-case words, one space between them.

    HandstandPushups -> "handstand pushups", climb_stairs -> "climb stairs", Run100mHurdles -> "run 100m
    hurdles", MMAFight -> "mma fight". Words are split at underscores, spaces, before a capital that follows a
    small letter or digit, before the last capital of an abbreviation, and before a number.
    """
    spaced = ""
    for before, character, after in zip(" " + name, name, name[1:] + " ", strict=False):
        is_word = before.islower() or before.isdigit() or (before.isupper() and after.islower())
        starts = is_word if character.isupper() else character.isdigit() and before.isalpha()
        spaced += " " * starts + character
    found = " ".join(spaced.replace("_", " ").split()).lower()
    if not has_word(found):
        raise ValueError(f"a class name must hold at least one letter or digit, got {name!r}")
    return found


def normalised(text: str) -> tuple[str, ...]:
    """The word stems of a class name or label, in their order.

    Case, underscores, CamelCase, hyphens and other punctuation only part words ("person's" is one word);
    "the a an of in on with to and or" are dropped unless nothing would be left; the English Snowball stemmer
    takes inflection off: "climb_stairs" and "climbing the stairs" give the same stems.
    """
    words = re.findall(r"[^\W_]+", re.sub("['\N{RIGHT SINGLE QUOTATION MARK}]", "", readable_label(text)))
    return tuple(map(stem, [word for word in words if word not in STOP_WORDS] or words))


@functools.lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """A lower-case word without its inflection, by the English Snowball stemmer."""
    return _stemmer().stemWord(word)


@functools.cache
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


def label(classes: pd.DataFrame) -> list[str]:
    """The readable label: the column `label` where it is filled, else made from the name."""
    given = classes["label"] if "label" in classes else [None] * len(classes)
    return [
        text.strip() if isinstance(text, str) and text.strip() else readable_label(name)
        for name, text in zip(classes["name"], given)
    ]


def has_word(text: str) -> bool:
    """Whether a text holds a letter or digit of any script."""
    return any(character.isalnum() for character in text)


def _checked(table: pd.DataFrame, where: str, fewest: int) -> pd.DataFrame:
    columns = list(table.columns)
    odd = [column for column in columns if column not in (*CLASS_COLUMNS, *OTHER_COLUMNS, ID)]
    odd += [column for column in columns if columns.count(column) > 1]
    if "name" not in columns or odd:
        known, got = ", ".join(CLASS_COLUMNS[1:]), f"{str(odd[0])!r}" if odd else "no name"
        raise ValueError(f"classes must have one column name, and may have {known}; {where} has {got}")
    table = table.fillna("").astype(str).apply(lambda column: column.str.strip()).reset_index(drop=True)
    names = table["name"].tolist()
    if len(names) < fewest:
        raise ValueError(f"there must be {fewest} classes or more, {where} has {len(names)}")
    for number, name in enumerate(names, start=1):
        if not name or not name.isprintable():
            raise ValueError(f"class {number} in {where} must have a printable name, got {name!r}")
        if name in names[: number - 1]:
            raise ValueError(f"each class must be named once, {where} names {name!r} more than once")
    refuse_same(names)
    more = [column for column in ("structure", *TEXT_PARTS, ID) if column in table]
    table = table.reindex(columns=[*CLASS_COLUMNS, *more], fill_value="")
    return table.assign(label=label(table))
