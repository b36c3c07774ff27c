"""The exchange of `--demo`: an embedded one, whose past is what was recorded of it.

A market that had another past after each start would look, to a recorder, like an exchange that has lost its trades: a
second demo in the same folder would find holes in the file of the first.
"""

from pathlib import Path
from typing import Any

from bfxtwist.core.messages import ChannelName, Trade
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.out.trade_tail import read_tail
from bfxtwist.settings import Settings

#: Trades: twenty minutes at the market's pace, where the recorder goes back two or three.
_REMEMBERED = 3_000

#: Trades, of each pair: an hour at that pace. A demo stays open for days, and its recorder is minutes behind.
_HISTORY = 15_000


def demo_exchange(reactor: Any, settings: Settings) -> EmbeddedExchange:
    """One that has all pairs of `settings`."""
    past = {
        feed.pair.symbol: recorded(feed.folder / "trade.csv")
        for feed in settings.feeds
        if feed.channel is ChannelName.TRADES and feed.folder is not None
    }
    market = SimulatedMarket(pairs=[pair.symbol for pair in settings.pairs], past=past, history=_HISTORY)
    market.ledger.keeps = False  # nobody here could ask for it: 67 MB a day of each pair (measured)
    return EmbeddedExchange(reactor, market)


def recorded(path: Path) -> list[Trade]:
    """The newest trades of a file, as the exchange told them; none of a file that cannot be read."""
    try:
        told = read_tail(path, _REMEMBERED, 0, ()).trades
    except OSError:  # the recorder says why, if it is not just the first start
        return []
    return [Trade(one.id, one.mts, b"-" + one.amount if one.side == b"sell" else one.amount, one.price) for one in told]
