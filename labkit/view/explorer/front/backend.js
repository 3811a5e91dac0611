/* Who answers: the kernel through the widget's own channel, or the pages' precomputed answers. */

const AGAIN = 3000; // ms until the kernel is asked again for what it looks for in the background, should its word be lost
const SLOW = 2500; // ms after which one is told that the kernel is busy

/** The kernel. `ask` gives a promise of {header, bytes}; several views of one widget share the channel. */
class KernelBackend {
  constructor(model) {
    this.model = model;
    this.view = unique("view");
    this.seq = 0;
    this.waiting = new Map();
    this.heard = null; // for what the kernel says of its own accord
    this.listen = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.listen);
  }

  ask(ask, fields = {}) {
    this.seq += 1;
    const seq = this.seq;
    return new Promise((resolve, reject) => {
      this.waiting.set(seq, { resolve, reject });
      this.model.send({ ask, view: this.view, seq, ...fields });
    });
  }

  receive(message, buffers) {
    if (message.view === undefined) return this.heard?.(message);
    const asked = message.view === this.view && this.waiting.get(message.seq);
    if (!asked) return undefined;
    this.waiting.delete(message.seq);
    if (message.answer === "error") return asked.reject(new Error(message.text));
    return asked.resolve({ header: message, bytes: bytesOf(buffers?.[0]) });
  }

  /** Tell Python's own traits what is shown; nothing comes back that could overtake a newer wish. */
  settle(shown) {
    this.model.set(shown);
    this.model.save_changes();
  }

  close() {
    this.model.off("msg:custom", this.listen);
    this.waiting.clear();
  }
}

/** A page without a kernel: every question that it can ask has its answer in the page. */
class PageBackend {
  constructor(data) {
    this.data = data;
    this.heard = null;
  }

  async ask(ask, fields = {}) {
    if (ask === "search") return { header: this.search(fields) };
    if (ask === "rank") return { header: {} };
    const { word, context } = fields.question ?? {};
    const [found, alone] = [context, ""].map((sentence) => this.data.answers[this.keyOf({ word, context: sentence })]);
    if (!found) throw new Error("This page holds no such picture: it was made for the words and sentences listed.");
    // other models stand there without the sentence
    const others = alone.header.panels.slice(1).map((panel) => decoded(panel, fromBase64(alone.bytes)));
    const [first] = found.header.panels;
    const modes = first.modes.map((mode, i) => ({ sentences: alone.header.panels[0].modes[i]?.sentences, ...mode }));
    return { header: { ...found.header, panels: [{ ...first, modes }, ...others] }, bytes: fromBase64(found.bytes) };
  }

  /** Where an answer is; a part of a sentence may have that of a shorter one. */
  keyOf(question) {
    const key = pageKey(question);
    return typeof this.data.answers[key] === "string" ? this.data.answers[key] : key;
  }

  search({ text, sort }) {
    const all = this.data.vocabulary;
    const begins = all.filter((entry) => entry.word.startsWith(text));
    const words = [...begins, ...all.filter((entry) => entry.word.includes(text) && !begins.includes(entry))];
    if (sort === "ambiguous") words.sort((a, b) => b.modes - a.modes || b.entropy - a.entropy);
    return { words, found: words.length, nearest: false, ranked: all.length, total: all.length };
  }

  close() {}
}

function fromBase64(text) {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer;
}

function pageKey({ word, context = "" }) {
  return JSON.stringify([word, context]);
}

/** A buffer of its own: what arrives is a view somewhere into a larger one. */
function bytesOf(view) {
  if (!view) return new ArrayBuffer(0);
  if (view instanceof ArrayBuffer) return view;
  return view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
}

/** At most one request on the way, and only the newest wish waits behind it: fifty changes settle on the last. */
class Latest {
  constructor(send, take, fail) {
    Object.assign(this, { send, take, fail, busy: false, wish: null });
  }

  want(value) {
    this.wish = value;
    if (!this.busy) this.next();
  }

  async next() {
    this.busy = true;
    while (this.wish !== null) {
      const value = this.wish;
      this.wish = null;
      try {
        this.take(value, await this.send(value));
      } catch (error) {
        if (this.wish === null) this.fail(error, value);
      }
    }
    this.busy = false;
  }
}

const ARRAYS = { i2: Int16Array, u1: Uint8Array, u2: Uint16Array, i4: Int32Array, f4: Float32Array };

/** The arrays of a panel in place of [type, shape, first byte]. */
function decoded(panel, bytes, from = 0) {
  const found = { ...panel };
  for (const [name, value] of Object.entries(panel)) {
    if (Array.isArray(value) && value.length === 3 && value[0] in ARRAYS) {
      const length = value[1].reduce((product, n) => product * n, 1);
      found[name] = new ARRAYS[value[0]](bytes, from + value[2], length);
    }
  }
  if (panel.ridge) found.ridge = panel.ridge.map((row) => decoded(row, bytes, from));
  if (panel.other) found.other = decoded(panel.other, bytes, from);
  return found;
}
