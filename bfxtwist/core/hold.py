"""The hold: live trades that wait until history has told what happened before them, what they wait for, and how long.

    ── on file ──► before ┄┄┄ missed ┄┄┄ right ── held back ──► now

It lasts from the first connection that has to wait until the tape is live, over as many connections as that takes: they may
wait for a minute in all, and what an earlier one told stays held back. It ends in one of two ways: history has been told up
to `right`; or that was set aside as an open gap, and the progress that says so is durable.
"""

from bfxtwist.core.gaps import Mark
from bfxtwist.core.trade_rows import Arrival

#: Seconds that live trades are held back for history.
HOLD = 60.0


class Hold:
    """What one tape holds back. While it is live, or nothing was ever held back, this is a new one."""

    def __init__(self) -> None:
        self.trades: dict[int, Arrival] = {}  # by id
        self.before: Mark | None = None  # the last trade before the socket's word was lost
        self.right: Mark | None = None  # the first one that it told after that: history must catch up with it
        self.filled = 0  # trades in between that history told
        self.durable_first: int | None = None  # where history is waited for no longer: the revision that must be saved
        self._left = HOLD
        self._counted_to = 0.0  # the time up to which it was taken from `_left`

    # --- what it waits for --------------------------------------------------------------------------------

    def begin(self, before: Mark | None, now: float) -> None:
        """A connection begins to wait."""
        self.before, self.filled, self._counted_to = before, 0, now

    def wait_for(self, right: Mark | None) -> None:
        """It waits for history: to catch up with a trade, or if there is none, to be told up to now."""
        self.right, self.durable_first = right, None

    def is_over(self, now: float) -> bool:
        """Whether history has been waited for long enough. To be asked only while there is a connection."""
        self._left -= now - self._counted_to
        self._counted_to = now
        return self._left <= 0

    @property
    def lowest(self) -> int | None:
        """From this id on, trades are not on their way to the file."""
        ids = [*self.trades] if self.right is None else [*self.trades, self.right.id]
        return min(ids, default=None)

    # --- what history told --------------------------------------------------------------------------------

    def precedes(self, mts: int) -> bool:
        """Whether a trade of history, of this time, is older than what is held back."""
        return self.right is None or mts < self.right.mts

    def count(self, trade_id: int) -> None:
        """History told a trade. It counts if it was missed: others the socket should have told, and did not."""
        if self.before is not None and self.right is not None and self.before.id < trade_id < self.right.id:
            self.filled += 1

    # --- how it ends --------------------------------------------------------------------------------------

    def in_order(self) -> list[Arrival]:
        """What is held back, to be released."""
        return sorted(self.trades.values(), key=lambda arrival: (arrival.trade.mts, arrival.trade.id))

    def drop(self) -> Mark:
        """There is no room for more. What is held back is let go of: history must catch up with the newest of it."""
        newest = self.trades[max(self.trades)].trade
        self.trades.clear()
        return Mark(newest.id, newest.mts)
