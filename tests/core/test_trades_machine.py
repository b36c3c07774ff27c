"""The recorder under everything at once: trades told, lost, late and doubled; history down, short and forgetful; a disk
that is full, fails, forgets; kill -9 at any byte and power loss. After each step nothing that was promised may be untrue,
and when the faults end the file must be the exchange's ledger.

The invariants are named I1 to I11: ids once (I1), no torn row below the end (I2), rows as the exchange made them (I3), whole
at last (I4), nothing missing below the frontier (I5), synced bytes never change (I6), bounded memory (I7), REST within its
rate (I8), one writer (I9), live and gaps closed in bounded time (I10), a power loss in the quiet loses nothing (I11).
"""

import contextlib  # not `suppress` by name: trial takes a module's `suppress` for its own
import csv
import os
from collections.abc import Callable, Iterator
from datetime import datetime
from random import Random
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.history import OVERLAP, Page, PageRequest
from bfxtwist.core.limits import Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.core.trades import Mode
from bfxtwist.feed.history import RateBudget
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_recorder import TradeRecorder
from bfxtwist.out.trade_saving import SyncPolicy
from tests.crash_disk import CrashDisk, Killed
from tests.model_exchange import ModelExchange

LIMITS = Limits(page=6, held_back=12, recent=40, queue=12, unsynced=4000)
LAYOUT = Layout("tBTCUSD")
PATH = "/trade.csv"
_SKEW = 10  # ms between the socket's and history's time of one trade, at most

EXAMPLES = int(os.environ.get("BFXTWIST_MACHINE_EXAMPLES", "1500"))
STEPS = int(os.environ.get("BFXTWIST_MACHINE_STEPS", "40"))


class RecorderMachine(RuleBasedStateMachine):
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
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        self.slow_threads = False
        self.first = 10**9  # the first id that was ever recorded
        self.sealed = b""  # the bytes that were synced: they never change
        self.policy = SyncPolicy.SECOND

    # --- the world ----------------------------------------------------------------------------------------

    def turn(self) -> Deferred[None]:
        """History has its rate."""
        return self.budget.turn()

    async def page(self, symbol: str, request: PageRequest) -> Page:
        """What the exchange says at that time."""
        return await self.exchange.page(symbol, request)

    def in_thread(self, job: Callable[[], Any]) -> "Deferred[Any]":
        """A thread that may take its time."""
        done: Deferred[Any] = Deferred()
        self.jobs.append((job, done))
        if not self.slow_threads:
            self.run_jobs()
        return done

    def run_jobs(self) -> None:
        """The threads come to their end."""
        while self.jobs:
            job, done = self.jobs.pop(0)
            done.callback(job())

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
        self.jobs.clear()
        self.late.clear()
        self.clock.calls.clear()
        self.budget = RateBudget(self.clock)
        self.exchange.asked.clear()  # each process has a budget of its own

    @initialize(policy=st.sampled_from(SyncPolicy))
    def begin(self, policy: SyncPolicy) -> None:
        """The first start."""
        self.policy = policy
        self.start()

    # --- rules --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.recorder is None)
    @rule()
    def start(self) -> None:
        """Start; it may fail only where the disk did."""
        recorder = TradeRecorder(
            "tBTCUSD",
            "/",
            self,
            self.clock,
            self.exchange.moment,
            sync=self.policy,
            disk=self.disk,
            in_thread=self.in_thread,
            limits=LIMITS,
        )
        failures = self.disk.failures
        try:
            self.alive(recorder.open)
        except TradeFileError as error:
            assert error.exit_code in (73, 74) and self.disk.failures > failures, error
            return
        if recorder._opened:
            self.recorder = recorder
            recorder.start()

    @rule(
        fates=st.lists(
            st.tuples(
                st.sampled_from(["te", "te", "te", "te+tu", "tu", "lost", "late", "twice"]),
                st.sampled_from([0.0, 0.1, 2.0, 25.0, 25.0, float("inf")]),
                st.integers(-_SKEW, _SKEW),
                st.sampled_from([0.0, 0.0, 0.001, 0.5, 8.0]),
            ),
            min_size=1,
            max_size=8,
        )
    )
    def trade(self, fates: list[tuple[str, float, int, float]]) -> None:
        """Some trades: how each is told, when it is published, how its time differs, how long after it the next one is."""
        for fate, publish_after, skew, pause in fates:
            nobody_tells = publish_after == float("inf") and fate in ("lost", "late")  # that does not count as a trade
            made = self.exchange.trade(publish_after=1.0 if nobody_tells else publish_after, skew=skew)
            if fate == "late":
                self.late.append(made.told)
            elif fate != "lost":
                self.tell(made.told, twice=fate in ("te+tu", "twice"))
            if pause:
                self.pass_time(pause)

    def tell(self, trade: Trade, twice: bool = False) -> None:
        """On the socket."""
        recorder = self.recorder
        if recorder is not None and self.connected:
            self.alive(lambda: recorder.executed([trade], [False], self.exchange.moment()))
        if twice:
            self.tell(trade)

    @rule()
    def tell_late_ones(self) -> None:
        """In another order."""
        for trade in self.late[::-1]:
            self.tell(trade)
        self.late.clear()

    @precondition(lambda self: self.recorder is not None and not self.connected)
    @rule(count=st.sampled_from([0, 3, 5, 30]))
    def connect(self, count: int) -> None:
        """The socket is there, with a snapshot of so many trades."""
        recorder = self.recorder
        assert recorder is not None
        self.connected = True
        self.alive(lambda: recorder.snapshot(self.exchange.snapshot(count), self.exchange.moment()))

    @precondition(lambda self: self.connected)
    @rule()
    def disconnect(self) -> None:
        """The socket is not believed any more."""
        assert self.recorder is not None
        self.connected = False
        self.late.clear()
        self.recorder.lost("sequence")

    @precondition(lambda self: self.connected)
    @rule(missed=st.integers(0, 4), stops=st.booleans())
    def outage(self, missed: int, stops: bool) -> None:
        """Of history, too: trades are held back, of which it may never tell. And the process may be stopped."""
        self.disconnect()
        self.exchange.fault = "down"
        self.trade([("lost", 0.0, 0, 0.5)] * missed)
        if self.recorder is not None:
            self.connect(1)
            self.trade([("te", float("inf"), 0, 0.5), ("te", 25.0, 0, 0.0)])
        if self.recorder is not None and stops:
            self.stop()

    @precondition(lambda self: self.recorder is not None)
    @rule()
    def sighup(self) -> None:
        """At any moment: the file is finished and opened anew, whatever waits for it."""
        recorder = self.recorder
        assert recorder is not None
        self.alive(recorder.reopen)

    @rule(seconds=st.sampled_from([0.3, 1.0, 1.0, 7.0, 31.0, 61.0, 130.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.pass_time(seconds)

    def pass_time(self, seconds: float, step: float = 2.0) -> None:
        """In steps."""
        while seconds > 0:
            self.alive(lambda: self.clock.advance(min(step, seconds)))  # noqa: B023 - it is called here and now
            self.alive(self.run_jobs)
            seconds -= step

    @rule(fault=st.sampled_from(["", "", "down", "short", "unsorted", "early", "empty"]))
    def history_fault(self, fault: str) -> None:
        """REST does this from now on."""
        self.exchange.fault = fault

    @rule(tells=st.booleans())
    def tells_time(self, tells: bool) -> None:
        """Whether answers have a Date."""
        self.exchange.tells_time = tells

    @rule(ago=st.sampled_from([40_000, 90_000, 200_000]))
    def history_forgets(self, ago: int) -> None:
        """What is older is gone."""
        # A history that forgets trades before it has published them is no history.
        self.exchange.horizon = max(self.exchange.horizon, self.exchange.now() - ago)

    @rule(room=st.integers(0, 700))
    def disk_full(self, room: int) -> None:
        """There is room for so many bytes."""
        self.disk.room = room

    @rule()
    def disk_has_room(self) -> None:
        """As much as one likes."""
        self.disk.room = None

    @rule(syncs=st.integers(0, 4), writes=st.integers(0, 3), renames=st.integers(0, 1))
    def disk_fails(self, syncs: int, writes: int, renames: int) -> None:
        """The next ones of these fail."""
        self.disk.failing_syncs, self.disk.failing_writes, self.disk.failing_renames = syncs, writes, renames

    @rule(slow=st.booleans())
    def threads(self, slow: bool) -> None:
        """Whether they take their time."""
        self.slow_threads = slow
        if not slow:
            self.alive(self.run_jobs)

    @rule(bytes_from_now=st.integers(0, 900))
    def kill_soon(self, bytes_from_now: int) -> None:
        """In the middle of a write."""
        self.disk.kill_in = bytes_from_now

    @rule()
    def kill_now(self) -> None:
        """Between two turns."""
        self.die()
        self.disk.kill()

    @rule(seed=st.integers(0, 2**32))
    def power_loss(self, seed: int) -> None:
        """Of what was not synced, anything may be left."""
        self.die()
        self.disk.power_loss(Random(seed))
        self.first = 10**9  # of rows that were not synced nothing is promised

    @precondition(lambda self: self.recorder is not None)
    @rule()
    def stop(self) -> None:
        """In order; it fails visibly or not at all, and what only the socket told is in the file then."""
        recorder, failures = self.recorder, list[Failure]()
        assert recorder is not None
        told = set(recorder.tape._hold.trades)
        self.slow_threads = False

        def stop() -> None:
            recorder.stop().addErrback(failures.append)
            self.run_jobs()

        self.alive(stop)
        if self.recorder is not None:
            assert self.disk.descriptors == 0
            assert failures or told <= set(self.rows()), "I4"
            for failure in failures:
                failure.trap(TradeFileError)
        self.die()
        self.disk.kill()

    # --- what must be true --------------------------------------------------------------------------------

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
        assert abs(row[1] - made.told.mts) <= _SKEW, "I3"
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
        missing = self.missing(held, recorder.tape.comparison.progress.frontier.mts - OVERLAP - _SKEW)
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
            and not any(start - 2 * _SKEW <= made.stored.mts <= end + 2 * _SKEW for start, end in gaps)
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

    def teardown(self) -> None:
        """The faults end: I4, I10 and I11."""
        self.disk.mend()
        self.exchange.fault, self.exchange.tells_time, self.slow_threads = "", True, False
        self.die()
        self.disk.kill()
        self.start()
        self.converge()
        self.compare()
        self.die()
        self.disk.power_loss(Random(1))
        self.start()
        self.file_is_sound()
        self.compare()

    def converge(self) -> None:
        """I10: one more trade that everyone hears of, and then live, verified, without an open gap in bounded time."""
        self.connect(5)
        last = self.exchange.trade()
        self.tell(last.told)
        assert self.recorder is not None
        tape = self.recorder.tape
        for _ in range(600):  # each gap asks for its pages at the rate of all
            self.pass_time(5.0, step=5.0)
            frontier = tape.comparison.progress.frontier
            settled = frontier is not None and frontier.mts >= last.stored.mts
            if tape.mode is Mode.LIVE and settled and not tape.comparison.progress.gaps:
                break
        else:
            raise AssertionError(f"I10 {self.recorder.status()}")
        self.pass_time(130.0, step=5.0)  # another audit, and another sync of the laziest policy

    def compare(self) -> None:
        """The file is the exchange's ledger, less the gaps that the ledger of gaps names."""
        ids = self.rows()
        missing = self.missing(set(ids), float("inf"))
        assert not missing, f"I4 {missing}"
        for start, end, filled in self.filled():
            there = sum(start < trade_id < end for trade_id in ids)
            assert there >= filled, f"{there} from {start} to {end}, and the ledger counts {filled}"

    def filled(self) -> Iterator[tuple[int, int, int]]:
        """Edges and count of the gaps that were filled, but where trades were lost again afterwards."""
        assert self.recorder is not None
        if not self.written_off():
            for line in csv.reader(self.recorder._saving.ledger.text().decode().splitlines()[1:]):
                yield int(line[2]), int(line[3]), int(line[6])


class MachineTests(SynchronousTestCase):
    """A1."""

    def test_nothing_is_lost_or_doubled_by_any_history(self) -> None:
        """Whatever happens in whatever order, the promises hold."""
        run_state_machine_as_test(
            RecorderMachine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
        self.flushLoggedErrors(Killed)
