"""zsar_lab.data.video: numbered frames come back as the right ones; bad files give one sentence."""

from __future__ import annotations

import struct
from pathlib import Path

import av
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

from zsar_lab.data.pixels import whole_frames
from zsar_lab.data.sampling import FrameSettings
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


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(
    ("name", "codec", "pixels"), [("a.gif", "gif", "rgb8"), ("b.mp4", "libsvtav1", "yuv420p")]
)
def test_what_decord_does_not_know_is_read_by_pyav(tmp_path, name, codec, pixels, reader):
    path = write_with(tmp_path / name, codec, pixels, numbered_frames(20))
    assert probe(path) == VideoInfo(n_frames=20, fps=25.0, width=128, height=96, variable_rate=False)
    assert numbers_in(read_frames(path, [19, 4], 48, reader)) == [19, 4]


def test_times_of_decoding_in_the_place_of_those_of_showing_do_not_mislead(tmp_path):
    given = write_with_b_frames(tmp_path / "x.avi", "libx264", 3)
    with av.open(str(given)) as source, av.open(str(tmp_path / "x.mkv"), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                packet.pts, packet.stream = packet.dts, stream
                copy.mux(packet)
    for wanted in ([30], [45, 3, 62]):
        assert numbers_in(read_frames(tmp_path / "x.mkv", wanted)) == wanted


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
    frames = read_frames(tmp_path / "x.mp4", [9, 6], reader="decord")
    assert frames.shape == (2, 32, width, 3) and numbers_in(frames) == [9, 6]


def test_a_variable_rate_is_seen(good, tmp_path):
    path = write_variable(tmp_path / "v.mp4")
    assert frame_times(path) == pytest.approx([n / 10 if n < 10 else 1 + 0.4 * (n - 10) for n in range(20)])
    info = probe(path)
    assert info.variable_rate and info.n_frames / info.fps == pytest.approx(5.0)


def test_a_late_start_counts_from_the_zero_of_the_file(tmp_path):
    path = write_variable(tmp_path / "v.mkv", late=7)
    info = probe(path)
    assert frame_times(path)[:11] == pytest.approx([0.7 + n / 10 for n in range(11)])
    assert info.variable_rate and info.n_frames / info.fps == pytest.approx(5.7)
    task = {"path": str(path), "frames": 20, "fps": info.fps, "variable_rate": True}
    shown = whole_frames(task, [(1.0, 1.5)], FrameSettings(5, 10.0, 96))
    assert numbers_in(shown) == [3, 4, 5, 6, 7]


def test_a_change_of_size_is_resized_to_the_first(tmp_path):
    parts = [numbered_frames(20), numbered_frames(40, 144, 192)[20:]]
    streams = [write_with(tmp_path / "x.h264", "libx264", "yuv420p", part).read_bytes() for part in parts]
    (tmp_path / "both.h264").write_bytes(b"".join(streams))
    frames = read_frames(tmp_path / "both.h264", [39, 0, 20])
    assert frames.shape == (3, 96, 128, 3) and numbers_in(frames) == [39, 0, 20]


@pytest.mark.parametrize(("height", "width"), [(96, 128), (74, 122), (98, 130), (75, 121), (64, 66)])
def test_smaller_pictures_are_the_same_by_both_readers_and_as_by_plain_means(tmp_path, height, width):
    coarse = np.random.default_rng(0).integers(0, 256, (4, height, width, 3), dtype=np.uint8)[:, ::16, ::16]
    images = coarse.repeat(16, 1).repeat(16, 2)[:, :height, :width]
    path = write_with(tmp_path / "x.mkv", "libvpx-vp9", "yuv420p", images)
    whole = read_frames(path, [3, 0]).astype(float)
    for side in (32, 33):
        given = [read_frames(path, [3, 0], side, reader) for reader in READERS]
        assert (given[0] == given[1]).all()
        rows, columns = (
            ((np.arange(there) + 0.5) * here / there).astype(int)
            for here, there in zip((height, width), given[0].shape[1:3], strict=True)
        )
        near = whole[:, rows][:, :, columns]
        assert np.median(np.abs(given[0] - near)) < 12  # other rows or colours: 60


BAD_FILES = {
    "folder": "it is a folder",
    "text": "could not be decoded .*damaged, cut off or no video",
    "empty": r"it is empty \(0 bytes\)",
    "cut off": "cut off: its data end early",
    "cut off avi": "cut off: its data end early",
    "cut off webm": "cut off: its data end early",
    "sound only": "holds no video",
    "sound and a cover": "holds no video",
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
    with pytest.raises(UnreadableVideo, match="cut off: its data end early"):
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
