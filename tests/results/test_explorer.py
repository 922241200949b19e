"""zsar_lab.results.explorer: its scores are those of the methods, under any settings and reductions."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference
from scored_split import PROTOCOL
from two_splits import UNSEEN, texts_of

from zsar_lab.methods.clips import INDUCTIVE, SplitClips, nearest_scores
from zsar_lab.methods.hubness_reduction import FITS, reduced_scores
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, transfer_weights, weights_of
from zsar_lab.results.explorer import (
    CLASS_MEANS,
    NO_REDUCTION,
    REDUCTION_CHOICES,
    Choice,
    Explorer,
    GroupScore,
    places_on_map,
)
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.text.relatedness import CENTRED, PLAIN

WEIGHTS = "classifier weights"
ROWS = np.random.default_rng(5).normal(size=(len(PROTOCOL.seen), 16))
SETTINGS = TransferSettings(3, 0.15, CENTRED)


@pytest.fixture(scope="module")
def explorer(clips, good, vague) -> Explorer:
    return Explorer(clips, PROTOCOL, {"good": good, "vague": vague}, {WEIGHTS: ROWS})


@pytest.fixture(scope="module")
def methods(clips) -> SplitClips:
    return SplitClips.of(clips, PROTOCOL)


# against what the library scores


@pytest.mark.parametrize("source", [CLASS_MEANS, WEIGHTS])
@pytest.mark.parametrize("prompt", ["good", "vague"])
def test_what_validation_chose_scores_as_the_method_does(explorer, methods, prompt, source, good, vague):
    of_source = methods if source == CLASS_MEANS else methods.with_prototypes(ROWS)
    fitted = of_source.fit({"good": good, "vague": vague}[prompt], "transfer")
    chosen = explorer.chosen(prompt, source)
    assert dataclasses.asdict(chosen.transfer) == fitted.settings
    assert (chosen.class_text, chosen.source, chosen.reduction) == (prompt, source, NO_REDUCTION)
    np.testing.assert_array_equal(explorer.scores(chosen), fitted.scores(methods.test))
    outcome = explorer.score(chosen)
    assert outcome.unseen.top1 == top_k_accuracy(fitted.scores(methods.test), methods.test.targets, 1)
    assert outcome.validation.top1 == top_k_accuracy(
        fitted.scores(methods.validation), methods.validation.targets, 1
    )
    assert outcome.validation.mean_class == pytest.approx(fitted.validation_top1)
    assert outcome.unreduced is outcome.unseen and outcome.reduction_settings == {}
    np.testing.assert_array_equal(outcome.prototypes_UD, fitted.points(UNSEEN))
    ids, rows = explorer.clips.ids[5:2:-1], explorer.clips.embedding_ND[[5, 4, 3]]
    np.testing.assert_array_equal(explorer.embeddings_of(ids), rows)


@pytest.mark.parametrize("prompt", ["good", "vague"])
def test_each_correction_scores_as_reduced_scores_does(explorer, methods, prompt, good, vague):
    fitted, test = methods.fit({"good": good, "vague": vague}[prompt], "transfer"), methods.test
    wanted = {one.reduction: one for one in reduced_scores(fitted, methods) if one.setting == INDUCTIVE}
    assert {NO_REDUCTION, *wanted} == set(REDUCTION_CHOICES)
    for name, scored in wanted.items():
        choice = dataclasses.replace(explorer.chosen(prompt), reduction=name)
        outcome = explorer.score(choice)
        np.testing.assert_allclose(explorer.scores(choice), scored.scores_BC, atol=1e-12)
        assert outcome.validation.top1 == scored.validation_top1, name
        own = {f"{name}_{key}": value for key, value in outcome.reduction_settings.items()}
        assert fitted.settings | own == scored.settings
        assert outcome.unseen.top1 == top_k_accuracy(scored.scores_BC, test.targets, 1)
        assert outcome.unseen is not outcome.unreduced
        assert outcome.unreduced.occurrence_C.tolist() == k_occurrence(fitted.scores(test), 1).tolist()


def test_the_setting_of_a_correction_stays_while_the_others_move(explorer, methods, good):
    chosen = dataclasses.replace(explorer.chosen("good"), reduction="csls")
    moved = dataclasses.replace(chosen, transfer=SETTINGS)
    assert chosen.transfer != SETTINGS
    outcome = explorer.score(moved)
    assert outcome.reduction_settings == explorer.score(chosen).reduction_settings != {}
    prototypes = compose_prototypes(weights_of(methods, good, UNSEEN, SETTINGS), methods.seen_prototypes)
    groups = methods.test, methods.train
    scores = (nearest_scores(group.embedding_BD, prototypes) for group in groups)
    wanted = reference.csls(*scores, outcome.reduction_settings["k"])
    np.testing.assert_allclose(explorer.scores(moved), wanted, atol=1e-12)


def test_the_order_of_questions_does_not_matter(explorer, clips, good, vague):
    """What is kept from one question to the next is never taken for another."""
    choices = [
        Choice(TransferSettings(k, 0.1, PLAIN), prompt, source, reduction)
        for reduction in ("qb_norm", NO_REDUCTION, "centring")
        for k in (2, 5)
        for prompt in ("good", "vague")
        for source in (CLASS_MEANS, WEIGHTS)
    ]
    first = {choice: explorer.score(choice) for choice in choices}
    other = Explorer(clips, PROTOCOL, {"vague": vague, "good": good}, {WEIGHTS: ROWS})
    for choice in reversed(choices):
        again = (other if choice == choices[0] else explorer).score(choice)
        assert again.choice == choice and again.unseen.top1 == first[choice].unseen.top1
        np.testing.assert_array_equal(again.unseen.occurrence_C, first[choice].unseen.occurrence_C)
    assert len({first[choice].unseen.top1 for choice in choices}) > 3  # and they do differ


# the figures of a group


def test_figures_by_hand():
    #                  right           wrong           tie: wrong      right
    scores = np.array([[3.0, 1.0, 0], [2.0, 1.0, 0], [1.0, 1.0, 0], [0.0, 2.0, 1]])
    scored = GroupScore.of(scores, np.array([0, 1, 1, 1]))
    assert scored.hubness == hubness(np.array([3, 1, 0]), 1)
    assert (scored.top1, scored.mean_class) == (0.5, pytest.approx((1 + 1 / 3) / 2))
    assert scored.top1_C.tolist() == [1, pytest.approx(1 / 3), 0]
    assert scored.occurrence_C.tolist() == [3, 1, 0]


# the map


def test_a_place_on_the_map_is_the_mean_of_the_five_nearest_clips():
    random = np.random.default_rng(4)
    points, shown, xy = random.normal(size=(4, 6)), random.normal(size=(20, 6)), random.normal(size=(20, 2))
    for point, place in zip(points, places_on_map(points, shown, xy)):
        cosines = [reference.cosine(clip, point) for clip in shown]
        nearest = sorted(range(20), key=lambda row: -cosines[row])[:5]
        assert place == pytest.approx(xy[nearest].mean(0))
    fewer = places_on_map(points, shown[:2], xy[:2])  # than asked for
    np.testing.assert_allclose(fewer, np.tile(xy[:2].mean(0), (4, 1)))
    for n_clips, n_places in ((20, 19), (0, 0)):
        with pytest.raises(ValueError, match=f"got {n_clips} and {n_places}"):
            places_on_map(points, shown[:n_clips], xy[:n_places])


# what is refused


def test_what_cannot_be_explored_and_choices_that_there_are_not_are_refused(clips, good, explorer):
    fixed = dataclasses.replace(PROTOCOL, validation=(), validation_clips=())
    same = texts_of("same", np.ones((len(good.names), 12)))
    for arguments, words in (
        ((PROTOCOL, {}), "got 0 texts"),
        ((PROTOCOL, {"good": good}, {CLASS_MEANS: ROWS}), "'class means'"),
        ((PROTOCOL, {"good": good}, {WEIGHTS: ROWS[1:]}), r"\[8, 16\]"),
        ((fixed, {"good": good}), "validation clips, got 0"),
        ((PROTOCOL, {"same": same}), "got 8 equal ones"),
    ):
        with pytest.raises(ValueError, match=words):
            Explorer(clips, *arguments)
    for change, words in (
        ({"transfer": TransferSettings(9, 0.1)}, r"1\.\.8 .* got 9"),
        ({"transfer": TransferSettings(3, 0.0)}, "tau .* got 0"),
        ({"transfer": TransferSettings(3, 0.1, "near")}, "relatedness .* got 'near'"),
        ({"class_text": "bad"}, "good, vague, got 'bad'"),
        ({"source": "means"}, "class means, classifier weights, got 'means'"),
        ({"reduction": "CLSS"}, "none, centring, csls, .* got 'CLSS'"),
    ):
        choice = dataclasses.replace(Choice(SETTINGS, "good"), **change)
        for ask in (explorer.score, explorer.scores):
            with pytest.raises(ValueError, match=words):
                ask(choice)


def test_two_candidates_and_one_clip_can_be_reduced(clips, good):
    """The smallest split that a protocol allows: every reduction still answers."""
    unseen, seen = PROTOCOL.unseen[:2], PROTOCOL.seen[:2]
    of = {
        name: tuple(clip for clip in getattr(PROTOCOL, name) if clip.split("/")[0] in seen)
        for name in ("train_clips", "seen_test_clips")
    }
    small = dataclasses.replace(PROTOCOL, seen=seen, unseen=unseen, test_clips=(f"{unseen[0]}/0",), **of)
    explorer = Explorer(clips, small, {"good": good})
    for reduction in (NO_REDUCTION, "centring", *FITS):
        outcome = explorer.score(dataclasses.replace(explorer.chosen("good"), reduction=reduction))
        assert outcome.unseen.occurrence_C.sum() == 1
    assert transfer_weights(np.ones((1, 2)), TransferSettings(2, 0.1)).tolist() == [[0.5, 0.5]]
