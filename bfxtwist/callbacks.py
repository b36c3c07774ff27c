"""Functions of the program's own, which are called when a book has changed or a trade is in the file.

    book.on_book(function)  ──►  Callbacks  ◄── call(book) ── TurnWise  ◄── changed() ── the feed: many times in a turn

What one of them raises is the program's bug and goes to the log: feeds and files go on, and the next function is called.
"""

import inspect
from collections.abc import Callable
from typing import Generic, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from bfxtwist.core.book_feed import BookFeed

_log = Logger()

_T = TypeVar("_T")

#: What a mere call of does not run.
_UNRUN_BY_A_CALL = inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction


class Callbacks(Generic[_T]):
    """Those that are called with one thing after another, in the order in which they were added."""

    def __init__(self, name: str, of: str) -> None:
        """`name` is what the log calls them, `of` what they are called with."""
        self._name = name
        self._of = of
        self._functions: list[Callable[[_T], object]] = []

    def __bool__(self) -> bool:
        return bool(self._functions)

    def add(self, function: Callable[[_T], object]) -> None:
        """Call this one, too. Raises ValueError for what would never be run."""
        if not callable(function) or any(is_one(function) for is_one in _UNRUN_BY_A_CALL):
            raise ValueError(f"{function!r} cannot be called with a {self._of}: name a plain function")
        self._functions.append(function)

    def call(self, told: _T) -> None:
        """Call each of those that are there now."""
        for function in tuple(self._functions):
            try:
                function(told)
            except BaseException:  # noqa: BLE001 - the caller's bug, or sys.exit(), which Twisted would but log as well
                _log.failure("{function!r} of {name} failed", function=function, name=self._name)


class TurnWise:
    """Tells that a book or its status is another one: once for each turn of the reactor in which that came to be."""

    def __init__(self, feed: BookFeed, reactor: IReactorTime, tell: Callable[[], None]) -> None:
        self._feed = feed
        self._reactor = reactor
        self._tell = tell
        self._told: object = None
        self._due = False
        feed.listeners.append(self)
        feed.watchers.append(lambda _: self.changed())

    def changed(self) -> None:
        """Something did, and more may follow before this turn ends."""
        if not self._due:
            self._due = True
            self._reactor.callLater(0, self._look)

    def _look(self) -> None:
        """A checksum that agrees leaves the book as it was."""
        self._due = False
        now = self._feed.updated, self._feed.nonce, self._feed.status_now
        if now != self._told:
            self._told = now
            self._tell()
