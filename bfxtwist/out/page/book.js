// One order book as the relay tells it: snapshot, updates, checksum. Tokens are kept as they came.

import { parse, toNumber, toStep } from "./decimal.js";

/** The levels of each side that a checksum covers; shorter books have none that agrees. */
export const CHECKSUM_DEPTH = 25;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/** CRC-32 of an ASCII text as a signed 32-bit integer, which is how `cs` frames have it. */
export function crc32(text) {
  let crc = -1;
  for (let i = 0; i < text.length; i += 1) crc = CRC_TABLE[(crc ^ text.charCodeAt(i)) & 255] ^ (crc >>> 8);
  return ~crc;
}

class Side {
  constructor(bids) {
    this.bids = bids;
    this.rows = new Map(); // by the first field: a price, or an order's id
    this.sorted = null;
  }

  /** Rows, best first; orders of one price by id. */
  list() {
    const sign = this.bids ? -1 : 1;
    this.sorted ??= [...this.rows.values()].sort((a, b) => sign * (a.value - b.value) || Number(a.key) - Number(b.key));
    return this.sorted;
  }

  set(key, row) {
    this.sorted = null;
    if (row) this.rows.set(key, row);
    else this.rows.delete(key);
  }
}

export class Book {
  /** `raw`: the rows are orders, `[id, price, amount]`, and not levels, `[price, count, amount]`. */
  constructor(raw = false) {
    this.raw = raw;
    this.clear();
  }

  clear() {
    this.bids = new Side(true);
    this.asks = new Side(false);
  }

  load(rows) {
    this.clear();
    for (const row of rows) this.apply(row);
  }

  get empty() {
    return !this.bids.rows.size && !this.asks.rows.size;
  }

  /** Take in one row of tokens. */
  apply([key, second, amount]) {
    const side = amount.startsWith("-") ? this.asks : this.bids;
    if (Number(second) === 0) {
      side.set(key, null);
      return;
    }
    const price = this.raw ? second : key;
    const size = amount.replace(/^-/, "");
    side.set(key, { key, price, value: Number(price), count: this.raw ? 1 : Number(second), amount: size, units: parse(size) });
  }

  /** As the exchange computes it: of the top 25, bids and asks in turn. */
  checksum() {
    const bids = this.bids.list();
    const asks = this.asks.list();
    const parts = [];
    for (let i = 0; i < CHECKSUM_DEPTH; i += 1) {
      if (i < bids.length) parts.push(bids[i].key, bids[i].amount);
      if (i < asks.length) parts.push(asks[i].key, `-${asks[i].amount}`);
    }
    return crc32(parts.join(":"));
  }

  /** Levels of a side, best first, each with what lies up to it: `{price, value, amount, units, total, count}`.
   *
   * Without a step, prices and amounts are the exchange's own tokens. `step` (units) puts levels together, away from the
   * middle: a level never looks better than it is.
   */
  levels(name, step = 0n, write = String) {
    const side = this[name];
    const levels = [];
    let total = 0n;
    for (const row of side.list()) {
      total += row.units;
      const place = step ? toStep(parse(row.price), step, !side.bids) : row.price;
      const last = levels.at(-1);
      if (last && last.place === place) {
        last.units += row.units;
        last.total = total;
        last.count += row.count;
        last.amount = write(last.units);
      } else {
        const price = step ? write(place) : row.price;
        const value = step ? toNumber(place) : row.value;
        levels.push({ place, price, value, amount: row.amount, units: row.units, total, count: row.count });
      }
    }
    return levels;
  }

  /** `{bid, ask, mid, spread}` in units, or null while a side is empty. */
  top() {
    const [bid] = this.bids.list();
    const [ask] = this.asks.list();
    if (!bid || !ask) return null;
    const [low, high] = [parse(bid.price), parse(ask.price)];
    return { bid: low, ask: high, mid: (low + high) / 2n, spread: high - low };
  }

  /** From -1 (all asks) to 1 (all bids): the share of amounts in the best ten levels. */
  imbalance() {
    const sum = (side) => side.list().slice(0, 10).reduce((total, row) => total + Number(row.amount), 0);
    const [bids, asks] = [sum(this.bids), sum(this.asks)];
    return bids + asks ? (bids - asks) / (bids + asks) : 0;
  }
}
