"""The device of a training and how the model is made fast on it: precision, layout, compiling, threads.

The convolutions are not compiled: that is as often a loss. Attention goes through SDPA by itself.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from zsar_lab.models.rest import ResT
from zsar_lab.train import distributed


def choose_device(name: str | None = None) -> torch.device:
    """The device named, else the first GPU (of several ranks each its own), else the CPU."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    is_shared = name == "cuda" and distributed.world_size() > 1
    return torch.device(name, distributed.local_rank()) if is_shared else torch.device(name)


def choose_num_workers(num_workers: int | None, device: torch.device) -> int:
    """Threads that read ahead: as given, none on a CPU, on a GPU its part of 2/5 of the cores (2..16)."""
    if num_workers is not None:
        return num_workers
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    n_ranks = int(os.environ.get("LOCAL_WORLD_SIZE", 1)) if distributed.world_size() > 1 else 1
    return min(16, max(2, int(0.4 * n_cores / n_ranks))) if device.type == "cuda" else 0


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Let torch use this many threads on the CPU inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def has_bfloat16(device: torch.device) -> bool:
    """Whether it is a GPU that computes in bfloat16; before Ampere it is emulated, slower than float32."""
    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Convolutions and matrix products in bfloat16 inside the block on a GPU that has it, else in float32."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device))


def lay_out(backbone: Any, memory_format: str) -> None:
    """Lay a backbone out in memory, in place: "channels_last" (channels_last_3d over time), or as it is."""
    if memory_format == "channels_last":
        is_over_time = any(weight.ndim == 5 for weight in backbone.parameters())
        backbone.to(memory_format=torch.channels_last_3d if is_over_time else torch.channels_last)


def compiles(model: ResT) -> bool:
    """Whether the compiler works here, tried on two tokens; a warning where it does not."""
    tokens = model.clip_token.new_ones(1, 2, model.config.width)
    try:
        with torch.no_grad():
            torch.compile(model.video_encoder)(tokens)
    except RuntimeError as error:  # all errors of the compiler are one
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        warnings.warn(f"compile_transformer needs a compiler that works: {reason}", stacklevel=2)
        return False
    return True
