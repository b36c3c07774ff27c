"""Numbers as JavaScript writes them."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.numbers import rounded, token


class TokenTest(SynchronousTestCase):
    """The texts that checksums are made of."""

    def test_what_the_exchange_was_seen_to_write(self) -> None:
        cases = {
            (70, 8): b"7e-7", (-52, 8): b"-5.2e-7", (1, 8): b"1e-8", (100, 8): b"0.000001", (110, 8): b"0.0000011",
            (642500, 1): b"64250", (64435, 1): b"6443.5", (0, 8): b"0", (-200000000, 8): b"-2", (28, 8): b"2.8e-7",
            (5, 0): b"5", (24901302097080, 8): b"249013.0209708",
        }  # fmt: skip
        for (units, decimals), text in cases.items():
            self.assertEqual(token(units, decimals), text)

    @given(st.integers(-(10**15), 10**15), st.integers(0, 10))
    def test_nothing_is_lost(self, units: int, decimals: int) -> None:
        text = token(units, decimals).decode()
        self.assertEqual(Decimal(text), Decimal(units).scaleb(-decimals))
        self.assertEqual("e" in text, 0 < abs(Decimal(text)) < Decimal("1e-6"))
        if "e" not in text and "." in text:
            self.assertFalse(text.endswith("0"))

    @given(st.integers(1, 10**12), st.integers(1, 5))
    def test_rounding_goes_away_from_the_spread(self, units: int, digits: int) -> None:
        down, up = rounded(units, digits, up=False), rounded(units, digits, up=True)
        self.assertTrue(down <= units <= up)
        for value in (down, up):
            self.assertLessEqual(len(str(value).rstrip("0")), digits)
