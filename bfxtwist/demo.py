"""The exchange of `--demo`: an embedded one, whose past is what was recorded of it.

A market that had another past after each start would look, to a recorder, like an exchange that has lost its trades: a
second demo in the same folder would find holes in the file of the first.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from bfxtwist.core.messages import ChannelName, Trade
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.exchange.simulated import SimulatedMarket
from bfxtwist.files.recording import NoRecording, recordings
from bfxtwist.files.trade_file import Block, MissingDecompressor, read_trade_file
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
    """The newest trades of the recording with this live file, as the exchange told them; without what cannot be read.

    Soon after a rotation the live file has few, or none: then closed parts are read, the newest first.
    """
    trades: list[Trade] = []
    with suppress(OSError):  # the recorder says why, if it is not just the first start
        tail = read_tail(path, _REMEMBERED, 0, ()).trades
        trades += [_told(one.id, one.mts, one.side, one.price, one.amount) for one in tail]
    with suppress(OSError, NoRecording, MissingDecompressor):
        for part in _closed_parts(path):
            if len(trades) >= _REMEMBERED:
                break
            trades += deque(_rows(part), _REMEMBERED)
    return sorted(trades, key=lambda trade: (trade.mts, trade.id))[-_REMEMBERED:]


def _closed_parts(path: Path) -> list[Path]:
    """Newest first. Raises NoRecording, OSError."""
    [parts] = [one.parts for one in recordings([path.parent]) if one.parts[-1].parent == path.parent] or [()]
    return [part for part in reversed(parts) if part != path]


def _rows(part: Path) -> Iterator[Trade]:
    """Raises OSError, MissingDecompressor."""
    for block in read_trade_file(part):
        if isinstance(block, Block):
            for _, timestamp, _, trade_id, rest in block.rows:
                yield _told(int(trade_id), int(timestamp) // 1000, *rest.split(b","))


def _told(trade_id: int, mts: int, side: bytes, price: bytes, amount: bytes) -> Trade:
    return Trade(trade_id, mts, b"-" + amount if side == b"sell" else amount, price)
