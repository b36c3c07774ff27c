"""Figures over time, and what a report says of them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Sample(NamedTuple):
    """One look at a daemon from outside."""

    at: float  # s since the start
    resident: float  # MiB
    descriptors: int
    lag: float | None  # s that `verified_through` is behind, of the pair that is furthest
    calm: float  # s since the last fault was over


def slope(points: Sequence[tuple[float, float]]) -> float:
    """By how much the second number grows while the first grows by one: the line of least squares."""
    if len(points) < 2:
        return 0.0
    middle = [sum(values) / len(points) for values in zip(*points, strict=True)]
    spread = sum((x - middle[0]) ** 2 for x, _ in points)
    return sum((x - middle[0]) * (y - middle[1]) for x, y in points) / spread if spread else 0.0


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which this part of them lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(part * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class Counts:
    """Counters that begin at 0 again whenever their process does."""

    def __init__(self) -> None:
        self._before: Counter[str] = Counter()
        self._now: Mapping[str, int] = {}

    def seen(self, counters: Mapping[str, int]) -> None:
        """What the process counts now."""
        self._now = counters

    def restarted(self) -> None:
        """The process ended; what it had counted stays."""
        self._before.update(self._now)
        self._now = {}

    @property
    def latest(self) -> Counter[str]:
        """Of the present process."""
        return Counter(self._now)

    @property
    def total(self) -> Counter[str]:
        """Over all processes."""
        return self._before + Counter(self._now)


def lag_of(status: Mapping[str, Any]) -> float | None:
    """Seconds that the recorder furthest behind is behind, by `GET /status`."""
    lags = [one["lag_ms"] for one in status["recorders"].values() if one["lag_ms"] is not None]
    return max(lags) / 1000 if lags else None


def counters_of(status: Mapping[str, Any]) -> Counter[str]:
    """The counters that a report names, of all pairs together."""
    recorders = status["recorders"].values()
    named = {f"gaps {state}": sum(one["gaps"][state] for one in recorders) for state in ("open", "filled", "lost")}
    for name in ("backfilled", "audited", "duplicates", "conflicts", "rejected", "forgotten"):
        named[name] = sum(one["counters"][name] for one in recorders)
    for name in ("checksums_matched", "checksums_mismatched", "resubscriptions"):
        named[name] = sum(feed["counters"][name] for feed in status["feeds"])
    return Counter(named)


def listed(counts: Mapping[str, int]) -> str:
    """`12 (lost 9, sequence 3)`."""
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return f"{sum(counts.values())} ({', '.join(f'{name} {count}' for name, count in most)})" if most else "0"
