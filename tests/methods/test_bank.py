"""zsar_lab.methods.query_bank: its setting follows from its clips, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from test_corrections import SCORES, SETTINGS, bank_of, corrected

from zsar_lab.methods.clips import INDUCTIVE, TRANSDUCTIVE
from zsar_lab.methods.hubness_reduction import FITS, QueryBank, make_query_bank


def test_the_setting_follows_from_the_clips_of_a_bank():
    scores, ids = np.zeros((3, 2)), ["a", "b", "c"]
    assert make_query_bank(scores, ids, ["x"], ["x", "y"]).setting == INDUCTIVE
    assert make_query_bank(scores, ids, ["x"], ["x", "y"], inductive_only=True).ids == ("a", "b", "c")
    scored, of_test = make_query_bank(scores, ids, ["x", "b"], ["y"]), make_query_bank(scores, ids, ["x"], {"c", "a"})
    assert (scored.setting, scored.n_test) == (TRANSDUCTIVE, 0) and (of_test.setting, of_test.n_test) == (
        TRANSDUCTIVE,
        2,
    )
    for name, make in FITS.items():
        assert (
            make(of_test, **SETTINGS[name] | ({"k": 1} if "k" in SETTINGS[name] else {})).setting
            == TRANSDUCTIVE
        )


def test_an_inductive_bank_may_not_hold_what_is_scored_or_tested():
    with pytest.raises(
        ValueError,
        match="must hold no clip that is scored or of the test set, got 2 of them, the first 'b'; take training clips",
    ):
        make_query_bank(np.zeros((3, 2)), ["a", "b", "c"], ["c"], ["x", "b"], inductive_only=True)


def test_a_setting_that_does_not_fit_is_refused():
    with pytest.raises(
        ValueError,
        match="of a bank with 0 test clips must be inductive or transductive, got 'both'; take make_query_bank",
    ):
        QueryBank(np.zeros((1, 2)), ("a",), "both", 0)
    with pytest.raises(ValueError, match="of a bank with 3 test clips must be transductive, got 'inductive'"):
        QueryBank(np.zeros((3, 2)), ("a", "b", "c"), INDUCTIVE, 3)


def test_a_bank_must_be_told_what_is_scored():
    with pytest.raises(ValueError, match="must be told which clips are scored, got none"):
        make_query_bank(np.zeros((1, 2)), ["a"], [], ["x"])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e101])
def test_scores_that_are_not_finite_are_refused(value):
    bad = SCORES.copy()
    bad[3, 1] = bad[5, 0] = value
    with pytest.raises(
        ValueError,
        match="the scores of a bank must be finite and at most 1e\\+100 in size, got 2 that are not; look at the emb",
    ):
        bank_of(bad)
    with pytest.raises(ValueError, match="the scores to correct must be finite .* got 2 that are not"):
        corrected("CSLS", bad)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0)])
def test_an_empty_bank_is_refused(shape):
    with pytest.raises(
        ValueError,
        match=r"a bank must hold at least one clip and one class, got shape \(\d, \d\); give it training clips",
    ):
        bank_of(np.zeros(shape))


def test_a_bank_of_other_ids_or_axes_is_refused():
    with pytest.raises(ValueError, match="must have an id for each clip, got 2 ids and scores of 3 clips"):
        make_query_bank(np.zeros((3, 2)), ["a", "b"], ["x"], ["x"])
    with pytest.raises(
        ValueError, match=r"the scores of a bank must have two axes, clips or classes first, got shape \(3,\)"
    ):
        bank_of(np.zeros(3))
