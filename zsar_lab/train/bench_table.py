"""The table of the paper's sizes: training of each preset in both layouts, and the check of bfloat16 convolutions.

Made for hours on a machine that is lent: what fails is said, and the rest goes on.
"""

from __future__ import annotations

import functools
import gc
import os
import platform
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zsar_lab.models.conv3d_check import MOST_ERROR, check_conv3d
from zsar_lab.train.bench import ENGINE, FEWEST_BLOCKS, JPEG, RAW, TINY_BLOCKS, Side, measure, over
from zsar_lab.train.bench_study import Study, as_jpeg, bench_config, generated
from zsar_lab.train.compiling import MEMORY_FORMATS
from zsar_lab.train.loop import choose_readers, cpu_threads
from zsar_lab.train.meters import config_gflop, memory_mb, peak_gflop_per_s
from zsar_lab.train.presets import TrainConfig
from zsar_lab.train.ranks import ALONE

# training clips/s wanted of one H200 with the loader out: must, stretch
WANTED = {
    "rest_r3d18": (820, 1300),
    "rest_r2plus1d18": (600, 1000),
    "rest101": (450, 600),
    "rest18": (2000, 3700),
}
LEAST_FROM_FRAMES = (0.95, 0.98)  # of that rate with the frame store: must, stretch
HEADER = (
    "training          clip       layout          clips/s in memory   must (stretch)   raw frames, of that   JPEG frames, of that"
    "    GFLOP/s, of the peak   memory MB"
)


def check_seconds(seconds: float) -> None:
    """ValueError unless above 0."""
    if not seconds > 0:
        raise ValueError(f"seconds of a measurement must be above 0, got {seconds}")


def tried(measurement: Callable[[], dict[str, Any]], device: torch.device) -> dict[str, Any]:
    """What the measurement found, or {"failed": why, in a line} where it failed; the GPU's memory is free again then."""
    try:
        return measurement()
    except Exception as error:  # all of them: the next row may go well
        reason = f"{type(error).__name__}: {' '.join(str(error).split()) or 'nothing said'}"
    with suppress(RuntimeError):  # after some errors the GPU answers nothing more in this process
        _free(device)  # only here, so that the error does not hold what it was raised beside
    return {"failed": reason}


def table_rows(
    seconds: float,
    tiny: bool,
    device: torch.device,
    say: Callable[[str], None],
    names: Sequence[str] | None = None,
    readers: int | None = None,
) -> Iterator[dict[str, Any]]:
    """Training of each preset in each layout: its batch in memory, and through the loader from raw and from JPEG frames.

    Args:
        seconds: of each measured side, about.
        tiny: see `bench_config`.
        device: to train on.
        say: is given each line as soon as it is known.
        names: of presets, keys of `WANTED`; None for all.
        readers: threads that read ahead; None for as many as a training has.

    Returns:
        A row each as soon as it is known, plain values. What could not be measured is missing, and "failed"
        says why, one line an attempt.
    """
    say(
        f"\nTraining. Wanted of one H200: must (stretch); from frames {LEAST_FROM_FRAMES[0]} ({LEAST_FROM_FRAMES[1]}) of the rate in memory."
    )
    say(f"Threads that read ahead: {choose_readers(readers, device, ALONE)}.\n{HEADER}")
    for name in names or WANTED:
        with tempfile.TemporaryDirectory() as folder:
            made = tried(lambda: {"study": generated(bench_config(name, tiny), Path(folder), tiny)}, device)
            if "failed" in made:
                say(f"{name:17} failed. {made['failed']}")
                yield {"preset": name, "failed": [made["failed"]]}
                continue
            study = made["study"]
            jpeg = tried(lambda: {"frames": as_jpeg(study.store)}, device)
            if "failed" in jpeg:
                say(f"{name:17} no JPEG frames. {jpeg['failed']}")
            rows, n_blocks = [], TINY_BLOCKS if tiny else FEWEST_BLOCKS
            settings = {
                "jpeg": jpeg.get("frames"),
                "seconds": seconds,
                "device": device,
                "readers": readers,
                "n_blocks": n_blocks,
            }
            for layout in MEMORY_FORMATS:
                rows.append(training_row(name, study, layout, settings))
                for line in row_lines(rows[-1]):
                    say(line)
                yield rows[-1]
            say_better(rows, say)


def training_row(name: str, study: Study, layout: str, settings: dict[str, Any]) -> dict[str, Any]:
    """A row; where its batch fails (mostly: does not fit into memory), of the same step by two halves. `settings` are those of `measure`."""
    must, stretch = WANTED[name]
    view, config = study.config.view, replace(study.config, memory_format=layout)
    row: dict[str, Any] = {
        "preset": name,
        "frames": view.n_frames,
        "size_px": view.size_px,
        "layout": layout,
        "must": must,
        "stretch": stretch,
    }
    failed = []
    for attempt in (config, replace(config, batch_size=config.batch_size // 2, accumulate=2)):
        found = tried(
            functools.partial(_figures, study._replace(config=attempt), **settings), settings["device"]
        )
        if "failed" not in found:
            return (
                row
                | {"batch_size": attempt.batch_size, "accumulate": attempt.accumulate}
                | found
                | {"failed": failed}
            )
        failed.append(f"{attempt.accumulate} x {attempt.batch_size} clips: {found['failed']}")
    return row | {"failed": failed}


def _figures(study: Study, device: torch.device, **settings: Any) -> dict[str, Any]:
    with cpu_threads(study.config.cpu_threads):
        peak_gflop_per_s(device)  # while the memory is empty
    _free(device)
    sides = measure(study, device=device, bare=False, **settings)
    found = {"clips_per_s": sides[ENGINE].clips_per_s}
    for kind, name in (("raw", RAW), ("jpeg", JPEG)):
        if name in sides:
            found |= {
                f"clips_per_s_{kind}": sides[name].clips_per_s,
                f"{kind}_over_memory": float(np.median(over(sides[ENGINE], sides[name]))),
            }
    return found | utilisation(study.config, sides[ENGINE], device)


def utilisation(config: TrainConfig, engine: Side, device: torch.device) -> dict[str, float | None]:
    """GFLOP per clip, GFLOP/s, the device's measured peak and the share of it, and memory."""
    gflop = config_gflop(config).training
    with cpu_threads(config.cpu_threads):
        peak = peak_gflop_per_s(device)
    rate = gflop * engine.clips_per_s
    return {
        "gflop_per_clip": gflop,
        "gflop_per_s": rate,
        "peak_gflop_per_s": peak,
        "peak_share": rate / peak,
        "memory_mb": memory_mb(device),
    }


def row_lines(row: dict[str, Any]) -> list[str]:
    """What is printed of a row, with what failed below it."""
    start = f"{row['preset']:17} {row['frames']:2} x {row['size_px']:3}   {row['layout']:13}"
    below = [f"{'':17} failed with {reason}" for reason in row["failed"]]
    if "clips_per_s" not in row:
        return [f"{start}   not measured; wanted: {row['must']} ({row['stretch']})", *below]
    frames = "".join(
        f"   {row[f'clips_per_s_{kind}']:11.1f} {row[f'{kind}_over_memory']:7.3f}"
        if f"clips_per_s_{kind}" in row
        else f"   {'not measured':>19}"
        for kind in ("raw", "jpeg")
    )
    used = f"{row['gflop_per_s']:12.4g} {row['peak_share']:10.1%}   {row['memory_mb'] or float('nan'):9.0f}"
    wanted = f"{row['must']} ({row['stretch']})"
    line = f"{start}   {row['clips_per_s']:17.1f}   {wanted:14}{frames}{used}"
    return [
        line
        + ("" if row["accumulate"] == 1 else f"   by {row['accumulate']} batches of {row['batch_size']}"),
        *below,
    ]


def say_better(rows: Sequence[dict[str, Any]], say: Callable[[str], None]) -> None:
    """Mark the faster layout in its row, and say how it stands to what is wanted."""
    measured = sorted((row for row in rows if "clips_per_s" in row), key=lambda row: row["clips_per_s"])
    if not measured:
        return
    better = measured[-1]
    better["better"] = True
    than = (
        f", {better['clips_per_s'] / measured[0]['clips_per_s']:.2f} times the other"
        if len(measured) > 1
        else ", the other was not measured"
    )
    say(
        f"{'':17} better: {better['layout']}{than}; {better['clips_per_s'] / better['must']:.2f} of what must be"
    )


def conv3d_rows(device: torch.device, tiny: bool, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """The check of bfloat16 against float32, said and as plain values."""
    checked = check_conv3d(device, 2 if tiny else 8, tiny)
    say("\n3D convolutions, bfloat16 against float32          largest error   times as fast")
    for name, result in checked.items():
        wrong = (
            ""
            if result.max_error <= MOST_ERROR
            else f"   WRONG: more than {MOST_ERROR}, use another version of torch"
        )
        say(f"{name:50} {result.max_error:13.4f}   {result.speed:13.2f}{wrong}")
    return {name: result._asdict() for name, result in checked.items()}


def machine(device: torch.device) -> dict[str, Any]:
    """What a figure is of: device, versions, processors that the system has and that this process may use, and the date."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "device": device_words(device),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "processors": os.cpu_count(),
        "processors_allowed": allowed,
        "date": datetime.now().strftime("%Y-%m-%d %H:%M"),
    }


def device_words(device: torch.device) -> str:
    """The device in words: a GPU's name, or a CPU's kind and instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def _free(device: torch.device) -> None:
    """Give back the GPU memory that nothing holds, and begin anew to count the most that is held."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
