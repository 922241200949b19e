"""Corrections of hubness on the transfer method: the differences that they make as a figure, and as a table."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from zsar_lab.methods.query_bank import INDUCTIVE, TRANSDUCTIVE
from zsar_lab.results.evaluate import TRANSFER
from zsar_lab.results.report import CLAIM_LEVEL, CorrectionRow, Report
from zsar_lab.results.wording import detectable_as_text, interval_as_text, p_as_text
from zsar_lab.viz.figures.scores import about_report, legend_below
from zsar_lab.viz.figures.style import BLUE, GREY, ORANGE, name_ticks, new_figure, percent, plain, tick

LOOKS = {INDUCTIVE: (BLUE, "circle", -0.14), TRANSDUCTIVE: (ORANGE, "diamond", 0.14)}
MEANING = {
    INDUCTIVE: "inductive: fitted on training clips",
    TRANSDUCTIVE: "transductive: fitted on the test clips",
}


def correction_differences(report: Report) -> go.Figure:
    """Top-1 of transfer under each correction less transfer alone, with 95 % intervals over classes; filled where a difference can be claimed."""
    rows = report.compare_corrections()
    names = list(dict.fromkeys(_name(row) for row in rows))
    about = (
        f"{about_report(report)}; the same clips of the same splits; filled: Holm's p at most {CLAIM_LEVEL:g}"
    )
    title = "Corrections of hubness, difference to transfer alone"
    figure = new_figure(
        title, about, "difference of top-1 (points)", "", height=210 + 46 * max(1, len(names))
    )
    for setting, (colour, symbol, shift) in LOOKS.items():
        shown = [row for row in rows if row.row.setting == setting]
        below, above = (
            percent([abs(row.difference_ci95[end] - row.difference) for row in shown]) for end in (0, 1)
        )
        symbols = [symbol if row.claimed else f"{symbol}-open" for row in shown]
        figure.add_scatter(
            x=percent([row.difference for row in shown]),
            y=[names.index(_name(row)) + shift for row in shown],
            mode="markers",
            name=plain(MEANING[setting]),
            marker={"color": colour, "size": 11, "symbol": symbols},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": above,
                "arrayminus": below,
                "thickness": 2,
                "width": 5,
            },
            customdata=[
                [
                    *percent(row.difference_ci95),
                    f"top-1 {100 * row.row.top1:.1f} %, Holm's p {p_as_text(row.p_holm)}",
                ]
                for row in shown
            ],
            hovertemplate="%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<br>%{customdata[2]}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": GREY, "dash": "dot", "width": 2})
    name_ticks(
        figure,
        "y",
        names,
        ticktext=[tick(name) for name in names],
        showgrid=False,
        range=[len(names) - 0.4, -0.6],
    )
    legend = legend_below(-60 / max(60, figure.layout.height - 170))
    figure.update_layout(xaxis_zeroline=False, showlegend=True, legend=legend, margin={"t": 104, "b": 110})
    return figure


def correction_table(report: Report) -> pd.DataFrame:
    """A row a correction and setting, after transfer alone: accuracies in percent, the difference in points, and the skewness of N_1.

    `detectable` is the smallest true difference that would be found in four of five such studies.
    """
    alone = report.row(TRANSFER)
    content = [
        {
            "correction": "none",
            "setting": alone.setting,
            "top1_%": f"{100 * alone.top1:.1f}",
            "validation_%": f"{100 * alone.validation_top1:.1f}",
            "N1_skewness": f"{alone.hubness['skewness']:.2f}",
        }
    ]
    for compared in report.compare_corrections():
        row = compared.row
        content.append(
            {
                "correction": _name(compared),
                "setting": row.setting,
                "top1_%": f"{100 * row.top1:.1f}",
                "validation_%": f"{100 * row.validation_top1:.1f}",
                "N1_skewness": f"{row.hubness['skewness']:.2f}",
                "difference": f"{100 * compared.difference:+.1f}",
                "its interval": interval_as_text(compared.difference_ci95, "+"),
                "p": p_as_text(compared.p),
                "p (Holm)": p_as_text(compared.p_holm),
                "detectable": detectable_as_text(compared.detectable),
            }
        )
    return pd.DataFrame(content).fillna("").set_index("correction").rename_axis(None)


def _name(row: CorrectionRow) -> str:
    return row.row.method.removeprefix(f"{TRANSFER}, ")
