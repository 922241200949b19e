"""zsar_lab.viz.figures_conventions and figures_ablation: the numbers in the figures, tables and sentences are those of the rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from test_ablation import planted

from zsar_lab.results.ablation import JOINT, LOSSES, NEIGHBOURS, TEXT, WITHOUT, Ablation
from zsar_lab.results.conventions import (
    CANDIDATES,
    CLIPS,
    ORDER,
    REFERENCE,
    SPLITS,
    Convention,
    ConventionTable,
)
from zsar_lab.results.conventions import TEXT as CLASS_TEXT
from zsar_lab.viz.figures_ablation import CHOSEN, ablation_differences, ablation_table, claims_as_text
from zsar_lab.viz.figures_conventions import (
    convention_dots,
    convention_table,
    conventions_as_text,
    grouped,
    spread_table,
)

ODD = "<b>$x$ %{y}"


def convention(
    aspect: str, name: str, top1: float, candidates: float = 10.0, n_splits: int = 3
) -> Convention:
    ends, std = (top1 - 0.1, top1 + 0.2), 0.05 if n_splits > 1 else float("nan")
    return Convention(
        aspect,
        name,
        f"scored {name}",
        n_splits,
        candidates,
        300.0,
        1 / candidates,
        top1,
        std,
        ends,
        top1 - 0.5,
    )


@pytest.fixture
def table() -> ConventionTable:
    rows = (
        convention(REFERENCE, "reference", 0.5),
        convention(CLIPS, "a third of the clips", 0.45),
        convention(SPLITS, "halves, 10 seeds", 0.75, 5.0, 30),
        convention(SPLITS, "one half", 0.8, 5.0, 1),
        convention(ORDER, "labels", 0.71, 5.0, 30),
        convention(CLASS_TEXT, ODD, 0.4),
        convention(CANDIDATES, "seen and unseen classes", 0.05, 40.0),
    )
    return ConventionTable("transfer", rows, {"transfer": 0.5, "match": 0.3}, ())


@pytest.fixture
def ablation() -> Ablation:
    same = replace(
        planted(NEIGHBOURS, "dense", 0.0, None), same_in=3, difference_ci95=(0.0, 0.0), detectable=None
    )
    rows = (
        planted(WITHOUT, "direct", -0.2, 0.01),
        same,
        replace(planted(NEIGHBOURS, "k = 1", 0.1, 0.04), same_in=1),
        planted(TEXT, ODD, -0.05, 0.3),
        planted(JOINT, "match", -0.3, 0.001),
        planted(JOINT, "transfer + match", 0.02, 0.9),
    )
    return Ablation(planted("the whole system", "transfer", 0.0, None), rows, 900, 24, 3, ())


def test_names_stand_in_groups_below_their_headings():
    assert grouped(["a", "a", "<b>"], ["x", "y", "z"]) == (
        [1, 2, 4],
        ["<b>a</b>", "x", "y", "<b>&lt;b&gt;</b>", "z"],
    )
    assert grouped(["a"], [ODD], first="whole") == (
        [2],
        ["whole", "<b>a</b>", "&lt;b&gt;&#36;x&#36; %&#123;y}"],
    )


def test_dots_are_the_rows_at_their_places_with_their_chance(table):
    figure = convention_dots(table)
    same, other, chance = figure.data
    ticks = figure.layout.yaxis.ticktext
    assert (list(same.y), list(other.y)) == ([0, 2, 9], [4, 5, 7, 11]) and list(chance.y) == [
        0,
        2,
        4,
        5,
        7,
        9,
        11,
    ]
    assert list(same.x) == pytest.approx([50, 45, 40]) and list(other.x) == pytest.approx([75, 80, 71, 5])
    assert list(chance.x) == pytest.approx([10, 10, 20, 20, 20, 10, 2.5])
    assert (ticks[3], ticks[4]) == ("<b>splits</b>", "halves, 10 seeds") and len(ticks) == 12
    for trace in (same, other):
        assert list(np.subtract(trace.x, trace.error_x.arrayminus)) == pytest.approx(
            [x - 10 for x in trace.x]
        )
        assert list(np.add(trace.x, trace.error_x.array)) == pytest.approx([x + 20 for x in trace.x])
    assert same.marker.symbol != other.marker.symbol and figure.layout.shapes[0].x0 == pytest.approx(50)
    assert (
        "scored halves, 10 seeds" in other.customdata[0][2]
        and "std over 30 splits 5.0" in other.customdata[0][2]
    )
    assert "std" not in other.customdata[1][2] and "+25.0 points to the reference" in other.customdata[0][2]


def test_figures_show_names_letter_by_letter_and_read_in_dark_themes(table, ablation):
    for figure in (convention_dots(table), ablation_differences(ablation)):
        content = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert "<b>$x$" not in content and "$x$" not in content and "&#36;x&#36;" in content
        assert figure.layout.paper_bgcolor == "rgba(0, 0, 0, 0)" and figure.layout.font.color == "#808080"


def test_the_tables_of_conventions_hold_one_decimal(table):
    shown = convention_table(table)
    row = shown.loc[(SPLITS, "halves, 10 seeds")]
    assert (row["candidates"], row["splits"], row["chance_%"], row["top1_%"], row["std"]) == (
        "5",
        "30",
        "20.0",
        "75.0",
        "5.0",
    )
    assert (row["interval"], row["above chance_%"], row["difference"]) == (
        "[65.0, 95.0]",
        "68.8",
        "+25.0",
    )  # (75 - 20) / 80
    assert shown.loc[(SPLITS, "one half"), "std"] == "" and shown.iloc[0]["difference"] == ""
    words = conventions_as_text(table)
    assert len([line for line in words.splitlines() if line.startswith("- ")]) == len(table.rows) + len(
        table.left_out
    )
    assert (
        "- splits, halves, 10 seeds: scored halves, 10 seeds." in words
        and words.endswith(words.split("\n\n")[1])
        and "conventions alone move" in words
    )
    spreads = spread_table(table)
    assert spreads.loc[CLIPS].tolist() == ["45.0 (a third of the clips)", "50.0 (reference)", "5.0", "5.6"]
    assert spreads.loc[ORDER].tolist() == ["71.0 (labels)", "75.0 (halves, 10 seeds)", "4.0", "5.0"]
    assert (
        spreads.loc["the whole table", "apart"] == "75.0"
        and spreads.loc["all with unseen candidates alone", "apart"] == "40.0"
    )


def test_differences_are_filled_where_they_can_be_claimed(ablation):
    figure = ablation_differences(ablation)
    claimed, unclaimed, chosen = figure.data
    assert (
        list(claimed.x) == pytest.approx([-20, 10, -30])
        and list(unclaimed.x) == pytest.approx([-5, 2])
        and list(chosen.x) == [0]
    )
    assert (list(claimed.y), list(unclaimed.y), list(chosen.y)) == ([1, 4, 8], [6, 9], [3])
    assert (
        claimed.marker.symbol == "circle"
        and unclaimed.marker.symbol == "circle-open"
        and chosen.name == CHOSEN
    )
    assert list(np.subtract(claimed.x, claimed.error_x.arrayminus)) == pytest.approx([-30, 0, -40])
    assert (
        "validation chose it in 1 of 3 splits" in claimed.customdata[1][2]
        and "8.0 points would be found" in claimed.customdata[0][2]
    )
    assert "the whole system: 50.0 %" in figure.layout.title.text and figure.layout.shapes[0].x0 == 0


def test_the_table_of_the_ablation_says_nothing_where_nothing_is_compared(ablation):
    shown = ablation_table(ablation)
    assert (
        list(shown.index)[0] == ("the whole system", "transfer")
        and (shown.iloc[0][["difference", "p", "p (Holm)", "detectable"]] == "").all()
    )
    same, k = shown.loc[(NEIGHBOURS, "dense")], shown.loc[(NEIGHBOURS, "k = 1")]
    assert (same["chosen in"], same["difference"], same["top1_%"]) == ("3 of 3 splits", "", "50.0")
    assert (k["chosen in"], k["difference"], k["its interval"]) == ("1 of 3 splits", "+10.0", "[+0.0, +20.0]")
    assert (k["p (Holm)"], k["detectable"]) == ("0.04", "8.0")


def test_claims_are_told_with_their_verdicts_and_numbers(ablation):
    words = " ".join(claims_as_text(ablation).split())
    assert "Supported: direct -20.0 points [-30.0, -10.0], Holm's p = 0.01, detectable 8.0." in words
    assert "should cost. Not tested: no such training was given." in words
    assert (
        "Cannot be told from these splits: transfer + match +2.0 points" in words
        and "Beside it, match -30.0 points" in words
    )
    assert "24 different classes" in words and "24 different" not in claims_as_text(
        replace(ablation, n_classes=101)
    )
    trained = replace(ablation, rows=(*ablation.rows, planted(LOSSES, "no alignment", 0.1, 0.01)))
    assert "Contradicted: no alignment +10.0 points" in " ".join(claims_as_text(trained).split())
