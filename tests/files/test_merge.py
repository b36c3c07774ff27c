"""A merge is the union of its recordings: each id once, in order, whole or not at all, with the gaps that remain."""

import gzip
import os
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.gaps import GapLedger, GapState
from bfxtwist.core.trade_rows import HEADER, Arrival
from bfxtwist.files.findings import Kind
from bfxtwist.files.merge import CannotMerge, Merged, merge
from bfxtwist.files.recording import NoRecording, recordings
from bfxtwist.files.verify import verify
from tests.files.rows import arrival, lines, recording, trades, write
from tests.files.test_gap_ledger import gap as gap_between


class Merging(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.out = self.folder / "out.csv"

    def merge(self, *paths: Path, skip_damaged: bool = False, run_lines: int = 1000) -> Merged:
        return merge(recordings(paths), self.out, skip_damaged=skip_damaged, run_lines=run_lines, fan_in=2)

    def written(self, *pieces: Iterable[Arrival]) -> list[Path]:
        return [write(self.folder / f"{number}.csv", piece) for number, piece in enumerate(pieces)]


class Union(Merging):
    @given(st.lists(st.lists(trades(), max_size=15), min_size=1, max_size=4), st.integers(1, 9))
    def test_of_any_pieces_with_any_runs(self, pieces: list[list[Arrival]], run_lines: int) -> None:
        counts = self.merge(*self.written(*pieces), run_lines=run_lines)
        first: dict[int, Arrival] = {}
        rows = 0
        for row in (row for piece in pieces for row in piece):
            rows += 1
            kept = first.get(row.trade.id)
            if kept is None or row.wall < kept.wall:
                first[row.trade.id] = row
        ordered = sorted(first.values(), key=lambda row: (row.trade.mts, row.trade.id))
        if not any(_tied(pieces)):
            self.assertEqual(self.out.read_bytes(), HEADER + lines(ordered))
        self.assertEqual((counts.read, counts.written, counts.repeated), (rows, len(first), rows - len(first)))

    @given(st.lists(st.integers(1, 500), unique=True), st.data())
    def test_shuffled_overlapping_pieces_make_the_whole_again(self, ids: list[int], data: st.DataObject) -> None:
        whole = [arrival(number) for number in ids]
        pieces = [data.draw(st.permutations(whole))[: data.draw(st.integers(0, len(whole)))] for _ in range(2)]
        counts = self.merge(*self.written(whole, *pieces), run_lines=7)
        self.assertEqual(self.out.read_bytes(), HEADER + lines(map(arrival, sorted(ids))))
        self.assertEqual((counts.conflicts, counts.other_times), (0, 0))
        self.assertTrue(verify(recording(self.out), allow_gaps=True).clean)

    def test_the_earliest_arrival_stays_and_differences_are_counted(self) -> None:
        one = [arrival(1, wall=1_542_045_950_000_000), arrival(2), arrival(3)]
        two = [arrival(1, wall=1_542_045_949_000_000), arrival(2, deal=(b"-0.5", b"6443.1")),
               arrival(3, mts=arrival(3).trade.mts + 4)]  # fmt: skip
        counts = self.merge(*self.written(one, two))
        self.assertEqual(self.out.read_bytes(), HEADER + lines([two[0], one[1], one[2]]))
        self.assertEqual((counts.repeated, counts.conflicts, counts.other_times), (3, 1, 1))

    def test_numbers_that_another_program_has_written_anew_are_no_others(self) -> None:
        """pandas writes 6443 as 6443.0: that is no reason to doubt either recording."""
        one = [arrival(1, deal=(b"-1", b"6443")), arrival(2, deal=(b"3e-7", b"1"))]
        two = [arrival(1, deal=(b"-1.0", b"6443.0")), arrival(2, deal=(b"0.00000031", b"1"))]
        counts = self.merge(*self.written(one, two))
        self.assertEqual((counts.repeated, counts.conflicts), (2, 1))

    def test_what_is_not_ready_yet_is_beside_the_result_and_hidden(self) -> None:
        """Elsewhere there may be no room for it, and no way to rename it; and it must not be taken for a recording."""
        seen: set[str] = set()
        [path] = self.written(map(arrival, range(1, 9)))
        merge(recordings([path]), self.out, advance=lambda _: seen.update(one.name for one in self.folder.iterdir()))
        self.assertEqual([name[:9] for name in seen if name != path.name], [".out.csv."])

    def test_parts_plain_and_compressed(self) -> None:
        live = write(self.folder / "in" / "trade.csv", map(arrival, range(50, 100)))
        live.with_name("trade-2026-11-21.csv.gz").write_bytes(gzip.compress(HEADER + lines(map(arrival, range(1, 50)))))
        self.merge(live.parent)
        self.assertEqual(self.out.read_bytes(), HEADER + lines(map(arrival, range(1, 100))))

    def test_a_compressed_result_holds_the_same(self) -> None:
        self.out = self.folder / "out.csv.gz"
        self.merge(*self.written(map(arrival, range(1, 100))))
        first = self.out.read_bytes()
        self.assertEqual(gzip.decompress(first), HEADER + lines(map(arrival, range(1, 100))))
        self.patch(time, "time", lambda: 2e9)
        self.merge(*self.written(map(arrival, range(1, 100))))
        self.assertEqual(self.out.read_bytes(), first)


def _tied(pieces: list[list[Arrival]]) -> Iterable[bool]:
    """Whether two rows of one id arrived at the same time: then a file's own second row may be the one that is kept."""
    seen: set[tuple[int, int]] = set()
    for row in (row for piece in pieces for row in piece):
        yield (row.trade.id, row.wall) in seen
        seen.add((row.trade.id, row.wall))


class Refusals(Merging):
    def test_different_pairs(self) -> None:
        one = write(self.folder / "one.csv", [arrival(1)])
        two = write(self.folder / "two.csv", [arrival(2)], "tETHUSD")
        error = self.assertRaises(CannotMerge, self.merge, one, two)
        self.assertIn(f"{two} has trades of bitfinex ETHUSD, and those before it are of bitfinex BTCUSD", str(error))
        self.assertEqual(sorted(path.name for path in self.folder.iterdir()), ["one.csv", "two.csv"])

    def test_a_recording_that_is_rotated_meanwhile(self) -> None:
        """While older parts are read, which takes minutes: rows of the live file would be missing without a word."""
        live = write(self.folder / "in" / "trade.csv", map(arrival, range(50, 100)))
        write(live.with_name("trade-2026-11-21.csv"), map(arrival, range(1, 50)))
        days = count(22)

        def rotate(_: int) -> None:
            day = next(days)
            live.rename(live.with_name(f"trade-2026-11-{day}.csv"))
            write(live, [arrival(day + 100)])

        for read in (lambda found: merge([found], self.out, advance=rotate), lambda found: verify(found, rotate)):
            error = self.assertRaises(NoRecording, read, recording(live.parent))
            self.assertIn("trade.csv was rotated meanwhile", str(error))
        self.assertEqual([path.name for path in self.folder.iterdir()], ["in"])
        self.merge(live.parent)
        self.assertTrue(verify(recording(self.out)).rows > 99)

    def test_damage_is_refused_or_left_out_and_counted(self) -> None:
        [path] = self.written(map(arrival, range(1, 5)))
        path.write_bytes(path.read_bytes() + b"junk\n" + lines([arrival(5)]) + lines([arrival(6)])[:20])
        error = self.assertRaises(CannotMerge, self.merge, path)
        self.assertIn(f"{path}:6: 1 fields instead of 8", str(error))
        counts = self.merge(path, skip_damaged=True)
        self.assertEqual((counts.damaged, counts.written), (2, 5))

    def test_a_file_that_is_all_damage_makes_no_empty_one(self) -> None:
        """As an editor on Windows leaves it: --force would put the empty one in its place."""
        [path] = self.written(map(arrival, range(1, 5)))
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        error = self.assertRaises(CannotMerge, self.merge, path, skip_damaged=True)
        self.assertIn("no row, and 5 damaged lines", str(error))
        packed = self.folder / "packed.csv.gz"
        packed.write_bytes(gzip.compress(b"no header\n")[:-1])
        error = self.assertRaises(CannotMerge, self.merge, packed, skip_damaged=True)
        self.assertIn("no row, and 2 damaged lines", str(error))
        self.assertFalse(self.out.exists())

    def test_a_damaged_ledger_of_gaps_is_none_of_no_gaps(self) -> None:
        path = write(self.folder / "in" / "trade.csv", map(arrival, range(1, 5)))
        path.with_name("trade.gaps.csv").write_bytes(b"edited\n")
        error = self.assertRaises(CannotMerge, self.merge, path)
        self.assertIn("trade.gaps.csv:1: the header is missing", str(error))
        merged = self.merge(path, skip_damaged=True)
        self.assertEqual((merged.damaged, merged.gaps), (1, 1))
        self.assertIn(b",1,4,", (self.folder / "out.gaps.csv").read_bytes())
        whole = write(self.folder / "other" / "trade.csv", map(arrival, range(1, 5)))
        self.assertEqual(self.merge(path, whole, skip_damaged=True).gaps, 0)

    def test_a_failure_leaves_what_was_there_and_nothing_else(self) -> None:
        """Whichever of rows and gaps it is that cannot be synced."""
        paths = self.written(map(arrival, range(1, 9)), map(arrival, range(20, 50)))
        ledger = self.folder / "out.gaps.csv"
        self.out.write_bytes(b"what was there")
        ledger.write_bytes(b"and its gaps")
        before = sorted(self.folder.iterdir())
        full = OSError(28, "No space left on device")
        for outcomes in ([full], [None, full]):
            with mock.patch.object(os, "fsync", side_effect=outcomes):
                self.assertRaises(OSError, self.merge, *paths)
            self.assertEqual((self.out.read_bytes(), ledger.read_bytes()), (b"what was there", b"and its gaps"))
            self.assertEqual(sorted(self.folder.iterdir()), before)

    def test_it_is_on_disk_before_it_takes_its_name(self) -> None:
        done: list[str] = []
        lengths: set[int] = set()
        fsync, replace = os.fsync, Path.replace

        def synced(fd: int) -> None:
            done.append("sync")
            lengths.add(os.fstat(fd).st_size)
            fsync(fd)

        def replaced(path: Path, target: Path) -> Path:
            done.append("rename")
            self.assertIn(path.stat().st_size, lengths, "all of it was synced")
            return replace(path, target)

        with mock.patch.object(os, "fsync", synced), mock.patch.object(Path, "replace", replaced):
            self.merge(*self.written([arrival(1)]))
            self.assertEqual(done, ["sync", "sync", "rename", "sync"])
            done.clear()
            self.merge(*self.written([arrival(1)], [arrival(3)]))
            self.assertEqual(done, ["sync", "sync", "rename", "rename", "sync"])


class Gaps(Merging):
    def test_what_no_recording_has_is_in_the_ledger_beside_the_result(self) -> None:
        one = write(self.folder / "one" / "trade.csv", map(arrival, (*range(1, 10), *range(20, 30))))
        two = write(self.folder / "two" / "trade.csv", map(arrival, range(40, 50)))
        ledger = GapLedger()
        ledger.record(gap_between(9, 20, state=GapState.LOST))
        one.with_name("trade.gaps.csv").write_bytes(ledger.text())
        self.assertEqual(self.merge(one, two).gaps, 2)
        report = verify(recording(self.out))
        self.assertEqual([(line.start_id, line.end_id, line.state) for line in report.gaps],
                         [(9, 20, GapState.LOST), (29, 40, GapState.LOST)])  # fmt: skip
        self.assertEqual(report.findings.counts, {Kind.GAP: 2})

    def test_damage_that_is_left_out_leaves_a_gap(self) -> None:
        """Which a recording that has these rows closes; and one that lacks them closes no other's."""
        rows = [*map(arrival, range(1, 30))]
        one = write(self.folder / "one" / "trade.csv", rows[:9])
        one.write_bytes(one.read_bytes() + bytes(500) + b"\n" + lines(rows[19:]))
        self.assertEqual(self.merge(one, skip_damaged=True).gaps, 1)
        [gap] = verify(recording(self.out)).gaps
        self.assertEqual((gap.start_id, gap.end_id, gap.state), (9, 20, GapState.LOST))
        two = write(self.folder / "two" / "trade.csv", rows[5:25])
        self.assertEqual(self.merge(one, two, skip_damaged=True).gaps, 0)
        self.assertEqual(verify(recording(self.out)).findings.shown, [])
        lacking = write(self.folder / "three" / "trade.csv", [*rows[:11], *rows[14:]])
        ledger = GapLedger()
        ledger.record(gap_between(11, 15))
        lacking.with_name("trade.gaps.csv").write_bytes(ledger.text())
        self.assertEqual(self.merge(one, lacking, skip_damaged=True).gaps, 2)

    def test_a_gap_that_two_recordings_have_alike_is_one(self) -> None:
        alike = [
            write(self.folder / name / "trade.csv", map(arrival, (*range(1, 10), *range(20, 30)))) for name in ("one", "two")
        ]
        for path in alike:
            path.write_bytes(path.read_bytes().replace(lines([arrival(20)]), b"damaged\n"))
        counts = self.merge(*alike, skip_damaged=True)
        self.assertEqual((counts.gaps, len(verify(recording(self.out)).gaps)), (1, 1))

    def test_the_rest_of_a_damaged_archive_is_a_gap(self) -> None:
        live = write(self.folder / "in" / "trade.csv", map(arrival, range(100_000, 100_009)))
        packed = gzip.compress(HEADER + lines(map(arrival, range(1, 100_000))))
        live.with_name("trade-2026-11-21.csv.gz").write_bytes(packed[:-100_000])
        counts = self.merge(live.parent, skip_damaged=True)
        self.assertEqual((counts.damaged, counts.cut_off, counts.gaps), (0, 1, 1))
        [gap] = verify(recording(self.out)).gaps
        self.assertEqual((gap.start_id, gap.end_id), (counts.read - 9, 100_000))

    def test_of_a_damaged_archive_no_row_is_believed(self) -> None:
        """A bent bit makes other trades of those that are there, far above the place where it shows."""
        packed = gzip.compress(HEADER + lines(map(arrival, range(10, 20_000))))
        for place in range(1000, len(packed), len(packed) // 10):
            before = write(self.folder / "in" / "trade-2026-11-20.csv", map(arrival, range(1, 10)))
            write(before.with_name("trade.csv"), map(arrival, range(20_000, 20_009)))
            bent = bytes([packed[place] ^ 16])
            before.with_name("trade-2026-11-21.csv.gz").write_bytes(packed[:place] + bent + packed[place + 1 :])
            counts = self.merge(before.parent, skip_damaged=True)
            self.assertEqual((counts.read, counts.damaged, counts.cut_off, counts.unsound), (18, 0, 0, 1))
            [gap] = verify(recording(self.out)).gaps
            self.assertEqual((gap.start_id, gap.end_id), (9, 20_000))

    def test_a_second_header_or_a_byte_order_mark_costs_no_row(self) -> None:
        """`cat` of two files is sorted into what it was."""
        [path] = self.written(map(arrival, range(1, 9)))
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes() + HEADER + lines(map(arrival, range(9, 20))))
        counts = self.merge(path, skip_damaged=True)
        self.assertEqual((counts.damaged, counts.gaps, counts.written), (2, 0, 19))

    def test_a_gap_that_another_recording_covers_is_gone_and_its_old_ledger_too(self) -> None:
        one = write(self.folder / "one" / "trade.csv", map(arrival, (*range(1, 10), *range(20, 30))))
        two = write(self.folder / "two" / "trade.csv", map(arrival, range(5, 25)))
        ledger = GapLedger()
        ledger.record(gap_between(9, 20))
        for path in (one.with_name("trade.gaps.csv"), self.folder / "out.gaps.csv"):
            path.write_bytes(ledger.text())
        self.assertEqual(self.merge(one, two).gaps, 0)
        self.assertEqual(verify(recording(self.out)).findings.shown, [])
        self.assertEqual((self.folder / "out.gaps.csv").read_bytes(), GapLedger().text())
