"""The training loop: unchanged on a CPU and on one GPU, resumable at any step, interruptible.

Randomness is keyed by (seed, step), never carried along, so a resumed training takes the same steps as one that was not stopped.
Shapes: B clips, S seen classes, V validation classes, N labels a clip in matching.
"""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from zsar_lab.artefacts import make_folder, writing
from zsar_lab.data.frames import FrameStore
from zsar_lab.data.loader import centre_view, scoring_batches, steps_per_epoch, training_batches, training_view
from zsar_lab.data.protocols.protocol import Protocol
from zsar_lab.model.losses import alignment_loss, classification_loss, hard_labels, matching_loss
from zsar_lab.model.rest import LabelCode, ResT, word_spans
from zsar_lab.progress import progress
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.training.checkpoint import FILE_NAME, Checkpoint, Inputs, load_checkpoint, restore_optimiser, save_checkpoint
from zsar_lab.training.presets import TrainConfig
from zsar_lab.training.text_tail import KeptTexts, TextInputs, TextTail


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop; its sentence says at which step, and that the checkpoint was kept."""


def choose_device(name: str | None = None) -> torch.device:
    """The device named, else the first GPU, else the CPU."""
    return torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))


def text_inputs(classes: ClassEmbeddings, names: tuple[str, ...], n_label_tokens: int, device: torch.device | str) -> TextInputs:
    """The class texts of these classes, in their order, ready for `ResT.encode_labels`."""
    rows = classes.rows(names)
    words = word_spans(torch.from_numpy(classes.words_CLE[rows]), torch.from_numpy(classes.mask_CL[rows]), n_label_tokens)
    return TextInputs(torch.from_numpy(classes.pooled_CF[rows]).to(device), words.to(device))


def learning_rate(step: int, total_steps: int, config: TrainConfig, peak: float | None = None) -> float:
    """One-cycle: linear up to the peak in the first `warm_up` share of steps, then half a cosine down to 0; `peak` None is the configuration's."""
    peak = config.learning_rate if peak is None else peak
    warm_up_steps = max(1, round(config.warm_up * total_steps))
    if step < warm_up_steps:
        return peak * (step + 1) / warm_up_steps
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up_steps) / max(1, total_steps - warm_up_steps)))


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
) -> Checkpoint:
    """Train on the seen classes of a protocol; goes on from the run's checkpoint when there is one.

    Args:
        store: frames of at least the protocol's clips.
        protocol: only its seen classes and training clips are trained on.
        classes: embedded class texts of its seen and validation classes.
        config: from training/presets.py; `config.model.n_seen` must be the number of seen classes.
        folder: of the run; gets checkpoint.safetensors and log.csv.
        device: "cpu", "cuda", or None to choose.
        on_epoch: called with the history after each epoch, for live figures.
        files: of the text encoder that made `classes`; needed when `config.text_layers` is above 0.

    Returns:
        The complete checkpoint.

    Raises:
        ValueError: the folder holds a checkpoint of another configuration or other inputs, a loss is not finite, every loss is
            switched off, n_seen is wrong, or the text encoder's layers cannot be trained as asked.
        TrainingInterrupted: Ctrl-C, a kernel interrupt or SIGTERM; the checkpoint is kept.
    """
    if config.model.n_seen != len(protocol.seen):
        raise ValueError(f"config.model.n_seen must be the protocol's number of seen classes ({len(protocol.seen)}), got {config.model.n_seen}")
    if not (config.classification_weight or config.alignment_weight or config.matching_weight):
        raise ValueError("at least one loss must have a weight above 0, got 0 for all three; set one in the configuration")
    _check_text(config, classes, files)
    rows, targets = clips_of(store, protocol.train_clips, protocol.seen)
    total_steps = config.epochs * steps_per_epoch(len(rows), config.batch_size)
    inputs = Inputs(protocol.hash, store.fingerprint, classes.fingerprint)
    checkpoint = Checkpoint(make_folder(Path(folder)) / FILE_NAME, config, inputs, 0, total_steps, [])
    if checkpoint.path.is_file():
        checkpoint = _same_run(load_checkpoint(checkpoint.path), checkpoint)
        if checkpoint.complete:
            return checkpoint
    with torch.random.fork_rng(), cpu_threads(config.cpu_threads), _stop_signals() as stop:
        training = _Training(store, protocol, classes, checkpoint, choose_device(device), rows, targets, files)
        return training.run(stop, on_epoch)


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
        self.tail = TextTail(files, config.text_layers, device) if config.text_layers else None
        self.optimiser = _optimiser(self.model, self.tail, config)
        if start.step:
            self.model.load_state_dict(start.tensors("model."))
            if self.tail:
                self.tail.load(start.tensors("text."))
            restore_optimiser(start, self.optimiser)
        self.seen_text = self.begin_text(classes, protocol.seen)
        self.validation_text = self.begin_text(classes, protocol.validation) if protocol.validation else None

    def begin_text(self, classes: ClassEmbeddings, names: tuple[str, ...]) -> TextInputs | KeptTexts:
        """What stays the same of class texts through the training: all of them, or as far as the trained layers of the text encoder."""
        if self.tail:
            return self.tail.keep(classes.class_text, names)
        return text_inputs(classes, names, self.checkpoint.config.model.n_label_tokens, self.device)

    def end_text(self, begun: TextInputs | KeptTexts) -> TextInputs:
        """The class texts as they are read now."""
        return self.tail.inputs(begun, self.checkpoint.config.model.n_label_tokens) if self.tail else begun

    def run(self, stop: threading.Event, on_epoch: Callable[[list[dict[str, Any]]], None] | None) -> Checkpoint:
        config, total = self.checkpoint.config, self.checkpoint.total_steps
        per_epoch = total // config.epochs
        bar = progress(what=f"training, {self.protocol.name}", unit="clip", total=config.epochs * len(self.rows),
                       done=self.checkpoint.step // per_epoch * len(self.rows) + self.checkpoint.step % per_epoch * config.batch_size)  # fmt: skip
        with bar:
            for epoch in range(self.checkpoint.step // per_epoch, config.epochs):
                started, sums, n_clips = time.perf_counter(), {}, 0
                for batch in training_batches(
                    self.store.frames, self.rows, self.targets, config.batch_size, config.seed, epoch, self.checkpoint.step
                ):
                    losses = self.take_step(batch.frames_BNHWC, batch.target_B, batch.step)
                    self.checkpoint = replace(self.checkpoint, step=batch.step + 1)
                    n_clips += len(batch.target_B)
                    sums = {name: sums.get(name, 0.0) + value * len(batch.target_B) for name, value in losses.items()}
                    bar.update(len(batch.target_B))
                    if stop.is_set() and self.checkpoint.step % per_epoch:
                        self.leave()
                entry = {"epoch": epoch + 1, "step": self.checkpoint.step} | {name: value / n_clips for name, value in sums.items()}
                entry |= {"clips_per_s": n_clips / (time.perf_counter() - started)} | self.validate(epoch + 1)
                self.checkpoint = replace(self.checkpoint, history=[*self.checkpoint.history, entry])
                bar.set_postfix({"loss": f"{sum(sums.values()) / n_clips:.2f}"} | {k: f"{v:.2f}" for k, v in entry.items() if "top1" in k})
                self.save()
                if on_epoch:
                    on_epoch(self.checkpoint.history)
                if stop.is_set() and not self.checkpoint.complete:
                    self.leave()
        return self.checkpoint

    def take_step(self, frames_BNHWC: Tensor, target_B: Tensor, step: int) -> dict[str, float]:
        """One optimiser step; every random number in it is keyed by (seed, step)."""
        config = self.checkpoint.config
        torch.manual_seed(_step_seed(config.seed, step))
        generator = torch.Generator(self.device).manual_seed(_step_seed(config.seed, step))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.checkpoint.total_steps, config, group["peak"])
        self.model.train()
        view = training_view(frames_BNHWC.to(self.device, non_blocking=True), config.view, generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            labels = self.model.encode_labels(*self.end_text(self.seen_text))
            losses = training_losses(self.model, view, target_B.to(self.device), labels, config, generator)
        total = sum(losses.values())
        values = {name: float(value.detach()) for name, value in losses.items()}
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        if bad:
            raise ValueError(
                f"every loss must stay finite, {bad[0]} became {values[bad[0]]} at step {step}; the last checkpoint is kept,"
                " lower the learning rate and start in a new folder"
            )
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), config.clip_norm)
        if self.tail:  # by itself, so that the model's own steps do not depend on it
            torch.nn.utils.clip_grad_norm_(self.tail.trained.values(), config.clip_norm)
        self.optimiser.step()
        return values

    @torch.inference_mode()
    def validate(self, epoch: int) -> dict[str, float]:
        """Top-1 on held-out clips of seen classes, and on validation classes by the nearest label embedding, 0..1; those that there are."""
        config = self.checkpoint.config
        if epoch % config.validate_every and epoch != config.epochs:
            return {}
        self.model.eval()
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

    def save(self) -> None:
        save_checkpoint(self.checkpoint, self.model, self.optimiser, self.tail.trained if self.tail else None)
        with writing(self.checkpoint.path.parent / "log.csv") as temporary:
            pd.DataFrame(self.checkpoint.history).to_csv(temporary, index=False)

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


def _optimiser(model: ResT, tail: TextTail | None, config: TrainConfig) -> torch.optim.Optimizer:
    parts = [(list(model.parameters()), config.learning_rate)]
    parts += [(list(tail.trained.values()), config.text_learning_rate)] if tail else []
    groups = []
    for parameters, peak in parts:
        groups.append({"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay, "peak": peak})
        groups.append({"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0, "peak": peak})
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)


def _check_text(config: TrainConfig, classes: ClassEmbeddings, files: EncoderFiles | None) -> None:
    """Check that what the last layers of the text encoder are trained with is there; of how many layers, `TextTail` says."""
    if not config.text_layers:
        return
    if not (config.alignment_weight or config.matching_weight):
        raise ValueError(
            f"training the text encoder needs the alignment or the matching loss, got text_layers {config.text_layers} with weight 0 for both;"
            " set one, or text_layers to 0"
        )
    if files is None or files.revision != classes.encoder:
        got = "none" if files is None else f"those of {files.name} (revision {files.revision})"
        raise ValueError(
            f"training the text encoder needs the files of the one that made the class embeddings (revision {classes.encoder}), got {got};"
            " give train(..., files=find_encoder(...)), or set text_layers to 0"
        )


def _same_run(found: Checkpoint, wanted: Checkpoint) -> Checkpoint:
    """The checkpoint found, if it is of the same configuration and inputs; its history is what the log shows."""
    if found.config != wanted.config or found.inputs != wanted.inputs or found.total_steps != wanted.total_steps:
        different = "configuration" if found.config != wanted.config else "data"
        raise ValueError(
            f"'{wanted.path.parent}' holds a checkpoint of another {different}; choose another folder, or delete it to train anew"
        )
    return found


@contextmanager
def cpu_threads(n_threads: int) -> Iterator[None]:
    """Let torch use this many threads on the CPU inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(n_threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C, a kernel interrupt or SIGTERM sets, so that a step is never left half done.

    Outside the main thread signals cannot be taken over, and the event is never set.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    earlier = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
