"""A raw book (R0): single orders, each known by its id, sorted by price and then by id (bitfinex-api-node #360).

A price of 0 deletes an order, the sign of the amount tells the side (docs ws-public-raw-books).
"""

from bisect import bisect_left, insort

from bfxtwist.core.book import FLOAT_DIGITS, SMALLEST_PRICE, Book, Key, Price, Side
from bfxtwist.core.messages import Numbers, RowText


class Orders(Side):
    """The orders of one side. A key is a price and the id, negative for bids: the oldest of a price comes first."""

    __slots__ = ("key_of",)

    def __init__(self, sign: int) -> None:
        super().__init__(sign)
        self.key_of: dict[int, Key] = {}  # by order id, to find an order whose price has changed

    def top(self) -> float | None:
        """The best price."""
        return float(self.keys[0 if self.sign > 0 else -1][0]) if self.keys else None

    def put(self, order_id: int, price: Price, text: RowText) -> None:
        """Set an order, wherever it stood before."""
        key = (price, self.sign * order_id)
        if self.key_of.get(order_id) != key:
            self.remove(order_id)
            insort(self.keys, key)
            self.key_of[order_id] = key
        self.by_key[key] = text

    def remove(self, order_id: int) -> bool:
        """Whether there was such an order."""
        key = self.key_of.pop(order_id, None)
        if key is None:
            return False
        del self.by_key[key], self.keys[bisect_left(self.keys, key)]
        return True


class RawBook(Book):
    """A book whose rows are `id,price,amount`."""

    columns = (1, 2, 0)
    bids: Orders
    asks: Orders

    def _clear(self) -> None:
        self.exact = False
        self.bids, self.asks = Orders(-1), Orders(1)

    def put(self, text: RowText, numbers: Numbers) -> None:
        """Take in a row whose numbers are known. Raises ValueError for what cannot be a row; the book is then unchanged."""
        _, price, amount = numbers
        if not amount or price < 0 or 0 < price < SMALLEST_PRICE:
            raise ValueError("a row of a raw book has an id, a price and an amount that is not 0")
        id_token, price_token, _ = text.split(b",")
        order_id = int(id_token) if id_token.isdigit() else 0  # its float would have 15 digits
        if not order_id:
            raise ValueError("the id of an order is a positive integer")
        exact = self.exact or len(price_token) > FLOAT_DIGITS
        key = self._exactly(price_token) if exact else price
        side = self.bids if amount > 0 else self.asks
        if price:
            side.put(order_id, key, text)
        elif not side.remove(order_id):
            self.unknown_deletes += 1


def book_of(precision: str) -> Book:
    """An empty book of a precision: R0, or P0 to P4."""
    return RawBook() if precision == "R0" else Book()
