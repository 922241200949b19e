"""Memory stays flat: over thousands of opened and decoded files, and in the process that makes a frame store, whatever its size.

Each check runs in a process of its own, which prints what it holds; numbers of the test process itself would
mix with other tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is read from /proc"),
    pytest.mark.long,
]

HELD = """
import json, os, sys
from pathlib import Path

def held():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    own_mb, all_mb = (int(status[name].split()[0]) * 1.024 / 1e3 for name in ("RssAnon", "VmRSS"))  # without and with pages of libraries
    return {"own_mb": own_mb, "all_mb": all_mb, "files": len(os.listdir("/proc/self/fd")), "threads": len(os.listdir("/proc/self/task"))}
"""

OPEN_AND_DECODE = (
    HELD
    + """
from dataclasses import asdict
import numpy as np
from zsar_lab.data.frames import FrameSettings
from zsar_lab.data.pixels import store_clip
from zsar_lab.data.video import probe_clip

os.fsync = lambda file: None  # the disk is not what is looked at
paths, store, n_rounds = [Path(path) for path in sys.argv[2:]], Path(sys.argv[1]), 1000
np.save(store / "frames.npy", np.zeros((1, 2, 16, 16, 3), dtype=np.uint8))
settings = [FrameSettings(2, 5.0, 16), FrameSettings(2, 5.0, 16, 90)]
for number in range(n_rounds):
    path = str(paths[number % len(paths)])
    found = probe_clip({"path": path})
    clip = {"start_s": 0.0, "end_s": 0.4, "frames": found["n_frames"], "fps": found["fps"], "variable_rate": found["variable_rate"]}
    store_clip(clip | {"path": path, "store": str(store), "row": 0, "settings": asdict(settings[number // len(paths) % 2])})
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
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(json.dumps({"peak_mb": int(status["VmHWM"].split()[0]) / 1e3 * 1.024, "pixels_mb": store.frames.nbytes / 1e6, "clips": len(store)}))
"""
)


def write_video(path: Path, codec: str, n_frames: int = 10) -> Path:
    noise = np.random.default_rng(0).integers(0, 256, (n_frames, 48, 64, 3), dtype=np.uint8)
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in noise:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


def lines_of(program: str, *arguments: Path) -> list[dict]:
    """What a program prints, a json line each."""
    # one heap for all threads: otherwise it is chance when the C library makes another, of some MB
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "MALLOC_ARENA_MAX": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_two_thousand_opened_files_leave_no_memory_file_or_thread_behind(tmp_path):
    # 1,000 times probed and 1,000 times decoded, in one process; held readers would cost 4 MB, a file and a
    # thread each
    videos = [
        write_video(tmp_path / "a.avi", "mpeg4"),
        write_video(tmp_path / "b.mp4", "libx264"),
        write_video(tmp_path / "c.mp4", "mpeg4"),
    ]
    held = lines_of(OPEN_AND_DECODE, tmp_path, *videos)
    assert len(held) == 8
    after_500, after_1000, after_2000 = held[1], held[3], held[7]
    # before, the heap finds its size; pages of libraries are left out, for they come and go with what else
    # the machine does
    assert after_2000["own_mb"] <= after_1000["own_mb"] + 3, [step["own_mb"] for step in held]
    assert {key: after_2000[key] for key in ("files", "threads")} == {
        key: after_500[key] for key in ("files", "threads")
    }


def test_the_process_that_makes_a_frame_store_holds_none_of_its_pixels(tmp_path):
    video = write_video(tmp_path / "one.mp4", "libx264")
    for number in range(60):
        path = tmp_path / "videos" / f"class_{number % 3}" / f"{number}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        os.link(video, path)
    before, after = lines_of(MAKE_STORE, tmp_path / "videos", tmp_path / "frames")
    assert after["clips"] == 60 and after["pixels_mb"] > 50
    assert after["peak_mb"] <= before["all_mb"] + 30, (before, after)  # 13 MB of it are modules and threads
