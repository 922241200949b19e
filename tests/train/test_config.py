"""zsar_lab.train.config: ranges, presets, overrides, ablations; what is written and hashed."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from pathlib import Path

import pytest
import torch

from zsar_lab.data.loader import ViewSettings
from zsar_lab.data.sampling import FrameSettings
from zsar_lab.models.losses import LOSSES, Loss
from zsar_lab.models.rest import ModelConfig, ResT
from zsar_lab.train.checkpoint import Checkpoint, Inputs
from zsar_lab.train.config import (
    PRESETS,
    ConfigError,
    TrainConfig,
    ablations,
    check_frames,
    config_from,
    config_of,
    merged,
    read_overrides,
    read_recorded,
    recorded_config,
)

# fingerprints that the code gave before there was a choice of backbone, of channels, or of losses
SMALL = ModelConfig(n_frames=4, backbone_widths=(8, 16), width=16, n_seen=5)
BEFORE = {
    "8951038c32dac86e": TrainConfig(),
    "0bd966d38fc4ca00": config_of("demo", {}),
    "91a6da97c123829d": config_of("demo", {}, 5, 20, 10, seed=3, epochs=7, text_layers=2),
    "09c246a81d4cdd8e": replace(TrainConfig(), text_learning_rate=1e-4),
    "446f3f08e49c6531": TrainConfig(view=ViewSettings(4, 20), model=SMALL),
}


def fingerprint_of(config: TrainConfig) -> str:
    return Checkpoint(Path("nowhere"), config, Inputs("p", "f", "c"), 3, 9, []).fingerprint


def written(config: TrainConfig) -> dict:
    return json.loads(json.dumps(recorded_config(config)))


@pytest.mark.parametrize("wanted", BEFORE)
def test_configurations_of_before_have_the_same_fingerprint(wanted):
    assert fingerprint_of(BEFORE[wanted]) == wanted
    assert read_recorded(written(BEFORE[wanted])) == BEFORE[wanted]


def test_a_new_loss_is_one_entry_and_changes_nothing_while_it_is_off(monkeypatch):
    monkeypatch.setitem(LOSSES, "new", Loss(lambda given: given.video.embedding_BD.sum(), 0.0, False))
    assert TrainConfig().loss_weights["new"] == 0 and fingerprint_of(TrainConfig()) == "8951038c32dac86e"
    on = config_of("demo", {"loss_weights": {"new": 0.5}})
    assert written(on)["new_weight"] == 0.5 and read_recorded(written(on)) == on
    assert {"no new", "new only"} <= set(ablations(on)) and fingerprint_of(on) not in BEFORE


def test_every_field_makes_a_difference_to_the_record_and_comes_back():
    config = config_of("rest_r3d18", {}, 7, 12, 6)
    other = {"backbone": "r(2+1)d-18", "optimiser": "sgd", "schedule": "steps", "channels": "motion"}
    other |= {"memory_format": "channels_last", "backbone_widths": (8,), "loss_weights": {"matching": 1.0}}
    other |= {"width": 520, "heads": 16}
    other |= dict.fromkeys(("warm_up", "dropout", "label_smoothing", "ema_decay"), 0.3)

    def changed(part):
        for name in (f.name for f in fields(part) if f.name not in ("view", "model")):
            value = getattr(part, name)
            if name not in other:
                other[name] = not value if isinstance(value, bool) else value + 1
            yield replace(part, **{name: other[name]})

    made = [config, *changed(config)]
    made += [replace(config, view=view) for view in changed(config.view)]
    made += [replace(config, model=model) for model in changed(config.model)]
    assert len({json.dumps(written(c), sort_keys=True) for c in made}) == len(made) > 35
    assert all(read_recorded(written(c)) == c == config_from(asdict(c)) for c in made)


ELSEWHERE, OF_MODEL = (
    ("epochs", "text_layers", "seed"),
    "n_seen text_width word_width n_frames size_px".split(),
)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"learning_rat": 0.1}, "'learning_rat'; .* 'learning_rate'"),
        ({"model": {"witdh": 5}}, "'model.witdh'; .* 'model.width'"),
        ({"?": 1}, "'[?]'"),
        ({"batch_size": "30"}, "batch_size .* got '30'"),
        ({"batch_size": True}, "batch_size .* got True"),
        ({"batch_size": 8.0}, "batch_size .* got 8.0"),
        ({"batch_size": -8}, "batch_size .* got -8"),
        ({"batch_size": object()}, "not JSON serializable"),
        ({"learning_rate": None}, "learning_rate .* got None"),
        ({"learning_rate": float("nan")}, "learning_rate .* got nan"),
        ({"clip_norm": float("inf")}, "clip_norm .* got inf"),
        ({"ema_decay": 1.0}, "ema_decay .* got 1.0"),
        ({"compile_transformer": 1}, "compile_transformer .* got 1"),
        ({"optimiser": "adam"}, "'adamw' or 'sgd', got 'adam'"),
        ({"model": {"backbone": "r3d-34"}}, "'r3d-18'.*got 'r3d-34'"),
        ({"model": {"backbone_widths": ()}}, "backbone_widths"),
        ({"model": {"backbone_widths": (8, "16")}}, "backbone_widths.1 .* got '16'"),
        ({"model": {"heads": 3}}, r"heads \(3\), got 128"),
        ({"model": 5}, "model .* got 5"),
        ({"view": {"n_frames": 0}}, "n_frames=0"),
        ({"view": {"channels": "grey"}}, "'grey'"),
        ({"loss_weights": {"matching": -0.5}}, "matching .* got -0.5"),
        ({"loss_weights": {"contrast": 1.0}}, "got contrast"),
        ({"loss_weights": dict.fromkeys(LOSSES, 0.0)}, "one above 0"),
        ([], r"got \[\]"),
        *(({name: 5}, f"'{name}' out") for name in ELSEWHERE),
        *(({"model": {name: 5}}, f"'model.{name}' out") for name in OF_MODEL),
    ],
)
def test_overrides_that_are_not_possible_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message):
        config_of("demo", overrides)
    for preset in ("rest50", None, 3):
        with pytest.raises(ConfigError, match=f"got {preset!r}"):
            config_of(preset, {})
    with pytest.raises(ConfigError, match=r"got \[\]"):
        config_from([])


def changed_fields(before: TrainConfig, after: TrainConfig) -> dict:
    old, new = asdict(before), asdict(after)
    flat = {name: value for name, value in new.items() if value != old[name] and name != "model"}
    return flat | {name: value for name, value in new["model"].items() if value != old["model"][name]}


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fits_together(name):
    config = config_of(name, {"batch_size": 5}, 7, 12, 6, seed=3, epochs=9, text_layers=2)
    sizes = {"n_seen": 7, "text_width": 12, "word_width": 6}
    decided = {"batch_size": 5, "seed": 3, "epochs": 9, "text_layers": 2}
    assert changed_fields(PRESETS[name], config) == sizes | decided
    assert changed_fields(PRESETS[name], config_of(name, {})) == {}
    view = config.view
    assert (config.model.n_frames, config.model.size_px) == (view.n_frames, view.size_px)
    with torch.device("meta"):
        model = ResT(config.model).train()
        code = model.encode_video(torch.empty(2, view.n_frames, 3, view.size_px, view.size_px))
        labels = model.encode_labels(torch.empty(7, 12), torch.empty(7, config.model.n_label_tokens, 6))
        assert model.match(code.tokens_BPD, labels.tokens_CLD[:2]).shape == (2,)
        assert model.seen_logits(code.embedding_BD, 0.1).shape == (2, 7)
    assert code.tokens_BPD.shape[1] == 1 + (8 if view.n_frames == 8 else 2 * 7 * 7)


def test_overrides_reach_single_settings():
    model = {"backbone_widths": [8], "dropout": 0.0}
    given = {"learning_rate": 1, "optimiser": "sgd", "loss_weights": {"matching": 0}, "model": model}
    found = changed_fields(PRESETS["rest18"], config_of("rest18", given))
    weights = {"classification": 1.0, "alignment": 1.0, "matching": 0.0}
    wanted = {"learning_rate": 1, "optimiser": "sgd", "backbone_widths": (8,), "dropout": 0.0}
    assert found == wanted | {"loss_weights": weights}
    viewed = config_of("rest18", {"view": {"n_frames": 4, "size_px": 96}})  # another view is also the model's
    assert viewed.view == ViewSettings(4, 96, "rgb")
    assert (viewed.model.n_frames, viewed.model.size_px) == (4, 96)


@pytest.mark.parametrize(
    ("texts", "overrides"),
    [
        ([], {}),
        (["batch_size=32", "model.dropout=0.2"], {"batch_size": 32, "model": {"dropout": 0.2}}),
        (["model.width=64", "model.heads=2"], {"model": {"width": 64, "heads": 2}}),
        ([" view.size_px = 32"], {"view": {"size_px": 32}}),
        (["m.widths=[8, 16]", "on=false", "sgd=sgd"], {"m": {"widths": [8, 16]}, "on": False, "sgd": "sgd"}),
        (["model.backbone=r(2+1)d-18"], {"model": {"backbone": "r(2+1)d-18"}}),
        (["optimiser=a=b", "schedule="], {"optimiser": "a=b", "schedule": ""}),
        (['model={"width": 64}', "model.heads=2"], {"model": {"width": 64, "heads": 2}}),
        (["a=1", "a=2", "model=3", "model.heads=2"], {"a": 2, "model": {"heads": 2}}),
    ],
)
def test_overrides_are_read_from_texts(texts, overrides):
    assert read_overrides(texts) == overrides
    for text in ("batch_size", "", "=3", "model.=3", "."):
        with pytest.raises(ConfigError, match="NAME=VALUE"):
            read_overrides([text])


def test_ablations_change_one_choice_each():
    config = config_of("rest_r3d18", {}, 7, 12, text_layers=1)
    on, off = config.loss_weights, dict.fromkeys(config.loss_weights, 0.0)
    # without alignment and matching nothing would reach the trained layers: no "classification only"
    changed = {
        name: changed_fields(config, config_from(merged(asdict(config), change)))
        for name, change in ablations(config).items()
    }
    assert changed == {
        **{f"no {loss}": {"loss_weights": on | {loss: 0.0}} for loss in on},
        **{f"{loss} only": {"loss_weights": off | {loss: on[loss]}} for loss in ("alignment", "matching")},
        "no label smoothing": {"label_smoothing": 0.0},
        "mean over space": {"spatial_tokens": False},
    }
    demo, no = PRESETS["demo"], [f"no {loss}" for loss in on]
    assert list(ablations(demo)) == [*no, *(f"{loss} only" for loss in on), "no label smoothing"]
    assert "tokens over space" in ablations(PRESETS["rest18"])
    # one loss cannot be switched off; of two, switching one off and training the other alone are the same
    one, two = (replace(demo, loss_weights=dict.fromkeys(list(on)[:n], 1.0)) for n in (1, 2))
    assert list(ablations(one)) == ["no label smoothing"]
    assert list(ablations(two)) == [*no[:2], "no label smoothing"]


@pytest.mark.parametrize(
    ("preset", "settings", "message", "enough"),
    [
        ("demo", {"n_frames": 7}, "8 frames of 48 px, got 7 of 64 px; prepare 12 frames of 64", (12, 64)),
        ("demo", {"size_px": 47}, "got 24 of 47 px; prepare 24 frames of 55", (24, 55)),
        ("rest_r3d18", {}, "16 frames of 112 px, .* 24 frames of 128", (24, 128)),
        ("rest18", {"n_frames": 6}, "8 frames of 224 px, .* 12 frames of 256", (12, 256)),
    ],
)
def test_frames_that_are_not_enough_for_the_view_are_refused(preset, settings, message, enough):
    view = PRESETS[preset].view
    with pytest.raises(ConfigError, match=message):
        check_frames(PRESETS[preset], FrameSettings(**settings))
    for n_frames, size_px in (enough, (view.n_frames, view.size_px)):
        check_frames(PRESETS[preset], FrameSettings(n_frames, size_px=size_px))
