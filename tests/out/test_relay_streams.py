"""Streams: many readers, none of whom keeps the feed or another waiting."""

from collections.abc import Sequence
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.market import Market
from bfxtwist.core.messages import Rows
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.venue import Item, Kind, Reader
from bfxtwist.out.relay_streams import PACE, PORTION, SLOW_PACE, BookStream
from tests.out.served import TurningClock, change, live_book, moment, rows


class Ear:
    """A reader that keeps what it is told."""

    choked = False

    def __init__(self) -> None:
        self.items: list[Item] = []

    def publish(self, subscription: Subscription, items: Sequence[Item]) -> None:
        """Keep it."""
        self.items += items


class StreamTest(SynchronousTestCase):
    """A stream of a book of one pair."""

    def setUp(self) -> None:
        self.clock = TurningClock()
        self.feed: BookFeed = live_book(Market())
        self.ended: list[tuple[Reader, str]] = []
        give_up = lambda reader, reason: self.ended.append((reader, reason))  # noqa: E731 - one line is what it is
        self.stream = BookStream(self.feed.subscription, self.feed, self.clock, give_up, lambda: None)

    def join(self, count: int) -> list[Ear]:
        """So many readers."""
        ears = [Ear() for _ in range(count)]
        for ear in ears:
            self.stream.join(ear)
        return ears

    def told(self, ears: list[Ear]) -> int:
        """How many have been told something."""
        return sum(bool(ear.items) for ear in ears)

    def test_nothing_at_once(self) -> None:
        """When a frame of the exchange comes, nobody is told: that is for a later turn."""
        (ear,) = self.join(1)
        change(self.feed)
        self.assertEqual(ear.items, [])
        self.clock.turn()
        self.assertEqual([item.kind for item in ear.items], [Kind.UPDATE])

    def test_portions(self) -> None:
        """A turn of the reactor tells a portion; between two, the feed is read."""
        ears = self.join(2 * PORTION + 1)
        change(self.feed)
        counts = []
        for _ in range(3):
            self.clock.turn()
            counts.append(self.told(ears))
        self.assertEqual(counts, [PORTION, 2 * PORTION, 2 * PORTION + 1])

    def test_changes_while_telling(self) -> None:
        """What happens while some are told comes in the next look, to all."""
        ears = self.join(PORTION + 1)
        change(self.feed)
        self.clock.turn()
        change(self.feed, b"5980.5")
        self.clock.turn()
        self.assertEqual({len(ear.items) for ear in ears}, {1})
        self.clock.advance(PACE)
        self.clock.turn()
        self.clock.turn()
        self.assertEqual({len(ear.items) for ear in ears}, {2})

    def test_pace(self) -> None:
        """After a look there is a rest, however much happens."""
        (ear,) = self.join(1)
        looks = 0
        for step in range(100):
            change(self.feed, b"59%02d.5" % step)
            before = len(ear.items)
            self.clock.advance(PACE / 10)
            looks += len(ear.items) > before
        self.assertLessEqual(looks, 11)

    def test_a_slow_book_of_a_slow_one_is_not_slower(self) -> None:
        """What the exchange tells every two seconds (F1) goes on at once."""
        slow = replace(self.feed.subscription, frequency="F1")
        for carried, looks in ((slow, 2), (self.feed.subscription, 1)):
            feed = BookFeed(carried, moment())
            stream = BookStream(slow, feed, self.clock, lambda reader, reason: None, lambda: None)
            feed.snapshot(Rows(1, rows(2), 7, None), moment(1))
            ear = Ear()
            stream.join(ear)
            for price in (b"5990.5", b"5980.5"):
                change(feed, price)
                self.clock.advance(SLOW_PACE / 2)
                self.clock.turn()
            self.assertEqual(sum(b"5980.5" in item.body or b"5990.5" in item.body for item in ear.items), looks)

    def test_comes_and_goes_while_telling(self) -> None:
        """Who joins while others are told has it in its snapshot; who leaves is told no more."""
        ears = self.join(PORTION + 2)
        change(self.feed)
        self.clock.turn()
        late = Ear()
        snapshot = self.stream.join(late)
        self.stream.leave(ears[-1])
        self.clock.turn()
        self.assertIn(b"5990.5", snapshot.body)
        self.assertEqual((late.items, ears[-1].items, len(ears[-2].items)), ([], [], 1))

    def test_nothing_is_left(self) -> None:
        """A stream that is stopped listens no more and has nothing in the reactor."""
        (ear,) = self.join(1)
        change(self.feed)
        self.stream.leave(ear)
        self.stream.stop()
        change(self.feed)
        self.assertEqual((self.feed.listeners, self.clock.getDelayedCalls(), self.ended), ([], [], []))
