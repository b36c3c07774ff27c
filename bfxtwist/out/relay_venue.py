"""The live market as a venue: what of it can be subscribed to, and one stream for all readers of the same thing.

A book can be had as it is carried and shorter, at once (F0) and every two seconds (F1); other precisions are other books.
"""

from collections.abc import Callable, Iterator
from itertools import count

from twisted.internet.interfaces import IReactorTime

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_feed import TradeFeed
from bfxtwist.exchange.venue import Item, Reader
from bfxtwist.out.relay_streams import BookStream, GiveUp, TradeStream


class MarketVenue:
    """A Venue over the market. `give_up(reader, reason)` ends a reader who does not keep up.

    `caught_up()` is called when something was told that came after a gap.
    """

    def __init__(self, market: Market, clock: IReactorTime, give_up: GiveUp, caught_up: Callable[[], None]) -> None:
        self._market = market
        self._clock = clock
        self._give_up = give_up
        self._caught_up = caught_up
        self._streams: dict[Subscription, BookStream | TradeStream] = {}
        self._ids: dict[Subscription, int] = {}
        self._next_id = count(1)

    # --- a venue --------------------------------------------------------------------------------------------

    def refuses(self, subscription: Subscription) -> str | None:
        """Why there can be no such subscription."""
        feed = self._feed(subscription)
        if feed is None or feed.refused:
            return "symbol: invalid"
        if subscription.channel is ChannelName.TRADES:
            return None
        carried = feed.subscription
        if subscription.precision != carried.precision:
            return "precision: invalid"
        if subscription.frequency < carried.frequency:
            return "frequency: invalid"
        return "length: invalid" if subscription.length > carried.length else None

    def open(self, subscription: Subscription, reader: Reader) -> Item:
        """A snapshot; `reader` is told what comes after it. Raises KeyError for what is refused."""
        stream = self._streams.get(subscription)
        if stream is None:
            stream = self._streams[subscription] = self._begin(subscription)
        return stream.join(reader)

    def close(self, subscription: Subscription, reader: Reader) -> None:
        """Tell `reader` no more."""
        stream = self._streams[subscription]
        stream.leave(reader)
        if not stream:
            del self._streams[subscription]
            stream.stop()

    # --- what the relay asks ----------------------------------------------------------------------------------

    def channel_id(self, subscription: Subscription) -> int:
        """The same for everybody, so that frames can be."""
        known = self._ids.get(subscription)
        if known is None:
            known = self._ids[subscription] = next(self._next_id)
        return known

    def gone(self, subscription: Subscription) -> bool:
        """Whether it is not to be had any more, from the exchange or from here, or not in the way in which it was opened."""
        feed, stream = self._feed(subscription), self._streams.get(subscription)
        return feed is None or feed.refused or (stream is not None and stream.feed is not feed)

    def live(self, subscription: Subscription) -> bool:
        """Whether the feed is."""
        feed = self._feed(subscription)
        return feed is not None and feed.state is FeedState.LIVE

    def ready(self, subscription: Subscription) -> bool:
        """Whether there is a snapshot to be trusted: a book can be live and crossed, for a moment."""
        feed = self._feed(subscription)
        if isinstance(feed, BookFeed):
            stream = self._streams.get(subscription)  # which may not have looked at the book since a gap
            return feed.status_now is FeedState.LIVE and (stream is None or stream.current)
        return feed is not None and feed.state is FeedState.LIVE

    def told(self, subscription: Subscription, reader: Reader) -> bool:
        """Whether `reader`, who has it open, was told what there is after a gap."""
        return self._streams[subscription].told(reader)

    def wake(self) -> None:
        """Some feed has changed its state: there may be something to tell."""
        for stream in self._streams.values():
            stream.changed()

    def __iter__(self) -> Iterator[tuple[Subscription, int]]:
        """What is read, and by how many."""
        return iter([(subscription, len(stream)) for subscription, stream in self._streams.items()])

    # --- streams ----------------------------------------------------------------------------------------------

    def _feed(self, subscription: Subscription) -> BookFeed | TradeFeed | None:
        try:
            return self._market.feed(subscription)
        except KeyError:
            return None

    def _begin(self, subscription: Subscription) -> BookStream | TradeStream:
        feed = self._market.feed(subscription)
        if isinstance(feed, BookFeed):
            return BookStream(subscription, feed, self._clock, self._give_up, self._caught_up)
        return TradeStream(subscription, feed, self._clock, self._give_up, self._caught_up)
