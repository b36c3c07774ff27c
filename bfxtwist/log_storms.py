"""Storms in the log are counted instead of written: who reads it wants the first lines, and then how many there were.

Two things are a storm: more than five lines of one kind in a second (two hundred feeds that are lost at once), and one line,
but for its numbers, more than three times in ten minutes (a connection that is refused all night). What is withheld is told
in one line now and then, with the last of its kind.
"""

import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from twisted.logger import LogEvent, LogLevel, formatEvent

_DIGITS = re.compile(r"[0-9]+(?:\.[0-9]+)?")

#: Kinds of lines that are remembered; more than that, and the calm ones are forgotten early.
_KINDS = 1000


class Rule(NamedTuple):
    """More than `allowed` lines within `seconds` are a storm, which is told of every `pause` seconds while it lasts."""

    allowed: int
    seconds: float
    pause: float


BURST = Rule(allowed=5, seconds=1, pause=10)
REPEATED = Rule(allowed=3, seconds=600, pause=600)


@dataclass(slots=True)
class _Kind:
    """Lines of one kind."""

    began: float
    count: int = 0
    withheld: int = 0
    first: float = 0.0  # when the first one was withheld
    last: float = 0.0
    event: LogEvent | None = None  # the last one withheld

    def withhold(self, event: LogEvent, now: float) -> None:
        if not self.withheld:
            self.first = now
        self.withheld += 1
        self.last, self.event = now, event


class _Watch:
    """One rule, and the kinds of lines that it has seen."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._kinds: dict[Hashable, _Kind] = {}

    def passes(self, key: Hashable, event: LogEvent, now: float) -> bool:
        """Whether the event may be written; if not, it is counted."""
        kind = self._kinds.get(key)
        if kind is None or (kind.event is None and now - kind.began >= self._rule.seconds):
            kind = self._kinds[key] = _Kind(now)
        kind.count += 1
        if kind.event is None and kind.count <= self._rule.allowed:
            return True
        kind.withhold(event, now)
        return False

    def summaries(self, now: float) -> Iterator[LogEvent]:
        """What is to be told of what was withheld; and what was calm is forgotten."""
        for key, kind in list(self._kinds.items()):
            if kind.event is None:
                if now - kind.began >= self._rule.seconds or len(self._kinds) > _KINDS:
                    del self._kinds[key]
            elif now - kind.first >= self._rule.pause:
                if kind.withheld:
                    yield _summary(kind.event, kind)
                if kind.withheld > self._rule.allowed:
                    kind.withheld, kind.first = 0, now  # it goes on, and its lines stay withheld
                else:
                    del self._kinds[key]


def _summary(last: LogEvent, kind: _Kind) -> LogEvent:
    if kind.withheld <= 1:
        return last
    told = {key: value for key, value in last.items() if key != "log_failure"}
    return told | {
        "log_format": "{count} more like this in {seconds:.0f} s, the last: {log_text}",
        "log_text": formatEvent(last),
        "count": kind.withheld,
        "seconds": max(kind.last - kind.first, 1.0),
    }


class Storms:
    """Both rules. Times are in seconds of any clock that only goes forward."""

    def __init__(self) -> None:
        self._burst, self._repeated = _Watch(BURST), _Watch(REPEATED)

    def let_through(self, event: LogEvent, now: float) -> Iterator[LogEvent]:
        """The event, unless it is one of a storm. What is critical always is let through."""
        yield from self.summaries(now)
        if event.get("log_level") is LogLevel.critical or self._is_calm(event, now):
            yield event

    def _is_calm(self, event: LogEvent, now: float) -> bool:
        text, namespace = formatEvent(event), event.get("log_namespace")
        # What was printed comes line by line, all in one format: a traceback of Python's own is no storm.
        form = text if "log_io" in event else event.get("log_format") or text
        kind, line = (namespace, form), (namespace, _DIGITS.sub("#", text))
        # A change of state is news however often it happens: of all repeated lines the last one must not be withheld.
        return self._burst.passes(kind, event, now) and (
            bool(event.get("news")) or self._repeated.passes(line, event, now)
        )

    def summaries(self, now: float) -> Iterator[LogEvent]:
        """What is to be told by now. With infinity, everything."""
        yield from self._burst.summaries(now)
        yield from self._repeated.summaries(now)
