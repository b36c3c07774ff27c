"""The trade files of a daemon: where each pair's is, and what its owner hears of it."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.trade_rows import HEADER
from bfxtwist.out.trade_csv import SyncPolicy
from bfxtwist.recorders import Recorders
from bfxtwist.settings import settings
from tests.model_exchange import ModelExchange
from tests.out.served import carry
from tests.running import recordings

_ROW = b"bitfinex,BTCUSD,1542045947738000,1542045947801234,310628121,buy,6443.1,0.00265425\n"


class Warned(TestCase):
    @inlineCallbacks
    def test_a_recording_that_is_not_continued(self) -> Any:
        """A second pair has come, and each has a folder of its own from now on."""
        folder = Path(self.mktemp())
        folder.mkdir()
        (folder / "trade.csv").write_bytes(HEADER + _ROW)
        clock, market = Clock(), Market()
        exchange = ModelExchange(clock)
        how: Any = {"failed": self.fail, "not_safe": lambda *why: self.fail(str(why))}
        recorders = Recorders(clock, market, exchange.moment, sync=SyncPolicy.SECOND, **how)
        with capturedLogs() as events:
            for feed in settings(feeds=recordings(folder, "BTC/USD", "ETH/USD")).feeds:
                carry(market, feed.pair.symbol, ChannelName.TRADES)
                recorders.open(feed, exchange)
        warned = [event for event in events if "is not continued" in (event.get("log_format") or "")]
        self.assertEqual([(event["pair"], event["other"]) for event in warned], [("BTC/USD", str(folder / "trade.csv"))])
        self.assertEqual((folder / "trade.csv").read_bytes(), HEADER + _ROW)
        yield recorders.stop()
