// Everything that is known of the pair on the page. The feed writes, the views read; nothing here draws.

import { Book, CHECKSUM_DEPTH } from "./book.js";
import { toNumber } from "./decimal.js";

const TRADES_KEPT = 100;
const SAME_TIME = 100; // ms; in the database the time of a trade is another than on the socket, by 1 to 9 (measured in 2018)
const RATE_WINDOW = 5000;
const SAMPLE_EVERY = 500;

/** A heartbeat comes every 15 s, and a pong more often: after so many ms nobody can be there. */
const SILENT_AFTER = 20000;

/** It is asked each second whether it is there, and answers within milliseconds: a cut cable or a stopped process shows within 3 s. */
const ANSWER_WITHIN = 2000;

/** What the five-minute line shows, in ms. */
export const HISTORY = 5 * 60 * 1000;

export class Model {
  /** `again()` is called when what was told does not fit together. `now()` is in ms. */
  constructor(again, now) {
    this.again = again;
    this.now = now;
    this.link = { open: false, reason: "", since: now(), retryAt: 0 };
    this.daemon = null; // what GET /status says of this pair: {book, trades, recorder}
    this.askedAt = null; // when the daemon was asked for an answer that has not come yet
    this.undrawn = ""; // why this could not be shown
    this.begin("", null);
  }

  /** Another pair: nothing is known yet. `carried`: {precision, frequency, length} of its book, or null if there is none. */
  begin(symbol, carried) {
    this.symbol = symbol;
    this.carried = carried;
    this.book = new Book(carried?.precision === "R0");
    this.daemon = null;
    this.bookOpen = this.pausedFor = this.bookRefused = this.tradesRefused = this.wrong = null;
    this.goodAt = null; // when the book was last known to be right
    this.heardAt = null;
    this.checkedAt = null;
    this.trades = [];
    this.ids = new Set();
    this.idsBefore = null; // of the trades that were known when some may have been missed
    this.tradesOpen = null;
    this.rowTimes = []; // [ms, rows] of the last seconds
    this.samples = []; // {at, mid, spread}; null numbers where the book was not live
  }

  /** What the daemon says of the feed that counts: of the book, or where only trades are carried, of these. */
  get feed() {
    return this.carried ? this.daemon?.book : this.daemon?.trades;
  }

  /** Why the trades beside a book are not live, or null. */
  get tradesLate() {
    const trades = this.carried && this.daemon?.trades;
    return trades && trades.status !== "live" ? trades.reason || trades.status : null;
  }

  /** Whether its snapshot is here. */
  get open() {
    return Boolean(this.carried ? this.bookOpen : this.tradesOpen);
  }

  get live() {
    return this.link.open && this.open && !this.pausedFor && !this.wrong && !this.silent && !this.unanswered;
  }

  /** Whether nothing was heard for too long, as after a sleep of this machine. While the feed pauses nothing need come. */
  get silent() {
    return this.heardAt !== null && !this.pausedFor && this.now() - this.heardAt > SILENT_AFTER;
  }

  /** Whether the daemon keeps an answer back. While it does, whatever else comes may have been on its way for as long. */
  get unanswered() {
    return this.askedAt !== null && this.now() - this.askedAt > ANSWER_WITHIN;
  }

  // --- what the feed tells ---

  connected() {
    this.link = { open: true, reason: "", since: this.now(), retryAt: 0 };
    this.heardAt = this.now();
    this.askedAt = null;
  }

  /** The daemon, whether it is there. */
  asked() {
    this.askedAt = this.now();
  }

  answered() {
    this.askedAt = null;
    this.heard();
  }

  disconnected(reason, retryAt) {
    const since = this.link.open ? this.now() : this.link.since;
    this.link = { open: false, reason, since, retryAt };
    this.bookOpen = this.tradesOpen = this.pausedFor = this.wrong = null;
    this.missing();
  }

  heard() {
    this.heardAt = this.now();
    if (this.live) this.goodAt = this.heardAt;
  }

  paused() {
    this.pausedFor = "the feed is not live";
    this.missing();
  }

  /** From here to the next snapshot some trades may be missed. Before that, too, the relay tells of those that it has. */
  missing() {
    this.idsBefore ??= new Set(this.ids);
  }

  resumed() {
    this.pausedFor = this.bookOpen = this.tradesOpen = this.wrong = null;
  }

  refused(channel, message) {
    if (channel !== "trades") this.bookRefused = message;
    if (channel !== "book") this.tradesRefused = message;
  }

  bookSnapshot(rows) {
    this.book.load(rows);
    this.bookOpen = true;
    this.wrong = null;
    this.checkedAt = null; // that was another book
    this.heard();
  }

  bookUpdate(row) {
    this.book.apply(row);
    const now = this.now();
    const last = this.rowTimes.at(-1);
    if (last && now - last[0] < 100) last[1] += 1;
    else this.rowTimes.push([now, 1]);
    this.forgetRows(now); // here, too: of a tab that nobody looks at, nobody asks for the rate
  }

  checksum(value) {
    if (this.book.checksum() === value) {
      this.checkedAt = this.now();
    } else if (this.carried.length >= CHECKSUM_DEPTH) {
      this.wrong = "the checksum does not match";
      this.bookOpen = null;
      this.again();
    }
  }

  tradeSnapshot(rows) {
    this.tradesOpen = true;
    this.heard();
    this.missing();
    for (const row of [...rows].reverse()) this.trade(row);
    // A snapshot reaches back to what was known before, or more came meanwhile than it has.
    if (!rows.some(([id]) => this.idsBefore.has(id))) {
      const below = this.trades.findIndex(({ id }) => this.idsBefore.has(id));
      if (below > 0) this.trades[below - 1].hole = true;
    }
    this.idsBefore = null;
  }

  /** `[id, mts, amount, price]`: newest on top, each id once; below one with a `hole`, some may be missing.
   *
   * One that the relay had from a late `tu` alone may be old.
   */
  trade([id, mts, amount, price]) {
    if (this.ids.has(id)) return;
    this.ids.add(id);
    const time = Number(mts);
    const bought = !amount.startsWith("-");
    const trade = { id, time, bought, hole: false, amount: amount.replace(/^-/, ""), size: Math.abs(Number(amount)), price };
    // Where a demo was served before, its ids are above all that come now.
    const below = this.trades.findIndex((other) => Number(other.id) < Number(id) || other.time < time - SAME_TIME);
    this.trades.splice(below < 0 ? this.trades.length : below, 0, trade);
    for (const gone of this.trades.splice(TRADES_KEPT)) this.ids.delete(gone.id);
  }

  // --- what the views ask ---

  /** Rows of the book per second, over the last five. */
  rate() {
    this.forgetRows(this.now());
    return this.rowTimes.reduce((sum, [, rows]) => sum + rows, 0) / (RATE_WINDOW / 1000);
  }

  forgetRows(now) {
    while (this.rowTimes.length && this.rowTimes[0][0] < now - RATE_WINDOW) this.rowTimes.shift();
  }

  /** Take a sample for the line, if it is time for one, or if there are numbers now, or none any more. */
  sample() {
    const now = this.now();
    const top = this.live ? this.book.top() : null;
    const last = this.samples.at(-1);
    if (last && now - last.at < SAMPLE_EVERY && (last.mid === null) === (top === null)) return;
    this.samples.push({ at: now, mid: top && toNumber(top.mid), spread: top && toNumber(top.spread) });
    while (this.samples[0].at < now - HISTORY - SAMPLE_EVERY) this.samples.shift();
  }
}
