"""The device of a training and how the model is made fast on it: precision, layout, compiling, threads.

The convolutions are not compiled: that is as often a loss. Attention goes through SDPA by itself.
Shapes: B clips, N labels a clip in matching, P visual tokens, D width.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from zsar_lab.models.rest import ResT
from zsar_lab.train import distributed
from zsar_lab.train.config import TrainConfig

REPEATS = 5


def choose_device(name: str | None = None) -> torch.device:
    """The device named, else the first GPU (of several ranks each its own), else the CPU."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    is_shared = name == "cuda" and distributed.world_size() > 1
    return torch.device(name, distributed.local_rank()) if is_shared else torch.device(name)


def choose_num_workers(num_workers: int | None, device: torch.device) -> int:
    """Threads that read batches ahead: as given, none on a CPU, on a GPU its part of 2/5 of the cores (2..16)."""
    if num_workers is not None:
        return num_workers
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, max(2, int(0.4 * n_cores / distributed.local_count()))) if device.type == "cuda" else 0


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Let torch use this many threads on the CPU inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def synchronise(device: torch.device) -> None:
    """Wait for a GPU's work; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Convolutions and matrix products on a GPU are in bfloat16 inside the block; nothing changes on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def lay_out(backbone: nn.Module, memory_format: str) -> None:
    """Lay a backbone out in memory, in place: "channels_last" (channels_last_3d over time), or as it is."""
    if memory_format == "channels_last":
        is_over_time = any(weight.ndim == 5 for weight in backbone.parameters())
        backbone.to(memory_format=torch.channels_last_3d if is_over_time else torch.channels_last)


def is_faster_compiled(
    model: ResT, config: TrainConfig, compiler: Callable[[nn.Module], Callable] = torch.compile
) -> bool:
    """Time both transformers forth and back on made-up tokens of a training's size, compiled and not.

    Compiled, numbers differ in rounding and in dropout: a resumed training takes up the choice, not a timing.

    Args:
        model: on its device; it stays as it is.
        config: batch size and labels a clip.
        compiler: gives the compiled form of a module.

    Returns:
        Whether compiled is faster; False, with a warning, where the compiler does not work.
    """
    model_config, like = config.model, model.clip_token
    n_tokens = model.time_embedding.shape[1]
    if model_config.spatial_tokens:
        n_tokens = 1 + model.map_size[0] * model.map_size[1] * model.map_size[2]
    parts = [(model.video_encoder, like.new_ones(config.batch_size, n_tokens, model_config.width))]
    if config.loss_weights.get("matching"):
        n_pairs = config.batch_size * config.n_match_labels
        n_joint = 2 + n_tokens + model_config.n_label_tokens
        parts.append((model.cross_encoder, like.new_ones(n_pairs, n_joint, model_config.width)))
    seconds = sum(_seconds(module, tokens) for module, tokens in parts)
    try:
        compiled_seconds = sum(_seconds(compiler(module), tokens) for module, tokens in parts)
    except RuntimeError as error:  # all errors of the compiler are one
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        warnings.warn(
            f"compile_transformer needs a working compiler, got: {reason}; not compiled", stacklevel=2
        )
        compiled_seconds = float("inf")
    model.zero_grad(set_to_none=True)
    return compiled_seconds < seconds


def _seconds(run: Callable[[Tensor], Tensor], tokens_BPD: Tensor) -> float:
    """The shortest of some runs forth and back, after two that do not count."""
    taken = []
    for _ in range(2 + REPEATS):
        started = time.perf_counter()
        with mixed_precision(tokens_BPD.device):
            read = run(tokens_BPD)
        read.float().sum().backward()
        synchronise(tokens_BPD.device)
        taken.append(time.perf_counter() - started)
    return min(taken[2:])
