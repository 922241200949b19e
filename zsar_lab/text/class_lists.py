"""The classes a user asks for: names with optional labels, descriptions and exact texts, from a list, a table, a file or typed lines."""

from __future__ import annotations

import csv
import io
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd

from zsar_lab.text.prompts import EDITED, ClassText, class_text, label, label_and_description, prompt_named

LABEL, LABEL_AND_DESCRIPTION = "label", label_and_description.__name__
CLASS_COLUMNS = ("name", "label", "description", "text")
OTHER_COLUMNS = ("structure", "family", "dataset")  # of the shipped tables
FILE_SUFFIXES = (".csv", ".txt")
Classes = str | Path | Sequence[str] | Mapping[str, str] | pd.DataFrame


def read_classes(classes: Classes) -> pd.DataFrame:
    """The classes that videos are to be named by.

    >>> import zsar_lab as zl
    >>> table = zl.read_classes({"GolfSwing": "A club swings over a lawn.", "walking": ""})
    >>> table["label"].tolist(), table["description"].tolist()
    (['golf swing', 'walking'], ['A club swings over a lawn.', ''])

    Args:
        classes: a list of names; a mapping from names to descriptions; a table with the column name and any
            of label, description, text; or a file: such a table as csv, or a text file with a class a line,
            "name" or "name: description".

    Returns:
        A row a class in the order given: name, label (readable), description and text ("" where not given),
            and structure where it is given.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: no class or one class only; an empty name, or two that differ in case, spaces, hyphens or
            underscores alone; a file that is not UTF-8, no table, or has columns that are not known.
    """
    if isinstance(classes, pd.DataFrame):
        return _checked(classes, "the table of classes")
    if isinstance(classes, Mapping):
        return _checked(
            pd.DataFrame({"name": list(classes), "description": list(classes.values())}),
            "the mapping of classes",
        )
    if isinstance(classes, (str, Path)):
        path = Path(classes)
        if path.suffix.lower() not in FILE_SUFFIXES:
            raise ValueError(
                f"classes must be a list of names, or a file that ends in .csv or .txt, got {str(classes)!r}; put names into a list"
            )
        if path.suffix.lower() == ".txt":
            return classes_of_lines(read_text(path, "classes"), f"'{path}'")
        return _checked(_table(path, read_text(path, "classes")), f"'{path}'")
    if not isinstance(classes, Sequence) or not all(isinstance(name, str) for name in classes):
        raise ValueError(
            f"classes must be a list of names, a mapping, a table or a file, got {classes!r}; write for example ['walking', 'jumping']"
        )
    return _checked(pd.DataFrame({"name": list(classes)}, dtype=str), "the list of classes")


def classes_of_lines(lines: str, where: str = "the list of classes") -> pd.DataFrame:
    """As `read_classes`, of typed or pasted lines, each "name" or "name: description"; empty lines are left out."""
    parted = [line.partition(":") for line in lines.splitlines() if line.strip()]
    return _checked(
        pd.DataFrame(
            {"name": [name for name, _, _ in parted], "description": [text for _, _, text in parted]},
            dtype=str,
        ),
        where,
    )


def prompt_of(table: pd.DataFrame) -> str:
    """The prompt that reads all that a table says: label_and_description where any class has a description, else label."""
    return LABEL_AND_DESCRIPTION if (table["description"] != "").any() else LABEL


def texts_of(table: pd.DataFrame, prompt: str) -> ClassText:
    """The class texts of a table by a prompt; a class with a text of its own has that one, and one without a description its label alone.

    Args:
        table: from `read_classes`.
        prompt: see `prompt_named`.

    Raises:
        ValueError: as the prompt (label_and_description asks for nothing), or two classes have the same text.
    """
    if prompt == LABEL_AND_DESCRIPTION:
        both = zip(label(table), table["description"], strict=True)
        made = ClassText(
            prompt, tuple(table["name"]), tuple(f"{name}: {text}" if text else name for name, text in both)
        )
    else:
        made = class_text(table, prompt_named(prompt))
    own = table["text"] != ""
    if own.any():
        texts = tuple(text or before for text, before in zip(table["text"], made.texts, strict=True))
        made = ClassText(prompt + EDITED, made.names, texts, made.averaged)
    first: dict[str, str] = {}
    for name, text in zip(made.names, made.texts, strict=True):
        other = first.setdefault(text, name)
        if other != name:
            raise ValueError(
                f"classes must have different texts, {other!r} and {name!r} both have {text!r}; describe one of them otherwise"
            )
    return made


def read_text(path: Path, what: str) -> str:
    """A whole UTF-8 text file, with or without a byte order mark; `what` is what it should hold, for messages.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not UTF-8, or empty.
    """
    if not path.is_file():
        raise FileNotFoundError(f"a file of {what} must be there, '{path}' is not; check the path")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"a file of {what} must be UTF-8 text, '{path}' is not (byte {error.start}); save it as UTF-8"
        ) from error
    if not text.strip():
        raise ValueError(f"a file of {what} must not be empty, '{path}' is; write it again")
    return text


def refuse_nearly_same(names: Iterable[str]) -> None:
    """ValueError when two different names differ in case, spaces, hyphens or underscores alone."""
    first: dict[str, str] = {}
    for name in names:
        other = first.setdefault(plain(name) or name, name)
        if other != name:
            raise ValueError(
                f"class names must differ in more than case, spaces, hyphens or underscores, got {other!r} and {name!r}; write one class in one way,"
                " or rename one of two"
            )


def plain(name: str) -> str:
    """What is left of a name without case, spaces, hyphens and underscores, and with letters written in one way."""
    return "".join(
        c for c in unicodedata.normalize("NFKC", name).casefold() if not c.isspace() and c not in "-_"
    )


def _table(path: Path, text: str) -> pd.DataFrame:
    try:
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO(text, newline=""), strict=True)
            if any(cell.strip() for cell in row)
        ]
    except csv.Error as error:
        raise ValueError(
            f"a table of classes must be a csv table, '{path}' is not ({error}); save it anew as csv"
        ) from error
    header, *rows = rows
    if "name" not in header:
        what = (
            "separates its columns by semicolons or tabs"
            if any(mark in header[0] for mark in ";\t")
            else f"has {', '.join(map(repr, header[:4]))}"
        )
        raise ValueError(
            f"a table of classes must have a column 'name', and commas between columns, '{path}' {what}; mend its first row"
        )
    for number, row in enumerate(rows, 2):
        if len(row) > len(header):
            raise ValueError(
                f"a row must have as many cells as the first row, {len(header)}, row {number} of '{path}' has {len(row)}; put texts with a comma in"
                " double quotes"
            )
    return pd.DataFrame([row + [""] * (len(header) - len(row)) for row in rows], columns=header, dtype=str)


def _checked(table: pd.DataFrame, where: str) -> pd.DataFrame:
    columns = list(table.columns)
    unknown = [str(column) for column in columns if column not in (*CLASS_COLUMNS, *OTHER_COLUMNS)]
    if "name" not in columns or unknown or len(set(columns)) < len(columns):
        what = (
            f"has {unknown[0]!r}"
            if unknown
            else "has a column twice"
            if "name" in columns
            else "has no 'name'"
        )
        raise ValueError(
            f"classes must have the column name, and may have {', '.join(CLASS_COLUMNS[1:])}, {where} {what}; rename or drop a column"
        )
    table = table.fillna("").astype(str).apply(lambda column: column.str.strip()).reset_index(drop=True)
    names = table["name"].tolist()
    if len(names) < 2:
        raise ValueError(
            f"there must be 2 classes or more to choose from, {where} has {len(names)}; add names"
        )
    if "" in names:
        raise ValueError(
            f"every class must have a name, number {names.index('') + 1} in {where} has none; write it, or delete the line"
        )
    odd = next((name for name in names if not name.isprintable()), None)
    if odd is not None:
        raise ValueError(
            f"a class name must be one line of printable text, got {odd!r} in {where}; write it anew"
        )
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise ValueError(
            f"each class must be named once, {where} names {twice[0]!r} more than once; delete one"
        )
    refuse_nearly_same(names)
    for column in CLASS_COLUMNS[1:]:
        if column not in table:
            table[column] = ""
    table["label"] = label(table)
    more = ["structure"] if "structure" in columns else []
    return table[[*CLASS_COLUMNS, *more]]
