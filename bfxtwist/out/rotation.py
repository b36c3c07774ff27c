"""Rotation: trade.csv is closed at the end of a UTC day, or when it has grown long, and becomes a part.

    trade-2026-11-21.csv.gz  trade-2026-11-22.csv.gz  trade-2026-11-22-2.csv.gz  trade.csv     oldest first

The recorder does here what it does when somebody else renames its file, in an order that a kill or a power loss may cut
anywhere (`trade_succession.py` goes through it):

    rows and state synced → trade.csv renamed → folder synced → a new trade.csv, its state saved → rows

Up to the rename the file is continued at the next start; after it a new one is begun, and the state knows what the part
holds. Parts are compressed by `closed_parts.py`; what is left half done, the next start finishes. Names grow: a part is
never named before one that is there, whatever the clock does.
"""

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from twisted.internet.threads import deferToThread
from twisted.logger import Logger

from bfxtwist.core.moment import Moment
from bfxtwist.core.recovery import FileId
from bfxtwist.core.trade_rows import HEADER, LONGEST_LINE
from bfxtwist.out.closed_parts import ClosedParts, Compression
from bfxtwist.out.disk import Disk, OsDisk
from bfxtwist.out.in_thread import InThread
from bfxtwist.out.trade_errors import WrongFile

_log = Logger()

#: Seconds from a rotation that the disk refused to the next attempt.
_TRY_AGAIN = 60.0

_NAME = re.compile(r"trade-(?P<day>\d{4}-\d\d-\d\d)(?:-(?P<number>\d+))?\.csv(?P<packed>\.gz|\.zst)?(?P<half>\.tmp)?")


class Part(NamedTuple):
    """What the name of a part says."""

    day: str
    number: int
    name: str
    packed: bool
    half: bool  # the beginning of a compressed one


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
        self._disk = disk if disk is not None else OsDisk()
        self._closed = ClosedParts(self._disk, compression, in_thread)
        self._began: tuple[FileId, str] | None = None  # the live file, and the day on which its first row came
        self._not_before = ""  # the day of the last rotation: rows that were held back over it came before
        self._again_at = 0.0

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
        """Before the live file is opened: undo what a kill or a power loss left half done. Raises OSError, WrongFile."""
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
        """Compress every part that is plain. None of them may be open any more: call it after a reopening."""
        if self._closed.compression is Compression.NONE:
            return
        try:
            plain = sorted(part for part in self._parts() if not part.packed)
        except OSError as error:
            _log.error("{path} cannot be listed: {error}", path=self._folder, error=error.strerror)
            return
        self._closed.compress([os.path.join(self._folder, part.name) for part in plain])

    async def stop(self) -> None:
        """Leave a part that is being compressed to the next start."""
        await self._closed.stop()


def _day(wall: int) -> str:
    """The UTC day of a time in µs."""
    return f"{datetime.fromtimestamp(wall // 1_000_000, UTC):%Y-%m-%d}"
