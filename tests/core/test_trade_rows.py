"""Lines of trade.csv, written and read."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout, recordable

TRADE = Trade(310628121, 1542045947738, b"0.00265425", b"6443.1")

numbers = st.from_regex(r"\A(0|[1-9][0-9]{0,9})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?\Z").map(str.encode)


class RowTests(SynchronousTestCase):
    """`Layout`."""

    def test_header_and_rows_are_those_of_tardis(self) -> None:
        """To the byte."""
        layout = Layout("tBTCUSD")
        self.assertEqual(HEADER, b"exchange,symbol,timestamp,local_timestamp,id,side,price,amount\n")
        self.assertEqual(
            layout.line(Arrival(TRADE, 1542045947801234)),
            b"bitfinex,BTCUSD,1542045947738000,1542045947801234,310628121,buy,6443.1,0.00265425\n",
        )
        sold = replace(TRADE, amount=b"-2.8e-7")
        self.assertTrue(layout.line(Arrival(sold, 1)).endswith(b",310628121,sell,6443.1,2.8e-7\n"))

    def test_rows_that_came_together_are_as_single_ones(self) -> None:
        """Whenever each came, and whatever its side."""
        layout, sold = Layout("tBTCUSD"), replace(TRADE, amount=b"-1")
        arrivals = [Arrival(TRADE, 1), Arrival(sold, 1), Arrival(sold, 2), Arrival(TRADE, 1)]
        self.assertEqual(layout.lines(arrivals), [layout.line(arrival) for arrival in arrivals])
        self.assertEqual([line.split(b",")[3] for line in layout.lines(arrivals)], [b"1", b"1", b"2", b"1"])

    def test_symbols(self) -> None:
        """Without their t; perpetuals are another exchange's."""
        cases = {
            "tDOGE:USD": (b"bitfinex", b"DOGE:USD"),
            "tBTCF0:USTF0": (b"bitfinex-derivatives", b"BTCF0:USTF0"),
            "tTESTBTC:TESTUSD": (b"bitfinex", b"TESTBTC:TESTUSD"),
        }
        for symbol, columns in cases.items():
            line = Layout(symbol).line(Arrival(TRADE, 1))
            self.assertEqual(tuple(line.split(b",")[:2]), columns)

    @given(st.integers(1, 10**18 - 1), st.integers(1, 10**13 - 1), numbers, numbers, st.booleans())
    def test_what_is_written_is_read_back(self, trade_id: int, mts: int, amount: bytes, price: bytes, sold: bool) -> None:
        """Every trade that can be recorded."""
        trade = Trade(trade_id, mts, b"-" + amount if sold else amount, price)
        layout = Layout("tBTCUSD")
        line = layout.line(Arrival(trade, 1542045947801234))
        assert recordable(trade)
        assert layout.read(line[:-1]) == (trade_id, mts)
        assert layout.ids(line + line) == [b"%d" % trade_id] * 2

    def test_times_that_have_more_digits_than_verify_takes_are_not_recorded(self) -> None:
        self.assertEqual([recordable(replace(TRADE, mts=mts)) for mts in (10**13 - 1, 10**13)], [True, False])

    def test_numbers_and_ids_that_are_too_long_are_not_recorded(self) -> None:
        """The row would be refused at the next start."""
        longest = replace(TRADE, id=10**18 - 1, price=b"1" * 64, amount=b"1" * 64)
        self.assertTrue(recordable(longest))
        for change in ({"id": 10**18}, {"price": b"1" * 65}, {"amount": b"1" * 65}):
            self.assertFalse(recordable(replace(longest, **change)), change)

    def test_anything_else_is_no_row(self) -> None:
        """A byte more or less, another pair, a sign, a NUL."""
        layout = Layout("tBTCUSD")
        line = layout.line(Arrival(TRADE, 1542045947801234))[:-1]
        wrong = [line[1:], line + b",", line + b" ", line.replace(b"6443", b"-6443"), line.replace(b"buy", b"Buy"), b""]
        wrong += [line.replace(b"738000", b"738001"), line.replace(b"BTCUSD", b"ETHUSD"), line[:20] + b"\0" + line[21:]]
        for bad in wrong:
            self.assertIsNone(layout.read(bad))
            self.assertIsNone(layout.ids(line + b"\n" + bad + b"\n"))

    def test_stranger(self) -> None:
        """Whose row it is."""
        line = Layout("tETHUSD").line(Arrival(TRADE, 1))[:-1]
        self.assertEqual(Layout("tBTCUSD").stranger(line), "ETHUSD of bitfinex")
        self.assertIsNone(Layout("tETHUSD").stranger(line))
        self.assertIsNone(Layout("tBTCUSD").stranger(b"bit"))
