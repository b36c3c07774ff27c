"""What is promised of trade.csv, and that it is never more than is on the disk."""

import errno
import os
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Gap, GapLedger, GapState, Mark
from bfxtwist.core.limits import Limits
from bfxtwist.core.trades import Mode
from bfxtwist.out.trade_saving import SyncPolicy
from tests.crash_disk import CrashDisk
from tests.out.recording import Recording, SlowThread, live


class SavingTests(SynchronousTestCase):
    """`TradeSaving` as its recorder uses it."""

    # --- the order of things ------------------------------------------------------------------------------

    def test_state_is_never_ahead_of_the_rows(self) -> None:
        """An audit moved the frontier over a row that it found: where the row is not synced, the frontier is not saved."""
        recording = live()
        recording.trade(told=False)
        recording.trade()
        recording.wait(40)
        recording.crash_disk.failing_syncs = 10**6
        recording.wait(70)
        frontier = recording.recorder.tape.comparison.progress.frontier
        saved = recording.saved().progress.frontier
        assert frontier is not None
        self.assertLess(saved.id, frontier.id)
        self.assertIn("cannot be synced", str(recording.recorder.not_ready()))
        self.assertEqual(len(recording.gave_up), 1)
        recording.crash_disk.mend()
        recording.wait(2)
        self.assertEqual((recording.saved().progress.frontier, recording.recorder.not_ready()), (frontier, None))

    def test_state_is_never_ahead_of_rows_that_wait(self) -> None:
        """There is room for the state and none for the rows that it would speak of."""

        class NoRows(CrashDisk):
            full = False

            def write(self, fd: int, data: bytes, offset: int) -> int:
                if self.full and self.facts(fd) == self.find("/trade.csv"):
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(fd, data, offset)

        disk = NoRows()
        recording = Recording(disk=disk)
        recording.crash_disk = disk
        recording.start().trade(told=False)
        recording.wait(1)
        recording.connect()
        recording.wait(35)
        hidden = recording.trade(told=False).told.id
        recording.trade()
        disk.full = True
        recording.wait(100)
        frontier = recording.recorder.tape.comparison.progress.frontier
        assert frontier is not None
        self.assertGreaterEqual(frontier.id, hidden)
        self.assertLess(recording.saved().progress.frontier.id, hidden)
        disk.full = False
        recording.restart()
        recording.connect()
        recording.wait(5)
        self.assertEqual(sorted(recording.ids()), recording.ledger())

    def lose(self, recording: Recording) -> None:
        """An outage of which history has forgotten everything by the time that it is asked."""
        recording.lost("restart")
        recording.wait(300)
        recording.exchange.horizon = recording.exchange.now()
        recording.connect(0)
        recording.wait(28)
        recording.trade()
        recording.wait(8)

    def test_loss_is_written_down_at_once(self) -> None:
        """Also while the frontier stays where it is: nobody knows how long the process lives."""
        recording = live()
        self.lose(recording)
        ledger = GapLedger(recording.crash_disk.content("/trade.gaps.csv"))
        self.assertEqual(ledger.counts()[GapState.LOST], 1)
        self.assertEqual(recording.saved().progress.frontier.id, recording.ledger()[0])

    def test_gaps_of_earlier_runs_stay_in_the_ledger(self) -> None:
        recording = live()
        for runs in (1, 2):
            self.lose(recording)
            ledger = GapLedger(recording.crash_disk.content("/trade.gaps.csv"))
            self.assertEqual(ledger.counts()[GapState.LOST], runs)
            recording.restart()

    def test_gap_is_saved_before_the_rows_after_it(self) -> None:
        """A hole is written down before it is passed."""
        recording = live()
        recording.lost("restart")
        recording.missed(9)
        recording.exchange.fault = "down"
        recording.connect(2)
        recording.crash_disk.failing_renames = 10**6
        recording.trade()
        recording.wait(70)
        self.assertEqual((len(recording.ids()), recording.recorder.tape.mode), (3, Mode.SYNC))
        self.assertIn("Input/output error", str(recording.recorder.not_ready()))
        recording.crash_disk.mend()
        recording.wait(2)
        self.assertEqual((len(recording.ids()), len(recording.saved().progress.gaps)), (6, 1))
        ledger = GapLedger(recording.crash_disk.content("/trade.gaps.csv"))
        self.assertEqual(ledger.counts()[GapState.OPEN], 1)
        recording.restart()
        recording.exchange.fault = ""
        recording.connect()
        recording.wait(700)
        self.assertEqual(sorted(recording.ids()), recording.ledger())
        ledger = GapLedger(recording.crash_disk.content("/trade.gaps.csv"))
        self.assertEqual(ledger.counts()[GapState.OPEN], 0)
        self.assertIn(b",filled,3,", ledger.text())

    def test_sync_runs_one_at_a_time_and_rows_go_on_meanwhile(self) -> None:
        """A slow disk: the next sync waits for the one under way."""
        thread = SlowThread()
        recording = live(in_thread=thread)
        recording.wait(3)
        for _ in range(3):
            recording.trade(pause=2)
        self.assertEqual((len(thread.jobs), recording.ids()), (1, recording.ledger()))
        thread.end_one()
        recording.wait(1)
        self.assertEqual(len(thread.jobs), 1)
        stopping = recording.recorder.stop()
        self.assertNoResult(stopping)
        thread.end_all()
        self.assertIsNone(self.successResultOf(stopping))
        self.assertEqual(recording.recorder.status().bytes, recording.recorder.status().bytes_synced)

    def test_policies(self) -> None:
        """always: in the turn in which they are written. 1s: within a second. no: with the state, once a minute."""
        for policy, after in ((SyncPolicy.ALWAYS, 0.0), (SyncPolicy.SECOND, 1.0), (SyncPolicy.NO, 61.0)):
            recording = live(sync=policy)
            recording.wait(200)
            recording.trade(pause=0)
            status = recording.recorder.status()
            self.assertEqual(status.bytes == status.bytes_synced, after == 0.0)
            recording.wait(after)
            self.assertEqual(recording.recorder.status().bytes_synced, status.bytes)

    def test_without_a_policy_of_syncing_only_a_gap_is_saved_before_its_minute(self) -> None:
        """Live trades wait for that one."""
        recording = live(sync=SyncPolicy.NO)
        recording.wait(200)
        recording.trade(pause=20)
        status = recording.recorder.status()
        self.assertLess(status.bytes_synced, status.bytes)
        recording.wait(41)
        recording.lost("restart")
        recording.trade(told=False)
        recording.exchange.fault = "down"
        recording.trade(told=False)
        recording.connect(1)
        recording.wait(45)
        recording.recorder._saving._synced_at = recording.clock.seconds()
        recording.wait(17)
        self.assertEqual(recording.recorder.tape.mode, Mode.LIVE)

    def test_with_nothing_to_save_the_disk_has_its_peace(self) -> None:
        """No trade comes, and history has nothing new since it filled a gap."""
        recording = live()
        recording.lost("restart")
        recording.missed(2, pause=1)
        recording.connect(1)
        recording.wait(300)
        self.assertIn(b",filled,1,", recording.crash_disk.content("/trade.gaps.csv"))
        recording.exchange.fault = "down"
        recording.wait(60)
        calls: list[str] = []
        recording.crash_disk.before = calls.append
        recording.wait(100)
        self.assertEqual([call for call in calls if call in ("sync", "write", "rename")], [])

    def test_the_state_follows_the_rows_though_history_does_not(self) -> None:
        """It tells recovery where to look. But it is not written with each sync."""
        recording = live()
        recording.wait(200)
        recording.exchange.fault = "down"
        sizes = set()
        for _ in range(64):
            recording.trade(pause=1)
            sizes.add(recording.saved().synced)
        self.assertEqual(len(sizes), 3)

    def test_a_state_that_cannot_be_saved_is_said(self) -> None:
        """In the log, too: once at its beginning, once at its end."""
        recording = live()
        recording.wait(100)
        recording.crash_disk.failing_renames = 10**6
        with capturedLogs() as events:
            for _ in range(40):
                recording.trade(pause=1)
            self.assertIn("/trade.csv.state: Input/output error: see to the disk", str(recording.recorder.not_ready()))
            recording.crash_disk.mend()
            recording.trade(pause=2)
        self.assertIsNone(recording.recorder.not_ready())
        error = "/trade.csv.state: Input/output error: see to the disk; trying again"
        error, well = [formatEvent(event) for event in events]
        self.assertEqual(error, "/trade.csv.state: Input/output error: see to the disk; trying again")
        self.assertEqual(well, "/trade.csv and what is known of it are on disk again")

    def test_a_state_that_cannot_be_saved_is_not_forgotten_over_a_sync(self) -> None:
        """While rows wait they alone are synced."""
        recording = live()
        recording.wait(100)
        disk = recording.crash_disk
        disk.failing_renames = 10**6
        for _ in range(40):
            recording.trade(pause=1)
        with capturedLogs() as events:
            recording.trade(pause=0)
            disk.failing_writes = 10**6
            recording.trade(pause=3)
        self.assertLess(recording.saved().synced, recording.recorder.status().bytes_synced)
        said = [formatEvent(event) for event in events]
        self.assertEqual(said, ["/trade.csv cannot be written: Input/output error; trying again"])

    def test_a_disk_that_works_again_is_believed_though_no_trade_comes(self) -> None:
        """Nor does history have any news of a pair that is traded once a day."""

        def save(recording: Recording) -> None:
            recording.crash_disk.failing_renames = 1
            recording.trade(pause=1)

        def sync(recording: Recording) -> None:
            recording.crash_disk.failing_syncs = 1
            recording.recorder.reopen()

        for fail in (save, sync):
            recording = live()
            recording.wait(200)
            recording.exchange.fault = "down"
            fail(recording)
            self.assertIn("Input/output error", str(recording.recorder.not_ready()))
            recording.wait(3)
            self.assertIsNone(recording.recorder.not_ready())

    def test_a_gap_that_is_noticed_during_a_saving_is_in_the_next_one(self) -> None:
        """The ledger that is under way does not name it."""
        thread = SlowThread()
        recording = live(in_thread=thread)
        comparison = recording.recorder.tape.comparison
        mark = Mark(1, 1)
        for number in (1, 2):
            comparison.changes.append(Gap(mark, Mark(2, 2), f"number {number}", 0, mark, 1))
            recording.wait(2)
        for _ in range(2):
            thread.end_one()
            recording.wait(2)
        ledger = recording.crash_disk.content("/trade.gaps.csv")
        self.assertEqual((ledger.count(b"number 1"), ledger.count(b"number 2")), (1, 1))

    def test_always_syncs_what_came_meanwhile_at_once(self) -> None:
        """But not after a failure: the next tick is soon enough."""
        thread = SlowThread()
        recording = live(in_thread=thread, sync=SyncPolicy.ALWAYS)
        thread.end_all()
        recording.trade(pause=0)
        recording.trade(pause=0)
        self.assertEqual(len(thread.jobs), 1)
        thread.end_one()
        self.assertEqual(len(thread.jobs), 1)
        recording.crash_disk.failing_syncs = 1
        thread.end_one()
        self.assertEqual(len(thread.jobs), 0)
        recording.wait(2)
        self.assertEqual(len(thread.jobs), 1)
        thread.end_one()
        self.assertEqual(recording.recorder.status().bytes, recording.recorder.status().bytes_synced)

    def test_more_rows_than_may_wait_for_a_sync(self) -> None:
        """They are synced before their time: else the next ones would not be written, and be given up before long."""
        for policy in (SyncPolicy.SECOND, SyncPolicy.NO):
            recording = live(sync=policy, limits=Limits(unsynced=2000, queue=10))
            for _ in range(200):
                recording.trade(pause=0)
                self.assertIsNone(recording.recorder.not_ready())
            self.assertEqual((recording.ids(), recording.recorder.tape.counters.forgotten), (recording.ledger(), 0))

    def test_a_disk_that_has_failed_to_sync_is_asked_again_in_a_second(self) -> None:
        """Also where it is asked once a minute: what is not synced grows until no more is written."""
        for policy in SyncPolicy:
            recording = live(sync=policy)
            recording.trade()
            recording.crash_disk.failing_syncs = 1
            recording.wait(70)
            self.assertEqual(recording.crash_disk.failing_syncs, 0, policy)
            recording.trade()
            recording.crash_disk.failing_syncs = 1
            while recording.crash_disk.failing_syncs:
                recording.wait(1)
            self.assertIsNotNone(recording.recorder.not_ready(), policy)
            recording.wait(2)
            self.assertIsNone(recording.recorder.not_ready(), policy)

    def test_a_disk_that_fails_to_sync_has_its_peace(self) -> None:
        """Each attempt writes again all that is not synced: it is made once a second, not with each row."""
        for policy in SyncPolicy:
            recording = live(sync=policy, limits=Limits(unsynced=20_000))
            calls: list[str] = []
            recording.crash_disk.before = calls.append
            recording.crash_disk.failing_syncs = 10**6
            for _ in range(400):
                recording.trade(pause=0.01)
            self.assertGreater(len(recording.content()), 10_000)
            self.assertLess(calls.count("sync"), 10)

    def test_the_state_knows_its_file_and_all_ids_that_history_may_tell_again(self) -> None:
        """Down to the lowest that is to be fetched for a gap, however many they are: the rows may be rotated away."""
        recording = live()
        recording.wait(3)
        tape, saving = recording.recorder.tape, recording.recorder._saving
        tape.known.update(range(10_000, 13_000))
        tape.comparison.progress.floor = 12_990
        mark = Mark(11_000, 1)
        tape.comparison.progress.gaps.append(Gap(mark, Mark(11_100, 2), "x", 0, mark, 11_000))
        record = saving.record()
        self.assertEqual((record.earlier[0], len(record.earlier)), (11_000, 2000))
        self.assertEqual(record.file, recording.recorder._file.file)

    # --- what goes wrong, and the end ---------------------------------------------------------------------

    def test_bug_in_the_thread_is_logged_and_the_next_saving_is_tried(self) -> None:
        """Nothing is promised by the one that has failed."""
        failing = False

        def thread(job: Callable[[], Any]) -> "Deferred[Any]":
            done: Deferred[Any] = Deferred()
            done.callback(Failure(ZeroDivisionError()) if failing else job())
            return done

        recording = live(in_thread=thread)
        recording.wait(3)
        failing = True
        recording.trade(pause=1)
        self.assertTrue(self.flushLoggedErrors(ZeroDivisionError))
        status = recording.recorder.status()
        self.assertLess(status.bytes_synced, status.bytes)
        failing = False
        recording.wait(2)
        status = recording.recorder.status()
        self.assertEqual(status.bytes_synced, status.bytes)

    def test_the_last_state_is_saved_though_nothing_has_changed(self) -> None:
        """With every row in it, for the next start."""
        recording = live()
        recording.wait(100)
        recording.crash_disk.names.pop("/trade.csv.state")
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        self.assertEqual(recording.saved().synced, len(recording.content()))

    def test_a_stop_waits_for_the_saving_under_way(self) -> None:
        """Two at once might leave the older state on disk."""
        thread = SlowThread()
        recording = live(in_thread=thread)
        recording.trade(pause=1)
        self.assertEqual(len(thread.jobs), 1)
        recording.trade(pause=0)
        stopping = recording.recorder.stop()
        self.assertEqual(len(thread.jobs), 1)
        thread.end_one()
        self.assertNoResult(stopping)
        thread.end_all()
        self.assertIsNone(self.successResultOf(stopping))
        self.assertEqual(recording.saved().last_id, recording.ledger()[-1])

    def test_giving_up_is_told_once(self) -> None:
        """After the third failure in a row, and never again."""
        recording = live()
        recording.wait(3)
        recording.crash_disk.failing_syncs = 10**6
        recording.trade(pause=1)
        told = []
        for _ in range(10):
            told.append((recording.recorder._file.sync_failures, len(recording.gave_up)))
            recording.wait(1)
        self.assertEqual(told, [(failures, int(failures >= 3)) for failures in range(told[0][0], told[0][0] + 10)])

    def test_giving_up_on_a_disk_that_takes_no_rows(self) -> None:
        """What became read-only, which a dying disk does, has nothing left to sync. What is full has not failed."""
        for number, gives_up in ((errno.EROFS, True), (errno.EIO, True), (errno.ENOSPC, False)):
            recording = live()
            recording.wait(3)

            def before(call: str, number: int = number) -> None:
                if call == "write":
                    raise OSError(number, os.strerror(number))

            recording.crash_disk.before = before
            for _ in range(10):
                recording.trade(pause=1)
            told = [f"/trade.csv cannot be written: {os.strerror(number)}"] if gives_up else []
            self.assertEqual([str(error) for error in recording.gave_up], told)

    def test_a_disk_that_fails_now_and_then_is_not_given_up(self) -> None:
        """Not in a row: over the months these would be many."""
        recording = live()
        recording.wait(3)
        for _ in range(5):
            recording.crash_disk.failing_writes = recording.crash_disk.failing_syncs = 2
            recording.trade(pause=10)
        self.assertEqual((recording.ids(), recording.recorder.not_ready()), (recording.ledger(), None))
        self.assertEqual(recording.gave_up, [])
