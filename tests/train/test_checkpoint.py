"""zsar_lab.train.checkpoint: the best epoch, pickles, full disks, savings that are killed, and configurations that do not exist."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import CONFIG, MODEL, stripes_classes, stripes_protocol, stripes_store

from zsar_lab.files import recorded
from zsar_lab.train import checkpoint as room
from zsar_lab.train import loop, step
from zsar_lab.train.checkpoint import BEST_NAME, FILE_NAME, best_epoch, load_checkpoint
from zsar_lab.train.loop import train
from zsar_lab.train.presets import TrainConfig, config_from, rest_r3d18
from zsar_lab.train.side_by_side import history_of

N_KILLS = 50 if os.environ.get("ZSAR_LAB_SLOW") else 6
KILLED = """
import os, signal, sys, time, torch
from dataclasses import replace
from pathlib import Path
from small_training import CONFIG, MODEL
from zsar_lab.models.rest import ResT
from zsar_lab.train.checkpoint import Checkpoint, Inputs, save_checkpoint
model = ResT(MODEL)
optimiser = torch.optim.SGD(model.parameters(), momentum=0.9)
start = Checkpoint(Path(sys.argv[1]), CONFIG, Inputs("p", "f", "c"), 0, 10**9, [])
first = 1
for pause_s in map(float, sys.argv[2:]):
    child = os.fork()
    if not child:
        for step in range(first, 10**9):
            with torch.no_grad():
                for value in model.state_dict().values():
                    value.fill_(step % 1000)
            save_checkpoint(replace(start, step=step), model, optimiser)
            if step == first:
                open(sys.argv[1] + ".begun", "w").close()
    while not os.path.exists(sys.argv[1] + ".begun"):
        time.sleep(0.001)
    time.sleep(pause_s)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.remove(sys.argv[1] + ".begun")
    print("killed", flush=True)
    sys.stdin.readline()
    first += 100000
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple:
    store = stripes_store(tmp_path_factory.mktemp("store"))
    return store, stripes_protocol(store), stripes_classes()


def planted_figures(monkeypatch, figures: list[float]) -> None:
    """Validation on validation classes finds these, one after the other."""
    found = iter(figures)
    monkeypatch.setattr(
        loop._Training, "validate", lambda *_: {"seen_top1": 0.1, "validation_direct_top1": next(found)}
    )


@pytest.mark.long
def test_the_best_epoch_by_validation_classes_is_kept(data, tmp_path, monkeypatch):
    planted_figures(monkeypatch, [0.2, 0.6, 0.6, 0.4])
    states = []

    def keep(history):
        states.append(load_file(tmp_path / FILE_NAME))

    done = train(*data, replace(CONFIG, epochs=4), tmp_path, device="cpu", on_epoch=keep)
    best = load_checkpoint(tmp_path / BEST_NAME)
    assert (best.step, best.best, best.complete, best.config) == (6, True, True, done.config) and len(
        best.history
    ) == 2
    kept = load_file(best.path)
    assert kept and all(
        name.startswith("model.") and torch.equal(value, states[1][name]) for name, value in kept.items()
    )
    assert all(
        torch.equal(value, states[1][f"model.{name}"]) for name, value in best.model().state_dict().items()
    )
    assert best.fingerprint != done.fingerprint and load_checkpoint(tmp_path).step == 12
    assert pd.read_csv(tmp_path / "log.csv")["best_epoch"].tolist() == [1, 2, 2, 2]


def test_the_log_of_a_training_that_runs_can_be_read_at_any_time(data, tmp_path, monkeypatch):
    read = []
    original = step.training_losses
    monkeypatch.setattr(
        step, "training_losses", lambda *arguments: read.append(history_of(tmp_path)) or original(*arguments)
    )
    done = train(*data, replace(CONFIG, epochs=2), tmp_path, device="cpu", save_every_s=0.0)
    assert [len(history) for history in read] == [0, 0, 0, 1, 1, 1]
    assert history_of(tmp_path) == [
        pytest.approx(entry) for entry in done.history
    ]  # without the best epoch, which is no figure of an epoch


def test_the_best_epoch_of_averaged_weights_holds_the_averages(data, tmp_path, monkeypatch):
    planted_figures(monkeypatch, [0.2, 0.1])

    def keep(history):
        if len(history) == 1:
            (tmp_path / FILE_NAME).rename(tmp_path / "first.safetensors")

    train(*data, replace(CONFIG, epochs=2, ema_decay=0.9), tmp_path, device="cpu", on_epoch=keep)
    first, best = load_checkpoint(tmp_path / "first.safetensors"), load_checkpoint(tmp_path / BEST_NAME)
    used = first.model().state_dict()
    assert all(torch.equal(value, used[name]) for name, value in best.model().state_dict().items())


def test_without_validation_classes_there_is_no_best(data, tmp_path):
    store, protocol, classes = data
    train(
        store,
        replace(protocol, validation=(), validation_clips=()),
        classes,
        replace(CONFIG, epochs=1),
        tmp_path,
        device="cpu",
    )
    assert {path.name for path in tmp_path.iterdir()} == {FILE_NAME, "log.csv"}
    assert best_epoch([{"epoch": 1}]) is None and best_epoch([]) is None
    assert best_epoch([{"epoch": 1}, {"epoch": 2, "validation_direct_top1": 0.0}, {"epoch": 3}]) == 2


class Malicious:
    """Opened by pickle, makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("protocol", [0, 2, 5, "torch.save"])
def test_a_pickle_is_refused_and_not_opened(protocol, data, tmp_path):
    path, trap = tmp_path / "run" / FILE_NAME, tmp_path / "trap"
    path.parent.mkdir()
    if protocol == "torch.save":
        torch.save(Malicious(trap), path)
    else:
        path.write_bytes(pickle.dumps(Malicious(trap), protocol))
    what = (
        "SafetensorError: .*"
        if protocol == 0
        else "it is a pickle, which could run anything and is never opened"
    )
    for opening in (lambda: load_checkpoint(path), lambda: train(*data, CONFIG, path.parent, device="cpu")):
        with pytest.raises(
            ValueError,
            match=f"'.*checkpoint.safetensors' must be a zsar_lab checkpoint, but {what}; delete it and train again",
        ):
            opening()
    assert not trap.exists()
    if protocol != "torch.save":  # and it would have
        pickle.loads(path.read_bytes())
        assert trap.is_dir()


@pytest.mark.parametrize("broken", ["save_file", "replace", "to_csv"])
def test_a_full_disk_is_said_and_the_last_checkpoint_is_kept(broken, data, tmp_path, monkeypatch):
    def full(*_, **__):
        if broken == "save_file":  # as safetensors says it
            raise room.SafetensorError(
                "Error while serializing: I/O error: No space left on device (os error 28)"
            )
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def after_one(history):
        monkeypatch.setattr({"save_file": room, "replace": os, "to_csv": pd.DataFrame}[broken], broken, full)

    name = "log.csv" if broken == "to_csv" else ".*safetensors"
    with pytest.raises(
        OSError,
        match=rf"the disk must have room for '.*{name}' \(.* MB\), but it is full; what was saved before is kept, free some",
    ):
        train(*data, CONFIG, tmp_path, device="cpu", on_epoch=after_one)
    monkeypatch.undo()
    assert load_checkpoint(tmp_path).step == (6 if broken == "to_csv" else 3)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert train(*data, CONFIG, tmp_path, device="cpu").complete


def test_a_disk_that_is_really_full(data, tmp_path):
    folder = tmp_path / "small disk"
    folder.mkdir()
    try:
        mounted = (
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True
            ).returncode
            == 0
        )
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("mounting a small disk is not allowed here")

    def fill(history):
        with (
            open(folder / "other", "wb", buffering=0) as other,
            pytest.raises(OSError, match="No space left"),
        ):
            while True:
                other.write(bytes(4096))

    try:
        with pytest.raises(
            OSError, match=r"the disk must have room for '.*safetensors' \(0.. MB\), but it is full"
        ):
            train(*data, CONFIG, folder, device="cpu", on_epoch=fill)
        assert load_checkpoint(folder).step == 3
        (folder / "other").unlink()
        assert train(*data, CONFIG, folder, device="cpu").complete
    finally:
        subprocess.run(["umount", folder], check=True)


def test_an_error_of_writing_is_a_sentence(tmp_path):
    with pytest.raises(OSError, match="'.*a' must be written, but bad disk; what was saved before is kept"):
        with room.room_on_disk(tmp_path / "a", 1.0):
            raise room.SafetensorError("bad disk")
    with pytest.raises(PermissionError, match="not allowed"), room.room_on_disk(tmp_path / "a", 1.0):
        raise PermissionError(errno.EACCES, "not allowed")


@pytest.mark.long
def test_a_saving_that_is_killed_leaves_a_checkpoint_that_loads(tmp_path):
    path = tmp_path / FILE_NAME
    paths = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parents[1] / "fixtures")])
    pauses = [f"{random.Random(n).uniform(0, 0.03):.5f}" for n in range(N_KILLS)]
    command = [sys.executable, "-c", KILLED, str(path), *pauses]
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    steps = []
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for _ in range(N_KILLS):
            assert process.stdout.readline() == "killed\n"
            found = load_checkpoint(path)
            assert {
                float(value) for tensor in found.tensors("model.").values() for value in tensor.unique()
            } == {found.step % 1000}
            assert found.model().config == MODEL
            steps.append(found.step)
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0 and len({step // 100000 for step in steps}) == N_KILLS


def test_what_killed_savings_left_is_removed_when_it_is_old(data, tmp_path):
    old, new, other = (
        tmp_path / f".{FILE_NAME}.abc.safetensors",
        tmp_path / f".{BEST_NAME}.abc.safetensors",
        tmp_path / ".other",
    )
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    train(*data, replace(CONFIG, epochs=1), tmp_path, device="cpu")
    assert not old.exists() and new.exists() and other.exists()


def test_a_configuration_comes_back_from_json():
    for config in (
        TrainConfig(),
        CONFIG,
        rest_r3d18(7, 12),
        replace(CONFIG, accumulate=2, optimiser="sgd", ema_decay=0.9),
    ):
        assert config_from(json.loads(json.dumps(recorded(config)))) == config == config_from(asdict(config))
    assert config_from({"epochs": 3, "model": {"backbone": "r3d-18"}}).model.backbone == "r3d-18"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            {"learning_rat": 0.1},
            "a configuration must have fields that there are, got 'learning_rat'; the nearest is 'learning_rate'",
        ),
        ({"model": {"witdh": 5}}, "got 'model.witdh'; the nearest is 'model.width'"),
        ({"view": {"sizepx": 5}}, "got 'view.sizepx'; the nearest is 'view.size_px'"),
        ({"?": 1}, "got '[?]'; the nearest is '"),
        ({"epochs": "30"}, "epochs must be a value like 30, got '30'"),
        ({"epochs": True}, "epochs must be a value like 30, got True"),
        ({"epochs": 1.5}, "epochs must be a value like 30, got 1.5"),
        ({"learning_rate": None}, "learning_rate must be a value like 0.0015, got None"),
        ({"compile_transformer": 1}, "compile_transformer must be a value like False, got 1"),
        ({"model": {"backbone": 18}}, "model.backbone must be a value like 'small shift resnet', got 18"),
        ({"model": 5}, "model must be a mapping of names to values, got 5"),
        ([], r"a configuration must be a mapping of names to values, got \[\]"),
    ],
)
def test_a_configuration_that_does_not_exist_is_refused(content, sentence):
    with pytest.raises(ValueError, match=sentence):
        config_from(content)


def test_a_checkpoint_of_another_version_names_the_field(tmp_path):
    record = {
        "config": {"epoch": 3},
        "inputs": {"protocol": "p", "frames": "f", "class_embeddings": "c"},
        "step": 1,
        "total_steps": 2,
        "history": [],
    }
    save_file({"model.a": torch.zeros(1)}, tmp_path / FILE_NAME, metadata={"zsar_lab": json.dumps(record)})
    with pytest.raises(
        ValueError,
        match="must be a checkpoint of this version of zsar_lab, but .* 'epoch'; the nearest is 'epochs'; delete it and train again",
    ):
        load_checkpoint(tmp_path)
