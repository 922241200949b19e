"""The conventions table: the same embeddings under every convention, as a figure and as tables."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from zsar_lab.results.conventions import Convention, ConventionTable
from zsar_lab.viz.figures.style import ACCURACY, legend_below
from zsar_lab.viz.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    name_ticks,
    new_figure,
    percent,
    plain,
    tick,
)

ROW_PX = 26
SAME_CHANCE = (BLUE, "circle", "candidates as in the reference")
OTHER_CHANCE = (ORANGE, "diamond", "another number of candidates")


def convention_dots(table: ConventionTable) -> go.Figure:
    """Top-1 under each convention with its 95 % interval over classes, by aspect, beside the chance of each; the line is the reference."""
    reference = table.reference
    places, ticks = grouped(
        [row.aspect for row in table.rows[1:]], [row.name for row in table.rows[1:]], first=reference.name
    )
    counts = f"{reference.candidates:g} unseen classes and {reference.clips:g} clips a split"
    about = f"method {table.method}, {counts}; 95 % intervals over classes; dotted: the reference"
    figure = new_figure(
        "The same embeddings under every convention", about, ACCURACY, "", height=230 + ROW_PX * len(ticks)
    )
    rows = list(zip([0, *places], table.rows, strict=True))
    for colour, symbol, name in (SAME_CHANCE, OTHER_CHANCE):
        shown = [
            (place, row)
            for place, row in rows
            if (row.candidates == reference.candidates) == (symbol == SAME_CHANCE[1])
        ]
        if not shown:
            continue
        below, above = (percent([abs(row.ci95[end] - row.top1) for _, row in shown]) for end in (0, 1))
        figure.add_scatter(
            x=percent([row.top1 for _, row in shown]),
            y=[place for place, _ in shown],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 10, "symbol": symbol},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": above,
                "arrayminus": below,
                "thickness": 1.5,
                "width": 4,
            },
            customdata=[[*percent(row.ci95), _hover(row)] for _, row in shown],
            hovertemplate="%{x:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}]<br>%{customdata[2]}<extra></extra>",
        )
    figure.add_scatter(
        x=percent([row.chance for _, row in rows]),
        y=[place for place, _ in rows],
        mode="markers",
        name="chance",
        marker={"symbol": "line-ns-open", "size": 12, "color": GREY, "line": {"width": 2}},
        hovertemplate="chance %{x:.1f} %<extra></extra>",
    )
    figure.add_vline(x=100 * reference.top1, line={"color": GREEN, "dash": "dot", "width": 2}, layer="below")
    name_ticks(
        figure, "y", ticks, ticktext=ticks, tickfont_size=12, showgrid=False, range=[len(ticks) - 0.4, -0.8]
    )
    legend = legend_below(-60 / (ROW_PX * len(ticks) + 60))
    figure.update_layout(
        xaxis={"range": [0, 104], "zeroline": False},
        showlegend=True,
        legend=legend,
        margin={"t": 90, "b": 110},
    )
    return figure


def convention_table(table: ConventionTable) -> pd.DataFrame:
    """A row a convention, for reading: percentages with one decimal, the difference to the reference in points."""
    content = [
        {
            "aspect": row.aspect,
            "convention": row.name,
            "candidates": f"{row.candidates:g}",
            "clips": f"{row.clips:g}",
            "splits": str(row.n_splits),
            "chance_%": _one(row.chance),
            "top1_%": _one(row.top1),
            "std": _one(row.std) if row.std == row.std else "",
            "interval": f"[{_one(row.ci95[0])}, {_one(row.ci95[1])}]",
            "above chance_%": _one(row.above_chance),
            "difference": f"{100 * row.difference:+.1f}" if row is not table.reference else "",
        }
        for row in table.rows
    ]
    return pd.DataFrame(content).set_index(["aspect", "convention"]).rename_axis([None, None])


def conventions_as_text(table: ConventionTable) -> str:
    """What each convention scores, a line each, what could not be scored, and how far the conventions move the number."""
    lines = [f"- {row.aspect}, {row.name}: {row.scored}." for row in table.rows] + [
        f"- Not scored: {words}." for words in table.left_out
    ]
    return (
        "\n".join(textwrap.fill(line, 110, subsequent_indent="  ") for line in lines)
        + "\n\n"
        + textwrap.fill(table.sentence(), 110)
    )


def spread_table(table: ConventionTable) -> pd.DataFrame:
    """A row an aspect, then all of them: the lowest and the highest top-1 of its conventions, and how far they lie apart, in points."""
    content = {
        spread.aspect: {
            "lowest_%": f"{_one(spread.lowest.top1)} ({spread.lowest.name})",
            "highest_%": f"{_one(spread.highest.top1)} ({spread.highest.name})",
            "apart": _one(spread.top1),
            "apart above chance": _one(spread.above_chance),
        }
        for spread in table.spreads()
    }
    return pd.DataFrame.from_dict(content, orient="index")


def grouped(
    groups: Sequence[str], names: Sequence[str], first: str | None = None
) -> tuple[list[int], list[str]]:
    """Places on an axis for names in groups that stand together, with a place for each group's heading.

    Args:
        groups, names: of each row, in their order.
        first: a name without a group, at place 0.

    Returns:
        The place of each row, and the text of every place, the headings in bold.
    """
    ticks = [tick(first)] if first is not None else []
    places = []
    for number, (group, name) in enumerate(zip(groups, names, strict=True)):
        if number == 0 or group != groups[number - 1]:
            ticks.append(f"<b>{plain(group)}</b>")
        places.append(len(ticks))
        ticks.append(tick(name))
    return places, ticks


def _hover(row: Convention) -> str:
    std = f"; std over {row.n_splits} splits {_one(row.std)}" if row.std == row.std else ""
    counts = f"{row.candidates:g} candidates, {row.clips:g} clips a split{std}; rescaled above chance {_one(row.above_chance)} %"
    return f"{plain(row.scored)}<br>{counts}; {100 * row.difference:+.1f} points to the reference"


def _one(share: float) -> str:
    return f"{100 * share:.1f}"
