"""The frame store: every usable clip decoded once, sampled and cropped, in one file that is read by row.

A store is a folder that can be read without this library: the pixels (frames.npy, uint8 [N, T, H, W, 3]; or
frames.jpegs with places.npy, see `JpegFrames`), clips.parquet (row i describes row i of the pixels), done.npy
(uint8 a row: 0 to do, 1 done, 2 failed) and store.json.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.data.catalog import OK, UNDECODABLE, Catalog
from zsar_lab.data.jobs import store_clip
from zsar_lab.data.pixels import JPEG_FILE, PLACES_FILE, RAW_FILE, JpegFrames, StackedFrames
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits, run_tasks
from zsar_lab.files import fingerprint, make_folder, read_json, write_json, writing
from zsar_lab.progress import progress

TO_DO, DONE, FAILED = 0, 1, 2
STATUS_NAMES = ("to do", "done", "failed")
FLUSH_EVERY_S = 1.0
TASK_COLUMNS = ["path", "start_s", "end_s", "frames", "fps", "variable_rate"]


@dataclass(frozen=True, eq=False)
class FrameStore:
    """Decoded clips on disk; row i of `frames` is the clip `ids[i]` of class `labels[i]`.

    Attributes:
        folder: where the store lies.
        frames: RGB, uint8 in 0..255, shape [N, T, H, W, 3]; memory-mapped and read-only, or JpegFrames, which
            decodes a row when asked.
        ids: the clip ids.
        labels: the class names.
        settings: how the frames were chosen.
        fingerprint: the hash of the catalog and the settings.
        excluded: id and reason of the catalog's usable clips that failed to decode; they have no row in
            `frames`.
        parts: the stores it was joined of (see `join_frames`), mostly none.
    """

    folder: Path
    frames: np.memmap | JpegFrames | StackedFrames
    ids: list[str]
    labels: list[str]
    settings: FrameSettings
    fingerprint: str
    excluded: pd.DataFrame
    parts: tuple[FrameStore, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple:
        # a pickled memmap would carry all frames to each loader process
        if self.parts:
            return join_frames, self.parts
        return FrameStore.open, (self.folder,)

    def rows(self, ids_or_mask: Sequence[str] | Sequence[bool]) -> np.ndarray:
        """The rows of `frames` for clip ids (in their order) or for a mask of length N.

        Returns:
            int64 array, values in 0..N-1.

        Raises:
            ValueError: a mask of another length, or an id that has no row here; the message gives the reason
                of a failed one.
        """
        chosen = list(ids_or_mask)
        if chosen and all(isinstance(value, (bool, np.bool_)) for value in chosen):
            if len(chosen) != len(self):
                raise ValueError(f"a mask must have one value a clip ({len(self)}), got {len(chosen)}")
            return np.flatnonzero(chosen)
        row_of = {clip_id: row for row, clip_id in enumerate(self.ids)}
        missing = [clip_id for clip_id in chosen if clip_id not in row_of]
        if missing:
            failed = dict(zip(self.excluded["id"], self.excluded["reason"], strict=True))
            why = failed.get(missing[0], "it is not in the catalog the store was made from")
            raise ValueError(
                f"clip ids must be in the frame store, got {len(missing)} that are not, first {missing[0]!r} ({why}); "
                "see store.excluded"
            )
        return np.array([row_of[clip_id] for clip_id in chosen], dtype=np.int64)

    @staticmethod
    def open(folder: Path) -> FrameStore:
        """Open a finished store.

        Raises:
            FileNotFoundError: there is no store in the folder, or a file of it is missing.
            ValueError: the store is not finished, or its files do not fit each other.
        """
        folder = Path(folder)
        about = read_json(folder / "store.json")
        if not about["complete"]:
            raise ValueError(
                f"the frame store in '{folder}' must be finished, but it was interrupted; call make_frame_store again to go on"
            )
        settings = FrameSettings(**about["settings"])
        pixels = _pixel_files(settings)
        absent = [name for name in (*pixels, "clips.parquet") if not (folder / name).is_file()]
        if absent:
            raise FileNotFoundError(
                f"'{folder}' must hold {', '.join(pixels)} and clips.parquet, but {absent[0]} is missing; delete it and make the store again"
            )
        clips = pd.read_parquet(folder / "clips.parquet")
        good = clips["status"] == STATUS_NAMES[DONE]
        failed = clips.loc[~good, ["id", "reason"]].sort_values("id", ignore_index=True)
        good_clips = clips[good]  # these come first, see _close_gaps
        frames = _open_pixels(folder, len(clips), len(good_clips), settings)
        return FrameStore(
            folder,
            frames,
            good_clips["id"].tolist(),
            good_clips["class"].tolist(),
            settings,
            about["fingerprint"],
            failed,
        )


def make_frame_store(
    catalog: Catalog, folder: Path, settings: FrameSettings = FrameSettings(), limits: Limits = Limits()
) -> FrameStore:
    """Decode the catalog's usable clips into a frame store; go on where an interrupted or killed call stopped.

    In time: see `frame_indices`. In space: the shorter side is resized to size_px, then the centred square is
    cut out. A finished store of the same clips and settings is opened without work. A clip that cannot be
    decoded is listed in `excluded` and does not stop the rest. An interrupted store does not decode its
    finished clips again.

    Args:
        catalog: its usable clips are decoded, from `catalog.root`.
        folder: where the store lies or is made.
        settings: frames a clip (T), their rate and size, and whether they are kept raw or as JPEG.
        limits: workers, and the time and memory that each may take; a clip that needs more is excluded.

    Returns:
        The finished store, frames [N, T, size_px, size_px, 3].

    Raises:
        ValueError: the folder holds a store of other clips or settings, or files of no store, or no clip can
            be decoded.
        PermissionError: the folder cannot be made or written to.
        OSError: the disk has too little space.
    """
    folder = Path(folder)
    wanted = fingerprint("frames 2", catalog.fingerprint, asdict(settings))
    if _is_finished(folder, wanted, settings):
        return FrameStore.open(folder)
    make_folder(folder)
    clips = catalog.usable
    about = {
        "settings": asdict(settings),
        "catalog_fingerprint": catalog.fingerprint,
        "fingerprint": wanted,
        "complete": False,
    }
    done = _allocate(folder, clips, settings, about)
    reasons = _decode(catalog.root, clips, folder, done, settings, limits)
    if not (done == DONE).any():
        first = next(iter(reasons.values()), "no clip")
        raise ValueError(
            f"at least one of {len(clips)} clips must be decodable, got none; the first reason: {first}"
        )
    order = _close_gaps(folder, clips, done, reasons, settings)
    write_json(folder / "store.json", about | {"complete": True})
    done[:] = done[order]
    done.flush()
    return FrameStore.open(folder)


def _pixel_files(settings: FrameSettings) -> tuple[str, ...]:
    return (RAW_FILE,) if settings.jpeg_quality is None else (JPEG_FILE, PLACES_FILE)


def _open_pixels(folder: Path, n_rows: int, n_good: int, settings: FrameSettings) -> np.memmap | JpegFrames:
    """The pixels of the first n_good of n_rows rows."""
    raw = settings.jpeg_quality is None
    found = np.load(folder / (RAW_FILE if raw else PLACES_FILE), mmap_mode="r")
    shape, dtype = (
        (_shape(n_rows, settings), np.uint8) if raw else ((n_rows, settings.n_frames + 1), np.int64)
    )
    if found.shape != shape or found.dtype != dtype:
        name = _pixel_files(settings)[-1]
        raise ValueError(
            f"{name} in '{folder}' must be {np.dtype(dtype)} {shape}, got {found.dtype} {found.shape}; delete the store and make it again"
        )
    return found[:n_good] if raw else JpegFrames(folder, n_good, settings.size_px)


def join_frames(train: FrameStore, test: FrameStore) -> FrameStore:
    """One frame store with the rows of both, without copying them.

    Raises:
        ValueError: as `check_joinable`.
    """
    check_joinable(train.settings, test.settings)
    return FrameStore(
        folder=test.folder,
        frames=StackedFrames((train.frames, test.frames)),
        ids=[*train.ids, *test.ids],
        labels=[*train.labels, *test.labels],
        settings=test.settings,
        fingerprint=fingerprint("joined frames", train.fingerprint, test.fingerprint),
        excluded=pd.concat([train.excluded, test.excluded], ignore_index=True),
        parts=(train, test),
    )


def decoded_clips(catalog: Catalog, store: FrameStore) -> pd.DataFrame:
    """The catalog's clips with those that could be opened but not decoded marked: status "undecodable", and the reason.

    Returns:
        The rows and columns of `catalog.clips`.
    """
    reasons = dict(zip(store.excluded["id"], store.excluded["reason"], strict=True))
    clips, failed = (
        catalog.clips.copy(),
        (catalog.clips["id"].isin(reasons) & (catalog.clips["status"] == OK)).to_numpy(),
    )
    clips.loc[failed, "status"] = UNDECODABLE
    clips.loc[failed, "reason"] = [reasons[clip] for clip in clips["id"][failed]]
    return clips


def check_settings(folder: Path, settings: FrameSettings) -> None:
    """ValueError when the folder holds a frame store of other settings."""
    if not (folder / "store.json").is_file():
        return
    kept, asked = read_json(folder / "store.json")["settings"], asdict(settings)
    different = [key for key in asked if kept.get(key) != asked[key]]
    if different:
        stored, wanted = (
            ", ".join(f"{key} {values.get(key)}" for key in different) for values in (kept, asked)
        )
        raise ValueError(
            f"the frame store in '{folder}' has {stored}, asked for is {wanted}; ask for what is there, or choose another folder"
        )


def check_joinable(train: FrameSettings, test: FrameSettings) -> None:
    """ValueError unless both give as many frames, at the same rate and of the same size; raw and JPEG go together."""
    for field, unit in (("n_frames", "frames a clip"), ("fps", "frames a second"), ("size_px", "pixels")):
        values = getattr(train, field), getattr(test, field)
        if values[0] != values[1]:
            raise ValueError(
                f"clips trained on and tested on must have frames of one {field}, got {values[0]:g} and {values[1]:g} {unit}; "
                "prepare one of the datasets again with the settings of the other"
            )


def _is_finished(folder: Path, wanted: str, settings: FrameSettings) -> bool:
    """Whether the folder holds the wanted store, finished; another store, or files of none, are refused."""
    if (folder / "store.json").is_file():
        about = read_json(folder / "store.json")
        if about["fingerprint"] != wanted:
            check_settings(folder, settings)
            raise ValueError(
                f"the frame store in '{folder}' must be of the catalog's clips, but it is of others; delete it, or choose another folder"
            )
        return about["complete"]
    for name in (RAW_FILE, JPEG_FILE):
        if (folder / name).exists():
            raise ValueError(
                f"'{folder}' must be empty or hold a frame store, but it holds {name} without store.json; choose another"
            )
    return False


def _shape(n_clips: int, settings: FrameSettings) -> tuple[int, int, int, int, int]:
    return (n_clips, settings.n_frames, settings.size_px, settings.size_px, 3)


def _allocate(folder: Path, clips: pd.DataFrame, settings: FrameSettings, about: dict) -> np.memmap:
    """Make the store's files where they are not there yet; returns done.npy, opened for writing."""
    files = [folder / name for name in (*_pixel_files(settings), "done.npy")]
    # done.npy is made last, so where it is, the others are whole
    if not all(path.is_file() for path in files):
        for path in files:
            path.unlink(missing_ok=True)
        n_bytes, n_free = math.prod(_shape(len(clips), settings)), shutil.disk_usage(folder).free
        if settings.jpeg_quality is None and n_bytes > n_free:
            raise OSError(
                f"the frame store needs {n_bytes} bytes of disk space in '{folder}', got {n_free} bytes free; free some, choose another, "
                "or keep the frames as JPEG"
            )
        write_json(folder / "store.json", about)
        if settings.jpeg_quality is None:
            np.lib.format.open_memmap(
                folder / RAW_FILE, mode="w+", dtype=np.uint8, shape=_shape(len(clips), settings)
            )
            _reserve(folder / RAW_FILE)
        else:
            (folder / JPEG_FILE).touch()
            _save(folder / PLACES_FILE, np.zeros((len(clips), settings.n_frames + 1), dtype=np.int64))
        _save(folder / "done.npy", np.full(len(clips), TO_DO, dtype=np.uint8))
    return np.lib.format.open_memmap(folder / "done.npy", mode="r+")


def _save(path: Path, array: np.ndarray) -> None:
    with writing(path) as temporary:
        np.save(temporary, array)


def _reserve(path: Path) -> None:
    """Take the file's disk space now, so that a disk that is too small is known at once."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _decode(
    root: Path, clips: pd.DataFrame, folder: Path, done: np.memmap, settings: FrameSettings, limits: Limits
) -> dict[int, str]:
    """Decode the rows that are not done (failed ones are tried again); returns the reason of each row that failed."""
    to_do, reasons, flushed = np.flatnonzero(done != DONE), {}, time.monotonic()
    places = (
        None if settings.jpeg_quality is None else np.lib.format.open_memmap(folder / PLACES_FILE, mode="r+")
    )
    tasks = _tasks(root, clips, to_do, folder, settings)
    bar = progress(what="decoding", unit="clip", total=len(clips), done=len(clips) - len(to_do))
    with closing(run_tasks(store_clip, tasks, len(to_do), limits)) as answers, bar:
        for answer in answers:
            row = int(to_do[answer.index])
            if answer.result is None:
                reasons[row] = answer.reason
            elif places is not None:
                places[row] = answer.result["places"]
            done[row] = DONE if answer.result is not None else FAILED
            if (
                time.monotonic() - flushed > FLUSH_EVERY_S
            ):  # for a power cut; a kill loses nothing of a memory map
                _flush(places, done)
                flushed = time.monotonic()
            bar.update(1)
    _flush(places, done)
    return reasons


def _flush(places: np.memmap | None, done: np.memmap) -> None:
    if places is not None:
        places.flush()
    done.flush()


def _tasks(
    root: Path, clips: pd.DataFrame, rows: np.ndarray, folder: Path, settings: FrameSettings
) -> Iterator[dict]:
    common = {"store": str(folder.absolute()), "settings": asdict(settings)}
    columns = [clips[name].tolist() for name in TASK_COLUMNS]
    for row in rows.tolist():
        clip = {name: column[row] for name, column in zip(TASK_COLUMNS, columns, strict=True)}
        yield clip | common | {"path": str(root / clip["path"]), "row": row}


def _close_gaps(
    folder: Path, clips: pd.DataFrame, done: np.memmap, reasons: dict[int, str], settings: FrameSettings
) -> np.ndarray:
    """Move the last good clips into the rows of failed ones, so that good rows come first, and write clips.parquet.

    A kill in between does no harm: only failed rows are written over, and done.npy changes after store.json.

    Returns:
        int64 array [N]: the row each row of clips.parquet had before.
    """
    table = clips[["id", "class"]].copy()
    table["status"] = [STATUS_NAMES[value] for value in done]
    table["reason"] = [reasons.get(row, "") for row in range(len(table))]
    n_good = int((done == DONE).sum())
    gaps = [row for row in range(n_good) if done[row] == FAILED]
    movable = [row for row in range(n_good, len(table)) if done[row] == DONE]
    order = np.arange(len(table))
    rows = np.lib.format.open_memmap(folder / _pixel_files(settings)[-1], mode="r+")
    for gap, moved in zip(gaps, movable, strict=True):
        rows[gap] = rows[moved]
        order[[gap, moved]] = moved, gap
    rows.flush()
    with writing(folder / "clips.parquet") as temporary:
        table.loc[order].to_parquet(temporary, index=False)
    return order
