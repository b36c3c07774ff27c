"""The example of the README works as written, and a mistake in it is told at once."""

import subprocess
import sys
from decimal import Decimal

from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist import Bitfinex, Level, service
from bfxtwist.core.market import FeedState, Market
from bfxtwist.core.messages import Rows
from bfxtwist.core.moment import Moment

MOMENT = Moment(1.0, 1_790_134_414_850_000)


class Asking(SynchronousTestCase):
    def test_endpoint_and_payload_are_the_exchanges(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book", length=100)
        self.assertEqual(book.get_websocket_orderbook_endpoint(), "wss://api-pub.bitfinex.com/ws/2")
        self.assertEqual(
            book.get_subscribe_order_book_payload(),
            {"event": "subscribe", "channel": "book", "symbol": "tBTCUSD", "prec": "P0", "freq": "F0", "len": "100"},
        )
        trades = Bitfinex(symbol="DOGE/USD", channel="trades", file_path="data/")
        self.assertEqual(
            trades.get_subscribe_order_book_payload(), {"event": "subscribe", "channel": "trades", "symbol": "tDOGE:USD"}
        )

    def test_a_changed_payload_is_honoured(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        book.subscribe("ws://127.0.0.1:9/ws/2", {**book.get_subscribe_order_book_payload(), "prec": "R0", "len": "250"})
        self.assertEqual((book.settings.precision, book.settings.length, book.ws_url), ("R0", 250, "ws://127.0.0.1:9/ws/2"))

    def test_mistakes_name_their_fix(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        other = Bitfinex(symbol="ETH/USD", channel="book")
        endpoint, payload = book.get_websocket_orderbook_endpoint(), other.get_subscribe_order_book_payload()
        for mistake, fix in (
            (lambda: Bitfinex(symbol="BTC", channel="book"), "write it like BTC/USD"),
            (lambda: Bitfinex(symbol="BTC/USD", channel="ticker"), "use one of book, trades"),
            (lambda: Bitfinex(symbol="BTC/USD", channel="trades"), "file_path="),
            (lambda: book.subscribe(endpoint, payload), "use get_subscribe_order_book_payload()"),
            (service, "at least one Bitfinex"),
            (lambda: service(book, Bitfinex("ETH/USD", "book", ws_url="ws://h/")), "run one service for each"),
        ):
            self.assertIn(fix, str(self.assertRaises(ValueError, mistake)))

    def test_subscribing_twice_is_a_mistake(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        asked = book.get_websocket_orderbook_endpoint(), book.get_subscribe_order_book_payload()
        book.subscribe(*asked)
        self.assertIn("subscribed already", str(self.assertRaises(ValueError, book.subscribe, *asked)))


class Reading(SynchronousTestCase):
    def setUp(self) -> None:
        self.book = Bitfinex(symbol="BTC/USD", channel="book")
        self.live = self.book.subscribe(
            self.book.get_websocket_orderbook_endpoint(), self.book.get_subscribe_order_book_payload()
        )
        self.market = Market()
        self.market.carry(self.book.settings.subscription, MOMENT)

    def test_before_it_runs_the_book_is_empty_and_says_so(self) -> None:
        self.assertEqual((self.book.order_book.status, self.book.order_book.bids), (FeedState.CONNECTING, ()))

    def test_the_deferred_fires_when_the_feed_is_live_and_the_book_is_exact(self) -> None:
        self.book.attach(self.market)
        self.assertNoResult(self.live)
        rows = [(b"7e-7", b"3", b"0.1"), (b"8e-7", b"1", b"-100.25")]
        self.market.books["tBTCUSD"].snapshot(Rows(1, list(rows), 5, None), MOMENT)
        self.assertIs(self.successResultOf(self.live), self.book)
        book = self.book.order_book
        self.assertEqual(book.bids, (Level(Decimal("7e-7"), Decimal("0.1"), 3),))
        self.assertEqual(book.asks, (Level(Decimal("8e-7"), Decimal("100.25"), 1),))
        self.assertEqual((book.symbol, book.status, book.nonce), ("BTC/USD", FeedState.LIVE, 5))
        self.assertEqual(book.timestamp, 1790134414850)
        self.market.books["tBTCUSD"].lost("gone", MOMENT)
        self.assertEqual((self.book.status, self.book.order_book.status), (FeedState.STALE, FeedState.STALE))

    def test_a_trades_feed_has_no_book(self) -> None:
        trades = Bitfinex(symbol="BTC/USD", channel="trades", file_path=self.mktemp())
        self.assertIn("channel='book'", str(self.assertRaises(AttributeError, lambda: trades.order_book)))


class Service(SynchronousTestCase):
    def test_the_service_carries_what_was_asked_for(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        other = Bitfinex(symbol="ETH/USD", channel="book")
        daemon = service(book, other, reactor=MemoryReactorClock(), listen="tcp:0:interface=127.0.0.1")
        self.assertFalse(daemon.running)
        self.assertEqual(book.status, FeedState.CONNECTING)


class Importing(SynchronousTestCase):
    def test_the_core_brings_no_twisted_along(self) -> None:
        script = "import sys, bfxtwist.core.session, bfxtwist.core.trades; print('twisted' in sys.modules)"
        output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
        self.assertEqual(output.strip(), "False")
