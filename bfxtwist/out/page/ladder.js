// The ladder: asks above, bids below, and between them the spread, which stays where it is whatever the book does.

import { format, padding, parse, placesOf, toNumber } from "./decimal.js";
import { write } from "./state.js";

/** For so many drawings a change is seen. An animation would have the browser paint sixty times a second, for twice the CPU in all. */
const SEEN_FOR = 3;

/** Characters that price, amount and total have room for at least. */
const COLUMNS = [8, 11, 12];

/** What the padding of a cell takes, in characters. */
const CELL_PADDING = 2.7;

class Row {
  constructor(document) {
    this.element = document.createElement("tr");
    this.price = document.createElement("th");
    this.price.scope = "row";
    this.amount = document.createElement("td");
    this.total = document.createElement("td");
    this.element.append(this.price, this.amount, this.total);
    this.lit = 0;
  }

  /** `level` is undefined where the book has none; `changed`: its amount is another than it was. */
  draw(level, places, deepest, changed) {
    this.cell(this.price, level?.price ?? "", places.price);
    this.cell(this.amount, level?.amount ?? "", places.amount);
    this.cell(this.total, level?.written ?? "", places.total);
    this.element.style.setProperty("--fill", level ? `${((100 * toNumber(level.total)) / deepest).toFixed(1)}%` : "0%");
    this.lit = changed ? SEEN_FOR : Math.max(0, this.lit - 1);
    this.amount.classList.toggle("changed", this.lit > 0);
  }

  cell(element, text, places) {
    if (element.textContent === text && element.dataset.places === String(places)) return;
    write(element, text);
    element.dataset.places = String(places);
    element.dataset.pad = padding(text, places);
  }
}

export class Ladder {
  constructor(document, reduced) {
    this.document = document;
    this.reduced = reduced;
    this.asks = document.getElementById("asks");
    this.bids = document.getElementById("bids");
    this.mid = document.getElementById("ladder-mid");
    this.spread = document.getElementById("ladder-spread");
    this.scroller = document.getElementById("ladder-scroll");
    this.rows = { asks: [], bids: [] };
    this.amounts = { asks: new Map(), bids: new Map() }; // that were shown last, by price
    this.columns = COLUMNS;
    new ResizeObserver(() => this.centre()).observe(this.scroller);
  }

  /** So many rows of each side, whatever the book has: the middle stays where it is. */
  resize(count) {
    for (const name of ["asks", "bids"]) {
      const rows = Array.from({ length: count }, () => new Row(this.document));
      this.rows[name] = rows;
      const elements = rows.map((row) => row.element);
      this[name].replaceChildren(...(name === "asks" ? elements.reverse() : elements));
    }
    this.centre();
  }

  /** Another book: its numbers may be shorter. */
  clear() {
    this.columns = COLUMNS;
  }

  centre() {
    const { scroller } = this;
    scroller.scrollTop = (scroller.scrollHeight - scroller.clientHeight) / 2;
  }

  draw(book, step, mid, caption) {
    const count = this.rows.asks.length;
    const sides = { asks: this.levels(book, "asks", step, count), bids: this.levels(book, "bids", step, count) };
    const all = [...sides.asks, ...sides.bids];
    const deepest = Math.max(1e-18, ...all.map((level) => toNumber(level.total)));
    const places = {
      price: Math.max(0, ...all.map((level) => placesOf(level.price))),
      amount: Math.max(0, ...all.map((level) => placesOf(level.amount))),
      total: Math.max(0, ...all.map((level) => placesOf(level.written))),
    };
    this.fit(all, places);
    for (const [name, rows] of Object.entries(this.rows)) {
      const before = this.reduced() ? new Map() : this.amounts[name];
      rows.forEach((row, index) => {
        const level = sides[name][index];
        row.draw(level, places, deepest, level && before.has(level.price) && before.get(level.price) !== level.amount);
      });
      this.amounts[name] = new Map(sides[name].map((level) => [level.price, level.amount]));
    }
    write(this.mid, mid);
    write(this.spread, caption);
  }

  /** Columns as wide as their longest numbers were until now, and digits small enough for all three. */
  fit(levels, places) {
    const length = (text, name) => text.length + padding(text, places[name]).length;
    for (const { price, amount, written } of levels) {
      const needed = [length(price, "price"), length(amount, "amount"), length(written, "total")];
      this.columns = this.columns.map((width, index) => Math.max(width, needed[index]));
    }
    const widths = this.columns.map((width) => width + CELL_PADDING);
    const all = widths.reduce((sum, width) => sum + width);
    const { style } = this.scroller;
    style.setProperty("--characters", this.columns.reduce((sum, width) => sum + width));
    ["--price", "--amount", "--total"].forEach((name, index) => style.setProperty(name, `${(100 * widths[index]) / all}%`));
  }

  levels(book, name, step, count) {
    const levels = book.levels(name, step, format).slice(0, count);
    for (const level of levels) level.written = format(level.total);
    return levels;
  }
}

/** Steps to group prices by, as tokens, for a book around `mid` (a float) with these prices (units).
 *
 * From the fifth significant digit on, or where no price has so many (`6.9e-7`, a book of less precision) from its last one.
 */
export function stepsFor(mid, prices) {
  const power = (exponent, digit = 1) => parse(`${digit}e${exponent}`);
  let finest = Math.max(Math.floor(Math.log10(mid)) - 4, -18);
  while (prices.every((price) => price % power(finest + 1) === 0n)) finest += 1;
  const steps = [finest, finest + 1, finest + 2].flatMap((exponent) => [power(exponent), power(exponent, 5)]);
  return steps.map((step) => format(step)).filter((step) => Number(step) < mid);
}
