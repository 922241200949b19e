"""zsar_lab.train.meters by a clock that is moved by hand, and beside the real one."""

from __future__ import annotations

import sys
import types
from dataclasses import replace

import pytest
import torch

from zsar_lab.models.rest import ResT
from zsar_lab.train import distributed, meters
from zsar_lab.train.config import TrainConfig
from zsar_lab.train.meters import (
    Meters,
    clip_gflop,
    config_gflop,
    memory_mb,
    peak_gflop_per_s,
    tensorboard,
)

CPU, CONFIG = torch.device("cpu"), TrainConfig()
GFLOP = config_gflop(CONFIG).training


class FakeClock:
    """Seconds that only a test moves."""

    now_s = 100.0

    def slow(self, items, seconds: float):
        for item in items:
            self.now_s += seconds
            yield item


class FakeEvent:
    """As a CUDA event: only the milliseconds between two that the GPU has reached can be read."""

    waited_for: list[FakeEvent] = []

    def __init__(self, at_s: float) -> None:
        self.at_s = at_s

    def synchronize(self) -> None:
        self.waited_for.append(self)

    def elapsed_time(self, other: FakeEvent) -> float:
        assert other in self.waited_for
        return 1e3 * (other.at_s - self.at_s)


def made(clock: FakeClock, event: bool = False) -> Meters:
    found = Meters(CONFIG, CPU)
    found.clock = lambda: FakeEvent(clock.now_s) if event else clock.now_s
    found.peak = lambda device: 25 * GFLOP
    return found


def an_epoch(found: Meters, clock: FakeClock, n_steps: int, waiting_s: float, step_s: float, n_clips: int):
    FakeEvent.waited_for = []
    found.begin()
    for _ in found.watch(clock.slow(range(n_steps), waiting_s)):
        clock.now_s += step_s
        found.count(n_clips)
        assert not FakeEvent.waited_for  # events are read at the end only
    return found.figures()


@pytest.mark.parametrize("event", [False, True])
@pytest.mark.parametrize("n_ranks", [1, 4])
def test_figures_by_hand(event, n_ranks, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: n_ranks)
    clock = FakeClock()
    found = made(clock, event)
    figures = an_epoch(found, clock, n_steps=5, waiting_s=0.1, step_s=0.3, n_clips=8)
    assert 50 < figures.pop("memory_mb") < 1e6
    # 40 clips in 5 x 0.4 s, a quarter of it waiting; 20 of the 25 clips/s that the peak would be
    rates = {"clips_per_s": n_ranks * 20.0, "gflop_per_s": n_ranks * 20 * GFLOP}
    assert figures == pytest.approx(rates | {"waiting_share": 0.25, "peak_share": 0.8})
    # the next epoch starts anew, and what lies between two of them is not in it
    clock.now_s += 1000
    figures = an_epoch(found, clock, n_steps=2, waiting_s=0.0, step_s=0.5, n_clips=1)
    assert figures["clips_per_s"] == pytest.approx(n_ranks * 2) and figures["waiting_share"] == 0


def test_batches_pass_unchanged_and_errors_too():
    found = made(FakeClock())
    found.begin()
    assert list(found.watch([1, None, "a"])) == [1, None, "a"] and list(found.watch([])) == []
    with pytest.raises(ZeroDivisionError):
        list(found.watch(1 / n for n in (1, 0)))


def test_peak_and_flops_are_found_once_and_touch_nothing_random(monkeypatch):
    before, first = torch.get_rng_state(), peak_gflop_per_s(CPU)
    meters._measured_peak.__wrapped__(CPU, 1)
    assert torch.equal(torch.get_rng_state(), before)
    assert config_gflop(CONFIG) == clip_gflop(ResT(CONFIG.model), CONFIG.view.n_frames, CONFIG.view.size_px)
    large = replace(CONFIG, view=replace(CONFIG.view, size_px=96), model=replace(CONFIG.model, size_px=96))
    assert config_gflop(large).training > 3 * GFLOP
    monkeypatch.setattr(meters, "clock_of", None)  # a second measurement would fail
    assert peak_gflop_per_s(CPU) == first > 0.1


def test_memory_is_the_most_that_was_held(monkeypatch):
    before, held = memory_mb(CPU), torch.ones(25_000_000)
    most = memory_mb(CPU)
    assert most >= max(before, 100) and held[-1] == 1
    del held
    assert memory_mb(CPU) > most - 1  # the system counts in batches of pages
    monkeypatch.setattr(meters.sys, "platform", "win32")
    assert memory_mb(CPU) is None


def test_tensorboard_is_given_what_the_log_has(monkeypatch, tmp_path):
    written = []
    add, flush = lambda *given: written.append(given), lambda: written.append("flushed")
    writer = types.SimpleNamespace(add_scalar=add, flush=flush)
    fake = types.SimpleNamespace(SummaryWriter=lambda folder: written.append(folder) or writer)
    monkeypatch.setattr(meters.importlib.util, "find_spec", lambda name: None)
    assert tensorboard(tmp_path) is None
    monkeypatch.setattr(meters.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    history = [{"epoch": 1, "loss": 9.0}, {"epoch": 2, "step": 6, "loss": 1.5, "clips_per_s": 7.0}]
    tensorboard(tmp_path)(history)
    assert written == [str(tmp_path), ("loss", 1.5, 6), ("clips_per_s", 7.0, 6), "flushed"]
