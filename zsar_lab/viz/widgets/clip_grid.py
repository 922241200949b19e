"""A clip grid in a widget: the clip that is clicked grows, and beside it is why it was predicted so."""

from __future__ import annotations

import anywidget
import traitlets


class ClickedGrid(anywidget.AnyWidget):
    """A clip grid of which one clip can be chosen, by a click or with the keyboard; it is shown large.

    Attributes:
        html: of `clip_grid`.
        chosen: place of the chosen clip in the grid, from 0; -1 for none.
        why: html beside the chosen clip.
    """

    _esm = """
    const shown = (figure) => figure.querySelector("video")?.getAttribute("src") ?? figure.textContent;

    function render({ model, el }) {
      const root = document.createElement("div");
      root.className = "zsar-grid";
      root.style.width = "100%";
      el.append(root);
      const figures = () => [...root.querySelectorAll(":scope > .zsar-clips > figure")];
      const large = () => figures().findIndex((figure) => figure.classList.contains("zsar-large"));
      const choose = () => { // after the grid's own script has enlarged a clip, or made it small again
        if (large() === model.get("chosen")) return;
        model.set("chosen", large());
        model.save_changes();
        forget();
      };
      const forget = () => figures().forEach((one) => one.querySelector(":scope > .zsar-why")?.remove());
      const explain = () => {
        forget();
        const figure = figures()[model.get("chosen")];
        if (!figure || !model.get("why")) return;
        const why = document.createElement("div");
        why.className = "zsar-why";
        why.innerHTML = model.get("why"); // all text in it is escaped
        figure.append(why);
      };
      const mark = () => {
        const wanted = model.get("chosen");
        const small = figures()[large()]?.querySelector(":scope > figcaption");
        if (wanted !== large()) (figures()[wanted] ?? small)?.click();
        explain();
      };
      const draw = () => {
        const page = document.createElement("template");
        page.innerHTML = model.get("html");
        const before = figures(), after = [...page.content.querySelectorAll(".zsar-clips > figure")];
        const same = before.length && before.length === after.length
          && after.every((figure, place) => shown(figure) === shown(before[place]));
        if (same) after.forEach((figure, place) => { // the videos play on
          const [old, anew] = [before[place], figure].map((one) => one.querySelector("video"));
          const [was, is] = [before[place], figure].map((one) => one.querySelector(":scope > figcaption"));
          was.replaceWith(is);
          before[place].firstElementChild.style.borderColor = figure.firstElementChild.style.borderColor;
          if (old) for (const of of ["title", "aria-label"]) old.setAttribute(of, anew.getAttribute(of));
        });
        else root.replaceChildren(page.content);
        mark();
      };
      root.addEventListener("click", choose);
      root.addEventListener("keydown", choose);
      const listeners = { "change:html": draw, "change:chosen": mark, "change:why": explain };
      for (const [event, act] of Object.entries(listeners)) model.on(event, act);
      draw();
      return () => { for (const [event, act] of Object.entries(listeners)) model.off(event, act); };
    }
    export default { render };
    """
    html = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)
    why = traitlets.Unicode().tag(sync=True)

    def draw(self, html: str, chosen: int, why: str = "") -> None:
        """Show another grid, its chosen clip and what is beside it, in one message."""
        with self.hold_sync():
            self.html, self.chosen, self.why = html, chosen, why
