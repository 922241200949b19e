"""Figures of hubness: are a few classes predicted most of the time, and what reductions change about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.hubness_reduction import REDUCTIONS
from zsar_lab.methods.table import LABELS
from zsar_lab.results.hubness import accuracy_by_hub_rank, hubness, k_occurrence, occurrence_table
from zsar_lab.results.predictions import Predictions
from zsar_lab.results.summary import Results
from zsar_lab.viz.figures import style
from zsar_lab.viz.figures.scores import COLOURS, DRAWN, SETTING_LOOKS

MEASURES = {"skewness": "skewness", "robin_hood": "Robin Hood", "antihubs": "share of anti-hubs"}


def hubness_bars(predictions: Predictions, catalog: Catalog, k: int = 1) -> go.Figure:
    """N_k of each unseen class under each method: how many clips have it among their k nearest.

    Raises:
        ValueError: k is not in 1..number of unseen classes.
    """
    names, labels, counts = predictions.names(), style.labels_of(catalog), _occurrences([predictions], k)
    order, expected = style.by_family(names, catalog), k * len(predictions.ids()) / len(names)
    title = f"How often each unseen class is {'the nearest' if k == 1 else f'among the {k} nearest'}"
    about = f"{predictions.protocol.name}, {catalog.name}; dotted: every class equally often ({expected:.1f})"
    figure = style.new_figure(title, about, "", f"N_{k} (clips)", height=480)
    for method, (occurrence,) in counts.items():
        hover, marker = (
            [f"{LABELS[method]}: {count} clips" for count in occurrence[order]],
            {"color": COLOURS[method]},
        )
        name = f"{LABELS[method]} (skewness {hubness(occurrence, k).skewness:+.2f})"
        style.bars(figure, occurrence[order].tolist(), range(len(order)), name, hover, marker, lying=False)
    figure.add_hline(y=expected, line={"color": style.GREY, "dash": "dot", "width": 2})
    style.name_ticks(figure, "x", [labels[names[i]] for i in order], range=[-0.6, len(names) - 0.4])
    figure.update_layout(barmode="group", bargap=0.25, legend=style.legend_below(-0.36), margin_b=170)
    return figure


def hubness_histogram(results: Results, k: int = 1, family: str | None = None) -> go.Figure:
    """How many unseen classes of all splits have which N_k, a panel a method; skewness is the splits' mean.

    Raises:
        ValueError: k is not in 1..number of unseen classes.
    """
    splits = results.splits(family)
    counts = _occurrences(splits, k)
    largest = max(int(occurrence.max()) for found in counts.values() for occurrence in found)
    expected = float(np.mean([k * len(split.ids()) / len(split.names()) for split in splits]))
    about = f"{results.title(family)}; N_{k} in clips, dotted: expected {expected:.1f}"
    skewness = {m: np.mean([hubness(one, k).skewness for one in found]) for m, found in counts.items()}
    axes = [(f"{LABELS[method]}: skewness {mean:+.2f}", "classes") for method, mean in skewness.items()]
    figure = style.new_panels(f"Histogram of N_{k} over unseen classes", about, axes, height=520)
    bins = {"start": -0.5, "end": largest + 1, "size": max(1, round(largest / 12))}
    for number, (method, found) in enumerate(counts.items()):
        row, column = style.panel(number)
        look = {"marker_color": COLOURS[method], "showlegend": False, "row": row, "col": column}
        figure.add_histogram(x=np.concatenate(found).tolist(), xbins=bins, **look)
        figure.add_vline(x=expected, line={"color": style.GREY, "dash": "dot"}, row=row, col=column)
    figure.update_xaxes(title_font_size=12, range=[-1, largest + 1])
    figure.update_yaxes(matches="y")
    figure.update_layout(bargap=0.08, margin_b=80)
    return figure


def accuracy_against_hub_rank(
    results: Results, method: str = "transfer", family: str | None = None
) -> go.Figure:
    """Top-1 of each unseen class against its hub rank, a colour and shape a split.

    Raises:
        KeyError: the method was not scored.
    """
    about = f"{results.title(family)}, method {LABELS[method]}; rank 1: predicted most often, right or wrong"
    title, x_title = "Are hubs recognised better?", "hub rank of the class (by N_1)"
    figure = style.new_figure(title, about, x_title, style.ACCURACY)
    for number, split in enumerate(results.splits(family)):
        table = occurrence_table(split.scores(method), split.targets(), split.names())
        found = accuracy_by_hub_rank(table)
        symbol = style.SYMBOLS[number % len(style.SYMBOLS)]
        figure.add_scatter(
            x=found.hub_rank.tolist(),
            y=style.percent(found.top1),
            mode="markers",
            marker={"color": style.PALETTE[number % len(style.PALETTE)], "symbol": symbol, "size": 10},
            showlegend=True,
            name=f"{style.plain(split.split)}, rank correlation {found.spearman:+.2f}",
            customdata=[style.plain(name) for name in table["class"]],
            hovertemplate="%{customdata}: rank %{x}, top-1 %{y:.1f} %<extra></extra>",
        )
    figure.update_layout(yaxis_range=[-3, 103])
    return figure


def hubness_before_after(results: Results, family: str | None = None) -> go.Figure:
    """Skewness, Robin Hood and share of anti-hubs of N_1: direct, transfer, and transfer with each reduction.

    Each is the mean over splits with its 95 % bootstrap interval over the candidate classes. At 0 no class is
    predicted more often than another.
    """
    table = pd.concat([results.part("methods", family), results.part("reductions", family)])
    table = table[table["method"].isin(["direct", "transfer"])]
    rows = [
        LABELS[row.method] if row.reduction == "none" else f"+ {REDUCTIONS[row.reduction].label}"
        for row in table.itertuples()
    ]
    table = table.assign(name=rows, look=np.where(table["reduction"] == "none", "none", table["setting"]))
    names = list(dict.fromkeys(rows))
    about = f"{results.title(family)}; N_1, 95 % intervals over classes"
    height = 230 + 40 * len(names)
    figure = style.new_panels(
        "Hubness before and after", about, [(title, "") for title in MEASURES.values()], height
    )
    looks = {"none": ("no reduction", style.GREY, "square", 0.0)} | SETTING_LOOKS
    for column, measure in enumerate(MEASURES, 1):
        columns = {
            f"hubness_{measure}{end}": name
            for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))
        }
        for look, (legend, colour, symbol, shift) in looks.items():
            shown = table[table["look"] == look].rename(columns=columns).assign(hover=legend)
            places = [names.index(name) + shift for name in shown["name"]]
            more: style.Look = {"marker": {"color": colour, "symbol": symbol, "size": 9}, "legendgroup": look}
            more |= {"showlegend": column == 1 and len(shown) > 0, "row": 1, "col": column}
            style.interval_points(figure, shown, places, legend, "x", ".2f", "", **more)
        figure.add_vline(x=0, line={"color": style.GREY, "dash": "dot", "width": 2}, row=1, col=column)
        axis = f"y{column}" if column > 1 else "y"
        style.name_ticks(figure, axis, names, range=[len(names) - 0.4, -0.6], showticklabels=column == 1)
    figure.update_layout(legend=style.legend_below(-64 / max(60, height - 170)), margin_b=110)
    return figure


def _occurrences(splits: Sequence[Predictions], k: int) -> dict[str, list[np.ndarray]]:
    """N_k of each split, by method."""
    scored = {one.method for one in splits[0].scored}
    return {
        method: [k_occurrence(split.scores(method), k) for split in splits]
        for method in DRAWN
        if method in scored
    }
