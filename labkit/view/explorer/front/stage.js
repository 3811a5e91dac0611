/* The canvases: one for each panel, sharp on every screen, redrawn only when something has changed. */

const SMALL = 260; // px: a narrower panel has labels without words
const MIDDLE = 420; // px: a narrower panel has fewer and smaller marks
const NEAR = 14; // px within which the pointer finds a mark or a mode

function stagePart(app) {
  const row = make("div", { class: "lk-panels" });
  const tip = make("div", { class: "lk-tip", role: "tooltip", hidden: true });
  const element = make("div", { class: "lk-stage" }, row, tip);
  let [panels, sheets, chosen] = [[], [], -1];

  const watcher = new ResizeObserver(() => app.frame(paint));
  watcher.observe(row);

  function show(shown) {
    panels = shown;
    chosen = -1;
    tip.hidden = true;
    while (sheets.length < panels.length) sheets.push(sheet(sheets.length));
    while (sheets.length > panels.length) sheets.pop().figure.remove();
    row.style.setProperty("--panels", panels.length);
    app.root.classList.toggle("lk-several", panels.length > 1 && app.about.live);
    paint();
  }

  function sheet(number) {
    const canvas = make("canvas", { role: "img", tabindex: number === 0 ? "0" : null });
    const caption = make("figcaption", {});
    const figure = make("figure", { class: "lk-panel" }, canvas, caption);
    row.append(figure);
    if (number === 0) {
      canvas.addEventListener("pointermove", (event) => hover(event));
      canvas.addEventListener("pointerleave", () => point(-1));
      canvas.addEventListener("click", (event) => click(event));
      canvas.addEventListener("keydown", (event) => keys(event));
    }
    return { figure, canvas, caption, box: null };
  }

  function fontOf() {
    const size = parseFloat(getComputedStyle(element).getPropertyValue("--lk-picture"));
    return Number.isFinite(size) ? size : 13;
  }

  function boxIn(width, height, font) {
    const [left, bottom] = [font * 2.6, font * 1.9];
    return { x: left, y: 4, width: width - left - 6, height: height - bottom - 4, font };
  }

  function paint() {
    const font = fontOf();
    panels.forEach((panel, number) => {
      const { canvas, caption } = sheets[number];
      const width = canvas.clientWidth;
      const height = Math.round(width * 0.75);
      if (!width) return;
      const ratio = window.devicePixelRatio || 1;
      if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
        canvas.width = Math.round(width * ratio);
        canvas.height = Math.round(height * ratio);
      }
      const context = canvas.getContext("2d");
      context.setTransform(ratio, 0, 0, ratio, 0, 0);
      context.clearRect(0, 0, width, height);
      sheets[number].box = boxIn(width, height, width < SMALL ? Math.max(12, font * 0.85) : font);
      drawPanel(new CanvasPen(context), panel, sheets[number].box, look(number));
      canvas.setAttribute("aria-label", panel.said ?? captionOf(panel));
      canvas.dataset.labels = JSON.stringify((panel.spots ?? []).map((spot) => [spot.x, spot.y, spot.width, spot.height].map(tenth)));
      caption.textContent = panels.length > 1 || panel.other ? captionOf(panel) : "";
    });
    if (chosen >= 0) ring();
  }

  function look(number) {
    const { width } = sheets[number].box;
    return { colours: app.about.colours, mode: number === 0 ? app.state.mode : -1, words: width >= SMALL,
      most: width < SMALL ? 150 : width < MIDDLE && number > 0 ? 250 : Infinity, small: width < MIDDLE };
  }

  function captionOf(panel) {
    const name = panel.model ? panel.model.replace(/Embedding$/, "") : "";
    const other = panel.other ? `; “${panel.other.word}” in red outline` : "";
    const kind = panel.kind === "point" ? (panel.k > 2 ? `one vector of ${panel.k} numbers, along the axes of its own model` : "one vector")
      : panel.modes ? counted(panel.modes.length, "region") : "";
    if (panel !== panels[0] && panel.word === panels[0].word) return `${name}${panel.k !== panels[0].k && panel.kind !== "point" ? `, k = ${panel.k}` : ""}: ${kind}`;
    return `${panel.word}${name ? `, ${name}` : ""}: ${kind}${other}`;
  }

  function ring() {
    const places = markPlaces(panels[0], sheets[0].box);
    const pen = new CanvasPen(sheets[0].canvas.getContext("2d"));
    const d = `M${places[2 * chosen]} ${places[2 * chosen + 1]}${shapeOf(0, 9)}`;
    pen.path(d, { stroke: PAPER, width: 5 });
    pen.path(d, { stroke: INK, width: 2.5 });
  }

  /** Show a mark and its sentence; −1 for none. */
  function point(i) {
    if (i === chosen && i < 0) return;
    chosen = i;
    const panel = panels[0];
    const text = app.sentenceOf(panel, i);
    tip.hidden = !text;
    paint();
    if (!text) return;
    const places = markPlaces(panel, sheets[0].box);
    tip.replaceChildren(...sentenceNodes(text, panel.word));
    const [x, y] = [places[2 * i], places[2 * i + 1]];
    const wide = sheets[0].canvas.clientWidth;
    tip.style.left = `${Math.max(0, Math.min(x + 14, wide - tip.offsetWidth - 4))}px`;
    tip.style.top = `${y > tip.offsetHeight + 24 ? y - tip.offsetHeight - 14 : y + 16}px`;
  }

  function nearest(x, y) {
    const places = panels[0]?.samples ? markPlaces(panels[0], sheets[0].box) : [];
    let [best, least] = [-1, NEAR * NEAR];
    const most = Math.min(places.length / 2, panels[0]?.sentence?.length ?? 0);
    for (let i = 0; i < most; i += 1) {
      const away = (places[2 * i] - x) ** 2 + (places[2 * i + 1] - y) ** 2;
      if (away < least) [best, least] = [i, away];
    }
    return best;
  }

  function modeAt(x, y) {
    const inside = ({ x: left, y: top, width, height, anchor }) => (x > left && x < left + width && y > top && y < top + height)
      || Math.hypot(anchor[0] - x, anchor[1] - y) < NEAR;
    return panels[0]?.spots?.find(inside)?.mode ?? -1;
  }

  function hover(event) {
    const mode = modeAt(event.offsetX, event.offsetY);
    sheets[0].canvas.style.cursor = mode >= 0 ? "pointer" : "default";
    app.point(mode >= 0 ? -1 : nearest(event.offsetX, event.offsetY), true);
  }

  function click(event) {
    const mode = modeAt(event.offsetX, event.offsetY);
    if (mode >= 0) app.set({ mode: app.state.mode === mode ? -1 : mode });
  }

  function keys(event) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const count = panels[0]?.sentence?.length ?? 0;
    if (step && count) {
      event.preventDefault();
      app.point((chosen + step + count) % count);
    } else if (event.key === "Escape") app.point(-1);
  }

  return { element, show, paint, point, panels: () => panels, boxIn, fontOf, close: () => watcher.disconnect() };
}
