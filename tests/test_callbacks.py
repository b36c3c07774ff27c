"""Functions of a program: called with every change, never for nothing, and whatever another one raises."""

import sys
from collections.abc import Iterator
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.callbacks import Callbacks, TurnWise
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Rows
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.exact import OrderBook, order_book


async def _later(told: object) -> None:
    """Nobody would wait for it."""


def _in_parts(told: object) -> Iterator[object]:
    """Nobody would ask it for the first."""
    yield told


class CallbacksTests(SynchronousTestCase):
    """`Callbacks`"""

    def setUp(self) -> None:
        self.callbacks: Callbacks[Any] = Callbacks("mine", "trade")

    def test_one_that_fails_keeps_nothing_from_the_others(self) -> None:
        heard: list[Any] = []
        self.callbacks.add(sys.exit)
        self.callbacks.add(lambda told: {}[told])
        self.callbacks.add(heard.append)
        self.callbacks.call(1)
        self.callbacks.call(2)
        self.assertEqual(heard, [1, 2])
        self.assertEqual([len(self.flushLoggedErrors(kind)) for kind in (KeyError, SystemExit)], [2, 2])

    def test_one_that_a_call_would_not_run_is_refused(self) -> None:
        for function in (_later, _in_parts, "print", None):
            error = self.assertRaises(ValueError, self.callbacks.add, function)
            self.assertIn("cannot be called with a trade: name a plain function", str(error))
        self.assertFalse(self.callbacks)

    def test_one_that_names_another(self) -> None:
        """It is called from the next time on."""
        heard: list[Any] = []
        self.callbacks.add(lambda told: self.callbacks.add(heard.append) if told == 1 else None)
        self.callbacks.call(1)
        self.callbacks.call(2)
        self.assertEqual(heard, [2])


class TurnWiseTests(SynchronousTestCase):
    """`TurnWise`, on a feed."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.feed = BookFeed(Subscription(ChannelName.BOOK, "tBTCUSD"), self.moment)
        self.heard: list[OrderBook] = []
        TurnWise(self.feed, self.clock, lambda: self.heard.append(order_book(self.feed)))

    @property
    def moment(self) -> Moment:
        seconds = self.clock.seconds()
        return Moment(seconds, 1_790_134_414_850_000 + round(seconds * 1e6))

    def update(self, seq: int, price: bytes) -> None:
        self.feed.update(BookUpdate.of(1, (price, b"1", b"2"), seq, None), self.moment)

    def test_what_comes_in_one_turn_is_one_call(self) -> None:
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1")], 1, None), self.moment)
        self.update(2, b"99")
        self.assertEqual(self.heard, [])
        self.clock.advance(0)
        [book] = self.heard
        self.assertEqual((book.status, book.nonce, len(book.bids)), (FeedState.LIVE, 2, 2))
        self.update(3, b"98")
        self.clock.advance(0)
        self.assertEqual([book.nonce for book in self.heard], [2, 3])

    def test_a_book_that_is_lost(self) -> None:
        """Whoever trades by it must hear at once."""
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1")], 1, None), self.moment)
        self.clock.advance(0)
        self.feed.lost("the line is down", self.moment)
        self.clock.advance(0)
        self.assertEqual([book.status for book in self.heard], [FeedState.LIVE, FeedState.STALE])
        self.assertEqual(self.heard[0].bids, self.heard[1].bids)

    def test_a_checksum_that_agrees_is_no_change(self) -> None:
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1")], 1, None), self.moment)
        self.clock.advance(0)
        self.feed.checksum(Checksum(1, self.feed.book.checksum(), 2, None), self.moment)
        self.clock.advance(0)
        self.assertEqual(len(self.heard), 1)

    def test_a_checksum_that_makes_a_crossed_book_good(self) -> None:
        self.feed.snapshot(Rows(1, [(b"100", b"1", b"1"), (b"99", b"1", b"-1")], 1, None), self.moment)
        self.clock.advance(0)
        self.feed.checksum(Checksum(1, self.feed.book.checksum(), 2, None), self.moment)
        self.clock.advance(0)
        self.assertEqual([book.status for book in self.heard], [FeedState.STALE, FeedState.LIVE])
