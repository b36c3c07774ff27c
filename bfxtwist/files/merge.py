"""Several recordings of one pair made one: each id once, in the order of (timestamp, id), in bounded memory.

The rows are sorted by id first, which brings the repetitions together, and then by time. Both sorts are external: all that
memory holds is a run of one of them.
"""

import gzip
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast

from bfxtwist.core.gaps import Ledger
from bfxtwist.core.trade_rows import HEADER
from bfxtwist.files.external_sort import FAN_IN, RUN_LINES, sorted_lines
from bfxtwist.files.findings import Fault, Findings
from bfxtwist.files.gap_ledger import read_gap_ledger
from bfxtwist.files.merge_gaps import Source, unfilled_gaps
from bfxtwist.files.recording import Recording, ledger_of
from bfxtwist.files.trade_file import read_trade_file


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
    covers is named in a gap ledger beside `out`. Raises CannotMerge, OSError, and as `read_trade_file`.
    """
    merged = Merged()
    with TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        folder = Path(temporary)
        rows = _rows(recordings, skip_damaged, merged, advance)
        by_id = sorted_lines(rows, folder / "by-id", run_lines, fan_in)
        by_time = sorted_lines(_each_once(by_id, merged), folder / "by-time", run_lines, fan_in)
        with _whole(folder / "rows", out) as file:
            file.write(HEADER)
            for line in by_time:
                timestamp, trade_id, local_timestamp, deal = line.split()
                fields = (merged.pair, timestamp, local_timestamp, trade_id.lstrip(b"0"), deal)
                file.write(b"%b,%b,%b,%b,%b\n" % fields)
                merged.written += 1
            # The ledger takes its name first: in between, it says too much rather than too little.
            _write_ledger(folder / "gaps", ledger_of(out), merged)
    return merged


def _rows(
    recordings: Iterable[Recording], skip_damaged: bool, merged: Merged, advance: Callable[[int], None]
) -> Iterator[bytes]:
    """A line for each row, that sorts by id, arrival and source. All ids have 18 digits in it."""
    for rank, recording in enumerate(recordings):
        source = Source(read_gap_ledger(recording.ledger, Findings()))
        for part in recording.parts:
            for item in read_trade_file(part, advance):
                if isinstance(item, Fault):
                    if not skip_damaged:
                        raise CannotMerge(f"{item} (--skip-damaged leaves such lines out)")
                    merged.damaged += 1
                    continue
                merged.read += len(item.rows)
                for pair, timestamp, local_timestamp, trade_id, deal in item.rows:
                    if pair != merged.pair:
                        _meet(pair, part, merged)
                    number = trade_id.zfill(18)
                    source.extend(number, timestamp)
                    yield b"%b %b %04d %b %b\n" % (number, local_timestamp, rank, timestamp, deal)
        merged.sources.append(source)
    if merged.damaged and not merged.read:
        raise CannotMerge(f"there is no row, and {merged.damaged:,} damaged lines: verify says what is wrong with them")


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
        merged.conflicts += deal != kept_deal
        merged.other_times += timestamp != kept_timestamp


def _write_ledger(temporary: Path, ledger: Path, merged: Merged) -> None:
    gaps = unfilled_gaps(merged.sources)
    merged.gaps = len(gaps)
    text = Ledger()
    for gap in gaps:
        text.record(gap)
    if gaps or ledger.exists():
        with _whole(temporary, ledger) as file:
            file.write(text.text())


@contextmanager
def _whole(temporary: Path, out: Path) -> Iterator[BinaryIO]:
    """A file that takes its name when it is complete and on disk."""
    with temporary.open("xb") as raw:
        if out.suffix == ".gz":
            with gzip.GzipFile(out.stem, "wb", fileobj=raw) as file:
                yield cast(BinaryIO, file)
        else:
            yield raw
        raw.flush()
        os.fsync(raw.fileno())
    temporary.replace(out)
    folder = os.open(out.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
