"""The training loop: the same on a CPU, on one GPU and on many, resumable at any step, interruptible.

A step is taken whole or not at all: a checkpoint never holds half a gradient. Every random number of a step
is keyed by (seed, step), of dropout by (seed, step, rank) too; none is carried along.
Shapes: B clips, S seen classes, V validation classes, D width of the shared space.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import (
    Batch,
    centre_view,
    scoring_batches,
    share_of,
    steps_per_epoch,
    training_batches,
    training_view,
)
from zsar_lab.files import make_folder
from zsar_lab.models.losses import LOSSES
from zsar_lab.models.rest import ResT
from zsar_lab.progress import progress
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.train import distributed
from zsar_lab.train.checkpoint import (
    FILE_NAME,
    Checkpoint,
    Inputs,
    copy_tensors,
    load_checkpoint,
    remove_half_written,
    restore_optimiser,
    same_run,
    save_checkpoint,
    weights_by_name,
    write_log,
)
from zsar_lab.train.config import ConfigError, TrainConfig, check_frames
from zsar_lab.train.device import (
    choose_device,
    choose_num_workers,
    compiles,
    cpu_threads,
    lay_out,
    mixed_precision,
)
from zsar_lab.train.meters import FORMATS, Meters, tensorboard
from zsar_lab.train.processes import TrainingInterrupted, handled
from zsar_lab.train.step import (
    Average,
    StepLosses,
    learning_rate,
    make_optimiser,
    seed_of,
    seed_torch,
    smaller_batch,
)
from zsar_lab.train.text_tail import ReadTexts, TextTail, text_inputs

OnEpoch = Callable[[list[dict[str, Any]]], None]


def train(
    store: FrameStore,
    protocol: Protocol,
    classes: ClassEmbeddings,
    config: TrainConfig,
    folder: Path,
    device: str | None = None,
    on_epoch: OnEpoch | None = None,
    files: EncoderFiles | None = None,
    save_every_s: float = 600.0,
    num_workers: int | None = None,
) -> Checkpoint:
    """Train on the seen classes of a protocol; goes on from the run's checkpoint when there is one.

    Inside `started_ranks` each rank takes its share of every step, and all share the folder; a training can
    go on with another number of ranks, and is the same with any number of workers.

    Args:
        store: frames of at least the protocol's clips.
        protocol: only its seen classes and training clips are trained on.
        classes: embedded class texts of its seen and validation classes.
        config: `config.model.n_seen` must be the number of seen classes.
        folder: of the run; gets checkpoint.safetensors, log.csv, and TensorBoard's files if it is installed.
        device: "cpu" or "cuda"; None to choose, as for num_workers, the threads that read batches ahead.
        on_epoch: called with the history after each epoch; on the first rank.
        files: of the text encoder that made `classes`, for `config.text_layers` above 0.
        save_every_s: between savings within an epoch, beside that at its end (R3D-18 has 400 MB).
        num_workers: see device.

    Raises:
        ValueError: the folder holds another training, a loss or gradient is not finite, settings do not fit,
            ranks were given different things, or this process is one of several ranks and did not join them.
        RuntimeError: a batch does not fit into memory, a rank is gone, or another process trains here.
        OSError: a checkpoint cannot be written, for example because the disk is full.
        TrainingInterrupted: Ctrl-C, a kernel interrupt or SIGTERM; the checkpoint was saved.
    """
    if config.model.n_seen != len(protocol.seen):
        wanted = f"{len(protocol.seen)} (seen classes)"
        raise ConfigError(f"model.n_seen must be {wanted}, got {config.model.n_seen}")
    if config.text_layers and (files is None or files.revision != classes.encoder):
        got = "none" if files is None else f"{files.name} (revision {files.revision})"
        wanted = f"the encoder of the texts (revision {classes.encoder})"
        raise ConfigError(f"text_layers needs {wanted}, got {got}")
    check_frames(config, store.settings)
    clips_a_step = config.batch_size * config.accumulate
    n_steps = config.epochs * steps_per_epoch(len(protocol.train_clips), clips_a_step)
    inputs = Inputs(protocol.training_hash, store.fingerprint, classes.fingerprint)
    start = Checkpoint(make_folder(Path(folder)) / FILE_NAME, config, inputs, 0, n_steps, [])
    if start.path.is_file():
        start = same_run(load_checkpoint(start.path), start)
    with distributed.to_the_end(f"'{start.path}'"):
        distributed.check_same("study", replace(start, step=0).fingerprint)
        distributed.check_same(f"checkpoint, on a disk that all see ('{start.path}')", start.fingerprint)
        if start.complete:
            return start
        distributed.check_not_apart()
        place, stop, is_first = choose_device(device), threading.Event(), distributed.is_first()
        with (
            only_one(start.path.parent) if is_first else nullcontext(),
            torch.random.fork_rng([place] if place.type == "cuda" else []),
            cpu_threads(config.cpu_threads),
            handled(lambda *_: stop.set(), signal.SIGINT, signal.SIGTERM),
        ):
            listeners = [on_epoch] if is_first else []
            if is_first:
                remove_half_written(start.path.parent)
                listeners.append(tensorboard(start.path.with_name("tensorboard")))
            training = Training(store, protocol, classes, start, place, files, num_workers)
            return training.run(stop, [listener for listener in listeners if listener], save_every_s)


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let no other process train in a run's folder inside the block; RuntimeError where one does."""
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise RuntimeError(f"another process trains in '{folder}'; wait for it, or stop it") from error


class Training:
    """The parts of one training that live from its first step to its last; arguments as of `train`."""

    def __init__(
        self,
        store: FrameStore,
        protocol: Protocol,
        classes: ClassEmbeddings,
        start: Checkpoint,
        device: torch.device,
        files: EncoderFiles | None = None,
        num_workers: int | None = None,
    ) -> None:
        self.store, self.protocol, self.device, self.checkpoint = store, protocol, device, start
        self.rows, self.targets = clips_of(store, protocol.train_clips, protocol.seen)
        self.reading = choose_num_workers(num_workers, device), device.type == "cuda"
        self.config = config = start.config
        torch.manual_seed(config.seed)
        self.model = ResT(config.model).to(device)
        self.model.backbone = distributed.with_shared_statistics(self.model.backbone, device)
        lay_out(self.model.backbone, config.memory_format)
        self.tail = TextTail(files, config.text_layers, device) if config.text_layers and files else None
        text = self.tail.trained if self.tail else {}
        self.optimiser = make_optimiser(self.model, text, config)
        self.live = weights_by_name(self.model, text)
        self.average = Average(self.live, config.ema_decay) if config.ema_decay else None
        if start.step:
            self.model.load_state_dict(start.tensors("model."))
            copy_tensors(start.tensors("text."), text)
            restore_optimiser(start, self.optimiser)
            if self.average:
                copy_tensors(start.tensors("average."), self.average.tensors)
        elif config.compile_transformer:  # a resumed training does as it did before
            wanted = distributed.is_first() and compiles(self.model)
            self.checkpoint = replace(start, compiled=distributed.any_rank(wanted))
        if self.checkpoint.compiled:
            self.model.video_encoder.compile()
            self.model.cross_encoder.compile()
        self.validation_text = self.read_texts(classes, protocol.validation) if protocol.validation else None
        some_unused = any(loss.weight and not config.loss_weights[name] for name, loss in LOSSES.items())
        losses = StepLosses(self.model, self.tail, self.read_texts(classes, protocol.seen), config)
        self.losses = distributed.joined(losses, some_unused)
        self.meters = Meters(config, device)
        self.saved_at_s = time.monotonic()

    def read_texts(self, classes: ClassEmbeddings, names: tuple[str, ...]) -> ReadTexts:
        """What gives class texts as the model reads them now: what stays the same is done once."""
        n_tokens = self.config.model.n_label_tokens
        if self.tail:
            return partial(self.tail.inputs, self.tail.freeze(classes.class_text, names), n_tokens)
        inputs = text_inputs(classes, names, n_tokens, self.device)
        return lambda: inputs

    def run(self, stop: threading.Event, listeners: list[OnEpoch], save_every_s: float) -> Checkpoint:
        """Take the steps that are left; `stop` is looked at between two steps."""
        config, n_clips = self.config, len(self.rows)
        per_epoch = self.checkpoint.total_steps // config.epochs
        first, within = divmod(self.checkpoint.step, per_epoch)
        done = first * n_clips + within * config.batch_size * config.accumulate
        what, total = f"training, {self.protocol.name}", config.epochs * n_clips
        with progress(what=what, unit="clip", total=total, done=done, shown=distributed.is_first()) as bar:
            for epoch in range(first, config.epochs):
                running = self._epoch(epoch, per_epoch, stop, bar, save_every_s)
                losses = {name: value / running["n_clips"] for name, value in running["sums"].items()}
                entry = {"epoch": epoch + 1, "step": self.checkpoint.step} | losses | self.meters.figures()
                entry |= self.validate(epoch + 1)
                self.checkpoint = replace(self.checkpoint, history=[*self.checkpoint.history, entry])
                shown = {"loss": f"{sum(losses.values()):.2f}"}
                shown |= {name: f"{value:.2f}" for name, value in entry.items() if "top1" in name}
                shown |= {name: form.format(entry[name]) for name, form in FORMATS.items() if name in entry}
                bar.set_postfix(shown)
                self.save()
                for listener in listeners:
                    listener(self.checkpoint.history)
                if distributed.any_rank(stop.is_set()) and not self.checkpoint.complete:
                    self.leave()
        distributed.barrier()  # for the first one's last checkpoint
        return self.checkpoint

    def _epoch(
        self, epoch: int, per_epoch: int, stop: threading.Event, bar: Any, save_every_s: float
    ) -> dict[str, Any]:
        """Take the steps of an epoch that are left; gives its clips and sums of losses."""
        config = self.config
        running: dict[str, Any] = {"n_clips": 0, "sums": {}} | self.checkpoint.running
        frames: Any = self.store.frames
        clips = frames, self.rows, self.targets, config.batch_size * config.accumulate
        at = config.seed, epoch, self.checkpoint.step, distributed.rank(), distributed.world_size()
        batches = training_batches(*clips, *at, *self.reading)
        self.meters.begin()
        for batch in self.meters.watch(batches):
            losses, n_clips = self.take(batch), batch.share.total
            sums = {name: running["sums"].get(name, 0.0) + value * n_clips for name, value in losses.items()}
            running = {"n_clips": running["n_clips"] + n_clips, "sums": sums}
            self.meters.count(len(batch.target_B))
            is_end = not (batch.step + 1) % per_epoch
            self.checkpoint = replace(self.checkpoint, step=batch.step + 1, running={} if is_end else running)
            bar.update(n_clips)
            if distributed.any_rank(stop.is_set()) and not is_end:
                self.leave()
            if time.monotonic() - self.saved_at_s >= save_every_s and not is_end:
                self.save()
        return running

    def take(self, batch: Batch) -> dict[str, float]:
        """One optimiser step over the clips of all ranks; gives the losses by name, means over them.

        Raises:
            ValueError: a loss or a gradient is not finite; the weights stay as they were.
            RuntimeError: the batch does not fit into the GPU's memory.
        """
        try:
            return self._take(batch)
        except torch.OutOfMemoryError as error:
            reason = str(error).split(". ")[0]
        # only here, so that the failed step's tensors are not held by the error
        raise RuntimeError(smaller_batch(self.config, batch.step, reason))

    def _take(self, batch: Batch) -> dict[str, float]:
        config, step, share = self.config, batch.step, batch.share
        seed_torch(seed_of(config.seed, step, distributed.rank()), self.device)
        generator = torch.Generator(self.device).manual_seed(seed_of(config.seed, step))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.checkpoint.total_steps, config, group["peak"])
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        frames_BNHWC = batch.frames_BNHWC.to(self.device, non_blocking=True)
        view_BTKHW = training_view(frames_BNHWC, config.view, generator, share)
        uniform_BS = torch.rand(share.total, config.model.n_seen, generator=generator, device=self.device)
        values = self._add_up_gradients(view_BTKHW, batch, uniform_BS[share.rows])
        norms = {"model": nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)}
        if self.tail:  # by itself, so that the model's own steps do not depend on it
            norms["text encoder"] = nn.utils.clip_grad_norm_(self.tail.trained.values(), config.clip_norm)
        # at once: a GPU is waited for once a step
        numbers = torch.stack([*values.values(), *norms.values()]).tolist()
        losses = distributed.total(dict(zip(values, numbers, strict=False)))
        found = {f"loss {name}": value for name, value in losses.items()}
        found |= {f"gradient of the {name}": n for name, n in zip(norms, numbers[len(values) :], strict=True)}
        for name, value in found.items():
            if not math.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value} at step {step}; lower learning_rate")
        self.optimiser.step()
        self.model.clamp_temperature()
        if self.average:
            self.average.update(step)
        return losses

    def _add_up_gradients(self, view_BTKHW: Tensor, batch: Batch, uniform_BS: Tensor) -> dict[str, Tensor]:
        """This rank's share of the mean losses; as many parts on every rank, exchanged with the last."""
        share, n_ranks = batch.share, distributed.world_size()
        n_parts = math.ceil(math.ceil(share.total / n_ranks) / self.config.batch_size)
        given = view_BTKHW, batch.target_B.to(self.device, non_blocking=True), uniform_BS
        values: dict[str, Tensor] = {}
        for number, part in enumerate(zip(*(tensor.tensor_split(n_parts) for tensor in given), strict=True)):
            n_clips = len(part[1])
            weight = n_clips / share.total if share.last > share.first else 0.0
            if (
                not n_clips
            ):  # fewer clips than parts: one again, without weight, for all to make the same calls
                part = tuple(tensor[:1] for tensor in given)
            with distributed.apart(self.losses) if number + 1 < n_parts else nullcontext():
                losses = self.losses(*part)
                (n_ranks * weight * sum(losses.values())).backward()  # exchanged as means over the ranks
            for name, value in losses.items():
                values[name] = values.get(name, 0.0) + weight * value.detach().float()
        return values

    @torch.inference_mode()
    def validate(self, epoch: int) -> dict[str, float]:
        """Top-1, 0..1, on held-out clips of seen classes, and on validation classes by the method direct."""
        protocol, model, figures = self.protocol, self.model, {}
        if epoch % self.config.validate_every and epoch != self.config.epochs:
            return {}
        model.eval()
        with self.average.put_in() if self.average else nullcontext():
            if clips := protocol.seen_test_clips:
                figures["seen_top1"] = self._top1(clips, protocol.seen, lambda v: model.seen_logits(v, 1.0))
            if self.validation_text:
                with mixed_precision(self.device):
                    label_VD = model.encode_labels(*self.validation_text()).embedding_CD
                clips, names = protocol.validation_clips, protocol.validation
                figures["validation_direct_top1"] = self._top1(clips, names, lambda v: v @ label_VD.T)
        return figures

    def _top1(
        self, clips: tuple[str, ...], names: tuple[str, ...], score: Callable[[Tensor], Tensor]
    ) -> float:
        """The share of clips whose own class scores best; each rank reads its share of them."""
        rows, targets = clips_of(self.store, clips, names)
        share = share_of(len(rows), distributed.rank(), distributed.world_size())
        own, n_right = slice(share.first, share.last), 0
        if share.last > share.first:
            embedded = []
            frames: Any = self.store.frames
            for frames_BNHWC in scoring_batches(frames, rows[own], 64, *self.reading):
                view = centre_view(frames_BNHWC.to(self.device, non_blocking=True), self.config.view)
                with mixed_precision(self.device):  # the view in full: its places in a frame would be rounded
                    embedded.append(self.model.encode_video(view).embedding_BD)
            n_right = int((score(torch.cat(embedded)).argmax(1).cpu().numpy() == targets[own]).sum())
        return distributed.total({"right": n_right})["right"] / len(rows)

    def save(self) -> None:
        """Write the checkpoint and the log, by the first rank for all."""
        if distributed.is_first():
            average = self.average.tensors if self.average else None
            save_checkpoint(self.checkpoint, self.live, self.optimiser, average)
            write_log(self.checkpoint)
            self.saved_at_s = time.monotonic()

    def leave(self) -> None:
        """Save, wait for all ranks, and raise TrainingInterrupted."""
        self.save()
        distributed.barrier()
        step, total, path = self.checkpoint.step, self.checkpoint.total_steps, self.checkpoint.path
        raise TrainingInterrupted(f"training was interrupted at step {step} of {total}; '{path}' was saved")


def clips_of(
    store: FrameStore, ids: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the store for these clips, and the index of each one's class in `classes`, both int64."""
    rows = np.asarray(store.rows(ids), dtype=np.int64)
    position = {name: index for index, name in enumerate(classes)}
    return rows, np.array([position[store.labels[row]] for row in rows], dtype=np.int64)
