// What is said on the relay's socket, in Bitfinex's public protocol. Texts in, facts out; no socket and no clock.
//
//   <- {"event":"info","version":2,…}           -> {"event":"conf","flags":229376}
//   <- {"event":"conf","status":"OK",…}         -> {"event":"subscribe","channel":"book",…}, and trades
//   <- {"event":"subscribed","chanId":1,…}      <- [1,[[…],…],seq,ts]      then updates, cs, te, tu, hb
//   <- {"event":"info","code":20060,…}          the feed is not live; 20061 when it is: subscribe again

const TIMESTAMP = 32768;
const SEQ_ALL = 65536;
const OB_CHECKSUM = 131072;

const PAUSE = 20060;
const RESUME = 20061;
const DUPLICATE = 10301;

const NUMBER = /-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** An array frame with every number as the text that it was: JSON.parse would make 0.50 of it 0.5. */
export function readFrame(text) {
  return JSON.parse(text.replace(NUMBER, '"$&"'));
}

export class Conversation {
  /** `send(object)` sends a request. `listener` has the methods that are called below. What cannot go on is thrown as an Error. */
  constructor(send, listener, pong = () => {}) {
    this.send = send;
    this.listener = listener;
    this.pong = pong;
    this.ready = false;
    this.wanted = null;
    this.channels = new Map(); // by id: {name, open}
    this.asked = 0; // subscriptions that are not answered yet, and cannot be ended before they are
    this.next = null;
  }

  /** Read the book of a symbol, {precision, frequency, length} or null, and its trades or not; from now on, and nothing else. */
  want(symbol, book, trades = true) {
    for (const id of [...this.channels.keys()]) this.unsubscribe(id);
    this.wanted = { symbol, book, trades };
    if (this.ready) this.subscribe();
  }

  /** Read the trades as well, or no more; the book goes on. */
  wantTrades(yes) {
    this.wanted.trades = yes;
    for (const [id, { name }] of this.channels) {
      if (name === "trades" && !yes) this.unsubscribe(id);
    }
    if (yes && this.ready) this.subscribeTo("trades");
  }

  unsubscribe(id) {
    this.channels.delete(id);
    this.send({ event: "unsubscribe", chanId: Number(id) });
  }

  /** Begin anew with what is wanted. */
  again() {
    this.want(this.wanted.symbol, this.wanted.book, this.wanted.trades);
  }

  subscribe() {
    const { book, trades } = this.wanted;
    if (book) this.subscribeTo("book", { prec: book.precision, freq: book.frequency, len: String(book.length) });
    if (trades) this.subscribeTo("trades");
  }

  subscribeTo(channel, parameters = {}) {
    this.asked += 1;
    this.send({ event: "subscribe", channel, symbol: this.wanted.symbol, ...parameters });
  }

  received(text) {
    if (text.startsWith("[")) this.frame(readFrame(text));
    else this.event(JSON.parse(text));
  }

  event(event) {
    switch (event.event) {
      case "info":
        this.informed(event);
        break;
      case "conf":
        if (event.status !== "OK") throw new Error("the relay refuses the flags");
        this.ready = true;
        if (this.wanted) this.subscribe();
        break;
      case "subscribed":
        this.asked -= 1;
        if (this.wanted && event.symbol === this.wanted.symbol) {
          this.channels.set(String(event.chanId), { name: event.channel, open: false });
        }
        break;
      case "unsubscribed":
        this.ended(String(event.chanId));
        break;
      case "error":
        if (event.symbol !== undefined) this.asked -= 1;
        if (event.code !== DUPLICATE && event.symbol === this.wanted?.symbol) this.listener.refused(event.channel, event.msg);
        break;
      case "pong":
        this.pong();
        break;
    }
  }

  /** Unasked: what was asked to end is forgotten already. */
  ended(id) {
    const channel = this.channels.get(id);
    if (channel) this.listener.refused(channel.name, "it is not carried any more");
    this.channels.delete(id);
  }

  informed(event) {
    if (event.version !== undefined) {
      if (event.version !== 2) throw new Error(`the relay speaks version ${event.version}`);
      this.send({ event: "conf", flags: TIMESTAMP | SEQ_ALL | OB_CHECKSUM });
    } else if (event.code === PAUSE) {
      this.listener.paused();
    } else if (event.code === RESUME) {
      this.listener.resumed();
      this.again();
    }
  }

  frame(frame) {
    const sequence = Number(frame.at(-2));
    if (this.next !== null && sequence !== this.next) throw new Error(`message ${this.next} is missing`);
    this.next = sequence + 1;
    const channel = this.channels.get(frame[0]);
    this.listener.heard();
    if (channel) this.deliver(channel, frame);
  }

  deliver(channel, [, kind, body]) {
    const { listener } = this;
    if (kind === "hb") return;
    if (kind === "cs") listener.checksum(Number(body));
    else if (kind === "te" || kind === "tu") listener.trade(body);
    else if (!channel.open) {
      channel.open = true;
      if (channel.name === "book") listener.bookSnapshot(kind);
      else listener.tradeSnapshot(kind);
    } else if (Array.isArray(kind[0])) for (const row of kind) listener.bookUpdate(row);
    else listener.bookUpdate(kind);
  }
}
