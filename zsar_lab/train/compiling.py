"""The model made fast on its device: its precision, the backbone's layout in memory, and the transformer parts compiled where that is faster.

The convolutions are not compiled: that is as often a loss. Attention goes through SDPA by itself.

Shapes: B clips, N labels a clip in matching, P visual tokens, D width.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from zsar_lab.models.rest import ResT
from zsar_lab.train.presets import TrainConfig

MEMORY_FORMATS = ("contiguous", "channels_last")
REPEATS = 5


def lay_out(backbone: nn.Module, memory_format: str) -> None:
    """Lay a backbone's convolutions out in memory, in place: "contiguous", or "channels_last" (channels_last_3d for those over time).

    Raises:
        ValueError: there is no format of that name.
    """
    if memory_format not in MEMORY_FORMATS:
        raise ValueError(
            f"memory_format must be one of {', '.join(map(repr, MEMORY_FORMATS))}, got {memory_format!r}"
        )
    if memory_format == "channels_last":
        is_over_time = any(weight.ndim == 5 for weight in backbone.parameters())
        backbone.to(memory_format=torch.channels_last_3d if is_over_time else torch.channels_last)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Inside the block convolutions and products of matrices on a GPU are in bfloat16; on a CPU nothing changes."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


def in_full_precision(device: torch.device) -> torch.autocast:
    """Inside the block nothing is in bfloat16: a cosine rounded to three digits, over a temperature of 0.01, would be off by 0.4."""
    return torch.autocast(device.type, enabled=False)


def is_faster_compiled(
    model: ResT,
    config: TrainConfig,
    compiler: Callable[[nn.Module], Callable[[Tensor], Tensor]] = torch.compile,
) -> bool:
    """Time both transformers forth and back on made-up tokens of a training's size, compiled and not; the model stays as it is.

    Compiled, its numbers differ in rounding, and with dropout in its splits: a training resumed takes up the
    choice, not the timing.

    Args:
        model: on its device.
        config: batch size and labels a clip.
        compiler: gives the compiled form of a module.

    Returns:
        Whether compiled is faster. False, and a warning of one sentence, where the compiler does not work.
    """
    parts = _parts(model, config)
    seconds = sum(_seconds(module, tokens) for module, tokens in parts)
    try:
        compiled_seconds = sum(_seconds(compiler(module), tokens) for module, tokens in parts)
    except RuntimeError as error:  # all errors of the compiler are one
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        warnings.warn(
            f"compiling the transformer needs a compiler that works (a C++ compiler; on a GPU Triton), but {reason}; the training goes on uncompiled",
            stacklevel=2,
        )
        compiled_seconds = float("inf")
    model.zero_grad(set_to_none=True)
    return compiled_seconds < seconds


def compile_parts(model: ResT) -> None:
    """Compile both transformers in place; names of weights stay."""
    model.video_encoder.compile()
    model.cross_encoder.compile()


def _parts(model: ResT, config: TrainConfig) -> list[tuple[nn.Module, Tensor]]:
    """Each transformer with tokens as it reads them in a step: [B, P, D] and [B N, 1 + P + label tokens, D]."""
    time_steps, rows, columns = model.map_size if config.model.spatial_tokens else (model.map_size[0], 1, 1)
    n_tokens, like = 1 + time_steps * rows * columns, model.clip_token
    alone = like.new_ones(config.batch_size, n_tokens, config.model.width)
    joint = like.new_ones(
        config.batch_size * config.n_match_labels,
        2 + n_tokens + config.model.n_label_tokens,
        config.model.width,
    )
    return [(model.video_encoder, alone)] + ([(model.cross_encoder, joint)] if config.matching_weight else [])


def _seconds(run: Callable[[Tensor], Tensor], tokens_BPD: Tensor) -> float:
    """The shortest of some runs forth and back, after two that do not count."""
    device, taken = tokens_BPD.device, []
    for _ in range(2 + REPEATS):
        started = time.perf_counter()
        with mixed_precision(device):
            read = run(tokens_BPD)
        read.float().sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        taken.append(time.perf_counter() - started)
    return min(taken[2:])
