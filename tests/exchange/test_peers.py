"""Other people's clients, the real packages on real sockets, against the simulator.

Each needs a Python of its own, which `make` prepares: bitfinex-api-py wants another `websockets` than anything else. Where
it is found, BFXTWIST_BFXAPI_PYTHON and BFXTWIST_CCXT_PYTHON tell, or it is in `.venv-peers/`; where there is none, the test
skips.
"""

import json
import os
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from bfxtwist.exchange.embedded import REAL_LIMITS, EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from tests.exchange.clients import reactor

_CACHE = Path(__file__).parents[2] / ".venv-peers"
_PROGRAMS = Path(__file__).parent / "peers"

PAIRS = ("tBTCUSD", "tVETBTC", "tBTCF0:USTF0")
CHECKSUMS, TRADES = 4, 5


class PeersTest(TestCase):
    """Books that others verify, and trades that others receive."""

    timeout = 90

    async def seen(self, variable: str, cached: str, program: str, pair: str) -> tuple[dict[str, Any], EmbeddedExchange]:
        """What a program saw of an exchange, and that exchange, at the real limits."""
        python = Path(os.environ.get(variable) or _CACHE / cached / "bin" / "python")
        if not python.exists():
            raise SkipTest(f"there is no {python}: set {variable}, or make it with `make peers`")
        exchange = EmbeddedExchange(reactor, SimulatedMarket(pairs=PAIRS, rate=10), limits=REAL_LIMITS)
        await exchange.start()
        self.addCleanup(exchange.stop)
        arguments = [exchange.ws_url, exchange.rest_url, pair, str(CHECKSUMS), str(TRADES)]
        out, err, status = await getProcessOutputAndValue(
            str(python), [str(_PROGRAMS / program), *arguments], env={"PATH": os.environ.get("PATH", "")}
        )
        self.assertEqual(status, 0, err[-2000:].decode("utf-8", "replace"))
        return json.loads(out), exchange

    async def official(self, pair: str) -> None:
        """bitfinex-api-py on one pair."""
        saw, exchange = await self.seen("BFXTWIST_BFXAPI_PYTHON", "bfxapi", "official.py", pair)
        self.assertGreaterEqual(saw["matched"], CHECKSUMS)
        self.assertEqual((saw["mismatched"], saw["snapshot"], saw["history"]), (0, 30, 50))
        self.assert_traded(saw["executed"], exchange, pair)

    async def unified(self, pair: str, symbol: str) -> None:
        """ccxt.pro on one pair."""
        saw, exchange = await self.seen("BFXTWIST_CCXT_PYTHON", "ccxt", "unified.py", pair)
        self.assertGreaterEqual(saw["checksums"], CHECKSUMS)
        self.assertEqual(saw["markets"], len(PAIRS))
        self.assertLess(saw["bid"], saw["ask"])
        self.assert_traded(saw["executed"], exchange, symbol)

    def assert_traded(self, ids: list[int], exchange: EmbeddedExchange, symbol: str) -> None:
        """Every trade that was received is in the ledger."""
        self.assertGreaterEqual(len(ids), TRADES)
        self.assertLessEqual(set(ids), {trade.id for trade in exchange.ledger[symbol]})

    async def test_bitfinex_api_py(self) -> None:
        await self.official("tBTCUSD")

    async def test_bitfinex_api_py_with_exponents(self) -> None:
        await self.official("tVETBTC")

    async def test_ccxt_pro(self) -> None:
        await self.unified("BTC/USD", "tBTCUSD")

    async def test_ccxt_pro_on_a_perpetual(self) -> None:
        await self.unified("BTC/USDT:USDT", "tBTCF0:USTF0")
