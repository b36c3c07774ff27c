"""The exchange's history of trades over REST, for programs without a reactor: one page after the other, at the allowed rate.

    GET {url}/trades/tBTCUSD/hist?limit=10000&sort=1&start=1542045947738&end=1542132347738     [[ID,MTS,AMOUNT,PRICE],…]
"""

import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from typing import NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

from bfxtwist import __version__
from bfxtwist.core.history import HistoryUnavailable, PageRequest, check_page
from bfxtwist.core.messages import Trade
from bfxtwist.core.wire import decode_trades
from bfxtwist.feed.retry_after import seconds_in, seconds_to_wait

#: Ten requests a minute, of the fifteen that are documented; a daemon beside this needs one or two.
_SECONDS_BETWEEN = 6.0

_WAITS = (2.0, 4.0, 8.0, 16.0, 32.0)
_TIMEOUT = 30.0
_LARGEST_BODY = 1 << 23  # a full page is some 600 KB


class Answer(NamedTuple):
    """Status, body, and how many seconds to wait if the server told."""

    status: int
    body: bytes
    retry_after: float | None = None


def fetch(url: str) -> Answer:
    """GET. Raises OSError when there is no whole answer."""
    request = Request(url, headers={"User-Agent": f"bfxtwist/{__version__}"})  # noqa: S310  the scheme is checked before
    try:
        with urlopen(request, timeout=_TIMEOUT) as response:  # noqa: S310
            return Answer(response.status, response.read(_LARGEST_BODY))
    except HTTPError as error:
        with error:
            return Answer(error.code, b"", seconds_in(error.headers.get("Retry-After")))
    except HTTPException as error:
        raise OSError(f"{type(error).__name__}: {error}") from None


class SymbolHistory:
    """The history of one symbol (`tBTCUSD`). How to fetch, to wait and to tell the time can be given."""

    def __init__(
        self,
        url: str,
        symbol: str,
        get: Callable[[str], Answer] = fetch,
        sleep: Callable[[float], None] = time.sleep,
        seconds: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = f"{url.rstrip('/')}/trades/{quote(symbol)}/hist"
        self._get, self._sleep, self._seconds = get, sleep, seconds
        self._not_before = 0.0

    def trades(self, start: int, end: int) -> Iterator[Trade]:
        """Every trade from `start` to `end` (ms, both included), in the order of time. Raises HistoryUnavailable."""
        at_cursor: set[int] = set()  # a page begins at the last millisecond of the one before
        while True:
            request = PageRequest(start, end)
            page = self._page(request)
            yield from (trade for trade in page if trade.id not in at_cursor)
            if len(page) < request.limit:
                return
            last = page[-1].mts
            if last == start:
                raise HistoryUnavailable(f"more than {request.limit} trades in the millisecond {start}")
            start, at_cursor = last, {trade.id for trade in page if trade.mts == last}

    def _page(self, request: PageRequest) -> list[Trade]:
        """A page that is an answer to its request, asked for again while it is not."""
        problem = ""
        for wait in (*_WAITS, 0.0):
            self._sleep(max(self._not_before - self._seconds(), 0.0))
            self._not_before = self._seconds() + _SECONDS_BETWEEN
            try:
                return self._try(request)
            except (HistoryUnavailable, OSError) as error:
                problem = str(error)
                self._not_before = max(self._not_before, self._seconds() + wait)
        raise HistoryUnavailable(f"{self._url}: {problem}")

    def _try(self, request: PageRequest) -> list[Trade]:
        query = f"limit={request.limit}&sort=1&start={request.start}&end={request.end}"
        answer = self._get(f"{self._url}?{query}")
        if answer.status != 200:
            left_alone = seconds_to_wait(answer.status, answer.retry_after)
            self._not_before = max(self._not_before, self._seconds() + left_alone)
            raise HistoryUnavailable(f"status {answer.status}")
        try:
            trades = decode_trades(answer.body)
        except ValueError as error:
            raise HistoryUnavailable(str(error)) from None
        check_page(request, trades)
        return trades
