"""What readers are told of each feed: its data, and whether it may be trusted."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.errors import BookCrossed, BookTooDeep, ChecksumMismatch, MalformedMessage
from bfxtwist.core.market import BookFeed, Feed, FeedState, Market, TradeFeed
from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Frame, Row, Rows, Trade, TradeExecuted
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.wire import decode
from tests.core.conversation import BOOK, CHECKSUM, TRADES, Tape
from tests.recordings import recording

ROWS: list[Row] = [(b"100", b"1", b"2"), (b"99", b"2", b"0.5"), (b"101", b"1", b"-1"), (b"102", b"3", b"-4.5")]


def at(seconds: float) -> Moment:
    """So many seconds after the test began, in September 2026."""
    return Moment(seconds, 1790134414850000 + int(seconds * 1e6))


def live_book(subscription: Subscription = BOOK) -> BookFeed:
    """A book with its snapshot."""
    feed = BookFeed(subscription, at(0))
    feed.snapshot(Rows(7, ROWS, 1, 1542045947738), at(1))
    feed.seen(1542045947738, at(1))
    return feed


def cross(feed: BookFeed, moment: Moment) -> None:
    """A bid at the price of the best ask."""
    feed.update(BookUpdate.of(7, (b"101", b"1", b"1"), 2, None), moment)


class States(SynchronousTestCase):
    """Connecting, syncing, live, stale."""

    def test_the_way_up_and_down(self) -> None:
        seen: list[tuple[str, str]] = []
        feed = BookFeed(BOOK, at(0))
        feed.watchers.append(lambda changed: seen.append((changed.state.value, changed.reason)))
        feed.lost("connection refused", at(1))
        feed.syncing("waiting for the snapshot", at(2))
        feed.snapshot(Rows(7, ROWS, 1, None), at(3))
        feed.lost("sequence", at(4))
        feed.lost("sequence", at(5))
        feed.syncing("waiting for the snapshot", at(6))
        expected = [
            ("connecting", "connection refused"),
            ("syncing", "waiting for the snapshot"),
            ("live", ""),
            ("stale", "sequence"),
            ("syncing", "waiting for the snapshot"),
        ]
        self.assertEqual(seen, expected)

    def test_since_is_when_the_state_changed_not_its_reason(self) -> None:
        feed = live_book()
        feed.lost("one thing", at(5))
        feed.lost("another", at(9))
        self.assertEqual((feed.since, feed.reason), (at(5), "another"))

    def test_a_late_heartbeat_is_made_up_for_by_the_next_frame(self) -> None:
        feed = live_book()
        feed.silent(at(21))
        self.assertIs(feed.state, FeedState.STALE)
        feed.seen(None, at(22))
        self.assertIs(feed.state, FeedState.LIVE)

    def test_what_is_lost_is_not_made_up_for(self) -> None:
        feed = live_book()
        feed.silent(at(21))
        feed.lost("the connection was lost", at(22))
        feed.seen(None, at(23))
        self.assertIs(feed.state, FeedState.STALE)
        feed.silent(at(50))
        feed.seen(None, at(51))
        self.assertIs(feed.state, FeedState.STALE)

    def test_a_watcher_may_leave_while_it_is_told(self) -> None:
        feed, told = BookFeed(BOOK, at(0)), []

        def once(changed: Feed) -> None:
            told.append(changed.state)
            changed.watchers.remove(once)

        feed.watchers += [once, lambda changed: told.append(changed.state)]
        feed.syncing("", at(1))
        feed.lost("x", at(2))
        self.assertEqual(len(told), 3)


class Books(SynchronousTestCase):
    """Books."""

    def test_the_document(self) -> None:
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        feed.update(BookUpdate.of(7, (b"99", b"3", b"2.80e-7"), 3, 1542045947900), at(3.5))
        document = feed.document()
        self.assertIn(b'"bids":[[100,2,1],[99,2.80e-7,3]],"asks":[[101,1,1],[102,4.5,3]]', document)
        head = {key: value for key, value in json.loads(document).items() if key not in ("bids", "asks")}
        expected = {
            "symbol": "BTC/USD",
            "exchange_symbol": "tBTCUSD",
            "precision": "P0",
            "frequency": "F0",
            "length": 25,
            "status": "live",
            "timestamp": 1790134418350,
            "datetime": "2026-09-23T03:33:38.350Z",
            "exchange_timestamp": 1542045947900,
            "nonce": 3,
            "verified": True,
            "checksum": {"value": CHECKSUM, "timestamp": 1790134416850},
        }
        self.assertEqual(head, expected)

    def test_the_document_never_has_more_levels_than_were_asked_for(self) -> None:
        feed = BookFeed(BOOK, at(0))
        rows: list[Row] = [(b"%d" % price, b"1", b"1") for price in range(100, 127)]
        feed.snapshot(Rows(7, rows, 1, None), at(1))
        self.assertEqual([row[0] for row in json.loads(feed.document())["bids"]], list(range(126, 101, -1)))
        self.assertEqual(len(json.loads(feed.document(100))["bids"]), 25)
        self.assertEqual(len(json.loads(feed.document(3))["bids"]), 3)

    def test_the_document_before_anything_came(self) -> None:
        document = json.loads(BookFeed(BOOK, at(0)).document())
        self.assertEqual((document["status"], document["timestamp"], document["bids"]), ("connecting", None, []))

    def test_the_version_grows_with_all_that_the_document_shows(self) -> None:
        feed = live_book()
        changes: list[Any] = [
            lambda: feed.update(BookUpdate.of(7, ROWS[0], 2, None), at(2)),
            lambda: feed.checksum(Checksum(7, CHECKSUM, 3, None), at(3)),
            lambda: feed.bulk_update(Rows(7, ROWS[:1], 4, None), at(4)),
            lambda: feed.silent(at(30)),
            lambda: feed.seen(None, at(31)),
            lambda: feed.lost("x", at(32)),
            lambda: feed.snapshot(Rows(7, [], 5, None), at(33)),
        ]
        for change in changes:
            before = (feed.version, feed.document())
            change()
            self.assertNotEqual(feed.version, before[0])

    def test_a_checksum_that_matches_and_one_that_does_not(self) -> None:
        feed = live_book()
        self.assertFalse(feed.verified)
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        self.assertTrue(feed.verified)
        with self.assertRaises(ChecksumMismatch):
            feed.checksum(Checksum(7, CHECKSUM + 1, 3, None), at(3))
        self.assertEqual((feed.counts.checksums_matched, feed.counts.checksums_mismatched), (1, 1))

    def test_short_books_cannot_be_checked(self) -> None:
        feed = live_book(Subscription(ChannelName.BOOK, "tBTCUSD", length=1))
        feed.checksum(Checksum(7, 0, 2, None), at(2))
        self.assertFalse(feed.verified)
        self.assertEqual(feed.counts.checksums_mismatched, 0)

    def test_verified_wears_off_when_checksums_stay_away_from_a_book_that_changes(self) -> None:
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        feed.check(at(600))
        self.assertTrue(feed.verified, "it is still the book that was verified")
        feed.update(BookUpdate.of(7, (b"98", b"1", b"1"), 3, None), at(601))
        feed.check(at(602))
        self.assertFalse(feed.verified)
        self.assertIs(feed.state, FeedState.LIVE, "their absence is no error")

    def test_a_new_snapshot_is_not_verified(self) -> None:
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        feed.snapshot(Rows(7, ROWS, 1, None), at(3))
        self.assertFalse(feed.verified)

    def test_a_book_that_is_lost_is_not_verified(self) -> None:
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        feed.silent(at(23))
        self.assertTrue(json.loads(feed.document())["verified"], "nothing is known to be lost")
        feed.lost("checksum 1 sent, 2 computed", at(24))
        document = json.loads(feed.document())
        self.assertEqual((document["verified"], document["checksum"]["value"]), (False, CHECKSUM))
        self.assertFalse(feed.status()["verified"])

    def test_a_crossed_book_is_not_served_as_live(self) -> None:
        feed = live_book()
        cross(feed, at(2))
        self.assertIs(feed.status_now, FeedState.STALE)
        self.assertEqual(feed.reason_now, "the book is crossed")
        self.assertEqual(json.loads(feed.document())["status"], "stale")
        feed.check(at(2.5))
        feed.check(at(4))
        with self.assertRaises(BookCrossed):
            feed.check(at(5))
        self.assertEqual(feed.counts.crossed, 1)

    def test_a_moment_of_crossing_inside_a_batch_is_none(self) -> None:
        feed = live_book()
        cross(feed, at(2))
        feed.check(at(2.5))
        feed.update(BookUpdate.of(7, (b"101", b"0", b"-1"), 3, None), at(3))
        feed.check(at(3))
        feed.update(BookUpdate.of(7, (b"102", b"1", b"1"), 3, None), at(5.5))
        feed.check(at(6))
        self.assertIs(feed.status_now, FeedState.STALE)

    def test_too_many_levels_are_deletes_that_were_lost(self) -> None:
        feed = live_book()
        for price in range(1, 50):
            feed.update(BookUpdate.of(7, (b"%d" % price, b"1", b"1"), 3, None), at(2))
        with self.assertRaises(BookTooDeep):
            feed.check(at(3))

    def test_rows_that_are_no_book_s(self) -> None:
        for row in ((b"1", b"1", b"0"), (b"0", b"1", b"1"), (b"1", b"-1", b"1"), (b"1", b"1")):
            feed = live_book()
            with self.assertRaises(MalformedMessage):
                feed.snapshot(Rows(7, [row], 2, None), at(2))
            if len(row) > 2:  # of fewer numbers the decoder makes no update
                with self.assertRaises(MalformedMessage):
                    feed.update(BookUpdate.of(7, row, 2, None), at(2))

    def test_the_status(self) -> None:
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        status = json.loads(json.dumps(feed.status()))
        self.assertEqual((status["symbol"], status["channel"], status["status"]), ("BTC/USD", "book", "live"))
        self.assertEqual(status["last_message"], "2026-09-23T03:33:35.850Z")
        self.assertEqual(status["last_checksum"], "2026-09-23T03:33:36.850Z")
        self.assertEqual(status["lag_ms"], 1790134415850 - 1542045947738)

    def test_checksums_of_real_books(self) -> None:
        """Bitfinex's own vectors, through decoder, feed and checksum."""
        for name, length in (("cs-tXRPBTC.jsonl", 25), ("cs-tVETBTC.jsonl", 25)):
            feed = BookFeed(Subscription(ChannelName.BOOK, "tXRPBTC", length=length), at(0))
            for line in recording(name).splitlines():
                self._take(feed, decode(line))
            self.assertTrue(feed.verified, name)

    def _take(self, feed: BookFeed, message: Frame | Any) -> None:
        match message:
            case Rows():
                feed.snapshot(message, at(1))
            case BookUpdate():
                feed.update(message, at(2))
            case Checksum():
                feed.checksum(message, at(3))


class Trades(SynchronousTestCase):
    """Trades."""

    def test_listeners_hear_everything_in_order(self) -> None:
        feed, tape = TradeFeed(TRADES, at(0)), Tape()
        feed.listeners.append(tape)
        feed.snapshot(Rows(8, [(b"2", b"2000", b"1", b"9"), (b"1", b"1000", b"-1", b"9")], 1, None), at(1))
        trade = Trade(3, 3000, b"1", b"9")
        feed.executed(TradeExecuted(8, False, trade, 2, None), at(2))
        feed.executed(TradeExecuted(8, True, trade, 3, None), at(3))
        feed.lost("the connection was lost", at(4))
        expected = [("snapshot", [2, 1]), ("te", 3), ("tu", 3), ("lost", "the connection was lost")]
        self.assertEqual(tape.told, expected)
        self.assertEqual(feed.counts.trades, 1)

    def test_rows_that_are_no_trades(self) -> None:
        for row in ((b"1", b"1", b"1"), (b"0", b"1", b"1", b"1"), (b"1", b"1", b"0", b"1"), (b"1.5", b"1", b"1", b"1")):
            feed, tape = TradeFeed(TRADES, at(0)), Tape()
            feed.listeners.append(tape)
            with self.assertRaises(MalformedMessage):
                feed.snapshot(Rows(8, [(b"2", b"2", b"1", b"9"), row], 1, None), at(1))
            self.assertEqual((tape.told, feed.state), ([], FeedState.CONNECTING))


class Carried(SynchronousTestCase):
    """What is where."""

    def test_one_of_each_kind_for_a_symbol(self) -> None:
        market = Market()
        book, trades = market.carry(BOOK, at(0)), market.carry(TRADES, at(0))
        self.assertIs(market.feed(BOOK), book)
        self.assertIs(market.feed(TRADES), trades)
        self.assertEqual([*market.feeds()], [book, trades])
        with self.assertRaises(ValueError):
            market.carry(Subscription(ChannelName.BOOK, "tBTCUSD", precision="R0"), at(0))

    def test_forgotten(self) -> None:
        market = Market()
        market.carry(BOOK, at(0))
        market.forget(BOOK)
        with self.assertRaises(KeyError):
            market.feed(BOOK)
        with self.assertRaises(KeyError):
            market.forget(TRADES)
