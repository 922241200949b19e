"""Plotly's figures as widgets as wide as their box, and curves that are redrawn while a training runs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import plotly
import plotly.graph_objects as go
import traitlets
from IPython.display import display

from zsar_lab.viz.figures.style import mime_bundle
from zsar_lab.viz.figures.training import loss_curves, split_curves

CODE = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"


class FigureInBox(go.FigureWidget):
    """A FigureWidget that does not bring 5 MB of plotly's code of its own.

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
          return (await opened).render(given);
        },
      };
    };
    """
    _code = traitlets.Unicode().tag(sync=True)
    _code_version = traitlets.Unicode(plotly.__version__).tag(sync=True)

    @traitlets.default("_code")
    def _name_of_code(self) -> str:
        return _code().model_id


class FigureFitter(anywidget.AnyWidget):
    """Nothing to see: keeps the figures as wide as the box in which it stands beside them.

    A figure is drawn 700 pixels wide before it is put on the page, and learns of another width only by a
    resize of the window; so one is announced whenever a figure is not as wide as its place.
    """

    _esm = """
    function render({ el }) {
      const seen = new Set();
      const unfit = (figure) => {
        const drawn = figure.querySelector(".main-svg");
        return drawn && figure.clientWidth > 0 && Math.abs(drawn.clientWidth - figure.clientWidth) > 1;
      };
      const fit = () => { if ([...seen].some(unfit)) window.dispatchEvent(new Event("resize")); };
      const sizes = new ResizeObserver(fit);
      const look = () => {
        for (const figure of el.parentElement?.querySelectorAll(".js-plotly-plot") ?? []) {
          if (!seen.has(figure)) sizes.observe(figure);
          seen.add(figure);
        }
        fit();
      };
      const attached = new ResizeObserver(look);
      attached.observe(el);  // it, too, is put on the page after it was drawn
      document.addEventListener("plotlywidget-after-render", look);
      return () => {
        sizes.disconnect();
        attached.disconnect();
        document.removeEventListener("plotlywidget-after-render", look);
      };
    }
    export default { render };
    """


def as_widget(figure: go.Figure, on_click: Callable[[Any, Any], None] | None = None) -> go.FigureWidget:
    """The figure as a widget, as wide as its box where a `FigureFitter` is in the box too.

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

    def update(self, history: Sequence[dict[str, Any]] | dict[str, Sequence[dict[str, Any]]]) -> None:
        """Draw the history of one split or of several; made for `on_epoch` of a workspace's trainings."""
        draw: Any = split_curves if isinstance(history, dict) else loss_curves
        figure = draw(history, self._about, self._chance)
        bundle = mime_bundle(figure)
        if self._shown is None:
            self._shown = display(bundle, raw=True, display_id=True)
            return
        # plotly's JupyterLab extension ignores a second figure in the same place: something else is there
        # in between
        space = {"text/html": f"<div style='height: {figure.layout.height}px'></div>"}
        self._shown.update(space, raw=True)
        self._shown.update(bundle, raw=True)
