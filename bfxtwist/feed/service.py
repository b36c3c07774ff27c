"""The feed as a whole: which connection carries what.

    FeedService ──► Connection ──► FeedProtocol ──► Session ──► Market
      ≤ 25 channels each, one budget for all

What is wanted is spread over as many connections as it needs, in the order in which it is asked for. Where the exchange
allows fewer channels than documented (error 10305), what does not fit moves on to another connection.
"""

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList

from bfxtwist.core.messages import Refused
from bfxtwist.core.subscription import Subscription
from bfxtwist.core.uplink_status import UplinkStatus
from bfxtwist.feed.connection import Connection, Uplink
from bfxtwist.feed.endpoint import apart_from_password

#: Documented are 30 (ws-general) and 25 (ws-public, requirements-and-limitations); 36 were accepted in 2026.
CHANNELS_PER_CONNECTION = 25


class FeedService(Service):
    """Keeps everything that is wanted subscribed, from `startService` to `stopService`.

    `refused` is called with a subscription that the exchange does not have. The market gets a feed for each subscription
    that it does not carry yet.
    """

    def __init__(
        self,
        uplink: Uplink,
        subscriptions: Iterable[Subscription] = (),
        refused: Callable[[Subscription, Refused], None] = lambda _subscription, _refusal: None,
        channels_per_connection: int = CHANNELS_PER_CONNECTION,
    ) -> None:
        self.connections: list[Connection] = []
        self._uplink = uplink
        self._refused = refused
        self._capacity = channels_per_connection
        self._made = 0
        self._closing: list[Deferred[None]] = []
        for subscription in subscriptions:
            self.want(subscription)

    def want(self, subscription: Subscription) -> None:
        """Subscribe this too. Raises ValueError for a second book or tape of one symbol."""
        self._carry(subscription)
        self._place(subscription)

    def drop(self, subscription: Subscription) -> None:
        """Do not subscribe this any more, and do not carry it. Raises ValueError for what is not wanted."""
        for connection in self.connections:
            if subscription in connection.subscriptions:
                connection.drop(subscription)
                self._uplink.market.forget(subscription)
                if not connection.subscriptions:
                    self.connections.remove(connection)
                    self._closing = [closed for closed in self._closing if not closed.called] + [connection.stop()]
                return
        raise ValueError(f"{subscription} is not subscribed")

    def startService(self) -> None:
        """Connect. The first connections may be made at once, as far as the exchange allows."""
        super().startService()
        self._uplink.budget.begin(len(self.connections))
        for connection in self.connections:
            connection.start()

    def stopService(self) -> Deferred[Any]:
        """Close. Fires when every socket is closed, within 3 s."""
        super().stopService()
        return DeferredList([connection.stop() for connection in self.connections] + self._closing)

    def status(self) -> UplinkStatus:
        """What `GET /status` says of the feed."""
        return UplinkStatus(
            url=apart_from_password(self._uplink.url)[0],
            connections=[connection.status() for connection in self.connections],
            ends=dict(self._uplink.ends),
            budget=self._uplink.budget.status(self._uplink.clock.seconds()),
            counters=copy(self._uplink.tally),
        )

    def _carry(self, subscription: Subscription) -> None:
        market = self._uplink.market
        if any(subscription in connection.subscriptions for connection in self.connections):
            raise ValueError(f"{subscription} is subscribed already")
        carried = {feed.subscription for feed in market.feeds()}
        if subscription not in carried:
            market.carry(subscription, self._uplink.moment())

    def _place(self, subscription: Subscription) -> None:
        """On the first connection that has room, or a new one."""
        for connection in self.connections:
            if len(connection.subscriptions) < connection.capacity:
                connection.want(subscription)
                return
        self._made += 1
        connection = Connection(self._uplink, self._made, self._capacity, self._refused, self._place)
        self.connections.append(connection)
        connection.want(subscription)
        if self.running:
            connection.start()
