"""What happens on a feed, told to any number of readers, none of whom keeps the feed or another waiting.

A stream belongs to one subscription and all who read it. It does nothing when a frame of the exchange comes but note that
there is something new. On a later turn of the reactor it looks at what is different since it last told, as the exchange
itself does every 100 to 250 ms, and tells its readers, a portion of them in each turn. While it tells, and for a rest after
it, more may happen: that makes the next look say more, not the stream fall behind.

- A book is told as differences, also after a gap: when it is live again, and when a reader who was not keeping up reads
  again, what is sent are the updates from what was told to what is now. A second snapshot inside a subscription would be the
  shorter way, but the exchange never sends one, and clients take it for a bulk update, or for one level (ccxt 4.5).
- A book that is not live is not told at all, nor one that is crossed without a checksum that says it should be.
- A trade is never left out, nor told twice. For a reader who does not keep up trades are kept, so many; beyond them the
  reader is given up.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.messages import Row, Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_feed import LATEST_TRADES, TradeFeed
from bfxtwist.exchange.venue import Item, Reader, checksum, snapshot, update
from bfxtwist.exchange.venue import confirmed as confirmation
from bfxtwist.exchange.venue import executed as execution
from bfxtwist.exchange.views import View

_log = Logger()

#: Seconds from one look to the next; after a rest, the first one is at once. The exchange's own are 100 to 250 ms apart.
PACE = 0.02
SLOW_PACE = 2.0  # F1 (docs ws-public-books)

#: Telling may take this part of the time; with a thousand readers the rest grows instead.
DUTY = 0.25

#: Readers told in one turn of the reactor: a millisecond's work.
PORTION = 64

#: Seconds until a reader who did not keep up is looked at again.
RETRY = 0.25

#: Messages of trades kept for a reader who does not keep up.
MOST_TRADES = 1000

#: Ids of trades that were told, to tell none twice. A `tu` came up to 212 messages after its `te` (measured in 2018).
IDS_KEPT = 4000

Missed = TypeVar("Missed")


@dataclass(slots=True, eq=False)
class Seat(Generic[Missed]):
    """A reader of a stream, and what it has missed, if it has."""

    reader: Reader
    missed: Missed | None = None
    gone: bool = False


GiveUp = Callable[[Reader, str], None]


class Stream(Generic[Missed]):
    """One subscription and its readers: looks when something has changed, and tells them.

    `give_up(reader, reason)` ends a reader who cannot be told. `caught_up()` is called when what there is after a gap was
    told. It must have been looked at since the feed is live: `current` says so, and `told` of one reader.
    """

    def __init__(
        self, subscription: Subscription, feed: Feed, clock: IReactorTime, give_up: GiveUp, caught_up: Callable[[], None]
    ) -> None:
        self.subscription = subscription
        self.feed = feed
        self._clock = clock
        self._give_up = give_up
        self._caught_up = caught_up
        #: Since when the feed was live as it was last looked at, and as all were told it.
        self._seen = self._told = feed.since
        # What comes every two seconds already would be up to two seconds older if it rested here as well.
        slow = subscription.frequency == "F1" and feed.subscription.frequency == "F0"
        self._pace = SLOW_PACE if slow else PACE
        self._seats: dict[Reader, Seat[Missed]] = {}
        self._dirty = self._busy = False  # whether there is something new; whether a look is on its way or being told
        self._call: IDelayedCall | None = None
        self._rest_until = 0.0

    def __len__(self) -> int:
        return len(self._seats)

    @property
    def current(self) -> bool:
        """Whether there was a look since the feed is in the state that it is in."""
        return self._seen is self.feed.since

    def told(self, reader: Reader) -> bool:
        """Whether the reader has what was there at that look, and reads."""
        return self._told is self.feed.since and self._seats[reader].missed is None

    def join(self, reader: Reader) -> Item:
        """From now on `reader` is told. The snapshot of what was told so far."""
        self._seats[reader] = Seat(reader)
        return self.opening()

    def leave(self, reader: Reader) -> None:
        """It is told no more."""
        self._seats.pop(reader).gone = True

    def changed(self) -> None:
        """There is something new. Cheap: called for each frame of the exchange."""
        self._dirty = True
        if not self._busy:
            self._look_after(0.0)

    def stop(self) -> None:
        """Nobody reads any more."""
        if self._call is not None:
            self._call.cancel()
        self._call = None
        self._busy = True  # for ever

    def opening(self) -> Item:
        """The snapshot of what was told so far."""
        raise NotImplementedError

    def _look(self) -> Sequence[Item]:
        """What is to be told now."""
        raise NotImplementedError

    def _tell_one(self, seat: Seat[Missed], items: Sequence[Item]) -> None:
        """Tell one reader `items` and what it has missed, or note that it misses them."""
        raise NotImplementedError

    def _look_after(self, delay: float) -> None:
        self._busy = True
        rest = self._rest_until - self._clock.seconds()
        self._call = self._clock.callLater(max(0.0, delay, rest), self._look_now)

    def _look_now(self) -> None:
        self._dirty = self._busy = False  # so that a bug in what follows does not end the stream
        items, began = self._look(), self._clock.seconds()
        if self.feed.status_now is FeedState.LIVE:
            self._seen = self.feed.since
        self._busy = True
        self._tell(iter(list(self._seats.values())), items, began)

    def _tell(self, seats: Iterator[Seat[Missed]], items: Sequence[Item], began: float) -> None:
        """A portion of the readers now, the others on the next turns."""
        self._call = None
        for told, seat in enumerate(seats, 1):
            if not seat.gone and (items or seat.missed is not None):
                self._try_to_tell(seat, items)
            if told == PORTION:
                self._call = self._clock.callLater(0, self._tell, seats, items, began)
                return
        if self._told is not self._seen:
            self._told = self._seen
            self._caught_up()
        took = self._clock.seconds() - began
        self._rest_until = began + max(self._pace, took / DUTY)
        if self._dirty:
            self._look_after(0.0)
        elif any(seat.missed is not None for seat in self._seats.values()):
            self._look_after(RETRY)
        else:
            self._busy = False

    def _try_to_tell(self, seat: Seat[Missed], items: Sequence[Item]) -> None:
        try:
            self._tell_one(seat, items)
        except Exception:  # noqa: BLE001 - a bug with one reader is logged, and ends that reader alone
            _log.failure("a reader of {stream} could not be told", stream=str(self.subscription))
            self._give_up(seat.reader, "this is a fault of the server")


_Sides = tuple[Sequence[Row], Sequence[Row]]


class BookStream(Stream[_Sides]):
    """A book of so many levels, as its readers know it."""

    feed: BookFeed

    def __init__(self, subscription: Subscription, feed: BookFeed, *more: Any) -> None:
        super().__init__(subscription, feed, *more)
        self._view = View(subscription, *self._sides())
        self._before = self._view.bids, self._view.asks  # what was told before the last look; never changed in place
        self._checked_at = feed.checksum_at
        feed.listeners.append(self)

    def stop(self) -> None:
        """Nobody reads any more."""
        super().stop()
        self.feed.listeners.remove(self)

    def opening(self) -> Item:
        """Bids, then asks, best first."""
        return snapshot(self._view.rows)

    def _sides(self) -> _Sides:
        book, length = self.feed.book, self.subscription.length
        return book.bids.rows[:length], book.asks.rows[:length]

    def _look(self) -> Sequence[Item]:
        if self.feed.status_now is not FeedState.LIVE:
            return ()
        self._before = self._view.bids, self._view.asks
        items = [update(row) for row in self._view.refresh(*self._sides())]
        if self.feed.checksum_at is not self._checked_at:
            self._checked_at = self.feed.checksum_at
            items.append(self._checksum())
        return tuple(items)

    def _checksum(self) -> Item:
        """Of our own book, which is what the readers were told: the exchange's was of an earlier one."""
        return checksum(self.feed.book.checksum())

    def _tell_one(self, seat: Seat[_Sides], items: Sequence[Item]) -> None:
        if seat.reader.choked:
            seat.missed = seat.missed or self._before
            return
        if seat.missed is not None:
            updates = View(self.subscription, *seat.missed).refresh(self._view.bids, self._view.asks)
            items = [update(row) for row in updates]
            seat.missed = None
        seat.reader.publish(self.subscription, items)


class TradeStream(Stream[list[Item]]):
    """The trades of one symbol: a TradeListener. A reader for whom too many wait is given up."""

    feed: TradeFeed

    def __init__(self, subscription: Subscription, feed: TradeFeed, *more: Any) -> None:
        super().__init__(subscription, feed, *more)
        self._new: list[Item] = []
        self._new_trades: list[Trade] = []
        latest = {trade.id: trade for trade in feed.latest}
        self._latest = deque(latest.values(), maxlen=LATEST_TRADES)  # that were told
        self._confirmed = dict.fromkeys(latest, True)  # of those that were told, the oldest first: whether as `tu`, too
        feed.listeners.append(self)

    def stop(self) -> None:
        """Nobody reads any more."""
        super().stop()
        self.feed.listeners.remove(self)

    def opening(self) -> Item:
        """The last trades, newest first."""
        return snapshot(trade.row for trade in reversed(self._latest))

    # --- a listener of the feed ---------------------------------------------------------------------------------------

    def snapshot(self, trades: list[Trade], moment: Moment) -> None:
        """After a gap: what was not told of the latest trades is told as if it happened now."""
        for trade in reversed(trades):
            self.executed((trade, trade), (False, True), moment)

    def executed(self, trades: Sequence[Trade], confirmed: Sequence[bool], moment: Moment) -> None:
        """Trades. Each is told once as `te`, and after that once as `tu`, whatever of it comes twice, or is lost in a gap.

        Some clients go by the one (ccxt, cryptofeed), some by the other (bitfinex-api-node's onTrades).
        """
        for trade, is_tu in zip(trades, confirmed, strict=True):
            if trade.id not in self._confirmed:
                self._remember(trade)
                self._new.append(execution(trade))
            if is_tu and not self._confirmed[trade.id]:
                self._confirmed[trade.id] = True
                self._new.append(confirmation(trade))
        self.changed()

    def _remember(self, trade: Trade) -> None:
        self._new_trades.append(trade)
        self._confirmed[trade.id] = False
        if len(self._confirmed) > IDS_KEPT:
            del self._confirmed[next(iter(self._confirmed))]

    def lost(self, reason: str) -> None:
        """What is missed shows when the next snapshot comes."""

    # --- a stream -----------------------------------------------------------------------------------------------------

    def _look(self) -> Sequence[Item]:
        items, self._new = tuple(self._new), []
        self._latest.extend(self._new_trades)
        self._new_trades.clear()
        return items

    def _tell_one(self, seat: Seat[list[Item]], items: Sequence[Item]) -> None:
        waiting = [*(seat.missed or ()), *items]
        if not seat.reader.choked:
            seat.missed = None
            seat.reader.publish(self.subscription, waiting if len(waiting) > len(items) else items)
        elif len(waiting) <= MOST_TRADES:
            seat.missed = waiting
        else:
            seat.missed = None
            self._give_up(seat.reader, f"too slow: more than {MOST_TRADES} messages of trades are waiting")
