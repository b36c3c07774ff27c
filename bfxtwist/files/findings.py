"""What can be wrong with a recording, and a collector of it that stays small however much is wrong."""

from collections import Counter
from enum import StrEnum
from typing import NamedTuple

_SHOWN_OF_A_KIND = 5


class Kind(StrEnum):
    """Kinds of fault; any one of them makes a recording unclean."""

    HEADER = "header"
    ROW = "row"
    NUL = "nul"
    TORN = "torn"
    ARCHIVE = "archive"
    FOREIGN = "foreign"
    DUPLICATE = "duplicate"
    TIME = "time"
    LEDGER = "ledger"
    GAP = "gap"
    MISSING = "missing"
    DIFFERENT = "different"
    UNKNOWN = "unknown"
    HISTORY = "history"


class Fault(NamedTuple):
    """One fault: `where` is `path:line`, `path` or `id N`."""

    kind: Kind
    where: str
    text: str

    def __str__(self) -> str:
        return f"{self.where}: {self.text}"


class Findings:
    """All faults counted by kind, and the first few of each kind kept to be shown."""

    def __init__(self) -> None:
        self.counts: Counter[Kind] = Counter()
        self.shown: list[Fault] = []

    def add(self, kind: Kind, where: str, text: str) -> None:
        """One more fault."""
        self.counts[kind] += 1
        if self.counts[kind] <= _SHOWN_OF_A_KIND:
            self.shown.append(Fault(kind, where, text))

    def unshown(self) -> list[tuple[Kind, int]]:
        """How many more there are of each kind than are shown."""
        return [(kind, count - _SHOWN_OF_A_KIND) for kind, count in self.counts.items() if count > _SHOWN_OF_A_KIND]
