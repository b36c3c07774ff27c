"""The market as a venue: what can be subscribed to, and that readers of the same thing share a stream."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from bfxtwist.out.relay_venue import MarketVenue
from tests.out.served import carry, live_book, moment
from tests.out.test_relay_streams import Ear

BOOK = Subscription(ChannelName.BOOK, "tBTCUSD")
SHORT = Subscription(ChannelName.BOOK, "tBTCUSD", length=1)
TRADES = Subscription(ChannelName.TRADES, "tBTCUSD")


class VenueTest(SynchronousTestCase):
    """A venue over a market with one book."""

    def setUp(self) -> None:
        self.market = Market()
        self.feed = live_book(self.market)
        self.venue = MarketVenue(self.market, Clock(), lambda reader, reason: None, lambda: None)

    def test_one_stream_for_all(self) -> None:
        """Readers of the same thing share a stream and a channel id; the last one ends it."""
        first, second, third = Ear(), Ear(), Ear()
        self.venue.open(BOOK, first)
        self.venue.open(BOOK, second)
        self.venue.open(SHORT, third)
        self.assertEqual(list(self.venue), [(BOOK, 2), (SHORT, 1)])
        self.assertEqual(self.venue.channel_id(BOOK), self.venue.channel_id(BOOK))
        self.assertNotEqual(self.venue.channel_id(BOOK), self.venue.channel_id(SHORT))
        self.venue.close(BOOK, first)
        self.venue.close(SHORT, third)
        self.assertEqual(list(self.venue), [(BOOK, 1)])
        self.assertEqual(len(self.feed.listeners), 1)

    def test_live_and_ready(self) -> None:
        """A book that is crossed is live, and not ready; what is not carried is neither."""
        self.assertEqual((self.venue.live(BOOK), self.venue.ready(BOOK)), (True, True))
        self.feed.book.apply((b"7000", b"1", b"1"))
        self.assertEqual((self.venue.live(BOOK), self.venue.ready(BOOK)), (True, False))
        self.assertEqual((self.venue.live(TRADES), self.venue.ready(TRADES)), (False, False))

    def test_gone(self) -> None:
        """Not carried any more, or anew and therefore by another feed."""
        self.venue.open(BOOK, Ear())
        self.assertFalse(self.venue.gone(BOOK))
        self.market.forget(BOOK)
        self.assertTrue(self.venue.gone(BOOK))
        carry(self.market, "tBTCUSD")
        self.assertTrue(self.venue.gone(BOOK))
        self.assertTrue(self.venue.gone(TRADES))

    def test_frequency(self) -> None:
        """Of a slow book nobody makes a quick one."""
        self.market.forget(BOOK)
        self.market.carry(Subscription(ChannelName.BOOK, "tBTCUSD", frequency="F1"), moment())
        self.assertEqual(self.venue.refuses(BOOK), "frequency: invalid")
        self.assertIsNone(self.venue.refuses(Subscription(ChannelName.BOOK, "tBTCUSD", frequency="F1")))
