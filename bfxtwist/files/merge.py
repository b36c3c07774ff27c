"""Several recordings of one pair made one: each id once, in the order of (timestamp, id), in bounded memory.

The rows are sorted by id first, which brings the repetitions together, and then by time. Both sorts are external: all that
memory holds is a run of one of them.
"""

import gzip
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from bfxtwist.core.gaps import GapLedger
from bfxtwist.core.trade_rows import HEADER
from bfxtwist.files.external_sort import FAN_IN, RUN_LINES, sorted_lines
from bfxtwist.files.findings import Fault, Findings, Kind
from bfxtwist.files.gap_ledger import read_gap_ledger
from bfxtwist.files.merge_gaps import Source, unfilled_gaps
from bfxtwist.files.recording import Recording, ledger_of
from bfxtwist.files.trade_file import failed_check, read_trade_file

#: gzip's own default. Python's is 9, which takes three times as long and saves 1 %.
_GZIP_LEVEL = 6

_PIECE = 1 << 16


class CannotMerge(Exception):
    """The recordings cannot be made one: they are of different pairs, or damaged."""


@dataclass(slots=True)
class Merged:
    """What became of the rows."""

    pair: bytes = b""  # exchange and symbol, as at the head of each row
    read: int = 0
    written: int = 0
    repeated: int = 0
    conflicts: int = 0  # repetitions with another side, price or amount
    other_times: int = 0  # repetitions with another timestamp
    damaged: int = 0  # lines left out, if that was asked for
    cut_off: int = 0  # compressed parts whose end is missing, left out from there on with it
    unsound: int = 0  # compressed parts that fail their check, left out whole with it
    gaps: int = 0  # intervals in the ledger of the result
    sources: list[Source] = field(default_factory=list)


def merge(
    recordings: Iterable[Recording],
    out: Path,
    *,
    skip_damaged: bool = False,
    advance: Callable[[int], None] = lambda _: None,
    run_lines: int = RUN_LINES,
    fan_in: int = FAN_IN,
) -> Merged:
    """Write `out`, whole or not at all, replacing what is there; .gz in its name has it compressed.

    Of an id's rows the one with the earliest local timestamp stays, of equals that of the first recording. What no recording
    covers is named in a gap ledger beside `out`, and so is what damage may have taken. Raises CannotMerge, OSError, and as
    `read_trade_file`.
    """
    merged = Merged()
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        folder = Path(temporary)
        rows = _rows(recordings, skip_damaged, merged, advance)
        by_id = sorted_lines(rows, folder / "by-id", run_lines, fan_in)
        by_time = sorted_lines(_each_once(by_id, merged), folder / "by-time", run_lines, fan_in)
        with _synced(folder / "rows", out.suffix == ".gz") as file:
            file.write(HEADER)
            for line in by_time:
                timestamp, trade_id, local_timestamp, deal = line.split()
                fields = (merged.pair, timestamp, local_timestamp, trade_id.lstrip(b"0"), deal)
                file.write(b"%b,%b,%b,%b,%b\n" % fields)
                merged.written += 1
        with _synced(folder / "gaps") as file:
            _write_ledger(file, merged)
        _take_names(folder / "rows", out, folder / "gaps", merged.gaps > 0)
    return merged


def _rows(
    recordings: Iterable[Recording], skip_damaged: bool, merged: Merged, advance: Callable[[int], None]
) -> Iterator[bytes]:
    """A line for each row, that sorts by id, arrival and source. All ids have 18 digits in it."""
    for rank, recording in enumerate(recordings):
        source = _source(recording.ledger, skip_damaged, merged)
        for part in recording.to_read():
            if skip_damaged and failed_check(part):
                merged.unsound += 1
                source.damaged()
                continue
            for item in read_trade_file(part, advance):
                if isinstance(item, Fault):
                    _leave_out(item, skip_damaged, merged)
                    if item.kind is not Kind.HEADER:
                        source.damaged()
                    continue
                source.block(item.rows)
                merged.read += len(item.rows)
                for pair, timestamp, local_timestamp, trade_id, deal in item.rows:
                    if pair != merged.pair:
                        _meet(pair, part, merged)
                    number = trade_id.zfill(18)
                    source.extend(number, timestamp)
                    yield b"%b %b %04d %b %b\n" % (number, local_timestamp, rank, timestamp, deal)
        merged.sources.append(source)
    damaged = merged.damaged + merged.cut_off + merged.unsound
    if damaged and not merged.read:
        raise CannotMerge(f"there is no row, and {damaged:,} damaged lines: verify says what is wrong with them")


def _source(ledger: Path, skip_damaged: bool, merged: Merged) -> Source:
    findings = Findings()
    gaps = read_gap_ledger(ledger, findings)
    for fault in findings.shown[:1]:
        _leave_out(fault, skip_damaged, merged)
    return Source(gaps, is_ledger_damaged=bool(findings.counts))


def _leave_out(fault: Fault, allowed: bool, merged: Merged) -> None:
    if not allowed:
        raise CannotMerge(f"{fault} (--skip-damaged leaves such lines out)")
    if fault.kind is Kind.ARCHIVE:
        merged.cut_off += 1
    else:
        merged.damaged += 1


def _meet(pair: bytes, part: Path, merged: Merged) -> None:
    if merged.pair:
        found, expected = (name.decode().replace(",", " ") for name in (pair, merged.pair))
        raise CannotMerge(f"{part} has trades of {found}, and those before it are of {expected}")
    merged.pair = pair


def _each_once(by_id: Iterable[bytes], merged: Merged) -> Iterator[bytes]:
    """The first line of each id, as one that sorts by time and id."""
    kept_id = kept_timestamp = kept_deal = b""
    for line in by_id:
        trade_id, local_timestamp, _, timestamp, deal = line.split()
        if trade_id != kept_id:
            kept_id, kept_timestamp, kept_deal = trade_id, timestamp, deal
            yield b"%b %b %b %b\n" % (timestamp, trade_id, local_timestamp, deal)
            continue
        merged.repeated += 1
        merged.conflicts += deal != kept_deal and _values(deal) != _values(kept_deal)
        merged.other_times += timestamp != kept_timestamp


def _values(deal: bytes) -> tuple[str, Decimal, Decimal]:
    """Side, price and amount. Programs that have loaded a file write its numbers anew: `6443` becomes `6443.0`."""
    side, price, amount = deal.decode().split(",")
    return side, Decimal(price), Decimal(amount)


def _write_ledger(file: BinaryIO, merged: Merged) -> None:
    ledger = GapLedger()
    for gap in unfilled_gaps(merged.sources):
        ledger.record(gap)
    text = ledger.text()
    merged.gaps = text.count(b"\n") - 1  # what two recordings lack alike is one line
    file.write(text)


@contextmanager
def _synced(path: Path, packed: bool = False) -> Iterator[BinaryIO]:
    """A new file that is on disk when it is complete."""
    with path.open("xb") as raw:
        if packed:
            # Without a time in it, the same rows make the same file.
            compressed = gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0)
            with io.BufferedWriter(cast(io.RawIOBase, compressed), _PIECE) as file:
                yield file
        else:
            yield raw
        raw.flush()
        os.fsync(raw.fileno())


def _take_names(rows: Path, out: Path, gaps: Path, is_ledger_wanted: bool) -> None:
    """Both are on disk. The ledger is first: alone, it says too much rather than too little."""
    ledger = ledger_of(out)
    if is_ledger_wanted or ledger.exists():
        gaps.replace(ledger)
    rows.replace(out)
    folder = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
