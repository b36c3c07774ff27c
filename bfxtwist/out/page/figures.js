// The figures above the charts: mid, spread, imbalance, rate, checksum, trade file.

import { CHECKSUM_DEPTH } from "./book.js";
import { format, toNumber } from "./decimal.js";
import { ago, write } from "./state.js";

/** Spread in basis points of the mid, as text. */
export function basisPoints(top) {
  const points = (10000 * toNumber(top.spread)) / toNumber(top.mid);
  return points.toFixed(points < 10 ? 2 : 1);
}

/** What the trade file lacks, in words: `{text, note, bad}`. There is no `recorder` (null), or nothing is known yet (undefined). */
export function gapsInWords(recorder) {
  if (recorder === undefined) return { text: "–", note: "", bad: false };
  if (!recorder) return { text: "not recorded", note: "", bad: false };
  const { open, filled, lost } = recorder.gaps;
  const text = open || lost ? `${open} open, ${lost} lost` : filled ? `${filled} filled, none open` : "no gaps";
  const through = recorder.lag_ms === null ? "" : `compared until ${ago(recorder.lag_ms)} ago`;
  return { text, note: recorder.error || (open || lost ? `${filled} filled` : through), bad: Boolean(open || lost || recorder.error) };
}

export class Figures {
  constructor(document) {
    this.at = (id) => document.getElementById(id);
    this.lastMid = null;
  }

  draw(model, now) {
    const top = model.book.top();
    this.mid(top);
    write(this.at("spread"), top ? format(top.spread) : "–");
    write(this.at("spread-note"), top ? `${basisPoints(top)} bp` : "");
    this.imbalance(top ? model.book.imbalance() : null);
    write(this.at("rate"), model.live && model.carried ? model.rate().toFixed(1) : "–");
    this.checked(model, now);
    this.gaps(model.daemon?.recorder);
  }

  mid(top) {
    const mid = top ? top.mid : null;
    write(this.at("mid"), mid === null ? "–" : format(mid));
    if (mid === null) {
      write(this.at("mid-note"), "");
    } else if (this.lastMid !== null && mid !== this.lastMid) {
      this.at("mid-note").dataset.way = mid > this.lastMid ? "up" : "down";
      write(this.at("mid-note"), mid > this.lastMid ? "▲ up" : "▼ down");
    }
    this.lastMid = mid;
  }

  imbalance(value) {
    const text = value === null ? "–" : `${value > 0 ? "+" : value < 0 ? "−" : ""}${Math.abs(100 * value).toFixed(0)} %`;
    write(this.at("imbalance"), text);
    const more = value === null || Math.abs(value) < 0.005 ? "best 10 levels" : value > 0 ? "more bid" : "more asked";
    write(this.at("imbalance-note"), more);
    this.at("imbalance-bar").style.setProperty("--share", `${50 + 50 * (value ?? 0)}%`);
  }

  checked(model, now) {
    const daemon = model.daemon?.book;
    const here = model.checkedAt;
    const none = model.carried?.length >= CHECKSUM_DEPTH ? "not yet" : "–";
    write(this.at("checked"), here === null ? none : `${ago(now - here)} ago`);
    const matched = daemon?.counters.checksums_matched;
    write(this.at("checked-note"), matched === undefined ? "" : `${matched} matched, ${daemon.counters.checksums_mismatched} not`);
  }

  gaps(recorder) {
    const { text, note, bad } = gapsInWords(recorder);
    write(this.at("gaps"), text);
    write(this.at("gaps-note"), note);
    this.at("gaps").dataset.bad = String(bad);
  }
}
