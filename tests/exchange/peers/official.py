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


class Watcher:
    """Keeps the book that it is told, and stops when it has seen enough."""

    def __init__(self, client: Client, symbol: str, checksums: int, trades: int) -> None:
        self.client, self.symbol, self.checksums, self.trades = client, symbol, checksums, trades
        self.levels: dict[float, tuple[int, float]] = {}
        self.saw: dict[str, Any] = {"matched": 0, "mismatched": 0, "executed": [], "snapshot": 0, "history": 0}
        self.stopping = False
        for event, listener in (
            ("open", self.opened),
            ("t_book_snapshot", self.snapshot),
            ("t_book_update", self.update),
            ("checksum", self.check),
            ("t_trades_snapshot", self.past),
            ("t_trade_execution", self.executed),
        ):
            client.wss.on(event, listener)

    async def opened(self) -> None:
        """Subscribe."""
        await self.client.wss.subscribe("book", symbol=self.symbol, prec="P0", freq="F0", len="25")
        await self.client.wss.subscribe("trades", symbol=self.symbol)

    def snapshot(self, _: Any, rows: list[Any]) -> None:
        """The whole book."""
        self.levels = {row.price: (row.count, row.amount) for row in rows}

    def update(self, _: Any, row: Any) -> None:
        """One level."""
        if row.count:
            self.levels[row.price] = (row.count, row.amount)
        else:
            self.levels.pop(row.price)

    def check(self, _: Any, value: int) -> None:
        """What the book should be. Not a coroutine: that would look when the next updates may have been taken in."""
        self.saw["matched" if checksum(self.levels) == value else "mismatched"] += 1

    def past(self, _: Any, rows: list[Any]) -> None:
        """The last trades."""
        self.saw["snapshot"] = len(rows)

    async def executed(self, _: Any, trade: Any) -> None:
        """A trade. When enough was seen, the connection is closed, once."""
        self.saw["executed"].append(trade.id)
        enough = self.saw["matched"] + self.saw["mismatched"] >= self.checksums and len(self.saw["executed"]) >= self.trades
        if enough and not self.stopping:
            self.stopping = True
            await self.client.wss.close()


def main(ws_url: str, rest_url: str, symbol: str, checksums: int, trades: int) -> None:
    """Watch, then ask for the history."""
    client = Client(wss_host=ws_url, rest_host=rest_url)
    watcher = Watcher(client, symbol, checksums, trades)
    client.wss.run()
    watcher.saw["history"] = len(client.rest.public.get_t_trades(symbol, limit=50))
    sys.stdout.write(json.dumps(watcher.saw))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
