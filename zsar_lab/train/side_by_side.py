"""Trainings side by side, each in a process of its own and on a GPU of its own where there are several, with one bar over all of them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from zsar_lab.progress import progress
from zsar_lab.train.checkpoint import BEST_COLUMN


def train_side_by_side(
    folders: Mapping[str, Path],
    command: Callable[[str], list[str]],
    epochs: int,
    workers: int,
    on_epoch: Callable[[dict[str, list[dict[str, Any]]]], None] | None = None,
) -> None:
    """Run a training command for each split and follow their logs.

    Args:
        folders: run folder of each split; its log.csv is read, what the process prints goes into training.txt
            there.
        command: the command line that trains a split.
        epochs: of each training.
        workers: how many run at a time; of several GPUs each takes the one that the fewest others use.
        on_epoch: called with the history of each split after every epoch of any.

    Raises:
        RuntimeError: a training failed; its last line is given.
    """
    if not folders:
        return
    waiting, running, gpus = list(folders), {}, visible_gpus()
    in_use: dict[str, str] = {}
    bar = progress(what=f"training {', '.join(folders)}", unit="epoch", total=epochs * len(folders))
    try:
        while waiting or running:
            while waiting and len(running) < workers:
                split = waiting.pop(0)
                environment = os.environ | {"OMP_NUM_THREADS": "1"}
                if len(gpus) > 1:
                    in_use[split] = min(gpus, key=[in_use[other] for other in running].count)
                    environment["CUDA_VISIBLE_DEVICES"] = in_use[split]
                with open(folders[split] / "training.txt", "w", encoding="utf-8") as log:
                    running[split] = subprocess.Popen(command(split), stdout=log, stderr=log, env=environment)
            time.sleep(0.5)
            for split, process in list(running.items()):
                if process.poll() is not None:
                    del running[split]
                    _check_end(split, folders[split], process.returncode)
            histories = {split: history_of(folder) for split, folder in folders.items()}
            n_new = sum(len(history) for history in histories.values()) - bar.n
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
    return (
        [name.strip() for name in named.split(",")][:n_gpus]
        if named
        else [str(number) for number in range(n_gpus)]
    )


def history_of(folder: Path) -> list[dict[str, Any]]:
    """The history of a run by its log.csv; empty where there is none yet."""
    log = folder / "log.csv"
    rows = pd.read_csv(log).to_dict("records") if log.is_file() else []
    return [
        {key: value for key, value in row.items() if pd.notna(value) and key != BEST_COLUMN} for row in rows
    ]


def _check_end(split: str, folder: Path, code: int) -> None:
    if code:
        lines = (folder / "training.txt").read_text(encoding="utf-8").strip().splitlines()
        last = lines[-1] if lines else "it said nothing"
        raise RuntimeError(
            f"training {split} ended with status {code}: {last}; run it again to go on from its checkpoint"
        )
