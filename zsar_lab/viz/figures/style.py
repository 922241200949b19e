"""What all figures share: colours, an empty figure that reads in light and dark themes, and text that is never taken for markup."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from zsar_lab.data.catalog import Catalog
from zsar_lab.text.prompts import label

# Okabe and Ito's colour-blind-safe palette; grey stands in for black, which a dark theme would hide
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#808080"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW)
PATTERNS = ("", "/", ".", "x")
COUNT_SCALE = "Cividis"
GRID = "rgba(128, 128, 128, 0.25)"
CLEAR = "rgba(0, 0, 0, 0)"
LONGEST_TICK = 28
# buttons that cover titles and are of no use here; the first one would send the figure away
NO_BUTTONS = ("sendChartToCloud", "select", "lasso", "zoomin", "zoomout", "autoscale")


def plain(text: object) -> str:
    """Text as plotly shows it letter by letter: what plotly would read as a tag, an entity or a template is escaped."""
    return html.escape(str(text), quote=False).replace("%{", "%&#123;").replace("$", "&#36;")


def tick(text: object) -> str:
    """As `plain`, cut to a length that fits beside an axis."""
    text = str(text)
    return plain(text if len(text) <= LONGEST_TICK else text[: LONGEST_TICK - 1] + "…")


def labels_of(catalog: Catalog) -> dict[str, str]:
    """The readable label of each class, by its name."""
    return dict(zip(catalog.classes["name"], label(catalog.classes)))


def families_of(catalog: Catalog) -> dict[str, str]:
    """The family of each class, by its name; "" for all of them when classes.csv has no families."""
    families = catalog.classes["family"] if "family" in catalog.classes else [""] * len(catalog.classes)
    return dict(zip(catalog.classes["name"], families))


def by_family(names: Sequence[str], catalog: Catalog) -> list[int]:
    """Positions of these class names in the order of their families (as classes.csv is sorted by name: family, then name)."""
    families = families_of(catalog)
    return sorted(range(len(names)), key=lambda i: (families.get(names[i], ""), names[i]))


def new_figure(title: str, about: str, x_title: str, y_title: str, height: int = 420) -> go.Figure:
    """An empty figure: transparent, mid-grey text, labelled axes.

    Args:
        title: what the figure is.
        about: a smaller line below it, for example the data's name.
        x_title, y_title: axis labels with their units.
        height: in pixels; the width follows the page.
    """
    figure = go.Figure()
    _style(figure, title, about, height)
    figure.update_xaxes(title_text=plain(x_title))
    figure.update_yaxes(title_text=plain(y_title))
    return figure


def new_panels(
    title: str,
    about: str,
    panels: Sequence[tuple[str, str]],
    height: int = 380,
    per_row: int = 3,
    gap: float = 0.3,
) -> go.Figure:
    """As `new_figure`, with panels in rows of `per_row`, `gap` of the height apart; `panels` holds the x and y axis label of each."""
    n_columns = min(per_row, len(panels))
    figure = make_subplots(
        rows=-(-len(panels) // n_columns), cols=n_columns, horizontal_spacing=0.12, vertical_spacing=gap
    )
    _style(figure, title, about, height)
    for number, (x_title, y_title) in enumerate(panels):
        row, column = panel(number, per_row)
        figure.update_xaxes(title_text=plain(x_title), row=row, col=column)
        figure.update_yaxes(title_text=plain(y_title), row=row, col=column)
    return figure


def panel(number: int, per_row: int = 3) -> tuple[int, int]:
    """Row and column, from 1, of the panel of that number, from 0."""
    return number // per_row + 1, number % per_row + 1


def _style(figure: go.Figure, title: str, about: str, height: int) -> None:
    font = {"color": GREY, "size": 13}
    text = f"{plain(title)}<br><span style='font-size:13px'>{plain(about)}</span>"
    title_text = {
        "text": text,
        "x": 0.01,
        "xanchor": "left",
        "y": 1,
        "yanchor": "top",
        "yref": "container",
        "pad": {"t": 22},
    }
    title_text |= {"font": {"size": 17, "color": GREY}}
    figure.update_layout(
        height=height,
        template="none",
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font=font,
        title=title_text,
        legend={"bgcolor": CLEAR, "font": font},
        margin={"l": 70, "r": 20, "t": 84, "b": 60},
        modebar={
            "remove": list(NO_BUTTONS),
            "bgcolor": CLEAR,
            "color": "rgba(128, 128, 128, 0.8)",
            "activecolor": BLUE,
        },
    )
    axis = {
        "color": GREY,
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": GREY,
        "automargin": True,
        "title_standoff": 10,
    }
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)


def name_ticks(figure: go.Figure, axis: str, names: Sequence[str], **more: Any) -> None:
    """Put names at 0, 1, 2, ... of an axis ("x" or "y"); numbers below them keep equal names apart."""
    settings = {
        "tickmode": "array",
        "tickvals": list(range(len(names))),
        "ticktext": [tick(name) for name in names],
        "zeroline": False,
    }
    settings |= {"tickangle": -35} if axis == "x" else {}
    settings |= more
    figure.update_layout({f"{axis}axis": settings})


def mime_bundle(figure: go.Figure) -> dict[str, Any]:
    """The figure as JupyterLab's display data, for displays that are updated in place."""
    return {"application/vnd.plotly.v1+json": json.loads(figure.to_json()), "text/plain": "a figure"}


def redraw(widget: go.FigureWidget, figure: go.Figure) -> None:
    """Make a widget of `widgets_figures.as_widget` show another figure of the same kind (as many traces)."""
    if len(widget.data) != len(figure.data):
        raise ValueError(
            f"a redrawn figure must have as many traces as before ({len(widget.data)}), got {len(figure.data)}; make a new widget"
        )
    with widget.batch_update():
        for shown, new in zip(widget.data, figure.data):
            shown.update(new.to_plotly_json(), overwrite=False)
        widget.layout.update(figure.layout.to_plotly_json(), overwrite=False)


def percent(values: Sequence[float] | pd.Series) -> list[float]:
    """Fractions as percentages."""
    return [100 * float(value) for value in values]
