"""The small files beside trade.csv."""

import errno
import os
from zlib import crc32

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Gap, Mark
from bfxtwist.core.progress import Progress
from bfxtwist.core.recovery import FileId, Saved
from bfxtwist.out.disk import OsDisk
from bfxtwist.out.trade_errors import DiskFailed, Locked, WrongFile
from bfxtwist.out.trade_state import LedgerFile, LockFile, StateFile
from tests.crash_disk import CrashDisk

MARK = Mark(310628121, 1542045947738)
SAVED = Saved(
    "bitfinex", "BTCUSD", FileId(1, 2), 99, 7, Progress(1, MARK, 1, [Gap(MARK, Mark(9, 9), "x", 5, MARK, 1)]), [1, 2, 7]
)


class StateFileTests(SynchronousTestCase):
    """`StateFile`."""

    def setUp(self) -> None:
        self.disk = CrashDisk()
        self.state = StateFile(self.disk, "/trade.csv.state")

    def test_what_was_saved_is_loaded(self) -> None:
        """All of it."""
        self.assertIsNone(self.state.load())
        self.state.save(SAVED)
        self.assertEqual(self.state.load(), SAVED)
        self.assertNotIn("/trade.csv.state.tmp", self.disk.names)

    def test_any_changed_byte_makes_it_useless(self) -> None:
        """It has a checksum; a torn one, or one of another version, is as good as none."""
        self.state.save(SAVED)
        text = self.disk.content("/trade.csv.state")
        for position in range(len(text)):
            self.disk.put("/trade.csv.state", text[:position] + bytes([text[position] ^ 1]) + text[position + 1 :])
            self.assertIsNone(self.state.load())
            self.disk.put("/trade.csv.state", text[:position])
            self.assertIsNone(self.state.load())

    def test_whole_text_that_is_no_state(self) -> None:
        """A checksum alone does not make it one."""
        for body in (b"{}", b"[]", b"null", b"?", b'{"exchange":"bitfinex"}'):
            self.disk.put("/trade.csv.state", b"bfxtwist trade state 1\n%b\n%08x" % (body, crc32(body)))
            self.assertIsNone(self.state.load(), body)

    def test_failed_save_leaves_the_old_one(self) -> None:
        """And the next one does not stumble over what is left."""
        self.state.save(SAVED)
        self.disk.room = 10
        self.assertRaises(OSError, self.state.save, Saved("bitfinex", "ETHUSD", FileId(1, 2), 0, None, Progress(), []))
        self.assertEqual(self.state.load(), SAVED)
        self.disk.mend()
        self.state.save(SAVED)
        self.assertEqual(self.state.load(), SAVED)
        self.assertEqual(self.disk.descriptors, 0)

    def test_state_that_cannot_be_read(self) -> None:
        """Unlike one that is damaged: the disk may be well tomorrow."""
        self.state.save(SAVED)

        def fail(call: str) -> None:
            if call == "read":
                raise OSError(errno.EIO, "no")

        self.disk.before = fail
        self.assertRaises(DiskFailed, self.state.load)
        self.assertEqual(self.disk.descriptors, 0)

    def test_folder_in_its_place(self) -> None:
        """It is refused, like one in the place of the ledger or the lock."""
        folder = self.mktemp()
        os.makedirs(folder)
        disk = OsDisk()
        self.assertRaises(WrongFile, StateFile(disk, folder).load)
        self.assertRaises(WrongFile, LedgerFile(disk, folder).load)
        self.assertRaises(WrongFile, LockFile(disk, folder).acquire)


class LockFileTests(SynchronousTestCase):
    """`LockFile`."""

    def test_one_at_a_time(self) -> None:
        """Until it is released; twice does no harm."""
        disk = CrashDisk()
        first, second = LockFile(disk, "/x.lock"), LockFile(disk, "/x.lock")
        first.acquire()
        self.assertEqual(disk.content("/x.lock"), b"%d\n" % os.getpid())
        self.assertRaises(Locked, second.acquire)
        first.release()
        first.release()
        second.acquire()
        self.assertEqual(disk.descriptors, 1)

    def test_lock_file_replaced_while_it_is_taken(self) -> None:
        """A lock on a file without a name protects nothing: once more, on the one that has it."""
        disk = CrashDisk()
        disk.put("/x.lock", b"old\n")
        calls: list[str] = []

        def replace(call: str) -> None:
            calls.append(call)
            if calls.count("lock") == 1 and call == "lock":
                disk.put("/x.lock", b"longer than a pid\n")

        disk.before = replace
        LockFile(disk, "/x.lock").acquire()
        self.assertEqual(calls.count("lock"), 2)
        self.assertEqual((disk.content("/x.lock"), disk.descriptors), (b"%d\n" % os.getpid(), 1))

    def test_lock_that_cannot_be_taken_at_all(self) -> None:
        """A file system without locks says so."""
        disk = CrashDisk()

        def fail(call: str) -> None:
            if call == "lock":
                raise OSError(errno.ENOLCK, "No locks available")

        disk.before = fail
        self.assertRaises(DiskFailed, LockFile(disk, "/x.lock").acquire)
        self.assertEqual(disk.descriptors, 0)
