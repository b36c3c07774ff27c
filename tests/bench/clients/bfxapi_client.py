"""bitfinex-api-py with an order book like its example's, verified as its example verifies it, and a CSV of trades."""

import csv
import zlib
from collections import OrderedDict
from decimal import Decimal

from bfxapi import Client
from told import FINISHING, SEEN, WORK

books = {symbol: {"bids": OrderedDict(), "asks": OrderedDict()} for symbol in WORK["symbols"]}
bfx = Client(rest_host=WORK["rest_url"], wss_host=WORK["ws_url"])
keyed_by = 0 if WORK["precision"] != "R0" else 1


def take(symbol, row):
    side = books[symbol]["bids" if row.amount > 0 else "asks"]
    key, gone = (row.price, row.count == 0) if not keyed_by else (row.order_id, row.price == 0)
    if gone:
        side.pop(key, None)
    else:
        side[key] = {"key": key, "price": row.price, "amount": row.amount}


def text(number):
    return str(number) if isinstance(number, int) else format(Decimal(repr(number)), "f").removesuffix(".0")


@bfx.wss.on("checksum")
def on_checksum(subscription, value):
    SEEN["checksums"] += 1
    book = books[subscription["symbol"]]
    bids = sorted(book["bids"].values(), key=lambda row: -row["price"])[:25]
    asks = sorted(book["asks"].values(), key=lambda row: row["price"])[:25]
    parts = []
    for rank in range(25):
        parts += [text(side[rank][name]) for side in (bids, asks) if rank < len(side) for name in ("key", "amount")]
    SEEN["mismatches"] += zlib.crc32(":".join(parts).encode()) != value


@bfx.wss.on("open")
async def on_open():
    for symbol in WORK["symbols"]:
        if WORK["channel"] == "trades":
            await bfx.wss.subscribe("trades", symbol=symbol)
        else:
            await bfx.wss.subscribe("book", symbol=symbol, prec=WORK["precision"], freq="F0", len=str(WORK["levels"]))


def on_snapshot(subscription, rows):
    for row in rows:
        take(subscription["symbol"], row)


def on_update(subscription, row):
    SEEN["updates"] += 1
    take(subscription["symbol"], row)


raw = "raw_" if keyed_by else ""
bfx.wss.on(f"t_{raw}book_snapshot", on_snapshot)
bfx.wss.on(f"t_{raw}book_update", on_update)

if WORK["channel"] == "trades":
    file = open(WORK["file"], "w", newline="")  # noqa: SIM115 - open to the end
    write = csv.writer(file).writerow
    FINISHING.append(file.close)

    @bfx.wss.on("t_trade_execution")
    def on_executed(_subscription, trade):
        write((trade.mts, trade.id, trade.amount, trade.price))


bfx.wss.run()
