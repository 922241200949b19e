"""Memory stays flat: over thousands of opened files, and in the process that makes a frame store of any size.

Each check runs in a process of its own, which prints what it holds; numbers of the test process itself would
mix with other tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from numbered_videos import HELD, lines_of, write_with

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc"),
    pytest.mark.long,
]

SLOW = bool(os.environ.get("ZSAR_LAB_SLOW"))
N_FILES = 2000 if SLOW else 200
KINDS = [
    ("avi", "mpeg4"),
    ("mp4", "libx264"),
    ("mkv", "mjpeg"),
    ("mp4", "mpeg4"),
    ("mov", "libx264"),
    ("mpg", "mpeg2video"),
]

# probes and decodes each file of a folder in this process, by either reader in turn
HERE = (
    HELD
    + """
from zsar_lab.data.video import READERS, probe, read_frames

paths = sorted(Path(sys.argv[1]).iterdir())
for number, path in enumerate(paths, 1):
    n = probe(path).n_frames
    read_frames(path, [n - 1, 0, n // 2], 32, READERS[number % 2])
    if number % (len(paths) // 10) == 0:
        print(json.dumps(held()), flush=True)
"""
)
# the same in a worker process, as windows of own videos are read
IN_A_WORKER = (
    HELD
    + """
from contextlib import suppress
from zsar_lab.data.reading import read_windows
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.workers import Limits

def worker():
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(FileNotFoundError, ProcessLookupError):  # it may end meanwhile
            if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1]) == os.getpid():
                return entry.name

paths = sorted(map(str, Path(sys.argv[1]).iterdir()))
for number, windows in enumerate(read_windows(paths, FrameSettings(4, 8.0, 32), limits=Limits(workers=1)), 1):
    assert not windows.reason, windows.reason
    if number % (len(paths) // 10) == 0 and number < len(paths):
        print(json.dumps(held(worker()) | {"worker": worker()}), flush=True)
"""
)

MAKE_STORE = (
    HELD
    + """
from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.frames import FrameSettings, make_frame_store

catalog = catalog_dataset("folder", Path(sys.argv[1]))
print(json.dumps(held()))
store = make_frame_store(catalog, Path(sys.argv[2]), FrameSettings(16, 8.0, 144))
print(json.dumps(held() | {"pixels_mb": store.frames.nbytes / 1e6, "clips": len(store)}))
"""
)
NOISE = np.random.default_rng(0).integers(0, 256, (10, 48, 64, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def many_files(tmp_path_factory) -> Path:
    """Small files of other codecs, sizes and pictures each."""
    folder, random = tmp_path_factory.mktemp("many"), np.random.default_rng(0)
    for number in range(N_FILES):
        suffix, codec = KINDS[number % len(KINDS)]
        n_frames, height, width = random.integers((4, 16, 16), (16, 64, 64)) * (1, 2, 2)
        images = random.integers(0, 256, (n_frames, height, width, 3), dtype=np.uint8)
        write_with(
            folder / f"{number:04d}.{suffix}", codec, "yuvj420p" if codec == "mjpeg" else "yuv420p", images
        )
    return folder


@pytest.mark.parametrize("program", [HERE, IN_A_WORKER], ids=["here", "in a worker"])
def test_many_files_leave_no_memory_file_or_thread_behind(many_files, program):
    held = lines_of(program, many_files)  # held readers would cost 4 MB, a file and a thread each
    print([round(step["all_mb"], 1) for step in held])
    # before the half the heap finds its size
    assert held[-1]["own_mb"] <= held[4]["own_mb"] + 3, [step["own_mb"] for step in held]
    assert len({step.get("worker") for step in held}) == 1  # it was not ended for what it holds
    for key in ("files", "threads"):  # a worker may have one open meanwhile
        assert held[-1][key] <= held[1][key] + 1


def test_the_process_that_makes_a_frame_store_holds_none_of_its_pixels(tmp_path):
    video = write_with(tmp_path / "one.mp4", "libx264", "yuv420p", NOISE)
    for number in range(60):
        path = tmp_path / "videos" / f"class_{number % 3}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(video, path)
    before, after = lines_of(MAKE_STORE, tmp_path / "videos", tmp_path / "frames")
    assert after["clips"] == 60 and after["pixels_mb"] > 50
    assert after["peak_mb"] <= before["all_mb"] + 30, (before, after)  # 13 MB of it are modules and threads
