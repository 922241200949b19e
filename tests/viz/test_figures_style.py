"""viz/figures style and files: text is never markup, the shared charts, and figures as files."""

from __future__ import annotations

import importlib.util
import shutil

import numpy as np
import pandas as pd
import pytest

from zsar_lab.viz import figures
from zsar_lab.viz.figures import for_paper, save_figure, style, write_page
from zsar_lab.viz.figures.style import BLUE, CLEAR, GREY, interval_rows, new_figure, plain, tick

SCRIPT, ODD = "</script><script>alert(1)</script>", "<b>$x$ %{y}"


def rows_of(**more: list) -> pd.DataFrame:
    names = {"name": ["x", "y", ODD], "look": ["a", "b", "a"], "hover": ["one", "two", "three"]}
    return pd.DataFrame(names | {"value": [1.0, 2.0, 3.0], "low": 0.5, "high": [2.0, 4.0, 6.0]} | more)


LOOKS = {"a": ("first", BLUE, "circle", 0.0), "b": ("second", GREY, "square", 0.25)}


def test_plain_text_is_neither_tag_nor_entity_nor_template():
    assert plain("<b>&amp; %{y} $x$") == "&lt;b&gt;&amp;amp; %&#123;y} &#36;x&#36;"
    assert tick("x" * 40) == "x" * 27 + "…"
    assert style.unlike({"a": "same", "b": "same", "c": "other"}, "abc") == ["same [a]", "same [b]", "other"]


def test_rows_are_points_with_their_intervals_by_name():
    figure = interval_rows("title", "about", "points", rows_of(), LOOKS, line=0.5)
    first, second = figure.data
    assert (first.x, first.y, second.x, second.y) == ((1, 3), (0, 2), (2,), (1.25,))
    np.testing.assert_allclose(np.subtract(first.x, first.error_x.arrayminus), 0.5)
    np.testing.assert_allclose(np.add(first.x, first.error_x.array), [2, 6])
    assert list(first.customdata[1]) == [0.5, 6.0, "three"] and figure.layout.shapes[0].x0 == 0.5
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]
    assert figure.layout.yaxis.ticktext == ("x", "y", "&lt;b&gt;&#36;x&#36; %&#123;y}")


def test_rows_may_have_headings_notes_open_symbols_and_chances():
    more = {"group": ["", "g", "g"], "note": ["", "n", ""], "open": [False, True, True], "chance": [9, 8, 7]}
    figure = interval_rows("title", "about", "points", rows_of(**more), LOOKS)
    assert figure.layout.yaxis.ticktext[:3] == ("x", "<b>g</b>", "y<br><i>n</i>")
    first, second, chance = figure.data
    assert (first.y, second.y, chance.y, chance.x) == ((0, 3), (2.25,), (0, 2, 3), (9, 8, 7))
    assert (first.marker.symbol, second.marker.symbol) == (("circle", "circle-open"), ("square-open",))


def test_a_widget_is_redrawn_only_as_a_figure_of_the_same_kind():
    one = new_figure("title", "about", "x", "y").add_scatter(x=[1], y=[1])
    two = new_figure("title", "about", "x", "y").add_scatter(x=[2], y=[2]).add_scatter(x=[3], y=[3])
    with pytest.raises(ValueError, match="1 traces as before, got 2"):
        style.redraw(one, two)
    style.move(one, [{"x": [5]}])
    assert one.data[0].x == (5,) and one.data[0].y == (1,)


# files


@pytest.fixture
def figure():
    made = new_figure(f"A title {SCRIPT}", "about", "time (s)", "top-1 accuracy (%)")
    made.add_scatter(x=[1, 2], y=[3, 4], marker_color=BLUE)
    made.add_hline(y=3.5, line={"color": GREY, "dash": "dot"})
    made.add_annotation(text="chance", x=1, y=3, font={"color": GREY})
    made.add_annotation(text="coloured", x=1, y=3, font={"color": BLUE})
    return made


def test_for_paper_changes_a_copy_alone(figure):
    before, paper = figure.to_json(), for_paper(figure)
    assert figure.to_json() == before and figure.layout.paper_bgcolor == CLEAR
    colours = (paper.layout.paper_bgcolor, paper.layout.font.color, paper.layout.xaxis.color)
    assert colours == ("#ffffff", "#000000", "#000000") and paper.layout.shapes[0].line.color == "#000000"
    assert [note.font.color for note in paper.layout.annotations] == ["#000000", BLUE]
    assert paper.data[0].marker.color == BLUE and GREY not in paper.to_json()


def test_a_page_needs_no_other_file_and_holds_no_markup_of_the_data(figure, tmp_path):
    path = save_figure(figure, tmp_path / "new" / "figure.HTML")
    content = path.read_text(encoding="utf-8")
    assert "Plotly.newPlot" in content and SCRIPT not in content
    assert 'src="http' not in content.split("Plotly.newPlot")[1]
    assert [found.name for found in path.parent.iterdir()] == ["figure.HTML"]


def test_a_page_of_several_figures_holds_plotly_once(figure, tmp_path):
    write_page([figure, figure], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("plotly-graph-div") >= 2 and SCRIPT not in page
    assert 1_000_000 < len(page) < 8_000_000 and [path.name for path in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.svg.txt"])
def test_other_endings_are_refused(figure, tmp_path, name):
    with pytest.raises(ValueError, match=f"got '{name}'"):
        save_figure(figure, tmp_path / name)


@pytest.mark.parametrize("size", [{"width_px": 0}, {"height_px": -1}, {"scale": 0.0}])
def test_sizes_that_are_none_are_refused(figure, tmp_path, size):
    with pytest.raises(ValueError, match="must be above 0"):
        save_figure(figure, tmp_path / "x.svg", **size)


def test_what_is_missing_is_said_and_leaves_no_file(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"zsar_lab\[figures\]"):
        save_figure(figure, tmp_path / "x.svg")
    monkeypatch.undo()
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: True)

    def fails(*args: object, **more: object) -> bytes:
        raise OSError("no browser\nat all")

    monkeypatch.setattr(type(for_paper(figure)), "to_image", fails)
    with pytest.raises(RuntimeError, match=r"\(no browser\); set BROWSER_PATH"):
        save_figure(figure, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.skipif(
    importlib.util.find_spec("kaleido") is None or not shutil.which("chromium"),
    reason="needs kaleido and chromium",
)
def test_images_are_drawn_in_the_size_asked_for(figure, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", shutil.which("chromium"))
    paths = [
        save_figure(figure, tmp_path / f"figure.{kind}", 600, 300, scale=1.5)
        for kind in ("svg", "pdf", "png")
    ]
    svg, pdf, png = (path.read_bytes() for path in paths)
    assert b"<svg" in svg[:200] and b"top-1 accuracy" in svg and b"<script" not in svg
    assert pdf.startswith(b"%PDF-") and png.startswith(b"\x89PNG")
    assert (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (900, 450)
