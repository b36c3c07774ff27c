"""`GET /trades`: the newest trades, each once, in the exchange's digits, from a file of any size."""

import json

from bfxtwist.core.messages import ChannelName, Rows
from bfxtwist.core.trade_rows import HEADER
from tests.out.asked import T0, TradesTestCase, trade
from tests.out.served import carry, moment


class LatestTradesTest(TradesTestCase):
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

    def test_what_is_told_twice_before_it_is_in_the_file_is_there_once(self) -> None:
        self.write(trade(1))
        self.executed(trade(2), trade(3), trade(2, T0 + 2007))
        self.assertEqual(self.ids(), [1, 2, 3])
        self.assertEqual(self.ids("?limit=2"), [2, 3])
        self.assertEqual(self.document()["trades"][1]["timestamp"], T0 + 2000, "the first one stands, as in trade.csv")

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
        self.assertEqual(self.ids(f"?since={T0 + 298_000}&limit=2"), [298, 299], "the oldest, as in ccxt")
        self.assertEqual(self.ids("?since=99999999999999"), [])
        self.assertEqual(self.ids("?since=0&limit=1"), [300])

    def test_who_asks_on_from_the_last_one_leaves_none_out(self) -> None:
        """Ties among them, some not in the file yet, and one that stands below newer ones, as after a gap."""
        second = [trade(number, T0 + (number - number % 3) * 1000) for number in range(1, 301)]
        self.write(*second[:150], *second[151:290], second[150])
        self.executed(*second[280:])
        seen: list[int] = []
        since = T0
        while seen[-1:] != [300]:
            page = self.document(f"?since={since}&limit=7")["trades"]
            self.assertLessEqual(len(page), 7)
            seen += [number for one in page if (number := int(one["id"])) not in seen]
            since = page[-1]["timestamp"]
        self.assertEqual(seen, list(range(1, 301)))

    def test_more_since_then_than_is_looked_at(self) -> None:
        self.write(*map(trade, range(1, 6001)))
        document = self.document(f"?since={T0 + 1000}")
        self.assertFalse(document["complete"])
        self.assertEqual(len(document["trades"]), 100)
        self.assertGreater(int(document["trades"][0]["id"]), 1000)
        document = self.document(f"?since={T0 + 5_000_000}")
        self.assertTrue(document["complete"])
        self.assertEqual([int(one["id"]) for one in document["trades"]], list(range(5000, 5100)))

    def test_csv_is_the_rows_of_the_file(self) -> None:
        assert self.path is not None
        self.write(*map(trade, range(1, 6)))
        self.executed(trade(6))
        self.assertEqual(self.ask("?format=csv")[1], self.path.read_bytes())
        self.assertEqual(self.ask("?format=csv&limit=2")[1], HEADER + b"\n".join(self.path.read_bytes().split(b"\n")[-2:]))

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
            f"?since={T0 // 1000}", "?since=20260923",  # seconds, and a date: not everything since 1970
            "?since=2026-11-22T16:00:00Zulu", "?format=xml", "?limit=1&limit=2", "?depth=5", "?pair=",
        ):  # fmt: skip
            with self.subTest(query):
                code, body = self.ask(query)
                self.assertEqual((code, json.loads(body)["status"]), (400, 400), body)
