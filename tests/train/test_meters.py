"""zsar_lab.train.meters by a clock that is moved by hand, and beside the real one."""

from __future__ import annotations

import sys
import time
import types
from dataclasses import replace

import pytest
import torch

from zsar_lab.models.flops import clip_gflop
from zsar_lab.models.rest import ResT
from zsar_lab.train import meters as meters_module
from zsar_lab.train.meters import (
    FORMATS,
    Meters,
    clock_of,
    config_gflop,
    memory_mb,
    peak_gflop_per_s,
    seconds_between,
    shown,
    tensorboard,
)
from zsar_lab.train.presets import TrainConfig

CPU = torch.device("cpu")
CONFIG = TrainConfig()


class FakeClock:
    """Seconds that only a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def slow(self, items, seconds: float):
        for item in items:
            self.now_s += seconds
            yield item


class FakeEvent:
    """As a CUDA event: its instant cannot be read, only the milliseconds between two that the GPU has reached."""

    waited_for: list[FakeEvent] = []

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s

    def synchronize(self) -> None:
        self.waited_for.append(self)

    def elapsed_time(self, other: FakeEvent) -> float:
        assert other in self.waited_for
        return 1e3 * (other.at_s - self.at_s)


def an_epoch(
    meters: Meters, clock: FakeClock, n_steps: int, waiting_s: float, step_s: float, n_clips: int
) -> dict[str, float]:
    meters.begin()
    for number in meters.watch(clock.slow(range(n_steps), waiting_s)):
        assert isinstance(number, int)
        clock.now_s += step_s
        meters.count(n_clips)
    return meters.figures()


def test_figures_by_hand():
    clock = FakeClock()
    meters = Meters(CONFIG, CPU, clock, peak=lambda device: 500.0)
    meters.gflop_per_clip = 2.0
    found = an_epoch(meters, clock, n_steps=5, waiting_s=0.1, step_s=0.3, n_clips=8)
    memory = found.pop("memory_mb")
    # 40 clips in 5 x 0.4 s, a quarter of it waiting; 20 clips/s x 2 GFLOP of 500
    assert found == pytest.approx(
        {"clips_per_s": 20.0, "waiting_share": 0.25, "gflop_per_s": 40.0, "peak_share": 0.08}
    )
    assert 50 < memory < 1e6
    # the next epoch starts anew, and what lies between two of them is not in it
    clock.now_s += 1000
    found = an_epoch(meters, clock, n_steps=2, waiting_s=0.0, step_s=0.5, n_clips=1)
    assert (found["clips_per_s"], found["waiting_share"]) == pytest.approx((2.0, 0.0))


def test_ranks_count_in_rates_and_not_in_shares():
    one, four = ({}, {})
    for ranks, found in ((1, one), (4, four)):
        clock = FakeClock()
        found |= an_epoch(Meters(CONFIG, CPU, clock, ranks, lambda device: 500.0), clock, 3, 0.1, 0.1, 2)
    for name in ("clips_per_s", "gflop_per_s"):
        assert four[name] == pytest.approx(4 * one[name])
    for name in ("waiting_share", "peak_share"):
        assert four[name] == pytest.approx(one[name])


def test_events_are_read_at_the_end_only():
    clock, FakeEvent.waited_for = FakeClock(), []
    meters = Meters(CONFIG, CPU, lambda: FakeEvent(clock.now_s), peak=lambda device: 500.0)
    meters.begin()
    for _ in meters.watch(clock.slow(range(4), 0.25)):
        clock.now_s += 0.75
        meters.count(3)
        assert not FakeEvent.waited_for
    found = meters.figures()
    assert (found["clips_per_s"], found["waiting_share"]) == pytest.approx((3.0, 0.25))


def test_batches_pass_unchanged_and_errors_too():
    meters = Meters(CONFIG, CPU, FakeClock(), peak=lambda device: 1.0)
    meters.begin()
    assert list(meters.watch([1, None, "a"])) == [1, None, "a"] and list(meters.watch([])) == []

    def broken():
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(meters.watch(broken()))


def test_figures_before_an_epoch_say_what_is_missing():
    with pytest.raises(
        RuntimeError, match=r"figures need an epoch that was begun, got none; call begin\(\) first"
    ):
        Meters(CONFIG, CPU).figures()


def test_a_real_epoch_on_the_cpu():
    meters = Meters(CONFIG, CPU)
    meters.begin()
    for _ in meters.watch(range(3)):
        time.sleep(0.01)
        meters.count(4)
    found = meters.figures()
    assert set(found) == set(FORMATS) and 0 < found["clips_per_s"] < 400 and 0 <= found["waiting_share"] < 0.9
    assert found["gflop_per_s"] == pytest.approx(found["clips_per_s"] * config_gflop(CONFIG).training)
    assert found["peak_share"] == pytest.approx(found["gflop_per_s"] / peak_gflop_per_s(CPU))


def test_the_peak_is_measured_once(monkeypatch):
    first = peak_gflop_per_s(CPU)
    monkeypatch.setattr(meters_module, "clock_of", None)  # a second measurement would fail
    assert peak_gflop_per_s(CPU) == first > 0.1


def test_nothing_random_is_touched():
    before = torch.get_rng_state()
    meters_module._measured_peak.__wrapped__(CPU, torch.float32, 1)
    gflop = config_gflop(CONFIG)
    assert torch.equal(torch.get_rng_state(), before)
    assert gflop == clip_gflop(ResT(CONFIG.model), CONFIG.view.n_frames, CONFIG.view.size_px)
    assert (
        config_gflop(
            replace(CONFIG, view=replace(CONFIG.view, size_px=96), model=replace(CONFIG.model, size_px=96))
        ).training
        > 3 * gflop.training
    )


def test_memory_is_the_most_that_was_held(monkeypatch):
    before = memory_mb(CPU)
    held = torch.ones(25_000_000)
    most = memory_mb(CPU)
    assert most >= max(before, 100) and held[-1] == 1
    del held
    assert memory_mb(CPU) > most - 1  # the system counts in batches of pages
    monkeypatch.setattr(meters_module.sys, "platform", "win32")
    assert memory_mb(CPU) is None


def test_the_clock_of_a_cpu():
    clock = clock_of(CPU)
    assert clock is time.perf_counter and seconds_between(1.0, 3.5) == 2.5


def test_what_stands_behind_the_bar():
    figures = {
        "epoch": 1,
        "clips_per_s": 12.345,
        "waiting_share": 0.0214,
        "gflop_per_s": 1234.5,
        "peak_share": 0.5,
        "memory_mb": 812.3,
    }
    assert shown(figures) == {
        "clips_per_s": "12.3",
        "waiting_share": "2.1%",
        "gflop_per_s": "1234.5",
        "peak_share": "50.0%",
        "memory_mb": "812",
    }
    assert shown({"epoch": 1}) == {}


def test_tensorboard_is_given_what_the_log_has(monkeypatch, tmp_path):
    written = []

    class FakeWriter:
        def __init__(self, folder: str) -> None:
            written.append(folder)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None:
            written.append("flushed")

    monkeypatch.setitem(
        sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=FakeWriter)
    )
    write = tensorboard(tmp_path)
    write([{"epoch": 1, "step": 3, "loss": 9.0}, {"epoch": 2, "step": 6, "loss": 1.5, "clips_per_s": 7.0}])
    assert written == [str(tmp_path), ("loss", 1.5, 6), ("clips_per_s", 7.0, 6), "flushed"]


def test_tensorboard_that_is_not_installed_is_said(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(
        RuntimeError,
        match="TensorBoard is not installed; pip install tensorboard, or leave it out: log.csv holds the same",
    ):
        tensorboard(tmp_path)
