"""The conversation: every message in every state, and each thing that a client of Bitfinex must get right."""

import json

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core import session as module
from bfxtwist.core.errors import (
    ConfRefused,
    ExchangeError,
    MaintenanceTooLong,
    MalformedMessage,
    SequenceLost,
    ServerRestarting,
    Unanswered,
    UnsupportedVersion,
)
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import Event, Frame
from bfxtwist.core.session import Session, SessionState
from tests.core.conversation import (
    CHECKSUM,
    GRANTED,
    GREETING,
    ROWS,
    SUBSCRIBE,
    TRADES,
    Conversation,
    conversation_with_trades,
)

#: One message of each kind, as text; `{seq}` is the next sequence number.
EVERY_KIND = {
    "BookUpdate": "[7,[98,1,1],{seq},1]",
    "Rows": "[7,[[98,1,1]],{seq},1]",
    "TradeExecuted": '[7,"te",[3,1542045947738,0.1,100],{seq},1]',
    "Checksum": '[7,"cs",{checksum},{seq},1]',
    "Heartbeat": '[7,"hb",{seq},1]',
    "UnknownFrame": '[7,"xx",{seq},1]',
    "Info": '{{"event":"info","version":2,"platform":{{"status":1}}}}',
    "ConfAck": '{{"event":"conf","status":"OK","flags":229376}}',
    "Subscribed": '{{"event":"subscribed","channel":"book","chanId":9,"symbol":"tETHUSD"}}',
    "Unsubscribed": '{{"event":"unsubscribed","status":"OK","chanId":7}}',
    "Refused": '{{"event":"error","code":10000,"msg":"event: invalid"}}',
    "Pong": '{{"event":"pong","ts":1511545528111,"cid":1}}',
    "UnknownEvent": '{{"event":"auth"}}',
}

FINE = ""
STATES = (SessionState.OPENING, SessionState.HELLO, SessionState.CONFIGURING, SessionState.READY, SessionState.MAINTENANCE)
#: The kinds of which something bad comes, and in which states. Every other is fine in every state.
WRONG = {
    "TradeExecuted": {SessionState.READY: "malformed"},  # the channel is a book's
    "ConfAck": {SessionState.HELLO: "wrong-answer"},
    "Subscribed": dict.fromkeys(STATES[1:], "wrong-answer"),
    "Unsubscribed": dict.fromkeys((SessionState.HELLO, SessionState.CONFIGURING), "wrong-answer"),
    "Refused": {SessionState.CONFIGURING: "conf"},
}


def in_state(state: SessionState) -> Conversation:
    """A conversation that has come so far; from READY on, with a live book on channel 7."""
    talk = Conversation()
    if state is SessionState.OPENING:
        return talk
    if state in (SessionState.READY, SessionState.MAINTENANCE, SessionState.CLOSED):
        talk.live()
        if state is SessionState.MAINTENANCE:
            talk.event({"event": "info", "code": 20060})
        if state is SessionState.CLOSED:
            talk.session.ended("the test ends it", talk.moment)
        return talk
    talk.session.opened(talk.moment)
    if state is SessionState.CONFIGURING:
        talk.event(GREETING)
    return talk


class Table(SynchronousTestCase):
    """Every kind of message in every state."""

    def test_is_complete(self) -> None:
        kinds = {*Frame.__args__, *Event.__args__}
        for state in SessionState:
            self.assertEqual({*module._REACTIONS[state]}, kinds, state)
        self.assertEqual({*EVERY_KIND}, {kind.__name__ for kind in kinds})

    def test_every_cell(self) -> None:
        for kind, text in EVERY_KIND.items():
            for state in STATES:
                talk = in_state(state)
                error = self._what_comes_of(talk, text.format(seq=talk.seq + 1, checksum=CHECKSUM))
                self.assertEqual(error, WRONG.get(kind, {}).get(state, FINE), f"{kind} in {state}")

    def test_a_closed_session_takes_nothing_in(self) -> None:
        for kind, text in EVERY_KIND.items():
            talk = in_state(SessionState.CLOSED)
            version = talk.book.version
            self.assertEqual(self._what_comes_of(talk, text.format(seq=99, checksum=0)), FINE, kind)
            talk.session.received([text.format(seq=99, checksum=0).encode()] * module.TOGETHER, talk.moment)
            self.assertEqual((talk.book.version, talk.sent), (version, []), kind)

    def _what_comes_of(self, talk: Conversation, text: str) -> str:
        before = talk.session.state
        try:
            talk.hear(text)
        except ExchangeError as error:
            self.assertTrue(error.ends_connection)
            return error.reason
        self.assertLessEqual(before.value, talk.session.state.value)
        return FINE


class Hello(SynchronousTestCase):
    """From the open socket to the subscriptions."""

    def test_conf_comes_first_and_subscriptions_after_its_acknowledgement(self) -> None:
        talk = Conversation()
        talk.session.opened(talk.moment)
        self.assertEqual(talk.taken(), [])
        talk.event(GREETING)
        self.assertEqual(talk.taken(), [{"event": "conf", "flags": 65536 + 131072 + 32768}])
        talk.event(GRANTED)
        self.assertEqual(talk.taken(), [SUBSCRIBE])
        self.assertIs(talk.book.state, FeedState.SYNCING)

    def test_trades_are_subscribed_without_parameters(self) -> None:
        talk = Conversation([TRADES]).ready()
        self.assertEqual(talk.taken()[-1], {"event": "subscribe", "channel": "trades", "symbol": "tBTCUSD", "subId": "1"})

    def test_another_version_is_refused(self) -> None:
        for version in (1, 3, None):
            talk = in_state(SessionState.HELLO)
            with self.assertRaises(UnsupportedVersion):
                talk.event({"event": "info", "version": version})

    def test_flags_not_granted(self) -> None:
        for answer in (
            {"event": "conf", "status": "OK", "flags": 65536 + 32768},
            {"event": "conf", "status": "OK", "flags": 131072 + 32768},
            {"event": "conf", "status": "OK", "flags": 0},
            {"event": "conf", "status": "FAILED", "flags": 229376},
            {"event": "error", "code": 10050, "msg": "conf: failed"},
        ):
            with self.assertRaises(ConfRefused):
                in_state(SessionState.CONFIGURING).event(answer)

    def test_flags_that_are_taken_back(self) -> None:
        """Without them nothing that comes can be verified any more."""
        for answer in ({**GRANTED, "flags": 65536}, {"event": "error", "code": 10050, "msg": "conf: failed"}):
            with self.assertRaises(ConfRefused):
                in_state(SessionState.READY).event(answer)

    def test_no_greeting_and_no_answer_to_conf(self) -> None:
        for state in (SessionState.HELLO, SessionState.CONFIGURING):
            talk = in_state(state)
            talk.advance(14)
            with self.assertRaises(Unanswered):
                talk.advance(2)

    def test_without_timestamps_a_book_is_verified_all_the_same(self) -> None:
        talk = in_state(SessionState.CONFIGURING)
        talk.event({**GRANTED, "flags": 65536 + 131072})
        talk.acknowledge()
        for seq, body in enumerate((ROWS, "[98,1,1]", "[98,0,1]", f'"cs",{CHECKSUM}', '"hb"'), 1):
            talk.hear(f"[7,{body},{seq}]")
        self.assertEqual((talk.book.state, talk.book.verified, talk.book.sent), (FeedState.LIVE, True, None))
        self.assertEqual(talk.happened, ["the exchange tells no times: what had to wait on its way is not known to be old"])

    def test_more_flags_than_asked_for_are_fine(self) -> None:
        talk = in_state(SessionState.CONFIGURING)
        talk.event({**GRANTED, "flags": 229376 | 8})
        self.assertIs(talk.session.state, SessionState.READY)


class Sequence(SynchronousTestCase):
    """One counter a socket, over every array frame."""

    def test_frames_of_any_channel_count(self) -> None:
        talk = Conversation().ready()
        talk.frame(99, '"hb"')  # before the acknowledgement, as was measured
        talk.frame(7, '"hb"')
        talk.subscribed()
        talk.frame(31337, "[1,2,3]")  # unknown
        talk.frame(7, f'"cs",{CHECKSUM}')
        self.assertIs(talk.book.state, FeedState.LIVE)
        self.assertEqual(talk.tally.stray_frames, 3)

    def test_the_first_number_is_taken_as_it_is(self) -> None:
        talk = Conversation()
        talk.seq = 4711
        talk.live()
        self.assertIs(talk.book.state, FeedState.LIVE)

    def test_a_gap_a_repeat_a_step_back_and_a_missing_number(self) -> None:
        for number in ("3", "1", "0", "-1", "null", '"2"'):
            talk = Conversation().live()
            version = talk.book.version
            with self.assertRaises(SequenceLost, msg=number):
                talk.hear(f"[7,[98,1,1],{number},1]")
            self.assertEqual(talk.book.version, version, "nothing of it is taken in")
        with self.assertRaises(SequenceLost):
            Conversation().live().hear('[7,"hb"]')

    def test_no_number_at_all(self) -> None:
        with self.assertRaises(SequenceLost):
            Conversation().ready().hear('[99,"hb"]')

    def test_trades_that_came_together_with_a_gap_are_told_up_to_there(self) -> None:
        talk, tape = conversation_with_trades()
        numbers = [*range(3, 8), *range(9, 9 + module.TOGETHER)]
        together = [f'[8,"te",[{n},1542045947738,0.1,100],{n},1]'.encode() for n in numbers]
        with self.assertRaises(SequenceLost):
            talk.session.received(together, talk.moment)
        self.assertEqual(tape.told[1:], [("te", trade_id) for trade_id in range(3, 8)])

    def test_a_gap_on_a_channel_that_is_not_ours(self) -> None:
        talk = Conversation().live()
        with self.assertRaises(SequenceLost):
            talk.hear('[99,"hb",17,1]')

    def test_counted_while_in_maintenance(self) -> None:
        talk = in_state(SessionState.MAINTENANCE)
        talk.frame(7, "[98,1,1]")
        with self.assertRaises(SequenceLost):
            talk.hear('[7,"hb",17,1]')


class Notices(SynchronousTestCase):
    """Info codes."""

    def test_restart_in_every_state(self) -> None:
        for state in STATES[1:]:
            with self.assertRaises(ServerRestarting):
                in_state(state).event({"event": "info", "code": 20051, "msg": "Stopping. Please try to reconnect"})

    def test_maintenance_and_its_end(self) -> None:
        talk, tape = conversation_with_trades()
        talk.event({"event": "info", "code": 20060})
        self.assertEqual({feed.state for feed in talk.market.feeds()}, {FeedState.STALE})
        talk.frame(7, "[98,1,1]")
        talk.frame(8, '"te",[3,1542045947738,0.1,100]')
        together = [f'[8,"te",[3,1542045947738,0.1,100],{talk.seq + n},1]'.encode() for n in range(1, module.TOGETHER + 1)]
        talk.session.received(together, talk.moment)
        talk.seq += len(together)
        self.assertEqual({feed.state for feed in talk.market.feeds()}, {FeedState.STALE})
        talk.advance(100)
        self.assertEqual({m["event"] for m in talk.taken()}, {"ping"})
        talk.event({"event": "info", "code": 20061})
        self.assertEqual([m["chanId"] for m in talk.taken()], [7, 8])
        for channel_id in (7, 8):
            talk.unsubscribed(channel_id)
        talk.subscribed(17)
        talk.acknowledge(TRADES, 18)
        talk.frame(18, "[[4,1542045947000,0.1,100]]")
        self.assertEqual({feed.state for feed in talk.market.feeds()}, {FeedState.LIVE})
        self.assertEqual([kind for kind, _ in tape.told if kind != "lost"], ["snapshot", "snapshot"])

    def test_maintenance_that_begins_or_ends_before_the_flags_are_granted(self) -> None:
        """Nothing is subscribed without them; and then what is refused may be there again after it."""
        for state in (SessionState.HELLO, SessionState.CONFIGURING):
            talk = in_state(state)
            talk.taken()
            for code in (20061, 20060):
                talk.event({"event": "info", "code": code})
                self.assertEqual((talk.session.state, talk.taken()), (state, []))
        talk.event(GRANTED)
        self.assertEqual(talk.taken(), [SUBSCRIBE])
        talk.event({**SUBSCRIBE, "event": "error", "code": 10300, "msg": "symbol: invalid"})
        self.assertEqual(talk.happened, ["BTC/USD book is refused for now: symbol: invalid (10300)"])

    def test_maintenance_that_does_not_end(self) -> None:
        talk = in_state(SessionState.MAINTENANCE)
        talk.advance(119)
        with self.assertRaises(MaintenanceTooLong):
            talk.advance(2)

    def test_maintenance_while_an_acknowledgement_is_due(self) -> None:
        talk = Conversation().ready()
        talk.event({"event": "info", "code": 20060})
        talk.subscribed()
        self.assertIsNot(talk.book.state, FeedState.LIVE)
        talk.taken()
        talk.event({"event": "info", "code": 20061})
        self.assertEqual(talk.taken(), [{"event": "unsubscribe", "chanId": 7}])

    def test_a_platform_that_does_not_tell_its_status_works(self) -> None:
        """What it refuses it does not have."""
        talk = Conversation()
        talk.session.opened(talk.moment)
        talk.event({"event": "info", "version": 2})
        talk.event(GRANTED)
        talk.event({**SUBSCRIBE, "event": "error", "code": 10300, "msg": "symbol: invalid"})
        self.assertEqual(talk.happened, ["refused BTC/USD book 10300"])

    def test_others_are_noted(self) -> None:
        talk = Conversation().live()
        talk.event({"event": "info", "code": 5000, "msg": "hello"})
        self.assertEqual(talk.happened, ["the exchange says: hello (5000)"])


class Strange(SynchronousTestCase):
    """What nobody expects is counted, and ends at most the connection."""

    def test_what_comes_is_counted(self) -> None:
        talk = in_state(SessionState.HELLO)
        error, frame = '{"event":"error","code":10000,"msg":"no"}', '[9,"hb"]'
        for text in (error, json.dumps(GREETING), frame, json.dumps(GRANTED), error):
            talk.hear(text)
        tally = talk.tally
        self.assertEqual((tally.frames, tally.refusals, tally.stray_frames), (5, 2, 1))
        self.assertEqual(tally.bytes, sum(map(len, (error, json.dumps(GREETING), frame, json.dumps(GRANTED), error))))

    def test_unknown_events_are_noted_once_each(self) -> None:
        talk = Conversation().live()
        for name in ("x" * 10_000, "auth", "auth", "party", *map(str, range(100))):
            talk.event({"event": name})
        self.assertEqual(talk.tally.unknown_events, 104)
        self.assertEqual(len(talk.happened), 20)
        self.assertLess(max(map(len, talk.happened)), 200)

    def test_unknown_kinds_of_frames_are_noted_once_each(self) -> None:
        """The exchange may add some any day: a book that was left for them would never be live again."""
        talk = Conversation().live()
        for kind in ("ws", "ws", "xy"):
            talk.frame(7, f'"{kind}",[1,2,3]')
        talk.frame(7, f'"cs",{CHECKSUM}')
        self.assertEqual((talk.book.state, talk.book.verified, talk.tally.unknown_events), (FeedState.LIVE, True, 3))
        self.assertEqual(len(talk.happened), 2)

    def test_frames_that_look_like_none_and_do_not_say_what_they_are(self) -> None:
        for body in ("3", "null", "[true,1,1]", '{"a":1}', '"cs","1"', '"te",[1]', '""'):
            with self.assertRaises(MalformedMessage, msg=body):
                Conversation().live().frame(7, body)

    def test_no_messages_at_all(self) -> None:
        for payload in (b"", b"hello", b"[7,[98,1,1],2,1", b'{"event":', b"\xff\xfe", b"[" * 99_999, b"[]", b"[7]", b"null"):
            with self.assertRaises(MalformedMessage, msg=str(payload[:20])):
                Conversation().live().hear(payload)

    def test_the_session_needs_no_subscriptions(self) -> None:
        talk = Conversation([]).ready()
        self.assertEqual([m["event"] for m in talk.sent], ["conf"])
        self.assertIsInstance(talk.session, Session)
