"""How fast a training is: the engine's step beside a bare hand-written loop, and the loader beside memory.

    python -m zsar_lab bench [--preset demo] [--seconds 20] [--tiny]

All it trains on is generated. The sides are measured in turn, a few steps each, again and again: a machine
that is busy with other work hurts them alike. Shapes: B clips, S seen classes, N labels a clip in matching.
"""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import Batch, training_batches, training_view
from zsar_lab.data.pixels import PLACES_FILE, RAW_FILE, JpegFrames, append_jpeg
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.models.losses import LOSSES, LossInputs
from zsar_lab.models.rest import ResT
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.checkpoint import FILE_NAME, Checkpoint, Inputs
from zsar_lab.train.config import TrainConfig, config_of
from zsar_lab.train.device import choose_device, cpu_threads, lay_out, mixed_precision
from zsar_lab.train.loop import Training
from zsar_lab.train.meters import config_gflop, memory_mb, peak_gflop_per_s
from zsar_lab.train.step import make_optimiser
from zsar_lab.train.text_tail import text_inputs

BARE, ENGINE, RAW, JPEG = "bare", "engine", "engine with loader", "engine with JPEG loader"
MOST_OVER_BARE, LEAST_WITH_LOADER = 1.03, 0.90
FEWEST_BLOCKS, TINY_BLOCKS = 5, 2
LONG_EPOCH = 100  # times that each clip is in an epoch: as in a real training, its ends do not count
# seen classes and width of the class texts: of the demo, and of Kinetics-664 with one line of text
DEMO_SIZES, KINETICS_SIZES = (32, 6 * 384), (664, 384)
MOST_BYTES, MOST_BATCHES = 600_000_000, 16  # of generated frames
N_PICTURES = 32  # different clips; after them they come again
PATCH_PX, NOISE, JPEG_QUALITY = 20, 10, 90  # together 3 bits a pixel as JPEG, an eighth of the raw size
Steps = Generator[Any, None, None]  # the first value: ready; then a step each


class Study(NamedTuple):
    """What a training is given, generated."""

    store: FrameStore
    protocol: Protocol
    classes: ClassEmbeddings
    config: TrainConfig


def bench_config(preset: str, tiny: bool) -> TrainConfig:
    """A preset's configuration; tiny: 2 clips a step, a quarter of the frames, of the size, and so on."""
    config = config_of(preset, {}, *(DEMO_SIZES if preset == "demo" else KINETICS_SIZES))
    if not tiny:
        return config
    n_frames, size_px = config.view.n_frames // 4, max(16, config.view.size_px // 32 * 8)
    small = {"width": 32, "depth": 1, "heads": 2, "feedforward": 32}
    small |= {"text_width": 16, "word_width": 8, "n_seen": 8, "n_frames": n_frames, "size_px": size_px}
    view = replace(config.view, n_frames=n_frames, size_px=size_px)
    return replace(config, batch_size=2, view=view, model=replace(config.model, **small))


def generated(config: TrainConfig, folder: Path, tiny: bool = False) -> Study:
    """A frame store on disk (memory-mapped; the system has it in memory), and class texts of noise.

    Its clips have half as many frames again as the view and are a seventh wider; at most 600 MB of them.
    """
    view, model, random = config.view, config.model, np.random.default_rng(0)
    settings = FrameSettings()
    if (view.n_frames, view.size_px) != (8, 48):
        settings = FrameSettings(3 * view.n_frames // 2, size_px=8 * view.size_px // 7)
    batch_bytes = settings.n_frames * settings.size_px**2 * 3 * config.batch_size
    most = MOST_BYTES // (100 if tiny else 1) // batch_bytes
    n_clips = max(2, min(MOST_BATCHES, most)) * config.batch_size
    frames = write_clips(folder / RAW_FILE, n_clips + 2, settings, random)
    seen = tuple(f"seen {number}" for number in range(model.n_seen))
    labels = [seen[number % model.n_seen] for number in range(n_clips)] + ["unseen 0", "unseen 1"]
    ids, nothing = [f"clip {number}" for number in range(n_clips + 2)], pd.DataFrame({"id": [], "reason": []})
    store = FrameStore(folder, frames, ids, labels, settings, "generated frames", nothing)
    clips = tuple(ids[:-2]), (), (), tuple(ids[-2:])
    protocol = Protocol("bench", seen, (), ("unseen 0", "unseen 1"), *clips)
    pooled = random.normal(size=(model.n_seen, model.text_width)).astype(np.float32)
    pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
    words = random.normal(size=(model.n_seen, 12, model.word_width)).astype(np.float32)
    text, mask = ClassText("generated", seen, seen), np.ones(words.shape[:2], dtype=bool)
    return Study(store, protocol, ClassEmbeddings(text, "no encoder", pooled, words, mask), config)


def write_clips(path: Path, n_clips: int, settings: FrameSettings, random: np.random.Generator) -> np.ndarray:
    """Patches of colour that move by a pixel a frame, with a little noise."""
    n_frames, size, pictures = settings.n_frames, settings.size_px, []
    for _ in range(min(N_PICTURES, n_clips)):
        n_patches = -(-(size + n_frames) // PATCH_PX)
        wall = random.integers(NOISE, 256 - NOISE, (n_patches, n_patches, 3))
        wall = wall.repeat(PATCH_PX, 0).repeat(PATCH_PX, 1)
        clip = np.stack([wall[number : number + size, number : number + size] for number in range(n_frames)])
        pictures.append((clip + random.integers(-NOISE, NOISE + 1, clip.shape)).astype(np.uint8))
    shape = (n_clips, n_frames, size, size, 3)
    frames = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    for row in range(n_clips):
        frames[row] = pictures[row % len(pictures)]
    frames.flush()
    return np.load(path, mmap_mode="r")


def as_jpeg(store: FrameStore) -> JpegFrames:
    """The frames of a generated store as JPEG images, beside the raw ones."""
    pictures = store.frames[:N_PICTURES]
    places = np.array([append_jpeg(store.folder, clip, JPEG_QUALITY) for clip in pictures])
    np.save(store.folder / PLACES_FILE, places[np.arange(len(store)) % len(pictures)])
    return JpegFrames(store.folder, len(store), store.settings.size_px)


@dataclass(frozen=True)
class Side:
    """Seconds a step of one way to train, one value a block of steps.

    Attributes:
        wall: on the clock.
        process: of the processor, of all threads of this process.
        batch_size: clips a step.
    """

    wall: tuple[float, ...]
    process: tuple[float, ...]
    batch_size: int

    @property
    def clips_per_s(self) -> float:
        return self.batch_size / statistics.median(self.wall)

    def as_json(self) -> dict[str, Any]:
        low, step_s, high = statistics.quantiles(self.wall, n=4)
        found = {"step_s": step_s, "step_s_quarter": low, "step_s_three_quarters": high}
        found |= {"step_process_s": statistics.median(self.process), "clips_per_s": self.clips_per_s}
        return found | {"blocks_s": list(self.wall), "blocks_process_s": list(self.process)}


def over(first: Side, second: Side, clock: str = "wall") -> np.ndarray:
    """The ratio of two sides' seconds a step in each round, where they lie close in time."""
    return np.array(getattr(first, clock)) / np.array(getattr(second, clock))


class Engine:
    """The training loop's own step and loader, driven from outside."""

    def __init__(self, study: Study, device: torch.device, num_workers: int | None = None) -> None:
        store, protocol, classes, self.config = study
        inputs = Inputs(protocol.training_hash, store.fingerprint, classes.fingerprint)
        start = Checkpoint(store.folder / FILE_NAME, self.config, inputs, 0, 1_000_000, [])  # never saved
        self.training = Training(store, protocol, classes, start, device, None, num_workers)
        n_workers = self.training.reading[0]
        self.n_ahead = n_workers + 1 if n_workers else 0
        self.n_steps = self.n_epochs = 0

    def batches(self, frames: np.ndarray | JpegFrames) -> Generator[Batch, None, None]:
        """Epoch after epoch of the loader's batches, read as a training on this device reads them."""
        rows, targets = (np.tile(array, LONG_EPOCH) for array in (self.training.rows, self.training.targets))
        clips_a_step = self.config.batch_size * self.config.accumulate
        while True:
            self.n_epochs += 1
            at = clips_a_step, self.config.seed, self.n_epochs, 0, 0, 1
            yield from training_batches(frames, rows, targets, *at, *self.training.reading)

    def step(self, batch: Batch) -> dict[str, float]:
        self.n_steps += 1
        return self.training.take(batch._replace(step=self.n_steps))


class BareLoop:
    """The same training as a script would write it: no checks, no keyed randomness, no accumulation."""

    def __init__(self, study: Study, device: torch.device) -> None:
        config = study.config
        self.config, self.device = config, device
        if config.accumulate > 1:
            raise ValueError(f"a bare loop needs accumulate 1, got {config.accumulate}")
        self.model = ResT(config.model).to(device).train()
        lay_out(self.model.backbone, config.memory_format)
        self.optimiser = make_optimiser(
            self.model, {}, replace(config, learning_rate=config.learning_rate / 100)
        )
        self.text = text_inputs(study.classes, study.protocol.seen, config.model.n_label_tokens, device)
        self.generator = torch.Generator(device).manual_seed(config.seed)

    def step(self, batch: Batch) -> float:
        config, model = self.config, self.model
        target_B, size = batch.target_B.to(self.device), (len(batch.target_B), config.model.n_seen)
        frames_BNHWC = batch.frames_BNHWC.to(self.device, non_blocking=True)
        view = training_view(frames_BNHWC, config.view, self.generator)
        uniform_BS = torch.rand(*size, generator=self.generator, device=self.device)
        with mixed_precision(self.device):
            labels, video = model.encode_labels(*self.text), model.encode_video(view)
            settings = config.temperature, config.label_smoothing, config.n_match_labels
            given = LossInputs(model, video, labels, target_B, uniform_BS, *settings)
            loss = sum(w * LOSSES[name].compute(given) for name, w in config.loss_weights.items() if w)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        self.optimiser.step()
        return loss.item()


def measure(
    study: Study,
    seconds: float,
    device: torch.device,
    bare: bool = True,
    jpeg: JpegFrames | None = None,
    num_workers: int | None = None,
    n_blocks: int = FEWEST_BLOCKS,
) -> dict[str, Side]:
    """Time the sides of a training, about `seconds` each: bare, engine, and engine with loaders."""
    config = study.config
    with torch.random.fork_rng(), cpu_threads(config.cpu_threads):
        engine = Engine(study, device, num_workers)
        with closing(engine.batches(study.store.frames)) as batches:
            memory = next(batches)
        sides: dict[str, Callable[[], Steps]] = {}
        if bare:
            loop = BareLoop(study, device)
            sides[BARE] = lambda: steps(loop.step, repeat(memory))
        sides[ENGINE] = lambda: steps(engine.step, repeat(memory))
        sides[RAW] = lambda: steps(engine.step, engine.batches(study.store.frames), engine.n_ahead)
        if jpeg is not None:
            sides[JPEG] = lambda: steps(engine.step, engine.batches(jpeg), engine.n_ahead)
        return alternate(sides, seconds, config.batch_size * config.accumulate, device, n_blocks)


def steps(step: Callable[[Batch], Any], batches: Any, n_ahead: int = 0) -> Steps:
    """Steps of batches, without the first `n_ahead`, which were read before."""
    try:
        for _ in range(n_ahead):
            next(batches)
        yield
        yield from map(step, batches)
    finally:
        if n_ahead:
            batches.close()


def synchronise(device: torch.device) -> None:
    """Wait for a GPU's work; nothing on a CPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def alternate(
    sides: dict[str, Callable[[], Steps]],
    seconds: float,
    batch_size: int,
    device: torch.device,
    n_blocks: int = FEWEST_BLOCKS,
) -> dict[str, Side]:
    """Time steps of each side in turn, in blocks of a quarter of a second (on a GPU of a second).

    Args:
        sides: by name, what begins a block: a generator that is ready with its first value, takes a step for
            each after it, and is closed at the end, so that no side's workers run beside another. The first
            two blocks of each, of one step, are not counted.
        seconds: of each side, about.
        batch_size: clips a step.
        device: waited for at each end of a block.
        n_blocks: of each side at least.
    """
    clocks, block_s = (time.perf_counter, time.process_time), 1.0 if device.type == "cuda" else 0.25

    def block(side: Callable[[], Steps], n_steps: int) -> tuple[float, ...]:
        with closing(side()) as running:
            next(running)
            synchronise(device)
            started = [clock() for clock in clocks]
            for _ in range(n_steps):
                next(running)
            synchronise(device)
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


def ratios(sides: dict[str, Side], by_process: bool) -> dict[str, Any]:
    """Medians over the rounds of the ratio of two sides' blocks, with 95 % intervals (1,000 resamples)."""
    found: dict[str, Any] = {}
    for name, first, second in (("engine_over_bare", ENGINE, BARE), ("loader_in_over_memory", ENGINE, RAW)):
        for suffix, clock in (("", "wall"), ("_process", "process")):
            rounds = over(sides[first], sides[second], clock)
            again = np.random.default_rng(0).integers(0, len(rounds), (1000, len(rounds)))
            interval = np.quantile(np.median(rounds[again], axis=1), (0.025, 0.975))
            is_wanted = clock == "wall" or by_process
            found[name + suffix] = float(np.median(rounds)) if is_wanted else None
            found[f"{name}{suffix}_ci95"] = interval.tolist() if is_wanted else None
    rate, content = sides[ENGINE].clips_per_s, {name: side.as_json() for name, side in sides.items()}
    return found | {"clips_per_s": rate, "sides": content}


def utilisation(config: TrainConfig, engine: Side, device: torch.device) -> dict[str, float | None]:
    """GFLOP per clip, GFLOP/s, the device's measured peak and the share of it, and memory."""
    gflop = config_gflop(config).training
    with cpu_threads(config.cpu_threads):
        peak = peak_gflop_per_s(device)
    rate = gflop * engine.clips_per_s
    found = {
        "gflop_per_clip": gflop,
        "gflop_per_s": rate,
        "peak_gflop_per_s": peak,
        "peak_share": rate / peak,
    }
    return found | {"memory_mb": memory_mb(device)}


def device_words(device: torch.device) -> str:
    """The device in words: a GPU's name, or a CPU's kind and instructions."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()})"


def check_seconds(seconds: float) -> None:
    """ValueError unless above 0."""
    if not seconds > 0:
        raise ValueError(f"seconds of a measurement must be above 0, got {seconds}")


def bench(
    preset: str,
    seconds: float,
    tiny: bool = False,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Measure a preset beside its bare loop; plain values for json, and lines for `say`.

    `engine_over_bare` is a ratio of seconds a step, `loader_in_over_memory` one of clips/s, on the clock; the
    same names with `_process` are by processor time (None on a GPU), with `_ci95` intervals of 95 %.
    """
    check_seconds(seconds)
    config, chosen = bench_config(preset, tiny), choose_device(device)
    n_blocks = TINY_BLOCKS if tiny else FEWEST_BLOCKS
    with tempfile.TemporaryDirectory() as folder:
        sides = measure(generated(config, Path(folder), tiny), seconds, chosen, n_blocks=n_blocks)
    found = {"preset": preset, "tiny": tiny, "device": device_words(chosen), "torch": torch.__version__}
    found |= {"threads": config.cpu_threads, "batch_size": sides[ENGINE].batch_size}
    found |= ratios(sides, by_process=chosen.type != "cuda") | utilisation(config, sides[ENGINE], chosen)
    small = " (tiny: to see that it runs, not how fast)" if tiny else ""
    say(f"{preset}{small}, {found['batch_size']} clips a step, {found['device']}, torch {found['torch']}")
    say("medians of blocks    ms a step   middle half      processor ms   clips/s")
    for name, side in found["sides"].items():
        spread = f"{1e3 * side['step_s_quarter']:.1f} to {1e3 * side['step_s_three_quarters']:.1f}"
        times = f"{1e3 * side['step_s']:9.1f}   {spread:15} {1e3 * side['step_process_s']:13.1f}"
        say(f"{name:20} {times}   {side['clips_per_s']:7.1f}   ({len(side['blocks_s'])} blocks)")
    wanted = {"engine_over_bare": f"at most {MOST_OVER_BARE}"}
    wanted |= {"loader_in_over_memory": f"at least {LEAST_WITH_LOADER}"}
    for name, limit in wanted.items():
        parts = []
        for key in (name, f"{name}_process"):
            if found[key] is not None:
                parts.append("{:.4f} [{:.4f}, {:.4f}]".format(found[key], *found[f"{key}_ci95"]))
        say(f"{name} {'; by processor time '.join(parts)}   (wanted: {limit})")
    used = f"{found['gflop_per_clip']:.3g} GFLOP a clip, {found['gflop_per_s']:.4g} GFLOP/s"
    say(f"{used}, {found['peak_share']:.1%} of the measured peak ({found['peak_gflop_per_s']:.4g} GFLOP/s)")
    return found
