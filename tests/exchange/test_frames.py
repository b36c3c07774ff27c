"""What is done to frames; as clients meet it, `test_faulty.py` shows."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Trade
from bfxtwist.exchange.faults import BY_NAME, Faults
from bfxtwist.exchange.frames import Spoiler, junk
from bfxtwist.exchange.venue import checksum, confirmed, executed, snapshot, update

TRADE = Trade(1, 2, b"3", b"4")
BID, ASK, GONE = update((b"10", b"1", b"5")), update((b"11", b"2", b"-5")), update((b"9", b"0", b"1"))


class SpoilerTest(SynchronousTestCase):
    """One connection's."""

    def setUp(self) -> None:
        """Nothing goes wrong yet."""
        self.faults = Faults()
        self.spoiler = Spoiler(self.faults)

    def test_nothing_is_touched_without_a_fault(self) -> None:
        items = [snapshot([]), GONE, BID, ASK, checksum(5), executed(TRADE), confirmed(TRADE)]
        self.assertEqual(self.spoiler.spoil(1, items), items)

    def test_a_corrupted_level_stays_wrong_until_the_next_snapshot(self) -> None:
        self.faults.set("corrupt-level")
        wrong = update((b"11", b"2", b"-9.87654321"))
        self.assertEqual(self.spoiler.spoil(1, [GONE, ASK, BID]), [GONE, wrong, BID])
        self.assertEqual(self.spoiler.spoil(1, [ASK, BID]), [BID])
        self.assertEqual(self.spoiler.spoil(2, [ASK]), [ASK])
        self.spoiler.spoil(1, [snapshot([])])
        self.assertEqual(self.spoiler.spoil(1, [ASK]), [ASK])

    def test_a_cross_is_a_bid_at_the_price_of_an_ask(self) -> None:
        self.faults.set("crossed")
        self.assertEqual(self.spoiler.spoil(1, [BID, ASK, ASK]), [BID, ASK, update((b"11", b"2", b"0.5")), ASK])
        self.faults.set("crossed")
        raw = update((b"60000000001", b"64250", b"-1"))
        self.assertEqual(self.spoiler.spoil(1, [raw])[1], update((b"60000000002", b"64250", b"0.5")))
        self.faults.set("crossed")
        tiny = update((b"7e-7", b"2", b"-5"))
        self.assertEqual(self.spoiler.spoil(1, [tiny])[1], update((b"7e-7", b"2", b"0.5")))

    def test_what_is_deleted_though_it_was_never_there_is_a_price_or_an_order(self) -> None:
        for row, ghost in ((ASK, b"123456.789"), (update((b"60000000001", b"64250", b"-1")), b"123456789")):
            self.faults.set("ghost-delete")
            self.assertEqual(self.spoiler.spoil(1, [row]), [row, update((ghost, b"0", b"1"))])

    def test_every_kind_of_junk_is_a_frame(self) -> None:
        for kind in BY_NAME["junk"].choices:
            self.assertIn(junk(kind, 5, 6)[0], (0x81, 0x82), kind)
