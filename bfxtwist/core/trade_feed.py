"""A stream of trades with its state, and who is told of each."""

from collections import deque
from collections.abc import Sequence
from itertools import compress
from operator import not_
from typing import Protocol

from bfxtwist.core.errors import MalformedMessage
from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.messages import Rows, Trade, TradeExecuted, TradesExecuted
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription

#: A snapshot of trades has so many (measured in 2018 and 2021), and so many are kept for those who come later.
LATEST_TRADES = 30


class TradeListener(Protocol):
    """Who takes the trades of one symbol."""

    def snapshot(self, trades: list[Trade], moment: Moment) -> None:
        """The latest trades, newest first as on the wire: the first thing after each subscription."""

    def executed(self, trades: Sequence[Trade], confirmed: Sequence[bool], moment: Moment) -> None:
        """Trades that came together, each as `te` or (confirmed) once more as `tu`."""

    def lost(self, reason: str) -> None:
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
            listener.lost(reason)
