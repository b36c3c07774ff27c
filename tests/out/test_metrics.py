"""`GET /metrics` is what Prometheus reads, by its conventions, and its figures move with what happens."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from bfxtwist.core.errors import ChecksumMismatch
from bfxtwist.core.gaps import GapState
from bfxtwist.core.messages import Checksum
from bfxtwist.out.http import HttpApi
from bfxtwist.out.metrics import one_each_turn
from tests.out.served import TurningClock, change, moment
from tests.out.told import Told

LABELS = {"pair", "channel", "state", "reason", "code", "le", "version", "python", "twisted", "autobahn"}


class MetricsTest(SynchronousTestCase):
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

    def test_what_the_process_is_like(self) -> None:
        self.assertGreater(self.value("process_resident_memory_bytes"), 1e6)
        self.assertIn("python_gc_collections", self.families())
        self.assertEqual(self.value("bfxtwist_build_info", version="1.2.3"), 1)

    def test_openmetrics_for_those_who_ask_for_it(self) -> None:
        response, text = self.ask(Accept="application/openmetrics-text; version=1.0.0")
        self.assertIn("openmetrics", response.headers.getRawHeaders("content-type")[0])
        self.assertIn("bfxtwist_messages", {family.name for family in parse_openmetrics(text)})
        response, _ = self.ask()
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["text/plain; version=0.0.4; charset=utf-8"])

    def test_the_text_is_made_elsewhere_of_what_was_read(self) -> None:
        jobs: list[tuple[Callable[[], Any], Deferred[Any]]] = []

        def later(job: Callable[[], Any]) -> "Deferred[Any]":
            done: Deferred[Any] = Deferred()
            jobs.append((job, done))
            return done

        told = Told(later)
        api = HttpApi(told.market, moment, "1.2.3")
        api.add_slow_route("/metrics", told.metrics.answer)
        treq = StubTreq(api.resource())
        asked = treq.get("http://localhost/metrics", headers={"Accept-Encoding": ["gzip"]})
        [(job, done)] = jobs
        change(told.book)
        made = job()
        self.assertIn("gzipped", vars(made))  # compressed where nobody waits for it
        self.assertNoResult(asked)
        done.callback(made)
        treq.flush()
        text = self.successResultOf(self.successResultOf(asked).content()).decode()
        before = told.book.counts.updates - 1
        self.assertIn(f'bfxtwist_book_updates_total{{channel="book",pair="BTC/USD"}} {before}.0', text)

    def test_one_metric_is_read_each_turn(self) -> None:
        """Of hundreds of books all at once would hold up the feeds."""
        clock = TurningClock()
        told = Told(in_turns=partial(one_each_turn, clock=clock))
        api = HttpApi(told.market, moment, "1.2.3")
        api.add_slow_route("/metrics", told.metrics.answer)
        treq = StubTreq(api.resource())
        asked = treq.get("http://localhost/metrics")
        turns = 0
        while clock.getDelayedCalls():
            self.assertNoResult(asked)
            clock.turn()
            turns += 1
        treq.flush()
        text = self.successResultOf(self.successResultOf(asked).content()).decode()
        self.assertEqual({family.name for family in parse(text)}, self.families().keys())
        self.assertGreaterEqual(turns, len(told.families()))

    def test_a_parameter_is_a_mistake(self) -> None:
        response, _ = self.ask("/metrics?name=x")
        self.assertEqual(response.code, 400)

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
        self.told.uplink = {}  # before the first connection
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
        self.assertEqual(self.value("bfxtwist_relay_drops_total", reason="too slow"), 4)
        self.assertEqual(self.value("bfxtwist_relay_drops_total", reason="too long"), 0)
