"""One verification of a `cs` message, against formatting the numbers each time, in µs."""

import timeit
from decimal import Decimal
from zlib import crc32

from bfxtwist.core.book import Book
from bfxtwist.core.messages import Rows
from bfxtwist.core.wire import decode
from tests.bench.script import Workload, script


def measure() -> dict[str, float]:
    """The best of 20 times 200 runs each, in turns: these are functions, with nothing to wait for."""
    snapshot = decode(b"[1,%b,1]" % script(Workload("cs", messages=1)).snapshots["tBTCUSD"])
    assert isinstance(snapshot, Rows)
    book = Book()
    book.load(snapshot.rows)
    sides = [[(float(row[0]), float(row[2])) for row in side.rows[:25]] for side in (book.bids, book.asks)]

    def formatted() -> int:
        levels = [level for pair in zip(*sides, strict=True) for level in pair]
        return crc32(":".join(_text(number) for level in levels for number in level).encode())

    assert book.checksum() & 0xFFFFFFFF == formatted()
    turns = [(timeit.timeit(book.checksum, number=200), timeit.timeit(formatted, number=200)) for _ in range(20)]
    kept, anew = (min(times) / 200 * 1e6 for times in zip(*turns, strict=True))
    return {"kept": kept, "formatted": anew, "ratio": anew / kept}


def _text(number: float) -> str:
    """As the example of the official Python client writes numbers for a checksum."""
    return format(Decimal(repr(number)), "f").removesuffix(".0")
