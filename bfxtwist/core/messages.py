"""The messages of the protocol, one class a meaning, for both sides. Their JSON text is `wire.py`'s.

A number that came from the exchange keeps its JSON token, because the checksum is computed over exactly those bytes (`7e-7`
stays `7e-7`; bitfinexcom/bfx-api-node-models #70). A row is a tuple of its tokens in a snapshot, and one text in an update.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum, IntFlag, StrEnum
from typing import Any, NamedTuple

import msgspec

#: The tokens of one row, as they stood on the wire: `(price, count, amount)` of a book, `(id, price, amount)` of a raw book,
#: `(id, mts, amount, price)` of a trade.
Row = tuple[bytes, ...]

#: What the first three tokens of a row of a book say: to sort and to compare by, never to print.
Numbers = tuple[float, float, float]

#: Those three tokens as they stood on the wire, without brackets and white space: `b"6443.1,2,0.5"`. A book keeps these: one
#: object for a level, where a tuple of tokens is four.
RowText = bytes


def read_row(row: Row) -> tuple[RowText, Numbers]:
    """The text and the numbers of a book's row. Raises ValueError for what has not three of them."""
    if len(row) < 3:
        raise ValueError(f"a row of a book has three fields, not {len(row)}")
    return b",".join(row[:3]), (float(row[0]), float(row[1]), float(row[2]))


class ConfFlags(IntFlag):
    """What a `conf` asks for; each conf replaces the whole set (docs ws-general)."""

    TIMESTAMP = 32768
    SEQ_ALL = 65536
    OB_CHECKSUM = 131072
    BULK_UPDATES = 536870912


class Code(IntEnum):
    """The codes of info and error events that either side acts upon."""

    UNKNOWN_EVENT = 10000
    GENERIC = 10001
    CONF_FAILED = 10050
    SUBSCRIBE_FAILED = 10300
    ALREADY_SUBSCRIBED = 10301
    UNKNOWN_CHANNEL = 10302
    CHANNEL_LIMIT = 10305
    UNSUBSCRIBE_FAILED = 10400
    NOT_SUBSCRIBED = 10401
    RESTART = 20051
    MAINTENANCE_START = 20060
    MAINTENANCE_END = 20061


class ChannelName(StrEnum):
    """The public channels that are carried."""

    BOOK = "book"
    TRADES = "trades"


# --- from the server: array frames --------------------------------------------------------------------------


class BookUpdate(msgspec.Struct, array_like=True, gc=False):
    """One level set or deleted: `[chanId,[PRICE,COUNT,AMOUNT],seq,ts]`.

    Almost every message is one of these. So the decoder makes it in one go, numbers included: a float is dearer to make of a
    token than everything else that is done with it.
    """

    channel_id: int
    numbers: Numbers
    seq: int | None = None
    timestamp: int | None = None
    text: Any = b""  # a RowText. Of no type that the decoder could check a further field of the frame against

    @classmethod
    def of(cls, channel_id: int, row: Row, seq: int | None, timestamp: int | None) -> "BookUpdate":
        """The update with these tokens. Raises ValueError as `read_row` does."""
        text, numbers = read_row(row)
        return cls(channel_id, numbers, seq, timestamp, text)

    @property
    def row(self) -> Row:
        """The three tokens."""
        return tuple(self.text.split(b","))


class BookUpdates(NamedTuple):
    """Updates that came together, column by column: as many of each, in their order."""

    channel_ids: Sequence[int]
    numbers: Sequence[Numbers]
    texts: Sequence[RowText]
    seqs: Sequence[int]
    timestamps: Sequence[int]

    @property
    def timestamp(self) -> int:
        """The last one's."""
        return self.timestamps[-1]


class Rows(NamedTuple):
    """A list of rows. The first one after an acknowledgement is the snapshot, later ones are bulk updates."""

    channel_id: int
    rows: list[Row]
    seq: int | None
    timestamp: int | None


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade: `id` and `mts` (ms) as integers, amount (positive bought, negative sold) and price as wire tokens."""

    id: int
    mts: int
    amount: bytes
    price: bytes

    @classmethod
    def of(cls, row: Row) -> "Trade":
        """The trade in `[ID,MTS,AMOUNT,PRICE]`. Raises ValueError for what cannot be a trade."""
        return TradeNumbers(int(row[0]), int(row[1]), float(row[2]), float(row[3])).trade(row[2], row[3])

    @property
    def row(self) -> Row:
        """The tokens in the exchange's order."""
        return (b"%d" % self.id, b"%d" % self.mts, self.amount, self.price)


class TradeNumbers(msgspec.Struct, array_like=True, gc=False):
    """What the tokens of a trade say."""

    id: int
    mts: int
    amount: float
    price: float

    def trade(self, amount: bytes, price: bytes) -> Trade:
        """The trade with these tokens. Raises ValueError for what cannot be one."""
        if self.id <= 0 or self.mts <= 0 or self.price <= 0 or self.amount == 0:
            raise ValueError("a trade needs a positive id, time and price and an amount")
        return Trade(self.id, self.mts, amount, price)


class TradeExecuted(msgspec.Struct, gc=False):
    """A trade; `confirmed` is False for `te`, True for `tu`, which says the same once more, later and out of order."""

    channel_id: int
    confirmed: bool
    trade: Trade
    seq: int | None
    timestamp: int | None


class TradesExecuted(NamedTuple):
    """Trades that came together, column by column: as many of each, in their order."""

    channel_ids: Sequence[int]
    confirmed: Sequence[bool]
    trades: Sequence[Trade]
    seqs: Sequence[int]
    timestamps: Sequence[int]

    @property
    def timestamp(self) -> int:
        """The last one's."""
        return self.timestamps[-1]


class Checksum(NamedTuple):
    """CRC-32 of the top 25 levels after all frames of this channel so far, as a signed 32-bit integer."""

    channel_id: int
    value: int
    seq: int | None
    timestamp: int | None


class Heartbeat(NamedTuple):
    """The channel is alive; every 15 s on each channel, busy or quiet."""

    channel_id: int
    seq: int | None
    timestamp: int | None


class UnknownFrame(NamedTuple):
    """An array frame that is none of the others. It still has a sequence number, and that counts.

    `kind` is what it says it is: `"xy"` of `[7,"xy",…]`. It is empty for what says nothing of the sort, or says it is one of
    the others.
    """

    channel_id: int
    kind: str
    seq: int | None
    timestamp: int | None


# --- from the server: events --------------------------------------------------------------------------------


class Info(NamedTuple):
    """The greeting (`version` set) or a notice (`code` set). `operative` is the platform's status, where it is told."""

    version: int | None  # the major one
    code: int | None
    text: str
    operative: bool | None


class ConfAck(NamedTuple):
    """Whether the flags were granted."""

    ok: bool
    flags: int


class Subscribed(NamedTuple):
    """An acknowledgement; `request` is the whole event, for the fields that it echoes."""

    channel_id: int
    request: Mapping[str, Any]


class Unsubscribed(NamedTuple):
    """The channel is closed; a few of its frames may have come after the request."""

    channel_id: int


class Refused(NamedTuple):
    """An error event; `request` is the whole event, for the fields that it echoes."""

    code: int
    text: str
    request: Mapping[str, Any]


class Pong(NamedTuple):
    """The answer to a ping: `timestamp` is the server's clock in ms."""

    cid: int | None
    timestamp: int | None


class UnknownEvent(NamedTuple):
    """An event that is not known here: counted, otherwise ignored."""

    name: str


Frame = BookUpdate | Rows | TradeExecuted | Checksum | Heartbeat | UnknownFrame
#: Frames of one kind that came together; see `runs.py`.
Run = BookUpdates | TradesExecuted
Event = Info | ConfAck | Subscribed | Unsubscribed | Refused | Pong | UnknownEvent


# --- from the client ----------------------------------------------------------------------------------------


class Conf(NamedTuple):
    """Ask for flags."""

    flags: int

    def encode(self) -> bytes:
        """The JSON text."""
        return msgspec.json.encode({"event": "conf", "flags": self.flags})


class Subscribe(NamedTuple):
    """Ask for a channel; `parameters` are those of the channel (`prec`, `freq`, `len`, `subId`)."""

    channel: str
    symbol: str
    parameters: Mapping[str, Any]

    def encode(self) -> bytes:
        """The JSON text."""
        request = {"event": "subscribe", "channel": self.channel, "symbol": self.symbol}
        return msgspec.json.encode({**request, **self.parameters})


class Unsubscribe(NamedTuple):
    """Ask to end a channel."""

    channel_id: int

    def encode(self) -> bytes:
        """The JSON text."""
        return msgspec.json.encode({"event": "unsubscribe", "chanId": self.channel_id})


class Ping(NamedTuple):
    """Ask for a pong, which echoes `cid`: our own is a number, that of others may be anything."""

    cid: Any

    def encode(self) -> bytes:
        """The JSON text."""
        return msgspec.json.encode({"event": "ping"} if self.cid is None else {"event": "ping", "cid": self.cid})


class UnknownRequest(NamedTuple):
    """An event from a client that no server knows; `fields` are its others, for the error to echo."""

    name: str
    fields: Mapping[str, Any]


Request = Conf | Subscribe | Unsubscribe | Ping | UnknownRequest
