"""Price levels: load, take in, checksum, and the bytes that readers are given.

A side keeps the texts of its rows by price, and its prices in order: to set a level anew, which is most of what comes, is a
look into a dict, and only a new price or a deleted one is a bisection. The checksum and the JSON text are made of those
texts, joined and cut at their commas in one go: nobody formats a number anew.

The exchange's rules (docs ws-public-books): a count of 0 deletes, the sign of the amount tells the side.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from decimal import Decimal
from sys import float_info
from typing import Any
from zlib import crc32

from bfxtwist.core.messages import Numbers, Row, RowText, read_row

#: The checksum covers this many levels of each side, whatever the length of the book (docs ws-websocket-checksum).
CHECKSUM_DEPTH = 25

#: Two prices that are written with no more characters than this are never one float (IEEE 754: 15 digits survive).
FLOAT_DIGITS = float_info.dig

#: The smallest float that has them all. No price is smaller.
SMALLEST_PRICE = float_info.min

#: A row that is no longer has no longer price: there are two commas and two more numbers in it.
_SHORT_ROW = FLOAT_DIGITS + 4

Price = float | Decimal

#: Of a level its price; of an order of a raw book its price and id.
Key = Price | tuple[Price, int]


class Side:
    """The levels of one side. `sign` is -1 for bids, of which the highest price is the best."""

    __slots__ = ("by_key", "keys", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[Any] = []  # Keys, ascending on both sides
        self.by_key: dict[Key, RowText] = {}

    @property
    def rows(self) -> list[Row]:
        """All rows as tuples of tokens, best first."""
        return [tuple(text.split(b",")) for text in self.best()]

    def best(self, depth: int | None = None) -> list[RowText]:
        """The texts of the rows, best first, or of the first `depth` of them."""
        keys = self.keys if self.sign > 0 else self.keys[::-1]
        return [self.by_key[key] for key in keys[:depth]]

    def top(self) -> float | None:
        """The best price."""
        return float(self.keys[0 if self.sign > 0 else -1]) if self.keys else None


class Book:
    """One book as the exchange describes it.

    Rows are wire tokens, `price,count,amount`; the amounts of asks are negative, as on the wire.
    `unknown_deletes` counts deletes of levels that were not there: none was seen in a million recorded updates, so they hint
    at a fault.

    Floats tell prices apart for less than anything else can. But two prices can differ beyond a float's digits: a book that
    has met one so long goes on with decimals until the next snapshot.
    """

    #: Which tokens of a row readers are given, and in which order: price, amount, count (of a raw book: id).
    columns = (0, 2, 1)

    def __init__(self) -> None:
        self.unknown_deletes = 0
        self._clear()

    def _clear(self) -> None:
        self.exact = False
        self.bids, self.asks = Side(-1), Side(1)

    def load(self, rows: Iterable[Row]) -> None:
        """Begin anew from a snapshot. Raises ValueError for a row that cannot be one of a book; it is then unchanged."""
        before = self.exact, self.bids, self.asks
        self._clear()
        try:
            for row in rows:
                self.apply(row)
        except ValueError:
            self.exact, self.bids, self.asks = before
            raise

    def apply(self, row: Row) -> None:
        """Take in one row of an update. Raises ValueError for what cannot be a row; the book is then unchanged."""
        self.put(*read_row(row))

    def put(self, text: RowText, numbers: Numbers) -> None:
        """The same, of a row whose numbers are known. This is what the program does most of the time."""
        key: Key
        key, count, amount = numbers
        if not amount or key < SMALLEST_PRICE or count < 0:
            raise ValueError("a row of a book has a positive price, a count and an amount that is not 0")
        if self.exact or (len(text) > _SHORT_ROW and text.index(b",") > FLOAT_DIGITS):
            key = self._exactly(text[: text.index(b",")])
        side = self.bids if amount > 0 else self.asks
        rows = side.by_key
        if count:
            if key not in rows:
                insort(side.keys, key)
            rows[key] = text
        elif key in rows:
            del rows[key], side.keys[bisect_left(side.keys, key)]
        else:
            self.unknown_deletes += 1

    def _exactly(self, price: bytes) -> Decimal:
        """The price as a decimal, as this book has them from now on."""
        if not self.exact:
            before = self.bids.rows + self.asks.rows
            self._clear()
            self.exact = True
            for row in before:
                self.apply(row)
        return Decimal(price.decode())

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask."""
        bid, ask = self.bids.top(), self.asks.top()
        return bid is not None and ask is not None and bid >= ask

    @property
    def depth(self) -> int:
        """The number of levels of the longer side."""
        return max(len(self.bids.keys), len(self.asks.keys))

    def checksum(self) -> int:
        """CRC-32 of the top 25 levels, signed, as in a `cs` message (docs ws-websocket-checksum).

        Bids and asks alternate; of a level its price (of an order its id) and its amount; a missing level is left out.
        """
        bids, asks = self.bids.best(CHECKSUM_DEPTH), self.asks.best(CHECKSUM_DEPTH)
        both = min(len(bids), len(asks))
        rows = [b""] * (2 * both)
        rows[::2], rows[1::2] = bids[:both], asks[:both]
        tokens = b",".join(rows + bids[both:] + asks[both:]).split(b",")
        del tokens[1::3]
        value = crc32(b":".join(tokens))
        return value - (1 << 32) if value >= 1 << 31 else value

    def levels_json(self, depth: int | None = None) -> bytes:
        """`"bids":[[price,amount,count],…],"asks":[…]`: amounts positive, each number in the exchange's own digits.

        Of a raw book the rows are `[price,amount,id]`. `depth` cuts each side.
        """
        bids, asks = (self._levels(side.best(depth)) for side in (self.bids, self.asks))
        return b'"bids":[%b],"asks":[%b]' % (bids, asks)

    def _levels(self, rows: list[RowText]) -> bytes:
        if not rows:
            return b""
        tokens = b",".join(rows).replace(b",-", b",").split(b",")  # only amounts have a sign
        columns = [tokens[at::3] for at in self.columns]
        return b",".join(map(b"[%b,%b,%b]".__mod__, zip(*columns, strict=True)))
