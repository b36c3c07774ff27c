"""A book as one kind of subscription sees it: so many levels of such a precision, and what changed since it was last told.

The exchange does not tell of each event. It tells, every 100 to 250 ms, what is different now: levels that are gone (bids,
then asks), then levels that are new or changed (bids, then asks), and sometimes after that a checksum. A level that leaves
the window of `len` levels is deleted like one that has gone (all of this measured in captures of 2018, 2021 and 2026).
"""

from collections.abc import Sequence
from itertools import zip_longest
from zlib import crc32

from bfxtwist.core.messages import Row
from bfxtwist.core.subscription import Subscription

_GONE = (b"0", b"1"), (b"0", b"-1")


class View:
    """The rows that the readers of one subscription have been told, best first; `changed` since the last checksum.

    When the next batch and the next checksum are due is for the market to say.
    """

    def __init__(self, subscription: Subscription, bids: Sequence[Row], asks: Sequence[Row]) -> None:
        self.subscription = subscription
        self.bids, self.asks = list(bids), list(asks)
        self.changed = False
        self.due = 0.0
        self.checksum_due = 0.0

    @property
    def rows(self) -> list[Row]:
        """A snapshot's: bids, then asks."""
        return [*self.bids, *self.asks]

    def refresh(self, bids: Sequence[Row], asks: Sequence[Row]) -> list[Row]:
        """The updates, in the exchange's order, that make what was told into these rows."""
        gone_bids, set_bids = _difference(self.bids, bids, _GONE[0])
        gone_asks, set_asks = _difference(self.asks, asks, _GONE[1])
        self.bids, self.asks = list(bids), list(asks)
        updates = [*gone_bids, *gone_asks, *set_bids, *set_asks]
        self.changed = self.changed or bool(updates)
        return updates

    def checksum(self) -> int:
        """Of the rows now. What changes later makes the next one due."""
        self.changed = False
        return checksum(self.bids, self.asks)


def _difference(before: Sequence[Row], after: Sequence[Row], gone: tuple[bytes, bytes]) -> tuple[list[Row], list[Row]]:
    """Deletes and sets of one side. Rows are told apart by their first field, a price or an order's id."""
    was = {row[0]: row for row in before}
    now = {row[0] for row in after}
    deletes: list[Row] = [(row[0], *gone) for row in before if row[0] not in now]
    return deletes, [row for row in after if was.get(row[0]) != row]


def checksum(bids: Sequence[Row], asks: Sequence[Row]) -> int:
    """Signed CRC-32 of the top 25 of both sides in turn, `price:amount` or `id:amount` each (docs ws-websocket-checksum).

    Written here once more, and not taken from `core/book.py`, so that the one is judged by the other.
    """
    parts: list[bytes] = []
    for pair in zip_longest(bids[:25], asks[:25]):
        for row in pair:
            if row is not None:
                parts += (row[0], row[2])
    return int.from_bytes(crc32(b":".join(parts)).to_bytes(4, "big"), "big", signed=True)
