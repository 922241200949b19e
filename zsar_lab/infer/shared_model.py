"""The folder a trained model is shared as: its files, and one call that opens it.

    model.safetensors    the weights to use, a checkpoint without what a training needs to go on
    seen.safetensors     prototypes and embedded class texts of the seen classes, and scores of validation
    clips config.json          frames, class texts, encoder, what was chosen on validation classes, and where
    all of it comes from class_texts.json     the texts of the seen classes, by prompt README.md
    the model card

Shapes: S seen and V validation classes, B clips of validation classes, D width of the shared space, F width
of a class text's embedding.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import make_folder, read_json, write_json, writing
from zsar_lab.text.prompts import ClassText
from zsar_lab.train.checkpoint import Checkpoint, load_checkpoint, save_weights

FORMAT = 1
WEIGHTS_FILE, SEEN_FILE, CONFIG_FILE, TEXTS_FILE = (
    "model.safetensors",
    "seen.safetensors",
    "config.json",
    "class_texts.json",
)
CARD_FILE = "README.md"
HASHED_FILES = (WEIGHTS_FILE, SEEN_FILE, TEXTS_FILE)
SHARED_FILES = (*HASHED_FILES, CONFIG_FILE, CARD_FILE)
KIND = "zsar_lab shared model"


@dataclass(frozen=True, eq=False)
class SeenTexts:
    """The texts of the seen classes by one prompt, and their embeddings, float32 [S, F], unit rows."""

    class_text: ClassText
    pooled_SF: np.ndarray


@dataclass(frozen=True, eq=False)
class NamingMethod:
    """A method as it was chosen on validation classes.

    Attributes:
        method, class_text: "transfer" or "direct", and the prompt of the class texts.
        settings: what was chosen (k, tau and relatedness of transfer).
        temperature: of the softmax that turns its scores into confidences.
        validation_top1: 0..1, with the V validation classes as candidates.
        scores_BV: of the validation clips, float32.
    """

    method: str
    class_text: str
    settings: dict[str, Any]
    temperature: float
    validation_top1: float
    scores_BV: np.ndarray


@dataclass(frozen=True, eq=False)
class SharedModel:
    """A trained model with all that names clips of any classes.

    Attributes:
        checkpoint: the weights to use.
        frames: how videos must become frames for it.
        seen: a row a seen class: name, label, description ("" where there is none).
        prototypes_SD: of the seen classes, float32, unit rows.
        encoder, encoder_revision: of the text encoder, see `find_encoder`.
        prompt: of the class texts that it was trained with.
        texts: of the seen classes, by prompt.
        methods: what was chosen, by method and prompt.
        targets_B: the class of each validation clip, 0..V - 1.
        about: where it comes from: data, protocol, classes, fingerprints, scores and versions.
    """

    checkpoint: Checkpoint
    frames: FrameSettings
    seen: pd.DataFrame
    prototypes_SD: np.ndarray
    encoder: str
    encoder_revision: str
    prompt: str
    texts: Mapping[str, SeenTexts]
    methods: Mapping[tuple[str, str], NamingMethod]
    targets_B: np.ndarray
    about: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """That of the checkpoint."""
        return self.checkpoint.fingerprint


def save_shared(shared: SharedModel, folder: Path, card: str) -> Path:
    """Write the folder; config.json comes last, so that a folder without it is not whole.

    Args:
        shared: what is shared.
        folder: made if absent; what an earlier call left there is replaced.
        card: the text of the model card.

    Raises:
        PermissionError: the folder cannot be written to.
        ValueError: it holds other files.
    """
    folder = make_folder(Path(folder))
    strangers = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in SHARED_FILES and not path.name.startswith(".")
    )
    if strangers:
        raise ValueError(
            f"a shared model needs a folder of its own, '{folder}' holds {strangers[0]!r}; choose an empty one"
        )
    (folder / CONFIG_FILE).unlink(missing_ok=True)
    save_weights(shared.checkpoint, folder / WEIGHTS_FILE)
    arrays = {
        "prototypes_SD": shared.prototypes_SD.astype(np.float32),
        "targets_B": shared.targets_B.astype(np.int64),
    }
    arrays |= {
        f"text.{prompt}": np.ascontiguousarray(texts.pooled_SF) for prompt, texts in shared.texts.items()
    }
    arrays |= {_key(*names): method.scores_BV.astype(np.float32) for names, method in shared.methods.items()}
    with writing(folder / SEEN_FILE) as temporary:
        save_file(arrays, temporary)
    texts = {
        prompt: {
            "averaged": seen.class_text.averaged,
            "texts": dict(zip(seen.class_text.names, seen.class_text.texts, strict=True)),
        }
        for prompt, seen in shared.texts.items()
    }
    write_json(folder / TEXTS_FILE, texts)
    with writing(folder / CARD_FILE) as temporary:
        temporary.write_text(card, encoding="utf-8")
    config = _config(shared) | {"sha256": _hashes(folder)}
    write_json(folder / CONFIG_FILE, config | {"fingerprint": _of_config(config)})
    return folder


def load_shared(folder: str | Path) -> SharedModel:
    """Open a folder that `save_shared` wrote, here or elsewhere.

    Raises:
        FileNotFoundError: there is no such folder, or it holds no shared model.
        ValueError: it is of another version of the library, or one of its files is not the one that
            config.json was written for.
    """
    folder = Path(folder)
    if not (folder / CONFIG_FILE).is_file():
        what = "holds no config.json" if folder.is_dir() else "is not there"
        raise FileNotFoundError(
            f"a shared model must be a folder that the export command left, '{folder}' {what}; export a model there, or mend the path"
        )
    try:
        config = read_json(folder / CONFIG_FILE)
    except ValueError as error:
        raise ValueError(
            f"a shared model must be whole, '{folder / CONFIG_FILE}' is no whole json file; copy the folder again"
        ) from error
    if not isinstance(config, dict) or config.get("kind") != KIND:
        raise ValueError(
            f"'{folder / CONFIG_FILE}' must be of a {KIND}, but it is of something else; give the folder that the export command left"
        )
    if config.get("format") != FORMAT:
        raise ValueError(
            f"a shared model must be of format {FORMAT}, which this version of zsar_lab reads, '{folder}' is of format {config.get('format')!r};"
            " export it again with this version, or install the version that wrote it"
        )
    hashes = config.get("sha256")
    for name in HASHED_FILES:
        there = (folder / name).is_file()
        if not there or not isinstance(hashes, dict) or _sha256(folder / name) != hashes.get(name):
            what = "is not the file that config.json was written for" if there else "is missing"
            raise ValueError(f"a shared model must be whole, '{folder / name}' {what}; copy the folder again")
    if config.get("fingerprint") != _of_config(config):
        raise ValueError(
            f"a shared model must be as it was exported, '{folder / CONFIG_FILE}' was changed since; copy the folder again"
        )
    return _opened(folder, config)


def is_shared(folder: str | Path) -> bool:
    """Whether a folder holds a shared model, by its config.json, or by a file that no other model has where that is damaged."""
    try:
        return json.loads((Path(folder) / CONFIG_FILE).read_text(encoding="utf-8")).get("kind") == KIND
    except (OSError, AttributeError):
        return False
    except ValueError:
        return (Path(folder) / SEEN_FILE).is_file()


def _config(shared: SharedModel) -> dict[str, Any]:
    chosen = [
        {
            "method": method.method,
            "class_text": method.class_text,
            "settings": method.settings,
            "temperature": method.temperature,
        }
        | {"validation_top1": method.validation_top1}
        for method in shared.methods.values()
    ]
    return {
        "kind": KIND,
        "format": FORMAT,
        "frames": asdict(shared.frames),
        "class_text": shared.prompt,
        "encoder": {"name": shared.encoder, "revision": shared.encoder_revision},
        "seen": shared.seen.to_dict("records"),
        "methods": chosen,
        "about": dict(shared.about),
    }


def _opened(folder: Path, config: dict[str, Any]) -> SharedModel:
    try:
        arrays = load_file(folder / SEEN_FILE)
        texts = {
            prompt: SeenTexts(
                ClassText(prompt, tuple(kept["texts"]), tuple(kept["texts"].values()), kept["averaged"]),
                arrays[f"text.{prompt}"],
            )
            for prompt, kept in read_json(folder / TEXTS_FILE).items()
        }
        chosen = [
            NamingMethod(**kept, scores_BV=arrays[_key(kept["method"], kept["class_text"])])
            for kept in config["methods"]
        ]
        return SharedModel(
            checkpoint=load_checkpoint(folder / WEIGHTS_FILE),
            frames=FrameSettings(**config["frames"]),
            seen=pd.DataFrame(config["seen"]),
            prototypes_SD=arrays["prototypes_SD"],
            encoder=config["encoder"]["name"],
            encoder_revision=config["encoder"]["revision"],
            prompt=config["class_text"],
            texts=texts,
            methods={(method.method, method.class_text): method for method in chosen},
            targets_B=arrays["targets_B"],
            about=config["about"],
        )
    except (AttributeError, KeyError, TypeError, SafetensorError) as error:
        raise ValueError(
            f"'{folder}' must hold a whole shared model, but {type(error).__name__}: {error}; export it again"
        ) from error


def _of_config(config: Mapping[str, Any]) -> str:
    """A hash of all that config.json says but this."""
    said = json.dumps({key: value for key, value in config.items() if key != "fingerprint"}, sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _key(method: str, prompt: str) -> str:
    return f"validation.{method}.{prompt}"


def _hashes(folder: Path) -> dict[str, str]:
    return {name: _sha256(folder / name) for name in HASHED_FILES}


def _sha256(path: Path) -> str:
    with open(path, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
