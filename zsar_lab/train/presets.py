"""Whole configurations of a training: one function a preset, changes of its settings, and a configuration read back from json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from typing import Any

from zsar_lab.data.loader import ViewSettings
from zsar_lab.files import later
from zsar_lab.models.rest import ModelConfig


@dataclass(frozen=True)
class TrainConfig:
    """Everything that shapes a training. A loss whose weight is 0 is switched off.

    Attributes:
        epochs: passes over the training clips.
        batch_size: clips that are in the model at a time at most; with `accumulate` 1 the clips a step.
            Several ranks divide a step among them.
        accumulate: batches a step: their gradients are weighted by clips and summed. All a step's random
            numbers but those of dropout are drawn for all its clips, and the labels of matching are drawn
            clip by clip among all seen classes, so accumulate 2 with batch b is batch 2b but for dropout and
            for batch norm, which sees b clips at a time. The input of a whole step is in memory, activations
            of a batch.
        learning_rate: the peak of the schedule, reached after `warm_up` of all steps.
        schedule: after the peak, "cosine" (to 0) or "steps" (a tenth from 0.4 of all steps on, a hundredth
            from 0.8 on).
        optimiser: "adamw" or "sgd" (momentum 0.9).
        weight_decay: on matrices only.
        ema_decay: of a moving average of the weights, which is then what is validated and used; 0 keeps none.
        temperature: of the cosine classifier over seen classes.
        label_smoothing: of the classification loss, 0..1.
        n_match_labels: labels a clip in matching: the right one and hard negatives.
        seed: of weights, order, views and dropout.
        cpu_threads: threads of a training on the CPU; small maps are faster with one, and the sums then do
            not depend on the machine.
        text_layers: how many of the language model's last layers are trained with the rest, with all that
            comes after them; 0 keeps it frozen.
        text_learning_rate: the peak for these layers, which are trained already; the same one-cycle schedule.
        validate_every: epochs between looks at held-out seen clips and validation classes.
        memory_format: of the backbone: "contiguous", or "channels_last" (channels_last_3d over time), which
            tensor cores want.
        compile_transformer: compile both transformers if a timing at the start says that it is faster.
        shared_batch_norm: of several ranks: batch norm's statistics are those of the clips that all have in
            the model at a time, so that their number does not matter; False: of each by itself, which waits
            less and makes another training of another number of ranks.
    """

    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1.5e-3
    warm_up: float = 0.25
    weight_decay: float = 0.05
    clip_norm: float = 2.0
    temperature: float = 0.07
    label_smoothing: float = 0.1
    classification_weight: float = 1.0
    alignment_weight: float = 1.0
    matching_weight: float = 0.5
    n_match_labels: int = 4
    seed: int = 0
    cpu_threads: int = 1
    validate_every: int = 5
    text_layers: int = later(0, together="text")
    text_learning_rate: float = later(3e-5, together="text")
    accumulate: int = later(1)
    optimiser: str = later("adamw")
    schedule: str = later("cosine")
    ema_decay: float = later(0.0)
    memory_format: str = later("contiguous")
    compile_transformer: bool = later(False)
    shared_batch_norm: bool = later(True)
    view: ViewSettings = field(default_factory=ViewSettings)
    model: ModelConfig = field(default_factory=ModelConfig)


def config_from(content: Mapping[str, Any]) -> TrainConfig:
    """A configuration as `recorded` wrote it, or as a person did: those fields that are not named are at their default.

    Args:
        content: by field; "view" and "model" are mappings themselves.

    Raises:
        ValueError: a field that there is not (the nearest one is named), or a value of another kind.
    """
    return _filled(TrainConfig(), content, "")


def _filled(start: Any, content: Mapping[str, Any], prefix: str) -> Any:
    """A configuration with its fields from `content`, each of the kind that it has in `start`."""
    if not isinstance(content, Mapping):
        raise ValueError(
            f"{prefix.removesuffix('.') or 'a configuration'} must be a mapping of names to values, got {content!r}"
        )
    defaults, values = {f.name: getattr(start, f.name) for f in fields(start)}, {}
    for name, value in content.items():
        if name not in defaults:
            nearest = get_close_matches(str(name), defaults, 1, 0)[0]
            raise ValueError(
                f"a configuration must have fields that there are, got {prefix + str(name)!r}; the nearest is {prefix + nearest!r}"
            )
        default = defaults[name]
        if is_dataclass(default):
            values[name] = _filled(default, value, f"{name}.")
            continue
        kinds = {float: (int, float), tuple: (list, tuple)}.get(type(default), (type(default),))
        if not isinstance(value, kinds) or isinstance(value, bool) != isinstance(default, bool):
            raise ValueError(f"{prefix}{name} must be a value like {default!r}, got {value!r}")
        values[name] = tuple(value) if isinstance(default, tuple) else value
    return replace(start, **values)


def demo(
    n_seen: int, text_width: int, word_width: int = 384, seed: int = 0, epochs: int = 25, text_layers: int = 0
) -> TrainConfig:
    """The small model of the demo: about 1 M parameters, minutes on two CPU cores."""
    model = ModelConfig(n_seen=n_seen, text_width=text_width, word_width=word_width)
    return TrainConfig(seed=seed, epochs=epochs, text_layers=text_layers, model=model)


def rest18(n_seen: int, text_width: int, word_width: int = 384, seed: int = 0) -> TrainConfig:
    """ResT with a ResNet-18 on each of 8 frames of 224 px; one visual token a frame.

    Stated by the paper's abstract: a cross-modal Transformer over video and label text, learned end to end,
    no pre-training on additional datasets. All the rest is our choice, starting from peers' recipes and not
    tuned at this size: Adam at 1e-3 for 150 epochs (Brattoli et al. 2020, who step the rate down; ours is one
    cycle), temperature 0.1 and 512 dimensions (ER-ZSAR), their input standardisation; batch, transformer
    sizes and loss weights are our own. Read by name as ResNet-18 of the paper's variants, which we know from
    memory only.

    Args:
        n_seen: seen classes.
        text_width, word_width: of the text encoder's class texts and words.
        seed: of weights, order, views and dropout.
    """
    return _paper_size("resnet-18", ViewSettings(8, 224, "rgb"), n_seen, text_width, word_width, seed)


def rest101(n_seen: int, text_width: int, word_width: int = 384, seed: int = 0) -> TrainConfig:
    """As `rest18`, with a ResNet-101, and half the learning rate for its depth."""
    return replace(
        _paper_size("resnet-101", ViewSettings(8, 224, "rgb"), n_seen, text_width, word_width, seed),
        learning_rate=5e-4,
    )


def rest_r3d18(n_seen: int, text_width: int, word_width: int = 384, seed: int = 0) -> TrainConfig:
    """As `rest18`, with an R3D-18 on 16 frames of 112 px; a visual token for each of 2 x 7 x 7 places."""
    return _paper_size("r3d-18", ViewSettings(16, 112, "rgb"), n_seen, text_width, word_width, seed)


def rest_r2plus1d18(n_seen: int, text_width: int, word_width: int = 384, seed: int = 0) -> TrainConfig:
    """As `rest_r3d18`, with an R(2+1)D-18, the backbone of Brattoli et al. 2020."""
    return _paper_size("r(2+1)d-18", ViewSettings(16, 112, "rgb"), n_seen, text_width, word_width, seed)


def _paper_size(
    backbone: str, view: ViewSettings, n_seen: int, text_width: int, word_width: int, seed: int
) -> TrainConfig:
    # 8 x 7 x 7 tokens of a 2D backbone would cost matching more than a ResNet-18 itself, and 0.4 MB a clip in
    # the cache of embeddings
    is_spatial = backbone in ("r3d-18", "r(2+1)d-18")
    model = ModelConfig(
        n_frames=view.n_frames,
        size_px=view.size_px,
        backbone=backbone,
        spatial_tokens=is_spatial,
        zero_residual=True,
        width=512,
        depth=2,
        heads=8,
        feedforward=2048,
        text_width=text_width,
        word_width=word_width,
        n_seen=n_seen,
    )
    return TrainConfig(
        epochs=150,
        batch_size=64,
        learning_rate=1e-3,
        warm_up=0.1,
        temperature=0.1,
        seed=seed,
        view=view,
        model=model,
    )


PRESETS: dict[str, Callable[..., TrainConfig]] = {
    preset.__name__: preset for preset in (demo, rest18, rest101, rest_r3d18, rest_r2plus1d18)
}

# what no changes of a preset may hold, and where it is set
SET_ELSEWHERE = {
    "epochs": "set epochs of the study",
    "text_layers": "set text_layers of the study",
    "seed": "the number of a split is its seed",
    "model.n_seen": "the protocol of a split has the number of seen classes",
    "model.text_width": "the class texts have it, set class_text or encoder of the study",
    "model.word_width": "the text encoder has it, set encoder of the study",
    "model.n_frames": "set view.n_frames, and the model takes it over",
    "model.size_px": "set view.size_px, and the model takes it over",
}


def preset_named(name: str) -> Callable[..., TrainConfig]:
    """The preset of that name; ValueError when there is none."""
    if not isinstance(name, str) or name not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {name!r}")
    return PRESETS[name]


def config_of(
    name: str,
    changes: Mapping[str, Any],
    n_seen: int = 32,
    text_width: int = 384,
    word_width: int = 384,
    **decided: int,
) -> TrainConfig:
    """A preset with some of its settings changed; the model is made for the frames of the view.

    Args:
        name: a key of `PRESETS`.
        changes: by field, as in `config_from`, but for those in `SET_ELSEWHERE`: {"batch_size": 32, "model":
            {"dropout": 0.2}}.
        n_seen: seen classes.
        text_width, word_width: of the text encoder's class texts and words.
        decided: epochs, text_layers or seed, where they are not the preset's.

    Raises:
        ValueError: no such preset, or changes of a setting that there is not, to a value of another kind, or
            of one that is set elsewhere.
    """
    start = preset_named(name)(n_seen, text_width, word_width)
    if not isinstance(changes, Mapping):
        raise ValueError(
            f'changes must be a mapping of names to values, got {changes!r}; write {{"batch_size": 32, "model": {{"dropout": 0.2}}}}'
        )
    inner = [
        f"{part}.{key}" for part, values in changes.items() if isinstance(values, Mapping) for key in values
    ]
    for key in [*changes, *inner]:
        if key in SET_ELSEWHERE:
            raise ValueError(
                f"changes must leave out what is set elsewhere, got {key!r}; {SET_ELSEWHERE[key]}"
            )
    config = _filled(start, changes, "")
    return replace(
        config,
        model=replace(config.model, n_frames=config.view.n_frames, size_px=config.view.size_px),
        **decided,
    )


def as_kept(changes: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """Changes with their values as `config`, which was made with them, has them: a list is a tuple there."""
    return {
        name: as_kept(value, getattr(config, name)) if isinstance(value, Mapping) else getattr(config, name)
        for name, value in changes.items()
    }


def read_changes(settings: Sequence[str]) -> dict[str, Any]:
    """Changes from texts such as "batch_size=32" and "model.dropout=0.2"; a value is read as json, or is the text itself.

    Raises:
        ValueError: a text is no NAME=VALUE.
    """
    changes: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        *parts, last = name.strip().split(".")
        if not equals or not last:
            raise ValueError(
                f"a setting must be NAME=VALUE, such as batch_size=32 or model.dropout=0.2, got {setting!r}"
            )
        place = changes
        for part in parts:
            if not isinstance(place.get(part), dict):
                place[part] = {}
            place = place[part]
        try:
            place[last] = json.loads(text)
        except json.JSONDecodeError:
            place[last] = text
    return changes


def ablations(config: TrainConfig) -> dict[str, TrainConfig]:
    """What each choice is worth: the configuration by itself ("whole"), then with one choice changed a time, by what is changed.

    `no <loss>` and `<loss> only` for each loss that is on, "no label smoothing", "frozen text" (where layers
    of the text encoder are trained), "mean over space" or "tokens over space" (where the backbone has more
    than one place). Those that cannot be trained are left out: without any loss, or with text layers that no
    loss reaches. Two names of equal configurations are kept once.
    """
    weights = {loss: f"{loss}_weight" for loss in ("classification", "alignment", "matching")}
    used = {loss: name for loss, name in weights.items() if getattr(config, name)}
    changes = {"whole": {}} | {f"no {loss}": {name: 0.0} for loss, name in used.items()}
    changes |= {
        f"{loss} only": {other: 0.0 for other in used.values() if other != name}
        for loss, name in used.items()
    }
    changes |= {"no label smoothing": {"label_smoothing": 0.0}, "frozen text": {"text_layers": 0}}
    if config.model.backbone != ModelConfig.backbone:
        flipped = replace(config.model, spatial_tokens=not config.model.spatial_tokens)
        changes["tokens over space" if flipped.spatial_tokens else "mean over space"] = {"model": flipped}
    found: dict[str, TrainConfig] = {}
    for name, change in changes.items():
        changed = replace(config, **change)
        reaches_text = changed.alignment_weight or changed.matching_weight
        if (
            reaches_text or (changed.classification_weight and not changed.text_layers)
        ) and changed not in found.values():
            found[name] = changed
    return found
