// Whether the numbers on the page may be trusted, in words. The verdict is made of facts and a time, and shown so that it cannot
// be overlooked.

import { CHECKSUM_DEPTH } from "./book.js";

/** Whole seconds, or minutes, or hours: `12 s`, `3 min`, `2 h`. */
export function ago(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  return seconds < 7200 ? `${Math.floor(seconds / 60)} min` : `${Math.floor(seconds / 3600)} h`;
}

/** `{state, headline, detail}` of a model. `state` is live, syncing, stale, disconnected or absent. */
export function judge(model, now) {
  const { feed } = model;
  const what = model.carried ? "book" : "trades";
  const age = model.goodAt === null ? "" : `These numbers are ${ago(now - model.goodAt + silence(feed))} old.`;
  if (!model.link.open) {
    if (model.link.reason === "") return { state: "syncing", headline: "Connecting", detail: "to the daemon" };
    const wait = Math.ceil(Math.max(0, model.link.retryAt - now) / 1000);
    const next = wait ? `Trying again in ${wait} s.` : "Trying again.";
    return verdict("disconnected", `Disconnected for ${ago(now - model.link.since)}`, age, `${sentence(model.link.reason)}`, next);
  }
  const { daemon } = model;
  if (daemon && !daemon.book && !daemon.trades) return verdict("absent", "Not carried", "The daemon does not carry this pair.");
  const refused = model.carried ? model.bookRefused : model.tradesRefused;
  if (refused) return verdict("absent", `No ${what}`, "", sentence(refused));
  if (model.wrong) return verdict("stale", "Wrong book", age, sentence(model.wrong), "Subscribing again.");
  if (model.pausedFor || (!model.open && feed && feed.status !== "live")) {
    // A pause does not say of what. If of the trades alone, nothing would tell of the book's while these are read as well.
    const late = [feed, model.daemon?.trades].find((one) => one && one.status !== "live");
    const why = late ? `${late === feed ? "" : "the trades are not live: "}${late.reason || late.status}` : model.pausedFor;
    if (model.goodAt === null) return verdict("syncing", `No ${what} yet`, "", sentence(why));
    return verdict("stale", `Stale for ${ago(now - model.goodAt)}`, !late || late === feed ? age : "", sentence(why));
  }
  if (!model.open) return verdict("syncing", "Syncing", age, "Waiting for the snapshot.");
  if (model.undrawn) return verdict("stale", "Not drawn", "These numbers are not the latest.", sentence(model.undrawn));
  if (model.silent) return verdict("stale", `Silent for ${ago(now - model.heardAt)}`, age, "The daemon says nothing.");
  if (model.unanswered) return verdict("stale", `No answer for ${ago(now - model.askedAt)}`, age, "The daemon says nothing.");
  if (!model.carried) return verdict("live", "Live", "in sequence, trades only");
  if (!model.tradesLate) return verdict("live", "Live", `in sequence, ${checked(model, now)}`);
  return verdict("live", "Live", `the book is in sequence, ${checked(model, now)}.`, `The trades are not live: ${model.tradesLate}.`);
}

function checked({ carried, checkedAt }, now) {
  if (checkedAt !== null) return `checksum verified ${ago(now - checkedAt)} ago`;
  return carried.length < CHECKSUM_DEPTH ? "no checksum covers one level" : "no checksum compared yet";
}

/** How long the exchange had been silent when the daemon called the book stale, in ms. */
function silence(feed) {
  return feed?.status === "stale" ? Math.max(0, Date.parse(feed.since) - Date.parse(feed.last_message)) || 0 : 0;
}

function verdict(state, headline, ...details) {
  return { state, headline, detail: details.filter(Boolean).join(" ") };
}

function sentence(text) {
  return text && `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** A verdict in whole sentences, for those who listen. */
export function spoken(name, { headline, detail }) {
  return `${name}: ${headline}. ${sentence(detail)}`.trim();
}

const ICONS = {
  live: ["#1f9d63", "M9 16.5l4.5 4.5L23 11.5"],
  syncing: ["#3b82c4", "M16 8v9l5 3"],
  stale: ["#c77700", "M16 8v10M16 22.5v.5"],
  disconnected: ["#c62f45", "M10 10l12 12M22 10L10 22"],
  absent: ["#7a838f", "M9 16h14"],
};

function icon(state) {
  const [colour, path] = ICONS[state];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><circle cx="16" cy="16" r="15" fill="${colour}"/><path d="${path}" stroke="#fff" stroke-width="3.5" fill="none" stroke-linecap="round" stroke-linejoin="round"/></svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}

/** Shows the verdict: in the banner, on the whole page, in the title and in the tab's icon. */
export class StateView {
  constructor(document) {
    this.root = document.documentElement;
    this.document = document;
    this.headline = document.getElementById("headline");
    this.detail = document.getElementById("detail");
    this.spoken = document.getElementById("spoken");
    this.icon = document.getElementById("icon");
    this.shown = null;
  }

  draw(verdict, name, mid) {
    if (verdict.state !== this.shown) {
      this.shown = verdict.state;
      this.root.dataset.state = verdict.state;
      this.icon.href = icon(verdict.state);
      // Said once for each change of state; the seconds that tick in the banner are not said.
      this.spoken.textContent = spoken(name, verdict);
    }
    write(this.headline, verdict.headline);
    write(this.detail, verdict.detail);
    const title = verdict.state === "live" && mid ? `${mid} ${name}` : `${verdict.headline} – ${name}`;
    if (this.document.title !== title) this.document.title = title;
  }
}

/** Set a text only where it differs: the browser lays out again whatever is set. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
