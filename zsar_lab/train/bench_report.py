"""What `python -m zsar_lab bench` prints and writes: ratios of a preset's sides, and what bench_table.py adds to them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from zsar_lab.train.bench import BARE, ENGINE, FEWEST_BLOCKS, RAW, TINY_BLOCKS, Side, measure, over
from zsar_lab.train.bench_study import bench_config, generated
from zsar_lab.train.bench_table import check_seconds, conv3d_rows, device_words, table_rows, utilisation
from zsar_lab.train.loop import choose_device

MOST_OVER_BARE, LEAST_WITH_LOADER = 1.03, 0.90


def bench(
    preset: str,
    seconds: float,
    tiny: bool = False,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure a preset beside its bare loop; on a GPU (or tiny) check bfloat16 convolutions and fill the table of the paper's sizes.

    Args:
        preset: a key of `presets.PRESETS`.
        seconds: of each measured side, about.
        tiny: small sizes everywhere, to try all of it on a CPU; the figures then say nothing of a real
            training.
        device: "cpu", "cuda", or None to choose.
        say: is given each line as soon as it is known.

    Returns:
        Plain values for json. `engine_over_bare` is a ratio of seconds a step, `loader_in_over_memory` one of
        clips/s, on the clock; the same names with `_process` are by processor time (None on a GPU, which it
        does not show), and those with `_ci95` are intervals of 95 %. `sides` holds every block that they are
        made of.

    Raises:
        ValueError: no such preset, or seconds not above 0.
    """
    check_seconds(seconds)
    config, chosen = bench_config(preset, tiny), choose_device(device)
    on_gpu = chosen.type == "cuda"
    with tempfile.TemporaryDirectory() as folder:
        sides = measure(
            generated(config, Path(folder), tiny),
            seconds,
            chosen,
            n_blocks=TINY_BLOCKS if tiny else FEWEST_BLOCKS,
        )
    found = (
        {
            "preset": preset,
            "tiny": tiny,
            "device": device_words(chosen),
            "torch": torch.__version__,
            "threads": config.cpu_threads,
            "batch_size": sides[ENGINE].batch_size,
        }
        | ratios(sides, by_process=not on_gpu)
        | utilisation(config, sides[ENGINE], chosen)
    )
    for line in ratio_lines(found):
        say(line)
    found |= {"conv3d": None, "table": None}
    if not (on_gpu or tiny):
        say(
            "The check of bfloat16 convolutions and the table of the paper's sizes need a GPU and were left out; --tiny tries them here."
        )
        return found
    found["conv3d"] = conv3d_rows(chosen, tiny, say)
    found["table"] = list(table_rows(seconds, tiny, chosen, say))
    return found


def ratios(sides: dict[str, Side], by_process: bool) -> dict[str, Any]:
    """Medians over the rounds of the ratio of two sides' blocks, each with its 95 % interval (the rounds drawn anew a thousand times).

    Two blocks of a round lie close in time, so their ratio keeps still where the machine's speed does not:
    the interval is a half to a quarter as wide as that of the ratio of the two sides' medians
    (benchmarks/LOG.md, 2026-11-23).
    """
    found: dict[str, Any] = {}
    for name, first, second in (("engine_over_bare", ENGINE, BARE), ("loader_in_over_memory", ENGINE, RAW)):
        for suffix, clock in (("", "wall"), ("_process", "process")):
            rounds = over(sides[first], sides[second], clock)
            drawn = np.random.default_rng(0).integers(0, len(rounds), (1000, len(rounds)))
            interval = np.quantile(np.median(rounds[drawn], axis=1), (0.025, 0.975))
            is_wanted = clock == "wall" or by_process
            found[name + suffix] = float(np.median(rounds)) if is_wanted else None
            found[f"{name}{suffix}_ci95"] = interval.tolist() if is_wanted else None
    return found | {
        "clips_per_s": sides[ENGINE].clips_per_s,
        "sides": {name: side.as_json() for name, side in sides.items()},
    }


def ratio_lines(found: dict[str, Any]) -> list[str]:
    """What is printed of a preset."""
    small = " (tiny: to see that it runs, not how fast)" if found["tiny"] else ""
    lines = [
        f"{found['preset']}{small}, {found['batch_size']} clips a step, {found['device']}, torch {found['torch']}"
    ]
    lines.append("medians of blocks    ms a step   middle half      processor ms   clips/s")
    for name, side in found["sides"].items():
        spread = f"{1e3 * side['step_s_quarter']:.1f} to {1e3 * side['step_s_three_quarters']:.1f}"
        row = f"{name:20} {1e3 * side['step_s']:9.1f}   {spread:15} {1e3 * side['step_process_s']:13.1f}   {side['clips_per_s']:7.1f}"
        lines.append(f"{row}   ({len(side['blocks_s'])} blocks)")
    wanted = {
        "engine_over_bare": f"at most {MOST_OVER_BARE}",
        "loader_in_over_memory": f"at least {LEAST_WITH_LOADER}",
    }
    for name, limit in wanted.items():
        also = (
            ""
            if found[f"{name}_process"] is None
            else f"; by processor time {_with_interval(found, f'{name}_process')}"
        )
        lines.append(f"{name} {_with_interval(found, name)}{also}   (wanted: {limit})")
    lines.append(
        f"{found['gflop_per_clip']:.3g} GFLOP a clip, {found['gflop_per_s']:.4g} GFLOP/s, {found['peak_share']:.1%} of the measured peak"
        f" ({found['peak_gflop_per_s']:.4g} GFLOP/s)"
    )
    return lines


def _with_interval(found: dict[str, Any], name: str) -> str:
    low, high = found[f"{name}_ci95"]
    return f"{found[name]:.4f} [{low:.4f}, {high:.4f}]"
