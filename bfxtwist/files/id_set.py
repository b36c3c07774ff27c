"""A set of trade ids in a few bytes each, for recordings of tens of millions of trades.

Ids of one pair grow with time and lie close together, so they are kept by their upper bits in pages of 65,536 possible
ids: a page is a sorted array at two bytes an id until it would be larger than the 8 KiB of a bit map of the whole page, then
it is that bit map. This is the idea of Roaring bitmaps (arXiv:1402.6407).
"""

from array import array
from bisect import bisect_left, bisect_right
from typing import TypeAlias

_BITS = 16
_LOW = (1 << _BITS) - 1
_BITMAP_BYTES = 1 << (_BITS - 3)
_LONGEST_ARRAY = _BITMAP_BYTES // 2

_Page: TypeAlias = "array[int] | bytearray"  # an array cannot be subscripted before Python 3.12


class IdSet:
    """Positive integers: `add` says whether one is new."""

    def __init__(self) -> None:
        self._pages: dict[int, _Page] = {}

    def add(self, number: int) -> bool:
        """Whether `number` was not in the set until now."""
        low = number & _LOW
        page = self._pages.get(number >> _BITS)
        if page is None:
            self._pages[number >> _BITS] = array("H", (low,))
            return True
        if isinstance(page, bytearray):
            bit = 1 << (low & 7)
            if page[low >> 3] & bit:
                return False
            page[low >> 3] |= bit
            return True
        return self._add_to_array(number >> _BITS, page, low)

    def _add_to_array(self, key: int, page: "array[int]", low: int) -> bool:
        if low > page[-1]:
            page.append(low)
        else:
            index = bisect_left(page, low)
            if page[index] == low:
                return False
            page.insert(index, low)
        if len(page) > _LONGEST_ARRAY:
            self._pages[key] = _bitmap(page)
        return True

    def __contains__(self, number: int) -> bool:
        page = self._pages.get(number >> _BITS)
        low = number & _LOW
        if page is None:
            return False
        if isinstance(page, bytearray):
            return bool(page[low >> 3] >> (low & 7) & 1)
        index = bisect_left(page, low)
        return index < len(page) and page[index] == low

    def __len__(self) -> int:
        return self.count(0, (max(self._pages, default=0) + 1) << _BITS)

    def count(self, first: int, last: int) -> int:
        """How many there are from `first` to `last`, both included."""
        if last < first:
            return 0
        return sum(
            _count(page, max(first - (key << _BITS), 0), min(last - (key << _BITS), _LOW))
            for key, page in self._pages.items()
            if first >> _BITS <= key <= last >> _BITS
        )


def _bitmap(numbers: "array[int]") -> bytearray:
    bitmap = bytearray(_BITMAP_BYTES)
    for number in numbers:
        bitmap[number >> 3] |= 1 << (number & 7)
    return bitmap


def _count(page: _Page, first: int, last: int) -> int:
    if isinstance(page, bytearray):
        bits = int.from_bytes(page, "little") >> first
        return (bits & ((1 << (last - first + 1)) - 1)).bit_count()
    return bisect_right(page, last) - bisect_left(page, first)
