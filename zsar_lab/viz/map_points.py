"""What the clips on a map are: predictions, colours, hover texts, and which of them a selection opens.

Shapes: N clips on the map.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.table import LABELS
from zsar_lab.results.hubness import HUB, k_occurrence
from zsar_lab.results.predictions import Predictions
from zsar_lab.viz.clips import GREY as BOX_GREY
from zsar_lab.viz.clips import Caption, clip_grid, message_box
from zsar_lab.viz.figures.style import BLUE, GREEN, GREY, ORANGE, PALETTE, SKY, VERMILLION, labels_of
from zsar_lab.viz.projection import SpaceMap

COLOURINGS = {
    "group": "split",
    "class": "class",
    "right": "right or wrong",
    "hubness": "hubness of the prediction",
}
GROUP_COLOURS = {"seen": GREY, "validation": SKY, "unseen": ORANGE}
SYMBOLS = ("circle", "square", "triangle-up", "cross")
MOST_SHOWN, MOST_NAMED = 24, 8


@dataclass(frozen=True, eq=False)
class Predicted:
    """The predictions of a method for clips on a map; only those of unseen classes are scored.

    Attributes:
        method: its label.
        prediction: class name for each clip, None where it is not scored.
        margin: float [N], score of the true class less the best other one; NaN where it is not scored.
        right: bool [N], predicted as its own class.
        n1: N_1 of each unseen class by name: how many of all test clips were predicted as it.
    """

    method: str
    prediction: tuple[str | None, ...]
    margin: np.ndarray
    right: np.ndarray
    n1: dict[str, int]


@dataclass(frozen=True)
class Look:
    """How one kind of points is drawn: name in the legend, plotly symbol, size in pixels, opacity 0..1."""

    name: str
    colour: str
    symbol: str = "circle"
    size: int = 7
    opacity: float = 0.85


@dataclass(frozen=True)
class Selection:
    """Ids of selected clips, the most wrong first and those not scored last, and a sentence on them."""

    ids: tuple[str, ...]
    sentence: str


def predicted_on_map(space: SpaceMap, predictions: Predictions, method: str = "transfer") -> Predicted:
    """How a method predicted each clip of a map of the same split.

    Raises:
        ValueError: the map is of another split.
        KeyError: the method was not scored.
    """
    protocol = predictions.protocol
    if (space.seen, space.unseen) != (protocol.seen, protocol.unseen):
        raise ValueError(f"the map must be of the split {protocol.name!r}, got one of {space.about!r}")
    rows, scores_BC, targets = predictions.rows(method), predictions.scores(method), predictions.targets()
    clips, others_BC = np.arange(len(targets)), np.array(scores_BC, dtype=float)
    others_BC[clips, targets] = -np.inf
    margin_B = scores_BC[clips, targets] - others_BC.max(1)
    place = {clip: row for row, clip in enumerate(rows["clip"])}
    found = [place.get(clip) for clip in space.ids]
    return Predicted(
        LABELS[method],
        tuple(None if row is None else rows["prediction"][row] for row in found),
        np.array([np.nan if row is None else margin_B[row] for row in found]),
        np.array([row is not None and rows["rank"][row] == 1 for row in found]),
        dict(zip(protocol.unseen, k_occurrence(scores_BC, 1).tolist(), strict=True)),
    )


def colouring(
    space: SpaceMap, catalog: Catalog, colour_by: str, predicted: Predicted | None = None
) -> tuple[tuple[Look, ...], np.ndarray]:
    """The looks of a legend, and the number of its look for each clip, int64 [N].

    `colour_by` is "group" for seen, validation and unseen; "class" for a look an unseen class; "right" for
    right and wrong, "hubness" for N_1 of the predicted class in multiples of its mean: these need
    `predicted`, and leave clips that are not scored grey.

    Raises:
        ValueError: colour_by is none of these, or needs predictions and got none.
    """
    if colour_by not in COLOURINGS:
        raise ValueError(f"colour_by must be one of {', '.join(map(repr, COLOURINGS))}, got {colour_by!r}")
    grouped = [
        Look(f"clips of {group} classes", colour, "circle", *((6, 0.8) if group == "unseen" else (4, 0.45)))
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
        number_N = [number.get(name, group) for name, group in zip(space.classes, group_N)]
        return (*grouped[:-1], *looks), np.array(number_N)
    if predicted is None:
        raise ValueError(f"colour_by={colour_by!r} needs the predictions of the split, got none")
    if colour_by == "right":
        wrong = Look(f"wrong ({predicted.method})", VERMILLION, "x")
        looks, look_N = [Look(f"right ({predicted.method})", GREEN), wrong], np.where(predicted.right, 0, 1)
    else:
        mean = float(np.mean(list(predicted.n1.values())))
        edges = np.array([0.5, 1.0, HUB]) * mean
        low, middle, high = (f"{edge:.0f}" if edge == round(edge) else f"{edge:.1f}" for edge in edges)
        looks = [
            Look(f"N_1 of the prediction below {low} (half the mean)", SKY),
            Look(f"{low} to {middle} (the mean)", BLUE, "square"),
            Look(f"{middle} to {high}", ORANGE, "triangle-up"),
            Look(f"{high} or more: a hub", VERMILLION, "cross"),
        ]
        n1_N = [predicted.n1.get(name or "", 0) for name in predicted.prediction]
        look_N = np.searchsorted(edges, n1_N, side="right")
    is_scored = np.array([name is not None for name in predicted.prediction])
    return (Look("not scored", GREY, "circle", 4, 0.45), *looks), np.where(is_scored, 1 + look_N, 0)


def hover_texts(space: SpaceMap, catalog: Catalog, predicted: Predicted | None = None) -> list[str]:
    """The text for pointing at each clip: its class, and below it how it was predicted. Not escaped."""
    labels = labels_of(catalog)
    if predicted is None:
        return [labels[name] for name in space.classes]
    found = []
    for n, (name, prediction) in enumerate(zip(space.classes, predicted.prediction)):
        if prediction is None:
            below = f"of a {space.groups[n]} class: not scored"
        else:
            below = "✓ right" if predicted.right[n] else f"✗ predicted as {labels[prediction]}"
            below += f", margin {predicted.margin[n]:+.3f}"
        found.append(f"{labels[name]}\n{below}")
    return found


def select(space: SpaceMap, catalog: Catalog, predicted: Predicted, rows: Sequence[int]) -> Selection:
    """Put selected clips of the map in the order of opening, and describe them.

    Raises:
        ValueError: a row is not on the map.
    """
    wrong = [row for row in rows if not 0 <= row < len(space.ids)]
    if wrong:
        raise ValueError(f"a selected clip must be in 0..{len(space.ids) - 1} (on the map), got {wrong[0]}")
    if not len(rows):
        return Selection((), "No clip is selected: draw the lasso around points, or click on one.")
    is_scored, margin = [name is not None for name in predicted.prediction], np.nan_to_num(predicted.margin)
    order = sorted(
        dict.fromkeys(rows), key=lambda row: (not is_scored[row], predicted.right[row], margin[row], row)
    )
    labels = labels_of(catalog)
    counts = Counter(space.classes[row] for row in order).most_common()
    named = ", ".join(f"{count} of {labels[name]}" for name, count in counts[:MOST_NAMED])
    more = f" and {len(counts) - MOST_NAMED} more classes" if len(counts) > MOST_NAMED else ""
    n_scored = sum(is_scored[row] for row in order)
    n_right = int(predicted.right[order].sum())
    parts = [f"by {predicted.method} {n_right} right and {n_scored - n_right} wrong"] if n_scored else []
    parts += [f"{len(order) - n_scored} of classes that are not scored"] if n_scored < len(order) else []
    clips = "1 clip is" if len(order) == 1 else f"{len(order)} clips are"
    sentence = f"{clips} selected: {named}{more}; {', '.join(parts)}."
    return Selection(tuple(space.ids[row] for row in order), sentence)


def selection_html(
    space: SpaceMap, catalog: Catalog, predicted: Predicted, selection: Selection, most: int = MOST_SHOWN
) -> str:
    """The sentence on a selection, and a grid of its first clips playing."""
    shown, left = selection.ids[:most], len(selection.ids) - most
    more = f" The {most} most wrong are shown, {left} more are not." if left > 0 else ""
    box = message_box(selection.sentence + more, BOX_GREY)
    if not shown:
        return box
    labels, place = labels_of(catalog), {clip: row for row, clip in enumerate(space.ids)}
    captions = []
    for row in (place[clip] for clip in shown):
        own, prediction = labels[space.classes[row]], predicted.prediction[row]
        if prediction is None:
            captions.append(Caption((own, f"of a {space.groups[row]} class")))
            continue
        wrong = () if predicted.right[row] else (f"predicted as {labels[prediction]}",)
        margin = f"margin {predicted.margin[row]:+.3f}"
        captions.append(Caption((own, *wrong, margin), bool(predicted.right[row])))
    return box + clip_grid(catalog, shown, captions)
