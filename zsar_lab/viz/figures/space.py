"""The map of the shared space as a figure, and beside it how many neighbours it keeps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.results.evaluate import TRANSFER, SplitResult
from zsar_lab.viz.figures.style import (
    GREEN,
    GREY,
    VERMILLION,
    labels_of,
    name_ticks,
    new_figure,
    percent,
    plain,
)
from zsar_lab.viz.map_points import GROUP_COLOURS, answers_on_map, colouring, said_of_clips
from zsar_lab.viz.projection import LEAST_KEPT, SEEN, SpaceMap

MOST_CLASSES = 30
MOST_SVG = 5000  # points; more are drawn by the graphics card
PATTERNS = {"seen": "", "validation": "/", "unseen": "x"}


def shared_space(
    space: SpaceMap,
    catalog: Catalog,
    colour_by: str = "group",
    guess: str = "composed",
    result: SplitResult | None = None,
    method: str = TRANSFER,
) -> go.Figure:
    """Clips and prototypes on the map; a line leads from where a class is expected to where it is.

    Args:
        space: of projection.shared_space_map.
        catalog: gives the labels.
        colour_by: "group" colours clips as seen, validation or unseen; "class" gives each unseen class a
            colour and sign of its own; "right" and "hubness" say how the method answered, see
            `map_points.colouring`.
        guess: where an unseen class is expected: "composed" by the prototypes that transfer composed, "text"
            by its class text, as the direct method does.
        result: of the same split; with it, pointing at a clip says how the method answered it.
        method: whose answers.

    Raises:
        ValueError: colour_by or guess is none of these, colour_by needs a result and got none, the result is
            of another split, or there is no such method.
    """
    if guess not in ("composed", "text"):
        raise ValueError(f"guess must be 'composed' or 'text', got {guess!r}")
    answers = None if result is None else answers_on_map(space, result, method)
    looks, look_N = colouring(space, catalog, colour_by, answers)
    labels = labels_of(catalog)
    fitted = ", fitted on seen classes" if space.fitted_on == SEEN else ""
    about = f"{space.about}, {catalog.name}{fitted}; trustworthiness {space.trustworthiness:.2f}"
    figure = new_figure(
        "Map of the shared space (UMAP: distances far apart mean little)",
        about,
        "UMAP 1",
        "UMAP 2",
        height=680,
    )
    said = said_of_clips(space, catalog, answers)
    for number, look in enumerate(looks):
        rows = np.flatnonzero(look_N == number)
        style = {"color": look.colour, "symbol": look.symbol, "size": look.size, "opacity": look.opacity}
        _points(figure, space.clips_xy[rows], look.name, [said[row] for row in rows], style)
    guess_xy = space.composed_xy if guess == "composed" else space.unseen_text_xy
    lines = np.stack([guess_xy, space.true_xy, np.full_like(space.true_xy, np.nan)], axis=1).reshape(-1, 2)
    figure.add_scatter(
        x=_with_gaps(lines[:, 0]),
        y=_with_gaps(lines[:, 1]),
        mode="lines",
        line={"color": VERMILLION, "width": 1.5, "dash": "dot"},
        name=f"{guess} to true",
        hoverinfo="skip",
    )
    edge = {"width": 1, "color": "white"}
    seen, unseen = ([labels[name] for name in names] for names in (space.seen, space.unseen))
    _points(figure, space.seen_xy, "seen prototypes", seen, {"color": GREY, "symbol": "diamond", "size": 9})
    _points(
        figure,
        space.true_xy,
        "true unseen prototypes",
        unseen,
        {"color": GREEN, "symbol": "star", "size": 15, "line": edge},
    )
    if guess == "text":
        _points(
            figure,
            space.seen_text_xy,
            "texts of seen classes",
            seen,
            {"color": GREY, "symbol": "square-open", "size": 9},
        )
        _points(
            figure,
            guess_xy,
            "texts of unseen classes",
            unseen,
            {"color": VERMILLION, "symbol": "square", "size": 11, "line": edge},
        )
    else:
        _points(
            figure,
            guess_xy,
            "composed unseen prototypes",
            unseen,
            {"color": VERMILLION, "symbol": "x", "size": 11, "line": edge},
        )
    _name(figure, guess_xy, unseen)
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False}
    figure.update_layout(
        xaxis=hidden,
        yaxis=hidden,
        legend={"orientation": "h", "x": 0, "y": -0.08, "yanchor": "top"},
        margin_b=120,
    )
    return figure


def neighbours_kept(space: SpaceMap, catalog: Catalog) -> go.Figure:
    """Of each class, how many of its clips' 10 nearest points in the space are among their 10 nearest on the map; the worst kept first.

    Of more than 30 classes, the 30 worst kept.
    """
    labels, classes = labels_of(catalog), np.array(space.classes)
    share = {name: float(space.kept[classes == name].mean()) for name in dict.fromkeys(space.classes)}
    group_of = dict(zip(space.classes, space.groups))
    names = sorted(share, key=lambda name: (share[name], labels[name]))
    shown = names[:MOST_CLASSES]
    which = f"the {MOST_CLASSES} worst kept of {len(names)} classes; " if len(names) > len(shown) else ""
    overall = f"all clips {100 * space.kept.mean():.0f} %, by chance {100 * space.kept_by_chance:.1f} %"
    about = f"{which}{overall}; dotted: less is warned of; {catalog.name}"
    figure = new_figure("How many neighbours the map keeps", about, "", "of the 10 nearest (%)", height=400)
    for group, colour in GROUP_COLOURS.items():
        places = [place for place, name in enumerate(shown) if group_of[name] == group]
        figure.add_bar(
            x=places,
            y=percent([share[shown[place]] for place in places]),
            name=f"{group} classes",
            width=0.8,
            showlegend=True,
            marker={"color": colour, "pattern": {"shape": PATTERNS[group], "size": 5, "solidity": 0.5}},
            customdata=[plain(labels[shown[place]]) for place in places],
            hovertemplate="%{customdata}: %{y:.0f} % kept<extra>" + group + "</extra>",
        )
    figure.add_hline(y=100 * LEAST_KEPT, line={"color": VERMILLION, "dash": "dot", "width": 2})
    name_ticks(figure, "x", [labels[name] for name in shown], showgrid=False, range=[-0.6, len(shown) - 0.4])
    figure.update_layout(
        barmode="overlay",
        yaxis_range=[0, 100],
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1, "yanchor": "top"},
    )
    return figure


def _name(figure: go.Figure, xy: np.ndarray, names: Sequence[str]) -> None:
    """Write names beside points: from left to right above and below in turn, so that fewer of them overlap."""
    for number, i in enumerate(np.argsort(xy[:, 0])):
        place = {"x": float(xy[i, 0]), "y": float(xy[i, 1]), "yshift": 14 if number % 2 else -14}
        figure.add_annotation(text=plain(names[i]), showarrow=False, font={"size": 11}, **place)


def _points(
    figure: go.Figure, xy: np.ndarray, name: str, hover: Sequence[str], style: dict[str, object]
) -> None:
    draw = figure.add_scattergl if len(xy) > MOST_SVG else figure.add_scatter
    draw(
        x=xy[:, 0].tolist(),
        y=xy[:, 1].tolist(),
        mode="markers",
        name=plain(name),
        marker=style,
        customdata=[plain(text).replace("\n", "<br>") for text in hover],
        hovertemplate="%{customdata}<extra>" + plain(name) + "</extra>",
    )


def _with_gaps(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
