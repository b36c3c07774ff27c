"""A bar on a terminal that shows how far a long work has come. Anywhere else it is silent."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

_WIDTH = 30
_SECONDS_BETWEEN = 0.1


class ProgressBar:
    """`advance` it by parts of `total`, or move it `to` a share of the whole; it goes away on leaving the `with` block."""

    def __init__(self, label: str, total: int, stream: TextIO, seconds: Callable[[], float] = time.monotonic) -> None:
        self._label, self._total, self._stream, self._seconds = label, total, stream, seconds
        self._done = 0
        self._due = seconds() + _SECONDS_BETWEEN
        self._shown = False
        self._silent = not stream.isatty()

    def advance(self, amount: int) -> None:
        """So much more is done."""
        self._done += amount
        self.to(self._done / max(self._total, 1))

    def to(self, share: float) -> None:
        """So much is done, of 1."""
        if self._silent or self._seconds() < self._due:
            return
        self._due = self._seconds() + _SECONDS_BETWEEN
        filled = int(min(share, 1.0) * _WIDTH)
        bar = "█" * filled + "░" * (_WIDTH - filled)
        self._stream.write(f"\r{self._label} {bar} {min(share, 1.0):4.0%}")
        self._stream.flush()
        self._shown = True

    def __enter__(self) -> "ProgressBar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
