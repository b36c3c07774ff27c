"""Who reads what is told it."""

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import ChannelName
from bfxtwist.core.subscription import Subscription
from bfxtwist.exchange.audience import Audience
from bfxtwist.exchange.venue import HEARTBEAT, Item

BOOK = Subscription(ChannelName.BOOK, "tBTCUSD")
TRADES = Subscription(ChannelName.TRADES, "tBTCUSD")


class Listener:
    """Counts, and can leave while it is told."""

    def __init__(self, audience: Audience, leaves: bool = False) -> None:
        self.audience, self.leaves, self.choked, self.heard = audience, leaves, False, 0

    def publish(self, subscription: Subscription, items: Sequence[Item]) -> None:
        """Hear."""
        self.heard += 1
        if self.leaves:
            self.audience.leave(subscription, self)


class AudienceTest(SynchronousTestCase):
    """Three readers of two subscriptions."""

    def test_readers_come_and_go(self) -> None:
        audience = Audience()
        one, other, third = Listener(audience, leaves=True), Listener(audience), Listener(audience)
        for subscription, reader in ((BOOK, one), (BOOK, other), (TRADES, third)):
            audience.join(subscription, reader)
        for _ in range(2):
            audience.publish(BOOK, [HEARTBEAT])
        audience.publish(BOOK, [])
        self.assertEqual((one.heard, other.heard, third.heard), (1, 2, 0))
        self.assertEqual(set(audience), {BOOK, TRADES})
        third.choked = True
        self.assertTrue(audience.choked)
        audience.leave(TRADES, third)
        self.assertFalse(audience.choked)
        self.assertNotIn(TRADES, audience)
