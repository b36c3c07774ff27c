// The page: puts the parts together, draws at most every 100 ms, and does what the reader asks.

import { Choices, inUrl, isMeant } from "./choices.js";
import { Clock } from "./clock.js";
import { beside, watchDaemon } from "./daemon.js";
import { format, parse } from "./decimal.js";
import { DepthChart } from "./depth.js";
import { Feed } from "./feed.js";
import { basisPoints, Figures } from "./figures.js";
import { Ladder, stepsFor } from "./ladder.js";
import { LineChart } from "./line.js";
import { Model } from "./model.js";
import { judge, spoken, StateView, write } from "./state.js";
import { Tape } from "./tape.js";

const DRAW_EVERY = 100;
const DRAW_CALMLY = 1000;
const LOOK_EVERY = 1000;

const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
const reduced = () => calm.matches;
const at = (id) => document.getElementById(id);

class Page {
  constructor() {
    this.choices = new Choices(window);
    this.clock = new Clock();
    this.model = new Model(() => this.feed.again(), () => this.clock.now());
    this.feed = new Feed(beside("ws/2").href.replace(/^http/, "ws"), this.model, this.clock, () => this.heard());
    this.pairs = [];
    this.pair = null;
    this.state = new StateView(document);
    this.figures = new Figures(document);
    this.ladder = new Ladder(document, reduced);
    this.depth = new DepthChart(at("depth"), at("depth-readout"));
    this.line = new LineChart(at("line"));
    this.tape = new Tape(document, reduced);
  }

  begin() {
    this.dress();
    this.showRows();
    this.listen();
    watchDaemon((pairs, version) => this.told(pairs, version));
    this.feed.connect();
    this.draw();
    setInterval(() => this.look(), LOOK_EVERY);
  }

  listen() {
    at("pair").addEventListener("change", () => this.choose(at("pair").value, true));
    at("rows").addEventListener("change", () => this.chooseRows(at("rows").value));
    at("step").addEventListener("change", () => this.chooseStep(at("step").value));
    at("theme").addEventListener("click", () => this.nextTheme());
    at("colours").addEventListener("click", () => this.nextColours());
    at("keys").addEventListener("click", () => at("help").showModal());
    document.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("popstate", () => this.cameBack());
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.dress());
  }

  // --- pairs ---

  told(pairs, version) {
    this.pairs = pairs;
    write(at("version"), version);
    this.offerPairs();
    const wanted = pairs.find((pair) => this.choices.pair && isMeant(pair, this.choices.pair));
    const pair = wanted ?? this.pair ?? pairs[0];
    write(at("absent"), this.choices.pair && !wanted ? `${this.choices.pair} is not carried here.` : "");
    if (!pair) return;
    const now = pairs.find((one) => one.symbol === pair.symbol) ?? { name: pair.name, symbol: pair.symbol, carried: null };
    const { bookRefused, tradesRefused } = this.model;
    // Gone and here again since the last time. Not what is carried and not to be had: it would be asked for at each look.
    const back = (bookRefused && now.book?.status === "live") || (tradesRefused && now.trades?.status === "live");
    if (!this.pair || !same(now, this.pair) || back) this.show(now);
    else if (tradesToo(now) !== tradesToo(this.pair)) this.feed.wantTrades(tradesToo(now));
    this.pair = now;
    this.model.daemon = now;
  }

  offerPairs() {
    const names = this.pairs.map((pair) => pair.name);
    if (this.pair && !names.includes(this.pair.name)) names.push(this.pair.name); // gone since, and still looked at
    if ([...at("pair").options].map((option) => option.value).join() === names.join()) return;
    at("pair").replaceChildren(...names.map((name) => new Option(name)));
    at("pair").disabled = names.length < 2;
    if (this.pair) at("pair").value = this.pair.name;
  }

  choose(name, byReader) {
    const pair = this.pairs.find((one) => one.name === name);
    if (!pair || pair.symbol === this.pair?.symbol) return;
    this.choices.pair = inUrl(name);
    this.choices.step = "";
    write(at("absent"), "");
    if (byReader) this.choices.write(true);
    this.show(pair);
  }

  show(pair) {
    this.pair = pair;
    this.choices.pair ??= inUrl(pair.name);
    at("pair").value = pair.name;
    this.model.begin(pair.symbol, pair.carried);
    this.model.daemon = pair;
    this.tape.clear();
    this.ladder.clear();
    this.figures.lastMid = null;
    this.feed.want(pair.symbol, pair.carried, tradesToo(pair));
    this.steps = null;
    this.ladder.centre();
  }

  cameBack() {
    const { pair, rows, step } = new Choices(window);
    const known = this.pairs.find((one) => pair && isMeant(one, pair)) ?? this.pairs[0];
    if (known) this.choose(known.name, false);
    Object.assign(this.choices, { pair: pair ?? this.choices.pair, rows, step });
    this.showRows();
  }

  move(by) {
    const { length } = this.pairs;
    const index = this.pairs.findIndex((pair) => pair.symbol === this.pair?.symbol);
    if (!length || (length === 1 && index === 0)) return; // there is no other
    this.choose(this.pairs[(index + by + length) % length].name, true);
    at("spoken").textContent = `${this.pair.name}.`;
  }

  // --- choices ---

  chooseRows(rows) {
    this.choices.rows = rows;
    this.choices.write(false);
    this.showRows();
  }

  showRows() {
    at("rows").value = this.choices.rows;
    this.ladder.resize(Number(this.choices.rows));
  }

  chooseStep(step) {
    this.choices.step = step;
    at("step").value = step;
    this.choices.write(false);
  }

  coarser(by) {
    const options = [...at("step").options].map((option) => option.value);
    const index = options.indexOf(this.choices.step) + by;
    if (index >= 0 && index < options.length) this.chooseStep(options[index]);
  }

  nextTheme() {
    this.choices.nextTheme();
    this.dress();
  }

  nextColours() {
    this.choices.nextColours();
    this.dress();
  }

  dress() {
    const { theme, colours } = this.choices;
    document.documentElement.dataset.theme = theme;
    document.documentElement.dataset.colours = colours;
    write(at("theme-name"), { auto: "Auto", light: "Light", dark: "Dark" }[theme]);
    write(at("colours-name"), { "green-red": "Green, red", "blue-orange": "Blue, orange" }[colours]);
    for (const chart of [this.depth, this.line]) chart.plot.readStyle();
  }

  key(event) {
    // Many keyboards have brackets on Alt (Mac) or AltGr (Ctrl and Alt, for some browsers); letters with these are the browser's.
    const isTyped = event.altKey && "[]+-?".includes(event.key);
    if (event.metaKey || ((event.ctrlKey || event.altKey) && !isTyped) || at("help").open) return;
    if (event.target instanceof HTMLSelectElement) return;
    const action = {
      "]": () => this.move(1),
      "[": () => this.move(-1),
      "+": () => this.coarser(1),
      "-": () => this.coarser(-1),
      r: () => {
        this.choices.nextRows();
        this.chooseRows(this.choices.rows);
      },
      t: () => this.nextTheme(),
      c: () => this.nextColours(),
      s: () => this.speak(),
      "?": () => at("help").showModal(),
    }[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }

  /** One sentence for those who listen. */
  speak() {
    const top = this.model.book.top();
    const state = spoken(this.pair?.name ?? "", judge(this.model, this.clock.now()));
    const numbers = top
      ? `Mid ${format(top.mid)}, spread ${format(top.spread)}, ${basisPoints(top)} basis points, imbalance ${at("imbalance").textContent}.`
      : "No numbers.";
    at("spoken").textContent = `${state} ${numbers}`;
  }

  // --- drawing ---

  /** What a tab shows even while nobody looks at it and no frame of it is drawn: its title and its icon. */
  look() {
    const { model } = this;
    this.lookedAt = this.clock.now();
    model.sample();
    const top = model.book.top();
    this.state.draw(judge(model, this.lookedAt), this.pair?.name ?? "bfxtwist", top && format(top.mid));
  }

  /** Timers of a tab that was hidden for long go off once a minute, but what the socket tells still comes at once. */
  heard() {
    if (!document.hidden) return;
    const now = this.clock.now();
    if (now - this.lookedAt >= LOOK_EVERY || judge(this.model, now).state !== this.state.shown) this.look();
  }

  /** Again and again: if one that fails were the last, the numbers of the one before would stand there as live for ever. */
  draw() {
    this.look();
    try {
      this.drawNumbers();
      this.model.undrawn = "";
    } catch (error) {
      if (!this.model.undrawn) console.error(error);
      this.model.undrawn = String(error);
    }
    setTimeout(() => requestAnimationFrame(() => this.draw()), reduced() ? DRAW_CALMLY : DRAW_EVERY);
  }

  drawNumbers() {
    const now = this.lookedAt;
    const { model } = this;
    const top = model.book.top();
    this.offerSteps(top);
    this.figures.draw(model, now);
    const caption = top ? `spread ${format(top.spread)} · ${basisPoints(top)} bp` : `${model.book.empty ? "the book" : "one side"} is empty`;
    const step = this.steps?.includes(this.choices.step) ? parse(this.choices.step) : 0n; // a URL may say anything
    this.ladder.draw(model.book, step, top ? format(top.mid) : "", model.bookOpen || top ? caption : model.carried || !model.daemon ? "no book yet" : "no book");
    this.depth.draw(model.book);
    this.line.draw(model.samples, now);
    this.tape.draw(model.trades, this.tapeNote(), Boolean(model.tradesLate));
  }

  tapeNote() {
    if (this.model.tradesRefused) return "The daemon does not carry the trades of this pair.";
    return this.model.tradesOpen && !this.model.trades.length ? "No trade yet." : "";
  }

  /** Steps that fit the price; they stay as they are while the pair is shown. */
  offerSteps(top) {
    if (this.steps || !top || top.mid <= 0n) return; // what is below the last place that is counted has none
    const { bids, asks } = this.model.book;
    this.steps = stepsFor(Number(format(top.mid)), [...bids.list(), ...asks.list()].map((row) => parse(row.price)));
    if (!this.steps.includes(this.choices.step)) this.choices.step = "";
    at("step").replaceChildren(new Option("as quoted", ""), ...this.steps.map((step) => new Option(step)));
    at("step").value = this.choices.step;
  }
}

/** Whether there is the same to read of both. */
function same(one, other) {
  const told = ({ symbol, carried, trades }) => [symbol, carried?.precision, carried?.frequency, carried?.length, Boolean(trades)].join();
  return told(one) === told(other);
}

/** Whether to read the trades as well. The relay says that something is not live, but not what: of these alone, /status does. */
function tradesToo({ carried, book, trades }) {
  return !carried || !trades || trades.status === "live" || book?.status !== "live";
}

new Page().begin();
