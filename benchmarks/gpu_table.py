"""The table of absolute speeds on one GPU: training of the paper's sizes, the check of bfloat16 convolutions, and embedding.

    PYTHONPATH=. python benchmarks/gpu_table.py --json table.json          on a GPU, about ten minutes
    PYTHONPATH=. python benchmarks/gpu_table.py --tiny --seconds 0.2       all of it at a small size, on a CPU

A row that fails is said and left out, and the file is written anew after each row; --rows measures some of
them again. Every clip is generated and in the system's memory, raw and as JPEG (for these simplejpeg must be
installed); a disk is not measured, and the way to the GPU is part of every figure."""

from __future__ import annotations

import argparse
import functools
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zsar_lab.data.frames import FrameStore
from zsar_lab.embed.checkpoint import embed_clips, embedded, embedding_model
from zsar_lab.embed.shards import CLIPS_A_BATCH
from zsar_lab.files import write_json
from zsar_lab.models.rest import ResT
from zsar_lab.results.neighbours import nearest_neighbours
from zsar_lab.train.bench_study import Study, bench_config, generated
from zsar_lab.train.bench_table import WANTED, check_seconds, conv3d_rows, machine, table_rows, tried
from zsar_lab.train.checkpoint import (
    BEST_NAME,
    Checkpoint,
    Inputs,
    load_checkpoint,
    save_best,
    weights_by_name,
)
from zsar_lab.train.compiling import MEMORY_FORMATS
from zsar_lab.train.loop import choose_device, choose_readers, cpu_threads
from zsar_lab.train.meters import config_gflop, memory_mb, peak_gflop_per_s
from zsar_lab.train.ranks import ALONE

EMBEDDING, EMBEDDING_WANTED = "rest_r3d18", (3000, 4500)  # clips/s of one H200: must, stretch
NEIGHBOURS_WANTED = 10, 5  # seconds of one H200: must, stretch
CONV3D, EMBED, NEIGHBOURS = "conv3d", "embedding", "neighbours"
ROWS = (CONV3D, *WANTED, EMBED, NEIGHBOURS)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--tiny", action="store_true", help="small sizes everywhere, to try all of it on a CPU"
    )
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measured side, about")
    parser.add_argument("--json", type=Path, help="file for the figures, written after each row")
    parser.add_argument("--device", help="cpu or cuda; without it the first GPU if there is one")
    parser.add_argument(
        "--readers", type=int, help="threads that read ahead; without it as many as a training has"
    )
    parser.add_argument(
        "--rows", nargs="+", choices=ROWS, default=ROWS, help="what to measure; without it all"
    )
    parser.add_argument(
        "--cudnn-benchmark",
        action="store_true",
        help="let cuDNN try its ways and keep the fastest, which a training does not",
    )
    options = parser.parse_args(arguments)
    check_seconds(options.seconds)
    device = choose_device(options.device)
    if device.type == "cpu" and not options.tiny:
        parser.error("the table needs a GPU, and there is none; --tiny tries all of it on a CPU")
    before, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, options.cudnn_benchmark
    try:
        return table(options, device, functools.partial(print, flush=True))
    finally:
        torch.backends.cudnn.benchmark = before


def table(options: argparse.Namespace, device: torch.device, say: Callable[[str], None]) -> dict[str, Any]:
    """Every row asked for, said and kept as soon as it is known."""
    found: dict[str, Any] = machine(device) | {
        "tiny": options.tiny,
        "seconds": options.seconds,
        "training": [],
        EMBED: [],
    }
    say(", ".join(f"{name} {value}" for name, value in found.items() if not isinstance(value, list)))
    if options.tiny:
        say("tiny: to see that it runs, not how fast")

    def keep() -> None:
        if options.json:
            write_json(options.json, found)

    if CONV3D in options.rows:
        found[CONV3D] = tried(lambda: conv3d_rows(device, options.tiny, say), device)
        say_failed("3D convolutions", found[CONV3D], say)
        keep()
    names = [name for name in WANTED if name in options.rows]
    for row in (
        table_rows(options.seconds, options.tiny, device, say, names, options.readers) if names else ()
    ):
        found["training"].append(row)
        keep()
    if EMBED in options.rows:
        say(
            "\nembedding         clip       layout            clips/s   views/s   must (stretch) clips/s    GFLOP/s, of the peak   memory MB"
        )
        for layout in MEMORY_FORMATS:
            row = {"layout": layout} | tried(
                functools.partial(embedding_row, layout, options, device, say), device
            )
            say_failed(f"embedding, {layout}", row, say)
            found[EMBED].append(row)
            keep()
    if NEIGHBOURS in options.rows:
        found[NEIGHBOURS] = tried(lambda: neighbours_row(options.tiny, device, say), device)
        say_failed("exact nearest neighbours", found[NEIGHBOURS], say)
    keep()
    return found


def say_failed(what: str, found: dict[str, Any], say: Callable[[str], None]) -> None:
    if "failed" in found:
        say(f"{what} failed. {found['failed']}")


def embedding_row(
    layout: str, options: argparse.Namespace, device: torch.device, say: Callable[[str], None]
) -> dict[str, Any]:
    """Clips/s of the library's embedding, with reading raw frames and bringing the result back; each clip is seen in two views."""
    config = replace(bench_config(EMBEDDING, options.tiny), memory_format=layout)
    with tempfile.TemporaryDirectory() as folder, cpu_threads(config.cpu_threads), torch.random.fork_rng():
        study = generated(config, Path(folder), options.tiny)
        checkpoint = untrained(study, Path(folder))
        store = first_clips(study.store, 2 * CLIPS_A_BATCH)
        embed_clips(
            checkpoint, store, Path(folder), str(device), options.readers
        )  # the whole of it, with its file, once
        rate = clips_per_s(
            checkpoint, study.store, options.seconds, device, choose_readers(options.readers, device, ALONE)
        )
        views_gflop, peak = 2 * config_gflop(config).forward, peak_gflop_per_s(device)
    must, stretch = EMBEDDING_WANTED
    used = {
        "gflop_per_s": rate * views_gflop,
        "peak_share": rate * views_gflop / peak,
        "memory_mb": memory_mb(device),
    }
    wanted, view = f"{must} ({stretch})", config.view
    say(
        f"{EMBEDDING:17} {view.n_frames:2} x {view.size_px:3}   {layout:13} {rate:11.1f} {2 * rate:9.1f}   {wanted:22}"
        f"{used['gflop_per_s']:12.4g} {used['peak_share']:10.1%}   {used['memory_mb'] or float('nan'):9.0f}"
    )
    return {
        "preset": EMBEDDING,
        "layout": layout,
        "clips_per_s": rate,
        "views_per_s": 2 * rate,
        "must": must,
        "stretch": stretch,
    } | used


def neighbours_row(tiny: bool, device: torch.device, say: Callable[[str], None]) -> dict[str, Any]:
    """Seconds of the exact 10 nearest neighbours of a million random points among themselves."""
    n_points, width = (2000, 32) if tiny else (1_000_000, 512)
    points = np.random.default_rng(0).standard_normal((n_points, width), dtype=np.float32)
    started = time.perf_counter()
    nearest_neighbours(points, points, 10, exclude_self=True, device=device.type)
    taken, (must, stretch) = time.perf_counter() - started, NEIGHBOURS_WANTED
    say(
        f"\nexact nearest neighbours, {n_points} x {width}, k 10: {taken:.2f} s (must {must} s, stretch {stretch} s, at 1000000 x 512)"
    )
    return {"points": n_points, "width": width, "seconds": taken, "must": must, "stretch": stretch}


def untrained(study: Study, folder: Path) -> Checkpoint:
    """A checkpoint of random weights, as a training leaves its best."""
    inputs = Inputs(study.protocol.training_hash, study.store.fingerprint, study.classes.fingerprint)
    save_best(
        Checkpoint(folder / BEST_NAME, study.config, inputs, 0, 1, []),
        weights_by_name(ResT(study.config.model)),
    )
    return load_checkpoint(folder / BEST_NAME)


def first_clips(store: FrameStore, n_clips: int) -> FrameStore:
    return replace(
        store, frames=store.frames[:n_clips], ids=store.ids[:n_clips], labels=store.labels[:n_clips]
    )


def clips_per_s(
    checkpoint: Checkpoint, store: FrameStore, seconds: float, device: torch.device, readers: int
) -> float:
    """Of batches one after another, after those that were read ahead."""
    rows = np.tile(np.arange(len(store)), 1000)
    with closing(
        embedded(embedding_model(checkpoint, device), store.frames, rows, checkpoint.config.view, readers)
    ) as batches:
        for _ in range(readers + 1):
            next(batches)
        started, n_clips = time.perf_counter(), 0
        for embedding_BD, _ in batches:
            n_clips += len(embedding_BD)
            if time.perf_counter() - started >= seconds:
                break
        return n_clips / (time.perf_counter() - started)


if __name__ == "__main__":
    main()
