"""zsar_lab.results.summary: the table against plain loops over the predictions, comparisons, the cache."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import reference
from scipy.stats import skew
from small_results import GAMMAS, N_CLIPS, PROMPTS, UNSEEN, small_results

from zsar_lab.results import statistics
from zsar_lab.results.generalised import curve_of
from zsar_lab.results.predictions import KEY
from zsar_lab.results.summary import PARTS, Results, settings_as_text


@pytest.fixture(scope="module")
def table(results) -> pd.DataFrame:
    return results.table()


def right_of(results, row, role=None) -> list[list[tuple[str, bool, int]]]:
    """(class, right, rank) of each clip of each split, from the score matrices."""
    found = []
    for split in results.splits():
        key = {name: row[name] for name in KEY} | ({"role": role} if role else {})
        targets, names = split.targets(row["candidates"], role), split.names(row["candidates"])
        ranks = reference.truth_rank(split.scores(**key), targets)
        found.append([(names[t], rank == 1, rank) for t, rank in zip(targets, ranks)])
    return found


def test_every_row_by_a_plain_loop(results, table):
    for _, row in table.iterrows():
        splits, rows = right_of(results, row), results.rows(**row[list(KEY)])
        clips, by_class = [clip for split in splits for clip in split], {}
        for name, right, _ in clips:
            by_class.setdefault(name, []).append(right)
        shares = [np.mean([right for _, right, _ in split]) for split in splits]
        assert row["top1"] == pytest.approx(np.mean([right for _, right, _ in clips]))
        assert row["top5"] == pytest.approx(np.mean([rank <= 5 for *_, rank in clips]))
        assert row["mean_class"] == pytest.approx(np.mean([np.mean(of) for of in by_class.values()]))
        assert row["std"] == pytest.approx(np.std(shares)) and row["n_clips"] == len(clips)
        for quantity in ("top1", "mean_class"):
            ends = row[f"{quantity}_low"], row[f"{quantity}_high"]
            assert ends == statistics.interval(rows, quantity) and ends[0] <= row[quantity] <= ends[1] + 1e-9
    assert set(table["part"]) == set(PARTS)
    assert (table["seen_top1"] == 1).all()
    among_all = table["part"] == "generalised"
    assert (table.loc[~among_all, "chance"] == 1 / 12).all()
    assert (table.loc[~among_all, "upper_bound"] == 1).all()
    n_all = [len(split.names("all")) for split in results.splits()]
    assert (table.loc[among_all, "chance"] == np.mean([1 / n for n in n_all])).all()
    assert table.loc[among_all, "upper_bound"].isna().all()


def test_hubness_and_calibration_are_means_over_splits(results, table):
    row = table.set_index(["part", "method"]).loc[("methods", "transfer")]
    counts = [np.bincount(split.scores("transfer").argmax(1), minlength=12) for split in results.splits()]
    assert row["hubness_skewness"] == pytest.approx(np.mean([skew(n) for n in counts]))
    assert row["hubness_skewness_low"] < row["hubness_skewness"] < row["hubness_skewness_high"]
    likelihoods = []
    for split in results.splits():
        parts = np.exp(split.scores("transfer") / 0.5)
        own = (parts / parts.sum(1, keepdims=True))[np.arange(120), split.targets()]
        likelihoods.append(-np.log(own).mean())
    assert row["negative_log_likelihood"] == pytest.approx(np.mean(likelihoods))
    assert table.loc[table["part"] == "reductions", "aurc"].isna().all()


def test_seen_and_unseen_by_a_plain_loop(results, table):
    of_all = table[table["part"] == "generalised"].set_index("reduction")
    for _, row in of_all.assign(reduction=of_all.index).iterrows():
        s, u = (
            np.mean([right for split in right_of(results, row, role) for _, right, _ in split])
            for role in ("seen_test", "test")
        )
        assert (row["seen"], row["unseen"]) == pytest.approx((s, u))
        assert row["harmonic"] == pytest.approx(2 * s * u / (s + u))
        assert row["harmonic_low"] < row["harmonic"] < row["harmonic_high"]
        curves = [curve_of(split, "transfer") for split in results.splits()]
        assert row["ausuc"] == pytest.approx(np.mean([curve.area for curve in curves]))
        assert row["harmonic"] < row["harmonic_upper_bound"] + 0.01  # which is a mean over splits
    assert of_all.loc["calibrated_stacking", "unseen"] > of_all.loc["none", "unseen"]
    assert of_all["n_clips"].tolist() == [2 * 128] * 2


@pytest.mark.parametrize("quantity", ["top1", "mean_class"])
def test_comparisons_are_those_of_the_rows(results, quantity):
    found = results.against("direct", quantity=quantity).set_index("method")
    assert found.loc["direct", "compared_with":"min_detectable"].isna().all()
    others = [name for name in found.index if name != "direct"]
    pairs = [statistics.compare(results.rows(name), results.rows("direct"), quantity) for name in others]
    assert found.loc[others, "difference"].tolist() == [pair.difference for pair in pairs]
    assert found.loc[others, "difference_low"].tolist() == [pair.low for pair in pairs]
    assert found.loc[others, "p_holm"].tolist() == statistics.holm([pair.p for pair in pairs]).tolist()
    assert found.loc[others, "min_detectable"].tolist() == [pair.min_detectable for pair in pairs]


def test_prompts_are_compared_under_one_method_and_chosen_by_validation(results):
    found = results.against(part="prompts").set_index("prompt")
    assert list(found.index) == list(PROMPTS) and set(found["method"]) == {"transfer"}
    assert found.loc["description", "difference"] == pytest.approx(
        statistics.accuracy(results.rows("transfer"))
        - statistics.accuracy(results.rows("transfer", prompt="label"))
    )
    assert found["chosen_in"].to_dict() == {"description": [1], "label": [], "<b>$x_1$ & 5 %": [0]}
    assert pd.isna(found.loc["label", "p"]) and found.loc["<b>$x_1$ & 5 %", "claimed"]
    prompts = {name: PROMPTS[name] for name in ("description", "<b>$x_1$ & 5 %")}
    with pytest.raises(KeyError, match="label"):  # and the table compares these with nothing
        small_results((0,), prompts=prompts).against(part="prompts")
    other = results.against("description", part="prompts", method="ridge").set_index("prompt")
    assert set(other["method"]) == {"ridge"} and pd.isna(other.loc["description", "p"])


def test_reductions_are_compared_with_transfer_and_adjusted_by_setting(results, table):
    found = results.against(part="reductions")
    assert found["setting"].tolist() == ["inductive", "transductive"] and set(found["reduction"]) == {"csls"}
    assert found["p_holm"].tolist() == found["p"].tolist()  # one of each setting
    assert (found["difference"] > 0.1).all() and set(found["compared_with"]) == {"transfer"}
    of_table = table[table["part"] == "reductions"]
    assert of_table["p"].tolist() == found["p"].tolist()


def test_a_baseline_that_was_not_scored_is_refused(results):
    for wrong in ({"baseline": "no such"}, {"baseline": "no such", "part": "prompts"}, {"family": "no such"}):
        with pytest.raises(KeyError, match="no such"):
            results.against(**wrong)


def test_any_number_of_families_and_one_split_has_no_deviation(results):
    assert results.families == {"stratified": ("stratified-0", "stratified-1"), "random": ("stratified-2",)}
    beside = results.table("random")
    assert beside["std"].isna().all() and (beside["n_splits"] == 1).all()
    assert results.title("random") == "random" and results.chance("random") == 1 / len(UNSEEN)
    with pytest.raises(ValueError, match="none"):
        Results({"none": []})


def test_fingerprints_follow_what_they_are_of_and_nothing_else(results, table):
    prints = [name for name in table if name.startswith("fingerprint_")]
    assert table.loc[table["part"] != "generalised", prints].notna().all().all()
    one = results.splits()[0].find("transfer")

    def changed(other: Results) -> set[str]:
        mine, its = results.fingerprints(one), other.fingerprints(one)
        return {name for name in mine if mine[name] != its[name]}

    assert changed(small_results((0, 1))) == changed(small_results((1, 0))) == set()
    for name, change in (
        ("checkpoints", {"checkpoint": "d"}),
        ("method", {"k": 2}),
        ("encoder", {"encoder": "x"}),
    ):
        assert changed(small_results(**change)) == {name}
    assert table["fingerprint_class_text"].unique().tolist() == [f"print of {name}" for name in PROMPTS]


def test_a_table_is_made_once_and_then_read(results, tmp_path, monkeypatch):
    families = {"random": results.splits("random")}
    first = Results(families, results.data, cache=tmp_path).table()
    monkeypatch.setattr(Results, "_make_table", None)
    again = Results(families, results.data, cache=tmp_path).table()
    pd.testing.assert_frame_equal(again, first, check_dtype=False)
    with pytest.raises(TypeError):  # other data, another table
        Results(families, {"catalog": "other"}, cache=tmp_path).table()
    first["top1"] = 0  # a copy
    assert (Results(families, results.data, cache=tmp_path).table()["top1"] == again["top1"]).all()


def test_settings_for_reading():
    assert settings_as_text({"k": 5, "tau": 0.25, "relatedness": "centred"}) == "k 5, tau 0.25, centred"
    assert settings_as_text({"tau": 0.3, "penalty": 0.01}) == "tau 0.3 (edge of its grid), penalty 0.01"
    assert settings_as_text({"csls_k": 3}) == "csls k 3" and settings_as_text({}) == ""
    assert N_CLIPS == 10 and len(GAMMAS) == 2
