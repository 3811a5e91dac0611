/* Files: the picture as PNG or SVG, its samples as CSV. */

const LARGE = [1200, 900]; // px of a saved panel

function download(name, content) {
  const link = make("a", { href: URL.createObjectURL(content), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function fileName(app, ending) {
  const safe = app.state.word.normalize("NFKD").replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-+|-+$/g, "") || "word";
  return `${safe}.${ending}`;
}

/** All panels side by side under their words. */
function drawSheet(app, pen, [width, height], panels) {
  const font = width / 60;
  panels.forEach((panel, i) => {
    const frame = { x: i * width + font * 2.6, y: font * 2.4, width: width - font * 3.2, height: height - font * 4.6, font };
    pen.text(i * width + font * 2.6, font * 1.6, `${panel.word}${panel.context ? `, read in “${panel.context}”` : ""}`, { size: font * 1.1, weight: 600 });
    drawPanel(pen, panel, frame, { colours: app.about.colours, mode: i ? -1 : app.state.mode });
  });
}

function savePng(app) {
  const panels = app.panels();
  const canvas = new OffscreenCanvas(LARGE[0] * panels.length, LARGE[1]);
  const context = canvas.getContext("2d");
  context.fillStyle = PAPER;
  context.fillRect(0, 0, canvas.width, canvas.height);
  drawSheet(app, new CanvasPen(context), LARGE, panels);
  return canvas.convertToBlob({ type: "image/png" }).then((blob) => download(fileName(app, "png"), blob));
}

function saveSvg(app) {
  const panels = app.panels();
  const measure = new CanvasPen(new OffscreenCanvas(1, 1).getContext("2d"));
  const pen = new SvgPen(LARGE[0] * panels.length, LARGE[1], measure);
  pen.path(`M0 0h${LARGE[0] * panels.length}v${LARGE[1]}h${-LARGE[0] * panels.length}z`, { fill: PAPER });
  drawSheet(app, pen, LARGE, panels);
  download(fileName(app, "svg"), new Blob([String(pen)], { type: "image/svg+xml" }));
}

/** A cell of a CSV file; a text that a spreadsheet would take for a formula is kept a text. */
function cell(value) {
  const text = String(value);
  const safe = /^[=+\-@\t\r]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n\r]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function csvOf(panel) {
  const [[left, right], [bottom, top]] = panel.limits;
  const line = panel.kind === "line";
  const rows = [["word", "context", "model", ...(line ? ["z"] : ["x", "y"]), "mode", "words of the mode", "sentence"]];
  for (let i = 0; i < panel.samples.length / 2; i += 1) {
    const x = left + (panel.samples[2 * i] / SCALE) * (right - left);
    const y = top + (panel.samples[2 * i + 1] / SCALE) * (bottom - top);
    const mode = panel.mode ? panel.mode[i] : 0;
    const sentence = panel.sentences && i < panel.sentence.length ? panel.sentences[panel.sentence[i]] : "";
    rows.push([panel.word, panel.context, panel.model, ...(line ? [x.toFixed(4)] : [x.toFixed(4), y.toFixed(4)]), mode + 1, (panel.modes?.[mode]?.words ?? []).join(" "), sentence]);
  }
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}

function saveCsv(app) {
  const texts = app.panels().filter((panel) => panel.samples).map(csvOf);
  const joined = texts.map((text, i) => (i ? text.slice(text.indexOf("\r\n") + 2) : text)).join("");
  download(fileName(app, "csv"), new Blob(["\ufeff", joined], { type: "text/csv" }));
}
