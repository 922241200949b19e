"""zsar_lab.data.reading: frames as in the frame store; mishaps cost what they must; nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import (
    ONE,
    REPOSITORY,
    make_bad,
    numbered_frames,
    write_variable,
    write_with,
    write_with_b_frames,
)

from zsar_lab.data import reading
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.frames import make_frame_store
from zsar_lab.data.pixels import square_frames
from zsar_lab.data.reading import ReadWindows, read_windows
from zsar_lab.data.sampling import FrameSettings, WindowSettings, windows_of
from zsar_lab.data.video import probe_clip, write_mp4
from zsar_lab.data.workers import Limits

pytestmark = pytest.mark.long

SETTINGS = FrameSettings(n_frames=6, fps=6.0, size_px=64)
MANY_WINDOWS = WindowSettings(stride_s=0.01, whole_up_to_s=0.0)  # a video of 5 s is read in two runs


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Six videos of 2.5 to 5.9 seconds in two class folders, two with B-frames and one of a variable rate."""
    root = tmp_path_factory.mktemp("reading") / "videos"
    write_mp4(root / "hop" / "long.mp4", numbered_frames(60, 64, 64), fps=12)
    write_mp4(root / "hop" / "wide.mp4", numbered_frames(48, 64, 96), fps=15)
    write_variable(root / "run" / "uneven.mp4")
    write_with(root / "hop" / "plain.avi", "mpeg4", "yuv420p", numbered_frames(63, 96, 80))
    write_with_b_frames(root / "run" / "old.avi", "mpeg4", 2)
    write_with_b_frames(root / "run" / "old.mpg", "mpeg2video", 2)
    return root


@pytest.fixture(scope="module")
def paths(videos) -> list[str]:
    return sorted(str(path) for path in videos.rglob("*.*"))


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The folder in which temporary folders are made, empty."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    return tmp_path / "temporary"


def child_processes() -> set[int]:
    """Their numbers. A thread of this process may end while its folder is looked at."""
    numbers = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):
            numbers |= {int(number) for number in (task / "children").read_text().split()}
    return numbers


def check_item(item: ReadWindows, paths: list[str]) -> None:
    assert item.path == paths[item.video] and item.frames_VTHWC.dtype == np.uint8
    assert item.frames_VTHWC.shape[1:] == (6, 64, 64, 3) and item.start_s.shape == item.end_s.shape
    assert item.reason or len(item.start_s) == len(item.frames_VTHWC) > 0


def check_windows(item: ReadWindows, rows: range) -> None:
    """The windows are those that a reading of their own gives."""
    info = probe_clip({"path": item.path})
    assert item.duration_s == info["n_frames"] / info["fps"]
    for row in rows:
        bounds = {"start_s": item.start_s[row], "end_s": item.end_s[row], "frames": info["n_frames"]}
        assert (item.frames_VTHWC[row] == square_frames(info | bounds | {"path": item.path}, SETTINGS)).all()


def test_a_short_video_has_the_frames_of_the_frame_store(videos, paths, tmp_path, here):
    catalog = catalog_dataset("folder", videos)
    store = make_frame_store(catalog, tmp_path / "frames", SETTINGS)
    path_of = catalog.usable.set_index("id")["path"]
    expected = {str(videos / path_of[clip]): store.frames[row] for row, clip in enumerate(store.ids)}
    seen = []
    for item in read_windows(paths, SETTINGS):
        check_item(item, paths)
        check_windows(item, range(1))
        assert (item.frames_VTHWC == expected[item.path][None]).all() and item.start_s.tolist() == [0]
        assert (item.first, item.n_windows, item.reason) == (0, 1, "")
        assert bool(item.remark) == (item.duration_s > 2)  # twice what is looked at
        seen.append(item.video)
    assert sorted(seen) == list(range(6)) and not list(here.iterdir())


def test_each_window_of_a_longer_video_is_what_a_reading_of_its_own_gives(paths):
    settings = WindowSettings(whole_up_to_s=2.0)
    for item in read_windows(paths, SETTINGS, settings):
        check_item(item, paths)
        windows, _ = windows_of(item.duration_s, SETTINGS, settings)
        assert item.n_windows == len(windows) > 2
        assert np.stack([item.start_s, item.end_s], axis=1).tolist() == windows.tolist()
        check_windows(item, range(len(windows)))


def test_a_long_video_comes_in_runs_after_the_others(videos):
    names = ["hop/long.mp4", "run/old.avi", "hop/gone.mp4", "hop/wide.mp4"]
    # the second is whole, the first and the last have 401 and 221 windows
    settings = WindowSettings(stride_s=0.01, whole_up_to_s=2.6)
    items = list(read_windows([str(videos / name) for name in names], SETTINGS, settings, ONE))
    found = [(item.video, item.first, len(item.frames_VTHWC), item.n_windows) for item in items]
    assert found == [(1, 0, 1, 1), (2, 0, 0, 0), (3, 0, 221, 221), (0, 0, 339, 401), (0, 339, 62, 401)]
    starts_s = np.concatenate([item.start_s for item in items[3:]])
    assert starts_s == pytest.approx(np.arange(401) / 100) and items[4].duration_s == 5.0
    check_windows(items[3], range(338, 339))
    check_windows(items[4], range(0, 62, 61))


def test_a_remark_goes_with_every_item_of_a_video(videos):
    settings = WindowSettings(whole_up_to_s=1.0, most_windows=3)
    (item,) = read_windows([str(videos / "hop/long.mp4")], SETTINGS, settings)
    assert item.start_s.tolist() == [0, 2, 4] and "in 3 windows of 1 s that start 2 s apart" in item.remark


def test_a_bad_file_is_one_sentence_and_the_rest_goes_on(videos, tmp_path, here):
    said = {
        "text": "could not be decoded",
        "empty": "is empty",
        "cut off": "is cut off",
        "absent": "no such file",
    }
    bad = []
    for kind in said:
        (tmp_path / kind).mkdir()
        bad.append(str(make_bad(tmp_path / kind, kind)))
    paths = [*bad, str(videos / "hop" / "long.mp4")]
    items = sorted(read_windows(paths, SETTINGS), key=lambda item: item.video)
    assert [len(item.frames_VTHWC) for item in items] == [0, 0, 0, 0, 1]
    for item, words in zip(items, [*said.values(), ""], strict=True):
        check_item(item, paths)
        assert words in item.reason and "\n" not in item.reason
    for item in items[:4]:
        assert f"'{item.path}'" in item.reason
        assert (item.duration_s, item.n_windows, len(item.start_s)) == (0, 0, 0)
    assert not list(here.iterdir())


# the jobs of reading, but that a video called crash or hang does that, and the second run of a video fails
ODD_READING = """
import os, time
from pathlib import Path
from zsar_lab.data import reading
def read_video(task):
    name = Path(task['path']).stem
    if name == 'crash':
        Path(task['target']).write_bytes(b'half a file')
        os.abort()
    time.sleep(60 * (name == 'hang'))
    return reading.read_video(task)
def read_chunk(task):
    if task['run'][0] > 0:
        raise ValueError('damaged here')
    return reading.read_chunk(task)
"""


@pytest.fixture
def odd_jobs(tmp_path, monkeypatch):
    (tmp_path / "odd_reading.py").write_text(ODD_READING)
    monkeypatch.syspath_prepend(tmp_path)
    import odd_reading

    for name in ("read_video", "read_chunk"):
        monkeypatch.setattr(reading, name, getattr(odd_reading, name))
    yield
    del sys.modules["odd_reading"]


def test_a_crash_a_hang_and_a_damaged_run_cost_what_they_must(videos, tmp_path, here, odd_jobs):
    paths = [str(tmp_path / f"{name}.mp4") for name in ("crash", "hang", "good")]
    for path in paths:
        os.link(videos / "hop" / "wide.mp4", path)
    paths.insert(2, str(videos / "hop/long.mp4"))
    settings = WindowSettings(stride_s=0.01, whole_up_to_s=3.3)
    items = list(read_windows(paths, SETTINGS, settings, Limits(timeout_s=3.0)))
    crash, hang, first, failed, good = sorted(items, key=lambda item: (item.video, item.first))
    assert "ended its worker process" in crash.reason and "hang.mp4' took longer than 3 s" in hang.reason
    assert (failed.reason, failed.first, failed.n_windows, failed.duration_s) == (
        "damaged here",
        339,
        401,
        5.0,
    )
    assert (failed.start_s[0], failed.end_s[-1]) == (pytest.approx(3.39), 5.0)
    assert [len(item.frames_VTHWC) for item in (first, failed, good)] == [339, 0, 1]
    assert not list(here.iterdir())


def test_workers_wait_until_windows_are_taken_and_go_when_nobody_wants_them(videos, here, monkeypatch):
    monkeypatch.setattr(reading, "AHEAD_FILES", 3)
    before = child_processes()
    with closing(read_windows([str(videos / "hop/wide.mp4")] * 60, SETTINGS)) as items:
        for _ in range(2):
            next(items)
            (folder,) = here.iterdir()
            deadline = time.monotonic() + 60
            while len(list(folder.iterdir())) < 3 and time.monotonic() < deadline:
                time.sleep(0.02)
            time.sleep(0.3)  # for as many more, if nothing held the workers back
            assert 3 <= len(list(folder.iterdir())) <= 4, "three, and what the second worker was at"
        assert child_processes() - before
    assert child_processes() <= before and not list(here.iterdir())


def test_an_error_of_who_takes_the_windows_ends_all(videos, here):
    before, many = child_processes(), [str(videos / "hop/long.mp4")] * 9
    items = read_windows(many, SETTINGS, MANY_WINDOWS)
    with pytest.raises(ZeroDivisionError), closing(items):
        next(items).first / 0
    assert child_processes() <= before and not list(here.iterdir())


CTRL_C = """
import sys, time
from zsar_lab.data.reading import read_windows
from zsar_lab.data.sampling import FrameSettings
for item in read_windows(sys.argv[1:], FrameSettings(6, 6.0, 64)):
    print(item.video, flush=True)
    time.sleep(60)
"""


def test_ctrl_c_leaves_nothing_behind(videos, tmp_path):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", CTRL_C, *[str(videos / "hop/long.mp4")] * 9]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, **pipes) as process:
        process.stdout.readline()
        (folder,) = tmp_path.iterdir()
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in said and not folder.exists()
    assert not [number for number in workers if Path(f"/proc/{number}").exists()]


def test_no_path_gives_nothing_and_one_alone_is_refused(here):
    assert not list(read_windows([], SETTINGS)) and not list(here.iterdir())
    with pytest.raises(ValueError, match="'a.mp4' alone"):
        read_windows("a.mp4", SETTINGS)
