"""What a pair costs before it trades."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.exchange.pairs import model_of


class PairsTest(SynchronousTestCase):
    """Known and made up."""

    def test_always_the_same(self) -> None:
        self.assertEqual(model_of("tNEW:COIN"), model_of("tNEW:COIN"))
        self.assertNotEqual(model_of("tNEW:COIN").price, model_of("tOLD:COIN").price)

    def test_a_price_of_one_digit_below_a_millionth(self) -> None:
        model = model_of("tVETBTC")
        self.assertEqual(model.price / 10**model.decimals, 7e-7)

    def test_only_the_exchanges_spelling(self) -> None:
        for text in ("BTCUSD", "tDOGEUSD", "tBTC:USD", "fUSD", ""):
            with self.assertRaises(ValueError, msg=text):
                model_of(text)
