"""python -m zsar_lab bench: its figures fit each other, and its two sides are the same training. How fast anything is, is not asserted."""

from __future__ import annotations

import importlib.util
import json
import math
import statistics
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from zsar_lab.cli import main
from zsar_lab.models import conv3d_check
from zsar_lab.models.conv3d_check import CASES, MOST_ERROR, check_conv3d
from zsar_lab.train import bench, bench_report, bench_study, bench_table, loop, step
from zsar_lab.train.bench import BareLoop, Engine, Side, alternate, measure
from zsar_lab.train.bench_study import as_jpeg, bench_config, generated
from zsar_lab.train.presets import PRESETS

pytestmark = pytest.mark.long

CPU = torch.device("cpu")
RATIOS = (
    "engine_over_bare",
    "engine_over_bare_process",
    "loader_in_over_memory",
    "loader_in_over_memory_process",
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> tuple[dict, list[str]]:
    """The json and the lines of a tiny bench, with one row of the table."""
    path, printed = tmp_path_factory.mktemp("bench") / "figures.json", []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            bench_table, "WANTED", {"demo": (2000, 3700)}
        )  # the others are larger, and are tried by hand
        patch.setattr("builtins.print", lambda *words, **_: printed.extend(" ".join(words).splitlines()))
        assert main(["bench", "--tiny", "--seconds", "0.05", "--device", "cpu", "--json", str(path)]) == 0
    return json.loads(path.read_text(encoding="utf-8")), printed


def test_the_json_names_what_was_measured(run):
    found, _ = run
    assert {"engine_over_bare", "loader_in_over_memory", "clips_per_s", "device"} < set(found)
    assert (
        found["preset"] == "demo"
        and found["tiny"]
        and found["device"].startswith("CPU (")
        and found["torch"] == torch.__version__
    )
    assert found["batch_size"] == 2 and found["threads"] == 1
    assert all(
        math.isfinite(found[name]) and found[name] > 0
        for name in (*RATIOS, "clips_per_s", "gflop_per_clip", "peak_share")
    )
    assert set(found["sides"]) == {"bare", "engine", "engine with loader"}
    assert all(
        side["step_s_quarter"] <= side["step_s"] <= side["step_s_three_quarters"]
        for side in found["sides"].values()
    )


def test_the_ratios_are_those_of_the_sides(run):
    found, _ = run
    for key, suffix in (("blocks_s", ""), ("blocks_process_s", "_process")):
        bare, engine, with_loader = (
            found["sides"][name][key] for name in ("bare", "engine", "engine with loader")
        )
        of_rounds = (
            [e / b for e, b in zip(engine, bare, strict=True)],
            [e / w for e, w in zip(engine, with_loader, strict=True)],
        )
        assert found[f"engine_over_bare{suffix}"] == pytest.approx(statistics.median(of_rounds[0]))
        assert found[f"loader_in_over_memory{suffix}"] == pytest.approx(statistics.median(of_rounds[1]))
    assert all(
        side["step_s"] == pytest.approx(statistics.median(side["blocks_s"]))
        for side in found["sides"].values()
    )
    assert found["clips_per_s"] == pytest.approx(found["batch_size"] / found["sides"]["engine"]["step_s"])
    assert found["peak_share"] == pytest.approx(
        found["clips_per_s"] * found["gflop_per_clip"] / found["peak_gflop_per_s"]
    )
    for name in RATIOS:
        low, high = found[f"{name}_ci95"]
        assert low <= found[name] <= high
    assert found["peak_share"] == pytest.approx(
        found["clips_per_s"] * found["gflop_per_clip"] / found["peak_gflop_per_s"]
    )


def test_what_is_printed_is_what_is_written(run):
    found, printed = run
    text = "\n".join(printed)
    assert (
        f"engine_over_bare {found['engine_over_bare']:.4f}" in text
        and f"loader_in_over_memory {found['loader_in_over_memory']:.4f}" in text
    )
    for name, side in found["sides"].items():
        line = next(line for line in printed if line.startswith(f"{name:20} "))
        assert f"{1e3 * side['step_s']:.1f}" in line and f"{side['clips_per_s']:.1f}" in line
    assert "tiny: to see that it runs, not how fast" in text and printed[-1].startswith("Written to ")


def test_the_table_and_the_check_are_tried_at_a_small_size(run):
    found, printed = run
    rows = found["table"]
    assert [(row["preset"], row["layout"], row["must"], row["stretch"]) for row in rows] == [
        ("demo", layout, 2000, 3700) for layout in ("contiguous", "channels_last")
    ]
    for row in rows:
        assert not row["failed"] and (row["batch_size"], row["accumulate"]) == (2, 1)
        rates = ("clips_per_s", "clips_per_s_raw", "clips_per_s_jpeg")
        assert all(row[name] > 0 for name in (*rates, "raw_over_memory", "jpeg_over_memory", "memory_mb"))
        (line,) = (line for line in printed if line.startswith("demo ") and f" {row['layout']} " in line)
        assert "2000 (3700)" in line and all(f"{row[name]:.1f}" in line for name in rates)
    (better,) = (row for row in rows if row.get("better"))
    assert better["clips_per_s"] == max(row["clips_per_s"] for row in rows) and any(
        f"better: {better['layout']}, " in line for line in printed
    )
    assert len(found["conv3d"]) == 2 * len(CASES) and all(
        0 < value["max_error"] for value in found["conv3d"].values()
    )


def test_on_a_cpu_what_needs_a_gpu_is_left_out_with_a_sentence(monkeypatch):
    sides = {
        name: Side((0.1, 0.2, 0.3), (0.1, 0.1, 0.1), 4) for name in ("bare", "engine", "engine with loader")
    }
    monkeypatch.setattr(bench_report, "generated", lambda *_: None)
    monkeypatch.setattr(bench_report, "measure", lambda *_, **__: sides)
    lines = []
    found = bench_report.bench("demo", 1.0, device="cpu", say=lines.append)
    assert (
        found["table"] is None
        and found["conv3d"] is None
        and found["engine_over_bare"] == 1.0
        and found["clips_per_s"] == 20.0
    )
    assert "need a GPU and were left out" in lines[-1]


def failing_measure(*failures: Exception | None):
    """A `measure` that fails as told, call by call, and then no more; and the configurations that it was called with."""
    asked, left = [], list(failures)

    def fake(study, **_):
        asked.append(study.config)
        error = left.pop(0) if left else None
        if error:
            raise error
        return {name: Side((0.1, 0.2), (0.1, 0.1), 2) for name in ("engine", "engine with loader")}

    return fake, asked


def test_a_row_that_fails_is_tried_by_halves_and_the_table_goes_on(monkeypatch):
    memory = torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")
    fake, asked = failing_measure(memory, None, RuntimeError("cuDNN error"), RuntimeError("again"), None)
    monkeypatch.setattr(bench_table, "measure", fake)
    monkeypatch.setattr(
        bench_table,
        "as_jpeg",
        lambda _: (_ for _ in ()).throw(ModuleNotFoundError("No module named 'simplejpeg'")),
    )
    monkeypatch.setitem(bench_table.WANTED, "demo", (1, 2))
    lines = []
    halved, lost, *others = bench_table.table_rows(1.0, True, CPU, lines.append, names=("demo", "demo"))
    assert [(config.batch_size, config.accumulate) for config in asked] == [
        (2, 1),
        (1, 2),
        (2, 1),
        (1, 2),
        (2, 1),
        (2, 1),
    ]
    assert [config.memory_format for config in asked] == ["contiguous"] * 2 + ["channels_last"] * 2 + [
        "contiguous",
        "channels_last",
    ]
    assert (
        (halved["batch_size"], halved["accumulate"]) == (1, 2)
        and halved["clips_per_s"] > 0
        and halved["better"]
    )
    assert halved["failed"] == ["1 x 2 clips: OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"]
    assert (
        lost["failed"] == ["1 x 2 clips: RuntimeError: cuDNN error", "2 x 1 clips: RuntimeError: again"]
        and "clips_per_s" not in lost
    )
    assert len(others) == 2 and not any(row["failed"] for row in others)
    text = "\n".join(lines)
    assert (
        "by 2 batches of 1" in text
        and "failed with 1 x 2 clips: OutOfMemoryError" in text
        and "not measured; wanted: 1 (2)" in text
    )
    assert (
        "no JPEG frames. ModuleNotFoundError: No module named 'simplejpeg'" in text
        and "the other was not measured" in text
    )


@pytest.fixture
def gpu_table():
    path = Path(__file__).parents[2] / "benchmarks/gpu_table.py"
    spec = importlib.util.spec_from_file_location("gpu_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_keeps_what_it_has_when_rows_fail(gpu_table, monkeypatch, tmp_path, capsys):
    """Also where the GPU answers nothing more after an error."""
    right, path = gpu_table.embed_clips, tmp_path / "table.json"
    left = [RuntimeError("CUDA error: out of memory")]
    monkeypatch.setattr(
        bench_table,
        "_free",
        lambda _: (_ for _ in ()).throw(RuntimeError("CUDA error: an illegal memory access")),
    )
    monkeypatch.setattr(gpu_table, "EMBEDDING", "demo")
    monkeypatch.setattr(
        gpu_table,
        "embed_clips",
        lambda *arguments: (_ for _ in ()).throw(left.pop()) if left else right(*arguments),
    )
    arguments = [
        "--tiny",
        "--device",
        "cpu",
        "--seconds",
        "0.01",
        "--json",
        str(path),
        "--rows",
        "rest18",
        "embedding",
        "neighbours",
    ]
    found, printed = gpu_table.main(arguments), capsys.readouterr().out
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert (
        kept == found
        and [len(row["failed"]) for row in kept["training"]] == [2, 2]
        and kept["torch"] == torch.__version__
    )
    failed, measured = kept["embedding"]
    assert (
        failed["failed"] == "RuntimeError: CUDA error: out of memory"
        and "embedding, contiguous failed. RuntimeError: CUDA error" in printed
    )
    assert (
        measured["layout"] == "channels_last"
        and measured["views_per_s"] == 2 * measured["clips_per_s"] > 0
        and "failed" not in measured
    )
    assert kept["neighbours"]["points"] == 2000 and kept["neighbours"]["seconds"] > 0
    assert (
        "exact nearest neighbours, 2000 x 32, k 10: " in printed
        and "tiny: to see that it runs, not how fast" in printed
    )


def test_the_script_needs_a_gpu_or_tiny(gpu_table, capsys):
    with pytest.raises(SystemExit):
        gpu_table.main(["--device", "cpu"])
    assert (
        "the table needs a GPU, and there is none; --tiny tries all of it on a CPU" in capsys.readouterr().err
    )


def test_the_interval_of_a_ratio():
    times = tuple(0.1 + 0.001 * (number % 7) for number in range(41))
    doubled = tuple(2 * value for value in times)
    sides = {
        "bare": Side(times, times, 4),
        "engine": Side(doubled, times, 4),
        "engine with loader": Side(times, times, 4),
    }
    found = bench_report.ratios(sides, by_process=True)
    # side by side: what slows both alike leaves the ratio as it is
    assert found["engine_over_bare"] == pytest.approx(2.0) and found[
        "engine_over_bare_ci95"
    ] == pytest.approx([2.0, 2.0])
    assert found["loader_in_over_memory"] == pytest.approx(2.0) and found[
        "loader_in_over_memory_process_ci95"
    ] == pytest.approx([1.0, 1.0])


def test_on_a_gpu_there_is_no_processor_time():
    sides = {name: Side((0.1, 0.2), (0.1, 0.1), 4) for name in ("bare", "engine", "engine with loader")}
    found = bench_report.ratios(sides, by_process=False)
    assert all(
        (found[name] is None) == ("process" in name) == (found[f"{name}_ci95"] is None) for name in RATIOS
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--preset", "rest50"],
            "preset must be one of demo, rest18, rest101, rest_r3d18, rest_r2plus1d18, got 'rest50'",
        ),
        (["--seconds", "0"], "seconds of a measurement must be above 0, got 0.0"),
    ],
)
def test_a_wrong_option_ends_in_a_sentence(arguments, sentence, capsys):
    assert main(["bench", *arguments]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_fits_its_generated_clips(name, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_study, "MOST_BYTES", 1)
    config = bench_config(name, tiny=True)
    store, protocol, classes, _ = generated(config, tmp_path)
    assert len(protocol.train_clips) == 2 * config.batch_size == len(store) - 2
    assert (
        store.frames.shape[1] >= config.view.n_frames
        and store.frames.shape[2] >= config.view.size_px
        and store.frames.std() > 50
    )
    assert classes.pooled_CF.shape == (config.model.n_seen, config.model.text_width)


def test_generated_frames_are_kept_as_jpeg_too(tmp_path, monkeypatch):
    monkeypatch.setattr(bench_study, "N_PICTURES", 3)
    store = generated(bench_config("demo", tiny=True), tmp_path, tiny=True).store
    jpeg = as_jpeg(store)
    assert jpeg.shape == store.frames.shape and jpeg.nbytes < store.frames.nbytes / 4
    for row in (0, 2, 3, len(store) - 1):
        assert np.abs(jpeg[row].astype(int) - store.frames[row]).mean() < 12
    assert (
        (store.frames[0] == store.frames[3]).all()
        and (store.frames[0] != store.frames[1]).any()
        and (jpeg[0] == jpeg[3]).all()
    )


@pytest.mark.parametrize(("memory_format", "optimiser"), [("contiguous", "adamw"), ("channels_last", "sgd")])
def test_both_sides_are_the_same_training(memory_format, optimiser, tmp_path, monkeypatch):
    """Without anything random, from the same weights, and at the same rate, both lower the loss alike."""
    config = bench_config("demo", tiny=True)
    config = replace(config, n_match_labels=config.model.n_seen, model=replace(config.model, dropout=0.0))
    config = replace(config, memory_format=memory_format, optimiser=optimiser)
    study = generated(config, tmp_path, tiny=True)
    for module in (step, bench):
        monkeypatch.setattr(
            module, "training_view", lambda frames, settings, *_: loop.centre_view(frames, settings)
        )
    with torch.random.fork_rng():
        engine, bare = Engine(study, CPU), BareLoop(study, CPU)
    bare.model.load_state_dict(engine.training.model.state_dict())
    strides = [
        [p.stride() for p in model.backbone.parameters() if p.shape[2:] == (3, 3)]
        for model in (engine.training.model, bare.model)
    ]
    assert strides[0] == strides[1] and any(s[1] == 1 for s in strides[0]) == (
        memory_format == "channels_last"
    )
    monkeypatch.setattr(step, "learning_rate", lambda *_: bare.optimiser.param_groups[0]["lr"])
    with closing(engine.batches(study.store.frames)) as batches:
        batch = next(batches)
    for _ in range(4):
        assert sum(engine.step(batch).values()) == pytest.approx(
            bare.step(batch.frames_BNHWC, batch.target_B), rel=1e-5
        )
    for name, value in engine.training.model.state_dict().items():
        torch.testing.assert_close(value, bare.model.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_the_engine_reads_as_a_training_reads(tmp_path):
    study = generated(bench_config("demo", tiny=True), tmp_path, tiny=True)
    config = replace(study.config, accumulate=2)
    with torch.random.fork_rng():
        alone, ahead = (Engine(study._replace(config=config), CPU, readers) for readers in (None, 2))
    assert (alone.training.reading["num_workers"], alone.n_ahead) == (0, 0) and (
        ahead.training.reading["num_workers"],
        ahead.n_ahead,
    ) == (2, 3)
    with (
        closing(alone.batches(study.store.frames)) as first,
        closing(ahead.batches(study.store.frames)) as second,
    ):
        for _ in range(3):
            one, other = next(first), next(second)
            assert (
                torch.equal(one.frames_BNHWC, other.frames_BNHWC)
                and torch.equal(one.target_B, other.target_B)
                and len(one.target_B) == 4
            )


def test_a_bare_loop_does_not_accumulate(tmp_path):
    study = generated(bench_config("demo", tiny=True), tmp_path, tiny=True)
    study = study._replace(config=replace(study.config, accumulate=2))
    with pytest.raises(
        ValueError, match="a bare loop needs accumulate 1, got 2; measure without it, or set accumulate to 1"
    ):
        measure(study, 0.01, CPU)
    assert {side.batch_size for side in measure(study, 0.01, CPU, bare=False, n_blocks=2).values()} == {4}


def test_sides_are_measured_in_turn_and_closed_after_each_block():
    calls = []

    def side(name):
        def steps():
            calls.append("<")
            try:
                yield
                while True:
                    yield calls.append(name)
            finally:
                calls.append(">")

        return steps

    sides = alternate({"a": side("a"), "b": side("b")}, 1e-9, 3, CPU)
    assert "".join(calls) == "".join(f"<{name}>" for name in "abab" + "baabbaabba")
    assert all(
        len(side.wall) == 5 and side.clips_per_s == 3 / statistics.median(side.wall)
        for side in sides.values()
    )


def test_what_was_read_ahead_is_not_measured():
    steps = bench._steps(lambda batch: batch, (number for number in range(9)), n_ahead=3)
    assert next(steps) is None and [next(steps) for _ in range(3)] == [3, 4, 5]


def test_a_wrong_convolution_is_seen(monkeypatch):
    exact = conv3d_check.conv3d

    def right(clip, weight, **options):
        """Without bfloat16 instructions: oneDNN's gave wrong gradients of the deepest case on an EPYC that has them."""
        return exact(clip.float(), weight.float(), **options).to(clip.dtype)

    monkeypatch.setattr(conv3d_check, "conv3d", right)
    assert all(result.max_error < MOST_ERROR for result in check_conv3d(CPU, 1, tiny=True).values())

    def wrong(clip, weight, **options):
        return right(clip, weight, **options) * (1.1 if clip.dtype == torch.bfloat16 else 1.0)

    monkeypatch.setattr(conv3d_check, "conv3d", wrong)
    lines = []
    bench_table.conv3d_rows(CPU, True, lines.append)
    assert sum("WRONG: more than 0.02" in line for line in lines) == 2 * len(CASES)
