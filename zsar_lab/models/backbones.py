"""Visual backbones over single frames: the demo's small one with temporal shift, and 2D ResNets. Those over time are in video_resnets.py.

A backbone takes frames [B, T, 3, H, W] and gives a feature map [B, T', H', W', K]; it knows K as `width` and
T', H', W' by `map_size`.

Shapes: B clips, T frames, H W pixels, K channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

FRAME_RESNETS = {
    18: ("basic", (64, 128, 256, 512), (2, 2, 2, 2)),
    50: ("bottleneck", (256, 512, 1024, 2048), (3, 4, 6, 3)),
    101: ("bottleneck", (256, 512, 1024, 2048), (3, 4, 23, 3)),
}


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
            self.shortcut = nn.Sequential(
                nn.Conv2d(width_in, width_out, 1, stride, bias=False), nn.BatchNorm2d(width_out)
            )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.body(features) + self.shortcut(features))


class SmallShiftResNet(nn.Module):
    """A small 2D ResNet with temporal shift, for the demo: one block a stage, stride 2 each, then the mean over space.

    Args:
        widths: channels of the stages; the first is a 7x7 convolution with stride 4.
        n_frames: frames a clip.
        zero_residual: the last normalisation of each residual branch starts at 0, so that each block starts
            as its shortcut.
    """

    def __init__(self, widths: tuple[int, ...], n_frames: int, zero_residual: bool = False) -> None:
        super().__init__()
        self.n_frames = n_frames
        self.width = widths[-1]
        stem = nn.Sequential(
            nn.Conv2d(3, widths[0], 7, 4, 3, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        blocks = [ShiftBlock(a, b, 2, n_frames) for a, b in zip(widths[:-1], widths[1:])]
        self.stages = nn.Sequential(stem, *blocks)
        if zero_residual:
            for block in blocks:
                nn.init.zeros_(block.body[-1].weight)

    def map_size(self, n_frames: int, size_px: int) -> tuple[int, int, int]:
        """T', H', W' of the feature map, of frames of any size."""
        return n_frames, 1, 1

    def forward(self, frames_BTKHW: Tensor) -> Tensor:
        """Features [B, T, 1, 1, width] float of frames [B, T, 3, H, W] float in about -1..1.

        Raises:
            ValueError: another number of frames than the model was made for.
        """
        if frames_BTKHW.shape[1] != self.n_frames:
            raise ValueError(
                f"clips must have {self.n_frames} frames, got {frames_BTKHW.shape[1]}; set the loader's n_frames to the model's"
            )
        maps = self.stages(frames_BTKHW.flatten(0, 1))
        return maps.mean((2, 3)).unflatten(0, (-1, self.n_frames))[:, :, None, None]


class FrameResNet(nn.Module):
    """ResNet-18, -50 or -101 on each frame by itself, from scratch: the architecture of transformers with random weights.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the stride of a bottleneck
    is in its 3x3 convolution.

    Args:
        n_layers: 18, 50 or 101.
        zero_residual: the last normalisation of each residual branch starts at 0, so that each block starts
            as its shortcut.

    Raises:
        ValueError: another number of layers.
    """

    def __init__(self, n_layers: int, zero_residual: bool = False) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        if n_layers not in FRAME_RESNETS:
            raise ValueError(f"n_layers must be one of {', '.join(map(str, FRAME_RESNETS))}, got {n_layers}")
        kind, widths, n_blocks = FRAME_RESNETS[n_layers]
        whole = ResNetModel(ResNetConfig(layer_type=kind, hidden_sizes=list(widths), depths=list(n_blocks)))
        self.width = widths[-1]
        self.stem, self.stages = whole.embedder, nn.Sequential(*whole.encoder.stages)
        if zero_residual:
            for stage in self.stages:
                for block in stage.layers:
                    nn.init.zeros_(block.layer[-1].normalization.weight)

    def map_size(self, n_frames: int, size_px: int) -> tuple[int, int, int]:
        """T', H', W' of the feature map of clips of `n_frames` square frames."""
        return n_frames, -(-size_px // 32), -(-size_px // 32)

    def forward(self, frames_BTKHW: Tensor) -> Tensor:
        """Features [B, T, H', W', width] float of frames [B, T, 3, H, W] float; H' = H / 32, W' = W / 32, rounded up."""
        maps = self.stages(self.stem(frames_BTKHW.flatten(0, 1)))
        return maps.unflatten(0, frames_BTKHW.shape[:2]).permute(0, 1, 3, 4, 2)
