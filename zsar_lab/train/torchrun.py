"""One training on several GPUs from a notebook: a torchrun subprocess, its log streamed, its history followed. The kernel is never forked."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from zsar_lab.train.ranks import AFTER_ANOTHER
from zsar_lab.train.side_by_side import history_of
from zsar_lab.train.stopping import TrainingInterrupted, terminated_as_interrupted

SENTENCE = re.compile(r"rank \d+: ")  # how the command line begins what went wrong


def train_by_torchrun(
    arguments: Sequence[str],
    folder: Path,
    processes: int,
    on_epoch: Callable[[list[dict[str, Any]]], None] | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Run `python -m zsar_lab <arguments>` on several ranks of this machine, one a GPU, or on CPUs where there are none.

    It runs in a session of its own, so that an interrupt of the notebook reaches it once, from here.

    Args:
        arguments: of the command line, for example ("train", "stratified-0", "--workspace", "runs/demo").
        folder: of the run; its log.csv is followed.
        processes: ranks.
        on_epoch: called with the history after each epoch.
        say: is given each line of the log.

    Raises:
        ValueError: processes below 2.
        RuntimeError: the training failed; with its own sentence.
        TrainingInterrupted: Ctrl-C, a kernel interrupt or SIGTERM; the training has saved and left.
    """
    if processes < 2:
        raise ValueError(f"processes of a training by torchrun must be 2 or more, got {processes}")
    torchrun = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        str(processes),
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
        with terminated_as_interrupted():
            n_epochs = 0
            for line in started.stdout:  # the bar's carriage returns end lines too
                if line.strip():
                    lines.append(line.rstrip())
                    say(lines[-1])
                history = history_of(folder) if on_epoch else []
                if len(history) > n_epochs:
                    n_epochs = len(history)
                    on_epoch(history)
    except KeyboardInterrupt as interrupt:
        started.send_signal(signal.SIGINT)
        for line in started.stdout:  # torchrun's own account of the interrupt is a traceback
            if SENTENCE.match(line):
                say(line.rstrip())
        words = f"training on {processes} ranks was interrupted; '{folder}' keeps its checkpoint, run it again to go on"
        raise TrainingInterrupted(words) from interrupt
    except BaseException:
        started.terminate()
        raise
    finally:
        started.stdout.close()
        started.wait()
    if started.returncode:
        raise RuntimeError(
            f"training on {processes} ranks ended with status {started.returncode}: {cause_in(lines)}; run it again to go on"
        )


def cause_in(lines: Sequence[str]) -> str:
    """The sentence of a rank that failed by itself, else of one that failed after another, else the last line."""
    sentences = [line for line in lines if SENTENCE.match(line)]
    first = [line for line in sentences if not any(words in line for words in AFTER_ANOTHER)]
    return (first or sentences or list(lines) or ["it said nothing"])[-1]
