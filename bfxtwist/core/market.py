"""Every book and every tape by what was subscribed: its state, what it holds, and who wants to hear of changes.

This is where the two halves meet: `feed/` puts facts in, `out/` reads them, and neither knows the other.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import compress
from math import inf
from operator import not_
from typing import Any, Protocol

import msgspec

from bfxtwist.core.book import CHECKSUM_DEPTH
from bfxtwist.core.errors import BookCrossed, BookTooDeep, ChecksumMismatch, MalformedMessage
from bfxtwist.core.messages import (
    BookUpdate,
    BookUpdates,
    ChannelName,
    Checksum,
    Numbers,
    Row,
    Rows,
    Trade,
    TradeExecuted,
    TradesExecuted,
    numbers_of,
)
from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.raw_book import book_of
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.symbols import parse_pair

#: A crossed book that lasts is not one that the exchange meant; in between the frames of a batch it can be (api_docs #9).
CROSSED_FOR_TOO_LONG = 2.0

#: A batch may go beyond the length for a moment; one client's author allows 30 levels for a length of 25.
DEPTH_MARGIN = 25

#: Checksums come every 2.5 s and at most 8 s apart while a book changes (measured in 2026).
UNVERIFIED_AFTER = 60.0

#: A snapshot of trades has so many (measured in 2018 and 2021), and so many are kept for those who come later.
LATEST_TRADES = 30


class FeedState(StrEnum):
    """Only what is live may be trusted."""

    CONNECTING = "connecting"
    SYNCING = "syncing"
    LIVE = "live"
    STALE = "stale"


@dataclass(slots=True)
class Counts:
    """What has happened to one feed since the start."""

    frames: int = 0
    snapshots: int = 0
    updates: int = 0
    trades: int = 0
    checksums_matched: int = 0
    checksums_mismatched: int = 0
    resubscriptions: int = 0
    crossed: int = 0


class Feed:
    """One subscription's data, and whether it may be trusted."""

    def __init__(self, subscription: Subscription, moment: Moment) -> None:
        self.subscription = subscription
        self.name = parse_pair(subscription.symbol).name
        self.state = FeedState.CONNECTING
        self.reason = "not connected yet"
        self.since = moment
        self.counts = Counts()
        self.last_frame: Moment | None = None
        self.exchange_time: int | None = None  # the exchange's clock in the last frame, ms
        self.blamed = -inf  # when a connection was last ended because of this feed, by the monotonic clock
        self.watchers: list[Callable[[Feed], None]] = []
        self._late = False

    @property
    def status_now(self) -> FeedState:
        """The state, as readers are to see it."""
        return self.state

    @property
    def reason_now(self) -> str:
        """Why `status_now` is not live."""
        return self.reason

    def syncing(self, reason: str, moment: Moment) -> None:
        """Subscribed; what comes next must be a snapshot."""
        self._become(FeedState.SYNCING, reason, moment)

    def lost(self, reason: str, moment: Moment) -> None:
        """From here to the next snapshot anything may be missed."""
        had_data = self.counts.snapshots > 0
        self._late = False  # no frame makes up for what is lost now
        self._become(FeedState.STALE if had_data else FeedState.CONNECTING, reason, moment)

    def silent(self, moment: Moment) -> None:
        """The heartbeat is late. Nothing is known to be lost: the next frame in sequence makes the feed live again."""
        if self.state is FeedState.LIVE:
            self._late = True
            self._become(FeedState.STALE, "the heartbeat is late", moment)

    def seen(self, timestamp: int | None, moment: Moment, count: int = 1) -> None:
        """Frames of this channel came, in sequence; the last one's `timestamp`."""
        self.counts.frames += count
        self.last_frame = moment
        self.exchange_time = timestamp
        if self._late:
            self._become(FeedState.LIVE, "", moment)

    def _become(self, state: FeedState, reason: str, moment: Moment) -> None:
        if state is not FeedState.STALE:
            self._late = False
        if state is not self.state:
            self.since = moment
        changed = (state, reason) != (self.state, self.reason)
        self.state, self.reason = state, reason
        if changed:
            for watcher in list(self.watchers):
                watcher(self)

    def status(self) -> dict[str, Any]:
        """What `GET /status` says of this feed."""
        last = self.last_frame
        return {
            "symbol": self.name,
            "exchange_symbol": self.subscription.symbol,
            "channel": self.subscription.channel.value,
            "status": self.status_now.value,
            "reason": self.reason_now,
            "since": iso(self.since.wall // 1000),
            "last_message": last and iso(last.wall // 1000),
            "lag_ms": last and self.exchange_time and last.wall // 1000 - self.exchange_time,
            "counters": msgspec.to_builtins(self.counts),
        }


class BookListener(Protocol):
    """Who wants to know that a book has changed, and looks at it when there is time."""

    def changed(self) -> None:
        """A snapshot or updates were taken in, or a checksum agreed. Called again and again: do no work here."""


class BookFeed(Feed):
    """A book with its state. `version` grows with everything that its document shows."""

    def __init__(self, subscription: Subscription, moment: Moment) -> None:
        super().__init__(subscription, moment)
        self.book = book_of(subscription.precision)
        self.version = 0
        self.nonce: int | None = None  # sequence number of the last frame that the book took in
        self.updated: Moment | None = None  # when that frame came
        self.sent: int | None = None  # when the exchange sent it, ms
        self.checksum_value: int | None = None
        self.checksum_at: Moment | None = None
        self.verified = False
        self.listeners: list[BookListener] = []
        self._matched_version = -1
        self._crossed_since: float | None = None

    @property
    def checked(self) -> bool:
        """Whether checksums can be verified: with fewer levels than they cover, the client cannot compute them."""
        return self.subscription.length >= CHECKSUM_DEPTH

    @property
    def status_now(self) -> FeedState:
        """The state, and stale while the book is crossed without a checksum that says it should be."""
        unsure = self.state is FeedState.LIVE and self.book.crossed and self.version != self._matched_version
        return FeedState.STALE if unsure else self.state

    @property
    def reason_now(self) -> str:
        """Why `status_now` is not live."""
        return "the book is crossed" if self.status_now is not self.state else self.reason

    def lost(self, reason: str, moment: Moment) -> None:
        """From here to the next snapshot the book is not the exchange's, whatever the last checksum said."""
        self.verified = False
        super().lost(reason, moment)

    def snapshot(self, message: Rows, moment: Moment) -> None:
        """Begin anew. Raises MalformedMessage for rows that are not of a book."""
        try:
            self.book.load(message.rows)
        except ValueError as error:
            raise MalformedMessage(str(error), repr(message.rows).encode()) from None
        self._changed(message.seq, message.timestamp, moment)
        self.counts.snapshots += 1
        self.verified = False
        self._crossed_since = None
        self._become(FeedState.LIVE, "", moment)

    def update(self, message: BookUpdate, moment: Moment) -> None:
        """Take in one row. Raises MalformedMessage for one that is not of a book."""
        try:
            self.book.put(message.row, message.numbers)
        except ValueError as error:
            raise MalformedMessage(str(error), repr(message.row).encode()) from None
        self.has_put(1, message.seq, message.timestamp, moment)

    def updates(self, run: BookUpdates, moment: Moment) -> None:
        """Take in rows that came together. Raises MalformedMessage as `update` does."""
        self._put(zip(run.rows, run.numbers, strict=True))
        self.has_put(len(run.rows), run.seqs[-1], run.timestamp, moment)

    def bulk_update(self, message: Rows, moment: Moment) -> None:
        """Take in several rows of one frame (BULK_UPDATES). Raises MalformedMessage as `update` does."""
        self._put((row, numbers_of(row)) for row in message.rows)
        self.has_put(len(message.rows), message.seq, message.timestamp, moment)

    def _put(self, rows: Iterable[tuple[Row, Numbers]]) -> None:
        put = self.book.put
        row: Row = ()
        try:
            for row, numbers in rows:
                put(row, numbers)
        except ValueError as error:
            raise MalformedMessage(str(error), repr(row).encode()) from None

    def has_put(self, count: int, seq: int | None, timestamp: int | None, moment: Moment) -> None:
        """So many rows were put into the book, the last one by the frame of this number and time."""
        self.counts.updates += count
        self._changed(seq, timestamp, moment)

    def _changed(self, seq: int | None, timestamp: int | None, moment: Moment) -> None:
        self.nonce = seq
        self.updated = moment
        self.sent = timestamp
        self.version += 1
        for listener in self.listeners:
            listener.changed()

    def checksum(self, message: Checksum, moment: Moment) -> None:
        """Compare. Raises ChecksumMismatch, and the book is not live any more."""
        if not self.checked:
            return
        computed = self.book.checksum()
        if computed != message.value:
            self.counts.checksums_mismatched += 1
            raise ChecksumMismatch(message.value, computed)
        self.counts.checksums_matched += 1
        self.checksum_value, self.checksum_at, self.verified = computed, moment, True
        self.version += 1
        self._matched_version = self.version
        for listener in self.listeners:
            listener.changed()

    def check(self, moment: Moment) -> None:
        """Look for what only time shows. Raises BookCrossed or BookTooDeep."""
        self._check_crossed(moment)
        if self.book.depth > self.subscription.length + DEPTH_MARGIN:
            raise BookTooDeep(f"{self.book.depth} levels of {self.subscription.length}")
        if self.verified and self.checksum_at and self.version != self._matched_version:
            self.verified = moment.monotonic - self.checksum_at.monotonic <= UNVERIFIED_AFTER
            self.version += not self.verified

    def _check_crossed(self, moment: Moment) -> None:
        if not self.book.crossed:
            self._crossed_since = None
        elif self._crossed_since is None:
            self.counts.crossed += 1
            self._crossed_since = moment.monotonic
        elif moment.monotonic - self._crossed_since > CROSSED_FOR_TOO_LONG:
            self._crossed_since = None
            raise BookCrossed(f"bid {self.book.bids.top()} at or above ask {self.book.asks.top()}")

    def _become(self, state: FeedState, reason: str, moment: Moment) -> None:
        self.version += 1
        super()._become(state, reason, moment)

    def document(self, depth: int | None = None) -> bytes:
        """The JSON text of `GET /book`: ccxt's unified order book, and what it lacks.

        Never more levels than were asked for: in the middle of a batch there can be some, and one whose delete was lost
        would lie below those that checksums cover.
        """
        subscription = self.subscription
        depth = subscription.length if depth is None else min(depth, subscription.length)
        updated = self.updated and self.updated.wall // 1000
        checked_at = self.checksum_at and self.checksum_at.wall // 1000
        head = {
            "symbol": self.name,
            "exchange_symbol": subscription.symbol,
            "precision": subscription.precision,
            "frequency": subscription.frequency,
            "length": subscription.length,
            "status": self.status_now.value,
            "timestamp": updated,
            "datetime": updated and iso(updated),
            "exchange_timestamp": self.sent,
            "nonce": self.nonce,
            "verified": self.verified,
            "checksum": self.checksum_at and {"value": self.checksum_value, "timestamp": checked_at},
        }
        return b"%b,%b}" % (msgspec.json.encode(head)[:-1], self.book.levels_json(depth))

    def status(self) -> dict[str, Any]:
        """What `GET /status` says of this feed."""
        checked_at = self.checksum_at and iso(self.checksum_at.wall // 1000)
        return {
            **super().status(),
            "verified": self.verified,
            "last_checksum": checked_at,
            "crossed": self.book.crossed,
            "unknown_deletes": self.book.unknown_deletes,
        }


class TradeListener(Protocol):
    """Who takes the trades of one symbol."""

    def snapshot(self, trades: list[Trade], moment: Moment) -> None:
        """The latest trades, newest first as on the wire: the first thing after each subscription."""

    def executed(self, trades: Sequence[Trade], confirmed: Sequence[bool], moment: Moment) -> None:
        """Trades that came together, each as `te` or (confirmed) once more as `tu`."""

    def lost(self, reason: str, moment: Moment) -> None:
        """From here to the next snapshot anything may be missed."""


class TradeFeed(Feed):
    """A stream of trades with its state, handed on to its listeners. `latest` are the last ones, oldest first."""

    def __init__(self, subscription: Subscription, moment: Moment) -> None:
        super().__init__(subscription, moment)
        self.listeners: list[TradeListener] = []
        self.latest: deque[Trade] = deque(maxlen=LATEST_TRADES)

    def snapshot(self, message: Rows, moment: Moment) -> None:
        """The latest trades. Raises MalformedMessage for rows that are not of trades."""
        try:
            trades = [Trade.of(row) for row in message.rows]
        except (ValueError, IndexError) as error:
            raise MalformedMessage(str(error), repr(message.rows).encode()) from None
        self.counts.snapshots += 1
        self.latest = deque(reversed(trades), maxlen=LATEST_TRADES)
        for listener in self.listeners:
            listener.snapshot(trades, moment)
        self._become(FeedState.LIVE, "", moment)

    def executed(self, message: TradeExecuted, moment: Moment) -> None:
        """One trade."""
        self._tell((message.trade,), (message.confirmed,), moment)

    def executed_together(self, run: TradesExecuted, moment: Moment) -> None:
        """Several."""
        self._tell(run.trades, run.confirmed, moment)

    def _tell(self, trades: Sequence[Trade], confirmed: Sequence[bool], moment: Moment) -> None:
        self.counts.trades += confirmed.count(False)
        self.latest.extend(compress(trades, map(not_, confirmed)))
        for listener in self.listeners:
            listener.executed(trades, confirmed, moment)

    def lost(self, reason: str, moment: Moment) -> None:
        """From here to the next snapshot trades may be missed."""
        super().lost(reason, moment)
        for listener in self.listeners:
            listener.lost(reason, moment)


@dataclass
class Market:
    """All feeds of the program."""

    books: dict[str, BookFeed] = field(default_factory=dict)  # by symbol
    trades: dict[str, TradeFeed] = field(default_factory=dict)  # by symbol

    def carry(self, subscription: Subscription, moment: Moment) -> Feed:
        """Make a place for what is to be subscribed. Raises ValueError for a second book or tape of one symbol."""
        place: dict[str, Any] = self.books if subscription.channel is ChannelName.BOOK else self.trades
        if subscription.symbol in place:
            raise ValueError(f"{subscription} is carried already")
        kind = BookFeed if subscription.channel is ChannelName.BOOK else TradeFeed
        feed: Feed = place.setdefault(subscription.symbol, kind(subscription, moment))
        return feed

    def forget(self, subscription: Subscription) -> None:
        """It is not wanted any more. Raises KeyError for one that is not carried."""
        del (self.books if subscription.channel is ChannelName.BOOK else self.trades)[subscription.symbol]

    def feed(self, subscription: Subscription) -> BookFeed | TradeFeed:
        """The feed of a subscription. Raises KeyError for one that is not carried."""
        place = self.books if subscription.channel is ChannelName.BOOK else self.trades
        return place[subscription.symbol]

    def feeds(self) -> Iterator[BookFeed | TradeFeed]:
        """Every feed, books first."""
        yield from self.books.values()
        yield from self.trades.values()
