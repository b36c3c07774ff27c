"""Streams: many readers, none of whom keeps the feed or another waiting."""

import json
from collections.abc import Sequence
from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Checksum, Row, Rows, Trade, TradeExecuted
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_feed import LATEST_TRADES, TradeFeed
from bfxtwist.exchange.venue import Item, Kind, Reader
from bfxtwist.out.relay_streams import DUTY, IDS_KEPT, PACE, PORTION, RETRY, SLOW_PACE, BookStream, TradeStream
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
        change(self.feed)
        self.assertEqual((ear.items, len(self.clock.getDelayedCalls())), ([], 1))
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

    def test_the_rest_is_longer_where_telling_takes_long(self) -> None:
        """However many readers there are, the daemon has time for other things."""

        class Slow(Ear):
            def publish(self, subscription: Subscription, items: Sequence[Item]) -> None:
                super().publish(subscription, items)
                clock.rightNow += 1.0

        clock, ear = self.clock, Slow()
        self.stream.join(ear)
        change(self.feed)
        clock.turn()
        change(self.feed, b"5980.5")
        clock.advance(1 / DUTY - 1.1)
        self.assertEqual(len(ear.items), 1)
        clock.advance(0.2)
        self.assertEqual(len(ear.items), 2)

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

    def test_a_checksum_is_told_once(self) -> None:
        """Of the book that came with it."""
        (ear,) = self.join(1)
        self.feed.checksum(Checksum(1, self.feed.book.checksum(), 8, None), moment(2))
        for price in (b"5990.5", b"5980.5"):
            change(self.feed, price)
            self.clock.turn()
            self.clock.advance(PACE)
        self.assertEqual([item.kind for item in ear.items], [Kind.UPDATE, Kind.CHECKSUM, Kind.UPDATE])

    def test_a_reader_that_could_not_read_is_told_what_it_missed_once(self) -> None:
        """As little as leads from what it had to what there is."""
        (ear,) = self.join(1)
        change(self.feed, b"5980.5")
        self.clock.turn()
        ear.items.clear()
        ear.choked = True
        for price in (b"5990.5", b"5970.5"):
            change(self.feed, price)
            self.clock.advance(RETRY)
        self.assertEqual(ear.items, [])
        ear.choked = False
        self.clock.advance(RETRY)
        self.assertEqual(sorted(item.body[:7] for item in ear.items), [b"[5970.5", b"[5990.5"])
        self.clock.advance(10 * RETRY)
        self.assertEqual((len(ear.items), self.clock.getDelayedCalls()), (2, []))


class TradeStreamTest(SynchronousTestCase):
    """A stream of trades of one pair."""

    def setUp(self) -> None:
        self.clock = TurningClock()
        self.feed = TradeFeed(Subscription(ChannelName.TRADES, "tBTCUSD"), moment())
        self.feed.snapshot(Rows(2, [(b"%d" % number, b"1", b"1", b"9") for number in (2, 1)], 1, None), moment(1))
        self.stream = TradeStream(self.feed.subscription, self.feed, self.clock, lambda reader, reason: None, lambda: None)

    def trade(self, *ids: int) -> None:
        """Trades, told together."""
        for number in ids:
            self.feed.executed(TradeExecuted(2, False, Trade(number, 1, b"1", b"9"), number, None), moment(2))
        self.clock.turn()
        self.clock.advance(PACE)

    def ids(self, item: Item) -> list[int]:
        """Of a snapshot."""
        return [row[0] for row in json.loads(item.body)]

    def test_who_comes_is_told_the_latest_trades_each_once(self) -> None:
        """Newest first, and not more than the exchange tells."""
        self.trade(3, 4)
        self.trade(5, 5)
        self.assertEqual(self.ids(self.stream.opening()), [5, 4, 3, 2, 1])
        later = TradeStream(self.feed.subscription, self.feed, self.clock, lambda reader, reason: None, lambda: None)
        self.assertEqual(self.ids(later.opening()), [5, 4, 3, 2, 1])
        self.trade(*range(6, 60))
        self.assertEqual(self.ids(self.stream.opening()), list(range(59, 59 - LATEST_TRADES, -1)))

    def test_a_reader_that_could_not_read_is_told_all_it_missed_once(self) -> None:
        ear = Ear()
        self.stream.join(ear)
        ear.choked = True
        self.trade(3)
        self.trade(4)
        ear.choked = False
        self.clock.advance(RETRY)
        self.trade(5)
        self.assertEqual([item.body for item in ear.items], [b'"te",[%d,1,1,9]' % number for number in (3, 4, 5)])

    def test_what_a_snapshot_after_a_gap_repeats_is_not_told_as_new(self) -> None:
        """However many trades there were before it. Not all of them are remembered for ever."""
        ear, last = Ear(), IDS_KEPT + 100
        self.stream.join(ear)
        self.trade(*range(3, last))
        ear.items.clear()
        self.feed.lost("sequence", moment(3))
        latest: list[Row] = [(b"%d" % number, b"1", b"1", b"9") for number in range(last, last - 60, -1)]
        self.feed.snapshot(Rows(2, latest, 1, None), moment(4))
        self.clock.turn()
        self.assertEqual([item.body for item in ear.items if b'"te"' in item.body], [b'"te",[%d,1,1,9]' % last])
        self.assertEqual(len(self.stream._confirmed), IDS_KEPT)

    def test_nothing_is_left(self) -> None:
        self.feed.executed(TradeExecuted(2, False, Trade(3, 1, b"1", b"9"), 3, None), moment(2))
        self.stream.stop()
        self.assertEqual((self.feed.listeners, self.clock.getDelayedCalls()), ([], []))
