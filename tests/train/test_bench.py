"""The benches run, and both sides are the same training; no speed is asserted."""

from __future__ import annotations

import importlib
import json
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch

from zsar_lab import cli
from zsar_lab.cli import models
from zsar_lab.data.loader import centre_view

pytestmark = pytest.mark.long

ROOT, CPU = Path(__file__).parents[2], torch.device("cpu")


@pytest.fixture
def engine(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    return importlib.import_module("bench_engine")


def test_the_command_writes_ratios_of_its_sides(engine, tmp_path, capsys, monkeypatch):
    path = tmp_path / "figures.json"
    command = ["bench", "--tiny", "--seconds", "0.05", "--device", "cpu", "--json", str(path)]
    assert cli.main(command) == 0
    found, printed = json.loads(path.read_text()), capsys.readouterr().out
    sides = {name: np.array(side["blocks_s"]) for name, side in found["sides"].items()}
    ratio = float(np.median(sides["engine"] / sides["bare"]))
    assert found["engine_over_bare"] == pytest.approx(ratio) and f"engine_over_bare {ratio:.4f}" in printed
    low, high = found["loader_in_over_memory_ci95"]
    assert low <= found["loader_in_over_memory"] <= high and "engine with loader" in printed
    assert cli.main(["bench", "--seconds", "0"]) == 2
    assert cli.main(["bench", "--preset", "rest50"]) == 2
    monkeypatch.setattr(models, "__file__", str(tmp_path / "zsar_lab/cli/models.py"))  # as from the wheel
    assert cli.main(["bench"]) == 2 and "checkout" in capsys.readouterr().err


def test_both_sides_are_the_same_training(engine, tmp_path, monkeypatch):
    def view(frames, config, generator, share=None):
        return centre_view(frames, config)

    monkeypatch.setattr(engine, "training_view", view)
    monkeypatch.setattr("zsar_lab.train.loop.training_view", view)
    monkeypatch.setattr(torch, "rand", lambda *shape, **more: torch.full(shape, 0.5))
    monkeypatch.setattr("zsar_lab.train.loop.learning_rate", lambda step, total, config, peak: peak / 100)
    study = engine.generated(engine.bench_config("demo", True), tmp_path, tiny=True)
    study.config.model.__dict__["dropout"] = 0.0
    ours, bare = engine.Engine(study, CPU), engine.BareLoop(study, CPU)
    bare.model.load_state_dict(ours.training.model.state_dict())
    with closing(ours.batches(study.store.frames)) as batches:
        for _, batch in zip(range(3), batches, strict=False):
            assert sum(ours.step(batch).values()) == pytest.approx(bare.step(batch), rel=1e-4)
    for name, value in bare.model.state_dict().items():
        torch.testing.assert_close(ours.training.model.state_dict()[name], value, atol=1e-5, rtol=1e-3)


def test_the_table_goes_on_when_a_row_fails(engine, tmp_path, monkeypatch):
    table, path = importlib.import_module("gpu_table"), tmp_path / "table.json"
    monkeypatch.setattr(table, "embed_clips", lambda *_: 1 / 0)
    rows = ["conv3d", "rest18", "embedding", "neighbours"]
    options = ["--tiny", "--seconds", "0.05", "--device", "cpu", "--rows", *rows, "--json", str(path)]
    found = table.main(options)
    assert json.loads(path.read_text())["rows"] == found["rows"]
    kinds = [row["row"] for row in found["rows"]]
    assert kinds == ["conv3d"] * 12 + ["training"] * 2 + ["embedding"] * 2 + ["neighbours"]
    failed = [row.get("failed") for row in found["rows"] if row["row"] == "embedding"]
    assert failed == ["ZeroDivisionError: division by zero"] * 2
    assert all("clips_per_s_jpeg" in row for row in found["rows"] if row["row"] == "training")
    with pytest.raises(SystemExit):
        table.main(["--device", "cpu"])
