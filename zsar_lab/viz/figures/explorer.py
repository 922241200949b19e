"""Figures of the transfer explorer: chosen settings beside those that validation chose.

Each figure is made once a split, without places, and then moved by the places of its traces: making one anew
takes longer than scoring.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.explorer import Outcome
from zsar_lab.viz.figures import style
from zsar_lab.viz.figures.space import hidden_axes, points
from zsar_lab.viz.projection import SpaceMap

NOW, CHOSEN = "now", "chosen on validation classes"
UNREDUCED = "now, without hubness reduction"
CHOSEN_MARK: style.Look = {"color": style.ORANGE, "symbol": "diamond-open", "line": {"width": 3}}
GROUPS = ("unseen classes (test)", "validation classes")
MOST_NAMES = 40  # more class names would overlap below the bars; hovering names them all
LEAST_DRAWN = np.array([700.0, 410.0])  # pixels of the map in a window of 1000; a wider one only helps
LETTER = (6.5, 14.0)  # pixels of a letter in names on the map
PLACES = {  # of a name beside its point: right, up
    "top center": (0, 1),
    "bottom center": (0, -1),
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top right": (1, 1),
    "top left": (-1, 1),
    "bottom right": (1, -1),
    "bottom left": (-1, -1),
}
Moved = dict[str, Any]  # what moves of a trace: its x, y, text and the like


def accuracy_dots(protocol: Protocol, catalog: Catalog) -> go.Figure:
    """Top-1 on unseen and on validation classes: chance, what validation chose, and the choice."""
    about = f"{protocol.name}, {catalog.name}"
    figure = style.new_figure("Top-1 of transfer", about, style.ACCURACY, "", height=350)
    figure.add_scatter(
        x=[100 / len(names) for names in (protocol.unseen, protocol.validation)],
        y=[0, 1],
        mode="markers",
        name="chance",
        marker={"symbol": "line-ns", "size": 14, "line": {"width": 3, "color": style.GREY}},
        hovertemplate="chance %{x:.1f} %<extra></extra>",
    )
    chosen, now = CHOSEN_MARK | {"size": 17}, {"color": style.BLUE, "size": 12}
    for name, marker, place in ((CHOSEN, chosen, "bottom center"), (NOW, now, "top center")):
        figure.add_scatter(
            y=[0, 1],
            mode="markers+text",
            name=name,
            marker=marker,
            textposition=place,
            cliponaxis=False,
            hovertemplate="%{x:.1f} %, mean of the classes %{customdata:.1f} %<extra>" + name + "</extra>",
        )
    # so far apart that the text below a dot of one row never touches that above a dot of the other
    style.name_ticks(figure, "y", GROUPS, range=[1.5, -0.5])
    figure.update_layout(xaxis_range=[-2, 102], legend=style.legend_below(-0.34), margin={"b": 100, "r": 70})
    return figure


def accuracy_traces(outcome: Outcome, chosen: Outcome) -> list[Moved]:
    """What moves in `accuracy_dots`: outcomes of the choice, and of what validation chose for it."""
    moved: list[Moved] = [{}]
    for name, shown in (("chosen", chosen), (NOW, outcome)):
        top1 = style.percent([shown.unseen.top1, shown.validation.top1])
        means = style.percent([shown.unseen.mean_class, shown.validation.mean_class])
        moved.append({"x": top1, "text": [f"{name} {value:.1f} %" for value in top1], "customdata": means})
    return moved


def class_bars(clips_C: np.ndarray, protocol: Protocol, catalog: Catalog) -> go.Figure:
    """Each unseen class, by family: its top-1 above, N_1 below; diamonds are what validation chose."""
    names, labels = protocol.unseen, style.labels_of(catalog)
    order, few = style.by_family(names, catalog), len(names) <= MOST_NAMES
    shown, mean, chance = [labels[names[i]] for i in order], float(clips_C.mean()), 100 / len(names)
    levels = f"dotted: chance {chance:.1f} %, and {mean:.1f} clips, every class equally often"
    x_title = "unseen class" if few else f"{len(names)} unseen classes (hover for the name)"
    panels, about = (
        (("", "top-1 (%)"), (x_title, "N_1 (clips)")),
        f"{protocol.name}, {catalog.name}; {levels}",
    )
    figure = style.new_panels("Each unseen class", about, panels, height=560, per_row=1, gap=0.08)
    hover = [f"{style.plain(name)}, {clips} clips" for name, clips in zip(shown, clips_C[order], strict=True)]
    bars: style.Look = {"type": "bar", "marker": {"color": style.BLUE}}
    diamonds = CHOSEN_MARK | {"size": 9}
    dashes = {"symbol": "line-ew", "size": 12, "line": {"width": 3, "color": style.GREY}}
    points: style.Look = {"type": "scatter", "mode": "markers", "cliponaxis": False}
    kinds = [(NOW, bars), (CHOSEN, points | {"marker": diamonds}), (UNREDUCED, points | {"marker": dashes})]
    for row, unit, level in ((1, "top-1 %{y:.1f} %", chance), (2, "predicted for %{y} clips", mean)):
        for name, look in kinds[: row + 1]:
            trace: style.Look = {
                "x": list(range(len(names))),
                "name": name,
                "customdata": hover,
                "legendgroup": name,
            }
            trace |= {"showlegend": row == 1 or name == UNREDUCED}
            trace |= {"hovertemplate": f"%{{customdata}}: {unit}<extra>{name}</extra>"}
            figure.add_trace(trace | look, row=row, col=1)
        figure.add_hline(y=level, line={"color": style.GREY, "dash": "dot", "width": 2}, row=row, col=1)
    span = {"range": [-0.6, len(names) - 0.4]}
    style.name_ticks(figure, "x", shown, showticklabels=False, **span)
    style.name_ticks(figure, "x2", shown if few else [""] * len(names), tickangle=-35, **span)
    figure.update_layout(yaxis_range=[-3, 103], yaxis2_rangemode="tozero", bargap=0.3)
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        margin={"t": 104, "b": 130 if few else 70},
    )
    return figure


def class_traces(outcome: Outcome, chosen: Outcome, protocol: Protocol, catalog: Catalog) -> list[Moved]:
    """What moves in `class_bars`; outcomes as for `accuracy_traces`."""
    order = style.by_family(protocol.unseen, catalog)
    top1 = [style.percent(shown.unseen.top1_C[order]) for shown in (outcome, chosen)]
    counts = [shown.unseen.occurrence_C[order].tolist() for shown in (outcome, chosen)]
    reduced = outcome.unseen is not outcome.unreduced
    unreduced = outcome.unreduced.occurrence_C[order].tolist() if reduced else []
    return [{"y": values} for values in (*top1, *counts, unreduced)]


def moving_map(space: SpaceMap, catalog: Catalog) -> go.Figure:
    """The map of the shared space; a line leads from each composed prototype to where its class is."""
    labels, groups, classes = style.labels_of(catalog), np.array(space.groups), np.array(space.classes)
    title = "Composed prototypes on the map of the shared space (places are approximate)"
    about = f"{space.about}, {catalog.name}; trustworthiness {space.trustworthiness:.2f}"
    figure = style.new_figure(title, about, "UMAP 1", "UMAP 2", height=620)
    looks = {
        "seen": (style.GREY, 4, 0.4),
        "validation": (style.SKY, 4, 0.4),
        "unseen": (style.ORANGE, 6, 0.7),
    }
    for group, (colour, size, opacity) in looks.items():
        shown, look = groups == group, {"color": colour, "size": size, "opacity": opacity}
        hover = [labels[name] for name in classes[shown]]
        points(figure, space.clips_xy[shown], f"clips of {group} classes", hover, look)
    seen, unseen = ([labels[name] for name in names] for names in (space.seen, space.unseen))
    diamond, star = (
        {"color": style.GREY, "symbol": "diamond", "size": 9},
        {"color": style.GREEN, "symbol": "star"},
    )
    points(figure, space.seen_xy, "seen prototypes", seen, diamond)
    points(figure, space.true_xy, "true unseen prototypes", unseen, star | {"size": 14})
    line = {"color": style.VERMILLION, "width": 1.5, "dash": "dot"}
    figure.add_scatter(mode="lines", line=line, name="now to true", hoverinfo="skip")
    nowhere, cross = np.empty((0, 2)), {"color": style.VERMILLION, "symbol": "x", "size": 11}
    points(figure, nowhere, f"composed, {CHOSEN}", unseen, CHOSEN_MARK | {"size": 13})
    points(figure, nowhere, "composed, now", unseen, cross)
    if len(unseen) <= MOST_NAMES:
        names = {"text": [style.tick(name) for name in unseen], "textposition": "top center"}
        figure.data[-1].update(mode="markers+text", textfont={"size": 11, "color": style.GREY}, **names)
    low, high = _around(space)
    hidden_axes(figure)
    figure.update_layout(xaxis_range=[low[0], high[0]], yaxis_range=[low[1], high[1]])
    return figure


def map_traces(space: SpaceMap, catalog: Catalog, now_xy: np.ndarray, chosen_xy: np.ndarray) -> list[Moved]:
    """What moves in `moving_map`: places of composed prototypes, of the choice and as chosen, [U, 2]."""
    gaps = np.full(len(now_xy), None)
    x, y = (
        np.stack([now_xy[:, axis], space.true_xy[:, axis], gaps], axis=1).ravel().tolist() for axis in (0, 1)
    )
    chosen, now = ({"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist()} for xy in (chosen_xy, now_xy))
    if len(now_xy) <= MOST_NAMES:
        labels, (low, high) = style.labels_of(catalog), _around(space)
        lengths = [len(labels[name][: style.LONGEST_TICK]) for name in space.unseen]
        signs = np.concatenate([now_xy, chosen_xy, space.true_xy, space.seen_xy])
        drawn = (signs - low) / (high - low) * LEAST_DRAWN
        now["textposition"] = name_places(drawn[: len(now_xy)], lengths, drawn)
    return [{}] * 5 + [{"x": x, "y": y}, chosen, now]


def name_places(xy: np.ndarray, lengths: Sequence[int], signs_xy: np.ndarray) -> list[str]:
    """Where to write the name of each point: where it covers least of the names before, then of the signs.

    Args:
        xy: of the points, in pixels, upwards, [N, 2].
        lengths: of their names, in letters.
        signs_xy: what had better not be covered, in pixels, [M, 2].

    Returns:
        Keys of PLACES.
    """
    boxes: list[np.ndarray] = []
    found = []
    for point, length in zip(xy, lengths, strict=True):
        half, costs = np.array([length * LETTER[0], LETTER[1]]) / 2, {}
        for place, direction in PLACES.items():
            middle = point + direction * (half + (5, 8))
            low, high = middle - half, middle + half
            overlaps = [
                np.clip(np.minimum(high, b[1]) - np.maximum(low, b[0]), 0, None).prod() for b in boxes
            ]
            n_signs = int(((signs_xy >= low - 4) & (signs_xy <= high + 4)).all(1).sum())
            costs[place] = float(sum(overlaps)), n_signs, low, high
        found.append(min(costs, key=lambda place: costs[place][:2]))
        boxes.append(np.stack(costs[found[-1]][2:]))
    return found


def _around(space: SpaceMap) -> tuple[np.ndarray, np.ndarray]:
    """Corners that hold every place, so that the map does not move; prototypes lie between the clips."""
    xy = np.concatenate([space.clips_xy, space.seen_xy, space.true_xy])
    margin = 0.06 * np.ptp(xy, axis=0)
    margin[margin == 0] = 1.0
    return xy.min(0) - margin, xy.max(0) + margin
