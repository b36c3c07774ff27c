"""ccxt.pro: watches a book, whose checksums ccxt verifies, and the trades.

    python unified.py WS_URL REST_URL PAIR CHECKSUMS TRADES

Stops after so many of each, and prints a JSON object with what it saw. A checksum that is wrong ends it with ChecksumError.
"""

import asyncio
import json
import sys
from typing import Any

import ccxt.pro


async def main(ws_url: str, rest_url: str, pair: str, checksums: int, trades: int) -> None:
    """Watch, until enough was seen."""
    exchange = ccxt.pro.bitfinex()
    exchange.urls["api"]["ws"]["public"] = ws_url
    for kind in ("public", "private", "v1"):
        exchange.urls["api"][kind] = rest_url.removesuffix("/v2")
    saw: dict[str, Any] = {"markets": 0, "checksums": 0, "executed": [], "bid": 0, "ask": 0}
    verify = exchange.handle_checksum

    def counted(*arguments: Any) -> None:
        verify(*arguments)
        saw["checksums"] += 1

    exchange.handle_checksum = counted

    async def book() -> None:
        while saw["checksums"] < checksums:
            current = await exchange.watch_order_book(pair, 25)
            saw["bid"], saw["ask"] = current["bids"][0][0], current["asks"][0][0]

    async def tape() -> None:
        while len(saw["executed"]) < trades:
            saw["executed"] += [int(trade["id"]) for trade in await exchange.watch_trades(pair)]

    try:
        saw["markets"] = len(await exchange.load_markets())
        await asyncio.gather(book(), tape())
    finally:
        await exchange.close()
    sys.stdout.write(json.dumps(saw))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
