"""Which feeds there are."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from tests.core.conversation import BOOK, TRADES
from tests.core.feeds import at


class Carried(SynchronousTestCase):
    """What is where."""

    def test_one_of_each_kind_for_a_symbol(self) -> None:
        market = Market()
        book, trades = market.carry(BOOK, at(0)), market.carry(TRADES, at(0))
        self.assertIs(market.feed(BOOK), book)
        self.assertIs(market.feed(TRADES), trades)
        self.assertEqual([*market.feeds()], [book, trades])
        with self.assertRaises(ValueError):
            market.carry(Subscription(ChannelName.BOOK, "tBTCUSD", precision="R0"), at(0))

    def test_forgotten(self) -> None:
        market = Market()
        market.carry(BOOK, at(0))
        market.forget(BOOK)
        with self.assertRaises(KeyError):
            market.feed(BOOK)
        with self.assertRaises(KeyError):
            market.forget(TRADES)

    def test_trades_are_forgotten_and_the_book_is_not(self) -> None:
        market = Market()
        book, _ = market.carry(BOOK, at(0)), market.carry(TRADES, at(0))
        market.forget(TRADES)
        self.assertEqual([*market.feeds()], [book])
