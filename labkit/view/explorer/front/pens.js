/* Two pens with the same strokes: one draws on a canvas, the other writes SVG. */

const INK = "#1b2230";
const MUTED = "#596273";
const PAPER = "#ffffff";
const SANS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

class CanvasPen {
  constructor(context) {
    this.context = context;
  }

  /** An outline; a halo is drawn behind the filling, so that marks which overlap stay marks. */
  path(d, { fill, stroke, width = 1, dash = [], alpha = 1, halo = false } = {}) {
    const path = new Path2D(d);
    this.context.globalAlpha = alpha;
    const line = () => {
      if (!stroke) return;
      Object.assign(this.context, { strokeStyle: stroke, lineWidth: width, lineJoin: "round" });
      this.context.setLineDash(dash);
      this.context.stroke(path);
    };
    if (halo) line();
    if (fill) {
      this.context.fillStyle = fill;
      this.context.fill(path, halo ? "nonzero" : "evenodd");
    }
    if (!halo) line();
    this.context.globalAlpha = 1;
  }

  text(x, y, text, { size = 13, weight = 400, fill = INK, align = "left" } = {}) {
    Object.assign(this.context, { font: `${weight} ${size}px ${SANS}`, fillStyle: fill, textAlign: align });
    this.context.fillText(text, x, y);
  }

  width(text, size, weight = 400) {
    this.context.font = `${weight} ${size}px ${SANS}`;
    return this.context.measureText(text).width;
  }

  clip(x, y, width, height, draw) {
    this.context.save();
    this.context.beginPath();
    this.context.rect(x, y, width, height);
    this.context.clip();
    draw();
    this.context.restore();
  }
}

class SvgPen {
  constructor(width, height, measure) {
    this.root = this.element("svg", { viewBox: `0 0 ${width} ${height}`, width, height, "font-family": SANS });
    this.measure = measure; // an SVG that is not shown cannot measure its texts
    this.here = this.root;
  }

  element(name, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  path(d, { fill = "none", stroke = "none", width = 1, dash = [], alpha = 1, halo = false } = {}) {
    if (!d) return;
    const extra = { ...(dash.length && { "stroke-dasharray": dash.join(" ") }), ...(alpha < 1 && { opacity: alpha }), ...(halo && { "paint-order": "stroke" }) };
    this.here.append(this.element("path", { d, fill, stroke, "stroke-width": width, "fill-rule": halo ? "nonzero" : "evenodd",
      "stroke-linejoin": "round", ...extra }));
  }

  text(x, y, text, { size = 13, weight = 400, fill = INK, align = "left" } = {}) {
    const anchor = { left: "start", center: "middle", right: "end" }[align];
    const element = this.element("text", { x, y, "font-size": size, "font-weight": weight, fill, "text-anchor": anchor });
    element.textContent = text;
    this.here.append(element);
  }

  width(text, size, weight = 400) {
    return this.measure.width(text, size, weight);
  }

  clip(x, y, width, height, draw) {
    const [id, outside] = [unique("clip"), this.here];
    const shape = this.element("clipPath", { id });
    shape.append(this.element("rect", { x, y, width, height }));
    this.here = this.element("g", { "clip-path": `url(#${id})` });
    outside.append(shape, this.here);
    draw();
    this.here = outside;
  }

  toString() {
    return new XMLSerializer().serializeToString(this.root);
  }
}
