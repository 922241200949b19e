"""What `python -m zsar_lab bench` prints and writes: ratios of a preset's sides, the check of bfloat16, and the table of the paper's sizes."""

from __future__ import annotations

import platform
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zsar_lab.model.conv3d_check import MOST_ERROR, check_conv3d
from zsar_lab.training.bench import Side, bench_config, measure
from zsar_lab.training.loop import choose_device, cpu_threads
from zsar_lab.training.meters import config_gflop, memory_mb, peak_gflop_per_s

# training clips/s wanted of one H200 with the loader out: must, stretch
WANTED = {"rest_r3d18": (820, 1300), "rest_r2plus1d18": (600, 1000), "rest101": (450, 600), "rest18": (2000, 3700)}
MOST_OVER_BARE, LEAST_WITH_LOADER = 1.03, 0.90


def bench(preset: str, seconds: float, tiny: bool = False, device: str | None = None, say: Callable[[str], None] = print) -> dict[str, Any]:
    """Measure a preset beside its bare loop; on a GPU (or tiny) check bfloat16 convolutions and fill the table of the paper's sizes.

    Args:
        preset: a key of `presets.PRESETS`.
        seconds: of each measured side, about.
        tiny: small sizes everywhere, to try all of it on a CPU; the figures then say nothing of a real training.
        device: "cpu", "cuda", or None to choose.
        say: is given each line as soon as it is known.

    Returns:
        Plain values for json. `engine_over_bare` is a ratio of seconds a step, `loader_in_over_memory` one of clips/s, on the clock; the
        same names with `_process` are by processor time (None on a GPU, which it does not show), and those with `_ci95` are intervals of 95 %.
        `sides` holds every block that they are made of.

    Raises:
        ValueError: no such preset, or seconds not above 0.
    """
    chosen = choose_device(device)
    on_gpu = chosen.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        sides = measure(preset, Path(folder), seconds, tiny, device)
    found = {
        "preset": preset, "tiny": tiny, "device": device_words(chosen), "torch": torch.__version__,
        "threads": bench_config(preset, tiny).cpu_threads, "batch_size": sides["engine"].batch_size,
    } | ratios(sides, by_process=not on_gpu) | utilisation(preset, sides["engine"], tiny, chosen)  # fmt: skip
    for line in ratio_lines(found):
        say(line)
    found |= {"conv3d": None, "table": None}
    if not (on_gpu or tiny):
        say("The check of bfloat16 convolutions and the table of the paper's sizes need a GPU and were left out; --tiny tries them here.")
        return found
    found["conv3d"] = conv3d_rows(chosen, tiny, say)
    found["table"] = table_rows(seconds, tiny, device, say)
    return found


def ratios(sides: dict[str, Side], by_process: bool) -> dict[str, Any]:
    """Medians over the rounds of the ratio of two sides' blocks, each with its 95 % interval (the rounds drawn anew a thousand times).

    Two blocks of a round lie close in time, so their ratio keeps still where the machine's speed does not: the interval is a half to a
    quarter as wide as that of the ratio of the two sides' medians (benchmarks/LOG.md, 2026-11-23).
    """
    found: dict[str, Any] = {}
    for name, over, under in (("engine_over_bare", "engine", "bare"), ("loader_in_over_memory", "engine", "engine with loader")):
        for suffix, clock in (("", "wall"), ("_process", "process")):
            rounds = np.array(getattr(sides[over], clock)) / np.array(getattr(sides[under], clock))
            drawn = np.random.default_rng(0).integers(0, len(rounds), (1000, len(rounds)))
            interval = np.quantile(np.median(rounds[drawn], axis=1), (0.025, 0.975))
            is_wanted = clock == "wall" or by_process
            found[name + suffix] = float(np.median(rounds)) if is_wanted else None
            found[f"{name}{suffix}_ci95"] = interval.tolist() if is_wanted else None
    return found | {"clips_per_s": sides["engine"].clips_per_s, "sides": {name: side.as_json() for name, side in sides.items()}}


def utilisation(preset: str, engine: Side, tiny: bool, device: torch.device) -> dict[str, float | None]:
    """GFLOP per clip, GFLOP/s, the device's measured peak and the share of it, and memory."""
    config = bench_config(preset, tiny)
    gflop = config_gflop(config).training
    with cpu_threads(config.cpu_threads):
        peak = peak_gflop_per_s(device)
    rate = gflop * engine.clips_per_s
    return {"gflop_per_clip": gflop, "gflop_per_s": rate, "peak_gflop_per_s": peak, "peak_share": rate / peak, "memory_mb": memory_mb(device)}


def ratio_lines(found: dict[str, Any]) -> list[str]:
    """What is printed of a preset."""
    small = " (tiny: to see that it runs, not how fast)" if found["tiny"] else ""
    lines = [f"{found['preset']}{small}, {found['batch_size']} clips a step, {found['device']}, torch {found['torch']}"]
    lines.append("medians of blocks    ms a step   middle half      processor ms   clips/s")
    for name, side in found["sides"].items():
        spread = f"{1e3 * side['step_s_quarter']:.1f} to {1e3 * side['step_s_three_quarters']:.1f}"
        row = f"{name:20} {1e3 * side['step_s']:9.1f}   {spread:15} {1e3 * side['step_process_s']:13.1f}   {side['clips_per_s']:7.1f}"
        lines.append(f"{row}   ({len(side['blocks_s'])} blocks)")
    wanted = {"engine_over_bare": f"at most {MOST_OVER_BARE}", "loader_in_over_memory": f"at least {LEAST_WITH_LOADER}"}
    for name, limit in wanted.items():
        also = "" if found[f"{name}_process"] is None else f"; by processor time {_with_interval(found, f'{name}_process')}"
        lines.append(f"{name} {_with_interval(found, name)}{also}   (wanted: {limit})")
    lines.append(
        f"{found['gflop_per_clip']:.3g} GFLOP a clip, {found['gflop_per_s']:.4g} GFLOP/s, {found['peak_share']:.1%} of the measured peak"
        f" ({found['peak_gflop_per_s']:.4g} GFLOP/s)"
    )
    return lines


def _with_interval(found: dict[str, Any], name: str) -> str:
    low, high = found[f"{name}_ci95"]
    return f"{found[name]:.4f} [{low:.4f}, {high:.4f}]"


def conv3d_rows(device: torch.device, tiny: bool, say: Callable[[str], None]) -> dict[str, dict[str, float]]:
    """The check of bfloat16 against float32, said and as plain values."""
    checked = check_conv3d(device, 2 if tiny else 8, tiny)
    say("\n3D convolutions, bfloat16 against float32          largest error   times as fast")
    for name, result in checked.items():
        wrong = "" if result.max_error <= MOST_ERROR else f"   WRONG: more than {MOST_ERROR}, use another version of torch"
        say(f"{name:50} {result.max_error:13.4f}   {result.speed:13.2f}{wrong}")
    return {name: result._asdict() for name, result in checked.items()}


def table_rows(seconds: float, tiny: bool, device: str | None, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Training of each preset of the paper's size: its batch in memory, and through the loader from the frame store."""
    rows = []
    say("\ntraining              clip       clips/s   wanted of one H200   with the loader   of that (wanted: 0.95)   of the peak")
    for name, (must, stretch) in WANTED.items():
        view = bench_config(name, tiny).view
        with tempfile.TemporaryDirectory() as folder:
            sides = measure(name, Path(folder), seconds, tiny, device, bare=False)
        engine, with_loader = sides["engine"], sides["engine with loader"]
        used = utilisation(name, engine, tiny, choose_device(device))
        row = {
            "preset": name, "frames": view.n_frames, "size_px": view.size_px, "must": must, "stretch": stretch, "clips_per_s": engine.clips_per_s,
            "clips_per_s_with_loader": with_loader.clips_per_s,
            "loader_in_over_memory": float(np.median(np.array(engine.wall) / np.array(with_loader.wall))),
        } | used  # fmt: skip
        say(
            f"{name:18} {view.n_frames:4} x {view.size_px:3}   {row['clips_per_s']:9.1f}   {f'{must} ({stretch})':18}   "
            f"{row['clips_per_s_with_loader']:15.1f}   {row['loader_in_over_memory']:22.3f}   {row['peak_share']:11.1%}"
        )
        rows.append(row)
    return rows


def device_words(device: torch.device) -> str:
    """The device in words: a GPU's name, or a CPU's kind and instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"
