"""Every id that is in the file or on its way there, at eight bytes each.

A year of the busiest pair is some six million trades: a set of Python integers would take half a gigabyte for them, a sorted
array takes fifty megabytes. New ids go to a small dict, which keeps the order that they nearly always come in, and are
appended to the array when there are many.
"""

from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable
from itertools import islice
from operator import eq

_FOLD_AT = 4096


class KnownIds:
    """A set of ids that can also be asked for its upper end."""

    def __init__(self, ids: Iterable[int] = ()) -> None:
        self._old = array("q", sorted(set(ids)))
        self._new: dict[int, None] = {}
        self.largest = self._old[-1] if self._old else 0  # that was ever known: what is above is new, without a look

    def __contains__(self, trade_id: int) -> bool:
        if trade_id in self._new:
            return True
        index = bisect_left(self._old, trade_id)
        return index < len(self._old) and self._old[index] == trade_id

    def __len__(self) -> int:
        return len(self._old) + len(self._new)

    def update(self, ids: Collection[int]) -> None:
        """Know these too. None of them may be known already."""
        self._new.update(dict.fromkeys(ids))
        self.largest = max(self.largest, max(ids, default=0))
        if len(self._new) >= _FOLD_AT:
            self._fold()

    def discard(self, trade_id: int) -> None:
        """Forget one."""
        if trade_id in self._new:
            del self._new[trade_id]
        elif trade_id in self:
            del self._old[bisect_left(self._old, trade_id)]

    def newest(self, at_least: int, most: int, down_to: int | None) -> list[int]:
        """The ids from `down_to` up, in order: `at_least` so many if there are, and at `most` so many."""
        self._fold()
        size = len(self._old)
        index = size if down_to is None else bisect_left(self._old, down_to)
        count = min(max(size - index, at_least), most)
        return list(self._old[max(size - count, 0) :])

    def _fold(self) -> None:
        if self._new:
            # Almost always they belong at the end: the millions before them are left alone.
            at = bisect_left(self._old, min(self._new))
            later = self._old[at:]
            del self._old[at:]
            self._old.extend(sorted([*later, *self._new]))
            self._new.clear()


def repeated(ids: "array[int]") -> bool:
    """Whether any id stands twice in an array, which is sorted on the way."""
    ordered = sorted(ids)
    ids[:] = array("q", ordered)
    return any(map(eq, ordered, islice(ordered, 1, None)))
