"""zsar_lab.data.prepare when things go wrong: kills, and files that are odd, broken, too large or endless."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from numbered_videos import (
    ONE,
    REPOSITORY,
    count_tasks,
    make_bad,
    make_dataset,
    numbered_frames,
    numbers_in,
    write_variable,
    write_with,
)

from zsar_lab.cli import main
from zsar_lab.data import catalog, frames
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.pixels import JpegFrames
from zsar_lab.data.prepare import Prepared, Source, make_catalog, prepare, summary
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits

SETTINGS = FrameSettings(n_frames=4, fps=4.0, size_px=24)
pytestmark = pytest.mark.long


@pytest.fixture
def six(tmp_path) -> Source:
    videos = {"hop": {f"{n}.mp4": 12 for n in range(3)}, "run": {f"{n}.mp4": 13 for n in range(3, 6)}}
    return Source("folder", str(make_dataset(tmp_path / "six", videos)), name="six")


def middle_numbers(n_frames: int) -> list[int]:
    """Four frames of a video of 12 frames a second, by hand: the middle second of it in quarters."""
    return [int((n_frames / 24 - 0.5 + (2 * k + 1) / 8) * 12 + 1e-6) for k in range(4)]


KILLED = """
import sys, time
from pathlib import Path
from zsar_lab.data import catalog

catalog.FLUSH_EVERY_S = 0.0
run_tasks = catalog.run_tasks

def two_then_wait(*arguments):
    for n, answer in enumerate(run_tasks(*arguments)):
        if n == 2:
            print("two", flush=True)
            time.sleep(60)
        yield answer

catalog.run_tasks = two_then_wait
from zsar_lab.data.prepare import Source, prepare
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits
source, settings = Source("folder", sys.argv[1], name="six"), FrameSettings(4, 4.0, 24)
prepare(source, Path(sys.argv[2]), settings, Limits(workers=1))
"""


def test_a_prepare_killed_while_it_opens_files_goes_on(six, tmp_path, monkeypatch):
    command = [sys.executable, "-c", KILLED, six.videos, str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout.readline() == b"two\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (tmp_path / "out" / "bad_clips.csv").exists()
    opened, stored = count_tasks(monkeypatch, catalog), count_tasks(monkeypatch, frames)
    resumed = prepare(six, tmp_path / "out", SETTINGS, ONE)
    assert (opened.total(), stored.total()) == (4, 6)
    assert (
        resumed.frames.ids == [f"hop/{n}" for n in range(3)] + [f"run/{n}" for n in range(3, 6)]
        and resumed.bad_clips.empty
    )
    for clip_id, clip in zip(resumed.frames.ids, resumed.frames.frames, strict=True):
        assert numbers_in(clip) == middle_numbers(12 if clip_id.startswith("hop") else 13)


def write_large(path: Path) -> None:
    """Two frames of 7680 x 4320 pixels."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=5, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = 7680, 4320, "yuv420p"
        for _ in range(2):
            container.mux(
                stream.encode(
                    av.VideoFrame.from_ndarray(np.zeros((4320 * 3 // 2, 7680), np.uint8), format="yuv420p")
                )
            )
        container.mux(stream.encode())


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Prepared:
    """Two good clips among files that are odd, broken, too large or endless."""
    root, work = tmp_path_factory.mktemp("odd"), tmp_path_factory.mktemp("work")
    videos = {"good": {"a.mp4": 12, "b.mp4": 24}, "odd": {"one frame.mp4": 1, "new\nline.mp4": 2}}
    make_dataset(root, videos)
    for kind in ("text", "empty", "sound only", "still image", "cut off"):
        make_bad(work, kind).rename(root / "odd" / f"{kind}.mp4")
    write_variable(root / "odd" / "variable.mp4")
    write_large(root / "odd" / "large.mp4")
    os.mkfifo(root / "odd" / "pipe.mp4")
    # after the last frame 200 GB of zeros, which take minutes to read
    endless = write_with(root / "odd" / "endless.mpg", "mpeg1video", "yuv420p", numbered_frames(5))
    os.truncate(endless, 200 * 10**9)
    limits = Limits(workers=1, timeout_s=4.0, memory_mb=256)
    try:
        yield prepare(Source("folder", str(root)), work / "out", SETTINGS, limits)
    finally:
        endless.unlink()


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("text.mp4", "could not be decoded .* the file is damaged, cut off or no video$"),
        ("empty.mp4", r"it is empty \(0 bytes\)"),
        ("sound only.mp4", "it holds no video$"),
        ("still image.mp4", "it is a still image"),
        ("cut off.mp4", "is cut off"),
        ("new\\nline.mp4", r"a file name must be printable UTF-8, got 'new\\nline.mp4'; rename it"),
        (
            "large.mp4",
            "frames of 7680 x 4320 pixels need more memory than a worker may use|needs more than the 256 MB",
        ),
        ("pipe.mp4", "it is no regular file"),
        ("endless.mpg", "took longer than 4 s"),
    ],
)
def test_an_odd_file_is_listed_with_its_reason(odd, file, reason):
    bad = odd.bad_clips.set_index("path")
    # whether the first of the large frames still fits depends on the decoder
    assert bad.loc[f"odd/{file}", "status"] in ("unreadable",) + ("undecodable",) * (file == "large.mp4")
    assert bad["reason"].str.contains(reason)[f"odd/{file}"], bad.loc[f"odd/{file}", "reason"]


def test_odd_files_do_not_stop_the_rest(odd):
    assert (
        sorted(odd.frames.ids) == ["good/a", "good/b", "odd/one frame", "odd/variable"]
        and len(odd.bad_clips) == 9
    )
    clips = odd.catalog.usable.set_index("id").drop("odd/large", errors="ignore")
    assert clips.loc["odd/one frame", ["frames", "remark"]].tolist() == [1, "it has one frame"]
    assert clips["variable_rate"].to_dict() == {
        "good/a": False,
        "good/b": False,
        "odd/one frame": False,
        "odd/variable": True,
    }
    single, variable = (odd.frames.frames[row] for row in odd.frames.rows(["odd/one frame", "odd/variable"]))
    assert numbers_in(single) == [0] * 4
    # the middle second of its 5 s lies in the frames of 0.4 s, which begin at 1 s
    assert numbers_in(variable) == [10 + int((t - 1) / 0.4) for t in (2.125, 2.375, 2.625, 2.875)]
    said = summary(odd)
    assert (
        f"{len(odd.catalog.usable)} usable clips of 2 classes; {len(odd.catalog.excluded)} unreadable."
        in said
    )
    assert (
        "1 clips have a variable frame rate and are read by their time stamps; 1 have another remark." in said
    )


def test_large_frames_are_read_where_the_memory_is_there(odd, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "large.mp4").symlink_to(odd.catalog.root / "odd" / "large.mp4")
    (tmp_path / "b" / "large.mp4").unlink()
    catalog = make_catalog(
        Source("folder", str(tmp_path)),
        tmp_path.parent / f"{tmp_path.name} out",
        Limits(workers=1, memory_mb=2000),
    )
    assert catalog.usable[["width", "height", "frames"]].to_numpy().tolist() == [[7680, 4320, 2]]


def test_the_command_makes_everything_from_nothing(six, tmp_path, capsys):
    out = tmp_path / "out"
    settings = ["--frames", "4", "--fps", "4", "--size", "24", "--workers", "1", "--jpeg-quality", "80"]
    assert main(["prepare", "folder", "--videos", six.videos, "--out", str(out), *settings]) == 0
    said = capsys.readouterr().out
    assert "six: 6 usable clips of 2 classes; nothing else." in said and "JPEG of quality 80" in said
    pages = {"catalog_report.csv", "catalog_report.html", "bad_clips.csv"}
    assert {path.name for path in out.iterdir()} == {"catalog", "frames", "source.json"} | pages
    jpeg = FrameStore.open(out / "frames")
    assert isinstance(jpeg.frames, JpegFrames) and jpeg.settings == FrameSettings(4, 4.0, 24, 80)
    for clip_id, clip in zip(jpeg.ids, jpeg.frames, strict=True):
        assert numbers_in(clip) == middle_numbers(12 if clip_id.startswith("hop") else 13)
