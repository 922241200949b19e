"""Plotly figures, a file for each subject; here as files: svg, pdf or png on white for papers, and pages."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

try:
    import plotly.graph_objects as go
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("figures need plotly: pip install 'zsar_lab[lab]'") from error

from zsar_lab.files import writing
from zsar_lab.viz.figures.style import GREY

KINDS = ("svg", "pdf", "png", "html")
INK, PAPER, LINES = "#000000", "#ffffff", "#d0d0d0"


def __getattr__(name: str) -> Any:
    """The module of that name, so that a notebook needs to import this folder alone."""
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{__name__}.{name}":
            raise
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def save_figure(
    figure: go.Figure, path: str | Path, width_px: int = 900, height_px: int | None = None, scale: float = 2.0
) -> Path:
    """Write a figure of this library; the file's name says as what.

    The ending is .svg, .pdf, .png or .html (a page that needs no other file); a file there is replaced.
    Images have black text on white, whatever the notebook's theme; each takes kaleido and Chromium seconds.

    Returns:
        The path.

    Raises:
        ValueError: another ending, or a size or scale that is not above 0.
        ModuleNotFoundError: kaleido is not installed.
        RuntimeError: no browser could draw it.
    """
    path = Path(path)
    kind = path.suffix.lower().removeprefix(".")
    if kind not in KINDS:
        raise ValueError(f"a figure's file must end in .svg, .pdf, .png or .html, got '{path.name}'")
    if not (width_px > 0 and scale > 0 and (height_px is None or height_px > 0)):
        raise ValueError(f"width, height and scale must be above 0, got {width_px}, {height_px} and {scale}")
    if kind == "html":
        write_page([figure], path)
        return path
    if importlib.util.find_spec("kaleido") is None:
        raise ModuleNotFoundError(
            "svg, pdf and png need kaleido: install 'zsar_lab[figures]', or save as .html"
        )
    size = {"width": width_px, "height": height_px or figure.layout.height, "scale": scale}
    try:
        content = for_paper(figure).to_image(format=kind, **size)
    except Exception as error:  # kaleido raises what the browser's start raised
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise RuntimeError(
            f"no browser could draw the figure ({first}); set BROWSER_PATH to Chromium, or save as .html"
        ) from error
    with writing(path) as temporary:
        temporary.write_bytes(content)
    return path


def for_paper(figure: go.Figure) -> go.Figure:
    """A copy on white, with text, axes and level lines in black instead of the grey for both themes."""
    paper = go.Figure(figure)
    paper.update_layout(
        paper_bgcolor=PAPER, plot_bgcolor=PAPER, font_color=INK, title_font_color=INK, legend_font_color=INK
    )
    for axes in (paper.for_each_xaxis, paper.for_each_yaxis):
        axes(lambda axis: axis.update(color=INK, gridcolor=LINES, zerolinecolor=LINES, linecolor=INK))
    paper.for_each_annotation(lambda note: note.update(font_color=INK) if note.font.color == GREY else None)
    paper.for_each_shape(lambda shape: shape.update(line_color=INK) if shape.line.color == GREY else None)
    return paper


def write_page(figures: Sequence[go.Figure], path: Path) -> None:
    """Write figures one below the other as a page for any browser, which needs no other file."""
    parts = [
        figure.to_html(include_plotlyjs=not number, full_html=False) for number, figure in enumerate(figures)
    ]
    body = '<!DOCTYPE html>\n<html><head><meta charset="utf-8"></head><body>\n{}\n</body></html>\n'
    with writing(path) as temporary:
        temporary.write_text(body.format("\n".join(parts)), encoding="utf-8")
