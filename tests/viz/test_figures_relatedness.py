"""zsar_lab.viz.figures_relatedness: the numbers, names and size of the heatmap."""

from __future__ import annotations

import html
import itertools
import json

import numpy as np
import pytest
from test_inspection import made

from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.lint import cluster_order
from zsar_lab.text.prompts import ClassText
from zsar_lab.text.relatedness import KINDS, Relatedness
from zsar_lab.viz.figures.style import CLEAR, GREY
from zsar_lab.viz.figures_relatedness import relatedness_heatmap

HOSTILE = (
    "<script>alert(1)</script>",
    "a & b",
    "{x}",
    "%{y}",
    "$x^2$",
    "<b>bold</b>",
    "a label that is much too long for an axis",
    "run",
)


@pytest.fixture(scope="module")
def embeddings() -> ClassEmbeddings:
    return made(np.random.default_rng(0).normal(size=(12, 6)) + 0.5)


def labels_for(embeddings: ClassEmbeddings) -> dict[str, str]:
    return {name: f"label {name}" for name in embeddings.names}


def content_of(figure) -> dict:
    """The figure as JupyterLab gets it."""
    return json.loads(figure.to_json())


@pytest.mark.parametrize("kind", KINDS)
def test_cells_are_relatedness_in_the_order_of_clusters(embeddings, kind):
    seen = embeddings.names[:7]
    trace = content_of(relatedness_heatmap(embeddings, labels_for(embeddings), kind=kind, seen=seen))["data"][
        0
    ]
    assert trace["x"] == trace["y"] and sorted(trace["x"]) == sorted(labels_for(embeddings).values())
    order = [embeddings.names.index(text.removeprefix("label ")) for text in trace["x"]]
    text_CF = embeddings.pooled_CF.astype(float)
    related = Relatedness.fit(text_CF[:7], kind).between(text_CF, text_CF)
    np.testing.assert_allclose(trace["z"], related[np.ix_(order, order)], atol=0.0005 + 1e-9)
    assert order == cluster_order(related).tolist()
    # zero in the middle and clear; the ends are symmetric, and one pair in 200 lies beyond
    assert trace["zmin"] == -trace["zmax"]
    pairs = sorted((abs(related[a, b]) for a in range(12) for b in range(a)), reverse=True)
    assert pairs[1] <= trace["zmax"] + 0.0005 and trace["zmax"] <= pairs[0] + 0.0005
    assert [colour.split(",")[-1] for place, colour in trace["colorscale"] if place == 0.5] == [" 0)", " 0)"]


def test_some_classes_keep_the_fit_on_all(embeddings):
    names = embeddings.names[3:7]
    trace = content_of(relatedness_heatmap(embeddings, labels_for(embeddings), names))["data"][0]
    text_CF = embeddings.pooled_CF.astype(float)
    related = Relatedness.fit(text_CF).between(text_CF, text_CF)
    order = [embeddings.names.index(text.removeprefix("label ")) for text in trace["x"]]
    assert sorted(order) == [3, 4, 5, 6]
    np.testing.assert_allclose(trace["z"], related[np.ix_(order, order)], atol=0.0005 + 1e-9)


def test_related_classes_stand_side_by_side():
    random = np.random.default_rng(1)
    kinds = np.arange(30) % 3
    embeddings = made(np.eye(3)[kinds] + 0.1 * random.normal(size=(30, 3)))
    shown = content_of(relatedness_heatmap(embeddings, labels_for(embeddings)))["data"][0]["x"]
    found = [int(text.removeprefix("label c")) % 3 for text in shown]
    assert sum(a != b for a, b in itertools.pairwise(found)) == 2


def test_names_are_shown_letter_by_letter():
    embeddings = made(np.random.default_rng(2).normal(size=(len(HOSTILE), 5)))
    text = ClassText("<i>odd</i>", embeddings.names, embeddings.names)
    embeddings = ClassEmbeddings(
        text, "encoder", embeddings.pooled_CF, embeddings.words_CLE, embeddings.mask_CL
    )
    figure = content_of(relatedness_heatmap(embeddings, dict(zip(embeddings.names, HOSTILE))))
    trace, axis = figure["data"][0], figure["layout"]["xaxis"]
    assert {html.unescape(name) for name in trace["x"]} == set(HOSTILE)
    assert axis["tickvals"] == trace["x"] and max(len(html.unescape(name)) for name in axis["ticktext"]) <= 28
    about = figure["layout"]["title"]["text"].split("<br>")[1].split(">", 1)[1]
    shown = [*trace["x"], *axis["ticktext"], *figure["layout"]["yaxis"]["ticktext"], about]
    assert not [name for name in shown for mark in ("<script", "<b>", "<i>", "%{", "$") if mark in name]
    assert trace["hovertemplate"] == "%{y} – %{x}: %{z:.2f}<extra></extra>"


def test_equal_labels_are_told_apart_by_their_names(embeddings):
    labels = labels_for(embeddings) | {"c0": "same", "c1": "same"}
    shown = content_of(relatedness_heatmap(embeddings, labels))["data"][0]["x"]
    assert {"same [c0]", "same [c1]"} <= set(shown) and len(set(shown)) == 12


def test_the_figure_reads_in_dark_themes(embeddings):
    layout = content_of(relatedness_heatmap(embeddings, labels_for(embeddings)))["layout"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == CLEAR
    assert layout["font"]["color"] == layout["xaxis"]["color"] == GREY


def test_many_classes_are_shown_without_ticks_in_a_few_bytes_a_cell():
    embeddings = made(np.random.default_rng(0).normal(size=(300, 32)))
    figure = relatedness_heatmap(embeddings, labels_for(embeddings))
    layout = figure.layout
    assert (
        layout.xaxis.showticklabels is False
        and layout.yaxis.showticklabels is False
        and layout.height <= 1100
    )
    assert len(figure.to_json()) < 8 * 300**2  # 4 MB for 700 classes


def test_what_cannot_be_drawn_is_refused(embeddings):
    for names in (("c1",), ("c1", "c1", "c2"), ()):
        with pytest.raises(ValueError, match="needs two different classes or more, each once, got"):
            relatedness_heatmap(embeddings, labels_for(embeddings), names)
    with pytest.raises(ValueError, match="relatedness must be one of"):
        relatedness_heatmap(embeddings, labels_for(embeddings), kind="odd")
    with pytest.raises(ValueError, match="'Flying' is none of the"):
        relatedness_heatmap(embeddings, labels_for(embeddings), ("c1", "Flying"))
    assert len(relatedness_heatmap(embeddings, labels_for(embeddings), ("c1", "c2")).data[0].z) == 2
