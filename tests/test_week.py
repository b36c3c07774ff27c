"""A week by the clock, without sockets: sessions, a book, a tape and its file, while nothing much happens, as on most days.

What only time shows: timers that drift apart, silence seen where there is none, a comparison with history that falls behind,
something that grows. Four times a day the connection is lost, and trades are made that the socket never tells.
"""

import json
from collections import deque
from itertools import islice

from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.channels import Tally
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.gaps import GapState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import Refused, Trade
from bfxtwist.core.session import PING_EVERY, Session, SessionState
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_rows import Layout
from bfxtwist.core.trades import Mode
from bfxtwist.core.wire import encode_row, encode_rows
from bfxtwist.out.trade_recorder import TradeRecorder
from tests.core.conversation import BOOK, CHECKSUM, GRANTED, GREETING, ROWS, TRADES
from tests.crash_disk import CrashDisk
from tests.model_exchange import LedgerTrade, ModelExchange

HOUR, WEEK = 3600, 7 * 24 * 3600

#: Seconds between two steps of the clock, heartbeats of a channel, trades, and connections.
STEP, BEAT, TRADE, CONNECTION = 2, 14, 20, 6 * HOUR
#: Seconds without a connection: more trades than a snapshot tells.
OUTAGE = 900

#: Trades that history still has: far more than a comparison looks back to.
KEPT = 200


class Recent(ModelExchange):
    """Its history is short: to sort a week's trades for every page would take the most of this test."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._latest: deque[LedgerTrade] = deque(maxlen=KEPT)

    def trade(self, **how: float) -> LedgerTrade:
        """As ever."""
        made = super().trade(**how)  # type: ignore[arg-type]
        self._latest.append(made)
        return made

    def history(self) -> list[Trade]:
        """What is published of the latest."""
        return [made.stored for made in self._latest if made.published <= self._clock.seconds()]


class Life:
    """A recorder and one session after the other."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.exchange = Recent(self.clock)
        self.disk = CrashDisk()
        self.market = Market()
        self.tally = Tally()
        self.said: list[str] = []  # that should not have to be said
        self.session: Session | None = None
        self._sent: list[bytes] = []
        self._seq = 0
        self._unconfirmed: list[Trade] = []
        for subscription in (BOOK, TRADES):
            self.market.carry(subscription, self.exchange.moment())
        self.recorder = TradeRecorder(
            "tBTCUSD", "/", self.exchange, self.clock, self.exchange.moment, disk=self.disk, in_thread=maybeDeferred
        )
        self.recorder.start()
        self.market.trades["tBTCUSD"].listeners.append(self.recorder)

    # --- the session's observer ---------------------------------------------------------------------------------

    def noted(self, text: str, /, **fields: object) -> None:
        self.said.append(text.format(**fields))

    def refused(self, subscription: Subscription, refusal: Refused) -> None:
        self.said.append(f"refused {subscription} {refusal.code}")

    def displaced(self, subscription: Subscription) -> None:
        self.said.append(f"displaced {subscription}")

    # --- the exchange -------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Hello, conf, both channels and their snapshots."""
        self._seq = 0
        self.session = Session(self.market, (BOOK, TRADES), self._sent.append, self, self.tally)
        self.session.opened(self.exchange.moment())
        for event in (GREETING, GRANTED):
            self.hear(json.dumps(event))
        self.answer()
        self.frame(7, ROWS)
        self.frame(8, encode_rows(trade.row for trade in self.exchange.snapshot(30)).decode())

    def answer(self) -> None:
        """What the client has asked for."""
        for request in map(json.loads, self._sent):
            if request["event"] == "subscribe":
                channel_id = 7 if request["channel"] == "book" else 8
                self.hear(json.dumps({**request, "event": "subscribed", "chanId": channel_id}))
            elif request["event"] == "ping":
                self.hear(json.dumps({"event": "pong", "cid": request["cid"], "ts": 1}))
        self._sent.clear()

    def hear(self, text: str) -> None:
        assert self.session is not None
        self.session.received([text.encode()], self.exchange.moment())

    def frame(self, channel_id: int, body: str) -> None:
        self._seq += 1
        self.hear(f"[{channel_id},{body},{self._seq},{self.exchange.now()}]")

    def lose(self) -> None:
        """The connection is gone."""
        assert self.session is not None
        self.session.ended("lost", self.exchange.moment())
        self.session = None
        self._unconfirmed.clear()

    # --- time -----------------------------------------------------------------------------------------------------

    def step(self, now: int) -> None:
        """Two seconds more."""
        self.clock.advance(STEP)
        if now % TRADE == 0:
            self._trade()
        if self.session is None:
            return
        if now % BEAT == 0:
            self.frame(7, f'"cs",{CHECKSUM}')
            self.frame(8, '"hb"')
        self.session.tick(self.exchange.moment())
        self.answer()

    def _trade(self) -> None:
        trade = self.exchange.trade().told
        if self.session is None:
            return
        for kind, told in [*(("tu", earlier) for earlier in self._unconfirmed), ("te", trade)]:
            self.frame(8, f'"{kind}",{encode_row(told.row).decode()}')
        self._unconfirmed = [trade]


class Week(SynchronousTestCase):
    """Each hour it is looked at."""

    def setUp(self) -> None:
        self.life = Life()

    def _look(self) -> None:
        life = self.life
        assert life.session is not None
        self.assertIs(life.session.state, SessionState.READY)
        self.assertEqual([feed.state for feed in life.market.feeds()], [FeedState.LIVE] * 2)
        self.assertTrue(life.market.books["tBTCUSD"].verified)
        self.assertEqual((life.said, life.recorder.not_ready()), ([], None))
        self.assertIs(life.recorder.tape.mode, Mode.LIVE)
        status = life.recorder.status()
        self.assertTrue(status.lag_ms is not None and status.lag_ms < 180_000)
        self.assertEqual((status.gaps[GapState.OPEN], status.gaps[GapState.LOST]), (0, 0))
        self.assertLess(len(life.recorder.tape.comparison.recent), 20)
        self.assertEqual(len(life.clock.getDelayedCalls()), 1)

    def test_nothing_drifts_nothing_grows_and_nothing_is_missing(self) -> None:
        life = self.life
        for now in range(0, WEEK, STEP):
            if now % CONNECTION == 0 and life.session is not None:
                life.lose()
            if now % CONNECTION == (OUTAGE if now >= CONNECTION else 0):
                life.connect()
            life.step(now)
            if now % HOUR == HOUR - STEP:
                self._look()
        connected = WEEK - (WEEK // CONNECTION - 1) * OUTAGE
        self.assertTrue(0.99 < life.tally.pongs * PING_EVERY / connected <= 1)
        self.successResultOf(life.recorder.stop())
        lines = life.disk.content("/trade.csv").splitlines(keepends=True)[1:]
        ids = [int(line) for line in Layout("tBTCUSD").ids(b"".join(lines)) or ()]
        self.assertEqual(sorted(ids), list(life.exchange.ledger))
        self.assertEqual(len(ids), WEEK // TRADE)
        gaps = life.disk.content("/trade.gaps.csv").splitlines()
        self.assertEqual(sum(b"filled" in line for line in islice(gaps, 1, None)), WEEK // CONNECTION - 1)
