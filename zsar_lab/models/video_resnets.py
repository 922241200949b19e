"""Residual networks over time and space, from scratch: R3D-18 and R(2+1)D-18.

Source: Hara, Kataoka, Satoh, "Learning Spatio-temporal Features with 3D Residual Networks", ICCV workshops
2017; Tran et al., "ConvNet Architecture Search for Spatiotemporal Feature Learning", 2017, and "A Closer Look
at Spatiotemporal Convolutions for Action Recognition", CVPR 2018 (both forms, their stems and the width M
between the two halves of a factorised convolution).

Shapes: B clips, T frames, H W pixels, K channels.
"""

from __future__ import annotations

from torch import Tensor, nn


class VideoBlock(nn.Module):
    """A basic residual block: relu(BN(conv(relu(BN(conv(x))))) + shortcut(x)), the first convolution with `stride` in time and space."""

    def __init__(self, width_in: int, width_out: int, stride: int, factorised: bool) -> None:
        super().__init__()
        between = width_between(width_in, width_out) if factorised else None
        self.body = nn.Sequential(
            _convolution(width_in, width_out, stride, between),
            nn.BatchNorm3d(width_out),
            nn.ReLU(inplace=True),
            _convolution(width_out, width_out, 1, between),
            nn.BatchNorm3d(width_out),
        )
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or width_in != width_out:
            self.shortcut = nn.Sequential(
                nn.Conv3d(width_in, width_out, 1, stride, bias=False), nn.BatchNorm3d(width_out)
            )
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor) -> Tensor:
        return self.activation(self.body(features) + self.shortcut(features))


class VideoResNet(nn.Module):
    """R3D, or with `factorised` R(2+1)D: a stem with stride 2 in space, four stages of basic blocks, stride 2 in time and space from the second on.

    R(2+1)D puts a 1x3x3 and a 3x1x1 convolution with BN and ReLU between them where R3D has one of 3x3x3. No
    pooling: the backward of a 3D pooling layer on a GPU is not deterministic.

    Args:
        factorised: False is R3D, True R(2+1)D.
        widths: channels of the stages.
        n_blocks: a stage; two are the networks of 18 layers.
        zero_residual: the last normalisation of each residual branch starts at 0, so that each block starts
            as its shortcut.
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
        self.stride = (2 ** (len(widths) - 1), 2 ** len(widths))
        self.stem = _factorised_stem(widths[0]) if factorised else _stem(widths[0])
        blocks, before = [], widths[0]
        for stage, width in enumerate(widths):
            for number in range(n_blocks):
                blocks.append(VideoBlock(before, width, 2 if stage and not number else 1, factorised))
                before = width
        self.stages = nn.Sequential(*blocks)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_residual:
            for block in blocks:
                nn.init.zeros_(block.body[-1].weight)

    def map_size(self, n_frames: int, size_px: int) -> tuple[int, int, int]:
        """T', H', W' of the feature map of clips of `n_frames` square frames."""
        time, space = self.stride
        return -(-n_frames // time), -(-size_px // space), -(-size_px // space)

    def forward(self, frames_BTKHW: Tensor) -> Tensor:
        """Features [B, T', H', W', width] float of frames [B, T, 3, H, W] float; T' = T / 8, H' = H / 16, W' = W / 16, rounded up."""
        return self.stages(self.stem(frames_BTKHW.transpose(1, 2))).permute(0, 2, 3, 4, 1)


def width_between(width_in: int, width_out: int) -> int:
    """M = floor(27 N_in N_out / (9 N_in + 3 N_out)): with M channels between its halves a factorised convolution has as many weights as a whole one.

    Of a block's two convolutions both take the M of the first, as in the implementations in use (31.5 M
    parameters with 400 classes); with an M of its own the second one of a widening block would be larger
    (33.4 M, as many as R3D-18).
    """
    return 27 * width_in * width_out // (9 * width_in + 3 * width_out)


def _convolution(width_in: int, width_out: int, stride: int, between: int | None) -> nn.Module:
    """A 3x3x3 convolution, or its two halves with `between` channels."""
    if between is None:
        return nn.Conv3d(width_in, width_out, 3, stride, 1, bias=False)
    return nn.Sequential(
        nn.Conv3d(width_in, between, (1, 3, 3), (1, stride, stride), (0, 1, 1), bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(inplace=True),
        nn.Conv3d(between, width_out, (3, 1, 1), (stride, 1, 1), (1, 0, 0), bias=False),
    )


def _stem(width: int) -> nn.Sequential:
    convolution = nn.Conv3d(3, width, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm3d(width), nn.ReLU(inplace=True))


def _factorised_stem(width: int, between: int = 45) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(3, between, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False),
        nn.BatchNorm3d(between),
        nn.ReLU(inplace=True),
        nn.Conv3d(between, width, (3, 1, 1), 1, (1, 0, 0), bias=False),
        nn.BatchNorm3d(width),
        nn.ReLU(inplace=True),
    )
