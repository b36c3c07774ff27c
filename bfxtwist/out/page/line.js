// Five minutes of mid and spread. Where the book was not live there is no line, and the place is marked.

import { Plot, ticks } from "./canvas.js";
import { brief } from "./decimal.js";
import { HISTORY } from "./model.js";

/** The part of the height that the mid has; the spread is below it. */
const MID_PART = 0.68;

export class LineChart {
  constructor(canvas) {
    this.plot = new Plot(canvas);
    this.canvas = canvas;
  }

  draw(samples, now) {
    const { plot } = this;
    plot.clear();
    const known = samples.filter((sample) => sample.mid !== null);
    const { width, height, rem } = plot;
    const floor = height - rem * 1.4;
    const scales = { mid: scaleOf(known, "mid"), spread: scaleOf(known, "spread", 0) };
    const labels = [...scales.mid.labels, ...scales.spread.labels].map(([, text]) => plot.context.measureText(text).width);
    const right = width - Math.max(rem * 4.2, rem * 0.7 + Math.max(...labels));
    const x = (at) => right * (1 - (now - at) / HISTORY);
    this.times(x, floor, right);
    this.unknown(samples, x, floor, now);
    if (!known.length) return;
    const parts = runs(samples);
    const split = floor * MID_PART;
    this.series(parts, "mid", scales.mid, x, [rem * 0.6, split - rem * 0.8], plot.colours.accent, right);
    this.series(parts, "spread", scales.spread, x, [split + rem * 0.6, floor - 2], plot.colours.muted, right);
    plot.text("spread", 2, split + rem * 0.4);
    const last = known.at(-1);
    this.canvas.setAttribute("aria-label", `Five minutes: mid ${brief(last.mid, 8)}, spread ${brief(last.spread, 4)}`);
  }

  times(x, floor, right) {
    const { plot } = this;
    const apart = right < plot.rem * 24 ? 2 : 1;
    for (let minute = 0; minute <= 5; minute += apart) {
      const place = right * (1 - minute / 5);
      plot.rule(place, 0, place, floor);
      const align = minute === 5 ? "left" : "center";
      plot.text(minute ? `−${minute} min` : "now", place, floor + plot.rem * 0.8, { align });
    }
  }

  unknown(samples, x, floor, now) {
    const { context, colours } = this.plot;
    context.fillStyle = colours.muted;
    context.globalAlpha = 0.18;
    samples.forEach((sample, index) => {
      if (sample.mid !== null) return;
      const end = samples[index + 1]?.at ?? now;
      context.fillRect(x(sample.at), 0, x(end) - x(sample.at), floor);
    });
    context.globalAlpha = 1;
  }

  series(parts, name, { low, high, labels, filled }, x, [top, bottom], colour, right) {
    const { plot } = this;
    const y = (value) => bottom - ((value - low) / (high - low)) * (bottom - top);
    for (const [value, text] of labels) {
      plot.rule(0, y(value), right, y(value));
      plot.text(text, right + plot.rem * 0.4, y(value));
    }
    for (const part of parts) {
      plot.area(part.flatMap((sample, i) => stepped(part, i, x, y, name)), bottom, colour, filled ? 0.2 : 0);
    }
    const last = parts.at(-1).at(-1);
    plot.context.beginPath();
    plot.context.arc(x(last.at), y(last[name]), 2.5, 0, 7);
    plot.context.fillStyle = colour;
    plot.context.fill();
  }
}

/** From where to where some samples go, at least from `from` on, and what is written beside that. */
function scaleOf(samples, name, from = null) {
  const values = samples.map((sample) => sample[name]);
  let low = from ?? Math.min(...values);
  let high = Math.max(...values);
  const least = Math.abs(high) * 1e-5 || 1e-9;
  if (high - low < least) [low, high] = from === null ? [low - least, high + least] : [from, high + least];
  const labels = ticks(low, high, from === null ? 3 : 2).map((value) => [value, brief(value, 8)]);
  return { low, high, labels, filled: from !== null };
}

/** A value stands until the next one. */
function stepped(part, index, x, y, name) {
  const here = [x(part[index].at), y(part[index][name])];
  return index ? [[here[0], y(part[index - 1][name])], here] : [here];
}

/** The samples that follow each other without a gap. */
function runs(samples) {
  const parts = [[]];
  for (const sample of samples) {
    if (sample.mid !== null) parts.at(-1).push(sample);
    else if (parts.at(-1).length) parts.push([]);
  }
  return parts.filter((part) => part.length);
}
