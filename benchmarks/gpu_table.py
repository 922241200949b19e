"""The table of absolute speeds on one GPU: training, embedding, neighbours, bf16 convolutions.

    PYTHONPATH=. python benchmarks/gpu_table.py --json table.json          on a GPU, about ten minutes
    PYTHONPATH=. python benchmarks/gpu_table.py --tiny --seconds 0.2       all of it at a small size, on a CPU

A row that fails is printed and left out, and the file is written anew after each row; --rows measures some of
them again. Every clip is generated and in the system's memory, raw and as JPEG; a disk is not measured, and
the way to the GPU is part of every figure. Shapes: B clips, K channels, T frames, H W pixels."""

from __future__ import annotations

import argparse
import functools
import gc
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from bench_engine import (
    ENGINE,
    FEWEST_BLOCKS,
    JPEG,
    RAW,
    TINY_BLOCKS,
    Study,
    as_jpeg,
    bench_config,
    check_seconds,
    device_words,
    generated,
    measure,
    over,
    synchronise,
    utilisation,
)
from torch import Tensor
from torch.nn.functional import conv3d

from zsar_lab.embed.checkpoint import embed_clips, embedded, embedding_model
from zsar_lab.embed.embeddings import CLIPS_A_BATCH
from zsar_lab.embed.neighbours import nearest_neighbours
from zsar_lab.files import write_json
from zsar_lab.models.rest import ResT
from zsar_lab.train.checkpoint import Checkpoint, Inputs, load_checkpoint, save_checkpoint, weights_by_name
from zsar_lab.train.device import choose_device, choose_num_workers, cpu_threads
from zsar_lab.train.meters import config_gflop, memory_mb, peak_gflop_per_s

# wanted of one H200, must and stretch: clips/s with the loader out, seconds of neighbours
WANTED = {
    "rest_r3d18": (820, 1300),
    "rest_r2plus1d18": (600, 1000),
    "rest101": (450, 600),
    "rest18": (2000, 3700),
}
EMBEDDED, EMBEDDING_WANTED, NEIGHBOURS_WANTED = "rest_r3d18", (3000, 4500), (10, 5)
LEAST_FROM_FRAMES = (0.95, 0.98)  # of the training's rate with the frame store
LAYOUTS = ("contiguous", "channels_last")
ROWS = ("conv3d", *WANTED, "embedding", "neighbours")
MOST_ERROR = (
    0.02  # of a convolution: rounding a value is 2^-9 of it; a kernel may round the parts of a sum too
)


class Case(NamedTuple):
    """A convolution of an R3D-18 or R(2+1)D-18 on 16 frames of 112 px."""

    n_in: int
    n_out: int
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    clip: tuple[int, int, int]


CASES = {
    "first 3x7x7": Case(3, 64, (3, 7, 7), (1, 2, 2), (16, 112, 112)),
    "64 3x3x3": Case(64, 64, (3, 3, 3), (1, 1, 1), (16, 56, 56)),
    "128 to 256, stride 2": Case(128, 256, (3, 3, 3), (2, 2, 2), (8, 28, 28)),
    "512 3x3x3": Case(512, 512, (3, 3, 3), (1, 1, 1), (2, 7, 7)),
    "64 to 144 1x3x3": Case(64, 144, (1, 3, 3), (1, 1, 1), (16, 56, 56)),
    "144 to 64 3x1x1": Case(144, 64, (3, 1, 1), (1, 1, 1), (16, 56, 56)),
}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tiny", action="store_true", help="small sizes everywhere, to try it on a CPU")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measured side, about")
    parser.add_argument("--json", type=Path, help="file for the figures, written after each row")
    parser.add_argument("--device", help="cpu or cuda; without it the first GPU if there is one")
    parser.add_argument("--num-workers", type=int, help="threads that read ahead; without it as a training")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, help="without it all")
    parser.add_argument("--cudnn-benchmark", action="store_true", help="let cuDNN try its ways")
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
    """Every row asked for, printed and saved as soon as it is known."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found: dict[str, Any] = {"device": device_words(device), "torch": torch.__version__}
    found |= {"cuda": torch.version.cuda, "cudnn": torch.backends.cudnn.version(), "cores": cores}
    found |= {"date": f"{datetime.now():%Y-%m-%d %H:%M}", "tiny": options.tiny, "seconds": options.seconds}
    found |= {"cudnn_benchmark": options.cudnn_benchmark, "rows": []}
    say(", ".join(f"{name} {value}" for name, value in found.items() if name != "rows"))
    if options.tiny:
        say("tiny: to see that it runs, not how fast")

    def keep(row: dict[str, Any]) -> None:
        found["rows"].append(row)
        form = {name: f"{value:.4g}" if isinstance(value, float) else value for name, value in row.items()}
        say("  ".join(f"{name} {value}" for name, value in form.items()))
        if options.json:
            write_json(options.json, found)

    if "conv3d" in options.rows:
        for name, case in CASES.items():
            for layout in (torch.contiguous_format, torch.channels_last_3d):
                row = tried(functools.partial(check_conv3d, case, layout, device, options.tiny), device)
                keep({"row": "conv3d", "case": name, "layout": str(layout)} | row)
    for preset in WANTED:
        if preset in options.rows:
            for row in training_rows(preset, options, device):
                keep(row)
    for layout in LAYOUTS if "embedding" in options.rows else ():
        row = tried(functools.partial(embedding_row, layout, options, device), device)
        keep({"row": "embedding", "preset": EMBEDDED, "layout": layout} | row)
    if "neighbours" in options.rows:
        keep({"row": "neighbours"} | tried(lambda: neighbours_row(options.tiny, device), device))
    return found


def tried(measurement: Callable[[], dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """What the measurement found, or {"failed": why}; the GPU's memory is free again then."""
    try:
        return measurement()
    except Exception as error:  # all of them: the next row may go well
        reason = f"{type(error).__name__}: {' '.join(str(error).split()) or 'no message'}"
    with suppress(RuntimeError):  # after some errors a GPU does nothing more in this process
        free(device)  # only here, so that the error does not hold what it was raised beside
    return {"failed": reason}


def free(device: torch.device) -> None:
    """Give back the GPU memory that nothing holds, and begin anew to count the most that is held."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def training_rows(preset: str, options: argparse.Namespace, device: torch.device) -> list[dict[str, Any]]:
    """A preset in each layout: its batch in memory, and through the loader from raw and from JPEG frames.

    Where a batch fails (mostly: does not fit into memory), the same step by two halves.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        study = generated(bench_config(preset, options.tiny), Path(folder), options.tiny)
        jpeg = tried(lambda: {"frames": as_jpeg(study.store)}, device)
        for layout in LAYOUTS:
            config = replace(study.config, memory_format=layout)
            must, stretch = WANTED[preset]
            row = {"row": "training", "preset": preset, "layout": layout, "must": must, "stretch": stretch}
            halves = replace(config, batch_size=config.batch_size // 2, accumulate=2)
            for attempt in (config, halves):
                asked = study._replace(config=attempt), jpeg.get("frames"), options, device
                figures = tried(functools.partial(training_figures, *asked), device)
                row |= {"batch_size": attempt.batch_size, "accumulate": attempt.accumulate} | figures
                if "failed" not in figures:
                    break
            rows.append(row | ({"no_jpeg": jpeg["failed"]} if "failed" in jpeg else {}))
    best = max(rows, key=lambda row: row.get("clips_per_s", 0.0))
    best |= {"better": True}
    return rows


def training_figures(study: Study, jpeg: Any, options: argparse.Namespace, device: torch.device) -> dict:
    with cpu_threads(study.config.cpu_threads):
        peak_gflop_per_s(device)  # while the memory is empty
    free(device)
    n_blocks = TINY_BLOCKS if options.tiny else FEWEST_BLOCKS
    sides = measure(study, options.seconds, device, False, jpeg, options.num_workers, n_blocks)
    found = {"clips_per_s": sides[ENGINE].clips_per_s}
    for kind, name in (("raw", RAW), ("jpeg", JPEG)):
        if name in sides:
            found[f"clips_per_s_{kind}"] = sides[name].clips_per_s
            found[f"{kind}_over_memory"] = float(np.median(over(sides[ENGINE], sides[name])))
    return found | utilisation(study.config, sides[ENGINE], device)


def embedding_row(layout: str, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Clips/s of the library's embedding, with reading raw frames; each clip is seen in two views."""
    config = replace(bench_config(EMBEDDED, options.tiny), memory_format=layout)
    n_workers = choose_num_workers(options.num_workers, device)
    with tempfile.TemporaryDirectory() as name, cpu_threads(config.cpu_threads), torch.random.fork_rng():
        folder, study = Path(name), generated(config, Path(name), options.tiny)
        inputs = Inputs(study.protocol.training_hash, study.store.fingerprint, study.classes.fingerprint)
        made = Checkpoint(folder / "untrained.safetensors", config, inputs, 0, 1, [], weights_only=True)
        save_checkpoint(made, weights_by_name(ResT(config.model)))
        checkpoint, store, n_first = load_checkpoint(made.path), study.store, 2 * CLIPS_A_BATCH
        few = replace(
            store, frames=store.frames[:n_first], ids=store.ids[:n_first], labels=store.labels[:n_first]
        )
        embed_clips(checkpoint, few, folder, str(device), n_workers)  # the whole of it, with its file, once
        rows, model = np.tile(np.arange(len(store)), 1000), embedding_model(checkpoint, device)
        with closing(embedded(model, store.frames, rows, config.view, n_workers)) as batches:
            for _ in range(n_workers + 1):  # that were read ahead
                next(batches)
            started, n_clips = time.perf_counter(), 0
            while (taken := time.perf_counter() - started) < options.seconds:
                n_clips += len(next(batches)[0])
    rate, gflop = n_clips / taken, 2 * config_gflop(config).forward
    found = {"clips_per_s": rate, "must": EMBEDDING_WANTED[0], "stretch": EMBEDDING_WANTED[1]}
    share = rate * gflop / peak_gflop_per_s(device)
    return found | {"gflop_per_s": rate * gflop, "peak_share": share, "memory_mb": memory_mb(device)}


def neighbours_row(tiny: bool, device: torch.device) -> dict[str, Any]:
    """Seconds of the exact 10 nearest neighbours of a million random points among themselves."""
    n_points, width = (2000, 32) if tiny else (1_000_000, 512)
    points = np.random.default_rng(0).standard_normal((n_points, width), dtype=np.float32)
    started = time.perf_counter()
    nearest_neighbours(points, points, 10, exclude_self=True, device=device.type)
    taken, (must, stretch) = time.perf_counter() - started, NEIGHBOURS_WANTED
    return {"points": n_points, "width": width, "seconds": taken, "must": must, "stretch": stretch}


def check_conv3d(case: Case, layout: torch.memory_format, device: torch.device, tiny: bool) -> dict[str, Any]:
    """A convolution in bfloat16 and float32: some versions of torch and cuDNN are wrong or slow.

    Returns:
        max_error: the largest |bf16 - fp32| over the largest |fp32|, of output and both gradients.
        speed: fp32's time over bf16's.
    """
    if tiny:
        n_in, n_out = (n if n == 3 else max(1, n // 8) for n in case[:2])
        case = case._replace(n_in=n_in, n_out=n_out, clip=tuple(map(min, case.clip, (4, 8, 8))))
    generator = torch.Generator(device).manual_seed(0)

    def made(*shape: int) -> Tensor:
        # rounded to bfloat16, so that both precisions are given the same numbers
        return torch.randn(*shape, generator=generator, device=device).bfloat16().to(memory_format=layout)

    clip, weight = made(2 if tiny else 8, case.n_in, *case.clip), made(case.n_out, case.n_in, *case.kernel)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        exact, exact_s = run_conv3d(clip.float(), weight.float(), case)
        rounded, rounded_s = run_conv3d(clip, weight, case)
    pairs = zip(rounded, exact, strict=True)
    error = max(float((ours.float() - theirs).abs().max() / theirs.abs().max()) for ours, theirs in pairs)
    return {"max_error": error, "speed": exact_s / rounded_s, "wrong": error > MOST_ERROR}


def run_conv3d(clip_BKTHW: Tensor, weight: Tensor, case: Case) -> tuple[list[Tensor], float]:
    """Output and gradients of clip and weight, and the seconds of a second run."""
    padding = tuple(size // 2 for size in case.kernel)
    generator = torch.Generator(clip_BKTHW.device).manual_seed(1)
    clip, weight = clip_BKTHW.detach().requires_grad_(), weight.detach().requires_grad_()
    back = None
    for _ in range(2):
        synchronise(clip.device)
        started = time.perf_counter()
        output = conv3d(clip, weight, stride=case.stride, padding=padding)
        if back is None:
            back = torch.randn(output.shape, generator=generator, device=clip.device).bfloat16().to(output)
        gradients = torch.autograd.grad(output, (clip, weight), back)
        synchronise(clip.device)
    return [output.detach(), *gradients], time.perf_counter() - started


if __name__ == "__main__":
    main()
