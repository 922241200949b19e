"""The axes of a figure's picture: which values they reach, their ticks, and where on the picture they are."""

from __future__ import annotations

import math
from typing import Any

import plotly.graph_objects as go

from zsar_lab.viz.figures.picture_marks import bases_of, lines_of, nice, places_of

LETTER, LINE = 6.3, 16  # pixels of a letter and of a line of text


class Axis:
    """An axis of a plotly figure, "x", "y2" and so on.

    Attributes:
        asked: what the figure's layout says of it.
        low, high: the values at its ends.
        ticks: values and texts.
        places: of categories.
        ends: pixels of the two ends, set by `put`.
    """

    def __init__(self, figure: go.BaseFigure, name: str) -> None:
        self.letter, self.asked = name[0], figure.layout[f"{name[0]}axis{name[1:]}"]
        if self.asked.type in ("log", "date"):
            raise ValueError(f"an axis must be of numbers or names to be pictured, got {self.asked.type}")
        self.traces = [trace for trace in figure.data if (trace[f"{name[0]}axis"] or name[0]) == name]
        self.kinds, self.is_stacked = {trace.type for trace in self.traces}, figure.layout.barmode == "stack"
        found = self._values()
        words = dict.fromkeys([*(self.asked.categoryarray or ()), *(v for v in found if isinstance(v, str))])
        self.places = {word: place for place, word in enumerate(words)}
        numbers = [self.number(value) for value in found if value is not None]
        self.low, self.high = self._reach([number for number in numbers if math.isfinite(number)])
        self.ticks = [] if self.asked.showticklabels is False else self._ticks()
        self.ends = 0.0, 1.0

    def number(self, value: Any) -> float:
        """A value, or the place of a category."""
        return float(self.places.get(value, 0) if isinstance(value, str) else value)

    def put(self, start: float, end: float) -> None:
        """Lay it between two pixels, of which it takes its domain."""
        first, last = self.asked.domain or (0.0, 1.0)
        self.ends = start + first * (end - start), start + last * (end - start)

    def at(self, value: Any) -> float:
        """The pixel of a value."""
        share = (self.number(value) - self.low) / ((self.high - self.low) or 1.0)
        return round(self.ends[0] + share * (self.ends[1] - self.ends[0]), 1)

    def edges(self, given: list[Any], n: int) -> list[float]:
        """Pixels of the n + 1 edges of cells, of which edges or middles are given."""
        places = [self.number(value) for value in given]
        if len(places) == n:
            places = [places[0] - 0.5, *(sum(two) / 2 for two in zip(places, places[1:])), places[-1] + 0.5]
        return [self.at(place) for place in places]

    @property
    def across(self) -> float:
        """How many pixels the longest tick takes."""
        return 10 + LETTER * max((len(line) for _, text in self.ticks for line in lines_of(text)), default=0)

    @property
    def down(self) -> float:
        """How far texts beneath it reach."""
        angle = math.radians(abs(self.asked.tickangle or 0))
        ticks = self.across * math.sin(angle) if angle else LINE * bool(self.ticks)
        return 12 + LINE * bool(self.asked.title.text) + ticks

    def _values(self) -> list[Any]:
        """All values along it; of bars both ends."""
        letter, found, total = self.letter, list[Any](), dict[Any, float]()
        for trace in self.traces:
            values = places_of(trace, letter)
            found += values
            error = trace[f"error_{letter}"] if trace.type == "scatter" else None
            if error is not None and error.array is not None:
                found += [v + e for v, e in zip(values, error.array)]
                found += [v - e for v, e in zip(values, error.arrayminus)]
            if trace.type == "bar" and (trace.orientation == "h") == (letter == "x"):
                found += [0.0, *(sum(ends) for ends in zip(values, bases_of(trace, len(values))))]
                for place, value in zip(places_of(trace, "y" if letter == "x" else "x"), values):
                    total[place] = total.get(place, 0.0) + value
        return found + list(total.values()) * self.is_stacked

    def _reach(self, values: list[float]) -> tuple[float, float]:
        asked, (low, high) = self.asked, (min(values, default=0.0), max(values, default=1.0))
        if asked.range is not None and None not in asked.range:
            low, high = (float(end) for end in asked.range)
        elif self.places or asked.tickvals is not None:
            low, high = low - 0.5, high + 0.5
        elif "heatmap" not in self.kinds:
            pad = 0.05 * ((high - low) or 1.0)
            low = min(0.0, low) if asked.rangemode == "tozero" or "bar" in self.kinds else low - pad
            high += pad
        return (high, low) if asked.autorange == "reversed" else (low, high)

    def _ticks(self) -> list[tuple[float, str]]:
        if self.asked.tickvals is not None:
            texts = self.asked.ticktext
            texts = [f"{value:g}" for value in self.asked.tickvals] if texts is None else texts
            return [(self.number(value), text) for value, text in zip(self.asked.tickvals, texts)]
        if self.places:
            return [(float(place), word) for word, place in self.places.items()]
        return [(value, f"{value:.10g}") for value in nice(self.low, self.high, self.asked.dtick)]
