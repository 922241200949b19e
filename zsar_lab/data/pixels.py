"""From a clip in a video to its pixels on disk: raw, or JPEG images one after another; light, for workers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zsar_lab.data.sampling import FrameSettings, frame_indices, frame_indices_by_time
from zsar_lab.data.video import read_frames

RAW_FILE, JPEG_FILE, PLACES_FILE = "frames.npy", "frames.jpegs", "places.npy"


class JpegFrames:
    """Clips saved as JPEG images, read like an array: `frames[row]` is uint8 [T, H, W, 3] in 0..255.

    On disk: frames.jpegs, whole images one after another, and places.npy, int64 [N, T + 1]: image t of row i
    are the bytes places[i, t] to places[i, t + 1]. ValueError if the two do not fit each other.
    """

    def __init__(self, folder: Path, n_clips: int, size_px: int) -> None:
        self.places = np.load(folder / PLACES_FILE, mmap_mode="r")[:n_clips]
        self.images = np.memmap(folder / JPEG_FILE, mode="r", dtype=np.uint8)
        self.shape = (n_clips, self.places.shape[1] - 1, size_px, size_px, 3)
        self.dtype, self.nbytes = np.dtype(np.uint8), len(self.images)
        if n_clips and (self.places.max() > len(self.images) or self.places.min() < 0):
            raise ValueError(
                f"'{folder}' must hold {self.places.max()} bytes of images, got {len(self.images)}"
            )

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        import simplejpeg

        places = self.places[row].tolist()
        clip = np.empty(self.shape[1:], dtype=np.uint8)
        for number, (start, end) in enumerate(zip(places, places[1:], strict=False)):
            simplejpeg.decode_jpeg(self.images[start:end], buffer=clip[number])
        return clip


class StackedFrames:
    """Several stores' frames as one array, rows counted through all of them."""

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.shape, self.dtype = (int(self.starts[-1]), *self.parts[0].shape[1:]), np.dtype(np.uint8)
        self.nbytes = sum(part.nbytes for part in self.parts)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, row: int) -> np.ndarray:
        if not 0 <= row < len(self):
            raise IndexError(f"a row must be in 0..{len(self) - 1}, got {row}")
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[number][row - self.starts[number]]


def write_raw(folder: Path, row: int, frames: np.ndarray) -> None:
    """Write uint8 [T, H, W, 3] as this row of frames.npy, and see it onto the disk.

    Not through a memory map: a disk that fills up under one ends the process.
    """
    with open(folder / RAW_FILE, "r+b") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        file.seek(file.tell() + row * frames.nbytes)
        file.write(np.ascontiguousarray(frames).tobytes())
        file.flush()
        os.fsync(file.fileno())


def jpeg_of(frame: np.ndarray, quality: int) -> bytes:
    """A frame, uint8 [H, W, 3], as a JPEG image."""
    import simplejpeg

    return simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=quality, colorsubsampling="420")


def append_jpeg(folder: Path, frames: np.ndarray, quality: int) -> list[int]:
    """Append uint8 [T, H, W, 3] to frames.jpegs as T images, and see them onto the disk; workers take turns.

    Returns:
        T + 1 places: image t are the bytes places[t] to places[t + 1].
    """
    images = [jpeg_of(frame, quality) for frame in frames]
    with open(folder / JPEG_FILE, "ab") as file:
        try:  # held alone until the file is closed
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        except ImportError:  # on Windows, where one worker must write
            pass
        start = file.seek(0, os.SEEK_END)
        file.write(b"".join(images))
        file.flush()
        os.fsync(file.fileno())
    return [start, *(start + np.cumsum([len(image) for image in images])).tolist()]


def store_clip(task: dict) -> dict:
    """A worker's job: write the clip of `square_frames` as row task["row"] of task["store"], onto the disk.

    Returns:
        {"places": the T + 1 places of the JPEG images in their file}, or {} for raw pixels.
    """
    settings, store = FrameSettings(**task["settings"]), Path(task["store"])
    square = square_frames(task, settings)
    if settings.jpeg_quality is None:
        write_raw(store, task["row"], square)
        return {}
    return {"places": append_jpeg(store, square, settings.jpeg_quality)}


def square_frames(task: dict, settings: FrameSettings, windows: int = 1) -> np.ndarray:
    """Decode the frames of a clip and cut out a centred square, in one reading of its file.

    Args:
        task: names path, start_s, end_s, the video's frames, fps and variable_rate.
        settings: frames a window (T), their rate and size.
        windows: V stretches spread over the clip (`window_instants`); 1 is the centred one of a frame store.

    Returns:
        RGB, uint8 in 0..255, [V * T, size_px, size_px, 3], a window after the other.
    """
    return centred(
        whole_frames(task, [(task["start_s"], task["end_s"])], settings, windows), settings.size_px
    )


def whole_frames(
    task: dict, bounds: Sequence[Sequence[float]], settings: FrameSettings, windows: int = 1
) -> np.ndarray:
    """The frames of stretches of a video, uint8 [V * T, H, W, 3], the shorter side of settings.size_px."""

    def at(times_s: np.ndarray) -> np.ndarray:
        return np.concatenate(
            [frame_indices_by_time(start, end, times_s, settings, windows) for start, end in bounds]
        )

    def on_grid() -> np.ndarray:
        facts = task["frames"], task["fps"], settings, windows
        return np.concatenate([frame_indices(start, end, *facts) for start, end in bounds])

    chosen = at if task["variable_rate"] else on_grid()
    return read_frames(Path(task["path"]), chosen, settings.size_px, task.get("reader", "pyav"))


def centred(frames: np.ndarray, size_px: int) -> np.ndarray:
    """The centred square of each frame."""
    top, left = (np.array(frames.shape[1:3]) - size_px) // 2
    return frames[:, top : top + size_px, left : left + size_px]
