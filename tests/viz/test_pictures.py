"""Pictures of figures and widgets: what they show, that they run nothing, and when a widget is left out."""

from __future__ import annotations

import base64
import io
import re
import sys
from xml.etree import ElementTree

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image
from seven_classes import IMAGE, SCRIPT

from zsar_lab.data.video import write_mp4
from zsar_lab.progress import progress
from zsar_lab.results.tags import Tags
from zsar_lab.viz.figures.picture import svg
from zsar_lab.viz.figures.picture_marks import colours_of, nice
from zsar_lab.viz.figures.style import new_figure
from zsar_lab.viz.widgets import Panel, show_clips, static
from zsar_lab.viz.widgets.class_errors import ClassErrors
from zsar_lab.viz.widgets.space import SpaceExplorer
from zsar_lab.viz.widgets.static import PICTURES_ONLY, picture_of, with_stills

SVG = "{http://www.w3.org/2000/svg}"


def drawn(figure: go.Figure) -> ElementTree.Element:
    return ElementTree.fromstring(svg(figure))


def texts(root: ElementTree.Element) -> dict[str, tuple[float, float]]:
    return {one.text: (float(one.get("x")), float(one.get("y"))) for one in root.iter(f"{SVG}text")}


def pictures_in(html: str) -> list[str]:
    found = re.findall(r"data:image/svg\+xml;base64,([^\"]+)", html)
    return [base64.b64decode(one).decode() for one in found]


def test_points_and_ticks_share_a_scale():
    figure = new_figure("title", "about", "x", "y").update_xaxes(range=[0, 10]).update_yaxes(range=[0, 4])
    figure.add_scatter(x=[4, 6], y=[1, 3], mode="markers", marker={"symbol": "x", "color": "#123456"})
    root = drawn(figure)
    at, (signs,) = texts(root), root.findall(f".//{SVG}path[@fill='#123456']")
    corners = np.array(
        [[float(n) for n in pair.split()] for pair in re.findall(r"[\d.]+ [\d.]+", signs.get("d"))]
    )
    first, second = corners[:12].mean(0), corners[12:].mean(0)
    ends = {name: np.array([at[name][0], 0]) for name in ("4", "6")}  # ticks of x; those of y come later
    heights = {
        one.text: float(one.get("y")) - 4
        for one in root.iter(f"{SVG}text")
        if one.get("text-anchor") == "end"
    }
    assert {"title", "about", "x", "y"} <= at.keys()
    assert first[1] == pytest.approx(heights["1"], abs=0.2) and second[1] == pytest.approx(
        heights["3"], abs=0.2
    )
    middle = [
        float(one.get("x"))
        for one in root.iter(f"{SVG}text")
        if one.text == "6" and one.get("text-anchor") == "middle"
    ]
    assert second[0] == pytest.approx(middle[0], abs=0.2) and ends["6"][0] == middle[0]


@pytest.mark.parametrize(("mode", "lying"), [("overlay", True), ("stack", False), ("group", True)])
def test_bars_are_as_long_as_their_values(mode, lying):
    figure = new_figure("bars", "", "", "").update_layout(barmode=mode)
    for values in ([1.0, 2.0], [3.0, 4.0]):
        names = ["a", "b"]
        x, y = (values, names) if lying else (names, values)
        figure.add_bar(x=x, y=y, orientation="h" if lying else "v")
    rects = [one for one in drawn(figure).iter(f"{SVG}rect") if one.get("opacity")]
    lengths = np.array([float(one.get("width" if lying else "height")) for one in rects])
    assert lengths / lengths[0] == pytest.approx([1, 2, 3, 4], rel=0.01)
    starts = [
        float(one.get("x")) if lying else float(one.get("y")) + float(one.get("height")) for one in rects
    ]
    if mode == "stack":
        assert starts[2] == pytest.approx(starts[0] - lengths[0], abs=0.2)
    else:
        assert len(set(starts)) == 1


def test_cells_have_the_colour_of_their_value():
    figure = new_figure("cells", "", "", "")
    look = {"colorscale": [[0, "#000000"], [1, "rgba(255, 0, 0, 1)"]], "zmin": 0, "zmax": 1}
    figure.add_heatmap(x=["a", "b"], y=["c"], z=[[0.0, 1.0]], text=[["no", "yes"]], **look)
    paths = {one.get("fill"): one.get("d").count("Z") for one in drawn(figure).iter(f"{SVG}path")}
    assert paths["#000000"] == paths["#ff0000"] == 1
    assert colours_of([(0, "rgba(0, 0, 0, 0)"), (1, "#000000")])[0] == "#ffffff"  # clear shows the page


def test_texts_cannot_leave_the_picture():
    figure = new_figure(f"{IMAGE} & {SCRIPT}", "a<b", "x", "y")
    figure.add_scatter(x=[0], y=[1], name=SCRIPT, mode="markers+text", text=["<b>bold</b><br>below"])
    root = drawn(figure)
    assert {"a<b", "bold", "below"} <= texts(root).keys()
    assert {one.tag.removeprefix(SVG) for one in root.iter()} <= {"svg", "rect", "path", "text", "clipPath"}


@pytest.mark.parametrize(("low", "high", "n"), [(0, 1, 6), (-3, 97, 5), (0.001, 0.002, 6), (5, 5, 1)])
def test_ticks_are_few_round_and_inside(low, high, n):
    ticks = nice(low, high)
    assert n <= len(ticks) <= 11 and all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_a_cell_shows_plotly_and_a_picture():
    shown, _ = DisplayFormatter().format(new_figure("of a cell", "", "", "").add_scatter(y=[1, 2]))
    assert shown["application/vnd.plotly.v1+json"]["data"][0]["type"] == "scatter"
    assert "of a cell" in pictures_in(shown["text/html"])[0] and shown["text/plain"].startswith("of a cell")


@pytest.mark.parametrize("change", [{"xaxis_type": "log"}, {}])
def test_what_cannot_be_pictured_is_said(change):
    figure = new_figure("odd", "", "", "").update_layout(**change)
    figure.add_scatter(x=[1, 2], y=[1, 2]) if change else figure.add_box(y=[1, 2])
    with pytest.raises(ValueError, match=r"got (log|box)"):
        svg(figure)
    assert "cannot be drawn without plotly" in figure._repr_mimebundle_()["text/html"]


# widgets


@pytest.fixture
def panels(catalog, predictions, embeddings, space, tmp_path) -> dict[str, Panel]:
    splits, tags = {"stratified-0": predictions}, Tags(tmp_path / "tags.csv")
    errors = ClassErrors(catalog, splits, clips={"stratified-0": embeddings}, tags=tags)
    return {"errors": errors, "map": SpaceExplorer(space, catalog, predictions)}


@pytest.mark.parametrize(
    ("name", "title"), [("errors", "Top-1 of each unseen class"), ("map", "Map of the shared space")]
)
def test_a_widget_is_pictured_with_its_controls_texts_and_figures(panels, name, title):
    html = picture_of(panels[name])
    assert "run this cell to use it" in html and "<b>transfer</b>" in html
    pictures = pictures_in(html)
    assert pictures and any(title in part for part in (html, *pictures)) and len(html) < 300_000
    assert not re.search(r"<script|<video|<img src=x|\son[a-z]+=", html)
    assert html.count("<style") == 1  # that of the picture itself


def test_what_is_not_shown_is_not_in_the_picture():
    hidden = ipywidgets.HTML("hidden", layout={"display": "none"})
    shown = [ipywidgets.Text("<i>", description="name"), ipywidgets.Checkbox(True, description="left out")]
    html = picture_of(ipywidgets.VBox([hidden, *shown, ipywidgets.Button(description="press")]))
    assert "hidden" not in html and "name: <b>&lt;i&gt;</b>" in html
    assert "☑ left out" in html and "[press]" in html


def test_the_picture_comes_before_the_widget_or_alone(panels, monkeypatch):
    shown = []
    monkeypatch.setattr(static, "display", lambda given, **_: shown.append(given))
    panels["map"]._ipython_display_()
    picture, view = shown
    assert "zsar-picture" in picture.data and "application/vnd.jupyter.widget-view+json" in view
    monkeypatch.setenv(PICTURES_ONLY, "1")
    panels["map"]._ipython_display_()
    assert len(shown) == 3 and "zsar-picture" in shown[2].data


def test_a_clip_leaves_its_middle_frame(tmp_path, capsys):
    frames = np.zeros((9, 64, 96, 3), np.uint8)
    frames[3:6, ..., 0] = 200
    write_mp4(tmp_path / "red.mp4", frames, fps=12)
    video = base64.b64encode((tmp_path / "red.mp4").read_bytes()).decode()
    html = (
        f'<video src="data:video/mp4;base64,{video}" width="112" title="a &lt; b" onplay="pause()"></video>'
    )
    (still,) = re.findall(r"data:image/jpeg;base64,([^\"]+)", with_stills(html))
    pixel = np.asarray(Image.open(io.BytesIO(base64.b64decode(still)))).mean((0, 1))
    assert pixel[0] == pytest.approx(200, abs=12) and pixel[1:].max() < 30
    assert with_stills(html).startswith('<video src="data:video/mp4') and with_stills(html).endswith(
        "</video>"
    )
    alone = with_stills(html, plays=False)
    assert (
        alone.startswith("<img")
        and 'width="112"' in alone
        and "onplay" not in alone
        and "<video" not in alone
    )
    assert with_stills('<video src="data:video/mp4;base64,AAAA"></video>', plays=False) == ""
    show_clips(html)
    assert capsys.readouterr().out


def test_a_bar_in_a_notebook_ends_in_a_finished_line(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    for _ in progress(range(3), what="decoding", unit="clip"):
        pass
    last = capsys.readouterr().out.strip().split("\r")[-1]
    assert last.startswith("decoding: 100%") and "3/3" in last
