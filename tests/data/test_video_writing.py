"""zsar_lab.data.video: what is written plays, is the same each time, and is whole or not there."""

from __future__ import annotations

import av
import numpy as np
import pytest
from test_video import numbered_frames

from zsar_lab.data.video import write_mp4
from zsar_lab.demo.clip import render_clip


@pytest.mark.parametrize(
    ("frames", "fps", "crf", "message"),
    [
        (np.zeros((2, 33, 32, 3), np.uint8), 5, 23, "must be even for yuv420p, got 33 x 32"),
        (np.zeros((2, 32, 31, 3), np.uint8), 5, 23, "must be even for yuv420p, got 32 x 31"),
        (np.zeros((0, 32, 32, 3), np.uint8), 5, 23, "with T >= 1"),
        (np.zeros((2, 32, 32, 3), np.float32), 5, 23, "must be uint8 .* got float32"),
        (np.zeros((2, 32, 32), np.uint8), 5, 23, r"shape \[T, H, W, 3\]"),
        (np.zeros((2, 32, 32, 3), np.uint8), 0, 23, "fps must be a whole number of 1 or more, got 0"),
        (np.zeros((2, 32, 32, 3), np.uint8), 5, 52, r"crf must be in 0\.\.51, got 52"),
    ],
)
def test_write_mp4_refuses_and_leaves_nothing(tmp_path, frames, fps, crf, message):
    with pytest.raises(ValueError, match=message):
        write_mp4(tmp_path / "x.mp4", frames, fps, crf)
    assert not list(tmp_path.iterdir())


def test_write_mp4_is_h264_that_browsers_play_and_keeps_an_older_file_on_failure(tmp_path):
    path = tmp_path / "x.mp4"
    write_mp4(path, numbered_frames(3, 32, 32), fps=5)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
    before = path.read_bytes()
    assert before.index(b"moov") < before.index(b"mdat")
    with pytest.raises(av.FFmpegError):  # wider than x264 can write
        write_mp4(path, np.zeros((1, 2, 20000, 3), np.uint8), fps=5)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_write_mp4_into_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="the output folder must be writable, got '.*file'"):
        write_mp4(tmp_path / "file" / "x.mp4", numbered_frames(2, 32, 32), fps=5)


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
