// The depth chart: what must be bought or sold to move the price so far. Both sides on one scale, mirrored at the middle.

import { Plot, ticks } from "./canvas.js";
import { brief, toNumber } from "./decimal.js";
import { write } from "./state.js";

export class DepthChart {
  constructor(canvas, readout) {
    this.plot = new Plot(canvas);
    this.canvas = canvas;
    this.readout = readout;
    this.cross = null; // where the crosshair is, from -1 (left) to 1 (right)
    this.book = null;
    canvas.addEventListener("pointermove", (event) => this.point((2 * event.offsetX) / this.plot.width - 1));
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("blur", () => this.point(null));
    canvas.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const steps = { ArrowLeft: -0.02, ArrowRight: 0.02, PageUp: 0.2, PageDown: -0.2, Home: -2, End: 2, Escape: null };
    if (!(event.key in steps)) return;
    event.preventDefault();
    const step = steps[event.key];
    this.point(step === null ? null : Math.max(-1, Math.min(1, (this.cross ?? 0) + step)));
  }

  point(place) {
    this.cross = place;
    if (this.book) this.draw(this.book);
    // Said when it is moved, and not whenever the book does: who listens would hear of nothing else.
    this.canvas.setAttribute("aria-valuenow", (100 * (place ?? 0)).toFixed(0));
    this.canvas.setAttribute("aria-valuetext", this.readout.textContent || "middle of the book");
  }

  draw(book) {
    this.book = book;
    this.plot.clear();
    const top = book.top();
    if (!top) {
      write(this.readout, "");
      return;
    }
    const sides = { bids: book.levels("bids"), asks: book.levels("asks") };
    const mid = toNumber(top.mid);
    const furthest = Math.max(mid - sides.bids.at(-1).value, sides.asks.at(-1).value - mid) || mid * 0.001;
    const reach = Math.min(furthest, mid); // both sides have the same: no bid is below 0, however far the asks go
    const deepest = Math.max(toNumber(sides.bids.at(-1).total), toNumber(sides.asks.at(-1).total));
    const { width, height, rem } = this.plot;
    const floor = height - rem * 1.5;
    this.scale = {
      mid, reach, floor,
      x: (price) => (width / 2) * (1 + (price - mid) / reach),
      y: (amount) => floor - (amount / (deepest * 1.05)) * (floor - rem * 2),
    };
    const amounts = ticks(0, deepest * 1.05, 4).slice(1);
    this.rules(amounts);
    this.side(sides.bids, this.plot.colours.bid);
    this.side(sides.asks, this.plot.colours.ask);
    this.labels(amounts);
    this.crosshair(sides);
  }

  rules(amounts) {
    const { plot, scale } = this;
    for (const amount of amounts) plot.rule(0, scale.y(amount), plot.width, scale.y(amount));
    plot.rule(0, scale.floor, plot.width, scale.floor);
  }

  labels(amounts) {
    const { plot, scale } = this;
    const { rem, width } = plot;
    for (const amount of amounts) plot.text(brief(amount, 4), width - rem * 0.5, scale.y(amount), { align: "right" });
    plot.text("bids", width / 2 - rem * 0.8, rem, { colour: plot.colours.bid, align: "right" });
    plot.text("asks", width / 2 + rem * 0.8, rem, { colour: plot.colours.ask });
    const wanted = Math.max(2, Math.floor(width / (rem * 7)));
    for (const price of ticks(scale.mid - scale.reach, scale.mid + scale.reach, wanted)) {
      const x = scale.x(price);
      if (x > rem * 2 && x < width - rem * 2) plot.text(brief(price, 7), x, scale.floor + rem * 0.8, { align: "center" });
    }
    plot.rule(width / 2, 0, width / 2, scale.floor, plot.colours.muted, [2, 4]);
  }

  /** Steps: up to a level's price only what lies before it is there. */
  side(levels, colour) {
    const { plot, scale } = this;
    const points = [];
    let reached = 0;
    for (const level of levels) {
      const x = scale.x(level.value);
      points.push([x, scale.y(reached)]);
      reached = toNumber(level.total);
      points.push([x, scale.y(reached)]);
    }
    points.push([levels[0].value < scale.mid ? 0 : plot.width, scale.y(reached)]);
    plot.area(points, scale.floor, colour, 0.16);
  }

  crosshair(sides) {
    if (this.cross === null) {
      write(this.readout, "");
      return;
    }
    const { plot, scale } = this;
    const price = scale.mid + this.cross * scale.reach;
    const bids = this.cross < 0;
    const within = (bids ? sides.bids : sides.asks).filter((level) => (bids ? level.value >= price : level.value <= price));
    const amount = within.length ? toNumber(within.at(-1).total) : 0;
    const [x, y] = [scale.x(price), scale.y(amount)];
    const colour = bids ? plot.colours.bid : plot.colours.ask;
    plot.rule(x, 0, x, scale.floor, plot.colours.text, [3, 3]);
    plot.rule(0, y, plot.width, y, plot.colours.text, [3, 3]);
    plot.context.beginPath();
    plot.context.arc(x, y, 4, 0, 7);
    plot.context.fillStyle = colour;
    plot.context.fill();
    const distance = (100 * (price - scale.mid)) / scale.mid;
    const sign = distance > 0 ? "+" : distance < 0 ? "−" : "";
    write(this.readout, `${brief(price, 7)} · ${brief(amount, 6)} ${bids ? "bid" : "asked"} · ${sign}${Math.abs(distance).toFixed(3)} %`);
  }
}
