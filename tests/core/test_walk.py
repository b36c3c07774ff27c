"""Walks through a history that is late, short, crowded or wrong: no end is believed without its witness."""

from bfxtwist.core.gaps import GapState, Mark
from bfxtwist.core.limits import Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.progress import Progress
from bfxtwist.core.trades import Mode
from bfxtwist.core.walk import Walk
from tests.core.taped import TapeTest


class WalkTests(TapeTest):
    """Driven through the tape that walks."""

    # --- where it begins ----------------------------------------------------------------------------------

    def test_history_that_does_not_reach_back_is_a_loss(self) -> None:
        """Not at once: a trade may be late. Then the ledger says so, and the recorder goes on."""
        self.cut_off("restart")
        self.missed(5)
        self.clock.advance(300)
        self.exchange.horizon = self.exchange.now() - 1000
        last = self.trade(told=False)
        self.connect(1)
        self.wait(20)
        self.assertEqual(self.tape.mode, Mode.SYNC)
        self.wait(20)
        (gap,) = [gap for gap in self.tape.comparison.changes if gap.state is GapState.LOST]
        self.assertEqual((gap.start.id, gap.end.id), (1001, last.id))
        self.assertEqual((self.tape.mode, self.file), (Mode.LIVE, [1001, last.id]))

    def test_history_that_forgets_between_two_pages_is_a_loss(self) -> None:
        """The next page shows again what the last one ended with, or nobody knows what lay in between."""
        first = self.trade()
        self.connect()
        self.tape.lost("restart")
        told = [self.trade(told=False) for _ in range(9)]
        self.connect(1)
        self.assertIsNotNone(self.ask())  # one page of six
        self.clock.advance(10)
        self.exchange.horizon = self.exchange.now() - 1000
        last = self.trade()
        self.assertIsNotNone(self.ask())
        self.assertIsNone(self.ask(), "the beginning is asked for later")
        self.wait(45)
        (loss,) = [gap for gap in self.tape.comparison.changes if gap.state is GapState.LOST]
        self.assertEqual((loss.start.id, loss.end.id), (first.id, last.id))
        self.assertEqual(set(self.everything()) - set(self.file), {trade.id for trade in told[5:-1]})

    def test_full_pages_that_lead_past_a_trade_before_it_is_published(self) -> None:
        """It is looked for where it belongs, and not waited for behind it."""
        self.connect(0)
        self.trade(publish_after=3, pause=0.001)
        for _ in range(self.limits.page + 1):
            self.trade(pause=0)
        self.tape.lost("sequence")
        self.connect(1)
        self.wait(20)
        self.assertEqual((self.tape.mode, self.tape.comparison.changes), (Mode.LIVE, []))

    def test_full_pages_that_lead_past_a_trade_that_is_never_published(self) -> None:
        """Nothing comes after them, and they tell all the same from where on history is there."""
        self.connect(0)
        first = self.trade(publish_after=float("inf"), pause=0.001)
        for _ in range(self.limits.page + 1):
            self.trade(pause=0)
        self.tape.lost("sequence")
        self.connect(1)
        self.wait(200)
        [*_, loss] = self.tape.comparison.changes
        self.assertEqual((loss.state, loss.start.id, loss.end.id), (GapState.LOST, first.id, first.id + 1))
        self.assertEqual(self.progress.gaps, [])

    def test_a_full_page_that_leads_past_the_beginning_is_not_followed(self) -> None:
        """Else weeks of history might be read before the trade that is missing there is looked for again."""
        walk = Walk(Mark(1, 100_000), limit=3)
        asked = walk.request()
        page = [Trade(number, mts, b"1", b"1") for number, mts in ((2, 100_100), (3, 100_200), (4, 102_000))]
        self.assertTrue(walk.take(page, lambda _: False, 0.0).again)
        self.assertEqual(walk.request(), asked)

    def test_older_trade_on_file_is_a_witness_too(self) -> None:
        """The trade at the frontier itself was removed: history reaches back all the same."""
        first = self.trade()
        self.connect()
        second = self.trade()
        self.resume([first.id, second.id], Progress(first.id, Mark(second.id, second.mts), first.id))
        del self.exchange.ledger[second.id]
        self.trade(told=False)
        self.connect()
        self.ask()
        self.assertEqual((self.tape.mode, sorted(self.file)), (Mode.LIVE, [first.id, second.id, second.id + 1]))

    def test_witness_is_judged_before_the_page_is_taken_in(self) -> None:
        """Unknown trades from before the frontier prove nothing about what is between them and the frontier."""
        self.trade(told=False)
        gone = self.trade(told=False)
        self.resume([gone.id], Progress(1, Mark(gone.id, gone.mts), 1))
        del self.exchange.ledger[gone.id]
        self.trade(told=False)
        self.connect(1)
        self.ask()
        self.wait(5)
        self.assertEqual((self.tape.mode, self.file), (Mode.SYNC, [gone.id]))
        self.wait(30)
        (loss,) = self.tape.comparison.changes
        self.assertEqual((loss.state, loss.start.id, loss.end.id), (GapState.LOST, gone.id, gone.id + 1))

    # --- many trades at once ------------------------------------------------------------------------------

    def test_more_trades_in_a_millisecond_than_two_pages_hold(self) -> None:
        """From both ends; what is in the middle is named as lost."""
        self.live()
        self.missed(15, pause=0.0)
        self.clock.advance(1)
        self.trade()
        self.wait(120)
        (gap,) = self.tape.comparison.changes
        self.assertEqual(gap.state, GapState.LOST)
        missing = set(self.everything()) - set(self.file)
        self.assertEqual(len(missing), 3)
        self.assertLessEqual({self.exchange.ledger[i].stored.mts for i in missing}, {gap.start.mts})
        self.assertLessEqual(missing, set(range(gap.start.id, gap.end.id)))

    def test_as_many_trades_in_a_millisecond_as_two_pages_hold(self) -> None:
        """Its two ends meet."""
        self.cut_off("sequence")
        self.missed(9, pause=0.0)
        self.clock.advance(0.0015)
        self.missed(2)
        self.connect(1)
        while self.ask():
            pass
        self.assertEqual((sorted(self.file), self.tape.mode), (self.everything(), Mode.LIVE))
        self.assertEqual([gap.state for gap in self.tape.comparison.changes], [GapState.FILLED])

    def test_a_crowded_millisecond_whose_other_end_is_gone(self) -> None:
        """The exchange forgot it between two questions."""
        self.cut_off("sequence")
        self.missed(9, pause=0.0)
        self.clock.advance(1)
        last = self.trade(told=False)
        self.connect(1)
        while not (self.ask() and self.tape.comparison._onward and self.tape.comparison._onward.walk._one_millisecond):
            pass
        self.exchange.horizon = last.mts
        self.wait(2)
        [loss, *_] = self.tape.comparison.changes
        self.assertEqual((loss.state, loss.start.mts, loss.end.mts), (GapState.LOST, last.mts - 1000, last.mts - 1000))
        self.assertEqual(self.tape.mode, Mode.LIVE)


class HorizonTests(TapeTest):
    """A history that reaches back for a minute and a half, always, and tells all of it in a page."""

    limits = Limits(page=1000)

    def test_history_that_goes_on_forgetting_is_a_loss_once(self) -> None:
        """What it did tell in between is compared: the next walk begins there, and not before the outage again."""
        for _ in range(5):
            self.trade()
        self.connect()
        self.tell(*(self.exchange.trade(publish_after=0).told for _ in range(3)))
        self.tape.lost("stopped")
        self.missed(100, pause=3)
        self.exchange.horizon = self.exchange.now() - 90_000
        self.connect(3)
        for _ in range(400):
            self.exchange.horizon = self.exchange.now() - 90_000
            self.trade()
            self.wait(1)
        lost = {gap.line() for gap in self.tape.comparison.changes if gap.state is GapState.LOST}
        self.assertEqual(len(lost), 1)
        self.assertGreater(self.progress.frontier or Mark(0, 0), Mark(self.exchange.history()[0].id, 0))
