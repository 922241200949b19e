// What a panel needs of the browser, see Guard.
const STYLE = `.zsar-panel .widget-html-content{min-width:0}.zsar-panel p{margin:0 0 4px 0}
  .zsar-gone{display:none;padding:4px 8px;border:1px solid #D55E00;color:var(--jp-content-font-color1,inherit)}
  .jupyter-widgets-disconnected .zsar-gone{display:block}
  .zsar-panel :is([class$=tick],.infolayer,.textpoint) text,.zsar-panel .bartext-outside{fill:var(--jp-content-font-color1,#808080)!important}`;
const ABLE = "button,input,select,textarea,summary,a[href],[tabindex]";
const usable = (one) => one.isConnected && !one.disabled && one.getClientRects().length;

function render({ model, el }) {
  const gone = document.createElement("div"), style = document.createElement("style"), stop = new AbortController();
  let asked = 0, last = null, box = null, place = 0, seen = null;
  style.textContent = STYLE;
  gone.className = "zsar-gone";
  gone.setAttribute("role", "alert");
  gone.textContent = model.get("gone");
  el.append(style, gone);
  const say = () => {
    const kernel = model.widget_manager?.kernel;
    gone.textContent = model.get(kernel?.status === "busy" ? "busy" : "gone");
    gone.style.display = "block";
  };
  const heard = () => { clearTimeout(asked); asked = 0; gone.style.display = ""; };
  const ask = (event) => {
    if (asked || (event.type === "keydown" && !/^(Enter| |Arrow)/.test(event.key))) return;
    asked = setTimeout(() => { say(); asked = 0; }, model.get("patience_ms"));
    try { model.send({}); } catch { say(); }
  };
  model.on("msg:custom", heard);

  function keepFocus(panel) {
    const able = (part) => [...part.querySelectorAll(ABLE)];
    panel.addEventListener("focusin", ({ target }) => {
      target.setAttribute("data-lm-suppress-shortcuts", "true"); // JupyterLab asks the focused element first
      [last, box] = [target, target.closest(".zsar-grid,.widget-html") ?? panel];
      place = able(box).indexOf(target);
    }, { signal: stop.signal });
    document.addEventListener("pointerdown", ({ target }) => { if (!panel.contains(target)) last = null; }, { signal: stop.signal });
    seen = new MutationObserver(() => {
      const at = document.activeElement; // a control that was just disabled, or what is around all panels
      if (!last || usable(last) || !(at === last || !at || at.contains(panel))) return;
      const all = able(box.isConnected ? box : panel), near = (one) => Math.abs(all.indexOf(one) - place);
      all.filter(usable).sort((a, b) => near(a) - near(b))[0]?.focus({ preventScroll: true });
    });
    seen.observe(panel, { childList: true, subtree: true, attributes: true, attributeFilter: ["disabled"] });
  }
  const attach = () => {
    const panel = el.closest(".zsar-panel");
    if (!panel) return stop.signal.aborted || setTimeout(attach, 50);
    for (const kind of ["pointerup", "change", "keydown"]) panel.addEventListener(kind, ask, { signal: stop.signal });
    keepFocus(panel);
  };
  attach();
  return () => { stop.abort(); seen?.disconnect(); model.off("msg:custom", heard); };
}
export default { render };
