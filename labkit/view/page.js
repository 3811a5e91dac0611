
/* A page of its own: the explorer with precomputed answers, a title, a table, and the state in the address. */

const page = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const shownWords = page.vocabulary.map((entry) => entry.word);

function tableOf({ columns, rows, numeric, caption }) {
  const one = (name, text, i, extra = {}) => make(name, { class: numeric[i] ? "number" : "", ...extra }, text);
  const head = make("tr", {}, columns.map((text, i) => one("th", text, i, { scope: "col" })));
  const body = rows.map((row) => make("tr", {}, row.map((text, i) => (i ? one("td", text, i) : one("th", text, i, { scope: "row" })))));
  return [make("h2", {}, "How the models compare"),
    make("table", {}, caption ? make("caption", {}, caption) : null, make("thead", {}, head), make("tbody", {}, body))];
}

/** What the address asks for; whatever it does not name, or names wrongly, is as at the beginning. */
function readAddress() {
  const parts = new URLSearchParams(location.hash.slice(1));
  const word = shownWords.includes(parts.get("word")) ? parts.get("word") : shownWords[0];
  const sentence = page.contexts[word][Number.parseInt(parts.get("sentence"), 10) - 1] ?? "";
  const modes = page.answers[pageKey({ word, context: sentence })].header.panels[0].modes.length;
  const mode = Number.parseInt(parts.get("mode"), 10) - 1;
  return { word, context: sentence, mode: mode >= 0 && mode < modes ? mode : -1 };
}

function writeAddress({ word, context, mode }) {
  const parts = { word };
  if (context) parts.sentence = page.contexts[word].indexOf(context) + 1;
  if (mode >= 0) parts.mode = mode + 1;
  history.replaceState(null, "", `#${new URLSearchParams(parts)}`);
}

function writeTitle(app) {
  const text = page.texts[app.backend.keyOf(app.question())];
  if (!text) return;
  document.title = text.title;
  for (const name of ["title", "explanation"]) byId(name).textContent = text[name].replaceAll(" %", "\u00a0%");
}

const pageAbout = { live: false, models: page.models, presets: shownWords, colours: page.colours, contexts: page.contexts,
  remember: writeAddress, updated: writeTitle };
const pageApp = createExplorer(byId("explorer"), new PageBackend(page), pageAbout, { ...readAddress(), first: "" });
pageApp.request();
pageApp.update();
addEventListener("hashchange", () => pageApp.set(readAddress()));
byId("notes").textContent = page.notes;
if (page.table) byId("comparison").append(...tableOf(page.table));
