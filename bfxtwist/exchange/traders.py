"""What happens on one simulated pair: orders come and go around a price that walks at random, and some meet.

The market is one of many small, stupid traders ("zero intelligence", Farmer 2005), which is enough for books and trades
that look and move like real ones. Everything follows from the random numbers given.
"""

from collections.abc import Callable
from math import exp
from random import Random
from typing import NamedTuple

from bfxtwist.exchange.orders import OrderSide
from bfxtwist.exchange.pairs import PairModel

#: Orders of a side around which the market keeps itself: enough for a book of 250 levels.
_POPULATION = 450

#: The share of market orders among events, and the volatility: of one event, about 20 % a year at the usual rate.
_MARKET_ORDERS = 0.012
_VOLATILITY = 4e-6


class Execution(NamedTuple):
    """A trade, in the pair's whole numbers; the amount is positive if the taker bought."""

    amount: int
    price: int


class Traders:
    """The orders of one pair and those who give them. `new_order_id()` gives growing numbers."""

    def __init__(self, model: PairModel, random: Random, new_order_id: Callable[[], int]) -> None:
        self.model = model
        self.bids = OrderSide(1, model.decimals)
        self.asks = OrderSide(-1, model.decimals)
        self.tiny = False  # amounts are written with an exponent
        self._random = random
        self._new_order_id = new_order_id
        self._fair = float(model.price)
        self._leaning = 0.5  # of market orders, those that buy: trends make sweeps of several levels
        for _ in range(2 * _POPULATION):
            self._limit_order()

    def step(self, events: float) -> list[Execution]:
        """So many events, on average if it is not a whole number. The trades they led to, in order."""
        executions: list[Execution] = []
        whole = int(events) + (self._random.random() < events % 1)
        for _ in range(whole):
            self._walk()
            chance = self._random.random()
            if chance < _MARKET_ORDERS:
                executions += self._market_order()
            elif chance < 0.5:
                executions += self._limit_order()
            else:
                self._withdraw()
        return executions

    def _walk(self) -> None:
        drift = (self.model.price - self._fair) * 2e-6  # within hours it comes back to the price that the pair is known for
        self._fair = self._fair * exp(self._random.gauss(0.0, _VOLATILITY)) + drift
        self._leaning = min(0.9, max(0.1, self._leaning + self._random.gauss(0.0, 0.01)))

    def _sides(self, buying: bool) -> tuple[OrderSide, OrderSide]:
        """The side where an order rests, and the one where it is filled."""
        return (self.bids, self.asks) if buying else (self.asks, self.bids)

    def _market_order(self) -> list[Execution]:
        buying = self._random.random() < self._leaning
        amount = self._amount()
        if self._random.random() < 0.15:
            amount *= 8  # one that eats through several levels within one millisecond
        return self._take(self._sides(buying)[1], amount, None)

    def _limit_order(self) -> list[Execution]:
        buying = self._random.random() < 0.5
        own, other = self._sides(buying)
        price, amount = self._price(own), self._amount()
        executions = []
        if other.best is not None and own.sign * price >= own.sign * other.best:
            executions = self._take(other, amount, price)
            amount -= sum(abs(taken) for taken, _ in executions)
        if amount > 0:
            own.add(self._new_order_id(), price, amount)
        return executions

    def _take(self, side: OrderSide, amount: int, limit: int | None) -> list[Execution]:
        """`limit` is a price that is still good enough."""
        if len(side) < _POPULATION // 4:
            return []  # nobody sells into a void
        return [Execution(-side.sign * fill.amount, fill.price) for fill in side.take(amount, limit)]

    def _withdraw(self) -> None:
        side = self.bids if len(self.bids) > len(self.asks) else self.asks
        if len(side) < _POPULATION:
            return
        near = self._random.random() < 0.7
        order_id = side.pick(int(self._random.expovariate(1 / (8 if near else 150))))
        if order_id is None:
            return
        # Half of the time an order is only changed, unless there are many: as many must go as come.
        if len(side) > 1.1 * _POPULATION or self._random.random() < 0.5:
            side.cancel(order_id)
        else:
            side.change(order_id, self._amount())

    def _price(self, side: OrderSide) -> int:
        near = self._random.random() < 0.6
        ticks = 0.5 + self._random.expovariate(1 / (6 if near else 120))
        raw = self._fair - side.sign * ticks * self.model.tick
        price = int(raw) // self.model.tick * self.model.tick
        if self._random.random() < 0.1:  # a price in finer digits than the book shows
            price += self._random.randrange(self.model.tick)
        return max(1, price)

    def _amount(self) -> int:
        if self.tiny:
            return self._random.randint(1, 99)
        amount = self.model.amount * self._random.lognormvariate(0.0, 1.2)
        if self._random.random() < 0.3:  # people like round numbers
            return max(1, int(float(f"{amount:.1g}")))
        return max(1, int(amount))
