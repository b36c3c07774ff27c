"""One subscription: its snapshot, its updates, and what happens when they are wrong."""

from math import inf
from zlib import crc32

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.channel import ANSWER_TIMEOUT
from bfxtwist.core.errors import MalformedMessage, StillWrong
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from tests.core.conversation import CHECKSUM, SUBSCRIBE, Conversation, conversation_with_trades


class Books(SynchronousTestCase):
    """A book is verified or says that it is not."""

    def test_the_checksum_of_these_tests_is_right(self) -> None:
        value = crc32(b"100:2:101:-1:99:0.5:102:-4.5")
        self.assertEqual(CHECKSUM, value - (1 << 32) if value >= 1 << 31 else value)

    def test_empty_snapshots(self) -> None:
        for nothing in ("[]", "[[]]"):
            talk = Conversation().ready()
            talk.acknowledge()
            talk.frame(7, nothing)
            self.assertIs(talk.book.state, FeedState.LIVE)
            self.assertIn(b'"bids":[],"asks":[]', talk.book.document())

    def test_a_later_list_of_lists_is_no_snapshot(self) -> None:
        talk = Conversation().live()
        talk.frame(7, "[[98,0.5,1],[101,0,-1]]")
        self.assertEqual([row[0] for row in talk.book.book.asks.rows], [b"102"])
        self.assertEqual(len(talk.book.book.bids.rows), 3)
        self.assertEqual(talk.book.counts.snapshots, 1)

    def test_trailing_fields_are_ignored(self) -> None:
        talk = Conversation().live()
        talk.seq += 1
        talk.hear(f'[7,[98,1,1],{talk.seq},1590596820151,"book","BTCUSD"]')
        self.assertEqual(len(talk.book.book.bids.rows), 3)

    def test_a_wrong_checksum_renews_this_channel_alone(self) -> None:
        talk, tape = conversation_with_trades()
        talk.frame(7, '"cs",12345')
        self.assertIs(talk.book.state, FeedState.STALE, "in the same turn")
        why = f"BTC/USD book: checksum 12345 sent, {CHECKSUM} computed; subscribing again"
        self.assertEqual(talk.happened, [why])
        self.assertEqual(talk.taken(), [{"event": "unsubscribe", "chanId": 7}])
        talk.frame(7, "[98,1,1]")  # still on its way
        talk.frame(7, '"cs",12345')
        self.assertEqual((len(talk.book.book.bids.rows), talk.taken()), (2, []), "what comes then changes nothing")
        talk.frame(8, '"te",[3,1542045947738,0.1,100]')
        talk.unsubscribed()
        self.assertEqual(talk.sent, [SUBSCRIBE], "and only now")
        talk.frame(7, '"hb"')  # a late one of the old channel
        talk.subscribed(17)
        talk.frame(17, f'"cs",{CHECKSUM}')
        self.assertEqual((talk.book.state, talk.book.verified), (FeedState.LIVE, True))
        self.assertEqual(talk.book.counts.resubscriptions, 1)
        self.assertEqual(tape.told, [("snapshot", [2, 1]), ("te", 3)], "the trades went on undisturbed")

    def test_a_renewed_channel_may_have_the_same_id(self) -> None:
        talk = Conversation().live()
        talk.frame(7, '"cs",1')
        talk.unsubscribed(7)
        talk.subscribed(7)
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_no_more_than_one_resubscription_in_5_seconds(self) -> None:
        talk = Conversation().live()
        for channel_id, wait in ((7, 0), (8, 5)):
            talk.frame(channel_id, '"cs",1')
            talk.taken()
            talk.unsubscribed(channel_id)
            self.assertEqual(len(talk.sent), 0 if wait else 1)
            talk.advance(wait)
            self.assertEqual(len(talk.sent), 1)
            talk.subscribed(channel_id + 1)

    def test_wrong_again_and_again_ends_the_connection(self) -> None:
        talk = self.wrong_again()
        with self.assertRaises(StillWrong):
            talk.frame(9, '"cs",1')
        self.assertIs(talk.book.state, FeedState.STALE)

    def test_wrong_on_the_next_connection_too_spares_the_other_channels(self) -> None:
        """One of them is enough, whatever is refused."""
        talk, tape = conversation_with_trades()
        refused = Subscription(ChannelName.BOOK, "tETHUSD")
        talk.market.carry(refused, talk.moment)
        talk.session.want(refused, talk.moment)
        talk.event({"event": "error", "subId": "3", "code": 10300, "msg": "symbol: invalid"})
        talk.taken()
        talk.book.blamed = talk.now - 300
        for channel_id in (17, 27, 37):
            talk.frame(channel_id - 10, '"cs",1')
            talk.unsubscribed(channel_id - 10)
            talk.advance(5 if channel_id < 37 else 59, beats=[8])
            if channel_id < 37:
                talk.subscribed(channel_id)
        self.assertEqual([m["event"] for m in talk.taken()].count("subscribe"), 2, "the third waits for a minute")
        talk.advance(3, beats=[8])
        self.assertEqual([m["event"] for m in talk.sent], ["subscribe"])
        self.assertEqual((talk.trades.state, tape.told), (FeedState.LIVE, [("snapshot", [2, 1])]))

    def test_silent_on_the_next_connection_too_spares_the_other_channels(self) -> None:
        talk, tape = conversation_with_trades()
        talk.book.blamed = talk.now
        for channel_id in (17, 27, 37):
            talk.advance(36, beats=[8])
            self.assertEqual(talk.taken()[-1], {"event": "unsubscribe", "chanId": channel_id - 10})
            talk.unsubscribed(channel_id - 10)
            talk.advance(61, beats=[8])
            talk.subscribed(channel_id)
        self.assertEqual((talk.trades.state, tape.told), (FeedState.LIVE, [("snapshot", [2, 1])]))

    def test_silent_on_the_next_connection_too_ends_that_if_there_are_no_others(self) -> None:
        talk = Conversation().live()
        talk.book.blamed = talk.now
        talk.advance(36, beats=[99])
        talk.unsubscribed()
        talk.advance(29, beats=[99])
        talk.subscribed(8)
        with self.assertRaises(StillWrong):
            talk.advance(36, beats=[99])

    def wrong_again(self, ended_ago: float = inf) -> Conversation:
        """A lone book that is wrong for the third time, so long after a connection was ended because of it."""
        talk = Conversation().live()
        talk.book.blamed = talk.now + 12 - ended_ago
        for channel_id in (7, 8):
            talk.frame(channel_id, '"cs",1')
            talk.unsubscribed(channel_id)
            talk.advance(6)
            talk.subscribed(channel_id + 1)
        return talk

    def test_a_connection_is_ended_again_for_a_book_after_ten_minutes(self) -> None:
        talk = self.wrong_again(601)
        with self.assertRaises(StillWrong):
            talk.frame(9, '"cs",1')
        self.assertEqual(talk.book.blamed, talk.now)

    def test_a_connection_is_not_ended_again_for_a_book_before_that(self) -> None:
        talk = self.wrong_again(599)
        talk.frame(9, '"cs",1')
        self.assertEqual(talk.sent[-1], {"event": "unsubscribe", "chanId": 9})

    def test_now_and_then_wrong_does_not(self) -> None:
        talk = Conversation().live()
        for channel_id in range(7, 17):
            talk.frame(channel_id, '"cs",1')
            talk.unsubscribed(channel_id)
            talk.advance(31, beats=[99])
            talk.subscribed(channel_id + 1)
        self.assertEqual(talk.book.counts.resubscriptions, 10)

    def test_a_cross_that_lasts_renews_the_channel(self) -> None:
        talk = Conversation().live()
        talk.frame(7, "[101,1,1]")
        talk.advance(1)
        self.assertEqual(talk.book.status_now, FeedState.STALE)
        self.assertEqual(talk.sent, [])
        talk.advance(3)
        self.assertEqual(talk.taken(), [{"event": "unsubscribe", "chanId": 7}])

    def test_after_maintenance_it_is_stale_until_it_is_subscribed_again(self) -> None:
        talk = Conversation().live()
        talk.event({"event": "info", "code": 20061})
        self.assertEqual(talk.taken(), [{"event": "unsubscribe", "chanId": 7}])
        self.assertIs(talk.book.state, FeedState.STALE)

    def test_after_maintenance_an_answer_that_is_due_has_its_time_again(self) -> None:
        talk = Conversation().ready()
        talk.advance(ANSWER_TIMEOUT - 1, beats=[99])
        talk.taken()
        talk.event({"event": "info", "code": 20061})
        for seconds, expected in ((ANSWER_TIMEOUT - 1, 0), (1, 1)):
            talk.advance(seconds, beats=[99])
            self.assertEqual([m["event"] for m in talk.taken()].count("subscribe"), expected)

    def test_frames_that_are_not_a_book_s(self) -> None:
        for body in ('"te",[3,1542045947738,0.1,100]', "[1,2]", '["a",1,1]', "[100,1,0]", "[-1,1,1]", "null", "3"):
            with self.assertRaises(MalformedMessage, msg=body):
                Conversation().live().frame(7, body)

    def test_an_update_before_the_snapshot_renews_the_channel(self) -> None:
        talk = Conversation().ready()
        talk.acknowledge()
        talk.taken()
        talk.frame(7, '"hb"')
        self.assertEqual(talk.sent, [])
        talk.frame(7, "[100,1,1]")
        self.assertEqual(talk.taken(), [{"event": "unsubscribe", "chanId": 7}])
        self.assertIsNot(talk.book.state, FeedState.LIVE)


class Trades(SynchronousTestCase):
    """Trades are handed on as they come."""

    def test_te_and_tu(self) -> None:
        talk, tape = conversation_with_trades()
        talk.frame(8, '"te",[4,1542045947738,2.8e-7,100]')
        talk.frame(8, '"tu",[3,1542045947738,0.1,100]')
        self.assertEqual(tape.told, [("snapshot", [2, 1]), ("te", 4), ("tu", 3)])

    def test_a_lost_connection_is_told(self) -> None:
        talk, tape = conversation_with_trades()
        talk.session.ended("the connection was lost", talk.moment)
        talk.session.ended("and again", talk.moment)
        self.assertEqual(tape.told[-1], ("lost", "the connection was lost"))
        self.assertIs(talk.trades.state, FeedState.STALE)

    def test_frames_that_are_not_of_trades(self) -> None:
        for body in ('"te",[0,1,1,1]', '"te",[1,1,1]', '"te",[1,1,0,1]', '"cs",1', "[9,1,1]", "[[1,1,1,1]]"):
            talk, _ = conversation_with_trades()
            with self.assertRaises(MalformedMessage, msg=body):
                talk.frame(8, body)
