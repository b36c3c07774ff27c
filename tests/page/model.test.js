// What the page knows of a pair, and its verdict, without a browser. Run by test_modules.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Model } from "./model.js";
import { judge } from "./state.js";

const ROWS = [["6443.5", "2", "0.50"], ["6443", "1", "7e-7"], ["6444", "1", "-2"], ["6445.5", "3", "-0.125"]];

function modelAt() {
  const clock = { now: 0 };
  const again = [];
  const model = new Model(() => again.push(clock.now), () => clock.now);
  model.begin("tBTCUSD", { precision: "P0", length: 25 });
  return { clock, model, again };
}

test("the verdict follows the facts", () => {
  const { clock, model } = modelAt();
  const state = () => judge(model, clock.now).state;
  assert.equal(state(), "syncing");
  model.connected();
  assert.equal(state(), "syncing");
  model.bookSnapshot(ROWS);
  assert.equal(state(), "live");
  clock.now = 4000;
  model.heard();
  clock.now = 16000;
  model.paused();
  model.heard();
  model.daemon = { book: { status: "stale", reason: "the heartbeat is late" } };
  assert.deepEqual(judge(model, clock.now), { state: "stale", headline: "Stale for 12 s", detail: "These numbers are 12 s old. The heartbeat is late." });
  Object.assign(model.daemon.book, { since: "2026-11-23T07:15:20.100Z", last_message: "2026-11-23T07:15:00.000Z" });
  assert.match(judge(model, clock.now).detail, /^These numbers are 32 s old/); // it was silent for a while before
  model.resumed();
  model.daemon.book.status = "live";
  assert.equal(state(), "syncing");
  model.bookSnapshot(ROWS);
  assert.equal(state(), "live");
  model.disconnected("the daemon does not answer", 18000);
  clock.now = 17000;
  assert.deepEqual(judge(model, clock.now), {
    state: "disconnected", headline: "Disconnected for 1 s",
    detail: "These numbers are 1 s old. The daemon does not answer. Trying again in 1 s.",
  });
  model.connected();
  assert.equal(state(), "syncing");
  model.refused("book", "symbol: invalid");
  assert.equal(state(), "absent");
});

test("a live book beside trades that are not live", () => {
  const { model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  model.daemon = { book: { status: "live" }, trades: { status: "stale", reason: "the heartbeat is late" } };
  const detail = "the book is in sequence, no checksum compared yet. The trades are not live: the heartbeat is late.";
  assert.deepEqual(judge(model, 0), { state: "live", headline: "Live", detail });
});

test("of a pair without a book, the trades are judged", () => {
  const { clock, model } = modelAt();
  model.begin("tBTCUSD", null);
  model.connected();
  assert.deepEqual(judge(model, 0), { state: "syncing", headline: "Syncing", detail: "Waiting for the snapshot." });
  model.tradeSnapshot([["3", "30", "1", "6"]]);
  assert.deepEqual(judge(model, 0), { state: "live", headline: "Live", detail: "in sequence, trades only" });
  clock.now = 5000;
  model.paused();
  model.daemon = { trades: { status: "stale", reason: "the heartbeat is late" } };
  assert.deepEqual(judge(model, 5000), { state: "stale", headline: "Stale for 5 s", detail: "These numbers are 5 s old. The heartbeat is late." });
  model.resumed();
  assert.equal(judge(model, 5000).state, "stale"); // as long as the daemon says so
  model.daemon.trades.status = "live";
  assert.equal(judge(model, 5000).state, "syncing");
  model.refused("trades", "it is not carried any more");
  assert.deepEqual(judge(model, 5000), { state: "absent", headline: "No trades", detail: "It is not carried any more." });
});

test("a pause of the trades is not told as the book's age", () => {
  const { clock, model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  model.daemon = { book: { status: "live" }, trades: { status: "stale", reason: "the heartbeat is late" } };
  clock.now = 5000;
  model.paused();
  assert.equal(judge(model, 5000).detail, "The trades are not live: the heartbeat is late.");
});

test("no checksum is promised that does not come", () => {
  const { model } = modelAt();
  model.begin("tBTCUSD", { precision: "P0", length: 1 });
  model.connected();
  model.bookSnapshot(ROWS);
  assert.equal(judge(model, 0).detail, "in sequence, no checksum covers one level");
});

test("a wrong checksum makes the book wrong until it is told anew", () => {
  const { clock, model, again } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  model.checksum(model.book.checksum());
  assert.equal(model.checkedAt, 0);
  model.checksum(1);
  assert.equal(again.length, 1);
  assert.equal(judge(model, clock.now).state, "stale");
  model.bookSnapshot(ROWS);
  assert.equal(judge(model, clock.now).state, "live");
});

test("that a book was verified says nothing of the one after a gap", () => {
  const { clock, model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  model.checksum(model.book.checksum());
  clock.now = 4000;
  assert.equal(judge(model, clock.now).detail, "in sequence, checksum verified 4 s ago");
  model.disconnected("the daemon does not answer", 4500);
  model.connected();
  model.bookSnapshot(ROWS);
  assert.equal(judge(model, clock.now).detail, "in sequence, no checksum compared yet");
});

test("a trade is on the tape once, and the tape has an end", () => {
  const { model } = modelAt();
  model.tradeSnapshot([["3", "30", "1", "6"], ["2", "20", "-1", "6"]]);
  model.trade(["3", "30", "1", "6"]);
  model.trade(["4", "40", "-0.50", "6"]);
  assert.deepEqual(model.trades.map((trade) => [trade.id, trade.bought, trade.amount]), [["4", false, "0.50"], ["3", true, "1"], ["2", false, "1"]]);
  for (let id = 10; id < 500; id += 1) model.trade([String(id), "50", "1", "6"]);
  assert.equal(model.trades.length, 100);
  assert.equal(model.ids.size, 100);
});

test("a trade that comes late stands where it belongs, and those of another exchange hide none", () => {
  const { model } = modelAt();
  const shown = () => model.trades.map((trade) => trade.id);
  model.tradeSnapshot([["9", "90", "1", "6"], ["7", "70", "1", "6"], ["5", "50", "1", "6"]]);
  model.trade(["6", "71", "1", "6"]); // by the database's time
  model.trade(["3", "30", "1", "6"]);
  model.trade(["10", "90", "1", "6"]);
  assert.deepEqual(shown(), ["10", "9", "7", "6", "5", "3"]);
  model.trade(["2", "1000", "1", "6"]);
  model.trade(["4", "1001", "1", "6"]);
  assert.deepEqual(shown().slice(0, 3), ["4", "2", "10"]);
});

const tradeRows = (newest, oldest) => Array.from({ length: newest - oldest + 1 }, (_, i) => [String(newest - i), String(newest - i), "1", "6"]);
const holes = (model) => model.trades.filter(({ hole }) => hole).map(({ id }) => id);

test("where the snapshot after a gap does not reach back, the tape has a hole", () => {
  const { model } = modelAt();
  model.connected();
  model.tradeSnapshot(tradeRows(30, 1));
  model.disconnected("the daemon does not answer", 500);
  model.connected();
  model.tradeSnapshot(tradeRows(59, 30));
  assert.deepEqual(holes(model), []);
  model.disconnected("the daemon does not answer", 500);
  model.disconnected("the daemon does not answer", 1000);
  model.connected();
  model.tradeSnapshot(tradeRows(89, 60));
  assert.deepEqual(holes(model), ["60"]);
  model.trade(["95", "95", "1", "6"]);
  model.tradeSnapshot(tradeRows(95, 66)); // as of trades that were left, and came again
  assert.deepEqual(holes(model), ["60"]);
});

test("what is told after a gap of the daemon's own, before its end, hides no hole", () => {
  const { model } = modelAt();
  model.connected();
  model.paused(); // nothing is known yet
  model.resumed();
  model.tradeSnapshot(tradeRows(30, 1));
  model.paused();
  for (const row of tradeRows(70, 41).reverse()) model.trade(row);
  model.resumed();
  model.tradeSnapshot(tradeRows(70, 41));
  assert.deepEqual(holes(model), ["41"]);
  model.paused();
  for (const row of tradeRows(75, 71).reverse()) model.trade(row);
  model.resumed();
  model.tradeSnapshot(tradeRows(75, 46));
  assert.deepEqual(holes(model), ["41"]);
});

test("rate and samples forget", () => {
  const { clock, model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  for (let i = 0; i < 50; i += 1) model.bookUpdate(["6443", "1", "1"]);
  assert.equal(model.rate(), 10);
  for (clock.now = 0; clock.now < 600000; clock.now += 100) model.sample();
  assert.equal(model.rate(), 0);
  assert.ok(model.samples.length > 590 && model.samples.length < 610);
});

test("hours in which nobody looks leave nothing to clear away", () => {
  const { clock, model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  for (clock.now = 0; clock.now < 3600000; clock.now += 100) model.bookUpdate(["6443", "1", "1"]);
  assert.ok(model.rowTimes.length < 60);
  assert.equal(model.rate(), 10);
});

test("where the numbers end, so does the line", () => {
  const { clock, model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  model.sample();
  clock.now = 100;
  model.disconnected("the daemon does not answer", 600);
  model.sample();
  clock.now = 200;
  model.sample();
  assert.deepEqual(model.samples.map(({ at, mid }) => [at, mid !== null]), [[0, true], [100, false]]);
});

test("numbers of which nothing was heard for long are not live", () => {
  const { clock, model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  clock.now = 3600000;
  assert.deepEqual(judge(model, clock.now), {
    state: "stale", headline: "Silent for 60 min", detail: "These numbers are 60 min old. The daemon says nothing.",
  });
  assert.equal(model.live, false);
  model.heard();
  assert.equal(judge(model, clock.now).state, "live");
});

test("numbers of a daemon that does not answer are not live, whatever comes", () => {
  const { clock, model } = modelAt();
  model.connected();
  model.bookSnapshot(ROWS);
  clock.now = 1000;
  model.asked();
  clock.now = 3001;
  model.heard();
  assert.deepEqual(judge(model, clock.now), {
    state: "stale", headline: "No answer for 2 s", detail: "These numbers are 3 s old. The daemon says nothing.",
  });
  assert.equal(model.live, false);
  model.answered();
  assert.equal(judge(model, clock.now).state, "live");
  model.asked();
  model.disconnected("the daemon does not answer", 4000);
  model.connected();
  model.bookSnapshot(ROWS);
  clock.now = 9000;
  assert.equal(judge(model, clock.now).state, "live"); // this one has not been asked yet
});
