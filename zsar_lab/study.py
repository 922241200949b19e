"""What a study asks: data, protocols, class texts, training and evaluation, each a small checked object."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import TypeAdapter, ValidationError

from zsar_lab.data.prepare import FOLDER, Source
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import read_json
from zsar_lab.protocols.protocol import VIEWS
from zsar_lab.protocols.splits import ProtocolName
from zsar_lab.shown import Shown
from zsar_lab.text.prompts import prompt_named
from zsar_lab.train.config import config_of

SCHEMA_VERSION = 1
DEMO_NAME = "generated demo videos"
PATHS = ("videos", "annotations", "prepared", "train_on", "splits")


class StudyError(ValueError):
    """A study cannot be asked like this, or a file holds none of this version."""


def _check_whole(config: Any, **least: int) -> None:
    for name, smallest in least.items():
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
            raise StudyError(f"{name} must be a whole number of {smallest} or more, got {value!r}")


@dataclass(frozen=True)
class Data:
    """Where the clips come from. By default the demo videos are generated.

    Attributes:
        videos: a folder of videos.
        dataset: what it holds: "folder" (one folder a class) or a public dataset, see DATASETS.
        annotations: the folder of a public dataset's official annotation files.
        unit: a clip of ActivityNet: "segment" or "video".
        frames: frames a clip, their rate and size, raw or JPEG.
        prepared: a folder made by `prepare`, in the place of all above; many studies can share one.
        train_on: another prepared dataset to train on, for protocols across datasets.
        splits: a file of splits of your own, for the protocols file-1, file-2, ...
        clips_per_class: of the demo videos, 1 or more.
        seed: of the demo videos, 0 or more.
    """

    videos: str | None = None
    dataset: str = FOLDER
    annotations: str | None = None
    unit: str = "segment"
    frames: FrameSettings = FrameSettings()
    prepared: str | None = None
    train_on: str | None = None
    splits: str | None = None
    clips_per_class: int = 30
    seed: int = 0

    def __post_init__(self) -> None:
        for name in PATHS:  # whole paths: notebooks run elsewhere
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, str(Path(value).resolve()))
        if not isinstance(self.frames, FrameSettings):
            raise StudyError(f"frames must be FrameSettings, got {self.frames!r}")
        _check_whole(self, clips_per_class=1, seed=0)
        if self.videos is None and (self.dataset != FOLDER or self.annotations):
            raise StudyError(f"the dataset {self.dataset!r} needs its folder of videos, got videos None")
        if self.prepared is not None and (self.videos is not None or self.frames != FrameSettings()):
            raise StudyError(f"prepared replaces videos and frames, got {self.prepared!r} beside them")
        self.source("")

    @property
    def is_generated(self) -> bool:
        """Whether the clips are the generated demo videos."""
        return self.videos is None and self.prepared is None

    def source(self, demo_videos: str) -> Source:
        """The clips to catalog; `demo_videos` is the folder of the generated ones."""
        if self.videos is None:
            return Source(FOLDER, demo_videos, name=DEMO_NAME)
        return Source(self.dataset, self.videos, self.annotations or "", self.unit)


@dataclass(frozen=True)
class Text:
    """What the model reads of a class.

    Attributes:
        prompt: name of a prompt, a template such as "a video of {label}", several templates, or a csv file
            of texts by name; see `prompt_named`.
        encoder: a folder or hub name; None for all-MiniLM-L6-v2.
        trained_layers: how many of the encoder's last layers are trained with the model; 0 keeps it frozen.
    """

    prompt: str | tuple[str, ...] = "description_and_parts"
    encoder: str | None = None
    trained_layers: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.prompt, (list, Path)):
            given = str(self.prompt) if isinstance(self.prompt, Path) else tuple(self.prompt)
            object.__setattr__(self, "prompt", given)
        prompt_named(self.prompt)
        if isinstance(self.prompt, str) and self.prompt.lower().endswith(".csv") and "{" not in self.prompt:
            object.__setattr__(self, "prompt", str(Path(self.prompt).resolve()))
        if self.encoder is not None:
            if not isinstance(self.encoder, (str, Path)) or not str(self.encoder).strip():
                raise StudyError(f"encoder must be a folder, a hub name, or None, got {self.encoder!r}")
            path = Path(self.encoder)
            object.__setattr__(self, "encoder", str(path.resolve()) if path.is_dir() else str(self.encoder))
        _check_whole(self, trained_layers=0)


@dataclass(frozen=True)
class Training:
    """The model and how it is trained.

    Attributes:
        preset: demo, rest18, rest101, rest_r3d18 or rest_r2plus1d18.
        epochs: of each training; None for the preset's number.
        overrides: single settings of the preset: {"batch_size": 32, "model": {"dropout": 0.2}}.
    """

    preset: str = "demo"
    epochs: int | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        config = config_of(self.preset, self.overrides)
        object.__setattr__(self, "overrides", json.loads(json.dumps(dict(self.overrides))))
        if self.epochs is None:
            object.__setattr__(self, "epochs", config.epochs)
        _check_whole(self, epochs=1)

    @property
    def n_epochs(self) -> int:
        """The epochs of each training: as asked, or the preset's."""
        assert self.epochs is not None
        return self.epochs


@dataclass(frozen=True)
class Evaluation:
    """How unseen classes are scored.

    Attributes:
        views: test-time views a clip: 1 (its centre, and mirrored) or 25 (spread over the whole clip).
        leakage_distance: cosine distance of class texts under which a training class is removed, beside those
            of the same name; None for the names alone.
        strict: refuse to train when a seen class is an unseen one by that rule.
    """

    views: int = 1
    leakage_distance: float | None = None
    strict: bool = True

    def __post_init__(self) -> None:
        if self.views not in VIEWS:
            raise StudyError(f"views must be 1 or 25, got {self.views!r}")
        distance = self.leakage_distance
        if distance is not None and not 0 <= distance <= 2:
            raise StudyError(f"leakage_distance must be a cosine distance in 0..2, got {distance}")


@dataclass(frozen=True, repr=False)
class Study(Shown):
    """What a study asks.

    >>> import zsar_lab as zl
    >>> zl.Study(protocols=("random-0..2",)).splits
    ('random-0', 'random-1', 'random-2')

    Attributes:
        data: where the clips come from.
        protocols: names of the splits, see PROTOCOLS; "half-0..9" stands for ten. The first family is the
            main one. By default three family-stratified splits of the demo, and a random one beside them.
        text: what the model reads of a class.
        training: the model and its training; the number of a split is the seed of its training.
        evaluation: how unseen classes are scored.

    Raises:
        ValueError: no protocol, one named twice, or parts that do not fit.
    """

    data: Data = field(default_factory=Data)
    protocols: tuple[str, ...] = ("stratified-0..2", "random-0")
    text: Text = field(default_factory=Text)
    training: Training = field(default_factory=Training)
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        parts = {"data": Data, "text": Text, "training": Training, "evaluation": Evaluation}
        for name, kind in parts.items():
            if not isinstance(getattr(self, name), kind):
                raise StudyError(f"{name} must be {kind.__name__}(...), got {getattr(self, name)!r}")
        if isinstance(self.protocols, str) or not self.protocols:
            raise StudyError(f"protocols must be a tuple of at least one name, got {self.protocols!r}")
        names = tuple(name for given in self.protocols for name in expand(given))
        object.__setattr__(self, "protocols", names)
        if len(set(names)) < len(names):
            raise StudyError(f"each protocol must be named once, got {', '.join(names)}")
        for name in names:
            if ProtocolName.of(name).kind == "file" and self.data.splits is None:
                raise StudyError(f"the protocol {name!r} needs a file of splits, got splits None")
            if ProtocolName.of(name).is_cross_dataset != (self.data.train_on is not None):
                needs = "must not have" if self.data.train_on else "needs"
                raise StudyError(f"the protocol {name!r} {needs} train_on, got {self.data.train_on!r}")
        if self.data.dataset != FOLDER and self.text.prompt == "structure":
            got = f"got prompt {self.text.prompt!r}"
            raise StudyError(f"classes of {self.data.dataset} have no structure, {got}")

    def _facts(self) -> dict[str, Any]:
        return {
            "data": self.data.videos or self.data.prepared or "generated demo videos",
            "splits": ", ".join(self.protocols),
            "class text": self.text.prompt,
            "training": f"{self.training.preset}, {self.training.epochs} epochs",
        }

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the splits, each of its own protocol."""
        return self.protocols

    @property
    def families(self) -> dict[str, tuple[str, ...]]:
        """The splits of each family of protocols; the first family is the main one."""
        found: dict[str, tuple[str, ...]] = {}
        for split in self.splits:
            family = ProtocolName.of(split).family
            found[family] = (*found.get(family, ()), split)
        return found

    def as_json(self) -> dict[str, Any]:
        """The content of study.json."""
        content = {"schema_version": SCHEMA_VERSION} | json.loads(json.dumps(asdict(self)))
        if self.data.splits is None:
            del content["data"]["splits"]
        return content

    @staticmethod
    def read(path: Path) -> Study:
        """Read study.json; FileNotFoundError without one, StudyError where it is no study of this version."""
        content = read_json(path)
        version = content.get("schema_version") if isinstance(content, dict) else None
        must = f"'{path}' must hold a study of schema_version {SCHEMA_VERSION}"
        if version != SCHEMA_VERSION:
            raise StudyError(f"{must}, got {version}")
        try:
            study = TypeAdapter(Study).validate_python(content)
        except ValidationError as error:
            first = error.errors()[0]
            raise StudyError(f"{must}, but {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
        if study.as_json() != content:  # a field that is missing, of another type, or that no study has
            raise StudyError(f"{must}: {difference(study.as_json(), content)}")
        return study


def fitting(classes: pd.DataFrame) -> tuple[tuple[str, ...], str]:
    """Protocols and prompt for a table of classes: by families where there are any, by all that is described.

    Three splits; stratified ones need two families of four classes or more, see `stratified`.
    """
    families = classes["family"][classes["family"] != ""] if "family" in classes else pd.Series(dtype=str)
    kind = "stratified" if (families.value_counts() >= 4).sum() >= 2 else "random"
    described, structured, in_parts = (
        name in classes and bool((classes[name] != "").all())
        for name in ("description", "structure", "posture")
    )
    prompt = "description_and_parts" if structured or in_parts else "description"
    return (f"{kind}-0..2",), prompt if described else "label"


def difference(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """The first field in which two studies, as json, differ: "training.epochs = 2, got 3"."""
    old, new = (pd.json_normalize(dict(one)).iloc[0].to_dict() for one in (wanted, given))
    name = next(name for name in old | new if old.get(name) != new.get(name))
    return f"{name} = {old.get(name)!r}, got {new.get(name)!r}"


def expand(name: str) -> tuple[str, ...]:
    """The names that "half-0..9", "folds-5" or "folds-5x2" stands for; a plain name stands for itself."""
    if not isinstance(name, str):
        raise StudyError(f"the name of a protocol must be a text, got {name!r}")
    if match := re.fullmatch(r"((?:generalised-)?folds-(\d+))(?:x(\d+))?", name):
        n_splits = int(match[2]) * int(match[3] or 1)
        return tuple(one for number in range(n_splits) for one in expand(f"{match[1]}-{number}"))
    match = re.fullmatch(r"(.+-)(\d+)\.\.(\d+)", name)
    if match is None:
        ProtocolName.of(name)
        return (name,)
    first, last = int(match[2]), int(match[3])
    if last < first:
        raise StudyError(f"a range of protocols must go upwards, got {name!r}")
    return tuple(n for number in range(first, last + 1) for n in expand(f"{match[1]}{number}"))
