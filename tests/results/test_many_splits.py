"""zsar_lab.results.many_splits: split by split with the metrics of one split."""

from __future__ import annotations

import numpy as np
import pytest

from zsar_lab.methods.metrics import mean_class_accuracy, top_k_accuracy
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


@pytest.mark.parametrize(
    ("clips_a_block", "n_steps"), [(many_splits.CLIPS_A_BLOCK, many_splits.N_STEPS), (33, 1)]
)
def test_every_figure_is_that_of_the_split_alone(monkeypatch, clips_a_block, n_steps):
    monkeypatch.setattr(many_splits, "CLIPS_A_BLOCK", clips_a_block)
    monkeypatch.setattr(many_splits, "N_STEPS", n_steps)
    found = score_splits(SCORES, TARGETS, SPLITS)
    table = found.set_index(["method", "split"])
    assert len(table) == len(SCORES) * len(SPLITS)
    for method, scores in SCORES.items():
        for number, split in enumerate(SPLITS):
            classes = np.sort(split)  # decides which of tied classes is the nearest
            clips = np.flatnonzero(np.isin(TARGETS, classes))
            given = scores[np.ix_(clips, classes)], np.searchsorted(classes, TARGETS[clips])
            row = table.loc[(method, number)]
            assert (row["n_classes"], row["n_clips"]) == (len(split), len(clips))
            assert (row["top1"], row["top5"]) == (top_k_accuracy(*given, 1), top_k_accuracy(*given, 5))
            assert row["mean_class"] == pytest.approx(mean_class_accuracy(*given), abs=1e-12)
            skewness = hubness(k_occurrence(given[0], 1), 1).skewness
            assert row["n1_skewness"] == pytest.approx(skewness, abs=1e-9)
    turned = score_splits(SCORES, TARGETS, [split[::-1] for split in SPLITS])
    assert turned.equals(found)


FINE, HALF, CLIPS = np.zeros((4, 3)), [0, 1], [0, 1, 2, 0]


@pytest.mark.parametrize(
    ("scores", "targets", "splits", "words"),
    [
        ({"a": FINE}, CLIPS, [], "got 0 and 1"),
        ({}, CLIPS, [HALF], "got 1 and 0"),
        ({"a": FINE, "b": FINE[:, :2]}, CLIPS, [HALF], r"\(4, 3\) .* those of 'b' are \(4, 2\)"),
        ({"a": FINE}, [0, 1, 2], [HALF], r"\(3, 3\) .* those of 'a' are \(4, 3\)"),
        ({"a": FINE}, [1, 2, 3, 1], [HALF], r"0\.\.2, got 3"),
        ({"a": FINE + np.inf}, CLIPS, [HALF], "'a' .* 12 not finite"),
        ({"a": FINE}, CLIPS, [HALF, [2]], "split 1 has 1, 1 of them different"),
        ({"a": FINE}, CLIPS, [HALF, [0, 1, 0]], "split 1 has 3, 2 of them different"),
        ({"a": FINE}, [0, 1, 0, 1], [HALF, [0, 2, 1]], r"0\.\.2, with clips, split 1 has 2"),
        ({"a": FINE}, CLIPS, [HALF, [-1, 2]], r"0\.\.2, with clips, split 1 has -1"),
        ({"a": FINE}, CLIPS, [HALF, [0, 3]], r"0\.\.2, with clips, split 1 has 3"),
    ],
)
def test_what_cannot_be_scored_is_refused(scores, targets, splits, words):
    with pytest.raises(ValueError, match=words):
        score_splits(scores, np.array(targets), [np.array(split) for split in splits])
