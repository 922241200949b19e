"""Plotly's figures as widgets as wide as their box, and curves that are redrawn while a training runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ipywidgets
import plotly
import plotly.graph_objects as go
import traitlets
from IPython.display import display

from zsar_lab.viz.clips import TEXT
from zsar_lab.viz.figures.picture import bundle, image
from zsar_lab.viz.figures.training import History, training_curves

TITLE_PX = 64
CODE = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"


class FigureInBox(go.FigureWidget):
    """A FigureWidget as wide as its box, that does not bring 5 MB of plotly's code of its own.

    The browser takes about a second to read that code; a few figures at once keep it busy for more than the
    two seconds that anywidget waits for a model. So the code is read once a page, when the first figure is to
    be seen; what Python sent to a figure until then is repeated to it.
    """

    _esm = """
    const SAYINGS = ["addTraces", "restyle", "relayout", "update", "animate", "deleteTraces", "moveTraces",
      "removeLayoutProps", "removeTraceProps"];

    async function plotly(model) {
      const find = async (left) => {
        try { return await model.widget_manager.get_model(model.get("_code")); }
        catch (error) {  // of a saved notebook, models are made in any order
          if (!left) throw error;
          await new Promise((resolve) => setTimeout(resolve, 100));
          return find(left - 1);
        }
      };
      const code = (await find(50)).get("value");
      return import(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
    }

    export default () => {
      let model, opened, said = [];
      const listeners = SAYINGS.map((saying) => {
        const name = `_py2js_${saying}`;
        return [`change:${name}`, () => { if (model.get(name)) said.push([name, model.get(name)]); }];
      });
      async function open() {
        const name = `zsar_lab: plotly ${model.get("_code_version")}`;
        globalThis[name] ??= plotly(model);
        globalThis[name].catch(() => delete globalThis[name]);
        const figure = (await globalThis[name]).default();
        for (const [event, heard] of listeners) model.off(event, heard);
        await figure.initialize({ model });
        for (const [saying, value] of said) {
          model.set(saying, value);
          model.set(saying, null);
        }
        return figure;
      }
      return {
        initialize(given) {
          model = given.model;
          for (const [event, heard] of listeners) model.on(event, heard);
        },
        async render(given) {
          opened ??= open();
          // drawn 700 pixels wide before it is on the page, it learns of its width by a window's resize
          const fit = () => {
            const { el } = given, drawn = el.querySelector(".main-svg");
            if (drawn && el.clientWidth && Math.abs(drawn.clientWidth - el.clientWidth) > 1)
              window.dispatchEvent(new Event("resize"));
          };
          const sizes = new ResizeObserver(fit);
          sizes.observe(given.el);
          document.addEventListener("plotlywidget-after-render", fit);
          const done = await (await opened).render(given);
          return () => {
            sizes.disconnect();
            document.removeEventListener("plotlywidget-after-render", fit);
            done?.();
          };
        },
      };
    };
    """
    _code = traitlets.Unicode().tag(sync=True)

    def picture(self) -> str:
        """A picture of it, see `zsar_lab.viz.widgets.static`."""
        return image(self)

    _code_version = traitlets.Unicode(plotly.__version__).tag(sync=True)

    @traitlets.default("_code")
    def _name_of_code(self) -> str:
        return _code().model_id


def as_widget(figure: go.Figure, on_click: Callable[[Any, Any], None] | None = None) -> go.FigureWidget:
    """The figure as a widget, as wide as its box.

    Args:
        figure: of plotly.
        on_click: called with x and y of a point of the first trace that is clicked.
    """
    widget = FigureInBox(figure)
    widget.layout.autosize = True
    # a FigureWidget has no other way to plotly's config; without "responsive" it keeps its width
    widget._config = widget._config | {"responsive": True, "displaylogo": False}
    if on_click is not None:
        widget.data[0].on_click(
            lambda _, points, __: on_click(points.xs[0], points.ys[0]) if points.xs else None
        )
    return widget


def heading(figure: go.Figure) -> str:
    """Take a figure's title and its room away, and return it as html that wraps and has the page's colour."""
    title, about = figure.layout.title.text.split("<br>", 1)
    height, top = (value - TITLE_PX for value in (figure.layout.height, figure.layout.margin.t))
    figure.update_layout(title_text="", margin_t=top, height=height)
    return f"<div style='padding:6px 0 0 8px;line-height:1.4;{TEXT}'><b>{title}</b><br>{about}</div>"


@functools.cache
def _code() -> ipywidgets.Text:
    """Plotly's code for widgets, as the value of a widget that is never shown."""
    return ipywidgets.Text(CODE.read_text(encoding="utf-8"))


class LiveCurves:
    """Curves that are redrawn below the cell while a training runs, and stay there as an ordinary figure.

    Args:
        about: the line below the title.
        chance: top-1 of a guess, as `chance_levels` gives it; of several splits only where all have the same.
    """

    def __init__(self, about: str = "", chance: Mapping[str, float] | None = None) -> None:
        self._about, self._chance = about, chance
        self._shown: Any = None

    def update(self, histories: History | Mapping[str, History]) -> None:
        """Draw the history of one split, or of several by name; made for `on_epoch` of a workspace."""
        histories = histories if isinstance(histories, Mapping) else {"training": histories}
        figure = training_curves(histories, self._about, self._chance)
        if self._shown is None:
            self._shown = display(bundle(figure), raw=True, display_id=True)
            return
        # plotly's JupyterLab extension ignores a second figure in the same place: something else is there
        # in between
        space = {"text/html": f"<div style='height: {figure.layout.height}px'></div>"}
        self._shown.update(space, raw=True)
        self._shown.update(bundle(figure), raw=True)
