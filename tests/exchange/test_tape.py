"""The history over REST: inclusive, by time, and with everything that can be wrong with it."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Trade
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.tape import Query, Tape


class TapeTest(SynchronousTestCase):
    """A tape of a hundred trades, five in each second."""

    def setUp(self) -> None:
        """Ids from 1 on; at 1000 s, 1001 s, …"""
        self.faults = Faults()
        self.tape = Tape(self.faults)
        for number in range(100):
            mts = 1_000_000 + number // 5 * 1000
            self.tape.add(Trade(number + 1, mts, b"1", b"2"), mts / 1000)
        self.now = 1_020_000

    def ids(self, query: Query) -> list[int]:
        """Those on a page."""
        return [trade.id for trade in self.tape.history(query, self.now)]

    def test_start_and_end_are_inclusive(self) -> None:
        self.assertEqual(self.ids(Query(start=1_001_000, end=1_002_000, newest_first=False)), list(range(6, 16)))
        self.assertEqual(self.ids(Query(start=1_001_001, end=1_001_999)), [])

    def test_a_page_is_cut_at_the_end_it_begins_with(self) -> None:
        self.assertEqual(self.ids(Query(3)), [100, 99, 98])
        self.assertEqual(self.ids(Query(3, newest_first=False)), [1, 2, 3])
        self.assertEqual(self.ids(Query(3, end=1_000_000)), [5, 4, 3])

    def test_the_snapshot_has_thirty(self) -> None:
        self.assertEqual([trade.id for trade in self.tape.snapshot()], list(range(100, 70, -1)))

    def test_what_is_very_old_is_forgotten(self) -> None:
        tape = Tape(self.faults, 50)
        for number in range(1, 102):
            tape.add(Trade(number, 1_000_000 + number, b"1", b"2"), 1000.0)
            self.assertLessEqual(len(tape.since(0)), 55)
        kept = [trade.id for trade in tape.since(0)]
        self.assertEqual(kept, list(range(102 - len(kept), 102)))
        self.assertGreaterEqual(len(kept), 50)
        self.assertEqual(len(tape.snapshot()), 30)

    def test_faults(self) -> None:
        cases: list[tuple[str, float | None, Query, list[int]]] = [
            ("rest-lag", 2, Query(4), [95, 94, 93, 92]),
            ("rest-horizon", 3, Query(1000, newest_first=False), list(range(86, 101))),
            ("rest-short-page", 2, Query(50), [100, 99]),
            ("rest-empty", None, Query(50), []),
        ]
        for name, value, query, expected in cases:
            self.faults.set(name, value)
            self.assertEqual(self.ids(query), expected, name)
            self.faults.clear(name)

    def test_holes_stay_where_they_are(self) -> None:
        self.faults.set("rest-hole", 10)
        shown = self.ids(Query(1000))
        self.assertTrue(80 < len(shown) < 100, len(shown))
        self.assertEqual(shown, self.ids(Query(1000)))

    def test_disorder_keeps_times_or_nothing(self) -> None:
        self.faults.set("rest-ties")
        page = self.tape.history(Query(1000, newest_first=False), self.now)
        self.assertEqual([trade.mts for trade in page], sorted(trade.mts for trade in page))
        self.assertNotEqual([trade.id for trade in page], sorted(trade.id for trade in page))
        self.faults.clear()
        self.faults.set("rest-unsorted")
        page = self.tape.history(Query(1000), self.now)
        self.assertNotEqual([trade.mts for trade in page], sorted((trade.mts for trade in page), reverse=True))
        self.assertEqual(len(page), 100)
