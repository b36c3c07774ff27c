"""Functions of a program: called with every change, never for nothing, and whatever another one raises."""

import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist import Bitfinex, OrderBook, Trade, service
from bfxtwist.callbacks import Callbacks, TurnWise
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Rows
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trades import Mode
from bfxtwist.exact import order_book
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import WholeTest


async def _later(told: object) -> None:
    """Nobody would wait for it."""


def _in_parts(told: object) -> Iterator[object]:
    """Nobody would ask it for the first."""
    yield told


class CallbacksTests(SynchronousTestCase):
    """`Callbacks`"""

    def setUp(self) -> None:
        self.callbacks: Callbacks[Any] = Callbacks("mine", "trade")

    def test_one_that_fails_keeps_nothing_from_the_others(self) -> None:
        heard: list[Any] = []
        self.callbacks.add(sys.exit)
        self.callbacks.add(lambda told: {}[told])
        self.callbacks.add(heard.append)
        self.callbacks.call(1)
        self.callbacks.call(2)
        self.assertEqual(heard, [1, 2])
        self.assertEqual([len(self.flushLoggedErrors(kind)) for kind in (KeyError, SystemExit)], [2, 2])

    def test_one_that_a_call_would_not_run_is_refused(self) -> None:
        for function in (_later, _in_parts, "print", None):
            error = self.assertRaises(ValueError, self.callbacks.add, function)
            self.assertIn("cannot be called with a trade: name a plain function", str(error))
        self.assertFalse(self.callbacks)

    def test_one_that_names_another(self) -> None:
        """It is called from the next time on."""
        heard: list[Any] = []
        self.callbacks.add(lambda told: self.callbacks.add(heard.append) if told == 1 else None)
        self.callbacks.call(1)
        self.callbacks.call(2)
        self.assertEqual(heard, [2])


class TurnWiseTests(SynchronousTestCase):
    """`TurnWise`, on a feed."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.feed = BookFeed(Subscription(ChannelName.BOOK, "tBTCUSD"), self.moment)
        self.heard: list[OrderBook] = []
        TurnWise(self.feed, self.clock, lambda: self.heard.append(order_book(self.feed)))

    @property
    def moment(self) -> Moment:
        seconds = self.clock.seconds()
        return Moment(seconds, 1_790_134_414_850_000 + round(seconds * 1e6))

    def update(self, seq: int, price: bytes) -> None:
        self.feed.update(BookUpdate.of(1, (price, b"1", b"2"), seq, None), self.moment)

    def test_what_comes_in_one_turn_is_one_call(self) -> None:
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1")], 1, None), self.moment)
        self.update(2, b"99")
        self.assertEqual(self.heard, [])
        self.clock.advance(0)
        [book] = self.heard
        self.assertEqual((book.status, book.nonce, len(book.bids)), (FeedState.LIVE, 2, 2))
        self.update(3, b"98")
        self.clock.advance(0)
        self.assertEqual([book.nonce for book in self.heard], [2, 3])

    def test_a_book_that_is_lost(self) -> None:
        """Whoever trades by it must hear at once."""
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1")], 1, None), self.moment)
        self.clock.advance(0)
        self.feed.lost("the line is down", self.moment)
        self.clock.advance(0)
        self.assertEqual([book.status for book in self.heard], [FeedState.LIVE, FeedState.STALE])
        self.assertEqual(self.heard[0].bids, self.heard[1].bids)

    def test_a_checksum_that_agrees_is_no_change(self) -> None:
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1")], 1, None), self.moment)
        self.clock.advance(0)
        self.feed.checksum(Checksum(1, self.feed.book.checksum(), 2, None), self.moment)
        self.clock.advance(0)
        self.assertEqual(len(self.heard), 1)

    def test_a_checksum_that_makes_a_crossed_book_good(self) -> None:
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1"), (b"99", b"1", b"-1")], 1, None), self.moment)
        self.clock.advance(0)
        self.feed.checksum(Checksum(1, self.feed.book.checksum(), 2, None), self.moment)
        self.clock.advance(0)
        self.assertEqual([book.status for book in self.heard], [FeedState.STALE, FeedState.LIVE])

    def test_of_two_services_the_later_one(self) -> None:
        """What the earlier one tells at its end is not said of the other one's book."""
        book = Bitfinex("BTC/USD", "book")
        book.on_book(self.heard.append)
        feeds = []
        for market in (Market(), Market()):
            feeds.append(market.carry(book.settings.subscription, self.moment))
            book.attach(market, self.clock)
        for feed in feeds:
            feed.syncing("", self.moment)
        self.clock.advance(0)
        self.assertEqual([one.status for one in self.heard], [FeedState.SYNCING])


class Heard(WholeTest):
    """`on_trade` and `on_book`, over real sockets."""

    async def test_a_function_is_called_with_each_trade_as_the_file_has_it(self) -> None:
        """Over a lost connection, whose trades are fetched, and though it raises; not with what was on file before."""
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",), rate=100))
        folder = self.mktemp()
        heard: list[Trade] = []
        also_heard: list[Trade] = []

        async def record() -> None:
            own = {"ws_url": exchange.ws_url, "rest_url": exchange.rest_url}
            trades = Bitfinex("BTC/USD", "trades", folder, **own)

            @trades.on_trade
            def hear(trade: Trade) -> None:
                heard.append(trade)
                if len(heard) == 5:
                    raise KeyError("mine")
                if len(heard) == 7:
                    sys.exit("mine")

            same = Bitfinex("BTC/USD", "trades", folder, **own)
            same.on_trade(also_heard.append)
            daemon: Any = service(trades, same, trades, reactor=reactor, listen="tcp:0:interface=127.0.0.1")
            daemon.startService()
            self.addCleanup(lambda: daemon.stopService() if daemon.running else None)
            await self.until(lambda: trades.status is FeedState.LIVE and heard)
            feed, status = daemon.market.trades["tBTCUSD"], daemon.recorders.by_symbol["tBTCUSD"].status

            async def reconnect() -> None:
                before = feed.counts.snapshots
                exchange.faults.set("drop")
                await self.until(lambda: feed.counts.snapshots > before and status().mode is Mode.LIVE)

            while not status().counters.backfilled:  # where it was back at once, the snapshot has all that was missed
                await reconnect()
            await daemon.stopService()

        await record()
        await record()
        rows = [line.split(",") for line in (Path(folder) / "trade.csv").read_text().splitlines()[1:]]
        told = [(str(trade.id), str(trade.timestamp * 1000), trade.side, trade.price, trade.amount) for trade in heard]
        self.assertEqual(told, [(row[4], row[2], row[5], Decimal(row[6]), Decimal(row[7])) for row in rows])
        self.assertEqual(also_heard, heard)
        self.assertEqual([len(self.flushLoggedErrors(kind)) for kind in (KeyError, SystemExit)], [1, 1])

    async def test_a_function_is_called_with_each_book(self) -> None:
        """As it is read over HTTP by anybody else, and when it is not to be trusted any more; whenever it was named."""
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",), rate=100))
        book = Bitfinex("BTC/USD", "book", ws_url=exchange.ws_url, rest_url=exchange.rest_url)
        heard: list[OrderBook] = []
        book.on_book(heard.append)
        daemon: Any = service(book, reactor=reactor, listen="tcp:0:interface=127.0.0.1")
        late: list[OrderBook] = []
        book.on_book(late.append)
        daemon.startService()
        self.addCleanup(lambda: daemon.stopService() if daemon.running else None)
        await self.until(lambda: len({one.nonce for one in heard if one.status is FeedState.LIVE}) > 3)
        await self.until(lambda: heard[-1] == book.order_book)  # else a turn from now
        exchange.faults.set("drop")
        await self.until(lambda: any(one.status is FeedState.STALE for one in heard))
        await self.until(lambda: heard[-1].status is FeedState.LIVE)
        self.assertEqual(late, heard)
