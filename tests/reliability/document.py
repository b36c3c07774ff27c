"""docs/reliability.md, from the rows and from the tests that they name."""

from collections.abc import Iterator, Sequence

from tests.reliability import disk, http, network, process
from tests.reliability.table import Row, Test, find
from tests.soak.plan import KINDS

PARTS = {
    "The network and the exchange": network.ROWS,
    "The process and its time": process.ROWS,
    "The disk": disk.ROWS,
    "Readers over HTTP": http.ROWS,
}

_HEAD = """# What can go wrong

<!-- Made by `python -m tests.reliability > docs/reliability.md` from the tests. Do not edit. -->

## Five promises

1. **A row once written stays.** It survives kill -9 and any other end of the process. At most the last row is torn, until
   the next start, which repairs the file before it appends to it.
2. **A row that is a second old survives power loss** (`--sync 1s`, the default), if the disk does what it is told.
3. **What the exchange tells is in the file once.** On the socket or in its history, for as long as the history has it.
4. **Up to `verified_through` everything was compared with history.** What is missing there is named in `trade.gaps.csv`.
   Audits come each minute and leave the last minute and a half to the next: the mark is 90 to 150 s behind.
5. **Not promised:** what neither source tells, history that the exchange has no more, more than 10,000 trades in one
   millisecond, a disk that lies, a file that somebody edits. The second and the third are in the ledger of gaps, as lost.

For the book there is one promise: it is served as live only while its snapshot, every sequence number since, its heartbeat
and every checksum say that it is right. From the turn on in which one of them does not, `GET /book` answers 503.

## The order of things

Rows are written first, at a place that is known, and the place moves on only when the whole write is there. Then they are
synced. Then the ledger of gaps is saved, then the state, each under a new name that replaces the old one: nothing that a
later file says can be ahead of what an earlier one holds. With a gap it is the other way round: it is in the state before
any row that comes after it is written, so that a hole can be lost sight of at no moment. A process that is killed anywhere
in between finds less written down than is true, and asks the exchange again; never more.

A sync that failed is not tried again as it is, since the kernel may have dropped the pages: the rows are written once more.

"""

_TABLE = "| | fault | what happens | shown by | seed | bugs found by it |\n|---|---|---|---|---|---|\n"


def document() -> str:
    """The whole page."""
    return _HEAD + "\n".join(_part(title, rows) for title, rows in PARTS.items()) + _tail()


def _part(title: str, rows: Sequence[Row]) -> str:
    return f"## {title}\n\n{_TABLE}" + "".join(_line(row) for row in rows)


def _line(row: Row) -> str:
    groups = [find(pattern) for pattern in row.shown_by]
    shown = "<br>".join(_shown(pattern, group) for pattern, group in zip(row.shown_by, groups, strict=True))
    if row.not_shown:
        shown += ("<br>" if shown else "") + f"*not covered: {row.not_shown}*"
    seeds = ", ".join(dict.fromkeys(test.seed for group in groups for test in group if test.seed))
    return f"| {row.key} | {row.fault} | {row.answer} | {shown} | {seeds} | {row.found} |\n"


def _shown(pattern: str, tests: Sequence[Test]) -> str:
    """A link to the module: its name, and what the row names of it. Without numbers, which one more test would change."""
    module, _, name = tests[0].module.rpartition("test_")[2], *pattern.rpartition(".")[1:]
    words = " ".join(name.removeprefix("test_").replace("*", "…").split("_")).split()
    if words == ["…"]:
        words = [pattern.split(".")[-2].replace("*", "") or "all of it"]
    return f"[{module.replace('_', ' ')}: {' '.join(words)}](../{tests[0].path})"


def _tail() -> str:
    return "\n" + "\n".join(_soak()) + "\n"


def _soak() -> Iterator[str]:
    yield "## All of it at once"
    yield ""
    yield "`make soak MINUTES=30 SEED=1` runs two real daemons against an exchange in a process of its own, with something"
    yield "of this page going wrong every 20 to 60 s, and compares their files with the exchange's ledger all the while. Its"
    yield "faults, each found by its name in `twistd bfx-exchange --help` if it is one of the exchange's:"
    yield ""
    yield ", ".join(f"`{kind.name}`" for kind in KINDS) + "."
