/* What can be unfolded below the picture: comparing, planes, marks, taking along. */

function section(title, ...children) {
  return make("details", { class: "lk-section" }, make("summary", {}, title), make("div", { class: "lk-inside" }, children));
}

function comparePart(app) {
  const other = make("input", { type: "text", autocomplete: "off", spellcheck: "false", list: unique("others") });
  const names = make("datalist", { id: other.getAttribute("list") });
  const found = make("p", { class: "lk-note", role: "status" });
  const want = () => app.set({ other: other.value.trim() });
  other.addEventListener("change", want);
  other.addEventListener("keydown", (event) => { if (event.key === "Enter") want(); });
  other.addEventListener("input", after(120, async () => {
    const { header } = await app.backend.ask("search", { text: other.value.trim(), model: app.state.model }).catch(() => ({ header: { words: [] } }));
    names.replaceChildren(...header.words.slice(0, 12).map(({ word }) => make("option", { value: word })));
  }));
  const beside = app.about.models.map((model, i) => [model, i]).filter(([model]) => model.beside);
  const boxes = beside.map(([model, i]) => {
    const box = make("input", { type: "checkbox", onchange: () => app.set({ others: beside.map(([, n]) => n).filter((n, j) => boxes[j].checked) }) });
    box.model = i;
    return box;
  });
  const between = make("input", { type: "text", autocomplete: "off", spellcheck: "false", class: "lk-sentence" });
  const slider = make("input", { type: "range", min: "0", max: "1", step: "0.05", value: "0" });
  between.addEventListener("input", after(DEBOUNCE, () => app.set({ between: between.value })));
  slider.addEventListener("input", () => app.set({ share: Number(slider.value), between: between.value }));

  function update(header) {
    if (document.activeElement !== other) other.value = app.state.other;
    if (document.activeElement !== between) between.value = app.state.between;
    slider.value = String(app.state.share);
    boxes.forEach((box) => { box.checked = app.state.others.includes(box.model); });
    const [value, error] = header?.overlap ?? [];
    found.textContent = header?.unknown ? header.unknown : value === undefined ? "" : `Overlap of “${app.state.word}” and “${app.state.other}”: ${value.toFixed(3)} ± ${error.toFixed(3)} (standard error; 1 if they are the same, 0 if they share nothing).`;
  }

  const element = section("Compare",
    make("div", { class: "lk-row" }, labelled("A second word in the same plane", other), names, button("Without it", () => app.set({ other: "" })), found),
    boxes.length ? make("div", { class: "lk-row" }, make("span", {}, "The same word in other models, same limits where they share the plane:"),
      boxes.map((box, i) => labelled(beside[i][0].name.replace(/Embedding$/, ""), box))) : null,
    make("div", { class: "lk-row" }, labelled("From the sentence above to another one", between, { class: "lk-field lk-wide" }), labelled("how far", slider)));
  return { element, update };
}

function planePart(app) {
  const kinds = [["coordinates", "two coordinates"], ["pca", "principal axes (PCA)"], ["lda", "discriminants (LDA)"], ["umap", "neighbour map (UMAP)"]];
  const kind = choice(kinds, () => app.set({ plane: kind.value }));
  const [x, y] = ["x", "y"].map((name) => make("input", { type: "number", min: "1", onchange: (event) => app.set({ [name]: Math.max(1, Number(event.target.value)) - 1 }) }));
  const remark = make("p", { class: "lk-note", role: "status" });
  const fit = make("input", { type: "checkbox", onchange: () => app.set({ fit: fit.checked }) });
  const variants = app.about.models.map((model, i) => [model, i]).filter(([model]) => !model.beside);
  const slider = make("input", { type: "range", min: "0", max: String(variants.length - 1), step: "1" });
  const shown = make("span", {});
  slider.addEventListener("input", () => app.set({ model: variants[Number(slider.value)][1], mode: -1 }));
  const axes = [labelled("across", x), labelled("up", y)];

  function update(header) {
    const { model, plane } = app.state;
    const k = header?.panels[0].k ?? app.about.models[model].k;
    kind.value = plane;
    Object.assign(x, { max: String(k), value: String(app.state.x + 1) });
    Object.assign(y, { max: String(k), value: String(app.state.y + 1) });
    axes.forEach((field) => { field.hidden = plane !== "coordinates" || k < 3; });
    fit.checked = app.state.fit;
    slider.value = String(variants.findIndex(([, i]) => i === model));
    shown.textContent = `k = ${k}`;
    remark.textContent = header?.remark ?? "";
  }

  const element = section("Dimensions and plane",
    variants.length > 1 ? make("div", { class: "lk-row" }, labelled("Stochastic coordinates k", slider), shown) : null,
    make("div", { class: "lk-row" }, labelled("Seen along", kind), axes, labelled("limits of this word alone", fit)), remark);
  return { element, update };
}

function marksPart(app) {
  const amounts = [0, 200, 500, 2000, 10000, 50000];
  const slider = make("input", { type: "range", min: "0", max: String(amounts.length - 1), step: "1" });
  const shown = make("span", {});
  slider.addEventListener("input", () => app.set({ samples: amounts[Number(slider.value)] }));
  const update = () => {
    slider.value = String(Math.max(0, amounts.indexOf(app.state.samples)));
    shown.textContent = app.state.samples.toLocaleString("en");
  };
  return { element: section("Marks", make("div", { class: "lk-row" }, labelled("Samples shown", slider), shown)), update };
}

function keysPart() {
  const keys = [["Tab", "to the next control"], ["↓ and Enter in “Word”", "choose a word"], ["Enter on a word or a region", "take it; open its sentences"],
    ["← and → on the picture", "from mark to mark, each with its sentence; Esc ends it"], ["← and → on a slider", "change it"]];
  const rows = keys.map(([key, does]) => make("li", {}, make("b", {}, key), `: ${does}`));
  return { element: section("Keys", make("ul", { class: "lk-keys" }, rows), make("p", { class: "lk-note" }, "No key that is pressed here reaches the notebook.")) };
}

function savePart(app) {
  const row = make("div", { class: "lk-row" }, button("PNG", () => savePng(app)), button("SVG", () => saveSvg(app)), button("Samples as CSV", () => saveCsv(app)));
  return { element: section("Take it along", row), update: () => {} };
}
