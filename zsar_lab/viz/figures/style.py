"""What all figures share: colours for both themes, escaped text, and the charts most of them are made of."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from zsar_lab.data.catalog import Catalog
from zsar_lab.text.prompts import label
from zsar_lab.viz.figures.picture import Figure

# Okabe and Ito's colour-blind-safe palette; grey stands in for black, which a dark theme would hide
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#808080"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW)
SYMBOLS = ("circle", "square", "diamond", "cross", "x", "triangle-up")
COUNT_SCALE = "Cividis"
GRID = "rgba(128, 128, 128, 0.25)"
CLEAR = "rgba(0, 0, 0, 0)"
LONGEST_TICK = 28
MOST_TICKS = 60  # of more classes the names cannot be read; hovering shows them
ACCURACY = "top-1 accuracy (%)"
Look = dict[str, Any]  # settings of plotly
# buttons that cover titles and are of no use here; the first one would send the figure away
NO_BUTTONS = ("sendChartToCloud", "select", "lasso", "zoomin", "zoomout", "autoscale")


# text


def plain(text: object) -> str:
    """Escape what plotly would read as a tag, an entity, a template or a formula."""
    return html.escape(str(text), quote=False).replace("%{", "%&#123;").replace("$", "&#36;")


def tick(text: object) -> str:
    """As `plain`, cut to a length that fits beside an axis."""
    text = str(text)
    return plain(text if len(text) <= LONGEST_TICK else text[: LONGEST_TICK - 1] + "…")


def labels_of(catalog: Catalog) -> dict[str, str]:
    """The readable label of each class, by its name."""
    return dict(zip(catalog.classes["name"], label(catalog.classes)))


def unlike(labels: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """The labels of these classes; where several share one, the class name follows it."""
    shown = [labels[name] for name in names]
    return [f"{text} [{name}]" if shown.count(text) > 1 else text for text, name in zip(shown, names)]


def families_of(catalog: Catalog) -> dict[str, str]:
    """The family of each class, by its name; "" for all of them when classes.csv has no families."""
    families = catalog.classes["family"] if "family" in catalog.classes else [""] * len(catalog.classes)
    return dict(zip(catalog.classes["name"], families))


def by_family(names: Sequence[str], catalog: Catalog) -> list[int]:
    """Positions of these class names, sorted by family, then name."""
    families = families_of(catalog)
    return sorted(range(len(names)), key=lambda i: (families.get(names[i], ""), names[i]))


def percent(values: Iterable[float]) -> list[float]:
    """Fractions as percentages."""
    return [100 * float(value) for value in values]


# empty figures


def new_figure(title: str, about: str, x_title: str, y_title: str, height: int = 420) -> go.Figure:
    """An empty figure: transparent, mid-grey text, labelled axes; its width follows the page.

    `about` is a smaller line below the title, for example the data's name; axis titles name their units.
    """
    return new_panels(title, about, [(x_title, y_title)], height)


def new_panels(
    title: str,
    about: str,
    panels: Sequence[tuple[str, str]],
    height: int = 380,
    per_row: int = 3,
    gap: float = 0.3,
) -> go.Figure:
    """As `new_figure`, with `panels` (their x and y labels) in rows, `gap` of the height apart."""
    n_columns = min(per_row, len(panels))
    n_rows = -(-len(panels) // n_columns)
    figure = make_subplots(n_rows, n_columns, figure=Figure(), horizontal_spacing=0.12, vertical_spacing=gap)
    font = {"color": GREY, "size": 13}
    heading: Look = {"font": {"size": 17, "color": GREY}, "pad": {"t": 22}}
    heading |= {"text": f"{plain(title)}<br><span style='font-size:13px'>{plain(about)}</span>"}
    heading |= {"x": 0.01, "xanchor": "left", "y": 1, "yanchor": "top", "yref": "container"}
    buttons = {"remove": list(NO_BUTTONS), "bgcolor": CLEAR, "color": "rgba(128, 128, 128, 0.8)"}
    figure.update_layout(
        height=height,
        template="none",
        paper_bgcolor=CLEAR,
        plot_bgcolor=CLEAR,
        font=font,
        title=heading,
        legend={"bgcolor": CLEAR, "font": font},
        margin={"l": 70, "r": 20, "t": 84, "b": 60},
        modebar=buttons | {"activecolor": BLUE},
    )
    axis: Look = {"color": GREY, "gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GREY}
    axis |= {"automargin": True, "title_standoff": 10}
    for number, (x_title, y_title) in enumerate(panels):
        row, column = panel(number, per_row)
        figure.update_xaxes(title_text=plain(x_title), row=row, col=column, **axis)
        figure.update_yaxes(title_text=plain(y_title), row=row, col=column, **axis)
    return figure


def panel(number: int, per_row: int = 3) -> tuple[int, int]:
    """Row and column, from 1, of the panel of that number, from 0."""
    return number // per_row + 1, number % per_row + 1


# parts of figures


def name_ticks(figure: go.Figure, axis: str, names: Sequence[str], **more: Any) -> None:
    """Write names at 0, 1, 2, ... of an axis ("x", "y" downwards, "x2"), so that equal names stay apart."""
    settings = {"tickmode": "array", "ticktext": [tick(name) for name in names], "showgrid": False}
    settings |= {"tickvals": list(range(len(names))), "zeroline": False}
    if axis.startswith("x"):
        settings |= {"tickangle": -35}
    elif "range" not in more:
        settings |= {"autorange": "reversed"}
    figure.update_layout({f"{axis[0]}axis{axis[1:]}": settings | more})


def legend_below(y: float) -> dict[str, object]:
    """A legend in a row below the figure."""
    return {"orientation": "h", "x": 0, "y": y, "yanchor": "top"}


def colour_bar(title: str) -> dict[str, Any]:
    """The scale beside a heatmap."""
    text = {"text": title, "side": "right", "font": {"color": GREY}}
    return {"title": text, "tickfont": {"color": GREY}, "outlinewidth": 0, "thickness": 14}


def class_cells(
    figure: go.Figure,
    rows: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    bar: str,
    hover: str,
    **look: Any,
) -> None:
    """Add a heatmap of classes, rows downwards; labels of an axis differ, `hover` is a template of plotly."""
    x, y = ([plain(label) for label in labels] for labels in (columns, rows))
    ticked = max(len(x), len(y)) <= MOST_TICKS
    cells: Look = {"x": x, "y": y, "z": values.tolist(), "colorbar": colour_bar(bar)}
    cells |= {"xgap": int(ticked), "ygap": int(ticked), "hovertemplate": f"{hover}<extra></extra>"}
    figure.add_heatmap(**cells | look)
    for update, keys, labels in ((figure.update_xaxes, x, columns), (figure.update_yaxes, y, rows)):
        axis: Look = {"type": "category", "tickmode": "array", "tickvals": keys, "showticklabels": ticked}
        axis |= {"ticktext": [tick(label) for label in labels], "showgrid": False, "zeroline": False}
        update(tickfont_size=12 if len(keys) <= 40 else 9, **axis)
    height = min(250 + (28 if len(y) <= 30 else 16) * len(y), 1100)
    figure.update_layout(height=height, xaxis_tickangle=-50, yaxis_autorange="reversed")


# charts


def bars(
    figure: go.Figure,
    values: Iterable[float],
    places: Iterable[object],
    name: str,
    hover: Sequence[str],
    marker: Mapping[str, Any],
    lying: bool = True,
    **more: Any,
) -> None:
    """Add bars, lying or upright, at these places; `hover` has an escaped text for each."""
    x, y = (values, places) if lying else (places, values)
    look: Look = {
        "orientation": "h" if lying else "v",
        "name": plain(name),
        "marker": marker,
        "cliponaxis": False,
    }
    look |= {"hovertemplate": "%{customdata}<extra></extra>", "customdata": list(hover)}
    figure.add_bar(x=list(x), y=list(y), **look | more)


def curve(
    figure: go.Figure,
    x: Iterable[float],
    y: Iterable[float],
    name: str,
    hover: str,
    line: Mapping[str, Any],
    **more: Any,
) -> None:
    """Add a line of fractions, shown in percent; `hover` is a template of plotly."""
    look = {
        "mode": "lines",
        "name": plain(name),
        "line": line,
        "hovertemplate": f"{hover}<extra>{plain(name)}</extra>",
    }
    figure.add_scatter(x=percent(x), y=percent(y), **look | more)


def in_percent(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """A column of fractions with its _low and _high as value, low, high in percent, for `interval_rows`."""
    names = {f"{column}{end}": name for end, name in (("", "value"), ("_low", "low"), ("_high", "high"))}
    return (100 * table[list(names)].astype(float)).rename(columns=names)


def interval_rows(
    title: str,
    about: str,
    x_title: str,
    rows: pd.DataFrame,
    looks: Mapping[Any, tuple[str, str, str, float]],
    line: float = 0.0,
    number: str = "+.1f",
    unit: str = " points",
) -> go.Figure:
    """Points with intervals in rows, named at the left, with a dotted vertical line at `line`.

    Args:
        title: of the figure.
        about: the line below the title.
        x_title: with the unit.
        rows: value, low and high as shown, hover (escaped), name and look (a key of `looks`); where wanted
            group (a heading above its rows; none for ""), note (escaped, below the name), open (bool: not
            filled) and chance (a mark). Rows of one name and group share a line.
        looks: legend, colour, symbol and shift from the line's middle, in rows.
        line: where the vertical line is.
        number: how values are written.
        unit: after them.
    """
    groups = rows["group"].tolist() if "group" in rows else [""] * len(rows)
    notes = rows["note"].tolist() if "note" in rows else [""] * len(rows)
    ticks: list[str] = []
    place_of: dict[tuple[str, str], int] = {}
    for before, group, name, note in zip(["", *groups], groups, rows["name"], notes):
        if group and group != before:
            ticks.append(f"<b>{plain(group)}</b>")
        if (group, name) not in place_of:
            place_of[group, name] = len(ticks)
            ticks.append(tick(name) + (f"<br><i>{note}</i>" if note else ""))
    height = 230 + 26 * len(ticks) if any(groups) else 210 + 46 * max(1, len(ticks))
    figure = new_figure(title, about, x_title, "", height)
    places = np.array([place_of[key] for key in zip(groups, rows["name"])], float)
    for key, (legend, colour, symbol, shift) in looks.items():
        of_look = (rows["look"] == key).to_numpy(bool)
        if not of_look.any():
            continue
        shown = rows[of_look]
        open_look = shown["open"] if "open" in rows else [False] * len(shown)
        signs = [symbol + "-open" * bool(one) for one in open_look]
        error: Look = {"type": "data", "symmetric": False, "thickness": 2, "width": 5}
        error |= {"array": (shown["high"] - shown["value"]).tolist()}
        error |= {"arrayminus": (shown["value"] - shown["low"]).tolist()}
        ends = f"[%{{customdata[0]:{number}}}, %{{customdata[1]:{number}}}]"
        figure.add_scatter(
            x=shown["value"].tolist(),
            y=(places[of_look] + shift).tolist(),
            error_x=error,
            mode="markers",
            name=plain(legend),
            customdata=shown[["low", "high", "hover"]].to_numpy().tolist(),
            hovertemplate=f"%{{x:{number}}}{unit} {ends}<br>%{{customdata[2]}}<extra></extra>",
            marker={"color": colour, "size": 10, "symbol": signs, "line": {"width": 2}},
        )
    figure.add_vline(x=line, line={"color": GREY, "dash": "dot", "width": 2}, layer="below")
    if "chance" in rows:
        marker = {"symbol": "line-ns-open", "size": 12, "color": GREY, "line": {"width": 2}}
        look = {"name": "chance", "mode": "markers", "hovertemplate": "chance %{x:.1f} %"}
        figure.add_scatter(x=rows["chance"].tolist(), y=places.tolist(), marker=marker, **look)
    name_ticks(figure, "y", ticks, ticktext=ticks, tickfont_size=12, range=[len(ticks) - 0.4, -0.7])
    below = legend_below(-66 / max(60, height - 214))  # pixels over those between the margins
    figure.update_layout(xaxis_zeroline=False, showlegend=True, legend=below, margin={"t": 104, "b": 110})
    return figure


# figures in widgets


def move(figure: go.Figure, traces: Sequence[Mapping[str, Any]]) -> None:
    """Set what moves of each trace, in one message to the browser where the figure is a widget."""
    with figure.batch_update():
        for trace, moved in zip(figure.data, traces, strict=True):
            trace.update(moved)


def redraw(widget: go.FigureWidget, figure: go.Figure) -> None:
    """Make a widget of `widgets_figures.as_widget` show another figure of the same kind (as many traces)."""
    if len(widget.data) != len(figure.data):
        raise ValueError(f"the figure must have {len(widget.data)} traces as before, got {len(figure.data)}")
    with widget.batch_update():
        for shown, new in zip(widget.data, figure.data):
            shown.update(new.to_plotly_json(), overwrite=False)
        widget.layout.update(figure.layout.to_plotly_json(), overwrite=False)
