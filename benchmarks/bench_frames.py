"""Training batches from the frame store against decord on the original files: both sides in one run, on one core.

    python benchmarks/bench_frames.py [--workspace runs/demo] [--clips 256]
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from zsar_lab.data.sampling import frame_indices
from zsar_lab.data.loader import training_batches
from zsar_lab.data.video import read_frames
from zsar_lab.workspace import Workspace

BATCH_SIZE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workspace", type=Path, default=Path("runs/demo"))
    parser.add_argument("--clips", type=int, default=256)
    options = parser.parse_args()
    workspace = Workspace.open(options.workspace)
    store, clips = workspace.frames, workspace.catalog.usable.set_index("id")
    chosen = np.random.default_rng(0).permutation(len(store))[: options.clips]

    started = time.perf_counter()
    for row in chosen:
        clip = clips.loc[store.ids[row]]
        indices = frame_indices(clip["start_s"], clip["end_s"], int(clip["frames"]), clip["fps"], store.settings)
        read_frames(workspace.catalog.root / clip["path"], indices, store.settings.size_px)
    decord_rate = len(chosen) / (time.perf_counter() - started)

    targets, repeats = np.zeros(len(chosen), dtype=np.int64), 10
    started = time.perf_counter()
    for epoch in range(repeats):
        for _ in training_batches(store.frames, chosen, targets, BATCH_SIZE, seed=0, epoch=epoch):
            pass
    store_rate = repeats * len(chosen) / (time.perf_counter() - started)
    print(f"{len(chosen)} clips, {store.frames.shape[1:]} uint8 a clip, batches of {BATCH_SIZE}, one core, files in the page cache")
    print(f"decord on the mp4 files: {decord_rate:10.0f} clips/s")
    print(f"frame store, memory map: {store_rate:10.0f} clips/s    ratio {store_rate / decord_rate:.0f}x")


if __name__ == "__main__":
    main()
