"""A relay over a market that the test makes, and clients of it, all in memory: the whole stack from the HTTP upgrade on."""

import json
from base64 import b64encode
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.market import Market
from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Rows, Trade, TradeExecuted
from bfxtwist.core.moment import Moment
from bfxtwist.core.wire import encode_event
from bfxtwist.out.guard import Guard
from bfxtwist.out.http import HttpApi
from bfxtwist.out.relay import Relay
from bfxtwist.out.relay_client import RelayLimits
from tests.out.served import START, Client, carry, request, rows, site_of

#: What is said when every feed of a client is live again.
ENDED = {"event": "info", "code": 20061, "msg": "Maintenance ended. Please unsubscribe and subscribe again"}

SEQ_ALL, TIMESTAMP, OB_CHECKSUM, BULK = 65536, 32768, 131072, 536870912

_KEY = b64encode(b"the sample nonce").decode()
UPGRADE = ("Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {_KEY}")


class Relayed:
    """A market with a live book of `levels` and a live tape, and its relay. Time is `clock`'s."""

    def __init__(self, levels: int = 25, guard: Guard | None = None, **limits: Any) -> None:
        self.clock = Clock()
        self.market = Market()
        self.book = self._carry(ChannelName.BOOK)
        self.tape = self._carry(ChannelName.TRADES)
        self.snapshot(levels)
        self.tape.snapshot(Rows(2, [trade(id).row for id in (3, 2, 1)], 1, None), self.now())
        self.relay = Relay(self.market, self.clock, self.now, RelayLimits(**limits))
        api = HttpApi(self.market, self.now, "0")
        api.mount("/ws/2", self.relay.resource)
        self.site = site_of(api.resource(), self.clock, guard)
        self.relay.startService()

    def _carry(self, channel: ChannelName) -> Any:
        return carry(self.market, "tBTCUSD", channel)

    def now(self) -> Moment:
        """By the clock."""
        return Moment(self.clock.seconds(), START + int(self.clock.seconds() * 1_000_000))

    def snapshot(self, levels: int = 25) -> None:
        """The book begins anew."""
        self.book.snapshot(Rows(1, rows(levels), 1, None), self.now())

    def update(self, *row: bytes) -> None:
        """One row of the book."""
        self.book.update(BookUpdate.of(1, row, 1, None), self.now())

    def verify(self) -> None:
        """The exchange's checksum agrees."""
        self.book.checksum(Checksum(1, self.book.book.checksum(), 1, None), self.now())

    def execute(self, id: int, confirmed: bool = False) -> None:
        """A trade."""
        self.tape.executed(TradeExecuted(2, confirmed, trade(id), 1, None), self.now())

    def lose(self) -> None:
        """The connection to the exchange is gone."""
        for feed in (self.book, self.tape):
            feed.lost("the connection is gone", self.now())
        self.turn()

    def lose_and_begin_again(self) -> None:
        """Gone for two seconds; the book then begins with three levels, which no stream has looked at yet."""
        self.lose()
        self.clock.advance(2)
        self.book.syncing("waiting for the snapshot", self.now())
        self.clock.advance(0.0)
        self.snapshot(3)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and the streams tell."""
        self.clock.advance(seconds)
        for _ in range(30):
            self.clock.advance(0.001)

    def connect(self, *headers: str) -> "RelayClient":
        """A client that has been greeted."""
        client = RelayClient(self, *headers)
        client.greeting = client.take()
        return client


def trade(id: int) -> Trade:
    """Of so many units at 6443.5."""
    return Trade(id, 1_790_134_414_000 + id, b"%d" % id, b"6443.5")


def trades(*ids: int) -> Rows:
    """A snapshot of the tape."""
    return Rows(2, [trade(id).row for id in ids], 1, None)


class RelayClient(Client):
    """A WebSocket client in memory. What it is sent is taken apart here, byte by byte."""

    def __init__(self, relayed: Relayed, *headers: str) -> None:
        super().__init__(relayed.site)
        self.relayed = relayed
        self.greeting: list[Any] = []
        self.close: tuple[int, str] | None = None
        self.lost = False
        self._read = 0
        self.transport.protocol = self.channel  # type: ignore[attr-defined]  # as a real one has; the upgrade changes it
        self.send(request("/ws/2", *UPGRADE, *headers))
        self.head = self.transport.value().partition(b"\r\n\r\n")[0]
        self._read = len(self.head) + 4
        self.upgraded = self.head.startswith(b"HTTP/1.1 101")

    @property
    def protocol(self) -> Any:
        """Who reads at the server."""
        return self.transport.protocol  # type: ignore[attr-defined]

    def ask(self, **event: Any) -> list[Any]:
        """Send an event, and take what comes."""
        return self.say(encode_event(event))

    def say(self, payload: bytes, opcode: int = 1) -> list[Any]:
        """Send a frame, masked with zeros, and take what comes."""
        size = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
        self.protocol.dataReceived(bytes([0x80 | opcode]) + size + bytes(4) + payload)
        return self.take()

    def subscribe(self, channel: str = "book", symbol: str = "tBTCUSD", **parameters: Any) -> list[Any]:
        """Ask for a channel."""
        return self.ask(event="subscribe", channel=channel, symbol=symbol, **parameters)

    def take(self) -> list[Any]:
        """The messages that have come since the last time; of a pong its payload, and `close` is kept.

        A connection that the server has cut is lost with this.
        """
        if self.transport.disconnecting and not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(ConnectionDone()))
        data, taken = self.transport.value()[self._read :], []
        self._read += len(data)
        while data:
            opcode, size, data = data[0] & 15, data[1], data[2:]
            if size > 125:
                width = 2 if size == 126 else 8
                size, data = int.from_bytes(data[:width], "big"), data[width:]
            payload, data = data[:size], data[size:]
            if opcode == 8:
                self.close = int.from_bytes(payload[:2], "big"), payload[2:].decode()
            else:
                taken.append(json.loads(payload) if opcode == 1 else payload)
        return taken

    def choke(self) -> None:
        """Read no more: the transport's buffer is full."""
        self.protocol.pauseProducing()

    def breathe(self) -> None:
        """Read again."""
        self.protocol.resumeProducing()


class KeptBook:
    """A book as a client keeps it: snapshot and updates, by the documents."""

    def __init__(self, snapshot: list[list[float]]) -> None:
        self.levels: dict[tuple[bool, float], list[float]] = {}
        for row in snapshot:
            self.apply(row)

    def apply(self, row: list[float]) -> None:
        """One row."""
        price, count, amount = row
        if count:
            self.levels[amount > 0, price] = row
        else:
            del self.levels[amount > 0, price]  # a delete of an unknown level is an error here

    def take(self, messages: list[Any]) -> "KeptBook":
        """Every update among the messages."""
        for message in messages:
            if isinstance(message, list) and isinstance(message[1], list):
                self.apply(message[1])
        return self

    def same_as(self, feed: BookFeed, length: int = 25) -> bool:
        """Whether it holds what the feed does, of so many levels."""
        rows = [*feed.book.bids.rows[:length], *feed.book.asks.rows[:length]]
        return sorted(self.levels.values()) == sorted([float(token) for token in row] for row in rows)
