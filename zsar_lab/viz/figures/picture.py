"""A figure as an SVG picture, drawn without a browser: what a saved notebook shows where nothing runs.

It draws what this library's figures are made of: points, lines, bars, heatmaps, with axes, shapes, notes and
a legend, in black on white. Hovering and colour bars are left out.
"""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from zsar_lab.viz.figures.picture_axes import LETTER, LINE, Axis
from zsar_lab.viz.figures.picture_marks import (
    LEVELS,
    bases_of,
    colours_of,
    each_of,
    is_dark,
    lines_of,
    look_of_sign,
    places_of,
    sign,
    wrapped,
)

WIDTH = 860  # pixels
INK, GRID, AXIS = "#333333", "#e4e4e4", "#888888"
KINDS = {"scatter", "scattergl", "bar", "heatmap"}
MOST_POINTS = 4000  # of one trace; of more, so many are drawn, evenly spread
DASHES = {"dot": "2 3", "dash": "7 4", "dashdot": "7 3 2 3", "longdash": "11 4"}
ANCHORS = {"left": "start", "center": "middle", "right": "end"}


class Figure(go.Figure):
    """A plotly figure that leaves a picture of itself beside it, for pages without plotly's code."""

    _ipython_display_ = None  # plotly's own would leave the picture out

    def _repr_mimebundle_(self, *given: Any, **more: Any) -> dict[str, Any]:
        return bundle(self)


def bundle(figure: go.BaseFigure) -> dict[str, Any]:
    """The outputs of a cell for a figure: plotly's own, and a picture for pages that do not run it."""
    own = {"application/vnd.plotly.v1+json": json.loads(figure.to_json())}
    try:
        picture = image(figure)
    except (ValueError, TypeError, KeyError, AttributeError) as error:  # of what a user has added
        picture = html.escape(f"This figure cannot be drawn without plotly: {error}")
    return own | {"text/html": picture, "text/plain": " ".join(lines_of(figure.layout.title.text))}


def image(figure: go.BaseFigure) -> str:
    """The picture as an img that needs no other file."""
    source = base64.b64encode(svg(figure).encode()).decode()
    alt = html.escape(" ".join(lines_of(figure.layout.title.text)))
    return f'<img alt="{alt}" style="max-width:100%" src="data:image/svg+xml;base64,{source}">'


def svg(figure: go.BaseFigure, width: int = WIDTH) -> str:
    """The figure as the text of an SVG file, `width` pixels wide.

    Raises:
        ValueError: a trace is not of points, bars or cells, or an axis not of numbers or names.
    """
    if other := {trace.type for trace in figure.data} - KINDS:
        raise ValueError(f"a picture is of {', '.join(sorted(KINDS))}, got {', '.join(sorted(other))}")
    return _Drawing(figure, width).draw()


class _Drawing:
    def __init__(self, figure: go.BaseFigure, width: int) -> None:
        self.figure, self.width, self.parts = figure, width, list[str]()
        self.title = wrapped(figure.layout.title.text, width / LETTER - 2)
        names = dict.fromkeys((trace.xaxis or "x", trace.yaxis or "y") for trace in figure.data)
        self.pairs = list(names) or [("x", "y")]
        self.legend = self._legend()
        self.axes = {name: Axis(figure, name) for pair in self.pairs for name in pair}
        ys = [self.axes[name] for _, name in self.pairs]
        left = 14 + max(axis.across + LINE * bool(axis.asked.title.text) for axis in ys)
        margin, height = figure.layout.margin, figure.layout.height or 420
        inner, top = height - (margin.t or 84) - (margin.b or 60), 24 + LINE * len(self.title)
        self.box = left, top, width - 20, top + inner
        for name, axis in self.axes.items():
            axis.put(*((left, width - 20) if name[0] == "x" else (top + inner, top)))
        below = [note for note in figure.layout.annotations if note.yref == "paper" and (note.y or 0) <= 0]
        notes = sum(LINE * len(lines_of(note.text)) + 10 for note in below)
        self.foot = top + inner + max(self.axes[name].down for name, _ in self.pairs) + notes + 8

    # text and axes

    def _place(self, ref: str | None, value: Any, letter: str) -> float:
        left, top, right, bottom = self.box
        if ref == "paper":
            return left + value * (right - left) if letter == "x" else bottom - value * (bottom - top)
        axis = self.axes[(ref or letter).removesuffix(" domain")]
        if (ref or "").endswith(" domain"):
            return axis.ends[0] + value * (axis.ends[1] - axis.ends[0])
        return axis.at(value)

    def write(
        self, x: float, y: float, text: Any, anchor: str = "start", size: int = 12, **more: str
    ) -> None:
        """Lines of text from a place downwards."""
        looks = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in more.items())
        bold = ' font-weight="bold"' if "<b>" in str(text) else ""
        for number, line in enumerate(lines_of(text)):
            place = f'x="{x:.1f}" y="{y + LINE * number:.1f}" text-anchor="{anchor}" font-size="{size}"'
            self.parts.append(f"<text {place}{bold}{looks}>{html.escape(line)}</text>")

    # the picture

    def draw(self) -> str:
        for number, line in enumerate(self.title):
            bold = {"font_weight": "bold"} if not number else {}
            self.write(12, 22 + LINE * number, html.escape(line), size=15 if not number else 12, **bold)
        for pair in self.pairs:
            self._draw_axes(*pair)
        base = dict[Any, float]()
        bars = [trace for trace in self.figure.data if trace.type == "bar"]
        for trace in self.figure.data:
            x, y = (self.axes[trace[f"{letter}axis"] or letter] for letter in "xy")
            if trace.type == "heatmap":
                self._draw_cells(trace, x, y)
            elif trace.type == "bar":
                self._draw_bars(trace, x, y, base, bars.index(trace), len(bars))
            else:
                self._draw_points(trace, x, y)
        for shape in self.figure.layout.shapes:
            x0, x1 = (self._place(shape.xref, value, "x") for value in (shape.x0, shape.x1))
            y0, y1 = (self._place(shape.yref, value, "y") for value in (shape.y0, shape.y1))
            corners = f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"
            if shape.type == "rect":
                corners = f"M{x0:.1f} {y0:.1f}H{x1:.1f}V{y1:.1f}H{x0:.1f}Z"
            refs = (name and name.removesuffix(" domain") for name in (shape.xref, shape.yref))
            self._stroke(corners, shape.line, more=self._inside(*refs) if shape.type == "line" else "")
        for note in self.figure.layout.annotations:
            left = self._place(note.xref, note.x, "x") + (note.xshift or 0)
            top = self._place(note.yref, note.y, "y") + (LINE if note.yanchor == "top" else -4)
            anchor = ANCHORS.get(note.xanchor, "middle")
            self.write(left, top - (note.yshift or 0), note.text, anchor)
        height = self._draw_legend()
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {height:.0f}"'
        head += f' width="{self.width}" height="{height:.0f}" font-family="sans-serif" fill="{INK}">'
        return f'{head}<rect width="100%" height="100%" fill="white"/>{"".join(self.parts)}</svg>'

    def _inside(self, x_name: str | None, y_name: str | None) -> str:
        """What cuts a path at the edges of a panel."""
        (left, right), (bottom, top) = self.axes[x_name or "x"].ends, self.axes[y_name or "y"].ends
        name, size = f"panel-{x_name or 'x'}", f'width="{right - left:.1f}" height="{bottom - top:.1f}"'
        rect = f'<rect x="{left:.1f}" y="{top:.1f}" {size}/>'
        if not any(part.startswith(f'<clipPath id="{name}"') for part in self.parts):
            self.parts.append(f'<clipPath id="{name}">{rect}</clipPath>')
        return f' clip-path="url(#{name})"'

    def _draw_axes(self, x_name: str, y_name: str) -> None:
        x, y = self.axes[x_name], self.axes[y_name]
        (left, right), (bottom, top) = x.ends, y.ends
        for axis in (x, y):
            asked = axis.asked
            lines = "".join(
                f"M{axis.at(value)} {top:.1f}V{bottom:.1f}"
                if axis is x
                else f"M{left:.1f} {axis.at(value)}H{right:.1f}"
                for value, _ in axis.ticks
                if asked.showgrid is not False
            )
            self._stroke(lines, None, GRID)
            for value, text in axis.ticks:
                if axis is y:
                    lift = LINE * (len(lines_of(text)) - 1) / 2
                    self.write(left - 6, axis.at(value) + 4 - lift, text, "end")
                elif asked.tickangle:
                    turn = f"rotate({asked.tickangle} {axis.at(value)} {bottom + 12:.1f})"
                    self.write(axis.at(value), bottom + 12, text, "end", transform=turn)
                else:
                    self.write(axis.at(value), bottom + LINE, text, "middle")
        self._stroke(f"M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}", None, AXIS)
        self.write((left + right) / 2, bottom + x.down, x.asked.title.text, "middle")
        side, middle = left - y.across - 8, (top + bottom) / 2
        turn = f"rotate(-90 {side:.1f} {middle:.1f})"
        self.write(side, middle, y.asked.title.text, "middle", transform=turn)

    def _stroke(self, path: str, line: Any, colour: str = INK, width: float = 1, more: str = "") -> None:
        if line is not None:
            colour, width = line.color or colour, line.width or width
        dash = DASHES.get(getattr(line, "dash", None) or "")
        more += f' stroke-dasharray="{dash}"' if dash else ""
        if path:
            self.parts.append(
                f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}"{more}/>'
            )

    def _draw_points(self, trace: Any, x: Axis, y: Axis) -> None:
        xs, ys, mode = places_of(trace, "x"), places_of(trace, "y"), trace.mode or "lines"
        step = -(-len(xs) // MOST_POINTS) or 1
        places = [
            None
            if None in pair or any(isinstance(v, float) and math.isnan(v) for v in pair)
            else (x.at(pair[0]), y.at(pair[1]))
            for pair in zip(xs[::step], ys[::step])
        ]
        if "lines" in mode:
            begun, path, steps = False, "", trace.line.shape == "vh"
            for place in places:
                if place is not None:
                    corner = f"V{place[1]}H{place[0]}" if steps else f"L{place[0]} {place[1]}"
                    path += corner if begun else f"M{place[0]} {place[1]}"
                begun = place is not None
            self._stroke(path, trace.line, more=self._inside(trace.xaxis, trace.yaxis))
        if trace.error_x.array is not None:
            ends = zip(xs, ys, trace.error_x.array, trace.error_x.arrayminus)
            path = "".join(f"M{x.at(v - low)} {y.at(p)}H{x.at(v + high)}" for v, p, high, low in ends)
            self._stroke(path, None, trace.marker.color, 2)
        if "markers" in mode:
            self._draw_markers(trace, places, step)
        if "text" in mode and trace.text is not None:
            for place, text, side in zip(places, trace.text, each_of(trace.textposition, len(places))):
                if place is not None:
                    below = 18 if "bottom" in (side or "") else -9
                    self.write(place[0], place[1] + below, text, "middle", 11)

    def _draw_markers(self, trace: Any, places: Sequence[Any], step: int) -> None:
        """Markers of one look are one path."""
        of_look: dict[tuple[Any, ...], str] = {}
        colours, symbols = (
            each_of(value, len(places) * step)[::step] for value in (trace.marker.color, trace.marker.symbol)
        )
        size, other = trace.marker.size or 6, trace.line.color
        for place, colour, symbol in zip(places, colours, symbols):
            if place is not None:
                key = colour or other or INK, symbol or "circle"
                of_look[key] = of_look.get(key, "") + sign(place[0], place[1], size, key[1])
        for (colour, symbol), path in of_look.items():
            opacity = f' opacity="{trace.marker.opacity}"' if trace.marker.opacity is not None else ""
            self.parts.append(f'<path d="{path}" {look_of_sign(symbol, colour, size)}{opacity}/>')

    def _draw_bars(
        self, trace: Any, x: Axis, y: Axis, base: dict[Any, float], number: int, n_bars: int
    ) -> None:
        lying = trace.orientation == "h"
        along, across = (x, y) if lying else (y, x)
        values, places = places_of(trace, "x" if lying else "y"), places_of(trace, "y" if lying else "x")
        mode, starts = self.figure.layout.barmode, bases_of(trace, len(values))
        own = width = abs(across.at(1) - across.at(0)) * (1 - (self.figure.layout.bargap or 0.2))
        if mode == "group" or (mode is None and n_bars > 1):
            own = width / n_bars
        shift = (number - (n_bars - 1) / 2) * own if own < width else 0.0
        colours = each_of(trace.marker.color, len(values))
        texts = [""] * len(values) if trace.text is None else trace.text
        opacity = trace.marker.opacity if isinstance(trace.marker.opacity, float) else 1
        for place, value, start, colour, text in zip(places, values, starts, colours, texts):
            if mode == "stack":
                start = base.get(place, 0.0)
                base[place] = start + value
            low, high = sorted((along.at(start), along.at(start + value)))
            side = across.at(place) + shift - own / 2
            rect = (low, side, high - low, own) if lying else (side, low, own, high - low)
            sizes = " ".join(f'{key}="{size:.1f}"' for key, size in zip(("x", "y", "width", "height"), rect))
            self.parts.append(f'<rect {sizes} fill="{colour or INK}" opacity="{opacity}"/>')
            if text and not (trace.textposition == "inside" and LETTER * len(text) > high - low):
                at = (
                    ((low + high) / 2, side + own / 2 + 4)
                    if trace.textposition == "inside"
                    else (side + own / 2, low - 4)
                )
                self.write(*at, text, "middle", 11)

    def _draw_cells(self, trace: Any, x: Axis, y: Axis) -> None:
        """Cells of one colour are one path."""
        z = np.array([[np.nan if v is None else v for v in line] for line in trace.z], dtype=float)
        known = z[np.isfinite(z)]
        low = trace.zmin if trace.zmin is not None else (known.min() if len(known) else 0.0)
        high = trace.zmax if trace.zmax is not None else (known.max() if len(known) else 1.0)
        level = np.clip((z - low) / ((high - low) or 1.0), 0, 1) * (LEVELS - 1)
        scale, path = colours_of(trace.colorscale), dict[int, str]()
        columns, rows = (
            x.edges(places_of(trace, "x"), z.shape[1]),
            y.edges(places_of(trace, "y"), z.shape[0]),
        )
        for (row, column), value in np.ndenumerate(level):
            if math.isfinite(value):
                (left, right), (top, bottom) = columns[column : column + 2], sorted(rows[row : row + 2])
                cell = f"M{left:.1f} {top:.1f}H{right:.1f}V{bottom:.1f}H{left:.1f}Z"
                path[round(value)] = path.get(round(value), "") + cell
        self.parts += [f'<path d="{cells}" fill="{scale[level]}"/>' for level, cells in path.items()]
        if trace.text is None:
            return
        for (row, column), value in np.ndenumerate(level):
            if text := trace.text[row][column]:
                at = sum(columns[column : column + 2]) / 2, sum(rows[row : row + 2]) / 2 + 4
                light = is_dark(scale[round(value)]) if math.isfinite(value) else False
                self.write(*at, text, "middle", 11, fill="#ffffff" if light else "#000000")

    # the legend

    def _legend(self) -> list[tuple[str, Any]]:
        shown, layout = dict[str, Any](), self.figure.layout
        named = [trace for trace in self.figure.data if trace.name and trace.showlegend is not False]
        if layout.showlegend is False or (len(named) < 2 and not layout.showlegend):
            return []
        for trace in named:
            if trace.type != "heatmap":
                shown.setdefault(" ".join(lines_of(trace.name)), trace)
        return list(shown.items())

    def _draw_legend(self) -> float:
        """Draw what the colours mean, in rows at the foot; returns the picture's height."""
        left, y = 12.0, self.foot + 14
        for name, trace in self.legend:
            width = 34 + LETTER * len(name)
            if left > 12 and left + width > self.width:
                left, y = 12.0, y + LINE + 2
            marker = getattr(trace, "marker", None)
            colour = next((c for c in each_of(getattr(marker, "color", None), 1) if c), None)
            symbol = "square" if trace.type == "bar" else each_of(getattr(marker, "symbol", None), 1)[0]
            if trace.type != "bar" and "lines" in (trace.mode or "lines"):
                self._stroke(f"M{left} {y - 4}h20", trace.line)
            else:
                look = look_of_sign(symbol or "circle", colour or INK, 9)
                self.parts.append(f'<path d="{sign(left + 10, y - 4, 9, symbol or "circle")}" {look}/>')
            self.write(left + 26, y, html.escape(name))
            left += width
        return y + 12 if self.legend else self.foot + 6
