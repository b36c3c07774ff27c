"""What is in the parts that are closed, where neither trade.csv nor the state beside it knows all that is wanted.

It is read at a start, and where somebody has put an older trade.csv in place while the daemon runs. Four things make that
so: history was out of reach for so long that the state could not hold an id for each trade since, somebody has renamed
trade.csv while no daemon ran, there is no state, or rows are missing of which it knows. What is asked for then would be
written once more; and where nothing else tells how far the recording had come, what happened since would not be asked for
at all. Parts are read from the newest back; one that cannot be read is done without, and the log says so.
"""

import os
import sys
from array import array
from collections.abc import Iterator
from itertools import chain

from twisted.logger import Logger

from bfxtwist.core.gaps import Mark
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.trade_rows import HEADER, Layout
from bfxtwist.files.recording import closed_parts
from bfxtwist.files.trade_file import MissingDecompressor
from bfxtwist.out.closed_parts import Compression, errors_of, pieces, unpacked
from bfxtwist.out.disk import Disk

_log = Logger()

#: A row came after its trade had happened, by clocks that are not off by more, µs.
_CLOCKS_AGREE = 86_400 * 10**6

#: How far the comparison with history may be behind the newest part where no state tells, ms: rarely more than minutes.
_DAY = 86_400_000

_LOCAL_TIMESTAMP = HEADER.split(b",").index(b"local_timestamp")


class EarlierParts:
    """The closed parts in the folder of one trade.csv, by whomever they were closed."""

    def __init__(self, disk: Disk, folder: str, layout: Layout) -> None:
        self._disk = disk
        self._folder = folder
        self._layout = layout
        self._told_of: set[str] = set()  # that cannot be read

    def ids(self, lowest: int, since: int) -> KnownIds:
        """Those from `lowest` up, none of whose trades happened before `since` (ms). Raises OSError. Blocks."""
        found: list[array[int]] = []  # newest part first
        for name in reversed(closed_parts(self._disk.list_folder(self._folder))):
            ids, last = array("q"), b""
            found.append(ids)
            for lines in self._readable(name):
                ids.extend(trade_id for trade_id in self._ids(lines) if trade_id >= lowest)
                last = lines[lines.rfind(b"\n", 0, -1) + 1 :]
            # Neither alone would do: all rows of a part may be of an old gap, and a clock may have been wrong.
            if not ids and self._came(last) < since * 1000 - _CLOCKS_AGREE:
                break
        return KnownIds(chain.from_iterable(reversed(found)))

    def beginning(self) -> tuple[str, Mark] | None:
        """The newest part that has a row of this pair, or the oldest one of the day before that began: name, and first row.

        Small parts may follow each other sooner than they are compared. Raises OSError. Blocks.
        """
        found: tuple[str, Mark] | None = None
        earliest = 0
        for name in reversed(closed_parts(self._disk.list_folder(self._folder))):
            first = self._first(name)
            if first is None:
                continue
            if first.mts < earliest:
                break
            earliest = earliest or first.mts - _DAY
            if found is None or first.id < found[1].id:
                found = name, first
        return found

    def _first(self, name: str) -> Mark | None:
        for lines in self._readable(name):
            for row in map(self._layout.read, lines.split(b"\n")):
                if row is not None:
                    return Mark(*row)
        return None

    def _came(self, line: bytes) -> int:
        """When a row came, µs; of what is no row nothing follows."""
        is_row = self._layout.read(line.removesuffix(b"\n")) is not None
        return int(line.split(b",")[_LOCAL_TIMESTAMP]) if is_row else sys.maxsize

    def _ids(self, lines: bytes) -> Iterator[int]:
        ids = self._layout.ids(lines)
        if ids is not None:
            return map(int, ids)
        return (row[0] for line in lines.split(b"\n") if (row := self._layout.read(line)) is not None)

    def _readable(self, name: str) -> Iterator[bytes]:
        """A part in pieces of whole lines, as far as it can be read."""
        unreadable: tuple[type[Exception], ...] = (OSError, MissingDecompressor, *errors_of(_packed(name)))
        try:
            yield from self._lines(name)
        except unreadable as error:
            if name in self._told_of:
                return
            self._told_of.add(name)
            text = "{part} cannot be read: {error}: trades that it has may be written once more"
            _log.warn(text, part=os.path.join(self._folder, name), error=getattr(error, "strerror", None) or str(error))

    def _lines(self, name: str) -> Iterator[bytes]:
        """A part in pieces of whole lines."""
        disk, rest = self._disk, b""
        fd = disk.open(os.path.join(self._folder, name))
        try:
            content = pieces(disk, fd, lambda: False)
            compression = _packed(name)
            if compression is not Compression.NONE:
                content = unpacked(content, compression.decompressor())
            for piece in content:
                whole, end, rest = (rest + piece).rpartition(b"\n")
                if end:
                    yield whole + end
        finally:
            disk.close(fd)


def _packed(name: str) -> Compression:
    return {".gz": Compression.GZIP, ".zst": Compression.ZSTANDARD}.get(os.path.splitext(name)[1], Compression.NONE)
