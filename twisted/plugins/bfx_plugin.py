"""Tells twistd that `bfx` and `bfx-exchange` exist. Their code is imported only when one of them is asked for."""

from twisted.application.service import ServiceMaker

bfx = ServiceMaker(
    "bfx",
    "bfxtwist.app",
    "Bitfinex market data that can be trusted: GET /book and trade.csv.",
    "bfx",
)

bfx_exchange = ServiceMaker(
    "bfx-exchange",
    "bfxtwist.exchange.options",
    "A small Bitfinex on this machine, simulated or replayed, to run bfx against.",
    "bfx-exchange",
)
