"""The web server under the routes: twisted.web, made fit for clients that mean no good.

- What one connection may do is the `http_channel`'s; that a client repeats itself is seen by `repeats`.
- Connections are bounded. The one that has gone longest without completing a request makes room for the next.
- Who may ask is the `guard`'s decision. No Server header, no access log, no HTTP/2.
"""

from collections import Counter

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web import http, server
from twisted.web.resource import IResource

from bfxtwist.out.fairness import Turns
from bfxtwist.out.guard import Guard
from bfxtwist.out.http_channel import HttpChannel, HttpLimits, Phase
from bfxtwist.out.repeats import RepeatChannel
from bfxtwist.out.request import Request
from bfxtwist.out.routes import Answer, AnswersAtOnce

#: Connections beyond the bound that are told so; further ones are closed without a word.
_TURNED_AWAY = 64


class Site(server.Site):
    """All connections."""

    noisy = False
    requestFactory = Request
    protocol = RepeatChannel  # type: ignore[assignment]  # without the layer that chooses between HTTP/1.1 and 2

    def __init__(self, resource: IResource, reactor: IReactorTime, guard: Guard, limits: HttpLimits | None = None) -> None:
        self.limits = limits or HttpLimits()
        super().__init__(resource, reactor=reactor, timeout=self.limits.idle_seconds, parsePOSTFormSubmission=False)
        self.guard = guard
        self._routes = resource if isinstance(resource, AnswersAtOnce) else None
        self.turns = Turns(reactor, self.limits.requests_per_turn)
        self.answered: Counter[int] = Counter()  # by status
        self._open: dict[HttpChannel, None] = {}
        self._waiting: dict[HttpChannel, None] = {}  # for a request, since it came or since its last answer: longest first
        self._empty: Deferred[None] | None = None

    def route_of(self, method: bytes, path: bytes) -> Answer | None:
        """What answers a request at once, if it need not go through the resource."""
        return None if self._routes is None else self._routes.route_of(method, path)

    def admit(self, guard: Guard) -> None:
        """Ask another guard from the next request on, also on connections that are open. Those of the relay go on."""
        self.guard = guard
        for channel in self._open:
            channel.forget()

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    def buildProtocol(self, addr: IAddress | None) -> HttpChannel | None:  # type: ignore[override]
        """A channel for a new connection, or None to close it."""
        if len(self._open) >= self.limits.connections:
            self._make_room()
        full = len(self._open) >= self.limits.connections
        if len(self._open) >= self.limits.connections + _TURNED_AWAY:
            return None
        channel: HttpChannel = super().buildProtocol(addr)
        channel.turned_away = full
        self._open[channel] = None
        return channel

    def _make_room(self) -> None:
        longest = next(iter(self._waiting), None)
        if longest is not None:
            self.is_gone(longest)
            longest.transport.abortConnection()

    def waits(self, channel: HttpChannel) -> None:
        """The channel waits for a request from now on."""
        self._waiting[channel] = None

    def is_served(self, channel: HttpChannel) -> None:
        """The channel has a request."""
        self._waiting.pop(channel, None)

    def is_gone(self, channel: HttpChannel) -> None:
        """The channel is closed, or is to be counted by somebody else."""
        self._open.pop(channel, None)
        self._waiting.pop(channel, None)
        if not self._open and self._empty is not None:
            empty, self._empty = self._empty, None
            empty.callback(None)

    def close_connections(self) -> Deferred[None]:
        """End all connections. What has been answered is still sent; fires when they are gone, within seconds."""
        for channel in list(self._open):
            if channel.phase is not Phase.LEAVING:
                channel.leave()
        if not self._open:
            return succeed(None)
        self._empty = self._empty or Deferred()
        return self._empty

    def acceptableProtocols(self) -> list[bytes]:
        """HTTP/1.1 alone: nothing here was made for HTTP/2, even where the `h2` package is installed."""
        return [b"http/1.1"]

    def startFactory(self) -> None:
        """No access log: it costs a third of the throughput, and would say 1970 where the reactor's clock is monotonic."""

    def stopFactory(self) -> None:
        """Nothing was started."""

    def log(self, request: http.Request) -> None:
        """Count instead of writing a line."""
        self.answered[request.code] += 1
