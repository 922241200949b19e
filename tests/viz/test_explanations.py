"""zsar_lab.viz.explanations: clips in their orders, confusions, and what drew a clip to a class."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from seven_classes import IMAGE, LABELS, PROTOCOL, SCRIPT, TARGETS, WEIGHTS

from zsar_lab.results.predictions import Predictions
from zsar_lab.viz import explanations
from zsar_lab.viz.clips import Caption
from zsar_lab.viz.explanations import CONFIDENCE, MARGIN, ORDERS, TYPICAL, UNTYPICAL
from zsar_lab.viz.figures.classes import class_counts

SEEN, UNSEEN = PROTOCOL.seen, PROTOCOL.unseen


def with_scores(
    predictions: Predictions, scores_BC: np.ndarray, temperature: float | None = 0.5
) -> Predictions:
    """The same with these scores of transfer."""
    one = replace(predictions.find("transfer"), matrix=99, temperature=temperature)
    arrays = predictions._arrays | {"scores_99": scores_BC}
    others = [other for other in predictions.scored if other.key != one.key]
    made = predictions.protocol, predictions.split, predictions.about, predictions.class_text
    return Predictions(*made, [one, *others], arrays)


@pytest.fixture
def noisy(predictions) -> Predictions:
    """Scores of transfer are random, and so is typicality."""
    random = np.random.default_rng(5)
    made = with_scores(predictions, random.normal(size=(12, 3)))
    made._arrays[f"scores_{made.find('upper_bound').matrix:02d}"] = random.normal(size=(12, 3))
    return made


CLIPS = pd.DataFrame(
    [
        ("a", "x", False, -0.5, 0.6, 0.1),
        ("b", "x", False, -0.1, 0.9, 0.9),
        ("c", "x", True, 0.2, 0.8, 0.3),
        ("d", "x", True, 0.4, 0.5, 0.2),
    ],
    columns=["clip", "prediction", "right", "margin", "confidence", "typicality"],
)


@pytest.mark.parametrize(("order", "ids"), list(zip(ORDERS, ["abcd", "badc", "bcda", "adcb"])))
def test_orders_by_hand(order, ids):
    assert "".join(explanations.in_order(CLIPS[::-1], order)["clip"]) == ids


def test_an_order_that_cannot_be_is_refused():
    unsure = CLIPS.assign(confidence=np.nan)
    assert explanations.orders(unsure) == [MARGIN, TYPICAL, UNTYPICAL]
    assert explanations.orders(CLIPS) == list(ORDERS)
    with pytest.raises(ValueError, match="'confidence"):
        explanations.in_order(unsure, CONFIDENCE)
    assert explanations.in_order(CLIPS[:0], CONFIDENCE).empty


def test_clips_are_those_that_a_plain_loop_finds(noisy):
    scores, typical = noisy.scores("transfer"), noisy.scores("upper_bound")
    for target, name in enumerate(UNSEEN):
        found = explanations.clip_table(noisy, "transfer", name).set_index("clip")
        assert (
            sorted(found.index) == [f"{name}/{n}" for n in range(4)]
            and found["margin"].is_monotonic_increasing
        )
        for clip, row in found.iterrows():
            number = noisy.ids().index(clip)
            own = scores[number, target]
            others = [score for column, score in enumerate(scores[number]) if column != target]
            assert row["margin"] == pytest.approx(own - max(others))
            assert row["right"] == (row["margin"] > 0) == (row["prediction"] == name)
            assert row["prediction"] == UNSEEN[int(np.argmax(scores[number]))]
            soft = np.exp(scores[number] / 0.5)
            assert row["confidence"] == pytest.approx(soft.max() / soft.sum())
            assert row["typicality"] == pytest.approx(typical[number, target])
    unsure = with_scores(noisy, scores, temperature=None)
    assert explanations.clip_table(unsure, "transfer", "A")["confidence"].isna().all()


def test_a_clip_in_a_tie_is_wrong_as_in_the_score(noisy):
    scores = noisy.scores("transfer").copy()
    number = noisy.ids().index("B/2")
    scores[number, [1, 2]] = scores[number].max() + 1
    tied = with_scores(noisy, scores)
    found = explanations.clip_table(tied, "transfer", "B").set_index("clip").loc["B/2"]
    assert (found["prediction"], found["margin"], found["right"]) == ("C", 0.0, False)
    best = explanations.candidates(tied, "transfer", "B/2")
    assert best["name"].tolist()[:2] == ["C", "B"] and best["is_true"].tolist()[:2] == [False, True]
    n_right = sum(explanations.clip_table(tied, "transfer", name)["right"].sum() for name in UNSEEN)
    assert n_right == (tied.rows("transfer")["rank"] == 1).sum()
    assert n_right == np.diag(class_counts(tied, "transfer")).sum()


def test_methods_are_those_scored_with_the_own_prompt(predictions):
    options = explanations.method_options(predictions)
    methods = [method for _, method in options]
    assert {"direct", "transfer"} <= set(methods) and len(methods) == len(set(methods))
    assert "upper_bound" not in methods and "seen" not in methods


def test_what_is_not_there_is_refused(predictions, embeddings):
    with pytest.raises(ValueError, match=r"\(A, B, C\), got 'S1'"):
        explanations.clip_table(predictions, "transfer", "S1")
    with pytest.raises(KeyError, match="guessing"):
        explanations.clip_table(predictions, "guessing", "A")
    with pytest.raises(ValueError, match="12 test clips, got 'S1/0'"):
        explanations.candidates(predictions, "transfer", "S1/0")
    with pytest.raises(ValueError, match=r"\(print\), got other"):
        explanations.pulls(predictions, replace(embeddings, fingerprint="other"), "A/0", "A")


# one clip


def test_the_best_classes_of_a_clip(noisy):
    for number, clip in enumerate(noisy.ids()):
        best = explanations.candidates(noisy, "transfer", clip, n_best=1)
        ranked = sorted(zip(noisy.scores("transfer")[number].tolist(), UNSEEN), reverse=True)
        assert (best["score"].iloc[0], best["name"].iloc[0]) == ranked[0]
        true = best[best["is_true"]].iloc[0]
        assert ranked[true["rank"] - 1][1] == true["name"] == UNSEEN[TARGETS[number]]
        assert len(best) == (1 if true["rank"] == 1 else 2)
    everything = explanations.candidates(noisy, "transfer", noisy.ids()[0])
    assert everything["confidence"].sum() == pytest.approx(1) and len(everything) == 3


def test_what_seen_classes_add_is_the_transfer_score(predictions, embeddings):
    for clip in ("A/1", "C/3"):
        for number, name in enumerate(UNSEEN):
            v = embeddings.embedding_ND[embeddings.ids.index(clip)]
            composed = sum(w * p for w, p in zip(WEIGHTS[number], predictions.prototypes("seen")))
            by_loop = [
                weight * float(v @ prototype) / np.linalg.norm(composed) / np.linalg.norm(v)
                for weight, prototype in zip(WEIGHTS[number], predictions.prototypes("seen"))
            ]
            added = explanations.pulls(predictions, embeddings, clip, name)
            assert added.to_dict() == pytest.approx(dict(zip(SEEN, by_loop)), abs=1e-6)
            score = v @ predictions.prototypes("composed")[number] / np.linalg.norm(v)
            assert added.sum() == pytest.approx(score, abs=1e-6)


def test_examples_are_the_training_clips_nearest_to_the_prototypes(predictions, embeddings):
    found = explanations.example_clips(predictions, embeddings, SEEN)
    assert list(found) == list(SEEN)
    for prototype, (name, clip) in zip(predictions.prototypes("seen"), found.items()):
        own = [one for one in PROTOCOL.train_clips if one.startswith(f"{name}/")]
        cosines = {one: embeddings.embedding_ND[embeddings.ids.index(one)] @ prototype for one in own}
        assert clip == max(cosines, key=cosines.get)


def test_parts_of_a_prototype_by_weight(predictions):
    assert explanations.prototype_parts(predictions, "A").to_dict() == {"S1": 0.75, "S2": 0.25}
    assert explanations.prototype_parts(predictions, "B").index.tolist() == ["S1", "S2"]


# html


def test_captions_have_prediction_margin_the_figure_of_the_order_and_the_tag(predictions):
    clips = explanations.clip_table(predictions, "transfer", "A").iloc[[0, 3]]
    wrong, right = explanations.captions_of(clips, LABELS)
    assert wrong == Caption((f"1. {SCRIPT}", "margin -0.500"), False)
    assert right == Caption((f"2. {IMAGE}", "margin +0.500"), True)
    sure, _ = explanations.captions_of(clips, LABELS, 7, CONFIDENCE, {clips["clip"].iloc[0]: "ambiguous"})
    assert sure.lines == (f"7. {SCRIPT}", "margin -0.500", "58 % sure", "⚑ ambiguous")
    assert explanations.captions_of(clips, LABELS, order=TYPICAL)[0].lines[-1] == "typicality 1.00"


def test_html_of_texts_and_clips_is_escaped(catalog, predictions, embeddings):
    given = catalog, predictions, "transfer"
    texts = explanations.texts_and_parts(catalog, predictions, "A", "B")
    clips = explanations.error_clips(*given, "A")
    one = explanations.clip_html(*given, "A/1", embeddings)
    assert not [evil for evil in ("<img", "<script", "</script") if evil in texts + clips + one]
    assert "It is &lt;img src=x onerror=alert(1)&gt;." in texts and "It is &lt;/script&gt;" in texts
    assert clips.count("✗") == 3 and clips.count("✓") == 1
    assert "No clip of it was predicted" in explanations.texts_and_parts(catalog, predictions, "B")


def test_a_clip_with_its_best_classes_and_what_drew_it(catalog, predictions, embeddings):
    page = explanations.clip_html(catalog, predictions, "transfer", "A/1", embeddings)
    assert page.count("<video") == 1 + 2 * 2 and "its transfer score" in page and "Predicted: " in page
    added = explanations.pulls(predictions, embeddings, "A/1", "A")
    assert f"adds {added['S1']:+.3f}" in page and f"all together {added.sum():+.3f}" in page
    plainly = explanations.clip_html(catalog, predictions, "direct", "A/0")
    assert plainly.count("<video") == 1 and "Next best" in plainly
    assert "does not decide by these prototypes" in plainly and "its transfer score" not in plainly
    assert re.findall(r"<td [^>]*>(\d)</td>", plainly) == ["1", "2", "3"]
