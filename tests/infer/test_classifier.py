"""zsar_lab.infer.classifier: thresholds of "unsure" against plain loops, hand-made cases and properties."""

from __future__ import annotations

import numpy as np
import pytest

from zsar_lab.infer.classifier import BETWEEN, N_SUBSETS, NONE_OF_THESE, choose_thresholds, why_unsure


def _scores(seed, n_classes=8, clips=12, signal=1.0):
    rng, targets = np.random.default_rng(seed), np.repeat(np.arange(n_classes), clips)
    scores = rng.normal(size=(len(targets), n_classes))
    scores[np.arange(len(targets)), targets] += signal
    return scores, targets


def _looked_at(scores, targets, n_candidates, temperature):
    """Plain loops over the same subsets: (best score, confidence, known, right) of every clip."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(N_SUBSETS):
        candidates = rng.permutation(scores.shape[1])[:n_candidates]
        for row, target in zip(scores, targets):
            exponents = np.exp((row[candidates] - row[candidates].max()) / temperature)
            right = candidates[row[candidates].argmax()] == target
            confidence = (exponents / exponents.sum()).max()
            rows.append((row[candidates].max(), confidence, target in candidates, right))
    return rows


def test_thresholds_equal_plain_loops():
    scores, targets = _scores(1, clips=4)
    found = choose_thresholds(scores, targets, 0.7, 3, min_precision=0.6)
    rows = _looked_at(scores, targets, 3, 0.7)
    known, others = [row for row in rows if row[2]], [row for row in rows if not row[2]]
    reached = {level: sum(b >= level for b, *_ in known) / len(known) for level in {row[0] for row in known}}
    assert found.min_score == max(level for level, share in reached.items() if share >= 0.9)
    shares = {c: np.mean([row[3] for row in known if row[1] >= c]) for c in {row[1] for row in known}}
    lowest = min(level for level, share in shares.items() if share >= 0.6)
    assert found.min_confidence == pytest.approx(lowest, abs=1e-12)
    assert found.coverage == pytest.approx(np.mean([c >= found.min_confidence for _, c, *_ in known]))
    assert found.withheld == pytest.approx(np.mean([b < found.min_score for b, *_ in others]))
    best_known, best_others = (np.array([row[0] for row in part]) for part in (known, others))
    assert found.auroc == pytest.approx((np.sign(best_known[:, None] - best_others).mean() + 1) / 2)
    assert found.curve.risk[-1] == pytest.approx(np.mean([not right for *_, right in known]))
    assert found.n_candidates == 3 and "3 candidates each" in found.sentence()


def test_perfect_scores_leave_nothing_unsure():
    targets = np.repeat(np.arange(6), 5)
    scores = np.eye(6)[targets] + np.random.default_rng(0).uniform(0, 0.1, (30, 6))
    found = choose_thresholds(scores, targets, 0.1, 3)
    assert (found.coverage, found.withheld, found.auroc, found.curve.risk.max()) == (1, 1, 1, 0)
    assert 1 <= found.min_score < 1.1 and sum(map(bool, why_unsure(found, scores.max(1), np.ones(30)))) <= 3


def test_scores_without_a_signal_leave_everything_unsure():
    targets = np.repeat(np.arange(8), 40)
    scores = np.random.default_rng(2).normal(size=(320, 8))
    found = choose_thresholds(scores, targets, 1.0, 4, min_precision=0.9)
    assert found.min_confidence == np.inf and abs(found.auroc - 0.5) < 0.05 and np.isnan(found.precision)
    assert "no confidence was high enough (90% right" in found.sentence()
    assert all(why_unsure(found, np.full(3, 9.0), np.ones(3)))


def test_more_classes_than_validation_has_are_chosen_for_with_half_of_them():
    scores, targets = _scores(3)
    assert [choose_thresholds(scores, targets, 1.0, n).n_candidates for n in (50, 2)] == [4, 2]
    assert choose_thresholds(*_scores(6, n_classes=3), 1.0, 2) is None


def test_what_is_said_was_measured_and_asking_for_more_marks_more():
    scores, targets = _scores(3, clips=30)
    asked = (0.0, 0.3, 0.7, 0.8)
    found = [choose_thresholds(scores, targets, 1.0, 4, share) for share in asked]
    for share, one in zip(asked, found):
        assert one.precision >= share and f"{one.precision:.0%} of the pred" in one.sentence()
        assert f"({share:.0%} right were asked for)" in one.sentence()
    levels = [one.min_confidence for one in found]
    assert levels == sorted(levels) and levels[0] < levels[-1]
    assert found[0].coverage == 1 and found[0].precision == pytest.approx(1 - found[0].curve.risk[-1])
    assert "With 9 classes" in found[0].sentence(9) and "With" not in found[0].sentence(4)


def test_two_reasons():
    found = choose_thresholds(*_scores(5, signal=3.0), 1.0, 4)
    near, sure = found.min_score, found.min_confidence
    best, confidence = np.array([near, near - 1] * 2), np.array([sure, sure, sure / 2, sure / 2])
    assert why_unsure(found, best, confidence) == ["", NONE_OF_THESE, BETWEEN, NONE_OF_THESE]
    assert why_unsure(None, np.zeros(2), np.zeros(2)) == ["", ""]


@pytest.mark.parametrize(
    ("n_classes", "share", "said"), [(2, 1.0, "got 1.0"), (2, -0.1, "-0.1"), (1, 0.8, "1")]
)
def test_what_cannot_be_chosen(n_classes, share, said):
    with pytest.raises(ValueError, match=said):
        choose_thresholds(*_scores(6), 1.0, n_classes, min_precision=share)
