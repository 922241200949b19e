"""Checkpoints: one safetensors file with weights, optimiser state and a record of what they came from. No pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from zsar_lab.artefacts import fingerprint, recorded, writing
from zsar_lab.data.loader import ViewSettings
from zsar_lab.model.rest import ModelConfig, ResT
from zsar_lab.training.presets import TrainConfig

FILE_NAME = "checkpoint.safetensors"


@dataclass(frozen=True)
class Inputs:
    """The fingerprints of what a training was given; a checkpoint is only ever used with the same."""

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
    """

    path: Path
    config: TrainConfig
    inputs: Inputs
    step: int
    total_steps: int
    history: list[dict[str, Any]]

    @property
    def complete(self) -> bool:
        return self.step >= self.total_steps

    @property
    def fingerprint(self) -> str:
        """Hash of configuration (the trained layers of the text encoder among it), inputs and the number of steps taken."""
        return fingerprint("checkpoint", recorded(self.config), asdict(self.inputs), self.step)

    def model(self, device: torch.device | str = "cpu") -> ResT:
        """The trained model in evaluation mode, on `device`."""
        model = ResT(self.config.model)
        model.load_state_dict(self.tensors("model."))
        return model.to(device).eval()

    def tensors(self, prefix: str) -> dict[str, Tensor]:
        """The file's tensors whose names start with `prefix`, the prefix removed."""
        with safe_open(self.path, framework="pt") as opened:
            return {name.removeprefix(prefix): opened.get_tensor(name) for name in opened.keys() if name.startswith(prefix)}


def save_checkpoint(
    checkpoint: Checkpoint, model: ResT, optimiser: torch.optim.Optimizer, text: Mapping[str, Tensor] | None = None
) -> None:
    """Write the checkpoint whole or not at all; an earlier one at the same path stays until the new one is on disk.

    Args:
        checkpoint: its record and where it goes.
        model, optimiser: at that step.
        text: the trained tensors of the text encoder, kept as "text.<name>".
    """
    tensors = {f"text.{name}": value.detach().cpu().contiguous() for name, value in (text or {}).items()}
    tensors |= {f"model.{name}": value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": torch.as_tensor(value).cpu().contiguous() for key, value in state.items()}
    record = {"config": recorded(checkpoint.config), "inputs": asdict(checkpoint.inputs), "step": checkpoint.step}
    record |= {"total_steps": checkpoint.total_steps, "history": checkpoint.history}
    with writing(checkpoint.path) as temporary:
        save_file(tensors, temporary, metadata={"zsar_lab": json.dumps(record)})


def load_checkpoint(path: Path) -> Checkpoint:
    """Open a checkpoint (its record; tensors are read when asked for).

    Args:
        path: the file, or the folder of the run.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is not a checkpoint of this library.
    """
    path = Path(path)
    path = path / FILE_NAME if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint '{path}'; train first")
    try:
        with safe_open(path, framework="pt") as opened:
            record = json.loads(opened.metadata()["zsar_lab"])
        content = record["config"]
        content["model"] = ModelConfig(**{**content["model"], "backbone_widths": tuple(content["model"]["backbone_widths"])})
        content["view"] = ViewSettings(**content["view"])
        config, inputs = TrainConfig(**content), Inputs(**record["inputs"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"'{path}' must be a zsar_lab checkpoint, but {type(error).__name__}: {error}; train again") from error
    return Checkpoint(path, config, inputs, record["step"], record["total_steps"], record["history"])


def restore_optimiser(checkpoint: Checkpoint, optimiser: torch.optim.Optimizer) -> None:
    """Put the saved optimiser state back."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in checkpoint.tensors("optimiser.").items():
        number, key = name.split(".", 1)
        state.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
