"""A method under every hubness reduction: written out once more, from prototypes on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import reference
from scored_split import PROTOCOL, clips, good  # noqa: F401  (fixtures)

from zsar_lab.methods.clips import INDUCTIVE, TRANSDUCTIVE, ClipGroup, Fitted, SplitClips, nearest_scores
from zsar_lab.methods.hubness_reduction import BETAS, FITS, KS, QueryBank, ReducedScores, reduced_scores
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.transfer import TransferSettings, compose_prototypes, weights_of


@pytest.fixture(scope="module")
def split(clips) -> SplitClips:  # noqa: F811
    return SplitClips.of(clips, PROTOCOL)


@pytest.fixture(scope="module")
def fitted(split, good) -> Fitted:  # noqa: F811
    return split.fit(good, "transfer")


@pytest.fixture(scope="module")
def reduced(split, fitted) -> dict[tuple[str, str], ReducedScores]:
    return {(one.reduction, one.setting): one for one in reduced_scores(fitted, split)}


def test_each_reduction_is_there_in_both_settings(reduced):
    banked = [(name, setting) for setting in (INDUCTIVE, TRANSDUCTIVE) for name in FITS]
    assert list(reduced) == [("centring", INDUCTIVE), *banked]
    assert all(np.isfinite(one.scores_BC).all() for one in reduced.values())


def test_centring_takes_the_training_mean_off_clips_and_prototypes(reduced, split, fitted, good):  # noqa: F811
    mean = np.mean([row for row in split.train.embedding_BD], axis=0)
    weights = weights_of(split, good, split.test.names, TransferSettings(**fitted.settings))
    prototypes = compose_prototypes(weights, split.seen_prototypes)
    plain = [
        [reference.cosine(clip - mean, p - mean) for p in prototypes] for clip in split.test.embedding_BD
    ]
    np.testing.assert_allclose(reduced["centring", INDUCTIVE].scores_BC, plain, atol=1e-6)
    assert reduced["centring", INDUCTIVE].settings == fitted.settings
    with pytest.raises(ValueError, match="'ridge'"):
        list(reduced_scores(split.fit(good, "ridge"), split))


@pytest.mark.parametrize("setting", [INDUCTIVE, TRANSDUCTIVE])
@pytest.mark.parametrize("name", ["csls", "inverted_softmax", "globally_corrected"])
def test_settings_are_the_best_on_validation_classes(name, setting, reduced, split, good, fitted):  # noqa: F811
    key, values = {"csls": ("k", KS), "inverted_softmax": ("beta", BETAS)}.get(name, (None, (None,)))
    transfer = TransferSettings(**fitted.settings)
    most = min(len(PROTOCOL.validation), len(PROTOCOL.unseen))

    def scores(group: ClipGroup, names: tuple[str, ...]) -> np.ndarray:
        prototypes = compose_prototypes(weights_of(split, good, names, transfer), split.seen_prototypes)
        return nearest_scores(group.embedding_BD, prototypes)

    def apply(group: ClipGroup, value: float | None) -> np.ndarray:
        looked_at = split.train if setting == INDUCTIVE else group
        bank = QueryBank(scores(looked_at, group.names), looked_at.ids, group.ids, split.test.ids)
        return FITS[name](bank, **({key: value} if key else {}))(scores(group, group.names))

    tried = [value for value in values if key != "k" or value <= most]
    top1 = [top_k_accuracy(apply(split.validation, value), split.validation.targets, 1) for value in tried]
    best, found = tried[int(np.argmax(top1))], reduced[name, setting]
    assert found.settings == fitted.settings | ({f"{name}_{key}": best} if key else {})
    assert found.validation_top1 == max(top1)
    np.testing.assert_allclose(found.scores_BC, apply(split.test, best), atol=1e-12)


def test_only_a_transductive_score_depends_on_the_other_test_clips(split, fitted, reduced):
    test = split.test
    half = ClipGroup(test.names, test.ids[::2], test.embedding_BD[::2], test.targets[::2])
    changed = set()
    for one in reduced_scores(fitted, replace(split, test=half)):
        if not np.allclose(one.scores_BC, reduced[one.reduction, one.setting].scores_BC[::2], atol=1e-9):
            changed.add(one.setting)
    assert changed == {TRANSDUCTIVE}
