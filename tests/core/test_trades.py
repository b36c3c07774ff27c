"""The tape, one rule at a time: each test here fails for one way of getting it wrong."""

from itertools import pairwise
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from bfxtwist.core.gaps import Mark
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.limits import Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.progress import Progress
from bfxtwist.core.trades import STRANGE, Mode, Tape
from tests.core.taped import TapeTest
from tests.model_exchange import EPOCH, ModelExchange

_NUMBERS = st.sampled_from([b"1", b"2"])
_TOLD = st.builds(Trade, st.sampled_from([*range(1, 9), 10**30]), st.just(EPOCH), _NUMBERS, _NUMBERS)


class TapeTests(TapeTest):
    """Which trade is new, and when it is released."""

    # --- beginning ----------------------------------------------------------------------------------------

    def test_first_snapshot_is_written_oldest_first(self) -> None:
        """A first start writes it at once and is live: there is nothing to compare it with."""
        self.missed(8)
        self.connect(5)
        self.assertEqual(self.file, self.everything()[3:])
        self.assertEqual(self.tape.mode, Mode.LIVE)
        self.assertEqual(self.progress.start, self.file[0])

    def test_empty_snapshot_then_first_trade(self) -> None:
        """The frontier begins with the first trade that comes, and older ones from REST are not wanted."""
        self.trade(told=False)
        self.connect(0)
        self.assertEqual((self.tape.mode, self.file), (Mode.LIVE, []))
        first = self.trade()
        self.wait(100)
        self.assertEqual(self.file, [first.id])
        self.assertEqual(self.progress.frontier, Mark(first.id, first.mts))
        self.trade(told=False)
        self.wait(100)
        self.assertEqual(self.file, [first.id, first.id + 1])

    # --- once ---------------------------------------------------------------------------------------------

    def test_each_id_once_whoever_repeats_it(self) -> None:
        """te, tu, te again, a snapshot after a reconnect, REST: one row."""
        self.live()
        made = self.trade()
        self.tell(made, made)
        self.tape.lost("sequence")
        self.connect()
        self.wait(120)
        self.assertEqual(self.file, self.everything())

    def test_tu_without_te_is_written(self) -> None:
        """Whichever is first counts."""
        self.live()
        made = self.exchange.trade()
        self.tape.executed([made.stored], self.moment)
        self.write()
        self.assertEqual(self.file, self.everything())

    def test_same_id_with_another_time_is_the_same_trade(self) -> None:
        """History has the time of the database, some milliseconds off."""
        self.live()
        for _ in range(3):
            self.trade(skew=9)
        self.wait(120)
        self.assertEqual((self.file, self.tape.counters.conflicts), (self.everything(), 0))

    def test_same_id_with_another_price_or_amount_is_counted_and_not_written(self) -> None:
        """The first one stands."""
        self.live()
        made = self.trade()
        self.tell(replace(made, price=b"1"), replace(made, amount=b"1"))
        self.assertEqual((self.file, self.tape.counters.conflicts), (self.everything(), 2))

    def test_a_conflict_with_a_trade_that_came_together_with_one_from_before_the_frontier(self) -> None:
        self.resume([1, 5], Progress(1, Mark(5, EPOCH), 1))
        self.tape._go_live(self.moment)
        older, newer = (Trade(trade_id, EPOCH, b"1", b"1") for trade_id in (3, 8))
        self.tell_together(older, newer)
        self.tell(replace(newer, price=b"2"))
        self.assertEqual((self.file, self.tape.counters.conflicts), ([1, 5, 3, 8], 1))

    def test_a_conflict_with_a_trade_from_beyond_the_frontier_after_that_has_moved(self) -> None:
        self.live()
        self.wait(40)
        self.trade()
        self.wait(40)
        newest, before = self.trade(), self.progress.frontier
        self.wait(20)
        self.assertNotEqual(self.progress.frontier, before)
        self.tell(replace(newest, price=b"1"))
        self.assertEqual((self.file, self.tape.counters.conflicts), (self.everything(), 1))

    def test_what_is_told_twice_while_it_is_held_back(self) -> None:
        """The first one stands here, too."""
        self.cut_off("sequence")
        self.connect()
        made = self.trade(skew=5)
        self.tell(replace(made, price=b"1"))
        self.tape.lost("again")
        other = self.trade(told=False)
        self.connect(1)
        self.ask(write=False)
        self.assertEqual([arrival.trade for arrival in self.tape.released()], [made, other])
        self.assertEqual(self.tape.counters.conflicts, 1)

    def test_what_is_told_twice_in_one_run_is_written_once(self) -> None:
        """With the first one's price, and in the order in which they came."""
        self.live()
        later, first, second = (self.exchange.trade().told for _ in range(3))
        self.tell_together(first, replace(first, mts=first.mts + 3), replace(second, price=b"1"), second, later)
        self.assertEqual(self.file[1:], [first.id, second.id, later.id])
        counters = self.tape.counters
        self.assertEqual((counters.duplicates, counters.conflicts, counters.rows), (2, 1, 4))

    def test_the_last_trade_is_the_newest(self) -> None:
        """Whichever came last."""
        self.live()
        late, later, one, other = (self.exchange.trade().told for _ in range(4))
        self.tell_together(one, other, later)
        self.tell(late)
        self.assertEqual(self.tape.last_trade, Mark(other.id, other.mts))

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
        self.live()
        self.tell(Trade(10**30, EPOCH, b"1", b"1"), Trade(5000, EPOCH, b"1" * 100, b"1"))
        self.assertEqual((self.file, self.tape.counters.rejected), (self.everything(), 2))

    def test_trades_that_come_while_the_socket_is_not_believed(self) -> None:
        """Between lost and the next snapshot nothing counts; history tells it."""
        self.cut_off("sequence")
        self.trade()
        self.assertEqual(len(self.file), 1)
        self.connect()
        self.wait(3)
        self.assertEqual(self.file, self.everything())


class StrangeHistoryTests(TapeTest):
    """History of another pair; or of another exchange, where --ws-url was given and --rest-url forgotten."""

    limits = Limits(page=1000)

    def setUp(self) -> None:
        super().setUp()
        self.others = ModelExchange(self.clock)

    def both_trade(self, count: int, told: bool) -> None:
        """Ids are counted over all pairs."""
        for _ in range(count):
            made = self.exchange.trade(id_step=2, publish_after=0)
            self.others.trade(id_step=2, publish_after=0)
            if told:
                self.tell(made.told)
            self.clock.advance(1)

    def test_it_is_not_written(self) -> None:
        """Nor does the frontier move over it: everything is there in the end."""
        self.others.trade(id_step=1)
        self.see_that_it_is_not_written()

    def test_it_is_not_written_where_ids_are_of_another_kind(self) -> None:
        """As they are where one of the two is a small exchange for tests."""
        self.others.trade(id_step=1_000_000)
        self.see_that_it_is_not_written()

    def see_that_it_is_not_written(self) -> None:
        self.both_trade(3, told=False)
        self.connect()
        self.both_trade(70, told=True)
        page, self.exchange.page = self.exchange.page, self.others.page  # type: ignore[method-assign]
        self.both_trade(20, told=False)
        self.tape.lost("sequence")
        self.both_trade(20, told=False)
        self.connect()
        for _ in range(100):
            self.both_trade(1, told=True)
            self.wait(1)
        self.assertEqual(set(self.file) & set(self.others.ledger), set())
        self.assertIn("it is of another pair or exchange: of ", self.tape.comparison.error)
        self.exchange.page = page  # type: ignore[method-assign]
        self.wait(200)
        self.assertEqual(sorted(self.file), self.everything())
        self.assertEqual(self.tape.comparison.progress.gaps, [])

    def test_it_is_not_written_after_a_restart(self) -> None:
        """Nothing but the ids on file is known then."""
        self.others.trade(id_step=1)
        self.both_trade(3, told=False)
        self.connect()
        self.both_trade(20, told=True)
        page, self.exchange.page = self.exchange.page, self.others.page  # type: ignore[method-assign]
        self.resume(self.file, self.progress)
        self.connect()
        self.wait(50)
        self.assertEqual(set(self.file) & set(self.others.ledger), set())
        self.exchange.page = page  # type: ignore[method-assign]
        self.wait(200)
        self.assertEqual((sorted(self.file), self.progress.gaps), (self.everything(), []))

    def test_history_may_lack_some_of_what_is_known(self) -> None:
        """What the socket alone told, and what is held back, are known as well."""
        self.both_trade(3, told=False)
        self.connect()
        self.both_trade(5, told=True)
        for _ in range(STRANGE - 1):
            self.tell(self.exchange.trade(publish_after=inf).told)
        self.both_trade(5, told=True)
        self.tape.lost("sequence")
        self.both_trade(5, told=False)
        self.connect()
        self.wait(5)
        self.assertEqual((self.tape.mode, sorted(self.file)), (Mode.LIVE, self.everything()))
