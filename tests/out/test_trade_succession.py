"""One trade.csv after another: what somebody else does to the file, and SIGHUP. Our own rotation is in test_rotation.py."""

import errno
import tracemalloc
from collections.abc import Callable
from gc import collect
from itertools import count
from random import Random

from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.history import OVERLAP
from bfxtwist.core.trade_rows import HEADER, Arrival
from bfxtwist.out.trade_errors import DiskFailed
from bfxtwist.out.trade_saving import SyncPolicy
from bfxtwist.out.trade_state import StateFile
from tests.crash_disk import CrashDisk
from tests.out.recording import LAYOUT, Recording, SlowThread, live


def cannot_be_found(call: str) -> None:
    """What the disk is asked before each call: whoever looks for a file by its name hears of an error."""
    if call == "find":
        raise OSError(5, "Input/output error")


class SuccessionTests(SynchronousTestCase):
    """`TradeSuccession`, in a recorder on a disk in memory."""

    def rotated(self, act: Callable[[Recording], None], seconds: float = 3) -> Recording:
        """Record, let someone do something to the file, record on."""
        recording = live()
        recording.wait(3)
        act(recording)
        recording.trade()
        recording.wait(seconds)
        recording.trade()
        recording.wait(100)
        return recording

    def test_file_that_was_renamed(self) -> None:
        """logrotate: the old one is finished, a new one begun, and a restart doubles nothing."""

        def rename(recording: Recording) -> None:
            recording.crash_disk.names["/trade.csv.1"] = recording.crash_disk.names.pop("/trade.csv")

        recording = self.rotated(rename)
        older = recording.crash_disk.content("/trade.csv.1")[len(HEADER) :]
        ids = [int(i) for i in LAYOUT.ids(older) or []]
        self.assertEqual(ids + recording.ids(), recording.ledger())
        recording.restart()
        recording.connect()
        recording.wait(100)
        self.assertEqual(ids + recording.ids(), recording.ledger())

    def test_sighup_after_a_rename(self) -> None:
        """Not a row goes to the old file after it."""
        recording = live()
        recording.wait(3)
        older = recording.crash_disk.names["/trade.csv.1"] = recording.crash_disk.names.pop("/trade.csv")
        recording.recorder.reopen()
        size = len(older.cache)
        recording.trade()
        self.assertEqual((len(older.cache), len(recording.ids())), (size, 1))

    def test_rows_whose_sync_fails_at_sighup_are_written_again(self) -> None:
        """The file that is left is kept until that has been done: nobody would look into it again."""
        for seed in range(5):
            recording = live()
            recording.wait(3)
            disk = recording.crash_disk
            disk.names["/trade.csv.1"] = disk.names.pop("/trade.csv")
            recording.trade(pause=0)
            disk.failing_syncs = 1
            recording.recorder.reopen()
            self.assertIn("Input/output error", str(recording.recorder.not_ready()))
            recording.wait(3)
            self.assertIsNone(recording.recorder.not_ready())
            disk.power_loss(Random(seed))
            older = LAYOUT.ids(disk.content("/trade.csv.1")[len(HEADER) :])
            self.assertEqual([int(i) for i in older or []], recording.ledger())

    def test_kill_right_after_the_first_row_of_the_next_file(self) -> None:
        """The state knows that file: what was not compared with history yet is older than its first row."""
        recording = live()
        recording.wait(3)
        recording.trade(told=False, pause=0)
        recording.trade(pause=0)
        disk = recording.crash_disk
        disk.names["/trade.csv.1"] = disk.names.pop("/trade.csv")
        recording.recorder.reopen()
        recording.trade(pause=0)
        recording.restart()
        recording.connect()
        recording.wait(300)
        older = LAYOUT.ids(disk.content("/trade.csv.1")[len(HEADER) :])
        self.assertEqual(sorted([*map(int, older or []), *recording.ids()]), recording.ledger())

    def test_no_row_comes_to_a_file_that_the_state_does_not_know(self) -> None:
        recording = live()
        recording.wait(3)
        disk, renames = recording.crash_disk, count(1)
        disk.names["/trade.csv.1"] = disk.names.pop("/trade.csv")

        def before(call: str) -> None:
            if call == "rename" and next(renames) == 2:  # the state is saved twice: with the one file, and with the next
                raise OSError(5, "Input/output error")

        disk.before = before
        recording.recorder.reopen()
        self.assertIn("Input/output error", str(recording.recorder.not_ready()))
        made = recording.trade(pause=0)
        self.assertEqual(recording.ids(), [])
        recording.wait(2)
        self.assertEqual((recording.ids(), recording.recorder.not_ready()), ([made.told.id], None))

    def test_no_row_comes_to_a_file_whose_state_is_of_another_pair(self) -> None:
        """One that was mistyped at an earlier start, which made the files."""
        recording = Recording().start()
        recording.wait(3)
        state = StateFile(recording.disk, "/trade.csv.state")
        state.save(replace(recording.saved(), symbol="BTXUSD"))
        recording.restart()
        self.assertEqual(recording.saved().symbol, "BTCUSD")
        recording.connect()
        recording.trade(pause=0)
        recording.restart()
        self.assertEqual(recording.ids(), recording.ledger())

    def test_nothing_is_kept_of_a_file_that_was_left(self) -> None:
        """A thousand ids for each pair, once the next one is open."""
        recording = live()
        for _ in range(1500):
            recording.trade(pause=0)
        recording.wait(3)
        disk = recording.crash_disk
        disk.names["/trade.csv.1"] = disk.names.pop("/trade.csv")
        collect()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        recording.recorder.reopen()
        collect()
        self.assertLess(tracemalloc.get_traced_memory()[0], 20_000)

    def test_file_that_was_removed(self) -> None:
        """It is made again, and what was in it is known to have been recorded; what comes meanwhile waits for it."""

        def remove(recording: Recording) -> None:
            del recording.crash_disk.names["/trade.csv"]

        recording = self.rotated(remove)
        self.assertEqual(recording.ids(), recording.ledger()[-2:])

    def test_a_disk_that_does_not_count_names(self) -> None:
        """Some file systems in user space do not: no file seems to have one, and none was removed for it."""
        recording = Recording()
        disk = recording.crash_disk
        facts = disk.facts
        disk.facts = lambda fd: facts(fd)._replace(names=0)  # type: ignore[method-assign]
        recording.live()
        recording.trade(pause=0)
        self.assertNotEqual(disk.names["/trade.csv"].unsynced, [])
        disk.names["/trade.csv.1"] = disk.names.pop("/trade.csv")
        recording.recorder.reopen()
        self.assertEqual(disk.names["/trade.csv.1"].unsynced, [], "what is left is on disk")
        recording.trade(pause=2)
        self.assertIsNone(recording.recorder.not_ready())
        older = [int(i) for i in LAYOUT.ids(disk.content("/trade.csv.1")[len(HEADER) :]) or []]
        self.assertEqual([*older, *recording.ids()], recording.ledger())

    def test_file_that_was_truncated(self) -> None:
        """copytruncate: the header again, then the next rows. What came in between is in neither."""

        def truncate(recording: Recording) -> None:
            recording.crash_disk.names["/trade.csv"].change(0, None)

        recording = self.rotated(truncate)
        self.assertEqual(recording.ids(), recording.ledger()[-2:])

    def test_file_that_was_cut_in_the_middle_of_a_row(self) -> None:
        """The torn row is kept aside, the others stand, and those that are missing come again."""

        def cut(recording: Recording) -> None:
            recording.crash_disk.names["/trade.csv"].change(len(HEADER) + 90, None)

        recording = self.rotated(cut)
        first, *missing, next_one, last = recording.ledger()
        self.assertEqual(recording.ids(), [first, next_one, *missing, last])
        self.assertEqual(len([name for name in recording.crash_disk.names if ".torn-" in name]), 1)

    def test_file_that_someone_else_has_written_to(self) -> None:
        """What is no row of it is kept aside."""

        def write(recording: Recording) -> None:
            recording.crash_disk.names["/trade.csv"].change(len(recording.content()), b"# a note\n")

        recording = self.rotated(write)
        self.assertEqual(recording.ids(), recording.ledger())
        torn = [name for name in recording.crash_disk.names if ".torn-" in name]
        self.assertEqual([recording.crash_disk.content(name) for name in torn], [b"# a note\n"])

    def test_file_that_another_one_took_the_name_of(self) -> None:
        """A foreign one is not touched: rows wait until it is gone."""
        recording = self.rotated(lambda recording: recording.crash_disk.put("/trade.csv", b"a,b\n1,2\n"))
        self.assertEqual(recording.content(), b"a,b\n1,2\n")
        problem = str(recording.recorder.not_ready())
        self.assertIn("not the header", problem)
        self.assertEqual(problem.count("/trade.csv"), 1, problem)
        del recording.crash_disk.names["/trade.csv"]
        recording.wait(3)
        self.assertEqual((recording.ids(), recording.recorder.not_ready()), (recording.ledger()[-2:], None))

    def test_stop_without_a_file_says_why_there_is_none(self) -> None:
        """And not merely that it is shut."""
        recording = self.rotated(lambda recording: recording.crash_disk.put("/trade.csv", b"a,b\n1,2\n"))
        error = self.failureResultOf(recording.recorder.stop(), DiskFailed).value
        self.assertIn("rows could not be written: opening anew failed: /trade.csv: its first line", str(error))

    def test_file_that_is_put_back(self) -> None:
        """A copy of itself is continued, also with what came before that was seen."""

        def copy(recording: Recording) -> None:
            recording.crash_disk.put("/trade.csv", recording.content())

        recording = self.rotated(copy)
        self.assertEqual(recording.ids(), recording.ledger())

    def put_back(self, recording: Recording, backup: bytes, copied_over: bool) -> None:
        """An older file, while a row waits to be written."""
        recording.trade(pause=0)
        if copied_over:
            file = recording.crash_disk.names["/trade.csv"]
            file.change(0, None)
            file.change(0, backup)
        else:
            recording.crash_disk.put("/trade.csv", backup)

    def test_an_older_file_that_is_put_back_while_it_runs(self) -> None:
        """A backup: what has come since is in no file, and is fetched again. Until then it is not called verified."""
        for copied_over in (False, True):
            recording = live()
            first, backup = recording.exchange.ledger[recording.ids()[0]].stored.mts, recording.content()
            for _ in range(9):
                recording.trade(pause=20)
            self.assertGreater(recording.recorder.status().verified_through or 0, first)
            recording.exchange.fault = "down"
            self.put_back(recording, backup, copied_over)
            recording.wait(3)
            self.assertEqual(recording.recorder.status().verified_through, first - OVERLAP)
            self.assertEqual(recording.saved().progress.frontier.mts, first)
            recording.exchange.fault = ""
            recording.trade()
            recording.wait(100)
            self.assertEqual(sorted(recording.ids()), recording.ledger())
            self.assertGreater(recording.recorder.status().verified_through or 0, first)
            recording.restart()
            recording.connect()
            recording.wait(100)
            self.assertEqual(sorted(recording.ids()), recording.ledger())

    def test_kill_after_an_older_file_was_put_back(self) -> None:
        """Before that was seen, or after."""
        for seconds in (0, 1, 2):
            recording = live()
            backup = recording.content()
            for _ in range(9):
                recording.trade(pause=20)
            self.put_back(recording, backup, copied_over=False)
            recording.wait(seconds)
            recording.restart()
            recording.connect()
            recording.wait(100)
            self.assertEqual(sorted(recording.ids()), recording.ledger())

    def test_an_older_file_that_cannot_be_opened_at_once(self) -> None:
        """What is missing from it is not forgotten over that."""
        for call in ("list_folder", "rename", "find", "sync"):
            recording = live()
            backup = recording.content()
            for _ in range(9):
                recording.trade(pause=20)
            self.put_back(recording, backup, copied_over=False)
            left = [2]

            def fail(called: str, call: str = call, left: list[int] = left) -> None:
                if called == call and left[0]:
                    left[0] -= 1
                    raise OSError(5, "Input/output error")

            recording.crash_disk.before = fail
            recording.wait(5)
            self.assertEqual(left, [0])
            recording.trade()
            recording.wait(100)
            self.assertEqual(sorted(recording.ids()), recording.ledger(), call)
            self.assertIsNone(recording.recorder.not_ready())

    def test_rows_that_came_with_another_file_are_not_written_again(self) -> None:
        """Somebody has put back what another recorder wrote: history tells of its trades, too."""
        recording = live()
        recording.wait(3)
        missed = recording.trade(told=False, pause=0)
        row = LAYOUT.line(Arrival(missed.told, recording.exchange.moment().wall))
        recording.crash_disk.put("/trade.csv", recording.content() + row)
        recording.wait(100)
        recording.trade()
        self.assertEqual(recording.ids(), recording.ledger())
        self.assertEqual(len(recording.recorder.tape.known), len(recording.ledger()), "each is known once")

    def test_rows_that_another_recorder_has_written_while_they_waited_are_not_written_again(self) -> None:
        """It had the file, and has gone: with some of them, all of them, and more."""
        for others in range(5):
            recording = live()
            recording.wait(3)
            disk = recording.crash_disk
            disk.put("/trade.csv", b"a,b\n1,2\n")
            made = [recording.trade(pause=1) for _ in range(3)]
            told = self.all_rows(recording)
            made.append(recording.trade(told=False, pause=0))
            rows = [LAYOUT.line(Arrival(one.told, recording.exchange.moment().wall)) for one in made[:others]]
            disk.put("/trade.csv", HEADER + b"".join(rows))
            recording.wait(2)
            self.assertIsNone(recording.recorder.not_ready())
            self.successResultOf(told)
            recording.trade()
            recording.wait(100)
            self.assertEqual(sorted(recording.ids()), recording.ledger()[3:])

    def all_rows(self, recording: Recording) -> "Deferred[None]":
        """Waits for all rows that wait now."""
        written = recording.recorder._csv.write([])
        self.assertNoResult(written)
        return written

    def test_a_rename_that_is_seen_during_a_sync_waits_for_its_end(self) -> None:
        """The thread would go on with a number that is another file's by then."""
        thread = SlowThread()
        recording = live(in_thread=thread)
        recording.wait(2)
        recording.crash_disk.names["/trade.csv.1"] = recording.crash_disk.names.pop("/trade.csv")
        recording.wait(3)
        self.assertNotIn("/trade.csv", recording.crash_disk.names)
        thread.end_one()
        recording.wait(1)
        self.assertEqual(recording.ids(), [])

    def test_a_rename_is_seen_where_one_sync_follows_the_other(self) -> None:
        """With `always`, a disk on which each takes longer than the next trade."""
        thread = SlowThread()
        for asked in (False, True):
            recording = live(in_thread=thread, sync=SyncPolicy.ALWAYS)
            older = recording.crash_disk.names["/trade.csv.1"] = recording.crash_disk.names.pop("/trade.csv")
            for step in range(20):
                recording.trade(pause=0)
                recording.wait(1)
                if asked and step == 5:
                    recording.recorder.reopen()
                thread.end_one()
            self.assertGreater(len(recording.ids()), 10)
            before = LAYOUT.ids(bytes(older.cache[len(HEADER) :])) or []
            self.assertEqual(len(before) + len(recording.ids()), len(recording.ledger()))
            thread.jobs.clear()

    def test_a_file_that_cannot_be_looked_at_is_said(self) -> None:
        recording = live()
        recording.wait(3)
        recording.crash_disk.before = cannot_be_found
        with capturedLogs() as events:
            recording.wait(5)
            self.assertIn("/trade.csv: Input/output error: see to the disk", str(recording.recorder.not_ready()))
            recording.crash_disk.mend()
            recording.trade(pause=2)
        self.assertEqual((recording.ids(), recording.recorder.not_ready()), (recording.ledger(), None))
        lines = ["/trade.csv: Input/output error: see to the disk; trying again", "/trade.csv is in its place again"]
        self.assertEqual([formatEvent(event) for event in events], lines)

    def test_stop_of_a_file_that_could_not_be_looked_at(self) -> None:
        """Its rows are safe."""
        recording = live()
        recording.wait(3)
        recording.crash_disk.before = cannot_be_found
        recording.wait(1)
        self.assertIn("Input/output error", str(recording.recorder.not_ready()))
        recording.crash_disk.mend()
        recording.trade(pause=0)
        self.successResultOf(recording.recorder.stop())
        self.assertEqual((recording.ids(), recording.saved().synced), (recording.ledger(), len(recording.content())))

    def test_reopen_waits_for_a_sync_under_way(self) -> None:
        """The thread has the file."""
        thread = SlowThread()
        recording = live(in_thread=thread)
        recording.wait(2)
        recording.crash_disk.names.pop("/trade.csv")
        recording.recorder.reopen()
        self.assertNotIn("/trade.csv", recording.crash_disk.names)
        thread.end_one()
        self.assertEqual(recording.ids(), [])

    def test_stop_before_a_reopening_that_waits_for_a_sync(self) -> None:
        """The file is closed as it is: what there is no room for is said, and not tried any more."""

        class NoRows(CrashDisk):
            full = False

            def write(self, fd: int, data: bytes, offset: int) -> int:
                if self.full and self.facts(fd) == self.find("/trade.csv") and offset == self.facts(fd).size:
                    raise OSError(errno.ENOSPC, "No space left on device")
                return super().write(fd, data, offset)

        thread = SlowThread()
        recording = Recording(disk=(disk := NoRows()), in_thread=thread)
        recording.start().trade(told=False, pause=1)
        recording.connect()
        recording.wait(2)
        recording.recorder.reopen()
        disk.full = True
        recording.trade(pause=0)
        stopped = recording.recorder.stop()
        thread.end_all()
        error = self.failureResultOf(stopped, DiskFailed).value
        self.assertEqual(str(error), "1 rows could not be written: /trade.csv: No space left on device")
        self.assertEqual(recording.clock.getDelayedCalls(), [])
