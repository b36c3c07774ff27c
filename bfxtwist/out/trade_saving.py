"""What makes the rows of one trade.csv durable, and then promises of them what recovery may believe.

    rows synced  →  ledger of gaps  →  state          (nothing is promised before it is on disk)

Syncing blocks, so it is done in a thread, and one saving at a time. Rows that come meanwhile go on into the file; of them
nothing is promised: the promise is made before the thread begins. When to save is decided here; what is true of the trades,
in `core/trades.py` and `core/comparison.py`; when another file becomes trade.csv, in `trade_succession.py`.
"""

import os
from collections.abc import Callable
from copy import copy
from enum import Enum
from functools import partial
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from bfxtwist.core.gaps import Gap, GapLedger, GapState
from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.recovery import EARLIER_AT_LEAST, EARLIER_AT_MOST, FileId, Saved
from bfxtwist.core.trade_rows import Layout
from bfxtwist.core.trades import Tape
from bfxtwist.out.disk import Disk
from bfxtwist.out.in_thread import InThread
from bfxtwist.out.trade_csv import TradeCsv
from bfxtwist.out.trade_errors import DiskFailed, TradeFileError, explained
from bfxtwist.out.trade_file import TradeFile
from bfxtwist.out.trade_state import LedgerFile, StateFile

_log = Logger()


class SyncPolicy(Enum):
    """When rows are made to survive a power loss: with each write, every second, or only with the state, once a minute."""

    ALWAYS = "always"
    SECOND = "1s"
    NO = "no"


#: Seconds between two syncs under each policy; with `always` rows are synced as they come, and this is for the state.
_SYNC_EVERY = {SyncPolicy.ALWAYS: 1.0, SyncPolicy.SECOND: 1.0, SyncPolicy.NO: 60.0}

#: The same where a sync has failed, or very many rows wait for one, whatever the policy.
_AGAIN_EVERY = 1.0

#: The state is saved when what it promises has changed, and otherwise so often, in seconds: it tells recovery where to look.
_SAVE_EVERY = 30.0

#: A disk that has failed to sync, or to write, so often in a row is not believed any more.
DEGRADED_AFTER = 3


class _Promise(NamedTuple):
    """What is to be on disk after the rows. `ledger` is the whole text of the ledger, None if nothing in it is new."""

    saved: Saved
    revision: int  # of the progress in `saved`
    ledger: bytes | None
    changes: int  # how many of the comparison's are in it
    changed: list[Gap]  # as they are now: they may be filled before this is saved


class TradeSaving:
    """Syncs a trade.csv, and keeps the state and the ledger of gaps beside it."""

    def __init__(
        self,
        file: TradeFile,
        csv: TradeCsv,
        layout: Layout,
        disk: Disk,
        moment: Callable[[], Moment],
        *,
        sync: SyncPolicy,
        in_thread: InThread,
        saved: Callable[[], None],
        bug: Callable[[Any], None],
        gave_up: Callable[[TradeFileError], None] | None,
    ) -> None:
        """`saved` hears of each state on disk but the last, `bug` of a Failure that is none of the disk's.

        `gave_up` hears, once, that DEGRADED_AFTER syncs or writes in a row have failed.
        """
        self._unsynced: str | None = None  # why rows cannot be synced
        self._unsaved: str | None = None  # why what is true of them cannot be saved, since it was last tried
        self.ledger = GapLedger()
        self._file = file
        self._csv = csv
        self._layout = layout
        self._moment = moment
        self._sync_policy = sync
        self._in_thread = in_thread
        self._saved = saved
        self._bug = bug
        self._gave_up = gave_up
        self._state = StateFile(disk, f"{file.path}.state")
        self._ledger_file = LedgerFile(disk, os.path.join(os.path.dirname(file.path), "trade.gaps.csv"))
        self._tape: Tape | None = None
        self._under_way: Deferred[bool | None] | None = None
        self._next: dict[Callable[[], None], None] = {}  # what waits for its end, in this order
        self._ending = False
        self._saved_revision = -1
        self._saved_at = 0.0
        self._synced_at = 0.0
        self._told_of_degraded = False

    # --- start and stop -----------------------------------------------------------------------------------

    def load(self) -> Saved | None:
        """Read the ledger, and what was promised before, if that is known. Raises TradeFileError or OSError."""
        saved = self._state.load()
        self.ledger = self._ledger_file.load()
        return saved

    def follow(self, tape: Tape) -> None:
        """Whose progress is to be saved: before anything else but `load`."""
        self._tape, self._ending = tape, False

    @property
    def tape(self) -> Tape:
        """The one whose progress is saved; there is one after `follow`."""
        assert self._tape is not None
        return self._tape

    def end(self) -> None:
        """From now on each saving may be the last one: the state is in it even if nothing has changed."""
        self._ending = True

    async def finish(self, all_written: bool) -> None:
        """The last saving, after the one under way; `error` says how it went. `all_written`: every row is in the file."""
        while self._under_way is not None:  # what waited for one may have begun another
            await self._under_way
        await self._save(all_written)

    # --- when ---------------------------------------------------------------------------------------------

    @property
    def under_way(self) -> bool:
        """Whether a thread syncs the file: it must not be closed now."""
        return self._under_way is not None

    def then(self, call: Callable[[], None]) -> None:
        """Call when the saving under way has ended, before the next one begins; once, however often this is asked for.

        After `end` it is not called any more: the file is being closed.
        """
        assert self._under_way is not None
        self._next[call] = None

    def drained(self) -> None:
        """Every row is in the file: with `always`, or if there are very many, they are synced at once."""
        if self._syncs_at_once:
            self._begin()

    def tick(self, moment: Moment) -> None:
        """Save if it is time, or if live trades wait for it."""
        if self._csv.failures >= DEGRADED_AFTER:
            self._give_up(f"{self._file.path} cannot be written: {self._csv.error}")
        file = self._file
        every = _AGAIN_EVERY if file.crowded or file.sync_failures else _SYNC_EVERY[self._sync_policy]
        if self.tape.urgent or moment.monotonic - self._synced_at >= every:
            self._begin()

    @property
    def _syncs_at_once(self) -> bool:
        """Not after a failure: then all that is not synced is written again each time, for which once a second will do."""
        file = self._file
        wanted = file.crowded or (self._sync_policy is SyncPolicy.ALWAYS and file.synced < file.base)
        return wanted and not file.sync_failures

    def _begin(self) -> None:
        if self._under_way is None:
            self._under_way = Deferred.fromCoroutine(self._save(all_written=not len(self._csv)))
            self._under_way.addErrback(self._bug).addBoth(self._done).addErrback(self._bug)

    def _done(self, saved: bool | None) -> None:
        self._under_way = None
        calls, self._next = self._next, {}
        if self._ending:
            return
        for call in calls:
            call()
        if self._syncs_at_once and saved:  # after a failure the next tick is soon enough
            self._begin()

    # --- now, while the caller waits ----------------------------------------------------------------------

    def record(self) -> Saved:
        """What is true of the rows up to `base`.

        Neither rows that wait nor what was compared while they did are in it: after a kill nobody would ask for them again.
        """
        tape, file = self.tape, self._file
        waiting = {arrival.trade.id for arrival in (*self._csv.waiting, *tape.unwritten)}
        progress = tape.comparison.on_file if waiting else tape.comparison.progress
        known = tape.known.newest(EARLIER_AT_LEAST, EARLIER_AT_MOST, progress.lowest or None)
        return Saved(
            self._layout.source,
            self._layout.symbol,
            file.file if file.file is not None else FileId(0, 0),
            file.base,
            file.last_id,
            progress.copy(),
            [trade_id for trade_id in known if trade_id not in waiting] if waiting else known,
        )

    def promise(self) -> None:
        """Put on disk what is true of the rows up to `base`, which must be synced. Raises OSError."""
        self._state.save(self.record())
        self._unsynced = self._unsaved = None

    def settle(self) -> None:
        """Sync the open file, and save which rows it holds. Raises OSError."""
        try:
            self._file.sync_job()()
        except OSError as error:
            self._sync_failed(error)
            raise
        self.promise()

    # --- in a thread --------------------------------------------------------------------------------------

    async def _save(self, all_written: bool) -> bool:
        """Sync the rows; then, if every row is in the file, save what may be promised of them. Whether that was done."""
        moment, file = self._moment(), self._file
        if not file.is_open:
            return False
        self._synced_at = moment.monotonic
        mark, failures = file.base, file.sync_failures
        promise = self._due_promise(moment) if all_written else None
        if promise is None and mark == file.synced:
            return True
        job = partial(_synced_and_saved, file.sync_job(), promise, self._ledger_file, self._state)
        failed_sync, failed_save = await self._in_thread(job)
        if failed_sync is not None:
            self._sync_failed(failed_sync)
            return False
        file.synced_to(mark, failures)
        before, self._unsynced = self.error, None
        if promise is not None:
            self._unsaved = None if failed_save is None else self._why(failed_save)
        self._tell_of_error(before)
        if failed_save is None and promise is not None:
            self._is_saved(promise, moment)
        return failed_save is None

    def _due_promise(self, moment: Moment) -> _Promise | None:
        """What is to be saved now: if there is news, if the last one is old and rows have come, and if this is the end.

        Also after a failure: for a pair without trades nothing else would show that the disk works again.
        """
        comparison = self.tape.comparison
        old = moment.monotonic - self._saved_at >= _SAVE_EVERY and self._file.base != self._file.synced
        news = comparison.revision != self._saved_revision or bool(comparison.changes)
        if not (news or old or self.error or self._ending):
            return None
        return _Promise(self.record(), comparison.revision, *self._ledger_text())

    def _is_saved(self, promise: _Promise, moment: Moment) -> None:
        del self.tape.comparison.changes[: promise.changes]
        for gap in promise.changed:
            self._tell(gap)
        self._saved_revision, self._saved_at = promise.revision, moment.monotonic
        self.tape.saved(promise.revision, self._moment())
        if not self._ending:
            self._saved()

    def _ledger_text(self) -> tuple[bytes | None, int, list[Gap]]:
        changes = self.tape.comparison.changes
        for gap in changes:
            self.ledger.record(gap)
        changed = {id(gap): copy(gap) for gap in changes}  # a gap may have been opened and filled since the last time
        return (self.ledger.text() if changes else None), len(changes), [*changed.values()]

    def _tell(self, gap: Gap) -> None:
        """In the log: nobody looks into the ledger who does not know of the gap."""
        where = {"path": self._file.path, "start": iso(gap.start.mts), "end": iso(gap.end.mts), "cause": gap.cause}
        if gap.state is GapState.FILLED:
            text = "{path}: a gap was filled with {count} trades, from {start} to {end}: {cause}"
            _log.info(text, count=gap.filled, **where)
        else:
            _log.warn("{path}: a gap is {state}, from {start} to {end}: {cause}", state=gap.state, **where)

    @property
    def error(self) -> str | None:
        """Why rows cannot be synced, or the state and the ledger cannot be saved."""
        return self._unsynced or self._unsaved

    def _why(self, failed: OSError) -> str:
        return str(explained(str(failed.filename or self._state.path), failed))

    def _tell_of_error(self, before: str | None) -> None:
        """Of its beginning and its end."""
        if self.error is None and before is not None:
            _log.info("{path} and what is known of it are on disk again", path=self._file.path)
        elif self.error is not None and self.error != before:
            _log.error("{error}; trying again", error=self.error)

    def _sync_failed(self, error: OSError) -> None:
        self._file.sync_failed()
        self._unsynced = f"{self._file.path} cannot be synced: {error.strerror or error}"
        _log.error("{error}; its rows are written again", error=self._unsynced)
        if self._file.sync_failures >= DEGRADED_AFTER:
            self._give_up(self._unsynced)

    def _give_up(self, why: str) -> None:
        if not self._told_of_degraded and self._gave_up is not None:
            self._told_of_degraded = True
            self._gave_up(DiskFailed(why))


def _synced_and_saved(
    sync: Callable[[], None], promise: _Promise | None, ledger_file: LedgerFile, state_file: StateFile
) -> tuple[OSError | None, OSError | None]:
    """In a thread: rows, then the ledger, then the state. Returns the error of the first, and that of the others."""
    try:
        sync()
    except OSError as error:
        return error, None
    try:
        if promise is not None and promise.ledger is not None:
            ledger_file.save(promise.ledger)
        if promise is not None:
            state_file.save(promise.saved)
    except OSError as error:
        return None, error
    return None, None
