"""The newest rows of a trade.csv that is being written: read from its end, and never more than a bounded part of it.

Rows stand in the order of writing. Those that were fetched for a gap stand below newer ones, so that the last rows of the
file need not be the newest; where the part that was read may not tell, the answer says so. Parts that rotation has closed
are not read: what is asked for of them is uncertain, too.
"""

import os
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bfxtwist.files.trade_file import ROW

#: Time (ms), id, and the line.
_Row = tuple[int, int, bytes]

#: Numbers in a row have fewer: int() is slow where somebody has put a million of them.
_DIGITS = 20

#: What is read at once at first, for each row that is wanted: a row has about 85 bytes.
_ROW_BYTES = 128

#: What is read at most, 3,000 rows: it is in the page cache, having been written lately, and takes 5 to 10 ms.
TAIL_LIMIT = 256 * 1024


class Told(NamedTuple):
    """One trade. Price and amount are the exchange's digits, the amount without its sign."""

    mts: int
    id: int
    side: bytes
    price: bytes
    amount: bytes
    line: bytes = b""  # of trade.csv without its end; empty for a trade that is not in the file yet


class Tail(NamedTuple):
    """Trades of a file, oldest first, and whether none is missing among them."""

    trades: list[Told]
    certain: bool


def read_tail(path: Path, limit: int, since: int, must_have: Sequence[int]) -> Tail:
    """The newest `limit` trades, or of those from `since` (ms) on the oldest, so that who asks on finds all. Raises OSError.

    `must_have` are ids of the newest trades that are known from elsewhere: without one of them in the part that was read,
    it may be all of it rows for an old gap.
    """
    wanted = limit * _ROW_BYTES
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while True:
            length = min(wanted, TAIL_LIMIT, size)
            data = os.pread(file.fileno(), length, size - length)
            rows = _rows(data.partition(b"\n")[2])  # without the header, or the end of a row
            reached = _reaches(rows, limit, since) and _in_order(rows) and _has(rows, must_have)
            certain = reached or (length == size and not _has_parts(path))
            if certain or length == min(TAIL_LIMIT, size):
                found = sorted(row for row in rows if row[0] >= since)
                chosen = found[:limit] if since else found[-limit:]
                return Tail([told for row in chosen if (told := _told(*row))], certain)
            wanted *= 4


def _rows(data: bytes) -> list[_Row]:
    """The whole rows in a part of the file. What is torn at its end, and the header, are none."""
    lines = [(line, line.split(b",", 5)) for line in data.split(b"\n")[:-1]]
    return [(int(parts[2]) // 1000, int(parts[4]), line) for line, parts in lines if _is_row(parts)]


def _is_row(parts: list[bytes]) -> bool:
    """Enough to sort by. Each row that is told is looked at as a whole, which takes ten times as long."""
    return len(parts) > 4 and all(part.isdigit() and len(part) < _DIGITS for part in (parts[2], parts[4]))


def _told(mts: int, trade_id: int, line: bytes) -> Told | None:
    row = ROW.fullmatch(line)
    if row is None:
        return None
    side, price, amount = row[5].split(b",")
    return Told(mts, trade_id, side, price, amount, line)


def _has_parts(path: Path) -> bool:
    """Whether rotation has closed some, or logrotate."""
    names = (f"{path.stem}-????-??-??*.csv*", f"{path.name}.[0-9]*", f"{path.name}-[0-9]*")
    return any(any(path.parent.glob(name)) for name in names)


def _reaches(rows: Sequence[_Row], limit: int, since: int) -> bool:
    return bool(rows) and rows[0][0] < since if since else len(rows) >= limit


def _in_order(rows: Sequence[_Row]) -> bool:
    return all(one[0] <= other[0] for one, other in pairwise(rows))


def _has(rows: Sequence[_Row], must_have: Sequence[int]) -> bool:
    ids = {row[1] for row in rows}
    return not must_have or any(trade_id in ids for trade_id in must_have)
