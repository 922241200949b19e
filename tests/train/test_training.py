"""zsar_lab.train: it learns, it can be stopped and taken up bit for bit, and it refuses what does not fit."""

from __future__ import annotations

import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import (
    CONFIG,
    MODEL,
    STEPS_AN_EPOCH,
    assert_same_state,
    interrupt,
    interrupt_in_batch,
    stripes_classes,
    stripes_protocol,
    stripes_store,
)

from zsar_lab.data.frames import FrameStore
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.train import step
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.train.loop import train
from zsar_lab.train.meters import FORMATS
from zsar_lab.train.optimisers import learning_rate
from zsar_lab.train.stopping import TrainingInterrupted


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> FrameStore:
    return stripes_store(tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="module")
def protocol(store) -> Protocol:
    return stripes_protocol(store)


@pytest.fixture(scope="module")
def classes() -> ClassEmbeddings:
    return stripes_classes()


@pytest.fixture(scope="module")
def whole(store, protocol, classes, tmp_path_factory):
    """A training of CONFIG from start to end, without a stop."""
    return train(store, protocol, classes, CONFIG, tmp_path_factory.mktemp("whole"), device="cpu")


@pytest.mark.long
def test_it_learns_the_seen_classes(store, protocol, classes, tmp_path):
    done = train(
        store, protocol, classes, replace(CONFIG, epochs=25, validate_every=25), tmp_path, device="cpu"
    )
    first, last = done.history[0], done.history[-1]
    assert all(last[name] < 0.8 * first[name] for name in ("classification", "alignment", "matching"))
    assert last["seen_top1"] >= 0.75  # chance is 0.25
    assert done.complete and done.step == done.total_steps == 25 * STEPS_AN_EPOCH
    n_tracked = {
        int(value) for name, value in done.tensors("model.").items() if name.endswith("num_batches_tracked")
    }
    assert n_tracked == {done.step}  # each step in training mode, validation in evaluation mode


def test_the_log(whole):
    log = pd.read_csv(whole.path.parent / "log.csv")
    assert log.columns.tolist() == [
        "epoch",
        "step",
        "classification",
        "alignment",
        "matching",
        *FORMATS,
        "seen_top1",
        "validation_direct_top1",
        "best_epoch",
    ]
    assert log["epoch"].tolist() == [1, 2, 3] and log["step"].tolist() == [3, 6, 9]
    assert (log[["seen_top1", "validation_direct_top1"]] <= 1).all(axis=None) and (log >= 0).all(axis=None)
    assert (log["clips_per_s"] > 0).all() and log["classification"].tolist() == pytest.approx(
        [e["classification"] for e in whole.history]
    )


def test_a_checkpoint_comes_back(whole, protocol, store, classes):
    loaded = load_checkpoint(whole.path.parent)
    assert loaded == whole and loaded.fingerprint == whole.fingerprint
    assert (loaded.config, loaded.inputs.protocol, loaded.inputs.frames) == (
        CONFIG,
        protocol.training_hash,
        store.fingerprint,
    )
    assert loaded.inputs.class_embeddings == classes.fingerprint
    assert not loaded.model().training
    written_ns = whole.path.stat().st_mtime_ns  # a finished training is not done again
    assert train(store, protocol, classes, CONFIG, whole.path.parent, device="cpu") == whole
    assert whole.path.stat().st_mtime_ns == written_ns


@pytest.mark.parametrize("step", [1, 4, 5, 8])
def test_an_interrupted_training_takes_the_same_steps_when_resumed(
    step, whole, store, protocol, classes, tmp_path, monkeypatch
):
    with monkeypatch.context() as patched:
        interrupt_in_batch(patched, step)
        with pytest.raises(
            TrainingInterrupted,
            match=rf"interrupted at step {step} of 9; '.*checkpoint.safetensors' was kept, run it again",
        ):
            train(store, protocol, classes, CONFIG, tmp_path, device="cpu")
    kept = load_checkpoint(tmp_path)
    assert kept.step == step and not kept.complete
    assert_same_state(train(store, protocol, classes, CONFIG, tmp_path, device="cpu"), whole)


def test_a_training_stopped_at_the_end_of_an_epoch_goes_on(whole, store, protocol, classes, tmp_path):
    def stop_after_two(history):
        if len(history) == 2:
            interrupt()

    with pytest.raises(TrainingInterrupted, match="interrupted at step 6 of 9"):
        train(store, protocol, classes, CONFIG, tmp_path, device="cpu", on_epoch=stop_after_two)
    lengths = []
    resumed = train(
        store,
        protocol,
        classes,
        CONFIG,
        tmp_path,
        device="cpu",
        on_epoch=lambda history: lengths.append(len(history)),
    )
    assert lengths == [3]
    assert_same_state(resumed, whole)
    for ours, theirs in zip(resumed.history, whole.history):
        assert ours | dict.fromkeys(FORMATS, 0) == theirs | dict.fromkeys(FORMATS, 0)


def test_the_handlers_of_signals_are_given_back(store, protocol, classes, tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    train(store, protocol, classes, replace(CONFIG, epochs=1), tmp_path, device="cpu")
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_ambient_seed_does_not_matter_and_is_not_moved(whole, store, protocol, classes, tmp_path):
    torch.manual_seed(1234)
    np.random.seed(1234)
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    again = train(store, protocol, classes, CONFIG, tmp_path / "again", device="cpu")
    assert torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    assert_same_state(again, whole)
    other = train(store, protocol, classes, replace(CONFIG, seed=1), tmp_path / "other", device="cpu")
    assert not torch.equal(
        load_file(other.path)["model.clip_token"], load_file(whole.path)["model.clip_token"]
    )


def test_a_folder_of_another_training_is_refused(whole, store, protocol, classes):
    folder = whole.path.parent
    with pytest.raises(
        ValueError,
        match=r"another configuration \(learning_rate 0.005, got 0.0001\); choose another folder, or delete that checkpoint",
    ):
        train(store, protocol, classes, replace(CONFIG, learning_rate=1e-4), folder, device="cpu")
    fewer_clips = replace(protocol, train_clips=protocol.train_clips[:-1])
    other_frames, other_encoder = (
        replace(store, fingerprint="other frames"),
        replace(classes, encoder="another encoder"),
    )
    others = {
        f"protocol '{protocol.training_hash}', got '{fewer_clips.training_hash}'": (
            store,
            fewer_clips,
            classes,
        ),
        "frames 'frames of the test', got 'other frames'": (other_frames, protocol, classes),
        f"class_embeddings '{classes.fingerprint}', got '{other_encoder.fingerprint}'": (
            store,
            protocol,
            other_encoder,
        ),
    }
    for difference, other in others.items():
        with pytest.raises(
            ValueError, match=rf"holds a checkpoint of other data \({difference}\); choose another folder"
        ):
            train(*other, CONFIG, folder, device="cpu")


@pytest.mark.parametrize(
    ("emptied", "column"),
    [
        ({"seen_test_clips": ()}, "seen_top1"),
        ({"validation": (), "validation_clips": ()}, "validation_direct_top1"),
    ],
)
def test_a_protocol_without_held_out_or_validation_clips_trains_without_that_column(
    emptied, column, store, protocol, classes, tmp_path
):
    done = train(
        store, replace(protocol, **emptied), classes, replace(CONFIG, epochs=1), tmp_path, device="cpu"
    )
    columns = {"seen_top1", "validation_direct_top1"}
    assert done.complete and columns & set(pd.read_csv(tmp_path / "log.csv").columns) == columns - {column}


def test_a_wrong_number_of_seen_classes_is_refused(store, protocol, classes, tmp_path):
    with pytest.raises(ValueError, match=r"must be the protocol's number of seen classes \(4\), got 3"):
        train(
            store, protocol, classes, replace(CONFIG, model=replace(MODEL, n_seen=3)), tmp_path, device="cpu"
        )
    assert not list(tmp_path.iterdir())


def test_a_loss_that_is_not_finite_stops_and_keeps_the_last_checkpoint(
    store, protocol, classes, tmp_path, monkeypatch
):
    original, factors = step.alignment_loss, iter([1, 1, 1, 1, torch.nan])

    def planted(*args):
        return original(*args) * next(factors)

    monkeypatch.setattr(step, "alignment_loss", planted)
    with pytest.raises(
        ValueError,
        match="every loss must stay finite, alignment became nan at step 4; what was saved before is kept",
    ):
        train(store, protocol, classes, CONFIG, tmp_path, device="cpu")
    kept = load_checkpoint(tmp_path)
    assert kept.step == STEPS_AN_EPOCH
    assert all(torch.isfinite(value).all() for value in kept.tensors("model.").values())
    monkeypatch.undo()
    with pytest.raises(
        ValueError, match="every loss must stay finite, .* lower the learning rate and start in a new folder"
    ):
        train(store, protocol, classes, replace(CONFIG, learning_rate=1e30), tmp_path / "wild", device="cpu")


@pytest.mark.parametrize("kept", ["classification", "alignment", "matching"])
def test_a_loss_of_weight_zero_is_switched_off(kept, store, protocol, classes, tmp_path):
    weights = {f"{name}_weight": float(name == kept) for name in ("classification", "alignment", "matching")}
    train(store, protocol, classes, replace(CONFIG, epochs=1, **weights), tmp_path, device="cpu")
    assert {"classification", "alignment", "matching"} & set(pd.read_csv(tmp_path / "log.csv").columns) == {
        kept
    }


def test_the_learning_rate_by_hand():
    config = replace(CONFIG, learning_rate=0.8, warm_up=0.2)  # of 10 steps: two up, eight down
    found = [learning_rate(step, 10, config) for step in (0, 1, 2, 6, 10)]
    assert found == pytest.approx([0.4, 0.8, 0.8, 0.4, 0.0])
    # a third of the way down, cos(pi / 3) = 1/2 leaves three quarters
    assert learning_rate(3 + 4, 15, config) == pytest.approx(0.8 * 0.75)


@pytest.mark.parametrize("total_steps", [1, 2, 7, 100])
def test_the_learning_rate_rises_to_its_peak_and_falls(total_steps):
    rates = [learning_rate(step, total_steps, CONFIG) for step in range(total_steps)]
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(CONFIG.learning_rate) and min(rates) > 0
    assert rates[: peak + 1] == sorted(rates[: peak + 1]) and rates[peak:] == sorted(
        rates[peak:], reverse=True
    )
    assert total_steps < 100 or rates[-1] < 0.01 * CONFIG.learning_rate


def test_a_damaged_checkpoint_is_refused(whole, store, protocol, classes, tmp_path):
    path = tmp_path / whole.path.name
    content = whole.path.read_bytes()
    for damaged in (b"", b"not a checkpoint", content[:50], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(
            ValueError,
            match="'.*checkpoint.safetensors' must be a zsar_lab checkpoint, but .*; delete it and train again",
        ):
            train(store, protocol, classes, CONFIG, tmp_path, device="cpu")
        assert path.read_bytes() == damaged
    save_file({"weight": torch.zeros(2)}, path)  # whole, but of another library
    with pytest.raises(ValueError, match="must be a zsar_lab checkpoint"):
        load_checkpoint(path)
    path.unlink()
    with pytest.raises(
        FileNotFoundError, match="there is no checkpoint '.*checkpoint.safetensors'; train first"
    ):
        load_checkpoint(tmp_path)
