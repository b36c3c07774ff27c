"""Every id that is in the file or on its way there, and the newest of earlier files, at eight bytes each.

A year of the busiest pair is some six million trades: a set of Python integers would take half a gigabyte for them, a sorted
array takes fifty megabytes. Nearly every new id is above all others, and is appended. Those that come late go to a small
set, and are sorted in when there are many. Nothing here makes integers of all of them at once, not for a moment either: a
daemon that starts with such a file would be killed for its memory.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable
from itertools import islice

_FOLD_AT = 4096

#: Ids that are compared at once.
_PIECE = 4096


class KnownIds:
    """A set of ids that can also be asked for its upper end."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        """They may stand twice."""
        self._sorted = array("q")
        self._late: set[int] = set()
        self.largest = 0  # that was ever known: what is above is new, without a look
        coming = iter(ids)
        while piece := set(islice(coming, _PIECE)):
            self.update([trade_id for trade_id in piece if trade_id > self.largest or trade_id not in self])

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
            above = bisect_right(ordered, self.largest)
            self._late.update(ordered[:above])
            self._sorted.extend(ordered[above:])
            if len(self._late) >= _FOLD_AT:
                self._fold()
        self.largest = max(self.largest, ordered[-1])

    def discard(self, trade_id: int) -> None:
        """Forget one."""
        if trade_id in self._late:
            self._late.remove(trade_id)
        elif trade_id in self:
            del self._sorted[bisect_left(self._sorted, trade_id)]

    def become(self, others: "KnownIds") -> None:
        """Know these, and forget all else."""
        self._sorted, self._late, self.largest = others._sorted[:], set(others._late), others.largest

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
            late = sorted(self._late)
            self._late.clear()
            # Almost always they belong near the end: the millions before them are left alone.
            at = bisect_left(self._sorted, late[0])
            after = self._sorted[at:]
            del self._sorted[at:]
            start = 0
            for trade_id in late:
                end = bisect_left(after, trade_id, start)
                self._sorted.extend(after[start:end])
                self._sorted.append(trade_id)
                start = end
            self._sorted.extend(after[start:])
