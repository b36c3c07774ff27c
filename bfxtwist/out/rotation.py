"""Rotation: trade.csv is closed at the end of a UTC day, or when it has grown long, and the closed part is compressed.

    trade-2026-11-21.csv.gz  trade-2026-11-22.csv.gz  trade-2026-11-22-2.csv.gz  trade.csv     oldest first

The recorder does here what it does when somebody else renames its file, in an order that a kill or a power loss may cut
anywhere:

    rows and state synced → trade.csv renamed → folder synced → a new trade.csv, its state saved → rows     (in the reactor)
    part compressed under another name, synced → named, folder synced → compared → plain one removed            (in a thread)

Up to the rename the file is continued at the next start; after it a new one is begun, and the state knows what the part
holds. A part is there plain until the compressed one has been read back; what is left half done, the next start finishes.
Names grow: a part is never named before one that is there, whatever the clock does.
"""

import os
import re
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from enum import Enum
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from bfxtwist.core.moment import Moment
from bfxtwist.core.recovery import FileId
from bfxtwist.core.trade_rows import HEADER, LONGEST_LINE
from bfxtwist.files.trade_file import zstandard
from bfxtwist.out.disk import Disk, OsDisk, write_all
from bfxtwist.out.in_thread import InThread
from bfxtwist.out.trade_errors import WrongFile

_log = Logger()

#: As trade.csv itself.
_MODE = 0o640

#: zlib's code for gzip's header and trailer.
_GZIP = 31

_PIECE = 1 << 20

#: Seconds from a rotation that the disk refused to the next attempt.
_TRY_AGAIN = 60.0

_NAME = re.compile(r"trade-(?P<day>\d{4}-\d\d-\d\d)(?:-(?P<number>\d+))?\.csv(?P<packed>\.gz|\.zst)?(?P<half>\.tmp)?")


class Compression(Enum):
    """What becomes of a closed part."""

    GZIP = "gz"
    ZSTANDARD = "zst"
    NONE = "none"

    def compressor(self) -> Any:
        """An object with `compress` and `flush`. Raises MissingDecompressor where there is no zstd."""
        if self is Compression.GZIP:
            return zlib.compressobj(wbits=_GZIP)
        return zstandard().ZstdCompressor()

    def decompressor(self) -> Any:
        """An object with `decompress` and `eof`. Raises MissingDecompressor."""
        if self is Compression.GZIP:
            return zlib.decompressobj(wbits=_GZIP)
        return zstandard().ZstdDecompressor()


class Part(NamedTuple):
    """What the name of a part says."""

    day: str
    number: int
    name: str
    packed: bool
    half: bool  # the beginning of a compressed one


class Stopped(Exception):
    """The process ends while it compresses: the next one will do it."""


class PartsDiffer(Exception):
    """A part is there plain and compressed, and they do not hold the same."""


class Rotation:
    """When and how the trade.csv of one folder is rotated. `size` is in bytes; without one it is done daily."""

    def __init__(
        self,
        folder: str | os.PathLike[str],
        size: int | None = None,
        compression: Compression = Compression.GZIP,
        *,
        disk: Disk | None = None,
        in_thread: InThread = deferToThread,
    ) -> None:
        self._folder = os.path.abspath(folder)
        self._live = os.path.join(self._folder, "trade.csv")
        self._size = size
        self._compression = compression
        self._disk = disk if disk is not None else OsDisk()
        self._in_thread = in_thread
        self._began: tuple[FileId, str] | None = None  # the live file, and the day on which its first row came
        self._not_before = ""  # rows that were held back over a rotation have come on the day before it
        self._again_at = 0.0
        self._waiting: list[str] = []  # closed parts to be compressed
        self._compressing: Deferred[None] | None = None
        self._stopping = False

    # --- the live file ------------------------------------------------------------------------------------

    def due(self, file: FileId, length: int, moment: Moment) -> bool:
        """Whether the live file, of so many bytes, is to be closed now."""
        if length <= len(HEADER) or moment.monotonic < self._again_at:
            return False
        if self._size is not None:
            return length >= self._size
        try:
            return _day(moment.wall) > self._day_of(file)
        except OSError as error:
            self.refused(error, moment)
            return False

    def _day_of(self, file: FileId) -> str:
        """The day on which the file's first row came."""
        if self._began is None or self._began[0] != file:
            disk = self._disk
            fd = disk.open(self._live)
            try:
                line = disk.read(fd, len(HEADER), LONGEST_LINE).split(b"\n", 1)[0]
            finally:
                disk.close(fd)
            self._began = file, max(_day(int(line.split(b",")[3])), self._not_before)
        return self._began[1]

    def close_part(self, file: FileId, wall: int) -> str:
        """Give the live file the name of a part. Everything in it must be synced, and the state know it. Raises OSError."""
        day = self._day_of(file)
        newest = max(((part.day, part.number) for part in self._parts()), default=("", 0))
        number = newest[1] + 1 if newest[0] >= day else 1
        day = max(newest[0], day)
        path = os.path.join(self._folder, f"trade-{day}{f'-{number}' if number > 1 else ''}.csv")
        self._disk.rename(self._live, path)
        self._disk.sync_folder(self._folder)
        self._not_before = _day(wall)
        return path

    def refused(self, error: OSError, moment: Moment) -> None:
        """It could not be done; the file goes on as it is, and it will be tried again."""
        self._again_at = moment.monotonic + _TRY_AGAIN
        text = "{path} cannot be rotated: {error}; tried again in {seconds:.0f} s"
        _log.error(text, path=self._live, error=error.strerror or str(error), seconds=_TRY_AGAIN)

    def _parts(self) -> Iterator[Part]:
        for name in self._disk.list_folder(self._folder):
            if found := _NAME.fullmatch(name):
                number = int(found["number"] or 1)
                yield Part(found["day"], number, name, found["packed"] is not None, found["half"] is not None)

    # --- what was left half done --------------------------------------------------------------------------

    def check_live(self) -> None:
        """Raises WrongFile for a live file that is a link: that would be renamed, and its file be taken for a part."""
        if self._disk.is_link(self._live):
            fix = "name the folder that it leads to, or leave out --rotate"
            raise WrongFile(f"{self._live} is a symbolic link, which cannot be rotated: {fix}")

    def tidy(self) -> None:
        """Before the live file is opened: undo what a kill or a power loss has left half done. Raises OSError, WrongFile."""
        self.check_live()
        disk, live = self._disk, self._disk.find(self._live)
        for part in list(self._parts()):
            path = os.path.join(self._folder, part.name)
            found = disk.find(path)
            renamed = live is not None and found is not None and (live.device, live.inode) == (found.device, found.inode)
            if part.half or renamed:  # a rename that was cut may leave a file with both names (man 2 rename)
                disk.remove(path)

    # --- closed parts -------------------------------------------------------------------------------------

    def compress(self) -> None:
        """Compress every part that is plain, in a thread. None of them may be open any more: call it after a reopening."""
        if self._compression is Compression.NONE:
            return
        try:
            plain = sorted(part for part in self._parts() if not part.packed)
        except OSError as error:
            _log.error("{path} cannot be listed: {error}", path=self._folder, error=error.strerror)
            return
        self._waiting = [os.path.join(self._folder, part.name) for part in plain]
        self._go_on()

    def _go_on(self) -> None:
        if self._waiting and self._compressing is None and not self._stopping:
            paths, self._waiting = self._waiting, []
            self._compressing = self._in_thread(lambda: self._compress_all(paths))
            self._compressing.addErrback(self._log_failure).addCallback(self._done)

    def _done(self, _: None) -> None:
        self._compressing = None
        self._go_on()

    def _log_failure(self, failure: Failure) -> None:
        _log.failure("a bug while compressing a part of {path}", failure, path=self._live)

    def _compress_all(self, paths: list[str]) -> None:
        """In a thread."""
        for path in paths:
            try:
                compress_part(self._disk, path, self._compression, lambda: self._stopping)
            except Stopped:
                return
            except (OSError, PartsDiffer) as error:
                text = "{path} stays as it is: {error}"
                _log.error(text, path=path, error=getattr(error, "strerror", None) or str(error))

    async def stop(self) -> None:
        """Leave a part that is being compressed to the next start."""
        self._stopping = True
        if self._compressing is not None:
            await self._compressing


def compress_part(disk: Disk, path: str, compression: Compression, stopped: Callable[[], bool]) -> None:
    """Put a compressed part in the place of a plain one, or finish that; blocks. Raises OSError, Stopped, PartsDiffer."""
    if disk.find(path) is None:
        return  # somebody has taken it away
    target = f"{path}.{compression.value}"
    if disk.find(target) is None:
        half = f"{target}.tmp"
        disk.remove(half)
        try:
            _write_compressed(disk, path, half, compression, stopped)
        except (OSError, Stopped):
            with suppress(OSError):
                disk.remove(half)
            raise
        disk.rename(half, target)
        disk.sync_folder(os.path.dirname(path))
    if not _hold_the_same(disk, path, target, compression, stopped):
        raise PartsDiffer(f"{target} is there, too, and does not hold the same: look which of them is right")
    disk.remove(path)
    disk.sync_folder(os.path.dirname(path))


def _write_compressed(disk: Disk, path: str, half: str, compression: Compression, stopped: Callable[[], bool]) -> None:
    compressor = compression.compressor()
    source = disk.open(path)
    try:
        fd = disk.create(half, _MODE)
        try:
            end = 0
            for packed in _compressed(_pieces(disk, source, stopped), compressor):
                write_all(disk, fd, packed, end)
                end += len(packed)
            disk.sync(fd)
        finally:
            disk.close(fd)
    finally:
        disk.close(source)


def _pieces(disk: Disk, fd: int, stopped: Callable[[], bool]) -> Iterator[bytes]:
    """The whole of a file."""
    offset = 0
    while piece := disk.read(fd, offset, _PIECE):
        if stopped():
            raise Stopped
        yield piece
        offset += len(piece)


def _hold_the_same(
    disk: Disk, path: str, target: str, compression: Compression, stopped: Callable[[], bool]
) -> bool:
    plain = disk.open(path)
    try:
        packed = disk.open(target)
        try:
            unpacked = _unpacked(_pieces(disk, packed, stopped), compression.decompressor())
            return _is_content(disk, plain, unpacked)
        except _errors_of(compression):
            return False
        finally:
            disk.close(packed)
    finally:
        disk.close(plain)


def _compressed(pieces: Iterator[bytes], compressor: Any) -> Iterator[bytes]:
    for piece in pieces:
        yield compressor.compress(piece)
    yield compressor.flush()


def _unpacked(pieces: Iterator[bytes], decompressor: Any) -> Iterator[bytes]:
    """What compressed data hold. Raises EOFError if they are more or less than one whole."""
    for piece in pieces:
        yield decompressor.decompress(piece)
        if decompressor.eof:
            break
    if not decompressor.eof or decompressor.unused_data or next(pieces, None):
        raise EOFError


def _is_content(disk: Disk, fd: int, pieces: Iterator[bytes]) -> bool:
    offset = 0
    for piece in pieces:
        expected = piece
        while expected:
            there = disk.read(fd, offset, len(expected))
            if not there or not expected.startswith(there):
                return False
            offset, expected = offset + len(there), expected[len(there) :]
    return offset == disk.facts(fd).size


def _errors_of(compression: Compression) -> tuple[type[Exception], ...]:
    """What a decompressor raises for damaged data."""
    return (EOFError, zlib.error if compression is Compression.GZIP else zstandard().ZstdError)


def _day(wall: int) -> str:
    """The UTC day of a time in µs."""
    return f"{datetime.fromtimestamp(wall // 1_000_000, UTC):%Y-%m-%d}"
