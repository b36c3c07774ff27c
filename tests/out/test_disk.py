"""The calls to the file system, and what takes several of them."""

import errno
import fcntl
import os

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out import disk as disk_module
from bfxtwist.out.disk import OsDisk, read_all, write_all
from tests.crash_disk import CrashDisk


class DiskTests(SynchronousTestCase):
    """`OsDisk`, where files do not show it, and what is made of several calls."""

    def test_short_reads_and_writes_go_on(self) -> None:
        """One call may do less than it was asked for."""

        class Halting(CrashDisk):
            def read(self, fd: int, offset: int, length: int) -> bytes:
                return super().read(fd, offset, min(length, 3))

            def write(self, fd: int, data: bytes, offset: int) -> int:
                return super().write(fd, data[:2], offset)

        disk = Halting()
        fd = disk.create("/x", 0o600)
        write_all(disk, fd, b"0123456789")
        self.assertEqual(read_all(disk, fd, 2, 100), b"23456789")

    def test_write_of_nothing_is_a_full_disk(self) -> None:
        """It would go on for ever."""

        class Full(CrashDisk):
            def write(self, fd: int, data: bytes, offset: int) -> int:
                return 0

        disk = Full()
        fd = disk.create("/x", 0o600)
        self.assertEqual(self.assertRaises(OSError, write_all, disk, fd, b"1").errno, errno.ENOSPC)

    def test_removing_what_is_not_there(self) -> None:
        """Nothing happens; nothing is found."""
        path = os.path.join(self.mktemp(), "x")
        OsDisk().remove(path)
        self.assertIsNone(OsDisk().find(path))

    def test_lock_errors_other_than_being_locked(self) -> None:
        """A descriptor that is none."""
        self.assertRaises(OSError, OsDisk().lock, 10**6)


class FullSyncTests(SynchronousTestCase):
    """As on macOS, where a drive's cache does not survive a power loss that follows an fsync."""

    def setUp(self) -> None:
        self.called: list[str] = []
        self.error: OSError | None = None
        self.patch(disk_module, "_FULL_SYNC", 51)
        self.patch(disk_module, "_fdatasync", lambda fd: self.called.append("fsync"))
        self.patch(fcntl, "fcntl", self._full_sync)

    def _full_sync(self, fd: int, command: int) -> None:
        self.called.append("full sync")
        if self.error:
            raise self.error

    def test_it_takes_the_place_of_fsync(self) -> None:
        OsDisk().sync(3)
        self.assertEqual(self.called, ["full sync"])

    def test_a_file_system_without_it(self) -> None:
        self.error = OSError(errno.ENOTSUP, "Operation not supported")
        OsDisk().sync(3)
        self.assertEqual(self.called, ["full sync", "fsync"])

    def test_a_disk_that_fails_is_not_asked_again(self) -> None:
        """An fsync after one that failed may succeed though the bytes are lost."""
        self.error = OSError(errno.EIO, "Input/output error")
        self.assertRaises(OSError, OsDisk().sync, 3)
        self.assertEqual(self.called, ["full sync"])
