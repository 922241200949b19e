"""Figures of own videos: the timeline of a long one, and how sure to be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.infer.calibrate import Thresholds
from zsar_lab.infer.predictions import NO_PREDICTION, cells, segments
from zsar_lab.viz.figures import style, write_page

MOST_ROWS = 12  # of the heatmap
SIGNS = "■▨"  # a class beyond the palette's has a colour again, hatched
ROW_PX, LANE_PX, GAP_PX = 26, 32, 16  # of the timeline: a class, each lane of names above, and between them


def timeline(table: pd.DataFrame, path: str, about: str = "") -> go.Figure:
    """A long video of a table of `predict`: what it shows when, what is unsure apart, and all confidences.

    Raises:
        ValueError: the table has no window of that video.
    """
    of_video = table[table["path"] == path]
    windows = of_video[of_video["prediction"] != NO_PREDICTION]
    if windows.empty:
        raise ValueError(f"a timeline needs a video with a window that could be read, got '{path}'")
    names = _most_named(windows)
    title, panels = f"What is seen in {Path(path).name}, and when", [("", ""), ("time in the video (s)", "")]
    height = 180 + 2 * LANE_PX + GAP_PX + ROW_PX * max(4, len(names))
    figure = style.new_panels(title, about, panels, height, per_row=1, gap=0.2)
    n_colours = len(style.PALETTE)
    colours = {name: style.PALETTE[number % n_colours] for number, name in enumerate(names)}
    signs = {name: SIGNS[number // n_colours] for number, name in enumerate(names)}
    shown = segments(of_video)
    for (name, unsure), rows in shown[shown["prediction"] != NO_PREDICTION].groupby(["prediction", "unsure"]):
        hover = [
            f"{row.start_s:.1f} to {row.end_s:.1f} s"
            + f"<br>mean confidence {row.confidence:.2f}" * (not np.isnan(row.confidence))
            + f"<br>unsure: {style.plain(row.why)}" * row.unsure
            for row in rows.itertuples()
        ]
        text: style.Look = {"text": [style.tick(name)] * len(rows), "insidetextanchor": "middle"}
        text |= {"textposition": "inside", "showlegend": False, "base": rows["start_s"].tolist()}
        marker: style.Look = {"color": colours.get(name, style.GREY)}
        marker |= {"pattern": {"shape": "/" if signs.get(name) == SIGNS[1] else ""}}
        lane = ["unsure" if unsure else "sure"] * len(rows)
        style.bars(figure, rows["end_s"] - rows["start_s"], lane, name, hover, marker, **text, row=1, col=1)
    edges, shares = _cells(windows)
    figure.add_heatmap(
        x=edges,
        y=list(range(len(names))),
        z=[[100 * share.get(name, np.nan) for share in shares] for name in names],
        row=2,
        col=1,
        colorscale=style.COUNT_SCALE,
        zmin=0,
        zmax=100,
        colorbar=style.colour_bar("confidence (%)"),
        customdata=[[style.plain(name)] * len(shares) for name in names],
        hoverongaps=False,
        hovertemplate="%{customdata}<br>around %{x:.1f} s: %{z:.0f} %<extra></extra>",
    )
    rows = [f"{style.tick(name)} <span style='color:{colours[name]}'>{signs[name]}</span>" for name in names]
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": rows}
    figure.update_yaxes(**ticks, autorange="reversed", zeroline=False, row=2, col=1)
    figure.update_xaxes(range=[float(windows["start_s"].min()), float(windows["end_s"].max())])
    inside = height - figure.layout.margin.t - figure.layout.margin.b
    lanes = {"categoryorder": "array", "categoryarray": ["unsure", "sure"], "range": [-0.5, 1.5]}
    figure.update_layout(
        xaxis={"matches": "x2", "showticklabels": False},
        yaxis={"domain": [1 - 2 * LANE_PX / inside, 1], **lanes},
        yaxis2={"domain": [0, 1 - (2 * LANE_PX + GAP_PX) / inside]},
        barmode="overlay",
        uniformtext={"mode": "hide", "minsize": 10},
    )
    return figure


def write_timelines(parts: Sequence[pd.DataFrame], path: Path, about: str = "") -> str:
    """Write a page with the timeline of every video that could be read; returns a sentence on it."""
    table = pd.concat(parts, ignore_index=True).sort_values(["path", "start_s"], ignore_index=True)
    videos = table.loc[table["prediction"] != NO_PREDICTION, "path"].unique()
    if not len(videos):
        return f"No video could be read, so there is no timeline to write to {path}."
    write_page([timeline(table, video, about) for video in videos], path)
    return f"Written to {path}."


def how_sure(thresholds: Thresholds) -> go.Figure:
    """Error among validation clips, as the least confident are left out; dashed: what was asked for."""
    about = f"held-out clips in the place of yours; {thresholds.n_validation} validation classes as new names"
    title = "How many predictions are wrong, by how many are given"
    figure = style.new_figure(title, about, "clips predicted (%)", "error among them (%)", 360)
    curve, line = thresholds.curve, {"color": style.BLUE, "width": 2}
    hover = "%{x:.0f} % predicted: %{y:.1f} % wrong"
    style.curve(figure, curve.coverage, curve.risk, "", hover, line, showlegend=False)
    allowed, dashed = 100 * (1 - thresholds.min_precision), {"color": style.ORANGE, "dash": "dash"}
    text = f"{allowed:.0f} % wrong, as asked for"
    figure.add_hline(y=allowed, line=dashed, annotation_text=text, annotation_font_color=style.GREY)
    figure.update_xaxes(range=[0, 101])
    figure.update_yaxes(rangemode="tozero")
    return figure


def _cells(windows: pd.DataFrame) -> tuple[list[float], list[dict[str, float]]]:
    """Edges in time of cells, one for each window and each gap, and the confidences in each; {} in a gap."""
    own = cells(windows)
    edges: list[float] = [own["start_s"].iloc[0]]
    shares: list[dict[str, float]] = []
    for start_s, end_s, best in zip(own["start_s"], own["end_s"], own["best"]):
        if start_s > edges[-1]:
            edges.append(start_s)
            shares.append({})
        edges.append(end_s)
        shares.append(dict(best))
    return edges, shares


def _most_named(windows: pd.DataFrame) -> list[str]:
    """The classes that are best in any window, then those second, and so on, at most MOST_ROWS."""
    ranked = pd.DataFrame(windows["best"].tolist())  # a row a window, a column a place
    names = [best[0] for _, column in ranked.items() for best in column if best is not None]
    return list(dict.fromkeys(names))[:MOST_ROWS]
