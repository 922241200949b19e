"""Convolutions over space and time in bfloat16 beside float32: some versions of torch and cuDNN got them wrong, or slow.

Shapes: B clips, K channels, T frames, H W pixels.
"""

from __future__ import annotations

import time
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import conv3d

# rounding a value is 2^-9 of it; a kernel may round the parts of a sum too
MOST_ERROR = 0.02


class Case(NamedTuple):
    """A convolution of an R3D-18 or R(2+1)D-18 on 16 frames of 112 px."""

    n_in: int
    n_out: int
    kernel: tuple[int, int, int]
    stride: tuple[int, int, int]
    clip: tuple[int, int, int]


class Checked(NamedTuple):
    """max_error: the largest |bf16 - fp32| over the largest |fp32|, of output and both gradients. speed: fp32's time over bf16's."""

    max_error: float
    speed: float


CASES = {
    "first 3x7x7": Case(3, 64, (3, 7, 7), (1, 2, 2), (16, 112, 112)),
    "64 3x3x3": Case(64, 64, (3, 3, 3), (1, 1, 1), (16, 56, 56)),
    "128 to 256, stride 2": Case(128, 256, (3, 3, 3), (2, 2, 2), (8, 28, 28)),
    "512 3x3x3": Case(512, 512, (3, 3, 3), (1, 1, 1), (2, 7, 7)),
    "64 to 144 1x3x3": Case(64, 144, (1, 3, 3), (1, 1, 1), (16, 56, 56)),
    "144 to 64 3x1x1": Case(144, 64, (3, 1, 1), (1, 1, 1), (16, 56, 56)),
}


def check_conv3d(device: torch.device, n_clips: int = 8, tiny: bool = False) -> dict[str, Checked]:
    """Each case in bfloat16 and in float32 on the same numbers, contiguous and with the channels last.

    Args:
        device: to check.
        n_clips: of a batch.
        tiny: an eighth of the channels and 4 x 8 x 8 places at most, for a CPU.
    """
    found = {}
    for name, case in CASES.items():
        if tiny:
            n_in, n_out = (n if n == 3 else max(1, n // 8) for n in case[:2])
            case = case._replace(n_in=n_in, n_out=n_out, clip=tuple(map(min, case.clip, (4, 8, 8))))
        for label, layout in (("", torch.contiguous_format), (", channels last", torch.channels_last_3d)):
            found[name + label] = _check(case, n_clips, layout, device)
    return found


def _check(case: Case, n_clips: int, layout: torch.memory_format, device: torch.device) -> Checked:
    generator = torch.Generator(device).manual_seed(0)

    def drawn(*shape: int) -> Tensor:
        # rounded to bfloat16, so that both precisions are given the same numbers
        return torch.randn(*shape, generator=generator, device=device).bfloat16().to(memory_format=layout)

    clip, weight = drawn(n_clips, case.n_in, *case.clip), drawn(case.n_out, case.n_in, *case.kernel)
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        exact, exact_s = _run(clip.float(), weight.float(), case)
        rounded, rounded_s = _run(clip, weight, case)
    errors = [
        float((ours.float() - theirs).abs().max() / theirs.abs().max())
        for ours, theirs in zip(rounded, exact, strict=True)
    ]
    return Checked(max(errors), exact_s / rounded_s)


def _run(clip_BKTHW: Tensor, weight: Tensor, case: Case) -> tuple[list[Tensor], float]:
    """Output and gradients of clip and weight, and the seconds of a second run (the first one chooses how)."""
    padding = tuple(size // 2 for size in case.kernel)
    generator = torch.Generator(clip_BKTHW.device).manual_seed(1)
    clip, weight = clip_BKTHW.detach().requires_grad_(), weight.detach().requires_grad_()
    output = conv3d(clip, weight, stride=case.stride, padding=padding)
    back = torch.randn(output.shape, generator=generator, device=clip.device).bfloat16().to(output)
    torch.autograd.grad(output, (clip, weight), back)
    _finish(clip.device)
    started = time.perf_counter()
    output = conv3d(clip, weight, stride=case.stride, padding=padding)
    gradients = torch.autograd.grad(output, (clip, weight), back)
    _finish(clip.device)
    return [output.detach(), *gradients], time.perf_counter() - started


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
