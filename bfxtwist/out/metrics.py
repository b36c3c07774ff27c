"""`GET /metrics`: the counters that the parts keep anyway, read when somebody asks. What is not asked for costs nothing.

    metrics = Metrics(partial(one_each_turn, clock=reactor))
    metrics.add(lambda: http_figures(site))       # what to read is in metric_figures.py
    api.add_slow_route("/metrics", metrics.answer)

The counters are read in the reactor, which writes them: one metric each turn, since all of 300 books take 15 ms. Their text
is made in a thread: it is 8,000 lines, and would keep the feed waiting for 60 ms more.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.internet.threads import deferToThread
from twisted.web.iweb import IRequest

from bfxtwist.out.in_thread import InThread
from bfxtwist.out.query import query
from bfxtwist.out.responses import Body, reply, representation

Source = Callable[[], Iterable[Metric]]

#: Takes one step after the other, and fires when there are no more.
InTurns = Callable[[Iterator[object]], Deferred[Iterator[object]]]


def one_each_turn(steps: Iterator[object], clock: IReactorTime) -> Deferred[Iterator[object]]:
    """Let the reactor see to everything else between two steps."""
    return Cooperator(lambda: lambda: True, partial(clock.callLater, 0)).coiterate(steps)


class Metrics(Collector):
    """Everything that is told, and where it is read."""

    def __init__(self, in_turns: InTurns, in_thread: InThread = deferToThread) -> None:
        self._in_thread = in_thread
        self._in_turns = in_turns
        # A registry of our own: prometheus-client's global one knows nothing of two daemons in one process.
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._sources: list[Source] = []
        self.registry.register(self)

    def add(self, source: Source) -> None:
        """Tell what `source` returns too, each time. No two sources have a metric of one name."""
        self._sources.append(source)

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry need not look for names that are there twice."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """All metrics, as they are now."""
        for source in self._sources:
            yield from source()

    def answer(self, request: IRequest) -> Deferred[bytes]:
        """Text or OpenMetrics, as the client prefers. Fails with Problem.

        Not prometheus-client's own resource for Twisted, which is WSGI: it would read in a thread what the reactor writes.
        """
        return Deferred.fromCoroutine(self._answer(request))

    async def _answer(self, request: IRequest) -> bytes:
        query(request)
        encode, media_type = choose_encoder(request.getHeader("Accept") or "")
        read = _Read()
        await self._in_turns(map(read.metrics.append, self.registry.collect()))

        def body() -> Body:
            made = Body(encode(read))
            representation(request, made)  # compressed here, too
            return made

        return reply(request, await self._in_thread(body), media_type=media_type.encode())


class _Read(Collector):
    """Metrics that have been read, as a registry to be encoded."""

    def __init__(self) -> None:
        self.metrics: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.metrics
