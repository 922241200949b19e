"""The two figures one chooses a class by: the accuracy of each unseen class, and what was taken for what, clusters side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.metrics import confusion_matrix, per_class_table
from zsar_lab.results.evaluate import SplitResult
from zsar_lab.viz.figures.style import (
    BLUE,
    COUNT_SCALE,
    GREY,
    GRID,
    ORANGE,
    VERMILLION,
    families_of,
    labels_of,
    new_figure,
    plain,
    tick,
)

MOST_TICKS = 60  # of more classes the names cannot be read; hovering shows them
CHOSEN = "rgba(230, 159, 0, 0.35)"  # ORANGE, so that a chosen class at 0 % is seen
MOST_COUNTS = 30  # of more classes the cells are too small for a number


def accuracy_bars(
    result: SplitResult,
    method: str,
    catalog: Catalog,
    names: Sequence[str],
    chosen: str,
    with_family: bool = False,
) -> go.Figure:
    """Top-1 of each unseen class; behind each bar one of full height, so that a class at 0 % can be hovered and clicked too.

    Args:
        result: of the split.
        method: whose answers.
        catalog: gives labels and families.
        names: the unseen classes in the order shown; the bar of each stands at its place, from 0.
        chosen: the class whose bar has its own colour.
        with_family: write the families below the labels.

    Raises:
        ValueError: no such method, or names are not the split's unseen classes.
    """
    unseen, labels = result.protocol.unseen, labels_of(catalog)
    if sorted(names) != sorted(unseen):
        raise ValueError(
            f"the bars must be those of the split's {len(unseen)} unseen classes, each once, got {len(names)} names"
        )
    table = per_class_table(result.method(method).scores_BC, result.targets, unseen).set_index("class")
    rows = [table.loc[name] for name in names]
    top1 = [100 * float(row["top1"]) for row in rows]
    hover = [
        f"{plain(labels[name])}: {share:.1f} % ({row['correct']} of {row['clips']})"
        + (
            f"<br>most taken for {plain(labels[row['taken_for']])} ({row['taken_for_clips']})"
            if row["taken_for"]
            else ""
        )
        for name, row, share in zip(names, rows, top1, strict=True)
    ]
    chance = 100 / len(unseen)
    about = f"method {method}, {result.protocol.name}, {catalog.name}; dotted: chance {chance:.0f} %; click a bar to choose its class"
    figure = new_figure("Top-1 of each unseen class", about, "", "top-1 accuracy (%)", height=430)
    places = list(range(len(names)))
    # the numbers stand in a row above all bars, where neither a bar nor the dotted line crosses them
    numbers = {
        "text": [f"{share:.0f}" for share in top1] if len(names) <= MOST_TICKS else [""] * len(names),
        "textposition": "outside",
    }
    figure.add_bar(
        x=places,
        y=[100] * len(names),
        customdata=hover,
        hovertemplate="%{customdata}<extra></extra>",
        cliponaxis=False,
        **numbers,
    )
    figure.add_bar(x=places, y=top1, hoverinfo="skip")
    figure.add_hline(y=chance, line={"color": GREY, "dash": "dot", "width": 2})
    _ticks(figure, "x", places, names)
    figure.update_xaxes(tickangle=-40)
    figure.update_yaxes(range=[0, 112], tickvals=[0, 25, 50, 75, 100])
    figure.update_layout(barmode="overlay", bargap=0.25, showlegend=False, hovermode="closest")
    choose_bar(figure, catalog, names, chosen, with_family)
    return figure


def choose_bar(
    figure: go.Figure, catalog: Catalog, names: Sequence[str], chosen: str, with_family: bool = False
) -> None:
    """Give the bar of one class its own colour in a figure, or a widget, of `accuracy_bars`, and make its name bold; arguments as there."""
    labels, families = labels_of(catalog), families_of(catalog)
    shown = [
        _bold(tick(labels[name]), name == chosen)
        + (f"<br><i>{tick(families[name])}</i>" if with_family else "")
        for name in names
    ]
    behind, bars = figure.data
    behind.marker.color = [CHOSEN if name == chosen else GRID for name in names]
    bars.marker.color = [ORANGE if name == chosen else BLUE for name in names]
    figure.layout.xaxis.ticktext = shown


def confusion_by_cluster(
    result: SplitResult,
    method: str,
    catalog: Catalog,
    names: Sequence[str],
    chosen: str,
    answer: str | None = None,
) -> go.Figure:
    """Which share of each true class (rows) was given which answer (columns), in the order of `names`; `clicked_cell` reads a click on it.

    Args:
        result: of the split.
        method: whose answers.
        catalog: gives the labels.
        names: the unseen classes in the order shown, for example that of explanations.confusion_order.
        chosen, answer: see `move_frame`.

    Raises:
        ValueError: no such method, or a name is not one of the split's unseen classes.
    """
    unseen = result.protocol.unseen
    order = [unseen.index(name) for name in names]
    counts = confusion_matrix(result.method(method).scores_BC, result.targets, len(unseen))[
        np.ix_(order, order)
    ]
    share = 100 * counts / np.maximum(counts.sum(1, keepdims=True), 1)
    few = len(names) <= MOST_COUNTS
    about = f"method {method}, {result.protocol.name}, {catalog.name}; by cluster; click a cell for its clips"
    height = min(230 + (30 if few else 16) * len(names), 1000)
    figure = new_figure("What was taken for what", about, "predicted class", "true class", height=height)
    text = (
        {"text": np.where(counts > 0, counts.astype(str), "").tolist(), "texttemplate": "%{text}"}
        if few
        else {"text": None, "texttemplate": ""}
    )
    bar = {
        "title": {"text": "% of the true class", "side": "right", "font": {"color": GREY}},
        "tickfont": {"color": GREY},
        "outlinewidth": 0,
        "thickness": 14,
    }
    gap, keys = 1 if len(names) <= MOST_TICKS else 0, _keys(catalog, names)
    figure.add_heatmap(
        x=keys,
        y=keys,
        z=np.round(share, 2).tolist(),
        zmin=0,
        zmax=100,
        colorscale=COUNT_SCALE,
        colorbar=bar,
        xgap=gap,
        ygap=gap,
        **text,
        customdata=counts.tolist(),
        hovertemplate="%{y} taken for %{x}: %{customdata} clips, %{z:.0f} %<extra></extra>",
    )
    figure.add_shape(type="rect", x0=0, x1=0, y0=0, y1=0, line={"color": VERMILLION, "width": 3})
    figure.update_xaxes(type="category", tickangle=-40)
    figure.update_yaxes(type="category", autorange="reversed")
    figure.update_layout(hovermode="closest")
    for axis in ("x", "y"):
        _ticks(figure, axis, keys, keys)
    move_frame(figure, catalog, names, chosen, answer)
    return figure


def move_frame(
    figure: go.Figure, catalog: Catalog, names: Sequence[str], chosen: str, answer: str | None = None
) -> None:
    """Frame the row of a true class in a figure of `confusion_by_cluster`, or its cell of one answer; the class's name is bold.

    Args:
        figure: or a widget of it.
        catalog: gives the labels.
        names: the classes as the figure shows them.
        chosen: the true class.
        answer: the predicted class; None for the whole row.
    """
    labels, row = labels_of(catalog), list(names).index(chosen)
    left, right = (0, len(names) - 1) if answer is None else (list(names).index(answer),) * 2
    shown = [_bold(tick(labels[name]), name == chosen) for name in names]
    figure.layout.shapes[0].update(x0=left - 0.5, x1=right + 0.5, y0=row - 0.5, y1=row + 0.5)
    figure.layout.xaxis.ticktext = figure.layout.yaxis.ticktext = shown


def clicked_cell(catalog: Catalog, names: Sequence[str], x: object, y: object) -> tuple[str, str]:
    """The true and the predicted class of a cell of `confusion_by_cluster`, whose names these are, by what plotly says of a click.

    Raises:
        ValueError: there is no such cell.
    """
    name_of = dict(zip(_keys(catalog, names), names, strict=True))
    if x not in name_of or y not in name_of:
        raise ValueError(
            f"a cell must be of two of the {len(names)} classes shown, got {y!r} and {x!r}; click it again"
        )
    return name_of[y], name_of[x]


def _keys(catalog: Catalog, names: Sequence[str]) -> list[str]:
    """What plotly calls the classes: the labels, with the names behind where several classes share one, escaped."""
    labels = labels_of(catalog)
    given = [labels[name] for name in names]
    return [
        plain(f"{text} [{name}]" if given.count(text) > 1 else text)
        for text, name in zip(given, names, strict=True)
    ]


def _bold(text: str, chosen: bool) -> str:
    return f"<b>{text}</b>" if chosen else text


def _ticks(figure: go.Figure, axis: str, places: Sequence[object], shown: Sequence[str]) -> None:
    """Escaped texts at these places of an axis; of many classes smaller, of very many none."""
    settings = {
        "tickmode": "array",
        "tickvals": list(places),
        "ticktext": list(shown),
        "showticklabels": len(shown) <= MOST_TICKS,
    }
    settings |= {
        "tickfont": {"size": 13 if len(shown) <= 30 else 9, "color": GREY},
        "showgrid": False,
        "zeroline": False,
    }
    figure.update_layout({f"{axis}axis": settings})
