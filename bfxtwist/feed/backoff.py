"""How long to wait before the next try: longer each time, never in step with others."""

from random import Random

#: Seconds.
FIRST, LONGEST = 1.0, 60.0


class Backoff:
    """Full jitter: anything between nothing and a ceiling that doubles from `FIRST` to `LONGEST`.

    Clients that lost their connections together come back spread over the whole interval (the "full jitter" of AWS
    Architecture Blog, "Exponential Backoff And Jitter", 2015).
    """

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._ceiling = FIRST

    def next_delay(self) -> float:
        """Seconds to wait now; the next wait may be twice as long."""
        delay = self._rng.uniform(0, self._ceiling)
        self._ceiling = min(2 * self._ceiling, LONGEST)
        return delay

    def reset(self) -> None:
        """What was tried went well for long enough."""
        self._ceiling = FIRST
