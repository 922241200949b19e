"""ridge, direct, match and fusion: each formula by hand, by a plain loop or by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from sklearn.linear_model import Ridge

from zsar_lab.methods import direct, fusion
from zsar_lab.methods.clips import nearest_scores
from zsar_lab.methods.ridge import RidgeSums
from zsar_lab.models.rest import ModelConfig, ResT
from zsar_lab.text.relatedness import unit
from zsar_lab.train.text_tail import TextInputs

RANDOM = np.random.default_rng(0)
CLIPS = unit(RANDOM.normal(size=(40, 6)))
TARGETS = np.array([0] * 20 + [1] * 5 + [2] * 15)
TEXT = unit(RANDOM.normal(size=(3, 9)))
WIDTHS = {"width": 16, "depth": 1, "heads": 2, "feedforward": 24, "text_width": 9, "word_width": 7}
CONFIG = ModelConfig(n_frames=3, backbone_widths=(8, 8), n_label_tokens=2, n_seen=3, **WIDTHS)


@pytest.fixture
def model() -> ResT:
    torch.manual_seed(0)
    return ResT(CONFIG).eval()


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
def test_ridge_is_scikit_learns(penalty):
    """Ours divides by the number of clips inside, scikit-learn's alpha does not."""
    ridge = RidgeSums.of(CLIPS, TARGETS, 3).fit(TEXT, penalty)
    theirs = Ridge(alpha=penalty * len(CLIPS)).fit(CLIPS, TEXT[TARGETS])
    np.testing.assert_allclose(ridge.weight_DF, theirs.coef_.T, atol=1e-9)


def test_ridge_scores_of_equal_classes_are_cosines_to_scikit_learns_prediction():
    targets = np.arange(39) % 3
    ridge = RidgeSums.of(CLIPS[:39], targets, 3).fit(TEXT, 0.01)
    predicted = Ridge(alpha=0.39).fit(CLIPS[:39], TEXT[targets]).predict(CLIPS)
    candidates, centre = unit(RANDOM.normal(size=(4, 9))), TEXT.mean(0)
    plain = [[reference.cosine(row, text) for text in candidates] for row in predicted]
    np.testing.assert_allclose(ridge.scores(CLIPS, candidates, centred=False), plain, atol=1e-9)
    centred = [[reference.cosine(row - centre, text - centre) for text in candidates] for row in predicted]
    np.testing.assert_allclose(ridge.scores(CLIPS, candidates, centred=True), centred, atol=1e-9)


@pytest.mark.parametrize("penalty", [0.0, -1.0, float("nan")])
def test_a_penalty_that_is_not_positive_is_refused(penalty):
    with pytest.raises(ValueError, match=f"the ridge penalty must be above 0, got {penalty}"):
        RidgeSums.of(CLIPS, TARGETS, 3).fit(TEXT, penalty)


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
    np.testing.assert_allclose(fusion.fused_scores(first, np.zeros((1, 3)), 5.0), [[-z, 0, z]])


def test_fused_scores_keep_the_order_of_each_side_and_ignore_its_scale():
    first, second = RANDOM.normal(size=(20, 5)), RANDOM.normal(size=(20, 5))
    np.testing.assert_array_equal(fusion.fused_scores(first, second, 0.0).argsort(1), first.argsort(1))
    np.testing.assert_array_equal(fusion.fused_scores(first, second, 1e6).argmax(1), second.argmax(1))
    np.testing.assert_allclose(
        fusion.fused_scores(7 * first + 3, 0.1 * second - 9, 0.5), fusion.fused_scores(first, second, 0.5)
    )


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
        found = fusion.reranked_scores(first, second, m)
        for row, by_first, by_second in zip(found, first, second, strict=True):
            ranked = sorted(range(6), key=lambda c: (-by_first[c], c))  # noqa: B023
            wanted = sorted(ranked[:m], key=lambda c: (-by_second[c], c)) + ranked[m:]  # noqa: B023
            assert np.argsort(-row, kind="stable").tolist() == wanted
            assert [row[a] == row[b] for a, b in zip(wanted, wanted[1:m])] == [
                by_second[a] == by_second[b] for a, b in zip(wanted, wanted[1:m])
            ]


def test_the_upper_bound_leaves_the_clip_out():
    found = fusion.true_prototype_scores(CLIPS, TARGETS, 3)
    np.testing.assert_allclose(found, reference.true_prototype_scores(CLIPS, TARGETS, 3), atol=1e-9)
    # two clips a class, at right angles to each other: no clip is near its own class
    scores = fusion.true_prototype_scores(np.eye(4), np.array([0, 0, 1, 1]), 2)
    np.testing.assert_allclose(scores, np.zeros((4, 2)), atol=1e-12)


def test_the_upper_bound_needs_two_clips_a_class():
    with pytest.raises(ValueError, match="number 1 has 1"):
        fusion.true_prototype_scores(np.eye(3), np.array([0, 0, 1]), 2)
    with pytest.raises(ValueError, match="number 2 has 0"):
        fusion.true_prototype_scores(np.eye(4), np.array([0, 0, 1, 1]), 3)
