"""The folder that a trained model is shared as.

    model.safetensors   the weights to use: a checkpoint without what a training needs to go on
    seen.safetensors    prototypes and text embeddings of the seen classes, and what a list of names is
                        calibrated by: clips that no weight was trained on, and points of their classes
    class_texts.json    the texts of the seen classes, by prompt
    config.json         frames, text encoder, what was chosen on validation classes, where it comes from
    README.md           the model card

Shapes: S seen, V validation classes, E held-out clips of these, D width of the space, F of a class text's
embedding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import fingerprint, make_folder, read_json, write_json, writing
from zsar_lab.infer.calibrate import HeldOut
from zsar_lab.shown import Shown
from zsar_lab.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_weights

KIND, SCHEMA_VERSION = "zsar_lab shared model", 3
WEIGHTS_FILE, SEEN_FILE, TEXTS_FILE = "model.safetensors", "seen.safetensors", "class_texts.json"
CONFIG_FILE, CARD_FILE = "config.json", "README.md"
HASHED_FILES = (WEIGHTS_FILE, SEEN_FILE, TEXTS_FILE)
SHARED_FILES = (*HASHED_FILES, CONFIG_FILE, CARD_FILE)
CONFIG_KEYS = ("chosen_for", "frames", "encoder", "encoder_revision", "prompt", "seen", "methods", "about")


class SharedModelError(ValueError):
    """A folder holds no whole shared model of this version."""


@dataclass(frozen=True, eq=False, repr=False)
class SharedModel(Shown):
    """A trained model with all that classifies clips by any classes.

    Attributes:
        checkpoint: the weights to use.
        config: as in config.json: chosen_for (the checkpoint), frames, encoder and encoder_revision, prompt
            (of the training), seen (name, label and description of each seen class), methods (method, prompt,
            and the settings, temperature and validation_top1 that validation classes chose, and near, the
            text distance under which a name counts as trained on), about (where it comes from).
        texts: of the seen classes: prompt to {"averaged": bool, "texts": {name: text}}.
        arrays: `prototypes` float32 [S, D]; `text.<prompt>` float32 [S, F]; `points.<method>.<prompt>`
            float32 [S + V, D]; and `held_out`, `targets` and `patterns` of `HeldOut`.
    """

    checkpoint: Checkpoint
    config: Mapping[str, Any]
    texts: Mapping[str, Mapping[str, Any]]
    arrays: Mapping[str, np.ndarray]

    def _facts(self) -> dict[str, Any]:
        return {"data": self.about["data"], "seen classes": len(self.seen), "fingerprint": self.fingerprint}

    @property
    def fingerprint(self) -> str:
        """That of the checkpoint."""
        return self.checkpoint.fingerprint

    @property
    def about(self) -> dict[str, Any]:
        """Where it comes from: data, protocol, scores, counts, fingerprints, versions."""
        return self.config["about"]

    @cached_property
    def frames(self) -> FrameSettings:
        """How videos must become frames for it."""
        return FrameSettings(**self.config["frames"])

    @cached_property
    def seen(self) -> pd.DataFrame:
        """A row a seen class: name, label, description."""
        return pd.DataFrame(self.config["seen"])

    @cached_property
    def methods(self) -> dict[tuple[str, str], dict[str, Any]]:
        """What was chosen, by method and prompt, with points_KD of the seen and the validation classes."""
        keyed = {(chosen["method"], chosen["prompt"]): chosen for chosen in self.config["methods"]}
        points = {key: self.arrays["points.{}.{}".format(*key)] for key in keyed}
        return {key: chosen | {"points_KD": points[key]} for key, chosen in keyed.items()}

    @cached_property
    def held_out(self) -> HeldOut:
        """What gamma and the thresholds of a list of names are chosen on."""
        names, arrays = tuple(self.seen["name"]) + tuple(self.about["protocol"]["validation"]), self.arrays
        return HeldOut(names, len(self.seen), arrays["held_out"], arrays["targets"], arrays["patterns"])


def save_shared(shared: SharedModel, folder: Path, card: str) -> Path:
    """Write the folder with a model card; config.json comes last, so that a folder without it is not whole.

    PermissionError where the folder cannot be written to, ValueError where it holds other files.
    """
    folder = make_folder(Path(folder))
    others = {path.name for path in folder.iterdir() if path.name[0] != "."} - set(SHARED_FILES)
    if others:
        raise ValueError(f"a shared model needs a folder of its own, '{folder}' holds {min(others)!r}")
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    save_weights(shared.checkpoint, folder / WEIGHTS_FILE)
    with writing(folder / SEEN_FILE) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in shared.arrays.items()}, temporary)
    write_json(folder / TEXTS_FILE, shared.texts)
    with writing(folder / CARD_FILE) as temporary:
        temporary.write_text(card, encoding="utf-8")
    hashes = {name: _sha256(folder / name) for name in HASHED_FILES}
    config = {"kind": KIND, "schema_version": SCHEMA_VERSION, **shared.config, "sha256": hashes}
    write_json(folder / CONFIG_FILE, config | {"fingerprint": config_fingerprint(config)})
    return folder


def load_shared(folder: str | Path) -> SharedModel:
    """Open a folder that `save_shared` wrote, here or elsewhere.

    FileNotFoundError without a config.json; SharedModelError where it is of another version, a file was
    changed or is missing, or what was chosen was for another checkpoint.
    """
    folder, path = Path(folder), Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise FileNotFoundError(f"a shared model must be a folder that export left, there is no '{path}'")
    try:
        config = read_json(path)
    except ValueError as error:
        raise SharedModelError(f"'{path}' is no whole json file; copy the folder again") from error
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise SharedModelError(f"'{path}' is not of a {KIND}")
    version, hashes = config.get("schema_version"), config.get("sha256")
    if version != SCHEMA_VERSION:
        raise SharedModelError(f"schema_version must be {SCHEMA_VERSION}, got {version!r} in '{path}'")
    hashes = hashes if isinstance(hashes, dict) else {}
    wrong = [folder / name for name in HASHED_FILES if _sha256(folder / name) != hashes.get(name, "?")]
    if wrong:
        raise SharedModelError(f"'{wrong[0]}' is missing or was changed; copy the folder again")
    if config.get("fingerprint") != config_fingerprint(config):
        raise SharedModelError(f"'{path}' was changed; copy the folder again")
    try:
        shared = SharedModel(
            load_checkpoint(folder / WEIGHTS_FILE),
            {key: config[key] for key in CONFIG_KEYS},
            read_json(folder / TEXTS_FILE),
            load_file(folder / SEEN_FILE),
        )
        _ = shared.frames, shared.seen, shared.methods, shared.held_out  # made of the config and the arrays
    except (AttributeError, KeyError, TypeError, SafetensorError, CheckpointError) as error:
        raise SharedModelError(f"'{folder}' lacks what a shared model needs: {error!r}") from error
    if config["chosen_for"] != shared.fingerprint:
        of = f"{config['chosen_for']}, and the weights of {shared.fingerprint}"
        raise SharedModelError(f"what '{path}' says was chosen is of checkpoint {of}; export again")
    return shared


def is_shared(folder: str | Path) -> bool:
    """Whether a folder holds a shared model, by its config.json, or by its files where that is damaged."""
    try:
        return json.loads((Path(folder) / CONFIG_FILE).read_text(encoding="utf-8")).get("kind") == KIND
    except (OSError, AttributeError):
        return False
    except ValueError:
        return (Path(folder) / SEEN_FILE).is_file()


def config_fingerprint(config: Mapping[str, Any]) -> str:
    """A hash of all that config.json says but this."""
    return fingerprint({key: value for key, value in config.items() if key != "fingerprint"})


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
