"""Whatever way a pair is written, the exchange gets the symbol that it knows."""

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.symbols import Pair, nearest, parse_pair
from tests.recordings import recording


class Spellings(SynchronousTestCase):
    def test_each_spelling_gives_its_symbol(self) -> None:
        for written, symbol in (
            ("BTC/USD", "tBTCUSD"),
            ("BTCUSD", "tBTCUSD"),
            ("btc/usd", "tBTCUSD"),
            (" BTC-USD ", "tBTCUSD"),
            ("BTC:USD", "tBTCUSD"),
            ("btc_usd", "tBTCUSD"),
            ("tBTCUSD", "tBTCUSD"),
            ("DOGE/USD", "tDOGE:USD"),
            ("DOGEUSD", "tDOGE:USD"),
            ("tDOGE:USD", "tDOGE:USD"),
            ("BTC/USDT", "tBTCUST"),
            ("BTCUSDT", "tBTCUST"),
            ("BTC/UST", "tBTCUST"),
            ("IOTA/USD", "tIOTUSD"),
            ("tBTCF0:USTF0", "tBTCF0:USTF0"),
            ("BTCF0/USTF0", "tBTCF0:USTF0"),
            ("BTCF0USTF0", "tBTCF0:USTF0"),
            ("BTC/USDT:USDT", "tBTCF0:USTF0"),
            ("tTESTBTC:TESTUSD", "tTESTBTC:TESTUSD"),
            ("TRX/USD", "tTRXUSD"),
            ("tDUSK:USD", "tDUSK:USD"),
            ("ZK/USD", "tZKUSD"),
            ("tZKUSD", "tZKUSD"),
        ):
            self.assertEqual(parse_pair(written).symbol, symbol, written)

    def test_what_is_no_pair_is_refused_with_the_fix(self) -> None:
        for written in ("", "BTC", "BTC/", "/USD", "BTC/USD/EUR", "BTC USD", "../etc", "BTC/ÜSD", "tBTC", "BTC/BTC", "t",
                        "t:", "DOGECAT", "BTC/USD\n/x", "A/B", "AB/CD", "ABC/DE", "tABCD", "tDOGEUSD",
                        "DOGE/U", "tDOGE:U"):  # fmt: skip
            error = self.assertRaises(ValueError, parse_pair, written)
            self.assertIn("write it like BTC/USD", str(error))

    def test_the_exchanges_own_names_come_first(self) -> None:
        self.assertEqual(parse_pair("FOO/USD", {"FOO": "FOX"}).symbol, "tFOXUSD")

    def test_names_for_people_and_files(self) -> None:
        pair = parse_pair("tBTCUST")
        self.assertEqual((pair.name, pair.file_name, pair.perpetual), ("BTC/USDT", "BTC-USDT", False))
        self.assertEqual(parse_pair("tBTCF0:USTF0").name, "BTCF0/USTF0")
        self.assertTrue(parse_pair("tBTCF0:USTF0").perpetual)

    @given(st.text(max_size=14))
    def test_a_file_name_never_leaves_its_folder(self, text: str) -> None:
        try:
            name = parse_pair(text).file_name
        except ValueError:
            return
        self.assertRegex(name, r"\A[A-Z0-9]+-[A-Z0-9]+\Z")

    @given(st.from_regex(r"[A-Z0-9]{2,8}", fullmatch=True), st.from_regex(r"[A-Z0-9]{2,8}", fullmatch=True))
    def test_symbol_and_name_lead_back_to_the_pair(self, base: str, quote: str) -> None:
        pair = Pair(base, quote)
        if base == quote:
            return
        try:
            taken = parse_pair(pair.name)
        except ValueError:
            self.assertLess(len(pair.code), 6, "only of short codes it can be unclear where the one ends")
        else:
            self.assertEqual((taken, parse_pair(pair.symbol)), (pair, pair))


class RecordedLists(SynchronousTestCase):
    def test_every_listed_pair_is_spelled_as_the_exchange_spells_it(self) -> None:
        [codes] = json.loads(recording("conf-list-pair-exchange.json"))
        [info] = json.loads(recording("conf-info-pair.json"))
        [futures] = json.loads(recording("conf-info-pair-futures.json"))
        for code in [*codes, *(row[0] for row in info), *(row[0] for row in futures)]:
            self.assertEqual(parse_pair(f"t{code}").code, code)
            self.assertEqual(parse_pair(parse_pair(f"t{code}").name).code, code)


class Nearest(SynchronousTestCase):
    listed = ("BTCUSD", "BTCUST", "BCHN:USD", "ETHUSD", "DOGE:USD", "DSHUSD")

    def test_a_typing_error_finds_its_pair(self) -> None:
        self.assertEqual(nearest(parse_pair("BTX/USD"), self.listed)[0], "BTC/USD")
        self.assertEqual(nearest(parse_pair("DOGGE/USD"), self.listed)[0], "DOGE/USD")

    def test_pairs_of_the_same_quote_come_before_others(self) -> None:
        self.assertEqual(nearest(parse_pair("BTX/USDT"), self.listed), ["BTC/USDT"])
        self.assertIn("BTC/USD", nearest(parse_pair("BTC/EUR"), self.listed))

    def test_nothing_is_near_to_nonsense(self) -> None:
        self.assertEqual(nearest(parse_pair("QQQQQQQQ/ZZZZZZZZ"), self.listed), [])
