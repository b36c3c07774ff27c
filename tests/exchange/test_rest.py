"""The REST endpoints, in memory."""

import json
from typing import Any

from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from bfxtwist.core.wire import decode_trades
from bfxtwist.exchange.embedded import REAL_LIMITS
from bfxtwist.exchange.rest import Rest
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.exchange.venue import Limits

START = 1_800_000_000.0


class RestTest(SynchronousTestCase):
    """A market that has lived for ten seconds."""

    def setUp(self) -> None:
        """And that can be asked."""
        self.clock = Clock()
        self.market = SimulatedMarket(pairs=["tBTCUSD", "tVETBTC", "tBTCF0:USTF0"], rate=10)
        for tick in range(100):
            self.market.advance(START + tick / 10)
        self.serve(Limits())

    def serve(self, limits: Limits) -> None:
        """Anew, with these limits."""
        self.rest = Rest(
            self.market,
            faults=self.market.faults,
            clock=self.clock,
            now=lambda: START + 10,
            limits=limits,
            entrance=Resource(),
        )
        self.client = StubTreq(self.rest.app.resource())

    def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        response = self.successResultOf(self.client.get(f"http://exchange.test/v2/{path}"))
        body = self.successResultOf(response.content())
        self.assertEqual(response.length, len(body))
        return response.code, body

    def json(self, path: str) -> Any:
        """The answer to what can be answered."""
        status, body = self.get(path)
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def ids(self, query: str) -> list[int]:
        """Of past trades."""
        status, body = self.get(f"trades/tBTCUSD/hist{query}")
        self.assertEqual(status, 200, body)
        return [trade.id for trade in decode_trades(body)]

    def test_past_trades(self) -> None:
        ledger = [trade.id for trade in self.market.ledger["tBTCUSD"]]
        self.assertEqual(self.ids(""), ledger[::-1][:125])
        self.assertEqual(self.ids("?limit=10000&sort=1"), ledger)
        middle = self.market.ledger["tBTCUSD"][50].mts
        self.assertEqual(
            self.ids(f"?start={middle}&end={middle}&sort=1"),
            [trade.id for trade in self.market.ledger["tBTCUSD"] if trade.mts == middle],
        )

    def test_what_cannot_be(self) -> None:
        for path, text in (
            ("trades/tNOPE/hist", "symbol: invalid"),
            ("trades/tBTCUSD/hist?limit=10001", "limit: invalid"),
            ("trades/tBTCUSD/hist?limit=x", "limit: invalid"),
            ("trades/tBTCUSD/hist?start=1.5", "start: invalid"),
            ("trades/tBTCUSD/hist?sort=2", "sort: invalid"),
            ("book/tNOPE/P0", "symbol: invalid"),
            ("book/tBTCUSD/P7", "prec: invalid"),
            ("book/tBTCUSD/P0?len=7", "len: invalid"),
            ("ticker/tNOPE", "symbol: invalid"),
        ):
            status, body = self.get(path)
            self.assertEqual((status, json.loads(body)), (500, ["error", 10020, text]), path)

    def test_what_there_is_not(self) -> None:
        status, body = self.get("nope/<b>")
        self.assertEqual(status, 404)
        self.assertIn(b"Cannot GET /api/v2/nope/", body)
        self.assertNotIn(b"<b>", body)

    def test_books(self) -> None:
        rows = self.json("book/tVETBTC/P0?len=100")
        bids, asks = [r for r in rows if r[2] > 0], [r for r in rows if r[2] < 0]
        self.assertEqual(rows, sorted(bids, reverse=True) + sorted(asks))
        self.assertEqual(len(self.json("book/tBTCUSD/R0?len=1")), 2)
        self.assertEqual(len(self.json("book/tBTCUSD/P0")), 50)

    def test_tickers(self) -> None:
        ticker = self.json("ticker/tBTCUSD")
        self.assertEqual((len(ticker), ticker[-1]), (11, None))
        self.assertLess(ticker[0], ticker[2])
        self.assertTrue(ticker[9] <= ticker[6] <= ticker[8])
        self.assertEqual([row[0] for row in self.json("tickers?symbols=tBTCUSD,tNOPE")], ["tBTCUSD"])
        self.assertEqual(len(self.json("tickers?symbols=ALL")), 3)

    def test_a_ticker_has_the_exchanges_digits(self) -> None:
        _, big = self.get("ticker/tBTCUSD")
        _, small = self.get("tickers?symbols=tVETBTC")
        self.assertNotIn(b".0,", big)
        self.assertIn(b'[["tVETBTC",', small)
        _, book = self.get("book/tVETBTC/P0?len=1")
        self.assertEqual(small.split(b",")[1], book[2:].split(b",")[0])

    def test_status_and_lists(self) -> None:
        self.assertEqual(self.json("platform/status"), [1])
        self.market.faults.set("platform-status", 0)
        self.assertEqual(self.json("platform/status"), [0])
        self.assertEqual(
            self.json("conf/pub:list:pair:exchange,pub:list:pair:futures"), [["BTCUSD", "VETBTC"], ["BTCF0:USTF0"]]
        )

    def test_an_empty_book_has_a_ticker(self) -> None:
        self.market.faults.set("book", "empty")
        self.assertEqual(self.json("ticker/tBTCUSD")[:4], [None, 0, None, 0])
        self.assertEqual(self.json("book/tBTCUSD/P0"), [])

    def test_too_many_requests_of_one_kind(self) -> None:
        self.serve(Limits(requests_per_minute=2))
        answers = [self.get("trades/tBTCUSD/hist?limit=1") for _ in range(3)]
        self.assertEqual([status for status, _ in answers], [200, 200, 429])
        self.assertEqual(json.loads(answers[2][1]), ["error", 11010, "ratelimit: error"])
        self.assertEqual(self.get("platform/status")[0], 200)
        self.clock.advance(61)
        self.assertEqual(self.get("trades/tBTCUSD/hist?limit=1")[0], 200)
        self.assertEqual(self.rest.rates["trades"].breaches, 1)

    def test_other_kinds_may_come_oftener(self) -> None:
        self.serve(REAL_LIMITS)
        limits = {"platform/status": 15, "ticker/tBTCUSD": 90, "conf/pub:list:currency": 90, "book/tBTCUSD/P0": 240}
        for path, allowed in limits.items():
            answers = [self.get(path)[0] for _ in range(allowed + 1)]
            self.assertEqual(answers, [200] * allowed + [429], path)
