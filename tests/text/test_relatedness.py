"""zsar_lab.text.relatedness: each kind by hand, by a plain loop and by properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
import reference

from zsar_lab.text.relatedness import KINDS, Relatedness, unit

RANDOM = np.random.default_rng(0)
SEEN_SF, UNSEEN_UF = RANDOM.normal(size=(6, 9)), RANDOM.normal(size=(4, 9))


def whitened(text_SF=SEEN_SF, shrinkage=1.0):
    return Relatedness.fit(text_SF, "whitened", shrinkage)


def related(kind: str, unseen=UNSEEN_UF, seen=SEEN_SF) -> np.ndarray:
    return Relatedness.fit(seen, kind).between(unseen, seen)


def test_plain_is_the_cosine_by_hand():
    found = related("plain", np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [3.0, 3.0]]))
    np.testing.assert_allclose(found, [[1, math.sqrt(0.5)]])
    np.testing.assert_allclose(related("plain", SEEN_SF[:1], SEEN_SF[:1]), [[1]])  # of one seen class too
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]


def test_whitened_by_hand():
    # the seen texts are about (1, 1) at (3, 0), (-3, 0), (0, 1), (0, -1): C = diag(4.5, 0.5), mean eigenvalue
    # 2.5; with shrinkage 0.6 l = 1.5, so W = diag(6, 2)^-1/2, and (1, 0) . (1, 1) W W = 1/6 over lengths
    # (1/6)^1/2 and (1/6 + 1/2)^1/2 is 1/2
    fitted = whitened(np.array([[4.0, 1.0], [-2.0, 1.0], [1.0, 2.0], [1.0, 0.0]]), 0.6)
    found = fitted.between(np.array([[2.0, 1.0]]), np.array([[2.0, 2.0], [1.0, 2.0]]))
    np.testing.assert_allclose(found, [[0.5, 0]], atol=1e-12)
    np.testing.assert_allclose(fitted.transform(np.array([[2.0, 2.0]])), [[6**-0.5, 2**-0.5]])


@pytest.mark.parametrize("n_seen", [2, 6, 30])
@pytest.mark.parametrize("shrinkage", [0.01, 1.0, 20.0])
def test_whitened_equals_the_plain_loop(n_seen, shrinkage):
    seen = np.random.default_rng(n_seen).normal(size=(n_seen, 9)) * np.arange(1, 10)
    found = whitened(seen, shrinkage).between(UNSEEN_UF, seen)
    np.testing.assert_allclose(found, reference.whitened_relatedness(UNSEEN_UF, seen, shrinkage), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_turning_stretching_or_moving_all_texts_changes_nothing(kind):
    turn, found = 3 * np.linalg.qr(RANDOM.normal(size=(9, 9)))[0], related(kind)
    np.testing.assert_allclose(related(kind, UNSEEN_UF @ turn, SEEN_SF @ turn), found, atol=1e-10)
    assert (np.abs(found) <= 1 + 1e-12).all()
    if kind != "plain":
        np.testing.assert_allclose(related(kind, UNSEEN_UF + 3, SEEN_SF + 3), found, atol=1e-10)


def test_the_limits_of_shrinkage():
    found = whitened(shrinkage=1e9).between(UNSEEN_UF, SEEN_SF)
    np.testing.assert_allclose(found, related("centred"), atol=1e-8)
    seen = RANDOM.normal(size=(40, 5)) @ RANDOM.normal(size=(5, 5)) + 2
    rows = whitened(seen, 1e-12).transform(seen)  # many seen texts get covariance one
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(rows.T @ rows / 40, np.eye(5), atol=1e-9)


def test_whitening_evens_out_the_spread_on_few_axes_and_reads_float32():
    stretched = SEEN_SF * np.arange(1, 10)
    fitted = whitened(stretched, 0.1)
    before, after = (
        np.linalg.svd(rows - rows.mean(0))[1] for rows in (stretched, fitted.transform(stretched))
    )
    assert fitted.axes_RF.shape == (5, 9) and after[0] / after[4] < before[0] / before[4] / 1.5
    found = whitened(SEEN_SF.astype(np.float32)).between(UNSEEN_UF, SEEN_SF)
    np.testing.assert_allclose(found, related("whitened"), atol=1e-6)


@pytest.mark.parametrize(
    ("text_SF", "kind", "words"),
    [
        (SEEN_SF, "zca", "plain, centred, whitened, got 'zca'"),
        (SEEN_SF[:1], "centred", "centred .*got 1$"),
        (SEEN_SF[:1], "whitened", "whitened .*got 1$"),
        (SEEN_SF[[0, 0, 0]], "whitened", "whitened .*got 3 equal ones"),
        (SEEN_SF[0], "plain", r"\(9,\)"),
        (np.where(SEEN_SF == SEEN_SF[2, 1], np.nan, SEEN_SF), "plain", "row 2 of 6"),
    ],
)
def test_what_cannot_be_fitted_is_refused(text_SF, kind, words):
    with pytest.raises(ValueError, match=words):
        Relatedness.fit(text_SF, kind)
    for shrinkage in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match=f"got {shrinkage}"):
            whitened(shrinkage=shrinkage)
    with pytest.raises(ValueError, match=r"\[classes, 9\], got shape \(4, 8\)"):
        whitened().between(UNSEEN_UF[:, :8], SEEN_SF)
    with pytest.raises(ValueError, match="row 0 of 6"):
        whitened().between(UNSEEN_UF, SEEN_SF * np.inf)
