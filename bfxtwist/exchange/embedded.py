"""The whole exchange as one service: a market, its WebSocket and its REST, on one port.

    exchange = EmbeddedExchange(reactor, SimulatedMarket(seed=7, pairs=["tBTCUSD"]))
    yield exchange.start()
    …  exchange.ws_url, exchange.rest_url; exchange.faults.set("late-ack", 13); exchange.ledger["tBTCUSD"]
    yield exchange.stop()
"""

from collections.abc import Callable, Generator
from random import Random
from time import time
from typing import Any, Protocol
from uuid import UUID
from weakref import WeakSet

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IReactorTime, IStreamServerEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Site

from bfxtwist.exchange.conversation import Conversation
from bfxtwist.exchange.entrance import Entrance
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.faulty import FaultyConversation, Strikes
from bfxtwist.exchange.ledger import Ledger
from bfxtwist.exchange.rest import Listed, Rest
from bfxtwist.exchange.server import ServerFactory, ServerProtocol
from bfxtwist.exchange.venue import Limits, Venue
from bfxtwist.place import place_of

#: What the exchange itself allows a client (docs ws-public, requirements-and-limitations).
REAL_LIMITS = Limits(channels=30, connects_per_minute=20, requests_per_minute=15)

#: Channel ids are below this, which is a prime: so a stride comes to each of them once before it begins again.
_CHANNEL_IDS = 999_983
_STRIDE = 618_033

#: Seconds after which a market goes on that has met an error.
_STUMBLE = 1.0

_log = Logger()


class Market(Venue, Listed, Protocol):
    """A venue that lives in time."""

    @property
    def faults(self) -> Faults:
        """What goes wrong here."""

    @property
    def ledger(self) -> Ledger:
        """Every trade that was ever made here."""

    def advance(self, now: float) -> float:
        """Everything that happens until `now`, in seconds since the epoch. Seconds until more does."""

    def stop(self) -> None:
        """The exchange closes."""


class EmbeddedExchange(Service):
    """A small Bitfinex. Use it as a service, or with `start()` and `stop()`.

    `endpoint` says where to listen; without one it is 127.0.0.1 and `port`, of which 0 is any that is free. `wall()` is read
    once, at the start: from then on `reactor` tells the time, so that a fake clock or a stepped one gives no surprises.
    """

    def __init__(
        self,
        reactor: Any,
        market: Market,
        *,
        port: int = 0,
        endpoint: IStreamServerEndpoint | None = None,
        limits: Limits | None = None,
        wall: Callable[[], float] = time,
    ) -> None:
        self.market = market
        self.faults = market.faults
        self.limits = limits or Limits()
        self._clock: IReactorTime = reactor
        self._endpoint = endpoint or TCP4ServerEndpoint(reactor, port, interface="127.0.0.1")
        self._began = wall() - reactor.seconds()
        self._random = Random(0)
        self._channels = 0  # ids given
        self.sockets = ServerFactory(reactor, self._begin_conversation, self.limits)
        self.entrance = Entrance(self.sockets, self.faults, reactor, self.limits.connects_per_minute)
        self.rest = Rest(
            market, faults=self.faults, clock=reactor, now=self.now, limits=self.limits, entrance=self.entrance
        )
        self._strikes = Strikes(self.faults, self.sockets)
        self._site = _OwnSite(self.rest.app.resource(), reactor=reactor)
        self._listening: IListeningPort | None = None
        self._next_turn: IDelayedCall | None = None

    # --- what is known once it listens ----------------------------------------------------------------------

    @property
    def _address(self) -> IPv4Address | IPv6Address:
        address = self._listening.getHost() if self._listening is not None else None
        if not isinstance(address, IPv4Address | IPv6Address):
            raise ValueError("the exchange is not listening on a TCP port")
        return address

    @property
    def port(self) -> int:
        """The TCP port. Raises ValueError while there is none."""
        return int(self._address.port)

    @property
    def place(self) -> str:
        """`127.0.0.1:9999`. Raises ValueError while it listens on no TCP port."""
        return place_of(self._address.host, self.port)

    @property
    def ws_url(self) -> str:
        """`ws://127.0.0.1:9999/ws/2`."""
        return f"ws://{self.place}/ws/2"

    @property
    def rest_url(self) -> str:
        """`http://127.0.0.1:9999/v2`."""
        return f"http://{self.place}/v2"

    @property
    def ledger(self) -> Ledger:
        """Every trade ever made, by symbol."""
        return self.market.ledger

    def now(self) -> float:
        """Seconds since the epoch."""
        return float(self._began + self._clock.seconds())

    # --- start and stop -------------------------------------------------------------------------------------

    @inlineCallbacks
    def start(self) -> Generator[Deferred[Any], Any, None]:
        """Listen, and let the market live. Fails as the endpoint's `listen` does, when the port is in use for one."""
        self._listening = yield self._endpoint.listen(self._site)
        self.sockets.start()
        self._turn()

    @inlineCallbacks
    def stop(self) -> Generator[Deferred[Any], Any, None]:
        """Cut every connection and stop listening. When this fires, nothing is left in the reactor."""
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None
        if self._listening is not None:
            yield maybeDeferred(self._listening.stopListening)
            self._listening = None
            self.entrance.close()
            self.sockets.stop()
            self._site.cut()
            # Connections are lost on the reactor's next turn, after which nothing of them is left.
            yield deferLater(self._clock, 0)
        self.market.stop()

    def privilegedStartService(self) -> None:
        """Listen. Raises if that fails at once, so that a daemon whose port is in use does not run on without it."""
        failures: list[Failure] = []
        self.start().addErrback(failures.append)
        for failure in failures:
            failure.raiseException()

    def startService(self) -> None:
        """Listen, if that has not been done."""
        if self._listening is None:
            self.privilegedStartService()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """As `stop`."""
        super().stopService()
        return self.stop()

    def _turn(self) -> None:
        try:
            pause = self.market.advance(self.now())
        except Exception:  # noqa: BLE001 - logged as the bug it is, or as the full disk; the market must not stop for ever
            _log.failure("the market stumbled, and goes on in {pause:g} s", pause=_STUMBLE)
            pause = _STUMBLE
        self._next_turn = self._clock.callLater(pause, self._turn)

    def _begin_conversation(self, socket: ServerProtocol) -> Conversation:
        conversation = FaultyConversation(
            self.market,
            socket,
            new_channel_id=self._new_channel_id,
            now=lambda: int(self.now() * 1000),
            limits=self.limits,
            faults=self.faults,
            clock=self._clock,
            granted=self._strikes.strike,
        )
        conversation.begin(str(UUID(int=self._random.getrandbits(128), version=4)))
        return conversation

    def _new_channel_id(self) -> int:
        """Each a million times apart; in no order, and some are small (42 and 89 have been seen)."""
        self._channels += 1
        return 10 + self._channels * _STRIDE % _CHANNEL_IDS


class _Channel(HTTPChannel):
    """An HTTP/1.1 connection that its site knows of."""

    site: "_OwnSite"  # set by HTTPFactory

    def connectionMade(self) -> None:
        """Be known."""
        super().connectionMade()
        self.site.transports.add(self.transport)


class _OwnSite(Site):
    """A site that knows its connections, so that those which clients keep open can be cut."""

    protocol = _Channel  # type: ignore[assignment]  # without the layer that would speak HTTP/2
    noisy = False

    def __init__(self, resource: IResource, *, reactor: Any) -> None:
        super().__init__(resource, reactor=reactor)
        self.displayTracebacks = False
        self.transports: WeakSet[Any] = WeakSet()

    def cut(self) -> None:
        """Cut whatever is open, WebSockets too."""
        for transport in list(self.transports):
            if getattr(transport, "connected", True):  # of TLS, one that is lost already cannot be aborted
                transport.abortConnection()

    def log(self, request: Any) -> None:
        """No access log: it would bury what a program that embeds the exchange has to say."""
