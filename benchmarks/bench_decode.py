"""CPU seconds a clip: our reader, an earlier checkout of it, decord, PyAV, OpenCV and torchcodec.

    python benchmarks/bench_decode.py [--before CHECKOUT] [--rounds 3] [--frames 8 16 24] [--files VP9 HEVC]
                                       [--folder FOLDER]

Each file has ten seconds of a textured, moving scene (four at 1280 x 720), with a key frame every 12 or 250;
a clip is 8, 16 or 24 frames of its middle two seconds, the shorter side 112 pixels. Each reader is a process
of its own, on one thread; they take turns, and the least CPU time of the rounds counts. In brackets: the
time of the earlier checkout or the other reader over ours. "Other pixels" lie over 3 of 255 from ours: the
reader resizes in another way, gives other frames, or none (nan). Those not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

SIDE, FPS, CLIP_S, DISTANCES = 112, 30, 2, (12, 250)
# name: suffix, width, height, seconds, encoder, its options
FILES = {
    "H.264 340x256": ("mp4", 340, 256, 10, "libx264", {"crf": "23"}),
    "H.264 1280x720": ("mp4", 1280, 720, 4, "libx264", {"crf": "23"}),
    "MPEG-4 320x240, B-frames": ("avi", 320, 240, 10, "mpeg4", {"bf": "2", "b": "1000000"}),
    "VP9 340x256": ("webm", 340, 256, 10, "libvpx-vp9", {"b": "600000", "deadline": "realtime"}),
    "HEVC 340x256": ("mp4", 340, 256, 10, "libx265", {"crf": "26", "x265-params": "log-level=none"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="a checkout of an earlier version, such as 1a650de")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--frames", type=int, nargs="+", default=[8, 16, 24], help="frames a clip")
    parser.add_argument("--files", nargs="+", default=[""], help="only those with one of these words")
    parser.add_argument("--folder", type=Path, help="where the files are kept; by default they are deleted")
    parser.add_argument("--reader", help=argparse.SUPPRESS)  # a process of one reader
    options = parser.parse_args()
    if options.reader:
        serve(READERS[options.reader]())
        return
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(__file__).parents[1]
        sides = {"ours": here} | ({"before": options.before} if options.before else {})
        sides |= {name: here for name in READERS if name not in ("ours", "before")}
        readers = {name: Reader(name, path, Path(temporary)) for name, path in sides.items()}
        readers = {name: reader for name, reader in readers.items() if reader.version}
        print("; ".join(f"{name} {reader.version}" for name, reader in readers.items()))
        for name in (name for name in FILES if any(word in name for word in options.files)):
            for distance, path in made(options.folder or Path(temporary), name).items():
                for n_frames in options.frames:
                    what = f"{name}, key frame every {distance}, {n_frames} frames"
                    compare(what, path, n_frames, readers, options.rounds)


def made(folder: Path, name: str) -> dict[int, Path]:
    """A file for each distance of key frames, written unless it is there."""
    from bench_frame_store import encode, scene

    suffix, width, height, seconds, encoder, options = FILES[name]
    paths = {distance: folder / f"{name.replace(' ', '_')}_{distance}.{suffix}" for distance in DISTANCES}
    absent = {distance: path for distance, path in paths.items() if not path.is_file()}
    images = list(scene(0, width, height, seconds * FPS)) if absent else []
    for distance, path in absent.items():
        encode(path, images, (width, height), encoder, options | {"g": str(distance)})
    return paths


def compare(what: str, path: Path, n_frames: int, readers: dict[str, Reader], rounds: int) -> None:
    seconds = FILES[next(name for name in FILES if what.startswith(name))][3]
    middle = seconds * FPS // 2
    indices = np.linspace(middle - CLIP_S * FPS // 2, middle + CLIP_S * FPS // 2 - 1, n_frames).astype(int)
    times: dict[str, list[float]] = {name: [] for name in readers}
    frames = {name: reader.read(path, indices)[1] for name, reader in readers.items()}
    for _ in range(rounds):
        for name, reader in readers.items():
            times[name].append(reader.read(path, indices)[0])
    ours, said = min(times["ours"]), []
    for name, found in times.items():
        same = frames[name].shape == frames["ours"].shape
        same = same and np.abs(frames[name].astype(int) - frames["ours"]).mean((1, 2, 3)).max() <= 3
        ratio = "" if name == "ours" else f" ({min(found) / ours:.2f}x)"
        said.append(f"{name} {1e3 * min(found):.0f}{ratio}" + ("" if same else " other pixels"))
    print(f"{what}: ms " + ", ".join(said), flush=True)


class Reader:
    """A process that reads with one of the readers."""

    def __init__(self, name: str, checkout: Path, folder: Path, python: str = sys.executable) -> None:
        self.target = folder / f"{name}.npy"
        on_one_thread = {"OMP_NUM_THREADS": "1", "OPENCV_FFMPEG_THREADS": "1"}
        environment = os.environ | on_one_thread | {"PYTHONPATH": str(checkout)}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        command = [python, __file__, "--reader", name]
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)
        self.version = self.process.stdout.readline().strip()  # "" where it is not installed

    def read(self, path: Path, indices: np.ndarray) -> tuple[float, np.ndarray]:
        """CPU seconds, and the frames; nan, and none, where the reader raised."""
        task = {"path": str(path), "indices": indices.tolist(), "target": str(self.target)}
        self.process.stdin.write(json.dumps(task) + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline().strip()
        if not said.startswith("read "):
            return float("nan"), np.zeros(0)
        return float(said.removeprefix("read ")), np.load(self.target)


def serve(reader: tuple[str, Callable[[str, list[int], tuple[int, int]], Any]]) -> None:
    version, read = reader
    print(version, flush=True)
    for line in sys.stdin:
        task = json.loads(line)
        started = time.process_time()
        try:
            frames = np.asarray(read(task["path"], task["indices"]))
        except Exception as error:
            print(f"{type(error).__name__}: {' '.join(str(error).split())}", flush=True)
            continue
        seconds = time.process_time() - started
        np.save(task["target"], frames)
        print(f"read {seconds}", flush=True)


def sized(width: int, height: int) -> tuple[int, int]:
    scale = SIDE / min(width, height)
    return round(width * scale), round(height * scale)


def ours() -> tuple[str, Callable]:
    from zsar_lab.data.video import read_frames

    return "by its default", lambda path, indices: read_frames(path, indices, SIDE)


def decord_alone(package: str = "decord") -> tuple[str, Callable]:
    import av
    import decord

    version = metadata.version(package)  # decord2 is imported under the same name

    def read(path: str, indices: list[int]) -> np.ndarray:
        with av.open(path) as container:
            stream = container.streams.video[0]
            width, height = sized(stream.width, stream.height)
        video = decord.VideoReader(path, ctx=decord.cpu(0), width=width, height=height, num_threads=1)
        return video.get_batch(indices).asnumpy()

    return version, read


def pyav_with_a_plain_seek() -> tuple[str, Callable]:
    import av

    def read(path: str, indices: list[int]) -> np.ndarray:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            width, height = sized(stream.width, stream.height)
            ticks = 1 / (stream.average_rate * stream.time_base)
            container.seek(round(indices[0] * ticks), stream=stream)
            found = {}
            for frame in container.decode(stream):
                index = round((frame.pts - (stream.start_time or 0)) / ticks)
                if index in indices:
                    found[index] = frame.to_ndarray(width=width, height=height, format="rgb24")
                if index >= indices[-1]:
                    break
            return np.stack([found[index] for index in indices])

    return av.__version__, read


def opencv() -> tuple[str, Callable]:
    import cv2

    cv2.setNumThreads(1)

    def read(path: str, indices: list[int]) -> np.ndarray:
        video, found = cv2.VideoCapture(path), []
        video.set(cv2.CAP_PROP_POS_FRAMES, indices[0])
        for index in range(indices[0], indices[-1] + 1):
            video.grab()
            if index in indices:
                image = video.retrieve()[1]
                image = cv2.resize(image, sized(image.shape[1], image.shape[0]))
                found.append(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return np.stack(found)

    return cv2.__version__, read


def torchcodec() -> tuple[str, Callable]:
    import torch
    import torchcodec
    from torchcodec.decoders import VideoDecoder

    def read(path: str, indices: list[int]) -> np.ndarray:
        frames = VideoDecoder(path, num_ffmpeg_threads=1).get_frames_at(indices).data.float()
        width, height = sized(frames.shape[3], frames.shape[2])
        resized = torch.nn.functional.interpolate(frames, (height, width), mode="bilinear")
        return resized.round().byte().permute(0, 2, 3, 1).numpy()

    return torchcodec.__version__, read


READERS = {
    "ours": ours,
    "before": ours,
    "decord": decord_alone,
    "decord2": partial(decord_alone, "decord2"),
    "PyAV": pyav_with_a_plain_seek,
    "OpenCV": opencv,
    "torchcodec": torchcodec,
}


if __name__ == "__main__":
    main()
