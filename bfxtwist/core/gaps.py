"""Intervals in which trades may have been missed, and the ledger that names them to people and programs.

    start_time,end_time,start_id,end_id,cause,state,filled,noticed,closed
    2018-11-12T18:05:47.738Z,2018-11-12T18:07:12.000Z,310628121,310629002,"REST did not answer",filled,12,…,…

A gap is open (it is still being fetched), filled (compared with REST to its end) or lost (the exchange has it no more). Its
edges are trades on file; what may be missing lies between them.
"""

import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from enum import StrEnum
from typing import NamedTuple

import msgspec

from bfxtwist.core.moment import iso, milliseconds
from bfxtwist.core.trade_rows import BYTE_ORDER_MARK

LEDGER_HEADER = b"start_time,end_time,start_id,end_id,cause,state,filled,noticed,closed\n"


class Mark(NamedTuple):
    """One trade as a point in history."""

    id: int
    mts: int


class GapState(StrEnum):
    """What has become of a gap."""

    OPEN = "open"
    FILLED = "filled"
    LOST = "lost"


class Gap(msgspec.Struct):
    """One gap. `left` moves towards `end` as the gap is filled; all else but `state`, `filled` and `closed` stays."""

    start: Mark
    end: Mark
    cause: str
    noticed: int  # µs since the epoch
    left: Mark
    floor: int  # no trade that is fetched for this gap has a smaller id
    state: GapState = GapState.OPEN
    filled: int = 0
    closed: int | None = None  # µs since the epoch

    def close(self, state: GapState, wall: int) -> None:
        """Nothing more will be fetched."""
        self.state, self.closed = state, wall

    def line(self) -> bytes:
        """The ledger's line of this gap."""
        cells = (
            iso(self.start.mts),
            iso(self.end.mts),
            str(self.start.id),
            str(self.end.id),
            f'"{self.cause.replace(chr(34), chr(39))}"',
            self.state.value,
            str(self.filled),
            iso(self.noticed // 1000),
            "" if self.closed is None else iso(self.closed // 1000),
        )
        return (" ".join(",".join(cells).splitlines()) + "\n").encode()


class GapLedger:
    """The text of the ledger: one line a gap, the last one said about it, in the order in which they were noticed."""

    def __init__(self, text: bytes = b"") -> None:
        """`text` is what an earlier run wrote. Raises ValueError, which names the fix, if it is something else."""
        self._lines: dict[bytes, bytes] = {}
        self._states: dict[bytes, GapState] = {}
        if not text:
            return
        header, *lines = text.splitlines(keepends=True)
        if header != LEDGER_HEADER:
            if _like_a_spreadsheet(header) == _like_a_spreadsheet(LEDGER_HEADER):
                raise ValueError(f"line 1 is as a spreadsheet saves it: {_UNDO}")
            raise ValueError("its first line is not the header of a gap ledger: move it away or name another folder")
        for number, line in enumerate(lines, 2):
            try:
                self._put(line)
            except ValueError as error:
                why = f"line {number} is not of a gap ledger, or as a spreadsheet saves it: {line[:80]!r}: {_UNDO}"
                raise ValueError(why) from error

    def record(self, gap: Gap) -> None:
        """Write down what is now known of a gap. A count never falls: the state may not know of it, after a kill."""
        line = gap.line()
        before = self._lines.get(_key(_row(line)))
        counted = 0 if before is None else int(_row(before)["filled"])
        self._put(line if gap.filled >= counted else msgspec.structs.replace(gap, filled=counted).line())

    def text(self) -> bytes:
        """The whole ledger."""
        return b"".join([LEDGER_HEADER, *self._lines.values()])

    def counts(self) -> dict[GapState, int]:
        """How many gaps are in each state."""
        counted = Counter(self._states.values())
        return {state: counted[state] for state in GapState}

    def names(self, gap: Gap) -> bool:
        """Whether there is a line of this gap."""
        return _key(_row(gap.line())) in self._lines

    def open_gaps(self, but: Iterable[Gap] = ()) -> list[Gap]:
        """Those that are open by its word, `but` for these, to be fetched anew. Lines whose times are none are left out."""
        others = {_key(_row(gap.line())) for gap in but}
        gaps = []
        for key, state in self._states.items():
            if state is GapState.OPEN and key not in others:
                with suppress(ValueError):
                    gaps.append(_gap(_row(self._lines[key])))
        return gaps

    def _put(self, line: bytes) -> None:
        row = _row(line)
        key = _key(row)
        self._lines[key], self._states[key] = line, GapState(row["state"].decode())


_LINE = re.compile(
    rb'(?P<began>[^,]+),(?P<ended>[^,]+),(?P<start>[0-9]+),(?P<end>[0-9]+),"(?P<cause>[^"]*)",(?P<state>open|filled|lost),'
    rb"(?P<filled>[0-9]+),(?P<noticed>[^,]+),[^,]*\n"
)


def _row(line: bytes) -> re.Match[bytes]:
    row = _LINE.fullmatch(line)
    if row is None:
        raise ValueError(f"not a line of a gap ledger: {line[:80]!r}")
    return row


def _key(row: re.Match[bytes]) -> bytes:
    """Start id, end id, cause and when it was noticed tell a gap from all others."""
    return b",".join(row.group("start", "end", "cause", "noticed"))


def _gap(row: re.Match[bytes]) -> Gap:
    """An open one, to be fetched from its beginning. Raises ValueError for times that are none."""
    began, ended, noticed = (milliseconds(row[name].decode()) for name in ("began", "ended", "noticed"))
    start, end = Mark(int(row["start"]), began), Mark(int(row["end"]), ended)
    return Gap(start, end, row["cause"].decode(), noticed * 1000, start, start.id, filled=int(row["filled"]))


_UNDO = "bring it back as it was, or move it away: which gaps are open is in the state, too"


def _like_a_spreadsheet(line: bytes) -> list[bytes]:
    """The cells without what spreadsheets put around and between them."""
    return re.split(rb"[,;\t]", line.removeprefix(BYTE_ORDER_MARK).replace(b'"', b"").rstrip(b"\r\n"))
