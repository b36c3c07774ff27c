"""The orders of one simulated pair, matched by price and then by time. Prices and amounts are whole numbers (`pairs.py`)."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from bfxtwist.core.messages import Row
from bfxtwist.exchange.numbers import rounded, token
from bfxtwist.exchange.pairs import AMOUNT_DECIMALS

#: Significant digits of a price, by precision (docs ws-public-books).
_DIGITS = {"P0": 5, "P1": 4, "P2": 3, "P3": 2, "P4": 1}


class Fill(NamedTuple):
    """A part of an order that was taken."""

    price: int
    amount: int


class OrderSide:
    """The bids (sign 1) or the asks (sign -1)."""

    def __init__(self, sign: int, decimals: int) -> None:
        self.sign = sign
        self._decimals = decimals
        self._levels: dict[int, dict[int, int]] = {}  # price → id → amount; ids grow, so the oldest is first
        self._prices: list[int] = []  # sorted, best last: what happens most, happens at the end
        self._price_of: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._price_of)

    @property
    def best(self) -> int | None:
        """The best price."""
        return self.sign * self._prices[-1] if self._prices else None

    def add(self, order_id: int, price: int, amount: int) -> None:
        """A new order."""
        level = self._levels.get(price)
        if level is None:
            level = self._levels[price] = {}
            insort(self._prices, self.sign * price)
        level[order_id] = amount
        self._price_of[order_id] = price

    def cancel(self, order_id: int) -> None:
        """An order is withdrawn, or used up."""
        price = self._price_of.pop(order_id)
        level = self._levels[price]
        del level[order_id]
        if not level:
            del self._levels[price]
            del self._prices[bisect_left(self._prices, self.sign * price)]

    def change(self, order_id: int, amount: int) -> None:
        """An order has another amount now."""
        self._levels[self._price_of[order_id]][order_id] = amount

    def take(self, amount: int, limit: int | None = None) -> list[Fill]:
        """Fill an order of `amount` from the best prices on, none of them worse than `limit`."""
        fills = []
        while amount > 0 and self.best is not None:
            price = self.best
            if limit is not None and self.sign * price < self.sign * limit:
                break
            order_id, offered = next(iter(self._levels[price].items()))
            taken = min(amount, offered)
            fills.append(Fill(price, taken))
            amount -= taken
            if taken == offered:
                self.cancel(order_id)
            else:
                self.change(order_id, offered - taken)
        return fills

    def pick(self, depth: int) -> int | None:
        """The id of the oldest order of the level that is `depth` levels from the best, or of the last level."""
        if not self._prices:
            return None
        price = self.sign * self._prices[max(0, len(self._prices) - 1 - depth)]
        return next(iter(self._levels[price]))

    def rows(self, precision: str, length: int) -> list[Row]:
        """The best `length` levels or, for R0, orders: wire tokens, best first."""
        if precision == "R0":
            return list(islice(self._raw_rows(), length))
        return list(islice(self._level_rows(_DIGITS[precision]), length))

    def _best_first(self) -> Iterator[tuple[int, dict[int, int]]]:
        for key in reversed(self._prices):
            yield self.sign * key, self._levels[self.sign * key]

    def _raw_rows(self) -> Iterator[Row]:
        for price, level in self._best_first():
            price_token = token(price, self._decimals)
            for order_id, amount in level.items():
                yield b"%d" % order_id, price_token, token(self.sign * amount, AMOUNT_DECIMALS)

    def _level_rows(self, digits: int) -> Iterator[Row]:
        current, count, total = 0, 0, 0
        for price, level in self._best_first():
            # Away from the spread: nobody is shown a price better than the order's.
            shown = rounded(price, digits, up=self.sign < 0)
            if shown != current and count:
                yield self._row(current, count, total)
                count = total = 0
            current = shown
            count += len(level)
            total += sum(level.values())
        if count:
            yield self._row(current, count, total)

    def _row(self, price: int, count: int, total: int) -> Row:
        return token(price, self._decimals), b"%d" % count, token(self.sign * total, AMOUNT_DECIMALS)
