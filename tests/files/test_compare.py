"""Comparing with history finds each trade that is missing, changed or made up, and excuses what the ledger names."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import GapLedger, GapState
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import Arrival
from bfxtwist.files.compare import compare
from bfxtwist.files.findings import Kind
from bfxtwist.files.rest import Answer
from bfxtwist.files.verify import Report, verify
from tests.files.rows import FIRST_MTS, arrival, recording, write
from tests.files.test_gap_ledger import gap
from tests.files.test_rest import Exchange, trade

_LATER = FIRST_MTS + 86_400_000


class Comparing(SynchronousTestCase):
    def compared(
        self, rows: list[Arrival], exchange: Exchange, now: int = _LATER, ledger: GapLedger | None = None
    ) -> Report:
        path = write(Path(self.mktemp()) / "trade.csv", rows)
        if ledger is not None:
            path.with_name("trade.gaps.csv").write_bytes(ledger.text())
        report = verify(recording(path), allow_gaps=True)
        self.shares: list[float] = []
        compare(report, exchange.history(), Path(self.mktemp()), now, self.shares.append)
        return report

    def found(self, report: Report) -> list[tuple[Kind, str]]:
        return [(fault.kind, fault.where) for fault in report.findings.shown]

    @given(st.sets(st.integers(1, 400), min_size=1), st.sets(st.integers(1, 400)))
    def test_the_difference_of_two_sets_of_trades(self, recorded: set[int], published: set[int]) -> None:
        report = self.compared([arrival(n) for n in sorted(recorded)], Exchange([trade(n) for n in published]))
        within = {n for n in published if min(recorded) <= n <= max(recorded)}
        counts = report.findings.counts
        self.assertEqual(report.compared, len(recorded & published))
        self.assertEqual((counts[Kind.MISSING], counts[Kind.UNKNOWN]), (len(within - recorded), len(recorded - published)))
        self.assertEqual(counts.total(), len(within - recorded) + len(recorded - published))

    def test_equal_ones_are_clean_and_progress_is_told(self) -> None:
        report = self.compared([arrival(n) for n in range(1, 500)], Exchange([trade(n) for n in range(1, 500)]))
        self.assertEqual((report.clean, report.compared), (True, 499))
        self.assertEqual((self.shares[0], self.shares[-1], sorted(self.shares)), (0.0, 1.0, self.shares))

    def test_another_order_and_other_times_of_the_same_trades_are_no_difference(self) -> None:
        rows = [arrival(1, FIRST_MTS + 3), arrival(2, FIRST_MTS + 7), arrival(3, FIRST_MTS + 60)]
        told = [trade(2, FIRST_MTS), trade(1, FIRST_MTS + 11), trade(3, FIRST_MTS + 58)]
        self.assertTrue(self.compared(rows, Exchange(told)).clean)

    def test_the_same_number_written_otherwise_is_no_difference(self) -> None:
        rows = [arrival(1, deal=(b"-0.00000028", b"7e-7"))]
        told = [Trade(1, FIRST_MTS + 1000, b"-2.8e-7", b"0.00000070")]
        self.assertTrue(self.compared(rows, Exchange(told)).clean)

    def test_each_kind_of_difference_is_named(self) -> None:
        rows = [arrival(n) for n in range(1, 6)]
        told = [
            trade(1),
            Trade(2, FIRST_MTS + 2000, b"-0.5", b"6443.1"),
            Trade(3, FIRST_MTS + 3000, b"0.5", b"6443.2"),
            Trade(4, FIRST_MTS + 4000, b"0.51", b"6443.1"),
            Trade(5, FIRST_MTS + 8000, b"0.5", b"6443.1"),
        ]
        report = self.compared(rows, Exchange(told))
        self.assertEqual(report.findings.counts, {Kind.DIFFERENT: 4})
        self.assertEqual([(fault.where, fault.text.split()[0]) for fault in report.findings.shown],
                         [("id 2", "side"), ("id 3", "price"), ("id 4", "amount"), ("id 5", "time")])  # fmt: skip

    def test_what_the_ledger_names_is_excused(self) -> None:
        ledger = GapLedger()
        ledger.record(gap(3, 8, state=GapState.LOST))
        ledger.record(gap(12, 18, state=GapState.FILLED, filled=0))
        rows = [arrival(n) for n in (*range(1, 4), *range(8, 15), *range(16, 20))]
        report = self.compared(rows, Exchange([trade(n) for n in range(1, 20)]), ledger=ledger)
        self.assertEqual((self.found(report), report.excused), ([(Kind.MISSING, "id 15")], 4))

    def test_what_has_just_happened_may_still_come(self) -> None:
        rows = [arrival(n) for n in range(1, 300) if n not in (100, 290)]
        told = [trade(n) for n in range(1, 295)]
        report = self.compared(rows, Exchange(told), now=FIRST_MTS + 300_000)
        self.assertEqual(self.found(report), [(Kind.MISSING, "id 100")])

    def test_a_history_that_ends_is_told_and_what_it_showed_counts(self) -> None:
        exchange = Exchange([], *[Answer(500, b"")] * 99)
        report = self.compared([arrival(1)], exchange)
        self.assertEqual(report.findings.counts, {Kind.HISTORY: 1})
        self.assertIn("status 500", report.findings.shown[0].text)

    def test_an_empty_history_and_an_empty_recording(self) -> None:
        report = self.compared([arrival(n) for n in range(1, 2000)], Exchange([]))
        self.assertEqual(report.findings.counts, {Kind.UNKNOWN: 1999})
        report = self.compared([], Exchange([trade(1)]))
        self.assertEqual((report.clean, report.compared), (True, None))

    def test_a_repeated_row_is_not_made_up_as_well(self) -> None:
        report = self.compared([arrival(1), arrival(1), arrival(2)], Exchange([trade(1), trade(2)]))
        self.assertEqual(report.findings.counts, {Kind.DUPLICATE: 1})
