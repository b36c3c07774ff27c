"""The consumer of trades: its queue, its Deferreds, its patience."""

from collections.abc import Sequence
from itertools import pairwise

from msgspec.structs import replace
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.trade_rows import HEADER, Arrival
from bfxtwist.out import trade_csv
from bfxtwist.out.trade_csv import BATCH_LIMIT, RowsForgotten, TradeCsv
from bfxtwist.out.trade_file import TradeFile
from tests.crash_disk import CrashDisk
from tests.out.recording import LAYOUT, arrivals


class TradeCsvTests(SynchronousTestCase):
    """`TradeCsv` on a file in memory."""

    def setUp(self) -> None:
        self.clock, self.disk = Clock(), CrashDisk()
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
        self.file.open(None, 0)
        self.heard: list[object] = []
        self.csv = self.consumer()
        self.written: list[int] = []

    def consumer(self) -> TradeCsv:
        """One that tells this test what it does."""
        return TradeCsv(
            self.file,
            LAYOUT,
            self.clock,
            forgotten=lambda rows: self.heard.append([row.trade.id for row in rows]),
            drained=lambda: self.heard.append("drained"),
            written=self.told,
            limit=10,
        )

    def told(self, rows: Sequence[Arrival]) -> None:
        """Rows are in the file."""
        self.written += [row.trade.id for row in rows]
        self.assertEqual(self.rows()[-len(rows) :], self.written[-len(rows) :])

    def rows(self) -> list[int]:
        """The ids in the file."""
        ids = LAYOUT.ids(self.disk.content("/trade.csv")[len(HEADER) :])
        assert ids is not None
        return [int(i) for i in ids]

    def test_rows_of_one_turn_are_written_at_once_in_the_next(self) -> None:
        """And then their Deferreds fire."""
        first, second = self.csv.write(arrivals(1)), self.csv.write(arrivals(2))
        self.assertNoResult(first)
        writes: list[str] = []
        self.disk.before = writes.append
        self.clock.advance(0)
        self.assertEqual(writes.count("write"), 1)
        self.assertEqual((self.file.last_id, self.csv.bytes_written), (2, self.file.base - len(HEADER)))
        self.assertIsNone(self.successResultOf(first))
        self.assertIsNone(self.successResultOf(second))
        self.assertEqual((self.rows(), self.heard), ([1, 2], ["drained"]))

    def test_who_wants_to_hear_of_each_row_does_when_it_is_in_the_file(self) -> None:
        """Once, in their order, whatever the disk does; not of those that are given up."""
        self.csv.put(arrivals(1, 2))
        self.assertEqual(self.written, [])
        self.clock.advance(0)
        self.assertEqual(self.written, [1, 2])
        self.disk.room = 0
        self.csv.put(arrivals(3, 6))
        self.clock.advance(0)
        self.csv.put(arrivals(9, 5))
        self.assertEqual((self.written, self.heard[-1]), ([1, 2], list(range(8, 14))))
        self.disk.mend()
        self.clock.advance(1)
        self.assertEqual(self.written, [1, 2, 3, 4, 5, 6, 7])
        self.csv.put(arrivals(14))
        self.csv.stop()
        self.assertEqual((self.written, self.rows()), ([*range(1, 8), 14], [*range(1, 8), 14]))

    def test_who_stops_it_when_told_of_a_row_hears_of_the_others_after_that(self) -> None:
        """They are written before the stop returns."""
        self.patch(trade_csv, "BATCH_ROWS", 2)

        def stop(rows: Sequence[Arrival]) -> None:
            if not self.written:
                self.assertEqual(self.csv.stop(), 0)
            self.written += [row.trade.id for row in rows]

        self.patch(self, "told", stop)
        self.csv = self.consumer()
        self.csv.put(arrivals(1, 5))
        self.clock.advance(0)
        self.assertEqual((self.written, self.rows()), ([1, 2, 3, 4, 5], [1, 2, 3, 4, 5]))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nothing_to_write(self) -> None:
        """Fires when what came before is in the file, and not at once."""
        done = self.csv.write([])
        self.assertNoResult(done)
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(done))
        self.disk.room = 0
        self.csv.put(arrivals(1))
        done = self.csv.write([])
        self.clock.advance(0)
        self.assertNoResult(done)
        self.disk.mend()
        self.clock.advance(1)
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual(self.rows(), [1])

    def test_the_log_tells_when_the_disk_begins_to_fail_and_when_it_has_ended(self) -> None:
        """And nothing of each write."""
        with capturedLogs() as told:
            for number, room in enumerate((None, 0, 0, None), 1):
                self.disk.room = room
                self.csv.put(arrivals(number))
                self.clock.advance(1)
        self.assertEqual([event["log_level"].name for event in told], ["error", "info"])

    def test_rows_are_written_though_nobody_waits_any_more(self) -> None:
        done = self.csv.write(arrivals(1))
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.clock.advance(0)
        self.assertEqual(self.rows(), [1])

    def test_many_rows_leave_in_batches(self) -> None:
        """A turn each, so that the reactor goes on."""
        long = [Arrival(replace(arrival.trade, price=b"1" * 30), 3) for arrival in arrivals(10**6, 8000)]
        count = 2 * BATCH_LIMIT // len(LAYOUT.line(long[0]))
        done = self.csv.write(long[:count])
        ends: list[int] = []
        self.disk.before = lambda call: ends.append(self.file.base) if call == "write" else None
        self.clock.advance(0)
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(done))
        ends.append(self.file.base)
        self.assertGreaterEqual(len(ends), 3)
        self.assertLessEqual(max(later - earlier for earlier, later in pairwise(ends)), BATCH_LIMIT)
        self.assertEqual(len(self.rows()), count)

    def test_full_disk_is_tried_again_with_the_same_bytes(self) -> None:
        """After 0.25, 0.5 … 5 seconds; then everything is there once."""
        self.disk.room = 20
        done = self.csv.write(arrivals(1, 2))
        self.clock.advance(0)
        times: list[float] = []
        self.disk.before = lambda call: times.append(self.clock.seconds()) if call == "write" else None
        for _ in range(200):
            self.clock.advance(0.125)
        waits = [later - earlier for earlier, later in zip([0.0, *times], times, strict=False)]
        self.assertEqual(waits[:7], [0.25, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0])
        self.assertEqual((self.csv.error, len(self.csv)), ("No space left on device", 2))
        self.assertNoResult(done)
        self.disk.mend()
        self.csv.write(arrivals(3)).addErrback(self.fail)
        self.clock.advance(5)
        self.assertIsNone(self.successResultOf(done))
        self.assertEqual((self.rows(), self.csv.error), ([1, 2, 3], None))

    def test_another_failure_is_told_and_starts_short_again(self) -> None:
        """First full, then broken, and after a while of health full again."""
        self.disk.room = 0
        self.csv.write(arrivals(1)).addErrback(self.fail)
        self.clock.pump([0, 0.25, 0.5])
        self.disk.mend()
        self.disk.failing_writes = 2
        self.clock.advance(1)
        self.assertEqual(self.csv.error, "Input/output error")
        self.clock.pump([0.25, 0.5])
        self.assertEqual(self.rows(), [1])
        self.disk.room = 0
        self.csv.write(arrivals(2)).addErrback(self.fail)
        self.clock.advance(0)
        self.disk.mend()
        self.clock.advance(0.25)
        self.assertEqual(self.rows(), [1, 2])

    def test_queue_that_is_too_long_is_cut(self) -> None:
        """Who wrote the newest is told so; the oldest go on trying, where nothing of a longer write is left."""
        self.disk.room = 20
        done = [self.csv.write(arrivals(i)) for i in range(1, 12)]
        self.clock.advance(0)
        done.append(self.csv.write(arrivals(12)))
        self.assertEqual((self.heard, len(self.csv)), ([[6, 7, 8, 9, 10, 11, 12]], 5))
        for forgotten in done[5:]:
            self.failureResultOf(forgotten, RowsForgotten)
        self.disk.mend()
        done.append(self.csv.write(arrivals(20)))
        calls: list[str] = []
        self.disk.before = calls.append
        self.clock.advance(5)
        self.assertLess(calls.index("sync"), calls.index("write"))
        for written in [*done[:5], done[-1]]:
            self.assertIsNone(self.successResultOf(written))
        self.assertEqual(self.rows(), [1, 2, 3, 4, 5, 20])
        self.assertEqual(self.csv.rows_written, 6)

    def test_queue_of_rows_that_nobody_waits_for_is_cut_too(self) -> None:
        """Live trades are all that comes: nobody is to be told but the tape."""
        self.disk.room = 0
        self.csv.put(arrivals(1, 10))
        self.clock.advance(0)
        self.csv.put(arrivals(11))
        self.assertEqual(self.heard, [[6, 7, 8, 9, 10, 11]])
        self.disk.mend()
        self.clock.advance(0.25)
        self.assertEqual(self.rows(), [1, 2, 3, 4, 5])

    def test_stop_tries_once_and_says_how_many_are_left(self) -> None:
        """And leaves no call behind."""
        self.csv.write(arrivals(1)).addErrback(self.fail)
        self.assertEqual((self.csv.stop(), self.rows()), (0, [1]))
        self.disk.room = 0
        self.csv.write(arrivals(2, 3)).addErrback(self.fail)
        self.assertEqual((self.csv.stop(), self.clock.getDelayedCalls()), (3, []))

    def test_flush_that_fails_is_tried_again(self) -> None:
        """Whatever it was that wanted it."""
        self.disk.room = 0
        self.csv.put(arrivals(1))
        self.csv.flush()
        self.disk.mend()
        self.clock.advance(1)
        self.assertEqual(self.rows(), [1])

    def test_stop_writes_more_than_one_batch(self) -> None:
        """All that waits."""
        count = 2 * BATCH_LIMIT // 64
        self.csv.put(arrivals(1, count))
        self.assertEqual((self.csv.stop(), len(self.rows())), (0, count))

    def test_retry_does_not_wait(self) -> None:
        """For when the file has just been opened anew."""
        self.disk.room = 0
        self.csv.write(arrivals(1)).addErrback(self.fail)
        self.clock.advance(0)
        self.disk.mend()
        self.csv.reopened(KnownIds())
        self.assertEqual(self.rows(), [1])
        self.csv.reopened(KnownIds())
        self.assertEqual(self.clock.getDelayedCalls(), [])
