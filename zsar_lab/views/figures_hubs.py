"""Hubs and anti-hubs: which classes catch the answers, whether they are named better, and the measures with their intervals."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.views.figures_confidence import SHAPES
from zsar_lab.views.figures_style import PALETTE, labels_of, new_figure, percent, plain
from zsar_lab.zeroshot.evaluate import TRANSFER, DrawResult
from zsar_lab.zeroshot.hubness import accuracy_by_hub_rank, occurrence_table
from zsar_lab.zeroshot.report import Report

MEASURES = {
    "skewness": "skewness", "robin_hood": "Robin Hood", "gini": "Gini", "atkinson": "Atkinson", "antihubs": "anti-hubs", "hub_occurrence": "hub occurrence",
}  # fmt: skip


def hub_table(result: DrawResult, catalog: Catalog, rule: str = TRANSFER) -> pd.DataFrame:
    """A row an unseen class, the largest hub first: clips, answers (N_1), answers a clip, hub or anti-hub, top-1 in percent.

    Raises:
        ValueError: there is no such rule.
    """
    table, labels = _occurrence(result, rule), labels_of(catalog)
    kind = ["hub" if hub else "anti-hub" if anti else "" for hub, anti in zip(table["is_hub"], table["is_antihub"])]
    content = {
        "clips": table["clips"], "N_1": table["occurrence"], "N_1 / clips": [f"{value:.2f}" for value in table["answers_per_clip"]], "": kind,
        "top1_%": [f"{value:.1f}" for value in percent(table["top1"])],
    }  # fmt: skip
    return pd.DataFrame(content).set_axis([labels[name] for name in table["class"]])


def accuracy_against_hub_rank(report: Report, rule: str = TRANSFER) -> go.Figure:
    """Top-1 of each unseen class against its hub rank, a colour and shape a draw.

    Raises:
        ValueError: there is no such rule.
    """
    about = f"{report.name}, rule {rule}; rank 1 is the class answered most often; its own right answers are among them"
    figure = new_figure("Are hubs named better?", about, "hub rank of the class (by N_1)", "top-1 accuracy (%)")
    for number, result in enumerate(report.results):
        table = _occurrence(result, rule)
        found = accuracy_by_hub_rank(table)
        marker = {"color": PALETTE[number % len(PALETTE)], "symbol": list(SHAPES.values())[number % len(SHAPES)], "size": 10}
        figure.add_scatter(
            x=found.hub_rank.tolist(), y=percent(found.top1), mode="markers", marker=marker, showlegend=True,
            name=f"{plain(result.protocol.name)}, rank correlation {found.spearman:+.2f}", customdata=[plain(name) for name in table["class"]],
            hovertemplate="%{customdata}: rank %{x}, top-1 %{y:.1f} %<extra></extra>",
        )  # fmt: skip
    figure.update_layout(yaxis_range=[-3, 103])
    return figure


def hubness_table(report: Report) -> pd.DataFrame:
    """A row a rule: each measure of N_1, mean over draws, with its 95 % bootstrap interval over the candidate classes."""
    content = {
        title: [f"{row.hubness[name]:.2f} [{row.hubness_ci95[name][0]:.2f}, {row.hubness_ci95[name][1]:.2f}]" for row in report.rows]
        for name, title in MEASURES.items()
    }
    return pd.DataFrame(content, index=[row.rule for row in report.rows])


def _occurrence(result: DrawResult, rule: str) -> pd.DataFrame:
    return occurrence_table(result.rule(rule).scores_BC, result.targets, result.protocol.unseen)
