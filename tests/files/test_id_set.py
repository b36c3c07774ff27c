"""The set of ids is a set, whatever its pages are made of, and it is small."""

import tracemalloc
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.files.id_set import IdSet

_IDS = st.integers(1, 10**18) | st.integers(1, 200) | st.integers(65_500, 65_600)


class AsASet(SynchronousTestCase):
    @given(st.lists(_IDS, max_size=60), _IDS, _IDS)
    def test_any_ids(self, numbers: list[int], first: int, last: int) -> None:
        first, last = min(first, last), max(first, last)
        ids, model = IdSet(), set[int]()
        for number in numbers:
            self.assertEqual(ids.add(number), number not in model)
            model.add(number)
        self.assertEqual(len(ids), len(model))
        self.assertTrue(all(number in ids for number in model))
        self.assertEqual((first in ids, last + 1 in ids), (first in model, last + 1 in model))
        self.assertEqual(ids.count(first, last), sum(first <= number <= last for number in model))

    @settings(max_examples=5)
    @given(st.integers(0, 9))
    def test_pages_that_become_bitmaps(self, seed: int) -> None:
        random = Random(seed)
        numbers = [random.randrange(60_000, 140_000) for _ in range(20_000)]
        ids, model = IdSet(), set[int]()
        for number in numbers:
            self.assertEqual(ids.add(number), number not in model)
            model.add(number)
        self.assertTrue(all((number in ids) == (number in model) for number in range(59_990, 140_010)))
        for first, last in ((60_000, 139_999), (65_536, 131_071), (70_001, 70_009), (131_070, 131_073)):
            self.assertEqual(ids.count(first, last), sum(first <= number <= last for number in model))

    def test_an_empty_range_holds_nothing(self) -> None:
        ids = IdSet()
        ids.add(5)
        self.assertEqual((ids.count(6, 5), ids.count(6, 4), len(IdSet())), (0, 0, 0))


class Size(SynchronousTestCase):
    def test_ids_that_lie_as_a_busy_pairs_do_take_a_few_bytes_each(self) -> None:
        ids = IdSet()
        tracemalloc.start()
        try:
            for number in range(310_628_121, 310_628_121 + 200_000 * 30, 30):
                ids.add(number)
            used, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        self.assertLess(used / 200_000, 4)
