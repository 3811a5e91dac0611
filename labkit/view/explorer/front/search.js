/* The word: a field with completion, counts and numbers of modes in its list, and the most ambiguous words first. */

const TYPING = 80; // ms after the last key until the list follows

function searchPart(app) {
  const list = make("ul", { role: "listbox", id: unique("words"), "aria-label": "Words", class: "lk-options" });
  const field = make("input", { type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", class: "lk-word",
    "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list" });
  const sort = choice([["frequent", "frequent first"], ["ambiguous", "ambiguous first"]], () => { field.focus(); look(""); }, { class: "lk-sort", "aria-label": "Order of the list of words" });
  const hint = make("p", { class: "lk-hint", role: "status" });
  const popup = make("div", { class: "lk-popup", hidden: true }, list, hint);
  let [entries, active, ranking] = [[], -1, false];

  const asked = new Latest((text) => app.backend.ask("search", { text, sort: sort.value, model: app.state.model }),
    (text, { header }) => show(text, header), (error) => app.tell(error.message));
  const lookSoon = after(TYPING, (text) => asked.want(text));

  function look(text) {
    open(true);
    asked.want(text);
    rank(sort.value === "ambiguous");
  }

  function show(text, { words, found, nearest, ranked, total }) {
    if (popup.hidden) return; // it came too late
    entries = words;
    active = Math.min(active, words.length - 1);
    list.replaceChildren(...words.map((entry, i) => option(entry, i)));
    mark();
    hint.textContent = nearest ? `No word begins with “${text}”. Did you mean one of these?`
      : !words.length ? `No word like “${text}”.`
      : sort.value === "ambiguous" && ranked < total ? `Counting modes: ${ranked} of ${total} words.`
      : text && found > words.length ? `${found} words; the first ${words.length} are listed.` : "";
  }

  function option({ word, count, modes }, i) {
    const notes = [count ? `${count.toLocaleString("en")}×` : "", modes ? counted(modes, "mode") : ""].filter(Boolean).join(", ");
    return make("li", { role: "option", id: `${list.id}-${i}`, "aria-selected": "false",
      onmousedown: (event) => { event.preventDefault(); pick(word); } },
      make("span", {}, word), make("small", {}, notes ? ` ${notes}` : ""));
  }

  /** The kernel counts the modes of the words as long as the list is open, and says how far it has come. */
  function rank(on) {
    if (on === ranking) return;
    ranking = on;
    app.backend.ask("rank", { model: app.state.model, on }).catch(() => {});
  }

  function hear({ text }) {
    if (text) app.tell(text);
    if (ranking) asked.want(field.value === app.state.word ? "" : field.value.trim());
  }

  function open(yes) {
    popup.hidden = !yes;
    field.setAttribute("aria-expanded", String(yes));
    if (!yes) {
      field.removeAttribute("aria-activedescendant");
      lookSoon.cancel();
      rank(false);
    }
  }

  function mark() {
    [...list.children].forEach((item, i) => item.setAttribute("aria-selected", String(i === active)));
    if (active >= 0 && list.children[active]) {
      field.setAttribute("aria-activedescendant", list.children[active].id);
      const item = list.children[active];
      if (item.offsetTop < list.scrollTop || item.offsetTop + item.offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = item.offsetTop;
    } else field.removeAttribute("aria-activedescendant");
  }

  function pick(word) {
    active = -1;
    open(false);
    field.value = word;
    hint.textContent = "";
    app.set({ word, context: "", step: null, between: "", share: 0, mode: -1 });
  }

  field.addEventListener("input", () => { active = -1; open(true); lookSoon(field.value.trim()); });
  field.addEventListener("focus", () => field.select());
  field.addEventListener("click", () => { if (popup.hidden) look(""); });
  field.addEventListener("blur", () => { open(false); field.value = app.state.word; hint.textContent = ""; });
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (popup.hidden) look("");
      active = Math.max(-1, Math.min(entries.length - 1, active + step));
      mark();
    } else if (event.key === "Enter") {
      const typed = field.value.trim();
      const best = entries[active]?.word ?? entries.find((entry) => entry.word === typed)?.word ?? (popup.hidden ? typed : entries[0]?.word ?? typed);
      if (best) pick(best);
    } else if (event.key === "Escape" && !popup.hidden) {
      open(false);
      field.value = app.state.word;
    }
  });

  const element = make("div", { class: "lk-search" }, labelled("Word", field), popup);
  return { element, sort, hear,
    update: () => { if (document.activeElement !== field || popup.hidden) field.value = app.state.word; } };
}
