"""zsar_lab.viz.figures_text: the numbers in the figures of class texts."""

from __future__ import annotations

import numpy as np
import pytest
from test_tables_text import PROMPTS, made_report

from zsar_lab.results.evaluate import RIDGE, TRANSFER
from zsar_lab.viz.figures_text import text_differences, text_scores


@pytest.fixture(scope="module")
def report():
    return made_report()


def test_differences_are_those_of_the_rows_the_largest_on_top(report):
    figure = text_differences(report)
    rows = {row.class_text: row for row in report.compare_texts()}
    order = ["label_and_description", "description", "<b>$x$ %{y}"]
    claimed, open_ones = figure.data
    assert (list(claimed.y), list(open_ones.y)) == ([0, 2], [1])
    assert (
        "can be claimed (Holm's p at most 0.05)" in claimed.name
        and open_ones.name == "no difference can be claimed"
    )
    assert claimed.marker.symbol == "circle" and open_ones.marker.symbol == "circle-open"
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]  # number 0 on top
    for trace in figure.data:
        for place, x, above, below in zip(trace.y, trace.x, trace.error_x.array, trace.error_x.arrayminus):
            row = rows[order[int(place)]]
            assert x == pytest.approx(100 * row.difference)
            assert (x - below, x + above) == pytest.approx(tuple(100 * end for end in row.difference_ci95))
    assert [shape.x0 for shape in figure.layout.shapes] == [0]
    assert (
        figure.layout.annotations[0].text
        == f"label {100 * rows['label'].top1:.1f} %; validation chooses it in 0 of 2 splits"
    )
    assert figure.layout.xaxis.title.text == "difference of top-1 to label (points)"
    assert figure.layout.yaxis.ticktext[1] == "description<br><i>chosen in 1 of 2 splits</i>"


def test_differences_under_another_method_and_baseline(report):
    figure = text_differences(report, RIDGE, "description")
    rows = {row.class_text: row for row in report.compare_texts(RIDGE, "description")}
    found = np.sort(np.concatenate([trace.x for trace in figure.data]))
    np.testing.assert_allclose(
        found, sorted(100 * row.difference for name, row in rows.items() if name != "description")
    )
    assert (
        "method direct, ridge" in figure.layout.title.text
        and "difference to description" in figure.layout.title.text
    )
    with pytest.raises(ValueError, match="the baseline must be a prompt that was scored"):
        text_differences(report, baseline="names")


def test_names_are_shown_letter_by_letter_and_figures_read_in_dark_themes(report):
    for figure in (
        text_differences(report),
        text_scores(report),
        text_differences(report, baseline="<b>$x$ %{y}"),
    ):
        content = figure.to_json().replace("\\u003c", "<").replace("\\u003e", ">")
        assert (
            "<b>" not in content
            and "$x$" not in content
            and "generated demo videos" in figure.layout.title.text
        )
        assert figure.layout.paper_bgcolor == "rgba(0, 0, 0, 0)" and figure.layout.font.color == "#808080"


def test_a_single_prompt_is_an_empty_figure_with_its_zero_line():
    figure = text_differences(made_report({"label": (0.5, (0.5, 0.5))}))
    assert not figure.data and figure.layout.annotations[0].text.startswith("label ")


def test_scores_have_a_point_a_prompt_and_a_colour_a_method(report):
    figure = text_scores(report)
    assert [trace.name for trace in figure.data] == [RIDGE, TRANSFER]
    rows = {row.class_text: row for row in report.compare_texts()}
    assert list(figure.data[1].y) == pytest.approx([100 * rows[name].top1 for name in PROMPTS])
    assert list(figure.layout.xaxis.ticktext)[:2] == ["description<br>(trained with)", "label"]
    assert figure.layout.shapes[0].y0 == pytest.approx(100 / 12)
