"""A daemon's worth of metrics, with something in each of them, and nothing running."""

from collections.abc import Iterator
from typing import Any

from prometheus_client.exposition import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parse
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from bfxtwist.core.channels import Tally
from bfxtwist.core.gaps import GapState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Checksum
from bfxtwist.core.trades import Counters, Mode
from bfxtwist.core.uplink_status import BudgetStatus, ConnectionState, ConnectionStatus, UplinkStatus
from bfxtwist.out.http import HttpApi
from bfxtwist.out.in_thread import InThread
from bfxtwist.out.measured import FLUSH_BOUNDS, Histogram, LagSampler
from bfxtwist.out.metric_figures import (
    build_figures,
    feed_figures,
    http_figures,
    lag_figures,
    recorder_figures,
    relay_figures,
    uplink_figures,
)
from bfxtwist.out.metrics import InTurns, Metrics
from bfxtwist.out.relay import ReaderStatus, RelayStatus
from bfxtwist.out.trade_recorder import RecorderStatus
from tests.out.served import START, carry, live_book, moment, site_of

UPLINK = UplinkStatus(
    url="wss://exchange/ws/2",
    connections=[
        ConnectionStatus(
            number=number, state=state, session=None, since="2026-09-23T03:33:34.850Z", channels=2, last_end=None
        )
        for number, state in enumerate((ConnectionState.OPEN, ConnectionState.WAITING), 1)
    ],
    ends={"sequence": 2, "lost": 1},
    budget=BudgetStatus(used=5, of=10, blocked_s=0.0),
    counters=Tally(frames=10, bytes=900, stray_frames=1),
)
RECORDER = RecorderStatus(
    file="/trade.csv",
    mode=Mode.LIVE,
    reason="",
    verified_through=START // 1000 - 120_000,
    verified_through_iso="2026-09-23T03:31:34.850Z",
    lag_ms=120_000,
    gaps={GapState.OPEN: 1, GapState.FILLED: 2, GapState.LOST: 0},
    queue=3,
    rows_written=40,
    bytes_written=3200,
    bytes=3300,
    bytes_synced=3200,
    pages=7,
    pages_failed=1,
    history_error=None,
    error=None,
    counters=Counters(duplicates=40, backfilled=5, audited=1),
)
RELAY = RelayStatus(
    connections=3,
    choked=1,
    refused=2,
    ended={"too slow": 4},
    readers=[
        ReaderStatus(symbol="tBTCUSD", channel=ChannelName.BOOK, prec="P0", freq="F0", len="25", readers=2),
        ReaderStatus(symbol="tBTCUSD", channel=ChannelName.BOOK, prec="P0", freq="F0", len="100", readers=1),
    ],
)


def at_once(steps: Iterator[object]) -> "Deferred[Iterator[object]]":
    """Turns that take no time."""
    return succeed(iter(list(steps)))


class Told:
    """What is told, and the parts that it is told of."""

    def __init__(self, in_thread: InThread = maybeDeferred, in_turns: InTurns = at_once) -> None:
        self.market = Market()
        self.book = live_book(self.market)
        self.book.checksum(Checksum(1, self.book.book.checksum(), 8, None), moment(1))
        self.book.seen(None, moment(1))
        carry(self.market, "tETHUSD", ChannelName.TRADES)
        self.uplink: UplinkStatus | None = UPLINK
        self.site = site_of(Resource(), Clock())
        self.site.answered[200] = 1
        self.lags = LagSampler(self.market)
        self.lags.sample()
        self.flushes = Histogram(FLUSH_BOUNDS)
        self.metrics = metrics = Metrics(in_turns, in_thread)
        metrics.add(lambda: build_figures("1.2.3", moment()))
        metrics.add(lambda: feed_figures(self.market, moment(5)))
        metrics.add(lambda: lag_figures(self.lags.lags))
        metrics.add(lambda: uplink_figures(self.uplink))
        metrics.add(lambda: recorder_figures({"tETHUSD": RECORDER}, {"tETHUSD": self.flushes}, moment(5)))
        metrics.add(lambda: http_figures(self.site))
        metrics.add(lambda: relay_figures(RELAY, self.market))

    def families(self) -> set[str]:
        """The names, without the suffixes of samples."""
        return {family.name for family in parse(generate_latest(self.metrics.registry).decode())}

    def labels(self) -> dict[str, set[str]]:
        """The labels of every name that a query can ask for."""
        found: dict[str, set[str]] = {}
        for family in parse(generate_latest(self.metrics.registry).decode()):
            for name in [family.name, *(sample.name for sample in family.samples)]:
                found.setdefault(name, set()).update(*(sample.labels for sample in family.samples if sample.name == name))
        return found


class MetricsTestCase(SynchronousTestCase):
    """Asks for the figures as Prometheus does."""

    def setUp(self) -> None:
        self.told = Told()
        self.book = self.told.book
        api = HttpApi(self.told.market, moment, "1.2.3")
        api.add_slow_route("/metrics", self.told.metrics.answer)
        self.treq = StubTreq(api.resource())

    def ask(self, path: str = "/metrics", **headers: str) -> Any:
        sent = {name: [value] for name, value in headers.items()}
        response = self.successResultOf(self.treq.get(f"http://localhost{path}", headers=sent))
        return response, self.successResultOf(response.content()).decode()

    def families(self) -> dict[str, Any]:
        return {family.name: family for family in parse(self.ask()[1])}

    def value(self, name: str, **labels: str) -> float:
        [value] = [
            sample.value
            for family in parse(self.ask()[1])
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return float(value)
