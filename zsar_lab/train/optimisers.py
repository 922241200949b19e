"""What moves the weights: AdamW or SGD, and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from zsar_lab.models.rest import ResT
from zsar_lab.train.presets import TrainConfig

OPTIMISERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "steps")
MOMENTUM = 0.9  # of SGD, as published recipes of video networks have it


def make_optimiser(model: ResT, text: dict[str, nn.Parameter], config: TrainConfig) -> torch.optim.Optimizer:
    """The optimiser that `config.optimiser` names, fused; only matrices decay.

    "adamw": betas 0.9 and 0.99, decay apart from the gradient. "sgd": momentum 0.9, decay added to the
    gradient.

    Args:
        model: all of its parameters are trained.
        text: the trained tensors of the text encoder, with a peak of their own; may be empty.
        config: rates and decay.

    Returns:
        An optimiser whose groups know the peak of their learning rate as "peak".

    Raises:
        ValueError: there is no optimiser of that name.
    """
    parts = [(list(model.parameters()), config.learning_rate)]
    parts += [(list(text.values()), config.text_learning_rate)] if text else []
    groups = []
    for parameters, peak in parts:
        groups.append(
            {
                "params": [p for p in parameters if p.ndim >= 2],
                "weight_decay": config.weight_decay,
                "peak": peak,
            }
        )
        groups.append({"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0, "peak": peak})
    if config.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=MOMENTUM, fused=True)
    if config.optimiser == "adamw":
        return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.99), fused=True)
    raise ValueError(f"optimiser must be one of {', '.join(map(repr, OPTIMISERS))}, got {config.optimiser!r}")


def learning_rate(step: int, total_steps: int, config: TrainConfig, peak: float | None = None) -> float:
    """The learning rate of a step: linear up to the peak in the first `warm_up` share of steps, then down as the schedule says.

    "cosine" (with the warm-up, one cycle): half a cosine down to 0. "steps": the peak, a tenth of it from 0.4
    of all steps on, a hundredth from 0.8 on.

    Args:
        step: counts from 0.
        total_steps: of the whole training.
        config: peak, warm-up and schedule.
        peak: None is the configuration's.

    Raises:
        ValueError: there is no schedule of that name.
    """
    peak = config.learning_rate if peak is None else peak
    warm_up_steps = max(1, round(config.warm_up * total_steps))
    if config.schedule not in SCHEDULES:
        raise ValueError(
            f"schedule must be one of {', '.join(map(repr, SCHEDULES))}, got {config.schedule!r}"
        )
    if step < warm_up_steps:
        return peak * (step + 1) / warm_up_steps
    if config.schedule == "steps":
        return peak * 0.1 ** ((step >= 0.4 * total_steps) + (step >= 0.8 * total_steps))
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up_steps) / max(1, total_steps - warm_up_steps)))
