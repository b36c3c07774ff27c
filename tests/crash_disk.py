"""A disk in memory that does what disks do at their worst: it is full, writes short, fails, forgets what was not synced.

A file has what the page cache shows and what is on the platter, and between them the list of changes that were not synced. A
power loss keeps any part of that list: a prefix, a selection, blocks of one write with holes of zeros. A failed sync takes
the list away and leaves the cache as it is, which is what Linux does.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from bfxtwist.out.disk import FileFacts

#: Power loss tears writes at these borders.
_BLOCK = 32


class Killed(BaseException):
    """The process ends here. What catches this all the same will not reach the disk any more."""


@dataclass
class _File:
    inode: int
    cache: bytearray = field(default_factory=bytearray)
    platter: bytearray = field(default_factory=bytearray)
    unsynced: list[tuple[int, bytes | None]] = field(default_factory=list)  # (offset, data), or (size, None): cut

    def change(self, offset: int, data: bytes | None) -> None:
        _apply(self.cache, offset, data)
        self.unsynced.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.unsynced:
            _apply(self.platter, offset, data)
        self.unsynced.clear()


def _apply(content: bytearray, offset: int, data: bytes | None) -> None:
    if data is None:
        del content[offset:]
        content.extend(bytes(max(offset - len(content), 0)))
        return
    content.extend(bytes(max(offset - len(content), 0)))
    content[offset : offset + len(data)] = data


class CrashDisk:
    """Satisfies `out.disk.Disk`. Paths are plain names; the one folder is always there."""

    def __init__(self) -> None:
        self.names: dict[str, _File] = {}
        self.room: int | None = None  # bytes that may still be written
        self.failing_syncs = 0
        self.failing_writes = 0
        self.failing_renames = 0
        self.kill_in: int | None = None  # the write that reaches so many bytes from now on ends the process there
        self.before: Callable[[str], None] = lambda call: None  # hears of every call, and may raise
        self.failures = 0  # that were asked for
        self.dead = False  # the process has been killed, and does not know it
        self._platter_names: dict[str, _File] = {}
        self._unsynced_names: list[tuple[str, _File | None]] = []
        self._open: dict[int, _File] = {}
        self._locked: dict[int, _File] = {}
        self._numbers = iter(range(3, 10**9))

    def _failure(self, number: int) -> OSError:
        self.failures += 1
        return _error(number)

    # --- what a process sees ------------------------------------------------------------------------------

    def _call(self, name: str) -> None:
        if self.dead:
            raise Killed
        self.before(name)

    def open(self, path: str) -> int:
        self._call("open")
        if path not in self.names:
            raise _error(errno.ENOENT)
        return self._descriptor(self.names[path])

    def create(self, path: str, mode: int) -> int:
        self._call("create")
        if path in self.names:
            raise _error(errno.EEXIST)
        if self.room is not None and self.room <= 0:
            raise self._failure(errno.ENOSPC)
        file = _File(next(self._numbers))
        self._name(path, file)
        return self._descriptor(file)

    def _descriptor(self, file: _File) -> int:
        fd = next(self._numbers)
        self._open[fd] = file
        return fd

    def close(self, fd: int) -> None:
        self._call("close")
        self._locked.pop(fd, None)
        del self._open[fd]

    def read(self, fd: int, offset: int, length: int) -> bytes:
        self._call("read")
        return bytes(self._open[fd].cache[offset : offset + length])

    def write(self, fd: int, data: bytes, offset: int) -> int:
        self._call("write")
        file = self._open[fd]
        if self.failing_writes:
            self.failing_writes -= 1
            raise self._failure(errno.EIO)
        length = len(data)
        if self.kill_in is not None:
            if self.kill_in < length:
                file.change(offset, data[: self.kill_in])
                self.dead = True
                raise Killed
            self.kill_in -= length
        if self.room is not None:
            grows = max(offset + length - max(len(file.cache), offset), 0)
            length -= max(grows - self.room, 0)
            self.room -= min(grows, self.room)
            if length <= 0:
                raise self._failure(errno.ENOSPC)
            self.failures += length < len(data)
        file.change(offset, bytes(data[:length]))
        return length

    def truncate(self, fd: int, size: int) -> None:
        self._call("truncate")
        self._open[fd].change(size, None)

    def sync(self, fd: int) -> None:
        self._call("sync")
        file = self._open[fd]
        if self.failing_syncs:
            self.failing_syncs -= 1
            file.unsynced.clear()  # the cache stays, and is taken for clean
            raise self._failure(errno.EIO)
        file.sync()

    def facts(self, fd: int) -> FileFacts:
        self._call("facts")
        return self._facts(self._open[fd])

    def find(self, path: str) -> FileFacts | None:
        self._call("find")
        if path == "/":
            return FileFacts(1, 1, 0, False, "a directory", 1)
        return self._facts(self.names[path]) if path in self.names else None

    def _facts(self, file: _File) -> FileFacts:
        names = sum(named is file for named in self.names.values())
        return FileFacts(1, file.inode, len(file.cache), True, "a file", names)

    def is_link(self, path: str) -> bool:
        self._call("is_link")
        return False

    def rename(self, source: str, target: str) -> None:
        self._call("rename")
        if self.failing_renames:
            self.failing_renames -= 1
            raise self._failure(errno.EIO)
        file = self.names[source]
        self._name(target, file)
        self._name(source, None)

    def remove(self, path: str) -> None:
        self._call("remove")
        if path in self.names:
            self._name(path, None)

    def make_folder(self, path: str, mode: int) -> None:
        self._call("make_folder")

    def list_folder(self, path: str) -> list[str]:
        self._call("list_folder")
        return [name.removeprefix("/") for name in self.names]

    def sync_folder(self, path: str) -> None:
        self._call("sync_folder")
        if self.failing_syncs:
            self.failing_syncs -= 1
            raise self._failure(errno.EIO)
        self._platter_names = dict(self.names)
        self._unsynced_names.clear()

    def lock(self, fd: int) -> bool:
        self._call("lock")
        if self._open[fd] in [file for other, file in self._locked.items() if other != fd]:
            return False
        self._locked[fd] = self._open[fd]
        return True

    def _name(self, path: str, file: _File | None) -> None:
        _rename(self.names, path, file)
        self._unsynced_names.append((path, file))

    # --- what happens to it -------------------------------------------------------------------------------

    def content(self, path: str) -> bytes:
        """What a reader sees now."""
        return bytes(self.names[path].cache) if path in self.names else b""

    def put(self, path: str, content: bytes) -> None:
        """A file that someone else has made, synced."""
        file = _File(next(self._numbers), bytearray(content), bytearray(content))
        self.names[path] = self._platter_names[path] = file

    @property
    def descriptors(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def keeps_all_names(self) -> bool:
        """Whether a power loss now would take back none that was given, changed or removed."""
        return not self._unsynced_names

    def mend(self) -> None:
        """Room enough, and nothing fails any more."""
        self.room = self.kill_in = None
        self.failing_syncs = self.failing_writes = self.failing_renames = 0
        self.before = lambda call: None

    def kill(self) -> None:
        """The process is gone; what it wrote stays in the cache."""
        self._open.clear()
        self._locked.clear()
        self.kill_in = None
        self.dead = False

    def power_loss(self, random: Random) -> None:
        """What was not synced is there, or is not, or partly."""
        self.kill()
        for path, file in self._unsynced_names[: random.randint(0, len(self._unsynced_names))]:
            _rename(self._platter_names, path, file)
        self._unsynced_names.clear()
        self.names = dict(self._platter_names)
        for lost in {id(file): file for file in self.names.values()}.values():
            for offset, data in _survivors(lost.unsynced, random):
                _apply(lost.platter, offset, data)
            lost.unsynced.clear()
            lost.cache = bytearray(lost.platter)


def _rename(names: dict[str, _File], path: str, file: _File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file


def _survivors(changes: list[tuple[int, bytes | None]], random: Random) -> list[tuple[int, bytes | None]]:
    kind = random.choice(["none", "prefix", "selection", "torn", "all"])
    if kind == "none":
        return []
    if kind == "all":
        return changes
    if kind == "prefix":
        return changes[: random.randint(0, len(changes))]
    if kind == "selection":
        return [change for change in changes if random.random() < 0.5]
    torn: list[tuple[int, bytes | None]] = []
    for offset, data in changes:
        if data is None:
            torn.extend([(offset, None)] * random.randint(0, 1))
            continue
        for start in range(0, len(data), _BLOCK):
            if random.random() < 0.6:
                torn.append((offset + start, data[start : start + _BLOCK]))
    return torn


def _error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
