"""zsar_lab.results.prediction_sets: by hand, by a plain loop, and the coverage of simulated classes."""

from __future__ import annotations

import numpy as np
import pytest
from two_splits import clips_of, protocol_of, texts_of, untrained

from zsar_lab.results.evaluate import evaluate_split
from zsar_lab.results.prediction_sets import CoverageError, prediction_sets
from zsar_lab.results.summary import Results


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def world(rng, n_validation, n_candidates, clips=20, width=32):
    """Scores of all clips to all classes, which differ in how well their text places them."""
    n = n_validation + n_candidates
    true = unit(rng.normal(size=(n, width)))
    texts = unit(true + rng.uniform(0.2, 1.4, (n, 1)) * unit(rng.normal(size=true.shape)))
    targets = np.repeat(np.arange(n), clips)
    shown = unit(true[targets] + 1.4 * unit(rng.normal(size=(len(targets), width))))
    return shown @ texts.T, targets


def sets_of(scores, targets, n, coverage):
    """The sets of all clips of candidates, the first n classes being for calibration; and which they hold."""
    known = targets < n
    given = scores[~known, n:], scores[known, n:], scores[known, targets[known]], targets[known]
    sets = prediction_sets(*given, coverage)
    return sets, sets[np.arange(len(sets)), targets[~known] - n]


# mean coverage over draws of classes, by numbers of calibration classes and candidates; the largest mean size
@pytest.mark.parametrize(
    ("n_validation", "n_candidates", "coverage", "low", "high", "size"),
    [
        (10, 50, 0.9, 0.95, 1.0, 20),
        (25, 50, 0.9, 0.91, 0.96, 10),
        (50, 10, 0.9, 0.89, 0.95, 3),
        (50, 50, 0.9, 0.89, 0.94, 8),
        (5, 50, 0.8, 0.88, 0.98, 12),
        (25, 50, 0.5, 0.5, 0.57, 2),
    ],
)
def test_sets_hold_the_right_class_as_often_as_asked(n_validation, n_candidates, coverage, low, high, size):
    rng, held, sizes = np.random.default_rng(0), [], []
    for _ in range(60):
        sets, covered = sets_of(*world(rng, n_validation, n_candidates), n_validation, coverage)
        held.append(covered.mean())
        sizes.append(sets.sum(1).mean())
    assert max(low, coverage) <= np.mean(held) + 2 * np.std(held) / 60**0.5 and np.mean(held) <= high
    assert 0.5 < np.mean(sizes) < size and np.std(held) < 0.09


def test_a_small_case_by_hand():
    # four classes of one clip each, 80 %: all of the weight 4/5 is needed, the worst clip is the threshold.
    # the own class stands in the place of candidate 0 (its rival is the second column) and of 1 (the first)
    calibration = np.array([[0.1, 0.4], [0.2, 0.3], [0.0, 0.6], [0.5, 0.5]])
    own = np.array([0.9, 0.5, 0.5, 0.7])
    # behind by, for 0: -.5, -.2, .1, -.2; for 1: -.8, -.3, -.5, -.2
    scores = np.array([[0.4, 0.5], [0.35, 0.5], [0.3, 0.5], [0.6, 0.45], [0.6, 0.3], [0.3, 0.6]])
    sets = prediction_sets(scores, calibration, own, [7, 8, 9, 5], 0.8)
    # 0 where s_1 - s_0 <= .1; 1 where s_0 - s_1 <= -.2
    assert sets.tolist() == [
        [True, False],
        [False, False],
        [False, True],
        [True, False],
        [True, False],
        [False, True],
    ]


def test_thresholds_equal_a_plain_loop_whatever_the_numbers_of_clips_and_their_order():
    rng = np.random.default_rng(1)
    classes = rng.permutation(np.repeat(list("abcdefghijk"), np.arange(1, 12)))
    calibration, own, scores = (
        rng.normal(size=(66, 6)),
        rng.normal(size=66) + 1,
        rng.normal(size=(40, 6)).round(1),
    )
    for coverage in (0.3, 0.8, 0.9):
        wanted = np.zeros((40, 6), bool)
        for j in range(6):
            rivals = [c for c in range(6) if c != j]
            behind = sorted((max(calibration[e, rivals]) - own[e], classes[e]) for e in range(66))
            total, threshold = 0.0, None
            for value, name in behind:
                total += 1 / 12 / (classes == name).sum()
                if threshold is None and total >= coverage - 1e-9:
                    threshold = value
            wanted[:, j] = [max(row[rivals]) - row[j] <= threshold for row in scores]
        order = rng.permutation(66)
        for rows in (np.arange(66), order):
            found = prediction_sets(scores, calibration[rows], own[rows], classes[rows], coverage)
            np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("n_classes", "coverage", "change", "words"),
    [
        (8, 0.9, {}, "0.9 needs 9 .*got 8"),
        (3, 0.8, {}, "0.8 needs 4 .*got 3"),
        (18, 0.95, {}, "0.95 needs 19 .*got 18"),
        (9, 1.0, {}, "below 1, got 1"),
        (9, float("nan"), {}, "nan"),
        (9, 0.9, {"candidates": 1}, r"2 or more"),
        (9, 0.9, {"own": 8}, r"\(8,\)"),
        (9, 0.9, {"bad": np.nan}, "finite"),
        (9, 0.9, {"bad": np.inf}, "finite"),
    ],
)
def test_what_cannot_be_guaranteed_is_refused(n_classes, coverage, change, words):
    rng, n = np.random.default_rng(0), change.get("candidates", 3)
    calibration = rng.normal(size=(n_classes, n))
    calibration[0, 0] = change.get("bad", 0)
    own = rng.normal(size=change.get("own", n_classes))
    with pytest.raises(CoverageError, match=words):
        prediction_sets(rng.normal(size=(4, n)), calibration, own, np.arange(n_classes), coverage)
    assert prediction_sets(
        rng.normal(size=(0, 3)), rng.normal(size=(9, 3)), np.ones(9), np.arange(9)
    ).shape == (0, 3)


def test_a_scored_split_gives_sets_by_its_own_scores_also_when_saved(tmp_path):
    """Four validation classes: 80 % can be guaranteed, 90 % cannot."""
    protocol, clips = protocol_of(0), clips_of(0.45)
    given = untrained(protocol), clips, protocol, texts_of("good")
    made, again = (evaluate_split(*given, folder=tmp_path) for _ in range(2))
    for predictions in (made, again):
        results = Results({"random": [predictions, predictions]})
        for method in ("direct", "ridge", "transfer"):
            table = results.sets(method, 0.8)
            rows = results.rows(method)
            assert table["clip"].tolist() == rows["clip"].tolist() and list(table.columns)[:3] == [
                "split",
                "clip",
                "label",
            ]
            assert (table["size"] == table["set"].map(len)).all()
            inside = [label in held for label, held in zip(table["label"], table["set"])]
            assert table["covered"].tolist() == inside
            both = predictions.calibration(method)
            np.testing.assert_allclose(both[:, :4], predictions.scores(method, candidates="validation"))
        assert results.sets("ridge", 0.8)["covered"].mean() >= 0.8
        with pytest.raises(CoverageError, match="needs 9 .*got 4"):
            results.sets()
        with pytest.raises(CoverageError, match="'match'"):
            results.sets("match", 0.8)
