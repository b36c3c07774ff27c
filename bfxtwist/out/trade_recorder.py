"""The recorder of one pair: it hands trades to the tape, rows to the file, questions to history, progress to the disk.

Everything that decides is in `core/trades.py` and `core/comparison.py`; everything that touches the disk is in
`trade_file.py` and `trade_state.py`. Here is only the order of things, and the order is what makes it durable:

    rows into the file  →  rows synced  →  ledger of gaps  →  state          (nothing is promised before it is on disk)
    an open gap into the state  →  the rows that come after it              (a hole is written down before it is passed)
"""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from bfxtwist.core.gaps import GapState, Ledger
from bfxtwist.core.history import History, HistoryUnavailable, PageRequest
from bfxtwist.core.limits import LIMITS, Limits
from bfxtwist.core.market import Moment, iso
from bfxtwist.core.messages import Trade
from bfxtwist.core.recovery import EARLIER_AT_LEAST, EARLIER_AT_MOST, FileId, Saved
from bfxtwist.core.trade_rows import Arrival, Layout
from bfxtwist.core.trades import Mode, Tape
from bfxtwist.out.disk import Disk, OsDisk
from bfxtwist.out.rotation import Rotation
from bfxtwist.out.trade_csv import InThread, SyncPolicy, TradeCsv
from bfxtwist.out.trade_errors import CannotCreate, DiskFailed, TradeFileError, explained
from bfxtwist.out.trade_file import TradeFile
from bfxtwist.out.trade_state import LedgerFile, LockFile, StateFile

FOLDER_MODE = 0o750

#: Seconds between two syncs under each policy; with `always` rows are synced as they come, and this is for the state.
_SYNC_EVERY = {SyncPolicy.ALWAYS: 1.0, SyncPolicy.SECOND: 1.0, SyncPolicy.NO: 60.0}

#: The state is saved when what it promises has changed, and otherwise so often, in seconds: it tells recovery where to look.
_SAVE_EVERY = 30.0

#: A disk that has failed to sync so often in a row is not believed any more.
DEGRADED_AFTER = 3


def check_folder(path: str | os.PathLike[str], disk: Disk | None = None) -> None:
    """Make a folder for trade files if it is missing, and see that files can be made in it. Raises TradeFileError."""
    disk = disk if disk is not None else OsDisk()
    folder = os.path.abspath(path)
    probe = os.path.join(folder, f".bfxtwist-{os.getpid()}")
    try:
        found = disk.find(folder)
        if found is None:
            disk.make_folder(folder, FOLDER_MODE)
        elif found.kind != "a directory":
            raise CannotCreate(f"{folder} is {found.kind}: name a folder")
        disk.remove(probe)  # of a process that had this pid and was killed right here
        disk.close(disk.create(probe, 0o600))
        disk.remove(probe)
    except OSError as error:
        raise explained(folder, error) from error


class TradeRecorder:
    """Records one pair to trade.csv in a folder. A TradeListener of `core/market.py`."""

    _log = Logger()

    def __init__(
        self,
        symbol: str,
        folder: str | os.PathLike[str],
        history: History,
        clock: IReactorTime,
        moment: Callable[[], Moment],
        *,
        sync: SyncPolicy = SyncPolicy.SECOND,
        disk: Disk | None = None,
        in_thread: InThread = deferToThread,
        gave_up: Callable[[TradeFileError], None] | None = None,
        limits: Limits = LIMITS,
        rotation: Rotation | None = None,
    ) -> None:
        """`symbol` is the exchange's (`tBTCUSD`). `gave_up` hears, once, that three syncs in a row have failed."""
        self.symbol = symbol
        self.folder = Path(os.path.abspath(folder))
        self.error: str | None = None  # of the disk, beside what the queue knows
        self._history = history
        self._clock = clock
        self._moment = moment
        self._limits = limits
        self._sync_policy = sync
        self._in_thread = in_thread
        self._gave_up = gave_up
        self._rotation = rotation
        self._disk = disk if disk is not None else OsDisk()
        path = os.fspath(self.folder / "trade.csv")
        self._layout = Layout(symbol)
        self._lock = LockFile(self._disk, f"{path}.lock")
        self._state = StateFile(self._disk, f"{path}.state")
        self._ledger_file = LedgerFile(self._disk, os.fspath(self.folder / "trade.gaps.csv"))
        self._file = TradeFile(self._disk, path, self._layout, limits.unsynced)
        self._csv = TradeCsv(
            self._file,
            self._layout,
            clock,
            forgotten=self._forgotten,
            drained=self._drained,
            sync=sync,
            limit=limits.queue,
        )
        self._ledger = Ledger()
        self._tape: Tape | None = None
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock
        self._page: Deferred[None] | None = None
        self._saving: Deferred[bool | None] | None = None
        self._saved_revision = -1
        self._saved_at = 0.0
        self._synced_at = 0.0
        self._told_of_degraded = False
        self._opened = False

    # --- start and stop -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Lock the file and recover it: after this the recorder may be connected. Raises TradeFileError."""
        check_folder(self.folder, self._disk)
        self._lock.acquire()
        try:
            saved = self._state.load()
            self._ledger = self._ledger_file.load()
            self._recover(saved)
        except OSError as error:
            self._file.close()
            self._lock.release()
            raise explained(self._file.path, error) from error
        except BaseException:
            self._lock.release()
            raise
        self._opened = True

    def _recover(self, saved: Saved | None) -> None:
        if self._rotation is not None:
            self._rotation.tidy()
        plan = self._file.open(saved, self._moment().wall)
        for note in plan.notes:
            self._log.warn("{path}: {note}", path=self._file.path, note=note)
        self._tape = Tape(plan.known, plan.progress, self._limits)
        if saved is not None and saved.file != self._file.file:
            self._state.save(self._record())  # as in `_enter`: no row is written before the state knows of this file

    def start(self) -> None:
        """Begin to work; `open` first if that has not been done. Raises TradeFileError."""
        if not self._opened:
            self.open()
        self._ticking.start(1.0, now=False)
        if self._rotation is not None:
            self._rotation.compress()

    async def _stop(self) -> None:
        if self._ticking.running:
            self._ticking.stop()
        if not self._opened:
            return
        self._opened = False
        if self._page is not None:
            self._page.cancel()
        try:
            left = self._csv.stop()
            if self._saving is not None:
                await self._saving
            await self._save(state=left == 0)
            if self._rotation is not None:
                await self._rotation.stop()
        finally:
            self._file.close()
            self._lock.release()
        if left or self._file.sync_failures or self.error:
            raise DiskFailed(f"{self._file.path}: {left} rows could not be written: {self._csv.error or self.error}")

    def stop(self) -> "Deferred[None]":
        """Flush, sync, save, and let go of the file. Fails with a TradeFileError if rows or state are not safe.

        Twisted swallows what a stopService raises: whoever stops must look at this Deferred.
        """
        return Deferred.fromCoroutine(self._stop())

    @property
    def tape(self) -> Tape:
        """The decisions; there is one after `open`."""
        assert self._tape is not None
        return self._tape

    # --- what the feed tells ------------------------------------------------------------------------------

    def snapshot(self, trades: list[Trade], moment: Moment) -> None:
        """The latest trades, newest first: the first thing after each subscription."""
        self.tape.snapshot(trades, moment)
        self._go_on(moment)

    def executed(self, trade: Trade, confirmed: bool, moment: Moment) -> None:
        """A trade, as te or (confirmed) as tu: whichever comes first is written."""
        del confirmed
        tape = self.tape
        tape.executed(trade, moment)
        if tape.has_released:
            self._csv.put(tape.released())

    def lost(self, reason: str, moment: Moment) -> None:
        """From here to the next snapshot anything may be missed."""
        del moment
        self.tape.lost(reason)

    # --- rows ---------------------------------------------------------------------------------------------

    def _write(self) -> None:
        arrivals = self.tape.released()
        if arrivals:
            self._csv.put(arrivals)

    def _drained(self) -> None:
        self.tape.written()
        if self._sync_policy is SyncPolicy.ALWAYS and self._file.synced < self._file.base:
            self._begin_saving()
        self._ask(self._moment())

    def _forgotten(self, arrivals: list[Arrival]) -> None:
        self.tape.forgot(arrivals, self._moment())

    # --- history ------------------------------------------------------------------------------------------

    def _go_on(self, moment: Moment) -> None:
        self._write()
        self._ask(moment)

    def _ask(self, moment: Moment) -> None:
        """Ask for the next page, if there is one to ask for and what came before is in the file."""
        if self._page is not None or len(self._csv) or not self._opened:
            return
        request = self.tape.request(moment)
        if request is not None:
            self._page = Deferred.fromCoroutine(self._fetch(request))
            self._page.addErrback(self._log_bug).addBoth(self._answered)

    async def _fetch(self, request: PageRequest) -> None:
        try:
            page = await self._history.page(self.symbol, request)
        except HistoryUnavailable as error:
            self._log.info("{symbol}: no page of history: {error}", symbol=self.symbol, error=error)
            self.tape.unanswered(str(error), self._moment())
        except CancelledError:
            self.tape.unanswered("stopped", self._moment())
        else:
            self.tape.page(page, self._moment())

    def _answered(self, _: object) -> None:
        self._page = None
        if self._opened:
            self._write()
            self._clock.callLater(0, self._ask_again)

    def _ask_again(self) -> None:
        self._ask(self._moment())

    def _log_bug(self, failure: Any) -> None:
        self._log.failure("a bug in the recorder of {symbol}", failure, symbol=self.symbol)
        self.tape.unanswered("a bug", self._moment())

    # --- every second -------------------------------------------------------------------------------------

    def _tick(self) -> None:
        moment = self._moment()
        self.tape.tick(moment)
        if self._saving is None:
            self._look_after_file(moment)
            self._rotate(moment)
        if self._saving is None:
            every = _SYNC_EVERY[self._sync_policy]
            if self.tape.urgent or moment.monotonic - self._synced_at >= every:
                self._begin_saving()
        self._go_on(moment)

    def _look_after_file(self, moment: Moment) -> None:
        """Somebody may have rotated, removed or changed the file."""
        if not self._file.is_open:  # it could not be opened anew
            self._reopen(moment)
            return
        try:
            done = self._file.interference()
        except OSError as error:
            self.error = str(error)
            return
        if done is not None:
            self._log.warn("{path}: {done}: opened anew", path=self._file.path, done=done)
            self._reopen(moment)

    def reopen(self) -> None:
        """Finish the file that is open and go on with what has its name now, after SIGHUP. What fails is tried again."""
        if self._saving is None:
            self._reopen(self._moment())
        else:
            self._saving.addBoth(lambda _: self.reopen())  # the next one may be under way by then

    def _reopen(self, moment: Moment) -> None:
        try:
            self._leave()
            self._enter(moment)
        except (OSError, TradeFileError) as error:
            self.error = f"{self._file.path} cannot be opened anew: {error}"
            self._log.error("{error}", error=self.error)
        else:
            self.error = None
            self._csv.retry()
            if self._rotation is not None:
                self._rotation.compress()

    def _leave(self) -> None:
        """Finish the open file: nobody will look into it again."""
        if self._file.is_open:
            self._settle()
            self._file.close()

    def _settle(self) -> None:
        """Sync the open file, and save which rows it holds."""
        try:
            self._file.sync_job()()
        except OSError as error:
            self._sync_failed(error)
            raise
        self._state.save(self._record())

    def _rotate(self, moment: Moment) -> None:
        """Close a part, if it is time: what was released must be in it, and the state know that, before it is renamed."""
        file, rotation = self._file, self._rotation
        if rotation is None or not file.is_open or file.file is None or not rotation.due(file.file, file.base, moment):
            return
        self._write()
        self._csv.flush()
        if self._saving is not None or len(self._csv) or self.tape.has_released:
            return  # the disk is busy, or does not take rows: at the next tick
        try:
            self._settle()
            part = rotation.close_part(file.file, moment.wall)
        except OSError as error:
            rotation.refused(error, moment)
            return
        self._log.info("{path} is closed as {part}", path=file.path, part=os.path.basename(part))
        self._reopen(moment)

    def _enter(self, moment: Moment) -> None:
        """Open what has the file's name now. No row is written to it before the state knows of it."""
        elsewhere = msgspec.structs.replace(self._record(), file=FileId(0, 0))
        plan = self._file.open(elsewhere, moment.wall)
        try:
            self._state.save(self._record())
        except OSError:
            self._file.close()
            raise
        for trade_id in plan.known.newest(0, len(plan.known), None):
            if trade_id not in self.tape.known:
                self.tape.known.add(trade_id)

    # --- the disk -----------------------------------------------------------------------------------------

    def _record(self) -> Saved:
        """What is true of the rows up to `base`."""
        progress = self.tape.comparison.progress
        lowest = min([progress.floor, *(gap.floor for gap in progress.gaps)])
        file = self._file
        return Saved(
            self._layout.exchange,
            self._layout.symbol,
            file.file if file.file is not None else FileId(0, 0),
            file.base,
            file.last_id,
            progress.copy(),
            self.tape.known.newest(EARLIER_AT_LEAST, EARLIER_AT_MOST, lowest or None),
        )

    def _begin_saving(self) -> None:
        if self._saving is None:
            self._saving = Deferred.fromCoroutine(self._save(state=not len(self._csv)))
            self._saving.addErrback(self._log_bug).addBoth(self._saving_done)

    def _saving_done(self, saved: bool | None) -> None:
        self._saving = None
        more = self._sync_policy is SyncPolicy.ALWAYS and self._file.synced < self._file.base
        if self._opened and more and saved:  # after a failure the next tick is soon enough
            self._begin_saving()

    async def _save(self, state: bool) -> bool:
        """Sync the rows; then, if every row is in the file, save what may be promised of them."""
        moment, file, comparison = self._moment(), self._file, self.tape.comparison
        if not file.is_open:
            return False
        self._synced_at = moment.monotonic
        mark, rows, failures, revision = file.base, self._csv.rows_written, file.sync_failures, comparison.revision
        due = moment.monotonic - self._saved_at >= _SAVE_EVERY and mark != file.synced
        changed = revision != self._saved_revision or bool(comparison.changes)
        wanted = state and (changed or due or not self._opened)
        if not (wanted or mark != file.synced):
            return True
        saved = self._record() if wanted else None
        ledger, changes = self._ledger_text() if wanted else (None, 0)
        try:
            sync = file.sync_job()
        except OSError as error:
            self.error = str(error)
            return False
        job = partial(_synced_and_saved, sync, self._ledger_file, ledger, self._state, saved)
        failed_sync, failed_save = await self._in_thread(job)
        if failed_sync is not None:
            self._sync_failed(failed_sync)
            return False
        file.synced_to(mark, failures)
        self._csv.synced(rows)
        self.error = None if failed_save is None else f"{self._state.path}: {failed_save.strerror or failed_save}"
        if failed_save is None and saved is not None:
            del comparison.changes[:changes]
            self._saved_revision, self._saved_at = revision, moment.monotonic
            self.tape.saved(revision, self._moment())
            if self._opened:
                self._go_on(self._moment())
        return failed_save is None

    def _ledger_text(self) -> tuple[bytes | None, int]:
        changes = self.tape.comparison.changes
        for gap in changes:
            self._ledger.record(gap)
        return (self._ledger.text() if changes else None), len(changes)

    def _sync_failed(self, error: OSError) -> None:
        self._file.sync_failed()
        self.error = f"{self._file.path} cannot be synced: {error.strerror or error}"
        self._log.error("{error}; its rows are written again", error=self.error)
        if self._file.sync_failures >= DEGRADED_AFTER and not self._told_of_degraded and self._gave_up is not None:
            self._told_of_degraded = True
            self._gave_up(DiskFailed(self.error))

    # --- what others want to know -------------------------------------------------------------------------

    def not_ready(self) -> str | None:
        """Why trades are not being recorded as they should, or None."""
        if not self._opened:
            return f"{self.symbol}: the recorder is not running"
        problem = self._problem()
        if problem is not None:
            return f"{self.symbol}: {self._file.path}: {problem}"
        if self.tape.mode is not Mode.LIVE:
            return f"{self.symbol}: trades are not live: {self.tape.reason}"
        return None

    def _problem(self) -> str | None:
        """What the disk does not do. Of a file that could not be opened anew, the queue only knows that it is shut."""
        return self._csv.error or self.error if self._file.is_open else self.error

    def status(self) -> dict[str, Any]:
        """What `GET /status` says of this recorder. Times are in ms and in words."""
        tape, file = self.tape, self._file
        comparison = tape.comparison
        newest = tape.last_trade.id if tape.last_trade is not None else None
        through = comparison.through(newest)
        gaps = {state.value: self._ledger.count(state) for state in GapState}
        gaps[GapState.OPEN.value] = len(comparison.progress.gaps)
        return {
            "file": file.path,
            "mode": tape.mode.value,
            "reason": tape.reason if tape.mode is not Mode.LIVE else "",
            "verified_through": through,
            "verified_through_iso": None if through is None else iso(through),
            "lag_ms": None if through is None else self._moment().wall // 1000 - through,
            "gaps": gaps,
            "queue": len(self._csv),
            "rows_written": self._csv.rows_written,
            "bytes_written": self._csv.bytes_written,
            "bytes": file.base,
            "bytes_synced": file.synced,
            "pages": comparison.pages,
            "pages_failed": comparison.failures,
            "history_error": comparison.error or None,
            "error": self._problem(),
            "counters": msgspec.to_builtins(tape.counters),
        }


def _synced_and_saved(
    sync: Callable[[], None], ledger_file: LedgerFile, ledger: bytes | None, state_file: StateFile, saved: Saved | None
) -> tuple[OSError | None, OSError | None]:
    """In a thread: rows, then the ledger, then the state. What failed of the first, and of the others."""
    try:
        sync()
    except OSError as error:
        return error, None
    try:
        if ledger is not None:
            ledger_file.save(ledger)
        if saved is not None:
            state_file.save(saved)
    except OSError as error:
        return None, error
    return None, None
