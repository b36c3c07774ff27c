"""Which pairs there are, and how the exchange spells common names: its `conf` endpoint, asked once at start."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from twisted.internet.interfaces import IReactorTime

from bfxtwist.core.errors import excerpt
from bfxtwist.feed.rest import Unanswered, get

_LABELS = "pub:list:pair:exchange,pub:list:pair:futures,pub:map:currency:sym"

#: Nobody waits long for a list that is only good for a better error message.
_TIMEOUT = 5.0

_decode = msgspec.json.Decoder(tuple[list[str], list[str], list[tuple[str, str]]]).decode


class Listing(NamedTuple):
    """The exchange's codes of its pairs (`BTCUSD`, `DOGE:USD`, `BTCF0:USTF0`), and of common names (USDT: UST)."""

    pairs: frozenset[str]
    names: Mapping[str, str]


async def fetch_listing(client: Any, rest_url: str, clock: IReactorTime, timeout: float = _TIMEOUT) -> Listing:
    """Ask. Raises Unanswered, also for an answer that is no listing."""
    answer = await get(client, f"{rest_url.rstrip('/')}/conf/{_LABELS}", {}, clock, timeout=timeout)
    if answer.status != 200:
        raise Unanswered(f"HTTP {answer.status}: {excerpt(answer.body)}")
    try:
        exchange, futures, symbols = _decode(answer.body)
    except msgspec.DecodeError as error:
        raise Unanswered(f"not a list of pairs, {error}: {excerpt(answer.body)}") from None
    # The exchange writes USDt; people write USDT.
    return Listing(frozenset([*exchange, *futures]), {name.upper(): code for code, name in symbols})
