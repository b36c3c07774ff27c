"""What no part counts by itself, measured from outside for `GET /metrics`: lag behind the exchange, time to be durable."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from bfxtwist.core.market import Market
from bfxtwist.core.moment import Moment
from bfxtwist.out.in_thread import InThread

_T = TypeVar("_T")
_R = TypeVar("_R")

#: Seconds. Within a continent a message takes 5 to 50 ms; a reactor that does not keep up is behind by seconds.
LAG_BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

#: Seconds. fdatasync takes 0.3 ms on a fast disk, 10 to 100 ms on a slow one.
FLUSH_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Histogram:
    """Counts of values by upper bound, each bound included, as Prometheus has it: a distribution in a few integers."""

    def __init__(self, bounds: Sequence[float]) -> None:
        """`bounds` rise; values above the last are counted too."""
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(self.bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[tuple[float, int]]:
        """Each bound, infinity last, with how many values were not above it."""
        return list(zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True))


class LagSampler:
    """How long messages take from the exchange's clock to ours.

    `sample` is called once a second and looks at the last message of each feed, so that the way of all the others costs
    nothing. A message is counted once, however long it stays the last. Two clocks that disagree give at least 0.
    """

    def __init__(self, market: Market) -> None:
        self.lags: dict[tuple[str, str], Histogram] = {}  # by pair and channel
        self._market = market
        self._seen: dict[tuple[str, str], Moment] = {}

    def sample(self) -> None:
        """Look at each feed."""
        for feed in self._market.feeds():
            key, last = (feed.name, feed.subscription.channel.value), feed.last_frame
            lags = self.lags.setdefault(key, Histogram(LAG_BOUNDS))
            if last is None or feed.exchange_time is None or self._seen.get(key) is last:
                continue
            self._seen[key] = last
            lag = max(last.wall - feed.exchange_time * 1000, 0)
            lags.observe(min(lag, last.wall) / 1e6)  # an integer of JSON can be larger than any float


class TimedThread:
    """Runs jobs as another `InThread` does, and keeps how long they took, waiting for a thread included."""

    def __init__(self, in_thread: InThread, clock: IReactorTime) -> None:
        self.seconds = Histogram(FLUSH_BOUNDS)
        self._in_thread = in_thread
        self._clock = clock

    def __call__(self, job: Callable[[], _T], /) -> Deferred[_T]:
        """Fires with the job's result."""
        began = self._clock.seconds()

        def ended(result: _R) -> _R:
            self.seconds.observe(self._clock.seconds() - began)
            return result

        return self._in_thread(job).addBoth(ended)
