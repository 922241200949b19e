"""zsar_lab.train.checkpoint: pickles, full disks, savings that are killed, and other files."""

from __future__ import annotations

import errno
import json
import os
import pickle
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file
from small_training import CONFIG, MODEL

from zsar_lab.train import checkpoint as room
from zsar_lab.train import step
from zsar_lab.train.checkpoint import (
    FILE_NAME,
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    read_log,
    save_weights,
)
from zsar_lab.train.loop import train

N_KILLS = 50 if os.environ.get("ZSAR_LAB_SLOW") else 6
KILLED = """
import os, signal, sys, time, torch
from dataclasses import replace
from pathlib import Path
from small_training import CONFIG, MODEL
from zsar_lab.models.rest import ResT
from zsar_lab.train.checkpoint import Checkpoint, Inputs, save_checkpoint, weights_by_name
weights = weights_by_name(ResT(MODEL))
start = Checkpoint(Path(sys.argv[1]), CONFIG, Inputs("p", "f", "c"), 0, 10**9, [])
first = 1
for pause_s in map(float, sys.argv[2:]):
    child = os.fork()
    if not child:
        for step in range(first, 10**9):
            for value in weights.values():
                value.fill_(step % 1000)
            save_checkpoint(replace(start, step=step), weights)
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
def done(data, tmp_path_factory) -> Checkpoint:
    config = replace(CONFIG, epochs=1, ema_decay=0.9)
    return train(*data, config, tmp_path_factory.mktemp("done"), device="cpu")


def test_weights_are_shared_alone(done, tmp_path):
    save_weights(done, tmp_path / "model.safetensors")
    shared = load_checkpoint(tmp_path / "model.safetensors")
    assert shared.weights_only and shared.complete and shared.fingerprint == done.fingerprint
    assert {name.split(".")[0] for name in load_file(shared.path)} == {"model"}
    used = done.model().state_dict()  # the averages
    assert all(torch.equal(w, used[name]) for name, w in shared.model().state_dict().items())


def test_the_log_of_a_training_that_runs_can_be_read_at_any_time(data, tmp_path, monkeypatch):
    read, original = [], step.training_losses

    def losses(*arguments):
        read.append(len(read_log(tmp_path)))
        return original(*arguments)

    monkeypatch.setattr(step, "training_losses", losses)
    done = train(*data, replace(CONFIG, epochs=2), tmp_path, device="cpu", save_every_s=0.0)
    assert read == [0, 0, 0, 1, 1, 1]
    assert read_log(tmp_path) == [pytest.approx(entry) for entry in done.history]


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
    why = "SafetensorError" if protocol == 0 else "it is a pickle"
    for opening in (lambda: load_checkpoint(path), lambda: train(*data, CONFIG, path.parent, device="cpu")):
        with pytest.raises(CheckpointError, match=why):
            opening()
    assert not trap.exists()
    if protocol != "torch.save":  # and it would have
        pickle.loads(path.read_bytes())
        assert trap.is_dir()


def test_what_is_no_checkpoint_is_refused_and_stays(done, data, tmp_path):
    path, content = tmp_path / FILE_NAME, done.path.read_bytes()
    for damaged in (b"", b"not a checkpoint", content[:50], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match="checkpoint.safetensors"):
            train(*data, CONFIG, tmp_path, device="cpu")
        assert path.read_bytes() == damaged
    inputs = {"protocol": "p", "frames": "f", "class_embeddings": "c"}
    record = {"config": {}, "inputs": inputs, "step": 1, "total_steps": 2, "history": []}
    for change, message in (
        (None, "TypeError"),  # of another library
        ({"config": {"epoch": 3}}, "'epoch'; the nearest is 'epochs'"),
        ({"inputs": {}}, "TypeError"),
        ({"schema_version": 2}, "schema_version must be 1, got 2"),
        ({"best": True}, "best"),
        ({"config": 3}, "int"),
    ):
        metadata = None if change is None else {"zsar_lab": json.dumps(record | change)}
        save_file({"model.a": torch.zeros(1)}, path, metadata)
        with pytest.raises(CheckpointError, match=message):
            load_checkpoint(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="train first"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("broken", ["save_file", "to_csv"])
def test_a_full_disk_keeps_the_last_checkpoint(broken, data, tmp_path, monkeypatch):
    def full(*_, **__):
        if broken == "save_file":  # as safetensors says it
            raise room.SafetensorError("I/O error: No space left on device (os error 28)")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def after_one(history):
        monkeypatch.setattr(room if broken == "save_file" else pd.DataFrame, broken, full)

    with pytest.raises(OSError, match="full"):
        train(*data, CONFIG, tmp_path, device="cpu", on_epoch=after_one)
    assert load_checkpoint(tmp_path).step == (6 if broken == "to_csv" else 3)
    assert {path.name for path in tmp_path.glob(".*")} == {".lock"}
    monkeypatch.undo()
    assert train(*data, CONFIG, tmp_path, device="cpu").complete


@pytest.mark.long
def test_a_saving_that_is_killed_leaves_a_checkpoint_that_loads(tmp_path):
    path, here = tmp_path / FILE_NAME, Path(__file__)
    paths = os.pathsep.join([str(here.parents[2]), str(here.parents[1] / "fixtures")])
    pauses = [f"{random.Random(n).uniform(0, 0.03):.5f}" for n in range(N_KILLS)]
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    pipes, steps = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}, []
    command = [sys.executable, "-c", KILLED, str(path), *pauses]
    with subprocess.Popen(command, env=environment, **pipes) as process:
        for _ in range(N_KILLS):
            assert process.stdout.readline() == "killed\n"
            found = load_checkpoint(path)
            tensors = found.tensors("model.").values()
            values = {float(value) for tensor in tensors for value in tensor.unique()}
            assert values == {found.step % 1000} and found.model().config == MODEL
            steps.append(found.step)
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0 and len({step // 100000 for step in steps}) == N_KILLS


def test_what_killed_savings_left_is_removed_when_it_is_old(data, tmp_path):
    old, new, other = (tmp_path / name for name in (f".{FILE_NAME}.a", f".{FILE_NAME}.b", ".other"))
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    train(*data, replace(CONFIG, epochs=1), tmp_path, device="cpu")
    assert not old.exists() and new.exists() and other.exists()
