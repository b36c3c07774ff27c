"""The page of a daemon on an exchange of its own, on real sockets: what the browser tests look at."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, ensureDeferred

from bfxtwist.app import now
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits
from bfxtwist.out.guard import Guard
from bfxtwist.out.http import HttpApi
from bfxtwist.out.listen import HttpService
from bfxtwist.out.page_files import serve_page
from bfxtwist.out.relay import Relay
from bfxtwist.out.relay_client import RelayLimits
from bfxtwist.out.site import Site
from tests.feed.sockets import RealFeed, reactor


class ServedPage:
    """An exchange, a feed, and the daemon's site with `/`, `/book`, `/status` and `/ws/2`."""

    def __init__(
        self,
        symbols: Sequence[str] = ("tBTCUSD",),
        *,
        rate: float = 1.0,
        length: int = 25,
        frequency: str = "F0",
        heartbeat: float = 15.0,
        description: str = "tcp:0:interface=127.0.0.1",
        token: bytes | None = None,
        **relay_limits: Any,
    ) -> None:
        self.exchange = EmbeddedExchange(
            reactor, SimulatedMarket(pairs=symbols, rate=rate), limits=Limits(heartbeat_seconds=heartbeat)
        )
        self.faults = self.exchange.faults
        self.market = Market()
        self._wanted = [Subscription(ChannelName.BOOK, symbol, frequency=frequency, length=length) for symbol in symbols]
        self._wanted += [Subscription(ChannelName.TRADES, symbol) for symbol in symbols]
        self.api = HttpApi(self.market, now, "0")
        self.relay = Relay(self.market, reactor, now, RelayLimits(heartbeat_seconds=heartbeat, **relay_limits))
        self.api.mount("/ws/2", self.relay.resource)
        serve_page(self.api)
        self.site = Site(self.api.resource(), reactor, Guard(token=token))
        self.http = HttpService(reactor, [description], self.site)

    @property
    def url(self) -> str:
        """Of the page, without a slash at its end."""
        return self.http.addresses[0]

    @property
    def ws_url(self) -> str:
        """Of the relay."""
        return f"ws{self.url.removeprefix('http')}/ws/2"

    def start(self) -> "Deferred[None]":
        """Fires when the exchange is connected to, not yet live."""
        return ensureDeferred(self._start())

    async def _start(self) -> None:
        await self.exchange.start()
        self.feed = RealFeed(self.exchange.ws_url, self._wanted, self.market).service
        self.relay.startService()
        self.http.startService()

    def stop(self) -> "Deferred[None]":
        """Fires when nothing of it is left."""
        return ensureDeferred(self._stop())

    async def _stop(self) -> None:
        await self.feed.stopService()
        await self.relay.stopService()
        await self.http.stopService()
        await self.exchange.stop()
