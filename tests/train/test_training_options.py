"""zsar_lab.train: accumulated batches, SGD, averaged weights, memory formats, compiling, and what is refused in a step."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_training import (
    CONFIG,
    STEPS_AN_EPOCH,
    assert_same_state,
    stripes_classes,
    stripes_protocol,
    stripes_store,
)
from torch import nn

from zsar_lab.data.loader import Batch, share_of, training_batches
from zsar_lab.models.rest import ResT, build_backbone
from zsar_lab.train import compiling, loop, step
from zsar_lab.train.averaging import Average
from zsar_lab.train.checkpoint import Checkpoint, Inputs, load_checkpoint
from zsar_lab.train.checks import smaller_batch
from zsar_lab.train.lock import only_one
from zsar_lab.train.loop import train
from zsar_lab.train.optimisers import learning_rate, make_optimiser
from zsar_lab.train.presets import TrainConfig, demo, rest_r3d18
from zsar_lab.train.stopping import terminated_as_interrupted

N_CLIPS = 24  # trained on


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> tuple:
    store = stripes_store(tmp_path_factory.mktemp("store"))
    return store, stripes_protocol(store), stripes_classes()


def begun(data: tuple, config: TrainConfig) -> loop._Training:
    store, protocol, classes = data
    rows, targets = loop.clips_of(store, protocol.train_clips, protocol.seen)
    with torch.random.fork_rng():
        return loop._Training(
            *data,
            Checkpoint(Path("nowhere"), config, Inputs("", "", ""), 0, 9, []),
            torch.device("cpu"),
            rows,
            targets,
            None,
        )


def still(training: loop._Training) -> None:
    """Dropout off and batch norm with its running statistics, in training too."""
    training.model.train = lambda mode=True: nn.Module.train(training.model, False)


def take_steps(training: loop._Training, clips_a_step: int) -> list[dict[str, float]]:
    """An epoch without a pause."""
    batches = training_batches(
        training.store.frames, training.rows, training.targets, clips_a_step, CONFIG.seed, 0
    )
    with torch.random.fork_rng():
        return [training.step.take(batch) for batch in batches]


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize(("batch", "accumulate"), [(4, 2), (5, 3), (4, 3)])
def test_accumulated_batches_equal_one_of_their_size(batch, accumulate, optimiser, data):
    whole = batch * accumulate
    # without clipping, which would hide a gradient of another size
    config = replace(
        CONFIG, optimiser=optimiser, learning_rate=0.01 if optimiser == "sgd" else 1e-3, clip_norm=1e9
    )
    ones, parts = (
        begun(data, replace(config, batch_size=whole)),
        begun(data, replace(config, batch_size=batch, accumulate=accumulate)),
    )
    for training in (ones, parts):
        still(training)
    expected, found = take_steps(ones, whole), take_steps(parts, whole)
    assert len(found) == -(
        -N_CLIPS // whole
    )  # of which the last may be shorter: of 15 and 9 clips, 9 are 5 and 4
    for ours, theirs in zip(found, expected, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)
    one, other = ones.model.state_dict(), parts.model.state_dict()
    # Adam divides by the gradient's size: where that is rounding alone, so is the step, which is no larger
    # than the rates' sum
    assert max(float((one[name] - other[name]).abs().max()) for name in one) < (
        1e-5 if optimiser == "sgd" else 5e-3
    )


def test_a_shorter_group_is_weighted_by_its_clips(data):
    training = begun(data, replace(CONFIG, batch_size=4, accumulate=2))
    still(training)
    rows = training.rows[:7]
    batch = Batch(
        torch.from_numpy(training.store.frames[rows]),
        torch.from_numpy(training.targets[:7]),
        torch.from_numpy(rows),
        0,
        share_of(7),
    )
    seen: list[int] = []
    original = step.training_losses

    def counted(model, view, target, *more):
        seen.append(len(target))
        return {
            "alignment": original(model, view, target, *more)["alignment"] * 0 + len(seen)
        }  # 1 for four clips, 2 for three

    with pytest.MonkeyPatch.context() as patched, torch.random.fork_rng():
        patched.setattr(step, "training_losses", counted)
        assert training.step.take(batch) == pytest.approx({"alignment": (4 * 1 + 3 * 2) / 7})
    assert seen == [4, 3]


def test_a_training_of_accumulated_batches_counts_steps_and_clips(data, tmp_path):
    done = train(*data, replace(CONFIG, batch_size=5, accumulate=2, epochs=2), tmp_path, device="cpu")
    assert [entry["step"] for entry in done.history] == [3, 6] and done.total_steps == 6  # 10, 10 and 4 clips
    n_tracked = {
        int(value) for name, value in done.tensors("model.").items() if name.endswith("num_batches_tracked")
    }
    assert n_tracked == {2 * 5}  # batch norm sees batches, not steps


def test_sgd_by_hand():
    model = ResT(CONFIG.model)
    optimiser = make_optimiser(model, {}, replace(CONFIG, optimiser="sgd", weight_decay=0.1))
    weight, bias = model.frame_projection.weight, model.frame_projection.bias
    before = weight.detach().clone(), bias.detach().clone()
    for group in optimiser.param_groups:
        group["lr"] = 0.5
    moved, speed = [tensor.clone() for tensor in before], [torch.zeros_like(tensor) for tensor in before]
    for _ in range(3):
        weight.grad, bias.grad = torch.ones_like(weight), torch.ones_like(bias)
        optimiser.step()
        for number, decay in enumerate((0.1, 0.0)):  # matrices decay
            speed[number] = 0.9 * speed[number] + 1 + decay * moved[number]
            moved[number] = moved[number] - 0.5 * speed[number]
    torch.testing.assert_close(weight.detach(), moved[0])
    torch.testing.assert_close(bias.detach(), moved[1])


def test_the_steps_of_the_learning_rate():
    config = replace(CONFIG, learning_rate=0.8, warm_up=0.2, schedule="steps")
    assert [learning_rate(step, 10, config) for step in range(10)] == pytest.approx(
        [0.4, 0.8, 0.8, 0.8, 0.08, 0.08, 0.08, 0.08, 0.008, 0.008]
    )
    assert learning_rate(3, 10, config, peak=8.0) == 8.0


def test_an_average_by_hand():
    live = {"weight": torch.tensor([1.0]), "count": torch.tensor(3)}
    average = Average(live, 0.5)
    live["weight"].fill_(2.0)
    live["count"].fill_(4)
    average.update(0)  # decay 1/10
    assert (
        float(average.kept["weight"]) == pytest.approx(0.1 * 1 + 0.9 * 2) and int(average.kept["count"]) == 4
    )
    average.update(98)  # (1 + 98) / (10 + 98) is above 0.5
    assert float(average.kept["weight"]) == pytest.approx(0.5 * 1.9 + 0.5 * 2)
    with average.put_in():
        assert float(live["weight"]) == pytest.approx(1.95)
    assert float(live["weight"]) == 2.0


def test_averaged_weights_are_validated_and_used_and_do_not_touch_the_training(data, tmp_path, monkeypatch):
    store, protocol, _ = data
    plain = train(*data, CONFIG, tmp_path / "plain", device="cpu")
    original, validated = loop._Training._scored, []

    def noted(training):
        validated.append({name: value.clone() for name, value in training.model.state_dict().items()})
        return original(training)

    monkeypatch.setattr(loop._Training, "_scored", noted)
    done = train(*data, replace(CONFIG, ema_decay=0.9), tmp_path / "averaged", device="cpu")
    one, other = plain.tensors("model."), done.tensors("model.")
    assert all(torch.equal(one[name], other[name]) for name in one)  # what is trained is the same
    assert [entry["alignment"] for entry in plain.history] == [entry["alignment"] for entry in done.history]
    used, last = done.model().state_dict(), done.tensors("model.")
    assert all(torch.equal(used[name], value) for name, value in done.tensors("average.model.").items())
    assert any(not torch.equal(used[name], last[name]) for name in last)
    assert len(validated) == CONFIG.epochs and all(
        torch.equal(validated[-1][name], value) for name, value in used.items()
    )
    training = begun(data, CONFIG)
    training.model = done.model()
    with torch.inference_mode():
        figure = training._top1(
            protocol.seen_test_clips,
            protocol.seen,
            lambda embedding_BD: training.model.seen_logits(embedding_BD, 1.0),
        )
    assert figure == done.history[-1]["seen_top1"]
    assert len({plain.fingerprint, done.fingerprint}) == 2


@pytest.mark.parametrize(
    ("preset", "wanted"), [(demo, torch.channels_last), (rest_r3d18, torch.channels_last_3d)]
)
def test_the_backbone_lies_in_memory_as_asked(preset, wanted):
    for memory_format in ("contiguous", "channels_last"):
        with torch.device("meta"):
            backbone = build_backbone(preset(4, 12, 6).model)
            compiling.lay_out(backbone, memory_format)
        weights = [weight for weight in backbone.parameters() if weight.ndim >= 4 and weight.shape[-1] > 1]
        assert len(weights) >= 5 and {weight.is_contiguous(memory_format=wanted) for weight in weights} == {
            memory_format == "channels_last"
        }


def test_channels_last_trains_the_same_but_for_rounding(data):
    plain, other = begun(data, CONFIG), begun(data, replace(CONFIG, memory_format="channels_last"))
    for ours, theirs in zip(take_steps(other, 8), take_steps(plain, 8), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_attention_goes_through_sdpa(monkeypatch):
    calls = []
    original = nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        nn.functional, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or original(*a, **k)
    )
    ResT(CONFIG.model).video_encoder(torch.zeros(2, 5, CONFIG.model.width))
    assert len(calls) == CONFIG.model.depth


@pytest.mark.parametrize(("times", "compiled"), [((2.0, 2.0, 1.0, 1.0), True), ((1.0, 1.0, 2.0, 2.0), False)])
def test_the_transformer_is_compiled_where_that_is_faster(times, compiled, monkeypatch):
    found = iter(times)
    monkeypatch.setattr(compiling, "_seconds", lambda run, tokens: next(found))
    assert compiling.is_faster_compiled(ResT(CONFIG.model), CONFIG, lambda module: module) == compiled


def test_the_timing_reads_tokens_of_a_steps_size_and_leaves_no_gradient():
    model, shapes = ResT(CONFIG.model), []

    def compiler(module):
        return lambda tokens: shapes.append(tuple(tokens.shape)) or module(tokens)

    compiling.is_faster_compiled(model, CONFIG, compiler)
    n_tokens = 1 + CONFIG.view.n_frames
    assert set(shapes) == {(8, n_tokens, 16), (8 * 3, 1 + n_tokens + 1 + 2, 16)}
    assert all(weight.grad is None for weight in model.parameters())


def test_without_a_compiler_the_training_goes_on(monkeypatch):
    def compiler(module):
        raise RuntimeError("\nno C++ compiler found\nmore")

    with pytest.warns(
        UserWarning,
        match="needs a compiler that works .*, but no C.. compiler found; the training goes on uncompiled",
    ):
        assert not compiling.is_faster_compiled(ResT(CONFIG.model), CONFIG, compiler)


def test_a_resumed_training_takes_up_the_choice_of_the_compiler(data, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(loop, "is_faster_compiled", lambda *_: calls.append("timed") or True)
    monkeypatch.setattr(loop, "compile_parts", lambda model: calls.append("compiled"))
    config = replace(CONFIG, compile_transformer=True, epochs=2)

    def stop(history):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(*data, config, tmp_path, device="cpu", on_epoch=stop)
    assert load_checkpoint(tmp_path).compiled
    train(*data, config, tmp_path, device="cpu")
    assert calls == ["timed", "compiled", "compiled"] and load_checkpoint(tmp_path).compiled


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"accumulate": 0}, "accumulate must be a whole number of 1 or more, got 0"),
        ({"accumulate": 1.5}, "accumulate must be a whole number of 1 or more, got 1.5"),
        ({"epochs": 0}, "epochs must be a whole number of 1 or more, got 0"),
        ({"batch_size": -8}, "batch_size must be a whole number of 1 or more, got -8"),
        ({"optimiser": "adam"}, "optimiser must be one of 'adamw', 'sgd', got 'adam'"),
        ({"schedule": "step"}, "schedule must be one of 'cosine', 'steps', got 'step'"),
        ({"ema_decay": 1.0}, r"ema_decay must be at least 0 \(no average\) and below 1, got 1.0"),
        ({"ema_decay": -0.1}, r"ema_decay must be at least 0 \(no average\) and below 1, got -0.1"),
        (
            {"memory_format": "channels_first"},
            "memory_format must be one of 'contiguous', 'channels_last', got 'channels_first'",
        ),
    ],
)
def test_settings_out_of_range_are_refused(change, sentence, data, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        train(*data, replace(CONFIG, **change), tmp_path, device="cpu")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_gradient_that_is_not_finite_stops_before_the_weights_move(data, tmp_path, monkeypatch):
    original, n_calls = step.training_losses, iter(range(100))

    def planted(model, *more):
        losses = original(model, *more)
        if (
            next(n_calls) == 2 * STEPS_AN_EPOCH - 1
        ):  # the last step of the second epoch, after which would be saved
            losses["alignment"] = (
                losses["alignment"] + 0 * (0 * model.log_temperature).abs().sqrt()
            )  # 0, with a slope of 0 times infinity
        return losses

    monkeypatch.setattr(step, "training_losses", planted)
    with pytest.raises(
        ValueError,
        match="every gradient must stay finite, that of the model became nan at step 5; what was saved before is kept",
    ):
        train(*data, CONFIG, tmp_path, device="cpu")
    kept = load_checkpoint(tmp_path)
    assert kept.step == STEPS_AN_EPOCH and all(
        torch.isfinite(value).all() for value in kept.tensors("model.").values()
    )


@pytest.mark.parametrize(
    ("change", "cure"),
    [
        (
            {"batch_size": 8},
            "a batch of 8 clips must .* set batch_size to 4 and accumulate to 2 .* and start in a new folder",
        ),
        (
            {"batch_size": 9, "accumulate": 2},
            "a batch of 9 clips must .* set batch_size to 3 and accumulate to 6 ",
        ),
        ({"batch_size": 7}, "a batch of 7 clips must .* set batch_size to 1 and accumulate to 7 "),
        ({"batch_size": 1}, "a batch of 1 clip must .* take a smaller view or model"),
    ],
)
def test_a_batch_that_does_not_fit_says_the_size_to_try(change, cure, data, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of ..."
        )

    monkeypatch.setattr(step, "training_losses", full)
    with pytest.raises(RuntimeError, match=cure) as caught:
        train(*data, replace(CONFIG, **change), tmp_path, device="cpu")
    assert "fit into the memory of cpu, but does not at step 0 (CUDA out of memory)" in str(caught.value)
    assert caught.value.__context__ is None and not isinstance(
        caught.value, torch.OutOfMemoryError
    )  # nothing holds the step's tensors


def test_the_size_to_try_is_less_than_what_a_rank_has_in_its_model():
    config = replace(CONFIG, batch_size=64)
    for n_ranks, in_model, size, accumulate in (
        (1, 64, 32, 2),
        (8, 8, 4, 16),
        (48, 2, 1, 64),
        (5, 13, 4, 16),
    ):
        said = smaller_batch(config, torch.device("cuda:1"), 3, "full", n_ranks)
        assert f"a batch of {in_model} clips must fit into the memory of cuda:1" in said
        assert f"set batch_size to {size} and accumulate to {accumulate} " in said
    assert "take a smaller view or model" in smaller_batch(config, torch.device("cuda:1"), 3, "full", 64)


def test_the_checkpoint_is_saved_within_an_epoch_when_time_has_passed(data, tmp_path, monkeypatch):
    whole = train(*data, CONFIG, tmp_path / "whole", device="cpu")
    original, n_calls = step.training_losses, iter(range(100))

    def broken(*arguments):
        if next(n_calls) == 4:
            raise RuntimeError("planted")
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(step, "training_losses", broken)
        with pytest.raises(RuntimeError, match="planted"):
            train(*data, CONFIG, tmp_path / "killed", device="cpu", save_every_s=0.0)
    assert (
        load_checkpoint(tmp_path / "killed").step == 4
        and load_checkpoint(tmp_path / "killed").running["n_clips"] == 8
    )
    assert_same_state(train(*data, CONFIG, tmp_path / "killed", device="cpu"), whole)


def test_one_training_at_a_time_in_a_folder(data, tmp_path):
    with (
        only_one(tmp_path),
        pytest.raises(
            RuntimeError,
            match=r"one training at a time may run in '.*', and another process trains there; wait",
        ),
    ):
        train(*data, CONFIG, tmp_path, device="cpu")
    assert not list(tmp_path.iterdir())
    holding = "import os, sys, time; from pathlib import Path; from zsar_lab.train.lock import only_one\n"
    holding += "with only_one(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RuntimeError, match="another process trains there"):
            train(*data, CONFIG, tmp_path, device="cpu")
        other.kill()
    assert train(
        *data, replace(CONFIG, epochs=1), tmp_path, device="cpu"
    ).complete  # a killed process holds nothing
    with only_one(tmp_path):
        assert train(
            *data, replace(CONFIG, epochs=1), tmp_path, device="cpu"
        ).complete  # a finished training is only opened


def test_sigterm_interrupts_where_it_is_asked_to():
    with pytest.raises(KeyboardInterrupt), terminated_as_interrupted():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
