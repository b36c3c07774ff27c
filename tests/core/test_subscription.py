"""What a subscription sends, and how it is named."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription


class Subscriptions(SynchronousTestCase):
    """Of books and of trades."""

    def test_a_book_has_parameters_and_all_of_them_are_texts(self) -> None:
        book = Subscription(ChannelName.BOOK, "tBTCUSD", precision="R0", length=100)
        self.assertEqual(book.parameters, {"prec": "R0", "freq": "F0", "len": "100"})

    def test_trades_have_none(self) -> None:
        self.assertEqual(Subscription(ChannelName.TRADES, "tBTCUSD").parameters, {})

    def test_the_log_names_the_pair_as_people_write_it(self) -> None:
        self.assertEqual(str(Subscription(ChannelName.TRADES, "tBTCUSD")), "BTC/USD trades")
