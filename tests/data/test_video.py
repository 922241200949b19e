"""zsar_lab.data.video: numbered frames come back as the right ones; bad files give one sentence."""

from __future__ import annotations

import struct
from pathlib import Path
from types import SimpleNamespace

import av
import decord
import numpy as np
import pytest
from numbered_videos import (
    make_bad,
    numbered_frames,
    numbers_in,
    write_variable,
    write_with,
    write_with_b_frames,
    write_with_sound,
)

from zsar_lab.data import video
from zsar_lab.data.video import (
    READERS,
    UnreadableVideo,
    VideoInfo,
    frame_times,
    plays_in_browser,
    probe,
    read_frames,
    write_mp4,
)
from zsar_lab.demo.clip import render_clip


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("video") / "good.mp4"
    write_mp4(path, numbered_frames(50), fps=25)
    return path


def test_probe_says_what_was_written(good):
    assert probe(good) == VideoInfo(n_frames=50, fps=25.0, width=128, height=96, variable_rate=False)
    assert frame_times(good) == pytest.approx(np.arange(50) / 25)


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
    ("name", "codec", "pixels"), [("a.gif", "gif", "rgb8"), ("b.mp4", "libsvtav1", "yuv420p")]
)
def test_pyav_reads_what_decord_cannot(tmp_path, name, codec, pixels):
    path = write_with(tmp_path / name, codec, pixels, numbered_frames(20))
    assert probe(path) == VideoInfo(n_frames=20, fps=25.0, width=128, height=96, variable_rate=False)
    for reader in READERS:
        assert numbers_in(read_frames(path, [19, 4], 48, reader)) == [19, 4]


CODECS = [
    ("mpeg4", "avi"),
    ("mpeg4", "mp4"),
    ("libx264", "avi"),
    ("libx264", "mp4"),
    ("libx264", "mkv"),
    ("mpeg2video", "mpg"),
    ("libx265", "mp4"),
]


@pytest.mark.parametrize("n_b_frames", [0, 2])
@pytest.mark.parametrize(("codec", "suffix"), CODECS)
def test_frames_are_the_ones_asked_for_when_others_are_skipped(tmp_path, codec, suffix, n_b_frames):
    path = write_with_b_frames(tmp_path / f"x.{suffix}", codec, n_b_frames)
    n_frames = probe(path).n_frames
    for wanted in (list(range(1, n_frames, 4)), list(range(1, n_frames, 8)), [30, 31, 33], [n_frames - 2]):
        assert numbers_in(read_frames(path, wanted, n_frames=n_frames)) == wanted


@pytest.fixture
def seeks(monkeypatch) -> list[str]:
    """What became of every seek; all are tried, and decoding from the start is not, unless it must."""
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


OPEN_GOP = {"x264-params": "open-gop=1"}
SOUGHT = [
    *((codec, suffix, 2, {}) for codec, suffix in CODECS if suffix != "mkv"),
    ("mpeg2video", "ts", 2, {}),
    ("libvpx-vp9", "webm", 0, {"cpu-used": "8", "deadline": "realtime"}),
    ("libx264", "avi", 3, OPEN_GOP),
    ("libx264", "mp4", 3, OPEN_GOP),
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
    refreshed = {"x264-params": "intra-refresh=1:scenecut=0"}
    check_seeks(write_with_b_frames(tmp_path / "x.mp4", "libx264", 2, refreshed))
    assert seeks.count("not safe") > 20


def test_frames_are_numbered_by_stamps_that_are_sure():
    packets = [video._Stamps(number, number, True) for number in range(20)]
    assert [kind for kind, _ in video._numberings(packets, packets)] == ["pts", "dts"]
    # two frames of one time, and none known
    assert not video._numberings([*packets, packets[3]], packets)
    assert not video._numberings([video._Stamps(None, None, True)], packets)
    late = [video._Stamps(number + 2, None, True) for number in range(18)]
    ((kind, number_of),) = video._numberings(packets, late)
    assert kind == "pts" and [number_of[number] for number in (2, 5, 19)] == [0, 3, 17]


@pytest.mark.parametrize(
    ("frames", "numbers"),
    [
        # from the first key frame on; the last one has no dts
        ([(1, 2, 0, 0), (3, 3, 1, 0), (4, 4, 0, 0), (5, None, 0, 0)], [3, 4, 5]),
        ([(3, 3, 1, 0), (5, 5, 0, 0)], "one is left out"),
        ([(3, 3, 1, 0), (4, 5, 0, 0)], "the stamps disagree"),
        ([(3, 3, 1, 0), (99, 99, 0, 0)], "no packet has that stamp"),
        ([(3, 3, 1, 1)], "it is damaged"),
        ([(None, None, 1, 0)], "it has no stamp"),
    ],
)
def test_frames_after_a_seek_are_numbered_or_refused(frames, numbers):
    both = [(kind, {stamp: stamp for stamp in range(10)}) for kind in ("pts", "dts")]
    fields = ("pts", "dts", "key_frame", "is_corrupt")
    decoded = [SimpleNamespace(**dict(zip(fields, frame, strict=True))) for frame in frames]
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


def test_decord_itself_gives_wrong_frames_of_a_file_with_b_frames(tmp_path):
    """Should this fail, decord has been mended, and the table of what it reads exactly can go."""
    reader = decord.VideoReader(str(write_with_b_frames(tmp_path / "x.avi", "mpeg4", 2)), num_threads=1)
    wanted = list(range(1, 60, 8))
    assert numbers_in(reader.get_batch(wanted).asnumpy()) != wanted


def test_a_turned_phone_video_comes_upright(good, tmp_path):
    content = bytearray(good.read_bytes())
    matrix = content.index(b"tkhd") + 44
    assert struct.unpack_from(">9i", content, matrix)[0] == 0x10000
    clockwise = (0, 0x10000, 0, -0x10000, 0, 0, 96 << 16, 0, 0x40000000)
    struct.pack_into(">9i", content, matrix, *clockwise)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content)
    assert (probe(turned).width, probe(turned).height) == (96, 128)
    for reader in READERS:
        frames = read_frames(turned, [5, 40], 60, reader)
        assert frames.shape == (2, 80, 60, 3)
        assert numbers_in(np.rot90(frames, k=1, axes=(1, 2))) == [5, 40]


@pytest.mark.parametrize("width", [16, 24, 48, 64, 72, 80])
def test_narrow_frames_that_decord_gives_a_fourth_channel(tmp_path, width):
    write_mp4(tmp_path / "x.mp4", numbered_frames(10, 32, width), fps=5)
    frames = read_frames(tmp_path / "x.mp4", [9, 6])
    assert frames.shape == (2, 32, width, 3) and numbers_in(frames) == [9, 6]


def test_a_variable_rate_is_seen(good, tmp_path):
    path = write_variable(tmp_path / "v.mp4")
    assert frame_times(path) == pytest.approx([n / 10 if n < 10 else 1 + 0.4 * (n - 10) for n in range(20)])
    info = probe(path)
    assert info.variable_rate and info.n_frames / info.fps == pytest.approx(5.0)


@pytest.mark.parametrize("reader", [*READERS, "seek"])
def test_indices_a_little_past_the_end_become_the_last_frame_only_when_asked(good, reader, request):
    if reader == "seek":
        request.getfixturevalue("seeks")
        reader = "pyav"
    assert numbers_in(read_frames(good, [3, 49, 52], None, reader, n_frames=53)) == [3, 49, 49]
    assert numbers_in(read_frames(good, [51, 52], None, reader, n_frames=53)) == [49, 49]
    for n_frames in (None, 60):
        with pytest.raises(ValueError, match=r"0..49 .*, got 52"):
            read_frames(good, [3, 52], None, reader, n_frames)


BAD_FILES = {
    "folder": "it is a folder",
    "text": "could not be decoded .*damaged, cut off or no video",
    "empty": r"it is empty \(0 bytes\)",
    "cut off": "cut off: its header promises 50 frames, but only 41",
    "cut off avi": "cut off: its header promises 50 frames",
    "cut off webm": "cut off: its header promises 50 frames",
    "sound only": "no video stream",
    "still image": "a still image",
    "absent": "no such file",
    "unknown codec": "its codec is unknown",
}


@pytest.mark.parametrize("kind", BAD_FILES)
def test_a_bad_file_gives_one_sentence_with_its_path(tmp_path, kind):
    path = make_bad(tmp_path, kind)
    for read in (probe, frame_times, plays_in_browser, lambda path: read_frames(path, [0])):
        if read is probe or kind in ("absent", "unknown codec"):
            with pytest.raises(UnreadableVideo, match=BAD_FILES[kind]) as caught:
                read(path)
            assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("suffix", "video_codec", "sound_codec"),
    [("mkv", "libx264", "aac"), ("webm", "libvpx-vp9", "libopus")]
    + [(suffix, "libx264", "aac") for suffix in ("ts", "flv", "mp4")],
)
def test_a_video_whose_sound_is_longer_is_whole(tmp_path, suffix, video_codec, sound_codec):
    path = write_with_sound(tmp_path / f"x.{suffix}", video_codec, sound_codec, 50, 4.0)
    assert probe(path).n_frames == 50


def test_a_cut_off_video_with_sound_is_found_by_the_length_of_its_picture(tmp_path):
    whole = write_with_sound(tmp_path / "whole.mkv", "libx264", "aac", 50, 2.0).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 6 // 10])
    with pytest.raises(UnreadableVideo, match="promises 50 frames, but only"):
        probe(tmp_path / "cut.mkv")


@pytest.mark.parametrize(
    "name", ["two words.mp4", 'it\'s "quoted".mp4', "#1.mp4", "é.mp4", "你好.mp4", "[a-z]*.mp4"]
)
def test_odd_names(tmp_path, name):
    write_mp4(tmp_path / name, numbered_frames(3, 32, 48), fps=5)
    assert probe(tmp_path / name).n_frames == 3
    assert read_frames(tmp_path / name, [0, 2]).shape == (2, 32, 48, 3)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("indices", "short_side_px", "reader", "got"),
    [
        ([], None, "decord", r"got \[\]"),
        ([-1], None, "decord", r"got \[-1\]"),
        ([50], None, "decord", r"0\.\.49 .* got 50"),
        ([50], None, "pyav", r"0\.\.49 .* got 50"),
        ([0], 0, "decord", "short_side_px .* got 0"),
        ([0], None, "opencv", "got 'opencv'"),
    ],
)
def test_read_frames_refuses(good, indices, short_side_px, reader, got):
    with pytest.raises(ValueError, match=got):
        read_frames(good, indices, short_side_px, reader)


@pytest.mark.parametrize(
    ("shape", "dtype", "fps", "crf", "got"),
    [
        ((2, 33, 32, 3), np.uint8, 5, 23, "got 33 x 32"),
        ((2, 32, 31, 3), np.uint8, 5, 23, "got 32 x 31"),
        ((0, 32, 32, 3), np.uint8, 5, 23, "T >= 1"),
        ((2, 32, 32, 3), np.float32, 5, 23, "got float32"),
        ((2, 32, 32), np.uint8, 5, 23, r"got uint8 \(2, 32, 32\)"),
        ((2, 32, 32, 3), np.uint8, 0, 23, "fps .* got 0"),
        ((2, 32, 32, 3), np.uint8, 5, 52, "crf .* got 52"),
    ],
)
def test_write_mp4_refuses_and_leaves_nothing(tmp_path, shape, dtype, fps, crf, got):
    with pytest.raises(ValueError, match=got):
        write_mp4(tmp_path / "x.mp4", np.zeros(shape, dtype), fps, crf)
    with pytest.raises(ValueError, match="x.avi"):
        write_mp4(tmp_path / "x.avi", numbered_frames(2, 32, 32), 5)
    assert not list(tmp_path.iterdir())


def test_write_mp4_is_h264_that_browsers_play_and_keeps_an_older_file_on_failure(tmp_path):
    path = tmp_path / "x.mp4"
    write_mp4(path, numbered_frames(3, 32, 32), fps=5)
    assert plays_in_browser(path)
    before = path.read_bytes()
    assert before.index(b"moov") < before.index(b"mdat")
    with pytest.raises(av.FFmpegError):  # wider than x264 can write
        write_mp4(path, np.zeros((1, 2, 20000, 3), np.uint8), fps=5)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(PermissionError, match="x.mp4"):
        write_mp4(path / "x.mp4", numbered_frames(2, 32, 32), fps=5)


def test_the_same_frames_give_the_same_bytes_whatever_the_memory_holds(tmp_path):
    """x264 with AVX-512 read memory that was never written, on a machine that has it."""
    frames, fps = render_clip("Boxing", 5)
    random, written = np.random.default_rng(0), set()
    for number in range(8):
        used = [random.bytes(int(size)) for size in random.integers(1_000, 200_000, 7 * number)]
        del used  # the memory that is handed out next is not empty
        write_mp4(tmp_path / "x.mp4", frames, fps)
        written.add((tmp_path / "x.mp4").read_bytes())
    assert len(written) == 1
