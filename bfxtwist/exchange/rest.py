"""The public REST endpoints: `/v2/trades`, `/v2/book`, `/v2/ticker`, `/v2/conf`, `/v2/platform/status`.

    GET /v2/trades/tBTCUSD/hist?limit=&start=&end=&sort=    [[ID,MTS,AMOUNT,PRICE],…]
    GET /v2/book/tBTCUSD/P0?len=25                          [[PRICE,COUNT,AMOUNT],…]
    GET /v2/platform/status                                 [1]
    what cannot be                                          500 ["error",10020,"symbol: invalid"]
    what there is not                                       404 Cannot GET /api/v2/nope

As the live exchange answered in 2026, where its documents and it differ.
"""

from collections.abc import Callable, Sequence
from html import escape
from typing import Protocol

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException

from bfxtwist.core.messages import ChannelName, Row
from bfxtwist.core.subscription import LENGTHS, PRECISIONS, Subscription
from bfxtwist.core.wire import encode_rows
from bfxtwist.exchange.bad_answers import BadAnswers
from bfxtwist.exchange.catalogue import answer_conf
from bfxtwist.exchange.control import Control
from bfxtwist.exchange.faults import Faults
from bfxtwist.exchange.numbers import token
from bfxtwist.exchange.rates import RateLimit
from bfxtwist.exchange.replies import HTML, reply
from bfxtwist.exchange.tape import Query, Tape
from bfxtwist.exchange.venue import Limits

#: The most that one page of past trades can have (docs rest-public-trades; more is an error, ccxt #19248).
LONGEST_PAGE = 10_000

#: Requests in a minute, of the kinds that may come oftener than those for past trades (docs rest-public-book and so on).
_FREER = {"book": 240, "ticker": 90, "tickers": 90, "conf": 90}

_DAY = 86_400_000


class Listed(Protocol):
    """What REST tells of a market."""

    @property
    def symbols(self) -> Sequence[str]:
        """What is traded."""

    def tape(self, symbol: str) -> Tape:
        """The trades of a symbol."""

    def sides(self, subscription: Subscription) -> tuple[Sequence[Row], Sequence[Row]]:
        """Bids and asks of a book now."""


class Invalid(Exception):
    """A request that cannot be answered: HTTP 500 and `["error",10020,text]`."""


class Rest:
    """The endpoints over a market. `now()` is in seconds since the epoch."""

    app = Klein()

    def __init__(
        self,
        market: Listed,
        *,
        faults: Faults,
        clock: IReactorTime,
        now: Callable[[], float],
        limits: Limits,
        entrance: IResource,
    ) -> None:
        self._market = market
        self._faults = faults
        self._clock = clock
        self._now = now
        self._entrance = entrance
        self._control: IResource = Control(faults)
        self._bad_answers = BadAnswers(faults, clock)
        self._per_minute = limits.requests_per_minute
        self.rates: dict[str, RateLimit] = {}

    # --- the endpoints --------------------------------------------------------------------------------------

    @app.route("/ws/2")
    def websocket(self, request: Request) -> IResource:
        """Where the WebSocket begins, on the same port."""
        return self._entrance

    @app.route("/faults/")
    @app.route("/faults", branch=True)
    def faults(self, request: Request) -> IResource:
        """What goes wrong, and what shall."""
        return self._control

    @app.route("/v2/trades/<symbol>/hist", methods=["GET"])
    def trades(self, request: Request, symbol: str) -> Deferred[bytes] | bytes:
        """Past trades, by time."""
        return self._answer(request, "trades", lambda: self._trades(request, symbol))

    @app.route("/v2/book/<symbol>/<precision>", methods=["GET"])
    def book(self, request: Request, symbol: str, precision: str) -> Deferred[bytes] | bytes:
        """The book now."""
        return self._answer(request, "book", lambda: self._book(request, symbol, precision))

    @app.route("/v2/platform/status", methods=["GET"])
    def status(self, request: Request) -> Deferred[bytes] | bytes:
        """1 is operative, 0 is maintenance."""
        status = int(self._faults.number("platform-status", 1))
        return self._answer(request, "status", lambda: b"[%d]" % status)

    @app.route("/v2/ticker/<symbol>", methods=["GET"])
    def ticker(self, request: Request, symbol: str) -> Deferred[bytes] | bytes:
        """The last day in eleven fields."""
        return self._answer(request, "ticker", lambda: msgspec.json.encode(self._ticker(self._known(symbol))))

    @app.route("/v2/tickers", methods=["GET"])
    def tickers(self, request: Request) -> Deferred[bytes] | bytes:
        """Those of several symbols, or of ALL; who is not known is left out."""
        asked = _argument(request, "symbols", "ALL").split(",")
        symbols = [symbol for symbol in self._market.symbols if symbol in asked or "ALL" in asked]
        return self._answer(
            request, "tickers", lambda: msgspec.json.encode([[symbol, *self._ticker(symbol)] for symbol in symbols])
        )

    @app.route("/v2/conf/<path:labels>", methods=["GET"])
    def conf(self, request: Request, labels: str) -> Deferred[bytes] | bytes:
        """Lists and maps of pairs and currencies; labels joined with commas."""
        symbols = self._market.symbols
        return self._answer(request, "conf", lambda: msgspec.json.encode(answer_conf(labels.split(","), symbols)))

    @app.handle_errors(HTTPException)
    def no_such_page(self, request: Request, failure: Failure) -> bytes:
        """The page of a path that is not there."""
        method, path = request.method.decode("ascii", "replace"), request.path.decode("ascii", "replace")
        head = "<!DOCTYPE html>\n<html><head><title>Error</title></head>"
        text = f"{head}<body><pre>Cannot {method} /api{escape(path)}</pre></body></html>\n"
        return reply(request, 404, text.encode(), HTML)

    # --- what they answer -----------------------------------------------------------------------------------

    def _trades(self, request: Request, symbol: str) -> bytes:
        limit = _number(request, "limit")
        sort = _number(request, "sort")
        if limit is not None and not 0 < limit <= LONGEST_PAGE:
            raise Invalid("limit: invalid")
        if sort not in (None, 1, -1):
            raise Invalid("sort: invalid")
        query = Query(limit or Query().limit, _number(request, "start"), _number(request, "end"), sort != 1)
        page = self._market.tape(self._known(symbol)).history(query, int(self._now() * 1000))
        return encode_rows(trade.row for trade in page)

    def _book(self, request: Request, symbol: str, precision: str) -> bytes:
        self._known(symbol)
        if precision not in PRECISIONS:
            raise Invalid("prec: invalid")
        length = _argument(request, "len", "25")
        if length not in LENGTHS:
            raise Invalid("len: invalid")
        bids, asks = self._market.sides(Subscription(ChannelName.BOOK, symbol, precision, "F0", int(length)))
        return encode_rows([*bids, *asks])

    def _ticker(self, symbol: str) -> list[msgspec.Raw | None]:
        bids, asks = self._market.sides(Subscription(ChannelName.BOOK, symbol))
        bid, ask = (float(side[0][0]) if side else None for side in (bids, asks))
        sizes = [round(abs(sum(float(row[2]) for row in side)), 8) for side in (bids, asks)]
        day = self._market.tape(symbol).since(int(self._now() * 1000) - _DAY)
        prices = [float(trade.price) for trade in day] or [0.0]
        change = prices[-1] - prices[0]
        volume = round(sum(abs(float(trade.amount)) for trade in day), 8)
        relative = round(change / prices[0], 8) if prices[0] else 0.0
        last = [round(change, 10), relative, prices[-1], volume, max(prices), min(prices)]
        return [*map(_written, (bid, sizes[0], ask, sizes[1], *last)), None]  # the null is there since 2026

    def _known(self, symbol: str) -> str:
        # What past trades of an unknown symbol are answered is not known; the book's answer is taken.
        if symbol not in self._market.symbols:
            raise Invalid("symbol: invalid")
        return symbol

    # --- how --------------------------------------------------------------------------------------------------

    def _answer(self, request: Request, kind: str, body: Callable[[], bytes]) -> Deferred[bytes] | bytes:
        """The body, or what stands in its way: the rate, a fault, or the request itself."""
        rate = self.rates.get(kind)
        if rate is None:
            rate = self.rates[kind] = RateLimit(self._allowed(kind))
        if not rate.admit(self._clock.seconds()):
            return self._bad_answers.too_many(request, "a")
        try:
            status, answer = 200, body()
        except Invalid as reason:
            status, answer = 500, msgspec.json.encode(["error", 10020, str(reason)])
        bad = self._bad_answers.instead(request, status, answer)
        return reply(request, status, answer) if bad is None else bad

    def _allowed(self, kind: str) -> int | None:
        least = self._per_minute
        return None if least is None else max(least, _FREER.get(kind, least))


def _written(number: float | None) -> msgspec.Raw | None:
    """A number as the exchange writes it, which is not as Python does: `64250`, `7e-7`, `0.0000011`."""
    return None if number is None else msgspec.Raw(token(round(number * 10**8), 8))


def _argument(request: Request, name: str, default: str) -> str:
    values = (request.args or {}).get(name.encode())
    return values[-1].decode("utf-8", "replace") if values else default


def _number(request: Request, name: str) -> int | None:
    text = _argument(request, name, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise Invalid(f"{name}: invalid") from None
