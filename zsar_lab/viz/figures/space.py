"""Figures of the map of the shared space, and of how many neighbours it keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.results.predictions import Predictions
from zsar_lab.viz.figures import style
from zsar_lab.viz.map_points import GROUP_COLOURS, colouring, hover_texts, predicted_on_map
from zsar_lab.viz.projection import LEAST_KEPT, SEEN, SpaceMap

MOST_CLASSES = 30
MOST_SVG = 5000  # points; more are drawn by the graphics card
PATTERNS = {"seen": "", "validation": "/", "unseen": "x"}


def shared_space(
    space: SpaceMap,
    catalog: Catalog,
    colour_by: str = "group",
    guess: str = "composed",
    predictions: Predictions | None = None,
    method: str = "transfer",
) -> go.Figure:
    """Clips and prototypes on the map; a line leads from where a class is expected to where it is.

    `colour_by` is a key of `map_points.COLOURINGS`; "right" and "hubness" need `predictions`, which hovering
    tells too. `guess` is "composed" (by transfer) or "text" (by its class text, as the direct method does).

    Raises:
        ValueError: no such colour_by or guess, no predictions where needed, or those of another split.
        KeyError: the method was not scored.
    """
    if guess not in ("composed", "text"):
        raise ValueError(f"guess must be 'composed' or 'text', got {guess!r}")
    shown = None if predictions is None else predicted_on_map(space, predictions, method)
    looks, look_N = colouring(space, catalog, colour_by, shown)
    fitted = ", fitted on seen classes" if space.fitted_on == SEEN else ""
    about = f"{space.about}, {catalog.name}{fitted}; trustworthiness {space.trustworthiness:.2f}"
    title = "Map of the shared space (UMAP: distances far apart mean little)"
    figure = style.new_figure(title, about, "UMAP 1", "UMAP 2", height=680)
    hover = hover_texts(space, catalog, shown)
    for number, look in enumerate(looks):
        rows = np.flatnonzero(look_N == number)
        marker = {"color": look.colour, "symbol": look.symbol, "size": look.size, "opacity": look.opacity}
        points(figure, space.clips_xy[rows], look.name, [hover[row] for row in rows], marker)
    guess_xy = space.composed_xy if guess == "composed" else space.unseen_text_xy
    gaps = np.full(len(guess_xy), None)
    ends = [[guess_xy[:, axis], space.true_xy[:, axis], gaps] for axis in (0, 1)]
    x, y = (np.stack(axis_ends, axis=1).ravel().tolist() for axis_ends in ends)
    line = {"color": style.VERMILLION, "width": 1.5, "dash": "dot"}
    figure.add_scatter(x=x, y=y, mode="lines", line=line, name=f"{guess} to true", hoverinfo="skip")
    labels, edge = style.labels_of(catalog), {"width": 1, "color": "white"}
    seen, unseen = ([labels[name] for name in names] for names in (space.seen, space.unseen))
    diamond = {"color": style.GREY, "symbol": "diamond", "size": 9}
    star = {"color": style.GREEN, "symbol": "star", "size": 15, "line": edge}
    guessed = {"color": style.VERMILLION, "size": 11, "line": edge}
    points(figure, space.seen_xy, "seen prototypes", seen, diamond)
    points(figure, space.true_xy, "true unseen prototypes", unseen, star)
    if guess == "text":
        points(figure, space.seen_text_xy, "texts of seen classes", seen, diamond | {"symbol": "square-open"})
        points(figure, guess_xy, "texts of unseen classes", unseen, guessed | {"symbol": "square"})
    else:
        points(figure, guess_xy, "composed unseen prototypes", unseen, guessed | {"symbol": "x"})
    # names from left to right, above and below in turn, so that fewer of them overlap
    for number, i in enumerate(np.argsort(guess_xy[:, 0])):
        place = {"x": float(guess_xy[i, 0]), "y": float(guess_xy[i, 1]), "yshift": 14 if number % 2 else -14}
        figure.add_annotation(text=style.plain(unseen[i]), showarrow=False, font={"size": 11}, **place)
    hidden_axes(figure)
    return figure


def neighbours_kept(space: SpaceMap, catalog: Catalog) -> go.Figure:
    """The share of each class's 10 nearest points in the space that are so on the map, the worst kept first.

    Of more than 30 classes, the 30 worst kept.
    """
    labels, classes = style.labels_of(catalog), np.array(space.classes)
    share = {name: float(space.kept[classes == name].mean()) for name in dict.fromkeys(space.classes)}
    group_of = dict(zip(space.classes, space.groups))
    names = sorted(share, key=lambda name: (share[name], labels[name]))
    shown = names[:MOST_CLASSES]
    which = f"the {MOST_CLASSES} worst kept of {len(names)} classes; " if len(names) > len(shown) else ""
    overall = f"all clips {100 * space.kept.mean():.0f} %, by chance {100 * space.kept_by_chance:.1f} %"
    about = f"{which}{overall}; dotted: less is warned of; {catalog.name}"
    figure = style.new_figure(
        "How many neighbours the map keeps", about, "", "of the 10 nearest (%)", height=400
    )
    for group, colour in GROUP_COLOURS.items():
        places = [place for place, name in enumerate(shown) if group_of[name] == group]
        pattern = {"shape": PATTERNS[group], "size": 5, "solidity": 0.5}
        values = style.percent([share[shown[place]] for place in places])
        hover = [f"{style.plain(labels[shown[p]])}: {value:.0f} % kept" for p, value in zip(places, values)]
        look: style.Look = {"lying": False, "showlegend": True, "width": 0.8}
        marker = {"color": colour, "pattern": pattern}
        style.bars(figure, values, places, f"{group} classes", hover, marker, **look)
    figure.add_hline(y=100 * LEAST_KEPT, line={"color": style.VERMILLION, "dash": "dot", "width": 2})
    style.name_ticks(figure, "x", [labels[name] for name in shown], range=[-0.6, len(shown) - 0.4])
    legend = {"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top"}
    figure.update_layout(barmode="overlay", yaxis_range=[0, 100], legend=legend)
    return figure


def points(
    figure: go.Figure, xy: np.ndarray, name: str, hover: Sequence[str], marker: dict[str, object]
) -> None:
    """Add markers at these places, each with its text (escaped here) for hovering."""
    draw = figure.add_scattergl if len(xy) > MOST_SVG else figure.add_scatter
    draw(
        x=xy[:, 0].tolist(),
        y=xy[:, 1].tolist(),
        mode="markers",
        name=style.plain(name),
        marker=marker,
        customdata=[style.plain(text).replace("\n", "<br>") for text in hover],
        hovertemplate="%{customdata}<extra>" + style.plain(name) + "</extra>",
    )


def hidden_axes(figure: go.Figure) -> None:
    """Axes of a map: titles alone, as its numbers mean nothing; the legend below."""
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False}
    figure.update_layout(xaxis=hidden, yaxis=hidden, legend=style.legend_below(-0.08), margin_b=120)
