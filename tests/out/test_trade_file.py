"""trade.csv on disk: the file that is opened, the rows that are appended, and what is believed to be safe."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from random import Random

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.out.disk import OsDisk
from bfxtwist.out.trade_errors import CannotCreate, DiskFailed, WrongFile
from bfxtwist.out.trade_file import Interfered, TradeFile
from tests.crash_disk import CrashDisk
from tests.out.recording import LAYOUT, arrivals


class Opening(SynchronousTestCase):
    """What was left behind is made whole, or refused and not touched."""

    def setUp(self) -> None:
        self.disk = CrashDisk()
        self.row = LAYOUT.line(arrivals(1)[0])

    def test_a_new_file_is_there_after_a_power_loss(self) -> None:
        """Its name too: rows that are synced later would be lost with it."""
        TradeFile(self.disk, "/trade.csv", LAYOUT).open(None, 0)
        self.disk.power_loss(Random(1))
        self.assertEqual(self.disk.content("/trade.csv"), HEADER)

    def test_what_an_earlier_process_could_not_sync_is_written_again(self) -> None:
        """The page cache shows such rows, takes them for clean, and loses them with the power."""
        for seed in range(10):
            disk = CrashDisk()
            first = TradeFile(disk, "/trade.csv", LAYOUT)
            first.open(None, 0)
            first.append(self.row, 1)
            disk.failing_syncs = 1
            self.assertRaises(OSError, first.sync_job())
            disk.kill()
            file = TradeFile(disk, "/trade.csv", LAYOUT)
            file.open(None, 0)
            self.assertEqual((file.base, file.synced), (len(HEADER + self.row), len(HEADER + self.row)))
            disk.power_loss(Random(seed))
            self.assertEqual(disk.content("/trade.csv"), HEADER + self.row)

    def test_nothing_is_cut_before_its_copy_is_safe(self) -> None:
        self.disk.put("/trade.csv", HEADER + self.row + b"torn")
        calls: list[str] = []
        self.disk.before = calls.append
        TradeFile(self.disk, "/trade.csv", LAYOUT).open(None, 0)
        before = calls[: calls.index("truncate")]
        self.assertEqual(before[-4:], ["write", "sync", "close", "sync_folder"])
        self.assertEqual(self.disk.content("/trade.csv.torn-19700101T000000Z"), b"torn")

    def test_what_is_cut_is_told(self) -> None:
        """An editor may have bent a line in the middle of thousands, and only the first of these stay."""
        self.disk.put("/trade.csv", HEADER + self.row + b"bent\n" + LAYOUT.line(arrivals(2)[0]))
        with capturedLogs() as events:
            TradeFile(self.disk, "/trade.csv", LAYOUT).open(None, 0)
        cut = len(b"bent\n" + self.row)
        text = f"/trade.csv: {cut} bytes behind its last whole row are cut off, and kept in trade.csv.torn-19700101T000000Z"
        self.assertEqual([formatEvent(event) for event in events], [text])

    def test_whatever_fails_is_told_and_gives_the_descriptor_back(self) -> None:
        """Each start anew would use up one more."""
        calls: list[str] = []
        self.disk.put("/trade.csv", HEADER + self.row + b"torn")
        self.disk.before = calls.append
        TradeFile(self.disk, "/trade.csv", LAYOUT).open(None, 0)
        for number, name in enumerate(calls):
            if name == "close":  # what fails to close is closed (man 2 close)
                continue
            disk = CrashDisk()
            disk.put("/trade.csv", HEADER + self.row + b"torn")
            disk.before = _failing_from(number)
            error = self.assertRaises(DiskFailed, TradeFile(disk, "/trade.csv", LAYOUT).open, None, 0)
            self.assertEqual(str(error), "/trade.csv: Input/output error: see to the disk", name)
            self.assertEqual(disk.descriptors, 0, name)

    def test_what_is_refused_is_not_changed(self) -> None:
        for content, text in (
            (b"date,price\n", "/trade.csv: its first line is not the header of a trade file: name another folder, or move"),
            (HEADER + Layout("tETHUSD").line(arrivals(1)[0]), "records ETHUSD of bitfinex: name another folder"),
        ):
            self.disk.put("/trade.csv", content)
            error = self.assertRaises(WrongFile, TradeFile(self.disk, "/trade.csv", LAYOUT).open, None, 0)
            self.assertIn(text, str(error))
            self.assertEqual((self.disk.content("/trade.csv"), self.disk.descriptors), (content, 0))

    def test_what_is_no_file_names_its_fix(self) -> None:
        path = Path(self.mktemp())
        for make, fix in (
            (path.mkdir, "is a directory: move it away or name another folder"),
            (lambda: path.symlink_to("gone.csv"), "leads nowhere: remove it, or bring back its file"),
        ):
            make()
            error = self.assertRaises(WrongFile, TradeFile(OsDisk(), str(path), LAYOUT).open, None, 0)
            self.assertTrue(str(error).endswith(fix), error)
            path.unlink() if path.is_symlink() else path.rmdir()

    def test_what_takes_the_name_between_two_looks_is_no_file_either(self) -> None:
        path = Path(self.mktemp())
        path.touch()
        disk = OsDisk()
        found = disk.find(str(path))
        path.unlink()
        os.mkfifo(path)
        self.patch(disk, "find", lambda _path: found)
        self.assertIn("is a FIFO", str(self.assertRaises(WrongFile, TradeFile(disk, str(path), LAYOUT).open, None, 0)))


def _failing_from(number: int) -> Callable[[str], None]:
    """Each call fails from the one with this number on, the first one's being 0."""
    left = iter(range(number, -1, -1))

    def before(name: str) -> None:
        if next(left, 0) == 0 and name != "close":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    return before


class Appending(SynchronousTestCase):
    """What is appended, and what is known of it."""

    def setUp(self) -> None:
        self.disk = CrashDisk()
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
        self.file.open(None, 1_700_000_000_000_000)
        self.row = LAYOUT.line(arrivals(1)[0])

    def test_closed_file_takes_nothing(self) -> None:
        """It says that it is shut."""
        self.file.close()
        self.file.close()
        self.assertEqual(self.assertRaises(OSError, self.file.append, self.row, 1).errno, errno.EBADF)

    def test_changed_file_takes_nothing(self) -> None:
        """Whoever wrote to it, a row after that would hide it."""
        self.disk.names["/trade.csv"].change(self.file.base, b"x")
        self.assertRaises(Interfered, self.file.append, self.row, 1)

    def test_file_that_was_cut_takes_nothing(self) -> None:
        """The row would follow a hole of zeros."""
        self.disk.names["/trade.csv"].change(5, None)
        self.assertRaises(Interfered, self.file.append, self.row, 1)
        self.assertEqual((self.file.base, self.file.last_id), (len(HEADER), None))
        self.assertEqual(self.disk.content("/trade.csv"), HEADER[:5])

    def test_sync_that_succeeds_after_another_failed_proves_nothing(self) -> None:
        """The kernel tells of a failure once: the other one may have been told."""
        self.file.append(self.row, 1)
        mark, failures = self.file.base, self.file.sync_failures
        self.file.sync_failed()
        self.file.synced_to(mark, failures)
        self.assertLess(self.file.synced, mark)
        self.file.sync_job()()
        self.file.synced_to(mark, self.file.sync_failures)
        self.assertEqual(self.file.synced, mark)

    def test_barrier_that_cannot_sync(self) -> None:
        """Nothing is written, and what is not synced is under suspicion."""
        self.disk.room = 10
        self.assertRaises(OSError, self.file.append, self.row, 1)
        self.file.forget()
        self.disk.mend()
        self.disk.failing_syncs = 1
        self.assertRaises(OSError, self.file.append, self.row, 1)
        self.assertEqual((self.file.sync_failures, self.disk.content("/trade.csv")), (1, HEADER))
        self.file.append(self.row, 1)
        self.assertEqual(self.disk.content("/trade.csv"), HEADER + self.row)

    def test_torn_write_that_cannot_be_cut(self) -> None:
        """The next try writes over it."""
        self.disk.room = 10
        whole = self.disk.truncate

        def fail(fd: int, size: int) -> None:
            raise OSError(errno.EIO, "no")

        self.disk.truncate = fail  # type: ignore[method-assign]
        self.assertRaises(OSError, self.file.append, self.row, 1)
        self.assertEqual(len(self.disk.content("/trade.csv")), len(HEADER) + 10)
        self.assertIsNone(self.file.interference())
        self.disk.truncate = whole  # type: ignore[method-assign]
        self.disk.mend()
        self.file.append(self.row, 1)
        self.assertEqual(self.disk.content("/trade.csv"), HEADER + self.row)

    def test_the_next_file_gets_no_rows_of_the_last_one(self) -> None:
        """Also when a sync of each has failed, and rows are written again."""
        self.file.append(self.row, 1)
        self.file.sync_failed()
        del self.disk.names["/trade.csv"]
        self.file.open(None, 0)
        self.assertEqual((self.file.last_id, self.file.sync_failures), (None, 0))
        row = LAYOUT.line(arrivals(2)[0])
        self.file.append(row, 2)
        self.file.sync_failed()
        self.file.sync_job()()
        self.assertEqual(self.disk.content("/trade.csv"), HEADER + row)

    def test_the_last_row_is_known_after_a_start(self) -> None:
        """The state that is saved next is of that row, whether or not others come before."""
        for trade_id in (1, 2):
            self.file.append(LAYOUT.line(arrivals(trade_id)[0]), trade_id)
            self.file.open(None, 0)
            self.assertEqual(self.file.last_id, trade_id)

    def test_shorter_rows_after_a_torn_write_that_could_not_be_cut(self) -> None:
        """Nothing of it is left behind them, and rows after that are not synced one by one."""
        def fail(fd: int, size: int) -> None:
            raise OSError(errno.EIO, "no")

        for given_up in (False, True):
            self.setUp()
            self.disk.room = len(self.row) + 10
            whole, self.disk.truncate = self.disk.truncate, fail  # type: ignore[method-assign]
            self.assertRaises(OSError, self.file.append, self.row + self.row, 2)
            self.disk.truncate = whole  # type: ignore[method-assign]
            self.disk.mend()
            if given_up:
                self.file.forget()
            calls: list[str] = []
            self.disk.before = calls.append
            self.file.append(self.row, 1)
            self.assertEqual(self.disk.content("/trade.csv"), HEADER + self.row)
            self.file.append(self.row, 1)
            self.assertEqual(calls.count("sync"), 1)

    def test_rows_that_came_during_a_sync_are_written_again_if_the_next_one_fails(self) -> None:
        """They are on disk then, and only then is the failure forgotten."""
        later = LAYOUT.line(arrivals(2)[0])
        self.file.append(self.row, 1)
        mark, job = self.file.base, self.file.sync_job()
        job()
        self.file.append(later, 2)
        self.file.synced_to(mark, 0)
        self.disk.failing_syncs = 1
        self.assertRaises(OSError, self.file.sync_job())
        self.file.sync_failed()
        self.file.sync_job()()
        self.file.synced_to(self.file.base, 1)
        self.assertEqual(self.file.sync_failures, 0)
        calls: list[str] = []
        self.disk.before = calls.append
        self.file.append(LAYOUT.line(arrivals(3)[0]), 3)
        self.file.sync_job()()
        self.assertEqual(calls.count("write"), 1)
        self.disk.power_loss(Random(1))
        self.assertTrue(self.disk.content("/trade.csv").startswith(HEADER + self.row + later))

    def test_no_more_is_written_than_could_be_written_again(self) -> None:
        """What is not synced is kept in memory: so much of it, or one portion."""
        self.file.close()
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT, limit=len(self.row) * 2 - 1)
        self.file.open(None, 0)
        self.file.append(self.row, 1)
        self.assertEqual(self.assertRaises(OSError, self.file.append, self.row, 2).errno, errno.EAGAIN)
        self.file.sync_job()()
        self.file.synced_to(self.file.base, 0)
        self.file.append(self.row * 2, 2)

    def test_readers_see_no_half_of_a_row_that_found_no_room(self) -> None:
        before = self.disk.content("/trade.csv")
        self.disk.room = 5
        self.assertRaises(OSError, self.file.append, self.row, 1)
        self.assertEqual(self.disk.content("/trade.csv"), before)

    def test_torn_tails_of_one_second_are_all_kept(self) -> None:
        """Under names of their own."""
        for _ in range(3):
            self.disk.names["/trade.csv"].change(self.file.base, b"torn")
            self.file.close()
            self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
            self.file.open(None, 1_700_000_000_000_000)
        torn = sorted(name for name in self.disk.names if ".torn-" in name)
        self.assertEqual([name.removeprefix("/trade.csv.torn-20231114T221320Z") for name in torn], ["", "-2", "-3"])
        self.assertEqual({self.disk.content(name) for name in torn}, {b"torn"})

    def test_a_copy_for_which_there_is_no_room_is_not_left_half_written(self) -> None:
        """Each start anew would leave one more, in the room that was made for the rows."""
        self.disk.names["/trade.csv"].change(self.file.base, b"torn")
        self.disk.room = 2
        before = set(self.disk.names)
        self.file.close()
        self.assertRaises(CannotCreate, TradeFile(self.disk, "/trade.csv", LAYOUT).open, None, 0)
        self.assertEqual(set(self.disk.names), before)
        self.assertTrue(self.disk.content("/trade.csv").endswith(b"torn"))


class WhatOthersDo(SynchronousTestCase):
    """`interference`, asked now and then: no row may go to a file that nobody will find."""

    def setUp(self) -> None:
        self.disk = CrashDisk()
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
        self.file.open(None, 0)
        self.file.append(LAYOUT.line(arrivals(1)[0]), 1)

    def test_nothing(self) -> None:
        self.assertIsNone(self.file.interference())

    def test_it_was_renamed(self) -> None:
        self.disk.rename("/trade.csv", "/trade.csv.1")
        self.assertEqual(self.file.interference(), "it was renamed or removed")

    def test_another_took_its_name(self) -> None:
        self.disk.put("/trade.csv", self.disk.content("/trade.csv"))
        self.assertEqual(self.file.interference(), "another file took its name")

    def test_it_was_cut(self) -> None:
        self.disk.names["/trade.csv"].change(7, None)
        self.assertEqual(self.file.interference(), "it was cut to 7 bytes")

    def test_it_was_written_to(self) -> None:
        self.disk.names["/trade.csv"].change(self.file.base, b"# a note\n")
        self.assertEqual(self.file.interference(), "9 bytes were added by someone else")

    def test_it_is_closed(self) -> None:
        self.file.close()
        self.assertEqual((self.file.is_open, self.disk.descriptors), (False, 0))
        self.assertEqual(self.assertRaises(OSError, self.file.interference).errno, errno.EBADF)
