"""The training loop: unchanged on a CPU and on one GPU, resumable at any step, interruptible.

Randomness is keyed by (seed, step), never carried along, so a resumed training takes the same steps as one that was not stopped. A step of
several batches (`accumulate`) is taken whole or not at all: a checkpoint never holds half a gradient.
Shapes: B clips, S seen classes, V validation classes, N labels a clip in matching.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zsar_lab.artefacts import make_folder
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import centre_view, scoring_batches, steps_per_epoch, training_batches, training_view
from zsar_lab.data.protocols.protocol import Protocol
from zsar_lab.model.losses import alignment_loss, classification_loss, hard_labels, matching_loss
from zsar_lab.model.rest import LabelCode, ResT, word_spans
from zsar_lab.progress import progress
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.training.averaging import Average
from zsar_lab.training.checkpoint import (
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
from zsar_lab.training.checks import check_config, check_finite, check_frames, check_text, same_run, smaller_batch
from zsar_lab.training.compiling import compile_if_faster, compile_parts, lay_out
from zsar_lab.training.meters import Meters, shown
from zsar_lab.training.optimisers import learning_rate, make_optimiser
from zsar_lab.training.presets import TrainConfig
from zsar_lab.training.stopping import TrainingInterrupted, stop_signals
from zsar_lab.training.text_tail import KeptTexts, TextInputs, TextTail


def choose_device(name: str | None = None) -> torch.device:
    """The device named, else the first GPU, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def text_inputs(classes: ClassEmbeddings, names: tuple[str, ...], n_label_tokens: int, device: torch.device | str) -> TextInputs:
    """The class texts of these classes, in their order, ready for `ResT.encode_labels`."""
    rows = classes.rows(names)
    words = word_spans(torch.from_numpy(classes.words_CLE[rows]), torch.from_numpy(classes.mask_CL[rows]), n_label_tokens)
    return TextInputs(torch.from_numpy(classes.pooled_CF[rows]).to(device), words.to(device))


def training_losses(
    model: ResT, view_BTKHW: Tensor, target_B: Tensor, labels: LabelCode, config: TrainConfig, generator: torch.Generator
) -> dict[str, Tensor]:
    """The weighted losses of a batch by name; those of weight 0 are not computed. Their sum is what is minimised."""
    code = model.encode_video(view_BTKHW)
    losses: dict[str, Tensor] = {}
    if config.classification_weight:
        logits_BS = model.seen_logits(code.embedding_BD, config.temperature)
        losses["classification"] = config.classification_weight * classification_loss(logits_BS, target_B, config.label_smoothing)
    if config.alignment_weight:
        loss = alignment_loss(code.embedding_BD, labels.embedding_CD, target_B, model.log_temperature)
        losses["alignment"] = config.alignment_weight * loss
    if config.matching_weight:
        chosen_BN = hard_labels(code.embedding_BD, labels.embedding_CD, target_B, config.n_match_labels, generator)
        tokens = code.tokens_BPD.repeat_interleave(config.n_match_labels, 0)
        logits_BN = model.match(tokens, labels.tokens_CLD[chosen_BN.flatten()]).view(chosen_BN.shape)
        losses["matching"] = config.matching_weight * matching_loss(logits_BN)
    return losses


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
) -> Checkpoint:
    """Train on the seen classes of a protocol; goes on from the run's checkpoint when there is one.

    Args:
        store: frames of at least the protocol's clips.
        protocol: only its seen classes and training clips are trained on.
        classes: embedded class texts of its seen and validation classes.
        config: from training/presets.py; `config.model.n_seen` must be the number of seen classes.
        folder: of the run; gets checkpoint.safetensors (the last), best.safetensors (by top-1 on validation classes) and log.csv.
        device: "cpu", "cuda", or None to choose.
        on_epoch: called with the history after each epoch, for live figures.
        files: of the text encoder that made `classes`; needed when `config.text_layers` is above 0.
        save_every_s: within an epoch the checkpoint is saved when so many seconds have passed, at its end always (one of R3D-18 has 400 MB).

    Returns:
        The complete checkpoint.

    Raises:
        ValueError: the folder holds a checkpoint of another configuration or other inputs, a loss or gradient is not finite, every loss is
            switched off, n_seen or another setting is wrong, or the text encoder's layers cannot be trained as asked.
        RuntimeError: a batch does not fit into the GPU's memory; the sentence says the size to try.
        OSError: a checkpoint cannot be written, for example because the disk is full; the one before is kept.
        TrainingInterrupted: Ctrl-C, a kernel interrupt or SIGTERM; the checkpoint is kept.
    """
    check_config(config, protocol)
    check_text(config, classes, files)
    check_frames(config, store.settings)
    rows, targets = clips_of(store, protocol.train_clips, protocol.seen)
    total_steps = config.epochs * steps_per_epoch(len(rows), config.batch_size * config.accumulate)
    inputs = Inputs(protocol.hash, store.fingerprint, classes.fingerprint)
    checkpoint = Checkpoint(make_folder(Path(folder)) / FILE_NAME, config, inputs, 0, total_steps, [])
    if checkpoint.path.is_file():
        checkpoint = same_run(load_checkpoint(checkpoint.path), checkpoint)
        if checkpoint.complete:
            return checkpoint
    remove_half_written(checkpoint.path.parent)
    with torch.random.fork_rng(), cpu_threads(config.cpu_threads), stop_signals() as stop:
        training = _Training(store, protocol, classes, checkpoint, choose_device(device), rows, targets, files)
        return training.run(stop, on_epoch, save_every_s)


class _Training:
    """The parts of one training that live from its first step to its last."""

    def __init__(
        self, store: FrameStore, protocol: Protocol, classes: ClassEmbeddings, start: Checkpoint, device: torch.device,
        rows: np.ndarray, targets: np.ndarray, files: EncoderFiles | None,
    ) -> None:  # fmt: skip
        self.store, self.protocol, self.device, self.checkpoint = store, protocol, device, start
        self.rows, self.targets = rows, targets
        config = start.config
        torch.manual_seed(config.seed)
        self.model = ResT(config.model).to(device)
        lay_out(self.model.backbone, config.memory_format)
        self.tail = TextTail(files, config.text_layers, device) if config.text_layers else None
        self.optimiser = make_optimiser(self.model, self._trained_text(), config)
        live = weights_by_name(self.model, self._trained_text())
        self.average = Average(live, config.ema_decay) if config.ema_decay else None
        if start.step:
            self._restore(start)
        self._compile()
        self.seen_text = self.begin_text(classes, protocol.seen)
        self.validation_text = self.begin_text(classes, protocol.validation) if protocol.validation else None
        self.meters = Meters(config, device)
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
            self.checkpoint = replace(self.checkpoint, compiled=compile_if_faster(self.model, self.checkpoint.config))
        elif self.checkpoint.compiled:
            compile_parts(self.model)

    def begin_text(self, classes: ClassEmbeddings, names: tuple[str, ...]) -> TextInputs | KeptTexts:
        """What stays the same of class texts through the training: all of them, or as far as the trained layers of the text encoder."""
        if self.tail:
            return self.tail.keep(classes.class_text, names)
        return text_inputs(classes, names, self.checkpoint.config.model.n_label_tokens, self.device)

    def end_text(self, begun: TextInputs | KeptTexts) -> TextInputs:
        """The class texts as they are read now."""
        return self.tail.inputs(begun, self.checkpoint.config.model.n_label_tokens) if self.tail else begun

    def run(self, stop: threading.Event, on_epoch: Callable[[list[dict[str, Any]]], None] | None, save_every_s: float) -> Checkpoint:
        config, total = self.checkpoint.config, self.checkpoint.total_steps
        per_epoch, clips_a_step = total // config.epochs, config.batch_size * config.accumulate
        bar = progress(what=f"training, {self.protocol.name}", unit="clip", total=config.epochs * len(self.rows),
                       done=self.checkpoint.step // per_epoch * len(self.rows) + self.checkpoint.step % per_epoch * clips_a_step)  # fmt: skip
        with bar:
            for epoch in range(self.checkpoint.step // per_epoch, config.epochs):
                running = self._steps_of(epoch, per_epoch, stop, bar, save_every_s)
                losses = {name: value / running["n_clips"] for name, value in running["sums"].items()}
                entry = {"epoch": epoch + 1, "step": self.checkpoint.step} | losses
                entry |= self.meters.figures() | self.validate(epoch + 1)  # the meters first: validation is not part of them
                self.checkpoint = replace(self.checkpoint, history=[*self.checkpoint.history, entry])
                figures = {"loss": sum(losses.values())} | {name: value for name, value in entry.items() if "top1" in name}
                bar.set_postfix({name: f"{value:.2f}" for name, value in figures.items()} | shown(entry) | self._keep_best())
                self.save()
                if on_epoch:
                    on_epoch(self.checkpoint.history)
                if stop.is_set() and not self.checkpoint.complete:
                    self.leave()
        return self.checkpoint

    def _steps_of(self, epoch: int, per_epoch: int, stop: threading.Event, bar: Any, save_every_s: float) -> dict[str, Any]:
        """Take those steps of an epoch that are left, and save between them from time to time; its clips and sums of losses."""
        config = self.checkpoint.config
        running = {"n_clips": 0, "sums": {}} | self.checkpoint.running
        clips_a_step = config.batch_size * config.accumulate
        batches = training_batches(self.store.frames, self.rows, self.targets, clips_a_step, config.seed, epoch, self.checkpoint.step)
        self.meters.begin()
        for batch in self.meters.watch(batches):
            losses = self.take_step(batch.frames_BNHWC, batch.target_B, batch.step)
            n_clips = len(batch.target_B)
            sums = {name: running["sums"].get(name, 0.0) + value * n_clips for name, value in losses.items()}
            running = {"n_clips": running["n_clips"] + n_clips, "sums": sums}
            self.meters.count(n_clips)
            is_end = not (batch.step + 1) % per_epoch
            self.checkpoint = replace(self.checkpoint, step=batch.step + 1, running={} if is_end else running)
            bar.update(n_clips)
            if stop.is_set() and not is_end:
                self.leave()
            if time.monotonic() - self.saved_at_s >= save_every_s and not is_end:
                self.save()
        return running

    def take_step(self, frames_BNHWC: Tensor, target_B: Tensor, step: int) -> dict[str, float]:
        """One optimiser step over these clips, `batch_size` of them in the model at a time.

        Returns:
            The losses by name, means over the clips.

        Raises:
            ValueError: a loss or a gradient is not finite; the weights stay as they were.
            RuntimeError: the batch does not fit into the GPU's memory.
        """
        try:
            return self._take_step(frames_BNHWC, target_B, step)
        except torch.OutOfMemoryError as error:
            reason = str(error).split(". ")[0]
        # only here, so that the failed step's tensors are not held by the error
        raise RuntimeError(smaller_batch(self.checkpoint.config, self.device, step, reason))

    def _take_step(self, frames_BNHWC: Tensor, target_B: Tensor, step: int) -> dict[str, float]:
        """Every random number in it is keyed by (seed, step)."""
        config = self.checkpoint.config
        _seed_torch(_step_seed(config.seed, step), self.device)
        generator = torch.Generator(self.device).manual_seed(_step_seed(config.seed, step))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.checkpoint.total_steps, config, group["peak"])
        self.model.train()
        self.optimiser.zero_grad(set_to_none=True)
        view = training_view(frames_BNHWC.to(self.device, non_blocking=True), config.view, generator)
        values: dict[str, float] = {}
        for part, targets in zip(view.split(config.batch_size), target_B.to(self.device).split(config.batch_size), strict=True):
            share = len(targets) / len(target_B)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
                labels = self.model.encode_labels(*self.end_text(self.seen_text))
                losses = training_losses(self.model, part, targets, labels, config, generator)
            values = {name: values.get(name, 0.0) + share * float(value.detach()) for name, value in losses.items()}
            check_finite(values, step, "loss")
            (share * sum(losses.values())).backward()
        norms = {"model": torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)}
        if self.tail:  # by itself, so that the model's own steps do not depend on it
            norms["text encoder"] = torch.nn.utils.clip_grad_norm_(self.tail.trained.values(), config.clip_norm)
        check_finite({f"that of the {name}": float(norm) for name, norm in norms.items()}, step, "gradient")
        self.optimiser.step()
        if self.average:
            self.average.update(step)
        return values

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
        figures = {}
        if self.protocol.seen_test_clips:
            rows, targets = clips_of(self.store, self.protocol.seen_test_clips, self.protocol.seen)
            figures["seen_top1"] = _accuracy(self.model.seen_logits(self._embed(rows), 1.0), targets)
        if self.validation_text:
            rows, targets = clips_of(self.store, self.protocol.validation_clips, self.protocol.validation)
            labels = self.model.encode_labels(*self.end_text(self.validation_text))
            figures["validation_direct_top1"] = _accuracy(self._embed(rows) @ labels.embedding_CD.T, targets)
        return figures

    def _embed(self, rows: np.ndarray) -> Tensor:
        view = self.checkpoint.config.view
        batches = scoring_batches(self.store.frames, rows, 64)
        return torch.cat([self.model.encode_video(centre_view(b.to(self.device), view)).embedding_BD for b in batches])

    def _keep_best(self) -> dict[str, str]:
        """Keep the weights of the epoch that just ended if it is the best so far; says which one is."""
        best, last = best_epoch(self.checkpoint.history), self.checkpoint.history[-1]["epoch"]
        if best == last:  # before the checkpoint: killed in between, the epoch is run again and ends the same
            live = weights_by_name(self.model, self._trained_text())
            averages = self.average.kept if self.average else {}
            save_best(self.checkpoint, live | averages)
        return {"best epoch": str(best)} if best else {}

    def save(self) -> None:
        save_checkpoint(self.checkpoint, self.model, self.optimiser, self._trained_text(), self.average.kept if self.average else None)
        write_log(self.checkpoint)
        self.saved_at_s = time.monotonic()

    def leave(self) -> None:
        self.save()
        step, total, path = self.checkpoint.step, self.checkpoint.total_steps, self.checkpoint.path
        raise TrainingInterrupted(f"training was interrupted at step {step} of {total}; '{path}' was kept, run it again to go on from there")


def clips_of(store: FrameStore, ids: tuple[str, ...], classes: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the store for these clips, and the index of each one's class in `classes`, both int64."""
    rows = np.asarray(store.rows(ids), dtype=np.int64)
    position = {name: index for index, name in enumerate(classes)}
    return rows, np.array([position[store.labels[row]] for row in rows], dtype=np.int64)


def _accuracy(scores_BC: Tensor, targets: np.ndarray) -> float:
    return float((scores_BC.argmax(1).cpu().numpy() == targets).mean())


def _step_seed(seed: int, step: int) -> int:
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0] >> 1)


def _seed_torch(seed: int, device: torch.device) -> None:
    """As torch.manual_seed, which keeps a stack trace for each kind of device that is not in use: 0.2 to 0.5 ms."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Let torch use this many threads on the CPU inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
