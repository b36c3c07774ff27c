"""ccxt.pro's watch_order_book and watch_trades, checksums on as by default. Its markets are made here, not fetched.

Of trades it keeps 1,000 by default, and more than those come between two wakings flat out: three in ten were not written.
"""

import asyncio
import csv
from contextlib import suppress

import ccxt.pro
from told import FINISHING, SEEN, WORK


async def main():
    exchange = ccxt.pro.bitfinex({"newUpdates": True, "options": {"tradesLimit": 20_000}})
    exchange.urls["api"]["ws"]["public"] = WORK["ws_url"]
    exchange.options["watchOrderBook"]["prec"] = WORK["precision"]
    spot = {"quote": "USD", "spot": True, "type": "spot", "active": True}
    names = zip(WORK["symbols"], WORK["pairs"], strict=True)
    made = [{"id": symbol, "symbol": pair, "base": pair.split("/")[0], **spot} for symbol, pair in names]
    exchange.set_markets([exchange.safe_market_structure(market) for market in made])
    handle = exchange.handle_order_book

    def counted(client, message, subscription):
        SEEN["updates"] += not isinstance(message[1][0], list)
        handle(client, message, subscription)

    exchange.handle_order_book = counted
    verify = exchange.handle_checksum

    def verified(client, message, subscription):
        SEEN["checksums"] += 1
        verify(client, message, subscription)
        SEEN["mismatches"] += not exchange.orderbooks  # it forgets a book whose checksum is wrong

    exchange.handle_checksum = verified
    watch = watch_trades if WORK["channel"] == "trades" else watch_book
    await asyncio.gather(*(watch(exchange, pair) for pair in WORK["pairs"]))


async def watch_book(exchange, pair):
    # Until a checksum is wrong; a KeyError where it has forgotten, before it looks, that it is subscribed.
    with suppress(ccxt.ChecksumError, KeyError):
        while True:
            await exchange.watch_order_book(pair, None, {"len": WORK["levels"]})
    await asyncio.Event().wait()


async def watch_trades(exchange, pair):
    file = open(WORK["file"], "w", newline="")  # noqa: SIM115 - open to the end
    write = csv.writer(file).writerow
    FINISHING.append(file.close)
    while True:
        for trade in await exchange.watch_trades(pair):
            write((trade["timestamp"], trade["id"], trade["side"], trade["amount"], trade["price"]))


asyncio.run(main())
