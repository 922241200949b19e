"""Figures and tables of the data: clips by class and status, protocols, leakage, and class texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from pandas.io.formats.style import Styler

from zsar_lab.data.catalog import (
    EXCLUDED,
    MISSING,
    NO_CLASS,
    NOT_A_VIDEO,
    NOT_LISTED,
    UNREADABLE,
    Catalog,
)
from zsar_lab.protocols.leakage import SAME_NAME, LeakageAudit
from zsar_lab.protocols.protocol import Protocol
from zsar_lab.text.embeddings import ClassEmbeddings
from zsar_lab.text.lint import cluster_order, relatedness_of
from zsar_lab.text.relatedness import CENTRED
from zsar_lab.viz.figures import style
from zsar_lab.viz.tables import wrapped

MOST_NAMED_ROWS, MOST_ROWS = 260, 200
STATUS_LOOKS = {
    MISSING: (style.GREY, "/"),
    UNREADABLE: (style.VERMILLION, "x"),
    EXCLUDED: (style.PURPLE, "\\"),
    NOT_LISTED: (style.SKY, "."),
    NOT_A_VIDEO: (style.ORANGE, "-"),
}
FIRST_SHOWN = 0.3  # threshold up to which the leakage curve is shown at first
STRONGEST = 0.005  # of all pairs have the full colour
# blue below zero, yellow to vermillion above; zero is clear, so that the page of either theme shows through
DIVERGING = (
    (0.0, "rgba(0, 114, 178, 1)"),
    (0.5, "rgba(0, 114, 178, 0)"),
    (0.5, "rgba(230, 159, 0, 0)"),
    (0.75, "rgba(230, 159, 0, 0.75)"),
    (1.0, "rgba(213, 94, 0, 1)"),
)


def class_overview(catalog: Catalog) -> go.Figure:
    """Clips per class as bars, coloured by family; unusable clips and files are stacked behind, by status."""
    table, labels = catalog.report(), style.labels_of(catalog) | {NO_CLASS: NO_CLASS}
    table = table.iloc[style.by_family(table["class"].tolist(), catalog)].reset_index(drop=True)
    names, family = table["class"].map(labels), table["class"].map(style.families_of(catalog)).fillna("")
    counts = catalog.clips["status"].value_counts()
    about = f"{catalog.name}, {len(catalog.clips):,} clips and files: "
    about += ", ".join(f"{count:,} {status}" for status, count in counts.items())
    height = 150 + (17 if len(names) <= MOST_NAMED_ROWS else 7) * len(names)
    figure = style.new_figure("Clips per class", about, "clips", "", height)
    for number, one in enumerate(sorted(set(family))):
        rows, (lap, place) = table[family == one], divmod(number, len(style.PALETTE))
        hover = [f"{style.plain(names[r.Index])}: {r.ok} clips, {r.seconds:.1f} s" for r in rows.itertuples()]
        stripes = {"shape": ("", "/", ".", "x")[lap % 4], "fgcolor": "white", "solidity": 0.25, "size": 7}
        marker = {"color": style.PALETTE[place], "pattern": stripes | {"fillmode": "overlay"}}
        style.bars(figure, rows["ok"], rows.index, one or "usable clips", hover, marker)
    for status, (colour, shape) in STATUS_LOOKS.items():
        counts = table[status.replace(" ", "_")]
        if counts.sum():
            hover, name = [f"{count} {status}" for count in counts], f"{status} ({counts.sum():,})"
            pattern = {"shape": shape, "fgcolor": colour, "bgcolor": style.CLEAR}
            style.bars(figure, counts, table.index, name, hover, {"color": colour, "pattern": pattern})
    # of very many classes the names are left to the pointer
    style.name_ticks(figure, "y", names.tolist(), showticklabels=len(names) <= MOST_NAMED_ROWS)
    figure.update_layout(barmode="stack", bargap=0.25, legend={"traceorder": "normal"})
    return figure


def removed_curve(audit: LeakageAudit, threshold: float | None = None) -> go.Figure:
    """Training classes removed against the distance threshold: by distance alone, and by distance or name.

    A chosen threshold is a vertical line with its count.

    Raises:
        ValueError: the audit has no embeddings, or the threshold is out of range.
    """
    title = "Training classes that overlap with test classes"
    about = f"{len(audit.train_names)} training classes against {len(audit.test_names)} test classes"
    figure = style.new_figure(title, about, "threshold (cosine distance of class texts)", "classes removed")
    looks = (
        ("distance, or the same name", SAME_NAME, style.BLUE, "solid"),
        ("distance alone", (), style.ORANGE, "dash"),
    )
    for name, rules, colour, dash in looks:
        curve = audit.curve(rules)
        points = {"x": curve["threshold"].tolist(), "y": curve["n_removed"].tolist()}
        # the step up comes just after a distance, which itself is not under it
        line = {"shape": "vh", "color": colour, "width": 2.5, "dash": dash}
        hover = "under %{x:.3f}: %{y} classes<extra></extra>"
        figure.add_scatter(**points, name=name, mode="lines", line=line, hovertemplate=hover)
    if threshold is not None:
        all_removed, by_distance = (len(audit.removed(threshold, rules)) for rules in (SAME_NAME, ()))
        words = f"threshold {threshold:g}: {all_removed} removed<br>({by_distance} by distance alone)"
        look = {"line": {"color": style.GREY, "width": 2, "dash": "dot"}, "annotation_align": "left"}
        figure.add_vline(threshold, annotation_text=words, annotation_font_color=style.GREY, **look)
    # opens on the low thresholds, where the choice lies; a double click shows the whole curve
    end = max(min(1.0, max(FIRST_SHOWN, 2 * (threshold or 0))), threshold or 0)
    figure.update_xaxes(range=[0, end])
    figure.update_yaxes(range=[0, 1.15 * max(1, len(audit.removed(end)))])
    figure.update_layout(legend=style.legend_below(-0.22), margin={"b": 110}, hovermode="closest")
    return figure


def relatedness_heatmap(
    embeddings: ClassEmbeddings, labels: Mapping[str, str], kind: str = CENTRED
) -> go.Figure:
    """Relatedness of each class text to each other; classes of one cluster stand side by side.

    One pair in 200 lies beyond the ends of the colours; a few near-duplicates would leave all others pale.
    `kind` is plain, centred or whitened, fitted on all classes.

    Raises:
        ValueError: fewer than two classes, or no such kind.
    """
    names = embeddings.names
    if len(names) < 2:
        raise ValueError(f"a heatmap needs two classes or more, got {len(names)}")
    related = relatedness_of(embeddings, names, kind)
    order = cluster_order(related)
    related, ordered = related[np.ix_(order, order)], [names[place] for place in order]
    end = float(np.quantile(np.abs(related[np.triu_indices(len(names), 1)]), 1 - STRONGEST))
    end = round(max(0.05, end), 3)
    about = f"{embeddings.class_text.prompt}, {len(names)} classes; {kind}; by cluster"
    figure = style.new_figure("Relatedness of class texts", about, "", "")
    scale: style.Look = {"zmin": -end, "zmax": end, "colorscale": DIVERGING}
    shown, hover = style.unlike(labels, ordered), "%{y} – %{x}: %{z:.2f}"
    style.class_cells(figure, shown, shown, np.round(related, 3), "r", hover, **scale)
    return figure


# tables


def left_out_table(catalog: Catalog, most: int = MOST_ROWS) -> Styler:
    """Clips and files that cannot be used, with reasons; of more than `most`, some of each status.

    All of them are in `catalog.excluded`.
    """
    rows = catalog.excluded[["path", "class", "status", "reason"]]
    each = max(1, most // max(1, rows["status"].nunique()))
    shown = rows if len(rows) <= most else rows.groupby("status").head(each)
    caption = f"{len(rows):,} clips and files, {len(shown):,} of them shown"
    wrap = {"text-align": "left", "white-space": "normal", "overflow-wrap": "anywhere"}
    styled = shown.style.hide(axis="index").format(escape="html").set_caption(caption)
    return styled.set_properties(**wrap)


def protocol_table(
    protocols: Mapping[str, Protocol], accounts: Mapping[str, pd.DataFrame] | None = None
) -> pd.DataFrame:
    """A column a split: how many classes and clips of each kind, clips left out by reason, and its hash.

    `accounts` are of `account` by split; None to leave out what is left out.
    """
    columns = {}
    for split, p in protocols.items():
        classes = {"seen": len(p.seen), "validation": len(p.validation), "unseen": len(p.unseen)}
        columns[split] = {f"{kind} classes": n for kind, n in classes.items()}
        columns[split] |= {f"{role} clips": len(ids) for role, ids in p.roles.items()}
        if accounts is not None:
            rows = accounts[split]
            reasons = rows.loc[rows["role"] == "left out", "reason"].str.split(":").str[0]
            columns[split] |= {f"left out: {why}": n for why, n in reasons.value_counts().items()}
    table = pd.DataFrame(columns).fillna(0).astype(int).astype(object)
    table.loc["hash"] = [p.hash for p in protocols.values()]
    return table


def held_out_classes(protocols: Mapping[str, Protocol], catalog: Catalog) -> pd.DataFrame:
    """A column a split: the labels of its unseen, then of its validation classes, by family."""
    labels, columns = style.labels_of(catalog), {}
    for split, protocol in protocols.items():
        columns[split] = {
            f"{kind} {number}": labels[names[place]]
            for kind, names in (("unseen", protocol.unseen), ("validation", protocol.validation))
            for number, place in enumerate(style.by_family(names, catalog), start=1)
        }
    return pd.DataFrame(columns).fillna("")


def share_with_relatives(protocols: Mapping[str, Protocol], catalog: Catalog) -> dict[str, float]:
    """The share of each split's unseen classes with a seen class of their family; {} without families."""
    if "family" not in catalog.classes:
        return {}
    of, shares = style.families_of(catalog), {}
    for split, protocol in protocols.items():
        seen = {of[name] for name in protocol.seen if name in of}
        shares[split] = sum(of[name] in seen for name in protocol.unseen) / max(1, len(protocol.unseen))
    return shares


def leakage_table(
    audit: LeakageAudit, threshold: float | None = None, rules: Iterable[str] = SAME_NAME
) -> pd.DataFrame:
    """The pairs of a training and a test class that overlap, those that remove the training class first.

    Returns:
        A row for each pair that a name rule finds, and for each training class under the threshold with its
        nearest test class: labels, rule, distance (not without embeddings), removed ("yes", "no").

    Raises:
        ValueError: as `LeakageAudit.removed`.
    """
    removed = set(audit.removed(threshold, tuple(rules)))
    near = audit.pairs["distance"] < (0.0 if threshold is None else threshold)
    pairs = audit.pairs[(audit.pairs["rule"] != "embedding") | near]
    columns = {"training class": pairs["train_label"], "test class": pairs["test_label"]}
    columns["rule"] = pairs["rule"]
    if audit.distances_SU is not None:
        columns["distance"] = pairs["distance"].round(3)
    columns["removed"] = ["yes" if name in removed else "no" for name in pairs["train"]]
    return pd.DataFrame(columns).sort_values("removed", ascending=False, kind="stable", ignore_index=True)


def flags_as_text(flags: pd.DataFrame, n_classes: int) -> str:
    """The flags of `flags_of` as sentences, headed by how many of the texts have one."""
    n_flagged = flags["name"].nunique()
    share = f"{n_flagged} of {n_classes} class texts flagged ({100 * n_flagged / n_classes:.1f} %)"
    sentences = [f"- {name}: {sentence}." for name, sentence in zip(flags["name"], flags["sentence"])]
    return wrapped([share + (":" if n_flagged else "."), *sentences])
