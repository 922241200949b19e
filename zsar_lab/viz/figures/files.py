"""Figures as files for papers: svg, pdf or png of fixed size on white, or a page that needs no other file."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import plotly.graph_objects as go

from zsar_lab.files import writing
from zsar_lab.viz.figures.style import GREY

IMAGES, PAGE = ("svg", "pdf", "png"), "html"
INK, PAPER, LINES = "#000000", "#ffffff", "#d0d0d0"


def save_figure(
    figure: go.Figure, path: str | Path, width_px: int = 900, height_px: int | None = None, scale: float = 2.0
) -> Path:
    """Write a figure of this library as the kind of file that its name asks for.

    Images are on white with black text, whatever the theme of the notebook; the figure itself is not changed.
    They are drawn by kaleido in Chromium, which takes some seconds each.

    Args:
        figure: any of `zsar_lab.viz`.
        path: ending in .svg, .pdf, .png or .html; its folder is made if absent, and a file that is there is
            replaced.
        width_px: of images; a page is as wide as its window.
        height_px: of images; None for that of the figure.
        scale: pixels of a png a pixel asked for.

    Returns:
        The path.

    Raises:
        ValueError: another ending, or a size or scale that is not above 0.
        ModuleNotFoundError: kaleido is not installed.
        RuntimeError: no browser could draw it.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in (*IMAGES, PAGE):
        raise ValueError(f"a figure's file must end in .svg, .pdf, .png or .html, got '{path.name}'")
    if not (width_px > 0 and scale > 0 and (height_px is None or height_px > 0)):
        raise ValueError(
            f"width, height and scale of a figure must be above 0, got {width_px}, {height_px} and {scale}"
        )
    content = _page(figure) if kind == PAGE else _image(for_paper(figure), kind, width_px, height_px, scale)
    with writing(path) as temporary:
        temporary.write_bytes(content)
    return path


def for_paper(figure: go.Figure) -> go.Figure:
    """A copy on white, with text, axes and level lines in black instead of the grey that reads in both themes."""
    paper = go.Figure(figure)
    paper.update_layout(
        paper_bgcolor=PAPER, plot_bgcolor=PAPER, font_color=INK, title_font_color=INK, legend_font_color=INK
    )
    for axes in (paper.for_each_xaxis, paper.for_each_yaxis):
        axes(lambda axis: axis.update(color=INK, gridcolor=LINES, zerolinecolor=LINES, linecolor=INK))
    paper.for_each_annotation(lambda note: note.update(font_color=INK) if note.font.color == GREY else None)
    paper.for_each_shape(lambda shape: shape.update(line_color=INK) if shape.line.color == GREY else None)
    return paper


def _page(figure: go.Figure) -> bytes:
    return figure.to_html(include_plotlyjs=True, full_html=True).encode("utf-8")


def _image(figure: go.Figure, kind: str, width_px: int, height_px: int | None, scale: float) -> bytes:
    if importlib.util.find_spec("kaleido") is None:
        raise ModuleNotFoundError(
            "svg, pdf and png need kaleido and a Chromium or Chrome; install 'zsar_lab[figures]', or save the figure as .html"
        )
    try:
        return figure.to_image(
            format=kind, width=width_px, height=height_px or figure.layout.height, scale=scale
        )
    except Exception as error:  # kaleido raises what the browser's start raised
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise RuntimeError(
            f"the figure could not be drawn by a browser ({first}); set BROWSER_PATH to Chromium, or save the figure as .html"
        ) from error
