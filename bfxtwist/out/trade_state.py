"""The small files beside trade.csv: its lock, its state, and the ledger of gaps.

State and ledger are replaced whole: written under another name, synced, renamed, and the folder synced. A state that is not
whole all the same, or is of another version, is as good as none: everything is compared with history once more.
"""

import os
from zlib import crc32

import msgspec

from bfxtwist.core.gaps import GapLedger
from bfxtwist.core.recovery import Saved
from bfxtwist.out.disk import Disk, read_all, replace_file, write_all
from bfxtwist.out.trade_errors import DiskFailed, Locked, WrongFile, explained

_PRIVATE = 0o600
_READABLE = 0o640
_VERSION = b"bfxtwist trade state 1\n"


class LockFile:
    """Keeps other processes off a trade file for as long as this one lives.

    The lock is on a file of its own, which is never removed: a lock on a file that someone deleted and made again protects
    nothing. The pid inside is for people only.
    """

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> None:
        """Raises Locked, or another TradeFileError."""
        try:
            while not self._acquired():
                pass
        except OSError as error:
            raise explained(self.path, error) from error

    def _acquired(self) -> bool:
        """Once more if the file was replaced between opening and locking it."""
        disk = self._disk
        found = disk.find(self.path)
        if found is not None and not found.regular:
            raise WrongFile(f"{self.path} is {found.kind}: remove it or name another folder")
        fd = disk.create(self.path, _PRIVATE) if found is None else disk.open(self.path)
        try:
            if not disk.lock(fd):
                pid = disk.read(fd, 0, 20).decode("ascii", "replace").strip() or "unknown"
                raise Locked(f"{self.path} is locked by pid {pid}: stop that process, or name another folder")
            mine, named = disk.facts(fd), disk.find(self.path)
            if named is None or (mine.device, mine.inode) != (named.device, named.inode):
                disk.close(fd)
                return False
            disk.truncate(fd, 0)
            write_all(disk, fd, b"%d\n" % os.getpid())
        except BaseException:
            disk.close(fd)
            raise
        self._fd = fd
        return True

    def release(self) -> None:
        """Let others have it."""
        if self._fd is not None:
            fd, self._fd = self._fd, None
            self._disk.close(fd)


class StateFile:
    """trade.csv.state"""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self.path = path

    def load(self) -> Saved | None:
        """What was saved last, or None if there is nothing that can be used. Raises TradeFileError."""
        text = _load(self._disk, self.path)
        version, _, rest = text.partition(b"\n")
        body, _, check = rest.rpartition(b"\n")
        if version + b"\n" != _VERSION or check != b"%08x" % crc32(body):
            return None
        try:
            return msgspec.json.decode(body, type=Saved)
        except msgspec.MsgspecError:
            return None

    def save(self, saved: Saved) -> None:
        """Make it durable. Raises OSError."""
        body = msgspec.json.encode(saved)
        replace_file(self._disk, self.path, b"%b%b\n%08x" % (_VERSION, body, crc32(body)), _PRIVATE)


class LedgerFile:
    """trade.gaps.csv"""

    def __init__(self, disk: Disk, path: str) -> None:
        self._disk = disk
        self.path = path

    def load(self) -> GapLedger:
        """What was written last. Raises TradeFileError, of a file that is something else too."""
        try:
            return GapLedger(_load(self._disk, self.path))
        except ValueError as error:
            raise WrongFile(f"{self.path}: {error}") from None

    def save(self, text: bytes) -> None:
        """Make it durable. Raises OSError."""
        replace_file(self._disk, self.path, text, _READABLE)


def _load(disk: Disk, path: str) -> bytes:
    """The whole of a small file; nothing if there is none."""
    try:
        found = disk.find(path)
        if found is None:
            return b""
        if not found.regular:
            raise WrongFile(f"{path} is {found.kind}: remove it or name another folder")
        fd = disk.open(path)
        try:
            return read_all(disk, fd, 0, found.size)
        finally:
            disk.close(fd)
    except OSError as error:
        raise DiskFailed(str(explained(path, error))) from error
