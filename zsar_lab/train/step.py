"""One step of a training: views, losses, gradients over all ranks, optimiser, learning rate, average.

Every random number of a step is keyed by (seed, step), of dropout by (seed, step, rank) too; none is carried
along. Shapes: B clips, S seen classes, N labels a clip in matching.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from zsar_lab.data.loader import Batch, training_view
from zsar_lab.models.losses import LOSSES, LossInputs
from zsar_lab.models.rest import LabelCode, ResT
from zsar_lab.train import distributed
from zsar_lab.train.checkpoint import copy_tensors
from zsar_lab.train.config import TrainConfig
from zsar_lab.train.device import mixed_precision
from zsar_lab.train.text_tail import ReadTexts, TextTail

MOMENTUM = 0.9  # of SGD, as published recipes of video networks have it


def make_optimiser(model: ResT, text: dict[str, nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The fused optimiser of a configuration, whose groups know the peak of their learning rate as "peak".

    Only matrices decay. "adamw": betas 0.9 and 0.99, decay apart from the gradient. "sgd": momentum 0.9,
    decay added to the gradient. `text`: the trained tensors of the text encoder; may be empty.
    """
    groups = []
    trained = (model.parameters(), config.learning_rate), (text.values(), config.text_learning_rate)
    for parameters, peak in trained:
        if parts := list(parameters):
            matrices, others = [p for p in parts if p.ndim >= 2], [p for p in parts if p.ndim < 2]
            groups.append({"params": matrices, "weight_decay": config.weight_decay, "peak": peak})
            groups.append({"params": others, "weight_decay": 0.0, "peak": peak})
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=MOMENTUM, fused=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)


def learning_rate(step: int, total_steps: int, config: TrainConfig, peak: float | None = None) -> float:
    """The rate of a step, counted from 0: linear up to the peak (None: the configuration's), then down.

    "cosine": half a cosine to 0. "steps": a tenth of the peak from 0.4 of all steps on, a hundredth from 0.8.
    """
    peak = config.learning_rate if peak is None else peak
    warm_up_steps = max(1, round(config.warm_up * total_steps))
    if step < warm_up_steps:
        return peak * (step + 1) / warm_up_steps
    if config.schedule == "steps":
        return peak * 0.1 ** ((step >= 0.4 * total_steps) + (step >= 0.8 * total_steps))
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up_steps) / max(1, total_steps - warm_up_steps)))


class Average:
    """Exponential moving average of the weights: e <- d e + (1 - d) w, d = min(decay, (1 + n) / (10 + n)).

    After step n, counted from 0; so a short training does not remember its random start (torch's
    AveragedModel has no such start). Batch norm's statistics are averaged like weights; integers are copied.
    `live` are the tensors by name, as the training moves them in place; `tensors` their averages.
    """

    def __init__(self, live: Mapping[str, Tensor], decay: float) -> None:
        self.live, self.decay = dict(live), decay
        self.tensors = {name: tensor.detach().clone() for name, tensor in live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the tensors as they are after this step."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.tensors.items():
            if average.is_floating_point():
                average.lerp_(self.live[name], 1 - decay)
            else:
                average.copy_(self.live[name])

    @contextmanager
    def put_in(self) -> Iterator[None]:
        """Inside the block the live tensors hold the averages; after it what they held before."""
        before = {name: tensor.detach().clone() for name, tensor in self.live.items()}
        copy_tensors(self.tensors, self.live)
        try:
            yield
        finally:
            copy_tensors(before, self.live)


def training_losses(
    model: ResT,
    view_BTKHW: Tensor,
    target_B: Tensor,
    labels: LabelCode,
    config: TrainConfig,
    uniform_BS: Tensor,
) -> dict[str, Tensor]:
    """The weighted losses of a batch by name, of those that are on; their sum is what is minimised.

    Args:
        model: in training.
        view_BTKHW: of the clips.
        target_B: the seen class of each.
        labels: the codes of all seen classes.
        config: weights and temperatures.
        uniform_BS: random numbers in 0..1, the losses' only source of randomness.
    """
    video = model.encode_video(view_BTKHW)
    settings = config.temperature, config.label_smoothing, config.n_match_labels
    given = LossInputs(model, video, labels, target_B, uniform_BS, *settings)
    return {name: w * LOSSES[name].compute(given) for name, w in config.loss_weights.items() if w}


class StepLosses(nn.Module):
    """Class texts and clips to losses in one call, for gradients to be exchanged between ranks after it."""

    def __init__(self, model: ResT, tail: TextTail | None, texts: ReadTexts, config: TrainConfig) -> None:
        super().__init__()
        self.model, self.texts, self.config = model, texts, config
        self.text = nn.ParameterList(tail.trained.values() if tail else ())

    def forward(self, view_BTKHW: Tensor, target_B: Tensor, uniform_BS: Tensor) -> dict[str, Tensor]:
        """See `training_losses`."""
        with mixed_precision(view_BTKHW.device):
            labels = self.model.encode_labels(*self.texts())
            return training_losses(self.model, view_BTKHW, target_B, labels, self.config, uniform_BS)


class Step:
    """What takes a training's steps, and moves its model, tail, optimiser and average (if any)."""

    def __init__(
        self,
        model: ResT,
        tail: TextTail | None,
        optimiser: torch.optim.Optimizer,
        average: Average | None,
        texts: ReadTexts,
        config: TrainConfig,
        total_steps: int,
    ) -> None:
        self.model, self.tail, self.optimiser, self.average = model, tail, optimiser, average
        self.config, self.total_steps, self.device = config, total_steps, model.clip_token.device
        some_unused = any(loss.weight and not config.loss_weights[name] for name, loss in LOSSES.items())
        self.losses = distributed.joined(StepLosses(model, tail, texts, config), some_unused)

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
        _seed_torch(_seed(config.seed, step, distributed.rank()), self.device)
        generator = torch.Generator(self.device).manual_seed(_seed(config.seed, step))
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(step, self.total_steps, config, group["peak"])
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


def smaller_batch(config: TrainConfig, step: int, reason: str) -> str:
    """The message where a batch does not fit: the same step by more, smaller batches."""
    whole = config.batch_size * config.accumulate
    n_clips = min(config.batch_size, -(-whole // distributed.world_size()))
    size = next((n for n in range(n_clips // 2, 0, -1) if not whole % n), None)
    cure = f"batch_size {size} and accumulate {whole // size}" if size else "a smaller view or model"
    return f"{n_clips} clips do not fit into memory at step {step} ({reason}); take {cure} in a new folder"


def _seed(*keys: int) -> int:
    """A seed of these numbers; zeros at their end do not change it."""
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1)


def _seed_torch(seed: int, device: torch.device) -> None:
    """As torch.manual_seed, which keeps a stack trace for each kind of device not in use: 0.2 to 0.5 ms."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
