"""The recorder under everything at once: trades told, lost, late and doubled; history down, short and forgetful; a disk that
is full, fails, forgets; kill -9 at any byte and power loss. After each step nothing that was promised may be untrue, and when
the faults end the file must be the exchange's ledger.

The invariants are named I1 to I11: ids once (I1), no torn row below the end (I2), rows as the exchange made them (I3), whole
at last (I4), nothing missing below V (I5), synced bytes never change (I6), bounded memory (I7), REST within its rate (I8), one
writer (I9), live and gaps closed in bounded time (I10), a power loss in the quiet loses nothing (I11).
"""

import os
from datetime import datetime
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.history import OVERLAP
from bfxtwist.core.limits import Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.core.trades import Mode
from bfxtwist.feed.history import RateBudget
from bfxtwist.out.trade_csv import SyncPolicy
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_recorder import TradeRecorder
from tests.crash_disk import CrashDisk, Killed
from tests.model_exchange import ModelExchange

LIMITS = Limits(page=6, held_back=12, compared=40, queue=12, unsynced=4000)
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
        self.jobs: list[tuple[object, object]] = []
        self.slow_threads = False
        self.sealed = b""  # the bytes that were synced: they never change
        self.policy = SyncPolicy.SECOND

    # --- the world ----------------------------------------------------------------------------------------

    async def page(self, symbol, request):
        await self.budget.turn()
        return await self.exchange.page(symbol, request)

    def in_thread(self, job):
        done = Deferred()
        self.jobs.append((job, done))
        if not self.slow_threads:
            self.run_jobs()
        return done

    def run_jobs(self):
        while self.jobs:
            job, done = self.jobs.pop(0)
            done.callback(job())

    def alive(self, act):
        """Do something that a kill may interrupt."""
        try:
            act()
        except Killed:
            pass
        if self.disk.dead:
            self.die()
            self.disk.kill()

    def die(self):
        self.recorder = None
        self.connected = False
        self.jobs.clear()
        self.late.clear()
        self.clock.calls.clear()
        self.budget = RateBudget(self.clock)
        self.exchange.asked.clear()  # each process has a budget of its own

    @initialize(policy=st.sampled_from(SyncPolicy))
    def begin(self, policy):
        self.policy = policy
        self.start()

    # --- rules --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.recorder is None)
    @rule()
    def start(self):
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
    def trade(self, fates):
        for fate, publish_after, skew, pause in fates:
            if publish_after == float("inf") and fate in ("lost", "late"):
                publish_after = 1.0  # a trade that nobody tells does not count
            made = self.exchange.trade(publish_after=publish_after, skew=skew)
            if fate == "late":
                self.late.append(made.told)
            elif fate != "lost":
                self.tell(made.told, twice=fate in ("te+tu", "twice"))
            if pause:
                self.pass_time(pause)

    def tell(self, trade, twice=False):
        if self.recorder is not None and self.connected:
            for confirmed in (False, True)[: 1 + twice]:
                self.alive(lambda c=confirmed: self.recorder and self.recorder.executed(trade, c, self.exchange.moment()))

    @rule()
    def tell_late_ones(self):
        for trade in self.late[::-1]:
            self.tell(trade)
        self.late.clear()

    @precondition(lambda self: self.recorder is not None and not self.connected)
    @rule(count=st.sampled_from([0, 3, 5, 30]))
    def connect(self, count):
        self.connected = True
        self.alive(lambda: self.recorder.snapshot(self.exchange.snapshot(count), self.exchange.moment()))

    @precondition(lambda self: self.connected)
    @rule()
    def disconnect(self):
        self.connected = False
        self.late.clear()
        self.recorder.lost("sequence", self.exchange.moment())

    @rule(seconds=st.sampled_from([0.3, 1.0, 1.0, 7.0, 31.0, 61.0, 130.0]))
    def wait(self, seconds):
        self.pass_time(seconds)

    def pass_time(self, seconds, step=2.0):
        while seconds > 0:
            self.clock_advance(min(step, seconds))
            seconds -= step

    def clock_advance(self, seconds):
        self.alive(lambda: self.clock.advance(seconds))
        self.alive(self.run_jobs)

    @rule(fault=st.sampled_from(["", "", "down", "short", "unsorted", "early", "empty"]))
    def history_fault(self, fault):
        self.exchange.fault = fault

    @rule(tells=st.booleans())
    def tells_time(self, tells):
        self.exchange.tells_time = tells

    @rule(ago=st.sampled_from([40_000, 90_000, 200_000]))
    def history_forgets(self, ago):
        # A history that forgets trades before it has published them is no history.
        self.exchange.horizon = max(self.exchange.horizon, self.exchange.now() - ago)

    @rule(room=st.integers(0, 700))
    def disk_full(self, room):
        self.disk.room = room

    @rule()
    def disk_has_room(self):
        self.disk.room = None

    @rule(syncs=st.integers(0, 4), writes=st.integers(0, 3), renames=st.integers(0, 1))
    def disk_fails(self, syncs, writes, renames):
        self.disk.failing_syncs, self.disk.failing_writes, self.disk.failing_renames = syncs, writes, renames

    @rule(slow=st.booleans())
    def threads(self, slow):
        self.slow_threads = slow
        if not slow:
            self.alive(self.run_jobs)

    @rule(bytes_from_now=st.integers(0, 900))
    def kill_soon(self, bytes_from_now):
        self.disk.kill_in = bytes_from_now

    @rule()
    def kill_now(self):
        self.die()
        self.disk.kill()

    @rule(seed=st.integers(0, 2**32))
    def power_loss(self, seed):
        self.die()
        self.disk.power_loss(Random(seed))

    @precondition(lambda self: self.recorder is not None)
    @rule()
    def stop(self):
        recorder, failures = self.recorder, []
        self.slow_threads = False

        def stop():
            recorder.stop().addErrback(failures.append)
            self.run_jobs()

        self.alive(stop)
        if self.recorder is not None:
            assert self.disk.descriptors == 0
            for failure in failures:
                failure.trap(TradeFileError)
        self.die()
        self.disk.kill()

    # --- what must be true --------------------------------------------------------------------------------

    def rows(self):
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

    def check_row(self, row, line):
        made = self.exchange.ledger[row[0]]
        assert abs(row[1] - made.told.mts) <= _SKEW, "I3"
        side = b"sell" if made.told.amount.startswith(b"-") else b"buy"
        assert line.endswith(b",%b,%b,%b" % (side, made.told.price, made.told.amount.lstrip(b"-"))), "I3"

    @invariant()
    def file_is_sound(self):
        if self.recorder is None:
            return
        ids = self.rows()
        assert len(ids) == len(set(ids)), "I1"
        sealed = self.disk.content(PATH)[: self.recorder._file.synced]
        assert sealed.startswith(self.sealed), "I6"
        self.sealed = sealed

    @invariant()
    def nothing_is_missing_below_the_frontier(self):
        recorder = self.recorder
        if recorder is None or recorder.tape.comparison.progress.frontier is None:
            return
        on_the_way = {arrival.trade.id for arrival, _ in recorder._csv._queue}
        missing = self.missing(set(self.rows()) | on_the_way, recorder.tape.comparison.progress.frontier.mts - OVERLAP - _SKEW)
        assert not missing, f"I5 {missing}"

    def missing(self, held, before):
        progress = self.recorder.tape.comparison.progress
        self.recorder._ledger_text()
        gaps = [(gap.start.mts, gap.end.mts) for gap in progress.gaps]
        gaps += self.written_off()
        return [
            trade_id
            for trade_id, made in self.exchange.ledger.items()
            if trade_id >= progress.start
            and trade_id not in held
            and made.stored.mts < before
            and made.published < float("inf")
            and not any(start - _SKEW <= made.stored.mts <= end + _SKEW for start, end in gaps)
        ]

    def written_off(self):
        """The intervals that the ledger of gaps names as lost."""
        intervals = []
        for line in self.recorder._ledger.text().splitlines()[1:]:
            if b",lost," in line:
                cells = line.decode().split(",")
                start, end = (int(datetime.fromisoformat(cell).timestamp() * 1000) for cell in cells[:2])
                intervals.append((min(start, end), max(start, end)))
        return intervals

    @invariant()
    def memory_is_bounded(self):
        if self.recorder is None:
            return
        recorder = self.recorder
        assert len(recorder._csv) <= LIMITS.queue + LIMITS.page + 30, "I7"
        assert len(recorder._file._ring) <= LIMITS.unsynced, "I7"
        assert len(recorder.tape._held_back) <= LIMITS.held_back + 1, "I7"
        assert len(recorder.tape.comparison._recent) <= LIMITS.compared, "I7"

    @invariant()
    def history_is_asked_at_its_rate(self):
        asked = self.exchange.asked
        assert all(later - earlier >= 59.9 for earlier, later in zip(asked, asked[10:], strict=False)), "I8"

    def teardown(self):
        self.disk.mend()
        self.exchange.fault, self.exchange.tells_time, self.slow_threads = "", True, False
        self.disk.kill()
        self.run_jobs_at_last()
        self.converge()
        self.compare()
        self.die()
        self.disk.power_loss(Random(1))
        self.start()
        self.compare(everything=False)  # I11

    def run_jobs_at_last(self):
        if self.recorder is None:
            self.start()
            assert self.recorder is not None
        else:
            self.die()
            self.start()

    def converge(self):
        """I10: one more trade that everyone hears of, and then live, verified, without an open gap in bounded time."""
        if not self.connected:
            self.connect(5)
        last = self.exchange.trade()
        self.tell(last.told)
        for _ in range(300):
            self.pass_time(5.0, step=5.0)
            tape = self.recorder.tape
            frontier = tape.comparison.progress.frontier
            settled = frontier is not None and frontier.mts >= last.stored.mts
            if tape.mode is Mode.LIVE and settled and not tape.comparison.progress.gaps:
                break
        else:
            raise AssertionError(f"I10 {self.recorder.status()}")
        self.pass_time(65.0, step=5.0)

    def compare(self, everything=True):
        held = set(self.rows())
        missing = self.missing(held, float("inf"))
        assert not missing, f"I4 {missing}"


class MachineTests(SynchronousTestCase):
    """A1."""

    def test_nothing_is_lost_or_doubled_by_any_history(self) -> None:
        """Whatever happens in whatever order, the promises hold."""
        run_state_machine_as_test(
            RecorderMachine,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=True,
            ),
        )
        self.flushLoggedErrors(Killed)
