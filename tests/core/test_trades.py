"""The tape, one rule at a time: each test here fails for one way of getting it wrong."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.comparison import LACKS, Progress
from bfxtwist.core.gaps import Gap, GapState, Mark
from bfxtwist.core.history import Page, PageRequest
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.limits import Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.trades import HOLD, Mode, Tape
from tests.model_exchange import EPOCH, ModelExchange

_NUMBERS = st.sampled_from([b"1", b"2"])
_TOLD = st.builds(Trade, st.sampled_from([*range(1, 9), 10**30]), st.just(EPOCH), _NUMBERS, _NUMBERS)


class TapeTests(SynchronousTestCase):
    """A tape, an exchange, and a file that is a list of ids."""

    limits = Limits(page=6, held_back=12, compared=40)

    def setUp(self) -> None:
        self.clock = Clock()
        self.exchange = ModelExchange(self.clock)
        self.tape = Tape(KnownIds(), Progress(), self.limits)
        self.file: list[int] = []

    # --- driving ------------------------------------------------------------------------------------------

    @property
    def moment(self) -> Moment:
        """Now."""
        return self.exchange.moment()

    @property
    def progress(self) -> Progress:
        """Of the comparison."""
        return self.tape.comparison.progress

    def resume(self, known: list[int], progress: Progress, newest: Mark | None = None) -> None:
        """A tape as a new process has it."""
        self.file = list(known)
        self.tape = Tape(KnownIds(known), progress, self.limits, newest)

    def write(self) -> None:
        """What was released is in the file."""
        self.file += [arrival.trade.id for arrival in self.tape.released()]
        self.tape.written()

    def connect(self, count: int = 5) -> None:
        """A snapshot of so many trades."""
        self.tape.snapshot(self.exchange.snapshot(count), self.moment)
        self.write()

    def tell(self, *trades: Trade) -> None:
        """On the socket."""
        for trade in trades:
            self.tape.executed([trade], self.moment)
        self.write()

    def tell_together(self, *trades: Trade) -> None:
        """On the socket, at once."""
        self.tape.executed(trades, self.moment)
        self.write()

    def trade(self, told: bool = True, pause: float = 1.0, publish_after: float = 0.0, skew: int = 0) -> Trade:
        """One trade, and a second."""
        made = self.exchange.trade(publish_after=publish_after, skew=skew)
        if told:
            self.tell(made.told)
        self.clock.advance(pause)
        return made.told

    def ask(self, write: bool = True) -> PageRequest | None:
        """One page, answered if it was asked for."""
        request = self.tape.request(self.moment)
        if request is not None:
            page: list[Page] = []
            coroutine = self.exchange.page("tBTCUSD", request)
            try:
                coroutine.send(None)
            except StopIteration as result:
                page.append(result.value)
            self.tape.page(page[0], self.moment)
            if write:
                self.write()
        return request

    def wait(self, seconds: float, save: bool = True) -> None:
        """Time passes, pages are asked for as they are wanted, and progress is saved at once."""
        for _ in range(int(seconds)):
            self.clock.advance(1)
            self.tape.tick(self.moment)
            while self.ask():
                pass
            if save:
                self.tape.saved(self.tape.comparison.revision, self.moment)
            self.write()

    def everything(self) -> list[int]:
        """All ids of the exchange."""
        return sorted(self.exchange.ledger)

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
        self.tell(made._replace(price=b"1"))
        self.assertEqual((self.file, self.tape.counters.conflicts), (self.everything(), 1))

    def test_what_is_told_twice_in_one_run_is_written_once(self) -> None:
        """With the first one's price, and in the order in which they came."""
        self.trade()
        self.connect()
        later, first, second = (self.exchange.trade().told for _ in range(3))
        self.tell_together(first, first._replace(mts=first.mts + 3), second._replace(price=b"1"), second, later)
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
        self.wait(HOLD + 1, save=False)
        self.assertEqual((len(self.file), self.tape.mode, self.tape.urgent), (1, Mode.SYNC, True))
        (gap,) = self.progress.gaps
        self.assertEqual((gap.state, gap.start.id, gap.end.id), (GapState.OPEN, 1001, 1009))
        self.tape.saved(self.tape.comparison.revision - 1, self.moment)
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.tape.saved(self.tape.comparison.revision, self.moment)
        self.write()
        self.assertEqual((self.file[1:], self.tape.mode), ([1009, 1010, live.id], Mode.LIVE))
        self.exchange.fault = ""
        self.wait(660)
        self.assertEqual((sorted(self.file), self.progress.gaps), (self.everything(), []))
        self.assertEqual((gap.state, gap.filled), (GapState.FILLED, 7))

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

    # --- auditing -----------------------------------------------------------------------------------------

    def test_trade_that_the_socket_never_told_is_found(self) -> None:
        """Within two minutes."""
        self.trade()
        self.connect()
        self.trade(told=False)
        self.trade()
        self.wait(95)
        self.assertEqual((sorted(self.file), self.tape.counters.audited), (self.everything(), 1))

    def test_trade_that_is_published_late_is_found(self) -> None:
        """V stays behind what may still be under way."""
        self.trade()
        self.connect()
        self.wait(20)
        late = self.trade(told=False, publish_after=28.0)
        self.trade()
        self.wait(12)
        assert self.progress.frontier is not None
        self.assertLess(self.progress.frontier.id, late.id)
        self.wait(120)
        self.assertEqual(sorted(self.file), self.everything())

    def test_frontier_moves_only_over_what_history_showed(self) -> None:
        """A trade on file that history lacks is looked for three times, then the ledger names the place."""
        self.trade()
        self.connect()
        self.trade()
        hidden = self.trade(publish_after=float("inf"))
        last = self.trade()
        self.wait(95)
        self.assertEqual(self.tape.comparison.changes, [])
        assert self.progress.frontier is not None
        self.assertLess(self.progress.frontier.id, hidden.id)
        self.wait(20)
        (gap,) = self.tape.comparison.changes
        self.assertEqual((gap.state, gap.cause), (GapState.LOST, LACKS))
        self.assertEqual((gap.start.id, gap.end.id), (hidden.id - 1, hidden.id + 1))
        self.assertEqual(self.progress.frontier.id, last.id)

    def test_older_trades_than_the_first_are_not_wanted(self) -> None:
        """The overlap shows them at every audit."""
        for _ in range(8):
            self.trade(told=False)
        self.connect(2)
        self.wait(200)
        self.assertEqual(self.file, self.everything()[-2:])

    def test_more_trades_in_a_millisecond_than_two_pages_hold(self) -> None:
        """From both ends; what is in the middle is named as lost."""
        self.trade()
        self.connect()
        for _ in range(15):
            self.trade(told=False, pause=0.0)
        self.clock.advance(1)
        self.trade()
        self.wait(120)
        (gap,) = self.tape.comparison.changes
        self.assertEqual(gap.state, GapState.LOST)
        missing = set(self.everything()) - set(self.file)
        self.assertEqual(len(missing), 3)
        self.assertLessEqual({self.exchange.ledger[i].stored.mts for i in missing}, {gap.start.mts})

    def test_as_many_trades_in_a_millisecond_as_two_pages_hold(self) -> None:
        """Its two ends meet."""
        self.trade()
        self.connect()
        for _ in range(9):
            self.trade(told=False, pause=0.0)
        self.clock.advance(1)
        self.trade()
        self.wait(120)
        self.assertEqual((sorted(self.file), self.tape.comparison.changes), (self.everything(), []))

    def test_verified_through_follows_the_exchanges_clock_in_a_quiet_market(self) -> None:
        """Where history ends with our own newest trade, there was nothing else to compare."""
        self.assertIsNone(self.tape.comparison.through())
        self.trade()
        self.connect()
        self.wait(300)
        newest = self.tape.last_trade
        assert newest is not None
        through = self.tape.comparison.through()
        assert through is not None
        self.assertLessEqual(self.exchange.now() - through, 155_000)
        self.trade()
        self.assertEqual(self.tape.comparison.through(), newest.mts - 60_000)

    def test_verified_through_goes_on_in_a_quiet_market_after_a_restart(self) -> None:
        """No trade came since the start, and none was there to come."""
        self.trade()
        self.connect()
        self.wait(300)
        self.resume(self.file, self.progress.copy())
        self.connect()
        self.wait(300)
        through = self.tape.comparison.through()
        assert through is not None
        self.assertLessEqual(self.exchange.now() - through, 155_000)

    def test_nothing_is_verified_on_the_word_of_rows_that_were_forgotten(self) -> None:
        """History ended with the newest of them, and they are not on file any more."""
        self.trade()
        self.connect()
        self.wait(200)
        first = self.tape.last_trade
        assert first is not None
        self.trade(told=False, pause=60)
        self.ask(write=False)
        self.assertGreater(self.tape.comparison.through() or 0, first.mts)
        self.tape.forgot(self.tape.released(), self.moment)
        self.assertEqual(self.tape.comparison.through(), first.mts - 60_000)

    # --- history that is short ----------------------------------------------------------------------------

    def test_history_that_does_not_reach_back_is_a_loss(self) -> None:
        """Not at once: a trade may be late. Then the ledger says so, and the recorder goes on."""
        self.trade()
        self.connect()
        self.tape.lost("restart")
        for _ in range(5):
            self.trade(told=False)
        self.clock.advance(300)
        self.exchange.horizon = self.exchange.now() - 1000
        last = self.trade(told=False)
        self.connect(1)
        self.wait(20)
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.wait(20)
        (gap,) = [gap for gap in self.tape.comparison.changes if gap.state is GapState.LOST]
        self.assertEqual((gap.start.id, gap.end.id), (1001, last.id))
        self.assertEqual((self.tape.mode, self.file), (Mode.LIVE, [1001, last.id]))

    def test_full_pages_that_lead_past_a_trade_before_it_is_published(self) -> None:
        """It is looked for where it belongs, and not waited for behind it."""
        self.connect(0)
        self.trade(publish_after=3, pause=0.001)
        for _ in range(self.limits.page + 1):
            self.trade(pause=0)
        self.tape.lost("sequence")
        self.connect(1)
        self.wait(20)
        self.assertEqual((self.tape.mode, self.tape.comparison.changes), (Mode.LIVE, []))

    def test_full_pages_that_lead_past_a_trade_that_is_never_published(self) -> None:
        """Nothing comes after them, and they tell all the same from where on history is there."""
        self.connect(0)
        first = self.trade(publish_after=float("inf"), pause=0.001)
        for _ in range(self.limits.page + 1):
            self.trade(pause=0)
        self.tape.lost("sequence")
        self.connect(1)
        self.wait(200)
        [*_, loss] = self.tape.comparison.changes
        self.assertEqual((loss.state, loss.start.id, loss.end.id), (GapState.LOST, first.id, first.id + 1))
        self.assertEqual(self.progress.gaps, [])

    def test_older_trade_on_file_is_a_witness_too(self) -> None:
        """The trade at V itself was removed: history reaches back all the same."""
        first = self.trade()
        self.connect()
        second = self.trade()
        self.resume([first.id, second.id], Progress(first.id, Mark(second.id, second.mts), first.id))
        del self.exchange.ledger[second.id]
        self.trade(told=False)
        self.connect()
        self.ask()
        self.assertEqual((self.tape.mode, sorted(self.file)), (Mode.LIVE, [first.id, second.id, second.id + 1]))

    def test_witness_is_judged_before_the_page_is_taken_in(self) -> None:
        """Unknown trades from before V prove nothing about what is between them and V."""
        self.trade(told=False)
        gone = self.trade(told=False)
        self.resume([gone.id], Progress(1, Mark(gone.id, gone.mts), 1))
        del self.exchange.ledger[gone.id]
        self.trade(told=False)
        self.connect(1)
        self.ask()
        self.wait(5)
        self.assertEqual((self.tape.mode, self.file), (Mode.SYNC, [gone.id]))

    # --- resuming -----------------------------------------------------------------------------------------

    def test_resume_from_the_frontier_and_not_from_the_last_row(self) -> None:
        """A trade that was lost silently before the kill lies before the last row on file."""
        for _ in range(6):
            self.trade(told=False)
        ids = self.everything()
        first = self.exchange.ledger[ids[0]].told
        self.resume([ids[0], ids[1], ids[5]], Progress(ids[0], Mark(first.id, first.mts), ids[0]))
        self.connect()
        self.wait(3)
        self.assertEqual(sorted(self.file), ids)

    def test_open_gap_is_fetched_after_a_restart(self) -> None:
        """In pages, and what has been fetched is not asked for again after another restart."""
        for _ in range(20):
            self.trade(told=False)
        ids = self.everything()
        marks = [Mark(i, self.exchange.ledger[i].told.mts) for i in ids]
        gap = Gap(marks[0], marks[-2], "x", 0, marks[0], ids[0])
        self.resume([ids[0], ids[-2], ids[-1]], Progress(ids[0], marks[-2], ids[0], [gap]))
        self.clock.advance(100)
        self.ask()
        self.assertEqual(self.file[3:], ids[1:6])
        self.assertEqual(gap.left, marks[4])
        self.wait(3)
        self.assertEqual((sorted(self.file), self.progress.gaps, gap.filled), (ids, [], 17))

    def test_full_page_of_a_long_walk_moves_the_frontier(self) -> None:
        """A restart in the middle goes on from there."""
        for _ in range(30):
            self.trade(told=False)
        self.clock.advance(100)
        first = self.exchange.ledger[1001].told
        self.resume([1001], Progress(1001, Mark(1001, first.mts), 1001))
        self.connect(1)
        self.ask()
        assert self.progress.frontier is not None
        self.assertEqual(self.progress.frontier.id, 1005)

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

    # --- asking -------------------------------------------------------------------------------------------

    def test_one_question_at_a_time_and_longer_waits_after_failures(self) -> None:
        """1, 2, 4 … 16 seconds while live trades wait."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.connect()
        waits = []
        for _ in range(6):
            request = self.tape.request(self.moment)
            self.assertIsNotNone(request)
            self.assertIsNone(self.tape.request(self.moment))
            self.tape.unanswered("no", self.moment)
            seconds = 0
            while self.tape.request(self.moment) is None:
                self.clock.advance(1)
                seconds += 1
            self.tape.comparison._asked = None
            waits.append(seconds)
        self.assertEqual(waits, [1, 2, 4, 8, 16, 16])

    def test_page_that_cannot_be_right_did_not_come(self) -> None:
        """Unsorted, or from before what was asked for."""
        self.trade()
        self.connect()
        for fault in ("unsorted", "early"):
            self.tape.lost("sequence")
            for _ in range(3):
                self.trade(told=False)
            self.exchange.fault = fault
            self.connect(1)
            self.ask()
            self.assertEqual((self.tape.mode, len(self.file)), (Mode.SYNC, 1))
        self.assertEqual(self.tape.comparison.failures, 2)

    def test_answer_for_a_walk_that_is_over_is_not_used(self) -> None:
        """The socket was lost while the page was on its way."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.connect()
        self.assertIsNotNone(self.tape.request(self.moment))
        self.tape.lost("again")
        self.tape.page(Page(self.exchange.history()), self.moment)
        self.assertEqual(self.tape.mode, Mode.DOWN)
        self.connect()
        self.wait(2)
        self.assertEqual(self.tape.mode, Mode.LIVE)
