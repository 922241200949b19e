"""Figures of a training, or of several: losses, top-1 on held-out clips, and the meters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from zsar_lab.protocols.protocol import Protocol
from zsar_lab.train.meters import FORMATS
from zsar_lab.viz.figures import style

History = Sequence[Mapping[str, Any]]
SUMMED_LOSS, GFLOP_PER_CLIP = "summed loss", "gflop_per_clip"  # made of an epoch's other numbers
SEEN, VALIDATION = "seen_top1", "validation_direct_top1"
NOT_A_LOSS = {"epoch", "step", *FORMATS}
LOOKS = {
    "classification": ("classification", style.BLUE),
    "alignment": ("alignment", style.ORANGE),
    "matching": ("matching", style.GREEN),
    SEEN: ("seen classes", style.PURPLE),
    VALIDATION: ("validation (pseudo-unseen)", style.SKY),
    "clips_per_s": ("clips/s", style.BLUE),
    "waiting_share": ("time waiting for data", style.VERMILLION),
    "peak_share": ("of the measured peak", style.GREEN),
}
ONE_TRAINING = ("loss (weighted)", "top-1, held-out clips (%)", "clips/s", "share (%)")
EVERY_SPLIT = {
    SUMMED_LOSS: "loss (weighted sum)",
    SEEN: "seen-class top-1 (%)",
    VALIDATION: "validation top-1 (%)",
    "clips_per_s": "clips/s",
    "waiting_share": "waiting for data (%)",
    "peak_share": "of measured peak (%)",
}
# what is written beneath a figure, line by line: key, format of the number, and the words after it
NUMBERS = (
    (
        (SUMMED_LOSS, "{:.2f}", "loss"),
        (SEEN, "{:.1f}", "% top-1 on seen classes"),
        (VALIDATION, "{:.1f}", "% top-1 on validation classes"),
    ),
    (("clips_per_s", "{:.1f}", "clips/s"), ("waiting_share", "{:.1f}", "% of the time waiting for data")),
    (
        (GFLOP_PER_CLIP, "{:.3g}", "GFLOP per clip"),
        ("peak_share", "{:.1f}", "% of the device's measured peak"),
        ("memory_mb", "{:,.0f}", "MB of memory at most"),
    ),
)
MOST_NUMBERED_EPOCHS = 8
NO_POINT = (None,)  # plotly draws neither axes nor name of a trace without any point


def loss_curves(history: History, about: str = "", chance: Mapping[str, float] | None = None) -> go.Figure:
    """One training by epoch: losses, top-1 on seen and validation classes, clips/s, shares of time and peak.

    `chance` is top-1 of a guess, 0..1, by the history's key, as of `chance_levels`: dotted lines.
    """
    figure = _curve_panels("Training", about, chance, ONE_TRAINING, per_row=2)
    keys = list(dict.fromkeys(key for entry in history for key in entry))
    losses = [key for key in keys if is_loss(key)]
    accuracies = dict.fromkeys([SEEN, VALIDATION, *(key for key in keys if "top1" in key)])
    for number, names in enumerate((losses, accuracies, ["clips_per_s"], ["waiting_share", "peak_share"])):
        row, column = style.panel(number, per_row=2)
        legend = f"legend{number + 1}" if number else "legend"
        for name in names:
            title, colour = LOOKS.get(name, (name, style.GREY))
            epochs, values = measured(history, name)
            if epochs:
                look = _line(colour) | {"legend": legend, "showlegend": name != "clips_per_s"}
                figure.add_scatter(x=epochs, y=values, name=style.plain(title), **look, row=row, col=column)
            if chance and name in chance:
                _dotted_line(figure, 100 * chance[name], colour, row, column)
        axes = figure.get_subplot(row, column)
        above = {"x": axes.xaxis.domain[0], "xanchor": "left", "y": axes.yaxis.domain[1], "yanchor": "bottom"}
        above |= {"orientation": "h", "bgcolor": style.CLEAR, "font": {"color": style.GREY, "size": 12}}
        figure.update_layout({legend: above}, margin={"t": 112})
    return _finished(figure, [history], per_row=2)


def split_curves(
    histories: Mapping[str, History], about: str = "", chance: Mapping[str, float] | None = None
) -> go.Figure:
    """Several trainings by epoch, a colour a split: summed loss, top-1 on held-out clips, meters.

    Histories are by the splits' names, each may be empty; the rest as for `loss_curves`.
    """
    figure = _curve_panels("Training, every split", about, chance, list(EVERY_SPLIT.values()), per_row=3)
    below = {"orientation": "h", "x": 0, "xanchor": "left", "y": -0.36, "yanchor": "top"}
    figure.update_layout(height=620, margin={"b": 165}, legend=below)
    for number, key in enumerate(EVERY_SPLIT):
        row, column = style.panel(number)
        for place, (split, history) in enumerate(histories.items()):
            epochs, values = measured(history, key)
            # a split that has not begun is named in the legend too
            points = {"x": epochs or NO_POINT, "y": values or NO_POINT}
            group = {"name": style.plain(split), "legendgroup": style.plain(split), "showlegend": number == 0}
            figure.add_scatter(
                **points, **group, **_line(style.PALETTE[place % len(style.PALETTE)]), row=row, col=column
            )
        if chance and key in chance:
            _dotted_line(figure, 100 * chance[key], style.GREY, row, column)
    return _finished(figure, list(histories.values()), per_row=3)


def chance_levels(protocol: Protocol) -> dict[str, float]:
    """Top-1 of a guess on seen and on validation classes, 0..1, by the history's key."""
    groups = {SEEN: protocol.seen, VALIDATION: protocol.validation}
    return {key: 1 / len(classes) for key, classes in groups.items() if classes}


def is_loss(key: str) -> bool:
    """Whether this key of an epoch is one of its losses."""
    return key not in NOT_A_LOSS and "top1" not in key


def measured(history: History, key: str) -> tuple[list[int], list[float]]:
    """The epochs that have a number, and the number.

    Returns:
        Epochs, from 1, and as many values; accuracies and shares in percent.
    """
    factor = 100 if "top1" in key or key.endswith("_share") else 1
    found: dict[int, float] = {}
    for entry in history:
        value = entry.get(key)
        if key == SUMMED_LOSS:
            losses = [loss for name, loss in entry.items() if is_loss(name)]
            value = sum(losses) if losses else None
        elif key == GFLOP_PER_CLIP and entry.get("clips_per_s") and "gflop_per_s" in entry:
            value = entry["gflop_per_s"] / entry["clips_per_s"]
        if value is not None:
            found[entry["epoch"]] = factor * value
    return list(found), list(found.values())


def numbers_in_words(histories: Iterable[History]) -> str:
    """The last numbers of a training in words, of several the least and the most; at most three lines."""
    histories = list(histories)
    lines = []
    for line in NUMBERS:
        parts = []
        for key, form, words in line:
            last = [values[-1] for _, values in (measured(history, key) for history in histories) if values]
            ends = dict.fromkeys(form.format(value) for value in (min(last), max(last))) if last else {}
            parts += [f"{' to '.join(ends)} {words}"] if ends else []
        lines += [", ".join(parts)] if parts else []
    return "\n".join(lines)


def _curve_panels(
    title: str, about: str, chance: Mapping[str, float] | None, y_titles: Sequence[str], per_row: int
) -> go.Figure:
    """Two rows of panels over the same epochs, with room beneath for the numbers."""
    words = {SEEN: "seen", VALIDATION: "validation"}
    levels = (
        [f"{100 * chance[key]:.1f} % on {words[key]}" for key in words if key in chance] if chance else []
    )
    dotted = f"dotted: chance, {', '.join(levels)} classes" if levels else ""
    panels = [("epoch" if number >= per_row else "", y_title) for number, y_title in enumerate(y_titles)]
    about = "; ".join(filter(None, (about, dotted)))
    figure = style.new_panels(title, about, panels, height=600, per_row=per_row, gap=0.17)
    figure.update_xaxes(matches="x", title_font_size=13)
    figure.update_yaxes(rangemode="tozero", title_font_size=13)
    for number, y_title in enumerate(y_titles):
        if "top-1" in y_title:
            row, column = style.panel(number, per_row)
            figure.update_yaxes(range=[0, 102], row=row, col=column)
    figure.update_layout(margin={"b": 120})
    return figure


def _line(colour: str) -> dict[str, Any]:
    look = {"mode": "lines+markers", "line": {"color": colour, "width": 2}, "marker": {"size": 6}}
    return look | {"hovertemplate": "epoch %{x}: %{y:.4g}"}


def _dotted_line(figure: go.Figure, y: float, colour: str, row: int, column: int) -> None:
    line = {"color": colour, "dash": "dot", "width": 1.5}
    figure.add_shape(type="line", xref="x domain", x0=0, x1=1, y0=y, y1=y, line=line, row=row, col=column)


def _finished(figure: go.Figure, histories: Sequence[History], per_row: int) -> go.Figure:
    """Say which panels have no numbers, and put the last numbers in words beneath."""
    n_epochs = max((entry["epoch"] for history in histories for entry in history), default=0)
    for row, column in (style.panel(number, per_row) for number in range(2 * per_row)):
        if all(trace.x == NO_POINT for trace in figure.select_traces(row=row, col=column)):
            figure.add_scatter(x=NO_POINT, y=NO_POINT, showlegend=False, row=row, col=column)
            figure.update_yaxes(showticklabels=False, row=row, col=column)
            if n_epochs:
                middle = {"x": 0.5, "xref": "x domain", "y": 0.5, "yref": "y domain"}
                figure.add_annotation(text="not measured", showarrow=False, **middle, row=row, col=column)
    if not n_epochs:
        figure.update_xaxes(showticklabels=False)
        place: style.Look = {"x": 0.5, "y": 0.5}
        words = "no epoch is finished yet"
    else:
        words = style.plain(f"last measured: {numbers_in_words(histories) or 'nothing'}").replace(
            "\n", "<br>"
        )
        place = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "yshift": -48, "align": "left"}
        if n_epochs <= MOST_NUMBERED_EPOCHS:
            figure.update_xaxes(dtick=1)
    figure.add_annotation(text=words, xref="paper", yref="paper", showarrow=False, **place)
    return figure
