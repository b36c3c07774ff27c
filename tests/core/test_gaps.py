"""The ledger of gaps."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import LEDGER_HEADER, Gap, GapLedger, GapState, Mark
from bfxtwist.core.trade_rows import BYTE_ORDER_MARK

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
        self.assertEqual([*ledger.counts().values()], [0, 1, 0])
        self.assertEqual(ledger.text().count(b"\n"), 2)

    def test_a_count_never_falls(self) -> None:
        """Of a gap that is fetched once more, its rows being on file."""
        ledger, opened, filled = GapLedger(), gap("down"), gap("down")
        ledger.record(opened)
        filled.filled = 12
        filled.close(GapState.FILLED, NOTICED + 10_000_000)
        ledger.record(filled)
        opened.close(GapState.FILLED, NOTICED + 20_000_000)
        ledger.record(opened)
        [line] = ledger.text().splitlines()[1:]
        self.assertIn(b",filled,12,", line)
        self.assertTrue(line.endswith(opened.line().rsplit(b",", 1)[1].strip()), "it was closed then")
        self.assertEqual(opened.filled, 0)

    def test_what_is_open_can_be_fetched_again(self) -> None:
        """From its beginning, as it was, but for what was filled."""
        ledger, one, other = GapLedger(), gap('it "said"\nno'), gap("restart")
        self.assertFalse(ledger.names(one))
        for each in (one, other):
            ledger.record(each)
        one.left, one.filled = END, 7
        ledger.record(one)
        ledger = GapLedger(ledger.text())
        first, second = ledger.open_gaps()
        self.assertEqual((first.line(), first.left, first.filled), (one.line(), START, 7))
        self.assertEqual(second, other)
        self.assertEqual(ledger.open_gaps(but=[one]), [second])
        self.assertTrue(ledger.names(first))
        first.close(GapState.LOST, NOTICED)
        ledger.record(first)
        self.assertEqual(ledger.open_gaps(), [second])
        self.assertTrue(ledger.names(one))

    def test_a_line_whose_times_are_none_is_not_fetched_again(self) -> None:
        """Somebody has rewritten them."""
        text = LEDGER_HEADER + gap().line()
        for time in (b"2018-11-12T18:05:47.738Z", b"2018-11-12T18:07:12.000Z", b"2018-11-12T18:08:20.000Z"):
            for other in (b"12.11.2018 18:05", b"\xff"):
                self.assertEqual(GapLedger(text.replace(time, other)).open_gaps(), [])

    def test_two_causes_are_two_gaps(self) -> None:
        """Of one interval, noticed at once: a part that was filled does not hide one that is lost."""
        ledger = GapLedger()
        for cause, state in (("does not reach back", GapState.LOST), ("restart", GapState.FILLED)):
            one = gap(cause)
            one.close(state, NOTICED)
            ledger.record(one)
        self.assertEqual([*ledger.counts().values()], [0, 1, 1])

    def test_a_cause_that_reads_like_a_state_is_none(self) -> None:
        """Texts of servers get in there."""
        ledger = GapLedger()
        ledger.record(gap("the file was cut,open,lost,filled,again"))
        self.assertEqual(ledger.counts(), {GapState.OPEN: 1, GapState.FILLED: 0, GapState.LOST: 0})

    def test_any_cause_makes_one_line(self) -> None:
        """Texts of servers get in there."""
        ledger = GapLedger()
        ledger.record(gap('a "quote",\nand a line,\rand one of a Macintosh'))
        self.assertEqual(GapLedger(ledger.text()).text(), ledger.text())

    def test_what_is_no_ledger(self) -> None:
        """Another header, or a line that is none of its."""
        for text in (b"a,b\n", LEDGER_HEADER + b"1,2,3\n", LEDGER_HEADER[:-3]):
            self.assertRaises(ValueError, GapLedger, text)
        self.assertEqual(GapLedger(LEDGER_HEADER).text(), LEDGER_HEADER)

    def test_what_a_spreadsheet_has_saved_is_told_from_what_is_no_ledger(self) -> None:
        """It is refused: times and numbers in it may have been rewritten, too. Verify reads it all the same."""
        text = LEDGER_HEADER + gap().line()
        quoted = b'"' + LEDGER_HEADER[:-1].replace(b",", b'","') + b'"\n'
        for saved, where in (
            (quoted + gap().line(), "line 1 "),
            (text.replace(b",", b";"), "line 1 "),
            (text.replace(b"\n", b"\r\n"), "line 1 "),
            (BYTE_ORDER_MARK + text, "line 1 "),
            (text.replace(b'"', b""), "line 2 "),
        ):
            error = str(self.assertRaises(ValueError, GapLedger, saved))
            self.assertTrue(error.startswith(where), error)
            self.assertIn("as a spreadsheet saves it", error)
        self.assertIn("name another folder", str(self.assertRaises(ValueError, GapLedger, b"a,b\n")))
