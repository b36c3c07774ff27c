"""What `GET /metrics` tells of each part of the daemon: names, types, labels, and where each figure is read.

Names follow Prometheus' conventions: the application first, base units, `_total` for what only grows. `pair` is as people
write it (BTC/USD), `channel` is book or trades.
"""

import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Generic, NamedTuple, TypeVar

import autobahn
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

import twisted
from bfxtwist.core.book_feed import BookFeed
from bfxtwist.core.channels import Tally
from bfxtwist.core.errors import ExchangeError
from bfxtwist.core.feed_state import Feed, FeedState
from bfxtwist.core.market import Market
from bfxtwist.core.moment import Moment
from bfxtwist.core.symbols import parse_pair
from bfxtwist.core.uplink_status import ConnectionState, UplinkStatus
from bfxtwist.out.measured import Histogram
from bfxtwist.out.relay import RelayStatus
from bfxtwist.out.site import Site
from bfxtwist.out.trade_recorder import RecorderStatus

_FEED = ("pair", "channel")

_Labels = TypeVar("_Labels", bound=tuple[str, ...])  # a mapping's keys are invariant
_Thing = TypeVar("_Thing")


class _Figure(NamedTuple, Generic[_Thing]):
    """A metric with one value for each of many things; None where one has it not."""

    kind: type[CounterMetricFamily] | type[GaugeMetricFamily]
    name: str
    text: str
    value: Callable[[_Thing, Moment], float | None]

    def of(self, labels: Iterable[str], things: Iterable[tuple[tuple[str, ...], _Thing]], now: Moment) -> Metric:
        """The metric, with a sample for each thing under its label values."""
        family = self.kind(self.name, self.text, labels=tuple(labels))
        for values, thing in things:
            value = self.value(thing, now)
            if value is not None:
                family.add_metric(values, value)
        return family


_COUNTER, _GAUGE = CounterMetricFamily, GaugeMetricFamily

_OF_FEEDS: tuple[_Figure[Feed], ...] = (
    _Figure(_COUNTER, "bfxtwist_feed_messages", "Messages of a feed, heartbeats included.", lambda f, _: f.counts.frames),
    _Figure(_COUNTER, "bfxtwist_feed_snapshots", "Snapshots that were taken in.", lambda f, _: f.counts.snapshots),
    _Figure(
        _COUNTER,
        "bfxtwist_resubscribes",
        "Channels that were subscribed again because they had gone wrong.",
        lambda f, _: f.counts.resubscriptions,
    ),
    _Figure(_GAUGE, "bfxtwist_feed_live", "1 while a feed is live, else 0.", lambda f, _: f.status_now is FeedState.LIVE),
    _Figure(
        _GAUGE,
        "bfxtwist_feed_silence_seconds",
        "Time since the last message of a feed; a heartbeat is due every 15 s.",
        lambda f, now: _age(f.last_frame, now),
    ),
)

_OF_BOOKS: tuple[_Figure[BookFeed], ...] = (
    _Figure(_COUNTER, "bfxtwist_book_updates", "Rows that changed a book.", lambda f, _: f.counts.updates),
    _Figure(
        _COUNTER,
        "bfxtwist_checksum_matches",
        "Checksums of the exchange that agreed with the book.",
        lambda f, _: f.counts.checksums_matched,
    ),
    _Figure(
        _COUNTER,
        "bfxtwist_checksum_mismatches",
        "Checksums of the exchange that did not agree.",
        lambda f, _: f.counts.checksums_mismatched,
    ),
    _Figure(_COUNTER, "bfxtwist_book_crossings", "Times that a book was found crossed.", lambda f, _: f.counts.crossed),
    _Figure(
        _GAUGE,
        "bfxtwist_book_crossed",
        "1 while a book's best bid is at or above its best ask.",
        lambda f, _: f.book.crossed,
    ),
    _Figure(_GAUGE, "bfxtwist_book_verified", "1 while the last checksum agreed and is recent.", lambda f, _: f.verified),
    _Figure(_GAUGE, "bfxtwist_book_age_seconds", "Time since a book last changed.", lambda f, now: _age(f.updated, now)),
    _Figure(
        _GAUGE,
        "bfxtwist_book_checksum_age_seconds",
        "Time since a checksum last agreed with a book.",
        lambda f, now: _age(f.checksum_at, now),
    ),
)

_OF_RECORDERS: tuple[_Figure[RecorderStatus], ...] = (
    _Figure(_COUNTER, "bfxtwist_trades_written", "Rows written to trade.csv.", lambda s, _: s.rows_written),
    _Figure(_COUNTER, "bfxtwist_trade_csv_bytes", "Bytes written to trade.csv.", lambda s, _: s.bytes_written),
    _Figure(_COUNTER, "bfxtwist_trades_duplicate", "Trades that were told again.", lambda s, _: s.counters.duplicates),
    _Figure(
        _COUNTER,
        "bfxtwist_trades_backfilled",
        "Trades that came from REST, after a reconnection or for a gap.",
        lambda s, _: s.counters.backfilled,
    ),
    _Figure(
        _COUNTER,
        "bfxtwist_trades_audited",
        "Trades that only a comparison with REST found.",
        lambda s, _: s.counters.audited,
    ),
    _Figure(
        _COUNTER,
        "bfxtwist_trades_conflicting",
        "Trades that were told again with another price or amount.",
        lambda s, _: s.counters.conflicts,
    ),
    _Figure(_COUNTER, "bfxtwist_trades_rejected", "Trades that no row can hold.", lambda s, _: s.counters.rejected),
    _Figure(
        _COUNTER,
        "bfxtwist_trades_forgotten",
        "Rows given up while the disk was full, to be fetched again.",
        lambda s, _: s.counters.forgotten,
    ),
    _Figure(_COUNTER, "bfxtwist_history_pages", "Pages of history that were asked for.", lambda s, _: s.pages),
    _Figure(_COUNTER, "bfxtwist_history_failures", "Pages of history that did not come.", lambda s, _: s.pages_failed),
    _Figure(_GAUGE, "bfxtwist_trade_queue_rows", "Rows that wait for the disk.", lambda s, _: s.queue),
    _Figure(_GAUGE, "bfxtwist_trade_file_bytes", "Length of trade.csv.", lambda s, _: s.bytes),
    _Figure(
        _GAUGE,
        "bfxtwist_trade_unsynced_bytes",
        "Bytes of trade.csv that a power loss could take.",
        lambda s, _: s.bytes - s.bytes_synced,
    ),
    _Figure(
        _GAUGE,
        "bfxtwist_trade_verified_lag_seconds",
        "How far the comparison of trade.csv with the exchange's history is behind.",
        lambda s, _: None if s.lag_ms is None else s.lag_ms / 1000,
    ),
    _Figure(_GAUGE, "bfxtwist_trade_disk_failing", "1 while the disk does not take rows.", lambda s, _: bool(s.error)),
)


def _age(moment: Moment | None, now: Moment) -> float | None:
    return None if moment is None else round(max(now.monotonic - moment.monotonic, 0.0), 6)


def build_figures(version: str, started: Moment) -> Iterator[Metric]:
    """What runs here, and since when."""
    versions = {"version": version, "python": platform.python_version()}
    yield InfoMetricFamily(
        "bfxtwist_build",
        "What runs here.",
        {**versions, "twisted": twisted.__version__, "autobahn": autobahn.__version__},
    )
    # ProcessCollector's own is missing where systemd's ProcSubset=pid hides /proc/stat.
    yield GaugeMetricFamily("bfxtwist_start_time_seconds", "When the daemon started (epoch).", started.wall / 1e6)


def feed_figures(market: Market, now: Moment) -> Iterator[Metric]:
    """Every book and every stream of trades."""
    feeds = [((feed.name, feed.subscription.channel.value), feed) for feed in market.feeds()]
    books = [(labels, feed) for labels, feed in feeds if isinstance(feed, BookFeed)]
    yield from (figure.of(_FEED, feeds, now) for figure in _OF_FEEDS)
    yield from (figure.of(_FEED, books, now) for figure in _OF_BOOKS)


def lag_figures(lags: Mapping[tuple[str, str], Histogram]) -> Iterator[Metric]:
    """From the exchange's clock to ours, by pair and channel."""
    text = "Time from the exchange's timestamp of a message until it was here, of one message a second."
    yield _histogram("bfxtwist_exchange_lag_seconds", text, _FEED, lags)


def uplink_figures(status: UplinkStatus | None) -> Iterator[Metric]:
    """The connections to the exchange, from what `/status` says of them: nothing before they are made."""
    counted, ends, connections = (status.counters, status.ends, status.connections) if status else (Tally(), {}, [])
    yield CounterMetricFamily("bfxtwist_messages", "Text messages of the exchange.", counted.frames)
    yield CounterMetricFamily("bfxtwist_received_bytes", "Bytes of these messages.", counted.bytes)
    yield CounterMetricFamily(
        "bfxtwist_stray_messages",
        "Messages of channels that are not ours, not yet or not any more.",
        counted.stray_frames,
    )
    yield CounterMetricFamily(
        "bfxtwist_sequence_gaps", "Sequence numbers that were missing or out of turn.", ends.get("sequence", 0)
    )
    reconnects = CounterMetricFamily(
        "bfxtwist_reconnects",
        "Connections and attempts to connect that ended, each followed by another.",
        labels=("reason",),
    )
    for reason in sorted(_REASONS | ends.keys()):  # zeros too: increase() does not see what begins with 1
        reconnects.add_metric((reason,), ends.get(reason, 0))
    yield reconnects
    open_ = sum(connection.state is ConnectionState.OPEN for connection in connections)
    yield GaugeMetricFamily("bfxtwist_connections_open", "WebSockets that are open.", open_)
    yield GaugeMetricFamily("bfxtwist_connections_wanted", "WebSockets that should be open.", len(connections))


def _reasons(kind: type[ExchangeError]) -> set[str]:
    below = set().union(*map(_reasons, kind.__subclasses__()))
    return below | {kind.reason} if kind.ends_connection and kind is not ExchangeError else below


#: What ends connections, beside what is not the exchange's.
_REASONS = _reasons(ExchangeError) | {"tls", "connect", "bug"}


def recorder_figures(
    statuses: Mapping[str, RecorderStatus], flushes: Mapping[str, Histogram], now: Moment
) -> Iterator[Metric]:
    """The trade files by symbol, from what `/status` says of them; `flushes` are seconds, by symbol too."""
    recorders = [((parse_pair(symbol).name,), status) for symbol, status in statuses.items()]
    for figure in _OF_RECORDERS:
        yield figure.of(("pair",), recorders, now)
    gaps = GaugeMetricFamily(
        "bfxtwist_trade_gaps",
        "Intervals in which trades may have been missed, by what became of them.",
        labels=("pair", "state"),
    )
    for (pair,), status in recorders:
        for state, count in status.gaps.items():
            gaps.add_metric((pair, state.value), count)
    yield gaps
    text = "Time that it took to make rows durable: fdatasync, and now and then the ledger and the state."
    by_pair = {(parse_pair(symbol).name,): histogram for symbol, histogram in flushes.items()}
    yield _histogram("bfxtwist_trade_flush_seconds", text, ("pair",), by_pair)


def http_figures(site: Site) -> Iterator[Metric]:
    """The server that tells this."""
    requests = CounterMetricFamily("bfxtwist_http_requests", "Requests that were answered, by status.", labels=("code",))
    for code in sorted({500} | site.answered.keys()):  # a zero for what there is an alert, as above
        requests.add_metric((str(code),), site.answered[code])
    yield requests
    text = "Connections of clients that may ask; those of the relay have become WebSockets."
    yield GaugeMetricFamily("bfxtwist_http_connections", text, site.connections)


def relay_figures(status: RelayStatus, market: Market) -> Iterator[Metric]:
    """The relay, from what `/status` says of it, and what it has to offer."""
    yield GaugeMetricFamily("bfxtwist_relay_connections", "Clients of the relay.", status.connections)
    yield GaugeMetricFamily("bfxtwist_relay_choked", "Clients of it that do not read at the moment.", status.choked)
    yield CounterMetricFamily("bfxtwist_relay_refused", "Clients that were too many for the relay.", status.refused)
    subscribers = GaugeMetricFamily("bfxtwist_relay_subscribers", "Subscriptions of the relay's clients.", labels=_FEED)
    readers = {(feed.name, feed.subscription.channel.value): 0 for feed in market.feeds()}
    for one in status.readers:  # of one book there are several, by precision and length
        labels = parse_pair(one.symbol).name, one.channel.value
        readers[labels] = readers.get(labels, 0) + one.readers
    for labels, count in readers.items():
        subscribers.add_metric(labels, count)
    yield subscribers
    drops = CounterMetricFamily("bfxtwist_relay_drops", "Clients that were cut off, by reason.", labels=("reason",))
    for reason in sorted({"too slow", "too many", "too long"} | status.ended.keys()):
        drops.add_metric((reason,), status.ended.get(reason, 0))
    yield drops


def _histogram(
    name: str, text: str, labels: Iterable[str], histograms: Mapping[_Labels, Histogram]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=tuple(labels))
    for values, histogram in histograms.items():
        buckets = [("+Inf" if bound == float("inf") else str(bound), count) for bound, count in histogram.cumulative()]
        family.add_metric(values, buckets, histogram.sum)
    return family
