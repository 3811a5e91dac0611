/* Elements. Texts come from corpora, so they only ever become text nodes; nothing here reads markup. */

const RUN = Math.random().toString(36).slice(2, 8); // several explorers share one document
const FOCUSABLE = new Set(["button", "input", "select", "summary", "canvas", "textarea", "output"]);
let numbered = 0;

function unique(name) {
  numbered += 1;
  return `lk-${RUN}-${name}-${numbered}`;
}

/** An element with attributes and children; a child that is a string becomes text, null is left out. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== null && value !== false && value !== undefined) element.setAttribute(key, value);
  }
  keepShortcutsAway(element, name, attributes);
  element.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return element;
}

/** JupyterLab's shortcuts look at the focused element itself: without this, `d d` in a field deletes the cell. */
function keepShortcutsAway(element, name, attributes) {
  if (FOCUSABLE.has(name) || "tabindex" in attributes) element.setAttribute("data-lm-suppress-shortcuts", "true");
}

/** A labelled control: the label stands before it, or after a checkbox. */
function labelled(text, control, attributes = {}) {
  control.id ||= unique("control");
  const label = make("label", { for: control.id }, text);
  const box = ["checkbox", "radio"].includes(control.type);
  return make("span", { class: "lk-field", ...attributes }, box ? [control, label] : [label, control]);
}

function button(text, onclick, attributes = {}) {
  return make("button", { type: "button", onclick, ...attributes }, text);
}

function choice(options, onchange, attributes = {}) {
  const items = options.map(([value, text]) => make("option", { value }, text));
  return make("select", { onchange, ...attributes }, items);
}

/** Give a list new children and keep the focus on the one at the same place. */
function refill(list, children) {
  const reached = [...list.querySelectorAll("button, input")].indexOf(document.activeElement);
  list.replaceChildren(...children.flat().filter(Boolean));
  if (reached >= 0) list.querySelectorAll("button, input")[reached]?.focus();
}

/** A sentence with its word in bold, as nodes. */
function sentenceNodes(text, word) {
  const literal = word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const parts = literal ? text.split(new RegExp(`(?<![\\p{L}\\p{N}])(${literal})(?![\\p{L}\\p{N}])`, "giu")) : [text];
  return parts.map((part, i) => (i % 2 ? make("b", {}, part) : part));
}

function percent(mass) {
  if (mass > 0 && mass < 0.005) return "< 1 %";
  if (mass >= 0.995 && mass < 1 - 1e-9) return "> 99 %";
  return `${Math.round(100 * mass)} %`;
}

function counted(number, noun) {
  const names = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
  return `${names[number] ?? number} ${noun}${number === 1 ? "" : "s"}`;
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Call after a pause; a new call starts the pause anew. */
function after(pause, call) {
  let timer = 0;
  const later = (...values) => {
    clearTimeout(timer);
    timer = setTimeout(() => call(...values), pause);
  };
  later.cancel = () => clearTimeout(timer);
  return later;
}
