"""A book with its state: what readers are given of it, and whether the exchange's checksum agrees."""

from collections.abc import Iterable
from typing import Protocol

import msgspec

from bfxtwist.core.book import CHECKSUM_DEPTH
from bfxtwist.core.errors import BookCrossed, BookTooDeep, ChecksumMismatch, MalformedMessage
from bfxtwist.core.feed_state import Feed, FeedState, FeedStatus
from bfxtwist.core.messages import BookUpdate, BookUpdates, Checksum, Numbers, Rows, RowText, read_row
from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.raw_book import book_of
from bfxtwist.core.subscription import Subscription

#: A crossed book that lasts is not one that the exchange meant; in between the frames of a batch it can be (api_docs #9).
CROSSED_FOR_TOO_LONG = 2.0

#: A batch may go beyond the length for a moment; one client's author allows 30 levels for a length of 25.
DEPTH_MARGIN = 25

#: Checksums come every 2.5 s and at most 8 s apart while a book changes (measured in 2026).
UNVERIFIED_AFTER = 60.0


class BookListener(Protocol):
    """Who wants to know that a book has changed, and looks at it when there is time."""

    def changed(self) -> None:
        """A snapshot or updates were taken in, or a checksum agreed. Called again and again: do no work here."""


class BookStatus(FeedStatus, frozen=True, kw_only=True):
    """What `GET /status` says of a book."""

    verified: bool
    last_checksum: str | None
    crossed: bool
    unknown_deletes: int


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
            self.book.put(message.text, message.numbers)
        except ValueError as error:
            raise MalformedMessage(str(error), message.text) from None
        self.has_put(1, message.seq, message.timestamp, moment)

    def updates(self, run: BookUpdates, moment: Moment) -> None:
        """Take in rows that came together. Raises MalformedMessage as `update` does."""
        self._put(zip(run.texts, run.numbers, strict=True))
        self.has_put(len(run.texts), run.seqs[-1], run.timestamp, moment)

    def bulk_update(self, message: Rows, moment: Moment) -> None:
        """Take in several rows of one frame (BULK_UPDATES). Raises MalformedMessage as `update` does."""
        self._put(map(read_row, message.rows))
        self.has_put(len(message.rows), message.seq, message.timestamp, moment)

    def _put(self, rows: Iterable[tuple[RowText, Numbers]]) -> None:
        put = self.book.put
        text = b""
        try:
            for text, numbers in rows:
                put(text, numbers)
        except ValueError as error:
            raise MalformedMessage(str(error), text) from None

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

    def status(self) -> BookStatus:
        """What `GET /status` says of this feed."""
        return BookStatus(
            **msgspec.structs.asdict(super().status()),
            verified=self.verified,
            last_checksum=self.checksum_at and iso(self.checksum_at.wall // 1000),
            crossed=self.book.crossed,
            unknown_deletes=self.book.unknown_deletes,
        )
