"""zsar_lab.viz.widgets.space and map_points: what a selection opens, and the map driven from Python."""

from __future__ import annotations

import html
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from seven_classes import IMAGE, LABELS, SCRIPT

from zsar_lab.viz import explanations, projection
from zsar_lab.viz.figures import space as figures
from zsar_lab.viz.figures.space import COLOURINGS, colouring, hover_texts, points_on_map, select
from zsar_lab.viz.projection import SpaceMap
from zsar_lab.viz.widgets.space import SpaceExplorer


@pytest.fixture
def points(space, predictions) -> pd.DataFrame:
    return points_on_map(space, predictions)


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", "", page))


def said(widget: SpaceExplorer, page: str = "clips") -> str:
    return text_of(widget.html[page].value)


def floats(content: bytes, columns: int) -> np.ndarray:
    return np.frombuffer(content, np.float32).reshape(-1, columns)


def choose_rows(widget: SpaceExplorer, *rows: int) -> None:
    """As the canvas does it: what it sets arrives as a view of memory."""
    content = memoryview(np.array(rows, np.uint32).tobytes())
    widget.canvas.set_state({"selected": content})


@pytest.fixture
def widget(space, catalog, predictions) -> SpaceExplorer:
    return SpaceExplorer(space, catalog, predictions)


# what clips are


@pytest.mark.parametrize("method", ["transfer", "direct"])
def test_points_on_the_map_are_predicted_as_each_clip_is(space, predictions, method):
    wanted = {clip.clip: clip for clip in explanations.clip_table(predictions, method).itertuples()}
    for clip in points_on_map(space, predictions, method).itertuples():
        row = wanted.get(clip.clip)
        assert clip.prediction == (row.prediction if row else None) and clip.right == bool(row and row.right)
        assert clip.margin == pytest.approx(row.margin) if row else np.isnan(clip.margin)
        n1 = {"A": 1, "B": 10, "C": 1} if method == "transfer" else {"A": 4, "B": 4, "C": 4}
        assert clip.hubness == n1[row.prediction] / 4 if row else np.isnan(clip.hubness)


def test_predictions_of_another_split_are_refused(space, predictions):
    with pytest.raises(ValueError, match="split 0"):
        points_on_map(replace(space, unseen=("A", "C", "B")), predictions)
    with pytest.raises(KeyError, match="guessing"):
        points_on_map(space, predictions, "guessing")


@pytest.mark.parametrize("colour_by", COLOURINGS)
def test_every_clip_has_a_look_and_equal_clips_the_same(space, catalog, points, colour_by):
    looks, number = colouring(space, catalog, colour_by, points)
    scored = points["prediction"].notna()
    told = {
        "group": points["group"],
        "class": points["class"].where(points["group"] == "unseen", points["group"]),
    }
    told["right"] = [(one, right) for one, right in zip(scored, points["right"])]
    told["hubness"] = points["hubness"].fillna(-1)
    assert len(set(zip(number, told[colour_by]))) == len(set(number)) == len(set(told[colour_by]))
    assert len(number) == len(space.ids) and 0 <= number.min() and number.max() < len(looks)
    assert len({(look.colour, look.symbol) for look in looks}) == len(looks)


def test_pointing_tells_class_prediction_and_margin(space, points):
    texts = dict(zip(space.ids, hover_texts(points, LABELS)))
    assert texts["A/0"] == f"{IMAGE}\n✓ right, margin +0.500"
    assert texts["A/1"] == f"{IMAGE}\n✗ predicted as {SCRIPT}, margin -0.500"
    assert texts["S1/0"] == "stand\nof a seen class: not scored"


# selections


def test_a_selection_puts_the_most_wrong_first_and_counts(space, catalog, points):
    points["margin"] = [-float(n) if name else np.nan for n, name in enumerate(points["prediction"])]
    rows = [space.ids.index(clip) for clip in ("S1/0", "A/0", "A/1", "A/2", "B/0")]
    ids, page, _ = select(points, catalog, [*rows, rows[0]])
    assert ids == ("A/2", "A/1", "B/0", "A/0", "S1/0")
    for part in (
        f"5 clips are selected: 3 of {IMAGE}",
        f"1 of {SCRIPT}",
        "2 right and 2 wrong",
        "1 of classes",
    ):
        assert part in text_of(page)
    assert select(points, catalog, [])[0] == () and "No clip is selected" in select(points, catalog, [])[1]
    with pytest.raises(ValueError, match=r"0\.\.27 .*got 28"):
        select(points, catalog, [0, 28])


def test_of_many_clips_some_are_opened_and_the_rest_is_counted(catalog, points):
    _, page, grid = select(points, catalog, range(28), most=5)
    page += grid
    assert page.count("<video") == page.count("✗") == 5 and "23 more are not." in page
    assert "<img" not in page and "<script" not in page and "predicted as &lt;/script&gt;" in page


# the widget


def test_it_shows_every_clip_and_prototype(widget, space):
    canvas = widget.canvas
    np.testing.assert_allclose(floats(canvas.xy, 2), space.clips_xy, atol=1e-6)
    assert len(canvas.texts) == 28 and len(canvas.marks) == 2 + 2 + 3 * 3
    assert floats(canvas.lines, 4).shape == (3, 4)
    names = [canvas.looks[mark["look"]]["name"] for mark in canvas.marks]
    composed = [mark for mark, name in zip(canvas.marks, names) if name == "composed unseen prototypes"]
    places = {mark["name"]: (mark["x"], mark["y"]) for mark in composed}
    assert places[IMAGE] == pytest.approx(tuple(space.composed_xy[0]))
    assert all(mark["written"] for mark in composed)
    name = {IMAGE: "A", SCRIPT: "B"}.get(composed[0]["name"], "C")
    assert {space.classes[row] for row in composed[0]["clips"]} == {name}
    assert "zsar-space" in widget._dom_classes and "trustworthiness" in said(widget, "about")


def test_choosing_method_colour_and_class(widget, space):
    controls, clip = widget.controls, space.ids.index("A/1")
    choose_rows(widget, clip)
    assert "0 right and 1 wrong" in said(widget)
    controls["method"].value = "direct"
    assert "1 right and 0 wrong" in said(widget) and "✓ right" in widget.canvas.texts[clip]
    version = widget.canvas.version
    controls["colour_by"].value = "right"
    assert widget.canvas.version == version + 1 and widget.canvas.looks[1]["name"].startswith("right")
    for _ in range(2):  # the same class again, after something else was selected
        controls["name"].value = "C"
        assert said(widget).startswith("4 clips are selected: 4 of cat walk")
        assert np.frombuffer(widget.canvas.selected, np.uint32).tolist() == list(widget.state.rows)
        choose_rows(widget, 0)
        assert controls["name"].value == "" and widget.state.rows == (0,)


def of_seen(space: SpaceMap) -> SpaceMap:
    """A map of the same clips with other places."""
    places = {"clips_xy": -space.clips_xy, "true_xy": space.true_xy + 1}
    return replace(space, fitted_on=projection.SEEN, trustworthiness=0.5, **places)


def test_changing_between_maps_keeps_what_is_chosen(space, catalog, predictions):
    widget = SpaceExplorer([space, of_seen(space)], catalog, predictions)
    canvas = widget.canvas
    widget.choose(method="direct", colour_by="right")
    choose_rows(widget, space.ids.index("A/1"))
    assert widget.controls["fitted_on"].options == (("all clips", "all"), ("seen classes", "seen"))
    widget.controls["fitted_on"].value = "seen"
    np.testing.assert_allclose(floats(canvas.xy, 2), -space.clips_xy, atol=1e-6)
    np.testing.assert_allclose(floats(canvas.lines, 4)[:, 2:], space.true_xy + 1, atol=1e-6)
    assert "fitted on seen classes; trustworthiness 0.50" in said(widget, "about")
    assert "Do not trust this map" in said(widget, "about")
    assert canvas.looks[1]["name"].startswith("right") and widget.selected_ids == ("A/1",)
    widget.choose(fitted_on="all")
    np.testing.assert_allclose(floats(canvas.xy, 2), space.clips_xy, atol=1e-6)
    assert f"trustworthiness {space.trustworthiness:.2f}" in said(widget, "about")


def test_maps_that_cannot_be_changed_between_are_refused(space, catalog, predictions):
    fewer = replace(of_seen(space), ids=space.ids[:-1])
    for maps, got in (([], "none"), ([space, space], "'all' of 28, 'all'"), ([space, fewer], "'seen' of 27")):
        with pytest.raises(ValueError, match=f"same clips.*{got}"):
            SpaceExplorer(maps, catalog, predictions)


def test_a_failure_is_shown_raised_and_leaves_the_selection(widget, monkeypatch):
    def fail(*_):
        raise RuntimeError("it is <b>gone</b>")

    choose_rows(widget, 2)
    monkeypatch.setattr(figures, "select", fail)
    with pytest.raises(RuntimeError, match="gone"):
        choose_rows(widget, 1)
    assert "RuntimeError: it is &lt;b&gt;gone&lt;/b&gt;" in widget.html["message"].value
    assert widget.state.rows == (2,) and np.frombuffer(widget.canvas.selected, np.uint32).tolist() == [2]


def test_a_search_shows_the_clips_on_the_map_in_its_order(space, catalog, predictions):
    order = [*reversed(space.ids), "not on the map"]
    table = pd.DataFrame({"clip": order, "score": np.linspace(0.9, 0.1, len(order))})
    widget = SpaceExplorer(
        space, catalog, predictions, find=lambda text: table[: 3 if text == "three" else None]
    )
    widget.controls["query"].value = "three"
    assert widget.selected_ids == tuple(order[:3])
    assert re.findall(r"score \+0\.\d+", text_of(widget.grid.html))[:1] == ["score +0.900"]
    assert "nearest to “three”" in said(widget) and "no probability" in said(widget)
    ringed = np.frombuffer(widget.canvas.selected, np.uint32)
    assert [space.ids[row] for row in ringed] == order[:3]
    choose_rows(widget, 0)
    assert widget.selected_ids == (space.ids[0],) and widget.controls["query"].value == ""
