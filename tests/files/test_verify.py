"""A faithful recording is clean, and each fault that is planted in one is found and named."""

import gzip
from math import inf
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import GapLedger, GapState
from bfxtwist.core.trade_rows import HEADER, Arrival
from bfxtwist.files.findings import Kind
from bfxtwist.files.trade_file import MissingDecompressor, zstandard
from bfxtwist.files.verify import Report, verify
from tests.files.rows import FIRST_MTS, arrival, lines, recording, trades, write
from tests.files.test_gap_ledger import gap
from tests.out.recording import live


class _Verifying(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()) / "trade.csv"

    def verified(self, content: bytes | None = None, *more: Path, allow_gaps: bool = False) -> Report:
        if content is not None:
            self.path.parent.mkdir(exist_ok=True)
            self.path.write_bytes(HEADER + content)
        return verify(recording(self.path, *more), allow_gaps=allow_gaps)

    def kinds(self, content: bytes, *more: Path) -> dict[Kind, int]:
        return dict(self.verified(content, *more).findings.counts)


class Checksums(_Verifying):
    def test_parts_without_one_are_named(self) -> None:
        """As earlier builds of the daemon wrote them."""
        try:
            zstd = zstandard()
        except MissingDecompressor:
            self.skipTest("neither Python 3.14 nor backports.zstd is here")
        live = write(self.path, [arrival(3)])
        for number, checksum in ((1, 0), (2, 1)):
            options = {zstd.CompressionParameter.checksum_flag: checksum}
            packed = zstd.compress(HEADER + lines([arrival(number)]), options=options)
            live.with_name(f"trade-2026-11-2{number}.csv.zst").write_bytes(packed)
        report = verify(recording(self.path.parent))
        self.assertEqual((report.clean, report.rows), (True, 3))
        self.assertEqual([part.name for part in report.without_checksum], ["trade-2026-11-21.csv.zst"])


class Rows(_Verifying):
    @given(st.lists(trades(), max_size=30, unique_by=lambda arrival: arrival.trade.id))
    def test_any_trades_in_the_order_in_which_they_came_are_clean(self, arrivals: list[Arrival]) -> None:
        arrivals.sort(key=lambda arrival: arrival.wall)
        report = self.verified(lines(arrivals))
        self.assertEqual((report.findings.shown, report.rows), ([], len(arrivals)))
        times = [arrival.trade.mts for arrival in arrivals]
        self.assertEqual(report.late, sum(time < max(times[:n], default=0) for n, time in enumerate(times)))
        self.assertEqual((report.first, report.last), (min(times, default=0) * 1000, max(times, default=0) * 1000))

    @given(st.lists(trades(), max_size=30, unique_by=lambda arrival: arrival.trade.id))
    def test_any_trades_in_the_order_in_which_they_happened_are_clean(self, arrivals: list[Arrival]) -> None:
        arrivals.sort(key=lambda arrival: (arrival.trade.mts, arrival.trade.id))
        report = self.verified(lines(arrivals))
        self.assertEqual((report.findings.shown, report.late), ([], 0))

    @given(st.lists(st.integers(1, 300), min_size=2, max_size=60, unique=True), st.data())
    def test_every_repeated_id_is_found_where_it_stands(self, ids: list[int], data: st.DataObject) -> None:
        ids.sort()
        repeated = data.draw(st.sampled_from(ids))
        report = self.verified(lines([*map(arrival, ids), arrival(repeated)]))
        places = [fault.where for fault in report.findings.shown if fault.kind is Kind.DUPLICATE]
        self.assertEqual(places, [f"{self.path}:{len(ids) + 2}"])

    def test_an_id_of_one_part_may_not_stand_in_another(self) -> None:
        part = self.path.with_name("trade-2026-11-21.csv.gz")
        part.parent.mkdir()
        part.write_bytes(gzip.compress(HEADER + lines(map(arrival, range(1, 10)))))
        self.assertEqual(self.kinds(lines(map(arrival, range(10, 20))), part), {})
        self.assertEqual(self.kinds(lines(map(arrival, range(9, 20))), part), {Kind.DUPLICATE: 1})

    def test_a_row_of_another_pair_is_foreign(self) -> None:
        other = lines([arrival(2)], "tETHUSD")
        report = self.verified(lines([arrival(1)]) + other + lines([arrival(3)]))
        self.assertEqual(dict(report.findings.counts), {Kind.FOREIGN: 1})
        self.assertIn("ETHUSD in a recording of bitfinex BTCUSD", report.findings.shown[0].text)
        self.assertEqual(report.rows, 2)

    def test_a_pair_stands_under_its_own_exchange(self) -> None:
        self.assertEqual(self.kinds(lines([arrival(1)], "tBTCF0:USTF0")), {})
        moved = lines([arrival(1)]).replace(b"bitfinex,", b"bitfinex-derivatives,")
        self.assertEqual(self.kinds(moved), {Kind.FOREIGN: 1})
        self.assertEqual(self.kinds(lines([arrival(1)]).replace(b"BTCUSD", b"X")), {Kind.FOREIGN: 1})

    def test_times_that_cannot_be(self) -> None:
        ahead = arrival(2, wall=(FIRST_MTS + 2000 - 6000) * 1000)
        slightly = arrival(3, wall=(FIRST_MTS + 3000 - 4000) * 1000)
        self.assertEqual(self.kinds(lines([ahead])), {Kind.TIME: 1})
        self.assertEqual(self.kinds(lines([slightly])), {})
        self.assertEqual(self.kinds(lines([arrival(1, mts=1_000_000_000_000)])), {Kind.TIME: 1})

    def test_back_filled_rows_below_newer_ones_are_counted_and_no_fault(self) -> None:
        now = (FIRST_MTS + 60_000) * 1000
        report = self.verified(lines([arrival(1), arrival(9), arrival(5, wall=now), arrival(6, wall=now + 1)]))
        self.assertEqual((report.clean, report.late), (True, 2))

    def test_rows_that_were_held_back_stand_below_those_that_came_later(self) -> None:
        """The socket told a trade that history never had; then the connection was lost, and what was missed was fetched."""
        writer = live()
        writer.lost("a cut")
        writer.exchange.fault = "down"
        writer.connect()
        writer.trade(publish_after=inf)
        writer.lost("another cut")
        writer.missed(9)
        writer.exchange.fault = ""
        writer.connect(2)
        writer.wait(30)
        self.assertEqual(sorted(writer.ids()), writer.ledger())
        report = self.verified(writer.content().removeprefix(HEADER))
        self.assertEqual((report.findings.shown, report.late), ([], 1))

    def test_damage_of_rows_comes_through(self) -> None:
        good = lines([arrival(1)])
        for damage, kind in (
            (good[:-9], Kind.TORN),
            (bytes(20), Kind.NUL),
            (lines([arrival(2)]).replace(b"6443.1", b"-1"), Kind.ROW),
            (HEADER, Kind.HEADER),
        ):
            self.assertEqual(self.kinds(good + damage), {kind: 1})


class Gaps(_Verifying):
    def ledger(self, *gaps: object) -> None:
        ledger = GapLedger()
        for one in gaps:
            ledger.record(one)  # type: ignore[arg-type]
        self.path.with_name("trade.gaps.csv").write_bytes(ledger.text())

    def setUp(self) -> None:
        super().setUp()
        write(self.path, map(arrival, (*range(10, 20), *range(30, 40))))

    def test_open_and_lost_gaps_are_faults_unless_allowed(self) -> None:
        self.ledger(gap(19, 30), gap(35, 36, state=GapState.LOST))
        self.assertEqual(self.verified().findings.counts, {Kind.GAP: 2})
        report = self.verified(allow_gaps=True)
        self.assertEqual((report.clean, len(report.unfilled())), (True, 2))

    def test_a_filled_gap_has_its_edges_and_its_trades(self) -> None:
        self.ledger(gap(12, 16, state=GapState.FILLED, filled=3))
        self.assertTrue(self.verified().clean)
        self.ledger(gap(19, 30, state=GapState.FILLED, filled=1))
        self.assertEqual([fault.text.partition(": ")[2] for fault in self.verified().findings.shown],
                         ["1 trades were filled in, and 0 are there"])  # fmt: skip
        self.ledger(gap(15, 25, state=GapState.FILLED, filled=1))
        self.assertIn("id 25 at its edge is not in the recording", self.verified().findings.shown[0].text)

    def test_a_filled_gap_in_a_part_that_is_not_here_is_not_judged(self) -> None:
        self.ledger(gap(1, 5, state=GapState.FILLED, filled=3), gap(50, 60, state=GapState.FILLED, filled=3))
        self.assertTrue(self.verified().clean)
