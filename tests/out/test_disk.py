"""The calls to the file system, and what takes several of them."""

import errno
import fcntl
import os

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.out import disk as disk_module
from bfxtwist.out.disk import OsDisk, read_all, replace_file, write_all
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

    def test_names_and_what_they_name_are_synced(self) -> None:
        """What a power loss shows, and no test on a disk in memory: that it is the kernel that is asked, and for what."""
        synced: list[int] = []
        for module, name in ((os, "fsync"), (disk_module, "_fdatasync")):
            self.patch(module, name, lambda fd: synced.append(os.fstat(fd).st_ino))
        self.patch(disk_module, "_FULL_SYNC", None)
        folder = self.mktemp()
        os.mkdir(folder)
        path = os.path.join(folder, "x")
        replace_file(OsDisk(), path, b"1", 0o600)
        self.assertEqual(synced, [os.stat(path).st_ino, os.stat(folder).st_ino])

    def test_half_a_file_that_a_kill_has_left_is_in_nobody_s_way(self) -> None:
        """Else no state would ever be saved again."""
        disk = CrashDisk()
        disk.put("/x.tmp", b"hal")
        replace_file(disk, "/x", b"whole", 0o600)
        self.assertEqual((list(disk.names), disk.content("/x")), (["/x"], b"whole"))

    def test_a_file_that_cannot_be_made_leaves_nothing(self) -> None:
        """Neither half of it, which takes room on a disk that is full, nor the old one's end."""
        disk = CrashDisk()
        disk.put("/x", b"old")
        disk.room = 2
        self.assertRaises(OSError, replace_file, disk, "/x", b"whole", 0o600)
        self.assertEqual((list(disk.names), disk.content("/x"), disk.descriptors), (["/x"], b"old", 0))

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
