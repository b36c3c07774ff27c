"""Price levels: load, apply, checksum, and the bytes that readers are given.

A side keeps two parallel lists, best first: what to sort by, and the rows of tokens as they came. Finding a level is a
bisection, the checksum and the JSON text are joins over tokens that nobody has formatted anew.

The exchange's rules (docs ws-public-books): a count of 0 deletes, the sign of the amount tells the side. Of a raw book (R0)
the price is 0 in a delete, and a row is one order, known by its id.
"""

from bisect import bisect_left
from collections.abc import Iterable
from decimal import Decimal
from zlib import crc32

from bfxtwist.core.messages import Numbers, Row

#: The checksum covers this many levels of each side, whatever the length of the book (docs ws-websocket-checksum).
CHECKSUM_DEPTH = 25


class _Levels:
    """The price levels of one side. `sign` is -1 for bids, so that the best price is first on both sides."""

    __slots__ = ("keys", "rows", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[float] = []
        self.rows: list[Row] = []

    def top(self) -> float | None:
        return self.sign * self.keys[0] if self.keys else None

    def put(self, row: Row, price: float) -> None:
        key = self.sign * price
        keys, rows = self.keys, self.rows
        index = bisect_left(keys, key)
        known = index < len(keys) and keys[index] == key
        if known and rows[index][0] != row[0]:
            index, known = self._among_equals(index, row[0])
        if known:
            rows[index] = row
        else:
            keys.insert(index, key)
            rows.insert(index, row)

    def remove(self, row: Row, price: float) -> bool:
        """Whether there was such a level."""
        index, known = self._among_equals(bisect_left(self.keys, self.sign * price), row[0])
        if known:
            del self.keys[index], self.rows[index]
        return known

    def _among_equals(self, index: int, price: bytes) -> tuple[int, bool]:
        """Where the level of this price is or belongs, among those from `index` on whose floats are the same.

        Floats order the levels but do not tell them apart: two prices can differ beyond a float's 17 digits, and one price
        can be written in two ways. Where floats are equal and tokens are not, decimals decide.
        """
        key = self.sign * float(price)
        while index < len(self.keys) and self.keys[index] == key:
            token = self.rows[index][0]
            if token == price:
                return index, True
            known, wanted = self.sign * Decimal(token.decode()), self.sign * Decimal(price.decode())
            if known >= wanted:
                return index, known == wanted
            index += 1
        return index, False


class _Orders:
    """The orders of one side of a raw book: by price, then by id (bitfinex-api-node #360)."""

    __slots__ = ("keys", "prices", "rows", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[tuple[Decimal, int]] = []
        self.rows: list[Row] = []
        self.prices: dict[int, Decimal] = {}  # by order id, to find an order whose price has changed

    def top(self) -> float | None:
        return float(self.sign * self.keys[0][0]) if self.keys else None

    def put(self, row: Row, _order_id: float) -> None:
        order_id = int(row[0])
        self._remove(order_id)
        key = (self.sign * Decimal(row[1].decode()), order_id)
        index = bisect_left(self.keys, key)
        self.keys.insert(index, key)
        self.rows.insert(index, row)
        self.prices[order_id] = key[0]

    def remove(self, row: Row, _order_id: float) -> bool:
        """Whether there was such an order."""
        return self._remove(int(row[0]))

    def _remove(self, order_id: int) -> bool:
        price = self.prices.pop(order_id, None)
        if price is None:
            return False
        index = bisect_left(self.keys, (price, order_id))
        del self.keys[index], self.rows[index]
        return True


class Book:
    """One book as the exchange describes it.

    `bids.rows` and `asks.rows` are tuples of wire tokens, best first: `(price, count, amount)`, or `(id, price, amount)` of
    a raw book; the amounts of asks are negative, as on the wire. `unknown_deletes` counts deletes of levels that were not
    there: none was seen in a million recorded updates, so they hint at a fault.
    """

    def __init__(self, raw: bool = False) -> None:
        self.raw = raw
        self.unknown_deletes = 0
        self._clear()

    def _clear(self) -> None:
        side = _Orders if self.raw else _Levels
        self.bids: _Levels | _Orders = side(-1)
        self.asks: _Levels | _Orders = side(1)

    def load(self, rows: Iterable[Row]) -> None:
        """Begin anew from a snapshot. Raises ValueError for a row that cannot be one of a book."""
        self._clear()
        for row in rows:
            self.apply(row)

    def apply(self, row: Row) -> None:
        """Take in one row of an update. Raises ValueError for what cannot be a row; the book is then unchanged."""
        self.take(row, Numbers.of(row))

    def take(self, row: Row, numbers: Numbers) -> None:
        """The same, of a row whose numbers are known."""
        first, second, amount = numbers.first, numbers.second, numbers.third
        if not amount:
            raise ValueError("the amount is 0, which belongs to neither side")
        if second < 0 or (first <= 0 and not self.raw):
            raise ValueError("a price or a count is negative")
        side = self.bids if amount > 0 else self.asks
        # A level is deleted by a count of 0, an order by a price of 0: of both kinds, the second field.
        if second:
            side.put(row, first)
        elif not side.remove(row, first):
            self.unknown_deletes += 1

    @property
    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask."""
        bid, ask = self.bids.top(), self.asks.top()
        return bid is not None and ask is not None and bid >= ask

    @property
    def depth(self) -> int:
        """The number of levels of the longer side."""
        return max(len(self.bids.rows), len(self.asks.rows))

    def checksum(self) -> int:
        """CRC-32 of the top 25 levels, signed, as in a `cs` message (docs ws-websocket-checksum).

        Bids and asks alternate; of a level its price (of an order its id) and its amount; a missing level is left out.
        """
        tokens = _by_rank(self.bids.rows[:CHECKSUM_DEPTH], self.asks.rows[:CHECKSUM_DEPTH])
        value = crc32(b":".join(tokens))
        return value - (1 << 32) if value >= 1 << 31 else value

    def levels_json(self, depth: int | None = None) -> bytes:
        """`"bids":[[price,amount,count],…],"asks":[…]`: amounts positive, each number in the exchange's own digits.

        Of a raw book the rows are `[price,amount,id]`. `depth` cuts each side.
        """
        bids, asks = (b",".join(self._texts(side.rows[:depth])) for side in (self.bids, self.asks))
        return b'"bids":[%b],"asks":[%b]' % (bids, asks)

    def _texts(self, rows: list[Row]) -> list[bytes]:
        if self.raw:
            return [b"[%b,%b,%b]" % (row[1], row[2].lstrip(b"-"), row[0]) for row in rows]
        return [b"[%b,%b,%b]" % (row[0], row[2].lstrip(b"-"), row[1]) for row in rows]


def _by_rank(bids: list[Row], asks: list[Row]) -> list[bytes]:
    """The first and third tokens of each row, a bid and an ask in turns, and at the end those of the longer side.

    Column by column, since that is half the time of row by row. Texts kept ready for each level would be quicker still, but
    dearer to keep up to date than they save: there is a checksum for 50 to 100 updates.
    """
    shared = min(len(bids), len(asks))
    tokens = [b""] * (4 * shared)
    if shared:
        bid, ask = (list(zip(*rows[:shared])) for rows in (bids, asks))  # noqa: B905 - looking for longer rows costs as much again
        tokens[::4], tokens[1::4], tokens[2::4], tokens[3::4] = bid[0], bid[2], ask[0], ask[2]
    for row in bids[shared:] or asks[shared:]:
        tokens += (row[0], row[2])
    return tokens
