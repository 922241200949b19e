"""The figure of how related class texts are to each other, clusters side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.lint import cluster_order, relatedness_of
from zsar_lab.text.relatedness import CENTRED
from zsar_lab.viz.figures.style import GREY, new_figure, plain, tick

MOST_TICKS = 80  # of more classes the names cannot be read; hovering shows them
STRONGEST = 0.005  # of all pairs have the full colour
# blue for below zero, yellow to vermillion for above; zero is clear, so that the page of a light and of a
# dark theme shows through
DIVERGING = (
    (0.0, "rgba(0, 114, 178, 1)"),
    (0.5, "rgba(0, 114, 178, 0)"),
    (0.5, "rgba(230, 159, 0, 0)"),
    (0.75, "rgba(230, 159, 0, 0.75)"),
    (1.0, "rgba(213, 94, 0, 1)"),
)


def relatedness_heatmap(
    embeddings: ClassEmbeddings,
    labels: Mapping[str, str],
    names: Sequence[str] | None = None,
    kind: str = CENTRED,
    seen: Sequence[str] | None = None,
) -> go.Figure:
    """Relatedness of each class text to each other; classes of one cluster stand side by side, see `cluster_order`.

    The colours end where one pair in 200 lies beyond, for a few near-duplicates would leave all others pale;
    hovering shows each value.

    Args:
        embeddings: of all class texts.
        labels: the readable label of each class name, see `labels_of`.
        names: which classes; all when None.
        kind: of relatedness: plain, centred or whitened.
        seen: the classes that relatedness is fitted on; all embedded ones when None.

    Raises:
        ValueError: fewer than two classes, a class has no text or stands there twice, or no such kind.
    """
    names = embeddings.names if names is None else tuple(names)
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise ValueError(
            f"a heatmap needs two different classes or more, each once, got {len(names)} ({len(set(names))} different)"
        )
    related = relatedness_of(embeddings, names, kind, seen)
    order = cluster_order(related)
    related, ordered = related[np.ix_(order, order)], [names[place] for place in order]
    shown = _unlike([labels[name] for name in ordered], ordered)
    pairs = np.abs(related[np.triu_indices(len(names), 1)])
    end = round(max(0.05, float(np.quantile(pairs, 1 - STRONGEST))), 3)
    fitted = (
        f"fitted on {len(seen)} seen classes"
        if seen is not None
        else f"fitted on all {len(embeddings.names)} classes"
    )
    about = f"{embeddings.class_text.prompt}, {len(names)} classes; {kind}, {fitted}; clusters side by side"
    ticked = len(names) <= MOST_TICKS
    height = 900 if not ticked else min(280 + (26 if len(names) <= 20 else 16) * len(names), 1250)
    figure = new_figure("Relatedness of class texts", about, "", "", height=height)
    bar = {
        "title": {"text": "r", "font": {"color": GREY}},
        "tickfont": {"color": GREY},
        "outlinewidth": 0,
        "thickness": 14,
    }
    gap = 1 if ticked else 0
    figure.add_heatmap(
        x=[plain(text) for text in shown],
        y=[plain(text) for text in shown],
        z=np.round(related, 3).tolist(),
        zmin=-end,
        zmax=end,
        colorscale=DIVERGING,
        colorbar=bar,
        xgap=gap,
        ygap=gap,
        hovertemplate="%{y} – %{x}: %{z:.2f}<extra></extra>",
        hoverongaps=False,
    )
    _axes(figure, shown)
    return figure


def _axes(figure: go.Figure, shown: Sequence[str]) -> None:
    ticks = (
        {"showticklabels": False, "ticks": ""}
        if len(shown) > MOST_TICKS
        else {"tickmode": "array", "tickvals": [plain(text) for text in shown]}
    )
    if len(shown) <= MOST_TICKS:
        ticks |= {"ticktext": [tick(text) for text in shown], "tickfont_size": 12 if len(shown) <= 40 else 9}
    figure.update_xaxes(type="category", showgrid=False, zeroline=False, tickangle=-60, **ticks)
    figure.update_yaxes(type="category", showgrid=False, zeroline=False, autorange="reversed", **ticks)
    figure.update_layout(margin_b=40)


def _unlike(labels: Sequence[str], names: Sequence[str]) -> list[str]:
    """Labels of which no two are alike: where several classes share one, the class names stand behind."""
    return [
        f"{label} [{name}]" if labels.count(label) > 1 else label
        for label, name in zip(labels, names, strict=True)
    ]
