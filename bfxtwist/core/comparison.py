"""Comparing the file with the exchange's history: how far that has come, and what is to be asked next.

At the heart of it is the frontier, a trade: all that is older, less an overlap, is on file or in the gap ledger. It moves
only to a trade that REST itself showed, that is old enough for all its forerunners to be published, and below which REST
showed every trade that is on file. Beginning again "from the last row" would be wrong: that row may be newer than a trade
which is still under way, or was lost silently.

Three jobs ask for pages, one page at a time; what holds live trades back comes first, then what has been due for longest:

    job    walks from                      is due                                      after no progress again in
    SYNC   the frontier to what the        after a (re)connection, at once             1, 2, 4 … 16 s
           socket told first
    AUDIT  the frontier to the present     30 s after going live, then every 60 s      5, 10 … 60 s
    GAP    the left edge of an open gap    at once, until it is closed, over restarts  10, 20 … 600 s
           to its end
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

from bfxtwist.core.gaps import Gap, GapState, Mark
from bfxtwist.core.history import OVERLAP, Page, PageRequest
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.limits import LIMITS, Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.progress import Progress
from bfxtwist.core.walk import Loss, Step, Walk

#: Seconds from going live to the first audit, and from one audit to the next.
FIRST_AUDIT = 30.0
AUDIT = 60.0

#: Everything that is older than this has been published, ms (a tu, "is in the database", follows its te within 2 s).
PUBLISHED_AFTER = 30_000

#: How often history is asked before it is believed to lack a trade that is on file, and the seconds in between.
LOOKS = 3
LOOK_AGAIN = 5.0

LACKS = "the exchange's history lacks a trade that is on file"


class Purpose(StrEnum):
    """What a page was asked for."""

    SYNC = "sync"
    AUDIT = "audit"
    GAP = "gap"


class Found(NamedTuple):
    """What a page brought: trades, known ones among them, and whether the walk that asked for it has ended."""

    purpose: Purpose
    trades: Iterable[Trade] = ()
    done: bool = False
    gap: Gap | None = None


@dataclass(slots=True, eq=False)
class _Job:
    """A walk through history, and when to go on with it."""

    purpose: Purpose
    walk: Walk
    due: float
    first_delay: float
    longest_delay: float
    gap: Gap | None = None
    delay: float = 0.0
    looks: int = 1

    def postpone(self, now: float) -> None:
        """No progress: wait, longer each time."""
        self.delay = min(self.delay * 2, self.longest_delay) if self.delay else self.first_delay
        self.due = now + self.delay

    def progressed(self, now: float) -> None:
        """Ask for the next page at once."""
        self.due, self.delay = now, 0.0


class Comparison:
    """The progress of one pair's comparison with history."""

    def __init__(self, known: KnownIds, progress: Progress, limits: Limits = LIMITS) -> None:
        self.progress = progress
        self._limits = limits
        self.revision = 0  # grows with every change of `progress`
        self.changes: list[Gap] = []  # what the ledger does not say yet
        self.pages = 0
        self.failures = 0
        self.error = ""  # why the last question had no answer
        self._known = known
        self._written = progress.copy()
        self._written_revision = 0
        self.recent: dict[int, Trade] = {}  # by id, the latest that this run released, beyond the frontier
        self._onward: _Job | None = None  # from the frontier on: SYNC while live trades wait, AUDIT while they do not
        self._repairs = [self._repair(gap, 0.0) for gap in progress.gaps]
        self._asked: _Job | None = None
        self._lost: set[Loss] = set()
        self._exchange_time = 0  # the latest that the newest trades and answers told, ms
        self._ends_with: int | None = None  # the newest id of a history that was told to its end
        self._ended_at = 0

    # --- what the tape tells ------------------------------------------------------------------------------

    def begin(self, first: Mark) -> None:
        """The first trade that is ever recorded here."""
        self.progress = Progress(first.id, first, first.id, self.progress.gaps)
        self.revision += 1
        self.written()  # nothing is promised of what came before

    def released(self, trades: Mapping[int, Trade], newest: Trade) -> None:
        """Trades, by id, are on their way to the file, `newest` among them."""
        self._exchange_time = max(self._exchange_time, newest.mts)
        frontier = self.progress.frontier
        if frontier is None:
            return
        if min(trades) > frontier.id:
            self.recent.update(trades)
        else:
            self.recent.update((trade_id, trade) for trade_id, trade in trades.items() if trade_id > frontier.id)
        if len(self.recent) > self._limits.recent:  # the older half at once: one by one is dearer than all the rest here
            self.recent = dict(islice(self.recent.items(), len(self.recent) - self._limits.recent // 2, None))

    def _forget_up_to(self, frontier: Mark) -> None:
        self.recent = {trade_id: trade for trade_id, trade in self.recent.items() if trade_id > frontier.id}

    def synchronise(self, right: Mark | None, now: float) -> None:
        """Compare from the frontier until history has caught up with `right`."""
        assert self.progress.frontier is not None
        self._onward = _Job(Purpose.SYNC, self._walk(right and right.id), now, 1.0, 16.0)

    def live(self, now: float) -> None:
        """Everything came up to now; from here on audits will do."""
        self._plan_audit(now + FIRST_AUDIT)

    def stop(self) -> None:
        """The socket's word is lost. Open gaps are fetched all the same."""
        self._onward = None

    @property
    def obstacle(self) -> str:
        """Why history has not told yet what live trades wait for; nothing where it is still telling."""
        job = self._onward
        if self.error or job is None or not job.delay:
            return self.error
        return "it has not caught up" if job.walk.reached_back else "it does not reach back"

    def set_aside(self, right: Mark, cause: str, moment: Moment) -> None:
        """History did not come in time: what lies before `right` becomes an open gap, and the frontier goes on."""
        frontier = self.progress.frontier
        assert frontier is not None
        walk = None if self._onward is None else self._onward.walk
        gap = Gap(frontier, right, cause, moment.wall, frontier, self.progress.floor)
        repair = self._repair(gap, moment.monotonic, walk)
        if self._asked is not None and self._asked is self._onward:
            self._asked = repair  # the page that is on its way is the one that it would ask for
        self._repairs.append(repair)
        self._onward = None
        self.progress.gaps.append(gap)
        self.changes.append(gap)
        self.progress.frontier = right
        self._forget_up_to(right)
        self.revision += 1

    # --- asking -------------------------------------------------------------------------------------------

    def is_due(self, now: float) -> bool:
        """Whether there is a page to ask for."""
        return self._due_job(now) is not None

    def request(self, now: float) -> PageRequest | None:
        """The page to ask for now, if any: one at a time, what holds live trades back first."""
        job = self._due_job(now)
        if job is None:
            return None
        self._asked = job
        return job.walk.request()

    def _due_job(self, now: float) -> _Job | None:
        """Of several the one that has been due for longest: where turns are rare, an audit is due at every turn."""
        if self._asked is not None:
            return None
        due = [job for job in (self._onward, *self._repairs) if job is not None and job.due <= now]
        return min(due, key=lambda job: (job.purpose is not Purpose.SYNC, job.due), default=None)

    def failed(self, error: str, now: float) -> None:
        """The page asked for did not come."""
        job, self._asked = self._asked, None
        self.failures += 1
        self.error = error
        if job is not None:
            job.postpone(now)

    def take(self, page: Page, ceiling: int | None, moment: Moment) -> Found | None:
        """The page asked for came. None if it is of no use any more.

        The frontier stays below `ceiling`: trades from that id on are held back, and not on their way to the file.
        """
        job, self._asked = self._asked, None
        self.pages += 1
        self.error = ""
        # The date may be that of a proxy in between, an hour ahead: of two clocks the one behind promises less.
        date = min(page.date or 0, moment.wall // 1000)
        self._exchange_time = max(self._exchange_time, date, *(trade.mts for trade in page.trades), 0)
        if job is None or not (job is self._onward or job in self._repairs):
            return None
        step = job.walk.take(page.trades, self._known.__contains__, moment.monotonic)
        for loss in step.losses:
            self._write_off(loss, moment)
        if step.again:
            job.postpone(moment.monotonic)
        else:
            job.progressed(moment.monotonic)
        done = self._conclude(job, page.trades, step, ceiling, moment)
        return Found(job.purpose, step.trades, done, job.gap)

    def _conclude(self, job: _Job, page: list[Trade], step: Step, ceiling: int | None, moment: Moment) -> bool:
        """Move what a page allows to be moved. Whether the job has ended."""
        if job.gap is not None:
            return self._narrow(job, job.gap, page, step, moment)
        advanced = self._advance(job, step, ceiling, moment)
        if not step.done:
            return False
        if job.purpose is Purpose.AUDIT:
            self._ends_with, self._ended_at = max(job.walk.seen, default=None), self._exchange_time
            if advanced:
                self._plan_audit(moment.monotonic + AUDIT)
            else:
                job.looks += 1
                job.walk, job.due = self._walk(), moment.monotonic + LOOK_AGAIN
        return True

    def _plan_audit(self, due: float) -> None:
        if self.progress.frontier is not None:
            self._onward = _Job(Purpose.AUDIT, self._walk(), due, LOOK_AGAIN, AUDIT)

    # --- the frontier and the gaps ------------------------------------------------------------------------

    def _advance(self, job: _Job, step: Step, ceiling: int | None, moment: Moment) -> bool:
        """Move the frontier as far as a walk allows. False if it stays: history lacks a trade that is on file."""
        target = self._target(job.walk, step, ceiling)
        frontier = self.progress.frontier
        if target is None or frontier is None:
            return True
        seen = job.walk.seen
        # What is older than a history that does not reach back is in the ledger already.
        compared_from = max(frontier.id, job.walk.lost_to)
        lacking = [trade_id for trade_id in self._known.between(compared_from, target.id) if trade_id not in seen]
        if lacking:
            if job.purpose is not Purpose.AUDIT or job.looks < LOOKS or not step.done:
                return False
            self._write_off(_around(lacking, seen, frontier, target), moment)
        self.progress.frontier = target
        self.progress.floor = min(seen)
        self._forget_up_to(target)
        job.walk.seen = {trade_id: mts for trade_id, mts in seen.items() if mts >= target.mts - OVERLAP}
        self.revision += 1
        return True

    def _target(self, walk: Walk, step: Step, ceiling: int | None) -> Mark | None:
        """The newest trade that history has shown and the frontier may move to."""
        frontier = self.progress.frontier
        if not walk.reached_back or step.again or frontier is None:
            return None
        before = self._exchange_time - PUBLISHED_AFTER
        if not step.done:
            before = min(before, walk.complete_to)
        settled = [
            (mts, trade_id)
            for trade_id, mts in walk.seen.items()
            if mts <= before and trade_id > frontier.id and (ceiling is None or trade_id < ceiling)
        ]
        mts, trade_id = max(settled, default=(0, 0))
        return Mark(trade_id, mts) if mts >= frontier.mts else None

    def _walk(self, right: int | None = None) -> Walk:
        """From the frontier on."""
        assert self.progress.frontier is not None
        return Walk(self.progress.frontier, right, limit=self._limits.page)

    def _repair(self, gap: Gap, now: float, walk: Walk | None = None) -> _Job:
        """What fills a gap, from its left edge or from where a walk has come."""
        if walk is None:
            walk = Walk(gap.left, gap.end.id, limit=self._limits.page)
        walk.until = gap.end.mts + OVERLAP
        return _Job(Purpose.GAP, walk, now, 10.0, 600.0, gap)

    def _narrow(self, job: _Job, gap: Gap, page: list[Trade], step: Step, moment: Moment) -> bool:
        """Move the left edge of a gap, or close it."""
        job.walk.seen.clear()
        if step.done:
            gap.close(GapState.FILLED, moment.wall)
            self.progress.gaps.remove(gap)
            self._repairs.remove(job)
            self.changes.append(gap)
            self.revision += 1
        elif len(page) >= self._limits.page and job.walk.reached_back:
            before = page[-1].mts
            mts, trade_id = max(((t.mts, t.id) for t in page if t.mts < before), default=(0, 0))
            if mts > gap.left.mts:
                gap.left = Mark(trade_id, mts)
                self.revision += 1
        return step.done

    def _write_off(self, loss: Loss, moment: Moment) -> None:
        if loss in self._lost:
            return  # the overlap shows it once more
        self._lost.add(loss)
        gap = Gap(loss.start, loss.end, loss.cause, moment.wall, loss.start, loss.start.id)
        gap.close(GapState.LOST, moment.wall)
        self.changes.append(gap)

    def fills(self, trade_id: int, gap: Gap | None) -> bool:
        """History told a trade that was missing. Whether it counts for a gap: the one it was asked for, or another."""
        for candidate in (gap, *self.progress.gaps):
            if candidate is not None and candidate.start.id < trade_id < candidate.end.id:
                candidate.filled += 1
                return True
        return False

    def filled(self, start: Mark, end: Mark, cause: str, count: int, moment: Moment) -> None:
        """An interval that history filled before anyone waited for it: the ledger names it all the same."""
        gap = Gap(start, end, cause, moment.wall, start, start.id, filled=count)
        gap.close(GapState.FILLED, moment.wall)
        self.changes.append(gap)

    def through(self) -> int | None:
        """Every trade up to this time (ms) has been compared.

        Where history ended with our own newest trade, there has been nothing to compare since.
        """
        if self.progress.frontier is None:
            return None
        quiet = self._known.largest == self._ends_with
        reached = max(self.progress.frontier.mts, self._ended_at - PUBLISHED_AFTER if quiet else 0)
        return reached - OVERLAP

    # --- the disk -----------------------------------------------------------------------------------------

    def written(self) -> None:
        """Every row released so far is in the file: there is no need to go back beyond this."""
        if self._written_revision != self.revision:
            self._written, self._written_revision = self.progress.copy(), self.revision

    def begin_at(self, first: int) -> int:
        """Want nothing that is older than the trade of this id, but for what is still to be fetched.

        The id from which on trades are wanted now.
        """
        both = self.progress, self._written
        first = min(first, *(progress.lowest for progress in both))
        for progress in both:
            if progress.start is not None:
                progress.start = max(progress.start, first)
        return first

    @property
    def on_file(self) -> Progress:
        """The progress when every row was last in the file: it stays true if the rows that wait now are lost."""
        return self._written

    def go_back(self, forgotten: Iterable[int], now: float, progress: Progress | None = None) -> None:
        """Rows were released and never written: so much has not been compared after all.

        Or they were, and are not there any more: then `progress` is all that is true.
        """
        for trade_id in forgotten:
            self.recent.pop(trade_id, None)
        if progress is not None:
            self._written = progress
        self.progress = self._written.copy()
        self.changes.extend(self.progress.gaps)
        self._repairs = [self._repair(gap, now) for gap in self.progress.gaps]
        self._onward = self._ends_with = None
        self.revision += 1


def _around(lacking: list[int], seen: dict[int, int], frontier: Mark, target: Mark) -> Loss:
    """The interval in which history lacks trades: between the two nearest that it does show."""
    before = max((i for i in seen if i < min(lacking)), default=frontier.id)
    after = min((i for i in seen if i > max(lacking)), default=target.id)
    return Loss(Mark(before, seen.get(before, frontier.mts)), Mark(after, seen.get(after, target.mts)), LACKS)
