"""zsar_lab.data.reading: frames against the frame store's and against readings of their own; mishaps cost what they must; nothing is left behind."""

from __future__ import annotations

import json
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
    HELD,
    REPOSITORY,
    lines_of,
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
MANY_WINDOWS = WindowSettings(
    stride_s=0.01, whole_up_to_s=0.0
)  # of so many that a video of 5 s is read in two runs


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    """Six videos of 2.5 to 5.9 seconds in two class folders: mp4, avi with B-frames, mpg, and one with a variable frame rate."""
    root = tmp_path_factory.mktemp("reading") / "videos"
    for name in ("hop", "run"):
        (root / name).mkdir(parents=True)
    write_mp4(root / "hop" / "long.mp4", numbered_frames(60, 64, 64), fps=12)
    write_mp4(root / "hop" / "wide.mp4", numbered_frames(48, 64, 96), fps=15)
    write_with(root / "hop" / "plain.avi", "mpeg4", "yuv420p", numbered_frames(63, 96, 80))
    write_with_b_frames(root / "run" / "old.avi", "mpeg4", 2)
    write_with_b_frames(root / "run" / "old.mpg", "mpeg2video", 2)
    write_variable(root / "run" / "uneven.mp4")
    return root


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


def paths_of(root: Path) -> list[str]:
    return sorted(str(path) for path in root.rglob("*.*"))


def check_item(item: ReadWindows, paths: list[str]) -> None:
    assert item.path == paths[item.video] and item.frames_VTHWC.dtype == np.uint8
    assert item.frames_VTHWC.shape[1:] == (6, 64, 64, 3) and item.start_s.shape == item.end_s.shape
    assert item.reason or len(item.start_s) == len(item.frames_VTHWC) > 0


def test_a_short_video_has_the_frames_of_the_frame_store(videos, tmp_path, here):
    store = make_frame_store(catalog_dataset("folder", videos), tmp_path / "frames", SETTINGS)
    expected = {
        clip_id.split("/")[1]: frames for clip_id, frames in zip(store.ids, store.frames, strict=True)
    }
    paths, seen = paths_of(videos), []
    for item in read_windows(paths, SETTINGS):
        check_item(item, paths)
        name = Path(item.path).name
        assert (item.frames_VTHWC == expected[name if name in expected else Path(name).stem][None]).all()
        assert (item.first, item.n_windows, item.reason) == (0, 1, "")
        assert bool(item.remark) == (item.duration_s > 2)  # twice what is looked at
        info = probe_clip({"path": item.path})
        assert item.start_s.tolist() == [0] and item.end_s.tolist() == [item.duration_s] == [
            info["n_frames"] / info["fps"]
        ]
        seen.append(item.video)
    assert sorted(seen) == list(range(6)) and not list(here.iterdir())


def test_each_window_of_a_longer_video_is_what_a_reading_of_its_own_gives(videos):
    settings, paths = WindowSettings(whole_up_to_s=2.0), paths_of(videos)
    for item in read_windows(paths, SETTINGS, settings):
        check_item(item, paths)
        info = probe_clip({"path": item.path})
        windows, _ = windows_of(info["n_frames"] / info["fps"], SETTINGS, settings)
        assert (
            item.n_windows == len(windows) > 2
            and np.stack([item.start_s, item.end_s], axis=1).tolist() == windows.tolist()
        )
        for frames_THWC, (start_s, end_s) in zip(item.frames_VTHWC, windows.tolist(), strict=True):
            clip = {"path": item.path, "start_s": start_s, "end_s": end_s, "frames": info["n_frames"]} | info
            assert (frames_THWC == square_frames(clip, SETTINGS)).all()


def test_a_long_video_comes_in_runs_after_the_others(videos):
    paths = [
        str(videos / "hop/long.mp4"),
        str(videos / "run/old.avi"),
        str(videos / "hop/gone.mp4"),
        str(videos / "hop/wide.mp4"),
    ]
    settings = WindowSettings(
        stride_s=0.01, whole_up_to_s=2.6
    )  # the second is whole, the first and the last have 401 and 221 windows
    items = list(read_windows(paths, SETTINGS, settings, Limits(workers=1)))
    assert [(item.video, item.first, len(item.frames_VTHWC)) for item in items] == [
        (1, 0, 1),
        (2, 0, 0),
        (3, 0, 221),
        (0, 0, 339),
        (0, 339, 62),
    ]
    assert [item.n_windows for item in items] == [1, 0, 221, 401, 401]
    starts_s = np.concatenate([item.start_s for item in items[3:]])
    assert starts_s == pytest.approx(np.arange(401) / 100) and items[4].duration_s == 5.0
    info = probe_clip({"path": paths[0]})
    for item, row in ((items[3], 338), (items[4], 0), (items[4], 61)):
        clip = {"path": paths[0], "start_s": item.start_s[row], "end_s": item.end_s[row], "frames": 60} | info
        assert (item.frames_VTHWC[row] == square_frames(clip, SETTINGS)).all()


def test_a_remark_goes_with_every_item_of_a_video(videos):
    (item,) = read_windows(
        [str(videos / "hop/long.mp4")], SETTINGS, WindowSettings(whole_up_to_s=1.0, most_windows=3)
    )
    assert item.start_s.tolist() == [0, 2, 4] and item.remark.startswith(
        "its 5 s are looked at in 3 windows of 1 s that start 2 s apart"
    )


def test_a_bad_file_is_one_sentence_and_the_rest_goes_on(videos, tmp_path, here):
    good, bad = videos / "hop" / "long.mp4", {}
    for kind in ("text", "empty", "cut off", "absent"):
        (tmp_path / kind).mkdir()
        bad[str(make_bad(tmp_path / kind, kind))] = kind
    paths = [*bad, str(good)]
    items = sorted(read_windows(paths, SETTINGS), key=lambda item: item.video)
    assert [len(item.frames_VTHWC) for item in items] == [0, 0, 0, 0, 1]
    for item, said in zip(
        items, ("could not be decoded", "is empty", "is cut off", "there is no such file", ""), strict=True
    ):
        check_item(item, paths)
        assert said in item.reason and "\n" not in item.reason
        assert not said or (
            f"'{item.path}'" in item.reason
            and (item.duration_s, item.n_windows, len(item.start_s)) == (0, 0, 0)
        )
    assert not list(here.iterdir())


@pytest.fixture
def odd_jobs(tmp_path, monkeypatch):
    """The jobs of reading, but that a video called crash or hang does that, and the second run of a video fails."""
    (tmp_path / "odd_reading.py").write_text(
        "import os, time\nfrom pathlib import Path\nfrom zsar_lab.data import reading\n"
        "def read_video(task):\n"
        "    name = Path(task['path']).stem\n"
        "    if name == 'crash':\n"
        "        Path(task['target']).write_bytes(b'half a file')\n"
        "        os.abort()\n"
        "    time.sleep(60 * (name == 'hang'))\n"
        "    return reading.read_video(task)\n"
        "def read_chunk(task):\n"
        "    if task['run'][0] > 0:\n"
        "        raise ValueError('damaged here')\n"
        "    return reading.read_chunk(task)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import odd_reading

    monkeypatch.setattr(reading, "read_video", odd_reading.read_video)
    monkeypatch.setattr(reading, "read_chunk", odd_reading.read_chunk)
    yield
    del sys.modules["odd_reading"]


def test_a_crash_a_hang_and_a_damaged_run_cost_what_they_must(videos, tmp_path, here, odd_jobs):
    for name in ("crash", "hang", "good"):
        os.link(videos / "hop" / "wide.mp4", tmp_path / f"{name}.mp4")
    paths = [
        str(tmp_path / "crash.mp4"),
        str(tmp_path / "hang.mp4"),
        str(videos / "hop/long.mp4"),
        str(tmp_path / "good.mp4"),
    ]
    settings = WindowSettings(stride_s=0.01, whole_up_to_s=3.3)
    items = sorted(
        read_windows(paths, SETTINGS, settings, Limits(timeout_s=3.0)),
        key=lambda item: (item.video, item.first),
    )
    assert [item.video for item in items] == [0, 1, 2, 2, 3]
    assert "ended its worker process" in items[0].reason and items[1].reason.endswith(
        "hang.mp4' took longer than 3 s"
    )
    failed = items[3]
    assert (failed.reason, failed.first, failed.n_windows, failed.duration_s, len(failed.frames_VTHWC)) == (
        "damaged here",
        339,
        401,
        5.0,
        0,
    )
    assert (failed.start_s[0], failed.end_s[-1]) == (pytest.approx(3.39), 5.0)
    assert [len(items[number].frames_VTHWC) for number in (2, 4)] == [339, 1]
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
    before = child_processes()
    with (
        pytest.raises(ZeroDivisionError),
        closing(read_windows([str(videos / "hop/long.mp4")] * 9, SETTINGS, MANY_WINDOWS)) as items,
    ):
        next(items)
        1 / 0  # noqa: B018
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
    with subprocess.Popen(
        [sys.executable, "-c", CTRL_C, *[str(videos / "hop/long.mp4")] * 9],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        (folder,) = tmp_path.iterdir()
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (
        b"KeyboardInterrupt" in said
        and not folder.exists()
        and not [number for number in workers if Path(f"/proc/{number}").exists()]
    )


READ_MANY = (
    HELD
    + """
from zsar_lab.data.reading import read_windows
from zsar_lab.data.sampling import FrameSettings

for number, item in enumerate(read_windows(sys.argv[1:] * 300, FrameSettings(6, 6.0, 64))):
    assert item.frames_VTHWC.shape == (1, 6, 64, 64, 3)
    if number % 100 == 99:
        print(json.dumps(held()), flush=True)
"""
)


def test_memory_does_not_grow_over_three_hundred_videos(videos, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    held = lines_of(READ_MANY, videos / "hop" / "long.mp4")
    assert len(held) == 3
    assert held[2]["own_mb"] <= held[0]["own_mb"] + 2, json.dumps(held)  # all frames together have 22 MB
    assert held[1]["files"] == held[0]["files"] and held[1]["threads"] == held[0]["threads"]
    assert not list(tmp_path.iterdir())


def test_one_path_instead_of_a_list_is_refused():
    with pytest.raises(ValueError, match="a list of video files, got 'a.mp4' alone"):
        read_windows("a.mp4", SETTINGS)


def test_no_path_gives_nothing(here):
    assert not list(read_windows([], SETTINGS)) and not list(here.iterdir())
