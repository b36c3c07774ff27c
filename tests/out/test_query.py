"""What is asked for in a query is taken as it was meant, or is a mistake that names its fix."""

import json
from typing import Any
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.out.problems import Problem
from bfxtwist.out.query import choose, query, whole_number
from tests.out.asked import HttpApiTestCase
from tests.out.served import carry, live_book


class AtBookTests(HttpApiTestCase):
    """As those who ask for a book meet it."""

    def test_a_depth_that_is_none(self) -> None:
        live_book(self.market)
        for depth in ("0", "-1", "", "1.5", "1e2", "all", "%201", "1000000", "9" * 5000, "%EF%BC%91", "%c2%b2"):
            with self.subTest(depth):
                response, body = self.ask(f"/book?depth={depth}")
                self.assertEqual(response.code, 400)
                self.assertIn("depth", json.loads(body)["detail"])

    def test_any_spelling_of_a_pair(self) -> None:
        live_book(self.market)
        live_book(self.market, "tDOGE:USD")
        live_book(self.market, "tBTCUST")
        for spelling, name in {
            "BTC/USD": "BTC/USD", "btcusd": "BTC/USD", "tBTCUSD": "BTC/USD", "BTC-USD": "BTC/USD", "BTC%2FUSD": "BTC/USD",
            "DOGE:USD": "DOGE/USD", "tDOGE:USD": "DOGE/USD", "DOGEUSD": "DOGE/USD",
            "BTC/USDT": "BTC/USDT", "tBTCUST": "BTC/USDT",
        }.items():  # fmt: skip
            status, document = self.get(f"/book?pair={spelling}")
            self.assertEqual((status, document.get("symbol")), (200, name), spelling)

    def test_several_books_and_no_pair(self) -> None:
        live_book(self.market)
        live_book(self.market, "tETHUSD")
        document = self.assert_problem("/book", 400, "BTC/USD, ETH/USD")
        self.assertEqual(document["pairs"], ["BTC/USD", "ETH/USD"])

    def test_a_pair_that_is_not_carried(self) -> None:
        live_book(self.market)
        self.assert_problem("/book?pair=ETH/USD", 404, "ETH/USD", "BTC/USD")

    def test_no_book_at_all(self) -> None:
        carry(self.market, "tBTCUSD", ChannelName.TRADES)
        self.assert_problem("/book", 404, "--channel book")
        self.assert_problem("/book?pair=BTC/USD", 404, "not carried")

    def test_what_is_no_pair(self) -> None:
        live_book(self.market)
        for text in ("x", "", "BTC/", "../../etc/passwd", "BTC/BTC", "BTC%00USD", "A" * 300, "%F0%9F%92%A9"):
            with self.subTest(text):
                self.assertEqual(self.get(f"/book?pair={text}")[0], 400)

    @given(st.text(max_size=40))
    @settings(max_examples=50)
    def test_whatever_stands_for_a_pair_is_answered(self, text: str) -> None:
        if not self.market.books:
            live_book(self.market)
        status, document = self.get(f"/book?pair={quote(text, safe='')}")
        self.assertIn(status, (200, 400, 404))
        self.assertEqual(status == 200, document.get("symbol") == "BTC/USD")

    def test_parameters_that_mean_nothing(self) -> None:
        live_book(self.market)
        self.assert_problem("/book?pairs=BTC/USD", 400, "did you mean pair?")
        self.assert_problem("/book?Depth=3", 400, "did you mean depth?")
        self.assert_problem("/book?symbol=BTC/USD", 400, "pair, depth, stale")
        self.assert_problem("/book?depth=1&depth=2", 400, "more than once")
        self.assert_problem("/book?stale=yes", 400, "stale=ok")
        self.assert_problem("/book?stale", 400, "stale=ok")
        self.assert_problem("/book?pair=%FF", 400, "UTF-8")
        self.assert_problem("/book?%FF=1", 400, "UTF-8")
        self.assert_problem("/books?pair=BTC/USD", 400, "no parameter 'pair' here")


class QueryTests(SynchronousTestCase):
    """`query`."""

    def asked(self, text: bytes, *known: str) -> dict[str, str]:
        request: Any = DummyRequest([b"trades"])
        request.uri = b"/trades" + text
        return query(request, *known)

    def refused(self, text: bytes, *known: str) -> str:
        problem = self.assertRaises(Problem, self.asked, text, *known)
        self.assertEqual(problem.status, 400)
        return str(problem)

    def test_what_is_asked_for(self) -> None:
        for text, found in (
            (b"", {}),
            (b"?", {}),
            (b"?pair=BTC%2FUSD&limit=5", {"pair": "BTC/USD", "limit": "5"}),
            (b"?limit=", {"limit": ""}),
            (b"?pair", {"pair": ""}),
            (b"?pair=%C3%A4=?", {"pair": "\u00e4=?"}),
        ):
            self.assertEqual(self.asked(text, "pair", "limit"), found, text)

    def test_bytes_that_are_not_encoded(self) -> None:
        self.assertIn("not percent-encoded UTF-8", self.refused(b"?pair=\xc3\xa4", "pair"))

    def test_a_name_that_nobody_knows(self) -> None:
        self.assertEqual(self.refused(b"?limt=5", "pair", "limit"), "there is no parameter 'limt': did you mean limit?")
        self.assertIn("did you mean limit?", self.refused(b"?LIMIT=5", "pair", "limit"))
        self.assertEqual(self.refused(b"?x=5", "pair", "limit"), "there is no parameter 'x': there are pair, limit")
        self.assertEqual(self.refused(b"?x=5"), "there is no parameter 'x' here, nor any other")

    def test_a_name_that_is_there_twice(self) -> None:
        """One of the two values would be taken for nothing."""
        self.assertEqual(self.refused(b"?limit=5&limit=5", "limit"), "limit is given more than once")


class WholeNumberTests(SynchronousTestCase):
    """`whole_number`."""

    def test_from_one_to_the_largest(self) -> None:
        self.assertEqual([whole_number(text, "limit", "trades", 250) for text in ("1", "007", "250")], [1, 7, 250])

    def test_anything_else(self) -> None:
        for text in ("0", "251", "", " 1", "+1", "1_0", "\u0661"):
            problem = self.assertRaises(Problem, whole_number, text, "limit", "trades", 250)
            expected = f"limit {text!r} is not a number of trades: use a whole number from 1 to 250"
            self.assertEqual((problem.status, str(problem)), (400, expected))

    def test_a_long_one_is_not_told_back_in_full(self) -> None:
        problem = self.assertRaises(Problem, whole_number, "9" * 10_000, "limit", "trades", 250)
        self.assertEqual(str(problem).count("9"), 20)


class ChooseTests(SynchronousTestCase):
    """`choose`."""

    def setUp(self) -> None:
        self.market = Market()

    def chosen(self, text: str | None) -> str:
        return choose(self.market.trades, text, {"BITCOIN": "BTC"}, "trade file", "trades").name

    def refused(self, text: str | None) -> tuple[int, str, object]:
        problem = self.assertRaises(Problem, self.chosen, text)
        return problem.status, str(problem), problem.members.get("pairs")

    def test_the_only_one_needs_no_name(self) -> None:
        carry(self.market, "tBTCUSD", ChannelName.TRADES)
        carry(self.market, "tETHUSD")  # a book
        self.assertEqual([self.chosen(text) for text in (None, "tBTCUSD", "bitcoin/usd")], ["BTC/USD"] * 3)

    def test_of_several_one_is_to_be_named(self) -> None:
        for symbol in ("tBTCUSD", "tETHUSD"):
            carry(self.market, symbol, ChannelName.TRADES)
        pairs = ["BTC/USD", "ETH/USD"]
        self.assertEqual(self.chosen("ETH/USD"), "ETH/USD")
        self.assertEqual(self.refused(None), (400, "which trade file? Add ?pair= with one of BTC/USD, ETH/USD", pairs))
        self.assertEqual(
            self.refused("LTC/USD"), (404, "LTC/USD is not carried: there is a trade file of BTC/USD, ETH/USD", pairs)
        )
        self.assertEqual(self.refused("LTC")[0], 400)

    def test_none_is_carried(self) -> None:
        carry(self.market, "tBTCUSD")  # a book
        self.assertEqual(self.refused(None)[:2], (404, "no trade file is carried: start with --channel trades"))
        self.assertEqual(self.refused("BTC/USD")[:2], (404, "BTC/USD is not carried: there is no trade file"))
