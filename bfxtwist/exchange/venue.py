"""What a server of the protocol needs to know of a market: which symbols it has, and what happens on them.

The simulated market, the replayed capture and the daemon's own relay are venues; `conversation.py` speaks for any of them.
What happens reaches a reader as items, whose bodies are JSON already: one batch is written once for however many readers
there are.
"""

from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import NamedTuple, Protocol

from bfxtwist.core.messages import Row, Trade
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.wire import encode_row, encode_rows


class Kind(Enum):
    """What an item says."""

    SNAPSHOT = auto()
    UPDATE = auto()
    CHECKSUM = auto()
    EXECUTED = auto()
    CONFIRMED = auto()
    HEARTBEAT = auto()


class Item(NamedTuple):
    """One frame without its channel id, sequence number and time: `body` is what stands in between."""

    kind: Kind
    body: bytes


HEARTBEAT = Item(Kind.HEARTBEAT, b'"hb"')


def snapshot(rows: Iterable[Row]) -> Item:
    """`[[…],…]`: the whole book (bids, then asks, best first), or the last trades, newest first."""
    return Item(Kind.SNAPSHOT, encode_rows(rows))


def update(row: Row) -> Item:
    """`[price,count,amount]`, or `[id,price,amount]` of a raw book."""
    return Item(Kind.UPDATE, encode_row(row))


def checksum(value: int) -> Item:
    """`"cs",value`: only for readers who asked for OB_CHECKSUM."""
    return Item(Kind.CHECKSUM, b'"cs",%d' % value)


def executed(trade: Trade) -> Item:
    """`"te",[…]`."""
    return Item(Kind.EXECUTED, b'"te",' + encode_row(trade.row))


def confirmed(trade: Trade) -> Item:
    """`"tu",[…]`."""
    return Item(Kind.CONFIRMED, b'"tu",' + encode_row(trade.row))


class Reader(Protocol):
    """Somebody who has opened subscriptions at a venue."""

    @property
    def choked(self) -> bool:
        """Whether what was published is still waiting to be sent."""

    def publish(self, subscription: Subscription, items: Sequence[Item]) -> None:
        """What happened on a subscription, in order; goes out as one burst."""


class Venue(Protocol):
    """A market that can be subscribed to."""

    def refuses(self, subscription: Subscription) -> str | None:
        """Why there can be no such subscription, in the exchange's words (`symbol: invalid`), or None."""

    def open(self, subscription: Subscription, reader: Reader) -> Item:
        """The snapshot. From here on the reader is told of each change to it."""

    def close(self, subscription: Subscription, reader: Reader) -> None:
        """Tell the reader no more."""


class Limits(NamedTuple):
    """What the exchange allows. None switches a limit off."""

    channels: int = 30  # a connection; 25, 30 and 36 have all been seen
    connects_per_minute: int | None = None  # the exchange: 20, and then HTTP 429 (docs ws-public)
    requests_per_minute: int | None = None  # of REST; the exchange: 15 for past trades, other kinds may be freer (`rest.py`)
    idle_seconds: float = 60.0  # without a subscription and without a word from the client (measured in 2026)
    heartbeat_seconds: float = 15.0
