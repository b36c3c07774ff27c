"""Which pairs there are, and how the exchange spells common names: its `conf` endpoint, asked once at start."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from twisted.internet.interfaces import IReactorTime

from bfxtwist.core.errors import excerpt
from bfxtwist.core.symbols import COMMON_NAMES, Pair, nearest
from bfxtwist.feed.rest import RequestFailed, get

_LABELS = "pub:list:pair:exchange,pub:list:pair:futures,pub:map:currency:sym"

#: Nobody waits long for a list that is only good for a better error message.
_TIMEOUT = 5.0

_decode = msgspec.json.Decoder(tuple[list[str], list[str], list[tuple[str, str]]]).decode


class Listing(NamedTuple):
    """The exchange's codes of its pairs (`BTCUSD`, `DOGE:USD`, `BTCF0:USTF0`), and of common names (USDT: UST)."""

    pairs: frozenset[str]
    names: Mapping[str, str]


_FOR_YEARS = (
    "BTCUSD", "BTCUST", "BTCEUR", "BTCGBP", "BTCJPY", "ETHUSD", "ETHUST", "ETHBTC", "ETHEUR", "LTCUSD", "LTCBTC", "XRPUSD",
    "XRPUST", "XRPBTC", "SOLUSD", "SOLUST", "ADAUSD", "ADAUST", "DOGE:USD", "DOGE:UST", "LINK:USD", "DOTUSD", "AVAX:USD",
    "UNIUSD", "XLMUSD", "EOSUSD", "ETCUSD", "XMRUSD", "ZECUSD", "IOTUSD", "DSHUSD", "NEOUSD", "TRXUSD", "ALGUSD", "ATOUSD",
    "LEOUSD", "USTUSD", "UDCUSD", "XAUT:USD", "BTCF0:USTF0", "ETHF0:USTF0",
)  # fmt: skip

#: Enough to name the nearest pair when the exchange's own list cannot be had.
WELL_KNOWN = Listing(frozenset(_FOR_YEARS), COMMON_NAMES)


async def fetch_listing(client: Any, rest_url: str, clock: IReactorTime) -> Listing:
    """Ask. Raises RequestFailed, also for an answer that is no listing."""
    answer = await get(client, f"{rest_url.rstrip('/')}/conf/{_LABELS}", {}, clock, timeout=_TIMEOUT)
    if answer.status != 200:
        raise RequestFailed(f"HTTP {answer.status}: {excerpt(answer.body)}")
    try:
        exchange, futures, symbols = _decode(answer.body)
    except msgspec.DecodeError as error:
        raise RequestFailed(f"not a list of pairs, {error}: {excerpt(answer.body)}") from None
    # The exchange writes USDt; people write USDT.
    return Listing(frozenset([*exchange, *futures]), {name.upper(): code for code, name in symbols})


def mistaken(pair: Pair, listing: Listing | None) -> str | None:
    """One line for people, with the nearest pairs, if the exchange does not have this one; None as far as is known."""
    if listing is None or not listing.pairs or pair.code in listing.pairs:
        return None
    renamed = Pair(listing.names.get(pair.base, pair.base), listing.names.get(pair.quote, pair.quote))
    near = [renamed.symbol] if renamed.code in listing.pairs else nearest(pair, listing.pairs)
    hint = f"did you mean {' or '.join(near)}?" if near else "see GET /v2/conf/pub:list:pair:exchange"
    return f"the exchange does not know {pair.name} ({pair.symbol}): {hint}"
