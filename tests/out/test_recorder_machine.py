"""The recorder under everything at once: trades told, lost, late and doubled; history down, short and forgetful; a disk
that is full, fails, forgets; kill -9 at any byte and power loss. After each step nothing that was promised may be untrue,
and when the faults end the file must be the exchange's ledger.
"""

import os
from random import Random

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule, run_state_machine_as_test
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER
from bfxtwist.core.trades import Mode
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_recorder import TradeRecorder
from bfxtwist.out.trade_saving import SyncPolicy
from tests.crash_disk import Killed
from tests.out.recorder_world import LEDGER, LIMITS, PATH, SKEW, STATE, RecorderWorld

EXAMPLES = int(os.environ.get("BFXTWIST_MACHINE_EXAMPLES", "1500"))
STEPS = int(os.environ.get("BFXTWIST_MACHINE_STEPS", "40"))


class RecorderMachine(RecorderWorld):
    """Whatever can happen, in any order."""

    @initialize(policy=st.sampled_from(SyncPolicy))
    def begin(self, policy: SyncPolicy) -> None:
        """The first start."""
        self.policy = policy
        self.start()

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
                st.integers(-SKEW, SKEW),
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
    def threads_take_time(self, slow: bool) -> None:
        """Whether they take their time."""
        self.slow_threads = slow
        if not slow:
            self.alive(self.threads.end_all)

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

    @rule()
    def back_up(self) -> None:
        """A copy of the state."""
        self.state = self.disk.content(STATE)

    @rule(which=st.sampled_from(["rows", "rows", "old state", "no state", "no ledger"]), part=st.integers(1, 3))
    def put_back(self, which: str, part: int) -> None:
        """One of our files alone is put back from a backup, or is lost. A trade.csv without rows would be a new one."""
        self.die()
        self.disk.kill()
        older = self.older_file(part)
        if which == "rows" and older:
            self.disk.put(PATH, older)
            self.sealed = b""
        elif which == "old state" and self.state:
            self.disk.put(STATE, self.state)
        elif which.startswith("no "):
            self.disk.names.pop(STATE if which == "no state" else LEDGER, None)

    def older_file(self, part: int) -> bytes:
        """So many quarters of the rows, but not all; nothing if there are too few."""
        header, *rows = self.disk.content(PATH).splitlines(keepends=True) or [b""]
        return b"".join([header, *rows[: len(rows) * part // 4 or 1]]) if header == HEADER and len(rows) > part else b""

    @precondition(lambda self: self.recorder is not None)
    @rule(part=st.integers(1, 3), copied_over=st.booleans())
    def put_back_while_it_runs(self, part: int, copied_over: bool) -> None:
        """It is seen within a second."""
        self.disk.mend()
        older = self.older_file(part)
        if not older:
            return
        if copied_over:
            file = self.disk.names[PATH]
            file.change(0, None)
            file.change(0, older)
        else:
            self.disk.put(PATH, older)
        self.sealed = b""
        self.pass_time(2.5, step=1.0)

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
            self.threads.end_all()

        self.alive(stop)
        if self.recorder is not None:
            assert self.disk.descriptors == 0
            assert failures or told <= set(self.rows()), "I4"
            for failure in failures:
                failure.trap(TradeFileError)
        self.die()
        self.disk.kill()

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
