"""Training batches from the frame store against decord on the original videos, on one core.

    python benchmarks/bench_frame_store.py [--clips 48] [--rounds 5] [--folder runs/bench_frame_store]

Makes videos like those of public datasets (340 x 256, H.264, 30 frames a second, 10 s, a key frame every
250), prepares them twice (raw and JPEG frames, 16 of 112 x 112 pixels) and reads 16 frames with stride 4 from
each side, everything in the page cache. The videos are textured and moving, with scenes that turn and pan,
discs that cross them, and noise, so that decoding them costs what it costs of real ones. The sides take
turns, and the best of the rounds counts: on a shared machine it is disturbed the least."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before numpy and torch are loaded

import argparse
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av  # before decord, after which PyAV cannot open its VP9 encoder
import decord
import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample

from zsar_lab.data.datasets import catalog_dataset
from zsar_lab.data.frames import FrameStore, make_frame_store
from zsar_lab.data.loader import training_batches
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import writing

WIDTH, HEIGHT, FPS, N_FRAMES, KEY_FRAME_DISTANCE = 340, 256, 30, 300, 250
STRIDE, BATCH_SIZE = 4, 32
SETTINGS = FrameSettings(n_frames=16, fps=FPS / STRIDE, size_px=112)
LEAST_S = 0.5  # a side is read again and again for so long


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=48, help="videos, one clip each")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured")
    parser.add_argument("--folder", type=Path, help="where videos and stores are kept; else they are deleted")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        videos = make_videos(folder / f"videos_{options.clips}", options.clips)
        raw, jpeg = (prepared(folder, options.clips, quality) for quality in (None, 90))
        if hasattr(os, "sched_setaffinity"):  # every thread that a reader starts too
            os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
        measure(videos, raw, jpeg, options.rounds)


def make_videos(folder: Path, n_videos: int) -> list[Path]:
    """Write the videos that are not there yet, in two class folders."""
    paths = [folder / f"class_{number % 2}" / f"{number:04d}.mp4" for number in range(n_videos)]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(make_video, paths, range(n_videos)))
    return paths


def make_video(path: Path, seed: int) -> None:
    if not path.is_file():
        encode(path, scene(seed), (WIDTH, HEIGHT), "libx264", {"crf": "23", "g": str(KEY_FRAME_DISTANCE)})


def encode(
    path: Path, frames: Iterable[np.ndarray], size: tuple[int, int], encoder: str, options: dict[str, str]
) -> None:
    with writing(path) as temporary, av.open(str(temporary), mode="w") as container:
        stream = container.add_stream(encoder, rate=FPS, options=options)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def scene(
    seed: int, width: int = WIDTH, height: int = HEIGHT, n_frames: int = N_FRAMES
) -> Iterator[np.ndarray]:
    """RGB uint8 [H, W, 3]: textured ground under a moving camera, four discs that move, and noise."""
    random = np.random.default_rng(seed)
    ground = torch.from_numpy(texture(random)).permute(2, 0, 1)[None]
    camera = wandering(random, n_frames) * 0.05
    radii = random.integers(25, 60, 4)
    discs = [(texture(random), wandering(random, n_frames), int(radius)) for radius in radii]
    insides = [np.hypot(*np.mgrid[-radius:radius, -radius:radius]) < radius for _, _, radius in discs]
    noise = random.normal(0, 2, (2 * height, 2 * width, 1)).astype(np.float32)
    for t in range(n_frames):
        image = seen(ground, *camera[t], width, height)
        for (thing, way, radius), inside in zip(discs, insides, strict=True):
            place, part = (np.sin(way[t]) + 1) / 2, 2 * radius
            top, left, offset = (place * (height - part, width - part, 200)).astype(int)
            image[top : top + part, left : left + part][inside] = thing[offset : offset + part, :part][inside]
        grain_y, grain_x = random.integers(0, height), random.integers(0, width)
        image += noise[grain_y : grain_y + height, grain_x : grain_x + width]
        yield image.clip(0, 255).astype(np.uint8)


def texture(random: np.random.Generator, side: int = 512) -> np.ndarray:
    """float32 [side, side, 3] around 128: noise whose amplitude falls with frequency."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) * side
    spectrum = np.fft.rfft2(random.normal(size=(3, side, side)))
    image = np.fft.irfft2(spectrum / np.maximum(frequency, 2.0) ** 1.2)
    image = image.mean(0) + 0.5 * image
    return np.ascontiguousarray(128 + 45 * image / image.std(), dtype=np.float32).transpose(1, 2, 0)


def wandering(random: np.random.Generator, n_frames: int) -> np.ndarray:
    """float64 [n_frames, 3]: three numbers that wander smoothly, about 0.1 a frame."""
    steps = np.cumsum(random.normal(0, 0.1, (n_frames + 30, 3)), axis=0)
    smooth = [np.convolve(column, np.ones(31) / 31, mode="valid") for column in steps.T]
    return np.stack(smooth, axis=1) + random.uniform(-1, 1, 3)


def seen(image: torch.Tensor, angle: float, x: float, y: float, width: int, height: int) -> np.ndarray:
    """float32 [H, W, 3]: half of the image, turned by an angle and moved."""
    cos, sin = np.cos(angle) / 2, np.sin(angle) / 2
    turn = torch.tensor([[[cos, -sin, x], [sin, cos, y]]], dtype=torch.float32)
    grid = affine_grid(turn, [1, 3, height, width], align_corners=False)
    part = grid_sample(image, grid, padding_mode="reflection", align_corners=False)[0]
    return np.ascontiguousarray(part.permute(1, 2, 0).numpy())


def prepared(folder: Path, n_videos: int, jpeg_quality: int | None) -> FrameStore:
    catalog = catalog_dataset("folder", folder / f"videos_{n_videos}")
    settings = FrameSettings(SETTINGS.n_frames, SETTINGS.fps, SETTINGS.size_px, jpeg_quality)
    return make_frame_store(catalog, folder / f"frames_{n_videos}_{jpeg_quality or 'raw'}", settings)


def measure(videos: list[Path], raw: FrameStore, jpeg: FrameStore, rounds: int) -> None:
    sides: dict[str, Callable[[int], int]] = {
        "decord": lambda seed: read_videos(videos, seed),
        "frame store, memory map": lambda seed: read_batches(raw, seed),
        "frame store, JPEG": lambda seed: read_batches(jpeg, seed),
    }
    for side in sides.values():
        side(0)  # into the page cache
    rates = {name: [] for name in sides}
    for seed in range(1, rounds + 1):
        for name, side in sides.items():
            rates[name].append(clips_per_s(side, seed))
    print(f"clips/s, best (lowest) of {rounds} rounds")
    for name, found in rates.items():
        ratio = (
            f"    {max(found) / max(rates['decord']):7.1f}x decord" if name.startswith("frame store") else ""
        )
        print(f"  {name:24s} {max(found):10.1f} ({min(found):10.1f}){ratio}")


def clips_per_s(side: Callable[[int], int], seed: int) -> float:
    n_clips, started = 0, time.perf_counter()
    while (passed := time.perf_counter() - started) < LEAST_S:
        n_clips += side(seed)
    return n_clips / passed


def read_videos(videos: list[Path], seed: int) -> int:
    """16 frames from a random place of each video by decord; how many clips were read."""
    random, span, width = np.random.default_rng(seed), STRIDE * SETTINGS.n_frames, round(WIDTH * 112 / HEIGHT)
    for number in random.permutation(len(videos)):
        start = int(random.integers(0, N_FRAMES - span + STRIDE))
        path, size = str(videos[number]), {"width": width, "height": SETTINGS.size_px}
        video = decord.VideoReader(path, ctx=decord.cpu(0), num_threads=1, **size)
        assert len(video.get_batch(list(range(start, start + span, STRIDE))).asnumpy()) == SETTINGS.n_frames
    return len(videos)


def read_batches(store: FrameStore, seed: int) -> int:
    """One epoch of training batches; how many clips were read."""
    rows = np.arange(len(store))
    return sum(
        len(batch.frames_BNHWC)
        for batch in training_batches(store.frames, rows, rows, BATCH_SIZE, seed, epoch=0)
    )


if __name__ == "__main__":
    main()
