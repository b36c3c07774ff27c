"""What clients of the relay have after a gap: one of the feed's, or one of their own making, who do not read in time."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from tests.out.relayed import ENDED, OB_CHECKSUM, SEQ_ALL, KeptBook, RelayClient, Relayed, trades
from tests.out.served import moment


class NotLive(SynchronousTestCase):
    """While a feed is not to be trusted."""

    def setUp(self) -> None:
        self.relayed = Relayed()
        self.client = self.relayed.connect()
        _, (self.channel_id, snapshot) = self.client.subscribe()
        self.kept = KeptBook(snapshot)

    def test_silence_then_difference(self) -> None:
        """20060 and nothing more, not even a heartbeat; then the difference, and 20061."""
        self.relayed.update(b"6000.75", b"1", b"1")
        self.relayed.lose()
        self.assertEqual([message["code"] for message in self.client.take()], [20060])
        self.relayed.update(b"6000.80", b"1", b"1")
        self.relayed.turn(60)
        self.assertEqual(self.client.take(), [])
        self.relayed.snapshot(3)
        self.relayed.turn()
        told = self.client.take()
        self.assertEqual([message["code"] for message in told if isinstance(message, dict)], [20061])
        self.assertTrue(self.kept.take(told).same_as(self.relayed.book))

    def test_no_end_is_announced_before_the_difference(self) -> None:
        """Also where streams rest after a look, as they do when an acknowledgement comes just before the snapshot."""
        for freq in ("F0", "F1"):
            client = self.relayed.connect()
            _, (_, snapshot) = client.subscribe(freq=freq)
            kept = KeptBook(snapshot)
            self.relayed.update(b"6000.75", b"1", b"1")
            self.relayed.turn(3)
            self.relayed.lose_and_begin_again()
            while (told := client.take())[-1:] != [ENDED]:
                self.assertFalse([message for message in told if message == ENDED])
                kept.take(told)
                self.relayed.clock.advance(0.001)
            self.assertTrue(kept.take(told).same_as(self.relayed.book), freq)
            self.relayed.snapshot()

    def test_no_end_is_announced_before_the_difference_of_each_channel(self) -> None:
        """Nothing is missing of the trades, and the book waits for its turn."""
        client = self.relayed.connect()
        _, (_, snapshot) = client.subscribe(freq="F1")
        kept = KeptBook(snapshot)
        client.subscribe("trades")
        self.relayed.update(b"6000.75", b"1", b"1")
        self.relayed.turn(3)
        kept.take(client.take())
        self.relayed.lose()
        self.relayed.tape.snapshot(trades(3, 2, 1), self.relayed.now())
        self.relayed.turn()
        self.relayed.update(b"6000.80", b"1", b"1")
        self.relayed.snapshot(3)
        while (told := client.take())[-1:] != [ENDED]:
            kept.take(told)
            self.relayed.clock.advance(0.001)
        self.assertTrue(kept.take(told).same_as(self.relayed.book))

    def test_no_end_is_announced_to_who_does_not_read_before_the_difference(self) -> None:
        self.client.choke()
        self.relayed.lose()
        self.relayed.snapshot(3)
        self.relayed.turn(2)
        self.client.breathe()
        self.relayed.turn(2)
        told = self.client.take()
        self.assertEqual(told[-1], ENDED)
        self.assertTrue(self.kept.take(told).same_as(self.relayed.book))

    def test_who_subscribes_after_a_gap_is_told_nothing_of_before(self) -> None:
        """At 20061 a client should subscribe again. The new snapshot is one."""
        for freq in ("F0", "F1"):
            self.client.subscribe(freq=freq)  # so that there is a stream
            self.relayed.snapshot()
            self.relayed.turn(3)
            self.relayed.lose_and_begin_again()
            other = self.relayed.connect()
            told = other.subscribe(freq=freq)
            while not told:
                self.relayed.clock.advance(0.001)
                told = other.take()
            snapshot = next(message[1] for message in told if isinstance(message, list))
            self.assertTrue(KeptBook(snapshot).same_as(self.relayed.book), freq)

    def test_crossed_book_waits(self) -> None:
        """A book that is crossed for a moment is not told, and not announced either."""
        self.relayed.update(b"6002.5", b"1", b"1")
        self.relayed.turn(0.5)
        self.assertEqual(self.client.take(), [])
        other = self.relayed.connect()
        self.assertEqual(other.subscribe(), [])
        self.relayed.update(b"6002.5", b"0", b"1")
        self.relayed.turn(1.5)
        self.assertEqual(other.take()[0]["event"], "subscribed")
        self.assertTrue(self.kept.take(self.client.take()).same_as(self.relayed.book))

    def test_crossed_book_waits_beside_a_channel_that_does_not(self) -> None:
        self.relayed.update(b"6002.5", b"1", b"1")
        other = self.relayed.connect()
        other.subscribe("trades")
        self.assertEqual(other.subscribe(), [])
        self.relayed.update(b"6002.5", b"0", b"1")
        self.relayed.turn(1.5)
        self.assertEqual([one["channel"] for one in other.take() if isinstance(one, dict)], ["book"])

    def test_who_leaves_what_is_not_live_is_told_that_all_else_is(self) -> None:
        """By its rules it trusts nothing from 20060 to 20061."""
        self.client.subscribe("trades")
        self.relayed.book.lost("wrong checksum", self.relayed.now())
        self.relayed.turn()
        self.assertEqual([message["code"] for message in self.client.take()], [20060])
        told = self.client.ask(event="unsubscribe", chanId=self.channel_id)
        self.assertEqual([message["event"] for message in told], ["unsubscribed", "info"])
        self.assertEqual(told[-1], ENDED)

    def test_checksum_uncrosses(self) -> None:
        """If the exchange's checksum says that it should be crossed, it is told."""
        self.relayed.update(b"6002.5", b"1", b"1")
        self.relayed.verify()
        self.relayed.turn()
        self.assertTrue(self.kept.take(self.client.take()).same_as(self.relayed.book))

    def test_late_heartbeat(self) -> None:
        """A feed that is only late is live again with the next frame."""
        self.relayed.book.silent(self.relayed.now())
        self.relayed.turn()
        self.relayed.book.seen(None, self.relayed.now())
        self.relayed.turn()
        self.assertEqual([message["code"] for message in self.client.take()], [20060, 20061])

    def test_trades_after_a_gap(self) -> None:
        """Trades that the new snapshot brings are told once, those that were told before are not."""
        self.client.subscribe("trades")
        self.relayed.execute(4)
        self.relayed.execute(4, confirmed=True)
        self.relayed.turn()
        self.relayed.lose()
        self.client.take()
        relayed = self.relayed
        relayed.tape.snapshot(trades(6, 5, 4, 3), relayed.now())
        relayed.turn()
        frames = [message[1:] for message in self.client.take() if isinstance(message, list)]
        self.assertEqual([(kind, row[0]) for kind, row in frames], [("te", 5), ("tu", 5), ("te", 6), ("tu", 6)])

    def test_a_trade_comes_once_as_te_and_once_as_tu(self) -> None:
        """Also where a gap came between the two, or the exchange sends one of them twice, or `tu` alone after a gap."""
        self.client.subscribe("trades")
        self.relayed.execute(4)
        self.relayed.turn()
        self.relayed.lose()
        self.client.take()
        self.relayed.tape.snapshot(trades(5, 4, 3), self.relayed.now())
        for id, confirmed in ((4, True), (5, True), (6, True), (6, False), (7, False), (7, False)):
            self.relayed.execute(id, confirmed)
        self.relayed.lose()
        self.relayed.tape.snapshot(trades(7, 6, 5), self.relayed.now())
        self.relayed.turn()
        frames = [message[1:] for message in self.client.take() if isinstance(message, list)]
        told = [("tu", 4), ("te", 5), ("tu", 5), ("te", 6), ("tu", 6), ("te", 7), ("tu", 7)]
        self.assertEqual([(kind, row[0]) for kind, row in frames], told)

    def test_new_feed(self) -> None:
        """What is carried later is watched too."""
        self.relayed.market.forget(self.relayed.book.subscription)
        self.relayed.lose()
        self.relayed.market.carry(Subscription(ChannelName.BOOK, "tBTCUSD", length=100), moment())
        self.client.take()
        self.assertEqual([message["code"] for message in self.client.subscribe(len="100")], [20060])


class Slow(SynchronousTestCase):
    """Clients that do not read as fast as they are told."""

    def setUp(self) -> None:
        self.relayed = Relayed()
        self.slow, self.quick = self.relayed.connect(), self.relayed.connect()
        _, (_, snapshot) = self.slow.subscribe()
        self.kept = KeptBook(snapshot)
        self.quick.subscribe()
        self.slow.choke()

    def test_book_is_conflated(self) -> None:
        """Nothing is kept for it but where it was; when it reads again, one difference makes it right."""
        for step in range(100):
            self.relayed.update(b"6000.%d" % (step % 7 + 1), b"1", b"%d" % (step + 1))
            self.relayed.turn()
        self.assertEqual(self.slow.take(), [])
        self.assertGreater(len(self.quick.take()), 80)
        self.slow.breathe()
        self.relayed.turn(0.3)
        told = self.slow.take()
        self.assertLess(len(told), 20)
        self.assertTrue(self.kept.take(told).same_as(self.relayed.book))

    def test_conflated_over_a_gap(self) -> None:
        """Also when the book began anew meanwhile."""
        self.relayed.update(b"6000.75", b"1", b"1")
        self.relayed.turn()
        self.relayed.lose()
        self.relayed.snapshot(4)
        self.relayed.turn()
        self.slow.breathe()
        self.relayed.turn(0.3)
        self.assertTrue(self.kept.take(self.slow.take()).same_as(self.relayed.book))

    def test_trades_are_kept(self) -> None:
        """None is left out."""
        self.slow.breathe()
        self.slow.subscribe("trades")
        self.slow.choke()
        for id in range(4, 500):
            self.relayed.execute(id)
            if id % 50 == 0:
                self.relayed.turn()
        self.slow.breathe()
        self.relayed.turn(0.3)
        self.assertEqual([message[2][0] for message in self.slow.take()], list(range(4, 500)))

    def test_too_many_trades(self) -> None:
        """Past the bound the connection is closed, with the reason."""
        self.slow.breathe()
        self.slow.subscribe("trades")
        self.slow.choke()
        for id in range(4, 1100):
            self.relayed.execute(id)
        self.relayed.turn()
        self.slow.take()
        self.assertEqual(self.slow.close, (1008, "too slow: more than 1000 messages of trades are waiting"))
        self.assertIsNone(self.quick.close)

    def test_never_reads(self) -> None:
        """Who reads nothing for seconds is told why, and cut."""
        self.relayed.turn(6)
        self.slow.take()
        self.assertEqual(self.slow.close, (1008, "too slow: 64 KiB and more were unread for 5 s"))
        self.relayed.turn(5)
        self.slow.take()
        self.assertTrue(self.slow.lost)
        self.assertEqual(self.relayed.relay.status().connections, 1)
        self.assertEqual(self.relayed.relay.status().ended, {"too slow": 1})

    def test_is_not_listened_to(self) -> None:
        """What it asks would have to be answered."""
        self.assertEqual(self.slow.transport.producerState, "paused")

    def test_a_fault_of_ours(self) -> None:
        """A reader who cannot be told because of a bug is ended, with a word; the others go on."""
        self.patch(self.slow.protocol, "send_raw", lambda data: 1 / 0)
        self.slow.breathe()
        self.relayed.update(b"6000.75", b"1", b"1")
        self.relayed.turn()
        self.slow.take()
        self.assertEqual(self.slow.close, (1008, "this is a fault of the server"))
        self.assertTrue(self.quick.take())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 12), st.sampled_from([b"0.5", b"7e-7", b"-2", b"-1e-8"])),
        st.tuples(st.just("delete"), st.integers(0, 12), st.sampled_from([b"1", b"-1"])),
        st.tuples(st.sampled_from(["choke", "breathe", "lose", "snapshot", "verify", "turn", "second"])),
    ),
    max_size=60,
)


class Whatever(SynchronousTestCase):
    """Whatever happens to the market and to the client."""

    @settings(max_examples=150)
    @given(events=_EVENTS, length=st.sampled_from(["1", "25"]), freq=st.sampled_from(["F0", "F1"]))
    def test_the_client_has_the_book(self, events: list[tuple[Any, ...]], length: str, freq: str) -> None:
        """Every number comes once, no level is deleted that is not there, and in the end the book is the feed's."""
        relayed = Relayed(levels=2)
        client = relayed.connect()
        client.ask(event="conf", flags=SEQ_ALL | OB_CHECKSUM)
        _, (_, snapshot, sequence) = client.subscribe(len=length, freq=freq)
        kept = KeptBook(snapshot)
        for event in [*events, ("snapshot",), ("breathe",), ("second",), ("second",), ("second",)]:
            _befall(relayed, client, event)
            told = client.take()
            for message in told:
                if isinstance(message, list):
                    sequence += 1
                    self.assertEqual(message[-1], sequence)
            kept.take(told)
        self.assertTrue(kept.same_as(relayed.book, int(length)))


def _befall(relayed: Relayed, client: RelayClient, event: tuple[Any, ...]) -> None:
    match event:
        case "set", level, amount:
            relayed.update(b"%d.5" % (5995 + level), b"1", amount)
        case "delete", level, side:
            relayed.update(b"%d.5" % (5995 + level), b"0", side)
        case ("choke",) if not client.protocol.choked:
            client.choke()
        case ("breathe",) if client.protocol.choked:
            client.breathe()
        case ("lose",):
            relayed.lose()
        case ("snapshot",):
            relayed.snapshot(3)
        case ("verify",):
            relayed.verify()
        case ("turn",):
            relayed.turn()
        case ("second",):
            relayed.turn(1)
