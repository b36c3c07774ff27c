"""The relay on real sockets: other people's clients, a daemon that reads a daemon, and a thousand readers at once."""

import json
import os
from pathlib import Path
from socket import SO_RCVBUF, SOL_SOCKET
from typing import Any
from unittest import SkipTest, mock

import treq
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Protocol
from twisted.internet.task import deferLater
from twisted.internet.tcp import Connection
from twisted.internet.utils import getProcessOutputAndValue
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from bfxtwist.core.book import Book
from bfxtwist.core.feed_state import FeedState
from bfxtwist.out import relay_client
from tests.core.conversation import BOOK, TRADES
from tests.exchange.clients import until
from tests.feed.sockets import RealFeed, reactor
from tests.out.relayed import UPGRADE
from tests.out.served import request
from tests.page.served import ServedPage

_CACHE = Path(__file__).parents[2] / ".venv-peers"
_PROGRAMS = Path(__file__).parents[1] / "exchange" / "peers"


class RelayTest(TestCase):
    """A relay over a live market."""

    timeout = 120

    async def served(self, **options: Any) -> ServedPage:
        """With every feed live."""
        served = ServedPage(**options)
        self.addCleanup(served.stop)
        await served.start()
        await until(lambda: all(feed.state is FeedState.LIVE for feed in served.market.feeds()))
        return served


class PeersTest(RelayTest):
    """Other people's clients, which verify the checksums, over a gap in the exchange's connection."""

    async def saw(self, variable: str, cached: str, program: str, pair: str) -> tuple[dict[str, Any], ServedPage]:
        """What a program saw of the relay; while it ran, the exchange's connection was lost."""
        python = Path(os.environ.get(variable) or _CACHE / cached / "bin" / "python")
        if not python.exists():
            raise SkipTest(f"there is no {python}: set {variable}, or make it with `make peers`")
        served = await self.served(rate=10)
        arguments = [served.ws_url, served.exchange.rest_url, pair, "6", "10"]
        ended = getProcessOutputAndValue(
            str(python), [str(_PROGRAMS / program), *arguments], env={"PATH": os.environ.get("PATH", "")}
        )
        await until(lambda: served.relay.status().readers)
        served.faults.set("drop")
        out, err, status = await ended
        self.assertEqual(status, 0, err[-2000:].decode("utf-8", "replace"))
        self.assertGreaterEqual(served.market.feed(BOOK).counts.snapshots, 2)
        return json.loads(out), served

    async def test_bitfinex_api_py(self) -> None:
        """Every checksum matches, before and after the gap."""
        saw, served = await self.saw("BFXTWIST_BFXAPI_PYTHON", "bfxapi", "official.py", "tBTCUSD")
        self.assertGreaterEqual(saw["matched"], 6)
        self.assertEqual((saw["mismatched"], saw["snapshot"]), (0, 30))
        self.assertLessEqual(set(saw["executed"]), {trade.id for trade in served.exchange.ledger["tBTCUSD"]})

    async def test_ccxt_pro(self) -> None:
        """It would end with ChecksumError, and could take no second snapshot."""
        saw, served = await self.saw("BFXTWIST_CCXT_PYTHON", "ccxt", "unified.py", "BTC/USD")
        self.assertGreaterEqual(saw["checksums"], 6)
        self.assertLess(saw["bid"], saw["ask"])
        self.assertLessEqual(set(saw["executed"]), {trade.id for trade in served.exchange.ledger["tBTCUSD"]})


class ChainTest(RelayTest):
    """A daemon whose exchange is another daemon."""

    async def test_same_book(self) -> None:
        """Over a gap, and verified by checksums; `GET /book` of the first is what the second holds."""
        first = await self.served(rate=5, heartbeat=1.0, token=b"to:ken")
        url = first.ws_url.replace("//", "//me:to%3Aken@")
        second = RealFeed(url, [BOOK, TRADES])
        self.addCleanup(second.service.stopService)
        feed = second.market.feed(BOOK)
        await until(lambda: feed.counts.checksums_matched >= 1)
        first.faults.set("drop")
        await until(lambda: feed.state is FeedState.STALE)
        await until(lambda: feed.state is FeedState.LIVE)
        matched = feed.counts.checksums_matched
        await until(lambda: feed.counts.checksums_matched > matched + 1)
        self.assertEqual((feed.counts.checksums_mismatched, second.uplink.ends), (0, {}))
        await self._still(first)
        response = await treq.get(f"{first.url}/book", headers={"Authorization": "Bearer to:ken"}, persistent=False)
        served: dict[str, Any] = await response.json()
        book = second.market.books["tBTCUSD"].book
        await until(lambda: _prices(book) == _prices(first.market.books["tBTCUSD"].book))
        held = json.loads(b"{%b}" % book.levels_json())
        self.assertEqual((held["bids"], held["asks"]), (served["bids"], served["asks"]))
        self.assertEqual(second.service.status().url, first.ws_url)

    async def _still(self, first: ServedPage) -> None:
        """Let nothing happen any more, and what has happened arrive."""
        first.faults.set("quiet")
        await deferLater(reactor, 1.0, lambda: None)


def _prices(book: Book) -> list[bytes]:
    return [row[0] for row in book.bids.rows]


def _masked(request: dict[str, Any]) -> bytes:
    payload = json.dumps(request).encode()
    return b"\x81" + bytes([0x80 | len(payload)]) + bytes(4) + payload


class Subscriber(Protocol):
    """The cheapest client there is: subscribes, and keeps what comes as bytes."""

    transport: Any

    def __init__(self) -> None:
        self.data = bytearray()
        self.closed = False

    def connectionMade(self) -> None:
        """Ask for a WebSocket."""
        self.transport.write(request("/ws/2", *UPGRADE))

    def dataReceived(self, data: bytes) -> None:
        """Keep it; and ask for everything when the first comes."""
        if not self.data:
            self.transport.write(_masked({"event": "conf", "flags": 65536}))
            for channel in ("book", "trades"):
                self.transport.write(_masked({"event": "subscribe", "channel": channel, "symbol": "tBTCUSD"}))
        self.data += data

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008 - as Twisted's own
        """It is over."""
        self.closed = True

    def frames(self) -> list[bytes]:
        """The array frames that came; the last one may not be here whole, and is left out then."""
        data, at, frames = bytes(self.data), self.data.index(b"\r\n\r\n") + 4, []
        while at + 4 < len(data):
            size, at = data[at + 1], at + 2
            if size == 126:
                size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
            if at + size <= len(data) and data[at] == ord("["):
                frames.append(data[at : at + size])
            at += size
        return frames


class ThousandTest(RelayTest):
    """A thousand readers, of whom ten are stopped dead."""

    async def test_a_thousand(self) -> None:
        """The ten are ended. Nobody else misses a message, and the feed does not notice."""
        # What the kernel and Twisted keep for a reader would take minutes to fill at the pace of a real market.
        self.patch(relay_client, "SEND_BUFFER", 4096)
        with mock.patch.object(Connection, "bufferSize", 8192):
            served = await self.served(rate=3, unread_seconds=2.0)
            port = int(served.url.rpartition(":")[2])
            endpoint = HostnameEndpoint(reactor, "127.0.0.1", port)
            readers: list[Subscriber] = []
            for _ in range(20):
                readers += await gatherResults([connectProtocol(endpoint, Subscriber()) for _ in range(50)])
            self.addCleanup(lambda: gatherResults([_lost(reader) for reader in readers]))
            dead, alive = readers[:10], readers[10:]
            await until(lambda: served.relay.status().connections == 1000)
            for reader in dead:
                reader.transport.pauseProducing()
                reader.transport.getHandle().setsockopt(SOL_SOCKET, SO_RCVBUF, 2048)
            await until(lambda: served.relay.status().ended == {"too slow": 10})
            await until(lambda: served.relay.status().connections == 990)
            marks = [len(reader.data) for reader in alive]
            await until(lambda: all(len(reader.data) > mark for reader, mark in zip(alive, marks, strict=True)))
        self.assertEqual([reader for reader in alive if reader.closed], [])
        for reader in alive:
            frames = reader.frames()
            self.assertGreater(len(frames), 10)
            self.assertTrue(frames[-1].endswith(b",%d]" % len(frames)), "none is missing")
        feed = served.market.feed(BOOK)
        self.assertEqual((feed.state, feed.counts.snapshots), (FeedState.LIVE, 1))


def _lost(reader: Subscriber) -> "Deferred[None]":
    reader.transport.abortConnection()
    return deferLater(reactor, 0.2, lambda: None)
