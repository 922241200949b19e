// Points on a canvas: a lasso and clicks set which clips are selected, which Python reads.
// Text from the data reaches the page only as textContent or fillText, never as markup.

const REACH_PX = 9; // how far from a point a click may be
const EDGE_PX = 26;
const TEXT = "color:var(--jp-content-font-color1,#808080);font-family:var(--jp-content-font-family,sans-serif);font-size:13px";

const corner = (r, n, turn) => Array.from({ length: n }, (_, i) => [r * Math.sin((2 * Math.PI * i) / n + turn), -r * Math.cos((2 * Math.PI * i) / n + turn)]);
const plus = (r, w) => [[-w, -r], [w, -r], [w, -w], [r, -w], [r, w], [w, w], [w, r], [-w, r], [-w, w], [-r, w], [-r, -w], [-w, -w]];
const OUTLINES = {
  square: (r) => corner(1.25 * r, 4, Math.PI / 4),
  "square-open": (r) => corner(1.25 * r, 4, Math.PI / 4),
  diamond: (r) => corner(1.3 * r, 4, 0),
  "triangle-up": (r) => corner(1.3 * r, 3, 0),
  star: (r) => corner(1, 10, 0).map(([x, y], i) => [x * r * (i % 2 ? 0.5 : 1.2), y * r * (i % 2 ? 0.5 : 1.2)]),
  cross: (r) => plus(1.15 * r, 0.42 * r),
  x: (r) => plus(1.25 * r, 0.4 * r).map(([x, y]) => [(x - y) * Math.SQRT1_2, (x + y) * Math.SQRT1_2]),
};

const LEGEND_SIGNS = { circle: "●", square: "■", "square-open": "□", diamond: "◆", "triangle-up": "▲", star: "★", cross: "✚", x: "✖" };

function drawSign(pen, look, x, y) {
  const r = look.size / 2;
  pen.beginPath();
  if (OUTLINES[look.symbol]) OUTLINES[look.symbol](r).forEach(([dx, dy], i) => (i ? pen.lineTo(x + dx, y + dy) : pen.moveTo(x + dx, y + dy)));
  else pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.closePath();
  if (look.symbol.endsWith("-open")) pen.stroke();
  else pen.fill();
}

function inside(x, y, polygon) {
  let odd = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [xi, yi] = polygon[i];
    const [xj, yj] = polygon[j];
    if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
  }
  return odd;
}

function element(kind, parent, style = "", text = "") {
  const made = document.createElement(kind);
  made.style.cssText = style;
  made.textContent = text;
  parent.append(made);
  return made;
}

const numbers = (view, Kind) => new Kind(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

function render({ model, el }) {
  const stop = new AbortController();
  const listen = (target, name, action, more = {}) => target.addEventListener(name, action, { signal: stop.signal, ...more });
  const root = element("div", el, `position:relative;${TEXT}`);
  root.className = "zsar-space-canvas";
  const bar = element("div", root, "display:flex;gap:6px;align-items:center;flex-wrap:wrap;margin-bottom:4px");
  const stage = element("div", root, "position:relative;height:560px;border:1px solid rgba(128,128,128,.4);overflow:hidden");
  const ground = element("canvas", stage, "position:absolute;inset:0;width:100%;height:100%");
  const top = element("canvas", stage, "position:absolute;inset:0;width:100%;height:100%;cursor:crosshair;touch-action:none");
  top.tabIndex = 0;
  top.setAttribute("role", "application");
  top.setAttribute("aria-label", "map of the shared space: arrow keys point at clips and prototypes, Enter selects");
  const tip = element("div", stage, `position:absolute;display:none;pointer-events:none;z-index:2;max-width:260px;padding:5px 7px;border:1px solid #808080;white-space:pre-line;overflow-wrap:anywhere;background:var(--jp-layout-color1,#fff);${TEXT};line-height:1.3`);
  tip.setAttribute("role", "status");
  const legend = element("div", root, "display:flex;flex-wrap:wrap;gap:2px 6px;margin-top:4px");

  let xy, looks, lookOf, marks, lines, texts, hidden = new Set(), chosen = new Set();
  let view = { scale: 1, x: 0, y: 0 };
  let all = null; // what `every` found
  let drag = null, pointed = null, width = 1, height = 1, fit = { kx: 1, ky: 1, x: 0, y: 0 };

  const toScreen = (x, y) => [(fit.x + x * fit.kx) * view.scale + view.x, (fit.y - y * fit.ky) * view.scale + view.y];

  function read() {
    xy = numbers(model.get("xy"), Float32Array);
    lookOf = numbers(model.get("look_of"), Uint16Array);
    lines = numbers(model.get("lines"), Float32Array);
    [looks, marks, texts] = ["looks", "marks", "texts"].map((name) => model.get(name));
    chosen = new Set(numbers(model.get("selected"), Uint32Array));
  }

  function measure() {
    const ratio = window.devicePixelRatio || 1;
    [width, height] = [stage.clientWidth, stage.clientHeight];
    for (const canvas of [ground, top]) {
      [canvas.width, canvas.height] = [Math.max(1, width * ratio), Math.max(1, height * ratio)];
      canvas.getContext("2d").setTransform(ratio, 0, 0, ratio, 0, 0);
    }
    let [x0, x1, y0, y1] = [Infinity, -Infinity, Infinity, -Infinity];
    const count = (x, y) => ([x0, x1, y0, y1] = [Math.min(x0, x), Math.max(x1, x), Math.min(y0, y), Math.max(y1, y)]);
    for (let i = 0; i < xy.length; i += 2) count(xy[i], xy[i + 1]);
    for (const mark of marks) count(mark.x, mark.y);
    // each axis fills its side, for a layout has no unit
    const kx = (width - 2 * EDGE_PX) / Math.max(x1 - x0, 1e-9);
    const ky = (height - 2 * EDGE_PX) / Math.max(y1 - y0, 1e-9);
    fit = { kx, ky, x: width / 2 - (kx * (x0 + x1)) / 2, y: height / 2 + (ky * (y0 + y1)) / 2 };
  }

  function drawGround() {
    const pen = ground.getContext("2d");
    pen.clearRect(0, 0, width, height);
    looks.forEach((look, number) => {
      if (hidden.has(look.name) || look.marks) return;
      [pen.fillStyle, pen.strokeStyle, pen.globalAlpha] = [look.colour, look.colour, look.opacity];
      for (let i = 0; i < lookOf.length; i++) if (lookOf[i] === number) drawSign(pen, look, ...toScreen(xy[2 * i], xy[2 * i + 1]));
    });
    pen.globalAlpha = 1;
    pen.setLineDash([2, 3]);
    pen.strokeStyle = "#0072B2";
    pen.beginPath();
    if (!looks.some((look) => look.ends && hidden.has(look.name)))
      for (let i = 0; i < lines.length; i += 4) {
        pen.moveTo(...toScreen(lines[i], lines[i + 1]));
        pen.lineTo(...toScreen(lines[i + 2], lines[i + 3]));
      }
    pen.stroke();
    pen.setLineDash([]);
    pen.font = "11px sans-serif";
    pen.textAlign = "center";
    const signs = [];
    for (const mark of marks) {
      const look = looks[mark.look];
      if (hidden.has(look.name)) continue;
      const [x, y] = toScreen(mark.x, mark.y);
      [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = [look.colour, look.colour, 1.5];
      drawSign(pen, look, x, y);
      signs.push({ mark, x, y });
    }
    writeNames(pen, signs);
  }

  // names last, above their signs or else below; one that would cover another is left to pointing
  function writeNames(pen, signs) {
    const style = getComputedStyle(root), written = [];
    [pen.fillStyle, pen.strokeStyle, pen.lineWidth] = [style.color, style.getPropertyValue("--jp-layout-color0") || "transparent", 3];
    for (const { mark, x, y } of signs.filter((sign) => sign.mark.written)) {
      const half = pen.measureText(mark.name).width / 2 + 1, cx = Math.max(half, Math.min(x, width - half));
      const cy = [y - 15, y + 15].find((cy) => Math.min(cy, height - cy) > 7
        && written.every((other) => Math.abs(cx - other.cx) > half + other.half || Math.abs(cy - other.cy) > 14));
      if (cy === undefined) continue;
      pen.strokeText(mark.name, cx, cy + 4);
      pen.fillText(mark.name, cx, cy + 4);
      written.push({ cx, cy, half });
    }
  }

  function drawTop() {
    const pen = top.getContext("2d");
    pen.clearRect(0, 0, width, height);
    [pen.strokeStyle, pen.lineWidth] = ["#CC79A7", 2];
    for (const i of chosen) {
      if (hidden.has(looks[lookOf[i]].name)) continue;
      pen.beginPath();
      pen.arc(...toScreen(xy[2 * i], xy[2 * i + 1]), 5.5, 0, 2 * Math.PI);
      pen.stroke();
    }
    if (drag?.lasso && drag.path.length > 1) {
      pen.beginPath();
      drag.path.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.closePath();
      pen.setLineDash([4, 3]);
      pen.stroke();
      pen.setLineDash([]);
      pen.fillStyle = "rgba(204,121,167,.15)";
      pen.fill();
    }
    if (pointed) {
      pen.strokeStyle = "#808080";
      pen.beginPath();
      pen.arc(...toScreen(pointed.x, pointed.y), 8, 0, 2 * Math.PI);
      pen.stroke();
    }
  }

  const draw = () => { drawGround(); drawTop(); };

  function every() { // what is shown, prototypes last
    if (all) return all;
    const found = (all = []), seen = (look) => !hidden.has(looks[look].name);
    for (let i = 0; i < lookOf.length; i++) if (seen(lookOf[i])) found.push({ clip: i, x: xy[2 * i], y: xy[2 * i + 1] });
    for (const mark of marks) if (seen(mark.look)) found.push({ mark, x: mark.x, y: mark.y });
    return found;
  }

  function nearest(x, y) {
    let best = null, reach = REACH_PX ** 2;
    for (const one of every()) {
      const [sx, sy] = toScreen(one.x, one.y), away = (sx - x) ** 2 + (sy - y) ** 2;
      if (away <= reach) [best, reach] = [one, away];
    }
    return best;
  }

  function select(rows) {
    model.set("selected", new DataView(new Uint32Array(rows).buffer));
    model.save_changes();
  }

  function onLasso(path) {
    const rows = [];
    for (let i = 0; i < lookOf.length; i++) if (!hidden.has(looks[lookOf[i]].name) && inside(...toScreen(xy[2 * i], xy[2 * i + 1]), path)) rows.push(i);
    select(rows);
  }

  function onClick(found) {
    if (found?.mark) select(found.mark.clips);
    else select(found ? [found.clip] : []);
  }

  // the nearest sign that way, one aside being twice as far; the first one is that in the middle
  function step(dx, dy) {
    const [x, y] = pointed ? toScreen(pointed.x, pointed.y) : [width / 2, height / 2];
    const cost = (sx, sy) => {
      const ahead = (sx - x) * dx + (sy - y) * dy, aside = Math.abs((sx - x) * dy) + Math.abs((sy - y) * dx);
      if (sx < 0 || sy < 0 || sx > width || sy > height) return Infinity;
      return pointed ? (ahead > 0.5 ? ahead + 2 * aside : Infinity) : Math.hypot(sx - x, sy - y);
    };
    const best = every().reduce((best, one) => {
      const far = cost(...toScreen(one.x, one.y));
      return far < best.far ? { one, far } : best;
    }, { far: Infinity }).one;
    if (best) point(...toScreen(best.x, best.y), best);
  }

  function point(x, y, found = nearest(x, y)) {
    if (!found) tip.style.display = "none";
    else tip.textContent = found.mark ? `${found.mark.name}\n${looks[found.mark.look].name}` : texts[found.clip];
    pointed = found;
    if (found) {
      tip.style.display = "block";
      tip.style.left = `${Math.max(0, Math.min(x + 14, width - tip.offsetWidth - 4))}px`;
      tip.style.top = `${y + 14 + tip.offsetHeight > height ? Math.max(0, y - tip.offsetHeight - 10) : y + 14}px`;
    }
    drawTop();
  }

  function zoom(factor, x = width / 2, y = height / 2) {
    const scale = Math.min(60, Math.max(0.8, view.scale * factor));
    view = { scale, x: x - ((x - view.x) * scale) / view.scale, y: y - ((y - view.y) * scale) / view.scale };
    draw();
  }

  const place = (event) => { const box = top.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  listen(top, "pointerdown", (event) => {
    if (event.button) return;
    top.setPointerCapture(event.pointerId);
    drag = { from: place(event), path: [place(event)], lasso: !event.shiftKey, view: { ...view }, far: false };
    tip.style.display = "none";
  });
  listen(top, "pointermove", (event) => {
    const [x, y] = place(event);
    if (!drag) return point(x, y);
    drag.far ||= Math.hypot(x - drag.from[0], y - drag.from[1]) > 4;
    if (drag.lasso) drag.path.push([x, y]);
    else view = { ...view, x: drag.view.x + x - drag.from[0], y: drag.view.y + y - drag.from[1] };
    drag.lasso ? drawTop() : draw();
  });
  listen(top, "pointerup", (event) => {
    if (!drag) return;
    const done = drag;
    drag = null;
    if (!done.far) onClick(nearest(...place(event)));
    else if (done.lasso) onLasso(done.path);
    drawTop();
  });
  listen(top, "pointercancel", () => { drag = null; drawTop(); });
  listen(top, "blur", () => point(NaN, NaN, null));
  listen(top, "pointerleave", () => { pointed = null; tip.style.display = "none"; drawTop(); });
  listen(top, "wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // else the page could not be scrolled past the map
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 300), ...place(event));
  }, { passive: false });
  listen(top, "keydown", (event) => {
    const known = { Escape: () => select([]), "+": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: home };
    Object.assign(known, { ArrowRight: () => step(1, 0), ArrowLeft: () => step(-1, 0), ArrowDown: () => step(0, 1), ArrowUp: () => step(0, -1) });
    if (pointed) known.Enter = () => onClick(pointed);
    if (!known[event.key]) return;
    event.preventDefault();
    event.stopPropagation();
    known[event.key]();
  });

  function home() { view = { scale: 1, x: 0, y: 0 }; draw(); }
  function button(text, title, action, parent = bar) {
    const made = element("button", parent, `${TEXT};padding:2px 8px;cursor:pointer;background:transparent;border:1px solid rgba(128,128,128,.6);border-radius:2px`, text);
    made.title = title;
    listen(made, "click", action);
    return made;
  }
  button("+", "nearer (Ctrl and wheel)", () => zoom(1.4));
  button("−", "further away", () => zoom(1 / 1.4));
  button("whole map", "as it was", home);
  button("none", "select nothing (Escape)", () => select([]));
  element("span", bar, "margin-left:6px;opacity:.8", "drag around clips, shift and drag to move the map, or arrow keys and Enter; UMAP 1 across, UMAP 2 upwards: distances far apart mean little");

  function drawLegend() {
    legend.replaceChildren();
    const counts = looks.map((look, number) => (look.marks ? marks.filter((mark) => mark.look === number).length : lookOf.reduce((n, of) => n + (of === number), 0)));
    looks.forEach((look, number) => {
      if (!counts[number]) return;
      const made = button("", "hide or show", () => {
        hidden.has(look.name) ? hidden.delete(look.name) : hidden.add(look.name);
        all = pointed = null;
        drawLegend();
        draw();
      }, legend);
      made.style.cssText += `;border:0;padding:1px 4px;opacity:${hidden.has(look.name) ? 0.75 : 1}`;
      made.setAttribute("aria-pressed", !hidden.has(look.name));
      element("span", made, `color:${look.colour};margin-right:3px`, LEGEND_SIGNS[look.symbol]).setAttribute("aria-hidden", "true");
      element("span", made, hidden.has(look.name) ? "text-decoration:line-through" : "", `${look.name} (${counts[number]})`);
    });
  }

  function refresh() {
    all = pointed = null;
    read();
    measure();
    drawLegend();
    draw();
  }
  const onSelected = () => { chosen = new Set(numbers(model.get("selected"), Uint32Array)); drawTop(); };
  model.on("change:version", refresh);
  model.on("change:selected", onSelected);
  const sizes = new ResizeObserver(() => { measure(); draw(); });
  const themes = new MutationObserver(draw);
  read();
  sizes.observe(stage);
  themes.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-name"] });
  refresh();
  return () => {
    stop.abort();
    sizes.disconnect();
    themes.disconnect();
    model.off("change:version", refresh);
    model.off("change:selected", onSelected);
  };
}

export default { render };
