"""How often a client may come. One who comes too often is kept out for a while (docs requirements-and-limitations)."""

from collections import deque


class RateLimit:
    """So many in any minute; after one too many, none for a minute. `breaches` counts those turned away."""

    def __init__(self, per_minute: int | None) -> None:
        self._per_minute = per_minute
        self._times: deque[float] = deque()
        self._closed_until = float("-inf")
        self.admitted = 0
        self.breaches = 0

    def admit(self, now: float) -> bool:
        """Whether one who comes at `now` (seconds) is let in."""
        while self._times and self._times[0] <= now - 60.0:
            self._times.popleft()
        if self._per_minute is not None:
            if now >= self._closed_until and len(self._times) >= self._per_minute:
                self._closed_until = now + 60.0
            if now < self._closed_until:
                self.breaches += 1
                return False
        self._times.append(now)
        self.admitted += 1
        return True
