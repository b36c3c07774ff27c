"""Rotation: wherever it is cut off, each trade stands once over all parts, and the next start finishes what was begun."""

import contextlib
import errno
import gzip
from pathlib import Path
from random import Random
from typing import Any

from twisted.logger import capturedLogs

from bfxtwist.core.moment import Moment
from bfxtwist.core.recovery import FileId
from bfxtwist.core.trade_rows import HEADER, Arrival
from bfxtwist.files.verify import verify
from bfxtwist.out.closed_parts import Compression
from bfxtwist.out.disk import OsDisk
from bfxtwist.out.rotation import Rotation
from bfxtwist.out.trade_errors import DiskFailed, WrongFile
from bfxtwist.out.trade_saving import SyncPolicy
from bfxtwist.out.trade_state import StateFile
from tests.crash_disk import CrashDisk, Killed
from tests.out.recording import LAYOUT, Recording, SlowThread, arrivals, at_once
from tests.out.rotating import SIZE, Rotating, RotationTest

DAY = 86_400.0

#: 22:13:20 UTC, when a model's clock shows 0.
FIRST, SECOND = "2023-11-14", "2023-11-15"


class WhenAndHow(RotationTest):
    def test_by_size(self) -> None:
        recording = self.rotating().live()
        recording.trades(12)
        names = [f"trade-{FIRST}.csv.gz", f"trade-{FIRST}-2.csv.gz", f"trade-{FIRST}-3.csv.gz", "trade.csv"]
        self.assertEqual(recording.parts, names)
        self.assertEqual(recording.all_ids(), recording.ledger(), "the parts are in the order of time")
        self.assert_whole(recording)
        self.assertEqual(recording.recorder.not_ready(), None)

    def test_daily_by_the_day_on_which_rows_came(self) -> None:
        recording = self.rotating(None).live()
        for _ in range(3):
            recording.wait(DAY / 2, step=600)
            recording.trades(2)
        self.assertEqual(recording.parts, [f"trade-{FIRST}.csv.gz", f"trade-{SECOND}.csv.gz", "trade.csv"])
        self.assertEqual(recording.all_ids(), recording.ledger())
        self.assert_whole(recording)

    def test_a_day_that_ended_while_the_daemon_was_down(self) -> None:
        recording = self.rotating(None).live()
        recording.clock.calls.clear()
        recording.wait(DAY, step=DAY)
        recording.restart()
        recording.wait(2)
        recording.connect()
        recording.trades(3)
        self.assertEqual(recording.parts, [f"trade-{FIRST}.csv.gz", "trade.csv"])
        self.assert_whole(recording)

    def test_a_day_without_a_trade_makes_no_part(self) -> None:
        recording = self.rotating(None).live()
        recording.wait(4 * DAY, step=600)
        self.assertEqual(recording.parts, [f"trade-{FIRST}.csv.gz", "trade.csv"])

    def test_without_compression_parts_stay_plain(self) -> None:
        recording = self.rotating(SIZE, Compression.NONE).live()
        recording.trades(3)
        self.assertEqual(recording.parts, [f"trade-{FIRST}.csv", "trade.csv"])
        self.assert_whole(recording)

    def test_trades_that_were_held_back_over_midnight_do_not_rotate_again(self) -> None:
        rotation = Rotation("/", disk=CrashDisk(), in_thread=at_once)
        disk: Any = rotation._disk
        row = LAYOUT.line(self.arrival(1_700_000_000))
        disk.put("/trade.csv", HEADER + row)
        later = Moment(0.0, 1_700_000_000_000_000 + 7200 * 10**6)
        old = FileId(1, disk.find("/trade.csv").inode)
        self.assertTrue(rotation.due(old, 100, later))
        rotation.close_part(old, later.wall)
        disk.put("/trade.csv", HEADER + row)
        self.assertFalse(rotation.due(FileId(1, disk.find("/trade.csv").inode), 100, later))

    def arrival(self, seconds: int) -> Arrival:
        """A trade that came then."""
        return Arrival(Recording().exchange.trade().told, seconds * 10**6)

    def test_names_grow_whatever_the_clock_does(self) -> None:
        recording = self.rotating()
        recording.crash_disk.put("/trade-2023-12-01-9.csv.gz", gzip.compress(HEADER))
        recording.crash_disk.put("/trade-2023-12-01-old.csv", HEADER)
        recording.live().trades(3)
        self.assertIn("/trade-2023-12-01-10.csv.gz", recording.crash_disk.names)
        self.assertIn("/trade-2023-12-01-old.csv", recording.crash_disk.names)

    def test_verify_orders_the_parts_of_a_day(self) -> None:
        recording = self.rotating().live()
        recording.trades(60)
        self.assertGreater(len(recording.parts), 11)
        self.assertEqual(recording.all_ids(), recording.ledger())


class Trouble(RotationTest):
    def test_kill_at_every_call(self) -> None:
        """The whole life is cut off at each call to the disk, once, and goes on in another process."""
        total = self.count_calls()
        for at in range(1, total + 1):
            for loss in (False, True):
                self.cut(at, loss)

    def count_calls(self) -> int:
        recording = self.rotating()
        calls: list[str] = []
        recording.crash_disk.before = calls.append
        recording.live().trades(9)
        self.assertEqual(len(recording.parts), 3)
        return len(calls)

    def cut(self, at: int, loss: bool) -> None:
        """Kill it at this call, or let the machine lose power there."""
        recording = self.rotating()
        disk, calls = recording.crash_disk, iter(range(1, 10**9))

        def before(_: str) -> None:
            if next(calls) == at:
                disk.dead = True
                raise Killed

        disk.before = before
        with contextlib.suppress(Killed):
            recording.live().trades(9)
        self.flushLoggedErrors(Killed)
        disk.mend()
        if loss:
            disk.power_loss(Random(at))
        recording.restart()
        recording.missed(2)
        recording.wait(1)
        recording.connect(len(recording.ledger()) if at < 40 else 5)
        recording.trades(6)
        recording.wait(70)
        what = f"call {at}, loss of power: {loss}"
        ids = recording.all_ids()
        self.assertEqual(len(ids), len(set(ids)), what)
        self.assertEqual(sorted(ids), [one for one in recording.ledger() if one >= min(ids)], what)
        [found] = recording.copied()
        self.assertTrue(verify(found).clean, what)
        left = [name for name in disk.names if name.startswith("/trade-") and not name.endswith(".csv.gz")]
        self.assertEqual(left, [], f"{what}: something was left half done")

    def test_every_failing_call_costs_nothing(self) -> None:
        """The disk fails once, at each call after the start; the recorder goes on without a restart."""
        recording = self.rotating().live()
        calls: list[str] = []
        recording.crash_disk.before = calls.append
        recording.trades(9)
        for at in range(1, len(calls) + 1):
            recording = self.rotating().live()
            numbers = iter(range(1, 10**9))

            def before(call: str, numbers: Any = numbers, at: int = at) -> None:
                if next(numbers) == at and call != "close":
                    raise OSError(5, "Input/output error")

            recording.crash_disk.before = before
            recording.trades(9)
            recording.wait(70)
            recording.trades(6)
            recording.wait(3)
            self.assert_whole(recording, f"call {at}, {calls[at - 1]}")
            self.assertIsNone(recording.recorder.not_ready(), f"call {at}, {calls[at - 1]}")
            self.assertEqual(self.flushLoggedErrors(), [], f"call {at}, {calls[at - 1]}")

    def test_nothing_is_renamed_before_the_state_knows_it(self) -> None:
        recording = self.rotating().live()
        recording.trades(1)
        recording.crash_disk.failing_renames = 10**6
        recording.trades(5)
        self.assertEqual(recording.parts, ["trade.csv"])
        recording.crash_disk.mend()
        recording.wait(70)
        self.assertEqual(len(recording.parts), 2)
        self.assert_whole(recording)

    def test_a_disk_that_refuses_a_rotation_is_asked_again_after_a_minute(self) -> None:
        """Each attempt syncs the file, writes the state and an error into the log: once a second would fill the disk."""
        attempts: list[str] = []

        class NoParts(CrashDisk):
            def rename(self, source: str, target: str) -> None:
                if source == "/trade.csv":
                    attempts.append(target)
                    raise OSError(errno.EPERM, "Operation not permitted")
                super().rename(source, target)

        disk = NoParts()
        recording = self.rotating(disk=disk)
        recording.crash_disk = disk
        recording.live()
        while not attempts:
            recording.trades(1)
        for seconds, expected in ((58, 1), (2, 2), (57, 2), (3, 3)):
            recording.wait(seconds)
            self.assertEqual(len(attempts), expected)
        self.assertEqual(recording.ids(), recording.ledger())

    def test_a_file_whose_first_row_cannot_be_read_is_looked_at_again_after_a_minute(self) -> None:
        disk = CrashDisk()
        disk.put("/trade.csv", HEADER + LAYOUT.line(arrivals(1)[0]))
        rotation, file = Rotation("/", disk=disk, in_thread=at_once), FileId(1, disk.names["/trade.csv"].inode)
        calls: list[str] = []

        def before(call: str) -> None:
            calls.append(call)
            raise OSError(errno.EIO, "Input/output error")

        disk.before = before
        tomorrow = 1_700_000_000_000_000 + 86_400_000_000
        due = [rotation.due(file, 100, Moment(float(second), tomorrow)) for second in range(1, 61)]
        self.assertEqual((due, calls), ([False] * 60, ["open"]))
        disk.mend()
        self.assertTrue(rotation.due(file, 100, Moment(61.0, tomorrow)))

    def test_nothing_follows_a_new_name_that_a_power_loss_may_take_back(self) -> None:
        """No disk has to keep the order of names: the next file's could be there, and the part's not."""
        too_early: list[str] = []

        class Watched(CrashDisk):
            def create(self, path: str, mode: int) -> int:
                if path == "/trade.csv" and not self.keeps_all_names:
                    too_early.append("the next file is made")
                return super().create(path, mode)

            def remove(self, path: str) -> None:
                if path in self.names and not path.endswith(".tmp") and not self.keeps_all_names:
                    too_early.append("the plain part is removed")
                super().remove(path)

        disk = Watched()
        recording = self.rotating(disk=disk)
        recording.crash_disk = disk
        recording.live()
        too_early.clear()  # the lock's name, and that of the file with which the folder was tried
        recording.trades(9)
        self.assertEqual((len(recording.parts), too_early), (3, []))

    def test_a_part_that_somebody_has_taken_away_is_not_missed(self) -> None:
        class Late(CrashDisk):
            """Names what was there a moment ago."""

            def list_folder(self, path: str) -> list[str]:
                return [*super().list_folder(path), "trade-2023-11-13.csv"]

        disk = Late()
        recording = self.rotating(disk=disk)
        recording.crash_disk = disk
        recording.live().trades(6)
        parts = recording.parts
        with capturedLogs() as events:
            recording.restart()
        self.assertEqual((len(parts), recording.parts, [event["log_format"] for event in events]), (2, parts, []))

    def test_a_rename_that_left_both_names_is_undone(self) -> None:
        recording = self.rotating().live()
        disk = recording.crash_disk
        disk.names[f"/trade-{FIRST}.csv"] = disk.names["/trade.csv"]
        recording.restart()
        recording.connect()
        recording.trades(5)
        self.assert_whole(recording)

    def test_a_link_is_not_rotated(self) -> None:
        """Its file would be renamed by halves, and one that is named like a part be removed as if it were one."""
        folder = Path(self.mktemp())
        folder.mkdir()
        part, live = folder / f"trade-{FIRST}.csv", folder / "trade.csv"
        part.write_bytes(HEADER)
        live.symlink_to(part.name)
        error = self.assertRaises(WrongFile, Rotating(folder=str(folder), disk=OsDisk()).start)
        self.assertIn("leave out --rotate", str(error))
        self.assertEqual(part.read_bytes(), HEADER)
        live.unlink()
        recording = Rotating(folder=str(folder), disk=OsDisk())
        recording.start()
        live.unlink()
        live.symlink_to("elsewhere.csv")
        (folder / "elsewhere.csv").write_bytes(HEADER)
        recording.wait(2)
        self.assertIn("is a symbolic link", str(recording.recorder.not_ready()))
        self.assertEqual((folder / "elsewhere.csv").read_bytes(), HEADER)
        self.failureResultOf(recording.recorder.stop(), DiskFailed)

    def test_the_state_is_saved_before_rows_come_to_a_file_that_was_begun_at_a_start(self) -> None:
        """Killed between the rename and the new file, and again right after the first rows."""
        recording = self.rotating().live()
        disk = recording.crash_disk
        recording.wait(3)
        disk.names[f"/trade-{FIRST}.csv"] = disk.names.pop("/trade.csv")
        recording.restart()
        saved = StateFile(disk, "/trade.csv.state").load()
        found = disk.find("/trade.csv")
        assert saved is not None and found is not None
        self.assertEqual(saved.file.inode, found.inode)

    def test_parts_that_are_plain_are_compressed_at_the_start(self) -> None:
        recording = self.rotating()
        recording.crash_disk.put("/trade-2023-11-13.csv", HEADER)
        recording.crash_disk.put("/trade-2023-11-13-2.csv.gz.tmp", b"?")
        recording.start()
        parts = [name for name in recording.crash_disk.names if name.startswith("/trade-")]
        self.assertEqual(parts, ["/trade-2023-11-13.csv.gz"])

    def test_rows_that_wait_for_the_disk_are_in_the_part_before_it_is_closed(self) -> None:
        """The state knows them by then: another process would not ask for them any more."""
        recording = self.rotating().live()
        for _ in range(3):
            recording.trade(pause=0)
        recording.crash_disk.failing_writes = 1
        recording.trade(pause=0)
        disk, renames = recording.crash_disk, iter(range(1, 10))

        def before(call: str) -> None:
            if call == "rename" and next(renames) == 2:  # after the state's own
                disk.dead = True
                raise Killed

        disk.before = before
        with contextlib.suppress(Killed):
            recording.recorder._tick()
        self.assertTrue(disk.dead)
        disk.mend()
        recording.restart()
        recording.connect()
        recording.wait(70)
        self.assert_whole(recording)

    def test_rows_whose_sync_failed_at_a_rotation_are_written_again(self) -> None:
        """The kernel tells of it once, and takes them for synced from then on."""
        for seed in range(5):
            recording = self.rotating(SIZE, Compression.NONE, sync=SyncPolicy.NO).live()
            recording.crash_disk.failing_syncs = 1
            recording.trades(3)
            recording.wait(70)
            self.assertEqual(len(recording.parts), 2)
            recording.crash_disk.power_loss(Random(seed))
            self.assert_whole(recording)

    def test_nothing_is_closed_under_the_thread_that_syncs_it(self) -> None:
        """With a sync for each row the next one would begin as the last one ends: SIGHUP comes in between."""
        thread = SlowThread()
        recording = self.rotating(10**6, sync=SyncPolicy.ALWAYS, in_thread=thread).live()
        recording.trade()
        live = recording.crash_disk.names["/trade.csv"]
        recording.crash_disk.names["/trade-2023-11-14.csv"] = recording.crash_disk.names.pop("/trade.csv")
        recording.recorder.reopen()
        self.assertEqual((len(thread.jobs), recording.parts), (1, ["trade-2023-11-14.csv"]))
        recording.trade(pause=0)
        thread.end_all()
        self.assertEqual(recording.parts, ["trade-2023-11-14.csv.gz", "trade.csv"])
        self.assertIsNot(recording.crash_disk.names["/trade.csv"], live)
        self.assert_whole(recording)

    def test_nothing_is_renamed_under_the_thread_that_syncs_it(self) -> None:
        """A tick that comes before the rows of its turn are written begins a sync: the file is closed after that."""
        thread = SlowThread()
        recording = self.rotating(SIZE, sync=SyncPolicy.ALWAYS, in_thread=thread).live()
        for _ in range(3):
            recording.trade(pause=0)
            thread.end_all()
        self.assertEqual(recording.parts, ["trade.csv"])
        made = recording.exchange.trade()
        recording.tell(made.told)
        recording.recorder._tick()
        self.assertEqual((len(thread.jobs), recording.parts), (1, ["trade.csv"]))
        thread.end_all()
        recording.wait(1)
        thread.end_all()
        self.assertEqual(recording.parts, [f"trade-{FIRST}.csv.gz", "trade.csv"])
        self.assert_whole(recording)
