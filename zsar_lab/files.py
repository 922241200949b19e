"""Files of a study: fingerprints, writing that never leaves half a file, json and csv."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np


def fingerprint(*parts: Any) -> str:
    """The hash of an artefact's inputs: the first 16 hex digits of SHA-256 over the parts in their order.

    Parts are bytes, numpy arrays (with dtype and shape), or what json can hold (sorted by key); TypeError for
    another. Equal parts give equal fingerprints on every machine.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"{part.dtype.str}{part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            digest.update(part)
        else:
            digest.update(json.dumps(part, sort_keys=True, ensure_ascii=True).encode())
        digest.update(b"\x00")
    return digest.hexdigest()[:16]


def later(default: Any, together: str | None = None) -> Any:
    """A field of a configuration that `recorded` leaves out at its default.

    Args:
        default: what artefacts without the field were made with.
        together: name of a group of fields, left out only if each of them is at its default.
    """
    return field(default=default, metadata={"later": together or True})


def recorded(config: Any) -> dict[str, Any]:
    """A configuration as it is written and hashed: without `later` fields at their default."""
    changed = {
        f.metadata["later"]
        for f in fields(config)
        if "later" in f.metadata and getattr(config, f.name) != f.default
    } - {True}
    content = {}
    for f in fields(config):
        value = getattr(config, f.name)
        if "later" not in f.metadata or value != f.default or f.metadata["later"] in changed:
            content[f.name] = recorded(value) if is_dataclass(value) else value
    return content


def shipped(name: str) -> Path:
    """A file or folder that comes with the code: in the repository, or its copy in an installed package."""
    package = Path(__file__).parent
    places = [package.parent / name, package / "shipped" / name.removeprefix("data/")]
    for place in places:
        if place.exists():
            return place
    raise FileNotFoundError(f"'{name}' must be at '{places[0]}' or '{places[1]}'; install zsar_lab again")


def make_folder(folder: Path) -> Path:
    """Make the folder (and its parents); PermissionError where it cannot be made or written to."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise PermissionError(
            f"the output folder must be writable, got '{folder}' ({error.strerror}); choose another folder"
        ) from error
    return folder


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, which is renamed to `path` when the block ends well.

    A block that fails or is killed leaves an earlier `path` as it was. A full disk is an OSError of one
    sentence, whatever the block's library says of it.
    """
    path = Path(path)
    make_folder(path.parent)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except Exception as error:
        full = [why for why in map(os.strerror, (errno.ENOSPC, errno.EDQUOT)) if why in str(error)]
        if not full:
            raise
        cure = f"({full[0]}); free some and run it again, nothing is lost"
        raise OSError(f"the disk is full, writing '{path}' {cure}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write `content` as indented UTF-8 json, whole or not at all."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def written_path(path: Path, folder: Path) -> str:
    """A path as written into a file in `folder`: relative where both lie in one folder."""
    path, folder = Path(path).absolute(), Path(folder).absolute()
    is_near = path.is_relative_to(folder.parent) and folder.parent.parent != folder.parent
    return os.path.relpath(path, folder) if is_near else str(path)


def read_path(written: str, folder: Path) -> Path:
    """The whole path that `written_path` wrote into a file in `folder`."""
    return Path(os.path.normpath(Path(folder).absolute() / written))


def read_json(path: Path) -> Any:
    """Read a json file; FileNotFoundError without one, ValueError where it is not whole json."""
    try:
        return json.loads(read_text(path))
    except ValueError as error:
        cure = "delete it to have it made again"
        raise ValueError(f"'{path}' must be a whole json file, but {error}; {cure}") from error


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, without a byte order mark; FileNotFoundError, or ValueError for another."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file '{path}'")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        why = f"byte {error.start} is not ({error.reason})"
        raise ValueError(f"'{path}' must be UTF-8 text, {why}") from error


def csv_delimiter(lines: Iterable[str], needed: Sequence[str]) -> str:
    """What stands between the cells of a csv table: comma, or semicolon or tab if only they part `needed`."""
    first = next(filter(None, map(str.strip, lines)), "")
    parted = (sign for sign in ",;\t" if {*needed} <= {cell.strip(' "') for cell in first.split(sign)})
    return next(parted, ",") if needed else ","


def read_csv(
    path: Path, needed: Sequence[str] = (), pad: bool = False
) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a UTF-8 csv table with a header, every cell as text: the one reader of csv files from outside.

    Args:
        path: the file; a byte order mark and blank lines are passed over. Between cells are commas, or
            semicolons or tabs, as spreadsheets save, if only they part the needed columns.
        needed: columns that its header must have, each once.
        pad: fill rows that end early with "" instead of refusing them.

    Returns:
        The columns; and for each row its line in the file, from 1, and its cells by column, without
        spaces around them. ValueError where it is no UTF-8 csv table, lacks a column, or has a row of another
        length.
    """
    text = read_text(path)
    delimiter = csv_delimiter(text.splitlines(), needed)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        lines = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise ValueError(f"'{path}' must be a whole csv table, line {reader.line_num}: {error}") from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    header = lines[0][1] if lines else []
    if missing := [column for column in needed if header.count(column) != 1]:
        first = f"its first line is {', '.join(header)[:60]!r}"
        raise ValueError(f"'{path}' must have one column {missing[0]!r}, {first}")
    for number, cells in lines[1:]:
        if len(cells) > len(header) or (len(cells) < len(header) and not pad):
            got = f"got {len(cells)}; put text with a comma in double quotes"
            raise ValueError(f"line {number} of '{path}' must have {len(header)} cells, {got}")
    padded = [(number, cells + [""] * (len(header) - len(cells))) for number, cells in lines[1:]]
    return header, [(number, dict(zip(header, cells, strict=True))) for number, cells in padded]
