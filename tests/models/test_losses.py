"""zsar_lab.models.losses: each loss by hand and by a plain loop; hard labels by their promises."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference
import torch

from zsar_lab.models.losses import alignment_loss, classification_loss, hard_labels, matching_loss


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def uniform(n_clips: int, n_seen: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n_clips, n_seen, generator=generator(seed))


def units(n_rows: int, width: int, seed: int) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(n_rows, width, generator=generator(seed)), dim=-1)


def test_classification_by_hand():
    # softmax of (log 3, 0) is (3/4, 1/4)
    logits = torch.tensor([[math.log(3.0), 0.0]])
    assert classification_loss(logits, torch.tensor([0]), 0.0).item() == pytest.approx(-math.log(3 / 4))
    assert classification_loss(logits, torch.tensor([1]), 0.0).item() == pytest.approx(-math.log(1 / 4))
    smoothed = -(
        0.9 * math.log(3 / 4) + 0.1 * math.log(1 / 4)
    )  # e = 0.2 gives 0.1 to each of the two classes
    assert classification_loss(logits, torch.tensor([0]), 0.2).item() == pytest.approx(smoothed)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_classification_equals_the_plain_loop(smoothing):
    logits, target = torch.randn(6, 4, generator=generator()), torch.tensor([0, 1, 2, 3, 3, 0])
    expected = np.mean(
        [reference.cross_entropy(row, t, smoothing) for row, t in zip(logits.tolist(), target.tolist())]
    )
    assert classification_loss(logits, target, smoothing).item() == pytest.approx(expected, rel=1e-5)


def test_alignment_by_hand():
    # clip 0 lies on label 0 and at a right angle to label 1; at temperature 1/2 the logits are (2, 0)
    clip, labels = torch.tensor([[1.0, 0.0]]), torch.eye(2)
    expected = math.log(1 + math.exp(-2))
    assert alignment_loss(clip, labels, torch.tensor([0]), torch.tensor(0.5).log()).item() == pytest.approx(
        expected
    )


@pytest.mark.parametrize("temperature", [0.05, 0.3, 1.0])
def test_alignment_equals_the_plain_loop(temperature):
    clips, labels, target = units(5, 8, 1), units(3, 8, 2), torch.tensor([0, 1, 2, 2, 1])
    rows = [
        [reference.cosine(clip, label) / temperature for label in labels.tolist()] for clip in clips.tolist()
    ]
    expected = np.mean([reference.cross_entropy(row, t) for row, t in zip(rows, target.tolist())])
    found = alignment_loss(clips, labels, target, torch.tensor(temperature).log())
    assert found.item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("far", "bound"), [(1e-6, 0.01), (50.0, 1.0)])
def test_the_learned_temperature_is_kept_in_its_range(far, bound):
    clips, labels, target = units(5, 8, 1), units(3, 8, 2), torch.tensor([0, 1, 2, 2, 1])
    found, at_bound = (alignment_loss(clips, labels, target, torch.tensor(t).log()) for t in (far, bound))
    torch.testing.assert_close(found, at_bound)


def test_matching_by_hand_and_by_the_plain_loop():
    assert matching_loss(torch.tensor([[math.log(3.0), 0.0]])).item() == pytest.approx(-math.log(3 / 4))
    logits = torch.randn(6, 4, generator=generator())
    expected = np.mean([reference.cross_entropy(row, 0) for row in logits.tolist()])
    assert matching_loss(logits).item() == pytest.approx(expected, rel=1e-5)
    assert matching_loss(torch.zeros(3, 5)).item() == pytest.approx(math.log(5))


def test_losses_are_computed_in_float32():
    logits = torch.randn(6, 4, generator=generator())
    for loss in (
        classification_loss(logits.bfloat16(), torch.arange(6) % 4, 0.1),
        matching_loss(logits.bfloat16()),
    ):
        assert loss.dtype == torch.float32


@pytest.mark.parametrize("n_labels", [2, 4, 7])
def test_hard_labels_are_the_target_and_then_different_wrong_ones(n_labels):
    clips, labels = units(50, 8, 1), units(7, 8, 2)
    target = torch.arange(50) % 7
    chosen = hard_labels(clips, labels, target, n_labels, uniform(len(clips), len(labels)))
    assert chosen.shape == (50, n_labels) and chosen.dtype == torch.int64
    for row, right in zip(chosen.tolist(), target.tolist()):
        assert row[0] == right and right not in row[1:]
        assert len(set(row)) == n_labels and set(row) <= set(range(7))


def test_hard_labels_depend_on_the_random_numbers_only():
    clips, labels, target = units(50, 8, 1), units(7, 8, 2), torch.arange(50) % 7
    first = hard_labels(clips, labels, target, 3, uniform(len(clips), len(labels), 1))
    torch.manual_seed(9)
    assert torch.equal(hard_labels(clips, labels, target, 3, uniform(len(clips), len(labels), 1)), first)
    assert not torch.equal(hard_labels(clips, labels, target, 3, uniform(len(clips), len(labels), 2)), first)


def test_nearer_labels_are_drawn_with_the_stated_probability():
    # clip (1, 0); label 0 is right, labels 1, 2, 3 have cosines 0.9, 0.8, 0.5
    cosines = [0.9, 0.8, 0.5]
    labels = torch.tensor([[1.0, 0.0], *([c, math.sqrt(1 - c * c)] for c in cosines)])
    n_clips = 20_000
    clips, target = torch.tensor([[1.0, 0.0]]).expand(n_clips, -1), torch.zeros(n_clips, dtype=torch.long)
    chosen = hard_labels(clips, labels, target, 2, uniform(len(clips), len(labels)))[:, 1]
    drawn = torch.bincount(chosen, minlength=4)[1:] / n_clips
    expected = reference.softmax([c / 0.1 for c in cosines])
    # three standard deviations of a share of 20 000 splits are at most 0.011
    np.testing.assert_allclose(drawn.numpy(), expected, atol=0.012)
    assert drawn[0] > drawn[1] > drawn[2] > 0


def test_hard_labels_pass_no_gradient():
    clips, labels = units(4, 8, 1).requires_grad_(), units(5, 8, 2).requires_grad_()
    assert not hard_labels(clips, labels, torch.arange(4), 3, uniform(len(clips), len(labels))).requires_grad


@pytest.mark.parametrize("n_labels", [0, 1, 6])
def test_a_number_of_labels_out_of_range_is_refused(n_labels):
    with pytest.raises(
        ValueError, match=rf"n_labels must be in 2..5 \(the number of seen classes\), got {n_labels}"
    ):
        hard_labels(units(3, 8, 1), units(5, 8, 2), torch.arange(3), n_labels, uniform(3, 5))
