"""A grid of playing clips to click on."""

from __future__ import annotations

import anywidget
import traitlets

_JS = """
const shown = (figure) => figure.querySelector("video")?.getAttribute("src") ?? figure.textContent;

function render({ model, el }) {
  const root = document.createElement("div");
  el.append(root);
  const figures = () => [...root.querySelectorAll("figure")];
  const choose = (event) => {
    const place = figures().indexOf(event.target.closest("figure"));
    if (place < 0 || (event.type === "keydown" && event.key !== "Enter")) return;
    model.set("chosen", place);
    model.save_changes();
  };
  const mark = () => figures().forEach((figure, place) => {
    const chosen = place === model.get("chosen");
    figure.style.outline = chosen ? "3px solid #0072B2" : "";
    figure.setAttribute("aria-pressed", chosen);
  });
  const split = () => {
    const page = document.createElement("template");
    page.innerHTML = model.get("html"); // all text in it is escaped
    const before = figures(), after = [...page.content.querySelectorAll("figure")];
    const same = before.length && before.length === after.length && after.every((figure, place) => shown(figure) === shown(before[place]));
    if (same) after.forEach((figure, place) => { // the videos play on
      before[place].querySelector("figcaption").replaceWith(figure.querySelector("figcaption"));
      before[place].firstElementChild.style.cssText = figure.firstElementChild.style.cssText;
      const [old, anew] = [before[place], figure].map((one) => one.querySelector("video"));
      if (old) for (const name of ["title", "aria-label"]) old.setAttribute(name, anew.getAttribute(name));
    });
    else root.replaceChildren(page.content);
    for (const figure of figures()) {
      figure.tabIndex = 0;
      figure.setAttribute("role", "button");
      figure.style.cursor = "pointer";
    }
    mark();
  };
  root.addEventListener("click", choose);
  root.addEventListener("keydown", choose);
  model.on("change:html", split);
  model.on("change:chosen", mark);
  draw();
  return () => { model.off("change:html", split); model.off("change:chosen", mark); };
}
export default { render };
"""


class ClickedGrid(anywidget.AnyWidget):
    """A clip grid of which one clip can be chosen, by a click or with Tab and Enter.

    Attributes:
        html: of `clip_grid`.
        chosen: place of the chosen clip in the grid, from 0; -1 for none.
    """

    _esm = _JS
    html = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Int(-1).tag(sync=True)
