"""What `GET /v2/conf/LABEL,…` tells of pairs and currencies: one array for each label (docs rest-public-conf)."""

from collections.abc import Callable, Mapping, Sequence

from bfxtwist.core.symbols import Pair, parse_pair

Answer = list[object]

#: Some of the codes that differ from the names people use, as the exchange writes them (`pub:map:currency:sym`).
RENAMED: Mapping[str, str] = {
    "ALG": "ALGO",
    "ATO": "ATOM",
    "DSH": "DASH",
    "EUT": "EURt",
    "IOT": "IOTA",
    "QTM": "QTUM",
    "TSD": "TUSD",
    "UDC": "USDC",
    "UST": "USDt",
    "USTF0": "USDt0",
    "WBT": "WBTC",
    "YYW": "YOYOW",
}


def answer_conf(labels: Sequence[str], symbols: Sequence[str]) -> list[Answer]:
    """The answer for a market of these symbols. A label that means nothing here has an empty array."""
    pairs = sorted((parse_pair(symbol) for symbol in symbols), key=lambda pair: pair.code)
    return [_LABELS[label](pairs) if label in _LABELS else [] for label in labels]


def _spot(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if not pair.perpetual]


def _perpetual(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if pair.perpetual]


def _codes(pairs: Sequence[Pair]) -> Answer:
    return [pair.code for pair in pairs]


def _currencies(pairs: Sequence[Pair]) -> list[str]:
    return sorted({currency for pair in pairs for currency in (pair.base, pair.quote)})


def _info(pairs: Sequence[Pair], fields: int) -> Answer:
    """`["BTCUSD",[null,null,null,"0.00004","2000.0",null,null,null,0.1,0.05,…]]`: the least and largest order, margins."""
    info = [None, None, None, "0.00004", "2000.0", None, None, None, 0.1, 0.05, None, None][:fields]
    return [[pair.code, info] for pair in pairs]


def _renamed(pairs: Sequence[Pair]) -> Answer:
    return [[code, name] for code, name in RENAMED.items()]


def _underlying(pairs: Sequence[Pair]) -> Answer:
    return [[code, code.removesuffix("F0")] for code in _currencies(pairs) if code.endswith("F0")]


_LABELS: Mapping[str, Callable[[Sequence[Pair]], Answer]] = {
    "pub:list:pair:exchange": lambda pairs: _codes(_spot(pairs)),
    "pub:list:pair:margin": lambda pairs: _codes(_spot(pairs)),
    "pub:list:pair:futures": lambda pairs: _codes(_perpetual(pairs)),
    "pub:list:currency": lambda pairs: list(_currencies(pairs)),
    "pub:list:currency:margin": lambda pairs: list(_currencies(_spot(pairs))),
    "pub:info:pair": lambda pairs: _info(_spot(pairs), 12),
    "pub:info:pair:futures": lambda pairs: _info(_perpetual(pairs), 10),
    "pub:map:currency:sym": _renamed,
    "pub:map:currency:undl": _underlying,
}
