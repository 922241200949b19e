"""viz/figures/data: clips by class, status and role, leakage, and relatedness of class texts, as drawn."""

from __future__ import annotations

import dataclasses
import html
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from seven_classes import IMAGE, LABELS, PROTOCOL, SCRIPT

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.protocols.leakage import LeakageAudit, audit
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.lint import cluster_order
from zsar_lab.text.prompts import ClassText
from zsar_lab.text.relatedness import KINDS, Relatedness
from zsar_lab.viz.figures import data
from zsar_lab.viz.figures.data import class_overview, relatedness_heatmap, removed_curve
from zsar_lab.viz.figures.style import CLEAR, GREY

STATUS_OF = ["ok", "ok", "ok", "missing", "missing", "unreadable", "excluded", "not listed", "not a video"]
CLASS_OF = ["a", "a", "b", "a", "b", "b", "a", "<elsewhere>", "a"]
TRAIN = ("bowling", "swimming front crawl", "throwing discus", "jog", "<b>knit</b> %{x} $a$")
TEST = ("Bowling", "FrontCrawl", "DiscusThrow", "run")
HOSTILE = ("<script>alert(1)</script>", "a & b", "{x}", "%{y}", "$x^2$", "<b>bold</b>", "long " * 9, "run")


@pytest.fixture
def statuses() -> Catalog:
    rows = []
    for n, (name, status) in enumerate(zip(CLASS_OF, STATUS_OF, strict=True)):
        reason = "" if status == "ok" else "why"
        place = (f"{name}/{n}", f"{n}.avi", name, "", "", 0.0, 2.0)
        rows.append((*place, 50, 25.0, 64, 48, False, status, reason, ""))
    classes = pd.DataFrame({"name": ["a", "b", "c"], "label": ["aa", "bb", "cc"]})
    return Catalog("ucf101", Path("nowhere"), pd.DataFrame(rows, columns=CLIP_COLUMNS), classes)


def bars(figure) -> dict[str, list[int]]:
    return {trace.name: list(trace.x) for trace in figure.data}


def test_the_overview_stacks_every_status_by_class(statuses):
    figure = class_overview(statuses)
    drawn = bars(figure)
    assert drawn == {
        "usable clips": [0, 2, 1, 0],
        "missing (2)": [0, 1, 1, 0],
        "unreadable (1)": [0, 0, 1, 0],
        "excluded (1)": [0, 1, 0, 0],
        "not listed (1)": [1, 0, 0, 0],
        "not a video (1)": [0, 1, 0, 0],
    }
    assert list(figure.layout.yaxis.ticktext) == ["(no class of the dataset)", "aa", "bb", "cc"]
    assert sum(sum(counts) for counts in drawn.values()) == len(statuses.clips)
    assert len({(trace.marker.color, trace.marker.pattern.shape) for trace in figure.data}) == 6
    about = (
        "ucf101, 9 clips and files: 3 ok, 2 missing, 1 unreadable, 1 excluded, 1 not listed, 1 not a video"
    )
    assert about in figure.layout.title.text


def test_a_second_round_of_colours_is_striped_but_keeps_its_colour(statuses):
    names = [f"c{n:02}" for n in range(9)]
    classes = pd.DataFrame({"name": names, "label": names, "family": names})
    figure = class_overview(Catalog("x", statuses.root, statuses.clips, classes))
    looks = {trace.name: trace.marker for trace in figure.data}
    assert looks["c07"].color == looks["c00"].color and looks["c07"].pattern.shape == "/"
    assert looks["c07"].pattern.fillmode == "overlay"


def test_families_have_colours_of_their_own_and_stand_together(statuses):
    classes = statuses.classes.assign(family=["z", "y", "z"])
    figure = class_overview(Catalog("x", statuses.root, statuses.clips, classes))
    assert {trace.name: list(trace.y) for trace in figure.data[:3]} == {
        "usable clips": [0],
        "y": [1],
        "z": [2, 3],
    }
    assert list(figure.layout.yaxis.ticktext)[1:] == ["bb", "aa", "cc"]


def test_a_great_many_classes_stay_on_a_page(statuses):
    names = [f"class {n:03}" for n in range(700)]
    classes = pd.DataFrame({"name": names, "label": names})
    many = Catalog("kinetics700", statuses.root, statuses.clips, classes)
    figure = class_overview(many)
    assert figure.layout.height < 5500 and figure.layout.yaxis.showticklabels is False
    assert "class 005: 0 clips, 0.0 s" in figure.data[0].customdata


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"])
def test_a_page_holds_no_markup_of_the_data(statuses, hostile):
    classes = pd.DataFrame({"name": ["a", "b", "c"], "label": [hostile] * 3, "family": [hostile] * 3})
    odd = Catalog(hostile, statuses.root, statuses.clips, classes)
    page = class_overview(odd).to_html(include_plotlyjs=False, full_html=False)
    for mark in ("<img", "\\u003cimg", "<script>alert", "\\u003cscript", "\\u003c\\u002fscript"):
        assert mark not in page, mark
    assert "alert(1)" in page  # as text


# leakage


@pytest.fixture
def found() -> LeakageAudit:
    degrees_train, degrees_test = np.radians([0, 50, 98, 210, 300]), np.radians([0, 30, 90, 185])
    embeddings = [np.stack([np.cos(angles), np.sin(angles)], 1) for angles in (degrees_train, degrees_test)]
    names = (pd.DataFrame({"name": group}) for group in (TRAIN, TEST))
    return audit(*names, tuple(embeddings), "print")


def test_the_curves_are_the_audits(found):
    figure = removed_curve(found, 0.05)
    for trace, rules in zip(figure.data[:2], (("exact", "normalised"), ())):
        curve = found.curve(rules)
        assert list(trace.x) == curve["threshold"].tolist() and list(trace.y) == curve["n_removed"].tolist()
        # the step up comes just after a distance, which itself is not under it
        assert trace.line.shape == "vh"
    assert figure.layout.shapes[0].x0 == figure.layout.shapes[0].x1 == 0.05
    chosen = [len(found.removed(0.05)), len(found.removed(0.05, ()))]
    words = f"threshold 0.05: {chosen[0]} removed<br>({chosen[1]} by distance alone)"
    assert figure.layout.annotations[0].text == words


def test_no_threshold_draws_no_line(found):
    figure = removed_curve(found)
    assert len(figure.data) == 2 and not figure.layout.shapes and not figure.layout.annotations
    assert removed_curve(found, 1.5).layout.xaxis.range[1] == 1.5


# class texts


def made(vectors: np.ndarray, prompt: str = "made") -> ClassEmbeddings:
    """Embeddings with these rows, made unit, of classes c0, c1, ..."""
    rows = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    names = tuple(f"c{number}" for number in range(len(rows)))
    words, mask = np.zeros((len(rows), 1, 2), np.float32), np.ones((len(rows), 1), bool)
    return ClassEmbeddings(ClassText(prompt, names, names), "encoder", rows.astype(np.float32), words, mask)


@pytest.fixture(scope="module")
def texts() -> ClassEmbeddings:
    return made(np.random.default_rng(0).normal(size=(12, 6)) + 0.5)


def labels_for(embeddings: ClassEmbeddings) -> dict[str, str]:
    return {name: f"label {name}" for name in embeddings.names}


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_relatedness_in_the_order_of_clusters(texts, kind):
    figure = relatedness_heatmap(texts, labels_for(texts), kind)
    trace, text_CF = figure.data[0], texts.pooled_CF.astype(float)
    related = Relatedness.fit(text_CF, kind).between(text_CF, text_CF)
    order = [texts.names.index(text.removeprefix("label ")) for text in trace.x]
    assert trace.x == trace.y and sorted(order) == list(range(12))
    np.testing.assert_allclose(trace.z, related[np.ix_(order, order)], atol=0.0005 + 1e-9)
    assert order == cluster_order(related).tolist()
    # zero in the middle and clear; the ends are symmetric, and one pair in 200 lies beyond
    pairs = np.sort(np.abs(related[np.triu_indices(len(order), 1)]))
    assert trace.zmin == -trace.zmax and pairs[-2] <= trace.zmax + 0.0005 and trace.zmax <= pairs[-1] + 0.0005
    assert [colour.split(",")[-1] for place, colour in trace.colorscale if place == 0.5] == [" 0)", " 0)"]


def test_names_are_shown_letter_by_letter_in_both_themes():
    embeddings = made(np.random.default_rng(2).normal(size=(len(HOSTILE), 5)), "<i>odd</i>")
    figure = relatedness_heatmap(embeddings, dict(zip(embeddings.names, HOSTILE)))
    trace, axis = figure.data[0], figure.layout.xaxis
    assert {html.unescape(name) for name in trace.x} == set(HOSTILE)
    assert axis.tickvals == trace.x and max(len(html.unescape(name)) for name in axis.ticktext) <= 28
    about = figure.layout.title.text.split("<br>")[1].split(">", 1)[1]
    shown = [*trace.x, *axis.ticktext, *figure.layout.yaxis.ticktext, about]
    assert not [name for name in shown for mark in ("<script", "<b>", "<i>", "%{", "$") if mark in name]
    assert figure.layout.paper_bgcolor == CLEAR and axis.color == GREY


def test_many_classes_are_shown_without_ticks_in_a_few_bytes_a_cell():
    embeddings = made(np.random.default_rng(0).normal(size=(150, 32)))
    figure = relatedness_heatmap(embeddings, labels_for(embeddings))
    assert not figure.layout.xaxis.showticklabels and not figure.layout.yaxis.showticklabels
    assert figure.layout.height <= 1100 and len(figure.to_json()) < 8 * 150**2  # 4 MB for 700 classes


def test_what_cannot_be_drawn_is_refused(texts):
    with pytest.raises(ValueError, match="got 1"):
        relatedness_heatmap(made(np.ones((1, 2))), {"c0": "x"})
    with pytest.raises(ValueError, match="relatedness must be one of"):
        relatedness_heatmap(texts, labels_for(texts), kind="odd")
    assert len(relatedness_heatmap(made(np.eye(2)), {"c0": "x", "c1": "y"}).data[0].z) == 2


# tables


def test_protocols_count_classes_clips_and_what_is_left_out(catalog):
    other = dataclasses.replace(PROTOCOL, unseen=("A", "C"))
    reasons = ["", "missing: no file a", "missing: no file b", "its class takes no part"]
    roles = ["test", *["left out"] * 3]
    accounts = {"a": pd.DataFrame({"role": roles, "reason": reasons})}
    accounts["b"] = pd.DataFrame({"role": ["test"] * 4, "reason": [""] * 4})
    table = data.protocol_table({"a": PROTOCOL, "b": other}, accounts)
    counts = {"seen classes": 2, "validation classes": 2, "unseen classes": 3}
    counts |= {"train clips": 6, "seen test clips": 2, "validation clips": 8, "test clips": 12}
    left_out = {"left out: missing": 2, "left out: its class takes no part": 1}
    assert table["a"].to_dict() == counts | left_out | {"hash": PROTOCOL.hash}
    assert table.loc["left out: missing", "b"] == 0 and table.loc["unseen classes", "b"] == 2
    held_out = data.held_out_classes({"a": PROTOCOL, "b": other}, catalog)
    assert held_out["a"].tolist() == [SCRIPT, IMAGE, LABELS["C"], "wave", "nod"]
    assert held_out["b"].tolist() == [IMAGE, LABELS["C"], "", "wave", "nod"]


def test_a_relative_is_a_seen_class_of_the_same_family(catalog):
    assert data.share_with_relatives({"split 0": PROTOCOL}, catalog) == {"split 0": 1.0}
    families = catalog.classes.assign(family=["x", "one", "x", "one", "one", "x", "x"])  # of A, B, C, S1, ...
    other = dataclasses.replace(catalog, classes=families)
    assert data.share_with_relatives({"a": PROTOCOL}, other) == {"a": pytest.approx(1 / 3)}
    without = dataclasses.replace(catalog, classes=catalog.classes.drop(columns="family"))
    assert data.share_with_relatives({"split 0": PROTOCOL}, without) == {}


def test_a_reason_is_shown_whole_and_never_as_markup(catalog):
    reason = "<img src=x onerror=alert(1)> " + "long " * 60
    clips = catalog.clips.copy()
    clips.loc[clips["status"] == "unreadable", "reason"] = reason
    page = data.left_out_table(dataclasses.replace(catalog, clips=clips)).to_html()
    assert "<img" not in page and "&lt;img" in page and page.count("long ") >= 60
    assert "1 clips and files" in page and "A/bad.mp4" in page and "A/0.mp4" not in page


def test_of_many_left_out_each_status_is_shown(catalog):
    clips = pd.concat([catalog.clips.assign(status="missing", reason="no file"), catalog.clips.tail(1)])
    clips.iloc[-1, clips.columns.get_indexer(["status", "reason"])] = "unreadable", "it is empty"
    page = data.left_out_table(dataclasses.replace(catalog, clips=clips), most=20).to_html()
    assert "30 clips and files, 11 of them shown" in page and "it is empty" in page
    nothing = dataclasses.replace(catalog, clips=catalog.clips[catalog.clips["status"] == "ok"])
    assert "0 clips and files" in data.left_out_table(nothing).to_html()


def test_the_leakage_table_lists_what_overlaps_and_what_is_removed(found):
    table = data.leakage_table(found, 0.2)
    assert list(table.columns) == ["training class", "test class", "rule", "distance", "removed"]
    rows = table.drop(columns="distance").values.tolist()
    assert rows[0] == ["bowling", "bowling", "exact", "yes"]
    for row in (
        ["throwing discus", "discus throw", "reordered", "yes"],
        ["jog", "run", "embedding", "yes"],
        ["swimming front crawl", "front crawl", "contained", "yes"],
    ):
        assert row in rows
    assert rows == sorted(rows, key=lambda row: row[3] == "no")
    by_name = data.leakage_table(found).set_index("rule")["removed"].to_dict()
    assert by_name == {"exact": "yes", "reordered": "no", "contained": "no"}


def test_a_leakage_table_without_embeddings_has_no_distances():
    found = audit(pd.DataFrame({"name": TRAIN}), pd.DataFrame({"name": TEST}))
    assert list(data.leakage_table(found).columns) == [
        "training class",
        "test class",
        "rule",
        "removed",
    ]
    assert data.leakage_table(audit(pd.DataFrame({"name": ["a"]}), pd.DataFrame({"name": ["b"]}))).empty


def test_flags_are_sentences_under_their_share():
    flags = pd.DataFrame({"name": ["a", "a", "b"], "sentence": ["a is far", "a is b", "b is a"]})
    text = "2 of 40 class texts flagged (5.0 %):\n- a: a is far.\n- a: a is b.\n- b: b is a."
    assert data.flags_as_text(flags, 40) == text
    assert data.flags_as_text(flags[:0], 40) == "0 of 40 class texts flagged (0.0 %)."
