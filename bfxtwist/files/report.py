"""Reports for people, as a table with the faults below it, and for programs, as JSON."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from bfxtwist.core.gaps import GapState
from bfxtwist.core.moment import iso
from bfxtwist.core.symbols import parse_pair
from bfxtwist.files.verify import Report

_COLUMNS = ("recording", "pair", "trades", "from (UTC)", "to (UTC)", "late", "gaps", "faults")
_NUMBERS = {2, 5}


def as_text(reports: Sequence[Report]) -> str:
    """A table with a line for each recording, then what is wrong, then the verdict."""
    lines = _table([_COLUMNS, *map(_cells, reports)])
    for report in reports:
        lines += [f"{fault.kind}: {fault}" for fault in report.findings.shown]
        lines += [f"{kind}: {count:,} more" for kind, count in report.findings.unshown()]
        lines += [f"unchecked: {part}: it has no checksum: a digit that has changed on disk is not seen, but with --rest"
                  for part in report.without_checksum]  # fmt: skip
    unclean = sum(not report.clean for report in reports)
    lines.append(f"{unclean} of {len(reports)} not clean" if unclean else "clean")
    return "\n".join(lines) + "\n"


def as_json(reports: Sequence[Report]) -> str:
    """One object: `clean`, and `recordings` with what each holds, its faults counted by kind, and the first of each kind."""
    whole = {"clean": all(report.clean for report in reports), "recordings": [_object(report) for report in reports]}
    return json.dumps(whole, indent=2) + "\n"


def _cells(report: Report) -> tuple[str, ...]:
    faults = report.findings.counts.total()
    return (
        report.recording.name,
        _pair(report),
        f"{report.rows:,}",
        _time(report.first),
        _time(report.last),
        f"{report.late:,}",
        _gaps(report),
        f"{faults:,}" if faults else "none" if report.compared is None else f"none, {report.compared:,} compared",
    )


def _pair(report: Report) -> str:
    try:
        return parse_pair(f"t{report.symbol}").name
    except ValueError:
        return report.symbol or "-"


def _time(microseconds: int) -> str:
    return iso(microseconds // 1000).replace("T", " ").removesuffix("Z") if microseconds else "-"


def _gaps(report: Report) -> str:
    states = Counter(gap.state for gap in report.gaps)
    return ", ".join(f"{states[state]} {state}" for state in GapState if states[state]) or "none"


def _table(rows: Iterable[Sequence[str]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(cell, width, n) for n, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
            for row in rows]  # fmt: skip


def _padded(cell: str, width: int, column: int) -> str:
    return cell.rjust(width) if column in _NUMBERS else cell.ljust(width)


def _object(report: Report) -> dict[str, Any]:
    return {
        "clean": report.clean,
        "parts": [str(part) for part in report.recording.parts],
        "exchange": report.exchange,
        "symbol": report.symbol,
        "trades": report.rows,
        "first_timestamp": report.first or None,
        "last_timestamp": report.last or None,
        "late": report.late,
        "gaps": [gap._asdict() for gap in report.gaps],
        "compared": report.compared,
        "without_checksum": [str(part) for part in report.without_checksum],
        "missing_in_known_gaps": report.excused,
        "faults": {kind.value: count for kind, count in report.findings.counts.items()},
        "first_faults": [fault._asdict() for fault in report.findings.shown],
    }
