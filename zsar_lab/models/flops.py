"""Floating-point operations per clip, counted by running a model on torch's meta device, without data."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from zsar_lab.models.rest import ResT


class ClipGflop(NamedTuple):
    """Per clip, in 1e9 operations. training: forward and backward, without the optimiser's step."""

    forward: float
    training: float


def clip_gflop(model: nn.Module, n_frames: int, size_px: int) -> ClipGflop:
    """GFLOP per clip of a backbone, or of the visual side of a ResT (labels and matching cost by class).

    A multiply-add counts as 2. Counted are convolutions, matrix products and attention; not normalisations,
    activations, sums and pooling. The backward has the gradients of parameters and features, not of frames.
    Neither the model, on any device, nor a random state is touched.
    """
    with torch.inference_mode(False), torch.enable_grad(), FlopCounterMode(display=False) as counter:
        # in training mode, as the fused layers of inference are not counted; two clips, for batch norm
        meta = copy.deepcopy(model).to("meta").train()
        frames_BTKHW = torch.empty(2, n_frames, 3, size_px, size_px, device="meta")
        features = (
            meta.encode_video(frames_BTKHW).tokens_BPD if isinstance(meta, ResT) else meta(frames_BTKHW)
        )
        forward = counter.get_total_flops()
        features.sum().backward()
    return ClipGflop(forward / 2e9, counter.get_total_flops() / 2e9)
