"""Frames that come together mean what they mean one by one."""

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core import session
from bfxtwist.core.book import Book
from bfxtwist.core.errors import ExchangeError, MalformedMessage, SequenceLost
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import BookUpdate, BookUpdates, ChannelName, Checksum, Trade, TradeExecuted, TradesExecuted
from bfxtwist.core.runs import decode_together
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.wire import decode
from tests.core.conversation import BOOK, CHECKSUM, ROWS, TRADES, Conversation, Tape
from tests.core.test_session_fuzz import GOOD, TOKENS, Bender

ETHER = Subscription(ChannelName.BOOK, "tETHUSD")


def one_by_one(payloads: Sequence[bytes]) -> list[Any]:
    return list(map(decode, payloads))


def together(payloads: Sequence[bytes]) -> list[Any]:
    """What was decoded together, taken apart again."""
    decoded = decode_together(payloads)
    assert decoded is not None
    messages: list[Any] = []
    for message in decoded:
        if isinstance(message, BookUpdates):
            columns = (message.channel_ids, message.numbers, message.seqs, message.timestamps, message.texts)
            messages += [BookUpdate(*each) for each in zip(*columns, strict=True)]
        elif isinstance(message, TradesExecuted):
            messages += [TradeExecuted(*each) for each in zip(*message, strict=True)]
        else:
            messages.append(message)
    return messages


class Together(SynchronousTestCase):
    """Of what is decoded."""

    def test_book_updates_are_one_run_with_their_tokens(self) -> None:
        payloads = [b"[17,[6443.10,2,5e-7],1,99]", b"[18,[6443.5,0,-1],2,98]"]
        run = BookUpdates(
            (17, 18),
            ((6443.1, 2.0, 5e-7), (6443.5, 0.0, -1.0)),
            [b"6443.10,2,5e-7", b"6443.5,0,-1"],
            (1, 2),
            (99, 98),
        )
        self.assertEqual(list(decode_together(payloads) or ()), [run])

    def test_a_checksum_divides_a_run(self) -> None:
        payloads = [b"[7,[1,1,1],1,9]", b"[7,[2,1,1],2,9]", b'[7,"cs",-5,3,9]', b"[7,[3,1,1],4,9]"]
        kinds = [type(message) for message in decode_together(payloads) or ()]
        self.assertEqual(kinds, [BookUpdates, Checksum, BookUpdates])
        self.assertEqual(together(payloads), one_by_one(payloads))

    def test_trades_are_one_run(self) -> None:
        payloads = [b'[8,"te",[5,1542045968922,0.01,6443.10],1,9]', b'[8,"tu",[5,1542045968925,-1e-3,6443.1],2,9]']
        self.assertEqual([type(message) for message in decode_together(payloads) or ()], [TradesExecuted])
        self.assertEqual(together(payloads), one_by_one(payloads))

    def test_a_trade_in_the_same_text_is_made_once(self) -> None:
        """Which is how the tape knows, at a glance, that its `tu` says nothing new."""
        body = b"[5,1542045968922,0.01,6443.1]"
        others = [body.replace(b",0.01,", b", 0.01,"), body.replace(b"6443.1", b"6443.10")]
        frames = [(b"te", body), (b"tu", body), *((b"tu", other) for other in others)]
        payloads = [b'[8,"%b",%b,%d,9]' % (kind, text, seq) for seq, (kind, text) in enumerate(frames)]
        [run] = list(decode_together(payloads) or ())
        assert isinstance(run, TradesExecuted)
        first, second, spaced, other = run.trades
        self.assertIs(second, first)
        self.assertEqual((spaced, other), (first, Trade(5, 1542045968922, b"0.01", b"6443.10")))
        self.assertEqual(together(payloads), one_by_one(payloads))

    def test_white_space_and_further_fields_change_nothing(self) -> None:
        for odd in (
            b"[7, [1 ,1, 1],1,9]",
            b"[7,[1,1,1,4],1,9]",
            b"[7,[1,1,1],1,9,10]",
            b"[7,[1,1,1],1]",
            b"[7,[1,1,1],null,9]",
            b"[7,[[1,1,1],[2,1,1]],1,9]",
            b'[7,"xy",[1,2,3],4,9]',
            b"[7,[true,1,1],1,9]",
        ):
            payloads = [b"[7,[1,1,1],1,9]", odd, b"[7,[2,1,1],3,9]"]
            self.assertEqual(together(payloads), one_by_one(payloads), odd)

    def test_a_trade_that_cannot_be_one_is_refused(self) -> None:
        good = b'[8,"te",[5,1542045968922,0.01,6443.1],1,9]'
        for bad in (b"[0,1,1,1]", b"[1,-1,1,1]", b"[1,1,-0.0,1]", b"[1,1,1,0]", b"[" * 10**5 + b"]" * 10**5):
            self.assertRaises(MalformedMessage, together, [good, b'[8,"tu",%b,1,9]' % bad])

    def test_what_is_no_array_on_a_line_of_its_own_is_left_to_the_usual_way(self) -> None:
        good = b"[7,[1,1,1],1,9]"
        for others in (
            [b'{"event":"pong"}'],
            [b"[7,[1,1,", b"1],1,9]"],  # one array in two frames
            [b"[7,[1,1,1],1,9]\n[7,[1,1,1],1,9]", b"[7,[1,", b"1,1],1,9]"],  # and, to make up for it, two in one
            [b" [7,[1,1,1],1,9]"],
            [b"[7,[1,1,1],1,9] "],
            [b""],
        ):
            self.assertIsNone(decode_together([good, *others, good]), others)

    def test_bent_frames_among_good_ones(self) -> None:
        bender = Bender(20261122)
        arrays = [text for text in GOOD if text.startswith("[")]
        for number in range(4000):
            texts = bender.random.choices(arrays[:2] if number % 2 else arrays, k=6)
            payloads = [text.format(seq=seq).encode() for seq, text in enumerate(texts, 1)]
            payloads[bender.random.randrange(6)] = bender.bend(bender.random.choice(arrays).format(seq=3))
            if decode_together(payloads) is None:
                continue
            try:
                expected = one_by_one(payloads)
            except MalformedMessage as error:
                self.assertEqual(str(self.assertRaises(MalformedMessage, together, payloads)), str(error), payloads)
            else:
                self.assertEqual(together(payloads), expected, payloads)


_PRICES = st.sampled_from(["99", "99.0", "100", "100.5", "101", "101.25", "1e2", "100.00000000000000000001", *TOKENS[:6]])
_ROWS = st.tuples(_PRICES, st.sampled_from(["0", "0", "1", "2", "-1"]), st.sampled_from(["1", "-1", "0.25", "-2.8e-7", "0"]))
_TRADES = st.tuples(st.sampled_from(["te", "tu"]), st.integers(1, 6), st.sampled_from(["1", "-0.5"]))
_BODIES = st.one_of(
    st.builds(lambda row: "7,[{},{},{}]".format(*row), _ROWS),
    st.builds(lambda row: "7,[{},{},{}]".format(*row), _ROWS.filter(lambda row: "0" not in (row[0], row[2]))),
    st.builds(lambda row: "6,[{},{},{}]".format(*row), _ROWS.filter(lambda row: "0" not in (row[0], row[2]))),
    st.builds(lambda trade: '8,"{}",[{},1542045968922,{},100]'.format(*trade), _TRADES),
    st.sampled_from([f'7,"cs",{CHECKSUM}', '6,"cs",5', '6,"hb"', '8,"hb"', f"6,{ROWS}", "99,[1,1,1]"]),
)


class Sessions(SynchronousTestCase):
    """Of what becomes of it."""

    def setUp(self) -> None:
        self.patch(session, "TOGETHER", 2)  # the few frames of these tests, too

    def _talk(self) -> tuple[Conversation, Tape]:
        talk, tape = Conversation([BOOK, ETHER, TRADES]), Tape()
        talk.trades.listeners.append(tape)
        talk.ready()
        for subscription, channel_id in ((BOOK, 7), (ETHER, 6), (TRADES, 8)):
            talk.acknowledge(subscription, channel_id)
        for channel_id in (7, 6):
            talk.frame(channel_id, ROWS)
        talk.frame(8, "[]")
        return talk, tape

    def _after(self, batches: list[list[bytes]], at_once: int) -> tuple[list[Any], Any]:
        """What was told, and what is held in the end; None if an error ended it."""
        self.patch(session, "TOGETHER", at_once)
        talk, tape = self._talk()
        try:
            for batch in batches:
                talk.session.received(batch, talk.moment)
        except ExchangeError:
            return tape.told, None
        books = [talk.market.books[symbol] for symbol in ("tBTCUSD", "tETHUSD")]
        held: list[Any] = [(book.document(), book.counts, book.status_now, book.last_frame) for book in books]
        return tape.told, [held, talk.trades.counts, talk.sent, talk.happened, talk.tally]

    @given(st.lists(st.lists(_BODIES, max_size=12), max_size=3), st.integers(0, 60))
    def test_end_the_same(self, bodies: list[list[str]], slip: int) -> None:
        seq, batches = 3, []
        for batch in bodies:
            payloads = []
            for body in batch:
                seq += 1 + (seq == slip)
                payloads.append(f"[{body},{seq},1542045947738]".encode())
            batches.append(payloads)
        told_together, held_together = self._after(batches, 2)
        told, held = self._after(batches, 10**6)
        self.assertEqual(held_together, held)
        # What is wrong with a book may be found at the end of a batch, when later trades have been told: that harms nobody.
        self.assertEqual(told_together if held else told_together[: len(told)], told)

    def test_what_comes_before_a_lost_number_is_good(self) -> None:
        talk, tape = self._talk()
        numbered = zip(range(1, 13), [4, 5, *range(7, 17)], strict=True)
        trades = [b'[8,"te",[%d,1542045968922,1,100],%d,9]' % each for each in numbered]
        error = self.assertRaises(SequenceLost, talk.session.received, trades, talk.moment)
        self.assertIn("6", str(error))
        self.assertEqual(tape.told[1:], [("te", 1), ("te", 2)])

    def test_a_number_that_is_lost_between_two_turns(self) -> None:
        talk, tape = self._talk()
        for first, trade_id in ((4, 1), (6, 3), (9, 5)):
            turn = [b'[8,"te",[%d,1542045968922,1,100],%d,9]' % (trade_id + each, first + each) for each in range(2)]
            if first < 9:
                talk.session.received(turn, talk.moment)
        self.assertIn("8", str(self.assertRaises(SequenceLost, talk.session.received, turn, talk.moment)))
        self.assertEqual(tape.told[1:], [("te", 1), ("te", 2), ("te", 3), ("te", 4)])

    def test_what_cannot_be_decoded_together_is_taken_one_by_one(self) -> None:
        talk, _ = self._talk()
        talk.session.received([b"[7,[98,1,1],4,9]", b'{"event":"pong","cid":1}', b" [7,[97,1,1],5,9]"], talk.moment)
        self.assertEqual(talk.book.counts.updates, 2)

    def test_trades_of_several_pairs_in_one_turn(self) -> None:
        subscriptions = [TRADES, Subscription(ChannelName.TRADES, "tETHUSD")]
        talk, tapes = Conversation(subscriptions), [Tape(), Tape()]
        for subscription, tape in zip(subscriptions, tapes, strict=True):
            talk.market.trades[subscription.symbol].listeners.append(tape)
        talk.ready()
        for channel_id, subscription in enumerate(subscriptions, 7):
            talk.acknowledge(subscription, channel_id)
            talk.frame(channel_id, "[]")
        turn = [b'[%d,"te",[%d,1542045968922,1,100],%d,9]' % (7 + seq % 2, seq, seq) for seq in range(3, 9)]
        talk.session.received(turn, talk.moment)
        self.assertEqual(tapes[0].told[1:], [("te", 4), ("te", 6), ("te", 8)])
        self.assertEqual(tapes[1].told[1:], [("te", 3), ("te", 5), ("te", 7)])

    def test_a_turn_with_rows_of_books_that_are_left_and_of_none(self) -> None:
        talk, _ = self._talk()
        talk.frame(7, '"cs",1')
        turn = [b"[%d,[98,1,1],%d,9]" % (channel_id, seq) for seq, channel_id in enumerate((6, 7, 99, 6, 7, 99), 5)]
        talk.session.received(turn, talk.moment)
        ether = talk.market.books["tETHUSD"]
        self.assertEqual((ether.state, ether.counts.updates, talk.book.counts.updates), (FeedState.LIVE, 2, 0))
        self.assertEqual(talk.tally.stray_frames, 2)

    def test_the_last_known_books_say_which_frame_they_are_of(self) -> None:
        talk, _ = self._talk()
        turns = [f"[{7 - seq % 2},[9{seq % 10},1,1],{seq},{seq}]".encode() for seq in (*range(4, 12), 13)]
        self.assertRaises(SequenceLost, talk.session.received, turns, talk.moment)
        talk.session.ended("a number is missing", talk.moment)
        ether = talk.market.books["tETHUSD"]
        self.assertEqual((talk.book.nonce, ether.nonce, talk.book.counts.updates), (10, 11, 4))
        self.assertEqual((talk.book.state, ether.state), (FeedState.STALE, FeedState.STALE))

    def test_a_checksum_is_of_all_that_came_before_it(self) -> None:
        """A crossed book is live only while the last word on it was a checksum that agreed."""
        talk, _ = self._talk()
        crossed = Book()
        for row in (*json.loads(ROWS), [101.5, 1, 1]):
            crossed.apply(tuple(b"%g" % number for number in row))
        bodies = ["6,[98,1,1]", "7,[101.5,1,1]", "6,[97,1,1]", f'7,"cs",{crossed.checksum()}', *["6,[96,1,1]"] * 6]
        talk.session.received([f"[{body},{seq},9]".encode() for seq, body in enumerate(bodies, 4)], talk.moment)
        self.assertEqual((talk.book.book.crossed, talk.book.status_now), (True, FeedState.LIVE))

    def test_the_nonce_is_of_the_last_row(self) -> None:
        """Of many books by turns, and then of one alone."""
        talk, _ = self._talk()
        bodies = ["7,[98,1,1]", "6,[98,1,1]", '6,"hb"', *(f"7,[9{digit},1,1]" for digit in range(7))]
        talk.session.received([f"[{body},{seq},{seq}]".encode() for seq, body in enumerate(bodies, 4)], talk.moment)
        ether = talk.market.books["tETHUSD"]
        self.assertEqual((talk.book.nonce, talk.book.sent, talk.book.exchange_time), (13, 13, 13))
        self.assertEqual((ether.nonce, ether.sent, ether.exchange_time), (5, 5, 6))
        self.assertEqual((talk.book.counts.frames, ether.counts.frames), (9, 3))
        turns = [f"[{7 - seq % 2},[90,1,1],{seq},{seq}]".encode() for seq in range(14, 24)]
        talk.session.received(turns, talk.moment)
        self.assertEqual((talk.book.nonce, ether.nonce), (22, 23))
        self.assertEqual((talk.book.counts.updates, ether.counts.updates), (8 + 5, 1 + 5))
