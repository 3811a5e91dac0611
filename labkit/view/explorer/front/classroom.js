/* For a class: presets, back to the start, predict before one looks, and type that can be read from the last row. */

function classroomPart(app) {
  const presets = app.about.presets.map((word) => button(word, () => app.pick(word), { class: "lk-preset" }));
  const predict = button("Predict first", () => app.set({ predict: !app.state.predict, revealed: app.state.predict }), { "aria-pressed": "false" });
  const present = button("Present", () => presenting(app), { "aria-pressed": "false" });
  const tools = [button("Reset", () => app.reset()), predict, present];
  const nav = make("div", { class: "lk-row lk-presets", role: "group", "aria-label": app.about.live ? "Presets" : "Words" }, presets);

  document.addEventListener("fullscreenchange", left);
  function left() {
    if (!document.fullscreenElement && app.root.classList.contains("lk-present")) presenting(app, false);
  }

  function update() {
    presets.forEach((preset, i) => preset.setAttribute("aria-current", String(app.about.presets[i] === app.state.word)));
    predict.setAttribute("aria-pressed", String(app.state.predict));
    present.setAttribute("aria-pressed", String(app.root.classList.contains("lk-present")));
  }

  return { nav, tools: make("div", { class: "lk-row lk-tools" }, tools), update, close: () => document.removeEventListener("fullscreenchange", left) };
}

/** Larger type and the whole screen, where the browser gives it. */
function presenting(app, on = !app.root.classList.contains("lk-present")) {
  app.root.classList.toggle("lk-present", on);
  if (on) app.root.requestFullscreen?.().catch(() => {});
  else if (document.fullscreenElement) document.exitFullscreen().catch(() => {});
  app.update();
}

/** A curtain before the picture: first a guess, then the answer. */
function curtainPart(app) {
  const guess = make("input", { type: "number", min: "1", max: "9", value: "1" });
  const question = make("p", { class: "lk-question" });
  const element = make("div", { class: "lk-curtain", hidden: true }, question, labelled("Regions, my guess", guess),
    button("Reveal", () => reveal(), { class: "lk-main" }));
  const verdict = make("p", { class: "lk-verdict", role: "status" });
  guess.addEventListener("keydown", (event) => { if (event.key === "Enter") reveal(); });

  function reveal() {
    app.set({ revealed: true, guess: Number(guess.value) });
    app.focusPicture();
  }

  function update(panel) {
    const { predict, revealed, word, context } = app.state;
    const closed = predict && !revealed;
    element.hidden = !closed;
    app.root.classList.toggle("lk-closed", closed);
    question.textContent = context ? `“${context}”: in which region does this sentence put “${word}”, and how many regions are there?`
      : `In how many regions will the uses of “${word}” gather?`;
    const count = panel?.modes?.length;
    verdict.textContent = predict && revealed && app.state.guess && count
      ? `You said ${app.state.guess}; the model has ${counted(count, "region")}.${app.state.guess === count ? " Right." : ""}` : "";
  }

  return { element, verdict, update };
}
