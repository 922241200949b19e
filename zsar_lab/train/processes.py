"""Trainings in processes of their own: several side by side, or one on several GPUs by torchrun.

The kernel of a notebook is never forked. Signals are noted by a training, and obeyed between two steps.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from zsar_lab.progress import progress
from zsar_lab.train.checkpoint import read_log
from zsar_lab.train.distributed import AFTER_ANOTHER

MESSAGE = re.compile(r"rank \d+: ")  # how the command line begins what went wrong


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop; its checkpoint was saved."""


@contextmanager
def handled(handler: Callable[..., object], *numbers: int) -> Iterator[None]:
    """Handle these signals inside the block; outside the main thread nothing changes."""
    is_main = threading.current_thread() is threading.main_thread()
    earlier = {number: signal.signal(number, handler) for number in numbers} if is_main else {}
    try:
        yield
    finally:
        for number, before in earlier.items():
            signal.signal(number, before)


def train_in_processes(
    folders: Mapping[str, Path],
    command: Callable[[str], list[str]],
    epochs: int,
    workers: int,
    on_epoch: Callable[[dict[str, list[dict[str, Any]]]], None] | None = None,
) -> None:
    """Run a training command for each split, with one bar over all of them.

    Each runs in a session of its own, so that an interrupt reaches it once, from here.

    Args:
        folders: run folder of each split; its log.csv is followed, and training.txt there gets what is
            printed.
        command: the command line that trains a split.
        epochs: of each training.
        workers: how many run at a time; of several GPUs each takes the one that the fewest others use.
        on_epoch: called with the history of each split after every epoch of any.

    Raises:
        RuntimeError: a training failed; with its message.
        TrainingInterrupted: Ctrl-C, a kernel interrupt or SIGTERM; the trainings have saved and left.
    """
    waiting, gpus, gpu_of = list(folders), visible_gpus(), dict[str, str]()
    running: dict[str, subprocess.Popen] = {}
    total = epochs * len(folders)
    bar = progress(what=f"training {', '.join(folders)}", unit="epoch", total=total, shown=total > 0)
    try:
        with handled(_interrupt, signal.SIGTERM):
            while waiting or running:
                while waiting and len(running) < workers:
                    split = waiting.pop(0)
                    environment = os.environ | {"OMP_NUM_THREADS": "1"}
                    if len(gpus) > 1 and workers > 1:
                        gpu_of[split] = min(gpus, key=[gpu_of[other] for other in running].count)
                        environment["CUDA_VISIBLE_DEVICES"] = gpu_of[split]
                    with open(folders[split] / "training.txt", "w", encoding="utf-8") as log:
                        running[split] = subprocess.Popen(
                            command(split), stdout=log, stderr=log, env=environment, start_new_session=True
                        )
                time.sleep(0.5)
                for split in [name for name, process in running.items() if process.poll() is not None]:
                    if status := running.pop(split).returncode:
                        printed = (folders[split] / "training.txt").read_text(encoding="utf-8")
                        cause = cause_in(printed.strip().splitlines())
                        raise RuntimeError(f"training {split} ended with status {status}: {cause}")
                histories = {split: read_log(folder) for split, folder in folders.items()}
                n_new = sum(map(len, histories.values())) - bar.n
                bar.update(n_new)
                if n_new and on_epoch:
                    on_epoch(histories)
    except KeyboardInterrupt as interrupt:
        raise TrainingInterrupted(f"training {', '.join(running)} was interrupted and saved") from interrupt
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait()
        bar.close()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; no device is touched."""
    n_gpus, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = named.split(",") if named else map(str, range(n_gpus))
    return [name.strip() for name in names][:n_gpus]


def on_ranks(command: list[str], n_ranks: int) -> list[str]:
    """A command of this Python (`-m zsar_lab ...`) as torchrun starts it on several ranks of this machine."""
    if n_ranks < 2:
        return command
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={n_ranks}"]
    return [sys.executable, *torchrun, *command[1:]]


def cause_in(lines: Sequence[str]) -> str:
    """The message of a rank that failed by itself, else of one that failed after it, else the last line."""
    messages = [line for line in lines if MESSAGE.match(line)]
    first = [line for line in messages if not any(words in line for words in AFTER_ANOTHER)]
    return (first or messages or list(lines) or ["it printed nothing"])[-1]
