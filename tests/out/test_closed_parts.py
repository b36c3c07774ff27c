"""A closed part is compressed: whatever is in the way of that, its rows are there, and never twice."""

import gzip
import zlib
from pathlib import Path
from random import Random

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SkipTest

from bfxtwist.core.trade_rows import HEADER
from bfxtwist.files.trade_file import MissingDecompressor, zstandard
from bfxtwist.files.verify import verify
from bfxtwist.out.closed_parts import ClosedParts as Compressing
from bfxtwist.out.closed_parts import Compression, PartsDiffer, Stopped, compress_part, unpacked
from bfxtwist.out.disk import OsDisk
from tests.crash_disk import CrashDisk
from tests.out.recording import SlowThread, at_once
from tests.out.rotating import SIZE, RotationTest

PART, PACKED = "/trade-2023-11-13.csv", "/trade-2023-11-13.csv.gz"
OTHER_PART = "/trade-2023-11-14.csv"


class ClosedParts(RotationTest):
    """Beside a recorder, and by `compress_part` alone, on a disk in memory and on a real one."""

    def test_rows_wait_for_no_compression(self) -> None:
        thread = SlowThread()
        recording = self.rotating()
        recording.compress_in = thread
        recording.recorder = recording.make()
        recording.live()
        recording.trades(12)
        self.assertEqual((len(thread.jobs), len(recording.parts)), (1, 4))
        self.assertEqual([name for name in recording.parts if name.endswith(".gz")], [])
        thread.end_one()
        stopping = recording.recorder.stop()
        self.assertNoResult(stopping)
        thread.end_one()
        self.assertIsNone(self.successResultOf(stopping))
        self.assertEqual([name[-3:] for name in recording.parts], [".gz", "csv", "csv", "csv"])
        self.assert_whole(recording)
        self.assertEqual(recording.crash_disk.descriptors, 0)

    def test_full_disk_leaves_the_part_plain(self) -> None:
        recording = self.rotating().live()
        disk = recording.crash_disk
        disk.put(PART, HEADER)
        disk.room = 5
        self.assertRaises(OSError, compress_part, disk, PART, Compression.GZIP, lambda: False)
        disk.mend()
        self.assertEqual([name for name in disk.names if "11-13" in name], [PART])
        self.assertRaises(Stopped, compress_part, disk, PART, Compression.GZIP, lambda: True)
        self.assertEqual([name for name in disk.names if "11-13" in name], [PART])

    def test_a_part_is_kept_if_the_compressed_one_is_not_the_same(self) -> None:
        """Somebody is just compressing it by hand, or has put another one there."""
        disk = CrashDisk()
        whole = gzip.compress(HEADER)
        others = (HEADER + b"x", HEADER[:-1], HEADER[:-1] + b"x")
        for other in (b"", b"mine", whole[:-1], whole + b"x", *map(gzip.compress, others)):
            disk.put(PART, HEADER)
            disk.put(PACKED, other)
            self.assertRaises(PartsDiffer, compress_part, disk, PART, Compression.GZIP, lambda: False)
            self.assertEqual(disk.content(PART), HEADER)
            self.assertEqual(disk.content(PACKED), other)
        disk.put(PACKED, whole)
        compress_part(disk, PART, Compression.GZIP, lambda: False)
        self.assertEqual(list(disk.names), [PACKED])

    def test_a_part_that_is_not_the_same_keeps_no_other_from_being_compressed(self) -> None:
        """It is named in the log."""
        disk = CrashDisk()
        for name in (PART, OTHER_PART):
            disk.put(name, HEADER)
        disk.put(PACKED, b"mine")
        with capturedLogs() as logs:
            Compressing(disk, Compression.GZIP, at_once).compress([PART, OTHER_PART])
        self.assertEqual(sorted(disk.names), [PART, PACKED, f"{OTHER_PART}.gz"])
        told = f"{PART} stays as it is: {PACKED} is there, too, and does not hold the same: look which of them is right"
        self.assertEqual([formatEvent(event) for event in logs], [told])

    def test_what_stands_behind_the_end_of_a_compressed_part_is_seen(self) -> None:
        """Though it is in another piece than the end."""
        self.assertRaises(EOFError, list, unpacked(iter((gzip.compress(HEADER), b"x")), Compression.GZIP.decompressor()))

    def test_half_a_part_that_could_not_be_removed_is_in_nobody_s_way(self) -> None:
        disk = CrashDisk()
        disk.put(PART, HEADER)
        disk.put(f"{PACKED}.tmp", b"?")
        compress_part(disk, PART, Compression.GZIP, lambda: False)
        self.assertEqual(list(disk.names), [PACKED])

    def test_part_of_many_pieces_on_a_real_disk(self) -> None:
        path = Path(self.mktemp())
        path.mkdir()
        path /= "trade-2026-11-22.csv"
        content = HEADER + Random(1).randbytes(3_000_000)
        path.write_bytes(content)
        compress_part(OsDisk(), str(path), Compression.GZIP, lambda: False)
        self.assertFalse(path.exists())
        [packed] = path.parent.iterdir()
        self.assertEqual((packed.name, packed.stat().st_mode & 0o777), ("trade-2026-11-22.csv.gz", 0o640))
        self.assertEqual(zlib.decompress(packed.read_bytes(), 31), content)

    def test_zstandard(self) -> None:
        try:
            zstandard()
        except MissingDecompressor as error:
            raise SkipTest(str(error)) from None
        recording = self.rotating(SIZE, Compression.ZSTANDARD).live()
        recording.trades(3)
        [name, _] = recording.parts
        self.assertEqual(zstandard().decompress(recording.crash_disk.content(f"/{name}"))[: len(HEADER)], HEADER)
        [found] = recording.copied()
        self.assertEqual((verify(found).clean, verify(found).rows), (True, 6))
        descriptor = recording.crash_disk.content(f"/{name}")[4]
        self.assertTrue(descriptor & 0b100, "with a checksum, without which a bent bit makes other trades (RFC 8878)")
        disk = CrashDisk()
        whole = zstandard().compress(HEADER)
        for other in (b"", b"mine", whole[:-1], whole + b"x"):
            disk.put(PART, HEADER)
            disk.put("/trade-2023-11-13.csv.zst", other)
            self.assertRaises(PartsDiffer, compress_part, disk, PART, Compression.ZSTANDARD, lambda: False)
            self.assertEqual(disk.content(PART), HEADER)
