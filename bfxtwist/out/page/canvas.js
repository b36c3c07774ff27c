// What both charts need of a canvas: sharp pixels, the page's colours, round numbers on an axis.

/** A canvas that follows its element's size and the screen's density. */
export class Plot {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.colours = {};
    new ResizeObserver(() => this.fit()).observe(canvas);
    this.fit();
  }

  fit() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.readStyle();
  }

  /** The colours of the theme that is on, and the size of small text. */
  readStyle() {
    const style = getComputedStyle(this.canvas);
    for (const name of ["text", "muted", "line", "panel", "bid", "ask", "accent"]) {
      this.colours[name] = style.getPropertyValue(`--${name}`).trim();
    }
    this.rem = parseFloat(getComputedStyle(document.documentElement).fontSize);
    this.font = `${this.rem * 0.75}px ${style.fontFamily}`;
  }

  clear() {
    this.context.clearRect(0, 0, this.width, this.height);
    this.context.font = this.font;
  }

  text(text, x, y, { colour = this.colours.muted, align = "left", baseline = "middle" } = {}) {
    const { context } = this;
    context.fillStyle = colour;
    context.textAlign = align;
    context.textBaseline = baseline;
    context.lineWidth = 4;
    context.strokeStyle = this.colours.panel; // a rim, so that it can be read on a line
    context.lineJoin = "round";
    context.strokeText(text, x, y);
    context.fillText(text, x, y);
  }

  rule(x1, y1, x2, y2, colour = this.colours.line, dash = []) {
    const { context } = this;
    context.beginPath();
    context.setLineDash(dash);
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.moveTo(Math.round(x1) + 0.5, Math.round(y1) + 0.5);
    context.lineTo(Math.round(x2) + 0.5, Math.round(y2) + 0.5);
    context.stroke();
    context.setLineDash([]);
  }

  /** A line through points, and what lies under it down to `floor`. */
  area(points, floor, colour, alpha) {
    const { context } = this;
    if (!points.length) return;
    if (alpha) {
      context.beginPath();
      context.moveTo(points[0][0], floor);
      for (const [x, y] of points) context.lineTo(x, y);
      context.lineTo(points.at(-1)[0], floor);
      context.closePath();
      context.globalAlpha = alpha;
      context.fillStyle = colour;
      context.fill();
      context.globalAlpha = 1;
    }
    context.beginPath();
    for (const [x, y] of points) context.lineTo(x, y);
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.lineJoin = "round";
    context.stroke();
  }
}

/** Round numbers within [low, high], about `count` of them. */
export function ticks(low, high, count) {
  const span = high - low;
  if (!(span > 0)) return [];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough) * power;
  const values = [];
  for (let i = Math.ceil(low / step); i * step <= high; i += 1) values.push(i * step);
  return values;
}
