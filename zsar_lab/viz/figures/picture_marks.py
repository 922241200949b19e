"""What pictures of figures are made of: lines of text, round numbers, colours of a scale, signs as paths."""

from __future__ import annotations

import html
import math
import re
import textwrap
from typing import Any

import numpy as np
import plotly.colors

LEVELS = 64  # of a colour scale


def lines_of(text: Any) -> list[str]:
    """The lines of a text of plotly, without its tags."""
    lines = re.split(r"<br ?/?>", str(text)) if text else []
    return [html.unescape(re.sub(r"</?[a-z][^>]*>", "", line)) for line in lines]


def wrapped(text: Any, width: float) -> list[str]:
    """Its lines, cut at so many letters."""
    return [part for line in lines_of(text) for part in textwrap.wrap(line, int(width))]


def places_of(trace: Any, letter: str) -> list[Any]:
    """The places of a trace along x or y; 0, 1, 2 ... where it names none."""
    values = trace[letter]
    if values is not None:
        return [value.item() if isinstance(value, np.generic) else value for value in values]
    other = trace["y" if letter == "x" else "x"]
    return list(range(len(other))) if other is not None else []


def bases_of(trace: Any, n: int) -> list[float]:
    """Where the bars of a trace begin."""
    return [float(value) for value in (trace.base if trace.base is not None else [0.0] * n)]


def each_of(value: Any, n: int) -> list[Any]:
    """A list of n, of one value or of a list."""
    return list(value) if isinstance(value, (tuple, list, np.ndarray)) else [value] * n


def nice(low: float, high: float, step: Any = None) -> list[float]:
    """About six round numbers from one end to the other."""
    low, high = sorted((low, high))
    if not isinstance(step, (int, float)):
        rough = (high - low or 1.0) / 6
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    return [n * step for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def colours_of(colours: Any) -> list[str]:
    """LEVELS colours of a scale, laid on white."""
    stops = np.array([stop for stop, _ in colours], float)
    rgba = []
    for _, colour in colours:
        if colour.startswith("#"):
            rgba.append([*plotly.colors.hex_to_rgb(colour), 1.0])
        else:
            parts = [float(part) for part in re.findall(r"[\d.]+", colour)]
            rgba.append([*parts[:3], parts[3] if len(parts) > 3 else 1.0])
    at = np.linspace(0, 1, LEVELS)
    mixed = np.stack([np.interp(at, stops, column) for column in np.array(rgba).T], axis=1)
    on_white = 255 - (255 - mixed[:, :3]) * mixed[:, 3:]
    return ["#" + "".join(f"{round(part):02x}" for part in colour) for colour in on_white]


def is_dark(colour: str) -> bool:
    """Whether white text is read better on it."""
    return (
        sum(weight * part for weight, part in zip((0.3, 0.59, 0.11), plotly.colors.hex_to_rgb(colour))) < 140
    )


def _corners(symbol: str, size: float) -> list[tuple[float, float]]:
    """The outline of a symbol around 0, 0."""
    r = size / 2
    if symbol in ("cross", "x"):
        w = 0.35 * r
        quarter = [(w, -1.15 * r), (w, -w), (1.15 * r, -w)]
        plus = [turn for k in range(4) for turn in (_turned(x, y, k * math.pi / 2) for x, y in quarter)]
        return [_turned(x, y, math.pi / 4) for x, y in plus] if symbol == "x" else plus
    n, turn = {
        "square": (4, math.pi / 4),
        "diamond": (4, 0.0),
        "triangle-up": (3, 0.0),
        "star": (10, 0.0),
    }.get(symbol, (6, 0.0))
    return [
        _turned(0, -1.3 * r * (0.5 if n == 10 and k % 2 else 1), 2 * math.pi * k / n + turn) for k in range(n)
    ]


def _turned(x: float, y: float, angle: float) -> tuple[float, float]:
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def sign(x: float, y: float, size: float, symbol: str) -> str:
    """The path of one marker; a filled circle is a dot of a thick round pen."""
    name, r = symbol.removesuffix("-open"), size / 2
    if name == "circle":
        ring = f"M{x - r:.1f} {y}a{r} {r} 0 1 0 {size} 0a{r} {r} 0 1 0 {-size} 0"
        return ring if symbol.endswith("-open") else f"M{x:.0f} {y:.0f}h0"
    if name == "line-ns":
        return f"M{x} {y - r}v{size}"
    if name == "line-ew":
        return f"M{x - r} {y}h{size}"
    if name == "x-thin":
        return f"M{x - r} {y - r}l{size} {size}m{-size} 0l{size} {-size}"
    return "M" + "L".join(f"{x + dx:.1f} {y + dy:.1f}" for dx, dy in _corners(name, size)) + "Z"


def look_of_sign(symbol: str, colour: str, size: float) -> str:
    """How the path of `sign` is drawn."""
    if symbol == "circle":
        return f'stroke="{colour}" stroke-width="{size}" stroke-linecap="round" fill="none"'
    if symbol.endswith("-open") or symbol.startswith("line-"):
        return f'stroke="{colour}" stroke-width="2" fill="none"'
    return f'fill="{colour}"'
