"""The ledger of gaps."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import LEDGER_HEADER, Gap, GapLedger, GapState, Mark

START, END = Mark(310628121, 1542045947738), Mark(310629002, 1542046032000)
NOTICED = 1542046100000000


def gap(cause: str = "REST did not answer") -> Gap:
    """One that is open."""
    return Gap(START, END, cause, NOTICED, START, START.id)


class LedgerTests(SynchronousTestCase):
    """`GapLedger`."""

    def test_line(self) -> None:
        """Times in words, the cause in quotes."""
        ledger = GapLedger()
        ledger.record(gap())
        line = (
            b'2018-11-12T18:05:47.738Z,2018-11-12T18:07:12.000Z,310628121,310629002,"REST did not answer",open,0,'
            b"2018-11-12T18:08:20.000Z,\n"
        )
        self.assertEqual(ledger.text(), LEDGER_HEADER + line)

    def test_last_word_on_a_gap_replaces_the_ones_before(self) -> None:
        """Also those of an earlier run."""
        ledger, one = GapLedger(), gap()
        ledger.record(one)
        ledger = GapLedger(ledger.text())
        one.filled = 12
        one.close(GapState.FILLED, NOTICED + 5_000_000)
        ledger.record(one)
        self.assertTrue(ledger.text().endswith(b',filled,12,2018-11-12T18:08:20.000Z,2018-11-12T18:08:25.000Z\n'))
        self.assertEqual([ledger.count(state) for state in GapState], [0, 1, 0])
        self.assertEqual(ledger.text().count(b"\n"), 2)

    def test_two_causes_are_two_gaps(self) -> None:
        """Of one interval, noticed at once: a part that was filled does not hide one that is lost."""
        ledger = GapLedger()
        for cause, state in (("does not reach back", GapState.LOST), ("restart", GapState.FILLED)):
            one = gap(cause)
            one.close(state, NOTICED)
            ledger.record(one)
        self.assertEqual([ledger.count(state) for state in GapState], [0, 1, 1])

    def test_any_cause_makes_one_line(self) -> None:
        """Texts of servers get in there."""
        ledger = GapLedger()
        ledger.record(gap('a "quote",\nand a line'))
        self.assertEqual(GapLedger(ledger.text()).text(), ledger.text())

    def test_what_is_no_ledger(self) -> None:
        """Another header, or a line that is none of its."""
        for text in (b"a,b\n", LEDGER_HEADER + b"1,2,3\n", LEDGER_HEADER[:-3]):
            self.assertRaises(ValueError, GapLedger, text)
        self.assertEqual(GapLedger(LEDGER_HEADER).text(), LEDGER_HEADER)
