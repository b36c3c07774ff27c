"""Comparing a recording with the exchange's history: what is missing, what differs, what the exchange knows nothing of.

Both come in the order of time and are told apart by id. The same trade can have another time in the exchange's database, so
each side waits for the other a minute long; no more than that is held in memory.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import NamedTuple, TypeVar

from bfxtwist.core.history import OVERLAP, SKEW, HistoryUnavailable
from bfxtwist.core.messages import Trade
from bfxtwist.core.moment import iso
from bfxtwist.files.external_sort import sorted_lines
from bfxtwist.files.findings import Fault, Kind
from bfxtwist.files.rest import SymbolHistory
from bfxtwist.files.trade_file import read_trade_file
from bfxtwist.files.verify import Report

#: What happened this shortly before now may not have been published, or back-filled by a running daemon, yet. ms.
_SETTLED = 120_000

_OneSide = TypeVar("_OneSide", Trade, "Recorded")


class Recorded(NamedTuple):
    """A row as far as history tells it too; `deal` is `side,price,amount`."""

    mts: int
    id: int
    deal: bytes

    @property
    def line(self) -> bytes:
        """A line that sorts by time and id."""
        return b"%013d %018d %b\n" % self

    @classmethod
    def of_line(cls, line: bytes) -> "Recorded":
        """The row that made such a line."""
        mts, trade_id, deal = line.split()
        return cls(int(mts), int(trade_id), deal)


def compare(report: Report, history: SymbolHistory, folder: Path, now: int, advance: Callable[[float], None]) -> None:
    """Compare a verified recording with history, and add what is found to its report.

    `folder` is an empty one for temporary files, `now` ms since the epoch; `advance` is told which part of the span is done.
    """
    if not report.rows:
        return
    start, end = report.first // 1000, min(report.last // 1000, now - _SETTLED)
    repeatedly = groupby(sorted_lines(_lines(report), folder), Recorded.of_line)
    rows = (row for row, _ in repeatedly)
    comparison = _Comparison(report, start, end)
    try:
        for trade in history.trades(start - OVERLAP, end + OVERLAP):
            comparison.take(trade, rows)
            advance(min(max(trade.mts - start, 0) / max(end - start, 1), 1.0))
    except HistoryUnavailable as error:
        report.findings.add(Kind.HISTORY, str(report.recording.parts[-1]), f"not compared to the end: {error}")
    else:
        comparison.conclude(rows)


def _lines(report: Report) -> Iterator[bytes]:
    pair = f"{report.exchange},{report.symbol}".encode()
    for part in report.recording.to_read():
        for item in read_trade_file(part):
            if not isinstance(item, Fault):
                for its_pair, timestamp, _, trade_id, deal in item.rows:
                    if its_pair == pair:
                        yield Recorded(int(timestamp) // 1000, int(trade_id), deal).line


class _Comparison:
    """What either side has told and the other has not yet, in the order of time."""

    def __init__(self, report: Report, start: int, end: int) -> None:
        self._report, self._start, self._end = report, start, end
        self._unfilled = report.unfilled()
        self._recorded: dict[int, Recorded] = {}
        self._published: dict[int, Trade] = {}
        self._next: Recorded | None = None
        report.compared = 0

    def take(self, trade: Trade, rows: Iterator[Recorded]) -> None:
        """The next trade of the history; `rows` is drawn on as far as that trade's row can be."""
        self._draw(rows, trade.mts + OVERLAP, told_before=trade.mts - OVERLAP)
        row = self._recorded.pop(trade.id, None)
        if row is None:
            self._published[trade.id] = trade
        else:
            self._match(row, trade)
        self._give_up(trade.mts - OVERLAP)

    def conclude(self, rows: Iterator[Recorded]) -> None:
        """History has ended: nothing waits any longer."""
        after_all = self._end + 2 * OVERLAP
        self._draw(rows, self._end + OVERLAP, told_before=after_all)
        self._give_up(after_all)

    def _draw(self, rows: Iterator[Recorded], until: int, told_before: int) -> None:
        """Take the rows up to `until` in. Of what happened before `told_before`, history will tell no more."""
        while (row := self._next or next(rows, None)) is not None:
            if row.mts > until:
                self._next = row
                return
            self._next = None
            trade = self._published.pop(row.id, None)
            if trade is not None:
                self._match(row, trade)
            elif row.mts < told_before:
                self._unknown(row)
            else:
                self._recorded[row.id] = row

    def _match(self, row: Recorded, trade: Trade) -> None:
        assert self._report.compared is not None
        self._report.compared += 1
        if (differences := list(_differences(row, trade))) and not self._is_excused(trade.id):
            self._report.findings.add(Kind.DIFFERENT, f"id {row.id}", "; ".join(differences))

    def _give_up(self, before: int) -> None:
        """What is older than `before` has no counterpart."""
        for trade in _older(self._published, before):
            known = self._report.lowest_id <= trade.id <= self._report.highest_id
            if known and self._start <= trade.mts <= self._end:
                self._lacking(Kind.MISSING, trade, "is in the exchange's history and not in the recording")
        for row in _older(self._recorded, before):
            self._unknown(row)

    def _unknown(self, row: Recorded) -> None:
        if row.mts <= self._end:
            self._lacking(Kind.UNKNOWN, row, "is in the recording and not in the exchange's history")

    def _lacking(self, kind: Kind, trade: Trade | Recorded, text: str) -> None:
        if self._is_excused(trade.id):
            self._report.excused += 1
        else:
            self._report.findings.add(kind, f"id {trade.id}", f"the trade of {iso(trade.mts)} {text}")

    def _is_excused(self, trade_id: int) -> bool:
        return any(gap.spans(trade_id) for gap in self._unfilled)


def _older(waiting: dict[int, _OneSide], before: int) -> Iterator[_OneSide]:
    """Take those out that are older; they stand in the order of time."""
    while waiting:
        first = next(iter(waiting.values()))
        if first.mts >= before:
            return
        yield waiting.pop(first.id)


def _differences(row: Recorded, trade: Trade) -> Iterator[str]:
    side, price, amount = row.deal.decode().split(",")
    published = trade.amount.decode()
    for name, recorded, told in (
        ("side", side, "sell" if published.startswith("-") else "buy"),
        ("price", Decimal(price), Decimal(trade.price.decode())),
        ("amount", Decimal(amount), abs(Decimal(published))),
    ):
        if recorded != told:
            yield f"{name} {recorded} in the recording, {told} in the exchange's history"
    if abs(row.mts - trade.mts) > SKEW:
        yield f"time {iso(row.mts)} in the recording, {iso(trade.mts)} in the exchange's history"
