"""The trades of one symbol as the exchange's database has them: the last ones for a snapshot, and the history over REST.

The history is filtered and sorted by time, not by id; `start` and `end` are inclusive; several trades share a millisecond.
A trade can be in the database later than it was on the wire, and with a time some milliseconds off (both seen in a 2018
capture).
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from msgspec.structs import replace

from bfxtwist.core.messages import Trade
from bfxtwist.exchange.faults import Faults

#: The number of trades in a snapshot (measured in 2018 and 2021).
SNAPSHOT_LENGTH = 30

#: Trades that the history holds, twelve hours at the usual rate in about 100 MB; the exchange's own has no end.
HISTORY_LENGTH = 200_000


class _Stored(NamedTuple):
    mts: int  # in the database
    id: int
    trade: Trade
    told: int  # ms, when it was on the wire


class Query(NamedTuple):
    """What `GET /v2/trades/…/hist` was asked; times in ms, inclusive."""

    limit: int = 125
    start: int | None = None
    end: int | None = None
    newest_first: bool = True


class Tape:
    """One symbol's trades, the last `length` of them for the history."""

    def __init__(self, faults: Faults, length: int = HISTORY_LENGTH) -> None:
        self._faults = faults
        self._length = length
        self._stored: list[_Stored] = []
        self._latest: list[Trade] = []  # newest last, as executed

    def add(self, trade: Trade, now: float) -> None:
        """A trade that is told at `now`, in seconds since the epoch."""
        drift = int(self._faults.number("mts-drift"))
        # By id and not at random, so that every answer that has the trade says the same.
        mts = trade.mts + (crc32(b"%d" % trade.id) % (2 * drift + 1) - drift if drift else 0)
        stored = replace(trade, mts=mts) if drift else trade
        insort(self._stored, _Stored(mts, trade.id, stored, int(now * 1000)))
        if len(self._stored) > self._length * 1.1:
            del self._stored[: -self._length]
        self._latest = [*self._latest[1 - SNAPSHOT_LENGTH :], stored]

    def snapshot(self) -> list[Trade]:
        """The last trades, newest first."""
        return self._latest[::-1]

    def since(self, start: int) -> list[Trade]:
        """Every trade from `start` (ms) on."""
        return [stored.trade for stored in self._stored[self._index(start) :]]

    def history(self, query: Query, now: int) -> list[Trade]:
        """A page of the history, at `now` (ms)."""
        first = 0 if query.start is None else self._index(query.start)
        last = len(self._stored) if query.end is None else bisect_right(self._stored, (query.end, _AFTER_ANY_ID))
        page = self._as_published(self._stored[first:last], now)
        if query.newest_first:
            page.reverse()
        most = min(query.limit, int(self._faults.number("rest-short-page", query.limit)))
        trades = [stored.trade for stored in page[:most]]
        return sorted(trades, key=_disorder) if "rest-unsorted" in self._faults else trades

    def _index(self, mts: int) -> int:
        return bisect_left(self._stored, (mts,))

    def _as_published(self, page: Sequence[_Stored], now: int) -> list[_Stored]:
        """Without what the faults hide, oldest first."""
        faults = self._faults
        if "rest-empty" in faults:
            return []
        shown = list(page)
        if "rest-lag" in faults:
            published = now - faults.number("rest-lag") * 1000
            shown = [stored for stored in shown if stored.told <= published]
        if "rest-horizon" in faults:
            oldest = now - faults.number("rest-horizon") * 1000
            shown = [stored for stored in shown if stored.told >= oldest]
        if "rest-hole" in faults:
            part = max(1, int(faults.number("rest-hole")))
            shown = [stored for stored in shown if _disorder(stored.trade) % part]
        if "rest-ties" in faults:
            shown.sort(key=lambda stored: (stored.mts, _disorder(stored.trade)))
        return shown


_AFTER_ANY_ID = 1 << 62


def _disorder(trade: Trade) -> int:
    """A number that has nothing to do with the order of trades, and is always the same for one."""
    return crc32(b"%d" % trade.id)
