"""What the clips on a map are: how a method answered them, how they are coloured, what is said of them, and which of them are opened.

Shapes: N clips on the map, B test clips, C unseen classes.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.data.video import read_frames
from zsar_lab.methods.metrics import answers_of
from zsar_lab.results.evaluate import TRANSFER, SplitResult
from zsar_lab.results.hubness import HUB, k_occurrence
from zsar_lab.viz.clips import GREY as BOX_GREY
from zsar_lab.viz.clips import Caption, clip_grid, message_box
from zsar_lab.viz.figures.style import BLUE, GREEN, GREY, ORANGE, PALETTE, SKY, VERMILLION, labels_of
from zsar_lab.viz.projection import SpaceMap

COLOURINGS = {
    "group": "split",
    "class": "class",
    "right": "right or wrong",
    "hubness": "hubness of the answer",
}
GROUP_COLOURS = {"seen": GREY, "validation": SKY, "unseen": ORANGE}
SYMBOLS = ("circle", "square", "triangle-up", "cross")
MOST_SHOWN, MOST_NAMED = 24, 8
THUMBNAIL_PX = 96


@dataclass(frozen=True, eq=False)
class Answers:
    """How a method answered the clips on a map; a clip of a seen or validation class is not scored.

    Attributes:
        method: its name.
        answered: class name that each clip was answered with, None where it is not scored.
        margin: float [N], score of the true class less the best score of another class, below 0 when wrong;
            nan where it is not scored.
        right: bool [N], answered with its own class.
        n1: N_1 of each unseen class by name: how many of all test clips were answered with it.
    """

    method: str
    answered: tuple[str | None, ...]
    margin: np.ndarray
    right: np.ndarray
    n1: dict[str, int]


@dataclass(frozen=True)
class Look:
    """How one kind of points is drawn: its name in the legend, colour, symbol (of plotly), size in pixels and opacity (0..1)."""

    name: str
    colour: str
    symbol: str = "circle"
    size: int = 7
    opacity: float = 0.85


@dataclass(frozen=True)
class Selection:
    """Clips that were selected: their ids, the most wrong first and those not scored last, and a sentence on them."""

    ids: tuple[str, ...]
    sentence: str


def answers_on_map(space: SpaceMap, result: SplitResult, method: str = TRANSFER) -> Answers:
    """How a method answered each clip of a map of the same split.

    Raises:
        ValueError: the map is of another split, or there is no such method.
    """
    if (space.seen, space.unseen) != (result.protocol.seen, result.protocol.unseen):
        raise ValueError(
            f"map and result must be of one split, the map is of '{space.about}', got a result of {result.protocol.name!r}; map that one"
        )
    scores_BC, names = result.method(method).scores_BC, result.protocol.unseen
    rows = np.arange(len(scores_BC))
    best, others_BC = answers_of(scores_BC, result.targets), scores_BC.astype(float)
    others_BC[rows, result.targets] = -np.inf
    margin_B = scores_BC[rows, result.targets] - others_BC.max(1)
    place = {clip_id: row for row, clip_id in enumerate(result.ids)}
    found = [place.get(clip_id) for clip_id in space.ids]
    return Answers(
        method,
        tuple(None if row is None else names[best[row]] for row in found),
        np.array([np.nan if row is None else margin_B[row] for row in found]),
        np.array([row is not None and best[row] == result.targets[row] for row in found]),
        dict(zip(names, k_occurrence(scores_BC, 1).tolist(), strict=True)),
    )


def colouring(
    space: SpaceMap, catalog: Catalog, colour_by: str, answers: Answers | None = None
) -> tuple[tuple[Look, ...], np.ndarray]:
    """The looks of a legend, and the number of its look for each clip, int64 [N].

    Args:
        space: the map.
        catalog: gives the labels.
        colour_by: "group" for seen, validation and unseen; "class" for a colour and symbol an unseen class;
            "right" for right and wrong; "hubness" for N_1 of the class that a clip was answered with, in
            parts and multiples of its mean: where clips take their answer from a hub. The last two leave
            clips that are not scored grey.
        answers: of `answers_on_map`; needed for "right" and "hubness".

    Raises:
        ValueError: colour_by is none of these, or needs answers and got none.
    """
    if colour_by not in COLOURINGS:
        raise ValueError(f"colour_by must be one of {', '.join(map(repr, COLOURINGS))}, got {colour_by!r}")
    grouped = [
        Look(
            f"clips of {group} classes",
            colour,
            "circle",
            6 if group == "unseen" else 4,
            0.8 if group == "unseen" else 0.45,
        )
        for group, colour in GROUP_COLOURS.items()
    ]
    group_N = np.array([list(GROUP_COLOURS).index(group) for group in space.groups])
    if colour_by == "group":
        return tuple(grouped), group_N
    if colour_by == "class":
        labels = labels_of(catalog)
        looks = [
            Look(labels[name], PALETTE[n % len(PALETTE)], SYMBOLS[n // len(PALETTE) % len(SYMBOLS)])
            for n, name in enumerate(space.unseen)
        ]
        number = {name: len(grouped) - 1 + n for n, name in enumerate(space.unseen)}
        return (*grouped[:-1], *looks), np.array(
            [number.get(name, group) for name, group in zip(space.classes, group_N)]
        )
    if answers is None:
        raise ValueError(
            f"colour_by={colour_by!r} needs to know how a method answered, got no result; give the split's result too"
        )
    not_scored = Look("not scored", GREY, "circle", 4, 0.45)
    looks, of_class = _right_looks(answers) if colour_by == "right" else _hub_looks(answers)
    is_scored = np.array([name is not None for name in answers.answered])
    return (not_scored, *looks), np.where(is_scored, 1 + of_class, 0)


def _right_looks(answers: Answers) -> tuple[list[Look], np.ndarray]:
    return [
        Look(f"right ({answers.method})", GREEN),
        Look(f"wrong ({answers.method})", VERMILLION, "x"),
    ], np.where(answers.right, 0, 1)


def _hub_looks(answers: Answers) -> tuple[list[Look], np.ndarray]:
    """Four steps of N_1 of the answer; from twice the mean on a class is a hub."""
    mean = float(np.mean(list(answers.n1.values())))
    edges = np.array([0.5, 1.0, HUB]) * mean
    low, middle, high = (f"{edge:.0f}" if edge == round(edge) else f"{edge:.1f}" for edge in edges)
    looks = [
        Look(f"N_1 of the answer below {low} (half the mean)", SKY),
        Look(f"{low} to {middle} (the mean)", BLUE, "square"),
        Look(f"{middle} to {high}", ORANGE, "triangle-up"),
        Look(f"{high} or more: a hub", VERMILLION, "cross"),
    ]
    n1 = np.array([answers.n1.get(name, 0) for name in answers.answered])
    return looks, np.searchsorted(edges, n1, side="right")


def said_of_clips(space: SpaceMap, catalog: Catalog, answers: Answers | None = None) -> list[str]:
    """What stands beside each clip when it is pointed at: its class, and below it how it was answered. Not escaped."""
    labels = labels_of(catalog)
    if answers is None:
        return [labels[name] for name in space.classes]
    return [
        f"{labels[name]}\n{_verdict(labels, answers, n)}"
        if answers.answered[n]
        else f"{labels[name]}\nof a {group} class: not scored"
        for n, (name, group) in enumerate(zip(space.classes, space.groups))
    ]


def _verdict(labels: dict[str, str], answers: Answers, number: int) -> str:
    how = "✓ right" if answers.right[number] else f"✗ taken for {labels[answers.answered[number]]}"
    return f"{how}, margin {answers.margin[number]:+.3f}"


def select(space: SpaceMap, catalog: Catalog, answers: Answers, rows: Sequence[int]) -> Selection:
    """Put selected clips of the map in the order of opening, and say what they are.

    Raises:
        ValueError: a row is not on the map.
    """
    wrong = [row for row in rows if not 0 <= row < len(space.ids)]
    if wrong:
        raise ValueError(
            f"a selected clip must be in 0..{len(space.ids) - 1} (the clips on the map), got {wrong[0]}; make the explorer anew"
        )
    if not len(rows):
        return Selection((), "No clip is selected: split the lasso around points, or click on one.")
    order = sorted(
        dict.fromkeys(rows),
        key=lambda row: (
            answers.answered[row] is None,
            answers.right[row],
            np.nan_to_num(answers.margin[row]),
            row,
        ),
    )
    labels = labels_of(catalog)
    counts = Counter(space.classes[row] for row in order).most_common()
    named = ", ".join(f"{count} of {labels[name]}" for name, count in counts[:MOST_NAMED])
    more = f" and {len(counts) - MOST_NAMED} more classes" if len(counts) > MOST_NAMED else ""
    n_scored, n_right = (
        sum(answers.answered[row] is not None for row in order),
        sum(bool(answers.right[row]) for row in order),
    )
    scored = f"by {answers.method} {n_right} right and {n_scored - n_right} wrong" if n_scored else ""
    unscored = f"{len(order) - n_scored} of classes that are not scored" if n_scored < len(order) else ""
    sentence = f"{_clips(len(order))} selected: {named}{more}; {', '.join(part for part in (scored, unscored) if part)}."
    return Selection(tuple(space.ids[row] for row in order), sentence)


def opened(
    space: SpaceMap, catalog: Catalog, answers: Answers, selection: Selection, most: int = MOST_SHOWN
) -> str:
    """Html: the sentence on a selection, and a grid of its first clips playing; how many more there are is said."""
    shown, left = selection.ids[:most], len(selection.ids) - most
    more = f" The {most} most wrong are shown, {left} more are not." if left > 0 else ""
    said = message_box(selection.sentence + more, BOX_GREY)
    if not shown:
        return said
    labels, place = labels_of(catalog), {clip_id: row for row, clip_id in enumerate(space.ids)}
    return said + clip_grid(
        catalog, shown, [_caption(labels, space, answers, place[clip_id]) for clip_id in shown]
    )


def _caption(labels: dict[str, str], space: SpaceMap, answers: Answers, row: int) -> Caption:
    own, answered = labels[space.classes[row]], answers.answered[row]
    if answered is None:
        return Caption((own, f"of a {space.groups[row]} class"))
    taken = () if answers.right[row] else (f"taken for {labels[answered]}",)
    return Caption((own, *taken, f"margin {answers.margin[row]:+.3f}"), bool(answers.right[row]))


def legend_html(looks: Sequence[Look], counts: Sequence[int]) -> str:
    """The looks in a row, each with its colour, symbol and number of points, escaped; for a canvas that has no legend of its own."""
    sign = {
        "circle": "●",
        "square": "■",
        "triangle-up": "▲",
        "cross": "✚",
        "x": "✖",
        "diamond": "◆",
        "star": "★",
        "square-open": "□",
    }
    parts = [
        f'<span style="margin-right:14px;white-space:nowrap"><span style="color:{look.colour}">{sign[look.symbol]}</span>'
        f" {html.escape(look.name)} ({count})</span>"
        for look, count in zip(looks, counts, strict=True)
    ]
    return f'<div class="zsar-legend" style="display:flex;flex-wrap:wrap;font-size:13px;color:{GREY}">{"".join(parts)}</div>'


def middle_frame(catalog: Catalog, clip_id: str, short_side_px: int = THUMBNAIL_PX) -> np.ndarray:
    """The frame in the middle of a clip, RGB, uint8 [H, W, 3] in 0..255; of a video with a varying rate, one near it.

    Raises:
        KeyError: the clip is not in the catalog.
        UnreadableVideo: the file is gone or cannot be read.
    """
    clip = catalog.clips.set_index("id").loc[clip_id]
    index = int((clip["start_s"] + clip["end_s"]) / 2 * clip["fps"])
    return read_frames(
        Path(catalog.root) / clip["path"],
        [min(index, int(clip["frames"]) - 1)],
        short_side_px,
        n_frames=int(clip["frames"]),
    )[0]


def _clips(count: int) -> str:
    return "1 clip is" if count == 1 else f"{count} clips are"
