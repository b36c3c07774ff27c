"""The feed over real sockets, where the kernel has a say: resets, half frames, headers that do not end."""

import time

from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from bfxtwist.core.feed_state import FeedState
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.core.conversation import BOOK, TRADES
from tests.feed.sockets import RealFeed, reactor


class Sockets(TestCase):
    """A feed and an exchange on 127.0.0.1."""

    timeout = 30

    async def begin(self, *faults: str) -> None:
        self.exchange = EmbeddedExchange(reactor, SimulatedMarket())
        await self.exchange.start()
        self.addCleanup(self.exchange.stop)
        for fault in faults:
            self.exchange.faults.set_from(fault)
        self.feed = RealFeed(self.exchange.ws_url, [BOOK, TRADES])
        self.service, self.uplink = self.feed.service, self.feed.uplink
        self.addCleanup(self.service.stopService)

    async def until_live(self) -> None:
        while not self.feed.live:
            await deferLater(reactor, 0.01)

    async def until_ended(self, times: int = 1) -> None:
        while self.uplink.ends.total() < times:
            await deferLater(reactor, 0.01)

    async def test_connections_that_are_cut(self) -> None:
        await self.begin()
        await self.until_live()
        for times, how in enumerate(("rst", "fin", "mid-frame", "close"), 1):
            self.exchange.faults.set("drop", how)
            await self.until_ended(times)
            self.assertNotIn(FeedState.LIVE, {feed.state for feed in self.feed.market.feeds()}, how)
            await self.until_live()
        self.assertEqual(self.uplink.ends, {"lost": 4})

    async def test_frames_that_are_too_long(self) -> None:
        await self.begin()
        await self.until_live()
        self.exchange.faults.set("junk", "huge")
        await self.until_ended()
        await self.until_live()
        self.assertEqual(self.uplink.ends, {"lost": 1})

    async def test_handshakes_that_are_none(self) -> None:
        for fault in ("503", "garbage", "not-utf8", "endless", "drop"):
            await self.begin(f"handshake={fault}")
            await self.until_ended()
            self.assertEqual([*self.uplink.ends], ["handshake"], fault)
            self.exchange.faults.clear()
            await self.until_live()
            await self.service.stopService()

    async def test_stopping_leaves_nothing_open(self) -> None:
        for fault in ("handshake=hang", "silence", "no-ack"):
            await self.begin(fault)
            await deferLater(reactor, 0.05)
            began = time.monotonic()
            await self.service.stopService()
            self.assertLess(time.monotonic() - began, 3)

    async def test_nobody_there(self) -> None:
        await self.begin()
        await self.until_live()
        await self.exchange.stop()
        await self.until_ended(2)
        self.assertIn("connect", self.uplink.ends)
