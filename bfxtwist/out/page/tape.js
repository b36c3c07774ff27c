// The tape: the latest trades, newest on top, and where some between them may be missing.

import { padding, placesOf } from "./decimal.js";
import { write } from "./state.js";

const SHOWN = 60;
const AMOUNT_PLACES = 8;
const SEEN_FOR = 4; // drawings, as in the ladder
const SIDE = 6;
const HOLE = "trades may be missing here";
const CLOCK = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });

export class Tape {
  constructor(document, reduced) {
    this.document = document;
    this.reduced = reduced;
    this.body = document.getElementById("trades");
    this.note = document.getElementById("tape-note");
    this.rows = new Map(); // by trade id, or by that of the trade above a hole
    this.lit = new Map(); // rows that are new, with the drawings for which they are seen to be
    this.scroller = this.body.closest(".scroll");
    this.clear();
  }

  clear() {
    this.rows.clear();
    this.lit.clear();
    this.body.replaceChildren();
    this.places = 0;
    this.longest = 0; // characters of time, price and amount together
    this.today = null;
  }

  /** `late`: these are not the latest. */
  draw(trades, note, late) {
    write(this.note, note);
    this.scroller.dataset.late = String(late);
    const shown = trades.slice(0, SHOWN);
    const largest = Math.max(...shown.map((trade) => trade.size));
    const places = Math.max(this.places, ...shown.map((trade) => placesOf(trade.price)));
    const first = this.rows.size === 0;
    const wanted = shown.flatMap((trade) => (trade.hole ? [trade, { id: `below ${trade.id}` }] : [trade]));
    wanted.forEach((item, index) => {
      if (this.rows.has(item.id)) return;
      const row = item.price ? this.row(item) : this.hole();
      this.rows.set(item.id, row);
      this.body.insertBefore(row, this.body.rows[index] ?? null); // those above it are there
      if (!first && item.price && !this.reduced()) this.lit.set(row, SEEN_FOR);
    });
    const kept = new Set(wanted.map((item) => item.id));
    for (const [id, row] of this.rows) {
      if (!kept.has(id)) {
        row.remove();
        this.rows.delete(id);
      }
    }
    this.fade();
    const now = Date.now();
    const today = new Date(now).toDateString();
    // The square root: sizes differ by a factor of a thousand, and a bar of one pixel says nothing.
    for (const trade of shown) {
      const row = this.rows.get(trade.id);
      row.style.setProperty("--fill", `${(100 * Math.sqrt(trade.size / largest)).toFixed(1)}%`);
      row.cells[2].dataset.pad = padding(trade.price, places);
      if (!row.cells[0].textContent || today !== this.today) write(row.cells[0].firstChild, when(trade.time, now));
      this.longest = Math.max(this.longest, row.cells[0].textContent.length + characters(trade, places));
    }
    this.scroller.style.setProperty("--characters", this.longest + SIDE);
    this.places = places;
    this.today = today;
  }

  fade() {
    for (const [row, left] of this.lit) {
      row.classList.toggle("new", left > 0);
      if (left > 0) this.lit.set(row, left - 1);
      else this.lit.delete(row);
    }
  }

  hole() {
    const row = this.document.createElement("tr");
    row.className = "hole";
    const cell = this.document.createElement("td");
    cell.colSpan = 4;
    cell.textContent = HOLE;
    row.append(cell);
    return row;
  }

  row(trade) {
    const row = this.document.createElement("tr");
    row.className = trade.bought ? "buy" : "sell";
    row.dataset.id = trade.id;
    const at = new Date(trade.time);
    const time = this.document.createElement("time");
    time.dateTime = at.toISOString();
    time.title = at.toISOString();
    const side = this.document.createElement("span");
    side.className = "side";
    side.textContent = trade.bought ? "▲ buy" : "▼ sell";
    for (const content of [time, side, trade.price, trade.amount]) {
      const cell = this.document.createElement("td");
      cell.append(content);
      row.append(cell);
    }
    row.cells[3].dataset.pad = padding(trade.amount, AMOUNT_PLACES);
    return row;
  }
}

/** The time of day; of another day than that of `now`, the day and no seconds. Both in ms. */
export function when(time, now) {
  const at = new Date(time);
  const clock = CLOCK.format(at);
  return at.toDateString() === new Date(now).toDateString() ? clock : `${DAY.format(at)} ${clock.slice(0, 5)}`;
}

/** What price and amount take, with what lines them up. */
function characters({ price, amount }, places) {
  return price.length + padding(price, places).length + amount.length + padding(amount, AMOUNT_PLACES).length;
}
