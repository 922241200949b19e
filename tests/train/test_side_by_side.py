"""zsar_lab.train: trainings in processes of their own share the GPUs, and a failed one says why."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from zsar_lab.train.side_by_side import train_side_by_side, visible_gpus

pytestmark = pytest.mark.long

# a command that leaves a log of one epoch and says which GPU it was given
TRAINS = """
import os, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
(folder / "gpu").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))
(folder / "log.csv").write_text("epoch,step,best_epoch\\n1,7,1\\n")
time.sleep(float(sys.argv[2]))
"""


def trained(folder: Path, names: str, workers: int, sleep_s: float = 0.0) -> tuple[dict[str, str], list]:
    """The GPU of each split, and the histories that were shown."""
    folders, shown = {name: folder / name for name in names}, []
    for path in folders.values():
        path.mkdir()

    def command(split: str) -> list[str]:
        return [sys.executable, "-c", TRAINS, str(folders[split]), str(sleep_s)]

    train_side_by_side(folders, command, 1, workers, shown.append)
    return {name: (path / "gpu").read_text() for name, path in folders.items()}, shown


def test_trainings_at_a_time_have_a_gpu_each(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    gpus, shown = trained(tmp_path, "abcd", 4, 0.3)
    assert [gpus[name] for name in "abc"] == ["0", "1", "2"] and gpus["d"] in "012"
    assert shown[-1] == {name: [{"epoch": 1, "step": 7}] for name in "abcd"}


def test_a_gpu_that_is_free_again_is_used_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5, 7")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert visible_gpus() == ["5", "7"]
    assert trained(tmp_path, "abc", 1)[0] == dict.fromkeys("abc", "5")


@pytest.mark.parametrize("n_gpus", [0, 1])
def test_with_one_gpu_or_none_nothing_is_chosen(n_gpus, tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
    assert trained(tmp_path, "a", 2)[0] == {"a": "none"}


def test_a_training_that_fails_says_its_last_line(tmp_path):
    (tmp_path / "a").mkdir()
    with pytest.raises(
        RuntimeError,
        match="training a ended with status 3: no luck; run it again to go on from its checkpoint",
    ):
        train_side_by_side(
            {"a": tmp_path / "a"}, lambda _: [sys.executable, "-c", "print('no luck'); exit(3)"], 1, 1
        )
