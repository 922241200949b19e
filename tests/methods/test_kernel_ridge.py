"""zsar_lab.methods.kernel_ridge: by scikit-learn, by hand, and which classes it reads."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scored_split import PROTOCOL, clips, good  # noqa: F401  (fixtures)
from sklearn.kernel_ridge import KernelRidge

from zsar_lab.methods import kernel_ridge as room
from zsar_lab.methods.clips import ClipGroup, SplitClips, text_of
from zsar_lab.methods.kernel_ridge import fit_kernel_ridge, regressed
from zsar_lab.text.relatedness import CENTRED, PLAIN, WHITENED, Relatedness, unit

RANDOM = np.random.default_rng(0)
TEXT_UF, TEXT_SF = RANDOM.normal(size=(3, 7)), RANDOM.normal(size=(6, 7))
PROTOTYPES_SD = unit(RANDOM.normal(size=(6, 5)))


@pytest.fixture(scope="module")
def split(clips) -> SplitClips:  # noqa: F811
    return SplitClips.of(clips, PROTOCOL)


@pytest.mark.parametrize("kind", [PLAIN, CENTRED, WHITENED])
@pytest.mark.parametrize("penalty", [0.01, 0.3, 5.0])
def test_the_regression_is_that_of_scikit_learn(kind, penalty):
    related, mean_D = Relatedness.fit(TEXT_SF, kind), PROTOTYPES_SD.mean(0)
    twin = KernelRidge(alpha=penalty, kernel="precomputed")
    twin.fit(related.between(TEXT_SF, TEXT_SF), PROTOTYPES_SD - mean_D)
    expected = unit(mean_D + twin.predict(related.between(TEXT_UF, TEXT_SF)))
    np.testing.assert_allclose(regressed(TEXT_UF, TEXT_SF, PROTOTYPES_SD, penalty, kind), expected, atol=1e-9)


def test_two_seen_classes_by_hand_and_the_limits_of_the_penalty():
    # plain cosines of orthogonal texts: R = 1, r = (1, 0); m = (.5, .5), P - m = (.5, -.5), (-.5, .5)
    found = regressed(np.eye(2)[:1], np.eye(2), np.eye(2), 1.0, PLAIN)
    np.testing.assert_allclose(found, unit(np.array([[0.5 + 0.25, 0.5 - 0.25]])))
    near = regressed(TEXT_SF, TEXT_SF, PROTOTYPES_SD, 1e-9, PLAIN)
    np.testing.assert_allclose(near, PROTOTYPES_SD, atol=1e-6)  # the seen classes at their own prototypes
    far = regressed(TEXT_UF, TEXT_SF, PROTOTYPES_SD, 1e9)
    np.testing.assert_allclose(far, unit(PROTOTYPES_SD.mean(0, keepdims=True)).repeat(3, 0), atol=1e-6)
    for penalty in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match=f"got {penalty}"):
            regressed(TEXT_UF, TEXT_SF, PROTOTYPES_SD, penalty)


def test_validation_classes_are_read_for_others_and_never_for_themselves(split, good):  # noqa: F811
    fitted, names = fit_kernel_ridge(split, good, {}), (PROTOCOL.validation, PROTOCOL.unseen)
    moved = replace(split.validation, embedding_BD=split.validation.embedding_BD[:, ::-1])
    other = fit_kernel_ridge(replace(split, validation=moved), good, {})
    of_validation, of_unseen = (
        np.abs(fitted.points(of) - other.points(of)).max() for of in names if fitted.points and other.points
    )
    assert of_validation == 0 and of_unseen > 0.01
    sources = (*PROTOCOL.seen, *PROTOCOL.validation)
    given = text_of(good, PROTOCOL.unseen), text_of(good, sources)
    prototypes = np.concatenate([split.seen_prototypes, split.validation.class_means()])
    np.testing.assert_array_equal(fitted.points(PROTOCOL.unseen), regressed(*given, prototypes, room.USUAL))
    # seen candidates are at their own prototypes
    both = replace(split.test, names=(*PROTOCOL.seen, *PROTOCOL.unseen))
    expected = unit(both.embedding_BD) @ np.concatenate([split.seen_prototypes, fitted.points(names[1])]).T
    np.testing.assert_allclose(fitted.scores(both), expected, atol=1e-12)


def test_the_penalty_is_chosen_only_where_there_are_classes_enough(split, good, monkeypatch):  # noqa: F811
    def top1(penalty: float, group: ClipGroup = split.validation) -> float:
        given = text_of(good, group.names), text_of(good, PROTOCOL.seen), split.seen_prototypes
        found = unit(group.embedding_BD) @ regressed(*given, penalty).T
        return float((found.argmax(1) == group.targets).mean())

    assert fit_kernel_ridge(split, good, {}).settings == {"kernel_penalty": room.USUAL}
    monkeypatch.setattr(room, "TO_TUNE", len(PROTOCOL.validation))
    chosen = fit_kernel_ridge(split, good, {})
    best = max(room.KERNEL_PENALTIES, key=top1)
    assert chosen.settings == {"kernel_penalty": best} and chosen.validation_top1 == pytest.approx(top1(best))
