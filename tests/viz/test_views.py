"""zsar_lab.viz: the numbers in figures, what the explanations count, clips as html, and the map."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from zsar_lab.data.catalog import CLIP_COLUMNS, Catalog
from zsar_lab.data.video import write_mp4
from zsar_lab.embed.checkpoint import ClipEmbeddings
from zsar_lab.methods.transfer import class_means, unit
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.evaluate import METHODS, MethodScores, SplitResult
from zsar_lab.results.report import make_report
from zsar_lab.text.prompts import class_text, description
from zsar_lab.viz import (
    clips,
    explanations,
    figures_text,
    projection,
    tables,
    widgets,
)
from zsar_lab.viz.figures import data as figures_data
from zsar_lab.viz.figures import scores as figures
from zsar_lab.viz.figures import space as figures_space
from zsar_lab.viz.figures import style as figures_style
from zsar_lab.viz.figures import training as figures_training

IMAGE, SCRIPT = "<img src=x onerror=alert(1)>", "</script><script>alert(2)</script>"
LABELS = {
    "A": IMAGE,
    "B": SCRIPT,
    "C": "cat walk %{x} $a$",
    "S1": "stand",
    "S2": "sit",
    "V1": "wave",
    "V2": "nod",
}
FAMILIES = {"A": "two", "B": "one", "C": "two", "S1": "one", "S2": "two", "V1": "one", "V2": "two"}
CLIPS_PER_CLASS = 4
# true A: taken for A, B, B, C; true B: all right; true C: all taken for B
ANSWERS = {"A": "ABBC", "B": "BBBB", "C": "BBBB"}


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    rows = []
    for name in LABELS:
        (tmp_path / name).mkdir()
        for number in range(CLIPS_PER_CLASS):
            write_mp4(tmp_path / name / f"{number}.mp4", np.zeros((2, 16, 16, 3), np.uint8), fps=1)
            rows.append(
                (
                    f"{name}/{number}",
                    f"{name}/{number}.mp4",
                    name,
                    "",
                    "",
                    0.0,
                    2.0,
                    2,
                    1.0,
                    16,
                    16,
                    False,
                    "ok",
                    "",
                    "",
                )
            )
    rows.append(
        ("A/bad", "A/bad.mp4", "A", "", "", 0.0, 0.0, 0, 0.0, 0, 0, False, "unreadable", "it is empty", "")
    )
    classes = {"name": list(LABELS), "label": list(LABELS.values()), "family": list(FAMILIES.values())}
    classes |= {"description": [f"It is {text}." for text in LABELS.values()]}
    table = pd.DataFrame(rows, columns=CLIP_COLUMNS).sort_values("id", ignore_index=True)
    return Catalog("generated demo videos", tmp_path, table, pd.DataFrame(classes))


def _ids(*names: str, of: range = range(CLIPS_PER_CLASS)) -> tuple[str, ...]:
    return tuple(f"{name}/{number}" for name in names for number in of)


@pytest.fixture
def embeddings() -> ClipEmbeddings:
    random = np.random.default_rng(0)
    centres = np.eye(8)[: len(LABELS)]
    labels = tuple(name for name in LABELS for _ in range(CLIPS_PER_CLASS))
    rows = unit(np.repeat(centres, CLIPS_PER_CLASS, 0) + 0.1 * random.normal(size=(len(labels), 8))).astype(
        np.float32
    )
    return ClipEmbeddings(_ids(*LABELS), labels, rows, np.zeros((len(labels), 1, 8), np.float16), "print")


@pytest.fixture
def result(catalog: Catalog, embeddings: ClipEmbeddings) -> SplitResult:
    protocol = Protocol(
        "split 0",
        ("S1", "S2"),
        ("V1", "V2"),
        ("A", "B", "C"),
        _ids("S1", "S2", of=range(1, 4)),
        _ids("S1", "S2", of=range(1)),
        _ids("V1", "V2"),
        _ids("A", "B", "C"),
    )
    targets = np.repeat(np.arange(3), CLIPS_PER_CLASS)
    answers = np.array(["ABC".index(letter) for name in "ABC" for letter in ANSWERS[name]])
    wrong_ones = np.eye(3)[answers] * 0.5
    right_ones = np.eye(3)[targets] * 1.0
    scored = [
        MethodScores(method, "description", {"k": 1}, 0.5, wrong_ones if method == "transfer" else right_ones)
        for method in METHODS
    ]
    texts = tuple(dataclasses.replace(scored[3], class_text=prompt) for prompt in ("description", "label"))
    weights = np.array([[0.75, 0.25], [0.995, 0.005], [0.5, 0.5]])
    rows = embeddings.embedding_ND.astype(float)
    seen = class_means(rows[embeddings.rows(_ids("S1", "S2"))], np.repeat([0, 1], CLIPS_PER_CLASS), 2)
    true = class_means(rows[embeddings.rows(_ids("A", "B", "C"))], targets, 3)
    texts_of = np.random.default_rng(3).normal(size=(5, seen.shape[1]))
    prototypes = {
        "seen": seen,
        "composed": unit(weights @ seen),
        "true": true,
        "seen text": unit(texts_of[:2]),
        "unseen text": unit(texts_of[2:]),
    }
    prints = {"checkpoint": "c", "embeddings": "print", "class_text": "t", "encoder": "e"}
    read = class_text(catalog.classes, description)
    return SplitResult(
        protocol,
        protocol.test_clips,
        targets,
        tuple(scored),
        texts,
        right_ones,
        1.0,
        prototypes,
        weights,
        prints,
        read,
    )


@pytest.fixture
def report(result: SplitResult):
    return make_report(
        "family-stratified, 2 splits, generated demo videos", [result, result], "catalog", "frames"
    )


# explanations


def test_taken_for_by_hand(result):
    assert explanations.taken_for(result, "transfer", "A") == {"A": 1, "B": 2, "C": 1}
    assert list(explanations.taken_for(result, "transfer", "C").items()) == [("C", 0), ("B", 4), ("A", 0)]
    assert explanations.taken_for(result, "direct", "C") == {"C": 4, "A": 0, "B": 0}


def test_the_rival_is_the_most_frequent_wrong_answer(result):
    assert explanations.rival(result, "transfer", "A") == "B"
    assert explanations.rival(result, "transfer", "B") is None


def test_verdicts_are_ordered_from_wrong_to_right_with_signed_margins(result):
    found = explanations.verdicts(result, "transfer", "A")
    assert [(v.predicted, v.margin, v.right) for v in found] == [
        ("B", -0.5, False),
        ("B", -0.5, False),
        ("C", -0.5, False),
        ("A", 0.5, True),
    ]
    assert found[-1].clip_id == "A/0"


def test_captions_name_the_prediction_and_the_margin(result):
    wrong, right = (
        explanations.caption_of(v, LABELS) for v in explanations.verdicts(result, "transfer", "A")[::3]
    )
    assert wrong == clips.Caption((SCRIPT, "margin -0.500"), False)
    assert right == clips.Caption((IMAGE, "margin +0.500"), True)


def test_prototype_parts_leave_out_small_weights(result):
    assert explanations.prototype_parts(result, "A") == [("S1", 0.75), ("S2", 0.25)]
    assert explanations.prototype_parts(result, "B") == [("S1", 0.995)]


def test_a_class_that_is_not_unseen_is_refused_in_a_sentence(result):
    with pytest.raises(
        ValueError, match=r"the class must be one of the split's unseen ones \(A, B, C\), got 'S1'"
    ):
        explanations.verdicts(result, "transfer", "S1")


def test_worst_class_first(result):
    assert explanations.worst_first(result, "transfer") == [("C", 0.0), ("A", 0.25), ("B", 1.0)]


def test_html_of_texts_and_clips_is_escaped(catalog, result):
    page = explanations.texts_and_parts(catalog, result, "transfer", "A") + explanations.error_clips(
        catalog, result, "transfer", "A"
    )
    assert "<img" not in page and "<script" not in page and "</script" not in page
    assert "It is &lt;img src=x onerror=alert(1)&gt;." in page  # class text of the true class
    assert "It is &lt;/script&gt;" in page  # and of its rival
    assert page.count("✗") == 3 and page.count("✓") == 1


def test_a_contact_sheet_shows_every_class_with_a_usable_clip(catalog):
    assert clips.contact_sheet(catalog).count("<video") == len(LABELS)
    assert clips.contact_sheet(catalog, per_class=2).count("<video") == 2 * len(LABELS)


# figures


def all_figures(catalog, result, report) -> dict:
    history = [
        {"epoch": 1, "step": 3, "classification": 2.0, "alignment": 1.0, "clips_per_s": 9.0},
        {"epoch": 2, "step": 6, "classification": 1.0},
    ]
    history[1] |= {"alignment": 0.5, "seen_top1": 0.75, "validation_direct_top1": 0.5}
    counts = explanations.taken_for(result, "transfer", "A")
    return {
        "overview": figures_data.class_overview(catalog),
        "lengths": figures_data.clip_lengths(catalog),
        "losses": figures_training.loss_curves(history, catalog.name),
        "methods": figures.method_scores(report, report),
        "texts": figures_text.text_scores(report),
        "per_class": figures.per_class(result, "transfer", catalog),
        "confusion": figures.confusion(result, "transfer", catalog),
        "hubness": figures.hubness_bars(result, catalog),
        "histogram": figures.hubness_histogram(report),
        "weights": figures.transfer_weights(result, catalog),
        "taken_for": figures.taken_for_bars(counts, "A", catalog, catalog.name),
    }


def test_no_figure_holds_markup_from_the_data_and_all_say_what_they_are_of(catalog, result, report):
    for name, figure in all_figures(catalog, result, report).items():
        content = figure.to_json()
        assert "<img" not in content and "script>" not in content.lower().replace("\\u003e", ">").replace(
            "/script&gt;", ""
        ), name
        assert "generated demo videos" in figure.layout.title.text, name
        assert figure.layout.paper_bgcolor == "rgba(0, 0, 0, 0)" and figure.layout.font.color == "#808080", (
            name
        )


def test_plain_text_is_neither_tag_nor_entity_nor_template():
    assert figures_style.plain("<b>&amp; %{y} $x$") == "&lt;b&gt;&amp;amp; %&#123;y} &#36;x&#36;"
    assert figures_style.tick("x" * 40) == "x" * 27 + "…"


def test_overview_counts_usable_and_left_out_files(catalog):
    figure = figures_data.class_overview(catalog)
    assert {trace.name: list(trace.x) for trace in figure.data} == {
        "one": [4, 4, 4],
        "two": [4, 4, 4, 4],
        "unreadable (1)": [0, 0, 0, 1, 0, 0, 0],
    }
    assert figure.layout.xaxis.title.text == "clips"
    assert [text.split("&")[0] for text in figure.layout.yaxis.ticktext] == [
        "",
        "stand",
        "wave",
        "",
        "cat walk %",
        "sit",
        "nod",
    ]


def test_method_scores_show_means_intervals_splits_chance_and_bound(report):
    figure = figures.method_scores(report)
    means, splits = figure.data[0], figure.data[1]
    row = report.row("transfer")
    at = METHODS.index("transfer")
    assert means.y[at] == pytest.approx(100 * 5 / 12)
    assert means.y[at] + means.error_y.array[at] == pytest.approx(100 * row.ci95[1])
    assert means.y[at] - means.error_y.arrayminus[at] == pytest.approx(100 * row.ci95[0])
    assert len(splits.y) == 2 * len(METHODS)
    assert [shape.y0 for shape in figure.layout.shapes] == pytest.approx([100.0, 100 / 3])
    assert figure.layout.yaxis.title.text == "top-1 accuracy (%)"


def test_text_scores_have_a_point_a_prompt(report):
    figure = figures_text.text_scores(report)
    assert list(figure.data[0].y) == pytest.approx([100 * 5 / 12] * 2)
    assert list(figure.layout.xaxis.ticktext) == ["description<br>(trained with)", "label"]


def test_confusion_and_per_class_in_the_order_of_families(catalog, result):
    counts = figures.confusion(result, "transfer", catalog).data[0]
    assert np.array(counts.z).tolist() == [
        [4, 0, 0],
        [2, 1, 1],
        [4, 0, 0],
    ]  # B of family one; A, C of family two
    bars = figures.per_class(result, "transfer", catalog).data[0]
    assert list(bars.x) == [100.0, 25.0, 0.0]
    assert [text.split(" ")[0] for text in bars.text] == ["4", "1", "0"]


def test_hubness_bars_show_n1_and_the_expected_count(catalog, result):
    figure = figures.hubness_bars(result, catalog)
    bars = {trace.name.split(" (")[0]: list(trace.y) for trace in figure.data}
    assert bars["transfer"] == [10, 1, 1] and bars["direct"] == [4, 4, 4]
    assert "skewness +0.71" in next(
        trace.name for trace in figure.data if trace.name.startswith("transfer (")
    )
    assert figure.layout.shapes[0].y0 == 4.0


def test_transfer_weights_are_those_of_the_split(catalog, result):
    assert np.array(figures.transfer_weights(result, catalog).data[0].z).tolist() == [
        [0.995, 0.005],
        [0.75, 0.25],
        [0.5, 0.5],
    ]


def test_equal_labels_stay_apart(catalog, result):
    same = dataclasses.replace(catalog, classes=catalog.classes.assign(label="same"))
    assert list(figures.confusion(result, "transfer", same).layout.xaxis.tickvals) == [0, 1, 2]


# tables


def test_the_sentence_of_a_comparison_claims_only_what_its_interval_allows(report):
    sentence = tables.comparison_as_text(report, "transfer", "direct")
    compared = report.compare("transfer", "direct")
    low, high = compared.ci95
    assert (
        f"difference {100 * compared.difference:+.1f} points, 95 % interval [{100 * low:+.1f}, {100 * high:+.1f}]: "
        in sentence
    )
    claim = "no difference can be claimed" if high >= 0 else "direct is better"
    assert sentence.endswith(
        f"{claim} (a true difference of {100 * compared.detectable:.1f} points would be found in four of five such studies)"
    )
    assert tables.comparison_as_text(report, "direct", "match").endswith(
        "[+0.0, +0.0]: no difference can be claimed"
    )
    assert "C (split 0)" in tables.findings_as_text(report, report)


def test_tables_for_reading_have_rounded_figures_and_no_nan(report):
    table = tables.score_table(report)
    assert (
        table.loc["transfer", "top1_%"] == "41.7"
        and table.loc["chance", "top5_%"] == ""
        and table.loc["direct", "N1_skewness"] == "0.00"
    )
    assert tables.settings_table(report).loc["transfer"].tolist() == ["k 1", "k 1"]


@pytest.mark.parametrize("guess", ["composed", "unseen text"])
def test_prototype_table_by_the_cosines(result, guess):
    table = tables.prototype_table(result, guess).set_index("class")
    cosine = result.prototypes[guess] @ result.prototypes["true"].T
    assert table.loc["A", "own"] == pytest.approx(cosine[0, 0], abs=1e-3)
    assert table.loc["A", "others_mean"] == pytest.approx(cosine[0, 1:].mean(), abs=1e-3)
    assert table.loc["C", "own_rank"] == 1 + int((cosine[2, :2] > cosine[2, 2]).sum())


def test_protocol_table_counts_classes_and_clips(catalog, result):
    row = tables.protocol_table({"stratified-0": result.protocol}).loc["stratified-0"]
    assert (row["seen"], row["validation"], row["unseen"], row["train clips"], row["test clips"]) == (
        2,
        2,
        3,
        6,
        12,
    )
    held_out = tables.held_out_classes({"stratified-0": result.protocol}, catalog)["stratified-0"]
    assert held_out.to_dict() == {
        "unseen 1": SCRIPT,
        "unseen 2": IMAGE,
        "unseen 3": LABELS["C"],
        "validation 1": "wave",
        "validation 2": "nod",
    }


# the map


def test_a_subset_is_even_over_classes_and_seeded():
    labels = tuple("aaaabbbbcccc")
    rows = projection.even_subset(labels, ("a", "b", "c"), 7, seed=0)
    assert [labels[row] for row in rows] == list("aabbcc")
    assert rows.tolist() == projection.even_subset(labels, ("a", "b", "c"), 7, seed=0).tolist()
    assert rows.tolist() != projection.even_subset(labels, ("a", "b", "c"), 7, seed=1).tolist()
    with pytest.raises(ValueError, match=r"max_clips must be at least one a class \(3\), got 2"):
        projection.even_subset(labels, ("a", "b", "c"), 2, seed=0)


def test_a_map_is_laid_out_once_and_drawn(catalog, result, embeddings, tmp_path, monkeypatch):
    layouts = []

    def first_two(points: np.ndarray, seed: int) -> np.ndarray:
        layouts.append(seed)
        return points[:, :2].astype(float)

    monkeypatch.setattr(projection, "_umap", first_two)
    space = projection.shared_space_map(result, embeddings, tmp_path / "map")
    again = projection.shared_space_map(result, embeddings, tmp_path / "map")
    assert layouts == [0] and again.path == space.path
    np.testing.assert_array_equal(again.clips_xy, space.clips_xy)
    assert (space.clips_xy.shape, space.seen_xy.shape, space.composed_xy.shape, space.true_xy.shape) == (
        (28, 2),
        (2, 2),
        (3, 2),
        (3, 2),
    )
    np.testing.assert_allclose(space.true_xy, result.prototypes["true"][:, :2], atol=1e-6)
    assert projection.shared_space_map(
        result, embeddings, tmp_path / "map", seed=1
    ).path != space.path and layouts == [0, 1]
    assert 0 <= space.trustworthiness <= 1
    for colour_by in ("group", "class"):
        figure = figures_space.shared_space(space, catalog, colour_by)
        names = [trace.name for trace in figure.data]
        assert {"seen prototypes", "composed unseen prototypes", "true unseen prototypes"} <= set(names)
        assert "<img" not in figure.to_json() and "generated demo videos" in figure.layout.title.text
    figure = figures_space.shared_space(space, catalog, guess="text")
    (texts,) = (trace for trace in figure.data if trace.name == "texts of unseen classes")
    np.testing.assert_allclose(
        np.stack([texts.x, texts.y], axis=1), result.prototypes["unseen text"][:, :2], atol=1e-6
    )
    (line,) = (trace for trace in figure.data if trace.name == "text to true")
    assert (line.x[0], line.x[1]) == pytest.approx((texts.x[0], result.prototypes["true"][0, 0])) and line.x[
        2
    ] is None
    with pytest.raises(ValueError, match="guess must be 'composed' or 'text', got 'label'"):
        figures_space.shared_space(space, catalog, guess="label")
    with pytest.raises(
        ValueError, match="colour_by must be one of 'group', 'class', 'right', 'hubness', got 'colour'"
    ):
        figures_space.shared_space(space, catalog, "colour")


def test_a_map_of_other_embeddings_is_refused(result, embeddings, tmp_path):
    with pytest.raises(
        ValueError, match=r"a map needs the embeddings its split was scored on \(print\), got other"
    ):
        projection.shared_space_map(result, dataclasses.replace(embeddings, fingerprint="other"), tmp_path)


@pytest.mark.skipif(
    "ZSAR_LAB_SLOW" not in os.environ, reason="umap compiles for half a minute; set ZSAR_LAB_SLOW to run it"
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ImportWarning", "ignore::FutureWarning")
def test_umap_is_the_same_for_the_same_seed():
    points = np.random.default_rng(0).normal(size=(24, 6)).astype(np.float32)
    first = projection._umap(points, 0)
    assert first.shape == (24, 2) and np.isfinite(first).all()
    np.testing.assert_array_equal(projection._umap(points, 0), first)


# curves of a running training


def test_live_curves_are_drawn_once_and_then_updated_in_place(monkeypatch):
    calls = []

    class Handle:
        def update(self, bundle, raw):
            calls.append(("update", bundle))

    def display(bundle, raw, display_id):
        calls.append(("display", bundle))
        return Handle()

    monkeypatch.setattr(widgets, "display", display)
    curves = widgets.LiveCurves("split")
    for epochs in (1, 2):
        curves.update([{"epoch": n + 1, "classification": 1.0} for n in range(epochs)])
    assert [(kind, next(iter(bundle))) for kind, bundle in calls] == [
        ("display", "application/vnd.plotly.v1+json"),
        ("update", "text/html"),
        ("update", "application/vnd.plotly.v1+json"),
    ]
    figure = calls[2][1]["application/vnd.plotly.v1+json"]
    assert json.loads(json.dumps(figure))["data"][0]["x"] == [1, 2]
