"""What the recorder may hold at most. Beyond each of these it lets go of something that the exchange's history still has."""

from typing import NamedTuple


class Limits(NamedTuple):
    """Tests make them small."""

    page: int = 10_000  # trades in one page of history; asking for more is an error (ccxt #19248)
    held_back: int = 10_000  # live trades that wait for history
    recent: int = 4_000  # the latest trades beyond the frontier, to compare what is told of them again; of more, half of it
    queue: int = 10_000  # rows that wait for a disk that does not take them
    unsynced: int = 8 * 1024 * 1024  # bytes that are written and not synced; recovery's TORN_LIMIT is more


LIMITS = Limits()
