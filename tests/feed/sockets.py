"""A feed on real sockets, in real time."""

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet import reactor as _reactor

from bfxtwist.app import now
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.subscription import Subscription
from bfxtwist.feed.budget import ConnectBudget
from bfxtwist.feed.connection import Uplink
from bfxtwist.feed.endpoint import exchange_endpoint
from bfxtwist.feed.service import FeedService

reactor: Any = _reactor


class Brisk(Random):
    """Jitter that waits little, and each time longer: the budget of connects must last through a fault."""

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) / 5


class RealFeed:
    """A feed that runs from now on: `service`, its `uplink`, and the `market` that it writes."""

    def __init__(
        self, url: str, subscriptions: Iterable[Subscription], market: Market | None = None, ca_file: Path | None = None
    ) -> None:
        self.market = market or Market()
        self.uplink = Uplink(
            url=url,
            endpoint=exchange_endpoint(reactor, url, ca_file=ca_file, environ={}),
            market=self.market,
            clock=reactor,
            moment=now,
            rng=Brisk(),
            budget=ConnectBudget(),
        )
        self.service = FeedService(self.uplink, subscriptions)
        self.service.startService()

    @property
    def live(self) -> bool:
        """Whether every feed is."""
        return {feed.state for feed in self.market.feeds()} == {FeedState.LIVE}
