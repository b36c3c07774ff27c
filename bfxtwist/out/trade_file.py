"""trade.csv on disk: whole rows appended at a known end, and nothing believed to be there that has not been synced.

    header | rows that are synced | rows that are written | (torn: a failed write's)
                                  ^ synced                ^ base

There is one writer, and each write goes to `base`, which moves only when all of it was written: a retry writes the same
bytes to the same place. Different bytes are never put where old ones may still be on disk, or a power loss could join the
head of an old torn row to the tail of a new one. The rows above `synced` are kept in memory: once fdatasync has failed, the
kernel takes their pages for clean, and only writing them again makes another fdatasync mean anything (the lesson of
PostgreSQL's fsync failures in 2018). This module is plain calls; `trade_csv.py` knows about time.
"""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from twisted.logger import Logger

from bfxtwist.core.limits import LIMITS
from bfxtwist.core.recovery import CannotContinue, FileId, Plan, Saved, plan, row_before
from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.out.disk import Disk, FileFacts, read_all, write_all, write_new
from bfxtwist.out.trade_errors import Locked, WrongFile, explained

_log = Logger()

_MODE = 0o640


class Interfered(OSError):
    """Someone else has changed the file."""


class TradeFile:
    """One trade.csv, open for appending after `open`."""

    def __init__(self, disk: Disk, path: str, layout: Layout, limit: int = LIMITS.unsynced) -> None:
        self.path = path
        self.base = 0
        self.synced = 0
        self.last_id: int | None = None  # of the row that ends at `base`
        self.file: FileId | None = None
        self.sync_failures = 0  # in a row
        self._disk = disk
        self._layout = layout
        self._limit = limit
        self._fd: int | None = None
        self._ring = bytearray()  # the bytes from `synced` to `base`
        self._reach = 0  # where a failed write may have ended
        self._barrier = False  # other bytes than the next ones may be on disk above `base`
        self._suspect = False  # a sync has failed: the ring must be written again before the next
        self._named = False  # the file system counts the names of files, which some in user space do not

    # --- opening ------------------------------------------------------------------------------------------

    def open(self, saved: Saved | None, wall: int) -> Plan:
        """Make the file, or recover it: nothing is written before its end is certain and synced. `wall` is in µs.

        Raises TradeFileError; a file that is refused has not been changed.
        """
        self.close()
        try:
            fd = self._descriptor()
            try:
                self._lock(fd)
                found = self._recover(fd, saved, wall)
            except BaseException:
                self._disk.close(fd)
                raise
        except OSError as error:
            raise explained(self.path, error) from error
        self._fd = fd
        return found

    def _descriptor(self) -> int:
        found = self._disk.find(self.path)
        if found is None:
            if self._disk.is_link(self.path):
                raise WrongFile(f"{self.path} is a symbolic link that leads nowhere: remove it, or bring back its file")
            return self._disk.create(self.path, _MODE)
        self._check_kind(found)
        return self._disk.open(self.path)

    def _lock(self, fd: int) -> None:
        """The lock beside the file does not keep off who came after that was removed, or by a link in another folder."""
        if not self._disk.lock(fd):
            raise Locked(f"{self.path} is locked by another process: stop that process, or name another folder")

    def _check_kind(self, found: FileFacts) -> None:
        if not found.regular:
            raise WrongFile(f"{self.path} is {found.kind}: move it away or name another folder")

    def _recover(self, fd: int, saved: Saved | None, wall: int) -> Plan:
        disk = self._disk
        facts = disk.facts(fd)
        self._check_kind(facts)
        file = FileId(facts.device, facts.inode)
        read = partial(read_all, disk, fd)
        try:
            found = plan(self._layout, read, facts.size, file, saved)
        except CannotContinue as error:
            raise WrongFile(f"{self.path}: {error.reason}: {error.fix}") from None
        end = self._mend(fd, found, facts.size, wall)
        self.file, self.base, self.synced, self._reach = file, end, end, end
        self._ring.clear()
        self._barrier = self._suspect = False
        self._named = facts.names > 0
        self.sync_failures = 0
        last = row_before(self._layout, read, end)
        self.last_id = None if last is None else last.id
        return found

    def _mend(self, fd: int, found: Plan, size: int, wall: int) -> int:
        """Have the file end where it should, and that on disk. Where that is."""
        disk, end = self._disk, found.keep
        if size > end:
            if end:
                self._keep_aside(read_all(disk, fd, end, size - end), wall)
            disk.truncate(fd, end)
        if end == 0:
            write_all(disk, fd, HEADER, 0)
            end = len(HEADER)
        else:
            # The page cache may show bytes as clean that an earlier process failed to sync: write them once more.
            again = read_all(disk, fd, found.rewrite_from, end - found.rewrite_from)
            write_all(disk, fd, again, found.rewrite_from)
        disk.sync(fd)
        disk.sync_folder(os.path.dirname(self.path))
        return end

    def _keep_aside(self, torn: bytes, wall: int) -> None:
        """Nothing is cut without a copy."""
        name = f"{self.path}.torn-{datetime.fromtimestamp(wall // 1_000_000, UTC):%Y%m%dT%H%M%SZ}"
        path, number = name, 1
        while self._disk.find(path) is not None:
            number += 1
            path = f"{name}-{number}"
        write_new(self._disk, path, torn, _MODE)
        self._disk.sync_folder(os.path.dirname(path))
        text = "{path}: {count} bytes behind its last whole row are cut off, and kept in {aside}"
        _log.warn(text, path=self.path, count=len(torn), aside=os.path.basename(path))

    def close(self) -> None:
        """Give the file back, as it is."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._disk.close(fd)

    # --- appending ----------------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether rows can be appended."""
        return self._fd is not None

    @property
    def _open_fd(self) -> int:
        if self._fd is None:
            raise OSError(errno.EBADF, "the trade file is not open")
        return self._fd

    def append(self, lines: bytes, last_id: int) -> None:
        """Whole rows at the end, or an OSError and the end where it was: then try again with the same rows, or `forget`."""
        fd = self._open_fd
        if self._ring and len(self._ring) + len(lines) > self._limit:
            raise OSError(errno.EAGAIN, "too much is written and not yet synced")
        facts = self._disk.facts(fd)
        if self._named and not facts.names:
            raise Interfered(errno.EBUSY, "it was removed")
        size = facts.size
        if not self.base <= size <= self._reach:
            raise Interfered(errno.EBUSY, f"{size} bytes long where {self.base} were written: someone else has changed it")
        if self._barrier or size > self.base + len(lines):
            self._clear_torn(fd)
        self._reach = max(self._reach, self.base + len(lines))
        try:
            write_all(self._disk, fd, lines, self.base)
        except OSError:
            self._cut_torn(fd)
            raise
        self.base += len(lines)
        self._reach = self.base
        self._ring += lines
        self.last_id = last_id

    def forget(self) -> None:
        """The rows of a failed append will not be tried again: the next ones are others."""
        self._barrier = True

    def _clear_torn(self, fd: int) -> None:
        self._disk.truncate(fd, self.base)
        try:
            self._disk.sync(fd)
        except OSError:
            self.sync_failed()
            raise
        self._reach = self.base
        self._barrier = False

    def _cut_torn(self, fd: int) -> None:
        """A courtesy to readers. If it fails too, recovery or the next write will see to it."""
        try:
            self._disk.truncate(fd, self.base)
        except OSError:
            return

    # --- syncing ------------------------------------------------------------------------------------------

    @property
    def crowded(self) -> bool:
        """Whether so much is not synced that it should wait no longer: beyond twice as much nothing is written."""
        return 2 * len(self._ring) > self._limit

    def sync_job(self) -> Callable[[], None]:
        """What makes everything up to the present `base` durable: blocks, so call it in a thread. Raises OSError.

        Follow it by `synced_to` or `sync_failed`. Appending goes on meanwhile, `open` and `close` must not.
        """
        fd, disk, start = self._open_fd, self._disk, self.synced
        again = bytes(self._ring) if self._suspect else b""

        def job() -> None:
            if again:
                write_all(disk, fd, again, start)
            disk.sync(fd)

        return job

    def synced_to(self, mark: int, failures_before: int) -> None:
        """A job that began when `base` was `mark` has succeeded, and nothing has failed since."""
        if self.sync_failures != failures_before:
            return  # another sync was told of a failure that may concern the same bytes
        del self._ring[: mark - self.synced]
        self.synced = mark
        self.sync_failures = 0
        self._suspect = False

    def sync_failed(self) -> None:
        """What is not synced may never become so by itself."""
        self.sync_failures += 1
        self._suspect = True

    # --- what others do to it -----------------------------------------------------------------------------

    def is_removed(self) -> bool:
        """Whether the open file has no name any more, so that nobody will ever read it. Raises OSError."""
        return self._named and not self._disk.facts(self._open_fd).names

    def interference(self) -> str | None:
        """What someone else has done to the file, if anything. Raises OSError."""
        facts, named = self._disk.facts(self._open_fd), self._disk.find(self.path)
        if named is None:
            return "it was renamed or removed"
        if (named.device, named.inode) != (facts.device, facts.inode):
            return "another file took its name"
        if facts.size < self.base:
            return f"it was cut to {facts.size} bytes"
        if facts.size > self._reach:
            return f"{facts.size - self._reach} bytes were added by someone else"
        return None
