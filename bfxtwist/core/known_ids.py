"""Every id that is in the file or on its way there, and the newest of earlier files, at eight bytes each.

A year of the busiest pair is some six million trades: a set of Python integers would take half a gigabyte for them, a sorted
array takes fifty megabytes. Nearly every new id is above all others, and is appended. Those that come late go to a small
set, and are sorted in when there are many.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from itertools import islice
from operator import eq

_FOLD_AT = 4096

#: Ids that are compared at once.
_PIECE = 4096


class KnownIds:
    """A set of ids that can also be asked for its upper end."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._sorted = array("q", sorted(set(ids)))
        self._late: set[int] = set()
        self.largest = self._sorted[-1] if self._sorted else 0  # that was ever known: what is above is new, without a look

    def __contains__(self, trade_id: int) -> bool:
        if trade_id in self._late:
            return True
        index = bisect_left(self._sorted, trade_id)
        return index < len(self._sorted) and self._sorted[index] == trade_id

    def __len__(self) -> int:
        return len(self._sorted) + len(self._late)

    @property
    def smallest(self) -> int | None:
        """Of those that are known now; None if there are none."""
        return min([*self._sorted[:1], *self._late], default=None)

    def update(self, ids: Collection[int]) -> None:
        """Know these too. None of them may be known already."""
        ordered = sorted(ids)
        if not ordered:
            return
        if ordered[0] > self.largest:
            self._sorted.extend(ordered)
        else:
            self._late.update(ordered)
            if len(self._late) >= _FOLD_AT:
                self._fold()
        self.largest = max(self.largest, ordered[-1])

    def discard(self, trade_id: int) -> None:
        """Forget one."""
        if trade_id in self._late:
            self._late.remove(trade_id)
        elif trade_id in self:
            del self._sorted[bisect_left(self._sorted, trade_id)]

    def forget_below(self, trade_id: int) -> None:
        """Forget all that are smaller."""
        self._fold()
        del self._sorted[: bisect_left(self._sorted, trade_id)]

    def newest(self, at_least: int, most: int, down_to: int | None) -> list[int]:
        """The ids from `down_to` up, in order: `at_least` so many if there are, and at `most` so many."""
        self._fold()
        size = len(self._sorted)
        index = size if down_to is None else bisect_left(self._sorted, down_to)
        count = min(max(size - index, at_least), most)
        return list(self._sorted[max(size - count, 0) :])

    def between(self, low: int, high: int) -> list[int]:
        """The ids above `low` and below `high`, in no order."""
        inside = self._sorted[bisect_right(self._sorted, low) : bisect_left(self._sorted, high)]
        return [*inside, *(trade_id for trade_id in self._late if low < trade_id < high)]

    def unknown(self, others: "KnownIds") -> list[int]:
        """Which of `others` are not known here. Of a file that is read once more, hardly any is looked at alone."""
        others._fold()
        unknown: list[int] = []
        for start in range(0, len(others._sorted), _PIECE):
            piece = others._sorted[start : start + _PIECE]
            at = bisect_left(self._sorted, piece[0])
            if self._sorted[at : at + len(piece)] != piece:
                unknown += [trade_id for trade_id in piece if trade_id not in self]
        return unknown

    def _fold(self) -> None:
        if self._late:
            # Almost always they belong near the end: the millions before them are left alone.
            at = bisect_left(self._sorted, min(self._late))
            after = self._sorted[at:]
            del self._sorted[at:]
            self._sorted.extend(sorted([*after, *self._late]))
            self._late.clear()


def repeated(ids: Iterable[int]) -> bool:
    """Whether any id stands twice."""
    ordered = sorted(ids)
    return any(map(eq, ordered, islice(ordered, 1, None)))
