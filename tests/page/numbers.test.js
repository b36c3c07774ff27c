// The page's numbers, words and choices, without a browser. Run by test_modules.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Book, crc32 } from "./book.js";
import { Choices } from "./choices.js";
import { pairsOf } from "./daemon.js";
import { brief, format, padding, parse, placesOf, toStep } from "./decimal.js";
import { basisPoints, gapsInWords } from "./figures.js";
import { stepsFor } from "./ladder.js";
import { ago } from "./state.js";
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
  assert.deepEqual([brief(64271.5, 7), brief(0.000012345, 3), brief(0, 5), brief(NaN, 5)], ["64271.5", "0.0000123", "0", "–"]);
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
  assert.equal(gapsInWords(undefined).text, "–"); // the daemon has not said yet
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
