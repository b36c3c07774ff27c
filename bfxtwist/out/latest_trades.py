"""`GET /trades`: the latest trades of a pair, from its file and, before they are in there, from memory.

    GET /trades?pair=BTC/USD&limit=100&since=2026-11-22T16:00:00Z
    {"symbol":"BTC/USD",…,"complete":true,"trades":[{"id":"310628121",…,"price":6443.1,"amount":0.00265425},…]}

Oldest first, in ccxt's words, price and amount in the exchange's own digits: the newest `limit`, or with `since` the oldest
from there on, as in ccxt. Who goes on from the time of the last one leaves none out that was known then, unless more than
`limit` have that one; what is fetched later for a gap lies before it.
`complete` says whether every trade that the daemon knows is there, from `since`, or without it from the first of these, to
the last: after a long gap was filled, it may not be certain, nor where more is asked for than came since the last rotation,
or than the 3,000 rows that are looked at. `format=csv` gives the rows of the file as they are.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
from twisted.logger import Logger
from twisted.web.iweb import IRequest

from bfxtwist.core.market import Market
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import iso, milliseconds
from bfxtwist.core.trade_feed import TradeFeed
from bfxtwist.core.trade_rows import HEADER, recordable
from bfxtwist.out.http import HttpApi
from bfxtwist.out.problems import Problem
from bfxtwist.out.query import choose, query, whole_number
from bfxtwist.out.responses import JSON, Body, reply
from bfxtwist.out.trade_tail import Tail, Told, read_tail

_log = Logger()

LIMIT, LARGEST_LIMIT = 100, 1000

#: Milliseconds since the epoch have 13 digits from 2001 to 2286. What is less than this, of 1973, is in seconds, or a date.
_TIME_DIGITS, _LEAST_TIME = 14, 10**11

CSV = b"text/csv; charset=utf-8"


class LatestTrades:
    """The route. `file_of` knows the trade.csv of a symbol, if there is one."""

    def __init__(self, api: HttpApi, market: Market, file_of: Callable[[str], Path | None]) -> None:
        self._api = api
        self._market = market
        self._file_of = file_of
        api.add_route("/trades", self._answer)

    def _answer(self, request: IRequest) -> bytes:
        asked = query(request, "pair", "limit", "since", "format")
        limit = whole_number(asked["limit"], "limit", "trades", LARGEST_LIMIT) if "limit" in asked else LIMIT
        since, as_csv = _since(asked), _is_csv(asked)
        feed = choose(self._market.trades, asked.get("pair"), self._api.names, "trade file", "trades")
        tail = self._latest(feed, limit, since)
        if as_csv:
            return reply(request, Body(_csv(tail.trades)), media_type=CSV)
        return reply(request, Body(_document(feed, tail)), media_type=JSON)

    def _latest(self, feed: TradeFeed, limit: int, since: int) -> Tail:
        # A te may come twice, and again after a snapshot that has it: as for the file, the first one stands.
        memory = {trade.id: _told(trade) for trade in reversed(feed.latest) if recordable(trade)}
        tail = self._read(feed.subscription.symbol, limit, since, list(memory))
        on_file = {trade.id for trade in tail.trades}
        # What is on file has the file's times: the exchange tells of one trade by two clocks, 1 to 9 ms apart.
        more = [trade for trade in memory.values() if trade.id not in on_file and trade.mts >= since]
        if since:
            return Tail(sorted(tail.trades + more)[:limit], tail.certain)
        if tail.trades and len(tail.trades) == limit:
            more = [trade for trade in more if trade > tail.trades[0]]
        return Tail(sorted(tail.trades + more)[-limit:], tail.certain)

    def _read(self, symbol: str, limit: int, since: int, memory: list[int]) -> Tail:
        path = self._file_of(symbol)
        if path is None:
            return Tail([], False)
        try:
            return read_tail(path, limit, since, memory)
        except OSError as error:
            _log.warn("{path} cannot be read: {error}", path=path, error=error.strerror)
            return Tail([], False)


def _told(trade: Trade) -> Told:
    side, amount = (b"sell", trade.amount[1:]) if trade.amount.startswith(b"-") else (b"buy", trade.amount)
    return Told(trade.mts, trade.id, side, trade.price, amount)


def _csv(trades: Iterable[Told]) -> bytes:
    return HEADER + b"".join(b"%b\n" % trade.line for trade in trades if trade.line)


def _document(feed: TradeFeed, tail: Tail) -> bytes:
    symbol = msgspec.json.encode(feed.name)
    head = {
        "symbol": feed.name,
        "exchange_symbol": feed.subscription.symbol,
        "status": feed.state.value,
        "complete": tail.certain,
    }
    trades = b",".join(_entry(trade, symbol) for trade in tail.trades)
    return b'%b,"trades":[%b]}' % (msgspec.json.encode(head)[:-1], trades)


def _entry(trade: Told, symbol: bytes) -> bytes:
    """By hand: no JSON encoder keeps a number's digits as they are."""
    return b'{"id":"%d","timestamp":%d,"datetime":"%b","symbol":%b,"side":"%b","price":%b,"amount":%b}' % (
        trade.id,
        trade.mts,
        iso(trade.mts).encode(),
        symbol,
        trade.side,
        trade.price,
        trade.amount,
    )


def _is_csv(asked: Mapping[str, str]) -> bool:
    chosen = asked.get("format", "json")
    if chosen not in ("json", "csv"):
        raise Problem(400, f"there is no format {chosen[:20]!r}: use json or csv")
    return chosen == "csv"


def _since(asked: Mapping[str, str]) -> int:
    """Milliseconds since the epoch; 0 where nothing was asked for."""
    text = asked.get("since", "0")
    try:
        if not (text.isascii() and text.isdigit() and len(text) <= _TIME_DIGITS):
            return milliseconds(text)
        if 0 < int(text) < _LEAST_TIME:  # taken for 1970, it would be answered with everything
            raise ValueError
        return int(text)
    except ValueError:
        fix = "use milliseconds since the epoch, or a time like 2026-11-22T16:00:00Z"
        raise Problem(400, f"since {text[:40]!r} is no time: {fix}") from None
