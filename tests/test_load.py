"""Two thousand messages a second, with readers at GET /book: nothing is lost and nothing wrong is shown.

How long it takes is no matter here: `python -m tests.soak.figures` measures that.
"""

import json
import signal
from pathlib import Path
from typing import Any

import treq
from twisted.internet.defer import Deferred, gatherResults

from bfxtwist.exchange.simulated import SimulatedMarket
from tests.running import WholeTest, at
from tests.truth import judge

PAIRS = ("BTC/USD", "ETH/USD", "LTC/USD", "XRP/USD")
SYMBOLS = ("tBTCUSD", "tETHUSD", "tLTCUSD", "tXRPUSD")

#: About 500 rows of a book a second for each pair.
RATE = 13
FRAMES = 8_000
ANSWERS = 10


class Load(WholeTest):
    timeout = 120

    async def test_nothing_is_lost(self) -> None:
        exchange = await self.exchange(SimulatedMarket(5, SYMBOLS, rate=RATE))
        folder = Path(self.mktemp())
        channels = ("-c", "book", "-c", "trades", "-f", str(folder))
        self.process = self.twistd("bfx", "-p", ",".join(PAIRS), *channels, *at(exchange))
        self.url = await self.is_ready(self.process)
        self.enough = False
        self.answers = dict.fromkeys(PAIRS, 0)
        readers = [Deferred.fromCoroutine(self.read(pair)) for pair in PAIRS]
        # Each reader is answered, too: on a busy machine it takes longer, and for one that never is, for ever.
        while (await self.frames()) < FRAMES or min(self.answers.values()) < ANSWERS:
            pass
        self.enough = True
        await gatherResults(readers)
        await self.judge(exchange, folder)

    async def judge(self, exchange: Any, folder: Path) -> None:
        status = (await self.get("/status"))[1]
        self.assertEqual(status["feed"]["ends"], {})
        for feed in status["feeds"]:
            self.assertEqual(feed["counters"]["checksums_mismatched"], 0, feed)
        exchange.faults.set("quiet")
        files = {symbol: folder / f"{symbol[1:4]}-USD" / "trade.csv" for symbol in SYMBOLS}
        await self.until(lambda: all(judge(exchange.ledger[symbol], path).equal for symbol, path in files.items()))
        self.process.send(signal.SIGTERM)
        self.assertEqual(await self.process.ended, -signal.SIGTERM)
        self.assertNotIn("Traceback", self.process.said + self.process.errors)

    async def frames(self) -> int:
        """How many the daemon has taken in."""
        count: int = (await self.get("/status"))[1]["feed"]["counters"]["frames"]
        return count

    async def read(self, pair: str) -> None:
        """GET /book all the time. Each answer is a live book whose best prices are in order."""
        while not self.enough:
            code, book = await self.get(f"/book?pair={pair}")
            self.assertEqual(code, 200, book)
            self.assertLess(book["bids"][0][0], book["asks"][0][0])
            self.answers[pair] += 1

    async def get(self, path: str) -> tuple[int, Any]:
        answer = await treq.get(f"{self.url}{path}", persistent=False)
        return answer.code, json.loads(await answer.content())
