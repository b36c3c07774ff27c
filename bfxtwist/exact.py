"""What a Python program is given of a book and of trades: Decimals, exact to the exchange's digit."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import Row
from bfxtwist.core.trade_rows import Arrival


class Level(NamedTuple):
    """One level of a book. `orders` is how many make it up; of a raw book, the order's id."""

    price: Decimal
    amount: Decimal
    orders: int


class OrderBook(NamedTuple):
    """A book at one moment: best first, amounts positive. Only one whose `status` is `live` may be trusted."""

    symbol: str
    status: FeedState
    timestamp: int | None  # ms, when its last frame came
    nonce: int | None  # the sequence number of that frame
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Trade(NamedTuple):
    """One trade as it stands in trade.csv."""

    id: int
    timestamp: int  # ms, the exchange's
    side: str  # the taker's: buy or sell
    price: Decimal
    amount: Decimal  # positive


def order_book(feed: BookFeed) -> OrderBook:
    """What a feed holds now, never more levels than were asked for."""
    book, updated, length = feed.book, feed.updated, feed.subscription.length
    return OrderBook(
        feed.name,
        feed.status_now,
        updated and updated.wall // 1000,
        feed.nonce,
        _levels(book.bids.rows[:length], book.columns),
        _levels(book.asks.rows[:length], book.columns),
    )


def _levels(rows: Iterable[Row], columns: tuple[int, int, int]) -> tuple[Level, ...]:
    price, amount, count = columns
    return tuple(Level(Decimal(row[price].decode()), abs(Decimal(row[amount].decode())), int(row[count])) for row in rows)


def trade_of(arrival: Arrival) -> Trade:
    """What its row says."""
    trade = arrival.trade
    amount = Decimal(trade.amount.decode())
    return Trade(trade.id, trade.mts, "sell" if amount < 0 else "buy", Decimal(trade.price.decode()), abs(amount))
