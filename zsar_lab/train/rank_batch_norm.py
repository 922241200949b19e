"""Batch norm over the clips of all ranks: torch's own on GPUs, and the same for CPUs, which torch's does not know.

Shapes: B clips, K channels, N places of a channel on all ranks together.
"""

from __future__ import annotations

import torch
import torch.distributed as distributed
from torch import Tensor, nn


def synchronised(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with each batch norm in it replaced by one over the clips of all ranks; weights are the same objects, names stay."""
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for parent in list(module.modules()):
        for name, inner in list(parent.named_children()):
            if isinstance(inner, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
                setattr(parent, name, RankBatchNorm(inner))
    return module


class RankBatchNorm(nn.Module):
    """y = (x - mean) / sqrt(variance + eps) * weight + bias, with the mean and variance of a channel over the places of all ranks.

    The running variance takes up variance N / (N - 1), as torch's does; in evaluation it is torch's.

    Args:
        norm: takes its place, with its weights and running statistics; a momentum is needed.
    """

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d) -> None:
        super().__init__()
        self.weight, self.bias, self.eps, self.momentum = norm.weight, norm.bias, norm.eps, norm.momentum
        for name, value in norm.named_buffers():
            self.register_buffer(name, value)

    def forward(self, x_BK: Tensor) -> Tensor:
        if not self.training:
            return nn.functional.batch_norm(
                x_BK, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        shape = [1, -1] + [1] * (x_BK.ndim - 2)
        variance_K, mean_K = torch.var_mean(
            x_BK, [axis for axis in range(x_BK.ndim) if axis != 1], correction=0
        )
        variance_K, mean_K, n_mine = variance_K.double(), mean_K.double(), x_BK.numel() // x_BK.shape[1]
        mine = torch.cat([mean_K.new_tensor([1.0]), mean_K, variance_K + mean_K.square()]) * n_mine
        n, sums_K, squares_K = _Summed.apply(mine).tensor_split((1, 1 + len(mean_K)))
        mean_K = sums_K / n
        variance_K = (squares_K / n - mean_K.square()).clamp(min=0)
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean_K.float(), self.momentum)
            self.running_var.lerp_((variance_K * n / (n - 1)).float(), self.momentum)
        scale_K = (variance_K + self.eps).rsqrt() * self.weight
        return x_BK * scale_K.float().view(shape) + (self.bias - mean_K * scale_K).float().view(shape)


class _Summed(torch.autograd.Function):
    """The sum of a tensor over the ranks; so is its gradient."""

    @staticmethod
    def forward(context, values: Tensor) -> Tensor:
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        summed = gradient.contiguous().clone()
        distributed.all_reduce(summed)
        return summed
