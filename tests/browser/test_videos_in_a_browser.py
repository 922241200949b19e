"""`plays_in_browser` says what Chromium does: play the file from start to end, with the right frames."""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import write_with, write_with_sound
from painted_videos import TURNS, Kind, main_stream, number_in, paint, shown, write
from PIL import Image

from zsar_lab.data.video import plays_in_browser

# Play four times as fast; each picture that is shown, and its time.
PLAY = """async source => {
    const video = document.createElement("video"), canvas = document.createElement("canvas"), pictures = [];
    document.body.replaceChildren(video);
    Object.assign(video, {muted: true, playbackRate: 4, src: source});
    const taken = (_, {mediaTime}) => {
        Object.assign(canvas, {width: video.videoWidth, height: video.videoHeight});
        canvas.getContext("2d").drawImage(video, 0, 0);
        pictures.push([mediaTime, canvas.toDataURL("image/png").split(",")[1]]);
        video.requestVideoFrameCallback(taken);
    };
    video.requestVideoFrameCallback(taken);
    const ended = await new Promise(resolve => {
        video.onended = () => resolve(true);
        video.onerror = () => resolve(false);
        setTimeout(() => resolve(false), 15000);
        video.play().catch(() => resolve(false));
    });
    return ended ? pictures : [];
}"""
KINDS = [
    *(Kind("h264", suffix, 60) for suffix in ("mov", "mkv", "avi", "ts", "flv", "h264")),
    Kind("h264", "mp4", 90, gop=30, b_frames=2, cut="hidden"),
    Kind("h264", "mkv", 60, cut="hidden"),
    Kind("h264", "mp4", 60, rate="late"),
    Kind("h264", "mkv", 60, rate="late"),
    Kind("h264", "mp4", 60, group="open", b_frames=3),
    Kind("h264", "mp4", 60, group="refresh"),
    Kind("h264", "mp4", 60, interlaced=True),
    Kind("h264", "mp4", 60, aspect=Fraction(16, 11)),
    *(Kind("h264", "mp4", 60, turn=turn) for turn in TURNS if turn),
    Kind("h264", "mkv", 60, turn="left"),
    *(Kind("h264", "mp4", 60, tracks=name) for name in ("cover", "first", "second")),
    *(Kind("h264", "mkv", 60, tracks=name) for name in ("cover", "first", "second")),
    *(Kind(codec, "mp4", 60) for codec in ("hevc", "mpeg4", "vp9", "av1", "mjpeg")),
    *(Kind(codec, "webm", 60) for codec in ("vp8", "vp9", "av1")),
    Kind("vp9", "mkv", 60, rate="variable"),
    Kind("mpeg4", "avi", 60),
    Kind("mpeg2", "mpg", 60),
    Kind("prores", "mov", 60),
    Kind("ffv1", "mkv", 60),
    Kind("wmv2", "wmv", 60),
    Kind("gif", "gif", 60),
]
NAMED_MP4 = ("ts", "flv", "h264", "mkv", "avi")
PIXELS = {
    ("libx264", "mp4"): "yuv420p yuv422p yuv444p yuv420p10le yuv422p10le yuv444p10le yuvj420p gray",
    ("libx264rgb", "mp4"): "rgb24",
    ("libvpx-vp9", "webm"): "yuv420p yuv422p yuv444p yuv440p gbrp",
    ("libsvtav1", "mp4"): "yuv420p10le",
}
SOUNDS = [
    ("mp4", "libx264", "aac"),
    ("mkv", "libx264", "ac3"),
    ("mp4", "mpeg4", "aac"),
    ("mp4", "libx265", "aac"),
]


@pytest.fixture(scope="module")
def play(browser):
    """A function from a file to the pictures that Chromium shows and their times, if it plays."""
    page = browser.new_page()
    page.set_content("<body></body>")

    def played(path: Path) -> list[tuple[float, np.ndarray]]:
        source = "data:video/mp4;base64," + base64.b64encode(path.read_bytes()).decode()
        pictures = page.evaluate(PLAY, source)
        opened = ((time, Image.open(io.BytesIO(base64.b64decode(content)))) for time, content in pictures)
        return [(time, np.asarray(image.convert("RGB"))) for time, image in opened]

    yield played
    page.close()


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_what_is_said_is_what_chromium_does(play, tmp_path, kind):
    path = tmp_path / f"x.{kind.suffix}"
    write(kind, path)
    numbers = [number_in(TURNS[kind.turn][1](image), kind.turn) for image in shown(path)]
    with av.open(str(path)) as container:
        stream = main_stream(container)
        stamps = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None)
        times = [float(stamp * stream.time_base) for stamp in stamps] if stamps else []
    pictures = play(path)
    right = {round(time, 2): number for time, number in zip(times[-len(numbers) :], numbers)}
    seen = [(right.get(round(time, 2)), number_in(image, kind.turn)) for time, image in pictures]
    # on a busy machine some are drawn when the next one is shown already
    same = len(seen) > 5 and np.mean([expected == number for expected, number in seen]) > 0.8
    assert plays_in_browser(path) == same, seen


@pytest.mark.parametrize("suffix", NAMED_MP4)
def test_a_name_changes_nothing(play, tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    write(Kind("h264", suffix, 60), path)
    named = path.rename(tmp_path / "x.mp4")
    assert plays_in_browser(named) == bool(play(named)) == (suffix == "mkv")


@pytest.mark.parametrize(
    ("encoder", "suffix", "pixels"),
    [(*made, name) for made, names in PIXELS.items() for name in names.split()],
)
def test_pixel_formats(play, tmp_path, encoder, suffix, pixels):
    frames = np.stack([paint(number) for number in range(20)])
    frames[..., 2] //= 2  # yellow
    path = write_with(tmp_path / f"x.{suffix}", encoder, pixels, frames)
    pictures = [image.astype(int) for _, image in play(path)]
    means = [(image[..., :2].mean(), image[..., 2].mean()) for image in pictures]
    yellowness = [1 - blue / others for others, blue in means]
    right = [abs(found - (0 if pixels == "gray" else 0.5)) < 0.1 for found in yellowness]
    assert plays_in_browser(path) == (bool(right) and all(right)), yellowness


@pytest.mark.parametrize(("suffix", "encoder", "sound"), SOUNDS)
def test_sound(play, tmp_path, suffix, encoder, sound):
    path = write_with_sound(tmp_path / f"x.{suffix}", encoder, sound, 50, 2.0)
    assert plays_in_browser(path) == bool(play(path)) == (encoder == "libx264")
