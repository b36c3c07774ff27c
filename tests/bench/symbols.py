"""Pairs for the benchmark: real ones first, made up ones after."""

from itertools import islice, product

_FIRST = ["BTC/USD", "ETH/USD", "LTC/USD", "XRP/USD", "ETH/BTC", "LTC/BTC"]
_LETTERS = "ABCDEFGHJK"


def pairs(count: int) -> list[str]:
    """So many pairs, as people write them."""
    made_up = ("".join(letters) + "/USD" for letters in product("QZXVW", _LETTERS, _LETTERS))
    return [*_FIRST, *islice(made_up, max(count - len(_FIRST), 0))][:count]


def symbols(count: int) -> list[str]:
    """The same, as the exchange writes them."""
    return ["t" + pair.replace("/", "") for pair in pairs(count)]
