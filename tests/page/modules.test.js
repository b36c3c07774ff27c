// The page's modules without a browser, by node's own test runner (test_modules.py runs it).

import assert from "node:assert/strict";
import { test } from "node:test";

import { Book, crc32 } from "./book.js";
import { Choices } from "./choices.js";
import { Clock } from "./clock.js";
import { Conversation, readFrame } from "./conversation.js";
import { pairsOf } from "./daemon.js";
import { brief, format, padding, parse, placesOf, toStep } from "./decimal.js";
import { Feed } from "./feed.js";
import { basisPoints, gapsInWords } from "./figures.js";
import { stepsFor } from "./ladder.js";
import { Model } from "./model.js";
import { ago, judge } from "./state.js";
import { when } from "./tape.js";

test("tokens are exact, whatever their form", () => {
  for (const [token, text] of [["0.50", "0.5"], ["7e-7", "0.0000007"], ["-1.5E-8", "-0.000000015"], ["64271.123456789", "64271.123456789"], ["1e3", "1000"], ["0", "0"]]) {
    assert.equal(format(parse(token)), text);
  }
  assert.equal(format(parse("0.1") + parse("0.2")), "0.3");
  assert.throws(() => parse("NaN"));
});

test("prices group away from the middle", () => {
  const step = parse("5");
  assert.equal(format(toStep(parse("6443.5"), step, false)), "6440");
  assert.equal(format(toStep(parse("6443.5"), step, true)), "6445");
  assert.equal(format(toStep(parse("6445"), step, true)), "6445");
});

test("a column lines up without touching its digits", () => {
  assert.deepEqual([padding("1.25", 4), padding("7", 2), padding("7", 0), padding("", 3)], ["00", ".00", "", ""]);
  assert.deepEqual([padding("7e-7", placesOf("6.9e-7")), placesOf("6.9e-7"), padding("7e-7", 8)], ["", 0, ""]);
  assert.deepEqual([brief(64271.5, 7), brief(0.000012345, 3), brief(0), brief(NaN)], ["64271.5", "0.0000123", "0", "–"]);
});

test("CRC-32 as everybody computes it", () => {
  assert.equal(crc32("123456789"), 0xcbf43926 | 0);
});

const ROWS = [["6443.5", "2", "0.50"], ["6443", "1", "7e-7"], ["6444", "1", "-2"], ["6445.5", "3", "-0.125"]];

test("a book applies rows and keeps tokens", () => {
  const book = new Book();
  book.load(ROWS);
  assert.equal(book.checksum(), crc32("6443.5:0.50:6444:-2:6443:7e-7:6445.5:-0.125"));
  book.apply(["6443.5", "0", "1"]);
  book.apply(["6444", "2", "-3"]);
  assert.deepEqual(book.levels("bids").map((level) => [level.price, level.amount]), [["6443", "7e-7"]]);
  assert.deepEqual(book.levels("asks").map((level) => [level.price, level.amount, format(level.total)]), [["6444", "3", "3"], ["6445.5", "0.125", "3.125"]]);
  assert.equal(format(book.top().mid), "6443.5");
});

test("levels come together by step", () => {
  const book = new Book();
  book.load(ROWS);
  const grouped = (side) => book.levels(side, parse("5"), format).map((level) => [level.price, level.amount, level.count]);
  assert.deepEqual(grouped("bids"), [["6440", "0.5000007", 3]]);
  assert.deepEqual(grouped("asks"), [["6445", "2", 1], ["6450", "0.125", 3]]);
});

test("a raw book: orders, by price and then by id", () => {
  const book = new Book(true);
  book.load([["12", "6443", "1"], ["7", "6443", "2"], ["9", "6444", "-1"]]);
  assert.deepEqual([...book.bids.list()].map((row) => row.key), ["7", "12"]);
  assert.equal(book.checksum(), crc32("7:2:9:-1:12:1"));
  book.apply(["12", "0", "1"]);
  assert.equal(book.bids.list().length, 1);
});

test("an empty book has no top, and no imbalance", () => {
  const book = new Book();
  assert.equal(book.top(), null);
  assert.equal(book.imbalance(), 0);
});

test("numbers of a frame stay texts", () => {
  assert.deepEqual(readFrame('[1,[[6443.50,1,-7e-7],[1E+3,0,1]],5,1]'), ["1", [["6443.50", "1", "-7e-7"], ["1E+3", "0", "1"]], "5", "1"]);
  assert.deepEqual(readFrame('[12,"te",[1,2,0.10,3],4,5]'), ["12", "te", ["1", "2", "0.10", "3"], "4", "5"]);
});

function talk() {
  const sent = [];
  const told = [];
  const listener = new Proxy({}, { get: (_, name) => (...facts) => told.push([name, ...facts]) });
  const conversation = new Conversation((request) => sent.push(request), listener);
  return { conversation, sent, told, say: (message) => conversation.received(JSON.stringify(message)) };
}

test("conf first, then what is wanted", () => {
  const { conversation, sent, told, say } = talk();
  conversation.want("tBTCUSD", { precision: "P0", frequency: "F1", length: 25 });
  assert.deepEqual(sent, []);
  say({ event: "info", version: 2, platform: { status: 1 } });
  say({ event: "conf", status: "OK", flags: 229376 });
  assert.deepEqual(sent.map((request) => request.event + (request.channel ?? request.flags)), ["conf229376", "subscribebook", "subscribetrades"]);
  assert.deepEqual([sent[1].prec, sent[1].freq, sent[1].len], ["P0", "F1", "25"]);
  say({ event: "subscribed", channel: "book", chanId: 1, symbol: "tBTCUSD" });
  say([1, [[1, 1, 1]], 1, 5]);
  say([1, [1, 0, 1], 2, 5]);
  say([1, "cs", -7, 3, 5]);
  assert.deepEqual(told.filter(([name]) => name !== "heard"), [["bookSnapshot", [["1", "1", "1"]]], ["bookUpdate", ["1", "0", "1"]], ["checksum", -7]]);
});

test("a message that is missing ends the connection", () => {
  const { say } = talk();
  say([1, "hb", 1, 5]);
  assert.throws(() => say([1, "hb", 3, 5]), /message 2 is missing/);
});

test("after maintenance, and for another pair, everything is subscribed anew", () => {
  const { conversation, sent, told, say } = talk();
  conversation.ready = true;
  conversation.want("tBTCUSD", null);
  say({ event: "subscribed", channel: "trades", chanId: 2, symbol: "tBTCUSD" });
  say({ event: "info", code: 20060 });
  say({ event: "info", code: 20061 });
  conversation.want("tETHUSD", null);
  assert.deepEqual(sent.map((request) => request.chanId ?? request.symbol), ["tBTCUSD", 2, "tBTCUSD", "tETHUSD"]);
  assert.deepEqual(told, [["paused"], ["resumed"]]);
  say({ event: "unsubscribed", chanId: 2 });
  say({ event: "error", code: 10300, symbol: "tBTCUSD", channel: "trades", msg: "of the pair before" });
  assert.equal(told.length, 2);
});

test("trades can be left and come again, and the book goes on", () => {
  const { conversation, sent, told, say } = talk();
  conversation.ready = true;
  conversation.want("tBTCUSD", { precision: "P0", frequency: "F0", length: 25 });
  say({ event: "subscribed", channel: "book", chanId: 1, symbol: "tBTCUSD" });
  say({ event: "subscribed", channel: "trades", chanId: 2, symbol: "tBTCUSD" });
  sent.length = 0;
  conversation.wantTrades(false);
  say([2, "te", [1, 2, 3, 4], 1, 5]);
  say([1, [[1, 1, 1]], 2, 5]);
  say({ event: "info", code: 20061 });
  conversation.wantTrades(true);
  assert.deepEqual(sent.map(({ event, chanId, channel }) => [event, chanId ?? channel]), [
    ["unsubscribe", 2], ["unsubscribe", 1], ["subscribe", "book"], ["subscribe", "trades"],
  ]);
  assert.deepEqual(told.map(([name]) => name), ["heard", "heard", "bookSnapshot", "resumed"]);
});

test("what was asked is open until it is answered", () => {
  const { conversation, say } = talk();
  conversation.ready = true;
  conversation.want("tBTCUSD", { precision: "P0", length: 25 });
  assert.equal(conversation.asked, 2);
  say({ event: "subscribed", channel: "trades", chanId: 2, symbol: "tBTCUSD" });
  say({ event: "error", code: 10020, msg: "of no subscription" });
  assert.equal(conversation.asked, 1);
  say({ event: "error", code: 10300, symbol: "tBTCUSD", channel: "book", msg: "symbol: invalid" });
  assert.equal(conversation.asked, 0);
});

test("an unknown version is refused", () => {
  assert.throws(() => talk().say({ event: "info", version: 3 }), /version 3/);
});

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

function sleeper() {
  const at = { steady: 1000, wall: 1795426424186 };
  return { at, clock: new Clock(() => at.steady, () => at.wall) };
}

test("the clock goes on while the machine sleeps, and does not follow a wall clock that is adjusted", () => {
  const { at, clock } = sleeper();
  for (let i = 0; i < 1000; i += 1) {
    at.steady += 1000;
    at.wall += 1004;
    clock.now();
  }
  assert.equal(clock.now(), 1001000);
  at.wall += 8 * 3600000;
  assert.equal(clock.now(), 1001000 + 8 * 3600000);
  at.wall -= 3600000; // somebody sets it
  assert.equal(clock.now(), 1001000 + 8 * 3600000);
});

function feedOf(context) {
  const sockets = [];
  context.mock.timers.enable();
  globalThis.WebSocket = class {
    constructor() {
      this.sent = [];
      sockets.push(this);
    }

    close() {}

    send(text) {
      this.sent.push(JSON.parse(text));
    }
  };
  const { at, clock } = sleeper();
  const model = new Model(() => {}, () => clock.now());
  const feed = new Feed("ws://localhost/ws/2", model, clock, () => {});
  return { at, clock, model, feed, sockets };
}

test("a connection that does not come about is tried again", (context) => {
  const { clock, model, feed, sockets } = feedOf(context);
  feed.connect();
  context.mock.timers.tick(10000);
  assert.match(judge(model, clock.now()).detail, /^The daemon does not answer/);
  context.mock.timers.tick(500);
  sockets[1].onopen();
  context.mock.timers.tick(4000);
  sockets[1].onmessage({ data: '{"event":"pong"}' });
  context.mock.timers.tick(9000);
  assert.equal(judge(model, clock.now()).state, "syncing"); // it is the one that is kept
});

test("what comes after a silence is not taken for new", (context) => {
  const { at, clock, model, feed, sockets } = feedOf(context);
  const say = (message) => sockets.at(-1).onmessage({ data: JSON.stringify(message) });
  const opens = () => {
    sockets.at(-1).onopen();
    say({ event: "subscribed", channel: "book", chanId: 1, symbol: "tBTCUSD" });
    say([1, [[6443, 1, 1], [6444, 1, -1]], 1, 5]);
    assert.equal(judge(model, clock.now()).state, "live");
  };
  model.begin("tBTCUSD", { precision: "P0", frequency: "F0", length: 25 });
  feed.want("tBTCUSD", model.carried);
  feed.connect();
  opens();
  at.wall += 3600000;
  say([1, [6443, 2, 2], 2, 5]);
  assert.deepEqual(judge(model, clock.now()), {
    state: "disconnected", headline: "Disconnected for 0 s",
    detail: "These numbers are 60 min old. Nothing was heard for too long. Trying again in 1 s.",
  });
  context.mock.timers.tick(500);
  opens();
  at.wall += 3600000;
  context.mock.timers.tick(5000); // nothing comes
  assert.equal(judge(model, clock.now()).state, "disconnected");
  context.mock.timers.tick(1000);
  opens();
  say({ event: "info", code: 20060 });
  at.wall += 60000; // as between two timers of a tab that nobody looks at, while nothing need come
  context.mock.timers.tick(5000);
  assert.equal(judge(model, clock.now()).state, "stale");
});

test("trades that are asked for and not answered do not keep a live book waiting", (context) => {
  const { feed, sockets } = feedOf(context);
  const opens = () => {
    const socket = sockets.at(-1);
    const say = (message) => socket.onmessage({ data: JSON.stringify(message) });
    socket.onopen();
    say({ event: "info", version: 2 });
    say({ event: "conf", status: "OK" });
    say({ event: "subscribed", channel: "book", chanId: 1, symbol: "tBTCUSD" });
    return socket.sent.filter(({ event }) => event === "subscribe").map(({ channel }) => channel);
  };
  feed.want("tBTCUSD", { precision: "P0", frequency: "F0", length: 25 }, true);
  feed.connect();
  assert.deepEqual(opens(), ["book", "trades"]);
  feed.wantTrades(false);
  context.mock.timers.tick(500);
  assert.deepEqual(opens(), ["book"]);
});

test("words for times, spreads and gaps", () => {
  assert.deepEqual([ago(-5), ago(119999), ago(120000), ago(8e6)], ["0 s", "119 s", "2 min", "2 h"]);
  assert.equal(basisPoints({ spread: parse("1"), mid: parse("10000") }), "1.00");
  const steps = (mid, ...prices) => stepsFor(mid, prices.map(parse));
  assert.deepEqual(steps(64271, "64270", "64272"), ["1", "5", "10", "50", "100", "500"]);
  assert.deepEqual(steps(0.0001234, "0.00012339", "0.00012341").slice(0, 2), ["0.00000001", "0.00000005"]);
  assert.deepEqual(steps(6.9e-7, "6.8e-7", "7e-7"), ["0.00000001", "0.00000005", "0.0000001", "0.0000005"]); // finer does nothing
  assert.deepEqual(steps(64250, "64200", "64300").slice(0, 2), ["100", "500"]);
  assert.deepEqual(steps(1e-17, "1e-17"), []);
  assert.equal(gapsInWords(null).text, "not recorded");
  assert.equal(gapsInWords({ gaps: { open: 0, filled: 0, lost: 0 }, lag_ms: 65000 }).note, "compared until 65 s ago");
  assert.deepEqual(gapsInWords({ gaps: { open: 1, filled: 2, lost: 0 }, lag_ms: null }), { text: "1 open, 0 lost", note: "2 filled", bad: true });
});

test("what is chosen before a pair is known does not name one", () => {
  const urls = [];
  const history = { replaceState: (state, title, url) => urls.push(url) };
  const choices = new Choices({ location: { search: "" }, innerHeight: 900, localStorage: { getItem: () => null }, history });
  choices.nextRows();
  choices.write(false);
  choices.pair = "BTC-USD";
  choices.write(false);
  assert.deepEqual(urls, ["?rows=25", "?pair=BTC-USD&rows=25"]);
});

test("a trade of another day does not look like one of today", () => {
  const before = new Date(2026, 10, 9, 23, 59, 7).getTime();
  assert.equal(when(before, before + 52000), "23:59:07");
  assert.equal(when(before, before + 53000), "9 Nov 23:59");
});

test("pairs with what is carried of each", () => {
  const feed = (symbol, channel) => ({ symbol, exchange_symbol: `t${symbol.replace("/", "")}`, channel });
  const status = { feeds: [feed("BTC/USD", "book"), feed("ETH/USD", "trades")], recorders: { tETHUSD: { mode: "live" } } };
  const books = { books: [{ exchange_symbol: "tBTCUSD", precision: "P0", frequency: "F1", length: 25 }] };
  const [first, second] = pairsOf(status, books);
  assert.deepEqual([first.name, first.carried, first.recorder], ["BTC/USD", { precision: "P0", frequency: "F1", length: 25 }, null]);
  assert.deepEqual([second.symbol, second.carried, second.recorder], ["tETHUSD", null, { mode: "live" }]);
});
