"""What the simulator knows of a pair before it begins: about what it costs, and in which digits."""

from dataclasses import dataclass
from random import Random

from bfxtwist.core.symbols import parse_pair

#: Amounts are whole numbers of 1e-8.
AMOUNT_DECIMALS = 8


@dataclass(frozen=True, slots=True)
class PairModel:
    """A price is a whole number of 10^-`decimals`; `amount` is a typical one, in 1e-8."""

    symbol: str
    price: int
    decimals: int
    amount: int
    tick: int  # the step between prices that most orders keep to


_COIN = 10**AMOUNT_DECIMALS

#: Prices have five significant digits in a book, as on the exchange, and raw orders one more.
_KNOWN = {
    "tBTCUSD": PairModel("tBTCUSD", 642_500, 1, _COIN // 10, 10),
    "tBTCUST": PairModel("tBTCUST", 642_700, 1, _COIN // 10, 10),
    "tBTCF0:USTF0": PairModel("tBTCF0:USTF0", 642_600, 1, _COIN // 10, 10),
    "tETHUSD": PairModel("tETHUSD", 315_420, 2, _COIN, 10),
    "tETHBTC": PairModel("tETHBTC", 49_083, 6, _COIN, 10),
    "tLTCUSD": PairModel("tLTCUSD", 84_312, 3, 5 * _COIN, 10),
    "tDOGE:USD": PairModel("tDOGE:USD", 152_430, 6, 2_000 * _COIN, 10),
    "tXRPBTC": PairModel("tXRPBTC", 8_850, 8, 900 * _COIN, 1),
    # Prices of one and two digits, about half of them with an exponent: a tick is more than one percent.
    "tVETBTC": PairModel("tVETBTC", 70, 8, 40_000 * _COIN, 1),
}


def model_of(symbol: str) -> PairModel:
    """What is known of a symbol, or what could be: always the same for one symbol.

    Raises ValueError for what is not a symbol of the exchange (`tBTCUSD`, `tDOGE:USD`).
    """
    if symbol in _KNOWN:
        return _KNOWN[symbol]
    if not symbol.startswith("t") or parse_pair(symbol).symbol != symbol:
        raise ValueError(f"{symbol!r} is not a symbol as the exchange writes it, like tBTCUSD or tDOGE:USD")
    random = Random(symbol)
    decimals = random.randint(1, 7)
    price = random.randint(100_000, 999_999)
    # About a thousand of the quote currency an order.
    amount = max(1000, round(1000 * _COIN * 10**decimals / price))
    return PairModel(symbol, price, decimals, amount, 10)
