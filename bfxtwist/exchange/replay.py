"""A recorded session played as an exchange.

There is one time, as on an exchange: who subscribes later has the book and the trades as they are then, and the history
over REST is what has been played. The play begins when every recorded channel has a reader, or some seconds after the
first; when it is over, heartbeats are all that comes.

The recording has no times of arrival. It is played at `speed` messages a second, or with 0 as fast as the readers take it;
then it waits while one of them does not, and while there is none. Checksums that were not recorded are computed here.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from random import Random

from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Row, Rows, Trade, TradeExecuted
from bfxtwist.core.raw_book import book_of
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.audience import Audience
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.ledger import Ledger
from bfxtwist.exchange.recording import Recorded, Recording, read_recording
from bfxtwist.exchange.tape import Tape
from bfxtwist.exchange.venue import Item, Reader, checksum, confirmed, executed, snapshot, update
from bfxtwist.exchange.views import View
from bfxtwist.exchange.views import checksum as checksum_of

#: Updates between two checksums: about as many as come in 2.5 s, which is how often the exchange sends one.
_CHECKSUM_EVERY = 100

#: Messages played in one turn, so that the reactor stays free.
_TURN = 500

#: How often it is looked whether readers have come, or have caught up.
_LOOK_AGAIN = 0.01

_IDLE = 1.0


class _PlayedBook:
    """A recorded book at the point where the play is, and who sees how much of it."""

    def __init__(self, recorded: Subscription, rows: Iterable[Row], makes_checksums: bool) -> None:
        self.recorded = recorded
        self.book = book_of(recorded.precision)
        self.book.load(rows)
        self.views: dict[Subscription, View] = {}  # those who see less than what was recorded
        self._makes_checksums = makes_checksums
        self._since_checksum = 0
        self._phase = 0

    def sides(self, length: int) -> tuple[list[Row], list[Row]]:
        """Bids and asks, best first."""
        return self.book.bids.rows[:length], self.book.asks.rows[:length]

    def sees_all(self, subscription: Subscription) -> bool:
        """Whether a subscription is given the recorded updates as they are."""
        return subscription.length >= self.recorded.length

    def ends_batch(self, row: Row) -> bool:
        """Whether `row` begins another batch: bids go, asks go, bids are set, asks are set (measured)."""
        phase = 2 * (float(row[1]) != 0) + row[2].startswith(b"-")
        before, self._phase = self._phase, phase
        return phase < before

    def apply(self, row: Row) -> None:
        """One recorded update."""
        self.book.apply(row)
        self._since_checksum += 1

    def checksum_due(self, now: bool) -> Item | None:
        """A checksum, if one is due between two batches, or `now`."""
        if not self._makes_checksums or not self._since_checksum or (self._since_checksum < _CHECKSUM_EVERY and not now):
            return None
        self._since_checksum = 0
        return checksum(checksum_of(*self.sides(25)))


class ReplayMarket:
    """A venue whose market is a recording. Of each symbol there are the channels and the precision that were recorded."""

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        speed: float = 0.0,
        patience: float = 2.0,
        faults: Faults | None = None,
        ledger: Path | None = None,
    ) -> None:
        """`speed` in messages a second; `patience` in seconds. Raises OSError or ValueError for what is no recording."""
        recording = Recording()
        for path in paths:
            recording.add(read_recording(path))
        self.faults = faults or Faults(Random(0))
        self.ledger = Ledger(ledger)
        self._speed = speed
        self._patience = patience
        self._audience = Audience()
        self._messages = recording.messages
        self._position = 0
        self._first_reader: float | None = None
        self._began: float | None = None
        self._now = 0.0
        self._books: dict[str, _PlayedBook] = {}
        self._tapes: dict[str, Tape] = {}
        self._told: set[int] = set()
        self._first_trades: dict[str, list[Trade]] = {}
        for subscription, rows in recording.first.items():
            self._load(subscription, rows, subscription not in recording.has_checksums)
        self._recorded = list(recording.first)

    def _load(self, subscription: Subscription, rows: list[Row], makes_checksums: bool) -> None:
        symbol = subscription.symbol
        self._tapes.setdefault(symbol, Tape(self.faults))
        if subscription.channel is ChannelName.BOOK:
            self._books[symbol] = _PlayedBook(subscription, rows, makes_checksums)
        else:
            self._first_trades[symbol] = [Trade.of(row) for row in reversed(rows)]

    # --- a venue --------------------------------------------------------------------------------------------

    @property
    def symbols(self) -> list[str]:
        """What was recorded."""
        return list(self._tapes)

    @property
    def finished(self) -> bool:
        """Whether everything has been played."""
        return self._position == len(self._messages)

    def refuses(self, subscription: Subscription) -> str | None:
        """Why there can be no such subscription."""
        if subscription.symbol not in self._tapes:
            return "symbol: invalid"
        if subscription.channel is ChannelName.TRADES:
            return None  # there are none where only the book was recorded
        played = self._books.get(subscription.symbol)
        if played is None:
            return "symbol: invalid"
        return None if subscription.precision == played.recorded.precision else "precision: invalid"

    def open(self, subscription: Subscription, reader: Reader) -> Item:
        """A snapshot of what has been played; `reader` is told what comes after it."""
        self._audience.join(subscription, reader)
        if self._first_reader is None:
            self._first_reader = self._now
        if subscription.channel is ChannelName.TRADES:
            return snapshot(trade.row for trade in self._tapes[subscription.symbol].snapshot())
        played = self._books[subscription.symbol]
        if played.sees_all(subscription):
            bids, asks = played.sides(subscription.length)
            return snapshot([*bids, *asks])
        view = played.views.get(subscription)
        if view is None:
            view = played.views[subscription] = View(subscription, *played.sides(subscription.length))
        return snapshot(view.rows)

    def close(self, subscription: Subscription, reader: Reader) -> None:
        """Tell `reader` no more."""
        self._audience.leave(subscription, reader)
        if subscription.channel is ChannelName.BOOK and subscription not in self._audience:
            self._books[subscription.symbol].views.pop(subscription, None)

    def tape(self, symbol: str) -> Tape:
        """The trades of a symbol that have been played. Raises KeyError."""
        return self._tapes[symbol]

    def sides(self, subscription: Subscription) -> tuple[list[Row], list[Row]]:
        """Bids and asks as they are now, in the recorded precision."""
        played = self._books.get(subscription.symbol)
        return ([], []) if played is None else played.sides(subscription.length)

    def stop(self) -> None:
        """The exchange is closed."""
        self.ledger.close()

    # --- time -----------------------------------------------------------------------------------------------

    def advance(self, now: float) -> float:
        """Play what is due. Seconds until more is."""
        self._now = now
        for symbol, trades in self._first_trades.items():
            for trade in trades:
                self._record(symbol, trade)
        self._first_trades.clear()
        if self.finished:
            return _IDLE
        if self._began is None:
            if not self._may_begin():
                return _LOOK_AGAIN
            self._began = now
        return self._play_fast() if not self._speed else self._play_at_speed(now - self._began)

    def _may_begin(self) -> bool:
        if self._first_reader is None:
            return False
        read = {(subscription.symbol, subscription.channel) for subscription in self._audience}
        everyone = all((subscription.symbol, subscription.channel) in read for subscription in self._recorded)
        return everyone or self._now >= self._first_reader + self._patience

    def _play_fast(self) -> float:
        if self._audience.choked or not list(self._audience):
            return _LOOK_AGAIN
        self._play(_TURN)
        return 0.0

    def _play_at_speed(self, elapsed: float) -> float:
        due = int(elapsed * self._speed) - self._position
        if due > 0:
            self._play(due)
        return max(_LOOK_AGAIN, 1 / self._speed)

    def _play(self, most: int) -> None:
        """Neighbouring messages of one channel go out as one burst."""
        upcoming = self._messages[self._position : self._position + most]
        for subscription, run in groupby(upcoming, key=lambda recorded: recorded[0]):
            messages = [message for _, message in run]
            if subscription.channel is ChannelName.TRADES:
                self._play_trades(subscription, messages)
            else:
                self._play_book(self._books[subscription.symbol], messages)
        self._position += len(upcoming)
        if self.finished:
            for played in self._books.values():
                self._batch_ends(played, at_last=True)

    # --- the trades -----------------------------------------------------------------------------------------

    def _play_trades(self, subscription: Subscription, messages: Sequence[Recorded]) -> None:
        items = []
        for message in messages:
            # A snapshot in mid-recording is a reconnect of whoever recorded it, with trades that nobody was told of.
            missed = [Trade.of(row) for row in reversed(message.rows)] if isinstance(message, Rows) else []
            for trade in missed:
                if trade.id not in self._told:
                    items.append(executed(trade))
                    self._record(subscription.symbol, trade)
            if isinstance(message, TradeExecuted):
                items.append((confirmed if message.confirmed else executed)(message.trade))
                self._record(subscription.symbol, message.trade)
        self._audience.publish(subscription, items)

    def _record(self, symbol: str, trade: Trade) -> None:
        if trade.id not in self._told:
            self._told.add(trade.id)
            self._tapes[symbol].add(trade, self._now)
            self.ledger.record(symbol, trade)

    # --- the book -------------------------------------------------------------------------------------------

    def _play_book(self, played: _PlayedBook, messages: Sequence[Recorded]) -> None:
        burst: list[Item] = []
        for message in messages:
            if isinstance(message, BookUpdate):
                if played.ends_batch(message.row):
                    self._publish_all(played, burst)
                    burst = []
                    self._batch_ends(played)
                played.apply(message.row)
                burst.append(update(message.row))
            elif isinstance(message, Checksum):
                burst.append(checksum(message.value))
            elif isinstance(message, Rows):
                burst += [update(row) for row in self._reload(played, message.rows)]
        self._publish_all(played, burst)

    def _reload(self, played: _PlayedBook, rows: list[Row]) -> list[Row]:
        """A snapshot in mid-recording, as the updates that lead to it."""
        before = View(played.recorded, *played.sides(played.recorded.length))
        played.book.load(rows)
        return before.refresh(*played.sides(played.recorded.length))

    def _publish_all(self, played: _PlayedBook, burst: Sequence[Item]) -> None:
        """To those who see everything."""
        for subscription in self._book_readers(played):
            if played.sees_all(subscription):
                self._audience.publish(subscription, burst)

    def _batch_ends(self, played: _PlayedBook, at_last: bool = False) -> None:
        """Those who see less are told what is different now, and everyone the checksum, if one is due."""
        due = played.checksum_due(at_last)
        for subscription in self._book_readers(played):
            items = [due] if due is not None else []
            view = played.views.get(subscription)
            if view is not None:
                items = [update(row) for row in view.refresh(*played.sides(subscription.length))] + items
            self._audience.publish(subscription, items)

    def _book_readers(self, played: _PlayedBook) -> list[Subscription]:
        symbol = played.recorded.symbol
        return [s for s in self._audience if s.symbol == symbol and s.channel is ChannelName.BOOK]
