"""zsar_lab.results.many_splits: split by split with the metrics of one split, and by plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from zsar_lab.methods.fusion import fused_scores
from zsar_lab.methods.metrics import mean_class_accuracy, top_k_accuracy, truth_rank
from zsar_lab.results import many_splits
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.many_splits import score_splits

RANDOM = np.random.default_rng(0)
N_CLIPS, N_CLASSES = 400, 24
TARGETS = RANDOM.permutation(
    np.concatenate([np.arange(N_CLASSES), RANDOM.integers(0, N_CLASSES, N_CLIPS - N_CLASSES)])
)
SCORES = {
    "sharp": RANDOM.normal(size=(N_CLIPS, N_CLASSES)) + 2 * np.eye(N_CLASSES)[TARGETS],
    "with ties": RANDOM.integers(0, 4, (N_CLIPS, N_CLASSES)).astype(np.float32),
    "cannot decide": np.zeros((N_CLIPS, N_CLASSES)),
}
SPLITS = [RANDOM.permutation(N_CLASSES)[:size] for size in (12, 12, 12, 2, 5, 24)]


def one_split(scores, split):
    """Scores and targets of a split's clips among its classes in rising order."""
    classes = np.sort(split)
    clips = np.flatnonzero(np.isin(TARGETS, classes))
    return scores[np.ix_(clips, classes)], np.searchsorted(classes, TARGETS[clips])


@pytest.mark.parametrize(
    ("clips_a_block", "n_steps"), [(many_splits.CLIPS_A_BLOCK, many_splits.N_STEPS), (33, 1)]
)
def test_every_figure_is_that_of_the_split_alone(monkeypatch, clips_a_block, n_steps):
    monkeypatch.setattr(many_splits, "CLIPS_A_BLOCK", clips_a_block)
    monkeypatch.setattr(many_splits, "N_STEPS", n_steps)
    table = score_splits(SCORES, TARGETS, SPLITS).table.set_index(["method", "split"])
    assert len(table) == len(SCORES) * len(SPLITS)
    for method, scores in SCORES.items():
        for number, split in enumerate(SPLITS):
            row, (of_split, targets) = table.loc[(method, number)], one_split(scores, split)
            assert (row["n_classes"], row["n_clips"]) == (len(split), len(targets))
            assert row["top1"] == top_k_accuracy(of_split, targets, 1) and row["top5"] == top_k_accuracy(
                of_split, targets, 5
            )
            assert row["mean_class"] == pytest.approx(mean_class_accuracy(of_split, targets), abs=1e-12)
            assert row["n1_skewness"] == pytest.approx(
                hubness(k_occurrence(of_split, 1), 1).skewness, abs=1e-9
            )


def test_top_1_and_mean_of_classes_by_a_plain_loop():
    scored = score_splits(SCORES, TARGETS, SPLITS[:1])
    for method, scores in SCORES.items():
        of_split, targets = one_split(scores, SPLITS[0])
        right = [rank == 1 for rank in reference.truth_rank(of_split, targets)]
        shares = [np.mean([r for r, t in zip(right, targets) if t == c]) for c in range(len(SPLITS[0]))]
        row = scored.table.set_index("method").loc[method]
        assert row["top1"] == pytest.approx(np.mean(right)) and row["mean_class"] == pytest.approx(
            np.mean(shares)
        )


def test_the_right_clips_of_each_split():
    scored = score_splits(SCORES, TARGETS, SPLITS)
    for method, scores in SCORES.items():
        for number, split in enumerate(SPLITS):
            of_split, targets = one_split(scores, split)
            rows = scored.takes_part_NR[:, number]
            np.testing.assert_array_equal(
                scored.right[method][rows, number], truth_rank(of_split, targets) == 1
            )
            np.testing.assert_array_equal(TARGETS[rows], np.sort(split)[targets])
            assert not scored.right[method][~rows, number].any()


def test_a_method_that_depends_on_the_candidates_is_scored_split_by_split():
    def fused(rows, classes):
        return fused_scores(
            SCORES["sharp"][np.ix_(rows, classes)], SCORES["with ties"][np.ix_(rows, classes)], 0.5
        )

    def cut(rows, classes):
        return SCORES["with ties"][np.ix_(rows, classes)]

    scored = score_splits(SCORES, TARGETS, SPLITS, {"fused": fused, "again": cut})
    assert scored.table["method"].unique().tolist() == [*SCORES, "fused", "again"]
    table = scored.table.set_index("method")
    figures = ["top1", "top5", "mean_class", "n1_skewness", "n_clips"]
    np.testing.assert_allclose(table.loc["again", figures], table.loc["with ties", figures], atol=1e-12)
    np.testing.assert_array_equal(scored.right["again"], scored.right["with ties"])
    for number, split in enumerate(SPLITS):
        first, targets = one_split(SCORES["sharp"], split)
        wanted = top_k_accuracy(
            fused_scores(first, one_split(SCORES["with ties"], split)[0], 0.5), targets, 1
        )
        assert table.loc["fused", "top1"].iloc[number] == wanted


def test_the_order_of_a_splits_classes_changes_nothing():
    np.testing.assert_array_equal(
        score_splits(SCORES, TARGETS, SPLITS).table.drop(columns="method"),
        score_splits(SCORES, TARGETS, [split[::-1] for split in SPLITS]).table.drop(columns="method"),
    )


@pytest.mark.parametrize(
    ("split", "words"),
    [
        ([3], "split 1 has 1, 1 of them different"),
        ([3, 4, 3], "split 1 has 3, 2 of them different"),
        ([0, 7, 6], r"0\.\.6, split 1 has 7"),
        ([-1, 2], r"0\.\.6, split 1 has -1"),
        ([0, 6], "class 6 of split 1 has none"),
    ],
)
def test_splits_that_cannot_be_scored_are_refused(split, words):
    with pytest.raises(ValueError, match=words):
        score_splits({"method": np.zeros((6, 7))}, np.arange(6), [np.array([0, 1]), np.array(split)])


FINE, BAD = np.zeros((4, 3)), np.where(np.arange(12).reshape(4, 3) == 5, np.nan, 0)
HALF = [np.array([0, 1])]


@pytest.mark.parametrize(
    ("scores", "targets", "splits", "restricted", "words"),
    [
        ({"a": FINE}, [0, 1, 2, 0], [], None, "got 0 splits, 1 methods"),
        ({}, [0, 1, 2, 0], HALF, None, "got 1 splits, 0 methods"),
        ({"a": FINE, "b": FINE[:, :2]}, [0, 1, 2, 0], HALF, None, r"same 4 clips, those of 'b' are \(4, 2\)"),
        ({"a": FINE}, [0, 1, 2], HALF, None, r"same 3 clips, those of 'a' are \(4, 3\)"),
        ({"a": FINE}, [1, 2, 3, 1], HALF, None, r"0\.\.2, got 3"),
        ({"a": FINE}, [0, 1, 2, 0], HALF, {"a": lambda rows, classes: FINE}, "'a' has both"),
        ({"a": FINE}, [0, 1, 2, 0], HALF, {"b": lambda rows, classes: FINE}, r"\(3, 2\), got \(4, 3\)"),
        ({"a": FINE, "b": BAD}, [0, 1, 2, 0], HALF, None, "'b' has 1 that are not"),
        ({"a": FINE + np.inf}, [0, 1, 2, 0], HALF, None, "'a' has 12 that are not"),
        (
            {"a": FINE},
            [0, 1, 2, 0],
            HALF,
            {"b": lambda *of: np.full((3, 2), np.nan)},
            "'b' has 6 that are not",
        ),
    ],
)
def test_inputs_that_do_not_go_together_are_refused(scores, targets, splits, restricted, words):
    with pytest.raises(ValueError, match=words):
        score_splits(scores, np.array(targets), splits, restricted)
