"""Which file is trade.csv: the one that is there at the start, and the next one whenever that changes.

    the file that is left is synced and in the state  →  the next one is in the state  →  rows into it

It changes when it is rotated (`rotation.py`), at SIGHUP after somebody else has renamed it, and when somebody has renamed,
removed or cut it without a word, which is looked for every second.

Before the first row two things must be known, or trades come twice or not at all: which trades are on file, and how far
they were compared with history. `core/recovery.py` finds both in the file and the state beside it. Where that state is
lost, speaks of another file or does not reach back far enough, the closed parts tell the rest (`earlier_parts.py`), and the
ledger which gaps are open.
"""

import os
from collections.abc import Callable, Iterable

import msgspec
from twisted.logger import Logger

from bfxtwist.core.gaps import Gap
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.limits import Limits
from bfxtwist.core.moment import Moment
from bfxtwist.core.progress import Progress
from bfxtwist.core.recovery import FileId, Plan, Saved
from bfxtwist.core.trades import Tape
from bfxtwist.out.earlier_parts import EarlierParts
from bfxtwist.out.rotation import Rotation
from bfxtwist.out.trade_csv import TradeCsv
from bfxtwist.out.trade_errors import TradeFileError, explained
from bfxtwist.out.trade_file import TradeFile
from bfxtwist.out.trade_saving import TradeSaving

_log = Logger()


class TradeSuccession:
    """Opens one trade.csv after another. `recover` comes first."""

    def __init__(
        self,
        file: TradeFile,
        csv: TradeCsv,
        saving: TradeSaving,
        moment: Callable[[], Moment],
        *,
        limits: Limits,
        parts: EarlierParts,
        rotation: Rotation | None,
    ) -> None:
        self.error: str | None = None  # why the file cannot be looked after, or another one not be opened
        self._file = file
        self._csv = csv
        self._saving = saving
        self._moment = moment
        self._limits = limits
        self._parts = parts
        self._rotation = rotation
        self._left: Saved | None = None  # what is true of the rows of the file that was left, until the next one is open

    # --- start and stop -----------------------------------------------------------------------------------

    def recover(self, saved: Saved | None) -> None:
        """Open the file, as `saved` says or as it is, and have a tape go on from it. Raises TradeFileError or OSError."""
        if self._rotation is not None:
            self._rotation.tidy()
        plan, first = self._in_full(self._file.open(saved, self._moment().wall), saved)
        tape = Tape(plan.known, plan.progress, self._limits, plan.newest)
        self._saving.follow(tape)
        self._begin_at(first)
        tape.comparison.changes += [gap for gap in plan.progress.gaps if not self._saving.ledger.names(gap)]
        own = self._saving.record()
        if saved is None or saved.file != own.file or saved.synced > own.synced or not (plan.as_saved or saved == own):
            self._saving.promise()  # as in `_enter`: no row is written before the state knows of this file

    def _in_full(self, plan: Plan, saved: Saved | None) -> tuple[Plan, int | None]:
        """How to go on, by all that is in the folder, and the id from which on every trade on file is known."""
        if not plan.as_saved:
            plan = self._from_parts(plan)
        for note in plan.notes:
            _log.warn("{path}: {note}", path=self._file.path, note=note)
        named = self._saving.ledger.open_gaps(but=plan.progress.gaps)
        first = _known_from(plan, saved)
        if self._parts_have_more(saved, plan):
            plan, first = self._with_parts(plan, saved, plan.progress.with_gaps(named))
        return _with_gaps(plan, first, named), first

    def _from_parts(self, plan: Plan) -> Plan:
        """The plan that compares from the closed parts of the last day on, if those are older than where `plan` begins.

        No state says what had not been compared when these were closed. It is older than the first row of the open file,
        which may have no row at all, and so may rows be that were written to the open file and are not in it any more.
        """
        found, frontier = self._parts.beginning(), plan.progress.frontier
        if found is None or (frontier is not None and frontier.id <= found[1].id):
            return plan
        part, first = found
        progress = Progress(first.id, first, first.id).with_gaps(plan.progress.gaps)
        note = f"all from the first row of {part} on will be compared with the exchange's history"
        return plan._replace(progress=progress, notes=[*plan.notes, note])

    def _parts_have_more(self, saved: Saved | None, plan: Plan) -> bool:
        """Whether closed parts may have trades that are wanted and that neither the open file nor the state knows."""
        if plan.progress.frontier is None:
            return False
        if saved is None or not plan.as_saved:
            return True
        renamed = saved.file != self._file.file or saved.synced > self._file.base
        return renamed or not saved.earlier or saved.earlier[0] > plan.progress.wanted

    def _with_parts(self, plan: Plan, saved: Saved | None, progress: Progress) -> tuple[Plan, int]:
        """The plan that knows all on file of what `progress` wants, and the id from which on it does.

        Ids in the state that are below all of these are of parts that have been moved away. Its others are not believed:
        they may be of a trade.csv in whose place another one was put.
        """
        wanted = progress.wanted
        before = len(plan.known)
        fewer, known = sorted((self._parts.ids(wanted, progress.since), plan.known), key=len)
        known.update(known.unknown(fewer))  # one of the two may have millions
        if len(known) > before:
            text = "{path}: its closed parts have {count} trades that neither it nor a state beside it knows"
            _log.info(text, path=self._file.path, count=len(known) - before)
        smallest = known.smallest
        if saved is not None and smallest is not None:
            known.update([trade_id for trade_id in saved.earlier if trade_id < smallest])
        return plan._replace(known=known), wanted

    def start(self) -> None:
        """Compress the parts that an earlier run has left plain."""
        if self._rotation is not None:
            self._rotation.compress()

    async def stop(self) -> None:
        """Leave what is being compressed to the next start. What is open is the last file, whatever has its name."""
        if self._file.is_open:
            self.error = None
        if self._rotation is not None:
            await self._rotation.stop()

    # --- every second -------------------------------------------------------------------------------------

    def tick(self, moment: Moment) -> None:
        """See whether the open file still is trade.csv, and whether it is time for another one.

        Not during a saving, but after it: with sync=always on a slow disk one follows the other.
        """
        if self._saving.under_way:
            self._saving.then(self._look)
        else:
            self._look_after_file(moment)
            self._rotate(moment)

    def _look(self) -> None:
        self.tick(self._moment())

    def _look_after_file(self, moment: Moment) -> None:
        """Somebody may have rotated, removed or changed the file."""
        if not self._file.is_open:  # it could not be opened anew
            self._reopen(moment)
            return
        try:
            done = self._file.interference()
        except OSError as error:
            before, self.error = self.error, str(explained(self._file.path, error))
            if self.error != before:
                _log.error("{error}; trying again", error=self.error)
            return
        if done is not None:
            _log.warn("{path}: {done}: opened anew", path=self._file.path, done=done)
            self._reopen(moment)
        elif self.error is not None:
            self.error = None
            _log.info("{path} is in its place again", path=self._file.path)

    def _rotate(self, moment: Moment) -> None:
        """Close a part, if it is time: what was released must be in it, and the state know that, before it is renamed."""
        file, rotation, tape = self._file, self._rotation, self._saving.tape
        if rotation is None or not file.is_open or file.file is None or not rotation.due(file.file, file.base, moment):
            return
        if tape.has_released:
            self._csv.put(tape.released())
        self._csv.flush()
        if self._saving.under_way or len(self._csv) or tape.has_released:
            return  # the disk is busy, or does not take rows: at the next tick
        try:
            self._saving.settle()
            part = rotation.close_part(file.file, moment.wall)
        except OSError as error:
            rotation.refused(error, moment)
            return
        _log.info("{path} is closed as {part}", path=file.path, part=os.path.basename(part))
        self._reopen(moment)

    # --- the next file ------------------------------------------------------------------------------------

    @property
    def in_place(self) -> bool:
        """Whether the file that is open is the one that has its name, and nobody else has changed it."""
        try:
            return self._file.is_open and self._file.interference() is None
        except OSError:
            return False

    def reopen(self) -> None:
        """Finish the file that is open and go on with what has its name now. What fails is tried again."""
        if self._saving.under_way:
            self._saving.then(self.reopen)
        else:
            self._reopen(self._moment())

    def _reopen(self, moment: Moment) -> None:
        try:
            self._leave()
            written = self._enter(moment)
        except (OSError, TradeFileError) as error:
            reason = explained(self._file.path, error) if isinstance(error, OSError) else error
            self.error = f"opening anew failed: {reason}"
            _log.error("{error}", error=self.error)
        else:
            self.error = self._left = None
            self._csv.reopened(written)
            if self._rotation is not None:
                self._rotation.compress()

    def _leave(self) -> None:
        """Finish the open file, to which nobody will come back. A removed one is only closed: nobody can read it."""
        if self._file.is_open:
            if not self._file.is_removed():
                self._saving.settle()
            self._left = self._saving.record()
            self._file.close()

    def _enter(self, moment: Moment) -> KnownIds:
        """Open what has the file's name now, and have the state know of it before a row is written. The ids that it has."""
        tape = self._saving.tape
        if tape.has_released:  # what waits is no part of what is known to be written
            self._csv.put(tape.released())
        if self._rotation is not None:
            self._rotation.check_live()
        assert self._left is not None
        elsewhere = msgspec.structs.replace(self._left, file=FileId(0, 0))
        plan = self._file.open(elsewhere, moment.wall)
        first = _known_from(plan, elsewhere)
        try:
            if not plan.as_saved and plan.progress.frontier is not None:  # it has rows, but not those that were left
                plan, first = self._in_full(plan, elsewhere)
                self._go_back(plan, moment)
            self._saving.promise()
        except OSError:
            self._file.close()
            raise
        tape.known.update(tape.known.unknown(plan.known))
        self._begin_at(first)
        return plan.known

    def _go_back(self, plan: Plan, moment: Moment) -> None:
        """Somebody has put an older file in place, or edited it: what is in no file here is fetched again, as at a start."""
        waiting = [arrival.trade.id for arrival in self._csv.waiting]
        self._saving.tape.put_back(plan.known, waiting, plan.progress, moment)
        self._left = self._saving.record()

    def _begin_at(self, first: int | None) -> None:
        """Want nothing that is older: other files have it."""
        if first is not None:
            self._saving.tape.begin_at(first)


def _known_from(plan: Plan, saved: Saved | None) -> int | None:
    """The id from which on every trade on file is known, in whichever file it stands; None if none is known.

    It need not be the smallest in the open file: that may have been fetched for an old gap, and its neighbours stand in
    older files, of which the state knows the newest ids.
    """
    first, start = plan.known.smallest, plan.progress.start
    if first is None or start is None or first <= start or saved is None or not saved.earlier:
        return first
    return saved.earlier[0]


def _with_gaps(plan: Plan, first: int | None, named: Iterable[Gap]) -> Plan:
    """The plan that also fetches gaps that the ledger names as open, and the state does not know.

    The state is lost, or older than the ledger, as a kill between the two leaves it, or a backup. A gap is left alone where
    rows could come twice: before `first`, from which on every trade on file is known, and where it is older than all that
    is wanted and its beginning is in no file here.
    """
    progress, known = plan.progress, plan.known
    near = [gap for gap in named if gap.floor >= progress.wanted or gap.start.id in known]
    return plan._replace(progress=progress.with_gaps([gap for gap in near if first is not None and gap.floor >= first]))
