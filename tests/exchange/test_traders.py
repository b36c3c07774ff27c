"""A market of simple traders stays one."""

from collections.abc import Callable
from itertools import count
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.pairs import model_of
from bfxtwist.exchange.traders import Traders


def order_ids() -> Callable[[], int]:
    """1, 2, 3, …"""
    numbers = count(1)
    return lambda: next(numbers)


class TradersTest(SynchronousTestCase):
    """Over half an hour of a pair's life."""

    def test_books_stay_deep_uncrossed_and_near_their_price(self) -> None:
        for symbol in ("tBTCUSD", "tVETBTC", "tNEW:COIN"):
            traders = Traders(model_of(symbol), Random(1), order_ids())
            executions, middle = [], 0.0
            for _ in range(200):
                executions += traders.step(500)
                bid, ask = traders.bids.best, traders.asks.best
                assert bid is not None and ask is not None
                self.assertLess(bid, ask)
                middle = (bid + ask) / 2
                self.assertTrue(300 < len(traders.bids) < 800, len(traders.bids))
                self.assertTrue(300 < len(traders.asks) < 800, len(traders.asks))
            self.assertTrue(0.7 < middle / traders.model.price < 1.4, (symbol, middle))
            self.assertGreater(len({e.price for e in executions}), 3)
            self.assertEqual({e.amount > 0 for e in executions}, {True, False})

    def test_tiny_amounts(self) -> None:
        traders = Traders(model_of("tBTCUSD"), Random(1), order_ids())
        traders.tiny = True
        executions = traders.step(2000)
        self.assertTrue(any(abs(execution.amount) < 100 for execution in executions))
