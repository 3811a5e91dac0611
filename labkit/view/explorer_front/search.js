/* The word: a field with completion, counts and numbers of modes in its list, and the most ambiguous words first. */

const TYPING = 80; // ms after the last key until the list follows
const BETWEEN_RANKS = 30; // ms of peace between two words whose modes are looked for

function searchPart(app) {
  const list = make("ul", { role: "listbox", id: unique("words"), "aria-label": "Words", class: "lk-options", hidden: true });
  const field = make("input", { type: "text", role: "combobox", autocomplete: "off", spellcheck: "false", class: "lk-word",
    "aria-expanded": "false", "aria-controls": list.id, "aria-autocomplete": "list" });
  const sort = choice([["frequent", "by frequency"], ["ambiguous", "most ambiguous first"]], () => { field.focus(); look(""); }, { class: "lk-sort", "aria-label": "Order of the list of words" });
  const hint = make("span", { class: "lk-hint", role: "status" });
  let [entries, active, ranking] = [[], -1, false];

  const asked = new Latest((text) => app.backend.ask("search", { text, sort: sort.value, model: app.state.model }),
    (text, { header }) => show(text, header), (error) => app.tell(error.message));
  const lookSoon = after(TYPING, (text) => asked.want(text));

  function look(text) {
    open(true);
    asked.want(text);
    if (sort.value === "ambiguous") rank();
  }

  function show(text, { words, found, nearest, ranked, total }) {
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

  /** The modes of the words, one word at a time, as long as the list is open and nothing else is wanted. */
  async function rank() {
    if (ranking) return;
    ranking = true;
    while (sort.value === "ambiguous" && !list.hidden && !app.closed) {
      if (!app.busy()) {
        const { header } = await app.backend.ask("rank", { model: app.state.model }).catch(() => ({ header: {} }));
        if (!header.entry) break;
        asked.want(field.value === app.state.word ? "" : field.value);
      }
      await new Promise((resume) => { setTimeout(resume, BETWEEN_RANKS); });
    }
    ranking = false;
  }

  function open(yes) {
    list.hidden = !yes;
    field.setAttribute("aria-expanded", String(yes));
    if (!yes) field.removeAttribute("aria-activedescendant");
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
  field.addEventListener("click", () => { if (list.hidden) look(""); });
  field.addEventListener("blur", () => { open(false); field.value = app.state.word; hint.textContent = ""; });
  field.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step) {
      event.preventDefault();
      if (list.hidden) look("");
      active = Math.max(-1, Math.min(entries.length - 1, active + step));
      mark();
    } else if (event.key === "Enter") {
      const typed = field.value.trim();
      const best = entries[active]?.word ?? entries.find((entry) => entry.word === typed)?.word ?? (list.hidden ? typed : entries[0]?.word ?? typed);
      if (best) pick(best);
    } else if (event.key === "Escape" && !list.hidden) {
      open(false);
      field.value = app.state.word;
    }
  });

  const element = make("div", { class: "lk-search" }, labelled("Word", field), list);
  return { element, sort, hint,
    update: () => { if (document.activeElement !== field || list.hidden) field.value = app.state.word; } };
}
