"""Figures of the transfer explorer: a choice of settings beside what validation chose.

Each is made once a split and then moved, for making one anew takes longer than scoring: for each there is a
figure without places and the places of its traces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.explorer import Outcome
from zsar_lab.viz.figures.style import (
    BLUE,
    GREEN,
    GREY,
    LONGEST_TICK,
    ORANGE,
    SKY,
    VERMILLION,
    by_family,
    labels_of,
    name_ticks,
    new_figure,
    new_panels,
    percent,
    plain,
    tick,
)
from zsar_lab.viz.projection import SpaceMap

NOW, CHOSEN = "now", "chosen on validation classes"
CHOSEN_MARK = {"color": ORANGE, "symbol": "diamond-open", "line": {"width": 3}}
MOST_NAMES = 40  # more class names would overlap below the bars; hovering names them all
LEAST_DRAWN = np.array(
    [700.0, 410.0]
)  # pixels of the map in a window of 1000; in a wider one names only draw apart
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
GROUPS = ("unseen classes (test)", "validation classes")


def accuracy_dots(protocol: Protocol, catalog: Catalog) -> go.Figure:
    """Top-1 on unseen and on validation classes: a guess, what validation chose, and the choice; `accuracy_traces` says where.

    Args:
        protocol: the split.
        catalog: of the clips.
    """
    figure = new_figure(
        "Top-1 of transfer", f"{protocol.name}, {catalog.name}", "top-1 accuracy (%)", "", height=350
    )
    chance = [100 / len(names) for names in (protocol.unseen, protocol.validation)]
    figure.add_scatter(
        x=chance,
        y=[0, 1],
        mode="markers",
        name="chance",
        marker={"symbol": "line-ns", "size": 14, "line": {"width": 3, "color": GREY}},
        hovertemplate="chance %{x:.1f} %<extra></extra>",
    )
    for name, marker, place in (
        (CHOSEN, CHOSEN_MARK | {"size": 17}, "bottom center"),
        (NOW, {"color": BLUE, "size": 12}, "top center"),
    ):
        figure.add_scatter(
            y=[0, 1],
            mode="markers+text",
            name=name,
            marker=marker,
            textposition=place,
            cliponaxis=False,
            hovertemplate="%{x:.1f} %, mean of the classes %{customdata:.1f} %<extra>" + name + "</extra>",
        )
    # the rows stand so far apart that what is written below a dot of one never touches what is written above
    # a dot of the other
    name_ticks(figure, "y", GROUPS, range=[1.5, -0.5], showgrid=False)
    figure.update_layout(
        xaxis_range=[-2, 102],
        legend={"orientation": "h", "x": 0, "y": -0.34, "yanchor": "top"},
        margin={"b": 100, "r": 70},
    )
    return figure


def accuracy_traces(outcome: Outcome, chosen: Outcome) -> list[Moved]:
    """What of the traces of `accuracy_dots` moves.

    Args:
        outcome: of the choice.
        chosen: of what validation chose for the same class text and prototypes.
    """
    moved: list[Moved] = [{}]
    for name, shown in (("chosen", chosen), (NOW, outcome)):
        top1 = percent([shown.unseen.top1, shown.validation.top1])
        means = percent([shown.unseen.mean_class, shown.validation.mean_class])
        moved.append({"x": top1, "text": [f"{name} {value:.1f} %" for value in top1], "customdata": means})
    return moved


def class_bars(clips_C: np.ndarray, protocol: Protocol, catalog: Catalog) -> go.Figure:
    """Of each unseen class, in the order of families: its top-1 above, N_1 below; bars are the choice, diamonds what validation chose.

    Args:
        clips_C: test clips of each unseen class.
        protocol, catalog: as `accuracy_dots`.
    """
    names, labels = protocol.unseen, labels_of(catalog)
    order, few = by_family(names, catalog), len(names) <= MOST_NAMES
    shown, mean, chance = [labels[names[i]] for i in order], float(clips_C.mean()), 100 / len(names)
    about = f"{protocol.name}, {catalog.name}; dotted: chance {chance:.1f} %, and {mean:.1f} clips, every class equally often"
    panels = (
        ("", "top-1 (%)"),
        ("unseen class" if few else f"{len(names)} unseen classes (hover for the name)", "N_1 (clips)"),
    )
    figure = new_panels("Each unseen class", about, panels, height=560, per_row=1, gap=0.08)
    hover = [f"{plain(name)}, {clips} clips" for name, clips in zip(shown, clips_C[order], strict=True)]
    line = {"symbol": "line-ew", "size": 12, "line": {"width": 3, "color": GREY}}
    rows = [
        (row, kind, name, marker)
        for row in (1, 2)
        for kind, name, marker in (("bar", NOW, {"color": BLUE}), ("scatter", CHOSEN, CHOSEN_MARK))
    ]
    for row, kind, name, marker in (*rows, (2, "scatter", "now, without the correction", line)):
        marker = {"size": 9} | marker if kind == "scatter" else marker
        unit = "top-1 %{y:.1f} %" if row == 1 else "given to %{y} clips"
        trace = {
            "type": kind,
            "x": list(range(len(names))),
            "name": name,
            "marker": marker,
            "customdata": hover,
            "legendgroup": name,
        }
        trace |= {"showlegend": row == 1 or name not in (NOW, CHOSEN)}
        trace |= {"mode": "markers", "cliponaxis": False} if kind == "scatter" else {}
        figure.add_trace(
            trace | {"hovertemplate": f"%{{customdata}}: {unit}<extra>{name}</extra>"}, row=row, col=1
        )
    for row, level in ((1, chance), (2, mean)):
        figure.add_hline(y=level, line={"color": GREY, "dash": "dot", "width": 2}, row=row, col=1)
    places = {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "zeroline": False,
        "showgrid": False,
        "range": [-0.6, len(names) - 0.4],
    }
    figure.update_xaxes(
        **places, ticktext=[tick(name) if few else "" for name in shown], tickangle=-35, row=2, col=1
    )
    figure.update_xaxes(**places, showticklabels=False, row=1, col=1)
    figure.update_layout(yaxis_range=[-3, 103], yaxis2_rangemode="tozero", bargap=0.3)
    figure.update_layout(
        legend={"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"},
        margin={"t": 104, "b": 130 if few else 70},
    )
    return figure


def class_traces(outcome: Outcome, chosen: Outcome, protocol: Protocol, catalog: Catalog) -> list[Moved]:
    """What of the traces of `class_bars` moves; Args: as `accuracy_traces` and `accuracy_dots`."""
    order = by_family(protocol.unseen, catalog)
    top1, occurrence = (
        [getattr(shown.unseen, name)[order] for shown in (outcome, chosen)]
        for name in ("top1_C", "occurrence_C")
    )
    uncorrected = (
        outcome.uncorrected.occurrence_C[order].tolist() if outcome.unseen is not outcome.uncorrected else []
    )
    return [
        *({"y": percent(values)} for values in top1),
        *({"y": values.tolist()} for values in occurrence),
        {"y": uncorrected},
    ]


def moving_map(space: SpaceMap, catalog: Catalog) -> go.Figure:
    """The map of the shared space with composed prototypes; `map_traces` says where. A line leads from each to where the class is.

    Args:
        space: the map.
        catalog: gives the labels.
    """
    labels, groups, classes = labels_of(catalog), np.array(space.groups), np.array(space.classes)
    about = f"{space.about}, {catalog.name}; trustworthiness {space.trustworthiness:.2f}"
    figure = new_figure(
        "Composed prototypes on the map of the shared space (places are approximate)",
        about,
        "UMAP 1",
        "UMAP 2",
        height=620,
    )
    for group, colour, size, opacity in (
        ("seen", GREY, 4, 0.4),
        ("validation", SKY, 4, 0.4),
        ("unseen", ORANGE, 6, 0.7),
    ):
        shown = groups == group
        style = {"color": colour, "size": size, "opacity": opacity}
        _marks(
            figure,
            f"clips of {group} classes",
            [labels[name] for name in classes[shown]],
            style,
            space.clips_xy[shown],
        )
    seen, unseen = ([labels[name] for name in names] for names in (space.seen, space.unseen))
    _marks(figure, "seen prototypes", seen, {"color": GREY, "symbol": "diamond", "size": 9}, space.seen_xy)
    _marks(
        figure,
        "true unseen prototypes",
        unseen,
        {"color": GREEN, "symbol": "star", "size": 14},
        space.true_xy,
    )
    figure.add_scatter(
        mode="lines",
        line={"color": VERMILLION, "width": 1.5, "dash": "dot"},
        name="now to true",
        hoverinfo="skip",
    )
    _marks(figure, f"composed, {CHOSEN}", unseen, CHOSEN_MARK | {"size": 13})
    _marks(figure, "composed, now", unseen, {"color": VERMILLION, "symbol": "x", "size": 11})
    if len(unseen) <= MOST_NAMES:
        names = {
            "text": [tick(name) for name in unseen],
            "textposition": "top center",
            "textfont": {"size": 11, "color": GREY},
        }
        figure.data[-1].update(mode="markers+text", **names)
    hidden = [
        {"showticklabels": False, "showgrid": False, "zeroline": False, "range": _around(space, axis)}
        for axis in (0, 1)
    ]
    figure.update_layout(
        xaxis=hidden[0],
        yaxis=hidden[1],
        legend={"orientation": "h", "x": 0, "y": -0.08, "yanchor": "top"},
        margin_b=120,
    )
    return figure


def map_traces(space: SpaceMap, catalog: Catalog, now_xy: np.ndarray, chosen_xy: np.ndarray) -> list[Moved]:
    """What of the traces of `moving_map` moves.

    Args:
        space, catalog: as `moving_map`.
        now_xy, chosen_xy: places of the composed prototypes of `space.unseen`, of the choice and of what
            validation chose, [U, 2].
    """
    ends = zip(now_xy.tolist(), space.true_xy.tolist(), strict=True)
    lines = np.array([[*start, *end] for start, end in ends], dtype=object)
    gaps = np.full(len(lines), None)
    x, y = (np.stack([lines[:, axis], lines[:, axis + 2], gaps], axis=1).ravel().tolist() for axis in (0, 1))
    chosen, now = ({"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist()} for xy in (chosen_xy, now_xy))
    if len(now_xy) <= MOST_NAMES:
        labels = labels_of(catalog)
        corner, far = (np.array([_around(space, axis)[end] for axis in (0, 1)]) for end in (0, 1))
        drawn = [
            (xy - corner) / (far - corner) * LEAST_DRAWN
            for xy in (now_xy, chosen_xy, space.true_xy, space.seen_xy)
        ]
        now["textposition"] = name_places(
            drawn[0], [len(labels[name][:LONGEST_TICK]) for name in space.unseen], np.concatenate(drawn)
        )
    return [{}] * 5 + [{"x": x, "y": y}, chosen, now]


def name_places(xy: np.ndarray, lengths: Sequence[int], signs_xy: np.ndarray) -> list[str]:
    """Where the name beside each point stands, in plotly's words: where it covers least of the names placed before, then the fewest signs.

    Args:
        xy: of the points, in pixels, upwards, [N, 2].
        lengths: of their names, in letters.
        signs_xy: what had better not be covered, in pixels, [M, 2].
    """
    placed: list[np.ndarray] = []
    found = []
    for (x, y), length in zip(xy, lengths, strict=True):
        half = np.array([length * LETTER[0], LETTER[1]]) / 2
        boxes = {}
        for place, (right, up) in PLACES.items():
            middle = np.array([x + right * (half[0] + 5), y + up * (half[1] + 8)])
            boxes[place] = np.stack([middle - half, middle + half])

        def cost(place: str) -> tuple[float, int]:
            low, high = boxes[place]
            covered = sum(
                float(np.prod(np.clip(np.minimum(high, other[1]) - np.maximum(low, other[0]), 0, None)))
                for other in placed
            )
            return covered, int(((signs_xy >= low - 4) & (signs_xy <= high + 4)).all(1).sum())

        found.append(min(PLACES, key=cost))
        placed.append(boxes[found[-1]])
    return found


def _marks(
    figure: go.Figure, name: str, hover: list[str], style: dict[str, object], xy: np.ndarray | None = None
) -> None:
    places = {} if xy is None else {"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist()}
    figure.add_scatter(
        **places,
        mode="markers",
        name=name,
        marker=style,
        customdata=[plain(text) for text in hover],
        hovertemplate="%{customdata}<extra>" + name + "</extra>",
    )


def _around(space: SpaceMap, axis: int) -> list[float]:
    """A range that holds every place, so that the map stands still; prototypes are placed between the clips."""
    values = np.concatenate([places[:, axis] for places in (space.clips_xy, space.seen_xy, space.true_xy)])
    margin = 0.06 * float(np.ptp(values)) or 1.0
    return [float(values.min()) - margin, float(values.max()) + margin]


def move(figure: go.Figure, traces: Sequence[Moved]) -> None:
    """Set what moves of each trace, in one message to the browser where the figure is a widget; what is left out stays."""
    with figure.batch_update():
        for trace, moved in zip(figure.data, traces, strict=True):
            trace.update(moved)
