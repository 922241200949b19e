"""Figures of the data: clips by class, status and role, leakage, and relatedness of class texts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from zsar_lab.data.catalog import (
    EXCLUDED,
    MISSING,
    NO_CLASS,
    NOT_A_VIDEO,
    NOT_LISTED,
    STATUSES,
    UNREADABLE,
    Catalog,
)
from zsar_lab.protocols.leakage import RULES, SAME_NAME, LeakageAudit
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.lint import cluster_order, relatedness_of
from zsar_lab.text.relatedness import CENTRED
from zsar_lab.viz.figures import style

MOST_NAMED_ROWS = 260
STATUS_LOOKS = {
    MISSING: (style.GREY, "/"),
    UNREADABLE: (style.VERMILLION, "x"),
    EXCLUDED: (style.PURPLE, "\\"),
    NOT_LISTED: (style.SKY, "."),
    NOT_A_VIDEO: (style.ORANGE, "-"),
}
ROLE_LOOKS = {  # colour, pattern and colour of the number
    "train": (style.BLUE, "", "white"),
    "seen test": (style.SKY, "", "black"),
    "validation": (style.GREEN, "", "white"),
    "test": (style.ORANGE, "", "black"),
    "left out": (style.GREY, "x", "white"),
}
# colour, pattern, symbol and words of each rule that finds a pair of overlapping classes
RULE_LOOKS = dict(
    zip(
        RULES,
        (
            (style.PURPLE, "", "circle", "exact: equal names"),
            (style.BLUE, "/", "diamond", "normalised: equal word stems"),
            (style.GREEN, ".", "square", "contained: all words of one in the other"),
            (style.ORANGE, "x", "x", "embedding: near texts only"),
        ),
        strict=True,
    )
)
FIRST_SHOWN = 0.3  # threshold up to which the leakage curve is shown at first
MOST_TICKS = 80  # of more classes the names cannot be read; hovering shows them
STRONGEST = 0.005  # of all pairs have the full colour
# blue below zero, yellow to vermillion above; zero is clear, so that the page of either theme shows through
DIVERGING = (
    (0.0, "rgba(0, 114, 178, 1)"),
    (0.5, "rgba(0, 114, 178, 0)"),
    (0.5, "rgba(230, 159, 0, 0)"),
    (0.75, "rgba(230, 159, 0, 0.75)"),
    (1.0, "rgba(213, 94, 0, 1)"),
)


# clips


def class_overview(catalog: Catalog) -> go.Figure:
    """Clips per class as bars, coloured by family; unusable clips and files are stacked behind, by status."""
    table, labels = catalog.report(), style.labels_of(catalog) | {NO_CLASS: NO_CLASS}
    table = table.iloc[style.by_family(table["class"].tolist(), catalog)].reset_index(drop=True)
    names, family = table["class"].map(labels), table["class"].map(style.families_of(catalog)).fillna("")
    height = 150 + (17 if len(names) <= MOST_NAMED_ROWS else 7) * len(names)
    figure = style.new_figure("Clips per class", catalog.name, "clips", "", height)
    for number, one in enumerate(sorted(set(family))):
        rows, (lap, place) = table[family == one], divmod(number, len(style.PALETTE))
        hover = [f"{style.plain(names[r.Index])}: {r.ok} clips, {r.seconds:.1f} s" for r in rows.itertuples()]
        marker = style.striped(style.PALETTE[place], ("", "/", ".", "x")[lap % 4])
        style.bars(figure, rows["ok"], rows.index, one or "usable clips", hover, marker)
    for status in STATUS_LOOKS:
        counts = table[status.replace(" ", "_")]
        if counts.sum():
            hover, name = [f"{count} {status}" for count in counts], f"{status} ({counts.sum():,})"
            style.bars(figure, counts, table.index, name, hover, _status_marker(status))
    # of very many classes the names are left to the pointer
    style.name_ticks(figure, "y", names.tolist(), showticklabels=len(names) <= MOST_NAMED_ROWS)
    figure.update_layout(barmode="stack", bargap=0.25, legend={"traceorder": "normal"})
    return figure


def status_overview(catalog: Catalog) -> go.Figure:
    """How many clips and files have each status, and of how many classes."""
    by_status = catalog.clips.groupby("status")["class"].agg(["size", "nunique"])
    by_status = by_status.reindex([status for status in STATUSES if status in by_status.index])
    about = f"{catalog.name}, {len(catalog.clips):,} clips and files of {len(catalog.classes)} classes"
    height = 170 + 34 * len(by_status)
    figure = style.new_figure("What is there and what is not", about, "clips and files", "", height)
    for place, (status, number, n_classes) in enumerate(by_status.itertuples()):
        text: style.Look = {"text": [f" {number:,} in {n_classes} classes"], "textposition": "outside"}
        hover = [f"{status}: {number:,}"]
        style.bars(figure, [number], [place], status, hover, _status_marker(status), **text)
    style.name_ticks(figure, "y", by_status.index.tolist())
    figure.update_xaxes(range=[0, 1.35 * max([1, *by_status["size"]])])
    figure.update_layout(showlegend=False, bargap=0.3)
    return figure


def protocol_roles(accounts: Mapping[str, pd.DataFrame], about: str = "") -> go.Figure:
    """How many clips play which part in each protocol, of `account` by its name; every clip has one part."""
    height, places = 190 + 36 * len(accounts), range(len(accounts))
    figure = style.new_figure("Which clip plays which part", about, "clips and files", "", height)
    for role, (colour, shape, ink) in ROLE_LOOKS.items():
        counts = [int((table["role"] == role).sum()) for table in accounts.values()]
        text: style.Look = {
            "text": [f"{count:,}" if count else "" for count in counts],
            "textposition": "inside",
        }
        text |= {"insidetextanchor": "middle", "insidetextfont": {"color": ink}}
        hover = [f"{count:,} {role}" for count in counts]
        style.bars(figure, counts, places, role, hover, style.striped(colour, shape), **text)
    style.name_ticks(figure, "y", list(accounts))
    legend = style.legend_below(-70 / (height - 90)) | {"traceorder": "normal"}
    figure.update_layout(barmode="stack", bargap=0.3, margin={"b": 110}, legend=legend)
    return figure


def clip_lengths(catalog: Catalog) -> go.Figure:
    """How long the usable clips are (s) and their frame rates (1/s), as two histograms."""
    clips = catalog.usable
    panels = (("clip length (s)", "clips"), ("frame rate (frames/s)", "clips"))
    about = f"{catalog.name}, {len(clips)} usable clips"
    figure = style.new_panels("Length and frame rate of the clips", about, panels)
    lengths = (clips["end_s"] - clips["start_s"]).tolist()
    figure.add_histogram(x=lengths, nbinsx=30, marker_color=style.BLUE, row=1, col=1)
    rates = clips["fps"].round(2).value_counts().sort_index()
    names, counts = rates.index.map("{:g}".format).tolist(), rates.tolist()
    figure.add_bar(x=names, y=counts, text=counts, marker_color=style.ORANGE, row=1, col=2)
    figure.update_xaxes(type="category", col=2)
    figure.update_layout(showlegend=False, bargap=0.1)
    return figure


def _status_marker(status: str) -> dict[str, object]:
    colour, shape = STATUS_LOOKS.get(status, (style.BLUE, ""))
    return {"color": colour, "pattern": {"shape": shape, "fgcolor": colour, "bgcolor": style.CLEAR}}


# leakage


def removed_curve(audit: LeakageAudit, threshold: float | None = None) -> go.Figure:
    """Training classes removed against the distance threshold: by distance alone, and by distance or name.

    A chosen threshold is a vertical line with its count.

    Raises:
        ValueError: the audit has no embeddings, or the threshold is out of range.
    """
    title = "Training classes that overlap with test classes"
    about = f"{len(audit.train_names)} training classes against {len(audit.test_names)} test classes"
    figure = style.new_figure(title, about, "threshold (cosine distance of class texts)", "classes removed")
    names, colours = ("distance, or the same name", "distance alone"), (style.BLUE, style.ORANGE)
    hover = "under %{x:.3f}: %{y} classes<extra></extra>"
    for name, rules, colour, dash in zip(names, (SAME_NAME, ()), colours, ("solid", "dash")):
        curve, line = audit.curve(rules), {"shape": "vh", "color": colour, "width": 2.5, "dash": dash}
        points = {"x": curve["threshold"].tolist(), "y": curve["n_removed"].tolist()}
        figure.add_scatter(**points, name=name, mode="lines", line=line, hovertemplate=hover)
    if threshold is not None:
        counts = [len(audit.removed(threshold, rules)) for rules in (SAME_NAME, ())]
        figure.add_vline(x=threshold, line={"color": style.GREY, "width": 2, "dash": "dot"})
        points = {"x": [threshold] * 2, "y": counts, "marker": {"size": 10, "color": colours}}
        points |= {"hovertemplate": "%{y} removed by %{customdata}<extra></extra>", "customdata": names}
        figure.add_scatter(**points, mode="markers", showlegend=False)
        words = f"threshold {threshold:g}: {counts[0]} removed<br>({counts[1]} by distance alone)"
        place = {"x": threshold, "xanchor": "left", "xshift": 8, "y": 1, "yref": "paper", "yanchor": "top"}
        figure.add_annotation(text=words, align="left", showarrow=False, font_color=style.GREY, **place)
    # opens on the low thresholds, where the choice lies; a double click shows the whole curve
    end = max(min(1.0, max(FIRST_SHOWN, 2 * (threshold or 0))), threshold or 0)
    figure.update_xaxes(range=[0, end])
    figure.update_yaxes(range=[0, 1.15 * max(1, len(audit.removed(end)))])
    figure.update_layout(legend=style.legend_below(-0.22), margin={"b": 110}, hovermode="closest")
    return figure


def nearest_pairs(audit: LeakageAudit, n: int = 20, rules: tuple[str, ...] = RULES[1:]) -> go.Figure:
    """At most n nearest pairs of a training and a test class; the rule that finds each is its colour.

    Equal names are left out by default, as their distance is 0.

    Raises:
        ValueError: as `LeakageAudit.nearest`.
    """
    table = audit.nearest(n, rules)
    n_exact = 0 if "exact" in rules else int((audit.pairs["rule"] == "exact").sum())
    about = "training class ~ test class" + f"; pairs of equal names, not shown: {n_exact}" * bool(n_exact)
    height = 200 + 24 * len(table)
    figure = style.new_figure("Nearest classes by their texts", about, "cosine distance", "", height)
    for rule, (colour, pattern, symbol, words) in RULE_LOOKS.items():
        rows = table[table["rule"] == rule]
        if rows.empty:
            continue
        hover = [
            f"{style.plain(r.train)} ~ {style.plain(r.test)}: {r.distance:.3f}" for r in rows.itertuples()
        ]
        group: style.Look = {"legendgroup": rule}
        marker = style.striped(colour, pattern)
        style.bars(figure, rows["distance"], rows.index, words, hover, marker, **group)
        # a dot at the end shows the rule of a pair at distance 0 too
        dot = {"size": 10, "color": colour, "symbol": symbol, "line": {"color": style.GREY, "width": 1}}
        figure.add_scatter(
            x=rows["distance"].tolist(),
            y=rows.index.tolist(),
            mode="markers+text",
            text=[f"  {distance:.3f}" for distance in rows["distance"]],
            textposition="middle right",
            marker=dot,
            showlegend=False,
            cliponaxis=False,
            hoverinfo="skip",
            **group,
        )
    names = [f"{style.tick(a)} ~ {style.tick(b)}" for a, b in zip(table["train_label"], table["test_label"])]
    style.name_ticks(figure, "y", names, ticktext=names)
    longest = max([0.1, *table["distance"]])
    figure.update_xaxes(range=[-0.02 * longest, 1.15 * longest])
    figure.update_layout(bargap=0.3, legend=style.legend_below(-60 / (height - 120)), margin={"b": 120})
    return figure


# class texts


def relatedness_heatmap(
    embeddings: ClassEmbeddings,
    labels: Mapping[str, str],
    names: Sequence[str] | None = None,
    kind: str = CENTRED,
    seen: Sequence[str] | None = None,
) -> go.Figure:
    """Relatedness of each class text to each other; classes of one cluster stand side by side.

    One pair in 200 lies beyond the ends of the colours; a few near-duplicates would leave all others pale.

    `kind` is plain, centred or whitened; `names` None is all classes; `seen` are those that
    relatedness is fitted on, None for all embedded ones.

    Raises:
        ValueError: fewer than two classes, a class without text or given twice, or no such kind.
    """
    names = embeddings.names if names is None else tuple(names)
    if len(set(names)) < max(2, len(names)):
        raise ValueError(f"a heatmap needs two classes or more, each once, got {len(names)}: {names}")
    related = relatedness_of(embeddings, names, kind, seen)
    order = cluster_order(related)
    related, ordered = related[np.ix_(order, order)], [names[place] for place in order]
    texts = style.unlike(labels, ordered)
    shown = [style.plain(text) for text in texts]
    end = float(np.quantile(np.abs(related[np.triu_indices(len(names), 1)]), 1 - STRONGEST))
    end = round(max(0.05, end), 3)
    fitted = f"all {len(embeddings.names)} classes" if seen is None else f"{len(seen)} seen classes"
    about = f"{embeddings.class_text.prompt}, {len(names)} classes; {kind}, fitted on {fitted}; by cluster"
    ticked = len(names) <= MOST_TICKS
    height = min(280 + (26 if len(names) <= 20 else 16) * len(names), 1250) if ticked else 900
    figure = style.new_figure("Relatedness of class texts", about, "", "", height)
    figure.add_heatmap(
        x=shown,
        y=shown,
        z=np.round(related, 3).tolist(),
        zmin=-end,
        zmax=end,
        colorscale=DIVERGING,
        colorbar=style.colour_bar("r"),
        xgap=int(ticked),
        ygap=int(ticked),
        hovertemplate="%{y} – %{x}: %{z:.2f}<extra></extra>",
        hoverongaps=False,
    )
    axis = {"type": "category", "showgrid": False, "zeroline": False, "showticklabels": ticked}
    if ticked:
        axis |= {"tickmode": "array", "tickvals": shown, "ticktext": [style.tick(text) for text in texts]}
        axis |= {"tickfont_size": 12 if len(shown) <= 40 else 9}
    figure.update_xaxes(tickangle=-60, **axis)
    figure.update_yaxes(autorange="reversed", **axis)
    figure.update_layout(margin_b=40)
    return figure
