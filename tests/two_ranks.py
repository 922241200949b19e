"""What two ranks do together, run by tests/test_ranks.py in two processes: `python two_ranks.py FOLDER`. Each writes what it saw as json."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, MODEL, interrupt, stripes_classes, stripes_protocol, stripes_store
from torch import nn

from zsar_lab.model.rest import ResT
from zsar_lab.training import loop, step
from zsar_lab.training.loop import train
from zsar_lab.training.presets import TrainConfig
from zsar_lab.training.ranks import ALONE, Ranks, started_ranks

SGD = replace(CONFIG, batch_size=10, optimiser="sgd", learning_rate=0.02, clip_norm=1e9, model=replace(MODEL, dropout=0.0))
# of 24 clips: steps of 10, 10 and 4; in the next ones batch norm reads its running statistics, for they divide a step differently
CONFIGS: dict[str, TrainConfig] = {
    "plain": SGD,
    "dropout, averaged": replace(CONFIG, batch_size=9, ema_decay=0.9),
    "two losses": replace(SGD, matching_weight=0.0, epochs=1),
    "accumulated, still": replace(SGD, batch_size=4, accumulate=3, epochs=2),
    "a clip less than ranks, still": replace(SGD, batch_size=23, epochs=2),
    "each its own statistics": replace(SGD, shared_batch_norm=False, memory_format="channels_last", epochs=1),
}


def run(name: str, data: tuple, folder: Path, ranks: Ranks = ALONE, **more) -> dict:
    """Train a configuration; its clips by step, as this rank read them with a weight, and its history."""
    read: list = []

    def noted(*arguments, **settings):
        for batch in original(*arguments, **settings):
            own = batch.row_B.tolist() if batch.share.last > batch.share.first else []
            read.append([batch.step, own])
            yield batch

    original = loop.training_batches
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "training_batches", noted)
        if "still" in name:
            patched.setattr(ResT, "train", lambda model, mode=True: nn.Module.train(model, False))
        said = None
        try:
            found = train(*data, CONFIGS[name], folder, device="cpu", ranks=ranks, **more).history
        except (ValueError, RuntimeError, KeyboardInterrupt) as error:
            said, found = f"{type(error).__name__}: {error}", []
    return {"read": read, "history": found, "said": said}


def in_step(number: int, action: Callable[[dict], dict]) -> pytest.MonkeyPatch:
    """Let `action` change the losses of a step, counted from 0."""
    original, patched, n_calls = step.training_losses, pytest.MonkeyPatch(), iter(range(1000))
    patched.setattr(step, "training_losses", lambda *a: action(original(*a)) if next(n_calls) == number else original(*a))
    return patched


def main(folder: Path) -> None:
    seen: dict[str, dict] = {}
    store = stripes_store(folder)
    data = store, stripes_protocol(store), stripes_classes()
    with started_ranks("cpu", timeout_s=60) as ranks:
        torch.rand(1 + ranks.number)  # the ambient generators are apart
        for name in CONFIGS:
            seen[name] = run(name, data, folder / name, ranks)
        with ranks.first_alone():
            (folder / "turns.txt").open("a").write(str(ranks.number))

        patched = in_step(4, lambda losses: (interrupt() if ranks.number else None) or losses)  # a signal that one of them gets
        seen["stopped"] = run("dropout, averaged", data, folder / "stopped", ranks)
        patched.undo()
        with ranks.first_alone():
            if ranks.is_first:
                shutil.copytree(folder / "stopped", folder / "stopped, gone on with")
        seen["the rest"] = run("dropout, averaged", data, folder / "stopped, gone on with", ranks)

        patched = in_step(1, lambda losses: losses | ({"alignment": losses["alignment"] * torch.nan} if ranks.number else {}))
        seen["not finite"] = run("plain", data, folder / "not finite", ranks)
        patched.undo()
        seen["no shared disk"] = run("dropout, averaged", data, folder / ("stopped" if ranks.number else "not shared"), ranks)
        CONFIGS["differ"] = replace(SGD, seed=ranks.number)
        seen["differ"] = run("differ", data, folder / "differ", ranks)
        (folder / f"rank {ranks.number}.json").write_text(json.dumps(seen))

        in_step(1, lambda losses: os._exit(7) if ranks.number else losses)
        seen["lost"] = run("plain", data, folder / "lost", ranks)
        (folder / f"rank {ranks.number}.json").write_text(json.dumps(seen))
        os._exit(0)  # there is nobody left to say goodbye to


if __name__ == "__main__":
    main(Path(sys.argv[1]))
