/* What stands beside the picture: the modes with their words and sentences, and the sentence of a mark. */

function readingPart(app) {
  const cards = make("div", { class: "lk-modes" });
  const heading = make("p", { class: "lk-heading" });
  const found = make("p", { class: "lk-found", "aria-live": "polite" });
  const stepper = make("input", { type: "range", min: "0", value: "0", step: "1" });
  stepper.addEventListener("input", () => app.point(Number(stepper.value)));
  const marks = make("div", { class: "lk-row" }, labelled("From mark to mark", stepper, { class: "lk-field lk-wide" }));

  function card(panel, mode, i) {
    const open = app.state.mode === i;
    const was = panel.context && panel.modes.length > 1 ? make("small", {}, `was ${percent(mode.was)}`) : null;
    const head = button("", () => app.set({ mode: open ? -1 : i }), { "aria-expanded": String(open) });
    head.append(app.glyph(i), make("strong", {}, percent(mode.mass)), ...(was ? [was] : []), make("span", {}, mode.words.join(", ")));
    const examples = (mode.sentences ?? []).slice(0, open ? 5 : app.about.live ? 0 : 3);
    const note = open && !mode.sentences ? make("p", { class: "lk-note" }, "Reading the corpus for sentences …") : null;
    const none = open && mode.sentences?.length === 0 ? make("p", { class: "lk-note" }, "The model came without its corpus, so there are no sentences.") : null;
    const box = make("article", { class: `lk-mode${open ? " lk-open" : ""}` }, head, note, none,
      examples.length ? make("ul", {}, examples.map((text) => make("li", {}, sentenceNodes(text, panel.word)))) : null);
    box.style.setProperty("--colour", app.colour(i));
    return box;
  }

  function update(panel) {
    heading.textContent = panel?.modes ? `${capital(counted(panel.modes.length, "region"))}. Open one for its sentences.` : panel ? "Looking for modes …" : "";
    if (panel?.kind === "none" || panel?.kind === "point" || panel?.step !== undefined) heading.textContent = "";
    refill(cards, (panel?.modes ?? []).map((mode, i) => card(panel, mode, i)));
    const count = panel?.sentences ? panel.sentence.length : 0;
    marks.hidden = !count;
    stepper.max = String(Math.max(0, count - 1));
    if (!count) found.textContent = "";
  }

  /** The sentence of a mark, where there is one. */
  function sentenceOf(panel, i) {
    return panel?.sentences && i >= 0 && i < panel.sentence.length ? panel.sentences[panel.sentence[i]] : null;
  }

  function point(panel, i) {
    const text = sentenceOf(panel, i);
    found.replaceChildren(...(text ? sentenceNodes(text, panel.word) : []));
    if (text && document.activeElement !== stepper) stepper.value = String(i);
  }

  return { element: make("div", { class: "lk-reading" }, heading, cards, marks, found), update, point, sentenceOf };
}
