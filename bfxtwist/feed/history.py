"""Past trades over REST: `GET /v2/trades/{symbol}/hist`, at the rate that the exchange allows.

The documents allow 15 questions a minute and block the address for 60 s when there are more; all recorders of the process
share ten, first come, first served. A recorder has one question under way at a time, so each pair has its turn. While no
page comes the questions are further apart.
"""

from collections import deque
from itertools import count
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from bfxtwist.core.errors import excerpt
from bfxtwist.core.history import HistoryUnavailable, Page, PageRequest, check_page
from bfxtwist.core.wire import decode_trades
from bfxtwist.feed.rest import Answer, RequestFailed, get
from bfxtwist.feed.retry_after import TOO_MANY, seconds_to_wait

#: Questions in any minute and some seconds: what is sent a minute apart may arrive closer. Of ten, and ten a minute later,
#: 18 came within a minute to an exchange that was busy (measured).
PER_MINUTE = 10
WINDOW = 65.0

#: Seconds from one question to the next. They double, up to the longest, with each that brings no page: where all fail at
#: once there are questions left of the minute when the exchange answers again, and one is asked soon after.
APART = 0.25
LONGEST_APART = 16.0

#: There may be a cache in between that goes by the whole URL (an extra parameter misses Cloudflare's: measured in 2026). A
#: question without an end therefore gets one that says nothing and is never the same: the year 2100, and a few ms.
_FAR_FUTURE = 4_102_444_800_000


class NoAnswer(HistoryUnavailable):
    """Nobody there, too late, too long, or cut off."""


class RateLimited(HistoryUnavailable):
    """Too many questions. Nothing is asked for a minute, or for longer."""


class HistoryRefused(HistoryUnavailable):
    """The exchange's own error, such as `["error",10020,"symbol: invalid"]`, or another HTTP status than 200."""


class NotHistory(HistoryUnavailable):
    """An answer that is no list of trades, or not of those that were asked for."""


class RateBudget:
    """Turns, at most so many in any minute and one after the other, first come, first served."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._taken: deque[float] = deque([float("-inf")] * PER_MINUTE, maxlen=PER_MINUTE)
        self._waiting: deque[Deferred[None]] = deque()
        self._blocked_until = float("-inf")
        self._apart = APART
        self._call: IDelayedCall | None = None

    def turn(self) -> Deferred[None]:
        """Fires when it is the caller's turn. May be cancelled."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._give()
        return waiting

    def block(self, seconds: float) -> None:
        """Nobody's turn for a while."""
        self._blocked_until = max(self._blocked_until, self._clock.seconds() + seconds)

    def failed(self) -> None:
        """A question brought no page: the next one may not either."""
        self._apart = min(2 * self._apart, LONGEST_APART)

    def answered(self) -> None:
        """A question brought its page."""
        if self._apart > APART:
            self._apart = APART
            if self._call is not None:
                self._call.cancel()
                self._later()

    def _give(self) -> None:
        while self._waiting:
            next_at = max(self._taken[0] + WINDOW, self._taken[-1] + self._apart, self._blocked_until)
            wait = next_at - self._clock.seconds()
            if wait > 0:
                if self._call is None:
                    self._call = self._clock.callLater(wait, self._later)
                return
            self._taken.append(self._clock.seconds())
            self._waiting.popleft().callback(None)

    def _later(self) -> None:
        self._call = None
        self._give()


class RestHistory:
    """The exchange's history of trades, as `core/history.py` wants it."""

    def __init__(self, client: Any, rest_url: str, clock: IReactorTime, budget: RateBudget) -> None:
        """`client` is a treq HTTPClient, or anything that has its `get`; `rest_url` ends in `/v2`."""
        self._client = client
        self._url = rest_url.rstrip("/")
        self._clock = clock
        self._budget = budget
        self._numbers = count()

    def turn(self) -> Deferred[None]:
        """Fires when the rate allows another question. May be cancelled."""
        return self._budget.turn()

    async def page(self, symbol: str, request: PageRequest) -> Page:
        """One page, asked for now. Raises HistoryUnavailable."""
        try:
            page = await self._ask(symbol, request)
        except HistoryUnavailable:
            self._budget.failed()
            raise
        self._budget.answered()
        return page

    async def _ask(self, symbol: str, request: PageRequest) -> Page:
        end = request.end if request.end is not None else _FAR_FUTURE + next(self._numbers)
        params = {
            "limit": str(request.limit),
            "sort": "-1" if request.newest_first else "1",
            "start": str(request.start),
            "end": str(end),
        }
        try:
            answer = await get(self._client, f"{self._url}/trades/{symbol}/hist", params, self._clock)
        except RequestFailed as error:
            raise NoAnswer(str(error)) from error
        return self._page(answer, request)

    def _page(self, answer: Answer, request: PageRequest) -> Page:
        code = _error_code(answer.body)
        if answer.status != 200 or code is not None:
            raise self._refusal(answer, code)
        try:
            trades = decode_trades(answer.body)
            check_page(request, trades)
        except ValueError as error:
            raise NotHistory(f"{error}: {excerpt(answer.body)}") from None
        except HistoryUnavailable as error:
            raise NotHistory(str(error)) from None
        return Page(trades, answer.date)

    def _refusal(self, answer: Answer, code: object) -> HistoryUnavailable:
        limited = answer.status == TOO_MANY or code in (11010, "ERR_RATE_LIMIT")
        wait = seconds_to_wait(TOO_MANY if limited else answer.status, answer.retry_after)
        self._budget.block(wait)
        quiet = f"nothing is asked for {wait:.0f} s"
        if limited:
            return RateLimited(f"too many questions: {quiet}")
        return HistoryRefused(f"HTTP {answer.status}: {excerpt(answer.body)}" + (f"; {quiet}" if wait else ""))


def _error_code(body: bytes) -> object:
    """Of `["error",11010,"ratelimit: error"]` and of `{"error":"ERR_RATE_LIMIT"}`: the exchange has both."""
    if not body.startswith((b'["error"', b'{"error"')):
        return None
    try:
        match msgspec.json.decode(body):
            case ["error", code, *_]:
                return code
            case {"error": code}:
                return code
    except msgspec.DecodeError:
        pass
    return "error"
