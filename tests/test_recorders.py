"""The trade files of a daemon: where each pair's is, and what its owner hears of it."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import TestCase

from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName
from bfxtwist.core.recovery import Plan
from bfxtwist.core.trade_rows import HEADER
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.out.trade_file import TradeFile
from bfxtwist.out.trade_saving import SyncPolicy
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


class OnePair(TestCase):
    def setUp(self) -> None:
        clock, market = Clock(), Market()
        self.exchange = ModelExchange(clock)
        how: Any = {"failed": self.fail, "not_safe": lambda *why: self.fail(str(why))}
        self.recorders = Recorders(clock, market, self.exchange.moment, sync=SyncPolicy.SECOND, **how)
        [self.feed] = settings(feeds=recordings(self.mktemp(), "BTC/USD")).feeds
        carry(market, "tBTCUSD", ChannelName.TRADES)

    @inlineCallbacks
    def test_its_file_can_be_had_again(self) -> Any:
        """Out of the settings and in again: the file is synced in between, which takes its time."""
        for _ in range(2):
            self.recorders.open(self.feed, self.exchange)
            self.recorders.remove("tBTCUSD")
            self.assertRaises(TradeFileError, self.recorders.open, self.feed, self.exchange)
            yield self.recorders.removed()
        self.recorders.open(self.feed, self.exchange)
        yield self.recorders.stop()

    @inlineCallbacks
    def test_the_stop_waits_for_it(self) -> Any:
        recorder = self.recorders.open(self.feed, self.exchange)
        self.recorders.remove("tBTCUSD")
        yield self.recorders.stop()
        recorder.open()  # its lock is free
        yield recorder.stop()

    @inlineCallbacks
    def test_one_that_is_being_closed_is_not_opened_anew(self) -> Any:
        """SIGHUP while it stops: the last state is under way to the disk."""
        recorder = self.recorders.open(self.feed, self.exchange)
        path = recorder.folder / "trade.csv"
        stopped = recorder.stop()
        self.assertNoResult(stopped)
        path.rename(recorder.folder / "trade.csv.1")
        recorder.reopen()
        yield stopped
        self.assertFalse(path.exists())

    @inlineCallbacks
    def test_only_a_file_that_is_not_in_its_place_is_opened_anew(self) -> Any:
        """At SIGHUP, which a renewed certificate may have sent: months of rows are not read for it."""
        recorder = self.recorders.open(self.feed, self.exchange)
        opened: list[str] = []
        before = TradeFile.open

        def again(file: TradeFile, *how: Any) -> Plan:
            opened.append(file.path)
            return before(file, *how)

        self.patch(TradeFile, "open", again)
        self.recorders.reopen()
        self.assertEqual(opened, [])
        recorder.path.rename(recorder.folder / "trade.csv.1")
        self.recorders.reopen()
        self.assertEqual(opened, [str(recorder.path)])
        yield self.recorders.stop()
