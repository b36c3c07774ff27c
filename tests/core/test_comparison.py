"""Comparing with history: how far the frontier goes, and what is asked for when."""

from bfxtwist.core.comparison import FIRST_AUDIT, LACKS
from bfxtwist.core.gaps import Gap, GapState, Mark
from bfxtwist.core.history import OVERLAP, Page
from bfxtwist.core.hold import HOLD
from bfxtwist.core.progress import Progress
from bfxtwist.core.trades import Mode
from tests.core.taped import TapeTest


class ComparisonTests(TapeTest):
    """Driven through the tape that it belongs to."""

    # --- auditing -----------------------------------------------------------------------------------------

    def test_trade_that_the_socket_never_told_is_found(self) -> None:
        """Within two minutes."""
        self.live()
        self.trade(told=False)
        self.trade()
        self.wait(95)
        self.assertEqual((sorted(self.file), self.tape.counters.audited), (self.everything(), 1))

    def test_trade_that_is_published_late_is_found(self) -> None:
        """The frontier stays behind what may still be under way."""
        self.live()
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
        self.live()
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

    def test_the_ledger_names_the_whole_interval_that_history_tells_with_something_missing(self) -> None:
        self.live()
        first = self.trade(publish_after=float("inf"))
        self.trade()
        second = self.trade(publish_after=float("inf"))
        self.trade()
        self.wait(115)
        (gap,) = self.tape.comparison.changes
        self.assertEqual((gap.start.id, gap.end.id), (first.id - 1, second.id + 1))

    def test_trade_that_history_shows_at_the_second_look_is_no_loss(self) -> None:
        """Full pages had led past it: each look begins anew."""
        self.live()
        self.trade(publish_after=93)
        for _ in range(20):
            self.trade(pause=0.5)
        self.wait(200)
        self.assertEqual(self.tape.comparison.changes, [])

    def test_ids_that_history_may_still_show_are_not_below_the_floor(self) -> None:
        """They are kept for the day when their rows are rotated away. The floor follows the frontier all the same."""
        self.live()
        for _ in range(300):
            self.trade(pause=0)
            self.wait(1)
        frontier = self.progress.frontier
        assert frontier is not None
        shown = [made.told.id for made in self.exchange.ledger.values() if made.stored.mts >= frontier.mts - OVERLAP]
        self.assertLessEqual(self.progress.floor, min(shown))
        self.assertGreater(self.progress.floor, 1001)

    def test_frontier_waits_for_its_witness_while_pages_are_full(self) -> None:
        """The trade at the frontier is gone, and none before it is on file: what comes next to it proves nothing."""
        self.missed(4)
        gone = self.trade(told=False, pause=0.1)
        del self.exchange.ledger[gone.id]
        self.missed(4, pause=0.1)
        self.clock.advance(40)
        mark = Mark(gone.id, gone.mts)
        last = self.exchange.ledger[gone.id + 4].told
        gap = Gap(mark, Mark(last.id, last.mts), "x", 0, mark, 1)
        self.resume([gone.id, last.id], Progress(gone.id, mark, 1))
        self.connect(1)
        self.ask()
        self.assertEqual(self.progress.frontier, mark)
        self.resume([gone.id, last.id], Progress(gone.id, gap.end, 1, [gap]))
        self.ask()
        self.assertEqual(gap.left, mark)

    def test_each_trade_is_looked_for_however_many_have_come_since(self) -> None:
        self.live()
        hidden = self.trade(publish_after=float("inf"))
        for _ in range(60):
            self.trade(pause=0.25)
        self.assertNotIn(hidden.id, self.tape.comparison.recent)
        self.wait(200)
        (gap,) = self.tape.comparison.changes
        self.assertEqual((gap.start.id, gap.end.id, gap.cause), (hidden.id - 1, hidden.id + 1, LACKS))

    def test_older_trades_than_the_first_are_not_wanted(self) -> None:
        """The overlap shows them at every audit."""
        self.missed(8)
        self.connect(2)
        self.wait(200)
        self.assertEqual(self.file, self.everything()[-2:])
        self.assertIsNone(self.tape.foreign)  # their times are older, too: these files are no other exchange's

    def test_verified_through_follows_the_exchanges_clock_in_a_quiet_market(self) -> None:
        """Where history ends with our own newest trade, there was nothing else to compare."""
        self.assertIsNone(self.tape.comparison.through())
        self.live()
        self.trade()
        self.wait(300)
        newest = self.tape.last_trade
        assert newest is not None
        through = self.tape.comparison.through()
        assert through is not None
        self.assertLessEqual(self.exchange.now() - through, 155_000)
        self.assertGreaterEqual(self.exchange.now() - through, 90_000)  # what may still be under way is not promised
        self.trade()
        self.assertEqual(self.tape.comparison.through(), newest.mts - 60_000)

    def test_verified_through_goes_on_in_a_quiet_market_after_a_restart(self) -> None:
        """No trade came since the start, and none was there to come."""
        self.live()
        self.trade()
        self.wait(300)
        self.resume(self.file, self.progress.copy())
        self.connect()
        self.wait(300)
        through = self.tape.comparison.through()
        assert through is not None
        self.assertLessEqual(self.exchange.now() - through, 155_000)

    def test_clock_of_a_server_in_between(self) -> None:
        """An hour ahead it makes nothing verified that has not happened, and no trade old enough to be the frontier."""
        self.exchange.ahead = 3_600_000
        self.live()
        self.wait(300)
        self.assertLessEqual(self.tape.comparison.through() or 0, self.exchange.now() - 90_000)
        newest = self.trade(pause=0)
        self.tape.comparison.live(self.moment.monotonic - FIRST_AUDIT)
        self.ask()
        assert self.progress.frontier is not None
        self.assertLess(self.progress.frontier.id, newest.id)

    def test_nothing_is_verified_on_the_word_of_rows_that_were_forgotten(self) -> None:
        """History ended with the newest of them, and they are not on file any more."""
        self.live()
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
        self.missed(6)
        ids = self.everything()
        first = self.exchange.ledger[ids[0]].told
        self.resume([ids[0], ids[1], ids[5]], Progress(ids[0], Mark(first.id, first.mts), ids[0]))
        self.connect()
        self.wait(3)
        self.assertEqual(sorted(self.file), ids)

    def resume_with_a_gap(
        self, count: int = 20, end: int = -2, pause: float = 1.0
    ) -> tuple[list[int], list[Mark], Gap]:
        """After a restart: of so many trades the first and those from `end` on are on file, and a gap is open in between."""
        self.missed(count, pause)
        ids = self.everything()
        marks = [Mark(i, self.exchange.ledger[i].told.mts) for i in ids]
        gap = Gap(marks[0], marks[end], "x", 0, marks[0], ids[0])
        self.resume([ids[0], *ids[end:]], Progress(ids[0], marks[-1], ids[0], [gap]))
        self.clock.advance(100)
        return ids, marks, gap

    def test_open_gap_is_fetched_after_a_restart(self) -> None:
        """In pages, and what has been fetched is not asked for again after another restart."""
        ids, marks, gap = self.resume_with_a_gap()
        self.ask()
        self.assertEqual(self.file[3:], ids[1:6])
        self.assertEqual(gap.left, marks[4])
        self.assertNotEqual(self.tape.comparison.revision, 0)  # to be saved
        self.wait(3)
        self.assertEqual((sorted(self.file), self.progress.gaps, gap.filled), (ids, [], 17))
        self.assertEqual((self.tape.counters.backfilled, self.tape.counters.audited), (17, 0))

    def test_what_holds_live_trades_back_goes_before_an_open_gap(self) -> None:
        """The gap has been due for longer, and may take many pages."""
        _, marks, _ = self.resume_with_a_gap()
        self.connect(1)
        request = self.tape.request(self.moment)
        assert request is not None
        self.assertEqual(request.start, marks[-1].mts - OVERLAP)

    def test_a_gap_with_a_full_page_in_one_millisecond(self) -> None:
        """Its edge stays until there is a later time to move it to."""
        first = self.trade(told=False)
        self.missed(8, pause=0)
        self.clock.advance(1)
        last = self.trade(told=False)
        self.clock.advance(100)
        left, end = Mark(first.id, first.mts), Mark(last.id, last.mts)
        gap = Gap(left, end, "x", 0, left, first.id)
        self.exchange.horizon = first.mts + 1000  # they come first
        self.resume([first.id, first.id + 1, last.id], Progress(first.id, end, first.id, [gap]))
        self.tape.comparison._repairs[0].walk.reached_back = True
        self.ask()
        self.assertEqual(gap.left, left)
        self.wait(3)
        self.assertEqual((sorted(self.file), self.progress.gaps), (self.everything(), []))

    def test_a_gap_is_closed_when_its_end_is_passed(self) -> None:
        """What came after it is not asked for once more: that may have been weeks."""
        ids, _, _ = self.resume_with_a_gap(60, end=3, pause=5)
        while self.ask():
            pass
        self.assertEqual((sorted(self.file), self.progress.gaps), (ids, []))
        self.assertEqual(self.tape.comparison.on_file.gaps, [])  # nor after another restart
        self.assertLessEqual(len(self.exchange.asked), 4)

    def test_a_trade_that_an_audit_finds_beside_an_open_gap_is_not_counted_for_it(self) -> None:
        """The ledger counts what lies between its edges."""
        self.live()
        gap = Gap(Mark(1, 1), Mark(2, 2), "x", 0, Mark(1, 1), 1)
        self.progress.gaps.append(gap)
        self.trade(told=False)
        self.trade()
        self.wait(95)
        self.assertEqual((sorted(self.file), gap.filled), (self.everything(), 0))

    def test_a_gap_that_was_filled_with_rows_that_were_forgotten_is_open_again(self) -> None:
        """In the ledger, too."""
        ids, _, _ = self.resume_with_a_gap(4, end=-1)
        self.ask(write=False)
        self.assertEqual([gap.state for gap in self.tape.comparison.changes], [GapState.FILLED])
        self.tape.forgot(self.tape.released(), self.moment)
        self.assertEqual([gap.state for gap in self.tape.comparison.changes], [GapState.FILLED, GapState.OPEN])
        self.wait(3)
        self.assertEqual((sorted(self.file), self.progress.gaps), (ids, []))

    def test_rows_of_a_gap_that_were_forgotten_are_fetched_again(self) -> None:
        """Its edge had moved over them; they never came to the file."""
        ids, marks, _ = self.resume_with_a_gap()
        self.ask(write=False)
        self.assertEqual(self.progress.gaps[0].left, marks[4])
        self.tape.forgot(self.tape.released(), self.moment)
        self.assertEqual(self.progress.gaps[0].left, marks[0])
        self.wait(3)
        self.assertEqual((sorted(self.file), self.progress.gaps), (ids, []))

    def test_full_page_of_a_long_walk_moves_the_frontier(self) -> None:
        """A restart in the middle goes on from there."""
        self.missed(30)
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
        self.cut_off("sequence")
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
        self.cut_off("sequence")
        self.missed(20)
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
        self.cut_off("sequence")
        self.connect()
        self.assertIsNotNone(self.tape.request(self.moment))
        self.tape.lost("again")
        self.tape.page(Page(self.exchange.history()), self.moment)
        self.assertEqual(self.tape.mode, Mode.DOWN)
        self.connect()
        self.wait(2)
        self.assertEqual(self.tape.mode, Mode.LIVE)

    def test_answer_that_comes_after_the_gap_was_opened_fills_it(self) -> None:
        """Where many pairs share the questions, each has one in some minutes."""
        self.cut_off("sequence")
        self.missed(3)
        self.connect(1)
        self.assertIsNotNone(self.tape.request(self.moment))
        self.clock.advance(61)
        self.tape.tick(self.moment)
        self.save()
        self.assertEqual((self.tape.mode, len(self.progress.gaps)), (Mode.LIVE, 1))
        self.tape.page(Page(self.exchange.history()), self.moment)
        self.write()
        self.assertEqual((self.progress.gaps, sorted(self.file)), ([], self.everything()))

    def test_an_audit_does_not_keep_a_gap_from_being_filled(self) -> None:
        """Where many pairs share the questions, an audit is due whenever there is one to ask."""
        self.cut_off("sequence")
        self.trade(told=False)
        self.exchange.fault = "down"
        self.connect(1)
        self.clock.advance(61)
        self.tape.tick(self.moment)
        self.save()
        self.exchange.fault = ""
        for open_gaps in (1, 0):
            self.assertEqual((self.tape.mode, len(self.progress.gaps)), (Mode.LIVE, open_gaps))
            self.clock.advance(180)
            self.assertTrue(self.ask())

    def test_a_gap_of_many_pages_does_not_keep_an_audit_from_its_turn(self) -> None:
        """What is verified would stand still until the last of them."""
        _, marks, _ = self.resume_with_a_gap()
        self.tape.comparison.live(self.moment.monotonic - FIRST_AUDIT)
        first, second = self.ask(), self.ask()
        assert first is not None and second is not None
        self.assertEqual((first.start, second.start), (marks[0].mts - OVERLAP, marks[-1].mts - OVERLAP))

    def test_answer_that_is_another_gaps_when_one_is_opened(self) -> None:
        """It goes on where it was."""
        _, marks, gap = self.resume_with_a_gap()
        self.missed(3)
        self.connect(1)
        self.assertIsNotNone(self.tape.request(self.moment))
        self.tape.unanswered("no", self.moment)
        request = self.tape.request(self.moment)
        assert request is not None
        self.clock.advance(HOLD)
        self.tape.tick(self.moment)
        self.assertEqual(len(self.progress.gaps), 2)
        page = [trade for trade in self.exchange.history() if trade.mts >= request.start][: request.limit]
        self.tape.page(Page(page), self.moment)
        self.assertEqual((gap.left, self.progress.gaps[1].left), (marks[4], marks[-1]))

    def test_answer_that_comes_after_its_rows_were_forgotten_moves_nothing(self) -> None:
        """The frontier would pass trades that are not on file."""
        self.cut_off("sequence")
        self.missed(20)
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
        for fault, cause in (
            (None, "too much to fetch"),
            ("", "HTTP 500"),
            ("empty", "it does not reach back"),
            ("short", "it has not caught up"),
        ):
            self.connect()
            self.tape.lost("restart")
            self.trade(told=False)
            last = self.trade(told=False)
            self.tape.snapshot([last], self.moment)
            if fault is not None:
                self.assertIsNotNone(self.tape.request(self.moment))
                self.tape.unanswered("HTTP 500", self.moment)
            if fault:
                self.clock.advance(1)
                self.exchange.fault = fault
                self.ask()
            self.clock.advance(HOLD)
            self.tape.tick(self.moment)
            self.assertEqual(self.progress.gaps[-1].cause, f"restart; history did not follow in 60 s: {cause}")
            self.exchange.fault = ""
            self.wait(700)
