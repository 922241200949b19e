"""Several ranks take the steps that one takes and stop together; trainings as processes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_training import assert_same_state
from torch import nn
from two_ranks import CONFIGS, run, run_two, variables

from zsar_lab.models.losses import LOSSES
from zsar_lab.train import distributed
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.train.distributed import started_ranks
from zsar_lab.train.processes import (
    TrainingInterrupted,
    cause_in,
    on_ranks,
    train_in_processes,
    visible_gpus,
)

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def seen(folder) -> list[dict]:
    """What two ranks saw in `folder`."""
    return run_two("two_ranks.py", folder, [0, 7])


def largest_difference(one: Path, other: Path) -> float:
    first, second = (load_file(path / "checkpoint.safetensors") for path in (one, other))
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


@pytest.mark.parametrize("name", [name for name in CONFIGS if name != "dropout, averaged"])
def test_two_ranks_train_as_one(name, folder, seen, data, tmp_path):
    alone = run(name, data, tmp_path)
    assert largest_difference(tmp_path, folder / name) < 1e-5
    assert load_checkpoint(tmp_path).fingerprint == load_checkpoint(folder / name).fingerprint
    histories = alone["history"], *(rank[name]["history"] for rank in seen)
    for entry, ours, theirs in zip(*histories, strict=True):
        figures = [key for key in entry if key in LOSSES or "top1" in key]
        assert [ours[key] for key in figures] == [theirs[key] for key in figures]
        assert [ours[key] for key in figures] == pytest.approx([entry[key] for key in figures], abs=1e-5)


def test_each_clip_is_read_once_an_epoch_by_one_of_the_ranks(seen, data):
    store, protocol, _ = data
    for name, config in CONFIGS.items():
        first, second = (rank[name]["read"] for rank in seen)
        assert [step for step, _ in first] == [step for step, _ in second]
        n_steps = len(first) // config.epochs
        for start in range(0, len(first), n_steps):
            read = (step for rank in (first, second) for step in rank[start : start + n_steps])
            rows = [row for _, own in read for row in own]
            assert sorted(rows) == sorted(store.rows(protocol.train_clips))
        assert all(len(ours) >= len(theirs) for (_, ours), (_, theirs) in zip(first, second, strict=True))


def test_a_signal_to_one_rank_stops_both_and_what_is_resumed_is_the_same(folder, seen, data, tmp_path):
    for rank in seen:
        assert "training was interrupted at step 5 of 9" in rank["stopped"]["error"]
        assert [step for step, _ in rank["the rest"]["read"]] == [5, 6, 7, 8]
    whole = load_checkpoint(folder / "dropout, averaged")
    assert load_checkpoint(folder / "stopped").step == 5
    assert_same_state(load_checkpoint(folder / "gone on with"), whole)
    # another number of ranks goes on too, and reads each clip once in the epoch of steps 3, 4 and 5
    shutil.copytree(folder / "stopped", tmp_path / "run")
    rest = run("dropout, averaged", data, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").complete and [step for step, _ in rest["read"]] == [5, 6, 7, 8]
    before = [rows for rank in seen for step, rows in rank["stopped"]["read"] if 3 <= step < 5]
    after = [rows for step, rows in rest["read"] if step == 5]
    rows = sorted(row for rows in before + after for row in rows)
    assert rows == sorted(data[0].rows(data[1].train_clips))


def test_what_goes_wrong_is_an_error_on_every_rank(folder, seen):
    errors = {name: [rank.get(name, {}).get("error") for rank in seen] for name in seen[0]}
    nan = "ValueError: loss alignment must be finite, got nan at step 1"
    assert all(error.startswith(nan) for error in errors["not finite"])
    for number, (differ, no_disk) in enumerate(zip(errors["differ"], errors["no shared disk"], strict=True)):
        assert differ.startswith("ValueError: all 2 ranks must have the same study")
        assert f"rank {number}: " in differ
        assert "the same checkpoint, on a disk that all see" in no_disk
    assert not list((folder / "differ").glob("*.safetensors"))
    lost = errors["lost"][0].removeprefix("RuntimeError: ")
    assert lost.startswith("all 2 ranks must stay to the end, rank 0 lost another")
    assert (folder / "turns.txt").read_text() == "01"  # the first rank goes first
    # the cause is that of the rank that failed by itself
    lost, waited = f"rank 0: {lost}", "rank 1: rank 1 waited for rank 0, which failed, see its message"
    cause, agents = "rank 1: 64 clips do not fit into memory", "Root Cause (first observed failure):"
    assert cause_in([agents, cause, lost, waited, agents]) == cause_in([lost, cause, agents]) == cause
    assert cause_in([agents, lost, agents]) == lost and cause_in(["no module"]) == "no module"
    assert cause_in([]) == "it printed nothing"


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (variables(0, 2), RuntimeError, "2 ranks must start within 1 s, rank 0"),
        ({"RANK": "0"}, ValueError, "WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT is missing"),
        (variables(2, 4) | {"on gpu": ""}, ValueError, "got 2; set --nproc-per-node to 2"),
    ],
)
def test_ranks_that_cannot_start_are_refused(given, kind, message, monkeypatch):
    on_gpu = given.pop("on gpu", None) is not None
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(kind, match=message), started_ranks(timeout_s=1):
        pass


def test_a_rank_does_not_train_by_itself(data, tmp_path, monkeypatch):
    for name, value in variables(1, 2).items():
        monkeypatch.setenv(name, value)
    assert run("plain", data, tmp_path)["error"].startswith("ValueError: rank 1 of 2 must join the others")
    assert not list(tmp_path.glob("*.safetensors"))


@pytest.mark.parametrize("started", [{}, variables(0, 1)])
def test_one_process_is_a_group_of_its_own(started, monkeypatch):
    for name, value in started.items():
        monkeypatch.setenv(name, value)
    module = nn.Sequential(nn.BatchNorm1d(2))
    with started_ranks(), distributed.rank_zero_first(), distributed.each_rank_at_own_pace():
        assert (distributed.rank(), distributed.world_size(), distributed.is_first()) == (0, 1, True)
        assert distributed.joined(module, False) is module
        assert distributed.with_shared_statistics(module, torch.device("cpu")) is module
        assert distributed.total({"a": 1.5}) == {"a": 1.5}
        assert distributed.any_rank(True) and not distributed.any_rank(False)
        distributed.barrier()
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    with pytest.raises(RuntimeError, match="^a matrix does not fit$"), distributed.to_the_end("there"):
        raise RuntimeError("a matrix does not fit")


@pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.BatchNorm3d])
def test_batch_norm_of_one_rank_is_torchs(kind, monkeypatch):
    """Values, gradients, running statistics, and evaluation; with nothing to add up sums are of one rank."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda values: None)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    generator = torch.Generator().manual_seed(0)
    plain, ours = kind(3), nn.Sequential(kind(3))
    affine = {"weight": torch.tensor([1.0, -2.0, 0.5]), "bias": torch.tensor([0.1, 0.2, -0.3])}
    for norm in (plain, ours[0]):
        norm.load_state_dict(norm.state_dict() | affine)
    distributed.with_shared_statistics(ours, torch.device("cpu"))
    for _ in range(3):
        x = 5 + 2 * torch.randn(4, 3, *[5] * (3 if kind is nn.BatchNorm3d else 0), generator=generator)
        weights = torch.randn(x.shape, generator=generator)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(given) for norm, given in zip((plain, ours), inputs, strict=True)]
        for output in outputs:
            (output * weights).sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, atol=1e-5, rtol=1e-4)
    for value, other in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(other.grad, value.grad, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(ours[0].state_dict(), plain.state_dict())
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))


def test_ranks_of_torchrun_end_with_their_message(tmp_path):
    command = [sys.executable, "-m", "zsar_lab", "train", "x", "--workspace", str(tmp_path / "none")]
    assert on_ranks(command, 1) == command
    with pytest.raises(RuntimeError, match="training a ended with status 1: rank .*none"):
        train_in_processes({"a": tmp_path}, lambda _: on_ranks(command, 2), 1, 1)


def test_sigterm_and_interrupts_reach_the_trainings(tmp_path):
    waits = "import time\ntry: time.sleep(60)\nexcept KeyboardInterrupt: open('saved', 'w')"
    command = [sys.executable, "-c", f"import os; os.chdir({str(tmp_path)!r})\n{waits}"]
    timer = threading.Timer(3, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    with pytest.raises(TrainingInterrupted, match="training a"):
        train_in_processes({"a": tmp_path}, lambda _: command, 1, 1)
    assert (tmp_path / "saved").is_file() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


# a command that leaves a log of one epoch and the GPU it was given
TRAINS = """
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
(folder / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
(folder / "log.csv").write_text("epoch,step\\n1,7\\n")
time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("n_gpus", "visible", "names", "workers", "expected"),
    [
        (3, None, "abc", 4, ["0", "1", "2"]),  # a GPU each
        (2, "5, 7", "abc", 2, ["5", "7", "5"]),  # one that is free again is used again
        (1, None, "a", 2, ["none"]),
        (0, None, "a", 2, ["none"]),
    ],
)
def test_trainings_share_the_gpus(n_gpus, visible, names, workers, expected, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    assert len(visible_gpus()) == n_gpus
    folders, shown = {name: tmp_path / name for name in names}, []
    for path in folders.values():
        path.mkdir()

    def command(split: str) -> list[str]:
        return [sys.executable, "-c", TRAINS, str(folders[split]), "0.3"]

    train_in_processes(folders, command, 1, workers, shown.append)
    assert [(path / "gpu").read_text() for path in folders.values()] == expected
    assert shown[-1] == {name: [{"epoch": 1, "step": 7}] for name in names}
    train_in_processes({}, command, 1, 1)
