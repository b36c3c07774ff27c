"""A pair as people write it, as the exchange writes it, and as it may stand in a file name.

    BTC/USD  ⇄  tBTCUSD  ⇄  BTC-USD          DOGE/USD  ⇄  tDOGE:USD          BTC/USDT  ⇄  tBTCUST

A symbol is `t`, base, `:` if either has more than three characters, quote. This held for all 406 pairs of a recorded
`pub:info:pair` and all 422 of a `pub:list:pair:exchange`. Perpetuals carry `F0` on both sides (tBTCF0:USTF0).
"""

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import NamedTuple

#: Common names whose code at the exchange is another one, from `pub:map:currency:sym`. The exchange's own list, read at
#: start, comes first; this is what is known without it.
COMMON_NAMES: Mapping[str, str] = {
    "ALGO": "ALG",
    "ATOM": "ATO",
    "DASH": "DSH",
    "EURT": "EUT",
    "IOTA": "IOT",
    "QTUM": "QTM",
    "TUSD": "TSD",
    "USDC": "UDC",
    "USDT": "UST",
    "WBTC": "WBT",
    "YOYOW": "YYW",
}

#: Currencies that pairs are quoted in, to take `DOGEUSD` apart.
_QUOTES = ("USTF0", "USDT", "EURT", "USD", "UST", "EUR", "GBP", "JPY", "TRY", "BTC", "ETH", "MIM", "XAUT", "CNHT", "EUT")

_CODE = re.compile(r"[A-Z0-9]{2,24}")  # the longest listed is AUSTRALIA200IXF0
_SYMBOL = re.compile(r"t([A-Z0-9]+)(?::([A-Z0-9]+))?")
_SEPARATED = re.compile(r"([A-Z0-9]+)[/:_-]([A-Z0-9]+)")
_CCXT_PERPETUAL = re.compile(r"([A-Z0-9]+)/([A-Z0-9]+):\2")
_HOW = "write it like BTC/USD, BTCUSD, tBTCUSD or tDOGE:USD"


class Pair(NamedTuple):
    """Base and quote in the exchange's codes."""

    base: str
    quote: str

    @property
    def symbol(self) -> str:
        """As the exchange writes it: `tBTCUSD`, `tDOGE:USD`."""
        return f"t{self.code}"

    @property
    def code(self) -> str:
        """The symbol without its `t`, as in the exchange's lists."""
        separator = ":" if len(self.base) > 3 or len(self.quote) > 3 else ""
        return f"{self.base}{separator}{self.quote}"

    @property
    def name(self) -> str:
        """As people write it: `BTC/USD`, and `BTC/USDT` although the exchange says UST."""
        return f"{_NAMES.get(self.base, self.base)}/{_NAMES.get(self.quote, self.quote)}"

    @property
    def file_name(self) -> str:
        """As it may stand in a path: `BTC-USD`."""
        return self.name.replace("/", "-")

    @property
    def perpetual(self) -> bool:
        """Whether this is a perpetual contract."""
        return self.base.endswith("F0") and self.quote.endswith("F0")


_NAMES = {code: name for name, code in COMMON_NAMES.items()}


def parse_pair(text: str, names: Mapping[str, str] = COMMON_NAMES) -> Pair:
    """The pair that people or the exchange write so. `names` gives the exchange's codes of common names.

    Raises ValueError, whose text names the fix, for what is not a pair.
    """
    if written := _SYMBOL.fullmatch(text.strip()):
        base, quote = _joined(written[1]) if written[2] is None else (written[1], written[2])
    else:
        base, quote = (names.get(part, part) for part in _spelled(text.strip().upper()))
    if not (_CODE.fullmatch(base) and _CODE.fullmatch(quote)):
        raise ValueError(f"{text!r} is not a pair: {_HOW}")
    if len(base) <= 3 >= len(quote) and _joined(base + quote) != (base, quote):
        raise ValueError(f"{text!r} cannot be told from other pairs as {base}{quote}: {_HOW}")
    if base == quote:
        raise ValueError(f"{text!r} has {base} on both sides: {_HOW}")
    return Pair(base, quote)


def _spelled(text: str) -> tuple[str, str]:
    if perpetual := _CCXT_PERPETUAL.fullmatch(text):
        base, quote = perpetual[1], COMMON_NAMES.get(perpetual[2], perpetual[2])
        return f"{base}F0", f"{quote}F0"
    if separated := _SEPARATED.fullmatch(text):
        return separated[1], separated[2]
    return _apart(text, _QUOTES)


def _joined(code: str) -> tuple[str, str]:
    """Base and quote of a code without a colon. None of two letters is listed, but the exchange does not rule them out."""
    return _apart(code, _QUOTES if len(code) < 6 else ())


def _apart(text: str, quotes: Collection[str]) -> tuple[str, str]:
    """Base and quote of a text without a separator: three letters each, or a quote that is known."""
    if len(text) == 6:
        return text[:3], text[3:]
    for quote in quotes:
        if text.endswith(quote) and len(text) > len(quote) + 1:
            return text[: -len(quote)], quote
    return "", ""


def nearest(pair: Pair, listed: Collection[str]) -> list[str]:
    """Those three of the exchange's listed codes (`BTCUSD`, `DOGE:USD`) that look most like `pair`, as people write them."""
    same_quote = [code for code in listed if code.endswith(pair.quote)]
    codes = get_close_matches(pair.code, same_quote, 3, 0.5) or get_close_matches(pair.code, listed, 3, 0.5)
    return [parse_pair(f"t{code}").name for code in codes]
