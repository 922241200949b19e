"""The map of the shared space as a figure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from zsar_lab.data.catalog import Catalog
from zsar_lab.views.figures_style import GREEN, GREY, ORANGE, PALETTE, SKY, VERMILLION, labels_of, new_figure, plain
from zsar_lab.views.projection import SpaceMap

GROUP_COLOURS = {"seen": GREY, "validation": SKY, "unseen": ORANGE}
SYMBOLS = ("circle", "square", "triangle-up", "cross")


def shared_space(space: SpaceMap, catalog: Catalog, colour_by: str = "group", guess: str = "composed") -> go.Figure:
    """Clips and prototypes on the map; a line leads from where a class is expected to where it is.

    Args:
        space: of projection.shared_space_map.
        catalog: gives the labels.
        colour_by: "group" colours clips as seen, validation or unseen; "class" gives each unseen class a colour and sign of its own.
        guess: where an unseen class is expected: "composed" by the prototypes that transfer composed, "text" by its class text, as the direct
            rule does.

    Raises:
        ValueError: colour_by or guess is neither.
    """
    if guess not in ("composed", "text"):
        raise ValueError(f"guess must be 'composed' or 'text', got {guess!r}")
    if colour_by not in ("group", "class"):
        raise ValueError(f"colour_by must be 'group' or 'class', got {colour_by!r}")
    labels = labels_of(catalog)
    about = f"{space.about}, {catalog.name}; trustworthiness {space.trustworthiness:.2f}"
    figure = new_figure("Map of the shared space (UMAP: distances far apart mean little)", about, "UMAP 1", "UMAP 2", height=680)
    groups, classes = np.array(space.groups), np.array(space.classes)
    for group, colour in GROUP_COLOURS.items():
        if group == "unseen" and colour_by == "class":
            for number, name in enumerate(space.unseen):
                style = {"color": PALETTE[number % len(PALETTE)], "symbol": SYMBOLS[number // len(PALETTE) % len(SYMBOLS)], "size": 7}
                _points(figure, space.clips_xy[classes == name], labels[name], [labels[name]] * int((classes == name).sum()), style)
        else:
            style = {"color": colour, "size": 6 if group == "unseen" else 4, "opacity": 0.8 if group == "unseen" else 0.45}
            shown = groups == group
            _points(figure, space.clips_xy[shown], f"clips of {group} classes", [labels[name] for name in classes[shown]], style)
    guess_xy = space.composed_xy if guess == "composed" else space.unseen_text_xy
    lines = np.stack([guess_xy, space.true_xy, np.full_like(space.true_xy, np.nan)], axis=1).reshape(-1, 2)
    figure.add_scatter(
        x=_with_gaps(lines[:, 0]), y=_with_gaps(lines[:, 1]), mode="lines", line={"color": VERMILLION, "width": 1.5, "dash": "dot"},
        name=f"{guess} to true", hoverinfo="skip",
    )  # fmt: skip
    edge = {"width": 1, "color": "white"}
    seen, unseen = ([labels[name] for name in names] for names in (space.seen, space.unseen))
    _points(figure, space.seen_xy, "seen prototypes", seen, {"color": GREY, "symbol": "diamond", "size": 9})
    _points(figure, space.true_xy, "true unseen prototypes", unseen, {"color": GREEN, "symbol": "star", "size": 15, "line": edge})
    if guess == "text":
        _points(figure, space.seen_text_xy, "texts of seen classes", seen, {"color": GREY, "symbol": "square-open", "size": 9})
        _points(figure, guess_xy, "texts of unseen classes", unseen, {"color": VERMILLION, "symbol": "square", "size": 11, "line": edge})
    else:
        _points(figure, guess_xy, "composed unseen prototypes", unseen, {"color": VERMILLION, "symbol": "x", "size": 11, "line": edge})
    # neighbours from left to right get their name above and below in turn, so that fewer names overlap
    for number, i in enumerate(np.argsort(guess_xy[:, 0])):
        place = {"x": float(guess_xy[i, 0]), "y": float(guess_xy[i, 1]), "yshift": 14 if number % 2 else -14}
        label = {"text": plain(unseen[i]), "showarrow": False, "font": {"size": 11}} | place
        figure.add_annotation(**label)
    hidden = {"showticklabels": False, "showgrid": False, "zeroline": False}
    figure.update_layout(xaxis=hidden, yaxis=hidden, legend={"orientation": "h", "x": 0, "y": -0.08, "yanchor": "top"}, margin_b=120)
    return figure


def _points(figure: go.Figure, xy: np.ndarray, name: str, hover: Sequence[str], style: dict[str, object]) -> None:
    figure.add_scatter(
        x=xy[:, 0].tolist(), y=xy[:, 1].tolist(), mode="markers", name=plain(name), marker=style, customdata=[plain(text) for text in hover],
        hovertemplate="%{customdata}<extra>" + plain(name) + "</extra>",
    )  # fmt: skip


def _with_gaps(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
