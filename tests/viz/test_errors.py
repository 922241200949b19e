"""zsar_lab.viz.explanations and explanations_clip: verdicts in their orders, and what drew a clip to a class, in numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import test_rescore
from test_rescore import PROTOCOL, SEEN, UNSEEN

from zsar_lab.methods.metrics import truth_rank
from zsar_lab.methods.transfer import unit
from zsar_lab.viz import explanations, explanations_clip
from zsar_lab.viz.explanations import CONFIDENCE, MARGIN, TYPICAL, UNTYPICAL, Verdict

clips, good, vague, result = test_rescore.clips, test_rescore.good, test_rescore.vague, test_rescore.result
ALL = [MARGIN, CONFIDENCE, TYPICAL, UNTYPICAL]


def verdict(name: str, margin: float, confidence: float | None, typicality: float) -> Verdict:
    return Verdict(name, "x", margin, margin > 0, confidence, typicality)


FOUND = [
    verdict("a", -0.5, 0.6, 0.1),
    verdict("b", -0.1, 0.9, 0.9),
    verdict("c", 0.2, 0.8, 0.3),
    verdict("d", 0.4, 0.5, 0.2),
]


@pytest.mark.parametrize(("order", "ids"), list(zip(ALL, ["abcd", "badc", "bcda", "adcb"])))
def test_orders_by_hand(order, ids):
    assert "".join(found.clip_id for found in explanations.in_order(FOUND[::-1], order)) == ids


def test_an_order_that_cannot_be_is_refused_in_a_sentence():
    unsure = [dataclasses.replace(found, confidence=None) for found in FOUND]
    assert explanations.orders(unsure) == [MARGIN, TYPICAL, UNTYPICAL] and explanations.orders(FOUND) == ALL
    with pytest.raises(
        ValueError,
        match="an order of these clips must be one of margin, most wrong first; most typical.*got 'confidence",
    ):
        explanations.in_order(unsure, CONFIDENCE)
    assert explanations.in_order([], CONFIDENCE) == []


@pytest.mark.parametrize("method", ["transfer", "direct", "match"])
def test_verdicts_as_a_plain_loop_finds_them(result, clips, method):
    scored, name = result.method(method), UNSEEN[1]
    for found in explanations.verdicts(result, method, name):
        row = result.ids.index(found.clip_id)
        scores = scored.scores_BC[row].astype(float)
        assert found.predicted == UNSEEN[int(scores.argmax())] and found.right == (found.predicted == name)
        assert found.margin == pytest.approx(
            scores[1] - max(score for column, score in enumerate(scores) if column != 1), abs=1e-6
        )
        assert found.confidence == pytest.approx(
            np.exp(scores.max() / scored.temperature) / np.exp(scores / scored.temperature).sum(), rel=1e-4
        )
        others = [
            clips.embedding_ND[clips.ids.index(clip)]
            for clip in PROTOCOL.test_clips
            if clip.startswith(f"{name}/") and clip != found.clip_id
        ]
        own, mean = clips.embedding_ND[clips.ids.index(found.clip_id)], np.mean(others, axis=0)
        assert found.typicality == pytest.approx(
            own @ mean / np.linalg.norm(own) / np.linalg.norm(mean), abs=1e-5
        )
    unsure = dataclasses.replace(
        result, methods=tuple(dataclasses.replace(scored, temperature=None) for scored in result.methods)
    )
    assert {found.confidence for found in explanations.verdicts(unsure, method, name)} == {None}


def test_a_clip_in_a_tie_is_wrong_as_in_the_score(result):
    scored = result.method("transfer")
    scores = scored.scores_BC.copy()
    row = int(np.flatnonzero(result.targets == 1)[0])
    scores[row, [1, 3]] = scores[row].max() + 1
    tied = dataclasses.replace(
        result,
        methods=tuple(
            dataclasses.replace(one, scores_BC=scores) if one is scored else one for one in result.methods
        ),
    )
    found = next(
        one for one in explanations.verdicts(tied, "transfer", UNSEEN[1]) if one.clip_id == result.ids[row]
    )
    assert (found.predicted, found.margin, found.right) == (UNSEEN[3], 0.0, False)
    answer = explanations_clip.clip_answer(tied, "transfer", result.ids[row])
    assert (
        not answer.right
        and answer.rival == UNSEEN[3]
        and [one.name for one in answer.candidates[:2]] == [UNSEEN[3], UNSEEN[1]]
    )
    n_right = sum(one.right for name in UNSEEN for one in explanations.verdicts(tied, "transfer", name))
    assert (
        n_right
        == (truth_rank(scores, result.targets) == 1).sum()
        == sum(explanations.taken_for(tied, "transfer", name)[name] for name in UNSEEN)
    )


def test_classes_taken_for_one_another_stand_side_by_side(result):
    answers = np.array([3, 1, 4, 0, 2])  # 0 and 3 for one another, 2 and 4 too
    scores = np.eye(5)[answers[result.targets]] + 0.1 * np.eye(5)[result.targets]
    mixed = dataclasses.replace(
        result, methods=(dataclasses.replace(result.methods[0], method="transfer", scores_BC=scores),)
    )
    order = explanations.confusion_order(mixed, "transfer").tolist()
    place = {name: at for at, name in enumerate(order)}
    assert (
        sorted(order) == [0, 1, 2, 3, 4] and abs(place[0] - place[3]) == 1 and abs(place[2] - place[4]) == 1
    )


# one clip


@pytest.mark.parametrize("method", ["transfer", "direct"])
def test_the_best_classes_of_a_clip(result, method):
    scored = result.method(method)
    for row, clip in enumerate(result.ids):
        answer = explanations_clip.clip_answer(result, method, clip, n_best=2)
        ranked = sorted(zip(scored.scores_BC[row].tolist(), UNSEEN), reverse=True)
        assert [(candidate.score, candidate.name) for candidate in answer.candidates[:2]] == ranked[:2]
        true = next(candidate for candidate in answer.candidates if candidate.name == answer.true)
        assert ranked[true.rank - 1][1] == answer.true == UNSEEN[result.targets[row]]
        assert answer.right == (true.rank == 1) and answer.rival == ranked[1 if answer.right else 0][1]
        assert len(answer.candidates) == (2 if true.rank <= 2 else 3)
    everything = explanations_clip.clip_answer(result, method, result.ids[0])
    assert sum(candidate.confidence for candidate in everything.candidates) == pytest.approx(1)
    with pytest.raises(
        ValueError, match=r"the clip must be one of the 30 test clips of 'split 0', got 'seen0/0'"
    ):
        explanations_clip.clip_answer(result, method, "seen0/0")


def test_what_seen_classes_add_is_the_transfer_score(result, clips):
    scores = result.method("transfer").scores_BC
    for row, clip in enumerate(result.ids[::5]):
        for column, name in enumerate(UNSEEN):
            added = explanations_clip.pulls(result, clips, clip, name)
            assert tuple(added) == SEEN and sum(added.values()) == pytest.approx(
                scores[5 * row, column], abs=1e-5
            )
    weights, seen = result.weights_US[2], result.prototypes["seen"]
    composed, v = (
        sum(weight * prototype for weight, prototype in zip(weights, seen)),
        clips.embedding_ND[clips.ids.index(result.ids[0])],
    )
    by_loop = [
        weight * float(v @ prototype) / np.linalg.norm(composed) for weight, prototype in zip(weights, seen)
    ]
    assert list(explanations_clip.pulls(result, clips, result.ids[0], UNSEEN[2]).values()) == pytest.approx(
        by_loop, abs=1e-5
    )


def test_examples_are_the_training_clips_nearest_to_the_prototypes(result, clips):
    found = explanations_clip.example_clips(result, clips, SEEN[:3])
    for name, clip in found.items():
        cosines = {
            own: unit(clips.embedding_ND[clips.ids.index(own)]) @ result.prototypes["seen"][SEEN.index(name)]
            for own in PROTOCOL.train_clips
            if own.startswith(f"{name}/")
        }
        assert clip == max(cosines, key=cosines.get)
    assert list(found) == list(SEEN[:3])
    with pytest.raises(ValueError, match="examples are of the split's 8 seen classes, got 'new0'"):
        explanations_clip.example_clips(result, clips, ["new0"])
    other = dataclasses.replace(clips, fingerprint="other")
    with pytest.raises(
        ValueError,
        match=r"by the embeddings it was scored on \(print\), got other; give workspace.embeddings",
    ):
        explanations_clip.pulls(result, other, result.ids[0], UNSEEN[0])
