// What the page says and hears on the relay's socket, and by which clock, without a browser. Run by test_modules.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Clock } from "./clock.js";
import { Conversation, readFrame } from "./conversation.js";
import { Feed } from "./feed.js";
import { Model } from "./model.js";
import { judge } from "./state.js";

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

test("a daemon that does not answer is asked once more only when it has, and given up after a while", (context) => {
  const { at, clock, model, feed, sockets } = feedOf(context);
  const say = (message) => sockets.at(-1).onmessage({ data: JSON.stringify(message) });
  const verdict = () => judge(model, clock.now()).headline;
  const wait = (ms) => {
    at.steady += ms;
    at.wall += ms;
    context.mock.timers.tick(ms);
  };
  const pings = () => sockets.at(-1).sent.filter(({ event }) => event === "ping").length;
  model.begin("tBTCUSD", { precision: "P0", frequency: "F0", length: 25 });
  feed.want("tBTCUSD", model.carried);
  feed.connect();
  sockets[0].onopen();
  say({ event: "subscribed", channel: "book", chanId: 1, symbol: "tBTCUSD" });
  say([1, [[6443, 1, 1], [6444, 1, -1]], 1, 5]);
  for (let second = 0; second < 3; second += 1) {
    wait(1000);
    say({ event: "pong" });
  }
  assert.deepEqual([pings(), verdict()], [3, "Live"]);
  for (let second = 0; second < 3; second += 1) wait(1000);
  say([1, [6443, 2, 2], 2, 5]); // it may have been on its way for as long
  assert.deepEqual([pings(), verdict()], [4, "Live"]);
  wait(1);
  assert.equal(verdict(), "No answer for 2 s");
  say({ event: "pong" });
  assert.equal(verdict(), "Live");
  for (let second = 0; second < 8; second += 1) wait(1000);
  assert.equal(verdict(), "Disconnected for 0 s");
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
