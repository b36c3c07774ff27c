"""Figures of a report."""

from twisted.trial.unittest import SynchronousTestCase

from tests.soak.measures import Counts, listed, percentile, slope


class Figures(SynchronousTestCase):
    def test_slope(self) -> None:
        self.assertAlmostEqual(slope([(0, 50), (1, 52), (2, 54)]), 2)
        self.assertAlmostEqual(slope([(0, 50), (1, 50.5), (2, 49.5), (3, 50)]), -0.1)
        self.assertEqual((slope([]), slope([(1, 1)]), slope([(1, 1), (1, 2)])), (0, 0, 0))

    def test_percentile(self) -> None:
        self.assertEqual([percentile(range(1, 101), part) for part in (0.0, 0.5, 0.99, 1.0)], [1, 51, 100, 100])
        self.assertEqual(percentile([], 0.5), 0)

    def test_counts_go_on_over_restarts(self) -> None:
        counts = Counts()
        counts.seen({"lost": 1})
        counts.seen({"lost": 3})
        counts.restarted()
        counts.seen({"lost": 1, "sequence": 2})
        self.assertEqual(counts.total, {"lost": 4, "sequence": 2})
        self.assertEqual(counts.latest, {"lost": 1, "sequence": 2})

    def test_listed(self) -> None:
        self.assertEqual(listed({"silence": 3, "lost": 9, "close": 3}), "15 (lost 9, close 3, silence 3)")
        self.assertEqual(listed({}), "0")
