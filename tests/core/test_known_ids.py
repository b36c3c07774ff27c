"""The compact set of ids."""

import tracemalloc
from array import array

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core import known_ids
from bfxtwist.core.known_ids import KnownIds

ids = st.integers(1, 12)  # few enough that what came late is taken away, too


class KnownIdsTests(SynchronousTestCase):
    """`KnownIds`."""

    @given(st.lists(ids), st.lists(st.tuples(st.booleans(), ids)))
    def test_it_is_a_set(self, first: list[int], changes: list[tuple[bool, int]]) -> None:
        """Whatever is added and taken away."""
        known, model = KnownIds(first), set(first)
        for adding, trade_id in changes:
            if not adding:
                known.discard(trade_id)
                model.discard(trade_id)
            elif trade_id not in model:
                known.update([trade_id])
                model.add(trade_id)
        assert [i for i in range(20) if i in known] == sorted(model)
        assert len(known) == len(model)
        assert all(known.largest >= trade_id for trade_id in model)
        # Before `newest`, which sorts the late ones in.
        assert [sorted(known.between(low, 9)) for low in (0, 4, 10)] == [
            sorted(trade_id for trade_id in model if low < trade_id < 9) for low in (0, 4, 10)
        ]
        assert known.newest(0, 100, None) == []
        assert known.newest(100, 100, None) == sorted(model)

    @given(st.lists(ids), st.lists(ids, unique=True), st.integers(0, 14))
    def test_what_is_older_is_forgotten(self, first: list[int], late: list[int], oldest: int) -> None:
        """In order or not; what is above all that was ever known stays that."""
        known, model = KnownIds(first), {*first, *late}
        known.update([trade_id for trade_id in late if trade_id not in first])
        assert known.smallest == min(model, default=None)
        known.forget_below(oldest)
        assert [i for i in range(20) if i in known] == sorted(i for i in model if i >= oldest)
        assert known.smallest == min((i for i in model if i >= oldest), default=None)
        assert known.largest == max(model, default=0)

    def test_many_that_come_late(self) -> None:
        """They are sorted in, and are still there."""
        known = KnownIds()
        count = known_ids._FOLD_AT + 10
        for trade_id in reversed(range(count)):
            known.update([trade_id])
        self.assertEqual((len(known), 5 in known, count - 1 in known, count in known), (count, True, True, False))
        self.assertEqual(known.newest(count, count, None), list(range(count)))

    def test_one_that_comes_late(self) -> None:
        """Belongs between those that are folded already."""
        known = KnownIds([10, 20, 30])
        known.update([40, 15, 50])
        self.assertEqual(known.newest(9, 9, None), [10, 15, 20, 30, 40, 50])
        known.update([35])
        self.assertEqual(sorted(known.between(15, 50)), [20, 30, 35, 40])
        known.update([])
        self.assertEqual((known.newest(0, 9, 30), known.largest, 35 in known), ([30, 35, 40, 50], 50, True))

    @given(st.sets(st.integers(1, 40)), st.sets(st.integers(1, 40)), st.lists(st.integers(1, 40)))
    def test_what_others_know(self, here: set[int], there: set[int], late: list[int]) -> None:
        """Piece by piece, whatever lies between."""
        self.patch(known_ids, "_PIECE", 3)
        known, others = KnownIds(here), KnownIds(there)
        for trade_id in late:
            if trade_id not in others:
                others.update([trade_id])
        self.assertEqual(known.unknown(others), sorted({*there, *late} - here))

    @given(st.sets(ids), st.sets(ids), st.sets(ids))
    def test_what_others_know_and_nothing_else(self, here: set[int], there: set[int], later: set[int]) -> None:
        """And neither changes with the other then."""
        known, others = KnownIds(here), KnownIds(there)
        known.become(others)
        assert (len(known), known.smallest, known.largest) == (len(there), min(there, default=None), max(there, default=0))
        known.update(later - there)
        assert [i for i in range(20) if i in known] == sorted(there | later)
        assert [i for i in range(20) if i in others] == sorted(there)

    def test_upper_end(self) -> None:
        """From an id up, at least and at most so many."""
        known = KnownIds(range(1, 101))
        self.assertEqual(known.newest(0, 10**6, 99), [99, 100])
        self.assertEqual(known.newest(3, 10**6, 99), [98, 99, 100])
        self.assertEqual(known.newest(3, 4, 1), [97, 98, 99, 100])
        self.assertEqual(known.newest(3, 10, None), [98, 99, 100])

    def test_what_stands_twice_is_one(self) -> None:
        """Any two the same, wherever they stand, and in whatever order."""
        self.patch(known_ids, "_PIECE", 3)
        for ids in ([3, 1, 2, 3], [7, 7, 8, 9, 1, 10, 8], [5, 4, 3, 2, 1, 5, 4, 11], []):
            known = KnownIds(array("q", ids))
            self.assertEqual((known.newest(99, 99, None), known.largest), (sorted(set(ids)), max(ids, default=0)))

    def test_a_year_of_ids_is_not_held_as_integers(self) -> None:
        """Eight bytes each, and some that are free to grow into; integers would take forty, and a set of them a hundred."""
        ids = array("q", range(300_000))
        ids.extend(range(400_000, 500_000))
        ids.extend(range(300_000, 300_100))
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        known = KnownIds(ids)
        _, most = tracemalloc.get_traced_memory()
        self.assertEqual(len(known), len(ids))
        self.assertLess(most, 20 * len(ids))
