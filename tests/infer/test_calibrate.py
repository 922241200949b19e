"""Gamma and thresholds of a list of names: against plain loops, on simulated classes, and at the edges."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import expm
from scipy.stats import t

from zsar_lab.infer.calibrate import HeldOut, calibrated, lowest_confidence, rehearse, turned
from zsar_lab.infer.classifier import (
    BETWEEN,
    NONE_OF_THESE,
    UNKNOWN,
    ZeroShotClassifier,
    names_trained_on,
)
from zsar_lab.results.generalised import choose_gamma, seen_unseen_curve
from zsar_lab.text.class_lists import read_classes
from zsar_lab.text.prompts import texts_of


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


class World:
    """Classes of known points; clips of a class lie about it, and trained ones draw all others to them."""

    def __init__(self, seed, n_seen=12, n_validation=10, n_new=10, clips=20, width=16, pull=0.6):
        rng = np.random.default_rng(seed)
        n = n_seen + n_validation + n_new
        true = unit(rng.normal(size=(n, width)))
        self.points = unit(true + 0.5 * unit(rng.normal(size=true.shape)))  # what texts tell of new classes
        self.points[:n_seen] = true[:n_seen]
        nearest = (true[n_seen:] @ true[:n_seen].T).argmax(1)
        true[n_seen:] = unit(true[n_seen:] + pull * true[nearest])
        targets = np.repeat(np.arange(n), clips)
        self.targets = targets
        self.clips = unit(true[targets] + 0.8 * unit(rng.normal(size=(len(targets), width))))
        kept = targets < n_seen + n_validation
        names = tuple(f"class {number}" for number in range(n_seen + n_validation))
        patterns = unit(np.ones((3, width)) + 0.1 * rng.normal(size=(3, width)))
        self.held_out = HeldOut(names, n_seen, self.clips[kept], targets[kept], patterns)
        self.rng, self.n_seen, self.new = rng, n_seen, np.arange(n_seen + n_validation, n)
        self.K = self.points[: n_seen + n_validation]

    def names(self, n_trained: int, n_new: int):
        """Points, class and whether trained of a list of candidates."""
        seen, new = self.rng.permutation(self.n_seen)[:n_trained], self.rng.permutation(self.new)[:n_new]
        chosen = np.concatenate([seen, new]).astype(int)
        same = [f"class {number}" if number < self.n_seen else "" for number in chosen]
        return chosen, same, chosen < self.n_seen


def rotation(start, end):
    """Takes one unit vector to another in their plane, as a matrix: the exponential of its generator."""
    across = unit(end - (start @ end) * start)
    return expm(np.arccos(start @ end) * (np.outer(across, start) - np.outer(start, across)))


def test_each_clip_has_its_own_class_among_the_candidates_as_a_plain_loop_sees_it():
    world = World(0, clips=5)
    chosen, same, trained = world.names(3, 4)
    found = rehearse(world.held_out, world.K, world.points[chosen], same, trained)
    assert len(found.rows) == len(world.held_out.targets_E)
    others = []
    for row, scores, column in zip(found.rows, found.scores_EC, found.targets_E):
        clip, own = world.held_out.embedding_ED[row], world.held_out.targets_E[row]
        wanted = [clip @ world.points[c] for c in chosen]
        assert trained[column] == (own < world.n_seen)
        if own in chosen:
            assert chosen[column] == own
        else:
            others.append(max(wanted))
            place = world.points[chosen[column]]
            wanted = [rotation(world.K[own], place) @ clip @ world.points[c] for c in chosen]
            assert wanted[column] == pytest.approx(clip @ world.K[own])  # it lies about the name as it did
            for side, classes in ((True, range(12)), (False, range(12, 22))):
                near = {c: place @ world.points[chosen[c]] for c in range(7) if trained[c] == side}
                near.pop(column, None)
                rival = max(near, key=near.get)
                others_K = [k for k in classes if k != own]
                stand_in = min(others_K, key=lambda k: abs(world.K[own] @ world.K[k] - near[rival]))
                wanted[rival] = max(wanted[rival], clip @ world.K[stand_in])
        np.testing.assert_allclose(scores, wanted)
    np.testing.assert_allclose(found.others_O, others)
    weights = pd.Series(found.weight_E).groupby(trained[found.targets_E]).sum()
    assert weights.to_dict() == pytest.approx({False: 4, True: 3})
    given = found.scores_EC, found.targets_E, trained, "micro"
    gamma, thresholds = calibrated(world.held_out, found, trained, 0.1)
    assert gamma == choose_gamma(*given) > 0
    best = found.scores_EC.max(1)
    above = (np.sign(best[:, None] - found.others_O).mean() + 1) / 2
    assert thresholds.auroc == pytest.approx(above) and (best >= thresholds.min_score).mean() >= 0.9
    assert thresholds.withheld == pytest.approx(np.mean(found.others_O < thresholds.min_score))
    assert calibrated(world.held_out, found, trained, 0.1, allow_bias=True)[0] == 0


def test_a_clip_is_turned_with_its_class_and_keeps_its_length_and_what_lies_across():
    world = World(7)
    clips, start, end = world.clips[:5], world.points[:5], world.points[5:10]
    found = turned(clips, start, end)
    np.testing.assert_allclose(turned(start, start, end), end)
    np.testing.assert_allclose((found * end).sum(1), (clips * start).sum(1))
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1)
    np.testing.assert_allclose(turned(clips, start, start), clips)
    np.testing.assert_allclose(turned(clips[0], start[:1], -start[:1])[0] @ -start[0], clips[0] @ start[0])


def test_names_near_to_one_another_are_rehearsed_as_near():
    """Of four names about one point a quarter or so is right, and then nothing is sure."""
    world, rng = World(6, n_validation=20), np.random.default_rng(0)
    for n_near, is_sure in ((0, True), (4, False)):
        points = world.points[world.names(0, 4)[0]]
        points[:n_near] = unit(points[0] + 0.05 * rng.normal(size=(n_near, 16)))
        found = rehearse(world.held_out, world.K, points, [""] * 4, np.zeros(4, bool))
        right = (found.scores_EC.argmax(1) == found.targets_E).mean()
        thresholds = calibrated(world.held_out, found, np.zeros(4, bool), 0.1)[1]
        assert (right > 0.7) == is_sure == (thresholds.coverage > 0.1) and 0.2 < right
        assert (thresholds.min_confidence[0] < np.inf) == is_sure


@pytest.mark.parametrize(("n_trained", "n_new"), [(0, 5), (5, 0), (1, 1)])
def test_names_that_are_all_new_or_all_trained_need_no_gamma(n_trained, n_new):
    world = World(1)
    chosen, same, trained = world.names(n_trained, n_new)
    found = rehearse(world.held_out, world.K, world.points[chosen], same, trained)
    gamma, thresholds = calibrated(world.held_out, found, trained, 0.1)
    assert (gamma == 0) == (n_trained * n_new == 0) and 0 < thresholds.coverage <= 1
    assert set(trained[found.targets_E]) == set(trained.tolist())


def test_without_enough_validation_classes_there_is_no_threshold_and_nothing_is_sure():
    for n_validation, has_gamma in ((3, True), (0, False)):
        world = World(2, n_validation=n_validation)
        chosen, same, trained = world.names(3, 3)
        found = rehearse(world.held_out, world.K, world.points[chosen], same, trained)
        gamma, thresholds = calibrated(world.held_out, found, trained, 0.1)
        assert (gamma > 0) == has_gamma and thresholds is None
    chosen, same, trained = world.names(4, 0)  # of trained names alone no new one is judged
    found = rehearse(world.held_out, world.K, world.points[chosen], same, trained)
    assert calibrated(world.held_out, found, trained, 0.1)[1] is not None
    with pytest.raises(ValueError, match=r"got 1\.0"):
        calibrated(world.held_out, found, trained, 0.1, min_precision=1.0)


def test_sure_is_right_as_often_as_asked_and_h_is_near_the_best_on_classes_that_chose_nothing():
    """Thirty worlds, mixes of trained and new names; test clips are drawn anew."""
    sure_right, sure, h, best = [], [], [], []
    for seed in range(30):
        world = World(seed)
        chosen, same, trained = world.names(4, 4)
        found = rehearse(world.held_out, world.K, world.points[chosen], same, trained)
        gamma, thresholds = calibrated(world.held_out, found, trained, 0.1)
        own = np.isin(world.targets, chosen)
        scores = world.clips[own] @ world.points[chosen].T
        targets = (world.targets[own][:, None] == chosen).argmax(1)
        shown = classifier_of(world, chosen, trained, gamma, thresholds)
        balanced = shown.balanced(scores)
        shares = np.exp(balanced / 0.1) / np.exp(balanced / 0.1).sum(1, keepdims=True)
        is_sure = shown.why_unsure(world.clips[own], scores, shares) == ""
        right = balanced.argmax(1) == targets
        sure.append(is_sure.mean())
        sure_right.append((right & is_sure).mean())
        curve = seen_unseen_curve(scores, targets, trained, "micro")
        h.append(curve.harmonic[np.searchsorted(curve.breakpoints, gamma)])
        best.append(curve.harmonic_upper_bound)
    assert np.sum(sure_right) / np.sum(sure) > 0.8 and np.mean(sure) > 0.3
    assert np.mean(h) > 0.9 * np.mean(best)


def classifier_of(world, chosen, trained, gamma, thresholds):
    table = read_classes([f"class {number}" for number in chosen])
    known = pd.DataFrame({"name": table["name"], "trained": np.where(trained, "exact", "no"), "seen": ""})
    given = table, texts_of(table, "label"), "transfer", world.points[chosen], 0.1, known, gamma, thresholds
    return ZeroShotClassifier(*given, world.held_out)


def test_what_makes_a_prediction_unsure():
    world = World(3)
    chosen, same, trained = world.names(2, 3)
    found = rehearse(world.held_out, world.K, world.points[chosen], same, trained)
    gamma, thresholds = calibrated(world.held_out, found, trained, 0.1)
    thresholds = replace(thresholds, min_confidence=(0.5, 0.9), min_score=0.2)
    shown = classifier_of(world, chosen, trained, gamma, thresholds)
    clips = np.repeat(world.held_out.embedding_ED[:1], 4, axis=0)
    scores = np.full((4, 5), 0.1) + np.array([[0.5], [0.5], [0.0], [0.5]])
    new, known = (
        [0.1, 0.1, 0.6, 0.1, 0.1],
        [0.6, 0.1, 0.1, 0.1, 0.1],
    )  # what is sure of a new and a trained name
    shares = np.array([new, known] * 2)
    assert shown.why_unsure(clips, scores, shares).tolist() == ["", BETWEEN, NONE_OF_THESE, BETWEEN]
    patterns = world.held_out.patterns_PD[[0, 1, 2, 0]]
    assert shown.why_unsure(patterns, scores, shares).tolist() == [NONE_OF_THESE] * 4
    assert replace(shown, thresholds=None).why_unsure(clips, scores, shares).tolist() == [UNKNOWN] * 4
    held_out = World(4, clips=2).held_out  # strangeness by a plain loop
    for clip, found in zip(held_out.embedding_ED, held_out.strangeness(held_out.embedding_ED)):
        near = sorted((clip @ other for other in held_out.embedding_ED), reverse=True)[2]
        assert found == pytest.approx(max(clip @ one for one in held_out.patterns_PD) - near)
    assert (held_out.strangeness(held_out.patterns_PD) > held_out.most_strange).all()


def test_the_lowest_confidence_equals_a_plain_loop():
    rng = np.random.default_rng(5)
    confidence, classes = rng.random(120).round(2), np.repeat(np.arange(6), 20)
    right, weight = rng.random(120) < confidence, np.repeat([1.0, 2.0, 1.0, 0.5, 1.0, 1.0], 20)
    for share in (0.0, 0.6, 0.8, 0.99):
        enough = []
        for level in set(confidence):
            kept = confidence >= level
            p = np.average(right[kept], weights=weight[kept])
            spread = [(weight * (right - p) * kept)[classes == c].sum() for c in range(6)]
            se = np.sqrt(6 / 5 * np.square(spread).sum()) / weight[kept].sum()
            n_k = [(weight * kept)[classes == c].sum() for c in range(6)]
            n_classes = np.sum(n_k) ** 2 / np.square(n_k).sum()
            met = p - t(5).ppf(0.95) * se >= share and n_classes >= share / (1 - share) - 1e-12
            enough += [level] if met else []
        wanted = min(enough, default=np.inf)
        assert lowest_confidence(confidence, right, weight, classes, share) == wanted
    assert lowest_confidence(*np.zeros((3, 0)), np.zeros(0, int), 0.5) == np.inf


def test_which_names_were_trained_on():
    names, labels = ["SkippingRope", "Sprinting", "Digging"], ["skipping rope", "sprinting", "digging"]
    seen = pd.DataFrame({"name": names, "label": labels})
    table = read_classes(["skipping_rope", "sprinted", "shovelling", "jogging", "Digging"])
    distance_CS = np.array([[0.0, 1, 1], [1, 0.3, 1], [1, 1, 0.05], [1, 0.4, 1], [1, 1, 0]])
    known = names_trained_on(table, seen, distance_CS, near=0.2)
    assert known["trained"].tolist() == ["exact", "normalised", "near", "no", "exact"]
    assert known["seen"].tolist() == ["SkippingRope", "Sprinting", "Digging", "", "Digging"]


def test_clips_for_prediction_sets_are_those_of_validation_classes_that_are_no_candidates():
    held_out, points = World(5, clips=3).held_out, World(5, clips=3).K
    clips, own, classes = held_out.new_clips(points, {"class 14", "class 2", ""})
    assert set(classes) == set(range(12, 22)) - {14} and len(clips) == 27
    for clip, score, k in zip(clips, own, classes):
        assert score == pytest.approx(clip @ points[k])
        assert np.isclose(held_out.embedding_ED, clip).all(1).any()
