"""Each figure of `GET /metrics` is the one that its name says, by Prometheus' conventions, and moves with what happens."""

import re
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace
from prometheus_client.metrics_core import Metric
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from bfxtwist.core.errors import ChecksumMismatch
from bfxtwist.core.feed_state import Counts
from bfxtwist.core.gaps import GapState
from bfxtwist.core.market import Market
from bfxtwist.core.messages import ChannelName, Checksum
from bfxtwist.core.trades import Counters
from bfxtwist.out.measured import Histogram
from bfxtwist.out.metric_figures import (
    build_figures,
    feed_figures,
    http_figures,
    recorder_figures,
    relay_figures,
    uplink_figures,
)
from tests.out.served import Client, carry, change, live_book, moment, site_of
from tests.out.told import RECORDER, RELAY, UPLINK, MetricsTestCase

LABELS = {"pair", "channel", "state", "reason", "code", "le", "version", "python", "twisted", "autobahn"}


class FiguresTest(MetricsTestCase):
    def ours(self) -> Iterator[Any]:
        yield from (family for name, family in self.families().items() if name.startswith("bfxtwist_"))

    def test_names_keep_the_conventions(self) -> None:
        for family in self.ours():
            with self.subTest(family.name):
                self.assertTrue(re.fullmatch("bfxtwist(_[a-z]+)+", family.name))
                self.assertGreater(len(family.documentation), 10)
                self.assertIn(family.type, ("counter", "gauge", "histogram"))
                self.assertFalse(set(family.name.split("_")) & {"ms", "milliseconds", "kilobytes", "count", "percent"})
                for sample in family.samples:
                    self.assertEqual(sample.name.endswith("_total"), family.type == "counter")
                    self.assertLessEqual(sample.labels.keys(), LABELS)

    def test_no_name_is_there_twice(self) -> None:
        names = re.findall("^# TYPE (\\S+)", self.ask()[1], re.MULTILINE)
        self.assertEqual(len(names), len(set(names)))

    def test_the_book(self) -> None:
        labels = {"pair": "BTC/USD", "channel": "book"}
        self.assertEqual(self.value("bfxtwist_feed_live", **labels), 1)
        self.assertEqual(self.value("bfxtwist_book_age_seconds", **labels), 4)
        self.assertEqual(self.value("bfxtwist_checksum_mismatches_total", **labels), 0)
        updates = self.value("bfxtwist_book_updates_total", **labels)
        change(self.book)
        self.assertEqual(self.value("bfxtwist_book_updates_total", **labels), updates + 1)
        self.assertEqual(self.value("bfxtwist_book_age_seconds", **labels), 3)
        self.assertRaises(ChecksumMismatch, self.book.checksum, Checksum(1, 1, 9, None), moment(3))
        self.assertEqual(self.value("bfxtwist_checksum_mismatches_total", **labels), 1)
        self.book.checksum(Checksum(1, self.book.book.checksum(), 10, None), moment(3))
        self.assertEqual(self.value("bfxtwist_checksum_matches_total", **labels), 2)
        self.book.lost("the connection was lost", moment(4))
        self.assertEqual(self.value("bfxtwist_feed_live", **labels), 0)

    def test_a_feed_that_has_nothing_yet_has_no_age(self) -> None:
        ages = [sample.labels["pair"] for sample in self.families()["bfxtwist_feed_silence_seconds"].samples]
        self.assertNotIn("ETH/USD", ages)

    def test_reasons_are_there_before_they_happen(self) -> None:
        self.assertEqual(self.value("bfxtwist_reconnects_total", reason="lost"), 1)
        self.assertEqual(self.value("bfxtwist_reconnects_total", reason="tls"), 0)
        self.assertEqual(self.value("bfxtwist_sequence_gaps_total"), 2)
        self.assertEqual(self.value("bfxtwist_connections_open"), 1)
        self.told.uplink = None  # before the first connection
        self.assertEqual(self.value("bfxtwist_reconnects_total", reason="lost"), 0)

    def test_the_trade_file(self) -> None:
        self.assertEqual(self.value("bfxtwist_trades_written_total", pair="ETH/USD"), 40)
        self.assertEqual(self.value("bfxtwist_trade_verified_lag_seconds"), 120)
        for state, count in zip(GapState, (1, 2, 0), strict=True):
            self.assertEqual(self.value("bfxtwist_trade_gaps", state=state.value), count)
        self.told.flushes.observe(0.03)
        self.assertEqual(self.value("bfxtwist_trade_flush_seconds_bucket", le="0.025"), 0)
        self.assertEqual(self.value("bfxtwist_trade_flush_seconds_bucket", le="0.05"), 1)
        self.assertEqual(self.value("bfxtwist_trade_flush_seconds_bucket", le="+Inf"), 1)

    def test_lag(self) -> None:
        self.book.seen(moment(4).wall // 1000 - 30, moment(4))
        self.told.lags.sample()
        self.assertEqual(self.value("bfxtwist_exchange_lag_seconds_bucket", pair="BTC/USD", le="0.025"), 0)
        self.assertEqual(self.value("bfxtwist_exchange_lag_seconds_bucket", pair="BTC/USD", le="0.05"), 1)

    def test_requests(self) -> None:
        self.told.site.answered[200] += 5
        self.assertEqual(self.value("bfxtwist_http_requests_total", code="200"), 6)

    def test_the_relay(self) -> None:
        self.assertEqual(self.value("bfxtwist_relay_subscribers", pair="BTC/USD", channel="book"), 3)
        nobody = self.value("bfxtwist_relay_subscribers", pair="ETH/USD", channel="trades")
        self.assertEqual(nobody, 0, "what can be read is there before the first who does")
        self.assertEqual(self.value("bfxtwist_relay_drops_total", reason="too slow"), 4)
        self.assertEqual(self.value("bfxtwist_relay_drops_total", reason="too long"), 0)


def values(metrics: Iterator[Metric], **labels: str) -> dict[str, float]:
    """By the name without what all have in common, of the samples that have these labels and no other."""
    samples = [sample for metric in metrics for sample in metric.samples if sample.labels == labels]
    return {sample.name.removeprefix("bfxtwist_").removesuffix("_total"): sample.value for sample in samples}


class EachIsItsOwn(SynchronousTestCase):
    """Numbers that are all different, so that no figure can be another one's."""

    def test_of_feeds(self) -> None:
        market = Market()
        book = live_book(market)
        change(book, b"7000")
        book.checksum_at, book.last_frame, book.updated = moment(1), moment(7), moment(4)
        trades = carry(market, "tBTCUSD", ChannelName.TRADES)
        counts = {"frames": 21, "snapshots": 22, "updates": 23, "trades": 24, "resubscriptions": 25}
        checked = {"checksums_matched": 26, "checksums_mismatched": 27, "crossed": 28}
        book.counts, trades.counts = Counts(**counts, **checked), Counts(frames=31, snapshots=32, resubscriptions=33)
        expected = {
            "feed_messages": 21, "feed_snapshots": 22, "resubscribes": 25, "feed_live": 0, "feed_silence_seconds": 3,
            "book_updates": 23, "checksum_matches": 26, "checksum_mismatches": 27, "book_crossings": 28,
            "book_crossed": 1, "book_verified": 0, "book_age_seconds": 6, "book_checksum_age_seconds": 9,
        }  # fmt: skip
        self.assertEqual(values(feed_figures(market, moment(10)), pair="BTC/USD", channel="book"), expected)
        self.assertEqual(
            values(feed_figures(market, moment(10)), pair="BTC/USD", channel="trades"),
            {"feed_messages": 31, "feed_snapshots": 32, "resubscribes": 33, "feed_live": 0},
        )

    def test_an_age_is_never_below_zero(self) -> None:
        """A frame may come between the moment that was asked for and the reading."""
        market = Market()
        live_book(market).last_frame = moment(2)
        told = values(feed_figures(market, moment(1)), pair="BTC/USD", channel="book")
        self.assertEqual(told["feed_silence_seconds"], 0)

    def recorder(self, **changes: Any) -> dict[str, float]:
        counters = Counters(duplicates=41, backfilled=42, audited=43, conflicts=44, rejected=45, forgotten=46)
        status = replace(RECORDER, counters=counters, **changes)
        return values(recorder_figures({"tETHUSD": status}, {}, moment()), pair="ETH/USD")

    def test_of_recorders(self) -> None:
        expected = {
            "trades_written": 40, "trade_csv_bytes": 3200, "history_pages": 7, "history_failures": 1,
            "trades_duplicate": 41, "trades_backfilled": 42, "trades_audited": 43, "trades_conflicting": 44,
            "trades_rejected": 45, "trades_forgotten": 46,
            "trade_queue_rows": 3, "trade_file_bytes": 3300, "trade_unsynced_bytes": 100,
            "trade_verified_lag_seconds": 120, "trade_disk_failing": 0,
        }  # fmt: skip
        self.assertEqual(self.recorder(), expected)

    def test_of_a_recorder_that_cannot_write(self) -> None:
        self.assertEqual(self.recorder(error="No space left on device")["trade_disk_failing"], 1)

    def test_of_a_recorder_that_has_compared_nothing_yet(self) -> None:
        """No figure rather than 0, which would say that all of it was compared."""
        self.assertNotIn("trade_verified_lag_seconds", self.recorder(lag_ms=None))

    def test_of_the_connections(self) -> None:
        expected = {
            "messages": 10, "received_bytes": 900, "stray_messages": 1, "sequence_gaps": 2,
            "connections_open": 1, "connections_wanted": 2,
        }  # fmt: skip
        self.assertEqual(values(uplink_figures(UPLINK)), expected)
        self.assertEqual(set(values(uplink_figures(None)).values()), {0})

    def test_of_whatever_ends_a_connection_there_is_a_zero(self) -> None:
        """What ends a channel alone is no reconnection."""
        reasons = [sample.labels["reason"] for one in uplink_figures(None) for sample in one.samples if sample.labels]
        expected = [
            "bug", "conf", "connect", "handshake", "lost", "maintenance", "malformed", "restart", "sequence", "silence",
            "still-wrong", "tls", "unanswered", "version", "wrong-answer",
        ]  # fmt: skip
        self.assertEqual(sorted(reasons), expected)
        new = values(uplink_figures(replace(UPLINK, ends={"strange": 3})), reason="strange")
        self.assertEqual(new, {"reconnects": 3})

    def test_of_the_site(self) -> None:
        site = site_of(Resource(), Clock())
        clients = [Client(site) for _ in range(3)]
        self.assertEqual(clients[0].get("/nothing").status, 404)
        self.assertEqual(values(http_figures(site)), {"http_connections": 3})
        self.assertEqual(values(http_figures(site), code="404"), {"http_requests": 1})
        self.assertEqual(values(http_figures(site), code="500"), {"http_requests": 0})

    def test_of_the_relay(self) -> None:
        told = values(relay_figures(RELAY, Market()))
        self.assertEqual(told, {"relay_connections": 3, "relay_choked": 1, "relay_refused": 2})

    def test_since_when_it_runs(self) -> None:
        self.assertEqual(values(build_figures("1", moment(8))), {"start_time_seconds": 1_790_134_422.85})

    def test_how_long_the_disk_took_of_each_pair(self) -> None:
        flushes = {symbol: Histogram([0.01]) for symbol in ("tBTCUSD", "tETHUSD")}
        flushes["tETHUSD"].observe(0.5)
        for pair, seconds in (("BTC/USD", []), ("ETH/USD", [0.5])):
            told = values(recorder_figures({}, flushes, moment()), pair=pair)
            self.assertEqual(told, {"trade_flush_seconds_count": len(seconds), "trade_flush_seconds_sum": sum(seconds)})
