"""zsar_lab.train: k steps, a stop and the rest are n steps, bit for bit, with every option on, also in a new process with another seed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_training import (
    CONFIG,
    MODEL,
    assert_same_state,
    interrupt,
    interrupt_in_batch,
    stripes_classes,
    stripes_protocol,
    stripes_store,
)

from zsar_lab.data.loader import ViewSettings
from zsar_lab.train.checkpoint import BEST_NAME, load_checkpoint
from zsar_lab.train.loop import train
from zsar_lab.train.meters import FORMATS
from zsar_lab.train.stopping import TrainingInterrupted

pytestmark = pytest.mark.long

# steps of 10, 10 and 4 clips in batches of 5: two, two and one (of 4) batches
ACCUMULATED = replace(CONFIG, batch_size=5, accumulate=2)
CONFIGS = {
    "plain": CONFIG,
    "accumulated, averaged, channels last": replace(
        ACCUMULATED, ema_decay=0.9, memory_format="channels_last"
    ),
    "sgd, averaged, steps": replace(
        CONFIG, optimiser="sgd", learning_rate=0.02, schedule="steps", ema_decay=0.99
    ),
    "rgb, sgd, accumulated": replace(
        ACCUMULATED,
        optimiser="sgd",
        view=ViewSettings(4, 20, "rgb"),
        model=replace(MODEL, dropout=0.3, zero_residual=True),
    ),
}
# of each, the batch of a Ctrl-C (None: at the end of the first epoch) and the step that the checkpoint is
# then at
STOPS = {
    "plain": ((None, 3), (5, 5)),
    "accumulated, averaged, channels last": (
        (None, 3),
        (3, 2),
        (4, 2),
        (7, 4),
    ),  # 3 and 7: the first of a step's two batches
    "sgd, averaged, steps": ((1, 1), (8, 8)),
    "rgb, sgd, accumulated": ((6, 4), (8, 5)),
}
RESUME = """
import sys, torch, numpy as np
from pathlib import Path
from small_training import stripes_classes, stripes_protocol, stripes_store
from test_resume import CONFIGS
from zsar_lab.train.loop import train
torch.manual_seed(99), np.random.seed(99), torch.rand(7)
store = stripes_store(Path(sys.argv[1]))
for folder in Path(sys.argv[1]).iterdir():
    train(store, stripes_protocol(store), stripes_classes(), CONFIGS[folder.name.split(";")[0]], folder, device="cpu")
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple:
    store = stripes_store(tmp_path_factory.mktemp("store"))
    return store, stripes_protocol(store), stripes_classes()


@pytest.fixture(scope="module")
def wholes(data, tmp_path_factory) -> dict:
    """Each configuration trained from start to end, without a stop."""
    folder = tmp_path_factory.mktemp("whole")
    return {name: train(*data, config, folder / name, device="cpu") for name, config in CONFIGS.items()}


def stop(data: tuple, name: str, batch: int | None, folder: Path) -> None:
    def at_the_end(history):
        if batch is None:
            interrupt()

    with (
        pytest.MonkeyPatch.context() as patched,
        pytest.raises(TrainingInterrupted, match="interrupted at step"),
    ):
        if batch is not None:
            interrupt_in_batch(patched, batch)
        train(
            *data, CONFIGS[name], folder, device="cpu", on_epoch=at_the_end, readers=2
        )  # and gone on with without any


def assert_same_training(found, whole) -> None:
    assert_same_state(found, whole)
    assert_same_state(
        *(load_checkpoint(checkpoint.path.with_name(BEST_NAME)) for checkpoint in (found, whole))
    )
    timeless = [
        [entry | dict.fromkeys(FORMATS, 0) for entry in checkpoint.history] for checkpoint in (found, whole)
    ]
    assert timeless[0] == timeless[1] and found.fingerprint == whole.fingerprint
    logs = [
        pd.read_csv(checkpoint.path.with_name("log.csv")).drop(columns=list(FORMATS))
        for checkpoint in (found, whole)
    ]
    pd.testing.assert_frame_equal(*logs)


@pytest.fixture(scope="module")
def resumed(data, tmp_path_factory) -> Path:
    """Each stop of each configuration, gone on with in a process of its own that has another seed."""
    folder = tmp_path_factory.mktemp("resumed")
    for name, stops in STOPS.items():
        for batch, step in stops:
            stop(data, name, batch, folder / f"{name};{batch}")
            assert load_checkpoint(folder / f"{name};{batch}").step == step
    paths = os.pathsep.join(
        [
            str(Path(__file__).parents[2]),
            str(Path(__file__).parents[1] / "fixtures"),
            str(Path(__file__).parent),
        ]
    )
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", RESUME, str(folder)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize(
    ("name", "batch"), [(name, batch) for name, stops in STOPS.items() for batch, _ in stops]
)
def test_a_training_resumed_in_a_new_process_is_the_same(name, batch, wholes, resumed):
    assert_same_training(load_checkpoint(resumed / f"{name};{batch}"), wholes[name])


def test_a_training_stopped_at_every_second_step_is_the_same(data, wholes, tmp_path):
    name = "accumulated, averaged, channels last"
    for _ in range(4):
        torch.rand(3)  # the ambient generator is elsewhere each time
        stop(data, name, 3, tmp_path)
    assert load_checkpoint(tmp_path).step == 8
    assert_same_training(train(*data, CONFIGS[name], tmp_path, device="cpu"), wholes[name])


def test_the_record_carries_sums_only_within_an_epoch(data, wholes, tmp_path):
    def record(path: Path) -> dict:
        with open(path, "rb") as opened:
            size = int.from_bytes(opened.read(8), "little")
            return json.loads(json.loads(opened.read(size))["__metadata__"]["zsar_lab"])

    assert record(wholes["plain"].path).keys() == {"config", "inputs", "step", "total_steps", "history"}
    stop(data, "plain", None, tmp_path / "end")
    assert record(tmp_path / "end" / "checkpoint.safetensors").keys() == record(wholes["plain"].path).keys()
    stop(data, "plain", 5, tmp_path / "within")
    running = record(tmp_path / "within" / "checkpoint.safetensors")["running"]
    assert running["n_clips"] == 16 and running["sums"].keys() == {"classification", "alignment", "matching"}
