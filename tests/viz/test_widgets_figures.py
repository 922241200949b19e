"""zsar_lab.viz.widgets_figures: plotly's code once a kernel, figures that fit; and that what is written in figures does not overlap."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import plotly.graph_objects as go
import pytest
from test_rescore import PROTOCOL, clips, good, vague  # noqa: F401  (fixtures)
from test_widgets_explorer import CATALOG, Parts, explorers, map_of  # noqa: F401  (a fixture)

from zsar_lab.viz import widgets_figures
from zsar_lab.viz.figures.explorer import LETTER, PLACES, accuracy_dots, map_traces, name_places
from zsar_lab.viz.figures.style import NO_BUTTONS, new_figure
from zsar_lab.viz.widgets_explorer import transfer_explorer
from zsar_lab.viz.widgets_figures import CODE, FigureFitter, as_widget


def test_figures_share_one_copy_of_plotlys_code():
    first, second = (as_widget(go.Figure(go.Bar(y=[n]))) for n in (1, 2))
    states = [figure.get_state() for figure in (first, second)]
    assert [len(state["_esm"]) < 5000 for state in states] == [True, True] and states[0]["_esm"] == states[1][
        "_esm"
    ]
    assert first._code == second._code != "" and CODE.stat().st_size > 1_000_000
    assert (
        widgets_figures._code().model_id == first._code
        and widgets_figures._code().value == CODE.read_text(encoding="utf-8")
    )
    # every message that FigureWidget sends is one that the browser's side keeps until plotly is there
    sent = {name.removeprefix("_py2js_") for name in first.traits() if name.startswith("_py2js_")}
    assert sent and all(f'"{name}"' in states[0]["_esm"] for name in sent)


def test_a_widget_follows_its_window_and_sends_nothing_away():
    widget = as_widget(new_figure("title", "about", "x", "y"))
    assert (
        widget._config["responsive"] is True
        and widget.layout.autosize is True
        and widget.layout.height == 420
    )
    assert "sendChartToCloud" in NO_BUTTONS and set(widget.layout.modebar.remove) == set(NO_BUTTONS)


def test_a_box_with_figures_has_one_that_fits_them(explorers):  # noqa: F811
    box = transfer_explorer(CATALOG, explorers)
    assert [type(child).__name__ for child in box.children].count("FigureFitter") == 1 and isinstance(
        box.children[-1], FigureFitter
    )


def boxes_of(
    xy: np.ndarray, lengths: list[int], places: list[str]
) -> list[tuple[float, float, float, float]]:
    """Left, right, low and high of each name, by a plain loop."""
    found = []
    for (x, y), length, place in zip(xy, lengths, places):
        right, up = PLACES[place]
        wide, high = length * LETTER[0], LETTER[1]
        cx, cy = x + right * (wide / 2 + 5), y + up * (high / 2 + 8)
        found.append((cx - wide / 2, cx + wide / 2, cy - high / 2, cy + high / 2))
    return found


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]


@pytest.mark.parametrize("seed", range(5))
def test_names_of_points_side_by_side_do_not_overlap(seed):
    random = np.random.default_rng(seed)
    xy = random.uniform((100, 100), (600, 300), (10, 2))
    xy[1] = xy[0] + (3, 2)  # two prototypes in nearly one place
    lengths = random.integers(4, 20, 10).tolist()
    places = name_places(xy, lengths, xy)
    boxes = boxes_of(xy, lengths, places)
    assert not [pair for pair in itertools.combinations(boxes, 2) if overlap(*pair)]
    assert [
        pair
        for pair in itertools.combinations(boxes_of(xy, lengths, ["top center"] * 10), 2)
        if overlap(*pair)
    ]  # as it was


def test_a_name_leaves_a_sign_uncovered_where_it_can():
    place = np.array([[100.0, 100.0]])
    assert name_places(place, [10], place) == ["top center"]
    assert name_places(place, [10], np.array([[100.0, 115.0]])) == ["bottom center"]
    assert name_places(place, [10], np.array([[100.0, 115.0], [100.0, 85.0]])) == ["middle right"]


def test_places_of_names_move_with_the_prototypes_and_only_of_few(explorers):  # noqa: F811
    explorer = explorers["one"]
    space = map_of(explorer)
    now = map_traces(space, CATALOG, space.composed_xy, space.composed_xy)[-1]
    assert len(now["textposition"]) == len(space.unseen) and set(now["textposition"]) <= PLACES.keys()
    many = dataclasses.replace(
        space,
        unseen=space.unseen * 10,
        composed_xy=np.tile(space.composed_xy, (10, 1)),
        true_xy=np.tile(space.true_xy, (10, 1)),
    )
    assert "textposition" not in map_traces(many, CATALOG, many.composed_xy, many.composed_xy)[-1]
    parts = Parts(
        transfer_explorer(
            CATALOG, explorers, {split: map_of(explorer) for split, explorer in explorers.items()}
        )
    )
    assert len(parts.map.data[-1].textposition) == len(space.unseen)


def test_what_is_written_at_the_dots_of_two_rows_stays_apart():
    """Two lines of 13 px text, below the dots of one row and above those of the other, fit between the rows at any values."""
    figure = accuracy_dots(PROTOCOL, CATALOG)
    low, high = figure.layout.yaxis.range
    between = (figure.layout.height - figure.layout.margin.t - figure.layout.margin.b) / abs(high - low)
    _, chosen, now = figure.data
    text = 1.3 * figure.layout.font.size
    assert between > (chosen.marker.size + now.marker.size) / 2 + 2 * text
    assert (chosen.textposition, now.textposition) == ("bottom center", "top center")
    # at 100 % half of "chosen 100.0 %" fits between the end of the axis and of the figure
    assert figure.layout.margin.r >= 14 * LETTER[0] / 2
