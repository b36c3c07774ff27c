"""When something happened: by a clock for timers, and by one for people."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(NamedTuple):
    """When something happened, by two clocks."""

    monotonic: float  # seconds, for timers
    wall: int  # microseconds since the epoch, for people and files


def iso(milliseconds: int) -> str:
    """`2026-09-23T03:33:34.850Z` of milliseconds since the epoch."""
    whole = datetime.fromtimestamp(milliseconds // 1000, UTC)
    return f"{whole.isoformat()[:19]}.{milliseconds % 1000:03d}Z"


def milliseconds(text: str) -> int:
    """Milliseconds since the epoch of a time in ISO 8601; one that names no zone is in UTC. Raises ValueError."""
    when = datetime.fromisoformat(text)
    return ((when if when.tzinfo else when.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)
