"""What is told of trades."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.errors import MalformedMessage
from bfxtwist.core.feed_state import FeedState
from bfxtwist.core.messages import Rows, Trade, TradeExecuted, TradesExecuted
from bfxtwist.core.trade_feed import LATEST_TRADES, TradeFeed
from tests.core.conversation import TRADES, Tape
from tests.core.feeds import at


class Trades(SynchronousTestCase):
    """Trades."""

    def test_listeners_hear_everything_in_order(self) -> None:
        feed, tape = TradeFeed(TRADES, at(0)), Tape()
        feed.listeners.append(tape)
        feed.snapshot(Rows(8, [(b"2", b"2000", b"1", b"9"), (b"1", b"1000", b"-1", b"9")], 1, None), at(1))
        trade = Trade(3, 3000, b"1", b"9")
        feed.executed(TradeExecuted(8, False, trade, 2, None), at(2))
        feed.executed(TradeExecuted(8, True, trade, 3, None), at(3))
        feed.lost("the connection was lost", at(4))
        expected = [("snapshot", [2, 1]), ("te", 3), ("tu", 3), ("lost", "the connection was lost")]
        self.assertEqual(tape.told, expected)
        self.assertEqual(feed.counts.trades, 1)

    def test_trades_that_come_together(self) -> None:
        """All of them are told; one that is told twice is one trade."""
        feed, tape = TradeFeed(TRADES, at(0)), Tape()
        feed.listeners.append(tape)
        first, second = (Trade(trade_id, 1000, b"1", b"9") for trade_id in (1, 2))
        together = [first, second, first]
        feed.executed_together(TradesExecuted((8,) * 3, [False, False, True], together, (1, 2, 3), (9,) * 3), at(1))
        self.assertEqual(tape.told, [("te", 1), ("te", 2), ("tu", 1)])
        self.assertEqual((feed.counts.trades, list(feed.latest)), (2, [first, second]))

    def test_the_latest_are_kept_and_no_more(self) -> None:
        """Oldest first, each once."""
        feed = TradeFeed(TRADES, at(0))
        feed.snapshot(Rows(8, [(b"2", b"2000", b"1", b"9"), (b"1", b"1000", b"-1", b"9")], 1, None), at(1))
        self.assertEqual(([trade.id for trade in feed.latest], feed.state), ([1, 2], FeedState.LIVE))
        for trade_id in range(3, 3 + LATEST_TRADES):
            for confirmed in (False, True):
                feed.executed(TradeExecuted(8, confirmed, Trade(trade_id, 3000, b"1", b"9"), 2, None), at(2))
        self.assertEqual([trade.id for trade in feed.latest], list(range(3, 3 + LATEST_TRADES)))

    def test_rows_that_are_no_trades(self) -> None:
        for row in ((b"1", b"1", b"1"), (b"0", b"1", b"1", b"1"), (b"1", b"1", b"0", b"1"), (b"1.5", b"1", b"1", b"1")):
            feed, tape = TradeFeed(TRADES, at(0)), Tape()
            feed.listeners.append(tape)
            with self.assertRaises(MalformedMessage):
                feed.snapshot(Rows(8, [(b"2", b"2", b"1", b"9"), row], 1, None), at(1))
            self.assertEqual((tape.told, feed.state), ([], FeedState.CONNECTING))
