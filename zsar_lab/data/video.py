"""What a video file shows: how many pictures, when, how large, and chosen ones as a player shows them.

docs/videos.md says what that is. PyAV reads; decord does where it is asked for and exact, with equal pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from zsar_lab.data.video_packets import FALLBACK_RATE, INTERLACED, Film, UnreadableVideo, opened, too_large
from zsar_lab.data.video_playback import plays_in_browser
from zsar_lab.data.video_writing import write_mp4

__all__ = ["UnreadableVideo", "VideoInfo", "frame_times", "plays_in_browser", "probe", "probe_clip"]
__all__ += ["read_frames", "write_mp4"]

READERS = ("decord", "pyav")
READING_RULE = 2  # another one may give other pictures of the same file; 1 trusted decord by codec
EVEN_WITHIN_FRAMES = 0.5
HALVED = ("yuv420p", "yuvj420p")  # colours at half the width and height


@dataclass(frozen=True)
class VideoInfo:
    """Frames, mean frames a second, size as displayed (pixels) of a video, and whether its rate varies.

    n_frames / fps is when the last frame ends, in seconds of the file's clock. The rate varies if a frame
    begins over half a frame off an even grid from the file's zero; a late start does that too.
    """

    n_frames: int
    fps: float
    width: int
    height: int
    variable_rate: bool


def probe(path: Path) -> VideoInfo:
    """Open a video, decode its first frame, and count the frames it shows, mostly without decoding them.

    Raises:
        UnreadableVideo: the file is absent, empty, cut off, damaged or no video. Damage inside a whole file
            shows when it is decoded.
    """
    with _film(path) as film:
        (_, first), times_s = film.begun, film.times_s
        fps, varies = _rate(
            times_s, float(film.stream.average_rate or film.stream.guessed_rate or FALLBACK_RATE)
        )
        width, height = _displayed(film, None)
        if _turn(first)[0]:
            width, height = height, width
    return VideoInfo(len(times_s), fps, width, height, variable_rate=varies)


def probe_clip(task: dict) -> dict:
    """A worker's job: `probe` of task["path"], as a dict."""
    return asdict(probe(Path(task["path"])))


def frame_times(path: Path) -> np.ndarray:
    """When each frame begins, seconds of the file's clock: float64 [n_frames], rising; Raises as `probe`."""
    with _film(path) as film:
        return film.times_s


def read_frames(
    path: Path,
    frame_indices: Sequence[int] | np.ndarray | Callable[[np.ndarray], np.ndarray],
    short_side_px: int | None = None,
    reader: str = "pyav",
) -> np.ndarray:
    """Decode chosen frames of a video, in the order asked for: RGB, uint8 in 0..255, [T, H, W, 3].

    What else is asked for never changes a frame: index n is the n-th that decoding the whole file gives.

    Args:
        path: a video file.
        frame_indices: T indices in 0..n_frames-1, any order, repeats allowed; or what makes them of the times
            of all frames (`frame_times`).
        short_side_px: resize the shorter side to so many pixels, keep the aspect ratio; None: as displayed.
        reader: "pyav", or "decord" (PyAV where the packets do not show decord to be exact).

    Raises:
        ValueError: an index, size or reader that cannot be; UnreadableVideo: a file that cannot be read.
    """
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"short_side_px must be 1 or more, or None, got {short_side_px}")
    if reader not in READERS:
        raise ValueError(f"reader must be one of {', '.join(READERS)}, got {reader!r}")
    with _film(path) as film:
        chosen = frame_indices(film.times_s) if callable(frame_indices) else frame_indices
        wanted = np.asarray(chosen, dtype=np.int64)
        if wanted.ndim != 1 or wanted.size == 0 or wanted.min() < 0:
            raise ValueError(f"frame_indices must be a list of indices from 0 on, got {chosen!r}")
        unique, place = np.unique(wanted, return_inverse=True)
        numbers = unique.tolist()
        if film.order is not None and numbers[-1] >= len(film.order):
            raise _out_of_range(path, len(film.order), numbers)
        frames = _read_decord(film, numbers, short_side_px) if reader == "decord" else None
        frames = _read_pyav(film, numbers, short_side_px) if frames is None else frames
        return frames if numbers == wanted.tolist() else frames[place]


@contextmanager
def _film(path: Path) -> Iterator[Film]:
    with opened(path) as (container, stream):
        yield Film(path, container, stream)


def _out_of_range(path: Path, n_frames: int, numbers: list[int]) -> ValueError:
    return ValueError(f"frame indices must be in 0..{n_frames - 1} for '{path}', got {numbers[-1]}")


def _rate(times_s: np.ndarray, named: float) -> tuple[float, bool]:
    """Mean frames a second up to the last one's end, and whether they vary; `named` is the file's word."""
    n, lasts = len(times_s), np.diff(times_s)
    rates = [named, 1 / lasts.mean()] if n > 1 else [named]
    for rate in rates:
        if np.abs(times_s * rate - np.arange(n)).max() <= EVEN_WITHIN_FRAMES:
            return float(rate), False
    return float(n / (times_s[-1] + (lasts[-1] if n > 1 else 1 / named))), True


def _displayed(film: Film, short_side_px: int | None) -> tuple[int, int]:
    """Width and height before any turn: of the first picture, with square pixels."""
    width, height = film.width * float(film.stream.sample_aspect_ratio or 1), film.height
    scale = 1.0 if short_side_px is None else short_side_px / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _turn(frame: Any) -> tuple[bool, bool, bool]:
    """How the display matrix shows a picture: rows and columns exchanged, then rows, columns in reverse."""
    matrix = frame.side_data.get("DISPLAYMATRIX")
    if matrix is None:
        return False, False, False
    a, b, _, c, d = np.frombuffer(bytes(matrix), np.int32)[:5].tolist()
    return (True, b < 0, c < 0) if abs(b) > abs(a) else (False, d < 0, a < 0)


def _read_pyav(film: Film, numbers: list[int], short_side_px: int | None) -> np.ndarray:
    from av.video.reformatter import VideoReformatter

    width, height = _displayed(film, short_side_px)
    frames = np.empty((len(numbers), height, width, 3), np.uint8)
    place_of = {number: place for place, number in enumerate(numbers)}
    missing, turn, plain, reformatter = set(numbers), None, _Plain(), VideoReformatter()
    for number, frame in film.pictures(numbers):
        turn, form = turn or _turn(frame), "rgb24"
        if (frame.width, frame.height) != (width, height):
            frame = plain(frame)
            # odd widths get full colours from swscale: the same pixels as planes, in half the time
            form = "gbrp" if width % 2 and frame.format.name in HALVED else form
        # by default each frame would have a thread a core to resize it
        image = reformatter.reformat(frame, width, height, form, threads=1)
        frames[place_of[number]] = image.to_ndarray()
        missing.discard(number)
    if missing:
        if numbers[-1] >= len(film.times_s):
            raise _out_of_range(film.path, len(film.times_s), numbers)
        fault = f"'{film.path}' could not be decoded as far as frame {numbers[-1]}; it is damaged"
        raise UnreadableVideo(fault + too_large(film.stream))
    assert turn is not None
    exchanged, *reverse = turn
    frames = frames.transpose(0, 2, 1, 3) if exchanged else frames
    return frames[:, :: -1 if reverse[0] else 1, :: -1 if reverse[1] else 1]


class _Plain:
    """The same picture for resizing: its two fields not apart, and its colours where decord has them.

    PyAV resizes the fields of an interlaced picture one by one, which leaves their comb. Of 4:2:0 pictures it
    heeds where the colour samples lie, decord does not: up to 45 of 255 at sharp edges, and equal without. A
    copy has lost where they lie; each is made over the one before, as new memory takes longer than the copy.
    """

    def __init__(self) -> None:
        self.copy: Any = None

    def __call__(self, frame: Any) -> Any:
        import av

        if frame.interlaced_frame:
            return av.VideoFrame.from_ndarray(frame.to_ndarray(format="rgb24"), format="rgb24")
        if frame.format.name not in HALVED:
            return frame
        facts, copy = (frame.width, frame.height, frame.format.name), self.copy
        if copy is None or (copy.width, copy.height, copy.format.name) != facts:
            copy = self.copy = av.VideoFrame(*facts)
        for plane, target in zip(frame.planes, copy.planes, strict=True):
            np.copyto(_rows(target), _rows(plane))
        copy.colorspace, copy.color_range = frame.colorspace, frame.color_range
        return copy


def _rows(plane: Any) -> np.ndarray:
    rows = np.frombuffer(plane, np.uint8).reshape(-1, abs(plane.line_size))[:, : plane.width]
    return rows[:: -1 if plane.line_size < 0 else 1]  # some decoders write from the lowest row up


def _read_decord(film: Film, numbers: list[int], short_side_px: int | None) -> np.ndarray | None:
    """The frames, or None where decord is not there or not exact."""
    if not _decord_is_exact(film):
        return None
    try:
        import decord
    except ImportError:  # no wheel for this platform
        return None
    width, height = _displayed(film, short_side_px)
    decord.logging.set_level(decord.logging.QUIET)
    try:  # DECORDError is not a RuntimeError
        video = decord.VideoReader(
            str(film.path), ctx=decord.cpu(0), width=width, height=height, num_threads=1
        )
        frames = video.get_batch(numbers).asnumpy() if len(video) == len(film.stamps) else None
        del video  # a held reader costs a thread, a file descriptor and 4 MB
    except (decord.DECORDError, RuntimeError, IndexError):
        # also of padded rows taken for more channels at some widths (24, 48 and 72; its issues 93 and 336)
        return None
    return frames


def _decord_is_exact(film: Film) -> bool:
    """Whether the packets show that decord may skip: closed groups, nothing hidden, no turn, square pixels.

    decord may take another stream, knows turns of mp4 alone, begins at what counts as a key packet, counts
    packets, and needs their times of showing (not in AVI) and one list of them all (not in fragments).
    """
    stream, codec, order, name = film.stream, film.codec, film.order, film.container.format.name
    if order is None or len(order) < len(film.stamps) or film.has_empty or not film.keys_are_starts:
        return False
    is_listed = "matroska" in name or ("mp4" in name and stream.frames == len(film.stamps))
    is_plain = codec.pix_fmt == "yuv420p" and codec.field_order not in INTERLACED
    is_plain = is_plain and stream.sample_aspect_ratio in (None, 1) and len(film.container.streams.video) == 1
    is_closed = all(order[start] == start for start in film.starts)
    return is_listed and is_plain and is_closed and not any(_turn(film.begun[1]))
