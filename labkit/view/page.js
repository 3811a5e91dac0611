"use strict";
/* Draws what Python computed: the page holds no mathematics. Texts come from corpora, so they only ever
   become text nodes. */
const data = JSON.parse(document.getElementById("data").textContent);
const [WIDTH, HEIGHT] = data.size;
const SVG = "http://www.w3.org/2000/svg";
const DRAWN = new Set(["svg", "g", "path", "rect", "line", "circle", "text", "tspan"]);
const byId = (id) => document.getElementById(id);
let state = { word: 0, context: 0, mode: -1 };

/** An element with attributes and children; a child that is a string becomes text. */
function make(name, attributes = {}, ...children) {
  const element = DRAWN.has(name) ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== null) element.setAttribute(key, value);
  }
  element.append(...children.flat());
  return element;
}

/** The outline of a mark of half-width r: one shape for each mode, so that colour is never needed. */
const SHAPES = [
  (r) => `m${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `m${-0.88 * r} ${-0.88 * r}h${1.76 * r}v${1.76 * r}h${-1.76 * r}z`,
  (r) => `m0 ${-1.15 * r}l${1.1 * r} ${1.95 * r}h${-2.2 * r}z`,
  (r) => `m0 ${-1.25 * r}l${1.15 * r} ${1.25 * r}l${-1.15 * r} ${1.25 * r}l${-1.15 * r} ${-1.25 * r}z`,
  (r) => `m0 ${1.15 * r}l${-1.1 * r} ${-1.95 * r}h${2.2 * r}z`,
  (r) => `m${-r} 0l${0.5 * r} ${-0.9 * r}h${r}l${0.5 * r} ${0.9 * r}l${-0.5 * r} ${0.9 * r}h${-r}z`,
];
const shape = (mode, r) => SHAPES[mode % SHAPES.length](r);
const colour = (mode) => data.colours.modes[mode % data.colours.modes.length];
const cross = (r) => `m${-r} ${-r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;

/** Samples are sent as four characters each: x and y in two digits to the base 36. */
function marks(text, mode, r) {
  return text.match(/.{4}/g)?.map((place) => {
    const [x, y] = [place.slice(0, 2), place.slice(2)].map((digits) => parseInt(digits, 36));
    return make("path", { d: `M${x} ${y}` + shape(mode, r) });
  }) ?? [];
}

function regions(paths) {
  return paths.map((d, i) => make("path", { d, fill: data.colours.regions[i], "fill-rule": "evenodd",
    stroke: "#fff", "stroke-width": 1, "vector-effect": "non-scaling-stroke" }));
}

function canvas(name, ...children) {
  return make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": name }, ...children);
}

function label(box, mode, font, dim) {
  const { x, y, width, height, anchor, lines } = box;
  const [ax, ay] = anchor;
  // the line runs from the mode to the nearest place of the box
  const ends = [Math.min(Math.max(ax, x), x + width), Math.min(Math.max(ay, y), y + height)];
  const rows = lines.map((line, i) => make("tspan", { x: x + font * (i ? 0.5 : 1.4), y: y + font * (1.2 + 1.3 * i),
    "font-weight": i ? 400 : 700 }, line));
  return make("g", { class: "label", opacity: dim ? 0.25 : 1 },
    make("line", { x1: ax, y1: ay, x2: ends[0], y2: ends[1], stroke: "#1b2230", "stroke-width": font / 10 }),
    make("circle", { cx: ax, cy: ay, r: font / 4, fill: "#fff", stroke: "#1b2230", "stroke-width": font / 9 }),
    make("rect", { x, y, width, height, rx: font / 5, fill: "#fff", "fill-opacity": 0.93, stroke: colour(mode), "stroke-width": font / 9 }),
    make("path", { d: `M${x + font * 0.85} ${y + font * 0.85}` + shape(mode, font / 3.6), fill: colour(mode) }),
    make("text", { "font-size": font, fill: "#1b2230" }, rows));
}

function drawDensity(view, fresh) {
  const narrow = byId("density").clientWidth < 480;
  const { font, mark, boxes } = { ...data.sizes[narrow ? 1 : 0], boxes: view.labels[narrow ? 1 : 0] };
  const dim = (mode) => state.mode >= 0 && state.mode !== mode;
  const samples = view.samples.map((text, mode) => make("g", { class: "samples", fill: colour(mode), stroke: "#fff",
    "stroke-width": mark / 6, opacity: dim(mode) ? 0.1 : 1 }, marks(text, mode, mark)));
  const labels = boxes.map((box) => label(box, box.mode, font, dim(box.mode)));
  const picture = make("g", { class: fresh ? "fresh" : null }, regions(view.regions), samples, labels);
  byId("density").replaceChildren(canvas(view.summary, picture));
}

/** A sentence with its word in bold. */
function sentence(text, word) {
  const literal = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const parts = text.split(new RegExp(`(?<![\\p{L}\\p{N}])(${literal})(?![\\p{L}\\p{N}])`, "giu"));
  return parts.map((part, i) => (i % 2 ? make("b", {}, part) : part));
}

function glyph(d, fill, stroke = "none") {
  return make("svg", { viewBox: "-10 -10 20 20", "aria-hidden": "true" }, make("path", { d, fill, stroke, "stroke-width": 4 }));
}

function drawLegend(word) {
  const key = (picture, text) => make("span", { class: "key" }, picture, text);
  const keys = data.probs.map((prob, i) => key(glyph("M-9-9h18v18h-18z", data.colours.regions[i]), prob)).reverse();
  keys.push(key(glyph("M0 0" + shape(0, 7), colour(0)), "a sample"));
  const note = word.note ? [make("span", { class: "note" }, word.note)] : [];
  byId("legend").replaceChildren(make("span", {}, "Share of the probability:"), ...keys, ...note);
}

function drawOthers(word) {
  const others = word.others.map(({ name, caption, regions: paths, point }) => {
    const inside = point ? [make("path", { d: `M${point[0]} ${point[1]}` + cross(38), stroke: data.colours.point, "stroke-width": 26 })] : regions(paths);
    return make("figure", {}, make("div", { class: "frame" }, canvas(`${word.word}, ${name}: ${caption}`, inside)),
      make("figcaption", {}, make("b", {}, name), " ", make("span", {}, caption)));
  });
  byId("others").replaceChildren(...(others.length ? [make("h3", {}, "In other models"), ...others] : []));
}

function drawContexts(word) {
  const choices = word.views.map((view, i) => {
    const input = make("input", { type: "radio", name: "context", onchange: () => go({ context: i }) });
    input.checked = i === state.context;
    return make("label", {}, input, make("span", { class: i ? "sentence" : "" }, i ? sentence(view.context, word.word) : "the word alone"));
  });
  byId("contexts").replaceChildren(...(choices.length > 1 ? [make("legend", {}, "Read it in a sentence"), ...choices] : []));
}

function drawModes(word, view) {
  const cards = view.masses.map((mass, i) => {
    const mode = word.modes[i];
    const was = state.context && word.modes.length > 1 ? [make("small", {}, `was ${word.views[0].masses[i]}`)] : [];
    const button = make("button", { type: "button", "aria-pressed": String(state.mode === i), onclick: () => go({ mode: state.mode === i ? -1 : i }) },
      glyph("M0 0" + shape(i, 7), colour(i)), make("strong", {}, mass), was, make("span", {}, mode.words.join(", ")));
    const examples = mode.sentences.map((text) => make("li", {}, sentence(text, word.word)));
    return make("article", { class: "mode" }, button, make("ul", {}, examples));
  });
  cards.forEach((card, i) => card.style.setProperty("--colour", colour(i)));
  byId("modes").replaceChildren(make("h3", {}, word.heading), ...cards);
}

function drawTable({ columns, rows, numeric, caption }) {
  const cell = (name, text, i, extra = {}) => make(name, { class: numeric[i] ? "number" : "", ...extra }, text);
  const head = make("tr", {}, columns.map((text, i) => cell("th", text, i, { scope: "col" })));
  const body = rows.map((row) => make("tr", {}, row.map((text, i) => (i ? cell("td", text, i) : cell("th", text, i, { scope: "row" })))));
  byId("comparison").replaceChildren(make("h2", {}, "How the models compare"),
    make("table", {}, caption ? make("caption", {}, caption) : [], make("thead", {}, head), make("tbody", {}, body)));
}

function draw(fresh = true) {
  const word = data.words[state.word];
  const view = word.views[state.context];
  document.title = view.title;
  for (const name of ["title", "explanation"]) byId(name).textContent = view[name].replaceAll(" %", "\u00a0%");
  byId("summary").textContent = view.summary;
  drawDensity(view, fresh);
  drawLegend(word);
  drawOthers(word);
  drawContexts(word);
  drawModes(word, view);
  [...byId("words").children].forEach((button, i) => button.setAttribute("aria-current", String(i === state.word)));
}

/** The state stands in the address, so that a link or a reload opens the same picture. */
function go(change) {
  state = { ...state, ...change };
  const focused = document.activeElement?.closest("#contexts, #modes")?.id;
  const index = focused ? [...byId(focused).querySelectorAll("input, button")].indexOf(document.activeElement) : -1;
  draw(!("mode" in change) || change.word !== undefined);
  if (focused) byId(focused).querySelectorAll("input, button")[index]?.focus();
  const parts = { word: data.words[state.word].word };
  if (state.context) parts.sentence = state.context;
  if (state.mode >= 0) parts.mode = state.mode + 1;
  history.replaceState(null, "", "#" + new URLSearchParams(parts));
}

function readAddress(event) {
  const parts = new URLSearchParams(location.hash.slice(1));
  const word = Math.max(0, data.words.findIndex((entry) => entry.word === parts.get("word")));
  const at = (name, count, start) => {
    const number = Number.parseInt(parts.get(name), 10);
    return number >= start && number < count + start ? number - start : null;
  };
  state = { word, context: at("sentence", data.words[word].views.length, 0) ?? 0, mode: at("mode", data.words[word].modes.length, 1) ?? -1 };
  draw(event !== undefined);
}

byId("words").append(...data.words.map(({ word }, i) =>
  make("button", { type: "button", onclick: () => go({ word: i, context: 0, mode: -1 }) }, word)));
byId("notes").textContent = data.notes;
if (data.table) drawTable(data.table);
readAddress();
addEventListener("hashchange", readAddress);
let narrow = byId("density").clientWidth < 480;
addEventListener("resize", () => {
  const now = byId("density").clientWidth < 480;
  if (now !== narrow) draw(false);
  narrow = now;
});
