"""zsar_lab.viz.figures.files: a figure as a file of each kind, and what is said where there is no browser."""

from __future__ import annotations

import importlib.util
import shutil

import pytest

from zsar_lab.viz.figures import files as figures_files
from zsar_lab.viz.figures.files import for_paper, save_figure
from zsar_lab.viz.figures.style import BLUE, CLEAR, GREY, new_figure

SCRIPT = "</script><script>alert(1)</script>"


@pytest.fixture
def figure():
    made = new_figure(f"A title {SCRIPT}", "about", "time (s)", "top-1 accuracy (%)")
    made.add_scatter(x=[1, 2], y=[3, 4], marker_color=BLUE)
    made.add_hline(y=3.5, line={"color": GREY, "dash": "dot"})
    made.add_annotation(text="chance", x=1, y=3, font={"color": GREY})
    made.add_annotation(text="kept", x=1, y=3, font={"color": BLUE})
    return made


def test_for_paper_changes_a_copy_alone(figure):
    before = figure.to_json()
    paper = for_paper(figure)
    assert figure.to_json() == before and figure.layout.paper_bgcolor == CLEAR
    assert (paper.layout.paper_bgcolor, paper.layout.font.color, paper.layout.xaxis.color) == (
        "#ffffff",
        "#000000",
        "#000000",
    )
    assert paper.layout.shapes[0].line.color == "#000000" and [
        note.font.color for note in paper.layout.annotations
    ] == ["#000000", BLUE]
    assert paper.data[0].marker.color == BLUE and GREY not in paper.to_json()


def test_a_page_needs_no_other_file_and_holds_no_markup_of_the_data(figure, tmp_path):
    path = save_figure(figure, tmp_path / "new" / "figure.HTML")
    content = path.read_text(encoding="utf-8")
    assert (
        "Plotly.newPlot" in content
        and SCRIPT not in content
        and 'src="http' not in content.split("Plotly.newPlot")[1]
    )
    assert [found.name for found in path.parent.iterdir()] == ["figure.HTML"]


@pytest.mark.parametrize("name", ["figure", "figure.jpg", "figure.svg.txt"])
def test_other_endings_are_refused(figure, tmp_path, name):
    with pytest.raises(ValueError, match=rf"must end in .svg, .pdf, .png or .html, got '{name}'"):
        save_figure(figure, tmp_path / name)


@pytest.mark.parametrize("size", [{"width_px": 0}, {"height_px": -1}, {"scale": 0.0}])
def test_sizes_that_are_none_are_refused(figure, tmp_path, size):
    with pytest.raises(ValueError, match="width, height and scale of a figure must be above 0, got"):
        save_figure(figure, tmp_path / "x.svg", **size)


def test_what_is_missing_is_said_and_leaves_no_file(figure, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        ModuleNotFoundError,
        match=r"need kaleido and a Chromium or Chrome; install 'zsar_lab\[figures\]', or save the figure as .html",
    ):
        save_figure(figure, tmp_path / "x.svg")
    monkeypatch.undo()
    monkeypatch.setattr(figures_files.importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(
        type(figure), "to_image", lambda *a, **k: (_ for _ in ()).throw(OSError("no browser\nat all"))
    )
    with pytest.raises(
        RuntimeError,
        match=r"could not be drawn by a browser \(no browser\); set BROWSER_PATH to Chromium, or save the figure as .html",
    ):
        save_figure(figure, tmp_path / "x.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    importlib.util.find_spec("kaleido") is None or not shutil.which("chromium"),
    reason="needs kaleido and chromium",
)
def test_images_are_drawn_in_the_size_asked_for(figure, tmp_path, monkeypatch):
    monkeypatch.setenv("BROWSER_PATH", shutil.which("chromium"))
    svg, pdf, png = (
        save_figure(figure, tmp_path / f"figure.{kind}", 600, 300, scale=1.5).read_bytes()
        for kind in ("svg", "pdf", "png")
    )
    assert b"<svg" in svg[:200] and b"top-1 accuracy" in svg and b"<script" not in svg
    assert (
        pdf.startswith(b"%PDF-")
        and png.startswith(b"\x89PNG")
        and (int.from_bytes(png[16:20]), int.from_bytes(png[20:24])) == (900, 450)
    )
