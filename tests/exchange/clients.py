"""Clients of the exchange for its tests: one in memory, and one on a real socket."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from bfxtwist.core.book import Book
from bfxtwist.core.messages import BookUpdate, Checksum, Event, Frame, Rows, TradeExecuted
from bfxtwist.core.wire import decode
from bfxtwist.exchange.conversation import Conversation
from bfxtwist.exchange.venue import Limits, Venue

reactor: Any = _reactor


class Ear:
    """An outlet that keeps what it was sent. `bursts` has the texts of each write."""

    choked = False

    def __init__(self) -> None:
        self.bursts: list[list[bytes]] = []

    def send(self, texts: Sequence[bytes]) -> None:
        """Keep them."""
        self.bursts.append(list(texts))

    def take(self) -> list[Any]:
        """What came since the last time, as JSON."""
        texts = [json.loads(text) for burst in self.bursts for text in burst]
        self.bursts.clear()
        return texts


def conversation(venue: Venue, limits: Limits | None = None) -> tuple[Conversation, Ear]:
    """One over `venue`, which numbers its channels from 1 on; it is always 1000 ms."""
    ids = iter(range(1, 1000))
    ear = Ear()
    return Conversation(venue, ear, new_channel_id=lambda: next(ids), now=lambda: 1000, limits=limits or Limits()), ear


def asks(one: Conversation, request: Mapping[str, Any]) -> None:
    """The client sends a request."""
    one.received(json.dumps(request).encode())


def subscribe(symbol: str = "tBTCUSD", channel: str = "book", **more: Any) -> dict[str, Any]:
    """A subscribe request."""
    return {"event": "subscribe", "channel": channel, "symbol": symbol, **more}


class SocketClient(WebSocketClientProtocol):
    """A client that keeps one book, verifies what it can, and remembers everything."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[dict[str, Any]] = []
        self.frames: list[Any] = []
        self.messages: list[Frame | Event] = []
        self.undecodable: list[bytes] = []
        self.book = Book()
        self.matched = self.mismatched = 0
        self.crossed = False
        self.sequence_breaks: list[tuple[int, int]] = []
        self.trades: dict[int, TradeExecuted] = {}
        self.snapshot_ids: set[int] = set()
        self.opened = False
        self.closed = False
        self._sequence = 0

    def onOpen(self) -> None:
        """Be open."""
        self.opened = True

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Be closed."""
        self.closed = True

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Take it in."""
        try:
            message = decode(payload)
        except ValueError:
            self.undecodable.append(payload)
            return
        except Exception as error:  # noqa: BLE001 - what the decoder refuses is what some tests send
            assert type(error).__name__ == "MalformedMessage", error
            self.undecodable.append(payload)
            return
        self.messages.append(message)
        (self.events if payload.startswith(b"{") else self.frames).append(json.loads(payload))
        self._count(getattr(message, "seq", None))
        self._apply(message)

    def _count(self, number: int | None) -> None:
        if number is not None:
            if number != self._sequence + 1:
                self.sequence_breaks.append((self._sequence, number))
            self._sequence = number

    def _apply(self, message: Frame | Event) -> None:
        if isinstance(message, Rows) and (not message.rows or len(message.rows[0]) == 3):
            self.book.load(message.rows or self.book.bids.rows + self.book.asks.rows)  # none: those of no trades
        elif isinstance(message, Rows):
            self.snapshot_ids |= {int(row[0]) for row in message.rows}
        elif isinstance(message, BookUpdate):
            self.book.apply(message.row)
        elif isinstance(message, TradeExecuted):
            self.trades.setdefault(message.trade.id, message)
        elif isinstance(message, Checksum):
            self.crossed = self.crossed or self.book.crossed
            if message.value == self.book.checksum():
                self.matched += 1
            else:
                self.mismatched += 1

    def ask(self, request: Mapping[str, Any]) -> None:
        """Send a request."""
        self.sendMessage(json.dumps(request).encode())

    def event(self, name: str) -> dict[str, Any] | None:
        """The first event of that name."""
        return next((event for event in self.events if event["event"] == name), None)


async def connect(url: str) -> SocketClient:
    """A client whose connection has begun; whether it opens is to be seen."""
    client = SocketClient()
    factory = WebSocketClientFactory(url)
    factory.protocol = lambda: client
    factory.noisy = False
    factory.setProtocolOptions(openHandshakeTimeout=0, closeHandshakeTimeout=0)
    reactor.connectTCP("127.0.0.1", factory.port, factory)
    await until(lambda: client.opened or client.closed)
    return client


async def until(condition: Callable[[], object]) -> None:
    """Let the reactor turn until it is so; trial's timeout is the limit."""
    while not condition():
        await deferLater(reactor, 0.005)


def fired(deferred: Deferred[Any], clock: Clock) -> bool:
    """Whether it fires when the clock's zero-delay calls have run."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    clock.advance(0)
    return bool(results)
