"""zsar_lab.data.video: frames that carry their own number come back as the right ones; bad files give one sentence."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import decord
import numpy as np
import pytest

from zsar_lab.data import video
from zsar_lab.data.video import (
    READERS,
    UnreadableVideo,
    VideoInfo,
    frame_times,
    probe,
    read_frames,
    write_mp4,
)

N_BITS = 6


def numbered_frames(n_frames: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Frames whose six vertical stripes are the bits of the frame's number."""
    bits = (np.arange(n_frames)[:, None] >> np.arange(N_BITS)) & 1
    stripes = np.arange(width) * N_BITS // width
    rows = (bits[:, stripes] * 200 + 20).astype(np.uint8)
    return np.broadcast_to(rows[:, None, :, None], (n_frames, height, width, 3)).copy()


def numbers_in(frames: np.ndarray) -> list[int]:
    centres = ((np.arange(N_BITS) + 0.5) * frames.shape[2] / N_BITS).astype(int)
    return [int(((frame[:, centres, 0].mean(axis=0) > 120) << np.arange(N_BITS)).sum()) for frame in frames]


def write_with(path: Path, codec: str, pixel_format: str, frames: np.ndarray, **options: str) -> Path:
    with av.open(str(path), mode="w", **options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = pixel_format
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "good.mp4"
    write_mp4(path, numbered_frames(50), fps=25)
    return path


def test_probe_says_what_was_written(good):
    assert probe(good) == VideoInfo(n_frames=50, fps=25.0, width=128, height=96, variable_rate=False)


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("short_side_px", "shape"), [(None, (96, 128)), (48, (48, 64)), (30, (30, 40))])
def test_the_frames_asked_for_come_back_in_order(good, reader, short_side_px, shape):
    wanted = [3, 7, 7, 49, 0, 33]
    frames = read_frames(good, wanted, short_side_px, reader)
    assert frames.dtype == np.uint8 and frames.shape == (6, *shape, 3)
    assert numbers_in(frames) == wanted


def test_colours_and_orientation_survive(tmp_path):
    frames = np.zeros((4, 64, 64, 3), dtype=np.uint8)
    frames[:, :32, :, 0] = 200  # red above
    frames[:, 32:, :, 2] = 200  # blue below
    write_mp4(tmp_path / "c.mp4", frames, fps=10, crf=10)
    for reader in READERS:
        back = read_frames(tmp_path / "c.mp4", [2], reader=reader)[0].astype(int)
        assert np.abs(back[8, 8] - [200, 0, 0]).max() < 12 and np.abs(back[56, 56] - [0, 0, 200]).max() < 12


@pytest.mark.parametrize(
    ("file_name", "codec", "pixel_format"), [("a.gif", "gif", "rgb8"), ("b.mp4", "libsvtav1", "yuv420p")]
)
def test_pyav_reads_what_decord_cannot(tmp_path, file_name, codec, pixel_format):
    path = write_with(tmp_path / file_name, codec, pixel_format, numbered_frames(20))
    assert probe(path) == VideoInfo(n_frames=20, fps=25.0, width=128, height=96, variable_rate=False)
    for reader in READERS:
        assert numbers_in(read_frames(path, [19, 4], 48, reader)) == [19, 4]


def write_with_b_frames(
    path: Path, codec: str, n_b_frames: int, options: dict[str, str] | None = None
) -> Path:
    """63 numbered frames, a key frame every 12."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 128, 96, "yuv420p", 2_000_000
        stream.codec_context.max_b_frames, stream.codec_context.gop_size = n_b_frames, 12
        for frame in numbered_frames(63):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("n_b_frames", [0, 2])
@pytest.mark.parametrize(
    ("codec", "suffix"),
    [
        ("mpeg4", "avi"),
        ("mpeg4", "mp4"),
        ("libx264", "avi"),
        ("libx264", "mp4"),
        ("libx264", "mkv"),
        ("mpeg2video", "mpg"),
        ("libx265", "mp4"),
    ],
)
def test_frames_are_the_ones_asked_for_when_others_are_skipped(tmp_path, codec, suffix, n_b_frames):
    path = write_with_b_frames(tmp_path / f"x.{suffix}", codec, n_b_frames)
    n_frames = probe(path).n_frames
    for wanted in (list(range(1, n_frames, 4)), list(range(1, n_frames, 8)), [30, 31, 33], [n_frames - 2]):
        assert numbers_in(read_frames(path, wanted, n_frames=n_frames)) == wanted


@pytest.fixture
def seeks(monkeypatch) -> list[str]:
    """What became of every seek, which is tried however early the first frame is; and decoding from the start is not, unless it must."""
    found, numbered_from = [], video._numbered_from

    def watched(container, stream, first):
        try:
            yield from numbered_from(container, stream, first)
        except video._NoSafeSeek:
            found.append("not safe")
            raise
        finally:
            found.append("over")

    monkeypatch.setattr(video, "_numbered_from", watched)
    monkeypatch.setattr(video, "SEEK_FROM_FRAME", 1)
    return found


def check_seeks(path: Path) -> None:
    """The frames from every one on are those decoded from the start, in which each carries its number."""
    with av.open(str(path)) as container:
        expected = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
    assert numbers_in(expected) == list(range(len(expected))) == list(range(probe(path).n_frames))
    for first in range(1, len(expected)):
        wanted = [number for number in (first, first + 1, first + 4) if number < len(expected)]
        assert (read_frames(path, wanted, reader="pyav") == expected[wanted]).all(), first


SOUGHT = [
    ("mpeg4", "avi", 2, {}),
    ("mpeg4", "mp4", 2, {}),
    ("libx264", "avi", 2, {}),
    ("libx264", "mp4", 2, {}),
    ("libx265", "mp4", 2, {}),
    ("mpeg2video", "ts", 2, {}),
    ("mpeg2video", "mpg", 2, {}),
    ("libvpx-vp9", "webm", 0, {"cpu-used": "8", "deadline": "realtime"}),
    ("libx264", "avi", 3, {"x264-params": "open-gop=1"}),
    ("libx264", "mp4", 3, {"x264-params": "open-gop=1"}),
]


@pytest.mark.parametrize(("codec", "suffix", "n_b_frames", "options"), SOUGHT)
def test_frames_after_a_seek_are_those_decoded_from_the_start(
    tmp_path, seeks, codec, suffix, n_b_frames, options
):
    check_seeks(write_with_b_frames(tmp_path / f"x.{suffix}", codec, n_b_frames, options))
    assert seeks.count("over") == 62 and seeks.count("not safe") <= 2


def test_frames_after_a_seek_where_the_rate_varies(tmp_path, seeks):
    check_seeks(write_variable(tmp_path / "v.mp4"))
    assert seeks == ["over"] * 19


def test_a_seek_that_cannot_be_trusted_is_not_used(tmp_path, seeks):
    # refreshed column by column, its packets that count as key ones show no whole picture
    check_seeks(
        write_with_b_frames(tmp_path / "x.mp4", "libx264", 2, {"x264-params": "intra-refresh=1:scenecut=0"})
    )
    assert seeks.count("not safe") > 20
    # two frames of one time: neither stamp says which is which
    monotone = write_with_b_frames(tmp_path / "x.avi", "mpeg4", 0)
    packets = [video._Stamps(number, number, True) for number in range(20)]
    assert [kind for kind, _ in video._numberings(packets, packets)] == ["pts", "dts"]
    assert not video._numberings([*packets, packets[3]], packets) and not video._numberings(
        [video._Stamps(None, None, True)], packets
    )
    late = [video._Stamps(number + 2, None, True) for number in range(18)]
    ((kind, number_of),) = video._numberings(packets, late)
    assert kind == "pts" and [number_of[number] for number in (2, 5, 19)] == [0, 3, 17]
    assert numbers_in(read_frames(monotone, [40], reader="pyav")) == [40]


@pytest.mark.parametrize(
    ("frames", "numbers"),
    [
        (
            [(1, 2, 0, 0), (3, 3, 1, 0), (4, 4, 0, 0), (5, None, 0, 0)],
            [3, 4, 5],
        ),  # from the first key frame on; the last one has no dts
        ([(3, 3, 1, 0), (5, 5, 0, 0)], "one is left out"),
        ([(3, 3, 1, 0), (4, 5, 0, 0)], "the stamps disagree"),
        ([(3, 3, 1, 0), (99, 99, 0, 0)], "no packet has that stamp"),
        ([(3, 3, 1, 1)], "it is damaged"),
        ([(None, None, 1, 0)], "it has no stamp"),
    ],
)
def test_frames_after_a_seek_are_numbered_or_refused(frames, numbers):
    both = [("pts", {stamp: stamp for stamp in range(10)}), ("dts", {stamp: stamp for stamp in range(10)})]
    decoded = [
        SimpleNamespace(**dict(zip(("pts", "dts", "key_frame", "is_corrupt"), frame, strict=True)))
        for frame in frames
    ]
    if isinstance(numbers, list):
        assert [number for number, _ in video._numbered(decoded, both)] == numbers
    else:
        with pytest.raises(video._NoSafeSeek):
            list(video._numbered(decoded, both))


def test_decoding_starts_at_a_key_frame_where_that_is_far_in(good, monkeypatch):
    decoded, real = [], video._numbered

    def watched(frames, numberings):
        for number, frame in real(frames, numberings):
            decoded.append(number)
            yield number, frame

    monkeypatch.setattr(video, "_numbered", watched)
    assert numbers_in(read_frames(good, [45], reader="pyav")) == [45] and not decoded
    monkeypatch.setattr(video, "SEEK_FROM_FRAME", 45)
    assert numbers_in(read_frames(good, [45, 47], reader="pyav")) == [45, 47]
    assert decoded == list(range(decoded[0], 48))


def test_indices_past_the_end_become_the_last_frame_after_a_seek_too(good, seeks):
    assert numbers_in(read_frames(good, [48, 52], reader="pyav", n_frames=53)) == [48, 49]
    assert numbers_in(read_frames(good, [51, 52], reader="pyav", n_frames=53)) == [49, 49]
    with pytest.raises(ValueError, match=r"frame indices must be in 0..49 .*, got 52"):
        read_frames(good, [3, 52], reader="pyav")


def test_decord_itself_gives_wrong_frames_of_a_file_with_b_frames(tmp_path):
    """Should this fail, decord has been mended, and the table of what it reads exactly can go."""
    path = write_with_b_frames(tmp_path / "x.avi", "mpeg4", 2)
    reader = decord.VideoReader(str(path), num_threads=1)
    wanted = list(range(1, 60, 8))
    assert numbers_in(reader.get_batch(wanted).asnumpy()) != wanted


def test_a_turned_phone_video_comes_upright(good, tmp_path):
    content = bytearray(good.read_bytes())
    matrix = content.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", content, matrix)[0] == 0x10000
    struct.pack_into(
        ">9i", content, matrix, 0, 0x10000, 0, -0x10000, 0, 0, 96 << 16, 0, 0x40000000
    )  # 90 degrees clockwise
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content)
    info = probe(turned)
    assert (info.width, info.height) == (96, 128)
    for reader in READERS:
        frames = read_frames(turned, [5, 40], 60, reader)
        assert frames.shape == (2, 80, 60, 3)
        assert numbers_in(np.rot90(frames, k=1, axes=(1, 2))) == [5, 40]


@pytest.mark.parametrize("width", [16, 24, 48, 64, 72, 80])
def test_narrow_frames_that_decord_gives_a_fourth_channel(tmp_path, width):
    write_mp4(tmp_path / "x.mp4", numbered_frames(10, 32, width), fps=5)
    assert (probe(tmp_path / "x.mp4").width, probe(tmp_path / "x.mp4").n_frames) == (width, 10)
    frames = read_frames(tmp_path / "x.mp4", [9, 6])
    assert frames.shape == (2, 32, width, 3) and numbers_in(frames) == [9, 6]


def write_variable(path: Path) -> Path:
    """Twenty numbered frames: the first ten last 0.1 s each, the others 0.4 s."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 96, 96, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10)
        for number, image in enumerate(numbered_frames(20, 96, 96)):
            frame = av.VideoFrame.from_ndarray(image, format="rgb24")
            frame.pts, frame.time_base = (number if number < 10 else 10 + 4 * (number - 10)), Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def test_frame_times_and_the_rate(good, tmp_path):
    assert frame_times(good) == pytest.approx(np.arange(50) / 25)
    times = frame_times(write_variable(tmp_path / "v.mp4"))
    assert times == pytest.approx([n / 10 if n < 10 else 1 + 0.4 * (n - 10) for n in range(20)])
    assert probe(tmp_path / "v.mp4").variable_rate and not probe(good).variable_rate


@pytest.mark.parametrize("reader", READERS)
def test_indices_a_little_past_the_end_become_the_last_frame_only_when_asked(good, reader):
    assert numbers_in(read_frames(good, [3, 49, 52], None, reader, n_frames=53)) == [3, 49, 49]
    with pytest.raises(ValueError, match=r"frame indices must be in 0..49 .*, got 52"):
        read_frames(good, [3, 52], None, reader)
    with pytest.raises(ValueError, match=r"frame indices must be in 0..49 .*, got 52"):
        read_frames(good, [3, 52], None, reader, n_frames=60)


def make_bad(folder: Path, kind: str, good: Path) -> Path:
    path = folder / "x.mp4"
    if kind == "folder":
        path.mkdir()
    elif kind == "text":
        path.write_text("this is no video\n" * 200)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "cut off":
        path.write_bytes(good.read_bytes()[: good.stat().st_size * 9 // 10])
    elif kind == "cut off avi":
        whole = write_with(folder / "whole.avi", "mpeg4", "yuv420p", numbered_frames(50))
        path = folder / "x.avi"
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    elif kind == "still image":
        image = write_with(folder / "still.png", "png", "rgb24", numbered_frames(1), format="image2")
        image.rename(path)
    elif kind == "cut off webm":  # its header has no number of frames, only a duration
        path = folder / "x.webm"
        whole = write_with(folder / "whole.webm", "libvpx-vp9", "yuv420p", numbered_frames(50))
        path.write_bytes(whole.read_bytes()[: whole.stat().st_size * 6 // 10])
    elif kind == "sound only":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=44100, layout="mono")
            frame = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono"
            )
            frame.rate = 44100
            container.mux(stream.encode(frame))
            container.mux(stream.encode())
    else:
        assert kind == "absent"
    return path


BAD_FILES = [
    ("folder", "but it is a folder"),
    ("text", "could not be decoded .*damaged, cut off or no video"),
    ("empty", r"but it is empty \(0 bytes\)"),
    ("cut off", "is cut off: its header promises 50 frames, but only 41"),
    ("cut off avi", "is cut off: its header promises 50 frames, but only"),
    ("cut off webm", "is cut off: its header promises 50 frames, but only"),
    ("sound only", "but it holds no video stream"),
    ("still image", "but it is a still image"),
    ("absent", "but there is no such file"),
]


@pytest.mark.parametrize(("kind", "message"), BAD_FILES)
def test_a_bad_file_gives_one_sentence_with_its_path(tmp_path, good, kind, message):
    path = make_bad(tmp_path, kind, good)
    with pytest.raises(UnreadableVideo, match=message) as caught:
        probe(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file_name", ["two words.mp4", 'it\'s "quoted".mp4', "#1.mp4", "é.mp4", "你好.mp4", "[a-z]*.mp4"]
)
def test_odd_names(tmp_path, file_name):
    write_mp4(tmp_path / file_name, numbered_frames(3, 32, 48), fps=5)
    assert probe(tmp_path / file_name).n_frames == 3
    assert read_frames(tmp_path / file_name, [0, 2]).shape == (2, 32, 48, 3)
    assert [entry.name for entry in tmp_path.iterdir()] == [file_name]


@pytest.mark.parametrize(
    ("indices", "short_side_px", "reader", "message"),
    [
        ([], None, "decord", "one or more indices from 0 on"),
        ([-1], None, "decord", "one or more indices from 0 on"),
        ([50], None, "decord", r"must be in 0\.\.49 .* got 50"),
        ([50], None, "pyav", r"must be in 0\.\.49 .* got 50"),
        ([0], 0, "decord", "short_side_px must be 1 or more, got 0"),
        ([0], None, "opencv", "reader must be one of .* got 'opencv'"),
    ],
)
def test_read_frames_refuses(good, indices, short_side_px, reader, message):
    with pytest.raises(ValueError, match=message):
        read_frames(good, indices, short_side_px, reader)


def write_with_long_sound(
    path: Path, video_codec: str, audio_codec: str, n_frames: int, sound_s: float
) -> Path:
    """Numbered frames, 25 a second, and silence that is longer."""
    rate = 48_000
    with av.open(str(path), mode="w") as container:
        picture, sound = (
            container.add_stream(video_codec, rate=25),
            container.add_stream(audio_codec, rate=rate, layout="mono"),
        )
        picture.width, picture.height, picture.pix_fmt = 128, 96, "yuv420p"
        for frame in numbered_frames(n_frames):
            container.mux(picture.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(picture.encode())
        for start in range(0, int(sound_s * rate), 960):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts = rate, start
            container.mux(sound.encode(frame))
        container.mux(sound.encode())
    return path


@pytest.mark.parametrize(
    ("suffix", "video_codec", "audio_codec"),
    [
        ("mkv", "libx264", "aac"),
        ("webm", "libvpx-vp9", "libopus"),
        ("ts", "libx264", "aac"),
        ("flv", "libx264", "aac"),
        ("mp4", "libx264", "aac"),
    ],
)
def test_a_video_whose_sound_is_longer_is_whole(tmp_path, suffix, video_codec, audio_codec):
    path = write_with_long_sound(tmp_path / f"x.{suffix}", video_codec, audio_codec, 50, 4.0)
    assert probe(path).n_frames == 50


def test_a_cut_off_video_with_sound_is_found_by_the_length_of_its_picture(tmp_path):
    whole = write_with_long_sound(tmp_path / "whole.mkv", "libx264", "aac", 50, 2.0).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(UnreadableVideo, match="is cut off: its header promises 50 frames, but only"):
        probe(tmp_path / "cut.mkv")
