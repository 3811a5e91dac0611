/* Where everything stands, and the two ways in: a widget in a notebook, a page of its own. */

function glyph(shape, colour) {
  const names = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(names, "svg");
  const path = document.createElementNS(names, "path");
  for (const [key, value] of Object.entries({ viewBox: "-10 -10 20 20", class: "lk-glyph", "aria-hidden": "true" })) svg.setAttribute(key, value);
  for (const [key, value] of Object.entries({ d: `M0 0${shape}`, fill: colour })) path.setAttribute(key, value);
  svg.append(path);
  return svg;
}

function legend(app) {
  const shares = ["50 %", "80 %", "95 %", "99 %"];
  const keys = [...app.about.colours.regions].reverse().map((colour, i) => make("span", { class: "lk-key" }, glyph("m-9 -9h18v18h-18z", colour), shares[i]));
  const cross = glyph("m-8 -5l3 -3l5 5l5 -5l3 3l-5 5l5 5l-3 3l-5 -5l-5 5l-3 -3l5 -5z", app.about.colours.point);
  return make("p", { class: "lk-legend" }, "Share of the probability: ", keys, make("span", { class: "lk-key" }, app.glyph(0), "a sample, by region"),
    make("span", { class: "lk-key" }, cross, "the mean: all that one vector can say"));
}

function layOut(app, parts, { title, status, summary }) {
  const { about, root } = app;
  root.classList.add("lk");
  root.setAttribute("data-lm-suppress-shortcuts", "true");
  root.setAttribute("tabindex", "-1");
  root.setAttribute("role", "group");
  root.setAttribute("aria-label", "Explorer of word densities");
  // what is typed here is not meant for the notebook around it
  root.addEventListener("keydown", (event) => event.stopPropagation());
  const bar = make("div", { class: "lk-bar" }, parts.search.element, parts.search.sort, parts.classroom.nav, parts.classroom.tools);
  const main = make("div", { class: "lk-main-grid" },
    make("div", { class: "lk-left" }, make("div", { class: "lk-picture-box" }, parts.stage.element, parts.curtain.element), legend(app), parts.curtain.verdict, summary),
    make("div", { class: "lk-right" }, parts.context.element, parts.reading.element));
  if (!about.live && about.presets.length <= 12) parts.search.element.hidden = parts.search.sort.hidden = true;
  const extras = about.live ? [parts.compare, parts.plane, parts.marks, parts.training, parts.save, keysPart()] : [parts.save];
  root.replaceChildren(bar, title, status, main, make("div", { class: "lk-more" }, extras.map((part) => part.element)));
}

/** The widget's way in. */
function render({ model, el }) {
  const backend = new KernelBackend(model);
  const root = make("div", {});
  el.append(root);
  const start = { word: model.get("word"), context: model.get("context"), first: model.get("context"), other: model.get("other") };
  const app = createExplorer(root, backend, model.get("about"), start);
  const [header, bytes] = [model.get("first"), model.get("first_bytes")];
  if (header?.panels && header.panels[0].word === start.word) app.receive(app.question(), header.detail, { header, bytes: bytesOf(bytes) });
  else app.request();
  const follow = () => {
    const named = Object.fromEntries(["word", "context", "other"].map((name) => [name, model.get(name)]));
    if (Object.entries(named).some(([name, value]) => value !== app.state[name])) app.set({ ...named, step: null });
  };
  const told = ["word", "context", "other"].map((name) => `change:${name}`);
  for (const name of told) model.on(name, follow);
  app.update();
  return () => {
    for (const name of told) model.off(name, follow);
    app.close();
  };
}

export default { render };
