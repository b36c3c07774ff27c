"""The whole daemon as one service. Nobody else knows all the parts.

    settings ──► market ◄── feed (WebSocket)         history (REST) ──► recorders ──► trade.csv
                   │                                                        ▲
                   ├──────────────── trades ────────────────────────────────┘
                   └──► web (page, GET /book, relay, metrics)

    privilegedStartService   the demo's exchange, web, trade files: whatever may be refused, before anything is connected
    startService             the same parts run; when the list of pairs has come, or cannot be had, the feed
    change_feeds             trade files that are new, all or none; then the feeds that go, then the books that come
    stopService              feed, trade files, web, the demo's exchange: each when the one before has stopped
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from treq.client import HTTPClient
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool

from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Refused
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.symbols import COMMON_NAMES, parse_pair
from bfxtwist.core.uplink_status import UplinkStatus
from bfxtwist.feed.budget import ConnectBudget, SharedLedger
from bfxtwist.feed.connection import Uplink
from bfxtwist.feed.endpoint import Endpoints
from bfxtwist.feed.history import RateBudget, RestHistory
from bfxtwist.feed.pairs import WELL_KNOWN, Listing, fetch_listing, mistaken
from bfxtwist.feed.rest import AsSent, RequestFailed
from bfxtwist.feed.service import FeedService
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_saving import SyncPolicy
from bfxtwist.recorders import Recorders
from bfxtwist.settings import FeedSettings, Settings
from bfxtwist.state_log import StateLog
from bfxtwist.web import Web

_log = Logger()

#: So many books or files get a line each in the log.
_FEW = 4

Ended = Callable[[int, str], None]


class Daemon(Service):
    """Everything that `Settings` ask for, from `privilegedStartService` to `stopService`.

    `market` is there from the beginning, so that readers can be attached before it runs. `ended` is told, with an exit code
    and a line for people, when it is of no use to go on; the caller then stops the service. `stopping` is told of each stop.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        moment: Callable[[], Moment],
        *,
        ended: Ended,
        stopping: Callable[[], None] = lambda: None,
        rng: Random | None = None,
    ) -> None:
        """Raises ValueError, with the fix, for an address or a URL that is none."""
        self.settings = settings
        self.market = Market()
        self._reactor = reactor
        self._moment = moment
        self._ended = ended
        self._stopping = stopping
        self._rng = rng or Random()
        self._added: set[Subscription] = set()  # while it ran
        self._listing: Listing | None = None
        self._feed: FeedService | None = None
        self._starting: Deferred[None] | None = None
        self._exchange = None
        if settings.demo:
            from bfxtwist.demo import demo_exchange  # 0.5 MB that no other run needs

            self._exchange = demo_exchange(reactor, settings)
            self._listing = Listing(frozenset(pair.code for pair in settings.pairs), COMMON_NAMES)
        self._endpoints = Endpoints(reactor, ca_file=settings.ca_file, environ=os.environ)
        self._history_budget = RateBudget(reactor)
        self._states = StateLog(moment)
        self.recorders = Recorders(
            reactor,
            self.market,
            moment,
            sync=SyncPolicy(settings.sync),
            failed=self._disk_failed,
            not_safe=ended,
            rotate=settings.rotate,
            demo=settings.demo,
        )
        self.web = Web(reactor, settings, self.market, self.recorders, moment=moment, connections=self.status)
        for feed in settings.feeds:
            self._carry(feed.subscription)

    def _carry(self, subscription: Subscription) -> None:
        self._states.watch(self.market.carry(subscription, self._moment()))

    # --- start ------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Bind and open everything that may be refused. Raises SystemExit or TradeFileError before anything is connected."""
        super().privilegedStartService()
        if self._exchange is not None:
            self._exchange.privilegedStartService()
        self.web.privilegedStartService()
        for feed in self.settings.feeds:
            if feed.channel is ChannelName.TRADES:
                self.recorders.open(feed, self._history())

    def startService(self) -> None:
        """Connect. Raises RuntimeError if it runs already: in a program of many services, one of them starts all others."""
        if self.running:
            raise RuntimeError("this service runs already: call startService() once, or hand it to an application")
        if not self.web.addresses:
            self.privilegedStartService()
        super().startService()
        self._states.start()
        if self._exchange is not None:
            self._exchange.startService()
        self.web.startService()
        self.recorders.start()
        self._tell_addresses()
        self._starting = Deferred.fromCoroutine(self._connect())
        self._starting.addErrback(self._starting_failed)

    async def _connect(self) -> None:
        await self._ask_for_listing()
        if self._listing is not None:
            self.web.api.names = {**COMMON_NAMES, **self._listing.names}
        new = [pair for pair in self.settings.pairs if not self.recorders.have_recorded(pair.symbol)]
        unknown = [line for pair in new if (line := mistaken(pair, self._listing))]
        if unknown:
            self._ended(os.EX_CONFIG, "; ".join(unknown))
            return
        subscriptions = [feed.subscription for feed in self.settings.feeds]
        self._feed = FeedService(self._uplink(), subscriptions, self._refused)
        self._feed.startService()

    def _starting_failed(self, failure: Failure) -> None:
        """Without a feed there is nothing to live on for; cancelled is what a stop does to it."""
        if failure.check(CancelledError) is None:
            _log.failure("a bug while starting", failure)
            self._ended(os.EX_SOFTWARE, "the daemon cannot start: see the log")

    async def _ask_for_listing(self) -> None:
        if self._exchange is not None:  # it has the pairs that it was made with, for ever
            return
        client = self._client()
        try:
            self._listing = await fetch_listing(client, self._rest_url, self._reactor)
        except RequestFailed as error:
            _log.warn("the exchange's list of pairs cannot be had, pairs are not checked: {error}", error=error)

    def _refused(self, subscription: Subscription, refusal: Refused) -> None:
        """Error 10300 and its like. At the start it is the user's mistake; what was live, or added, takes nothing along.

        Nor does a pair that was recorded before: the exchange has done away with it, and the others would be missed.
        """
        pair = parse_pair(subscription.symbol)
        fix = _another_option(subscription, refusal) or mistaken(pair, self._listing or WELL_KNOWN)
        line = f"the exchange refuses {subscription}: {refusal.text} ({refusal.code})" + (f"; {fix}" if fix else "")
        was_had = self.market.feed(subscription).counts.snapshots or self.recorders.have_recorded(subscription.symbol)
        if was_had or subscription in self._added:
            _log.error("{line}; the other feeds go on", line=line)
        else:
            self._ended(os.EX_CONFIG, line)  # trying again changes nothing

    def _tell_addresses(self) -> None:
        """Where everything is. Of many, only where to find them all."""
        if self._exchange is not None:
            text = "the demo's exchange: {ws_url} and {rest_url}"
            _log.info(text, ws_url=self._exchange.ws_url, rest_url=self._exchange.rest_url)
        books, recorders = self.market.books.values(), self.recorders.by_symbol.values()
        for address in self.web.addresses:
            if not address.startswith("http"):  # a socket in the file system has no URL
                continue
            _log.info("the page: {url}", url=f"{address}/")
            if len(books) > _FEW:
                _log.info("{count} books: {url}", count=len(books), url=f"{address}/books")
                continue
            for feed in books:
                query = f"?pair={feed.name}" if len(books) > 1 else ""
                _log.info("{pair} book: {url}", pair=feed.name, url=f"{address}/book{query}")
        if len(recorders) > _FEW:
            folder = Path(os.path.commonpath([one.folder for one in recorders]))
            _log.info("{count} trade files: {path}", count=len(recorders), path=str(folder / "…" / "trade.csv"))
            return
        for one in recorders:
            _log.info("{pair} trades: {path}", pair=parse_pair(one.symbol).name, path=str(one.path))

    # --- the parts --------------------------------------------------------------------------------------------

    @property
    def _rest_url(self) -> str:
        return self._exchange.rest_url if self._exchange else self.settings.rest_url

    def _uplink(self) -> Uplink:
        settings, reactor = self.settings, self._reactor
        url = self._exchange.ws_url if self._exchange else settings.ws_url
        ledger = SharedLedger.within(settings.lock_folder, url) if settings.lock_folder is not None else None
        return Uplink(
            url=url,
            endpoint=self._endpoints.to(url),
            market=self.market,
            clock=reactor,
            moment=self._moment,
            rng=self._rng,
            budget=ConnectBudget(ledger),
            fast_frames=not settings.no_fast_frames,
        )

    def _client(self) -> HTTPClient:
        pool = HTTPConnectionPool(self._reactor, persistent=False)
        return HTTPClient(AsSent(Agent.usingEndpointFactory(self._reactor, self._endpoints, pool)))

    def _history(self) -> RestHistory:
        return RestHistory(self._client(), self._rest_url, self._reactor, self._history_budget)

    def _disk_failed(self, error: TradeFileError) -> None:
        _log.error("{error}", error=error)
        if self.settings.strict_disk:
            self._ended(error.exit_code, str(error))

    # --- while it runs ----------------------------------------------------------------------------------------

    def status(self) -> UplinkStatus | None:
        """What `GET /status` says of the connections, once they are made."""
        return None if self._feed is None else self._feed.status()

    def summary(self) -> str:
        """One line on how the feeds are."""
        states = [feed.state for feed in self.market.feeds()]
        live = states.count(FeedState.LIVE)
        others = [f", {feed.subscription} {feed.state}" for feed in self.market.feeds() if feed.state is not FeedState.LIVE]
        return f"{live} of {len(states)} feeds live{''.join(others)}"

    async def change_feeds(self, settings: Settings, check: Callable[[Settings], None] = lambda _: None) -> None:
        """Start the feeds that are new in `settings` and stop those that are gone. The rest go on undisturbed.

        A book of other parameters is a new one. What is no feed (addresses, URLs) stays as it is, and so does the folder of
        a feed that goes on. Raises ValueError or TradeFileError, and changes nothing, where something cannot be had.
        `check` is called with pairs that the exchange knows: it may make folders for them, and raises the same.
        """
        if self._feed is None:
            raise ValueError("the daemon is still starting: send SIGHUP again in a moment")
        await self._check_pairs(settings)
        await self.recorders.removed()
        if not self.running:
            raise ValueError("the daemon is stopping")
        check(settings)
        old = {feed.subscription for feed in self.market.feeds()}
        new = {feed.subscription: feed for feed in settings.feeds}
        added = [feed for subscription, feed in new.items() if subscription not in old]
        self._add_files([feed for feed in added if feed.channel is ChannelName.TRADES])
        for subscription in old - new.keys():
            self._remove(subscription)
        for feed in added:
            if feed.channel is ChannelName.BOOK:
                self._add(feed)
        self._added = (self._added | {feed.subscription for feed in added}) & new.keys()
        self.settings = replace(self.settings, feeds=settings.feeds)

    async def _check_pairs(self, settings: Settings) -> None:
        """Raises ValueError for a pair that the exchange does not know. What is new here may be new there."""
        added = set(settings.pairs) - set(self.settings.pairs)
        if added and (self._listing is None or any(mistaken(pair, self._listing) for pair in added)):
            await self._ask_for_listing()
        unknown = [line for pair in settings.pairs if pair in added and (line := mistaken(pair, self._listing))]
        if unknown:
            raise ValueError("; ".join(unknown))

    def _add_files(self, feeds: Sequence[FeedSettings]) -> None:
        """All or none: these are what can fail."""
        self.recorders.check_free(feeds)
        done: list[Subscription] = []
        try:
            for feed in feeds:
                self._add(feed)
                done.append(feed.subscription)
        except TradeFileError:
            for subscription in done:
                self._remove(subscription)
            raise

    def _add(self, feed: FeedSettings) -> None:
        assert self._feed is not None  # change_feeds saw to it
        self._carry(feed.subscription)
        if feed.channel is ChannelName.TRADES:
            try:
                self.recorders.open(feed, self._history()).start()
            except TradeFileError:
                self.market.forget(feed.subscription)
                raise
        self._feed.want(feed.subscription)

    def _remove(self, subscription: Subscription) -> None:
        assert self._feed is not None  # as above
        self._feed.drop(subscription)
        if subscription.channel is ChannelName.TRADES:
            self.recorders.remove(subscription.symbol)

    # --- stop -------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Close the sockets, then the files, then HTTP. `ended` is told when what was recorded may not be safe."""
        super().stopService()
        self._stopping()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        self._states.stop()
        if self._starting is not None:
            self._starting.cancel()
        if self._feed is not None:
            await self._feed.stopService()
        await self.recorders.stop()
        await self.web.stopService()
        if self._exchange is not None:
            await self._exchange.stopService()


def _another_option(subscription: Subscription, refusal: Refused) -> str | None:
    """The exchange has every book, but a relay has those of its daemon alone, and a recording the one that was recorded."""
    name = refusal.text.partition(":")[0]
    if name not in ("precision", "frequency", "length"):
        return None
    return f"choose another --{name} than {getattr(subscription, name)}"
