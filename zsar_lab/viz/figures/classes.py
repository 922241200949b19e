"""Figures of single classes: top-1 of each, what was confused with what, and what prototypes are made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.table import LABELS
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.results.explorer import Outcome
from zsar_lab.results.predictions import Predictions
from zsar_lab.text.lint import cluster_order
from zsar_lab.viz.figures import style
from zsar_lab.viz.figures.style import MOST_TICKS

MOST_COUNTS = 30  # of more classes the cells are too small for a number
NOW, CHOSEN = "now", "chosen on validation classes"
UNREDUCED = "now, without hubness reduction"
CHOSEN_MARK: style.Look = {"color": style.SKY, "symbol": "diamond-open", "line": {"width": 3}}
BEHIND_CHOSEN = "rgba(204, 121, 167, 0.35)"  # PURPLE, so that a chosen class at 0 % is seen


def class_counts(predictions: Predictions, method: str) -> pd.DataFrame:
    """How many clips of each unseen class (rows) were predicted as each (columns), in the protocol's order.

    Raises:
        KeyError: the method was not scored.
    """
    rows, names = predictions.rows(method), list(predictions.names())
    counts = pd.crosstab(rows["label"], rows["prediction"])
    return counts.reindex(index=names, columns=names, fill_value=0)


def class_table(counts: pd.DataFrame) -> pd.DataFrame:
    """A row a class, the worst first; of equally wrong ones the more confused comes first.

    Columns clips, correct, top1 (0..1), confused_with ("" if never), confused_clips.
    """
    correct, clips = np.diag(counts), counts.sum(axis=1)
    wrong = counts - np.diag(correct)
    most = wrong.max(axis=1)
    found = {"clips": clips, "correct": correct, "top1": correct / clips.clip(lower=1)}
    found |= {"confused_with": wrong.idxmax(axis=1).where(most > 0, ""), "confused_clips": most}
    table = pd.DataFrame(found).sort_index()
    return table.sort_values(["top1", "confused_clips"], ascending=[True, False], kind="stable")


def per_class(
    predictions: Predictions, method: str, catalog: Catalog, chosen: str | None = None
) -> go.Figure:
    """Top-1 of each unseen class, the worst first; hovering tells what it was most confused with.

    Behind each bar is one of full height, so that a class at 0 % can be hovered and clicked too; `chosen` as
    for `choose_bar`.

    Raises:
        KeyError: the method was not scored.
    """
    table, labels = class_table(class_counts(predictions, method)), style.labels_of(catalog)
    hover = [
        f"{style.plain(labels[row.Index])}: {100 * row.top1:.1f} % ({row.correct} of {row.clips})"
        for row in table.itertuples()
    ]
    for place, row in enumerate(table.itertuples()):
        if row.confused_with:
            rival = style.plain(labels[row.confused_with])
            hover[place] += f"<br>most confused with {rival} ({row.confused_clips})"
    chance, top1 = 100 / len(table), style.percent(table["top1"])
    about = f"method {LABELS[method]}, {predictions.protocol.name}, {catalog.name}; dotted: chance"
    about += f" {chance:.0f} %" + ("" if chosen is None else "; click a bar to choose its class")
    figure = style.new_figure("Top-1 of each unseen class", about, "", style.ACCURACY, height=430)
    places, few = list(range(len(table))), len(table) <= MOST_TICKS
    # the numbers are in a row above all bars, where neither a bar nor the dotted line crosses them
    text: style.Look = {"text": [f"{share:.0f}" if few else "" for share in top1], "textposition": "outside"}
    style.bars(figure, [100] * len(table), places, "", hover, {}, lying=False, **text)
    figure.add_bar(x=places, y=top1, hoverinfo="skip")
    figure.add_hline(y=chance, line={"color": style.GREY, "dash": "dot", "width": 2})
    style.name_ticks(figure, "x", table.index.tolist(), showticklabels=few)
    figure.update_yaxes(range=[0, 112], tickvals=[0, 25, 50, 75, 100])
    figure.update_layout(barmode="overlay", bargap=0.25, showlegend=False, hovermode="closest")
    figure.layout.meta = table.index.tolist()
    choose_bar(figure, catalog, chosen)
    return figure


def choose_bar(figure: go.Figure, catalog: Catalog, chosen: str | None) -> None:
    """Choose a class in a figure or widget of `per_class`: its bar gets its own colour, its name is bold."""
    (behind, bars), names = figure.data, figure.layout.meta
    behind.marker.color = [BEHIND_CHOSEN if name == chosen else style.GRID for name in names]
    bars.marker.color = [style.PURPLE if name == chosen else style.BLUE for name in names]
    figure.layout.xaxis.ticktext = _ticks(catalog, names, chosen)


def confusion(
    predictions: Predictions, method: str, catalog: Catalog, chosen: str | None = None
) -> go.Figure:
    """Which share of each true class (rows) was predicted as which (columns), with counts of clips.

    Classes that are confused with each other are side by side, see `cluster_order`: the similarity of two is
    the mean of their two shares of confusion. Their names are in the layout's meta. `chosen` as for
    `move_frame` (no frame for None).

    Raises:
        KeyError: the method was not scored, or there is no such class.
    """
    table = class_counts(predictions, method)
    share = (table.T / table.sum(axis=1).clip(lower=1)).T.to_numpy()
    order, few = cluster_order((share + share.T) / 2), len(table) <= MOST_COUNTS
    names, counts = table.index[order].tolist(), table.to_numpy()[np.ix_(order, order)]
    about = f"method {LABELS[method]}, {predictions.protocol.name}, {catalog.name}; by cluster"
    about += "" if chosen is None else "; click a cell for its clips"
    title = "What each unseen class was predicted as"
    figure = style.new_figure(title, about, "predicted class", "true class")
    shares = np.round(100 * share[np.ix_(order, order)], 2)
    hover = "%{y} predicted as %{x}: %{customdata} clips, %{z:.0f} %"
    look: style.Look = {
        "zmin": 0,
        "zmax": 100,
        "colorscale": style.COUNT_SCALE,
        "customdata": counts.tolist(),
    }
    if few:
        look |= {"text": np.where(counts > 0, counts.astype(str), "").tolist(), "texttemplate": "%{text}"}
    labels = style.unlike(style.labels_of(catalog), names)
    style.class_cells(figure, labels, labels, shares, "% of the true class", hover, **look)
    figure.update_layout(hovermode="closest", meta=names)
    if chosen is not None:
        figure.add_shape(type="rect", x0=0, x1=0, y0=0, y1=0, line={"color": style.PURPLE, "width": 3})
        move_frame(figure, catalog, chosen)
    return figure


def move_frame(figure: go.Figure, catalog: Catalog, chosen: str, prediction: str | None = None) -> None:
    """Frame a true class ("" for all) and a prediction (None: any) in a figure or widget of `confusion`."""
    names = list(figure.layout.meta)
    (top, bottom), (left, right) = (
        (names.index(name),) * 2 if name else (0, len(names) - 1) for name in (chosen, prediction)
    )
    figure.layout.shapes[0].update(x0=left - 0.5, x1=right + 0.5, y0=top - 0.5, y1=bottom + 0.5)
    figure.layout.xaxis.ticktext = figure.layout.yaxis.ticktext = _ticks(catalog, names, chosen)


def transfer_weights(predictions: Predictions, catalog: Catalog) -> go.Figure:
    """The weights a_us that composed each unseen prototype (rows) of seen ones (columns), by family."""
    labels, protocol = style.labels_of(catalog), predictions.protocol
    rows, columns = (style.by_family(names, catalog) for names in (protocol.unseen, protocol.seen))
    weights = predictions.weights()[np.ix_(rows, columns)]
    names = [protocol.unseen[row] for row in rows], [protocol.seen[column] for column in columns]
    settings = ", ".join(f"{name} {value}" for name, value in predictions.find("transfer").settings.items())
    about = f"weights of seen classes, {settings}; {protocol.name}, {catalog.name}"
    figure = style.new_figure(
        "What each unseen prototype was composed of", about, "seen class", "unseen class"
    )
    text = np.where(weights >= 0.095, np.char.mod("%.1f", weights), "").tolist()
    look: style.Look = {"colorscale": style.COUNT_SCALE, "zmin": 0, "text": text, "texttemplate": "%{text}"}
    unseen, seen = (style.unlike(labels, of) for of in names)
    style.class_cells(figure, unseen, seen, weights, "weight", "%{y} from %{x}: weight %{z:.3f}", **look)
    return figure


def moving_bars(clips_C: np.ndarray, protocol: Protocol, catalog: Catalog) -> go.Figure:
    """Each unseen class, by family: its top-1 above, N_1 below; diamonds are what validation chose.

    Made once a split, without heights, and moved by `bar_traces`: making one anew takes longer than scoring.
    """
    names, labels = protocol.unseen, style.labels_of(catalog)
    order, few = style.by_family(names, catalog), len(names) <= MOST_TICKS
    shown, mean, chance = [labels[names[i]] for i in order], float(clips_C.mean()), 100 / len(names)
    about = (
        f"{protocol.name}, {catalog.name}; dotted: chance {chance:.1f} %, and {mean:.1f} clips, every class"
    )
    x_title = "unseen class" if few else f"{len(names)} unseen classes (hover for the name)"
    panels = (("", "top-1 (%)"), (x_title, "N_1 (clips)"))
    about += " equally often"
    figure = style.new_panels("Each unseen class", about, panels, height=560, per_row=1, gap=0.08)
    hover = [f"{style.plain(name)}, {clips} clips" for name, clips in zip(shown, clips_C[order], strict=True)]
    bars: style.Look = {"type": "bar", "marker": {"color": style.BLUE}}
    points: style.Look = {"type": "scatter", "mode": "markers", "cliponaxis": False}
    dashes = {"symbol": "line-ew", "size": 12, "line": {"width": 3, "color": style.GREY}}
    kinds = [(NOW, bars), (CHOSEN, points | {"marker": CHOSEN_MARK | {"size": 9}})]
    kinds += [(UNREDUCED, points | {"marker": dashes})]
    for row, unit, level in ((1, "top-1 %{y:.1f} %", chance), (2, "predicted for %{y} clips", mean)):
        for name, look in kinds[: row + 1]:
            trace: style.Look = {"x": list(range(len(names))), "name": name, "legendgroup": name}
            trace |= {"customdata": hover, "showlegend": row == 1 or name == UNREDUCED}
            trace |= {"hovertemplate": f"%{{customdata}}: {unit}<extra>{name}</extra>"}
            figure.add_trace(trace | look, row=row, col=1)
        figure.add_hline(y=level, line={"color": style.GREY, "dash": "dot", "width": 2}, row=row, col=1)
    span = {"range": [-0.6, len(names) - 0.4]}
    style.name_ticks(figure, "x", shown, showticklabels=False, **span)
    style.name_ticks(figure, "x2", shown, showticklabels=few, **span)
    legend = {"orientation": "h", "x": 0, "y": 1.0, "yanchor": "bottom"}
    figure.update_layout(yaxis_range=[-3, 103], yaxis2_rangemode="tozero", bargap=0.3, legend=legend)
    return figure.update_layout(margin={"t": 104, "b": 130 if few else 70})


def bar_traces(
    outcome: Outcome, chosen: Outcome, protocol: Protocol, catalog: Catalog
) -> list[dict[str, Any]]:
    """What moves in `moving_bars`: the outcome of the choice, and of what validation chose for it."""
    order = style.by_family(protocol.unseen, catalog)
    top1 = [style.percent(shown.unseen.top1_C[order]) for shown in (outcome, chosen)]
    counts = [shown.unseen.occurrence_C[order].tolist() for shown in (outcome, chosen)]
    reduced = outcome.unseen is not outcome.unreduced
    unreduced = outcome.unreduced.occurrence_C[order].tolist() if reduced else []
    return [{"y": values} for values in (*top1, *counts, unreduced)]


def _ticks(catalog: Catalog, names: Sequence[str], chosen: str | None) -> list[str]:
    """The classes' labels, that of the chosen one bold."""
    shown = [style.tick(label) for label in style.unlike(style.labels_of(catalog), names)]
    return [f"<b>{text}</b>" if name == chosen else text for name, text in zip(names, shown)]
