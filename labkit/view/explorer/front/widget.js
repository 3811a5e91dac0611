/* The whole: what is shown, what is asked, and who is told when it changes. */

const KEPT_ANSWERS = 60;
const FOR_DETAILS = 150; // ms of rest before words and sentences are asked for

const FOR_PYTHON = 400; // ms of rest before Python is told what is shown

const START = { word: "", context: "", step: null, between: "", share: 0, model: 0, others: [], other: "", plane: "coordinates",
  x: 0, y: 1, samples: 500, fit: false, mode: -1, predict: false, revealed: true, guess: 0 };
const OFFERED = ["word", "context", "between", "share", "model", "others", "other", "plane", "x", "y", "samples", "fit"];

function createExplorer(root, backend, about, start) {
  const app = { root, backend, about, closed: false, state: { ...START, ...start } };
  const answers = new Map();
  let [shown, film, waiting, slow, awaited] = [null, null, 0, 0, null];
  const status = make("p", { class: "lk-status", role: "status" });
  const title = make("p", { class: "lk-title" });
  const summary = make("p", { class: "lk-summary", "aria-live": "polite" });

  app.colour = (mode) => about.colours.modes[mode % about.colours.modes.length];
  app.glyph = (mode) => glyph(shapeOf(mode, 7), app.colour(mode));
  app.tell = (text) => { status.textContent = text; };
  app.busy = () => pictures.busy;
  app.panels = () => (film ? [film] : shown?.panels ?? []);

  const question = () => {
    const asked = Object.fromEntries(OFFERED.map((name) => [name, app.state[name]]));
    if (app.state.step !== null) asked.context = app.state.context.split(/\s+/).filter(Boolean).slice(0, app.state.step).join(" ");
    if (!asked.context || !asked.between.trim()) Object.assign(asked, { between: "", share: 0 });
    asked.context = asked.context.trim();
    return asked;
  };

  const pictures = new Latest(({ asked, detail }) => { watch(true); return backend.ask("picture", { question: asked, detail }); },
    ({ asked, detail }, answer) => { watch(false); receive(asked, detail, answer); },
    (error) => { watch(false); back(); app.tell(error.message); });

  /** After an error the controls say again what the picture shows. */
  function back() {
    if (!shown?.asked) return;
    const { context, ...rest } = shown.asked;
    Object.assign(app.state, rest);
    app.update();
  }

  /** Say that the kernel is busy if it takes long, and no more when it has answered. */
  function watch(on) {
    clearTimeout(slow);
    if (on) slow = setTimeout(() => app.tell("Waiting for the kernel: it is busy, or has to be started again."), SLOW);
    else if (status.textContent.startsWith("Waiting")) app.tell("");
  }

  function receive(asked, detail, { header, bytes }) {
    const key = JSON.stringify(asked);
    if (header.wait) { // the kernel looks for it in the background, and says when it has found something
      app.tell(header.wait.trim());
      awaited = () => { if (key === JSON.stringify(question())) pictures.want({ asked, detail }); };
      waiting = setTimeout(awaited, AGAIN);
      return;
    }
    if (header.took) root.dataset.took = header.took; // ms in the kernel
    const view = { ...header, panels: header.panels.map((panel) => decoded(panel, bytes)), detail: header.detail ?? detail, asked };
    answers.delete(key);
    answers.set(key, view);
    if (answers.size > KEPT_ANSWERS) answers.delete(answers.keys().next().value);
    if (key === JSON.stringify(question())) show(view);
    else if (pictures.wish === null) request();
  }

  /** Ask for what the state says, or show it if it is known; words and sentences follow when there is rest. */
  const details = after(FOR_DETAILS, (asked, detail) => {
    if (!app.closed && JSON.stringify(asked) === JSON.stringify(question())) pictures.want({ asked, detail });
  });
  function request() {
    if (about.training && !about.training.fitted && !parts.training.learned()) return; // there is nothing to ask for
    const asked = question();
    const known = answers.get(JSON.stringify(asked));
    clearTimeout(waiting);
    if (known) show(known);
    else pictures.want({ asked, detail: 0 });
  }

  function show(view) {
    shown = view;
    app.tell("");
    app.frame(() => { paint(); root.dataset.shown = JSON.stringify([view.panels[0].word, view.panels[0].context, view.detail]);
      root.dataset.marks = (view.panels[0].samples?.length ?? 0) / 2; });
    if (view.detail < 2 && about.live) details(question(), view.detail + 1);
    settle();
  }
  const settle = after(FOR_PYTHON, () => backend.settle?.({ word: app.state.word, context: app.state.context, other: app.state.other }));

  let planned = false;
  app.frame = (draw) => {
    if (planned) return;
    planned = true;
    requestAnimationFrame(() => { planned = false; if (!app.closed) draw(); });
  };

  function paint() {
    parts.stage.show(app.panels());
    app.update();
  }

  app.set = (change) => {
    const before = JSON.stringify(question());
    if (change.word !== undefined && change.word !== app.state.word) Object.assign(change, { mode: -1, ...(app.state.predict && { revealed: false, guess: 0 }) });
    Object.assign(app.state, change);
    if (film && ("word" in change)) film = null;
    if (JSON.stringify(question()) !== before) request();
    else parts.stage.paint();
    app.update();
    about.remember?.(app.state);
  };
  app.pick = (word) => app.set({ word, context: "", step: null, between: "", share: 0 });
  app.reset = () => { film = null; app.set({ ...START, ...start, context: start.first ?? "", others: [...(start.others ?? [])] }); };
  app.film = (frame) => { film = frame; paint(); };
  app.forget = () => answers.clear();
  app.refresh = () => { answers.clear(); film = null; request(); };
  app.point = (i) => { parts.stage.point(i); parts.reading.point(app.panels()[0], i); };
  app.sentenceOf = (panel, i) => parts.reading.sentenceOf(panel, i);
  app.focusPicture = () => root.querySelector("canvas")?.focus();

  const parts = {
    search: searchPart(app), context: contextPart(app), stage: stagePart(app), reading: readingPart(app), classroom: classroomPart(app),
    curtain: curtainPart(app), training: trainingPart(app), compare: comparePart(app), plane: planePart(app), marks: marksPart(app), save: savePart(app),
  };

  app.update = () => {
    const [panel] = app.panels();
    const still = answers.get(JSON.stringify(question())) === shown ? shown : null;
    title.textContent = panel ? titleOf(panel, film) : "";
    summary.textContent = app.state.predict && !app.state.revealed ? "" : [panel?.said, panel?.outside > 0.02 ? `${percent(panel.outside)} of the probability lies beyond the frame.` : "",
      panel?.effective ? `By importance sampling, worth ${panel.effective} samples.` : ""].filter(Boolean).join(" ");
    parts.search.update();
    parts.context.update();
    if (!film) parts.context.pulled(shown?.pull);
    parts.reading.update(film ?? shown?.panels[0]);
    parts.classroom.update();
    parts.curtain.update(shown?.panels[0]);
    for (const name of ["compare", "plane", "marks", "save"]) parts[name].update(still);
    about.updated?.(app, shown);
  };

  layOut(app, parts, { title, status, summary });
  backend.heard = (message) => {
    if (message.answer === "trained") parts.training.hear?.(message);
    if (message.answer === "ranked") parts.search.hear(message);
    if (message.answer === "found" && awaited) {
      clearTimeout(waiting);
      awaited();
      awaited = null;
    }
  };
  app.close = () => {
    app.closed = true;
    clearTimeout(slow);
    clearTimeout(waiting);
    for (const late of [details, settle]) late.cancel();
    for (const part of Object.values(parts)) part.close?.();
    backend.close();
  };
  app.receive = receive;
  app.question = question;
  app.request = request;
  return app;
}

function titleOf(panel, film) {
  const further = panel.between ? `, ${percent(panel.share)} of the way to “${panel.between}”` : "";
  const where = panel.context ? `, read in “${panel.context}”${further}` : film ? `, after ${film.step.toLocaleString("en")} steps` : "";
  const count = panel.modes && panel.kind !== "cloud" ? `: one word, ${counted(panel.modes.length, "region")}` : "";
  return panel.context ? `${panel.word}${where}` : `${panel.word}${where}${count}`;
}
