"""A moving average of the weights, which validation and everything after the training use instead of the last ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor


class Average:
    """Exponential moving average of tensors that a training moves: e <- d e + (1 - d) w after each step.

    d = min(decay, (1 + n) / (10 + n)) after n + 1 steps, so that a short training does not remember its
    random start. Batch norm's running mean and variance are averaged like weights; whole numbers are taken as
    they are.

    Args:
        live: the tensors by name, as the training moves them in place (a state dict shares their memory).
        decay: at least 0 and below 1, for example 0.999: about the last thousand steps.

    Attributes:
        kept: the averages by name.

    Raises:
        ValueError: another decay.
    """

    def __init__(self, live: Mapping[str, Tensor], decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay must be at least 0 (no average) and below 1, got {decay}")
        self.live, self.decay = dict(live), decay
        self.kept = {name: tensor.detach().clone() for name, tensor in live.items()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take up averages, as a checkpoint keeps them."""
        for name, average in self.kept.items():
            average.copy_(tensors[name])

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the tensors as they are after this step, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, average in self.kept.items():
            if average.is_floating_point():
                average.lerp_(self.live[name], 1 - decay)
            else:
                average.copy_(self.live[name])

    @contextmanager
    def put_in(self) -> Iterator[None]:
        """Inside the block the live tensors hold the averages; after it, bit for bit what they held before."""
        before = {name: tensor.detach().clone() for name, tensor in self.live.items()}
        self._set(self.kept)
        try:
            yield
        finally:
            self._set(before)

    @torch.no_grad()
    def _set(self, values: Mapping[str, Tensor]) -> None:
        for name, tensor in self.live.items():
            tensor.copy_(values[name])
