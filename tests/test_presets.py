"""zsar_lab.training.presets, and what of a configuration is written and hashed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pytest
import torch

from zsar_lab.artefacts import later, recorded
from zsar_lab.data.loader import ViewSettings
from zsar_lab.model.rest import ModelConfig, ResT
from zsar_lab.training.checkpoint import Checkpoint, Inputs, load_checkpoint, save_checkpoint
from zsar_lab.training.presets import TrainConfig, ablations, demo, rest18, rest101, rest_r2plus1d18, rest_r3d18

# fingerprints that the code gave before there was a choice of backbone and of channels
BEFORE = {
    "8951038c32dac86e": TrainConfig(),
    "0bd966d38fc4ca00": demo(32, 384),
    "91a6da97c123829d": demo(5, 20, 10, 3, 7, text_layers=2),
    "09c246a81d4cdd8e": replace(TrainConfig(), text_learning_rate=1e-4),
    "446f3f08e49c6531": TrainConfig(view=ViewSettings(4, 20), model=ModelConfig(n_frames=4, backbone_widths=(8, 16), width=16, n_seen=5)),
}
FIRST_VIEW = {"n_frames": 8, "size_px": 48}
FIRST_MODEL = {
    "n_frames": 8, "backbone_widths": [24, 48, 96], "width": 128, "depth": 2, "cross_depth": 1, "heads": 4, "feedforward": 256, "dropout": 0.1,
    "text_width": 384, "word_width": 384, "n_label_tokens": 4, "n_seen": 32,
}  # fmt: skip
FIRST = {
    "epochs": 30, "batch_size": 32, "learning_rate": 0.0015, "warm_up": 0.25, "weight_decay": 0.05, "clip_norm": 2.0, "temperature": 0.07,
    "label_smoothing": 0.1, "classification_weight": 1.0, "alignment_weight": 1.0, "matching_weight": 0.5, "n_match_labels": 4, "seed": 0,
    "cpu_threads": 1, "validate_every": 5, "view": FIRST_VIEW, "model": FIRST_MODEL,
}  # fmt: skip
PAPER_SIZE = (rest18, rest101, rest_r3d18, rest_r2plus1d18)


def checkpoint(config: TrainConfig, path: Path = Path("nowhere")) -> Checkpoint:
    return Checkpoint(path, config, Inputs("p", "f", "c"), 3, 9, [])


def written(config: TrainConfig) -> dict:
    return json.loads(json.dumps(recorded(config)))


@pytest.mark.parametrize("wanted", BEFORE)
def test_configurations_of_before_keep_their_fingerprint(wanted):
    assert checkpoint(BEFORE[wanted]).fingerprint == wanted


def test_what_is_written_at_the_defaults_is_what_was():
    assert written(TrainConfig()) == FIRST


@pytest.mark.parametrize(
    ("config", "more", "view", "model"),
    [
        (TrainConfig(text_layers=2), {"text_layers": 2, "text_learning_rate": 3e-5}, {}, {}),
        (TrainConfig(text_learning_rate=1.0), {"text_layers": 0, "text_learning_rate": 1.0}, {}, {}),
        (TrainConfig(view=ViewSettings(channels="rgb")), {}, {"channels": "rgb"}, {}),
        (TrainConfig(model=ModelConfig(backbone="r3d-18")), {}, {}, {"backbone": "r3d-18"}),
        (TrainConfig(model=ModelConfig(size_px=20, zero_residual=True)), {}, {}, {"size_px": 20, "zero_residual": True}),
    ],
)
def test_a_later_field_is_written_where_it_is_not_the_default(config, more, view, model):
    assert written(config) == FIRST | more | {"view": FIRST_VIEW | view, "model": FIRST_MODEL | model}
    assert checkpoint(config).fingerprint not in BEFORE


def test_fields_that_belong_together_are_left_out_together():
    @dataclass
    class Settings:
        first: int = 1
        alone: int = later(2)
        left: int = later(3, together="pair")
        right: int = later(4, together="pair")

    assert recorded(Settings()) == {"first": 1}
    assert recorded(Settings(alone=5)) == {"first": 1, "alone": 5}
    assert recorded(Settings(right=5)) == {"first": 1, "left": 3, "right": 5}
    assert recorded(Settings(6, 6, 6, 6)) == {"first": 6, "alone": 6, "left": 6, "right": 6}


def other_than(value):
    if isinstance(value, bool):
        return not value
    return value + {str: "x", tuple: (1,)}.get(type(value), 1)


def test_every_field_makes_a_difference_to_the_record():
    config = rest_r3d18(7, 12, 6)
    others = [replace(config, **{f.name: other_than(getattr(config, f.name))}) for f in fields(config) if f.name not in ("view", "model")]
    others += [replace(config, view=replace(config.view, **{f.name: other_than(getattr(config.view, f.name))})) for f in fields(config.view)]
    others += [replace(config, model=replace(config.model, **{f.name: other_than(getattr(config.model, f.name))})) for f in fields(config.model)]
    records = [json.dumps(written(other), sort_keys=True) for other in [config, *others]]
    assert len(set(records)) == len(records) > 35


def test_a_checkpoint_of_every_kind_is_read_back(tmp_path):
    small = {"n_frames": 2, "width": 16, "depth": 1, "heads": 2, "feedforward": 16, "text_width": 8, "word_width": 4, "n_seen": 3}
    changed = ModelConfig(**small, backbone_widths=(8, 8), size_px=32, zero_residual=True)
    for number, config in enumerate((TrainConfig(model=ModelConfig(**small)), TrainConfig(view=ViewSettings(2, 32, "rgb"), model=changed))):
        path = tmp_path / f"{number}.safetensors"
        model = ResT(config.model)
        save_checkpoint(checkpoint(config, path), model, torch.optim.AdamW(model.parameters()))
        found = load_checkpoint(path)
        assert found == checkpoint(config, path) and found.fingerprint == checkpoint(config).fingerprint
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in found.model().state_dict().items())


@pytest.mark.parametrize("preset", PAPER_SIZE)
def test_a_preset_of_the_papers_size_fits_together(preset):
    config = preset(7, 12, 6, seed=3)
    assert (config.model.n_frames, config.model.size_px) == (config.view.n_frames, config.view.size_px)
    assert config.view.channels == "rgb" and config.seed == 3
    assert (config.model.n_seen, config.model.text_width, config.model.word_width) == (7, 12, 6)
    with torch.device("meta"):
        model = ResT(config.model).train()
        code = model.encode_video(torch.empty(2, config.view.n_frames, 3, config.view.size_px, config.view.size_px))
        labels = model.encode_labels(torch.empty(7, 12), torch.empty(7, config.model.n_label_tokens, 6))
        assert model.match(code.tokens_BPD, labels.tokens_CLD[:2]).shape == (2,) and model.seen_logits(code.embedding_BD, 0.1).shape == (2, 7)
    assert code.tokens_BPD.shape[1] == 1 + (8 if config.view.n_frames == 8 else 2 * 7 * 7)


def test_presets_differ_in_what_their_names_say():
    configs = [preset(7, 12) for preset in PAPER_SIZE]
    assert [c.model.backbone for c in configs] == ["resnet-18", "resnet-101", "r3d-18", "r(2+1)d-18"]
    assert replace(configs[2], model=replace(configs[2].model, backbone="r(2+1)d-18")) == configs[3]
    assert replace(configs[1], learning_rate=configs[0].learning_rate, model=configs[0].model) == configs[0]


def changed_fields(before: TrainConfig, after: TrainConfig) -> dict:
    old, new = asdict(before), asdict(after)
    flat = {name: value for name, value in new.items() if value != old[name] and name != "model"}
    return flat | {name: value for name, value in new["model"].items() if value != old["model"][name]}


def test_ablations_change_one_choice_each():
    config = replace(rest_r3d18(7, 12), text_layers=1)
    weights = {f"{loss}_weight": 0.0 for loss in ("classification", "alignment", "matching")}
    found = {name: changed_fields(config, other) for name, other in ablations(config).items()}
    # without alignment and matching nothing would reach the text encoder's layers: "classification only" is left out
    assert found == {
        "whole": {},
        "no classification": {"classification_weight": 0.0},
        "no alignment": {"alignment_weight": 0.0},
        "no matching": {"matching_weight": 0.0},
        "alignment only": {name: 0.0 for name in weights if name != "alignment_weight"},
        "matching only": {name: 0.0 for name in weights if name != "matching_weight"},
        "no label smoothing": {"label_smoothing": 0.0},
        "frozen text": {"text_layers": 0},
        "mean over space": {"spatial_tokens": False},
    }


def test_ablations_of_a_smaller_configuration():
    assert list(ablations(demo(5, 20))) == [
        "whole", "no classification", "no alignment", "no matching", "classification only", "alignment only", "matching only",
        "no label smoothing",
    ]  # fmt: skip
    assert "tokens over space" in ablations(rest18(7, 12))
    # one loss left: it cannot be switched off; of two, switching one off and keeping the other alone are the same
    assert list(ablations(replace(demo(5, 20), alignment_weight=0.0, matching_weight=0.0))) == ["whole", "no label smoothing"]
    two = list(ablations(replace(demo(5, 20), matching_weight=0.0)))
    assert two == ["whole", "no classification", "no alignment", "no label smoothing"]
