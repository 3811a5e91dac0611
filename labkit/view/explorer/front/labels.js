/* Where the labels of modes go: near their modes, off each other, off the marks as far as there is room. */

/** The words of a mode in at most two lines of at most this width. */
function wrapWords(pen, words, size, width) {
  const lines = [""];
  for (const word of words.slice(0, 5)) {
    const longer = lines.at(-1) ? `${lines.at(-1)}, ${word}` : word;
    if (pen.width(`${longer},`, size) <= width || !lines.at(-1)) lines[lines.length - 1] = longer;
    else if (lines.length < 2) {
      lines[0] += ",";
      lines.push(word);
    } else break;
  }
  return lines.filter(Boolean).map((line) => shortened(pen, line, size, width));
}

function shortened(pen, text, size, width) {
  let shown = text;
  while (shown.length > 2 && pen.width(shown, size) > width) shown = `${shown.slice(0, -2)}…`;
  return shown;
}

/** Boxes [{x, y, width, height}] for labels of given sizes at anchors, inside a frame. */
function placeLabels(anchors, sizes, frame, avoid) {
  const diagonal = Math.hypot(frame.width, frame.height);
  const placed = [];
  anchors.forEach((anchor, number) => {
    const { width, height } = sizes[number];
    let best = null;
    for (let i = 0; i <= 20; i += 1) {
      for (let j = 0; j <= 20; j += 1) {
        const x = frame.x + 4 + ((frame.width - width - 8) * i) / 20;
        const y = frame.y + 4 + ((frame.height - height - 8) * j) / 20;
        const cost = labelCost({ x, y, width, height }, anchor, anchors, placed, avoid, diagonal);
        if (!best || cost < best.cost) best = { x, y, width, height, cost };
      }
    }
    placed.push(best);
  });
  return placed;
}

function labelCost(spot, anchor, anchors, placed, avoid, diagonal) {
  const away = (point) => Math.hypot(Math.max(spot.x - point[0], 0, point[0] - spot.x - spot.width),
    Math.max(spot.y - point[1], 0, point[1] - spot.y - spot.height));
  let cost = away(anchor);
  for (const other of anchors) if (away(other) < 12) cost += diagonal / 2;
  for (const other of placed) {
    const gap = 6;
    const apart = spot.x > other.x + other.width + gap || other.x > spot.x + spot.width + gap
      || spot.y > other.y + other.height + gap || other.y > spot.y + spot.height + gap;
    if (!apart) cost += 100 * diagonal;
  }
  for (let i = 0; i < avoid.length; i += 2) {
    if (avoid[i] > spot.x && avoid[i] < spot.x + spot.width && avoid[i + 1] > spot.y && avoid[i + 1] < spot.y + spot.height) cost += diagonal / 70;
  }
  return cost;
}

/** The labels of a panel and their boxes; kept on the panel, where a click looks for them. */
function drawLabels(pen, panel, box, { colours, mode: chosen = -1, words = true }) {
  const shown = panel.modes.map((mode, i) => i).filter((i) => panel.modes[i].mass >= SHOWN && panel.modes[i].at);
  const size = box.font;
  const texts = shown.map((i) => [percent(panel.modes[i].mass), ...(words ? wrapWords(pen, panel.modes[i].words, size, box.width * 0.3) : [])]);
  const sizes = texts.map((lines) => ({
    width: Math.max(...lines.map((line, i) => pen.width(line, size, i ? 400 : 700) + (i ? 0 : size * 1.3))) + size,
    height: size * (1.3 * lines.length + 0.55),
  }));
  const anchors = shown.map((i) => anchorOf(panel, panel.modes[i], box));
  const avoid = panel.samples ? markPlaces(panel, box).subarray(0, 1000) : [];
  const spots = placeLabels(anchors, sizes, box, avoid);
  panel.spots = spots.map((spot, i) => ({ ...spot, mode: shown[i], anchor: anchors[i] }));
  spots.forEach((spot, number) => {
    const mode = shown[number];
    const [x, y] = anchors[number];
    const alpha = chosen >= 0 && chosen !== mode ? 0.35 : 1;
    const colour = colours.modes[mode % colours.modes.length];
    const end = [Math.min(Math.max(x, spot.x), spot.x + spot.width), Math.min(Math.max(y, spot.y), spot.y + spot.height)];
    pen.path(`M${tenth(x)} ${tenth(y)}L${tenth(end[0])} ${tenth(end[1])}`, { stroke: INK, width: 1.4, alpha });
    pen.path(`M${tenth(x)} ${tenth(y)}${shapeOf(0, 4.5)}`, { fill: PAPER, stroke: INK, width: 2, alpha });
    pen.path(`M${tenth(spot.x)} ${tenth(spot.y)}h${tenth(spot.width)}v${tenth(spot.height)}h${-tenth(spot.width)}z`,
      { fill: PAPER, stroke: colour, width: chosen === mode ? 3.5 : 2, alpha: alpha < 1 ? 0.6 : 0.96 });
    pen.path(`M${tenth(spot.x + size * 0.95)} ${tenth(spot.y + size * 0.9)}${shapeOf(mode, size / 3.2)}`, { fill: colour, alpha });
    texts[number].forEach((line, i) => pen.text(spot.x + size * (i ? 0.5 : 1.7), spot.y + size * (1.25 + 1.3 * i), line, { size, weight: i ? 400 : 700 }));
  });
}

function anchorOf(panel, mode, box) {
  const x = box.x + mode.at[0] * box.width;
  if (panel.kind !== "line") return [x, box.y + mode.at[1] * box.height];
  const [left, right] = panel.limits[0];
  const z = left + mode.at[0] * (right - left);
  const share = (z - panel.from[0]) / (panel.from[1] - panel.from[0]);
  const at = Math.min(Math.max(Math.round(share * (panel.height.length - 1)), 0), panel.height.length - 1);
  const top = panel.height.reduce((a, b) => Math.max(a, b), 0);
  const rows = rowsOf(panel).length;
  const room = box.height / rows;
  return [x, box.y + room - 4 - (panel.height[at] / top) * (room - (rows > 1 ? box.font * 1.6 : 46)) * 0.9];
}
