"""Handshakes that are refused, or answered with what is none."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.exchange.clients import SocketClient, connect, reactor, until


class Raw(Protocol):
    """Asks for a WebSocket and keeps whatever comes."""

    def __init__(self) -> None:
        self.received = b""
        self.closed = False

    def connectionMade(self) -> None:
        """Ask."""
        assert self.transport is not None
        self.transport.write(
            b"GET /ws/2 HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

    def dataReceived(self, data: bytes) -> None:
        """Keep it."""
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        """Know it."""
        self.closed = True


def writes(reactor: Any) -> int:
    """How many drips there are."""
    return sum(isinstance(call.func, LoopingCall) for call in reactor.getDelayedCalls())


class EntranceTest(TestCase):
    """Real sockets."""

    timeout = 20

    async def exchange(self, fault: str) -> EmbeddedExchange:
        """One that turns people away."""
        exchange = EmbeddedExchange(reactor, SimulatedMarket())
        await exchange.start()
        self.addCleanup(exchange.stop)
        exchange.faults.set("handshake", fault)
        return exchange

    async def asked(self, fault: str) -> Raw:
        """Somebody who asked for a WebSocket."""
        exchange = await self.exchange(fault)
        connecting: Deferred[Raw] = connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", exchange.port), Raw())
        raw = await connecting
        assert raw.transport is not None
        self.addCleanup(raw.transport.loseConnection)
        return raw

    async def test_statuses(self) -> None:
        for status in ("301", "408", "429 Too Many Requests", "500", "502", "503", "504"):
            raw = await self.asked(status[:3])
            await until(lambda raw=raw: b"</html>" in raw.received)  # type: ignore[misc]
            self.assertTrue(raw.received.startswith(b"HTTP/1.1 " + status.encode()), raw.received)

    async def test_what_is_no_handshake(self) -> None:
        for kind, part in (
            ("garbage", b"not HTTP"),
            ("not-utf8", b"\xff\xfe"),
            ("wrong-accept", b"Accept: AAAA"),
            ("drop", b""),
        ):
            raw = await self.asked(kind)
            await until(lambda raw=raw: raw.closed)  # type: ignore[misc]
            self.assertIn(part, raw.received)

    async def test_a_page(self) -> None:
        raw = await self.asked("html")
        await until(lambda: b"Just a moment" in raw.received)
        self.assertTrue(raw.received.startswith(b"HTTP/1.1 200"))

    async def test_never_ending_headers_stop_with_the_exchange(self) -> None:
        raw = await self.asked("endless")
        await until(lambda: len(raw.received) > 100_000)
        self.assertNotIn(b"\r\n\r\n", raw.received)
        dripping = await self.asked("drip")
        await until(lambda: dripping.received)
        self.assertNotIn(b"\r\n\r\n", dripping.received)

    async def test_never_ending_headers_end_with_the_connection(self) -> None:
        for fault in ("endless", "drip"):
            raw = await self.asked(fault)
            await until(lambda raw=raw: raw.received)  # type: ignore[misc]
            before = writes(reactor)
            assert raw.transport is not None
            raw.transport.loseConnection()
            await until(lambda before=before: writes(reactor) < before)  # type: ignore[misc]

    async def test_silence_is_not_an_answer(self) -> None:
        hanging = await self.asked("hang")
        other = await self.asked("garbage")
        await until(lambda: other.closed)
        self.assertEqual((hanging.received, hanging.closed), (b"", False))

    async def test_the_door_opens_again(self) -> None:
        exchange = await self.exchange("503")
        refused = await connect(exchange.ws_url)
        exchange.faults.clear()
        welcome = await connect(exchange.ws_url)
        self.assertEqual((refused.opened, welcome.opened), (False, True))
        assert isinstance(welcome, SocketClient)
        await until(lambda: welcome.event("info"))
