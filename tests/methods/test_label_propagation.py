"""zsar_lab.methods.label_propagation: by a dense inverse, by hand, and what its balance promises."""

from __future__ import annotations

import numpy as np
import pytest

from zsar_lab.methods.label_propagation import ALPHA, BALANCES, TEMPERATURE, K, neighbours, propagated
from zsar_lab.text.relatedness import unit

RANDOM = np.random.default_rng(0)
CLIPS_BD, SCORES_BC = unit(RANDOM.normal(size=(40, 6))), RANDOM.uniform(-1, 1, (40, 4))
NEAR_BB = neighbours(CLIPS_BD)


def plain(scores, clips) -> np.ndarray:
    """The formula with loops and a dense inverse, not balanced."""
    n = len(clips)
    w = np.zeros((n, n))
    for i in range(n):
        nearest = sorted((j for j in range(n) if j != i), key=lambda j: -clips[i] @ clips[j])[:K]
        for j in nearest:
            w[i, j] = max(clips[i] @ clips[j], 1e-12)
    w = np.maximum(w, w.T)
    root = np.sqrt(w.sum(1))
    soft = np.exp(scores / TEMPERATURE) / np.exp(scores / TEMPERATURE).sum(1, keepdims=True)
    spread = np.linalg.inv(np.eye(n) - ALPHA * w / np.outer(root, root)) @ soft
    return spread / spread.sum(1, keepdims=True)


def test_without_balance_it_is_the_formula_whatever_the_length_of_the_rows():
    found = propagated(SCORES_BC, neighbours(3 * CLIPS_BD), balance=0.0)
    np.testing.assert_allclose(found, plain(SCORES_BC, CLIPS_BD), atol=1e-6)


@pytest.mark.parametrize("balance", [0.0, 0.5, 1.0])
def test_rows_sum_to_one_and_full_balance_gives_each_class_as_many_clips(balance):
    found = propagated(SCORES_BC, NEAR_BB, balance)
    np.testing.assert_allclose(found.sum(1), 1)
    spread = np.ptp(found.sum(0))
    assert (found > 0).all() and (spread < 1e-3) == (balance == 1)
    assert spread <= np.ptp(propagated(SCORES_BC, NEAR_BB, 0.0).sum(0))
    # the classes' order does not matter
    np.testing.assert_allclose(propagated(SCORES_BC[:, ::-1], NEAR_BB, balance), found[:, ::-1], atol=1e-9)


def test_a_clip_among_others_takes_their_class_and_an_absent_class_takes_clips_only_when_balanced():
    near = np.repeat(np.eye(3), 8, axis=0) + RANDOM.normal(scale=0.05, size=(24, 3))
    scores = np.repeat(np.eye(3), 8, axis=0) * 0.2
    scores[0] = [0.0, 0.05, 0.0]  # one clip of the first kind looks more like the second class
    assert propagated(scores, neighbours(near)).argmax(1).tolist() == np.repeat(range(3), 8).tolist()
    two, of_two = neighbours(near[:16]), scores[:16]  # the third class has no clip
    assert set(propagated(of_two, two, 0.0).argmax(1)) == {0, 1}
    caught = [propagated(of_two, two, balance)[:, 2].sum() for balance in (0.0, 0.5, 1.0)]
    assert caught == sorted(caught) and caught[2] == pytest.approx(16 / 3, rel=0.01) and caught[0] < 1


@pytest.mark.parametrize(
    ("scores", "clips", "balance", "got"),
    [
        (SCORES_BC[:1], CLIPS_BD[:1], 1.0, "2 clips or more, got 1"),
        (SCORES_BC[:, :1], CLIPS_BD, 1.0, r"\(40, 1\)"),
        (SCORES_BC, CLIPS_BD[1:], 1.0, "of 39 clips"),
        (SCORES_BC * np.nan, CLIPS_BD, 1.0, "finite"),
        (SCORES_BC, CLIPS_BD, 1.1, "1.1"),
    ],
)
def test_what_cannot_be_propagated_is_refused(scores, clips, balance, got):
    with pytest.raises(ValueError, match=got):
        propagated(scores, neighbours(clips), balance)


def test_the_two_that_are_scored_differ_in_balance_alone():
    assert sorted(BALANCES.values()) == [0.5, 1.0]
