"""Visual backbones: from frames to a feature map over time and space.

Shapes: B clips, T frames, H W pixels, K channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class TemporalShift(nn.Module):
    """Moves an eighth of the channels one frame back and an eighth one frame on, zeros at the ends.

    Source: Lin, Gan, Han, "TSM: Temporal Shift Module", ICCV 2019, the residual, two-sided form.
    """

    def __init__(self, n_frames: int) -> None:
        super().__init__()
        self.n_frames = n_frames

    def forward(self, features: Tensor) -> Tensor:
        """Shift [B*T, K, H, W]; same shape and dtype."""
        fold = features.shape[1] // 8
        frames = features.unflatten(0, (-1, self.n_frames))
        edge = torch.zeros_like(frames[:, :1, :fold])
        from_next = torch.cat([frames[:, 1:, :fold], edge], 1)
        from_last = torch.cat([edge, frames[:, :-1, fold : 2 * fold]], 1)
        return torch.cat([from_next, from_last, frames[:, :, 2 * fold :]], 2).flatten(0, 1)


class ShiftBlock(nn.Module):
    """A basic residual block whose input to the first convolution is shifted in time."""

    def __init__(self, width_in: int, width_out: int, stride: int, n_frames: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            TemporalShift(n_frames),
            nn.Conv2d(width_in, width_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(width_out, width_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(nn.Conv2d(width_in, width_out, 1, stride, bias=False), nn.BatchNorm2d(width_out))
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.body(features) + self.shortcut(features))


class SmallShiftResNet(nn.Module):
    """A small 2D ResNet with temporal shift, for the demo: one block a stage, stride 2 each, then the mean over space.

    Args:
        widths: channels of the stages; the first is a 7x7 convolution with stride 4.
        n_frames: frames a clip.
    """

    def __init__(self, widths: tuple[int, ...], n_frames: int) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.width = widths[-1]
        stem = nn.Sequential(nn.Conv2d(3, widths[0], 7, 4, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        blocks = [ShiftBlock(a, b, 2, n_frames) for a, b in zip(widths[:-1], widths[1:])]
        self.stages = nn.Sequential(stem, *blocks)

    def forward(self, frames_BTKHW: Tensor) -> Tensor:
        """Features [B, T, width] float of frames [B, T, 3, H, W] float in about -1..1.

        Raises:
            ValueError: another number of frames than the model was made for.
        """
        if frames_BTKHW.shape[1] != self.n_frames:
            raise ValueError(f"clips must have {self.n_frames} frames, got {frames_BTKHW.shape[1]}; set the loader's n_frames to the model's")
        maps = self.stages(frames_BTKHW.flatten(0, 1))
        return maps.mean((2, 3)).unflatten(0, (-1, self.n_frames))
