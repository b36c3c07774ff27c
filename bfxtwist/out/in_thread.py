"""How what blocks is kept off the reactor."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred

_T = TypeVar("_T")


class InThread(Protocol):
    """Runs what blocks; `twisted.internet.threads.deferToThread` is one."""

    def __call__(self, job: Callable[[], _T], /) -> Deferred[_T]:
        """Fires with the job's result."""
