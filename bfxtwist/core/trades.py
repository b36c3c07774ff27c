"""The tape of one pair: which trade is new, and in which order the new ones are released to the file.

    socket ── snapshot, te, tu, lost ──►┌──────┐──► released     rows for the file, each id once
    REST ──── page, unanswered ────────►│ Tape │──► request      the page to ask for now
    disk ──── written, saved, forgot ──►└──────┘──► progress     what must be durable after those rows

No I/O and no clock. A trade is known by its id alone: the same trade has another time in the database, 1 to 9 ms off
(measured in 2018). What to ask REST is decided in `comparison.py`, page by page in `walk.py`; what waits is in `hold.py`.
After every (re)connection what the socket tells is held back until REST has told what happened before:

    state           a trade from the socket is   and it ends with
    DOWN            ignored                      a snapshot ──► SYNC; the first one that ever came ──► LIVE
    SYNC            held back                    history told up to what the socket told first ──► LIVE
                                                 a minute of it in all: an open gap ──► SYNC, urgent
                                                 or, if nothing lies in between ──► LIVE
    SYNC, urgent    held back                    the gap is durable (`saved`) ──► LIVE
    LIVE            released                     its rows were forgotten ──► SYNC
    any                                          `lost` ──► DOWN; what is held back stays so
                                                 `stop`: what is held back goes on as after a minute

The order of calls, whatever the state: what `released` gave is followed by `written` when all of it is in the file, or by
`forgot`; a `request` by `page` or `unanswered`; a revision of the progress on disk, after its rows, by `saved`.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from itertools import repeat

import msgspec

from bfxtwist.core.comparison import Comparison, Found, Purpose
from bfxtwist.core.gaps import Gap, Mark
from bfxtwist.core.history import OVERLAP, HistoryUnavailable, Page, PageRequest, check_page
from bfxtwist.core.hold import HOLD, Hold
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.limits import LIMITS, Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.progress import Progress
from bfxtwist.core.trade_rows import Arrival, recordable

#: Known trades, none of which a page shows where they belong: it is another pair's, or another exchange's. History may lack
#: a trade or two that the socket told (8 of 4,473 te had no tu in a capture), but then it shows others.
STRANGE = 10


class Mode(StrEnum):
    """What becomes of a trade from the socket: it is ignored, held back, or released at once."""

    DOWN = "down"
    SYNC = "sync"
    LIVE = "live"


class Counters(msgspec.Struct):
    """What happened since the start."""

    rows: int = 0  # released to the file
    duplicates: int = 0  # told again, by whatever source
    conflicts: int = 0  # told again with another price or amount
    backfilled: int = 0  # rows that came from REST, after a (re)connection or for a gap
    audited: int = 0  # rows that only a comparison with REST found: the socket never told them
    rejected: int = 0  # trades that no row can hold
    forgotten: int = 0  # rows given up while the disk was full, to be fetched again


class Tape:
    """The trades of one pair, in the order of release."""

    def __init__(
        self, known: KnownIds, progress: Progress, limits: Limits = LIMITS, newest: Mark | None = None
    ) -> None:
        """`known` holds the ids on file, `progress` what was durable when the last run ended, `newest` is the last row."""
        self.known = known
        self.comparison = Comparison(known, progress, limits)
        self.mode = Mode.DOWN
        self.reason = "not connected since the daemon was started"
        self.counters = Counters()
        self.conflict: tuple[Trade, Trade] | None = None  # the last one: what was told first, and again
        self.foreign: Trade | None = None  # one that shows the files to be of a demo, or of another exchange
        self._newest: Trade | Mark | None = newest  # of those released
        self._limits = limits
        self._requested: PageRequest | None = None
        self._released: list[Arrival] = []
        self._hold = Hold()

    # --- the socket ---------------------------------------------------------------------------------------

    def snapshot(self, trades: Iterable[Trade], moment: Moment) -> None:
        """The latest trades; whatever comes after them comes to `executed`."""
        ordered = sorted(filter(self._recordable, trades), key=lambda trade: trade.id)
        oldest = Mark(ordered[0].id, ordered[0].mts) if ordered else None
        if self.comparison.progress.frontier is not None:
            self._synchronise(oldest, moment)
            for trade in ordered:
                self._hold_back(trade, moment)
            return
        if oldest is not None:
            self.comparison.begin(oldest)
        self._release(Arrival(trade, moment.wall) for trade in ordered)
        self._go_live(moment)

    def executed(self, trades: Sequence[Trade], moment: Moment) -> None:
        """Trades from `te`, or from `tu`: whichever is first is released, so that a `tu` without its `te` is too."""
        if self.mode is Mode.DOWN:
            return
        if self.comparison.progress.frontier is None and (first := next(filter(recordable, trades), None)):
            self.comparison.begin(Mark(first.id, first.mts))  # the snapshot was empty
            self.comparison.live(moment.monotonic)
        if self.mode is Mode.LIVE:
            self._release_live(trades, moment)
            return
        for trade in filter(self._recordable, trades):
            self._hold_back(trade, moment)

    def lost(self, reason: str) -> None:
        """From here to the next snapshot anything may be missed. The frontier has not moved over it: nothing is.

        What is held back stays so: it may be a trade that history will never tell (8 te of 4,473 had no tu in a capture).
        """
        self.mode, self.reason = Mode.DOWN, reason
        self._hold.durable_first = None
        self.comparison.stop()

    def _recordable(self, trade: Trade) -> bool:
        if recordable(trade):
            return True
        self.counters.rejected += 1
        return False

    # --- new or not ---------------------------------------------------------------------------------------

    def _is_new(self, trade: Trade) -> bool:
        """Whether a trade is wanted, and not yet on file, on its way there or held back."""
        start = self.comparison.progress.start
        if start is not None and trade.id < start:
            self._check_order(trade)
            return False
        held_back = self._hold.trades.get(trade.id)
        if held_back is None and trade.id not in self.known:
            return True
        self.counters.duplicates += 1
        first = self.comparison.recent.get(trade.id) if held_back is None else held_back.trade
        if first is not None:
            self._count_conflict(first, trade)
        return False

    def _check_order(self, trade: Trade) -> None:
        """Of a trade with an id below the first one wanted: see whether it is newer all the same. An exchange's ids rise."""
        frontier = self.comparison.progress.frontier
        if self.foreign is None and frontier is not None and trade.mts > frontier.mts + OVERLAP:
            self.foreign = trade

    def _hold_back(self, trade: Trade, moment: Moment) -> bool:
        """Let a trade wait, if it is new. Whether it does."""
        if not self._is_new(trade):
            return False
        hold = self._hold
        hold.trades[trade.id] = Arrival(trade, moment.wall)
        if len(hold.trades) <= self._limits.held_back:
            return True
        self._synchronise(hold.drop(), moment)
        return False

    def _release(self, arrivals: Iterable[Arrival]) -> int:
        """Hand the new ones over to the file. How many they were."""
        count = 0
        for arrival in arrivals:
            if self._is_new(arrival.trade):
                self._release_new({arrival.trade.id: arrival.trade}, arrival.wall)
                count += 1
        return count

    def _release_live(self, trades: Iterable[Trade], moment: Moment) -> None:
        """As `_release`. Most trades have an id above all that is known, or are the `tu` of one that just came."""
        highest = max(self.known.largest, self.comparison.progress.start or 0)
        recent = self.comparison.recent
        new: dict[int, Trade] = {}
        duplicates = 0
        for trade in trades:
            trade_id = trade.id
            if trade_id > highest and recordable(trade):
                new[trade_id] = trade
                highest = trade_id
            elif (first := new.get(trade_id) or recent.get(trade_id)) is not None:
                duplicates += 1
                if first is not trade:
                    self._count_conflict(first, trade)
            elif self._recordable(trade) and self._is_new(trade):
                new[trade_id] = trade
        self.counters.duplicates += duplicates
        if new:
            self._release_new(new, moment.wall)

    def _count_conflict(self, first: Trade, trade: Trade) -> None:
        """Count it, if a trade is not what was told before of the same id. Its time may differ."""
        if first.amount != trade.amount or first.price != trade.price:
            self.counters.conflicts += 1
            self.conflict = first, trade

    def _release_new(self, trades: dict[int, Trade], wall: int) -> None:
        newest = trades[max(trades)]
        self.known.update(trades)
        self.comparison.released(trades, newest)
        self._released += map(Arrival, trades.values(), repeat(wall))
        self.counters.rows += len(trades)
        if self._newest is None or newest.id > self._newest.id:
            self._newest = newest

    @property
    def last_trade(self) -> Mark | None:
        """The newest that was released."""
        return None if self._newest is None else Mark(self._newest.id, self._newest.mts)

    @property
    def has_released(self) -> bool:
        """Whether there is anything to be written now."""
        return bool(self._released)

    @property
    def unwritten(self) -> Sequence[Arrival]:
        """What was released and has not been taken by `released`."""
        return self._released

    def released(self) -> list[Arrival]:
        """What is to be written now, in this order."""
        arrivals, self._released = self._released, []
        return arrivals

    # --- held back, then live -----------------------------------------------------------------------------

    def _synchronise(self, right: Mark | None, moment: Moment) -> None:
        """Hold live trades back until history has been told from the frontier to `right`."""
        if self.mode is not Mode.SYNC:
            self._hold.begin(self.last_trade or self.comparison.progress.frontier, moment.monotonic)
        self.mode = Mode.SYNC
        self._hold.wait_for(right)
        self.comparison.synchronise(right, moment.monotonic)

    def tick(self, moment: Moment) -> None:
        """Time has passed. Live trades are held back for a minute, then the interval becomes an open gap.

        A minute in all: connections that never last so long must not keep what they tell from the file.
        """
        if self.mode is Mode.SYNC and not self.urgent and self._hold.is_over(moment.monotonic):
            obstacle = self.comparison.obstacle or "too much to fetch"
            self._wait_no_longer(f"history did not follow in {HOLD:.0f} s: {obstacle}", moment)

    def stop(self, moment: Moment) -> None:
        """Nothing comes any more. What is held back is not left to history, which may never tell it."""
        if self._hold.trades and not self.urgent:
            self._wait_no_longer("stopped before history followed", moment)

    def _wait_no_longer(self, cause: str, moment: Moment) -> None:
        """Make an open gap of what history has not told; when that is durable, what is held back is released."""
        frontier, right = self.comparison.progress.frontier, self._hold.right
        if right is None or frontier is None or right.id <= frontier.id:
            self._go_live(moment)  # there is nothing in between, and the frontier stays until history moves it
            return
        self.comparison.set_aside(right, f"{self.reason}; {cause}", moment)
        self._hold.durable_first = self.comparison.revision

    def _go_live(self, moment: Moment) -> None:
        hold, self._hold = self._hold, Hold()
        self.mode = Mode.LIVE
        self._release(hold.in_order())
        self.comparison.live(moment.monotonic)

    # --- history ------------------------------------------------------------------------------------------

    def request(self, moment: Moment) -> PageRequest | None:
        """The page to ask for now, if any. One at a time: each is followed by `page` or `unanswered`."""
        request = self.comparison.request(moment.monotonic)
        if request is not None:
            self._requested = request
        return request

    def unanswered(self, error: str, moment: Moment) -> None:
        """The page that was asked for did not come."""
        self.comparison.failed(error, moment.monotonic)

    def page(self, page: Page, moment: Moment) -> None:
        """The page that was asked for. One that cannot be right did not come."""
        assert self._requested is not None
        try:
            check_page(self._requested, page.trades)
            self._check_pair(page.trades)
        except HistoryUnavailable as error:
            self.unanswered(str(error), moment)
            return
        found = self.comparison.take(page, self._hold.lowest, moment)
        if found is None:
            return
        trades = sorted(filter(self._recordable, found.trades), key=lambda trade: (trade.mts, trade.id))
        if found.purpose is Purpose.SYNC:
            self._fill(trades, found, moment)
            return
        count = self._told(trades, found.gap, moment)
        if found.gap is None:
            self.counters.audited += count
        else:
            self.counters.backfilled += count

    def _check_pair(self, trades: list[Trade]) -> None:
        """Raises HistoryUnavailable for a page of trades that are not this pair's, as far as ids and times tell."""
        ids = [trade.id for trade in trades]
        held_back = self._hold.trades
        if not ids or any(trade_id in self.known or trade_id in held_back for trade_id in ids):
            return
        first, last = sorted((trades[0].mts, trades[-1].mts))
        told = [*self.comparison.recent.values(), *(arrival.trade for arrival in held_back.values())]
        known = max(len(self.known.between(min(ids), max(ids))), sum(first < trade.mts < last for trade in told))
        if known >= STRANGE:
            raise HistoryUnavailable(f"it is of another pair or exchange: of {known} trades that are known it shows none")

    def _fill(self, trades: list[Trade], found: Found, moment: Moment) -> None:
        """Release what is older than the first live trade, hold back the rest, and go live when history has been told."""
        hold = self._hold
        older = [trade for trade in trades if hold.precedes(trade.mts)]
        self.counters.backfilled += self._told(older, None, moment)
        for trade in trades[len(older) :]:
            if self._hold_back(trade, moment):
                self.counters.backfilled += 1
                hold.count(trade.id)
        if not found.done:
            return
        if hold.filled and hold.before is not None and hold.right is not None:
            self.comparison.filled(hold.before, hold.right, self.reason, hold.filled, moment)
        self._go_live(moment)

    def _told(self, trades: list[Trade], gap: Gap | None, moment: Moment) -> int:
        """Release what history told, and how many of these the socket had not: what it had goes with its own time."""
        count = 0
        for trade in trades:
            held_back = self._hold.trades.pop(trade.id, None)
            if held_back is not None:
                self._release([held_back])
            elif self._release([Arrival(trade, moment.wall)]):
                count += 1
                if not self.comparison.fills(trade.id, gap):
                    self._hold.count(trade.id)
        return count

    # --- the disk -----------------------------------------------------------------------------------------

    def begin_at(self, first: int) -> None:
        """Forget what is older than the trade of this id, but for what is still to be fetched.

        Neither the open file nor the state knows of it; with it, a recorder that rotates its file would grow for ever.
        """
        self.known.forget_below(self.comparison.begin_at(first))

    def written(self) -> None:
        """Every row that was released is in the file."""
        self.comparison.written()

    def saved(self, revision: int, moment: Moment) -> None:
        """The progress of this revision is durable."""
        durable_first = self._hold.durable_first
        if durable_first is not None and revision >= durable_first:
            self._go_live(moment)

    @property
    def urgent(self) -> bool:
        """Whether live trades wait for the progress to be saved."""
        return self._hold.durable_first is not None

    def forgot(self, arrivals: list[Arrival], moment: Moment) -> None:
        """These were released and will not be written: the disk was full for too long. REST will tell them again."""
        self.counters.forgotten += len(arrivals)
        self.counters.rows -= len(arrivals)
        newest = max(arrivals, key=lambda arrival: arrival.trade.id).trade
        ids = [arrival.trade.id for arrival in arrivals]
        for trade_id in ids:
            self.known.discard(trade_id)
        self._go_back(ids, None, Mark(newest.id, newest.mts), "the disk was full", moment)

    def put_back(self, known: KnownIds, waiting: Iterable[int], progress: Progress, moment: Moment) -> None:
        """Of what was written, no more than `known` is on file any more, compared as far as `progress` says."""
        self.known.become(known)
        self.known.update([trade_id for trade_id in waiting if trade_id not in known])
        gone = [trade_id for trade_id in self.comparison.recent if trade_id not in self.known]
        self._go_back(gone, progress, self.last_trade, "rows were missing from the trade file", moment)

    def _go_back(
        self, gone: list[int], progress: Progress | None, right: Mark | None, reason: str, moment: Moment
    ) -> None:
        self.comparison.go_back(gone, moment.monotonic, progress)
        self._newest = None
        if self.mode is not Mode.DOWN:
            self.reason = reason
            self._synchronise(self._hold.right if self.mode is Mode.SYNC else right, moment)
