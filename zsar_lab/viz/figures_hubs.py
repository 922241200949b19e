"""Hubs and anti-hubs: which classes catch the answers, whether they are named better, and the measures, before and after corrections."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.metrics import top_k_accuracy
from zsar_lab.methods.scores import MethodScores
from zsar_lab.results.evaluate import DIRECT, TRANSFER, SplitResult
from zsar_lab.results.hubness import accuracy_by_hub_rank, occurrence_table
from zsar_lab.results.report import MethodRow, Report
from zsar_lab.viz.figures.scores import about_report, legend_below
from zsar_lab.viz.figures.style import (
    GREY,
    PALETTE,
    labels_of,
    name_ticks,
    new_figure,
    new_panels,
    percent,
    plain,
)
from zsar_lab.viz.figures_confidence import SHAPES
from zsar_lab.viz.figures_corrections import LOOKS, MEANING

MEASURES = {
    "skewness": "skewness",
    "robin_hood": "Robin Hood",
    "gini": "Gini",
    "atkinson": "Atkinson",
    "antihubs": "anti-hubs",
    "hub_occurrence": "hub occurrence",
}

SHOWN = ("skewness", "robin_hood", "antihubs")
NOT_CORRECTED = "no correction"


def hub_table(result: SplitResult, catalog: Catalog, method: str = TRANSFER) -> pd.DataFrame:
    """A row an unseen class, the largest hub first: clips, answers (N_1), answers a clip, hub or anti-hub, top-1 in percent.

    Raises:
        ValueError: there is no such method.
    """
    table, labels = _occurrence(result, method), labels_of(catalog)
    kind = [
        "hub" if hub else "anti-hub" if anti else ""
        for hub, anti in zip(table["is_hub"], table["is_antihub"])
    ]
    content = {
        "clips": table["clips"],
        "N_1": table["occurrence"],
        "N_1 / clips": [f"{value:.2f}" for value in table["answers_per_clip"]],
        "": kind,
        "top1_%": [f"{value:.1f}" for value in percent(table["top1"])],
    }
    return pd.DataFrame(content).set_axis([labels[name] for name in table["class"]])


def accuracy_against_hub_rank(report: Report, method: str = TRANSFER) -> go.Figure:
    """Top-1 of each unseen class against its hub rank, a colour and shape a split.

    Raises:
        ValueError: there is no such method.
    """
    about = f"{report.name}, method {method}; rank 1 is the class answered most often; its own right answers are among them"
    figure = new_figure(
        "Are hubs named better?", about, "hub rank of the class (by N_1)", "top-1 accuracy (%)"
    )
    for number, result in enumerate(report.results):
        table = _occurrence(result, method)
        found = accuracy_by_hub_rank(table)
        marker = {"color": PALETTE[number % len(PALETTE)], "symbol": SHAPES[number % len(SHAPES)], "size": 10}
        figure.add_scatter(
            x=found.hub_rank.tolist(),
            y=percent(found.top1),
            mode="markers",
            marker=marker,
            showlegend=True,
            name=f"{plain(result.protocol.name)}, rank correlation {found.spearman:+.2f}",
            customdata=[plain(name) for name in table["class"]],
            hovertemplate="%{customdata}: rank %{x}, top-1 %{y:.1f} %<extra></extra>",
        )
    figure.update_layout(yaxis_range=[-3, 103])
    return figure


def hubness_table(report: Report) -> pd.DataFrame:
    """A row a method: each measure of N_1, mean over splits, with its 95 % bootstrap interval over the candidate classes."""
    content = {
        title: [
            f"{row.hubness[name]:.2f} [{row.hubness_ci95[name][0]:.2f}, {row.hubness_ci95[name][1]:.2f}]"
            for row in report.rows
        ]
        for name, title in MEASURES.items()
    }
    return pd.DataFrame(content, index=[row.method for row in report.rows])


def hubness_before_after(report: Report) -> go.Figure:
    """Skewness, Robin Hood and share of anti-hubs of N_1 under direct, under transfer, and under transfer with each correction.

    Each is the mean over splits with its 95 % bootstrap interval over the candidate classes; a correction
    that sees the test clips has its own colour and sign. At 0 no class is answered more than another.
    """
    rows = [report.row(DIRECT), report.row(TRANSFER), *report.correction_rows]
    names = list(dict.fromkeys(_correction(row.method) for row in rows))
    axes = [({"antihubs": "share of anti-hubs"}.get(measure, MEASURES[measure]), "") for measure in SHOWN]
    about = f"{about_report(report)}; N_1, 95 % intervals over classes"
    figure = new_panels("Hubness before and after", about, axes, height=230 + 40 * len(names))
    marks = [(NOT_CORRECTED, (GREY, "square", 0.0), rows[:2])]
    marks += [
        (MEANING[setting], look, [row for row in rows[2:] if row.setting == setting])
        for setting, look in LOOKS.items()
    ]
    for column, measure in enumerate(SHOWN, 1):
        for legend, look, shown in marks:
            _measured(figure, column, measure, legend, look, shown, names)
        figure.add_vline(x=0, line={"color": GREY, "dash": "dot", "width": 2}, row=1, col=column)
    name_ticks(figure, "y", names, showgrid=False, range=[len(names) - 0.4, -0.6])
    figure.update_yaxes(
        tickvals=list(range(len(names))), range=[len(names) - 0.4, -0.6], zeroline=False, showgrid=False
    )
    for axis in ("yaxis2", "yaxis3"):
        figure.update_layout({axis: {"showticklabels": False}})
    figure.update_layout(legend=legend_below(-64 / max(60, figure.layout.height - 170)), margin_b=110)
    return figure


def hubs_by_name(result: SplitResult, catalog: Catalog) -> pd.DataFrame:
    """A row for direct, transfer, and transfer under each correction: the classes answered most and least often, by name.

    All hubs are named, or the class answered most often where there is none; all anti-hubs, or the class
    answered least often. `N_1 expected` is what every class would have if all were answered equally often; a
    hub has twice as many or more, an anti-hub none.
    """
    labels, content = labels_of(catalog), []
    for scored in (result.method(DIRECT), result.method(TRANSFER), *result.corrected):
        table = _occurrences_of(scored, result)
        content.append(
            {
                "method": _correction(scored.method),
                "setting": scored.setting,
                "top1_%": f"{100 * top_k_accuracy(scored.scores_BC, result.targets, 1):.1f}",
                "N_1 expected": f"{len(result.targets) / len(table):.1f}",
                "most answered (N_1)": _named(table[table["is_hub"]], ", hub", labels)
                or _named(table.head(1), "", labels),
                "least answered (N_1)": _named(table[table["is_antihub"]], ", anti-hub", labels)
                or _named(table.tail(1), "", labels),
            }
        )
    return pd.DataFrame(content).set_index("method").rename_axis(None)


def _named(table: pd.DataFrame, kind: str, labels: dict[str, str]) -> str:
    return ", ".join(
        f"{labels[name]} ({count}{kind})" for name, count in zip(table["class"], table["occurrence"])
    )


def _measured(
    figure: go.Figure,
    column: int,
    measure: str,
    legend: str,
    look: tuple[str, str, float],
    rows: list[MethodRow],
    names: list[str],
) -> None:
    """One measure of some methods, with its intervals, in a panel; the legend is said once."""
    colour, symbol, shift = look
    values, ends = [row.hubness[measure] for row in rows], [row.hubness_ci95[measure] for row in rows]
    errors = {
        "array": [high - value for value, (_, high) in zip(values, ends)],
        "arrayminus": [value - low for value, (low, _) in zip(values, ends)],
    }
    figure.add_scatter(
        x=values,
        y=[names.index(_correction(row.method)) + shift for row in rows],
        mode="markers",
        name=plain(legend),
        legendgroup=legend,
        showlegend=column == 1 and bool(rows),
        marker={"color": colour, "symbol": symbol, "size": 9},
        error_x={"type": "data", "symmetric": False, "thickness": 2, "width": 4} | errors,
        row=1,
        col=column,
        customdata=[[plain(row.method), *row.hubness_ci95[measure]] for row in rows],
        hovertemplate="%{customdata[0]}: %{x:.2f} [%{customdata[1]:.2f}, %{customdata[2]:.2f}]<extra>"
        + plain(legend)
        + "</extra>",
    )


def _correction(method: str) -> str:
    """A corrected method as `+ <correction>`, another by its name."""
    return f"+ {method.removeprefix(f'{TRANSFER}, ')}" if method.startswith(f"{TRANSFER}, ") else method


def _occurrence(result: SplitResult, method: str) -> pd.DataFrame:
    return _occurrences_of(result.method(method), result)


def _occurrences_of(scored: MethodScores, result: SplitResult) -> pd.DataFrame:
    return occurrence_table(scored.scores_BC, result.targets, result.protocol.unseen)
