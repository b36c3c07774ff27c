"""Bitfinex market data that can be trusted: a verified order book and a trade file with every trade once.

    core/       what the data means: no I/O, no clock
    feed/       where data comes in: WebSocket and REST
    out/        where data leaves: HTTP and trade.csv
    exchange/   the other side of the protocol, to run against
    files/      trade files offline
    daemon.py   wires them into one service; settings.py says what that service was asked to be
    app.py      the process around it
    bitfinex.py the object API below, exact.py what it gives

The public names are loaded when they are first used, so that `bfxtwist.core` alone brings no Twisted along.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

__all__ = ["Bitfinex", "FeedFailed", "FeedState", "Level", "OrderBook", "Trade", "run", "service"]

if TYPE_CHECKING:
    from bfxtwist.bitfinex import Bitfinex, FeedFailed, run, service
    from bfxtwist.core.feed_state import FeedState
    from bfxtwist.exact import Level, OrderBook, Trade
else:  # type checkers would take any name for one that this has

    def __getattr__(name: str) -> Any:
        if name in __all__:
            module = "exact" if name in ("Level", "OrderBook", "Trade") else "bitfinex"
            return getattr(import_module(f"bfxtwist.{module}"), name)
        raise AttributeError(f"module 'bfxtwist' has no attribute {name!r}")

    def __dir__() -> list[str]:  # what a notebook offers
        return ["__version__", *__all__]
