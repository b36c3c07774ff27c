"""How long to wait before the next try."""

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.feed.backoff import Backoff


class Highest(Random):
    """Always the most of it."""

    def random(self) -> float:
        return 1.0


class Delays(SynchronousTestCase):
    """Full jitter under a ceiling that doubles."""

    def test_the_ceiling(self) -> None:
        backoff = Backoff(Highest())
        self.assertEqual([backoff.next_delay() for _ in range(9)], [1, 2, 4, 8, 16, 32, 60, 60, 60])
        backoff.reset()
        self.assertEqual(backoff.next_delay(), 1)

    def test_the_jitter_is_full(self) -> None:
        delays = []
        for seed in range(1000):
            backoff = Backoff(Random(seed))
            for _ in range(6):
                backoff.next_delay()
            delays.append(backoff.next_delay())
        self.assertTrue(0 <= min(delays) < 1 and 59 < max(delays) <= 60)
        self.assertTrue(28 < sum(delays) / 1000 < 32)
