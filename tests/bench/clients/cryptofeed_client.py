"""cryptofeed with its defaults: its C book, sequence numbers checked, and checksums where its version verifies them."""

import csv

import cryptofeed.connection
from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK, L3_BOOK, TRADES
from cryptofeed.exchanges import Bitfinex
from told import ARRIVED, FINISHING, SEEN, WORK, now

routes = Routes(["/v2/conf/pub:list:pair:exchange", "/v2/conf/pub:list:currency", "/v2/conf/pub:list:pair:futures"])
Bitfinex.rest_endpoints = [RestEndpoint(WORK["rest_url"].removesuffix("/v2"), routes=routes)]
SEEN["checksums"] = None  # verified, but out of sight

# It takes no address but a TLS one; TLS is not what is measured here.
connect = cryptofeed.connection.connect
cryptofeed.connection.connect = lambda address, **options: connect(address.replace("wss:", "ws:"), **options)
Bitfinex.websocket_endpoints = [WebsocketEndpoint(WORK["ws_url"].replace("ws:", "wss:"), limit=20)]


async def on_book(book, _received):
    SEEN["updates"] += book.delta is not None


async def on_paced_book(book, _received):
    ARRIVED[book.sequence_number] = now()


async def on_trade(trade, _received):
    write((trade.timestamp, trade.id, trade.side, trade.amount, trade.price))


if WORK["channel"] == "trades":
    file = open(WORK["file"], "w", newline="")  # noqa: SIM115 - open to the end
    write = csv.writer(file).writerow
    FINISHING.append(file.close)
    channel, callback = TRADES, on_trade
else:
    channel = L3_BOOK if WORK["precision"] == "R0" else L2_BOOK
    callback = on_paced_book if WORK["paced"] else on_book

handler = FeedHandler(config={"uvloop": True, "log": {"filename": "cryptofeed.log", "level": "WARNING"}})
symbols = [pair.replace("/", "-") for pair in WORK["pairs"]]
feed = Bitfinex(symbols=symbols, channels=[channel], callbacks={channel: callback}, number_of_price_points=WORK["levels"])
handler.add_feed(feed)
handler.run(install_signal_handlers=False)
