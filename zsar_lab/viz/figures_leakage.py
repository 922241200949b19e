"""Figures of a leakage audit: how many training classes a distance threshold removes, and the nearest pairs of classes."""

from __future__ import annotations

import plotly.graph_objects as go

from zsar_lab.protocols.leakage import RULES, SAME_NAME, LeakageAudit
from zsar_lab.viz.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PATTERNS,
    PURPLE,
    name_ticks,
    new_figure,
    plain,
    tick,
)

RULE_LOOKS = dict(
    zip(
        RULES,
        zip((PURPLE, BLUE, GREEN, ORANGE), PATTERNS, ("circle", "diamond", "square", "x"), strict=True),
        strict=True,
    )
)
SHOWN_TO = 0.3
RULE_TITLES = {
    "exact": "exact: equal names",
    "normalised": "normalised: equal word stems",
    "contained": "contained: all words of one in the other",
    "embedding": "embedding: near texts only",
}


def removed_curve(audit: LeakageAudit, threshold: float | None = None) -> go.Figure:
    """Training classes removed against the distance threshold: by distance alone, and by distance or the same name.

    Args:
        audit: with embeddings.
        threshold: the chosen one, drawn as a vertical line with its count; None draws none.

    Raises:
        ValueError: the audit has no embeddings, or the threshold is out of range.
    """
    about = f"{len(audit.train_names)} training classes against {len(audit.test_names)} test classes"
    figure = new_figure(
        "Training classes that overlap with test classes",
        about,
        "threshold (cosine distance of class texts)",
        "classes removed",
    )
    looks = (("distance, or the same name", SAME_NAME, BLUE, "solid"), ("distance alone", (), ORANGE, "dash"))
    for name, rules, colour, dash in looks:
        curve = audit.curve(rules)
        figure.add_scatter(
            x=curve["threshold"].tolist(),
            y=curve["n_removed"].tolist(),
            name=name,
            mode="lines",
            line={"shape": "vh", "color": colour, "width": 2.5, "dash": dash},
            hovertemplate="under %{x:.3f}: %{y} classes<extra></extra>",
        )
    if threshold is not None:
        counts = [len(audit.removed(threshold, rules)) for _, rules, _, _ in looks]
        figure.add_vline(x=threshold, line={"color": GREY, "width": 2, "dash": "dot"})
        figure.add_scatter(
            x=[threshold] * 2,
            y=counts,
            mode="markers",
            marker={"size": 10, "color": [look[2] for look in looks]},
            showlegend=False,
            customdata=[look[0] for look in looks],
            hovertemplate="%{y} removed by %{customdata}<extra></extra>",
        )
        figure.add_annotation(
            x=threshold,
            y=1,
            yref="paper",
            yanchor="top",
            xanchor="left",
            xshift=8,
            showarrow=False,
            align="left",
            text=f"threshold {threshold:g}: {counts[0]} removed<br>({counts[1]} by distance alone)",
            font={"color": GREY},
        )
    # opens on the low thresholds, where the choice lies; a double click shows the whole curve
    end = max(min(1.0, max(SHOWN_TO, 2 * (threshold or 0))), threshold or 0)
    figure.update_xaxes(range=[0, end])
    figure.update_yaxes(range=[0, 1.15 * max(1, len(audit.removed(end)))])
    figure.update_layout(
        legend={"orientation": "h", "y": -0.22, "x": 0, "yanchor": "top"},
        margin={"b": 110},
        hovermode="closest",
    )
    return figure


def nearest_pairs(audit: LeakageAudit, n: int = 20, rules: tuple[str, ...] = RULES[1:]) -> go.Figure:
    """The nearest pairs of a training and a test class as bars of their distance, the rule that finds them as colour, pattern and dot.

    Args:
        audit: with embeddings.
        n: pairs at most.
        rules: which pairs; equal names are left out by default, as their distance is 0.

    Raises:
        ValueError: as `LeakageAudit.nearest`.
    """
    table = audit.nearest(n, rules)
    n_exact = int((audit.pairs["rule"] == "exact").sum())
    about = "training class ~ test class" + (
        f"; pairs of equal names, not shown: {n_exact}" if n_exact and "exact" not in rules else ""
    )
    figure = new_figure(
        "Nearest classes by their texts", about, "cosine distance", "", height=200 + 24 * len(table)
    )
    for rule in (rule for rule in RULES if rule in set(table["rule"])):
        rows = table[table["rule"] == rule]
        colour, pattern, symbol = RULE_LOOKS[rule]
        place = {"x": rows["distance"].tolist(), "y": rows.index.tolist(), "legendgroup": rule}
        place |= {"customdata": [[plain(a), plain(b)] for a, b in zip(rows["train"], rows["test"])]}
        place |= {"hovertemplate": "%{customdata[0]} ~ %{customdata[1]}: %{x:.3f}<extra>" + rule + "</extra>"}
        stripes = {
            "shape": pattern,
            "fillmode": "overlay",
            "fgcolor": "white",
            "fgopacity": 0.7,
            "solidity": 0.25,
            "size": 7,
        }
        figure.add_bar(
            **place,
            orientation="h",
            name=plain(RULE_TITLES[rule]),
            marker={"color": colour, "pattern": stripes},
        )
        # a dot at the end shows the rule of a pair at distance 0 too
        figure.add_scatter(
            **place,
            mode="markers+text",
            text=[f"  {distance:.3f}" for distance in rows["distance"]],
            textposition="middle right",
            marker={"size": 10, "color": colour, "symbol": symbol, "line": {"color": GREY, "width": 1}},
            showlegend=False,
            cliponaxis=False,
        )
    names = [f"{tick(a)} ~ {tick(b)}" for a, b in zip(table["train_label"], table["test_label"])]
    name_ticks(figure, "y", names, ticktext=names, autorange="reversed", showgrid=False)
    longest = max([0.1, *table["distance"]])
    figure.update_xaxes(range=[-0.02 * longest, 1.15 * longest])
    figure.update_layout(
        bargap=0.3,
        legend={"orientation": "h", "y": -60 / (80 + 24 * len(table)), "x": 0, "yanchor": "top"},
        margin={"b": 120},
    )
    return figure
