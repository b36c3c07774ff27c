"""What the daemon's log looks like: text for people, or one JSON object a line for programs; storms are summarised.

    2026-11-22T16:17:34.120Z info     listening on http://127.0.0.1:8080
    {"time":"2026-11-22T16:17:34.120Z","level":"info","namespace":"bfxtwist.out.listen","message":"listening on …",…}

twistd asks the application for an observer before it makes its own (`ILogObserver`), which is where this one goes in; so
`twistd --logger` and `--syslog` stand above it, and `--logfile` is written to. `twist` has a `--log-format` of its own.
"""

import json
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from math import inf, isfinite
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import FileLogObserver, ILogObserver, LogEvent, LogLevel, eventAsText, formatEvent
from twisted.python.components import Componentized
from twisted.python.logfile import LogFile
from zope.interface import implementer

from bfxtwist.core.moment import iso
from bfxtwist.log_storms import Storms

#: What Twisted says of each port and each factory; the daemon says itself where it listens.
_NOISE = re.compile(r"\S+( \(TLS\))? starting on \S+|(Starting|Stopping) factory .*|\(.* Port .* Closed\)|reactor class: .*")
_TWISTED = ("twisted.", "log_legacy")

_LEVELS = {LogLevel.info: "info", LogLevel.warn: "warning", LogLevel.error: "error", LogLevel.critical: "critical"}


@implementer(ILogObserver)
class Logs:
    """The observer. `tick` is to be called every few seconds: a storm that is over is told without another line to come."""

    def __init__(self, file: Any, log_format: str, seconds: Callable[[], float]) -> None:
        """`file` takes text; `seconds` is a clock that only goes forward."""
        self.file = file
        self._write = FileLogObserver(file, as_json if log_format == "json" else as_text)
        self._seconds = seconds
        self._storms = Storms()

    def __call__(self, event: LogEvent) -> None:
        """Take in one event."""
        if event.get("log_level", LogLevel.info) >= LogLevel.info and not _is_noise(event):
            self._write_all(self._storms.let_through(event, self._seconds()))

    def tick(self) -> None:
        """Tell of storms that are over."""
        self._summarise(self._seconds())

    def finish(self) -> None:
        """Tell of everything that was withheld."""
        self._summarise(inf)

    def _summarise(self, now: float) -> None:
        # Of a line that cannot be written Twisted takes care; here it would end signs of life, or take the exit code along.
        with suppress(OSError):  # a full disk, a pipe that nobody reads any more
            self._write_all(self._storms.summaries(now))

    def _write_all(self, events: Iterable[LogEvent]) -> None:
        for event in events:
            self._write(event)


def install(application: object, options: Mapping[str, Any], log_format: str, reactor: Any) -> Logs | None:
    """Have twistd log by a `Logs`. `options` are twistd's own. None where it is not twistd, or logs to syslog."""
    if not is_twistd(options) or not isinstance(application, Componentized) or options.get("syslog"):
        return None
    logs = Logs(_log_file(options, reactor), log_format, reactor.seconds)
    application.setComponent(ILogObserver, logs)
    return logs


def is_twistd(options: Mapping[str, Any]) -> bool:
    """Whether these are twistd's options, and not those of `twist`, which knows no background and asks for no observer."""
    return "nodaemon" in options


def _log_file(options: Mapping[str, Any], reactor: Any) -> Any:
    """Where twistd itself would write to, and rotate at SIGUSR1."""
    name = options.get("logfile") or ("-" if options.get("nodaemon") else "twistd.log")
    if name == "-":
        return sys.stdout
    file = LogFile.fromFullPath(name)
    if not signal.getsignal(signal.SIGUSR1):
        signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(file.rotate))
    return file


def _is_noise(event: LogEvent) -> bool:
    namespace = event.get("log_namespace") or ""
    if namespace.startswith(_TWISTED):
        failure = event.get("log_failure")  # Control-C twice is no bug
        return _NOISE.fullmatch(formatEvent(event)) is not None or bool(failure and failure.check(ReactorNotRunning))
    return False


def as_text(event: LogEvent) -> str | None:
    """One line, and below it the traceback of what failed. None for an event that says nothing."""
    text = eventAsText(event, includeTimestamp=False, includeSystem=False)
    return f"{_time(event)} {_level(event):<8} {text}\n" if text else None


def as_json(event: LogEvent) -> str | None:
    """One JSON object on one line. None for an event that says nothing."""
    message = formatEvent(event)
    failure = event.get("log_failure")
    if not message and failure is None:
        return None
    document = {
        "time": _time(event),
        "level": _level(event),
        "namespace": event.get("log_namespace"),
        "message": message,
        "fields": {name: _plain(value) for name, value in event.items() if name[:4] != "log_" and name not in _NO_FIELDS},
    }
    if failure is not None:
        document["traceback"] = failure.getTraceback()
    return json.dumps(document) + "\n"


def _plain(value: object) -> object:
    """What JSON can say as it is, and everything else in words: whatever a field holds, its line is written."""
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and isfinite(value)):
        return value
    return str(value)


#: What the old logging system puts into an event beside its text; and what is meant for `log_storms.py`.
_NO_FIELDS = frozenset(
    ("message", "time", "system", "format", "isError", "logLevel", "eventSource", "printed", "failure", "why", "news")
)


def _time(event: LogEvent) -> str:
    return iso(int(event.get("log_time", 0) * 1000))


def _level(event: LogEvent) -> str:
    return _LEVELS.get(event.get("log_level", LogLevel.info), "info")
