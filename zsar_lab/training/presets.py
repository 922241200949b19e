"""Whole configurations of a training: one function a preset."""

from __future__ import annotations

from dataclasses import dataclass, field

from zsar_lab.data.loader import ViewSettings
from zsar_lab.model.rest import ModelConfig


@dataclass(frozen=True)
class TrainConfig:
    """Everything that shapes a training. A loss whose weight is 0 is switched off.

    Attributes:
        epochs: passes over the training clips.
        batch_size: clips a step.
        learning_rate: the peak of the one-cycle schedule (reached after `warm_up` of all steps, then cosine to 0).
        weight_decay: of AdamW, on matrices only.
        temperature: of the cosine classifier over seen classes.
        label_smoothing: of the classification loss, 0..1.
        n_match_labels: labels a clip in matching: the right one and hard negatives.
        seed: of weights, order, views and dropout.
        cpu_threads: threads of a training on the CPU; small maps are faster with one, and the sums then do not depend on the machine.
        text_layers: how many of the language model's last layers are trained with the rest, with all that comes after them; 0 keeps it frozen.
        text_learning_rate: the peak for these layers, which are trained already; the same one-cycle schedule.
        validate_every: epochs between looks at held-out seen clips and validation classes.
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
    text_layers: int = 0
    text_learning_rate: float = 3e-5
    view: ViewSettings = field(default_factory=ViewSettings)
    model: ModelConfig = field(default_factory=ModelConfig)


def demo(n_seen: int, text_width: int, word_width: int = 384, seed: int = 0, epochs: int = 25, text_layers: int = 0) -> TrainConfig:
    """The small model of the demo: about 1 M parameters, minutes on two CPU cores."""
    model = ModelConfig(n_seen=n_seen, text_width=text_width, word_width=word_width)
    return TrainConfig(seed=seed, epochs=epochs, text_layers=text_layers, model=model)
