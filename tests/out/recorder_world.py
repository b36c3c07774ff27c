"""A recorder with its disk, its exchange and its threads, any of which may fail, and what must be true of it at any time.

The invariants are named I1 to I11: ids once (I1), no torn row below the end (I2), rows as the exchange made them (I3), whole
at last (I4), nothing missing below the frontier (I5), synced bytes never change (I6), bounded memory (I7), REST within its
rate (I8), one writer (I9), live and gaps closed in bounded time (I10), a power loss in the quiet loses nothing (I11).
"""

import contextlib  # not `suppress` by name: trial takes a module's `suppress` for its own
import csv
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from hypothesis.stateful import RuleBasedStateMachine, invariant
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from bfxtwist.core.history import OVERLAP, Page, PageRequest
from bfxtwist.core.limits import Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER
from bfxtwist.feed.history import RateBudget
from bfxtwist.out.trade_recorder import TradeRecorder
from bfxtwist.out.trade_saving import SyncPolicy
from tests.crash_disk import CrashDisk, Killed
from tests.model_exchange import ModelExchange
from tests.out.recording import LAYOUT, SlowThread

LIMITS = Limits(page=6, held_back=12, recent=40, queue=12, unsynced=4000)
PATH, STATE, LEDGER = "/trade.csv", "/trade.csv.state", "/trade.gaps.csv"
SKEW = 10  # ms between the socket's and history's time of one trade, at most


class RecorderWorld(RuleBasedStateMachine):
    """One recorder, its disk, its exchange."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.disk = CrashDisk()
        self.exchange = ModelExchange(self.clock)
        self.budget = RateBudget(self.clock)
        self.recorder: TradeRecorder | None = None
        self.connected = False
        self.late: list[Trade] = []
        self.threads = SlowThread()
        self.slow_threads = False
        self.first = 10**9  # the first id that was ever recorded
        self.sealed = b""  # the bytes that were synced: they never change
        self.policy = SyncPolicy.SECOND
        self.state = b""  # as it was when a copy of it was made

    def turn(self) -> Deferred[None]:
        """History has its rate."""
        return self.budget.turn()

    async def page(self, symbol: str, request: PageRequest) -> Page:
        """What the exchange says at that time."""
        return await self.exchange.page(symbol, request)

    def in_thread(self, job: Callable[[], Any]) -> "Deferred[Any]":
        """A thread that may take its time."""
        done = self.threads(job)
        if not self.slow_threads:
            self.threads.end_all()
        return done

    def alive(self, act: Callable[[], object]) -> None:
        """Do something that a kill may interrupt."""
        with contextlib.suppress(Killed):
            act()
        if self.disk.dead:
            self.die()
            self.disk.kill()

    def die(self) -> None:
        """The process is gone."""
        self.recorder = None
        self.connected = False
        self.threads.jobs.clear()
        self.late.clear()
        self.clock.calls.clear()
        self.budget = RateBudget(self.clock)
        self.exchange.asked.clear()  # each process has a budget of its own

    def pass_time(self, seconds: float, step: float = 2.0) -> None:
        """In steps."""
        while seconds > 0:
            self.alive(lambda: self.clock.advance(min(step, seconds)))  # noqa: B023 - it is called here and now
            self.alive(self.threads.end_all)
            seconds -= step

    def rows(self) -> list[int]:
        """The ids below the end of the file."""
        content = self.disk.content(PATH)
        if self.recorder is not None:
            content = content[: self.recorder._file.base]
        if not content.startswith(HEADER):
            assert self.recorder is None
            return []
        lines = content[len(HEADER) :].split(b"\n")
        if self.recorder is not None:
            assert lines[-1] == b"", "I2"
        ids = []
        for line in lines[:-1]:
            row = LAYOUT.read(line)
            if row is None:
                assert self.recorder is None, f"I2 {line!r}"
                continue
            self.check_row(row, line)
            ids.append(row[0])
        return ids

    def check_row(self, row: tuple[int, int], line: bytes) -> None:
        """It says what the exchange said."""
        made = self.exchange.ledger[row[0]]
        assert abs(row[1] - made.told.mts) <= SKEW, "I3"
        side = b"sell" if made.told.amount.startswith(b"-") else b"buy"
        assert line.endswith(b",%b,%b,%b" % (side, made.told.price, made.told.amount.lstrip(b"-"))), "I3"

    @invariant()
    def file_is_sound(self) -> None:
        """I1, I2, I3, I6."""
        if self.recorder is None:
            return
        ids = self.rows()
        assert len(ids) == len(set(ids)), "I1"
        self.first = min([self.first, *ids])
        sealed = self.disk.content(PATH)[: self.recorder._file.synced]
        assert sealed.startswith(self.sealed), "I6"
        self.sealed = sealed

    @invariant()
    def nothing_is_missing_below_the_frontier(self) -> None:
        """I5."""
        recorder = self.recorder
        if recorder is None or recorder.tape.comparison.progress.frontier is None:
            return
        held = {*self.rows(), *(arrival.trade.id for arrival in recorder._csv._queue)}
        missing = self.missing(held, recorder.tape.comparison.progress.frontier.mts - OVERLAP - SKEW)
        assert not missing, f"I5 {missing}"

    def missing(self, held: set[int], before: float) -> list[int]:
        """The trades from before a time (ms) that are not held, and that no gap names.

        Two trades of one millisecond can be twice the skew apart in history.
        """
        assert self.recorder is not None
        progress = self.recorder.tape.comparison.progress
        self.recorder._saving._ledger_text()
        gaps = [(gap.start.mts, gap.end.mts) for gap in progress.gaps]
        gaps += self.written_off()
        return [
            trade_id
            for trade_id, made in self.exchange.ledger.items()
            if trade_id >= self.first
            and trade_id not in held
            and made.stored.mts < before
            and made.published < float("inf")
            and not any(start - 2 * SKEW <= made.stored.mts <= end + 2 * SKEW for start, end in gaps)
        ]

    def written_off(self) -> list[tuple[int, int]]:
        """The intervals that the ledger of gaps names as lost."""
        assert self.recorder is not None
        intervals = []
        for line in self.recorder._saving.ledger.text().splitlines()[1:]:
            if b",lost," in line:
                cells = line.decode().split(",")
                start, end = (int(datetime.fromisoformat(cell).timestamp() * 1000) for cell in cells[:2])
                intervals.append((min(start, end), max(start, end)))
        return intervals

    @invariant()
    def memory_is_bounded(self) -> None:
        """I7."""
        if self.recorder is None:
            return
        recorder = self.recorder
        assert len(recorder._csv) <= LIMITS.queue + LIMITS.page + 30, "I7"
        assert len(recorder._file._ring) <= LIMITS.unsynced, "I7"
        assert len(recorder.tape._hold.trades) <= LIMITS.held_back + 1, "I7"
        assert len(recorder.tape.comparison.recent) <= LIMITS.recent, "I7"

    @invariant()
    def history_is_asked_at_its_rate(self) -> None:
        """I8."""
        asked = self.exchange.asked
        assert all(later - earlier >= 59.9 for earlier, later in zip(asked, asked[10:], strict=False)), "I8"

    def compare(self) -> None:
        """The file is the exchange's ledger, less the gaps that the ledger of gaps names."""
        ids = self.rows()
        missing = self.missing(set(ids), float("inf"))
        assert not missing, f"I4 {missing}"
        assert self.recorder is not None
        assert b",open," not in self.recorder._saving.ledger.text(), "I10"
        for start, end, filled in self.filled():
            there = sum(start < trade_id < end for trade_id in ids)
            assert there >= filled, f"{there} from {start} to {end}, and the ledger counts {filled}"

    def filled(self) -> Iterator[tuple[int, int, int]]:
        """Edges and count of the gaps that were filled, but where trades were lost again afterwards."""
        assert self.recorder is not None
        if not self.written_off():
            for line in csv.reader(self.recorder._saving.ledger.text().decode().splitlines()[1:]):
                yield int(line[2]), int(line[3]), int(line[6])
