"""zsar_lab.results.evaluate: every method written out once more, what is found again, and what is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import reference
from scored_split import PROTOCOL
from two_splits import SEEN, UNSEEN, untrained

from zsar_lab.methods.clips import ClipGroup, SplitClips, nearest_scores
from zsar_lab.methods.direct import label_embeddings, match_scores
from zsar_lab.methods.fusion import fused_scores, reranked_scores
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.table import METHODS, TEXT_METHODS, Method
from zsar_lab.protocols.protocol import generalised
from zsar_lab.results import evaluate
from zsar_lab.results.calibration import choose_temperature
from zsar_lab.results.evaluate import EvaluationError, check_can_be_scored, evaluate_split
from zsar_lab.results.generalised import choose_gamma
from zsar_lab.results.predictions import halves
from zsar_lab.train.text_tail import text_inputs


def test_what_is_scored(predictions):
    keys = [(one.method, one.prompt, one.reduction, one.candidates) for one in predictions.scored]
    for name in METHODS:
        for candidates in ("unseen", "validation"):
            assert keys.count((name, "good", "none", candidates)) == 1
        assert keys.count((name, "vague", "none", "unseen")) == (name in TEXT_METHODS)
        for reduction in ("none", "calibrated_stacking"):
            assert keys.count((name, "good", reduction, "all")) == METHODS[name].generalised
    assert len(predictions.table) == sum(len(predictions.ids(one.candidates)) for one in predictions.scored)
    assert predictions.table["confidence"].between(0, 1).any() and (predictions.table["margin"] >= 0).all()


def test_the_trained_models_methods_are_its_own(predictions, clips, good):
    model = untrained(PROTOCOL).model()
    text = text_inputs(good, UNSEEN, 2, "cpu")
    labels = label_embeddings(model, text)
    test = ClipGroup.of(clips, PROTOCOL.test_clips, UNSEEN)
    np.testing.assert_array_equal(predictions.scores("direct"), nearest_scores(test.embedding_BD, labels))
    np.testing.assert_array_equal(predictions.prototypes("unseen_text"), labels)
    match = match_scores(model, clips.tokens_NPD, clips.rows(test.ids), text)
    np.testing.assert_array_equal(predictions.scores("match"), match)


@pytest.mark.parametrize(
    ("name", "base", "key", "grid", "combine"),
    [
        ("transfer_match", "transfer", "match_weight", (0.0, 0.25, 0.5, 1.0), fused_scores),
        ("direct_reranked", "direct", "m", (1, 2, 3), reranked_scores),
        ("transfer_reranked", "transfer", "m", (1, 2, 3), reranked_scores),
    ],
)
def test_two_methods_are_joined_as_validation_says(predictions, name, base, key, grid, combine):
    def scores(value, candidates):
        return combine(*(predictions.scores(one, candidates=candidates) for one in (base, "match")), value)

    targets = predictions.targets("validation")
    top1 = [top_k_accuracy(scores(value, "validation"), targets, 1) for value in grid]
    best, found = grid[int(np.argmax(top1))], predictions.find(name)
    assert found.settings == predictions.find(base).settings | {key: best}
    assert found.validation_top1 == max(top1)
    np.testing.assert_array_equal(predictions.scores(name), scores(best, "unseen"))


@pytest.mark.parametrize("name", METHODS)
def test_temperatures_are_chosen_on_validation_clips(predictions, name):
    scores, targets = predictions.scores(name, candidates="validation"), predictions.targets("validation")
    assert predictions.find(name).temperature == choose_temperature(scores, targets)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.generalised])
def test_gammas_are_chosen_on_validation_classes_and_the_other_half(predictions, clips, good, name):
    trained = evaluate.TrainedModel(untrained(PROTOCOL).model(), good, clips)
    fitted = METHODS[name].fit(SplitClips.of(clips, PROTOCOL, trained), good, {})
    seen, held_out = PROTOCOL.seen_test_clips, PROTOCOL.validation_clips
    half = halves(predictions.targets("all"))[: len(seen)]
    for number, gamma in enumerate(
        predictions.find(name, reduction="calibrated_stacking", candidates="all").gammas
    ):
        ids = tuple(clip for clip, of in zip(seen, half) if of != number) + held_out
        group = ClipGroup.of(clips, ids, SEEN + PROTOCOL.validation)
        is_seen = np.arange(len(group.names)) < len(SEEN)
        assert gamma == choose_gamma(fitted.scores(group), group.targets, is_seen, "micro")


def test_bounds_and_prototypes(predictions, clips):
    rows = clips.rows(PROTOCOL.test_clips)
    plain = reference.true_prototype_scores(clips.embedding_ND[rows], predictions.targets(), len(UNSEEN))
    np.testing.assert_allclose(predictions.scores("upper_bound"), plain, atol=1e-6)
    composed = predictions.weights() @ predictions.prototypes("seen")
    composed /= np.linalg.norm(composed, axis=1, keepdims=True)
    np.testing.assert_allclose(predictions.prototypes("composed"), composed)
    np.testing.assert_allclose(predictions.weights().sum(1), 1)
    # seen candidates are at their measured prototypes under transfer
    both = predictions.scores("transfer", candidates="all")
    alone, seen = predictions.scores("transfer"), predictions.scores("seen", candidates="seen")
    np.testing.assert_array_equal(both[len(seen) :, len(SEEN) :], alone)
    np.testing.assert_array_equal(both[: len(seen), : len(SEEN)], seen)


def test_a_generalised_protocol_gives_the_same(predictions, clips, good, vague):
    other = evaluate_split(untrained(PROTOCOL), clips, generalised(PROTOCOL), good, (vague,))
    pd.testing.assert_frame_equal(other.table, predictions.table)
    assert other.about["fingerprint"] == predictions.about["fingerprint"]


def test_a_split_is_scored_once_and_then_read(clips, good, vague, tmp_path, monkeypatch):
    given = untrained(PROTOCOL), clips, PROTOCOL, good
    first = evaluate_split(*given, (vague,), folder=tmp_path, split="x")
    monkeypatch.setattr(evaluate, "_score", None)
    again = evaluate_split(*given, (vague,), folder=tmp_path, split="x")
    pd.testing.assert_frame_equal(again.table, first.table)
    with pytest.raises(TypeError):  # other prompts are other inputs
        evaluate_split(*given, folder=tmp_path, split="x")


def test_a_method_is_one_entry(clips, good, monkeypatch):
    def fit(split, texts, fits):
        return dataclasses.replace(
            fits["transfer"], method="twice", scores=lambda g: 2 * fits["transfer"].scores(g)
        )

    monkeypatch.setitem(METHODS, "twice", Method("twice", "transfer, twice", fit))
    found = evaluate_split(untrained(PROTOCOL), clips, PROTOCOL, good)
    np.testing.assert_array_equal(found.scores("twice"), 2 * found.scores("transfer"))


# what is refused


def test_what_a_protocol_lacks_is_an_error_before_anything_is_trained():
    for emptied, words in (
        ({"validation": (), "validation_clips": ()}, "validation clips, got 0"),
        ({"seen_test_clips": ("a",)}, "got 1"),
    ):
        with pytest.raises(EvaluationError, match=words):
            evaluate_split(None, None, dataclasses.replace(PROTOCOL, **emptied), None)
    table = pd.DataFrame({"id": PROTOCOL.test_clips})
    table["class"] = table["id"].str.split("/").str[0]
    check_can_be_scored(PROTOCOL, table)
    own = [clip for clip in PROTOCOL.test_clips if clip.startswith("new3/")]
    for left in (1, 0):
        kept = tuple(clip for clip in PROTOCOL.test_clips if clip not in own[left:])
        with pytest.raises(EvaluationError, match=f"'new3' has {left}"):
            check_can_be_scored(dataclasses.replace(PROTOCOL, test_clips=kept), table)


def test_inputs_of_another_training_are_refused(clips, good, vague):
    def of(inputs=(PROTOCOL.training_hash, good.fingerprint), fingerprint="c", text_layers=0):
        names = SimpleNamespace(protocol=inputs[0], class_embeddings=inputs[1])
        config = SimpleNamespace(text_layers=text_layers)
        return SimpleNamespace(inputs=names, path=Path("x"), fingerprint=fingerprint, config=config)

    other = dataclasses.replace(good, encoder=f"{good.encoder}+another")
    views = dataclasses.replace(PROTOCOL, views=25)
    for checkpoint, protocol, text, words in (
        (of(("other", good.fingerprint)), PROTOCOL, None, "other"),
        (of((PROTOCOL.training_hash, "other")), PROTOCOL, None, "other"),
        (of(fingerprint="d"), PROTOCOL, None, "checkpoint d, got those of c"),
        (of((views.training_hash, good.fingerprint)), views, None, "25 views, got 1"),
        (of(), PROTOCOL, good, "got .*good"),
        (of(text_layers=1), PROTOCOL, None, "got none"),
        (of(text_layers=1), PROTOCOL, other, "another"),
        (of(text_layers=1), PROTOCOL, dataclasses.replace(vague, encoder=f"{good.encoder}+c"), "vague"),
    ):
        with pytest.raises(EvaluationError, match=words):
            evaluate_split(checkpoint, clips, protocol, good, trained_text=text)
    with pytest.raises(EvaluationError, match="no checkpoint"):
        evaluate_split(of(), dataclasses.replace(clips, about={}), PROTOCOL, good)
