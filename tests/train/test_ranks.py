"""zsar_lab.train: several ranks take the steps that one takes, stop together, and say when one of them is gone."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_training import assert_same_state, stripes_classes, stripes_protocol, stripes_store
from torch import nn
from two_ranks import CONFIGS, run

from zsar_lab.train import ranks as ranks_file
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.train.rank_batch_norm import RankBatchNorm, synchronised
from zsar_lab.train.ranks import ALONE, VARIABLES, Ranks, started_ranks
from zsar_lab.train.torchrun import cause_in, train_by_torchrun

pytestmark = pytest.mark.long

HERE = Path(__file__).parents[1] / "fixtures"


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


def variables(rank: int, count: int, port: int) -> dict[str, str]:
    return dict(zip(VARIABLES, (str(rank), str(count), str(rank), "127.0.0.1", str(port)), strict=True))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where two ranks have trained."""
    folder, port = tmp_path_factory.mktemp("ranks"), free_port()
    paths = os.pathsep.join([str(HERE.parents[1]), str(HERE)])
    environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(HERE / "two_ranks.py"), str(folder)]
    started = [
        subprocess.Popen(command, env=environment | variables(n, 2, port), stderr=subprocess.PIPE, text=True)
        for n in range(2)
    ]
    said = [process.communicate(timeout=300)[1] for process in started]
    assert [process.returncode for process in started] == [0, 7], "\n".join(said)
    return folder


@pytest.fixture(scope="module")
def seen(folder) -> list[dict]:
    return [json.loads((folder / f"rank {number}.json").read_text()) for number in range(2)]


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple:
    store = stripes_store(tmp_path_factory.mktemp("store"))
    return store, stripes_protocol(store), stripes_classes()


def largest_difference(one: Path, other: Path) -> float:
    first, second = (load_file(path / "checkpoint.safetensors") for path in (one, other))
    assert first.keys() == second.keys()
    return max(float((first[name].double() - second[name].double()).abs().max()) for name in first)


@pytest.mark.parametrize(
    "name", ["plain", "two losses", "accumulated, still", "a clip less than ranks, still"]
)
def test_two_ranks_train_as_one(name, folder, seen, data, tmp_path):
    alone = run(name, data, tmp_path)
    assert largest_difference(tmp_path, folder / name) < 1e-5
    assert load_checkpoint(tmp_path).fingerprint == load_checkpoint(folder / name).fingerprint
    for entry, (ours, theirs) in zip(
        alone["history"], zip(*(rank[name]["history"] for rank in seen), strict=True), strict=True
    ):
        for figure in (
            key for key in entry if key in ("classification", "alignment", "matching") or "top1" in key
        ):
            assert ours[figure] == theirs[figure] == pytest.approx(entry[figure], abs=1e-5)


@pytest.mark.parametrize("name", CONFIGS)
def test_each_clip_is_read_once_an_epoch_by_one_of_the_ranks(name, seen, data):
    store, protocol, _ = data
    trained_on = sorted(store.rows(protocol.train_clips))
    n_steps = len(seen[0][name]["read"]) // CONFIGS[name].epochs
    assert [step for step, _ in seen[0][name]["read"]] == [step for step, _ in seen[1][name]["read"]]
    for epoch in range(CONFIGS[name].epochs):
        of_epoch = slice(epoch * n_steps, (epoch + 1) * n_steps)
        assert (
            sorted(row for rank in seen for _, rows in rank[name]["read"][of_epoch] for row in rows)
            == trained_on
        )
    assert not any(
        len(ours) < len(theirs)
        for (_, ours), (_, theirs) in zip(*(rank[name]["read"] for rank in seen), strict=True)
    )


def test_statistics_of_each_rank_make_another_training(folder, data, tmp_path):
    run("each its own statistics", data, tmp_path)
    assert 1e-3 < largest_difference(tmp_path, folder / "each its own statistics")


def test_a_signal_to_one_rank_stops_both_at_one_step_and_what_is_resumed_is_the_same(folder, seen):
    for rank in seen:
        assert rank["stopped"]["said"].startswith(
            "TrainingInterrupted: training was interrupted at step 5 of 9;"
        )
        assert [step for step, _ in rank["the rest"]["read"]] == [5, 6, 7, 8]
    assert load_checkpoint(folder / "stopped").step == 5
    assert_same_state(
        load_checkpoint(folder / "stopped, gone on with"), load_checkpoint(folder / "dropout, averaged")
    )


def test_another_number_of_ranks_goes_on_and_reads_each_clip_once(folder, seen, data, tmp_path):
    store, protocol, _ = data
    shutil.copytree(folder / "stopped", tmp_path / "run")
    rest = run("dropout, averaged", data, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run").complete and [step for step, _ in rest["read"]] == [5, 6, 7, 8]
    before = [
        rows for rank in seen for step, rows in rank["stopped"]["read"] if 3 <= step < 5
    ]  # of the epoch of steps 3, 4 and 5
    after = [rows for step, rows in rest["read"] if step == 5]
    assert sorted(row for rows in before + after for row in rows) == sorted(store.rows(protocol.train_clips))


def test_a_loss_that_is_not_finite_on_one_rank_stops_both(seen):
    assert seen[0]["not finite"]["said"] == seen[1]["not finite"]["said"]
    assert seen[0]["not finite"]["said"].startswith(
        "ValueError: every loss must stay finite, alignment became nan at step 1;"
    )


def test_ranks_that_were_given_different_things_are_refused(folder, seen):
    for number, rank in enumerate(seen):
        said = rank["differ"]["said"]
        assert said.startswith(
            "ValueError: all 2 ranks must have the same configuration, protocol, frames and class texts, but they differ"
        )
        assert f"(rank {number}: " in said and said.endswith("; give all the same study")
        said = rank["no shared disk"]["said"]
        assert (
            "all 2 ranks must have the same checkpoint" in said and "on a disk that all of them see" in said
        )
    assert not list((folder / "differ").glob("*.safetensors"))


def test_a_rank_that_dies_is_said_by_the_others(seen):
    assert seen[0]["lost"]["said"].startswith(
        "RuntimeError: all 2 ranks must stay to the end, but rank 0 lost another one; '"
    )
    assert seen[0]["lost"]["said"].endswith(
        "is as it was last saved, start all of them again to go on from there"
    )


def test_the_first_rank_goes_first(folder):
    assert (folder / "turns.txt").read_text() == "01"


def test_a_rank_that_does_not_come_is_said(monkeypatch):
    for name, value in variables(0, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        RuntimeError,
        match=r"ranks must start within 1 s, but rank 0 could not meet the others \(.*1/2 .*\); start the missing",
    ):
        with started_ranks("cpu", timeout_s=1):
            pass


def test_half_of_torchruns_variables_are_refused(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(
        ValueError,
        match="needs all of RANK, WORLD_SIZE, .* got RANK without WORLD_SIZE; start it by torchrun",
    ):
        with started_ranks():
            pass


def test_a_rank_does_not_train_by_itself(data, tmp_path, monkeypatch):
    for name, value in variables(1, 2, free_port()).items():
        monkeypatch.setenv(name, value)
    assert run("plain", data, tmp_path)["said"].startswith(
        "ValueError: one of several ranks must train with the others, but this one (rank 1 of 2) was told of none"
    )
    assert not list(tmp_path.glob("*.safetensors"))


def test_one_process_is_alone(monkeypatch):
    with started_ranks() as ranks:
        assert ranks is ALONE
    for name, value in variables(0, 1, free_port()).items():
        monkeypatch.setenv(name, value)
    with started_ranks() as ranks:
        assert ranks is ALONE
    module = nn.Sequential(nn.BatchNorm1d(2))
    assert (
        ranks.joined(module, torch.device("cpu"), False) is module
        and ranks.with_shared_statistics(module, torch.device("cpu")) is module
    )
    assert ranks.total([1.5, 2.0]) == [1.5, 2.0] and ranks.any(True) and not ranks.any(False)
    with ranks.first_alone(), ranks.together("nothing"):
        ranks.wait()


def test_more_ranks_than_gpus_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name, value in (variables(2, 4, free_port()) | {"LOCAL_WORLD_SIZE": "4"}).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        ValueError, match="a GPU for each of its ranks, got 4 ranks and 2; set --nproc-per-node to 2"
    ):
        with started_ranks():
            pass


@pytest.mark.parametrize("n_axes", [0, 2, 3])
def test_batch_norm_of_one_rank_is_torchs(n_axes, monkeypatch):
    """Values, gradients, running statistics, and evaluation; with nothing to add up the sums are those of one rank."""
    monkeypatch.setattr("torch.distributed.all_reduce", lambda values: None)
    kind = {0: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[n_axes]
    generator = torch.Generator().manual_seed(0)
    plain, ours = kind(3), nn.Sequential(kind(3))
    for norm in (plain, ours[0]):
        norm.load_state_dict(
            norm.state_dict()
            | {"weight": torch.tensor([1.0, -2.0, 0.5]), "bias": torch.tensor([0.1, 0.2, -0.3])}
        )
    synchronised(ours, torch.device("cpu"))
    assert isinstance(ours[0], RankBatchNorm) and list(ours[0].state_dict()) == list(plain.state_dict())
    for _ in range(3):
        x = 5 + 2 * torch.randn(4, 3, *[5] * n_axes, generator=generator)
        weights = torch.randn(x.shape, generator=generator)
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        outputs = [norm(given) for norm, given in zip((plain, ours), inputs, strict=True)]
        for output in outputs:
            (output * weights).sum().backward()
        torch.testing.assert_close(outputs[1], outputs[0], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(inputs[1].grad, inputs[0].grad, atol=1e-5, rtol=1e-4)
    for (name, value), other in zip(plain.named_parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(
            other.grad, value.grad, msg=lambda m, name=name: f"{name}: {m}", atol=1e-4, rtol=1e-4
        )
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(ours[0].state_dict()[name], value)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))


def test_an_error_that_is_not_a_lost_rank_stays_what_it_is():
    with pytest.raises(RuntimeError, match="^a matrix does not fit$"), Ranks(0, 2).together("kept"):
        raise RuntimeError("a matrix does not fit")
    assert ranks_file.ALONE.count == 1 and repr(Ranks(1, 4)) == "Ranks(1 of 4)"


def test_the_cause_is_said_by_the_rank_that_failed_first(seen):
    lost = "rank 0: " + seen[0]["lost"]["said"].removeprefix("RuntimeError: ")
    waited = "rank 1: rank 1 waited for rank 0, which failed; see what rank 0 said"
    cause, agents = (
        "rank 1: a batch of 64 clips must fit into the memory of cuda:1, but does not",
        "Root Cause (first observed failure):",
    )
    assert cause_in([agents, cause, lost, waited, agents]) == cause_in([lost, cause, agents]) == cause
    assert (
        cause_in([agents, lost, agents]) == lost
        and cause_in(["no module"]) == "no module"
        and cause_in([]) == "it said nothing"
    )


def test_torchrun_is_for_more_than_one_process_and_says_how_it_ended(tmp_path):
    with pytest.raises(ValueError, match="processes of a training by torchrun must be 2 or more, got 1"):
        train_by_torchrun(("train",), tmp_path, 1)
    said: list[str] = []
    with pytest.raises(
        RuntimeError, match="training on 2 ranks ended with status 1: .*; run it again to go on"
    ):
        train_by_torchrun(("no such command",), tmp_path, 2, say=said.append)
    assert any("invalid choice: 'no such command'" in line for line in said)
