"""Which subscription an answer is for, and what comes of it."""

from itertools import permutations
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.errors import Unanswered, WrongAnswer
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from tests.core.conversation import BOOK, GRANTED, GREETING, ROWS, SUBSCRIBE, TRADES, Conversation, Tape


class Acknowledgements(SynchronousTestCase):
    """Which channel an answer is for."""

    def test_in_any_order_with_keys_in_any_order(self) -> None:
        wanted = [BOOK, TRADES, Subscription(ChannelName.BOOK, "tETHUSD")]
        for order in permutations(range(3)):
            talk = Conversation(wanted).ready()
            for channel_id in order:
                event = next(m for m in talk.sent if m.get("subId") == str(channel_id + 1))
                answer = {**event, "event": "subscribed", "chanId": 40 + channel_id}
                talk.event(dict(sorted(answer.items())))
            for channel_id in range(3):
                talk.frame(40 + channel_id, "[]")
            self.assertEqual({feed.state for feed in talk.market.feeds()}, {FeedState.LIVE})

    def test_without_the_sub_id_the_fields_decide(self) -> None:
        talk = Conversation([BOOK, TRADES]).ready()
        talk.event({"event": "subscribed", "channel": "trades", "chanId": 5262, "symbol": "tBTCUSD", "pair": "BTCUSD"})
        talk.frame(5262, "[]")
        self.assertEqual((talk.trades.state, talk.book.state), (FeedState.LIVE, FeedState.SYNCING))

    def test_after_13_seconds_and_the_snapshot_at_once(self) -> None:
        talk = Conversation().ready()
        talk.advance(13)
        talk.subscribed()
        self.assertIs(talk.book.state, FeedState.LIVE)
        self.assertEqual([m["event"] for m in talk.sent], ["conf", "subscribe"])

    def test_of_what_was_never_asked_for(self) -> None:
        for wrong in (
            {"channel": "book", "symbol": "tETHUSD"},
            {"channel": "book", "symbol": "tBTCUSD", "prec": "R0"},
            {"channel": "book", "symbol": "tBTCUSD", "len": "100"},
            {"channel": "book", "symbol": "tBTCUSD", "subId": "2"},
            {"channel": "ticker", "symbol": "tBTCUSD"},
            {},
        ):
            with self.assertRaises(WrongAnswer, msg=str(wrong)):
                Conversation().ready().event({"event": "subscribed", "chanId": 7, **wrong})

    def test_what_does_not_fit_is_told(self) -> None:
        for key, value in (("prec", "R0"), ("freq", "F1"), ("len", "100"), ("subId", "2")):
            with self.assertRaisesRegex(WrongAnswer, f"symbol tBTCUSD.*, {key} {value}"):
                Conversation().ready().event({**SUBSCRIBE, "event": "subscribed", "chanId": 7, key: value})

    def test_twice(self) -> None:
        talk = Conversation().ready()
        talk.subscribed()
        talk.acknowledge()
        self.assertIs(talk.book.state, FeedState.LIVE)
        with self.assertRaises(WrongAnswer):
            talk.acknowledge(channel_id=8)

    def test_with_the_id_of_another_channel(self) -> None:
        talk = Conversation([BOOK, Subscription(ChannelName.BOOK, "tETHUSD")]).ready()
        talk.subscribed()
        with self.assertRaisesRegex(WrongAnswer, "ETH/USD book was given channel 7, which is that of BTC/USD book"):
            talk.acknowledge(Subscription(ChannelName.BOOK, "tETHUSD"), 7)

    def test_with_an_id_that_was_another_channels(self) -> None:
        talk = Conversation([BOOK, Subscription(ChannelName.BOOK, "tETHUSD")]).ready()
        talk.acknowledge()
        talk.unsubscribed()
        talk.acknowledge(Subscription(ChannelName.BOOK, "tETHUSD"), 7)
        talk.frame(7, ROWS)
        self.assertIs(talk.market.books["tETHUSD"].state, FeedState.LIVE)

    def test_none_is_asked_again_and_then_given_up(self) -> None:
        talk = Conversation().ready()
        talk.taken()
        talk.advance(29)
        self.assertEqual(talk.taken(), [{"event": "ping", "cid": 1}])
        talk.frame(99, '"hb"')
        talk.advance(2)
        self.assertEqual(talk.taken(), [SUBSCRIBE])
        talk.frame(99, '"hb"')
        with self.assertRaises(Unanswered):
            talk.advance(31)

    def test_none_again_on_the_next_connection_spares_the_others(self) -> None:
        """They would be lost each minute because of it."""
        talk, tape = Conversation([BOOK, TRADES]).ready(), Tape()
        talk.trades.listeners.append(tape)
        talk.acknowledge(TRADES, 8)
        talk.frame(8, "[]")
        talk.book.blamed = talk.now
        talk.taken()
        talk.advance(500, beats=[8])
        asked = [m for m in talk.taken() if m["event"] == "subscribe"]
        self.assertEqual(asked, 9 * [SUBSCRIBE], "after half a minute, and then each minute")
        self.assertEqual((talk.trades.state, tape.told), (FeedState.LIVE, [("snapshot", [])]))
        self.assertIs(talk.book.state, FeedState.SYNCING)
        talk.sent = asked
        talk.subscribed()
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_none_again_on_the_next_connection_gives_that_up_if_there_are_no_others(self) -> None:
        talk = Conversation([BOOK, TRADES]).ready()
        talk.book.blamed = talk.trades.blamed = talk.now
        with self.assertRaises(Unanswered):
            talk.advance(62, beats=[99])
        self.assertEqual(talk.now - talk.book.blamed, 0)

    def test_none_is_a_reason_for_a_new_connection_every_ten_minutes(self) -> None:
        talk = Conversation([BOOK, TRADES]).ready()
        talk.acknowledge(TRADES, 8)
        talk.frame(8, "[]")
        talk.book.blamed = talk.now - 300
        talk.advance(299, beats=[8])
        with self.assertRaises(Unanswered):
            talk.advance(62, beats=[8])

    def test_the_snapshot_does_not_come(self) -> None:
        talk = Conversation().ready()
        talk.acknowledge()
        talk.taken()
        talk.advance(30, beats=[7])
        self.assertEqual(talk.taken()[-1], {"event": "unsubscribe", "chanId": 7})


class Refusals(SynchronousTestCase):
    """Errors in answer to a request."""

    def refuse(self, talk: Conversation, code: int, **more: Any) -> None:
        asked = next(m for m in reversed(talk.sent) if m["event"] == "subscribe")
        talk.taken()
        talk.event({**asked, "event": "error", "code": code, "msg": "subscribe: no", "pair": "BTCUSD", **more})

    def test_there_is_no_such_symbol(self) -> None:
        for code in (10300, 10001, 10302):
            talk = Conversation().ready()
            self.refuse(talk, code)
            self.assertEqual(talk.happened, [f"refused BTC/USD book {code}"])
            self.assertIn("refused: subscribe: no", talk.book.reason)
            self.assertTrue(talk.book.refused)
            talk.advance(590, beats=[99])
            self.assertNotIn("subscribe", [m["event"] for m in talk.sent])
            talk.session.ended("gone", talk.moment)
            self.assertIn("refused: subscribe: no", talk.book.reason, "which is why, whatever becomes of the connection")

    def test_what_is_refused_is_asked_for_again_in_the_end(self) -> None:
        talk = Conversation([BOOK, TRADES]).ready()
        talk.acknowledge(TRADES, 8)
        talk.frame(8, "[]")
        asked = next(m for m in talk.sent if m.get("channel") == "book")
        talk.event({**asked, "event": "error", "code": 10300, "msg": "symbol: invalid"})
        talk.taken()
        talk.advance(601, beats=[8])
        self.assertEqual([m for m in talk.sent if m["event"] == "subscribe"], [SUBSCRIBE])
        self.assertFalse(talk.book.refused)
        talk.subscribed()
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_what_is_refused_is_asked_for_again_after_maintenance(self) -> None:
        talk = Conversation().ready()
        self.refuse(talk, 10300)
        talk.event({"event": "info", "code": 20061})
        self.assertEqual(talk.sent, [SUBSCRIBE])

    def test_in_maintenance_nothing_is_final(self) -> None:
        talk = Conversation()
        talk.session.opened(talk.moment)
        talk.event({**GREETING, "platform": {"status": 0}})
        talk.event(GRANTED)
        self.refuse(talk, 10300)
        talk.advance(1)
        self.assertEqual([m["event"] for m in talk.taken()], ["subscribe"])
        self.assertEqual(talk.happened, ["BTC/USD book is refused for now: subscribe: no (10300)"])
        talk.event({"event": "info", "code": 20061})
        talk.advance(30, beats=[99])
        self.refuse(talk, 10300)
        self.assertEqual(talk.happened[1:], ["refused BTC/USD book 10300"], "after it, it is")

    def test_why_is_one_line_whatever_it_says(self) -> None:
        talk = Conversation().ready()
        self.refuse(talk, 11000, msg="later\n2026-11-22 critical" + "x" * 70_000)
        self.assertIn("refused: later\\x0a2026", talk.book.reason)
        self.assertLess(len(talk.book.reason), 400)

    def test_try_again_later_with_longer_and_longer_pauses(self) -> None:
        for code in (11000, 10020, 31337):
            talk = Conversation().ready()
            pauses = []
            for _ in range(8):
                self.refuse(talk, code)
                began = talk.now
                while not any(m["event"] == "subscribe" for m in talk.sent):
                    talk.advance(1)
                    talk.frame(99, '"hb"')
                pauses.append(talk.now - began)
            self.assertEqual(pauses, [1, 2, 4, 8, 16, 32, 60, 60])

    def test_the_pauses_begin_anew_after_an_acknowledgement(self) -> None:
        talk = Conversation().ready()
        for seconds in (1, 2, 4):
            self.refuse(talk, 11000)
            talk.advance(seconds)
        talk.acknowledge()
        talk.unsubscribed()
        talk.advance(1)
        self.refuse(talk, 11000)
        talk.advance(1)
        self.assertEqual([m["event"] for m in talk.sent], ["subscribe"])

    def test_subscribed_already_waits_for_the_acknowledgement(self) -> None:
        talk = Conversation().ready()
        self.refuse(talk, 10301, chanId=7)
        self.assertEqual((talk.sent, talk.book.refused), ([], False))
        talk.event({**SUBSCRIBE, "event": "subscribed", "chanId": 7})
        talk.frame(7, ROWS)
        self.assertIs(talk.book.state, FeedState.LIVE)
        talk.frame(7, '"cs",1')
        talk.unsubscribed()
        talk.taken()
        talk.advance(30, beats=[99])
        self.assertEqual([m for m in talk.taken() if m["event"] != "ping"], [SUBSCRIBE], "the old one has been left")

    def test_subscribed_already_and_never_acknowledged(self) -> None:
        talk = Conversation().ready()
        self.refuse(talk, 10301, chanId=7)
        talk.advance(30, beats=[7])
        self.assertEqual(talk.taken()[-1], {"event": "unsubscribe", "chanId": 7})
        talk.unsubscribed()
        self.assertEqual(talk.taken(), [SUBSCRIBE])

    def test_subscribed_already_for_ever(self) -> None:
        talk = Conversation().ready()
        with self.assertRaises(Unanswered):
            for channel_id in (7, 8, 9):
                self.refuse(talk, 10301, chanId=channel_id)
                talk.advance(30, beats=[99])
                talk.unsubscribed(channel_id)
                talk.advance(5)

    def test_nobody_hears_of_the_refusal_of_what_was_dropped(self) -> None:
        for code in (10300, 10305, 11000):
            talk = Conversation([TRADES, BOOK]).ready()
            talk.session.drop(BOOK, talk.moment)
            talk.market.forget(BOOK)
            self.refuse(talk, code)
            self.assertEqual((talk.happened, talk.session.subscriptions), ([], [TRADES]))

    def test_too_many_channels_displace(self) -> None:
        talk = Conversation([TRADES, BOOK]).ready()
        self.refuse(talk, 10305)
        self.assertEqual(talk.happened, ["displaced BTC/USD book"])
        self.assertEqual(talk.session.subscriptions, [TRADES])
        self.assertEqual((talk.book.state, talk.book.reason), (FeedState.CONNECTING, "subscribe: no (10305)"))

    def test_too_many_channels_displace_the_first_one_too(self) -> None:
        """Others were acknowledged before it was asked for again, or sooner."""
        talk = Conversation([BOOK, TRADES]).ready()
        talk.acknowledge(TRADES, 8)
        talk.event({**SUBSCRIBE, "event": "error", "code": 10305, "msg": "subscribe: limit"})
        self.assertEqual(talk.happened, ["displaced BTC/USD book"])

    def test_a_limit_that_leaves_no_channel_displaces_none(self) -> None:
        """The exchange refuses whatever it is asked: on another connection it would, too."""
        talk = Conversation([TRADES, BOOK]).ready()
        for subscription, sub_id in ((TRADES, "1"), (BOOK, "2")):
            echo = {"channel": subscription.channel, "symbol": subscription.symbol, "subId": sub_id}
            talk.event({"event": "error", "msg": "subscribe: limit", "code": 10305, **echo})
        self.assertEqual(["refused for now" in text for text in talk.happened], [True, True])
        talk.taken()
        talk.advance(1)
        self.assertEqual([m["event"] for m in talk.taken()], ["subscribe", "subscribe"])

    def test_a_lone_channel_is_not_displaced_but_asked_again(self) -> None:
        talk = Conversation().ready()
        self.refuse(talk, 10305)
        self.assertEqual(talk.happened, ["BTC/USD book is refused for now: subscribe: no (10305)"])
        talk.advance(1)
        self.assertEqual([m["event"] for m in talk.taken()], ["subscribe"])

    def test_what_is_live_is_not_refused_any_more(self) -> None:
        talk = Conversation().live()
        talk.event({**SUBSCRIBE, "event": "error", "code": 10300, "msg": "subscribe: late"})
        self.assertEqual(talk.happened, ["the exchange refuses: subscribe: late (10300)"])
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_an_unsubscribe_that_is_refused_is_as_good_as_done(self) -> None:
        for code in (10400, 10401):
            talk = Conversation().live()
            talk.frame(7, '"cs",1')
            talk.taken()
            talk.event({"event": "error", "chanId": 7, "code": code, "msg": "unsubscribe: invalid"})
            self.assertEqual(talk.taken(), [SUBSCRIBE])

    def test_a_refusal_that_names_no_channel_is_about_none_that_waits(self) -> None:
        for named in ({}, {"chanId": None}):
            talk = Conversation().ready()
            talk.event({"event": "error", **named, "code": 10400, "msg": "unsubscribe: invalid"})
            talk.subscribed()
            self.assertIs(talk.book.state, FeedState.LIVE)

    def test_an_unsubscribe_without_an_answer(self) -> None:
        talk = Conversation().live()
        talk.frame(7, '"cs",1')
        with self.assertRaises(Unanswered):
            talk.advance(31, beats=[7])

    def test_errors_about_nothing_of_ours_are_noted(self) -> None:
        talk = Conversation().live()
        for more in ({}, {"channel": "book", "symbol": "tETHUSD"}, {"subId": "9"}, {"chanId": "x"}):
            talk.event({"event": "error", "code": 10000, "msg": "event: invalid (nope)", **more})
        self.assertEqual(len(talk.happened), 4)
        self.assertIs(talk.book.state, FeedState.LIVE)


class Ended(SynchronousTestCase):
    """The exchange ends a channel of its own accord."""

    def test_the_book_is_stale_in_the_same_turn_and_subscribed_again(self) -> None:
        talk = Conversation().live()
        talk.unsubscribed()
        self.assertEqual((talk.book.state, talk.book.reason), (FeedState.STALE, "the exchange has ended the subscription"))
        talk.frame(7, "[98,1,1]")
        self.assertEqual(len(talk.book.book.bids.rows), 2)
        talk.advance(1)
        self.assertEqual(talk.sent, [SUBSCRIBE])
        talk.subscribed(17)
        self.assertEqual((talk.book.state, talk.book.counts.resubscriptions), (FeedState.LIVE, 1))

    def test_again_and_again_is_subscribed_once_in_5_seconds(self) -> None:
        talk = Conversation().live()
        for _ in range(60):
            talk.unsubscribed()
            talk.advance(1)
            if talk.sent and talk.sent[-1]["event"] == "subscribe" and talk.book.state is FeedState.SYNCING:
                talk.acknowledge()
        self.assertLessEqual(len([m for m in talk.sent if m["event"] == "subscribe"]), 13)

    def test_in_maintenance_it_waits_for_the_end(self) -> None:
        talk = Conversation().live()
        talk.event({"event": "info", "code": 20060})
        talk.unsubscribed()
        talk.advance(10)
        self.assertEqual(talk.taken(), [])
        talk.event({"event": "info", "code": 20061})
        self.assertEqual(talk.sent, [SUBSCRIBE])

    def test_in_maintenance_what_was_being_left_waits_too(self) -> None:
        talk = Conversation().live()
        talk.frame(7, '"cs",1')
        talk.event({"event": "info", "code": 20060})
        talk.taken()
        talk.unsubscribed()
        talk.advance(10)
        self.assertEqual(talk.taken(), [])
        talk.event({"event": "info", "code": 20061})
        self.assertEqual(talk.sent, [SUBSCRIBE])
