"""viz/figures/data: clips by class, status and role, leakage, and relatedness of class texts, as drawn."""

from __future__ import annotations

import html
import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.protocols.leakage import RULES, LeakageAudit, audit
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.lint import cluster_order
from zsar_lab.text.prompts import ClassText
from zsar_lab.text.relatedness import KINDS, Relatedness
from zsar_lab.viz.figures.data import (
    RULE_LOOKS,
    class_overview,
    nearest_pairs,
    protocol_roles,
    relatedness_heatmap,
    removed_curve,
    status_overview,
)
from zsar_lab.viz.figures.style import CLEAR, GREY

STATUS_OF = ["ok", "ok", "ok", "missing", "missing", "unreadable", "excluded", "not listed", "not a video"]
CLASS_OF = ["a", "a", "b", "a", "b", "b", "a", "<elsewhere>", "a"]
TRAIN = ("bowling", "swimming front crawl", "throwing discus", "jog", "<b>knit</b> %{x} $a$")
TEST = ("Bowling", "FrontCrawl", "DiscusThrow", "run")
HOSTILE = ("<script>alert(1)</script>", "a & b", "{x}", "%{y}", "$x^2$", "<b>bold</b>", "long " * 9, "run")


@pytest.fixture
def catalog() -> Catalog:
    rows = []
    for n, (name, status) in enumerate(zip(CLASS_OF, STATUS_OF, strict=True)):
        reason = "" if status == "ok" else "why"
        place = (f"{name}/{n}", f"{n}.avi", name, "", "", 0.0, 2.0)
        rows.append((*place, 50, 25.0, 64, 48, False, status, reason, ""))
    classes = pd.DataFrame({"name": ["a", "b", "c"], "label": ["aa", "bb", "cc"]})
    return Catalog("ucf101", Path("nowhere"), pd.DataFrame(rows, columns=CLIP_COLUMNS), classes)


def bars(figure) -> dict[str, list[int]]:
    return {trace.name: list(trace.x) for trace in figure.data}


def test_the_overview_stacks_every_status_by_class(catalog):
    figure = class_overview(catalog)
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
    assert sum(sum(counts) for counts in drawn.values()) == len(catalog.clips)
    assert len({(trace.marker.color, trace.marker.pattern.shape) for trace in figure.data}) == 6


def test_families_have_colours_of_their_own_and_stand_together(catalog):
    classes = catalog.classes.assign(family=["z", "y", "z"])
    figure = class_overview(Catalog("x", catalog.root, catalog.clips, classes))
    assert {trace.name: list(trace.y) for trace in figure.data[:3]} == {
        "usable clips": [0],
        "y": [1],
        "z": [2, 3],
    }
    assert list(figure.layout.yaxis.ticktext)[1:] == ["bb", "aa", "cc"]


def test_the_statuses_sum_to_all_rows(catalog):
    figure = status_overview(catalog)
    one = ("unreadable", "excluded", "not listed", "not a video")
    assert bars(figure) == {"ok": [3], "missing": [2]} | {status: [1] for status in one}
    assert [trace.text[0] for trace in figure.data][:2] == [" 3 in 2 classes", " 2 in 2 classes"]
    assert "ucf101, 9 clips and files of 3 classes" in figure.layout.title.text


def test_a_great_many_classes_stay_on_a_page(catalog):
    names = [f"class {n:03}" for n in range(700)]
    many = Catalog("kinetics700", catalog.root, catalog.clips, pd.DataFrame({"name": names, "label": names}))
    figure = class_overview(many)
    assert figure.layout.height < 5500 and figure.layout.yaxis.showticklabels is False
    assert "class 005: 0 clips, 0.0 s" in figure.data[0].customdata


def test_every_clip_of_an_account_has_one_part():
    roles = ["train"] * 4 + ["seen test"] + ["validation"] * 2 + ["test"] * 3 + ["left out"] * 5
    second = pd.DataFrame({"role": ["test", "left out"]})
    figure = protocol_roles({"half-0": pd.DataFrame({"role": roles}), "<half-1>": second}, "ucf101")
    counts = {"train": [4, 0], "seen test": [1, 0], "validation": [2, 0], "test": [3, 1], "left out": [5, 1]}
    assert bars(figure) == counts and figure.data[0].text == ("4", "")
    assert list(figure.layout.yaxis.ticktext) == ["half-0", "&lt;half-1&gt;"]


@pytest.mark.parametrize("hostile", ["<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>"])
def test_a_page_holds_no_markup_of_the_data(catalog, hostile):
    classes = pd.DataFrame({"name": ["a", "b", "c"], "label": [hostile] * 3, "family": [hostile] * 3})
    odd = Catalog(hostile, catalog.root, catalog.clips, classes)
    for figure in (status_overview(odd), class_overview(odd)):
        page = figure.to_html(include_plotlyjs=False, full_html=False)
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
    assert list(figure.data[2].x) == [0.05, 0.05] and list(figure.data[2].y) == chosen
    words = f"threshold 0.05: {chosen[0]} removed<br>({chosen[1]} by distance alone)"
    assert figure.layout.annotations[0].text == words


def test_no_threshold_draws_no_line(found):
    figure = removed_curve(found)
    assert len(figure.data) == 2 and not figure.layout.shapes and not figure.layout.annotations
    assert removed_curve(found, 1.5).layout.xaxis.range[1] == 1.5


def test_the_bars_are_the_nearest_pairs(found):
    assert set(found.pairs["rule"]) == set(RULES)
    table, figure = found.nearest(8, RULES), nearest_pairs(found, 8, RULES)
    shown = [trace for trace in figure.data if trace.type == "bar"]
    drawn = sorted((y, x, bar.legendgroup) for bar in shown for x, y in zip(bar.x, bar.y))
    assert drawn == [(i, row.distance, row.rule) for i, row in enumerate(table.itertuples())]
    for dots, bar in zip(figure.data[1::2], shown, strict=True):
        assert (dots.x, dots.y, dots.marker.color) == (bar.x, bar.y, bar.marker.color)
    assert figure.layout.yaxis.ticktext[0] == "bowling ~ bowling"


def test_equal_names_are_left_out_and_said_so(found):
    figure = nearest_pairs(found, 50)
    assert "exact" not in {trace.legendgroup for trace in figure.data}
    assert "pairs of equal names, not shown: 1" in figure.layout.title.text
    assert "not shown" not in nearest_pairs(found, 50, RULES).layout.title.text


def test_rules_differ_without_colour_and_names_are_plain_text(found):
    assert all(len(set(parts)) == len(RULES) for parts in zip(*RULE_LOOKS.values()))
    text = nearest_pairs(found, 50).to_json()
    assert "<b>knit" not in text and "\\u003cb\\u003eknit" not in text and "%{x} $a$" not in text


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
@pytest.mark.parametrize("names", [None, ("c3", "c4", "c5", "c6")])
def test_cells_are_relatedness_in_the_order_of_clusters(texts, kind, names):
    """Relatedness of some classes stays fitted on the seen ones."""
    figure = relatedness_heatmap(texts, labels_for(texts), names, kind=kind, seen=texts.names[:7])
    trace, text_CF = figure.data[0], texts.pooled_CF.astype(float)
    related = Relatedness.fit(text_CF[:7], kind).between(text_CF, text_CF)
    order = [texts.names.index(text.removeprefix("label ")) for text in trace.x]
    assert trace.x == trace.y and sorted(order) == (list(range(12)) if names is None else [3, 4, 5, 6])
    np.testing.assert_allclose(trace.z, related[np.ix_(order, order)], atol=0.0005 + 1e-9)
    among = related[np.ix_(sorted(order), sorted(order))]
    assert [sorted(order).index(row) for row in order] == cluster_order(among).tolist()
    # zero in the middle and clear; the ends are symmetric, and one pair in 200 lies beyond
    pairs = np.sort(np.abs(among[np.triu_indices(len(order), 1)]))
    assert trace.zmin == -trace.zmax and pairs[-2] <= trace.zmax + 0.0005 and trace.zmax <= pairs[-1] + 0.0005
    assert [colour.split(",")[-1] for place, colour in trace.colorscale if place == 0.5] == [" 0)", " 0)"]


def test_related_classes_stand_side_by_side():
    random = np.random.default_rng(1)
    embeddings = made(np.eye(3)[np.arange(30) % 3] + 0.1 * random.normal(size=(30, 3)))
    shown = relatedness_heatmap(embeddings, labels_for(embeddings)).data[0].x
    kinds = [int(text.removeprefix("label c")) % 3 for text in shown]
    assert sum(a != b for a, b in itertools.pairwise(kinds)) == 2


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


def test_equal_labels_are_told_apart_by_their_names(texts):
    shown = relatedness_heatmap(texts, labels_for(texts) | {"c0": "same", "c1": "same"}).data[0].x
    assert {"same [c0]", "same [c1]"} <= set(shown) and len(set(shown)) == 12


def test_many_classes_are_shown_without_ticks_in_a_few_bytes_a_cell():
    embeddings = made(np.random.default_rng(0).normal(size=(300, 32)))
    figure = relatedness_heatmap(embeddings, labels_for(embeddings))
    assert not figure.layout.xaxis.showticklabels and not figure.layout.yaxis.showticklabels
    assert figure.layout.height <= 1100 and len(figure.to_json()) < 8 * 300**2  # 4 MB for 700 classes


def test_what_cannot_be_drawn_is_refused(texts):
    for names in (("c1",), ("c1", "c1", "c2"), ()):
        with pytest.raises(ValueError, match=f"each once, got {len(names)}"):
            relatedness_heatmap(texts, labels_for(texts), names)
    with pytest.raises(ValueError, match="relatedness must be one of"):
        relatedness_heatmap(texts, labels_for(texts), kind="odd")
    with pytest.raises(ValueError, match="Flying"):
        relatedness_heatmap(texts, labels_for(texts), ("c1", "Flying"))
    assert len(relatedness_heatmap(texts, labels_for(texts), ("c1", "c2")).data[0].z) == 2
