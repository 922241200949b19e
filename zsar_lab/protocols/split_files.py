"""Published split files: the class ids or names of fixed splits."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from zsar_lab.names import match_names
from zsar_lab.protocols.build import make_protocol
from zsar_lab.protocols.protocol import Protocol, ProtocolError

SUFFIXES = (".txt", ".csv", ".json", ".npy", ".mat")


def intra_dataset_from_file(
    clips: pd.DataFrame,
    path: Path,
    split: int,
    class_names_in_id_order: Sequence[str],
    lists: str = "unseen",
    variable: str | None = None,
    ids: bool = True,
    **options: Any,
) -> Protocol:
    """One of the fixed splits of a dataset that a file gives; validation classes are drawn.

    `split` is its number in the file, 1 and up; `clips` as for `make_protocol`, which takes the options too;
    the other arguments as for `read_class_splits`.
    """
    splits = read_class_splits(path, class_names_in_id_order, lists, variable, ids)
    if not 1 <= split <= len(splits):
        raise ProtocolError(f"split must be in 1..{len(splits)} (the splits in '{path}'), got {split}")
    unseen = splits[split - 1]
    seen = set(class_names_in_id_order) - set(unseen)
    ratio = "50/50" if len(seen) - len(unseen) in (0, 1) else f"{len(seen)}/{len(unseen)}"
    name = f"intra-dataset {ratio}, split {split} of {Path(path).name}"
    return make_protocol(name, clips, unseen, seen=seen, **options)


def read_class_splits(
    path: Path,
    class_names_in_id_order: Sequence[str],
    lists: str = "unseen",
    variable: str | None = None,
    ids: bool = True,
) -> list[tuple[str, ...]]:
    """The unseen classes of each split in a file of class ids (1-based) or class names.

    Formats: .txt and .csv hold a split a line, separated by commas, tabs or spaces (names only by commas or
    tabs where a line has one), '#' starts a comment; .json a list of lists; .npy a 2-D array of integers, a
    split a row; .mat the same, as its only 2-D numeric variable.

    Args:
        path: the file.
        class_names_in_id_order: names of all classes; the first has id 1, and so are those returned.
        lists: "unseen" or "seen": which classes of a split the file lists.
        variable: which variable of a .mat file; None where there is one only.
        ids: whether the file may hold ids; not where their order is unknown.
    """
    if lists not in ("unseen", "seen"):
        raise ProtocolError(f"lists must be 'unseen' or 'seen' (which classes the file names), got {lists!r}")
    path, names = Path(path), list(class_names_in_id_order)
    rows = _read_rows(path, variable)
    lengths = sorted({len(row) for row in rows})
    if len(lengths) != 1 or lengths == [0]:
        raise ProtocolError(f"splits of '{path}' must be of one length, got {len(rows)} of {lengths}")
    if all(isinstance(entry, int) for row in rows for entry in row):
        if not ids:
            raise ProtocolError(f"'{path}' must hold class names, got ids: nothing says whose they are")
        known, near = f"an id in 1..{len(names)}", "; add 1 to every id if the file counts from 0"
        place: dict[Any, int] = {number: number - 1 for number in range(1, len(names) + 1)}
    else:
        found = match_names((str(entry) for row in rows for entry in row), names)
        known, near = f"one of the dataset's {len(names)} names", f" ({found.lacking})"
        place = {name: names.index(of_class) for name, of_class in found.class_of.items()}
        if found.said:
            warnings.warn(f"'{path}': {found.said}", stacklevel=2)
    splits = []
    for number, row in enumerate(rows, start=1):
        unknown = [entry for entry in row if entry not in place]
        if unknown:
            got = f"{unknown[0]!r} in split {number}" + near * (
                unknown[0] == 0 or isinstance(unknown[0], str)
            )
            raise ProtocolError(f"a class in '{path}' must be {known}, got {got}")
        listed = {place[entry] for entry in row}
        if len(listed) < len(row):
            twice = next(entry for n, entry in enumerate(row) if place[entry] in map(place.get, row[:n]))
            raise ProtocolError(f"split {number} of '{path}' must have a class once, it has {twice!r} twice")
        splits.append(tuple(name for i, name in enumerate(names) if (i in listed) == (lists == "unseen")))
    return splits


def _read_rows(path: Path, variable: str | None) -> list[list[Any]]:
    """The rows of a split file: integers where an entry is one, otherwise text."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ProtocolError(f"a split file must end in one of {', '.join(SUFFIXES)}, got '{path}'")
    if not path.is_file():
        raise FileNotFoundError(f"there is no split file '{path}'")
    if suffix == ".mat":
        held = {name: value for name, value in _load_mat(path).items() if value.ndim == 2 and value.size > 1}
        if variable is None and len(held) == 1:
            (variable,) = held
        if variable not in held:
            got = f"variable {variable!r}" if variable else "no variable"
            names = ", ".join(sorted(held)) or "none"
            raise ProtocolError(f"variable must be a 2-D numeric one of '{path}' ({names}), got {got}")
        return _integer_rows(path, held[variable])
    try:
        if suffix == ".npy":
            array = np.load(path, allow_pickle=False)
            if array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
                raise ValueError(f"no 2-D array of integers, got {array.dtype} of shape {array.shape}")
            return array.tolist()
        text = path.read_text(encoding="utf-8-sig")
        rows = json.loads(text) if suffix == ".json" else _rows_of_text(text)
    except (ValueError, OSError, EOFError) as error:
        raise ProtocolError(f"'{path}' must hold splits, it cannot be read ({_first(error)})") from error
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise ProtocolError(f"'{path}' must be a list of lists (a split each), got {str(rows)[:40]!r}")
    strange = [entry for row in rows for entry in row if type(entry) not in (int, str)]
    if strange:
        raise ProtocolError(f"'{path}' must list class ids or names, got {strange[0]!r}")
    return rows


def _rows_of_text(text: str) -> list[list[Any]]:
    rows = []
    for line in filter(None, (line.partition("#")[0].strip() for line in text.splitlines())):
        is_numeric = re.fullmatch(r"[-+\d\s,]*", line)
        separator = r"[\s,]+" if is_numeric or not re.search(r"[,\t]", line) else r"\s*[,\t]\s*"
        entries = [entry.strip().strip('"') for entry in re.split(separator, line)]
        rows.append([int(entry) if re.fullmatch(r"[-+]?\d+", entry) else entry for entry in entries if entry])
    return rows


def _load_mat(path: Path) -> dict[str, np.ndarray]:
    """The numeric variables of a .mat file."""
    from scipy.io import loadmat  # takes a fifth of a second to import, and few need it

    if not path.is_file():
        raise FileNotFoundError(f"there is no split file '{path}'")
    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ProtocolError(f"'{path}' is a .mat file of version 7.3; save it again with -v7") from error
    except Exception as error:  # scipy raises many kinds on damaged files, down to TypeError and zlib.error
        raise ProtocolError(f"'{path}' must be a .mat file, it cannot be read ({_first(error)})") from error
    return {
        name: value
        for name, value in content.items()
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.number)
    }


def _integer_rows(path: Path, array: np.ndarray) -> list[list[int]]:
    """Rows of Python integers; Matlab keeps whole numbers as floats."""
    if np.iscomplexobj(array) or not np.isfinite(array).all() or (array != np.floor(array)).any():
        raise ProtocolError(f"'{path}' must hold whole numbers, got others")
    return [[int(entry) for entry in row] for row in array]


def _first(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:100]
