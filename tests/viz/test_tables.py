"""zsar_lab.viz.tables, and tables of data and space: what is written is what was scored, rounded."""

from __future__ import annotations

import pandas as pd
import pytest
from seven_classes import SCRIPT

from zsar_lab.viz import tables
from zsar_lab.viz.figures import space

# scores


@pytest.mark.parametrize(
    ("kind", "row", "column", "text"),
    [
        ("methods", "transfer", "top1_%", "41.7"),
        ("methods", "transfer", "N1_skewness", "0.71"),
        ("methods", "transfer", "difference", ""),
        ("methods", "direct", "difference", "+58.3"),
        ("methods", "chance", "top1_%", "33.3"),
        ("methods", "chance", "top5_%", ""),
        ("prompts", "label", "chosen in", "0 of 2 splits"),
        ("prompts", "description", "chosen in", "2 of 2 splits"),
        ("prompts", "label", "p (Holm)", ""),
        ("reductions", "transfer", "difference", ""),
        ("generalised", "transfer", "S_%", "100.0"),
        ("generalised", "transfer", "U_%", "33.3"),
        ("generalised", "transfer", "H_%", "50.0"),
        ("confidence", "transfer", "error_%", "58.3"),
        ("hubness", "direct", "Gini", "0.00 [0.00, 0.00]"),
    ],
)
def test_tables_hold_the_numbers_as_text(results, kind, row, column, text):
    table = tables.score_table(results, kind)
    assert table.loc[row, column] == text
    assert not table.isna().any(axis=None) and not table.isin(["nan", "None"]).any(axis=None)


@pytest.mark.parametrize("kind", list(tables.TABLES))
def test_intervals_and_differences_are_those_of_the_results(results, kind):
    part, shown = results.part(tables.TABLES[kind][0]), tables.score_table(results, kind)
    rows = part[part["method"] == "direct"] if kind in ("methods", "hubness", "confidence") else part
    row = rows.iloc[-1]
    text = shown.loc[row["prompt"] if kind == "prompts" else row["label"]]
    text = text.iloc[-1] if isinstance(text, pd.DataFrame) else text
    if "interval" in text:
        assert text["interval"] == f"[{100 * row['top1_low']:.1f}, {100 * row['top1_high']:.1f}]"
    if text.get("difference"):
        ends = 100 * row["difference_low"], 100 * row["difference_high"]
        assert text["its interval"] == "[{:+.1f}, {:+.1f}]".format(*ends)
    with pytest.raises(KeyError):
        tables.score_table(results, "odd")


def test_settings_by_split(results):
    assert tables.settings_table(results).loc["transfer"].to_dict() == {"split 0": "k 1", "split 1": "k 1"}


def test_the_report_as_text_names_protocol_counts_and_both_tables(results):
    text = tables.report_as_text(results)
    assert "24 test clips, 2 seen, 2 validation, 3 unseen classes a split" in text
    assert tables.score_table(results).to_string() in text
    assert text.endswith(tables.score_table(results, "generalised").to_string())


def test_a_sentence_claims_what_its_p_allows(results):
    compared = results.against().set_index("method").loc["direct"]
    text = " ".join(tables.differences_as_text(results).split())
    claim = "direct is better" if compared["claimed"] else "no difference can be claimed"
    ends = f"[{100 * compared['difference_low']:+.1f}, {100 * compared['difference_high']:+.1f}]"
    assert f"difference to transfer +58.3 points {ends}, Holm's p" in text and f": {claim}." in text
    assert "- transfer 41.7 %" in text and "what the others are compared with" in text


def test_prompts_are_told_with_the_score_of_validations_choice(results):
    text = " ".join(tables.differences_as_text(results, "prompts").split())
    assert "- label 41.7 %" in text and "- description 41.7 %" in text
    assert "description in 2 of 2 splits. Chosen so, top-1 is 41.7 %." in text
    with pytest.raises(KeyError, match="names"):
        tables.differences_as_text(results, "prompts", "names")


# one split


@pytest.mark.parametrize("guess", ["composed", "unseen_text"])
def test_prototypes_by_the_cosines(predictions, guess):
    table = space.prototype_table(predictions, guess).set_index("class")
    cosine = predictions.prototypes(guess) @ predictions.prototypes("true").T
    assert table.loc["A", "own"] == pytest.approx(cosine[0, 0], abs=1e-3)
    assert table.loc["A", "others_mean"] == pytest.approx(cosine[0, 1:].mean(), abs=1e-3)
    assert table.loc["C", "own_rank"] == 1 + int((cosine[2, :2] > cosine[2, 2]).sum())


def test_hubs_by_class_and_by_name(catalog, predictions):
    table = tables.hub_table(predictions, catalog)
    assert table["N_1"].tolist() == [10, 1, 1] and table.index[0] == SCRIPT
    assert table[""].tolist() == ["hub", "", ""] and table["top1_%"].tolist() == ["100.0", "25.0", "0.0"]
    reduced = tables.hub_table(predictions, catalog, reduction="csls", setting="transductive")
    assert reduced["N_1"].tolist() == [4, 4, 4]
