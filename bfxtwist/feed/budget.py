"""How many connections may be made: a limit for this process, or for all on this machine that share a file.

Bitfinex documents 20 new public connections a minute, older pages 15, and answers 429 over that; its own client stays at 10
(docs ws-public; bitfinex-api-node WS2Manager). Whoever insists is banned for 60 s.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import msgspec
from twisted.logger import Logger

from bfxtwist.core.uplink_status import BudgetStatus
from bfxtwist.feed.retry_after import LONGEST

_log = Logger()

#: A minute and some seconds: what is begun a minute apart may arrive closer. A name is looked up for the first one, and TCP
#: and TLS stand before the request that is counted: of 24 connections, 19 at once and five when those were a minute old,
#: four met with 429 where the first had taken 0.6 s and the others 0.15 (measured).
WINDOW = 65.0

#: Connections in any such window, and in one that begins with more than that to be made at once.
A_MINUTE = 10
MOST_A_MINUTE = 19

#: While another process has the file.
_BUSY = 0.1

_INSTANT = 0.001


class Attempts(msgspec.Struct):
    """What was tried lately. Times are in seconds of the monotonic clock, which all processes of a machine share."""

    times: list[float] = []
    blocked_until: float = 0.0


class AttemptLedger(Protocol):
    """Where the attempts are written down."""

    def open(self) -> Any:
        """A context manager: the Attempts, to be read and changed. Raises BlockingIOError while somebody else has them."""


class OwnLedger:
    """For this process alone."""

    def __init__(self) -> None:
        self._attempts = Attempts()

    @contextmanager
    def open(self) -> Iterator[Attempts]:
        """The attempts of this process."""
        yield self._attempts


class SharedLedger:
    """A file, for all processes that name it. Raises OSError when it cannot be made.

    Whoever has it open holds its lock, for microseconds. What a process before the last boot wrote, or another program, is
    not believed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(self._descriptor())

    @classmethod
    def within(cls, folder: Path, url: str) -> "SharedLedger":
        """The one for the server of `url`: each counts for itself. Raises OSError as above."""
        return cls(folder / f"connects-{urlsplit(url).hostname}.lock")

    def _descriptor(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    @contextmanager
    def open(self) -> Iterator[Attempts]:
        """The attempts of all. Raises BlockingIOError when the file is locked, OSError when it cannot be read or written."""
        descriptor = self._descriptor()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            attempts = _read(descriptor)
            yield attempts
            text = msgspec.json.encode(attempts)
            os.pwrite(descriptor, text, 0)
            os.ftruncate(descriptor, len(text))
        finally:
            os.close(descriptor)  # and with it the lock


def _read(descriptor: int) -> Attempts:
    try:
        return msgspec.json.decode(os.pread(descriptor, 1 << 16, 0), type=Attempts)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Attempts()


class ConnectBudget:
    """Says when the next connection may be made."""

    def __init__(self, ledger: AttemptLedger | None = None) -> None:
        self._first = self._to_come = 0
        self._own = OwnLedger()
        self._ledger: AttemptLedger = ledger or self._own

    def begin(self, needed: int) -> None:
        """So many are needed at once. More than ten a minute are allowed for these, and for none after them."""
        self._first = self._to_come = needed

    def ask(self, now: float) -> float:
        """0.0 to go ahead, which is written down; else so many seconds to wait before asking again."""
        try:
            with self._ledger.open() as attempts:
                return self._decide(attempts, now)
        except BlockingIOError:
            return _BUSY
        except OSError as error:
            self._on_my_own(error)
            return self.ask(now)

    def block(self, now: float, seconds: float) -> None:
        """None for so long: the exchange has said 429."""
        try:
            with self._ledger.open() as attempts:
                attempts.blocked_until = max(attempts.blocked_until, now + seconds)
        except OSError as error:
            # Also when it is only busy: this process at least must keep still.
            self._on_my_own(error)
            self.block(now, seconds)

    def _on_my_own(self, error: OSError) -> None:
        _log.warn("connections are not counted together with other processes any more: {error}", error=str(error))
        self._ledger = self._own

    def wait(self, now: float) -> float:
        """Seconds that `ask` would say, at least; nothing is written down. 0.0 where that cannot be read just now."""
        try:
            with self._ledger.open() as attempts:
                return self._wait(attempts, now)
        except OSError:
            return 0.0

    def _decide(self, attempts: Attempts, now: float) -> float:
        wait = self._wait(attempts, now)
        if wait == 0:
            self._to_come -= 1
            attempts.times.append(now)
        return wait

    def _wait(self, attempts: Attempts, now: float) -> float:
        # Times after now are another boot's, and so is a block that ends later than any does.
        attempts.times = [time for time in attempts.times if now - WINDOW < time <= now]
        if now < attempts.blocked_until <= now + LONGEST:
            return attempts.blocked_until - now
        limit = max(A_MINUTE, min(self._first, MOST_A_MINUTE)) if self._to_come > 0 else A_MINUTE
        if len(attempts.times) >= limit:
            return max(attempts.times[-limit] + WINDOW - now, _INSTANT)  # a sum of floats may be 0, which says: go
        return 0.0

    def status(self, now: float) -> BudgetStatus:
        """What `GET /status` says of it."""
        try:
            with self._ledger.open() as attempts:
                used = sum(now - WINDOW < time <= now for time in attempts.times)
                return BudgetStatus(used=used, of=A_MINUTE, blocked_s=round(max(0.0, attempts.blocked_until - now), 1))
        except OSError:
            return BudgetStatus(used=None, of=A_MINUTE, blocked_s=None)
