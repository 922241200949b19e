"""Trainings in processes of their own: several side by side, or one on several GPUs by torchrun.

Their logs are followed; the kernel of a notebook is never forked. Signals are noted by a training, and obeyed
between two steps.
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

SENTENCE = re.compile(r"rank \d+: ")  # how the command line begins what went wrong


class TrainingInterrupted(KeyboardInterrupt):
    """Training was asked to stop; its message has the step, and that the checkpoint was saved."""


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


def raise_interrupt(*_: object) -> None:
    """A signal's handler, for SIGTERM to end what is under way in order."""
    raise KeyboardInterrupt


def train_side_by_side(
    folders: Mapping[str, Path],
    command: Callable[[str], list[str]],
    epochs: int,
    workers: int,
    on_epoch: Callable[[dict[str, list[dict[str, Any]]]], None] | None = None,
) -> None:
    """Run a training command for each split, with one bar over all of them.

    Args:
        folders: run folder of each split; its log.csv is followed, what the process prints goes into
            training.txt there.
        command: the command line that trains a split.
        epochs: of each training.
        workers: how many run at a time; of several GPUs each takes the one that the fewest others use.
        on_epoch: called with the history of each split after every epoch of any.

    Raises:
        RuntimeError: a training failed; its last line is given.
    """
    if not folders:
        return
    waiting, gpus, gpu_of = list(folders), visible_gpus(), dict[str, str]()
    running: dict[str, subprocess.Popen] = {}
    bar = progress(what=f"training {', '.join(folders)}", unit="epoch", total=epochs * len(folders))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                split = waiting.pop(0)
                environment = os.environ | {"OMP_NUM_THREADS": "1"}
                if len(gpus) > 1:
                    gpu_of[split] = min(gpus, key=[gpu_of[other] for other in running].count)
                    environment["CUDA_VISIBLE_DEVICES"] = gpu_of[split]
                with open(folders[split] / "training.txt", "w", encoding="utf-8") as log:
                    running[split] = subprocess.Popen(command(split), stdout=log, stderr=log, env=environment)
            time.sleep(0.5)
            for split, process in list(running.items()):
                if process.poll() is not None:
                    del running[split]
                if process.poll():
                    lines = (folders[split] / "training.txt").read_text(encoding="utf-8").strip().splitlines()
                    last = lines[-1] if lines else "it printed nothing"
                    raise RuntimeError(f"training {split} ended with status {process.returncode}: {last}")
            histories = {split: read_log(folder) for split, folder in folders.items()}
            n_new = sum(map(len, histories.values())) - bar.n
            bar.update(n_new)
            if n_new and on_epoch:
                on_epoch(histories)
    finally:
        for process in running.values():
            process.send_signal(signal.SIGINT)
        for process in running.values():
            process.wait()
        bar.close()


def visible_gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; no device is touched."""
    n_gpus, named = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES", "")
    names = named.split(",") if named else map(str, range(n_gpus))
    return [name.strip() for name in names][:n_gpus]


def train_by_torchrun(
    arguments: Sequence[str],
    folder: Path,
    processes: int,
    on_epoch: Callable[[list[dict[str, Any]]], None] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run `python -m zsar_lab <arguments>` on several ranks of this machine, a GPU each, or on CPUs.

    It runs in a session of its own, so that an interrupt of the notebook reaches it once, from here.

    Args:
        arguments: of the command line, for example ("train", "stratified-0", "--workspace", "runs/demo").
        folder: of the run; its log.csv is followed.
        processes: ranks, 2 or more.
        on_epoch: called with the history after each epoch.
        say: is given each line of the log.

    Raises:
        RuntimeError: the training failed; with its own message.
        TrainingInterrupted: Ctrl-C, a kernel interrupt or SIGTERM; the training has saved and left.
    """
    if processes < 2:
        raise ValueError(f"processes of a training by torchrun must be 2 or more, got {processes}")
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
    ]
    started = subprocess.Popen(
        [*torchrun, "-m", "zsar_lab", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    lines: list[str] = []
    try:
        with handled(raise_interrupt, signal.SIGTERM):
            n_epochs = 0
            for line in started.stdout:  # the bar's carriage returns end lines too
                if line.strip():
                    lines.append(line.rstrip())
                    say(lines[-1])
                history = read_log(folder) if on_epoch else []
                if len(history) > n_epochs:
                    n_epochs = len(history)
                    on_epoch(history)
    except KeyboardInterrupt as interrupt:
        started.send_signal(signal.SIGINT)
        for line in started.stdout:  # torchrun's own account of the interrupt is a traceback
            if SENTENCE.match(line):
                say(line.rstrip())
        raise TrainingInterrupted(f"training was interrupted; '{folder}' has its checkpoint") from interrupt
    except BaseException:
        started.terminate()
        raise
    finally:
        started.stdout.close()
        started.wait()
    if started.returncode:
        raise RuntimeError(
            f"training on {processes} ranks ended with {started.returncode}: {cause_in(lines)}"
        )


def cause_in(lines: Sequence[str]) -> str:
    """The message of a rank that failed by itself, else of one that failed after another, else the last line."""
    sentences = [line for line in lines if SENTENCE.match(line)]
    first = [line for line in sentences if not any(words in line for words in AFTER_ANOTHER)]
    return (first or sentences or list(lines) or ["it printed nothing"])[-1]
