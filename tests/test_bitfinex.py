"""The example of the README works as written, and a mistake in it is told at once."""

import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from threading import get_ident
from typing import Any

from twisted.internet import reactor
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase, TestCase

import bfxtwist
from bfxtwist import Bitfinex, FeedFailed, Level, OrderBook, run, service
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import Rows
from bfxtwist.core.moment import Moment
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.out.trade_errors import TradeFileError
from tests.running import ROOT, WholeTest

PAIRS = ("BTC/USD", "ETH/USD")
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

    def test_a_notebook_shows_which_it_is(self) -> None:
        self.assertEqual(repr(Bitfinex(symbol="BTC/USD", channel="book")), "<Bitfinex BTC/USD book>")

    def test_a_changed_payload_is_honoured(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        book.subscribe("ws://127.0.0.1:9/ws/2", {**book.get_subscribe_order_book_payload(), "prec": "R0", "len": "250"})
        self.assertEqual((book.settings.precision, book.settings.length, book.ws_url), ("R0", 250, "ws://127.0.0.1:9/ws/2"))

    def test_mistakes_name_their_fix(self) -> None:
        book: Any = Bitfinex(symbol="BTC/USD", channel="book")
        other = Bitfinex(symbol="ETH/USD", channel="book")
        endpoint, payload = book.get_websocket_orderbook_endpoint(), other.get_subscribe_order_book_payload()
        own = book.get_subscribe_order_book_payload()
        service: Any = bfxtwist.service  # told what it does not take, too
        made: Any = Bitfinex
        for mistake, fix in (
            (lambda: Bitfinex(symbol="BTC", channel="book"), "write it like BTC/USD"),
            (lambda: Bitfinex(symbol="BTC/USD", channel="ticker"), "use one of book, trades"),
            (lambda: Bitfinex(symbol="BTC/USD", channel="trades"), "file_path="),
            (lambda: book.on_trade(print), "make a Bitfinex with channel='trades'"),
            (lambda: Bitfinex("BTC/USD", "trades", "data/").on_book(print), "make a Bitfinex with channel='book'"),
            (lambda: made("BTC/USD", "trades", "data/").on_trade("print"), "'print' cannot be called with a trade"),
            (lambda: book.on_book("print"), "'print' cannot be called with a book"),
            (lambda: book.subscribe(endpoint, payload), "use get_subscribe_order_book_payload()"),
            (lambda: book.subscribe(own, endpoint), "is not a URL: write it like wss://"),
            (lambda: book.subscribe("https://example.org/", own), "is not a URL: write it like wss://"),
            (lambda: book.subscribe(endpoint, {**own, "event": "unsubscribe"}), "asks to unsubscribe: use get_subscribe"),
            (lambda: book.subscribe(endpoint, {**own, "precision": "P1"}), "has 'precision': use prec, freq and len"),
            (lambda: book.subscribe(endpoint, json.dumps(own)), "is no dict: use get_subscribe_order_book_payload()"),
            (service, "at least one Bitfinex"),
            (lambda: service([book]), "one by one"),
            (lambda: service(book, Bitfinex("ETH/USD", "book", ws_url="ws://h/")), "run one service for each"),
            (lambda: made("BTC/USD", "book", ws_url=["ws://h/"]), "ws_url ['ws://h/'] is not a URL: write it like wss:"),
            (lambda: Bitfinex("BTC/USD", "book", rest_url="ws://h/"), "is not a URL: write it like https:"),
            (lambda: service(book, listen=8080), "listen=8080 is no address: write it like 'tcp:8080:"),
            (lambda: service(book, allow_hosts=None), "allow_hosts=None is no host name: write it like 'book."),
            (lambda: service(book, allow_origins=[1]), "allow_origins=[1] is no origin: write it like 'https://"),
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
        self.book.attach(self.market, MemoryReactorClock())
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

    def test_an_error_in_a_callback_is_told_at_once(self) -> None:
        """Nobody would see it: the Deferred lives as long as the feed."""
        mistaken: Any = self.live.addCallback(lambda book: book.order_book.asks[25])
        self.book.attach(self.market, MemoryReactorClock())
        self.market.books["tBTCUSD"].snapshot(Rows(1, [(b"7", b"3", b"0.1"), (b"8", b"1", b"-1")], 5, None), MOMENT)
        self.assertEqual(len(self.flushLoggedErrors(IndexError)), 1)
        self.failureResultOf(mistaken, IndexError)

    def test_a_trades_feed_has_no_book(self) -> None:
        trades = Bitfinex(symbol="BTC/USD", channel="trades", file_path=self.mktemp())
        self.assertIn("channel='book'", str(self.assertRaises(AttributeError, lambda: trades.order_book)))


class WatchedBook(BookFeed):
    """A book that knows in which threads it was read."""

    readers: set[int]

    @property
    def status_now(self) -> FeedState:
        self.readers.add(get_ident())
        return super().status_now


class Threads(TestCase):
    def setUp(self) -> None:
        self.book = Bitfinex(symbol="BTC/USD", channel="book")
        self.feed = WatchedBook(self.book.settings.subscription, MOMENT)
        self.feed.readers = set()
        self.feed.snapshot(Rows(1, [(b"7e-7", b"3", b"0.1"), (b"8e-7", b"1", b"-2")], 5, None), MOMENT)

    def read(self) -> tuple[FeedState, OrderBook]:
        return self.book.status, self.book.order_book

    async def test_a_book_is_read_in_the_thread_that_changes_it(self) -> None:
        self.book.attach(Market(books={"tBTCUSD": self.feed}), reactor)
        status, book = await deferToThread(self.read)
        self.assertEqual((status, book.status, book.bids), (FeedState.LIVE, FeedState.LIVE, self.book.order_book.bids))
        self.assertEqual(self.feed.readers, {get_ident()})

    async def test_a_reactor_that_stops_meanwhile_keeps_nobody_waiting(self) -> None:
        stopping: Any = MemoryReactorClock()
        stopping.running = True
        stopping.callFromThread = lambda _read: setattr(stopping, "running", False)
        self.book.attach(Market(books={"tBTCUSD": self.feed}), stopping)
        status, book = await deferToThread(self.read)
        self.assertEqual((status, book.status), (FeedState.LIVE, FeedState.LIVE))


    async def test_run_in_a_thread_beside_the_reactors(self) -> None:
        with self.assertRaises(RuntimeError) as raised:
            await deferToThread(run, self.book)
        self.assertIn("call reactor.callFromThread(service(…).startService) in place", str(raised.exception))


class Service(SynchronousTestCase):
    def test_the_service_carries_what_was_asked_for(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        other = Bitfinex(symbol="ETH/USD", channel="book")
        daemon = service(book, other, reactor=MemoryReactorClock(), listen="tcp:0:interface=127.0.0.1")
        self.assertFalse(daemon.running)
        self.assertEqual(book.status, FeedState.CONNECTING)

    def test_a_feed_that_is_named_twice_is_one(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        daemon: Any = service(book, book, reactor=MemoryReactorClock(), listen="tcp:0:interface=127.0.0.1")
        self.assertEqual(list(daemon.market.books), ["tBTCUSD"])

    def test_whoever_waits_for_a_feed_that_cannot_be_is_told(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        live = book.subscribe(book.get_websocket_orderbook_endpoint(), book.get_subscribe_order_book_payload())
        ended: list[tuple[int, str]] = []
        daemon: Any = service(
            book,
            reactor=MemoryReactorClock(),
            ended=lambda code, line: ended.append((code, line)),
            listen="tcp:0:interface=127.0.0.1",
        )
        daemon._ended(78, "the exchange does not know it")
        self.assertEqual(ended, [(78, "the exchange does not know it")])
        self.assertEqual(str(self.failureResultOf(live, FeedFailed).value), "the exchange does not know it")


class Programs(WholeTest):
    """Small programs, each in a process of its own, since a reactor runs once."""

    async def output(self, script: str) -> tuple[str, str, int]:
        """Standard output, standard error, exit code."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        out, errors, code = await getProcessOutputAndValue(sys.executable, ["-c", script], env=environ)
        return out.decode(), errors.decode(), code

    async def test_run_ends_when_it_is_of_no_use_to_go_on(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        out, errors, code = await self.output(
            "from bfxtwist import Bitfinex, run\n"
            f"book = Bitfinex('BTX/USD', 'book', ws_url={exchange.ws_url!r}, rest_url={exchange.rest_url!r})\n"
            "run(book, listen='tcp:0:interface=127.0.0.1')"
        )
        self.assertRegex(errors.splitlines()[-1], r"FeedFailed: the exchange does not know BTX/USD .* did you mean BTC/USD")
        self.assertEqual(code, 1)
        self.assertNotIn("Unhandled", out + errors)

    async def test_run_keeps_what_was_asked_for_before_and_is_not_run_twice(self) -> None:
        out, errors, _ = await self.output(
            "from twisted.internet import reactor\n"
            "from bfxtwist import Bitfinex, run\n"
            "book = Bitfinex('BTC/USD', 'book')\n"
            "reactor.callLater(0.2, reactor.stop)\n"
            "for _ in range(2): run(book, listen='tcp:0:interface=127.0.0.1', demo=True, log_format='json')"
        )
        self.assertIn("start Python (the kernel) anew", errors.splitlines()[-1])
        self.assertIn("listening on http", [json.loads(line)["message"][:17] for line in out.splitlines()])

    async def test_who_tries_again_has_each_line_once(self) -> None:
        out, _, _ = await self.output(
            "import socket\n"
            "from twisted.internet import reactor\n"
            "from bfxtwist import Bitfinex, run\n"
            "taken = socket.create_server(('127.0.0.1', 0))\n"
            "book, where = Bitfinex('BTC/USD', 'book'), 'tcp:%d:interface=127.0.0.1'\n"
            "try: run(book, listen=where % taken.getsockname()[1], demo=True)\n"
            "except SystemExit: reactor.callLater(0.2, reactor.stop)\n"
            "run(book, listen=where % 0, demo=True)"
        )
        self.assertEqual(len(re.findall("listening on http", out)), 1, out)
        self.assertNotIn("selected twice", out)

    async def test_run_sees_to_garbage_as_twistd_does_but_not_as_a_guest(self) -> None:
        program = (
            "import gc, threading\n"
            "from twisted.internet import reactor\n"
            "from bfxtwist import Bitfinex, run\n"
            "book = Bitfinex('BTC/USD', 'book')\n"
            "def say(): print('frozen', gc.get_freeze_count() > 10000, gc.get_threshold()[0] == 10000, flush=True)\n"
            "more = {'listen': 'tcp:0:interface=127.0.0.1', 'demo': True}\n"
            "reactor.callLater(0.2, lambda: (say(), reactor.stop()))\n"
        )
        in_a_thread = "threading.Thread(target=run, args=(book,), kwargs=more).start()"
        for start, told in (("run(book, **more)", True), (in_a_thread, False)):
            out, errors, _ = await self.output(program + start)
            self.assertIn(f"frozen {told} {told}\n", out, errors)

    async def test_who_waits_for_a_feed_is_told_that_the_service_stops(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        exchange.faults.set("no-ack")
        heard, ignored = (Bitfinex(pair, "book", ws_url=exchange.ws_url, rest_url=exchange.rest_url) for pair in PAIRS)
        live = heard.subscribe(heard.get_websocket_orderbook_endpoint(), heard.get_subscribe_order_book_payload())
        daemon: Any = service(heard, ignored, reactor=reactor, listen="tcp:0:interface=127.0.0.1")
        daemon.startService()
        await daemon.stopService()
        self.assertIn("stopped before", str(self.failureResultOf(live, FeedFailed).value))

    async def test_a_service_that_cannot_start_lets_go_when_it_is_stopped(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        folder, own = self.mktemp(), {"ws_url": exchange.ws_url, "rest_url": exchange.rest_url}
        first: Any = service(Bitfinex("BTC/USD", "trades", folder, **own), listen="tcp:0:interface=127.0.0.1")
        first.startService()
        self.addCleanup(lambda: first.stopService() if first.running else None)
        second: Any = service(Bitfinex("BTC/USD", "trades", folder, **own), listen="tcp:0:interface=127.0.0.1")
        self.assertRaises(TradeFileError, second.startService)
        await second.stopService()
        self.assertEqual(second.web.addresses, [])
        await first.stopService()
        second.startService()
        await second.stopService()
        await second.stopService()

    async def test_a_service_that_is_started_again_logs_again(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        book = Bitfinex("BTC/USD", "book", ws_url=exchange.ws_url, rest_url=exchange.rest_url)
        daemon = service(book, listen="tcp:0:interface=127.0.0.1")
        with capturedLogs() as events:
            for _ in range(2):
                daemon.startService()
                await self.until(lambda: book.status is FeedState.LIVE)
                await daemon.stopService()
        told = [formatEvent(event) for event in events if event["log_namespace"] == "bfxtwist.state_log"]
        self.assertEqual(told, 2 * ["live: BTC/USD book"])

    async def test_a_fork_has_no_feeds(self) -> None:
        out, _, _ = await self.output(
            "import os, signal, threading, time\n"
            "from bfxtwist import Bitfinex, run\n"
            "book = Bitfinex('BTC/USD', 'book')\n"
            "more = {'listen': 'tcp:0:interface=127.0.0.1', 'demo': True}\n"
            "threading.Thread(target=run, args=(book,), kwargs=more, daemon=True).start()\n"
            "while book.status != 'live': time.sleep(0.01)\n"
            "if child := os.fork():\n"
            "    os.waitpid(child, 0)\n"
            "    print('here it is', book.status, flush=True)\n"
            "else:\n"
            "    signal.alarm(5)  # who waits for a thread that is not there waits for ever\n"
            "    try: print(book.order_book, flush=True)\n"
            "    except RuntimeError as error: print(error, flush=True)\n"
            "os._exit(0)"
        )
        self.assertIn("the process that this one was forked from", out)
        self.assertIn("here it is live", out)

    async def test_run_in_a_reactor_that_runs(self) -> None:
        _, errors, _ = await self.output(
            "from twisted.internet import reactor\n"
            "from bfxtwist import Bitfinex, run\n"
            "def late():\n"
            "    reactor.callLater(0, reactor.stop)\n"
            "    try: run(Bitfinex('BTC/USD', 'book'), demo=True)\n"
            "    except RuntimeError as error: raise SystemExit(str(error))\n"
            "reactor.callWhenRunning(late)\n"
            "reactor.run()"
        )
        self.assertIn("call service(…).startService() in place of run(…)", errors)

    async def test_a_loop_that_the_reactor_does_not_share(self) -> None:
        _, errors, _ = await self.output(
            "import asyncio\n"
            "from bfxtwist import Bitfinex, service\n"
            "async def main(): service(Bitfinex('BTC/USD', 'book'), demo=True)\n"
            "asyncio.run(main())"
        )
        self.assertIn("asyncioreactor.install(asyncio.get_running_loop())", errors.splitlines()[-1])

    async def test_the_programs_of_the_documentation(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        written = re.findall(r"```python\n(.*?)```", (ROOT / "docs/python.md").read_text(), re.DOTALL)
        here = f'channel="book", ws_url={exchange.ws_url!r}, rest_url={exchange.rest_url!r}'
        own, shared, thread = (program.replace('channel="book"', here) for program in written[1:])
        port = '"tcp:0:interface=127.0.0.1"'
        feeds = "book, trade = Bitfinex('BTC/USD', 'book'), Bitfinex('BTC/USD', 'trades', 'data')\n"
        enough = "@trade.on_trade\ndef enough(_):\n    if book.status == 'live': reactor.stop()\n"
        called = f"from twisted.internet import reactor\nfrom bfxtwist import *\n{feeds}{written[0]}{enough}"
        out, errors, code = await self.output(f"{called}run(book, trade, demo=True, listen={port})")
        self.assertRegex(out, r"(?m)^[0-9.]+ [0-9.]+$")
        self.assertRegex(out, r"(?m)^(buy|sell) [0-9.]+ at [0-9.]+$")
        self.assertEqual((errors, code), ("", 0))
        for program in (
            own.replace("tcp:8080", "tcp:0").replace("bids[0])", "bids[0]) or reactor.stop()"),
            shared.replace("service(book)", f"service(book, listen={port})"),
            thread.replace("(book,)", f"(book,), kwargs={{'listen': {port}}}")
            + "import time\nwhile book.status != 'live': time.sleep(0.01)\nprint(book.order_book.bids[0])\n",
        ):
            out, errors, code = await self.output(program)
            self.assertIn("Level(price=Decimal(", out, errors)
            self.assertEqual((errors, code), ("", 0), program)


class Importing(SynchronousTestCase):
    def output(self, script: str) -> str:
        return subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.strip()

    def test_the_core_brings_no_twisted_along(self) -> None:
        script = "import sys, bfxtwist.core.session, bfxtwist.core.trades; print('twisted' in sys.modules)"
        self.assertEqual(self.output(script), "False")

    def test_a_notebook_offers_the_public_names_before_they_are_loaded(self) -> None:
        offered = self.output("import bfxtwist, sys; print(*dir(bfxtwist)); assert 'twisted' not in sys.modules")
        self.assertEqual(set(offered.split()), {"__version__", *bfxtwist.__all__})
