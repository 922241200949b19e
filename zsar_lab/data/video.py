"""Reading and writing video files: the one owner of decord and PyAV.

decord reads first; PyAV reads what decord cannot (AV1, GIF) or gives wrong frames of when it skips some.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain, dropwhile, pairwise
from pathlib import Path
from platform import machine
from typing import Any, NamedTuple

import numpy as np

from zsar_lab.files import writing

READERS = ("decord", "pyav")
# Edit lists make the header count a few frames more than are shown; a file that lost more is cut off.
LEAST_SHARE_OF_HEADER_FRAMES = 0.9
# Where decord 0.6.0 gives the frames asked for when it skips others: in these codecs and containers always,
# in these codecs without B-frames. Seen wrong by 1 to 250 frames: MPEG-4 with B-frames (many AVI files),
# H.264 in AVI, H.265 with B-frames, MPEG-1, MPEG-2.
EXACT = (("h264", "mp4"), ("h264", "matroska"), ("vp8", "matroska"), ("vp9", "matroska"))
EXACT_WITHOUT_B_FRAMES = ("mpeg4", "hevc", "rawvideo")
LARGE_FRAME_PIXELS = 4096 * 2304
SEEK_FROM_FRAME = 250  # so many frames are decoded about as soon as a file is searched for its key frames
SEEK_CHECKED_FRAMES = 16  # at a file's start; more than any codec holds back
SEEK_TRIES = 3
# x264 with AVX-512 gives other bytes from one call to the next; with these instructions it does not
REPEATABLE = "asm=sse4.2"


class UnreadableVideo(ValueError):
    """A file that is not a whole video; the message is one sentence with the path and the reason."""


class _NoSafeSeek(Exception):
    """What is decoded after a seek cannot be numbered for certain."""


class _Stamps(NamedTuple):
    """When a packet or frame is shown and decoded (ticks; None: not known), and whether it is a key one."""

    pts: int | None
    dts: int | None
    is_key: bool


@dataclass(frozen=True)
class VideoInfo:
    """Frames, mean frames a second, upright size (pixels) of a video, and whether its rate varies."""

    n_frames: int
    fps: float
    width: int
    height: int
    variable_rate: bool


def probe(path: Path) -> VideoInfo:
    """Open a video, decode its first frame, and count the frames it really holds (without decoding them).

    n_frames / fps is the duration. The rate varies if a frame lies over one frame off an even grid.

    Raises:
        UnreadableVideo: the file is absent, empty, cut off, damaged or no video. Damage inside a whole file
            shows when it is decoded.
    """
    with _opened(path) as (container, stream):
        width, height, waiting = _first_frame(path, container, stream)
        fps, n_promised = float(stream.average_rate or 0), _promised(container, stream)
        times = _times(chain(waiting, container.demux(stream)), stream)
    if fps <= 0:
        raise UnreadableVideo(f"'{path}' must have a known frame rate above 0, got {fps}")
    if len(times) < LEAST_SHARE_OF_HEADER_FRAMES * n_promised:
        raise UnreadableVideo(
            f"'{path}' is cut off: its header promises {n_promised} frames, but only {len(times)} can be read"
        )
    varies = np.abs((times - times[0]) * fps - np.arange(len(times))).max() > 1.0
    if (
        varies
    ):  # the header's mean rate leaves out how long the last frame is shown: as long as the one before
        fps = float(len(times) / (2 * times[-1] - times[-2] - times[0]))
    return VideoInfo(len(times), fps, width, height, variable_rate=bool(varies))


def probe_clip(task: dict) -> dict:
    """A worker's job: `probe` of task["path"], as a dict."""
    return asdict(probe(Path(task["path"])))


def plays_in_browser(path: Path) -> bool:
    """Whether every browser plays the file: H.264 with 8-bit 4:2:0 colours in mp4; Raises as `probe`."""
    with _opened(path) as (_, stream):
        codec, suffix = stream.codec_context, Path(path).suffix.lower()
        is_h264 = codec.name == "h264" and codec.pix_fmt in ("yuv420p", "yuvj420p")
        return is_h264 and suffix in (".mp4", ".m4v")


def frame_times(path: Path) -> np.ndarray:
    """When each frame begins, in seconds after the first: float64 [n_frames], rising; Raises as `probe`."""
    with _opened(path) as (container, stream):
        times = _times(container.demux(stream), stream)
    return times - times[0]


def read_frames(
    path: Path,
    frame_indices: Sequence[int],
    short_side_px: int | None = None,
    reader: str = "decord",
    n_frames: int | None = None,
) -> np.ndarray:
    """Decode chosen frames of a video, in the order asked for: RGB, uint8 in 0..255, [T, H, W, 3].

    Args:
        path: a video file.
        frame_indices: T indices in 0..n_frames-1; any order, repeats allowed.
        short_side_px: resize the shorter side to so many pixels and keep the aspect ratio; None: as the file.
        reader: "decord" or "pyav". What decord gives wrong frames of (see `EXACT`), and a few narrow frame
            widths that it cannot give, are read by PyAV in either case.
        n_frames: how many frames `probe` counted. Where the reader gives a few less (at least nine tenths),
            indices past its end become the last frame; None for no such tolerance.

    Raises:
        ValueError: an index, size or reader that cannot be; UnreadableVideo: a file that cannot be read.
    """
    wanted = np.asarray(frame_indices, dtype=np.int64)
    if wanted.ndim != 1 or wanted.size == 0 or wanted.min() < 0:
        raise ValueError(f"frame_indices must be a list of indices from 0 on, got {frame_indices!r}")
    if short_side_px is not None and short_side_px < 1:
        raise ValueError(f"short_side_px must be 1 or more, or None, got {short_side_px}")
    if reader not in READERS:
        raise ValueError(f"reader must be one of {', '.join(READERS)}, got {reader!r}")
    unique, place = np.unique(wanted, return_inverse=True)
    read = _read_decord if reader == "decord" else _read_pyav
    return read(Path(path), unique, short_side_px, n_frames)[place]


def _unreadable(path: Path, error: Exception, stream: Any = None) -> UnreadableVideo:
    said = str(getattr(error, "strerror", None) or error).strip().splitlines()[:1]
    reason = ": ".join([type(error).__name__, *said])
    text = f"'{path}' could not be decoded ({reason}); the file is damaged, cut off or no video"
    if stream is not None and stream.width * stream.height > LARGE_FRAME_PIXELS:
        # a decoder that runs out of memory speaks of invalid data
        size = f"{stream.width} x {stream.height}"
        text += f", or its frames of {size} pixels need more memory than a worker may use"
    return UnreadableVideo(text)


def _resized(width: int, height: int, short_side_px: int | None) -> tuple[int, int]:
    if short_side_px is None:
        return width, height
    scale = short_side_px / min(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _in_reach(path: Path, unique: np.ndarray, n_found: int, n_frames: int | None) -> np.ndarray:
    """The indices that a reader with n_found frames can give."""
    if unique[-1] < n_found:
        return unique
    if n_frames is None or n_found < LEAST_SHARE_OF_HEADER_FRAMES * n_frames:
        raise ValueError(f"frame indices must be in 0..{n_found - 1} for '{path}', got {unique[-1]}")
    return np.minimum(unique, n_found - 1)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The file and its first video stream, in PyAV; what PyAV raises becomes an UnreadableVideo."""
    import av

    path, stream, fault = Path(path), None, ""
    if path.is_dir():
        fault = "it is a folder"
    elif not path.is_file():
        fault = "it is no regular file" if path.exists() else "there is no such file"
    elif path.stat().st_size == 0:
        fault = "it is empty (0 bytes)"
    if fault:
        raise UnreadableVideo(f"'{path}' must be a video file, but {fault}")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise UnreadableVideo(f"'{path}' must be a video file, but it holds no video stream")
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                raise UnreadableVideo(f"'{path}' must be a video file, but it is a still image")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise UnreadableVideo(f"'{path}' must be a video of a known codec, but its codec is unknown")
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.FFmpegError, IndexError, EOFError, OSError) as error:
        raise _unreadable(path, error, stream) from error


def _first_frame(path: Path, container: Any, stream: Any) -> tuple[int, int, list]:
    """Width and height of the first frame (pixels, upright), and the packets that were taken to decode it."""
    taken = []
    for packet in container.demux(stream):
        taken.append(packet)
        for frame in packet.decode():
            sides = (frame.width, frame.height)
            return *(sides[::-1] if round(frame.rotation) % 180 else sides), taken
    raise UnreadableVideo(f"'{path}' must be a video file, but no frame of it can be decoded")


def _promised(container: Any, stream: Any) -> int:
    """The number of frames the header speaks of, or that fit the length it gives; 0 where it has neither."""
    if stream.frames or not stream.average_rate or container.format.name == "gif":
        return stream.frames
    seconds = 0.0 if container.streams.audio or not container.duration else container.duration / 1e6
    if stream.duration:
        seconds = float(stream.duration * stream.time_base)
    elif found := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        hours, minutes, rest = map(float, found.groups())  # of Matroska and WebM
        seconds = 3600 * hours + 60 * minutes + rest
    return int(seconds * float(stream.average_rate))


def _times(packets: Iterable, stream: Any) -> np.ndarray:
    """When the packets are shown: float64 seconds, rising; an even grid where the file has no time stamps."""
    # one packet at a time: all of them are the whole file
    stamps = [
        packet.pts if packet.pts is not None else packet.dts
        for packet in packets
        if packet.size and not packet.is_discard
    ]
    if any(stamp is None for stamp in stamps):
        return np.arange(len(stamps)) / float(stream.average_rate or 1)
    return np.sort(np.array(stamps, dtype=np.float64)) * float(stream.time_base)


def _read_decord(
    path: Path, unique: np.ndarray, short_side_px: int | None, n_frames: int | None
) -> np.ndarray:
    import decord

    with _opened(path) as (container, stream):
        width, height, _ = _first_frame(path, container, stream)
        codec, names = stream.codec_context, container.format.name.split(",")
        exact = any(codec.name == name and container_name in names for name, container_name in EXACT)
        exact = exact or (codec.name in EXACT_WITHOUT_B_FRAMES and not codec.has_b_frames)
    if not exact:
        return _read_pyav(path, unique, short_side_px, n_frames)
    width, height = _resized(width, height, short_side_px)
    decord.logging.set_level(decord.logging.QUIET)
    try:  # DECORDError is not a RuntimeError
        video = decord.VideoReader(str(path), ctx=decord.cpu(0), width=width, height=height, num_threads=1)
        frames = video.get_batch(_in_reach(path, unique, len(video), n_frames).tolist()).asnumpy()
        del video  # a held reader costs a thread, a file descriptor and 4 MB
    except (decord.DECORDError, RuntimeError, IndexError) as error:
        if "size must exactly match" in str(error):
            # decord takes padded rows for more channels at some widths (24, 48 and 72; its issues 93 and 336)
            return _read_pyav(path, unique, short_side_px, n_frames)
        raise _unreadable(path, error) from error
    return frames


def _read_pyav(path: Path, unique: np.ndarray, short_side_px: int | None, n_frames: int | None) -> np.ndarray:
    """Decode from the key frame before the first wanted frame where that is safe, else from the start."""
    first = int(unique[0])
    if first >= SEEK_FROM_FRAME:
        try:
            with _opened(path) as (container, stream):
                numbered = _numbered_from(container, stream, first)
                return _gathered(path, numbered, unique, short_side_px, n_frames)
        except (_NoSafeSeek, UnreadableVideo):
            pass  # decoding from the start reads the file, or says why not
    with _opened(path) as (container, stream):
        return _gathered(path, enumerate(container.decode(stream)), unique, short_side_px, n_frames)


def _gathered(
    path: Path,
    numbered: Iterable[tuple[int, Any]],
    unique: np.ndarray,
    short_side_px: int | None,
    n_frames: int | None,
) -> np.ndarray:
    def upright(frame: Any) -> np.ndarray:
        width, height = _resized(frame.width, frame.height, short_side_px)
        image = frame.to_ndarray(width=width, height=height, format="rgb24")
        return np.rot90(image, k=round(frame.rotation / 90) % 4)

    images, wanted, n_seen = {}, set(unique.tolist()), 0
    for number, frame in numbered:
        n_seen = number + 1
        if number in wanted:
            images[number] = upright(frame)
        if n_seen > unique[-1]:
            break
    reached = _in_reach(path, unique, n_seen, n_frames)
    if reached[-1] not in images:  # the last one seen is taken where the reader ends early
        images[n_seen - 1] = upright(frame)
    return np.stack([images[number] for number in reached.tolist()])


def _numbered_from(container: Any, stream: Any, first: int) -> Iterator[tuple[int, Any]]:
    """Frames and their numbers, one by one from a key frame at or before number `first`, which is sought."""
    packets: list[_Stamps] = []
    frames: list[_Stamps] = []
    for packet in container.demux(stream):
        if len(frames) < SEEK_CHECKED_FRAMES:
            frames += [_Stamps(frame.pts, frame.dts, frame.key_frame) for frame in packet.decode()]
        if packet.size and not packet.is_discard:
            packets.append(_Stamps(packet.pts, packet.dts, packet.is_keyframe))
    numberings = _numberings(packets, frames)
    keys = [packet for packet in packets[: first + 1] if packet.is_key]
    for before, key in list(pairwise([*keys[:1], *keys]))[: -SEEK_TRIES - 1 : -1] if numberings else []:
        numbered = _numbered(_decoded_from(container, stream, key, before), numberings)
        start = next(numbered, None)
        if start is not None and start[0] <= first:
            yield from chain([start], numbered)
            return
    raise _NoSafeSeek


def _numberings(packets: list[_Stamps], frames: list[_Stamps]) -> list[tuple[str, dict[int, int]]]:
    """What numbers the file's first frames as they come: "pts", "dts" or both, and each stamp's frame number.

    A frame's dts is that of the packet which let it out, a fixed number of packets after its own. H.264 in
    AVI has no true pts.
    """
    found = []
    for kind in ("pts", "dts"):
        stamps = [getattr(packet, kind) for packet in packets]
        if None not in stamps and len(set(stamps)) == len(stamps):
            rank = {stamp: number for number, stamp in enumerate(sorted(stamps))}
            ranks = [rank.get(getattr(frame, kind), -1) for frame in frames]
            if ranks and ranks[0] >= 0 and ranks == list(range(ranks[0], ranks[0] + len(ranks))):
                found.append((kind, {stamp: number - ranks[0] for stamp, number in rank.items()}))
    return found


def _decoded_from(container: Any, stream: Any, key: _Stamps, sought: _Stamps) -> Iterator[Any]:
    """Frames from a key packet on, after a seek to an earlier one (for it may lead a little too far)."""
    container.seek(sought.pts if sought.dts is None else sought.dts, stream=stream)
    packets = container.demux(stream)
    for packet in dropwhile(lambda packet: not packet.is_keyframe or packet.pts != key.pts, packets):
        yield from packet.decode()


def _numbered(
    frames: Iterable[Any], numberings: list[tuple[str, dict[int, int]]]
) -> Iterator[tuple[int, Any]]:
    """Frames with numbers from the first key frame on: those shown before it refer to some not decoded."""
    expected = None
    for frame in frames:
        if expected is None and not frame.key_frame:
            continue
        stamps = [(getattr(frame, kind), number_of) for kind, number_of in numberings]
        said = {number_of.get(stamp) for stamp, number_of in stamps if stamp is not None}
        said = said or {expected}  # the last ones have no dts
        number = said.pop()
        if said or number is None or expected not in (None, number) or frame.is_corrupt:
            raise _NoSafeSeek
        yield number, frame
        expected = number + 1


def write_mp4(path: Path, frames: np.ndarray, fps: int, crf: int = 23) -> None:
    """Write an H.264 mp4 that browsers play (yuv420p, index at the front); equal frames give equal bytes.

    Args:
        path: the file to make, whole or not at all; it must end in ".mp4".
        frames: RGB, uint8 in 0..255, shape [T, H, W, 3] with T >= 1 and even H and W.
        fps: frames a second, 1 or more.
        crf: constant rate factor of x264, 0 (lossless) to 51 (worst).
    """
    path = Path(path)
    if path.suffix.lower() != ".mp4":
        raise ValueError(f"the file must end in '.mp4', got '{path}'")
    if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[-1] != 3 or len(frames) == 0:
        raise ValueError(f"frames must be uint8 [T, H, W, 3] with T >= 1, got {frames.dtype} {frames.shape}")
    height, width = frames.shape[1:3]
    if height % 2 or width % 2 or not height or not width:
        raise ValueError(f"height and width must be even for yuv420p, got {height} x {width}")
    if int(fps) != fps or fps < 1:
        raise ValueError(f"fps must be a whole number of 1 or more, got {fps}")
    if not 0 <= crf <= 51:
        raise ValueError(f"crf must be in 0..51, got {crf}")
    import av

    options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
    if machine() in ("x86_64", "AMD64"):
        options["x264-params"] = REPEATABLE
    with writing(path) as temporary:
        with av.open(str(temporary), mode="w", options={"movflags": "+faststart"}) as container:
            stream = container.add_stream("libx264", rate=int(fps), options=options)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            for image in frames:
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
