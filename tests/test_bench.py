"""python -m zsar_lab bench: its figures fit each other, and its two sides are the same training. How fast anything is, is not asserted."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import replace

import pytest
import torch

from zsar_lab.__main__ import main
from zsar_lab.model import conv3d_check
from zsar_lab.model.conv3d_check import CASES, MOST_ERROR, check_conv3d
from zsar_lab.training import bench, bench_table, loop, step
from zsar_lab.training.bench import BareLoop, Engine, Side, alternate, bench_config, generated
from zsar_lab.training.presets import PRESETS

CPU = torch.device("cpu")
RATIOS = ("engine_over_bare", "engine_over_bare_process", "loader_in_over_memory", "loader_in_over_memory_process")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[dict, list[str]]:
    """The json and the lines of a tiny bench, with one row of the table."""
    path, printed = tmp_path_factory.mktemp("bench") / "figures.json", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench_table, "WANTED", {"rest18": bench_table.WANTED["rest18"]})
        patch.setattr(bench, "FEWEST_BLOCKS", 2)
        patch.setattr("builtins.print", lambda *words, **_: printed.extend(" ".join(words).splitlines()))
        assert main(["bench", "--tiny", "--seconds", "0.05", "--device", "cpu", "--json", str(path)]) == 0
    return json.loads(path.read_text(encoding="utf-8")), printed


def test_the_json_names_what_was_measured(run):
    found, _ = run
    assert {"engine_over_bare", "loader_in_over_memory", "clips_per_s", "device"} < set(found)
    assert found["preset"] == "demo" and found["tiny"] and found["device"].startswith("CPU (") and found["torch"] == torch.__version__
    assert found["batch_size"] == 2 and found["threads"] == 1
    assert all(math.isfinite(found[name]) and found[name] > 0 for name in (*RATIOS, "clips_per_s", "gflop_per_clip", "peak_share"))
    assert set(found["sides"]) == {"bare", "engine", "engine with loader"}
    assert all(side["step_s_quarter"] <= side["step_s"] <= side["step_s_three_quarters"] for side in found["sides"].values())


def test_the_ratios_are_those_of_the_sides(run):
    found, _ = run
    for key, suffix in (("blocks_s", ""), ("blocks_process_s", "_process")):
        bare, engine, with_loader = (found["sides"][name][key] for name in ("bare", "engine", "engine with loader"))
        of_rounds = [e / b for e, b in zip(engine, bare, strict=True)], [e / w for e, w in zip(engine, with_loader, strict=True)]
        assert found[f"engine_over_bare{suffix}"] == pytest.approx(statistics.median(of_rounds[0]))
        assert found[f"loader_in_over_memory{suffix}"] == pytest.approx(statistics.median(of_rounds[1]))
    assert all(side["step_s"] == pytest.approx(statistics.median(side["blocks_s"])) for side in found["sides"].values())
    assert found["clips_per_s"] == pytest.approx(found["batch_size"] / found["sides"]["engine"]["step_s"])
    assert found["peak_share"] == pytest.approx(found["clips_per_s"] * found["gflop_per_clip"] / found["peak_gflop_per_s"])
    for name in RATIOS:
        low, high = found[f"{name}_ci95"]
        assert low <= found[name] <= high
    assert found["peak_share"] == pytest.approx(found["clips_per_s"] * found["gflop_per_clip"] / found["peak_gflop_per_s"])


def test_what_is_printed_is_what_is_written(run):
    found, printed = run
    text = "\n".join(printed)
    assert f"engine_over_bare {found['engine_over_bare']:.4f}" in text and f"loader_in_over_memory {found['loader_in_over_memory']:.4f}" in text
    for name, side in found["sides"].items():
        line = next(line for line in printed if line.startswith(f"{name:20} "))
        assert f"{1e3 * side['step_s']:.1f}" in line and f"{side['clips_per_s']:.1f}" in line
    assert "tiny: to see that it runs, not how fast" in text and printed[-1].startswith("Written to ")


def test_the_table_and_the_check_are_tried_at_a_small_size(run):
    found, printed = run
    (row,) = found["table"]
    assert row["preset"] == "rest18" and (row["must"], row["stretch"]) == (2000, 3700) and row["clips_per_s"] > 0
    assert row["loader_in_over_memory"] > 0 and row["clips_per_s_with_loader"] > 0
    assert any(line.startswith("rest18 ") and "2000 (3700)" in line for line in printed)
    assert len(found["conv3d"]) == 2 * len(CASES) and all(0 < value["max_error"] for value in found["conv3d"].values())


def test_on_a_cpu_what_needs_a_gpu_is_left_out_with_a_sentence(monkeypatch):
    sides = {name: Side((0.1, 0.2, 0.3), (0.1, 0.1, 0.1), 4) for name in ("bare", "engine", "engine with loader")}
    monkeypatch.setattr(bench_table, "measure", lambda *_: sides)
    lines = []
    found = bench_table.bench("demo", 1.0, device="cpu", say=lines.append)
    assert found["table"] is None and found["conv3d"] is None and found["engine_over_bare"] == 1.0 and found["clips_per_s"] == 20.0
    assert "need a GPU and were left out" in lines[-1]


def test_the_interval_of_a_ratio():
    times = tuple(0.1 + 0.001 * (number % 7) for number in range(41))
    doubled = tuple(2 * value for value in times)
    sides = {"bare": Side(times, times, 4), "engine": Side(doubled, times, 4), "engine with loader": Side(times, times, 4)}
    found = bench_table.ratios(sides, by_process=True)
    # side by side: what slows both alike leaves the ratio as it is
    assert found["engine_over_bare"] == pytest.approx(2.0) and found["engine_over_bare_ci95"] == pytest.approx([2.0, 2.0])
    assert found["loader_in_over_memory"] == pytest.approx(2.0) and found["loader_in_over_memory_process_ci95"] == pytest.approx([1.0, 1.0])


def test_on_a_gpu_there_is_no_processor_time():
    sides = {name: Side((0.1, 0.2), (0.1, 0.1), 4) for name in ("bare", "engine", "engine with loader")}
    found = bench_table.ratios(sides, by_process=False)
    assert all((found[name] is None) == ("process" in name) == (found[f"{name}_ci95"] is None) for name in RATIOS)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--preset", "rest50"], "preset must be one of demo, rest18, rest101, rest_r3d18, rest_r2plus1d18, got 'rest50'"),
        (["--seconds", "0"], "seconds of a measurement must be above 0, got 0.0"),
    ],
)
def test_a_wrong_option_ends_in_a_sentence(arguments, sentence, capsys):
    assert main(["bench", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_its_generated_clips(name, tmp_path):
    config = bench_config(name, tiny=True)
    store, protocol, classes, _ = generated(config, tmp_path, 1)
    assert len(protocol.train_clips) == 2 * config.batch_size == len(store) - 2
    assert store.frames.shape[1] >= config.view.n_frames and store.frames.shape[2] >= config.view.size_px and store.frames.std() > 50
    assert classes.pooled_CF.shape == (config.model.n_seen, config.model.text_width)


def test_both_sides_are_the_same_training(tmp_path, monkeypatch):
    """Without anything random, from the same weights, and at the same rate, both lower the loss alike."""
    config = bench_config("demo", tiny=True)
    config = replace(config, n_match_labels=config.model.n_seen, model=replace(config.model, dropout=0.0))
    study = generated(config, tmp_path, 1)
    for module in (step, bench):
        monkeypatch.setattr(module, "training_view", lambda frames, settings, *_: loop.centre_view(frames, settings))
    with torch.random.fork_rng():
        engine, bare = Engine(study, CPU), BareLoop(study, CPU)
    bare.model.load_state_dict(engine.training.model.state_dict())
    monkeypatch.setattr(step, "learning_rate", lambda *_: bare.optimiser.param_groups[0]["lr"])
    batch = next(engine.batches())
    for _ in range(4):
        assert sum(engine.step(batch).values()) == pytest.approx(bare.step(batch.frames_BNHWC, batch.target_B), rel=1e-5)
    for name, value in engine.training.model.state_dict().items():
        torch.testing.assert_close(value, bare.model.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_sides_are_measured_in_turn():
    calls = []
    sides = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 1e-9, 3, CPU)
    assert "".join(calls) == "abab" + "baabbaabba"
    assert all(len(side.wall) == 5 and side.clips_per_s == 3 / statistics.median(side.wall) for side in sides.values())


def test_a_wrong_convolution_is_seen(monkeypatch):
    assert all(result.max_error < MOST_ERROR for result in check_conv3d(CPU, 1, tiny=True).values())
    right = conv3d_check.conv3d

    def wrong(clip, weight, **options):
        return right(clip, weight, **options) * (1.1 if clip.dtype == torch.bfloat16 else 1.0)

    monkeypatch.setattr(conv3d_check, "conv3d", wrong)
    lines = []
    bench_table.conv3d_rows(CPU, True, lines.append)
    assert sum("WRONG: more than 0.02" in line for line in lines) == 2 * len(CASES)
