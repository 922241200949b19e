"""Figures of zero-shot results: what each method scored, on which classes, and why."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.metrics import confusion_matrix, per_class_table
from zsar_lab.results.evaluate import ALL_METHODS, DIRECT, METHODS, RIDGE, RIDGE_CENTRED, SplitResult
from zsar_lab.results.hubness import hubness, k_occurrence
from zsar_lab.results.report import MethodRow, Report, settings_as_text
from zsar_lab.viz.figures.style import (
    BLUE,
    COUNT_SCALE,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    VERMILLION,
    by_family,
    families_of,
    labels_of,
    name_ticks,
    new_figure,
    new_panels,
    panel,
    percent,
    plain,
    tick,
)

ACCURACY = "top-1 accuracy (%)"
METHOD_COLOURS = {method: PALETTE[place % len(PALETTE)] for place, method in enumerate(METHODS)}
# the three forms of the direct method stand together, the others apart
METHOD_PLACES = {
    method: place + (0.6 if method not in (DIRECT, RIDGE, RIDGE_CENTRED) else 0.0)
    for place, method in enumerate(ALL_METHODS)
}


def method_scores(report: Report, beside: Report | None = None) -> go.Figure:
    """Top-1 of each method with its 95 % interval over classes, each split as a small marker, between chance and upper bound.

    Args:
        report: the main report.
        beside: another report on the same data (random splits), drawn to the right of each point.
    """
    figure = new_figure(
        "Zero-shot top-1 of each method", about_report(report, beside), "", ACCURACY, height=480
    )
    reports = [(report, BLUE, -0.13 if beside else 0.0)] + ([(beside, ORANGE, 0.17)] if beside else [])
    for shown, colour, shift in reports:
        name, places = (
            plain(shown.name.split(",")[0]),
            [METHOD_PLACES[row.method] + shift for row in shown.rows],
        )
        single = [(place + 0.1, split) for place, row in zip(places, shown.rows) for split in row.splits]
        points_with_intervals(
            figure,
            shown.rows,
            places,
            colour,
            f"{name}, mean and 95 % interval",
            [plain(settings_of(row)) for row in shown.rows],
        )
        figure.add_scatter(
            x=[place for place, _ in single],
            y=percent([split for _, split in single]),
            mode="markers",
            name=f"{name}, each split",
            marker={"symbol": "line-ew-open", "size": 9, "color": colour, "line": {"width": 2}},
            hovertemplate="one split: %{y:.1f} %<extra></extra>",
        )
    level_line(
        figure,
        100 * report.upper_bound,
        f"upper bound {100 * report.upper_bound:.1f} %: true prototypes, not zero-shot",
        GREEN,
    )
    level_line(figure, 100 * report.chance, f"chance {100 * report.chance:.1f} %", GREY)
    at = {row.method: METHOD_PLACES[row.method] for row in report.rows}
    ticks = {
        "tickvals": list(at.values()),
        "ticktext": [method.replace(", ", ",<br>").replace(" + ", " +<br>") for method in at],
    }
    places = {
        "tickmode": "array",
        "range": [-0.6, max(at.values()) + 0.6],
        "showgrid": False,
        "zeroline": False,
    }
    figure.update_layout(xaxis=places | ticks, yaxis_range=[0, 104], legend=legend_below(-0.16), margin_b=105)
    return figure


def per_class(result: SplitResult, method: str, catalog: Catalog) -> go.Figure:
    """Top-1 of each unseen class under a method, in the order of families; beside each bar what the class was most taken for.

    Raises:
        ValueError: there is no such method.
    """
    scored, labels, families = result.method(method), labels_of(catalog), families_of(catalog)
    names = result.protocol.unseen
    table = per_class_table(scored.scores_BC, result.targets, names)
    order = by_family(names, catalog)
    title = f"Top-1 of each unseen class, method {method}"
    chance = 100 / len(names)
    about = f"{result.protocol.name}, {catalog.name}; dotted: chance {chance:.0f} %"
    figure = new_figure(title, about, ACCURACY, "", height=160 + 34 * len(names))
    rows = [table.iloc[i] for i in order]
    wrong = [
        f"; most taken for {tick(labels[row['taken_for']])} ({row['taken_for_clips']})"
        if row["taken_for"]
        else ""
        for row in rows
    ]
    figure.add_bar(
        x=percent(table["top1"].iloc[order]),
        y=list(range(len(order))),
        orientation="h",
        marker_color=BLUE,
        showlegend=False,
        text=[f"{row['correct']} of {row['clips']}{more}" for row, more in zip(rows, wrong)],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{x:.1f} %: %{text}<extra></extra>",
    )
    figure.add_vline(x=chance, line={"color": GREY, "dash": "dot"}, layer="below")
    shown = [
        tick(labels[names[i]]) + (f"<br><i>{tick(families[names[i]])}</i>" if families[names[i]] else "")
        for i in order
    ]
    name_ticks(figure, "y", names, ticktext=shown, autorange="reversed", showgrid=False)
    figure.update_layout(xaxis_range=[0, 150], xaxis_tickvals=[0, 20, 40, 60, 80, 100], bargap=0.35)
    return figure


def confusion(result: SplitResult, method: str, catalog: Catalog) -> go.Figure:
    """Counts of true class (rows) against predicted class (columns), in the order of families.

    Raises:
        ValueError: there is no such method.
    """
    names, labels = result.protocol.unseen, labels_of(catalog)
    order = by_family(names, catalog)
    counts = confusion_matrix(result.method(method).scores_BC, result.targets, len(names))[
        np.ix_(order, order)
    ]
    title = f"What each unseen class was taken for, method {method}"
    figure = new_figure(
        title,
        f"{result.protocol.name}, {catalog.name}",
        "predicted class",
        "true class",
        height=210 + 40 * len(names),
    )
    shown = [labels[names[i]] for i in order]
    text = np.where(counts > 0, counts.astype(str), "")
    _cells(
        figure, counts, shown, shown, text, "clips", "%{customdata}: %{z} clips<extra></extra>", "taken for"
    )
    return figure


def hubness_bars(
    result: SplitResult, catalog: Catalog, k: int = 1, methods: Sequence[str] = METHODS
) -> go.Figure:
    """N_k of each unseen class under each method: how many clips have it among their k nearest; skewness stands in the legend.

    Raises:
        ValueError: k is not in 1..number of unseen classes, or there is no such method.
    """
    names, labels = result.protocol.unseen, labels_of(catalog)
    order = by_family(names, catalog)
    title = f"How often each unseen class is {'the nearest' if k == 1 else f'among the {k} nearest'}"
    expected = k * len(result.targets) / len(names)
    about = (
        f"{result.protocol.name}, {catalog.name}; dotted: expected {expected:.1f}, every class equally often"
    )
    figure = new_figure(title, about, "", f"N_{k} (clips)", height=480)
    for method in methods:
        occurrence = k_occurrence(result.method(method).scores_BC, k)
        name = f"{method} (skewness {hubness(occurrence, k).skewness:+.2f})"
        figure.add_bar(
            x=list(range(len(order))),
            y=occurrence[order].tolist(),
            name=plain(name),
            marker_color=METHOD_COLOURS[method],
            hovertemplate="%{y} clips<extra>" + plain(method) + "</extra>",
        )
    figure.add_hline(y=expected, line={"color": GREY, "dash": "dot", "width": 2})
    name_ticks(figure, "x", [labels[names[i]] for i in order], showgrid=False, range=[-0.6, len(names) - 0.4])
    figure.update_layout(barmode="group", bargap=0.25, legend=legend_below(-0.36), margin_b=170)
    return figure


def hubness_histogram(report: Report, k: int = 1, methods: Sequence[str] = METHODS) -> go.Figure:
    """Over the unseen classes of all splits: how many classes have which N_k, a panel a method; skewness is the mean over splits.

    Raises:
        ValueError: k is not in 1..number of unseen classes, or there is no such method.
    """
    pairs = {
        method: [k_occurrence(r.method(method).scores_BC, k) for r in report.results] for method in methods
    }
    largest = max(int(counts.max()) for drawn in pairs.values() for counts in drawn)
    expected = float(np.mean([k * len(r.targets) / len(r.protocol.unseen) for r in report.results]))
    about = f"{about_report(report)}; N_{k} in clips, dotted: expected {expected:.1f}"
    figure = new_panels(
        f"Histogram of N_{k} over unseen classes",
        about,
        [(method, "classes") for method in methods],
        height=520,
    )
    bins = {"start": -0.5, "end": largest + 1, "size": max(1, round(largest / 12))}
    for number, (method, drawn) in enumerate(pairs.items()):
        row, column = panel(number)
        skewness = float(np.mean([hubness(counts, k).skewness for counts in drawn]))
        figure.add_histogram(
            x=np.concatenate(drawn).tolist(),
            xbins=bins,
            marker_color=METHOD_COLOURS[method],
            showlegend=False,
            row=row,
            col=column,
        )
        figure.add_vline(x=expected, line={"color": GREY, "dash": "dot"}, row=row, col=column)
        figure.update_xaxes(
            title_text=f"{plain(method)}<br>skewness {skewness:+.2f}",
            title_font_size=12,
            range=[-1, largest + 1],
            row=row,
            col=column,
        )
    figure.update_yaxes(matches="y")
    figure.update_layout(bargap=0.08, margin_b=80)
    return figure


def transfer_weights(result: SplitResult, catalog: Catalog) -> go.Figure:
    """The weights a_us that composed each unseen prototype (rows) of seen ones (columns), both in the order of families."""
    labels, unseen, seen = labels_of(catalog), result.protocol.unseen, result.protocol.seen
    rows, columns = by_family(unseen, catalog), by_family(seen, catalog)
    weights = result.weights_US[np.ix_(rows, columns)]
    settings = settings_as_text(result.method("transfer").settings)
    title, about = (
        "What each unseen prototype was composed of",
        f"weights of seen classes, {settings}; {result.protocol.name}, {catalog.name}",
    )
    figure = new_figure(title, about, "seen class", "unseen class", height=260 + 34 * len(unseen))
    text = np.where(weights >= 0.095, np.char.mod("%.1f", weights), "")
    hover = "%{customdata}: weight %{z:.3f}<extra></extra>"
    _cells(
        figure,
        weights,
        [labels[unseen[i]] for i in rows],
        [labels[seen[i]] for i in columns],
        text,
        "weight",
        hover,
        "from",
    )
    figure.update_layout(xaxis_tickfont_size=11)
    return figure


def taken_for_bars(counts: dict[str, int], true_class: str, catalog: Catalog, about: str) -> go.Figure:
    """Bars of what the clips of one class were taken for; the right answer has its own colour and a tick mark.

    Args:
        counts: clips by predicted class name, of explanations.taken_for.
        true_class: the class of the clips.
        catalog: gives the labels.
        about: the line below the title.
    """
    labels = labels_of(catalog)
    title = f"What {sum(counts.values())} clips of “{labels[true_class]}” were taken for"
    figure = new_figure(title, about, "", "clips", height=340)
    colours = [GREEN if name == true_class else VERMILLION for name in counts]
    marks = [
        f"{count} {'✓' if name == true_class else '✗'}" if count else "" for name, count in counts.items()
    ]
    figure.add_bar(
        x=list(range(len(counts))),
        y=list(counts.values()),
        marker_color=colours,
        text=marks,
        textposition="outside",
        cliponaxis=False,
        customdata=[plain(labels[name]) for name in counts],
        hovertemplate="%{customdata}: %{y} clips<extra></extra>",
    )
    name_ticks(figure, "x", [labels[name] for name in counts], showgrid=False)
    figure.update_layout(yaxis_range=[0, 1.15 * max(1, *counts.values())])
    return figure


def _cells(
    figure: go.Figure,
    values: np.ndarray,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    text: np.ndarray,
    unit: str,
    hover: str,
    to: str,
) -> None:
    """A heatmap with a text in each cell; the scale reads in light and dark themes."""
    pairs = [[f"{plain(row)} {to} {plain(column)}" for column in column_labels] for row in row_labels]
    bar = {
        "title": {"text": unit, "font": {"color": GREY}},
        "tickfont": {"color": GREY},
        "outlinewidth": 0,
        "thickness": 14,
    }
    figure.add_heatmap(
        z=values.tolist(),
        colorscale=COUNT_SCALE,
        zmin=0,
        text=text.tolist(),
        texttemplate="%{text}",
        customdata=pairs,
        hovertemplate=hover,
        colorbar=bar,
        xgap=1,
        ygap=1,
    )
    name_ticks(figure, "x", column_labels, showgrid=False, tickangle=-40)
    name_ticks(figure, "y", row_labels, showgrid=False, autorange="reversed")


def points_with_intervals(
    figure: go.Figure,
    rows: Sequence[MethodRow],
    places: Sequence[float],
    colour: str,
    name: str,
    hover: Sequence[str],
) -> None:
    """A marker for each row's top-1 at its place on the x axis, with its 95 % interval; `hover` stands below the figures."""
    middle = percent([row.top1 for row in rows])
    above = [100 * row.ci95[1] - value for row, value in zip(rows, middle)]
    below = [value - 100 * row.ci95[0] for row, value in zip(rows, middle)]
    figure.add_scatter(
        x=list(places),
        y=middle,
        mode="markers",
        name=name,
        marker={"color": colour, "size": 10},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": above,
            "arrayminus": below,
            "thickness": 2,
            "width": 5,
        },
        customdata=[
            [low, high, text]
            for (low, high), text in zip(([100 * c for c in row.ci95] for row in rows), hover)
        ],
        hovertemplate="%{y:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]<br>%{customdata[2]}<extra></extra>",
    )


def level_line(figure: go.Figure, y: float, text: str, colour: str) -> None:
    """A dotted line across the figure with its text."""
    figure.add_hline(y=y, line={"color": colour, "dash": "dot", "width": 2})
    place = {"x": 0, "xref": "paper", "y": y, "yref": "y", "xanchor": "left", "yanchor": "bottom"}
    figure.add_annotation(text=plain(text), showarrow=False, font={"color": colour, "size": 12}, **place)


def legend_below(y: float) -> dict[str, object]:
    """A legend in a row below the figure."""
    return {"orientation": "h", "x": 0, "y": y, "yanchor": "top"}


def about_report(report: Report, beside: Report | None = None) -> str:
    """The line below a title: what was scored."""
    return report.name + (f"; beside it {beside.name.rsplit(',', 1)[0]}" if beside else "")


def settings_of(row: MethodRow) -> str:
    """What validation chose in each split, for hovering."""
    texts = [settings_as_text(settings) for settings in row.settings]
    return "chosen on validation classes: " + " | ".join(texts) if any(texts) else "nothing to choose"
