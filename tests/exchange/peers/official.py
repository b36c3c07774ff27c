"""bitfinex-api-py: keeps a book, verifies every checksum, and counts trades.

    python official.py WS_URL REST_URL SYMBOL CHECKSUMS TRADES

Stops after so many of each, and prints a JSON object with what it saw.
"""

import json
import sys
from decimal import Decimal
from typing import Any
from zlib import crc32

from bfxapi import Client


def text(number: float) -> str:
    """As JavaScript's String(number)."""
    if number == int(number):
        return str(int(number))
    shortest = repr(number)
    if abs(number) < 1e-6:
        mantissa, _, exponent = shortest.partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return format(Decimal(shortest), "f")


def checksum(levels: dict[float, tuple[int, float]]) -> int:
    """Of a book by price."""
    bids = sorted((price for price in levels if levels[price][1] > 0), reverse=True)
    asks = sorted(price for price in levels if levels[price][1] < 0)
    parts: list[str] = []
    for index in range(25):
        for side in (bids, asks):
            if index < len(side):
                parts += (text(side[index]), text(levels[side[index]][1]))
    return crc32(":".join(parts).encode())


def main(ws_url: str, rest_url: str, symbol: str, checksums: int, trades: int) -> None:
    """Subscribe, and stop when enough was seen."""
    client = Client(wss_host=ws_url, rest_host=rest_url)
    levels: dict[float, tuple[int, float]] = {}
    stopping = False
    saw: dict[str, Any] = {"matched": 0, "mismatched": 0, "executed": [], "snapshot": 0, "history": 0}

    @client.wss.on("open")
    async def opened() -> None:
        await client.wss.subscribe("book", symbol=symbol, prec="P0", freq="F0", len="25")
        await client.wss.subscribe("trades", symbol=symbol)

    @client.wss.on("t_book_snapshot")
    def snapshot(_: Any, rows: list[Any]) -> None:
        for row in rows:
            levels[row.price] = (row.count, row.amount)

    @client.wss.on("t_book_update")
    def update(_: Any, row: Any) -> None:
        if row.count:
            levels[row.price] = (row.count, row.amount)
        else:
            levels.pop(row.price)

    @client.wss.on("checksum")
    async def check(_: Any, value: int) -> None:
        saw["matched" if checksum(levels) == value else "mismatched"] += 1
        await stop_when_done()

    @client.wss.on("t_trades_snapshot")
    def past(_: Any, rows: list[Any]) -> None:
        saw["snapshot"] = len(rows)

    @client.wss.on("t_trade_execution")
    async def executed(_: Any, trade: Any) -> None:
        saw["executed"].append(trade.id)
        await stop_when_done()

    async def stop_when_done() -> None:
        nonlocal stopping
        if stopping:
            return
        if saw["matched"] + saw["mismatched"] >= checksums and len(saw["executed"]) >= trades:
            stopping = True
            await client.wss.close()

    client.wss.run()
    saw["history"] = len(client.rest.public.get_t_trades(symbol, limit=50))
    sys.stdout.write(json.dumps(saw))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
