"""How fast a training is: the engine's step beside a bare hand-written loop, with its batches in memory and through the loader.

All sides are measured in turn, a few steps each, again and again: a machine that is busy with other work
hurts them alike. Shapes: B clips, S seen classes, N labels a clip in matching.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsar_lab.data.loader import Batch, training_batches, training_view
from zsar_lab.data.pixels import JpegFrames
from zsar_lab.models.losses import alignment_loss, classification_loss, hard_labels, matching_loss
from zsar_lab.models.rest import ResT
from zsar_lab.train.bench_study import Study
from zsar_lab.train.checkpoint import FILE_NAME, Checkpoint, Inputs
from zsar_lab.train.compiling import in_full_precision, lay_out, mixed_precision
from zsar_lab.train.loop import _Training, choose_readers, clips_of, cpu_threads, text_inputs
from zsar_lab.train.optimisers import MOMENTUM
from zsar_lab.train.ranks import ALONE

BARE, ENGINE, RAW, JPEG = "bare", "engine", "engine with loader", "engine with JPEG loader"
FEWEST_BLOCKS, TINY_BLOCKS = 5, 2
LONG_EPOCH = 100  # times that each clip is in an epoch: as in a real training, its start and end do not count
Steps = Generator[Any, None, None]  # the first value: ready; then a step each


@dataclass(frozen=True)
class Side:
    """Seconds a step of one way to train, one value a block of steps.

    Attributes:
        wall: on the clock.
        process: of the processor, of all threads of this process; what other processes take is not in it.
        batch_size: clips a step.
    """

    wall: tuple[float, ...]
    process: tuple[float, ...]
    batch_size: int

    @property
    def clips_per_s(self) -> float:
        return self.batch_size / statistics.median(self.wall)

    def as_json(self) -> dict[str, float | list[float]]:
        low, _, high = statistics.quantiles(self.wall, n=4)
        return {
            "step_s": statistics.median(self.wall),
            "step_s_quarter": low,
            "step_s_three_quarters": high,
            "step_process_s": statistics.median(self.process),
            "clips_per_s": self.clips_per_s,
            "blocks_s": list(self.wall),
            "blocks_process_s": list(self.process),
        }


def over(first: Side, second: Side, clock: str = "wall") -> np.ndarray:
    """The ratio of two sides' seconds a step in each round, where they lie close in time."""
    return np.array(getattr(first, clock)) / np.array(getattr(second, clock))


def measure(
    study: Study,
    seconds: float,
    device: torch.device,
    bare: bool = True,
    jpeg: JpegFrames | None = None,
    readers: int | None = None,
    n_blocks: int = FEWEST_BLOCKS,
) -> dict[str, Side]:
    """Time the sides of a training.

    Args:
        study: from `generated`.
        seconds: of each side, about.
        device: to train on.
        bare: with the bare loop.
        jpeg: the store's frames as JPEG images, for a side that reads these.
        readers: threads that read ahead; None for as many as a training has.
        n_blocks: of steps, that are taken of each side in any case; two or more.

    Returns:
        "bare" (if asked for) and "engine", both again and again on a batch in memory, "engine with loader",
        and "engine with JPEG loader" (if there are such frames).

    Raises:
        ValueError: the bare loop, which knows nothing of it, was asked for with accumulate above 1.
    """
    config = study.config
    if bare and config.accumulate > 1:
        raise ValueError(
            f"a bare loop needs accumulate 1, got {config.accumulate}; measure without it, or set accumulate to 1"
        )
    with torch.random.fork_rng(), cpu_threads(config.cpu_threads):
        engine = Engine(study, device, readers)
        with closing(engine.batches(study.store.frames)) as batches:
            memory = next(batches)
        sides: dict[str, Callable[[], Steps]] = {}
        if bare:
            loop = BareLoop(study, device)
            sides[BARE] = lambda: _steps(
                lambda batch: loop.step(batch.frames_BNHWC, batch.target_B), (memory for _ in count())
            )
        sides[ENGINE] = lambda: _steps(engine.step, (memory for _ in count()))
        sides[RAW] = lambda: _steps(engine.step, engine.batches(study.store.frames), engine.n_ahead)
        if jpeg is not None:
            sides[JPEG] = lambda: _steps(engine.step, engine.batches(jpeg), engine.n_ahead)
        return alternate(sides, seconds, config.batch_size * config.accumulate, device, n_blocks)


def _steps(step: Callable[[Batch], Any], batches: Generator[Batch, None, None], n_ahead: int = 0) -> Steps:
    """Steps of batches, without the first `n_ahead`: those lay ready, and would hide how long reading takes."""
    with closing(batches):
        for _ in range(n_ahead):
            next(batches)
        yield
        yield from map(step, batches)


class Engine:
    """The training loop's own step and loader, driven from outside: all that this file knows of the inside of training/loop.py."""

    def __init__(self, study: Study, device: torch.device, readers: int | None = None) -> None:
        self.study = study
        self.rows, self.targets = clips_of(study.store, study.protocol.train_clips, study.protocol.seen)
        inputs = Inputs(study.protocol.training_hash, study.store.fingerprint, study.classes.fingerprint)
        start = Checkpoint(
            study.store.folder / FILE_NAME, study.config, inputs, 0, 1_000_000, []
        )  # nothing is saved
        n_readers = choose_readers(readers, device, ALONE)
        self.training = _Training(
            study.store,
            study.protocol,
            study.classes,
            start,
            device,
            self.rows,
            self.targets,
            None,
            readers=n_readers,
        )
        self.n_ahead = n_readers + 1 if n_readers else 0
        self.n_steps = self.n_epochs = 0

    def batches(self, frames: np.ndarray | JpegFrames) -> Generator[Batch, None, None]:
        """Epoch after epoch of the loader's batches, read as a training on this device reads them."""
        config = self.study.config
        rows, targets = np.tile(self.rows, LONG_EPOCH), np.tile(self.targets, LONG_EPOCH)
        while True:
            self.n_epochs += 1
            clips_a_step = config.batch_size * config.accumulate
            yield from training_batches(
                frames, rows, targets, clips_a_step, config.seed, self.n_epochs, **self.training.reading
            )

    def step(self, batch: Batch) -> dict[str, float]:
        self.n_steps += 1
        return self.training.step.take(batch._replace(step=self.n_steps))


class BareLoop:
    """The same training as a script would write it: same model, layout, optimiser, views and losses; no checks, no keyed randomness."""

    def __init__(self, study: Study, device: torch.device) -> None:
        self.config, self.device = study.config, device
        config = study.config
        self.model = ResT(config.model).to(device).train()
        lay_out(self.model.backbone, config.memory_format)
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        if config.optimiser == "sgd":
            self.optimiser = torch.optim.SGD(
                groups, lr=config.learning_rate / 100, momentum=MOMENTUM, fused=True
            )
        else:
            self.optimiser = torch.optim.AdamW(
                groups, lr=config.learning_rate / 100, betas=(0.9, 0.99), fused=True
            )
        self.text = text_inputs(study.classes, study.protocol.seen, config.model.n_label_tokens, device)
        self.generator = torch.Generator(device).manual_seed(config.seed)

    def step(self, frames_BNHWC: Tensor, target_B: Tensor) -> float:
        config, model = self.config, self.model
        target_B = target_B.to(self.device)
        view = training_view(frames_BNHWC.to(self.device, non_blocking=True), config.view, self.generator)
        with mixed_precision(self.device):
            labels = model.encode_labels(*self.text)
            code = model.encode_video(view)
            with in_full_precision(self.device):
                logits_BS = model.seen_logits(code.embedding_BD, config.temperature)
                loss = config.classification_weight * classification_loss(
                    logits_BS, target_B, config.label_smoothing
                )
                loss = loss + config.alignment_weight * alignment_loss(
                    code.embedding_BD, labels.embedding_CD, target_B, model.log_temperature
                )
                uniform_BS = torch.rand(
                    len(target_B), config.model.n_seen, generator=self.generator, device=self.device
                )
                chosen_BN = hard_labels(
                    code.embedding_BD, labels.embedding_CD, target_B, config.n_match_labels, uniform_BS
                )
            pairs = (
                code.tokens_BPD.repeat_interleave(config.n_match_labels, 0),
                labels.tokens_CLD[chosen_BN.flatten()],
            )
            loss = loss + config.matching_weight * matching_loss(model.match(*pairs).view(chosen_BN.shape))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        self.optimiser.step()
        return loss.item()


def alternate(
    sides: dict[str, Callable[[], Steps]],
    seconds: float,
    batch_size: int,
    device: torch.device,
    n_blocks: int = FEWEST_BLOCKS,
) -> dict[str, Side]:
    """Time steps of each side in turn, in blocks of a quarter of a second, on a GPU of a second (one step at least), forwards and backwards through the sides.

    Args:
        sides: by name, what begins a block: a generator that is ready with its first value, takes a step for
            each after it, and is closed at the end, so that no side's readers run beside another. The first
            two blocks of each, of one step, are not counted.
        seconds: of each side, about.
        batch_size: clips a step.
        device: waited for at each end of a block.
        n_blocks: of each side at least.
    """
    clocks, block_s = (time.perf_counter, time.process_time), 1.0 if device.type == "cuda" else 0.25

    def block(side: Callable[[], Steps], n_steps: int) -> tuple[float, ...]:
        with closing(side()) as steps:
            next(steps)
            _finish(device)
            started = [clock() for clock in clocks]
            for _ in range(n_steps):
                next(steps)
            _finish(device)
            return tuple((clock() - start) / n_steps for clock, start in zip(clocks, started, strict=True))

    for side in sides.values():
        block(side, 1)
    step_s = max(block(side, 1)[0] for side in sides.values())
    n_steps = max(1, round(min(block_s, seconds / n_blocks) / step_s))
    n_rounds = max(n_blocks, round(seconds / (n_steps * step_s)))
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in sides}
    for number in range(n_rounds):
        for name in list(sides)[:: 1 if number % 2 else -1]:
            times[name].append(block(sides[name], n_steps))
    return {name: Side(*zip(*found, strict=True), batch_size) for name, found in times.items()}


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
