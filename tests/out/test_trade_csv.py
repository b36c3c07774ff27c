"""The consumer of trades: its queue, its Deferreds, its patience."""

import errno
from itertools import pairwise
from random import Random

from msgspec.structs import replace
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.out.trade_csv import BATCH_LIMIT, RowsForgotten, SyncPolicy, TradeCsv
from bfxtwist.out.trade_errors import CannotCreate
from bfxtwist.out.trade_file import Interfered, TradeFile
from tests.crash_disk import CrashDisk

LAYOUT = Layout("tBTCUSD")


def arrivals(first: int, count: int = 1) -> list[Arrival]:
    """Some trades."""
    return [Arrival(Trade(i, 1_700_000_000_000 + i, b"1", b"2"), 3) for i in range(first, first + count)]


class TradeCsvTests(SynchronousTestCase):
    """`TradeCsv` on a file in memory."""

    def setUp(self) -> None:
        self.begin()

    def begin(self, sync: SyncPolicy = SyncPolicy.SECOND, limit: int = 10) -> None:
        """A new file."""
        self.clock, self.disk = Clock(), CrashDisk()
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
        self.file.open(None, 0)
        self.heard: list[object] = []
        self.csv = TradeCsv(
            self.file,
            LAYOUT,
            self.clock,
            forgotten=lambda rows: self.heard.append([row.trade.id for row in rows]),
            drained=lambda: self.heard.append("drained"),
            sync=sync,
            limit=limit,
        )

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

    def test_nothing_to_write(self) -> None:
        """Fires all the same."""
        done = self.csv.write([])
        self.clock.advance(0)
        self.assertIsNone(self.successResultOf(done))

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

    def test_always_waits_for_the_sync(self) -> None:
        """The Deferred fires when so many rows are on disk."""
        self.begin(SyncPolicy.ALWAYS)
        first = self.csv.write(arrivals(1))
        self.clock.advance(0)
        second = self.csv.write(arrivals(2))
        self.assertNoResult(first)
        self.csv.synced(1)
        self.assertIsNone(self.successResultOf(first))
        self.assertNoResult(second)
        self.clock.advance(0)
        self.csv.synced(2)
        self.assertIsNone(self.successResultOf(second))

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
        self.csv.retry()
        self.assertEqual(self.rows(), [1])
        self.csv.retry()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TradeFileTests(SynchronousTestCase):
    """`TradeFile`, where the others do not reach."""

    def setUp(self) -> None:
        self.disk = CrashDisk()
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
        self.file.open(None, 1_700_000_000_000_000)
        self.row = LAYOUT.line(arrivals(1)[0])

    def test_closed_file_takes_nothing(self) -> None:
        """It says that it is shut."""
        self.file.close()
        self.file.close()
        self.assertEqual(self.assertRaises(OSError, self.file.append, self.row, 1).errno, errno.EBADF)

    def test_changed_file_takes_nothing(self) -> None:
        """Whoever wrote to it, a row after that would hide it."""
        self.disk.names["/trade.csv"].change(self.file.base, b"x")
        self.assertRaises(Interfered, self.file.append, self.row, 1)

    def test_sync_that_succeeds_after_another_failed_proves_nothing(self) -> None:
        """The kernel tells of a failure once: the other one may have been told."""
        self.file.append(self.row, 1)
        mark, failures = self.file.base, self.file.sync_failures
        self.file.sync_failed()
        self.file.synced_to(mark, failures)
        self.assertLess(self.file.synced, mark)
        self.file.sync_job()()
        self.file.synced_to(mark, self.file.sync_failures)
        self.assertEqual(self.file.synced, mark)

    def test_barrier_that_cannot_sync(self) -> None:
        """Nothing is written, and what is not synced is under suspicion."""
        self.disk.room = 10
        self.assertRaises(OSError, self.file.append, self.row, 1)
        self.file.forget()
        self.disk.mend()
        self.disk.failing_syncs = 1
        self.assertRaises(OSError, self.file.append, self.row, 1)
        self.assertEqual((self.file.sync_failures, self.disk.content("/trade.csv")), (1, HEADER))
        self.file.append(self.row, 1)
        self.assertEqual(self.disk.content("/trade.csv"), HEADER + self.row)

    def test_torn_write_that_cannot_be_cut(self) -> None:
        """The next try writes over it."""
        self.disk.room = 10
        whole = self.disk.truncate

        def fail(fd: int, size: int) -> None:
            raise OSError(errno.EIO, "no")

        self.disk.truncate = fail  # type: ignore[method-assign]
        self.assertRaises(OSError, self.file.append, self.row, 1)
        self.assertEqual(len(self.disk.content("/trade.csv")), len(HEADER) + 10)
        self.assertIsNone(self.file.interference())
        self.disk.truncate = whole  # type: ignore[method-assign]
        self.disk.mend()
        self.file.append(self.row, 1)
        self.assertEqual(self.disk.content("/trade.csv"), HEADER + self.row)

    def test_the_next_file_gets_no_rows_of_the_last_one(self) -> None:
        """Also when a sync of each has failed, and rows are written again."""
        self.file.append(self.row, 1)
        self.file.sync_failed()
        del self.disk.names["/trade.csv"]
        self.file.open(None, 0)
        self.assertEqual((self.file.last_id, self.file.sync_failures), (None, 0))
        row = LAYOUT.line(arrivals(2)[0])
        self.file.append(row, 2)
        self.file.sync_failed()
        self.file.sync_job()()
        self.assertEqual(self.disk.content("/trade.csv"), HEADER + row)

    def test_the_last_row_is_known_after_a_start(self) -> None:
        """The state that is saved next is of that row, whether or not others come before."""
        for trade_id in (1, 2):
            self.file.append(LAYOUT.line(arrivals(trade_id)[0]), trade_id)
            self.file.open(None, 0)
            self.assertEqual(self.file.last_id, trade_id)

    def test_shorter_rows_after_a_torn_write_that_could_not_be_cut(self) -> None:
        """Nothing of it is left behind them, and rows after that are not synced one by one."""
        def fail(fd: int, size: int) -> None:
            raise OSError(errno.EIO, "no")

        for given_up in (False, True):
            self.setUp()
            self.disk.room = len(self.row) + 10
            whole, self.disk.truncate = self.disk.truncate, fail  # type: ignore[method-assign]
            self.assertRaises(OSError, self.file.append, self.row + self.row, 2)
            self.disk.truncate = whole  # type: ignore[method-assign]
            self.disk.mend()
            if given_up:
                self.file.forget()
            calls: list[str] = []
            self.disk.before = calls.append
            self.file.append(self.row, 1)
            self.assertEqual(self.disk.content("/trade.csv"), HEADER + self.row)
            self.file.append(self.row, 1)
            self.assertEqual(calls.count("sync"), 1)

    def test_rows_that_came_during_a_sync_are_written_again_if_the_next_one_fails(self) -> None:
        """They are on disk then, and only then is the failure forgotten."""
        later = LAYOUT.line(arrivals(2)[0])
        self.file.append(self.row, 1)
        mark, job = self.file.base, self.file.sync_job()
        job()
        self.file.append(later, 2)
        self.file.synced_to(mark, 0)
        self.disk.failing_syncs = 1
        self.assertRaises(OSError, self.file.sync_job())
        self.file.sync_failed()
        self.file.sync_job()()
        self.file.synced_to(self.file.base, 1)
        self.assertEqual(self.file.sync_failures, 0)
        calls: list[str] = []
        self.disk.before = calls.append
        self.file.append(LAYOUT.line(arrivals(3)[0]), 3)
        self.file.sync_job()()
        self.assertEqual(calls.count("write"), 1)
        self.disk.power_loss(Random(1))
        self.assertTrue(self.disk.content("/trade.csv").startswith(HEADER + self.row + later))

    def test_no_more_is_written_than_could_be_written_again(self) -> None:
        """What is not synced is kept in memory: so much of it, or one portion."""
        self.file = TradeFile(self.disk, "/trade.csv", LAYOUT, limit=len(self.row) * 2 - 1)
        self.file.open(None, 0)
        self.file.append(self.row, 1)
        self.assertEqual(self.assertRaises(OSError, self.file.append, self.row, 2).errno, errno.EAGAIN)
        self.file.sync_job()()
        self.file.synced_to(self.file.base, 0)
        self.file.append(self.row * 2, 2)

    def test_torn_tails_of_one_second_are_all_kept(self) -> None:
        """Under names of their own."""
        for _ in range(3):
            self.disk.names["/trade.csv"].change(self.file.base, b"torn")
            self.file = TradeFile(self.disk, "/trade.csv", LAYOUT)
            self.file.open(None, 1_700_000_000_000_000)
        torn = sorted(name for name in self.disk.names if ".torn-" in name)
        self.assertEqual([name.removeprefix("/trade.csv.torn-20231114T221320Z") for name in torn], ["", "-2", "-3"])
        self.assertEqual({self.disk.content(name) for name in torn}, {b"torn"})

    def test_a_copy_for_which_there_is_no_room_is_not_left_half_written(self) -> None:
        """Each start anew would leave one more, in the room that was made for the rows."""
        self.disk.names["/trade.csv"].change(self.file.base, b"torn")
        self.disk.room = 2
        before = set(self.disk.names)
        self.assertRaises(CannotCreate, TradeFile(self.disk, "/trade.csv", LAYOUT).open, None, 0)
        self.assertEqual(set(self.disk.names), before)
        self.assertTrue(self.disk.content("/trade.csv").endswith(b"torn"))
