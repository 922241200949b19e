"""The ablation: what each part of the system is worth as a figure and a table, and the paper's claims beside what was found, in words."""

from __future__ import annotations

import textwrap

import pandas as pd
import plotly.graph_objects as go

from zsar_lab.results.ablation import NOT_TESTED, Ablation, AblationRow, claims_against_findings
from zsar_lab.results.statistics import CLAIM_LEVEL
from zsar_lab.results.wording import interval_as_text, p_as_text
from zsar_lab.viz.figures.style import legend_below
from zsar_lab.viz.figures.style import BLUE, GREY, ORANGE, name_ticks, new_figure, percent, plain
from zsar_lab.viz.figures_conventions import ROW_PX, grouped

FEW_CLASSES = 50

CHOSEN = "what validation chose in every split"


def ablation_differences(ablation: Ablation) -> go.Figure:
    """Top-1 of each variant less the whole system's, with 95 % intervals over classes; filled where a difference can be claimed."""
    rows, whole = ablation.rows, ablation.whole
    places, ticks = grouped([row.aspect for row in rows], [row.variant for row in rows])
    about = f"{len(whole.splits)} splits, the same {ablation.n_clips} clips; the whole system: {100 * whole.top1:.1f} %; 95 % intervals over classes"
    title, x_title = (
        "One part changed at a time, difference to the whole system",
        "difference of top-1 to the whole system (points)",
    )
    figure = new_figure(title, about, x_title, "", height=230 + ROW_PX * len(ticks))
    looks = (
        ("circle", BLUE, f"a difference can be claimed (Holm's p at most {CLAIM_LEVEL:g})"),
        ("circle-open", ORANGE, "no difference can be claimed"),
        ("x-thin-open", GREY, CHOSEN),
    )
    for symbol, colour, name in looks:
        shown = [(place, row) for place, row in zip(places, rows, strict=True) if _look(row) == symbol]
        if not shown:
            continue
        below, above = (
            percent([abs(row.difference_ci95[end] - row.difference) for _, row in shown]) for end in (0, 1)
        )
        figure.add_scatter(
            x=percent([row.difference for _, row in shown]),
            y=[place for place, _ in shown],
            mode="markers",
            name=plain(name),
            marker={"color": colour, "size": 10, "symbol": symbol, "line": {"width": 2}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": above,
                "arrayminus": below,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=[[*percent(row.difference_ci95), _hover(row)] for _, row in shown],
            hovertemplate="%{x:+.1f} points [%{customdata[0]:+.1f}, %{customdata[1]:+.1f}]<br>%{customdata[2]}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": GREY, "dash": "dot", "width": 2}, layer="below")
    name_ticks(
        figure, "y", ticks, ticktext=ticks, tickfont_size=12, showgrid=False, range=[len(ticks) - 0.4, -0.6]
    )
    legend = legend_below(-60 / (ROW_PX * len(ticks) + 60))
    figure.update_layout(xaxis_zeroline=False, showlegend=True, legend=legend, margin={"t": 90, "b": 110})
    return figure


def ablation_table(ablation: Ablation) -> pd.DataFrame:
    """A row a variant, after the whole system: top-1 in percent, differences in points, p alone and adjusted for all variants (Holm).

    `detectable` is the smallest true difference whose p is at most 0.05 with 80 % chance; Holm's p asks for
    more.
    """
    content = []
    for row in (ablation.whole, *ablation.rows):
        compared = row.p is not None
        content.append(
            {
                "aspect": row.aspect,
                "variant": row.variant,
                "top1_%": f"{100 * row.top1:.1f}",
                "interval": interval_as_text(row.ci95),
                "chosen in": f"{row.same_in} of {len(row.splits)} splits"
                if row.same_in and row is not ablation.whole
                else "",
                "difference": f"{100 * row.difference:+.1f}" if compared else "",
                "its interval": interval_as_text(row.difference_ci95, "+") if compared else "",
                "p": p_as_text(row.p),
                "p (Holm)": p_as_text(row.p_holm),
                "detectable": f"{100 * row.detectable:.1f}" if compared else "",
            }
        )
    return pd.DataFrame(content).set_index(["aspect", "variant"]).rename_axis([None, None])


def claims_as_text(ablation: Ablation) -> str:
    """What the paper does, the verdict on whether it helps here, and the differences that the verdict rests on."""
    splits = f"{len(ablation.whole.splits)} split{'s' * (len(ablation.whole.splits) > 1)}"
    lines = [
        f"The paper's parts against what was found in {splits}, {ablation.n_clips} clips of {ablation.n_classes} unseen classes:"
    ]
    for finding in claims_against_findings(ablation):
        rows = (
            "no such training was given"
            if finding.verdict == NOT_TESTED
            else "; ".join(_compared(row) for row in finding.rows)
        )
        beside = "".join(f" Beside it, {_compared(row)}." for row in finding.beside)
        lines.append(f"- {finding.claim} {finding.verdict.capitalize()}: {rows}.{beside}")
    lines.append(
        "- Differences are to transfer. A true one as large as is named detectable has p <= 0.05 with 80 % chance, Holm's p less often."
    )
    if ablation.n_classes < FEW_CLASSES:
        few = f"{ablation.n_classes} different classes. With so few they are too sure: of true zeros up to 1 in 10 has p <= 0.05."
        lines.append(f"- Intervals and p resample {few}")
    return "\n".join(
        textwrap.fill(line, 110, subsequent_indent="  " if line.startswith("-") else "") for line in lines
    )


def _compared(row: AblationRow) -> str:
    """A variant's difference and what may be claimed of it: "direct +0.8 points [-7.5, +7.8], Holm's p = 1.00, detectable 10.2"."""
    p = p_as_text(row.p_holm)
    difference = f"{100 * row.difference:+.1f} points {interval_as_text(row.difference_ci95, '+')}"
    return f"{row.variant} {difference}, Holm's p {p if p.startswith('<') else '= ' + p}, detectable {100 * row.detectable:.1f}"


def _look(row: AblationRow) -> str:
    return "x-thin-open" if row.p is None else "circle" if row.claimed else "circle-open"


def _hover(row: AblationRow) -> str:
    if row.p is None:
        return f"{plain(row.variant)}: {CHOSEN}"
    chosen = f"; validation chose it in {row.same_in} of {len(row.splits)} splits" if row.same_in else ""
    p = f"p {p_as_text(row.p)}, Holm's {p_as_text(row.p_holm)}"
    return f"{plain(row.variant)}: top-1 {100 * row.top1:.1f} %{chosen}<br>{p}; {100 * row.detectable:.1f} points would be found with 80 % chance"
