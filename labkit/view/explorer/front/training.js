/* A training to watch: its frames come while it runs, the timeline goes back and forth. */

const FRAMES_A_SECOND = 6;

function trainingPart(app) {
  const told = app.about.training;
  if (!told) return { element: null, update() {}, learned: () => true, close() {} };
  let [status, frames, playing, open] = [told, [], 0, false];
  const time = make("input", { type: "range", min: "0", max: "0", value: "0", step: "1" });
  const word = choice(told.words.map((name) => [name, name]), () => reload());
  const note = make("p", { class: "lk-note", role: "status" });
  const act = (what) => app.backend.ask("train", { do: what }).then(({ header }) => hear(header), (error) => app.tell(error.message));
  const play = button("Play", () => (playing ? stop() : start()));
  const buttons = told.startable ? [button("Start training", () => { frames = []; app.tell(""); app.forget(); act("start"); }),
    button("Pause", () => act(status.state === "held" ? "go on" : "hold")), button("Stop", () => act("stop"))] : [];
  const asked = new Latest((from) => app.backend.ask("frames", { word: word.value, start: from }), take, (error) => app.tell(error.message));
  time.addEventListener("input", () => { stop(); show(); });

  const element = section("Watch it learn", make("div", { class: "lk-row" }, labelled("Word of the film", word), buttons),
    make("div", { class: "lk-row" }, play, labelled("Time", time), button("Back to the model", () => { stop(); app.film(null); })), note);
  element.addEventListener("toggle", () => { open = element.open; if (open) { more(); show(); } else { stop(); app.film(null); } });

  function reload() {
    frames = [];
    more();
  }

  const more = () => { if (frames.length < status.frames) asked.want(frames.length); };

  function take(from, { header, bytes }) {
    if (from !== frames.length) return;
    const last = Number(time.value) >= frames.length - 1;
    frames.push(...header.heads.map((head) => decoded(head, bytes, head.at)));
    time.max = String(Math.max(0, frames.length - 1));
    if (last) time.value = time.max;
    hear(header);
    if (open && last && !playing) show();
  }

  function hear(message) {
    if (message.frames < frames.length) frames = []; // it began anew
    const over = status.state !== "done" && message.state === "done";
    status = { ...status, ...message };
    const step = frames[Number(time.value)];
    const states = { ready: "Ready to train.", running: "Training …", held: "Paused.", done: "Trained." };
    note.textContent = status.trouble || `${states[status.state]} ${step ? `Step ${step.step.toLocaleString("en")}: ${step.loss} nats per context word.` : ""} ${frames.length} frames.`;
    if (buttons[1]) buttons[1].textContent = status.state === "held" ? "Go on" : "Pause";
    if (buttons[1]) buttons[1].disabled = buttons[2].disabled = !["running", "held"].includes(status.state);
    if (open) more();
    if (over && told.startable) app.refresh();
  }

  function show() {
    const frame = frames[Number(time.value)];
    if (!frame) return;
    time.setAttribute("aria-valuetext", `step ${frame.step}`);
    app.film(frame);
    hear({});
  }

  function start() {
    if (frames.length < 2) return;
    if (Number(time.value) >= frames.length - 1) time.value = "0";
    play.textContent = "Pause the film";
    // whoever wants less motion gets one picture after the other, slowly
    const pace = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1500 : 1000 / FRAMES_A_SECOND;
    playing = setInterval(() => {
      if (Number(time.value) >= frames.length - 1) return stop();
      time.value = String(Number(time.value) + 1);
      return show();
    }, pace);
  }

  function stop() {
    clearInterval(playing);
    playing = 0;
    play.textContent = "Play";
  }

  hear({});
  const learned = () => status.state === "done";
  if (!told.fitted && !learned()) {
    element.open = true;
    app.tell(told.startable ? "The model has learned nothing yet: start the training below." : "The model has learned nothing yet: the film begins with its training.");
  }
  return { element, update() {}, hear, learned, close: stop };
}
