"""The pixels of a frame store on disk: raw in one numpy file, or as JPEG images one after another. The one owner of simplejpeg."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RAW_FILE, JPEG_FILE, PLACES_FILE = "frames.npy", "frames.jpegs", "places.npy"


class JpegFrames:
    """Clips kept as JPEG images, read like an array: `frames[row]` is uint8 [T, H, W, 3] in 0..255.

    On disk: frames.jpegs, whole JPEG images one after another, and places.npy, int64 [N, T + 1]: image t of
    row i are the bytes places[i, t] to places[i, t + 1].

    Args:
        folder: of the store.
        n_clips: rows to show, 0..N.
        size_px: height and width of a frame.

    Raises:
        ValueError: the two files do not fit each other.
    """

    def __init__(self, folder: Path, n_clips: int, size_px: int) -> None:
        self.places = np.load(folder / PLACES_FILE, mmap_mode="r")[:n_clips]
        self.images = np.memmap(folder / JPEG_FILE, mode="r", dtype=np.uint8)
        self.shape = (n_clips, self.places.shape[1] - 1, size_px, size_px, 3)
        self.dtype = np.dtype(np.uint8)
        if n_clips and (self.places.max() > len(self.images) or self.places.min() < 0):
            raise ValueError(
                f"'{folder / JPEG_FILE}' must hold {self.places.max()} bytes or more, got {len(self.images)}; delete the store and make it again"
            )

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return len(self.images)

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
    """Several stores' frames as one array: `frames[row]` is uint8 [T, H, W, 3], rows counted through all of them."""

    def __init__(self, parts: Sequence[np.ndarray | JpegFrames]) -> None:
        self.parts = tuple(parts)
        self.starts = np.cumsum([0, *(len(part) for part in self.parts)])
        self.shape, self.dtype = (int(self.starts[-1]), *self.parts[0].shape[1:]), np.dtype(np.uint8)

    @property
    def nbytes(self) -> int:
        """Bytes on disk."""
        return sum(part.nbytes for part in self.parts)

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


def append_jpeg(folder: Path, frames: np.ndarray, quality: int) -> list[int]:
    """Append uint8 [T, H, W, 3] to frames.jpegs as T images, and see them onto the disk; workers take turns.

    Returns:
        T + 1 places: image t are the bytes places[t] to places[t + 1].

    Raises:
        OSError: the disk is full.
    """
    import simplejpeg

    images = [
        simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=quality, colorsubsampling="420")
        for frame in frames
    ]
    with open(folder / JPEG_FILE, "ab") as file:
        _lock(file.fileno())
        start = file.seek(0, os.SEEK_END)
        file.write(b"".join(images))
        file.flush()
        os.fsync(file.fileno())
    return places_of(start, images)


def places_of(start: int, images: Sequence[bytes]) -> list[int]:
    """Where each of the images begins, and the last one ends, when they are written one after another from `start` on."""
    return [start, *(start + np.cumsum([len(image) for image in images])).tolist()]


def _lock(file: int) -> None:
    """Hold the file alone until it is closed; where the system has no such locks, one worker must write."""
    try:
        import fcntl
    except ImportError:
        return
    fcntl.flock(file, fcntl.LOCK_EX)
