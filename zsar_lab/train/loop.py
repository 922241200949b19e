"""The training loop: unchanged on a CPU, on one GPU and on many, resumable at any step, interruptible.

A step (training/step.py) is taken whole or not at all: a checkpoint never holds half a gradient.
Shapes: B clips, C classes.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import centre_view, scoring_batches, share_of, steps_per_epoch, training_batches
from zsar_lab.files import make_folder
from zsar_lab.models.rest import ResT, word_spans
from zsar_lab.progress import progress
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.train.averaging import Average
from zsar_lab.train.checkpoint import (
    FILE_NAME,
    Checkpoint,
    Inputs,
    best_epoch,
    load_checkpoint,
    remove_half_written,
    restore_optimiser,
    save_best,
    save_checkpoint,
    weights_by_name,
    write_log,
)
from zsar_lab.train.checks import check_config, check_frames, check_text, same_run
from zsar_lab.train.compiling import compile_parts, is_faster_compiled, lay_out, mixed_precision
from zsar_lab.train.lock import only_one
from zsar_lab.train.meters import Meters, shown, tensorboard, tensorboard_is_installed
from zsar_lab.train.optimisers import make_optimiser
from zsar_lab.train.presets import TrainConfig
from zsar_lab.train.ranks import ALONE, Ranks, check_not_apart
from zsar_lab.train.step import Step, end_text
from zsar_lab.train.stopping import TrainingInterrupted, stop_signals
from zsar_lab.train.text_tail import KeptTexts, TextInputs, TextTail


def choose_device(name: str | None = None, ranks: Ranks = ALONE) -> torch.device:
    """The device named, else the first GPU (of several ranks each its own), else the CPU."""
    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name, ranks.local) if name == "cuda" and ranks.count > 1 else torch.device(name)


def choose_readers(readers: int | None, device: torch.device, ranks: Ranks) -> int:
    """The number given, else none on a CPU, whose threads train, and on a GPU a rank's part of two fifths of the processors, 2 to 16."""
    if readers is not None:
        return readers
    n_processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(16, max(2, int(0.4 * n_processors / ranks.local_count))) if device.type == "cuda" else 0


def text_inputs(
    classes: ClassEmbeddings, names: tuple[str, ...], n_label_tokens: int, device: torch.device | str
) -> TextInputs:
    """The class texts of these classes, in their order, ready for `ResT.encode_labels`."""
    rows = classes.rows(names)
    words = word_spans(
        torch.from_numpy(classes.words_CLE[rows]), torch.from_numpy(classes.mask_CL[rows]), n_label_tokens
    )
    return TextInputs(torch.from_numpy(classes.pooled_CF[rows]).to(device), words.to(device))


def train(
    store: FrameStore,
    protocol: Protocol,
    classes: ClassEmbeddings,
    config: TrainConfig,
    folder: Path,
    device: str | None = None,
    on_epoch: Callable[[list[dict[str, Any]]], None] | None = None,
    files: EncoderFiles | None = None,
    save_every_s: float = 600.0,
    ranks: Ranks = ALONE,
    readers: int | None = None,
) -> Checkpoint:
    """Train on the seen classes of a protocol; goes on from the run's checkpoint when there is one.

    Args:
        store: frames of at least the protocol's clips.
        protocol: only its seen classes and training clips are trained on.
        classes: embedded class texts of its seen and validation classes.
        config: from training/presets.py; `config.model.n_seen` must be the number of seen classes.
        folder: of the run; gets checkpoint.safetensors (the last), best.safetensors (by top-1 on validation
            classes) and log.csv, and where TensorBoard is installed what that shows. Several ranks share it.
        device: "cpu", "cuda", or None to choose.
        on_epoch: called with the history after each epoch, for live figures; on the first rank.
        files: of the text encoder that made `classes`; needed when `config.text_layers` is above 0.
        save_every_s: within an epoch the checkpoint is saved when so many seconds have passed, at its end
            always (one of R3D-18 has 400 MB).
        ranks: from `started_ranks`: the processes that share each step. The configuration says what a step
            is, the ranks how it is carried out, so a training can go on with another number of them.
        readers: threads that read batches ahead; None for `choose_readers`. The training is the same with any
            number.

    Returns:
        The complete checkpoint.

    Raises:
        ValueError: the folder holds a checkpoint of another configuration or other inputs, a loss or gradient
            is not finite, every loss is switched off, n_seen or another setting is wrong, the text encoder's
            layers cannot be trained as asked, or ranks were given different things, or this process is one of
            several ranks and was not told so.
        RuntimeError: a batch does not fit into the GPU's memory (the sentence says the size to try), another
            rank is gone, or another process trains in the folder.
        OSError: a checkpoint cannot be written, for example because the disk is full; the one before is kept.
        TrainingInterrupted: Ctrl-C, a kernel interrupt or SIGTERM; the checkpoint is kept.
    """
    check_config(config, protocol)
    check_text(config, classes, files)
    check_frames(config, store.settings)
    rows, targets = clips_of(store, protocol.train_clips, protocol.seen)
    total_steps = config.epochs * steps_per_epoch(len(rows), config.batch_size * config.accumulate)
    inputs = Inputs(protocol.training_hash, store.fingerprint, classes.fingerprint)
    checkpoint = Checkpoint(make_folder(Path(folder)) / FILE_NAME, config, inputs, 0, total_steps, [])
    if checkpoint.path.is_file():
        checkpoint = same_run(load_checkpoint(checkpoint.path), checkpoint)
    with ranks.together(
        f"'{checkpoint.path}' is as it was last saved, start all of them again to go on from there"
    ):
        ranks.check_same(
            "configuration, protocol, frames and class texts",
            replace(checkpoint, step=0).fingerprint,
            "give all the same study",
        )
        ranks.check_same(
            "checkpoint",
            checkpoint.fingerprint,
            f"put '{checkpoint.path.parent}' on a disk that all of them see",
        )
        if checkpoint.complete:
            return checkpoint
        check_not_apart(ranks)
        place = choose_device(device, ranks)
        generators = torch.random.fork_rng([place] if place.type == "cuda" else [])
        alone_here = only_one(checkpoint.path.parent) if ranks.is_first else nullcontext()
        with alone_here, generators, cpu_threads(config.cpu_threads), stop_signals() as stop:
            if ranks.is_first:
                remove_half_written(checkpoint.path.parent)
            training = _Training(
                store,
                protocol,
                classes,
                checkpoint,
                place,
                rows,
                targets,
                files,
                ranks,
                choose_readers(readers, place, ranks),
            )
            listeners = [on_epoch] if on_epoch and ranks.is_first else []
            if ranks.is_first and tensorboard_is_installed():
                listeners.append(tensorboard(checkpoint.path.with_name("tensorboard")))
            return training.run(stop, listeners, save_every_s)


class _Training:
    """The parts of one training that live from its first step to its last."""

    def __init__(
        self,
        store: FrameStore,
        protocol: Protocol,
        classes: ClassEmbeddings,
        start: Checkpoint,
        device: torch.device,
        rows: np.ndarray,
        targets: np.ndarray,
        files: EncoderFiles | None,
        ranks: Ranks = ALONE,
        readers: int = 0,
    ) -> None:
        self.store, self.protocol, self.device, self.checkpoint, self.ranks = (
            store,
            protocol,
            device,
            start,
            ranks,
        )
        self.rows, self.targets = rows, targets
        self.reading = {"num_workers": readers, "pinned": device.type == "cuda"}
        config = start.config
        torch.manual_seed(config.seed)
        self.model = ResT(config.model).to(device)
        if config.shared_batch_norm:
            self.model.backbone = ranks.with_shared_statistics(self.model.backbone, device)
        lay_out(self.model.backbone, config.memory_format)
        self.tail = TextTail(files, config.text_layers, device) if config.text_layers else None
        self.optimiser = make_optimiser(self.model, self._trained_text(), config)
        live = weights_by_name(self.model, self._trained_text())
        self.average = Average(live, config.ema_decay) if config.ema_decay else None
        if start.step:
            self._restore(start)
        self._compile()
        seen_text = self.begin_text(classes, protocol.seen)
        self.validation_text = self.begin_text(classes, protocol.validation) if protocol.validation else None
        self.step = Step(
            self.model,
            self.tail,
            self.optimiser,
            self.average,
            seen_text,
            config,
            start.total_steps,
            device,
            ranks,
        )
        self.meters = Meters(config, device, ranks=ranks.count)
        self.saved_at_s = time.monotonic()

    def _trained_text(self) -> dict[str, torch.nn.Parameter]:
        return self.tail.trained if self.tail else {}

    def _restore(self, start: Checkpoint) -> None:
        self.model.load_state_dict(start.tensors("model."))
        if self.tail:
            self.tail.load(start.tensors("text."))
        restore_optimiser(start, self.optimiser)
        if self.average:
            self.average.load(start.tensors("average."))

    def _compile(self) -> None:
        """Compile the transformer if that is wanted and faster; a resumed training does as it did before."""
        if self.checkpoint.config.compile_transformer and not self.checkpoint.step:
            wanted = self.ranks.is_first and is_faster_compiled(self.model, self.checkpoint.config)
            self.checkpoint = replace(self.checkpoint, compiled=self.ranks.any(wanted))
        if self.checkpoint.compiled:
            compile_parts(self.model)

    def begin_text(self, classes: ClassEmbeddings, names: tuple[str, ...]) -> TextInputs | KeptTexts:
        """What stays the same of class texts through the training: all of them, or as far as the trained layers of the text encoder."""
        if self.tail:
            return self.tail.keep(classes.class_text, names)
        return text_inputs(classes, names, self.checkpoint.config.model.n_label_tokens, self.device)

    def run(
        self,
        stop: threading.Event,
        listeners: Sequence[Callable[[list[dict[str, Any]]], None]],
        save_every_s: float,
    ) -> Checkpoint:
        config, total = self.checkpoint.config, self.checkpoint.total_steps
        per_epoch, clips_a_step = total // config.epochs, config.batch_size * config.accumulate
        bar = progress(
            what=f"training, {self.protocol.name}",
            unit="clip",
            total=config.epochs * len(self.rows),
            shown=self.ranks.is_first,
            done=self.checkpoint.step // per_epoch * len(self.rows)
            + self.checkpoint.step % per_epoch * clips_a_step,
        )
        with bar:
            for epoch in range(self.checkpoint.step // per_epoch, config.epochs):
                running = self._steps_of(epoch, per_epoch, stop, bar, save_every_s)
                losses = {name: value / running["n_clips"] for name, value in running["sums"].items()}
                entry = {"epoch": epoch + 1, "step": self.checkpoint.step} | losses
                entry |= self.meters.figures() | self.validate(
                    epoch + 1
                )  # the meters first: validation is not part of them
                self.checkpoint = replace(self.checkpoint, history=[*self.checkpoint.history, entry])
                figures = {"loss": sum(losses.values())} | {
                    name: value for name, value in entry.items() if "top1" in name
                }
                bar.set_postfix(
                    {name: f"{value:.2f}" for name, value in figures.items()}
                    | shown(entry)
                    | self._keep_best()
                )
                self.save()
                for listener in listeners:
                    listener(self.checkpoint.history)
                if self.ranks.any(stop.is_set()) and not self.checkpoint.complete:
                    self.leave()
        self.ranks.wait()  # for the first one's last checkpoint
        return self.checkpoint

    def _steps_of(
        self, epoch: int, per_epoch: int, stop: threading.Event, bar: Any, save_every_s: float
    ) -> dict[str, Any]:
        """Take those steps of an epoch that are left, and save between them from time to time; its clips and sums of losses."""
        config = self.checkpoint.config
        running = {"n_clips": 0, "sums": {}} | self.checkpoint.running
        clips_a_step = config.batch_size * config.accumulate
        batches = training_batches(
            self.store.frames,
            self.rows,
            self.targets,
            clips_a_step,
            config.seed,
            epoch,
            self.checkpoint.step,
            self.ranks.number,
            self.ranks.count,
            **self.reading,
        )
        self.meters.begin()
        for batch in self.meters.watch(batches):
            losses, n_clips = self.step.take(batch), batch.share.total
            sums = {name: running["sums"].get(name, 0.0) + value * n_clips for name, value in losses.items()}
            running = {"n_clips": running["n_clips"] + n_clips, "sums": sums}
            self.meters.count(len(batch.target_B))
            is_end = not (batch.step + 1) % per_epoch
            self.checkpoint = replace(self.checkpoint, step=batch.step + 1, running={} if is_end else running)
            bar.update(n_clips)
            if self.ranks.any(stop.is_set()) and not is_end:
                self.leave()
            if time.monotonic() - self.saved_at_s >= save_every_s and not is_end:
                self.save()
        return running

    @torch.inference_mode()
    def validate(self, epoch: int) -> dict[str, float]:
        """Top-1 on held-out clips of seen classes, and on validation classes by the nearest label embedding, 0..1; those that there are."""
        config = self.checkpoint.config
        if epoch % config.validate_every and epoch != config.epochs:
            return {}
        self.model.eval()
        with self.average.put_in() if self.average else nullcontext():
            return self._scored()

    def _scored(self) -> dict[str, float]:
        figures, config = {}, self.checkpoint.config
        if self.protocol.seen_test_clips:
            figures["seen_top1"] = self._top1(
                self.protocol.seen_test_clips,
                self.protocol.seen,
                lambda embedding_BD: self.model.seen_logits(embedding_BD, 1.0),
            )
        if self.validation_text:
            with mixed_precision(self.device):
                label_VD = self.model.encode_labels(
                    *end_text(self.tail, self.validation_text, config)
                ).embedding_CD
            clips, names = self.protocol.validation_clips, self.protocol.validation
            figures["validation_direct_top1"] = self._top1(
                clips, names, lambda embedding_BD: embedding_BD @ label_VD.T
            )
        return figures

    def _top1(
        self, clips: tuple[str, ...], names: tuple[str, ...], score: Callable[[Tensor], Tensor]
    ) -> float:
        """The share of clips whose own class scores best; each rank reads its share of them."""
        rows, targets = clips_of(self.store, clips, names)
        share = share_of(len(rows), self.ranks.number, self.ranks.count)
        own = slice(share.first, share.last)
        n_right = 0
        if share.last > share.first:
            embedding_BD = torch.cat(
                [self._embedded(b) for b in scoring_batches(self.store.frames, rows[own], 64, **self.reading)]
            )
            n_right = int((score(embedding_BD).argmax(1).cpu().numpy() == targets[own]).sum())
        return self.ranks.total([n_right])[0] / len(rows)

    def _embedded(self, frames_BNHWC: Tensor) -> Tensor:
        view = centre_view(frames_BNHWC.to(self.device, non_blocking=True), self.checkpoint.config.view)
        with mixed_precision(self.device):  # the view is made in full: its places in a frame would be rounded
            return self.model.encode_video(view).embedding_BD

    def _keep_best(self) -> dict[str, str]:
        """Keep the weights of the epoch that just ended if it is the best so far; says which one is."""
        best, last = best_epoch(self.checkpoint.history), self.checkpoint.history[-1]["epoch"]
        if (
            best == last and self.ranks.is_first
        ):  # before the checkpoint: killed in between, the epoch is run again and ends the same
            live = weights_by_name(self.model, self._trained_text())
            averages = self.average.kept if self.average else {}
            save_best(self.checkpoint, live | averages)
        return {"best epoch": str(best)} if best else {}

    def save(self) -> None:
        """The first rank writes for all; the others find out when they next wait for it."""
        if not self.ranks.is_first:
            return
        save_checkpoint(
            self.checkpoint,
            self.model,
            self.optimiser,
            self._trained_text(),
            self.average.kept if self.average else None,
        )
        write_log(self.checkpoint)
        self.saved_at_s = time.monotonic()

    def leave(self) -> None:
        self.save()
        self.ranks.wait()
        step, total, path = self.checkpoint.step, self.checkpoint.total_steps, self.checkpoint.path
        raise TrainingInterrupted(
            f"training was interrupted at step {step} of {total}; '{path}' was kept, run it again to go on from there"
        )


def clips_of(
    store: FrameStore, ids: tuple[str, ...], classes: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the store for these clips, and the index of each one's class in `classes`, both int64."""
    rows = np.asarray(store.rows(ids), dtype=np.int64)
    position = {name: index for index, name in enumerate(classes)}
    return rows, np.array([position[store.labels[row]] for row in rows], dtype=np.int64)


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Let torch use this many threads on the CPU inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
