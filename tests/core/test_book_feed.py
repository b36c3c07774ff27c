"""What readers are told of a book, and whether it may be trusted."""

import json
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.errors import BookCrossed, BookTooDeep, ChecksumMismatch, MalformedMessage
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import BookUpdate, ChannelName, Checksum, Frame, Row, Rows
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.wire import decode
from tests.core.conversation import BOOK, CHECKSUM
from tests.core.feeds import ROWS, at, cross, live_book
from tests.recordings import recording


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
        self.assertEqual((document["verified"], document["checksum"]), (False, None))

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
            before = feed.version
            change()
            self.assertGreater(feed.version, before)

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
        feed.checksum(Checksum(7, CHECKSUM, 3, None), at(601))
        feed.update(BookUpdate.of(7, (b"98", b"1", b"1"), 4, None), at(602))
        feed.check(at(661))
        self.assertTrue(feed.verified)
        version = feed.version
        feed.check(at(662))
        self.assertFalse(feed.verified)
        self.assertGreater(feed.version, version)
        self.assertIs(feed.state, FeedState.LIVE, "their absence is no error")

    def test_a_new_snapshot_is_not_verified(self) -> None:
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        feed.snapshot(Rows(7, ROWS, 1, None), at(3))
        self.assertFalse(feed.verified)
        feed.check(at(4))
        self.assertFalse(feed.verified, "by the checksum of the one before")

    def test_a_book_that_is_lost_is_not_verified(self) -> None:
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        feed.silent(at(23))
        self.assertTrue(json.loads(feed.document())["verified"], "nothing is known to be lost")
        feed.lost("checksum 1 sent, 2 computed", at(24))
        document = json.loads(feed.document())
        self.assertEqual((document["verified"], document["checksum"]["value"]), (False, CHECKSUM))
        self.assertFalse(feed.status().verified)

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

    def test_a_crossed_book_that_a_checksum_agrees_with_is_live_until_it_changes(self) -> None:
        feed = live_book()
        cross(feed, at(2))
        self.assertEqual((feed.status_now, feed.reason_now), (FeedState.STALE, "the book is crossed"))
        feed.checksum(Checksum(7, feed.book.checksum(), 3, None), at(2))
        self.assertEqual((feed.status_now, feed.reason_now), (FeedState.LIVE, ""))
        feed.update(BookUpdate.of(7, (b"98", b"1", b"1"), 4, None), at(2))
        self.assertEqual(feed.status_now, FeedState.STALE)
        feed.lost("sequence", at(3))
        self.assertEqual(feed.reason_now, "sequence")
        feed.syncing("waiting for the snapshot", at(4))
        self.assertEqual((feed.status_now, feed.reason_now), (FeedState.SYNCING, "waiting for the snapshot"))

    def test_who_listens_hears_of_everything_that_changes_it(self) -> None:
        heard: list[int] = []

        class Listener:
            def changed(self) -> None:
                heard.append(feed.version)

        feed = live_book()
        self.assertEqual((feed.nonce, feed.updated), (1, at(1)))
        feed.listeners.append(Listener())
        feed.snapshot(Rows(7, ROWS, 2, 5), at(2))
        feed.update(BookUpdate.of(7, ROWS[0], 3, None), at(3))
        feed.checksum(Checksum(7, CHECKSUM, 4, None), at(4))
        self.assertEqual(len(heard), 3)
        self.assertEqual((feed.nonce, feed.updated), (3, at(3)))

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
            with self.assertRaises(MalformedMessage):
                feed.bulk_update(Rows(7, [row], 2, None), at(2))
            if len(row) > 2:  # of fewer numbers the decoder makes no update
                with self.assertRaises(MalformedMessage):
                    feed.update(BookUpdate.of(7, row, 2, None), at(2))

    def test_the_status(self) -> None:
        """Its JSON is what readers know."""
        feed = live_book()
        feed.checksum(Checksum(7, CHECKSUM, 2, None), at(2))
        counted = {"updates": 0, "trades": 0, "checksums_matched": 1, "checksums_mismatched": 0}
        expected = {
            "symbol": "BTC/USD",
            "exchange_symbol": "tBTCUSD",
            "channel": "book",
            "status": "live",
            "reason": "",
            "since": "2026-09-23T03:33:35.850Z",
            "last_message": "2026-09-23T03:33:35.850Z",
            "lag_ms": 1790134415850 - 1542045947738,
            "counters": {"frames": 1, "snapshots": 1, **counted, "resubscriptions": 0, "crossed": 0},
            "verified": True,
            "last_checksum": "2026-09-23T03:33:36.850Z",
            "crossed": False,
            "unknown_deletes": 0,
        }
        self.assertEqual(msgspec.json.encode(feed.status()), msgspec.json.encode(expected))

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
