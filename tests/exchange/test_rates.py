"""Who comes too often is kept out for a minute."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.rates import RateLimit


class RateLimitTest(SynchronousTestCase):
    """Three a minute."""

    def test_the_fourth_closes_the_door_for_a_minute(self) -> None:
        rate = RateLimit(3)
        admitted = [rate.admit(now) for now in (0.0, 1.0, 2.0, 3.0, 61.0, 62.0, 63.0)]
        self.assertEqual(admitted, [True, True, True, False, False, False, True])
        self.assertEqual((rate.admitted, rate.breaches), (4, 3))

    def test_slow_enough_is_never_refused(self) -> None:
        rate = RateLimit(3)
        self.assertTrue(all(rate.admit(now * 21.0) for now in range(50)))

    def test_no_limit(self) -> None:
        rate = RateLimit(None)
        self.assertTrue(all(rate.admit(0.0) for _ in range(1000)))
