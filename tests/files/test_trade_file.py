"""A trade file is read whole, row by row, and whatever is not a row is told with its line."""

import gzip
import importlib.util
import os
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.files import trade_file
from bfxtwist.files.findings import Fault, Kind
from bfxtwist.files.trade_file import (
    MissingDecompressor,
    Row,
    diagnosis,
    lacks_checksum,
    read_trade_file,
    zstandard,
)
from tests.files.rows import arrival, lines, trades, write

_HAS_ZSTD = any(importlib.util.find_spec(parent) for parent in ("compression", "backports"))
GOOD = lines([arrival(7)]).rstrip(b"\n")


class Reading(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "trade.csv"

    def read(self, content: bytes | None = None, path: Path | None = None) -> tuple[list[Row], list[Fault]]:
        path = path or self.path
        if content is not None:
            path.write_bytes(content)
        rows: list[Row] = []
        faults: list[Fault] = []
        for item in read_trade_file(path):
            if isinstance(item, Fault):
                faults.append(item)
            else:
                text = path.read_bytes().split(b"\n") if path.suffix == ".csv" else None
                for number, row in enumerate(item.rows, item.first_line):
                    self.assertTrue(text is None or text[number - 1] == b",".join(row), number)
                rows += item.rows
        return rows, faults

    @given(st.lists(trades(), max_size=20), st.integers(1, 300))
    def test_what_the_writer_writes_is_read_in_chunks_of_any_size(self, written: list[Arrival], chunk: int) -> None:
        with mock.patch.object(trade_file, "_CHUNK", chunk):
            rows, faults = self.read(HEADER + lines(written))
        self.assertEqual((b"".join(b",".join(row) + b"\n" for row in rows), faults), (lines(written), []))

    def test_compressed_parts(self) -> None:
        text = HEADER + lines(map(arrival, range(1, 50)))
        plain, _ = self.read(text)
        path = self.path.with_name("trade-2026-11-22.csv.gz")
        self.assertEqual(self.read(gzip.compress(text), path), (plain, []))

    def test_zstandard_parts(self) -> None:
        if not _HAS_ZSTD:
            self.skipTest("neither Python 3.14 nor backports.zstd is here")
        text = HEADER + lines(map(arrival, range(1, 50)))
        plain, _ = self.read(text)
        path, compressed = self.path.with_name("trade-2026-11-22.csv.zst"), zstandard().compress(text)
        self.assertEqual(self.read(compressed, path), (plain, []))
        for damaged in (compressed[:-5], b"not compressed at all"):
            _, faults = self.read(damaged, path)
            self.assertEqual([fault.kind for fault in faults if fault.kind is not Kind.HEADER], [Kind.ARCHIVE])

    def test_parts_without_a_checksum(self) -> None:
        """What `zstd --no-check` packs: it may be damaged and look whole."""
        head = b"\x28\xb5\x2f\xfd"
        path = self.path.with_name("trade-2026-11-22.csv.zst")
        for content, lacks in ((b"\x00", True), (b"\x60", True), (b"\x04", False), (b"\x64", False), (b"", False)):
            path.write_bytes(head + content)
            self.assertEqual(lacks_checksum(path), lacks, content)
        path.write_bytes(b"no frame")
        plain = self.path.with_name("trade.csv")
        plain.write_bytes(head + b"\x00")
        self.assertEqual((lacks_checksum(path), lacks_checksum(plain)), (False, False))

    def test_without_a_decompressor_the_error_names_the_package(self) -> None:
        with mock.patch.dict("sys.modules", {"compression": None, "backports": None, "backports.zstd": None}):
            error = self.assertRaises(MissingDecompressor, zstandard)
        self.assertIn("pip install backports.zstd", str(error))

    def test_a_damaged_archive_is_one_fault_after_the_rows_before_it(self) -> None:
        content = HEADER + lines(map(arrival, range(1, 10_000)))
        compressed = gzip.compress(content)
        path = self.path.with_name("trade-2026-11-22.csv.gz")
        broken = compressed[: len(compressed) // 2]
        there = zlib.decompressobj(31).decompress(broken).count(b"\n")
        rows, faults = self.read(broken, path)
        self.assertEqual(([fault.kind for fault in faults], len(rows)), ([Kind.ARCHIVE], there - 1))
        _, faults = self.read(b"not compressed at all", path)
        self.assertEqual([fault.kind for fault in faults], [Kind.ARCHIVE])

    def test_the_header_must_be_there_to_the_byte(self) -> None:
        rows, faults = self.read(HEADER.replace(b"\n", b"\r\n") + lines([arrival(1)]))
        self.assertEqual((len(rows), faults[0].kind, faults[0].where), (1, Kind.HEADER, f"{self.path}:1"))
        self.assertEqual(faults[0].text, "the line ends in CR LF instead of LF")
        rows, faults = self.read(b"\xef\xbb\xbf" + HEADER + lines([arrival(1)]))
        self.assertEqual((len(rows), [fault.text for fault in faults]), (1, ["the file begins with a byte order mark"]))
        rows, faults = self.read(lines([arrival(1), arrival(2)]))
        self.assertEqual((len(rows), [fault.kind for fault in faults]), (2, [Kind.HEADER]))
        self.assertIn("the header is missing: bitfinex,BTCUSD,", faults[0].text)
        rows, faults = self.read(b"")
        self.assertEqual((rows, [fault.text for fault in faults]), ([], ["the file is empty"]))
        self.assertEqual(self.read(HEADER), ([], []))

    def test_a_fault_between_rows_costs_no_row(self) -> None:
        rows, faults = self.read(HEADER + lines([arrival(1)]) + b"junk\n" + lines([arrival(2)]))
        self.assertEqual((len(rows), len(faults), faults[0].where), (2, 1, f"{self.path}:3"))

    @given(st.integers(1, len(GOOD) - 1))
    def test_a_tail_torn_anywhere_is_a_fault(self, cut: int) -> None:
        with mock.patch.object(trade_file, "_HALF_WAY", 0):
            rows, faults = self.read(HEADER + lines([arrival(1)]) + GOOD[:cut])
        self.assertEqual((len(rows), [fault[:2] for fault in faults]), (1, [(Kind.TORN, f"{self.path}:3")]))

    def test_a_whole_row_without_its_line_end_is_torn(self) -> None:
        _, faults = self.read(HEADER + GOOD)
        self.assertEqual([fault.kind for fault in faults], [Kind.TORN])

    def test_a_row_that_a_daemon_is_writing_is_waited_for(self) -> None:
        write(self.path, [arrival(1)])
        whole = self.path.stat().st_size
        self.path.write_bytes(HEADER + lines([arrival(1), arrival(2)])[:-20])

        def finish(seconds: float) -> None:
            self.path.write_bytes(HEADER + lines([arrival(1), arrival(2)]))

        self.patch(time, "sleep", finish)
        rows, faults = self.read()
        self.assertEqual((len(rows), faults), (2, []))
        self.assertGreater(self.path.stat().st_size, whole)

    def test_zeroes_at_the_end_and_in_the_middle(self) -> None:
        _, faults = self.read(HEADER + lines([arrival(1)]) + bytes(4096))
        self.assertEqual([fault.kind for fault in faults], [Kind.NUL])
        _, faults = self.read(HEADER + bytes(100) + b"\n" + lines([arrival(1)]))
        self.assertEqual([(fault.kind, fault.text) for fault in faults], [(Kind.NUL, "100 NUL bytes")])

    def test_a_file_without_line_ends_is_not_read_into_memory(self) -> None:
        self.path.write_bytes(HEADER)
        os.truncate(self.path, 50_000_000)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        self.assertEqual(list(read_trade_file(self.path)), [(Kind.NUL, f"{self.path}:2", "49999937 NUL bytes")])
        self.assertLess(tracemalloc.get_traced_memory()[1], 8_000_000)
        for length in (70_000, 3_000_000):
            _, faults = self.read(HEADER + b"x" * length)
            self.assertEqual(faults, [(Kind.ROW, f"{self.path}:2", f"no line ends for {length} bytes")])

    def test_a_pipe(self) -> None:
        """`verify <(ssh recorder cat trade.csv)`"""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        os.write(writing, HEADER + lines(map(arrival, range(1, 20))))
        os.close(writing)
        [block] = read_trade_file(Path(f"/dev/fd/{reading}"))
        assert not isinstance(block, Fault)
        self.assertEqual(len(block.rows), 19)

    def test_rows_below_a_long_hole_are_read(self) -> None:
        """A power loss can leave megabytes of zeros in the middle of a file."""
        good = lines(map(arrival, range(1, 20)))
        rows, faults = self.read(HEADER + good + bytes(3_000_000) + b"\n" + lines(map(arrival, range(20, 30))))
        self.assertEqual(faults, [(Kind.NUL, f"{self.path}:21", "3000000 NUL bytes")])
        self.assertEqual([int(row[3]) for row in rows], [*range(1, 30)])
        rows, _ = self.read(good + bytes(3_000_000) + b"\n" + lines(map(arrival, range(20, 30))))
        self.assertEqual([int(row[3]) for row in rows], [*range(1, 30)], "without a header, too")

    def test_progress_adds_up_to_the_size_on_disk(self) -> None:
        for name, pack in (("trade.csv", bytes), ("trade-2026-11-22.csv.gz", gzip.compress)):
            path = self.path.with_name(name)
            packed: Callable[[bytes], bytes] = pack
            path.write_bytes(packed(HEADER + lines(map(arrival, range(1, 3000)))))
            steps: list[int] = []
            with mock.patch.object(trade_file, "_CHUNK", 10_000):
                list(read_trade_file(path, steps.append))
            self.assertEqual((len(steps) > 9, min(steps) >= 0, sum(steps)), (True, True, path.stat().st_size))


class Diagnoses(SynchronousTestCase):
    def test_each_damage_is_named(self) -> None:
        for old, new, kind, words in (
            (b"bitfinex,", b"Bitfinex,", Kind.ROW, "exchange 'Bitfinex' is not"),
            (b",BTCUSD,", b",btcusd,", Kind.ROW, "symbol 'btcusd' is not"),
            (b"745000,", b"745001,", Kind.ROW, "timestamp '1542045954745001'"),
            (b"1542045954738000", b"1542045954738", Kind.ROW, "timestamp"),
            (b",7,", b",07,", Kind.ROW, "id '07' is not a trade's id"),
            (b",7,", b",-7,", Kind.ROW, "id '-7' is not a trade's id"),
            (b"buy", b"BUY", Kind.ROW, "side 'BUY' is not buy or sell"),
            (b"6443.1", b"6443.", Kind.ROW, "price '6443.' is not a JSON number above 0"),
            (b"6443.1", b"06443.1", Kind.ROW, "price"),
            (b"6443.1", b"0.000", Kind.ROW, "price"),
            (b"6443.1", b"0e5", Kind.ROW, "price"),
            (b"6443.1", b"NaN", Kind.ROW, "price"),
            (b"6443.1", b"+6443.1", Kind.ROW, "price"),
            (b"0.5", b"-0.5", Kind.ROW, "amount"),
            (b"0.5", b".5", Kind.ROW, "amount"),
            (b"0.5", b"0.5 ", Kind.ROW, "amount"),
            (b"0.5", b"0.5,", Kind.ROW, "9 fields instead of 8"),
            (b"0.5", b"0.5\r", Kind.ROW, "CR LF"),
            (GOOD, b"", Kind.ROW, "the line is empty"),
            (b"buy", b"b\0y", Kind.NUL, "1 NUL bytes"),
        ):
            damaged = GOOD.replace(b"738000,", b"745000,", 1) if old == b"745000," else GOOD
            found, text = diagnosis(damaged.replace(old, new))
            self.assertEqual(found, kind, new)
            self.assertIn(words, text)
        self.assertEqual(diagnosis(HEADER.rstrip(b"\n")), (Kind.HEADER, "a second header"))

    def test_numbers_as_the_exchange_writes_them_are_rows(self) -> None:
        path = Path(self.mktemp())
        for token in (b"6443", b"6443.10", b"2.8e-7", b"1E+3", b"0.00000001", b"1e22", b"0.10"):
            path.write_bytes(HEADER + GOOD.replace(b"6443.1", token) + b"\n")
            [block] = read_trade_file(path)
            self.assertFalse(isinstance(block, Fault), token)

    @given(st.binary(max_size=40), st.integers(0, len(GOOD)), st.integers(0, len(GOOD)))
    def test_it_agrees_with_the_row_that_the_daemon_accepts(self, put: bytes, start: int, end: int) -> None:
        line = GOOD[:start] + put + GOOD[end:]
        path = Path(self.mktemp())
        path.write_bytes(HEADER + line + b"\n")
        items = list(read_trade_file(path))
        if b"\n" not in line and not any(isinstance(item, Fault) for item in items):
            self.assertTrue(Layout("tBTCUSD").read(line) or Layout("tBTCUSD").stranger(line), line)


class WhileItGrows(SynchronousTestCase):
    def test_a_live_file_has_no_faults(self) -> None:
        path = Path(self.mktemp())
        path.write_bytes(HEADER)
        text = lines(map(arrival, range(1, 4000)))

        def append() -> None:
            with path.open("ab", buffering=0) as file:
                for start in range(0, len(text), 4096):
                    file.write(text[start : start + 4096])
                    time.sleep(0)

        writer = threading.Thread(target=append)
        writer.start()
        try:
            found = [item for item in read_trade_file(path) if isinstance(item, Fault)]
        finally:
            writer.join()
        self.assertEqual(found, [])
