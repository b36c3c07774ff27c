"""What to make of a file that was left behind: which rows stand, what is torn and may be cut, and what is refused.

A process that was killed leaves a torn last row. A machine that lost power leaves any part of what was not synced: a prefix,
holes of zeros, later blocks without earlier ones. Both only ever touch what lies above the synced mark, so there the file is
cut at the first byte that is no row of it. Below the mark nothing of ours can have done damage: that is refused, and the
file stays as it is.
"""

from array import array
from collections.abc import Callable, Iterator
from enum import Enum
from typing import NamedTuple

import msgspec

from bfxtwist.core.gaps import Mark
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.progress import Progress
from bfxtwist.core.trade_rows import BYTE_ORDER_MARK, HEADER, LONGEST_LINE, Layout

#: Reads so many bytes from an offset; fewer only at the end.
Read = Callable[[int, int], bytes]

#: What a crash can damage is never longer: rows beyond it wait in memory for a sync (`trade_file.py`). Where no state says
#: how far the file was synced, less is taken for a crash's work.
TORN_LIMIT = 16 * 1024 * 1024
TORN_LIMIT_WITHOUT_STATE = 1024 * 1024

#: Ids that are kept in the state for the day when the file has been rotated away.
EARLIER_AT_LEAST = 1_000
EARLIER_AT_MOST = 200_000

_CHUNK = 1024 * 1024


class CannotContinue(Exception):
    """The file cannot be continued. `fix` says what its owner can do."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(f"{reason}; {fix}")
        self.reason, self.fix = reason, fix


class FileId(msgspec.Struct, frozen=True):
    """Which file this is, whatever its name."""

    device: int
    inode: int


class Saved(msgspec.Struct):
    """The state beside the file."""

    exchange: str  # or a demo
    symbol: str
    file: FileId
    synced: int  # bytes of the file that are on disk for sure
    last_id: int | None  # the row that ends there
    progress: Progress
    earlier: list[int]  # the newest ids, in case that the file is rotated away

    @property
    def knows_of_trades(self) -> bool:
        """Whether there was one before it was saved."""
        return bool(self.last_id is not None or self.earlier or self.progress != Progress())


class Header(Enum):
    """What stands in the first line."""

    WHOLE = "whole"
    TORN = "torn"
    FOREIGN = "foreign"


class Scan(NamedTuple):
    """What a file holds."""

    header: Header
    end: int  # of the last whole row before anything else
    known: KnownIds  # of its rows
    first: Mark | None
    stranger: str | None = None  # whose row stands at the end, if it is another pair's


class Plan(NamedTuple):
    """How to continue a file."""

    keep: int  # bytes; what follows is torn. 0: the header is to be written
    rewrite_from: int  # from here to `keep` the disk may not have what the page cache shows
    known: KnownIds
    progress: Progress
    notes: list[str]  # what the owner should hear of
    as_saved: bool  # the state says what is on file, and how far that was compared
    newest: Mark | None = None  # the last row, if no other is newer


def scan(layout: Layout, read: Read, size: int) -> Scan:
    """Read the whole file. Half a second per million rows."""
    head = read(0, len(HEADER))
    if head != HEADER:
        torn = size <= len(HEADER) and all(byte in (0, wanted) for byte, wanted in zip(head, HEADER, strict=False))
        return Scan(Header.TORN if torn else Header.FOREIGN, 0, KnownIds(), None)
    ids = array("q")
    end = len(HEADER)
    for lines in _whole_lines(read, end, size):
        found = layout.ids(lines)
        if found is None:
            end += _take_while_good(layout, lines, ids)
            break
        ids.extend(map(int, found))
        end += len(lines)
    known = KnownIds(ids)
    if len(known) < len(ids):
        end, known = _up_to_repeat(layout, read, end)
    first = layout.read(read(len(HEADER), LONGEST_LINE).split(b"\n", 1)[0])
    stranger = layout.stranger(read(end, LONGEST_LINE).split(b"\n", 1)[0])
    return Scan(Header.WHOLE, end, known, Mark(*first) if first else None, stranger)


def _whole_lines(read: Read, start: int, size: int) -> Iterator[bytes]:
    """The file in large pieces of whole lines, up to where there are none."""
    while start < size:
        piece = read(start, _CHUNK)
        whole = piece.rfind(b"\n") + 1
        if not whole:
            return
        yield piece[:whole]
        start += whole


def _take_while_good(layout: Layout, lines: bytes, ids: "array[int]") -> int:
    """Take ids up to the first line that is no row. How many bytes that were."""
    length = 0
    for line in lines.split(b"\n")[:-1]:
        row = layout.read(line)
        if row is None:
            break
        ids.append(row[0])
        length += len(line) + 1
    return length


def _up_to_repeat(layout: Layout, read: Read, end: int) -> tuple[int, KnownIds]:
    """The rows before the first id that stands twice."""
    known: set[int] = set()
    position = len(HEADER)
    for lines in _whole_lines(read, position, end):
        for line in lines.split(b"\n")[:-1]:
            row = layout.read(line)
            if row is None or row[0] in known:
                return position, KnownIds(known)
            known.add(row[0])
            position += len(line) + 1
    return position, KnownIds(known)


def plan(layout: Layout, read: Read, size: int, file: FileId, saved: Saved | None) -> Plan:
    """Decide. Raises CannotContinue.

    A file without rows goes on from the state, and one of which the state speaks goes on as it says. Any other is compared
    with history from its first row on, or from where the state had come to, if that is older.
    """
    if saved is not None and (saved.exchange, saved.symbol) != (layout.source, layout.symbol):
        if saved.knows_of_trades or size > len(HEADER):
            reason = f"the state beside it is of {saved.symbol} of {saved.exchange}"
            raise CannotContinue(reason, f"name another folder for {layout.symbol} of {layout.source}")
        saved = None  # a start with a pair that was mistyped, say: it left no row that could be mixed with ours
    found = scan(layout, read, size)
    if found.header is Header.FOREIGN:
        raise _foreign(read(0, len(BYTE_ORDER_MARK + HEADER) + 1))
    if found.stranger:
        raise _strange(found)
    _check_tail(found, size, file, saved)
    known, oldest = found.known, found.known.smallest
    if oldest is None:  # nor is there a row where the header is torn
        if saved is None:
            return Plan(found.end, found.end, known, Progress(), [], as_saved=False)
        notes = ["the trade file is new or was rotated away: recording goes on where it ended"]
        as_saved = saved.progress.frontier is not None
        return Plan(found.end, found.end, KnownIds(saved.earlier), saved.progress, notes, as_saved)
    last = row_before(layout, read, found.end)
    newest = last if last is not None and last.id == known.largest else None
    assert found.first is not None
    if saved is not None and _is_as_saved(layout, read, found, saved):
        known.update(known.unknown(KnownIds(saved.earlier)))
        rewrite_from = saved.synced if saved.file == file else max(found.end - TORN_LIMIT, 0)
        return Plan(found.end, rewrite_from, known, saved.progress, [], True, newest)
    changed = "the trade file is not as it was left: rows are missing from it, or it was edited"
    notes = ["there is no usable state beside the trade file" if saved is None else changed]
    notes.append("everything from its first row on will be compared with the exchange's history again")
    progress = Progress(oldest, found.first, oldest)
    if saved is not None:
        frontier = saved.progress.frontier
        before = frontier is not None and frontier.id < found.first.id
        progress = saved.progress if before else progress.with_gaps(saved.progress.gaps)
    return Plan(found.end, max(found.end - TORN_LIMIT, 0), known, progress, notes, False, newest)


def _foreign(head: bytes) -> CannotContinue:
    """Why the file is not ours, or ours no more."""
    whole = head.removeprefix(BYTE_ORDER_MARK)
    if whole.startswith((HEADER, HEADER[:-1] + b"\r\n")):
        what = "puts a byte order mark before the header" if whole != head else "ends lines in CR LF"
        fix = "undo that (dos2unix does), or move the file away"
        return CannotContinue(f"an editor has rewritten it, one that {what}", fix)
    return CannotContinue("its first line is not the header of a trade file", "name another folder, or move the file away")


def _strange(found: Scan) -> CannotContinue:
    """Why a file with a row of another pair is not this one's, or not only."""
    if not len(found.known):
        return CannotContinue(f"it records {found.stranger}", "name another folder for this pair")
    where = f"line {len(found.known) + 2}, at byte {found.end}, is a row of {found.stranger}"
    return CannotContinue(where, "take that line out, and others like it, or bring the file back from a backup")


def _check_tail(found: Scan, size: int, file: FileId, saved: Saved | None) -> None:
    """Refuse to cut what no crash can have damaged."""
    same = saved is not None and saved.file == file
    if same and saved is not None and found.end < min(saved.synced, size) and found.header is Header.WHOLE:
        reason = f"it is damaged at byte {found.end}, below byte {saved.synced} up to which it was safely on disk"
        raise CannotContinue(reason, "bring it back from a backup, or move it away to begin a new one")
    if size - found.end > (TORN_LIMIT if same else TORN_LIMIT_WITHOUT_STATE):
        reason = f"it is damaged at byte {found.end}, and {size - found.end} bytes follow"
        raise CannotContinue(reason, "mend that line, bring the file back from a backup, or move it away to begin a new one")


def _is_as_saved(layout: Layout, read: Read, found: Scan, saved: Saved) -> bool:
    """Whether the rows that the state speaks of are still there. A state from before the first row says nothing of these."""
    if saved.progress.frontier is None or saved.synced > found.end:
        return False
    if saved.last_id is None:  # it had no row yet: one that was not new then is of an earlier file that was put back
        earlier, first = saved.earlier, found.first
        assert first is not None
        return not earlier or (earlier[0] < first.id and not any(trade_id in found.known for trade_id in earlier))
    last = row_before(layout, read, saved.synced)
    return last is not None and last.id == saved.last_id


def row_before(layout: Layout, read: Read, end: int) -> Mark | None:
    """The row that ends there, if one does."""
    start = max(end - LONGEST_LINE, 0)
    lines = read(start, end - start).split(b"\n")
    last = layout.read(lines[-2]) if len(lines) > 1 and not lines[-1] else None
    return Mark(*last) if last is not None else None
