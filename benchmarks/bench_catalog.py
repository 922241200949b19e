"""Cataloging whole datasets: annotations read, files found and every file opened, against a plain loop that opens the same files.

    python benchmarks/bench_catalog.py [--workers 2] [--video tiny|real] [--loop-files 5000]
    python benchmarks/bench_catalog.py --files 100000

Writes the trees of UCF101 (13,320 videos) and HMDB51 (6,766), or with --files a Kinetics-400 tree of so many,
in the official shape; the videos are hard links of one real file: 12 frames of 64 x 48, or with --video real
180 frames of 320 x 240. The plain loop is one process that opens each file with decord and asks for its
length, rate and the size of its first frame, which is what a catalog needs. Everything is in the page cache.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import decord
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from official_files import write_hmdb51, write_kinetics, write_ucf101

from zsar_lab.data.datasets import class_list, read_annotations
from zsar_lab.data.prepare import Source, make_catalog
from zsar_lab.data.workers import Limits

VIDEOS = {"tiny": (64, 48, 12), "real": (320, 240, 180)}  # width, height, frames


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--files", type=int, help="catalog a Kinetics-400 tree of about so many files instead (400 or more)"
    )
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--video", choices=VIDEOS, default="tiny", help="what each file holds")
    parser.add_argument(
        "--loop-files", type=int, default=5000, help="the plain loop opens so many files at most"
    )
    options = parser.parse_args()
    for dataset in ["kinetics400"] if options.files else ["ucf101", "hmdb51"]:
        with tempfile.TemporaryDirectory() as folder:
            paths = write_dataset(dataset, Path(folder), *VIDEOS[options.video], options.files)
            measure(dataset, Path(folder), paths, Limits(options.workers), options.loop_files)


def write_dataset(
    dataset: str, folder: Path, width: int, height: int, n_frames: int, n_files: int | None
) -> list[str]:
    suffix, codec = ("mp4", "libx264") if dataset == "kinetics400" else ("avi", "mpeg4")
    video = make_video(folder / f"stand_in.{suffix}", codec, width, height, n_frames)
    print(
        f"{dataset}: each file {n_frames} frames of {width} x {height}, {len(video) / 1e3:.0f} kB", flush=True
    )
    if dataset == "kinetics400":
        classes = class_list(dataset)["name"].tolist()
        return write_kinetics(folder, max(1, n_files // len(classes)), classes, video, labelled_test=True)
    return (write_ucf101 if dataset == "ucf101" else write_hmdb51)(folder, video=video)


def make_video(path: Path, codec: str, width: int, height: int, n_frames: int) -> bytes:
    """A textured video that moves."""
    import av

    texture = (
        np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8).repeat(16, 0).repeat(16, 1)
    )
    with av.open(str(path), mode="w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for t in range(n_frames):
            image = np.ascontiguousarray(texture[t : t + height, t : t + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def measure(dataset: str, folder: Path, paths: list[str], limits: Limits, loop_files: int) -> None:
    videos = folder / "videos"
    loop = [videos / path for path in paths[:loop_files]]
    _, loop_s = timed(lambda: [open_plainly(path) for path in loop])
    annotations, read_s = timed(lambda: read_annotations(dataset, folder))
    _, find_s = timed(lambda: find_videos(annotations, videos))
    before_mb, own_s, workers_s = peak_mb("self"), *cpu_s()
    with WorkersPeak() as peak:
        catalog, total_s = timed(
            lambda: make_catalog(Source(dataset, str(videos), str(folder)), folder / "work", limits)
        )
    own_s, workers_s = (after - before for after, before in zip(cpu_s(), (own_s, workers_s), strict=True))
    assert len(catalog.usable) == len(paths), catalog.clips["status"].value_counts()
    ours, plain = len(paths) / total_s, len(loop) / loop_s
    print(f"  load {', '.join(f'{load:.1f}' for load in os.getloadavg())}; {limits.workers} workers")
    print(
        f"  annotations {read_s:6.2f} s    files found {find_s:6.2f} s    both, every file opened and tables saved: {total_s:6.2f} s"
    )
    print(f"  of it on the processors: this process {own_s:.2f} s, workers {workers_s:.2f} s")
    print(f"  make_catalog, {len(paths):,} files: {ours:8.0f} files/s")
    print(f"  decord in a plain loop, {len(loop):,} files: {plain:8.0f} files/s    ratio {ours / plain:.2f}x")
    print(
        f"  peak memory: this process {peak_mb('self'):.0f} MB ({before_mb:.0f} MB before), the largest worker {peak.mb:.0f} MB",
        flush=True,
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def cpu_s() -> tuple[float, float]:
    """Processor time so far, of this process and of its children that have ended."""
    found = os.times()
    return found.user + found.system, found.children_user + found.children_system


def open_plainly(path: Path) -> tuple:
    video = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    return len(video), video.get_avg_fps(), video[0].shape


def peak_mb(process: str) -> float:
    """The largest resident memory of a process so far; 0 where /proc does not tell (not Linux, or it has ended).

    Not the maxrss of getrusage: that of a child begins with the memory of the parent that started it.
    """
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0.0
    return next(
        (int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM")), 0.0
    )


class WorkersPeak(threading.Thread):
    """The largest resident memory of any child process, asked for four times a second."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.mb, self.left = 0.0, threading.Event()

    def __enter__(self) -> WorkersPeak:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.left.set()
        self.join()

    def run(self) -> None:
        while not self.left.wait(0.25):
            for children in Path("/proc/self/task").glob("*/children"):
                self.mb = max([self.mb, *(peak_mb(child) for child in children.read_text().split())])


if __name__ == "__main__":
    main()
