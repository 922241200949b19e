"""Meters of a training: clips a second, the share of time that waits for data, GFLOP/s beside the device's measured peak, and memory.

No step is made to wait for them: on a GPU times are CUDA events, which stand in line with its work and are
read at an epoch's end.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import torch

from zsar_lab.models.flops import ClipGflop, clip_gflop
from zsar_lab.models.rest import ResT
from zsar_lab.train.presets import TrainConfig

FORMATS = {
    "clips_per_s": "{:.1f}",
    "waiting_share": "{:.1%}",
    "gflop_per_s": "{:.1f}",
    "peak_share": "{:.1%}",
    "memory_mb": "{:.0f}",
}
Batch = TypeVar("Batch")
Mark = Any  # an instant: seconds as a float, or a recorded CUDA event


class Meters:
    """What an epoch costs: `begin` it, `watch` its batches, `count` the clips of each step, and read `figures` at its end.

    The two calls of the clock in a step are all that a step pays; GFLOP per clip and the device's peak are
    found once.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        clock: Callable[[], Mark] | None = None,
        ranks: int = 1,
        peak: Callable[[torch.device], float] | None = None,
    ) -> None:
        """Args: config: its model and view say what a clip costs. device: of the training. clock: gives the present instant; None is `time.perf_counter`, on a GPU a CUDA event. ranks: processes that take as many clips each; rates are those of all of them, the share of the peak that of this one's device. peak: GFLOP/s that the device can reach; None measures it in the precision trained in."""
        self.config, self.device, self.ranks = config, device, ranks
        self._clock = clock or clock_of(device)
        self._peak = peak or peak_gflop_per_s
        self._started: Mark = None
        self._waits: list[tuple[Mark, Mark]] = []
        self._n_clips = 0

    @functools.cached_property
    def gflop_per_clip(self) -> float:
        """Forward and backward of the visual side (labels and matching are not counted)."""
        return config_gflop(self.config).training

    def begin(self) -> None:
        """An epoch starts now. The first one measures the peak beforehand, while the GPU's memory is not yet full."""
        self._peak(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)
        self._waits, self._n_clips = [], 0
        self._started = self._clock()

    def watch(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """The same batches; how long each lets the device wait is noted."""
        iterator, end = iter(batches), object()
        while True:
            asked = self._clock()
            batch = next(iterator, end)
            if batch is end:
                return
            self._waits.append((asked, self._clock()))
            yield batch

    def count(self, n_clips: int) -> None:
        """A step has taken these clips."""
        self._n_clips += n_clips

    def figures(self) -> dict[str, float]:
        """Since `begin`, for the history.

        Returns:
            clips_per_s: of all ranks.
            waiting_share: of the time, 0..1, between asking for a batch and having it; on a GPU only where it
                had nothing else to do.
            gflop_per_s: clips_per_s times `gflop_per_clip`.
            peak_share: a device's GFLOP/s over what it reaches in a plain matrix product, 0..1.
            memory_mb: of this process, without loader processes: allocated at most since `begin` on a GPU,
                else resident at most since the process started; not on a Windows CPU.

        Raises:
            RuntimeError: no epoch was begun.
        """
        if self._started is None:
            raise RuntimeError("figures need an epoch that was begun, got none; call begin() first")
        time_s = seconds_between(self._started, self._clock())
        waiting_s = sum(seconds_between(*wait) for wait in self._waits)
        clips_per_s = self._n_clips / max(time_s, 1e-9)
        device_gflop_per_s = clips_per_s * self.gflop_per_clip
        found = {
            "clips_per_s": self.ranks * clips_per_s,
            "waiting_share": waiting_s / max(time_s, 1e-9),
            "gflop_per_s": self.ranks * device_gflop_per_s,
            "peak_share": device_gflop_per_s / self._peak(self.device),
        }
        memory = memory_mb(self.device)
        return found if memory is None else found | {"memory_mb": memory}


def shown(figures: dict[str, Any]) -> dict[str, str]:
    """The meters' part of an epoch's figures as they stand behind the bar."""
    return {name: form.format(figures[name]) for name, form in FORMATS.items() if name in figures}


@functools.cache
def config_gflop(config: TrainConfig) -> ClipGflop:
    """GFLOP of a clip of `config.view` through the visual side of `config.model`; counted once a process, on the meta device, nothing random."""
    with torch.device("meta"):
        model = ResT(config.model)
    return clip_gflop(model, config.view.n_frames, config.view.size_px)


def clock_of(device: torch.device) -> Callable[[], Mark]:
    """`time.perf_counter`, on a GPU a function that records a CUDA event in the order of its work."""
    return functools.partial(_event, device) if device.type == "cuda" else time.perf_counter


def seconds_between(first: Mark, second: Mark) -> float:
    """From one instant to a later one; waits for the GPU to reach a CUDA event."""
    if isinstance(first, float):
        return second - first
    second.synchronize()
    return first.elapsed_time(second) / 1e3


def peak_gflop_per_s(device: torch.device) -> float:
    """GFLOP/s of a square matrix product in the precision trained in: bfloat16 on a GPU, float32 on a CPU; measured once a process.

    The fastest of ten: what the device can reach, not what it reaches beside other work.
    """
    return _measured_peak(
        device, torch.bfloat16 if device.type == "cuda" else torch.float32, torch.get_num_threads()
    )


def memory_mb(device: torch.device) -> float | None:
    """The most memory in 1e6 bytes: allocated on the GPU, or resident since the process started; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    if (
        sys.platform == "linux"
    ):  # not getrusage: its figure begins with that of the process that started this one
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return next(
            (int(line.split()[1]) * 1024 / 1e6 for line in status.splitlines() if line.startswith("VmHWM")),
            None,
        )
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return None


def tensorboard_is_installed() -> bool:
    """Whether `tensorboard` can be used."""
    return importlib.util.find_spec("tensorboard") is not None


def tensorboard(folder: Path) -> Callable[[list[dict[str, Any]]], None]:
    """An `on_epoch` for `train` that writes each epoch's figures for TensorBoard; log.csv has them in any case.

    Raises:
        RuntimeError: TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise RuntimeError(
            "TensorBoard is not installed; pip install tensorboard, or leave it out: log.csv holds the same figures"
        ) from error
    writer = SummaryWriter(str(folder))

    def write(history: list[dict[str, Any]]) -> None:
        for name, value in history[-1].items():
            if name not in ("epoch", "step"):
                writer.add_scalar(name, value, history[-1]["step"])
        writer.flush()

    return write


def _event(device: torch.device) -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record(torch.cuda.current_stream(device))
    return event


@functools.cache
def _measured_peak(device: torch.device, dtype: torch.dtype, n_threads: int) -> float:
    size, n_products = (8192, 10) if device.type == "cuda" else (768, 1)
    generator, clock = torch.Generator(device).manual_seed(0), clock_of(device)
    with torch.inference_mode():
        first, second = (
            torch.randn(size, size, generator=generator, device=device).to(dtype) for _ in range(2)
        )
        product = first @ second  # the first one also loads what it needs
        times = []
        for _ in range(10):
            started = clock()
            for _ in range(n_products):
                torch.matmul(first, second, out=product)
            times.append(seconds_between(started, clock()))
    return 2 * size**3 * n_products / min(times) / 1e9
