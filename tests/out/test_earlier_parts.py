"""What closed parts hold: whoever closed them, and whatever is wrong with one of them."""

import gzip

from twisted.logger import capturedLogs, formatEvent

from bfxtwist.core.gaps import Mark
from bfxtwist.core.known_ids import KnownIds
from bfxtwist.core.messages import Trade
from bfxtwist.core.progress import Progress
from bfxtwist.core.recovery import FileId, Saved
from bfxtwist.core.trade_rows import HEADER, Arrival
from bfxtwist.files import trade_file
from bfxtwist.files.trade_file import MissingDecompressor, zstandard
from bfxtwist.out import closed_parts
from bfxtwist.out.earlier_parts import EarlierParts
from bfxtwist.out.trade_state import StateFile
from tests.crash_disk import CrashDisk
from tests.out.recording import LAYOUT, Recording, live, with_open_gap
from tests.out.rotating import RotationTest

DAY = 86_400_000


def part(ids: range, day: int = 0) -> bytes:
    """One that was written on a day."""
    mts = 1_700_000_000_000 + day * DAY
    return HEADER + b"".join(LAYOUT.lines(Arrival(Trade(i, mts + i, b"1", b"2"), mts * 1000 + i) for i in ids))


def since(day: int) -> int:
    """When the trades of a day happened."""
    return 1_700_000_000_000 + day * DAY


class Reading(RotationTest):
    """`EarlierParts`, on a disk in memory."""

    def setUp(self) -> None:
        self.disk = CrashDisk()
        self.parts = EarlierParts(self.disk, "/", LAYOUT)

    def ids(self, lowest: int = 0, from_day: int = 0) -> list[int]:
        """Those that are found."""
        found: KnownIds = self.parts.ids(lowest, since(from_day))
        return found.newest(len(found), len(found), None)

    def test_parts_of_all_kinds(self) -> None:
        """Ours and logrotate's; not the live file, nor what stands beside it."""
        try:
            zstd = zstandard()
        except MissingDecompressor:
            self.skipTest("neither Python 3.14 nor backports.zstd is here")
        self.disk.put("/trade-2023-11-14.csv.gz", gzip.compress(part(range(1, 4))))
        self.disk.put("/trade-2023-11-14-2.csv.zst", zstd.compress(part(range(4, 6))))
        self.disk.put("/trade-2023-11-14-3.csv", part(range(6, 8)))
        self.disk.put("/trade.csv.2.gz", gzip.compress(part(range(8, 9))))
        self.disk.put("/trade.csv.1", part(range(9, 11)))
        for other in ("/trade.csv", "/trade.gaps.csv", "/trade.csv.torn-20231114T161304Z", "/old-2023-11-14.csv"):
            self.disk.put(other, part(range(20, 30)))
        self.assertEqual(self.ids(), [*range(1, 11)])
        self.assertEqual(self.ids(lowest=5), [*range(5, 11)])
        self.assertEqual(self.disk.descriptors, 0)

    def test_what_was_closed_long_before_is_not_read(self) -> None:
        """A day is left for clocks that do not agree, and for the day on which it was written."""
        for day in range(14, 20):
            self.disk.put(f"/trade-2023-11-{day}.csv", part(range(day * 10, day * 10 + 3), day - 14))
        read: list[str] = []
        self.disk.before = read.append
        self.assertEqual(self.ids(lowest=185, from_day=4), [190, 191, 192])
        self.assertEqual(read.count("open"), 4)

    def test_rows_that_came_late_hide_no_older_part(self) -> None:
        """A part that has but the trades of an old gap stands behind one with newer ones."""
        self.disk.put("/trade-2023-11-14.csv", part(range(50, 60)))
        self.disk.put("/trade-2023-11-14-2.csv", part(range(10, 20)))
        self.assertEqual(self.ids(lowest=55), [*range(55, 60)])

    def test_rows_that_came_by_a_clock_that_was_wrong_hide_no_older_part(self) -> None:
        self.disk.put("/trade-2023-11-14.csv", part(range(50, 60)))
        self.disk.put("/trade-2023-11-14-2.csv", part(range(60, 70)))
        self.assertEqual(self.ids(lowest=55, from_day=9), [*range(55, 70)])

    def test_a_part_that_is_damaged_is_read_as_far_as_it_goes(self) -> None:
        """The others are read all the same, and the log says which one it is."""
        self.disk.put("/trade-2023-11-14.csv", part(range(1, 3)))
        self.disk.put("/trade-2023-11-15.csv.gz", gzip.compress(part(range(100, 100_000)))[:-20])
        self.disk.put("/trade-2023-11-16.csv", part(range(3, 5)) + b"no row\n" + part(range(5, 7))[len(HEADER) :])
        with capturedLogs() as logs:
            found = self.ids()
        self.assertEqual([trade_id for trade_id in found if trade_id < 100], [1, 2, 3, 4, 5, 6])
        self.assertGreater(len(found), 10_000)
        [text] = map(formatEvent, logs)
        self.assertIn("/trade-2023-11-15.csv.gz cannot be read: its end is missing: ", str(text))

    def test_what_follows_the_end_of_a_compressed_part_is_not_read(self) -> None:
        self.disk.put("/trade-2023-11-15.csv.gz", gzip.compress(part(range(1, 3))) + b"more")
        with capturedLogs() as logs:
            self.assertEqual(self.ids(), [1, 2])
        [text] = map(formatEvent, logs)
        self.assertIn("it goes on after the end of what is packed: ", str(text))

    def test_a_part_that_nothing_reads(self) -> None:
        self.disk.put("/trade-2023-11-14.csv.zst", b"whatever")
        self.disk.put("/trade-2023-11-13.csv", part(range(1, 3)))

        def missing() -> None:
            raise MissingDecompressor("pip install it")

        self.patch(trade_file, "zstandard", missing)
        self.patch(closed_parts, "zstandard", missing)
        with capturedLogs() as logs:
            self.assertEqual(self.ids(), [1, 2])
        self.assertIn("pip install it", str(formatEvent(logs[0])))

    def test_a_part_that_cannot_be_read_is_told_of_once(self) -> None:
        """It is read for where to begin, and for its ids."""
        self.disk.put("/trade-2023-11-14.csv.gz", gzip.compress(part(range(1, 3)))[:-20])
        with capturedLogs() as logs:
            self.parts.beginning()
            self.ids()
        self.assertEqual(len(logs), 1)

    def test_where_the_parts_of_the_last_day_begin(self) -> None:
        """Of that before the newest one began; of longer parts it is the newest alone."""
        self.assertIsNone(self.parts.beginning())
        for day in range(14, 17):
            self.disk.put(f"/trade-2023-11-{day}.csv", part(range(day * 10, day * 10 + 3), day - 14))
        self.assertEqual(self.parts.beginning(), ("trade-2023-11-16.csv", Mark(160, since(2) + 160)))
        self.disk.put("/trade-2023-11-16-2.csv", part(range(9, 10), 2))
        self.disk.put("/trade-2023-11-16-3.csv", part(range(165, 168), 2))
        self.assertEqual(self.parts.beginning(), ("trade-2023-11-16-2.csv", Mark(9, since(2) + 9)))
        self.disk.put("/trade-2023-11-16-2.csv", part(range(163, 165), 2))
        self.assertEqual(self.parts.beginning(), ("trade-2023-11-16.csv", Mark(160, since(2) + 160)))


class AtAStart(RotationTest):
    """Of a recorder whose state cannot know what is in the parts."""

    def killed_and_renamed(self, name: str) -> Recording:
        """Rows that no state speaks of, in a file that somebody has then renamed."""
        recording = live()
        for _ in range(9):
            recording.trade(pause=1)
        recording.clock.calls.clear()
        recording.crash_disk.kill()
        disk = recording.crash_disk
        disk.names[name] = disk.names.pop("/trade.csv")
        recording.recorder = recording.make()
        recording.recorder.start()
        recording.connect()
        recording.wait(100)
        return recording

    def test_a_file_that_was_renamed_after_a_kill(self) -> None:
        recording = self.killed_and_renamed("/trade.csv.1")
        older = LAYOUT.ids(recording.crash_disk.content("/trade.csv.1")[len(HEADER) :]) or []
        self.assertEqual([*map(int, older), *recording.ids()], recording.ledger())

    def test_one_that_was_moved_elsewhere_may_come_again(self) -> None:
        """But nothing of it is missing."""
        recording = self.killed_and_renamed("/elsewhere.csv")
        older = LAYOUT.ids(recording.crash_disk.content("/elsewhere.csv")[len(HEADER) :]) or []
        self.assertEqual(sorted({*map(int, older), *recording.ids()}), recording.ledger())

    def test_no_part_is_read_where_the_state_knows_enough(self) -> None:
        recording = self.rotating().live()
        recording.trades(30)
        self.patch(EarlierParts, "ids", None)
        recording.restart()
        recording.connect()
        recording.trades(3)
        self.assert_whole(recording)

    def test_no_state_beside_rows_of_an_old_gap(self) -> None:
        """It was not copied with the rest, say: what is compared again from these rows on, parts have as well."""
        recording = self.rotating(800).live()
        recording.trades(20)
        recording.trade(told=False, publish_after=20)
        recording.trades(20)
        recording.wait(200)
        del recording.crash_disk.names["/trade.csv.state"]
        recording.restart()
        recording.connect()
        recording.wait(100)
        self.assert_whole(recording)

    def test_no_state_beside_a_file_that_has_just_been_begun(self) -> None:
        """Nothing but the newest part tells how far it had come. What happened since is in no snapshot."""
        for live_file in (HEADER, None):
            recording = self.rotating().live()
            recording.trades(20)
            recording.clock.calls.clear()
            disk = recording.crash_disk
            del disk.names["/trade.csv.state"], disk.names["/trade.csv"]
            if live_file is not None:
                disk.put("/trade.csv", live_file)
            recording.missed(20)
            with capturedLogs() as logs:
                recording.restart()
            self.assertIn("all from the first row of trade-", " ".join(map(str, map(formatEvent, logs))))
            self.assertIsNotNone(recording.saved().progress.frontier, "after a kill, the first row would be taken for it")
            recording.connect(count=3)
            recording.wait(100)
            self.assert_whole(recording)

    def test_a_gap_in_a_part_beside_a_file_from_which_rows_are_missing(self) -> None:
        """It is filled, and not merely called so."""
        recording = self.rotating(1200).live()
        with_open_gap(recording)
        recording.trades(30)
        recording.wait(40)
        recording.clock.calls.clear()
        recording.crash_disk.put("/trade.csv", b"".join(recording.content().splitlines(keepends=True)[:3]))
        recording.restart()
        recording.exchange.fault = ""
        recording.connect()
        recording.wait(100)
        self.assert_whole(recording)

    def test_a_backup_from_before_a_gap_of_a_part_was_filled(self) -> None:
        """The state knows what was fetched for it. The ledger may have been put back, too, and name it as open."""
        for with_ledger in (True, False):
            recording = self.rotating(1200).live()
            with_open_gap(recording)
            recording.trades(9)
            disk = recording.crash_disk
            backup = {name: disk.content(name) for name in ("/trade.csv", "/trade.gaps.csv")}
            self.assertGreater(recording.ids()[0], recording.recorder.tape.comparison.progress.gaps[0].end.id)
            recording.exchange.fault = ""
            recording.wait(40)
            self.assertIn(b'",filled,', disk.content("/trade.gaps.csv"))
            recording.clock.calls.clear()
            disk.put("/trade.csv", backup["/trade.csv"])
            if with_ledger:
                disk.put("/trade.gaps.csv", backup["/trade.gaps.csv"])
            recording.restart()
            recording.connect()
            recording.wait(100)
            self.assert_whole(recording)

    def test_a_backup_of_a_file_whose_part_has_been_moved_away(self) -> None:
        """The state knows what that has: it is older than all that is here."""
        recording = self.rotating(1200).live()
        recording.trades(16)
        backup, part = recording.content(), "/trade-2023-11-14.csv.gz"
        older = recording.all_ids()[: -len(recording.ids())]
        self.assertLess(recording.saved().progress.frontier.id, older[-1])
        recording.trades(3)
        recording.clock.calls.clear()
        recording.crash_disk.put("/trade.csv", backup)
        del recording.crash_disk.names[part]
        recording.restart()
        recording.connect()
        recording.wait(100)
        self.assertEqual(sorted([*older, *recording.all_ids()]), recording.ledger())

    def test_no_state_beside_a_file_that_was_begun_before_the_part_was_compared(self) -> None:
        """What the socket left out then is older than its first row."""
        recording = self.rotating(1200).live()
        recording.trades(8)
        missed = recording.trade(told=False).told.id
        recording.trades(8)
        self.assertGreater(recording.ids()[0], missed)
        self.assertNotIn(missed, recording.all_ids())
        del recording.crash_disk.names["/trade.csv.state"]
        recording.restart()
        recording.connect()
        recording.wait(100)
        self.assert_whole(recording)

    def test_no_state_beside_parts_that_were_not_compared(self) -> None:
        """History was out of reach while several were closed: what the socket left out is older than the newest of them."""
        recording = self.rotating().live()
        recording.exchange.fault = "down"
        recording.trades(4)
        missed = recording.trade(told=False).told.id
        recording.trades(16)
        self.assertGreater(len(recording.parts), 4)
        self.assertNotIn(missed, recording.all_ids())
        del recording.crash_disk.names["/trade.csv.state"]
        recording.restart()
        recording.exchange.fault = ""
        recording.connect()
        recording.wait(100)
        self.assert_whole(recording)

    def test_no_state_beside_a_file_that_was_begun_after_a_gap(self) -> None:
        """It is in an earlier part, and the ledger alone names it."""
        recording = self.rotating(1200).live()
        with_open_gap(recording)
        recording.trades(30)
        self.assertGreater(recording.ids()[0], recording.recorder.tape.comparison.progress.gaps[0].end.id)
        del recording.crash_disk.names["/trade.csv.state"]
        recording.restart()
        recording.exchange.fault = ""
        recording.connect()
        recording.wait(100)
        self.assert_whole(recording)

    def test_a_gap_of_parts_that_are_not_here_is_left_alone(self) -> None:
        """Nobody knows here which of its trades are on file."""
        recording = self.rotating(1200).live()
        with_open_gap(recording)
        recording.trades(30)
        names = recording.crash_disk.names
        for name in [*(name for name in names if name.startswith("/trade-")), "/trade.csv.state"]:
            del names[name]
        ledger, there = recording.crash_disk.content("/trade.gaps.csv"), recording.ids()
        recording.restart()
        recording.exchange.fault = ""
        recording.connect()
        recording.wait(200)
        self.assertEqual(recording.ids(), there)
        self.assertEqual(recording.crash_disk.content("/trade.gaps.csv"), ledger)

    def test_a_file_that_was_renamed_before_there_was_a_state(self) -> None:
        """By logrotate, after a kill in the first second of a recording."""
        recording = Recording().start()
        recording.trade(told=False, pause=1)
        recording.connect()
        recording.trade(pause=0)
        disk = recording.crash_disk
        assert recording.saved() is None or recording.saved().progress.frontier is None
        recording.clock.calls.clear()
        disk.names["/trade.csv.1"] = disk.names.pop("/trade.csv")
        recording.missed(20)
        recording.restart()
        recording.connect(count=3)
        recording.wait(100)
        older = LAYOUT.ids(disk.content("/trade.csv.1")[len(HEADER) :]) or []
        self.assertEqual([*map(int, older), *recording.ids()], recording.ledger())

    def test_a_part_of_a_demo(self) -> None:
        """Its ids are higher than those of all that happens: that is said, and not passed over as old."""
        for name in ("/trade.csv.1", "/trade.csv"):
            recording = Recording()
            recording.crash_disk.put(name, part(range(29_000_000_000, 29_000_000_003), -336))  # half a day before now
            with capturedLogs() as logs:
                recording.start()
                recording.connect(count=0)
                self.assertIsNone(recording.recorder.tape.foreign)
                recording.trade(pause=1)
                recording.trade(pause=1)
            told = [text for text in map(formatEvent, logs) if text and "a demo or another exchange" in text]
            self.assertEqual(len(told), 1)
            self.assertIn("a demo or another exchange", recording.recorder.not_ready() or "")

    def test_parts_without_a_row_of_this_pair(self) -> None:
        """The recording begins anew."""
        recording = Recording()
        recording.crash_disk.put("/trade.csv.1", HEADER)
        recording.crash_disk.put("/trade.csv.2", part(range(1, 3)).replace(b"BTCUSD", b"ETHUSD"))
        recording.start()
        recording.trade(told=False, pause=1)
        recording.connect()
        recording.wait(1)
        self.assertEqual(recording.ids(), recording.ledger())

    def test_a_row_of_an_old_gap_from_which_on_trades_are_wanted(self) -> None:
        """It is in the live file; its neighbours are in a part, and more than the state could hold."""
        self.assert_known_beside_a_late_row(earlier=[*range(66, 71)])

    def test_a_row_of_an_old_gap_in_a_file_that_was_edited(self) -> None:
        """The state knows its neighbours, but is not believed: all that the newest part has will be compared again."""
        self.assert_known_beside_a_late_row(earlier=[*range(20, 71)], last_id=69, first=1)

    def assert_known_beside_a_late_row(self, earlier: list[int], last_id: int = 70, first: int = 20) -> None:
        """From `first` on, all is."""
        recording = self.rotating()
        disk = recording.crash_disk
        disk.put("/trade-2023-11-14.csv", part(range(1, 20)) + part(range(21, 61))[len(HEADER) :])
        disk.put("/trade.csv", part(range(20, 21)) + part(range(61, 71))[len(HEADER) :])
        live, progress = disk.find("/trade.csv"), Progress(20, Mark(50, since(0) + 50), 20)
        assert live is not None
        file = FileId(live.device, live.inode)
        state = Saved("bitfinex", "BTCUSD", file, live.size, last_id, progress, earlier)
        StateFile(disk, "/trade.csv.state").save(state)
        recording.recorder.open()
        known = recording.recorder.tape.known
        self.assertEqual([trade_id for trade_id in range(80) if trade_id in known], [*range(first, 71)])
