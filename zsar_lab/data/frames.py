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
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from zsar_lab.data.catalog import OK, UNDECODABLE, Catalog
from zsar_lab.data.pixels import (
    JPEG_FILE,
    PLACES_FILE,
    RAW_FILE,
    JpegFrames,
    StackedFrames,
    square_frames,
    store_clip,
)
from zsar_lab.data.sampling import FrameSettings, window_instants
from zsar_lab.data.video import READING_RULE
from zsar_lab.data.workers import Limits, run_tasks
from zsar_lab.files import fingerprint, make_folder, read_json, write_json, writing
from zsar_lab.progress import progress
from zsar_lab.shown import Shown

TO_DO, DONE, FAILED = 0, 1, 2
STATUS_NAMES = ("to do", "done", "failed")
FLUSH_EVERY_S = 1.0
TASK_COLUMNS = ["path", "start_s", "end_s", "frames", "fps", "variable_rate"]


@dataclass(frozen=True, eq=False, repr=False)
class FrameStore(Shown):
    """Decoded clips on disk; row i of `frames` is the clip `ids[i]` of class `labels[i]`.

    Attributes:
        folder: where the store lies.
        frames: RGB, uint8 in 0..255, [N, T, H, W, 3]: a read-only memory map, or decoded when asked (JPEG).
        settings: how the frames were chosen.
        fingerprint: the hash of the catalog and the settings.
        excluded: id and reason of the catalog's usable clips that failed to decode and have no row.
        reading: the reader of the videos, and the rule by which frames are counted (`READING_RULE`): rule 1
            gave wrong ones of some files with open groups, hidden lead-ins or B-frames.
        parts: the stores it was joined of, mostly none.
    """

    folder: Path
    frames: np.memmap | JpegFrames | StackedFrames
    ids: list[str]
    labels: list[str]
    settings: FrameSettings
    fingerprint: str
    excluded: pd.DataFrame
    reading: tuple[str, int] = ("pyav", READING_RULE)
    parts: tuple[FrameStore, ...] = ()

    def _facts(self) -> dict[str, Any]:
        return {
            "clips": len(self),
            "frames": self.settings,
            "without frames": len(self.excluded),
            "folder": self.folder,
        }

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple:
        # a pickled memmap would carry all frames to each loader process
        return (join_frames, self.parts) if self.parts else (FrameStore.open, (self.folder,))

    def rows(self, ids_or_mask: Sequence[str] | Sequence[bool]) -> np.ndarray:
        """The rows (int64) of clip ids, in their order, or of a mask [N]; ValueError if one has none."""
        chosen: list = list(ids_or_mask)
        if chosen and all(isinstance(value, (bool, np.bool_)) for value in chosen):
            if len(chosen) != len(self):
                raise ValueError(f"a mask must have one value a clip ({len(self)}), got {len(chosen)}")
            return np.flatnonzero(chosen)
        row_of = {clip_id: row for row, clip_id in enumerate(self.ids)}
        missing = [clip_id for clip_id in chosen if clip_id not in row_of]
        if missing:
            failed = dict(zip(self.excluded["id"], self.excluded["reason"], strict=True))
            why = failed.get(missing[0], "it is not in the catalog the store was made from")
            raise ValueError(f"{len(missing)} clips are not in the frame store, first {missing[0]!r} ({why})")
        return np.array([row_of[clip_id] for clip_id in chosen], dtype=np.int64)

    @staticmethod
    def open(folder: Path) -> FrameStore:
        """Open a finished store; FileNotFoundError or ValueError if it is not whole."""
        folder = Path(folder)
        about = read_json(folder / "store.json")
        if not about["complete"]:
            raise ValueError(f"the frame store in '{folder}' was interrupted; call make_frame_store to go on")
        settings = FrameSettings(**about["settings"])
        for name in (*_pixel_files(settings), "clips.parquet"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"the frame store in '{folder}' lacks {name}; make it again")
        clips = pd.read_parquet(folder / "clips.parquet")
        good = clips["status"] == STATUS_NAMES[DONE]  # these come first, see _close_gaps
        file, shape, dtype = _pixel_files(settings)[-1], _shape(len(clips), settings), "uint8"
        if settings.jpeg_quality is not None:
            shape, dtype = (len(clips), settings.n_frames + 1), "int64"
        found = np.load(folder / file, mmap_mode="r")
        if found.shape != shape or found.dtype != dtype:
            raise ValueError(f"{file} in '{folder}' must be {dtype} {shape}, got {found.dtype} {found.shape}")
        raw, n_good = settings.jpeg_quality is None, int(good.sum())
        return FrameStore(
            folder,
            found[:n_good] if raw else JpegFrames(folder, n_good, settings.size_px),
            clips["id"][good].tolist(),
            clips["class"][good].tolist(),
            settings,
            about["fingerprint"],
            clips.loc[~good, ["id", "reason"]].sort_values("id", ignore_index=True),
            _reading(about),
        )


def make_frame_store(
    catalog: Catalog,
    folder: Path,
    settings: FrameSettings = FrameSettings(),
    limits: Limits = Limits(),
    reader: str = "pyav",
) -> FrameStore:
    """Decode the catalog's usable clips into a frame store; go on where a killed call stopped.

    In time: see `frame_indices`. In space: the shorter side is resized to size_px, then the centred square is
    cut out. A finished store of the same clips and settings is opened without work. A clip that cannot be
    decoded within the limits is listed in `excluded` and does not stop the rest. `reader` is that of
    `read_frames`.

    Raises:
        ValueError: the folder holds a store of other clips or settings, or a part of one that another reader
            or rule made, or files of no store, or no clip can be decoded.
        OSError: the folder cannot be written to (PermissionError), or the disk has too little space.
    """
    folder = Path(folder)
    wanted = fingerprint("frames 2", catalog.fingerprint, asdict(settings))
    about = {
        "settings": asdict(settings),
        "catalog_fingerprint": catalog.fingerprint,
        "fingerprint": wanted,
        "reading": [reader, READING_RULE],
        "complete": False,
    }
    if (folder / "store.json").is_file():
        there = read_json(folder / "store.json")
        if there["fingerprint"] != wanted:
            check_settings(folder, settings)
            raise ValueError(f"the frame store in '{folder}' is of other clips; choose another folder")
        if there["complete"]:
            return FrameStore.open(folder)
        if _reading(there) != (reader, READING_RULE):
            raise ValueError(
                f"the frame store in '{folder}' must be finished by its reader and rule {_reading(there)}, "
                f"got {(reader, READING_RULE)}; make it again"
            )
    elif odd := [name for name in (RAW_FILE, JPEG_FILE) if (folder / name).exists()]:
        raise ValueError(f"'{folder}' must hold a frame store or nothing, got {odd[0]} without store.json")
    make_folder(folder)
    clips = catalog.usable
    done = _allocate(folder, clips, settings, about)
    reasons = _decode(catalog.root, clips, folder, done, settings, limits, reader)
    if not (done == DONE).any():
        first = next(iter(reasons.values()), "no clip")
        raise ValueError(f"none of {len(clips)} clips can be decoded; the first reason: {first}")
    order = _close_gaps(folder, clips, done, reasons, settings)
    write_json(folder / "store.json", about | {"complete": True})
    done[:] = done[order]
    done.flush()
    return FrameStore.open(folder)


def _reading(about: dict) -> tuple[str, int]:
    """Reader and rule of a store; those that do not say were made by decord, chosen by codec."""
    name, rule = about.get("reading", ("decord", 1))
    return name, rule


def _pixel_files(settings: FrameSettings) -> tuple[str, ...]:
    """Their names; the last one has a row a clip."""
    return (RAW_FILE,) if settings.jpeg_quality is None else (JPEG_FILE, PLACES_FILE)


def _shape(n_clips: int, settings: FrameSettings) -> tuple[int, ...]:
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
            raise OSError(f"'{folder}' must have {n_bytes} bytes of disk, got {n_free} bytes free")
        write_json(folder / "store.json", about)
        if settings.jpeg_quality is None:
            open_memmap(folder / RAW_FILE, mode="w+", dtype=np.uint8, shape=_shape(len(clips), settings))
            if hasattr(os, "posix_fallocate"):  # a disk that is too small is known at once
                with open(folder / RAW_FILE, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, (folder / RAW_FILE).stat().st_size)
        else:
            (folder / JPEG_FILE).touch()
            with writing(folder / PLACES_FILE) as temporary:
                np.save(temporary, np.zeros((len(clips), settings.n_frames + 1), dtype=np.int64))
        with writing(folder / "done.npy") as temporary:
            np.save(temporary, np.full(len(clips), TO_DO, dtype=np.uint8))
    return open_memmap(folder / "done.npy", mode="r+")


def _decode(
    root: Path,
    clips: pd.DataFrame,
    folder: Path,
    done: np.memmap,
    settings: FrameSettings,
    limits: Limits,
    reader: str,
) -> dict[int, str]:
    """Decode the rows that are not done (failed ones are tried again); the reason of each row that failed."""
    to_do, reasons, flushed = np.flatnonzero(done != DONE), {}, time.monotonic()
    places = None if settings.jpeg_quality is None else open_memmap(folder / PLACES_FILE, mode="r+")
    common = {"store": str(folder.absolute()), "settings": asdict(settings), "reader": reader}
    columns = {name: clips[name].tolist() for name in TASK_COLUMNS}
    tasks = (
        {name: column[row] for name, column in columns.items()}
        | common
        | {"path": str(root / columns["path"][row]), "row": row}
        for row in to_do.tolist()
    )
    bar = progress(what="decoding", unit="clip", total=len(clips), done=len(clips) - len(to_do))
    with closing(run_tasks(store_clip, tasks, len(to_do), limits)) as answers, bar:
        for answer in answers:
            row = int(to_do[answer.index])
            if answer.result is None:
                reasons[row] = answer.reason
            elif places is not None:
                places[row] = answer.result["places"]
            done[row] = DONE if answer.result is not None else FAILED
            if time.monotonic() - flushed > FLUSH_EVERY_S:  # for a power cut; a kill loses nothing of a map
                _flush(places, done)
                flushed = time.monotonic()
            bar.update(1)
    _flush(places, done)
    return reasons


def _flush(*maps: np.memmap | None) -> None:
    for found in maps:
        if found is not None:
            found.flush()


def _close_gaps(
    folder: Path, clips: pd.DataFrame, done: np.memmap, reasons: dict[int, str], settings: FrameSettings
) -> np.ndarray:
    """Move the last good clips into the rows of failed ones, write clips.parquet; the row each had before.

    A kill in between does no harm: only failed rows are written over, and done.npy changes after store.json.
    """
    table = clips[["id", "class"]].copy()
    table["status"] = [STATUS_NAMES[value] for value in done]
    table["reason"] = [reasons.get(row, "") for row in range(len(table))]
    n_good, order = int((done == DONE).sum()), np.arange(len(table))
    rows = open_memmap(folder / _pixel_files(settings)[-1], mode="r+")
    gaps = np.flatnonzero(done[:n_good] == FAILED)
    for gap, moved in zip(gaps, n_good + np.flatnonzero(done[n_good:] == DONE), strict=True):
        rows[gap] = rows[moved]
        order[[gap, moved]] = moved, gap
    rows.flush()
    with writing(folder / "clips.parquet") as temporary:
        table.loc[order].to_parquet(temporary, index=False)
    return order


def join_frames(train: FrameStore, test: FrameStore) -> FrameStore:
    """One frame store with the rows of both, without copying them; Raises as `check_joinable`."""
    check_joinable(train.settings, test.settings)
    return FrameStore(
        folder=test.folder,
        frames=StackedFrames((train.frames, test.frames)),
        ids=[*train.ids, *test.ids],
        labels=[*train.labels, *test.labels],
        settings=test.settings,
        fingerprint=fingerprint("joined frames", train.fingerprint, test.fingerprint),
        excluded=pd.concat([train.excluded, test.excluded], ignore_index=True),
        reading=min(train.reading, test.reading, key=lambda reading: reading[1]),
        parts=(train, test),
    )


def decoded_clips(catalog: Catalog, store: FrameStore) -> pd.DataFrame:
    """The catalog's clips, with status "undecodable" and the reason for those that failed to decode."""
    reasons = dict(zip(store.excluded["id"], store.excluded["reason"], strict=True))
    clips = catalog.clips.copy()
    failed = (clips["id"].isin(reasons) & (clips["status"] == OK)).to_numpy()
    clips.loc[failed, "status"] = UNDECODABLE
    clips.loc[failed, "reason"] = [reasons[clip] for clip in clips["id"][failed]]
    return clips


def check_settings(folder: Path, settings: FrameSettings) -> None:
    """ValueError when the folder holds a frame store of other settings."""
    if not (folder / "store.json").is_file():
        return
    there, asked = read_json(folder / "store.json")["settings"], asdict(settings)
    if different := [key for key in asked if there.get(key) != asked[key]]:
        stored, wanted = (", ".join(f"{key} {of.get(key)}" for key in different) for of in (there, asked))
        raise ValueError(f"the frame store in '{folder}' has {stored}, asked for is {wanted}")


def check_joinable(train: FrameSettings, test: FrameSettings) -> None:
    """ValueError unless both have as many frames, of one rate and size; raw and JPEG go together."""
    for field in ("n_frames", "fps", "size_px"):
        values = getattr(train, field), getattr(test, field)
        if values[0] != values[1]:
            raise ValueError(
                f"frames must be of one {field} in both datasets, got {values[0]:g} and {values[1]:g}"
            )


class SpreadFrames:
    """Windows spread over the clips of a store: `frames[row]` is uint8 [V, T, H, W, 3], read from the videos.

    Each is chosen, resized and cropped as the store's one is, and lies where `window_instants` says; the
    middle one of an odd V shows the store's own frames. A file is opened when its row is asked for, once.

    Args:
        catalog: that the store was made from (of joined stores, the joined one); its videos must be there.
        store: says which clips, and n_frames (T), fps and size_px (H and W) of a window.
        windows: V, 1 or more.

    Raises:
        ValueError: windows below 1, or a clip of the store is none of the catalog's usable ones.
    """

    def __init__(self, catalog: Catalog, store: FrameStore, windows: int) -> None:
        window_instants(0.0, 1.0, store.settings, windows)
        usable = catalog.usable.set_index("id")
        missing = [clip_id for clip_id in store.ids if clip_id not in usable.index]
        if missing:
            raise ValueError(f"{len(missing)} clips of the store are not in the catalog: {missing[0]!r}")
        self.ids, self.root, self.settings, self.windows = store.ids, catalog.root, store.settings, windows
        self.clips = usable.loc[store.ids, TASK_COLUMNS]
        size_px = store.settings.size_px
        self.shape = (len(store), self.windows, store.settings.n_frames, size_px, size_px, 3)
        self.dtype = np.dtype(np.uint8)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        clip = self.clips.iloc[row].to_dict()
        clip["path"] = str(self.root / clip["path"])
        try:
            return square_frames(clip, self.settings, self.windows).reshape(self.shape[1:])
        except (ValueError, OSError) as error:
            raise ValueError(f"the video of {self.ids[row]!r} must still be readable ({error})") from error
