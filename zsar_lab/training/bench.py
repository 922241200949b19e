"""How fast a training is: the engine's step beside a bare hand-written loop, with its batches in memory and through the loader.

All sides are measured in turn, a few steps each, again and again: a machine that is busy with other work hurts them alike.
Shapes: B clips, S seen classes, N labels a clip in matching.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import Batch, training_batches, training_view
from zsar_lab.data.protocols.protocol import Protocol
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.model.losses import alignment_loss, classification_loss, hard_labels, matching_loss
from zsar_lab.model.rest import ResT
from zsar_lab.text.classtext import ClassText
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.training.checkpoint import FILE_NAME, Checkpoint, Inputs
from zsar_lab.training.loop import _Training, choose_device, clips_of, cpu_threads, text_inputs
from zsar_lab.training.presets import TrainConfig, preset_named

# seen classes and width of the class texts: of the demo, and of Kinetics-664 with one line of text
DEMO_SIZES, KINETICS_SIZES = (32, 6 * 384), (664, 384)
MOST_BYTES, MOST_BATCHES = 600_000_000, 16  # of generated frames
FEWEST_BLOCKS, BLOCK_S = 5, 0.25


class Study(NamedTuple):
    """What a training is given, generated."""

    store: FrameStore
    protocol: Protocol
    classes: ClassEmbeddings
    config: TrainConfig


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
            "step_s": statistics.median(self.wall), "step_s_quarter": low, "step_s_three_quarters": high,
            "step_process_s": statistics.median(self.process), "clips_per_s": self.clips_per_s,
            "blocks_s": list(self.wall), "blocks_process_s": list(self.process),
        }  # fmt: skip


def measure(name: str, folder: Path, seconds: float, tiny: bool = False, device: str | None = None, bare: bool = True) -> dict[str, Side]:
    """Time the sides of a preset.

    Args:
        name: of a preset, a key of `presets.PRESETS`.
        folder: for the generated frames.
        seconds: of each side, about; five blocks of steps are taken in any case.
        tiny: of a small batch of small clips and narrow layers, to see that it runs.
        device: "cpu", "cuda", or None to choose.
        bare: with the bare loop.

    Returns:
        "bare" (if asked for) and "engine", both again and again on a batch in memory, and "engine with loader".

    Raises:
        ValueError: no such preset, or seconds not above 0.
    """
    if not seconds > 0:
        raise ValueError(f"seconds of a measurement must be above 0, got {seconds}")
    config, chosen = bench_config(name, tiny), choose_device(device)
    with torch.random.fork_rng(), cpu_threads(config.cpu_threads):
        study = generated(config, folder, MOST_BYTES // 100 if tiny else MOST_BYTES)
        engine = Engine(study, chosen)
        batches = engine.batches()
        memory = next(batches)
        steps: dict[str, Callable[[], None]] = {}
        if bare:
            loop = BareLoop(study, chosen)
            steps["bare"] = lambda: loop.step(memory.frames_BNHWC, memory.target_B)
        steps["engine"] = lambda: engine.step(memory)
        steps["engine with loader"] = lambda: engine.step(next(batches))
        return alternate(steps, seconds, config.batch_size, chosen)


def bench_config(name: str, tiny: bool) -> TrainConfig:
    """A preset's configuration; tiny: 2 clips a step of a quarter of the frames, a quarter as wide, a narrow transformer, few classes.

    Raises:
        ValueError: no such preset.
    """
    config = preset_named(name)(*(DEMO_SIZES if name == "demo" else KINETICS_SIZES))
    if not tiny:
        return config
    n_frames, size_px = config.view.n_frames // 4, max(16, config.view.size_px // 32 * 8)
    small = {"width": 32, "depth": 1, "heads": 2, "feedforward": 32, "text_width": 16, "word_width": 8, "n_seen": 8}
    model = replace(config.model, n_frames=n_frames, size_px=size_px, **small)
    return replace(config, batch_size=2, view=replace(config.view, n_frames=n_frames, size_px=size_px), model=model)


def generated(config: TrainConfig, folder: Path, most_bytes: int) -> Study:
    """A frame store of noise on disk (memory-mapped; as it was just written, the system has it in memory), and class texts of noise.

    Its clips are half as many frames again as the view's and a seventh wider, 24 frames of 64 px for the small backbone as in the demo.
    """
    view, model, random = config.view, config.model, np.random.default_rng(0)
    settings = FrameSettings() if view.n_frames == 8 and view.size_px == 48 else FrameSettings(3 * view.n_frames // 2, size_px=8 * view.size_px // 7)
    clip_bytes = settings.n_frames * settings.size_px**2 * 3
    n_clips = max(2, min(MOST_BATCHES, most_bytes // (clip_bytes * config.batch_size))) * config.batch_size
    shape = (n_clips + 2, settings.n_frames, settings.size_px, settings.size_px, 3)
    frames = np.lib.format.open_memmap(folder / "frames.npy", mode="w+", dtype=np.uint8, shape=shape)
    for row in frames:
        row[:] = np.frombuffer(random.bytes(clip_bytes), np.uint8).reshape(row.shape)
    frames.flush()
    seen = tuple(f"seen {number}" for number in range(model.n_seen))
    labels = [seen[number % model.n_seen] for number in range(n_clips)] + ["unseen 0", "unseen 1"]
    ids = [f"clip {number}" for number in range(n_clips + 2)]
    nothing = pd.DataFrame({"id": [], "reason": []})
    store = FrameStore(folder, np.load(folder / "frames.npy", mmap_mode="r"), ids, labels, settings, "generated frames", nothing)
    protocol = Protocol("bench", seen, (), ("unseen 0", "unseen 1"), tuple(ids[:-2]), (), (), tuple(ids[-2:]))
    pooled = random.normal(size=(model.n_seen, model.text_width)).astype(np.float32)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    words = random.normal(size=(model.n_seen, 12, model.word_width)).astype(np.float32)
    classes = ClassEmbeddings(ClassText("generated", seen, seen), "no encoder", pooled, words, np.ones(words.shape[:2], dtype=bool))
    return Study(store, protocol, classes, config)


class Engine:
    """The training loop's own step and loader, driven from outside: all that this file knows of the inside of training/loop.py."""

    def __init__(self, study: Study, device: torch.device) -> None:
        self.study = study
        self.rows, self.targets = clips_of(study.store, study.protocol.train_clips, study.protocol.seen)
        inputs = Inputs(study.protocol.hash, study.store.fingerprint, study.classes.fingerprint)
        start = Checkpoint(study.store.folder / FILE_NAME, study.config, inputs, 0, 1_000_000, [])  # nothing is saved
        self.training = _Training(study.store, study.protocol, study.classes, start, device, self.rows, self.targets, None)
        self.n_steps = 0

    def batches(self) -> Iterator[Batch]:
        """Epoch after epoch of the loader's batches, those of full size."""
        config, epoch = self.study.config, 0
        while True:
            yield from training_batches(self.study.store.frames, self.rows, self.targets, config.batch_size, config.seed, epoch)
            epoch += 1

    def step(self, batch: Batch) -> dict[str, float]:
        self.n_steps += 1
        return self.training.step.take(batch._replace(step=self.n_steps))


class BareLoop:
    """The same training as a script would write it: same model, optimiser, views and losses; no checks, no keyed randomness."""

    def __init__(self, study: Study, device: torch.device) -> None:
        self.config, self.device = study.config, device
        config = study.config
        self.model = ResT(config.model).to(device).train()
        matrices = [p for p in self.model.parameters() if p.ndim >= 2]
        others = [p for p in self.model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, lr=config.learning_rate / 100, betas=(0.9, 0.99), fused=True)
        self.text = text_inputs(study.classes, study.protocol.seen, config.model.n_label_tokens, device)
        self.generator = torch.Generator(device).manual_seed(config.seed)

    def step(self, frames_BNHWC: Tensor, target_B: Tensor) -> float:
        config, model = self.config, self.model
        target_B = target_B.to(self.device)
        view = training_view(frames_BNHWC.to(self.device, non_blocking=True), config.view, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            labels = model.encode_labels(*self.text)
            code = model.encode_video(view)
            logits_BS = model.seen_logits(code.embedding_BD, config.temperature)
            loss = config.classification_weight * classification_loss(logits_BS, target_B, config.label_smoothing)
            loss = loss + config.alignment_weight * alignment_loss(code.embedding_BD, labels.embedding_CD, target_B, model.log_temperature)
            uniform_BS = torch.rand(len(target_B), config.model.n_seen, generator=self.generator, device=self.device)
            chosen_BN = hard_labels(code.embedding_BD, labels.embedding_CD, target_B, config.n_match_labels, uniform_BS)
            pairs = code.tokens_BPD.repeat_interleave(config.n_match_labels, 0), labels.tokens_CLD[chosen_BN.flatten()]
            loss = loss + config.matching_weight * matching_loss(model.match(*pairs).view(chosen_BN.shape))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        self.optimiser.step()
        return loss.item()


def alternate(steps: dict[str, Callable[[], Any]], seconds: float, batch_size: int, device: torch.device) -> dict[str, Side]:
    """Time steps of each side in turn, in blocks of a quarter of a second (one step at least), forwards and backwards through the sides.

    Args:
        steps: of each side, by its name; the first two calls of each are not counted.
        seconds: of each side, about; at least five blocks.
        batch_size: clips a step.
        device: waited for at each end of a block.
    """
    clocks = (time.perf_counter, time.process_time)

    def block(step: Callable[[], Any], n_steps: int) -> tuple[float, ...]:
        _finish(device)
        started = [clock() for clock in clocks]
        for _ in range(n_steps):
            step()
        _finish(device)
        return tuple((clock() - start) / n_steps for clock, start in zip(clocks, started, strict=True))

    for step in steps.values():
        block(step, 1)
    step_s = max(block(step, 1)[0] for step in steps.values())
    n_steps = max(1, round(min(BLOCK_S, seconds / FEWEST_BLOCKS) / step_s))
    n_rounds = max(FEWEST_BLOCKS, round(seconds / (n_steps * step_s)))
    times: dict[str, list[tuple[float, ...]]] = {name: [] for name in steps}
    for number in range(n_rounds):
        for name in list(steps)[:: 1 if number % 2 else -1]:
            times[name].append(block(steps[name], n_steps))
    return {name: Side(*zip(*found, strict=True), batch_size) for name, found in times.items()}


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
