"""Visual backbones, from scratch: BACKBONES, a table of the demo's and of ResNets on frames or over time.

A backbone takes frames [B, T, 3, H, W] float and gives a feature map [B, T', H', W', K]; K is its `width`,
and T' = T / time, H' = H / space, W' = W / space, rounded up, of its `strides` (time, space). With
`zero_residual` the last normalisation of each residual branch starts at 0, so that each block starts as its
shortcut.

Shapes: B clips, T frames, H W pixels, K channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class TemporalShift(nn.Module):
    """Moves an eighth of the channels [B*T, K, H, W] one frame back and one one frame on, zeros at the ends.

    Source: Lin, Gan, Han, "TSM: Temporal Shift Module", ICCV 2019, the residual, two-sided form.
    """

    def __init__(self, n_frames: int) -> None:
        super().__init__()
        self.n_frames = n_frames

    def forward(self, features: Tensor) -> Tensor:
        """The same shape and dtype."""
        fold = features.shape[1] // 8
        frames = features.unflatten(0, (-1, self.n_frames))
        edge = torch.zeros_like(frames[:, :1, :fold])
        from_next = torch.cat([frames[:, 1:, :fold], edge], 1)
        from_last = torch.cat([edge, frames[:, :-1, fold : 2 * fold]], 1)
        return torch.cat([from_next, from_last, frames[:, :, 2 * fold :]], 2).flatten(0, 1)


class ResidualBlock(nn.Module):
    """relu(body(x) + shortcut(x)); the body is convolutions with norms behind the last two and ReLU between.

    The shortcut is a 1x1 convolution where width or stride change. With `zero` the body starts as 0.
    """

    def __init__(
        self, convolutions: list[nn.Module], before: int, width: int, stride: int, n_axes: int, zero: bool
    ) -> None:
        super().__init__()
        convolution, norm = (nn.Conv2d, nn.BatchNorm2d) if n_axes == 2 else (nn.Conv3d, nn.BatchNorm3d)
        *first, last = convolutions
        self.body = nn.Sequential(*first, norm(width), nn.ReLU(inplace=True), last, norm(width))
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or before != width:
            self.shortcut = nn.Sequential(convolution(before, width, 1, stride, bias=False), norm(width))
        self.activation = nn.ReLU(inplace=True)
        if zero:
            nn.init.zeros_(self.body[-1].get_parameter("weight"))

    def forward(self, features: Tensor) -> Tensor:
        """The same number of axes."""
        return self.activation(self.body(features) + self.shortcut(features))


class SmallShiftResNet(nn.Module):
    """A small 2D ResNet with temporal shift for clips of `n_frames`, then the mean over space.

    The first of the `widths` is a 7x7 convolution with stride 4, each other a block of stride 2.
    """

    def __init__(self, widths: tuple[int, ...], n_frames: int, zero_residual: bool = False) -> None:
        super().__init__()
        self.n_frames, self.width = n_frames, widths[-1]
        self.strides = 1, 10**6  # one place, of frames of any size
        first, blocks = nn.Conv2d(3, widths[0], 7, 4, 3, bias=False), []
        stem = nn.Sequential(first, nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True))
        for before, width in zip(widths[:-1], widths[1:], strict=True):
            convolutions = [TemporalShift(n_frames), nn.Conv2d(before, width, 3, 2, 1, bias=False)]
            convolutions.append(nn.Conv2d(width, width, 3, 1, 1, bias=False))
            blocks.append(ResidualBlock(convolutions, before, width, 2, 2, zero_residual))
        self.stages = nn.Sequential(stem, *blocks)

    def forward(self, frames_BTKHW: Tensor) -> Tensor:
        """Features [B, T, 1, 1, width]; ValueError for another number of frames."""
        if frames_BTKHW.shape[1] != self.n_frames:
            raise ValueError(f"clips must have {self.n_frames} frames, got {frames_BTKHW.shape[1]}")
        maps = self.stages(frames_BTKHW.flatten(0, 1))
        return maps.mean((2, 3)).unflatten(0, (-1, self.n_frames))[:, :, None, None]


class FrameResNet(nn.Module):
    """ResNet-18, -50 or -101 on each frame by itself: the architecture of transformers with random weights.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016; the stride of a bottleneck
    is in its 3x3 convolution.
    """

    KINDS = {18: ("basic", 64, (2, 2, 2, 2)), 50: ("bottleneck", 256, (3, 4, 6, 3))}
    KINDS[101] = ("bottleneck", 256, (3, 4, 23, 3))

    def __init__(self, n_layers: int, zero_residual: bool = False) -> None:
        from transformers import ResNetConfig, ResNetModel

        super().__init__()
        if n_layers not in self.KINDS:
            raise ValueError(f"n_layers must be one of {', '.join(map(str, self.KINDS))}, got {n_layers}")
        kind, first, n_blocks = self.KINDS[n_layers]
        widths = [first * 2**stage for stage in range(4)]
        whole = ResNetModel(ResNetConfig(layer_type=kind, hidden_sizes=widths, depths=list(n_blocks)))
        self.width, self.strides = widths[-1], (1, 32)
        self.stem, self.stages = whole.embedder, nn.Sequential(*whole.encoder.stages)
        if zero_residual:
            stages: Any = whole.encoder.stages
            for block in (block for stage in stages for block in stage.layers):
                nn.init.zeros_(block.layer[-1].normalization.weight)

    def forward(self, frames_BTKHW: Tensor) -> Tensor:
        """Features [B, T, H', W', width]."""
        maps = self.stages(self.stem(frames_BTKHW.flatten(0, 1)))
        return maps.unflatten(0, frames_BTKHW.shape[:2]).permute(0, 1, 3, 4, 2)


class VideoResNet(nn.Module):
    """R3D-18, or with `factorised` R(2+1)D-18: stem of stride 2 in space, four stages of two basic blocks.

    From the second stage on the first block has stride 2 in time and space. R(2+1)D puts a 1x3x3 and a 3x1x1
    convolution with BN and ReLU between them where R3D has one of 3x3x3. No pooling: the backward of a 3D
    pooling layer on a GPU is not deterministic.

    Source: Hara, Kataoka, Satoh, "Learning Spatio-temporal Features with 3D Residual Networks", ICCV
    workshops 2017; Tran et al., "ConvNet Architecture Search for Spatiotemporal Feature Learning", 2017, and
    "A Closer Look at Spatiotemporal Convolutions for Action Recognition", CVPR 2018.
    """

    def __init__(
        self,
        factorised: bool,
        widths: tuple[int, ...] = (64, 128, 256, 512),
        n_blocks: int = 2,
        zero_residual: bool = False,
    ) -> None:
        super().__init__()
        self.width = widths[-1]
        self.strides = 2 ** (len(widths) - 1), 2 ** len(widths)
        before, blocks = widths[0], []
        if factorised:
            stem = _halves(3, before, 7, (1, 2, 2), 45)
        else:
            stem = [nn.Conv3d(3, before, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)]
        self.stem = nn.Sequential(*stem, nn.BatchNorm3d(before), nn.ReLU(inplace=True))
        for stage, width in enumerate(widths):
            for number in range(n_blocks):
                stride = 2 if stage and not number else 1
                between = width_between(before, width) if factorised else None
                convolutions = [_convolution(before, width, stride, between)]
                convolutions.append(_convolution(width, width, 1, between))
                blocks.append(ResidualBlock(convolutions, before, width, stride, 3, zero_residual))
                before = width
        self.stages = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, frames_BTKHW: Tensor) -> Tensor:
        """Features [B, T', H', W', width]."""
        return self.stages(self.stem(frames_BTKHW.transpose(1, 2))).permute(0, 2, 3, 4, 1)


def width_between(width_in: int, width_out: int) -> int:
    """M = floor(27 N_in N_out / (9 N_in + 3 N_out)): halves with M between have the weights of one 3x3x3.

    Both convolutions of a block take the M of the first, as in the implementations in use.
    """
    return 27 * width_in * width_out // (9 * width_in + 3 * width_out)


def _convolution(width_in: int, width_out: int, stride: int, between: int | None) -> nn.Module:
    """A 3x3x3 convolution, or its two halves with `between` channels."""
    if between is None:
        return nn.Conv3d(width_in, width_out, 3, stride, 1, bias=False)
    return nn.Sequential(*_halves(width_in, width_out, 3, (stride,) * 3, between))


def _halves(width_in: int, width_out: int, size: int, stride: tuple, between: int) -> list[nn.Module]:
    """A convolution over space, BN, ReLU, and one over time."""
    kernel, padding, (time, *space) = (1, size, size), (0, size // 2, size // 2), stride
    return [
        nn.Conv3d(width_in, between, kernel, (1, *space), padding, bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(inplace=True),
        nn.Conv3d(between, width_out, (3, 1, 1), (time, 1, 1), (1, 0, 0), bias=False),
    ]


BACKBONES: dict[str, Callable[..., Any]] = {  # each from a ModelConfig
    "small shift resnet": lambda c: SmallShiftResNet(c.backbone_widths, c.n_frames, c.zero_residual),
    "r3d-18": lambda c: VideoResNet(False, zero_residual=c.zero_residual),
    "r(2+1)d-18": lambda c: VideoResNet(True, zero_residual=c.zero_residual),
    "resnet-18": lambda c: FrameResNet(18, c.zero_residual),
    "resnet-50": lambda c: FrameResNet(50, c.zero_residual),
    "resnet-101": lambda c: FrameResNet(101, c.zero_residual),
}
