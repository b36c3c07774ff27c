"""The recorder of one pair: it hands trades to the tape, rows to the file, questions to history, progress to the disk.

Which trade is new, when it may be written and what to ask history is decided by the tape (`core/trades.py`), what to make of
a trade.csv that is there by `core/recovery.py`, which file is trade.csv by `trade_succession.py`. What is in the folder:

    trade.csv                 the rows                              trade_csv.py, the queue; trade_file.py, the bytes
    trade.csv.state           how far they are synced and compared  trade_saving.py, when and what; trade_state.py, the bytes
    trade.gaps.csv            where trades may be missing           the same
    trade.csv.lock            keeps other recorders off             trade_state.py
    trade-2026-11-21.csv.gz   a closed part                         rotation.py, closed_parts.py; earlier_parts.py to read it

Here is only the order of things, and the order is what makes it durable:

    rows into the file  →  the saving: rows synced, then what is true of them
    rows into the file  →  a turn to ask history  →  the question, chosen when the turn comes
    an open gap into the state  →  the rows that come after it              (a hole is written down before it is passed)

Whatever happens may make the tape release rows, and all of them go the same way:

    snapshot, executed ─┐
    a page of history  ─┼─► tape ── released ──► csv ── a turn later ──► file ── each second, or at once ──► the saving
    tick, saved        ─┘

The saving begins at once with sync=always and when very many rows are not synced; with sync=no once a minute. At most one of
each is under way: a walk through history (`_asking`), a saving, and a compression of closed parts (both in a thread). `stop`
cancels the walk, writes, saves, waits for the compression and closes the file last; `reopen` and rotation wait for a saving.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from bfxtwist.core.gaps import GapState
from bfxtwist.core.history import History, HistoryUnavailable, PageRequest
from bfxtwist.core.limits import LIMITS, Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import Moment, iso
from bfxtwist.core.trade_rows import Arrival, Layout
from bfxtwist.core.trades import Counters, Mode, Tape
from bfxtwist.out.disk import Disk, OsDisk
from bfxtwist.out.earlier_parts import EarlierParts
from bfxtwist.out.in_thread import InThread
from bfxtwist.out.rotation import Rotation
from bfxtwist.out.trade_csv import RowsForgotten, TradeCsv
from bfxtwist.out.trade_errors import DiskFailed, TradeFileError, explained
from bfxtwist.out.trade_file import TradeFile
from bfxtwist.out.trade_folder import check_folder
from bfxtwist.out.trade_saving import SyncPolicy, TradeSaving
from bfxtwist.out.trade_state import LockFile
from bfxtwist.out.trade_succession import TradeSuccession

_log = Logger()


class RecorderStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /status` says of a recorder, member by member, by names that readers know. Times are in ms and in words."""

    file: str
    mode: Mode
    reason: str
    verified_through: int | None
    verified_through_iso: str | None
    lag_ms: int | None
    gaps: dict[GapState, int]
    queue: int
    rows_written: int
    bytes_written: int
    bytes: int
    bytes_synced: int
    pages: int
    pages_failed: int
    history_error: str | None
    error: str | None
    counters: Counters


class TradeRecorder:
    """Records one pair to trade.csv in a folder. A TradeListener of `core/trade_feed.py`."""

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
        written: Callable[[Sequence[Arrival]], None] | None = None,
        limits: Limits = LIMITS,
        rotation: Rotation | None = None,
        demo: bool = False,
    ) -> None:
        """`symbol` is the exchange's (`tBTCUSD`). `gave_up` hears, once, that the disk has failed three times in a row,
        `written` of the rows that are in the file now.
        """
        self.symbol = symbol
        self.folder = Path(os.path.abspath(folder))
        self._history = history
        self._clock = clock
        self._moment = moment
        self._disk = disk if disk is not None else OsDisk()
        self.path = self.folder / "trade.csv"
        path = os.fspath(self.path)
        layout = Layout(symbol, demo=demo)
        self._lock = LockFile(self._disk, f"{path}.lock")
        self._file = TradeFile(self._disk, path, layout, limits.unsynced)
        self._csv = TradeCsv(
            self._file,
            layout,
            clock,
            forgotten=self._forgotten,
            drained=self._drained,
            written=written,
            limit=limits.queue,
        )
        self._saving = TradeSaving(
            self._file,
            self._csv,
            layout,
            self._disk,
            moment,
            sync=sync,
            in_thread=in_thread,
            saved=self._go_on,
            bug=self._log_bug,
            gave_up=gave_up,
        )
        parts = EarlierParts(self._disk, os.fspath(self.folder), layout)
        self._succession = TradeSuccession(
            self._file, self._csv, self._saving, moment, limits=limits, parts=parts, rotation=rotation
        )
        self._ticking = LoopingCall(self._tick)
        self._ticking.clock = clock
        self._asking: Deferred[None] | None = None
        self._in_line = False  # for the disk, and for a turn to ask
        self._opened = False
        self._told_of_foreign = False

    # --- start and stop -----------------------------------------------------------------------------------

    def open(self) -> None:
        """Lock the file and recover it: after this the recorder may be connected. Raises TradeFileError."""
        check_folder(self.folder, self._disk)
        self._lock.acquire()
        try:
            self._succession.recover(self._saving.load())
        except BaseException as error:
            self._file.close()
            self._lock.release()
            if isinstance(error, OSError):
                raise explained(self._file.path, error) from error
            raise
        self._opened = True

    def start(self) -> None:
        """Begin to work; `open` first if that has not been done. Raises TradeFileError."""
        if not self._opened:
            self.open()
        self._ticking.start(1.0, now=False)
        self._succession.start()

    async def _stop(self) -> None:
        if self._ticking.running:
            self._ticking.stop()
        if not self._opened:
            return
        self._opened = False
        self._saving.end()
        if self._asking is not None:
            self._asking.cancel()
        try:
            self.tape.stop(self._moment())
            left = await self._finish()
            if self.tape.has_released:  # behind a hole that is on disk by now
                left = await self._finish()
            await self._succession.stop()
            problem = self._problem()
        finally:
            self._file.close()
            self._lock.release()
        if left:
            raise DiskFailed(f"{left} rows could not be written: {problem}")
        if problem or self._file.sync_failures:
            raise DiskFailed(problem or f"{self._file.path} could not be synced")

    async def _finish(self) -> int:
        """Write and save what there is. How many rows could not be written."""
        self._write()
        left = self._csv.stop()
        await self._saving.finish(all_written=left == 0)
        return left

    def stop(self) -> Deferred[None]:
        """Flush, sync, save, and let go of the file. Fails with a TradeFileError if rows or state are not safe.

        Twisted swallows what a stopService raises: whoever stops must look at this Deferred.
        """
        return Deferred.fromCoroutine(self._stop())

    @property
    def tape(self) -> Tape:
        """The decisions; there is one after `open`."""
        return self._saving.tape

    # --- what the feed tells ------------------------------------------------------------------------------

    def snapshot(self, trades: list[Trade], moment: Moment) -> None:
        """The latest trades, newest first: the first thing after each subscription."""
        self.tape.snapshot(trades, moment)
        self._go_on()

    def executed(self, trades: Sequence[Trade], confirmed: Sequence[bool], moment: Moment) -> None:
        """Trades, each as te or (confirmed) as tu: whichever comes first is written."""
        del confirmed
        tape = self.tape
        tape.executed(trades, moment)
        if tape.has_released:
            self._csv.put(tape.released())

    def lost(self, reason: str) -> None:
        """From here to the next snapshot anything may be missed."""
        self.tape.lost(reason)
        if self._in_line and self._asking is not None and not self._wants_page():
            self._asking.cancel()  # others have more use for the turn

    # --- rows ---------------------------------------------------------------------------------------------

    def _write(self) -> None:
        arrivals = self.tape.released()
        if arrivals:
            self._csv.put(arrivals)

    def _drained(self) -> None:
        self.tape.written()
        self._saving.drained()

    def _forgotten(self, arrivals: list[Arrival]) -> None:
        self.tape.forgot(arrivals, self._moment())

    # --- history ------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Write what was released, and ask history whatever there is to ask, unless that is under way."""
        self._write()
        if self._asking is None and self._opened:
            self._asking = Deferred.fromCoroutine(self._ask())
            self._asking.addErrback(self._log_bug).addBoth(self._asked)

    def _asked(self, _: object) -> None:
        self._asking = None

    async def _ask(self) -> None:
        """Page after page, until `stop` cancels it or there is none to ask for.

        With many pairs it can take minutes until it is this one's turn. What to ask is decided then: a page that was wanted
        before a connection was lost would be of no use after it. While the disk takes no rows no turn is taken, nor kept for
        later: all pairs would use theirs in the moment when there is room again.
        """
        with suppress(CancelledError):
            while self._wants_page():
                self._in_line = True
                try:
                    await self._all_written()
                    await self._history.turn()
                finally:
                    self._in_line = False
                request = self.tape.request(self._moment()) if self._csv.error is None else None
                if request is not None:
                    await self._fetch(request)
                    self._write()

    def _wants_page(self) -> bool:
        return self._opened and self.tape.comparison.is_due(self._moment().monotonic)

    async def _all_written(self) -> None:
        """Done when what was released is in the file."""
        while True:
            with suppress(RowsForgotten):  # of which the tape has heard
                await self._csv.write(self.tape.released())
                return

    async def _fetch(self, request: PageRequest) -> None:
        try:
            page = await self._history.page(self.symbol, request)
        except HistoryUnavailable as error:
            _log.info("{symbol}: no page of history: {error}", symbol=self.symbol, error=error)
            self.tape.unanswered(str(error), self._moment())
        else:
            self.tape.page(page, self._moment())

    def _log_bug(self, failure: Any) -> None:
        _log.failure("a bug in the recorder of {symbol}", failure, symbol=self.symbol)
        self.tape.unanswered("a bug", self._moment())

    # --- every second -------------------------------------------------------------------------------------

    def _tick(self) -> None:
        moment = self._moment()
        self.tape.tick(moment)
        self._succession.tick(moment)
        self._saving.tick(moment)
        self._tell_conflict()
        self._tell_foreign()
        self._go_on()

    def _tell_conflict(self) -> None:
        """Of the last second's conflicts the last one: there may be a whole page of them."""
        conflict, self.tape.conflict = self.tape.conflict, None
        if conflict is None:
            return
        first, again = (f"{told.amount.decode()} at {told.price.decode()}" for told in conflict)
        text = "{symbol}: trade {id} was told as {first} and again as {again}: the first stands; {count} so far"
        count = self.tape.counters.conflicts
        _log.warn(text, symbol=self.symbol, id=conflict[0].id, first=first, again=again, count=count)

    def _tell_foreign(self) -> None:
        """Once: nothing is recorded until somebody has moved those files."""
        if self._foreign is not None and not self._told_of_foreign:
            self._told_of_foreign = True
            _log.error("{symbol}: {why}", symbol=self.symbol, why=self._foreign)

    @property
    def _foreign(self) -> str | None:
        """Why nothing is recorded: new trades have lower ids than those on file, and an exchange's ids rise."""
        trade = self.tape.foreign
        if trade is None:
            return None
        of = f"trade {trade.id}, of {iso(trade.mts)}, comes after those in {self.folder}, whose ids are higher"
        return f"{of}: they are of a demo or another exchange, and nothing is recorded: move them away and start again"

    @property
    def in_place(self) -> bool:
        """Whether the file that is open is the one that has its name, and nobody else has changed it."""
        return self._succession.in_place

    def reopen(self) -> None:
        """Finish the file that is open and go on with what has its name now, after SIGHUP. What fails is tried again."""
        if self._opened:  # else it is being closed: a thread saves the state, which two may not at once
            self._succession.reopen()

    # --- what others want to know -------------------------------------------------------------------------

    def not_ready(self) -> str | None:
        """Why trades are not being recorded as they should, or None."""
        if not self._opened:
            return f"{self.symbol}: the recorder is not running"
        problem = self._problem()
        if problem is not None:
            return f"{self.symbol}: {problem}"
        if self._foreign is not None:
            return f"{self.symbol}: {self._foreign}"
        if self.tape.mode is Mode.SYNC:
            waiting = f"{self.symbol}: trades are held back until history tells what was missed"
            return ": ".join(filter(None, (waiting, self.tape.comparison.obstacle)))
        if self.tape.mode is Mode.DOWN:
            return f"{self.symbol}: trades are not live: {self.tape.reason}"
        return None

    def _problem(self) -> str | None:
        """What the disk does not do, to which file. Of one that cannot be opened the queue only knows that it is shut."""
        error = self._succession.error or self._saving.error
        problem = self._csv.error or error if self._file.is_open else error
        return problem if problem is None or self._file.path in problem else f"{self._file.path}: {problem}"

    def status(self) -> RecorderStatus:
        """What `GET /status` says of this recorder."""
        tape, file = self.tape, self._file
        comparison = tape.comparison
        through = comparison.through()
        gaps = {**self._saving.ledger.counts(), GapState.OPEN: len(comparison.progress.gaps)}
        return RecorderStatus(
            file=file.path,
            mode=tape.mode,
            reason=tape.reason if tape.mode is not Mode.LIVE else "",
            verified_through=through,
            verified_through_iso=None if through is None else iso(through),
            lag_ms=None if through is None else self._moment().wall // 1000 - through,
            gaps=gaps,
            queue=len(self._csv),
            rows_written=self._csv.rows_written,
            bytes_written=self._csv.bytes_written,
            bytes=file.base,
            bytes_synced=file.synced,
            pages=comparison.pages,
            pages_failed=comparison.failures,
            history_error=comparison.error or None,
            error=self._problem(),
            counters=copy(tape.counters),
        )
