"""Figures of a user's own videos: the timeline of a long one, how sure to be, and what a class is composed of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.infer.classifier import Thresholds, ZeroShotClassifier
from zsar_lab.infer.predictions import NO_PREDICTION, stretches
from zsar_lab.viz.figures.files import write_page
from zsar_lab.viz.figures.style import (
    BLUE,
    COUNT_SCALE,
    GREY,
    ORANGE,
    PALETTE,
    colour_bar,
    name_ticks,
    new_figure,
    new_panels,
    percent,
    plain,
    tick,
)

MOST_ROWS = 12  # of the heatmap
ROW_PX, LANE_PX, GAP_PX = 26, 32, 16  # of the timeline: a class, the lane of names above, and between them


def timeline(table: pd.DataFrame, path: str, about: str = "") -> go.Figure:
    """A long video: above, what it shows from second to second; below, the confidence of each class by window.

    Where the prediction is unsure, the upper lane has a gap.

    Args:
        table: from `predict`.
        path: of one video in it, with a window or more that could be read.
        about: a line below the title; the model, for example.

    Raises:
        ValueError: the table has no window of that video.
    """
    of_video = table[table["path"] == path]
    windows = of_video[of_video["prediction"] != NO_PREDICTION]
    if windows.empty:
        raise ValueError(f"a timeline needs a video with a window that could be read, got '{path}'")
    names = _most_named(windows)
    title, panels = f"What is seen in {Path(path).name}, and when", [("", ""), ("time in the video (s)", "")]
    height = 180 + LANE_PX + GAP_PX + ROW_PX * max(4, len(names))
    figure = new_panels(title, about, panels, height, per_row=1, gap=0.2)
    colours = {name: PALETTE[number % len(PALETTE)] for number, name in enumerate(names)}
    sure = stretches(of_video)
    hover = "%{customdata[0]:.1f} to %{customdata[1]:.1f} s<br>mean confidence %{customdata[2]:.2f}<extra>"
    for name, of_name in sure[sure["prediction"] != NO_PREDICTION].groupby("prediction", sort=False):
        figure.add_bar(
            x=(of_name["end_s"] - of_name["start_s"]).tolist(),
            base=of_name["start_s"].tolist(),
            y=["sure"] * len(of_name),
            orientation="h",
            row=1,
            col=1,
            name=plain(name),
            marker={"color": colours.get(name, GREY)},
            showlegend=False,
            text=[tick(name)] * len(of_name),
            textposition="inside",
            insidetextanchor="middle",
            customdata=of_name[["start_s", "end_s", "confidence"]].to_numpy().tolist(),
            hovertemplate=hover + plain(name) + "</extra>",
        )
    edges, shares = _cells(windows)
    figure.add_heatmap(
        x=edges,
        y=list(range(len(names))),
        z=[[100 * share.get(name, np.nan) for share in shares] for name in names],
        row=2,
        col=1,
        colorscale=COUNT_SCALE,
        zmin=0,
        zmax=100,
        colorbar=colour_bar("confidence (%)"),
        customdata=[[plain(name)] * len(shares) for name in names],
        hoverongaps=False,
        hovertemplate="%{customdata}<br>around %{x:.1f} s: %{z:.0f} %<extra></extra>",
    )
    rows = [f"{tick(name)} <span style='color:{colours[name]}'>■</span>" for name in names]
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": rows}
    figure.update_yaxes(**ticks, autorange="reversed", zeroline=False, row=2, col=1)
    figure.update_xaxes(range=[float(windows["start_s"].min()), float(windows["end_s"].max())])
    inside = height - figure.layout.margin.t - figure.layout.margin.b
    figure.update_layout(
        xaxis={"matches": "x2", "showticklabels": False},
        yaxis={"domain": [1 - LANE_PX / inside, 1]},
        yaxis2={"domain": [0, 1 - (LANE_PX + GAP_PX) / inside]},
        barmode="overlay",
        uniformtext={"mode": "hide", "minsize": 10},
    )
    return figure


def write_timelines(parts: Sequence[pd.DataFrame], path: Path, about: str = "") -> str:
    """Write a page with the timeline of every video that could be read; returns a sentence on it.

    Args:
        parts: from `predict`, in any order.
        path: of the page; plotly.min.js is put beside it. Not written where no video could be read.
        about: a line below the titles.
    """
    table = pd.concat(parts, ignore_index=True).sort_values(["path", "start_s"], ignore_index=True)
    videos = table.loc[table["prediction"] != NO_PREDICTION, "path"].unique()
    if not len(videos):
        return f"No video could be read, so there is no timeline to write to {path}."
    write_page([timeline(table, video, about) for video in videos], path)
    return f"Written to {path}, with plotly.min.js beside it, which it needs."


def how_sure(thresholds: Thresholds) -> go.Figure:
    """Error among the validation clips that are named, as the least confident are left out; dashed: as asked."""
    about = f"validation classes, {thresholds.n_candidates} candidates at a time; their own clips only"
    title = "How many predictions are wrong, by how many are given"
    figure = new_figure(title, about, "clips named (%)", "error among them (%)", 360)
    figure.add_scatter(
        x=percent(thresholds.curve.coverage),
        y=percent(thresholds.curve.risk),
        mode="lines",
        line={"color": BLUE, "width": 2},
        showlegend=False,
        hovertemplate="%{x:.0f} % named: %{y:.1f} % wrong<extra></extra>",
    )
    allowed, dashed = 100 * (1 - thresholds.min_precision), {"color": ORANGE, "dash": "dash"}
    text = f"{allowed:.0f} % wrong, as asked for"
    figure.add_hline(y=allowed, line=dashed, annotation_text=text, annotation_font_color=GREY)
    figure.update_xaxes(range=[0, 101])
    figure.update_yaxes(rangemode="tozero")
    return figure


def composed_of(classifier: ZeroShotClassifier, seen: pd.DataFrame, name: str, most: int = 8) -> go.Figure:
    """The seen classes whose prototypes compose a class's point, with their weights.

    Args:
        classifier: of the transfer method.
        seen: of the model.
        name: one of its classes.
        most: classes shown.

    Raises:
        ValueError: another method, or no such class.
    """
    if classifier.transfer_weights_CS is None or name not in classifier.names:
        got = f"{name!r} of {classifier.method}"
        raise ValueError(f"only a candidate of the transfer method is composed of seen classes, got {got}")
    weights_S = classifier.transfer_weights_CS[classifier.names.index(name)]
    order = np.argsort(-weights_S)[: min(most, int((weights_S > 0).sum()))]
    labels = [seen["label"].iloc[s] for s in order]
    about, height = "seen classes, by the relatedness of their texts", 130 + 26 * len(order)
    figure = new_figure(f"What {name} is composed of", about, "weight (%)", "", height)
    figure.add_bar(
        x=percent(weights_S[order]),
        y=list(range(len(order))),
        orientation="h",
        marker={"color": BLUE},
        showlegend=False,
        customdata=[plain(text) for text in labels],
        hovertemplate="%{customdata}: %{x:.1f} %<extra></extra>",
    )
    name_ticks(figure, "y", labels)
    return figure


def _cells(windows: pd.DataFrame) -> tuple[list[float], list[dict[str, float]]]:
    """Edges in time of cells, one for each window and each gap, and the confidences in each; {} in a gap.

    Of windows that overlap, each has the time about its middle.
    """
    bounds = list(windows[["start_s", "end_s"]].itertuples(index=False, name=None))
    best = [dict(one) for one in windows["best"]]
    edges, shares = [bounds[0][0]], [best[0]]
    for (before, after), share in zip(pairwise(bounds), best[1:]):
        if after[0] > before[1]:
            edges += [before[1], after[0]]
            shares += [{}, share]
        else:
            edges.append((sum(before) + sum(after)) / 4)
            shares.append(share)
    return [*edges, bounds[-1][1]], shares


def _most_named(windows: pd.DataFrame) -> list[str]:
    """The classes that are best in any window, then those second, and so on, at most MOST_ROWS."""
    ranked = pd.DataFrame(windows["best"].tolist())  # a row a window, a column a place
    names = [best[0] for _, column in ranked.items() for best in column if best is not None]
    return list(dict.fromkeys(names))[:MOST_ROWS]
