"""A feed, an exchange and the network between them, in memory on one fake clock: hours pass in milliseconds.

The sockets are Twisted's iosim; everything above them, on both sides, is the real thing.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump
from zope.interface import implementer

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits
from bfxtwist.feed.budget import ConnectBudget
from bfxtwist.feed.connection import Uplink
from bfxtwist.feed.endpoint import CONNECT_TIMEOUT
from bfxtwist.feed.service import CHANNELS_PER_CONNECTION, FeedService

BOOK = Subscription(ChannelName.BOOK, "tBTCUSD")
TRADES = Subscription(ChannelName.TRADES, "tBTCUSD")

#: Seconds that pass between two looks at the wires.
STEP = 0.1

EPOCH = 1790134414


class _Port:
    """What `listen` gives."""

    def stopListening(self) -> None:
        """Nothing was opened."""


class _Transport(FakeTransport):
    """A fake socket that does not lose what it says with an abort: it says nothing more."""

    def abortConnection(self) -> None:
        self.stream = []
        self.disconnecting = True


@implementer(IStreamClientEndpoint, IStreamServerEndpoint)
class Network:
    """Wires. `mood` is what becomes of attempts to connect: up, refused, unreachable, unknown (to DNS), silent."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.mood = "up"
        self.frozen = False  # nothing is delivered, and nobody is told: a pulled plug
        self.attempts: list[float] = []
        self.pumps: list[IOPump] = []
        self._server: Any = None
        self._half_open: list[FakeTransport] = []

    def listen(self, protocolFactory: IProtocolFactory) -> "Deferred[Any]":
        """The exchange's end."""
        self._server = protocolFactory
        listening: Deferred[Any] = Deferred()
        listening.callback(_Port())
        return listening

    def connect(self, protocolFactory: IProtocolFactory) -> "Deferred[Any]":
        """The feed's end."""
        self.attempts.append(self.clock.seconds())
        errors: dict[str, Callable[[], ConnectError | DNSLookupError]] = {
            "refused": ConnectionRefusedError,
            "unreachable": TimeoutError,
            "unknown": lambda: DNSLookupError("Couldn't find the hostname 'exchange'"),
        }
        if self.mood in errors:
            return fail(Failure(errors[self.mood]()))
        giving_up = self.clock.callLater(CONNECT_TIMEOUT, lambda: connected.errback(TimeoutError()))
        connected: Deferred[Any] = Deferred(lambda _: giving_up.cancel())
        if self.mood == "up" and not self.frozen:
            giving_up.cancel()
            address = IPv4Address("TCP", "127.0.0.1", 9999)
            client, server = protocolFactory.buildProtocol(address), self._server.buildProtocol(address)
            self._wire(client, server)
            connected.callback(client)
        return connected

    def _wire(self, client: Any, server: Any) -> None:
        ends = _Transport(client, isServer=False), _Transport(server, isServer=True)
        self.pumps.append(IOPump(client, server, *ends, False, self.clock))
        server.makeConnection(ends[1])
        client.makeConnection(ends[0])

    def cut(self) -> None:
        """Every connection is lost, at both ends."""
        for pump in self.pumps:
            pump.clientIO.disconnecting = pump.serverIO.disconnecting = True

    def deliver(self) -> None:
        """Everything that was sent arrives, and what is sent in answer."""
        if self.frozen:
            self._hang_up_unheard()
        while not self.frozen and sum(pump.pump() for pump in self.pumps):
            pass
        self.pumps = [pump for pump in self.pumps if not pump.clientIO.disconnected]

    def _hang_up_unheard(self) -> None:
        """Who hangs up on a dead wire is rid of it; the other side never hears."""
        for pump in self.pumps:
            if pump.clientIO.disconnecting and not pump.clientIO.disconnected:
                pump.clientIO.disconnected = True
                pump.clientIO.reportDisconnect()
                self._half_open.append(pump.serverIO)

    def end(self) -> None:
        """The exchange is gone: so are the ends of it that never heard."""
        for transport in self._half_open:
            transport.reportDisconnect()


class World:
    """A feed and an exchange that are connected, or will be."""

    def __init__(
        self,
        subscriptions: Iterable[Subscription] = (BOOK, TRADES),
        *,
        seed: int = 7,
        limits: Limits | None = None,
        budget: ConnectBudget | None = None,
        channels_per_connection: int = CHANNELS_PER_CONNECTION,
    ) -> None:
        wanted = list(subscriptions)
        self.clock = Clock()
        self.clock.advance(1000)
        self.network = Network(self.clock)
        symbols = list(dict.fromkeys(subscription.symbol for subscription in wanted)) or ["tBTCUSD"]
        self.exchange = EmbeddedExchange(
            self.clock,
            SimulatedMarket(seed=seed, pairs=symbols),
            endpoint=self.network,
            limits=limits,
            wall=lambda: EPOCH + 1000,
        )
        self.market = Market()
        self.refusals: list[tuple[str, int]] = []
        self.uplink = Uplink(
            url="ws://exchange/ws/2",
            endpoint=self.network,
            market=self.market,
            clock=self.clock,
            moment=self.moment,
            rng=Random(seed),
            budget=budget or ConnectBudget(),
        )
        self.service = FeedService(
            self.uplink,
            wanted,
            refused=lambda subscription, refusal: self.refusals.append((str(subscription), refusal.code)),
            channels_per_connection=channels_per_connection,
        )

    def moment(self) -> Moment:
        """It is the same time for everybody."""
        return Moment(self.clock.seconds(), int((EPOCH + self.clock.seconds()) * 1e6))

    def start(self) -> "World":
        """Both begin, and everything is live."""
        self.exchange.start()
        self.service.startService()
        self.advance(5)
        return self

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.network.deliver()
        for _ in range(round(seconds / STEP)):
            self.clock.advance(STEP)
            self.network.deliver()

    def seconds_until(self, condition: Callable[[], bool], at_most: float = 300.0) -> float:
        """Let time pass until the condition holds. Seconds that it took. Raises AssertionError when it does not."""
        began = self.clock.seconds()
        while not condition():
            if self.clock.seconds() - began > at_most:
                raise AssertionError(f"not within {at_most} s; {self.service.status()}, {self.states}")
            self.advance(STEP)
        return self.clock.seconds() - began

    def stop(self) -> None:
        """Both end; nothing may be left on the clock."""
        stopped = self.service.stopService()
        self.advance(3)
        assert stopped.called, "it was not closed within 3 s"
        self.exchange.stop()
        self.network.end()
        self.advance(1)

    # --- what there is to see ---------------------------------------------------------------------------------

    @property
    def states(self) -> dict[str, str]:
        """Of each feed, its state and the reason."""
        return {str(feed.subscription): f"{feed.state.value} {feed.reason}".strip() for feed in self.market.feeds()}

    @property
    def live(self) -> bool:
        """Whether every feed is."""
        return all(
            (feed.status_now if isinstance(feed, BookFeed) else feed.state) is FeedState.LIVE for feed in self.market.feeds()
        )

    @property
    def verified(self) -> bool:
        """Whether every book is live and its last checksum matched."""
        return self.live and all(book.verified for book in self.market.books.values())

    @property
    def ends(self) -> dict[str, int]:
        """What ended connections and attempts, by word."""
        return dict(self.uplink.ends)

    def most_attempts_a_minute(self) -> int:
        """The largest number of attempts to connect in any minute."""
        attempts = self.network.attempts
        return max((sum(start <= other < start + 60 for other in attempts) for start in attempts), default=0)
