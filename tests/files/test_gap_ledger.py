"""The ledger is read as `core/gaps.py` writes it, and damage in it is told."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import LEDGER_HEADER, Gap, GapState, Mark
from bfxtwist.files.findings import Findings, Kind
from bfxtwist.files.gap_ledger import LedgerLine, read_gap_ledger
from tests.files.rows import FIRST_MTS


def gap(start: int, end: int, cause: str = "REST did not answer", state: GapState = GapState.OPEN, filled: int = 0) -> Gap:
    """A gap between two trades, as tests of this folder make them (`rows.arrival`)."""
    noticed = (FIRST_MTS + end * 1000) * 1000
    closed = None if state is GapState.OPEN else noticed + 1_000_000
    left, right = Mark(start, FIRST_MTS + start * 1000), Mark(end, FIRST_MTS + end * 1000)
    return Gap(left, right, cause, noticed, left, start, state, filled, closed)


class Reading(SynchronousTestCase):
    def read(self, text: bytes) -> tuple[list[LedgerLine], Findings]:
        path, findings = Path(self.mktemp()), Findings()
        path.write_bytes(text)
        return read_gap_ledger(path, findings), findings

    def test_no_ledger_means_no_gaps(self) -> None:
        self.assertEqual(read_gap_ledger(Path(self.mktemp()), Findings()), [])

    @given(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.sampled_from(GapState), st.integers(0, 10**6))
    def test_what_the_writer_writes(self, cause: str, state: GapState, filled: int) -> None:
        [line], findings = self.read(LEDGER_HEADER + gap(3, 9, cause, state, filled).line())
        self.assertEqual((line.start_id, line.end_id, line.state, line.filled), (3, 9, state, filled))
        self.assertEqual(line.cause, cause.replace('"', "'"))
        self.assertEqual((bool(line.closed), line.start_time), (state is not GapState.OPEN, "2018-11-12T18:05:50.738Z"))
        self.assertFalse(findings.counts)

    def test_the_last_line_about_a_gap_counts(self) -> None:
        later = gap(3, 9, state=GapState.FILLED, filled=4)
        lines, _ = self.read(LEDGER_HEADER + gap(3, 9).line() + gap(11, 12).line() + later.line())
        self.assertEqual([(line.start_id, line.state) for line in lines], [(3, GapState.FILLED), (11, GapState.OPEN)])

    def test_bytes_that_are_no_text_are_read_all_the_same(self) -> None:
        [line], findings = self.read(LEDGER_HEADER + gap(3, 9).line().replace(b"REST", b"\xff\xfe"))
        self.assertEqual((line.cause, findings.counts), (r"\xff\xfe did not answer", {}))

    def test_what_a_spreadsheet_has_saved_says_the_same(self) -> None:
        """Left out of a merge as damage, the gaps in it would be forgotten."""
        text = LEDGER_HEADER + gap(3, 9).line() + gap(11, 12, state=GapState.LOST).line()
        expected, _ = self.read(text)
        for saved in (text.replace(b"\n", b"\r\n"), b"\xef\xbb\xbf" + text.replace(b"\n", b"\r\n").replace(b'"', b"")):
            lines, findings = self.read(saved)
            self.assertEqual((lines, findings.counts), (expected, {}))
        cells = [line.replace(b'"', b"").split(b",") for line in text.splitlines()]
        for quote, delimiter in ((b'"', b","), (b"", b";"), (b'"', b";"), (b"", b"\t")):
            lines, findings = self.read(b"".join(delimiter.join(quote + c + quote for c in row) + b"\n" for row in cells))
            self.assertEqual((lines, findings.counts), (expected, {}), (quote, delimiter))

    def test_damage_is_told_by_line(self) -> None:
        good = gap(3, 9).line()
        for text, where in (
            (b"something else\n" + good, 1),
            (b"something\relse\n" + good, 1),
            (LEDGER_HEADER[:-1], 1),
            (b"", 1),
            (LEDGER_HEADER + good + b"1,2,3\n", 3),
            (LEDGER_HEADER + good.replace(b"open", b"ajar"), 2),
            (LEDGER_HEADER + good.replace(b",3,", b",three,"), 2),
            (LEDGER_HEADER + good.replace(b"2018-11", b"2018-31"), 2),
            (LEDGER_HEADER + good[:-1], 2),
            (LEDGER_HEADER + good[:50], 2),
        ):
            _, findings = self.read(text)
            [fault] = findings.shown
            self.assertEqual((fault.kind, fault.where.rpartition(":")[2]), (Kind.LEDGER, str(where)), text)
