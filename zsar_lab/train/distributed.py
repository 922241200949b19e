"""The processes that train or embed together, as torchrun starts them; the one owner of torch.distributed.

`started_ranks()` joins them at the command line's edge; everywhere else the functions here ask the current
process group, and do nothing in a process by itself. Rank 0 alone writes; what all must agree on (a stop, a
loss that is not finite) goes through `total`, so that no rank waits for one that has left.

Shapes: B clips, K channels, N places of a channel on all ranks together.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # that torchrun sets
PREPARING = timedelta(days=7)  # the first rank may have videos to decode
AFTER_ANOTHER = ("failed, see its message", "lost another rank")  # in messages of ranks that did not fail
LOST_WORDS = ("gloo", "nccl", "connection", "timed out", "tcpstore")  # of torch where a process is gone

_turns: tuple[dist.Store, Iterator[int]] | None = None  # where ranks wait for one another, and a counter


def rank() -> int:
    """This process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """How many processes work together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def local_rank() -> int:
    """This process, from 0, of those on this machine."""
    return int(os.environ["LOCAL_RANK"]) if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this is the rank that writes and prints."""
    return rank() == 0


def total(values: Mapping[str, float]) -> dict[str, float]:
    """Each value summed over the ranks, in float64; all ranks give the same names."""
    if world_size() == 1:
        return dict(values)
    summed = torch.tensor(list(values.values()), dtype=torch.float64)
    dist.all_reduce(summed)
    return dict(zip(values, summed.tolist(), strict=True))


def any_rank(flag: bool) -> bool:
    """Whether the flag is set on any rank."""
    return total({"": float(flag)})[""] > 0


def barrier() -> None:
    """Wait for all ranks."""
    any_rank(False)


def check_same(what: str, fingerprint: str) -> None:
    """ValueError, on every rank, unless all were given the same (by its hexadecimal fingerprint)."""
    mine = torch.tensor([int(fingerprint[start : start + 8], 16) for start in range(0, len(fingerprint), 8)])
    least, most = mine.clone(), mine.clone()
    if world_size() > 1:
        dist.all_reduce(least, dist.ReduceOp.MIN)
        dist.all_reduce(most, dist.ReduceOp.MAX)
    if not torch.equal(least, most):
        raise ValueError(f"all {world_size()} ranks must have the same {what}, rank {rank()}: {fingerprint}")


def rank_zero_first() -> AbstractContextManager[None]:
    """The first rank goes through the block by itself, then the others, which find what it made.

    If it fails, RuntimeError on the others.
    """
    return _turn(before=[] if is_first() else [0], after=[])


def each_rank_at_own_pace() -> AbstractContextManager[None]:
    """Every rank goes through the block, however long it takes; RuntimeError if another failed."""
    return _turn(before=[], after=list(range(world_size())))


@contextmanager
def _turn(before: list[int], after: list[int]) -> Iterator[None]:
    """Go through a block when the ranks `before` have, and wait behind it for the ranks `after`."""
    if _turns is None:
        yield
        return
    (store, numbers), outcome = _turns, "failed"
    turn = next(numbers)

    def wait_for(others: list[int]) -> None:
        for number in others:
            store.wait([f"{turn} {number}"], PREPARING)
            if store.get(f"{turn} {number}") != b"done":
                raise RuntimeError(f"rank {rank()} waited for rank {number}, which {AFTER_ANOTHER[0]}")

    wait_for(before)
    try:
        yield
        outcome = "done"
    finally:
        store.set(f"{turn} {rank()}", outcome)
    wait_for(after)


@contextmanager
def to_the_end(saved: str) -> Iterator[None]:
    """Turn torch's errors for a rank that is gone into one RuntimeError; `saved`: what to go on from."""
    try:
        yield
    except (RuntimeError, dist.DistError) as error:
        if world_size() == 1 or not any(word in str(error).lower() for word in LOST_WORDS):
            raise
        lost = f"all {world_size()} ranks must stay to the end, rank {rank()} {AFTER_ANOTHER[1]}"
        raise RuntimeError(f"{lost}; start all again to go on from {saved}") from error


def joined(module: nn.Module, may_be_unused: bool) -> nn.Module:
    """The module with gradients that are means over the ranks after each backward outside of `apart`.

    Every rank's weights become those of the first. `may_be_unused`: some may get no gradient.
    """
    if world_size() == 1:
        return module
    parameters = list(module.parameters())
    for weight in parameters:
        if weight.shape[:1] == (1,):  # else its gradient may come with other strides, which is warned of
            weight.register_hook(lambda gradient: gradient.flatten().view(gradient.shape))
    return DistributedDataParallel(
        module,
        device_ids=[parameters[0].device] if parameters[0].is_cuda else None,
        find_unused_parameters=may_be_unused,
        gradient_as_bucket_view=True,
    )


def apart(module: nn.Module) -> AbstractContextManager[None]:
    """Inside the block gradients are summed up on each rank, and not yet exchanged."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def check_not_apart() -> None:
    """ValueError when torchrun started this process with others and it did not join them."""
    n_started = os.environ.get("WORLD_SIZE", "1")
    if world_size() == 1 and n_started != "1":
        number = os.environ.get("RANK", "?")
        raise ValueError(f"rank {number} of {n_started} must join the others; train inside started_ranks()")


@contextmanager
def started_ranks(device: str | None = None, timeout_s: float = 600.0) -> Iterator[None]:
    """Connect the ranks that torchrun started, inside the block; nothing in a process not started by it.

    Args:
        device: "cpu" for ranks on CPUs; None to choose.
        timeout_s: how long ranks wait for one another, at the start and in a step.

    Raises:
        ValueError: some of torchrun's variables are missing, or there are more ranks than GPUs here.
        RuntimeError: not all ranks came in time.
    """
    global _turns
    given = [name for name in VARIABLES if name in os.environ]
    if {"RANK", "WORLD_SIZE"} & set(given) and len(given) < len(VARIABLES):
        missing = ", ".join(name for name in VARIABLES if name not in given)
        raise ValueError(f"a rank needs {', '.join(VARIABLES)} in its environment, {missing} is missing")
    if "RANK" not in given or os.environ["WORLD_SIZE"] == "1":
        yield
        return
    _turns = _connect(device, timedelta(seconds=timeout_s)), count(1)
    try:
        yield
    except RuntimeError:  # another rank may be gone, and would be waited for
        raise
    except BaseException:
        dist.destroy_process_group()
        raise
    else:
        dist.destroy_process_group()
    finally:
        _turns = None


def _connect(device: str | None, timeout: timedelta) -> dist.Store:
    """Meet the other ranks; gives what `rank_zero_first` waits at."""
    number, n_ranks, local = (int(os.environ[name]) for name in VARIABLES[:3])
    wait_s, on_gpu = timeout.total_seconds(), device != "cpu" and torch.cuda.is_available()
    if on_gpu and local >= (n_gpus := torch.cuda.device_count()):
        raise ValueError(
            f"each rank of a machine needs a GPU, got {n_gpus}; set --nproc-per-node to {n_gpus}"
        )
    if on_gpu:
        torch.cuda.set_device(local)
    if not local:
        print(
            f"rank {number}: waiting for {n_ranks} ranks, at most {wait_s:.0f} s", file=sys.stderr, flush=True
        )
    try:
        store, number, n_ranks = next(dist.rendezvous("env://", timeout=timeout))
        store.set_timeout(timeout)
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
            timeout=timeout,
            store=dist.PrefixStore("group", store),
            rank=number,
            world_size=n_ranks,
        )
    except (dist.DistError, ValueError) as error:
        all_must = (
            f"all {n_ranks} ranks must start within {wait_s:.0f} s, rank {number} did not meet the others"
        )
        raise RuntimeError(f"{all_must} ({str(error).splitlines()[0]})") from error
    return dist.PrefixStore("turns", store)


def with_shared_statistics(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with batch norms over the clips of all ranks: torch's on GPUs, else `_norm_over_ranks`."""
    if world_size() > 1 and device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    for norm in module.modules() if world_size() > 1 else ():
        if isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            norm.forward = partial(_norm_over_ranks, norm)  # type: ignore[method-assign]
    return module


def _norm_over_ranks(norm: Any, x_BK: Tensor) -> Tensor:
    """(x - mean) / sqrt(variance + eps) * weight + bias of [B, K, ...], by channel over all ranks.

    In evaluation as the norm by itself; in training its running variance takes up variance N / (N - 1).
    """
    if not norm.training:
        return type(norm).forward(norm, x_BK)
    shape, others = [1, -1] + [1] * (x_BK.ndim - 2), [axis for axis in range(x_BK.ndim) if axis != 1]
    variance_K, mean_K = torch.var_mean(x_BK, others, correction=0)
    variance_K, mean_K, n_mine = variance_K.double(), mean_K.double(), x_BK.numel() // x_BK.shape[1]
    mine = torch.cat([mean_K.new_tensor([1.0]), mean_K, variance_K + mean_K.square()]) * n_mine
    n, sums_K, squares_K = _Summed.apply(mine).tensor_split((1, 1 + len(mean_K)))
    mean_K = sums_K / n
    variance_K = (squares_K / n - mean_K.square()).clamp(min=0)
    with torch.no_grad():
        norm.num_batches_tracked += 1
        norm.running_mean.lerp_(mean_K.float(), norm.momentum)
        norm.running_var.lerp_((variance_K * n / (n - 1)).float(), norm.momentum)
    scale_K = (variance_K + norm.eps).rsqrt() * norm.weight
    return x_BK * scale_K.float().view(shape) + (norm.bias - mean_K * scale_K).float().view(shape)


class _Summed(torch.autograd.Function):
    """The sum of a tensor over the ranks; so is its gradient."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Summed.forward(context, gradient.contiguous())
