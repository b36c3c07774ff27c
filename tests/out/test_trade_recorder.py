"""The recorder of one pair, from the socket to the disk, on a clock."""

import msgspec
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import GapState
from bfxtwist.core.history import HistoryUnavailable, Page, PageRequest
from bfxtwist.core.limits import Limits
from bfxtwist.core.trade_rows import HEADER, Arrival
from bfxtwist.core.trades import Mode
from bfxtwist.out.trade_errors import DiskFailed
from tests.out.recording import LAYOUT, Recording, SlowThread, at_once, live, with_open_gap

SMALL = Limits(queue=10, unsynced=2000)


def in_line(recording: Recording) -> list[Deferred[None]]:
    """From now on a turn to ask history is had when it is fired here, by who waits for it."""
    turns: list[Deferred[None]] = []

    def turn() -> Deferred[None]:
        turns.append(Deferred(turns.remove))
        return turns[-1]

    recording.exchange.turn = turn  # type: ignore[assignment,method-assign]
    return turns


class RecorderTests(SynchronousTestCase):
    """`TradeRecorder` on a disk in memory."""

    # --- rows ---------------------------------------------------------------------------------------------

    def test_rows_are_written_at_most_a_turn_later(self) -> None:
        """A te is in the file in the next turn of the reactor."""
        recording = live()
        made = recording.exchange.trade()
        recording.tell(made.told)
        recording.clock.advance(0)
        self.assertEqual(recording.ids(), recording.ledger())
        line = LAYOUT.line(Arrival(made.told, recording.exchange.moment().wall))
        self.assertTrue(recording.content().endswith(line))

    def test_tu_is_the_second_source(self) -> None:
        """After te it changes nothing, without te it is written."""
        recording = live()
        for confirmed in (False, True):
            made = recording.exchange.trade()
            recording.tell(made.told, confirmed=confirmed)
            recording.tell(made.told, confirmed=True)
        recording.wait(1)
        self.assertEqual(recording.ids(), recording.ledger())

    def test_what_is_told_otherwise_the_second_time_is_logged(self) -> None:
        """The row stays, and its owner hears which one it is."""
        recording = live()
        made = recording.exchange.trade().told
        recording.tell(made)
        with capturedLogs() as events:
            for amount in (b"77", b"78"):
                recording.tell(replace(made, amount=amount), confirmed=True)
            recording.wait(3)
        said = [formatEvent(event) for event in events]
        price = made.price.decode()
        told = f"was told as {made.amount.decode()} at {price} and again as 78 at {price}"
        self.assertEqual(said, [f"tBTCUSD: trade {made.id} {told}: the first stands; 2 so far"])
        self.assertEqual(recording.ids(), recording.ledger())

    def test_restart_writes_nothing_twice_and_misses_nothing(self) -> None:
        """Killed, trades meanwhile, started again."""
        recording = live()
        recording.restart()
        recording.missed(10, pause=1)
        recording.connect()
        recording.wait(5)
        self.assertEqual(recording.ids(), recording.ledger())

    def test_stop_writes_what_waits(self) -> None:
        """A trade of the very turn in which it is stopped."""
        recording = live()
        made = recording.exchange.trade()
        recording.tell(made.told)
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        self.assertEqual(recording.ids(), recording.ledger())
        self.assertEqual(recording.saved().last_id, made.told.id)
        self.assertEqual(recording.crash_disk.descriptors, 0)
        self.assertIn("not running", str(recording.recorder.not_ready()))

    def test_stop_before_start_and_twice(self) -> None:
        """Nothing to do."""
        recording = Recording()
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        recording.start()
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))

    def test_stop_that_cannot_write_fails_visibly(self) -> None:
        """With the exit code for a failed disk."""
        recording = live()
        recording.crash_disk.room = 3
        recording.trade(pause=0)
        error = self.failureResultOf(recording.recorder.stop(), DiskFailed).value
        self.assertEqual(error.exit_code, 74)
        self.assertIn("1 rows could not be written", str(error))

    def test_stop_that_cannot_sync_fails_visibly(self) -> None:
        """Rows are in the file, but not on the disk."""
        recording = live()
        recording.trade(pause=0)
        recording.crash_disk.failing_syncs = 1
        self.failureResultOf(recording.recorder.stop(), DiskFailed)

    def test_stop_while_a_page_is_on_its_way(self) -> None:
        """It is not waited for."""
        recording = live()
        recording.lost()
        waiting: Deferred[Page] = Deferred()

        async def page(symbol: str, request: PageRequest) -> Page:
            return await waiting

        recording.exchange.page = page  # type: ignore[method-assign]
        recording.connect()
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        self.assertEqual(recording.clock.getDelayedCalls(), [])
        self.assertTrue(waiting.called, "given up: its trades would come to a file that is closed")

    def test_stop_while_it_waits_for_a_turn(self) -> None:
        """Others have it: a pair that is taken out of the settings asks nothing more."""
        recording = live()
        turns = in_line(recording)
        recording.wait(40)
        self.assertEqual(len(turns), 1)
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        self.assertEqual(turns, [])

    def test_stop_asks_nothing_more(self) -> None:
        """Though history takes its cancelling for a failure like any other, after which it would be asked again."""
        recording = live()
        recording.lost()
        waiting: Deferred[Page] = Deferred(lambda page: page.errback(HistoryUnavailable("cut off")))
        asked = []

        async def page(symbol: str, request: PageRequest) -> Page:
            asked.append(request)
            return await waiting

        recording.exchange.page = page  # type: ignore[method-assign]
        self.patch(recording.recorder.tape, "request", lambda moment: PageRequest(0))
        recording.connect()
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        self.assertEqual((len(asked), recording.clock.getDelayedCalls()), (1, []))

    def test_stop_writes_what_is_held_back(self) -> None:
        """No page of history came yet, and none may ever tell of it: a row, behind a hole that was saved first."""
        recording = live()
        recording.lost()
        recording.trade(told=False, publish_after=0.0)
        recording.trade(told=False, publish_after=0.0)
        recording.exchange.fault = "down"
        recording.connect(1)
        recording.trade(publish_after=float("inf"))
        self.assertEqual(len(recording.ids()), 3)
        self.assertIsNone(self.successResultOf(recording.recorder.stop()))
        self.assertEqual([gap.end.id for gap in recording.saved().progress.gaps], [recording.ledger()[4]])
        self.assertEqual(recording.ids(), [*recording.ledger()[:3], *recording.ledger()[4:]])
        recording.exchange.fault = ""
        recording.restart()
        recording.connect()
        recording.wait(100)
        self.assertEqual(sorted(recording.ids()), recording.ledger())

    def test_bug_in_history_is_logged_and_survived(self) -> None:
        """The process goes on, and asks again."""
        recording = live()
        recording.lost()
        recording.exchange.delay = lambda: 1 / 0
        recording.connect()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        recording.exchange.delay = lambda: None
        recording.wait(5)
        self.assertEqual(recording.recorder.tape.mode, Mode.LIVE)

    # --- turns to ask history -----------------------------------------------------------------------------

    def test_what_is_asked_for_is_decided_when_there_is_a_turn(self) -> None:
        """With many pairs that is minutes later: by then the interval may have become a gap, and another page be wanted."""
        recording = live()
        recording.lost()
        recording.missed(10)
        recording.wait(1)
        turns = in_line(recording)
        recording.connect(1)
        recording.wait(62)
        self.assertEqual((recording.exchange.asked, recording.recorder.status().gaps[GapState.OPEN]), ([], 1))
        del recording.exchange.turn
        turns.pop().callback(None)
        recording.wait(1)
        self.assertEqual((len(recording.exchange.asked), recording.recorder.status().gaps[GapState.OPEN]), (1, 0))
        self.assertEqual(sorted(recording.ids()), recording.ledger())

    def test_a_turn_that_is_of_no_use_any_more_is_left_to_others(self) -> None:
        """Until there is a connection again, there is nothing to compare."""
        recording = live()
        turns = in_line(recording)
        recording.wait(40)
        self.assertEqual(len(turns), 1)
        recording.lost()
        recording.wait(40)
        self.assertEqual(turns, [])
        recording.connect()
        self.assertEqual(len(turns), 1)

    def test_a_place_in_line_is_kept_for_an_open_gap(self) -> None:
        """It is filled without a connection, too; with many pairs, who began anew at each end of one might have no turn."""
        recording = with_open_gap(live())
        turns = in_line(recording)
        recording.wait(100)
        [turn] = turns
        recording.lost()
        self.assertIs(turns[0], turn)
        del recording.exchange.turn
        recording.exchange.fault = ""
        turn.callback(None)
        self.assertEqual(recording.recorder.status().gaps[GapState.OPEN], 0)

    def test_no_turn_is_kept_while_the_disk_is_full(self) -> None:
        """Those of many pairs would all be used in the moment when there is room: the exchange blocks who asks so often."""
        recording = live()
        turns = in_line(recording)
        recording.wait(40)
        recording.crash_disk.room = 30
        recording.trade(pause=1)
        turns.pop().callback(None)
        recording.wait(300)
        self.assertEqual((recording.exchange.asked, turns), ([], []))
        recording.crash_disk.room = None
        recording.wait(10)
        self.assertEqual((recording.exchange.asked, len(turns)), ([], 1))
        turns.pop().callback(None)
        self.assertEqual(len(recording.exchange.asked), 1)

    # --- what is said of gaps -----------------------------------------------------------------------------

    def test_what_history_does_not_tell_is_said(self) -> None:
        """Why trades wait, and then that there is a gap, and that there is none any more."""
        recording = live()
        recording.lost()
        self.assertEqual(recording.recorder.not_ready(), "tBTCUSD: trades are not live: sequence")
        self.assertEqual(recording.recorder.status().reason, "sequence")
        recording.missed(3)
        recording.wait(1)
        recording.exchange.fault = "down"
        with capturedLogs() as events:
            recording.connect(1)
            waiting = "tBTCUSD: trades are held back until history tells what was missed: down"
            self.assertEqual(recording.recorder.not_ready(), waiting)
            self.assertEqual(recording.recorder.status().history_error, "down")
            recording.wait(62)
            self.assertIsNone(recording.recorder.not_ready())
            recording.exchange.fault = ""
            recording.wait(200)
        said = [formatEvent(event) for event in events if "gap" in str(event["log_format"])]
        where = "from 2023-11-14T22:13:20.000Z to 2023-11-14T22:13:21.500Z: sequence; history did not follow in 60 s: down"
        opened, filled = f"/trade.csv: a gap is open, {where}", f"/trade.csv: a gap was filled with 2 trades, {where}"
        self.assertEqual(said, [opened, filled])

    def test_what_history_tells_while_the_gap_is_being_saved_is_said_after_it(self) -> None:
        """Each once, and as it was when it was saved."""
        thread = SlowThread()
        recording = live(in_thread=thread)
        recording.lost()
        recording.missed(3)
        recording.exchange.fault = "down"
        with capturedLogs() as events:
            recording.connect(1)
            for _ in range(4):  # a saving that is under way, one with the gap, one with its end
                recording.wait(62)
                recording.exchange.fault = ""
                thread.end_all()
        said = [event["log_format"].split(",")[0] for event in events if "gap" in str(event["log_format"])]
        self.assertEqual(said, ["{path}: a gap is {state}", "{path}: a gap was filled with {count} trades"])

    def test_what_history_does_not_have_any_more_is_said(self) -> None:
        """Trades that nobody will ever tell."""
        recording = live()
        recording.lost()
        recording.missed(100, pause=1)
        recording.exchange.horizon = recording.exchange.now() - 10_000
        with capturedLogs() as events:
            recording.connect(1)
            recording.wait(100)
        said = [formatEvent(event) for event in events if "gap" in str(event["log_format"])]
        lost = "from 2023-11-14T22:12:20.000Z to 2023-11-14T22:14:51.300Z: the exchange's history does not reach back"
        filled = "with 9 trades, from 2023-11-14T22:13:20.200Z to 2023-11-14T22:15:00.300Z: sequence"
        self.assertEqual(said, [f"/trade.csv: a gap is lost, {lost}", f"/trade.csv: a gap was filled {filled}"])

    # --- a disk that fails --------------------------------------------------------------------------------

    def test_full_disk_and_room_again(self) -> None:
        """It says why it is not ready, and is whole again without a restart."""
        recording = live()
        recording.crash_disk.room = 30
        for _ in range(5):
            recording.trade(pause=1)
        self.assertIn("No space left", str(recording.recorder.not_ready()))
        self.assertEqual(recording.recorder.status().queue, 5)
        recording.crash_disk.room = None
        recording.wait(5)
        self.assertEqual((recording.ids(), recording.recorder.not_ready()), (recording.ledger(), None))

    def test_disk_that_is_full_for_long(self) -> None:
        """Memory is bounded: rows are forgotten, also those a question waits for, and fetched again when there is room."""
        for before in (0, 22):
            recording = live(limits=SMALL)
            recording.wait(before)
            recording.crash_disk.room = 30
            for _ in range(100):
                recording.trade(pause=1)
                self.assertLessEqual(recording.recorder.status().queue, 110)
            self.assertGreater(recording.recorder.tape.counters.forgotten, 0)
            recording.crash_disk.room = None
            recording.wait(100)
            self.assertEqual((sorted(recording.ids()), recording.recorder.not_ready()), (recording.ledger(), None))

    def test_disk_that_syncs_no_more(self) -> None:
        """What is not synced is bounded, too: nothing is written beyond it, until it works again."""
        recording = live(limits=Limits(unsynced=500))
        recording.crash_disk.failing_syncs = 10**6
        for _ in range(20):
            recording.trade(pause=1)
        self.assertLess(len(recording.content()), 1500)
        self.assertIn("not yet synced", str(recording.recorder.not_ready()))
        recording.crash_disk.mend()
        recording.wait(20)
        self.assertEqual((recording.ids(), recording.recorder.not_ready()), (recording.ledger(), None))

    # --- what it says of itself ---------------------------------------------------------------------------

    def test_status(self) -> None:
        """In numbers and in words. Its JSON is what readers know."""
        recording = live()
        recording.trade()
        recording.wait(100)
        size = len(recording.content())
        told_again = {"duplicates": 8, "conflicts": 0, "backfilled": 0, "audited": 0}
        expected = {
            "file": "/trade.csv",
            "mode": "live",
            "reason": "",
            "verified_through": 1_700_000_001_000,
            "verified_through_iso": "2023-11-14T22:13:21.000Z",
            "lag_ms": 100_400,
            "gaps": {"open": 0, "filled": 0, "lost": 0},
            "queue": 0,
            "rows_written": 4,
            "bytes_written": size - len(HEADER),
            "bytes": size,
            "bytes_synced": size,
            "pages": 2,
            "pages_failed": 0,
            "history_error": None,
            "error": None,
            "counters": {"rows": 4, **told_again, "rejected": 0, "forgotten": 0},
        }
        self.assertEqual(msgspec.json.encode(recording.recorder.status()), msgspec.json.encode(expected))
        empty = Recording().start().recorder
        self.assertIsNone(empty.status().verified_through)
        self.assertIn("not live", str(empty.not_ready()))

    def test_at_once_is_the_thread_of_these_tests(self) -> None:
        """What it gives is what the job gave."""
        self.assertEqual(self.successResultOf(at_once(lambda: 7)), 7)
