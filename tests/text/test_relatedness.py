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


def test_plain_is_the_cosine_by_hand():
    related = Relatedness.fit(np.array([[2.0, 0.0], [3.0, 3.0]]), "plain").between(
        np.array([[1.0, 0.0]]), np.array([[2.0, 0.0], [3.0, 3.0]])
    )
    np.testing.assert_allclose(related, [[1, math.sqrt(0.5)]])


def test_whitened_by_hand():
    # the seen texts lie about (1, 1) at (3, 0), (-3, 0), (0, 1), (0, -1): C = diag(4.5, 0.5), mean eigenvalue
    # 2.5; with shrinkage 0.6 l = 1.5,
    # so W = diag(6, 2)^-1/2, and (1, 0) . (1, 1) W W = 1/6 over lengths (1/6)^1/2 and (1/6 + 1/2)^1/2 is 1/2
    seen = np.array([[4.0, 1.0], [-2.0, 1.0], [1.0, 2.0], [1.0, 0.0]])
    fitted = whitened(seen, 0.6)
    np.testing.assert_allclose(
        fitted.between(np.array([[2.0, 1.0]]), np.array([[2.0, 2.0], [1.0, 2.0]])), [[0.5, 0]], atol=1e-12
    )
    np.testing.assert_allclose(fitted.transform(np.array([[2.0, 2.0]])), [[6**-0.5, 2**-0.5]])


@pytest.mark.parametrize("n_seen", [2, 6, 30])
@pytest.mark.parametrize("shrinkage", [0.01, 1.0, 20.0])
def test_whitened_equals_the_plain_loop(n_seen, shrinkage):
    seen = np.random.default_rng(n_seen).normal(size=(n_seen, 9)) * np.arange(1, 10)
    related = whitened(seen, shrinkage).between(UNSEEN_UF, seen)
    np.testing.assert_allclose(related, reference.whitened_relatedness(UNSEEN_UF, seen, shrinkage), atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_turning_or_stretching_all_texts_changes_nothing(kind):
    turn = 3 * np.linalg.qr(RANDOM.normal(size=(9, 9)))[0]
    related = Relatedness.fit(SEEN_SF, kind).between(UNSEEN_UF, SEEN_SF)
    np.testing.assert_allclose(
        Relatedness.fit(SEEN_SF @ turn, kind).between(UNSEEN_UF @ turn, SEEN_SF @ turn), related, atol=1e-10
    )
    assert (np.abs(related) <= 1 + 1e-12).all()


@pytest.mark.parametrize("kind", ["centred", "whitened"])
def test_a_common_offset_changes_nothing(kind):
    related = Relatedness.fit(SEEN_SF, kind).between(UNSEEN_UF, SEEN_SF)
    np.testing.assert_allclose(
        Relatedness.fit(SEEN_SF + 3, kind).between(UNSEEN_UF + 3, SEEN_SF + 3), related, atol=1e-10
    )


def test_a_huge_shrinkage_is_the_centred_kind():
    centred = Relatedness.fit(SEEN_SF, "centred").between(UNSEEN_UF, SEEN_SF)
    np.testing.assert_allclose(whitened(shrinkage=1e9).between(UNSEEN_UF, SEEN_SF), centred, atol=1e-8)


def test_without_shrinkage_many_seen_texts_get_covariance_one():
    seen = RANDOM.normal(size=(40, 5)) @ RANDOM.normal(size=(5, 5)) + 2
    rows = whitened(seen, 1e-12).transform(seen)
    np.testing.assert_allclose(rows.mean(0), 0, atol=1e-9)
    np.testing.assert_allclose(rows.T @ rows / 40, np.eye(5), atol=1e-9)


def test_whitening_evens_out_the_spread_and_keeps_few_axes():
    stretched = SEEN_SF * np.arange(1, 10)
    fitted = whitened(stretched, 0.1)
    before, after = (
        np.linalg.svd(rows - rows.mean(0))[1][:5] for rows in (stretched, fitted.transform(stretched))
    )
    assert fitted.axes_RF.shape == (5, 9) and after[0] / after[4] < before[0] / before[4] / 1.5


def test_float32_texts_are_read_as_they_are():
    np.testing.assert_allclose(
        whitened(SEEN_SF.astype(np.float32)).between(UNSEEN_UF, SEEN_SF),
        whitened().between(UNSEEN_UF, SEEN_SF),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("text_SF", "kind", "message"),
    [
        (SEEN_SF, "zca", "relatedness must be one of plain, centred, whitened, got 'zca'"),
        (
            SEEN_SF[:1],
            "centred",
            "centred relatedness needs 2 or more different seen class texts, got 1; take more seen classes",
        ),
        (
            SEEN_SF[:1],
            "whitened",
            "whitened relatedness needs 2 or more different seen class texts, got 1; take",
        ),
        (
            SEEN_SF[[0, 0, 0]],
            "whitened",
            "whitened relatedness needs 2 or more different seen class texts, got 3 equal ones; take",
        ),
        (
            SEEN_SF[0],
            "plain",
            r"embedded class texts must be one row a class, \[classes, width\], got shape \(9,\); embed all",
        ),
        (
            np.where(SEEN_SF == SEEN_SF[2, 1], np.nan, SEEN_SF),
            "plain",
            "embedded class texts must be finite, row 2 of 6 is not; embed",
        ),
    ],
)
def test_what_cannot_be_fitted_is_refused(text_SF, kind, message):
    with pytest.raises(ValueError, match=message):
        Relatedness.fit(text_SF, kind)


@pytest.mark.parametrize("shrinkage", [0.0, -1.0, math.inf, math.nan])
def test_a_shrinkage_out_of_range_is_refused(shrinkage):
    with pytest.raises(
        ValueError, match=f"shrinkage must be above 0 and finite, got {shrinkage}; 1.0 is the one used"
    ):
        whitened(shrinkage=shrinkage)


def test_texts_of_another_width_or_not_finite_are_refused():
    with pytest.raises(ValueError, match=r"must be one row a class, \[classes, 9\], got shape \(4, 8\)"):
        whitened().between(UNSEEN_UF[:, :8], SEEN_SF)
    with pytest.raises(ValueError, match="must be finite, row 0 of 6 is not"):
        whitened().between(UNSEEN_UF, SEEN_SF * np.inf)


def test_one_seen_class_has_plain_relatedness():
    np.testing.assert_allclose(Relatedness.fit(SEEN_SF[:1], "plain").between(SEEN_SF[:1], SEEN_SF[:1]), [[1]])


def test_unit_rows_and_a_zero_row():
    assert unit(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist() == [[0.6, 0.8], [0.0, 0.0]]
