"""Every book and every stream of trades by its symbol.

This is where the two halves meet: `feed/` puts facts in, `out/` reads them, and neither knows the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import Feed
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_feed import TradeFeed


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
