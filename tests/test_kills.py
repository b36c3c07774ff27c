"""Fifty times kill -9 of the whole daemon, under load, at any moment of its life: nothing is lost, nothing there twice."""

import signal
from functools import partial
from pathlib import Path
from random import Random

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from bfxtwist.core.trade_rows import HEADER
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import TwistdProcess, WholeTest, at, reactor
from tests.truth import judge

SEED = 20261122
KILLS = 50
DAEMONS = 5

#: A daemon records about half a second after its start. Some die before that, in any moment of their start, and most so
#: many seconds after the first row that they write.
UNBORN = 0.3
START = 0.1, 1.5
RECORDING = 0.0, 1.0

#: Some fifty trades a second, and a thousand rows of the book.
RATE = 30


def _size(folder: Path) -> int:
    path = folder / "trade.csv"
    return path.stat().st_size if path.exists() else len(HEADER)


def _has_grown(folder: Path, before: int) -> bool:
    return _size(folder) > before


class Kills(WholeTest):
    timeout = 300

    async def test_fifty_kills_under_load(self) -> None:
        exchange = await self.exchange(SimulatedMarket(SEED, ("tBTCUSD", "tETHUSD"), rate=RATE))
        folders = [Path(self.mktemp()) for _ in range(DAEMONS)]
        self.firsts: dict[Path, int] = {}
        lives = [
            Deferred.fromCoroutine(self.live_and_die(Random(f"{SEED} {number}"), folder, exchange))
            for number, folder in enumerate(folders)
        ]
        await gatherResults(lives, consumeErrors=True)
        last = [self.begin(folder, exchange) for folder in folders]
        await self.until(lambda: all(daemon.addresses for daemon in last))
        await deferLater(reactor, 2.0)
        exchange.faults.set("quiet")
        told = exchange.ledger["tBTCUSD"]
        while not all(judge(told, folder / "trade.csv").equal for folder in folders):
            await deferLater(reactor, 0.5)
        for daemon, folder in zip(last, folders, strict=True):
            daemon.send(signal.SIGTERM)
            self.assertEqual(await daemon.ended, -signal.SIGTERM, daemon.said)
            verdict = judge(told, folder / "trade.csv")
            self.assertTrue(verdict.equal, verdict)
            self.assertEqual(verdict.first, self.firsts[folder], "it does not begin any more as it began")
            self.assertNotIn("Traceback", daemon.said + daemon.errors)

    async def live_and_die(self, random: Random, folder: Path, exchange: EmbeddedExchange) -> None:
        """One folder's daemons, one after the other, none of which ends by itself."""
        for _ in range(KILLS // DAEMONS):
            before = _size(folder)
            daemon = self.begin(folder, exchange)
            if random.random() < UNBORN:
                await deferLater(reactor, random.uniform(*START))
            else:
                await self.until(partial(_has_grown, folder, before))
                await deferLater(reactor, random.uniform(*RECORDING))
                self.firsts.setdefault(folder, judge((), folder / "trade.csv").first)
            self.assertTrue(daemon.running, daemon.said + daemon.errors)
            daemon.send(signal.SIGKILL)
            self.assertEqual(await daemon.ended, -signal.SIGKILL)
            self.assertNotIn("Traceback", daemon.said + daemon.errors)

    def begin(self, folder: Path, exchange: EmbeddedExchange) -> TwistdProcess:
        """A daemon on the book and the trades."""
        return self.twistd("bfx", "-p", "BTC/USD", "-c", "book", "-c", "trades", "-f", str(folder), *at(exchange))
