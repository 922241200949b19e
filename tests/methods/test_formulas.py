"""ridge, direct, match and fusion: each formula by hand, by a plain loop or by scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import reference
import torch
from sklearn.linear_model import Ridge
from two_splits import TEXT_WIDTH, model_of

from zsar_lab.methods import direct, fusion
from zsar_lab.methods.clips import ClipGroup, Fitted, nearest_scores
from zsar_lab.methods.ridge import RidgeSums
from zsar_lab.methods.table import GRIDS, at_edge
from zsar_lab.models.rest import ResT
from zsar_lab.text.relatedness import unit
from zsar_lab.train.text_tail import TextInputs

RANDOM = np.random.default_rng(0)
CLIPS = unit(RANDOM.normal(size=(40, 6)))
TARGETS = np.array([0] * 20 + [1] * 5 + [2] * 15)
TEXT = unit(RANDOM.normal(size=(3, TEXT_WIDTH)))


@pytest.fixture
def model() -> ResT:
    return model_of(3)


@pytest.fixture
def text() -> TextInputs:
    words = torch.randn(3, 2, 7, generator=torch.Generator().manual_seed(1))
    return TextInputs(torch.from_numpy(TEXT).float(), words)


def test_nearest_scores_are_cosines():
    by_hand = nearest_scores(np.array([[2.0, 0.0], [3.0, 4.0]]), np.array([[5.0, 0.0], [0.0, 0.1]]))
    np.testing.assert_allclose(by_hand, [[1, 0], [0.6, 0.8]])
    points = RANDOM.normal(size=(3, 6))
    plain = [[reference.cosine(clip, point) for point in points] for clip in CLIPS]
    np.testing.assert_allclose(nearest_scores(CLIPS, points), plain)


@pytest.mark.parametrize("penalty", [0.001, 0.1, 10.0])
def test_ridge_is_scikit_learns_with_its_intercept(penalty):
    """20, 5 and 15 clips a class. Ours divides by the number of clips, scikit-learn's alpha does not."""
    ridge = RidgeSums.of(CLIPS, TARGETS, 3).fit(TEXT, penalty)
    theirs = Ridge(alpha=penalty * len(CLIPS)).fit(CLIPS, TEXT[TARGETS])
    np.testing.assert_allclose(ridge.weight_DF, theirs.coef_.T, atol=1e-9)
    predicted, candidates = theirs.predict(CLIPS), unit(RANDOM.normal(size=(4, TEXT_WIDTH)))
    for centred, centre in ((False, np.zeros(TEXT_WIDTH)), (True, TEXT.mean(0))):
        plain = [[reference.cosine(row - centre, text - centre) for text in candidates] for row in predicted]
        np.testing.assert_allclose(ridge.scores(CLIPS, candidates, centred), plain, atol=1e-9)


def test_the_residuals_of_ridge_have_no_mean_however_unequal_the_classes():
    for counts in ((20, 20, 20), (55, 4, 1)):
        targets, clips = np.repeat(np.arange(3), counts), unit(RANDOM.normal(size=(60, 6)))
        ridge = RidgeSums.of(clips, targets, 3).fit(TEXT, 0.01)
        mapped = (clips - ridge.visual_mean_D) @ ridge.weight_DF + ridge.text_mean_F
        np.testing.assert_allclose((TEXT[targets] - mapped).mean(0), 0, atol=1e-12)
    # by hand: three clips of class a, one of b; the mean text of the clips is 3/4 a + 1/4 b
    sums = RidgeSums.of(CLIPS[:4], np.array([0, 0, 0, 1]), 2)
    np.testing.assert_allclose(sums.fit(np.eye(2), 0.01).text_mean_F, [0.75, 0.25])
    for penalty in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"above 0, got {penalty}"):
            sums.fit(np.eye(2), penalty)


def test_label_embeddings_are_the_models(model, text):
    embeddings = direct.label_embeddings(model, text)
    for row, pooled in zip(embeddings, text.pooled_CF):
        mapped = model.label_head(pooled).detach().numpy()
        np.testing.assert_allclose(row, mapped / np.linalg.norm(mapped), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_match_scores_are_those_of_each_pair_alone(model, text, batch_size):
    tokens = RANDOM.normal(size=(7, 4, 16)).astype(np.float16)
    found = direct.match_scores(model, tokens, np.arange(len(tokens)), text, batch_size)
    labels = model.encode_labels(*text).tokens_CLD
    assert found.shape == (7, 3)
    for b in range(7):
        for c in range(3):
            alone = model.match(torch.from_numpy(tokens[b : b + 1]).float(), labels[c : c + 1]).item()
            assert found[b, c] == pytest.approx(alone, abs=1e-4)


def test_fused_scores_by_hand():
    # (1, 2, 3) has mean 2 and deviation sqrt(2/3); (0, 0, 0) says nothing
    first, second = np.array([[1.0, 2.0, 3.0]]), np.array([[6.0, 4.0, 2.0]])
    z = np.sqrt(1.5)
    found = fusion.fused_scores(first, second, 0.5)
    np.testing.assert_allclose(found, [[-z + 0.5 * z, 0, z - 0.5 * z]], atol=1e-12)
    np.testing.assert_allclose(fusion.fused_scores(7 * first + 3, np.zeros((1, 3)), 5.0), [[-z, 0, z]])


def test_the_best_classes_are_put_in_another_order_by_hand():
    first, second = np.array([[0.9, 0.5, 0.7, 0.1]]), np.array([[1.0, 9.0, 3.0, 8.0]])
    # the two best are classes 0 and 2: 1 - 1, 3 - 1; the others 0.5 - 0.9 - 1, 0.1 - 0.9 - 1
    np.testing.assert_allclose(fusion.reranked_scores(first, second, 2), [[0, -1.4, 2, -1.8]])
    np.testing.assert_array_equal(fusion.reranked_scores(first, second, 1).argsort(1), first.argsort(1))
    np.testing.assert_array_equal(fusion.reranked_scores(first, second, 4).argsort(1), second.argsort(1))
    for m in (0, 5):
        with pytest.raises(ValueError, match=f"1..4 .*got {m}"):
            fusion.reranked_scores(first, second, m)


def test_the_best_classes_are_put_in_another_order_as_a_plain_loop_does():
    first, second = RANDOM.normal(size=(20, 6)).round(1), RANDOM.normal(size=(20, 6)).round(1)  # with ties
    for m in range(1, 7):
        for row, by_first, by_second in zip(fusion.reranked_scores(first, second, m), first, second):
            ranked = sorted(range(6), key=lambda c: (-by_first[c], c))  # noqa: B023
            wanted = sorted(ranked[:m], key=lambda c: (-by_second[c], c)) + ranked[m:]  # noqa: B023
            assert np.argsort(-row, kind="stable").tolist() == wanted
            best = wanted[:m]
            np.testing.assert_array_equal(np.diff(row[best]) == 0, np.diff(by_second[best]) == 0)


def split_of(validation_targets: np.ndarray) -> SimpleNamespace:
    """What a fusion reads of a split: validation clips of two classes, and six unseen ones."""
    clips = ClipGroup(("a", "b"), tuple("vwxy"), np.zeros((4, 2)), validation_targets)
    return SimpleNamespace(validation=clips, test=SimpleNamespace(names=tuple("cdefgh")))


def test_match_is_off_where_the_validation_classes_say_so():
    targets = np.array([0, 1, 0, 1])
    right = np.eye(2)[targets]
    for by_transfer, by_match, weight, m in (
        (right, right[::-1], 0.0, 1),
        (0.1 * right[::-1], right, 1.0, 2),
    ):
        fits = {
            name: Fitted(name, "label", {}, 0.0, lambda _, scores=scores: scores)
            for name, scores in (("transfer", by_transfer), ("match", by_match + [0, 0.1]))
        }
        split = split_of(targets)
        fused, reranked = (fit(split, None, fits) for fit in (fusion.fit_fused, fusion.fit_reranked))
        assert (fused.settings["match_weight"], reranked.settings["m"]) == (weight, m)
        if not weight:  # the predictions are transfer's
            for fitted in (fused, reranked):
                predicted = fitted.scores(split.validation).argmax(1)
                np.testing.assert_array_equal(predicted, by_transfer.argmax(1))


def test_settings_at_the_edge_of_their_grids():
    edges = {name: [value for value in grid if at_edge(name, value)] for name, grid in GRIDS.items()}
    assert edges == {
        "penalty": [0.001, 0.1],
        "kernel_penalty": [0.1, 3.0],
        "tau": [0.05, 0.3],
        "match_weight": [1.0],  # 0 is off
        "m": [10],
        "csls_k": [10],  # 1 is the fewest
        "local_scaling_k": [10],
        "inverted_softmax_beta": [1.0, 50.0],
        "qb_norm_beta": [1.0, 50.0],
    }
    assert not at_edge("k", 1) and not at_edge("relatedness", "plain")


def test_the_upper_bound_leaves_the_clip_out():
    found = fusion.true_prototype_scores(CLIPS, TARGETS, 3)
    np.testing.assert_allclose(found, reference.true_prototype_scores(CLIPS, TARGETS, 3), atol=1e-9)
    # two clips a class, at right angles to each other: no clip is near its own class
    scores = fusion.true_prototype_scores(np.eye(4), np.array([0, 0, 1, 1]), 2)
    np.testing.assert_allclose(scores, np.zeros((4, 2)), atol=1e-12)
    for targets, n_classes, message in (([0, 0, 1, 1], 3, "number 2 has 0"), ([0, 0, 0, 1], 2, "1 has 1")):
        with pytest.raises(ValueError, match=message):
            fusion.true_prototype_scores(np.eye(4), np.array(targets), n_classes)
