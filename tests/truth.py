"""The judge of every test that breaks something: does a trade file hold what the exchange says that happened?

The exchange's ledger is the truth. From its first id on, a file has every trade of the ledger, each once and to the digit.
What is missing must lie in a gap that `trade.gaps.csv` names as open or lost; one that it calls filled excuses nothing.
"""

import csv
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from bfxtwist.core.messages import Trade

#: What the history may differ from the wire in a trade's time, in ms (seen in a 2018 capture).
MOST_DRIFT = 9


class Recorded(NamedTuple):
    """What two files must agree on of one trade, beside its time."""

    side: str
    price: str
    amount: str


class Verdict(NamedTuple):
    """How a file differs from the ledger; ids, in their order."""

    held: int
    twice: list[int]
    missing: list[int]
    false: list[int]  # not in the ledger, or not as there
    excused: int  # missing, and in a gap that is named
    torn: bool  # the last row has no end
    first: int  # the smallest id, from which on the ledger is asked for: it must stay what it was

    @property
    def equal(self) -> bool:
        """Whether the file is the ledger, minus named gaps."""
        return bool(self.held) and not (self.twice or self.missing or self.false or self.torn)

    def __str__(self) -> str:
        if self.equal:
            return f"equal: {self.held} trades, {self.excused} more in named gaps"
        lists = {"twice": self.twice, "missing": self.missing, "false": self.false}
        said = [f"{len(ids)} {name} ({', '.join(map(str, ids[:5]))}…)" for name, ids in lists.items() if ids]
        return f"NOT equal: {self.held} trades, {'; '.join([*said, *(['torn'] if self.torn else [])]) or 'an empty file'}"


def judge(told: Sequence[Trade], path: Path, *, before: int | None = None) -> Verdict:
    """Compare `trade.csv` at `path` with the ledger. `before` (ms) leaves out what happened then or later."""
    text = path.read_text() if path.exists() else ""
    whole, _, rest = text.rpartition("\n")
    held: dict[int, tuple[int, Recorded]] = {}
    twice = []
    for row in csv.DictReader(whole.splitlines()):
        trade_id = int(row["id"])
        if trade_id in held:
            twice.append(trade_id)
        held[trade_id] = int(row["timestamp"]) // 1000, Recorded(row["side"], row["price"], row["amount"])
    first = min(held, default=0)
    truth = {trade.id: trade for trade in told if held and trade.id >= first}
    lacking = [one.id for one in truth.values() if one.id not in held and (before is None or one.mts < before)]
    missing = _outside(lacking, named_gaps(path.with_name("trade.gaps.csv")))
    false = [trade_id for trade_id, row in held.items() if not _agrees(truth.get(trade_id), *row)]
    return Verdict(len(held), twice, missing, false, len(lacking) - len(missing), bool(rest), first)


def _agrees(trade: Trade | None, mts: int, recorded: Recorded) -> bool:
    if trade is None or abs(trade.mts - mts) > MOST_DRIFT:
        return False
    amount = trade.amount.decode()
    side = "sell" if amount.startswith("-") else "buy"
    return recorded == Recorded(side, trade.price.decode(), amount.removeprefix("-"))


def named_gaps(path: Path) -> list[tuple[int, int]]:
    """The first and last id of each gap that a ledger of gaps names as open or lost, in the order of their ends."""
    if not path.exists():
        return []
    rows = csv.DictReader(path.read_text().splitlines())
    named = [(int(row["start_id"]), int(row["end_id"])) for row in rows if row["state"] in ("open", "lost")]
    return sorted(named, key=lambda gap: gap[1])


def _outside(ids: Iterable[int], gaps: Sequence[tuple[int, int]]) -> list[int]:
    """Those ids that are in none of the gaps."""
    ends = [end for _, end in gaps]
    return [one for one in ids if not any(start < one for start, end in gaps[bisect_left(ends, one + 1) :])]
