"""zsar_lab.data.prepare and its command when things go wrong: kills, odd files, folders that do not fit, mistakes of the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest
from test_catalog import make_dataset
from test_prepare import ONE, SETTINGS, avi, command, count_tasks, mp4, put, written  # noqa: F401  (avi, mp4 and written are fixtures)
from test_video import make_bad, numbered_frames, numbers_in, write_variable, write_with

from zsar_lab.data import catalog as probing
from zsar_lab.data import frames
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.pixels import JpegFrames
from zsar_lab.data.prepare import Prepared, Source, make_catalog, prepare, summary
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits

pytestmark = pytest.mark.long


@pytest.fixture
def six(tmp_path) -> Source:
    videos = {"hop": {f"{n}.mp4": 12 for n in range(3)}, "run": {f"{n}.mp4": 13 for n in range(3, 6)}}
    return Source("folder", str(make_dataset(tmp_path / "six", videos)), name="six")


def middle_numbers(n_frames: int) -> list[int]:
    """The four frames that stand for a video of 12 frames a second, by hand: the middle second of it in quarters."""
    return [int((n_frames / 24 - 0.5 + (2 * k + 1) / 8) * 12 + 1e-6) for k in range(4)]


KILLED = """
import importlib, sys, time
from pathlib import Path

module = importlib.import_module(sys.argv[1])
module.FLUSH_EVERY_S = 0.0
run_tasks = module.run_tasks

def two_then_wait(*arguments):
    for n, answer in enumerate(run_tasks(*arguments)):
        if n == 2:
            print("two", flush=True)
            time.sleep(60)
        yield answer

module.run_tasks = two_then_wait
from zsar_lab.data.prepare import Source, prepare
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits
prepare(Source("folder", sys.argv[2], name="six"), Path(sys.argv[3]), FrameSettings(4, 4.0, 24), Limits(workers=1))
"""


@pytest.mark.parametrize(("module", "n_opened", "n_decoded"), [("catalog", 4, 6), ("frames", 0, 4)])
def test_a_killed_prepare_goes_on(six, tmp_path, monkeypatch, module, n_opened, n_decoded):
    command = [sys.executable, "-c", KILLED, f"zsar_lab.data.{module}", six.videos, str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    ) as process:
        assert process.stdout.readline() == b"two\n"
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (tmp_path / "out" / "bad_clips.csv").exists()
    opened, stored = count_tasks(monkeypatch, probing), count_tasks(monkeypatch, frames)
    resumed = prepare(six, tmp_path / "out", SETTINGS, ONE)
    assert (opened.total(), stored.total()) == (n_opened, n_decoded)
    assert (
        resumed.frames.ids == [f"hop/{n}" for n in range(3)] + [f"run/{n}" for n in range(3, 6)]
        and resumed.bad_clips.empty
    )
    for clip_id, clip in zip(resumed.frames.ids, resumed.frames.frames, strict=True):
        assert numbers_in(clip) == middle_numbers(12 if clip_id.startswith("hop") else 13)


def test_an_output_folder_among_the_videos_is_refused(six):
    with pytest.raises(
        ValueError,
        match="the output folder must not lie among the videos, '.*/hop/out' lies in '.*'; choose another",
    ):
        make_catalog(six, Path(six.videos) / "hop" / "out", ONE)


@pytest.mark.parametrize("place", ["file/out", "/proc/zsar_lab"])
def test_an_output_folder_that_cannot_be_written(six, tmp_path, place):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        PermissionError,
        match=rf"the output folder must be writable, got '.*{place}' .*; choose another folder",
    ):
        prepare(six, tmp_path / place, SETTINGS, ONE)


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
def odd(tmp_path_factory, mp4) -> Prepared:
    """Two good clips among files that are odd, broken, too large or endless."""
    root, work = tmp_path_factory.mktemp("odd"), tmp_path_factory.mktemp("work")
    make_dataset(root, {"good": {"a.mp4": 12, "b.mp4": 24}, "odd": {"one frame.mp4": 1}})
    put(work / "good.mp4", mp4)
    for kind in ("text", "empty", "sound only", "still image"):
        make_bad(work, kind, work / "good.mp4").rename(root / "odd" / f"{kind}.mp4")
    put(root / "odd" / "cut.mp4", mp4[: len(mp4) // 2])
    put(root / "odd" / "new\nline.mp4", mp4)
    write_variable(root / "odd" / "variable.mp4")
    write_large(root / "odd" / "large.mp4")
    os.mkfifo(root / "odd" / "pipe.mp4")
    # after the last frame 200 GB of nothing, through which the demuxer goes looking for another: it hangs for
    # minutes
    endless = write_with(root / "odd" / "endless.mpg", "mpeg1video", "yuv420p", numbered_frames(5))
    os.truncate(endless, 200 * 10**9)
    try:
        yield prepare(
            Source("folder", str(root)),
            work / "out",
            SETTINGS,
            Limits(workers=1, timeout_s=4.0, memory_mb=256),
        )
    finally:
        endless.unlink()


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("text.mp4", "could not be decoded .* the file is damaged, cut off or no video$"),
        ("empty.mp4", r"it is empty \(0 bytes\)"),
        ("sound only.mp4", "it holds no video stream"),
        ("still image.mp4", "it is a still image"),
        ("cut.mp4", "cut off"),
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
    assert command("folder", "--videos", six.videos, "--out", tmp_path / "out", "--jpeg-quality", 80) == 0
    said = capsys.readouterr().out
    assert "six: 6 usable clips of 2 classes; nothing else." in said
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {
        "catalog",
        "frames",
        "catalog_report.csv",
        "catalog_report.html",
        "plotly.min.js",
        "bad_clips.csv",
        "source.json",
    }
    jpeg = FrameStore.open(tmp_path / "out" / "frames")
    assert (
        isinstance(jpeg.frames, JpegFrames)
        and jpeg.settings == FrameSettings(4, 4.0, 24, 80)
        and "JPEG of quality 80" in said
    )
    for clip_id, clip in zip(jpeg.ids, jpeg.frames, strict=True):
        assert numbers_in(clip) == middle_numbers(12 if clip_id.startswith("hop") else 13)


def _headless(folder: Path) -> tuple:
    put(folder / "train.csv", "archery,youtube_id_1,0,10,train\n")
    return "kinetics400", folder, folder


def _cut(folder: Path) -> tuple:
    put(folder / "activity_net.v1-3.min.json", '{"version": "VERSION 1.3", "database": {"a": {"subset"')
    return "activitynet", folder, folder


# what makes the arguments out of the written sources and a folder, and the sentence that follows
MISTAKES: dict[str, tuple[Callable, str]] = {
    "unknown dataset": (lambda s, f: ("ucf", f, f), "dataset must be one of folder, ucf101, .*, got 'ucf'"),
    "wrong annotations": (
        lambda s, f: ("ucf101", s["ucf101"].videos, s["hmdb51"].annotations),
        "it looks like the annotations of HMDB51; give",
    ),
    "csv without header": (
        lambda s, f: _headless(f),
        "train.csv' must begin with a header that has youtube_id, time_start, time_end",
    ),
    "json cut short": (
        lambda s, f: _cut(f),
        "must be a whole json file, .*; it is damaged or cut short, so get it again",
    ),
    "no annotations": (
        lambda s, f: ("ucf101", s["ucf101"].videos, None),
        "the dataset 'ucf101' needs the folder of its official annotation files",
    ),
    "annotations absent": (
        lambda s, f: ("ucf101", s["ucf101"].videos, f / "no"),
        "there is no folder '.*no'; give the folder that holds the anno",
    ),
    "annotations empty": (
        lambda s, f: ("ucf101", s["ucf101"].videos, f),
        "must hold the annotation files of UCF101 .*, but there are none; give",
    ),
    "videos absent": (
        lambda s, f: ("ucf101", f / "no", s["ucf101"].annotations),
        "there is no folder '.*no'; give the folder above the class",
    ),
    "other videos": (
        lambda s, f: ("ucf101", s["folder"].videos, s["ucf101"].annotations),
        "must hold videos of ucf101, such as '.*', got .* files",
    ),
    "annotations of a folder": (
        lambda s, f: ("folder", s["folder"].videos, f),
        "the dataset 'folder' has no annotation files, got annotations",
    ),
    "JPEG quality": (
        lambda s, f: ("folder", s["folder"].videos, None, "--jpeg-quality", 101),
        r"jpeg_quality must be .* in 1..100, .* got 101",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_ends_in_one_sentence_and_status_2(written, tmp_path, capsys, mistake):
    make, sentence = MISTAKES[mistake]
    dataset, videos, annotations, *more = make(
        {name: source for name, (source, _) in written.items()}, tmp_path / "given"
    )
    (tmp_path / "given").mkdir(exist_ok=True)
    given = ["--annotations", annotations] if annotations else []
    assert command(dataset, "--videos", videos, *given, "--out", tmp_path / "out", *more) == 2
    said = capsys.readouterr().err.strip()
    assert len(said.splitlines()) == 1 and pd.Series([said]).str.contains(sentence).all(), said
    assert not (tmp_path / "out" / "source.json").exists()


def test_a_prepared_folder_that_holds_its_videos_can_be_moved(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    make_dataset(here / "videos", {"hop": {"a.mp4": 12}, "run": {"b.mp4": 12}})
    before = make_catalog(Source("folder", str(here / "videos")), here)
    here.rename(there)
    moved = make_catalog(Source("folder", str(there / "videos")), there)
    assert moved.root == there / "videos" and moved.fingerprint == before.fingerprint
    with pytest.raises(
        ValueError, match="holds clips with videos '.*there/videos', got '.*six'; choose another folder"
    ):
        make_catalog(Source("folder", str(tmp_path / "six")), there)
