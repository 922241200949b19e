"""Seen and unseen classes as candidates together: the curve of one accuracy against the other."""

from __future__ import annotations

import plotly.graph_objects as go

from zsar_lab.results.generalised_split import GeneralisedScores
from zsar_lab.results.report import Report
from zsar_lab.viz.figures.scores import about_report, legend_below
from zsar_lab.viz.figures.style import PALETTE, new_panels, panel, percent, plain

DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


def seen_unseen_curves(report: Report) -> go.Figure:
    """Accuracy on unseen against seen classes as a constant is taken off the seen scores, a panel a split, a curve a method.

    Open circles are the scores as they are; filled ones have the constant that validation classes chose.
    """
    about = f"{about_report(report)}; open: nothing taken off, filled: constant chosen on validation classes"
    axes = [("", "unseen classes (%)")] * len(report.results)
    figure = new_panels(
        "Seen against unseen classes, all of them candidates",
        about,
        axes,
        height=150 + 300 * -(-len(axes) // 3),
    )
    methods = [scored.method for scored in report.results[0].generalised]
    for number, result in enumerate(report.results):
        row, column = panel(number)
        for scored in result.generalised:
            place = methods.index(scored.method)
            _curve(
                figure,
                scored,
                {"color": PALETTE[place], "dash": DASHES[place % len(DASHES)]},
                number == 0,
                row,
                column,
            )
        figure.update_xaxes(
            title_text=f"seen classes (%)<br>{plain(result.protocol.name)}",
            row=row,
            col=column,
            range=[0, 101],
        )
        figure.update_yaxes(row=row, col=column, range=[0, 101])
    figure.update_layout(legend=legend_below(-0.36), margin_b=140)
    return figure


def _curve(
    figure: go.Figure, scored: GeneralisedScores, line: dict[str, str], in_legend: bool, row: int, column: int
) -> None:
    curve = scored.curve
    look = {"legendgroup": scored.method, "row": row, "col": column}
    figure.add_scatter(
        x=percent(curve.seen),
        y=percent(curve.unseen),
        mode="lines",
        line=line,
        name=plain(scored.method),
        showlegend=in_legend,
        hovertemplate=f"{plain(scored.method)}: seen %{{x:.1f}} %, unseen %{{y:.1f}} %<extra>area {curve.area:.3f}</extra>",
        **look,
    )
    for score, symbol, what in (
        (scored.plain, "circle-open", "nothing taken off"),
        (scored.calibrated, "circle", "constant by validation"),
    ):
        figure.add_scatter(
            x=[100 * score.seen],
            y=[100 * score.unseen],
            mode="markers",
            marker={"color": line["color"], "symbol": symbol, "size": 10},
            showlegend=False,
            hovertemplate=f"{plain(scored.method)}, {what}: S %{{x:.1f}}, U %{{y:.1f}}, H {100 * score.harmonic:.1f} %<extra></extra>",
            **look,
        )
