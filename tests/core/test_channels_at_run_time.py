"""Subscriptions that come and go while the connection lives."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.feed_state import FeedState
from tests.core.conversation import BOOK, GRANTED, TRADES, Conversation, greeted


class AtRunTime(SynchronousTestCase):
    """Subscriptions that come and go."""

    def test_one_more(self) -> None:
        talk = Conversation().live()
        talk.market.carry(TRADES, talk.moment)
        talk.session.want(TRADES, talk.moment)
        self.assertEqual(talk.sent, [{"event": "subscribe", "channel": "trades", "symbol": "tBTCUSD", "subId": "2"}])

    def test_one_more_before_the_conf(self) -> None:
        talk = greeted()
        talk.market.carry(TRADES, talk.moment)
        talk.session.want(TRADES, talk.moment)
        talk.taken()
        talk.event(GRANTED)
        self.assertEqual([m["channel"] for m in talk.taken()], ["book", "trades"])

    def test_one_less(self) -> None:
        talk = Conversation().live()
        talk.session.drop(BOOK, talk.moment)
        self.assertIs(talk.book.state, FeedState.STALE)
        self.assertEqual(talk.taken(), [{"event": "unsubscribe", "chanId": 7}])
        talk.frame(7, "[98,1,1]")
        talk.unsubscribed()
        self.assertEqual((talk.session.subscriptions, talk.sent), ([], []))
        talk.advance(100, beats=[99])
        self.assertEqual({m["event"] for m in talk.sent}, {"ping"})

    def test_one_less_before_its_acknowledgement(self) -> None:
        talk = Conversation().ready()
        talk.session.drop(BOOK, talk.moment)
        talk.acknowledge()
        self.assertEqual(talk.sent[-1], {"event": "unsubscribe", "chanId": 7})

    def test_one_less_that_is_never_acknowledged(self) -> None:
        talk = Conversation().ready()
        talk.session.drop(BOOK, talk.moment)
        talk.advance(31, beats=[99])
        self.assertEqual(talk.session.subscriptions, [])

    def test_dropped_and_wanted_again(self) -> None:
        talk = Conversation().live()
        talk.session.drop(BOOK, talk.moment)
        talk.market.forget(BOOK)
        talk.market.carry(BOOK, talk.moment)
        talk.session.want(BOOK, talk.moment)
        talk.unsubscribed()
        talk.subscribed(17)
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_what_was_never_wanted(self) -> None:
        talk = Conversation().live()
        with self.assertRaises(KeyError):
            talk.session.drop(TRADES, talk.moment)
