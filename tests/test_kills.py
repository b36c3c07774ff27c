"""Fifty times kill -9 of the whole daemon, under load, at any moment of its life: nothing is lost, nothing there twice."""

import signal
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import TwistdProcess, WholeTest, reactor, start_twistd
from tests.truth import judge

SEED = 20261122
KILLS = 50
DAEMONS = 5

#: A daemon listens about half a second after its start, and is live about half a second later: here it may die before,
#: in between and well after.
LIVES = 0.2, 2.5

#: Sixty orders a second at 1: here some fifty trades a second come, and two hundred rows of the book.
RATE = 10


class Kills(WholeTest):
    timeout = 300

    async def test_fifty_kills_under_load(self) -> None:
        exchange = await self.exchange(SimulatedMarket(SEED, ("tBTCUSD", "tETHUSD"), rate=RATE))
        folders = [Path(self.mktemp()) for _ in range(DAEMONS)]
        lives = [
            Deferred.fromCoroutine(self.live_and_die(Random(f"{SEED} {number}"), folder, exchange))
            for number, folder in enumerate(folders)
        ]
        await gatherResults(lives, consumeErrors=True)
        last = [self.begin(folder, exchange) for folder in folders]
        await self.until(lambda: all(daemon.addresses for daemon in last))
        await deferLater(reactor, 2.0)
        exchange.faults.set("quiet")
        await self.until(lambda: all(judge(exchange.ledger["tBTCUSD"], folder / "trade.csv").equal for folder in folders))
        for daemon, folder in zip(last, folders, strict=True):
            daemon.send(signal.SIGTERM)
            self.assertEqual(await daemon.ended, -signal.SIGTERM, daemon.said)
            verdict = judge(exchange.ledger["tBTCUSD"], folder / "trade.csv")
            self.assertTrue(verdict.equal, verdict)
            self.assertNotIn("Traceback", daemon.said + daemon.errors)

    async def live_and_die(self, random: Random, folder: Path, exchange: EmbeddedExchange) -> None:
        """One folder's daemons, one after the other, none of which ends by itself."""
        for _ in range(KILLS // DAEMONS):
            daemon = self.begin(folder, exchange)
            await deferLater(reactor, random.uniform(*LIVES))
            self.assertTrue(daemon.running, daemon.said + daemon.errors)
            daemon.send(signal.SIGKILL)
            self.assertEqual(await daemon.ended, -signal.SIGKILL)
            self.assertNotIn("Traceback", daemon.said + daemon.errors)

    def begin(self, folder: Path, exchange: EmbeddedExchange) -> TwistdProcess:
        """A daemon on the book and the trades."""
        where = ("--ws-url", exchange.ws_url, "--rest-url", exchange.rest_url, "--listen", "tcp:0:interface=127.0.0.1")
        daemon = start_twistd("bfx", "-p", "BTC/USD", "-c", "book", "-c", "trades", "-f", str(folder), *where)
        self.addCleanup(self.end, daemon)
        return daemon

    async def end(self, daemon: TwistdProcess) -> None:
        """Nothing is left running."""
        if daemon.running:
            daemon.send(signal.SIGKILL)
            await daemon.ended
