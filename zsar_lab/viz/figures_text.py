"""Figures of class texts: what each prompt scored, and its difference to a baseline on the same clips."""

from __future__ import annotations

import plotly.graph_objects as go

from zsar_lab.results.evaluate import METHODS, TRANSFER
from zsar_lab.results.report import CLAIM_LEVEL, Report
from zsar_lab.viz.figures.scores import (
    ACCURACY,
    METHOD_COLOURS,
    about_report,
    legend_below,
    level_line,
    points_with_intervals,
    settings_of,
)
from zsar_lab.viz.figures.style import BLUE, GREY, ORANGE, name_ticks, new_figure, percent, plain, tick
from zsar_lab.viz.tables_text import chosen_as_text, p_as_text


def text_scores(report: Report) -> go.Figure:
    """Top-1 by prompt of class text, a colour a method, with 95 % intervals over classes; all on the same clip embeddings."""
    figure = new_figure(
        "Zero-shot top-1 by class text",
        about_report(report),
        "prompt of the class text",
        ACCURACY,
        height=440,
    )
    prompts = list(dict.fromkeys(row.class_text for row in report.text_rows))
    methods = [method for method in METHODS if any(row.method == method for row in report.text_rows)]
    for number, method in enumerate(methods):
        rows = [row for row in report.text_rows if row.method == method]
        places = [prompts.index(row.class_text) + 0.2 * (number - (len(methods) - 1) / 2) for row in rows]
        points_with_intervals(
            figure,
            rows,
            places,
            METHOD_COLOURS[method],
            plain(method),
            [plain(settings_of(row)) for row in rows],
        )
    level_line(figure, 100 * report.chance, f"chance {100 * report.chance:.1f} %", GREY)
    trained_with = report.rows[0].class_text if report.rows else ""
    names = [tick(prompt) + ("<br>(trained with)" if prompt == trained_with else "") for prompt in prompts]
    name_ticks(
        figure,
        "x",
        prompts,
        ticktext=names,
        tickangle=0,
        tickfont_size=11,
        showgrid=False,
        range=[-0.6, len(prompts) - 0.4],
    )
    figure.update_layout(yaxis_range=[0, 104], legend=legend_below(-0.22), margin_b=110)
    return figure


def text_differences(report: Report, method: str = TRANSFER, baseline: str = "label") -> go.Figure:
    """Top-1 of each prompt of class text less the baseline's on the same clips, with 95 % intervals over classes, the largest on top.

    Args:
        report: scored with several prompts.
        method: transfer or a ridge method.
        baseline: the prompt at the zero line.

    Raises:
        ValueError: as `Report.compare_texts`.
    """
    rows = report.compare_texts(method, baseline)
    zero = next(row for row in rows if row.class_text == baseline)
    others = sorted((row for row in rows if row is not zero), key=lambda row: -row.difference)
    title = f"Zero-shot top-1 by class text, difference to {baseline}"
    about = f"{about_report(report)}; method {method}, the same clips of the same splits; 95 % intervals over classes"
    figure = new_figure(
        title, about, f"difference of top-1 to {baseline} (points)", "", height=210 + 46 * max(1, len(others))
    )
    claim = f"a difference can be claimed (Holm's p at most {CLAIM_LEVEL:g})"
    looks = ((True, BLUE, "circle", claim), (False, ORANGE, "circle-open", "no difference can be claimed"))
    for claimed, colour, symbol, name in looks:
        shown = [(place, row) for place, row in enumerate(others) if row.claimed == claimed]
        if not shown:
            continue
        middle = percent([row.difference for _, row in shown])
        below, above = (
            percent([abs(row.difference_ci95[end] - row.difference) for _, row in shown]) for end in (0, 1)
        )
        figure.add_scatter(
            x=middle,
            y=[place for place, _ in shown],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 11, "symbol": symbol},
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
                    f"top-1 {100 * row.top1:.1f} %, Holm's p {p_as_text(row.p_holm)}",
                ]
                for _, row in shown
            ],
            hovertemplate="%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<br>%{customdata[2]}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": GREY, "dash": "dot", "width": 2})
    zero_text = plain(
        f"{baseline} {100 * zero.top1:.1f} %; validation chooses it in {chosen_as_text(zero, report)}"
    )
    figure.add_annotation(
        x=0,
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        text=zero_text,
        font={"color": GREY, "size": 12},
    )
    chosen = [
        f"{tick(row.class_text)}<br><i>chosen in {plain(chosen_as_text(row, report))}</i>" for row in others
    ]
    name_ticks(
        figure,
        "y",
        chosen,
        ticktext=chosen,
        tickfont_size=12,
        showgrid=False,
        range=[len(others) - 0.4, -0.6],
    )
    legend = legend_below(-60 / max(60, figure.layout.height - 170))
    figure.update_layout(xaxis_zeroline=False, showlegend=True, legend=legend, margin={"t": 104, "b": 110})
    return figure
