"""A whole daemon against an embedded exchange, over real sockets, for tests of the whole."""

import csv
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import treq
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from bfxtwist.app import now
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.uplink_status import UplinkStatus
from bfxtwist.daemon import Daemon
from bfxtwist.exchange.embedded import EmbeddedExchange
from bfxtwist.settings import FeedSettings, feed, settings
from tests.feed.sockets import Brisk

reactor: Any = _reactor

ROOT = Path(__file__).parents[1]

#: Any free port of this machine.
LISTEN = ("--listen", "tcp:0:interface=127.0.0.1")


class RunningDaemon:
    """A daemon that records the states of its feeds."""

    def __init__(self, exchange: EmbeddedExchange, feeds: Iterable[FeedSettings], **more: Any) -> None:
        self.ended: list[tuple[int, str]] = []
        self.states: dict[str, list[FeedState]] = {}
        chosen = settings(
            feeds=feeds,
            listen=["tcp:0:interface=127.0.0.1"],
            ws_url=exchange.ws_url,
            rest_url=exchange.rest_url,
            **more,
        )
        self.daemon = Daemon(reactor, chosen, now, ended=lambda code, line: self.ended.append((code, line)), rng=Brisk())
        self.market = self.daemon.market
        for one in self.market.feeds():
            self.states[str(one.subscription)] = []
            one.watchers.append(self._changed)

    def _changed(self, changed: Feed) -> None:
        states = self.states[str(changed.subscription)]
        if states[-1:] != [changed.state]:
            states.append(changed.state)

    @property
    def live(self) -> bool:
        """Whether every feed is."""
        return all(one.state is FeedState.LIVE for one in self.market.feeds())

    @property
    def uplink(self) -> UplinkStatus:
        """What is told of its connections, which are made."""
        status = self.daemon.status()
        assert status is not None
        return status

    async def get(self, path: str, **more: Any) -> tuple[int, bytes]:
        """Status and body of a request."""
        answer = await treq.get(f"{self.daemon.web.addresses[0]}{path}", persistent=False, **more)
        return answer.code, await answer.content()


class TwistdProcess(ProcessProtocol):
    """A real twistd, with what it says on both of its outputs."""

    def __init__(self) -> None:
        self.said = ""
        self.errors = ""
        self.ended: Deferred[int] = Deferred()  # its exit code, or minus the signal that ended it
        self.running = True

    def outReceived(self, data: bytes) -> None:
        self.said += data.decode()

    def errReceived(self, data: bytes) -> None:
        self.errors += data.decode()

    def processEnded(self, reason: Failure) -> None:
        self.running = False
        status: Any = reason.value
        self.ended.callback(status.exitCode if status.signal is None else -status.signal)

    @property
    def pid(self) -> int:
        """Its id, while it runs."""
        assert self.transport is not None  # spawnProcess gave it one
        return int(self.transport.pid)

    def send(self, number: int) -> None:
        """Send a signal by the process' id."""
        os.kill(self.pid, number)

    async def kill(self) -> None:
        """End it, if it runs."""
        if self.running:
            self.send(signal.SIGKILL)
            await self.ended

    @property
    def addresses(self) -> list[str]:
        """Where it says that it listens."""
        return re.findall(r"listening on (http://\S+)", self.said)


class WholeTest(TestCase):
    """Starts exchanges and daemons, and stops them."""

    timeout = 60  # trial's, in seconds

    async def exchange(self, market: Any, **more: Any) -> EmbeddedExchange:
        """A running exchange."""
        exchange = EmbeddedExchange(reactor, market, **more)
        await exchange.start()
        self.addCleanup(exchange.stop)
        return exchange

    async def daemon(self, exchange: EmbeddedExchange, feeds: Iterable[FeedSettings], **more: Any) -> RunningDaemon:
        """A running daemon all of whose feeds are live."""
        running = self.started(exchange, feeds, **more)
        await self.until(lambda: running.live)
        return running

    def started(self, exchange: EmbeddedExchange, feeds: Iterable[FeedSettings], **more: Any) -> RunningDaemon:
        """A daemon that is on its way."""
        running = RunningDaemon(exchange, feeds, **more)
        running.daemon.privilegedStartService()
        running.daemon.startService()
        self.addCleanup(lambda: running.daemon.stopService() if running.daemon.running else None)
        return running

    async def until(self, condition: Callable[[], object]) -> None:
        """Let the reactor turn until it is so; trial's timeout is the limit."""
        while not condition():
            await deferLater(reactor, 0.01)

    def twistd(
        self, *words: str, command: str = "twistd", environ: Mapping[str, str] | None = None, within: Sequence[str] = ()
    ) -> TwistdProcess:
        """Start `twistd -n --pidfile= WORD…` (or twist), behind the words `within`. It does not outlive the test."""
        process = TwistdProcess()
        program = Path(sys.executable).with_name(command)
        own = ["-n", "--pidfile="] if command == "twistd" else ["--log-format", "text"]
        arguments = [*within, str(program), *own, *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(environ or {})}
        reactor.spawnProcess(process, arguments[0], arguments, environment)
        self.addCleanup(process.kill)
        return process

    async def is_ready(self, process: TwistdProcess) -> str:
        """Its URL, once every feed is live and every file is written."""
        await self.until(lambda: process.addresses or not process.running)
        self.assertTrue(process.running, process.said + process.errors)
        url = process.addresses[0]
        while (await treq.get(f"{url}/readyz", persistent=False)).code != 200:
            pass
        return url


def at(exchange: EmbeddedExchange) -> tuple[str, ...]:
    """The words that lead a daemon to this exchange, and have it listen anywhere."""
    return ("--ws-url", exchange.ws_url, "--rest-url", exchange.rest_url, *LISTEN)


def books(*pairs: str, **more: Any) -> list[FeedSettings]:
    """A book of each pair."""
    return [feed(pair=pair, channel="book", **more) for pair in pairs]


def recordings(folder: Path | str, *pairs: str) -> list[FeedSettings]:
    """A trade file of each pair."""
    return [feed(pair=pair, channel="trades", file_path=str(folder)) for pair in pairs]


def ids(path: Path) -> list[int]:
    """The ids of a trade file, in its order."""
    return [int(row["id"]) for row in csv.DictReader(io.StringIO(path.read_text()))]


def tokens(feed: BookFeed) -> tuple[list[tuple[bytes, ...]], list[tuple[bytes, ...]]]:
    """A copy of both sides."""
    return list(feed.book.bids.rows), list(feed.book.asks.rows)
