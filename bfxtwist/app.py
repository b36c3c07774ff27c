"""The process around the daemon: what twistd starts, signals, exit codes, systemd.

`twistd bfx` reads `Options` and `makeService` from here.
"""

import gc
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from bfxtwist.cannot_listen import CannotListen
from bfxtwist.core.moment import Moment
from bfxtwist.daemon import Daemon
from bfxtwist.feed.resolver import OneAtATime
from bfxtwist.logs import Logs, install, is_twistd
from bfxtwist.notify import notifier
from bfxtwist.options import Options
from bfxtwist.out.trade_errors import TradeFileError
from bfxtwist.preflight import check

__all__ = ["Options", "Process", "makeService", "now"]

_log = Logger()

#: How often systemd's status line is looked at, and its watchdog fed, at most.
_SIGNS_EVERY = 5.0

#: Open files that are needed: 1,000 connections of clients, 1,024 of the relay's, and some for everything else.
_FILES = 4096

#: How many objects more than were freed are made before the youngest are looked through for garbage.
_MADE_BEFORE_COLLECTION = 10_000

#: Seconds from one look at all that is new since the start to the next, whatever was made. By the count alone, a connection
#: that is gone, a hundred objects in a cycle, may stay for hours, and with it all that its client left unread: 11 MB of
#: sixty that were cut for not reading. A look takes 0.2 ms for 10,000 objects (both measured).
_COLLECT_EVERY = 60.0

#: The monotonic clock that goes on while the machine is suspended: on macOS it is that of the other name. The reactor's does
#: not, so that a laptop that wakes would hold a book for live until its heartbeat is late by a clock that had stood still.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> Moment:
    """This moment by the machine's clocks."""
    return Moment(time.clock_gettime(_CLOCK), time.time_ns() // 1000)


def prepare(reactor: Any) -> None:
    """Make a reactor fit to run for months.

    Its timers follow the wall clock, and stand still for an hour when that is set back by one (twisted#2424); and each
    question to a name server that hangs takes one of its threads.
    """
    ahead = time.monotonic() - reactor.seconds()
    reactor.seconds = time.monotonic
    for call in reactor.getDelayedCalls():  # what a program of its own asked for before, which would never come
        call.time, call.seconds = call.time + ahead, time.monotonic
    reactor.installNameResolver(OneAtATime(reactor))


def end_at_interrupt(reactor: Any) -> None:
    """Have Ctrl-C end the process at once until the reactor runs and sees to it: as SIGTERM does, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else Twisted leaves it as it is, too
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        reactor.addSystemEventTrigger("before", "startup", signal.signal, signal.SIGINT, signal.default_int_handler)


def allow_files(wanted: int = _FILES) -> int:
    """Raise the process' limit of open files if it is too low, as far as it may be raised. What it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    if raised < wanted:
        text = "only {limit} files may be open (ulimit -Hn): with {wanted}, no client need be turned away"
        _log.warn(text, limit=raised, wanted=wanted)
    return raised


def freeze() -> None:
    """Take what is there after the start out of the garbage collector's work, and have it look less often at what is new.

    Nearly all that is there belongs to modules, and stays. A full collection that walks over it stops the reactor for 25 to
    37 ms (measured), and finds nothing. A run of messages makes some thousand tuples at once: with Python's 700, their
    collections take a fifth of the time of a stream of trades, with 10,000 none (and each still takes less than 0.5 ms).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_MADE_BEFORE_COLLECTION, *gc.get_threshold()[1:])


def collect_less(reactor: Any) -> LoopingCall:
    """`freeze`, and from now on look at what is new every minute, until what is returned is stopped, or the reactor."""
    freeze()
    collecting = LoopingCall(gc.collect)
    collecting.clock = reactor
    collecting.start(_COLLECT_EVERY, now=False)
    return collecting


class CannotStart(SystemExit, Exception):
    """Ends the process with a code. `str` is the line that says why.

    An Exception too, since that is what twistd looks for before it tells the process that waits for its daemon.
    """

    def __init__(self, code: int, line: str) -> None:
        super().__init__(code)
        self.line = line

    def __str__(self) -> str:
        return self.line


def _same(one: Any, other: Any) -> bool:
    """Whether two files lead to one place."""
    try:
        return os.path.sameopenfile(one.fileno(), other.fileno())
    except (OSError, ValueError, AttributeError):  # closed, or none of the system's
        return False


class Process(MultiService):
    """The daemon, and its process: SIGHUP, systemd, and the exit code."""

    def __init__(self, reactor: Any, options: Options) -> None:
        super().__init__()
        self._reactor = reactor
        self._options = options
        self._twistd: Mapping[str, Any] = options.parent or {}  # the options before `bfx`
        self._exit_code = 0
        self._systemd = notifier(os.environ, os.getpid())
        self._signs = LoopingCall(self._give_signs)
        self._signs.clock = reactor
        self._collecting: LoopingCall | None = None
        self._logs: Logs | None = None
        self._reading = DeferredLock()
        self.daemon = Daemon(reactor, options.settings, now, ended=self.end)
        self.daemon.setServiceParent(self)

    def setServiceParent(self, parent: Any) -> None:
        """twistd hands over its application, which it asks for a log observer next."""
        self._logs = install(parent, self._twistd, self._options.settings.log_format, self._reactor)
        super().setServiceParent(parent)

    def privilegedStartService(self) -> None:
        """Open what may be refused; a refusal ends the process here, with one line and its exit code."""
        # Twisted leaves SIGHUP to its default, which is sudden death.
        signal.signal(signal.SIGHUP, lambda *_: self._reactor.callFromThread(self.reload))
        try:
            super().privilegedStartService()
        except TradeFileError as error:
            raise self._refused(error.exit_code, error) from None
        except CannotListen as error:
            raise self._refused(1, error) from None

    def _refused(self, code: int, error: BaseException) -> CannotStart:
        # In the background standard error is closed, and twistd's parent shows the first hundred letters only.
        _log.critical("{line}", line=str(error))
        # As it was before twistd made it a part of the log. Once is enough: the log may be seen there as well, and under
        # `twist`, whose log has not begun yet, Twisted itself writes there what is critical.
        stderr, logs = sys.__stderr__, self._logs
        is_seen = _same(logs.file, stderr) if logs is not None else not is_twistd(self._twistd)
        if stderr is not None and not is_seen:
            stderr.write(f"bfx: {error}\n")
        return CannotStart(code, str(error))

    def startService(self) -> None:
        """Run, and listen to signals."""
        if not self.daemon.web.addresses:  # `twist` has no privileged start
            self.privilegedStartService()
        super().startService()
        self._reactor.addSystemEventTrigger("after", "shutdown", self._leave)
        every = min(self._systemd.watchdog_seconds / 3 or _SIGNS_EVERY, _SIGNS_EVERY)
        self._signs.start(every, now=False)
        self._collecting = collect_less(self._reactor)
        self._systemd.ready()

    def stopService(self) -> Deferred[Any]:
        """Stop the daemon."""
        self._systemd.stopping()
        for call in (self._signs, self._collecting):
            if call is not None and call.running:
                call.stop()
        stopped: Deferred[Any] = super().stopService()
        return stopped

    def end(self, code: int, line: str) -> None:
        """It is of no use to go on: stop, and exit with `code`. Of several the first counts."""
        _log.critical("{line}", line=line)
        self._exit_code = self._exit_code or code
        if self.running:
            self._reactor.callLater(0, self._stop_reactor)

    def _stop_reactor(self) -> None:
        if self._reactor.running:
            self._reactor.stop()

    def _leave(self) -> None:
        """twistd knows of no exit code: it ends with 0, or with the signal that stopped it."""
        if self._logs is not None:
            self._logs.finish()
        if self._exit_code:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(self._exit_code)

    def reload(self) -> None:
        """SIGHUP: leave trade files that were moved, and read certificates and settings again; mistakes change nothing."""
        if not self.running:  # what is closed stays closed
            return
        self._systemd.reloading(time.monotonic())
        if self.daemon.recorders.by_symbol:
            _log.info("SIGHUP: trade files that were moved are begun anew", news=True)
        self.daemon.recorders.reopen()
        self.daemon.web.renew()
        # One after the other: of two, the later has the newer settings.
        done = self._reading.run(self._read_again)
        done.addErrback(lambda failure: _log.failure("a bug while the settings were read again", failure))
        done.addBoth(lambda _: self._systemd.ready())

    async def _read_again(self) -> None:
        if not self._options.file:
            _log.info("SIGHUP: there is no --config to read the settings from", news=True)
            return
        try:
            config = self._options.read()
            settings = config.settings()
            await self.daemon.change_feeds(settings, check)
        except (ValueError, TradeFileError) as error:
            _log.error("SIGHUP: the settings are not changed: {error}", error=str(error), news=True)
            return
        _log.info("SIGHUP: the settings were read again: {summary}", summary=self.daemon.summary(), news=True)
        if names := config.changed(self._options.config):
            _log.warn("SIGHUP: changed, but only from the next start on: {names}", names=", ".join(names), news=True)
        for file in self.daemon.recorders.moved(settings.feeds):
            _log.warn("SIGHUP: {file}", file=file, news=True)

    def _give_signs(self) -> None:
        self._systemd.alive()
        self._systemd.status(self.daemon.summary())
        if self._logs is not None:
            self._logs.tick()


def makeService(options: Options) -> Service:
    """The service that twistd runs."""
    from twisted.internet import reactor

    end_at_interrupt(reactor)
    prepare(reactor)
    allow_files()
    return Process(reactor, options)
