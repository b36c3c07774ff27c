"""The object API: one `Bitfinex` for each pair and channel, run together.

    book = Bitfinex(symbol="BTC/USD", channel="book")
    book.subscribe(book.get_websocket_orderbook_endpoint(), book.get_subscribe_order_book_payload())
    run(book)                                             # the reactor, and http://localhost:8080/book

It gathers what `twistd bfx` would be told and hands it to the same service.
"""

import sys
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import globalLogBeginner, textFileLogObserver

from bfxtwist.core.market import BookFeed, Feed, FeedState, Market
from bfxtwist.core.messages import ChannelName, Row
from bfxtwist.settings import LISTEN, REST_URL, WS_URL, FeedSettings, feed, settings


class Level(NamedTuple):
    """One level of a book, exact to the exchange's digit. `orders` is how many make it up; of a raw book, the order's id."""

    price: Decimal
    amount: Decimal
    orders: int


class OrderBook(NamedTuple):
    """A book at one moment: best first, amounts positive. Only one whose `status` is `live` may be trusted."""

    symbol: str
    status: FeedState
    timestamp: int | None  # ms, when its last frame came
    nonce: int | None  # the sequence number of that frame
    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class Bitfinex:
    """One pair on one channel: `book` keeps the live order book, `trades` writes trade.csv into `file_path`.

    Raises ValueError, with one line that names the fix, for what cannot be.
    """

    def __init__(
        self,
        symbol: str,
        channel: str,
        file_path: str | None = None,
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
        self.ws_url = ws_url
        self.rest_url = rest_url
        self._live: Deferred[Bitfinex] | None = None
        self._feed: Feed | None = None

    def get_websocket_orderbook_endpoint(self) -> str:
        """The exchange's WebSocket URL."""
        return self.ws_url

    def get_subscribe_order_book_payload(self) -> dict[str, Any]:
        """The subscribe request, as the exchange documents it."""
        wanted = self.settings.subscription
        return {"event": "subscribe", "channel": wanted.channel.value, "symbol": wanted.symbol, **wanted.parameters}

    def subscribe(self, endpoint: str, payload: Mapping[str, Any]) -> "Deferred[Bitfinex]":
        """Want the channel of `payload` from `endpoint`. The Deferred fires with this object when the feed is live.

        Nothing is sent yet: `run` and `service` connect. Raises ValueError for another symbol's or channel's payload.
        """
        if self._live is not None:
            raise ValueError(f"{self.settings.subscription} is subscribed already: make another Bitfinex for another feed")
        own = self.get_subscribe_order_book_payload()
        if (payload.get("symbol"), payload.get("channel")) != (own["symbol"], own["channel"]):
            raise ValueError(f"this payload is not {self.settings.subscription}'s: use get_subscribe_order_book_payload()")
        self.settings = feed(
            pair=own["symbol"],
            channel=own["channel"],
            file_path=None if self.settings.folder is None else str(self.settings.folder),
            precision=payload.get("prec", self.settings.precision),
            frequency=payload.get("freq", self.settings.frequency),
            length=payload.get("len", self.settings.length),
        )
        self.ws_url = endpoint
        self._live = Deferred()
        return self._live

    @property
    def status(self) -> FeedState:
        """Whether the feed may be trusted."""
        if self._feed is None:
            return FeedState.CONNECTING
        return self._feed.status_now

    @property
    def order_book(self) -> OrderBook:
        """The book as it is now. Raises AttributeError of a trades feed."""
        if self.settings.channel is not ChannelName.BOOK:
            raise AttributeError(f"{self.settings.subscription} has no order book: make a Bitfinex with channel='book'")
        if not isinstance(self._feed, BookFeed):
            return OrderBook(self.settings.pair.name, FeedState.CONNECTING, None, None, (), ())
        book, updated = self._feed.book, self._feed.updated
        return OrderBook(
            self._feed.name,
            self._feed.status_now,
            updated and updated.wall // 1000,
            self._feed.nonce,
            _levels(book.bids.rows[: self.settings.length], book.raw),
            _levels(book.asks.rows[: self.settings.length], book.raw),
        )

    def attach(self, market: Market) -> None:
        """Read from the feed in `market` from now on. The service does this when it is made."""
        self._feed = market.feed(self.settings.subscription)
        self._feed.watchers.append(self._changed)

    def _changed(self, changed: Feed) -> None:
        if changed.state is FeedState.LIVE and self._live is not None and not self._live.called:
            self._live.callback(self)


def _levels(rows: Iterable[Row], raw: bool) -> tuple[Level, ...]:
    price, amount, count = (1, 2, 0) if raw else (0, 2, 1)
    return tuple(Level(Decimal(row[price].decode()), abs(Decimal(row[amount].decode())), int(row[count])) for row in rows)


def service(*feeds: Bitfinex, listen: str | Iterable[str] = LISTEN, reactor: Any = None, **more: Any) -> Service:
    """The service that runs these feeds, for a program that has its own reactor running.

    `listen` and `more` are as in `bfxtwist.settings.settings`. Raises ValueError for what cannot be, with the fix.
    """
    from bfxtwist.app import now  # these bring the servers along, of which a mere setting has no need
    from bfxtwist.daemon import Daemon
    from bfxtwist.preflight import check

    if not feeds:
        raise ValueError("no feed is given: name at least one Bitfinex")
    for one in feeds:
        if one._live is None:
            one.subscribe(one.get_websocket_orderbook_endpoint(), one.get_subscribe_order_book_payload())
    if len({(one.ws_url, one.rest_url) for one in feeds}) > 1:
        raise ValueError("these feeds name different exchanges: run one service for each")
    if reactor is None:
        from twisted.internet import reactor
    chosen = settings(
        feeds=[one.settings for one in feeds],
        listen=(listen,) if isinstance(listen, str) else listen,
        ws_url=feeds[0].ws_url,
        rest_url=feeds[0].rest_url,
        **more,
    )
    check(chosen)
    daemon = Daemon(reactor, chosen, now)
    for one in feeds:
        one.attach(daemon.market)
    return daemon


def run(*feeds: Bitfinex, listen: str | Iterable[str] = LISTEN, **more: Any) -> None:
    """Run these feeds until SIGINT or SIGTERM, with a log on standard output. Arguments as of `service`."""
    from twisted.internet import reactor

    from bfxtwist.app import prepare

    prepare(reactor)
    daemon = service(*feeds, listen=listen, reactor=reactor, **more)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
    daemon.privilegedStartService()
    running: Any = reactor
    running.callWhenRunning(daemon.startService)
    running.addSystemEventTrigger("before", "shutdown", daemon.stopService)
    running.run()
