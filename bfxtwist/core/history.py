"""What is asked of the exchange's history of trades, and which answers cannot be right.

Who asks is a walk (`walk.py`); who answers, over REST, is `feed/history.py`.
"""

from collections.abc import Awaitable
from typing import NamedTuple, Protocol

from bfxtwist.core.limits import LIMITS
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import LARGEST_ID, LARGEST_MTS

#: How far before its beginning a walk asks again, ms: a trade is published late, and its time there can differ from the
#: socket's by some milliseconds (measured in a 2018 capture).
OVERLAP = 60_000

#: More than the difference between a trade's time on the socket and in history, ms (1 to 9 in a 2018 capture).
SKEW = 1_000


class PageRequest(NamedTuple):
    """What to ask of `GET /v2/trades/{symbol}/hist`; times in ms, both inclusive."""

    start: int
    end: int | None = None
    newest_first: bool = False
    limit: int = LIMITS.page


class Page(NamedTuple):
    """An answer: the trades in the order asked for, and the exchange's clock (ms) if it told."""

    trades: list[Trade]
    date: int | None = None


class HistoryUnavailable(Exception):
    """There is no page: no answer, a refusal, or an answer that cannot be right."""


class History(Protocol):
    """Past trades of any symbol."""

    def turn(self) -> Awaitable[None]:
        """Done when it is the caller's turn to ask for a page. Which one is decided then: minutes may have passed."""

    def page(self, symbol: str, request: PageRequest) -> Awaitable[Page]:
        """One page, for each turn one. Raises HistoryUnavailable."""


def check_page(request: PageRequest, trades: list[Trade]) -> None:
    """Raises HistoryUnavailable for a page that is no answer to its request: too long, unsorted, or out of any range."""
    times = [trade.mts for trade in trades]
    if len(trades) > request.limit:
        raise HistoryUnavailable(f"{len(trades)} trades where at most {request.limit} were asked for")
    if times != sorted(times, reverse=request.newest_first):
        raise HistoryUnavailable("the trades are not in the order of time")
    if times and (min(times) < request.start or (request.end is not None and max(times) > request.end)):
        raise HistoryUnavailable("there are trades from outside of what was asked for")
    if times and (max(times) >= LARGEST_MTS or max(trade.id for trade in trades) >= LARGEST_ID):
        # No row can hold them. The frontier would move to one all the same, and never again from there.
        raise HistoryUnavailable("there are trades with an id or a time that cannot be")
