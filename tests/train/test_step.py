"""A step and its parts: accumulated batches, optimisers, averages, layouts, compiling, memory."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from small_training import CONFIG, MODEL, begun
from torch import nn

from zsar_lab.data.loader import Batch, share_of, training_batches
from zsar_lab.models.backbones import BACKBONES
from zsar_lab.models.rest import ResT
from zsar_lab.train import device, distributed, loop, step
from zsar_lab.train.checkpoint import load_checkpoint
from zsar_lab.train.config import PRESETS
from zsar_lab.train.loop import Training, train
from zsar_lab.train.step import Average, learning_rate, make_optimiser, smaller_batch

N_CLIPS = 24  # trained on


def still(training: Training) -> Training:
    """Dropout off and batch norm with its running statistics, in training too."""
    training.model.train = lambda mode=True: nn.Module.train(training.model, False)
    return training


def take_steps(training: Training, clips_a_step: int) -> list[dict[str, float]]:
    """An epoch without a pause."""
    given = training.store.frames, training.rows, training.targets, clips_a_step, CONFIG.seed, 0
    with torch.random.fork_rng():
        return [training.take(batch) for batch in training_batches(*given)]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize(("batch", "accumulate"), [(4, 2), (5, 3)])
def test_accumulated_batches_equal_one_of_their_size(batch, accumulate, optimiser, data):
    whole, rate = batch * accumulate, 0.01 if optimiser == "sgd" else 1e-3
    # without clipping, which would hide a gradient of another size
    config = replace(CONFIG, optimiser=optimiser, learning_rate=rate, clip_norm=1e9, batch_size=whole)
    ones = still(begun(data, config))
    parts = still(begun(data, replace(config, batch_size=batch, accumulate=accumulate)))
    expected, found = take_steps(ones, whole), take_steps(parts, whole)
    assert len(found) == -(-N_CLIPS // whole)  # the last may be shorter: of 15 and 9 clips, 9 are 5 and 4
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    one, other = ones.model.state_dict(), parts.model.state_dict()
    # Adam divides by the gradient's size: where that is rounding alone, a step is as large as the rate
    most = 1e-5 if optimiser == "sgd" else 5e-3
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < most


def test_a_shorter_group_is_weighted_by_its_clips(data, monkeypatch):
    training = still(begun(data, replace(CONFIG, batch_size=4, accumulate=2)))
    rows = torch.from_numpy(training.rows[:7])
    frames, targets = torch.from_numpy(training.store.frames[rows]), torch.from_numpy(training.targets[:7])
    seen, original = [], step.training_losses

    def counted(model, view, target, *more):
        seen.append(len(target))
        losses = original(model, view, target, *more)
        return {"alignment": losses["alignment"] * 0 + len(seen)}  # 1 for four clips, 2 for three

    monkeypatch.setattr(step, "training_losses", counted)
    with torch.random.fork_rng():
        found = training.take(Batch(frames, targets, rows, 0, share_of(7)))
    assert found == pytest.approx({"alignment": (4 * 1 + 3 * 2) / 7}) and seen == [4, 3]


def test_a_training_of_accumulated_batches_counts_steps_and_clips(data, tmp_path):
    done = train(*data, replace(CONFIG, batch_size=5, accumulate=2, epochs=2), tmp_path, device="cpu")
    assert [entry["step"] for entry in done.history] == [3, 6] and done.total_steps == 6  # 10, 10 and 4 clips
    tracked = {int(v) for name, v in done.tensors("model.").items() if name.endswith("num_batches_tracked")}
    assert tracked == {2 * 5}  # batch norm sees batches, not steps


@pytest.mark.parametrize(("name", "kind"), [("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)])
def test_only_matrices_decay_and_groups_know_their_peaks(name, kind):
    config, text = replace(CONFIG, optimiser=name, weight_decay=0.3), {"a": nn.Parameter(torch.zeros(2, 2))}
    optimiser = make_optimiser(ResT(MODEL), text, config)
    assert type(optimiser) is kind
    for group in optimiser.param_groups:
        assert {parameter.ndim >= 2 for parameter in group["params"]} <= {group["weight_decay"] == 0.3}
    peaks = [group["peak"] for group in optimiser.param_groups]
    assert peaks == [5e-3] * 2 + [config.text_learning_rate] * 2


def test_the_learning_rate_by_hand():
    config = replace(CONFIG, learning_rate=0.8, warm_up=0.2)  # of 10 steps: two up, eight down
    found = [learning_rate(step, 10, config) for step in (0, 1, 2, 6, 10)]
    assert found == pytest.approx([0.4, 0.8, 0.8, 0.4, 0.0])
    # a third of the way down, cos(pi / 3) = 1/2 leaves three quarters
    assert learning_rate(3 + 4, 15, config) == pytest.approx(0.8 * 0.75)
    steps = replace(config, schedule="steps")
    rates = [learning_rate(step, 10, steps) for step in range(10)]
    assert rates == pytest.approx([0.4, 0.8, 0.8, 0.8, 0.08, 0.08, 0.08, 0.08, 0.008, 0.008])
    assert learning_rate(3, 10, steps, peak=8.0) == 8.0
    for total_steps in (1, 2, 7):  # a short training reaches its peak, and no rate is 0
        rates = [learning_rate(step, total_steps, CONFIG) for step in range(total_steps)]
        assert max(rates) == pytest.approx(CONFIG.learning_rate) and min(rates) > 0


def test_an_average_by_hand():
    live = {"weight": torch.tensor([1.0]), "count": torch.tensor(3)}
    average = Average(live, 0.5)
    live["weight"].fill_(2.0)
    live["count"].fill_(4)
    average.update(0)  # decay 1/10
    assert float(average.tensors["weight"]) == pytest.approx(0.1 * 1 + 0.9 * 2)
    assert int(average.tensors["count"]) == 4
    average.update(98)  # (1 + 98) / (10 + 98) is above 0.5
    with average.put_in():
        assert float(live["weight"]) == pytest.approx(0.5 * 1.9 + 0.5 * 2)
    assert float(live["weight"]) == 2.0


@pytest.mark.parametrize(
    ("preset", "wanted"), [("demo", torch.channels_last), ("rest_r3d18", torch.channels_last_3d)]
)
def test_the_backbone_lies_in_memory_as_asked(preset, wanted):
    for memory_format in ("contiguous", "channels_last"):
        with torch.device("meta"):
            backbone = BACKBONES[PRESETS[preset].model.backbone](PRESETS[preset].model)
            device.lay_out(backbone, memory_format)
        weights = [weight for weight in backbone.parameters() if weight.ndim >= 4 and weight.shape[-1] > 1]
        found = {weight.is_contiguous(memory_format=wanted) for weight in weights}
        assert len(weights) >= 5 and found == {memory_format == "channels_last"}


def test_devices_and_workers(monkeypatch):
    assert device.choose_device("cpu") == torch.device("cpu")
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    monkeypatch.setattr(device.os, "sched_getaffinity", lambda _: range(20), raising=False)
    assert [device.choose_num_workers(n, d) for n, d in ((3, gpu), (None, cpu), (None, gpu))] == [3, 0, 8]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device.choose_device() == gpu
    monkeypatch.setattr(distributed, "world_size", lambda: 8)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert device.choose_num_workers(None, gpu) == 2
    monkeypatch.setattr(distributed, "local_rank", lambda: 3)
    assert device.choose_device() == torch.device("cuda", 3) and device.choose_device("cpu") == cpu


@pytest.mark.parametrize(("major", "wanted"), [(7, False), (8, True), (9, True)])
def test_bfloat16_is_for_gpus_that_compute_in_it(major, wanted, monkeypatch):
    """Only the choice is shown, by what torch says of a GPU's generation: no GPU is here to compute on."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(major=major))
    assert [device.has_bfloat16(torch.device(name)) for name in ("cuda", "cpu")] == [wanted, False]
    with device.mixed_precision(torch.device("cuda")), device.mixed_precision(torch.device("cpu")):
        assert torch.is_autocast_enabled("cuda") == wanted and not torch.is_autocast_enabled("cpu")
        assert torch.get_autocast_dtype("cuda") == torch.bfloat16


def test_a_learned_temperature_is_held_in_its_range_by_a_step(data):
    training = begun(data, CONFIG)
    with torch.no_grad():
        training.model.log_temperature.fill_(-9.0)
    take_steps(training, 24)
    assert training.model.log_temperature.exp().item() == pytest.approx(0.01)


def test_a_missing_compiler_is_warned_of(monkeypatch):
    def none(module):
        raise RuntimeError("\nno C++ compiler found\nmore")

    monkeypatch.setattr(torch, "compile", lambda module: module)
    assert device.compiles(ResT(CONFIG.model))
    monkeypatch.setattr(torch, "compile", none)
    with pytest.warns(UserWarning, match="no C.. compiler found"):
        assert not device.compiles(ResT(CONFIG.model))


def test_a_resumed_training_takes_up_the_choice_of_the_compiler(data, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(loop, "compiles", lambda model: calls.append("tried") or True)
    monkeypatch.setattr(nn.Module, "compile", lambda module: calls.append("compiled"))
    config = replace(CONFIG, compile_transformer=True, epochs=2)

    def stop(history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*data, config, tmp_path, device="cpu", on_epoch=stop)
    assert load_checkpoint(tmp_path).compiled
    train(*data, config, tmp_path, device="cpu")
    assert calls == ["tried", *["compiled"] * 4] and load_checkpoint(tmp_path).compiled


def test_a_batch_that_does_not_fit_says_the_size_to_try(data, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ...")

    monkeypatch.setattr(step, "training_losses", full)
    with pytest.raises(RuntimeError, match=r"8 clips .* step 0 .* batch_size 4 and accumulate 2 ") as caught:
        train(*data, CONFIG, tmp_path, device="cpu")
    # nothing holds the step's tensors
    assert caught.value.__context__ is None and not isinstance(caught.value, torch.OutOfMemoryError)


@pytest.mark.parametrize(
    ("n_ranks", "batch", "accumulate", "n_clips", "cure"),
    [
        (1, 9, 2, 9, "batch_size 3 and accumulate 6 "),
        (1, 7, 1, 7, "batch_size 1 and accumulate 7 "),
        (1, 1, 1, 1, "a smaller view or model"),
        (8, 64, 1, 8, "batch_size 4 and accumulate 16 "),
        (48, 64, 1, 2, "batch_size 1 and accumulate 64 "),
        (5, 64, 1, 13, "batch_size 4 and accumulate 16 "),
        (64, 64, 1, 1, "a smaller view or model"),
    ],
)
def test_the_size_to_try_is_less_than_a_rank_has(n_ranks, batch, accumulate, n_clips, cure, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: n_ranks)
    message = smaller_batch(replace(CONFIG, batch_size=batch, accumulate=accumulate), 3, "full")
    assert message.startswith(f"{n_clips} clips") and cure in message
