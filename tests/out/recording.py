"""A recorder on a clock, with a disk and an exchange in memory, for the tests of everything around trade.csv."""

from collections.abc import Callable
from typing import Any, Self, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from bfxtwist.core.gaps import GapState
from bfxtwist.core.limits import LIMITS, Limits
from bfxtwist.core.messages import Trade
from bfxtwist.core.trade_rows import HEADER, Arrival, Layout
from bfxtwist.out.disk import Disk
from bfxtwist.out.trade_recorder import TradeRecorder
from bfxtwist.out.trade_saving import SyncPolicy
from bfxtwist.out.trade_state import StateFile
from tests.crash_disk import CrashDisk
from tests.model_exchange import LedgerTrade, ModelExchange

T = TypeVar("T")

LAYOUT = Layout("tBTCUSD")


def arrivals(first: int, count: int = 1) -> list[Arrival]:
    """Some trades."""
    return [Arrival(Trade(i, 1_700_000_000_000 + i, b"1", b"2"), 3) for i in range(first, first + count)]


def at_once(job: Callable[[], T]) -> "Deferred[T]":
    """A thread that takes no time."""
    done: Deferred[T] = Deferred()
    done.callback(job())
    return done


class SlowThread:
    """Threads that take as long as a test lets them: what waits is in `jobs`, each with the Deferred of its result."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

    def __call__(self, job: Callable[[], Any]) -> "Deferred[Any]":
        """Let it wait."""
        self.jobs.append((job, Deferred()))
        return self.jobs[-1][1]

    def end_one(self) -> None:
        """The job that has waited for longest ends."""
        job, done = self.jobs.pop(0)
        done.callback(job())

    def end_all(self) -> None:
        """They all do, and those that begin then."""
        while self.jobs:
            self.end_one()


class Recording:
    """One recorder, and what it needs."""

    def __init__(
        self,
        folder: str = "/",
        disk: Disk | None = None,
        sync: SyncPolicy = SyncPolicy.SECOND,
        limits: Limits = LIMITS,
        in_thread: Callable[[Callable[[], Any]], "Deferred[Any]"] = at_once,
    ) -> None:
        self.clock = Clock()
        self.exchange = ModelExchange(self.clock)
        self.crash_disk = CrashDisk()
        self.disk: Disk = disk if disk is not None else self.crash_disk
        self.gave_up: list[Exception] = []
        self._arguments: dict[str, Any] = {"sync": sync, "limits": limits, "in_thread": in_thread}
        self._folder = folder
        self.recorder = self.make()

    def make(self) -> TradeRecorder:
        """A recorder as a new process has it."""
        return TradeRecorder(
            "tBTCUSD",
            self._folder,
            self.exchange,
            self.clock,
            self.exchange.moment,
            disk=self.disk,
            gave_up=self.gave_up.append,
            **self._arguments,
        )

    def start(self) -> Self:
        """Begin."""
        self.recorder.start()
        return self

    def live(self) -> Self:
        """Begin, with three trades in the file."""
        self.start()
        self.missed(3)
        self.wait(1)
        self.connect()
        return self

    def restart(self) -> None:
        """A new process after a kill: what was written is in the page cache."""
        self.clock.calls.clear()
        self.crash_disk.kill()
        self.recorder = self.make()
        self.recorder.start()

    def connect(self, count: int = 5) -> None:
        """The socket is there, and the snapshot came."""
        self.recorder.snapshot(self.exchange.snapshot(count), self.exchange.moment())
        self.wait(0)

    def lost(self, reason: str = "sequence") -> None:
        """The socket is gone, or not believed any more."""
        self.recorder.lost(reason)

    def tell(self, trade: Trade, confirmed: bool = False) -> None:
        """The socket tells a trade."""
        self.recorder.executed([trade], [confirmed], self.exchange.moment())

    def trade(self, told: bool = True, pause: float = 0.1, **how: Any) -> LedgerTrade:
        """A trade; whether the socket tells it."""
        made = self.exchange.trade(**how)
        if told:
            self.tell(made.told)
        self.wait(pause)
        return made

    def missed(self, count: int, pause: float = 0.1) -> None:
        """Trades of which the socket tells nothing."""
        for _ in range(count):
            self.trade(told=False, pause=pause)

    def wait(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass."""
        while seconds > step:
            self.clock.advance(step)
            seconds -= step
        self.clock.advance(seconds)

    def content(self) -> bytes:
        """What a reader of trade.csv sees."""
        return self.crash_disk.content("/trade.csv")

    def ids(self) -> list[int]:
        """The ids in trade.csv, each of whose lines must be a row."""
        content = self.content()
        assert content.startswith(HEADER), content[:100]
        ids = LAYOUT.ids(content[len(HEADER) :])
        assert ids is not None and content.endswith(b"\n"), content
        return [int(i) for i in ids]

    def ledger(self) -> list[int]:
        """The ids of all trades there ever were."""
        return list(self.exchange.ledger)

    def saved(self) -> Any:
        """The state on disk."""
        return StateFile(self.crash_disk, "/trade.csv.state").load()


def live(**how: Any) -> Recording:
    """A recording that is live, with three trades in its file."""
    return Recording(**how).live()


def with_history_down(recording: Recording) -> Recording:
    """One that was live: it was not connected for a while, it is now, and history does not answer."""
    for _ in range(5):
        recording.trade(pause=1)
    recording.lost()
    recording.missed(9)
    recording.wait(1)
    recording.exchange.fault = "down"
    recording.connect(1)
    return recording


def with_open_gap(recording: Recording) -> Recording:
    """The same, a minute later: a gap is written down."""
    with_history_down(recording).wait(62)
    assert recording.recorder.status().gaps[GapState.OPEN] == 1
    return recording
