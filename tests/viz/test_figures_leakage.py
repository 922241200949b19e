"""zsar_lab.viz: the figures and the table of a leakage audit hold the audit's numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from zsar_lab.protocols.leakage import RULES, LeakageAudit, audit
from zsar_lab.viz.figures_leakage import RULE_LOOKS, nearest_pairs, removed_curve
from zsar_lab.viz.tables_leakage import leakage_table

TRAIN = ("bowling", "swimming front crawl", "throwing discus", "jog", "<b>knit</b> %{x} $a$")
TEST = ("Bowling", "FrontCrawl", "DiscusThrow", "run")


@pytest.fixture
def found() -> LeakageAudit:
    degrees_train, degrees_test = np.radians([0, 50, 98, 210, 300]), np.radians([0, 30, 90, 185])
    embeddings = [np.stack([np.cos(angles), np.sin(angles)], 1) for angles in (degrees_train, degrees_test)]
    return audit(
        pd.DataFrame({"name": TRAIN}), pd.DataFrame({"name": TEST}), (embeddings[0], embeddings[1]), "print"
    )


def test_the_fixture_has_every_rule(found):
    assert set(found.pairs["rule"]) == set(RULES)


def test_the_curves_are_the_audits(found):
    figure = removed_curve(found, 0.05)
    for trace, rules in zip(figure.data[:2], (("exact", "normalised"), ())):
        curve = found.curve(rules)
        assert list(trace.x) == curve["threshold"].tolist() and list(trace.y) == curve["n_removed"].tolist()
        # the step up comes just after a distance, which itself is not under it
        assert trace.line.shape == "vh"
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 0.05
    chosen = [len(found.removed(0.05)), len(found.removed(0.05, ()))]
    assert list(figure.data[2].x) == [0.05, 0.05] and list(figure.data[2].y) == chosen
    assert (
        f"threshold 0.05: {chosen[0]} removed<br>({chosen[1]} by distance alone)"
        == figure.layout.annotations[0].text
    )


def test_no_threshold_splits_no_line(found):
    figure = removed_curve(found)
    assert len(figure.data) == 2 and not figure.layout.shapes and not figure.layout.annotations
    assert removed_curve(found, 1.5).layout.xaxis.range[1] == 1.5


def test_the_bars_are_the_nearest_pairs(found):
    table = found.nearest(8, RULES)
    figure = nearest_pairs(found, 8, RULES)
    bars = [trace for trace in figure.data if trace.type == "bar"]
    shown = sorted((y, x, bar.legendgroup) for bar in bars for x, y in zip(bar.x, bar.y))
    assert shown == [(i, row.distance, row.rule) for i, row in enumerate(table.itertuples())]
    for dots in figure.data[1::2]:
        bar = next(bar for bar in bars if bar.legendgroup == dots.legendgroup)
        assert (dots.x, dots.y) == (bar.x, bar.y) and dots.marker.color == bar.marker.color
    assert figure.layout.yaxis.ticktext[0] == "bowling ~ bowling"


def test_equal_names_are_left_out_and_said_so(found):
    figure = nearest_pairs(found, 50)
    assert "exact" not in {trace.legendgroup for trace in figure.data}
    assert "pairs of equal names, not shown: 1" in figure.layout.title.text
    assert "not shown" not in nearest_pairs(found, 50, RULES).layout.title.text


def test_rules_differ_without_colour_and_names_are_plain_text(found):
    looks = list(RULE_LOOKS.values())
    assert all(len({look[part] for look in looks}) == len(RULES) for part in range(3))
    text = nearest_pairs(found, 50).to_json()
    assert "<b>knit" not in text and "\\u003cb\\u003eknit" not in text and "%{x} $a$" not in text


def test_the_table_lists_what_overlaps_and_what_is_removed(found):
    table = leakage_table(found, 0.2)
    assert list(table.columns) == ["training class", "test class", "rule", "distance", "removed"]
    rows = table.drop(columns="distance").values.tolist()
    assert rows[0] == ["bowling", "bowling", "exact", "yes"]
    assert ["throwing discus", "discus throw", "normalised", "yes"] in rows and [
        "jog",
        "run",
        "embedding",
        "yes",
    ] in rows
    assert ["swimming front crawl", "front crawl", "contained", "yes"] in rows
    assert rows == sorted(rows, key=lambda row: row[3] == "no")
    names_only = leakage_table(found)
    assert set(names_only["rule"]) == {"exact", "normalised", "contained"}
    assert names_only.set_index("rule")["removed"].to_dict() == {
        "exact": "yes",
        "normalised": "yes",
        "contained": "no",
    }


def test_the_table_without_embeddings_has_no_distances():
    found = audit(pd.DataFrame({"name": TRAIN}), pd.DataFrame({"name": TEST}))
    assert list(leakage_table(found).columns) == ["training class", "test class", "rule", "removed"]
    assert leakage_table(audit(pd.DataFrame({"name": ["a"]}), pd.DataFrame({"name": ["b"]}))).empty
