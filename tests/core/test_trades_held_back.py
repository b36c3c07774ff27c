"""The tape when connections end and the disk is full: what is held back, what becomes a gap, and what is fetched again."""

from bfxtwist.core.gaps import GapState, Mark
from bfxtwist.core.history import Page
from bfxtwist.core.hold import HOLD
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.progress import Progress
from bfxtwist.core.trades import Mode
from tests.core.taped import TapeTest


class HoldingBackTests(TapeTest):
    """What comes before what the socket tells, and what waits for it."""

    # --- reconnecting -------------------------------------------------------------------------------------

    def test_what_happened_meanwhile_is_written_before_live_trades(self) -> None:
        """Back-filled rows first, then the snapshot and what came since, in order: within one round of REST."""
        self.cut_off("sequence")
        self.missed(20)
        self.connect(3)
        self.trade()
        self.assertEqual(len(self.file), 1)  # held back
        while self.ask():
            pass
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))
        gap = self.tape.comparison.changes[-1]
        self.assertEqual((gap.state, gap.filled, gap.cause), (GapState.FILLED, 17, "sequence"))
        self.assertEqual(self.tape.counters.backfilled, 17)

    def test_each_gap_is_counted_for_itself(self) -> None:
        """Trades of the millisecond in which the socket goes on are told with those after it, and count."""
        self.live()
        for _ in range(2):
            self.tape.lost("sequence")
            self.trade(told=False, pause=0)
            right = self.trade(told=False)
            self.tape.snapshot([right], self.moment)
            self.ask()
            self.assertEqual((self.file[-1], self.tape.mode), (right.id, Mode.LIVE))
        self.assertEqual([gap.filled for gap in self.tape.comparison.changes], [1, 1])
        self.assertEqual(self.tape.counters.backfilled, 2)

    def test_the_ledger_counts_what_lies_between_its_edges(self) -> None:
        """Trades that the socket left out before and after the gap are found by the same page."""
        self.live()
        self.missed(3, pause=0)
        self.trade()
        self.tape.lost("sequence")
        between = [self.trade(told=False) for _ in range(2)]
        self.connect(1)
        self.missed(3, pause=0)
        self.trade()
        self.wait(3)
        self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))
        [gap] = self.tape.comparison.changes
        self.assertEqual((gap.start.id, gap.end.id, gap.filled), (between[0].id - 1, between[1].id, 1))

    def test_where_the_socket_left_trades_out_and_nothing_was_missed_there_is_no_gap(self) -> None:
        """Its snapshot begins before the last trade that it told."""
        self.live()
        self.trade(told=False)
        self.trade()
        self.tape.lost("sequence")
        self.connect(1)
        self.wait(3)
        self.assertEqual((sorted(self.file), self.tape.comparison.changes), (self.everything(), []))

    def test_after_a_restart_the_gap_begins_at_the_last_row(self) -> None:
        """And not where history had been compared to by then, two minutes before."""
        self.live()
        last = [self.trade() for _ in range(5)][-1]
        self.resume(self.file, self.progress.copy(), Mark(last.id, last.mts))
        self.missed(2)
        self.connect(1)
        self.wait(3)
        [gap] = self.tape.comparison.changes
        self.assertEqual((gap.start, gap.filled), (Mark(last.id, last.mts), 1))

    def test_after_a_restart_with_a_late_row_at_the_end_the_gap_begins_at_the_frontier(self) -> None:
        """The time of the newest trade is not known then."""
        first = self.trade()
        self.connect()
        self.resume(self.file, self.progress.copy())
        self.missed(2)
        self.connect(1)
        self.wait(3)
        [gap] = self.tape.comparison.changes
        self.assertEqual((gap.start, gap.filled), (Mark(first.id, first.mts), 1))

    def test_history_that_lags_behind_the_socket_is_not_the_end(self) -> None:
        """A page that is not full ends nothing until it shows what the socket has told: the right witness."""
        self.cut_off("sequence")
        self.trade(told=False)
        known = self.trade(told=False, publish_after=3.0, pause=0.0)
        self.tape.snapshot([known], self.moment)
        self.ask()
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.wait(8)
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))

    def test_page_that_is_long_on_its_way(self) -> None:
        """Every second it is asked whether there is another one to ask for."""
        self.cut_off("sequence")
        self.trade(told=False)
        self.connect(1)
        self.assertIsNotNone(self.tape.request(self.moment))
        self.assertIsNone(self.tape.request(self.moment))
        self.tape.page(Page(self.exchange.history()), self.moment)
        self.assertEqual(self.tape.mode, Mode.LIVE)

    def test_held_back_trades_survive_another_disconnect(self) -> None:
        """A te that history will never tell is only known to us."""
        self.cut_off("sequence")
        self.connect()
        never = self.trade(publish_after=float("inf"))
        self.tape.lost("sequence")
        self.connect()
        self.wait(3)
        self.assertIn(never.id, self.file)

    def test_frontier_does_not_pass_what_is_held_back(self) -> None:
        """The frontier is saved while live trades wait in memory: a kill must not find it beyond them."""
        self.cut_off("sequence")
        self.missed(12)
        self.connect(12)
        self.clock.advance(40)
        self.ask()  # a full page, of trades that are all held back
        assert self.progress.frontier is not None
        self.assertLess(self.progress.frontier.id, min(set(self.everything()) - set(self.file)))
        self.wait(3)
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))

    def test_history_that_does_not_come_becomes_an_open_gap(self) -> None:
        """After a minute: first the gap is durable, then live trades are released; and it is filled when REST is back."""
        self.cut_off("restart")
        self.missed(9)
        self.exchange.fault = "empty"
        self.connect(2)
        live = self.trade()
        without_gap = self.tape.comparison.revision
        self.wait(HOLD + 1, save=False)
        self.assertEqual((len(self.file), self.tape.mode, self.tape.urgent), (1, Mode.SYNC, True))
        (gap,) = self.progress.gaps
        self.assertEqual((gap.state, gap.start.id, gap.end.id), (GapState.OPEN, 1001, 1009))
        self.assertEqual((self.progress.frontier, self.tape.comparison.changes), (gap.end, [gap]))
        self.tape.saved(without_gap, self.moment)  # that one was under way
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.save()
        self.assertEqual((self.file[1:], self.tape.mode, self.tape.urgent), ([1009, 1010, live.id], Mode.LIVE, False))
        self.exchange.fault = ""
        self.wait(660)
        self.assertEqual((sorted(self.file), self.progress.gaps), (self.everything(), []))
        self.assertEqual((gap.state, gap.filled), (GapState.FILLED, 7))

    def test_history_that_comes_while_the_gap_is_being_saved(self) -> None:
        """It fills the gap; live trades wait all the same until the gap is durable."""
        self.cut_off("restart")
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

    def test_connection_that_is_lost_while_the_gap_is_being_saved(self) -> None:
        """Nothing is live without one."""
        self.cut_off("restart")
        self.trade(told=False)
        self.exchange.fault = "empty"
        self.connect(1)
        self.wait(HOLD + 1, save=False)
        self.assertTrue(self.tape.urgent)
        self.tape.lost("again")
        self.tape.saved(self.tape.comparison.revision, self.moment)
        self.assertEqual((self.tape.mode, self.tape.urgent), (Mode.DOWN, False))

    def test_short_connections_hold_back_for_a_minute_in_all(self) -> None:
        """In an outage of the exchange history fails, too: what the socket tells now and then comes to the file."""
        self.live()
        self.exchange.fault = "empty"
        for _ in range(4):
            self.tape.lost("going away")
            self.missed(2)
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

    def test_a_second_gap_is_opened_after_a_minute_of_its_own(self) -> None:
        """The page that fills it shows trades of the first one, too: they count there."""
        self.live()
        self.exchange.fault = "empty"
        for _ in range(2):
            self.tape.lost("restart")
            self.missed(3)
            self.connect(1)
            self.wait(HOLD - 1)
            self.assertEqual(self.tape.mode, Mode.SYNC)
            self.wait(1)
            self.assertEqual(self.tape.mode, Mode.LIVE)
        one, other = self.progress.gaps
        self.exchange.fault = ""
        self.wait(660)
        self.assertEqual((sorted(self.file), self.progress.gaps), (self.everything(), []))
        self.assertEqual((one.filled, other.filled), (2, 2))

    def test_what_is_held_back_at_the_end_is_written_behind_an_open_gap(self) -> None:
        """History may never tell it. The next run fetches what lies before it, and the ledger names the hole."""
        self.cut_off("restart")
        self.missed(2)
        self.exchange.fault = "empty"
        self.connect(1)
        never = self.trade(publish_after=float("inf"))
        self.tape.lost("stopping")
        self.tape.stop(self.moment)
        (gap,) = self.progress.gaps
        self.assertFalse(self.tape.has_released)  # before the gap is durable
        self.save()
        self.assertEqual(self.file, [1001, 1003, never.id])
        self.assertEqual((gap.state, gap.start.id, gap.end.id), (GapState.OPEN, 1001, 1003))
        self.exchange.fault = ""
        self.resume(self.file, self.progress, Mark(never.id, never.mts))
        self.connect(1)
        self.wait(100)
        self.assertEqual((sorted(self.file), self.progress.gaps, gap.filled), (self.everything(), [], 1))

    def test_an_end_while_the_gap_is_being_saved(self) -> None:
        """A kill before it is durable would leave rows behind a hole that nobody knows of."""
        self.cut_off("restart")
        self.trade(told=False)
        self.exchange.fault = "empty"
        self.connect(1)
        self.wait(HOLD + 1, save=False)
        self.tape.stop(self.moment)
        self.assertFalse(self.tape.has_released)
        self.save()
        self.assertEqual((self.file, len(self.progress.gaps)), (self.everything(), 1))

    def test_an_end_with_nothing_held_back_changes_nothing(self) -> None:
        """No gap is made of every stop."""
        self.live()
        for reason in ("sequence", "stopping"):
            self.tape.stop(self.moment)
            self.tape.lost(reason)
        self.assertEqual((self.tape.released(), self.progress.gaps), ([], []))

    def test_hold_with_nothing_in_between_goes_live_without_a_gap(self) -> None:
        """The snapshot overlaps the frontier, or is empty: audits from the frontier on will find whatever there is."""
        self.live()
        self.exchange.fault = "empty"
        for count in (5, 0):
            self.tape.lost("sequence")
            self.connect(count)
            self.wait(HOLD + 1)
            self.assertEqual((self.tape.mode, self.progress.gaps), (Mode.LIVE, []))

    def test_empty_snapshot_after_a_reconnect(self) -> None:
        """There is no right edge: what history has up to now is enough, audits do the rest."""
        self.cut_off("sequence")
        self.trade(told=False)
        self.connect(0)
        self.trade()
        self.wait(2)
        self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))

    def test_too_many_trades_held_back(self) -> None:
        """Memory is bounded: what is dropped, history tells."""
        self.cut_off("sequence")
        self.connect()
        self.exchange.fault = "empty"
        for _ in range(30):
            self.trade(pause=0.01)
            self.assertLessEqual(len(self.tape._hold.trades), self.limits.held_back)
        self.exchange.fault = ""
        self.wait(20)
        self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))

    # --- the disk -----------------------------------------------------------------------------------------

    def test_rows_that_are_forgotten_are_fetched_again(self) -> None:
        """The disk was full: the frontier goes back to what is written, and the trades come from REST."""
        self.live()
        for _ in range(3):
            self.trade()
        self.wait(95)
        frontier = self.progress.frontier
        assert frontier is not None
        self.assertEqual(frontier.id, 1004)
        made = [self.exchange.trade(publish_after=0) for _ in range(3)]
        for trade in made:
            self.tape.executed([trade.told], self.moment)
        forgotten = self.tape.released()
        self.clock.advance(35)
        self.tape.forgot(forgotten, self.moment)
        self.assertEqual((self.tape.mode, self.tape.counters.forgotten), (Mode.SYNC, 3))
        self.assertEqual(self.progress.frontier, frontier)
        self.wait(3)
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))
        self.assertEqual(self.tape.counters.rows, len(self.file))
        [gap] = self.tape.comparison.changes
        self.assertEqual((gap.start, gap.cause, gap.filled), (frontier, "the disk was full", 2))

    def test_frontier_that_was_ahead_of_the_disk_goes_back(self) -> None:
        """An audit found rows and moved the frontier; they were never written."""
        self.live()
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

    def test_another_file_while_the_frontier_is_ahead_of_the_disk(self) -> None:
        """Rows that wait may be given up yet: they are wanted from history then, whatever the next file knows."""
        self.live()
        for _ in range(4):
            self.trade(told=False, pause=200)
            while self.ask(write=False):
                pass
        self.tape.begin_at(10**9)
        rows = self.tape.released()
        self.assertEqual(len(rows), 4)
        self.tape.forgot(rows, self.moment)
        self.wait(100)
        self.assertEqual(self.file, self.everything())

    def test_rows_that_are_in_no_file_any_more_are_fetched_again(self) -> None:
        """An older file was put back: whether the socket is there or comes back, all from its first row on is compared."""
        for connected in (True, False):
            self.setUp()
            self.live()
            for _ in range(3):
                self.trade(pause=50)
            self.wait(100)
            first = self.exchange.ledger[1001].stored
            self.file = self.file[:2]
            if not connected:
                self.tape.lost("sequence")
            self.tape.put_back(KnownIds(self.file), [], Progress(first.id, Mark(first.id, first.mts), first.id), self.moment)
            self.assertIs(self.tape.mode, Mode.SYNC if connected else Mode.DOWN)
            self.assertEqual(self.progress.frontier, Mark(first.id, first.mts))
            if not connected:
                self.connect()
            self.wait(10)
            self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))

    def test_an_older_file_while_trades_are_held_back(self) -> None:
        """History must still catch up with what the socket told first after the connection was lost."""
        self.live()
        for _ in range(3):
            self.trade(pause=50)
        first = self.exchange.ledger[1001].stored
        self.tape.lost("sequence")
        self.trade(told=False, publish_after=20)
        self.tape.snapshot([self.trade(told=False, publish_after=20)], self.moment)
        self.file = self.file[:2]
        self.tape.put_back(KnownIds(self.file), [], Progress(first.id, Mark(first.id, first.mts), first.id), self.moment)
        self.wait(10)
        self.assertIs(self.tape.mode, Mode.SYNC)
        self.wait(30)
        self.assertEqual((self.file, self.tape.mode), (self.everything(), Mode.LIVE))

    def test_forgotten_while_down(self) -> None:
        """Nothing is asked for until the socket is back."""
        self.live()
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
