"""What a training checks: before it starts its configuration, its text encoder and what the folder holds already; in a step its numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

import torch

from zsar_lab.data.sampling import FrameSettings
from zsar_lab.models.rest import BACKBONES
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.encoder_files import EncoderFiles
from zsar_lab.train.checkpoint import Checkpoint
from zsar_lab.train.compiling import MEMORY_FORMATS
from zsar_lab.train.optimisers import OPTIMISERS, SCHEDULES
from zsar_lab.train.presets import TrainConfig

CHOICES = {
    "optimiser": OPTIMISERS,
    "schedule": SCHEDULES,
    "memory_format": MEMORY_FORMATS,
    "view.channels": ("motion", "rgb"),
    "model.backbone": BACKBONES,
}


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 1


# what a setting must be, whether a value is it, and the settings that must
RULES: list[tuple[str, Callable[[Any], bool], tuple[str, ...]]] = [
    (
        "a whole number of 1 or more",
        _is_count,
        (
            "epochs",
            "batch_size",
            "accumulate",
            "n_match_labels",
            "cpu_threads",
            "validate_every",
            "view.n_frames",
            "view.size_px",
            "model.width",
            "model.depth",
            "model.cross_depth",
            "model.heads",
            "model.feedforward",
            "model.n_label_tokens",
        ),
    ),
    (
        "whole numbers of 1 or more",
        lambda value: len(value) > 0 and all(map(_is_count, value)),
        ("model.backbone_widths",),
    ),
    ("above 0 and finite", lambda value: 0 < value < math.inf, ("clip_norm", "temperature")),
    (
        "0 or more and finite",
        lambda value: 0 <= value < math.inf,
        (
            "learning_rate",
            "text_learning_rate",
            "weight_decay",
            "classification_weight",
            "alignment_weight",
            "matching_weight",
        ),
    ),
    ("in 0..1", lambda value: 0 <= value <= 1, ("warm_up", "label_smoothing", "model.dropout")),
    ("at least 0 (no average) and below 1", lambda value: 0 <= value < 1, ("ema_decay",)),
    *(
        (f"one of {', '.join(map(repr, choices))}", choices.__contains__, (name,))
        for name, choices in CHOICES.items()
    ),
]


def check_config(config: TrainConfig, protocol: Protocol) -> None:
    """Check a configuration before it is trained with.

    Raises:
        ValueError: another number of seen classes than the protocol has, or as `check_values`.
    """
    if config.model.n_seen != len(protocol.seen):
        raise ValueError(
            f"config.model.n_seen must be the protocol's number of seen classes ({len(protocol.seen)}), got {config.model.n_seen}"
        )
    check_values(config)


def check_values(config: TrainConfig) -> None:
    """Check what of a configuration can be checked without any data.

    Raises:
        ValueError: no loss, or a setting out of its range.
    """
    if not (config.classification_weight or config.alignment_weight or config.matching_weight):
        raise ValueError(
            "at least one loss must have a weight above 0, got 0 for all three; set one in the configuration"
        )
    for rule, holds, names in RULES:
        for name in names:
            value = attrgetter(name)(config)
            if not holds(value):
                raise ValueError(f"{name} must be {rule}, got {value!r}")
    width, heads = config.model.width, config.model.heads
    if width % heads:
        raise ValueError(
            f"model.width must be a multiple of model.heads, got {width} and {heads}; change one of them"
        )


def check_frames(config: TrainConfig, settings: FrameSettings) -> None:
    """Check that stored clips have the frames that a view is taken from: as many and as large, or more and larger.

    Args:
        config: its view is what is needed.
        settings: of the frame store that there is, or that will be made.

    Raises:
        ValueError: they have too few or too small frames; the sentence has the settings to make them with,
            half as many again as the view's and a seventh larger, for the centre of a frame in colour is
            0.875 of its side.
    """
    n_frames, size_px = config.view.n_frames, config.view.size_px
    if settings.n_frames < n_frames or settings.size_px < size_px:
        enough = replace(
            settings,
            n_frames=max(settings.n_frames, -(-3 * n_frames // 2)),
            size_px=max(settings.size_px, -(-8 * size_px // 7)),
        )
        raise ValueError(
            f"a clip must have at least the {n_frames} frames of {size_px} px that the view takes, got {settings.n_frames} of {settings.size_px} px;"
            f" make the frames with {enough} (--frames and --size on the command line)"
        )


def check_text(config: TrainConfig, classes: ClassEmbeddings, files: EncoderFiles | None) -> None:
    """Check that what the last layers of the text encoder are trained with is there; of how many layers, `TextTail` says.

    Raises:
        ValueError: no loss reaches them, or the files are not those of the encoder that made the class
            embeddings.
    """
    if not config.text_layers:
        return
    if not (config.alignment_weight or config.matching_weight):
        raise ValueError(
            f"training the text encoder needs the alignment or the matching loss, got text_layers {config.text_layers} with weight 0 for both;"
            " set one, or text_layers to 0"
        )
    if files is None or files.revision != classes.encoder:
        got = "none" if files is None else f"those of {files.name} (revision {files.revision})"
        raise ValueError(
            f"training the text encoder needs the files of the one that made the class embeddings (revision {classes.encoder}), got {got};"
            " give train(..., files=find_encoder(...)), or set text_layers to 0"
        )


def same_run(found: Checkpoint, wanted: Checkpoint) -> Checkpoint:
    """The checkpoint found in a run's folder, if it is of the same configuration and inputs.

    Raises:
        ValueError: it is not; the sentence names what is different.
    """
    kinds = (
        ("another configuration", found.config, wanted.config),
        ("other data", found.inputs, wanted.inputs),
    )
    for what, kept, asked in kinds:
        if kept != asked:
            name, old, new = _first_difference(kept, asked)
            raise ValueError(
                f"'{wanted.path.parent}' holds a checkpoint of {what} ({name} {old!r}, got {new!r}); choose another folder, or delete"
                " that checkpoint to train anew"
            )
    if found.total_steps != wanted.total_steps:
        raise ValueError(
            f"'{wanted.path.parent}' holds a checkpoint of other data ({found.total_steps} steps, got {wanted.total_steps}); choose another"
            " folder, or delete that checkpoint to train anew"
        )
    return found


def _first_difference(kept: object, asked: object) -> tuple[str, object, object]:
    """Name and both values of the first field, at any depth, in which two dataclasses of one kind differ."""
    name = next(f.name for f in fields(kept) if getattr(kept, f.name) != getattr(asked, f.name))
    old, new = getattr(kept, name), getattr(asked, name)
    return _first_difference(old, new) if hasattr(old, "__dataclass_fields__") else (name, old, new)


def check_finite(values: Mapping[str, float], step: int, what: str) -> None:
    """Check that numbers of a step, by name, are finite.

    Raises:
        ValueError: one is not; `what` it is, its name, and the step.
    """
    bad = [name for name, value in values.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(
            f"every {what} must stay finite, {bad[0]} became {values[bad[0]]} at step {step}; what was saved before is kept,"
            " lower the learning rate and start in a new folder"
        )


def smaller_batch(config: TrainConfig, device: torch.device, step: int, reason: str, n_ranks: int = 1) -> str:
    """The sentence where a batch does not fit into memory: the largest even division of what was in the model, and the same step by more batches."""
    whole = config.batch_size * config.accumulate
    in_model = min(config.batch_size, -(-whole // n_ranks))
    clips = f"a batch of {in_model} clip{'s' if in_model > 1 else ''} must fit into the memory of {device}"
    kept = f"{clips}, but does not at step {step} ({reason}); what was saved before is kept"
    size = next((n for n in range(in_model // 2, 0, -1) if not whole % n), None)
    if size is None:
        return f"{kept}, take a smaller view or model and start in a new folder"
    return f"{kept}, set batch_size to {size} and accumulate to {whole // size} (the same step but for batch norm and dropout) and start in a new folder"
