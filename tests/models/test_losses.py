"""zsar_lab.models.losses: each loss by hand and by a plain loop; hard labels by their promises."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import reference
import torch
from torch.nn.functional import normalize

from zsar_lab.models.losses import LOSSES, LossInputs, hard_labels
from zsar_lab.models.rest import LabelCode, ModelConfig, ResT, VideoCode


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def units(n_rows: int, width: int, seed: int) -> torch.Tensor:
    return normalize(torch.randn(n_rows, width, generator=generator(seed)), dim=-1)


def chosen_of(clips, labels, target, n_labels: int, seed: int = 0) -> torch.Tensor:
    uniform = torch.rand(len(clips), len(labels), generator=generator(seed))
    return hard_labels(clips, labels, target, n_labels, uniform)


def loss_of(name: str, target: torch.Tensor, **given) -> torch.Tensor:
    """A loss of a model that gives `logits` or, in alignment, has `temperature`."""
    clips, labels = given.get("clips", torch.eye(2)[:1]), given.get("labels", torch.eye(2))
    model = SimpleNamespace(
        seen_logits=lambda embedding_BD, temperature: given["logits"],
        match=lambda *tokens: given["logits"].flatten(),
        log_temperature=torch.tensor(given.get("temperature", 1.0)).log(),
    )
    uniform = torch.rand(len(target), len(labels), generator=generator())
    video, texts = VideoCode(clips, clips[:, None]), LabelCode(labels, labels[:, None])
    n_labels = given["logits"].shape[1] if name == "matching" else 2
    smoothing = given.get("smoothing", 0.0)
    return LOSSES[name].compute(LossInputs(model, video, texts, target, uniform, 0.1, smoothing, n_labels))


LOG3 = torch.tensor([[math.log(3.0), 0.0]])  # softmax of (log 3, 0) is (3/4, 1/4)
SMOOTHED = -(0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4))  # e = 0.2 gives 0.1 to each of the two classes
FIVE = {"logits": torch.zeros(3, 5), "clips": units(3, 8, 1), "labels": units(5, 8, 2)}
FIRST, SECOND = torch.tensor([0]), torch.tensor([1])


@pytest.mark.parametrize(
    ("name", "target", "given", "wanted"),
    [
        ("classification", FIRST, {"logits": LOG3}, -math.log(3 / 4)),
        ("classification", SECOND, {"logits": LOG3}, -math.log(1 / 4)),
        ("classification", FIRST, {"logits": LOG3, "smoothing": 0.2}, SMOOTHED),
        # the clip lies on label 0 and at a right angle to label 1; at temperature 1/2 the logits are (2, 0)
        ("alignment", FIRST, {"temperature": 0.5}, math.log(1 + math.exp(-2))),
        ("matching", FIRST, {"logits": LOG3}, -math.log(3 / 4)),
        ("matching", torch.tensor([0, 1, 2]), FIVE, math.log(5)),
    ],
)
def test_by_hand(name, target, given, wanted):
    assert loss_of(name, target, **given).item() == pytest.approx(wanted)


@pytest.mark.parametrize("setting", [0.0, 0.1, 0.5, 1.0])
def test_by_the_plain_loop(setting):
    logits, target = torch.randn(6, 4, generator=generator()), torch.tensor([0, 1, 2, 3, 3, 0])
    clips, labels, temperature = units(6, 8, 1), units(4, 8, 2), 0.05 + setting * 0.9

    def mean(rows, targets, smoothing=0.0):
        pairs = zip(rows, targets, strict=True)
        return np.mean([reference.cross_entropy(row, t, smoothing) for row, t in pairs])

    cosines = [[reference.cosine(clip, label) for label in labels.tolist()] for clip in clips.tolist()]
    scaled = [[value / temperature for value in row] for row in cosines]
    codes = {"clips": clips, "labels": labels}
    found = loss_of("classification", target, logits=logits, smoothing=setting)
    assert found.item() == pytest.approx(mean(logits.tolist(), target.tolist(), setting), rel=1e-5)
    found = loss_of("alignment", target, temperature=temperature, **codes)
    assert found.item() == pytest.approx(mean(scaled, target.tolist()), rel=1e-4)
    found = loss_of("matching", target, logits=logits, **codes)
    assert found.item() == pytest.approx(mean(logits.tolist(), [0] * 6), rel=1e-5)
    for name in ("classification", "matching"):
        assert loss_of(name, target, logits=logits.bfloat16(), **codes).dtype == torch.float32


@pytest.mark.parametrize(("far", "bound"), [(1e-6, 0.01), (50.0, 1.0), (0.07, 0.07)])
def test_the_learned_temperature_is_held_in_its_range_and_finds_back_from_a_bound(far, bound):
    model = ResT(ModelConfig(n_frames=2, backbone_widths=(8,), width=8, heads=2, n_seen=2))
    with torch.no_grad():
        model.log_temperature.fill_(math.log(far))
    model.clamp_temperature()
    assert model.log_temperature.exp().item() == pytest.approx(bound)
    # clip on label 0, of class 1: the loss is log(1 + exp(1 / t)), its slope by log t is -sigmoid(1 / t) / t
    codes = VideoCode(torch.eye(2)[:1], None), LabelCode(torch.eye(2), None)
    LOSSES["alignment"].compute(LossInputs(model, *codes, SECOND, torch.zeros(1, 2), 0.1, 0.0, 2)).backward()
    slope = -1 / (bound * (1 + math.exp(-1 / bound)))
    assert model.log_temperature.grad.item() == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("n_labels", [2, 4, 7])
def test_hard_labels_are_the_right_one_and_others_once_each(n_labels):
    clips, labels, target = units(50, 8, 1), units(7, 8, 2), torch.arange(50) % 7
    chosen = chosen_of(clips.requires_grad_(), labels, target, n_labels)
    assert chosen.shape == (50, n_labels) and chosen.dtype == torch.int64 and not chosen.requires_grad
    for row, right in zip(chosen.tolist(), target.tolist(), strict=True):
        assert row[0] == right and len(set(row)) == n_labels and set(row) <= set(range(7))
    torch.manual_seed(9)  # only the random numbers that are given decide
    assert torch.equal(chosen_of(clips, labels, target, n_labels), chosen)
    assert not torch.equal(chosen_of(clips, labels, target, n_labels, seed=2), chosen)
    for number in (0, 1, 8):
        with pytest.raises(ValueError, match=rf"2\.\.7 .*got {number}"):
            chosen_of(clips, labels, target, number)


def test_nearer_labels_are_chosen_with_the_stated_probability():
    # clip (1, 0); label 0 is right, labels 1, 2, 3 have cosines 0.9, 0.8, 0.5
    cosines, n_clips = [0.9, 0.8, 0.5], 20_000
    labels = torch.tensor([[1.0, 0.0], *([c, math.sqrt(1 - c * c)] for c in cosines)])
    clips, target = torch.tensor([[1.0, 0.0]]).expand(n_clips, -1), torch.zeros(n_clips, dtype=torch.long)
    shares = torch.bincount(chosen_of(clips, labels, target, 2)[:, 1], minlength=4)[1:] / n_clips
    # three standard deviations of a share of 20 000 are at most 0.011
    np.testing.assert_allclose(shares.numpy(), reference.softmax([c / 0.1 for c in cosines]), atol=0.012)
    assert shares[0] > shares[1] > shares[2] > 0
