"""A video file's packets, read once: which stream is shown, in which order, and where decoding may begin.

The n-th picture is the n-th that decoding all packets from the start gives. Each packet goes to the decoder
under its own number, so that each picture says which packet it came from. Where the time stamps prove to
order the pictures, the n-th one is known beforehand, and only what it needs is decoded.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from zsar_lab.data.video_bits import begins_anew, first_slice, promised_bytes

LARGE_FRAME_PIXELS = 4096 * 2304
KEPT_BYTES = 32_000_000  # of packets that stay in memory; of larger files they are read a second time
MOST_REORDERED = 32  # places between decoding and showing: twice what H.264 allows
CHECKED_FRAMES = 3  # at the start, that show whether one packet is one picture
LEAST_VOP_BYTES = 10  # MPEG-4: less is a sign of packed B-frames, or of a picture left out
FALLBACK_RATE = 25.0  # where a file tells none
# In these a picture that is no reference leaves no trace in others, and the decoder knows it before decoding.
SKIPPING = ("h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video")
TIME_STAMPS_JUMP = 512  # AVFMT_TS_DISCONT
UNORDERED = ("h264", "hevc", "mpeg4")  # whose times of showing FFmpeg does not work out by itself
INTERLACED = (2, 3, 4, 5)  # FFmpeg's field orders but unknown and progressive


class UnreadableVideo(ValueError):
    """A file that is not a whole video; the message is one sentence with the path and the reason."""


class NotAsPromised(Exception):
    """The decoder gave other pictures than the packets promise: only decoding from the start is sure."""


class Stamp(NamedTuple):
    """When a packet is shown and decoded (ticks, int; None: not known), and whether it is shown at all."""

    pts: Any
    dts: Any
    is_shown: bool


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The file and the video stream that a player shows, in PyAV; its errors become an UnreadableVideo.

    That is the default stream, else the best one; a cover picture is none.
    """
    import av
    from av.stream import Disposition

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
            is_cover, is_default = Disposition.attached_pic, Disposition.default
            streams = [one for one in container.streams.video if not one.disposition & is_cover]
            if not streams:
                raise UnreadableVideo(f"'{path}' must be a video file, but it holds no video")
            if container.format.name.endswith("_pipe") or container.format.name == "image2":
                raise UnreadableVideo(f"'{path}' must be a video file, but it is a still image")
            streams = [one for one in streams if one.disposition & is_default] or streams
            best = container.streams.best("video")
            stream = best if best in streams else streams[0]
            if stream.codec_context is None:
                raise UnreadableVideo(f"'{path}' must be a video of a known codec, but its codec is unknown")
            stream.codec_context.thread_count = 1
            yield container, stream
    except (av.FFmpegError, IndexError, EOFError, OSError) as error:
        raise unreadable(path, error, stream) from error


def unreadable(path: Path, error: Exception, stream: Any = None) -> UnreadableVideo:
    """What an error of a decoder means for a reader."""
    said = str(getattr(error, "strerror", None) or error).strip().splitlines()[:1]
    reason = ": ".join([type(error).__name__, *said])
    text = f"'{path}' could not be decoded ({reason}); the file is damaged, cut off or no video"
    return UnreadableVideo(text + too_large(stream))


def too_large(stream: Any) -> str:
    """The end of a sentence on damage, where pictures may only have been too large for the memory."""
    codec = stream and stream.codec_context
    if not codec or codec.width * codec.height <= LARGE_FRAME_PIXELS:
        return ""
    return f", or its frames of {codec.width} x {codec.height} pixels need more memory than a worker may use"


class Film:
    """The packets of an opened video, read once, and its pictures.

    Attributes:
        stamps: one a packet, in the order of decoding; empty ones are left out.
        starts: packets before which nothing is needed for what is shown from their own picture on; rising.
        keys_are_starts: whether all packets that count as key ones are among them.
        has_empty: whether there were empty packets.
        width, height: of the pictures as stored; those of another size are resized to it.
    """

    def __init__(self, path: Path, container: Any, stream: Any) -> None:
        self.path, self.container = Path(path), container
        self.stream, self.codec = stream, stream.codec_context
        self.width, self.height = self.codec.width, self.codec.height
        self.stamps: list[Stamp] = []
        self.starts: list[int] = []
        self.keys_are_starts, self.has_empty = True, False
        self._is_odd = self._is_unordered = False
        self._can_skip = self.codec.name in SKIPPING
        self._kept: list[Any] | None = []
        last = self._scan()
        if not any(stamp.is_shown for stamp in self.stamps):
            raise UnreadableVideo(f"'{path}' must be a video file, but no frame of it can be decoded")
        if last.is_corrupt or promised_bytes(self.path, container, stream) > self.path.stat().st_size:
            n_shown = sum(stamp.is_shown for stamp in self.stamps)
            raise UnreadableVideo(f"'{path}' is cut off: its data end early, after {n_shown} frames")

    def _scan(self) -> Any:
        """Read all packets; the last one."""
        name, extra = self.codec.name, bytes(self.codec.extradata or b"")
        n_bytes, last = 0, None
        for packet in self.container.demux(self.stream):
            if not packet.size:
                self.has_empty |= packet.dts is not None
                continue
            last, is_shown = packet, not packet.is_discard
            if name == "vp8":
                is_shown = is_shown and bool(memoryview(packet)[0] & 16)
            elif name == "hevc":  # a higher layer may refer to what is no reference in a lower one
                self._can_skip &= first_slice(bytes(packet), name, extra)[1] & 7 == 1
            elif name == "mpeg4":
                self._is_odd |= packet.size < LEAST_VOP_BYTES
            if packet.is_keyframe:
                # a palette comes with the first packet alone
                is_whole = self.codec.codec.intra_only and (self.codec.pix_fmt != "pal8" or not self.stamps)
                if is_whole or begins_anew(bytes(packet), name, extra):
                    self.starts.append(len(self.stamps))
                else:
                    self.keys_are_starts = False
            self.stamps.append(Stamp(packet.pts, packet.dts, is_shown))
            n_bytes += packet.size
            if n_bytes > KEPT_BYTES:
                self._kept = None
            elif self._kept is not None:
                self._kept.append(packet)
        return last

    @cached_property
    def begun(self) -> tuple[list[int], Any]:
        """The packets of the first pictures (of one, where it surely is the first), and the first picture."""
        numbers, first, last = [], None, 0 if self._begins_well else len(self.stamps) - 1
        for number, frame in self._decoded(0, last):
            first = frame if first is None else first
            numbers.append(number)
            if len(numbers) == CHECKED_FRAMES:
                break
        if first is None:
            raise UnreadableVideo(f"'{self.path}' must be a video file, but no frame of it can be decoded")
        return numbers, first

    @property
    def _begins_well(self) -> bool:
        """Whether the first packet is surely the first picture."""
        known = [stamp.pts for stamp in self.stamps if stamp.is_shown and stamp.pts is not None]
        is_first = self.stamps[0].is_shown and self.stamps[0].pts == min(known, default=-1)
        return is_first and self.starts[:1] == [0] and self.codec.field_order not in INTERLACED

    @cached_property
    def order(self) -> list[int] | None:
        """The packet of the n-th picture shown; None where only decoding tells."""
        shown = [number for number, stamp in enumerate(self.stamps) if stamp.is_shown]
        pts = {number: self.stamps[number].pts for number in shown}
        if self._is_odd or None in pts.values() or len(set(pts.values())) < len(shown):
            return None
        order = sorted(shown, key=pts.__getitem__)
        if max(abs(place - number) for place, number in zip(order, shown, strict=True)) > MOST_REORDERED:
            return None
        dts = [self.stamps[number].dts for number in shown if self.stamps[number].dts is not None]
        if any(later <= earlier for earlier, later in pairwise(dts)):
            return None
        # AVI knows no times of showing, and what was copied out of it may carry those of decoding
        self._is_unordered = order == shown and self.codec.has_b_frames and self.codec.name in UNORDERED
        if self._is_unordered:
            return None
        if self.codec.name == "h264" and self.codec.field_order in INTERLACED:
            gaps = np.diff([pts[number] for number in order])
            if len(gaps) and gaps.max() > 1.5 * gaps.min():  # some packets may be one field, others two
                return None
        if not self._begins_well:
            numbers, _ = self.begun
            at = order.index(numbers[0]) if numbers[0] in pts else 0
            if order[at : at + len(numbers)] != numbers:
                return None
            order = order[at:]  # what is shown before could not be decoded
        return order

    @property
    def _is_counted(self) -> bool:
        """Whether before each start come as many pictures as packets, though their order is not known."""
        is_plain = all(stamp.is_shown for stamp in self.stamps) and self.starts[:1] == [0]
        return self.order is None and self._is_unordered and self.codec.name != "mpeg4" and is_plain

    @cached_property
    def times_s(self) -> np.ndarray:
        """When each picture is shown first, in seconds of the file's clock: float64 [n], rising.

        An even grid where the file has no time stamps. Formats with a clock of their own (transport streams)
        begin at 0 with their first packet.
        """
        numbers: Sequence[int] | None = self.order
        if numbers is None:
            numbers = range(len(self.stamps)) if self._is_counted else [n for n, _ in self._all_decoded()]
        avi = self.container.format.name == "avi"
        ticks = [(self.stamps[number].dts if avi else self.stamps[number].pts) for number in numbers]
        if None not in ticks:
            times_s = np.array(sorted(ticks) if avi else ticks, np.float64) * float(self.stream.time_base)
            if (np.diff(times_s) > 0).all():
                has_own_clock = self.container.format.flags & TIME_STAMPS_JUMP and self.container.start_time
                return times_s - (self.container.start_time / 1e6 if has_own_clock else min(0.0, times_s[0]))
        rate = self.stream.average_rate or self.stream.guessed_rate or FALLBACK_RATE
        return np.arange(len(numbers)) / float(rate)

    def pictures(self, wanted: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """The wanted ones (rising numbers) as they are decoded; one that comes twice counts the second time.

        Fewer come where decoding ends before.
        """
        import av

        if self.order is not None:
            try:
                yield from self._planned(wanted)
                return
            except (NotAsPromised, av.FFmpegError):
                pass  # decoding from the start gives the pictures, or says why not
        start = max((start for start in self.starts if start <= wanted[0]), default=0)
        start = start if self._is_counted else 0
        frames = self._decoded(start, len(self.stamps) - 1) if start else self._all_decoded()
        remaining = set(wanted)
        for number, (_, frame) in enumerate(frames, start):
            if number in remaining:
                yield number, frame
                remaining.remove(number)
                if not remaining:
                    return

    def _planned(self, wanted: Sequence[int]) -> Iterator[tuple[int, Any]]:
        """Each run of wanted pictures, from the last start before it, or NotAsPromised."""
        assert self.order is not None
        runs: list[tuple[int, dict[int, int]]] = []
        for n in wanted:
            packet = self.order[n]
            before = reversed(self.starts[: bisect_right(self.starts, packet)])
            pts = self.stamps[packet].pts
            start = next((one for one in before if self.stamps[one].pts <= pts), 0)
            if runs and start <= max(runs[-1][1]) + 1:
                runs[-1][1][packet] = n
            else:
                runs.append((start, {packet: n}))
        for start, numbers in runs:
            came = []
            for packet, frame in self._decoded(start, max(numbers), numbers):
                if packet in numbers:
                    came.append(numbers[packet])
                    yield numbers[packet], frame
            if came != sorted(numbers.values()):
                raise NotAsPromised

    def _decoded(self, start: int, last: int, wanted: Any = None) -> Iterator[tuple[int, Any]]:
        """Packets and their pictures, in the order of showing; of what nothing refers to only the wanted."""

        def packets() -> Iterator[Any]:
            for number, packet in self._packets(start, last):
                packet.pts = number
                if wanted is not None and self._can_skip:
                    self.codec.skip_frame = "DEFAULT" if number in wanted else "NONREF"
                yield packet

        try:
            for frame in _decode(self.codec, packets()):
                yield frame.pts, frame
        finally:
            self.codec.skip_frame = "DEFAULT"
            self.codec.flush_buffers()

    def _packets(self, start: int, last: int) -> Iterator[tuple[int, Any]]:
        if self._kept is not None:
            yield from ((number, self._kept[number]) for number in range(start, last + 1))
            return
        for from_start in (not start, True):
            with opened(self.path) as (container, stream):
                whole = enumerate(packet for packet in container.demux(stream) if packet.size)
                packets = whole if from_start else self._sought(container, stream, start)
                reached = False
                for number, packet in packets:
                    if number > last:
                        return
                    if (packet.pts, packet.dts) != self.stamps[number][:2]:
                        raise NotAsPromised
                    if number >= start:
                        reached = True
                        yield number, packet
                if reached:
                    return

    def _sought(self, container: Any, stream: Any, start: int) -> Iterator[tuple[int, Any]]:
        """Packets from a start on, with their numbers; none where the file cannot be searched for it."""
        pts, dts, _ = self.stamps[start]
        container.seek(pts if dts is None else dts, stream=stream)
        number = None
        for packet in container.demux(stream):
            if number is None and (packet.pts, packet.dts) == (pts, dts):
                number = start
            elif number is None and None not in (packet.dts, dts) and packet.dts > dts:
                return
            if number is not None and packet.size:
                yield number, packet
                number += 1

    def _all_decoded(self) -> Iterator[tuple[int, Any]]:
        """Every picture of the file, decoded anew from the start, and its packet."""
        with opened(self.path) as (container, stream):

            def numbered() -> Iterator[Any]:
                for number, packet in enumerate(one for one in container.demux(stream) if one.size):
                    packet.pts = number
                    yield packet

            for frame in _decode(stream.codec_context, numbered()):
                yield frame.pts, frame


def _decode(codec: Any, packets: Iterable[Any]) -> Iterator[Any]:
    """All pictures of packets; an error before the first one is a start between key pictures."""
    import av

    has_begun = False
    for packet in chain(packets, [None]):
        try:
            frames = codec.decode(packet)
        except av.InvalidDataError:
            if has_begun or packet is None:
                raise
            continue
        has_begun = has_begun or bool(frames)
        yield from frames
