"""In which intervals trades may be missing after a merge: what one recording missed, another may have.

A gap is closed if another recording goes from before it to behind it without a gap of its own there. What lies between two
recordings is in none of them, and becomes a gap; so does what lies between the rows around damage.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate

from bfxtwist.core.gaps import Gap, GapState, Mark
from bfxtwist.core.moment import iso, milliseconds
from bfxtwist.files.gap_ledger import LedgerLine
from bfxtwist.files.trade_file import Row

#: A row's id, in 18 digits so that they sort, and its timestamp (µs).
_Edge = tuple[bytes, bytes]


@dataclass(slots=True)
class Source:
    """One recording: its gap ledger, and the rows with its lowest and highest id."""

    ledger: list[LedgerLine]
    is_ledger_damaged: bool = False
    lowest: _Edge = (b"", b"")
    highest: _Edge = (b"", b"")
    above: _Edge = (b"", b"")  # the last row of the last block
    is_damaged: bool = False  # below that one

    def extend(self, trade_id: bytes, timestamp: bytes) -> None:
        """One more row."""
        if trade_id > self.highest[0]:
            self.highest = (trade_id, timestamp)
            self.lowest = self.lowest if self.lowest[0] else self.highest
        elif trade_id < self.lowest[0]:
            self.lowest = (trade_id, timestamp)

    def damaged(self) -> None:
        """Lines are left out, below the last block."""
        self.is_damaged = bool(self.above[0])

    def block(self, rows: Sequence[Row]) -> None:
        """Rows that stand one below the other. What damage may have taken lies between them and the block above."""
        if self.is_damaged:
            self.ledger.append(_lost(self.above, _edge(rows[0])))
            self.is_damaged = False
        self.above = _edge(rows[-1])

    def gaps(self) -> list[LedgerLine]:
        """The gaps that are not filled. Where lines of the ledger are left out, nobody can say where more are."""
        doubt = [_lost(self.lowest, self.highest)] if self.is_ledger_damaged and self.lowest[0] else []
        return [*(gap for gap in self.ledger if gap.state is not GapState.FILLED), *doubt]


class _Cover:
    """Where a recording misses nothing. Damage can make ten thousand gaps: each is not compared with each."""

    def __init__(self, source: Source) -> None:
        gaps = sorted(source.gaps(), key=lambda gap: gap.start_id)
        self._first, self._last = int(source.lowest[0] or 0), int(source.highest[0] or -1)
        self._starts = [gap.start_id for gap in gaps]
        self._reached = [*accumulate((gap.end_id for gap in gaps), max)]  # by each and those before it

    def closes(self, gap: LedgerLine) -> bool:
        """Whether the recording misses nothing where another one has a gap."""
        if gap.start_id < self._first or gap.end_id > self._last:
            return False
        before = bisect_left(self._starts, gap.end_id)
        return not before or self._reached[before - 1] <= gap.start_id


def unfilled_gaps(sources: Sequence[Source]) -> list[Gap]:
    """The gaps of the result, in the order of their ids."""
    covers = [_Cover(source) for source in sources]
    own = [
        _gap(gap)
        for source, its_own in zip(sources, covers, strict=True)
        for gap in source.gaps()
        if not any(cover.closes(gap) for cover in covers if cover is not its_own)
    ]
    return sorted([*own, *_between(sources)], key=lambda gap: gap.start.id)


def _edge(row: Row) -> _Edge:
    _, timestamp, _, trade_id, _ = row
    return trade_id.zfill(18), timestamp


def _lost(one: _Edge, other: _Edge) -> LedgerLine:
    start, end = map(_mark, sorted((one, other)))
    noticed = iso(end.mts)
    cause = "damaged lines were left out"
    return LedgerLine(iso(start.mts), noticed, start.id, end.id, cause, GapState.LOST, 0, noticed, noticed)


def _between(sources: Iterable[Source]) -> Iterable[Gap]:
    reached: _Edge = (b"", b"")
    for source in sorted((s for s in sources if s.lowest[0]), key=lambda source: source.lowest):
        if reached[0] and source.lowest[0] > reached[0]:
            start, end = _mark(reached), _mark(source.lowest)
            noticed = end.mts * 1000
            yield Gap(start, end, "no recording covers it", noticed, start, start.id, GapState.LOST, closed=noticed)
        reached = max(reached, source.highest)


def _mark(edge: _Edge) -> Mark:
    trade_id, timestamp = edge
    return Mark(int(trade_id), int(timestamp) // 1000)


def _gap(line: LedgerLine) -> Gap:
    start = Mark(line.start_id, milliseconds(line.start_time))
    end = Mark(line.end_id, milliseconds(line.end_time))
    closed = milliseconds(line.closed) * 1000 if line.closed else None
    return Gap(
        start, end, line.cause, milliseconds(line.noticed) * 1000, start, start.id, line.state, line.filled, closed
    )
