"""Reading the gap ledger beside a trade file: in which intervals trades may be missing. `core/gaps.py` writes its lines."""

import csv
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from bfxtwist.core.errors import excerpt
from bfxtwist.core.gaps import LEDGER_HEADER, GapState
from bfxtwist.files.findings import Findings, Kind


class LedgerLine(NamedTuple):
    """One line. Times are ISO 8601 texts; `filled` is how many trades were fetched for the gap."""

    start_time: str
    end_time: str
    start_id: int
    end_id: int
    cause: str
    state: GapState
    filled: int
    noticed: str
    closed: str

    def spans(self, trade_id: int) -> bool:
        """Whether a trade may be missing because of this gap."""
        return self.start_id <= trade_id <= self.end_id


def read_gap_ledger(path: Path, findings: Findings) -> list[LedgerLine]:
    """The gaps in the order in which they were noticed, each as its last line says. No ledger: no gaps.

    People look at it in spreadsheets, which save it with a byte order mark, quotes around each cell, semicolons between them
    and lines that end in CR LF: it says the same.
    """
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8-sig", errors="backslashreplace") as file:
        header = file.readline()
        delimiter = _delimiter(header)
        if delimiter is None:
            findings.add(Kind.LEDGER, f"{path}:1", f"the header is missing: {excerpt(header.encode())}")
            return []
        # The daemon writes one line a gap; in ledgers that were joined by hand, one may stand in several states.
        gaps = _lines(path, file, delimiter, findings)
        return list({(gap.start_id, gap.end_id, gap.noticed): gap for gap in gaps}.values())


def _delimiter(header: str) -> str | None:
    """What parts the cells, or None of a line that is not the whole header."""
    names = LEDGER_HEADER.decode().rstrip().split(",")
    for delimiter in ",;\t" if header.endswith("\n") else "":
        with suppress(csv.Error):
            if next(csv.reader([header], delimiter=delimiter)) == names:
                return delimiter
    return None


def _lines(path: Path, file: Iterator[str], delimiter: str, findings: Findings) -> Iterator[LedgerLine]:
    for number, text in enumerate(file, 2):
        try:
            yield _line(text, delimiter)
        except (ValueError, csv.Error) as error:
            findings.add(Kind.LEDGER, f"{path}:{number}", f"not a line of a gap ledger: {error}")


def _line(text: str, delimiter: str) -> LedgerLine:
    if not text.endswith("\n"):
        raise ValueError("it is torn")
    [cells] = csv.reader([text], strict=True, delimiter=delimiter)
    if len(cells) != len(LedgerLine._fields):
        raise ValueError(f"{len(cells)} fields instead of {len(LedgerLine._fields)}")
    start_time, end_time, start_id, end_id, cause, state, filled, noticed, closed = cells
    for moment in (start_time, end_time, noticed, *([closed] if closed else [])):
        datetime.fromisoformat(moment)
    return LedgerLine(
        start_time, end_time, int(start_id), int(end_id), cause, GapState(state), int(filled), noticed, closed
    )
