"""The processes that carry out one training together, as torchrun starts them. The one owner of torch.distributed.

Each process is a rank. Rank 0 alone writes; what all must agree on (a stop, a loss that is not finite) goes
through `Ranks`, so that no rank waits for one that has left.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta

import torch
import torch.distributed as distributed
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from zsar_lab.train.rank_batch_norm import synchronised

VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")  # that torchrun sets
PREPARING = timedelta(days=7)  # the first rank may have videos to decode
AFTER_ANOTHER = (
    "which failed; see what rank",
    "lost another one",
)  # in sentences of ranks that did not fail themselves
WORDS_OF_A_LOSS = (
    "gloo",
    "nccl",
    "connection",
    "timed out",
    "tcpstore",
)  # in what torch raises where another process is gone


class Ranks:
    """Which of how many processes this one is, and what they do together; `ALONE` where there is one.

    Attributes:
        number, count: this rank, from 0, of how many.
        local, local_count: this rank, from 0, of how many on this machine.
    """

    def __init__(
        self,
        number: int = 0,
        count: int = 1,
        local: int = 0,
        local_count: int = 1,
        store: distributed.Store | None = None,
    ) -> None:
        self.number, self.count, self.local, self.local_count = number, count, local, local_count
        self._store, self._turns = store, 0

    def __repr__(self) -> str:
        return f"Ranks({self.number} of {self.count})"

    @property
    def is_first(self) -> bool:
        """This is the rank that writes, and says what goes on."""
        return self.number == 0

    def total(self, values: Sequence[float]) -> list[float]:
        """Each value summed over the ranks, in float64."""
        if self.count == 1:
            return list(values)
        summed = torch.tensor(values, dtype=torch.float64)
        distributed.all_reduce(summed)
        return summed.tolist()

    def total_by_name(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value summed over the ranks; all give the same names."""
        return dict(zip(values, self.total(list(values.values())), strict=True))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return self.total([float(flag)])[0] > 0

    def of_first(self, flag: bool) -> bool:
        """The first rank's flag."""
        return self.any(flag and self.is_first)

    def check_same(self, what: str, fingerprint: str, cure: str) -> None:
        """Check that all ranks were given the same.

        Args:
            what: it is, for the sentence.
            fingerprint: of it, hexadecimal.
            cure: what to do.

        Raises:
            ValueError: they were not; on every rank.
        """
        if self.count == 1:
            return
        mine = torch.tensor(
            [int(fingerprint[start : start + 8], 16) for start in range(0, len(fingerprint), 8)]
        )
        least, most = mine.clone(), mine.clone()
        distributed.all_reduce(least, distributed.ReduceOp.MIN)
        distributed.all_reduce(most, distributed.ReduceOp.MAX)
        if not torch.equal(least, most):
            raise ValueError(
                f"all {self.count} ranks must have the same {what}, but they differ (rank {self.number}: {fingerprint}); {cure}"
            )

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """The first rank goes through the block by itself, then the others: what it makes, they find.

        Raises:
            RuntimeError: the first rank failed in it; on the others.
        """
        self._turns += 1
        key = f"turn {self._turns}"
        if not self.is_first:
            self._store.wait([key], PREPARING)
            if self._store.get(key) != b"done":
                raise RuntimeError(
                    f"rank {self.number} waited for rank 0, which failed; see what rank 0 said"
                )
        outcome = b"failed"
        try:
            yield
            outcome = b"done"
        finally:
            if self.count > 1 and self.is_first:
                self._store.set(key, outcome)

    @contextmanager
    def at_own_pace(self) -> Iterator[None]:
        """Every rank goes through the block, however long each takes; behind it all are through.

        Raises:
            RuntimeError: another rank failed in it.
        """
        self._turns += 1
        keys, outcome = [f"turn {self._turns} of rank {number}" for number in range(self.count)], b"failed"
        try:
            yield
            outcome = b"done"
        finally:
            if self.count > 1:
                self._store.set(keys[self.number], outcome)
        for number, key in enumerate(keys if self.count > 1 else ()):
            self._store.wait([key], PREPARING)
            if self._store.get(key) != b"done":
                raise RuntimeError(
                    f"rank {self.number} waited for rank {number}, which failed; see what rank {number} said"
                )

    def wait(self) -> None:
        """Wait for all ranks."""
        self.total([0.0])

    def joined(self, module: nn.Module, device: torch.device, may_be_unused: bool) -> nn.Module:
        """The module with gradients that are means over the ranks after each backward pass outside of `apart`.

        Args:
            module: what a step calls; every rank's weights become those of the first.
            device: it is on.
            may_be_unused: some of its weights may get no gradient.
        """
        if self.count == 1:
            return module
        for weight in module.parameters():
            if weight.shape[:1] == (
                1,
            ):  # its gradient may come with other strides along an axis of one, which is warned of
                weight.register_hook(lambda gradient: gradient.flatten().view(gradient.shape))
        devices = [device] if device.type == "cuda" else None
        return DistributedDataParallel(
            module, device_ids=devices, find_unused_parameters=may_be_unused, gradient_as_bucket_view=True
        )

    def apart(self, module: nn.Module) -> AbstractContextManager[None]:
        """Inside the block gradients are summed up on each rank, and not yet exchanged."""
        return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()

    def with_shared_statistics(self, module: nn.Module, device: torch.device) -> nn.Module:
        """The module with batch norms whose statistics are those of the clips of all ranks."""
        return module if self.count == 1 else synchronised(module, device)

    @contextmanager
    def together(self, kept: str) -> Iterator[None]:
        """Say in one sentence that another rank is gone.

        Args:
            kept: what is kept all the same, and how to go on.
        """
        try:
            yield
        except (RuntimeError, distributed.DistError) as error:
            if self.count == 1 or not any(word in str(error).lower() for word in WORDS_OF_A_LOSS):
                raise
            raise RuntimeError(
                f"all {self.count} ranks must stay to the end, but rank {self.number} lost another one; {kept}"
            ) from error


ALONE = Ranks()


def check_not_apart(ranks: Ranks) -> None:
    """Check that a process which torchrun started with others does not train by itself.

    Raises:
        ValueError: it would, in the folder of the others.
    """
    number, count = os.environ.get("RANK", "?"), os.environ.get("WORLD_SIZE", "1")
    if ranks.count == 1 and count != "1":
        raise ValueError(
            f"one of several ranks must train with the others, but this one (rank {number} of {count}) was told of none; use"
            " `python -m zsar_lab train`, or give ranks from started_ranks()"
        )


@contextmanager
def started_ranks(device: str | None = None, timeout_s: float = 600.0) -> Iterator[Ranks]:
    """The ranks that torchrun started, connected inside the block; `ALONE` where this process was not started by it.

    Args:
        device: "cpu" for ranks that train on CPUs; None to choose.
        timeout_s: how long ranks wait for one another, at the start and in a step.

    Raises:
        ValueError: some of torchrun's environment variables are set and others are not, or there are more
            ranks than GPUs on this machine.
        RuntimeError: not all ranks came within `timeout_s`.
    """
    given = [name for name in VARIABLES if name in os.environ]
    if not {"RANK", "WORLD_SIZE"} & set(given):
        yield ALONE
        return
    if len(given) < len(VARIABLES):
        missing = next(name for name in VARIABLES if name not in given)
        raise ValueError(
            f"a rank needs all of {', '.join(VARIABLES)} in its environment, got {', '.join(given)} without {missing}; start it by torchrun"
        )
    local_count = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    ranks = Ranks(*(int(os.environ[name]) for name in VARIABLES[:3]), local_count)
    ranks = ranks if ranks.count > 1 else ALONE
    if ranks.count > 1:
        ranks._store = _connect(ranks, device, timedelta(seconds=timeout_s))
    try:
        yield ranks
    except RuntimeError:  # another rank may be gone, and would be waited for
        raise
    except BaseException:
        _disconnect(ranks)
        raise
    _disconnect(ranks)


def _disconnect(ranks: Ranks) -> None:
    if ranks.count > 1:
        distributed.destroy_process_group()


def _connect(ranks: Ranks, device: str | None, timeout: timedelta) -> distributed.Store:
    """Meet the other ranks; gives what first_alone waits at."""
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu and ranks.local >= torch.cuda.device_count():
        n_gpus = torch.cuda.device_count()
        raise ValueError(
            f"a machine must have a GPU for each of its ranks, got {ranks.local_count} ranks and {n_gpus}; set --nproc-per-node to {n_gpus}"
        )
    if on_gpu:
        torch.cuda.set_device(ranks.local)
    if not ranks.local:
        print(
            f"rank {ranks.number}: waiting for all {ranks.count} ranks, at most {timeout.total_seconds():.0f} s",
            file=sys.stderr,
            flush=True,
        )
    try:
        store, number, count = next(distributed.rendezvous("env://", timeout=timeout))
        store.set_timeout(timeout)
        backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
        distributed.init_process_group(
            backend,
            timeout=timeout,
            store=distributed.PrefixStore("group", store),
            rank=number,
            world_size=count,
        )
    except (distributed.DistError, ValueError) as error:
        raise RuntimeError(
            f"all {ranks.count} ranks must start within {timeout.total_seconds():.0f} s, but rank {ranks.number} could not meet the others"
            f" ({str(error).splitlines()[0]}); start the missing ones, or say as many as there are (--nnodes, --nproc-per-node)"
        ) from error
    return distributed.PrefixStore("turns", store)
