"""Orders of one side: matched by price and then by time, and shown by precision."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.orders import Fill, OrderSide

COIN = 100_000_000


class OrdersTest(SynchronousTestCase):
    """Prices with one decimal."""

    def setUp(self) -> None:
        """Two levels of five digits on each side, one of them with an order in a sixth digit."""
        self.bids, self.asks = OrderSide(1, 1), OrderSide(-1, 1)
        for order_id, price, amount in ((1, 642500, 1), (2, 642507, 2), (3, 642490, 4)):
            self.bids.add(order_id, price, amount * COIN)
        for order_id, price, amount in ((4, 642510, 1), (5, 642513, 2), (6, 642530, 4)):
            self.asks.add(order_id, price, amount * COIN)

    def test_levels_round_away_from_the_spread(self) -> None:
        self.assertEqual(self.bids.rows("P0", 25), [(b"64250", b"2", b"3"), (b"64249", b"1", b"4")])
        self.assertEqual(
            self.asks.rows("P0", 25), [(b"64251", b"1", b"-1"), (b"64252", b"1", b"-2"), (b"64253", b"1", b"-4")]
        )
        self.assertEqual(self.bids.rows("P4", 25), [(b"60000", b"3", b"7")])
        self.assertEqual(self.asks.rows("P4", 25), [(b"70000", b"3", b"-7")])
        self.assertEqual(len(self.bids.rows("P0", 1)), 1)

    def test_raw_orders_come_by_price_and_id(self) -> None:
        self.bids.add(7, 642507, COIN)
        self.assertEqual([row[0] for row in self.bids.rows("R0", 3)], [b"2", b"7", b"1"])
        self.assertEqual(self.asks.rows("R0", 1), [(b"4", b"64251", b"-1")])

    def test_the_best_and_the_oldest_is_filled_first(self) -> None:
        self.assertEqual(self.asks.take(2 * COIN), [Fill(642510, COIN), Fill(642513, COIN)])
        self.assertEqual(self.asks.rows("R0", 1), [(b"5", b"64251.3", b"-1")])
        self.assertEqual(self.bids.take(9 * COIN, limit=642500), [Fill(642507, 2 * COIN), Fill(642500, COIN)])
        self.assertEqual(self.bids.best, 642490)

    @given(st.lists(st.tuples(st.integers(1, 30), st.integers(1, 9)), max_size=40), st.integers(1, 200))
    def test_what_is_taken_is_gone(self, orders: list[tuple[int, int]], amount: int) -> None:
        side = OrderSide(1, 0)
        for order_id, (price, offered) in enumerate(orders):
            side.add(order_id, price, offered)
        fills = side.take(amount)
        offered = sum(order[1] for order in orders)
        self.assertEqual(sum(fill.amount for fill in fills), min(amount, offered))
        self.assertEqual([fill.price for fill in fills], sorted((fill.price for fill in fills), reverse=True))
        left = sum(round(float(row[2]) * COIN) for row in side.rows("R0", 1000))
        self.assertEqual(left, offered - min(amount, offered))
