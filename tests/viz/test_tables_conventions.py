"""Conventions and ablation for reading: figures, tables and sentences have the numbers of the rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zsar_lab.results.ablation import JOINT, NEIGHBOURS, TEXT, WHOLE, WITHOUT, Ablation
from zsar_lab.results.conventions import CANDIDATES, CLIPS, ORDER, REFERENCE, SPLITS, ConventionTable
from zsar_lab.viz.figures.scores import ablation_differences, convention_dots
from zsar_lab.viz.tables import (
    ablation_table,
    claims_as_text,
    convention_table,
    conventions_as_text,
)

ODD = "<b>$x$ %{y}"


@pytest.fixture
def conventions() -> ConventionTable:
    rows = [
        (REFERENCE, "reference", 0.5, 10, 3),
        (CLIPS, "a third of the clips", 0.45, 10, 3),
        (SPLITS, "halves, 10 seeds", 0.75, 5, 30),
        (SPLITS, "one half", 0.8, 5, 1),
        (ORDER, "labels", 0.71, 5, 30),
        ("class text", ODD, 0.4, 10, 3),
        (CANDIDATES, "seen and unseen classes", 0.05, 40, 3),
    ]
    table = pd.DataFrame(rows, columns=["aspect", "name", "top1", "candidates", "n_splits"])
    table["scored"], table["clips"], table["chance"] = (
        "scored " + table["name"],
        300.0,
        1 / table["candidates"],
    )
    table["top1_low"], table["top1_high"] = table["top1"] - 0.1, table["top1"] + 0.2
    table["std"] = np.where(table["n_splits"] > 1, 0.05, np.nan)
    table["above_chance"] = (table["top1"] - table["chance"]) / (1 - table["chance"])
    table["difference"] = table["top1"] - 0.5
    return ConventionTable("transfer", table, {"transfer": 0.5, "match": 0.3}, ("views: none",))


@pytest.fixture
def ablation() -> Ablation:
    rows = [
        (WHOLE, "transfer", 0.0, np.nan, 3),
        (WITHOUT, "direct", -0.2, 0.01, 0),
        (NEIGHBOURS, "dense", 0.0, np.nan, 3),
        (NEIGHBOURS, "k = 1", 0.1, 0.04, 1),
        (TEXT, ODD, -0.05, 0.3, 0),
        (JOINT, "match", -0.3, 0.001, 0),
        (JOINT, "transfer + match", 0.02, 0.9, 0),
    ]
    table = pd.DataFrame(rows, columns=["aspect", "variant", "difference", "p_holm", "same_in"])
    table["top1"], table["p"], table["min_detectable"] = 0.5 + table["difference"], table["p_holm"], 0.08
    table["claimed"] = table["p_holm"] <= 0.05
    for column, width in (("top1", 0.2), ("difference", 0.1)):
        table[f"{column}_low"], table[f"{column}_high"] = table[column] - width, table[column] + width
    return Ablation(table, 900, 24, 3, 3)


def test_figures_show_every_row_letter_by_letter(conventions, ablation):
    for figure, n_rows in ((convention_dots(conventions), 7), (ablation_differences(ablation), 6)):
        drawn = [x for trace in figure.data if trace.error_x.array is not None for x in trace.x]
        assert len(drawn) == n_rows
        content = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert "<b>$x$" not in content and "&#36;x&#36;" in content


def test_the_tables_of_conventions_hold_one_decimal(conventions):
    shown = convention_table(conventions)
    assert shown.loc[(SPLITS, "halves, 10 seeds")].tolist() == [
        *("5", "300", "30", "20.0", "75.0", "[65.0, 95.0]", "5.0"),
        *("68.8", "+25.0"),  # (75 - 20) / 80
    ]
    assert shown.loc[(SPLITS, "one half"), "std"] == "" and shown.iloc[0]["difference"] == ""


def test_the_conventions_in_words(conventions):
    words = " ".join(conventions_as_text(conventions).split())
    assert words.count("- ") == 7 + 1 and "Not scored: views: none." in words
    assert "from 40.0 %" in words and "to 80.0 % (splits: one half; chance 20.0 %), by 40.0 points" in words
    assert "from 30.0 % (match) to 50.0 % (transfer)" in words and "it is 5.0 % (chance 2.5 %)" in words


def test_the_table_of_the_ablation_leaves_out_what_was_not_tested(ablation):
    shown = ablation_table(ablation)
    assert shown.loc[(WITHOUT, "direct")].tolist() == [
        *("30.0", "[10.0, 50.0]", "", "-20.0", "[-30.0, -10.0]", "0.01", "0.01", "8.0")
    ]
    assert shown.loc[(NEIGHBOURS, "k = 1"), "chosen in"] == "1 of 3 splits"
    for row in ((WHOLE, "transfer"), (NEIGHBOURS, "dense")):
        assert shown.loc[row, ["difference", "its interval", "p", "p (Holm)"]].tolist() == [""] * 4
    assert shown.loc[(NEIGHBOURS, "dense"), "chosen in"] == "3 of 3 splits"


def test_verdicts_with_their_rows_in_words(ablation):
    words = " ".join(claims_as_text(ablation).split())
    direct = "direct -20.0 points [-30.0, -10.0], Holm's p = 0.01, detectable 8.0"
    assert f"This holds in this reconstruction: {direct}." in words
    assert "Not tested: no such training was given" in words and "900 clips of 24 unseen classes" in words
    assert "This cannot be told from these splits: transfer + match +2.0 points" in words
    assert "Beside it, match -30.0 points [-40.0, -20.0], Holm's p <0.01" in words
