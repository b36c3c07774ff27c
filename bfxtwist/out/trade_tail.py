"""The newest rows of a trade.csv that is being written: read from its end, and never more than a bounded part of it.

Rows stand in the order of arrival. Those that were fetched for a gap stand below newer ones, so that the last rows of the
file need not be the newest; where the part that was read may not tell, the answer says so.
"""

import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from bfxtwist.files.trade_file import ROW

#: What is read at once at first, for each row that is wanted: a row has about 85 bytes.
_ROW_BYTES = 128

#: What is read at most. It is in the page cache, having been written lately, and takes 3 ms to be read and understood.
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
    """The newest trades of a file, oldest first, and whether none is missing among them."""

    trades: list[Told]
    certain: bool


def read_tail(path: Path, limit: int, since: int, must_have: Sequence[int]) -> Tail:
    """The newest `limit` trades from `since` (ms) on. Raises OSError.

    `must_have` are ids of the newest trades that are known from elsewhere: without one of them in the part that was read,
    it may be all of it rows for an old gap.
    """
    wanted = limit * _ROW_BYTES
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while True:
            length = min(wanted, TAIL_LIMIT, size)
            rows = _rows(os.pread(file.fileno(), length, size - length))
            found = sorted(row for row in rows if row.mts >= since)[-limit:]
            certain = length == size or (_reaches(rows, limit, since) and _in_order(rows) and _has(rows, must_have))
            if certain or length == min(TAIL_LIMIT, size):
                return Tail(found, certain)
            wanted *= 4


def _rows(data: bytes) -> list[Told]:
    """The whole rows in a part of the file. What is torn at its ends, and the header, are none."""
    whole = data[: data.rfind(b"\n") + 1]
    return [_told(match) for match in ROW.finditer(whole)]


def _told(row: re.Match[bytes]) -> Told:
    _, timestamp, _, trade_id, rest = row.groups()
    side, price, amount = rest.split(b",")
    return Told(int(timestamp) // 1000, int(trade_id), side, price, amount, row[0])


def _reaches(rows: Sequence[Told], limit: int, since: int) -> bool:
    return len(rows) >= limit or (bool(rows) and rows[0].mts < since)


def _in_order(rows: Sequence[Told]) -> bool:
    return all(one.mts <= other.mts for one, other in pairwise(rows))


def _has(rows: Sequence[Told], must_have: Sequence[int]) -> bool:
    ids = {row.id for row in rows}
    return not must_have or any(trade_id in ids for trade_id in must_have)
