/* A panel: highest-density regions, marks, modes and the deterministic vector, in a frame of given size. */

const SCALE = 16384; // places travel as int16, SCALE being the width or height of the frame
const MANY = 2500; // marks; more than that are drawn as dots, for which shapes would be too small to see
const SHOWN = 0.03; // a mode with less mass than that gets no label

/** The outline of a mark of half-width r: one shape for each mode, so that colour is never needed. */
const SHAPES = [
  (r) => `m${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
  (r) => `m${-0.88 * r} ${-0.88 * r}h${1.76 * r}v${1.76 * r}h${-1.76 * r}z`,
  (r) => `m0 ${-1.15 * r}l${1.1 * r} ${1.95 * r}h${-2.2 * r}z`,
  (r) => `m0 ${-1.25 * r}l${1.15 * r} ${1.25 * r}l${-1.15 * r} ${1.25 * r}l${-1.15 * r} ${-1.25 * r}z`,
  (r) => `m0 ${1.15 * r}l${-1.1 * r} ${-1.95 * r}h${2.2 * r}z`,
  (r) => `m${-r} 0l${0.5 * r} ${-0.9 * r}h${r}l${0.5 * r} ${0.9 * r}l${-0.5 * r} ${0.9 * r}h${-r}z`,
];
const shapeOf = (mode, r) => SHAPES[mode % SHAPES.length](r);
const crossOf = (r) => `m${-r} ${-r}l${2 * r} ${2 * r}m0 ${-2 * r}l${-2 * r} ${2 * r}`;
const tenth = (value) => Math.round(value * 10) / 10;

/** A panel into its box {x, y, width, height, font}; look = {colours, mode, marks, labels, seen}. */
function drawPanel(pen, panel, box, look) {
  const frame = `M${box.x} ${box.y}h${box.width}v${box.height}h${-box.width}z`;
  pen.path(frame, { fill: PAPER });
  pen.clip(box.x, box.y, box.width, box.height, () => {
    if (panel.kind === "line") drawLine(pen, panel, box, look);
    if (panel.outline) drawRegions(pen, panel, box, look);
    if (panel.other?.outline) drawOther(pen, panel.other, box, look);
    if (panel.samples && look.marks !== false) drawMarks(pen, panel, box, look);
    if (panel.outline && panel.samples?.length > 2 * MANY) drawBorders(pen, panel, box, look); // which so many marks hide
  });
  pen.path(frame, { stroke: "#c9ced8" });
  if (panel.kind !== "cloud" && look.axes !== false) drawAxes(pen, panel, box);
  if (panel.cross) drawCross(pen, panel.kind === "line" ? [panel.cross[0], 1 / rowsOf(panel).length] : panel.cross, box, look);
  if (panel.other?.cross && panel.kind !== "line") drawCross(pen, panel.other.cross, box, { colours: { point: INK } });
  if (look.labels !== false && panel.modes) drawLabels(pen, panel, box, look);
  if (panel.kind === "none") {
    pen.text(box.x + box.width / 2, box.y + box.height / 2, "not in this model", { size: box.font, fill: MUTED, align: "center" });
  }
}

/** One SVG path for each region, the largest first. */
function regionPaths(panel, box, regions) {
  const paths = Array.from({ length: regions }, () => []);
  const [rings, places] = [panel.rings, panel.outline];
  for (let i = 0; i < rings.length; i += 2) {
    const end = i + 2 < rings.length ? rings[i + 2] : places.length / 2;
    const steps = [];
    for (let j = rings[i]; j < end; j += 1) {
      steps.push(`${tenth(box.x + (places[2 * j] / SCALE) * box.width)} ${tenth(box.y + (places[2 * j + 1] / SCALE) * box.height)}`);
    }
    paths[rings[i + 1]].push(`M${steps.join("L")}z`);
  }
  return paths.map((parts) => parts.join(""));
}

function drawRegions(pen, panel, box, { colours }) {
  regionPaths(panel, box, colours.regions.length).forEach((d, i) => d && pen.path(d, { fill: colours.regions[i], stroke: PAPER }));
}

function drawBorders(pen, panel, box, { colours }) {
  regionPaths(panel, box, colours.regions.length).forEach((d) => {
    pen.path(d, { stroke: PAPER, width: 3.4, alpha: 0.8 });
    pen.path(d, { stroke: INK, width: 1.4 });
  });
}

/** A second word in the same plane: the borders of its regions, and its name. */
function drawOther(pen, other, box, { colours }) {
  regionPaths(other, box, colours.regions.length).forEach((d, i) => {
    pen.path(d, { stroke: PAPER, width: 4, alpha: 0.75 });
    pen.path(d, { stroke: "#a3123f", width: i === 3 ? 2.4 : 1.4, dash: i === 3 ? [] : [6, 3] });
  });
}

/** The curves that stand below each other on a line: the word's own, a second word's, a few more. */
const rowsOf = (panel) => [panel, ...(panel.other ? [panel.other] : []), ...(panel.ridge ?? [])];

/** Densities on the line: curves, and their regions as shades below them. */
function drawLine(pen, panel, box, { colours }) {
  const rows = rowsOf(panel);
  const room = box.height / rows.length;
  rows.forEach((row, number) => {
    const base = box.y + (number + 1) * room - (number + 1 === rows.length ? 4 : 2);
    const top = row.height.reduce((a, b) => Math.max(a, b), 0);
    const [left, right] = panel.limits[0];
    const x = (i) => box.x + ((row.from[0] + ((row.from[1] - row.from[0]) * i) / (row.height.length - 1) - left) / (right - left)) * box.width;
    const y = (p) => base - (p / top) * (room - (rows.length > 1 ? box.font * 1.6 : 46));
    [0, ...row.steps].forEach((step, i) => {
      let d = "";
      row.height.forEach((p, j) => {
        if (p < step) return;
        const begins = j === 0 || row.height[j - 1] < step;
        d += `${begins ? `${d ? "Z" : ""}M${tenth(x(j))} ${base}L` : "L"}${tenth(x(j))} ${tenth(y(p))}`;
        if (j + 1 === row.height.length || row.height[j + 1] < step) d += `L${tenth(x(j))} ${base}`;
      });
      if (i > 0) pen.path(d && `${d}Z`, { fill: colours.regions[i - 1] });
    });
    const curve = Array.from(row.height, (p, j) => `${tenth(x(j))} ${tenth(y(p))}`).join("L");
    pen.path(`M${curve}`, { stroke: INK, width: 2 });
    if (rows.length > 1) pen.text(box.x + 8, base - room + box.font * 1.4, row.word, { size: box.font, weight: 600 });
  });
}

/** Where the marks of a panel lie, in pixels: (x, y) pairs. */
function markPlaces(panel, box) {
  const places = new Float32Array(panel.samples.length);
  const lift = panel.kind === "line" ? box.height / rowsOf(panel).length - 8 : 0;
  for (let i = 0; i < places.length; i += 2) {
    places[i] = box.x + (panel.samples[i] / SCALE) * box.width;
    // on a line the marks lie in a narrow band, spread so that they do not hide each other
    places[i + 1] = box.y + (lift ? lift - ((i * 7) % 16) : (panel.samples[i + 1] / SCALE) * box.height);
  }
  return places;
}

function drawMarks(pen, panel, box, { colours, mode: chosen = -1, most = Infinity, small = false }) {
  const places = markPlaces(panel, box).subarray(0, 2 * Math.min(most, panel.samples.length));
  const [count, modes] = [places.length / 2, panel.mode];
  const many = count > MANY;
  if (many && pen instanceof CanvasPen) return drawDots(pen, places, modes, box, colours, chosen);
  const r = Math.max(small ? 1.5 : 2.1, Math.min(4.5, box.width / 190)) * (count > 1000 ? 0.75 : 1);
  const paths = [];
  for (let i = 0; i < count; i += 1) {
    const mode = modes ? modes[i] : 0;
    paths[mode] ??= [];
    paths[mode].push(`M${tenth(places[2 * i])} ${tenth(places[2 * i + 1])}${many ? "h2v2h-2z" : shapeOf(mode, r)}`);
  }
  paths.forEach((parts, mode) => {
    const dim = chosen >= 0 && chosen !== mode;
    pen.path(parts.join(""), { fill: modes ? colours.modes[mode % colours.modes.length] : "#8b93a1", alpha: dim ? 0.2 : 1,
      ...(many || dim ? {} : { stroke: PAPER, width: small ? 0.8 : 1.4 }), halo: true });
  });
  return undefined;
}

/** Very many marks: pixels of one image, which keeps pace with the screen. */
function drawDots(pen, places, modes, box, colours, chosen) {
  const ratio = pen.context.getTransform().a;
  const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
  const image = new ImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  const ink = colours.modes.map((hex) => 0xff000000 | (parseInt(hex.slice(5, 7), 16) << 16) | (parseInt(hex.slice(3, 5), 16) << 8) | parseInt(hex.slice(1, 3), 16));
  for (let i = 0; i < places.length / 2; i += 1) {
    const mode = modes ? modes[i] : 0;
    if (chosen >= 0 && chosen !== mode) continue;
    const [x, y] = [Math.round((places[2 * i] - box.x) * ratio), Math.round((places[2 * i + 1] - box.y) * ratio)];
    if (x < 0 || y < 0 || x + 1 >= width || y + 1 >= height) continue;
    const at = y * width + x;
    const colour = ink[mode % ink.length];
    pixels[at] = pixels[at + 1] = pixels[at + width] = pixels[at + width + 1] = colour;
  }
  const sheet = new OffscreenCanvas(width, height);
  sheet.getContext("2d").putImageData(image, 0, 0);
  pen.context.drawImage(sheet, box.x, box.y, box.width, box.height);
}

function drawCross(pen, [x, y], box, { colours }) {
  if (x < 0 || x > 1 || y < 0 || y > 1) return;
  const d = `M${tenth(box.x + x * box.width)} ${tenth(box.y + y * box.height)}${crossOf(box.font * 0.5)}`;
  pen.path(d, { stroke: PAPER, width: box.font * 0.48 });
  pen.path(d, { stroke: colours.point, width: box.font * 0.24 });
}

/** A few round numbers along an axis. */
function ticks(low, high, most = 7) {
  const raw = (high - low) / most;
  const unit = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].find((m) => m * unit >= raw) * unit;
  const found = [];
  for (let value = Math.ceil(low / step) * step; value <= high; value += step) found.push(Number(value.toFixed(10)));
  return found;
}

function drawAxes(pen, panel, box) {
  const [[left, right], [bottom, top]] = panel.limits;
  const size = Math.max(12, box.font * 0.85);
  for (const value of ticks(left, right)) {
    const x = box.x + ((value - left) / (right - left)) * box.width;
    pen.text(x, box.y + box.height + size * 1.3, String(value).replace("-", "−"), { size, fill: MUTED, align: "center" });
  }
  if (panel.kind === "line") return;
  for (const value of ticks(bottom, top, 5)) {
    const y = box.y + ((top - value) / (top - bottom)) * box.height;
    pen.text(box.x - 6, y + size * 0.35, String(value).replace("-", "−"), { size, fill: MUTED, align: "right" });
  }
}
