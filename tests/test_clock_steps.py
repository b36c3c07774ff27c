"""The machine's clock is set by an hour or a day while a daemon runs: nothing stops, and nothing is lost.

Timers are on the monotonic clock, which nobody sets; libfaketime moves the other one under a real process.
"""

import json
import signal
from pathlib import Path
from typing import Any

import treq
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits
from tests.running import WholeTest, at, reactor
from tests.truth import judge

STEPS = ("+3600", "-3600", "+86400", "-86400")

_LIBRARIES = [Path(f"/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1") for machine in ("x86_64", "aarch64")]


class SteppedDaemon:
    """A daemon whose wall clock can be set."""

    def __init__(self, test: WholeTest, exchange: EmbeddedExchange, step: str) -> None:
        library = next((path for path in _LIBRARIES if path.exists()), None)
        if library is None:
            raise SkipTest("libfaketime is not installed (Debian: apt install faketime)")
        self.test, self.exchange, self.step = test, exchange, step
        self.folder = Path(test.mktemp())
        self._offset = Path(test.mktemp())
        self.set_clock("+0")
        environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset.absolute()),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        words = ("bfx", "-p", "BTC/USD", "-c", "book", "-c", "trades", "-f", str(self.folder), *at(exchange))
        self.process = test.twistd(*words, environ=environ)

    def set_clock(self, offset: str) -> None:
        """So many seconds from the truth."""
        self._offset.write_text(offset)

    async def get(self, path: str) -> Any:
        """A JSON document."""
        self.test.assertTrue(self.process.running, self.process.said + self.process.errors)
        answer = await treq.get(f"{self.process.addresses[0]}{path}", persistent=False)
        return json.loads(await answer.content())

    async def is_ready(self) -> None:
        """Every feed is live, and the recorder too."""
        await self.test.until(lambda: self.process.addresses or not self.process.running)
        while await self.get("/readyz") != {"ready": True}:
            await deferLater(reactor, 0.1)

    async def syncs(self) -> None:
        """Rows go on to be written and, by a timer, to be synced."""
        before = (await self.get("/status"))["recorders"]["tBTCUSD"]["bytes"]
        while (await self.get("/status"))["recorders"]["tBTCUSD"]["bytes_synced"] <= before:
            await deferLater(reactor, 0.1)

    async def is_moved(self) -> None:
        """Its own time in the newest row is as far from the exchange's as the clock was moved, give or take a minute."""
        newest = (self.folder / "trade.csv").read_text().splitlines()[-1].split(",")
        apart = (int(newest[3]) - int(newest[2])) / 1e6
        self.test.assertLess(abs(apart - int(self.step)), 60, newest)

    async def audits(self) -> None:
        """The next look at history comes, by a timer, a minute after the last one."""
        before = (await self.get("/status"))["recorders"]["tBTCUSD"]["pages"]
        while (await self.get("/status"))["recorders"]["tBTCUSD"]["pages"] <= before:
            await deferLater(reactor, 0.5)

    async def ends(self) -> dict[str, int]:
        """How often a connection ended, by reason."""
        ends: dict[str, int] = (await self.get("/status"))["feed"]["ends"]
        return ends


class ClockSteps(WholeTest):
    timeout = 240

    async def test_while_live_while_down_and_while_syncing(self) -> None:
        """Heartbeats come each 15 s and an audit each 60 s: a minute and a half, nearly all of it waiting."""
        exchange = await self.exchange(SimulatedMarket(9, ("tBTCUSD",), rate=5), limits=Limits())
        self.daemons = [SteppedDaemon(self, exchange, step) for step in STEPS]
        await self.each(SteppedDaemon.is_ready)

        self.step_all()
        await self.each(SteppedDaemon.syncs)
        await self.each(SteppedDaemon.is_moved)
        self.assertEqual(await self.each(SteppedDaemon.ends), [{}] * len(STEPS))

        exchange.faults.set("handshake", "503")
        exchange.faults.set("drop", "rst")
        await self.until_all_ended("handshake")
        self.unstep_all()
        exchange.faults.clear("handshake")
        await self.each(SteppedDaemon.is_ready)

        exchange.faults.set("rest-stall", "headers")
        exchange.faults.set("drop", "rst")
        await deferLater(reactor, 2.0)
        self.step_all()
        exchange.faults.clear("rest-stall")
        await self.each(SteppedDaemon.is_ready)

        before = await self.each(SteppedDaemon.ends)
        await self.each(SteppedDaemon.audits)
        self.assertEqual(await self.each(SteppedDaemon.ends), before, "a connection ended for no reason")
        await self.stop_all(exchange)

    def step_all(self) -> None:
        for daemon in self.daemons:
            daemon.set_clock(daemon.step)

    def unstep_all(self) -> None:
        for daemon in self.daemons:
            daemon.set_clock("+0")

    async def each(self, method: Any) -> list[Any]:
        """What a method gives for all of them, at once."""
        return await gatherResults([Deferred.fromCoroutine(method(daemon)) for daemon in self.daemons])

    async def until_all_ended(self, reason: str) -> None:
        while not all(reason in ends for ends in await self.each(SteppedDaemon.ends)):
            await deferLater(reactor, 0.1)

    async def stop_all(self, exchange: EmbeddedExchange) -> None:
        exchange.faults.set("quiet")
        told = exchange.ledger["tBTCUSD"]
        for daemon in self.daemons:
            path = daemon.folder / "trade.csv"
            while not judge(told, path).equal:
                await deferLater(reactor, 0.2)
            daemon.process.send(signal.SIGTERM)
            self.assertEqual(await daemon.process.ended, -signal.SIGTERM, daemon.process.said)
            self.assertNotIn("Traceback", daemon.process.said + daemon.process.errors)
            self.assertTrue(judge(told, path).equal)
