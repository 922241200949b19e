"""Figures of scores, classes and hubness: the numbers drawn are those of predictions and results."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from seven_classes import TARGETS, WEIGHTS

from zsar_lab.methods.table import LABELS, METHODS
from zsar_lab.results.calibration import confidences
from zsar_lab.results.generalised import curve_of
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.summary import Results
from zsar_lab.viz.figures import classes, data, hubs, scores, style, training

HISTORY = [{"epoch": 1, "alignment": 1.0, "seen_top1": 0.75}]


def all_figures(catalog, predictions, results) -> dict:
    return {
        "overview": data.class_overview(catalog),
        "lengths": data.clip_lengths(catalog),
        "losses": training.loss_curves(HISTORY, catalog.name),
        "methods": scores.method_scores(results),
        "prompts": scores.prompt_scores(results),
        "differences": scores.differences(results),
        "between prompts": scores.differences(results, "prompts"),
        "reductions": scores.differences(results, "reductions"),
        "generalised": scores.seen_unseen_curves(results),
        "confidence": scores.confidence_curves(results),
        "hubness": hubs.hubness_bars(predictions, catalog),
        "histogram": hubs.hubness_histogram(results),
        "ranks": hubs.accuracy_against_hub_rank(results),
        "before and after": hubs.hubness_before_after(results),
        "per class": classes.per_class(predictions, "transfer", catalog),
        "confusion": classes.confusion(predictions, "transfer", catalog),
        "weights": classes.transfer_weights(predictions, catalog),
        "predicted as": classes.prediction_bars({"A": 1, "B": 2}, "A", catalog, catalog.name),
    }


def test_no_figure_holds_markup_and_all_name_their_data_and_read_in_both_themes(
    catalog, predictions, results
):
    for name, figure in all_figures(catalog, predictions, results).items():
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
    figure = scores.method_scores(results, ["stratified"])
    means, splits = figure.data
    row = results.part("methods").set_index("method").loc["transfer"]
    at = list(METHODS).index("transfer")
    assert means.y[at] == pytest.approx(100 * 5 / 12)
    assert means.y[at] + means.error_y.array[at] == pytest.approx(100 * row["top1_high"])
    assert means.y[at] - means.error_y.arrayminus[at] == pytest.approx(100 * row["top1_low"])
    assert len(splits.y) == 2 * len(METHODS) and "2 splits" in figure.layout.title.text
    assert [shape.y0 for shape in figure.layout.shapes] == pytest.approx([100.0, 100 / 3])
    assert figure.layout.xaxis.ticktext[1] == "direct,<br>ridge" and "chosen" in means.customdata[at][2]


def test_families_stand_side_by_side_in_colours_of_their_own(results):
    figure = scores.method_scores(results)
    assert len(figure.data) == 4 and len({trace.marker.color for trace in figure.data}) == 2
    assert np.subtract(figure.data[2].x, figure.data[0].x) == pytest.approx(0.3)
    assert "random classes, 1 split" in figure.layout.title.text


def test_prompts_have_a_point_each_and_a_colour_a_method(results):
    figure = scores.prompt_scores(results)
    assert [trace.name for trace in figure.data] == ["direct, ridge", "transfer"]
    assert list(figure.data[1].y) == pytest.approx([100 * 5 / 12] * 2)
    assert list(figure.layout.xaxis.ticktext) == ["description<br>(trained with)", "label"]


@pytest.mark.parametrize(("part", "n_rows"), [("methods", 7), ("prompts", 1), ("reductions", 1)])
def test_differences_are_those_of_compare(results, part, n_rows):
    figure, compared = scores.differences(results, part), results.compare(part=part)
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
    figure = hubs.hubness_bars(predictions, catalog)
    bars = {trace.name.split(" (")[0]: list(trace.y) for trace in figure.data}
    assert bars["transfer"] == [10, 1, 1] and bars["direct"] == [4, 4, 4]  # B of family one first
    assert "transfer (skewness +0.71)" in {trace.name for trace in figure.data}
    assert figure.layout.shapes[0].y0 == 4.0
    with pytest.raises(ValueError, match="k must be in 1..3"):
        hubs.hubness_bars(predictions, catalog, 4)


def test_histograms_pool_the_classes_of_all_splits(results):
    figure = hubs.hubness_histogram(results)
    assert len(figure.data) == len(scores.DRAWN) and sorted(figure.data[3].x) == [1, 1, 1, 1, 10, 10]
    assert "skewness +0.71" in figure.layout.xaxis4.title.text


def test_top1_against_hub_rank(results):
    figure = hubs.accuracy_against_hub_rank(results)
    assert len(figure.data) == 2 and list(figure.data[0].x) == [1, 2.5, 2.5]
    assert list(figure.data[0].y) == [100, 25, 0] and "rank correlation -0.87" in figure.data[0].name


def test_hubness_before_and_after_reductions_with_intervals(results):
    figure = hubs.hubness_before_after(results)
    assert list(figure.layout.yaxis.ticktext) == ["direct", "transfer", "+ CSLS"]
    assert figure.layout.xaxis3.title.text == "share of anti-hubs" and len(figure.data) == 3 * 3
    alone, inductive, transductive = figure.data[:3]
    counts = k_occurrence(results.splits()[0].scores("transfer"), 1)
    assert alone.x[1] == pytest.approx(hubness(counts, 1).skewness) and inductive.x == transductive.x == (0,)
    row = results.part("methods").set_index("method").loc["transfer"]
    ends = alone.x[1] - alone.error_x.arrayminus[1], alone.x[1] + alone.error_x.array[1]
    assert ends == pytest.approx((row["hubness_skewness_low"], row["hubness_skewness_high"]))
    assert inductive.y[0] < 2 < transductive.y[0]


# classes


def test_counts_and_what_a_class_is_confused_with(predictions):
    counts = classes.class_counts(predictions, "transfer")
    assert counts.to_numpy().tolist() == [[1, 2, 1], [0, 4, 0], [0, 4, 0]]
    table = classes.class_table(counts)
    assert table["top1"].tolist() == [0.25, 1.0, 0.0] and table["confused_with"].tolist() == ["B", "", "B"]
    assert table["confused_clips"].tolist() == [2, 0, 4]
    with pytest.raises(KeyError, match="guess"):
        classes.class_counts(predictions, "guess")


def test_per_class_by_family_and_with_a_choice(catalog, predictions):
    behind, bars = classes.per_class(predictions, "transfer", catalog).data
    assert list(bars.y) == [100.0, 25.0, 0.0] and list(behind.text) == ["100", "25", "0"]
    assert "(1 of 4)<br>most confused with &lt;/script&gt;" in behind.customdata[1]
    figure = classes.per_class(predictions, "transfer", catalog, ["C", "A", "B"], "A")
    colours = figure.data[1].marker.color
    assert colours[1] != colours[0] == colours[2] and figure.layout.xaxis.ticktext[1].startswith("<b>&lt;img")
    with pytest.raises(ValueError, match="3 unseen classes, each once, got 2"):
        classes.per_class(predictions, "transfer", catalog, ["C", "A"])


def test_confusion_by_family_and_in_an_order_with_a_frame(catalog, predictions):
    figure = classes.confusion(predictions, "transfer", catalog)
    cells = figure.data[0]
    assert (
        np.array(cells.customdata).tolist() == [[4, 0, 0], [2, 1, 1], [4, 0, 0]] and not figure.layout.shapes
    )
    assert np.array(cells.z)[1].tolist() == [50, 25, 25] and cells.text[1][0] == "2"
    names = ["A", "B", "C"]
    framed = classes.confusion(predictions, "transfer", catalog, names, "A", "C")
    frame = framed.layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (1.5, 2.5, -0.5, 0.5)
    classes.move_frame(framed, catalog, names, "B")
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (-0.5, 2.5, 0.5, 1.5)
    x, y = framed.data[0].x[1], framed.data[0].y[2]
    assert classes.clicked_cell(catalog, names, x, y) == ("C", "B")
    with pytest.raises(ValueError, match="two of the 3 classes shown"):
        classes.clicked_cell(catalog, names, "odd", "odd")


def test_equal_labels_stay_apart(catalog, predictions):
    same = dataclasses.replace(catalog, classes=catalog.classes.assign(label="same"))
    cells = classes.confusion(predictions, "transfer", same, ["A", "B", "C"]).data[0]
    assert list(cells.x) == ["same [A]", "same [B]", "same [C]"]
    assert classes.clicked_cell(same, ["A", "B", "C"], cells.x[0], cells.y[1]) == ("B", "A")


def test_transfer_weights_are_those_of_the_split(catalog, predictions):
    assert (
        np.array(classes.transfer_weights(predictions, catalog).data[0].z).tolist()
        == WEIGHTS[[1, 0, 2]].tolist()
    )


def test_the_right_class_has_its_own_colour_and_sign(catalog):
    bars = classes.prediction_bars({"A": 1, "B": 2, "C": 0}, "A", catalog, "about").data[0]
    assert list(bars.text) == ["1 ✓", "2 ✗", ""] and bars.marker.color[0] != bars.marker.color[1]


def test_without_reductions_or_further_prompts_the_figures_are_smaller(results):
    splits = results.splits()
    few = [one for one in splits[0].scored if one.reduction == "none" and one.prompt == "description"]
    for split in splits:
        split.scored = tuple(few)
        split._by_key = {one.key: one for one in few}
    alone = Results({"one": splits})
    assert len(hubs.hubness_before_after(alone).layout.yaxis.ticktext) == 2
    assert len(TARGETS) == 12 and set(LABELS) > set(METHODS)
