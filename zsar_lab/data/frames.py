"""The frame store: every usable clip decoded once, sampled and cropped, in one memory-mapped array.

A store is a folder that can be read without this library: frames.npy (uint8, [N, T, H, W, 3]), clips.parquet (row i
describes frames[i]), done.npy (uint8 a row: 0 to do, 1 done, 2 failed) and store.json.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from zsar_lab.artefacts import fingerprint, make_folder, read_json, write_json, writing
from zsar_lab.data.catalog import Catalog
from zsar_lab.data.workers import run_tasks, store_clip
from zsar_lab.progress import progress

TO_DO, DONE, FAILED = 0, 1, 2
STATUS_NAMES = ("to do", "done", "failed")


@dataclass(frozen=True)
class FrameSettings:
    """How a clip becomes frames: n_frames over a span of n_frames / fps seconds, each a square of size_px pixels."""

    n_frames: int = 24
    fps: float = 12.0
    size_px: int = 64

    def __post_init__(self) -> None:
        for field in ("n_frames", "size_px"):
            value = getattr(self, field)
            if int(value) != value or value < 1:
                raise ValueError(f"{field} must be a whole number of 1 or more, got {value}")
        if not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be above 0 and finite, got {self.fps}")


def frame_indices(start_s: float, end_s: float, n_video_frames: int, video_fps: float, settings: FrameSettings) -> np.ndarray:
    """Which frames of a video stand for a clip.

    The span is the centred d = min(end_s - start_s, n_frames / fps) seconds of the clip; its instants are
    t_k = middle - d / 2 + (k + 1/2) d / n_frames for k = 0..n_frames-1; the frame of an instant is the one that is on
    screen then, floor(t_k * video_fps), which is the frame with the nearest centre (of two equally near, the later).

    Args:
        start_s, end_s: the clip's bounds in its video, in seconds, 0 <= start_s < end_s.
        n_video_frames: frames in the video file, 1 or more.
        video_fps: frames a second of the file, above 0.
        settings: n_frames (T) and fps are used.

    Returns:
        int64 array of shape [T], never falling, in 0..n_video_frames-1; frames repeat where the video has too few.

    Raises:
        ValueError: bounds, frame count or rate out of range, or a clip that starts after the video's end.
    """
    if not (0 <= start_s < end_s < float("inf")):
        raise ValueError(f"a clip must have 0 <= start_s < end_s, got {start_s} and {end_s}")
    if n_video_frames < 1 or not 0 < video_fps < float("inf"):
        raise ValueError(f"a video must have one frame or more at a rate above 0, got {n_video_frames} at {video_fps}")
    if start_s * video_fps >= n_video_frames:
        raise ValueError(f"a clip must start before its video ends at {n_video_frames / video_fps:g} s, got start_s {start_s}")
    span_s = min(end_s - start_s, settings.n_frames / settings.fps)
    first_s = (start_s + end_s) / 2 - span_s / 2
    instants_s = first_s + (np.arange(settings.n_frames) + 0.5) * span_s / settings.n_frames
    # an instant on the border of two frames must not fall to either side by rounding
    return np.clip(np.floor(instants_s * video_fps + 1e-6), 0, n_video_frames - 1).astype(np.int64)


@dataclass(frozen=True, eq=False)
class FrameStore:
    """Decoded clips on disk; row i of `frames` is the clip `ids[i]` of class `labels[i]`.

    Attributes:
        folder: where the store lies.
        frames: RGB, uint8 in 0..255, shape [N, T, H, W, 3], memory-mapped and read-only.
        ids: the clip ids.
        labels: the class names.
        settings: how the frames were chosen.
        fingerprint: the hash of the catalog and the settings.
        excluded: id and reason of the catalog's usable clips that failed to decode; they have no row in `frames`.
    """

    folder: Path
    frames: np.memmap
    ids: list[str]
    labels: list[str]
    settings: FrameSettings
    fingerprint: str
    excluded: pd.DataFrame

    def __len__(self) -> int:
        return len(self.ids)

    def __reduce__(self) -> tuple:
        # a pickled memmap would carry all frames to each loader process
        return FrameStore.open, (self.folder,)

    def rows(self, ids_or_mask: Sequence[str] | Sequence[bool]) -> np.ndarray:
        """The rows of `frames` for clip ids (in their order) or for a mask of length N.

        Returns:
            int64 array, values in 0..N-1.

        Raises:
            ValueError: a mask of another length, or an id that has no row here; the message gives the reason of a failed one.
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
            raise ValueError(f"the frame store in '{folder}' must be finished, but it was interrupted; call make_frame_store again to go on")
        settings = FrameSettings(**about["settings"])
        if not (folder / "frames.npy").is_file() or not (folder / "clips.parquet").is_file():
            raise FileNotFoundError(f"'{folder}' must hold frames.npy and clips.parquet; delete it and make the store again")
        clips = pd.read_parquet(folder / "clips.parquet")
        frames, shape = np.load(folder / "frames.npy", mmap_mode="r"), _shape(len(clips), settings)
        if frames.shape != shape or frames.dtype != np.uint8:
            raise ValueError(f"frames.npy in '{folder}' must be uint8 {shape}, got {frames.dtype} {frames.shape}; delete it and make it again")
        good = clips["status"] == STATUS_NAMES[DONE]
        failed = clips.loc[~good, ["id", "reason"]].sort_values("id", ignore_index=True)
        good_clips = clips[good]  # these come first, see _close_gaps
        ids, labels = good_clips["id"].tolist(), good_clips["class"].tolist()
        return FrameStore(folder, frames[: len(ids)], ids, labels, settings, about["fingerprint"], failed)


def make_frame_store(
    catalog: Catalog, folder: Path, settings: FrameSettings = FrameSettings(), workers: int = 2, timeout_s: float = 60.0
) -> FrameStore:
    """Decode the catalog's usable clips into a frame store; go on where an interrupted call stopped.

    In time: see `frame_indices`. In space: the shorter side is resized to size_px, then the centred square is cut out.
    A finished store of the same clips and settings is opened without work. A clip that cannot be decoded is listed in
    `excluded` and does not stop the rest. An interrupted store does not decode its finished clips again.

    Args:
        catalog: its usable clips are decoded, from `catalog.root`.
        folder: where the store lies or is made.
        settings: frames a clip (T), their rate and size.
        workers: processes that decode at the same time, 1 or more; the result does not depend on it.
        timeout_s: a clip that takes longer to decode (seconds) is excluded.

    Returns:
        The finished store, frames [N, T, size_px, size_px, 3].

    Raises:
        ValueError: the folder holds a store of other clips or settings, or files of no store, or no clip can be decoded.
        PermissionError: the folder cannot be made or written to.
        OSError: the disk has too little space.
    """
    folder = Path(folder)
    wanted = fingerprint("frames 1", catalog.fingerprint, asdict(settings))
    if _is_finished(folder, wanted):
        return FrameStore.open(folder)
    make_folder(folder)
    clips = catalog.usable
    about = {"settings": asdict(settings), "catalog_fingerprint": catalog.fingerprint, "fingerprint": wanted, "complete": False}
    done = _allocate(folder, clips, settings, about)
    reasons = _decode(catalog.root, clips, folder, done, settings, workers, timeout_s)
    if not (done == DONE).any():
        first = next(iter(reasons.values()), "no clip")
        raise ValueError(f"at least one of {len(clips)} clips must be decodable, got none; the first reason: {first}")
    order = _close_gaps(folder, clips, done, reasons)
    write_json(folder / "store.json", about | {"complete": True})
    done[:] = done[order]
    done.flush()
    return FrameStore.open(folder)


def _is_finished(folder: Path, wanted: str) -> bool:
    """Whether the folder holds the wanted store, finished; another store, or files of none, are refused."""
    if (folder / "store.json").is_file():
        about = read_json(folder / "store.json")
        if about["fingerprint"] != wanted:
            raise ValueError(
                f"the frame store in '{folder}' must be of these clips and settings (fingerprint {wanted}), got {about['fingerprint']} "
                f"with {about['settings']}; choose another folder or delete this one"
            )
        return about["complete"]
    if (folder / "frames.npy").exists():
        raise ValueError(f"'{folder}' must be empty or hold a frame store, but it holds frames.npy without store.json; choose another")
    return False


def _shape(n_clips: int, settings: FrameSettings) -> tuple[int, int, int, int, int]:
    return (n_clips, settings.n_frames, settings.size_px, settings.size_px, 3)


def _allocate(folder: Path, clips: pd.DataFrame, settings: FrameSettings, about: dict) -> np.memmap:
    """Make the store's files where they are not there yet; returns done.npy, opened for writing."""
    shape = _shape(len(clips), settings)
    # done.npy is made last, so where it is, the array is whole
    if not (folder / "done.npy").is_file() or not (folder / "frames.npy").is_file():
        (folder / "done.npy").unlink(missing_ok=True)
        (folder / "frames.npy").unlink(missing_ok=True)
        n_bytes, n_free = math.prod(shape), shutil.disk_usage(folder).free
        if n_bytes > n_free:
            raise OSError(
                f"the frame store needs {n_bytes} bytes of disk space in '{folder}', got {n_free} bytes free; free some or choose another"
            )
        write_json(folder / "store.json", about)
        frames = np.lib.format.open_memmap(folder / "frames.npy", mode="w+", dtype=np.uint8, shape=shape)
        _reserve(folder / "frames.npy")
        del frames
        with writing(folder / "done.npy") as temporary:
            np.save(temporary, np.full(len(clips), TO_DO, dtype=np.uint8))
    return np.lib.format.open_memmap(folder / "done.npy", mode="r+")


def _reserve(path: Path) -> None:
    """Take the file's disk space now: a disk that fills up under a memory map ends the process with a bus error."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def _decode(
    root: Path, clips: pd.DataFrame, folder: Path, done: np.ndarray, settings: FrameSettings, workers: int, timeout_s: float
) -> dict[int, str]:
    """Decode the rows that are not done (failed ones are tried again); returns the reason of each row that failed."""
    to_do = np.flatnonzero(done != DONE).tolist()
    tasks, reasons = [], {}
    for row in list(to_do):
        clip = clips.loc[row]
        try:
            chosen = frame_indices(clip["start_s"], clip["end_s"], int(clip["frames"]), clip["fps"], settings)
        except ValueError as error:
            reasons[row], done[row] = str(error), FAILED
            to_do.remove(row)
            continue
        place = {"store": str((folder / "frames.npy").absolute()), "row": row, "size_px": settings.size_px}
        tasks.append({"path": str(root / clip["path"]), "frame_indices": chosen.tolist(), **place})
    bar = progress(what="decoding", unit="clip", total=len(clips), done=len(clips) - len(to_do))
    with closing(run_tasks(store_clip, tasks, workers, timeout_s)) as answers, bar:
        for answer in answers:
            row = to_do[answer.index]
            if answer.result is None:
                reasons[row] = answer.reason
            done[row] = DONE if answer.result is not None else FAILED
            done.flush()
            bar.update(1)
    return reasons


def _close_gaps(folder: Path, clips: pd.DataFrame, done: np.memmap, reasons: dict[int, str]) -> np.ndarray:
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
    frames = np.lib.format.open_memmap(folder / "frames.npy", mode="r+")
    for gap, moved in zip(gaps, movable, strict=True):
        frames[gap] = frames[moved]
        order[[gap, moved]] = moved, gap
    frames.flush()
    with writing(folder / "clips.parquet") as temporary:
        table.loc[order].to_parquet(temporary, index=False)
    return order
