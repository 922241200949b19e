"""Checkpoints: a safetensors file with weights, optimiser state and a record of what made them. No pickle."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zsar_lab.files import fingerprint, writing
from zsar_lab.models.rest import ResT
from zsar_lab.shown import Shown
from zsar_lab.train.config import TrainConfig, read_recorded, recorded_config

FILE_NAME, LOG_NAME = "checkpoint.safetensors", "log.csv"
SCHEMA_VERSION = 1
PICKLES = (b"PK\x03\x04", *(b"\x80" + bytes([number]) for number in range(2, 6)))  # how they begin
ABANDONED_S = 3600.0


class CheckpointError(ValueError):
    """A file that is no checkpoint, or one of another training."""


@dataclass(frozen=True)
class Inputs:
    """Fingerprints of what a training was given; that of the protocol is its `training_hash`."""

    protocol: str
    frames: str
    class_embeddings: str


@dataclass(frozen=True, repr=False)
class Checkpoint(Shown):
    """A training's state on disk."""

    path: Path
    config: TrainConfig
    inputs: Inputs
    step: int  # optimiser steps taken
    total_steps: int
    history: list[dict[str, Any]]  # a dict an epoch: losses, meters, validation figures
    running: dict[str, Any] = field(default_factory=dict)  # clips and sums of losses within an epoch
    compiled: bool = False  # the transformer was compiled
    weights_only: bool = False  # without what a training needs to go on, as models are shared

    def _facts(self) -> dict[str, Any]:
        return {
            "path": self.path,
            "step": f"{self.step} of {self.total_steps}",
            "fingerprint": self.fingerprint,
        }

    @property
    def complete(self) -> bool:
        """Nothing is left to train in it."""
        return self.weights_only or self.step >= self.total_steps

    @property
    def fingerprint(self) -> str:
        """Hash of configuration, inputs and the number of steps taken."""
        return fingerprint("checkpoint", recorded_config(self.config), asdict(self.inputs), self.step)

    def model(self, device: torch.device | str = "cpu") -> ResT:
        """The trained model in evaluation mode, with averaged weights if the configuration says so."""
        model = ResT(self.config.model)
        model.load_state_dict(self.weights("model"))
        return model.to(device).eval()

    def weights(self, part: str) -> dict[str, Tensor]:
        """The weights to use of "model" or "text" (trained layers of the text encoder), by name."""
        averaged = self.config.ema_decay and not self.weights_only
        return self.tensors(f"average.{part}." if averaged else f"{part}.")

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The file's tensors whose names start with `prefix`, the prefix removed."""
        with safe_open(self.path, framework="pt") as opened:
            names = [name for name in opened.keys() if name.startswith(prefix)]  # noqa: SIM118
            return {name.removeprefix(prefix): opened.get_tensor(name) for name in names}


@torch.no_grad()
def copy_tensors(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy tensors in place, by name."""
    for name, tensor in target.items():
        tensor.copy_(source[name])


def weights_by_name(model: ResT, text: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """All that a training moves, as `text.<name>` and `model.<name>`, sharing its memory."""
    named = {f"text.{name}": value.detach() for name, value in (text or {}).items()}
    return named | {f"model.{name}": value.detach() for name, value in model.state_dict().items()}


def save_checkpoint(
    checkpoint: Checkpoint,
    weights: Mapping[str, Tensor],
    optimiser: torch.optim.Optimizer | None = None,
    average: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the checkpoint whole or not at all; an earlier one stays until the new one is on disk.

    Weights and their average are by the names of `weights_by_name`; without an optimiser they are there
    alone. OSError where it cannot be written, for example because the disk is full.
    """
    tensors = dict(weights) | {f"average.{name}": value for name, value in (average or {}).items()}
    for number, state in optimiser.state_dict()["state"].items() if optimiser else ():
        for key, value in state.items():
            if value is not None:
                tensors[f"optimiser.{number}.{key}"] = torch.as_tensor(value)
    record = vars(checkpoint) | {"schema_version": SCHEMA_VERSION, "inputs": asdict(checkpoint.inputs)}
    record |= {"config": recorded_config(checkpoint.config)}
    del record["path"]
    tensors = {name: value.cpu().contiguous() for name, value in tensors.items()}
    with writing(checkpoint.path) as temporary:
        try:
            save_file(tensors, temporary, {"zsar_lab": json.dumps(record)})
        except SafetensorError as error:
            raise OSError(f"'{checkpoint.path}' cannot be written: {error}; the old one is kept") from error


def save_weights(checkpoint: Checkpoint, path: Path) -> None:
    """Write the weights to use of a checkpoint, with its record, to another path."""
    used = {part: checkpoint.weights(part) for part in ("model", "text")}
    weights = {f"{part}.{name}": value for part, of_part in used.items() for name, value in of_part.items()}
    save_checkpoint(replace(checkpoint, path=Path(path), weights_only=True), weights)


def write_log(checkpoint: Checkpoint) -> None:
    """Write the history as log.csv beside the checkpoint, once an epoch has ended."""
    if checkpoint.history:
        with writing(checkpoint.path.with_name(LOG_NAME)) as temporary:
            pd.DataFrame(checkpoint.history).to_csv(temporary, index=False)


def read_log(folder: Path) -> list[dict[str, Any]]:
    """The history of a run by its log.csv; empty where there is none yet."""
    log = Path(folder) / LOG_NAME
    rows = pd.read_csv(log).to_dict("records") if log.is_file() else []
    return [{str(key): value for key, value in row.items() if pd.notna(value)} for row in rows]


def remove_half_written(folder: Path) -> None:
    """Delete what killed savings left in a run's folder (hidden files, an hour old or more)."""
    for name in (FILE_NAME, LOG_NAME):
        for left in Path(folder).glob(f".{name}.*"):
            if time.time() - left.stat().st_mtime > ABANDONED_S:
                left.unlink()


def load_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint file, or that of a run's folder (its record; tensors are read when asked for).

    Raises:
        FileNotFoundError: there is none.
        CheckpointError: the file is no checkpoint of this version; a pickle is never opened.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint '{path}'; train first")
    try:
        with safe_open(path, framework="pt") as opened:
            record = json.loads(opened.metadata()["zsar_lab"])
        if (version := record.pop("schema_version", SCHEMA_VERSION)) != SCHEMA_VERSION:
            raise ValueError(f"schema_version must be {SCHEMA_VERSION}, got {version}")
        config, inputs = read_recorded(record.pop("config")), Inputs(**record.pop("inputs"))
        return Checkpoint(path, config, inputs, **record)
    except (SafetensorError, KeyError, TypeError, AttributeError, ValueError) as error:
        with open(path, "rb") as file:  # only now: a safetensors file can begin with the same bytes
            is_pickle = file.read(4).startswith(PICKLES)
        why = "it is a pickle, which could run anything" if is_pickle else f"{type(error).__name__}: {error}"
        raise CheckpointError(
            f"'{path}' must be a checkpoint of this version, but {why}; train again"
        ) from error


def same_run(found: Checkpoint, wanted: Checkpoint) -> Checkpoint:
    """The checkpoint found in a run's folder; CheckpointError unless it is of what is wanted."""
    parts = [
        asdict(one.config) | asdict(one.inputs) | {"total_steps": one.total_steps} for one in (found, wanted)
    ]
    old, new = pd.json_normalize(parts).to_dict("records")
    for name in old:
        if old[name] != new[name]:
            got = f"{name} {old[name]!r}, got {new[name]!r}"
            raise CheckpointError(f"'{wanted.path.parent}' holds a training with {got}")
    return found


def restore_optimiser(checkpoint: Checkpoint, optimiser: torch.optim.Optimizer) -> None:
    """Put the saved optimiser state back, each tensor laid out in memory as its weight is."""
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in checkpoint.tensors("optimiser.").items():
        number, key = name.split(".", 1)
        like = weights[int(number)] if value.shape == weights[int(number)].shape else value
        like = torch.empty_like(like, dtype=value.dtype, device=value.device)
        state.setdefault(int(number), {})[key] = like.copy_(value)
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
