"""Lag is told once for each message, a flush takes as long as its job, and a histogram loses neither."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.out.measured import Histogram, LagSampler, TimedThread
from tests.out.served import START, live_book, moment


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


class LagTest(SynchronousTestCase):
    def test_a_message_is_counted_once(self) -> None:
        market = Market()
        feed = live_book(market)
        sampler = LagSampler(market)
        sampler.sample()
        self.assertEqual(sum(sampler.lags["BTC/USD", "book"].counts), 0, "nothing has come yet")
        feed.seen(START // 1000 + 4_925, moment(5))
        sampler.sample()
        sampler.sample()
        lags = sampler.lags["BTC/USD", "book"]
        self.assertEqual(sum(lags.counts), 1)
        self.assertAlmostEqual(lags.sum, 0.075)
        feed.seen(START // 1000 + 7_000, moment(6))  # the exchange's clock is ahead of ours
        sampler.sample()
        self.assertEqual(sum(lags.counts), 2)
        self.assertAlmostEqual(lags.sum, 0.075)

    def test_a_time_that_no_clock_shows(self) -> None:
        market = Market()
        feed = live_book(market)
        sampler = LagSampler(market)
        for time in (-(10**400), 10**400):
            feed.seen(time, moment(5))
            sampler.sample()
        self.assertEqual(sum(sampler.lags["BTC/USD", "book"].counts), 2)


class TimedTest(SynchronousTestCase):
    def test_the_result_is_handed_on_and_its_time_kept(self) -> None:
        clock, done = Clock(), Deferred[Any]()
        timed = TimedThread(lambda job: done, clock)
        result = timed(lambda: None)
        clock.advance(0.02)
        done.callback("rows")
        self.assertEqual(self.successResultOf(result), "rows")
        self.assertEqual((sum(timed.seconds.counts), timed.seconds.sum), (1, 0.02))
