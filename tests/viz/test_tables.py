"""zsar_lab.viz.tables and tables_data: what is written is what was scored, rounded."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from seven_classes import IMAGE, LABELS, PROTOCOL, SCRIPT

from zsar_lab.protocols.leakage import audit
from zsar_lab.viz import tables, tables_data

TRAIN = ("bowling", "swimming front crawl", "throwing discus", "jog", "<b>knit</b> %{x} $a$")
TEST = ("Bowling", "FrontCrawl", "DiscusThrow", "run")


@pytest.fixture
def found():
    degrees_train, degrees_test = np.radians([0, 50, 98, 210, 300]), np.radians([0, 30, 90, 185])
    embeddings = [np.stack([np.cos(angles), np.sin(angles)], 1) for angles in (degrees_train, degrees_test)]
    names = (pd.DataFrame({"name": group}) for group in (TRAIN, TEST))
    return audit(*names, tuple(embeddings), "print")


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
    compared = results.compare().set_index("method").loc["direct"]
    text = " ".join(tables.differences_as_text(results).split())
    claim = "direct is better" if compared["claimed"] else "no difference can be claimed"
    ends = f"[{100 * compared['difference_low']:+.1f}, {100 * compared['difference_high']:+.1f}]"
    assert f"difference to transfer +58.3 points {ends}, Holm's p" in text and f": {claim}." in text
    assert "- transfer 41.7 %" in text and "what the others are compared with" in text
    assert tables.differences_as_text(results, only=["direct"]).count("\n- ") == 1


def test_prompts_are_told_with_the_score_of_validations_choice(results):
    text = " ".join(tables.differences_as_text(results, "prompts").split())
    assert "- names (label) 41.7 %" in text and "- descriptions (description) 41.7 %" in text
    assert "description in 2 of 2 splits. Chosen so, top-1 is 41.7 %." in text
    with pytest.raises(KeyError, match="names"):
        tables.differences_as_text(results, "prompts", "names")


# one split


@pytest.mark.parametrize("guess", ["composed", "unseen_text"])
def test_prototypes_by_the_cosines(predictions, guess):
    table = tables_data.prototype_table(predictions, guess).set_index("class")
    cosine = predictions.prototypes(guess) @ predictions.prototypes("true").T
    assert table.loc["A", "own"] == pytest.approx(cosine[0, 0], abs=1e-3)
    assert table.loc["A", "others_mean"] == pytest.approx(cosine[0, 1:].mean(), abs=1e-3)
    assert table.loc["C", "own_rank"] == 1 + int((cosine[2, :2] > cosine[2, 2]).sum())


def test_hubs_by_class_and_by_name(catalog, predictions):
    table = tables_data.hub_table(predictions, catalog)
    assert table["N_1"].tolist() == [10, 1, 1] and table.index[0] == SCRIPT
    assert table[""].tolist() == ["hub", "", ""] and table["top1_%"].tolist() == ["100.0", "25.0", "0.0"]
    named = tables_data.hubs_by_name(predictions, catalog)
    assert named.index.tolist() == ["direct", "transfer", "+ CSLS", "+ CSLS"]
    row = named.loc["transfer"]
    assert row["most predicted (N_1)"] == f"{SCRIPT} (10, hub)" and row["N_1 expected"] == "4.0"
    assert row["least predicted (N_1)"] == f"{LABELS['C']} (1)" and row["top1_%"] == "41.7"
    assert named["setting"].tolist() == ["inductive"] * 3 + ["transductive"]


# data and protocols


def test_protocols_count_classes_and_clips(catalog):
    row = tables_data.protocol_table({"stratified-0": PROTOCOL}).loc["stratified-0"]
    assert row.tolist()[:7] == [2, 2, 3, 6, 2, 8, 12]
    held_out = tables_data.held_out_classes(
        {"a": PROTOCOL, "b": dataclasses.replace(PROTOCOL, unseen=("A", "C"))}, catalog
    )
    assert held_out["a"].tolist() == [SCRIPT, IMAGE, LABELS["C"], "wave", "nod"]
    assert held_out["b"].tolist() == [IMAGE, LABELS["C"], "", "wave", "nod"]


def test_a_reason_is_shown_whole_and_never_as_markup(catalog):
    reason = "<img src=x onerror=alert(1)> " + "long " * 60
    clips = catalog.clips.copy()
    clips.loc[clips["status"] == "unreadable", "reason"] = reason
    page = tables_data.left_out_table(dataclasses.replace(catalog, clips=clips)).to_html()
    assert "<img" not in page and "&lt;img" in page and page.count("long ") >= 60
    assert "1 clips and files" in page and "A/bad.mp4" in page and "A/0.mp4" not in page


def test_of_many_left_out_each_status_is_shown(catalog):
    clips = pd.concat([catalog.clips.assign(status="missing", reason="no file"), catalog.clips.tail(1)])
    clips.iloc[-1, clips.columns.get_indexer(["status", "reason"])] = "unreadable", "it is empty"
    page = tables_data.left_out_table(dataclasses.replace(catalog, clips=clips), most=20).to_html()
    assert "30 clips and files, 11 of them shown" in page and "it is empty" in page
    nothing = dataclasses.replace(catalog, clips=catalog.clips[catalog.clips["status"] == "ok"])
    assert "0 clips and files" in tables_data.left_out_table(nothing).to_html()


def test_reasons_are_counted_by_protocol():
    reasons = ["", "missing: no file a", "missing: no file b", "its class takes no part"]
    first = pd.DataFrame({"role": ["test", *["left out"] * 3], "reason": reasons})
    second = pd.DataFrame({"role": ["test"] * 4, "reason": [""] * 4})
    counted = tables_data.left_out_reasons({"half-0": first, "all": second}).to_dict()
    assert counted["half-0"] == {"its class takes no part": 1, "missing": 2}
    assert counted["all"] == {"its class takes no part": 0, "missing": 0}


def test_the_leakage_table_lists_what_overlaps_and_what_is_removed(found):
    table = tables_data.leakage_table(found, 0.2)
    assert list(table.columns) == ["training class", "test class", "rule", "distance", "removed"]
    rows = table.drop(columns="distance").values.tolist()
    assert rows[0] == ["bowling", "bowling", "exact", "yes"]
    for row in (
        ["throwing discus", "discus throw", "normalised", "yes"],
        ["jog", "run", "embedding", "yes"],
        ["swimming front crawl", "front crawl", "contained", "yes"],
    ):
        assert row in rows
    assert rows == sorted(rows, key=lambda row: row[3] == "no")
    by_name = tables_data.leakage_table(found).set_index("rule")["removed"].to_dict()
    assert by_name == {"exact": "yes", "normalised": "yes", "contained": "no"}


def test_a_leakage_table_without_embeddings_has_no_distances():
    found = audit(pd.DataFrame({"name": TRAIN}), pd.DataFrame({"name": TEST}))
    assert list(tables_data.leakage_table(found).columns) == [
        "training class",
        "test class",
        "rule",
        "removed",
    ]
    assert tables_data.leakage_table(
        audit(pd.DataFrame({"name": ["a"]}), pd.DataFrame({"name": ["b"]}))
    ).empty


def test_flags_are_sentences_under_their_share():
    flags = pd.DataFrame({"name": ["a", "a", "b"], "sentence": ["a is far", "a is b", "b is a"]})
    text = "2 of 40 class texts flagged (5.0 %):\n- a: a is far.\n- a: a is b.\n- b: b is a."
    assert tables_data.flags_as_text(flags, 40) == text
    assert tables_data.flags_as_text(flags[:0], 40) == "0 of 40 class texts flagged (0.0 %)."
