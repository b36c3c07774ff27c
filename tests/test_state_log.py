"""A feed that comes or goes is one line each; what lies between is not news."""

import gc
from typing import Any
from weakref import ref

from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.market import Market
from bfxtwist.core.messages import Rows
from bfxtwist.state_log import StateLog
from tests.out.served import carry, moment, rows


class StateLogTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.lines: list[str] = []
        heard: Any = self.heard
        globalLogPublisher.addObserver(heard)
        self.addCleanup(globalLogPublisher.removeObserver, heard)
        self.now = moment()
        self.states = StateLog(lambda: self.now)
        feed = carry(Market(), "tBTCUSD")
        assert isinstance(feed, BookFeed)
        self.feed = feed
        self.states.watch(feed)

    def heard(self, event: LogEvent) -> None:
        if event.get("log_namespace") == "bfxtwist.state_log":
            self.lines.append(formatEvent(event))

    def live(self, seconds: float) -> None:
        self.now = moment(seconds)
        self.feed.snapshot(Rows(1, rows(2), 1, None), self.now)

    def lose(self, reason: str, seconds: float) -> None:
        self.now = moment(seconds)
        self.feed.lost(reason, self.now)

    def test_coming_and_going(self) -> None:
        self.feed.lost("connecting", moment())
        self.feed.syncing("waiting for the snapshot", moment())
        self.live(1)
        self.live(2)
        self.lose("sequence 7, not 8", 3)
        self.lose("the connection was lost", 4)
        self.feed.syncing("waiting for the snapshot", moment(5))
        self.live(6.5)
        self.assertEqual(
            self.lines,
            ["live: BTC/USD book", "not live: BTC/USD book: sequence 7, not 8", "live again after 3.5 s: BTC/USD book"],
        )

    def test_the_end_of_the_daemon_is_no_news(self) -> None:
        self.live(1)
        self.states.stop()
        self.lose("closed", 2)
        self.assertEqual(self.lines, ["live: BTC/USD book"])

    def test_a_daemon_that_starts_again_tells_again(self) -> None:
        self.live(1)
        self.states.stop()
        self.lose("closed", 2)
        self.states.start()
        self.live(3)
        self.lose("sequence 7, not 8", 4)
        self.assertEqual(self.lines, [*2 * ["live: BTC/USD book"], "not live: BTC/USD book: sequence 7, not 8"])

    def test_a_feed_that_is_dropped_is_let_go_of(self) -> None:
        self.live(1)
        self.lose("not subscribed any more", 2)
        gone = ref(self.feed)
        del self.feed
        gc.collect()
        self.assertIsNone(gone())
