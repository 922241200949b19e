"""Figures of a training, or of several: losses, top-1 on held-out clips, and the meters."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from zsar_lab.protocols.protocol import Protocol
from zsar_lab.train.meters import FORMATS
from zsar_lab.viz.figures import style

History = Sequence[Mapping[str, Any]]
SUMMED_LOSS, GFLOP_PER_CLIP = "summed loss", "gflop_per_clip"  # made of an epoch's other numbers
SEEN, VALIDATION = "seen_top1", "validation_direct_top1"
NOT_A_LOSS = {"epoch", "step", *FORMATS}
PANELS = {
    SUMMED_LOSS: "loss (weighted sum)",
    SEEN: "seen-class top-1 (%)",
    VALIDATION: "validation top-1 (%)",
    "clips_per_s": "clips/s",
    "waiting_share": "waiting for data (%)",
    "peak_share": "of measured peak (%)",
}
NUMBERS = (  # written beneath a figure: key, format of the number, and the words after it
    (SUMMED_LOSS, "{:.2f}", "loss"),
    (SEEN, "{:.1f}", "% top-1 on seen classes"),
    (VALIDATION, "{:.1f}", "% top-1 on validation classes"),
    ("clips_per_s", "{:.1f}", "clips/s"),
    ("waiting_share", "{:.1f}", "% of the time waiting for data"),
    (GFLOP_PER_CLIP, "{:.3g}", "GFLOP per clip"),
    ("peak_share", "{:.1f}", "% of the device's measured peak"),
    ("memory_mb", "{:,.0f}", "MB of memory at most"),
)
MOST_NUMBERED_EPOCHS = 8
NO_POINT = (None,)  # plotly draws neither axes nor name of a trace without any point


def training_curves(
    histories: Mapping[str, History], about: str = "", chance: Mapping[str, float] | None = None
) -> go.Figure:
    """Trainings by epoch, a colour a split: loss, top-1 on held-out clips, meters; of one also each loss.

    Args:
        histories: by the splits' names; each may be empty.
        about: the line below the title.
        chance: top-1 of a guess, 0..1, by the history's key, as of `chance_levels`: dotted lines.
    """
    chance = {key: level for key, level in (chance or {}).items() if key in PANELS}
    words = {SEEN: "seen", VALIDATION: "validation"}
    levels = ", ".join(f"{100 * level:.1f} % on {words[key]}" for key, level in chance.items())
    about = "; ".join(filter(None, (about, f"dotted: chance, {levels} classes" if levels else "")))
    panels = [("epoch" if number >= 3 else "", y_title) for number, y_title in enumerate(PANELS.values())]
    figure = style.new_panels("Training", about, panels, height=620, gap=0.17)
    for number, key in enumerate(PANELS):
        row, column = style.panel(number)
        place = {"row": row, "col": column}
        for nth, (split, history) in enumerate(histories.items()):
            group = {"legendgroup": style.plain(split), "showlegend": number == 0}
            _add_curve(figure, history, key, split, nth, **group, **place)
        if key == SUMMED_LOSS and len(histories) == 1:
            (history,) = histories.values()
            losses = dict.fromkeys(name for entry in history for name in entry if is_loss(name))
            for nth, name in enumerate(losses, 1):
                _add_curve(figure, history, name, name, nth, **place)
        if key in chance:
            level, line = 100 * chance[key], {"color": style.GREY, "dash": "dot", "width": 1.5}
            figure.add_hline(level, line=line, **place)
        if "top1" in key:
            figure.update_yaxes(range=[0, 102], **place)
        if all(trace.x == NO_POINT for trace in figure.select_traces(**place)):
            figure.update_yaxes(showticklabels=False, **place)
            if any(histories.values()):
                middle = {"x": 0.5, "xref": "x domain", "y": 0.5, "yref": "y domain"}
                figure.add_annotation(text="not measured", showarrow=False, **middle, **place)
    figure.update_xaxes(matches="x", title_font_size=13)
    figure.update_yaxes(rangemode="tozero", title_font_size=13)
    below = style.legend_below(-0.36)
    figure.update_layout(margin={"b": 165}, legend=below)
    _write_numbers(figure, list(histories.values()))
    return figure


def chance_levels(protocol: Protocol) -> dict[str, float]:
    """Top-1 of a guess on seen and on validation classes, 0..1, by the history's key."""
    groups = {SEEN: protocol.seen, VALIDATION: protocol.validation}
    return {key: 1 / len(classes) for key, classes in groups.items() if classes}


def is_loss(key: str) -> bool:
    """Whether this key of an epoch is one of its losses."""
    return key not in NOT_A_LOSS and "top1" not in key


def measured(history: History, key: str) -> tuple[list[int], list[float]]:
    """The epochs that have a number, from 1, and the numbers; accuracies and shares in percent."""
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


def numbers_in_words(histories: Sequence[History]) -> str:
    """The last numbers of a training in words, of several the least and the most; in lines."""
    parts = []
    for key, form, words in NUMBERS:
        last = [values[-1] for _, values in (measured(history, key) for history in histories) if values]
        ends = dict.fromkeys(form.format(value) for value in (min(last), max(last))) if last else {}
        parts += [f"{' to '.join(ends)} {words}"] if ends else []
    return textwrap.fill(", ".join(parts), 100)


def _add_curve(figure: go.Figure, history: History, key: str, name: str, nth: int, **place: Any) -> None:
    """What was measured of a key; one that was not is named in the legend too."""
    epochs, values = measured(history, key)
    line, name = {"color": style.PALETTE[nth % len(style.PALETTE)], "width": 2}, style.plain(name)
    look = {"mode": "lines+markers", "line": line, "marker": {"size": 6}, "name": name}
    hover = f"epoch %{{x}}: %{{y:.4g}}<extra>{name}</extra>"
    figure.add_scatter(x=epochs or NO_POINT, y=values or NO_POINT, hovertemplate=hover, **look, **place)


def _write_numbers(figure: go.Figure, histories: Sequence[History]) -> None:
    """The last numbers in words beneath the panels, or that there are none yet."""
    n_epochs = max((entry["epoch"] for history in histories for entry in history), default=0)
    words = style.plain(f"last measured: {numbers_in_words(histories) or 'nothing'}").replace("\n", "<br>")
    place: style.Look = {"x": 0, "y": 0, "xanchor": "left", "yanchor": "top", "yshift": -48, "align": "left"}
    if not n_epochs:
        figure.update_xaxes(showticklabels=False)
        words, place = "no epoch is finished yet", {"x": 0.5, "y": 0.5}
    elif n_epochs <= MOST_NUMBERED_EPOCHS:
        figure.update_xaxes(dtick=1)
    figure.add_annotation(text=words, xref="paper", yref="paper", showarrow=False, **place)
