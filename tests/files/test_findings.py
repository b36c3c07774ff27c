"""However much is wrong with a recording, all of it is counted, and enough of it is shown to find it."""

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER
from bfxtwist.files.findings import Fault, Findings, Kind
from bfxtwist.files.verify import verify
from tests.files.rows import recording


class FindingsTest(SynchronousTestCase):
    def test_faults_are_all_counted_and_a_few_shown(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(HEADER + b"junk\n" * 1000)
        report = verify(recording(path))
        self.assertEqual((report.findings.counts[Kind.ROW], len(report.findings.shown)), (1000, 5))
        self.assertEqual(report.findings.unshown(), [(Kind.ROW, 995)])

    def test_a_few_of_each_kind_the_first_ones(self) -> None:
        """The one gap is not hidden by a thousand damaged rows before it."""
        findings = Findings()
        for number in range(1, 8):
            findings.add(Kind.ROW, f"trade.csv:{number}", "is no row")
        findings.add(Kind.GAP, "trade.gaps.csv:2", "is open")
        for number in range(1, 6):
            findings.add(Kind.DUPLICATE, f"id {number}", "stands twice")
        kinds = [Kind.ROW] * 5 + [Kind.GAP] + [Kind.DUPLICATE] * 5
        self.assertEqual([fault.kind for fault in findings.shown], kinds)
        self.assertEqual([fault.where for fault in findings.shown[:5]], [f"trade.csv:{number}" for number in range(1, 6)])
        self.assertEqual(findings.unshown(), [(Kind.ROW, 2)])

    def test_a_fault_says_where_it_is(self) -> None:
        self.assertEqual(str(Fault(Kind.ROW, "trade.csv:7", "is no row")), "trade.csv:7: is no row")
