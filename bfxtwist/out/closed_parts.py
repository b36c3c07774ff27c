"""The closed parts of a trade.csv, compressed one after the other in a thread.

    compressed under another name, synced → named, folder synced → read back and compared → the plain one removed

A part is there plain until the compressed one has been read back: wherever that is cut off, its rows are there. The next
start finishes it. Which files are parts, and when there is a new one, is `rotation.py`'s.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from bfxtwist.files.trade_file import MissingDecompressor, zstandard
from bfxtwist.out.disk import Disk, write_all
from bfxtwist.out.in_thread import InThread

_log = Logger()

#: As trade.csv itself.
_MODE = 0o640

#: zlib's code for gzip's header and trailer.
_GZIP = 31

_PIECE = 1 << 20


class Compression(Enum):
    """What becomes of a closed part."""

    GZIP = "gz"
    ZSTANDARD = "zst"
    NONE = "none"

    def compressor(self) -> Any:
        """An object with `compress` and `flush`. Raises MissingDecompressor where there is no zstd."""
        if self is Compression.GZIP:
            return zlib.compressobj(wbits=_GZIP)
        zstd = zstandard()
        return zstd.ZstdCompressor(options={zstd.CompressionParameter.checksum_flag: 1})  # gzip has one, too

    def decompressor(self) -> Any:
        """An object with `decompress` and `eof`. Raises MissingDecompressor."""
        if self is Compression.GZIP:
            return zlib.decompressobj(wbits=_GZIP)
        return zstandard().ZstdDecompressor()


class Stopped(Exception):
    """The process ends while it compresses: the next one will do it."""


class PartsDiffer(Exception):
    """A part is there plain and compressed, and they do not hold the same."""


class ClosedParts:
    """Compresses what it is given, off the reactor, one list at a time: the last one, which names all that is plain."""

    def __init__(self, disk: Disk, compression: Compression, in_thread: InThread) -> None:
        self._disk = disk
        self.compression = compression
        self._in_thread = in_thread
        self._waiting: list[str] = []
        self._under_way: Deferred[None] | None = None
        self._stopping = False

    def compress(self, paths: list[str]) -> None:
        """Compress these, which are all parts that are plain. None of them may be open any more."""
        self._waiting = paths
        self._go_on()

    async def stop(self) -> None:
        """Leave what is not compressed yet to the next start."""
        self._stopping = True
        if self._under_way is not None:
            await self._under_way

    def _go_on(self) -> None:
        if self._waiting and self._under_way is None and not self._stopping:
            paths, self._waiting = self._waiting, []
            self._under_way = self._in_thread(lambda: self._compress_all(paths))
            self._under_way.addErrback(self._log_bug, paths).addCallback(self._done)

    def _done(self, _: None) -> None:
        self._under_way = None
        self._go_on()

    def _log_bug(self, failure: Failure, paths: list[str]) -> None:
        _log.failure("a bug while compressing {paths}", failure, paths=paths)

    def _compress_all(self, paths: list[str]) -> None:
        """In a thread."""
        for path in paths:
            try:
                compress_part(self._disk, path, self.compression, lambda: self._stopping)
            except Stopped:
                return
            except (OSError, PartsDiffer) as error:
                text = "{path} stays as it is: {error}"
                _log.error(text, path=path, error=getattr(error, "strerror", None) or str(error))


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
            for packed in _compressed(pieces(disk, source, stopped), compressor):
                write_all(disk, fd, packed, end)
                end += len(packed)
            disk.sync(fd)
        finally:
            disk.close(fd)
    finally:
        disk.close(source)


def pieces(disk: Disk, fd: int, stopped: Callable[[], bool]) -> Iterator[bytes]:
    """The whole of a file. Raises OSError, Stopped."""
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
            content = unpacked(pieces(disk, packed, stopped), compression.decompressor())
            return _is_content(disk, plain, content)
        except errors_of(compression):
            return False
        finally:
            disk.close(packed)
    finally:
        disk.close(plain)


def _compressed(plain: Iterator[bytes], compressor: Any) -> Iterator[bytes]:
    for piece in plain:
        yield compressor.compress(piece)
    yield compressor.flush()


def unpacked(packed: Iterator[bytes], decompressor: Any) -> Iterator[bytes]:
    """What compressed data hold. Raises EOFError if they are more or less than one whole, and what `errors_of` says."""
    for piece in packed:
        yield decompressor.decompress(piece)
        if decompressor.eof:
            break
    if not decompressor.eof:
        raise EOFError("its end is missing")
    if decompressor.unused_data or next(packed, None):
        raise EOFError("it goes on after the end of what is packed")


def _is_content(disk: Disk, fd: int, content: Iterator[bytes]) -> bool:
    offset = 0
    for piece in content:
        expected = piece
        while expected:
            there = disk.read(fd, offset, len(expected))
            if not there or not expected.startswith(there):
                return False
            offset, expected = offset + len(there), expected[len(there) :]
    return offset == disk.facts(fd).size


def errors_of(compression: Compression) -> tuple[type[Exception], ...]:
    """What a decompressor raises for damaged data."""
    if compression is Compression.ZSTANDARD:
        with suppress(MissingDecompressor):
            return (EOFError, zstandard().ZstdError)
    return (EOFError, zlib.error)
