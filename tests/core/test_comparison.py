"""Comparing with history: how far the frontier goes, and what is asked for when."""

from bfxtwist.core.comparison import LACKS, Progress
from bfxtwist.core.gaps import Gap, GapState, Mark
from bfxtwist.core.history import Page
from bfxtwist.core.trades import HOLD, Mode
from tests.core.taped import TapeTest


class ComparisonTests(TapeTest):
    """Driven through the tape that it belongs to."""

    # --- auditing -----------------------------------------------------------------------------------------

    def test_trade_that_the_socket_never_told_is_found(self) -> None:
        """Within two minutes."""
        self.trade()
        self.connect()
        self.trade(told=False)
        self.trade()
        self.wait(95)
        self.assertEqual((sorted(self.file), self.tape.counters.audited), (self.everything(), 1))

    def test_trade_that_is_published_late_is_found(self) -> None:
        """V stays behind what may still be under way."""
        self.trade()
        self.connect()
        self.wait(20)
        late = self.trade(told=False, publish_after=28.0)
        self.trade()
        self.wait(12)
        assert self.progress.frontier is not None
        self.assertLess(self.progress.frontier.id, late.id)
        self.wait(120)
        self.assertEqual(sorted(self.file), self.everything())

    def test_frontier_moves_only_over_what_history_showed(self) -> None:
        """A trade on file that history lacks is looked for three times, then the ledger names the place."""
        self.trade()
        self.connect()
        self.trade()
        hidden = self.trade(publish_after=float("inf"))
        last = self.trade()
        self.wait(95)
        self.assertEqual(self.tape.comparison.changes, [])
        assert self.progress.frontier is not None
        self.assertLess(self.progress.frontier.id, hidden.id)
        self.wait(20)
        (gap,) = self.tape.comparison.changes
        self.assertEqual((gap.state, gap.cause), (GapState.LOST, LACKS))
        self.assertEqual((gap.start.id, gap.end.id), (hidden.id - 1, hidden.id + 1))
        self.assertEqual(self.progress.frontier.id, last.id)

    def test_each_trade_is_looked_for_however_many_have_come_since(self) -> None:
        self.trade()
        self.connect()
        hidden = self.trade(publish_after=float("inf"))
        for _ in range(60):
            self.trade(pause=0.25)
        self.assertNotIn(hidden.id, self.tape.comparison.recent)
        self.wait(200)
        (gap,) = self.tape.comparison.changes
        self.assertEqual((gap.start.id, gap.end.id, gap.cause), (hidden.id - 1, hidden.id + 1, LACKS))

    def test_older_trades_than_the_first_are_not_wanted(self) -> None:
        """The overlap shows them at every audit."""
        for _ in range(8):
            self.trade(told=False)
        self.connect(2)
        self.wait(200)
        self.assertEqual(self.file, self.everything()[-2:])

    def test_verified_through_follows_the_exchanges_clock_in_a_quiet_market(self) -> None:
        """Where history ends with our own newest trade, there was nothing else to compare."""
        self.assertIsNone(self.tape.comparison.through())
        self.trade()
        self.connect()
        self.wait(300)
        newest = self.tape.last_trade
        assert newest is not None
        through = self.tape.comparison.through()
        assert through is not None
        self.assertLessEqual(self.exchange.now() - through, 155_000)
        self.trade()
        self.assertEqual(self.tape.comparison.through(), newest.mts - 60_000)

    def test_verified_through_goes_on_in_a_quiet_market_after_a_restart(self) -> None:
        """No trade came since the start, and none was there to come."""
        self.trade()
        self.connect()
        self.wait(300)
        self.resume(self.file, self.progress.copy())
        self.connect()
        self.wait(300)
        through = self.tape.comparison.through()
        assert through is not None
        self.assertLessEqual(self.exchange.now() - through, 155_000)

    def test_nothing_is_verified_on_the_word_of_rows_that_were_forgotten(self) -> None:
        """History ended with the newest of them, and they are not on file any more."""
        self.trade()
        self.connect()
        self.wait(200)
        first = self.tape.last_trade
        assert first is not None
        self.trade(told=False, pause=60)
        self.ask(write=False)
        self.assertGreater(self.tape.comparison.through() or 0, first.mts)
        self.tape.forgot(self.tape.released(), self.moment)
        self.assertEqual(self.tape.comparison.through(), first.mts - 60_000)

    # --- resuming -----------------------------------------------------------------------------------------

    def test_resume_from_the_frontier_and_not_from_the_last_row(self) -> None:
        """A trade that was lost silently before the kill lies before the last row on file."""
        for _ in range(6):
            self.trade(told=False)
        ids = self.everything()
        first = self.exchange.ledger[ids[0]].told
        self.resume([ids[0], ids[1], ids[5]], Progress(ids[0], Mark(first.id, first.mts), ids[0]))
        self.connect()
        self.wait(3)
        self.assertEqual(sorted(self.file), ids)

    def test_open_gap_is_fetched_after_a_restart(self) -> None:
        """In pages, and what has been fetched is not asked for again after another restart."""
        for _ in range(20):
            self.trade(told=False)
        ids = self.everything()
        marks = [Mark(i, self.exchange.ledger[i].told.mts) for i in ids]
        gap = Gap(marks[0], marks[-2], "x", 0, marks[0], ids[0])
        self.resume([ids[0], ids[-2], ids[-1]], Progress(ids[0], marks[-2], ids[0], [gap]))
        self.clock.advance(100)
        self.ask()
        self.assertEqual(self.file[3:], ids[1:6])
        self.assertEqual(gap.left, marks[4])
        self.wait(3)
        self.assertEqual((sorted(self.file), self.progress.gaps, gap.filled), (ids, [], 17))

    def test_rows_of_a_gap_that_were_forgotten_are_fetched_again(self) -> None:
        """Its edge had moved over them; they never came to the file."""
        for _ in range(20):
            self.trade(told=False)
        ids = self.everything()
        marks = [Mark(i, self.exchange.ledger[i].told.mts) for i in ids]
        gap = Gap(marks[0], marks[-2], "x", 0, marks[0], ids[0])
        self.resume([ids[0], ids[-2], ids[-1]], Progress(ids[0], marks[-2], ids[0], [gap]))
        self.clock.advance(100)
        self.ask(write=False)
        self.assertEqual(self.progress.gaps[0].left, marks[4])
        self.tape.forgot(self.tape.released(), self.moment)
        self.assertEqual(self.progress.gaps[0].left, marks[0])
        self.wait(3)
        self.assertEqual((sorted(self.file), self.progress.gaps), (ids, []))

    def test_full_page_of_a_long_walk_moves_the_frontier(self) -> None:
        """A restart in the middle goes on from there."""
        for _ in range(30):
            self.trade(told=False)
        self.clock.advance(100)
        first = self.exchange.ledger[1001].told
        self.resume([1001], Progress(1001, Mark(1001, first.mts), 1001))
        self.connect(1)
        self.ask()
        assert self.progress.frontier is not None
        self.assertEqual(self.progress.frontier.id, 1005)

    # --- asking -------------------------------------------------------------------------------------------

    def test_one_question_at_a_time_and_longer_waits_after_failures(self) -> None:
        """1, 2, 4 … 16 seconds while live trades wait."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.connect()
        waits = []
        for _ in range(6):
            request = self.tape.request(self.moment)
            self.assertIsNotNone(request)
            self.assertIsNone(self.tape.request(self.moment))
            self.tape.unanswered("no", self.moment)
            seconds = 0
            while self.tape.request(self.moment) is None:
                self.clock.advance(1)
                seconds += 1
            self.tape.comparison._asked = None
            waits.append(seconds)
        self.assertEqual(waits, [1, 2, 4, 8, 16, 16])

    def test_waits_are_short_again_after_an_answer(self) -> None:
        """A long walk is not slowed down by failures at its beginning."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        for _ in range(20):
            self.trade(told=False)
        self.connect(1)
        for _ in range(3):
            self.assertIsNotNone(self.tape.request(self.moment))
            self.tape.unanswered("no", self.moment)
            self.clock.advance(4)
        self.assertIsNotNone(self.ask())
        self.assertIsNotNone(self.tape.request(self.moment))
        self.tape.unanswered("no", self.moment)
        self.clock.advance(1)
        self.assertIsNotNone(self.tape.request(self.moment))

    def test_answer_for_a_walk_that_is_over_is_not_used(self) -> None:
        """The socket was lost while the page was on its way."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        self.connect()
        self.assertIsNotNone(self.tape.request(self.moment))
        self.tape.lost("again")
        self.tape.page(Page(self.exchange.history()), self.moment)
        self.assertEqual(self.tape.mode, Mode.DOWN)
        self.connect()
        self.wait(2)
        self.assertEqual(self.tape.mode, Mode.LIVE)

    def test_answer_that_comes_after_its_rows_were_forgotten_moves_nothing(self) -> None:
        """V would pass trades that are not on file."""
        self.trade()
        self.connect()
        self.tape.lost("sequence")
        for _ in range(20):
            self.trade(told=False)
        self.connect(1)
        self.clock.advance(100)
        first = self.progress.frontier
        self.ask(write=False)
        self.assertNotEqual(self.progress.frontier, first)
        request = self.tape.request(self.moment)
        assert request is not None
        self.tape.forgot(self.tape.released(), self.moment)
        page = [trade for trade in self.exchange.history() if trade.mts >= request.start][: request.limit]
        self.tape.page(Page(page), self.moment)
        self.write()
        self.assertEqual((self.progress.frontier, len(self.file)), (first, 1))
        self.wait(3)
        self.assertEqual(self.file, self.everything())

    def test_an_open_gap_says_why_history_did_not_follow(self) -> None:
        """What the last question met with: no answer, or one that was not enough."""
        self.trade()
        for answer, cause in (("HTTP 500", "HTTP 500"), ("", "too much to fetch")):
            self.connect()
            self.tape.lost("restart")
            self.trade(told=False)
            last = self.trade(told=False)
            self.tape.snapshot([last], self.moment)
            self.assertIsNotNone(self.tape.request(self.moment))
            self.tape.unanswered("HTTP 500", self.moment)
            if not answer:
                self.clock.advance(1)
                self.exchange.fault = "empty"
                self.ask()
            self.clock.advance(HOLD)
            self.tape.tick(self.moment)
            self.assertEqual(self.progress.gaps[-1].cause, f"restart; history did not follow in 60 s: {cause}")
            self.exchange.fault = ""
            self.wait(700)
