"""The judge is judged: however a file differs from the ledger, it is seen, and only a named gap excuses anything."""

from pathlib import Path

from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import LEDGER_HEADER, Gap, GapState, Mark
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from tests.truth import judge

AMOUNTS = (b"2e-7", b"-0.5", b"1", b"-3") * 2
LEDGER = [Trade(10 + n, 1_542_045_947_000 + n, amount, b"6443.1") for n, amount in enumerate(AMOUNTS)]


class Judging(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.mkdir()
        self.path /= "trade.csv"

    def write(self, *trades: Trade, more: bytes = b"") -> None:
        layout = Layout("tBTCUSD")
        self.path.write_bytes(HEADER + b"".join(layout.line(Arrival(trade, 1)) for trade in trades) + more)

    def name_gap(self, state: GapState, start: Trade, end: Trade) -> None:
        edges = Mark(start.id, start.mts), Mark(end.id, end.mts)
        gap = Gap(*edges, "a test", 1_542_045_947_000_000, edges[0], 0, state)
        self.path.with_name("trade.gaps.csv").write_bytes(LEDGER_HEADER + gap.line())

    def test_the_ledger_in_any_order_is_equal(self) -> None:
        self.write(*reversed(LEDGER))
        self.assertTrue(judge(LEDGER, self.path).equal)

    def test_what_came_before_the_first_id_is_not_asked_for(self) -> None:
        self.write(*LEDGER[3:])
        verdict = judge(LEDGER, self.path)
        self.assertEqual((verdict.equal, verdict.first), (True, 13))

    def test_a_trade_that_is_missing(self) -> None:
        self.write(*LEDGER[:3], *LEDGER[4:])
        verdict = judge(LEDGER, self.path)
        self.assertEqual((verdict.missing, verdict.equal), ([13], False))

    def test_the_newest_trades_are_not_asked_for_before_their_time(self) -> None:
        self.write(*LEDGER[:6])
        self.assertEqual(judge(LEDGER, self.path).missing, [16, 17])
        self.assertTrue(judge(LEDGER, self.path, before=LEDGER[6].mts).equal)

    def test_a_trade_that_is_there_twice(self) -> None:
        self.write(*LEDGER, LEDGER[4])
        self.assertEqual(judge(LEDGER, self.path).twice, [14])

    def test_a_trade_that_is_not_as_it_was(self) -> None:
        wrong = [
            replace(LEDGER[4], amount=b"-2e-7"),
            replace(LEDGER[4], amount=b"0.0000002"),
            replace(LEDGER[4], price=b"6443.10"),
            replace(LEDGER[4], mts=LEDGER[4].mts + 10),
        ]
        for trade in wrong:
            self.write(*LEDGER[:4], trade, *LEDGER[5:])
            self.assertEqual(judge(LEDGER, self.path).false, [14], trade)

    def test_a_trade_that_never_was(self) -> None:
        self.write(*LEDGER, replace(LEDGER[0], id=99))
        self.assertEqual(judge(LEDGER, self.path).false, [99])

    def test_a_torn_row(self) -> None:
        self.write(*LEDGER, more=b"bitfinex,BTC")
        self.assertTrue(judge(LEDGER, self.path).torn)

    def test_an_empty_file_is_not_equal(self) -> None:
        self.write()
        self.assertFalse(judge(LEDGER, self.path).equal)
        self.path.unlink()
        self.assertFalse(judge(LEDGER, self.path).equal)

    def test_only_a_gap_that_is_open_or_lost_excuses(self) -> None:
        self.write(*LEDGER[:3], *LEDGER[5:])
        for state in (GapState.OPEN, GapState.LOST):
            self.name_gap(state, LEDGER[2], LEDGER[5])
            verdict = judge(LEDGER, self.path)
            self.assertEqual((verdict.equal, verdict.excused), (True, 2))
        self.name_gap(GapState.FILLED, LEDGER[2], LEDGER[5])
        self.assertEqual(judge(LEDGER, self.path).missing, [13, 14])
        self.name_gap(GapState.LOST, LEDGER[3], LEDGER[5])
        self.assertEqual(judge(LEDGER, self.path).missing, [13])
