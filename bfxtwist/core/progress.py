"""How far a recording has been compared with the exchange's history: what its state says of that."""

from collections.abc import Sequence

import msgspec

from bfxtwist.core.gaps import Gap, Mark
from bfxtwist.core.history import OVERLAP


class Progress(msgspec.Struct):
    """What has been compared with history. It may become durable only after the rows that it speaks of."""

    start: int | None = None  # id of the first trade that is wanted: the first one recorded, or the first still known
    frontier: Mark | None = None
    floor: int = 0  # no trade that is still to be fetched from the frontier on has a smaller id
    gaps: list[Gap] = msgspec.field(default_factory=list)  # the open ones

    @property
    def lowest(self) -> int:
        """No trade that is still to be fetched has a smaller id."""
        return min([self.floor, *(gap.floor for gap in self.gaps)])

    @property
    def wanted(self) -> int:
        """No trade with a smaller id will be asked for and taken."""
        return max(self.lowest, self.start or 0)

    @property
    def since(self) -> int:
        """No trade that is still to be fetched happened before this, ms."""
        marks = [*([self.frontier] if self.frontier is not None else []), *(gap.left for gap in self.gaps)]
        return max(min((mark.mts for mark in marks), default=0) - OVERLAP, 0)

    def with_gaps(self, gaps: Sequence[Gap]) -> "Progress":
        """The same, and these to be fetched as well: what is older than the first trade wanted so far, too."""
        start = None if self.start is None else min([self.start, *(gap.floor for gap in gaps)])
        return msgspec.structs.replace(self, start=start, gaps=[*self.gaps, *gaps])

    def copy(self) -> "Progress":
        """The same, to come back to."""
        return msgspec.structs.replace(self, gaps=[msgspec.structs.replace(gap) for gap in self.gaps])
