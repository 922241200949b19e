"""What an epoch costs: clips a second, time that waits for data, GFLOP/s beside the device's peak, memory.

No step is made to wait for them: on a GPU times are CUDA events, which are read at an epoch's end.
"""

from __future__ import annotations

import copy
import functools
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zsar_lab.models.rest import ModelConfig, ResT
from zsar_lab.train import distributed
from zsar_lab.train.config import TrainConfig
from zsar_lab.train.device import has_bfloat16

FORMATS = {
    "clips_per_s": "{:.1f}",
    "waiting_share": "{:.1%}",
    "gflop_per_s": "{:.1f}",
    "peak_share": "{:.1%}",
    "memory_mb": "{:.0f}",
}
Batch = TypeVar("Batch")
Instant = Any  # seconds as a float, or a recorded CUDA event


class Meters:
    """`begin` an epoch, `watch` its batches, `count` clips of steps, and read `figures` at its end."""

    def __init__(self, config: TrainConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.clock, self.peak = clock_of(device), peak_gflop_per_s
        self._started: Instant = None
        self._waits: list[tuple[Instant, Instant]] = []
        self._n_clips = 0

    def begin(self) -> None:
        """An epoch starts now; the first one measures the peak before, while the GPU's memory is not full."""
        self.peak(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._waits, self._n_clips = [], 0
        self._started = self.clock()

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; how long each lets the device wait is noted."""
        asked = self.clock()
        for batch in batches:
            self._waits.append((asked, self.clock()))
            yield batch
            asked = self.clock()

    def count(self, n_clips: int) -> None:
        """A step has taken these clips."""
        self._n_clips += n_clips

    def figures(self) -> dict[str, float]:
        """Since `begin`, for the history: rates of all ranks, shares in 0..1 of this one's device.

        Waiting is between asking for a batch and having it; on a GPU only where it had nothing else to do.
        memory_mb is the most on a GPU since `begin`, else the most resident since the process started.
        """
        time_s = max(seconds_between(self._started, self.clock()), 1e-9)
        waiting_s = sum(seconds_between(*wait) for wait in self._waits)
        clips_per_s, n_ranks = self._n_clips / time_s, distributed.world_size()
        gflop_per_s = clips_per_s * config_gflop(self.config).training
        found = {
            "clips_per_s": n_ranks * clips_per_s,
            "waiting_share": waiting_s / time_s,
            "gflop_per_s": n_ranks * gflop_per_s,
            "peak_share": gflop_per_s / self.peak(self.device),
        }
        memory = memory_mb(self.device)
        return found if memory is None else found | {"memory_mb": memory}


class ClipGflop(NamedTuple):
    """Per clip, in 1e9 operations. training: forward and backward, without the optimiser's step."""

    forward: float
    training: float


def clip_gflop(model: nn.Module, n_frames: int, size_px: int) -> ClipGflop:
    """GFLOP per clip of a backbone, or of the visual side of a ResT (labels and matching cost by class).

    A multiply-add counts as 2. Counted are convolutions, matrix products and attention; not normalisations,
    activations, sums and pooling. The backward has the gradients of parameters and features, not of frames.
    Neither the model, on any device, nor a random state is touched.
    """
    with torch.inference_mode(False), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        # in training mode, as the fused layers of inference are not counted; two clips, for batch norm
        meta = copy.deepcopy(model).to("meta").train()
        frames_BTKHW = torch.empty(2, n_frames, 3, size_px, size_px, device="meta")
        features = (
            meta.encode_video(frames_BTKHW).tokens_BPD if isinstance(meta, ResT) else meta(frames_BTKHW)
        )
        forward = counter.get_total_flops()
        features.sum().backward()
    return ClipGflop(forward / 2e9, counter.get_total_flops() / 2e9)


def config_gflop(config: TrainConfig) -> ClipGflop:
    """GFLOP of a clip of `config.view` through the visual side of `config.model`."""
    return _gflop(config.model, config.view.n_frames, config.view.size_px)


@functools.cache
def _gflop(config: ModelConfig, n_frames: int, size_px: int) -> ClipGflop:
    with torch.device("meta"):
        return clip_gflop(ResT(config), n_frames, size_px)


def clock_of(device: torch.device) -> Callable[[], Instant]:
    """`time.perf_counter`, on a GPU a function that records a CUDA event in the order of its work."""

    def event() -> torch.cuda.Event:
        recorded = torch.cuda.Event(enable_timing=True)
        recorded.record(torch.cuda.current_stream(device))
        return recorded

    return event if device.type == "cuda" else time.perf_counter


def seconds_between(first: Instant, second: Instant) -> float:
    """From one instant to a later one; waits for the GPU to reach a CUDA event."""
    if isinstance(first, float):
        return second - first
    second.synchronize()
    return first.elapsed_time(second) / 1e3


def peak_gflop_per_s(device: torch.device) -> float:
    """GFLOP/s of a matrix product (in bfloat16 where a GPU has it): the fastest of ten, once a process."""
    return _measured_peak(device, torch.get_num_threads())


@functools.cache
def _measured_peak(device: torch.device, n_threads: int) -> float:
    size, n_products = (8192, 10) if device.type == "cuda" else (768, 1)
    dtype = torch.bfloat16 if has_bfloat16(device) else torch.float32
    generator, clock = torch.Generator(device).manual_seed(0), clock_of(device)
    with torch.inference_mode():
        made = [torch.randn(size, size, generator=generator, device=device).to(dtype) for _ in range(2)]
        product = made[0] @ made[1]  # the first one also loads what it needs
        times = []
        for _ in range(10):
            started = clock()
            for _ in range(n_products):
                torch.matmul(*made, out=product)
            times.append(seconds_between(started, clock()))
    return 2 * size**3 * n_products / min(times) / 1e9


def memory_mb(device: torch.device) -> float | None:
    """The most memory in 1e6 bytes: allocated on the GPU, or resident since the process started."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if sys.platform == "linux":  # not getrusage, which begins with the figure of the process that started it
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM")), None)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return None


def tensorboard(folder: Path) -> Callable[[list[dict[str, Any]]], None] | None:
    """An `on_epoch` that writes each epoch's figures for TensorBoard; None where that is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))

    def write(history: list[dict[str, Any]]) -> None:
        for name, value in history[-1].items():
            if name not in ("epoch", "step"):
                writer.add_scalar(name, value, history[-1]["step"])
        writer.flush()

    return write
