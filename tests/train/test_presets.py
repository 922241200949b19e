"""zsar_lab.train.presets, and what of a configuration is written and hashed."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pytest
import torch
from small_training import CONFIG, stripes_classes, stripes_protocol, stripes_store

from zsar_lab.data.loader import ViewSettings
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.files import later, recorded
from zsar_lab.models.rest import ModelConfig, ResT
from zsar_lab.train.checkpoint import Checkpoint, Inputs, load_checkpoint, save_checkpoint
from zsar_lab.train.checks import check_frames, check_values
from zsar_lab.train.loop import train
from zsar_lab.train.presets import (
    PRESETS,
    SET_ELSEWHERE,
    TrainConfig,
    ablations,
    config_of,
    demo,
    preset_named,
    read_changes,
    rest18,
    rest101,
    rest_r2plus1d18,
    rest_r3d18,
)

# fingerprints that the code gave before there was a choice of backbone and of channels
BEFORE = {
    "8951038c32dac86e": TrainConfig(),
    "0bd966d38fc4ca00": demo(32, 384),
    "91a6da97c123829d": demo(5, 20, 10, 3, 7, text_layers=2),
    "09c246a81d4cdd8e": replace(TrainConfig(), text_learning_rate=1e-4),
    "446f3f08e49c6531": TrainConfig(
        view=ViewSettings(4, 20), model=ModelConfig(n_frames=4, backbone_widths=(8, 16), width=16, n_seen=5)
    ),
}
FIRST_VIEW = {"n_frames": 8, "size_px": 48}
FIRST_MODEL = {
    "n_frames": 8,
    "backbone_widths": [24, 48, 96],
    "width": 128,
    "depth": 2,
    "cross_depth": 1,
    "heads": 4,
    "feedforward": 256,
    "dropout": 0.1,
    "text_width": 384,
    "word_width": 384,
    "n_label_tokens": 4,
    "n_seen": 32,
}
FIRST = {
    "epochs": 30,
    "batch_size": 32,
    "learning_rate": 0.0015,
    "warm_up": 0.25,
    "weight_decay": 0.05,
    "clip_norm": 2.0,
    "temperature": 0.07,
    "label_smoothing": 0.1,
    "classification_weight": 1.0,
    "alignment_weight": 1.0,
    "matching_weight": 0.5,
    "n_match_labels": 4,
    "seed": 0,
    "cpu_threads": 1,
    "validate_every": 5,
    "view": FIRST_VIEW,
    "model": FIRST_MODEL,
}
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
        (
            TrainConfig(model=ModelConfig(size_px=20, zero_residual=True)),
            {},
            {},
            {"size_px": 20, "zero_residual": True},
        ),
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
    others = [
        replace(config, **{f.name: other_than(getattr(config, f.name))})
        for f in fields(config)
        if f.name not in ("view", "model")
    ]
    others += [
        replace(config, view=replace(config.view, **{f.name: other_than(getattr(config.view, f.name))}))
        for f in fields(config.view)
    ]
    others += [
        replace(config, model=replace(config.model, **{f.name: other_than(getattr(config.model, f.name))}))
        for f in fields(config.model)
    ]
    records = [json.dumps(written(other), sort_keys=True) for other in [config, *others]]
    assert len(set(records)) == len(records) > 35


def test_a_checkpoint_of_every_kind_is_read_back(tmp_path):
    small = {
        "n_frames": 2,
        "width": 16,
        "depth": 1,
        "heads": 2,
        "feedforward": 16,
        "text_width": 8,
        "word_width": 4,
        "n_seen": 3,
    }
    changed = ModelConfig(**small, backbone_widths=(8, 8), size_px=32, zero_residual=True)
    for number, config in enumerate(
        (TrainConfig(model=ModelConfig(**small)), TrainConfig(view=ViewSettings(2, 32, "rgb"), model=changed))
    ):
        path = tmp_path / f"{number}.safetensors"
        model = ResT(config.model)
        save_checkpoint(checkpoint(config, path), model, torch.optim.AdamW(model.parameters()))
        found = load_checkpoint(path)
        assert found == checkpoint(config, path) and found.fingerprint == checkpoint(config).fingerprint
        assert all(
            torch.equal(value, model.state_dict()[name]) for name, value in found.model().state_dict().items()
        )


@pytest.mark.parametrize("preset", PAPER_SIZE)
def test_a_preset_of_the_papers_size_fits_together(preset):
    config = preset(7, 12, 6, seed=3)
    assert (config.model.n_frames, config.model.size_px) == (config.view.n_frames, config.view.size_px)
    assert config.view.channels == "rgb" and config.seed == 3
    assert (config.model.n_seen, config.model.text_width, config.model.word_width) == (7, 12, 6)
    with torch.device("meta"):
        model = ResT(config.model).train()
        code = model.encode_video(
            torch.empty(2, config.view.n_frames, 3, config.view.size_px, config.view.size_px)
        )
        labels = model.encode_labels(torch.empty(7, 12), torch.empty(7, config.model.n_label_tokens, 6))
        assert model.match(code.tokens_BPD, labels.tokens_CLD[:2]).shape == (2,) and model.seen_logits(
            code.embedding_BD, 0.1
        ).shape == (2, 7)
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
    # without alignment and matching nothing would reach the text encoder's layers: "classification only" is
    # left out
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
        "whole",
        "no classification",
        "no alignment",
        "no matching",
        "classification only",
        "alignment only",
        "matching only",
        "no label smoothing",
    ]
    assert "tokens over space" in ablations(rest18(7, 12))
    # one loss left: it cannot be switched off; of two, switching one off and keeping the other alone are the
    # same
    assert list(ablations(replace(demo(5, 20), alignment_weight=0.0, matching_weight=0.0))) == [
        "whole",
        "no label smoothing",
    ]
    two = list(ablations(replace(demo(5, 20), matching_weight=0.0)))
    assert two == ["whole", "no classification", "no alignment", "no label smoothing"]


def test_every_preset_stands_under_its_name():
    assert list(PRESETS) == ["demo", "rest18", "rest101", "rest_r3d18", "rest_r2plus1d18"]
    assert [preset_named(name) for name in PRESETS] == [demo, *PAPER_SIZE]


@pytest.mark.parametrize("name", PRESETS)
def test_without_changes_a_configuration_is_the_preset(name):
    assert config_of(name, {}, 7, 12, 6, seed=3) == PRESETS[name](7, 12, 6, seed=3)
    check_values(config_of(name, {}))
    decided = config_of(name, {"batch_size": 5}, 7, 12, 6, seed=3, epochs=9, text_layers=2)
    assert changed_fields(PRESETS[name](7, 12, 6), decided) == {
        "batch_size": 5,
        "seed": 3,
        "epochs": 9,
        "text_layers": 2,
    }


def test_changes_reach_single_settings():
    start = rest18(7, 12)
    changed = config_of(
        "rest18",
        {"learning_rate": 1, "optimiser": "sgd", "model": {"backbone_widths": [8], "dropout": 0.0}},
        7,
        12,
    )
    assert changed_fields(start, changed) == {
        "learning_rate": 1,
        "optimiser": "sgd",
        "backbone_widths": (8,),
        "dropout": 0.0,
    }
    # another view is also the model's
    changed = config_of("rest18", {"view": {"n_frames": 4, "size_px": 96}}, 7, 12)
    assert changed == replace(
        start, view=ViewSettings(4, 96, "rgb"), model=replace(start.model, n_frames=4, size_px=96)
    )


def test_what_is_set_elsewhere_is_there():
    for key in SET_ELSEWHERE:
        *part, name = key.split(".")
        assert name in asdict(TrainConfig())["model"] if part else name in asdict(TrainConfig())
        with pytest.raises(ValueError, match=f"changes must leave out what is set elsewhere, got '{key}'; "):
            config_of("demo", {"model": {name: 5}} if part else {name: 5})


@pytest.mark.parametrize(
    ("texts", "changes"),
    [
        ([], {}),
        (["batch_size=32", "model.dropout=0.2"], {"batch_size": 32, "model": {"dropout": 0.2}}),
        (
            ["model.width=64", "model.heads=2", " view.size_px = 32"],
            {"model": {"width": 64, "heads": 2}, "view": {"size_px": 32}},
        ),
        (
            ["model.backbone_widths=[8, 16]", "model.spatial_tokens=false"],
            {"model": {"backbone_widths": [8, 16], "spatial_tokens": False}},
        ),
        (
            ["optimiser=sgd", "model.backbone=r(2+1)d-18"],
            {"optimiser": "sgd", "model": {"backbone": "r(2+1)d-18"}},
        ),
        (["optimiser=a=b", "schedule="], {"optimiser": "a=b", "schedule": ""}),
        (['model={"width": 64}', "model.heads=2"], {"model": {"width": 64, "heads": 2}}),
        (
            ["batch_size=1", "batch_size=2", "model=3", "model.heads=2"],
            {"batch_size": 2, "model": {"heads": 2}},
        ),
    ],
)
def test_changes_are_read_from_texts(texts, changes):
    assert read_changes(texts) == changes


@pytest.mark.parametrize("text", ["batch_size", "", "=3", "model.=3", "."])
def test_a_text_that_is_no_change_is_refused(text):
    with pytest.raises(
        ValueError, match="a setting must be NAME=VALUE, such as batch_size=32 or model.dropout=0.2, got '"
    ):
        read_changes([text])


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"view": {"n_frames": 0}}, "view.n_frames must be a whole number of 1 or more, got 0"),
        (
            {"model": {"backbone_widths": ()}},
            r"model.backbone_widths must be whole numbers of 1 or more, got \(\)",
        ),
        (
            {"model": {"backbone_widths": (8, "16")}},
            r"model.backbone_widths must be whole numbers of 1 or more, got \(8, '16'\)",
        ),
        ({"learning_rate": float("nan")}, "learning_rate must be 0 or more and finite, got nan"),
        ({"clip_norm": float("inf")}, "clip_norm must be above 0 and finite, got inf"),
        ({"matching_weight": -0.5}, "matching_weight must be 0 or more and finite, got -0.5"),
        ({"model": {"dropout": 2}}, "model.dropout must be in 0..1, got 2"),
        ({"ema_decay": 1.0}, r"ema_decay must be at least 0 \(no average\) and below 1, got 1.0"),
        ({"view": {"channels": "grey"}}, "view.channels must be one of 'motion', 'rgb', got 'grey'"),
        (
            {"model": {"backbone": "r3d-34"}},
            "model.backbone must be one of 'small shift resnet', 'r3d-18', .*, got 'r3d-34'",
        ),
        (
            {"classification_weight": 0.0, "alignment_weight": 0.0, "matching_weight": 0.0},
            "at least one loss must have a weight above 0",
        ),
    ],
)
def test_a_setting_out_of_its_range_is_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_values(config_of("demo", changes))


@pytest.mark.parametrize(
    ("name", "settings", "said", "cure"),
    [
        (
            "demo",
            FrameSettings(7),
            "8 frames of 48 px that the view takes, got 7 of 64 px",
            FrameSettings(12),
        ),
        (
            "demo",
            FrameSettings(size_px=47),
            "8 frames of 48 px that the view takes, got 24 of 47 px",
            FrameSettings(24, size_px=55),
        ),
        (
            "rest_r3d18",
            FrameSettings(),
            "16 frames of 112 px that the view takes, got 24 of 64 px",
            FrameSettings(24, size_px=128),
        ),
        (
            "rest18",
            FrameSettings(6, 2.0, 64, 90),
            "8 frames of 224 px that the view takes, got 6 of 64 px",
            FrameSettings(12, 2.0, 256, 90),
        ),
    ],
)
def test_frames_that_are_not_enough_for_the_view_are_refused(name, settings, said, cure):
    with pytest.raises(
        ValueError, match=re.escape(f"a clip must have at least the {said}; make the frames with {cure}")
    ):
        check_frames(config_of(name, {}), settings)
    check_frames(config_of(name, {}), cure)


def test_frames_of_the_size_of_the_view_are_enough():
    check_frames(demo(5, 20), FrameSettings())
    for name in PRESETS:
        view = config_of(name, {}).view
        check_frames(config_of(name, {}), FrameSettings(view.n_frames, size_px=view.size_px))


def test_a_training_refuses_frames_that_are_too_small(tmp_path):
    store = stripes_store(tmp_path)
    large = replace(CONFIG, view=ViewSettings(4, 32), model=replace(CONFIG.model, size_px=32))
    with pytest.raises(
        ValueError,
        match="at least the 4 frames of 32 px that the view takes, got 12 of 24 px; make the frames with .*size_px=37",
    ):
        train(store, stripes_protocol(store), stripes_classes(), large, tmp_path / "run", device="cpu")
    assert not (tmp_path / "run").exists()
