"""The whole daemon as one service. Nobody else knows all the parts.

    settings ──► market ◄── feed (WebSocket)         history (REST) ──► recorders ──► trade.csv
                   │                                                        ▲
                   ├──────────────── trades ────────────────────────────────┘
                   └──► http (GET /book, /trades, /status, /metrics)
"""

from collections.abc import Callable, Iterable
from os import environ
from os.path import commonpath
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

from prometheus_client.metrics_core import Metric
from treq.client import HTTPClient
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from bfxtwist import __version__
from bfxtwist.core.market import FeedState, Market, Moment, Subscription
from bfxtwist.core.messages import ChannelName, Refused
from bfxtwist.core.symbols import COMMON_NAMES, WELL_KNOWN, Pair, nearest, parse_pair
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.feed.budget import ConnectBudget, SharedLedger
from bfxtwist.feed.connection import Uplink
from bfxtwist.feed.endpoint import exchange_endpoint
from bfxtwist.feed.history import RateBudget, RestHistory
from bfxtwist.feed.pairs import Listing, fetch_listing
from bfxtwist.feed.rest import Unanswered
from bfxtwist.feed.service import FeedService
from bfxtwist.out.guard import guard
from bfxtwist.out.http import HttpApi
from bfxtwist.out.latest_trades import LatestTrades
from bfxtwist.out.listen import HttpService, check_listen, read_token
from bfxtwist.out.measured import LagSampler, TimedThread
from bfxtwist.out.metric_figures import (
    build_figures,
    feed_figures,
    http_figures,
    lag_figures,
    recorder_figures,
    uplink_figures,
)
from bfxtwist.out.metrics import Metrics
from bfxtwist.out.openapi import serve_openapi
from bfxtwist.out.page_files import serve_page
from bfxtwist.out.relay import Relay
from bfxtwist.out.site import Site
from bfxtwist.out.trade_csv import SyncPolicy
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_recorder import TradeRecorder, check_folder
from bfxtwist.settings import LISTEN, FeedSettings, Settings
from bfxtwist.state_log import StateLog

_log = Logger()

#: sysexits' EX_CONFIG: what was asked for cannot be, and trying again changes nothing.
EX_CONFIG = 78

#: So many books or files get a line each in the log.
_FEW = 4

Ended = Callable[[int, str], None]


def check(settings: Settings) -> None:
    """See that the settings can be had on this machine: folders, addresses, files. Raises ValueError with the fix."""
    for description in settings.listen:
        _check_endpoint(description)
        check_listen(description, allow_remote=settings.allow_remote, token=settings.token_file is not None)
    if settings.token_file is not None:
        read_token(settings.token_file)
    guard(settings.allow_hosts, settings.allow_origins)
    for feed in settings.feeds:
        if feed.folder is not None:
            check_folder(feed.folder)


def _check_endpoint(description: str) -> None:
    """Only the reactor that would listen is asked for, and it is not needed to read a description."""
    try:
        serverFromString(None, description)
    except (ValueError, TypeError, KeyError, OSError) as error:
        why = str(error) or type(error).__name__
        raise ValueError(f"--listen {description!r} is no endpoint ({why}): write it like {LISTEN}") from None


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """Where a request goes: as the WebSocket does, with the same certificates and proxy."""

    def __init__(self, reactor: Any, settings: Settings) -> None:
        self._reactor = reactor
        self._settings = settings

    def endpointForURI(self, uri: Any) -> IStreamClientEndpoint:
        url = uri.toBytes().decode("ascii")
        return exchange_endpoint(self._reactor, url, ca_file=self._settings.ca_file, environ=environ)


class Daemon(Service):
    """Everything that `Settings` ask for, from `privilegedStartService` to `stopService`.

    `market` is there from the beginning, so that readers can be attached before it runs. `ended` is told, with an exit code
    and a line for people, when it is of no use to go on; the caller then stops the service.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        moment: Callable[[], Moment],
        *,
        ended: Ended = lambda code, line: None,
        rng: Random | None = None,
    ) -> None:
        """Raises ValueError, with the fix, for an address or a URL that is none."""
        self.settings = settings
        self.market = Market()
        self.recorders: dict[str, TradeRecorder] = {}  # by symbol
        self.http: HttpService
        self.metrics = Metrics()
        self._reactor = reactor
        self._moment = moment
        self._ended = ended
        self._rng = rng or Random()
        self._listing: Listing | None = None
        self._feed: FeedService | None = None
        self._starting: Deferred[None] | None = None
        self._exchange = _demo_exchange(reactor, settings) if settings.demo else None
        self._history_budget = RateBudget(reactor)
        self._lags = LagSampler(self.market)
        self._sampling = LoopingCall(self._lags.sample)
        self._sampling.clock = reactor
        self._flushes: dict[str, TimedThread] = {}  # by symbol
        self.api = HttpApi(self.market, moment, __version__)
        self._build_http()
        self._states = StateLog(moment)
        for feed in settings.feeds:
            self._carry(feed.subscription)

    def _carry(self, subscription: Subscription) -> None:
        self._states.watch(self.market.carry(subscription, self._moment()))

    def _build_http(self) -> None:
        settings, api = self.settings, self.api
        token = None if settings.token_file is None else read_token(settings.token_file)
        who = guard(settings.allow_hosts, settings.allow_origins, token)
        site = Site(api.resource(), self._reactor, who)
        self.http = HttpService(self._reactor, settings.listen, site)
        api.add_status("feed", self.status)
        api.add_status("recorders", lambda: {symbol: one.status() for symbol, one in self.recorders.items()})
        api.add_readiness("recorders", self._recorders_not_ready)
        api.add_route("/metrics", self.metrics.answer)
        LatestTrades(api, self.market, self._trade_file)
        serve_openapi(api, __version__)
        self.relay = Relay(self.market, self._reactor, self._moment)
        api.mount("/ws/2", self.relay.resource)
        api.add_status("relay", self.relay.status)
        serve_page(api)
        self._tell_metrics(site)

    def _tell_metrics(self, site: Site) -> None:
        metrics, started = self.metrics, self._moment()
        metrics.add(lambda: build_figures(__version__, started))
        metrics.add(lambda: feed_figures(self.market, self._moment()))
        metrics.add(lambda: lag_figures(self._lags.lags))
        metrics.add(lambda: uplink_figures(self.status()))
        metrics.add(self._recorder_figures)
        metrics.add(lambda: http_figures(site))

    def _trade_file(self, symbol: str) -> Path | None:
        recorder = self.recorders.get(symbol)
        return None if recorder is None else recorder.folder / "trade.csv"

    def _recorder_figures(self) -> Iterable[Metric]:
        statuses = {symbol: one.status() for symbol, one in self.recorders.items()}
        flushes = {symbol: self._flushes[symbol].seconds for symbol in statuses}
        return recorder_figures(statuses, flushes, self._moment())

    # --- start ------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Bind and open everything that may be refused. Raises SystemExit or TradeFileError before anything is connected."""
        super().privilegedStartService()
        if self._exchange is not None:
            self._exchange.privilegedStartService()
        self.http.privilegedStartService()
        for feed in self.settings.feeds:
            if feed.channel is ChannelName.TRADES:
                self._add_recorder(feed).open()

    def startService(self) -> None:
        """Connect."""
        if not self.http.addresses:
            self.privilegedStartService()
        super().startService()
        if self._exchange is not None:
            self._exchange.startService()
        self.http.startService()
        self.relay.startService()
        for recorder in self.recorders.values():
            recorder.start()
        self._sampling.start(1.0)
        self._tell_addresses()
        self._starting = Deferred.fromCoroutine(self._connect())
        self._starting.addErrback(lambda failure: _log.failure("a bug while starting", failure))

    async def _connect(self) -> None:
        if not self._exchange:  # the embedded exchange has every pair that it was made with
            await self._ask_for_listing()
        if self._listing is not None:
            self.api.names = {**COMMON_NAMES, **self._listing.names}
        unknown = [line for pair in self.settings.pairs if (line := self._unknown(pair))]
        if unknown:
            self._ended(EX_CONFIG, "; ".join(unknown))
            return
        subscriptions = [feed.subscription for feed in self.settings.feeds]
        self._feed = FeedService(self._uplink(), subscriptions, self._refused)
        self._feed.startService()

    async def _ask_for_listing(self) -> None:
        client = HTTPClient(self._agent())
        try:
            self._listing = await fetch_listing(client, self._rest_url, self._reactor)
        except Unanswered as error:
            _log.warn("the exchange's list of pairs cannot be had, pairs are not checked: {error}", error=error)

    def _unknown(self, pair: Pair) -> str | None:
        """What to tell of a pair that the exchange does not have; None of one that it has, as far as that is known."""
        listing = self._listing
        if listing is None or not listing.pairs or pair.code in listing.pairs:
            return None
        renamed = Pair(listing.names.get(pair.base, pair.base), listing.names.get(pair.quote, pair.quote))
        near = [renamed.symbol] if renamed.code in listing.pairs else nearest(pair, listing.pairs)
        hint = f"did you mean {' or '.join(near)}?" if near else "see GET /v2/conf/pub:list:pair:exchange"
        return f"the exchange does not know {pair.name} ({pair.symbol}): {hint}"

    def _refused(self, subscription: Subscription, refusal: Refused) -> None:
        """Error 10300 and its like. Before anything was ever live it is the user's mistake; later something has changed."""
        pair = parse_pair(subscription.symbol)
        line = self._unknown(pair) or f"the exchange refuses {subscription}: {refusal.text} ({refusal.code}){_near(pair)}"
        if self.market.feed(subscription).counts.snapshots:
            _log.error("{line}; the other feeds go on", line=line)
        else:
            self._ended(EX_CONFIG, line)

    def _tell_addresses(self) -> None:
        """Where everything is. Of many, only where to find them all."""
        if self._exchange is not None:
            text = "the demo's exchange: {ws_url} and {rest_url}"
            _log.info(text, ws_url=self._exchange.ws_url, rest_url=self._exchange.rest_url)
        books, recorders = self.market.books.values(), self.recorders.values()
        for address in self.http.addresses:
            if len(books) > _FEW:
                _log.info("{count} books: {url}", count=len(books), url=f"{address}/books")
                continue
            for feed in books:
                query = f"?pair={feed.name}" if len(books) > 1 else ""
                _log.info("{pair} book: {url}", pair=feed.name, url=f"{address}/book{query}")
        if len(recorders) > _FEW:
            folder = Path(commonpath([one.folder for one in recorders]))
            _log.info("{count} trade files: {path}", count=len(recorders), path=str(folder / "…" / "trade.csv"))
            return
        for one in recorders:
            _log.info("{pair} trades: {path}", pair=parse_pair(one.symbol).name, path=str(one.folder / "trade.csv"))

    # --- the parts --------------------------------------------------------------------------------------------

    @property
    def _rest_url(self) -> str:
        return self._exchange.rest_url if self._exchange else self.settings.rest_url

    def _uplink(self) -> Uplink:
        settings, reactor = self.settings, self._reactor
        url = self._exchange.ws_url if self._exchange else settings.ws_url
        ledger = None
        if settings.lock_folder is not None:
            ledger = SharedLedger(settings.lock_folder / f"connects-{urlsplit(url).hostname}.lock")
        return Uplink(
            url=url,
            endpoint=exchange_endpoint(reactor, url, ca_file=settings.ca_file, environ=environ),
            market=self.market,
            clock=reactor,
            moment=self._moment,
            rng=self._rng,
            budget=ConnectBudget(ledger),
        )

    def _agent(self) -> Agent:
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        agent: Agent = Agent.usingEndpointFactory(self._reactor, _Endpoints(self._reactor, self.settings), pool)
        return agent

    def _add_recorder(self, feed: FeedSettings) -> TradeRecorder:
        assert feed.folder is not None  # settings.feed() saw to it
        symbol = feed.pair.symbol
        self._flushes[symbol] = TimedThread(deferToThread, self._reactor)
        recorder = TradeRecorder(
            symbol,
            feed.folder,
            RestHistory(HTTPClient(self._agent()), self._rest_url, self._reactor, self._history_budget),
            self._reactor,
            self._moment,
            sync=SyncPolicy(self.settings.sync),
            in_thread=self._flushes[symbol],
            gave_up=self._disk_failed,
        )
        self.recorders[symbol] = recorder
        self.market.trades[symbol].listeners.append(recorder)
        return recorder

    def _disk_failed(self, error: TradeFileError) -> None:
        _log.error("{error}", error=error)
        if self.settings.strict_disk:
            self._ended(error.exit_code, str(error))

    def _recorders_not_ready(self) -> str | None:
        return "; ".join(why for one in self.recorders.values() if (why := one.not_ready())) or None

    # --- while it runs ----------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What `GET /status` says of the connections."""
        return self._feed.status() if self._feed is not None else {}

    def summary(self) -> str:
        """One line on how the feeds are."""
        states = [feed.state for feed in self.market.feeds()]
        live = states.count(FeedState.LIVE)
        others = [f", {feed.subscription} {feed.state}" for feed in self.market.feeds() if feed.state is not FeedState.LIVE]
        return f"{live} of {len(states)} feeds live{''.join(others)}"

    def reopen_files(self) -> None:
        """Go on in whatever file has the name now: somebody has rotated them."""
        for recorder in self.recorders.values():
            recorder.reopen()

    @property
    def connected(self) -> bool:
        """Whether the start is over, and feeds can be changed."""
        return self._feed is not None

    def change_feeds(self, settings: Settings) -> None:
        """Start the feeds that are new in `settings` and stop those that are gone. The rest go on undisturbed.

        What is no feed (addresses, URLs) takes effect at the next start. Raises TradeFileError when a new trade file cannot
        be had; feeds that are gone go on then.
        """
        old = {feed.subscription for feed in self.settings.feeds}
        new = {feed.subscription: feed for feed in settings.feeds}
        for subscription in new.keys() - old:
            self._add(new[subscription])
        for subscription in old - new.keys():
            self._remove(subscription)
        self.settings = settings

    def _add(self, feed: FeedSettings) -> None:
        assert self._feed is not None  # app.py waits until the daemon is connected
        self._carry(feed.subscription)
        if feed.channel is ChannelName.TRADES:
            try:
                recorder = self._add_recorder(feed)
                recorder.open()
            except TradeFileError:
                self.recorders.pop(feed.pair.symbol)
                self.market.forget(feed.subscription)
                raise
            recorder.start()
        self._feed.want(feed.subscription)

    def _remove(self, subscription: Subscription) -> None:
        assert self._feed is not None  # as above
        self._feed.drop(subscription)
        if subscription.channel is ChannelName.TRADES:
            self.recorders.pop(subscription.symbol).stop().addErrback(self._not_safe)

    # --- stop -------------------------------------------------------------------------------------------------

    def stopService(self) -> "Deferred[None]":
        """Close the sockets, then the files, then HTTP. `ended` is told when what was recorded may not be safe."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._states.stop()
        if self._sampling.running:
            self._sampling.stop()
        if self._starting is not None:
            self._starting.cancel()
        if self._feed is not None:
            await self._feed.stopService()
        await DeferredList([one.stop().addErrback(self._not_safe) for one in self.recorders.values()])
        await self.relay.stopService()
        await self.http.stopService()
        if self._exchange is not None:
            await self._exchange.stopService()

    def _not_safe(self, failure: Any) -> None:
        error = failure.value
        if not isinstance(error, TradeFileError):
            _log.failure("a bug while closing a trade file", failure)
        self._ended(getattr(error, "exit_code", 70), str(error))


def _near(pair: Pair) -> str:
    """A hint without the exchange's list; none for a pair that is spelled well."""
    near = () if pair.code in WELL_KNOWN else nearest(pair, WELL_KNOWN)
    return f": did you mean {' or '.join(near)}?" if near else ""


def _demo_exchange(reactor: Any, settings: Settings) -> EmbeddedExchange:
    symbols = [pair.symbol for pair in settings.pairs]
    return EmbeddedExchange(reactor, SimulatedMarket(pairs=symbols))
