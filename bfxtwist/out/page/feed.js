// The socket to the relay: kept open for ever, and known to be alive. What is said on it is conversation.js's.

import { Conversation } from "./conversation.js";

const PING_EVERY = 1000;
const PONG_WITHIN = 6000; // an answer that takes longer than the model bears may still come: until then the socket is kept
const OPEN_WITHIN = 10000; // browsers wait for minutes, and for as long after the network is there again
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 15000;
const HEALTHY = 10000;

export class Feed {
  /**
   * `listener` is the model; times are the clock's.
   * `told()` is called after each of whatever the listener is told.
   */
  constructor(url, listener, clock, told) {
    this.url = url;
    this.listener = listener;
    this.clock = clock;
    this.told = told;
    this.pause = FIRST_PAUSE;
    this.wanted = null;
    this.socket = null;
    this.timer = null; // until the socket must be open, or the next one is tried
  }

  want(symbol, book, trades) {
    this.wanted = [symbol, book, trades];
    // What waits for a book that is not live would go on to, and the relay would say no more of the next one's pauses.
    if (this.conversation?.asked) this.anew();
    else this.conversation?.want(symbol, book, trades);
  }

  /** The trades as well, or no more. */
  wantTrades(yes) {
    this.wanted[2] = yes;
    if (this.conversation?.asked) this.lost("subscribing again"); // what is not answered yet cannot be ended
    else this.conversation?.wantTrades(yes);
  }

  /** On another socket, at once. */
  anew() {
    const { socket } = this;
    this.socket = null;
    clearInterval(this.pulse);
    socket.close();
    this.connect();
  }

  /** Subscribe anew: what was told does not fit together. */
  again() {
    this.conversation?.again();
  }

  connect() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.lost("the daemon does not answer"), OPEN_WITHIN);
    const socket = new WebSocket(this.url);
    this.socket = socket;
    this.opened = 0;
    const send = (request) => socket.readyState === WebSocket.OPEN && socket.send(JSON.stringify(request));
    this.conversation = new Conversation(send, this.listener, () => this.pong());
    if (this.wanted) this.conversation.want(...this.wanted);
    const mine = (handle) => (event) => this.socket === socket && handle(event);
    socket.onopen = mine(() => this.open(send));
    socket.onmessage = mine(({ data }) => this.message(data));
    socket.onclose = mine(({ reason }) => this.lost(reason || "the daemon does not answer"));
  }

  open(send) {
    clearTimeout(this.timer);
    this.opened = this.clock.now();
    this.listener.connected();
    let cid = 0;
    this.pulse = setInterval(() => {
      if (this.heldUp()) return;
      const { askedAt } = this.listener;
      if (askedAt === null) {
        this.listener.asked();
        send({ event: "ping", cid: (cid += 1) });
      } else if (this.clock.now() - askedAt > PONG_WITHIN) {
        this.lost("the daemon has stopped answering");
      }
    }, PING_EVERY);
  }

  /** What comes after a silence may have waited until this machine woke, or until the browser went on: it is not new. */
  heldUp() {
    const { silent } = this.listener;
    if (silent) this.lost("nothing was heard for too long");
    return silent;
  }

  pong() {
    if (this.clock.now() - this.opened > HEALTHY) this.pause = FIRST_PAUSE;
    this.listener.answered();
  }

  message(text) {
    if (this.heldUp()) return;
    try {
      this.conversation.received(text);
      this.told();
    } catch (error) {
      this.lost(error.message);
    }
  }

  /** Close what is left, and try again after a pause that doubles. */
  lost(reason) {
    const { socket } = this;
    if (!socket) return;
    this.socket = null;
    this.conversation = null;
    clearInterval(this.pulse);
    socket.close();
    this.listener.disconnected(reason, this.clock.now() + this.pause);
    this.told();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.connect(), this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
  }
}
