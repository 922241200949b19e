"""Figures of scores, classes and hubness: the numbers drawn are those of predictions and results."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from seven_classes import IMAGE, PROTOCOL, WEIGHTS, made_predictions

from zsar_lab.methods.table import LABELS, METHODS
from zsar_lab.results.calibration import confidences
from zsar_lab.results.generalised import curve_of
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.summary import Results
from zsar_lab.viz.figures import classes, data, scores, style, training
from zsar_lab.viz.figures import space as maps

HISTORY = [{"epoch": 1, "alignment": 1.0, "seen_top1": 0.75, IMAGE: 0.5}]


def all_figures(catalog, predictions, results, made_map) -> dict:
    return {
        "overview": data.class_overview(catalog),
        "losses": training.training_curves({IMAGE: HISTORY}, catalog.name),
        "map": maps.shared_space(made_map, catalog, "right", predictions=predictions),
        "moving map": maps.moving_map(made_map, catalog),
        "moving bars": classes.moving_bars(np.full(3, 4), PROTOCOL, catalog),
        "methods": scores.method_scores(results),
        "prompts": scores.prompt_scores(results),
        "differences": scores.differences(results),
        "between prompts": scores.differences(results, "prompts"),
        "reductions": scores.differences(results, "reductions"),
        "generalised": scores.seen_unseen_curves(results),
        "confidence": scores.confidence_curves(results),
        "hubness": scores.hubness_bars(predictions, catalog),
        "before and after": scores.hubness_before_after(results),
        "per class": classes.per_class(predictions, "transfer", catalog),
        "confusion": classes.confusion(predictions, "transfer", catalog),
        "weights": classes.transfer_weights(predictions, catalog),
    }


def test_no_figure_holds_markup_and_all_name_their_data_and_read_in_both_themes(
    catalog, predictions, results, space
):
    for name, figure in all_figures(catalog, predictions, results, space).items():
        content = figure.to_json().lower().replace("\\u003c", "<").replace("\\u003e", ">")
        assert "<img" not in content and "<script" not in content and "</script" not in content, name
        assert "generated demo videos" in figure.layout.title.text, name
        layout = figure.layout
        assert (layout.paper_bgcolor, layout.font.color) == (style.CLEAR, style.GREY), name
        assert all(axis.color == style.GREY for axis in (*figure.select_xaxes(), *figure.select_yaxes())), (
            name
        )


# methods


def test_method_scores_show_means_intervals_splits_chance_and_bound(results):
    means, chance = scores.method_scores(results, ["stratified"]).data
    row = results.part("methods").set_index("method").loc["transfer"]
    at = list(METHODS).index("transfer")
    assert means.x[at] == pytest.approx(100 * 5 / 12)
    np.testing.assert_allclose(chance.x, 100 / 3)
    assert means.x[at] + means.error_x.array[at] == pytest.approx(100 * row["top1_high"])
    assert means.x[at] - means.error_x.arrayminus[at] == pytest.approx(100 * row["top1_low"])
    assert "splits: 41.7, 41.7<br>chosen on validation classes: k 1" in means.customdata[at][2]
    figure = scores.method_scores(results, ["stratified"])
    assert figure.layout.shapes[0].x0 == 100 and "2 splits" in figure.layout.title.text
    assert figure.layout.yaxis.ticktext[1] == "direct, ridge"


def test_families_stand_side_by_side_in_colours_of_their_own(results):
    figure = scores.method_scores(results)
    first, second, _ = figure.data
    assert first.marker.color != second.marker.color and np.subtract(second.y, first.y) == pytest.approx(0.3)
    assert "beside it random classes" in figure.layout.title.text


def test_prompts_have_a_point_each_and_a_colour_a_method(results):
    figure = scores.prompt_scores(results)
    assert [trace.name for trace in figure.data] == ["direct, ridge", "transfer"]
    assert list(figure.data[1].x) == pytest.approx([100 * 5 / 12] * 2)
    assert list(figure.layout.yaxis.ticktext) == ["description<br><i>trained with</i>", "label"]
    assert figure.layout.shapes[0].x0 == pytest.approx(100 / 3)


@pytest.mark.parametrize(("part", "n_rows"), [("methods", 8), ("prompts", 1), ("reductions", 1)])
def test_differences_are_those_of_compare(results, part, n_rows):
    figure, compared = scores.differences(results, part), results.against(part=part)
    compared = compared[compared["p"].notna() & (compared["method"].eq("transfer") | (part == "methods"))]
    found = {}
    for trace in figure.data:
        for x, y, above, below in zip(trace.x, trace.y, trace.error_x.array, trace.error_x.arrayminus):
            found[trace.name, y] = (x, x - below, x + above)
    columns = ["difference", "difference_low", "difference_high"]
    wanted = (100 * compared[columns].to_numpy(float)).tolist()
    np.testing.assert_allclose(sorted(found.values()), sorted(map(tuple, wanted)))
    filled = [not symbol.endswith("-open") for trace in figure.data for symbol in trace.marker.symbol]
    assert sum(filled) == compared["claimed"].sum() and figure.layout.shapes[0].x0 == 0
    assert len(figure.layout.yaxis.ticktext) == n_rows
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # the first on top


def test_a_difference_to_another_baseline_and_one_that_was_not_scored(results):
    figure = scores.differences(results, "prompts", "description", "ridge")
    assert (
        "difference to description" in figure.layout.title.text
        and "direct, ridge" in figure.layout.title.text
    )
    assert "chosen in 0 of 2 splits" in figure.layout.yaxis.ticktext[0]
    with pytest.raises(KeyError, match="names"):
        scores.differences(results, "prompts", "names")


def test_the_curve_of_each_method_and_split_with_its_two_points(results):
    figure = scores.seen_unseen_curves(results)
    assert len(figure.data) == 2 * 2 * 3
    line, plain, stacked = figure.data[:3]
    curve = curve_of(results.splits()[0], "direct")
    np.testing.assert_allclose([line.x, line.y], [[*100 * curve.seen], [*100 * curve.unseen]])
    assert (plain.x[0], plain.y[0]) == pytest.approx((100, 100 * 4 / 12))
    assert stacked.y[0] > plain.y[0] and (plain.marker.symbol, stacked.marker.symbol) == (
        "circle-open",
        "circle",
    )
    assert [trace.showlegend for trace in figure.data[::3]] == [True, True, False, False]
    assert len(scores.seen_unseen_curves(results, "random").data) == 6  # one panel


def test_confidences_by_method(results, predictions):
    figure = scores.confidence_curves(results)
    at = [trace.name for trace in figure.data].index("transfer")
    kept, bins = figure.data[at : at + 2]
    right = (results.rows("transfer")["rank"] == 1).to_numpy()
    assert len(kept.x) == len(right) == 24 and kept.x[-1] == 100
    assert kept.y[-1] == pytest.approx(100 * (1 - right.mean())) and sum(bins.customdata) == 24
    wanted = confidences(predictions.scores("transfer"), 0.5).max(1)
    assert np.average(bins.x, weights=bins.customdata) == pytest.approx(100 * wanted.mean())


# hubness


def test_hubness_bars_show_n_k_and_the_expected_count(catalog, predictions):
    figure = scores.hubness_bars(predictions, catalog)
    bars = {trace.name.split(" (")[0]: list(trace.y) for trace in figure.data}
    assert bars["transfer"] == [10, 1, 1] and bars["direct"] == [4, 4, 4]  # B of family one first
    assert "transfer (skewness +0.71)" in {trace.name for trace in figure.data}
    assert figure.layout.shapes[0].y0 == 4.0


@pytest.mark.parametrize("measure", scores.MEASURES)
def test_hubness_before_and_after_reductions_with_intervals(results, measure):
    figure = scores.hubness_before_after(results, measure)
    assert list(figure.layout.yaxis.ticktext) == ["direct", "transfer", "+ CSLS"]
    alone, inductive, transductive = figure.data
    counts = k_occurrence(results.splits()[0].scores("transfer"), 1)
    assert alone.x[1] == pytest.approx(getattr(hubness(counts, 1), measure))
    assert inductive.x == transductive.x == (0,) and inductive.y[0] < 2 < transductive.y[0]
    row = results.part("methods").set_index("method").loc["transfer"]
    ends = alone.x[1] - alone.error_x.arrayminus[1], alone.x[1] + alone.error_x.array[1]
    assert ends == pytest.approx((row[f"hubness_{measure}_low"], row[f"hubness_{measure}_high"]))


# classes


def test_counts_and_what_a_class_is_confused_with(predictions):
    counts = classes.class_counts(predictions, "transfer")
    assert counts.to_numpy().tolist() == [[1, 2, 1], [0, 4, 0], [0, 4, 0]]
    table = classes.class_table(counts)
    assert table.index.tolist() == ["C", "A", "B"] and table["top1"].tolist() == [0.0, 0.25, 1.0]
    assert table["confused_with"].tolist() == ["B", "B", ""]
    assert table["confused_clips"].tolist() == [4, 2, 0]
    with pytest.raises(KeyError, match="guess"):
        classes.class_counts(predictions, "guess")


def test_of_equally_wrong_classes_the_more_confused_comes_first():
    counts = pd.DataFrame([[0, 1, 1], [2, 0, 0], [1, 0, 3]], index=list("abc"), columns=list("abc"))
    assert classes.class_table(counts).index.tolist() == ["b", "a", "c"]


def test_per_class_by_accuracy_and_with_a_choice(catalog, predictions):
    behind, bars = classes.per_class(predictions, "transfer", catalog).data
    assert list(bars.y) == [0.0, 25.0, 100.0] and list(behind.text) == ["0", "25", "100"]
    assert "(1 of 4)<br>most confused with &lt;/script&gt;" in behind.customdata[1]
    figure = classes.per_class(predictions, "transfer", catalog, "A")
    colours = figure.data[1].marker.color
    assert colours[1] != colours[0] == colours[2] and figure.layout.xaxis.ticktext[1].startswith("<b>&lt;img")
    assert list(figure.layout.meta) == ["C", "A", "B"]


def test_confusion_by_cluster_with_a_frame(catalog, predictions):
    figure = classes.confusion(predictions, "transfer", catalog, "A")
    cells, frame, names = figure.data[0], figure.layout.shapes[0], list(figure.layout.meta)
    order = ["ABC".index(name) for name in names]
    counts = np.array([[1, 2, 1], [0, 4, 0], [0, 4, 0]])[np.ix_(order, order)]
    assert np.array(cells.customdata).tolist() == counts.tolist() and np.allclose(cells.z, 25 * counts)
    assert cells.text[names.index("A")][names.index("B")] == "2"
    row, column = names.index("A"), names.index("C")
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 2.5, row - 0.5, row + 0.5)
    classes.move_frame(figure, catalog, "A", "C")
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (column - 0.5, column + 0.5, row - 0.5, row + 0.5)
    assert not classes.confusion(predictions, "transfer", catalog).layout.shapes


def test_classes_that_are_confused_are_side_by_side(predictions, catalog, monkeypatch):
    predicted = np.array([3, 1, 4, 0, 2])  # 0 and 3 as one another, 2 and 4 too
    labels = dict.fromkeys("abcde", "same")
    counts = pd.DataFrame(np.eye(5)[predicted] * 4 + np.eye(5), index=list(labels), columns=list(labels))
    monkeypatch.setattr(classes, "class_counts", lambda *_: counts)
    monkeypatch.setattr(style, "labels_of", lambda _: labels)
    figure = classes.confusion(predictions, "transfer", catalog)
    place = {name: at for at, name in enumerate(figure.layout.meta)}
    assert abs(place["a"] - place["d"]) == 1 and abs(place["c"] - place["e"]) == 1
    assert figure.data[0].x == tuple(f"same [{name}]" for name in figure.layout.meta)  # told apart by name


def test_transfer_weights_are_those_of_the_split(catalog, predictions):
    assert (
        np.array(classes.transfer_weights(predictions, catalog).data[0].z).tolist()
        == WEIGHTS[[1, 0, 2]].tolist()
    )


def test_without_reductions_or_further_prompts_the_figures_are_smaller(catalog, embeddings):
    split = made_predictions(catalog.classes, embeddings)
    few = [one for one in split.scored if one.reduction == "none" and one.prompt == "description"]
    made = split.protocol, split.split, split.about, split.class_text, few, split._arrays
    alone = Results({"one": [Predictions(*made)]})
    assert len(scores.hubness_before_after(alone).layout.yaxis.ticktext) == 2
    assert set(LABELS) > set(METHODS)
