"""Figures of single classes: top-1 of each, what was confused with what, and what prototypes are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.table import LABELS
from zsar_lab.results.predictions import Predictions
from zsar_lab.viz.figures import style

MOST_TICKS = 60  # of more classes the names cannot be read; hovering shows them
MOST_COUNTS = 30  # of more classes the cells are too small for a number
BEHIND_CHOSEN = "rgba(230, 159, 0, 0.35)"  # ORANGE, so that a chosen class at 0 % is seen


def class_counts(predictions: Predictions, method: str) -> pd.DataFrame:
    """How many clips of each unseen class (rows) were predicted as each (columns), in the protocol's order.

    Raises:
        KeyError: the method was not scored.
    """
    rows, names = predictions.rows(method), list(predictions.names())
    counts = pd.crosstab(rows["label"], rows["prediction"])
    return counts.reindex(index=names, columns=names, fill_value=0)


def class_table(counts: pd.DataFrame) -> pd.DataFrame:
    """A row a class: clips, correct, top1 (0..1), confused_with ("" if never) and confused_clips."""
    correct, clips = np.diag(counts), counts.sum(axis=1)
    wrong = counts - np.diag(correct)
    most = wrong.max(axis=1)
    found = {"clips": clips, "correct": correct, "top1": correct / clips.clip(lower=1)}
    found |= {"confused_with": wrong.idxmax(axis=1).where(most > 0, ""), "confused_clips": most}
    return pd.DataFrame(found)


def per_class(
    predictions: Predictions,
    method: str,
    catalog: Catalog,
    names: Sequence[str] | None = None,
    chosen: str | None = None,
    with_family: bool = True,
) -> go.Figure:
    """Top-1 of each unseen class; hovering tells what it was most confused with.

    Behind each bar is one of full height, so that a class at 0 % can be hovered and clicked too. `names`
    are the unseen classes in the order shown, None for by family; `chosen` as for `choose_bar`.

    Raises:
        KeyError: the method was not scored.
        ValueError: names are not the split's unseen classes.
    """
    counts, labels = class_counts(predictions, method), style.labels_of(catalog)
    if names is None:
        names = [counts.index[place] for place in style.by_family(counts.index.tolist(), catalog)]
    if sorted(names) != sorted(counts.index):
        raise ValueError(f"names must be the {len(counts)} unseen classes, each once, got {len(names)} names")
    table = class_table(counts).loc[list(names)]
    hover = [
        f"{style.plain(labels[row.Index])}: {100 * row.top1:.1f} % ({row.correct} of {row.clips})"
        + (
            f"<br>most confused with {style.plain(labels[row.confused_with])} ({row.confused_clips})"
            if row.confused_with
            else ""
        )
        for row in table.itertuples()
    ]
    chance, top1 = 100 / len(table), style.percent(table["top1"])
    about = (
        f"method {LABELS[method]}, {predictions.protocol.name}, {catalog.name}; dotted: chance {chance:.0f} %"
    )
    about += "" if chosen is None else "; click a bar to choose its class"
    figure = style.new_figure("Top-1 of each unseen class", about, "", style.ACCURACY, height=430)
    places, few = list(range(len(table))), len(table) <= MOST_TICKS
    # the numbers are in a row above all bars, where neither a bar nor the dotted line crosses them
    text: style.Look = {"text": [f"{share:.0f}" if few else "" for share in top1], "textposition": "outside"}
    style.bars(figure, [100] * len(table), places, "", hover, {}, lying=False, **text)
    figure.add_bar(x=places, y=top1, hoverinfo="skip")
    figure.add_hline(y=chance, line={"color": style.GREY, "dash": "dot", "width": 2})
    figure.update_xaxes(**_class_ticks(places, names), tickangle=-40)
    figure.update_yaxes(range=[0, 112], tickvals=[0, 25, 50, 75, 100])
    figure.update_layout(barmode="overlay", bargap=0.25, showlegend=False, hovermode="closest")
    choose_bar(figure, catalog, names, chosen, with_family)
    return figure


def choose_bar(
    figure: go.Figure, catalog: Catalog, names: Sequence[str], chosen: str | None, with_family: bool = True
) -> None:
    """Choose a class in a figure or widget of `per_class`: its bar gets its own colour, its name is bold."""
    labels, families = style.labels_of(catalog), style.families_of(catalog)
    behind, bars = figure.data
    behind.marker.color = [BEHIND_CHOSEN if name == chosen else style.GRID for name in names]
    bars.marker.color = [style.ORANGE if name == chosen else style.BLUE for name in names]
    figure.layout.xaxis.ticktext = [
        _bold(style.tick(labels[name]), name == chosen)
        + (f"<br><i>{style.tick(families[name])}</i>" if with_family and families[name] else "")
        for name in names
    ]


def confusion(
    predictions: Predictions,
    method: str,
    catalog: Catalog,
    names: Sequence[str] | None = None,
    chosen: str | None = None,
    prediction: str | None = None,
) -> go.Figure:
    """Which share of each true class (rows) was predicted as which (columns), with counts of clips.

    `names` as for `per_class`, `chosen` and `prediction` as for `move_frame` (no frame for None).

    Raises:
        KeyError: the method was not scored, or a name is not one of the split's unseen classes.
    """
    counts = class_counts(predictions, method)
    if names is None:
        names = [counts.index[place] for place in style.by_family(counts.index.tolist(), catalog)]
    counts = counts.loc[list(names), list(names)].to_numpy()
    few, ticked = len(names) <= MOST_COUNTS, len(names) <= MOST_TICKS
    about = f"method {LABELS[method]}, {predictions.protocol.name}, {catalog.name}"
    about += "" if chosen is None else "; by cluster; click a cell for its clips"
    height = min(230 + (30 if few else 16) * len(names), 1000)
    title = "What each unseen class was predicted as"
    figure = style.new_figure(title, about, "predicted class", "true class", height=height)
    labels = style.unlike(style.labels_of(catalog), names)
    keys = [style.plain(label) for label in labels]
    figure.add_heatmap(
        x=keys,
        y=keys,
        z=np.round(100 * counts / np.maximum(counts.sum(1, keepdims=True), 1), 2).tolist(),
        zmin=0,
        zmax=100,
        colorscale=style.COUNT_SCALE,
        colorbar=style.colour_bar("% of the true class"),
        xgap=int(ticked),
        ygap=int(ticked),
        text=np.where(counts > 0, counts.astype(str), "").tolist() if few else None,
        texttemplate="%{text}" if few else "",
        customdata=counts.tolist(),
        hovertemplate="%{y} predicted as %{x}: %{customdata} clips, %{z:.0f} %<extra></extra>",
    )
    ticks = _class_ticks(keys, [style.tick(label) for label in labels])
    figure.update_xaxes(type="category", tickangle=-40, **ticks)
    figure.update_yaxes(type="category", autorange="reversed", **ticks)
    figure.update_layout(hovermode="closest")
    if chosen is not None:
        figure.add_shape(type="rect", x0=0, x1=0, y0=0, y1=0, line={"color": style.VERMILLION, "width": 3})
        move_frame(figure, catalog, names, chosen, prediction)
    return figure


def move_frame(
    figure: go.Figure, catalog: Catalog, names: Sequence[str], chosen: str, prediction: str | None = None
) -> None:
    """Frame the row of a true class in a figure or widget of `confusion`, or its cell of one prediction."""
    labels, row = style.labels_of(catalog), list(names).index(chosen)
    left, right = (0, len(names) - 1) if prediction is None else (list(names).index(prediction),) * 2
    shown = [_bold(style.tick(labels[name]), name == chosen) for name in names]
    figure.layout.shapes[0].update(x0=left - 0.5, x1=right + 0.5, y0=row - 0.5, y1=row + 0.5)
    figure.layout.xaxis.ticktext = figure.layout.yaxis.ticktext = shown


def clicked_cell(catalog: Catalog, names: Sequence[str], x: object, y: object) -> tuple[str, str]:
    """The true and the predicted class of a cell of `confusion`, by the x and y of plotly's click event.

    Raises:
        ValueError: there is no such cell.
    """
    labels = style.unlike(style.labels_of(catalog), names)
    name_of = {style.plain(label): name for label, name in zip(labels, names)}
    if x not in name_of or y not in name_of:
        raise ValueError(f"a cell must be of two of the {len(names)} classes shown, got {y!r} and {x!r}")
    return name_of[y], name_of[x]


def prediction_bars(counts: Mapping[str, int], true_class: str, catalog: Catalog, about: str) -> go.Figure:
    """What the clips of one class were predicted as; the right class has its own colour and sign."""
    labels = style.labels_of(catalog)
    title = f"What {sum(counts.values())} clips of “{labels[true_class]}” were predicted as"
    figure = style.new_figure(title, about, "", "clips", height=340)
    signs = ["✓" if name == true_class else "✗" for name in counts]
    colours = [style.GREEN if name == true_class else style.VERMILLION for name in counts]
    text = [f"{count} {sign}" if count else "" for count, sign in zip(counts.values(), signs)]
    hover = [f"{style.plain(labels[name])}: {count} clips" for name, count in counts.items()]
    look: style.Look = {"text": text, "textposition": "outside", "lying": False}
    places, marker = range(len(counts)), {"color": colours}
    style.bars(figure, counts.values(), places, "", hover, marker, **look)
    style.name_ticks(figure, "x", [labels[name] for name in counts])
    figure.update_layout(showlegend=False, yaxis_range=[0, 1.15 * max(1, *counts.values())])
    return figure


def transfer_weights(predictions: Predictions, catalog: Catalog) -> go.Figure:
    """The weights a_us that composed each unseen prototype (rows) of seen ones (columns), by family."""
    labels, protocol = style.labels_of(catalog), predictions.protocol
    rows, columns = (style.by_family(names, catalog) for names in (protocol.unseen, protocol.seen))
    weights = predictions.weights()[np.ix_(rows, columns)]
    unseen = [labels[protocol.unseen[row]] for row in rows]
    seen = [labels[protocol.seen[column]] for column in columns]
    settings = ", ".join(f"{name} {value}" for name, value in predictions.find("transfer").settings.items())
    about = f"weights of seen classes, {settings}; {protocol.name}, {catalog.name}"
    title, height = "What each unseen prototype was composed of", 260 + 34 * len(unseen)
    figure = style.new_figure(title, about, "seen class", "unseen class", height)
    figure.add_heatmap(
        z=weights.tolist(),
        colorscale=style.COUNT_SCALE,
        zmin=0,
        text=np.where(weights >= 0.095, np.char.mod("%.1f", weights), "").tolist(),
        texttemplate="%{text}",
        customdata=[[f"{style.plain(row)} from {style.plain(column)}" for column in seen] for row in unseen],
        hovertemplate="%{customdata}: weight %{z:.3f}<extra></extra>",
        colorbar=style.colour_bar("weight"),
        xgap=1,
        ygap=1,
    )
    style.name_ticks(figure, "x", seen, tickangle=-40, tickfont_size=11)
    style.name_ticks(figure, "y", unseen)
    return figure


def _class_ticks(places: Sequence[object], shown: Sequence[str]) -> dict[str, object]:
    """Escaped texts at these places of an axis; of many classes smaller, of very many none."""
    font = {"size": 13 if len(shown) <= 30 else 9, "color": style.GREY}
    ticks = {"tickmode": "array", "tickvals": list(places), "ticktext": list(shown), "tickfont": font}
    return ticks | {"showticklabels": len(shown) <= MOST_TICKS, "showgrid": False, "zeroline": False}


def _bold(text: str, chosen: bool) -> str:
    return f"<b>{text}</b>" if chosen else text
