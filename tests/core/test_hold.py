"""A hold by itself: how long it lasts, what history may not pass, and what is counted."""

from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import Mark
from bfxtwist.core.hold import HOLD, Hold
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import Arrival


def arrival(trade_id: int, mts: int) -> Arrival:
    """Of a trade with this id and time."""
    return Arrival(Trade(trade_id, mts, b"1", b"1"), 0)


class HoldTests(SynchronousTestCase):
    def test_a_minute_in_all(self) -> None:
        """What passes between two connections does not count."""
        hold = Hold()
        hold.begin(None, 100.0)
        for seconds in (HOLD / 4, HOLD / 3, HOLD / 2):
            self.assertFalse(hold.is_over(100.0 + seconds))
        hold.begin(None, 1000.0)
        self.assertFalse(hold.is_over(1000.0 + HOLD / 2 - 1))
        self.assertTrue(hold.is_over(1000.0 + HOLD / 2))

    def test_it_waits_for_history_again_after_it_waited_for_the_disk(self) -> None:
        hold = Hold()
        hold.durable_first = 3
        hold.wait_for(Mark(5, 50))
        self.assertIsNone(hold.durable_first)

    def test_what_is_not_on_its_way_to_the_file(self) -> None:
        """What is held back, and what history is to catch up with: that may be on file already, or not be told again."""
        hold = Hold()
        self.assertIsNone(hold.lowest)
        hold.trades[7] = arrival(7, 70)
        self.assertEqual(hold.lowest, 7)
        for right, lowest in ((Mark(5, 50), 5), (Mark(9, 90), 7)):
            hold.wait_for(right)
            self.assertEqual(hold.lowest, lowest)

    def test_older_than_what_is_held_back(self) -> None:
        """By time, as history is. Everything is, where the socket has told nothing."""
        hold = Hold()
        self.assertTrue(hold.precedes(10**13))
        hold.wait_for(Mark(5, 50))
        self.assertEqual([hold.precedes(mts) for mts in (49, 50, 51)], [True, False, False])

    def test_only_what_was_missed_is_counted(self) -> None:
        """Between the last trade before and the first one after; not where either is unknown."""
        for before, right, filled in ((Mark(2, 20), Mark(5, 50), 2), (None, Mark(5, 50), 0), (Mark(2, 20), None, 0)):
            hold = Hold()
            hold.begin(before, 0.0)
            hold.wait_for(right)
            for trade_id in range(8):
                hold.count(trade_id)
            self.assertEqual(hold.filled, filled)
            hold.begin(before, 1.0)
            self.assertEqual(hold.filled, 0)

    def test_in_order_of_time_then_id(self) -> None:
        hold = Hold()
        for held in (arrival(4, 30), arrival(2, 30), arrival(3, 20)):
            hold.trades[held.trade.id] = held
        self.assertEqual([held.trade.id for held in hold.in_order()], [3, 2, 4])

    def test_what_is_let_go_of(self) -> None:
        """History must catch up with the newest of it, whichever came last."""
        hold = Hold()
        for held in (arrival(2, 20), arrival(9, 90), arrival(4, 40)):
            hold.trades[held.trade.id] = held
        self.assertEqual((hold.drop(), hold.trades), (Mark(9, 90), {}))
