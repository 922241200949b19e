"""zsar_lab.train.loop: it learns, stops and goes on to the same bits, and refuses what does not fit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_training import (
    CONFIG,
    MODEL,
    STEPS_AN_EPOCH,
    assert_same_state,
    begun,
    interrupt,
    interrupt_in_batch,
    without_meters,
)

from zsar_lab.data.loader import ViewSettings
from zsar_lab.train import step
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.train.loop import only_one, train
from zsar_lab.train.meters import FORMATS
from zsar_lab.train.processes import TrainingInterrupted

LOSSES = ["classification", "alignment", "matching"]
# steps of 10, 10 and 4 clips in batches of 5: two, two and one (of 4) batches
ACCUMULATED = replace(CONFIG, batch_size=5, accumulate=2)
LAST = {"ema_decay": 0.9, "memory_format": "channels_last"}
STEPS = {"optimiser": "sgd", "learning_rate": 0.02, "schedule": "steps", "ema_decay": 0.99}
RGB = {"optimiser": "sgd", "view": ViewSettings(4, 20, "rgb"), "model": replace(MODEL, zero_residual=True)}
CONFIGS = {
    "plain": CONFIG,
    "accumulated, averaged, channels last": replace(ACCUMULATED, **LAST),
    "sgd, averaged, steps": replace(CONFIG, **STEPS),
    "rgb, sgd, accumulated": replace(ACCUMULATED, **RGB),
}
# of each, the batch of a Ctrl-C (None: at the end of the first epoch) and the step that is then saved
STOPS = {
    "plain": ((None, 3), (5, 5)),
    "accumulated, averaged, channels last": ((None, 3), (3, 2)),  # 3: the first of two batches
    "sgd, averaged, steps": ((8, 8),),
    "rgb, sgd, accumulated": ((8, 5),),
}
RESUME = """
import sys, torch, numpy as np
from pathlib import Path
sys.path.append(sys.argv[2])
from small_training import stripes
from test_training import CONFIGS
from zsar_lab.train.loop import train
torch.manual_seed(99), np.random.seed(99), torch.rand(7)
data = stripes(Path(sys.argv[1]))
for folder in Path(sys.argv[1]).iterdir():
    train(*data, CONFIGS[folder.name.split(";")[0]], folder, device="cpu")
"""


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    """A training of CONFIG from start to end, without a stop."""
    return train(*data, CONFIG, tmp_path_factory.mktemp("whole"), device="cpu")


@pytest.fixture(scope="module")
def wholes(data, tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("wholes")
    return {name: train(*data, config, folder / name, device="cpu") for name, config in CONFIGS.items()}


def stop(data: tuple, name: str, batch: int | None, folder: Path) -> None:
    def at_the_end(history):
        if batch is None:
            interrupt()

    options = {"device": "cpu", "on_epoch": at_the_end, "num_workers": 2}
    with pytest.MonkeyPatch.context() as patched:
        if batch is not None:
            interrupt_in_batch(patched, batch)
        with pytest.raises(TrainingInterrupted):
            train(*data, CONFIGS[name], folder, **options)


def assert_same_training(found, whole) -> None:
    assert_same_state(found, whole)
    assert without_meters(found.history) == without_meters(whole.history)
    assert found.fingerprint == whole.fingerprint
    logs = [pd.read_csv(c.path.with_name("log.csv")).drop(columns=list(FORMATS)) for c in (found, whole)]
    pd.testing.assert_frame_equal(*logs)


@pytest.mark.long
def test_it_learns_the_seen_classes(data, tmp_path):
    done = train(*data, replace(CONFIG, epochs=25, validate_every=25), tmp_path, device="cpu")
    first, last = done.history[0], done.history[-1]
    assert all(last[name] < 0.8 * first[name] for name in LOSSES)
    assert last["seen_top1"] >= 0.75  # chance is 0.25
    assert done.complete and done.step == done.total_steps == 25 * STEPS_AN_EPOCH


def test_the_log_and_the_folder(whole):
    log = pd.read_csv(whole.path.parent / "log.csv")
    figures = ["seen_top1", "validation_direct_top1"]
    assert log.columns.tolist() == ["epoch", "step", *LOSSES, *FORMATS, *figures]
    assert log["epoch"].tolist() == [1, 2, 3] and log["step"].tolist() == [3, 6, 9]
    assert (log[figures] <= 1).all(axis=None) and (log >= 0).all(axis=None)
    assert log["classification"].tolist() == pytest.approx([e["classification"] for e in whole.history])
    names = {path.name for path in whole.path.parent.iterdir()}
    assert names - {".lock"} == {"checkpoint.safetensors", "log.csv"}


def test_a_finished_training_is_opened_and_not_done_again(whole, data):
    loaded, (store, protocol, classes) = load_checkpoint(whole.path.parent), data
    assert loaded == whole and loaded.fingerprint == whole.fingerprint and loaded.config == CONFIG
    assert loaded.inputs.protocol == protocol.training_hash and loaded.inputs.frames == store.fingerprint
    assert loaded.inputs.class_embeddings == classes.fingerprint and not loaded.model().training
    weights = loaded.model().state_dict()
    assert all(torch.equal(weights[name], saved) for name, saved in loaded.tensors("model.").items())
    written_ns = whole.path.stat().st_mtime_ns
    assert train(*data, CONFIG, whole.path.parent, device="cpu") == whole
    assert whole.path.stat().st_mtime_ns == written_ns


def test_a_stopped_training_goes_on_to_the_same_bits(whole, data, tmp_path):
    stop(data, "plain", 5, tmp_path)
    saved, lengths = load_checkpoint(tmp_path), []
    assert saved.step == 5 and not saved.complete and set(saved.running) == {"n_clips", "sums"}
    noted = {"device": "cpu", "on_epoch": lambda history: lengths.append(len(history))}
    assert_same_training(train(*data, CONFIG, tmp_path, **noted), whole)
    assert lengths == [2, 3]


@pytest.fixture(scope="module")
def resumed(data, tmp_path_factory) -> Path:
    """Each stop of each configuration, gone on with in a process of its own that has another seed."""
    folder, here = tmp_path_factory.mktemp("resumed"), Path(__file__)
    for name, stops in STOPS.items():
        for batch, at in stops:
            stop(data, name, batch, folder / f"{name};{batch}")
            assert load_checkpoint(folder / f"{name};{batch}").step == at
    paths = os.pathsep.join([str(here.parents[2]), str(here.parents[1] / "fixtures")])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-c", RESUME, str(folder), str(here.parent)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
@pytest.mark.parametrize(("name", "batch"), [(name, batch) for name in STOPS for batch, _ in STOPS[name]])
def test_a_training_resumed_in_a_new_process_is_the_same(name, batch, wholes, resumed):
    assert_same_training(load_checkpoint(resumed / f"{name};{batch}"), wholes[name])


def test_the_ambient_state_does_not_matter_and_is_not_moved(whole, data, tmp_path):
    torch.manual_seed(1234)
    np.random.seed(1234)  # noqa: NPY002
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    again = train(*data, CONFIG, tmp_path / "again", device="cpu")
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert_same_state(again, whole)
    other = train(*data, replace(CONFIG, seed=1, epochs=1), tmp_path / "other", device="cpu")
    assert not torch.equal(*(c.tensors("model.")["clip_token"] for c in (other, whole)))


def test_what_does_not_fit_is_refused(whole, data, tmp_path):
    (store, protocol, classes), folder = data, whole.path.parent
    fewer, frames = replace(protocol, train_clips=protocol.train_clips[:-1]), replace(store, fingerprint="f2")
    texts, large = replace(classes, encoder="e2"), replace(MODEL, size_px=32)
    cases = [
        ("learning_rate 0.005, got 0.0001", data, replace(CONFIG, learning_rate=1e-4), folder),
        (f"protocol .*got '{fewer.training_hash}'", (store, fewer, classes), CONFIG, folder),
        ("frames .*got 'f2'", (frames, protocol, classes), CONFIG, folder),
        (f"class_embeddings .*got '{texts.fingerprint}'", (store, protocol, texts), CONFIG, folder),
        (r"4 \(seen classes\), got 3", data, replace(CONFIG, model=replace(MODEL, n_seen=3)), tmp_path / "a"),
        ("32 px, got", data, replace(CONFIG, view=ViewSettings(4, 32), model=large), tmp_path / "b"),
    ]
    for message, given, config, where in cases:
        with pytest.raises(ValueError, match=message):
            train(*given, config, where, device="cpu")
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_named_is_off_and_figures_without_clips_are_missing(data, tmp_path):
    store, protocol, classes = data
    config = replace(CONFIG, epochs=1, loss_weights={"alignment": 1.0})
    untested = replace(protocol, seen_test_clips=())
    train(store, untested, classes, config, tmp_path, device="cpu")
    columns = pd.read_csv(tmp_path / "log.csv").columns
    assert columns.tolist() == ["epoch", "step", "alignment", *FORMATS, "validation_direct_top1"]
    unvalidated = begun((store, replace(protocol, validation=(), validation_clips=()), classes), config)
    assert list(unvalidated.validate(1)) == ["seen_top1"]


def planted(monkeypatch, number: int, change) -> None:
    """Change the losses of a step, counted from 0."""
    original, steps = step.training_losses, iter(range(1000))

    def losses(model, *more):
        found = original(model, *more)
        return change(model, found) if next(steps) == number else found

    monkeypatch.setattr(step, "training_losses", losses)


def steep(model, loss: dict) -> dict:
    """A loss of 0 more, with a slope of 0 times infinity."""
    return loss | {"alignment": loss["alignment"] + 0 * (0 * model.log_temperature).abs().sqrt()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda model, loss: loss | {"alignment": loss["alignment"] * torch.nan}, "alignment .*got nan"),
        (steep, "gradient of the model .*got nan"),
    ],
)
def test_what_is_not_finite_stops_before_the_weights_move(change, message, data, tmp_path, monkeypatch):
    planted(monkeypatch, 2 * STEPS_AN_EPOCH - 1, change)  # the last step of an epoch
    with pytest.raises(ValueError, match=f"{message} at step 5; lower learning_rate"):
        train(*data, CONFIG, tmp_path, device="cpu")
    saved = load_checkpoint(tmp_path)
    assert saved.step == STEPS_AN_EPOCH
    assert all(torch.isfinite(value).all() for value in saved.tensors("model.").values())


def test_the_checkpoint_is_saved_within_an_epoch_when_time_has_passed(whole, data, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        planted(patched, 4, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(*data, CONFIG, tmp_path, device="cpu", save_every_s=0.0)
    saved = load_checkpoint(tmp_path)
    assert saved.step == 4 and saved.running["n_clips"] == 8
    assert_same_state(train(*data, CONFIG, tmp_path, device="cpu"), whole)


def test_one_training_at_a_time_in_a_folder(data, tmp_path):
    config = replace(CONFIG, epochs=1)
    holding = "import sys, time, filelock\n"
    holding += "with filelock.FileLock(sys.argv[1] + '/.lock'): print('held', flush=True); time.sleep(60)"
    command = [sys.executable, "-c", holding, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match="another process trains"):
            train(*data, config, tmp_path, device="cpu")
        other.kill()
    assert train(*data, config, tmp_path, device="cpu").complete  # a killed process holds nothing
    with only_one(tmp_path):
        assert train(*data, config, tmp_path, device="cpu").complete  # a finished one is only opened


def test_averaged_weights_are_validated_and_used_and_do_not_touch_the_training(whole, data, tmp_path):
    done = train(*data, replace(CONFIG, ema_decay=0.9), tmp_path, device="cpu")
    one, other = whole.tensors("model."), done.tensors("model.")
    assert all(torch.equal(one[name], other[name]) for name in one)  # what is trained is the same
    used, averaged = done.model().state_dict(), done.tensors("average.model.")
    assert all(torch.equal(used[name], value) for name, value in averaged.items())
    assert any(not torch.equal(used[name], other[name]) for name in other)
    assert done.fingerprint != whole.fingerprint
    training = begun(data, CONFIG)  # validation again, by the averaged weights
    training.model.load_state_dict(used)
    figures = training.validate(CONFIG.epochs)
    assert figures == {name: done.history[-1][name] for name in figures} and len(figures) == 2
