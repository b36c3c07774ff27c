"""The states of a feed, and who is told of them."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.messages import Rows
from tests.core.conversation import BOOK
from tests.core.feeds import ROWS, at, live_book


class States(SynchronousTestCase):
    """Connecting, syncing, live, stale."""

    def test_the_way_up_and_down(self) -> None:
        seen: list[tuple[str, str]] = []
        feed = BookFeed(BOOK, at(0))
        self.assertFalse(feed.refused, "before it was asked for")
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

    def test_a_frame_without_a_time_is_not_late(self) -> None:
        """Nor is the time forgotten that frames with one take."""
        feed = live_book()
        feed.keep_time()
        feed.seen(None, at(2))
        feed.keep_time()
        self.assertEqual(feed.delay, 0)
        feed.seen(1542045947738, at(11))
        self.assertEqual(feed.delay, 10_000)

    def test_a_watcher_may_leave_while_it_is_told(self) -> None:
        feed, told = BookFeed(BOOK, at(0)), []

        def once(changed: Feed) -> None:
            told.append(changed.state)
            changed.watchers.remove(once)

        feed.watchers += [once, lambda changed: told.append(changed.state)]
        feed.syncing("", at(1))
        feed.lost("x", at(2))
        self.assertEqual(len(told), 3)

    def test_the_status_stays_what_it_was_when_it_was_asked_for(self) -> None:
        feed = live_book()
        status = feed.status()
        feed.seen(None, at(2))
        self.assertEqual((status.counters.frames, feed.status().counters.frames), (1, 2))
        self.assertEqual((status.last_message, feed.status().lag_ms), ("2026-09-23T03:33:35.850Z", None))
