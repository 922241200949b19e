"""Reading published split files: class ids or names of fixed splits, and clip locations of att_splits files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

LOCATIONS = ("trainval_loc", "test_seen_loc", "test_unseen_loc")
SUFFIXES = (".txt", ".csv", ".json", ".npy", ".mat")


def read_class_splits(
    path: Path, class_names_in_id_order: Sequence[str], lists: str = "unseen", variable: str | None = None
) -> list[tuple[str, ...]]:
    """The unseen classes of each split in a file of class ids (1-based) or class names.

    Formats: .txt and .csv hold a split a line, separated by commas, tabs or spaces (names only by commas or
    tabs where a line has one), '#' starts a comment; .json a list of lists; .npy a 2-D array of integers, a
    split a row; .mat the same, as its only 2-D numeric variable.

    Args:
        path: the file.
        class_names_in_id_order: names of all classes; the first has id 1.
        lists: "unseen" or "seen": which classes of a split the file lists.
        variable: which variable of a .mat file; None where there is one only.

    Returns:
        One tuple of unseen class names a split, each in the order of ids.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: an unknown suffix, a file that cannot be read, rows that are empty or not of one length, a
            class that stands twice in a row, is unknown, or has an id outside 1..n.
    """
    if lists not in ("unseen", "seen"):
        raise ValueError(f"lists must be 'unseen' or 'seen' (which classes the file names), got {lists!r}")
    path, names = Path(path), list(class_names_in_id_order)
    rows = _read_rows(path, variable)
    lengths = sorted({len(row) for row in rows})
    if not rows or 0 in lengths or len(lengths) > 1:
        raise ValueError(
            f"every split in '{path}' must list the same number of classes, at least 1, got {len(rows)} rows with {lengths} classes; correct the file"
        )
    by_id = all(isinstance(entry, int) for row in rows for entry in row)
    splits = []
    for number, row in enumerate(rows, start=1):
        listed = (
            _positions_of_ids(path, number, row, len(names))
            if by_id
            else _positions_of_names(path, number, row, names)
        )
        wanted = set(listed) if lists == "unseen" else set(range(len(names))) - set(listed)
        splits.append(tuple(names[i] for i in sorted(wanted)))
    return splits


def read_clip_splits(path: Path, clip_ids_in_order: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The clip lists of an att_splits .mat file, which gives them as 1-based places in a list of all clips.

    Args:
        path: the file, with the variables trainval_loc, test_seen_loc and test_unseen_loc.
        clip_ids_in_order: the ids of all clips, in the order that the file counts by.

    Returns:
        The clip ids by variable name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no .mat file, lacks a variable, or has a place outside 1..n or twice.
    """
    path, ids = Path(path), list(clip_ids_in_order)
    if path.suffix.lower() != ".mat":
        raise ValueError(
            f"a file of clip locations must be a .mat file, got '{path}'; give the att_splits file"
        )
    held = _load_mat(path)
    missing = [name for name in LOCATIONS if name not in held]
    if missing:
        raise ValueError(
            f"'{path}' must hold {', '.join(LOCATIONS)}, it lacks {', '.join(missing)}; give the att_splits file"
        )
    found: dict[str, tuple[str, ...]] = {}
    used: dict[int, str] = {}
    for name in LOCATIONS:
        places = [entry for row in _integer_rows(path, held[name].reshape(1, -1)) for entry in row]
        outside = [place for place in places if not 1 <= place <= len(ids)]
        if outside:
            raise ValueError(
                f"a place in {name} of '{path}' must be in 1..{len(ids)} (the number of clips), got {outside[0]}; give the clips the file counts"
            )
        for place in places:
            if place in used:
                raise ValueError(
                    f"a clip must stand once in '{path}', place {place} is in {used[place]} and in {name}; correct the file"
                )
            used[place] = name
        found[name] = tuple(ids[place - 1] for place in places)
    return found


def _read_rows(path: Path, variable: str | None) -> list[list[Any]]:
    """The rows of a split file: integers where an entry is one, otherwise text."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(
            f"a split file must end in one of {', '.join(SUFFIXES)}, got '{path}'; save it as one of them"
        )
    if not path.is_file():
        raise FileNotFoundError(f"there is no split file '{path}'")
    if suffix == ".mat":
        return _integer_rows(path, _only_matrix(path, variable))
    if suffix == ".npy":
        return _integer_rows(path, _load_npy(path))
    try:
        text = path.read_text(encoding="utf-8-sig")
        return _rows_of_json(path, json.loads(text)) if suffix == ".json" else _rows_of_text(text)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"'{path}' must be a readable {suffix} file in UTF-8, but {error}; save it again"
        ) from error


def _rows_of_text(text: str) -> list[list[Any]]:
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    rows = []
    for line in filter(None, lines):
        is_numeric = re.fullmatch(r"[-+\d\s,]*", line)
        separator = r"[\s,]+" if is_numeric or not re.search(r"[,\t]", line) else r"\s*[,\t]\s*"
        entries = [entry.strip().strip('"') for entry in re.split(separator, line)]
        rows.append([int(entry) if re.fullmatch(r"[-+]?\d+", entry) else entry for entry in entries if entry])
    return rows


def _rows_of_json(path: Path, content: Any) -> list[list[Any]]:
    if not isinstance(content, list) or not all(isinstance(row, list) for row in content):
        raise ValueError(
            f"'{path}' must be a list of lists (a split each), got {str(content)[:40]!r}; correct the file"
        )
    strange = [entry for row in content for entry in row if type(entry) not in (int, str)]
    if strange:
        raise ValueError(f"'{path}' must list class ids or names, got {strange[0]!r}; correct the file")
    return content


def _load_npy(path: Path) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"'{path}' must be a plain .npy array of integers, but it cannot be read ({_first_line(error)}); save it again"
        ) from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or not np.issubdtype(array.dtype, np.integer):
        shape, kind = getattr(array, "shape", "no shape"), getattr(array, "dtype", type(array).__name__)
        raise ValueError(
            f"'{path}' must hold a 2-D array of integers, a split a row, got {kind} of shape {shape}; save it again"
        )
    return array


def _load_mat(path: Path) -> dict[str, np.ndarray]:
    """The numeric variables of a .mat file."""
    from scipy.io import loadmat  # scipy.io takes a fifth of a second to import, and few need it

    if not path.is_file():
        raise FileNotFoundError(f"there is no split file '{path}'")
    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(
            f"'{path}' must be a .mat file of version 7 or older, got version 7.3; save it again with -v7"
        ) from error
    except Exception as error:  # scipy raises many kinds on damaged files, down to TypeError and zlib.error
        raise ValueError(
            f"'{path}' must be a .mat file, but it cannot be read ({_first_line(error)}); save it again"
        ) from error
    return {
        name: value
        for name, value in content.items()
        if isinstance(value, np.ndarray) and np.issubdtype(value.dtype, np.number)
    }


def _only_matrix(path: Path, variable: str | None) -> np.ndarray:
    held = {name: value for name, value in _load_mat(path).items() if value.ndim == 2 and value.size > 1}
    if variable is None and len(held) != 1:
        raise ValueError(
            f"'{path}' must hold one 2-D numeric variable, got {', '.join(sorted(held)) or 'none'}; name one as variable"
        )
    if variable is not None and variable not in held:
        raise ValueError(
            f"variable must be a 2-D numeric variable of '{path}' ({', '.join(sorted(held)) or 'it has none'}), got {variable!r}"
        )
    return held[variable] if variable is not None else next(iter(held.values()))


def _integer_rows(path: Path, array: np.ndarray) -> list[list[int]]:
    """Rows of Python integers; Matlab keeps whole numbers as floats."""
    if np.iscomplexobj(array) or not np.isfinite(array).all() or (array != np.floor(array)).any():
        raise ValueError(f"'{path}' must hold whole numbers, got others; save the ids again")
    return [[int(entry) for entry in row] for row in array]


def _positions_of_ids(path: Path, number: int, row: list[int], n_classes: int) -> list[int]:
    outside = [entry for entry in row if not 1 <= entry <= n_classes]
    if outside:
        hint = (
            "add 1 to every id if the file counts from 0"
            if outside[0] == 0
            else "give all class names in the order of their ids"
        )
        raise ValueError(
            f"a class id in '{path}' must be in 1..{n_classes} (the number of classes), got {outside[0]} in split {number}; {hint}"
        )
    _check_once(path, number, row)
    return [entry - 1 for entry in row]


def _positions_of_names(path: Path, number: int, row: list[Any], names: list[str]) -> list[int]:
    position = {name: index for index, name in enumerate(names)}
    unknown = [entry for entry in row if entry not in position]
    if unknown:
        raise ValueError(
            f"a class in '{path}' must be one of the dataset's {len(names)} classes, got {unknown[0]!r} in split {number}; correct its name"
        )
    _check_once(path, number, row)
    return [position[entry] for entry in row]


def _check_once(path: Path, number: int, row: list[Any]) -> None:
    if len(set(row)) < len(row):
        twice = next(entry for entry in row if row.count(entry) > 1)
        raise ValueError(
            f"a class must stand once in a split, '{path}' has {twice!r} more than once in split {number}; check that each row is one split"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
