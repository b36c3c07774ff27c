"""The one seam between the trade recorder and the file system: every call that can fail, and what is made of several.

Tests put their own disk here, one that fails at the n-th call, or loses what was not synced.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple, Protocol

#: macOS has no fdatasync.
_fdatasync = getattr(os, "fdatasync", os.fsync)

#: And its fsync leaves in the drive's cache what a power loss takes: this is for what must not be lost (man fsync).
_FULL_SYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)

#: What macOS' file systems say that know of no full sync: SMB and NTFS, WebDAV, ZFS (libuv #2135).
_NO_FULL_SYNC = (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY)


class FileFacts(NamedTuple):
    """What stat tells of a file."""

    device: int
    inode: int
    size: int
    regular: bool
    kind: str  # for people: "a directory", "a FIFO"
    names: int  # that lead to it: 0 of an open file that was removed


class Disk(Protocol):
    """Files by descriptor. Every method may raise OSError."""

    def open(self, path: str) -> int:
        """An existing file, for reading and writing."""

    def create(self, path: str, mode: int) -> int:
        """A new file of exactly this mode, whatever the umask. FileExistsError if there is one."""

    def close(self, fd: int) -> None:
        """Give the descriptor back."""

    def read(self, fd: int, offset: int, length: int) -> bytes:
        """Up to `length` bytes; fewer only at the end of the file."""

    def write(self, fd: int, data: bytes, offset: int) -> int:
        """How many bytes were written, perhaps fewer than given."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file."""

    def sync(self, fd: int) -> None:
        """The file's bytes and its size are on disk."""

    def facts(self, fd: int) -> FileFacts:
        """Of an open file."""

    def find(self, path: str) -> FileFacts | None:
        """Of what has this name now, links followed; None if nothing has."""

    def is_link(self, path: str) -> bool:
        """Whether a name is that of a symbolic link, wherever it leads."""

    def rename(self, source: str, target: str) -> None:
        """Give a file another name, in place of what had it."""

    def remove(self, path: str) -> None:
        """Take a name away, if it is there."""

    def make_folder(self, path: str, mode: int) -> None:
        """A folder and its parents, of this mode where they were missing."""

    def list_folder(self, path: str) -> list[str]:
        """The names in a folder, without it."""

    def sync_folder(self, path: str) -> None:
        """The names in a folder are on disk."""

    def lock(self, fd: int) -> bool:
        """Lock an open file for this process; False if another one has it."""


class OsDisk:
    """The real one."""

    def open(self, path: str) -> int:
        # O_NONBLOCK: a FIFO that took the file's place must not block the reactor until someone writes to it.
        return os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)

    def create(self, path: str, mode: int) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        os.fchmod(fd, mode)  # umask differs between twistd -n and the daemon
        return fd

    def close(self, fd: int) -> None:
        os.close(fd)

    def read(self, fd: int, offset: int, length: int) -> bytes:
        return os.pread(fd, length, offset)

    def write(self, fd: int, data: bytes, offset: int) -> int:
        return os.pwrite(fd, data, offset)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        _sync(fd, _fdatasync)

    def facts(self, fd: int) -> FileFacts:
        return _facts(os.fstat(fd))

    def find(self, path: str) -> FileFacts | None:
        try:
            return _facts(os.stat(path))
        except FileNotFoundError:
            return None

    def is_link(self, path: str) -> bool:
        return os.path.islink(path)

    def rename(self, source: str, target: str) -> None:
        os.replace(source, target)

    def remove(self, path: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(path)

    def make_folder(self, path: str, mode: int) -> None:
        missing = []
        while path and not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for folder in reversed(missing):
            os.mkdir(folder, mode)
            os.chmod(folder, mode)

    def list_folder(self, path: str) -> list[str]:
        return os.listdir(path)

    def sync_folder(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _sync(fd, os.fsync)
        finally:
            os.close(fd)

    def lock(self, fd: int) -> bool:
        # flock, not lockf: a lock of the latter kind is lost when any descriptor of the file is closed in this process.
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                return False
            raise
        return True


def _sync(fd: int, usual: Callable[[int], None]) -> None:
    if _FULL_SYNC is not None:
        try:
            fcntl.fcntl(fd, _FULL_SYNC)
            return
        except OSError as error:
            if error.errno not in _NO_FULL_SYNC:
                raise
    usual(fd)


_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _facts(status: os.stat_result) -> FileFacts:
    kind = stat.S_IFMT(status.st_mode)
    described = _KINDS.get(kind, "not a file")
    return FileFacts(status.st_dev, status.st_ino, status.st_size, kind == stat.S_IFREG, described, status.st_nlink)


# --- what takes several calls -------------------------------------------------------------------------------


def replace_file(disk: Disk, path: str, text: bytes, mode: int) -> None:
    """Put a whole new file in the place of an old one, or leave the old one as it is. Raises OSError."""
    temporary = f"{path}.tmp"
    disk.remove(temporary)
    write_new(disk, temporary, text, mode)
    disk.rename(temporary, path)
    disk.sync_folder(os.path.dirname(path))


def write_new(disk: Disk, path: str, text: bytes, mode: int) -> None:
    """A new file with this content, synced, or none. Raises OSError."""
    fd = disk.create(path, mode)
    try:
        write_all(disk, fd, text)
        disk.sync(fd)
    except OSError:
        with suppress(OSError):
            disk.remove(path)
        raise
    finally:
        disk.close(fd)


def read_all(disk: Disk, fd: int, offset: int, length: int) -> bytes:
    """`length` bytes, fewer only at the end of the file: one call may give less."""
    pieces = []
    while length > 0 and (piece := disk.read(fd, offset, length)):
        pieces.append(piece)
        offset += len(piece)
        length -= len(piece)
    return b"".join(pieces)


def write_all(disk: Disk, fd: int, data: bytes, offset: int = 0) -> None:
    """All of `data`, or OSError: where a write is short, the next one tells why."""
    while data:
        written = disk.write(fd, data, offset)
        if not written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        data = data[written:]
        offset += written
