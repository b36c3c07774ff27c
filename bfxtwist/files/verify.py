"""Checking a recording: every row by itself, the rows of all parts among each other, and the gaps that the ledger names."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bfxtwist.core.gaps import GapState
from bfxtwist.core.moment import iso
from bfxtwist.core.trade_rows import Layout
from bfxtwist.files.findings import Fault, Findings, Kind
from bfxtwist.files.gap_ledger import LedgerLine, read_gap_ledger
from bfxtwist.files.id_set import IdSet
from bfxtwist.files.recording import Recording
from bfxtwist.files.trade_file import Block, lacks_checksum, read_trade_file

#: The exchange opened in 2012; no trade is older. µs since the epoch.
_EARLIEST = 1_325_376_000_000_000

#: A clock that was set by NTP is not off by more. µs.
_CLOCK_TOLERANCE = 5_000_000


@dataclass(slots=True)
class Report:
    """What a recording holds and what is wrong with it. Times are µs since the epoch, as in the file."""

    recording: Recording
    exchange: str = ""
    symbol: str = ""
    rows: int = 0
    late: int = 0  # rows below a newer trade: back-filled, or told out of order; no fault
    first: int = 0
    last: int = 0
    lowest_id: int = 0
    highest_id: int = 0
    gaps: list[LedgerLine] = field(default_factory=list)
    compared: int | None = None  # trades of the exchange's history that the rows were compared with
    excused: int = 0  # trades that are missing where the ledger says so
    without_checksum: list[Path] = field(default_factory=list)  # parts compressed, and without one
    findings: Findings = field(default_factory=Findings)

    @property
    def clean(self) -> bool:
        """Whether there is no fault."""
        return not self.findings.counts

    def unfilled(self) -> list[LedgerLine]:
        """The gaps in which trades may be missing."""
        return [gap for gap in self.gaps if gap.state is not GapState.FILLED]


def verify(recording: Recording, advance: Callable[[int], None] = lambda _: None, allow_gaps: bool = False) -> Report:
    """Read all parts. With `allow_gaps`, open and lost gaps are reported and are no fault. Raises as `read_trade_file`."""
    check = _Check(recording)
    for part in recording.to_read():
        if lacks_checksum(part):
            check.report.without_checksum.append(part)
        for item in read_trade_file(part, advance):
            if isinstance(item, Fault):
                check.report.findings.add(*item)
            else:
                check.take(part, item)
    check.conclude(allow_gaps)
    return check.report


class _Check:
    """The rows of one recording, told in the order of the files."""

    def __init__(self, recording: Recording) -> None:
        self.report = Report(recording)
        self._pair: bytes | None = None
        self._ids = IdSet()

    def take(self, part: Path, block: Block) -> None:
        """Rows that stand one below the other."""
        report, ids = self.report, self._ids
        for line, (pair, timestamp, local_timestamp, trade_id, _) in enumerate(block.rows, block.first_line):
            if pair != self._pair and not self._same_pair(part, line, pair):
                continue
            time, local, number = int(timestamp), int(local_timestamp), int(trade_id)
            if not ids.add(number):
                report.findings.add(Kind.DUPLICATE, f"{part}:{line}", f"id {number} stands in the recording already")
            if time > local + _CLOCK_TOLERANCE or time < _EARLIEST:
                report.findings.add(Kind.TIME, f"{part}:{line}", _implausible(time, local))
            if time < report.last:
                report.late += 1
            else:
                report.last = time
            report.rows += 1
            report.first = min(time, report.first or time)
            report.lowest_id = min(number, report.lowest_id or number)
            report.highest_id = max(number, report.highest_id)

    def _same_pair(self, part: Path, line: int, pair: bytes) -> bool:
        """Take the first row's pair for the recording's; any other is a stranger."""
        where, exchange, symbol = f"{part}:{line}", *pair.decode().split(",")
        if self._pair is not None:
            text = f"a row of {exchange} {symbol} in a recording of {self.report.exchange} {self.report.symbol}"
            self.report.findings.add(Kind.FOREIGN, where, text)
            return False
        self._pair, self.report.exchange, self.report.symbol = pair, exchange, symbol
        try:
            expected = Layout(f"t{symbol}").exchange
        except ValueError as error:
            self.report.findings.add(Kind.FOREIGN, where, str(error))
        else:
            if exchange != expected:
                self.report.findings.add(Kind.FOREIGN, where, f"{symbol} is traded at {expected}, not at {exchange}")
        return True

    def conclude(self, allow_gaps: bool) -> None:
        """Compare with the ledger, when all rows are known."""
        report, ledger = self.report, str(self.report.recording.ledger)
        report.gaps = read_gap_ledger(report.recording.ledger, report.findings)
        for gap in report.gaps:
            if gap.state is GapState.FILLED:
                self._check_filled(gap, ledger)
            elif not allow_gaps:
                text = f"{gap.state}: trades between {gap.start_time} and {gap.end_time} may be missing ({gap.cause})"
                report.findings.add(Kind.GAP, ledger, text)

    def _check_filled(self, gap: LedgerLine, ledger: str) -> None:
        """A filled gap lies between trades on file, with at least as many rows as were fetched for it."""
        report, ids = self.report, self._ids
        if gap.start_id < report.lowest_id or gap.end_id > report.highest_id:
            return  # in a part that was not given
        where = f"the gap filled from {gap.start_time} to {gap.end_time}"
        for edge in (gap.start_id, gap.end_id):
            if edge not in ids:
                report.findings.add(Kind.LEDGER, ledger, f"{where}: id {edge} at its edge is not in the recording")
        there = ids.count(gap.start_id + 1, gap.end_id - 1)
        if there < gap.filled:
            report.findings.add(Kind.LEDGER, ledger, f"{where}: {gap.filled} trades were filled in, and {there} are there")


def _implausible(time: int, local: int) -> str:
    if time < _EARLIEST:
        return f"the trade happened at {iso(time // 1000)}, before there was an exchange"
    return f"the trade happened at {iso(time // 1000)} and arrived before that, at {iso(local // 1000)}"
