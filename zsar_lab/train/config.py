"""Configurations of a training: the settings, PRESETS, overrides of single settings, and ablations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, field, replace
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic.dataclasses import dataclass

from zsar_lab.data.loader import ViewSettings
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import later, recorded
from zsar_lab.models.losses import LOSSES
from zsar_lab.models.rest import STRICT, Count, ModelConfig, Share

NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]


class ConfigError(ValueError):
    """A setting that there is not, of another kind, or out of its range."""


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """Everything that shapes a training. Steps are of batch_size x accumulate clips, which ranks divide.

    Accumulate 2 with batch b is batch 2b but for dropout, and for batch norm, which sees b clips at a time.
    """

    epochs: Count = 30
    batch_size: Count = 32  # the most clips in the model at a time
    learning_rate: NotNegative = 1.5e-3  # the peak, reached after `warm_up` of all steps
    warm_up: Share = 0.25
    weight_decay: NotNegative = 0.05  # of matrices only
    clip_norm: Positive = 2.0  # the most that the norm of a step's gradient may be
    temperature: Positive = 0.07  # of the cosine classifier over seen classes
    label_smoothing: Share = 0.1  # of the classification loss
    loss_weights: dict[str, NotNegative] = field(  # by LOSSES; a loss of weight 0, or not named, is off
        default_factory=lambda: {name: loss.weight for name, loss in LOSSES.items()}, hash=False
    )
    n_match_labels: Count = 4  # labels a clip in matching: the right one and hard negatives
    seed: int = 0  # of weights, order, views and dropout
    cpu_threads: Count = 1  # small maps are faster with one, and sums then do not depend on the machine
    validate_every: Count = 5  # epochs
    text_layers: Annotated[int, Field(ge=0)] = later(0, together="text")  # last layers that are trained too
    text_learning_rate: NotNegative = later(3e-5, together="text")  # their peak
    accumulate: Count = later(1)  # batches a step, whose gradients are weighted by clips and summed
    optimiser: Literal["adamw", "sgd"] = later("adamw")
    schedule: Literal["cosine", "steps"] = later(
        "cosine"
    )  # to 0; or a tenth from 0.4, a hundredth from 0.8 on
    ema_decay: Annotated[float, Field(ge=0, lt=1)] = later(
        0.0
    )  # of averaged weights, which are used; 0: none
    memory_format: Literal["contiguous", "channels_last"] = later("contiguous")  # of the backbone
    compile_transformer: bool = later(False)
    view: ViewSettings = field(default_factory=ViewSettings)
    model: ModelConfig = field(default_factory=ModelConfig)

    @field_validator("loss_weights")
    @classmethod
    def _name_every_loss(cls, weights: dict[str, float]) -> dict[str, float]:
        if unknown := set(weights) - set(LOSSES):
            raise ValueError(f"loss_weights must be of {', '.join(LOSSES)}, got {', '.join(sorted(unknown))}")
        if not any(weights.values()):
            raise ValueError("loss_weights must have one above 0")
        return {name: weights.get(name, 0.0) for name in LOSSES}

    @model_validator(mode="after")
    def _check_together(self) -> TrainConfig:
        reads_text = any(self.loss_weights[name] for name, loss in LOSSES.items() if loss.reads_text)
        if self.text_layers and not reads_text:
            raise ValueError(f"text_layers ({self.text_layers}) needs a loss that reads class texts")
        view = self.view
        if view.n_frames < 1 or view.size_px < 1 or view.channels not in ("motion", "rgb"):
            raise ValueError(f"view must have frames, pixels, and channels 'motion' or 'rgb', got {view}")
        return self


def config_from(content: Mapping[str, Any]) -> TrainConfig:
    """A configuration from nested mappings, defaults for what is not named; or ConfigError."""
    try:
        return TypeAdapter(TrainConfig).validate_json(json.dumps(content))
    except TypeError as error:
        raise ConfigError(f"a configuration must be of numbers and words, but {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"]))
        if first["type"] == "value_error":
            raise ConfigError(first["msg"].removeprefix("Value error, ")) from error
        if first["type"] == "unexpected_keyword_argument":
            nearest = get_close_matches(name, _names(asdict(TrainConfig())), 1, 0)[0]
            raise ConfigError(f"there is no setting {name!r}; the nearest is {nearest!r}") from error
        must = first["msg"].removeprefix("Input should ")
        raise ConfigError(f"{name or 'a configuration'} must {must}, got {first['input']!r}") from error


def recorded_config(config: TrainConfig) -> dict[str, Any]:
    """A configuration as checkpoints hold and hash it, a loss's weight as `<loss>_weight`."""
    content = recorded(config)
    weights = content.pop("loss_weights")
    return content | {f"{loss}_weight": w for loss, w in weights.items() if w or LOSSES[loss].weight}


def read_recorded(content: Mapping[str, Any]) -> TrainConfig:
    """The configuration that `recorded_config` wrote; ConfigError as `config_from`."""
    weights = {loss: content[f"{loss}_weight"] for loss in LOSSES if f"{loss}_weight" in content}
    others = {name: value for name, value in content.items() if name.removesuffix("_weight") not in weights}
    return config_from(others | ({"loss_weights": weights} if weights else {}))


def _paper_size(backbone: str, n_frames: int, size_px: int, learning_rate: float = 1e-3) -> TrainConfig:
    """ResT over a backbone at a size of the literature.

    Stated by the paper's abstract: a cross-modal Transformer over video and label text, learned end to end,
    no pre-training on additional datasets. All the rest is our choice, not tuned at this size: Adam at 1e-3
    for 150 epochs (Brattoli et al. 2020, who step the rate down), temperature 0.1 and 512 dimensions
    (ER-ZSAR), peers' input standardisation; batch, transformer sizes and loss weights are our own. 2D
    backbones give one visual token a frame: 8 x 7 x 7 would cost matching more than a ResNet-18.
    """
    model = ModelConfig(n_frames, width=512, heads=8, feedforward=2048, backbone=backbone, size_px=size_px)
    model = replace(model, spatial_tokens=backbone in ("r3d-18", "r(2+1)d-18"), zero_residual=True)
    view = ViewSettings(n_frames, size_px, "rgb")
    return TrainConfig(150, 64, learning_rate, warm_up=0.1, temperature=0.1, view=view, model=model)


PRESETS: dict[str, TrainConfig] = {
    "demo": TrainConfig(epochs=25),  # about 1 M parameters, minutes on two CPU cores
    "rest18": _paper_size("resnet-18", 8, 224),
    "rest101": _paper_size("resnet-101", 8, 224, learning_rate=5e-4),  # half the rate for its depth
    "rest_r3d18": _paper_size("r3d-18", 16, 112),
    "rest_r2plus1d18": _paper_size("r(2+1)d-18", 16, 112),  # the backbone of Brattoli et al. 2020
}

# what no overrides may hold: the study, its protocol, its class texts, or the view have it
SET_ELSEWHERE = ["epochs", "text_layers", "seed", "model.n_seen", "model.text_width", "model.word_width"]
SET_ELSEWHERE += ["model.n_frames", "model.size_px"]


def config_of(
    preset: str,
    overrides: Mapping[str, Any],
    n_seen: int = 32,
    text_width: int = 384,
    word_width: int = 384,
    **decided: Any,
) -> TrainConfig:
    """A preset with single settings overridden; the model is made for the frames of the view.

    Args:
        preset: a key of `PRESETS`.
        overrides: by field but for those in `SET_ELSEWHERE`: {"batch_size": 32, "model": {"dropout": 0.2}}.
        n_seen: seen classes.
        text_width: of class texts, as the text encoder gives them.
        word_width: of their words.
        decided: epochs, text_layers or seed, where they are not the preset's.

    Raises:
        ConfigError: no such preset, or overrides that are not possible.
    """
    if not isinstance(preset, str) or preset not in PRESETS:
        raise ConfigError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    if not isinstance(overrides, Mapping):
        raise ConfigError(f"overrides must be a mapping of names to values, got {overrides!r}")
    for name in _names(overrides):
        if name in SET_ELSEWHERE:
            raise ConfigError(f"overrides must leave {name!r} out, which is set elsewhere")
    config = config_from(merged(asdict(PRESETS[preset]), overrides))
    sizes = {"n_frames": config.view.n_frames, "size_px": config.view.size_px, "n_seen": n_seen}
    sizes |= {"text_width": text_width, "word_width": word_width}
    model = replace(config.model, **sizes)  # type: ignore[arg-type]
    return replace(config, model=model, **decided)


def merged(start: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Nested mappings with these values in place of, or beside, those at the start."""
    return dict(start) | {
        name: merged(start[name], value)
        if isinstance(value, Mapping) and isinstance(start.get(name), Mapping)
        else value
        for name, value in overrides.items()
    }


def _names(content: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted names of all settings in nested mappings."""
    found = [f"{prefix}{name}" for name in content]
    for name, value in content.items():
        found += _names(value, f"{prefix}{name}.") if isinstance(value, Mapping) else []
    return found


def read_overrides(settings: Sequence[str]) -> dict[str, Any]:
    """Overrides from texts such as "model.dropout=0.2" (a value is json, or the text); or ConfigError."""
    overrides: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        *parts, last = name.strip().split(".")
        if not equals or not last:
            raise ConfigError(f"a setting must be NAME=VALUE, such as model.dropout=0.2, got {setting!r}")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        nested: dict[str, Any] = {last: value}
        for part in reversed(parts):
            nested = {part: nested}
        overrides = merged(overrides, nested)
    return overrides


def ablations(config: TrainConfig) -> dict[str, dict[str, Any]]:
    """Overrides that each change one choice of a configuration, by what is changed.

    `no <loss>` and `<loss> only` for each loss that is on, "no label smoothing", "mean over space" or "tokens
    over space". Those that cannot be trained, and repetitions, are left out.
    """
    weights, spatial = config.loss_weights, config.model.spatial_tokens
    used = [loss for loss, weight in weights.items() if weight]
    changes: dict[str, dict[str, Any]] = {f"no {loss}": {"loss_weights": {loss: 0.0}} for loss in used}
    for loss in used:
        changes[f"{loss} only"] = {"loss_weights": dict.fromkeys(used, 0.0) | {loss: weights[loss]}}
    changes["no label smoothing"] = {"label_smoothing": 0.0}
    if config.model.backbone != ModelConfig.backbone:
        name = "mean over space" if spatial else "tokens over space"
        changes[name] = {"model": {"spatial_tokens": not spatial}}
    found: dict[str, dict[str, Any]] = {}
    different = [config]
    for name, change in changes.items():
        with suppress(ValueError):
            changed = config_from(merged(asdict(config), change))
            if changed not in different:
                found[name] = change
                different.append(changed)
    return found


def check_frames(config: TrainConfig, settings: FrameSettings) -> None:
    """ConfigError unless stored clips have as many and as large frames as the view takes.

    Enough are half as many again and a seventh larger: the centre of a frame in colour is 0.875 of its side.
    """
    view, n_frames, size_px = config.view, settings.n_frames, settings.size_px
    if n_frames < view.n_frames or size_px < view.size_px:
        enough = max(n_frames, -(-3 * view.n_frames // 2)), max(size_px, -(-8 * view.size_px // 7))
        raise ConfigError(
            f"clips must have {view.n_frames} frames of {view.size_px} px, got {n_frames} of {size_px} px; "
            f"prepare {enough[0]} frames of {enough[1]} px (--frames, --size)"
        )
