"""Cataloging whole datasets, every file opened, against a plain loop that opens the same files.

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
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import decord
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "fixtures"))

from official_files import write_hmdb51, write_kinetics, write_ucf101

from zsar_lab.data.datasets import class_list, read_annotations
from zsar_lab.data.datasets.layout import match_videos
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
    _, find_s = timed(lambda: match_videos(annotations, videos))
    before, before_mb = os.times(), peak_mb()
    source = Source(dataset, str(videos), str(folder))
    catalog, total_s = timed(lambda: make_catalog(source, folder / "work", limits))
    own_s, workers_s = (sum(os.times()[at : at + 2]) - sum(before[at : at + 2]) for at in (0, 2))
    assert len(catalog.usable) == len(paths), catalog.clips["status"].value_counts()
    ours, plain = len(paths) / total_s, len(loop) / loop_s
    load = os.getloadavg()[0]
    print(f"  load {load:.1f}; {limits.workers} workers; peak {peak_mb():.0f} MB ({before_mb:.0f} before)")
    print(f"  annotations {read_s:.2f} s; files found {find_s:.2f} s; all, files opened: {total_s:.2f} s")
    print(f"  on the processors: this process {own_s:.2f} s, workers {workers_s:.2f} s")
    print(f"  make_catalog, {len(paths):,} files: {ours:.0f} files/s")
    print(
        f"  decord in a plain loop, {len(loop):,} files: {plain:.0f} files/s; ratio {ours / plain:.2f}x",
        flush=True,
    )


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    return call(), time.perf_counter() - started


def open_plainly(path: Path) -> tuple:
    video = decord.VideoReader(str(path), ctx=decord.cpu(0), num_threads=1)
    return len(video), video.get_avg_fps(), video[0].shape


def peak_mb() -> float:
    """The largest resident memory of this process so far; 0 where /proc does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), 0.0)


if __name__ == "__main__":
    main()
