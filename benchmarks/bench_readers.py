"""The loader alone, of the paper's size (64 clips of 24 x 128 px frames a batch): threads that read ahead, from raw and from JPEG frames.

    PYTHONPATH=. python benchmarks/bench_readers.py [--seconds 1] [--rounds 5] [--readers 0 2]

Frames are generated and in the system's memory. The ways take turns; the middle of the rounds counts. Nothing
else is done with a batch, so readers gain only by running beside each other: beside a GPU's work one would
gain too."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

from zsar_lab.data.loader import training_batches
from zsar_lab.data.pixels import JpegFrames
from zsar_lab.train.bench import LONG_EPOCH
from zsar_lab.train.bench_study import as_jpeg, bench_config, generated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=1.0, help="of each way in a round, about")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--readers", type=int, nargs="+", default=[0, 2])
    options = parser.parse_args()
    config = bench_config("rest_r3d18", tiny=False)
    with tempfile.TemporaryDirectory() as folder:
        store = generated(config, Path(folder)).store
        kinds = {"raw": store.frames, "JPEG": as_jpeg(store)}
        ways = {(kind, readers): [] for kind in kinds for readers in options.readers}
        for number in range(options.rounds):
            for kind, readers in list(ways)[:: 1 if number % 2 else -1]:
                ways[kind, readers].append(
                    seconds_a_batch(kinds[kind], config.batch_size, readers, options.seconds)
                )
    print(f"{config.batch_size} clips of {store.settings.n_frames} x {store.settings.size_px} px a batch")
    print(
        "frames   readers   batches/s   clips/s   on the clock    by processor time   (times as fast as with the first number of readers)"
    )
    for (kind, readers), found in ways.items():
        alone = ways[kind, options.readers[0]]
        gains = [
            statistics.median(a[clock] / b[clock] for a, b in zip(alone, found, strict=True))
            for clock in (0, 1)
        ]
        rate = 1 / statistics.median(wall for wall, _ in found)
        print(
            f"{kind:8} {readers:7} {rate:11.2f} {rate * config.batch_size:9.0f} {gains[0]:14.2f} {gains[1]:20.2f}"
        )


def seconds_a_batch(
    frames: np.ndarray | JpegFrames, batch_size: int, readers: int, seconds: float
) -> tuple[float, float]:
    """On the clock and of the processor, of all threads; without the batches that were read ahead at the start."""
    rows = np.tile(np.arange(len(frames)), LONG_EPOCH)
    with closing(training_batches(frames, rows, rows, batch_size, 0, 0, readers=readers)) as batches:
        for _ in range(readers + 1):
            next(batches)
        starts, n_batches = (time.perf_counter(), time.process_time()), 0
        while time.perf_counter() - starts[0] < seconds:
            next(batches)
            n_batches += 1
        return (time.perf_counter() - starts[0]) / n_batches, (time.process_time() - starts[1]) / n_batches


if __name__ == "__main__":
    main()
