"""zsar_lab.methods.transfer: prototypes, weights and the choice of settings by plain loops and by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import reference
import torch
from two_splits import WIDTH, model_of

from zsar_lab.methods import transfer
from zsar_lab.methods.clips import class_means
from zsar_lab.methods.transfer import (
    TransferSettings,
    choose_settings,
    classifier_weights,
    compose_prototypes,
    transfer_weights,
)
from zsar_lab.text.relatedness import KINDS, unit

RANDOM = np.random.default_rng(0)
RELATED_US = RANDOM.uniform(-1, 1, (4, 6))


def test_class_means_by_hand_and_by_the_plain_loop():
    means = class_means(np.array([[1.0, 0], [0, 1], [0, 1], [-1, 0]]), np.array([0, 0, 1, 2]), 3)
    np.testing.assert_allclose(means, [[math.sqrt(0.5)] * 2, [0, 1], [-1, 0]])
    clips, targets = unit(RANDOM.normal(size=(20, 5))), np.arange(20) % 3
    np.testing.assert_allclose(class_means(clips, targets, 3), reference.class_means(clips, targets, 3))
    with pytest.raises(ValueError, match="number 1 has none"):
        class_means(np.eye(3), np.array([0, 2, 2]), 3)


def test_classifier_weights_are_the_rows_that_training_scores_clips_by():
    model = model_of(3)
    weights = classifier_weights(model)
    for row, raw in zip(weights, model.seen_weight_SD.tolist(), strict=True):
        np.testing.assert_allclose(row, np.array(raw) / math.sqrt(sum(x * x for x in raw)), atol=1e-7)
    clips = unit(RANDOM.normal(size=(5, WIDTH))).astype(np.float32)
    logits = model.seen_logits(torch.from_numpy(clips), temperature=0.5).detach().numpy()
    np.testing.assert_allclose(clips @ weights.T / 0.5, logits, atol=1e-5)


def test_transfer_weights_by_hand_by_the_plain_loop_and_in_their_limits():
    for k, tau in itertools.product((1, 2, 5, 6), (0.05, 0.3, 5.0)):
        weights = transfer_weights(RELATED_US, TransferSettings(k, tau))
        np.testing.assert_allclose(weights, reference.transfer_weights(RELATED_US, k, tau), atol=1e-12)
    # the two most related are 0 and 2; with tau 1 / log 3 and a difference of 1 their weights are 3 to 1
    weights = transfer_weights(np.array([[1.0, -0.5, 0.0]]), TransferSettings(k=2, tau=1 / math.log(3)))
    np.testing.assert_allclose(weights, [[0.75, 0, 0.25]])
    nearest = np.eye(6)[RELATED_US.argmax(1)]
    for k, tau, expected in ((6, 1e-4, nearest), (1, 0.3, nearest), (6, 1e9, np.full((4, 6), 1 / 6))):
        found = transfer_weights(RELATED_US, TransferSettings(k, tau))
        np.testing.assert_allclose(found, expected, atol=1e-6)
    for k, tau, got in ((7, 0.1, "7"), (0, 0.1, "0"), (3, 0.0, "0.0"), (3, math.nan, "nan")):
        with pytest.raises(ValueError, match=f"got {got}"):
            transfer_weights(RELATED_US, TransferSettings(k, tau))
    # and the prototypes that they compose
    composed = compose_prototypes(np.array([[1.0, 0.0], [0.5, 0.5], [0.6, 0.8]]), np.eye(2))
    np.testing.assert_allclose(composed, [[1, 0], [math.sqrt(0.5), math.sqrt(0.5)], [0.6, 0.8]])


@pytest.mark.parametrize("n_seen", [1, 2, 3, 7, 40])
def test_every_setting_of_the_grid_is_allowed_and_different(n_seen):
    grid = transfer.settings_grid(n_seen)
    assert len(set(grid)) == len(grid)
    assert {1, n_seen} <= {settings.k for settings in grid} <= set(range(1, n_seen + 1))
    texts = np.random.default_rng(0).normal(size=(n_seen, 4))
    for settings in grid:
        assert transfer.weights_by_text(texts[:1], texts, settings).shape == (1, n_seen)
    assert {one.relatedness for one in grid} == (set(KINDS) if n_seen > 1 else {"plain"})


def test_the_accuracies_of_the_grid_equal_a_plain_loop():
    random = np.random.default_rng(1)
    clips, targets = unit(random.normal(size=(30, 5))), np.arange(30) % 3
    validation_text, seen_text = random.normal(size=(3, 8)), random.normal(size=(6, 8))
    prototypes, grid = unit(random.normal(size=(6, 5))), transfer.settings_grid(6)
    chosen, accuracies = choose_settings(clips, targets, validation_text, seen_text, prototypes, grid)
    assert chosen in accuracies and list(accuracies) == grid
    related = {
        "plain": np.array([[reference.cosine(v, s) for s in seen_text] for v in validation_text]),
        "centred": reference.relatedness(validation_text, seen_text),
        "whitened": reference.whitened_relatedness(validation_text, seen_text, 1.0),
    }
    for settings, accuracy in accuracies.items():
        weights = reference.transfer_weights(related[settings.relatedness], settings.k, settings.tau)
        points = weights @ prototypes
        nearness = [[reference.cosine(clip, point) for point in points] for clip in clips]
        right = [all(near[t] > near[c] for c in range(3) if c != t) for near, t in zip(nearness, targets)]
        assert accuracy == pytest.approx(sum(right) / 30)


def choose_planted(monkeypatch, grid, n_right):
    """Choose where each setting of the grid gets so many right of 10 clips in each of four classes."""
    asked, targets = iter(n_right), np.repeat(np.arange(4), 10)

    def planted(weights, prototypes):
        wrong = np.tile(np.arange(10), 4) >= np.array(next(asked))[targets]
        return np.eye(4)[(targets + wrong) % 4].T

    monkeypatch.setattr("zsar_lab.methods.transfer.compose_prototypes", planted)
    texts = RANDOM.normal(size=(4, 8)), RANDOM.normal(size=(6, 8))
    return choose_settings(np.eye(40), targets, *texts, np.eye(6), grid)


def test_one_standard_error_by_hand(monkeypatch):
    n_right = {
        1: [9, 9, 9, 9],  # the best
        3: [6, 8, 10, 9],  # behind by a mean of 0.075, deviation 0.171, standard error 0.085: near
        4: [8, 9, 9, 7],  # behind by a mean of 0.075, deviation 0.096, standard error 0.048: not near
        6: [5, 4, 5, 6],
    }
    grid = [TransferSettings(k, 0.5) for k in n_right]  # the larger k, the more even the weights
    chosen, accuracies = choose_planted(monkeypatch, grid, n_right.values())
    assert list(accuracies.values()) == pytest.approx([0.9, 0.825, 0.825, 0.5])
    assert chosen == TransferSettings(3, 0.5)


@pytest.mark.parametrize(
    ("n_right", "chosen"),
    [
        # plain is ahead by 0.1, 0.1, 0, 0.1: mean 0.075, deviation 0.05, standard error 0.025, so it is taken
        ({"plain": [8, 8, 7, 8], "centred": [7, 7, 7, 7], "whitened": [7, 7, 7, 7]}, "plain"),
        # plain is ahead by 0.1, 0, 0, 0.1: mean 0.05, deviation 0.058, standard error 0.029, so it is not
        ({"plain": [8, 7, 7, 8], "centred": [7, 7, 7, 7], "whitened": [7, 7, 7, 7]}, "centred"),
        # both are ahead by more than two standard errors: the better one
        ({"plain": [8, 8, 8, 8], "centred": [7, 7, 7, 7], "whitened": [8, 8, 9, 9]}, "whitened"),
        # whitened is better than plain, but only plain is ahead of centred for sure
        ({"plain": [8, 8, 8, 8], "centred": [7, 7, 7, 7], "whitened": [10, 10, 9, 4]}, "plain"),
        ({"plain": [6, 6, 6, 6], "centred": [7, 7, 7, 7], "whitened": [2, 2, 2, 2]}, "centred"),
        # a grid without centred starts from its first kind
        ({"whitened": [7, 7, 7, 7], "plain": [9, 7, 7, 7]}, "whitened"),
    ],
)
def test_another_kind_than_centred_has_to_be_better_by_two_standard_errors(monkeypatch, n_right, chosen):
    grid = [TransferSettings(3, 0.1, kind) for kind in n_right]
    taken, _ = choose_planted(monkeypatch, grid, n_right.values())
    assert taken == TransferSettings(3, 0.1, chosen)


@pytest.mark.parametrize(
    ("offset", "first", "second"),  # the second is taken
    [
        # plain cosines are nearly even at any tau, but evenness counts within a kind only
        (2.0, TransferSettings(4, 0.3, "plain"), TransferSettings(4, 0.3, "centred")),
        (0.2, TransferSettings(2, 0.1), TransferSettings(4, 0.5)),  # the most even
    ],
)
def test_of_settings_as_good_as_each_other_the_most_even_of_a_kind_is_chosen(offset, first, second):
    prototypes, text = np.eye(4), np.eye(4) + offset
    given = prototypes, np.arange(4), text, text, prototypes
    assert choose_settings(*given, [first, second]) == (second, {first: 1.0, second: 1.0})
    with pytest.raises(ValueError, match="grid"):
        choose_settings(*given, [])
    # the accuracy is the mean over classes: of one three clips are right, of another the only one is wrong
    clips = prototypes[[0, 0, 0, 1]], np.array([0, 0, 0, 3]), text, text, prototypes
    assert choose_settings(*clips, [second])[1] == {second: 0.5}
