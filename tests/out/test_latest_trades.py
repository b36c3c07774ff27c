"""`GET /trades`: the newest trades, each once, in the exchange's digits, from a file of any size."""

import json
from pathlib import Path
from typing import Any

from treq.testing import StubTreq
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Rows, Trade, TradeExecuted
from bfxtwist.core.trade_feed import TradeFeed
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.out.http import HttpApi
from bfxtwist.out.latest_trades import LatestTrades
from tests.out.served import START, carry, moment

T0 = START // 1000


def trade(number: int, mts: int | None = None, amount: bytes = b"0.10") -> Trade:
    """The n-th trade, one a second."""
    return Trade(number, T0 + number * 1000 if mts is None else mts, amount, b"%d.50" % (6000 + number))


class LatestTradesTest(SynchronousTestCase):
    def setUp(self) -> None:
        self.market = Market()
        feed = carry(self.market, "tBTCUSD", ChannelName.TRADES)
        assert isinstance(feed, TradeFeed)
        self.feed = feed
        self.path: Path | None = Path(self.mktemp())
        api = HttpApi(self.market, moment, "1", names={"BITCOIN": "BTC"})
        LatestTrades(api, self.market, lambda symbol: self.path)
        self.treq = StubTreq(api.resource())
        self.layout = Layout("tBTCUSD")
        self.write()

    def write(self, *trades: Trade, end: bytes = b"") -> None:
        assert self.path is not None
        rows = [self.layout.line(Arrival(one, START)) for one in trades]
        self.path.write_bytes(HEADER + b"".join(rows) + end)

    def executed(self, *trades: Trade) -> None:
        for one in trades:
            self.feed.executed(TradeExecuted(1, False, one, 1, None), moment())

    def ask(self, query: str = "") -> tuple[int, bytes]:
        response = self.successResultOf(self.treq.get(f"http://localhost/trades{query}"))
        return response.code, self.successResultOf(response.content())

    def document(self, query: str = "") -> Any:
        code, body = self.ask(query)
        self.assertEqual(code, 200, body)
        return json.loads(body)

    def ids(self, query: str = "") -> list[int]:
        return [int(one["id"]) for one in self.document(query)["trades"]]

    def test_the_exchanges_digits(self) -> None:
        self.write(trade(1, amount=b"-2.8e-7"))
        _, body = self.ask()
        self.assertEqual(
            body,
            b'{"symbol":"BTC/USD","exchange_symbol":"tBTCUSD","status":"connecting","complete":true,"trades":['
            b'{"id":"1","timestamp":1790134415850,"datetime":"2026-09-23T03:33:35.850Z","symbol":"BTC/USD",'
            b'"side":"sell","price":6001.50,"amount":2.8e-7}]}',
        )

    def test_what_is_not_in_the_file_yet_comes_from_memory(self) -> None:
        self.write(trade(1), trade(2))
        self.executed(trade(2, T0 + 2007), trade(3, amount=b"-1"))
        self.assertEqual(self.ids(), [1, 2, 3])
        trades = self.document()["trades"]
        self.assertEqual(trades[1]["timestamp"], T0 + 2000, "the time is the file's, as in trade.csv")
        self.assertEqual((trades[2]["side"], trades[2]["amount"]), ("sell", 1))

    def test_what_no_row_can_hold_is_left_out_here_too(self) -> None:
        self.executed(trade(1), trade(2, mts=10**15))
        self.assertEqual(self.ids(), [1])

    def test_nothing_at_all(self) -> None:
        self.assertEqual(self.document()["trades"], [])

    def test_limit_takes_the_newest(self) -> None:
        self.write(*map(trade, range(1, 301)))
        self.assertEqual(self.ids(), list(range(201, 301)))
        self.assertEqual(self.ids("?limit=3"), [298, 299, 300])
        self.assertEqual(self.ids("?limit=1000"), list(range(1, 301)))

    def test_since(self) -> None:
        self.write(*map(trade, range(1, 301)))
        self.assertEqual(self.ids(f"?since={T0 + 298_000}"), [298, 299, 300])
        self.assertEqual(self.ids("?since=2026-09-23T03:38:32.850Z"), [298, 299, 300])
        self.assertEqual(self.ids("?since=2026-09-23T03:38:32.850"), [298, 299, 300], "without a zone it is UTC")
        self.assertEqual(self.ids(f"?since={T0 + 298_000}&limit=2"), [299, 300])
        self.assertEqual(self.ids("?since=99999999999999"), [])

    def test_csv_is_the_rows_of_the_file(self) -> None:
        assert self.path is not None
        self.write(*map(trade, range(1, 6)))
        self.executed(trade(6))
        self.assertEqual(self.ask("?format=csv")[1], self.path.read_bytes())
        self.assertEqual(self.ask("?format=csv&limit=2")[1], HEADER + b"\n".join(self.path.read_bytes().split(b"\n")[-2:]))

    def test_wherever_the_part_that_is_read_begins(self) -> None:
        assert self.path is not None
        self.write(*map(trade, range(1, 400)))
        lines = self.path.read_bytes().splitlines(keepends=True)
        for limit in range(1, 200, 7):
            self.assertEqual(self.ask(f"?format=csv&limit={limit}")[1], HEADER + b"".join(lines[-limit:]))

    def test_a_line_that_is_no_row_is_left_out(self) -> None:
        self.write(trade(1))
        row = self.layout.line(Arrival(trade(2), START))
        with self.path.open("ab") as file:  # type: ignore[union-attr]  # setUp made one
            file.writelines((row.replace(b"buy", b"bye"), row.replace(b",2,", b",%s," % (b"2" * 5000)), b"\0" * 100, b"\n"))
        self.assertEqual(self.ids(), [1])

    def test_rows_for_an_old_gap_do_not_hide_newer_ones(self) -> None:
        newest = [trade(number) for number in range(900, 930)]
        self.write(*newest, *(trade(number) for number in range(1, 200)))
        self.executed(*newest)
        self.assertEqual(self.ids("?limit=40"), [*range(190, 200), *range(900, 930)])
        self.assertTrue(self.document("?limit=40")["complete"])

    def test_it_says_when_it_cannot_be_certain(self) -> None:
        newest = [trade(number) for number in range(90_000, 90_030)]
        self.write(*map(trade, range(80_000, 90_030)), *map(trade, range(1, 6_000)))
        self.executed(*newest)
        document = self.document("?limit=40")
        self.assertFalse(document["complete"])
        self.assertEqual([int(one["id"]) for one in document["trades"]][-30:], list(range(90_000, 90_030)))

    def test_what_rotation_has_closed_is_not_read(self) -> None:
        """What the file lacks comes from memory; what memory has not, either, is uncertain."""
        assert self.path is not None
        self.executed(*map(trade, range(1, 8)))
        self.write(*map(trade, range(6, 9)))
        self.assertTrue(self.document()["complete"])
        self.path.with_name(f"{self.path.stem}-2026-11-22.csv.gz").touch()
        self.assertEqual(self.ids(), list(range(1, 9)))
        self.assertFalse(self.document()["complete"])
        self.assertTrue(self.document("?limit=3")["complete"])
        self.assertTrue(self.document(f"?since={T0 + 6500}")["complete"])
        self.path.with_name(f"{self.path.stem}-2026-11-22.csv.gz").unlink()
        for name in (f"{self.path.name}.1", f"{self.path.name}-20261122.gz"):
            self.path.with_name(name).touch()
            self.assertFalse(self.document()["complete"], f"logrotate closed {name}")
            self.path.with_name(name).unlink()
        self.path.with_name(f"{self.path.name}.lock").touch()
        self.assertTrue(self.document()["complete"])

    def test_a_torn_row_is_left_out(self) -> None:
        self.write(trade(1), end=b"bitfinex,BTCUSD,17901344")
        self.assertEqual(self.ids(), [1])

    def test_a_file_that_cannot_be_read_leaves_what_is_in_memory(self) -> None:
        assert self.path is not None
        self.path.unlink()
        self.feed.snapshot(Rows(1, [(b"2", b"%d" % T0, b"1", b"6000")], 1, None), moment())
        document = self.document()
        self.assertEqual((len(document["trades"]), document["complete"], document["status"]), (1, False, "live"))
        self.path = None
        self.assertFalse(self.document()["complete"])

    def test_the_pair(self) -> None:
        self.assertEqual(self.ask("?pair=bitcoin/usd")[0], 200)
        self.assertEqual(self.ask("?pair=ETH/USD")[0], 404)
        carry(self.market, "tETHUSD", ChannelName.TRADES)
        code, body = self.ask()
        self.assertEqual((code, json.loads(body)["pairs"]), (400, ["BTC/USD", "ETH/USD"]))

    def test_without_trades(self) -> None:
        self.market.forget(self.feed.subscription)
        self.assertEqual(self.ask()[0], 404)

    def test_mistakes_are_told(self) -> None:
        for query in (
            "?limit=0", "?limit=1001", "?limit=-1", "?limit=1e2", "?since=yesterday", "?since=-1", "?since=" + "9" * 15,
            "?since=2026-11-22T16:00:00Zulu", "?format=xml", "?limit=1&limit=2", "?depth=5", "?pair=",
        ):  # fmt: skip
            with self.subTest(query):
                code, body = self.ask(query)
                self.assertEqual((code, json.loads(body)["status"]), (400, 400), body)
