"""The tape, one rule at a time: each test here fails for one way of getting it wrong."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bfxtwist.core.comparison import Progress
from bfxtwist.core.gaps import GapState, Mark
from bfxtwist.core.history import Page
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.messages import Trade
from bfxtwist.core.trades import HOLD, Mode, Tape
from tests.core.taped import TapeTest
from tests.model_exchange import EPOCH

_NUMBERS = st.sampled_from([b"1", b"2"])
_TOLD = st.builds(Trade, st.sampled_from([*range(1, 9), 10**30]), st.just(EPOCH), _NUMBERS, _NUMBERS)


class TapeTests(TapeTest):
    """Which trade is new, and when it is released."""

    # --- beginning ----------------------------------------------------------------------------------------

    def test_first_snapshot_is_written_oldest_first(self) -> None:
        """A first start writes it at once and is live: there is nothing to compare it with."""
        for _ in range(8):
            self.trade(told=False)
        self.connect(5)
        self.assertEqual(self.file, self.everything()[3:])
        self.assertEqual(self.tape.mode, Mode.LIVE)
        self.assertEqual(self.progress.start, self.file[0])

    def test_empty_snapshot_then_first_trade(self) -> None:
        """V begins with the first trade that comes, and older ones from REST are not wanted."""
        self.trade(told=False)
        self.connect(0)
        self.assertEqual((self.tape.mode, self.file), (Mode.LIVE, []))
        first = self.trade()
        self.wait(100)
        self.assertEqual(self.file, [first.id])
        self.assertEqual(self.progress.frontier, Mark(first.id, first.mts))

    # --- once ---------------------------------------------------------------------------------------------

    def test_each_id_once_whoever_repeats_it(self) -> None:
        """te, tu, te again, a snapshot after a reconnect, REST: one row."""
        self.trade()
        self.connect()
        made = self.trade()
        self.tell(made, made)
        self.tape.lost("sequence")
        self.connect()
        self.wait(120)
        self.assertEqual(self.file, self.everything())

    def test_tu_without_te_is_written(self) -> None:
        """Whichever is first counts."""
        self.trade()
        self.connect()
        made = self.exchange.trade()
        self.tape.executed([made.stored], self.moment)
        self.write()
        self.assertEqual(self.file, self.everything())

    def test_same_id_with_another_time_is_the_same_trade(self) -> None:
        """History has the time of the database, some milliseconds off."""
        self.trade()
        self.connect()
        for _ in range(3):
            self.trade(skew=9)
        self.wait(120)
        self.assertEqual((self.file, self.tape.counters.conflicts), (self.everything(), 0))

    def test_same_id_with_another_price_is_counted_and_not_written(self) -> None:
        """The first one stands."""
        self.trade()
        self.connect()
        made = self.trade()
        self.tell(replace(made, price=b"1"))
        self.assertEqual((self.file, self.tape.counters.conflicts), (self.everything(), 1))

    def test_what_is_told_twice_in_one_run_is_written_once(self) -> None:
        """With the first one's price, and in the order in which they came."""
        self.trade()
        self.connect()
        later, first, second = (self.exchange.trade().told for _ in range(3))
        self.tell_together(first, replace(first, mts=first.mts + 3), replace(second, price=b"1"), second, later)
        self.assertEqual(self.file[1:], [first.id, second.id, later.id])
        counters = self.tape.counters
        self.assertEqual((counters.duplicates, counters.conflicts, counters.rows), (2, 1, 4))

    def test_the_last_row_of_an_earlier_run_told_again(self) -> None:
        """Is known by its id alone: nothing else is left of it."""
        self.resume([3, 5], Progress(2, Mark(5, EPOCH), 2))
        self.tape._go_live(self.moment)
        self.tell(Trade(5, EPOCH, b"1", b"1"))
        self.assertEqual((self.file, self.tape.counters.duplicates), ([3, 5], 1))

    @given(st.lists(_TOLD, max_size=30), st.sets(st.integers(1, 29)))
    def test_runs_of_any_length_are_taken_as_single_trades_are(self, told: list[Trade], cuts: set[int]) -> None:
        """Whatever was known before."""
        single, together = (Tape(KnownIds([2, 3, 5]), Progress(2, Mark(2, EPOCH), 2), self.limits) for _ in range(2))
        for tape in (single, together):
            tape._go_live(self.moment)
        for trade in told:
            single.executed([trade], self.moment)
        edges = [0, *sorted(cuts), 30]
        for start, end in pairwise(edges):
            together.executed(told[start:end], self.moment)
        self.assertEqual(together.released(), single.released())
        self.assertEqual(together.counters, single.counters)
        self.assertEqual(list(together.comparison.recent.items()), list(single.comparison.recent.items()))

    def test_what_no_row_can_hold_is_rejected(self) -> None:
        """An id beyond 64 bits would be damage at the next start."""
        self.trade()
        self.connect()
        self.tell(Trade(10**30, EPOCH, b"1", b"1"), Trade(5000, EPOCH, b"1" * 100, b"1"))
        self.assertEqual((self.file, self.tape.counters.rejected), (self.everything(), 2))

    def test_trades_that_come_while_the_socket_is_not_believed(self) -> None:
        """Between lost and the next snapshot nothing counts; history tells it."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.trade()
        self.assertEqual(len(self.file), 1)
        self.connect()
        self.wait(3)
        self.assertEqual(self.file, self.everything())

    # --- reconnecting -------------------------------------------------------------------------------------

    def test_what_happened_meanwhile_is_written_before_live_trades(self) -> None:
        """Back-filled rows first, then the snapshot and what came since, in order: within one round of REST."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        for _ in range(20):
            self.trade(told=False)
        self.connect(3)
        self.trade()
        self.assertEqual(len(self.file), 1)  # held back
        while self.ask():
            pass
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))
        gap = self.tape.comparison.changes[-1]
        self.assertEqual((gap.state, gap.filled, gap.cause), (GapState.FILLED, 17, "sequence"))

    def test_the_ledger_counts_what_lies_between_its_edges(self) -> None:
        """Trades that the socket left out before and after the gap are found by the same page."""
        self.trade()
        self.connect()
        for _ in range(3):
            self.trade(told=False, pause=0)
        self.trade()
        self.tape.lost("sequence")
        between = [self.trade(told=False) for _ in range(2)]
        self.connect(1)
        for _ in range(3):
            self.trade(told=False, pause=0)
        self.trade()
        self.wait(3)
        self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))
        [gap] = self.tape.comparison.changes
        self.assertEqual((gap.start.id, gap.end.id, gap.filled), (between[0].id - 1, between[1].id, 1))

    def test_where_the_socket_left_trades_out_and_nothing_was_missed_there_is_no_gap(self) -> None:
        """Its snapshot begins before the last trade that it told."""
        self.trade()
        self.connect()
        self.trade(told=False)
        self.trade()
        self.tape.lost("sequence")
        self.connect(1)
        self.wait(3)
        self.assertEqual((sorted(self.file), self.tape.comparison.changes), (self.everything(), []))

    def test_after_a_restart_the_gap_begins_at_the_last_row(self) -> None:
        """And not where history had been compared to by then, two minutes before."""
        self.trade()
        self.connect()
        last = [self.trade() for _ in range(5)][-1]
        self.resume(self.file, self.progress.copy(), Mark(last.id, last.mts))
        self.trade(told=False)
        self.trade(told=False)
        self.connect(1)
        self.wait(3)
        [gap] = self.tape.comparison.changes
        self.assertEqual((gap.start, gap.filled), (Mark(last.id, last.mts), 1))

    def test_history_that_lags_behind_the_socket_is_not_the_end(self) -> None:
        """A page that is not full ends nothing until it shows what the socket has told: the right witness."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.trade(told=False)
        known = self.trade(told=False, publish_after=3.0, pause=0.0)
        self.tape.snapshot([known], self.moment)
        self.ask()
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.wait(8)
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))

    def test_held_back_trades_survive_another_disconnect(self) -> None:
        """A te that history will never tell is only known to us."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.connect()
        never = self.trade(publish_after=float("inf"))
        self.tape.lost("sequence")
        self.connect()
        self.wait(3)
        self.assertIn(never.id, self.file)

    def test_frontier_does_not_pass_what_is_held_back(self) -> None:
        """V is saved while live trades wait in memory: a kill must not find it beyond them."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        for _ in range(12):
            self.trade(told=False)
        self.connect(12)
        self.clock.advance(40)
        self.ask()  # a full page, of trades that are all held back
        assert self.progress.frontier is not None
        self.assertLess(self.progress.frontier.id, min(set(self.everything()) - set(self.file)))
        self.wait(3)
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))

    def test_history_that_does_not_come_becomes_an_open_gap(self) -> None:
        """After a minute: first the gap is durable, then live trades are released; and it is filled when REST is back."""
        self.trade()
        self.connect()
        self.tape.lost("restart")
        for _ in range(9):
            self.trade(told=False)
        self.exchange.fault = "empty"
        self.connect(2)
        live = self.trade()
        without_gap = self.tape.comparison.revision
        self.wait(HOLD + 1, save=False)
        self.assertEqual((len(self.file), self.tape.mode, self.tape.urgent), (1, Mode.SYNC, True))
        (gap,) = self.progress.gaps
        self.assertEqual((gap.state, gap.start.id, gap.end.id), (GapState.OPEN, 1001, 1009))
        self.assertEqual(self.progress.frontier, gap.end)
        self.tape.saved(without_gap, self.moment)  # that one was under way
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.tape.saved(self.tape.comparison.revision, self.moment)
        self.write()
        self.assertEqual((self.file[1:], self.tape.mode), ([1009, 1010, live.id], Mode.LIVE))
        self.exchange.fault = ""
        self.wait(660)
        self.assertEqual((sorted(self.file), self.progress.gaps), (self.everything(), []))
        self.assertEqual((gap.state, gap.filled), (GapState.FILLED, 7))

    def test_history_that_comes_while_the_gap_is_being_saved(self) -> None:
        """It fills the gap; live trades wait all the same until the gap is durable."""
        self.trade()
        self.connect()
        self.tape.lost("restart")
        self.trade(told=False)
        self.exchange.fault = "empty"
        self.connect(1)
        self.trade(told=False)
        self.wait(HOLD + 1, save=False)
        self.exchange.fault = ""
        self.wait(20, save=False)
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.wait(1)
        self.assertEqual((self.tape.mode, self.progress.gaps), (Mode.LIVE, []))

    def test_short_connections_hold_back_for_a_minute_in_all(self) -> None:
        """In an outage of the exchange history fails, too: what the socket tells now and then comes to the file."""
        self.trade()
        self.connect()
        self.exchange.fault = "empty"
        for _ in range(4):
            self.tape.lost("going away")
            self.trade(told=False)
            self.trade(told=False)
            self.connect(1)
            self.trade()
            self.wait(HOLD / 4)
        self.wait(2)
        told = [trade_id for trade_id in self.everything() if (trade_id - 1002) % 3]
        self.assertEqual(self.tape.mode, Mode.LIVE)
        self.assertEqual([gap.state for gap in self.progress.gaps], [GapState.OPEN])
        self.assertEqual(sorted(self.file), told)
        self.exchange.fault = ""
        self.wait(700)
        self.assertEqual((sorted(self.file), self.progress.gaps), (self.everything(), []))

    def test_hold_with_nothing_in_between_goes_live_without_a_gap(self) -> None:
        """The snapshot overlaps V: audits from V on will find whatever there is."""
        self.trade()
        self.connect()
        self.exchange.fault = "empty"
        self.tape.lost("sequence")
        self.connect()
        self.wait(HOLD + 1)
        self.assertEqual((self.tape.mode, self.progress.gaps), (Mode.LIVE, []))

    def test_empty_snapshot_after_a_reconnect(self) -> None:
        """There is no right edge: what history has up to now is enough, audits do the rest."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.trade(told=False)
        self.connect(0)
        self.trade()
        self.wait(2)
        self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))

    def test_too_many_trades_held_back(self) -> None:
        """Memory is bounded: what is dropped, history tells."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.connect()
        self.exchange.fault = "empty"
        for _ in range(30):
            self.trade(pause=0.01)
        self.exchange.fault = ""
        self.wait(20)
        self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))

    # --- the disk -----------------------------------------------------------------------------------------

    def test_rows_that_are_forgotten_are_fetched_again(self) -> None:
        """The disk was full: V goes back to what is written, and the trades come from REST."""
        self.trade()
        self.connect()
        for _ in range(3):
            self.trade()
        made = [self.exchange.trade(publish_after=0) for _ in range(3)]
        for trade in made:
            self.tape.executed([trade.told], self.moment)
        forgotten = self.tape.released()
        self.clock.advance(35)
        self.tape.forgot(forgotten, self.moment)
        self.assertEqual((self.tape.mode, self.tape.counters.forgotten), (Mode.SYNC, 3))
        self.wait(3)
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))

    def test_frontier_that_was_ahead_of_the_disk_goes_back(self) -> None:
        """An audit found rows and moved V; they were never written."""
        self.trade()
        self.connect()
        self.trade(told=False)
        self.trade()
        self.clock.advance(70)
        before = self.progress.frontier
        request = self.tape.request(self.moment)
        assert request is not None
        self.tape.page(Page(self.exchange.history(), self.exchange.now()), self.moment)
        self.assertNotEqual(self.progress.frontier, before)
        self.tape.forgot(self.tape.released(), self.moment)
        self.assertEqual(self.progress.frontier, before)
        self.wait(100)
        self.assertEqual(sorted(self.file), self.everything())

    def test_forgotten_while_down(self) -> None:
        """Nothing is asked for until the socket is back."""
        self.trade()
        self.connect()
        self.tape.executed([self.exchange.trade(publish_after=0).told], self.moment)
        rows = self.tape.released()
        self.tape.lost("sequence")
        self.tape.forgot(rows, self.moment)
        self.assertEqual(self.tape.mode, Mode.DOWN)
        self.connect()
        self.wait(3)
        self.assertEqual(self.file, self.everything())

    def test_forgotten_before_anything_was_written(self) -> None:
        """At a first start on a full disk, and at the next one: there is something to go back to."""
        self.trade(told=False)
        self.tape.snapshot(self.exchange.snapshot(), self.moment)
        self.tape.forgot(self.tape.released(), self.moment)
        self.wait(3)
        self.assertEqual(self.file, self.everything())
        self.resume(self.file, self.progress.copy())
        self.connect()
        self.tape.executed([self.exchange.trade(publish_after=0).told], self.moment)
        self.wait(3)
        self.trade(told=False)
        self.tape.executed([self.exchange.trade(publish_after=0).told], self.moment)
        self.tape.forgot(self.tape.released(), self.moment)
        self.wait(3)
        self.assertEqual(self.file, self.everything())
