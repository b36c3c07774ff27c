"""What a Python program is given has every digit of the exchange's, and is what the wire said."""

from decimal import Decimal

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import ChannelName, Rows, Trade
from bfxtwist.core.moment import Moment
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.trade_rows import Arrival
from bfxtwist.exact import Level, order_book, trade_of

MOMENT = Moment(1.0, 1_790_134_414_850_000)


def feed_with(*rows: bytes, precision: str = "P0", length: int = 25) -> BookFeed:
    feed = BookFeed(Subscription(ChannelName.BOOK, "tBTCUSD", precision=precision, length=length), MOMENT)
    feed.snapshot(Rows(1, [tuple(row.split(b",")) for row in rows], 5, None), MOMENT)
    return feed


class Books(SynchronousTestCase):
    def test_of_levels(self) -> None:
        book = order_book(feed_with(b"7e-7,3,0.1000000000000000001", b"8e-7,1,-100.25"))
        self.assertEqual(book.bids, (Level(Decimal("7e-7"), Decimal("0.1000000000000000001"), 3),))
        self.assertEqual(book.asks, (Level(Decimal("8e-7"), Decimal("100.25"), 1),))
        self.assertEqual((book.symbol, book.status, book.nonce), ("BTC/USD", FeedState.LIVE, 5))
        self.assertEqual(book.timestamp, 1_790_134_414_850)

    def test_of_orders(self) -> None:
        """Of a raw book the order's id stands where a level has its count, and an id has more digits than a float."""
        book = order_book(feed_with(b"9007199254740993,100.5,2", precision="R0"))
        self.assertEqual(book.bids, (Level(Decimal("100.5"), Decimal(2), 9007199254740993),))

    def test_never_more_than_was_asked_for(self) -> None:
        """In the middle of a batch there can be more."""
        book = order_book(feed_with(b"100,1,1", b"99,1,1", b"101,1,-1", b"102,1,-1", length=1))
        self.assertEqual([level.price for level in book.bids + book.asks], [100, 101])


class Trades(SynchronousTestCase):
    def test_a_sale(self) -> None:
        """The sign of the amount is the side, as in the file."""
        trade = trade_of(Arrival(Trade(7, 1_542_045_947_738, b"-2.8e-7", b"6443.10"), 1))
        self.assertEqual(trade, (7, 1_542_045_947_738, "sell", Decimal("6443.10"), Decimal("2.8e-7")))
        self.assertEqual(str(trade.price), "6443.10")

    def test_a_purchase(self) -> None:
        trade = trade_of(Arrival(Trade(8, 1_542_045_947_739, b"0.5", b"6443"), 1))
        self.assertEqual((trade.side, trade.amount), ("buy", Decimal("0.5")))
