"""Memory stays flat: over thousands of opened files, and in the process that makes a frame store of any size.

Each check runs in a process of its own, which prints what it holds; numbers of the test process itself would
mix with other tests.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from numbered_videos import HELD, lines_of, write_with

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc"),
    pytest.mark.long,
]

OPEN_AND_DECODE = (
    HELD
    + """
from dataclasses import asdict
import numpy as np
from zsar_lab.data.pixels import store_clip
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.data.video import probe_clip

os.fsync = lambda file: None  # the disk is not what is looked at
paths, store, n_rounds = [Path(path) for path in sys.argv[2:]], Path(sys.argv[1]), 1000
np.save(store / "frames.npy", np.zeros((1, 2, 16, 16, 3), dtype=np.uint8))
settings = [FrameSettings(2, 5.0, 16), FrameSettings(2, 5.0, 16, 90)]
for number in range(n_rounds):
    task = {"path": str(paths[number % len(paths)]), "start_s": 0.0, "end_s": 0.4}
    task |= {"store": str(store), "row": 0}
    task |= probe_clip(task) | {"settings": asdict(settings[number // len(paths) % 2])}
    store_clip(task | {"frames": task["n_frames"]})
    if (number + 1) % 125 == 0:
        print(json.dumps(held()), flush=True)
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


def test_two_thousand_opened_files_leave_no_memory_file_or_thread_behind(tmp_path):
    # 1,000 times probed and decoded, in one process; held readers would cost 4 MB, a file and a thread each
    kinds = {"a.avi": "mpeg4", "b.mp4": "libx264", "c.mp4": "mpeg4"}
    videos = [write_with(tmp_path / name, codec, "yuv420p", NOISE) for name, codec in kinds.items()]
    held = lines_of(OPEN_AND_DECODE, tmp_path, *videos)
    assert len(held) == 8
    # before the half the heap finds its size
    assert held[7]["own_mb"] <= held[3]["own_mb"] + 3, [step["own_mb"] for step in held]
    assert [held[7][key] for key in ("files", "threads")] == [held[1][key] for key in ("files", "threads")]


def test_the_process_that_makes_a_frame_store_holds_none_of_its_pixels(tmp_path):
    video = write_with(tmp_path / "one.mp4", "libx264", "yuv420p", NOISE)
    for number in range(60):
        path = tmp_path / "videos" / f"class_{number % 3}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(video, path)
    before, after = lines_of(MAKE_STORE, tmp_path / "videos", tmp_path / "frames")
    assert after["clips"] == 60 and after["pixels_mb"] > 50
    assert after["peak_mb"] <= before["all_mb"] + 30, (before, after)  # 13 MB of it are modules and threads
