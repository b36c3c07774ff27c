"""An exchange without sockets: a ledger of trades, some of which are told, and a history that is late and partial."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime

from bfxtwist.core.history import HistoryUnavailable, Page, PageRequest
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import Moment

#: Milliseconds since the epoch when a model's clock shows 0.
EPOCH = 1_700_000_000_000


@dataclass(slots=True)
class LedgerTrade:
    """One trade as the exchange knows it."""

    told: Trade  # by the socket
    stored: Trade  # by history, with another time perhaps
    published: float  # when history begins to have it; infinity for never


class ModelExchange:
    """Satisfies `core.history.History`."""

    def __init__(self, clock: IReactorTime) -> None:
        self.ledger: dict[int, LedgerTrade] = {}
        self.fault: str = ""  # of history: "down", "short", "unsorted", "early", "empty"
        self.horizon = 0  # history has forgotten what is older, ms
        self.tells_time = True
        self.ahead = 0  # of the time that it tells with a page, ms
        self.asked: list[float] = []
        self.delay: Callable[[], object] = lambda: None  # called for each page
        self._clock = clock
        self._next_id = 1000

    def now(self) -> int:
        """The exchange's clock, ms."""
        return EPOCH + int(self._clock.seconds() * 1000)

    def moment(self) -> Moment:
        """The recorder's clocks, which agree with it."""
        return Moment(self._clock.seconds(), self.now() * 1000)

    def trade(self, *, publish_after: float = 0.5, skew: int = 0, id_step: int = 1, back: int = 0) -> LedgerTrade:
        """One more trade, `back` ms ago."""
        self._next_id += id_step
        mts = self.now() - back
        amount = b"-0.041432" if self._next_id % 3 else b"2.8e-7"
        told = Trade(self._next_id, mts, amount, b"%d.5" % (6000 + self._next_id % 700))
        made = LedgerTrade(told, replace(told, mts=mts + skew), self._clock.seconds() + publish_after)
        self.ledger[told.id] = made
        return made

    def history(self) -> list[Trade]:
        """What REST has now, in its order."""
        now = self._clock.seconds()
        shown = [made.stored for made in self.ledger.values() if made.published <= now and made.told.mts >= self.horizon]
        return sorted(shown, key=lambda trade: (trade.mts, -trade.id))  # ties are not in the order of ids

    def snapshot(self, count: int = 5) -> list[Trade]:
        """What a new subscription is told, newest first."""
        return self.history()[::-1][:count]

    async def turn(self) -> None:
        """It is always somebody's turn."""

    async def page(self, symbol: str, request: PageRequest) -> Page:
        """One page, as wrong as `fault` says."""
        self.asked.append(self._clock.seconds())
        self.delay()
        if self.fault == "down":
            raise HistoryUnavailable("down")
        trades = self.history()
        times = [trade.mts for trade in trades]
        end = request.end if request.end is not None else self.now() + 10**9
        found = trades[bisect_left(times, request.start) : bisect_left(times, end + 1)]
        found = found[::-1][: request.limit] if request.newest_first else found[: request.limit]
        if self.fault == "short":
            found = found[: len(found) // 2]
        elif self.fault == "unsorted":
            found = found[1:] + found[:1]
        elif self.fault == "early" and trades:
            found = [replace(trades[0], mts=max(request.start - 5, 1)), *found][: request.limit]
        elif self.fault == "empty":
            found = []
        return Page(found, (self.now() + self.ahead) // 1000 * 1000 if self.tells_time else None)
