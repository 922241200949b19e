"""zsar_lab.infer.unsure: thresholds of "unsure" against plain loops, hand-made cases and properties."""

from __future__ import annotations

import numpy as np
import pytest

from zsar_lab.infer.unsure import BETWEEN, N_SPLITS, NONE_OF_THESE, choose_thresholds, why_unsure


def _scores(rng, n_classes=8, clips=12, signal=1.0):
    targets = np.repeat(np.arange(n_classes), clips)
    scores = rng.normal(size=(len(targets), n_classes))
    scores[np.arange(len(targets)), targets] += signal
    return scores, targets


def _softmax(row, temperature):
    exponent = np.exp((row - row.max()) / temperature)
    return exponent / exponent.sum()


def _looked_at(scores, targets, n_candidates, temperature):
    """Plain loops over the same splits: (best score, confidence, known, right) of every clip in every split."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(N_SPLITS):
        candidates = rng.permutation(scores.shape[1])[:n_candidates]
        for row, target in zip(scores, targets):
            own = row[candidates]
            rows.append(
                (
                    own.max(),
                    _softmax(own, temperature).max(),
                    target in candidates,
                    candidates[own.argmax()] == target,
                )
            )
    return rows


def test_thresholds_equal_plain_loops():
    scores, targets = _scores(np.random.default_rng(1), clips=4)
    found = choose_thresholds(scores, targets, 0.7, 3, least_right=0.6)
    rows = _looked_at(scores, targets, 3, 0.7)
    known, others = [row for row in rows if row[2]], [row for row in rows if not row[2]]
    reached = {level: sum(b >= level for b, *_ in known) / len(known) for level in {row[0] for row in known}}
    assert found.nearness == max(level for level, share in reached.items() if share >= 0.9)
    shares = {
        level: np.mean([right for _, c, _, right in known if c >= level])
        for level in sorted({row[1] for row in known})
    }
    assert found.confidence == pytest.approx(
        min(level for level, share in shares.items() if share >= 0.6), abs=1e-12
    )
    assert found.answered == pytest.approx(np.mean([c >= found.confidence for _, c, *_ in known]))
    assert found.withheld == pytest.approx(np.mean([b < found.nearness for b, *_ in others]))
    best_known, best_others = (np.array([row[0] for row in part]) for part in (known, others))
    assert found.auroc == pytest.approx((np.sign(best_known[:, None] - best_others).mean() + 1) / 2)
    assert found.curve.risk[-1] == pytest.approx(np.mean([not right for *_, right in known]))
    assert found.n_candidates == 3 and "3 candidates at a time" in found.sentence()


def test_perfect_scores_leave_nothing_unsure():
    targets = np.repeat(np.arange(6), 5)
    scores = np.eye(6)[targets] + np.random.default_rng(0).uniform(0, 0.1, (30, 6))
    found = choose_thresholds(scores, targets, 0.1, 3)
    assert (found.answered, found.withheld, found.auroc, found.curve.risk.max()) == (1, 1, 1, 0)
    assert 1 <= found.nearness < 1.1 and sum(map(bool, why_unsure(found, scores.max(1), np.ones(30)))) <= 3


def test_scores_that_say_nothing_leave_everything_unsure():
    rng = np.random.default_rng(2)
    targets = np.repeat(np.arange(8), 40)
    found = choose_thresholds(rng.normal(size=(320, 8)), targets, 1.0, 4, least_right=0.9)
    assert (
        found.confidence == np.inf
        and "no confidence was high enough for 90 % of answers" in found.sentence()
        and abs(found.auroc - 0.5) < 0.05
    )
    assert all(why_unsure(found, np.full(3, 9.0), np.ones(3)))


def test_more_classes_than_validation_has_are_chosen_for_with_half_of_them():
    scores, targets = _scores(np.random.default_rng(3))
    assert choose_thresholds(scores, targets, 1.0, 50).n_candidates == 4
    assert choose_thresholds(scores, targets, 1.0, 2).n_candidates == 2


def test_what_is_said_was_measured():
    scores, targets = _scores(np.random.default_rng(3), clips=30)
    for least_right in (0.0, 0.3, 0.7):
        found = choose_thresholds(scores, targets, 1.0, 4, least_right)
        assert (
            found.right >= least_right
            and f"{100 * found.right:.0f} % of the answers with a confidence of" in found.sentence()
        )
        assert f"({100 * least_right:.0f} % were asked for)" in found.sentence()
    everything = choose_thresholds(scores, targets, 1.0, 4, 0.0)
    assert everything.answered == 1 and everything.right == pytest.approx(1 - everything.curve.risk[-1])
    assert "With 9 classes to choose from, fewer answers are right than with 4." in found.sentence(
        9
    ) and "classes to choose from" not in found.sentence(4)


def test_asking_for_more_marks_more():
    scores, targets = _scores(np.random.default_rng(4), clips=30)
    levels = [
        choose_thresholds(scores, targets, 1.0, 4, least_right=share).confidence
        for share in (0.0, 0.6, 0.7, 0.8)
    ]
    assert levels == sorted(levels) and levels[0] < levels[-1]


def test_two_reasons():
    scores, targets = _scores(np.random.default_rng(5), signal=3.0)
    found = choose_thresholds(scores, targets, 1.0, 4)
    near, sure = found.nearness, found.confidence
    assert why_unsure(
        found, np.array([near, near - 1, near, near - 1]), np.array([sure, sure, sure / 2, sure / 2])
    ) == [
        "",
        NONE_OF_THESE,
        BETWEEN,
        NONE_OF_THESE,
    ]
    assert why_unsure(None, np.zeros(2), np.zeros(2)) == ["", ""]


def test_what_cannot_be_chosen():
    scores, targets = _scores(np.random.default_rng(6), n_classes=3)
    assert choose_thresholds(scores, targets, 1.0, 2) is None
    with pytest.raises(
        ValueError, match=r"least_right must be a share in 0..1, below 1, got 1.0; 0.8 is the usual one"
    ):
        choose_thresholds(scores, targets, 1.0, 2, least_right=1.0)
    with pytest.raises(ValueError, match="there must be 2 classes or more to choose from, got 1"):
        choose_thresholds(scores, targets, 1.0, 1)
