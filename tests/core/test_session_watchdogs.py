"""What a session does when time passes: pings, silence, a process that was held up, lines and clocks that are late."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.errors import ConnectionSilent, StillWrong
from bfxtwist.core.feed_state import FeedState
from tests.core.conversation import Conversation, conversation_with_trades


class Watchdogs(SynchronousTestCase):
    """Silence, on a monotonic clock."""

    def test_a_ping_every_20_seconds(self) -> None:
        talk = Conversation([]).ready()
        talk.taken()
        for _ in range(3):
            talk.advance(20)
            talk.event({"event": "pong", "cid": 1, "ts": 1})
        self.assertEqual(talk.taken(), [{"event": "ping", "cid": n} for n in (1, 2, 3)])
        self.assertEqual(talk.tally.pongs, 3)

    def test_a_silent_connection(self) -> None:
        talk = Conversation().live()
        talk.advance(35)
        with self.assertRaises(ConnectionSilent):
            talk.advance(1)

    def test_heartbeats_keep_a_quiet_market_live(self) -> None:
        talk = Conversation().live()
        talk.advance(600, beats=[7])
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_a_late_heartbeat_makes_a_feed_stale_until_it_comes(self) -> None:
        talk = Conversation().live()
        talk.advance(21)
        self.assertEqual((talk.book.state, talk.book.reason), (FeedState.STALE, "the heartbeat is late"))
        talk.frame(7, '"hb"')
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_a_silent_channel_on_a_connection_that_is_not(self) -> None:
        talk, _ = conversation_with_trades()
        talk.advance(36, beats=[8])
        self.assertEqual(talk.taken()[-1], {"event": "unsubscribe", "chanId": 7})
        self.assertIs(talk.trades.state, FeedState.LIVE)
        talk.unsubscribed()
        talk.subscribed(17)
        self.assertIs(talk.book.state, FeedState.LIVE)
        with self.assertRaises(StillWrong):
            talk.advance(40, beats=[8])

    def test_a_process_that_was_held_up_blames_nobody(self) -> None:
        talk = Conversation().live()
        talk.advance(1)
        talk.now += 100
        talk.session.tick(talk.moment)
        self.assertIs(talk.book.state, FeedState.STALE, "until it has read what came meanwhile")
        for talk.delay in (90, 70, 3):  # it was in the socket all the time
            talk.frame(7, "[100,3,1]")
            self.assertIs(talk.book.state, FeedState.STALE, "what is read now is the book as it was")
        talk.delay = 0.1
        talk.frame(7, '"hb"')
        talk.advance(1)
        self.assertIs(talk.book.state, FeedState.LIVE)
        talk.now += 10
        talk.session.tick(talk.moment)
        self.assertIs(talk.book.state, FeedState.LIVE, "no heartbeat was due")

    def test_a_process_that_was_held_up_before_the_snapshot_waits_on(self) -> None:
        talk = Conversation().ready()
        talk.advance(1)
        talk.now += 100
        talk.session.tick(talk.moment)
        talk.subscribed()
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_a_process_that_was_held_up_may_have_read_a_part_before_it_knows(self) -> None:
        talk = Conversation().live()
        talk.advance(1)
        talk.now += 100
        talk.delay = 90
        talk.frame(7, "[100,3,1]")
        talk.session.tick(talk.moment)
        self.assertIs(talk.book.state, FeedState.STALE)

    def test_what_waits_on_a_line_that_was_down_is_old_when_it_comes(self) -> None:
        talk = Conversation().live()
        talk.advance(25)
        for talk.delay in (24, 9):
            talk.frame(7, "[100,3,1]")
            talk.advance(1)
            self.assertEqual((talk.book.state, talk.book.reason), (FeedState.STALE, "the heartbeat is late"))
        talk.delay = 0
        talk.frame(7, "[100,3,1]")
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_a_line_that_falls_behind_more_and_more(self) -> None:
        talk = Conversation().live()
        for _ in range(210):
            talk.delay += 0.1
            talk.frame(7, "[100,3,1]")
            talk.advance(1)
        self.assertIs(talk.book.state, FeedState.STALE)

    def test_clocks_that_are_wrong_or_drift_make_nothing_late(self) -> None:
        talk = Conversation()
        talk.delay = 3600
        talk.live()
        for _ in range(40_000):
            talk.delay += 0.0008  # half a minute in the end
            talk.frame(7, '"hb"')
            talk.advance(1)
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_the_exchange_sets_its_clock_back(self) -> None:
        talk = Conversation().live()
        talk.advance(1)
        talk.delay = 3600
        talk.advance(51, beats=[7])
        self.assertEqual(talk.taken()[-1], {"event": "unsubscribe", "chanId": 7})
        talk.unsubscribed()
        talk.subscribed(17)
        talk.advance(100, beats=[17])
        self.assertIs(talk.book.state, FeedState.LIVE)
