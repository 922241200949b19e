"""zsar_lab.zeroshot.many_draws: draw by draw with the metrics of one draw, and by plain loops."""

from __future__ import annotations

import numpy as np
import pytest
import reference

from zsar_lab.zeroshot import many_draws
from zsar_lab.zeroshot.hubness import hubness, k_occurrence
from zsar_lab.zeroshot.many_draws import score_draws
from zsar_lab.zeroshot.metrics import mean_class_accuracy, top_k_accuracy, truth_rank
from zsar_lab.zeroshot.rules import fused_scores
from zsar_lab.zeroshot.statistics import class_bootstrap

RANDOM = np.random.default_rng(0)
N_CLIPS, N_CLASSES = 400, 24
TARGETS = RANDOM.permutation(np.concatenate([np.arange(N_CLASSES), RANDOM.integers(0, N_CLASSES, N_CLIPS - N_CLASSES)]))
SCORES = {
    "sharp": RANDOM.normal(size=(N_CLIPS, N_CLASSES)) + 2 * np.eye(N_CLASSES)[TARGETS],
    "with ties": RANDOM.integers(0, 4, (N_CLIPS, N_CLASSES)).astype(np.float32),
    "cannot decide": np.zeros((N_CLIPS, N_CLASSES)),
}
DRAWS = [RANDOM.permutation(N_CLASSES)[:size] for size in (12, 12, 12, 2, 5, 24)]


def one_draw(scores, draw):
    """Scores and targets of a draw's clips among its classes in rising order."""
    classes = np.sort(draw)
    clips = np.flatnonzero(np.isin(TARGETS, classes))
    return scores[np.ix_(clips, classes)], np.searchsorted(classes, TARGETS[clips])


@pytest.mark.parametrize("clips_a_block, n_steps", [(many_draws.CLIPS_A_BLOCK, many_draws.N_STEPS), (33, 1)])
def test_every_figure_is_that_of_the_draw_alone(monkeypatch, clips_a_block, n_steps):
    monkeypatch.setattr(many_draws, "CLIPS_A_BLOCK", clips_a_block)
    monkeypatch.setattr(many_draws, "N_STEPS", n_steps)
    table = score_draws(SCORES, TARGETS, DRAWS).table.set_index(["rule", "draw"])
    assert len(table) == len(SCORES) * len(DRAWS)
    for rule, scores in SCORES.items():
        for number, draw in enumerate(DRAWS):
            row, (of_draw, targets) = table.loc[(rule, number)], one_draw(scores, draw)
            assert (row["n_classes"], row["n_clips"]) == (len(draw), len(targets))
            assert row["top1"] == top_k_accuracy(of_draw, targets, 1) and row["top5"] == top_k_accuracy(of_draw, targets, 5)
            assert row["mean_class"] == pytest.approx(mean_class_accuracy(of_draw, targets), abs=1e-12)
            assert row["n1_skewness"] == pytest.approx(hubness(k_occurrence(of_draw, 1), 1).skewness, abs=1e-9)


def test_top_1_and_mean_of_classes_by_a_plain_loop():
    scored = score_draws(SCORES, TARGETS, DRAWS[:1])
    for rule, scores in SCORES.items():
        of_draw, targets = one_draw(scores, DRAWS[0])
        right = [rank == 1 for rank in reference.truth_rank(of_draw, targets)]
        shares = [np.mean([r for r, t in zip(right, targets) if t == c]) for c in range(len(DRAWS[0]))]
        row = scored.table.set_index("rule").loc[rule]
        assert row["top1"] == pytest.approx(np.mean(right)) and row["mean_class"] == pytest.approx(np.mean(shares))


def test_the_clips_named_rightly_are_kept_for_intervals():
    scored = score_draws(SCORES, TARGETS, DRAWS)
    for rule, scores in SCORES.items():
        parts = []
        for number, draw in enumerate(DRAWS):
            of_draw, targets = one_draw(scores, draw)
            right, classes = scored.clips_of(rule, number)
            np.testing.assert_array_equal(right, truth_rank(of_draw, targets) == 1)
            np.testing.assert_array_equal(classes, np.sort(draw)[targets])
            parts.append((right, classes))
        pooled = scored.pooled(rule)
        for found, wanted in zip(pooled, (np.concatenate(part) for part in zip(*parts))):
            np.testing.assert_array_equal(found, wanted)
        low, high = class_bootstrap(*pooled, n_resamples=50)
        assert low <= pooled[0].mean() <= high


def test_a_rule_that_depends_on_the_candidates_is_scored_draw_by_draw():
    def fused(rows, classes):
        return fused_scores(SCORES["sharp"][np.ix_(rows, classes)], SCORES["with ties"][np.ix_(rows, classes)], 0.5)

    def cut(rows, classes):
        return SCORES["with ties"][np.ix_(rows, classes)]

    scored = score_draws(SCORES, TARGETS, DRAWS, {"fused": fused, "again": cut})
    assert scored.table["rule"].unique().tolist() == [*SCORES, "fused", "again"]
    table = scored.table.set_index("rule")
    figures = ["top1", "top5", "mean_class", "n1_skewness", "n_clips"]
    np.testing.assert_allclose(table.loc["again", figures], table.loc["with ties", figures], atol=1e-12)
    np.testing.assert_array_equal(scored.right["again"], scored.right["with ties"])
    for number, draw in enumerate(DRAWS):
        first, targets = one_draw(SCORES["sharp"], draw)
        wanted = top_k_accuracy(fused_scores(first, one_draw(SCORES["with ties"], draw)[0], 0.5), targets, 1)
        assert table.loc["fused", "top1"].iloc[number] == wanted


def test_the_order_of_a_draws_classes_changes_nothing():
    np.testing.assert_array_equal(
        score_draws(SCORES, TARGETS, DRAWS).table.drop(columns="rule"),
        score_draws(SCORES, TARGETS, [draw[::-1] for draw in DRAWS]).table.drop(columns="rule"),
    )


@pytest.mark.parametrize(
    "draw, message",
    [
        ([3], "a draw must be of 2 classes or more, each once, draw 1 has 1 of which 1 are different"),
        ([3, 4, 3], "a draw must be of 2 classes or more, each once, draw 1 has 3 of which 2 are different"),
        ([0, 7, 6], r"a draw's classes must be in 0\.\.6 \(columns of the scores\), draw 1 has 7"),
        ([-1, 2], r"a draw's classes must be in 0\.\.6 \(columns of the scores\), draw 1 has -1"),
        ([0, 6], "every class of a draw needs a clip, draw 1 has class 6 without any"),
    ],
)
def test_draws_that_cannot_be_scored_are_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        score_draws({"rule": np.zeros((6, 7))}, np.arange(6), [np.array([0, 1]), np.array(draw)])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    scores = np.zeros((4, 3))
    scores[1, 2] = bad
    targets, draws = np.array([0, 1, 2, 0]), [np.array([0, 1])]
    with pytest.raises(ValueError, match="scores must be finite, rule 'odd' has 1 that are not; look at the embeddings"):
        score_draws({"fine": np.zeros((4, 3)), "odd": scores}, targets, draws)
    with pytest.raises(ValueError, match="scores must be finite, rule 'odd' has 6 that are not"):
        score_draws({"fine": np.zeros((4, 3))}, targets, draws, {"odd": lambda rows, classes: np.full((len(rows), len(classes)), bad)})


def test_inputs_that_do_not_go_together_are_refused():
    targets, draws, fine = np.array([0, 1, 2, 0]), [np.array([0, 1])], np.zeros((4, 3))
    with pytest.raises(ValueError, match="needs a draw and a rule with scores of all classes, got 0 and 1"):
        score_draws({"rule": fine}, targets, [])
    with pytest.raises(ValueError, match="needs a draw and a rule with scores of all classes, got 1 and 0"):
        score_draws({}, targets, draws)
    with pytest.raises(ValueError, match=r"for the same 4 clips in every rule, 'other' has \(4, 2\)"):
        score_draws({"rule": fine, "other": fine[:, :2]}, targets, draws)
    with pytest.raises(ValueError, match=r"for the same 3 clips in every rule, 'rule' has \(4, 3\)"):
        score_draws({"rule": fine}, targets[:3], draws)
    with pytest.raises(ValueError, match=r"the class of a clip must be in 0\.\.2 \(a column of the scores\), got 3"):
        score_draws({"rule": fine}, targets + 1, draws)
    with pytest.raises(ValueError, match="either of all classes or draw by draw, 'rule' has both"):
        score_draws({"rule": fine}, targets, draws, {"rule": lambda rows, classes: fine})
    with pytest.raises(ValueError, match=r"must give scores of the draw's clips and classes, \(3, 2\), got \(4, 3\)"):
        score_draws({"rule": fine}, targets, draws, {"other": lambda rows, classes: fine})
