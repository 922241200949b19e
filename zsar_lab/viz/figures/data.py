"""Figures of the data: what is there, what is not, and which clip plays which part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

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
from zsar_lab.files import make_folder, writing
from zsar_lab.viz.figures.style import (
    BLUE,
    CLEAR,
    GREEN,
    GREY,
    ORANGE,
    PALETTE,
    PATTERNS,
    PURPLE,
    SKY,
    VERMILLION,
    by_family,
    families_of,
    labels_of,
    name_ticks,
    new_figure,
    new_panels,
    plain,
)

MOST_NAMED_ROWS = 260
STATUS_LOOKS = {
    MISSING: (GREY, "/"),
    UNREADABLE: (VERMILLION, "x"),
    EXCLUDED: (PURPLE, "\\"),
    NOT_LISTED: (SKY, "."),
    NOT_A_VIDEO: (ORANGE, "-"),
}
DARK_TEXT = ("seen test", "test")
ROLE_LOOKS = {
    "train": (BLUE, ""),
    "seen test": (SKY, ""),
    "validation": (GREEN, ""),
    "test": (ORANGE, ""),
    "left out": (GREY, "x"),
}


def class_overview(catalog: Catalog) -> go.Figure:
    """Clips per class as bars, coloured by family; clips and files that cannot be used are stacked behind, by status.

    Args:
        catalog: of any dataset; without families all classes have one colour.
    """
    table, labels = catalog.report(), labels_of(catalog) | {NO_CLASS: NO_CLASS}
    names, family_of = table["class"].tolist(), families_of(catalog)
    families = {name: family_of.get(name, "") for name in names}
    order = by_family(names, catalog)
    row_px = 17 if len(names) <= MOST_NAMED_ROWS else 7
    stripes = {"fillmode": "overlay", "fgcolor": "white", "fgopacity": 0.7, "solidity": 0.25, "size": 7}
    figure = new_figure("Clips per class", catalog.name, "clips", "", height=150 + row_px * len(names))
    for number, family in enumerate(sorted(set(families.values()))):
        rows = [(place, i) for place, i in enumerate(order) if families[names[i]] == family]
        figure.add_bar(
            x=[int(table["ok"][i]) for _, i in rows],
            y=[place for place, _ in rows],
            orientation="h",
            name=plain(family or "usable clips"),
            customdata=[[plain(labels[names[i]]), float(table["seconds"][i])] for _, i in rows],
            hovertemplate="%{customdata[0]}: %{x} clips, %{customdata[1]:.1f} s<extra></extra>",
            marker={
                "color": PALETTE[number % len(PALETTE)],
                "pattern": {"shape": PATTERNS[number // len(PALETTE) % len(PATTERNS)]} | stripes,
            },
        )
    for status, (colour, shape) in STATUS_LOOKS.items():
        counts = [int(table[status.replace(" ", "_")][i]) for i in order]
        if sum(counts):
            figure.add_bar(
                x=counts,
                y=list(range(len(order))),
                orientation="h",
                name=f"{status} ({sum(counts):,})",
                marker={"color": colour, "pattern": {"shape": shape, "fgcolor": colour, "bgcolor": CLEAR}},
                hovertemplate=f"%{{x}} {status}<extra></extra>",
            )
    # of very many classes the names are left to the pointer
    name_ticks(
        figure,
        "y",
        [labels[names[i]] for i in order],
        autorange="reversed",
        showgrid=False,
        showticklabels=len(names) <= MOST_NAMED_ROWS,
    )
    figure.update_layout(barmode="stack", bargap=0.25, legend={"traceorder": "normal"})
    return figure


def status_overview(catalog: Catalog) -> go.Figure:
    """How many clips and files have each status, and of how many classes."""
    counts = catalog.clips["status"].value_counts()
    shown = [status for status in STATUSES if counts.get(status, 0)]
    classes = catalog.clips.groupby("status")["class"].nunique()
    about = f"{catalog.name}, {len(catalog.clips):,} clips and files of {len(catalog.classes)} classes"
    figure = new_figure(
        "What is there and what is not", about, "clips and files", "", height=170 + 34 * len(shown)
    )
    for place, status in enumerate(shown):
        colour, shape = STATUS_LOOKS.get(status, (BLUE, ""))
        number = int(counts[status])
        figure.add_bar(
            x=[number],
            y=[place],
            orientation="h",
            name=status,
            text=[f" {number:,} in {classes[status]} classes"],
            textposition="outside",
            marker={"color": colour, "pattern": {"shape": shape, "fgcolor": colour, "bgcolor": CLEAR}},
            cliponaxis=False,
            hovertemplate=f"{status}: %{{x:,}}<extra></extra>",
        )
    name_ticks(figure, "y", shown, autorange="reversed", showgrid=False)
    figure.update_xaxes(range=[0, 1.35 * max([1, *counts])])
    figure.update_layout(showlegend=False, bargap=0.3)
    return figure


def protocol_roles(accounts: dict[str, pd.DataFrame], about: str = "") -> go.Figure:
    """How many clips play which part in each protocol, a bar a protocol; every clip of the catalogs stands in one part.

    Args:
        accounts: of `account`, by the protocol's name.
        about: the line below the title, for example the data's name.
    """
    figure = new_figure(
        "Which clip plays which part", about, "clips and files", "", height=190 + 36 * len(accounts)
    )
    names = list(accounts)
    for role, (colour, shape) in ROLE_LOOKS.items():
        counts = [int((accounts[name]["role"] == role).sum()) for name in names]
        pattern = {
            "shape": shape,
            "fillmode": "overlay",
            "fgcolor": "white",
            "fgopacity": 0.7,
            "solidity": 0.25,
            "size": 7,
        }
        figure.add_bar(
            x=counts,
            y=list(range(len(names))),
            orientation="h",
            name=role,
            text=[f"{count:,}" if count else "" for count in counts],
            textposition="inside",
            insidetextanchor="middle",
            insidetextfont={"color": "black" if role in DARK_TEXT else "white"},
            marker={"color": colour, "pattern": pattern},
            hovertemplate=f"%{{x:,}} {role}<extra></extra>",
        )
    name_ticks(figure, "y", names, autorange="reversed", showgrid=False)
    figure.update_layout(barmode="stack", bargap=0.3, margin={"b": 110})
    figure.update_layout(
        legend={
            "orientation": "h",
            "y": -70 / (100 + 36 * len(names)),
            "x": 0,
            "yanchor": "top",
            "traceorder": "normal",
        }
    )
    return figure


def write_page(figures: Sequence[go.Figure], path: Path) -> None:
    """Write figures, one below the other, as a page that any browser opens; plotly.min.js is put beside it, once a folder."""
    path = make_folder(Path(path).parent) / Path(path).name
    if not (path.parent / "plotly.min.js").is_file():
        with writing(path.parent / "plotly.min.js") as temporary:
            temporary.write_text(get_plotlyjs(), encoding="utf-8")
    first, *others = figures
    parts = [first.to_html(include_plotlyjs="plotly.min.js", full_html=False)]
    parts += [figure.to_html(include_plotlyjs=False, full_html=False) for figure in others]
    with writing(path) as temporary:
        temporary.write_text(
            "\n".join(
                [
                    "<!DOCTYPE html>",
                    '<html><head><meta charset="utf-8"></head><body>',
                    *parts,
                    "</body></html>",
                ]
            ),
            encoding="utf-8",
        )


def clip_lengths(catalog: Catalog) -> go.Figure:
    """How long the usable clips are (s) and their frame rates (1/s), as two histograms."""
    clips = catalog.usable
    panels = (("clip length (s)", "clips"), ("frame rate (frames/s)", "clips"))
    figure = new_panels(
        "Length and frame rate of the clips", f"{catalog.name}, {len(clips)} usable clips", panels
    )
    figure.add_histogram(
        x=(clips["end_s"] - clips["start_s"]).tolist(), nbinsx=30, marker_color=BLUE, row=1, col=1
    )
    rates = clips["fps"].round(2).value_counts().sort_index()
    figure.add_bar(
        x=rates.index.map("{:g}".format).tolist(),
        y=rates.tolist(),
        marker_color=ORANGE,
        text=rates.tolist(),
        row=1,
        col=2,
    )
    figure.update_xaxes(type="category", col=2)
    figure.update_layout(showlegend=False, bargap=0.1)
    return figure
