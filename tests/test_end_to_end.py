"""The whole program on real sockets: what the exchange told is what the book shows and what the file holds."""

import gzip
import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from bfxtwist import Bitfinex, service
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.replay import ReplayMarket
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits
from tests.recordings import recording_path
from tests.running import RunningDaemon, WholeTest, books, ids, reactor, recordings, tokens

CAPTURE = "capture-2018-11-12-tBTCUSD.jsonl.gz"

STALE_AND_BACK = [FeedState.LIVE, FeedState.STALE, FeedState.SYNCING, FeedState.LIVE]


class Recorded(WholeTest):
    async def test_sixty_thousand_real_messages(self) -> None:
        path = recording_path(CAPTURE)
        market = ReplayMarket([path])
        exchange = await self.exchange(market)
        folder = Path(self.mktemp())
        running = await self.daemon(exchange, [*books("BTC/USD", length=100), *recordings(folder, "BTC/USD")])
        with gzip.open(path, "rt") as lines:
            bids, asks, told = _played(lines)
        book = running.market.books["tBTCUSD"]
        await self.until(lambda: market.finished and tokens(book) == (bids, asks))
        self.assertEqual(book.state, FeedState.LIVE)
        self.assertGreater(book.counts.checksums_matched, 100)
        self.assertEqual((book.counts.checksums_mismatched, book.book.unknown_deletes), (0, 0))
        await running.daemon.stopService()
        written = ids(folder / "trade.csv")
        self.assertEqual(len(written), len(set(written)))
        self.assertEqual(set(written), told)

    async def test_the_real_checksums_verify(self) -> None:
        paths = [recording_path(name) for name in ("cs-tXRPBTC.jsonl", "cs-tVETBTC.jsonl")]
        running = await self.daemon(await self.exchange(ReplayMarket(paths)), books("XRP/BTC", "VET/BTC"))
        xrp, vet = running.market.books["tXRPBTC"], running.market.books["tVETBTC"]
        await self.until(lambda: xrp.checksum_at and vet.checksum_at)
        self.assertEqual((xrp.checksum_value, vet.checksum_value), (30026640, 1770440002))
        self.assertEqual((xrp.counts.checksums_mismatched, vet.counts.checksums_mismatched), (0, 0))
        code, body = await running.get("/book?pair=VET/BTC")
        self.assertEqual((code, json.loads(body)["verified"]), (200, True))


def _played(lines: Iterable[str]) -> tuple[list[tuple[bytes, ...]], list[tuple[bytes, ...]], set[int]]:
    """The last book and all trade ids of the capture, by other means than the program's own."""
    channels: dict[int, str] = {}
    levels: dict[str, list[str]] = {}
    told: set[int] = set()
    for line in lines:
        message = json.loads(line, parse_float=str, parse_int=str)
        if isinstance(message, dict):
            if message["event"] == "subscribed":
                channels[message["chanId"]] = message["channel"]
        elif message[1] in ("te", "tu"):
            told.add(int(message[2][0]))
        elif isinstance(message[1], list):
            rows = message[1] if isinstance(message[1][0], list) else [message[1]]
            if channels[message[0]] == "trades":
                told.update(int(row[0]) for row in rows)
                continue
            for row in rows:
                levels.pop(row[0], None)
                if row[1] != "0":
                    levels[row[0]] = row
    ordered = [tuple(token.encode() for token in levels[price]) for price in sorted(levels, key=float)]
    bids = [row for row in reversed(ordered) if not row[2].startswith(b"-")]
    return bids, [row for row in ordered if row[2].startswith(b"-")], told


def _matched_since(book: BookFeed, matched: int) -> bool:
    return book.counts.checksums_matched > matched


def _disturbed(running: RunningDaemon) -> list[str]:
    """The books that were not just syncing and live."""
    return [name for name, states in running.states.items() if name.endswith("book") and FeedState.STALE in states]


def _disturbed_or_matched(running: RunningDaemon, until: dict[BookFeed, int]) -> bool:
    return bool(_disturbed(running)) or all(book.counts.checksums_matched >= count for book, count in until.items())


def _was_stale(running: RunningDaemon, times: int) -> bool:
    return running.states["BTC/USD book"].count(FeedState.STALE) == times


class Faults(WholeTest):
    """Each fault: the book is not live from the moment on in which it can be known, and comes back; no trade is lost."""

    async def begin(self) -> tuple[EmbeddedExchange, RunningDaemon]:
        self.folder = Path(self.mktemp())
        exchange = await self.exchange(SimulatedMarket(3, ("tBTCUSD", "tETHUSD"), rate=10))
        feeds = [*books("BTC/USD", "ETH/USD"), *recordings(self.folder, "BTC/USD")]
        return exchange, await self.daemon(exchange, feeds)

    async def came_back(self, exchange: EmbeddedExchange, running: RunningDaemon, through: list[FeedState]) -> None:
        """Both books equal the exchange's, and the file its ledger."""
        states = running.states["BTC/USD book"]
        await self.until(lambda: len(states) >= len(through) and running.live)
        self.assertEqual(states[states.index(FeedState.LIVE) :], through)
        for symbol in ("tBTCUSD", "tETHUSD"):
            book = running.market.books[symbol]
            matched = book.counts.checksums_matched
            await self.until(partial(_matched_since, book, matched))
        exchange.faults.set("quiet")
        path = self.folder / "trade.csv"
        await self.until(lambda: self._whole(exchange, path))
        await running.daemon.stopService()
        self.assertTrue(self._whole(exchange, path))
        self.assertEqual(running.ended, [])

    def _whole(self, exchange: EmbeddedExchange, path: Path) -> bool:
        """Whether the file holds the ledger's trades from its own first one on, each once."""
        written = ids(path)
        self.assertEqual(len(written), len(set(written)), "a trade is there twice")
        return set(written) == {trade.id for trade in exchange.ledger["tBTCUSD"] if trade.id >= min(written)}

    async def only_one_book(self, fault: str) -> None:
        exchange, running = await self.begin()
        connection = running.uplink.connections[0]
        while not _disturbed(running):
            exchange.faults.set(fault)
            # A level that was lost may be set again before the next checksum, or lie below those that are summed.
            until = {book: book.counts.checksums_matched + 2 for book in running.market.books.values()}
            await self.until(partial(_disturbed_or_matched, running, until))
        await self.until(lambda: running.live)
        [name] = _disturbed(running)
        book = running.market.books["tBTCUSD" if name.startswith("BTC") else "tETHUSD"]
        states = running.states[name]
        self.assertEqual(states[states.index(FeedState.LIVE) :], STALE_AND_BACK)
        self.assertEqual((book.counts.checksums_mismatched, book.counts.resubscriptions), (1, 1))
        self.assertEqual(running.uplink.connections[0].since, connection.since, "connected anew")

    async def test_a_corrupted_level(self) -> None:
        await self.only_one_book("corrupt-level")

    async def test_a_wrong_checksum(self) -> None:
        await self.only_one_book("wrong-cs")

    async def test_an_update_that_never_came(self) -> None:
        await self.only_one_book("lose-update")

    async def test_a_skipped_sequence_number(self) -> None:
        exchange, running = await self.begin()
        exchange.faults.set("skip-seq")
        await self.came_back(exchange, running, STALE_AND_BACK)

    async def test_a_repeated_sequence_number(self) -> None:
        exchange, running = await self.begin()
        exchange.faults.set("repeat-seq")
        await self.came_back(exchange, running, STALE_AND_BACK)

    async def test_dropped_connections(self) -> None:
        exchange, running = await self.begin()
        for how, times in (("rst", 1), ("fin", 2), ("mid-frame", 3), ("close", 4)):
            exchange.faults.set("drop", how)
            await self.until(partial(_was_stale, running, times))
            await self.until(lambda: running.live)
        await self.came_back(exchange, running, [FeedState.LIVE] + STALE_AND_BACK[1:] * 4)

    async def test_a_book_that_is_not_live_is_not_served(self) -> None:
        exchange, running = await self.begin()
        _, live = await running.get("/book?pair=BTC/USD")
        exchange.faults.set("handshake", "503")
        exchange.faults.set("drop", "rst")
        await self.until(lambda: running.market.books["tBTCUSD"].state is FeedState.STALE)
        code, problem = await running.get("/book?pair=BTC/USD")
        self.assertEqual((code, json.loads(problem)["status"]), (503, 503))
        code, last = await running.get("/book?pair=BTC/USD&stale=ok")
        self.assertEqual((code, json.loads(last)["status"]), (200, "stale"))
        self.assertEqual(json.loads(last).keys(), json.loads(live).keys())
        self.assertEqual((await running.get("/readyz"))[0], 503)
        self.assertEqual((await running.get("/livez"))[0], 200)
        exchange.faults.clear("handshake")
        await self.until(lambda: running.live)
        self.assertEqual((await running.get("/book?pair=BTC/USD"))[0], 200)


class Many(WholeTest):
    async def test_thirty_pairs_on_two_channels_share_three_connections(self) -> None:
        pairs = [f"C{number:02}/USD" for number in range(30)]
        symbols = [f"tC{number:02}USD" for number in range(30)]
        exchange = await self.exchange(SimulatedMarket(5, symbols), limits=Limits(channels=25, connects_per_minute=20))
        folder = Path(self.mktemp())
        running = await self.daemon(exchange, [*books(*pairs), *recordings(folder, *pairs)])
        channels = [one.channels for one in running.uplink.connections]
        self.assertEqual(channels, [25, 25, 10])
        await self.until(lambda: all((folder / f"C{n:02}-USD/trade.csv").stat().st_size > 200 for n in range(30)))

    async def test_a_channel_limit_below_the_documented_one(self) -> None:
        exchange = await self.exchange(SimulatedMarket(5, ["tBTCUSD", "tETHUSD", "tLTCUSD"]), limits=Limits(channels=2))
        running = await self.daemon(exchange, books("BTC/USD", "ETH/USD", "LTC/USD"))
        self.assertEqual([one.channels for one in running.uplink.connections], [2, 1])


class Beginning(WholeTest):
    async def test_what_is_told_before_there_are_connections(self) -> None:
        """The exchange is still to say which pairs it has."""
        exchange = await self.exchange(SimulatedMarket(3, ("tBTCUSD",)))
        exchange.faults.set("rest-stall", "headers")
        running = RunningDaemon(exchange, books("BTC/USD"))
        running.daemon.privilegedStartService()
        running.daemon.startService()
        self.addCleanup(running.daemon.stopService)
        self.assertEqual(json.loads((await running.get("/status"))[1])["feed"], {})
        self.assertIn(b"\nbfxtwist_connections_wanted 0.0\n", (await running.get("/metrics"))[1])


class PythonApi(WholeTest):
    async def test_the_example_of_the_readme(self) -> None:
        exchange = await self.exchange(SimulatedMarket(7, ("tBTCUSD",)))
        where = {"ws_url": exchange.ws_url, "rest_url": exchange.rest_url}
        folder = self.mktemp()
        book = Bitfinex(symbol="BTC/USD", channel="book", **where)
        live = book.subscribe(book.get_websocket_orderbook_endpoint(), book.get_subscribe_order_book_payload())
        trade = Bitfinex(symbol="BTC/USD", channel="trades", file_path=folder, **where)
        recording = trade.subscribe(trade.get_websocket_orderbook_endpoint(), trade.get_subscribe_order_book_payload())
        daemon = service(book, trade, listen="tcp:0:interface=127.0.0.1", reactor=reactor)
        daemon.startService()
        self.addCleanup(daemon.stopService)
        self.assertIs(await live, book)
        self.assertIs(await recording, trade)
        now = book.order_book
        self.assertEqual((now.symbol, now.status), ("BTC/USD", FeedState.LIVE))
        self.assertLess(now.bids[0].price, now.asks[0].price)
        self.assertEqual(now.bids, tuple(sorted(now.bids, reverse=True)))
        await self.until(lambda: ids(Path(folder) / "trade.csv"))
