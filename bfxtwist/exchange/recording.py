"""A recorded session, read: what was subscribed, what there was at first, and what happened then.

A recording is one server message a line, plain or gzipped, as it stood on the wire. Which channel a frame is of, its
`subscribed` event told. Tickers, candles and funding are passed over; sequence numbers, times and heartbeats are left out,
for whoever replays it gives its own.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bfxtwist.core.errors import MalformedMessage
from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Row, Rows, Subscribed, TradeExecuted
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.wire import decode

Recorded = BookUpdate | Checksum | TradeExecuted | Rows

_GZIP = b"\x1f\x8b"


@dataclass(slots=True)
class Recording:
    """`first` has the snapshot of each subscription, `messages` everything after it in the order of the wire."""

    first: dict[Subscription, list[Row]] = field(default_factory=dict)
    messages: list[tuple[Subscription, Recorded]] = field(default_factory=list)

    @property
    def has_checksums(self) -> set[Subscription]:
        """The books whose checksums were recorded, so that none need be made."""
        return {subscription for subscription, message in self.messages if isinstance(message, Checksum)}

    def add(self, other: "Recording") -> None:
        """What another file recorded, after this. Raises ValueError if it is of the same subscriptions."""
        for subscription in other.first:
            if subscription in self.first:
                raise ValueError(f"two recordings are of {subscription}")
        self.first |= other.first
        self.messages += other.messages


def read_recording(path: Path) -> Recording:
    """Raises OSError, or ValueError for what is no recording, with the number of the line."""
    recording = Recording()
    channels: dict[int, Subscription | None] = {}
    for number, line in enumerate(_lines(path), 1):
        try:
            message = decode(line)
        except MalformedMessage as error:
            raise ValueError(f"{path.name}, line {number}: {error}") from None
        if isinstance(message, Subscribed):
            channels[message.channel_id] = _subscription(message.request)
        elif isinstance(message, Recorded):
            if message.channel_id not in channels:
                raise ValueError(f"{path.name}, line {number}: channel {message.channel_id} was never subscribed")
            subscription = channels[message.channel_id]
            if subscription is None:
                continue
            if isinstance(message, Rows) and subscription not in recording.first:
                recording.first[subscription] = message.rows
            else:
                recording.messages.append((subscription, message))
    if not recording.first:
        raise ValueError(f"{path.name} has no snapshot of a book or of trades")
    return recording


def _lines(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    try:
        lines = (gzip.decompress(data) if data.startswith(_GZIP) else data).splitlines()
    except (EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} is gzipped and damaged: {error}") from None
    return (line for line in lines if line.strip())


def _subscription(request: Mapping[str, Any]) -> Subscription | None:
    """None for what is not played: tickers, candles, status, and whatever is of funding."""
    symbol, channel = str(request.get("symbol", "")), request.get("channel")
    if channel not in (ChannelName.BOOK, ChannelName.TRADES) or not symbol.startswith("t"):
        return None
    if channel == ChannelName.TRADES:
        return Subscription(ChannelName.TRADES, symbol)
    precision, frequency = str(request.get("prec", "P0")), str(request.get("freq", "F0"))
    return Subscription(ChannelName.BOOK, symbol, precision, frequency, int(request.get("len", 25)))
