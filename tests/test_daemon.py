"""The daemon as a service: what it says of itself, what can be changed while it runs, and what ends it."""

import errno
import os
from collections.abc import Sequence
from dataclasses import replace
from gzip import compress
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogEvent, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

import bfxtwist.daemon
from bfxtwist import Bitfinex, service
from bfxtwist.app import now
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import Rows
from bfxtwist.daemon import Daemon
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.out.disk import OsDisk
from bfxtwist.out.trade_errors import WrongFile
from bfxtwist.settings import FeedSettings, settings
from tests.running import RunningDaemon, WholeTest, books, ids, recordings

PAIRS = ("BTC/USD", "ETH/USD", "LTC/USD", "XRP/USD", "EOS/USD")


class InMemory(SynchronousTestCase):
    """Nothing answers here: neither the exchange nor the disk of another thread."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.ended: list[tuple[int, str]] = []
        self.stopped = 0

    def made(self, feeds: Sequence[FeedSettings], **more: Any) -> Daemon:
        def stopping() -> None:
            self.stopped += 1

        where: dict[str, Any] = {} if "demo" in more else {"ws_url": "ws://127.0.0.1:9/", "rest_url": "http://127.0.0.1:9/v2"}
        chosen = settings(feeds=feeds, **{"listen": "tcp:8080:interface=127.0.0.1", **where, **more})
        return Daemon(self.reactor, chosen, now, ended=lambda *why: self.ended.append(why), stopping=stopping)

    def lines(self, feeds: Sequence[FeedSettings], **more: Any) -> list[str]:
        """What the log says of where everything is."""
        with capturedLogs() as events:
            self.started(feeds, **more)
        told = [str(formatEvent(event)) for event in events if event["log_namespace"] == "bfxtwist.daemon"]
        return [line.replace(self.address, "http://here") for line in told]

    def started(self, feeds: Sequence[FeedSettings], **more: Any) -> Daemon:
        daemon = self.made(feeds, **more)
        daemon.startService()
        self.addCleanup(daemon.recorders.stop)
        self.address = daemon.web.addresses[0]
        return daemon

    # --- start ------------------------------------------------------------------------------------------------

    def test_it_starts_once(self) -> None:
        book = Bitfinex(symbol="BTC/USD", channel="book")
        daemon: Any = service(book, reactor=MemoryReactorClock(), listen="tcp:0:interface=127.0.0.1")
        daemon.running = True
        self.assertIn("once", str(self.assertRaises(RuntimeError, daemon.startService)))

    def test_readers_can_be_attached_before_it_runs(self) -> None:
        daemon = self.made([*books("BTC/USD"), *recordings(self.mktemp(), "ETH/USD")])
        self.assertEqual((list(daemon.market.books), list(daemon.market.trades)), (["tBTCUSD"], ["tETHUSD"]))
        self.assertEqual((daemon.running, self.reactor.tcpServers, self.reactor.tcpClients), (0, [], []))

    def test_what_the_exchange_packs_is_unpacked_within_bounds(self) -> None:
        """treq itself would unpack whatever comes, and as often as it is said to be packed."""
        body = compress(compress(b'[["BTCUSD"],[],[]]'))
        with capturedLogs() as events:
            self.started(books("BTC/USD"))
            protocol: Any = self.reactor.tcpClients[-1][2].buildProtocol(None)
            protocol.makeConnection(StringTransport())
            head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
            protocol.dataReceived(head + body)
        said = [formatEvent(event) for event in events if "pairs" in str(event["log_format"])]
        self.assertIn("pairs are not checked: packed in a way that was not asked for", str(said))

    def test_a_bug_while_starting_ends_it(self) -> None:
        """It would live on without a feed, and look well."""
        self.patch(bfxtwist.daemon, "FeedService", lambda *_: 1 // 0)
        self.started(books("BTC/USD"), demo=True)  # which needs no list of pairs
        self.assertEqual(self.ended, [(os.EX_SOFTWARE, "the daemon cannot start: see the log")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    # --- what it says of itself -------------------------------------------------------------------------------

    def test_where_one_book_and_one_file_are(self) -> None:
        folder = Path(self.mktemp()).absolute()
        told = self.lines([*books("BTC/USD"), *recordings(folder, "ETH/USD")])
        expected = ["the page: http://here/", "BTC/USD book: http://here/book", f"ETH/USD trades: {folder}/trade.csv"]
        self.assertEqual(told, expected)

    def test_where_each_of_a_few_is(self) -> None:
        told = self.lines(books(*PAIRS[:4]))
        self.assertEqual(told, ["the page: http://here/", *(f"{p} book: http://here/book?pair={p}" for p in PAIRS[:4])])

    def test_where_to_find_many(self) -> None:
        folder = Path(self.mktemp()).absolute()
        told = self.lines([*books(*PAIRS), *recordings(folder, *PAIRS)])
        expected = ["the page: http://here/", "5 books: http://here/books", f"5 trade files: {folder}/…/trade.csv"]
        self.assertEqual(told, expected)

    def test_a_socket_in_the_file_system_has_no_url(self) -> None:
        self.assertEqual(self.lines(books("BTC/USD"), listen="unix:bfx.sock"), [])

    def test_how_the_feeds_are(self) -> None:
        daemon = self.made([*books("BTC/USD"), *recordings(self.mktemp(), "ETH/USD")])
        self.assertEqual(daemon.summary(), "0 of 2 feeds live, BTC/USD book connecting, ETH/USD trades connecting")
        daemon.market.books["tBTCUSD"].snapshot(Rows(1, [], 1, None), now())
        self.assertEqual(daemon.summary(), "1 of 2 feeds live, ETH/USD trades connecting")
        self.assertIsNone(daemon.status(), "nothing is known of connections before there are any")

    # --- changes ----------------------------------------------------------------------------------------------

    def test_nothing_is_changed_while_it_starts(self) -> None:
        daemon = self.started(books("BTC/USD"))
        wanted = replace(daemon.settings, feeds=tuple(books("ETH/USD")))
        error = self.failureResultOf(Deferred.fromCoroutine(daemon.change_feeds(wanted)), ValueError)
        self.assertEqual(str(error.value), "the daemon is still starting: send SIGHUP again in a moment")
        self.assertEqual(list(daemon.market.books), ["tBTCUSD"])

    # --- stop -------------------------------------------------------------------------------------------------

    def test_how_it_is_can_be_asked_until_the_files_are_closed(self) -> None:
        daemon = self.started(books("BTC/USD"))
        closing: Deferred[Any] = Deferred()
        self.patch(daemon.recorders, "stop", lambda: closing)
        stopped = daemon.stopService()
        self.assertEqual((self.stopped, daemon.web.running), (1, 1))
        self.assertNoResult(stopped)
        closing.callback(None)
        self.successResultOf(stopped)
        self.assertEqual((daemon.web.running, self.ended, self.reactor.getDelayedCalls()), (0, [], []))


class Changing(WholeTest):
    """`change_feeds`, on a daemon that runs."""

    async def begin(self, feeds: Sequence[FeedSettings]) -> RunningDaemon:
        self.met = await self.exchange(SimulatedMarket(7, ("tBTCUSD", "tETHUSD", "tLTCUSD")))
        return await self.daemon(self.met, feeds)

    async def change(self, running: RunningDaemon, feeds: Sequence[FeedSettings]) -> None:
        await running.daemon.change_feeds(replace(running.daemon.settings, feeds=tuple(feeds)))

    async def test_a_pair_that_is_wanted_again_at_once(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD", "tETHUSD")))
        both = recordings(self.mktemp(), "BTC/USD", "ETH/USD")
        running = await self.daemon(exchange, both)
        wanted = running.daemon.settings
        await running.daemon.change_feeds(replace(wanted, feeds=wanted.feeds[:1]))
        await running.daemon.change_feeds(wanted)
        await self.until(lambda: running.live)
        self.assertEqual(set(running.daemon.recorders.by_symbol), {"tBTCUSD", "tETHUSD"})

    async def test_what_goes_on_is_not_disturbed(self) -> None:
        """Neither by what comes nor by what goes."""
        folder = Path(self.mktemp())
        own = [*books("BTC/USD"), *recordings(folder, "BTC/USD")]
        running = await self.begin([*own, *books("ETH/USD")])
        book = running.market.books["tBTCUSD"]
        wanted = (*own, *books("LTC/USD"))
        await self.change(running, wanted)
        await self.until(lambda: running.live)
        self.assertEqual(running.daemon.settings.feeds, wanted)
        self.assertEqual(set(running.market.books), {"tBTCUSD", "tLTCUSD"})
        self.assertIs(running.market.books["tBTCUSD"], book)
        self.assertEqual((running.states["BTC/USD book"][-1], book.counts.snapshots), (FeedState.LIVE, 1))
        written = len(ids(folder / "trade.csv"))
        await self.until(lambda: len(ids(folder / "trade.csv")) > written)

    async def test_a_feed_that_is_refused_later_takes_nothing_along(self) -> None:
        """At the start it would be the user's mistake, and the end."""
        running = await self.begin(books("BTC/USD"))
        self.met.faults.set("refuse", "10300")
        with capturedLogs() as events:
            await self.change(running, books("BTC/USD", "ETH/USD"))
            await self.until(lambda: any("the other feeds go on" in str(event.get("log_format")) for event in events))
        self.assertEqual((running.ended, running.market.books["tBTCUSD"].state), ([], FeedState.LIVE))

    async def test_a_feed_that_was_live_and_is_refused_does_not_end_it(self) -> None:
        """The exchange has its bad days: a recording does not end with one."""
        running = await self.begin(books("BTC/USD"))
        self.met.faults.set("refuse", "10300")
        with capturedLogs() as events:
            self.met.faults.set("drop", "rst")
            await self.until(lambda: any("the other feeds go on" in str(event.get("log_format")) for event in events))
        self.assertEqual((running.ended, running.market.books["tBTCUSD"].state), ([], FeedState.STALE))

    async def test_a_pair_that_was_recorded_and_is_gone_at_the_next_start(self) -> None:
        """Delisted while nothing ran: the trades of the others would be missed, and systemd does not try again."""
        recorded = recordings(self.mktemp(), "BTC/USD", "ETH/USD")
        first = await self.begin(recorded)
        await self.until(lambda: first.live)
        await first.daemon.stopService()
        without = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        with capturedLogs() as events:
            running = self.started(without, [*recorded, *books("ETH/USD")])
            await self.until(lambda: self._going_on(events) == {"ETH/USD trades", "ETH/USD book"})
        await self.until(lambda: running.market.trades["tBTCUSD"].state is FeedState.LIVE)
        self.assertEqual(running.ended, [])

    def _going_on(self, events: Sequence[LogEvent]) -> set[str]:
        """The feeds that are refused and end nothing."""
        said = [str(event["line"]) for event in events if "the other feeds go on" in str(event.get("log_format"))]
        return {line.removeprefix("the exchange refuses ").partition(":")[0] for line in said}

    async def test_a_pair_that_nobody_knows_changes_nothing(self) -> None:
        running = await self.begin(books("BTC/USD"))
        with self.assertRaises(ValueError) as raised:
            await self.change(running, books("ETH/USD", "ETX/USD"))
        self.assertIn("did you mean ETH/USD", str(raised.exception))
        self.assertEqual(list(running.market.books), ["tBTCUSD"])

    async def test_two_new_files_are_had_or_none(self) -> None:
        """The first one's lock is given back, and its feed dropped, where the second cannot be had."""
        folder = Path(self.mktemp())
        running = await self.begin(books("BTC/USD"))
        good = recordings(folder / "good", "BTC/USD")
        (folder / "bad").mkdir(parents=True)
        (folder / "bad" / "trade.csv").write_text("date,price\n")
        with self.assertRaises(WrongFile) as raised:
            await self.change(running, [*books("BTC/USD"), *good, *recordings(folder / "bad", "ETH/USD")])
        self.assertIn("its first line is not the header", str(raised.exception))
        self.assertEqual((list(running.market.trades), running.daemon.recorders.by_symbol), ([], {}))
        await self.change(running, [*books("BTC/USD"), *good])
        await self.until(lambda: running.live)

    async def test_nothing_is_changed_while_it_stops(self) -> None:
        running = await self.begin(books("BTC/USD"))
        stopped = running.daemon.stopService()
        with self.assertRaises(ValueError) as raised:
            await self.change(running, books("BTC/USD"))
        self.assertEqual(str(raised.exception), "the daemon is stopping")
        await stopped

    async def test_that_feeds_end_with_the_daemon_is_no_news(self) -> None:
        running = await self.begin(books("BTC/USD"))
        with capturedLogs() as events:
            await running.daemon.stopService()
        self.assertNotIn("bfxtwist.state_log", {event["log_namespace"] for event in events})
        self.assertNotEqual(running.states["BTC/USD book"][-1], FeedState.LIVE)


class FailingDisk(WholeTest):
    async def fails(self, **more: Any) -> RunningDaemon:
        """A daemon whose disk has failed so often that it is told."""
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",), rate=20))
        running = await self.daemon(exchange, recordings(self.mktemp(), "BTC/USD"), sync="always", **more)

        def fail(disk: OsDisk, fd: int) -> None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

        with capturedLogs() as events:
            self.patch(OsDisk, "sync", fail)
            await self.until(lambda: any(event["log_namespace"] == "bfxtwist.daemon" for event in events))
        return running

    async def test_it_goes_on_trying(self) -> None:
        running = await self.fails()
        self.assertEqual((running.ended, (await running.get("/readyz"))[0]), ([], 503))

    async def test_with_strict_disk_it_is_of_no_use_to_go_on(self) -> None:
        running = await self.fails(strict_disk=True)
        [(code, line)] = running.ended
        self.assertEqual(code, os.EX_IOERR)
        self.assertIn("Input/output error", line)
