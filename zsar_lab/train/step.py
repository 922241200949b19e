"""What a step of a training is made of: optimiser, learning rate, average, losses, seeds.

Shapes: B clips, S seen classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

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

    `labels` are of all seen classes; `uniform_BS`, in 0..1, is the losses' only source of randomness.
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


def smaller_batch(config: TrainConfig, step: int, reason: str) -> str:
    """The message where a batch does not fit: the same step by more, smaller batches."""
    whole = config.batch_size * config.accumulate
    n_clips = min(config.batch_size, -(-whole // distributed.world_size()))
    size = next((n for n in range(n_clips // 2, 0, -1) if not whole % n), None)
    cure = f"batch_size {size} and accumulate {whole // size}" if size else "a smaller view or model"
    return f"{n_clips} clips do not fit into memory at step {step} ({reason}); take {cure} in a new folder"


def seed_of(*keys: int) -> int:
    """A seed of these numbers; zeros at their end do not change it."""
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1)


def seed_torch(seed: int, device: torch.device) -> None:
    """As torch.manual_seed, which keeps a stack trace for each kind of device not in use: 0.2 to 0.5 ms."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
