"""Checkpoints: one safetensors file with weights, optimiser state and a record of what they came from. No pickle."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zsar_lab.files import fingerprint, recorded, writing
from zsar_lab.models.rest import ResT
from zsar_lab.train.presets import TrainConfig, config_from

FILE_NAME, BEST_NAME, LOG_NAME = "checkpoint.safetensors", "best.safetensors", "log.csv"
BEST_BY = "validation_direct_top1"  # on validation classes, never on test classes
BEST_COLUMN = "best_epoch"  # of the log
PICKLES = (
    b"PK\x03\x04",
    *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)),
)  # how torch.save and pickle begin
ABANDONED_S = 3600.0


@dataclass(frozen=True)
class Inputs:
    """The fingerprints of what a training was given; a checkpoint is only ever used with the same. That of the protocol is its `training_hash`."""

    protocol: str
    frames: str
    class_embeddings: str


@dataclass(frozen=True)
class Checkpoint:
    """A training's state on disk.

    Attributes:
        path: the safetensors file.
        config: the training's configuration.
        inputs: fingerprints of protocol, frame store and class embeddings.
        step, total_steps: optimiser steps taken and planned.
        history: one dict an epoch (losses, rates, validation figures).
        running: within an epoch, its clips and sums of losses so far; empty at an epoch's end.
        compiled: the transformer was compiled.
        best: the weights to use alone, without what a training needs to go on: of the best epoch so far, or
            those that are shared.
    """

    path: Path
    config: TrainConfig
    inputs: Inputs
    step: int
    total_steps: int
    history: list[dict[str, Any]]
    running: dict[str, Any] = field(default_factory=dict)
    compiled: bool = False
    best: bool = False

    @property
    def complete(self) -> bool:
        """Nothing is left to train in it: all steps are taken, or it holds the weights alone."""
        return self.best or self.step >= self.total_steps

    @property
    def fingerprint(self) -> str:
        """Hash of configuration (the trained layers of the text encoder among it), inputs and the number of steps taken."""
        return fingerprint("checkpoint", recorded(self.config), asdict(self.inputs), self.step)

    def model(self, device: torch.device | str = "cpu") -> ResT:
        """The trained model in evaluation mode, on `device`; with the average of its weights if the configuration keeps one."""
        model = ResT(self.config.model)
        model.load_state_dict(self.weights("model"))
        return model.to(device).eval()

    def weights(self, part: str) -> dict[str, Tensor]:
        """The weights to use of a part, "model" or "text" (the trained layers of the text encoder), by name: averages if there are."""
        averaged = self.config.ema_decay and not self.best
        return self.tensors(f"average.{part}." if averaged else f"{part}.")

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The file's tensors whose names start with `prefix`, the prefix removed."""
        with safe_open(self.path, framework="pt") as opened:
            return {
                name.removeprefix(prefix): opened.get_tensor(name)
                for name in opened.keys()
                if name.startswith(prefix)
            }


def weights_by_name(model: ResT, text: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """All that a training moves, as a checkpoint names it: `text.<name>` and `model.<name>`, sharing the memory of what is trained."""
    named = {f"text.{name}": value.detach() for name, value in (text or {}).items()}
    return named | {f"model.{name}": value.detach() for name, value in model.state_dict().items()}


def save_checkpoint(
    checkpoint: Checkpoint,
    model: ResT,
    optimiser: torch.optim.Optimizer,
    text: Mapping[str, Tensor] | None = None,
    average: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the checkpoint whole or not at all; an earlier one at the same path stays until the new one is on disk.

    Args:
        checkpoint: its record and where it goes.
        model, optimiser: at that step.
        text: the trained tensors of the text encoder, kept as `text.<name>`.
        average: of the weights, by the names of `weights_by_name`; kept as `average.<name>`.

    Raises:
        OSError: it cannot be written, for example because the disk is full; one sentence.
    """
    tensors = weights_by_name(model, text) | {
        f"average.{name}": value for name, value in (average or {}).items()
    }
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {
            f"optimiser.{number}.{key}": torch.as_tensor(value)
            for key, value in state.items()
            if value is not None
        }
    _write(checkpoint, tensors)


def save_best(checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """Write the weights to use (by the names of `weights_by_name`) with the checkpoint's record as best.safetensors beside it.

    Raises:
        OSError: as `save_checkpoint`.
    """
    _write(replace(checkpoint, path=checkpoint.path.with_name(BEST_NAME), best=True), weights)


def save_weights(checkpoint: Checkpoint, path: Path) -> None:
    """Write the weights to use of a checkpoint (averages, where there are), with its record, to another path.

    Raises:
        OSError: as `save_checkpoint`.
    """
    weights = {
        f"{part}.{name}": value
        for part in ("model", "text")
        for name, value in checkpoint.weights(part).items()
    }
    _write(replace(checkpoint, path=Path(path), best=True), weights)


def _write(checkpoint: Checkpoint, tensors: Mapping[str, Tensor]) -> None:
    kept = {name: value.cpu().contiguous() for name, value in tensors.items()}
    record = {
        "config": recorded(checkpoint.config),
        "inputs": asdict(checkpoint.inputs),
        "step": checkpoint.step,
    }
    record |= {"total_steps": checkpoint.total_steps, "history": checkpoint.history}
    record |= {
        name: getattr(checkpoint, name)
        for name in ("running", "compiled", "best")
        if getattr(checkpoint, name)
    }
    size_mb = sum(value.nbytes for value in kept.values()) / 1e6
    with room_on_disk(checkpoint.path, size_mb), writing(checkpoint.path) as temporary:
        save_file(kept, temporary, metadata={"zsar_lab": json.dumps(record)})


def write_log(checkpoint: Checkpoint) -> None:
    """Write the history as log.csv beside the checkpoint, with the best epoch up to each one where there are validation classes.

    Nothing is written before the first epoch has ended: a table without columns could not be read.

    Raises:
        OSError: as `save_checkpoint`.
    """
    history, path = checkpoint.history, checkpoint.path.with_name(LOG_NAME)
    if not history:
        return
    bests = [best_epoch(history[: n + 1]) for n in range(len(history))]
    rows = [entry | ({BEST_COLUMN: best} if best else {}) for entry, best in zip(history, bests, strict=True)]
    with room_on_disk(path, 0.1), writing(path) as temporary:
        pd.DataFrame(rows).to_csv(temporary, index=False)


@contextmanager
def room_on_disk(path: Path, size_mb: float, kept: str = "what was saved before is") -> Iterator[None]:
    """Say in one sentence that a file could not be written inside the block, and what is still there ("... is" or "... are")."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        if any(os.strerror(code) in str(error) for code in (errno.ENOSPC, errno.EDQUOT)):
            raise OSError(
                f"the disk must have room for '{path}' ({size_mb:.1f} MB), but it is full; {kept} kept,"
                " free some and run it again to go on from there"
            ) from error
        if isinstance(error, SafetensorError):
            raise OSError(f"'{path}' must be written, but {error}; {kept} kept") from error
        raise


def remove_half_written(folder: Path) -> None:
    """Delete what savings that were killed left in a run's folder (hidden, an hour old or more), so that they do not fill the disk."""
    for name in (FILE_NAME, BEST_NAME, LOG_NAME):
        for left in Path(folder).glob(f".{name}.*"):
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                left.unlink()


def best_epoch(history: Sequence[Mapping[str, Any]]) -> int | None:
    """The epoch with the highest top-1 on validation classes, the first of equals; None where there are no validation classes."""
    scored = [entry for entry in history if BEST_BY in entry]
    return max(scored, key=lambda entry: entry[BEST_BY])["epoch"] if scored else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint (its record; tensors are read when asked for).

    Args:
        path: the file, or the folder of the run (then its last checkpoint, not its best).

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not a checkpoint of this library; a pickle is never opened.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint '{path}'; train first")
    try:
        with safe_open(path, framework="pt") as opened:
            record = json.loads(opened.metadata()["zsar_lab"])
        config, inputs = config_from(record["config"]), Inputs(**record["inputs"])
        step, total_steps, history = record["step"], record["total_steps"], record["history"]
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        # only now: a safetensors file can begin with the same bytes
        what = (
            "it is a pickle, which could run anything and is never opened"
            if _is_pickle(path)
            else f"{type(error).__name__}: {error}"
        )
        raise ValueError(
            f"'{path}' must be a zsar_lab checkpoint, but {what}; delete it and train again"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"'{path}' must be a checkpoint of this version of zsar_lab, but {error}; delete it and train again"
        ) from error
    more = {name: record[name] for name in ("running", "compiled", "best") if name in record}
    return Checkpoint(path, config, inputs, step, total_steps, history, **more)


def _is_pickle(path: Path) -> bool:
    with open(path, "rb") as opened:
        return opened.read(4).startswith(PICKLES)


def restore_optimiser(checkpoint: Checkpoint, optimiser: torch.optim.Optimizer) -> None:
    """Put the saved optimiser state back, each tensor laid out in memory as its weight is."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in checkpoint.tensors("optimiser.").items():
        number, key = name.split(".", 1)
        weight = weights[int(number)]
        like = (
            torch.empty_like(weight, dtype=value.dtype, device=value.device)
            if value.shape == weight.shape
            else torch.empty_like(value)
        )
        state.setdefault(int(number), {})[key] = like.copy_(value)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
