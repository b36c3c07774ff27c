"""A histogram loses no value, and a bound belongs to the values below it."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.histogram import Histogram


class HistogramTest(SynchronousTestCase):
    def test_a_bound_is_included(self) -> None:
        histogram = Histogram((1, 2))
        for value in (0.5, 1, 1.5, 2, 3):
            histogram.observe(value)
        self.assertEqual(histogram.cumulative(), [(1, 2), (2, 4), (float("inf"), 5)])
        self.assertEqual(histogram.sum, 8.0)

    @given(st.lists(st.integers(-5, 20)))
    def test_every_value_is_counted(self, values: list[int]) -> None:
        histogram = Histogram((0, 5, 10))
        for value in values:
            histogram.observe(value)
        for bound, count in histogram.cumulative():
            self.assertEqual(count, sum(value <= bound for value in values))
