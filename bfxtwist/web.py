"""Everything that is served: the page, the book, the relay, metrics. One site, on every address of --listen."""

import resource
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from bfxtwist import __version__
from bfxtwist.core.market import Market
from bfxtwist.core.moment import Moment
from bfxtwist.core.uplink_status import UplinkStatus
from bfxtwist.out.guard import guard
from bfxtwist.out.http import HttpApi
from bfxtwist.out.http_channel import HttpLimits
from bfxtwist.out.latest_trades import LatestTrades
from bfxtwist.out.listen import HttpService, read_token
from bfxtwist.out.measured import LagSampler
from bfxtwist.out.metric_figures import build_figures, feed_figures, http_figures, lag_figures, relay_figures, uplink_figures
from bfxtwist.out.metrics import Metrics, one_each_turn
from bfxtwist.out.openapi import serve_openapi
from bfxtwist.out.page_files import serve_page
from bfxtwist.out.relay import Relay
from bfxtwist.out.relay_client import RelayLimits
from bfxtwist.out.site import Site
from bfxtwist.recorders import Recorders
from bfxtwist.settings import Settings

_log = Logger()

#: Seconds between two samples of how far behind the exchange we are: the path of each frame pays nothing for it.
_SAMPLE_EVERY = 1.0

_Limits = TypeVar("_Limits", HttpLimits, RelayLimits)


def within_files(limits: _Limits) -> _Limits:
    """With a quarter of the files that may be open, at most: clients must not take those of feed and trade files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if files == resource.RLIM_INFINITY:
        return limits
    return replace(limits, connections=min(limits.connections, files // 4))


class Web(Service):
    """The site and what stands on it. `connections` tells of the connections to the exchange, once they are made."""

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        market: Market,
        recorders: Recorders,
        *,
        moment: Callable[[], Moment],
        connections: Callable[[], UplinkStatus | None],
    ) -> None:
        """Raises ValueError, with the fix, for an address that is none or a token file that cannot be used."""
        self.api = HttpApi(market, moment, __version__)
        self.relay = Relay(market, reactor, moment, within_files(RelayLimits()))
        self._metrics = Metrics(partial(one_each_turn, clock=reactor))
        self._lags = LagSampler(market)
        self._sampling = LoopingCall(self._lags.sample)
        self._sampling.clock = reactor
        self._token_file = settings.token_file
        who = guard(settings.allow_hosts, settings.allow_origins, self._token())
        self._site = Site(self.api.resource(), reactor, who, within_files(HttpLimits()))
        self.http = HttpService(reactor, settings.listen, self._site)
        self._serve(market, recorders, connections)
        self._measure(market, recorders, moment, connections)

    def _serve(self, market: Market, recorders: Recorders, connections: Callable[[], UplinkStatus | None]) -> None:
        api = self.api
        serve_page(api)
        serve_openapi(api, __version__)
        LatestTrades(api, market, recorders.file)
        api.add_slow_route("/metrics", self._metrics.answer)
        api.mount("/ws/2", self.relay.resource)
        api.add_status("feed", lambda: connections() or {})
        api.add_status("recorders", recorders.status)
        api.add_status("relay", self.relay.status)
        api.add_readiness("recorders", recorders.not_ready)

    def _measure(
        self,
        market: Market,
        recorders: Recorders,
        moment: Callable[[], Moment],
        connections: Callable[[], UplinkStatus | None],
    ) -> None:
        started = moment()
        for figures in (
            lambda: build_figures(__version__, started),
            lambda: feed_figures(market, moment()),
            lambda: lag_figures(self._lags.lags),
            lambda: uplink_figures(connections()),
            recorders.figures,
            lambda: http_figures(self._site),
            lambda: relay_figures(self.relay.status(), market),
        ):
            self._metrics.add(figures)

    def _token(self) -> bytes | None:
        return None if self._token_file is None else read_token(self._token_file)

    def renew(self) -> None:
        """SIGHUP: read certificates and the token anew. Of those that cannot be used, the old stay."""
        for what, read in (("certificate", self.http.read_certificates), ("token", self._read_token)):
            try:
                read()
            except ValueError as error:
                _log.error("SIGHUP: the old {what} stays: {error}", what=what, error=str(error), news=True)

    def _read_token(self) -> None:
        token = self._token()
        if token != self._site.guard.token:
            self._site.admit(replace(self._site.guard, token=token))
            _log.info("SIGHUP: the token is another from now on", news=True)

    @property
    def addresses(self) -> list[str]:
        """The URLs, once it listens."""
        return self.http.addresses

    def privilegedStartService(self) -> None:
        """Bind. Raises CannotListen."""
        super().privilegedStartService()
        self.http.privilegedStartService()

    def startService(self) -> None:
        """Answer."""
        super().startService()
        self.http.startService()
        self.relay.startService()
        self._sampling.start(_SAMPLE_EVERY)

    def stopService(self) -> Deferred[None]:
        """Take leave of everybody."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._sampling.running:
            self._sampling.stop()
        await self.relay.stopService()
        await self.http.stopService()
