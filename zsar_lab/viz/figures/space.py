"""The map of the shared space: what its points are, what a selection opens, and its figures.

Shapes: N clips on the map, U unseen classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.methods.table import LABELS
from zsar_lab.results.hubness import HUB
from zsar_lab.results.predictions import Predictions
from zsar_lab.viz.clips import SCORE_IS, Caption, clip_grid, message_box
from zsar_lab.viz.explanations import clip_table
from zsar_lab.viz.figures import style
from zsar_lab.viz.figures.classes import CHOSEN, CHOSEN_MARK
from zsar_lab.viz.figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, YELLOW, labels_of
from zsar_lab.viz.projection import SEEN, SpaceMap

COLOURINGS = {
    "group": "split",
    "class": "class",
    "right": "right or wrong",
    "hubness": "hubness of the prediction",
}
# blue is where a class is expected; what a colour means here it means in every colouring
GROUP_COLOURS = {"seen": GREY, "validation": SKY, "unseen": ORANGE}
CLASS_COLOURS = (GREEN, PURPLE, VERMILLION, YELLOW)
HUB_COLOURS = ("#575D6D", "#8B8677", "#BDAF6E", "#FDE737")  # of plotly's Cividis, from few to many
SYMBOLS = ("circle", "square", "triangle-up", "cross")
MOST_SHOWN, MOST_NAMED = 24, 8
MOST_SVG = 5000  # points; more are drawn by the graphics card
MOST_NAMES = 40  # more names would overlap; hovering names them all


@dataclass(frozen=True)
class Look:
    """How one kind of points is drawn: name in the legend, plotly symbol, size in pixels, opacity 0..1."""

    name: str
    colour: str
    symbol: str = "circle"
    size: int = 7
    opacity: float = 0.85


def points_on_map(space: SpaceMap, predictions: Predictions, method: str = "transfer") -> pd.DataFrame:
    """The clips of a map, and how a method predicted those of unseen classes.

    Returns:
        Columns clip, class, group; prediction (None where it is not scored), right, margin (score of the true
        class less the best other one) and hubness (N_1 of the prediction in multiples of its mean), both NaN
        where it is not scored.

    Raises:
        ValueError: the map is of another split.
        KeyError: the method was not scored.
    """
    protocol = predictions.protocol
    if (space.seen, space.unseen) != (protocol.seen, protocol.unseen):
        raise ValueError(f"the map must be of the split {protocol.name!r}, got one of {space.about!r}")
    rows = clip_table(predictions, method)
    rows["hubness"] = (
        rows["prediction"].map(rows["prediction"].value_counts()) * len(space.unseen) / len(rows)
    )
    shown = {"clip": space.ids, "class": space.classes, "group": space.groups}
    found = pd.DataFrame(shown).merge(
        rows[["clip", "prediction", "right", "margin", "hubness"]], "left", "clip"
    )
    prediction = found["prediction"].astype(object).where(found["prediction"].notna(), None)
    return found.assign(prediction=prediction, right=found["right"].eq(True))


def colouring(
    space: SpaceMap, catalog: Catalog, colour_by: str, points: pd.DataFrame | None = None, method: str = ""
) -> tuple[tuple[Look, ...], np.ndarray]:
    """The looks of a legend, and the number of its look for each clip, int64 [N].

    `colour_by` is "group" for seen, validation and unseen; "class" for a look an unseen class; "right" for
    right and wrong, "hubness" for N_1 of the predicted class in multiples of its mean: these need the
    `points` of a method, and leave clips that are not scored grey.

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
            Look(labels[name], CLASS_COLOURS[n % 4], SYMBOLS[n // 4 % len(SYMBOLS)])
            for n, name in enumerate(space.unseen)
        ]
        number = {name: len(grouped) - 1 + n for n, name in enumerate(space.unseen)}
        number_N = [number.get(name, group) for name, group in zip(space.classes, group_N)]
        return (*grouped[:-1], *looks), np.array(number_N)
    if points is None:
        raise ValueError(f"colour_by={colour_by!r} needs the predictions of the split, got none")
    is_scored = points["prediction"].notna().to_numpy()
    if colour_by == "right":
        looks = [Look(f"right ({method})", GREEN), Look(f"wrong ({method})", VERMILLION, "x")]
        look_N = np.where(points["right"], 0, 1)
    else:
        looks = [
            Look("N_1 of the prediction below half the mean", HUB_COLOURS[0]),
            Look("half the mean to the mean", HUB_COLOURS[1], "square"),
            Look(f"once to {HUB} x the mean", HUB_COLOURS[2], "triangle-up"),
            Look(f"{HUB} x the mean or more: a hub", HUB_COLOURS[3], "cross"),
        ]
        look_N = np.searchsorted([0.5, 1.0, HUB], points["hubness"], side="right")
    return (Look("not scored", GREY, "circle", 4, 0.45), *looks), np.where(is_scored, 1 + look_N, 0)


def hover_texts(points: pd.DataFrame, labels: dict[str, str]) -> list[str]:
    """The text for pointing at each clip: its class, and below it how it was predicted. Not escaped."""
    found = []
    for clip in points.itertuples():
        below = f"of a {clip.group} class: not scored"
        if clip.prediction is not None:
            below = "✓ right" if clip.right else f"✗ predicted as {labels[clip.prediction]}"
            below += f", margin {clip.margin:+.3f}"
        found.append(f"{labels[points['class'][clip.Index]]}\n{below}")
    return found


def select(
    points: pd.DataFrame, catalog: Catalog, rows: Sequence[int], method: str = "", most: int = MOST_SHOWN
) -> tuple[tuple[str, ...], str, str]:
    """Ids of selected clips, the most wrong first and those not scored last; a sentence; the first, playing.

    Raises:
        ValueError: a row is not on the map.
    """
    wrong = [row for row in rows if not 0 <= row < len(points)]
    if wrong:
        raise ValueError(f"a selected clip must be in 0..{len(points) - 1} (on the map), got {wrong[0]}")
    if not len(rows):
        said = "No clip is selected: draw the lasso around points, or click on one."
        return (), message_box(said, GREY), ""
    found = points.loc[sorted(set(rows))].assign(unscored=lambda table: table["prediction"].isna())
    found = found.sort_values(["unscored", "right", "margin"], kind="stable")
    labels, counts = labels_of(catalog), Counter(found["class"]).most_common()
    named = ", ".join(f"{count} of {labels[name]}" for name, count in counts[:MOST_NAMED])
    more = f" and {len(counts) - MOST_NAMED} more classes" if len(counts) > MOST_NAMED else ""
    n_scored, n_right = int((~found["unscored"]).sum()), int(found["right"].sum())
    parts = [f"by {method} {n_right} right and {n_scored - n_right} wrong"] if n_scored else []
    parts += [f"{len(found) - n_scored} of classes that are not scored"] if n_scored < len(found) else []
    clips, left = "1 clip is" if len(found) == 1 else f"{len(found)} clips are", len(found) - most
    sentence = f"{clips} selected: {named}{more}; {', '.join(parts)}."
    sentence += f" The {most} most wrong are shown, {left} more are not." if left > 0 else ""
    captions = []
    for row, name in zip(found.head(most).itertuples(), found["class"]):
        if row.unscored:
            captions.append(Caption((labels[name], f"of a {row.group} class")))
            continue
        predicted = () if row.right else (f"predicted as {labels[row.prediction]}",)
        captions.append(Caption((labels[name], *predicted, f"margin {row.margin:+.3f}"), row.right))
    grid = clip_grid(catalog, found["clip"].head(most).tolist(), captions)
    return tuple(found["clip"]), message_box(sentence, GREY), grid


def found_on_map(found: pd.DataFrame, points: pd.DataFrame, most: int = MOST_SHOWN) -> pd.DataFrame:
    """The first clips of a search that are on the map: the rows of `points`, with score, in its order."""
    row_of = {clip: row for row, clip in enumerate(points["clip"])}
    there = found[found["clip"].isin(row_of.keys())].head(most)
    rows = points.loc[[row_of[clip] for clip in there["clip"]]]
    return rows.assign(score=there["score"].to_numpy())


def show_found(
    found: pd.DataFrame, catalog: Catalog, text: str, n_points: int
) -> tuple[tuple[str, ...], str, str]:
    """Ids of clips that were searched for, a sentence, and the clips playing, each with its score."""
    labels, ids = labels_of(catalog), found["clip"].tolist()
    said = f"The {len(ids)} of {n_points} clips on the map nearest to “{text}”. {SCORE_IS}"
    pairs = zip(found["class"], found["score"], strict=True)
    captions = [Caption((labels[name], f"score {score:+.3f}")) for name, score in pairs]
    return tuple(ids), message_box(said, GREY), clip_grid(catalog, ids, captions)


# tables


def prototype_table(predictions: Predictions, guess: str = "composed") -> pd.DataFrame:
    """A row an unseen class: cosine of where it is expected to its own true prototype, and to the others'.

    Args:
        predictions: of the split.
        guess: "composed", its composed prototype, or "unseen_text", its class text (the direct method).

    Returns:
        Columns class, own, others_mean, nearest_other, nearest_other_cosine, own_rank (1: its own true
        prototype is the nearest).
    """
    names = predictions.names()
    cosine_UU = predictions.prototypes(guess) @ predictions.prototypes("true").T
    own, others = np.diag(cosine_UU), np.where(np.eye(len(names), dtype=bool), np.nan, cosine_UU)
    nearest = np.nanargmax(others, axis=1)
    content = {
        "class": names,
        "own": own,
        "others_mean": np.nanmean(others, axis=1),
        "nearest_other": [names[i] for i in nearest],
        "nearest_other_cosine": others[np.arange(len(names)), nearest],
        "own_rank": (cosine_UU >= own[:, None]).sum(1),
    }
    return pd.DataFrame(content).round(3)


def kept_table(space: SpaceMap, catalog: Catalog) -> pd.DataFrame:
    """A row a class, the least kept first: its group, and how many of its clips' 10 nearest the map keeps."""
    shown = {"class": space.classes, "group": space.groups, "kept_%": 100 * space.kept}
    table = pd.DataFrame(shown).groupby("class").agg({"group": "first", "kept_%": "mean"})
    table = table.sort_values("kept_%", kind="stable").round(1)
    return table.set_axis(table.index.map(labels_of(catalog)).tolist())


# figures


def shared_space(
    space: SpaceMap,
    catalog: Catalog,
    colour_by: str = "group",
    guess: str = "composed",
    predictions: Predictions | None = None,
    method: str = "transfer",
) -> go.Figure:
    """Clips and prototypes on the map; a line leads from where a class is expected to where it is.

    `colour_by` is a key of COLOURINGS; "right" and "hubness" need `predictions`, which hovering tells too.
    `guess` is "composed" (by transfer) or "text" (by its class text, as the direct method does).

    Raises:
        ValueError: no such colour_by or guess, no predictions where needed, or those of another split.
        KeyError: the method was not scored.
    """
    if guess not in ("composed", "text"):
        raise ValueError(f"guess must be 'composed' or 'text', got {guess!r}")
    shown, labels = (
        None if predictions is None else points_on_map(space, predictions, method),
        labels_of(catalog),
    )
    looks, look_N = colouring(space, catalog, colour_by, shown, LABELS[method] if predictions else "")
    hover = [labels[name] for name in space.classes] if shown is None else hover_texts(shown, labels)
    fitted = ", fitted on seen classes" if space.fitted_on == SEEN else ""
    about = f"{space.about}, {catalog.name}{fitted}; trustworthiness {space.trustworthiness:.2f}"
    title = "Map of the shared space (UMAP: distances far apart mean little)"
    figure = style.new_figure(title, about, "UMAP 1", "UMAP 2", height=680)
    for number, look in enumerate(looks):
        rows = np.flatnonzero(look_N == number)
        marker = {"color": look.colour, "symbol": look.symbol, "size": look.size, "opacity": look.opacity}
        _add_points(figure, space.clips_xy[rows], look.name, [hover[row] for row in rows], marker)
    guess_xy = space.composed_xy if guess == "composed" else space.unseen_text_xy
    line = {"color": BLUE, "width": 1.5, "dash": "dot"}
    ends = _lines(guess_xy, space.true_xy) if len(guess_xy) else {"x": [], "y": []}
    figure.add_scatter(**ends, mode="lines", line=line, name=f"{guess} to true", hoverinfo="skip")
    edge = {"width": 1, "color": "white"}
    seen, unseen = ([labels[name] for name in names] for names in (space.seen, space.unseen))
    diamond = {"color": GREY, "symbol": "diamond", "size": 9}
    star = {"color": ORANGE, "symbol": "star", "size": 15, "line": edge}
    guessed = {"color": BLUE, "size": 11, "line": edge}
    _add_points(figure, space.seen_xy, "seen prototypes", seen, diamond)
    _add_points(figure, space.true_xy, "true unseen prototypes", unseen, star)
    if guess == "text":
        seen_text = "texts of seen classes", seen, diamond | {"symbol": "square-open"}
        _add_points(figure, space.seen_text_xy, *seen_text)
        _add_points(figure, guess_xy, "texts of unseen classes", unseen, guessed | {"symbol": "square"})
    else:
        _add_points(figure, guess_xy, "composed unseen prototypes", unseen, guessed | {"symbol": "x"})
    if len(unseen) <= MOST_NAMES:
        names = {"text": [style.tick(name) for name in unseen], "textposition": _sides(guess_xy)}
        figure.data[-1].update(mode="markers+text", textfont={"size": 11, "color": GREY}, **names)
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False}  # its numbers mean nothing
    low, high = _around(space)
    figure.update_layout(xaxis=hidden | {"range": [low[0], high[0]]}, legend=style.legend_below(-0.08))
    figure.update_layout(yaxis=hidden | {"range": [low[1], high[1]]}, margin_b=120)
    return figure


def moving_map(space: SpaceMap, catalog: Catalog) -> go.Figure:
    """The map with composed prototypes that `map_traces` moves, those of what validation chose among them."""
    figure = shared_space(space, catalog)
    text = figure.layout.title.text.replace("Map of the", "Composed prototypes (about) on the map of the")
    figure.update_layout(title_text=text)
    unseen = [labels_of(catalog)[name] for name in space.unseen]
    _add_points(figure, space.composed_xy, f"composed, {CHOSEN}", unseen, CHOSEN_MARK | {"size": 13})
    return figure


def map_traces(space: SpaceMap, now_xy: np.ndarray, chosen_xy: np.ndarray) -> list[dict[str, Any]]:
    """What moves in `moving_map`: places of composed prototypes, of the choice and as chosen, [U, 2]."""
    chosen, now = ({"x": xy[:, 0].tolist(), "y": xy[:, 1].tolist()} for xy in (chosen_xy, now_xy))
    now |= {"textposition": _sides(now_xy)}
    return [{}, {}, {}, _lines(now_xy, space.true_xy), {}, {}, now, chosen]


def _lines(from_xy: np.ndarray, to_xy: np.ndarray) -> dict[str, list[Any]]:
    """Lines of one trace from each place to the other, with gaps between them."""
    gaps = np.full(len(from_xy), None)
    ends = (np.stack([from_xy[:, axis], to_xy[:, axis], gaps], axis=1).ravel().tolist() for axis in (0, 1))
    return dict(zip("xy", ends))


def _sides(xy: np.ndarray) -> list[str]:
    """Where to write names beside these places: from left to right above and below in turn."""
    turn = np.argsort(np.argsort(xy[:, 0])) % 2
    return np.where(turn == 0, "top center", "bottom center").tolist()


def _add_points(
    figure: go.Figure, xy: np.ndarray, name: str, hover: Sequence[str], marker: dict[str, object]
) -> None:
    """Add markers at these places, each with its text (escaped here) for hovering."""
    draw, name = figure.add_scattergl if len(xy) > MOST_SVG else figure.add_scatter, style.plain(name)
    texts = [style.plain(text).replace("\n", "<br>") for text in hover]
    look = {"mode": "markers", "name": name, "marker": marker, "customdata": texts}
    template = f"%{{customdata}}<extra>{name}</extra>"
    draw(x=xy[:, 0].tolist(), y=xy[:, 1].tolist(), hovertemplate=template, **look)


def _around(space: SpaceMap) -> tuple[np.ndarray, np.ndarray]:
    """Corners that hold every place, so that the map does not move; prototypes lie between the clips."""
    places = [space.clips_xy, space.seen_xy, space.true_xy, space.composed_xy]
    xy = np.concatenate([*places, space.seen_text_xy, space.unseen_text_xy])
    margin = 0.06 * np.ptp(xy, axis=0)
    margin[margin == 0] = 1.0
    return xy.min(0) - margin, xy.max(0) + margin
