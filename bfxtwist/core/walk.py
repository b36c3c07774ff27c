"""Walking through the exchange's history of trades, page by page, without believing more than it shows.

REST can be late, short, cut at its horizon, or wrong. A walk therefore ends only when both of its witnesses hold: on the
left, that history reaches back to where the walk began (the trade there, or an older one on file); on the right, that
history has caught up with what the socket already told.

Filter and order of the endpoint are by time, not by id, and several trades share a millisecond: the next page begins at the
last time of the one before, inclusive, and what comes twice is told apart by id. What a page shows decides about the next:

    a page that …                                         and after it the walk asks for
    lacks the trade that the last full one ended with     the beginning, later: history has lost what it had just shown
    leads past the beginning, or ends, without a witness  the beginning, later; for SETTLE seconds, then that is a loss
    is not full                                           the same, later; or nothing any more, if both witnesses hold
    is full of one millisecond                            the other end of that millisecond, then what comes after it
    is full                                               its last time on; or nothing, past `until` with both witnesses
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from bfxtwist.core.gaps import Mark
from bfxtwist.core.history import OVERLAP, SKEW, PageRequest
from bfxtwist.core.limits import LIMITS
from bfxtwist.core.messages import Trade

#: After so many seconds without a trade from before the walk's beginning, history does not reach back to it.
SETTLE = 30.0


class Loss(NamedTuple):
    """Trades between two points that the exchange does not tell any more."""

    start: Mark
    end: Mark
    cause: str


class Step(NamedTuple):
    """What one page brought."""

    trades: Collection[Trade] = ()
    losses: tuple[Loss, ...] = ()
    again: bool = False  # no progress: ask once more, later
    done: bool = False


@dataclass(slots=True)
class Walk:
    """From `left` to the present, or until `right` is passed when `until` (ms) is given as the place to stop."""

    left: Mark
    right: int | None = None  # history must have reached this id
    until: int | None = None
    limit: int = LIMITS.page
    reached_back: bool = False  # the witness on the left
    caught_up: bool = False  # the witness on the right
    lost_to: int = 0  # the trade that history begins with, where what was before it was written off
    seen: dict[int, int] = field(default_factory=dict)  # what history has shown on this walk: time by id
    _cursor: int = field(init=False)  # the time that the next page begins at
    _last: int | None = None  # the trade that the last full page ended with, and the next one must show again
    _waiting_since: float | None = None
    _one_millisecond: dict[int, Trade] | None = None  # a full page of it, whose other end is asked for next

    def __post_init__(self) -> None:
        self._cursor = self._beginning
        self.caught_up = self.right is None

    @property
    def _beginning(self) -> int:
        return max(self.left.mts - OVERLAP, 0)

    @property
    def complete_to(self) -> int:
        """History has been told up to this time, ms: of the next millisecond a full page may have shown only a part."""
        return self._cursor - 1

    def request(self) -> PageRequest:
        """The page to ask for now."""
        if self._one_millisecond is not None:
            return PageRequest(self._cursor, self._cursor, newest_first=True, limit=self.limit)
        return PageRequest(self._cursor, limit=self.limit)

    def take(self, page: list[Trade], holds: Callable[[int], bool], now: float) -> Step:
        """Go on by one checked page. `holds` knows the ids on file, `now` is monotonic seconds."""
        # Judged before these trades are known: afterwards every older trade would be one that is on file.
        self.reached_back = self.reached_back or self._reaches_back(page, holds)
        if self._one_millisecond is not None:
            return self._take_other_end(page)
        full = len(page) >= self.limit
        crowded = full and page[-1].mts == self._cursor
        if self._last is not None and not crowded and all(trade.id != self._last for trade in page):
            return self._begin_again()
        losses: tuple[Loss, ...] = ()
        if not self.reached_back and not (full and page[-1].mts < self.left.mts + SKEW):
            loss = self._lost_before(page, now)
            if loss is None:  # full pages may have led past it before it was published
                self._rewind()
                return Step(again=True)
            self.reached_back, self.lost_to, losses = True, loss.end.id, (loss,)
        self._see(page)
        if not full:
            return Step(page, losses, again=not self._witnessed, done=self._witnessed)
        if crowded:
            self._one_millisecond = {trade.id: trade for trade in page}
            return Step(page, losses)
        self._cursor, self._last = page[-1].mts, page[-1].id
        past = self.until is not None and self._cursor > self.until
        return Step(page, losses, done=past and self._witnessed)

    @property
    def _witnessed(self) -> bool:
        return self.reached_back and self.caught_up

    def _rewind(self) -> None:
        self._cursor, self._last = self._beginning, None

    def _begin_again(self) -> Step:
        """History has lost what it has just shown, and with that perhaps what comes next: it must reach back once more."""
        self._rewind()
        self.reached_back, self._waiting_since = False, None
        self.seen.clear()
        return Step(again=True)

    def _see(self, page: list[Trade]) -> None:
        self.seen.update((trade.id, trade.mts) for trade in page)
        if self.right is not None and not self.caught_up:
            self.caught_up = any(trade.id >= self.right for trade in page)

    def _reaches_back(self, page: list[Trade], holds: Callable[[int], bool]) -> bool:
        """Whether a page shows the trade where the walk began, or an older one on file."""
        return any(trade.id == self.left.id or (trade.id < self.left.id and holds(trade.id)) for trade in page)

    def _lost_before(self, page: list[Trade], now: float) -> Loss | None:
        """What lies between the beginning and the first trade that there is, if that has been waited for too long."""
        if self._waiting_since is None:
            self._waiting_since = now
        shown = [*self.seen.items(), *((trade.id, trade.mts) for trade in page)]
        first = min((Mark(*trade) for trade in shown if trade[0] > self.left.id), default=None)
        if first is None or now - self._waiting_since < SETTLE:
            return None
        # What lies in the overlap was to be asked for once more: it has not been compared either.
        return Loss(Mark(self.left.id, self._beginning), first, "the exchange's history does not reach back")

    def _take_other_end(self, page: list[Trade]) -> Step:
        """More trades in one millisecond than a page holds: complete if its two ends meet."""
        assert self._one_millisecond is not None
        head, self._one_millisecond = self._one_millisecond, None
        self._see(page)
        losses: tuple[Loss, ...] = ()
        if not any(trade.id in head for trade in page):
            shown = [*head, *(trade.id for trade in page)]  # within a millisecond they may stand in any order
            start, end = Mark(min(shown), self._cursor), Mark(max(shown), self._cursor)
            losses = (Loss(start, end, "more trades in a millisecond than can be asked for"),)
        self._cursor, self._last = self._cursor + 1, None
        return Step(page, losses)
