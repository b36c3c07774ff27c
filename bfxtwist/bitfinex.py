"""The object API: one `Bitfinex` for each pair and channel, run together.

    book = Bitfinex(symbol="BTC/USD", channel="book")
    book.subscribe(book.get_websocket_orderbook_endpoint(), book.get_subscribe_order_book_payload())
    run(book)                                             # the reactor, and http://localhost:8080/book

It gathers what `twistd bfx` would be told and hands it to the same service.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from twisted.internet.defer import Deferred
from twisted.logger import Logger, globalLogBeginner
from twisted.python import threadable
from twisted.python.failure import Failure

from bfxtwist.callbacks import Callbacks, TurnWise
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.trade_rows import Arrival
from bfxtwist.exact import OrderBook, Trade, order_book, trade_of
from bfxtwist.settings import (
    LISTEN,
    REST_URL,
    WS_URL,
    FeedSettings,
    MoreSettings,
    checked_rest_url,
    checked_url,
    feed,
    settings,
)

if TYPE_CHECKING:
    from bfxtwist.daemon import Daemon

_log = Logger()

_T = TypeVar("_T")

#: What a request to subscribe may have (docs ws-public-books).
_PAYLOAD = frozenset({"event", "channel", "symbol", "prec", "freq", "len", "subId"})

#: How often (s) a thread that waits for the reactor looks whether that still runs.
_LOOK_ROUND = 0.1


class FeedFailed(Exception):
    """It is of no use to go on: the exchange does not know the pair, say, or the disk failed. The text names the fix."""


class Bitfinex:
    """One pair on one channel: `book` keeps the live order book, `trades` writes trade.csv into `file_path`.

    Raises ValueError, with one line that names the fix, for what cannot be.
    """

    def __init__(
        self,
        symbol: str,
        channel: str,
        file_path: str | PathLike[str] | None = None,
        *,
        precision: str = "P0",
        frequency: str = "F0",
        length: str | int = 25,
        ws_url: str = WS_URL,
        rest_url: str = REST_URL,
    ) -> None:
        self.settings: FeedSettings = feed(
            pair=symbol, channel=channel, file_path=file_path, precision=precision, frequency=frequency, length=length
        )
        self.ws_url = checked_url("ws_url", ws_url, ("wss", "ws"))
        self.rest_url = checked_rest_url("rest_url", rest_url)
        self._on_book: Callbacks[OrderBook] = Callbacks(f"{self!r}.on_book", "book")
        self._on_trade: Callbacks[Trade] = Callbacks(f"{self!r}.on_trade", "trade")
        self._live: Deferred[Bitfinex] | None = None
        self._feed: Feed | None = None
        self._reactor: Any = None

    def __repr__(self) -> str:
        return f"<Bitfinex {self.settings.pair.name} {self.settings.channel.value}>"

    def get_websocket_orderbook_endpoint(self) -> str:
        """The exchange's WebSocket URL."""
        return self.ws_url

    def get_subscribe_order_book_payload(self) -> dict[str, Any]:
        """The subscribe request, as the exchange documents it."""
        wanted = self.settings.subscription
        return {"event": "subscribe", "channel": wanted.channel.value, "symbol": wanted.symbol, **wanted.parameters}

    def subscribe(self, endpoint: str, payload: Mapping[str, Any]) -> "Deferred[Bitfinex]":
        """Want the channel of `payload` from `endpoint`. The Deferred fires with this object when the feed is live.

        It fails with FeedFailed when that cannot come to be, or the service is stopped before. Nothing is sent yet: `run`
        and `service` connect. Raises ValueError for another symbol's or channel's payload, and for
        what would not be heeded.
        """
        if self._live is not None:
            raise ValueError(f"{self.settings.subscription} is subscribed already: make another Bitfinex for another feed")
        own = self.get_subscribe_order_book_payload()
        checked_url("the endpoint", endpoint, ("wss", "ws"))
        if not isinstance(payload, Mapping):
            raise ValueError(f"the payload {payload!r} is no dict: use get_subscribe_order_book_payload()")
        if (payload.get("symbol"), payload.get("channel")) != (own["symbol"], own["channel"]):
            raise ValueError(f"this payload is not {self.settings.subscription}'s: use get_subscribe_order_book_payload()")
        if payload.get("event", "subscribe") != "subscribe":
            raise ValueError(f"this payload asks to {payload['event']}: use get_subscribe_order_book_payload()")
        if strange := payload.keys() - _PAYLOAD:  # what is not heeded, somebody would believe to have asked for
            raise ValueError(f"no subscription has {', '.join(map(repr, sorted(strange, key=str)))}: use prec, freq and len")
        self.settings = feed(
            pair=own["symbol"],
            channel=own["channel"],
            file_path=self.settings.folder,
            precision=payload.get("prec", self.settings.precision),
            frequency=payload.get("freq", self.settings.frequency),
            length=payload.get("len", self.settings.length),
        )
        self.ws_url = endpoint
        self._live = Deferred()
        return self._live

    def on_book(self, function: Callable[[OrderBook], _T]) -> Callable[[OrderBook], _T]:
        """Call `function` with the book, as `order_book` has it, when that or its status has changed since the last call.

        At most once a turn of the reactor, and of a book that is not live any more, too. The reactor calls it, and does
        nothing else meanwhile; what it raises is logged. It is returned, so that this can decorate it. Raises ValueError
        for what would never be called.
        """
        if self.settings.channel is not ChannelName.BOOK:
            raise ValueError(f"{self.settings.subscription} has no order book: make a Bitfinex with channel='book'")
        is_first = not self._on_book
        self._on_book.add(function)
        if is_first and self._feed is not None:
            self._listen()
        return function

    def on_trade(self, function: Callable[[Trade], _T]) -> Callable[[Trade], _T]:
        """Call `function` with each trade from now on when its row is in trade.csv: once, in the order of the rows.

        Those that are fetched for a gap are among them. For all else see `on_book`.
        """
        if self.settings.channel is not ChannelName.TRADES:
            raise ValueError(f"{self.settings.subscription} has no trades: make a Bitfinex with channel='trades'")
        self._on_trade.add(function)
        return function

    @property
    def status(self) -> FeedState:
        """Whether the feed may be trusted."""
        feed = self._feed
        if feed is None:
            return FeedState.CONNECTING
        return _in_reactor(self._reactor, lambda: feed.status_now)

    @property
    def order_book(self) -> OrderBook:
        """The book as it is now. Raises AttributeError of a trades feed."""
        if self.settings.channel is not ChannelName.BOOK:
            raise AttributeError(f"{self.settings.subscription} has no order book: make a Bitfinex with channel='book'")
        feed = self._feed
        if not isinstance(feed, BookFeed):
            return OrderBook(self.settings.pair.name, FeedState.CONNECTING, None, None, (), ())
        return _in_reactor(self._reactor, lambda: order_book(feed))

    def attach(self, market: Market, reactor: Any) -> None:
        """Read from the feed in `market`, which `reactor` changes, from now on. The service does this when it is made."""
        self._reactor = reactor
        self._feed = market.feed(self.settings.subscription)
        self._feed.watchers.append(self._changed)
        if self._on_book:
            self._listen()

    def _listen(self) -> None:
        feed = self._feed
        assert isinstance(feed, BookFeed)

        def tell() -> None:
            if feed is self._feed:  # not where an earlier service has its end to tell
                self._on_book.call(order_book(feed))

        TurnWise(feed, self._reactor, tell)

    def fail(self, line: str) -> None:
        """It never becomes live. The service says so."""
        if self._live is not None and not self._live.called:
            self._live.errback(FeedFailed(line))

    def forget(self) -> None:
        """Nobody waits for it any more: that it failed is said elsewhere."""
        if self._live is not None:
            self._live.addErrback(lambda _: None)

    def _written(self, arrivals: Sequence[Arrival]) -> None:
        if self._on_trade:
            for trade in map(trade_of, arrivals):
                self._on_trade.call(trade)

    def _changed(self, changed: Feed) -> None:
        if changed.state is FeedState.LIVE and self._live is not None and not self._live.called:
            self._live.callback(self)
            self._live.addErrback(self._tell)

    def _tell(self, failure: Failure) -> Failure:
        """An error in a callback. Deferreds tell of one when they are garbage, and this one is kept here."""
        _log.failure("a callback of {feed!r}.subscribe(…) failed", failure, feed=self)
        return failure


def service(
    *feeds: Bitfinex,
    listen: str | Iterable[str] = LISTEN,
    reactor: Any = None,
    ended: Callable[[int, str], None] | None = None,
    **more: Unpack[MoreSettings],
) -> "Daemon":
    """The service that runs these feeds, for a program that has its own reactor running.

    `listen` and `more` are as in `bfxtwist.settings.settings`. `ended` is told, with an exit code and a line for people,
    when it is of no use to go on; without it the line is logged. Raises ValueError for what cannot be, with the fix, and
    TradeFileError for a folder that cannot be had.
    """
    return _daemon(feeds, listen, _reactor() if reactor is None else reactor, ended or _log_end, more)


def run(*feeds: Bitfinex, listen: str | Iterable[str] = LISTEN, **more: Unpack[MoreSettings]) -> None:
    """Run these feeds until SIGINT or SIGTERM, with a log on standard output. Arguments as of `service`.

    In another thread than the main one, signals and the garbage collector are left to the program. Raises what `service`
    does, and FeedFailed when it was of no use to go on.
    """
    from twisted.internet import reactor

    from bfxtwist.app import collect_less, prepare
    from bfxtwist.logs import Logs

    running: Any = reactor
    _check_fresh(running)
    endings: list[str] = []

    def ended(code: int, line: str) -> None:
        endings.append(line)
        if running.running:
            running.callLater(0, lambda: running.running and running.stop())

    prepare(running)
    daemon = _daemon(feeds, listen, running, ended, more)
    daemon.privilegedStartService()
    # Only now: of a refusal the exception tells, and whoever tries again would have each line twice. What was said is kept.
    logs = Logs(sys.stdout, daemon.settings.log_format, running.seconds)
    globalLogBeginner.beginLoggingTo([logs], redirectStandardIO=False)
    running.callWhenRunning(daemon.startService)
    running.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    is_all = threading.current_thread() is threading.main_thread()  # that this process does
    if is_all:
        running.callWhenRunning(collect_less, running)
    running.run(installSignalHandlers=is_all)
    logs.finish()
    for one in feeds:
        one.forget()
    if endings:
        raise FeedFailed(endings[0])


def _daemon(
    feeds: Sequence[Bitfinex],
    listen: str | Iterable[str],
    reactor: Any,
    ended: Callable[[int, str], None],
    more: MoreSettings,
) -> "Daemon":
    from bfxtwist.app import now  # these bring the servers along, of which a mere setting has no need
    from bfxtwist.daemon import Daemon
    from bfxtwist.preflight import check

    _check_feeds(feeds)
    unheard = {one for one in feeds if one._live is None}
    for one in unheard:
        one.subscribe(one.get_websocket_orderbook_endpoint(), one.get_subscribe_order_book_payload())
    chosen = settings(
        feeds=[one.settings for one in feeds], listen=listen, ws_url=feeds[0].ws_url, rest_url=feeds[0].rest_url, **more
    )
    check(chosen)

    def give_up(code: int, line: str) -> None:
        for one in feeds:
            one.fail(line)
        ended(code, line)

    def stopping() -> None:
        for one in feeds:
            one.fail("the service was stopped before this feed was live")
        for one in unheard:
            one.forget()

    daemon = Daemon(reactor, chosen, now, ended=give_up, stopping=stopping)
    hearing: dict[str, list[Bitfinex]] = {}
    for one in dict.fromkeys(feeds):
        one.attach(daemon.market, reactor)
        if one.settings.channel is ChannelName.TRADES:
            hearing.setdefault(one.settings.subscription.symbol, []).append(one)
    daemon.recorders.told |= {symbol: partial(_tell, those) for symbol, those in hearing.items()}
    return daemon


def _tell(feeds: Iterable[Bitfinex], arrivals: Sequence[Arrival]) -> None:
    for one in feeds:
        one._written(arrivals)


def _check_feeds(feeds: Sequence[Bitfinex]) -> None:
    if not feeds:
        raise ValueError("no feed is given: name at least one Bitfinex")
    for one in feeds:
        if not isinstance(one, Bitfinex):
            raise ValueError(f"{one!r} is no Bitfinex: name them one by one, like run(book, trade)")
    if len({(one.ws_url, one.rest_url) for one in feeds}) > 1:
        raise ValueError("these feeds name different exchanges: run one service for each")


def _log_end(code: int, line: str) -> None:
    _log.critical("{line}", line=line)


# --- where a program may be in the way of itself ------------------------------------------------------------


def _in_reactor(reactor: Any, read: Callable[[], _T]) -> _T:
    """What `read` returns in the reactor's thread. In another one, a book may change while it is read.

    Raises RuntimeError in a fork of the process, to which that thread did not come along.
    """
    if threadable.isInIOThread() or not reactor.running:
        return read()
    answer: Future[_T] = Future()
    reactor.callFromThread(lambda: answer.set_result(read()))
    while reactor.running:
        with suppress(TimeoutError):
            return answer.result(_LOOK_ROUND)
        if threadable.ioThread not in {thread.ident for thread in threading.enumerate()}:
            raise RuntimeError("the feeds are in the process that this one was forked from: read them there")
    return read()  # it has stopped before it came to that, and nothing changes any more


def _reactor() -> Any:
    """The program's reactor. Raises RuntimeError under an event loop that this reactor does not share."""
    from twisted.internet import reactor

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return reactor
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor

    running: Any = reactor
    if not running.running and not isinstance(reactor, AsyncioSelectorReactor):
        raise RuntimeError(
            "asyncio runs here, and the reactor does not: before bfxtwist is imported, call "
            "twisted.internet.asyncioreactor.install(asyncio.get_running_loop())"
        )
    return reactor


def _check_fresh(reactor: Any) -> None:
    """Raises RuntimeError for a reactor that cannot be run, before anything is bound."""
    if reactor.running:
        start = "service(…).startService"
        call = f"{start}()" if threadable.isInIOThread() else f"reactor.callFromThread({start})"
        raise RuntimeError(f"the reactor runs already: call {call} in place of run(…)")
    if getattr(reactor, "_startedBefore", False):  # what its run() looks at, when the ports are open already
        raise RuntimeError("a reactor runs once: give all feeds to one run(…); for another, start Python (the kernel) anew")
