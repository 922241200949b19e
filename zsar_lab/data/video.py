"""Reading and writing video files: the one owner of decord and PyAV.

decord reads first; PyAV is the fallback for what decord cannot read (AV1, GIF). Frames come as uint8 RGB arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsar_lab.artefacts import writing

READERS = ("decord", "pyav")
# Edit lists make the header count a few frames more than are shown; a file that lost more than this is cut off.
LEAST_SHARE_OF_HEADER_FRAMES = 0.9


class UnreadableVideo(ValueError):
    """A file that is not a whole video; the message is one sentence with the path and the reason."""


@dataclass(frozen=True)
class VideoInfo:
    """What a video file holds: its number of frames, frames a second, size in pixels, and the reader that read it."""

    n_frames: int
    fps: float
    width: int
    height: int
    reader: str


def probe(path: Path) -> VideoInfo:
    """Open a video, decode its first and last frame, and say what it holds.

    Args:
        path: a video file; decord is tried first, then PyAV (which decodes the whole file to count its frames).

    Returns:
        The number of frames, the mean frame rate (1/s), the size (pixels) and which reader read it.

    Raises:
        UnreadableVideo: the file is absent, empty, cut off, damaged or no video; the message says which, as far as known.
    """
    path = Path(path)
    _check_file(path)
    try:
        return _probe_decord(path)
    except UnreadableVideo as error:
        reason_decord = error
    try:
        return _probe_pyav(path)
    except UnreadableVideo as error:
        raise error from reason_decord


def read_frames(path: Path, frame_indices: Sequence[int], short_side_px: int | None = None, reader: str = "decord") -> np.ndarray:
    """Decode chosen frames of a video, in the order asked for.

    Args:
        path: a video file.
        frame_indices: T indices in 0..n_frames-1; any order, repeats allowed.
        short_side_px: resize while decoding so that the shorter side has this many pixels, keeping the aspect ratio;
            None keeps the size.
        reader: "decord" or "pyav"; `VideoInfo.reader` of `probe` says which one can read the file. A few narrow frame
            widths that decord cannot give (48 and 72 pixels for one) are read by PyAV in either case.

    Returns:
        RGB frames, uint8 in 0..255, shape [T, H, W, 3].

    Raises:
        ValueError: no index, a negative index, an index past the end, a size below 1 or an unknown reader.
        UnreadableVideo: this reader cannot read the file.
    """
    path = Path(path)
    wanted = np.asarray(frame_indices, dtype=np.int64)
    if wanted.ndim != 1 or wanted.size == 0 or wanted.min() < 0:
        raise ValueError(f"frame_indices must be a list of one or more indices from 0 on, got {frame_indices!r}; see probe(path).n_frames")
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"short_side_px must be 1 or more, got {short_side_px}; pass None to keep the size")
    if reader not in READERS:
        raise ValueError(f"reader must be one of {READERS}, got {reader!r}; take VideoInfo.reader from probe(path)")
    _check_file(path)
    unique, place = np.unique(wanted, return_inverse=True)
    read = _read_decord if reader == "decord" else _read_pyav
    return read(path, unique, short_side_px)[place]


def write_mp4(path: Path, frames: np.ndarray, fps: int, crf: int = 23) -> None:
    """Write frames as an H.264 mp4 that browsers play (yuv420p, index at the front), whole or not at all.

    Args:
        path: the file to make; it must end in ".mp4".
        frames: RGB, uint8 in 0..255, shape [T, H, W, 3] with T >= 1 and even H and W.
        fps: frames a second, 1 or more.
        crf: constant rate factor of x264, 0 (lossless) to 51 (worst).

    Raises:
        ValueError: frames of another shape or type, an odd size, or fps or crf out of range.
        PermissionError: the folder cannot be written to.
    """
    path = Path(path)
    _check_writable_request(path, frames, fps, crf)
    import av

    height, width = frames.shape[1:3]
    options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
    with writing(path) as temporary:
        with av.open(str(temporary), mode="w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=int(fps), options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
            container.mux(stream.encode())


def _check_writable_request(path: Path, frames: np.ndarray, fps: int, crf: int) -> None:
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"the file must end in '.mp4', got '{path}'")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 of shape [T, H, W, 3] with T >= 1, got {frames.dtype} {frames.shape}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2 or not height or not width:
        raise ValueError(f"height and width must be even for yuv420p, got {height} x {width}; crop or pad by one pixel")
    if int(fps) != fps or fps < 1:
        raise ValueError(f"fps must be a whole number of 1 or more, got {fps}")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be in 0..51, got {crf}; 23 is the usual choice")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise UnreadableVideo(f"'{path}' must be a video file, but it is a folder")
    if not path.is_file():
        raise UnreadableVideo(f"'{path}' must be a video file, but there is no such file")
    if path.stat().st_size == 0:
        raise UnreadableVideo(f"'{path}' must be a video file, but it is empty (0 bytes)")


def _unreadable(path: Path, reader: str, error: Exception) -> UnreadableVideo:
    lines = [line.strip() for line in str(getattr(error, "strerror", None) or error).splitlines() if line.strip()]
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return UnreadableVideo(f"'{path}' could not be decoded by {reader} ({reason}); the file is damaged, cut off or no video")


def _resized(width: int, height: int, short_side_px: int | None) -> tuple[int, int]:
    if short_side_px is None:
        return width, height
    scale = short_side_px / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _check_indices(path: Path, unique: np.ndarray, n_frames: int) -> None:
    if unique[-1] >= n_frames:
        raise ValueError(f"frame indices must be in 0..{n_frames - 1} for '{path}', got {unique[-1]}")


def _pyav_errors() -> tuple[type[Exception], ...]:
    import av

    return (av.FFmpegError, IndexError, EOFError, MemoryError, OSError)


def _header(path: Path) -> tuple[int, int, int]:
    """Width and height (pixels, upright) and the number of frames that the header promises (0: it says none)."""
    import av

    errors = _pyav_errors()
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            frame = next(container.decode(stream), None)
            if frame is None:
                raise UnreadableVideo(f"'{path}' must be a video file, but no frame of it can be decoded")
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                raise UnreadableVideo(f"'{path}' must be a video file, but it is a still image")
            sides = (frame.width, frame.height)
            width, height = sides[::-1] if round(frame.rotation) % 180 else sides
            return width, height, stream.frames
    except errors as error:
        raise _unreadable(path, "PyAV", error) from error


def _check_whole(path: Path, n_frames: int, n_promised: int) -> None:
    if n_frames < LEAST_SHARE_OF_HEADER_FRAMES * n_promised:
        raise UnreadableVideo(f"'{path}' is cut off: its header promises {n_promised} frames, but only {n_frames} can be read")


def _open_decord(path: Path, width: int = -1, height: int = -1):
    import decord

    decord.logging.set_level(decord.logging.QUIET)
    return decord.VideoReader(str(path), ctx=decord.cpu(0), width=width, height=height, num_threads=1)


def _decord_errors() -> tuple[type[Exception], ...]:
    import decord

    # DECORDError is not a RuntimeError. ImportError is left out: a broken installation must be heard.
    return (decord.DECORDError, RuntimeError, IndexError)


def _probe_decord(path: Path) -> VideoInfo:
    errors = _decord_errors()
    _, _, n_promised = _header(path)
    try:
        video = _open_decord(path)
        n_frames, fps = len(video), float(video.get_avg_fps())
        shape = video[0].asnumpy().shape
        video[n_frames - 1].asnumpy()
        del video  # a held reader costs a thread, a file descriptor and 4 MB
    except errors as error:
        raise _unreadable(path, "decord", error) from error
    _check_whole(path, n_frames, n_promised)
    return VideoInfo(n_frames, fps, width=shape[1], height=shape[0], reader="decord")


def _read_decord(path: Path, unique: np.ndarray, short_side_px: int | None) -> np.ndarray:
    errors = _decord_errors()
    upright_width, upright_height, _ = _header(path)
    width, height = _resized(upright_width, upright_height, short_side_px)
    try:
        video = _open_decord(path, width, height)
        _check_indices(path, unique, len(video))
        frames = video.get_batch(unique.tolist()).asnumpy()
        del video
    except errors as error:
        if "size must exactly match" in str(error):
            # decord takes padded rows for more channels at some widths (24, 48 and 72 here; its issues 93 and 336)
            return _read_pyav(path, unique, short_side_px)
        raise _unreadable(path, "decord", error) from error
    return frames


def _probe_pyav(path: Path) -> VideoInfo:
    import av

    errors = _pyav_errors()
    width, height, n_promised = _header(path)
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            fps = float(stream.average_rate or 0)
            n_frames = sum(1 for _ in container.decode(stream))
    except errors as error:
        raise _unreadable(path, "decord and PyAV", error) from error
    if fps <= 0:
        raise UnreadableVideo(f"'{path}' must have a known frame rate above 0, got {fps}")
    _check_whole(path, n_frames, n_promised)
    return VideoInfo(n_frames, fps, width, height, reader="pyav")


def _read_pyav(path: Path, unique: np.ndarray, short_side_px: int | None) -> np.ndarray:
    import av

    errors = _pyav_errors()
    frames, n_seen = [], 0
    wanted = set(unique.tolist())
    try:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for n_seen, frame in enumerate(container.decode(stream), start=1):
                if n_seen - 1 in wanted:
                    width, height = _resized(frame.width, frame.height, short_side_px)
                    image = frame.to_ndarray(width=width, height=height, format="rgb24")
                    frames.append(np.rot90(image, k=round(frame.rotation / 90) % 4))
                if len(frames) == len(wanted):
                    break
    except errors as error:
        raise _unreadable(path, "PyAV", error) from error
    if len(frames) < len(wanted):
        _check_indices(path, unique, n_seen)
    return np.stack(frames)
