"""Plotly's figures as widgets that stand in a box of widgets: as wide as the box, and with plotly's code once on the page."""

from __future__ import annotations

import functools
from pathlib import Path

import anywidget
import ipywidgets
import plotly
import plotly.graph_objects as go
import traitlets

CODE = Path(plotly.__file__).parent / "package_data" / "widgetbundle.js"


class FigureInBox(go.FigureWidget):
    """A FigureWidget that does not bring 5 MB of plotly's code of its own.

    Each FigureWidget does, and the browser takes about a second to read it; a few of them at once keep it
    busy for more than the two seconds that anywidget waits for a model, and a model that it gave up hears
    nothing of Python any more. So the code is read once a page, when the first figure is to be seen and all
    models are made; what Python said to a figure until then is kept for it.
    """

    _esm = """
    const SAYINGS = ["addTraces", "restyle", "relayout", "update", "animate", "deleteTraces", "moveTraces", "removeLayoutProps", "removeTraceProps"];

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

    A figure is drawn before it is put on the page, 700 pixels wide, and learns of another width only by a
    resize of the window; so one is announced whenever a figure is not as wide as its place. It needs no
    kernel.
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


def as_widget(figure: go.Figure) -> go.FigureWidget:
    """The figure as a widget that can stand in a box of widgets; it is as wide as the box where a `FigureFitter` stands there too."""
    widget = FigureInBox(figure)
    widget.layout.autosize = True
    # a FigureWidget has no other way to plotly's config; without "responsive" it keeps its width when the
    # window gets another one
    widget._config = widget._config | {"responsive": True, "displaylogo": False}
    return widget


@functools.cache
def _code() -> ipywidgets.Text:
    """Plotly's code for widgets, as the value of a widget that is never shown."""
    return ipywidgets.Text(CODE.read_text(encoding="utf-8"))
