/* The sentence: typed, stepped through word by word, with what each word speaks for; or chosen, on a page. */

const DEBOUNCE = 60; // ms after the last key until the density moves

function contextPart(app) {
  const offline = !app.about.live;
  const field = make("input", { type: "text", autocomplete: "off", spellcheck: "false", class: "lk-sentence" });
  const chosen = make("fieldset", { class: "lk-chosen" });
  const chips = make("ol", { class: "lk-chips", "aria-label": "Words of the sentence and what they speak for" });
  const move = after(DEBOUNCE, (context) => app.set({ context, step: null }));
  field.addEventListener("input", () => move(field.value));
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") { move.cancel(); app.set({ context: field.value, step: null }); } });

  const unread = make("p", { class: "lk-hint", role: "status" });

  const words = () => app.state.context.split(/\s+/).filter(Boolean);
  const step = (by) => {
    const now = app.state.step ?? (by > 0 ? 0 : words().length);
    app.set({ step: Math.max(0, Math.min(words().length, now + by)) });
  };
  const steps = make("div", { class: "lk-row" }, button("‹ word", () => step(-1), { "aria-label": "One word less" }),
    button("word ›", () => step(1), { "aria-label": "One word more" }), button("all", () => app.set({ step: null }), { "aria-label": "The whole sentence" }),
    button("clear", () => app.set({ context: "", step: null }), { "aria-label": "No sentence" }));

  function chip({ text, self, known, mode, nats }, i) {
    const read = app.state.step === null || i < app.state.step;
    const colour = mode === undefined ? null : app.colour(mode);
    const strength = mode === undefined ? 0 : Math.min(1, Math.max(0, nats) / 4);
    const item = make("li", { class: `lk-chip${self ? " lk-self" : ""}${known || self ? "" : " lk-unknown"}${read ? "" : " lk-unread"}` },
      make("span", {}, text));
    if (mode !== undefined) {
      item.append(make("small", {}, " ", app.glyph(mode), ` +${Math.max(0, nats).toFixed(1)}`, make("span", { class: "lk-unseen" }, " nats")));
      item.style.setProperty("--pull", colour);
      item.style.setProperty("--strength", `${Math.round(100 * strength)}%`);
    }
    return item;
  }

  function sentences() {
    const all = ["", ...(app.about.contexts?.[app.state.word] ?? [])];
    const group = unique("sentence");
    return all.map((text) => {
      const input = make("input", { type: "radio", name: group, onchange: () => app.set({ context: text, step: null }) });
      input.checked = text === app.state.context;
      return make("label", {}, input, make("span", {}, text ? sentenceNodes(text, app.state.word) : "the word alone"));
    });
  }

  function update() {
    if (offline) {
      const rows = sentences();
      chosen.hidden = rows.length < 2;
      refill(chosen, [make("legend", {}, "Read it in a sentence"), ...rows]);
    } else if (document.activeElement !== field || field.value.trim() === "" || app.state.context === "") {
      field.value = app.state.context;
    }
    unread.textContent = app.panels()[0]?.unread && app.state.context ? "No word of it is known to the model." : "";
    steps.hidden = !app.state.context;
  }

  /** The words of the sentence that is on the picture. */
  function pulled(pull) {
    const rest = app.state.step === null ? [] : words().slice(pull?.length ?? 0).map((text) => ({ text, known: true }));
    chips.replaceChildren(...(app.state.context ? [...(pull ?? []), ...rest].map(chip) : []));
    chips.hidden = !chips.children.length;
  }

  const element = make("div", { class: "lk-context" },
    offline ? chosen : labelled("Read it in a sentence: type, and Bayes’ rule moves the density", field, { class: "lk-field lk-above" }), steps, chips, unread);
  return { element, update, pulled };
}
