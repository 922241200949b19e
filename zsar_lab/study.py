"""What a study asks: which clips, which protocols, which class text, how long to train."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zsar_lab.data.prepare import FOLDER, Source
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import read_json
from zsar_lab.protocols.protocol import VIEWS
from zsar_lab.protocols.splits import ProtocolName
from zsar_lab.text.prompts import prompt_named
from zsar_lab.train.checks import check_values
from zsar_lab.train.presets import as_kept, config_of

DEMO_NAME = "generated demo videos"
MOST_FAMILIES = 2
NEEDS_STRUCTURE = ("structure", "description_and_parts")


@dataclass(frozen=True)
class Study:
    """What a study asks.

    Attributes:
        videos: a folder of videos; None for the generated demo videos.
        dataset: what lies there: "folder" for any folder of class folders, or ucf101, hmdb51, kinetics400,
            kinetics600, kinetics700, activitynet.
        annotations: the folder of the dataset's official annotation files; None for "folder".
        unit: what one clip of ActivityNet is, "segment" or "video".
        frames: frames a clip, their rate and size, raw or JPEG.
        protocols: short names of protocols, see `ProtocolName`, at most two kinds; empty for the two numbers
            below.
        stratified_splits: family-stratified splits of unseen classes, the main protocol.
        random_splits: plain random splits, reported beside it.
        prepared: instead of videos, dataset, annotations, unit and frames: the folder that `prepare` left.
            Many studies can share one.
        train_on: for protocols that train on another dataset: the folder that `prepare` left for it.
        leakage_distance: cosine distance of class texts under which a training class is removed, beside those
            with the same name; None for the names alone.
        strict: refuse to train when a seen class is an unseen one by that method.
        class_text: prompt of the class texts trained with: the name of one, a template such as "a video of
            {label}" or several of them, or a csv file with the user's own texts (see `prompt_named`).
        encoder: the text encoder: a folder, or a hub name; None for all-MiniLM-L6-v2.
        text_layers: how many of the encoder's last layers are trained with the rest; 0 keeps it frozen.
        epochs: of each training; None is the number of the preset: 25 of demo, 150 of the others.
        clips_per_class: of the demo videos.
        seed: of the demo videos; a split's number is the seed of its classes and its training.
        preset: name of the model and its training in training/presets.py, or that function: demo, rest18,
            rest101, rest_r3d18, rest_r2plus1d18.
        changes: of single settings of the preset, fields of `TrainConfig`: {"batch_size": 32, "model":
            {"dropout": 0.2}}; see `config_of`.
        views: test views a clip whose embeddings are averaged: 1, the centre of the clip and its mirror
            image; 25, spread over the whole clip.

    Raises:
        ValueError: a number is out of range, there is no split, no such prompt, dataset, protocol, preset or
            setting, or fields that do not fit.
    """

    videos: str | None = None
    clips_per_class: int = 30
    stratified_splits: int = 3
    random_splits: int = 1
    class_text: str | tuple[str, ...] = "description_and_parts"
    epochs: int | None = None
    seed: int = 0
    dataset: str = FOLDER
    annotations: str | None = None
    unit: str = "segment"
    frames: FrameSettings = FrameSettings()
    protocols: tuple[str, ...] = ()
    prepared: str | None = None
    train_on: str | None = None
    leakage_distance: float | None = None
    strict: bool = True
    encoder: str | None = None
    text_layers: int = 0
    preset: str = "demo"
    changes: Mapping[str, Any] = field(default_factory=dict, hash=False)
    views: int = 1

    def __post_init__(self) -> None:
        for name in (
            "videos",
            "annotations",
            "prepared",
            "train_on",
        ):  # whole paths, for a notebook runs in a folder of its own
            if getattr(self, name) is not None:
                object.__setattr__(self, name, str(Path(getattr(self, name)).resolve()))
        self._resolve_texts()
        self._resolve_training()
        if isinstance(self.protocols, str):
            raise ValueError(
                f"protocols must be a tuple of names, got the text {self.protocols!r}; write ({self.protocols!r},)"
            )
        object.__setattr__(self, "protocols", tuple(self.protocols))
        if not isinstance(self.frames, FrameSettings):
            raise ValueError(
                f"frames must be FrameSettings, got {self.frames!r}; write FrameSettings(size_px=...)"
            )
        prompt_named(self.class_text)
        for name, least in (
            ("clips_per_class", 1),
            ("stratified_splits", 0),
            ("random_splits", 0),
            ("text_layers", 0),
            ("epochs", 1),
            ("seed", 0),
        ):
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of {least} or more, got {value!r}")
        if self.views not in VIEWS:
            raise ValueError(f"views must be 1 or 25 (test views a clip), got {self.views!r}")
        if not self.splits:
            raise ValueError(
                "a study needs at least one split, got stratified_splits 0 and random_splits 0; set one of them, or name protocols"
            )
        if self.videos is None and (self.dataset != FOLDER or self.annotations):
            raise ValueError(
                f"the dataset {self.dataset!r} needs its folder of videos, got videos None; give it, or leave dataset out for the demo"
            )
        if self.videos is not None:
            self.source("")
        self._check_data()
        self._check_protocols()

    def _resolve_texts(self) -> None:
        """Whole paths of a csv file with texts and of an encoder's folder."""
        if self.encoder is not None and (
            not isinstance(self.encoder, (str, Path)) or not str(self.encoder).strip()
        ):
            raise ValueError(f"encoder must be a folder, a hub name, or None, got {self.encoder!r}")
        if isinstance(self.class_text, Path):
            object.__setattr__(self, "class_text", str(self.class_text))
        if isinstance(self.class_text, list):
            object.__setattr__(self, "class_text", tuple(self.class_text))
        if not isinstance(self.class_text, str):
            prompt_named(self.class_text)  # said before it is taken for a path
        elif self.class_text.lower().endswith(".csv") and "{" not in self.class_text:
            object.__setattr__(self, "class_text", str(Path(self.class_text).resolve()))
        if self.encoder is not None:  # what is no folder is a name of the hub
            object.__setattr__(
                self,
                "encoder",
                str(Path(self.encoder).resolve()) if Path(self.encoder).is_dir() else str(self.encoder),
            )

    def _resolve_training(self) -> None:
        """The preset by its name, the number of its epochs, and changes that it can be trained with."""
        if callable(self.preset):
            object.__setattr__(self, "preset", getattr(self.preset, "__name__", self.preset))
        config = config_of(self.preset, self.changes)
        check_values(config)
        object.__setattr__(self, "changes", as_kept(self.changes, config))
        if self.epochs is None:
            object.__setattr__(self, "epochs", config.epochs)

    def _check_data(self) -> None:
        if self.prepared is not None and (self.videos is not None or self.frames != FrameSettings()):
            raise ValueError(
                f"prepared stands instead of videos and frames, got prepared {self.prepared!r} beside them; give the one or the others"
            )
        if self.dataset != FOLDER and not self.protocols:
            raise ValueError(
                f"a study of {self.dataset} needs names of protocols, got none; give for example protocols=('intra-0',)"
            )
        if self.dataset != FOLDER and self.class_text in NEEDS_STRUCTURE:
            raise ValueError(
                f"a class of {self.dataset} has a label and a description, no structure, got class_text {self.class_text!r}; choose label, template, "
                "description or label_and_description"
            )

    def _check_protocols(self) -> None:
        names = [ProtocolName.of(name) for name in self.splits]
        crossing = {name.is_cross_dataset for name in names}
        if crossing != {self.train_on is not None}:
            wrong = next(
                split
                for split, name in zip(self.splits, names, strict=True)
                if name.is_cross_dataset != (self.train_on is not None)
            )
            cure = "set train_on" if self.train_on is None else "leave train_on out"
            raise ValueError(
                f"protocols that train on another dataset need train_on, and others must not have it, got {wrong!r} with train_on "
                f"{self.train_on!r}; {cure}"
            )
        if len(set(self.splits)) < len(self.splits):
            raise ValueError(f"each protocol must be named once, got {', '.join(self.splits)}; drop one")
        if len(self.families) > MOST_FAMILIES:
            raise ValueError(
                f"a study reports at most {MOST_FAMILIES} kinds of protocols, got {', '.join(self.families)}; make another study"
            )
        if self.leakage_distance is not None and not 0 <= self.leakage_distance <= 2:
            raise ValueError(
                f"leakage_distance must be a cosine distance in 0..2 or None, got {self.leakage_distance}"
            )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the protocols: those named, else stratified-0, ..., random-0, ..."""
        stratified = [f"stratified-{n}" for n in range(self.stratified_splits)]
        return tuple(self.protocols) or (*stratified, *(f"random-{n}" for n in range(self.random_splits)))

    @property
    def families(self) -> dict[str, tuple[str, ...]]:
        """The splits of each kind of protocol; the first kind is the main one."""
        found: dict[str, tuple[str, ...]] = {}
        for split in self.splits:
            family = ProtocolName.of(split).family
            found[family] = (*found.get(family, ()), split)
        return found

    def source(self, demo_videos: str) -> Source:
        """Where the clips come from; `demo_videos` is the folder of the generated ones."""
        if self.videos is None:
            return Source(FOLDER, demo_videos, name=DEMO_NAME)
        return Source(self.dataset, self.videos, self.annotations or "", self.unit)

    def as_json(self) -> dict[str, Any]:
        """The study as it stands in study.json."""
        return json.loads(json.dumps(asdict(self)))

    @staticmethod
    def read(path: Path) -> Study:
        """Read study.json.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no study of this version.
        """
        content = read_json(path)
        try:
            frames = FrameSettings(**content.pop("frames"))
            return Study(
                **content | {"frames": frames, "protocols": tuple(content["protocols"])}
            )  # a list of templates becomes a tuple there
        except KeyError as error:
            raise ValueError(
                f"'{path}' must hold a study of this version of the library, but it has no {error}; choose another folder"
            ) from error
        except (TypeError, AttributeError) as error:
            raise ValueError(
                f"'{path}' must hold a study of this version of the library, but {error}; choose another folder"
            ) from error
