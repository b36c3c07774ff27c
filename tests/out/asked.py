"""The routes, asked over treq and in memory."""

import json
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Trade, TradeExecuted
from bfxtwist.core.trade_feed import TradeFeed
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.out.http import HttpApi
from bfxtwist.out.latest_trades import LatestTrades
from tests.out.served import START, carry, moment

T0 = START // 1000


class HttpApiTestCase(SynchronousTestCase):
    """A market that is empty, and its routes."""

    def setUp(self) -> None:
        self.now = moment()
        self.market = Market()
        self.api = HttpApi(self.market, lambda: self.now, "1.2.3")
        self.treq = StubTreq(self.api.resource())

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[Any, bytes]:
        """The response, and its body as it was sent."""
        sent = {name.replace("_", "-"): [value] for name, value in headers.items()}
        response = self.successResultOf(self.treq.request(method, f"http://localhost{path}", headers=sent))
        return response, self.successResultOf(response.content())

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status and document."""
        response, body = self.ask(path, **headers)
        return response.code, json.loads(body)

    def assert_problem(self, path: str, status: int, *words: str, method: str = "GET") -> dict[str, Any]:
        """The document of a problem, which has these words in its detail."""
        response, body = self.ask(path, method)
        document: dict[str, Any] = json.loads(body)
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/problem+json"])
        self.assertEqual((response.code, document["status"], document["instance"]), (status, status, path), document)
        for word in words:
            self.assertIn(word, document["detail"])
        return document


def trade(number: int, mts: int | None = None, amount: bytes = b"0.10") -> Trade:
    """The n-th trade, one a second."""
    return Trade(number, T0 + number * 1000 if mts is None else mts, amount, b"%d.50" % (6000 + number))


class TradesTestCase(SynchronousTestCase):
    """The trades of a pair in a file and in memory, and their route."""

    def setUp(self) -> None:
        self.market = Market()
        feed = carry(self.market, "tBTCUSD", ChannelName.TRADES)
        assert isinstance(feed, TradeFeed)
        self.feed = feed
        self.path: Path | None = Path(self.mktemp())
        api = HttpApi(self.market, moment, "1")
        api.names = {"BITCOIN": "BTC"}
        LatestTrades(api, self.market, lambda symbol: self.path)
        self.treq = StubTreq(api.resource())
        self.layout = Layout("tBTCUSD")
        self.write()

    def write(self, *trades: Trade, end: bytes = b"") -> None:
        """Put a file of these in place of the one that was there."""
        assert self.path is not None
        rows = [self.layout.line(Arrival(one, START)) for one in trades]
        self.path.write_bytes(HEADER + b"".join(rows) + end)

    def executed(self, *trades: Trade) -> None:
        """The exchange tells of these."""
        for one in trades:
            self.feed.executed(TradeExecuted(1, False, one, 1, None), moment())

    def ask(self, query: str = "") -> tuple[int, bytes]:
        """Status and body."""
        response = self.successResultOf(self.treq.get(f"http://localhost/trades{query}"))
        return response.code, self.successResultOf(response.content())

    def document(self, query: str = "") -> Any:
        """What is answered to a good question."""
        code, body = self.ask(query)
        self.assertEqual(code, 200, body)
        return json.loads(body)

    def ids(self, query: str = "") -> list[int]:
        """Of the trades in the answer."""
        return [int(one["id"]) for one in self.document(query)["trades"]]
